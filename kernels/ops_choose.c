// SPDX-License-Identifier: Apache-2.0
/* Where, Trilu, Range: elements chosen or made by where they stand. */
#include "kernels/ops.h"

#include <string.h>

/* ---- Where -------------------------------------------------------------------------------- */

struct where {
	struct vt_plan plan;
	struct vt_nd nd; /* out, condition, yes, no */
	size_t esize;
};

/* Inner strides are 0 or 1; the compiler makes a blend of the common case. */
#define WHERE_ROW(T)                                                                               \
	static void where_##T(T *y, const uint8_t *c, const T *a, const T *b, size_t n, size_t kc, \
			      size_t ka, size_t kb)                                                \
	{                                                                                          \
		if (kc && ka && kb)                                                                \
			for (size_t i = 0; i < n; i++)                                             \
				y[i] = c[i] ? a[i] : b[i];                                         \
		else                                                                               \
			for (size_t i = 0; i < n; i++)                                             \
				y[i] = c[i * kc] ? a[i * ka] : b[i * kb];                          \
	}
WHERE_ROW(uint8_t)
WHERE_ROW(uint16_t)
WHERE_ROW(uint32_t)
WHERE_ROW(uint64_t)

static void where_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *call = ctx;
	const struct where *p = (const void *)call->plan;
	const int last = p->nd.rank - 1;
	const size_t kc = (size_t)p->nd.stride[1][last], ka = (size_t)p->nd.stride[2][last],
		     kb = (size_t)p->nd.stride[3][last];
	struct vt_nd_iter it;

	vt_nd_seek(&it, &p->nd, last, i);
	for (; ni; ni--, vt_nd_step(&it, &p->nd, last, 1)) {
		char *y = (char *)call->out[0] + ((size_t)it.off[0] + j) * p->esize;
		const uint8_t *c = (const uint8_t *)call->in[0] + it.off[1] + j * kc;
		const char *a = (const char *)call->in[1] + ((size_t)it.off[2] + j * ka) * p->esize;
		const char *b = (const char *)call->in[2] + ((size_t)it.off[3] + j * kb) * p->esize;

		switch (p->esize) {
#define CASE(T)                                                                                    \
	case sizeof(T):                                                                            \
		where_##T((T *)y, c, (const T *)a, (const T *)b, nj, kc, ka, kb);                  \
		break;
			CASE(uint8_t)
			CASE(uint16_t)
			CASE(uint32_t)
			CASE(uint64_t)
#undef CASE
		}
	}
}

static int where_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			struct vt_err *e)
{
	const struct vt_tensor *y = vt_out(g, n, 0);
	struct where *p = vt_own_alloc(l, n, sizeof(*p), 0, e);

	if (!p)
		return -ENOMEM;
	p->esize = vt_dtype_bytes(y->dtype);
	vt_nd_init(&p->nd, &y->shape, 4);
	for (int k = 0; k < 3; k++)
		vt_nd_broadcast(&p->nd, k + 1, &vt_in(g, n, k)->shape);
	vt_nd_collapse(&p->nd);
	p->plan.task = where_task;
	vt_plan_rows(&p->plan, vt_nd_count(&p->nd, p->nd.rank - 1),
		     (size_t)p->nd.dim[p->nd.rank - 1], VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(where, where_create);

/* ---- Trilu -------------------------------------------------------------------------------- */

struct trilu {
	struct vt_plan plan;
	int64_t rows, cols, k;
	size_t esize;
	bool upper;
};

static void trilu_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct trilu *p = (const void *)c->plan;
	const int64_t first = (int64_t)j, end = (int64_t)(j + nj);

	for (size_t r = i; r < i + ni; r++) {
		/* upper keeps columns from the diagonal on, lower those up to it */
		int64_t cut = (int64_t)r % p->rows + p->k + !p->upper;
		const size_t row = r * (size_t)p->cols * p->esize;
		char *y = (char *)c->out[0] + row;
		const char *x = (const char *)c->in[0] + row;
		int64_t from = p->upper ? cut : first, to = p->upper ? end : cut;

		from = from < first ? first : from > end ? end : from;
		to = to < from ? from : to > end ? end : to;
		memset(y + first * (int64_t)p->esize, 0, (size_t)(from - first) * p->esize);
		memmove(y + from * (int64_t)p->esize, x + from * (int64_t)p->esize,
			(size_t)(to - from) * p->esize);
		memset(y + to * (int64_t)p->esize, 0, (size_t)(end - to) * p->esize);
	}
}

static int trilu_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			struct vt_err *e)
{
	const struct vt_shape *s = &vt_in(g, n, 0)->shape;
	const int64_t bound = INT32_MAX;
	struct trilu *p;

	if (s->rank < 2)
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->rows = s->dim[s->rank - 2];
	p->cols = s->dim[s->rank - 1];
	p->k = n->p.trilu.k < -bound ? -bound : n->p.trilu.k > bound ? bound : n->p.trilu.k;
	p->upper = n->p.trilu.upper;
	p->esize = vt_dtype_bytes(vt_in(g, n, 0)->dtype);
	p->plan.task = trilu_task;
	vt_plan_rows(&p->plan, vt_dims_count(s, 0, s->rank - 1), (size_t)p->cols, VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(trilu, trilu_create);

/* ---- Range -------------------------------------------------------------------------------- */

typedef void range_fn(void *y, const void *start, const void *delta, size_t from, size_t n);

#define RANGE(T, W)                                                                                \
	static void range_##T(void *py, const void *start, const void *delta, size_t from,         \
			      size_t n)                                                            \
	{                                                                                          \
		const W s = (W) * (const T *)start, d = (W) * (const T *)delta;                    \
		T *y = py;                                                                         \
                                                                                                   \
		for (size_t i = from; i < from + n; i++)                                           \
			y[i] = (T)(s + (W)i * d);                                                  \
	}
RANGE(float, float)
RANGE(double, double)
RANGE(int16_t, uint64_t)
RANGE(int32_t, uint64_t)
RANGE(int64_t, uint64_t)

struct range {
	struct vt_plan plan;
	range_fn *fn;
};

static void range_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;

	((const struct range *)(const void *)c->plan)->fn(c->out[0], c->in[0], c->in[2], j, nj);
}

static int range_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			struct vt_err *e)
{
	static range_fn *const fns[VT_DT_COUNT] = {
		[VT_F32] = range_float,	  [VT_F64] = range_double,  [VT_I16] = range_int16_t,
		[VT_I32] = range_int32_t, [VT_I64] = range_int64_t,
	};
	const struct vt_tensor *y = vt_out(g, n, 0);
	struct range *p;

	if (!fns[y->dtype])
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->fn = fns[y->dtype];
	p->plan.task = range_task;
	vt_plan_rows(&p->plan, 1, vt_dims_count(&y->shape, 0, y->shape.rank), VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(range, range_create);
