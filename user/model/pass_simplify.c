// SPDX-License-Identifier: Apache-2.0
/* pass_simplify.c - fold what is constant, drop what does nothing, join chains of Reshapes. */
#include "model/pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- constants ---------------------------------------------------------------------------- */

/* A folded constant stays in memory for good: beyond this much, computing it each time is better. */
#define FOLD_MAX_BYTES ((int64_t)64 << 20)
/*
 * Over a whole load, besides what follows from the weights themselves, which may be transposed, cast, scaled: a
 * small file could ask for hours of computing what is then run once a request as well.
 */
#define FOLD_ALL_BYTES ((uint64_t)256 << 20)
#define FOLD_ALL_FLOPS (UINT64_C(20) * 1000 * 1000 * 1000)

static void free_heap(void *data, size_t bytes)
{
	free(data);
}

static bool foldable(const struct vt_graph *g, const struct vt_node *n)
{
	int64_t in_bytes = 0, out_bytes = 0;

	for (int k = 0; k < n->n_in; k++) {
		if (n->in[k] >= 0 && !vt_is_const(g, n->in[k]))
			return false;
		in_bytes += n->in[k] < 0 ? 0 : (int64_t)g->tensors[n->in[k]].bytes;
	}
	for (int k = 0; k < n->n_out; k++)
		out_bytes += n->out[k] < 0
				     ? 0
				     : vt_shape_elems(&vt_out(g, n, k)->shape) *
					       (int64_t)vt_dtype_bytes(vt_out(g, n, k)->dtype);
	return n->epi.residual < 0 && n->epi.act < 0 &&
	       (out_bytes <= FOLD_MAX_BYTES || out_bytes <= in_bytes) &&
	       g->folded_bytes + (uint64_t)out_bytes <= FOLD_ALL_BYTES + 4 * g->weights_bytes &&
	       g->folded_flops + vt_node_flops(g, n) <= FOLD_ALL_FLOPS + 4 * g->weights_bytes;
}

/* What only node @n read is of no use any more; sweeps are too long to wait for their end. */
static void drop_last_reads(struct vt_rw *w, const struct vt_node *n)
{
	for (int k = 0; k < n->n_in; k++)
		if (n->in[k] >= 0 && vt_sole(w, n->in[k]))
			vt_graph_drop_data(w->g, n->in[k]);
}

/* The output tensors become constants in place, so every reader already points at them. */
static int fold(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n = &g->nodes[i];
	void **in, **out;
	int rc = -ENOMEM;

	if (!w->eval || !foldable(g, n))
		return 0;
	in = calloc((size_t)n->n_in + 1, sizeof(*in));
	out = calloc((size_t)n->n_out + 1, sizeof(*out));
	for (int k = 0; in && k < n->n_in; k++)
		in[k] = n->in[k] >= 0 ? g->tensors[n->in[k]].data : NULL;
	for (int k = 0; in && out && k < n->n_out; k++) {
		size_t bytes = n->out[k] < 0 ? 0
					     : (size_t)vt_shape_elems(&vt_out(g, n, k)->shape) *
						       vt_dtype_bytes(vt_out(g, n, k)->dtype);

		out[k] = calloc(1, bytes + 64);
		if (!out[k])
			goto out;
	}
	if (in && out)
		rc = w->eval->eval(g, n, in, out, NULL);
	if (rc)
		goto out;
	g->folded_flops += vt_node_flops(g, n);
	for (int k = 0; k < n->n_out; k++) {
		struct vt_tensor *t = n->out[k] < 0 ? NULL : &g->tensors[n->out[k]];

		if (!t)
			continue;
		t->kind = VT_T_CONST;
		t->data = out[k];
		t->bytes = (size_t)vt_shape_elems(&t->shape) * vt_dtype_bytes(t->dtype);
		t->release = free_heap;
		g->folded_bytes += t->bytes;
		out[k] = NULL;
	}
	drop_last_reads(w, n);
	vt_kill(g, i);
out:
	for (int k = 0; out && k < n->n_out; k++)
		free(out[k]);
	free(in);
	free(out);
	/* What no kernel can compute now will be asked for again when the model is loaded. */
	return rc == -ENOMEM ? rc : !rc;
}

/* ---- nodes that do nothing ---------------------------------------------------------------- */

static bool always(const struct vt_graph *g, const struct vt_node *n)
{
	return true;
}

static bool one_input(const struct vt_graph *g, const struct vt_node *n)
{
	return n->n_in == 1;
}

static bool one_output(const struct vt_graph *g, const struct vt_node *n)
{
	return n->n_out == 1;
}

static bool same_perm(const struct vt_graph *g, const struct vt_node *n)
{
	return vt_perm_is_identity(n->p.perm.perm, vt_in(g, n, 0)->shape.rank);
}

static bool full_slice(const struct vt_graph *g, const struct vt_node *n)
{
	for (int d = 0; d < vt_in(g, n, 0)->shape.rank; d++)
		if (n->p.slice.start[d] != 0 || n->p.slice.step[d] != 1)
			return false;
	return true;
}

static bool no_pad(const struct vt_graph *g, const struct vt_node *n)
{
	for (int d = 0; d < vt_in(g, n, 0)->shape.rank; d++)
		if (n->p.pad.before[d] || n->p.pad.after[d])
			return false;
	return true;
}

static bool no_scale(const struct vt_graph *g, const struct vt_node *n)
{
	for (int d = 0; d < vt_in(g, n, 0)->shape.rank; d++)
		if (n->p.resize.scale[d] != 1)
			return false;
	return n->p.resize.coord != VT_COORD_TF_CROP_AND_RESIZE;
}

static bool no_clip(const struct vt_graph *g, const struct vt_node *n)
{
	return isinf(n->p.scalar.a) && n->p.scalar.a < 0 && isinf(n->p.scalar.b) &&
	       n->p.scalar.b > 0;
}

/* x + 0, x - 0, x * 1, x / 1, x ^ 1 */
static bool neutral_right(const struct vt_graph *g, const struct vt_node *n)
{
	double v, want = n->op == VT_OP_ADD || n->op == VT_OP_SUB ? 0 : 1;

	return vt_const_scalar(g, n->in[1], &v) && v == want;
}

/*
 * Whether a node whose output has the shape and type of its first input only copies it. The second
 * operand of x + 0 may come first: the importer and the exporters put constants on either side.
 */
static bool (*const copies[VT_OP_COUNT])(const struct vt_graph *g, const struct vt_node *n) = {
	[VT_OP_RESHAPE] = always,      [VT_OP_CAST] = always,	    [VT_OP_EXPAND] = always,
	[VT_OP_TILE] = always,	       [VT_OP_CONCAT] = one_input,  [VT_OP_SPLIT] = one_output,
	[VT_OP_TRANSPOSE] = same_perm, [VT_OP_SLICE] = full_slice,  [VT_OP_PAD] = no_pad,
	[VT_OP_RESIZE] = no_scale,     [VT_OP_CLIP] = no_clip,	    [VT_OP_ADD] = neutral_right,
	[VT_OP_SUB] = neutral_right,   [VT_OP_MUL] = neutral_right, [VT_OP_DIV] = neutral_right,
	[VT_OP_POW] = neutral_right,
};

static int drop_copy(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];

	if (!copies[n->op] || vt_in(g, n, 0)->dtype != vt_out(g, n, 0)->dtype ||
	    !vt_shape_equal(&vt_in(g, n, 0)->shape, &vt_out(g, n, 0)->shape) ||
	    !copies[n->op](g, n))
		return 0;
	if (!vt_alias(w, n->out[0], n->in[0]))
		return 0;
	vt_kill(g, i);
	return 1;
}

/* Sums and products with the constant on the right, as the rules expect them. */
static int constant_right(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	int t = n->in[0];

	if ((n->op != VT_OP_ADD && n->op != VT_OP_MUL) || !vt_is_const(w->g, t) ||
	    vt_is_const(w->g, n->in[1]))
		return 0;
	n->in[0] = n->in[1];
	n->in[1] = t;
	return 1;
}

static int join_reshapes(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	int p = n->op == VT_OP_RESHAPE ? vt_made_by(w, n->in[0], VT_OP_RESHAPE) : VT_NONE;

	if (p < 0)
		return 0;
	n->in[0] = w->g->nodes[p].in[0];
	return 1;
}

/* Pad(Pad(x)) with one value: exporters pad rows and columns, or asymmetric rests, one by one. */
static int join_pads(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];
	int p = n->op == VT_OP_PAD ? vt_made_by(w, n->in[0], VT_OP_PAD) : VT_NONE;
	const struct vt_node *inner;

	if (p < 0)
		return 0;
	inner = &w->g->nodes[p];
	if (n->p.pad.mode != VT_PAD_CONSTANT || inner->p.pad.mode != VT_PAD_CONSTANT ||
	    n->p.pad.value != inner->p.pad.value || n->p.pad.rest != inner->p.pad.rest)
		return 0;
	for (int d = 0; d < VT_MAX_RANK; d++) /* a crop may cut into what the other one added */
		if (n->p.pad.before[d] < 0 || n->p.pad.after[d] < 0 || inner->p.pad.before[d] < 0 ||
		    inner->p.pad.after[d] < 0)
			return 0;
	for (int d = 0; d < VT_MAX_RANK; d++) {
		n->p.pad.before[d] += inner->p.pad.before[d];
		n->p.pad.after[d] += inner->p.pad.after[d];
	}
	n->in[0] = inner->in[0];
	return 1;
}

int vt_pass_simplify(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	static const vt_rule rules[] = {fold,	   constant_right, join_reshapes,
					join_pads, drop_copy,	   NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}

/* ---- after layout ------------------------------------------------------------------------- */

/* A Transpose that only moves dims of 1 is a view. */
static int transpose_to_reshape(struct vt_rw *w, int i)
{
	struct vt_node *n = &w->g->nodes[i];

	if (n->op != VT_OP_TRANSPOSE ||
	    !vt_perm_moves_nothing(n->p.perm.perm, &vt_in(w->g, n, 0)->shape))
		return 0;
	n->op = VT_OP_RESHAPE;
	return 1;
}

/* ReduceMean over all pixels is a GlobalAveragePool; a Reshape drops the dims, and other rules can move that. */
static int mean_to_pool(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];
	const struct vt_shape *x = &vt_in(g, n, 0)->shape;
	struct vt_shape kept = *x;
	int out, pooled;

	if (n->op != VT_OP_REDUCE_MEAN || x->rank != 4 || n->p.reduce.axes != (1 << 1 | 1 << 2) ||
	    vt_in(g, n, 0)->dtype != VT_F32)
		return 0;
	kept.dim[1] = kept.dim[2] = 1;
	out = n->out[0];
	g->nodes[i].op = VT_OP_GLOBALAVGPOOL;
	if (vt_shape_equal(&kept, &g->tensors[out].shape))
		return 1;
	pooled = vt_new_tensor(g, out, "pooled", &kept);
	if (pooled < 0)
		return pooled;
	g->nodes[i].out[0] = pooled;
	out = vt_graph_add_node(g, VT_OP_RESHAPE, g->nodes[i].name, &pooled, 1, &out, 1);
	return out < 0 ? out : 1;
}

/* Elementwise(Reshape(a)) -> Reshape(Elementwise(a)), so that it stands next to what made a. */
static int reshape_below(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n = &g->nodes[i];
	int p = n->n_in < 1 ? VT_NONE : vt_made_by(w, n->in[0], VT_OP_RESHAPE), a, y, step, rc;
	const struct vt_shape *sa;
	enum vt_op_class class = vt_op_class(n->op);
	bool unary = class == VT_C_UNARY || n->op == VT_OP_CAST;

	if (p < 0 || (!unary && class != VT_C_BINARY) || !vt_sole(w, n->in[0]))
		return 0;
	a = g->nodes[p].in[0];
	sa = &g->tensors[a].shape;
	if (w->producer[a] == VT_NONE || !sa->rank ||
	    vt_shape_elems(sa) != vt_shape_elems(&vt_out(g, n, 0)->shape))
		return 0;
	/* the other operand must mean the same beside a, and not make the result's rank larger */
	if (!unary && (!vt_const_channels(g, n->in[1], sa->dim[sa->rank - 1], &step) ||
		       vt_in(g, n, 1)->shape.rank > sa->rank))
		return 0;
	if (!unary && step &&
	    vt_out(g, n, 0)->shape.dim[vt_out(g, n, 0)->shape.rank - 1] != sa->dim[sa->rank - 1])
		return 0;
	y = vt_new_tensor(g, n->out[0], "flat", sa);
	if (y < 0)
		return y;
	rc = vt_graph_add_node(g, VT_OP_RESHAPE, g->nodes[p].name, &y, 1, &g->nodes[i].out[0], 1);
	if (rc < 0)
		return rc;
	g->nodes[i].in[0] = a;
	g->nodes[i].out[0] = y;
	return 1;
}

int vt_pass_flatten(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	static const vt_rule rules[] = {
		transpose_to_reshape, mean_to_pool, join_reshapes, drop_copy, reshape_below, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
