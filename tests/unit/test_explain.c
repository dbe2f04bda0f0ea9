// SPDX-License-Identifier: Apache-2.0
/* Why a decision was taken: one row per kind of action, by hand. */
#include <string.h>

#include "harness.h"
#include "loop/explain.h"
#include "sched/plan.h"

#define NOW 1000000u

/* Three layers on 1 and 2 cores; a second version of layer 1 that does not mind pressure. */
static const uint16_t points[] = {1, 2};
#define ROW(one, two) one, two, one, two, one, two, one, two, one, two
static const uint64_t ns[] = {
	ROW(1000, 600),	 ROW(0, 0),	  /* layer 0 */
	ROW(2000, 1200), ROW(1800, 1000), /* layer 1 */
	ROW(4000, 2400), ROW(0, 0),	  /* layer 2 */
};

static struct vt_model model(void)
{
	return (struct vt_model){
		.name = "m",
		.qos_ns = 20000,
		.n_layers = 3,
		.n_points = 2,
		.n_versions = 2,
		.points = points,
		.ns = ns,
		.fastest_ns = 4000,
	};
}

static struct vt_request requests[] = {
	{.id = 7, .deadline_ns = NOW + 9000, .ready_ns = NOW - 300, .tenant = 3},
	{.id = 8, .deadline_ns = NOW - 50, .ready_ns = NOW - 20050, .tenant = 4, .next_layer = 1},
	{.id = 9, .deadline_ns = NOW + 9000, .ready_ns = NOW, .model = 5},
};

static struct vt_block blocks[] = {
	{.id = 5,
	 .deadline_ns = NOW + 5000,
	 .cores.w = {0x2},
	 .tenant = 1,
	 .layer_end = 3,
	 .layer_now = 1,
	 .wanted = 2,
	 .level = 2},
	{.id = 6, .deadline_ns = NOW + 6000, .cores.w = {0xc}, .layer_end = 2, .wanted = 2},
};

static struct vt_domain domains[] = {
	{.first = 0, .n_cores = 2, .pressure_ppm = 100, .confidence_ppm = 10},
	{.first = 2, .n_cores = 4, .pressure_ppm = 700, .confidence_ppm = 70},
};

static const uint8_t versions[] = {0, 1, 0};

/* Cores 0, 4 and 5 are free; 1 runs block 5; 2 and 3 run block 6. */
static const struct {
	struct vt_action a;
	struct vt_reason want;
} rows[] = {
	{{.kind = VT_START,
	  .id = 7,
	  .index = 0,
	  .cores.w = {0x1},
	  .layer_end = 2,
	  .wanted = 2,
	  .level = 1,
	  .expect_ns = 2800},
	 {.slack_ns = 9000,
	  .rest_ns = 2800 + 4000,
	  .waited_ns = 300,
	  .tenant = 3,
	  .pressure_ppm = 100,
	  .confidence_ppm = 10,
	  .layer_end = 2,
	  .wanted = 2,
	  .granted = 1,
	  .free = 3,
	  .other_versions = 1,
	  .level = 1}},
	/* The hint is wrong: found all the same. Two domains: the worse one. Free: 3 - 1. */
	{{.kind = VT_GROW, .id = 5, .index = 1, .cores.w = {0x10}, .wanted = 2},
	 {.slack_ns = 5000,
	  .rest_ns = 3600,
	  .tenant = 1,
	  .pressure_ppm = 700,
	  .confidence_ppm = 70,
	  .layer_begin = 1,
	  .layer_end = 3,
	  .wanted = 2,
	  .granted = 2,
	  .free = 2,
	  .level = 2}},
	{{.kind = VT_SHRINK, .id = 6, .index = 1, .cores.w = {0x8}},
	 {.slack_ns = 6000,
	  .rest_ns = 7000,
	  .pressure_ppm = 700,
	  .confidence_ppm = 70,
	  .layer_end = 2,
	  .wanted = 2,
	  .granted = 1,
	  .free = 1}},
	{{.kind = VT_PREEMPT, .id = 6, .index = 0},
	 {.slack_ns = 6000,
	  .rest_ns = 4200,
	  .pressure_ppm = 700,
	  .confidence_ppm = 70,
	  .layer_end = 2,
	  .wanted = 2,
	  .granted = 2,
	  .free = 1}},
	/* Late already; no grant: the pressure of the whole machine, the least it would need. */
	{{.kind = VT_SHED, .id = 8, .index = 1},
	 {.slack_ns = -50,
	  .rest_ns = 4000,
	  .waited_ns = 20050,
	  .tenant = 4,
	  .pressure_ppm = 700,
	  .confidence_ppm = 70,
	  .layer_begin = 1,
	  .layer_end = 3,
	  .free = 1}},
	/* Of a model that the view does not hold. */
	{{.kind = VT_START, .id = 9, .index = 2, .cores.w = {0x20}, .layer_end = 1, .wanted = 1},
	 {.slack_ns = 9000, .model = 5, .pressure_ppm = 700, .confidence_ppm = 70, .free = 1}},
	/* Of nobody. */
	{{.kind = VT_PREEMPT, .id = 99, .index = 77}, {.free = 0}},
};

#define N VT_COUNT(rows)

static void view_of(struct vt_sample *s, const struct vt_model *m)
{
	*s = (struct vt_sample){.view = {.now_ns = NOW,
					 .n_models = 1,
					 .n_requests = VT_COUNT(requests),
					 .n_blocks = VT_COUNT(blocks),
					 .n_domains = VT_COUNT(domains),
					 .n_cores = 6,
					 .free.w = {0x31},
					 .models = m,
					 .requests = requests,
					 .blocks = blocks,
					 .domains = domains}};
}

/* @piece at a time: what is told ends with the actions. */
static void explain_all(struct vt_reason *ret, size_t piece)
{
	size_t from = 0, n;

	struct vt_action actions[N];
	struct vt_model m = model();
	struct vt_sample s;
	struct vt_decision d = {
		.n_actions = N,
		.actions = actions,
		.n_versions = VT_COUNT(versions),
		.versions = (uint8_t *)versions,
	};

	for (size_t i = 0; i < N; i++)
		actions[i] = rows[i].a;
	view_of(&s, &m);
	memset(ret, 0xff, N * sizeof(*ret));
	while ((n = vt_explain(&s, &d, from, ret + from, piece)))
		from += n;
	assert_int_equal(from, N);
	assert_int_equal(vt_explain(&s, &d, N + 1, ret, N), 0);
}

static void test_every_kind_of_action(void **state)
{
	struct vt_reason got[N];

	explain_all(got, N);
	for (size_t i = 0; i < N; i++) {
		struct vt_reason want = rows[i].want;

		want.now_ns = NOW;
		want.id = rows[i].a.id;
		want.kind = rows[i].a.kind;
		want.waiting = VT_COUNT(requests);
		want.usable = 6;
		if (memcmp(&got[i], &want, sizeof(want)))
			fail_msg("row %zu: rest %llu slack %lld wanted %u granted %u free %u "
				 "pressure %u others %u layers %u..%u",
				 i, (unsigned long long)got[i].rest_ns, (long long)got[i].slack_ns,
				 got[i].wanted, got[i].granted, got[i].free, got[i].pressure_ppm,
				 got[i].other_versions, got[i].layer_begin, got[i].layer_end);
	}
}

static void test_only_as_many_as_there_is_room_for(void **state)
{
	struct vt_reason all[N], some[N];
	struct vt_model m = model();
	struct vt_action actions[N];
	struct vt_sample s;
	struct vt_decision d = {.n_actions = N, .actions = actions};

	explain_all(all, N);
	for (size_t i = 0; i < N; i++)
		actions[i] = rows[i].a;
	view_of(&s, &m);
	memset(some, 0, sizeof(some));
	assert_int_equal(vt_explain(&s, &d, 0, some, 2), 2);
	assert_int_equal(some[1].id, all[1].id);
	assert_int_equal(some[2].id, 0);
	/* Versions that the decision does not hold are not read. */
	assert_int_equal(some[0].other_versions, 0);
	assert_int_equal(vt_explain(&s, &d, 0, NULL, 0), 0);
}

/* In pieces, of any size: the same as at once, free cores of what came before included. */
static void test_piece_by_piece(void **state)
{
	struct vt_reason all[N], got[N];

	explain_all(all, N);
	for (size_t piece = 1; piece < N; piece++) {
		explain_all(got, piece);
		assert_memory_equal(got, all, sizeof(all));
	}
}

/* With a plan the rest is looked up: the same as adding the layers up. */
static void test_the_plan_says_the_same(void **state)
{
	struct vt_reason bare[N], planned[N];
	struct vt_model m = model();
	struct vt_action actions[N];
	struct vt_sample s;
	struct vt_decision d = {.n_actions = N, .actions = actions};
	static _Alignas(64) char mem[32768];

	for (size_t i = 0; i < N; i++)
		actions[i] = rows[i].a;
	view_of(&s, &m);
	vt_explain(&s, &d, 0, bare, N);
	assert_int_equal(
		vt_plan_init(&m, 2, VT_PLAN(VT_PLAN_SOLO, VT_GRAIN_FINE), mem, sizeof(mem)), 0);
	vt_explain(&s, &d, 0, planned, N);
	for (size_t i = 0; i < N; i++) {
		if (rows[i].a.kind ==
		    VT_SHED) /* layers 1 and 2 on two cores, not the whole model */
			assert_int_equal(planned[i].rest_ns, 3600);
		else
			assert_int_equal(planned[i].rest_ns, bare[i].rest_ns);
	}
}

/* Cores that others have taken help, at best: nothing is planned on them, and so nothing is explained with them. */
static void test_taken_cores_do_not_count(void **state)
{
	static const struct {
		const char *what;
		uint64_t taken, cores; /* of six, of which two would do; cores: granted */
		uint32_t taken_ppm;
		uint8_t kind;
		uint64_t rest_ns;
		uint16_t n_taken, usable;
	} cases[] = {
		{"none: on two", 0, 0, 0, VT_SHED, 4200, 0, 6},
		{"all but one: on that one", 0x3e, 0, 500000, VT_SHED, 7000, 5, 1},
		{"two are left: on two", 0xf, 0, 500000, VT_SHED, 4200, 4, 2},
		{"all: as if none", 0x3f, 0, 500000, VT_SHED, 4200, 6, 6},
		{"one that does not exist", 0x40, 0, 500000, VT_SHED, 4200, 0, 6},
		{"a helper", 0x2, 0x3, 500000, VT_START, 1000 + 6000, 1, 5},
		{"both ours", 0x4, 0x3, 500000, VT_START, 1000 + 3600, 1, 5},
		{"half of a core, alone", 0x1, 0x1, 500000, VT_START, 1000 + 12000, 1, 5},
	};
	static _Alignas(64) char mem[32768];
	struct vt_model m = model();
	struct vt_reason r;
	struct vt_sample s;

	assert_int_equal(
		vt_plan_init(&m, 6, VT_PLAN(VT_PLAN_SOLO, VT_GRAIN_FINE), mem, sizeof(mem)), 0);
	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_action a = {
			.kind = cases[i].kind, .id = 7, .cores.w = {cases[i].cores}, .level = 3};
		struct vt_decision d = {.n_actions = 1, .actions = &a};

		if (a.kind == VT_START) {
			a.layer_end = 1;
			a.expect_ns = 1000;
		}
		view_of(&s, &m);
		s.view.taken.w[0] = cases[i].taken;
		s.view.taken_ppm = cases[i].taken_ppm;
		assert_int_equal(vt_explain(&s, &d, 0, &r, 1), 1);
		if (r.rest_ns != cases[i].rest_ns || r.taken != cases[i].n_taken ||
		    r.usable != cases[i].usable || r.level != 3)
			fail_msg("%s: needs %llu, taken %u, usable %u, level %u", cases[i].what,
				 (unsigned long long)r.rest_ns, r.taken, r.usable, r.level);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_kind_of_action),
		cmocka_unit_test(test_only_as_many_as_there_is_room_for),
		cmocka_unit_test(test_piece_by_piece),
		cmocka_unit_test(test_the_plan_says_the_same),
		cmocka_unit_test(test_taken_cores_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
