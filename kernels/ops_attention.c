// SPDX-License-Identifier: Apache-2.0
/*
 * ops_attention.c - softmax(scale q k' + mask) v, head by head, on our matrix kernel.
 *
 * One unit of work is a head of one batch element and a range of its query rows. A core packs the
 * head's keys and values once into its scratch (they are used by every row), then takes MR query
 * rows at a time: the MR x T scores, their softmax and the product with v never leave the first two
 * cache levels.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/gemm.h"
#include "kernels/isa.h"
#include "kernels/kernels.h"

struct attention_inst {
	const float *q, *k, *v, *mask;
	float *y;
};

struct attention_state {
	const struct vt_gemm_isa *isa;
	size_t batch, heads, s, t, d; /* s queries, t keys, d elements per head */
	float scale;
	bool masked;
	size_t mask_stride[4]; /* of [batch, head, s, t], in elements; 0: broadcast */
	struct attention_inst inst[];
};

struct attention_ctx {
	const struct attention_state *st;
	const struct attention_inst *in;
	size_t rows_per_unit;
};

static const float zeros[VT_GEMM_NR];

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static size_t round_up(size_t v, size_t to)
{
	return (v + to - 1) / to * to;
}

/* Both left operands, rows of queries and of scores, lie an odd number of cache lines apart: in no other's sets. */
static size_t queries_ld(const struct attention_state *st)
{
	return round_up(st->d, VT_GEMM_NR) + 16;
}

static size_t scores_ld(const struct attention_state *st)
{
	return round_up(st->t, VT_GEMM_NR) + 16;
}

/* Scratch of a core: queries and scores of a tile's rows, packed keys, packed values. */
static size_t scratch_floats(const struct attention_state *st)
{
	return st->isa->mr * (queries_ld(st) + scores_ld(st)) +
	       vt_gemm_packed_floats(st->d, st->t) + vt_gemm_packed_floats(st->t, st->d);
}

/* c[mi x n] = a[mi x k] * panels, at most MR rows, which lie where the kernel can have them. */
static void product(const struct attention_state *st, const float *a, size_t lda, size_t mi,
		    size_t k, const float *panels, float *c, size_t ldc, size_t n)
{
	const size_t block = vt_gemm_kc(k);

	for (size_t k0 = 0; k0 < k; k0 += block) {
		const size_t kc = min_size(block, k - k0);

		for (size_t j = 0; j < n; j += VT_GEMM_NR) {
			const struct vt_gemm_out o = {.c = c + j,
						      .ldc = ldc,
						      .bias = zeros,
						      .after = VT_GEMM_NR,
						      .lo = -INFINITY,
						      .hi = INFINITY};

			st->isa->tile(mi, min_size(VT_GEMM_NR, n - j), kc, a + k0, lda,
				      panels + vt_gemm_panel(k, n, k0, j), &o, k0 == 0,
				      k0 + kc == k);
		}
	}
}

/* exp(p + mask - max) in place; returns 1 / sum, left to the shorter row of the product with v. */
static float softmax_row(const struct attention_state *st, float *p, const float *mask,
			 size_t mask_step)
{
	const struct vt_vec *v = vt_vec();

	/* One value for the whole row moves no weight, unless it is so large that it swallows scores. */
	if (mask && !mask_step) {
		if (*mask != 0)
			v->affine(p, p, st->t, 1, *mask);
		mask = NULL;
	}
	return 1 / v->exp_sum(p, p, mask, st->t, v->max_plus(p, mask, st->t));
}

/* Query rows [row, end) of one head. */
static void attend(const struct attention_ctx *c, size_t b, size_t h, size_t row, size_t end)
{
	const struct attention_state *st = c->st;
	const size_t width = st->heads * st->d, ldq = queries_ld(st), ld = scores_ld(st);
	float *q = vt_scratch(), *p = q + st->isa->mr * ldq;
	float *keys = p + st->isa->mr * ld, *values = keys + vt_gemm_packed_floats(st->d, st->t);
	const size_t kv = (b * st->t) * width + h * st->d;

	vt_gemm_pack(keys, &(struct vt_gemm_weights){.w = c->in->k + kv,
						     .taps = 1,
						     .channels = st->d,
						     .n = st->t,
						     .channel_stride = 1,
						     .n_stride = width});
	vt_gemm_pack(values, &(struct vt_gemm_weights){.w = c->in->v + kv,
						       .taps = 1,
						       .channels = st->t,
						       .n = st->d,
						       .channel_stride = width,
						       .n_stride = 1});
	for (; row < end; row += st->isa->mr) {
		float inv[VT_GEMM_MR];
		const size_t mi = min_size(st->isa->mr, end - row),
			     at = (b * st->s + row) * width + h * st->d;

		for (size_t r = 0; r < mi; r++)
			vt_vec()->affine(q + r * ldq, c->in->q + at + r * width, st->d, st->scale,
					 0);
		product(st, q, ldq, mi, st->d, keys, p, ld, st->t);
		for (size_t r = 0; r < mi; r++) {
			const size_t *ms = st->mask_stride;
			const float *mask =
				st->masked ? c->in->mask + b * ms[0] + h * ms[1] + (row + r) * ms[2]
					   : NULL;

			inv[r] = softmax_row(st, p + r * ld, mask, ms[3]);
		}
		product(st, p, ld, mi, st->t, values, c->in->y + at, width, st->d);
		for (size_t r = 0; r < mi; r++)
			vt_vec()->affine(c->in->y + at + r * width, c->in->y + at + r * width,
					 st->d, inv[r], 0);
	}
}

static void attention_task(struct attention_ctx *c, size_t head, size_t part)
{
	const size_t row = part * c->rows_per_unit;

	attend(c, head / c->st->heads, head % c->st->heads, row,
	       min_size(row + c->rows_per_unit, c->st->s));
}

static void attention_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	const struct attention_state *st = l->state;
	const size_t units = st->batch * st->heads, want = 4 * (size_t)vt_gang_cores(gang);
	struct attention_ctx c = {st, &st->inst[inst], 0};
	size_t parts = (want + units - 1) / units;

	/* Each part packs keys and values again: no smaller than four tiles of rows. */
	c.rows_per_unit = round_up((st->s + parts - 1) / parts, 4 * st->isa->mr);
	if (parts == 1)
		c.rows_per_unit = st->s;
	pthreadpool_parallelize_2d(gang, (pthreadpool_task_2d_t)attention_task, &c, units,
				   (st->s + c.rows_per_unit - 1) / c.rows_per_unit, 0);
}

static int attention_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct attention_state *st = l->state;

	st->inst[inst] = (struct attention_inst){b->in[0], b->in[1], b->in[2],
						 st->masked ? b->in[3] : NULL, b->out[0]};
	return 0;
}

static void attention_destroy(struct vt_layer *l)
{
	free(l->state);
	l->state = NULL;
}

/* Strides of the mask seen as [batch, heads, s, t]; false if it does not broadcast to that. */
static bool mask_strides(struct attention_state *st, const struct vt_tensor *m)
{
	const size_t want[4] = {st->batch, st->heads, st->s, st->t};
	size_t stride = 1;

	if (m->shape.rank > 4)
		return false;
	for (int d = 3; d >= 0; d--) {
		const int at = d - (4 - m->shape.rank);
		const size_t dim = at < 0 ? 1 : (size_t)m->shape.dim[at];

		if (dim != 1 && dim != want[d])
			return false;
		st->mask_stride[d] = dim == 1 ? 0 : stride;
		stride *= dim;
	}
	return true;
}

bool vt_attends(void)
{
	return vt_gemm_best() != NULL;
}

static int attention_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			    struct vt_err *e)
{
	const struct vt_tensor *q = vt_in(g, n, 0), *k = vt_in(g, n, 1), *m = vt_in(g, n, 3);
	struct attention_state *st;

	for (int i = 0; i < n->n_in; i++)
		if (vt_in(g, n, i) &&
		    (vt_in(g, n, i)->dtype != VT_F32 || vt_in(g, n, i)->row_stride))
			return -ENOTSUP;
	if (!vt_attends() || q->shape.rank != 3 || k->shape.rank != 3 || !n->p.attention.heads ||
	    !vt_shape_elems(&q->shape) || !vt_shape_elems(&k->shape))
		return -ENOTSUP;
	st = calloc(1, sizeof(*st) + (size_t)l->n_inst * sizeof(st->inst[0]));
	l->state = st;
	if (!st)
		return vt_fail(e, -ENOMEM, "no memory for an attention layer");
	st->isa = vt_gemm_best();
	st->batch = (size_t)q->shape.dim[0];
	st->heads = (size_t)n->p.attention.heads;
	st->s = (size_t)q->shape.dim[1];
	st->t = (size_t)k->shape.dim[1];
	st->d = (size_t)q->shape.dim[2] / st->heads;
	st->scale = n->p.attention.scale;
	st->masked = m != NULL;
	if (m && !mask_strides(st, m))
		return -ENOTSUP;
	l->scratch_bytes = scratch_floats(st) * sizeof(float);
	return 0;
}

const struct vt_kernel vt_attention_gemm_f32 = {"vt_attention_gemm_f32", attention_create,
						attention_bind, attention_run, attention_destroy};
