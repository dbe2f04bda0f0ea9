// SPDX-License-Identifier: Apache-2.0
/*
 * Operators that only move elements: each is a short list of strided copies (copy.h), planned once.
 * Transpose is one copy, Concat one per input, DepthToSpace a transposition of
 * split dims.
 */
#include "kernels/copy.h"

#include <string.h>

struct move {
	struct vt_plan plan; /* unused: copies bring their own ranges */
	int n_jobs;
	struct {
		struct vt_copy c;
		int in, out;
	} job[];
};

static void run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	const struct vt_call *call = vt_own_call(l, inst);
	const struct move *m = (const void *)call->plan;

	for (int i = 0; i < m->n_jobs; i++) {
		const struct vt_copy *c = &m->job[i].c;
		void *out = call->out[m->job[i].out];
		const void *in = call->in[m->job[i].in];

		/* The memory plan may have put a part of a Concat or Split where it belongs. */
		if ((char *)out + c->dst_off * (int64_t)c->esize !=
		    (const char *)in + c->src_off * (int64_t)c->esize)
			vt_copy_run(c, out, in, gang);
	}
}

/* ---- planning -------------------------------------------------------------------------------- */

static struct move *alloc(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			  int max_jobs, struct vt_err *e)
{
	struct move *m =
		vt_own_alloc(l, n, sizeof(*m) + (size_t)max_jobs * sizeof(m->job[0]), 0, e);

	for (int i = 0; m && i < max_jobs; i++)
		m->job[i].c.esize = vt_dtype_bytes(vt_out(g, n, 0)->dtype);
	return m;
}

static struct vt_copy *add_job(struct move *m, int in, int out)
{
	m->job[m->n_jobs].in = in;
	m->job[m->n_jobs].out = out;
	return &m->job[m->n_jobs++].c;
}

static int move_expand(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		       struct vt_err *e)
{
	struct move *m = alloc(l, g, n, 1, e);
	struct vt_copy *c;

	if (!m)
		return -ENOMEM;
	c = add_job(m, 0, 0);
	vt_nd_init(&c->nd, &vt_out(g, n, 0)->shape, 2);
	vt_nd_broadcast(&c->nd, 1, &vt_in(g, n, 0)->shape);
	vt_copy_plan(c);
	return 0;
}

static int move_transpose(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			  struct vt_err *e)
{
	struct move *m = alloc(l, g, n, 1, e);
	int64_t stride[VT_MAX_RANK];
	struct vt_copy *c;

	if (!m)
		return -ENOMEM;
	c = add_job(m, 0, 0);
	vt_nd_init(&c->nd, &vt_out(g, n, 0)->shape, 2);
	vt_dense_strides(&vt_in(g, n, 0)->shape, stride);
	for (int d = 0; d < c->nd.rank; d++)
		c->nd.stride[1][d] = stride[n->p.perm.perm[d]];
	vt_copy_plan(c);
	return 0;
}

/* A part of a larger tensor: [outer][size of axis][inner] beside [outer][total][inner]. */
static void part_job(struct vt_copy *c, const struct vt_shape *part, const struct vt_shape *whole,
		     int axis, int64_t at, int whole_op)
{
	const int64_t inner = (int64_t)vt_dims_count(part, axis, part->rank);
	const int64_t step = (int64_t)vt_dims_count(whole, axis, whole->rank);
	const int64_t off = at * (int64_t)vt_dims_count(whole, axis + 1, whole->rank);

	c->nd = (struct vt_nd){.rank = 2, .n_ops = 2};
	c->nd.dim[0] = (int64_t)vt_dims_count(part, 0, axis);
	c->nd.dim[1] = inner;
	c->nd.stride[0][0] = whole_op == 0 ? step : inner;
	c->nd.stride[1][0] = whole_op == 1 ? step : inner;
	c->nd.stride[0][1] = c->nd.stride[1][1] = 1;
	c->dst_off = whole_op == 0 ? off : 0;
	c->src_off = whole_op == 1 ? off : 0;
	vt_copy_plan(c);
}

static int move_concat(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		       struct vt_err *e)
{
	struct move *m = alloc(l, g, n, n->n_in, e);
	int64_t at = 0;

	if (!m)
		return -ENOMEM;
	for (int i = 0; i < n->n_in; i++) {
		const struct vt_shape *s = &vt_in(g, n, i)->shape;

		part_job(add_job(m, i, 0), s, &vt_out(g, n, 0)->shape, n->p.axis, at, 0);
		at += s->dim[n->p.axis];
	}
	return 0;
}

static int move_split(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		      struct vt_err *e)
{
	struct move *m = alloc(l, g, n, n->n_out, e);
	int64_t at = 0;

	if (!m)
		return -ENOMEM;
	for (int i = 0; i < n->n_out; i++) {
		const struct vt_shape *s;

		if (n->out[i] < 0) /* an output nobody asked for still takes its share */
			return -ENOTSUP;
		s = &vt_out(g, n, i)->shape;
		part_job(add_job(m, 0, i), s, &vt_in(g, n, 0)->shape, n->p.axis, at, 1);
		at += s->dim[n->p.axis];
	}
	return 0;
}

static int move_slice(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		      struct vt_err *e)
{
	struct move *m = alloc(l, g, n, 1, e);
	int64_t stride[VT_MAX_RANK];
	struct vt_copy *c;

	if (!m)
		return -ENOMEM;
	c = add_job(m, 0, 0);
	vt_nd_init(&c->nd, &vt_out(g, n, 0)->shape, 2);
	vt_dense_strides(&vt_in(g, n, 0)->shape, stride);
	for (int d = 0; d < c->nd.rank; d++) {
		c->nd.stride[1][d] = stride[d] * n->p.slice.step[d];
		c->src_off += stride[d] * n->p.slice.start[d];
	}
	vt_copy_plan(c);
	return 0;
}

/* Each dim becomes (repeats, size); the source stands still along the repeats. */
static int move_tile(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		     struct vt_err *e)
{
	const struct vt_shape *in = &vt_in(g, n, 0)->shape, *out = &vt_out(g, n, 0)->shape;
	struct move *m = alloc(l, g, n, 1, e);
	int64_t src[VT_MAX_RANK], dst[VT_MAX_RANK];
	struct vt_copy *c;

	if (!m)
		return -ENOMEM;
	c = add_job(m, 0, 0);
	vt_dense_strides(in, src);
	vt_dense_strides(out, dst);
	c->nd.rank = 2 * in->rank;
	c->nd.n_ops = 2;
	for (int d = 0; d < in->rank; d++) {
		c->nd.dim[2 * d] = in->dim[d] ? out->dim[d] / in->dim[d] : 0;
		c->nd.dim[2 * d + 1] = in->dim[d];
		c->nd.stride[0][2 * d] = dst[d] * in->dim[d];
		c->nd.stride[0][2 * d + 1] = dst[d];
		c->nd.stride[1][2 * d + 1] = src[d];
	}
	vt_copy_plan(c);
	return 0;
}

/* ---- blocks of pixels --------------------------------------------------------------------- */

/*
 * Both directions are one permutation between [N, H, W, c split in (b, b, C)] and [N, H, b, W, b,
 * C]; DCR keeps C innermost of the split channel, CRD outermost.
 */
static int move_blocks(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		       struct vt_err *e)
{
	const bool to_space = n->op == VT_OP_DEPTH_TO_SPACE;
	const struct vt_shape *deep = &(to_space ? vt_in(g, n, 0) : vt_out(g, n, 0))->shape;
	const struct vt_shape *wide = &(to_space ? vt_out(g, n, 0) : vt_in(g, n, 0))->shape;
	const int64_t b = n->p.block.size, h = deep->dim[1], w = deep->dim[2];
	const int64_t c = wide->dim[3];
	const bool crd = to_space && n->p.block.crd;
	/* dims: N, H, block row, W, block column, C */
	const int64_t dim[] = {deep->dim[0], h, b, w, b, c};
	const int64_t in_wide[] = {h * b * w * b * c, b * w * b * c, w * b * c, b * c, c, 1};
	const int64_t in_deep[] = {h * w * b * b * c, w * b * b * c, crd ? b : b * c,
				   b * b * c,	      crd ? 1 : c,   crd ? b * b : 1};
	struct move *m;
	struct vt_copy *copy;

	if (deep->rank != 4)
		return -ENOTSUP;
	m = alloc(l, g, n, 1, e);
	if (!m)
		return -ENOMEM;
	copy = add_job(m, 0, 0);
	copy->nd.rank = 6;
	copy->nd.n_ops = 2;
	memcpy(copy->nd.dim, dim, sizeof(dim));
	memcpy(copy->nd.stride[0], to_space ? in_wide : in_deep, sizeof(dim));
	memcpy(copy->nd.stride[1], to_space ? in_deep : in_wide, sizeof(dim));
	vt_copy_plan(copy);
	return 0;
}

#define MOVE(id, create_fn)                                                                        \
	const struct vt_kernel vt_kernel_##id = {                                                  \
		.name = "vt_" #id,                                                                 \
		.create = create_fn,                                                               \
		.bind = vt_own_bind,                                                               \
		.run = run,                                                                        \
		.destroy = vt_own_destroy,                                                         \
	}
MOVE(expand, move_expand);
MOVE(transpose, move_transpose);
MOVE(concat, move_concat);
MOVE(split, move_split);
MOVE(slice, move_slice);
MOVE(tile, move_tile);
MOVE(blocks, move_blocks);
