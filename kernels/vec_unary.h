/* SPDX-License-Identifier: Apache-2.0 */
/* vec_unary.h - functions of one float on rows, of the tier being compiled; part of vec.c. */
#ifndef VT_KERNELS_VEC_UNARY_H
#define VT_KERNELS_VEC_UNARY_H

#include "kernels/isa.h"
#include "kernels/vec.h"

/* X(operator, value of the vector x with parameters a and b); SiLU is below */
#define VT_VEC_UNARY(X)                                                                            \
	X(RESHAPE, x)                                                                              \
	X(RELU, v_sel(x > 0.0f, x, v_sel(x == x, v_set(0), x)))                                    \
	X(CLIP, v_min_fast(b, v_max_fast(a, x)))                                                   \
	X(SIGMOID, v_sigmoid(x))                                                                   \
	X(HARD_SIGMOID, v_min_fast(v_set(1), v_max_fast(v_set(0), v_fma(a, x, b))))                \
	X(HARD_SWISH, x *v_min_fast(v_set(6), v_max_fast(v_set(0), x + 3.0f)) * (1.0f / 6))        \
	X(GELU_TANH, v_gelu_tanh(x))                                                               \
	X(LEAKY_RELU, v_sel(x < 0.0f, x * a, x))                                                   \
	X(ELU, v_sel(x < 0.0f, a * v_expm1(x), x))                                                 \
	X(CELU, v_sel(x < 0.0f, a * v_expm1(x / a), x))                                            \
	X(SELU, b *v_sel(x <= 0.0f, a * v_expm1(x), x))                                            \
	X(THRESHOLDED_RELU, v_sel(x > a, x, v_set(0)))                                             \
	X(SHRINK, v_sel(x < -a, x + b, v_sel(x > a, x - b, v_set(0))))                             \
	X(TANH, v_tanh(x))                                                                         \
	X(ERF, v_erf(x))                                                                           \
	X(SOFTPLUS, v_sel(x != x, x, v_max_fast(x, v_set(0)) + v_log1p01(v_exp(-v_abs(x)))))       \
	X(SOFTSIGN, x / (1.0f + v_abs(x)))                                                         \
	X(ABS, v_abs(x))                                                                           \
	X(NEG, -x)                                                                                 \
	X(EXP, v_exp(x))                                                                           \
	X(LOG, v_log(x))                                                                           \
	X(SQRT, v_sqrt(x))                                                                         \
	X(RECIPROCAL, 1.0f / x)                                                                    \
	X(FLOOR, v_floor(x))                                                                       \
	X(CEIL, v_ceil(x))                                                                         \
	X(ROUND, v_round(x))                                                                       \
	X(SIGN, v_sel(x > 0.0f, v_set(1), v_sel(x < 0.0f, v_set(-1), x)))

/* x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as x sigmoid(2 ...): the left tail keeps its digits */
static inline vt_vf v_gelu_tanh(vt_vf x)
{
	vt_vf c = v_max_fast(v_set(-15.0f), v_min_fast(v_set(15.0f), x));
	vt_vf u = c * v_fma(c * c, v_set(2 * 0.7978845608f * 0.044715f), v_set(2 * 0.7978845608f));

	return x / (1.0f + v_exp(-u));
}

/* One row function from the expression @f of x, a, b, with y[i] loaded by LOAD(i). */
#define VT_ROW(LOAD, LOAD_PART, f)                                                                 \
	const vt_vf a = v_set(sa), b = v_set(sb);                                                  \
	size_t i = 0;                                                                              \
                                                                                                   \
	(void)a, (void)b;                                                                          \
	for (; i + VT_LANES <= n; i += VT_LANES) {                                                 \
		vt_vf x = LOAD;                                                                    \
		v_store(y + i, f);                                                                 \
	}                                                                                          \
	if (i < n) {                                                                               \
		vt_vf x = LOAD_PART;                                                               \
		v_store_part(y + i, f, n - i);                                                     \
	}

#define X(op, f)                                                                                   \
	static void row_##op(float *y, const float *src, size_t n, float sa, float sb)             \
	{                                                                                          \
		VT_ROW(v_load(src + i), v_load_part(src + i, n - i), f)                            \
	}                                                                                          \
	static void add_##op(float *y, const float *r, size_t n, float sa, float sb)               \
	{                                                                                          \
		VT_ROW(v_load(y + i) + v_load(r + i),                                              \
		       v_load_part(y + i, n - i) + v_load_part(r + i, n - i), f)                   \
	}
VT_VEC_UNARY(X)
#undef X

/* Those of which a model has millions: two vectors at a time. */
#define VT_VEC_UNARY_PAIRS(X) X(SILU, v_silu) X(GELU, v_gelu)

static inline __attribute__((always_inline)) void
pairs_row(void (*f)(vt_vf *x, int n), float *y, const float *a, const float *b, size_t n)
{
	size_t i = 0;
	vt_vf x[2];

	for (; i + 2 * VT_LANES <= n; i += 2 * VT_LANES) {
		VT_UNROLL(j, 2)
		{
			x[j] = v_load(a + i + j * VT_LANES);
			if (b)
				x[j] += v_load(b + i + j * VT_LANES);
		}
		f(x, 2);
		VT_UNROLL(j, 2) v_store(y + i + j * VT_LANES, x[j]);
	}
	for (size_t some; i < n; i += some) {
		some = n - i < VT_LANES ? n - i : VT_LANES;
		x[0] = v_load_part(a + i, some);
		if (b)
			x[0] += v_load_part(b + i, some);
		f(x, 1);
		v_store_part(y + i, x[0], some);
	}
}

#define X(op, f)                                                                                   \
	static void row_##op(float *y, const float *src, size_t n, float sa, float sb)             \
	{                                                                                          \
		pairs_row(f, y, src, NULL, n);                                                     \
	}                                                                                          \
	static void add_##op(float *y, const float *r, size_t n, float sa, float sb)               \
	{                                                                                          \
		pairs_row(f, y, y, r, n);                                                          \
	}
VT_VEC_UNARY_PAIRS(X)
#undef X

#endif
