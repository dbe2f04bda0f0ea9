// SPDX-License-Identifier: Apache-2.0
/*
 * MatMul of every type and FullyConnected, by their definition. Slow and plain: what the fast
 * kernels refuse, and what the tests compare them with. Sums of floats are kept in double.
 */
#include "kernels/act.h"
#include "kernels/half.h"
#include "kernels/ops.h"

#include <string.h>

/* ---- MatMul ------------------------------------------------------------------------------- */

struct matmul;
typedef void dot_fn(const struct matmul *p, void *y, const void *a, const void *b, size_t n);

struct matmul {
	struct vt_plan plan;
	struct vt_nd batch; /* operands: out, a, b; strides in matrices' elements */
	dot_fn *row;
	size_t m, n, k, esize;
	size_t as_m, as_k, bs_k, bs_n; /* strides in elements */
	double alpha;
};

/*
 * n results of one row of a with n columns of b: some columns at a time, for then their sums do not wait for
 * each other; few where columns lie far apart, maybe in the same set of a cache.
 */
#define SUMS	 64
#define SUMS_FAR 8
#define DOT(D, T, A, LOAD, STORE)                                                                  \
	static void row_##D(const struct matmul *p, void *py, const void *pa, const void *pb,      \
			    size_t n)                                                              \
	{                                                                                          \
		const size_t most = p->bs_n == 1 ? SUMS : SUMS_FAR;                                \
		const T *a = pa, *b = pb;                                                          \
		T *y = py;                                                                         \
                                                                                                   \
		for (size_t m; n; n -= m, y += m, b += m * p->bs_n) {                              \
			A sum[SUMS] = {0};                                                         \
                                                                                                   \
			m = n < most ? n : most;                                                   \
			for (size_t k = 0; k < p->k; k++) {                                        \
				const A v = (A)LOAD(a[k * p->as_k]);                               \
				const T *row = b + k * p->bs_k;                                    \
                                                                                                   \
				if (p->bs_n == 1)                                                  \
					for (size_t j = 0; j < m; j++)                             \
						sum[j] += v * (A)LOAD(row[j]);                     \
				else                                                               \
					for (size_t j = 0; j < m; j++)                             \
						sum[j] += v * (A)LOAD(row[j * p->bs_n]);           \
			}                                                                          \
			for (size_t j = 0; j < m; j++)                                             \
				y[j] = (T)STORE(sum[j]);                                           \
		}                                                                                  \
	}
#define AS_IS(v)      (v)
#define SCALED(v)     ((v)*p->alpha)
#define SCALED_F16(v) vt_f32_to_f16((float)((v)*p->alpha))
#define SCALED_B16(v) vt_f32_to_bf16((float)((v)*p->alpha))
DOT(f32, float, double, AS_IS, SCALED)
DOT(f64, double, double, AS_IS, SCALED)
DOT(f16, uint16_t, double, vt_f16_to_f32, SCALED_F16)
DOT(bf16, uint16_t, double, vt_bf16_to_f32, SCALED_B16)
DOT(i32, int32_t, uint64_t, AS_IS, AS_IS) /* integers wrap */
DOT(u32, uint32_t, uint64_t, AS_IS, AS_IS)
DOT(i64, int64_t, uint64_t, AS_IS, AS_IS)
DOT(u64, uint64_t, uint64_t, AS_IS, AS_IS)

/* Rows i of all matrices one after the other, columns j. */
static void matmul_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct matmul *p = (const void *)c->plan;
	struct vt_nd_iter it;

	for (size_t r = i; r < i + ni; r++) {
		size_t m = r % p->m, y, a, b;

		vt_nd_seek(&it, &p->batch, p->batch.rank, r / p->m);
		y = (size_t)it.off[0] + m * p->n + j;
		a = (size_t)it.off[1] + m * p->as_m;
		b = (size_t)it.off[2] + j * p->bs_n;
		p->row(p, (char *)c->out[0] + y * p->esize, (const char *)c->in[0] + a * p->esize,
		       (const char *)c->in[1] + b * p->esize, nj);
	}
}

/* The last two dims of an operand, a vector being a row on the left and a column on the right. */
static void matrix_dims(const struct vt_shape *s, bool left, bool trans, size_t *rows, size_t *cols,
			size_t *rs, size_t *cs)
{
	size_t h = s->rank > 1 ? (size_t)s->dim[s->rank - 2] : 1, w = (size_t)s->dim[s->rank - 1];

	trans ^= s->rank == 1 && !left;
	*rows = trans ? w : h;
	*cols = trans ? h : w;
	*rs = trans ? 1 : w;
	*cs = trans ? w : 1;
}

static void batch_strides(struct matmul *p, const struct vt_shape *a, const struct vt_shape *b)
{
	struct vt_shape lead[2] = {*a, *b}, out = {0};

	lead[0].rank = a->rank > 2 ? a->rank - 2 : 0;
	lead[1].rank = b->rank > 2 ? b->rank - 2 : 0;
	vt_shape_broadcast(&lead[0], &lead[1], &out);
	vt_nd_init(&p->batch, &out, 3);
	vt_nd_broadcast(&p->batch, 1, &lead[0]);
	vt_nd_broadcast(&p->batch, 2, &lead[1]);
	for (int d = 0; d < p->batch.rank; d++) {
		p->batch.stride[0][d] *= (int64_t)(p->m * p->n);
		p->batch.stride[1][d] *= (int64_t)(p->m * p->k);
		p->batch.stride[2][d] *= (int64_t)(p->k * p->n);
	}
}

static int matmul_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			 struct vt_err *e)
{
	static dot_fn *const rows[VT_DT_COUNT] = {
		[VT_F32] = row_f32, [VT_F64] = row_f64, [VT_F16] = row_f16, [VT_BF16] = row_bf16,
		[VT_I32] = row_i32, [VT_U32] = row_u32, [VT_I64] = row_i64, [VT_U64] = row_u64,
	};
	const struct vt_tensor *a = vt_in(g, n, 0), *b = vt_in(g, n, 1);
	struct matmul *p;
	size_t k;

	if (!rows[a->dtype] || a->dtype != b->dtype || !a->shape.rank || !b->shape.rank)
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	matrix_dims(&a->shape, true, n->p.matmul.trans_a, &p->m, &p->k, &p->as_m, &p->as_k);
	matrix_dims(&b->shape, false, n->p.matmul.trans_b, &k, &p->n, &p->bs_k, &p->bs_n);
	if (k != p->k)
		return vt_fail(e, -EINVAL, "%s: inner dims %zu and %zu differ",
			       n->name ? n->name : "MatMul", p->k, k);
	batch_strides(p, &a->shape, &b->shape);
	p->row = rows[a->dtype];
	p->esize = vt_dtype_bytes(a->dtype);
	p->alpha = (double)n->p.matmul.alpha;
	p->plan.task = matmul_task;
	vt_plan_rows(&p->plan, vt_nd_count(&p->batch, p->batch.rank) * p->m, p->n,
		     VT_TILE_ELEMS * 4 / (p->k + 1) + SUMS);
	return 0;
}

VT_OWN_KERNEL(matmul, matmul_create);

/* ---- FullyConnected ----------------------------------------------------------------------- */

struct fc {
	struct vt_plan plan;
	size_t m, n, k, ws_k, ws_n, out_step;
	struct vt_epilogue epi;
	bool bias;
};

static void fc_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct fc *p = (const void *)c->plan;
	const float *bias = p->bias ? c->in[2] : NULL;

	for (size_t r = i; r < i + ni; r++) {
		const float *x = (const float *)c->in[0] + r * p->k;
		float *y = (float *)c->out[0] + r * p->out_step;

		for (size_t m = j; m < j + nj; m++) {
			const float *w = (const float *)c->in[1] + m * p->ws_n;
			double sum = bias ? (double)bias[m] : 0;

			for (size_t k = 0; k < p->k; k++)
				sum += (double)x[k] * (double)w[k * p->ws_k];
			y[m] = (float)sum;
		}
		vt_act_add_row_f32(p->epi.act, p->epi.a, p->epi.b, y + j,
				   c->residual ? (const float *)c->residual + r * p->n + j : NULL,
				   nj);
	}
}

static int fc_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		     struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *y = vt_out(g, n, 0);
	struct fc *p;

	if (!vt_all_f32(g, n) || !x->shape.rank || w->shape.rank != 2 || !vt_act_ok(n->epi.act))
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->k = (size_t)x->shape.dim[x->shape.rank - 1];
	p->m = vt_dims_count(&x->shape, 0, x->shape.rank - 1);
	p->n = (size_t)w->shape.dim[n->p.fc.w_kn];
	p->ws_k = n->p.fc.w_kn ? p->n : 1;
	p->ws_n = n->p.fc.w_kn ? 1 : p->k;
	p->out_step = y->row_stride ? (size_t)y->row_stride : p->n;
	p->epi = n->epi;
	p->bias = vt_in(g, n, 2) != NULL;
	p->plan.task = fc_task;
	vt_plan_rows(&p->plan, p->m, p->n, VT_TILE_ELEMS * 4 / (p->k + 1) + 1);
	return 0;
}

VT_OWN_KERNEL(fc, fc_create);
