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
	if (vt_imp_one_type(m, n, count))
		return -EINVAL;
	for (int i = 1; i < count; i++) {
		const struct vt_shape *s = vt_imp_shape(m, n->in[i]);

		if (s->rank != 1 || s->dim[0] != x->dim[1])
			return vt_imp_bad(m, -EINVAL, "operand %d does not have %lld values", i,
					  (long long)x->dim[1]);
		vt_imp_try_const(m, n->in[i]);
	}
	return 0;
}

static int emit_norm(struct vt_imp *m, const struct vt_imp_node *n, int x, int count, float eps)
{
	union vt_params p = {0};
	int in[5];

	if (x < 0)
		return x;
	p.norm.axis = vt_imp_shape(m, x)->rank - 1;
	p.norm.eps = eps;
	in[0] = x;
	for (int i = 1; i < count; i++)
		in[i] = n->in[i];
	return vt_imp_emit(m, (enum vt_op)n->op->op, in, count, vt_imp_dtype(m, x),
			   vt_imp_shape(m, x), &p);
}

int vt_lower_batch_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *s = vt_imp_shape(m, n->in[0]);
	struct vt_shape column = {2, {s->dim[0], 1}};
	int x = n->in[0], err;

	if (s->rank == 1 && m->opset >= 9) /* a batch of one channel */
		x = vt_imp_reshape(m, x, &column);
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
	x = emit_norm(m, n, vt_imp_flat_last(m, x), 5, vt_imp_float(n, "epsilon", 1e-5f));
	return vt_imp_set(m, n, 0, from_flat(m, n, x));
}

int vt_lower_instance_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	int err = per_channel(m, n, n->in[0], 3), x;

	if (!err && vt_imp_shape(m, n->in[0])->rank < 3)
		err = vt_imp_bad(m, -EINVAL, "its input has no spatial axis");
	if (err)
		return err;
	x = emit_norm(m, n, vt_imp_flat_last(m, n->in[0]), 3, vt_imp_float(n, "epsilon", 1e-5f));
	return vt_imp_set(m, n, 0, from_flat(m, n, x));
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

int vt_lower_layer_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]), one = {0}, fits;
	union vt_params p = {0};
	int axis = vt_imp_axis(m, vt_imp_int(n, "axis", -1), s.rank), err, in[3], mean, inverse;

	if (axis < 0 || vt_imp_one_type(m, n, 3))
		return axis < 0 ? axis : -EINVAL;
	one.rank = s.rank - axis;
	for (int d = axis; d < s.rank; d++)
		one.dim[d - axis] = s.dim[d];
	in[0] = n->in[0];
	for (int i = 1; i < n->n_in; i++) {
		if (vt_shape_broadcast(&one, vt_imp_shape(m, n->in[i]), &fits) ||
		    !vt_shape_equal(&one, &fits))
			return vt_imp_bad(m, -EINVAL, "operand %d does not fit its axes", i);
		vt_imp_try_const(m, n->in[i]);
		in[i] = vt_imp_expand(m, n->in[i], &one);
	}
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

int vt_lower_lp_norm(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t p = vt_imp_int(n, "p", 2);
	int x = n->in[0],
	    axis = vt_imp_axis(m, vt_imp_int(n, "axis", -1), vt_imp_shape(m, x)->rank);

	if (axis < 0)
		return axis;
	if (p != 1 && p != 2)
		return vt_imp_bad(m, -EINVAL, "p is %lld", (long long)p);
	return vt_imp_set(m, n, 0,
			  vt_imp_binary(m, VT_OP_DIV, x,
					vt_imp_reduce(m, p == 1 ? VT_OP_REDUCE_L1 : VT_OP_REDUCE_L2,
						      x, 1u << axis, true)));
}
