// SPDX-License-Identifier: Apache-2.0
/*
 * pass_layout.c - let Transposes sink toward the outputs until they meet their inverse.
 *
 * The importer writes Transpose(NHWC) -> Conv -> Transpose(NCHW) around every spatial operator. All
 * other operators do not care about the order of dims as long as their parameters follow, so
 * op(Transpose(a)) becomes Transpose(op'(a)); where two meet they compose, and most compose to
 * nothing. Constants are transposed here and now. What is left are Transposes that the model's
 * function needs: at its inputs and outputs, and before a Reshape that mixes dims.
 */
#include "model/pass.h"

#include <string.h>

/* The source of a tensor that a Transpose makes, and how; VT_NONE if it comes from elsewhere. */
static int through(const struct vt_rw *w, int tensor, const int **perm)
{
	int p = vt_made_by(w, tensor, VT_OP_TRANSPOSE);

	if (p < 0)
		return VT_NONE;
	*perm = w->g->nodes[p].p.perm.perm;
	return w->g->nodes[p].in[0];
}

/*
 * Let node @i write a new tensor, and a new Transpose by @perm make the old output @o from it. The
 * old tensor keeps its name and readers.
 */
static int hang_transpose(struct vt_graph *g, int i, int o, const int *perm)
{
	int old = g->nodes[i].out[o], rank = g->tensors[old].shape.rank, inv[VT_MAX_RANK], t, n;
	struct vt_shape shape;

	if (vt_perm_is_identity(perm, rank))
		return 0;
	vt_perm_invert(perm, rank, inv);
	vt_shape_permute(&g->tensors[old].shape, inv, &shape);
	t = vt_new_tensor(g, old, "sunk", &shape);
	if (t < 0)
		return t;
	n = vt_graph_add_node(g, VT_OP_TRANSPOSE, g->tensors[t].name, &t, 1, &old, 1);
	if (n < 0)
		return n;
	memcpy(g->nodes[n].p.perm.perm, perm, (size_t)rank * sizeof(int));
	g->nodes[i].out[o] = t;
	return 0;
}

static int sunk(struct vt_rw *w, int i, const int *perm)
{
	int rc = 0;

	for (int o = 0; !rc && o < w->g->nodes[i].n_out; o++)
		if (w->g->nodes[i].out[o] >= 0)
			rc = hang_transpose(w->g, i, o, perm);
	return rc ? rc : 1;
}

/* ---- operators with several operands of one layout ---------------------------------------- */

/* How an operand follows when the Transpose sinks, in order of cost. */
enum way { W_SAME, W_CONST, W_FREE, W_REAL };

struct operand {
	enum way way;
	int source;	      /* W_SAME: what to read instead */
	struct vt_shape wide; /* its shape with leading ones up to the output's rank */
	int64_t elems;
};

static void widen(const struct vt_shape *s, int rank, struct vt_shape *ret)
{
	struct vt_shape wide = {.rank = rank};
	int lead = rank - s->rank;

	for (int d = 0; d < rank; d++)
		wide.dim[d] = d < lead ? 1 : s->dim[d - lead];
	*ret = wide;
}

static void classify(const struct vt_rw *w, int tensor, const int *inv, int rank,
		     struct operand *op)
{
	const struct vt_tensor *t = &w->g->tensors[tensor];
	int own_inv[VT_MAX_RANK];
	const int *own = NULL;

	widen(&t->shape, rank, &op->wide);
	op->elems = vt_shape_elems(&t->shape);
	op->source = t->shape.rank == rank ? through(w, tensor, &own) : VT_NONE;
	for (int d = 0; op->source >= 0 && d < rank; d++)
		own_inv[d] = own[inv[d]];
	if (op->source >= 0 && vt_perm_moves_nothing(own_inv, &w->g->tensors[op->source].shape))
		op->way = W_SAME;
	else if (vt_is_const(w->g, tensor))
		op->way = W_CONST;
	else
		op->way = vt_perm_moves_nothing(inv, &op->wide) ? W_FREE : W_REAL;
}

/* The operand as the sunk operator reads it. */
static int follow(struct vt_graph *g, int tensor, const struct operand *op, const int *inv)
{
	struct vt_shape s;

	if (op->elems == 1 && op->way != W_SAME) /* broadcasts anywhere */
		return tensor;
	vt_shape_permute(&op->wide, inv, &s);
	switch (op->way) {
	case W_SAME:
		return vt_reshaped(g, op->source, &s);
	case W_FREE:
		return vt_reshaped(g, tensor, &s);
	default:
		return vt_transposed(g, tensor, &op->wide, inv);
	}
}

/* The permutation of the largest transposed operand; NULL: none is. */
static const int *leading_perm(const struct vt_rw *w, const struct vt_node *n, int rank)
{
	const int *best = NULL, *perm;
	int64_t most = 0;

	for (int k = 0; k < n->n_in; k++) {
		const struct vt_tensor *t = vt_in(w->g, n, k);

		if (!t || t->shape.rank != rank || through(w, n->in[k], &perm) < 0)
			continue;
		if (vt_shape_elems(&t->shape) > most) {
			most = vt_shape_elems(&t->shape);
			best = perm;
		}
	}
	return best;
}

/* Let a Transpose by @perm sink below all operands of node @i, if that moves fewer elements. */
static int sink_operands(struct vt_rw *w, int i, const int *perm)
{
	struct vt_graph *g = w->g;
	int n_in = g->nodes[i].n_in, rank = vt_out(g, &g->nodes[i], 0)->shape.rank;
	int inv[VT_MAX_RANK];
	int64_t saved = 0, spent = 0;
	struct operand op;

	vt_perm_invert(perm, rank, inv);
	for (int k = 0; k < n_in; k++) {
		classify(w, g->nodes[i].in[k], inv, rank, &op);
		saved += op.way == W_SAME ? op.elems : 0;
		spent += op.way == W_REAL && op.elems > 1 ? op.elems : 0;
	}
	if (saved <= spent)
		return 0;
	for (int k = 0; k < n_in; k++) {
		int t;

		classify(w, g->nodes[i].in[k], inv, rank, &op);
		t = follow(g, g->nodes[i].in[k], &op, inv);
		if (t < 0)
			return t;
		g->nodes[i].in[k] = t;
	}
	return sunk(w, i, perm);
}

static int sink_elementwise(struct vt_rw *w, int i)
{
	const struct vt_node *n = &w->g->nodes[i];
	const int *lead = leading_perm(w, n, vt_out(w->g, n, 0)->shape.rank);
	int perm[VT_MAX_RANK];

	if (!lead)
		return 0;
	memcpy(perm, lead, sizeof(perm));
	return sink_operands(w, i, perm);
}

static int sink_concat(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	const int *lead = leading_perm(w, n, vt_out(w->g, n, 0)->shape.rank);
	int perm[VT_MAX_RANK], rc;

	if (!lead)
		return 0;
	memcpy(perm, lead, sizeof(perm));
	rc = sink_operands(w, i, perm);
	if (rc > 0)
		w->g->nodes[i].p.axis = perm[w->g->nodes[i].p.axis];
	return rc;
}

/* ---- operators with one operand and parameters per dim ------------------------------------ */

/* Rewrite the parameters of @n for an input whose dim perm[d] was dim d; false: better not. */
typedef bool (*remap)(struct vt_node *n, const int *perm, int rank);

static bool map_axis(struct vt_node *n, const int *perm, int rank)
{
	n->p.axis = perm[n->p.axis];
	return true;
}

/* Rows in the last dim are what kernels are fast at: never give that up. */
static bool map_rows(struct vt_node *n, const int *perm, int rank)
{
	if (n->p.axis == rank - 1 && perm[n->p.axis] != rank - 1)
		return false;
	return map_axis(n, perm, rank);
}

static bool map_norm(struct vt_node *n, const int *perm, int rank)
{
	for (int d = n->p.norm.axis; d < rank; d++)
		if (perm[d] != d)
			return false;
	return true;
}

static bool map_slice(struct vt_node *n, const int *perm, int rank)
{
	union vt_params old = n->p;

	for (int d = 0; d < rank; d++) {
		n->p.slice.start[perm[d]] = old.slice.start[d];
		n->p.slice.step[perm[d]] = old.slice.step[d];
	}
	return true;
}

static bool map_pad(struct vt_node *n, const int *perm, int rank)
{
	union vt_params old = n->p;

	for (int d = 0; d < rank; d++) {
		n->p.pad.before[perm[d]] = old.pad.before[d];
		n->p.pad.after[perm[d]] = old.pad.after[d];
	}
	return true;
}

static bool map_resize(struct vt_node *n, const int *perm, int rank)
{
	union vt_params old = n->p;

	for (int d = 0; d < rank; d++) {
		n->p.resize.scale[perm[d]] = old.resize.scale[d];
		n->p.resize.roi_start[perm[d]] = old.resize.roi_start[d];
		n->p.resize.roi_end[perm[d]] = old.resize.roi_end[d];
	}
	return true;
}

static bool map_nothing(struct vt_node *n, const int *perm, int rank)
{
	return true;
}

static bool map_cumsum(struct vt_node *n, const int *perm, int rank)
{
	n->p.cumsum.axis = perm[n->p.cumsum.axis];
	return true;
}

static const remap remaps[VT_OP_COUNT] = {
	[VT_OP_SPLIT] = map_axis,      [VT_OP_SOFTMAX] = map_rows, [VT_OP_LOGSOFTMAX] = map_rows,
	[VT_OP_LAYER_NORM] = map_norm, [VT_OP_SLICE] = map_slice,  [VT_OP_PAD] = map_pad,
	[VT_OP_RESIZE] = map_resize,   [VT_OP_TILE] = map_nothing, [VT_OP_CAST] = map_nothing,
	[VT_OP_CUMSUM] = map_cumsum,
};

/* What hoist_pad has brought about: only a Transpose behind the Pad is a reason to undo it. */
static bool stays_above_pad(const struct vt_rw *w, const struct vt_node *n, int source)
{
	int out = n->out[0];

	return n->op == VT_OP_PAD && w->g->tensors[source].kind == VT_T_INPUT &&
	       !(vt_sole(w, out) && w->g->nodes[w->reader[out]].op == VT_OP_TRANSPOSE);
}

static int sink_params(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n = &g->nodes[i];
	const int *by;
	int source = through(w, n->in[0], &by), perm[VT_MAX_RANK];
	int rank = vt_in(g, n, 0)->shape.rank;

	if (source < 0 || stays_above_pad(w, n, source))
		return 0;
	memcpy(perm, by, sizeof(perm));
	if (!remaps[n->op](n, perm, rank))
		return 0;
	n->in[0] = source;
	return sunk(w, i, perm);
}

/* ---- operators that drop dims ------------------------------------------------------------- */

/* The permutation of what is left of @perm when the dims of @mask (of its output) are dropped. */
static void drop_dims(const int *perm, int rank, uint32_t mask, int *ret)
{
	int n = 0;

	for (int d = 0; d < rank; d++) {
		int below = 0;

		if (mask >> d & 1)
			continue;
		for (int k = 0; k < rank; k++)
			below += !(mask >> k & 1) && perm[k] < perm[d];
		ret[n++] = below;
	}
}

/* Node @i, its parameters already mapped, reads @source instead of its Transpose by @by. */
static int sink_dropping(struct vt_rw *w, int i, int source, const int *by, uint32_t mask,
			 bool keep)
{
	struct vt_node *n = &w->g->nodes[i];
	int rank = vt_in(w->g, n, 0)->shape.rank, perm[VT_MAX_RANK];

	if (keep)
		memcpy(perm, by, sizeof(perm));
	else
		drop_dims(by, rank, mask, perm);
	n->in[0] = source;
	return sunk(w, i, perm);
}

static int sink_reduce(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	uint32_t old = n->p.reduce.axes, axes = 0;
	const int *by;
	int source = through(w, n->in[0], &by);

	if (source < 0)
		return 0;
	for (int d = 0; d < vt_in(w->g, n, 0)->shape.rank; d++)
		axes |= (old >> d & 1) << by[d];
	n->p.reduce.axes = axes;
	return sink_dropping(w, i, source, by, old, n->p.reduce.keepdims);
}

static int sink_arg(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	int old = n->p.arg.axis;
	const int *by;
	int source = through(w, n->in[0], &by);

	if (source < 0)
		return 0;
	n->p.arg.axis = by[old];
	return sink_dropping(w, i, source, by, 1u << old, n->p.arg.keepdims);
}

static int sink_gather(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	int old = n->p.axis, index_rank = vt_in(w->g, n, 1)->shape.rank;
	const int *by;
	int source = through(w, n->in[0], &by);

	if (index_rank > 1 || source < 0)
		return 0;
	n->p.axis = by[old];
	return sink_dropping(w, i, source, by, 1u << old, index_rank == 1);
}

/* ---- the table ---------------------------------------------------------------------------- */

static int sink(struct vt_rw *w, int i)
{
	const struct vt_node *n = &w->g->nodes[i];

	if (remaps[n->op])
		return sink_params(w, i);
	switch (n->op) {
	case VT_OP_CONCAT:
		return sink_concat(w, i);
	case VT_OP_WHERE:
		return sink_elementwise(w, i);
	case VT_OP_ARGMAX:
	case VT_OP_ARGMIN:
		return sink_arg(w, i);
	case VT_OP_GATHER:
		return sink_gather(w, i);
	default:
		break;
	}
	switch (vt_op_class(n->op)) {
	case VT_C_UNARY:
	case VT_C_BINARY:
	case VT_C_COMPARE:
	case VT_C_LOGIC:
		return sink_elementwise(w, i);
	case VT_C_REDUCE:
		return sink_reduce(w, i);
	default:
		return 0;
	}
}

/* Transpose(Transpose(a)) is one Transpose, or none. */
static int compose(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	int perm[VT_MAX_RANK] = {0}, source, rank;
	const int *by;

	if (n->op != VT_OP_TRANSPOSE)
		return 0;
	rank = vt_in(w->g, n, 0)->shape.rank;
	source = through(w, n->in[0], &by);
	if (source >= 0) {
		for (int d = 0; d < rank; d++)
			perm[d] = by[n->p.perm.perm[d]];
		n->in[0] = source;
		memcpy(n->p.perm.perm, perm, sizeof(perm));
		return 1;
	}
	if (!vt_perm_is_identity(n->p.perm.perm, rank) || !vt_alias(w, n->out[0], n->in[0]))
		return 0;
	vt_kill(w->g, i);
	return 1;
}

/*
 * Pad(input) -> Transpose: pad after the Transpose, where a convolution can take the padding in.
 * Only at graph inputs; everywhere else Transposes go down.
 */
static int hoist_pad(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	int perm[VT_MAX_RANK], inv[VT_MAX_RANK], rank, pad, t;

	if (g->nodes[i].op != VT_OP_TRANSPOSE)
		return 0;
	pad = vt_made_by(w, g->nodes[i].in[0], VT_OP_PAD);
	if (pad < 0 || !vt_sole(w, g->nodes[i].in[0]) ||
	    vt_in(g, &g->nodes[pad], 0)->kind != VT_T_INPUT)
		return 0;
	rank = vt_in(g, &g->nodes[pad], 0)->shape.rank;
	memcpy(perm, g->nodes[i].p.perm.perm, sizeof(perm));
	vt_perm_invert(perm, rank, inv);
	t = vt_transposed(g, g->nodes[pad].in[0], &vt_in(g, &g->nodes[pad], 0)->shape, perm);
	if (t < 0)
		return t;
	map_pad(&g->nodes[pad], inv, rank);
	g->nodes[pad].in[0] = t;
	g->nodes[pad].out[0] = g->nodes[i].out[0];
	vt_kill(g, i);
	return 1;
}

int vt_pass_layout(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	static const vt_rule rules[] = {
		compose, hoist_pad, sink, vt_rule_sink_reshape, vt_rule_flat_weights, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
