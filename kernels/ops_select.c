// SPDX-License-Identifier: Apache-2.0
/* Along one axis, [outer][n][inner]: ArgMax and ArgMin, TopK, CumSum; for every numeric type. */
#include "kernels/isa.h"
#include "kernels/ops.h"

/* X(enumerator, C type) */
#define TYPES(X)                                                                                   \
	X(F32, float)                                                                              \
	X(F64, double)                                                                             \
	X(I8, int8_t)                                                                              \
	X(U8, uint8_t)                                                                             \
	X(I16, int16_t)                                                                            \
	X(U16, uint16_t)                                                                           \
	X(I32, int32_t)                                                                            \
	X(U32, uint32_t)                                                                           \
	X(I64, int64_t)                                                                            \
	X(U64, uint64_t)

#define COLS 64 /* of the inner dims, worked on together */

struct axis;
typedef void axis_fn(const struct axis *p, const struct vt_call *c, size_t outer, size_t j,
		     size_t nj);

struct axis {
	struct vt_plan plan;
	axis_fn *fn;
	size_t n, inner;
	bool largest, last;	 /* ArgMax, TopK: the larger; ArgMax: the last of equals */
	bool exclusive, reverse; /* CumSum */
	size_t k;		 /* TopK */
};

static void task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct axis *p = (const void *)c->plan;

	for (size_t o = i; o < i + ni; o++)
		p->fn(p, c, o, j, nj);
}

static struct axis *alloc(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			  int axis, axis_fn *fn, struct vt_err *e)
{
	const struct vt_shape *x = &vt_in(g, n, 0)->shape;
	struct axis *p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	size_t outer;

	if (!p)
		return NULL;
	p->fn = fn;
	p->n = x->rank ? (size_t)x->dim[axis] : 1;
	p->inner = vt_dims_count(x, axis + 1, x->rank);
	p->plan.task = task;
	outer = vt_dims_count(x, 0, axis);
	if (!p->n)
		return p;
	vt_plan_rows(&p->plan, outer, p->inner, VT_TILE_ELEMS / p->n + 1);
	if (p->plan.tile[1] > COLS)
		p->plan.tile[1] = COLS;
	return p;
}

/* ---- ArgMax, ArgMin ----------------------------------------------------------------------- */

/* A NaN beats every number, and is beaten by none. */
#define ARG(D, T)                                                                                  \
	static void arg_##D(const struct axis *p, const struct vt_call *c, size_t outer, size_t j, \
			    size_t nj)                                                             \
	{                                                                                          \
		const T *x = (const T *)c->in[0] + outer * p->n * p->inner + j;                    \
		int64_t *y = (int64_t *)c->out[0] + outer * p->inner + j;                          \
                                                                                                   \
		for (size_t k = 0; k < nj; k++, x++) {                                             \
			T best = *x;                                                               \
			size_t at = 0;                                                             \
                                                                                                   \
			for (size_t r = 1; r < p->n && best == best; r++) {                        \
				const T v = x[r * p->inner];                                       \
				bool wins = p->largest ? v > best : v < best;                      \
                                                                                                   \
				if (wins || v != v || (p->last && v == best)) {                    \
					best = v;                                                  \
					at = r;                                                    \
				}                                                                  \
			}                                                                          \
			y[k] = (int64_t)at;                                                        \
		}                                                                                  \
	}
TYPES(ARG)

/* A dense row of floats: the extreme value first, then where it stands; both at vector speed. */
static void arg_row(const struct axis *p, const struct vt_call *c, size_t outer, size_t j,
		    size_t nj)
{
	const float *x = (const float *)c->in[0] + outer * p->n;
	const float best = vt_vec()->reduce[p->largest ? VT_FOLD_MAX : VT_FOLD_MIN](x, p->n);
	size_t r = 0;

	if (best != best) {
		arg_F32(p, c, outer, j, nj);
		return;
	}
	if (p->last)
		for (r = p->n - 1; x[r] != best; r--)
			;
	else
		while (x[r] != best)
			r++;
	((int64_t *)c->out[0])[outer] = (int64_t)r;
}

static int arg_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		      struct vt_err *e)
{
	static axis_fn *const fns[VT_DT_COUNT] = {
#define X(D, T) [VT_##D] = arg_##D,
		TYPES(X)
#undef X
	};
	axis_fn *fn = fns[vt_in(g, n, 0)->dtype];
	struct axis *p;

	if (!fn)
		return -ENOTSUP;
	p = alloc(l, g, n, n->p.arg.axis, fn, e);
	if (!p)
		return -ENOMEM;
	if (p->inner == 1 && fn == arg_F32)
		p->fn = arg_row;
	p->largest = n->op == VT_OP_ARGMAX;
	p->last = n->p.arg.select_last;
	return 0;
}

VT_OWN_KERNEL(arg, arg_create);

/* ---- TopK --------------------------------------------------------------------------------- */

/*
 * A heap of the k best indices so far, the worst of them on top; then sorted in place by taking the
 * worst away. Of equal values the lower index is the better. A NaN is greater than every number, as in a sort of
 * numpy's or PyTorch's.
 */
#define TOPK(D, T)                                                                                 \
	static inline bool before_##D(const struct axis *p, const T *x, size_t a, size_t b)        \
	{                                                                                          \
		const T u = x[a * p->inner], v = x[b * p->inner];                                  \
                                                                                                   \
		if (u == v || (u != u && v != v))                                                  \
			return a < b;                                                              \
		if (u != u || v != v)                                                              \
			return (u != u) == p->largest;                                             \
		return p->largest ? u > v : u < v;                                                 \
	}                                                                                          \
	static void sink_##D(const struct axis *p, const T *x, size_t *heap, size_t at, size_t n)  \
	{                                                                                          \
		for (size_t kid; (kid = 2 * at + 1) < n; at = kid) {                               \
			size_t was = heap[at];                                                     \
                                                                                                   \
			if (kid + 1 < n && before_##D(p, x, heap[kid], heap[kid + 1]))             \
				kid++;                                                             \
			if (!before_##D(p, x, was, heap[kid]))                                     \
				return;                                                            \
			heap[at] = heap[kid];                                                      \
			heap[kid] = was;                                                           \
		}                                                                                  \
	}                                                                                          \
	static void column_##D(const struct axis *p, const T *x, T *values, int64_t *indices)      \
	{                                                                                          \
		size_t *heap = vt_scratch();                                                       \
                                                                                                   \
		for (size_t r = 0; r < p->k; r++)                                                  \
			heap[r] = r;                                                               \
		for (size_t r = p->k / 2; r-- > 0;)                                                \
			sink_##D(p, x, heap, r, p->k);                                             \
		for (size_t r = p->k; r < p->n; r++)                                               \
			if (before_##D(p, x, r, heap[0])) {                                        \
				heap[0] = r;                                                       \
				sink_##D(p, x, heap, 0, p->k);                                     \
			}                                                                          \
		for (size_t r = p->k; r-- > 0;) {                                                  \
			values[r * p->inner] = x[heap[0] * p->inner];                              \
			indices[r * p->inner] = (int64_t)heap[0];                                  \
			heap[0] = heap[r];                                                         \
			sink_##D(p, x, heap, 0, r);                                                \
		}                                                                                  \
	}                                                                                          \
	static void topk_##D(const struct axis *p, const struct vt_call *c, size_t outer,          \
			     size_t j, size_t nj)                                                  \
	{                                                                                          \
		const T *x = (const T *)c->in[0] + outer * p->n * p->inner + j;                    \
		const size_t to = outer * p->k * p->inner + j;                                     \
                                                                                                   \
		for (size_t i = 0; i < nj && p->k; i++)                                            \
			column_##D(p, x + i, (T *)c->out[0] + to + i,                              \
				   (int64_t *)c->out[1] + to + i);                                 \
	}
TYPES(TOPK)

static int topk_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		       struct vt_err *e)
{
	static axis_fn *const fns[VT_DT_COUNT] = {
#define X(D, T) [VT_##D] = topk_##D,
		TYPES(X)
#undef X
	};
	const int axis = n->p.topk.axis;
	axis_fn *fn = fns[vt_in(g, n, 0)->dtype];
	struct axis *p;

	if (!fn || n->n_out != 2 || n->out[0] < 0 || n->out[1] < 0)
		return -ENOTSUP;
	p = alloc(l, g, n, axis, fn, e);
	if (!p)
		return -ENOMEM;
	p->largest = n->p.topk.largest;
	p->k = (size_t)vt_out(g, n, 0)->shape.dim[axis];
	p->k = p->k < p->n ? p->k : p->n;
	l->scratch_bytes = p->k * sizeof(size_t);
	return 0;
}

VT_OWN_KERNEL(topk, topk_create);

/* ---- CumSum ------------------------------------------------------------------------------- */

#define CUMSUM(D, T)                                                                               \
	static void cumsum_##D(const struct axis *p, const struct vt_call *c, size_t outer,        \
			       size_t j, size_t nj)                                                \
	{                                                                                          \
		const size_t at = outer * p->n * p->inner + j;                                     \
		const T *x = (const T *)c->in[0] + at;                                             \
		T *y = (T *)c->out[0] + at, sum[COLS] = {0};                                       \
                                                                                                   \
		for (size_t i = 0; i < p->n; i++) {                                                \
			size_t r = (p->reverse ? p->n - 1 - i : i) * p->inner;                     \
                                                                                                   \
			for (size_t k = 0; k < nj; k++) {                                          \
				const T v = x[r + k], was = sum[k];                                \
                                                                                                   \
				sum[k] = (T)(was + v);                                             \
				y[r + k] = p->exclusive ? was : sum[k];                            \
			}                                                                          \
		}                                                                                  \
	}
TYPES(CUMSUM)

static int cumsum_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			 struct vt_err *e)
{
	static axis_fn *const fns[VT_DT_COUNT] = {
#define X(D, T) [VT_##D] = cumsum_##D,
		TYPES(X)
#undef X
	};
	axis_fn *fn = fns[vt_in(g, n, 0)->dtype];
	struct axis *p;

	if (!fn)
		return -ENOTSUP;
	p = alloc(l, g, n, n->p.cumsum.axis, fn, e);
	if (!p)
		return -ENOMEM;
	p->exclusive = n->p.cumsum.exclusive;
	p->reverse = n->p.cumsum.reverse;
	return 0;
}

VT_OWN_KERNEL(cumsum, cumsum_create);
