// SPDX-License-Identifier: Apache-2.0
/*
 * pass_affine.c - y * s + t per channel after a convolution or FC goes into its weight and bias:
 * BatchNormalization, bias Adds, scales. Factors are computed in double and rounded once.
 */
#include "model/pass.h"

#include <math.h>
#include <stdlib.h>

struct affine {
	int64_t n;
	double *scale, *shift; /* n each; one allocation, scale owns it */
};

static int affine_init(struct affine *a, int64_t n)
{
	a->n = n;
	a->scale = malloc(2 * (size_t)n * sizeof(*a->scale));
	a->shift = a->scale + n;
	for (int64_t c = 0; a->scale && c < n; c++) {
		a->scale[c] = 1;
		a->shift[c] = 0;
	}
	return a->scale ? 0 : -ENOMEM;
}

/* ---- what a node does to its first input, per channel -------------------------------------- */

static bool read_norm(const struct vt_graph *g, const struct vt_node *n, struct affine *a)
{
	const float *v[4];
	int step;

	for (int k = 0; k < 4; k++) {
		v[k] = vt_const_channels(g, n->in[k + 1], a->n, &step);
		if (!v[k] || (!step && a->n > 1))
			return false;
	}
	for (int64_t c = 0; c < a->n; c++) {
		a->scale[c] = (double)v[0][c] / sqrt((double)v[3][c] + (double)n->p.norm.eps);
		a->shift[c] = (double)v[1][c] - (double)v[2][c] * a->scale[c];
	}
	return true;
}

static bool read_binary(const struct vt_graph *g, const struct vt_node *n, struct affine *a)
{
	int step = 0;
	const float *v = vt_const_channels(g, n->in[1], a->n, &step);

	if (!v || vt_in(g, n, 1)->shape.rank > vt_out(g, n, 0)->shape.rank)
		return false;
	for (int64_t c = 0; c < a->n; c++, v += step) {
		if (n->op == VT_OP_ADD)
			a->shift[c] = (double)*v;
		else if (n->op == VT_OP_SUB)
			a->shift[c] = -(double)*v;
		else
			a->scale[c] = n->op == VT_OP_MUL ? (double)*v : 1 / (double)*v;
	}
	return true;
}

static bool (*const read_affine[VT_OP_COUNT])(const struct vt_graph *g, const struct vt_node *n,
					      struct affine *a) = {
	[VT_OP_BATCH_NORM] = read_norm, [VT_OP_ADD] = read_binary, [VT_OP_SUB] = read_binary,
	[VT_OP_MUL] = read_binary,	[VT_OP_DIV] = read_binary,
};

/* ---- into the weight ----------------------------------------------------------------------- */

/* The output channel that the weight's element @at belongs to: at / inner % wrap, by group. */
struct weight_map {
	int64_t inner, wrap, group_elems;
};

static struct weight_map map_weight(const struct vt_graph *g, const struct vt_node *n)
{
	const struct vt_shape *s = &vt_in(g, n, 1)->shape;
	int64_t elems = vt_shape_elems(s);

	if (n->op == VT_OP_FC && n->p.fc.w_kn)
		return (struct weight_map){1, s->dim[s->rank - 1], elems};
	if (n->op == VT_OP_DECONV2D) /* [C, M/g, kh, kw] */
		return (struct weight_map){elems / (s->dim[0] * s->dim[1]), s->dim[1],
					   elems / n->p.conv.groups};
	return (struct weight_map){elems / s->dim[0], s->dim[0], elems};
}

static bool scales(const struct affine *a)
{
	for (int64_t c = 0; c < a->n; c++)
		if (a->scale[c] != 1)
			return true;
	return false;
}

static int scaled_weight(struct vt_graph *g, int i, const struct affine *a)
{
	struct weight_map m = map_weight(g, &g->nodes[i]);
	int old = g->nodes[i].in[1], t;
	int64_t elems = vt_shape_elems(&g->tensors[old].shape);
	const float *src;
	float *dst;

	if (!scales(a))
		return old;
	t = vt_new_const(g, old, "scaled", &g->tensors[old].shape);
	if (t < 0)
		return t;
	src = g->tensors[old].data;
	dst = g->tensors[t].data;
	for (int64_t at = 0; at < elems; at++) {
		int64_t c = at / m.inner % m.wrap + at / m.group_elems * m.wrap;

		dst[at] = (float)((double)src[at] * a->scale[c]);
	}
	return t;
}

static int shifted_bias(struct vt_graph *g, int i, const struct affine *a)
{
	int old = g->nodes[i].n_in > 2 ? g->nodes[i].in[2] : VT_NONE;
	struct vt_shape s = {.rank = 1, .dim = {a->n}};
	int t = vt_new_const(g, g->nodes[i].out[0], "bias", &s);
	const float *src;
	float *dst;

	if (t < 0)
		return t;
	src = old < 0 ? NULL : g->tensors[old].data;
	dst = g->tensors[t].data;
	for (int64_t c = 0; c < a->n; c++)
		dst[c] = (float)((src ? (double)src[c] * a->scale[c] : 0) + a->shift[c]);
	return t;
}

static int absorb(struct vt_rw *w, int i, const struct affine *a)
{
	struct vt_graph *g = w->g;
	int old = g->nodes[i].in[1], in[3] = {g->nodes[i].in[0]}, rc;

	in[1] = scaled_weight(g, i, a);
	in[2] = in[1] < 0 ? in[1] : shifted_bias(g, i, a);
	if (in[2] < 0)
		return in[2];
	rc = vt_set_inputs(&g->nodes[i], in, 3);
	/* Large models: never hold more than one weight twice. */
	if (!rc && in[1] != old && w->readers[old] == 1)
		vt_graph_drop_data(g, old);
	return rc;
}

static bool has_weight(const struct vt_rw *w, int tensor, int *node)
{
	const struct vt_graph *g = w->g;
	const struct vt_node *n;
	int p = w->producer[tensor];

	if (p < 0 || !vt_sole(w, tensor))
		return false;
	n = &g->nodes[p];
	*node = p;
	return (n->op == VT_OP_CONV2D || n->op == VT_OP_DECONV2D || n->op == VT_OP_FC) &&
	       n->epi.act < 0 && n->epi.residual < 0 && vt_is_const(g, n->in[1]) &&
	       vt_in(g, n, 1)->dtype == VT_F32 &&
	       (n->n_in < 3 || n->in[2] < 0 || vt_is_const(g, n->in[2]));
}

static int into_weight(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];
	const struct vt_shape *y = &vt_out(g, n, 0)->shape;
	struct affine a = {0};
	int p, rc;

	if (!read_affine[n->op] || !has_weight(w, n->in[0], &p) ||
	    !vt_shape_equal(y, &vt_in(g, n, 0)->shape) || !y->rank || !vt_shape_elems(y) ||
	    !vt_shape_elems(&vt_in(g, &g->nodes[p], 1)->shape))
		return 0;
	rc = affine_init(&a, y->dim[y->rank - 1]);
	if (!rc && read_affine[n->op](g, n, &a)) {
		rc = absorb(w, p, &a);
		if (!rc) {
			g->nodes[p].out[0] = g->nodes[i].out[0];
			vt_kill(g, i);
			rc = 1;
		}
	}
	free(a.scale);
	return rc;
}

int vt_pass_affine(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	static const vt_rule rules[] = {into_weight, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
