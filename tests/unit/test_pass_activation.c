// SPDX-License-Identifier: Apache-2.0
/* activation: the spellings of exporters become one node each. */
#include "harness.h"

#include <math.h>
#include <time.h>

#include "build.h"
#include "model/pass.h"

static int a_gelu_torch(struct vt_graph *g, int x)
{
	int e = b_unary(g, VT_OP_ERF, b_binary_scalar(g, VT_OP_DIV, x, 1.4142135f));

	e = b_binary(g, VT_OP_MUL, x, b_binary_scalar(g, VT_OP_ADD, e, 1));
	return b_binary_scalar(g, VT_OP_MUL, e, 0.5f);
}

static int a_gelu_six_digits(struct vt_graph *g, int x)
{
	int e = b_unary(g, VT_OP_ERF, b_binary_scalar(g, VT_OP_DIV, x, 1.41421f));

	e = b_binary(g, VT_OP_MUL, x, b_binary_scalar(g, VT_OP_ADD, e, 1));
	return b_binary_scalar(g, VT_OP_MUL, e, 0.5f);
}

static int a_gelu_tf(struct vt_graph *g, int x)
{
	int e = b_unary(g, VT_OP_ERF, b_binary_scalar(g, VT_OP_MUL, x, 0.70710677f));

	e = b_binary(g, VT_OP_ADD, b_scalar(g, 1), e);
	return b_binary(g, VT_OP_MUL, b_binary_scalar(g, VT_OP_MUL, x, 0.5f), e);
}

static int a_gelu_tanh(struct vt_graph *g, int x)
{
	int c = b_binary_scalar(g, VT_OP_MUL, b_binary_scalar(g, VT_OP_POW, x, 3), 0.044715f);

	c = b_binary_scalar(g, VT_OP_MUL, b_binary(g, VT_OP_ADD, x, c), 0.7978845608f);
	c = b_binary_scalar(g, VT_OP_ADD, b_unary(g, VT_OP_TANH, c), 1);
	return b_binary(g, VT_OP_MUL, b_binary_scalar(g, VT_OP_MUL, x, 0.5f), c);
}

static int a_gelu_tanh_factored(struct vt_graph *g, int x)
{
	int c = b_binary_scalar(g, VT_OP_MUL, b_binary(g, VT_OP_MUL, x, x), 0.044715f);

	c = b_binary(g, VT_OP_MUL, x, b_binary_scalar(g, VT_OP_ADD, c, 1));
	c = b_unary(g, VT_OP_TANH, b_binary_scalar(g, VT_OP_MUL, c, 0.7978845608f));
	c = b_binary_scalar(g, VT_OP_MUL, b_binary_scalar(g, VT_OP_ADD, c, 1), 0.5f);
	return b_binary(g, VT_OP_MUL, x, c);
}

static int a_silu(struct vt_graph *g, int x)
{
	return b_binary(g, VT_OP_MUL, b_unary(g, VT_OP_SIGMOID, x), x);
}

static int a_silu_exp(struct vt_graph *g, int x)
{
	int e = b_unary(g, VT_OP_EXP, b_unary(g, VT_OP_NEG, x));

	return b_binary(g, VT_OP_DIV, x, b_binary_scalar(g, VT_OP_ADD, e, 1));
}

static int a_hswish_clip(struct vt_graph *g, int x)
{
	int c = b_clip(g, b_binary_scalar(g, VT_OP_ADD, x, 3), 0, 6);

	return b_binary_scalar(g, VT_OP_DIV, b_binary(g, VT_OP_MUL, x, c), 6);
}

static int a_hswish_hsigmoid(struct vt_graph *g, int x)
{
	int h = b_unary(g, VT_OP_HARD_SIGMOID, x);

	g->nodes[g->n_nodes - 1].p.scalar.a = 1.0f / 6;
	g->nodes[g->n_nodes - 1].p.scalar.b = 0.5f;
	return b_binary(g, VT_OP_MUL, x, h);
}

static int a_hsigmoid(struct vt_graph *g, int x)
{
	int c = b_clip(g, b_binary_scalar(g, VT_OP_ADD, x, 3), 0, 6);

	return b_binary_scalar(g, VT_OP_MUL, c, 1.0f / 6);
}

static int a_clip_min_max(struct vt_graph *g, int x)
{
	return b_binary_scalar(g, VT_OP_MIN, b_binary_scalar(g, VT_OP_MAX, x, -1), 20);
}

static int a_leaky_max(struct vt_graph *g, int x)
{
	return b_binary(g, VT_OP_MAX, x, b_binary_scalar(g, VT_OP_MUL, x, 0.1f));
}

/* like SiLU, and not it */
static int a_quick_gelu(struct vt_graph *g, int x)
{
	return b_binary(g, VT_OP_MUL, x,
			b_unary(g, VT_OP_SIGMOID, b_binary_scalar(g, VT_OP_MUL, x, 1.702f)));
}

/* Relu up to 20 only: the bound shows far out */
static int a_relu20(struct vt_graph *g, int x)
{
	return b_binary_scalar(g, VT_OP_MIN, b_unary(g, VT_OP_RELU, x), 20);
}

/* bounds that show very far out are kept too */
static int a_relu_2e6(struct vt_graph *g, int x)
{
	return b_binary_scalar(g, VT_OP_MIN, b_unary(g, VT_OP_RELU, x), 2e6f);
}

static int a_relu_3e38(struct vt_graph *g, int x)
{
	return b_binary_scalar(g, VT_OP_MIN, b_unary(g, VT_OP_RELU, x), 3.2e38f);
}

static int a_leaky_2e6(struct vt_graph *g, int x)
{
	return b_binary_scalar(g, VT_OP_MIN, a_leaky_max(g, x), 2e6f);
}

/* of an operator whose meaning the pass does not know, or which is no number somewhere */
static int a_relu_sin(struct vt_graph *g, int x)
{
	return b_unary(g, VT_OP_RELU, b_unary(g, VT_OP_SIN, x));
}

static int a_max_elu(struct vt_graph *g, int x)
{
	int y = b_unary(g, VT_OP_ELU, x);

	g->nodes[g->n_nodes - 1].p.scalar.a = 1;
	return b_binary_scalar(g, VT_OP_MAX, y, -0.5f);
}

static int a_relu_log(struct vt_graph *g, int x)
{
	return b_unary(g, VT_OP_RELU, b_unary(g, VT_OP_LOG, b_unary(g, VT_OP_ABS, x)));
}

/* epsilons, without which what follows divides by 0 */
static int a_sigmoid_eps(struct vt_graph *g, int x)
{
	return b_unary(g, VT_OP_LOG,
		       b_binary_scalar(g, VT_OP_ADD, b_unary(g, VT_OP_SIGMOID, x), 1e-6f));
}

static int a_relu_eps(struct vt_graph *g, int x)
{
	x = b_binary_scalar(g, VT_OP_ADD, b_unary(g, VT_OP_RELU, x), 1e-6f);
	return b_binary(g, VT_OP_DIV, b_scalar(g, 1), x);
}

static int a_eps_relu(struct vt_graph *g, int x)
{
	return b_unary(g, VT_OP_RELU, b_binary_scalar(g, VT_OP_ADD, x, 1e-5f));
}

static int a_tanh_small(struct vt_graph *g, int x)
{
	return b_binary_scalar(g, VT_OP_MUL, b_unary(g, VT_OP_TANH, x), 1e-6f);
}

static int a_max_eps(struct vt_graph *g, int x)
{
	return b_binary_scalar(g, VT_OP_MAX, x, 1e-7f);
}

/* infinite where the pass looks for a bound */
static int a_power(struct vt_graph *g, int x)
{
	for (int i = 0; i < 4; i++)
		x = b_binary(g, VT_OP_MUL, x, x);
	return b_binary_scalar(g, VT_OP_MAX, x, -1);
}

static const struct {
	int (*make)(struct vt_graph *g, int x);
	enum vt_op op;
	int nodes; /* left, besides the three that make its input */
} spellings[] = {
	{a_gelu_torch, VT_OP_GELU, 1},
	{a_gelu_six_digits, VT_OP_GELU, 1},
	{a_gelu_tf, VT_OP_GELU, 1},
	{a_gelu_tanh, VT_OP_GELU_TANH, 1},
	{a_gelu_tanh_factored, VT_OP_GELU_TANH, 1},
	{a_silu, VT_OP_SILU, 1},
	{a_silu_exp, VT_OP_SILU, 1},
	{a_hswish_clip, VT_OP_HARD_SWISH, 1},
	{a_hswish_hsigmoid, VT_OP_HARD_SWISH, 1},
	{a_hsigmoid, VT_OP_HARD_SIGMOID, 0},
	{a_clip_min_max, VT_OP_CLIP, 1},
	{a_leaky_max, VT_OP_LEAKY_RELU, 1},
	{a_quick_gelu, VT_OP_SIGMOID, 3},
	{a_relu20, VT_OP_CLIP, 1},
	{a_relu_2e6, VT_OP_CLIP, 1},
	{a_relu_3e38, VT_OP_CLIP, 1},
	{a_leaky_2e6, VT_OP_MIN, 2},
	{a_relu_sin, VT_OP_RELU, 2},
	{a_max_elu, VT_OP_MAX, 2},
	{a_relu_log, VT_OP_RELU, 3},
	{a_sigmoid_eps, VT_OP_SIGMOID, 3},
	{a_relu_eps, VT_OP_RELU, 3},
	{a_eps_relu, VT_OP_RELU, 2},
	{a_tanh_small, VT_OP_TANH, 2},
	{a_max_eps, VT_OP_MAX, 1},
	{a_power, VT_OP_MAX, 5},
};

static void test_activations(void **state)
{
	for (size_t i = 0; i < VT_COUNT(spellings); i++) {
		struct vt_graph g;
		int x;

		b_start(&g);
		x = b_unary(&g, VT_OP_ABS, b_input(&g, "x", SHAPE(3, 50)));
		x = b_binary(&g, VT_OP_SUB, b_input(&g, "y", SHAPE(3, 50)), x);
		b_output(&g, spellings[i].make(&g, b_binary_scalar(&g, VT_OP_MUL, x, 3)));
		b_same_function(&g, vt_pass_activation);
		if (b_count(&g, spellings[i].op) != 1 || g.n_nodes != 3 + spellings[i].nodes) {
			vt_graph_dump(&g, stderr);
			fail_msg("spelling %zu is not %s", i, vt_op_name(spellings[i].op));
		}
		vt_graph_fini(&g);
	}
}

/* A value inside that somebody else reads keeps the region apart. */
static void test_activation_must_be_closed(void **state)
{
	struct vt_graph g;
	int x, s;

	b_start(&g);
	x = b_input(&g, "x", SHAPE(8));
	s = b_unary(&g, VT_OP_SIGMOID, x);
	b_output(&g, b_binary(&g, VT_OP_MUL, x, s));
	b_output(&g, s);
	assert_int_equal(b_same_function(&g, vt_pass_activation), 0);
	vt_graph_fini(&g);
}

/* Each node is computed once a point and each constant read once, however often the region needs them. */
static void test_activation_of_many_paths(void **state)
{
	enum { PATHS_LOG2 = 11 };
	struct vt_err e = {0};
	struct vt_graph g;
	clock_t start;
	int x, changed = 0;

	b_start(&g);
	x = b_binary(&g, VT_OP_ADD, b_input(&g, "x", SHAPE(1 << 20)),
		     b_fill(&g, SHAPE(1 << 20), 1e-9f));
	for (int i = 0; i < PATHS_LOG2; i++)
		x = b_binary(&g, VT_OP_MUL, x, x);
	b_output(&g, x);
	start = clock();
	assert_int_equal(vt_pass_activation(&g, &b_eval, &changed, &e), 0);
	/* well below a second, and minutes otherwise */
	assert_true(clock() - start < 4 * CLOCKS_PER_SEC);
	assert_int_equal(changed, 0);
	vt_graph_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_activations),
		cmocka_unit_test(test_activation_must_be_closed),
		cmocka_unit_test(test_activation_of_many_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
