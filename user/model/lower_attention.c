// SPDX-License-Identifier: Apache-2.0
/*
 * Lowerings: Attention and RotaryEmbedding of opset 23, spelled out as exporters spelled them before;
 * pass_attention.c makes one node of it again where the kernels have one.
 */
#include "model/import.h"

#include <math.h>
#include <string.h>

enum { Q, K, V, MASK, PAST_K, PAST_V }; /* operands */

struct attention {
	enum vt_dtype type;	 /* that it is computed in */
	int64_t heads, kv_heads; /* of the query, of key and value */
	int64_t past;		 /* keys before those of operand K */
	int q, k, v;		 /* [B, heads, S, d], [B, heads, T, d] */
	int keep;      /* bool, [.., S, 1]: rows that attend to anything, or VT_NONE: all do */
	int scores[4]; /* for qk_matmul_output: as products, capped, masked, after softmax */
};

static int swap_middle(struct vt_imp *m, int x)
{
	return vt_imp_transpose(m, x, (const int[]){0, 2, 1, 3});
}

/* [B, S, heads * d] to [B, heads, S, d]; one of rank 4 is so already. */
static int split_heads(struct vt_imp *m, int x, int64_t heads)
{
	const struct vt_shape *s = vt_imp_shape(m, x);
	struct vt_shape apart = {4, {s->dim[0], s->dim[1], heads, 0}};

	if (s->rank == 4 || heads < 1)
		return x;
	apart.dim[3] = s->dim[2] / heads;
	return swap_middle(m, vt_imp_reshape(m, x, &apart));
}

static int join_heads(struct vt_imp *m, int x)
{
	struct vt_shape s = *vt_imp_shape(m, x);
	struct vt_shape flat = {3, {s.dim[0], s.dim[2], s.dim[1] * s.dim[3]}};

	return vt_imp_reshape(m, swap_middle(m, x), &flat);
}

static int read_heads(struct vt_imp *m, const struct vt_imp_node *n, struct attention *a)
{
	const struct vt_shape *q = vt_imp_shape(m, n->in[Q]), *k = vt_imp_shape(m, n->in[K]),
			      *v = vt_imp_shape(m, n->in[V]);
	const bool split = q->rank == 4;

	if ((q->rank != 3 && q->rank != 4) || k->rank != q->rank || v->rank != q->rank)
		return vt_imp_bad(m, -EINVAL,
				  "its operands have %d, %d and %d dimensions, not 3 or 4", q->rank,
				  k->rank, v->rank);
	a->heads = split ? q->dim[1] : vt_imp_int(n, "q_num_heads", 0);
	a->kv_heads = split ? k->dim[1] : vt_imp_int(n, "kv_num_heads", 0);
	if (a->heads < 1 || a->kv_heads < 1 || a->heads % a->kv_heads ||
	    (split && v->dim[1] != a->kv_heads) ||
	    (!split &&
	     (q->dim[2] % a->heads || k->dim[2] % a->kv_heads || v->dim[2] % a->kv_heads)))
		return vt_imp_bad(m, -EINVAL, "%lld heads of queries and %lld of keys do not fit",
				  (long long)a->heads, (long long)a->kv_heads);
	return 0;
}

static int read_types(struct vt_imp *m, const struct vt_imp_node *n, struct attention *a)
{
	const enum vt_dtype t = vt_imp_dtype(m, n->in[Q]);
	int precision = vt_imp_type(m, n, "softmax_precision");

	if (precision < 0)
		return precision;
	for (int i = K; i <= PAST_V; i++)
		if (i != MASK && vt_imp_is(n, i) && vt_imp_dtype(m, n->in[i]) != t)
			return vt_imp_bad(
				m, -ENOEXEC, "operands of types %s and %s are not supported",
				vt_dtype_name(t), vt_dtype_name(vt_imp_dtype(m, n->in[i])));
	if (!vt_imp_is_float(t))
		return vt_imp_bad(m, -EINVAL, "its operands have type %s", vt_dtype_name(t));
	a->type = vt_imp_is_half(t) ? VT_F32 : t;
	if (precision == VT_F64)
		a->type = VT_F64;
	return 0;
}

/* Behind what was kept of earlier calls; what there is now is also output @out. */
static int append(struct vt_imp *m, const struct vt_imp_node *n, int past, int x, int out)
{
	struct vt_shape s = *vt_imp_shape(m, x);
	union vt_params p = {.axis = 2};
	int err;

	if (x >= 0 && vt_imp_is(n, past)) {
		const struct vt_shape *before = vt_imp_shape(m, n->in[past]);
		bool fits = before->rank == 4;

		for (int d = 0; d < 4 && fits; d++)
			fits = d == 2 || before->dim[d] == s.dim[d];
		if (!fits || __builtin_add_overflow(s.dim[2], before->dim[2], &s.dim[2]))
			return vt_imp_bad(m, -EINVAL, "operand %d does not fit", past);
		x = vt_imp_emit(m, VT_OP_CONCAT, (int[]){n->in[past], x}, 2, vt_imp_dtype(m, x), &s,
				&p);
	}
	err = x >= 0 && vt_imp_wanted(m, n, out) ? vt_imp_set(m, n, out, x) : 0;
	return err ? err : x;
}

/* Each head of keys or values stands before as many heads of queries. */
static int repeat_heads(struct vt_imp *m, int x, const struct attention *a)
{
	struct vt_shape s = *vt_imp_shape(m, x);
	struct vt_shape one = {5, {s.dim[0], s.dim[1], 1, s.dim[2], s.dim[3]}}, all = one;

	if (x < 0 || a->heads == a->kv_heads)
		return x;
	all.dim[2] = a->heads / a->kv_heads;
	s.dim[1] = a->heads;
	return vt_imp_reshape(m, vt_imp_expand(m, vt_imp_reshape(m, x, &one), &all), &s);
}

static int read_operands(struct vt_imp *m, const struct vt_imp_node *n, struct attention *a)
{
	int err = read_types(m, n, a);

	if (!err)
		err = read_heads(m, n, a);
	if (!err && vt_imp_is(n, PAST_K) != vt_imp_is(n, PAST_V))
		err = vt_imp_bad(m, -EINVAL, "has one of past_key and past_value");
	if (err)
		return err;
	a->past = vt_imp_is(n, PAST_K) ? vt_imp_shape(m, n->in[PAST_K])->dim[2] : 0;
	a->q = vt_imp_cast(m, split_heads(m, n->in[Q], a->heads), a->type);
	a->k = append(m, n, PAST_K, split_heads(m, n->in[K], a->kv_heads), 1);
	a->v = append(m, n, PAST_V, split_heads(m, n->in[V], a->kv_heads), 2);
	a->k = vt_imp_cast(m, repeat_heads(m, a->k, a), a->type);
	a->v = vt_imp_cast(m, repeat_heads(m, a->v, a), a->type);
	return a->q < 0 ? a->q : a->k < 0 ? a->k : a->v < 0 ? a->v : 0;
}

/* [S, T]: true where a query sees a key, those before it and its own. */
static int causal(struct vt_imp *m, const struct attention *a, int64_t s, int64_t t)
{
	struct vt_shape shape = {2, {s, t}};
	int x = vt_imp_const(m, VT_BOOL, &shape);

	for (int64_t i = 0; x >= 0 && i < s; i++)
		for (int64_t j = 0; j < t && j <= i + a->past; j++)
			((uint8_t *)m->g->tensors[x].data)[i * t + j] = 1;
	return x;
}

/* 0 where @allowed, -inf elsewhere */
static int bias_of(struct vt_imp *m, const struct attention *a, int allowed)
{
	int in[3] = {allowed, vt_imp_scalar(m, a->type, 0), vt_imp_scalar(m, a->type, -INFINITY)};

	return vt_imp_emit(m, VT_OP_WHERE, in, 3, a->type, vt_imp_shape(m, allowed), NULL);
}

static bool all_true(const struct vt_tensor *t)
{
	return t->data && (!t->bytes || !memchr(t->data, 0, t->bytes));
}

/* Does a row of the scores see any key? VT_NONE: each does, as is known now. */
static int any_key(struct vt_imp *m, int bias)
{
	const int rank = vt_imp_shape(m, bias)->rank;
	int least = vt_imp_scalar(m, vt_imp_dtype(m, bias), -INFINITY), x;

	x = vt_imp_reduce(m, VT_OP_REDUCE_MAX, bias, 1u << (rank - 1), true);
	x = vt_imp_binary(m, VT_OP_GREATER, x, least);
	return x >= 0 && all_true(&m->g->tensors[x]) ? VT_NONE : x;
}

/* What is added to the scores, from attn_mask and is_causal together; VT_NONE: nothing. */
static int mask_of(struct vt_imp *m, const struct vt_imp_node *n, struct attention *a)
{
	const int64_t s = vt_imp_shape(m, a->q)->dim[2], t = vt_imp_shape(m, a->k)->dim[2];
	const struct vt_shape scores = {4, {vt_imp_shape(m, a->q)->dim[0], a->heads, s, t}};
	int mask = vt_imp_is(n, MASK) ? n->in[MASK] : VT_NONE, seen = VT_NONE;
	struct vt_shape all;

	a->keep = VT_NONE;
	if (mask >= 0 && (!vt_imp_shape(m, mask)->rank ||
			  vt_shape_broadcast(&scores, vt_imp_shape(m, mask), &all) ||
			  !vt_shape_equal(&scores, &all)))
		return vt_imp_bad(m, -EINVAL, "attn_mask does not broadcast to its scores");
	if (vt_imp_int(n, "is_causal", 0)) {
		seen = causal(m, a, s, t);
		if (seen < 0)
			return seen;
	}
	if (mask == VT_NONE) /* a row sees its own key at least */
		return seen == VT_NONE ? VT_NONE : bias_of(m, a, seen);
	if (vt_imp_dtype(m, mask) == VT_BOOL) {
		mask = bias_of(m, a,
			       seen == VT_NONE ? mask : vt_imp_binary(m, VT_OP_AND, mask, seen));
	} else if (vt_imp_is_float(vt_imp_dtype(m, mask))) {
		mask = vt_imp_cast(m, mask, a->type);
		if (seen != VT_NONE)
			mask = vt_imp_binary(m, VT_OP_ADD, mask, bias_of(m, a, seen));
	} else {
		return vt_imp_bad(m, -ENOEXEC, "attn_mask of %s is not supported",
				  vt_dtype_name(vt_imp_dtype(m, mask)));
	}
	if (mask < 0)
		return mask;
	a->keep = any_key(m, mask);
	return a->keep < VT_NONE ? a->keep : mask;
}

static int product(struct vt_imp *m, int a, int b, bool transposed)
{
	struct vt_shape s = *vt_imp_shape(m, a);
	union vt_params p = {.matmul = {false, transposed, 1}};

	if (a < 0 || b < 0)
		return a < 0 ? a : b;
	s.dim[3] = vt_imp_shape(m, b)->dim[transposed ? 2 : 3];
	return vt_imp_emit(m, VT_OP_MATMUL, (int[]){a, b}, 2, vt_imp_dtype(m, a), &s, &p);
}

/* cap * tanh(x / cap) */
static int capped(struct vt_imp *m, const struct attention *a, int x, float cap)
{
	if (cap == 0)
		return x;
	x = vt_imp_binary(m, VT_OP_DIV, x, vt_imp_scalar(m, a->type, cap));
	return vt_imp_binary(m, VT_OP_MUL, vt_imp_unary(m, VT_OP_TANH, x, 0, 0),
			     vt_imp_scalar(m, a->type, cap));
}

/* A row that sees no key would be NaN: it is 0. */
static int zero_rows(struct vt_imp *m, const struct attention *a, int x)
{
	int in[3] = {a->keep, x, VT_NONE};

	if (a->keep == VT_NONE || x < 0)
		return x;
	in[2] = vt_imp_scalar(m, a->type, 0);
	return vt_imp_emit(m, VT_OP_WHERE, in, 3, a->type, vt_imp_shape(m, x), NULL);
}

static int fits(struct vt_imp *m, const struct attention *a)
{
	const struct vt_shape *q = vt_imp_shape(m, a->q), *k = vt_imp_shape(m, a->k),
			      *v = vt_imp_shape(m, a->v);

	if (q->dim[0] == k->dim[0] && q->dim[0] == v->dim[0] && q->dim[3] == k->dim[3] &&
	    k->dim[2] == v->dim[2] && q->dim[3] > 0)
		return 0;
	return vt_imp_bad(m, -EINVAL, "its query, key and value do not fit");
}

/* Fills a->scores; returns the last of them. */
static int emit_scores(struct vt_imp *m, const struct vt_imp_node *n, struct attention *a, int mask)
{
	const double d = (double)vt_imp_shape(m, a->q)->dim[3];
	const float scale = vt_imp_float(n, "scale", (float)(1 / sqrt(d)));
	union vt_params p = {.axis = 3};
	int *s = a->scores;

	s[0] = vt_imp_binary(m, VT_OP_MUL, product(m, a->q, a->k, true),
			     vt_imp_scalar(m, a->type, scale));
	s[1] = capped(m, a, s[0], vt_imp_float(n, "softcap", 0));
	s[2] = mask == VT_NONE ? s[1] : vt_imp_binary(m, VT_OP_ADD, s[1], mask);
	if (s[2] < 0)
		return s[2];
	s[3] = vt_imp_emit(m, VT_OP_SOFTMAX, &s[2], 1, a->type, vt_imp_shape(m, s[2]), &p);
	return s[3];
}

int vt_lower_attention(struct vt_imp *m, const struct vt_imp_node *n)
{
	const enum vt_dtype type = vt_imp_dtype(m, n->in[Q]);
	const bool flat = vt_imp_shape(m, n->in[Q])->rank == 3;
	const int64_t mode = vt_imp_int(n, "qk_matmul_output_mode", 0);
	struct attention a = {0};
	int err = read_operands(m, n, &a), mask, y;

	if (!err)
		err = fits(m, &a);
	if (!err && (mode < 0 || mode > 3))
		err = vt_imp_bad(m, -EINVAL, "qk_matmul_output_mode is %lld", (long long)mode);
	mask = err ? err : mask_of(m, n, &a);
	if (mask < VT_NONE || err)
		return err ? err : mask;
	y = emit_scores(m, n, &a, mask);
	y = zero_rows(m, &a, product(m, y, a.v, false));
	y = vt_imp_cast(m, flat ? join_heads(m, y) : y, type);
	err = vt_imp_set(m, n, 0, y);
	if (err || !vt_imp_wanted(m, n, 3))
		return err;
	y = mode == 3 ? zero_rows(m, &a, a.scores[3]) : a.scores[mode];
	return vt_imp_set(m, n, 3, vt_imp_cast(m, y, type));
}

/* ---- RotaryEmbedding ---------------------------------------------------------------------- */

/* A cache's rows for each position, as [B, 1, S, half] or, if the heads stand behind, [B, S, 1, half]. */
static int cache(struct vt_imp *m, const struct vt_imp_node *n, int i, bool behind, int64_t half)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[i]);
	union vt_params p = {.axis = 0};
	int x = n->in[i];

	if (vt_imp_is(n, 3)) {
		const struct vt_shape *at = vt_imp_shape(m, n->in[3]);

		if (s.rank != 2 || at->rank != 2 || vt_imp_dtype(m, n->in[3]) != VT_I64)
			return vt_imp_bad(m, -EINVAL, "operand %d or position_ids is no matrix", i);
		s = (struct vt_shape){3, {at->dim[0], at->dim[1], s.dim[1]}};
		x = vt_imp_emit(m, VT_OP_GATHER, (int[]){x, n->in[3]}, 2, vt_imp_dtype(m, x), &s,
				&p);
	}
	if (s.rank != 3 || s.dim[2] != half)
		return vt_imp_bad(m, -EINVAL, "operand %d does not have %lld values for a position",
				  i, (long long)half);
	s = (struct vt_shape){4, {s.dim[0], s.dim[1], s.dim[1], half}};
	s.dim[behind ? 2 : 1] = 1;
	return vt_imp_reshape(m, x, &s);
}

static int join_last(struct vt_imp *m, int a, int b)
{
	struct vt_shape s = *vt_imp_shape(m, a);
	union vt_params p = {.axis = s.rank - 1};

	if (a < 0 || b < 0)
		return a < 0 ? a : b;
	s.dim[p.axis] += vt_imp_shape(m, b)->dim[p.axis];
	return vt_imp_emit(m, VT_OP_CONCAT, (int[]){a, b}, 2, vt_imp_dtype(m, a), &s, &p);
}

/* Element after element instead of half after half. */
static int interleave(struct vt_imp *m, int a, int b)
{
	const struct vt_shape s = *vt_imp_shape(m, a);
	struct vt_shape column = {5, {s.dim[0], s.dim[1], s.dim[2], s.dim[3], 1}}, whole = s;

	if (a < 0 || b < 0)
		return a < 0 ? a : b;
	whole.dim[3] *= 2;
	return vt_imp_reshape(
		m, join_last(m, vt_imp_reshape(m, a, &column), vt_imp_reshape(m, b, &column)),
		&whole);
}

/* x [.., .., .., rotated] turned by the angles of @cos and @sin. */
static int rotate(struct vt_imp *m, int x, int cos, int sin, bool pairs)
{
	const int64_t half = vt_imp_shape(m, x)->dim[3] / 2, step = pairs ? 2 : 1;
	int a = vt_imp_slice(m, x, 3, 0, half, step);
	int b = vt_imp_slice(m, x, 3, pairs ? 1 : half, half, step);
	int re = vt_imp_binary(m, VT_OP_SUB, vt_imp_binary(m, VT_OP_MUL, a, cos),
			       vt_imp_binary(m, VT_OP_MUL, b, sin));
	int im = vt_imp_binary(m, VT_OP_ADD, vt_imp_binary(m, VT_OP_MUL, a, sin),
			       vt_imp_binary(m, VT_OP_MUL, b, cos));

	return pairs ? interleave(m, re, im) : join_last(m, re, im);
}

int vt_lower_rotary(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	const bool flat = s.rank == 3;
	const int64_t heads = flat ? vt_imp_int(n, "num_heads", 0) : 1;
	int64_t turned = vt_imp_int(n, "rotary_embedding_dim", 0);
	struct vt_shape apart = s;
	int x = n->in[0], cos, sin, y;

	if ((s.rank != 3 && s.rank != 4) || heads < 1 || s.dim[s.rank - 1] % heads)
		return vt_imp_bad(m, -EINVAL, "%lld heads do not fit %d dimensions",
				  (long long)heads, s.rank);
	if (vt_imp_one_type(m, n, 3))
		return -EINVAL;
	if (flat)
		apart = (struct vt_shape){4, {s.dim[0], s.dim[1], heads, s.dim[2] / heads}};
	turned = turned ? turned : apart.dim[3];
	if (turned < 2 || turned % 2 || turned > apart.dim[3])
		return vt_imp_bad(m, -EINVAL, "%lld of %lld elements cannot be rotated",
				  (long long)turned, (long long)apart.dim[3]);
	cos = cache(m, n, 1, flat, turned / 2);
	sin = cos < 0 ? cos : cache(m, n, 2, flat, turned / 2);
	x = sin < 0 ? sin : vt_imp_reshape(m, x, &apart);
	if (x < 0)
		return x;
	y = turned == apart.dim[3] ? x : vt_imp_slice(m, x, 3, 0, turned, 1);
	y = y < 0 ? y : rotate(m, y, cos, sin, vt_imp_int(n, "interleaved", 0) != 0);
	if (turned < apart.dim[3])
		y = join_last(m, y, vt_imp_slice(m, x, 3, turned, apart.dim[3] - turned, 1));
	if (y >= 0 && !vt_shape_equal(vt_imp_shape(m, y), &apart))
		return vt_imp_bad(m, -EINVAL, "its caches have other positions than its operand");
	return vt_imp_set(m, n, 0, flat ? vt_imp_reshape(m, y, &s) : y);
}
