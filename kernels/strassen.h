/* SPDX-License-Identifier: Apache-2.0 */
/*
 * strassen.h - large fully connected layers with seven eighths of the multiplications.
 *
 * Strassen: Gaussian Elimination is not Optimal (1969), one level. Rows, products and columns are halved, so that
 * y = x w is made of quadrants, and
 *
 *	M0 = (X11 + X22) (W11 + W22)	y11 = M0 + M3 - M4 + M6
 *	M1 = (X21 + X22)  W11		y12 = M2 + M4
 *	M2 =  X11        (W12 - W22)	y21 = M1 + M3
 *	M3 =  X22        (W21 - W11)	y22 = M0 - M1 + M2 + M5
 *	M4 = (X11 + X12)  W22
 *	M5 = (X21 - X11) (W11 + W12)
 *	M6 = (X12 - X22) (W21 + W22)
 *
 * The sums of weights are made when a model loads: seven quarters of the memory. Those of x are made for a block of rows and
 * a block of products at a time, as the gathered operand of the matrix kernel (gemm.h), and each tile of products is
 * added to its one or two quadrants while these are in cache. So what is left of the saved eighth is not eaten by passes over memory.
 *
 * It is another algorithm: results differ from the direct sum by rounding, relative to the largest values of both rows
 * of a pair (row i and the one half of all rows further on), and what is not finite in one of the two is so in both. They are the
 * same bits on any number of cores, in every traversal.
 */
#ifndef VT_KERNELS_STRASSEN_H
#define VT_KERNELS_STRASSEN_H

#include <stdbool.h>
#include <stddef.h>

#define VT_STRASSEN_TERMS 7

/** Rows of the left operand, products [k0, k0 + n) of its left half. */
struct vt_strassen_rows {
	const float *x;
	size_t ldx;	     /* elements from row to row */
	size_t below, right; /* elements to the lower and to the right quadrant */
	size_t rows,
		rows_below; /* rows_below of them have one below: one less where rows are odd */
	size_t n;
};

/** A tile of products on its way into a quadrant: c = (bias or c) + sign * tile (+ residual), in [lo, hi]. */
struct vt_strassen_add {
	float *c;
	size_t ldc;	       /* elements, of residual too */
	const float *bias;     /* the first one into this quadrant; NULL: c has been begun */
	const float *residual; /* or NULL */
	float sign;
	bool last; /* residual and bounds */
	float lo, hi;
};

/** The part that is written for one instruction set. */
struct vt_strassen_isa {
	/** sums - the left operands of the seven products at @to, @term floats apart, rows @lda apart */
	void (*sums)(const struct vt_strassen_rows *x, float *to, size_t lda, size_t term);
	/** add - a tile, rows VT_GEMM_NR apart */
	void (*add)(const struct vt_strassen_add *a, const float *tile, size_t rows, size_t cols);
};
extern const struct vt_strassen_isa vt_strassen_v3, vt_strassen_v4;

#endif
