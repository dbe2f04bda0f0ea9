// SPDX-License-Identifier: Apache-2.0
/* Do a node's parameters and shapes fit together? One short rule per operator, for vt_graph_check. */
#include "model/graph_shapes.h"

#include <string.h>

typedef const struct vt_shape shape;
typedef const char *(*rule)(const struct vt_graph *g, const struct vt_node *n);

static shape *in_shape(const struct vt_graph *g, const struct vt_node *n, int i)
{
	return &vt_in(g, n, i)->shape;
}

static shape *out_shape(const struct vt_graph *g, const struct vt_node *n)
{
	return &vt_out(g, n, 0)->shape;
}

static int64_t last(shape *s)
{
	return s->rank ? s->dim[s->rank - 1] : 1;
}

static bool same_but(shape *a, shape *b, int axis)
{
	if (a->rank != b->rank || axis < 0 || axis >= a->rank)
		return false;
	for (int d = 0; d < a->rank; d++)
		if (d != axis && a->dim[d] != b->dim[d])
			return false;
	return true;
}

/* ---- elementwise -------------------------------------------------------------------------- */

static const char *same(const struct vt_graph *g, const struct vt_node *n)
{
	return vt_shape_equal(in_shape(g, n, 0), out_shape(g, n)) ? NULL : "changes the shape";
}

static const char *broadcast(const struct vt_graph *g, const struct vt_node *n)
{
	struct vt_shape s = *in_shape(g, n, 0);

	for (int k = 1; k < n->n_in; k++)
		if (vt_shape_broadcast(&s, in_shape(g, n, k), &s))
			return "operands do not broadcast";
	return vt_shape_equal(&s, out_shape(g, n)) ? NULL : "result is not the broadcast shape";
}

static const char *along_axis(const struct vt_graph *g, const struct vt_node *n)
{
	if (n->p.axis < 0 || n->p.axis >= in_shape(g, n, 0)->rank)
		return "axis out of range";
	return same(g, n);
}

/* ---- movement ----------------------------------------------------------------------------- */

static const char *reshape(const struct vt_graph *g, const struct vt_node *n)
{
	if (vt_in(g, n, 0)->dtype != vt_out(g, n, 0)->dtype)
		return "changes the type";
	return vt_shape_elems(in_shape(g, n, 0)) == vt_shape_elems(out_shape(g, n))
		       ? NULL
		       : "changes the number of elements";
}

static const char *transpose(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *y = out_shape(g, n);
	unsigned int seen = 0;

	if (x->rank != y->rank)
		return "changes the rank";
	for (int d = 0; d < x->rank; d++) {
		int from = n->p.perm.perm[d];

		if (from < 0 || from >= x->rank || seen >> from & 1)
			return "perm is no permutation";
		seen |= 1u << from;
		if (y->dim[d] != x->dim[from])
			return "result is not the permuted shape";
	}
	return NULL;
}

static const char *concat(const struct vt_graph *g, const struct vt_node *n)
{
	int64_t sum = 0;

	for (int k = 0; k < n->n_in; k++) {
		if (n->in[k] < 0 || !same_but(in_shape(g, n, k), out_shape(g, n), n->p.axis))
			return "inputs differ in more than the axis";
		sum += in_shape(g, n, k)->dim[n->p.axis];
	}
	return sum == out_shape(g, n)->dim[n->p.axis] ? NULL : "parts do not add up";
}

static const char *split(const struct vt_graph *g, const struct vt_node *n)
{
	int64_t sum = 0;
	bool all = true;

	for (int o = 0; o < n->n_out; o++) {
		all = all && n->out[o] >= 0;
		if (n->out[o] < 0)
			continue;
		if (!same_but(in_shape(g, n, 0), &vt_out(g, n, o)->shape, n->p.axis))
			return "outputs differ in more than the axis";
		sum += vt_out(g, n, o)->shape.dim[n->p.axis];
	}
	return !all || sum == in_shape(g, n, 0)->dim[n->p.axis] ? NULL : "parts do not add up";
}

static const char *slice(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *y = out_shape(g, n);

	if (x->rank != y->rank)
		return "changes the rank";
	for (int d = 0; d < x->rank; d++) {
		int64_t first = n->p.slice.start[d];
		int64_t end = first + (y->dim[d] - 1) * n->p.slice.step[d];

		if (!n->p.slice.step[d])
			return "step of 0";
		if (y->dim[d] && (first < 0 || first >= x->dim[d] || end < 0 || end >= x->dim[d]))
			return "reads outside its input";
	}
	return NULL;
}

static const char *pad(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *y = out_shape(g, n);

	if (x->rank != y->rank)
		return "changes the rank";
	for (int d = 0; d < x->rank; d++)
		if (y->dim[d] != x->dim[d] + n->p.pad.before[d] + n->p.pad.after[d])
			return "result is not the padded shape";
	return NULL;
}

static const char *gather(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *index = in_shape(g, n, 1), *y = out_shape(g, n);

	if (n->p.axis < 0 || n->p.axis >= x->rank)
		return "axis out of range";
	if (y->rank != x->rank - 1 + index->rank)
		return "result has the wrong rank";
	for (int d = 0; d < y->rank; d++) {
		int64_t want = d < n->p.axis		     ? x->dim[d]
			       : d < n->p.axis + index->rank ? index->dim[d - n->p.axis]
							     : x->dim[d - index->rank + 1];

		if (y->dim[d] != want)
			return "result has the wrong shape";
	}
	return NULL;
}

static const char *reduce(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0);
	struct vt_shape s = {0};

	for (int d = 0; d < x->rank; d++) {
		if (!(n->p.reduce.axes >> d & 1))
			s.dim[s.rank++] = x->dim[d];
		else if (n->p.reduce.keepdims)
			s.dim[s.rank++] = 1;
	}
	return vt_shape_equal(&s, out_shape(g, n)) ? NULL : "result has the wrong shape";
}

/* ---- matrices ----------------------------------------------------------------------------- */

static const char *fc(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *w = in_shape(g, n, 1), *y = out_shape(g, n);

	if (w->rank != 2 || x->rank < 1 || !same_but(x, y, x->rank - 1))
		return "input, weight and result do not fit";
	if (last(x) != w->dim[n->p.fc.w_kn ? 0 : 1] || last(y) != w->dim[n->p.fc.w_kn ? 1 : 0])
		return "weight has other dims than input and result";
	return n->n_in < 3 || n->in[2] < 0 || vt_shape_elems(in_shape(g, n, 2)) == last(y)
		       ? NULL
		       : "bias has another length than the result";
}

static const char *matmul(const struct vt_graph *g, const struct vt_node *n)
{
	struct vt_shape a = *in_shape(g, n, 0), b = *in_shape(g, n, 1), s;
	int64_t m, ka, kb, cols;

	if (a.rank < 2 || b.rank < 2)
		return "operands are no matrices";
	m = a.dim[a.rank - (n->p.matmul.trans_a ? 1 : 2)];
	ka = a.dim[a.rank - (n->p.matmul.trans_a ? 2 : 1)];
	kb = b.dim[b.rank - (n->p.matmul.trans_b ? 1 : 2)];
	cols = b.dim[b.rank - (n->p.matmul.trans_b ? 2 : 1)];
	a.rank -= 2;
	b.rank -= 2;
	if (ka != kb || vt_shape_broadcast(&a, &b, &s))
		return "operands do not fit";
	s.dim[s.rank++] = m;
	s.dim[s.rank++] = cols;
	return vt_shape_equal(&s, out_shape(g, n)) ? NULL : "result has the wrong shape";
}

static const char *attention(const struct vt_graph *g, const struct vt_node *n)
{
	shape *q = in_shape(g, n, 0), *k = in_shape(g, n, 1), *v = in_shape(g, n, 2);
	struct vt_shape scores;

	if (q->rank != 3 || !same_but(q, k, 1) || !vt_shape_equal(k, v) ||
	    !vt_shape_equal(q, out_shape(g, n)))
		return "q, k, v and result do not fit";
	if (n->p.attention.heads < 1 || last(q) % n->p.attention.heads)
		return "heads do not divide the width";
	scores = (struct vt_shape){4, {q->dim[0], n->p.attention.heads, q->dim[1], k->dim[1]}};
	if (n->n_in > 3 && n->in[3] >= 0) {
		struct vt_shape s;

		if (vt_shape_broadcast(&scores, in_shape(g, n, 3), &s) ||
		    !vt_shape_equal(&s, &scores))
			return "mask does not broadcast to the scores";
	}
	return NULL;
}

/* ---- spatial ------------------------------------------------------------------------------ */

/* Places of a window along one dim; 0 if it never fits. */
static int64_t places(int64_t size, int64_t padding, int kernel, int dilation, int stride)
{
	int64_t room = size + padding - ((int64_t)(kernel - 1) * dilation + 1);

	return room < 0 || stride < 1 ? 0 : room / stride + 1;
}

/* Rows of [N,H,W,C]; 1 of [N,L,C]. */
static int64_t rows(shape *s)
{
	return s->rank == 4 ? s->dim[1] : 1;
}

void vt_conv_places(const struct vt_conv_params *p, int64_t h, int64_t w, int64_t *oh, int64_t *ow)
{
	*oh = places(h, p->pt + p->pb, p->kh, p->dh, p->sh);
	*ow = places(w, p->pl + p->pr, p->kw, p->dw, p->sw);
}

static bool is_average(shape *s, shape *y)
{
	return s->rank == 4 && s->dim[0] == y->dim[0] && s->dim[1] == 1 && s->dim[2] == 1 &&
	       s->dim[3] == y->dim[3];
}

static const char *conv(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *w = in_shape(g, n, 1), *y = out_shape(g, n);
	bool up = n->op == VT_OP_DECONV2D;
	int64_t groups = n->p.conv.groups, h, l;

	if ((x->rank != 4 && x->rank != 3) || x->rank != y->rank || w->rank != 4 || groups < 1 ||
	    w->dim[0] % groups)
		return "input, weight and result do not fit";
	if (w->dim[2] != n->p.conv.kh || w->dim[3] != n->p.conv.kw || x->dim[0] != y->dim[0] ||
	    last(x) != (up ? w->dim[0] : w->dim[1] * groups) ||
	    last(y) != (up ? w->dim[1] * groups : w->dim[0]))
		return "weight has other dims than input and result";
	if (vt_averages(n) && (x->rank != 4 || groups != last(x) || groups != last(y) ||
			       n->out[1] < 0 || !is_average(&vt_out(g, n, 1)->shape, y)))
		return "second result is no average of a depthwise convolution";
	if (up)
		return NULL; /* output_shape may choose among several sizes */
	vt_conv_places(&n->p.conv, rows(x), x->dim[x->rank - 2], &h, &l);
	return h == rows(y) && l == y->dim[y->rank - 2] ? NULL : "result has the wrong size";
}

static const char *conv_dw(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *w = in_shape(g, n, 1), *d = in_shape(g, n, 2),
	      *y = out_shape(g, n);
	const struct vt_conv_params *first = &n->p.pair.first, *dw = &n->p.pair.dw;
	int64_t h, l;

	if (x->rank != 4 || y->rank != 4 || w->rank != 4 || d->rank != 4 || first->groups != 1 ||
	    dw->groups != w->dim[0] || d->dim[0] != w->dim[0] || d->dim[1] != 1 ||
	    x->dim[0] != y->dim[0] || last(y) != w->dim[0] || last(x) != w->dim[1])
		return "input, weights and result do not fit";
	if (w->dim[2] != first->kh || w->dim[3] != first->kw || d->dim[2] != dw->kh ||
	    d->dim[3] != dw->kw)
		return "weight has other dims than its kernel";
	if (vt_averages(n) && (n->out[1] < 0 || !is_average(&vt_out(g, n, 1)->shape, y)))
		return "second result is no average";
	vt_conv_places(first, x->dim[1], x->dim[2], &h, &l);
	vt_conv_places(dw, h, l, &h, &l);
	return h == y->dim[1] && l == y->dim[2] ? NULL : "result has the wrong size";
}

static const char *pool(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *y = out_shape(g, n);
	int64_t h, l;

	if ((x->rank != 4 && x->rank != 3) || x->rank != y->rank || x->dim[0] != y->dim[0] ||
	    last(x) != last(y))
		return "input and result do not fit";
	h = places(rows(x), n->p.pool.pt + n->p.pool.pb + n->p.pool.xb, n->p.pool.kh, n->p.pool.dh,
		   n->p.pool.sh);
	l = places(x->dim[x->rank - 2], n->p.pool.pl + n->p.pool.pr + n->p.pool.xr, n->p.pool.kw,
		   n->p.pool.dw, n->p.pool.sw);
	return h == rows(y) && l == y->dim[y->rank - 2] ? NULL : "result has the wrong size";
}

static const char *global_pool(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0), *y = out_shape(g, n);

	if (x->rank != y->rank || x->rank < 2 || x->dim[0] != y->dim[0] || last(x) != last(y))
		return "input and result do not fit";
	for (int d = 1; d < y->rank - 1; d++)
		if (y->dim[d] != 1)
			return "result has pixels";
	return NULL;
}

static const char *norm(const struct vt_graph *g, const struct vt_node *n)
{
	for (int k = 1; k < n->n_in; k++)
		if (n->in[k] >= 0 && vt_shape_elems(in_shape(g, n, k)) != last(out_shape(g, n)))
			return "a parameter has another length than the channels";
	return same(g, n);
}

static const char *layer_norm(const struct vt_graph *g, const struct vt_node *n)
{
	shape *x = in_shape(g, n, 0);
	int64_t row = 1;

	if (n->p.norm.axis < 0 || n->p.norm.axis >= x->rank)
		return "axis out of range";
	for (int d = n->p.norm.axis; d < x->rank; d++)
		row *= x->dim[d];
	for (int k = 1; k < n->n_in; k++)
		if (n->in[k] >= 0 && vt_shape_elems(in_shape(g, n, k)) != row)
			return "a parameter has another length than what is normalised";
	return same(g, n);
}

/* ---- the table ---------------------------------------------------------------------------- */

static const rule rules[VT_OP_COUNT] = {
	[VT_OP_RESHAPE] = reshape,
	[VT_OP_TRANSPOSE] = transpose,
	[VT_OP_CONCAT] = concat,
	[VT_OP_SPLIT] = split,
	[VT_OP_SLICE] = slice,
	[VT_OP_PAD] = pad,
	[VT_OP_GATHER] = gather,
	[VT_OP_CAST] = same,
	[VT_OP_WHERE] = broadcast,
	[VT_OP_SOFTMAX] = along_axis,
	[VT_OP_LOGSOFTMAX] = along_axis,
	[VT_OP_FC] = fc,
	[VT_OP_MATMUL] = matmul,
	[VT_OP_ATTENTION] = attention,
	[VT_OP_CONV2D] = conv,
	[VT_OP_CONV2D_DW] = conv_dw,
	[VT_OP_DECONV2D] = conv,
	[VT_OP_MAXPOOL2D] = pool,
	[VT_OP_AVGPOOL2D] = pool,
	[VT_OP_GLOBALAVGPOOL] = global_pool,
	[VT_OP_GLOBALMAXPOOL] = global_pool,
	[VT_OP_BATCH_NORM] = norm,
	[VT_OP_INSTANCE_NORM] = norm,
	[VT_OP_LRN] = same,
	[VT_OP_LAYER_NORM] = layer_norm,
};

static const rule class_rules[] = {
	[VT_C_UNARY] = same,	    [VT_C_BINARY] = broadcast,
	[VT_C_COMPARE] = broadcast, [VT_C_LOGIC] = broadcast,
	[VT_C_REDUCE] = reduce,	    [VT_C_OTHER] = NULL, /* rows and what has no rule of its own */
};

const char *vt_node_misfit(const struct vt_graph *g, const struct vt_node *n)
{
	rule r = rules[n->op] ? rules[n->op] : class_rules[vt_op_class(n->op)];

	return r ? r(g, n) : NULL;
}
