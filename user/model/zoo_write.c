// SPDX-License-Identifier: Apache-2.0
/*
 * zoo_write.c - a built graph to files, as a stream.
 *
 * protobuf-c would want the whole graph in memory, 1.3 GB for BERT-large. But a message is the
 * concatenation of its fields: so the graph without initialisers is packed by protobuf-c, and each
 * initialiser follows as one more field 5 whose numbers are made while they are written. Only
 * lengths must be known before, and those follow from the shapes.
 */
#include "model/zoo.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/graph.h"
#include "model/npy.h"
#include "model/zoo_build.h"
#include "onnx/onnx.pb-c.h"

/* Field numbers in onnx.proto of what is written by hand; all are length-delimited. */
enum { MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, TENSOR_RAW_DATA = 9 };

#define CHUNK_FLOATS   (1u << 16)
#define EXTERNAL_BYTES 1024u /* initialisers from this size on may lie outside */
#define EXTERNAL_ALIGN 64u

struct job {
	struct vt_zb *b;
	const struct vt_zoo_opts *o;
	struct vt_err *e;
	Onnx__ModelProto *model;
	Onnx__GraphProto *graph;
	Onnx__TensorProto **tensors; /* one per initialiser, without data */
	float *chunk;
	uint64_t total, done;
	uint64_t model_bytes, data_bytes;
	struct vt_outfile out, data;
};

/* ---- lengths -------------------------------------------------------------------------------- */

static size_t varint(uint64_t v, uint8_t *ret)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		ret[n++] = (uint8_t)(v | 0x80);
	ret[n++] = (uint8_t)v;
	return n;
}

/* Tag and length of a length-delimited field with a number below 16. */
static size_t field_head(int field, uint64_t len, uint8_t *ret)
{
	ret[0] = (uint8_t)(field << 3 | 2);
	return 1 + varint(len, ret + 1);
}

static uint64_t field_bytes(int field, uint64_t len)
{
	uint8_t scratch[16];

	return field_head(field, len, scratch) + len;
}

static uint64_t init_bytes(const struct job *j, int i)
{
	return vt_zb_bytes(&j->b->values[j->b->inits[i].value]);
}

static bool is_external(const struct job *j, int i)
{
	return j->o->external && init_bytes(j, i) >= EXTERNAL_BYTES;
}

static uint64_t tensor_bytes(const struct job *j, int i)
{
	uint64_t n = protobuf_c_message_get_packed_size(&j->tensors[i]->base);

	return is_external(j, i) ? n : n + field_bytes(TENSOR_RAW_DATA, init_bytes(j, i));
}

static uint64_t graph_bytes(const struct job *j)
{
	uint64_t n = protobuf_c_message_get_packed_size(&j->graph->base);

	for (int i = 0; i < j->b->n_inits; i++)
		n += field_bytes(GRAPH_INITIALIZER, tensor_bytes(j, i));
	return n;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

struct sink {
	ProtobufCBuffer base;
	struct job *j;
	int err;
};

static int put(struct job *j, struct vt_outfile *f, const void *data, size_t len)
{
	int err = vt_outfile_put(f, data, len, j->e);

	j->done += len;
	if (!err && j->o->progress && j->o->progress(j->o->arg, j->done, j->total))
		err = vt_fail(j->e, -ECANCELED, "%s: stopped", j->b->model);
	return err;
}

static void sink_append(ProtobufCBuffer *base, size_t len, const uint8_t *data)
{
	struct sink *s = (struct sink *)base;

	if (!s->err) {
		s->err = vt_outfile_put(&s->j->out, data, len, s->j->e);
		s->j->done += len;
	}
}

static int put_message(struct job *j, const ProtobufCMessage *m)
{
	struct sink s = {.base = {.append = sink_append}, .j = j};

	protobuf_c_message_pack_to_buffer(m, &s.base);
	return s.err;
}

static int put_head(struct job *j, int field, uint64_t len)
{
	uint8_t head[16];

	return put(j, &j->out, head, field_head(field, len, head));
}

static int put_numbers(struct job *j, struct vt_outfile *f, const struct vt_zb_init *init)
{
	const struct vt_zb_value *v = &j->b->values[init->value];
	uint64_t n = vt_zb_bytes(v) / sizeof(float), row = (uint64_t)init->zero_rows;
	uint64_t state = vt_zoo_seed(j->o->seed, j->b->model, v->name);
	uint64_t step = row ? CHUNK_FLOATS / row * row : CHUNK_FLOATS;
	int err = 0;

	if (init->fill != VT_ZF_NORMAL)
		return put(j, f, init->given, vt_zb_bytes(v));
	for (uint64_t i = 0; i < n && !err; i += step) {
		size_t part = n - i < step ? n - i : step;

		vt_zoo_fill_normal(&state, j->chunk, part, init->a, init->b, row);
		err = put(j, f, j->chunk, part * sizeof(float));
	}
	return err;
}

static int put_model(struct job *j)
{
	int err = put_message(j, &j->model->base);

	if (!err)
		err = put_head(j, MODEL_GRAPH, graph_bytes(j));
	if (!err)
		err = put_message(j, &j->graph->base);
	for (int i = 0; i < j->b->n_inits && !err; i++) {
		err = put_head(j, GRAPH_INITIALIZER, tensor_bytes(j, i));
		if (!err)
			err = put_message(j, &j->tensors[i]->base);
		if (err || is_external(j, i))
			continue;
		err = put_head(j, TENSOR_RAW_DATA, init_bytes(j, i));
		if (!err)
			err = put_numbers(j, &j->out, &j->b->inits[i]);
	}
	return err;
}

static uint64_t aligned(uint64_t n)
{
	return (n + EXTERNAL_ALIGN - 1) / EXTERNAL_ALIGN * EXTERNAL_ALIGN;
}

static int put_external(struct job *j)
{
	static const char zeros[EXTERNAL_ALIGN];
	int err = 0;

	for (int i = 0; i < j->b->n_inits && !err; i++) {
		uint64_t gap = aligned(j->data.bytes) - j->data.bytes;

		if (!is_external(j, i))
			continue;
		err = put(j, &j->data, zeros, gap);
		if (!err)
			err = put_numbers(j, &j->data, &j->b->inits[i]);
	}
	return err;
}

/* ---- the job -------------------------------------------------------------------------------- */

/* Build the graph and its messages, and know every length. */
static int prepare(struct job *j, const struct vt_zoo_model *m, const struct vt_zoo_opts *o)
{
	struct vt_zb *b = j->b;
	char *location;

	j->o = o;
	vt_zb_init(b, m->name, m->opset, o->dynamic);
	m->build(b, m->spec);
	location = vt_zb_alloc(b, strlen(m->name) + sizeof(".onnx.data"));
	j->tensors = vt_zb_alloc(b, ((size_t)b->n_inits + 1) * sizeof(*j->tensors));
	if (b->err.code || !location || !j->tensors)
		return vt_fail(j->e, b->err.code, "%s", b->err.msg);
	strcat(strcpy(location, m->name), ".onnx.data");
	j->model = vt_zoo_model_proto(b);
	j->graph = vt_zoo_graph_proto(b);
	for (int i = 0; i < b->n_inits && !b->err.code; i++) {
		bool outside = is_external(j, i);

		if (outside)
			j->data_bytes = aligned(j->data_bytes);
		j->tensors[i] = vt_zoo_tensor_proto(b, &b->inits[i], outside ? location : NULL,
						    j->data_bytes);
		if (outside)
			j->data_bytes += init_bytes(j, i);
	}
	if (b->err.code || !j->model || !j->graph)
		return vt_fail(j->e, b->err.code ? b->err.code : -ENOMEM, "%s", b->err.msg);
	j->model_bytes = protobuf_c_message_get_packed_size(&j->model->base) +
			 field_bytes(MODEL_GRAPH, graph_bytes(j));
	j->total = j->model_bytes + j->data_bytes;
	/* The limit of protobuf itself; other readers refuse what is larger. */
	if (j->model_bytes > INT32_MAX)
		return vt_fail(j->e, -EFBIG, "%s: more than 2 GiB in one message", m->name);
	return 0;
}

static void describe(const struct job *j, struct vt_zoo_info *ret)
{
	if (ret)
		*ret = (struct vt_zoo_info){.bytes = j->total,
					    .params = j->b->params,
					    .macs = j->b->macs,
					    .nodes = (unsigned int)j->b->n_nodes};
}

int vt_zoo_describe(const struct vt_zoo_model *m, const struct vt_zoo_opts *o,
		    struct vt_zoo_info *ret, struct vt_err *e)
{
	struct vt_zb b;
	struct job j = {.b = &b, .e = e};
	int err = prepare(&j, m, o);

	if (!err)
		describe(&j, ret);
	vt_zb_fini(&b);
	return err;
}

static int write_inputs(struct job *j, const char *dir)
{
	int err = 0;

	for (int i = 0; i < j->b->n_inputs && !err; i++) {
		const struct vt_zb_input *in = &j->b->inputs[i];
		const struct vt_zb_value *v = &j->b->values[in->value];
		struct vt_value val = {.dtype = vt_dtype_from_onnx(v->dtype),
				       .shape = {.rank = v->rank},
				       .bytes = vt_zb_bytes(v)};
		char path[PATH_MAX];

		for (int d = 0; d < v->rank; d++)
			val.shape.dim[d] = v->dim[d].n;
		snprintf(path, sizeof(path), "%s/%s.%s.npy", dir, j->b->model, v->name);
		val.data = malloc(val.bytes);
		if (!val.data)
			return vt_fail(j->e, -ENOMEM, "%s: out of memory", path);
		vt_zoo_fill_input(j->b, in, j->o->seed, val.data);
		err = vt_npy_write(path, &val, j->e);
		free(val.data);
	}
	return err;
}

/* The data file first: a model that is there has its data. */
static int write_model(struct job *j, const char *path, const char *data_path)
{
	int err = 0;

	j->data.fd = j->out.fd = -1;
	if (j->data_bytes) {
		err = vt_outfile_open(&j->data, data_path, j->data_bytes, j->e);
		if (!err)
			err = put_external(j);
	}
	if (!err)
		err = vt_outfile_open(&j->out, path, j->model_bytes, j->e);
	if (!err)
		err = put_model(j);
	if (!err && j->data_bytes)
		err = vt_outfile_commit(&j->data, j->e);
	if (!err)
		err = vt_outfile_commit(&j->out, j->e);
	vt_outfile_abort(&j->data);
	vt_outfile_abort(&j->out);
	return err;
}

int vt_zoo_write(const struct vt_zoo_model *m, const char *dir, const struct vt_zoo_opts *o,
		 struct vt_zoo_info *ret, struct vt_err *e)
{
	char path[PATH_MAX], data_path[PATH_MAX + 8];
	struct vt_zb b;
	struct job j = {.b = &b, .e = e};
	int err = prepare(&j, m, o);

	if (!err && snprintf(path, sizeof(path), "%s/%s.onnx", dir, m->name) >= (int)sizeof(path))
		err = vt_fail(e, -ENAMETOOLONG, "%s: path too long", dir);
	if (!err) {
		snprintf(data_path, sizeof(data_path), "%s.data", path);
		j.chunk = malloc(CHUNK_FLOATS * sizeof(float));
		err = j.chunk ? write_model(&j, path, data_path)
			      : vt_fail(e, -ENOMEM, "%s: out of memory", path);
	}
	if (!err && o->inputs)
		err = write_inputs(&j, dir);
	if (!err)
		describe(&j, ret);
	free(j.chunk);
	vt_zb_fini(&b);
	return err;
}
