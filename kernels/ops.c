// SPDX-License-Identifier: Apache-2.0
#include "kernels/ops.h"

#include "kernels/half.h"
#include "kernels/isa.h"

#include <stdlib.h>
#include <string.h>

struct own {
	struct vt_plan *plan;
	int n_in, n_out;
	struct vt_call call[];
};

static size_t round_up(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

void *vt_own_alloc(struct vt_layer *l, const struct vt_node *n, size_t plan_bytes,
		   size_t work_bytes, struct vt_err *e)
{
	size_t inst = (size_t)l->n_inst, ptrs = (size_t)(n->n_in + n->n_out) * sizeof(void *);
	size_t head = round_up(sizeof(struct own) + inst * sizeof(struct vt_call));
	size_t each = round_up(ptrs) + round_up(work_bytes);
	size_t bytes = head + round_up(plan_bytes) + inst * each;
	struct own *own = aligned_alloc(64, bytes);
	char *at = (char *)own + head;

	if (!own) {
		vt_fail(e, -ENOMEM, "%s: no memory for %zu bytes of state",
			n->name ? n->name : vt_op_name(n->op), bytes);
		return NULL;
	}
	memset(own, 0, bytes);
	own->plan = (struct vt_plan *)at;
	own->n_in = n->n_in;
	own->n_out = n->n_out;
	at += round_up(plan_bytes);
	for (size_t i = 0; i < inst; i++, at += each) {
		struct vt_call *c = &own->call[i];

		c->plan = own->plan;
		c->in = (const void **)at;
		c->out = (void **)at + n->n_in;
		c->work = at + round_up(ptrs);
	}
	l->state = own;
	return own->plan;
}

struct vt_call *vt_own_call(const struct vt_layer *l, int inst)
{
	return &((struct own *)l->state)->call[inst];
}

int vt_own_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	const struct own *own = l->state;
	struct vt_call *c = vt_own_call(l, inst);

	for (int i = 0; i < own->n_in; i++)
		c->in[i] = b->in[i];
	for (int i = 0; i < own->n_out; i++)
		c->out[i] = b->out[i];
	c->residual = b->residual;
	return 0;
}

void vt_plan_run(const struct vt_plan *p, struct vt_call *call, pthreadpool_t gang)
{
	if (p->range[0] && p->range[1])
		pthreadpool_parallelize_2d_tile_2d(gang, p->task, call, p->range[0], p->range[1],
						   p->tile[0], p->tile[1], 0);
}

void vt_own_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	struct vt_call *c = vt_own_call(l, inst);

	vt_plan_run(c->plan, c, gang);
}

void vt_own_destroy(struct vt_layer *l)
{
	free(l->state);
	l->state = NULL;
}

void vt_plan_rows(struct vt_plan *p, size_t rows, size_t cols, size_t work)
{
	p->range[0] = rows;
	p->range[1] = cols;
	/* A row a little longer than a tile stays whole: half-empty last tiles cost more. */
	p->tile[1] = cols <= 2 * work ? cols : work;
	p->tile[0] = p->tile[1] && p->tile[1] < work ? work / p->tile[1] : 1;
	if (p->tile[0] > rows)
		p->tile[0] = rows;
	if (!p->tile[0])
		p->tile[0] = 1;
	if (!p->tile[1])
		p->tile[1] = 1;
}

void vt_load_f32(float *y, const void *x, enum vt_dtype t, size_t n)
{
	const uint16_t *h = x;

	if (t == VT_F32)
		memcpy(y, x, n * sizeof(float));
	else if (t == VT_F16)
		vt_vec()->from_half(y, h, n);
	else
		for (size_t i = 0; i < n; i++)
			y[i] = vt_bf16_to_f32(h[i]);
}

void vt_store_f32(void *y, const float *x, enum vt_dtype t, size_t n)
{
	uint16_t *h = y;

	if (t == VT_F32)
		memcpy(y, x, n * sizeof(float));
	else if (t == VT_F16)
		vt_vec()->to_half(h, x, n);
	else
		for (size_t i = 0; i < n; i++)
			h[i] = vt_f32_to_bf16(x[i]);
}

/* ---- dimensions with strides --------------------------------------------------------------- */

void vt_dense_strides(const struct vt_shape *s, int64_t *stride)
{
	int64_t step = 1;

	for (int d = s->rank - 1; d >= 0; d--) {
		stride[d] = step;
		step *= s->dim[d];
	}
}

void vt_nd_init(struct vt_nd *nd, const struct vt_shape *out, int n_ops)
{
	memset(nd, 0, sizeof(*nd));
	nd->rank = out->rank;
	nd->n_ops = n_ops;
	for (int d = 0; d < out->rank; d++)
		nd->dim[d] = out->dim[d];
	vt_dense_strides(out, nd->stride[0]);
}

void vt_nd_broadcast(struct vt_nd *nd, int op, const struct vt_shape *in)
{
	int64_t stride[VT_MAX_RANK];
	int lead = nd->rank - in->rank;

	vt_dense_strides(in, stride);
	for (int d = 0; d < in->rank; d++)
		nd->stride[op][lead + d] = in->dim[d] == 1 ? 0 : stride[d];
}

/* Does every operand pass from dim d - 1 (outer) to d (inner) without a jump? */
static bool mergeable(const struct vt_nd *nd, int outer, int inner)
{
	for (int k = 0; k < nd->n_ops; k++)
		if (nd->stride[k][outer] != nd->stride[k][inner] * nd->dim[inner])
			return false;
	return true;
}

static void put_dim(struct vt_nd *nd, int to, int from)
{
	nd->dim[to] = nd->dim[from];
	for (int k = 0; k < nd->n_ops; k++)
		nd->stride[k][to] = nd->stride[k][from];
}

void vt_nd_collapse(struct vt_nd *nd)
{
	int n = 0;

	for (int d = 0; d < nd->rank; d++)
		if (nd->dim[d] != 1)
			put_dim(nd, n++, d);
	nd->rank = n;
	n = 0;
	for (int d = 1; d < nd->rank; d++) {
		if (mergeable(nd, n, d)) {
			int64_t outer = nd->dim[n];

			put_dim(nd, n, d);
			nd->dim[n] *= outer;
		} else {
			put_dim(nd, ++n, d);
		}
	}
	if (nd->rank) {
		nd->rank = n + 1;
		return;
	}
	nd->rank = 1; /* one element: any stride will do, 1 finds the fast paths */
	nd->dim[0] = 1;
	for (int k = 0; k < nd->n_ops; k++)
		nd->stride[k][0] = 1;
}

size_t vt_nd_count(const struct vt_nd *nd, int rank)
{
	size_t n = 1;

	for (int d = 0; d < rank; d++)
		n *= (size_t)nd->dim[d];
	return n;
}

void vt_nd_seek(struct vt_nd_iter *it, const struct vt_nd *nd, int rank, size_t linear)
{
	memset(it->off, 0, sizeof(it->off));
	for (int d = rank - 1; d >= 0; d--) {
		const size_t dim = nd->dim[d] ? (size_t)nd->dim[d] : 1; /* empty: at its start */

		it->index[d] = (int64_t)(linear % dim);
		linear /= dim;
		for (int k = 0; k < nd->n_ops; k++)
			it->off[k] += it->index[d] * nd->stride[k][d];
	}
}

void vt_nd_step(struct vt_nd_iter *it, const struct vt_nd *nd, int rank, int64_t n)
{
	for (int d = rank - 1; d >= 0; d--, n = 1) {
		it->index[d] += n;
		for (int k = 0; k < nd->n_ops; k++)
			it->off[k] += n * nd->stride[k][d];
		if (it->index[d] < nd->dim[d])
			return;
		for (int k = 0; k < nd->n_ops; k++)
			it->off[k] -= it->index[d] * nd->stride[k][d];
		it->index[d] = 0;
	}
}

size_t vt_dims_count(const struct vt_shape *s, int from, int to)
{
	size_t n = 1;

	for (int d = from; d < to; d++)
		n *= (size_t)s->dim[d];
	return n;
}
