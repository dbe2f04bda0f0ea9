/* SPDX-License-Identifier: Apache-2.0 */
/*
 * avx512.h - AVX-512's intrinsics, as far as the kernels use them, in plain C: CONFIG=asan run-avx512
 *
 * Included before a file of that tier, which is then compiled for AVX2. What it computes, reads and writes is what the
 * instructions do (Intel's manual, volume 2); how long it takes is not. A lane whose mask is 0
 * is not touched, and what must be aligned is checked, so AddressSanitizer and UBSan see what the CPU would.
 * Another intrinsic that a kernel comes to use does not compile here: add it.
 */
#ifndef VT_TESTS_EMULATE_AVX512_H
#define VT_TESTS_EMULATE_AVX512_H

#include <assert.h>
#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float vt_emu __attribute__((vector_size(64)));

/* AVX2's instruction of the same name on both halves; of NaNs and zeros they make what AVX-512's do. */
#define VT_EMU_LOW(v)                                                                              \
	((__m256)__builtin_shufflevector((vt_emu)(v), (vt_emu)(v), 0, 1, 2, 3, 4, 5, 6, 7))
#define VT_EMU_HIGH(v)                                                                             \
	((__m256)__builtin_shufflevector((vt_emu)(v), (vt_emu)(v), 8, 9, 10, 11, 12, 13, 14, 15))

static inline __m512 vt_emu_join(__m256 low, __m256 high)
{
	return (__m512)__builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
					       13, 14, 15);
}

static inline __m512 vt_emu_maskz_load(__mmask16 m, const float *p)
{
	vt_emu v = {0};

	if (m == 0xffff) {
		memcpy(&v, p, sizeof(v));
		return (__m512)v;
	}
	for (int i = 0; i < 16; i++)
		if (m >> i & 1)
			v[i] = p[i];
	return (__m512)v;
}

static inline void vt_emu_mask_store(float *p, __mmask16 m, __m512 x)
{
	vt_emu v = (vt_emu)x;

	if (m == 0xffff) {
		memcpy(p, &v, sizeof(v));
		return;
	}
	for (int i = 0; i < 16; i++)
		if (m >> i & 1)
			p[i] = v[i];
}

static inline __m256 vt_emu_maskz_load8(__mmask8 m, const float *p)
{
	return VT_EMU_LOW(vt_emu_maskz_load(m, p));
}

static inline void vt_emu_mask_store8(float *p, __mmask8 m, __m256 x)
{
	vt_emu_mask_store(p, m, vt_emu_join(x, x));
}

static inline __m512 vt_emu_load_aligned(const float *p)
{
	assert((uintptr_t)p % 64 == 0);
	return vt_emu_maskz_load(0xffff, p);
}

static inline __m512 vt_emu_set1(float x)
{
	return (__m512)(x - (vt_emu){0}); /* x - 0 keeps -0 and NaN */
}

static inline __m512 vt_emu_add(__m512 a, __m512 b)
{
	return (__m512)((vt_emu)a + (vt_emu)b);
}

static inline __m512 vt_emu_fmadd(__m512 a, __m512 b, __m512 c)
{
	return vt_emu_join(_mm256_fmadd_ps(VT_EMU_LOW(a), VT_EMU_LOW(b), VT_EMU_LOW(c)),
			   _mm256_fmadd_ps(VT_EMU_HIGH(a), VT_EMU_HIGH(b), VT_EMU_HIGH(c)));
}

static inline __m512 vt_emu_max(__m512 a, __m512 b)
{
	return vt_emu_join(_mm256_max_ps(VT_EMU_LOW(a), VT_EMU_LOW(b)),
			   _mm256_max_ps(VT_EMU_HIGH(a), VT_EMU_HIGH(b)));
}

static inline __m512 vt_emu_min(__m512 a, __m512 b)
{
	return vt_emu_join(_mm256_min_ps(VT_EMU_LOW(a), VT_EMU_LOW(b)),
			   _mm256_min_ps(VT_EMU_HIGH(a), VT_EMU_HIGH(b)));
}

static inline __m512 vt_emu_sqrt(__m512 a)
{
	return vt_emu_join(_mm256_sqrt_ps(VT_EMU_LOW(a)), _mm256_sqrt_ps(VT_EMU_HIGH(a)));
}

/* To the nearest whole number, halves to the even one. */
static inline __m512 vt_emu_round(__m512 a)
{
	const int how = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;

	return vt_emu_join(_mm256_round_ps(VT_EMU_LOW(a), how),
			   _mm256_round_ps(VT_EMU_HIGH(a), how));
}

/* a * 2^floor(b), rounded once: also where 2^floor(b) is no float. */
static inline float vt_emu_scale1(float a, float b)
{
	if (isnan(a) || isnan(b))
		return a + b;
	if (isinf(b))
		return b > 0 ? a * INFINITY : isinf(a) ? NAN : copysignf(0, a);
	return ldexpf(a, (int)fmaxf(-1000, fminf(1000, floorf(b))));
}

static inline __m512 vt_emu_scale(__m512 a, __m512 b)
{
	vt_emu v, x = (vt_emu)a, y = (vt_emu)b;

	for (int i = 0; i < 16; i++)
		v[i] = vt_emu_scale1(x[i], y[i]);
	return (__m512)v;
}

#define _mm512_maskz_loadu_ps(m, p)    vt_emu_maskz_load(m, p)
#define _mm512_mask_storeu_ps(p, m, v) vt_emu_mask_store(p, m, v)
#define _mm512_loadu_ps(p)	       vt_emu_maskz_load(0xffff, p)
#define _mm256_maskz_loadu_ps(m, p)    vt_emu_maskz_load8(m, p)
#define _mm256_mask_storeu_ps(p, m, v) vt_emu_mask_store8(p, m, v)
#define _mm512_load_ps(p)	       vt_emu_load_aligned(p)
#define _mm512_castps512_ps256(v)      VT_EMU_LOW(v)
#define _mm512_set1_ps(x)	       vt_emu_set1(x)
#define _mm512_add_ps(a, b)	       vt_emu_add(a, b)
#define _mm512_fmadd_ps(a, b, c)       vt_emu_fmadd(a, b, c)
#define _mm512_max_ps(a, b)	       vt_emu_max(a, b)
#define _mm512_min_ps(a, b)	       vt_emu_min(a, b)
#define _mm512_sqrt_ps(a)	       vt_emu_sqrt(a)
#define _mm512_scalef_ps(a, b)	       vt_emu_scale(a, b)
#define _mm512_roundscale_ps(a, how)   ((void)sizeof(char[(how) == 0 ? 1 : -1]), vt_emu_round(a))

#endif
