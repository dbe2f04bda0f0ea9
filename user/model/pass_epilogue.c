// SPDX-License-Identifier: Apache-2.0
/* pass_epilogue.c - act(conv + bias + residual): what follows a convolution or FC moves into it. */
#include "model/pass.h"

static const bool fusable[VT_OP_COUNT] = {
	[VT_OP_RELU] = true,	   [VT_OP_CLIP] = true,	      [VT_OP_SIGMOID] = true,
	[VT_OP_TANH] = true,	   [VT_OP_SILU] = true,	      [VT_OP_GELU] = true,
	[VT_OP_GELU_TANH] = true,  [VT_OP_HARD_SWISH] = true, [VT_OP_HARD_SIGMOID] = true,
	[VT_OP_LEAKY_RELU] = true, [VT_OP_ELU] = true,
};

/* The node that writes @tensor if something may be put at its end: its result is read once. */
static int open_end(const struct vt_rw *w, int tensor)
{
	int p = w->producer[tensor];
	const struct vt_node *n;

	if (p < 0 || !vt_sole(w, tensor))
		return VT_NONE;
	n = &w->g->nodes[p];
	if ((n->op != VT_OP_CONV2D && n->op != VT_OP_DECONV2D && n->op != VT_OP_FC) ||
	    n->epi.act >= 0 || w->g->tensors[tensor].dtype != VT_F32)
		return VT_NONE;
	return p;
}

static void take_output(struct vt_graph *g, int p, int i)
{
	g->nodes[p].out[0] = g->nodes[i].out[0];
	vt_kill(g, i);
}

static int activation(struct vt_rw *w, int i)
{
	const struct vt_node *n = &w->g->nodes[i];
	struct vt_epilogue *epi;
	int p = fusable[n->op] ? open_end(w, n->in[0]) : VT_NONE;

	if (p < 0)
		return 0;
	epi = &w->g->nodes[p].epi;
	epi->act = (int)n->op;
	epi->a = n->p.scalar.a;
	epi->b = n->p.scalar.b;
	take_output(w->g, p, i);
	return 1;
}

/* May operand @k of the sum @i take the other one in? */
static int adder(const struct vt_rw *w, int i, int k)
{
	const struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];
	int p = open_end(w, n->in[k]);

	if (p < 0 || g->nodes[p].epi.residual >= 0 || n->in[0] == n->in[1] ||
	    vt_in(g, n, !k)->kind == VT_T_CONST ||
	    !vt_shape_equal(&vt_in(g, n, !k)->shape, &vt_out(g, n, 0)->shape) ||
	    !vt_shape_equal(&vt_in(g, n, k)->shape, &vt_out(g, n, 0)->shape))
		return VT_NONE;
	return p;
}

/*
 * No cycle can arise: the convolution's result is read by the sum alone, so the other operand does
 * not depend on it. Of two convolutions the later one takes the sum: the order stays.
 */
static int residual(struct vt_rw *w, int i)
{
	const struct vt_node *n = &w->g->nodes[i];
	int a, b;

	if (n->op != VT_OP_ADD)
		return 0;
	a = adder(w, i, 0);
	b = adder(w, i, 1);
	if (a < 0 && b < 0)
		return 0;
	w->g->nodes[a > b ? a : b].epi.residual = n->in[a > b ? 1 : 0];
	take_output(w->g, a > b ? a : b, i);
	return 1;
}

/* Add(Reshape(fc), r) -> Reshape(Add(fc, Reshape(r))): exporters that run FCs on [B*S, K]. */
static int sum_below_reshape(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];
	struct vt_shape flat;

	if (n->op != VT_OP_ADD || !vt_shape_equal(&vt_in(g, n, 0)->shape, &vt_in(g, n, 1)->shape))
		return 0;
	/* residual() can do it as it is; a constant it would not take */
	if (open_end(w, n->in[0]) >= 0 || open_end(w, n->in[1]) >= 0 ||
	    vt_in(g, n, 0)->kind == VT_T_CONST || vt_in(g, n, 1)->kind == VT_T_CONST)
		return 0;
	for (int k = 0; k < 2; k++) {
		int p = vt_made_by(w, n->in[k], VT_OP_RESHAPE), in[2], y, rc;

		if (p < 0 || !vt_sole(w, n->in[k]) || open_end(w, g->nodes[p].in[0]) < 0)
			continue;
		in[0] = g->nodes[p].in[0];
		flat = g->tensors[in[0]].shape;
		in[1] = vt_reshaped(g, n->in[!k], &flat);
		y = in[1] < 0 ? in[1] : vt_new_tensor(g, g->nodes[i].out[0], "flat", &flat);
		if (y < 0)
			return y;
		rc = vt_graph_add_node(g, VT_OP_RESHAPE, g->nodes[p].name, &y, 1,
				       &g->nodes[i].out[0], 1);
		if (rc < 0)
			return rc;
		g->nodes[i].in[0] = in[0];
		g->nodes[i].in[1] = in[1];
		g->nodes[i].out[0] = y;
		return 1;
	}
	return 0;
}

int vt_pass_epilogue(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	static const vt_rule rules[] = {sum_below_reshape, residual, activation, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
