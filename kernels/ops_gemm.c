// SPDX-License-Identifier: Apache-2.0
/* ops_gemm.c - Conv and FullyConnected on our own matrix kernel (gemm.h), where the CPU has one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/act.h"
#include "kernels/bigmem.h"
#include "kernels/gemm.h"
#include "kernels/layer.h"
#include "kernels/kernels.h"

struct gemm_state {
	int groups;
	size_t panel_floats, bias_floats; /* of one group */
	float *panels, *bias;		  /* all groups */
	struct vt_gemm_op proto;	  /* all but the pointers of an instance */
	struct vt_gemm_op op[];		  /* of each instance */
};

/* An activation that is a clamp costs nothing; others are applied to finished rows. */
int vt_gemm_set_epilogue(struct vt_gemm_op *op, const struct vt_epilogue *epi)
{
	op->lo = -INFINITY;
	op->hi = INFINITY;
	op->act = VT_NONE;
	if (epi->act == VT_OP_RELU) {
		op->lo = 0;
	} else if (epi->act == VT_OP_CLIP) {
		op->lo = epi->a;
		op->hi = epi->b;
	} else if (epi->act != VT_NONE) {
		if (!vt_act_ok(epi->act))
			return -ENOTSUP;
		op->act = epi->act;
		op->act_a = epi->a;
		op->act_b = epi->b;
	}
	return 0;
}

static void note_matrix(struct vt_layer *l, const struct vt_gemm_op *op)
{
	l->packed_in = 1u << 1 | 1u << 2;
	l->rows = op->rows;
	l->cols = op->cols;
	l->depth = vt_gemm_depth(op->src.k);
	l->scratch_bytes = vt_gemm_scratch_bytes(op->src.k, op->rows);
}

static void gemm_destroy(struct vt_layer *l)
{
	struct gemm_state *s = l->state;

	if (!s)
		return;
	vt_big_free(s->panels, (size_t)s->groups * s->panel_floats * sizeof(float));
	free(s->bias);
	free(s);
	l->state = NULL;
}

/* Memory for the packed operands of all groups; s->proto.cols and .src.k are those of one group. */
static struct gemm_state *gemm_alloc(struct vt_layer *l, int groups, size_t k, size_t cols)
{
	struct gemm_state *s = calloc(1, sizeof(*s) + (size_t)l->n_inst * sizeof(s->op[0]));

	l->state = s;
	if (!s)
		return NULL;
	s->groups = groups;
	s->panel_floats = vt_gemm_packed_floats(k, cols);
	s->bias_floats = s->panel_floats / k;
	s->panels = vt_big_alloc((size_t)groups * s->panel_floats * sizeof(float));
	s->bias = calloc((size_t)groups * s->bias_floats, sizeof(float));
	if (!s->panels || !s->bias) {
		gemm_destroy(l);
		return NULL;
	}
	s->proto.isa = vt_gemm_best();
	s->proto.src.k = k;
	s->proto.cols = cols;
	l->weight_bytes = (size_t)groups * (s->panel_floats + s->bias_floats) * sizeof(float);
	return s;
}

static int gemm_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct gemm_state *s = l->state;
	struct vt_gemm_op *op = &s->op[inst];

	*op = s->proto;
	op->src.x = b->in[0];
	op->c = b->out[0];
	op->residual = b->residual;
	return 0;
}

static void gemm_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	struct gemm_state *s = l->state;

	for (int g = 0; g < s->groups; g++) {
		struct vt_gemm_op op = s->op[inst];

		op.panels = s->panels + (size_t)g * s->panel_floats;
		op.bias = s->bias + (size_t)g * s->bias_floats;
		op.src.c0 = (size_t)g * op.src.gc;
		op.c += (size_t)g * op.cols;
		if (op.residual)
			op.residual += (size_t)g * op.cols;
		vt_gemm_run(&op, gang);
	}
}

/* ---- Conv --------------------------------------------------------------------------------- */

void vt_gemm_conv_source(struct vt_gemm_src *s, const struct vt_conv_params *p,
			 const struct vt_tensor *x)
{
	const bool flat = x->shape.rank == 3; /* NLC: one line */

	s->ih = flat ? 1 : (size_t)x->shape.dim[1];
	s->iw = (size_t)x->shape.dim[flat ? 1 : 2];
	s->ic = (size_t)x->shape.dim[flat ? 2 : 3];
	s->ldx = vt_row_distance(x);
	s->kh = p->kh;
	s->kw = p->kw;
	s->sh = p->sh;
	s->sw = p->sw;
	s->dh = p->dh;
	s->dw = p->dw;
	s->pt = p->pt;
	s->pl = p->pl;
	s->gc = s->ic / (size_t)p->groups;
}

static int conv_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		       struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *bias = vt_in(g, n, 2),
			       *y = vt_out(g, n, 0);
	const size_t taps = (size_t)n->p.conv.kh * (size_t)n->p.conv.kw,
		     groups = (size_t)n->p.conv.groups;
	struct vt_gemm_op probe = {0};
	struct gemm_state *s;
	size_t gc, cols;

	if (!vt_gemm_best() || !vt_all_f32(g, n) || !w->data || (bias && !bias->data) ||
	    vt_gemm_set_epilogue(&probe, &n->epi))
		return -ENOTSUP;
	gc = (size_t)w->shape.dim[1];
	cols = (size_t)w->shape.dim[0] / groups;
	/* Few channels per group leave the vectors empty; depthwise has kernels of its own. */
	if (groups > 1 && cols < 16)
		return -ENOTSUP;
	s = gemm_alloc(l, (int)groups, taps * gc, cols);
	if (!s)
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	vt_gemm_conv_source(&s->proto.src, &n->p.conv, x);
	s->proto.src.oh = y->shape.rank == 3 ? 1 : (size_t)y->shape.dim[1];
	s->proto.src.ow = (size_t)y->shape.dim[y->shape.rank - 2];
	s->proto.rows = (size_t)x->shape.dim[0] * s->proto.src.oh * s->proto.src.ow;
	s->proto.ldc = vt_row_distance(y);
	vt_gemm_set_epilogue(&s->proto, &n->epi);
	for (size_t i = 0; i < groups; i++) {
		vt_gemm_pack(s->panels + i * s->panel_floats,
			     &(struct vt_gemm_weights){.w = (const float *)w->data +
							    i * cols * gc * taps,
						       .taps = taps,
						       .channels = gc,
						       .n = cols,
						       .tap_stride = 1,
						       .channel_stride = taps,
						       .n_stride = gc * taps});
		if (bias)
			memcpy(s->bias + i * s->bias_floats, (const float *)bias->data + i * cols,
			       cols * sizeof(float));
	}
	note_matrix(l, &s->proto);
	return 0;
}

const struct vt_kernel vt_conv2d_gemm_f32 = {"vt_conv2d_gemm_f32", conv_create, gemm_bind, gemm_run,
					     gemm_destroy};

/* ---- FullyConnected ------------------------------------------------------------------------ */

static int fc_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		     struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *bias = vt_in(g, n, 2),
			       *y = vt_out(g, n, 0);
	const bool kn = n->p.fc.w_kn;
	struct vt_gemm_op probe = {0};
	struct gemm_state *s;
	size_t k, cols;

	if (!vt_gemm_best() || !vt_all_f32(g, n) || !w->data || (bias && !bias->data) ||
	    vt_gemm_set_epilogue(&probe, &n->epi))
		return -ENOTSUP;
	k = (size_t)w->shape.dim[kn ? 0 : 1];
	cols = (size_t)w->shape.dim[kn ? 1 : 0];
	if (!k || !cols || x->row_stride)
		return -ENOTSUP;
	s = gemm_alloc(l, 1, k, cols);
	if (!s)
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	s->proto.rows = (size_t)(vt_shape_elems(&x->shape) / (int64_t)k);
	s->proto.src = (struct vt_gemm_src){.ih = 1,
					    .iw = s->proto.rows,
					    .ic = k,
					    .ldx = k,
					    .oh = 1,
					    .ow = s->proto.rows,
					    .kh = 1,
					    .kw = 1,
					    .sh = 1,
					    .sw = 1,
					    .dh = 1,
					    .dw = 1,
					    .k = k,
					    .gc = k};
	s->proto.ldc = vt_row_distance(y);
	vt_gemm_set_epilogue(&s->proto, &n->epi);
	vt_gemm_pack(s->panels, &(struct vt_gemm_weights){.w = w->data,
							  .taps = 1,
							  .channels = k,
							  .n = cols,
							  .channel_stride = kn ? cols : 1,
							  .n_stride = kn ? 1 : k});
	if (bias)
		memcpy(s->bias, bias->data, cols * sizeof(float));
	note_matrix(l, &s->proto);
	return 0;
}

const struct vt_kernel vt_fc_gemm_f32 = {"vt_fc_gemm_f32", fc_create, gemm_bind, gemm_run,
					 gemm_destroy};
