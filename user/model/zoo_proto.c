// SPDX-License-Identifier: Apache-2.0
/* zoo_proto.c - the builder's graph as ONNX messages. */
#include "model/zoo_build.h"

#include <stdio.h>
#include <string.h>

#include "onnx/onnx.pb-c.h"

/* A message in the builder's memory, ready for use; @init is protobuf-c's generated initialiser. */
#define NEW(b, type, init) ((type *)new_message(b, sizeof(type), &(const type)init))

static void *new_message(struct vt_zb *b, size_t size, const void *init)
{
	void *m = vt_zb_alloc(b, size);

	if (m)
		memcpy(m, init, size);
	return m;
}

/* protobuf-c has no const strings in its messages; packing only reads them. */
static char *text(const char *s)
{
	union {
		const char *c;
		char *m;
	} u = {.c = s};

	return u.m;
}

/* An array of @n pointers to messages of one size, each a copy of @init. */
static void *new_array(struct vt_zb *b, size_t n, size_t size, const void *init)
{
	void **array = vt_zb_alloc(b, (n + 1) * sizeof(void *));

	for (size_t i = 0; array && i < n; i++) {
		array[i] = new_message(b, size, init);
		if (!array[i])
			return NULL;
	}
	return array;
}

#define NEW_ARRAY(b, n, type, init)                                                                \
	((type **)new_array(b, (size_t)(n), sizeof(type), &(const type)init))

uint64_t vt_zb_bytes(const struct vt_zb_value *v)
{
	uint64_t n = v->dtype == ONNX__TENSOR_PROTO__DATA_TYPE__INT64 ? 8 : 4;

	for (int i = 0; i < v->rank; i++)
		n *= (uint64_t)v->dim[i].n;
	return n;
}

static Onnx__TypeProto *type_of(struct vt_zb *b, const struct vt_zb_value *v)
{
	Onnx__TypeProto *t = NEW(b, Onnx__TypeProto, ONNX__TYPE_PROTO__INIT);
	Onnx__TypeProto__Tensor *tensor =
		NEW(b, Onnx__TypeProto__Tensor, ONNX__TYPE_PROTO__TENSOR__INIT);
	Onnx__TensorShapeProto *shape =
		NEW(b, Onnx__TensorShapeProto, ONNX__TENSOR_SHAPE_PROTO__INIT);
	Onnx__TensorShapeProto__Dimension **dim =
		NEW_ARRAY(b, v->rank, Onnx__TensorShapeProto__Dimension,
			  ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT);

	if (!t || !tensor || !shape || !dim)
		return NULL;
	t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	t->tensor_type = tensor;
	tensor->has_elem_type = 1;
	tensor->elem_type = v->dtype;
	tensor->shape = shape;
	shape->n_dim = (size_t)v->rank;
	shape->dim = dim;
	for (int i = 0; i < v->rank; i++) {
		if (b->dynamic && v->dim[i].sym) {
			dim[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
			dim[i]->dim_param = text(v->dim[i].sym);
		} else {
			dim[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
			dim[i]->dim_value = v->dim[i].n;
		}
	}
	return t;
}

static bool set_value_info(struct vt_zb *b, Onnx__ValueInfoProto *info, vt_zv v)
{
	info->name = text(b->values[v].name);
	info->type = type_of(b, &b->values[v]);
	return info->type != NULL;
}

static void set_attr(Onnx__AttributeProto *a, struct vt_zb_attr *from)
{
	static const Onnx__AttributeProto__AttributeType types[] = {
		[VT_ZB_INT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT,
		[VT_ZB_FLOAT] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT,
		[VT_ZB_STRING] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING,
		[VT_ZB_INTS] = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS,
	};

	a->name = text(from->name);
	a->has_type = 1;
	a->type = types[from->type];
	a->has_i = from->type == VT_ZB_INT;
	a->i = from->i;
	a->has_f = from->type == VT_ZB_FLOAT;
	a->f = from->f;
	a->has_s = from->type == VT_ZB_STRING;
	if (a->has_s)
		a->s = (ProtobufCBinaryData){.len = strlen(from->s),
					     .data = (uint8_t *)text(from->s)};
	a->n_ints = (size_t)from->n;
	a->ints = from->ints;
}

static bool set_node(struct vt_zb *b, Onnx__NodeProto *n, struct vt_zb_node *from)
{
	n->op_type = text(from->op);
	n->name = text(from->name);
	n->n_input = (size_t)from->n_in;
	n->n_output = (size_t)from->n_out;
	n->n_attribute = (size_t)from->n_attr;
	n->input = vt_zb_alloc(b, (n->n_input + 1) * sizeof(char *));
	n->output = vt_zb_alloc(b, (n->n_output + 1) * sizeof(char *));
	n->attribute =
		NEW_ARRAY(b, from->n_attr, Onnx__AttributeProto, ONNX__ATTRIBUTE_PROTO__INIT);
	if (!n->input || !n->output || !n->attribute)
		return false;
	for (int i = 0; i < from->n_in; i++)
		n->input[i] = text(from->in[i] < 0 ? "" : b->values[from->in[i]].name);
	for (int i = 0; i < from->n_out; i++)
		n->output[i] = text(b->values[from->out + i].name);
	for (int i = 0; i < from->n_attr; i++)
		set_attr(n->attribute[i], &from->attr[i]);
	return true;
}

/* The oldest IR version that knows the opset, as exporters choose it. */
static int ir_version(int opset)
{
	static const int by_opset[] = {[8] = 3,	 [9] = 4,  [10] = 5, [11] = 6, [12] = 7,
				       [13] = 7, [14] = 7, [15] = 8, [16] = 8, [17] = 8};

	return by_opset[opset];
}

Onnx__ModelProto *vt_zoo_model_proto(struct vt_zb *b)
{
	Onnx__ModelProto *m = NEW(b, Onnx__ModelProto, ONNX__MODEL_PROTO__INIT);
	Onnx__OperatorSetIdProto **op =
		NEW_ARRAY(b, 1, Onnx__OperatorSetIdProto, ONNX__OPERATOR_SET_ID_PROTO__INIT);

	if (!m || !op)
		return NULL;
	m->has_ir_version = 1;
	m->ir_version = ir_version(b->opset);
	m->producer_name = text("veltair zoo");
	m->producer_version = text(VT_VERSION);
	m->n_opset_import = 1;
	m->opset_import = op;
	op[0]->domain = text("");
	op[0]->has_version = 1;
	op[0]->version = b->opset;
	return m;
}

/* Before IR version 4 every initialiser had to be a graph input as well. */
static bool set_inputs(struct vt_zb *b, Onnx__GraphProto *g)
{
	int extra = ir_version(b->opset) < 4 ? b->n_inits : 0;

	g->n_input = (size_t)(b->n_inputs + extra);
	g->input = NEW_ARRAY(b, g->n_input, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
	if (!g->input)
		return false;
	for (int i = 0; i < b->n_inputs; i++)
		if (!set_value_info(b, g->input[i], b->inputs[i].value))
			return false;
	for (int i = 0; i < extra; i++)
		if (!set_value_info(b, g->input[b->n_inputs + i], b->inits[i].value))
			return false;
	return true;
}

Onnx__GraphProto *vt_zoo_graph_proto(struct vt_zb *b)
{
	Onnx__GraphProto *g = NEW(b, Onnx__GraphProto, ONNX__GRAPH_PROTO__INIT);

	if (!g || !set_inputs(b, g))
		return NULL;
	g->name = text(b->model);
	g->n_node = (size_t)b->n_nodes;
	g->n_output = (size_t)b->n_outputs;
	g->node = NEW_ARRAY(b, b->n_nodes, Onnx__NodeProto, ONNX__NODE_PROTO__INIT);
	g->output = NEW_ARRAY(b, b->n_outputs, Onnx__ValueInfoProto, ONNX__VALUE_INFO_PROTO__INIT);
	if (!g->node || !g->output)
		return NULL;
	for (int i = 0; i < b->n_nodes; i++)
		if (!set_node(b, g->node[i], &b->nodes[i]))
			return NULL;
	for (int i = 0; i < b->n_outputs; i++)
		if (!set_value_info(b, g->output[i], b->outputs[i]))
			return NULL;
	return g;
}

static bool set_external(struct vt_zb *b, Onnx__TensorProto *t, const char *location,
			 uint64_t offset, uint64_t bytes)
{
	static const char *const keys[3] = {"location", "offset", "length"};
	Onnx__StringStringEntryProto **kv = NEW_ARRAY(b, 3, Onnx__StringStringEntryProto,
						      ONNX__STRING_STRING_ENTRY_PROTO__INIT);
	char *num = vt_zb_alloc(b, 64);

	if (!kv || !num)
		return false;
	snprintf(num, 32, "%llu", (unsigned long long)offset);
	snprintf(num + 32, 32, "%llu", (unsigned long long)bytes);
	for (int i = 0; i < 3; i++)
		kv[i]->key = text(keys[i]);
	kv[0]->value = text(location);
	kv[1]->value = num;
	kv[2]->value = num + 32;
	t->n_external_data = 3;
	t->external_data = kv;
	t->has_data_location = 1;
	t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
	return true;
}

Onnx__TensorProto *vt_zoo_tensor_proto(struct vt_zb *b, const struct vt_zb_init *init,
				       const char *location, uint64_t offset)
{
	const struct vt_zb_value *v = &b->values[init->value];
	Onnx__TensorProto *t = NEW(b, Onnx__TensorProto, ONNX__TENSOR_PROTO__INIT);
	int64_t *dims = vt_zb_alloc(b, sizeof(*dims) * VT_ZB_RANK);

	if (!t || !dims)
		return NULL;
	for (int i = 0; i < v->rank; i++)
		dims[i] = v->dim[i].n;
	t->name = text(v->name);
	t->has_data_type = 1;
	t->data_type = v->dtype;
	t->n_dims = (size_t)v->rank;
	t->dims = dims;
	if (location && !set_external(b, t, location, offset, vt_zb_bytes(v)))
		return NULL;
	return t;
}
