// SPDX-License-Identifier: Apache-2.0
/*
 * pass_layernorm.c - (x - mean) / sqrt(mean((x - mean)^2) + eps), times a scale, plus a bias.
 *
 * Matched from the normalised tensor upward; the scale and bias are looked for below it. Forms:
 * d / sqrt(v), d * reciprocal(sqrt(v)), d * v ^ -0.5; squares as d ^ 2 or d * d; means as
 * ReduceMean; and the batch-norm form x * (rsqrt(v) * scale) + (bias - mean * (rsqrt(v) * scale)).
 * What is not centred before its mean square is taken is an RMSNormalization, in the first of these forms.
 */
#include "model/pass.h"

#include <math.h>

struct norm {
	int x;	  /* what is normalised */
	int axis; /* over axis .. last */
	double eps;
	bool rms; /* about 0 instead of the mean */
};

/* The node that writes @t if it is @op on two inputs of which @known is one; sets *@other. */
static int with(const struct vt_rw *w, int t, enum vt_op op, int known, int *other)
{
	int p = vt_made_by(w, t, op);
	const struct vt_node *n;

	if (p < 0)
		return VT_NONE;
	n = &w->g->nodes[p];
	if (n->in[0] != known && n->in[1] != known)
		return VT_NONE;
	*other = vt_other(n, known);
	return p;
}

/* @t = mean(source) over trailing dims that are kept as ones; returns the source or VT_NONE. */
static int mean_of(const struct vt_rw *w, int t, int *axis)
{
	int p = vt_made_by(w, t, VT_OP_REDUCE_MEAN), rank, first = 0;
	const struct vt_node *n;

	if (p < 0)
		return VT_NONE;
	n = &w->g->nodes[p];
	rank = vt_in(w->g, n, 0)->shape.rank;
	while (first < rank && !(n->p.reduce.axes >> first & 1))
		first++;
	if (!n->p.reduce.keepdims || first == rank ||
	    n->p.reduce.axes != ((1u << rank) - 1) - ((1u << first) - 1))
		return VT_NONE;
	*axis = first;
	return n->in[0];
}

static bool is_square_of(const struct vt_rw *w, int t, int d)
{
	const struct vt_graph *g = w->g;
	int p = w->producer[t];
	double two;

	if (p < 0 || g->nodes[p].in[0] != d)
		return false;
	if (g->nodes[p].op == VT_OP_MUL)
		return g->nodes[p].in[1] == d;
	return g->nodes[p].op == VT_OP_POW && vt_const_scalar(g, g->nodes[p].in[1], &two) &&
	       two == 2;
}

/* @t = x - mean(x)? Fills x and axis. */
static bool is_centred(const struct vt_rw *w, int t, struct norm *m)
{
	int p = vt_made_by(w, t, VT_OP_SUB);

	if (p < 0)
		return false;
	m->x = w->g->nodes[p].in[0];
	return mean_of(w, w->g->nodes[p].in[1], &m->axis) == m->x;
}

/* @t = mean(d^2) + eps? */
static bool is_variance(const struct vt_rw *w, int t, int d, struct norm *m)
{
	int p = vt_made_by(w, t, VT_OP_ADD), axis, square;

	if (p < 0 || !vt_const_scalar(w->g, w->g->nodes[p].in[1], &m->eps))
		return false;
	square = mean_of(w, w->g->nodes[p].in[0], &axis);
	if (square < 0 || !is_square_of(w, square, d))
		return false;
	if (m->rms)
		m->axis = axis;
	return axis == m->axis;
}

/* Is @v the variance of @d, or its mean square if that is not centred? */
static bool is_scale_of(const struct vt_rw *w, int v, int d, struct norm *m)
{
	m->rms = !is_centred(w, d, m);
	if (m->rms)
		m->x = d;
	return is_variance(w, v, d, m);
}

/* @t = 1 / sqrt(v), in one of its spellings; returns v */
static int rsqrt_of(const struct vt_rw *w, int t)
{
	const struct vt_graph *g = w->g;
	int p = t < 0 ? VT_NONE : w->producer[t], s;
	double v;

	if (p < 0)
		return VT_NONE;
	switch (g->nodes[p].op) {
	case VT_OP_RECIPROCAL:
		s = vt_made_by(w, g->nodes[p].in[0], VT_OP_SQRT);
		return s < 0 ? VT_NONE : g->nodes[s].in[0];
	case VT_OP_DIV:
		s = vt_made_by(w, g->nodes[p].in[1], VT_OP_SQRT);
		return s >= 0 && vt_const_scalar(g, g->nodes[p].in[0], &v) && v == 1
			       ? g->nodes[s].in[0]
			       : VT_NONE;
	case VT_OP_POW:
		return vt_const_scalar(g, g->nodes[p].in[1], &v) && v == -0.5 ? g->nodes[p].in[0]
									      : VT_NONE;
	default:
		return VT_NONE;
	}
}

/* Node @i writes the normalised tensor d * rsqrt(v) or d / sqrt(v)? */
static bool is_normalised(const struct vt_rw *w, int i, struct norm *m)
{
	const struct vt_node *n = &w->g->nodes[i];
	int s;

	if (n->op == VT_OP_DIV) {
		s = vt_made_by(w, n->in[1], VT_OP_SQRT);
		return s >= 0 && is_scale_of(w, w->g->nodes[s].in[0], n->in[0], m);
	}
	for (int k = 0; n->op == VT_OP_MUL && k < 2; k++) {
		int v = rsqrt_of(w, n->in[!k]);

		if (v >= 0 && is_scale_of(w, v, n->in[k], m))
			return true;
	}
	return false;
}

/* The shape of scale and bias: the normalised dims of x. */
static struct vt_shape tail_shape(const struct vt_graph *g, const struct norm *m)
{
	const struct vt_shape *x = &g->tensors[m->x].shape;
	struct vt_shape s = {.rank = x->rank - m->axis};

	for (int d = 0; d < s.rank; d++)
		s.dim[d] = x->dim[m->axis + d];
	return s;
}

/* A constant that only varies along the normalised dims, as a constant of exactly these. */
static int tail_const(struct vt_graph *g, int t, const struct vt_shape *tail)
{
	struct vt_shape s;
	int lead, copy;

	if (!vt_is_const(g, t) || g->tensors[t].dtype != VT_F32 ||
	    vt_shape_elems(&g->tensors[t].shape) != vt_shape_elems(tail))
		return VT_NONE;
	s = g->tensors[t].shape;
	lead = s.rank - tail->rank;
	for (int d = 0; d < s.rank; d++)
		if (s.dim[d] != (d < lead ? 1 : tail->dim[d - lead]))
			return VT_NONE;
	if (lead == 0)
		return t;
	copy = vt_new_const(g, t, "tail", tail);
	if (copy >= 0)
		__builtin_memcpy(g->tensors[copy].data, g->tensors[t].data, g->tensors[t].bytes);
	return copy;
}

static int ones(struct vt_graph *g, int like, const struct vt_shape *tail)
{
	int t = vt_new_const(g, like, "ones", tail);

	for (int64_t i = 0; t >= 0 && i < vt_shape_elems(tail); i++)
		((float *)g->tensors[t].data)[i] = 1;
	return t;
}

/* Is the result of node @i as large as what is normalised? Constants of a higher rank add dims of 1. */
static bool same_shape(const struct vt_graph *g, int i, const struct norm *m)
{
	return vt_shape_equal(&vt_out(g, &g->nodes[i], 0)->shape, &g->tensors[m->x].shape);
}

static int normalisation(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n;
	struct vt_shape tail;
	struct norm m;
	int in[2], rc;

	if (vt_out(g, &g->nodes[i], 0)->dtype != VT_F32 || !is_normalised(w, i, &m) ||
	    !same_shape(g, i, &m))
		return 0;
	tail = tail_shape(g, &m);
	in[0] = m.x;
	in[1] = ones(g, g->nodes[i].out[0], &tail);
	if (in[1] < 0)
		return in[1];
	n = &g->nodes[i];
	rc = vt_set_inputs(n, in, 2);
	if (rc)
		return rc;
	n->op = VT_OP_LAYER_NORM;
	n->p = (union vt_params){.norm = {m.axis, (float)m.eps, m.rms}};
	return 1;
}

/* ---- scale and bias below it -------------------------------------------------------------- */

static bool all_ones(const struct vt_graph *g, int t)
{
	double v;

	return vt_const_scalar(g, t, &v) && v == 1;
}

static int scale_or_bias(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n = &g->nodes[i];
	struct vt_shape tail;
	struct norm m;
	int p = n->n_in == 2 ? vt_made_by(w, n->in[0], VT_OP_LAYER_NORM) : VT_NONE, in[3], c, rc;

	if (p < 0 || (n->op != VT_OP_MUL && n->op != VT_OP_ADD) || !vt_sole(w, n->in[0]) ||
	    g->nodes[p].n_in != 2 || (n->op == VT_OP_MUL && !all_ones(g, g->nodes[p].in[1])))
		return 0;
	m = (struct norm){.x = g->nodes[p].in[0], .axis = g->nodes[p].p.norm.axis};
	if (!same_shape(g, i, &m))
		return 0;
	tail = tail_shape(g, &m);
	c = tail_const(g, n->in[1], &tail);
	if (c < 0)
		return c == VT_NONE ? 0 : c;
	in[0] = m.x;
	in[1] = n->op == VT_OP_MUL ? c : g->nodes[p].in[1];
	in[2] = c;
	rc = vt_set_inputs(&g->nodes[p], in, n->op == VT_OP_MUL ? 2 : 3);
	if (rc)
		return rc;
	g->nodes[p].out[0] = g->nodes[i].out[0];
	vt_kill(g, i);
	return 1;
}

/* ---- x * r + (bias - mean * r), r = rsqrt(v) * scale --------------------------------------- */

/* @t = rsqrt(variance of x) * scale? */
static bool is_factor(const struct vt_rw *w, int t, struct norm *m, int *scale)
{
	int p = vt_made_by(w, t, VT_OP_MUL), v, d;

	for (int k = 0; p >= 0 && k < 2; k++) {
		const struct vt_node *n = &w->g->nodes[p];
		int add, mean;

		v = rsqrt_of(w, n->in[k]);
		add = v < 0 ? VT_NONE : vt_made_by(w, v, VT_OP_ADD);
		mean = add < 0 ? VT_NONE : vt_made_by(w, w->g->nodes[add].in[0], VT_OP_REDUCE_MEAN);
		d = mean < 0 ? VT_NONE : w->producer[w->g->nodes[mean].in[0]];
		d = d < 0 ? VT_NONE : w->g->nodes[d].in[0];
		*scale = n->in[!k];
		if (d >= 0 && is_centred(w, d, m) && is_variance(w, v, d, m))
			return true;
	}
	return false;
}

static int batch_form(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct norm m = {0};
	struct vt_shape tail;
	int in[3], rc;

	if (g->nodes[i].op != VT_OP_ADD)
		return 0;
	for (int k = 0; k < 2; k++) {
		int mul = vt_made_by(w, g->nodes[i].in[k], VT_OP_MUL);
		int sub = vt_made_by(w, g->nodes[i].in[!k], VT_OP_SUB), x, r, scale, mean, axis;

		for (int j = 0; mul >= 0 && sub >= 0 && j < 2; j++) {
			x = g->nodes[mul].in[j];
			r = g->nodes[mul].in[!j];
			if (!is_factor(w, r, &m, &scale) || m.x != x ||
			    with(w, g->nodes[sub].in[1], VT_OP_MUL, r, &mean) < 0 ||
			    mean_of(w, mean, &axis) != x || axis != m.axis || !same_shape(g, i, &m))
				continue;
			tail = tail_shape(g, &m);
			in[0] = x;
			in[1] = tail_const(g, scale, &tail);
			in[2] = tail_const(g, g->nodes[sub].in[0], &tail);
			if (in[1] < 0 || in[2] < 0)
				return 0;
			rc = vt_set_inputs(&g->nodes[i], in, 3);
			if (rc)
				return rc;
			g->nodes[i].op = VT_OP_LAYER_NORM;
			g->nodes[i].p = (union vt_params){.norm = {m.axis, (float)m.eps, false}};
			return 1;
		}
	}
	return 0;
}

int vt_pass_layernorm(struct vt_graph *g, const struct vt_eval *eval, int *changed,
		      struct vt_err *e)
{
	static const vt_rule rules[] = {normalisation, scale_or_bias, batch_form, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
