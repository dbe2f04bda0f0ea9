// SPDX-License-Identifier: Apache-2.0
#include "onnx_text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/onnx.pb-c.h"

#define MOST 64 /* of anything in one model */

/* Everything a model points to lives here until it is packed. */
struct arena {
	char bytes[1 << 18];
	size_t used;
};

struct parser {
	struct arena *a;
	Onnx__GraphProto *g;
	const char *at;
	bool bad;
};

static void *make(struct parser *p, size_t bytes)
{
	size_t at = (p->a->used + 15) & ~(size_t)15;

	if (at + bytes > sizeof(p->a->bytes))
		abort();
	p->a->used = at + bytes;
	return memset(p->a->bytes + at, 0, bytes);
}

static char peek(struct parser *p)
{
	while (isspace((unsigned char)*p->at))
		p->at++;
	return *p->at;
}

static bool take(struct parser *p, char c)
{
	if (peek(p) != c)
		return false;
	p->at++;
	return true;
}

static char *word(struct parser *p)
{
	size_t n;
	char *w;

	peek(p);
	n = strcspn(p->at, " \t\n,;()=[]");
	w = make(p, n + 1);
	memcpy(w, p->at, n);
	p->at += n;
	p->bad |= !n;
	return w;
}

static int type_of(const char *w)
{
	static const struct {
		const char *name;
		int type;
	} types[] = {{"f32", 1}, {"u8", 2}, {"i8", 3},	 {"i32", 6}, {"i64", 7},
		     {"str", 8}, {"b", 9},  {"f64", 11}, {"f8", 17}, {"i4", 22}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].name, w))
			return types[i].type;
	return 0;
}

static bool more(struct parser *p)
{
	return peek(p) && *p->at != ';' && *p->at != '=';
}

static Onnx__ValueInfoProto *value_info(struct parser *p)
{
	Onnx__ValueInfoProto *v = make(p, sizeof(*v));
	Onnx__TypeProto *type = make(p, sizeof(*type));
	Onnx__TypeProto__Tensor *t = make(p, sizeof(*t));
	Onnx__TensorShapeProto *s = make(p, sizeof(*s));

	onnx__value_info_proto__init(v);
	v->name = word(p);
	if (!more(p))
		return v;
	onnx__type_proto__init(type);
	onnx__type_proto__tensor__init(t);
	onnx__tensor_shape_proto__init(s);
	v->type = type;
	type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
	type->tensor_type = t;
	t->has_elem_type = 1;
	t->elem_type = type_of(word(p));
	t->shape = s;
	s->dim = make(p, MOST * sizeof(*s->dim));
	while (more(p)) {
		Onnx__TensorShapeProto__Dimension *d = make(p, sizeof(*d));
		char *w = word(p), *end;

		onnx__tensor_shape_proto__dimension__init(d);
		d->dim_value = strtoll(w, &end, 10);
		d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
		if (*end && strcmp(w, "?")) {
			d->dim_param = w;
			d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
		} else if (*end) {
			d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET;
		}
		s->dim[s->n_dim++] = d;
		take(p, ',');
	}
	return v;
}

static size_t element(uint8_t *at, int type, const char *w)
{
	union {
		float f;
		double d;
		int64_t i64;
		int32_t i32;
		uint8_t u8;
	} v = {0};
	size_t n = type == 1 || type == 6 ? 4 : type == 7 || type == 11 ? 8 : 1;

	if (type == 1)
		v.f = strtof(w, NULL);
	else if (type == 11)
		v.d = strtod(w, NULL);
	else
		v.i64 = strtoll(w, NULL, 10); /* little-endian: also fills the narrower ones */
	memcpy(at, &v, n);
	return n;
}

/* NAME TYPE DIMENSIONS: a tensor without values as yet */
static Onnx__TensorProto *named(struct parser *p)
{
	Onnx__TensorProto *t = make(p, sizeof(*t));

	onnx__tensor_proto__init(t);
	t->name = word(p);
	t->has_data_type = 1;
	t->data_type = type_of(word(p));
	t->dims = make(p, MOST * sizeof(*t->dims));
	while (more(p)) {
		t->dims[t->n_dims++] = strtoll(word(p), NULL, 10);
		take(p, ',');
	}
	return t;
}

static Onnx__TensorProto *tensor(struct parser *p)
{
	Onnx__TensorProto *t = named(p);
	size_t bytes = 0, elems = 1;
	uint8_t *raw = make(p, 4096);

	for (size_t d = 0; d < t->n_dims; d++)
		elems *= (size_t)t->dims[d];
	if (take(p, '='))
		while (more(p) && bytes < 4000) {
			bytes += element(raw + bytes, t->data_type, word(p));
			take(p, ',');
		}
	else if (elems < 500)
		bytes = elems * element(raw, t->data_type, "0");
	t->has_raw_data = 1;
	t->raw_data.data = raw;
	t->raw_data.len = bytes;
	return t;
}

/* list w b 3 = 256,0,1: the same numbers, each in an int32 of its own */
static Onnx__TensorProto *list(struct parser *p)
{
	Onnx__TensorProto *t = named(p);

	t->int32_data = make(p, MOST * sizeof(*t->int32_data));
	if (take(p, '='))
		while (more(p) && t->n_int32_data < MOST) {
			t->int32_data[t->n_int32_data++] = (int32_t)strtoll(word(p), NULL, 10);
			take(p, ',');
		}
	return t;
}

/* extern w f32 2,3 = file,offset,length: a tensor that lies in a file; either number may be left
 * out */
static Onnx__TensorProto *external(struct parser *p)
{
	static const char *const keys[] = {"location", "offset", "length"};
	Onnx__TensorProto *t = named(p);

	p->bad |= !take(p, '=');
	t->external_data = make(p, 3 * sizeof(*t->external_data));
	while (more(p) && t->n_external_data < 3) {
		Onnx__StringStringEntryProto *s = make(p, sizeof(*s));

		onnx__string_string_entry_proto__init(s);
		s->key = (char *)keys[t->n_external_data];
		s->value = word(p);
		t->external_data[t->n_external_data++] = s;
		take(p, ',');
	}
	t->has_data_location = 1;
	t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
	return t;
}

static Onnx__AttributeProto *attribute(struct parser *p)
{
	Onnx__AttributeProto *a = make(p, sizeof(*a));
	bool floats;
	char *w;

	onnx__attribute_proto__init(a);
	a->name = word(p);
	p->bad |= !take(p, '=');
	if (take(p, '[')) {
		a->ints = make(p, MOST * sizeof(*a->ints));
		a->floats = make(p, MOST * sizeof(*a->floats));
		while (!take(p, ']') && !p->bad) {
			w = word(p);
			if (strchr(w, '.'))
				a->floats[a->n_floats++] = strtof(w, NULL);
			else
				a->ints[a->n_ints++] = strtoll(w, NULL, 10);
			take(p, ',');
		}
		return a;
	}
	w = word(p);
	floats = strchr(w, '.') != NULL;
	if (*w == '~') {
		a->has_type = 1;
		a->type = floats ? ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
				 : ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
	} else if (isdigit((unsigned char)*w) || *w == '-') {
		a->has_f = floats;
		a->has_i = !floats;
		a->f = strtof(w, NULL);
		a->i = strtoll(w, NULL, 10);
	} else {
		a->has_s = 1;
		a->s.data = (uint8_t *)w;
		a->s.len = strlen(w);
	}
	return a;
}

/* a, b = Op(x, y) attributes */
static Onnx__NodeProto *node(struct parser *p)
{
	Onnx__NodeProto *n = make(p, sizeof(*n));

	onnx__node_proto__init(n);
	n->input = make(p, MOST * sizeof(*n->input));
	n->output = make(p, MOST * sizeof(*n->output));
	n->attribute = make(p, MOST * sizeof(*n->attribute));
	do
		n->output[n->n_output++] = word(p);
	while (take(p, ','));
	p->bad |= !take(p, '=');
	n->op_type = word(p);
	p->bad |= !take(p, '(');
	while (!take(p, ')') && !p->bad) {
		char *w = word(p);

		n->input[n->n_input++] = strcmp(w, "-") ? w : make(p, 1);
		take(p, ',');
	}
	while (more(p) && !p->bad)
		n->attribute[n->n_attribute++] = attribute(p);
	return n;
}

static void statement(struct parser *p)
{
	const char *start = p->at;
	char *w = word(p);

	if (!strcmp(w, "in")) {
		p->g->input[p->g->n_input++] = value_info(p);
	} else if (!strcmp(w, "out")) {
		p->g->output[p->g->n_output++] = value_info(p);
	} else if (!strcmp(w, "const")) {
		p->g->initializer[p->g->n_initializer++] = tensor(p);
	} else if (!strcmp(w, "list")) {
		p->g->initializer[p->g->n_initializer++] = list(p);
	} else if (!strcmp(w, "extern")) {
		p->g->initializer[p->g->n_initializer++] = external(p);
	} else {
		p->at = start;
		p->g->node[p->g->n_node++] = node(p);
	}
	p->bad |= !take(p, ';') && peek(p);
}

uint8_t *vt_onnx_text(const char *text, int opset, size_t *len)
{
	Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
	Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
	Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets[] = {&set};
	struct parser p = {calloc(1, sizeof(struct arena)), &g, text, false};
	uint8_t *buf = NULL;

	if (!p.a)
		return NULL;
	g.name = "text";
	g.node = make(&p, MOST * sizeof(*g.node));
	g.input = make(&p, MOST * sizeof(*g.input));
	g.output = make(&p, MOST * sizeof(*g.output));
	g.initializer = make(&p, MOST * sizeof(*g.initializer));
	model.has_ir_version = 1;
	model.ir_version = 8;
	model.graph = &g;
	set.has_version = 1;
	set.version = opset;
	model.opset_import = sets;
	model.n_opset_import = 1;
	while (peek(&p) && !p.bad)
		statement(&p);
	if (!p.bad) {
		*len = onnx__model_proto__get_packed_size(&model);
		buf = malloc(*len);
		if (buf)
			onnx__model_proto__pack(&model, buf);
	}
	free(p.a);
	return buf;
}
