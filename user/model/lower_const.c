// SPDX-License-Identifier: Apache-2.0
/* Lowerings: values that are known from attributes, shapes and constant operands alone. */
#include "model/import.h"

#include <math.h>
#include <string.h>

#define MAX_RANGE 0x1p40 /* elements of a Range */

/* Shape, or a part of it from opset 15 on. */
int vt_lower_shape(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	int64_t start = vt_imp_int(n, "start", 0), end = vt_imp_int(n, "end", s.rank);

	start = start < 0 ? start + s.rank : start;
	end = end < 0 ? end + s.rank : end;
	start = start < 0 ? 0 : start > s.rank ? s.rank : start;
	end = end < start ? start : end > s.rank ? s.rank : end;
	return vt_imp_set(m, n, 0, vt_imp_list(m, s.dim + start, (int)(end - start)));
}

int vt_lower_size(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t elems = vt_shape_elems(vt_imp_shape(m, n->in[0]));
	int t = vt_imp_list(m, &elems, 1);

	return vt_imp_set(m, n, 0, t < 0 ? t : vt_imp_reshape(m, t, &(struct vt_shape){0}));
}

/* A TensorProto in an attribute, as a constant of the graph. */
static int attr_tensor(struct vt_imp *m, const Onnx__AttributeProto *a, const char *name)
{
	struct vt_value v = {0};
	int t;

	if (!a->t)
		return vt_imp_bad(m, -EINVAL, "%s holds no tensor", name);
	if (vt_onnx_take_tensor(a->t, &m->beside, &v, m->e))
		return vt_fail_at(m->e, "node \"%.100s\" (%.40s): %s", m->node->name,
				  m->node->p->op_type, name);
	t = vt_graph_add_tensor(m->g, m->node->name, VT_T_CONST, v.dtype, &v.shape);
	if (t < 0) {
		vt_value_fini(&v);
		return vt_imp_bad(m, t, "no memory");
	}
	m->g->tensors[t].data = v.data;
	m->g->tensors[t].bytes = v.bytes;
	m->g->tensors[t].release = v.release;
	m->g->weights_bytes += v.bytes;
	return t;
}

static int float_list(struct vt_imp *m, const Onnx__AttributeProto *a)
{
	struct vt_shape s = {1, {(int64_t)a->n_floats}};
	int t = vt_imp_const(m, VT_F32, &s);

	if (t >= 0 && a->n_floats)
		memcpy(m->g->tensors[t].data, a->floats, a->n_floats * sizeof(float));
	return t;
}

int vt_lower_constant(struct vt_imp *m, const struct vt_imp_node *n)
{
	const Onnx__AttributeProto *a;
	int t;

	if ((a = vt_imp_attr(n, "value")))
		return vt_imp_set(m, n, 0, attr_tensor(m, a, "value"));
	if ((a = vt_imp_attr(n, "value_float")))
		return vt_imp_set(m, n, 0, vt_imp_scalar(m, VT_F32, a->f));
	if ((a = vt_imp_attr(n, "value_floats")))
		return vt_imp_set(m, n, 0, float_list(m, a));
	if ((a = vt_imp_attr(n, "value_ints")))
		return vt_imp_set(m, n, 0,
				  a->n_ints > INT32_MAX ? -EOVERFLOW
							: vt_imp_list(m, a->ints, (int)a->n_ints));
	if ((a = vt_imp_attr(n, "value_int"))) {
		t = vt_imp_list(m, &a->i, 1);
		return vt_imp_set(m, n, 0, t < 0 ? t : vt_imp_reshape(m, t, &(struct vt_shape){0}));
	}
	return vt_imp_bad(m, -ENOEXEC, "has no value, or one that is a string or sparse");
}

/* A scalar repeated: a constant if that stays in proportion, otherwise written at each run. */
int vt_lower_constant_of_shape(struct vt_imp *m, const struct vt_imp_node *n)
{
	const Onnx__AttributeProto *a = vt_imp_attr(n, "value");
	int64_t dim[VT_MAX_RANK];
	int rank = vt_imp_values(m, n, 0, dim, VT_MAX_RANK), one;
	struct vt_shape s;

	if (rank < 0)
		return rank;
	s = vt_shape_of(rank, dim);
	for (int d = 0; d < rank; d++)
		if (dim[d] < 0)
			return vt_imp_bad(m, -EINVAL, "its shape has dimension %lld",
					  (long long)dim[d]);
	one = a ? attr_tensor(m, a, "value") : vt_imp_scalar(m, VT_F32, 0);
	if (one >= 0 && vt_shape_elems(vt_imp_shape(m, one)) != 1)
		return vt_imp_bad(m, -EINVAL, "value must have one element");
	one = vt_imp_reshape(m, one, &(struct vt_shape){0});
	return vt_imp_set(m, n, 0, vt_imp_expand(m, one, &s));
}

int vt_lower_eye_like(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	int64_t k = vt_imp_int(n, "k", 0);
	int to = vt_imp_type(m, n, "dtype"), t;

	if (to < 0)
		return to;
	if (s.rank != 2)
		return vt_imp_bad(m, -EINVAL, "needs a matrix");
	t = vt_imp_const(m, to ? (enum vt_dtype)to : vt_imp_dtype(m, n->in[0]), &s);
	if (t < 0)
		return t;
	for (int64_t i = 0; i < s.dim[0]; i++) {
		int64_t j;

		if (!__builtin_add_overflow(i, k, &j) && j >= 0 && j < s.dim[1])
			vt_imp_put(&m->g->tensors[t], i * s.dim[1] + j, 1);
	}
	return vt_imp_set(m, n, 0, t);
}

/* How many values from @start on lie before @limit; -1: no sensible number. */
static int64_t range_count(double start, double limit, double step)
{
	const double count = ceil((limit - start) / step);

	return !step || !(fabs(count) < MAX_RANGE) ? -1 : count > 0 ? (int64_t)count : 0;
}

/* The same of integers, of which a double does not hold all. */
static int64_t range_count_int(int64_t start, int64_t limit, int64_t step)
{
	const __int128 way = (__int128)limit - start;
	__int128 count;

	if (!step)
		return -1;
	count = way / step + (way % step && (way < 0) == (step < 0));
	return count >= (__int128)MAX_RANGE ? -1 : count > 0 ? (int64_t)count : 0;
}

int vt_lower_range(struct vt_imp *m, const struct vt_imp_node *n)
{
	enum vt_dtype dt = vt_imp_dtype(m, n->in[0]);
	struct vt_shape s = {1, {0}};
	int64_t w[3];
	double v[3];

	for (int i = 0; i < 3; i++) {
		int err = vt_imp_numbers(m, n, i, &v[i], 1);

		if (err != 1)
			return err < 0 ? err : vt_imp_bad(m, -EINVAL, "operand %d is empty", i);
		if (vt_imp_dtype(m, n->in[i]) != dt)
			return vt_imp_bad(m, -EINVAL, "its operands have different types");
		w[i] = vt_imp_get_int(&m->g->tensors[n->in[i]], 0);
	}
	s.dim[0] = dt == VT_I16 || dt == VT_I32 || dt == VT_I64 ? range_count_int(w[0], w[1], w[2])
								: range_count(v[0], v[1], v[2]);
	if (s.dim[0] < 0)
		return vt_imp_bad(m, -EINVAL, "from %g to %g in steps of %g has no sensible end",
				  v[0], v[1], v[2]);
	return vt_imp_set(m, n, 0, vt_imp_emit(m, VT_OP_RANGE, n->in, 3, dt, &s, NULL));
}
