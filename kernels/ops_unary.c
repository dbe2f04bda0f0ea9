// SPDX-License-Identifier: Apache-2.0
/* One input, same shape. f32 on the row kernels of isa.h, everything else by typed loops. */
#include "kernels/half.h"
#include "kernels/isa.h"
#include "kernels/ops.h"

#include <math.h>

typedef void typed_fn(void *y, const void *x, size_t n, float a, float b);

struct unary {
	struct vt_plan plan;
	typed_fn *fn;
	vt_unary_fn *row; /* or this, of floats; wide types are converted around it */
	float a, b;
	size_t in_bytes, out_bytes;
	enum vt_dtype type;
};

/* ---- f64, and the f32 functions that only libm has ------------------------------------------ */

#define SIGN(x)	    ((x) > 0 ? 1 : (x) < 0 ? -1 : (x))
#define EXPM1(a, x) ((a)*expm1(x))

/* X(operator, value of double x with float parameters a and b) */
#define REAL_ROWS(X)                                                                               \
	X(RELU, x > 0 || x != x ? x : 0)                                                           \
	X(CLIP, x<a ? fminf(a, b) : x> b ? b : x)                                                  \
	X(SIGMOID, 1 / (1 + exp(-x)))                                                              \
	X(HARD_SIGMOID, a *x + b < 0 ? 0 : a * x + b > 1 ? 1 : a * x + b)                          \
	X(HARD_SWISH, x *fmin(1, fmax(0, x / 6 + 0.5)))                                            \
	X(SILU, x / (1 + exp(-x)))                                                                 \
	X(GELU, 0.5 * x * erfc(-x * M_SQRT1_2))                                                    \
	X(GELU_TANH,                                                                               \
	  0.5 * x * (1 + tanh(0.5 * M_2_SQRTPI * M_SQRT2 * (x + 0.044715 * x * x * x))))           \
	X(LEAKY_RELU, x < 0 ? x * a : x)                                                           \
	X(ELU, x < 0 ? EXPM1(a, x) : x)                                                            \
	X(CELU, x < 0 ? EXPM1(a, x / a) : x)                                                       \
	X(SELU, b *(x <= 0 ? EXPM1(a, x) : x))                                                     \
	X(THRESHOLDED_RELU, x > a ? x : 0)                                                         \
	X(SHRINK, x<-a ? x + b : x> a ? x - b : 0)                                                 \
	X(TANH, tanh(x))                                                                           \
	X(ERF, erf(x))                                                                             \
	X(SOFTPLUS, fmax(x, 0) + log1p(exp(-fabs(x))))                                             \
	X(SOFTSIGN, x / (1 + fabs(x)))                                                             \
	X(ABS, fabs(x))                                                                            \
	X(NEG, -x)                                                                                 \
	X(EXP, exp(x))                                                                             \
	X(LOG, log(x))                                                                             \
	X(SQRT, sqrt(x))                                                                           \
	X(RECIPROCAL, 1 / x)                                                                       \
	X(FLOOR, floor(x))                                                                         \
	X(CEIL, ceil(x))                                                                           \
	X(ROUND, rint(x))                                                                          \
	X(SIGN, SIGN(x))

#define LIBM(X)                                                                                    \
	X(SIN, sin)                                                                                \
	X(COS, cos)                                                                                \
	X(TAN, tan)                                                                                \
	X(ASIN, asin)                                                                              \
	X(ACOS, acos)                                                                              \
	X(ATAN, atan)                                                                              \
	X(SINH, sinh)                                                                              \
	X(COSH, cosh)                                                                              \
	X(ASINH, asinh)                                                                            \
	X(ACOSH, acosh)                                                                            \
	X(ATANH, atanh)

#define TYPED(name, T, R, f)                                                                       \
	static void name(void *py, const void *px, size_t n, float a, float b)                     \
	{                                                                                          \
		const T *src = px;                                                                 \
		R *y = py;                                                                         \
                                                                                                   \
		(void)a, (void)b;                                                                  \
		for (size_t i = 0; i < n; i++) {                                                   \
			const T x = src[i];                                                        \
			y[i] = (R)(f);                                                             \
		}                                                                                  \
	}

#define X(op, f) TYPED(f64_##op, double, double, f)
REAL_ROWS(X)
#undef X
#define X(op, fn)                                                                                  \
	TYPED(f64_##op, double, double, fn(x))                                                     \
	static void f32_##op(float *y, const float *x, size_t n, float a, float b)                 \
	{                                                                                          \
		for (size_t i = 0; i < n; i++)                                                     \
			y[i] = fn##f(x[i]);                                                        \
	}
LIBM(X)
#undef X

static typed_fn *const f64[VT_OP_COUNT] = {
#define X(op, f) [VT_OP_##op] = f64_##op,
	REAL_ROWS(X) LIBM(X)
#undef X
};

static vt_unary_fn *const libm_rows[VT_OP_COUNT] = {
#define X(op, f) [VT_OP_##op] = f32_##op,
	LIBM(X)
#undef X
};

/* ---- integers, bool, tests ------------------------------------------------------------------ */

/* A float bound as an integer: what lies outside the type is the type's own bound. */
#define BOUND(T, v, min, max) ((v) <= (double)(min) ? (min) : (v) >= (double)(max) ? (max) : (T)(v))

#define INT_ROWS(T, U, S, min, max)                                                                \
	TYPED(S##_ABS, T, T, x < (T)1 ? (U)0 - (U)x : (U)x)                                        \
	TYPED(S##_NEG, T, T, (U)0 - (U)x)                                                          \
	TYPED(S##_SIGN, T, T, (x > 0) - (x < (T)1 && x != 0))                                      \
	TYPED(S##_RELU, T, T, x > 0 ? x : 0)                                                       \
	static void S##_CLIP(void *py, const void *px, size_t n, float a, float b)                 \
	{                                                                                          \
		const T lo = BOUND(T, (double)a, min, max), hi = BOUND(T, (double)b, min, max);    \
		const T *x = px;                                                                   \
		T *y = py;                                                                         \
                                                                                                   \
		for (size_t i = 0; i < n; i++) {                                                   \
			T v = x[i] < lo ? lo : x[i];                                               \
			y[i] = v > hi ? hi : v;                                                    \
		}                                                                                  \
	}
INT_ROWS(int8_t, uint8_t, i8, INT8_MIN, INT8_MAX)
INT_ROWS(int16_t, uint16_t, i16, INT16_MIN, INT16_MAX)
INT_ROWS(int32_t, uint32_t, i32, INT32_MIN, INT32_MAX)
INT_ROWS(int64_t, uint64_t, i64, INT64_MIN, INT64_MAX)
INT_ROWS(uint8_t, uint8_t, u8, 0, UINT8_MAX)
INT_ROWS(uint16_t, uint16_t, u16, 0, UINT16_MAX)
INT_ROWS(uint32_t, uint32_t, u32, 0, UINT32_MAX)
INT_ROWS(uint64_t, uint64_t, u64, 0, UINT64_MAX)

TYPED(bool_NOT, uint8_t, uint8_t, !x)
TYPED(f32_IS_NAN, float, uint8_t, x != x)
TYPED(f64_IS_NAN, double, uint8_t, x != x)
TYPED(f32_IS_INF, float, uint8_t, (a != 0 && x == -INFINITY) || (b != 0 && x == INFINITY))
TYPED(f64_IS_INF, double, uint8_t, (a != 0 && x == -INFINITY) || (b != 0 && x == INFINITY))
TYPED(f16_IS_NAN, uint16_t, uint8_t, (x & 0x7fff) > 0x7c00)
TYPED(bf16_IS_NAN, uint16_t, uint8_t, (x & 0x7fff) > 0x7f80)
TYPED(f16_IS_INF, uint16_t, uint8_t, (a != 0 && x == 0xfc00) || (b != 0 && x == 0x7c00))
TYPED(bf16_IS_INF, uint16_t, uint8_t, (a != 0 && x == 0xff80) || (b != 0 && x == 0x7f80))

static const struct {
	enum vt_op op;
	enum vt_dtype type;
	typed_fn *fn;
} others[] = {
#define INTS(T, S)                                                                                 \
	{VT_OP_ABS, T, S##_ABS}, {VT_OP_NEG, T, S##_NEG}, {VT_OP_SIGN, T, S##_SIGN},               \
		{VT_OP_RELU, T, S##_RELU}, {VT_OP_CLIP, T, S##_CLIP},
	INTS(VT_I8, i8) INTS(VT_I16, i16) INTS(VT_I32, i32) INTS(VT_I64, i64) /* signed */
	INTS(VT_U8, u8) INTS(VT_U16, u16) INTS(VT_U32, u32) INTS(VT_U64, u64) /* unsigned */
	{VT_OP_NOT, VT_BOOL, bool_NOT},
	{VT_OP_IS_NAN, VT_F32, f32_IS_NAN},
	{VT_OP_IS_NAN, VT_F64, f64_IS_NAN},
	{VT_OP_IS_INF, VT_F32, f32_IS_INF},
	{VT_OP_IS_INF, VT_F64, f64_IS_INF},
	{VT_OP_IS_NAN, VT_F16, f16_IS_NAN},
	{VT_OP_IS_NAN, VT_BF16, bf16_IS_NAN},
	{VT_OP_IS_INF, VT_F16, f16_IS_INF},
	{VT_OP_IS_INF, VT_BF16, bf16_IS_INF},
};

/* ---- the kernel ------------------------------------------------------------------------------ */

/* Half types go through floats a block at a time. */
static void half_rows(const struct unary *u, uint16_t *y, const uint16_t *x, size_t n)
{
	float buf[256];

	for (size_t i = 0; i < n; i += VT_COUNT_OF(buf)) {
		size_t m = n - i < VT_COUNT_OF(buf) ? n - i : VT_COUNT_OF(buf);

		vt_load_f32(buf, x + i, u->type, m);
		u->row(buf, buf, m, u->a, u->b);
		vt_store_f32(y + i, buf, u->type, m);
	}
}

static void task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct unary *u = (const void *)c->plan;
	void *y = (char *)c->out[0] + j * u->out_bytes;
	const void *x = (const char *)c->in[0] + j * u->in_bytes;

	if (u->fn)
		u->fn(y, x, nj, u->a, u->b);
	else if (u->type == VT_F32)
		u->row(y, x, nj, u->a, u->b);
	else
		half_rows(u, y, x, nj);
}

static typed_fn *typed_for(enum vt_op op, enum vt_dtype t)
{
	if (t == VT_F64 && f64[op])
		return f64[op];
	for (size_t i = 0; i < VT_COUNT_OF(others); i++)
		if (others[i].op == op && others[i].type == t)
			return others[i].fn;
	return NULL;
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *y = vt_out(g, n, 0);
	typed_fn *fn = typed_for(n->op, x->dtype);
	vt_unary_fn *row = NULL;
	struct unary *u;

	if (x->dtype == VT_F32 || x->dtype == VT_F16 || x->dtype == VT_BF16)
		row = vt_vec()->unary[n->op] ? vt_vec()->unary[n->op] : libm_rows[n->op];
	if (!fn && !row)
		return -ENOTSUP;
	u = vt_own_alloc(l, n, sizeof(*u), 0, e);
	if (!u)
		return -ENOMEM;
	u->fn = fn;
	u->row = row;
	u->a = n->p.scalar.a;
	u->b = n->p.scalar.b;
	u->type = x->dtype;
	u->in_bytes = vt_dtype_bytes(x->dtype);
	u->out_bytes = vt_dtype_bytes(y->dtype);
	u->plan.task = task;
	vt_plan_rows(&u->plan, 1, vt_dims_count(&y->shape, 0, y->shape.rank), VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(unary, create);
