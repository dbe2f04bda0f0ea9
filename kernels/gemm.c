// SPDX-License-Identifier: Apache-2.0
/* gemm.c - packing, gathering and the task around the microkernel. */
#include "kernels/gemm.h"

#include <math.h>
#include <string.h>

#include "base/cache.h"
#include "kernels/act.h"
#include "kernels/copy.h"
#include "kernels/tile.h"
#include "model/graph.h"

const struct vt_gemm_isa *vt_gemm_of(enum vt_tier tier)
{
#if defined(__x86_64__)
	if (tier == VT_TIER_V4)
		return &vt_gemm_avx512;
	if (tier == VT_TIER_V3)
		return &vt_gemm_avx2;
#endif
	return NULL;
}

/* ---- blocks ------------------------------------------------------------------------------- */

/*
 * A sum is made in one go where possible: partial sums would travel to the third level and back between two
 * blocks of products. Where the weights of a cell do not stay in L2, a block of row tiles does, while
 * each panel of weights passes it once.
 */
#define ROW_BLOCK_PPM 375000 /* of L2: the row tiles that stay */
#define DEPTH_ONE_GO  256    /* products: their columns stay whole */
#define DEPTH_BLOCKS  64

static size_t l2_bytes(void)
{
	static size_t known; /* every thread finds the same */
	size_t n = __atomic_load_n(&known, __ATOMIC_RELAXED);

	if (!n) {
		n = vt_l2_bytes();
		__atomic_store_n(&known, n, __ATOMIC_RELAXED);
	}
	return n;
}

size_t vt_gemm_kc(size_t k)
{
	const size_t max = vt_gemm_best()->kc;
	size_t blocks;

	if (k <= max)
		return k;
	blocks = (k + max - 1) / max; /* of about one size */
	return (k / blocks + 16) / 16 * 16;
}

/* Row tiles that stay in L2 together. */
static size_t row_block(size_t k)
{
	const size_t bytes = l2_bytes() / 1000 * ROW_BLOCK_PPM / 1000;
	const size_t tiles = bytes / (vt_gemm_mr() * vt_gemm_lda(k) * sizeof(float));

	return tiles ? tiles : 1;
}

size_t vt_gemm_depth(size_t k)
{
	return k <= DEPTH_ONE_GO ? k : DEPTH_BLOCKS;
}

size_t vt_gemm_scratch_bytes(size_t k, size_t rows)
{
	const size_t tiles = (rows + vt_gemm_mr() - 1) / vt_gemm_mr(), block = row_block(k);

	return (tiles < block ? tiles : block) * vt_gemm_mr() * vt_gemm_lda(k) * sizeof(float);
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

/* Products [k0, k0 + kc) of columns [j, j + n), @nr or less of them. */
static void pack_block(float *to, const struct vt_gemm_weights *w, size_t j, size_t n, size_t nr,
		       size_t k0, size_t kc)
{
	for (size_t i = k0; i < k0 + kc; i++, to += nr) {
		const float *from = w->w + j * w->n_stride + i / w->channels * w->tap_stride +
				    i % w->channels * w->channel_stride;

		if (w->n_stride == 1)
			memcpy(to, from, n * sizeof(float));
		else
			for (size_t c = 0; c < n; c++)
				to[c] = from[c * w->n_stride];
		memset(to + n, 0, (nr - n) * sizeof(float));
	}
}

/* The same where a column's products are contiguous: read along them, for columns may lie pages apart. */
static void pack_block_transposed(float *to, const struct vt_gemm_weights *w, size_t j, size_t n,
				  size_t nr, size_t k0, size_t kc)
{
	if (n < nr)
		memset(to, 0, kc * nr * sizeof(float));
	vt_transpose_f32(to, (int64_t)nr, w->w + j * w->n_stride + k0, (int64_t)w->n_stride, n, kc);
}

void vt_gemm_pack_panel(float *panels, const struct vt_gemm_weights *w, size_t j)
{
	const size_t cols = min_size(VT_GEMM_NR, w->n - j), k = w->taps * w->channels;
	const size_t block = vt_gemm_kc(k), nr = vt_gemm_best()->nr;
	const bool along = w->taps == 1 && w->channel_stride == 1;

	for (size_t k0 = 0; k0 < k; k0 += block)
		for (size_t c = 0; c < VT_GEMM_NR; c += nr) {
			const size_t kc = min_size(block, k - k0);

			(along ? pack_block_transposed : pack_block)(
				panels + vt_gemm_panel(k, w->n, k0, j) + c * kc, w, j + c,
				c < cols ? min_size(nr, cols - c) : 0, nr, k0, kc);
		}
}

void vt_gemm_pack(float *panels, const struct vt_gemm_weights *w)
{
	for (size_t j = 0; j < w->n; j += VT_GEMM_NR)
		vt_gemm_pack_panel(panels, w, j);
}

/* ---- the task ----------------------------------------------------------------------------- */

/* One cell of a nest, while one block of products passes. */
struct cell {
	const struct vt_gemm_op *op;
	size_t i, mi, j, nj; /* rows, columns */
	size_t k0, kc;
	size_t mr; /* rows of a tile: tiles of about one size, as one of a single row takes the time of four */
	size_t block; /* rows that stay while all columns pass */
	bool in_place;
	float *a; /* gathered rows of a block, lda apart */
	size_t lda;
};

/* Bring rows [i, i + n) of an operand that lies as rows, one line a product or more. */
static void fetch_rows(struct vt_gemm_out *o, const struct cell *c, size_t i, size_t n)
{
	const struct vt_gemm_src *s = &c->op->src;

	o->next = s->x + i * s->ldx + s->c0 + c->k0;
	o->next_step = n;
	o->next_run = (c->kc + n - 1) / n;
	o->next_jump = (ptrdiff_t)s->ldx - (ptrdiff_t)(n * o->next_run);
}

/* Bring share @at of @of of the panel of column @j in the block at @k0. */
static void fetch_panel(struct vt_gemm_out *o, const struct cell *c, size_t k0, size_t j, size_t at,
			size_t of)
{
	const size_t k = c->op->src.k, floats = min_size(c->kc, k - k0) * VT_GEMM_NR;

	o->next = c->op->panels + vt_gemm_panel(k, c->op->cols, k0, j) + floats / of * at;
	o->next_step = (VT_GEMM_NR + of - 1) / of;
	o->next_run = 0;
}

/*
 * What to fetch while one tile is computed, so that nobody waits for it later. A line is asked for
 * several times where there is less to fetch than there are products, which costs as little as asking once.
 *
 * One row tile at a time: the first pass over a block meets weights that no cache holds yet: while one
 * block is used, the first two row tiles bring in the next, each call half of its panel. After that, the
 * calls share the rows of the next row tile. Several: the first panel brings in rows, the others
 * the panel that comes next.
 */
static void fetch_ahead(struct vt_gemm_out *o, const struct cell *c, size_t i, size_t end, size_t j)
{
	const struct vt_gemm_src *s = &c->op->src;
	const bool flat = s->kh * s->kw == 1 && !s->transposed,
		   last_panel = j + VT_GEMM_NR >= c->j + c->nj;
	const size_t panels = (c->nj + VT_GEMM_NR - 1) / VT_GEMM_NR, at = (j - c->j) / VT_GEMM_NR;
	const size_t mr = c->mr, turn = (i - c->i) / mr, next = i + mr;

	if (c->block == mr) {
		const size_t n = (mr + panels - 1) / panels;

		if (turn < 2 && c->k0 + c->kc < s->k)
			fetch_panel(o, c, c->k0 + c->kc, j, turn, 2);
		else if (flat && at * n < mr && next + (at + 1) * n <= c->op->rows)
			fetch_rows(o, c, next + at * n, n);
	} else if (!at && flat && next + mr <= end) {
		fetch_rows(o, c, next, mr);
	} else {
		const size_t tiles = min_size(c->block / mr, VT_GEMM_NR);
		const bool last_rows = end == c->i + c->mi;

		if (!last_panel)
			fetch_panel(o, c, c->k0, j + VT_GEMM_NR, turn % tiles, tiles);
		else if (!last_rows)
			fetch_panel(o, c, c->k0, c->j, turn % tiles, tiles);
		else if (c->k0 + c->kc < s->k)
			fetch_panel(o, c, c->k0 + c->kc, c->j, turn % tiles, tiles);
	}
}

/*
 * The tile that follows rows [i, i + rows) of the panel of column @jj; @block: first row of the block they are in.
 * None behind the last of the cell: what lies there may be another core's.
 */
static void note_next_tile(struct vt_gemm_out *o, const struct cell *c, size_t block, size_t i,
			   size_t rows, size_t end, size_t jj)
{
	const ptrdiff_t ldc = (ptrdiff_t)c->op->ldc;

	if (i + rows < end) {
		o->after = (ptrdiff_t)rows * ldc;
		o->after_rows = min_size(c->mr, end - i - rows);
	} else if (jj + VT_GEMM_NR < c->j + c->nj) {
		o->after = VT_GEMM_NR - (ptrdiff_t)(i - block) * ldc;
		o->after_rows = min_size(c->mr, end - block);
	} else if (end < c->i + c->mi) {
		o->after = (ptrdiff_t)rows * ldc - (ptrdiff_t)(jj - c->j);
		o->after_rows = min_size(c->mr, c->i + c->mi - end);
	}
}

/* Rows [i, end) at @a, at most one tile of them, x the panel of column @jj; @block: see above. */
static void gemm_tile(const struct cell *c, const float *a, size_t lda, size_t block, size_t i,
		      size_t end, size_t jj)
{
	const struct vt_gemm_op *op = c->op;
	const size_t k = op->src.k, at = i * op->ldc + jj, rows = min_size(c->mr, end - i);
	struct vt_gemm_out o = {
		.c = op->c + at,
		.ldc = op->ldc,
		.bias = op->bias + jj,
		.residual = op->residual ? op->residual + at : NULL,
		.clamp = op->lo > -INFINITY || op->hi < INFINITY,
		.lo = op->lo,
		.hi = op->hi,
	};

	if (c->k0)
		note_next_tile(&o, c, block, i, rows, end, jj);
	fetch_ahead(&o, c, i, end, jj);
	op->isa->tile(rows, min_size(VT_GEMM_NR, c->j + c->nj - jj), c->kc, a, lda,
		      op->panels + vt_gemm_panel(k, op->cols, c->k0, jj), &o, c->k0 == 0,
		      c->k0 + c->kc == k);
}

/* Rows [i, i + rows) of the operand, products of the present block, to @a. */
static void gather(const struct cell *c, float *a, size_t i, size_t rows)
{
	const struct vt_gemm_src *s = &c->op->src;

	if (s->transposed)
		vt_transpose_f32(a, (int64_t)c->lda, s->x + c->k0 * s->ldx + i, (int64_t)s->ldx,
				 c->kc, rows);
	else
		c->op->isa->gather(a, c->lda, s, i, rows, c->k0, c->k0 + c->kc);
}

/* Rows [i, end): at most a block of them, all columns of the cell. */
static void gemm_rows(const struct cell *c, size_t i, size_t end)
{
	const struct vt_gemm_op *op = c->op;

	for (size_t jj = c->j; jj < c->j + c->nj; jj += VT_GEMM_NR)
		for (size_t ii = i; ii < end; ii += c->mr) {
			const size_t rows = min_size(c->mr, end - ii);
			float *a = c->a + (ii - i) * c->lda;

			if (c->in_place) {
				gemm_tile(c, op->src.x + ii * op->src.ldx + op->src.c0 + c->k0,
					  op->src.ldx, i, ii, end, jj);
				continue;
			}
			if (jj == c->j)
				gather(c, a, ii, rows);
			gemm_tile(c, a, c->lda, i, ii, end, jj);
		}
	if (c->k0 + c->kc < op->src.k || op->act == VT_NONE)
		return;
	if (c->nj == op->ldc) { /* whole rows: one piece */
		vt_act_row_f32(op->act, op->act_a, op->act_b, op->c + i * op->ldc,
			       (end - i) * c->nj);
		return;
	}
	for (size_t r = i; r < end; r++)
		vt_act_row_f32(op->act, op->act_a, op->act_b, op->c + r * op->ldc + c->j, c->nj);
}

static bool can_read_in_place(const struct vt_gemm_src *s)
{
	return !s->transposed && s->kh * s->kw == 1 && s->sh * s->sw == 1 && !s->pt && !s->pl &&
	       s->ih == s->oh && s->iw == s->ow && !vt_gemm_far_apart(s->ldx);
}

/*
 * One cell. The loop over products is outside: a block of nj columns of the weights, or where that is too much
 * for L2, a block of rows, stays there while the others pass, whatever K is.
 */
static void gemm_task(struct vt_gemm_op *op, size_t i, size_t j, size_t mi, size_t nj)
{
	const size_t k = op->src.k, kc = vt_gemm_kc(k);
	const size_t tiles = (mi + op->isa->mr - 1) / op->isa->mr, mr = (mi + tiles - 1) / tiles;
	struct cell c = {.op = op,
			 .i = i,
			 .mi = mi,
			 .j = j,
			 .nj = nj,
			 .mr = mr,
			 .block = mr,
			 .in_place = can_read_in_place(&op->src),
			 .a = vt_scratch(),
			 .lda = vt_gemm_lda(k)};

	if (nj * kc * sizeof(float) > l2_bytes() / 2)
		c.block *= row_block(k);
	for (c.k0 = 0; c.k0 < k; c.k0 += kc) {
		c.kc = min_size(kc, k - c.k0);
		for (size_t ii = i; ii < i + mi; ii += c.block)
			gemm_rows(&c, ii, min_size(ii + c.block, i + mi));
	}
}

void vt_gemm_run(struct vt_gemm_op *op, struct pthreadpool *gang)
{
	vt_tile_matrix(gang, (pthreadpool_task_2d_tile_2d_t)gemm_task, op, op->rows, op->cols,
		       op->isa->mr);
}
