// SPDX-License-Identifier: Apache-2.0
/* The memory plan: what shares, what it costs, and that nothing needed is overwritten. */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/rng.h"
#include "build.h"
#include "model/pass.h"

/* Run with a buffer for each tensor and through the arena: the same bits. */
static void same_through_arena(struct vt_graph *g, unsigned int seed)
{
	size_t n_want, n_have;
	float *want = b_run(g, seed, false, &n_want), *have;
	struct vt_err e = {0};

	if (vt_plan_memory(g, &e))
		fail_msg("%s", e.msg);
	have = b_run(g, seed, true, &n_have);
	assert_int_equal(n_want, n_have);
	if (memcmp(want, have, n_want * sizeof(*want))) {
		vt_graph_dump(g, stderr);
		fail_msg("the plan changes what is computed");
	}
	free(want);
	free(have);
}

static void test_chain_lives_in_one_buffer(void **state)
{
	struct vt_graph g;
	int x;

	b_start(&g);
	x = b_input(&g, "x", SHAPE(10, 100));
	for (int i = 0; i < 6; i++)
		x = b_unary(&g, i % 2 ? VT_OP_TANH : VT_OP_ABS, x);
	b_output(&g, b_reshape(&g, x, SHAPE(1000)));
	same_through_arena(&g, 1);
	assert_int_equal(g.arena_bytes, 4096); /* 4000 bytes + 64 of slack, rounded up to 64 */
	vt_graph_fini(&g);
}

static void test_convolutions_alternate_between_two(void **state)
{
	struct vt_graph g;
	int x;

	b_start(&g);
	x = b_input(&g, "x", SHAPE(1, 8, 8, 4)); /* 1 KiB each */
	for (unsigned int i = 0; i < 5; i++)
		x = b_conv(&g, x, 4, 3, 1, 1, 1, i);
	b_output(&g, x);
	same_through_arena(&g, 1);
	assert_int_equal(g.arena_bytes, 2 * (1024 + 64));
	vt_graph_fini(&g);
}

static void test_residual_counts_as_a_use(void **state)
{
	struct vt_graph g;
	int x, y, z;

	b_start(&g);
	x = b_unary(&g, VT_OP_ABS, b_input(&g, "x", SHAPE(1, 8, 8, 4)));
	y = b_conv(&g, x, 4, 3, 1, 1, 1, 1);
	z = b_conv(&g, y, 4, 3, 1, 1, 1, 2);
	g.nodes[2].epi.residual = x;
	b_output(&g, z);
	same_through_arena(&g, 1);
	assert_int_equal(g.arena_bytes, 3 * (1024 + 64));
	vt_graph_fini(&g);
}

/* GoogLeNet: convolutions and a pool write their channels straight into the result. */
static void test_concat_of_channels_is_written_in_place(void **state)
{
	struct vt_graph g;
	int x, in[3], y;

	b_start(&g);
	x = b_conv(&g, b_input(&g, "x", SHAPE(2, 6, 6, 3)), 4, 1, 1, 0, 1, 1);
	in[0] = b_conv(&g, x, 5, 3, 1, 1, 1, 2);
	in[1] = b_pool(&g, VT_OP_MAXPOOL2D, x, 3, 1, 1);
	in[2] = b_conv(&g, x, 3, 1, 1, 0, 1, 3);
	y = b_concat(&g, 3, in, 3);
	b_output(&g, b_conv(&g, y, 2, 1, 1, 0, 1, 4));
	same_through_arena(&g, 1);
	assert_true(vt_node_is_view(&g, b_find(&g, VT_OP_CONCAT)));
	assert_int_equal(g.tensors[in[1]].row_stride, 12);
	assert_int_equal(g.tensors[in[1]].view_off_bytes, 5 * 4);
	vt_graph_fini(&g);
}

/* What an elementwise node reads or writes has no row stride: these are copied. */
static void test_concat_of_others_is_copied(void **state)
{
	struct vt_graph g;
	int x, in[3];

	b_start(&g);
	x = b_input(&g, "x", SHAPE(2, 6, 6, 4));
	in[0] = b_conv(&g, x, 5, 1, 1, 0, 1, 2);
	in[1] = b_unary(&g, VT_OP_EXP, x);
	in[2] = b_conv(&g, x, 3, 1, 1, 0, 1, 3); /* read by Abs as well */
	b_output(&g, b_concat(&g, 3, in, 3));
	b_output(&g, b_unary(&g, VT_OP_ABS, in[2]));
	same_through_arena(&g, 1);
	assert_false(vt_node_is_view(&g, b_find(&g, VT_OP_CONCAT)));
	assert_int_equal(g.tensors[in[0]].row_stride, 12);
	assert_int_equal(g.tensors[in[1]].row_stride, 0);
	assert_int_equal(g.tensors[in[2]].row_stride, 0);
	vt_graph_fini(&g);
}

/* The average that a depthwise convolution gives besides is no row of a larger tensor, and has memory of its own. */
static void test_average_is_dense(void **state)
{
	struct vt_graph g;
	struct vt_err e = {0};
	int y, in[2], changed = 0;

	b_start(&g);
	y = b_conv(&g, b_input(&g, "x", SHAPE(2, 6, 6, 4)), 4, 3, 1, 1, 4, 1);
	in[0] = b_gap(&g, y);
	in[1] = b_conv(&g, in[0], 3, 1, 1, 0, 1, 3);
	b_output(&g, b_conv(&g, b_concat(&g, 3, in, 2), 2, 1, 1, 0, 1, 4));
	b_output(&g, y);
	assert_int_equal(vt_pass_squeeze(&g, &b_eval, &changed, &e), 0);
	assert_int_equal(changed, 1);
	same_through_arena(&g, 1);
	assert_int_equal(g.tensors[in[0]].row_stride, 0);
	assert_int_equal(g.tensors[in[1]].row_stride, 7);
	assert_false(vt_shares_memory(&g, in[0], y));
	vt_graph_fini(&g);
}

/* SSD: heads are flattened, then joined along a dim with only ones before it. */
static void test_concat_of_ranges_looks_behind_reshapes(void **state)
{
	struct vt_graph g;
	int x, in[3];

	b_start(&g);
	x = b_input(&g, "x", SHAPE(1, 4, 4, 4));
	in[0] = b_reshape(&g, b_conv(&g, x, 8, 3, 1, 1, 1, 2), SHAPE(1, 32, 4));
	in[1] = b_reshape(&g, b_conv(&g, x, 8, 3, 2, 1, 1, 3), SHAPE(1, 8, 4));
	in[2] = b_unary(&g, VT_OP_EXP, b_reshape(&g, x, SHAPE(1, 16, 4)));
	x = b_concat(&g, 1, in, 3);
	b_output(&g, b_softmax(&g, x, 2));
	same_through_arena(&g, 1);
	assert_true(vt_node_is_view(&g, b_find(&g, VT_OP_CONCAT)));
	vt_graph_fini(&g);
}

static void test_split_is_read_where_it_lies(void **state)
{
	struct vt_graph g;
	int x, a, b, c, d;

	b_start(&g);
	x = b_unary(&g, VT_OP_ABS, b_input(&g, "x", SHAPE(1, 4, 4, 6)));
	b_split2(&g, x, 3, &a, &b);  /* a: convolution only; b: elementwise */
	c = b_slice(&g, x, 1, 1, 2); /* ones before the axis: a range */
	b_output(&g, b_conv(&g, a, 2, 1, 1, 0, 1, 1));
	b_output(&g, b_unary(&g, VT_OP_EXP, b));
	d = b_unary(&g, VT_OP_TANH, c);
	b_output(&g, d);
	same_through_arena(&g, 1);
	assert_int_equal(g.tensors[a].row_stride, 6);
	assert_int_equal(g.tensors[b].view_of, VT_NONE);
	assert_true(vt_shares_memory(&g, c, x));
	assert_true(vt_node_is_view(&g, b_find(&g, VT_OP_SLICE)));
	assert_false(vt_node_is_view(&g, b_find(&g, VT_OP_SPLIT)));
	vt_graph_fini(&g);
}

/* Long graphs are planned and proven in time that grows as they do. */
static void test_long_chain(void **state)
{
	enum { NODES = 100000 };
	struct vt_graph g;
	struct vt_err e = {0};
	clock_t start;
	int x, y;

	b_start(&g);
	x = y = b_input(&g, "x", SHAPE(3, 8));
	for (int i = 0; i < NODES; i++)
		y = b_unary(&g, VT_OP_SIN, y);
	b_output(&g, y);
	start = clock();
	assert_int_equal(vt_plan_memory(&g, &e), 0);
	/* far below a second; more than a minute if each node looked at all others */
	assert_true(clock() - start < 4 * CLOCKS_PER_SEC);
	assert_true(vt_shares_memory(&g, x, y));
	vt_graph_fini(&g);
}

static void test_in_place_spares_what_is_still_read(void **state)
{
	struct vt_graph g;
	int x, y, z;

	b_start(&g);
	x = b_unary(&g, VT_OP_ABS, b_input(&g, "x", SHAPE(3, 8)));
	y = b_unary(&g, VT_OP_EXP, x);				 /* x is read again below */
	z = b_binary(&g, VT_OP_SUB, y, b_slice(&g, y, 0, 1, 1)); /* reads y twice, shifted */
	b_output(&g, b_binary(&g, VT_OP_MUL, z, x));
	same_through_arena(&g, 1);
	assert_false(vt_shares_memory(&g, y, x));
	assert_false(vt_shares_memory(&g, z, y));
	vt_graph_fini(&g);
}

/* The proof must not believe in anything: break a good plan and it has to notice. */
static void test_check_finds_broken_plans(void **state)
{
	struct vt_graph g;
	struct vt_err e = {0};
	int x, y, z, w;

	b_start(&g);
	x = b_input(&g, "x", SHAPE(1, 8, 8, 4));
	y = b_conv(&g, x, 4, 3, 1, 1, 1, 1);
	z = b_conv(&g, y, 4, 3, 1, 1, 1, 2);
	w = b_binary(&g, VT_OP_ADD, z, y);
	b_output(&g, w);
	assert_int_equal(vt_plan_memory(&g, &e), 0);
	g.tensors[z].arena_off = g.tensors[y].arena_off; /* y is read by the sum */
	assert_int_equal(vt_plan_check(&g, &e), -EFAULT);
	assert_non_null(strstr(e.msg, "alive"));
	assert_int_equal(vt_plan_memory(&g, NULL), 0);
	g.tensors[z].arena_off = g.arena_bytes - 64; /* past the end */
	assert_int_equal(vt_plan_check(&g, NULL), -EFAULT);
	assert_int_equal(vt_plan_memory(&g, NULL), 0);
	g.tensors[w].view_of = y;
	g.tensors[w].view_off_bytes = 4; /* in place, but shifted */
	assert_int_equal(vt_plan_check(&g, NULL), -EFAULT);
	vt_graph_fini(&g);
}

/* ---- random graphs ------------------------------------------------------------------------- */

/*
 * Random networks in the importer's style (NCHW with Transposes around spatial operators), shapes
 * small and odd. Returns a graph of 5 to 25 steps with one to three outputs.
 */
static int random_step(struct vt_graph *g, struct vt_rng *r, const int *pool, int n)
{
	int x = pool[vt_rng_below(r, (uint64_t)n)], y = pool[vt_rng_below(r, (uint64_t)n)], a, b;
	struct vt_shape s = g->tensors[x].shape;
	unsigned int seed = (unsigned int)vt_rng_below(r, 1000);

	switch (vt_rng_below(r, 16)) {
	case 0:
	case 1:
		return b_conv_nchw(g, x, 4, 3, 1, 1, seed);
	case 2:
		return b_norm_nchw(g, b_conv_nchw(g, x, 4, 1, 1, 0, seed), seed);
	case 3:
		return b_unary(g, VT_OP_RELU, x);
	case 4:
		return b_clip(g, x, -1, 1);
	case 5:
		return b_binary(g, VT_OP_MUL, b_unary(g, VT_OP_SIGMOID, x), x);
	case 6:
	case 7:
		return b_binary(g, VT_OP_ADD, x, y);
	case 8:
		return b_binary(g, VT_OP_MUL, x, b_const(g, SHAPE(4, 1, 1), seed));
	case 9:
		return b_pool_nchw(g, VT_OP_MAXPOOL2D, x, 3, 1, 1);
	case 10:
		return b_slice(g, b_concat(g, 1, (int[]){x, y}, 2), 1, 2, 4);
	case 11:
		b_split2(g, x, 1, &a, &b);
		return b_concat(g, 1, (int[]){b, b_conv_nchw(g, a, 2, 1, 1, 0, seed)}, 2);
	case 12:
		return b_binary(g, VT_OP_MUL, x, b_unary(g, VT_OP_SIGMOID, b_gap_nchw(g, y)));
	case 13:
		a = b_reshape(g, b_transpose(g, x, (int[]){0, 2, 3, 1}), SHAPE(s.dim[0], 30, 4));
		a = b_fc(g, b_layernorm(g, a, seed), 4, seed, true, seed & 1);
		a = b_reshape(g, a, SHAPE(s.dim[0], 6, 5, 4));
		return b_transpose(g, a, (int[]){0, 3, 1, 2});
	case 14:
		a = b_transpose(g, b_reshape(g, x, SHAPE(s.dim[0], 2, 2, 6, 5)),
				(int[]){0, 2, 1, 3, 4});
		return b_reshape(g, a, s);
	default:
		return b_softmax(g, x, (int)vt_rng_below(r, 4));
	}
}

static void random_graph(struct vt_graph *g, struct vt_rng *r)
{
	int pool[32], n = 1, steps = 5 + (int)vt_rng_below(r, 20);

	b_start(g);
	pool[0] = b_input(g, "x", SHAPE(1 + (int64_t)vt_rng_below(r, 2), 4, 6, 5));
	for (int i = 0; i < steps; i++) {
		int window = n < 4 ? n : 4; /* recent results, so that chains form */

		pool[n] = random_step(g, r, pool + n - window, window);
		n++;
	}
	b_output(g, pool[n - 1]);
	if (vt_rng_below(r, 2) && !g->tensors[pool[n / 2]].is_output &&
	    g->tensors[pool[n / 2]].kind == VT_T_COMPUTED)
		b_output(g, pool[n / 2]);
}

static int optimize(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	return vt_optimize(g, eval, e);
}

static void test_random_graphs(void **state)
{
	struct vt_rng r = {20260101};
	int before = 0, after = 0;

	for (int i = 0; i < 300; i++) {
		struct vt_graph g;

		random_graph(&g, &r);
		before += g.n_nodes;
		b_same_function(&g, optimize);
		after += g.n_nodes;
		same_through_arena(&g, (unsigned int)i);
		vt_graph_fini(&g);
	}
	print_message("# 300 graphs: %d nodes before, %d after\n", before, after);
	assert_true(after * 2 < before);
}

/* The same passes one by one: whichever breaks a graph is named. */
static void test_each_pass_alone(void **state)
{
	static int (*const passes[])(struct vt_graph * g, const struct vt_eval *eval, int *changed,
				     struct vt_err *e) = {
#define X(name) vt_pass_##name,
		VT_PASSES(X)
#undef X
	};
	struct vt_rng r = {7};

	for (int i = 0; i < 260; i++) {
		struct vt_graph g;

		random_graph(&g, &r);
		b_same_function(&g, passes[(size_t)i % VT_COUNT(passes)]);
		same_through_arena(&g, (unsigned int)i);
		vt_graph_fini(&g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain_lives_in_one_buffer),
		cmocka_unit_test(test_convolutions_alternate_between_two),
		cmocka_unit_test(test_residual_counts_as_a_use),
		cmocka_unit_test(test_concat_of_channels_is_written_in_place),
		cmocka_unit_test(test_concat_of_others_is_copied),
		cmocka_unit_test(test_average_is_dense),
		cmocka_unit_test(test_concat_of_ranges_looks_behind_reshapes),
		cmocka_unit_test(test_split_is_read_where_it_lies),
		cmocka_unit_test(test_long_chain),
		cmocka_unit_test(test_in_place_spares_what_is_still_read),
		cmocka_unit_test(test_check_finds_broken_plans),
		cmocka_unit_test(test_random_graphs),
		cmocka_unit_test(test_each_pass_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
