// SPDX-License-Identifier: Apache-2.0
/* What a lowering asks of its node: attributes, and operands whose value must be known now. */
#include "model/import.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FORCE 64 /* length of a chain of nodes that is computed because its end is needed */

/* ---- attributes --------------------------------------------------------------------------- */

const Onnx__AttributeProto *vt_imp_attr(const struct vt_imp_node *n, const char *name)
{
	for (size_t i = 0; i < n->p->n_attribute; i++)
		if (n->p->attribute[i]->name && !strcmp(n->p->attribute[i]->name, name))
			return n->p->attribute[i];
	return NULL;
}

/* An attribute of another type must not pass for one that is absent: lower_node() looks. */
static const Onnx__AttributeProto *attr_of_type(const struct vt_imp_node *n, const char *name,
						Onnx__AttributeProto__AttributeType type)
{
	const Onnx__AttributeProto *a = vt_imp_attr(n, name);

	if (a && a->has_type && a->type && a->type != type)
		*n->mistyped = name;
	return a;
}

#define TYPE(t) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##t

/* A writer of proto3 leaves out what is 0: of an attribute with a type the value then is that. */
int64_t vt_imp_int(const struct vt_imp_node *n, const char *name, int64_t otherwise)
{
	const Onnx__AttributeProto *a = attr_of_type(n, name, TYPE(INT));

	return a && (a->has_i || a->type == TYPE(INT)) ? a->i : otherwise;
}

int vt_imp_type(struct vt_imp *m, const struct vt_imp_node *n, const char *name)
{
	const int64_t number = vt_imp_int(n, name, 0);
	enum vt_dtype t = VT_DT_NONE;
	char text[32];

	if (number > 0 && number <= INT32_MAX)
		t = vt_dtype_from_onnx((int)number);
	if (!number || t != VT_DT_NONE)
		return (int)t;
	if (number < INT32_MIN || number > INT32_MAX)
		return vt_imp_bad(m, -EINVAL, "%s is %lld", name, (long long)number);
	return vt_imp_bad(m, -ENOEXEC, "%s %s is not supported", name,
			  vt_onnx_type_text((int)number, text, sizeof(text)));
}

float vt_imp_float(const struct vt_imp_node *n, const char *name, float otherwise)
{
	const Onnx__AttributeProto *a = attr_of_type(n, name, TYPE(FLOAT));

	return a && (a->has_f || a->type == TYPE(FLOAT)) ? a->f : otherwise;
}

int vt_imp_word(struct vt_imp *m, const struct vt_imp_node *n, const char *name,
		const char *const *words, int otherwise)
{
	const Onnx__AttributeProto *a = attr_of_type(n, name, TYPE(STRING));

	if (!a || !a->has_s || !a->s.len)
		return otherwise;
	for (int i = 0; words[i]; i++)
		if (strlen(words[i]) == a->s.len && !memcmp(words[i], a->s.data, a->s.len))
			return i;
	return vt_imp_bad(m, -ENOEXEC, "%s \"%.*s\" is not supported", name, (int)a->s.len,
			  (const char *)a->s.data);
}

int vt_imp_ints(struct vt_imp *m, const struct vt_imp_node *n, const char *name, int64_t *v,
		int max)
{
	const Onnx__AttributeProto *a = attr_of_type(n, name, TYPE(INTS));

	if (!a)
		return -ENODATA;
	if (a->n_ints > (size_t)max)
		return vt_imp_bad(m, -EINVAL, "%s has %zu values, at most %d make sense", name,
				  a->n_ints, max);
	if (a->n_ints)
		memcpy(v, a->ints, a->n_ints * sizeof(*v));
	return (int)a->n_ints;
}

int vt_imp_axis(struct vt_imp *m, int64_t axis, int rank)
{
	if (axis < -rank || axis >= rank)
		return vt_imp_bad(m, -EINVAL, "axis %lld of %d dimensions", (long long)axis, rank);
	return (int)(axis < 0 ? axis + rank : axis);
}

int vt_imp_axes(struct vt_imp *m, const int64_t *v, int count, int rank, int *ret)
{
	uint32_t seen = 0;

	if (count == -ENODATA)
		count = rank;
	else
		for (int i = 0; i < count; i++) {
			ret[i] = vt_imp_axis(m, v[i], rank);
			if (ret[i] < 0)
				return ret[i];
			if (seen & 1u << ret[i])
				return vt_imp_bad(m, -EINVAL, "names axis %d twice", ret[i]);
			seen |= 1u << ret[i];
		}
	for (int d = 0; d < rank && !seen; d++)
		ret[d] = d;
	return count;
}

/* ---- constant data ------------------------------------------------------------------------ */

static double half(uint16_t h)
{
	int exp = h >> 10 & 31, frac = h & 1023;
	double v = exp == 31  ? (frac ? __builtin_nan("") : __builtin_inf())
		   : exp == 0 ? frac * 0x1p-24
			      : __builtin_ldexp(1024 + frac, exp - 25);

	return h >> 15 ? -v : v;
}

/* To the nearest, ties to even; for the few constants that lowerings make. */
static uint16_t to_half(double v)
{
	uint16_t sign = __builtin_signbit(v) ? 0x8000 : 0;
	double a = v < 0 ? -v : v;
	int exp;

	if (__builtin_isnan(v))
		return 0x7e00;
	if (a >= 65520)
		return sign | 0x7c00;
	if (a < 0x1p-14)
		return sign | (uint16_t)__builtin_rint(a * 0x1p24);
	__builtin_frexp(a, &exp);
	/* carry of the rounding runs into the exponent, as it should */
	return sign |
	       (uint16_t)(((exp + 13) << 10) + (int)__builtin_rint(__builtin_ldexp(a, 11 - exp)));
}

static double bfloat(uint16_t h)
{
	uint32_t bits = (uint32_t)h << 16;
	float f;

	memcpy(&f, &bits, sizeof(f));
	return f;
}

#define INTEGERS(X)                                                                                \
	X(U8, uint8_t)                                                                             \
	X(I8, int8_t)                                                                              \
	X(U16, uint16_t)                                                                           \
	X(I16, int16_t)                                                                            \
	X(I32, int32_t)                                                                            \
	X(I64, int64_t)                                                                            \
	X(BOOL, uint8_t)                                                                           \
	X(U32, uint32_t)                                                                           \
	X(U64, uint64_t)

double vt_imp_get(const struct vt_tensor *t, int64_t i)
{
	switch (t->dtype) {
	case VT_F32:
		return ((const float *)t->data)[i];
	case VT_F64:
		return ((const double *)t->data)[i];
	case VT_F16:
		return half(((const uint16_t *)t->data)[i]);
	case VT_BF16:
		return bfloat(((const uint16_t *)t->data)[i]);
	default:
		return (double)vt_imp_get_int(t, i);
	}
}

int64_t vt_imp_get_int(const struct vt_tensor *t, int64_t i)
{
	double v;

	switch (t->dtype) {
#define X(e, type)                                                                                 \
	case VT_##e:                                                                               \
		return (int64_t)((const type *)t->data)[i];
		INTEGERS(X)
#undef X
	default:
		v = vt_imp_get(t, i);
		if (!(v > -0x1p62))
			return -(INT64_C(1) << 62);
		return v < 0x1p62 ? (int64_t)v : INT64_C(1) << 62;
	}
}

/* The nearest value of an integer type; what is not a number becomes 0. */
static double saturate(double v, size_t bytes, bool is_signed)
{
	double range = __builtin_ldexp(1, (int)(8 * bytes));
	double lo = is_signed ? -range / 2 : 0;
	/* 2^63 - 1 is no double: stay below what converts */
	double hi = bytes < 8 ? range + lo - 1 : (range + lo) * (1 - 0x1p-53);

	return v != v ? 0 : v < lo ? lo : v > hi ? hi : v;
}

void vt_imp_put(struct vt_tensor *t, int64_t i, double value)
{
	float f = (float)value;
	uint32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	switch (t->dtype) {
	case VT_F32:
		((float *)t->data)[i] = f;
		break;
	case VT_F64:
		((double *)t->data)[i] = value;
		break;
	case VT_F16:
		((uint16_t *)t->data)[i] = to_half(value);
		break;
	case VT_BF16:
		((uint16_t *)t->data)[i] = (uint16_t)(bits >> 16);
		break;
#define X(e, type)                                                                                 \
	case VT_##e:                                                                               \
		((type *)t->data)[i] = (type)saturate(value, sizeof(type), (type)-1 < (type)1);    \
		break;
		INTEGERS(X)
#undef X
	default:
		break;
	}
}

/* ---- operands ----------------------------------------------------------------------------- */

bool vt_imp_is(const struct vt_imp_node *n, int i)
{
	return i < n->n_in && n->in[i] >= 0;
}

bool vt_imp_is_half(enum vt_dtype t)
{
	return t == VT_F16 || t == VT_BF16;
}

bool vt_imp_is_float(enum vt_dtype t)
{
	return t == VT_F32 || t == VT_F64 || vt_imp_is_half(t);
}

int vt_imp_one_type(struct vt_imp *m, const struct vt_imp_node *n, int count)
{
	const enum vt_dtype want = vt_imp_dtype(m, n->in[0]);

	for (int i = 1; i < count; i++)
		if (vt_imp_is(n, i) && vt_imp_dtype(m, n->in[i]) != want)
			return vt_imp_bad(m, -EINVAL, "operand %d has type %s, operand 0 has %s", i,
					  vt_dtype_name(vt_imp_dtype(m, n->in[i])),
					  vt_dtype_name(want));
	return 0;
}

/* 0, -ENODATA (not recorded) if no input of the user decides it, or another error, recorded. */
static int force(struct vt_imp *m, int tensor, int depth)
{
	const struct vt_tensor *t = &m->g->tensors[tensor];
	int node, err;

	if (t->kind == VT_T_CONST)
		return 0;
	if (t->kind == VT_T_INPUT)
		return vt_imp_input_const(m, tensor);
	node = vt_graph_producer(m->g, tensor);
	if (node < 0 || depth > MAX_FORCE)
		return -ENODATA;
	for (int i = 0; i < m->g->nodes[node].n_in; i++) {
		err = m->g->nodes[node].in[i] < 0 ? 0
						  : force(m, m->g->nodes[node].in[i], depth + 1);
		if (err)
			return err;
	}
	return vt_imp_fold(m, node);
}

int vt_imp_need(struct vt_imp *m, int tensor)
{
	int err;

	if (tensor < 0)
		return tensor;
	err = force(m, tensor, 0);
	if (err != -ENODATA)
		return err;
	if (m->g->tensors[tensor].kind == VT_T_INPUT)
		return vt_imp_bad(m, -EINVAL,
				  "its operand \"%s\" must be known when the model is loaded; "
				  "give --input %s=FILE",
				  m->g->tensors[tensor].name, m->g->tensors[tensor].name);
	return vt_imp_bad(m, -ENOEXEC,
			  "its operand \"%s\" depends on data of the run; it must be constant",
			  m->g->tensors[tensor].name);
}

bool vt_imp_try_const(struct vt_imp *m, int tensor)
{
	if (tensor < 0)
		return false;
	if (m->g->tensors[tensor].kind == VT_T_INPUT)
		return vt_imp_input_const(m, tensor) == 0;
	return m->g->tensors[tensor].kind == VT_T_CONST;
}

static int known_list(struct vt_imp *m, const struct vt_imp_node *n, int i, int max)
{
	const struct vt_tensor *t;
	int64_t elems;
	int err;

	if (!vt_imp_is(n, i))
		return vt_imp_bad(m, -EINVAL, "operand %d is missing", i);
	err = vt_imp_need(m, n->in[i]);
	if (err)
		return err;
	t = &m->g->tensors[n->in[i]];
	elems = vt_shape_elems(&t->shape);
	if (elems > max)
		return vt_imp_bad(m, -EINVAL,
				  "operand \"%s\" has %lld values, at most %d make sense", t->name,
				  (long long)elems, max);
	return (int)elems;
}

int vt_imp_values(struct vt_imp *m, const struct vt_imp_node *n, int i, int64_t *v, int max)
{
	int count = known_list(m, n, i, max);

	for (int k = 0; k < count; k++)
		v[k] = vt_imp_get_int(&m->g->tensors[n->in[i]], k);
	return count;
}

int vt_imp_numbers(struct vt_imp *m, const struct vt_imp_node *n, int i, double *v, int max)
{
	int count = known_list(m, n, i, max);

	for (int k = 0; k < count; k++)
		v[k] = vt_imp_get(&m->g->tensors[n->in[i]], k);
	return count;
}

int vt_imp_either(struct vt_imp *m, const struct vt_imp_node *n, int i, const char *name,
		  int64_t *v, int max)
{
	return vt_imp_is(n, i) ? vt_imp_values(m, n, i, v, max) : vt_imp_ints(m, n, name, v, max);
}
