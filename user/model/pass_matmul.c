// SPDX-License-Identifier: Apache-2.0
/* pass_matmul.c - Transposes and scales of a MatMul's operands and result become its parameters. */
#include "model/pass.h"

#include <string.h>

static bool swaps_last_two(const int *perm, int rank)
{
	if (rank < 2 || perm[rank - 1] != rank - 2 || perm[rank - 2] != rank - 1)
		return false;
	return vt_perm_is_identity(perm, rank - 2);
}

static int transposed_operand(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n = &g->nodes[i];

	if (n->op != VT_OP_MATMUL)
		return 0;
	for (int k = 0; k < 2; k++) {
		int p = vt_made_by(w, n->in[k], VT_OP_TRANSPOSE);
		bool *flag = k ? &n->p.matmul.trans_b : &n->p.matmul.trans_a;

		if (p < 0 ||
		    !swaps_last_two(g->nodes[p].p.perm.perm, g->tensors[n->in[k]].shape.rank))
			continue;
		n->in[k] = g->nodes[p].in[0];
		*flag = !*flag;
		return 1;
	}
	return 0;
}

/* The factor by which a Mul or Div with a constant scales its other input. */
static bool scale_of(const struct vt_graph *g, const struct vt_node *n, double *factor)
{
	double v;

	if ((n->op != VT_OP_MUL && n->op != VT_OP_DIV) || !vt_const_scalar(g, n->in[1], &v) ||
	    !vt_shape_equal(&vt_in(g, n, 0)->shape, &vt_out(g, n, 0)->shape))
		return false;
	*factor = n->op == VT_OP_MUL ? v : 1 / v;
	return true;
}

static int scaled_operand(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n = &g->nodes[i];
	double factor;

	if (n->op != VT_OP_MATMUL || vt_out(g, n, 0)->dtype != VT_F32)
		return 0;
	for (int k = 0; k < 2; k++) {
		int p = w->producer[n->in[k]];

		if (p < 0 || !scale_of(g, &g->nodes[p], &factor))
			continue;
		n->in[k] = g->nodes[p].in[0];
		n->p.matmul.alpha *= (float)factor;
		return 1;
	}
	return 0;
}

static int scaled_result(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];
	double factor;
	int p;

	if (!scale_of(g, n, &factor))
		return 0;
	p = vt_made_by(w, n->in[0], VT_OP_MATMUL);
	if (p < 0 || !vt_sole(w, n->in[0]) || vt_out(g, n, 0)->dtype != VT_F32)
		return 0;
	g->nodes[p].p.matmul.alpha *= (float)factor;
	g->nodes[p].out[0] = n->out[0];
	vt_kill(g, i);
	return 1;
}

static bool is_one_matrix(const struct vt_shape *s)
{
	for (int d = 0; d < s->rank - 2; d++)
		if (s->dim[d] != 1)
			return false;
	return s->rank >= 2;
}

/* A constant of one matrix without the dims of 1 before it: index or -errno */
static int flat_matrix(struct vt_graph *g, int tensor)
{
	const struct vt_shape *s = &g->tensors[tensor].shape;
	const struct vt_shape two = {2, {s->dim[s->rank - 2], s->dim[s->rank - 1]}};
	int flat;

	if (s->rank == 2)
		return tensor;
	flat = vt_new_const(g, tensor, "matrix", &two);
	if (flat >= 0)
		memcpy(g->tensors[flat].data, g->tensors[tensor].data, g->tensors[tensor].bytes);
	return flat;
}

/* A right operand that is one constant matrix: an FC packs it once. */
static int constant_operand(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	const struct vt_tensor *a = vt_in(w->g, n, 0), *b = vt_in(w->g, n, 1);
	int flat;
	bool kn;

	if (n->op != VT_OP_MATMUL || !vt_is_const(w->g, n->in[1]) || b->dtype != VT_F32 ||
	    !is_one_matrix(&b->shape) || a->shape.rank < b->shape.rank || n->p.matmul.trans_a ||
	    n->p.matmul.alpha != 1)
		return 0;
	flat = flat_matrix(w->g, n->in[1]);
	if (flat < 0)
		return flat;
	n->in[1] = flat;
	kn = !n->p.matmul.trans_b;
	n->op = VT_OP_FC;
	n->p = (union vt_params){.fc = {.w_kn = kn}};
	return 1;
}

int vt_pass_matmul(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	static const vt_rule rules[] = {transposed_operand, scaled_operand, scaled_result,
					constant_operand, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
