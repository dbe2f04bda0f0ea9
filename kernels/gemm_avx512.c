// SPDX-License-Identifier: Apache-2.0
/* gemm_avx512.c - the 14x32 microkernel. Compiled with AVX-512F; called only where the CPU has it. */
#include "kernels/gemm.h"

#include <immintrin.h>

#define PREFETCH_FLOATS 1024 /* 32 k ahead: the first pass finds its weights in no cache */
/* A single row leaves no time for that: its weights come as fast as memory gives them, if asked for early. */
#define PREFETCH_FLOATS_ONE 2048
#define PREFETCH_C_K	    64 /* so many k before the end of a tile; a shorter one is over too soon */

/*
 * Rows of the left operand lie lda apart. Seven odd multiples of lda in registers reach 14 rows
 * through the scaled index of an x86 address: row 6 is a + 2 * (3 * lda), row 12 is a + 4 * (3 *
 * lda). The empty asm in the loop keeps the compiler from computing (and spilling) the 14 distances beforehand.
 */
#define ROW(r)                                                                                     \
	((r) == 0    ? 0                                                                           \
	 : (r) == 1  ? l1                                                                          \
	 : (r) == 2  ? 2 * l1                                                                      \
	 : (r) == 3  ? l3                                                                          \
	 : (r) == 4  ? 4 * l1                                                                      \
	 : (r) == 5  ? l5                                                                          \
	 : (r) == 6  ? 2 * l3                                                                      \
	 : (r) == 7  ? l7                                                                          \
	 : (r) == 8  ? 8 * l1                                                                      \
	 : (r) == 9  ? l9                                                                          \
	 : (r) == 10 ? 2 * l5                                                                      \
	 : (r) == 11 ? l11                                                                         \
	 : (r) == 12 ? 4 * l3                                                                      \
		     : l13)

/*
 * Rows of a tile are far apart: no hardware prefetcher sees them coming. Lines that another core has read must be taken
 * from it before they can be written, which takes longer than stores can wait. Fetched much earlier than they are
 * stored, they would have left the first level again by then.
 */
static inline __attribute__((always_inline)) void fetch_rows(const struct vt_gemm_out *o, size_t mr,
							     const float *residual)
{
	const char *c = (const char *)o->c, *res = (const char *)residual;
	const size_t step = o->ldc * sizeof(float);

	/* The empty asm: or the compiler computes 28 addresses beforehand, and spills them. */
#pragma GCC unroll 14
	for (size_t r = 0; r < mr; r++, c += step) {
		__asm__("" : "+r"(c));
		__builtin_prefetch(c, 1);
		__builtin_prefetch(c + 64, 1);
		if (!residual)
			continue;
		__asm__("" : "+r"(res));
		_mm_prefetch(res, _MM_HINT_T0);
		_mm_prefetch(res + 64, _MM_HINT_T0);
		res += step;
	}
}

/* Partial sums of the next tile, which are read before anything else of it. */
static void fetch_next_tile(const struct vt_gemm_out *o, size_t mr)
{
	const float *c = o->c + o->after;

	for (size_t r = o->after_rows ? o->after_rows : mr; r; r--, c += o->ldc) {
		__builtin_prefetch(c, 1);
		__builtin_prefetch(c + 16, 1);
	}
}

/*
 * One tile, of 2, 3 or 4 @halves of a vector: a third one takes half the time of a whole vector where the units are 256 bits
 * wide, and no more than it elsewhere. (One alone would gain nothing: values of rows come at one a cycle.) @mr and @halves are
 * constants in every caller, so that the loops over rows unroll and the accumulators live in registers.
 */
static inline __attribute__((always_inline)) void tile(size_t mr, int halves, size_t cols,
						       size_t kc, const float *a, size_t lda,
						       const float *b, const struct vt_gemm_out *o,
						       bool first, bool last)
{
	const bool half = halves == 3, whole = halves == 4;
	const __mmask16 m0 = (__mmask16)(cols >= 16 ? 0xffff : (1u << cols) - 1);
	const __mmask16 m1 = (__mmask16)(whole ? 0xffffu >> (32 - cols) : 0);
	const __mmask8 mh = (__mmask8)(half ? 0xffu >> (24 - cols) : 0);
	size_t l1 = lda * sizeof(*a), l3 = 3 * l1, l5 = 5 * l1, l7 = 7 * l1, l9 = 9 * l1,
	       l11 = 11 * l1, l13 = 13 * l1;
	__m512 x0[VT_GEMM_MR], x1[VT_GEMM_MR];
	__m256 y[VT_GEMM_MR];
	float *c = o->c;
	const size_t ldc = o->ldc;
	const float *next = o->next ? o->next : b; /* b: a prefetch that costs nothing */
	const size_t next_step = o->next ? o->next_step : 0;
	size_t run = o->next_run ? o->next_run : SIZE_MAX;
	const size_t ahead = mr == 1 ? PREFETCH_FLOATS_ONE : PREFETCH_FLOATS;

	if (!first && o->after) /* before there are sums in registers */
		fetch_next_tile(o, mr);
#pragma GCC unroll 14
	for (size_t r = 0; r < mr; r++) {
		const float *from = first ? o->bias : c + r * ldc;

		x0[r] = first ? _mm512_loadu_ps(from) : _mm512_maskz_loadu_ps(m0, from);
		if (whole)
			x1[r] = first ? _mm512_loadu_ps(from + 16)
				      : _mm512_maskz_loadu_ps(m1, from + 16);
		if (half)
			y[r] = first ? _mm256_loadu_ps(from + 16)
				     : _mm256_maskz_loadu_ps(mh, from + 16);
	}
	for (size_t left = kc, n; left; left -= n) {
		n = run < left ? run : left;
		if (left > PREFETCH_C_K && n > left - PREFETCH_C_K) {
			n = left - PREFETCH_C_K;
		} else if (halves > 2 && left <= PREFETCH_C_K && kc >= PREFETCH_C_K) {
			if (last && o->residual)
				fetch_rows(o, mr, o->residual);
			else
				fetch_rows(o, mr, NULL);
		}
		for (size_t k = n; k; k--) {
			const __m512 b0 = _mm512_load_ps(b);
			const __m512 b1 = whole ? _mm512_load_ps(b + 16) : b0;
			const __m256 bh =
				half ? _mm256_load_ps(b + 16) : _mm512_castps512_ps256(b0);

			_mm_prefetch((const char *)(b + ahead), _MM_HINT_T0);
			if (halves > 2)
				_mm_prefetch((const char *)(b + ahead + 16), _MM_HINT_T0);
			_mm_prefetch((const char *)next, _MM_HINT_T1);
			next += next_step;
			b += VT_GEMM_NR;
			__asm__(""
				: "+r"(l1), "+r"(l3), "+r"(l5), "+r"(l7), "+r"(l9), "+r"(l11),
				  "+r"(l13));
#pragma GCC unroll 14
			for (size_t r = 0; r < mr; r++) {
				const __m512 v =
					_mm512_set1_ps(*(const float *)((const char *)a + ROW(r)));

				x0[r] = _mm512_fmadd_ps(v, b0, x0[r]);
				if (whole)
					x1[r] = _mm512_fmadd_ps(v, b1, x1[r]);
				if (half)
					y[r] = _mm256_fmadd_ps(_mm512_castps512_ps256(v), bh, y[r]);
			}
			a++;
		}
		run -= n;
		if (!run) {
			next += o->next_jump;
			run = o->next_run;
		}
	}
	if (last && o->residual) {
		const float *res = o->residual;
#pragma GCC unroll 14
		for (size_t r = 0; r < mr; r++, res += ldc) {
			x0[r] = _mm512_add_ps(x0[r], _mm512_maskz_loadu_ps(m0, res));
			if (whole)
				x1[r] = _mm512_add_ps(x1[r], _mm512_maskz_loadu_ps(m1, res + 16));
			if (half)
				y[r] = _mm256_add_ps(y[r], _mm256_maskz_loadu_ps(mh, res + 16));
		}
	}
	if (last && o->clamp) {
		const __m512 lo = _mm512_set1_ps(o->lo), hi = _mm512_set1_ps(o->hi);
		const __m256 lo8 = _mm256_set1_ps(o->lo), hi8 = _mm256_set1_ps(o->hi);
#pragma GCC unroll 14
		for (size_t r = 0; r < mr; r++) {
			/* The bound first: max and min hand on their second operand when one is NaN. */
			x0[r] = _mm512_min_ps(hi, _mm512_max_ps(lo, x0[r]));
			if (whole)
				x1[r] = _mm512_min_ps(hi, _mm512_max_ps(lo, x1[r]));
			if (half)
				y[r] = _mm256_min_ps(hi8, _mm256_max_ps(lo8, y[r]));
		}
	}
#pragma GCC unroll 14
	for (size_t r = 0; r < mr; r++) {
		_mm512_mask_storeu_ps(c + r * ldc, m0, x0[r]);
		if (whole)
			_mm512_mask_storeu_ps(c + r * ldc + 16, m1, x1[r]);
		if (half)
			_mm256_mask_storeu_ps(c + r * ldc + 16, mh, y[r]);
	}
}

#define ONE_TILE(mr, halves)                                                                       \
	static __attribute__((noinline)) void tile_##mr##_##halves(                                \
		size_t cols, size_t kc, const float *a, size_t lda, const float *b,                \
		const struct vt_gemm_out *o, bool first, bool last)                                \
	{                                                                                          \
		tile(mr, halves, cols, kc, a, lda, b, o, first, last);                             \
	}
#define TILE(mr) ONE_TILE(mr, 2) ONE_TILE(mr, 3) ONE_TILE(mr, 4)

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

typedef void (*tile_fn)(size_t cols, size_t kc, const float *a, size_t lda, const float *b,
			const struct vt_gemm_out *o, bool first, bool last);

#define TILES(halves)                                                                              \
	{                                                                                          \
		tile_1_##halves, tile_2_##halves, tile_3_##halves, tile_4_##halves,                \
			tile_5_##halves, tile_6_##halves, tile_7_##halves, tile_8_##halves,        \
			tile_9_##halves, tile_10_##halves, tile_11_##halves, tile_12_##halves,     \
			tile_13_##halves, tile_14_##halves                                         \
	}

/* [halves - 2][rows - 1] */
static const tile_fn tiles[3][VT_GEMM_MR] = {TILES(2), TILES(3), TILES(4)};

static void tile_any(size_t rows, size_t cols, size_t kc, const float *a, size_t lda,
		     const float *b, const struct vt_gemm_out *o, bool first, bool last)
{
	tiles[cols <= 16 ? 0 : (cols - 1) / 8 - 1][rows - 1](cols, kc, a, lda, b, o, first, last);
}

const struct vt_gemm_isa vt_gemm_avx512 = {.name = "AVX-512",
					   .mr = VT_GEMM_MR,
					   .nr = VT_GEMM_NR,
					   .kc = 1024,
					   .tile = tile_any,
					   .gather = vt_gemm_gather_v4};
