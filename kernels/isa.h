/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isa.h - the row kernels that are compiled once per instruction set, and the choice among them.
 * Pure functions on rows of floats. The choice is made on first use from cpuid and never changes;
 * any thread may ask at any time.
 */
#ifndef VT_KERNELS_ISA_H
#define VT_KERNELS_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/graph.h"

enum vt_tier {
	VT_TIER_V1, /* any x86-64 */
	VT_TIER_V3, /* AVX2, FMA, F16C */
	VT_TIER_V4, /* AVX-512 F, BW, DQ, VL */
	VT_TIER_COUNT
};

/** y[i] = f(x[i]); @a, @b: scalar parameters; y == x allowed */
typedef void vt_unary_fn(float *y, const float *x, size_t n, float a, float b);
/** y[i] = f(y[i] + r[i]) */
typedef void vt_add_unary_fn(float *y, const float *r, size_t n, float a, float b);

/** A block of rows for a binary function: y[r * ys + i] = f(a[r * as + i], b[r * bs + i]). */
struct vt_rows {
	size_t rows, n;
	int64_t ys, as, bs; /* elements from row to row */
};
typedef void vt_binary_fn(float *y, const float *a, const float *b, const struct vt_rows *s);

enum vt_operands {
	VT_VV, /* both operands are rows */
	VT_VS, /* b is one float per row */
	VT_SV, /* a is one float per row */
	VT_OPERANDS
};

enum vt_fold { VT_FOLD_SUM, VT_FOLD_SUMSQ, VT_FOLD_ABS, VT_FOLD_MAX, VT_FOLD_MIN, VT_FOLD_COUNT };

/** struct vt_vec - row kernels of one tier. Entries are NULL where an operator has no fast form. */
struct vt_vec {
	const char *name;
	vt_unary_fn *unary[VT_OP_COUNT];
	vt_add_unary_fn *add_unary[VT_OP_COUNT];
	vt_binary_fn *binary[VT_OP_COUNT][VT_OPERANDS];

	/** reduce: a row to a number; sums are compensated (Kahan) from block to block of 128 vectors */
	float (*reduce[VT_FOLD_COUNT])(const float *x, size_t n);
	/** accum: acc[i] = acc[i] (+) x[i] */
	void (*accum[VT_FOLD_COUNT])(float *acc, const float *x, size_t n);
	/** accum_rows: the same for @rows rows, @stride apart */
	void (*accum_rows[VT_FOLD_COUNT])(float *acc, const float *x, size_t n, size_t rows,
					  size_t stride);
	/** the greatest x[i] + r[i]; @r may be NULL. Unlike reduce[VT_FOLD_MAX] it may pass over a NaN: for exp_sum, which does not */
	float (*max_plus)(const float *x, const float *r, size_t n);
	/** y = exp(x + r - max), none of them beyond exp(87); @r may be NULL; returns the sum of y. y == x allowed */
	float (*exp_sum)(float *y, const float *x, const float *r, size_t n, float max);
	/** sum of (x - mean)^2 */
	float (*dev_sq)(const float *x, size_t n, float mean);
	/** y = x * s[i] + b[i]; @b may be NULL */
	void (*scale_rows)(float *y, const float *x, const float *s, const float *b, size_t n);
	/** y = (x - mean) * inv * s[i] + b[i]; @b may be NULL */
	void (*normalize)(float *y, const float *x, size_t n, float mean, float inv, const float *s,
			  const float *b);
	/** y = x * s + b with one @s and one @b */
	void (*affine)(float *y, const float *x, size_t n, float s, float b);
	/** y = a + (b - a) * t */
	void (*lerp)(float *y, const float *a, const float *b, size_t n, float t);
	/** y += x * s */
	void (*axpy)(float *y, const float *x, size_t n, float s);
	/** y = x / (bias + alpha * s)^beta */
	void (*lrn)(float *y, const float *x, const float *s, size_t n, float alpha, float beta,
		    float bias);
	void (*from_half)(float *y, const uint16_t *x, size_t n);
	void (*to_half)(uint16_t *y, const float *x, size_t n);
};

/** vt_vec - of the best tier that this machine has */
const struct vt_vec *vt_vec(void);
/** vt_vec_tier - of one tier; NULL if the machine or the build lacks it. For tests and reports. */
const struct vt_vec *vt_vec_tier(enum vt_tier tier);
/** vt_tier_best - what vt_vec() uses: the best of this machine, or the one that VELTAIR_ISA in the environment names */
enum vt_tier vt_tier_best(void);
/** vt_tier_check - is VELTAIR_ISA, if set, a tier (else -EINVAL) that this machine has (-ENOTSUP)? */
int vt_tier_check(void);

#endif
