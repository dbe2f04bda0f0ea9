// SPDX-License-Identifier: Apache-2.0
/*
 * pass_depthwise.c - a Conv and the depthwise Conv that alone reads it become one node, where the
 * kernels say that this is faster: what lies between them then never leaves the caches.
 */
#include "model/pass.h"

static bool is_depthwise(const struct vt_graph *g, const struct vt_node *n)
{
	return n->op == VT_OP_CONV2D && vt_is_const(g, n->in[1]) && n->epi.residual == VT_NONE &&
	       vt_in(g, n, 0)->shape.rank == 4 && vt_in(g, n, 1)->shape.dim[1] == 1 &&
	       n->p.conv.groups == vt_in(g, n, 0)->shape.dim[3] &&
	       n->p.conv.groups == vt_out(g, n, 0)->shape.dim[3];
}

static int optional(const struct vt_node *n, int i)
{
	return i < n->n_in ? n->in[i] : VT_NONE;
}

static int join(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n = &g->nodes[i];
	const struct vt_node *first;
	struct vt_epilogue mid;
	union vt_params both = {0};
	int p, in[5], rc;
	char *name;

	if (!w->eval || !w->eval->joins || !is_depthwise(g, n))
		return 0;
	p = vt_made_by(w, n->in[0], VT_OP_CONV2D);
	if (p < 0 || !vt_sole(w, n->in[0]))
		return 0;
	first = &g->nodes[p];
	if (first->p.conv.groups != 1 || first->epi.residual != VT_NONE ||
	    !vt_is_const(g, first->in[1]) || !w->eval->joins(g, first, n))
		return 0;
	in[0] = first->in[0];
	in[1] = first->in[1];
	in[2] = n->in[1];
	in[3] = optional(first, 2);
	in[4] = optional(n, 2);
	mid = first->epi;
	both.pair.first = first->p.conv;
	both.pair.dw = n->p.conv;
	both.pair.act = mid.act;
	both.pair.a = mid.a;
	both.pair.b = mid.b;
	/* The first does most of the work: the pair has its name, and stands where the second stood. */
	rc = vt_set_inputs(n, in, 5);
	if (rc)
		return rc;
	n->op = VT_OP_CONV2D_DW;
	n->p = both;
	name = n->name;
	n->name = g->nodes[p].name;
	g->nodes[p].name = name;
	vt_kill(g, p);
	return 1;
}

int vt_pass_depthwise(struct vt_graph *g, const struct vt_eval *eval, int *changed,
		      struct vt_err *e)
{
	static const vt_rule rules[] = {join, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
