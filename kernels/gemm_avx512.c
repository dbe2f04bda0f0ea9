// SPDX-License-Identifier: Apache-2.0
/* gemm_avx512.c - the 14x32 microkernel. Compiled with AVX-512F; called only where the CPU has it.
 */
#include "kernels/gemm.h"

#include <immintrin.h>

#define PREFETCH_FLOATS 128 /* four k ahead in the panel */

/*
 * One tile. @mr and @wide are constants in every caller, so that the loops over rows unroll and the
 * accumulators live in registers.
 */
static inline __attribute__((always_inline)) void tile(size_t mr, bool wide, size_t cols, size_t kc,
						       const float *a, const float *b,
						       const struct vt_gemm_out *o, bool first,
						       bool last)
{
	const __mmask16 m0 = (__mmask16)(cols >= 16 ? 0xffff : (1u << cols) - 1);
	const __mmask16 m1 = (__mmask16)(cols >= 32  ? 0xffff
					 : cols > 16 ? (1u << (cols - 16)) - 1
						     : 0);
	__m512 x0[VT_GEMM_MR], x1[VT_GEMM_MR];
	float *c = o->c;
	const size_t ldc = o->ldc;

	if (first) {
		const __m512 i0 = _mm512_loadu_ps(o->bias), i1 = _mm512_loadu_ps(o->bias + 16);
#pragma GCC unroll 14
		for (size_t r = 0; r < mr; r++) {
			x0[r] = i0;
			x1[r] = i1;
		}
	} else {
#pragma GCC unroll 14
		for (size_t r = 0; r < mr; r++) {
			x0[r] = _mm512_maskz_loadu_ps(m0, c + r * ldc);
			if (wide)
				x1[r] = _mm512_maskz_loadu_ps(m1, c + r * ldc + 16);
		}
	}
	for (size_t k = 0; k < kc; k++) {
		const __m512 b0 = _mm512_load_ps(b);
		const __m512 b1 = wide ? _mm512_load_ps(b + 16) : b0;

		_mm_prefetch((const char *)(b + PREFETCH_FLOATS), _MM_HINT_T0);
		if (wide)
			_mm_prefetch((const char *)(b + PREFETCH_FLOATS + 16), _MM_HINT_T0);
		b += VT_GEMM_NR;
#pragma GCC unroll 14
		for (size_t r = 0; r < mr; r++) {
			const __m512 v = _mm512_set1_ps(a[r * VT_GEMM_LDA]);

			x0[r] = _mm512_fmadd_ps(v, b0, x0[r]);
			if (wide)
				x1[r] = _mm512_fmadd_ps(v, b1, x1[r]);
		}
		a++;
	}
	if (last) {
		const __m512 lo = _mm512_set1_ps(o->lo), hi = _mm512_set1_ps(o->hi);
		const float *res = o->residual;
#pragma GCC unroll 14
		for (size_t r = 0; r < mr; r++) {
			if (res) {
				x0[r] = _mm512_add_ps(x0[r],
						      _mm512_maskz_loadu_ps(m0, res + r * ldc));
				if (wide)
					x1[r] = _mm512_add_ps(
						x1[r],
						_mm512_maskz_loadu_ps(m1, res + r * ldc + 16));
			}
			/* The bound first: max and min hand on their second operand when one is
			 * NaN. */
			x0[r] = _mm512_min_ps(hi, _mm512_max_ps(lo, x0[r]));
			if (wide)
				x1[r] = _mm512_min_ps(hi, _mm512_max_ps(lo, x1[r]));
		}
	}
#pragma GCC unroll 14
	for (size_t r = 0; r < mr; r++) {
		_mm512_mask_storeu_ps(c + r * ldc, m0, x0[r]);
		if (wide)
			_mm512_mask_storeu_ps(c + r * ldc + 16, m1, x1[r]);
	}
}

#define TILE(mr)                                                                                   \
	static __attribute__((noinline)) void wide_##mr(                                           \
		size_t cols, size_t kc, const float *a, const float *b,                            \
		const struct vt_gemm_out *o, bool first, bool last)                                \
	{                                                                                          \
		tile(mr, true, cols, kc, a, b, o, first, last);                                    \
	}                                                                                          \
	static __attribute__((noinline)) void narrow_##mr(                                         \
		size_t cols, size_t kc, const float *a, const float *b,                            \
		const struct vt_gemm_out *o, bool first, bool last)                                \
	{                                                                                          \
		tile(mr, false, cols, kc, a, b, o, first, last);                                   \
	}

TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
TILE(13)
TILE(14)

typedef void (*tile_fn)(size_t cols, size_t kc, const float *a, const float *b,
			const struct vt_gemm_out *o, bool first, bool last);

static const tile_fn wide[VT_GEMM_MR] = {wide_1,  wide_2,  wide_3,  wide_4, wide_5,
					 wide_6,  wide_7,  wide_8,  wide_9, wide_10,
					 wide_11, wide_12, wide_13, wide_14};
static const tile_fn narrow[VT_GEMM_MR] = {narrow_1,  narrow_2,	 narrow_3,  narrow_4, narrow_5,
					   narrow_6,  narrow_7,	 narrow_8,  narrow_9, narrow_10,
					   narrow_11, narrow_12, narrow_13, narrow_14};

void vt_gemm_tile_avx512(size_t rows, size_t cols, size_t kc, const float *a, const float *b,
			 const struct vt_gemm_out *o, bool first, bool last)
{
	(cols > 16 ? wide : narrow)[rows - 1](cols, kc, a, b, o, first, last);
}
