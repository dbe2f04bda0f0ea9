// SPDX-License-Identifier: Apache-2.0
/*
 * The row kernels of every tier this machine has: how far each function is from the true value, in
 * units of the last place, over bit patterns spread across its whole domain; and that a value does
 * not depend on where a row is cut.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "harness.h"
#include "kernels/half.h"
#include "kernels/isa.h"

#define N 4099 /* odd: every tier has a tail */

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}
static double silu(double x)
{
	return x / (1 + exp(-x));
}
static double gelu(double x)
{
	return 0.5 * x * erfc(-x * M_SQRT1_2);
}
static double gelu_tanh(double x)
{
	double u = 2 * 0.7978845608028654 * (x + 0.044715 * x * x * x);

	return x / (1 + exp(-u));
}
static double softplus(double x)
{
	return fmax(x, 0) + log1p(exp(-fabs(x)));
}
static double elu(double x)
{
	return x < 0 ? 1.5 * expm1(x) : x;
}
static double celu(double x)
{
	return x < 0 ? 1.5 * expm1(x / 1.5) : x;
}
static double selu(double x)
{
	return 1.25 * (x <= 0 ? 1.5 * expm1(x) : x);
}
static double hard_swish(double x)
{
	return x * fmin(1, fmax(0, x / 6 + 0.5));
}
static double hard_sigmoid(double x)
{
	return fmin(1, fmax(0, 1.5 * x + 1.25));
}
static double relu(double x)
{
	return x > 0 ? x : 0;
}
static double clip(double x)
{
	return x < -0.5 ? -0.5 : x > 1.25 ? 1.25 : x;
}
static double leaky(double x)
{
	return x < 0 ? 1.5 * x : x;
}
static double threshold(double x)
{
	return x > 1.5 ? x : 0;
}
static double shrink(double x)
{
	return x < -1.5 ? x + 1.25 : x > 1.5 ? x - 1.25 : 0;
}
static double softsign(double x)
{
	return x / (1 + fabs(x));
}
static double neg(double x)
{
	return -x;
}
static double reciprocal(double x)
{
	return 1 / x;
}
static double sign(double x)
{
	return x > 0 ? 1 : x < 0 ? -1 : x;
}

/* @ulp: units of the last place of the true result; @floor: below it the error counts as if the
 * result were that large */
static const struct {
	enum vt_op op;
	double (*f)(double);
	float a, b;
	double lo, hi, ulp, floor;
} functions[] = {
	{VT_OP_EXP, exp, 0, 0, -110, 95, 2, 0},
	{VT_OP_LOG, log, 0, 0, 0, INFINITY, 2, 0},
	{VT_OP_TANH, tanh, 0, 0, -INFINITY, INFINITY, 3, 0},
	{VT_OP_SIGMOID, sigmoid, 0, 0, -87, INFINITY, 3, 0},
	{VT_OP_SILU, silu, 0, 0, -87, INFINITY, 4, 0},
	{VT_OP_ERF, erf, 0, 0, -INFINITY, INFINITY, 3, 0},
	{VT_OP_GELU, gelu, 0, 0, -5, INFINITY, 30, 0},
	{VT_OP_GELU_TANH, gelu_tanh, 0, 0, -5, INFINITY, 30, 0},
	{VT_OP_SOFTPLUS, softplus, 0, 0, -80, INFINITY, 4, 0},
	{VT_OP_ELU, elu, 1.5f, 0, -INFINITY, INFINITY, 4, 0},
	{VT_OP_CELU, celu, 1.5f, 0, -INFINITY, INFINITY, 4, 0},
	{VT_OP_SELU, selu, 1.5f, 1.25f, -INFINITY, INFINITY, 5, 0},
	{VT_OP_HARD_SWISH, hard_swish, 0, 0, -100, 100, 4, 1e-6},
	{VT_OP_HARD_SIGMOID, hard_sigmoid, 1.5f, 1.25f, -100, 100, 2, 0.5},
	{VT_OP_RELU, relu, 0, 0, -INFINITY, INFINITY, 0, 0},
	{VT_OP_CLIP, clip, -0.5f, 1.25f, -INFINITY, INFINITY, 0, 0},
	{VT_OP_LEAKY_RELU, leaky, 1.5f, 0, -1e38, INFINITY, 0.5, 0},
	{VT_OP_THRESHOLDED_RELU, threshold, 1.5f, 0, -INFINITY, INFINITY, 0, 0},
	{VT_OP_SHRINK, shrink, 1.5f, 1.25f, -INFINITY, INFINITY, 0.5, 0},
	{VT_OP_SOFTSIGN, softsign, 0, 0, -1e38, 1e38, 2, 0},
	{VT_OP_ABS, fabs, 0, 0, -INFINITY, INFINITY, 0, 0},
	{VT_OP_NEG, neg, 0, 0, -INFINITY, INFINITY, 0, 0},
	{VT_OP_SQRT, sqrt, 0, 0, 0, INFINITY, 0.5, 0},
	{VT_OP_RECIPROCAL, reciprocal, 0, 0, -INFINITY, INFINITY, 0.5, 0},
	{VT_OP_FLOOR, floor, 0, 0, -INFINITY, INFINITY, 0, 0},
	{VT_OP_CEIL, ceil, 0, 0, -INFINITY, INFINITY, 0, 0},
	{VT_OP_ROUND, rint, 0, 0, -INFINITY, INFINITY, 0, 0},
	{VT_OP_SIGN, sign, 0, 0, -INFINITY, INFINITY, 0, 0},
};

/* Distance in units of the last place of @want as a float. */
static double ulps(float got, double want, double floor_value)
{
	float w = (float)want;
	double unit;

	if (got == w || (got != got && want != want))
		return 0;
	if (got != got || want != want)
		return INFINITY;
	if (isinf(w) || isinf(got)) /* rounding at the very end of the range is no error */
		return fabs(fmin(fabs((double)got), 0x1p128) - fmin(fabs(want), 0x1p128)) *
		       0x1p-104;
	unit = fmax(fabs(want), floor_value);
	unit = unit < 0x1p-126 ? 0x1p-149 : ldexp(1, ilogb(unit) - 23);
	return fabs(got - want) / unit;
}

static void check_function(const struct vt_vec *v, size_t k)
{
	static float x[N], y[N];
	double worst = 0, at = 0;
	size_t n = 0;

	/* 21 013 is prime: all exponents, both signs, ever different mantissas */
	for (uint64_t u = 0; u < (uint64_t)1 << 32; u += 21013) {
		float f = vt_bits_f32((uint32_t)u);

		if (f >= functions[k].lo && f <= functions[k].hi)
			x[n++] = f;
		if (n < N && u + 21013 < (uint64_t)1 << 32)
			continue;
		v->unary[functions[k].op](y, x, n, functions[k].a, functions[k].b);
		for (size_t i = 0; i < n; i++) {
			double d = ulps(y[i], functions[k].f(x[i]), functions[k].floor);

			if (d > worst) {
				worst = d;
				at = x[i];
			}
		}
		n = 0;
	}
	if (getenv("VT_SHOW_ULP"))
		fprintf(stderr, "# %-8s %-16s %6.2f ulp at %.9g\n", v->name,
			vt_op_name(functions[k].op), worst, at);
	if (worst > functions[k].ulp)
		fail_msg("%s %s: %.2f ulp at %.9g, allowed %.2f", v->name,
			 vt_op_name(functions[k].op), worst, at, functions[k].ulp);
}

static void accuracy(void **state)
{
	for (int t = 0; t < VT_TIER_COUNT; t++)
		for (size_t k = 0; vt_vec_tier(t) && k < VT_COUNT(functions); k++)
			check_function(vt_vec_tier(t), k);
}

static void special_values(void **state)
{
	static const struct {
		enum vt_op op;
		float x, want;
	} rows[] = {
		{VT_OP_EXP, -INFINITY, 0},
		{VT_OP_EXP, INFINITY, INFINITY},
		{VT_OP_EXP, NAN, NAN},
		{VT_OP_EXP, 0, 1},
		{VT_OP_LOG, 0, -INFINITY},
		{VT_OP_LOG, -1, NAN},
		{VT_OP_LOG, NAN, NAN},
		{VT_OP_LOG, INFINITY, INFINITY},
		{VT_OP_TANH, INFINITY, 1},
		{VT_OP_TANH, -INFINITY, -1},
		{VT_OP_TANH, NAN, NAN},
		{VT_OP_ERF, INFINITY, 1},
		{VT_OP_ERF, -INFINITY, -1},
		{VT_OP_ERF, NAN, NAN},
		{VT_OP_SIGMOID, INFINITY, 1},
		{VT_OP_SIGMOID, -INFINITY, 0},
		{VT_OP_SILU, INFINITY, INFINITY},
		{VT_OP_SILU, NAN, NAN},
		{VT_OP_SILU, 0, 0},
		{VT_OP_GELU, INFINITY, INFINITY},
		{VT_OP_GELU, -INFINITY, 0},
		{VT_OP_GELU, NAN, NAN},
		{VT_OP_SOFTPLUS, -INFINITY, 0},
		{VT_OP_SOFTPLUS, NAN, NAN},
		{VT_OP_RELU, NAN, NAN},
		{VT_OP_CLIP, NAN, NAN},
		{VT_OP_SIGN, NAN, NAN},
		{VT_OP_ELU, -INFINITY, -0.5f},
	};

	for (int t = 0; t < VT_TIER_COUNT; t++)
		for (size_t i = 0; vt_vec_tier(t) && i < VT_COUNT(rows); i++) {
			float y;

			vt_vec_tier(t)->unary[rows[i].op](&y, &rows[i].x, 1, 0.5f, 1.0f);
			if (y != rows[i].want && !(y != y && rows[i].want != rows[i].want))
				fail_msg("%s %s(%g) = %g, want %g", vt_vec_tier(t)->name,
					 vt_op_name(rows[i].op), (double)rows[i].x, (double)y,
					 (double)rows[i].want);
		}
}

/* Far on the left SiLU is as good as 0, on every tier, and not the NaN of -inf / inf. */
static void silu_far_left(void **state)
{
	static const float x[] = {-88, -89, -1e5f, -1e30f, -INFINITY};

	for (int t = 0; t < VT_TIER_COUNT; t++)
		for (size_t i = 0; vt_vec_tier(t) && i < VT_COUNT(x); i++) {
			float y;

			vt_vec_tier(t)->unary[VT_OP_SILU](&y, &x[i], 1, 0, 0);
			assert_true(y <= 0 && y > -1e-36f);
		}
}

static void fill(float *x, size_t n, uint64_t seed)
{
	struct vt_rng r = {seed};

	for (size_t i = 0; i < n; i++)
		x[i] = (float)(vt_rng_unit(&r) * 8 - 4);
}

/* The same bits, however a row is cut; the fused addition is the addition, then the function. */
static void cuts(void **state)
{
	static float x[N], r[N], whole[N], parts[N];
	struct vt_rng rng = {7};

	fill(x, N, 1);
	fill(r, N, 2);
	for (int t = 0; t < VT_TIER_COUNT; t++)
		for (int op = 0; vt_vec_tier(t) && op < VT_OP_COUNT; op++) {
			const struct vt_vec *v = vt_vec_tier(t);

			if (!v->unary[op])
				continue;
			v->unary[op](whole, x, N, 0.5f, 0.75f);
			for (size_t i = 0, n; i < N; i += n) {
				n = 1 + vt_rng_below(&rng, 70);
				n = n < N - i ? n : N - i;
				v->unary[op](parts + i, x + i, n, 0.5f, 0.75f);
			}
			assert_memory_equal(whole, parts, sizeof(whole));
			for (size_t i = 0; i < N; i++)
				parts[i] = x[i] + r[i];
			v->unary[op](parts, parts, N, 0.5f, 0.75f);
			memcpy(whole, x, sizeof(whole));
			v->add_unary[op](whole, r, N, 0.5f, 0.75f);
			assert_memory_equal(whole, parts, sizeof(whole));
		}
}

static double fold(enum vt_fold f, double acc, double x)
{
	switch (f) {
	case VT_FOLD_SUM:
		return acc + x;
	case VT_FOLD_SUMSQ:
		return acc + x * x;
	case VT_FOLD_ABS:
		return acc + fabs(x);
	case VT_FOLD_MAX:
		return x > acc ? x : acc;
	default:
		return x < acc ? x : acc;
	}
}

static void folds(void **state)
{
	static const size_t sizes[] = {1, 3, 15, 16, 17, 63, 64, 65, 1000, N};
	static float x[N], acc[N], y[N];

	fill(x, N, 3);
	fill(acc, N, 4);
	for (int t = 0; t < VT_TIER_COUNT; t++)
		for (int f = 0; vt_vec_tier(t) && f < VT_FOLD_COUNT; f++)
			for (size_t s = 0; s < VT_COUNT(sizes); s++) {
				double want = f == VT_FOLD_MAX	 ? -INFINITY
					      : f == VT_FOLD_MIN ? INFINITY
								 : 0;
				size_t n = sizes[s];

				for (size_t i = 0; i < n; i++)
					want = fold(f, want, x[i]);
				assert_float_equal(vt_vec_tier(t)->reduce[f](x, n), want,
						   1e-6 * (double)n);
				memcpy(y, acc, sizeof(y));
				vt_vec_tier(t)->accum[f](y, x, n);
				for (size_t i = 0; i < n; i++)
					assert_float_equal(y[i], fold(f, acc[i], x[i]), 4e-6);
			}
}

/* A million times 0.1: a running float sum is off by 1e-3 of it, a blocked one by its rounding. */
static void long_sum(void **state)
{
	size_t n = 1 << 20;
	float *x = malloc(n * sizeof(*x));

	assert_non_null(x);
	for (size_t i = 0; i < n; i++)
		x[i] = 0.1f;
	for (int t = 0; t < VT_TIER_COUNT; t++)
		if (vt_vec_tier(t))
			assert_float_equal(vt_vec_tier(t)->reduce[VT_FOLD_SUM](x, n),
					   (double)0.1f * (double)n, 0.1);
	free(x);
}

/* What no float holds, early in a row: the infinity stays one, however long the row goes on. */
static void infinite_sums(void **state)
{
	static const size_t sizes[] = {5, 100, 600, 1200, 2400, N};
	static const struct {
		enum vt_fold f;
		float early, last, want;
	} rows[] = {
		{VT_FOLD_SUM, INFINITY, 1, INFINITY},
		{VT_FOLD_SUM, -INFINITY, 1, -INFINITY},
		{VT_FOLD_SUM, INFINITY, INFINITY, INFINITY},
		{VT_FOLD_SUM, INFINITY, -INFINITY, NAN},
		{VT_FOLD_SUM, NAN, 1, NAN},
		{VT_FOLD_SUM, 3e38f, 3e38f, INFINITY},
		{VT_FOLD_SUMSQ, 1e20f, 1, INFINITY},
		{VT_FOLD_SUMSQ, -INFINITY, 1, INFINITY},
		{VT_FOLD_ABS, -INFINITY, 1, INFINITY},
		{VT_FOLD_ABS, INFINITY, NAN, NAN},
	};
	static float x[N];

	for (int t = 0; t < VT_TIER_COUNT; t++)
		for (size_t i = 0; vt_vec_tier(t) && i < VT_COUNT(rows) * VT_COUNT(sizes); i++) {
			const size_t n = sizes[i % VT_COUNT(sizes)], k = i / VT_COUNT(sizes);
			const float want = rows[k].want;
			float y;

			for (size_t j = 0; j < n; j++)
				x[j] = 1;
			x[3] = rows[k].early;
			x[n - 1] = rows[k].last;
			y = vt_vec_tier(t)->reduce[rows[k].f](x, n);
			if (y != want && !(y != y && want != want))
				fail_msg("%s, row %zu of %zu values: %g, want %g",
					 vt_vec_tier(t)->name, k, n, (double)y, (double)want);
		}
}

/* Each row combination against its definition in double. */
static void combinations(void **state)
{
	static const size_t sizes[] = {1, 5, 16, 33, 100};
	static float x[N], a[N], b[N], y[N];

	fill(x, N, 5);
	fill(a, N, 6);
	fill(b, N, 7);
	for (int t = 0; t < VT_TIER_COUNT; t++)
		for (size_t s = 0; vt_vec_tier(t) && s < VT_COUNT(sizes); s++) {
			const struct vt_vec *v = vt_vec_tier(t);
			size_t n = sizes[s], i;
			double sum = 0, dev = 0;

#define EACH(call, want)                                                                           \
	call;                                                                                      \
	for (i = 0; i < n; i++)                                                                    \
	assert_float_equal(y[i], want, 2e-5)
			for (i = 0; i < n; i++) {
				sum += exp(x[i] - 4.0);
				dev += (x[i] - 0.5) * (x[i] - 0.5);
			}
			assert_float_equal(v->exp_sum(y, x, NULL, n, 4.0f), sum, 1e-5 * sum);
			assert_float_equal(v->dev_sq(x, n, 0.5f), dev, 1e-5 * dev);
			EACH(v->exp_sum(y, x, NULL, n, 4.0f), exp(x[i] - 4.0));
			EACH(v->exp_sum(y, x, a, n, 6.0f), exp((double)x[i] + a[i] - 6.0));
			EACH(v->scale_rows(y, x, a, b, n), x[i] * a[i] + b[i]);
			EACH(v->scale_rows(y, x, a, NULL, n), x[i] * a[i]);
			EACH(v->normalize(y, x, n, 0.5f, 2, a, b), (x[i] - 0.5) * 2 * a[i] + b[i]);
			EACH(v->normalize(y, x, n, 0.5f, 2, a, NULL), (x[i] - 0.5) * 2 * a[i]);
			EACH(v->affine(y, x, n, 3, 0.5f), x[i] * 3 + 0.5);
			EACH(v->lerp(y, a, b, n, 0.25f), a[i] + (b[i] - a[i]) * 0.25);
			EACH((memcpy(y, a, sizeof(y)), v->axpy(y, x, n, 3)), a[i] + x[i] * 3);
			EACH((v->unary[VT_OP_ABS](a, a, N, 0, 0), v->lrn(y, x, a, n, 2, 0.75f, 1)),
			     x[i] / pow(1 + 2 * a[i], 0.75));
			EACH(v->lrn(y, x, a, n, 2, 0.6f, 1), x[i] / pow(1 + 2 * a[i], 0.6));
#undef EACH
		}
}

/* What softmax rests on: nothing left of a hidden key, every NaN seen, whatever its bits, wherever in a row of any length. */
static void exponentials_of_a_row(void **state)
{
	static const size_t sizes[] = {1, 7, 16, 33};
	static const struct {
		float x, r, want;
	} rows[] = {
		{-INFINITY, 0, 0}, {0, -INFINITY, 0}, {-87.5f, 0, 0}, {-1e30f, -1e30f, 0},
		{0, 0, 1},	   {-3, 3, 1},	      {NAN, 0, NAN},  {0, NAN, NAN},
	};
	const uint32_t odd_nan = 0xffc12345;
	float x[33], r[33], y[33];

	for (int t = 0; t < VT_TIER_COUNT; t++)
		for (size_t i = 0; vt_vec_tier(t) && i < VT_COUNT(rows) * VT_COUNT(sizes); i++) {
			const struct vt_vec *v = vt_vec_tier(t);
			const size_t n = sizes[i % VT_COUNT(sizes)], k = i / VT_COUNT(sizes),
				     at = n / 2;
			const float want = rows[k].want;
			float sum;

			for (size_t j = 0; j < n; j++)
				x[j] = r[j] = 0;
			x[at] = rows[k].x;
			r[at] = rows[k].r;
			if (n > 1 && want == want)
				assert_float_equal(v->max_plus(x, r, n), 0, 0);
			sum = v->exp_sum(y, x, r, n, 0);
			assert_true(y[at] == want || (y[at] != y[at] && want != want));
			assert_true(sum == (float)(n - 1) + want || (sum != sum && want != want));
			memcpy(&x[at], &odd_nan, sizeof(odd_nan));
			sum = v->exp_sum(y, x, NULL, n, 0);
			assert_true(y[at] != y[at] && sum != sum);
			x[at] = 5;
			assert_float_equal(v->max_plus(x, NULL, n), 5, 0);
		}
}

/* Every half there is, both ways; and floats around them against the definition of rounding. */
static void halves(void **state)
{
	static uint16_t h[1 << 16], back[1 << 16];
	static float f[1 << 16];

	for (int t = 0; t < VT_TIER_COUNT; t++) {
		if (!vt_vec_tier(t))
			continue;
		for (uint32_t i = 0; i < 1 << 16; i++)
			h[i] = (uint16_t)i;
		vt_vec_tier(t)->from_half(f, h, 1 << 16);
		vt_vec_tier(t)->to_half(back, f, 1 << 16);
		for (uint32_t i = 0; i < 1 << 16; i++) {
			uint32_t mag = i & 0x7fff;
			double want = mag < 0x400
					      ? ldexp(mag, -24)
					      : ldexp(0x400 + (mag & 0x3ff), (int)(mag >> 10) - 25);

			if (mag > 0x7c00) {
				assert_true(f[i] != f[i] && (back[i] & 0x7fff) > 0x7c00);
				continue;
			}
			assert_int_equal(back[i], i);
			assert_true(mag == 0x7c00 ? isinf(f[i]) : fabsf(f[i]) == want);
		}
		/* between neighbours a and b: nearer wins, halfway goes to the even one */
		for (uint32_t i = 0; i < 0x7bff; i++) {
			float a = vt_f16_to_f32((uint16_t)i), b = vt_f16_to_f32((uint16_t)(i + 1));
			float mid = (a + b) / 2,
			      x[3] = {nextafterf(mid, a), mid, nextafterf(mid, b)};
			uint16_t y[3];

			vt_vec_tier(t)->to_half(y, x, 3);
			assert_int_equal(y[0], i);
			assert_int_equal(y[1], i + (i & 1));
			assert_int_equal(y[2], i + 1);
		}
	}
	assert_int_equal(vt_f32_to_f16(65519.996f), 0x7bff);
	assert_int_equal(vt_f32_to_f16(65520.0f), 0x7c00);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accuracy),	 cmocka_unit_test(special_values),
		cmocka_unit_test(cuts),		 cmocka_unit_test(folds),
		cmocka_unit_test(long_sum),	 cmocka_unit_test(exponentials_of_a_row),
		cmocka_unit_test(combinations),	 cmocka_unit_test(halves),
		cmocka_unit_test(silu_far_left), cmocka_unit_test(infinite_sums),
	};

	return cmocka_run_group_tests_name("vec", tests, NULL, NULL);
}
