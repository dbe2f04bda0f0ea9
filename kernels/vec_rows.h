/* SPDX-License-Identifier: Apache-2.0 */
/* vec_rows.h - reductions and row combinations of the tier being compiled; part of vec.c. */
#ifndef VT_KERNELS_VEC_ROWS_H
#define VT_KERNELS_VEC_ROWS_H

#include "kernels/isa.h"
#include "kernels/vec.h"

/* ---- folds ------------------------------------------------------------------------------- */

/*
 * A row to a number. Four accumulators hide the latency of the adder; they are emptied into a total
 * every 32 steps, and the total carries what its additions lost (Kahan), so that the error does not
 * grow with n. An infinite total has lost nothing: inf - inf would make it NaN.
 */
#define VT_REDUCE(name, INIT, STEP, JOIN, TOTAL, PART, LAST)                                       \
	static float name(const float *p, size_t n)                                                \
	{                                                                                          \
		vt_vf total = v_set(INIT), lost = v_set(0);                                        \
		size_t i = 0;                                                                      \
                                                                                                   \
		(void)lost;                                                                        \
		while (i + 4 * VT_LANES <= n) {                                                    \
			vt_vf s[4] = {v_set(INIT), v_set(INIT), v_set(INIT), v_set(INIT)};         \
			size_t stop = n - i > 128 * VT_LANES ? i + 128 * VT_LANES : n;             \
                                                                                                   \
			for (; i + 4 * VT_LANES <= stop; i += 4 * VT_LANES) {                      \
				for (int k = 0; k < 4; k++) {                                      \
					vt_vf x = v_load(p + i + k * VT_LANES), acc = s[k];        \
					s[k] = STEP;                                               \
				}                                                                  \
			}                                                                          \
			TOTAL(JOIN(JOIN(s[0], s[1]), JOIN(s[2], s[3])));                           \
		}                                                                                  \
		for (; i + VT_LANES <= n; i += VT_LANES) {                                         \
			vt_vf x = v_load(p + i), acc = total;                                      \
			total = STEP;                                                              \
		}                                                                                  \
		if (i < n) {                                                                       \
			vt_vf x = PART(p + i, n - i), acc = total;                                 \
			total = STEP;                                                              \
		}                                                                                  \
		return LAST(total);                                                                \
	}

static inline vt_vf v_add(vt_vf a, vt_vf b)
{
	return a + b;
}

/* A short row padded with its own first element: neutral for max and min. */
static inline vt_vf v_load_repeat(const float *p, size_t n)
{
	vt_vf v = v_set(p[0]);

	memcpy(&v, p, n * sizeof(float));
	return v;
}

static inline float v_hmin(vt_vf x)
{
	return -v_hmax(-x);
}

#define KAHAN(block)                                                                               \
	do {                                                                                       \
		vt_vf d = (block)-lost, u = total + d;                                             \
		lost = v_sel(u - u == 0.0f, (u - total) - d, v_set(0));                            \
		total = u;                                                                         \
	} while (0)
#define TOTAL_MAX(block) (total = v_max(total, block))
#define TOTAL_MIN(block) (total = v_min(total, block))

VT_REDUCE(reduce_sum, 0.0f, acc + x, v_add, KAHAN, v_load_part, v_hsum)
VT_REDUCE(reduce_sumsq, 0.0f, v_fma(x, x, acc), v_add, KAHAN, v_load_part, v_hsum)
VT_REDUCE(reduce_abs, 0.0f, acc + v_abs(x), v_add, KAHAN, v_load_part, v_hsum)
VT_REDUCE(reduce_max, -INFINITY, v_max(acc, x), v_max, TOTAL_MAX, v_load_repeat, v_hmax)
VT_REDUCE(reduce_min, INFINITY, v_min(acc, x), v_min, TOTAL_MIN, v_load_repeat, v_hmin)

/* ---- rows into rows ----------------------------------------------------------------------- */

/* for each vector of y[0..n): f, where LD(p) loads the part of row p that belongs to it */
#define VT_EACH(y, n, f)                                                                           \
	do {                                                                                       \
		size_t i = 0;                                                                      \
                                                                                                   \
		for (; i + VT_LANES <= (n); i += VT_LANES) {                                       \
			const size_t m = VT_LANES;                                                 \
			v_store((y) + i, f);                                                       \
		}                                                                                  \
		if (i < (n)) {                                                                     \
			const size_t m = (n)-i;                                                    \
			v_store_part((y) + i, f, m);                                               \
		}                                                                                  \
	} while (0)
#define LD(p) (m == VT_LANES ? v_load((p) + i) : v_load_part((p) + i, m))

static void accum_sum(float *acc, const float *x, size_t n)
{
	VT_EACH(acc, n, LD(acc) + LD(x));
}

static void accum_sumsq(float *acc, const float *x, size_t n)
{
	VT_EACH(acc, n, v_fma(LD(x), LD(x), LD(acc)));
}

static void accum_abs(float *acc, const float *x, size_t n)
{
	VT_EACH(acc, n, LD(acc) + v_abs(LD(x)));
}

static void accum_max(float *acc, const float *x, size_t n)
{
	VT_EACH(acc, n, v_max(LD(acc), LD(x)));
}

static void accum_min(float *acc, const float *x, size_t n)
{
	VT_EACH(acc, n, v_min(LD(acc), LD(x)));
}

/* The same down a block of columns: the sums stay in registers while the rows pass. */
#define VT_ROWS(name, STEP)                                                                        \
	static void name(float *acc, const float *x, size_t n, size_t rows, size_t stride)         \
	{                                                                                          \
		size_t i = 0;                                                                      \
                                                                                                   \
		for (; i + 4 * VT_LANES <= n; i += 4 * VT_LANES) {                                 \
			vt_vf s[4];                                                                \
			for (int k = 0; k < 4; k++)                                                \
				s[k] = v_load(acc + i + k * VT_LANES);                             \
			for (size_t r = 0; r < rows; r++)                                          \
				for (int k = 0; k < 4; k++) {                                      \
					vt_vf v = v_load(x + r * stride + i + k * VT_LANES),       \
					      a = s[k];                                            \
					s[k] = STEP;                                               \
				}                                                                  \
			for (int k = 0; k < 4; k++)                                                \
				v_store(acc + i + k * VT_LANES, s[k]);                             \
		}                                                                                  \
		for (size_t m; i < n; i += m) {                                                    \
			vt_vf a;                                                                   \
			m = n - i < VT_LANES ? n - i : VT_LANES;                                   \
			a = LD(acc);                                                               \
			for (size_t r = 0; r < rows; r++) {                                        \
				vt_vf v = LD(x + r * stride);                                      \
				a = STEP;                                                          \
			}                                                                          \
			if (m == VT_LANES)                                                         \
				v_store(acc + i, a);                                               \
			else                                                                       \
				v_store_part(acc + i, a, m);                                       \
		}                                                                                  \
	}

VT_ROWS(rows_sum, a + v)
VT_ROWS(rows_sumsq, v_fma(v, v, a))
VT_ROWS(rows_abs, a + v_abs(v))
VT_ROWS(rows_max, v_max(a, v))
VT_ROWS(rows_min, v_min(a, v))

static inline vt_vf v_plus(const float *x, const float *r, size_t i)
{
	return r ? v_load(x + i) + v_load(r + i) : v_load(x + i);
}

/* What is left of a row, behind it @rest. */
static inline vt_vf v_plus_part(const float *x, const float *r, size_t n, float rest)
{
	vt_vf v = v_set(rest);

	memcpy(&v, x, n * sizeof(float));
	return r ? v + v_load_part(r, n) : v;
}

static float max_plus(const float *x, const float *r, size_t n)
{
	vt_vf max[2] = {v_set(-INFINITY), v_set(-INFINITY)};
	size_t i = 0;

	for (; i + 2 * VT_LANES <= n; i += 2 * VT_LANES)
		VT_UNROLL(j, 2)
	max[j] = v_max_fast(max[j], v_plus(x, r, i + j * VT_LANES));
	for (size_t some; i < n; i += some) {
		some = n - i < VT_LANES ? n - i : VT_LANES;
		max[0] = v_max_fast(max[0], v_plus_part(x + i, r ? r + i : NULL, some, -INFINITY));
	}
	return v_hmax(v_max_fast(max[0], max[1]));
}

static float exp_sum(float *y, const float *x, const float *r, size_t n, float max)
{
	vt_vf sum[2] = {v_set(0), v_set(0)}, e[2];
	size_t i = 0;

	for (; i + 2 * VT_LANES <= n; i += 2 * VT_LANES) {
		VT_UNROLL(j, 2) e[j] = v_plus(x, r, i + j * VT_LANES) - max;
		v_exp_normal(e, 2);
		VT_UNROLL(j, 2)
		{
			v_store(y + i + j * VT_LANES, e[j]);
			sum[j] += e[j];
		}
	}
	for (size_t some; i < n; i += some) {
		some = n - i < VT_LANES ? n - i : VT_LANES;
		e[0] = v_plus_part(x + i, r ? r + i : NULL, some, -INFINITY) - max;
		v_exp_normal(e, 1);
		v_store_part(y + i, e[0], some);
		sum[0] += e[0];
	}
	return v_hsum(sum[0] + sum[1]);
}

static float dev_sq(const float *x, size_t n, float mean)
{
	vt_vf sum[2] = {v_set(0), v_set(0)}, d;
	size_t i = 0, k = 0;

	for (; i + VT_LANES <= n; i += VT_LANES, k ^= 1) {
		d = v_load(x + i) - mean;
		sum[k] = v_fma(d, d, sum[k]);
	}
	if (i < n) {
		vt_vf pad = v_set(mean);

		memcpy(&pad, x + i, (n - i) * sizeof(float));
		d = pad - mean;
		sum[k] = v_fma(d, d, sum[k]);
	}
	return v_hsum(sum[0] + sum[1]);
}

static void scale_rows(float *y, const float *x, const float *s, const float *b, size_t n)
{
	if (b)
		VT_EACH(y, n, v_fma(LD(x), LD(s), LD(b)));
	else
		VT_EACH(y, n, LD(x) * LD(s));
}

static void normalize(float *y, const float *x, size_t n, float mean, float inv, const float *s,
		      const float *b)
{
	vt_vf u = v_set(mean), v = v_set(inv);

	if (b)
		VT_EACH(y, n, v_fma((LD(x) - u) * v, LD(s), LD(b)));
	else
		VT_EACH(y, n, (LD(x) - u) * v * LD(s));
}

static void affine(float *y, const float *x, size_t n, float s, float b)
{
	vt_vf u = v_set(s), v = v_set(b);

	VT_EACH(y, n, v_fma(LD(x), u, v));
}

static void lerp(float *y, const float *a, const float *b, size_t n, float t)
{
	vt_vf u = v_set(t);

	VT_EACH(y, n, v_fma(LD(b) - LD(a), u, LD(a)));
}

static void axpy(float *y, const float *x, size_t n, float s)
{
	vt_vf u = v_set(s);

	VT_EACH(y, n, v_fma(LD(x), u, LD(y)));
}

/* beta is 3/4 in every model that still has an LRN: two square roots instead of log and exp */
static void lrn(float *y, const float *x, const float *s, size_t n, float alpha, float beta,
		float bias)
{
	vt_vf a = v_set(alpha), b = v_set(bias), c = v_set(-beta);

	if (beta == 0.75f) {
		for (size_t i = 0; i < n; i += VT_LANES) {
			const size_t m = n - i < VT_LANES ? n - i : VT_LANES;
			vt_vf r = v_sqrt(v_fma(a, LD(s), b)), q = LD(x) / (r * v_sqrt(r));

			if (m == VT_LANES)
				v_store(y + i, q);
			else
				v_store_part(y + i, q, m);
		}
		return;
	}
	VT_EACH(y, n, LD(x) * v_exp(c * v_log(v_fma(a, LD(s), b))));
}

#undef LD

#endif
