// SPDX-License-Identifier: Apache-2.0
/* Lowerings: normalisations. */
#include "model/import.h"

/* Channels last, more than two spatial axes as one: what the NHWC operators take. */
int vt_imp_flat_last(struct vt_imp *m, int x)
{
	struct vt_shape s = *vt_imp_shape(m, x);

	for (int d = 3; s.rank > 4 && d < s.rank; d++)
		if (__builtin_mul_overflow(s.dim[2], s.dim[d], &s.dim[2]))
			return vt_imp_bad(m, -EOVERFLOW, "its input is too large");
	if (s.rank > 4) {
		s.rank = 3;
		x = vt_imp_reshape(m, x, &s);
	}
	return vt_imp_to_last(m, x);
}

/* Back to the operand's own shape. */
static int from_flat(struct vt_imp *m, const struct vt_imp_node *n, int x)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);

	x = vt_imp_to_first(m, x);
	return x < 0 || vt_imp_shape(m, x)->rank == s.rank ? x : vt_imp_reshape(m, x, &s);
}

/* Operands 1 .. @count - 1 must be vectors with one value per channel. */
static int per_channel(struct vt_imp *m, const struct vt_imp_node *n, int input, int count)
{
	const struct vt_shape *x = vt_imp_shape(m, input);

	if (x->rank < 2)
		return vt_imp_bad(m, -EINVAL, "its input has no channels");
	for (int i = 1; i < count; i++) {
		const struct vt_shape *s = vt_imp_shape(m, n->in[i]);

		if (s->rank != 1 || s->dim[0] != x->dim[1])
			return vt_imp_bad(m, -EINVAL, "operand %d does not have %lld values", i,
					  (long long)x->dim[1]);
		vt_imp_try_const(m, n->in[i]);
	}
	return 0;
}

/* The operands as float32 where no kernel has their type, else as what the first one has. */
static int one_float(struct vt_imp *m, const struct vt_imp_node *n, int count, int *in)
{
	enum vt_dtype t = vt_imp_dtype(m, n->in[0]);

	t = vt_imp_is_half(t) ? VT_F32 : t;
	for (int i = 0; i < count; i++) {
		if (i)
			vt_imp_try_const(m, n->in[i]);
		in[i] = vt_imp_cast(m, n->in[i], t);
		if (in[i] < 0)
			return in[i];
	}
	return 0;
}

static int emit_norm(struct vt_imp *m, const struct vt_imp_node *n, int x, const int *rest,
		     int count, float eps)
{
	union vt_params p = {0};
	int in[5];

	if (x < 0)
		return x;
	p.norm.axis = vt_imp_shape(m, x)->rank - 1;
	p.norm.eps = eps;
	in[0] = x;
	for (int i = 1; i < count; i++)
		in[i] = rest[i];
	return vt_imp_emit(m, (enum vt_op)n->op->op, in, count, vt_imp_dtype(m, x),
			   vt_imp_shape(m, x), &p);
}

/* From opset 14 on scale, bias and the statistics may be floats of other types than the data. */
static int batch_types(struct vt_imp *m, const struct vt_imp_node *n)
{
	bool floats = m->opset >= 14;

	for (int i = 0; i < 5; i++)
		floats = floats && vt_imp_is_float(vt_imp_dtype(m, n->in[i]));
	return floats ? 0 : vt_imp_one_type(m, n, 5);
}

int vt_lower_batch_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *s = vt_imp_shape(m, n->in[0]);
	struct vt_shape column = {2, {s->dim[0], 1}};
	const enum vt_dtype type = vt_imp_dtype(m, n->in[0]);
	bool flat = s->rank == 1 && m->opset >= 9; /* a batch of one channel */
	int err = batch_types(m, n), in[5], x;

	if (!err)
		err = one_float(m, n, 5, in);
	if (err)
		return err;
	x = flat ? vt_imp_reshape(m, in[0], &column) : in[0];
	if (x < 0)
		return x;
	err = per_channel(m, n, x, 5);
	if (err)
		return err;
	if (m->opset < 9 && !vt_imp_int(n, "spatial", 1))
		return vt_imp_bad(m, -ENOEXEC, "spatial=0 is not supported");
	if (vt_imp_int(n, "training_mode", 0))
		return vt_imp_bad(m, -ENOEXEC, "training_mode is not supported");
	for (int i = 1; i < n->n_out; i++)
		if (vt_imp_wanted(m, n, i))
			return vt_imp_bad(m, -ENOEXEC, "outputs of training are not supported");
	x = emit_norm(m, n, vt_imp_flat_last(m, x), in, 5, vt_imp_float(n, "epsilon", 1e-5f));
	return vt_imp_set(m, n, 0, vt_imp_cast(m, from_flat(m, n, x), type));
}

int vt_lower_instance_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	int err = vt_imp_one_type(m, n, 3), x;

	if (!err)
		err = per_channel(m, n, n->in[0], 3);
	if (!err && vt_imp_shape(m, n->in[0])->rank < 3)
		err = vt_imp_bad(m, -EINVAL, "its input has no spatial axis");
	if (err)
		return err;
	x = emit_norm(m, n, vt_imp_flat_last(m, n->in[0]), n->in, 3,
		      vt_imp_float(n, "epsilon", 1e-5f));
	return vt_imp_set(m, n, 0, from_flat(m, n, x));
}

/* @count values, all of them @value. */
static int filled(struct vt_imp *m, int64_t count, double value)
{
	struct vt_shape s = {1, {count}};
	int t = vt_imp_const(m, VT_F32, &s);

	for (int64_t i = 0; t >= 0 && i < count; i++)
		vt_imp_put(&m->g->tensors[t], i, value);
	return t;
}

/* Operand @t, one value for each index of axis 1 of @rank, to be broadcast. */
static int channels(struct vt_imp *m, int t, int rank)
{
	struct vt_shape s = {.rank = rank};

	for (int d = 0; d < rank; d++)
		s.dim[d] = d == 1 ? vt_imp_shape(m, t)->dim[0] : 1;
	return t < 0 ? t : vt_imp_reshape(m, t, &s);
}

static int group_operands(struct vt_imp *m, const struct vt_imp_node *n, int64_t groups)
{
	const struct vt_shape *x = vt_imp_shape(m, n->in[0]);
	const int64_t values = m->opset < 21 || x->rank < 2 ? groups : x->dim[1];

	if (vt_imp_one_type(m, n, 3))
		return -EINVAL;
	if (x->rank < 3 || groups < 1 || x->dim[1] < 1 || x->dim[1] % groups)
		return vt_imp_bad(m, -EINVAL, "%lld groups do not fit its input",
				  (long long)groups);
	for (int i = 1; i < 3; i++) {
		const struct vt_shape *s = vt_imp_shape(m, n->in[i]);

		if (s->rank != 1 || s->dim[0] != values)
			return vt_imp_bad(m, -EINVAL, "operand %d does not have %lld values", i,
					  (long long)values);
		vt_imp_try_const(m, n->in[i]);
	}
	return 0;
}

/*
 * Each group is the one channel of an InstanceNormalization, as exporters write it that lack the
 * operator. Scale and bias are the group's before opset 21, its channels' since.
 */
int vt_lower_group_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	const enum vt_dtype type = vt_imp_dtype(m, n->in[0]);
	const int64_t groups = vt_imp_int(n, "num_groups", 0);
	bool apart = m->opset >= 21 && groups != s.dim[1];
	struct vt_shape flat = {3, {s.dim[0], groups, 1}};
	int err = group_operands(m, n, groups), in[3], scale[3], x;

	if (!err)
		err = one_float(m, n, 3, in);
	if (err)
		return err;
	flat.dim[2] = s.dim[1] / groups;
	for (int d = 2; d < s.rank; d++)
		if (__builtin_mul_overflow(flat.dim[2], s.dim[d], &flat.dim[2]))
			return vt_imp_bad(m, -EOVERFLOW, "its input is too large");
	scale[1] = apart ? filled(m, groups, 1) : in[1];
	scale[2] = apart ? filled(m, groups, 0) : in[2];
	x = vt_imp_to_last(m, vt_imp_reshape(m, in[0], &flat));
	x = emit_norm(m, n, x, scale, 3, vt_imp_float(n, "epsilon", 1e-5f));
	x = vt_imp_reshape(m, vt_imp_to_first(m, x), &s);
	if (apart) {
		x = vt_imp_binary(m, VT_OP_MUL, x, channels(m, in[1], s.rank));
		x = vt_imp_binary(m, VT_OP_ADD, x, channels(m, in[2], s.rank));
	}
	return vt_imp_set(m, n, 0, vt_imp_cast(m, x, type));
}

int vt_lower_lrn(struct vt_imp *m, const struct vt_imp_node *n)
{
	union vt_params p = {0};
	int64_t size = vt_imp_int(n, "size", 0);
	int x;

	if (size < 1 || size > INT32_MAX || vt_imp_shape(m, n->in[0])->rank < 2)
		return vt_imp_bad(m, -EINVAL, "size is %lld of %d dimensions", (long long)size,
				  vt_imp_shape(m, n->in[0])->rank);
	p.lrn.alpha = vt_imp_float(n, "alpha", 1e-4f);
	p.lrn.beta = vt_imp_float(n, "beta", 0.75f);
	p.lrn.bias = vt_imp_float(n, "bias", 1);
	p.lrn.size = (int)size;
	x = vt_imp_flat_last(m, n->in[0]);
	if (x < 0)
		return x;
	x = vt_imp_emit(m, VT_OP_LRN, &x, 1, vt_imp_dtype(m, x), vt_imp_shape(m, x), &p);
	return vt_imp_set(m, n, 0, from_flat(m, n, x));
}

/* The mean and the deviation's inverse over @axes, as LayerNormalization may also return them. */
static int statistics(struct vt_imp *m, int x, uint32_t axes, float eps, int *inverse)
{
	int mean = vt_imp_reduce(m, VT_OP_REDUCE_MEAN, x, axes, true);
	int off = vt_imp_binary(m, VT_OP_SUB, x, mean);
	int var = vt_imp_reduce(m, VT_OP_REDUCE_MEAN, vt_imp_binary(m, VT_OP_MUL, off, off), axes,
				true);

	var = vt_imp_binary(m, VT_OP_ADD, var, vt_imp_scalar(m, vt_imp_dtype(m, x), eps));
	*inverse = vt_imp_unary(m, VT_OP_RECIPROCAL, vt_imp_unary(m, VT_OP_SQRT, var, 0, 0), 0, 0);
	return mean;
}

/* The dims of @x from @axis on; operands 1 and up become constants of exactly these where they can. */
static int tail_operands(struct vt_imp *m, const struct vt_imp_node *n, int axis, int *in)
{
	const struct vt_shape x = *vt_imp_shape(m, n->in[0]);
	struct vt_shape one = {.rank = x.rank - axis}, fits;

	for (int d = axis; d < x.rank; d++)
		one.dim[d - axis] = x.dim[d];
	for (int i = 1; i < n->n_in; i++) {
		if (vt_shape_broadcast(&one, vt_imp_shape(m, n->in[i]), &fits) ||
		    !vt_shape_equal(&one, &fits))
			return vt_imp_bad(m, -EINVAL, "operand %d does not fit its axes", i);
		vt_imp_try_const(m, n->in[i]);
		in[i] = vt_imp_expand(m, in[i], &one);
		if (in[i] < 0)
			return in[i];
	}
	return 0;
}

int vt_lower_layer_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	union vt_params p = {0};
	int axis = vt_imp_axis(m, vt_imp_int(n, "axis", -1), s.rank), err, in[3], mean, inverse;

	if (axis < 0 || vt_imp_one_type(m, n, 3))
		return axis < 0 ? axis : -EINVAL;
	for (int i = 0; i < n->n_in; i++)
		in[i] = n->in[i];
	err = tail_operands(m, n, axis, in);
	if (err)
		return err;
	p.norm.axis = axis;
	p.norm.eps = vt_imp_float(n, "epsilon", 1e-5f);
	err = vt_imp_set(
		m, n, 0,
		vt_imp_emit(m, VT_OP_LAYER_NORM, in, n->n_in, vt_imp_dtype(m, n->in[0]), &s, &p));
	if (err || (!vt_imp_wanted(m, n, 1) && !vt_imp_wanted(m, n, 2)))
		return err;
	mean = statistics(m, n->in[0], ((1u << s.rank) - 1) & ~((1u << axis) - 1), p.norm.eps,
			  &inverse);
	err = vt_imp_set(m, n, 1, mean);
	return err ? err : vt_imp_set(m, n, 2, inverse);
}

/* x / sqrt(mean(x^2) + epsilon) * scale, of the scale's type */
int vt_lower_rms_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	const enum vt_dtype type = vt_imp_dtype(m, n->in[1]);
	int axis = vt_imp_axis(m, vt_imp_int(n, "axis", -1), s.rank), in[2], err;
	union vt_params p = {.norm = {axis, vt_imp_float(n, "epsilon", 1e-5f), true}};

	if (axis < 0)
		return axis;
	if (!vt_imp_is_float(vt_imp_dtype(m, n->in[0])) || !vt_imp_is_float(type))
		return vt_imp_bad(m, -EINVAL, "its operands are no floats");
	err = one_float(m, n, 2, in);
	if (!err)
		err = tail_operands(m, n, axis, in);
	if (err)
		return err;
	return vt_imp_set(
		m, n, 0,
		vt_imp_cast(m,
			    vt_imp_emit(m, VT_OP_LAYER_NORM, in, 2, vt_imp_dtype(m, in[0]), &s, &p),
			    type));
}

/* (x - mean) / (deviation + 1e-9) over the given axes */
int vt_lower_mvn(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t v[VT_MAX_RANK] = {0, 2, 3};
	int count = vt_imp_ints(m, n, "axes", v, VT_MAX_RANK), x = n->in[0], off, var;
	uint32_t axes = 0;

	if (count < 0 && count != -ENODATA)
		return count;
	for (int i = 0; i < (count < 0 ? 3 : count); i++) {
		int axis = vt_imp_axis(m, v[i], vt_imp_shape(m, x)->rank);

		if (axis < 0)
			return axis;
		axes |= 1u << axis;
	}
	off = vt_imp_binary(m, VT_OP_SUB, x, vt_imp_reduce(m, VT_OP_REDUCE_MEAN, x, axes, true));
	var = vt_imp_reduce(m, VT_OP_REDUCE_MEAN, vt_imp_binary(m, VT_OP_MUL, off, off), axes,
			    true);
	var = vt_imp_binary(m, VT_OP_ADD, vt_imp_unary(m, VT_OP_SQRT, var, 0, 0),
			    vt_imp_scalar(m, vt_imp_dtype(m, x), 1e-9));
	return vt_imp_set(m, n, 0, vt_imp_binary(m, VT_OP_DIV, off, var));
}

/* Since opset 22 what has a norm of 0 stays 0. */
int vt_lower_lp_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t p = vt_imp_int(n, "p", 2);
	const enum vt_dtype t = vt_imp_dtype(m, n->in[0]);
	int x = n->in[0],
	    axis = vt_imp_axis(m, vt_imp_int(n, "axis", -1), vt_imp_shape(m, x)->rank), norm;

	if (axis < 0)
		return axis;
	if (p != 1 && p != 2)
		return vt_imp_bad(m, -EINVAL, "p is %lld", (long long)p);
	norm = vt_imp_reduce(m, p == 1 ? VT_OP_REDUCE_L1 : VT_OP_REDUCE_L2, x, 1u << axis, true);
	if (m->opset >= 22 && norm >= 0) {
		const struct vt_shape s = *vt_imp_shape(m, norm);
		int in[3] = {0, vt_imp_scalar(m, t, 1), norm};

		in[0] = vt_imp_binary(m, VT_OP_EQUAL, norm, vt_imp_scalar(m, t, 0));
		norm = vt_imp_emit(m, VT_OP_WHERE, in, 3, t, &s, NULL);
	}
	return vt_imp_set(m, n, 0, vt_imp_binary(m, VT_OP_DIV, x, norm));
}
