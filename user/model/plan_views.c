// SPDX-License-Identifier: Apache-2.0
/*
 * plan_views.c - which tensors share memory. A Reshape is its input. The parts of a Concat are
 * written where the result wants them and the parts of a Split are read where they lie: as plain
 * ranges where nothing but ones stands before the axis, as rows with a stride where the axis is the
 * last and every operator concerned can (vt_op_writes_rows, vt_op_reads_rows). An elementwise
 * result replaces an operand that nobody needs any more.
 */
#include "model/plan.h"

#include <stdlib.h>

struct views {
	struct vt_graph *g;
	int *producer; /* per tensor */
	struct vt_life *lives;
};

/* ---- chains of views ---------------------------------------------------------------------- */

static int root_of(const struct vt_graph *g, int t)
{
	while (g->tensors[t].view_of >= 0)
		t = g->tensors[t].view_of;
	return t;
}

/* Let every view point at the tensor that owns the memory. */
static void flatten_chains(struct vt_graph *g)
{
	for (int t = 0; t < g->n_tensors; t++) {
		struct vt_tensor *x = &g->tensors[t];

		while (x->view_of >= 0 && g->tensors[x->view_of].view_of >= 0) {
			x->view_off_bytes += g->tensors[x->view_of].view_off_bytes;
			x->view_of = g->tensors[x->view_of].view_of;
		}
	}
}

static void make_view(struct vt_graph *g, int t, int of, size_t off, int64_t stride)
{
	g->tensors[t].view_of = of;
	g->tensors[t].view_off_bytes = off;
	g->tensors[t].row_stride = stride;
}

/* ---- parts of a larger tensor ------------------------------------------------------------- */

/* Does every node but @except read @t only where it may have a row stride? */
static bool read_as_rows(const struct vt_graph *g, int t, int except)
{
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->nodes[i];

		if (i == except)
			continue;
		if (n->epi.residual == t)
			return false;
		for (int k = 0; k < n->n_in; k++)
			if (n->in[k] == t && (k > 0 || !vt_op_reads_rows(n->op)))
				return false;
	}
	return true;
}

static int64_t product(const struct vt_shape *s, int from, int to)
{
	int64_t n = 1;

	for (int d = from; d < to; d++)
		n *= s->dim[d];
	return n;
}

enum part { P_NONE, P_RANGE, P_ROWS };

/* How the part of @whole along @axis lies in memory. */
static enum part part_kind(const struct vt_shape *whole, int axis)
{
	if (product(whole, 0, axis) == 1)
		return P_RANGE;
	return axis == whole->rank - 1 ? P_ROWS : P_NONE;
}

static size_t part_off(const struct vt_tensor *whole, int axis, int64_t start)
{
	int64_t inner = product(&whole->shape, axis + 1, whole->shape.rank);

	return (size_t)(start * inner) * vt_dtype_bytes(whole->dtype);
}

static bool once(const struct vt_node *n, int t)
{
	int count = 0;

	for (int k = 0; k < n->n_in; k++)
		count += n->in[k] == t;
	return count == 1;
}

/* The tensor of the same bytes behind any Reshapes: what a producer really writes. */
static int written_as(const struct vt_graph *g, int t)
{
	while (g->tensors[t].view_of >= 0 && !g->tensors[t].row_stride &&
	       !g->tensors[t].view_off_bytes &&
	       vt_tensor_bytes(&g->tensors[g->tensors[t].view_of]) ==
		       vt_tensor_bytes(&g->tensors[t]))
		t = g->tensors[t].view_of;
	return t;
}

/* May the producer of @t write it straight into the result of Concat @i? */
static bool may_join(const struct views *v, int i, int t, enum part kind)
{
	const struct vt_graph *g = v->g;
	const struct vt_tensor *x = &g->tensors[t];
	int p = v->producer[t];

	if (p < 0 || x->view_of >= 0)
		return false;
	if (kind == P_RANGE)
		return true;
	return kind == P_ROWS && !x->is_output && vt_op_writes_rows(g->nodes[p].op) &&
	       g->nodes[p].out[0] == t && x->dtype == VT_F32 && g->nodes[p].epi.residual < 0 &&
	       read_as_rows(g, t, i);
}

static void view_concat(struct views *v, int i)
{
	struct vt_graph *g = v->g;
	const struct vt_node *n = &g->nodes[i];
	int out = n->out[0], axis = n->p.axis;
	const struct vt_tensor *whole = &g->tensors[out];
	enum part kind = part_kind(&whole->shape, axis);
	int64_t at = 0;

	for (int k = 0; k < n->n_in; k++) {
		int t = n->in[k], base = kind == P_RANGE ? written_as(g, t) : t;

		if (kind != P_NONE && once(n, t) && may_join(v, i, base, kind))
			make_view(g, base, out, part_off(whole, axis, at),
				  kind == P_ROWS ? whole->shape.dim[axis] : 0);
		at += g->tensors[t].shape.dim[axis];
	}
}

static void view_part(struct views *v, int i, int t, int axis, int64_t start)
{
	struct vt_graph *g = v->g;
	int in = g->nodes[i].in[0];
	const struct vt_tensor *whole = &g->tensors[in];
	enum part kind = part_kind(&whole->shape, axis);

	/* an input that is written by rows, or a constant, which has no place in the arena */
	if (t < 0 || whole->row_stride || whole->kind == VT_T_CONST || g->tensors[t].view_of >= 0)
		return;
	if (kind == P_RANGE)
		make_view(g, t, in, part_off(whole, axis, start), 0);
	else if (kind == P_ROWS && !g->tensors[t].is_output && whole->dtype == VT_F32 &&
		 read_as_rows(g, t, VT_NONE))
		make_view(g, t, in, part_off(whole, axis, start), whole->shape.dim[axis]);
}

static void view_split(struct views *v, int i)
{
	int axis = v->g->nodes[i].p.axis;
	int64_t at = 0;

	for (int o = 0; o < v->g->nodes[i].n_out; o++) {
		int t = v->g->nodes[i].out[o];

		view_part(v, i, t, axis, at);
		/* an absent output hides its size: nothing behind it can be placed */
		if (t < 0)
			return;
		at += v->g->tensors[t].shape.dim[axis];
	}
}

static void view_slice(struct views *v, int i)
{
	const struct vt_node *n = &v->g->nodes[i];
	const struct vt_shape *x = &vt_in(v->g, n, 0)->shape, *y = &vt_out(v->g, n, 0)->shape;
	int axis = VT_NONE;

	for (int d = 0; d < x->rank; d++) {
		if (x->dim[d] == y->dim[d] && n->p.slice.step[d] == 1)
			continue;
		if (axis >= 0 || n->p.slice.step[d] != 1)
			return;
		axis = d;
	}
	if (axis >= 0)
		view_part(v, i, n->out[0], axis, n->p.slice.start[axis]);
}

static void view_reshape(struct views *v, int i)
{
	const struct vt_node *n = &v->g->nodes[i];

	if (v->g->tensors[n->out[0]].view_of < 0)
		make_view(v->g, n->out[0], n->in[0], 0, 0);
}

/* ---- in place ----------------------------------------------------------------------------- */

/* May the result of elementwise node @i overwrite its operand @k? */
static bool may_replace(const struct views *v, int i, int k)
{
	const struct vt_graph *g = v->g;
	const struct vt_node *n = &g->nodes[i];
	const struct vt_tensor *in = &g->tensors[n->in[k]], *out = vt_out(g, n, 0);
	int root = root_of(g, n->in[k]);

	if (g->tensors[root].kind == VT_T_CONST || in->row_stride || in->dtype != out->dtype ||
	    !vt_shape_equal(&in->shape, &out->shape) || v->lives[root].last != i)
		return false;
	for (int j = 0; j < n->n_in; j++)
		if (n->in[j] != n->in[k] && root_of(g, n->in[j]) == root)
			return false; /* another view of what would be overwritten */
	return true;
}

/*
 * A view of the memory's owner, not of the operand: along a chain of nodes that all work in place
 * every look at the owner would walk back to the beginning.
 */
static void make_view_of_root(struct vt_graph *g, int t, int of)
{
	size_t off = 0;

	for (; g->tensors[of].view_of >= 0; of = g->tensors[of].view_of)
		off += g->tensors[of].view_off_bytes;
	make_view(g, t, of, off, 0);
}

static void in_place(struct views *v, int i)
{
	struct vt_graph *g = v->g;
	const struct vt_node *n = &g->nodes[i];
	enum vt_op_class c = vt_op_class(n->op);
	int out = n->out[0];

	if ((c != VT_C_UNARY && c != VT_C_BINARY) || g->tensors[out].view_of >= 0)
		return;
	for (int k = 0; k < n->n_in; k++) {
		int root;

		if (!may_replace(v, i, k))
			continue;
		root = root_of(g, n->in[k]);
		make_view_of_root(g, out, n->in[k]);
		if (v->lives[out].last > v->lives[root].last)
			v->lives[root].last = v->lives[out].last;
		return;
	}
}

/* ---- all together ------------------------------------------------------------------------- */

static void (*const view_op[VT_OP_COUNT])(struct views *v, int i) = {
	[VT_OP_CONCAT] = view_concat,
	[VT_OP_SPLIT] = view_split,
	[VT_OP_SLICE] = view_slice,
	[VT_OP_RESHAPE] = view_reshape,
};

int vt_plan_views(struct vt_graph *g, struct vt_err *e)
{
	struct views v = {.g = g};
	size_t n = (size_t)g->n_tensors + 1;

	v.producer = malloc(n * sizeof(*v.producer));
	v.lives = malloc(n * sizeof(*v.lives));
	if (!v.producer || !v.lives) {
		free(v.producer);
		free(v.lives);
		return vt_fail(e, -ENOMEM, "no memory to plan %d tensors", g->n_tensors);
	}
	for (int t = 0; t < g->n_tensors; t++) {
		v.producer[t] = VT_NONE;
		make_view(g, t, VT_NONE, 0, 0);
	}
	for (int i = 0; i < g->n_nodes; i++)
		for (int o = 0; o < g->nodes[i].n_out; o++)
			if (g->nodes[i].out[o] >= 0)
				v.producer[g->nodes[i].out[o]] = i;
	/* Reshapes first: what is a view of something else cannot become part of a Concat. */
	for (int i = 0; i < g->n_nodes; i++)
		if (g->nodes[i].op == VT_OP_RESHAPE)
			view_reshape(&v, i);
	for (int i = 0; i < g->n_nodes; i++)
		if (view_op[g->nodes[i].op] && g->nodes[i].op != VT_OP_RESHAPE)
			view_op[g->nodes[i].op](&v, i);
	flatten_chains(g);
	vt_plan_lives(g, v.lives);
	for (int i = 0; i < g->n_nodes; i++)
		in_place(&v, i);
	flatten_chains(g);
	free(v.producer);
	free(v.lives);
	return 0;
}

bool vt_node_is_view(const struct vt_graph *g, const struct vt_node *n)
{
	int out = n->out[0], parts = 0;

	switch (n->op) {
	case VT_OP_RESHAPE:
		return true;
	case VT_OP_CONCAT:
		for (int k = 0; k < n->n_in; k++)
			parts += vt_shares_memory(g, n->in[k], out);
		return parts == n->n_in;
	case VT_OP_SPLIT:
	case VT_OP_SLICE:
		for (int o = 0; o < n->n_out; o++)
			parts += n->out[o] < 0 || vt_shares_memory(g, n->out[o], n->in[0]);
		return parts == n->n_out;
	default:
		return false;
	}
}

bool vt_shares_memory(const struct vt_graph *g, int a, int b)
{
	return root_of(g, a) == root_of(g, b);
}
