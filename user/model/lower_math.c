// SPDX-License-Identifier: Apache-2.0
/* Lowerings: element by element, with broadcasting, and along axes. */
#include "model/import.h"

#include <math.h>

/* ---- one operand -------------------------------------------------------------------------- */

/* Attributes that become p.scalar, with ONNX's defaults. */
static const struct {
	enum vt_op op;
	const char *a, *b;
	float def_a, def_b;
} scalars[] = {
	{VT_OP_HARD_SIGMOID, "alpha", "beta", 0.2f, 0.5f},
	{VT_OP_LEAKY_RELU, "alpha", NULL, 0.01f, 0},
	{VT_OP_ELU, "alpha", NULL, 1, 0},
	{VT_OP_CELU, "alpha", NULL, 1, 0},
	{VT_OP_SELU, "alpha", "gamma", 1.67326319217681884765625f, 1.05070102214813232421875f},
	{VT_OP_THRESHOLDED_RELU, "alpha", NULL, 1, 0},
	{VT_OP_SHRINK, "lambd", "bias", 0.5f, 0},
};

int vt_lower_unary(struct vt_imp *m, const struct vt_imp_node *n)
{
	enum vt_op op = (enum vt_op)n->op->op;
	float a = 0, b = 0;

	for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++) {
		if (scalars[i].op != op)
			continue;
		a = vt_imp_float(n, scalars[i].a, scalars[i].def_a);
		b = scalars[i].b ? vt_imp_float(n, scalars[i].b, scalars[i].def_b) : 0;
	}
	if (op == VT_OP_SELU && m->opset < 6) {
		a = vt_imp_float(n, "alpha", 1.6732f);
		b = vt_imp_float(n, "gamma", 1.0507f);
	}
	if (op == VT_OP_IS_INF) {
		a = vt_imp_int(n, "detect_negative", 1) != 0;
		b = vt_imp_int(n, "detect_positive", 1) != 0;
	}
	return vt_imp_set(m, n, 0, vt_imp_unary(m, op, n->in[0], a, b));
}

int vt_lower_gelu(struct vt_imp *m, const struct vt_imp_node *n)
{
	static const char *const words[] = {"none", "tanh", NULL};
	int tanh = vt_imp_word(m, n, "approximate", words, 0);

	if (tanh < 0)
		return tanh;
	return vt_imp_set(m, n, 0,
			  vt_imp_unary(m, tanh ? VT_OP_GELU_TANH : VT_OP_GELU, n->in[0], 0, 0));
}

static float limit(struct vt_imp *m, const struct vt_imp_node *n, int i, const char *name,
		   float none, int *err)
{
	double v;
	int count;

	if (m->opset < 11)
		return vt_imp_float(n, name, none);
	if (!vt_imp_is(n, i))
		return none;
	count = vt_imp_numbers(m, n, i, &v, 1);
	if (count == 1)
		return (float)v;
	*err = count < 0 ? count : vt_imp_bad(m, -EINVAL, "%s is not a scalar", name);
	return none;
}

static bool fixed_limit(struct vt_imp *m, const struct vt_imp_node *n, int i)
{
	return !vt_imp_is(n, i) || vt_imp_try_const(m, n->in[i]);
}

int vt_lower_clip(struct vt_imp *m, const struct vt_imp_node *n)
{
	int x = n->in[0], err = 0;
	bool fixed = m->opset < 11 || (fixed_limit(m, n, 1) && fixed_limit(m, n, 2));
	float lo, hi;

	if (vt_imp_dtype(m, x) == VT_F32 && fixed) {
		lo = limit(m, n, 1, "min", -INFINITY, &err);
		hi = limit(m, n, 2, "max", INFINITY, &err);
		return err ? err : vt_imp_set(m, n, 0, vt_imp_unary(m, VT_OP_CLIP, x, lo, hi));
	}
	if (m->opset < 11) { /* only floats, in attributes */
		if (vt_imp_attr(n, "min"))
			x = vt_imp_binary(
				m, VT_OP_MAX, x,
				vt_imp_scalar(m, vt_imp_dtype(m, x), vt_imp_float(n, "min", 0)));
		if (vt_imp_attr(n, "max"))
			x = vt_imp_binary(
				m, VT_OP_MIN, x,
				vt_imp_scalar(m, vt_imp_dtype(m, x), vt_imp_float(n, "max", 0)));
	} else {
		if (vt_imp_is(n, 1))
			x = vt_imp_binary(m, VT_OP_MAX, x, n->in[1]);
		if (vt_imp_is(n, 2))
			x = vt_imp_binary(m, VT_OP_MIN, x, n->in[2]);
	}
	return vt_imp_set(m, n, 0, x);
}

/* ---- two operands ------------------------------------------------------------------------- */

/* Opset 6 and before: the right operand's dims stand at attribute axis of the left one's. */
static int old_broadcast(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *a = vt_imp_shape(m, n->in[0]), *b = vt_imp_shape(m, n->in[1]);
	struct vt_shape s = {.rank = a->rank};
	int64_t axis = vt_imp_int(n, "axis", a->rank - b->rank);

	if (m->opset >= 7)
		return n->in[1];
	if (!vt_imp_int(n, "broadcast", 0))
		return vt_shape_equal(a, b) ? n->in[1]
					    : vt_imp_bad(m, -EINVAL, "its operands' shapes differ");
	if (axis < 0)
		axis += a->rank;
	if (axis < 0 || axis + b->rank > a->rank)
		return vt_imp_bad(m, -EINVAL, "axis %lld does not fit", (long long)axis);
	for (int d = 0; d < s.rank; d++)
		s.dim[d] = d >= axis && d < axis + b->rank ? b->dim[d - axis] : 1;
	return vt_imp_reshape(m, n->in[1], &s);
}

int vt_lower_binary(struct vt_imp *m, const struct vt_imp_node *n)
{
	int b = old_broadcast(m, n);

	return vt_imp_set(m, n, 0, vt_imp_binary(m, (enum vt_op)n->op->op, n->in[0], b));
}

/* The result has the base's type; a fractional exponent of an integer is computed in double. */
int vt_lower_pow(struct vt_imp *m, const struct vt_imp_node *n)
{
	enum vt_dtype type = vt_imp_dtype(m, n->in[0]);
	int x = n->in[0], y = old_broadcast(m, n);

	if (y < 0)
		return y;
	if (!vt_imp_is_float(type) && vt_imp_is_float(vt_imp_dtype(m, y))) {
		x = vt_imp_cast(m, x, VT_F64);
		y = vt_imp_cast(m, y, VT_F64);
	} else {
		y = vt_imp_cast(m, y, type);
	}
	return vt_imp_set(m, n, 0, vt_imp_cast(m, vt_imp_binary(m, VT_OP_POW, x, y), type));
}

/* Operators with broadcasting and one integer parameter. */
static int binary_with(struct vt_imp *m, const struct vt_imp_node *n, int param)
{
	union vt_params p = {.axis = param};
	struct vt_shape s;

	if (vt_imp_dtype(m, n->in[0]) != vt_imp_dtype(m, n->in[1]))
		return vt_imp_bad(m, -EINVAL, "its operands have different types");
	if (vt_shape_broadcast(vt_imp_shape(m, n->in[0]), vt_imp_shape(m, n->in[1]), &s))
		return vt_imp_bad(m, -EINVAL, "its operands' shapes do not broadcast");
	return vt_imp_set(
		m, n, 0,
		vt_imp_emit(m, (enum vt_op)n->op->op, n->in, 2, vt_imp_dtype(m, n->in[0]), &s, &p));
}

/* x * tanh(softplus(x)) */
int vt_lower_mish(struct vt_imp *m, const struct vt_imp_node *n)
{
	const enum vt_op ops[] = {VT_OP_SOFTPLUS, VT_OP_TANH};
	const enum vt_dtype t = vt_imp_dtype(m, n->in[0]);
	const struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	union vt_params p = {0};
	int x[2] = {n->in[0], n->in[0]};

	for (int i = 0; i < 2; i++) {
		x[1] = vt_imp_emit(m, ops[i], &x[1], 1, t, &s, &p);
		if (x[1] < 0)
			return x[1];
	}
	return vt_imp_set(m, n, 0, vt_imp_emit(m, VT_OP_MUL, x, 2, t, &s, &p));
}

int vt_lower_mod(struct vt_imp *m, const struct vt_imp_node *n)
{
	bool fmod = vt_imp_int(n, "fmod", 0) != 0;

	if (!fmod && vt_imp_is_float(vt_imp_dtype(m, n->in[0])))
		return vt_imp_bad(m, -EINVAL, "floats need fmod=1");
	return binary_with(m, n, fmod);
}

int vt_lower_shift(struct vt_imp *m, const struct vt_imp_node *n)
{
	static const char *const words[] = {"RIGHT", "LEFT", NULL};
	int left = vt_imp_word(m, n, "direction", words, -EINVAL);

	if (left == -EINVAL)
		return vt_imp_bad(m, -EINVAL, "direction is missing");
	return left < 0 ? left : binary_with(m, n, left);
}

/* Before opset 7 a slope of one dimension belonged to the channels. */
int vt_lower_prelu(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *x = vt_imp_shape(m, n->in[0]);
	struct vt_shape s = {.rank = x->rank};
	int slope = n->in[1];

	if (m->opset < 7 && vt_imp_shape(m, slope)->rank == 1 && x->rank > 1) {
		for (int d = 0; d < s.rank; d++)
			s.dim[d] = d == 1 ? vt_imp_shape(m, slope)->dim[0] : 1;
		slope = vt_imp_reshape(m, slope, &s);
	}
	return vt_imp_set(m, n, 0, vt_imp_binary(m, VT_OP_PRELU, n->in[0], slope));
}

/* Max, Min, Sum and Mean of any number of operands. */
int vt_lower_chain(struct vt_imp *m, const struct vt_imp_node *n)
{
	enum vt_op op = (enum vt_op)n->op->op;
	bool mean = op == VT_OP_REDUCE_MEAN;
	int x = n->in[0];

	for (int i = 0; i < n->n_in; i++)
		if (n->in[i] < 0)
			return vt_imp_bad(m, -EINVAL, "operand %d is missing", i);
	for (int i = 1; i < n->n_in; i++)
		x = vt_imp_binary(m, mean ? VT_OP_ADD : op, x, n->in[i]);
	if (x >= 0 && mean && n->n_in > 1)
		x = vt_imp_binary(m, VT_OP_DIV, x, vt_imp_scalar(m, vt_imp_dtype(m, x), n->n_in));
	return vt_imp_set(m, n, 0, x);
}

int vt_lower_where(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s;

	if (vt_imp_dtype(m, n->in[0]) != VT_BOOL ||
	    vt_imp_dtype(m, n->in[1]) != vt_imp_dtype(m, n->in[2]))
		return vt_imp_bad(m, -EINVAL, "its operands' types do not fit");
	if (vt_shape_broadcast(vt_imp_shape(m, n->in[0]), vt_imp_shape(m, n->in[1]), &s) ||
	    vt_shape_broadcast(&s, vt_imp_shape(m, n->in[2]), &s))
		return vt_imp_bad(m, -EINVAL, "its operands' shapes do not broadcast");
	return vt_imp_set(
		m, n, 0,
		vt_imp_emit(m, VT_OP_WHERE, n->in, 3, vt_imp_dtype(m, n->in[1]), &s, NULL));
}

/* ---- along axes --------------------------------------------------------------------------- */

int vt_lower_reduce(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t v[VT_MAX_RANK];
	enum vt_op op = (enum vt_op)n->op->op;
	enum vt_dtype type = vt_imp_dtype(m, n->in[0]);
	bool keep = vt_imp_int(n, "keepdims", 1) != 0;
	int rank = vt_imp_shape(m, n->in[0])->rank, x = n->in[0];
	int count = vt_imp_either(m, n, 1, "axes", v, VT_MAX_RANK);
	uint32_t axes = 0;

	if (count < 0 && count != -ENODATA)
		return count;
	for (int i = 0; i < count; i++) {
		int axis = vt_imp_axis(m, v[i], rank);

		if (axis < 0)
			return axis;
		axes |= 1u << axis;
	}
	if (count <= 0 && !vt_imp_int(n, "noop_with_empty_axes", 0))
		axes = (1u << rank) - 1;
	if (type == VT_BOOL && (op == VT_OP_REDUCE_MAX || op == VT_OP_REDUCE_MIN))
		x = vt_imp_cast(m, x, VT_U8); /* any and all; the numbers are 0 and 1 */
	return vt_imp_set(m, n, 0, vt_imp_cast(m, vt_imp_reduce(m, op, x, axes, keep), type));
}

/* The axis attribute of a node whose operand 0 has the axis. */
static int node_axis(struct vt_imp *m, const struct vt_imp_node *n, int64_t otherwise)
{
	return vt_imp_axis(m, vt_imp_int(n, "axis", otherwise), vt_imp_shape(m, n->in[0])->rank);
}

static int emit_arg(struct vt_imp *m, enum vt_op op, int x, int axis, bool keepdims, bool last)
{
	union vt_params p = {.arg = {axis, keepdims, last}};
	const struct vt_shape *in = vt_imp_shape(m, x);
	struct vt_shape s = {0};

	for (int d = 0; d < in->rank; d++)
		if (d != axis || keepdims)
			s.dim[s.rank++] = d == axis ? 1 : in->dim[d];
	if (!in->dim[axis])
		return vt_imp_bad(m, -EINVAL, "its axis has no elements");
	return vt_imp_emit(m, op, &x, 1, VT_I64, &s, &p);
}

int vt_lower_arg(struct vt_imp *m, const struct vt_imp_node *n)
{
	int axis = node_axis(m, n, 0);

	if (axis < 0)
		return axis;
	return vt_imp_set(m, n, 0,
			  emit_arg(m, (enum vt_op)n->op->op, n->in[0], axis,
				   vt_imp_int(n, "keepdims", 1) != 0,
				   vt_imp_int(n, "select_last_index", 0) != 0));
}

/* One at the first maximum, zero elsewhere. */
static int emit_hardmax(struct vt_imp *m, int x, int axis)
{
	int best = emit_arg(m, VT_OP_ARGMAX, x, axis, true, false), i;
	struct vt_shape s = {.rank = vt_imp_shape(m, x)->rank};

	for (int d = 0; d < s.rank; d++)
		s.dim[d] = d == axis ? vt_imp_shape(m, x)->dim[d] : 1;
	i = vt_imp_const(m, VT_I64, &s);
	if (best < 0 || i < 0)
		return best < 0 ? best : i;
	for (int64_t k = 0; k < s.dim[axis]; k++)
		((int64_t *)m->g->tensors[i].data)[k] = k;
	return vt_imp_cast(m, vt_imp_binary(m, VT_OP_EQUAL, i, best), vt_imp_dtype(m, x));
}

static int emit_softmax(struct vt_imp *m, int op, int x, int axis)
{
	union vt_params p = {.axis = axis};

	if (op == VT_OP_ARGMAX)
		return emit_hardmax(m, x, axis);
	return vt_imp_emit(m, (enum vt_op)op, &x, 1, vt_imp_dtype(m, x), vt_imp_shape(m, x), &p);
}

int vt_lower_softmax(struct vt_imp *m, const struct vt_imp_node *n)
{
	int axis = node_axis(m, n, -1);

	return axis < 0 ? axis : vt_imp_set(m, n, 0, emit_softmax(m, n->op->op, n->in[0], axis));
}

/* Before opset 13: over all axes from the given one on, as if they were one. */
int vt_lower_softmax_flat(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]), flat = {2, {1, 1}};
	int64_t given = vt_imp_int(n, "axis", 1);
	int axis, x;

	if (given == s.rank && given == 1) /* one dimension, default axis */
		given = 0;
	axis = vt_imp_axis(m, given, s.rank);
	if (axis < 0)
		return axis;
	if (axis == s.rank - 1)
		return vt_imp_set(m, n, 0, emit_softmax(m, n->op->op, n->in[0], axis));
	for (int d = 0; d < s.rank; d++)
		flat.dim[d >= axis] *= s.dim[d];
	x = vt_imp_reshape(m, n->in[0], &flat);
	if (x < 0)
		return x;
	return vt_imp_set(m, n, 0, vt_imp_reshape(m, emit_softmax(m, n->op->op, x, 1), &s));
}

int vt_lower_cumsum(struct vt_imp *m, const struct vt_imp_node *n)
{
	union vt_params p = {0};
	int64_t axis;
	int count = vt_imp_values(m, n, 1, &axis, 1);

	if (count != 1)
		return count < 0 ? count : vt_imp_bad(m, -EINVAL, "has no axis");
	p.cumsum.axis = vt_imp_axis(m, axis, vt_imp_shape(m, n->in[0])->rank);
	p.cumsum.exclusive = vt_imp_int(n, "exclusive", 0) != 0;
	p.cumsum.reverse = vt_imp_int(n, "reverse", 0) != 0;
	if (p.cumsum.axis < 0)
		return p.cumsum.axis;
	return vt_imp_set(m, n, 0,
			  vt_imp_emit(m, VT_OP_CUMSUM, n->in, 1, vt_imp_dtype(m, n->in[0]),
				      vt_imp_shape(m, n->in[0]), &p));
}

int vt_lower_topk(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	struct vt_imp_out outs[2] = {{vt_imp_dtype(m, n->in[0]), s}, {VT_I64, s}};
	union vt_params p = {0};
	int64_t k = vt_imp_int(n, "k", -1);
	int axis = node_axis(m, n, -1), t[2], err;

	if (axis < 0)
		return axis;
	err = m->opset >= 10 ? vt_imp_values(m, n, 1, &k, 1) : 1;
	if (err < 0)
		return err;
	if (k < 0 || k > s.dim[axis])
		return vt_imp_bad(m, -EINVAL, "k is %lld of %lld", (long long)k,
				  (long long)s.dim[axis]);
	outs[0].shape.dim[axis] = outs[1].shape.dim[axis] = k;
	p.topk.axis = axis;
	p.topk.largest = vt_imp_int(n, "largest", 1) != 0;
	p.topk.sorted = vt_imp_int(n, "sorted", 1) != 0;
	err = vt_imp_emit_n(m, VT_OP_TOPK, n->in, 1, outs, 2, &p, t);
	for (int i = 0; !err && i < 2; i++)
		err = vt_imp_set(m, n, i, t[i]);
	return err;
}

/* ---- types -------------------------------------------------------------------------------- */

/* saturate concerns float8 alone, which vt_imp_type() refuses. */
int vt_lower_cast(struct vt_imp *m, const struct vt_imp_node *n)
{
	int to = vt_imp_type(m, n, "to");

	if (to == VT_DT_NONE)
		return vt_imp_bad(m, -EINVAL, "names no type");
	return to < 0 ? to : vt_imp_set(m, n, 0, vt_imp_cast(m, n->in[0], (enum vt_dtype)to));
}

int vt_lower_cast_like(struct vt_imp *m, const struct vt_imp_node *n)
{
	return vt_imp_set(m, n, 0, vt_imp_cast(m, n->in[0], vt_imp_dtype(m, n->in[1])));
}
