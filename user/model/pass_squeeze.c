// SPDX-License-Identifier: Apache-2.0
/*
 * pass_squeeze.c - the average over all pixels of what a depthwise convolution makes becomes its second
 * result, where the kernels say that they have one for both: a squeeze-and-excite block then reads no
 * pixel to know how much each channel counts.
 */
#include <stdlib.h>

#include "model/pass.h"

static int take_average(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];
	const int p = n->op == VT_OP_GLOBALAVGPOOL ? w->producer[n->in[0]] : VT_NONE;
	struct vt_node *dw;
	int *out;

	if (p < 0 || !w->eval || !w->eval->averages || vt_in(g, n, 0)->shape.rank != 4)
		return 0;
	dw = &g->nodes[p];
	if ((dw->op != VT_OP_CONV2D && dw->op != VT_OP_CONV2D_DW) || dw->n_out != 1 ||
	    (dw->op == VT_OP_CONV2D && (vt_in(g, dw, 0)->shape.dim[3] != dw->p.conv.groups ||
					vt_out(g, dw, 0)->shape.dim[3] != dw->p.conv.groups)) ||
	    !w->eval->averages(g, dw))
		return 0;
	out = realloc(dw->out, 2 * sizeof(*out));
	if (!out)
		return -ENOMEM;
	dw->out = out;
	dw->out[dw->n_out++] = n->out[0];
	vt_kill(g, i);
	return 1;
}

int vt_pass_squeeze(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	static const vt_rule rules[] = {take_average, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
