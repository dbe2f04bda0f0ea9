// SPDX-License-Identifier: Apache-2.0
/* Operators that only move elements: tables, and random shapes against index arithmetic. */
#include "ops.h"

#define F VT_F32
#define L VT_I64

static const struct t_case cases[] = {
	{"transpose",
	 VT_OP_TRANSPOSE,
	 {{F, "2x3", {1, 2, 3, 4, 5, 6}}},
	 {{F, "3x2", {1, 4, 2, 5, 3, 6}}},
	 {.perm = {{1, 0}}}},
	{"expand",
	 VT_OP_EXPAND,
	 {{F, "2x1", {1, 2}}},
	 {{F, "2x2x3", {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2}}}},
	{"expand scalar", VT_OP_EXPAND, {{L, "", {7}}}, {{L, "3", {7, 7, 7}}}},
	{"concat inner",
	 VT_OP_CONCAT,
	 {{F, "2x1", {1, 2}}, {F, "2x2", {3, 4, 5, 6}}, {F, "2x0", {0}}},
	 {{F, "2x3", {1, 3, 4, 2, 5, 6}}},
	 {.axis = 1}},
	{"concat i64", VT_OP_CONCAT, {{L, "1", {1}}, {L, "2", {2, 3}}}, {{L, "3", {1, 2, 3}}}},
	{"split",
	 VT_OP_SPLIT,
	 {{F, "2x3", {1, 2, 3, 4, 5, 6}}},
	 {{F, "2x1", {1, 4}}, {F, "2x2", {2, 3, 5, 6}}},
	 {.axis = 1}},
	{"slice backwards",
	 VT_OP_SLICE,
	 {{F, "5", {0, 1, 2, 3, 4}}},
	 {{F, "2", {4, 2}}},
	 {.slice = {{4}, {-2}}}},
	{"slice 2-D",
	 VT_OP_SLICE,
	 {{L, "3x4", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}},
	 {{L, "2x2", {5, 6, 9, 10}}},
	 {.slice = {{1, 1}, {1, 1}}}},
	{"tile", VT_OP_TILE, {{F, "2x1", {1, 2}}}, {{F, "4x2", {1, 1, 2, 2, 1, 1, 2, 2}}}},
	{"pad",
	 VT_OP_PAD,
	 {{F, "2x2", {1, 2, 3, 4}}},
	 {{F, "3x4", {9, 9, 9, 9, 9, 1, 2, 9, 9, 3, 4, 9}}},
	 {.pad = {{1, 1}, {0, 1}, VT_PAD_CONSTANT, 9}}},
	{"pad crops",
	 VT_OP_PAD,
	 {{L, "2x3", {1, 2, 3, 4, 5, 6}}},
	 {{L, "2x3", {2, 3, 8, 5, 6, 8}}},
	 {.pad = {{0, -1}, {0, 1}, VT_PAD_CONSTANT, 8}}},
	{"pad reflect",
	 VT_OP_PAD,
	 {{F, "3", {1, 2, 3}}},
	 {{F, "8", {3, 2, 1, 2, 3, 2, 1, 2}}},
	 {.pad = {{2}, {3}, VT_PAD_REFLECT, 0}}},
	{"pad edge",
	 VT_OP_PAD,
	 {{VT_U8, "2x2", {1, 2, 3, 4}}},
	 {{VT_U8, "3x4", {1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4}}},
	 {.pad = {{0, 1}, {1, 1}, VT_PAD_EDGE, 0}}},
	{"pad wrap",
	 VT_OP_PAD,
	 {{F, "1x3", {1, 2, 3}}},
	 {{F, "1x9", {2, 3, 1, 2, 3, 1, 2, 3, 1}}},
	 {.pad = {{0, 2}, {0, 4}, VT_PAD_WRAP, 0}}},
	{"depth to space DCR",
	 VT_OP_DEPTH_TO_SPACE,
	 {{F, "1x1x2x4", {0, 1, 2, 3, 4, 5, 6, 7}}},
	 {{F, "1x2x4x1", {0, 1, 4, 5, 2, 3, 6, 7}}},
	 {.block = {2, false}}},
	/* channel = c * 4 + row * 2 + column for CRD, (row * 2 + column) * 2 + c for DCR */
	{"depth to space DCR, 2 channels",
	 VT_OP_DEPTH_TO_SPACE,
	 {{F, "1x1x1x8", {0, 1, 2, 3, 4, 5, 6, 7}}},
	 {{F, "1x2x2x2", {0, 1, 2, 3, 4, 5, 6, 7}}},
	 {.block = {2, false}}},
	{"depth to space CRD, 2 channels",
	 VT_OP_DEPTH_TO_SPACE,
	 {{F, "1x1x1x8", {0, 1, 2, 3, 4, 5, 6, 7}}},
	 {{F, "1x2x2x2", {0, 4, 1, 5, 2, 6, 3, 7}}},
	 {.block = {2, true}}},
	{"space to depth",
	 VT_OP_SPACE_TO_DEPTH,
	 {{F, "1x2x4x1", {0, 1, 4, 5, 2, 3, 6, 7}}},
	 {{F, "1x1x2x4", {0, 1, 2, 3, 4, 5, 6, 7}}},
	 {.block = {2, false}}},
};

static void tables(void **state)
{
	for (size_t i = 0; i < VT_COUNT(cases); i++)
		t_run_case(&cases[i]);
}

static struct vt_shape random_shape(struct vt_rng *r, int min_rank, uint64_t max_dim)
{
	struct vt_shape s = {.rank = min_rank + (int)vt_rng_below(r, 4)};

	for (int d = 0; d < s.rank; d++)
		s.dim[d] = (int64_t)(1 + vt_rng_below(r, vt_rng_below(r, 4) ? max_dim : 2));
	return s;
}

/* Element @i of a dense tensor of shape @s as one index per dim. */
static void unravel(const struct vt_shape *s, size_t i, int64_t *at)
{
	for (int d = s->rank - 1; d >= 0; d--) {
		at[d] = (int64_t)(i % (size_t)s->dim[d]);
		i /= (size_t)s->dim[d];
	}
}

static size_t ravel(const struct vt_shape *s, const int64_t *at)
{
	size_t i = 0;

	for (int d = 0; d < s->rank; d++)
		i = i * (size_t)s->dim[d] + (size_t)at[d];
	return i;
}

static const enum vt_dtype by_size[] = {VT_U8, VT_I16, VT_F32, VT_F64};

static void random_transpose(void **state)
{
	struct vt_rng r = {3};

	for (int round = 0; round < 400; round++) {
		struct vt_shape in = random_shape(&r, 1, round % 10 ? 9 : 40), out = in;
		struct t_node t = {.n = {.op = VT_OP_TRANSPOSE}};
		enum vt_dtype dt = by_size[round % 4];
		int *perm = t.n.p.perm.perm;

		for (int d = 0; d < in.rank; d++)
			perm[d] = d;
		for (int d = in.rank - 1; d > 0; d--) {
			int k = (int)vt_rng_below(&r, (uint64_t)d + 1), was = perm[d];

			perm[d] = perm[k];
			perm[k] = was;
		}
		for (int d = 0; d < in.rank; d++)
			out.dim[d] = in.dim[perm[d]];
		t_add(&t, false, dt, in);
		t_random(&t, 0, r.s, 0, 250);
		t_add(&t, true, dt, out);
		assert_int_equal(t_run(&t), 0);
		for (size_t i = 0; i < t_count(&t, 1); i++) {
			int64_t to[VT_MAX_RANK], from[VT_MAX_RANK];

			unravel(&out, i, to);
			for (int d = 0; d < in.rank; d++)
				from[perm[d]] = to[d];
			assert_true(t_get(t.data[1], dt, i) ==
				    t_get(t.data[0], dt, ravel(&in, from)));
		}
		t_free(&t);
	}
}

static void random_slice_and_pad(void **state)
{
	struct vt_rng r = {5};

	for (int round = 0; round < 400; round++) {
		struct vt_shape in = random_shape(&r, 1, 12), out = in;
		const bool slice = round % 2;
		struct t_node t = {.n = {.op = slice ? VT_OP_SLICE : VT_OP_PAD}};
		enum vt_dtype dt = by_size[round / 2 % 4];
		union vt_params *p = &t.n.p;

		for (int d = 0; d < in.rank && slice; d++) {
			int64_t step = 1 + (int64_t)vt_rng_below(&r, 3);

			out.dim[d] = 1 + (in.dim[d] - 1) / step;
			p->slice.step[d] = round % 3 ? step : -step;
			p->slice.start[d] = round % 3 ? 0 : in.dim[d] - 1;
		}
		for (int d = 0; d < in.rank && !slice; d++) {
			p->pad.before[d] = (int64_t)vt_rng_below(&r, 6) - 2;
			p->pad.after[d] = (int64_t)vt_rng_below(&r, 4);
			out.dim[d] = in.dim[d] + p->pad.before[d] + p->pad.after[d];
			out.dim[d] = out.dim[d] < 0 ? 0 : out.dim[d];
		}
		t_add(&t, false, dt, in);
		t_random(&t, 0, r.s, 1, 250);
		t_add(&t, true, dt, out);
		assert_int_equal(t_run(&t), 0);
		for (size_t i = 0; i < t_count(&t, 1); i++) {
			int64_t at[VT_MAX_RANK];
			bool inside = true;

			unravel(&out, i, at);
			for (int d = 0; d < in.rank; d++) {
				at[d] = slice ? p->slice.start[d] + at[d] * p->slice.step[d]
					      : at[d] - p->pad.before[d];
				inside &= at[d] >= 0 && at[d] < in.dim[d];
			}
			assert_true(t_get(t.data[1], dt, i) ==
				    (inside ? t_get(t.data[0], dt, ravel(&in, at)) : 0));
		}
		t_free(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(random_transpose),
		cmocka_unit_test(random_slice_and_pad),
	};

	return cmocka_run_group_tests_name("move", tests, NULL, NULL);
}
