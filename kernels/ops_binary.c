// SPDX-License-Identifier: Apache-2.0
/*
 * Two inputs with broadcasting. The dims of output and inputs are collapsed together, so that every
 * case becomes a block of rows in which each input is a row or one value per row: same shapes are
 * one long row, [N,H,W,C] * [N,1,1,C] is N * H * W rows of C with the second input standing still.
 */
#include "kernels/half.h"
#include "kernels/isa.h"
#include "kernels/ops.h"

#include <math.h>

typedef void typed_fn(void *y, const void *a, const void *b, const struct vt_rows *s,
		      enum vt_operands kind);

struct binary {
	struct vt_plan plan;
	struct vt_nd nd; /* operands: out, a, b */
	int swap;	 /* a is the node's input 1: a > b is b < a */
	enum vt_operands kind;
	typed_fn *fn;
	vt_binary_fn *row; /* or this, of floats */
	size_t bytes[3];
	enum vt_dtype type;
};

/* ---- typed loops -------------------------------------------------------------------------- */

#define TYPED(name, A, B, R, f)                                                                    \
	static void name(void *py, const void *pa, const void *pb, const struct vt_rows *s,        \
			 enum vt_operands kind)                                                    \
	{                                                                                          \
		const size_t ka = kind != VT_SV, kb = kind != VT_VS;                               \
		const A *ra = pa;                                                                  \
		const B *rb = pb;                                                                  \
		R *y = py;                                                                         \
                                                                                                   \
		for (size_t r = 0; r < s->rows; r++, y += s->ys, ra += s->as, rb += s->bs)         \
			for (size_t i = 0; i < s->n; i++) {                                        \
				const A a = ra[i * ka];                                            \
				const B b = rb[i * kb];                                            \
				y[i] = (R)(f);                                                     \
			}                                                                          \
	}

#define NAN_MAX(a, b)	((a) != (a) || (a) > (b) ? (a) : (b))
#define NAN_MIN(a, b)	((a) != (a) || (a) < (b) ? (a) : (b))
#define PRELU(a, b)	((a) < 0 ? (a) * (b) : (a))
#define FMOD_SIGN(m, b) ((m) != 0 && ((m) < 0) != ((b) < 0) ? (m) + (b) : (m))

/* X(operator, float, double): what the vector kernels lack in f32, and everything in f64 */
#define REAL_BOTH(X)                                                                               \
	X(f32, float, POW, powf(a, b))                                                             \
	X(f32, float, MOD, fmodf(a, b))                                                            \
	X(f64, double, POW, pow(a, b))                                                             \
	X(f64, double, MOD, fmod(a, b))                                                            \
	X(f64, double, ADD, a + b)                                                                 \
	X(f64, double, SUB, a - b)                                                                 \
	X(f64, double, MUL, a *b)                                                                  \
	X(f64, double, DIV, a / b)                                                                 \
	X(f64, double, MAX, NAN_MAX(a, b))                                                         \
	X(f64, double, MIN, NAN_MIN(a, b))                                                         \
	X(f64, double, PRELU, PRELU(a, b))
#define X(S, T, op, f) TYPED(S##_##op, T, T, T, f)
REAL_BOTH(X)
#undef X
TYPED(f32_PYMOD, float, float, float, FMOD_SIGN(fmodf(a, b), b))
TYPED(f64_PYMOD, double, double, double, FMOD_SIGN(fmod(a, b), b))

/* Powers that models use, and powf for the rest; an infinite base needs its own sign rules. */
static void f32_pow(void *py, const void *pa, const void *pb, const struct vt_rows *s,
		    enum vt_operands kind)
{
	const float *a = pa, *b = pb;
	float *y = py;

	for (size_t r = 0; r < s->rows; r++, y += s->ys, a += s->as, b += s->bs) {
		const struct vt_rows one = {1, s->n, 0, 0, 0};

		if (kind == VT_VS && *b == 2.0f)
			vt_vec()->binary[VT_OP_MUL][VT_VV](y, a, a, &one);
		else if (kind == VT_VS && *b == 3.0f)
			for (size_t i = 0; i < s->n; i++)
				y[i] = a[i] * a[i] * a[i];
		else if (kind == VT_VS && *b == 0.5f)
			for (size_t i = 0; i < s->n; i++)
				y[i] = a[i] == -INFINITY ? INFINITY : sqrtf(a[i]) + 0.0f;
		else if (kind == VT_VS && *b == -1.0f)
			vt_vec()->unary[VT_OP_RECIPROCAL](y, a, s->n, 0, 0);
		else
			f32_POW(y, a, b, &one, kind);
	}
}

/* Integers wrap; a division by zero gives 0, because a run cannot fail. */
static int64_t int_pow(int64_t a, int64_t b)
{
	uint64_t r = 1, x = (uint64_t)a;

	if (b < 0)
		return a == 1 ? 1 : a == -1 ? (b & 1 ? -1 : 1) : 0;
	for (; b; b >>= 1, x *= x)
		if (b & 1)
			r *= x;
	return (int64_t)r;
}

#define WRAP(op)    ((uint64_t)a op(uint64_t) b)
#define IDIV(a, b)  ((b) == 0 ? 0 : (b) == -1 ? (uint64_t)0 - (uint64_t)(a) : (uint64_t)((a) / (b)))
#define UDIV(a, b)  ((b) == 0 ? 0 : (a) / (b))
#define IREM(a, b)  ((b) == 0 || (b) == -1 ? 0 : (a) % (b))
#define PYREM(a, b) FMOD_SIGN(IREM(a, b), b)
#define UREM(a, b)  ((b) == 0 ? 0 : (a) % (b))
#define SHIFT(T, e) ((uint64_t)b >= sizeof(T) * 8 ? 0 : (e))

#define INT_ROWS(S, T, DIVIDE, REM, PYREM)                                                         \
	TYPED(S##_ADD, T, T, T, WRAP(+))                                                           \
	TYPED(S##_SUB, T, T, T, WRAP(-))                                                           \
	TYPED(S##_MUL, T, T, T, WRAP(*))                                                           \
	TYPED(S##_DIV, T, T, T, DIVIDE(a, b))                                                      \
	TYPED(S##_MAX, T, T, T, a > b ? a : b)                                                     \
	TYPED(S##_MIN, T, T, T, a < b ? a : b)                                                     \
	TYPED(S##_MOD, T, T, T, REM(a, b))                                                         \
	TYPED(S##_PYMOD, T, T, T, PYREM(a, b))                                                     \
	TYPED(S##_PRELU, T, T, T, a < (T)1 ? WRAP(*) : (uint64_t)a)                                \
	TYPED(S##_POW, T, T, T, int_pow((int64_t)a, (int64_t)b))
#define SHIFT_ROWS(S, T)                                                                           \
	TYPED(S##_SHL, T, T, T, SHIFT(T, (uint64_t)a << b))                                        \
	TYPED(S##_SHR, T, T, T, SHIFT(T, (uint64_t)a >> b))

/* X(name, type, C type) */
#define SIGNED(X) X(i8, I8, int8_t) X(i16, I16, int16_t) X(i32, I32, int32_t) X(i64, I64, int64_t)
#define UNSIGNED(X)                                                                                \
	X(u8, U8, uint8_t) X(u16, U16, uint16_t) X(u32, U32, uint32_t) X(u64, U64, uint64_t)
#define REALS(X) X(f32, F32, float) X(f64, F64, double)

#define X(S, D, T) INT_ROWS(S, T, IDIV, IREM, PYREM)
SIGNED(X)
#undef X
#define X(S, D, T) INT_ROWS(S, T, UDIV, UREM, UREM) SHIFT_ROWS(S, T)
UNSIGNED(X)
#undef X

#define X(S, D, T)                                                                                 \
	TYPED(S##_EQUAL, T, T, uint8_t, a == b)                                                    \
	TYPED(S##_LESS, T, T, uint8_t, a < b)                                                      \
	TYPED(S##_LESS_EQUAL, T, T, uint8_t, a <= b)
SIGNED(X)
UNSIGNED(X)
REALS(X)
#undef X

TYPED(bool_EQUAL, uint8_t, uint8_t, uint8_t, !a == !b)
TYPED(bool_AND, uint8_t, uint8_t, uint8_t, a &&b)
TYPED(bool_OR, uint8_t, uint8_t, uint8_t, a || b)
TYPED(bool_XOR, uint8_t, uint8_t, uint8_t, !a != !b)

/* Pow with an exponent of another type than the base, as double. */
#define POW_PAIRS(X)                                                                               \
	X(F32, float, I32, int32_t)                                                                \
	X(F32, float, I64, int64_t)                                                                \
	X(F32, float, U32, uint32_t)                                                               \
	X(F32, float, U64, uint64_t)                                                               \
	X(F32, float, F64, double)                                                                 \
	X(F64, double, F32, float)                                                                 \
	X(F64, double, I32, int32_t)                                                               \
	X(F64, double, I64, int64_t)                                                               \
	X(I32, int32_t, F32, float)                                                                \
	X(I32, int32_t, F64, double)                                                               \
	X(I32, int32_t, I64, int64_t)                                                              \
	X(I64, int64_t, F32, float) X(I64, int64_t, F64, double) X(I64, int64_t, I32, int32_t)
#define TO_I32(v)	((v) >= 0x1p31 ? INT32_MAX : (v) >= -0x1p31 ? (int32_t)(v) : INT32_MIN)
#define TO_I64(v)	((v) >= 0x1p63 ? INT64_MAX : (v) >= -0x1p63 ? (int64_t)(v) : INT64_MIN)
#define TO_F32(v)	(v)
#define TO_F64(v)	(v)
#define X(A, TA, B, TB) TYPED(pow_##A##_##B, TA, TB, TA, TO_##A(pow((double)a, (double)b)))
POW_PAIRS(X)
#undef X

struct entry {
	int op;
	enum vt_dtype a, b;
	typed_fn *fn;
};

/* MOD with Python's sign has no operator of its own: listed under this. */
#define OP_PYMOD (VT_OP_COUNT + VT_OP_MOD)
#define OP_SHL	 (VT_OP_COUNT + VT_OP_BIT_SHIFT)

#define ARITHMETIC(S, D)                                                                           \
	{VT_OP_ADD, D, D, S##_ADD}, {VT_OP_SUB, D, D, S##_SUB}, {VT_OP_MUL, D, D, S##_MUL},        \
		{VT_OP_DIV, D, D, S##_DIV}, {VT_OP_MAX, D, D, S##_MAX},                            \
		{VT_OP_MIN, D, D, S##_MIN}, {VT_OP_MOD, D, D, S##_MOD},                            \
		{OP_PYMOD, D, D, S##_PYMOD}, {VT_OP_PRELU, D, D, S##_PRELU},                       \
		{VT_OP_POW, D, D, S##_POW},

static const struct entry entries[] = {
#define X(S, D, T) ARITHMETIC(S, VT_##D)
	SIGNED(X) UNSIGNED(X)
#undef X
#define X(S, D, T) {OP_SHL, VT_##D, VT_##D, S##_SHL}, {VT_OP_BIT_SHIFT, VT_##D, VT_##D, S##_SHR},
		UNSIGNED(X)
#undef X
#define X(S, D, T)                                                                                 \
	{VT_OP_EQUAL, VT_##D, VT_##D, S##_EQUAL}, {VT_OP_LESS, VT_##D, VT_##D, S##_LESS},          \
		{VT_OP_LESS_EQUAL, VT_##D, VT_##D, S##_LESS_EQUAL},
			SIGNED(X) UNSIGNED(X) REALS(X)
#undef X
#define X(A, TA, B, TB) {VT_OP_POW, VT_##A, VT_##B, pow_##A##_##B},
				POW_PAIRS(X)
#undef X
					ARITHMETIC(f64, VT_F64){VT_OP_POW, VT_F32, VT_F32, f32_pow},
	{VT_OP_MOD, VT_F32, VT_F32, f32_MOD},
	{OP_PYMOD, VT_F32, VT_F32, f32_PYMOD},
	{VT_OP_EQUAL, VT_BOOL, VT_BOOL, bool_EQUAL},
	{VT_OP_AND, VT_BOOL, VT_BOOL, bool_AND},
	{VT_OP_OR, VT_BOOL, VT_BOOL, bool_OR},
	{VT_OP_XOR, VT_BOOL, VT_BOOL, bool_XOR},
};

static typed_fn *typed_for(const struct vt_node *n, int op, enum vt_dtype a, enum vt_dtype b)
{
	if (op == VT_OP_MOD && !n->p.axis)
		op = OP_PYMOD;
	if (op == VT_OP_BIT_SHIFT && n->p.axis)
		op = OP_SHL;
	for (size_t i = 0; i < VT_COUNT_OF(entries); i++)
		if (entries[i].op == op && entries[i].a == a && entries[i].b == b)
			return entries[i].fn;
	return NULL;
}

/* ---- the kernel --------------------------------------------------------------------------- */

static bool is_half(enum vt_dtype t)
{
	return t == VT_F16 || t == VT_BF16;
}

/* Half types: rows are widened a block at a time; the result may be half or bool. */
static void half_block(const struct binary *p, char *y, const char *a, const char *b,
		       const struct vt_rows *s)
{
	float fa[128], fb[128], fy[128];
	struct vt_rows one = {1, 0, 0, 0, 0};

	for (size_t r = 0; r < s->rows;
	     r++, y += (size_t)s->ys * p->bytes[0], a += s->as * 2, b += s->bs * 2)
		for (size_t i = 0; i < s->n; i += one.n) {
			one.n = s->n - i < VT_COUNT_OF(fa) ? s->n - i : VT_COUNT_OF(fa);
			vt_load_f32(fa, a + (p->kind == VT_SV ? 0 : i * 2), p->type,
				    p->kind == VT_SV ? 1 : one.n);
			vt_load_f32(fb, b + (p->kind == VT_VS ? 0 : i * 2), p->type,
				    p->kind == VT_VS ? 1 : one.n);
			if (p->bytes[0] == 1) { /* a comparison */
				p->fn(y + i, fa, fb, &one, p->kind);
				continue;
			}
			if (p->row)
				p->row(fy, fa, fb, &one);
			else
				p->fn(fy, fa, fb, &one, p->kind);
			vt_store_f32(y + i * 2, fy, p->type, one.n);
		}
}

static void block(const struct binary *p, const struct vt_call *c, const struct vt_nd_iter *it,
		  size_t col, const struct vt_rows *s)
{
	size_t a_col = p->kind == VT_SV ? 0 : col, b_col = p->kind == VT_VS ? 0 : col;
	char *y = (char *)c->out[0] + ((size_t)it->off[0] + col) * p->bytes[0];
	const char *a = (const char *)c->in[p->swap] + ((size_t)it->off[1] + a_col) * p->bytes[1];
	const char *b = (const char *)c->in[!p->swap] + ((size_t)it->off[2] + b_col) * p->bytes[2];

	if (is_half(p->type))
		half_block(p, y, a, b, s);
	else if (p->row)
		p->row((float *)y, (const float *)a, (const float *)b, s);
	else
		p->fn(y, a, b, s, p->kind);
}

/* Rows [i, i + ni), columns [j, j + nj): as few blocks as the dim before the rows allows. */
static void task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct binary *p = (const void *)c->plan;
	const int rank = p->nd.rank - 1;
	struct vt_nd_iter it;

	vt_nd_seek(&it, &p->nd, rank, i);
	while (ni) {
		struct vt_rows s = {1, nj, 0, 0, 0};

		if (rank) {
			size_t left = (size_t)(p->nd.dim[rank - 1] - it.index[rank - 1]);

			s.rows = left < ni ? left : ni;
			s.ys = p->nd.stride[0][rank - 1];
			s.as = p->nd.stride[1][rank - 1];
			s.bs = p->nd.stride[2][rank - 1];
		}
		block(p, c, &it, j, &s);
		vt_nd_step(&it, &p->nd, rank, (int64_t)s.rows);
		ni -= s.rows;
	}
}

/* Computed by swapping the operands instead of writing the loops twice. */
static int mirrored(enum vt_op op)
{
	return op == VT_OP_GREATER	   ? VT_OP_LESS
	       : op == VT_OP_GREATER_EQUAL ? VT_OP_LESS_EQUAL
					   : VT_NONE;
}

static void geometry(struct binary *p, const struct vt_tensor *y, const struct vt_tensor *a,
		     const struct vt_tensor *b)
{
	int last;

	vt_nd_init(&p->nd, &y->shape, 3);
	vt_nd_broadcast(&p->nd, 1, &a->shape);
	vt_nd_broadcast(&p->nd, 2, &b->shape);
	vt_nd_collapse(&p->nd);
	last = p->nd.rank - 1;
	p->kind = !p->nd.stride[1][last] ? VT_SV : !p->nd.stride[2][last] ? VT_VS : VT_VV;
	vt_plan_rows(&p->plan, vt_nd_count(&p->nd, last), (size_t)p->nd.dim[last], VT_TILE_ELEMS);
	p->bytes[0] = vt_dtype_bytes(y->dtype);
	p->bytes[1] = vt_dtype_bytes(a->dtype);
	p->bytes[2] = vt_dtype_bytes(b->dtype);
	p->type = a->dtype;
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	const int mirror = mirrored(n->op), swap = mirror != VT_NONE;
	const struct vt_tensor *a = vt_in(g, n, swap), *b = vt_in(g, n, !swap);
	const bool half = is_half(a->dtype) && a->dtype == b->dtype;
	const bool f32 = half || (a->dtype == VT_F32 && b->dtype == VT_F32);
	const bool row = f32 && vt_vec()->binary[n->op][VT_VV];
	typed_fn *fn = typed_for(n, swap ? mirror : (int)n->op, half ? VT_F32 : a->dtype,
				 half ? VT_F32 : b->dtype);
	struct binary *p;

	if (!fn && !row)
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	geometry(p, vt_out(g, n, 0), a, b);
	p->swap = swap;
	p->fn = fn;
	p->row = row ? vt_vec()->binary[n->op][p->kind] : NULL;
	p->plan.task = task;
	return 0;
}

VT_OWN_KERNEL(binary, create);
