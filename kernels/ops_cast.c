// SPDX-License-Identifier: Apache-2.0
/*
 * Cast. One typed loop per pair of types. Float to integer truncates; what does not fit is the
 * nearest value of the type and NaN is 0 (ONNX leaves both open). Halves are read through float.
 */
#include "kernels/fit.h"
#include "kernels/half.h"
#include "kernels/isa.h"
#include "kernels/ops.h"

#include <math.h>
#include <string.h>

typedef void cast_fn(void *y, const void *x, size_t n);

/* X(enumerator, C type, least value, largest + 1, ...): integers as destinations */
#define INTS(X, ...)                                                                               \
	X(U8, uint8_t, 0, 0x1p8, __VA_ARGS__)                                                      \
	X(I8, int8_t, -0x1p7, 0x1p7, __VA_ARGS__)                                                  \
	X(U16, uint16_t, 0, 0x1p16, __VA_ARGS__)                                                   \
	X(I16, int16_t, -0x1p15, 0x1p15, __VA_ARGS__)                                              \
	X(I32, int32_t, -0x1p31, 0x1p31, __VA_ARGS__)                                              \
	X(I64, int64_t, -0x1p63, 0x1p63, __VA_ARGS__)                                              \
	X(U32, uint32_t, 0, 0x1p32, __VA_ARGS__)                                                   \
	X(U64, uint64_t, 0, 0x1p64, __VA_ARGS__)

/* The same types as sources: a macro cannot expand inside itself. */
#define SOURCES(X)                                                                                 \
	X(U8, uint8_t)                                                                             \
	X(I8, int8_t)                                                                              \
	X(U16, uint16_t)                                                                           \
	X(I16, int16_t)                                                                            \
	X(I32, int32_t)                                                                            \
	X(I64, int64_t)                                                                            \
	X(U32, uint32_t)                                                                           \
	X(U64, uint64_t)

#define LOOP(name, R, S, f)                                                                        \
	static void name(void *py, const void *px, size_t n)                                       \
	{                                                                                          \
		const S *src = px;                                                                 \
		R *y = py;                                                                         \
                                                                                                   \
		for (size_t i = 0; i < n; i++) {                                                   \
			const S x = src[i];                                                        \
			y[i] = f;                                                                  \
		}                                                                                  \
	}

/*
 * A double that passes through float on its way to a half must not be rounded twice: the float is
 * rounded to odd, which keeps the information that something lay below its last bit.
 */
static float round_to_odd(double d)
{
	float f = (float)d;
	uint32_t u = vt_f32_bits(f);

	if ((double)f == d || d != d || fabs(d) >= 0x1p127)
		return f;
	if (fabs((double)f) > fabs(d))
		u--;
	return vt_bits_f32(u | 1);
}

#define TO_F16(x)  vt_f32_to_f16(x)
#define TO_BF16(x) vt_f32_to_bf16(x)

#define TO_INT(D, T, lo, hi, S, ST)	LOOP(S##_##D, T, ST, (T)x)
#define TO_INT_FIT(D, T, lo, hi, S, ST) LOOP(S##_##D, T, ST, VT_FIT(T, lo, hi, x))
#define FROM_INT(S, ST)                                                                            \
	INTS(TO_INT, S, ST)                                                                        \
	LOOP(S##_F32, float, ST, (float)x)                                                         \
	LOOP(S##_F64, double, ST, (double)x)                                                       \
	LOOP(S##_BOOL, uint8_t, ST, x != 0)                                                        \
	LOOP(S##_F16, uint16_t, ST, TO_F16((float)x))                                              \
	LOOP(S##_BF16, uint16_t, ST, TO_BF16((float)x))
SOURCES(FROM_INT)
INTS(TO_INT_FIT, F32, float)
INTS(TO_INT_FIT, F64, double)
LOOP(F32_F64, double, float, x)
LOOP(F32_BOOL, uint8_t, float, x != 0)
LOOP(F32_BF16, uint16_t, float, TO_BF16(x))
LOOP(F64_F32, float, double, (float)x)
LOOP(F64_BOOL, uint8_t, double, x != 0)
LOOP(F64_F16, uint16_t, double, TO_F16(round_to_odd(x)))
LOOP(F64_BF16, uint16_t, double, TO_BF16(round_to_odd(x)))
LOOP(BF16_F32, float, uint16_t, vt_bf16_to_f32(x))

static void F32_F16(void *y, const void *x, size_t n)
{
	vt_vec()->to_half(y, x, n);
}

static void F16_F32(void *y, const void *x, size_t n)
{
	vt_vec()->from_half(y, x, n);
}

#define ROW(D, T, lo, hi, S, ST) [VT_##D] = S##_##D,
#define ROW_OF(S, T)                                                                               \
	[VT_##S] = {INTS(ROW, S, T)[VT_F32] = S##_F32, [VT_F64] = S##_F64, [VT_BOOL] = S##_BOOL,   \
		    [VT_F16] = S##_F16, [VT_BF16] = S##_BF16},

/* Bool is a byte of 0 or 1: read as U8. Halves that are not here go through F32. */
static cast_fn *const casts[VT_DT_COUNT][VT_DT_COUNT] = {
	SOURCES(ROW_OF)[VT_F32] = {INTS(ROW, F32, float)[VT_F64] = F32_F64, [VT_BOOL] = F32_BOOL,
				   [VT_F16] = F32_F16, [VT_BF16] = F32_BF16},
	[VT_F64] = {INTS(ROW, F64, double)[VT_F32] = F64_F32, [VT_BOOL] = F64_BOOL,
		    [VT_F16] = F64_F16, [VT_BF16] = F64_BF16},
	[VT_F16] = {[VT_F32] = F16_F32},
	[VT_BF16] = {[VT_F32] = BF16_F32},
};

struct cast {
	struct vt_plan plan;
	cast_fn *first, *second; /* second: from a float, behind first */
	size_t in_bytes, out_bytes;
};

static void task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct cast *p = (const void *)c->plan;
	char *y = (char *)c->out[0] + j * p->out_bytes;
	const char *x = (const char *)c->in[0] + j * p->in_bytes;
	float buf[256];

	if (!p->first) {
		memcpy(y, x, nj * p->in_bytes);
		return;
	}
	if (!p->second) {
		p->first(y, x, nj);
		return;
	}
	for (size_t k = 0; k < nj; k += VT_COUNT_OF(buf)) {
		size_t m = nj - k < VT_COUNT_OF(buf) ? nj - k : VT_COUNT_OF(buf);

		p->first(buf, x + k * p->in_bytes, m);
		p->second(y + k * p->out_bytes, buf, m);
	}
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *y = vt_out(g, n, 0);
	enum vt_dtype from = x->dtype == VT_BOOL ? VT_U8 : x->dtype, to = y->dtype;
	cast_fn *first = NULL, *second = NULL;
	struct cast *p;

	if (x->dtype != y->dtype) {
		first = casts[from][to];
		if (!first) {
			first = casts[from][VT_F32];
			second = casts[VT_F32][to];
			if (!first || !second)
				return -ENOTSUP;
		}
	}
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->first = first;
	p->second = second;
	p->in_bytes = vt_dtype_bytes(x->dtype);
	p->out_bytes = vt_dtype_bytes(to);
	p->plan.task = task;
	vt_plan_rows(&p->plan, 1, vt_dims_count(&y->shape, 0, y->shape.rank), VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(cast, create);
