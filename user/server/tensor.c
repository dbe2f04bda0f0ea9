// SPDX-License-Identifier: Apache-2.0
#include "server/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a model takes and gives ------------------------------------------------------------ */

static size_t names_bytes(const struct vt_graph *g, const int *list, int n)
{
	size_t sum = 0;

	for (int i = 0; i < n; i++) {
		const char *name = g->tensors[list[i]].name;

		sum += strlen(name) + 1 + vt_json_escape(name, NULL, 0) + 1;
	}
	return sum;
}

static char *fill(struct vt_io_tensor *ret, const struct vt_graph *g, const int *list, int n,
		  char *names, size_t *bytes)
{
	for (int i = 0; i < n; i++) {
		const struct vt_tensor *t = &g->tensors[list[i]];
		int64_t elems = vt_shape_elems(&t->shape);
		size_t len = strlen(t->name) + 1;

		ret[i] = (struct vt_io_tensor){
			.name = names,
			.escaped = names + len,
			.dtype = t->dtype,
			.shape = t->shape,
			.elems = elems > 0 ? (size_t)elems : 0,
			.tensor = list[i],
		};
		ret[i].bytes = ret[i].elems * vt_dtype_bytes(t->dtype);
		*bytes += ret[i].bytes;
		memcpy(names, t->name, len);
		names += len;
		len = vt_json_escape(t->name, NULL, 0) + 1;
		vt_json_escape(t->name, names, len);
		names += len;
	}
	return names;
}

int vt_io_of(struct vt_io *ret, const struct vt_graph *g)
{
	size_t n = (size_t)g->n_inputs + (size_t)g->n_outputs;
	size_t table = n * sizeof(struct vt_io_tensor);
	struct vt_io io = {.n_in = (size_t)g->n_inputs, .n_out = (size_t)g->n_outputs};
	char *names;

	io.mem = malloc(table + names_bytes(g, g->inputs, g->n_inputs) +
			names_bytes(g, g->outputs, g->n_outputs) + 1);
	if (!io.mem)
		return -ENOMEM;
	io.in = io.mem;
	io.out = io.in + io.n_in;
	names = (char *)io.mem + table;
	names = fill(io.in, g, g->inputs, g->n_inputs, names, &io.in_bytes);
	fill(io.out, g, g->outputs, g->n_outputs, names, &io.out_bytes);
	*ret = io;
	return 0;
}

void vt_io_fini(struct vt_io *io)
{
	free(io->mem);
	*io = (struct vt_io){0};
}

/* ---- types ------------------------------------------------------------------------------------ */

static const char *const datatypes[VT_DT_COUNT] = {
	[VT_F32] = "FP32",  [VT_U8] = "UINT8",	[VT_I8] = "INT8",    [VT_U16] = "UINT16",
	[VT_I16] = "INT16", [VT_I32] = "INT32", [VT_I64] = "INT64",  [VT_BOOL] = "BOOL",
	[VT_F16] = "FP16",  [VT_F64] = "FP64",	[VT_U32] = "UINT32", [VT_U64] = "UINT64",
	[VT_BF16] = "BF16",
};

const char *vt_datatype_name(enum vt_dtype t)
{
	return (unsigned int)t < VT_DT_COUNT ? datatypes[t] : NULL;
}

enum vt_dtype vt_datatype_find(const struct vt_json_str *name)
{
	for (int t = VT_DT_NONE + 1; t < VT_DT_COUNT; t++)
		if (vt_json_is(name, datatypes[t]))
			return (enum vt_dtype)t;
	return VT_DT_NONE;
}

bool vt_datatype_in_json(enum vt_dtype t)
{
	return t != VT_F16 && t != VT_BF16;
}

/* ---- reading ---------------------------------------------------------------------------------- */

/* Words for what JSON's numbers lack. */
static bool word_f64(const struct vt_json_str *s, double *ret)
{
	if (vt_json_is(s, "NaN"))
		*ret = NAN;
	else if (vt_json_is(s, "Infinity"))
		*ret = INFINITY;
	else if (vt_json_is(s, "-Infinity"))
		*ret = -INFINITY;
	else
		return false;
	return true;
}

static bool put_int(enum vt_dtype t, const struct vt_number *n, void *dst)
{
	int64_t i = 0;
	uint64_t u = 0;

	switch (t) {
#define SIGNED(e, type, min, max)                                                                  \
	case e:                                                                                    \
		if (!vt_number_i64(n, &i) || i < (min) || i > (max))                               \
			return false;                                                              \
		*(type *)dst = (type)i;                                                            \
		return true;
#define UNSIGNED(e, type, max)                                                                     \
	case e:                                                                                    \
		if (!vt_number_u64(n, &u) || u > (max))                                            \
			return false;                                                              \
		*(type *)dst = (type)u;                                                            \
		return true;
		SIGNED(VT_I8, int8_t, INT8_MIN, INT8_MAX)
		SIGNED(VT_I16, int16_t, INT16_MIN, INT16_MAX)
		SIGNED(VT_I32, int32_t, INT32_MIN, INT32_MAX)
		SIGNED(VT_I64, int64_t, INT64_MIN, INT64_MAX)
		UNSIGNED(VT_U8, uint8_t, UINT8_MAX)
		UNSIGNED(VT_BOOL, uint8_t, 1)
		UNSIGNED(VT_U16, uint16_t, UINT16_MAX)
		UNSIGNED(VT_U32, uint32_t, UINT32_MAX)
		UNSIGNED(VT_U64, uint64_t, UINT64_MAX)
#undef SIGNED
#undef UNSIGNED
	default:
		return false;
	}
}

static bool put_word(enum vt_dtype t, const struct vt_json_str *s, void *dst)
{
	double d;

	if ((t != VT_F32 && t != VT_F64) || !word_f64(s, &d))
		return false;
	if (t == VT_F32)
		*(float *)dst = (float)d;
	else
		*(double *)dst = d;
	return true;
}

static int bad_element(struct vt_json *j, const struct vt_io_tensor *t, size_t i)
{
	char text[96];

	snprintf(text, sizeof(text), "element %zu is no %s that fits", i,
		 vt_datatype_name(t->dtype));
	return vt_json_fail(j, text);
}

static int read_element(struct vt_json *j, const struct vt_io_tensor *t, size_t i, void *dst)
{
	struct vt_number n;
	struct vt_json_str s;
	bool ok = false, b;

	switch (vt_json_peek(j)) {
	case '0':
		if (vt_json_number(j, &n))
			return j->err;
		ok = t->dtype == VT_F32	  ? vt_number_f32(&n, dst)
		     : t->dtype == VT_F64 ? vt_number_f64(&n, dst)
					  : put_int(t->dtype, &n, dst);
		break;
	case '"':
		if (vt_json_string(j, &s))
			return j->err;
		ok = put_word(t->dtype, &s, dst);
		break;
	case 't':
	case 'f':
		if (vt_json_bool(j, &b))
			return j->err;
		ok = t->dtype == VT_BOOL;
		if (ok)
			*(uint8_t *)dst = b;
		break;
	default:
		break;
	}
	return ok ? 0 : bad_element(j, t, i);
}

/*
 * The common case, numbers of a FP32 tensor after one another, without a call for each blank.
 * Returns how many it took; stops before whatever is not a number followed by a comma and another.
 */
static size_t read_run_f32(struct vt_json *j, float *dst, size_t room)
{
	const char *at = j->at, *end = j->end;
	size_t n = 0;

	while (n < room) {
		struct vt_number num;
		const char *next = vt_number_scan(at, end, &num);

		if (!next || next == end || *next != ',' || !vt_number_f32(&num, &dst[n]))
			break;
		at = next + 1;
		if (at < end && *at == ' ')
			at++;
		if (at == end || (*at != '-' && (unsigned char)(*at - '0') > 9))
			break; /* leave this one, its comma too, to the careful reader */
		j->at = at;
		n++;
	}
	return n;
}

static int wrong_count(struct vt_json *j, const struct vt_io_tensor *t)
{
	char text[128], shape[64];

	snprintf(text, sizeof(text),
		 "`data` does not hold the %zu elements of shape %s, flat or nested", t->elems,
		 vt_shape_text(&t->shape, shape, sizeof(shape)));
	return vt_json_fail(j, text);
}

/* Where in the nest of arrays we are. */
struct nest {
	unsigned int depth;
	unsigned int leaf; /* depth at which numbers stand; 0: none seen yet */
	int64_t count[VT_JSON_DEPTH + 1];
};

/* Does an array that ends at this depth hold as many items as the shape says? */
static bool count_fits(const struct nest *at, const struct vt_io_tensor *t)
{
	int rank = t->shape.rank;

	if (at->leaf == 1 || at->leaf == 0)
		return true; /* flat: the sum is checked at the end. Empty: likewise */
	return at->leaf == (unsigned int)rank &&
	       at->count[at->depth] == t->shape.dim[at->depth - 1];
}

static int open_array(struct vt_json *j, struct nest *at)
{
	if (vt_json_array(j))
		return j->err;
	if (++at->depth > VT_JSON_DEPTH)
		return vt_json_fail(j, "nested too deeply");
	at->count[at->depth] = 0;
	return 0;
}

int vt_tensor_read(struct vt_json *j, const struct vt_io_tensor *t, void *dst)
{
	size_t width = vt_dtype_bytes(t->dtype), n = 0;
	struct nest at = {0};
	int more;

	if (open_array(j, &at))
		return j->err;
	while (at.depth) {
		more = vt_json_item(j);
		if (more < 0)
			return more;
		if (!more) {
			if (!count_fits(&at, t))
				return wrong_count(j, t);
			at.depth--;
			continue;
		}
		at.count[at.depth]++;
		if (vt_json_peek(j) == '[') {
			if (open_array(j, &at))
				return j->err;
			continue;
		}
		if (at.leaf && at.leaf != at.depth)
			return wrong_count(j, t);
		at.leaf = at.depth;
		if (t->dtype == VT_F32) {
			size_t run = read_run_f32(j, (float *)dst + n, t->elems - n);

			n += run;
			at.count[at.depth] += (int64_t)run;
		}
		if (n == t->elems)
			return wrong_count(j, t);
		if (read_element(j, t, n, (char *)dst + n * width))
			return j->err;
		n++;
	}
	return n == t->elems ? 0 : wrong_count(j, t);
}

/* ---- writing ---------------------------------------------------------------------------------- */

size_t vt_tensor_text_bound(enum vt_dtype t, size_t elems)
{
	size_t each = t == VT_F32   ? VT_NUMBER_F32_MAX
		      : t == VT_F64 ? VT_NUMBER_F64_MAX
				    : VT_NUMBER_INT_MAX;

	return 2 + elems * (each + 1);
}

static size_t put_float(char *buf, double d, bool narrow)
{
	const char *w = isnan(d) ? "\"NaN\"" : d > 0 ? "\"Infinity\"" : "\"-Infinity\"";

	if (isfinite(d))
		return narrow ? vt_number_put_f32(buf, (float)d) : vt_number_put_f64(buf, d);
	memcpy(buf, w, strlen(w));
	return strlen(w);
}

static size_t put_element(char *buf, enum vt_dtype t, const void *data, size_t i)
{
	bool b;

	switch (t) {
	case VT_F32:
		return put_float(buf, ((const float *)data)[i], true);
	case VT_F64:
		return put_float(buf, ((const double *)data)[i], false);
	case VT_BOOL:
		b = ((const uint8_t *)data)[i];
		memcpy(buf, b ? "true" : "false", b ? 4 : 5);
		return b ? 4 : 5;
	case VT_I8:
		return vt_number_put_i64(buf, ((const int8_t *)data)[i]);
	case VT_I16:
		return vt_number_put_i64(buf, ((const int16_t *)data)[i]);
	case VT_I32:
		return vt_number_put_i64(buf, ((const int32_t *)data)[i]);
	case VT_I64:
		return vt_number_put_i64(buf, ((const int64_t *)data)[i]);
	case VT_U8:
		return vt_number_put_u64(buf, ((const uint8_t *)data)[i]);
	case VT_U16:
		return vt_number_put_u64(buf, ((const uint16_t *)data)[i]);
	case VT_U32:
		return vt_number_put_u64(buf, ((const uint32_t *)data)[i]);
	case VT_U64:
		return vt_number_put_u64(buf, ((const uint64_t *)data)[i]);
	default:
		return 0;
	}
}

size_t vt_tensor_write(char *buf, enum vt_dtype t, const void *data, size_t elems)
{
	size_t at = 0;

	buf[at++] = '[';
	for (size_t i = 0; i < elems; i++) {
		if (i)
			buf[at++] = ',';
		at += put_element(buf + at, t, data, i);
	}
	buf[at++] = ']';
	return at;
}
