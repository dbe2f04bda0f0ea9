/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vec.h - one vector of floats, as wide as the tier that the including file is compiled for, and
 * the elementary functions on it.
 *
 * Included only by files that are compiled once per tier (Kbuild: isa-y) with VT_TIER = 1 (any
 * x86-64, or any machine at all: GNU vectors only), 3 (AVX2 and FMA) or 4 (AVX-512). Everything is
 * static inline, so nothing of one tier can be linked into another.
 *
 * Polynomials are near-minimax fits (Chebyshev, 40 digits) made for this file; the comment beside
 * each names function, interval and error. No lookup tables: a gather would cost more than the two
 * coefficients it saves. Bounds on the errors are enforced by tests/unit/test_vec.c.
 *
 * A row's tail is computed by the same instructions as its body, on a vector padded with zeros, so
 * a value never depends on where a chunk begins or ends.
 */
#ifndef VT_KERNELS_VEC_H
#define VT_KERNELS_VEC_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if VT_TIER == 4
#define VT_LANES     16
#define VT_SUFFIX(n) n##_v4
#elif VT_TIER == 3
#define VT_LANES     8
#define VT_SUFFIX(n) n##_v3
#else
#define VT_LANES     4
#define VT_SUFFIX(n) n##_v1
#endif
#if VT_TIER >= 3
#include <immintrin.h>
#endif

typedef float vt_vf __attribute__((vector_size(VT_LANES * 4)));
typedef int32_t vt_vi __attribute__((vector_size(VT_LANES * 4)));
typedef float vt_vfu __attribute__((vector_size(VT_LANES * 4), aligned(4), may_alias));

/* ---- moving ------------------------------------------------------------------------------ */

static inline vt_vf v_set(float x)
{
	return x - (vt_vf){0}; /* x - 0 keeps -0 and NaN */
}

static inline vt_vi v_seti(int32_t x)
{
	return x - (vt_vi){0};
}

static inline vt_vf v_load(const float *p)
{
	return *(const vt_vfu *)p;
}

static inline void v_store(float *p, vt_vf v)
{
	*(vt_vfu *)p = v;
}

/* The first n < VT_LANES floats; other lanes are 0. */
static inline vt_vf v_load_part(const float *p, size_t n)
{
#if VT_TIER == 4
	return (vt_vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
	vt_vf v = {0};

	memcpy(&v, p, n * sizeof(float));
	return v;
#endif
}

static inline void v_store_part(float *p, vt_vf v, size_t n)
{
#if VT_TIER == 4
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
	memcpy(p, &v, n * sizeof(float));
#endif
}

#if VT_TIER >= 3
/*
 * The first lanes of a vector, worked out once for many rows. AVX-512 masks cost nothing; those of AVX2 do when they
 * store, and most vectors are whole.
 */
#if VT_TIER == 4
typedef __mmask16 vt_lanes;

static inline vt_lanes v_lanes(size_t n)
{
	return (__mmask16)(n >= 16 ? 0xffff : (1u << n) - 1);
}

static inline vt_vf v_load_lanes(const float *p, vt_lanes l)
{
	return (vt_vf)_mm512_maskz_loadu_ps(l, p);
}

static inline void v_store_lanes(float *p, vt_vf v, vt_lanes l)
{
	_mm512_mask_storeu_ps(p, l, (__m512)v);
}
#else
/* All ones in the first n <= VT_LANES lanes. */
static inline __m256i v_first(size_t n)
{
	return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n),
				  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

typedef struct {
	__m256i mask;
	bool whole;
} vt_lanes;

static inline vt_lanes v_lanes(size_t n)
{
	return (vt_lanes){v_first(n < 8 ? n : 8), n >= 8};
}

static inline vt_vf v_load_lanes(const float *p, vt_lanes l)
{
	return l.whole ? v_load(p) : (vt_vf)_mm256_maskload_ps(p, l.mask);
}

static inline void v_store_lanes(float *p, vt_vf v, vt_lanes l)
{
	if (l.whole)
		v_store(p, v);
	else
		_mm256_maskstore_ps(p, l.mask, (__m256)v);
}
#endif
#endif

/* ---- arithmetic that GNU vectors do not have ---------------------------------------------- */

static inline vt_vf v_sel(vt_vi mask, vt_vf yes, vt_vf no)
{
	return (vt_vf)(((vt_vi)yes & mask) | ((vt_vi)no & ~mask));
}

static inline vt_vf v_fma(vt_vf a, vt_vf b, vt_vf c)
{
#if VT_TIER == 4
	return (vt_vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif VT_TIER == 3
	return (vt_vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
	return a * b + c;
#endif
}

/* c - a * b */
static inline vt_vf v_fnma(vt_vf a, vt_vf b, vt_vf c)
{
#if VT_TIER == 3
	return (vt_vf)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
	return v_fma(-a, b, c);
#endif
}

/* b if either is NaN: what x86's instruction does, so put the operand whose NaN must survive second */
static inline vt_vf v_max_fast(vt_vf a, vt_vf b)
{
#if VT_TIER == 4
	return (vt_vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif VT_TIER == 3
	return (vt_vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
	return v_sel(a > b, a, b);
#endif
}

static inline vt_vf v_min_fast(vt_vf a, vt_vf b)
{
#if VT_TIER == 4
	return (vt_vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif VT_TIER == 3
	return (vt_vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
	return v_sel(a < b, a, b);
#endif
}

/* Max and Min of ONNX: a NaN on either side wins. */
static inline vt_vf v_max(vt_vf a, vt_vf b)
{
	return v_sel(a == a, v_max_fast(a, b), a);
}

static inline vt_vf v_min(vt_vf a, vt_vf b)
{
	return v_sel(a == a, v_min_fast(a, b), a);
}

static inline vt_vf v_abs(vt_vf x)
{
	return (vt_vf)((vt_vi)x & 0x7fffffff);
}

/* the magnitude of x with the sign of s */
static inline vt_vf v_copysign(vt_vf x, vt_vf s)
{
	return (vt_vf)(((vt_vi)x & 0x7fffffff) | ((vt_vi)s & INT32_MIN));
}

/* half to even */
static inline vt_vf v_round(vt_vf x)
{
#if VT_TIER == 4
	return (vt_vf)_mm512_roundscale_ps((__m512)x, 0);
#elif VT_TIER == 3
	return (vt_vf)_mm256_round_ps((__m256)x, 0x8);
#else
	vt_vf big = v_copysign(v_set(0x1p23f), x), r = (x + big) - big;

	return v_sel(v_abs(x) < 0x1p23f, v_copysign(r, x), x);
#endif
}

static inline vt_vf v_floor(vt_vf x)
{
	vt_vf r = v_round(x);

	return v_copysign(r - v_sel(r > x, v_set(1), v_set(0)), x);
}

static inline vt_vf v_ceil(vt_vf x)
{
	vt_vf r = v_round(x);

	return v_copysign(r + v_sel(r < x, v_set(1), v_set(0)), x);
}

static inline vt_vf v_sqrt(vt_vf x)
{
#if VT_TIER == 4
	return (vt_vf)_mm512_sqrt_ps((__m512)x);
#elif VT_TIER == 3
	return (vt_vf)_mm256_sqrt_ps((__m256)x);
#else
	for (int i = 0; i < VT_LANES; i++)
		x[i] = __builtin_sqrtf(x[i]);
	return x;
#endif
}

static inline vt_vi v_to_int(vt_vf x)
{
	return __builtin_convertvector(x, vt_vi);
}

static inline vt_vf v_to_float(vt_vi x)
{
	return __builtin_convertvector(x, vt_vf);
}

/* Lanes are added as a tree, the same in every call. */
static inline float v_hsum(vt_vf x)
{
	for (int w = VT_LANES / 2; w; w /= 2)
		for (int i = 0; i < w; i++)
			x[i] += x[i + w];
	return x[0];
}

static inline float v_hmax(vt_vf x)
{
	float m = x[0];

	for (int i = 1; i < VT_LANES; i++)
		m = x[i] > m || x[i] != x[i] ? x[i] : m;
	return m;
}

/* ---- elementary functions ----------------------------------------------------------------- */

/* x * 2^k for whole |k| <= 300, in two steps so that denormal and infinite results round once */
static inline vt_vf v_scale(vt_vf x, vt_vf k)
{
#if VT_TIER == 4
	return (vt_vf)_mm512_scalef_ps((__m512)x, (__m512)k);
#else
	vt_vi n = v_to_int(k), half = n >> 1, rest = n - half;

	return x * (vt_vf)((half + 127) << 23) * (vt_vf)((rest + 127) << 23);
#endif
}

/*
 * What exp and expm1 share: x = k ln 2 + r, k whole, |r| <= ln 2 / 2; returns e^r - 1 - r.
 * (e^r - 1 - r) / r^2 on that interval: degree 4, error 6.9e-8 of r^2, 8.2e-9 of e^r.
 */
static inline vt_vf v_exp_core(vt_vf x, vt_vf *ret_k, vt_vf *r)
{
	vt_vf k = v_round(x * 0x1.715476p+0f), q;

	*ret_k = k;
	*r = v_fnma(k, v_set(0x1.62e4p-1f), x); /* 15 bits: k times it is exact */
	*r = v_fnma(k, v_set(0x1.7f7d1cp-20f), *r);
	q = v_set(0x1.6d1606p-10f);
	q = v_fma(q, *r, v_set(0x1.12106cp-7f));
	q = v_fma(q, *r, v_set(0x1.555516p-5f));
	q = v_fma(q, *r, v_set(0x1.5554d8p-3f));
	q = v_fma(q, *r, v_set(0.5f));
	return q * (*r * *r);
}

static inline vt_vf v_exp(vt_vf x)
{
	/* Beyond these the result is 0 or infinite; NaN passes as the second operand. */
	vt_vf r, c = v_min_fast(v_set(89.0f), v_max_fast(v_set(-104.0f), x)), q, k;

	q = v_exp_core(c, &k, &r);
	return v_scale(1.0f + (r + q), k);
}

static inline vt_vf v_expm1(vt_vf x)
{
	vt_vf r, c = v_min_fast(v_set(89.0f), v_max_fast(v_set(-20.0f), x)), q, t, k;

	q = v_exp_core(c, &k, &r) + r;
	/* 2^(k - 1): 2^k may be infinite where e^x is not yet */
	t = v_scale(v_set(0.5f), k);
	q = 2.0f * v_fma(t, q, t - 0.5f);
	return v_sel(v_abs(x) < 1e-7f, x, q);
}

/*
 * x = 2^e m, m in [sqrt(1/2), sqrt 2); log m = f - f^2 / 2 + f^3 q(f), f = m - 1.
 * q on [-0.296, 0.419]: degree 8, error 3.2e-8.
 */
static inline vt_vf v_log(vt_vf x)
{
	vt_vi tiny = x < 0x1p-126f, bits, e, big;
	vt_vf m, f, q, z, k, y;

	bits = (vt_vi)v_sel(tiny, x * 0x1p23f, x);
	e = ((bits >> 23) & 0xff) - 126 - (tiny & 23);
	m = (vt_vf)((bits & 0x7fffff) | 0x3f000000); /* [1/2, 1) */
	big = m < 0x1.6a09e6p-1f;
	e += big; /* -1 where true */
	f = v_sel(big, m + m, m) - 1.0f;
	k = v_to_float(e);
	q = v_set(0x1.1d745ap-4f);
	q = v_fma(q, f, v_set(-0x1.d79714p-4f));
	q = v_fma(q, f, v_set(0x1.df4c32p-4f));
	q = v_fma(q, f, v_set(-0x1.fcd1e2p-4f));
	q = v_fma(q, f, v_set(0x1.23c874p-3f));
	q = v_fma(q, f, v_set(-0x1.555bb0p-3f));
	q = v_fma(q, f, v_set(0x1.999da0p-3f));
	q = v_fma(q, f, v_set(-0x1.fffffcp-3f));
	q = v_fma(q, f, v_set(0x1.555554p-2f));
	z = f * f;
	y = v_fma(k, v_set(0x1.7f7d1cp-20f), z * f * q);
	y = v_fnma(z, v_set(0.5f), y);
	y = v_fma(k, v_set(0x1.62e4p-1f), f + y);
	y = v_sel(x == INFINITY, x, y);
	y = v_sel(x == 0.0f, v_set(-INFINITY), y);
	return v_sel((x < 0.0f) | (x != x), v_set(NAN), y);
}

/* log(1 + u) for u in [0, 1]: the rounding of 1 + u is put back */
static inline vt_vf v_log1p01(vt_vf u)
{
	vt_vf w = 1.0f + u;

	return v_log(w) + (u - (w - 1.0f)) / w;
}

/* tanh x = x + x^3 q(x^2) below 0.63: degree 4, error 4.7e-8; above, 1 - 2 / (e^2x + 1). */
static inline vt_vf v_tanh(vt_vf x)
{
	vt_vf t = v_abs(x), z = x * x, q, far;

	q = v_set(-0x1.8d49f8p-8f);
	q = v_fma(q, z, v_set(0x1.57a01ep-6f));
	q = v_fma(q, z, v_set(-0x1.b91ae0p-5f));
	q = v_fma(q, z, v_set(0x1.110defp-3f));
	q = v_fma(q, z, v_set(-0x1.555552p-2f));
	q = v_fma(q * z, x, x);
	far = 1.0f - 2.0f / (v_exp(t + t) + 1.0f);
	return v_sel(t < 0.63f, q, v_copysign(far, x));
}

static inline vt_vf v_sigmoid(vt_vf x)
{
	return 1.0f / (1.0f + v_exp(-x));
}

/* All of a few vectors, one step of a chain at a time: the others' steps fill the waits. */
#define VT_UNROLL(i, n) _Pragma("GCC unroll 8") for (int i = 0; i < (n); i++)

/*
 * x / (1 + e^-x) of @n (a constant, at most 8) vectors in place; from -88 down the value at -88, -5e-37. NaN passes as
 * the second operand, and survives as the numerator.
 *
 * e^-x = 2^k e^-m, as v_exp() but shorter: the bits of 1.5 * 2^23 + k end with k, so one addition rounds and converts, and 2^k is
 * a normal number, so that k goes straight into the exponent. (e^-m - 1 + m) / m^2 on ln 2 / 2: degree 3, error 1.2e-7 of e^-m.
 */
static inline __attribute__((always_inline)) void v_silu(vt_vf *x, int n)
{
	const vt_vf round = v_set(0x1.8p23f);
	vt_vf c[8], k[8], m[8], q[8];

	VT_UNROLL(i, n)
	{
		x[i] = v_max_fast(v_set(-88), x[i]);
		c[i] = v_min_fast(v_set(87), x[i]);
	}
	VT_UNROLL(i, n) k[i] = v_fnma(c[i], v_set(0x1.715476p+0f), round);
	VT_UNROLL(i, n) m[i] = v_fma(k[i] - round, v_set(0x1.62e4p-1f), c[i]);
	VT_UNROLL(i, n) m[i] = v_fma(k[i] - round, v_set(0x1.7f7d1cp-20f), m[i]);
	VT_UNROLL(i, n) q[i] = v_fma(m[i], v_set(-0x1.13d052p-7f), v_set(0x1.57657ap-5f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], m[i], v_set(-0x1.5552c6p-3f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], m[i], v_set(0x1.fffd5cp-2f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], m[i], v_set(-1));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], m[i], v_set(1));
	VT_UNROLL(i, n) q[i] = (vt_vf)((vt_vi)q[i] + ((vt_vi)k[i] << 23));
	VT_UNROLL(i, n) x[i] = x[i] / (1.0f + q[i]);
}

/* erf x = x + x q(x^2) on [0, 1]: degree 6, error 1.3e-9 */
static inline vt_vf v_erf_near(vt_vf x)
{
	vt_vf z = x * x, q = v_set(0x1.4a5690p-14f);

	q = v_fma(q, z, v_set(-0x1.a45088p-11f));
	q = v_fma(q, z, v_set(0x1.541270p-8f));
	q = v_fma(q, z, v_set(-0x1.b7fabap-6f));
	q = v_fma(q, z, v_set(0x1.ce2d10p-4f));
	q = v_fma(q, z, v_set(-0x1.81273ep-2f));
	q = v_fma(q, z, v_set(0x1.06eba8p-3f));
	return v_fma(q, x, x);
}

/* erfc t = e^(-t^2) u q(u), u = 2 / (2 + t), t in [1, 10]: degree 7, error 7e-9 of 0.34 */
static inline vt_vf v_erfc_far(vt_vf t)
{
	vt_vf u = 2.0f / (2.0f + t), q = v_set(0x1.7eada2p-4f);

	q = v_fma(q, u, v_set(-0x1.cef51cp-3f));
	q = v_fma(q, u, v_set(0x1.509802p-4f));
	q = v_fma(q, u, v_set(0x1.f56fd8p-5f));
	q = v_fma(q, u, v_set(0x1.6df67cp-3f));
	q = v_fma(q, u, v_set(0x1.f9d370p-3f));
	q = v_fma(q, u, v_set(0x1.20ce3ep-2f));
	q = v_fma(q, u, v_set(0x1.20de72p-2f));
	return v_exp(-t * t) * u * q;
}

static inline vt_vf v_erf(vt_vf x)
{
	vt_vf t = v_abs(x);

	return v_sel(t < 1.0f, v_erf_near(x), v_copysign(1.0f - v_erfc_far(t), x));
}

/*
 * x Phi(x) of @n (a constant, at most 8) vectors in place, Phi(-t) = erfc(t / sqrt 2) / 2 = e^(-t^2 / 2) u q(u), t = |x|,
 * u = a / (a + t): through erfc, so that the left tail keeps its digits. As nothing cancels here, one form serves
 * all of [0, 12.9]: q of degree 8, error 6.7e-8; further left it is less than 2e-37 and counts as 0.
 *
 * The power of e is one of 2, so that what is left of its exponent is exact; degree 5, error 1.2e-7 of 2^f, |f| <= 1/2.
 */
static inline __attribute__((always_inline)) void v_gelu(vt_vf *x, int n)
{
	const vt_vf round = v_set(0x1.8p23f), a = v_set(3.125f);
	vt_vf z[8], u[8], k[8], e[8], q[8];

	VT_UNROLL(i, n) u[i] = a / (a + v_abs(x[i]));
	VT_UNROLL(i, n) z[i] = v_min_fast(v_set(12.9f * 12.9f), x[i] * x[i]);
	VT_UNROLL(i, n) k[i] = v_fnma(z[i], v_set(0x1.715476p-1f), round);
	VT_UNROLL(i, n) z[i] = v_fma(z[i], v_set(0x1.715476p-1f), k[i] - round); /* -f */
	VT_UNROLL(i, n) e[i] = v_fma(z[i], v_set(-0x1.5c4532p-10f), v_set(0x1.3d0eccp-7f));
	VT_UNROLL(i, n) e[i] = v_fma(e[i], z[i], v_set(-0x1.c6b678p-5f));
	VT_UNROLL(i, n) e[i] = v_fma(e[i], z[i], v_set(0x1.ebf910p-3f));
	VT_UNROLL(i, n) e[i] = v_fma(e[i], z[i], v_set(-0x1.62e42ap-1f));
	VT_UNROLL(i, n) e[i] = v_fma(e[i], z[i], v_set(0x1.000002p+0f));
	VT_UNROLL(i, n) e[i] = (vt_vf)((vt_vi)e[i] + ((vt_vi)k[i] << 23));
	VT_UNROLL(i, n) q[i] = v_fma(u[i], v_set(-0x1.e6af22p-7f), v_set(0x1.a1710ap-4f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], u[i], v_set(-0x1.010a48p-2f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], u[i], v_set(0x1.ec0956p-3f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], u[i], v_set(-0x1.154968p-4f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], u[i], v_set(0x1.07ad2cp-3f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], u[i], v_set(0x1.b4126ep-4f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], u[i], v_set(0x1.074f16p-3f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], u[i], v_set(0x1.055ce6p-3f));
	VT_UNROLL(i, n) q[i] = q[i] * u[i] * e[i];
	VT_UNROLL(i, n) q[i] = v_sel((vt_vi)x[i] < 0, q[i], 1.0f - q[i]);
	/* after the product, as -inf is not to become NaN; NaN is in no range, and stays */
	VT_UNROLL(i, n) x[i] = v_sel(x[i] < -12.9f, v_set(0), x[i] * q[i]);
}

/*
 * e^x of @n (a constant, at most 8) vectors in place; no x above 87, and from -87 down 0: less than 2e-38. One addition rounds and
 * converts the exponent, as in v_silu().
 */
static inline __attribute__((always_inline)) void v_exp_normal(vt_vf *x, int n)
{
	const vt_vf round = v_set(0x1.8p23f);
	vt_vf k[8], r[8], q[8];

	VT_UNROLL(i, n) r[i] = v_max_fast(v_set(-87), x[i]);
	VT_UNROLL(i, n) k[i] = v_fma(r[i], v_set(0x1.715476p+0f), round);
	VT_UNROLL(i, n) r[i] = v_fnma(k[i] - round, v_set(0x1.62e4p-1f), r[i]);
	VT_UNROLL(i, n) r[i] = v_fnma(k[i] - round, v_set(0x1.7f7d1cp-20f), r[i]);
	VT_UNROLL(i, n) q[i] = v_fma(r[i], v_set(0x1.6d1606p-10f), v_set(0x1.12106cp-7f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], r[i], v_set(0x1.555516p-5f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], r[i], v_set(0x1.5554d8p-3f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], r[i], v_set(0.5f));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], r[i], v_set(1));
	VT_UNROLL(i, n) q[i] = v_fma(q[i], r[i], v_set(1));
	VT_UNROLL(i, n) q[i] = (vt_vf)((vt_vi)q[i] + ((vt_vi)k[i] << 23));
	/* otherwise 0, or NaN, which a maximum leaves as its second operand */
	VT_UNROLL(i, n) x[i] = v_sel(x[i] >= -87.0f, q[i], v_max_fast(v_set(0), x[i]));
}

#endif
