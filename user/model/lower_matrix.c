// SPDX-License-Identifier: Apache-2.0
/* Lowerings: products of matrices. A constant right operand makes a fully connected layer. */
#include "model/import.h"

static int swap(struct vt_imp *m, int x)
{
	return vt_imp_transpose(m, x, (const int[]){1, 0});
}

/* Multiplies by a number unless that is one. */
static int scaled(struct vt_imp *m, int x, float by)
{
	if (x < 0 || by == 1)
		return x;
	return vt_imp_binary(m, VT_OP_MUL, x, vt_imp_scalar(m, vt_imp_dtype(m, x), by));
}

/* x [...,K] by a constant weight [K,N] or, if not @kn, [N,K]; @bias may be VT_NONE */
static int emit_fc(struct vt_imp *m, int x, int weight, int bias, bool kn)
{
	struct vt_shape s = *vt_imp_shape(m, x);
	union vt_params p = {.fc = {kn}};

	s.dim[s.rank - 1] = vt_imp_shape(m, weight)->dim[kn];
	return vt_imp_emit(m, VT_OP_FC, (int[]){x, weight, bias}, bias == VT_NONE ? 2 : 3,
			   vt_imp_dtype(m, x), &s, &p);
}

/* Gemm's third operand as a bias of N values, or VT_NONE if it is not one row. */
static int as_bias(struct vt_imp *m, int c, int64_t n, float beta)
{
	struct vt_shape s = *vt_imp_shape(m, c), row = {1, {n}}, flat = {1, {1}};

	for (int d = 0; d < s.rank - 1; d++)
		if (s.dim[d] != 1)
			return VT_NONE;
	if (s.rank > 2 || !vt_imp_try_const(m, c))
		return VT_NONE;
	flat.dim[0] = s.rank ? s.dim[s.rank - 1] : 1;
	return scaled(m, vt_imp_expand(m, s.rank == 1 ? c : vt_imp_reshape(m, c, &flat), &row),
		      beta);
}

static int gemm_fc(struct vt_imp *m, const struct vt_imp_node *n, bool ta, bool tb, float alpha,
		   float beta, int *rest)
{
	int x = ta ? swap(m, n->in[0]) : n->in[0], w = scaled(m, n->in[1], alpha), bias = VT_NONE;

	if (*rest >= 0) {
		bias = as_bias(m, *rest, vt_imp_shape(m, n->in[1])->dim[!tb], beta);
		if (bias != VT_NONE)
			*rest = VT_NONE;
	}
	return x < 0 ? x : w < 0 ? w : emit_fc(m, x, w, bias, !tb);
}

static int gemm_matmul(struct vt_imp *m, const struct vt_imp_node *n, bool ta, bool tb, float alpha,
		       const struct vt_shape *s)
{
	enum vt_dtype dt = vt_imp_dtype(m, n->in[0]);
	union vt_params p = {.matmul = {ta, tb, alpha}};
	bool whole = dt == VT_F32; /* the kernel's scale is a float */
	int y;

	if (!whole)
		p.matmul.alpha = 1;
	y = vt_imp_emit(m, VT_OP_MATMUL, n->in, 2, dt, s, &p);
	return whole ? y : scaled(m, y, alpha);
}

/* Opset 6 and before broadcast only if told so; what they allow is a part of what we allow. */
int vt_lower_gemm(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *a = vt_imp_shape(m, n->in[0]), *b = vt_imp_shape(m, n->in[1]);
	bool ta = vt_imp_int(n, "transA", 0) != 0, tb = vt_imp_int(n, "transB", 0) != 0;
	float alpha = vt_imp_float(n, "alpha", 1), beta = vt_imp_float(n, "beta", 1);
	struct vt_shape s = {2, {0, 0}}, sum;
	int c = vt_imp_is(n, 2) && beta != 0 ? n->in[2] : VT_NONE, y;

	if (vt_imp_one_type(m, n, 3))
		return -EINVAL;
	if (a->rank != 2 || b->rank != 2 || a->dim[!ta] != b->dim[tb])
		return vt_imp_bad(m, -EINVAL, "its operands are not matrices that fit");
	s.dim[0] = a->dim[ta];
	s.dim[1] = b->dim[!tb];
	if (c >= 0 &&
	    (vt_shape_broadcast(&s, vt_imp_shape(m, c), &sum) || !vt_shape_equal(&s, &sum)))
		return vt_imp_bad(m, -EINVAL, "its third operand does not broadcast to %lld x %lld",
				  (long long)s.dim[0], (long long)s.dim[1]);
	if (vt_imp_is_const(m, n->in[1]) && vt_imp_dtype(m, n->in[0]) == VT_F32 && a->dim[!ta])
		y = gemm_fc(m, n, ta, tb, alpha, beta, &c);
	else
		y = gemm_matmul(m, n, ta, tb, alpha, &s);
	if (c >= 0 && y >= 0)
		y = vt_imp_binary(m, VT_OP_ADD, y, scaled(m, c, beta));
	return vt_imp_set(m, n, 0, y);
}

/* A vector becomes a row (left) or a column (right). */
static int as_matrix(struct vt_imp *m, int x, bool left)
{
	const struct vt_shape *s = vt_imp_shape(m, x);
	struct vt_shape two = {2, {left ? 1 : s->dim[0], left ? s->dim[0] : 1}};

	return s->rank == 1 ? vt_imp_reshape(m, x, &two) : x;
}

/* The product's shape: batch dims broadcast, then rows and columns. */
static int product_shape(struct vt_imp *m, int a, int b, struct vt_shape *ret)
{
	struct vt_shape sa = *vt_imp_shape(m, a), sb = *vt_imp_shape(m, b);
	int64_t rows = sa.dim[sa.rank - 2], cols = sb.dim[sb.rank - 1];
	char ta[160], tb[160];
	bool fits = sa.dim[sa.rank - 1] == sb.dim[sb.rank - 2];

	sa.rank -= 2;
	sb.rank -= 2;
	if (!fits || vt_shape_broadcast(&sa, &sb, ret) || ret->rank + 2 > VT_MAX_RANK)
		return vt_imp_bad(m, -EINVAL, "cannot multiply %s by %s",
				  vt_shape_text(vt_imp_shape(m, a), ta, sizeof(ta)),
				  vt_shape_text(vt_imp_shape(m, b), tb, sizeof(tb)));
	ret->dim[ret->rank++] = rows;
	ret->dim[ret->rank++] = cols;
	return 0;
}

int vt_lower_matmul(struct vt_imp *m, const struct vt_imp_node *n)
{
	bool row = vt_imp_shape(m, n->in[0])->rank == 1, col = vt_imp_shape(m, n->in[1])->rank == 1;
	union vt_params p = {.matmul = {false, false, 1}};
	struct vt_shape s = {0};
	int a, b, y, err;

	if (!vt_imp_shape(m, n->in[0])->rank || !vt_imp_shape(m, n->in[1])->rank ||
	    vt_imp_dtype(m, n->in[0]) != vt_imp_dtype(m, n->in[1]))
		return vt_imp_bad(m, -EINVAL, "its operands are scalars or of different types");
	a = as_matrix(m, n->in[0], true);
	b = as_matrix(m, n->in[1], false);
	if (a < 0 || b < 0)
		return a < 0 ? a : b;
	err = product_shape(m, a, b, &s);
	if (err)
		return err;
	if (vt_imp_is_const(m, b) && vt_imp_shape(m, b)->rank == 2 &&
	    vt_imp_dtype(m, a) == VT_F32 && vt_imp_shape(m, b)->dim[0])
		y = emit_fc(m, a, b, VT_NONE, true);
	else
		y = vt_imp_emit(m, VT_OP_MATMUL, (int[]){a, b}, 2, vt_imp_dtype(m, a), &s, &p);
	if (row || col) {
		if (row) { /* the row's dimension goes first: with col too, the last one goes next */
			s.dim[s.rank - 2] = s.dim[s.rank - 1];
			s.rank--;
		}
		s.rank -= col;
		y = vt_imp_reshape(m, y, &s);
	}
	return vt_imp_set(m, n, 0, y);
}
