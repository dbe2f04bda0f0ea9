// SPDX-License-Identifier: Apache-2.0
/* depthwise, squeeze: what becomes one node with a depthwise convolution. */
#include "harness.h"

#include "build.h"
#include "model/pass.h"

/* MobileNet: a depthwise convolution and what makes its input */
static int j_mobile(struct vt_graph *g, int x)
{
	int a = b_clip(g, b_conv(g, x, 6, 1, 1, 0, 1, 1), 0, 6);

	return b_conv(g, b_clip(g, b_conv(g, a, 6, 3, 2, 1, 6, 3), 0, 6), 4, 1, 1, 0, 1, 5);
}

/* a first layer of 3x3, no activation between, 5x5 behind */
static int j_stem(struct vt_graph *g, int x)
{
	int a = b_conv(g, x, 5, 3, 1, 1, 1, 1);

	return b_unary(g, VT_OP_SILU, b_conv(g, a, 5, 5, 1, 2, 5, 3));
}

/* two in a row: the second's input is the first's output, which is a pair already */
static int j_twice(struct vt_graph *g, int x)
{
	return j_mobile(g, j_mobile(g, x));
}

/* what lies between is read again, is an output, or has groups, or a sum */
static int j_read_again(struct vt_graph *g, int x)
{
	int a = b_conv(g, x, 4, 1, 1, 0, 1, 1);

	return b_binary(g, VT_OP_ADD, b_conv(g, a, 4, 3, 1, 1, 4, 3), a);
}

static int j_output(struct vt_graph *g, int x)
{
	int a = b_conv(g, x, 4, 1, 1, 0, 1, 1);

	b_output(g, a);
	return b_conv(g, a, 4, 3, 1, 1, 4, 3);
}

static int j_groups(struct vt_graph *g, int x)
{
	return b_conv(g, b_conv(g, x, 4, 1, 1, 0, 2, 1), 4, 3, 1, 1, 4, 3);
}

static int j_sum(struct vt_graph *g, int x)
{
	int a = b_binary(g, VT_OP_ADD, b_conv(g, x, 4, 1, 1, 0, 1, 1), x);

	return b_conv(g, a, 4, 3, 1, 1, 4, 3);
}

static int j_not_depthwise(struct vt_graph *g, int x)
{
	return b_conv(g, b_conv(g, x, 4, 1, 1, 0, 1, 1), 8, 3, 1, 1, 4, 3);
}

static int join_all(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	int rc = vt_pass_epilogue(g, eval, changed, e);

	return rc ? rc : vt_pass_depthwise(g, eval, changed, e);
}

static void test_depthwise_joins(void **state)
{
	static const struct {
		int (*make)(struct vt_graph *g, int x);
		int nodes, pairs;
	} t[] = {
		{j_mobile, 2, 1}, {j_stem, 1, 1},   {j_twice, 4, 2}, {j_read_again, 2, 0},
		{j_output, 2, 0}, {j_groups, 2, 0}, {j_sum, 2, 0},   {j_not_depthwise, 2, 0},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;

		b_start(&g);
		b_output(&g, t[i].make(&g, b_input(&g, "x", SHAPE(2, 7, 5, 4))));
		vt_graph_sort(&g, NULL);
		b_same_function(&g, join_all);
		if (g.n_nodes != t[i].nodes || b_count(&g, VT_OP_CONV2D_DW) != t[i].pairs) {
			vt_graph_dump(&g, stderr);
			fail_msg("case %zu", i);
		}
		vt_graph_fini(&g);
	}
}

/* squeeze-and-excite: a depthwise convolution, its average, gates from it, and both multiplied */
static int q_gates(struct vt_graph *g, int y, int average)
{
	int a = b_unary(g, VT_OP_SILU, b_conv(g, average, 2, 1, 1, 0, 1, 7));

	return b_binary(g, VT_OP_MUL, y, b_unary(g, VT_OP_SIGMOID, b_conv(g, a, 4, 1, 1, 0, 1, 9)));
}

static int q_depthwise(struct vt_graph *g, int x)
{
	return b_unary(g, VT_OP_SILU, b_conv(g, x, 4, 3, 2, 1, 4, 3));
}

static int q_block(struct vt_graph *g, int x)
{
	int y = q_depthwise(g, x);

	return q_gates(g, y, b_gap(g, y));
}

static int q_pair(struct vt_graph *g, int x)
{
	int y = q_depthwise(g, b_conv(g, x, 4, 1, 1, 0, 1, 1));

	return q_gates(g, y, b_gap(g, y));
}

/* as PyTorch's mean((2, 3)) is exported */
static int q_mean(struct vt_graph *g, int x)
{
	int y = q_depthwise(g, x), m = b_reduce(g, VT_OP_REDUCE_MEAN, y, 1 << 1 | 1 << 2, false);

	return q_gates(g, y, b_reshape(g, m, SHAPE(2, 1, 1, 4)));
}

static int q_output(struct vt_graph *g, int x)
{
	int y = q_depthwise(g, x);

	b_output(g, b_gap(g, y));
	return y;
}

/* the average of what is not the result yet; of rows; of no depthwise convolution; twice */
static int q_before(struct vt_graph *g, int x)
{
	int y = b_conv(g, x, 4, 3, 2, 1, 4, 3);

	return q_gates(g, b_unary(g, VT_OP_SILU, y), b_gap(g, y));
}

static int q_rows(struct vt_graph *g, int x)
{
	int y = q_depthwise(g, x);

	return b_binary(g, VT_OP_MUL, y, b_reduce(g, VT_OP_REDUCE_MEAN, y, 1 << 1, true));
}

static int q_not_depthwise(struct vt_graph *g, int x)
{
	int y = b_conv(g, x, 4, 3, 1, 1, 1, 3);

	return q_gates(g, y, b_gap(g, y));
}

static int q_two(struct vt_graph *g, int x)
{
	int y = q_depthwise(g, x);

	return b_binary(g, VT_OP_ADD, q_gates(g, y, b_gap(g, y)), b_gap(g, y));
}

/* Another time round nothing moves into a node whose average would then be of something else. */
static int squeeze_all(struct vt_graph *g, const struct vt_eval *eval, int *changed,
		       struct vt_err *e)
{
	int rc = vt_pass_flatten(g, eval, changed, e);

	for (int i = 0; i < 2 && !rc; i++) {
		rc = join_all(g, eval, changed, e);
		rc = rc ? rc : vt_pass_squeeze(g, eval, changed, e);
		rc = rc ? rc : vt_pass_affine(g, eval, changed, e);
	}
	return rc;
}

static void test_averages_of_depthwise(void **state)
{
	static const struct {
		int (*make)(struct vt_graph *g, int x);
		int nodes, averages, pools;
	} t[] = {
		{q_block, 4, 1, 0},	    {q_pair, 4, 1, 0},	 {q_mean, 4, 1, 0},
		{q_output, 1, 1, 0},	    {q_before, 5, 1, 0}, {q_rows, 3, 0, 0},
		{q_not_depthwise, 5, 0, 1}, {q_two, 6, 1, 1},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		int averages = 0;

		b_start(&g);
		b_output(&g, t[i].make(&g, b_input(&g, "x", SHAPE(2, 7, 5, 4))));
		vt_graph_sort(&g, NULL);
		b_same_function(&g, squeeze_all);
		for (int k = 0; k < g.n_nodes; k++)
			averages += vt_averages(&g.nodes[k]);
		if (g.n_nodes != t[i].nodes || averages != t[i].averages ||
		    b_count(&g, VT_OP_GLOBALAVGPOOL) != t[i].pools) {
			vt_graph_dump(&g, stderr);
			fail_msg("case %zu", i);
		}
		vt_graph_fini(&g);
	}
}

static bool never(const struct vt_graph *g, const struct vt_node *first, const struct vt_node *dw)
{
	return false;
}

static bool gives_none(const struct vt_graph *g, const struct vt_node *n)
{
	return false;
}

static int squeeze(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	int rc = vt_pass_epilogue(g, eval, changed, e);

	return rc ? rc : vt_pass_squeeze(g, eval, changed, e);
}

static void test_only_where_a_kernel_is(void **state)
{
	static const struct {
		int (*pass)(struct vt_graph *g, const struct vt_eval *eval, int *changed,
			    struct vt_err *e);
		int (*make)(struct vt_graph *g, int x);
		struct vt_eval eval;
		int pools;
	} t[] = {
		{join_all, j_mobile, {.joins = NULL}, 0},
		{join_all, j_mobile, {.joins = never}, 0},
		{squeeze, q_block, {.averages = NULL}, 1},
		{squeeze, q_block, {.averages = gives_none}, 1},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		struct vt_err e = {0};
		int changed = 0;

		b_start(&g);
		b_output(&g, t[i].make(&g, b_input(&g, "x", SHAPE(2, 7, 5, 4))));
		assert_int_equal(t[i].pass(&g, &t[i].eval, &changed, &e), 0);
		assert_int_equal(b_count(&g, VT_OP_CONV2D_DW), 0);
		assert_int_equal(b_count(&g, VT_OP_GLOBALAVGPOOL), t[i].pools);
		vt_graph_fini(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_depthwise_joins),
		cmocka_unit_test(test_averages_of_depthwise),
		cmocka_unit_test(test_only_where_a_kernel_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
