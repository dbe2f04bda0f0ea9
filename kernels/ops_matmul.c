// SPDX-License-Identifier: Apache-2.0
/*
 * ops_matmul.c - MatMul of two computed operands on our matrix kernel, batch by batch.
 *
 * The right operand is packed into a workspace of the instance at every run (in parallel, by
 * panels), then each batch element is one matrix product for the tiler.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bigmem.h"
#include "kernels/gemm.h"
#include "kernels/isa.h"
#include "kernels/kernels.h"

struct matmul_inst {
	const float *a, *b;
	float *y;
	float *panels; /* of all distinct right operands */
};

struct matmul_state {
	const struct vt_gemm_isa *isa;
	size_t m, k, n;
	size_t batch, b_batch; /* of the result; of the right operand */
	size_t *a_at, *b_at;   /* per batch element: which matrix of a and b */
	bool trans_a, trans_b;
	float alpha;
	size_t panel_floats, n_panels; /* of one right operand */
	float *bias;		       /* zeros */
	int n_inst;
	struct matmul_inst inst[];
};

static void matmul_destroy(struct vt_layer *l)
{
	struct matmul_state *s = l->state;

	if (!s)
		return;
	for (int i = 0; i < s->n_inst; i++)
		vt_big_free(s->inst[i].panels, s->panel_floats * s->b_batch * sizeof(float));
	free(s->a_at);
	free(s->b_at);
	free(s->bias);
	free(s);
	l->state = NULL;
}

struct matmul_ctx {
	const struct matmul_state *s;
	const struct matmul_inst *in;
};

/* Pack panel @p of right operand @b, scaled. */
static void pack_task(struct matmul_ctx *c, size_t b, size_t p)
{
	const struct matmul_state *s = c->s;
	const struct vt_gemm_weights w = {.w = c->in->b + b * s->k * s->n,
					  .taps = 1,
					  .channels = s->k,
					  .n = s->n,
					  .channel_stride = s->trans_b ? 1 : s->n,
					  .n_stride = s->trans_b ? s->k : 1};
	const size_t kc = vt_gemm_kc(s->k);
	float *to = c->in->panels + b * s->panel_floats;

	vt_gemm_pack_panel(to, &w, p * VT_GEMM_NR);
	for (size_t k0 = 0; s->alpha != 1 && k0 < s->k; k0 += kc) {
		const size_t n = (s->k - k0 < kc ? s->k - k0 : kc) * VT_GEMM_NR;

		vt_vec()->affine(to + vt_gemm_panel(s->k, s->n, k0, p * VT_GEMM_NR),
				 to + vt_gemm_panel(s->k, s->n, k0, p * VT_GEMM_NR), n, s->alpha,
				 0);
	}
}

static void matmul_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	const struct matmul_state *s = l->state;
	struct matmul_ctx c = {s, &s->inst[inst]};

	pthreadpool_parallelize_2d(gang, (pthreadpool_task_2d_t)pack_task, &c, s->b_batch,
				   s->n_panels, 0);
	for (size_t i = 0; i < s->batch; i++) {
		struct vt_gemm_op op = {
			.isa = s->isa,
			.src = {.x = c.in->a + s->a_at[i] * s->m * s->k,
				.ih = 1,
				.iw = s->m,
				.ic = s->k,
				.ldx = s->trans_a ? s->m : s->k,
				.transposed = s->trans_a,
				.oh = 1,
				.ow = s->m,
				.kh = 1,
				.kw = 1,
				.sh = 1,
				.sw = 1,
				.dh = 1,
				.dw = 1,
				.k = s->k,
				.gc = s->k},
			.panels = c.in->panels + s->b_at[i] * s->panel_floats,
			.bias = s->bias,
			.rows = s->m,
			.cols = s->n,
			.c = c.in->y + i * s->m * s->n,
			.ldc = s->n,
			.lo = -INFINITY,
			.hi = INFINITY,
			.act = VT_NONE,
		};

		vt_gemm_run(&op, gang);
	}
}

static int matmul_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct matmul_state *s = l->state;

	s->inst[inst].a = b->in[0];
	s->inst[inst].b = b->in[1];
	s->inst[inst].y = b->out[0];
	return 0;
}

/* For each batch element of @y the matrix of @x it uses; broadcasting over all but the last two dims. */
static size_t *batch_map(const struct vt_shape *x, const struct vt_shape *y, size_t batch)
{
	size_t *at = calloc(batch + 1, sizeof(*at));

	for (size_t i = 0; at && i < batch; i++) {
		size_t rest = i, stride = 1;

		for (int d = y->rank - 3, xd = x->rank - 3; d >= 0; d--, xd--) {
			const size_t pos = rest % (size_t)y->dim[d];

			rest /= (size_t)y->dim[d];
			if (xd < 0 || x->dim[xd] == 1)
				continue;
			at[i] += pos * stride;
			stride *= (size_t)x->dim[xd];
		}
	}
	return at;
}

static size_t batch_of(const struct vt_shape *s)
{
	size_t n = 1;

	for (int d = 0; d < s->rank - 2; d++)
		n *= (size_t)s->dim[d];
	return n;
}

static int matmul_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			 struct vt_err *e)
{
	const struct vt_tensor *a = vt_in(g, n, 0), *b = vt_in(g, n, 1), *y = vt_out(g, n, 0);
	struct matmul_state *s;

	if (!vt_gemm_best() || a->dtype != VT_F32 || b->dtype != VT_F32 || a->shape.rank < 2 ||
	    b->shape.rank < 2 || y->shape.rank < 2 || vt_shape_elems(&y->shape) == 0 ||
	    vt_shape_elems(&a->shape) == 0)
		return -ENOTSUP;
	s = calloc(1, sizeof(*s) + (size_t)l->n_inst * sizeof(s->inst[0]));
	l->state = s;
	if (!s)
		return vt_fail(e, -ENOMEM, "no memory for a matrix product");
	s->isa = vt_gemm_best();
	s->trans_a = n->p.matmul.trans_a;
	s->m = (size_t)a->shape.dim[a->shape.rank - (s->trans_a ? 1 : 2)];
	s->k = (size_t)a->shape.dim[a->shape.rank - (s->trans_a ? 2 : 1)];
	s->n = (size_t)y->shape.dim[y->shape.rank - 1];
	s->batch = batch_of(&y->shape);
	s->b_batch = batch_of(&b->shape);
	s->trans_b = n->p.matmul.trans_b;
	s->alpha = n->p.matmul.alpha;
	s->panel_floats = vt_gemm_packed_floats(s->k, s->n);
	s->n_panels = s->panel_floats / s->k / VT_GEMM_NR;
	s->a_at = batch_map(&a->shape, &y->shape, s->batch);
	s->b_at = batch_map(&b->shape, &y->shape, s->batch);
	s->bias = calloc(s->n_panels * VT_GEMM_NR, sizeof(float));
	s->n_inst = l->n_inst;
	for (int i = 0; i < l->n_inst; i++)
		s->inst[i].panels = vt_big_alloc(s->panel_floats * s->b_batch * sizeof(float));
	for (int i = 0; i < l->n_inst; i++)
		if (!s->inst[i].panels || !s->a_at || !s->b_at || !s->bias)
			return vt_fail(e, -ENOMEM, "no memory for a matrix product");
	l->scratch_bytes = vt_gemm_scratch_bytes(s->k, s->m);
	l->read_bytes = s->panel_floats * sizeof(float);
	l->work_bytes = (size_t)l->n_inst * s->b_batch * s->panel_floats * sizeof(float);
	l->rows = s->m;
	l->cols = s->n;
	l->depth = vt_gemm_depth(s->k);
	return 0;
}

const struct vt_kernel vt_matmul_gemm_f32 = {"vt_matmul_gemm_f32", matmul_create, matmul_bind,
					     matmul_run, matmul_destroy};
