// SPDX-License-Identifier: Apache-2.0
/* Element types, shapes, operator names: the tables of graph.h made functions. */
#include "model/graph.h"

#include <stdio.h>

static const struct {
	const char *name;
	size_t bytes;
	int onnx;
} dtypes[VT_DT_COUNT] = {[VT_DT_NONE] = {"none", 0, 0},
#define X(e, name, bytes, onnx) [VT_##e] = {name, bytes, onnx},
			 VT_DTYPES(X)
#undef X
};

static const struct {
	const char *name;
	enum vt_op_class class;
} ops[VT_OP_COUNT] = {
#define X(e, name, class) [VT_OP_##e] = {name, VT_C_##class},
	VT_OPS(X)
#undef X
};

size_t vt_dtype_bytes(enum vt_dtype t)
{
	return (unsigned int)t < VT_DT_COUNT ? dtypes[t].bytes : 0;
}

const char *vt_dtype_name(enum vt_dtype t)
{
	return (unsigned int)t < VT_DT_COUNT ? dtypes[t].name : "?";
}

void vt_bools_normalise(enum vt_dtype t, void *data, size_t n)
{
	uint8_t *b = data;

	for (size_t i = 0; t == VT_BOOL && i < n; i++)
		b[i] = b[i] != 0;
}

enum vt_dtype vt_dtype_from_onnx(int onnx)
{
	for (int t = VT_DT_NONE + 1; t < VT_DT_COUNT; t++)
		if (dtypes[t].onnx == onnx)
			return (enum vt_dtype)t;
	return VT_DT_NONE;
}

const char *vt_op_name(enum vt_op op)
{
	return (unsigned int)op < VT_OP_COUNT ? ops[op].name : "?";
}

enum vt_op_class vt_op_class(enum vt_op op)
{
	return (unsigned int)op < VT_OP_COUNT ? ops[op].class : VT_C_OTHER;
}

bool vt_op_writes_rows(enum vt_op op)
{
	return op == VT_OP_CONV2D || op == VT_OP_CONV2D_DW || op == VT_OP_FC ||
	       op == VT_OP_MAXPOOL2D || op == VT_OP_AVGPOOL2D;
}

bool vt_op_reads_rows(enum vt_op op)
{
	return op == VT_OP_CONV2D || op == VT_OP_CONV2D_DW || op == VT_OP_MAXPOOL2D ||
	       op == VT_OP_AVGPOOL2D;
}

/* The sixteenth leaves room for the widest element and for sums of a few sizes. */
int64_t vt_shape_elems(const struct vt_shape *s)
{
	int64_t n = 1;

	for (int d = 0; d < s->rank; d++) {
		if (s->dim[d] < 0)
			return -EOVERFLOW;
		if (s->dim[d] == 0)
			return 0;
	}
	for (int d = 0; d < s->rank; d++)
		if (__builtin_mul_overflow(n, s->dim[d], &n) || n > INT64_MAX / 16)
			return -EOVERFLOW;
	return n;
}

bool vt_shape_equal(const struct vt_shape *a, const struct vt_shape *b)
{
	if (a->rank != b->rank)
		return false;
	for (int d = 0; d < a->rank; d++)
		if (a->dim[d] != b->dim[d])
			return false;
	return true;
}

int vt_shape_broadcast(const struct vt_shape *a, const struct vt_shape *b, struct vt_shape *ret)
{
	struct vt_shape s = {.rank = a->rank > b->rank ? a->rank : b->rank};

	for (int d = 0; d < s.rank; d++) {
		int da = d - (s.rank - a->rank), db = d - (s.rank - b->rank);
		int64_t x = da < 0 ? 1 : a->dim[da], y = db < 0 ? 1 : b->dim[db];

		if (x != y && x != 1 && y != 1)
			return -EINVAL;
		s.dim[d] = x == 1 ? y : x;
	}
	*ret = s;
	return 0;
}

const char *vt_shape_text(const struct vt_shape *s, char *buf, size_t len)
{
	size_t at = 0;

	if (!len)
		return buf;
	snprintf(buf, len, "%s", s->rank ? "" : "scalar");
	for (int d = 0; d < s->rank && at < len; d++)
		at += (size_t)snprintf(buf + at, len - at, "%s%lld", d ? "x" : "",
				       (long long)s->dim[d]);
	return buf;
}

void vt_value_fini(struct vt_value *v)
{
	if (v->release)
		v->release(v->data, v->bytes);
	*v = (struct vt_value){0};
}
