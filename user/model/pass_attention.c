// SPDX-License-Identifier: Apache-2.0
/*
 * pass_attention.c - softmax(scale * q k' + mask) v over heads.
 *
 * Matched: the two products, the softmax, scalar factors on q, k or the scores, one mask. q, k and
 * v come as Transposes of [B,S,heads,d] (or [S,heads,d], where every head of every batch counts as
 * a head of its own) or as plain [B,S,d] with one head. The result is given back under the shape
 * that the second product had, through a Transpose; the layout pass then cancels it against the exporter's.
 */
#include "model/pass.h"

#include <string.h>

struct match {
	int q, k, v, mask; /* tensors [B,S,heads,d] or [S,heads,d]; mask as written */
	int heads;
	int64_t batch, s, t, d;
	double scale;
	bool split; /* do q, k and v come as Transposes that split heads? */
	int rank;   /* of the scores */
};

/* Follow scalar factors upward; returns what they scale. */
static int strip_scale(const struct vt_rw *w, int t, double *scale)
{
	const struct vt_graph *g = w->g;
	double v;

	for (;;) {
		int p = w->producer[t];
		const struct vt_node *n = p < 0 ? NULL : &g->nodes[p];

		if (!n || (n->op != VT_OP_MUL && n->op != VT_OP_DIV) ||
		    !vt_const_scalar(g, n->in[1], &v) || v == 0 ||
		    !vt_shape_equal(&vt_in(g, n, 0)->shape, &g->tensors[t].shape))
			return t;
		*scale *= n->op == VT_OP_MUL ? v : 1 / v;
		t = n->in[0];
	}
}

/* perm for [B,S,h,d] -> [B,h,S,d], and -> [B,h,d,S]; rank 3 without B */
static const int heads_out[2][4] = {{1, 0, 2, 0}, {0, 2, 1, 3}};
static const int heads_out_t[2][4] = {{1, 2, 0, 0}, {0, 2, 3, 1}};

/*
 * The tensor before heads were split, for an operand of a product that is, as the product reads it,
 * [.., S, d], or [.., d, S] if @transposed. Without a Transpose: the operand itself, one head.
 */
static int operand(const struct vt_rw *w, int t, bool transposed, double *scale, bool *split)
{
	int rank = w->g->tensors[t].shape.rank, p, i = rank - 3;
	const int *want = transposed ? heads_out_t[i] : heads_out[i];

	t = strip_scale(w, t, scale);
	p = vt_made_by(w, t, VT_OP_TRANSPOSE);
	*split = p >= 0 && !memcmp(w->g->nodes[p].p.perm.perm, want, (size_t)rank * sizeof(*want));
	if (*split)
		return strip_scale(w, w->g->nodes[p].in[0], scale);
	if (rank != 3)
		return VT_NONE;
	if (!transposed)
		return t;
	/* one head, [B,d,S]: a plain Transpose of [B,S,d] */
	if (p < 0 || w->g->nodes[p].p.perm.perm[0] != 0 || w->g->nodes[p].p.perm.perm[1] != 2)
		return VT_NONE;
	return strip_scale(w, w->g->nodes[p].in[0], scale);
}

/* The product q k' under @t: scalar factors and at most one mask between. Node or VT_NONE. */
static int scores(const struct vt_rw *w, int t, struct match *m)
{
	const struct vt_graph *g = w->g;
	int add = vt_made_by(w, t, VT_OP_ADD);

	m->mask = VT_NONE;
	if (add < 0) {
		t = strip_scale(w, t, &m->scale);
		return vt_made_by(w, t, VT_OP_MATMUL);
	}
	for (int k = 0; k < 2; k++) {
		double scale = 1;
		int qk, a = g->nodes[add].in[k], b = g->nodes[add].in[!k];

		if (!vt_shape_equal(&g->tensors[a].shape, &g->tensors[t].shape))
			continue;
		qk = vt_made_by(w, strip_scale(w, a, &scale), VT_OP_MATMUL);
		if (qk < 0 || g->tensors[b].dtype != VT_F32)
			continue;
		m->scale *= scale;
		m->mask = b;
		return qk;
	}
	return VT_NONE;
}

static bool read_shapes(const struct vt_graph *g, struct match *m)
{
	const struct vt_shape *q = &g->tensors[m->q].shape, *k = &g->tensors[m->k].shape,
			      *v = &g->tensors[m->v].shape;

	if (q->rank != m->rank || !vt_shape_equal(k, v) || !vt_shape_elems(q) || !vt_shape_elems(k))
		return false;
	for (int d = 0; d < q->rank; d++)
		if (q->dim[d] != k->dim[d] && d != q->rank - (m->split ? 3 : 2))
			return false;
	m->d = q->dim[q->rank - 1];
	m->heads = m->split ? (int)q->dim[q->rank - 2] : 1;
	m->s = q->dim[q->rank - (m->split ? 3 : 2)];
	m->t = k->dim[q->rank - (m->split ? 3 : 2)];
	m->batch = m->split && m->rank == 3 ? 1 : q->dim[0];
	return true;
}

static bool matches(const struct vt_rw *w, int i, struct match *m)
{
	const struct vt_graph *g = w->g;
	const struct vt_node *pv = &g->nodes[i], *qk;
	double v_scale = 1;
	int soft, product;
	bool split[3];

	*m = (struct match){.scale = 1, .rank = vt_out(g, pv, 0)->shape.rank};
	if (pv->op != VT_OP_MATMUL || pv->p.matmul.trans_a || pv->p.matmul.trans_b ||
	    pv->p.matmul.alpha != 1 || (m->rank != 3 && m->rank != 4) ||
	    vt_out(g, pv, 0)->dtype != VT_F32 || vt_in(g, pv, 1)->shape.rank != m->rank)
		return false;
	soft = vt_made_by(w, pv->in[0], VT_OP_SOFTMAX);
	if (soft < 0 || !vt_sole(w, pv->in[0]) || g->nodes[soft].p.axis != m->rank - 1)
		return false;
	product = scores(w, g->nodes[soft].in[0], m);
	if (product < 0)
		return false;
	qk = &g->nodes[product];
	if (qk->p.matmul.trans_a || vt_in(g, qk, 0)->shape.rank != m->rank ||
	    vt_in(g, qk, 1)->shape.rank != m->rank)
		return false;
	m->scale *= (double)qk->p.matmul.alpha;
	m->q = operand(w, qk->in[0], false, &m->scale, &split[0]);
	m->k = operand(w, qk->in[1], !qk->p.matmul.trans_b, &m->scale, &split[1]);
	m->v = operand(w, pv->in[1], false, &v_scale, &split[2]);
	m->split = split[0];
	/* the factor of v stays a node of its own: nobody writes one */
	return m->q >= 0 && m->k >= 0 && m->v >= 0 && v_scale == 1 && split[0] == split[1] &&
	       split[0] == split[2] && read_shapes(g, m);
}

/* A mask that the scores [B,S,T] of one head had, for [B,1,S,T]. */
static int mask_operand(struct vt_graph *g, const struct match *m)
{
	struct vt_shape s;

	if (m->mask < 0 || m->split || g->tensors[m->mask].shape.rank < 3)
		return m->mask;
	s = g->tensors[m->mask].shape;
	s = (struct vt_shape){.rank = 4, .dim = {s.dim[0], 1, s.dim[1], s.dim[2]}};
	return vt_reshaped(g, m->mask, &s);
}

static int fuse(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct match m;
	struct vt_shape qs, ks, heads;
	int in[4], out, y, n;

	if (!matches(w, i, &m))
		return 0;
	qs = (struct vt_shape){.rank = 3, .dim = {m.batch, m.s, m.heads * m.d}};
	ks = (struct vt_shape){.rank = 3, .dim = {m.batch, m.t, m.heads * m.d}};
	heads = g->tensors[m.q].shape;
	in[0] = vt_reshaped(g, m.q, &qs);
	in[1] = in[0] < 0 ? in[0] : vt_reshaped(g, m.k, &ks);
	in[2] = in[1] < 0 ? in[1] : vt_reshaped(g, m.v, &ks);
	in[3] = in[2] < 0 ? in[2] : mask_operand(g, &m);
	if (in[2] < 0 || (m.mask >= 0 && in[3] < 0))
		return in[2] < 0 ? in[2] : in[3];
	out = vt_new_tensor(g, g->nodes[i].out[0], "attention", &qs);
	if (out < 0)
		return out;
	n = vt_graph_add_node(g, VT_OP_ATTENTION, g->nodes[i].name, in, m.mask >= 0 ? 4 : 3, &out,
			      1);
	if (n < 0)
		return n;
	g->nodes[n].p.attention.heads = m.heads;
	g->nodes[n].p.attention.scale = (float)m.scale;
	y = vt_reshaped(g, out, &heads);
	if (y < 0)
		return y;
	out = g->nodes[i].out[0];
	n = vt_graph_add_node(g, m.split ? VT_OP_TRANSPOSE : VT_OP_RESHAPE, g->nodes[i].name, &y, 1,
			      &out, 1);
	if (n < 0)
		return n;
	if (m.split)
		memcpy(g->nodes[n].p.perm.perm, heads_out[m.rank - 3],
		       (size_t)m.rank * sizeof(int));
	vt_kill(g, i);
	return 1;
}

int vt_pass_attention(struct vt_graph *g, const struct vt_eval *eval, int *changed,
		      struct vt_err *e)
{
	static const vt_rule rules[] = {fuse, NULL};

	if (!eval || !eval->attends || !eval->attends())
		return 0;
	return vt_rewrite(g, eval, rules, changed, e);
}
