// SPDX-License-Identifier: Apache-2.0
/* ops_strassen.c - FullyConnected with one level of Strassen's algorithm, where that pays. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache.h"
#include "kernels/act.h"
#include "kernels/bigmem.h"
#include "kernels/gemm.h"
#include "kernels/isa.h"
#include "kernels/kernels.h"
#include "kernels/strassen.h"

/* Fewer rows do not pay for reading seven quarters of the weights; fewer products or columns not for the sums. */
#define MIN_ROWS     96
#define MIN_PRODUCTS 1024
#define MIN_COLS     768
/*
 * What stays in L2 while the panels of a group pass: one of the seven sums of a block of rows, which may take so much of
 * it, and the four places of their products. Beside it one panel is used and one fetched. All seven come from the
 * third level once a group, so a larger L2 has wider groups.
 */
#define BLOCK_PPM    450000
#define LEAST_PANELS 2u /* in a group */
#define PANEL_L2     ((size_t)512 << 10)
#define LEAST_TILES  2u /* of rows in a block */
/*
 * A block's columns are cut so that cores can join; who goes on with the next piece still has the block's sums. Each
 * block of products is a job of its own: the sums of several would leave the caches before they are used again, and a
 * chunk of all of them lasts 9 ms in a BERT-large on two cores: too long for a polite helper (docs/decisions.md).
 */
#define PIECES 8u

enum quadrant { UPPER_LEFT, UPPER_RIGHT, LOWER_LEFT, LOWER_RIGHT, QUADRANTS };

/* What the seven products are made of and go to; of the left operand strassen_rows.c knows. */
static const struct term {
	signed char w[QUADRANTS], y[QUADRANTS];
} terms[VT_STRASSEN_TERMS] = {
	{{1, 0, 0, 1}, {1, 0, 0, 1}},  {{1, 0, 0, 0}, {0, 0, 1, -1}}, {{0, 1, 0, -1}, {0, 1, 0, 1}},
	{{-1, 0, 1, 0}, {1, 0, 1, 0}}, {{0, 0, 0, 1}, {-1, 1, 0, 0}}, {{1, 1, 0, 0}, {0, 0, 0, 1}},
	{{0, 0, 1, 1}, {1, 0, 0, 0}},
};
/* Which of them is the first and the last to reach a quadrant. */
static const size_t first_term[QUADRANTS] = {0, 2, 1, 0}, last_term[QUADRANTS] = {6, 4, 3, 5};

struct strassen_state {
	const struct vt_strassen_isa *isa;
	size_t half_rows, half_k, half_cols;
	size_t block;	     /* rows of one, at most */
	size_t group;	     /* columns */
	size_t panel_floats; /* of one product */
	float *panels, *bias;
	struct vt_gemm_op proto; /* of the whole layer */
	struct vt_gemm_op op[];
};

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t div_up(size_t a, size_t b)
{
	return (a + b - 1) / b;
}

/* ---- loading ------------------------------------------------------------------------------ */

static void strassen_destroy(struct vt_layer *l)
{
	struct strassen_state *s = l->state;

	if (!s)
		return;
	vt_big_free(s->panels, VT_STRASSEN_TERMS * s->panel_floats * sizeof(float));
	free(s->bias);
	free(s);
	l->state = NULL;
}

/*
 * Term @t of weights that lie as 2 @rows rows of 2 @n. Quadrants count by products, then by columns; where rows
 * are columns (@kn false), the two in the middle change places.
 */
static void sum_weights(float *to, const float *w, size_t rows, size_t n, bool kn,
			const struct term *t)
{
	const signed char at[QUADRANTS] = {t->w[UPPER_LEFT], t->w[kn ? UPPER_RIGHT : LOWER_LEFT],
					   t->w[kn ? LOWER_LEFT : UPPER_RIGHT], t->w[LOWER_RIGHT]};

	for (size_t r = 0; r < rows; r++, to += n) {
		memset(to, 0, n * sizeof(*to));
		for (size_t q = 0; q < QUADRANTS; q++) {
			const float *from = w + (r + q / 2 * rows) * 2 * n + q % 2 * n;

			if (at[q] > 0)
				for (size_t i = 0; i < n; i++)
					to[i] += from[i];
			else if (at[q] < 0)
				for (size_t i = 0; i < n; i++)
					to[i] -= from[i];
		}
	}
}

static int pack_weights(struct strassen_state *s, const float *w, bool kn)
{
	const size_t k = s->half_k, n = s->half_cols;
	float *sum = malloc(k * n * sizeof(*sum));

	if (!sum)
		return -ENOMEM;
	for (size_t t = 0; t < VT_STRASSEN_TERMS; t++) {
		sum_weights(sum, w, kn ? k : n, kn ? n : k, kn, &terms[t]);
		vt_gemm_pack(s->panels + t * s->panel_floats,
			     &(struct vt_gemm_weights){.w = sum,
						       .taps = 1,
						       .channels = k,
						       .n = n,
						       .channel_stride = kn ? n : 1,
						       .n_stride = kn ? 1 : k});
	}
	free(sum);
	return 0;
}

/* Rows of x in a block. */
static size_t block_rows(const struct strassen_state *s)
{
	const size_t bytes = vt_l2_bytes() / 1000 * BLOCK_PPM / 1000,
		     least = LEAST_TILES * vt_gemm_mr();
	const size_t rows = bytes / (vt_gemm_lda(s->half_k) * sizeof(float));

	return min_size(rows < least ? least : rows, s->half_rows);
}

static size_t group_cols(void)
{
	const size_t panels = vt_l2_bytes() / PANEL_L2;

	return (panels < LEAST_PANELS ? LEAST_PANELS : panels) * VT_GEMM_NR;
}

static int strassen_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			   struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *bias = vt_in(g, n, 2),
			       *y = vt_out(g, n, 0);
	const bool kn = n->p.fc.w_kn;
	struct vt_gemm_op probe = {0};
	struct strassen_state *s;
	size_t rows, k, cols;

	if (!vt_gemm_best() || !vt_all_f32(g, n) || !w->data || (bias && !bias->data) ||
	    x->row_stride || vt_gemm_set_epilogue(&probe, &n->epi))
		return -ENOTSUP;
	k = (size_t)w->shape.dim[kn ? 0 : 1];
	cols = (size_t)w->shape.dim[kn ? 1 : 0];
	if (k < MIN_PRODUCTS || cols < MIN_COLS || k % 2 || cols % 2)
		return -ENOTSUP;
	rows = (size_t)(vt_shape_elems(&x->shape) / (int64_t)k);
	if (rows < MIN_ROWS)
		return -ENOTSUP;
	s = calloc(1, sizeof(*s) + (size_t)l->n_inst * sizeof(s->op[0]));
	l->state = s;
	if (!s)
		return vt_fail(e, -ENOMEM, "no memory for a layer");
	s->isa = vt_tier_best() == VT_TIER_V4 ? &vt_strassen_v4 : &vt_strassen_v3;
	s->half_rows = div_up(rows, 2);
	s->half_k = k / 2;
	s->half_cols = cols / 2;
	s->panel_floats = vt_gemm_packed_floats(s->half_k, s->half_cols);
	s->panels = vt_big_alloc(VT_STRASSEN_TERMS * s->panel_floats * sizeof(float));
	s->bias = calloc(cols, sizeof(float));
	if (!s->panels || !s->bias || pack_weights(s, w->data, kn))
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	if (bias)
		memcpy(s->bias, bias->data, cols * sizeof(float));
	s->proto.isa = vt_gemm_best();
	s->proto.src.ldx = k;
	s->proto.rows = rows;
	s->proto.cols = cols;
	s->proto.ldc = vt_row_distance(y);
	vt_gemm_set_epilogue(&s->proto, &n->epi);
	l->weight_bytes = (VT_STRASSEN_TERMS * s->panel_floats + cols) * sizeof(float);
	s->block = block_rows(s);
	s->group = group_cols();
	l->scratch_bytes = sizeof(float) * (VT_GEMM_MR * VT_GEMM_NR +
					    VT_STRASSEN_TERMS * s->block * vt_gemm_lda(s->half_k));
	l->packed_in = 1u << 1 | 1u << 2;
	return 0;
}

static int strassen_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct strassen_state *s = l->state;

	s->op[inst] = s->proto;
	s->op[inst].src.x = b->in[0];
	s->op[inst].c = b->out[0];
	s->op[inst].residual = b->residual;
	return 0;
}

/* ---- running ------------------------------------------------------------------------------ */

struct run {
	const struct strassen_state *s;
	const struct vt_gemm_op *op;
	size_t block, piece; /* rows, columns */
	size_t k0, kc;	     /* products of this job */
	uint64_t id;	     /* of this job; more than it are those of its blocks */
};

/* A block of rows of the upper half, and those below, while products [k0, k0 + kc) pass. */
struct block {
	const struct run *run;
	size_t i, rows, rows_below;
	size_t j, nj; /* columns of the left half, and those to the right */
	size_t mr;    /* rows of a tile: tiles of about one size */
	size_t k0, kc;
	float *sums; /* seven operands, rows lda apart, each term floats from the one before */
	size_t lda, term;
	float *tile;
};

static const float *panel_of(const struct strassen_state *s, size_t t, size_t k0, size_t j)
{
	return s->panels + t * s->panel_floats + vt_gemm_panel(s->half_k, s->half_cols, k0, j);
}

static float *place(const struct block *b, float *of, size_t q, size_t row, size_t col)
{
	const struct strassen_state *s = b->run->s;

	return of + (b->i + row + q / 2 * s->half_rows) * b->run->op->ldc + col +
	       q % 2 * s->half_cols;
}

/* Rows of a tile at @row that quadrant @q has. */
static size_t rows_of(const struct block *b, size_t q, size_t row, size_t rows)
{
	const size_t all = q < LOWER_LEFT ? b->rows : b->rows_below;

	return row < all ? min_size(rows, all - row) : 0;
}

/* Lines of the result that a tile will be added to, into L2: nothing waits for them when its products are done. */
static void fetch_result(const struct block *b, size_t t, size_t row, size_t rows, size_t jj)
{
	for (size_t q = 0; q < QUADRANTS; q++) {
		const char *c = (const char *)place(b, b->run->op->c, q, row, jj);

		if (!terms[t].y[q])
			continue;
		for (size_t r = rows_of(b, q, row, rows); r; r--) {
			__builtin_prefetch(c, 1, 2);
			__builtin_prefetch(c + 64, 1, 2);
			c += b->run->op->ldc * sizeof(float);
		}
	}
}

static void add_tile(const struct block *b, size_t t, size_t row, size_t rows, size_t jj,
		     size_t cols)
{
	const struct strassen_state *s = b->run->s;
	const struct vt_gemm_op *op = b->run->op;

	for (size_t q = 0; q < QUADRANTS; q++) {
		const bool begins = !b->k0 && t == first_term[q];
		const bool ends = b->k0 + b->kc == s->half_k && t == last_term[q];
		const struct vt_strassen_add a = {
			.c = place(b, op->c, q, row, jj),
			.ldc = op->ldc,
			.bias = begins ? s->bias + q % 2 * s->half_cols + jj : NULL,
			.residual = ends && op->residual
					    ? place(b, (float *)op->residual, q, row, jj)
					    : NULL,
			.sign = terms[t].y[q],
			.last = ends,
			.lo = op->lo,
			.hi = op->hi,
		};

		if (terms[t].y[q])
			s->isa->add(&a, b->tile, rows_of(b, q, row, rows), cols);
	}
}

/* One product of the panel of column @jj; meanwhile each tile fetches its share of the panel at @next, if there is one. */
static void multiply(const struct block *b, size_t t, size_t jj, const float *next)
{
	static const float zeros[VT_GEMM_NR];
	const struct strassen_state *s = b->run->s;
	const size_t cols = min_size(VT_GEMM_NR, b->j + b->nj - jj);
	const size_t tiles = div_up(b->rows, b->mr), step = div_up(VT_GEMM_NR, tiles);

	for (size_t row = 0; row < b->rows; row += b->mr) {
		const size_t rows = min_size(b->mr, b->rows - row);
		const struct vt_gemm_out out = {
			.c = b->tile,
			.ldc = VT_GEMM_NR,
			.bias = zeros,
			.next = next ? next + row / b->mr * step * b->kc : NULL,
			.next_step = step,
		};

		fetch_result(b, t, row, rows, jj);
		b->run->op->isa->tile(rows, cols, b->kc, b->sums + t * b->term + row * b->lda,
				      b->lda, panel_of(s, t, b->k0, jj), &out, true, true);
		add_tile(b, t, row, rows, jj, cols);
	}
}

/* One product of the columns [j, end): so far its sums stay close, and so do the places of the other products. */
static void multiply_group(const struct block *b, size_t t, size_t j, size_t end)
{
	const struct strassen_state *s = b->run->s;

	for (size_t jj = j; jj < end; jj += VT_GEMM_NR)
		multiply(b, t, jj,
			 jj + VT_GEMM_NR < end	     ? panel_of(s, t, b->k0, jj + VT_GEMM_NR)
			 : t + 1 < VT_STRASSEN_TERMS ? panel_of(s, t + 1, b->k0, j)
			 : end < b->j + b->nj	     ? panel_of(s, 0, b->k0, end)
						     : NULL);
}

/* Columns [j, end) of all four quadrants. */
static void activate(const struct block *b, size_t j, size_t end)
{
	const struct vt_gemm_op *op = b->run->op;

	for (size_t q = 0; q < QUADRANTS && op->act != VT_NONE; q++)
		for (size_t r = 0; r < rows_of(b, q, 0, b->rows); r++)
			vt_act_row_f32(op->act, op->act_a, op->act_b, place(b, op->c, q, r, j),
				       end - j);
}

/* One block of products: its sums, unless they are @there, and all that is made of them. */
static void run_products(struct block *b, bool there)
{
	const struct strassen_state *s = b->run->s;
	const struct vt_gemm_src *src = &b->run->op->src;
	const struct vt_strassen_rows x = {
		.x = src->x + b->i * src->ldx + b->k0,
		.ldx = src->ldx,
		.below = s->half_rows * src->ldx,
		.right = s->half_k,
		.rows = b->rows,
		.rows_below = b->rows_below,
		.n = b->kc,
	};

	if (!there)
		s->isa->sums(&x, b->sums, b->lda, b->term);
	for (size_t j = b->j, end; j < b->j + b->nj; j = end) {
		end = min_size(j + s->group, b->j + b->nj);
		for (size_t t = 0; t < VT_STRASSEN_TERMS; t++)
			multiply_group(b, t, j, end);
		if (b->k0 + b->kc == s->half_k)
			activate(b, j, end);
	}
}

static void strassen_task(const struct run *run, size_t block, size_t piece)
{
	const struct strassen_state *s = run->s;
	struct block b = {.run = run,
			  .i = block * run->block,
			  .j = piece * run->piece,
			  .k0 = run->k0,
			  .kc = run->kc,
			  .lda = vt_gemm_lda(s->half_k)};
	bool there;

	b.rows = min_size(run->block, s->half_rows - b.i);
	b.rows_below = min_size(b.rows, run->op->rows - s->half_rows - b.i);
	b.nj = min_size(run->piece, s->half_cols - b.j);
	b.mr = div_up(b.rows, div_up(b.rows, vt_gemm_mr()));
	b.term = b.rows * b.lda;
	b.tile = vt_scratch_of(run->id + block, &there);
	b.sums = b.tile + VT_GEMM_MR * VT_GEMM_NR;
	run_products(&b, there);
}

/*
 * Blocks of rows are shared out, smaller ones where there are more cores; then pieces of the columns, those of a block
 * next to each other.
 */
static void strassen_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	static _Atomic uint64_t runs;
	const struct strassen_state *s = l->state;
	struct run run = {.s = s, .op = &s->op[inst]};
	const size_t least = LEAST_TILES * vt_gemm_mr();
	size_t share = div_up(s->half_rows, vt_gang_cores(gang)), blocks, pieces;

	share = min_size(share < least ? least : share, s->block);
	blocks = div_up(s->half_rows, share);
	run.block = div_up(s->half_rows, blocks);
	pieces = min_size(div_up(s->half_cols, s->group), PIECES);
	run.piece = div_up(div_up(s->half_cols, pieces), s->group) * s->group;
	for (; run.k0 < s->half_k; run.k0 += run.kc) {
		run.kc = min_size(vt_gemm_kc(s->half_k), s->half_k - run.k0);
		run.id = atomic_fetch_add_explicit(&runs, (uint64_t)s->half_rows,
						   memory_order_relaxed) +
			 1;
		pthreadpool_parallelize_2d(gang, (pthreadpool_task_2d_t)strassen_task, &run,
					   div_up(s->half_rows, run.block),
					   div_up(s->half_cols, run.piece), 0);
	}
}

const struct vt_kernel vt_fc_strassen_f32 = {"vt_fc_strassen_f32", strassen_create, strassen_bind,
					     strassen_run, strassen_destroy};
