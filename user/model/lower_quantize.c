// SPDX-License-Identifier: Apache-2.0
/* Lowerings: integers of a scale, for all of a tensor, for each index of an axis, or for blocks of it. */
#include "model/import.h"

/* Operand @t, each of its values @block times along the axis; the last block may end early. */
static int spread(struct vt_imp *m, const struct vt_imp_node *n, int t, int axis, int64_t block)
{
	struct vt_shape x = *vt_imp_shape(m, n->in[0]), s = *vt_imp_shape(m, t), apart, wide;
	int64_t whole;

	if (s.rank != x.rank || x.rank >= VT_MAX_RANK ||
	    __builtin_mul_overflow(s.dim[axis], block, &whole) || whole < x.dim[axis] ||
	    whole - x.dim[axis] >= block)
		return vt_imp_bad(m, -EINVAL, "blocks of %lld do not fit its operands",
				  (long long)block);
	apart = s;
	for (int d = apart.rank++; d > axis; d--)
		apart.dim[d] = d > axis + 1 ? s.dim[d - 1] : 1;
	wide = apart;
	wide.dim[axis + 1] = block;
	s.dim[axis] = whole;
	t = vt_imp_expand(m, vt_imp_reshape(m, t, &apart), &wide);
	t = vt_imp_reshape(m, t, &s);
	return whole == x.dim[axis] ? t : vt_imp_slice(m, t, axis, 0, x.dim[axis], 1);
}

/* Scale or zero point @i as float32, to be broadcast. */
static int factor(struct vt_imp *m, const struct vt_imp_node *n, int i)
{
	const int rank = vt_imp_shape(m, n->in[0])->rank;
	const struct vt_shape own = *vt_imp_shape(m, n->in[i]);
	const int64_t block = vt_imp_int(n, "block_size", 0);
	const int t = vt_imp_cast(m, n->in[i], VT_F32);
	struct vt_shape s = {.rank = rank};
	int axis;

	if (t < 0 || (!block && (own.rank != 1 || own.dim[0] == 1 || rank < 2)))
		return t;
	axis = vt_imp_axis(m, vt_imp_int(n, "axis", 1), rank);
	if (axis < 0)
		return axis;
	if (block < 0)
		return vt_imp_bad(m, -EINVAL, "block_size is %lld", (long long)block);
	if (block)
		return spread(m, n, t, axis, block);
	for (int d = 0; d < rank; d++)
		s.dim[d] = d == axis ? own.dim[0] : 1;
	return vt_imp_reshape(m, t, &s);
}

/* What QuantizeLinear makes: the zero point's type, or what output_dtype says. */
static int target(struct vt_imp *m, const struct vt_imp_node *n)
{
	int to = vt_imp_type(m, n, "output_dtype");

	if (to < 0)
		return to;
	if (to && vt_imp_is(n, 2) && vt_imp_dtype(m, n->in[2]) != (enum vt_dtype)to)
		return vt_imp_bad(m, -EINVAL, "output_dtype is %s, its zero point has %s",
				  vt_dtype_name((enum vt_dtype)to),
				  vt_dtype_name(vt_imp_dtype(m, n->in[2])));
	if (!to)
		to = vt_imp_is(n, 2) ? (int)vt_imp_dtype(m, n->in[2]) : VT_U8;
	if (to == VT_U8 || to == VT_I8 || to == VT_U16 || to == VT_I16)
		return to;
	return vt_imp_bad(m, -ENOEXEC, "to %s is not supported", vt_dtype_name((enum vt_dtype)to));
}

/* round(x / scale) + zero point, saturated; in float32, which is no less than any precision asked for */
int vt_lower_quantize(struct vt_imp *m, const struct vt_imp_node *n)
{
	int precision = vt_imp_type(m, n, "precision"), to = target(m, n), x;
	float steps, low;

	if (precision < 0 || to < 0)
		return precision < 0 ? precision : to;
	if (precision == VT_F64)
		return vt_imp_bad(m, -ENOEXEC, "precision float64 is not supported");
	x = vt_imp_cast(m, n->in[0], VT_F32);
	x = vt_imp_binary(m, VT_OP_DIV, x, factor(m, n, 1));
	x = vt_imp_unary(m, VT_OP_ROUND, x, 0, 0);
	if (vt_imp_is(n, 2))
		x = vt_imp_binary(m, VT_OP_ADD, x, factor(m, n, 2));
	steps = vt_dtype_bytes((enum vt_dtype)to) == 1 ? 256 : 65536;
	low = to == VT_I8 || to == VT_I16 ? -steps / 2 : 0;
	x = vt_imp_unary(m, VT_OP_CLIP, x, low, low + steps - 1);
	return vt_imp_set(m, n, 0, vt_imp_cast(m, x, (enum vt_dtype)to));
}

/* (x - zero point) * scale */
int vt_lower_dequantize(struct vt_imp *m, const struct vt_imp_node *n)
{
	int to = vt_imp_type(m, n, "output_dtype"), x;

	if (to < 0)
		return to;
	if (!to)
		to = (int)vt_imp_dtype(m, n->in[1]);
	if (!vt_imp_is_float((enum vt_dtype)to))
		return vt_imp_bad(m, -EINVAL, "to %s", vt_dtype_name((enum vt_dtype)to));
	x = vt_imp_cast(m, n->in[0], VT_F32);
	if (vt_imp_is(n, 2))
		x = vt_imp_binary(m, VT_OP_SUB, x, factor(m, n, 2));
	x = vt_imp_binary(m, VT_OP_MUL, x, factor(m, n, 1));
	return vt_imp_set(m, n, 0, vt_imp_cast(m, x, (enum vt_dtype)to));
}
