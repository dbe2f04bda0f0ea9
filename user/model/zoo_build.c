// SPDX-License-Identifier: Apache-2.0
#include "model/zoo_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx/onnx.pb-c.h"

#define F32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define I64 ONNX__TENSOR_PROTO__DATA_TYPE__INT64

#define CHUNK_BYTES 65536

struct vt_zb_chunk {
	struct vt_zb_chunk *next;
	size_t used, size;
	_Alignas(16) unsigned char mem[];
};

void vt_zb_init(struct vt_zb *b, const char *model, int opset, bool dynamic)
{
	*b = (struct vt_zb){.model = model, .opset = opset, .dynamic = dynamic};
}

void vt_zb_fini(struct vt_zb *b)
{
	for (struct vt_zb_chunk *c = b->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(b->values);
	free(b->nodes);
	free(b->inits);
	*b = (struct vt_zb){0};
}

void *vt_zb_alloc(struct vt_zb *b, size_t bytes)
{
	struct vt_zb_chunk *c = b->chunks;
	void *p;

	bytes = (bytes + 15) & ~(size_t)15;
	if (!c || c->size - c->used < bytes) {
		size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;

		c = calloc(1, sizeof(*c) + size);
		if (!c) {
			vt_fail(&b->err, -ENOMEM, "%s: out of memory", b->model);
			return NULL;
		}
		c->size = size;
		c->next = b->chunks;
		b->chunks = c;
	}
	p = c->mem + c->used;
	c->used += bytes;
	return p;
}

/* Room for @more elements at the end of an array that doubles; false after an error. */
static bool grow(struct vt_zb *b, void **array, int n, int more, int *cap, size_t elem)
{
	int want = *cap ? *cap : 64;
	void *p;

	if (b->err.code)
		return false;
	while (want < n + more)
		want *= 2;
	if (want == *cap)
		return true;
	p = realloc(*array, (size_t)want * elem);
	if (!p) {
		vt_fail(&b->err, -ENOMEM, "%s: out of memory", b->model);
		return false;
	}
	*array = p;
	*cap = want;
	return true;
}

size_t vt_zb_push(struct vt_zb *b, const char *fmt, ...)
{
	size_t mark = strlen(b->scope);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(b->scope + mark, sizeof(b->scope) - mark, fmt, ap);
	va_end(ap);
	if (n < 0 || mark + (size_t)n + 1 >= sizeof(b->scope)) {
		vt_fail(&b->err, -EOVERFLOW, "%s: name scope too deep", b->model);
		b->scope[mark] = '\0';
		return mark;
	}
	strcpy(b->scope + mark + (size_t)n, ".");
	return mark;
}

void vt_zb_pop(struct vt_zb *b, size_t mark)
{
	b->scope[mark] = '\0';
}

/* "SCOPE.name" in the builder's memory. */
static const char *scoped(struct vt_zb *b, const char *name)
{
	size_t len = strlen(b->scope) + strlen(name) + 1;
	char *s = vt_zb_alloc(b, len);

	if (s)
		snprintf(s, len, "%s%s", b->scope, name);
	return s;
}

struct vt_zb_value *vt_zb_at(struct vt_zb *b, vt_zv v)
{
	if (v >= 0 && v < b->n_values)
		return &b->values[v];
	b->scratch = (struct vt_zb_value){.name = "?", .rank = 4};
	return &b->scratch;
}

static vt_zv add_value(struct vt_zb *b, const char *name, int dtype)
{
	if (!name ||
	    !grow(b, (void **)&b->values, b->n_values, 1, &b->cap_values, sizeof(b->values[0])))
		return VT_ZV_NONE;
	b->values[b->n_values] = (struct vt_zb_value){.name = name, .dtype = dtype};
	return b->n_values++;
}

vt_zv vt_zb_add_input(struct vt_zb *b, const char *name, int dtype, int rank,
		      const struct vt_zb_dim *dim, enum vt_zb_input_kind kind, int64_t limit)
{
	vt_zv v = add_value(b, scoped(b, name), dtype);
	struct vt_zb_value *val = vt_zb_at(b, v);

	if (v < 0)
		return v;
	val->rank = rank;
	memcpy(val->dim, dim, (size_t)rank * sizeof(*dim));
	val->m2 = 1;
	b->inputs[b->n_inputs++] = (struct vt_zb_input){.value = v, .kind = kind, .limit = limit};
	return v;
}

void vt_zb_add_output(struct vt_zb *b, vt_zv v, const char *name)
{
	/* Nodes name values by index, so a value may take its public name late. */
	vt_zb_at(b, v)->name = scoped(b, name);
	b->outputs[b->n_outputs++] = v;
}

static vt_zv add_init(struct vt_zb *b, const char *name, int dtype, int rank, const int64_t *dim,
		      struct vt_zb_init init)
{
	vt_zv v = add_value(b, scoped(b, name), dtype);
	struct vt_zb_value *val = vt_zb_at(b, v);

	if (v < 0 ||
	    !grow(b, (void **)&b->inits, b->n_inits, 1, &b->cap_inits, sizeof(b->inits[0])))
		return VT_ZV_NONE;
	val->rank = rank;
	for (int i = 0; i < rank; i++)
		val->dim[i] = (struct vt_zb_dim){.n = dim[i]};
	init.value = v;
	b->inits[b->n_inits++] = init;
	return v;
}

vt_zv vt_zb_weight(struct vt_zb *b, const char *name, int rank, const int64_t *dim, double mean,
		   double sd, int64_t zero_rows)
{
	struct vt_zb_init init = {.fill = VT_ZF_NORMAL, .a = mean, .b = sd, .zero_rows = zero_rows};
	vt_zv v = add_init(b, name, F32, rank, dim, init);
	struct vt_zb_value *val = vt_zb_at(b, v);
	uint64_t n = 1;

	for (int i = 0; i < rank; i++)
		n *= (uint64_t)dim[i];
	b->params += n;
	val->mean = mean;
	val->m2 = mean * mean + sd * sd;
	return v;
}

vt_zv vt_zb_ints(struct vt_zb *b, const char *name, const int64_t *v, int n)
{
	int64_t dim = n < 0 ? 1 : n, *copy = vt_zb_alloc(b, (size_t)dim * sizeof(*v));

	if (!copy)
		return VT_ZV_NONE;
	memcpy(copy, v, (size_t)dim * sizeof(*v));
	return add_init(b, name, I64, n < 0 ? 0 : 1, &dim,
			(struct vt_zb_init){.fill = VT_ZF_INTS, .given = copy});
}

vt_zv vt_zb_float(struct vt_zb *b, const char *name, float v)
{
	float *copy = vt_zb_alloc(b, sizeof(v));
	vt_zv r;

	if (!copy)
		return VT_ZV_NONE;
	*copy = v;
	r = add_init(b, name, F32, 0, NULL,
		     (struct vt_zb_init){.fill = VT_ZF_FLOATS, .given = copy});
	vt_zb_at(b, r)->mean = (double)v;
	vt_zb_at(b, r)->m2 = (double)v * (double)v;
	return r;
}

static bool copy_node(struct vt_zb *b, struct vt_zb_node *n, const vt_zv *in,
		      const struct vt_zb_attr *attr)
{
	n->in = vt_zb_alloc(b, (size_t)n->n_in * sizeof(*in) + 1);
	n->attr = vt_zb_alloc(b, (size_t)n->n_attr * sizeof(*attr) + 1);
	if (!n->name || !n->in || !n->attr)
		return false;
	if (n->n_in)
		memcpy(n->in, in, (size_t)n->n_in * sizeof(*in));
	if (n->n_attr)
		memcpy(n->attr, attr, (size_t)n->n_attr * sizeof(*attr));
	return true;
}

vt_zv vt_zb_node(struct vt_zb *b, const char *op, const char *name, const vt_zv *in, int n_in,
		 int n_out, const struct vt_zb_attr *attr, int n_attr)
{
	struct vt_zb_node n = {
		.op = op,
		.name = scoped(b, name),
		.n_in = n_in,
		.n_out = n_out,
		.n_attr = n_attr,
		.out = b->n_values,
	};

	if (!copy_node(b, &n, in, attr) ||
	    !grow(b, (void **)&b->nodes, b->n_nodes, 1, &b->cap_nodes, sizeof(b->nodes[0])))
		return VT_ZV_NONE;
	for (int i = 0; i < n_out; i++) {
		char out[96];
		struct vt_zb_value val;

		snprintf(out, sizeof(out), n_out > 1 ? "%.80s:%d" : "%.80s", name, i);
		if (add_value(b, scoped(b, out), F32) < 0)
			return VT_ZV_NONE;
		val = *vt_zb_at(b, n_in ? in[0] : VT_ZV_NONE);
		val.name = b->values[b->n_values - 1].name;
		b->values[b->n_values - 1] = val;
	}
	b->nodes[b->n_nodes++] = n;
	return n.out;
}

vt_zv vt_zb_op1(struct vt_zb *b, const char *op, const char *name, vt_zv x)
{
	return vt_zb_node(b, op, name, &x, 1, 1, NULL, 0);
}

vt_zv vt_zb_op2(struct vt_zb *b, const char *op, const char *name, vt_zv x, vt_zv y)
{
	vt_zv in[2] = {x, y};

	return vt_zb_node(b, op, name, in, 2, 1, NULL, 0);
}
