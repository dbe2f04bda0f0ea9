// SPDX-License-Identifier: Apache-2.0
/* simplify, cse, layout, flatten, pad: what moves and what disappears. */
#include "harness.h"

#include <math.h>
#include <time.h>

#include "build.h"
#include "model/pass.h"
#include "model/plan.h"

typedef void (*make)(struct vt_graph *g);

/* ---- graphs ------------------------------------------------------------------------------- */

static void g_conv_relu_conv(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(1, 3, 6, 5)), 4, 3, 1, 1, 1);

	x = b_conv_nchw(g, b_unary(g, VT_OP_RELU, x), 5, 1, 1, 0, 2);
	b_output(g, x);
}

static void g_residual(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(2, 3, 6, 5)), 4, 3, 1, 1, 1);
	int y = b_norm_nchw(g, b_conv_nchw(g, x, 4, 3, 1, 1, 3), 4);

	b_output(g, b_conv_nchw(g, b_binary(g, VT_OP_ADD, y, x), 2, 1, 1, 0, 5));
}

/* channel operands of every rank, a scalar, a PRelu slope */
static void g_broadcast(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(2, 3, 4, 5)), 4, 1, 1, 0, 1);

	x = b_binary(g, VT_OP_MUL, x, b_const(g, SHAPE(4, 1, 1), 2));
	x = b_binary(g, VT_OP_ADD, b_const(g, SHAPE(1, 4, 1, 1), 3), x);
	x = b_binary(g, VT_OP_SUB, x, b_const(g, SHAPE(4, 5), 4));
	x = b_binary(g, VT_OP_PRELU, x, b_const(g, SHAPE(4, 1, 1), 5));
	x = b_binary_scalar(g, VT_OP_MUL, x, 0.5f);
	b_output(g, b_conv_nchw(g, x, 2, 1, 1, 0, 6));
}

/* squeeze and excitation, through Flatten and FC as well as through 1x1 convolutions */
static void g_excite_fc(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(2, 3, 4, 5)), 4, 1, 1, 0, 1);
	int s = b_reshape(g, b_gap_nchw(g, x), SHAPE(2, 4));

	s = b_unary(g, VT_OP_RELU, b_fc(g, s, 3, 7, true, false));
	s = b_unary(g, VT_OP_SIGMOID, b_fc(g, s, 4, 8, true, true));
	s = b_binary(g, VT_OP_MUL, x, b_reshape(g, s, SHAPE(2, 4, 1, 1)));
	b_output(g, b_conv_nchw(g, s, 2, 1, 1, 0, 9));
}

static void g_excite_conv(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(1, 3, 4, 5)), 4, 1, 1, 0, 1);
	int s = b_reduce(g, VT_OP_REDUCE_MEAN, x, 1 << 2 | 1 << 3, true);

	s = b_unary(g, VT_OP_RELU, b_conv_nchw(g, s, 3, 1, 1, 0, 7));
	s = b_unary(g, VT_OP_SIGMOID, b_conv_nchw(g, s, 4, 1, 1, 0, 8));
	b_output(g, b_conv_nchw(g, b_binary(g, VT_OP_MUL, s, x), 2, 1, 1, 0, 9));
}

/* branches of different kinds meet in a Concat of channels */
static void g_inception(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(1, 3, 6, 6)), 4, 1, 1, 0, 1), in[4];

	in[0] = b_unary(g, VT_OP_RELU, b_conv_nchw(g, x, 2, 1, 1, 0, 2));
	in[1] = b_pool_nchw(g, VT_OP_MAXPOOL2D, x, 3, 1, 1);
	in[2] = b_clip(g, b_conv_nchw(g, x, 3, 3, 1, 1, 4), 0, 6);
	in[3] = b_const(g, SHAPE(1, 1, 6, 6), 6);
	b_output(g, b_conv_nchw(g, b_concat(g, 1, in, 4), 2, 1, 1, 0, 9));
}

/* ShuffleNet: split, one branch, concat, channel shuffle */
static void g_shuffle(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(2, 3, 3, 3)), 6, 1, 1, 0, 1), a, b;

	b_split2(g, x, 1, &a, &b);
	b = b_conv_nchw(g, b, 3, 3, 1, 1, 2);
	x = b_concat(g, 1, (int[]){a, b}, 2);
	x = b_reshape(g, x, SHAPE(2, 2, 3, 3, 3));
	x = b_transpose(g, x, (int[]){0, 2, 1, 3, 4});
	x = b_reshape(g, x, SHAPE(2, 6, 3, 3));
	b_output(g, b_conv_nchw(g, b_slice(g, x, 1, 1, 4), 2, 1, 1, 0, 9));
}

static void g_flatten_fc(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(2, 3, 4, 5)), 4, 1, 1, 0, 1);

	x = b_reshape(g, b_pool_nchw(g, VT_OP_MAXPOOL2D, x, 2, 2, 0), SHAPE(2, 16));
	b_output(g, b_fc(g, x, 3, 5, true, false));
}

static void g_flatten_fc_kn(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(2, 3, 4, 5)), 4, 1, 1, 0, 1);

	b_output(g, b_fc(g, b_reshape(g, x, SHAPE(2, 80)), 3, 5, false, true));
}

/* pixels become a sequence, as in vision transformers */
static void g_patches(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(2, 3, 4, 4)), 8, 2, 2, 0, 1);

	x = b_transpose(g, b_reshape(g, x, SHAPE(2, 8, 4)), (int[]){0, 2, 1});
	b_output(g, b_fc(g, b_layernorm(g, x, 3), 3, 5, true, false));
}

/* tf2onnx: the user's NHWC goes to NCHW and back */
static void g_nhwc_user(struct vt_graph *g)
{
	int x = b_to_nchw(g, b_input(g, "x", SHAPE(1, 4, 5, 3)));

	x = b_pad(g, b_pad(g, x, 2, 1, 0, 0), 3, 1, 0, 0);
	b_output(g, b_to_nhwc(g, b_unary(g, VT_OP_RELU, b_conv_nchw(g, x, 4, 3, 1, 0, 2))));
}

static void g_nchw_pad(struct vt_graph *g)
{
	int x = b_pad(g, b_input(g, "x", SHAPE(1, 3, 4, 5)), 2, 1, 2, 0);

	b_output(g, b_conv_nchw(g, x, 4, 3, 1, 0, 2));
}

static void g_reductions(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(2, 3, 4, 5)), 4, 1, 1, 0, 1);

	b_output(g, b_reduce(g, VT_OP_REDUCE_MAX, x, 1 << 1, false));
	b_output(g, b_reduce(g, VT_OP_REDUCE_SUM, x, 1 << 3, true));
	b_output(g, b_reduce(g, VT_OP_REDUCE_MEAN, x, 1 << 0 | 1 << 2, false));
	b_output(g, b_gather(g, x, b_index(g, 2), 1));
	b_output(g, b_softmax(g, x, 1));
	b_output(g, b_softmax(g, x, 3));
}

/* SSD: a view that mixes channels and pixels needs its Transpose */
static void g_mixing_reshape(struct vt_graph *g)
{
	int x = b_conv_nchw(g, b_input(g, "x", SHAPE(1, 3, 4, 5)), 8, 1, 1, 0, 1);

	b_output(g, b_reshape(g, x, SHAPE(1, 4, 40)));
}

static const struct {
	const char *name;
	make make;
	int transposes; /* left by layout and flatten */
} layouts[] = {
	{"conv relu conv", g_conv_relu_conv, 2}, /* the input's and the output's */
	{"residual", g_residual, 2},
	{"broadcast", g_broadcast, 2},
	{"excite fc", g_excite_fc, 2},
	{"excite conv", g_excite_conv, 2},
	{"inception", g_inception, 2},
	{"shuffle", g_shuffle, 3}, /* and the shuffle itself */
	{"flatten fc", g_flatten_fc, 1},
	{"flatten fc kn", g_flatten_fc_kn, 1},
	{"patches", g_patches, 1},
	{"nhwc user", g_nhwc_user, 0},
	{"nchw pad", g_nchw_pad, 2},
	{"reductions", g_reductions, 5},
	{"mixing reshape", g_mixing_reshape, 2},
};

static int layout_and_flatten(struct vt_graph *g, const struct vt_eval *eval, int *changed,
			      struct vt_err *e)
{
	int rc = vt_pass_simplify(g, eval, changed, e);

	rc = rc ? rc : vt_pass_layout(g, eval, changed, e);
	return rc ? rc : vt_pass_flatten(g, eval, changed, e);
}

static int simplify_and_pad(struct vt_graph *g, const struct vt_eval *eval, int *changed,
			    struct vt_err *e)
{
	int rc = vt_pass_simplify(g, eval, changed, e);

	return rc ? rc : vt_pass_pad(g, eval, changed, e);
}

static void test_transposes_left(void **state)
{
	for (size_t i = 0; i < VT_COUNT(layouts); i++) {
		struct vt_graph g;

		b_start(&g);
		layouts[i].make(&g);
		b_same_function(&g, layout_and_flatten);
		if (b_count(&g, VT_OP_TRANSPOSE) != layouts[i].transposes) {
			vt_graph_dump(&g, stderr);
			fail_msg("%s: %d transposes left, not %d", layouts[i].name,
				 b_count(&g, VT_OP_TRANSPOSE), layouts[i].transposes);
		}
		vt_graph_fini(&g);
	}
}

static void test_pads_go_into_windows(void **state)
{
	static const struct {
		enum vt_op op;
		bool relu;
		double value;
		int pads_left;
	} t[] = {
		{VT_OP_CONV2D, false, 0, 0},	{VT_OP_CONV2D, false, 1, 1},
		{VT_OP_AVGPOOL2D, false, 0, 0}, {VT_OP_AVGPOOL2D, false, 2, 1},
		{VT_OP_MAXPOOL2D, true, 0, 0},	{VT_OP_MAXPOOL2D, false, 0, 1},
		{VT_OP_MAXPOOL2D, true, 1, 1},	{VT_OP_MAXPOOL2D, false, -3.5e38, 0},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		int x;

		b_start(&g);
		x = b_input(&g, "x", SHAPE(1, 5, 6, 2));
		x = t[i].relu ? b_unary(&g, VT_OP_RELU, x) : x;
		x = b_pad(&g, b_pad(&g, x, 1, 1, 1, t[i].value), 2, 0, 1, t[i].value);
		b_output(&g, t[i].op == VT_OP_CONV2D ? b_conv(&g, x, 3, 3, 1, 0, 1, 5)
						     : b_pool(&g, t[i].op, x, 3, 1, 0));
		b_same_function(&g, simplify_and_pad);
		assert_int_equal(b_count(&g, VT_OP_PAD) > 0, t[i].pads_left);
		vt_graph_fini(&g);
	}
}

static void test_simplify(void **state)
{
	struct vt_graph g;
	int x, c;

	b_start(&g);
	x = b_input(&g, "x", SHAPE(2, 6));
	c = b_unary(&g, VT_OP_EXP,
		    b_binary(&g, VT_OP_ADD, b_scalar(&g, 1), b_const(&g, SHAPE(6), 1)));
	x = b_binary(&g, VT_OP_MUL, b_scalar(&g, 1), x);
	x = b_reshape(&g, b_reshape(&g, b_binary_scalar(&g, VT_OP_SUB, x, 0), SHAPE(12)),
		      SHAPE(2, 6));
	x = b_clip(&g, b_transpose(&g, x, (int[]){0, 1}), -INFINITY, INFINITY);
	b_output(&g, b_binary(&g, VT_OP_ADD, x, c));
	b_same_function(&g, vt_pass_simplify);
	assert_int_equal(g.n_nodes, 1);
	assert_int_equal(g.nodes[0].op, VT_OP_ADD);
	vt_graph_fini(&g);
}

/* What folding holds at a time and makes in all, without the time that computing would take. */
static size_t folds, most_held;

static int count_fold(const struct vt_graph *g, const struct vt_node *n, void *const *in,
		      void *const *out, struct vt_err *e)
{
	size_t held = vt_tensor_bytes(vt_out(g, n, 0));

	for (int t = 0; t < g->n_tensors; t++)
		held += g->tensors[t].data ? g->tensors[t].bytes : 0;
	most_held = held > most_held ? held : most_held;
	folds++;
	return 0;
}

static void test_folding_has_an_end(void **state)
{
	enum { MIB = 1 << 20, CHAIN = 20 };
	static const struct {
		int64_t elems;	    /* of each constant in a chain of CHAIN nodes */
		int64_t weights;    /* bytes of the model's own */
		size_t folds, held; /* MiB */
	} t[] = {
		{1, 0, CHAIN + 1, 1},
		{16 * MIB, 0, 4, 129},
		{16 * MIB, 48 * MIB, 7, 129},
		{17 * MIB, 0, 0, 0},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		const struct vt_eval eval = {.eval = count_fold};
		struct vt_err e = {0};
		struct vt_graph g;
		int x, changed = 0;

		b_start(&g);
		g.weights_bytes = (size_t)t[i].weights;
		x = b_scalar(&g, 1);
		x = b_node(&g, VT_OP_EXPAND, &x, 1, SHAPE(t[i].elems));
		for (int k = 0; k < CHAIN; k++)
			x = b_unary(&g, VT_OP_SIN, x);
		b_output(&g, x);
		folds = most_held = 0;
		assert_int_equal(vt_pass_simplify(&g, &eval, &changed, &e), 0);
		assert_int_equal(folds, t[i].folds);
		assert_true(most_held <= t[i].held * MIB);
		assert_int_equal(g.n_nodes, CHAIN + 1 - (int)folds);
		vt_graph_fini(&g);
	}
}

/* A convolution of constants makes few bytes in any time that it likes. */
static void test_folding_counts_operations(void **state)
{
	static const struct {
		int64_t pixels;
		int kernel;
		size_t folds;
	} t[] = {{16, 3, 1}, {1 << 14, 3, 1}, {1 << 14, 1 << 10, 0}};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		const struct vt_eval eval = {.eval = count_fold};
		struct vt_err e = {0};
		struct vt_graph g;
		int x, changed = 0;

		b_start(&g);
		x = b_const(&g, SHAPE(1, t[i].kernel, t[i].kernel + t[i].pixels, 1), 1);
		b_output(&g, b_conv(&g, x, 1, t[i].kernel, 1, 0, 1, 5));
		folds = 0;
		assert_int_equal(vt_pass_simplify(&g, &eval, &changed, &e), 0);
		assert_int_equal(folds, t[i].folds);
		vt_graph_fini(&g);
	}
}

/* One value of more dims than what the Reshape came from: below it, the result would have them, too. */
static void test_reshape_stays_above_more_dims(void **state)
{
	static const struct {
		struct vt_shape other;
		enum vt_op last;
	} t[] = {
		{SHAPE(1, 1, 1), VT_OP_ADD},
		{SHAPE(1, 1), VT_OP_RESHAPE},
		{SHAPE(1, 1, 3), VT_OP_ADD},
		{SHAPE(3), VT_OP_RESHAPE},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		int x;

		b_start(&g);
		x = b_unary(&g, VT_OP_EXP, b_input(&g, "x", SHAPE(2, 3)));
		x = b_reshape(&g, x, SHAPE(1, 2, 3));
		b_output(&g, b_binary(&g, VT_OP_ADD, x, b_const(&g, t[i].other, 1)));
		b_same_function(&g, vt_pass_flatten);
		assert_int_equal(g.nodes[g.n_nodes - 1].op, t[i].last);
		vt_graph_fini(&g);
	}
}

/* The user's tensors keep their names, whatever disappears before them. */
static void test_outputs_keep_their_names(void **state)
{
	struct vt_graph g;
	int x, y, z;

	b_start(&g);
	x = b_input(&g, "x", SHAPE(4));
	y = b_unary(&g, VT_OP_EXP, x);
	z = b_reshape(&g, y, SHAPE(4));
	b_output(&g, z);
	b_output(&g, b_reshape(&g, x, SHAPE(4)));
	b_same_function(&g, vt_pass_simplify);
	assert_int_equal(g.n_nodes, 2); /* an output cannot be the input itself */
	assert_string_equal(g.tensors[g.outputs[0]].name, "Reshape1");
	assert_string_equal(g.tensors[g.outputs[1]].name, "Reshape2");
	assert_int_equal(vt_graph_producer(&g, g.outputs[0]), 0);
	vt_graph_fini(&g);
}

static void test_equal_nodes_become_one(void **state)
{
	struct vt_graph g;
	int x, a, b;

	b_start(&g);
	x = b_input(&g, "x", SHAPE(4));
	a = b_unary(&g, VT_OP_EXP, b_binary_scalar(&g, VT_OP_ADD, x, 2));
	b = b_unary(&g, VT_OP_EXP, b_binary_scalar(&g, VT_OP_ADD, x, 2));
	a = b_binary(&g, VT_OP_MUL, a, b);
	b = b_binary_scalar(&g, VT_OP_ADD, x, 3); /* another constant: stays */
	b_output(&g, b_binary(&g, VT_OP_SUB, a, b));
	b_same_function(&g, vt_pass_cse);
	assert_int_equal(g.n_nodes, 5);
	vt_graph_fini(&g);
}

/* Each Transpose sinks to the next: a hundred thousand nodes, and a rewrite or two for each. */
static void test_rewrites_look_near_by(void **state)
{
#ifdef __SANITIZE_ADDRESS__
	enum { PAIRS = 500 }; /* there each rewrite is followed by a look at everything */
#else
	enum { PAIRS = 50000 };
#endif
	struct vt_err e = {0};
	struct vt_graph g;
	clock_t start;
	int x, changed = 0;

	b_start(&g);
	x = b_input(&g, "x", SHAPE(4, 5));
	for (int i = 0; i < PAIRS; i++)
		x = b_unary(&g, VT_OP_SIN, b_transpose(&g, x, (int[]){1, 0}));
	b_output(&g, x);
	start = clock();
	assert_int_equal(vt_pass_layout(&g, &b_eval, &changed, &e), 0);
	/* well below a second, and minutes otherwise */
	assert_true(clock() - start < 4 * CLOCKS_PER_SEC);
	assert_int_equal(b_count(&g, VT_OP_TRANSPOSE), 0);
	assert_int_equal(g.n_nodes, PAIRS);
	vt_graph_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transposes_left),
		cmocka_unit_test(test_pads_go_into_windows),
		cmocka_unit_test(test_simplify),
		cmocka_unit_test(test_folding_has_an_end),
		cmocka_unit_test(test_folding_counts_operations),
		cmocka_unit_test(test_reshape_stays_above_more_dims),
		cmocka_unit_test(test_outputs_keep_their_names),
		cmocka_unit_test(test_equal_nodes_become_one),
		cmocka_unit_test(test_rewrites_look_near_by),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
