// SPDX-License-Identifier: Apache-2.0
/* Operators that read, write or choose through indices and order: tables, and TopK against a sort.
 */
#include "ops.h"

#define F VT_F32
#define L VT_I64
#define I VT_I32
#define B VT_BOOL

static const struct t_case cases[] = {
	{"gather rows, negative index",
	 VT_OP_GATHER,
	 {{F, "3x2", {1, 2, 3, 4, 5, 6}}, {L, "2", {-1, 0}}},
	 {{F, "2x2", {5, 6, 1, 2}}}},
	{"gather scalar index", VT_OP_GATHER, {{L, "3", {7, 8, 9}}, {L, "", {1}}}, {{L, "", {8}}}},
	{"gather inner axis, index matrix",
	 VT_OP_GATHER,
	 {{VT_U8, "2x3", {1, 2, 3, 4, 5, 6}}, {I, "2x1", {2, 0}}},
	 {{VT_U8, "2x2x1", {3, 1, 6, 4}}},
	 {.axis = 1}},
	{"gather outside is clamped",
	 VT_OP_GATHER,
	 {{F, "2", {1, 2}}, {L, "3", {9, -9, 1}}},
	 {{F, "3", {2, 1, 2}}}},
	{"gather elements",
	 VT_OP_GATHER_ELEMENTS,
	 {{F, "2x2", {1, 2, 3, 4}}, {L, "2x2", {0, 0, 1, 0}}},
	 {{F, "2x2", {1, 1, 4, 3}}},
	 {.axis = 1}},
	{"gather elements, axis 0, fewer rows",
	 VT_OP_GATHER_ELEMENTS,
	 {{I, "3x3", {1, 2, 3, 4, 5, 6, 7, 8, 9}}, {L, "2x3", {-1, 2, 0, 2, 0, 0}}},
	 {{I, "2x3", {7, 8, 3, 7, 2, 3}}}},
	{"gather nd",
	 VT_OP_GATHER_ND,
	 {{F, "2x2", {0, 1, 2, 3}}, {L, "2x2", {0, 0, 1, 1}}},
	 {{F, "2", {0, 3}}}},
	{"gather nd, slices",
	 VT_OP_GATHER_ND,
	 {{F, "2x2", {0, 1, 2, 3}}, {L, "2x1", {1, 0}}},
	 {{F, "2x2", {2, 3, 0, 1}}}},
	{"gather nd, batch",
	 VT_OP_GATHER_ND,
	 {{F, "2x2x2", {0, 1, 2, 3, 4, 5, 6, 7}}, {L, "2x1", {1, 0}}},
	 {{F, "2x2", {2, 3, 4, 5}}},
	 {.axis = 1}},
	{"scatter nd",
	 VT_OP_SCATTER_ND,
	 {{F, "4", {1, 2, 3, 4}}, {L, "2x1", {3, 0}}, {F, "2", {9, 8}}},
	 {{F, "4", {8, 2, 3, 9}}}},
	{"scatter nd adds duplicates",
	 VT_OP_SCATTER_ND,
	 {{F, "2x2", {1, 2, 3, 4}}, {L, "3x1", {0, 0, 1}}, {F, "3x2", {1, 1, 2, 2, 3, 3}}},
	 {{F, "2x2", {4, 5, 6, 7}}},
	 {.axis = 1}},
	{"scatter nd multiplies i64",
	 VT_OP_SCATTER_ND,
	 {{L, "2", {3, 5}}, {L, "1x1", {1}}, {L, "1", {-2}}},
	 {{L, "2", {3, -10}}},
	 {.axis = 2}},
	{"scatter elements",
	 VT_OP_SCATTER_ELEMENTS,
	 {{F, "1x5", {1, 2, 3, 4, 5}}, {L, "1x2", {1, -2}}, {F, "1x2", {1.5, 2.5}}},
	 {{F, "1x5", {1, 1.5, 3, 2.5, 5}}},
	 {.axis = 1}},
	{"one hot",
	 VT_OP_ONE_HOT,
	 {{L, "3", {0, -1, 9}}, {F, "2", {0.5, 2}}},
	 {{F, "3x3", {2, 0.5, 0.5, 0.5, 0.5, 2, 0.5, 0.5, 0.5}}},
	 {.axis = 1}},
	{"one hot, first axis, float indices",
	 VT_OP_ONE_HOT,
	 {{F, "2", {1, NAN}}, {I, "2", {0, 1}}},
	 {{I, "2x2", {0, 0, 1, 0}}}},
	{"where",
	 VT_OP_WHERE,
	 {{B, "2x1", {1, 0}}, {F, "2", {1, 2}}, {F, "", {9}}},
	 {{F, "2x2", {1, 2, 9, 9}}}},
	{"where i64",
	 VT_OP_WHERE,
	 {{B, "3", {1, 0, 1}}, {L, "3", {1, 2, 3}}, {L, "3", {4, 5, 6}}},
	 {{L, "3", {1, 5, 3}}}},
	{"triu",
	 VT_OP_TRILU,
	 {{F, "2x3", {1, 2, 3, 4, 5, 6}}},
	 {{F, "2x3", {1, 2, 3, 0, 5, 6}}},
	 {.trilu = {true, 0}}},
	{"tril below",
	 VT_OP_TRILU,
	 {{L, "2x2x2", {1, 2, 3, 4, 5, 6, 7, 8}}},
	 {{L, "2x2x2", {0, 0, 3, 0, 0, 0, 7, 0}}},
	 {.trilu = {false, -1}}},
	{"triu far outside",
	 VT_OP_TRILU,
	 {{F, "2x2", {1, 2, 3, 4}}},
	 {{F, "2x2", {0, 0, 0, 0}}},
	 {.trilu = {true, 0x7fffffffffffffff}}},
	{"range",
	 VT_OP_RANGE,
	 {{L, "", {10}}, {L, "", {4}}, {L, "", {-2}}},
	 {{L, "3", {10, 8, 6}}}},
	{"range f32",
	 VT_OP_RANGE,
	 {{F, "", {1}}, {F, "", {2}}, {F, "", {0.5}}},
	 {{F, "2", {1, 1.5}}}},
	{"argmax first of equals",
	 VT_OP_ARGMAX,
	 {{F, "2x3", {1, 3, 3, -1, -2, -1}}},
	 {{L, "2", {1, 0}}},
	 {.arg = {1, false, false}}},
	{"argmax last of equals",
	 VT_OP_ARGMAX,
	 {{F, "2x3", {1, 3, 3, -1, -2, -1}}},
	 {{L, "2x1", {2, 2}}},
	 {.arg = {1, true, true}}},
	{"argmin outer axis, u8",
	 VT_OP_ARGMIN,
	 {{VT_U8, "3x2", {5, 0, 2, 0, 3, 9}}},
	 {{L, "1x2", {1, 0}}},
	 {.arg = {0, true, false}}},
	{"argmax of NaN",
	 VT_OP_ARGMAX,
	 {{F, "4", {1, NAN, 9, NAN}}},
	 {{L, "1", {1}}},
	 {.arg = {0, true, false}}},
	{"topk, ties by index",
	 VT_OP_TOPK,
	 {{F, "6", {1, 5, 5, 0, 5, 2}}},
	 {{F, "4", {5, 5, 5, 2}}, {L, "4", {1, 2, 4, 5}}},
	 {.topk = {0, true, true}}},
	{"topk smallest, outer axis, i32",
	 VT_OP_TOPK,
	 {{I, "3x2", {3, 1, 2, 1, 1, 0}}},
	 {{I, "2x2", {1, 0, 2, 1}}, {L, "2x2", {2, 2, 1, 0}}},
	 {.topk = {0, false, true}}},
	{"topk, a NaN is the largest",
	 VT_OP_TOPK,
	 {{F, "5", {NAN, 1, 2, 9, NAN}}},
	 {{F, "3", {NAN, NAN, 9}}, {L, "3", {0, 4, 3}}},
	 {.topk = {0, true, true}}},
	{"topk smallest, a NaN comes last",
	 VT_OP_TOPK,
	 {{VT_F64, "5", {NAN, 1, 2, 9, NAN}}},
	 {{VT_F64, "4", {1, 2, 9, NAN}}, {L, "4", {1, 2, 3, 0}}},
	 {.topk = {0, false, true}}},
	{"cumsum", VT_OP_CUMSUM, {{F, "4", {1, 2, 3, 4}}}, {{F, "4", {1, 3, 6, 10}}}},
	{"cumsum exclusive, reverse",
	 VT_OP_CUMSUM,
	 {{VT_F64, "4", {1, 2, 3, 4}}},
	 {{VT_F64, "4", {9, 7, 4, 0}}},
	 {.cumsum = {0, true, true}}},
	{"cumsum outer axis, i32",
	 VT_OP_CUMSUM,
	 {{I, "2x2", {1, 2, 3, 4}}},
	 {{I, "2x2", {1, 2, 4, 6}}},
	 {.cumsum = {0, false, false}}},
};

static void tables(void **state)
{
	for (size_t i = 0; i < VT_COUNT(cases); i++)
		t_run_case(&cases[i]);
}

struct item {
	float v;
	int64_t at;
};

static int larger_first(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->v != y->v)
		return x->v > y->v ? -1 : 1;
	return x->at < y->at ? -1 : 1;
}

/* Few different values, so that most comparisons are ties. */
static void topk_sorts(void **state)
{
	struct vt_rng r = {21};
	struct item items[300];

	for (int round = 0; round < 200; round++) {
		size_t n = 1 + vt_rng_below(&r, 300), k = 1 + vt_rng_below(&r, n);
		struct t_node t = {.n = {.op = VT_OP_TOPK, .p.topk = {0, true, true}}};
		float *x = t_add(&t, false, F, (struct vt_shape){1, {(int64_t)n}});

		for (size_t i = 0; i < n; i++) {
			x[i] = (float)vt_rng_below(&r, round % 2 ? 8 : 100000);
			items[i] = (struct item){x[i], (int64_t)i};
		}
		t_add(&t, true, F, (struct vt_shape){1, {(int64_t)k}});
		t_add(&t, true, L, (struct vt_shape){1, {(int64_t)k}});
		assert_int_equal(t_run(&t), 0);
		qsort(items, n, sizeof(items[0]), larger_first);
		for (size_t i = 0; i < k; i++) {
			assert_true(((float *)t.data[1])[i] == items[i].v);
			assert_int_equal(((int64_t *)t.data[2])[i], items[i].at);
		}
		t_free(&t);
	}
}

/* An index needs something to point at: refused before running, which could not fail. */
static void from_nothing(void **state)
{
	static const enum vt_op ops[] = {VT_OP_GATHER, VT_OP_GATHER_ELEMENTS, VT_OP_GATHER_ND};

	for (size_t i = 0; i < VT_COUNT(ops); i++) {
		struct t_node t = {.n = {.op = ops[i]}};

		t_in(&t, F, "0x2");
		t_in(&t, L, "1x1");
		t_out(&t, F,
		      ops[i] == VT_OP_GATHER	  ? "1x1x2"
		      : ops[i] == VT_OP_GATHER_ND ? "1x2"
						  : "1x1");
		assert_int_equal(t_run(&t), -EINVAL);
		t_free(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(topk_sorts),
		cmocka_unit_test(from_nothing),
	};

	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
