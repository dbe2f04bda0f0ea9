// SPDX-License-Identifier: Apache-2.0
/*
 * test_share.c - who of veltair-full's line begins on eight free cores, as tables: models of one layer that
 * takes 1 / 1.9 of its time on two cores, 1 / 3.6 on four, 1 / 6.4 on eight, named by their milliseconds on one.
 */
#include "harness.h"

#include "sched_fixture.h"

#define MS    1000000ull
#define CORES 8u

static const uint16_t points[] = {1, 2, 4, 8};
static const double speed[] = {1, 1.9, 3.6, 6.4};
static const uint32_t works[] = {1, 10, 12, 100};
static uint64_t times[VT_COUNT(works)][VT_LEVELS * VT_COUNT(points)];
static struct vt_model models[VT_COUNT(works)];

static void make_models(void)
{
	for (size_t i = 0; i < VT_COUNT(works); i++) {
		const size_t n = VT_COUNT(points);
		struct vt_model *m = &models[i];
		size_t len;

		for (size_t k = 0; k < VT_LEVELS * n; k++)
			times[i][k] = (uint64_t)(works[i] * MS / speed[k % n]);
		*m = (struct vt_model){.name = "m",
				       .qos_ns = 50 * MS,
				       .n_layers = 1,
				       .n_points = VT_COUNT(points),
				       .n_versions = 1,
				       .points = points,
				       .ns = times[i]};
		len = vt_plan_size(m, VT_PLAN_ALL);
		assert_int_equal(vt_plan_init(m, CORES, VT_PLAN_ALL, fx_alloc(len), len), 0);
	}
}

static void free_models(void)
{
	for (size_t i = 0; i < VT_COUNT(works); i++)
		free((void *)models[i].plan);
}

static uint32_t model_of(uint32_t work)
{
	uint32_t i = 0;

	while (works[i] != work)
		i++;
	return i;
}

struct ask {
	uint32_t work, due_ms;
};

static void wait_for_cores(struct fx_view *x, const struct ask *q)
{
	uint32_t i = x->v.n_requests++;

	x->requests[i] = (struct vt_request){
		.id = i + 1,
		.arrival_ns = x->v.now_ns,
		.ready_ns = x->v.now_ns,
		.deadline_ns = x->v.now_ns + q->due_ms * MS,
		.model = model_of(q->work),
		.priority = 1,
		.home_domain = VT_NO_DOMAIN,
	};
}

/* A block has six cores, of which it needs four, and ends in 2 ms. */
static void run_on_six(struct fx_view *x)
{
	x->v.n_blocks = 1;
	x->blocks[0] = (struct vt_block){
		.id = 100,
		.arrival_ns = x->v.now_ns - MS,
		.start_ns = x->v.now_ns - MS,
		.deadline_ns = x->v.now_ns + 5 * MS / 2,
		.end_ns = x->v.now_ns + 2 * MS,
		.model = model_of(12),
		.layer_end = 1,
		.wanted = 4,
		.priority = 1,
		.cores = vt_coreset_range(0, 6),
	};
	vt_coreset_sub(&x->v.free, &x->blocks[0].cores);
}

static void who_begins(void **state)
{
	static const struct {
		const char *what;
		bool six_busy;
		struct ask line[8]; /* by arrival; work 0: the end */
		unsigned int begin; /* which of them, bits */
	} t[] = {
		{"all that can be done, the earliest deadline first",
		 false,
		 {{100, 18}, {10, 19}, {10, 19}},
		 1},
		{"one too many: 200 core-ms on the fastest by 19 ms, of 152. The largest waits",
		 false,
		 {{100, 18}, {10, 19}, {10, 19}, {10, 19}, {10, 19}, {10, 19}, {10, 19}},
		 0x7e},
		{"the same work, due when it can be done: its order holds",
		 false,
		 {{100, 18}, {10, 40}, {10, 40}, {10, 40}, {10, 40}, {10, 40}, {10, 40}},
		 1},
		{"one of two that cannot both be in time: the one with more of it",
		 false,
		 {{100, 17}, {100, 18}},
		 2},
		{"eight cores in 2 ms: who is done by then may begin, who is not leaves them",
		 true,
		 {{100, 20}, {10, 40}, {1, 41}},
		 4},
		{"nobody waits for them: it may", true, {{10, 40}}, 1},
	};
	const struct vt_policy *p = vt_policy_find("veltair-full");

	make_models();
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct fx_view *x = fx_alloc(sizeof(*x));
		unsigned int begun = 0;
		struct fx_policy f;

		fx_policy_open(&f, p, CORES);
		fx_domains(x, CORES, 1);
		x->v.now_ns = 1000 * MS;
		x->v.models = models;
		x->v.n_models = VT_COUNT(models);
		x->v.requests = x->requests;
		x->v.blocks = x->blocks;
		x->v.free = vt_coreset_range(0, CORES);
		if (t[i].six_busy)
			run_on_six(x);
		for (const struct ask *q = t[i].line; q->work; q++)
			wait_for_cores(x, q);
		p->decide(f.state, &x->v, &f.d);
		assert_null(fx_check(&x->v, &f.d));
		for (uint32_t k = 0; k < f.d.n_actions; k++)
			if (f.d.actions[k].kind == VT_START)
				begun |= 1u << f.d.actions[k].index;
		if (begun != t[i].begin)
			fail_msg("%s: %#x began, not %#x", t[i].what, begun, t[i].begin);
		fx_policy_close(&f);
		free(x);
	}
	free_models();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(who_begins)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
