// SPDX-License-Identifier: Apache-2.0
/* The value of a TensorProto, wherever its bytes are: raw, in a typed list, in another file. */
#include "model/onnx_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/onnx_block.h"

#define SLACK 64 /* XNNPACK reads whole vectors */

const char *vt_onnx_type_text(int type, char *buf, size_t len)
{
	static const char *const lacking[] = {
		[8] = "string",		 [14] = "complex64",	  [15] = "complex128",
		[17] = "float8e4m3fn",	 [18] = "float8e4m3fnuz", [19] = "float8e5m2",
		[20] = "float8e5m2fnuz", [21] = "uint4",	  [22] = "int4",
		[23] = "float4e2m1",	 [24] = "float8e8m0",	  [25] = "uint2",
		[26] = "int2",
	};
	const enum vt_dtype ours = vt_dtype_from_onnx(type);
	const size_t n = sizeof(lacking) / sizeof(lacking[0]);

	if (ours != VT_DT_NONE)
		snprintf(buf, len, "%s", vt_dtype_name(ours));
	else if (type > 0 && (size_t)type < n && lacking[type])
		snprintf(buf, len, "%s", lacking[type]);
	else
		snprintf(buf, len, "number %d", type);
	return buf;
}

static void free_heap(void *data, size_t bytes)
{
	free(data);
}

/* A field of the TensorProto that holds values of some types, @bytes each, as protobuf-c keeps it. */
struct list {
	void **data;
	size_t *n;
	size_t bytes;
};

static struct list typed_list(Onnx__TensorProto *t, enum vt_dtype dtype)
{
	switch (dtype) {
	case VT_F32:
		return (struct list){(void **)&t->float_data, &t->n_float_data, 4};
	case VT_F64:
		return (struct list){(void **)&t->double_data, &t->n_double_data, 8};
	case VT_I64:
		return (struct list){(void **)&t->int64_data, &t->n_int64_data, 8};
	case VT_U32:
	case VT_U64:
		return (struct list){(void **)&t->uint64_data, &t->n_uint64_data, 8};
	default:
		return (struct list){(void **)&t->int32_data, &t->n_int32_data, 4};
	}
}

static int owned(struct vt_value *v, struct vt_err *e)
{
	v->data = calloc(1, v->bytes + SLACK);
	if (!v->data)
		return vt_fail(e, -ENOMEM, "no memory for %zu bytes of data", v->bytes);
	v->release = free_heap;
	return 0;
}

/* The parser's block becomes the value's where it can. */
static int take_bytes(void **block, struct vt_value *v, struct vt_err *e)
{
	if (v->bytes >= VT_BLOCK_BIG) {
		v->data = *block;
		v->release = vt_block_release;
		*block = NULL;
		return 0;
	}
	if (owned(v, e))
		return -ENOMEM;
	if (v->bytes)
		memcpy(v->data, *block, v->bytes);
	return 0;
}

static int take_raw(Onnx__TensorProto *t, struct vt_value *v, struct vt_err *e)
{
	int err;

	if (t->raw_data.len != v->bytes)
		return vt_fail(e, -EINVAL, "has %zu bytes of data, its type and shape need %zu",
			       t->raw_data.len, v->bytes);
	err = take_bytes((void **)&t->raw_data.data, v, e);
	if (!t->raw_data.data)
		t->raw_data.len = 0;
	return err;
}

static int take_list(Onnx__TensorProto *t, size_t elems, struct vt_value *v, struct vt_err *e)
{
	struct list l = typed_list(t, v->dtype);
	size_t bytes = vt_dtype_bytes(v->dtype);
	int err = 0;

	if (*l.n != elems)
		return vt_fail(e, -EINVAL, "has %zu values, its shape needs %zu", *l.n, elems);
	if (l.bytes == bytes) {
		err = take_bytes(l.data, v, e);
		if (!*l.data)
			*l.n = 0;
		return err;
	}
	err = owned(v, e);
	/* narrower types are kept in the low bytes of wider ones; of those any may make a bool true */
	for (size_t i = 0; !err && i < elems; i++)
		if (v->dtype == VT_BOOL)
			((uint8_t *)v->data)[i] = ((const int32_t *)*l.data)[i] != 0;
		else
			memcpy((char *)v->data + i * bytes, (char *)*l.data + i * l.bytes, bytes);
	return err;
}

static int number(const char *s, uint64_t *ret)
{
	char *end;

	if (!s || *s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	return errno || *end ? -EINVAL : 0;
}

static int take_external(const Onnx__TensorProto *t, const struct vt_onnx_beside *beside,
			 struct vt_value *v, struct vt_err *e)
{
	const char *file = NULL;
	uint64_t off = 0, len = v->bytes;

	for (size_t i = 0; i < t->n_external_data; i++) {
		const char *key = t->external_data[i]->key, *value = t->external_data[i]->value;
		int err = 0;

		if (!key || !value)
			continue;
		if (!strcmp(key, "location"))
			file = value;
		else if (!strcmp(key, "offset"))
			err = number(value, &off);
		else if (!strcmp(key, "length"))
			err = number(value, &len);
		if (err)
			return vt_fail(e, -EINVAL, "external data: %s \"%s\" is not a number", key,
				       value);
	}
	if (!file || !*file)
		return vt_fail(e, -EINVAL, "external data: no location");
	if (len != v->bytes)
		return vt_fail(e, -EINVAL,
			       "external data: length %llu, its type and shape need %zu",
			       (unsigned long long)len, v->bytes);
	if (!beside->dir)
		return vt_fail(e, -EINVAL, "external data \"%s\": this model may not name files",
			       file);
	return vt_onnx_external(beside, file, off, v->bytes, v, e);
}

static int take_shape(const Onnx__TensorProto *t, struct vt_value *v, size_t *elems,
		      struct vt_err *e)
{
	int64_t n;
	char text[32];

	if (t->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__STRING)
		return vt_fail(e, -ENOEXEC, "holds strings, which are not supported");
	v->dtype = vt_dtype_from_onnx(t->data_type);
	if (v->dtype == VT_DT_NONE)
		return vt_fail(e, -ENOEXEC, "has type %s, which is not supported",
			       vt_onnx_type_text(t->data_type, text, sizeof(text)));
	if (t->n_dims > VT_MAX_RANK)
		return vt_fail(e, -ENOEXEC, "has %zu dimensions, at most %d are supported",
			       t->n_dims, VT_MAX_RANK);
	v->shape.rank = (int)t->n_dims;
	for (size_t d = 0; d < t->n_dims; d++) {
		v->shape.dim[d] = t->dims[d];
		if (t->dims[d] < 0)
			return vt_fail(e, -EINVAL, "has dimension %lld", (long long)t->dims[d]);
	}
	n = vt_shape_elems(&v->shape);
	if (n < 0)
		return vt_fail(e, -EOVERFLOW, "has a shape whose product overflows");
	*elems = (size_t)n;
	v->bytes = (size_t)n * vt_dtype_bytes(v->dtype);
	return 0;
}

int vt_onnx_take_tensor(Onnx__TensorProto *t, const struct vt_onnx_beside *beside,
			struct vt_value *ret, struct vt_err *e)
{
	struct vt_value v = {0};
	size_t elems = 0;
	int err = take_shape(t, &v, &elems, e);

	if (err)
		return err;
	if (t->segment)
		return vt_fail(e, -ENOEXEC, "is stored in segments, which are not supported");
	if (t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
		err = take_external(t, beside, &v, e);
	else if (t->has_raw_data)
		err = take_raw(t, &v, e);
	else
		err = take_list(t, elems, &v, e);
	if (err)
		return err;
	vt_bools_normalise(v.dtype, v.data, v.bytes);
	*ret = v;
	return 0;
}

int vt_value_read_pb(struct vt_value *v, const char *path, struct vt_err *e)
{
	static const struct vt_onnx_beside none;
	struct vt_onnx_bytes b;
	ProtobufCMessage *msg;
	int err = vt_onnx_open(path, &b, e);

	if (err)
		return vt_fail_at(e, "%s", path);
	msg = vt_onnx_unpack(&onnx__tensor_proto__descriptor, &b, e);
	err = msg ? vt_onnx_take_tensor((Onnx__TensorProto *)msg, &none, v, e) : -EBADMSG;
	vt_onnx_free(msg);
	vt_onnx_close(&b);
	return err ? vt_fail_at(e, "%s", path) : 0;
}
