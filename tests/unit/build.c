// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "build.h"

/* ---- tensors ------------------------------------------------------------------------------ */

void b_start(struct vt_graph *g)
{
	assert_int_equal(vt_graph_init(g, "test"), 0);
}

int b_input(struct vt_graph *g, const char *name, struct vt_shape s)
{
	int t = vt_graph_add_tensor(g, name, VT_T_INPUT, VT_F32, &s);

	assert_true(t >= 0);
	assert_int_equal(vt_graph_mark_input(g, t), 0);
	return t;
}

int b_const(struct vt_graph *g, struct vt_shape s, unsigned int seed)
{
	int t = vt_graph_add_const(g, "c", VT_F32, &s);
	float *v;

	assert_true(t >= 0);
	v = g->tensors[t].data;
	for (int64_t i = 0; i < vt_shape_elems(&s); i++) {
		seed = seed * 1664525u + 1013904223u;
		v[i] = (float)(seed >> 8) / (float)(1 << 23) - 1;
	}
	return t;
}

int b_fill(struct vt_graph *g, struct vt_shape s, float value)
{
	int t = b_const(g, s, 0);

	for (int64_t i = 0; i < vt_shape_elems(&s); i++)
		((float *)g->tensors[t].data)[i] = value;
	return t;
}

int b_scalar(struct vt_graph *g, float value)
{
	return b_fill(g, (struct vt_shape){0}, value);
}

int b_index(struct vt_graph *g, int64_t value)
{
	int t = vt_graph_add_const(g, "index", VT_I64, &(struct vt_shape){0});

	assert_true(t >= 0);
	*(int64_t *)g->tensors[t].data = value;
	return t;
}

void b_output(struct vt_graph *g, int t)
{
	assert_int_equal(vt_graph_mark_output(g, t), 0);
}

/* ---- nodes -------------------------------------------------------------------------------- */

int b_node(struct vt_graph *g, enum vt_op op, const int *in, int n_in, struct vt_shape out)
{
	char name[64];
	int t;

	snprintf(name, sizeof(name), "%s%d", vt_op_name(op), g->n_nodes);
	t = vt_graph_add_tensor(g, name, VT_T_COMPUTED, VT_F32, &out);
	assert_true(t >= 0);
	assert_true(vt_graph_add_node(g, op, name, in, n_in, &t, 1) >= 0);
	return t;
}

static union vt_params *params(struct vt_graph *g)
{
	return &g->nodes[g->n_nodes - 1].p;
}

int b_unary(struct vt_graph *g, enum vt_op op, int x)
{
	return b_node(g, op, &x, 1, g->tensors[x].shape);
}

int b_clip(struct vt_graph *g, int x, float lo, float hi)
{
	int t = b_unary(g, VT_OP_CLIP, x);

	params(g)->scalar.a = lo;
	params(g)->scalar.b = hi;
	return t;
}

int b_binary(struct vt_graph *g, enum vt_op op, int a, int b)
{
	struct vt_shape s;

	assert_int_equal(vt_shape_broadcast(&g->tensors[a].shape, &g->tensors[b].shape, &s), 0);
	return b_node(g, op, (int[]){a, b}, 2, s);
}

int b_binary_scalar(struct vt_graph *g, enum vt_op op, int a, float b)
{
	return b_binary(g, op, a, b_scalar(g, b));
}

int b_transpose(struct vt_graph *g, int x, const int *perm)
{
	struct vt_shape s = g->tensors[x].shape;
	int t;

	for (int d = 0; d < s.rank; d++)
		s.dim[d] = g->tensors[x].shape.dim[perm[d]];
	t = b_node(g, VT_OP_TRANSPOSE, &x, 1, s);
	memcpy(params(g)->perm.perm, perm, (size_t)s.rank * sizeof(int));
	return t;
}

int b_reshape(struct vt_graph *g, int x, struct vt_shape s)
{
	assert_int_equal(vt_shape_elems(&s), vt_shape_elems(&g->tensors[x].shape));
	return b_node(g, VT_OP_RESHAPE, &x, 1, s);
}

int b_concat(struct vt_graph *g, int axis, const int *in, int n_in)
{
	struct vt_shape s = g->tensors[in[0]].shape;
	int t;

	for (int k = 1; k < n_in; k++)
		s.dim[axis] += g->tensors[in[k]].shape.dim[axis];
	t = b_node(g, VT_OP_CONCAT, in, n_in, s);
	params(g)->axis = axis;
	return t;
}

int b_slice(struct vt_graph *g, int x, int axis, int64_t start, int64_t len)
{
	struct vt_shape s = g->tensors[x].shape;
	int t;

	s.dim[axis] = len;
	t = b_node(g, VT_OP_SLICE, &x, 1, s);
	for (int d = 0; d < s.rank; d++)
		params(g)->slice.step[d] = 1;
	params(g)->slice.start[axis] = start;
	return t;
}

void b_split2(struct vt_graph *g, int x, int axis, int *a, int *b)
{
	struct vt_shape s = g->tensors[x].shape;
	int64_t n = s.dim[axis];
	int out[2];

	s.dim[axis] = n / 2;
	out[0] = vt_graph_add_tensor(g, "first", VT_T_COMPUTED, VT_F32, &s);
	s.dim[axis] = n - n / 2;
	out[1] = vt_graph_add_tensor(g, "second", VT_T_COMPUTED, VT_F32, &s);
	assert_true(vt_graph_add_node(g, VT_OP_SPLIT, "split", &x, 1, out, 2) >= 0);
	params(g)->axis = axis;
	*a = out[0];
	*b = out[1];
}

int b_pad(struct vt_graph *g, int x, int axis, int64_t before, int64_t after, double value)
{
	struct vt_shape s = g->tensors[x].shape;
	int t;

	s.dim[axis] += before + after;
	t = b_node(g, VT_OP_PAD, &x, 1, s);
	params(g)->pad.before[axis] = before;
	params(g)->pad.after[axis] = after;
	params(g)->pad.value = value;
	return t;
}

int b_reduce(struct vt_graph *g, enum vt_op op, int x, uint32_t axes, bool keepdims)
{
	struct vt_shape in = g->tensors[x].shape, s = {0};
	int t;

	for (int d = 0; d < in.rank; d++) {
		if (!(axes >> d & 1))
			s.dim[s.rank++] = in.dim[d];
		else if (keepdims)
			s.dim[s.rank++] = 1;
	}
	t = b_node(g, op, &x, 1, s);
	params(g)->reduce.axes = axes;
	params(g)->reduce.keepdims = keepdims;
	return t;
}

int b_softmax(struct vt_graph *g, int x, int axis)
{
	int t = b_unary(g, VT_OP_SOFTMAX, x);

	params(g)->axis = axis;
	return t;
}

int b_gather(struct vt_graph *g, int x, int index, int axis)
{
	struct vt_shape in = g->tensors[x].shape, s = {.rank = in.rank - 1};
	int t;

	for (int d = 0; d < s.rank; d++)
		s.dim[d] = in.dim[d < axis ? d : d + 1];
	t = b_node(g, VT_OP_GATHER, (int[]){x, index}, 2, s);
	params(g)->axis = axis;
	return t;
}

int b_matmul(struct vt_graph *g, int a, int b)
{
	struct vt_shape s = g->tensors[a].shape, sb = g->tensors[b].shape;
	int t;

	s.dim[s.rank - 1] = sb.dim[sb.rank - 1];
	t = b_node(g, VT_OP_MATMUL, (int[]){a, b}, 2, s);
	params(g)->matmul.alpha = 1;
	return t;
}

int b_fc(struct vt_graph *g, int x, int n, unsigned int seed, bool bias, bool w_kn)
{
	struct vt_shape s = g->tensors[x].shape;
	int64_t k = s.dim[s.rank - 1];
	int in[3] = {x, b_const(g, w_kn ? SHAPE(k, n) : SHAPE(n, k), seed)}, t;

	if (bias)
		in[2] = b_const(g, SHAPE(n), seed + 1);
	s.dim[s.rank - 1] = n;
	t = b_node(g, VT_OP_FC, in, bias ? 3 : 2, s);
	params(g)->fc.w_kn = w_kn;
	return t;
}

/* ---- spatial ------------------------------------------------------------------------------ */

int b_to_nhwc(struct vt_graph *g, int x)
{
	return b_transpose(g, x, (int[]){0, 2, 3, 1});
}

int b_to_nchw(struct vt_graph *g, int x)
{
	return b_transpose(g, x, (int[]){0, 3, 1, 2});
}

int b_conv(struct vt_graph *g, int x, int m, int k, int stride, int pad, int groups,
	   unsigned int seed)
{
	struct vt_shape s = g->tensors[x].shape;
	int in[3], t;

	in[0] = x;
	in[1] = b_const(g, SHAPE(m, s.dim[3] / groups, k, k), seed);
	in[2] = b_const(g, SHAPE(m), seed + 1);
	s = SHAPE(s.dim[0], (s.dim[1] + 2 * pad - k) / stride + 1,
		  (s.dim[2] + 2 * pad - k) / stride + 1, m);
	t = b_node(g, VT_OP_CONV2D, in, 3, s);
	params(g)->conv.kh = params(g)->conv.kw = k;
	params(g)->conv.sh = params(g)->conv.sw = stride;
	params(g)->conv.dh = params(g)->conv.dw = 1;
	params(g)->conv.pt = params(g)->conv.pl = params(g)->conv.pb = params(g)->conv.pr = pad;
	params(g)->conv.groups = groups;
	return t;
}

int b_pool(struct vt_graph *g, enum vt_op op, int x, int k, int stride, int pad)
{
	struct vt_shape s = g->tensors[x].shape;
	int t;

	s = SHAPE(s.dim[0], (s.dim[1] + 2 * pad - k) / stride + 1,
		  (s.dim[2] + 2 * pad - k) / stride + 1, s.dim[3]);
	t = b_node(g, op, &x, 1, s);
	params(g)->pool.kh = params(g)->pool.kw = k;
	params(g)->pool.sh = params(g)->pool.sw = stride;
	params(g)->pool.dh = params(g)->pool.dw = 1;
	params(g)->pool.pt = params(g)->pool.pl = params(g)->pool.pb = params(g)->pool.pr = pad;
	return t;
}

int b_conv_nchw(struct vt_graph *g, int x, int m, int k, int stride, int pad, unsigned int seed)
{
	return b_to_nchw(g, b_conv(g, b_to_nhwc(g, x), m, k, stride, pad, 1, seed));
}

int b_pool_nchw(struct vt_graph *g, enum vt_op op, int x, int k, int stride, int pad)
{
	return b_to_nchw(g, b_pool(g, op, b_to_nhwc(g, x), k, stride, pad));
}

int b_norm(struct vt_graph *g, int x, unsigned int seed)
{
	int64_t c = g->tensors[x].shape.dim[3];
	int in[5] = {x}, t;

	for (int k = 1; k < 5; k++)
		in[k] = b_const(g, SHAPE(c), seed + (unsigned int)k);
	for (int64_t i = 0; i < c; i++) /* a variance is positive */
		((float *)g->tensors[in[4]].data)[i] += 1.5f;
	t = b_node(g, VT_OP_BATCH_NORM, in, 5, g->tensors[x].shape);
	params(g)->norm.eps = 1e-5f;
	return t;
}

int b_norm_nchw(struct vt_graph *g, int x, unsigned int seed)
{
	return b_to_nchw(g, b_norm(g, b_to_nhwc(g, x), seed));
}

int b_gap(struct vt_graph *g, int x)
{
	struct vt_shape s = g->tensors[x].shape;

	s.dim[1] = s.dim[2] = 1;
	return b_node(g, VT_OP_GLOBALAVGPOOL, &x, 1, s);
}

int b_gap_nchw(struct vt_graph *g, int x)
{
	return b_to_nchw(g, b_gap(g, b_to_nhwc(g, x)));
}

/* ---- blocks ------------------------------------------------------------------------------- */

int b_layernorm(struct vt_graph *g, int x, unsigned int seed)
{
	struct vt_shape s = g->tensors[x].shape;
	uint32_t last = 1u << (s.rank - 1);
	int64_t h = s.dim[s.rank - 1];
	int d = b_binary(g, VT_OP_SUB, x, b_reduce(g, VT_OP_REDUCE_MEAN, x, last, true));
	int v = b_reduce(g, VT_OP_REDUCE_MEAN, b_binary_scalar(g, VT_OP_POW, d, 2), last, true);
	int y = b_binary(g, VT_OP_DIV, d,
			 b_unary(g, VT_OP_SQRT, b_binary_scalar(g, VT_OP_ADD, v, 1e-5f)));

	y = b_binary(g, VT_OP_MUL, y, b_const(g, SHAPE(h), seed));
	return b_binary(g, VT_OP_ADD, y, b_const(g, SHAPE(h), seed + 1));
}

int b_heads(struct vt_graph *g, int x, int heads, bool transposed)
{
	struct vt_shape s = g->tensors[x].shape;
	int t = b_reshape(g, x, SHAPE(s.dim[0], s.dim[1], heads, s.dim[2] / heads));

	return b_transpose(g, t, transposed ? (int[]){0, 2, 3, 1} : (int[]){0, 2, 1, 3});
}

/* ---- questions ---------------------------------------------------------------------------- */

int b_count(const struct vt_graph *g, enum vt_op op)
{
	int n = 0;

	for (int i = 0; i < g->n_nodes; i++)
		n += g->nodes[i].op == op;
	return n;
}

const struct vt_node *b_find(const struct vt_graph *g, enum vt_op op)
{
	for (int i = 0; i < g->n_nodes; i++)
		if (g->nodes[i].op == op)
			return &g->nodes[i];
	return NULL;
}
