// SPDX-License-Identifier: Apache-2.0
/* Graph inputs: their type, and a number for each symbolic dimension. */
#include "model/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct vt_value *value_of(const struct vt_imp *m, const char *name)
{
	return m->o->input_value && name ? m->o->input_value(m->o->arg, name) : NULL;
}

static const Onnx__TypeProto__Tensor *tensor_type(const Onnx__ValueInfoProto *p)
{
	if (!p->type || p->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
		return NULL;
	return p->type->tensor_type;
}

/* The symbol of a dimension; NULL if it is a number or nameless. */
static const char *symbol(const Onnx__TensorShapeProto__Dimension *d)
{
	if (d->value_case != ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM)
		return NULL;
	return d->dim_param && *d->dim_param ? d->dim_param : NULL;
}

static bool known(const Onnx__TensorShapeProto__Dimension *d)
{
	return d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE &&
	       d->dim_value != -1; /* some exporters' way of saying unknown */
}

/* What exporters call the dimension that one request has one of. */
static bool batch_like(const char *name)
{
	static const char *const whole[] = {"n", "b", "bs", "none", "?", NULL};

	for (int i = 0; whole[i]; i++)
		if (!strcasecmp(name, whole[i]))
			return true;
	return strcasestr(name, "batch") || !strncasecmp(name, "unk", 3);
}

/* From --dim NAME=N or --dim INPUT:AXIS=N. */
static bool bound(const struct vt_imp *m, const char *input, int axis, const char *sym,
		  int64_t *ret)
{
	char at[300];

	snprintf(at, sizeof(at), "%.250s:%d", input, axis);
	for (int i = 0; i < m->o->n_dims; i++) {
		const struct vt_dim_binding *b = &m->o->dims[i];

		if (!strcmp(b->name, at) || (sym && !strcmp(b->name, sym))) {
			*ret = b->value;
			return true;
		}
	}
	return false;
}

/* From the shape of a value that the user gave for any input with that symbol. */
static bool measured(const struct vt_imp *m, const char *sym, int64_t *ret)
{
	for (size_t i = 0; sym && i < m->pg->n_input; i++) {
		const Onnx__TypeProto__Tensor *t = tensor_type(m->pg->input[i]);
		const struct vt_value *v =
			t && t->shape ? value_of(m, m->pg->input[i]->name) : NULL;

		for (size_t d = 0; v && d < t->shape->n_dim && d < (size_t)v->shape.rank; d++) {
			const char *s = symbol(t->shape->dim[d]);

			if (s && !strcmp(s, sym)) {
				*ret = v->shape.dim[d];
				return true;
			}
		}
	}
	return false;
}

static int dimension(struct vt_imp *m, const char *input, int axis,
		     const Onnx__TensorShapeProto__Dimension *d, const struct vt_value *v,
		     int64_t *ret)
{
	const char *sym = symbol(d);
	int64_t given;

	if (known(d)) {
		*ret = d->dim_value;
	} else if (v && axis < v->shape.rank) {
		*ret = v->shape.dim[axis];
		if (bound(m, input, axis, sym, &given) && given != *ret)
			return vt_fail(
				m->e, -EINVAL,
				"input \"%.100s\": dimension %d is %lld in its value and %lld by "
				"--dim",
				input, axis, (long long)*ret, (long long)given);
	} else if (!bound(m, input, axis, sym, ret) && !measured(m, sym, ret)) {
		if (axis || (sym && !batch_like(sym)))
			return vt_fail(m->e, -EINVAL,
				       "input \"%.100s\": dimension %d (%.80s) has no size; "
				       "give --dim %.80s%s=N",
				       input, axis, sym ? sym : "nameless", sym ? sym : input,
				       sym	   ? ""
				       : axis == 0 ? ":0"
				       : axis == 1 ? ":1"
						   : ":AXIS");
		*ret = 1;
	}
	if (*ret < 0)
		return vt_fail(m->e, -EINVAL, "input \"%.100s\": dimension %d is %lld", input, axis,
			       (long long)*ret);
	return 0;
}

/* Does a binding name dimension @axis of input @p? Its own name for it, or INPUT:AXIS. */
static bool names(const struct vt_dim_binding *b, const Onnx__ValueInfoProto *p, size_t axis,
		  const Onnx__TensorShapeProto__Dimension *d)
{
	char at[300];

	snprintf(at, sizeof(at), "%.250s:%zu", p->name, axis);
	return !known(d) && ((symbol(d) && !strcmp(symbol(d), b->name)) || !strcmp(at, b->name));
}

static bool names_any(const struct vt_imp *m, const struct vt_dim_binding *b)
{
	for (size_t i = 0; i < m->pg->n_input; i++) {
		const Onnx__TypeProto__Tensor *t = tensor_type(m->pg->input[i]);

		for (size_t d = 0; t && t->shape && m->pg->input[i]->name && d < t->shape->n_dim;
		     d++)
			if (names(b, m->pg->input[i], d, t->shape->dim[d]))
				return true;
	}
	return false;
}

/* A misspelt --dim must not go unnoticed. */
int vt_imp_check_dims(struct vt_imp *m)
{
	for (int i = 0; i < m->o->n_dims; i++) {
		const struct vt_dim_binding *b = &m->o->dims[i];

		if (b->value < 1)
			return vt_fail(m->e, -EINVAL, "--dim %.100s=%lld: a size is 1 or more",
				       b->name, (long long)b->value);
		if (!names_any(m, b))
			return vt_fail(m->e, -EINVAL,
				       "--dim %.100s: no input has a dimension of that name "
				       "without a size",
				       b->name);
	}
	return 0;
}

static int no_tensor(struct vt_imp *m, const Onnx__ValueInfoProto *p)
{
	static const char *const kinds[] = {
		[ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE] = "a sequence",
		[ONNX__TYPE_PROTO__VALUE_MAP_TYPE] = "a map",
		[ONNX__TYPE_PROTO__VALUE_SPARSE_TENSOR_TYPE] = "a sparse tensor",
		[ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE] = "an optional",
	};
	unsigned int k = p->type ? (unsigned int)p->type->value_case : 0;
	const char *kind = k < sizeof(kinds) / sizeof(kinds[0]) ? kinds[k] : NULL;

	if (!kind)
		return vt_fail(m->e, -EINVAL, "input \"%.200s\" has no type", p->name);
	return vt_fail(m->e, -ENOEXEC, "input \"%.200s\" is %s, which is not supported", p->name,
		       kind);
}

static int shape_of(struct vt_imp *m, const Onnx__ValueInfoProto *p,
		    const Onnx__TypeProto__Tensor *t, const struct vt_value *v,
		    struct vt_shape *ret)
{
	char text[160];
	int err = 0;

	if (!t->shape) {
		if (!v)
			return vt_fail(m->e, -EINVAL,
				       "input \"%.100s\" has no shape; give --input %.100s=FILE",
				       p->name, p->name);
		*ret = v->shape;
		return 0;
	}
	if (t->shape->n_dim > VT_MAX_RANK)
		return vt_fail(m->e, -ENOEXEC,
			       "input \"%.200s\" has %zu dimensions, at most %d are supported",
			       p->name, t->shape->n_dim, VT_MAX_RANK);
	ret->rank = (int)t->shape->n_dim;
	for (int d = 0; !err && d < ret->rank; d++)
		err = dimension(m, p->name, d, t->shape->dim[d], v, &ret->dim[d]);
	if (!err && vt_shape_elems(ret) < 0)
		return vt_fail(m->e, -EOVERFLOW, "input \"%.200s\": the shape %s overflows",
			       p->name, vt_shape_text(ret, text, sizeof(text)));
	return err;
}

int vt_imp_input(struct vt_imp *m, struct vt_sym *s)
{
	const Onnx__ValueInfoProto *p = m->pg->input[s->input];
	const Onnx__TypeProto__Tensor *t = tensor_type(p);
	const struct vt_value *v = value_of(m, s->name);
	enum vt_dtype dtype;
	struct vt_shape shape = {0};
	char text[32];
	int err;

	if (!t)
		return no_tensor(m, p);
	dtype = vt_dtype_from_onnx(t->elem_type);
	if (t->elem_type == ONNX__TENSOR_PROTO__DATA_TYPE__STRING)
		return vt_fail(m->e, -ENOEXEC,
			       "input \"%.200s\" holds strings, which are not supported", s->name);
	if (dtype == VT_DT_NONE)
		return vt_fail(m->e, -ENOEXEC,
			       "input \"%.200s\" has type %s, which is not supported", s->name,
			       vt_onnx_type_text(t->elem_type, text, sizeof(text)));
	err = shape_of(m, p, t, v, &shape);
	if (err)
		return err;
	err = vt_graph_add_tensor(m->g, s->name, VT_T_INPUT, dtype, &shape);
	return err < 0 ? vt_fail(m->e, err, "no memory") : err;
}

int vt_imp_input_const(struct vt_imp *m, int tensor)
{
	struct vt_tensor *t = &m->g->tensors[tensor];
	const struct vt_value *v = value_of(m, t->name);
	char a[160], b[160];

	if (!v)
		return -ENODATA;
	if (v->dtype != t->dtype || !vt_shape_equal(&v->shape, &t->shape))
		return vt_imp_bad(m, -EINVAL, "the value given for \"%s\" is %s %s, it takes %s %s",
				  t->name, vt_dtype_name(v->dtype),
				  vt_shape_text(&v->shape, a, sizeof(a)), vt_dtype_name(t->dtype),
				  vt_shape_text(&t->shape, b, sizeof(b)));
	t->data = calloc(1, v->bytes + 64);
	if (!t->data)
		return vt_imp_bad(m, -ENOMEM, "no memory");
	if (v->bytes)
		memcpy(t->data, v->data, v->bytes);
	t->bytes = v->bytes;
	t->release = vt_imp_free;
	t->kind = VT_T_CONST;
	return 0;
}
