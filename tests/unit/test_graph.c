// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "model/graph.h"
#include "model/graph_shapes.h"

static void test_shapes(void **state)
{
	static const struct {
		struct vt_shape s;
		int64_t elems;
		const char *text;
	} t[] = {
		{{.rank = 0}, 1, "scalar"},
		{{2, {3, 4}}, 12, "3x4"},
		{{3, {INT32_MAX, INT32_MAX, 0}}, 0, "2147483647x2147483647x0"},
		{{3, {INT32_MAX, INT32_MAX, 2}}, -EOVERFLOW, "2147483647x2147483647x2"},
		{{1, {-1}}, -EOVERFLOW, "-1"},
	};
	char buf[64], tiny[4];

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		assert_int_equal(vt_shape_elems(&t[i].s), t[i].elems);
		assert_string_equal(vt_shape_text(&t[i].s, buf, sizeof(buf)), t[i].text);
	}
	assert_string_equal(vt_shape_text(&t[2].s, tiny, sizeof(tiny)), "214");
}

static void test_broadcast(void **state)
{
	static const struct {
		struct vt_shape a, b;
		int err;
		struct vt_shape out;
	} t[] = {
		{{2, {3, 4}}, {1, {4}}, 0, {2, {3, 4}}},
		{{2, {3, 1}}, {3, {2, 1, 5}}, 0, {3, {2, 3, 5}}},
		{{0, {0}}, {2, {2, 2}}, 0, {2, {2, 2}}},
		{{2, {0, 1}}, {1, {1}}, 0, {2, {0, 1}}},
		{{1, {3}}, {1, {4}}, -EINVAL, {0, {0}}},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_shape out = {0};

		assert_int_equal(vt_shape_broadcast(&t[i].a, &t[i].b, &out), t[i].err);
		assert_true(vt_shape_equal(&out, &t[i].out));
	}
}

static void test_types(void **state)
{
	assert_int_equal(vt_dtype_bytes(VT_F32), 4);
	assert_int_equal(vt_dtype_bytes(VT_BOOL), 1);
	assert_int_equal(vt_dtype_bytes(VT_DT_NONE), 0);
	assert_string_equal(vt_dtype_name(VT_BF16), "bfloat16");
	assert_int_equal(vt_dtype_from_onnx(1), VT_F32);
	assert_int_equal(vt_dtype_from_onnx(8), VT_DT_NONE); /* strings */
	assert_string_equal(vt_op_name(VT_OP_FC), "FullyConnected");
	assert_int_equal(vt_op_class(VT_OP_PRELU), VT_C_BINARY);
}

/* x -> relu -> y, in a graph that starts empty; returns y */
static int add_unary(struct vt_graph *g, enum vt_op op, int x)
{
	int y = vt_graph_add_tensor(g, "y", VT_T_COMPUTED, VT_F32, &g->tensors[x].shape);

	assert_true(y >= 0);
	assert_true(vt_graph_add_node(g, op, vt_op_name(op), &x, 1, &y, 1) >= 0);
	return y;
}

static void start(struct vt_graph *g, int *x)
{
	assert_int_equal(vt_graph_init(g, "g"), 0);
	*x = vt_graph_add_tensor(g, "x", VT_T_INPUT, VT_F32, &SHAPE(2, 3));
	assert_int_equal(vt_graph_mark_input(g, *x), 0);
}

static void test_sort_keeps_order_and_pulls_late_nodes_forward(void **state)
{
	struct vt_graph g;
	struct vt_err e = {0};
	int x, a, b, c, late;

	start(&g, &x);
	a = add_unary(&g, VT_OP_RELU, x);
	b = add_unary(&g, VT_OP_EXP, a);
	c = add_unary(&g, VT_OP_ABS, b);
	assert_int_equal(vt_graph_mark_output(&g, c), 0);
	/* a pass puts a node between a and b */
	late = add_unary(&g, VT_OP_NEG, a);
	g.nodes[1].in[0] = late;
	assert_int_equal(vt_graph_check(&g, &e), -EINVAL);
	e = (struct vt_err){0};
	assert_int_equal(vt_graph_sort(&g, &e), 0);
	assert_int_equal(vt_graph_check(&g, &e), 0);
	assert_int_equal(g.nodes[0].op, VT_OP_RELU);
	assert_int_equal(g.nodes[1].op, VT_OP_NEG);
	assert_int_equal(g.nodes[2].op, VT_OP_EXP);
	assert_int_equal(vt_graph_producer(&g, late), 1);
	vt_graph_fini(&g);
}

static void test_sort_names_a_cycle(void **state)
{
	struct vt_graph g;
	struct vt_err e = {0};
	int x, a, b;

	start(&g, &x);
	a = add_unary(&g, VT_OP_RELU, x);
	b = add_unary(&g, VT_OP_EXP, a);
	g.nodes[0].in[0] = b;
	assert_int_equal(vt_graph_sort(&g, &e), -ELOOP);
	assert_non_null(strstr(e.msg, "cycle"));
	vt_graph_fini(&g);
}

static void test_compact_drops_what_nobody_reads(void **state)
{
	struct vt_graph g;
	struct vt_err e = {0};
	int x, a, c, only = VT_NONE;

	start(&g, &x);
	a = add_unary(&g, VT_OP_RELU, x);
	add_unary(&g, VT_OP_EXP, add_unary(&g, VT_OP_ABS, a));
	c = vt_graph_add_const(&g, "c", VT_I64, &SHAPE(4));
	assert_int_equal(g.tensors[c].bytes, 32);
	assert_int_equal(vt_graph_mark_output(&g, a), 0);
	assert_int_equal(vt_graph_consumers(&g, a, &only), 1);
	assert_int_equal(only, 1);
	vt_graph_compact(&g);
	assert_int_equal(g.n_nodes, 1);
	assert_null(g.tensors[c].data);
	assert_int_equal(vt_graph_check(&g, &e), 0);
	assert_int_equal(vt_graph_consumers(&g, a, NULL), 0);
	vt_graph_fini(&g);
}

static void test_flops(void **state)
{
	struct vt_graph g;
	int in[3], out;

	assert_int_equal(vt_graph_init(&g, "g"), 0);
	in[0] = vt_graph_add_tensor(&g, "x", VT_T_INPUT, VT_F32, &SHAPE(1, 8, 8, 16));
	in[1] = vt_graph_add_const(&g, "w", VT_F32, &SHAPE(32, 16, 3, 3));
	out = vt_graph_add_tensor(&g, "y", VT_T_COMPUTED, VT_F32, &SHAPE(1, 8, 8, 32));
	vt_graph_add_node(&g, VT_OP_CONV2D, "conv", in, 2, &out, 1);
	assert_int_equal(vt_node_flops(&g, &g.nodes[0]), 2 * 64 * 32 * 16 * 9);
	in[0] = vt_graph_add_tensor(&g, "q", VT_T_INPUT, VT_F32, &SHAPE(1, 10, 64));
	in[1] = in[2] = vt_graph_add_tensor(&g, "k", VT_T_INPUT, VT_F32, &SHAPE(1, 20, 64));
	out = vt_graph_add_tensor(&g, "o", VT_T_COMPUTED, VT_F32, &SHAPE(1, 10, 64));
	vt_graph_add_node(&g, VT_OP_ATTENTION, "att", in, 3, &out, 1);
	assert_int_equal(vt_node_flops(&g, &g.nodes[1]), 2 * 2 * 10 * 20 * 64);
	vt_graph_fini(&g);
}

/* Break one thing of a good graph; the check has to name the node. */
static void break_conv_pad(struct vt_graph *g)
{
	g->nodes[0].p.conv.pt = 2;
}

static void break_groups(struct vt_graph *g)
{
	g->nodes[0].p.conv.groups = 2;
}

static void break_perm(struct vt_graph *g)
{
	g->nodes[1].p.perm.perm[3] = 0;
}

static void break_elems(struct vt_graph *g)
{
	g->tensors[g->nodes[2].out[0]].shape.dim[0]++;
}

static void break_residual(struct vt_graph *g)
{
	g->nodes[0].epi.residual = g->inputs[0];
}

static void break_epilogue(struct vt_graph *g)
{
	g->nodes[1].epi.act = VT_OP_RELU;
}

static void break_arity(struct vt_graph *g)
{
	g->nodes[2].n_in = 0;
}

static void break_double_write(struct vt_graph *g)
{
	g->nodes[2].out[0] = g->nodes[1].out[0];
}

static void break_data(struct vt_graph *g)
{
	vt_graph_drop_data(g, g->nodes[0].in[1]);
}

static void break_operand_type(struct vt_graph *g)
{
	struct vt_tensor *bias = &g->tensors[g->nodes[0].in[2]];

	bias->dtype = VT_U8;
	bias->bytes = (size_t)vt_shape_elems(&bias->shape);
}

static void break_result_type(struct vt_graph *g)
{
	g->tensors[g->nodes[0].out[0]].dtype = VT_I32;
}

static void break_nothing(struct vt_graph *g)
{
}

static void test_check_names_what_is_wrong(void **state)
{
	static const struct {
		void (*spoil)(struct vt_graph *g);
		const char *says;
	} t[] = {
		{break_nothing, NULL},
		{break_conv_pad, "result has the wrong size"},
		{break_groups, "weight has other dims"},
		{break_perm, "perm is no permutation"},
		{break_elems, "changes the number of elements"},
		{break_residual, "residual has another shape"},
		{break_epilogue, "may not have an epilogue"},
		{break_arity, "wrong number of inputs"},
		{break_double_write, "another node writes too"},
		{break_data, "data was dropped"},
		{break_operand_type, "operands have types that do not fit"},
		{break_result_type, "result has another type"},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		struct vt_err e = {0};
		int x;

		b_start(&g);
		x = b_conv(&g, b_input(&g, "x", SHAPE(1, 5, 4, 2)), 6, 3, 1, 1, 1, 1);
		x = b_reshape(&g, b_transpose(&g, x, (int[]){0, 3, 1, 2}), SHAPE(6, 20));
		b_output(&g, x);
		t[i].spoil(&g);
		assert_int_equal(vt_graph_check(&g, &e), t[i].says ? -EINVAL : 0);
		if (t[i].says && !strstr(e.msg, t[i].says))
			fail_msg("case %zu says: %s", i, e.msg);
		vt_graph_fini(&g);
	}
}

/* A convolution with its average as a second result: what may be one, and that it costs what the two did. */
static void test_average_of_a_convolution(void **state)
{
	static const struct {
		struct vt_shape average;
		int groups;
		bool fits;
	} t[] = {
		{SHAPE(2, 1, 1, 4), 4, true},  {SHAPE(2, 1, 1, 3), 4, false},
		{SHAPE(1, 1, 1, 4), 4, false}, {SHAPE(2, 4), 4, false},
		{SHAPE(2, 1, 1, 4), 1, false}, {SHAPE(2, 1, 1, 4), 2, false},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		struct vt_err e = {0};
		uint64_t flops;
		int x, y, out[2];

		b_start(&g);
		x = b_input(&g, "x", SHAPE(2, 5, 4, 4));
		y = b_conv(&g, x, 4, 3, 1, 1, t[i].groups, 1);
		b_output(&g, y);
		out[0] = b_gap(&g, y);
		b_output(&g, out[0]);
		flops = vt_node_flops(&g, &g.nodes[0]) + vt_node_flops(&g, &g.nodes[1]);
		g.nodes[1].dead = true;
		vt_graph_compact(&g);
		out[1] = out[0];
		out[0] = y;
		g.tensors[out[1]].shape = t[i].average;
		free(g.nodes[0].out);
		g.nodes[0].out = malloc(sizeof(out));
		memcpy(g.nodes[0].out, out, sizeof(out));
		g.nodes[0].n_out = 2;
		assert_int_equal(vt_node_flops(&g, &g.nodes[0]), flops);
		assert_int_equal(vt_graph_check(&g, &e), t[i].fits ? 0 : -EINVAL);
		if (!t[i].fits && !strstr(e.msg, "no average of a depthwise"))
			fail_msg("case %zu says: %s", i, e.msg);
		vt_graph_fini(&g);
	}
}

/* What one operand's type says of the others'. */
static void test_types_of_operators(void **state)
{
	static const struct {
		enum vt_op op;
		enum vt_dtype in[3], out[2];
		bool fits;
	} t[] = {
		{VT_OP_ADD, {VT_I64, VT_I64}, {VT_I64}, true},
		{VT_OP_ADD, {VT_F32, VT_F64}, {VT_F32}, false},
		{VT_OP_LESS, {VT_F32, VT_F32}, {VT_BOOL}, true},
		{VT_OP_LESS, {VT_F32, VT_F32}, {VT_F32}, false},
		{VT_OP_IS_NAN, {VT_F32}, {VT_BOOL}, true},
		{VT_OP_CAST, {VT_F32}, {VT_I8}, true},
		{VT_OP_GATHER, {VT_F32, VT_I32}, {VT_F32}, true},
		{VT_OP_GATHER, {VT_F32, VT_F32}, {VT_F32}, false},
		{VT_OP_GATHER, {VT_F32, VT_I64}, {VT_F64}, false},
		{VT_OP_SCATTER_ND, {VT_U8, VT_I64, VT_U8}, {VT_U8}, true},
		{VT_OP_SCATTER_ND, {VT_F32, VT_I64, VT_U8}, {VT_F32}, false},
		{VT_OP_ONE_HOT, {VT_I32, VT_F32}, {VT_F32}, true},
		{VT_OP_ONE_HOT, {VT_I32, VT_U8}, {VT_F32}, false},
		{VT_OP_WHERE, {VT_BOOL, VT_F32, VT_F32}, {VT_F32}, true},
		{VT_OP_WHERE, {VT_U8, VT_F32, VT_F32}, {VT_F32}, false},
		{VT_OP_WHERE, {VT_BOOL, VT_F32, VT_U8}, {VT_F32}, false},
		{VT_OP_CONCAT, {VT_I8, VT_I8, VT_I8}, {VT_I8}, true},
		{VT_OP_CONCAT, {VT_I8, VT_I8, VT_I64}, {VT_I8}, false},
		{VT_OP_TOPK, {VT_F32}, {VT_F32, VT_I64}, true},
		{VT_OP_TOPK, {VT_F32}, {VT_F32, VT_F32}, false},
		{VT_OP_ARGMAX, {VT_F32}, {VT_I64}, true},
		{VT_OP_LAYER_NORM, {VT_F32, VT_F32, VT_F16}, {VT_F32}, false},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		int ids[5], n_in = 0, n_out = 0;

		assert_int_equal(vt_graph_init(&g, "g"), 0);
		for (; n_in < 3 && t[i].in[n_in]; n_in++)
			ids[n_in] =
				vt_graph_add_tensor(&g, "i", VT_T_INPUT, t[i].in[n_in], &SHAPE(2));
		for (; n_out < 2 && t[i].out[n_out]; n_out++)
			ids[n_in + n_out] = vt_graph_add_tensor(&g, "o", VT_T_COMPUTED,
								t[i].out[n_out], &SHAPE(2));
		vt_graph_add_node(&g, t[i].op, "n", ids, n_in, ids + n_in, n_out);
		if (!vt_node_mistyped(&g, &g.nodes[0]) != t[i].fits)
			fail_msg("case %zu: %s", i, vt_op_name(t[i].op));
		vt_graph_fini(&g);
	}
}

static void test_dump_is_one_line_per_node(void **state)
{
	struct vt_graph g;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int x;

	start(&g, &x);
	assert_int_equal(vt_graph_mark_output(&g, add_unary(&g, VT_OP_RELU, x)), 0);
	vt_graph_dump(&g, f);
	fclose(f);
	assert_string_equal(text, "graph \"g\" 1 nodes, weights 0 bytes, arena 0 bytes\n"
				  "input @0[2x3] 2x3 float32 \"x\"\n"
				  "%1 2x3 = Relu(@0[2x3])  \"Relu\"\n"
				  "output %1 2x3 float32 \"y\"\n");
	free(text);
	vt_graph_fini(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_broadcast),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_sort_keeps_order_and_pulls_late_nodes_forward),
		cmocka_unit_test(test_sort_names_a_cycle),
		cmocka_unit_test(test_compact_drops_what_nobody_reads),
		cmocka_unit_test(test_flops),
		cmocka_unit_test(test_check_names_what_is_wrong),
		cmocka_unit_test(test_average_of_a_convolution),
		cmocka_unit_test(test_types_of_operators),
		cmocka_unit_test(test_dump_is_one_line_per_node),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
