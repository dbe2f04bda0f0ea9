// SPDX-License-Identifier: Apache-2.0
/* layernorm, attention, affine, matmul, epilogue: what becomes one node. */
#include "harness.h"

#include <math.h>

#include "build.h"
#include "model/pass.h"

/* ---- LayerNormalization -------------------------------------------------------------------- */

static int n_torch(struct vt_graph *g, int x)
{
	return b_layernorm(g, x, 3);
}

/* d * reciprocal(sqrt(mean(d * d) + eps)) over the last two dims, no scale */
static int n_two_dims(struct vt_graph *g, int x)
{
	int d = b_binary(g, VT_OP_SUB, x, b_reduce(g, VT_OP_REDUCE_MEAN, x, 6, true));
	int v = b_reduce(g, VT_OP_REDUCE_MEAN, b_binary(g, VT_OP_MUL, d, d), 6, true);

	v = b_unary(g, VT_OP_SQRT, b_binary_scalar(g, VT_OP_ADD, v, 1e-3f));
	v = b_binary(g, VT_OP_MUL, b_unary(g, VT_OP_RECIPROCAL, v), d);
	return b_binary(g, VT_OP_ADD, v, b_const(g, SHAPE(1, 4, 6), 7));
}

/* tf.nn.batch_normalization on moments */
static int batch_form(struct vt_graph *g, int x, struct vt_shape bias)
{
	int m = b_reduce(g, VT_OP_REDUCE_MEAN, x, 4, true), d = b_binary(g, VT_OP_SUB, x, m), v, r;

	v = b_reduce(g, VT_OP_REDUCE_MEAN, b_binary(g, VT_OP_MUL, d, d), 4, true);
	v = b_unary(g, VT_OP_SQRT, b_binary_scalar(g, VT_OP_ADD, v, 1e-3f));
	r = b_binary(g, VT_OP_MUL, b_unary(g, VT_OP_RECIPROCAL, v), b_const(g, SHAPE(6), 8));
	return b_binary(g, VT_OP_ADD, b_binary(g, VT_OP_MUL, x, r),
			b_binary(g, VT_OP_SUB, b_const(g, bias, 9), b_binary(g, VT_OP_MUL, m, r)));
}

static int n_batch_form(struct vt_graph *g, int x)
{
	return batch_form(g, x, SHAPE(6));
}

static int n_pow_half(struct vt_graph *g, int x)
{
	int d = b_binary(g, VT_OP_SUB, x, b_reduce(g, VT_OP_REDUCE_MEAN, x, 4, true));
	int v = b_reduce(g, VT_OP_REDUCE_MEAN, b_binary_scalar(g, VT_OP_POW, d, 2), 4, true);

	v = b_binary_scalar(g, VT_OP_POW, b_binary_scalar(g, VT_OP_ADD, v, 1e-5f), -0.5f);
	return b_binary(g, VT_OP_MUL, b_binary(g, VT_OP_MUL, d, v), b_const(g, SHAPE(1, 1, 6), 8));
}

/* x * (1 / sqrt(mean(x ^ 2) + eps)) times a weight: RMSNormalization */
static int rms(struct vt_graph *g, int x, int of, bool reciprocal)
{
	int v = b_reduce(g, VT_OP_REDUCE_MEAN, b_binary_scalar(g, VT_OP_POW, of, 2), 4, true), y;

	v = b_unary(g, VT_OP_SQRT, b_binary_scalar(g, VT_OP_ADD, v, 1e-3f));
	y = reciprocal ? b_binary(g, VT_OP_MUL, x, b_unary(g, VT_OP_RECIPROCAL, v))
		       : b_binary(g, VT_OP_DIV, x, v);
	return b_binary(g, VT_OP_MUL, y, b_const(g, SHAPE(6), 8));
}

static int n_rms(struct vt_graph *g, int x)
{
	return rms(g, x, x, true);
}

static int n_rms_div(struct vt_graph *g, int x)
{
	return rms(g, x, x, false);
}

/* by the mean square of something else */
static int n_rms_wrong(struct vt_graph *g, int x)
{
	return rms(g, x, b_unary(g, VT_OP_ABS, x), true);
}

/* the variance of something else: no LayerNormalization */
static int n_wrong(struct vt_graph *g, int x)
{
	int d = b_binary(g, VT_OP_SUB, x, b_reduce(g, VT_OP_REDUCE_MEAN, x, 4, true));
	int v = b_reduce(g, VT_OP_REDUCE_MEAN, b_binary(g, VT_OP_MUL, x, x), 4, true);

	v = b_unary(g, VT_OP_SQRT, b_binary_scalar(g, VT_OP_ADD, v, 1e-5f));
	return b_binary(g, VT_OP_DIV, d, v);
}

/* scale, epsilon or bias of more dims than x: the result has them too, a LayerNormalization's not */
static int plain(struct vt_graph *g, int x, struct vt_shape eps)
{
	int d = b_binary(g, VT_OP_SUB, x, b_reduce(g, VT_OP_REDUCE_MEAN, x, 4, true));
	int v = b_reduce(g, VT_OP_REDUCE_MEAN, b_binary(g, VT_OP_MUL, d, d), 4, true);

	v = b_unary(g, VT_OP_SQRT, b_binary(g, VT_OP_ADD, v, b_fill(g, eps, 1e-3f)));
	return b_binary(g, VT_OP_DIV, d, v);
}

static int n_deep_scale(struct vt_graph *g, int x)
{
	return b_binary(g, VT_OP_MUL, plain(g, x, SHAPE(1)), b_const(g, SHAPE(1, 1, 1, 6), 8));
}

static int n_deep_bias(struct vt_graph *g, int x)
{
	return b_binary(g, VT_OP_ADD, plain(g, x, SHAPE(1)), b_const(g, SHAPE(1, 1, 1, 6), 8));
}

static int n_deep_eps(struct vt_graph *g, int x)
{
	return plain(g, x, SHAPE(1, 1, 1, 1));
}

static int n_deep_batch_form(struct vt_graph *g, int x)
{
	return batch_form(g, x, SHAPE(1, 1, 1, 6));
}

static void test_layernorm(void **state)
{
	static const struct {
		int (*make)(struct vt_graph *g, int x);
		int norms, nodes;
	} t[] = {{n_torch, 1, 1},     {n_two_dims, 1, 1}, {n_batch_form, 1, 1},
		 {n_pow_half, 1, 1},  {n_wrong, 0, 7},	  {n_deep_scale, 1, 2},
		 {n_deep_bias, 1, 2}, {n_deep_eps, 0, 7}, {n_deep_batch_form, 0, 12},
		 {n_rms, 1, 1},	      {n_rms_div, 1, 1},  {n_rms_wrong, 0, 8}};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;

		b_start(&g);
		b_output(&g, t[i].make(&g, b_input(&g, "x", SHAPE(2, 4, 6))));
		b_same_function(&g, vt_pass_layernorm);
		assert_int_equal(b_count(&g, VT_OP_LAYER_NORM), t[i].norms);
		assert_int_equal(g.n_nodes, t[i].nodes);
		vt_graph_fini(&g);
	}
}

/* ---- attention ----------------------------------------------------------------------------- */

enum { B = 2, S = 5, HEADS = 3, D = 4, H = HEADS * D };

static int merge_heads(struct vt_graph *g, int y)
{
	return b_reshape(g, b_transpose(g, y, (int[]){0, 2, 1, 3}), SHAPE(B, S, H));
}

/* BERT as PyTorch writes it: scores / 2 + mask */
static int t_bert(struct vt_graph *g, int x)
{
	int q = b_heads(g, b_fc(g, x, H, 1, true, false), HEADS, false);
	int k = b_heads(g, b_fc(g, x, H, 3, true, false), HEADS, true);
	int v = b_heads(g, b_fc(g, x, H, 5, true, false), HEADS, false);
	int s = b_binary_scalar(g, VT_OP_DIV, b_matmul(g, q, k), 2);

	s = b_binary(g, VT_OP_ADD, s, b_input(g, "mask", SHAPE(B, 1, 1, S)));
	return merge_heads(g, b_matmul(g, b_softmax(g, s, 3), v));
}

/* scaled_dot_product_attention: factors on q and k, k transposed after its heads, no mask */
static int t_sdpa(struct vt_graph *g, int x)
{
	int q = b_heads(g, b_fc(g, x, H, 1, true, false), HEADS, false);
	int k = b_heads(g, b_fc(g, x, H, 3, true, false), HEADS, false);
	int v = b_heads(g, b_fc(g, x, H, 5, true, false), HEADS, false);

	q = b_binary_scalar(g, VT_OP_MUL, q, 0.7f);
	k = b_binary_scalar(g, VT_OP_MUL, b_transpose(g, k, (int[]){0, 1, 3, 2}), 0.7f);
	return merge_heads(g, b_matmul(g, b_softmax(g, b_matmul(g, q, k), 3), v));
}

/* one FC for all three, unpacked by Gather (timm) */
static int t_packed(struct vt_graph *g, int x)
{
	int p = b_reshape(g, b_fc(g, x, 3 * H, 1, true, false), SHAPE(B, S, 3, HEADS, D)), q, k, v;

	p = b_transpose(g, p, (int[]){2, 0, 3, 1, 4});
	q = b_binary_scalar(g, VT_OP_MUL, b_gather(g, p, b_index(g, 0), 0), 0.5f);
	k = b_transpose(g, b_gather(g, p, b_index(g, 1), 0), (int[]){0, 1, 3, 2});
	v = b_gather(g, p, b_index(g, 2), 0);
	return merge_heads(g, b_matmul(g, b_softmax(g, b_matmul(g, q, k), 3), v));
}

/* batch and heads in one dim, [B*S, H] between (TensorFlow) */
static int t_flat(struct vt_graph *g, int x)
{
	int f = b_reshape(g, x, SHAPE(B * S, H)), q, k, v, s;

	q = b_reshape(g, b_fc(g, f, H, 1, true, true), SHAPE(B, S, HEADS, D));
	k = b_reshape(g, b_fc(g, f, H, 3, true, true), SHAPE(B, S, HEADS, D));
	v = b_reshape(g, b_fc(g, f, H, 5, true, true), SHAPE(B, S, HEADS, D));
	q = b_transpose(g, q, (int[]){0, 2, 1, 3});
	k = b_transpose(g, k, (int[]){0, 2, 3, 1});
	v = b_transpose(g, v, (int[]){0, 2, 1, 3});
	s = b_binary_scalar(g, VT_OP_MUL, b_matmul(g, q, k), 0.5f);
	s = b_binary(g, VT_OP_ADD, b_const(g, SHAPE(S, S), 9), s);
	s = b_transpose(g, b_matmul(g, b_softmax(g, s, 3), v), (int[]){0, 2, 1, 3});
	s = b_fc(g, b_reshape(g, s, SHAPE(B * S, H)), H, 7, true, false);
	return b_binary(g, VT_OP_ADD, b_reshape(g, s, SHAPE(B, S, H)), x);
}

/* sequence first, every head of every batch in one dim (nn.MultiheadAttention) */
static int t_sequence_first(struct vt_graph *g, int x)
{
	int f = b_reshape(g, x, SHAPE(S, B, H)), q, k, v, y;

	q = b_transpose(g, b_reshape(g, b_fc(g, f, H, 1, true, false), SHAPE(S, B * HEADS, D)),
			(int[]){1, 0, 2});
	k = b_transpose(g, b_reshape(g, b_fc(g, f, H, 3, true, false), SHAPE(S, B * HEADS, D)),
			(int[]){1, 2, 0});
	v = b_transpose(g, b_reshape(g, b_fc(g, f, H, 5, true, false), SHAPE(S, B * HEADS, D)),
			(int[]){1, 0, 2});
	y = b_matmul(g, b_softmax(g, b_matmul(g, b_binary_scalar(g, VT_OP_MUL, q, 0.5f), k), 2), v);
	y = b_reshape(g, b_transpose(g, y, (int[]){1, 0, 2}), SHAPE(S, B, H));
	return b_fc(g, y, H, 7, true, false);
}

/* a single head, never split */
static int t_single(struct vt_graph *g, int x)
{
	int q = b_fc(g, x, H, 1, true, false), k = b_fc(g, x, H, 3, true, false), s;

	s = b_matmul(g, q, b_transpose(g, k, (int[]){0, 2, 1}));
	s = b_binary(g, VT_OP_ADD, b_binary_scalar(g, VT_OP_MUL, s, 0.3f),
		     b_input(g, "mask", SHAPE(B, 1, S)));
	return b_matmul(g, b_softmax(g, s, 2), b_fc(g, x, H, 5, true, false));
}

static int optimize(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	return vt_optimize(g, eval, e);
}

static void test_attention(void **state)
{
	static const struct {
		const char *name;
		int (*make)(struct vt_graph *g, int x);
		int heads, nodes; /* without Reshapes */
	} t[] = {
		{"bert", t_bert, HEADS, 4},
		{"sdpa", t_sdpa, HEADS, 4},
		{"packed", t_packed, HEADS, 5},
		{"flat", t_flat, HEADS, 5},
		{"sequence first", t_sequence_first, B * HEADS, 5},
		{"single", t_single, 1, 4},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		int nodes;

		b_start(&g);
		b_output(&g, t[i].make(&g, b_input(&g, "x", SHAPE(B, S, H))));
		b_same_function(&g, optimize);
		nodes = g.n_nodes - b_count(&g, VT_OP_RESHAPE);
		if (b_count(&g, VT_OP_ATTENTION) != 1 || nodes != t[i].nodes) {
			vt_graph_dump(&g, stderr);
			fail_msg("%s: %d nodes, not %d", t[i].name, nodes, t[i].nodes);
		}
		assert_int_equal(b_find(&g, VT_OP_ATTENTION)->p.attention.heads, t[i].heads);
		vt_graph_fini(&g);
	}
}

/* ---- into convolutions and FCs ------------------------------------------------------------- */

static int fuse_all(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	int rc = vt_pass_affine(g, eval, changed, e);

	return rc ? rc : vt_pass_epilogue(g, eval, changed, e);
}

/* ResNet: conv bn relu conv bn, conv bn beside it, add, relu */
static int f_resnet(struct vt_graph *g, int x)
{
	int a = b_unary(g, VT_OP_RELU, b_norm(g, b_conv(g, x, 4, 1, 1, 0, 1, 1), 2));
	int b = b_norm(g, b_conv(g, x, 6, 1, 1, 0, 1, 5), 6);

	a = b_norm(g, b_conv(g, a, 6, 3, 1, 1, 1, 3), 4);
	return b_unary(g, VT_OP_RELU, b_binary(g, VT_OP_ADD, a, b));
}

/* MobileNet: depthwise, clip; no activation after the sum, whose other side is read again */
static int f_mobile(struct vt_graph *g, int x)
{
	int a = b_clip(g, b_norm(g, b_conv(g, x, 4, 3, 1, 1, 2, 1), 2), 0, 6);
	int y = b_binary(g, VT_OP_ADD, x, b_norm(g, b_conv(g, a, 4, 1, 1, 0, 1, 3), 4));

	return b_binary(g, VT_OP_ADD, b_conv(g, y, 4, 1, 1, 0, 1, 7), y);
}

/* the sum's convolution is read twice: only the activation of one reader could go in, so none */
static int f_read_twice(struct vt_graph *g, int x)
{
	int a = b_conv(g, x, 4, 1, 1, 0, 1, 1);

	return b_binary(g, VT_OP_MUL, b_unary(g, VT_OP_RELU, a), a);
}

/* activation first, sum second: act(y) + r is not act(y + r) */
static int f_act_then_add(struct vt_graph *g, int x)
{
	return b_binary(g, VT_OP_ADD, b_unary(g, VT_OP_SILU, b_conv(g, x, 4, 1, 1, 0, 1, 1)), x);
}

static int f_channel_ops(struct vt_graph *g, int x)
{
	int y = b_binary(g, VT_OP_MUL, b_conv(g, x, 4, 1, 1, 0, 1, 1), b_const(g, SHAPE(4), 3));

	y = b_binary(g, VT_OP_SUB, y, b_const(g, SHAPE(1, 1, 1, 4), 4));
	y = b_binary_scalar(g, VT_OP_DIV, b_binary_scalar(g, VT_OP_ADD, y, 2), 3);
	return b_unary(g, VT_OP_HARD_SWISH, y);
}

static int f_fc(struct vt_graph *g, int x)
{
	int y = b_fc(g, x, 6, 1, false, true);

	y = b_binary_scalar(g, VT_OP_MUL, b_binary(g, VT_OP_ADD, y, b_const(g, SHAPE(6), 3)), 0.5f);
	return b_unary(g, VT_OP_GELU, y);
}

static void test_epilogues(void **state)
{
	static const struct {
		int (*make)(struct vt_graph *g, int x);
		int nodes, residuals, acts;
	} t[] = {
		{f_resnet, 3, 1, 2},	   {f_mobile, 3, 2, 1},	     {f_read_twice, 3, 0, 0},
		{f_act_then_add, 2, 0, 1}, {f_channel_ops, 1, 0, 1}, {f_fc, 1, 0, 1},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		int residuals = 0, acts = 0;

		b_start(&g);
		b_output(&g, t[i].make(&g, b_input(&g, "x", SHAPE(2, 4, 5, 4))));
		vt_graph_sort(&g, NULL);
		b_same_function(&g, fuse_all);
		for (int k = 0; k < g.n_nodes; k++) {
			residuals += g.nodes[k].epi.residual >= 0;
			acts += g.nodes[k].epi.act >= 0;
		}
		if (g.n_nodes != t[i].nodes || residuals != t[i].residuals || acts != t[i].acts) {
			vt_graph_dump(&g, stderr);
			fail_msg("case %zu", i);
		}
		vt_graph_fini(&g);
	}
}

static bool no(void)
{
	return false;
}

static void test_attends_only_with_a_kernel(void **state)
{
	static const struct vt_eval evals[] = {{.attends = NULL}, {.attends = no}};

	for (size_t i = 0; i < VT_COUNT(evals); i++) {
		struct vt_graph g;
		struct vt_err e = {0};
		int changed = 0;

		b_start(&g);
		b_output(&g, t_bert(&g, b_input(&g, "x", SHAPE(B, S, H))));
		assert_int_equal(vt_pass_attention(&g, &evals[i], &changed, &e), 0);
		assert_int_equal(b_count(&g, VT_OP_ATTENTION), 0);
		vt_graph_fini(&g);
	}
}

/* A scale after a layer without outputs, or of no rows: nothing to scale, and nothing to divide by. */
static void test_empty_weights(void **state)
{
	static const struct {
		int rows, k, n;
		bool kn;
	} t[] = {{2, 4, 0, false}, {2, 4, 0, true}, {0, 4, 3, false}};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		int x;

		b_start(&g);
		x = b_input(&g, "x", SHAPE(t[i].rows, t[i].k));
		b_output(&g,
			 b_binary_scalar(&g, VT_OP_MUL, b_fc(&g, x, t[i].n, 1, true, t[i].kn), 2));
		b_same_function(&g, fuse_all);
		assert_int_equal(g.n_nodes, 2);
		vt_graph_fini(&g);
	}
}

static void test_matmul_parameters(void **state)
{
	struct vt_graph g;
	int a, b, c;

	b_start(&g);
	a = b_transpose(&g, b_input(&g, "a", SHAPE(2, 4, 3)), (int[]){0, 2, 1});
	b = b_transpose(&g, b_binary_scalar(&g, VT_OP_MUL, b_input(&g, "b", SHAPE(2, 5, 4)), 3),
			(int[]){0, 2, 1});
	c = b_binary_scalar(&g, VT_OP_DIV, b_matmul(&g, a, b), 2);
	b_output(&g, c);
	b_output(&g, b_matmul(&g, c, b_transpose(&g, b_const(&g, SHAPE(6, 5), 3), (int[]){1, 0})));
	b_same_function(&g, optimize);
	assert_int_equal(g.n_nodes, 2);
	assert_true(g.nodes[0].p.matmul.trans_a && g.nodes[0].p.matmul.trans_b);
	assert_float_equal(g.nodes[0].p.matmul.alpha, 1.5f, 1e-6f);
	assert_int_equal(g.nodes[1].op, VT_OP_FC);
	vt_graph_fini(&g);
}

/* Dims of 1 before a constant matrix make it no other: one FC. Where they are the result's, it stays. */
static void test_matmul_of_one_matrix(void **state)
{
	struct vt_graph g;
	int in[2];

	b_start(&g);
	b_output(&g,
		 b_matmul(&g, b_input(&g, "x", SHAPE(2, 3, 4)), b_const(&g, SHAPE(1, 4, 5), 1)));
	b_same_function(&g, optimize);
	assert_int_equal(g.n_nodes, 1);
	assert_int_equal(g.nodes[0].op, VT_OP_FC);
	vt_graph_fini(&g);

	b_start(&g);
	in[0] = b_input(&g, "x", SHAPE(3, 4));
	in[1] = b_const(&g, SHAPE(1, 4, 5), 1);
	b_output(&g, b_node(&g, VT_OP_MATMUL, in, 2, SHAPE(1, 3, 5)));
	g.nodes[0].p.matmul.alpha = 1;
	b_same_function(&g, optimize);
	assert_int_equal(b_count(&g, VT_OP_MATMUL), 1);
	vt_graph_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layernorm),
		cmocka_unit_test(test_attention),
		cmocka_unit_test(test_epilogues),
		cmocka_unit_test(test_attends_only_with_a_kernel),
		cmocka_unit_test(test_empty_weights),
		cmocka_unit_test(test_matmul_parameters),
		cmocka_unit_test(test_matmul_of_one_matrix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
