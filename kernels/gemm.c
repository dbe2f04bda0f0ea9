// SPDX-License-Identifier: Apache-2.0
/* gemm.c - packing, gathering and the task around the microkernel. */
#include "kernels/gemm.h"

#include <cpuinfo.h>
#include <math.h>
#include <string.h>

#include "kernels/act.h"
#include "kernels/tile.h"
#include "model/graph.h"

const struct vt_gemm_isa *vt_gemm_best(void)
{
#if defined(__x86_64__)
	if (cpuinfo_initialize() && cpuinfo_has_x86_avx512f())
		return &vt_gemm_avx512;
#endif
	return NULL;
}

/* ---- packing ------------------------------------------------------------------------------ */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t vt_gemm_packed_floats(size_t k, size_t n)
{
	return (n + VT_GEMM_NR - 1) / VT_GEMM_NR * VT_GEMM_NR * k;
}

/* Products [k0, k0 + kc) of one panel. */
static void pack_block(float *to, const struct vt_gemm_weights *w, size_t j, size_t nr, size_t k0,
		       size_t kc)
{
	for (size_t i = k0; i < k0 + kc; i++, to += VT_GEMM_NR) {
		const float *from = w->w + j * w->n_stride + i / w->channels * w->tap_stride +
				    i % w->channels * w->channel_stride;

		for (size_t c = 0; c < nr; c++)
			to[c] = from[c * w->n_stride];
		memset(to + nr, 0, (VT_GEMM_NR - nr) * sizeof(float));
	}
}

/* The same where a column's products are contiguous: read along them, for columns may lie pages
 * apart. */
static void pack_block_transposed(float *to, const struct vt_gemm_weights *w, size_t j, size_t nr,
				  size_t k0, size_t kc)
{
	if (nr < VT_GEMM_NR)
		memset(to, 0, kc * VT_GEMM_NR * sizeof(float));
	for (size_t c = 0; c < nr; c++) {
		const float *from = w->w + (j + c) * w->n_stride + k0;

		for (size_t i = 0; i < kc; i++)
			to[i * VT_GEMM_NR + c] = from[i];
	}
}

void vt_gemm_pack_panel(float *panels, const struct vt_gemm_weights *w, size_t j)
{
	const size_t nr = min_size(VT_GEMM_NR, w->n - j), k = w->taps * w->channels;
	const bool along = w->taps == 1 && w->channel_stride == 1;

	for (size_t k0 = 0; k0 < k; k0 += VT_GEMM_KC)
		(along ? pack_block_transposed : pack_block)(panels + vt_gemm_panel(k, w->n, k0, j),
							     w, j, nr, k0,
							     min_size(VT_GEMM_KC, k - k0));
}

void vt_gemm_pack(float *panels, const struct vt_gemm_weights *w)
{
	for (size_t j = 0; j < w->n; j += VT_GEMM_NR)
		vt_gemm_pack_panel(panels, w, j);
}

/* ---- the task ----------------------------------------------------------------------------- */

/*
 * What to fetch while one tile is computed, so that nobody waits for it later.
 *
 * The first pass over a K block meets weights that no cache holds yet: while one block is used, the
 * first two row tiles bring in the next, each call half of its panel. After that, each call brings
 * in one row of the next row tile; a line is asked for once per float in it, which costs as little
 * as asking once.
 */
static void fetch_ahead(struct vt_gemm_out *o, const struct vt_gemm_op *op, size_t i, size_t j,
			size_t panel, size_t k0, size_t turn)
{
	const size_t k = op->src.k, next = k0 + VT_GEMM_KC, half = VT_GEMM_KC * VT_GEMM_NR / 2;
	const struct vt_gemm_src *s = &op->src;

	if (turn < 2 && next < k && (!turn || k - next > VT_GEMM_KC / 2)) {
		o->next = op->panels + vt_gemm_panel(k, op->cols, next, j) + turn * half;
		o->next_step = 16;
	} else if (panel < VT_GEMM_MR && i + VT_GEMM_MR + panel < op->rows && s->kh * s->kw == 1) {
		o->next = s->x + (i + VT_GEMM_MR + panel) * s->ldx + s->c0 + k0;
		o->next_step = 1;
	}
}

/* Rows [i, i + rows) x columns [j, j + nj), products [k0, k0 + kc) of the gathered rows @a. */
static void gemm_row_of_tiles(const struct vt_gemm_op *op, const float *a, size_t lda, size_t i,
			      size_t rows, size_t j, size_t nj, size_t k0, size_t kc, size_t turn)
{
	const size_t k = op->src.k;
	const bool last = k0 + kc == k;

	for (size_t jj = j; jj < j + nj; jj += VT_GEMM_NR) {
		const size_t at = i * op->ldc + jj;
		struct vt_gemm_out o = {
			.c = op->c + at,
			.ldc = op->ldc,
			.bias = op->bias + jj,
			.residual = op->residual ? op->residual + at : NULL,
			.clamp = op->lo > -INFINITY || op->hi < INFINITY,
			.lo = op->lo,
			.hi = op->hi,
		};
		fetch_ahead(&o, op, i, jj, (jj - j) / VT_GEMM_NR, k0, turn);
		op->isa->tile(rows, min_size(VT_GEMM_NR, j + nj - jj), kc, a, lda,
			      op->panels + vt_gemm_panel(k, op->cols, k0, jj), &o, k0 == 0, last);
	}
	if (!last || op->act == VT_NONE)
		return;
	if (nj == op->ldc) { /* whole rows: one piece */
		vt_act_row_f32(op->act, op->act_a, op->act_b, op->c + i * op->ldc, rows * nj);
		return;
	}
	for (size_t r = i; r < i + rows; r++)
		vt_act_row_f32(op->act, op->act_a, op->act_b, op->c + r * op->ldc + j, nj);
}

static bool can_read_in_place(const struct vt_gemm_src *s)
{
	return s->kh * s->kw == 1 && s->sh * s->sw == 1 && !s->pt && !s->pl && s->ih == s->oh &&
	       s->iw == s->ow && s->ldx % 512 != 0;
}

/*
 * One cell. The K loop is outside: its block of nc columns x KC of the weights stays in L2 while
 * all rows of the cell pass, whatever K is, and a gathered tile of rows serves all nc columns.
 */
static void gemm_task(struct vt_gemm_op *op, size_t i, size_t j, size_t mi, size_t nj)
{
	const size_t k = op->src.k;
	const bool in_place = can_read_in_place(&op->src);
	float *a = vt_scratch();

	for (size_t k0 = 0; k0 < k; k0 += VT_GEMM_KC) {
		const size_t kc = min_size(VT_GEMM_KC, k - k0);

		for (size_t ii = i; ii < i + mi; ii += VT_GEMM_MR) {
			const size_t rows = min_size(VT_GEMM_MR, i + mi - ii);

			if (!in_place)
				op->isa->gather(a, &op->src, ii, rows, k0, k0 + kc);
			gemm_row_of_tiles(
				op, in_place ? op->src.x + ii * op->src.ldx + op->src.c0 + k0 : a,
				in_place ? op->src.ldx : VT_GEMM_LDA, ii, rows, j, nj, k0, kc,
				(ii - i) / VT_GEMM_MR);
		}
	}
}

void vt_gemm_run(struct vt_gemm_op *op, struct pthreadpool *gang)
{
	vt_tile_matrix(gang, (pthreadpool_task_2d_tile_2d_t)gemm_task, op, op->rows, op->cols,
		       VT_GEMM_MR);
}
