// SPDX-License-Identifier: Apache-2.0
/* strassen_rows.c - sums before and after the products of strassen.h. Once per tier of vec.h. */
#include "kernels/strassen.h"

#include "kernels/gemm.h"
#include "kernels/vec.h"

/* One vector of each of the seven, @m known to the compiler where it is whole. */
static inline __attribute__((always_inline)) void sum_at(const float *x, size_t below, size_t right,
							 bool has_below, float *to, size_t term,
							 vt_lanes m)
{
	const vt_vf x11 = v_load_lanes(x, m), x12 = v_load_lanes(x + right, m);
	vt_vf x21 = v_set(0), x22 = x21;

	if (has_below) {
		x21 = v_load_lanes(x + below, m);
		x22 = v_load_lanes(x + below + right, m);
	}
	v_store_lanes(to, x11 + x22, m);
	v_store_lanes(to + term, x21 + x22, m);
	v_store_lanes(to + 2 * term, x11, m);
	v_store_lanes(to + 3 * term, x22, m);
	v_store_lanes(to + 4 * term, x11 + x12, m);
	v_store_lanes(to + 5 * term, x21 - x11, m);
	v_store_lanes(to + 6 * term, x12 - x22, m);
}

static inline __attribute__((always_inline)) void
sum_row(const struct vt_strassen_rows *s, const float *x, bool has_below, float *to, size_t term)
{
	size_t k = 0;

	for (; k + VT_LANES <= s->n; k += VT_LANES)
		sum_at(x + k, s->below, s->right, has_below, to + k, term, v_lanes(VT_LANES));
	if (k < s->n)
		sum_at(x + k, s->below, s->right, has_below, to + k, term, v_lanes(s->n - k));
}

static void sums(const struct vt_strassen_rows *s, float *to, size_t lda, size_t term)
{
	for (size_t r = 0; r < s->rows; r++, to += lda) {
		const float *x = s->x + r * s->ldx;

		if (r < s->rows_below)
			sum_row(s, x, true, to, term);
		else
			sum_row(s, x, false, to, term);
	}
}

static inline __attribute__((always_inline)) void add_at(const struct vt_strassen_add *a,
							 const float *tile, size_t at, size_t j,
							 bool first, bool last, vt_lanes m)
{
	vt_vf y = v_fma(v_load(tile), v_set(a->sign),
			v_load_lanes(first ? a->bias + j : a->c + at, m));

	if (last && a->residual)
		y += v_load_lanes(a->residual + at, m);
	if (last) /* the bound first: a NaN passes as the second operand */
		y = v_min_fast(v_set(a->hi), v_max_fast(v_set(a->lo), y));
	v_store_lanes(a->c + at, y, m);
}

static inline __attribute__((always_inline)) void add_rows(const struct vt_strassen_add *a,
							   const float *tile, size_t rows,
							   size_t cols, bool first, bool last)
{
	for (size_t r = 0; r < rows; r++, tile += VT_GEMM_NR) {
		const size_t at = r * a->ldc;
		size_t j = 0;

		for (; j + VT_LANES <= cols; j += VT_LANES)
			add_at(a, tile + j, at + j, j, first, last, v_lanes(VT_LANES));
		if (j < cols)
			add_at(a, tile + j, at + j, j, first, last, v_lanes(cols - j));
	}
}

/* Whole panels have loops of their own. */
static inline __attribute__((always_inline)) void add_cols(const struct vt_strassen_add *a,
							   const float *tile, size_t rows,
							   size_t cols, bool first, bool last)
{
	if (cols == VT_GEMM_NR)
		add_rows(a, tile, rows, VT_GEMM_NR, first, last);
	else
		add_rows(a, tile, rows, cols, first, last);
}

static void add(const struct vt_strassen_add *a, const float *tile, size_t rows, size_t cols)
{
	if (a->bias && a->last)
		add_cols(a, tile, rows, cols, true, true);
	else if (a->bias)
		add_cols(a, tile, rows, cols, true, false);
	else if (a->last)
		add_cols(a, tile, rows, cols, false, true);
	else
		add_cols(a, tile, rows, cols, false, false);
}

const struct vt_strassen_isa VT_SUFFIX(vt_strassen) = {.sums = sums, .add = add};
