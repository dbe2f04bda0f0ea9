// SPDX-License-Identifier: Apache-2.0
/*
 * Writing through indices: the input is copied by all cores, then the updates are put in their
 * order by one, because later ones win and sums must not depend on who was first.
 */
#include "kernels/copy.h"
#include "kernels/ops.h"

#include <string.h>

typedef void put_fn(char *dst, const char *src, size_t n);

struct scatter {
	struct vt_plan plan;
	struct vt_copy copy;
	enum vt_dtype index_type;
	put_fn *put;
	size_t esize, n_updates, n; /* elements of one update */
	int depth;		    /* indices that name one place */
	int64_t size[VT_MAX_RANK], step[VT_MAX_RANK];
	struct vt_nd nd; /* ScatterElements: updates, and the output without its axis */
};

#define COMBINE(name, T, W, op)                                                                    \
	static void name(char *dst, const char *src, size_t n)                                     \
	{                                                                                          \
		T *y = (T *)dst;                                                                   \
		const T *x = (const T *)src;                                                       \
                                                                                                   \
		for (size_t i = 0; i < n; i++)                                                     \
			y[i] = (T)((W)y[i] op(W) x[i]);                                            \
	}
/* integers wrap */
COMBINE(add_f32, float, float, +)
COMBINE(mul_f32, float, float, *)
COMBINE(add_f64, double, double, +)
COMBINE(mul_f64, double, double, *)
COMBINE(add_i32, int32_t, uint64_t, +)
COMBINE(mul_i32, int32_t, uint64_t, *)
COMBINE(add_i64, int64_t, uint64_t, +)
COMBINE(mul_i64, int64_t, uint64_t, *)

static void put_1(char *dst, const char *src, size_t n)
{
	memcpy(dst, src, n);
}
static void put_2(char *dst, const char *src, size_t n)
{
	memcpy(dst, src, 2 * n);
}
static void put_4(char *dst, const char *src, size_t n)
{
	memcpy(dst, src, 4 * n);
}
static void put_8(char *dst, const char *src, size_t n)
{
	memcpy(dst, src, 8 * n);
}

/* reduction: 0 none, 1 add, 2 mul */
static put_fn *put_for(enum vt_dtype t, int reduction)
{
	static put_fn *const plain[] = {[1] = put_1, [2] = put_2, [4] = put_4, [8] = put_8};
	static put_fn *const combine[VT_DT_COUNT][3] = {
		[VT_F32] = {NULL, add_f32, mul_f32},
		[VT_F64] = {NULL, add_f64, mul_f64},
		[VT_I32] = {NULL, add_i32, mul_i32},
		[VT_I64] = {NULL, add_i64, mul_i64},
	};

	if (reduction < 0 || reduction > 2)
		return NULL;
	return reduction ? combine[t][reduction] : plain[vt_dtype_bytes(t)];
}

static struct scatter *alloc(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			     put_fn *put, struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0);
	struct scatter *p = vt_own_alloc(l, n, sizeof(*p), 0, e);

	if (!p)
		return NULL;
	p->put = put;
	p->esize = vt_dtype_bytes(x->dtype);
	p->index_type = vt_in(g, n, 1)->dtype;
	p->copy.esize = p->esize;
	vt_nd_init(&p->copy.nd, &x->shape, 2);
	vt_nd_broadcast(&p->copy.nd, 1, &x->shape);
	vt_copy_plan(&p->copy);
	return p;
}

static void copy_in(const struct scatter *p, const struct vt_call *c, pthreadpool_t gang)
{
	if (c->out[0] != c->in[0])
		vt_copy_run(&p->copy, c->out[0], c->in[0], gang);
}

/* ---- ScatterND ---------------------------------------------------------------------------- */

static void nd_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	const struct vt_call *c = vt_own_call(l, inst);
	const struct scatter *p = (const void *)c->plan;

	copy_in(p, c, gang);
	for (size_t u = 0; u < p->n_updates; u++) {
		int64_t at = 0;

		for (int k = 0; k < p->depth; k++)
			at += p->step[k] * vt_index(c->in[1], p->index_type,
						    u * (size_t)p->depth + (size_t)k, p->size[k]);
		p->put((char *)c->out[0] + (size_t)at * p->esize,
		       (const char *)c->in[2] + u * p->n * p->esize, p->n);
	}
}

static int nd_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		     struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *idx = vt_in(g, n, 1);
	const int last = idx->shape.rank - 1;
	put_fn *put = put_for(x->dtype, n->p.axis);
	int64_t stride[VT_MAX_RANK];
	struct scatter *p;

	if (!put || last < 0 || (idx->dtype != VT_I64 && idx->dtype != VT_I32))
		return -ENOTSUP;
	p = alloc(l, g, n, put, e);
	if (!p)
		return -ENOMEM;
	vt_dense_strides(&x->shape, stride);
	p->depth = (int)idx->shape.dim[last];
	for (int k = 0; k < p->depth; k++) {
		p->size[k] = x->shape.dim[k];
		p->step[k] = stride[k];
	}
	p->n = vt_dims_count(&x->shape, p->depth, x->shape.rank);
	p->n_updates = vt_dims_count(&idx->shape, 0, last);
	if (!vt_dims_count(&x->shape, 0, x->shape.rank))
		p->n_updates = 0;
	return 0;
}

/* ---- ScatterElements ---------------------------------------------------------------------- */

static void elements_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	const struct vt_call *c = vt_own_call(l, inst);
	const struct scatter *p = (const void *)c->plan;
	struct vt_nd_iter it;

	copy_in(p, c, gang);
	if (!p->n_updates)
		return;
	vt_nd_seek(&it, &p->nd, p->nd.rank, 0);
	for (size_t u = 0; u < p->n_updates; u++, vt_nd_step(&it, &p->nd, p->nd.rank, 1)) {
		int64_t at =
			it.off[1] + p->step[0] * vt_index(c->in[1], p->index_type, u, p->size[0]);

		p->put((char *)c->out[0] + (size_t)at * p->esize,
		       (const char *)c->in[2] + u * p->esize, 1);
	}
}

static int elements_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			   struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *idx = vt_in(g, n, 1);
	put_fn *put = put_for(x->dtype, 0);
	int64_t stride[VT_MAX_RANK];
	struct scatter *p;

	if (!put || !x->shape.rank || (idx->dtype != VT_I64 && idx->dtype != VT_I32))
		return -ENOTSUP;
	p = alloc(l, g, n, put, e);
	if (!p)
		return -ENOMEM;
	vt_dense_strides(&x->shape, stride);
	p->size[0] = x->shape.dim[n->p.axis];
	p->step[0] = stride[n->p.axis];
	vt_nd_init(&p->nd, &idx->shape, 2);
	for (int d = 0; d < p->nd.rank; d++)
		p->nd.stride[1][d] = d == n->p.axis ? 0 : stride[d];
	p->n_updates = p->size[0] ? vt_dims_count(&idx->shape, 0, idx->shape.rank) : 0;
	return 0;
}

const struct vt_kernel vt_kernel_scatter_nd = {
	.name = "vt_scatter_nd",
	.create = nd_create,
	.bind = vt_own_bind,
	.run = nd_run,
	.destroy = vt_own_destroy,
};
const struct vt_kernel vt_kernel_scatter_elements = {
	.name = "vt_scatter_elements",
	.create = elements_create,
	.bind = vt_own_bind,
	.run = elements_run,
	.destroy = vt_own_destroy,
};
