// SPDX-License-Identifier: Apache-2.0
/*
 * Reading through indices: Gather, GatherElements, GatherND; and OneHot, whose indices choose where
 * a value lands. An index outside its dim is clamped: a run cannot fail, and must not leave its tensors.
 */
#include "kernels/ops.h"

#include <string.h>

/* Something is asked for where there is nothing. */
static int empty(const struct vt_node *n, struct vt_err *e)
{
	return vt_fail(e, -EINVAL, "node '%s': %s from a dim of size 0", n->name ? n->name : "",
		       vt_op_name(n->op));
}

/* ---- Gather: rows of [outer][size][inner], chosen by the indices -------------------------- */

struct gather {
	struct vt_plan plan;
	enum vt_dtype index_type;
	size_t n_indices, size, inner_bytes;
};

static void gather_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct gather *p = (const void *)c->plan;

	for (size_t r = i; r < i + ni; r++) {
		size_t at = (size_t)vt_index(c->in[1], p->index_type, r % p->n_indices,
					     (int64_t)p->size);
		size_t row = r / p->n_indices * p->size + at;

		memcpy((char *)c->out[0] + r * p->inner_bytes + j,
		       (const char *)c->in[0] + row * p->inner_bytes + j, nj);
	}
}

static bool is_index(enum vt_dtype t)
{
	return t == VT_I32 || t == VT_I64;
}

static int gather_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			 struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *idx = vt_in(g, n, 1);
	const int axis = n->p.axis;
	size_t outer = vt_dims_count(&x->shape, 0, axis);
	struct gather *p;

	if (!is_index(idx->dtype))
		return -ENOTSUP;
	if (!x->shape.dim[axis] && vt_shape_elems(&vt_out(g, n, 0)->shape))
		return empty(n, e);
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->index_type = idx->dtype;
	p->n_indices = vt_dims_count(&idx->shape, 0, idx->shape.rank);
	p->size = (size_t)x->shape.dim[axis];
	p->inner_bytes =
		vt_dims_count(&x->shape, axis + 1, x->shape.rank) * vt_dtype_bytes(x->dtype);
	p->plan.task = gather_task;
	vt_plan_rows(&p->plan, outer * p->n_indices, p->inner_bytes, 4 * VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(gather, gather_create);

/* ---- GatherElements: out[i][j] = x[i][index[i][j]], for the axis -------------------------- */

struct elements {
	struct vt_plan plan;
	struct vt_nd nd; /* over the indices; operands: out and indices, x without its axis */
	enum vt_dtype index_type;
	size_t esize;
	int64_t size, step; /* of x along the axis */
};

static void elements_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct elements *p = (const void *)c->plan;
	const int last = p->nd.rank - 1;
	const int64_t ss = p->nd.stride[1][last];
	const size_t esize = p->esize;
	struct vt_nd_iter it;

	vt_nd_seek(&it, &p->nd, last, i);
	for (; ni; ni--, vt_nd_step(&it, &p->nd, last, 1))
		for (size_t k = j; k < j + nj; k++) {
			size_t to = (size_t)it.off[0] + k;
			int64_t from = vt_index(c->in[1], p->index_type, to, p->size) * p->step +
				       it.off[1] + (int64_t)k * ss;

			memcpy((char *)c->out[0] + to * esize,
			       (const char *)c->in[0] + (size_t)from * esize, esize);
		}
}

static int elements_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			   struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *idx = vt_in(g, n, 1);
	int64_t stride[VT_MAX_RANK];
	struct elements *p;

	if (!is_index(idx->dtype) || !x->shape.rank)
		return -ENOTSUP;
	if (!vt_shape_elems(&x->shape) && vt_shape_elems(&idx->shape))
		return empty(n, e);
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->index_type = idx->dtype;
	p->esize = vt_dtype_bytes(x->dtype);
	vt_dense_strides(&x->shape, stride);
	p->size = x->shape.dim[n->p.axis];
	p->step = stride[n->p.axis];
	vt_nd_init(&p->nd, &idx->shape, 2);
	for (int d = 0; d < p->nd.rank; d++)
		p->nd.stride[1][d] = d == n->p.axis ? 0 : stride[d];
	vt_nd_collapse(&p->nd);
	p->plan.task = elements_task;
	vt_plan_rows(&p->plan, vt_nd_count(&p->nd, p->nd.rank - 1),
		     (size_t)p->nd.dim[p->nd.rank - 1], VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(gather_elements, elements_create);

/* ---- GatherND ----------------------------------------------------------------------------- */

struct gather_nd {
	struct vt_plan plan;
	enum vt_dtype index_type;
	int depth; /* indices that name one slice */
	int64_t size[VT_MAX_RANK];
	size_t step[VT_MAX_RANK];	      /* bytes */
	size_t per_batch, batch_bytes, bytes; /* slices in a batch; a batch of x; a slice */
};

static void gather_nd_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct gather_nd *p = (const void *)c->plan;

	for (size_t r = i; r < i + ni; r++) {
		size_t at = r / p->per_batch * p->batch_bytes + j;

		for (int k = 0; k < p->depth; k++)
			at += p->step[k] * (size_t)vt_index(c->in[1], p->index_type,
							    r * (size_t)p->depth + (size_t)k,
							    p->size[k]);
		memcpy((char *)c->out[0] + r * p->bytes + j, (const char *)c->in[0] + at, nj);
	}
}

static int gather_nd_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			    struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *idx = vt_in(g, n, 1);
	const int batch = n->p.axis, last = idx->shape.rank - 1;
	const size_t esize = vt_dtype_bytes(x->dtype);
	struct gather_nd *p;
	size_t slices;

	if (!is_index(idx->dtype) || last < batch)
		return -ENOTSUP;
	if (!vt_shape_elems(&x->shape) && vt_shape_elems(&vt_out(g, n, 0)->shape))
		return empty(n, e);
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->index_type = idx->dtype;
	p->depth = (int)idx->shape.dim[last];
	for (int k = 0; k < p->depth; k++) {
		p->size[k] = x->shape.dim[batch + k];
		p->step[k] = vt_dims_count(&x->shape, batch + k + 1, x->shape.rank) * esize;
	}
	slices = vt_dims_count(&idx->shape, 0, last);
	p->per_batch = vt_dims_count(&idx->shape, batch, last);
	p->batch_bytes = vt_dims_count(&x->shape, batch, x->shape.rank) * esize;
	p->bytes = vt_dims_count(&x->shape, batch + p->depth, x->shape.rank) * esize;
	p->plan.task = gather_nd_task;
	vt_plan_rows(&p->plan, slices, p->bytes, 4 * VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(gather_nd, gather_nd_create);

/* ---- OneHot ------------------------------------------------------------------------------- */

struct one_hot {
	struct vt_plan plan;
	enum vt_dtype index_type;
	size_t depth, inner, esize;
};

static int64_t hot_index(const void *p, enum vt_dtype t, size_t i)
{
	switch (t) {
	case VT_F32: {
		float f = ((const float *)p)[i];

		return f >= 0x1p62f || f <= -0x1p62f || f != f ? INT64_MIN : (int64_t)f;
	}
	case VT_U8:
		return ((const uint8_t *)p)[i];
	case VT_I32:
		return ((const int32_t *)p)[i];
	default:
		return ((const int64_t *)p)[i];
	}
}

static void one_hot_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct one_hot *p = (const void *)c->plan;
	const char *off = c->in[1], *on = off + p->esize;

	for (size_t r = i; r < i + ni; r++) {
		const int64_t d = (int64_t)(r % p->depth);
		char *y = (char *)c->out[0] + (r * p->inner + j) * p->esize;

		for (size_t k = j; k < j + nj; k++, y += p->esize) {
			int64_t at =
				hot_index(c->in[0], p->index_type, r / p->depth * p->inner + k);

			at += at < 0 && at != INT64_MIN ? (int64_t)p->depth : 0;
			memcpy(y, at == d ? on : off, p->esize);
		}
	}
}

static int one_hot_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			  struct vt_err *e)
{
	const struct vt_tensor *idx = vt_in(g, n, 0), *y = vt_out(g, n, 0);
	const int axis = n->p.axis;
	struct one_hot *p;

	if (!is_index(idx->dtype) && idx->dtype != VT_F32 && idx->dtype != VT_U8)
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->index_type = idx->dtype;
	p->depth = (size_t)y->shape.dim[axis];
	p->inner = vt_dims_count(&y->shape, axis + 1, y->shape.rank);
	p->esize = vt_dtype_bytes(y->dtype);
	p->plan.task = one_hot_task;
	vt_plan_rows(&p->plan, vt_dims_count(&y->shape, 0, axis) * p->depth, p->inner,
		     VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(one_hot, one_hot_create);
