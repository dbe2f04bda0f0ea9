// SPDX-License-Identifier: Apache-2.0
/*
 * test_share.c - who of veltair-full's line begins on eight cores, and on how many, as tables: models of one layer
 * that takes 1 / 1.9 of its time on two cores, 1 / 3.6 on four, 1 / 6.4 on eight, named by their milliseconds on one.
 * The one of 40 gains less, 1 / 1.6 to 1 / 4, and has a layer of 0.5 ms before it that each doubling of cores makes
 * 0.5 ms slower.
 */
#include "harness.h"

#include "sched_fixture.h"

#define MS    1000000ull
#define CORES 8u

static const uint16_t points[] = {1, 2, 4, 8};
static const double speed[] = {1, 1.9, 3.6, 6.4}, less[] = {1, 1.6, 2.5, 4};
static const uint32_t works[] = {1, 10, 12, 40, 100};
static uint64_t times[VT_COUNT(works)][2 * VT_LEVELS * VT_COUNT(points)];
static struct vt_model models[VT_COUNT(works)];

static void make_models(void)
{
	for (size_t i = 0; i < VT_COUNT(works); i++) {
		const size_t n = VT_COUNT(points);
		struct vt_model *m = &models[i];
		size_t len;

		unsigned int layers = works[i] == 40 ? 2 : 1;
		const double *gain = works[i] == 40 ? less : speed;

		for (size_t k = 0; k < layers * VT_LEVELS * n; k++)
			times[i][k] = k + VT_LEVELS * n < layers * VT_LEVELS * n
					      ? MS / 2 * (1 + k % n)
					      : (uint64_t)(works[i] * MS / gain[k % n]);
		*m = (struct vt_model){.name = "m",
				       .qos_ns = 50 * MS,
				       .n_layers = (uint16_t)layers,
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

static void run(struct fx_view *x, uint32_t work, unsigned int first, unsigned int cores,
		uint64_t due_ns)
{
	const uint32_t i = x->v.n_blocks++;

	x->blocks[i] = (struct vt_block){
		.id = 100 + i,
		.arrival_ns = x->v.now_ns - MS,
		.start_ns = x->v.now_ns - MS,
		.deadline_ns = x->v.now_ns + due_ns,
		.end_ns = x->v.now_ns + 2 * MS,
		.model = model_of(work),
		.layer_end = 1,
		.wanted = 4,
		.priority = 1,
		.leader = (uint16_t)first,
		.cores = vt_coreset_range(first, cores),
	};
	vt_coreset_sub(&x->v.free, &x->blocks[i].cores);
}

/* A block has six cores, of which it needs four, and ends in 2 ms. */
static void run_on_six(struct fx_view *x)
{
	run(x, 12, 0, 6, 5 * MS / 2);
}

/* Two blocks have four and two, need all of them, and end in 2 ms. */
static void run_on_four_and_two(struct fx_view *x)
{
	run(x, 12, 0, 4, 9 * MS / 4);
	run(x, 12, 4, 2, 9 * MS / 4);
}

static struct fx_view *eight_cores(void)
{
	struct fx_view *x = fx_alloc(sizeof(*x));

	fx_domains(x, CORES, 1);
	x->v.now_ns = 1000 * MS;
	x->v.models = models;
	x->v.n_models = VT_COUNT(models);
	x->v.requests = x->requests;
	x->v.blocks = x->blocks;
	x->v.free = vt_coreset_range(0, CORES);
	return x;
}

static void decide(const struct fx_view *x, struct fx_policy *f)
{
	const struct vt_policy *p = vt_policy_find("veltair-full");

	fx_policy_open(f, p, CORES);
	p->decide(f->state, &x->v, &f->d);
	assert_null(fx_check(&x->v, &f->d, fx_may_shed(f)));
}

/* What it decides of the requests of @line; the caller closes @f and frees the view. */
static struct fx_view *decided(const struct ask *line, void (*busy)(struct fx_view *),
			       struct fx_policy *f)
{
	struct fx_view *x = eight_cores();

	if (busy)
		busy(x);
	for (; line->work; line++)
		wait_for_cores(x, line);
	decide(x, f);
	return x;
}

static void who_begins(void **state)
{
	static const struct {
		const char *what;
		void (*busy)(struct fx_view *);
		struct ask line[8]; /* by arrival; work 0: the end */
		unsigned int begin; /* which of them, bits */
	} t[] = {
		{"all that can be done, the earliest deadline first",
		 NULL,
		 {{100, 18}, {10, 19}, {10, 19}},
		 1},
		{"one too many: 200 core-ms on the fastest by 19 ms, of 152. The largest waits",
		 NULL,
		 {{100, 18}, {10, 19}, {10, 19}, {10, 19}, {10, 19}, {10, 19}, {10, 19}},
		 0x7e},
		{"the same work, due when it can be done: its order holds",
		 NULL,
		 {{100, 18}, {10, 40}, {10, 40}, {10, 40}, {10, 40}, {10, 40}, {10, 40}},
		 1},
		{"one of two that cannot both be in time: the one with more of it",
		 NULL,
		 {{100, 17}, {100, 18}},
		 2},
		{"eight cores in 2 ms: who is done by then may begin, who is not leaves them",
		 run_on_six,
		 {{100, 20}, {10, 40}, {1, 41}},
		 4},
		{"nobody waits for them: it may", run_on_six, {{10, 40}}, 1},
		{"the largest has time until the others have ended: it waits, they go faster",
		 NULL,
		 {{100, 90}, {10, 11}, {10, 11}, {10, 11}, {10, 11}, {10, 11}, {10, 11}},
		 0x7e},
		{"it would be late then",
		 NULL,
		 {{100, 62}, {10, 11}, {10, 11}, {10, 11}, {10, 11}, {10, 11}, {10, 11}},
		 0x7f},
		{"all begin on what they demand: it gains nobody anything",
		 NULL,
		 {{100, 80}, {10, 40}},
		 3},
		{"who waits alone begins on two of the eight it needs, if that will do",
		 run_on_four_and_two,
		 {{100, 18}},
		 1},
		{"also if waiting would do", run_on_four_and_two, {{100, 19}}, 1},
		{"not beside another that waits", run_on_four_and_two, {{100, 18}, {10, 40}}, 0},
	};

	make_models();
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct fx_policy f;
		struct fx_view *x = decided(t[i].line, t[i].busy, &f);
		unsigned int begun = 0;

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

static void on_how_many(void **state)
{
	static const struct {
		const char *what;
		struct ask line[4];
		unsigned int cores[4],
			end[4]; /* of the blocks that begin; the layer where they end */
	} t[] = {
		{"who has least to do leaves soonest, so it goes faster than those due before it",
		 {{100, 130}, {100, 130}, {10, 135}},
		 {2, 2, 4},
		 {1, 1, 1}},
		{"alike: the earlier", {{10, 60}, {10, 60}, {10, 60}}, {4, 2, 2}, {1, 1, 1}},
		{"alone: a layer that cores slow down is a block of its own, as those after it "
		 "gain by them",
		 {{40, 200}},
		 {1},
		 {1}},
	};

	make_models();
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct fx_policy f;
		struct fx_view *x = decided(t[i].line, NULL, &f);

		assert_int_equal(f.d.n_actions, x->v.n_requests);
		for (uint32_t k = 0; k < f.d.n_actions; k++) {
			const struct vt_action *a = &f.d.actions[k];
			unsigned int n = vt_coreset_count(&a->cores);

			assert_int_equal(a->kind, VT_START);
			if (n != t[i].cores[a->index] || a->layer_end != t[i].end[a->index])
				fail_msg("%s: %u has %u cores until layer %u", t[i].what, a->index,
					 n, a->layer_end);
		}
		fx_policy_close(&f);
		free(x);
	}
	free_models();
}

/* All cores belong to a block that has been told to stop, and is in the midst of a long layer. */
static void run_on_all(struct fx_view *x)
{
	run_on_six(x);
	x->blocks[0].end_ns = x->v.now_ns + 50 * MS;
	x->blocks[0].cores = vt_coreset_range(0, CORES);
	x->blocks[0].flags = VT_BLOCK_STOPPING;
	x->v.free = (struct vt_coreset){{0}};
}

static void expect_at(struct fx_view *x, struct fx_policy *f, uint64_t now, uint32_t sheds,
		      uint64_t wake)
{
	x->v.now_ns = now;
	f->p->decide(f->state, &x->v, &f->d);
	assert_null(fx_check(&x->v, &f->d, fx_may_shed(f)));
	assert_int_equal(f->d.n_actions, sheds);
	assert_int_equal(f->d.wake_ns, wake);
}

static void asks_again_when_hope_is_gone(void **state)
{
	const struct ask ask = {10, 10};
	struct fx_view *x = eight_cores();
	const uint64_t now = x->v.now_ns;
	struct fx_policy f;
	uint64_t wake;

	make_models();
	run_on_all(x);
	wait_for_cores(x, &ask);
	x->domains[0].pressure_ppm = VT_PPM;
	fx_policy_open_shed(&f, vt_policy_find("veltair-full"), CORES, true);
	f.p->decide(f.state, &x->v, &f.d);
	wake = f.d.wake_ns;
	/* Its time on all cores, and what plans add for a start. */
	assert_in_range(now + 10 * MS - wake, 10 * MS / 6.4 - 1000, 10 * MS / 6.4 + 20000);
	expect_at(x, &f, now, 0, wake);
	expect_at(x, &f, wake - 1, 0, wake);
	expect_at(x, &f, wake, 1, 0);
	assert_int_equal(f.d.actions[0].kind, VT_SHED);
	/* No core is free: the pressure is that of all. */
	assert_int_equal(f.d.actions[0].level, VT_LEVELS - 1);
	fx_policy_close(&f);

	/* Who is served late all the same has nothing to be told in time. */
	fx_policy_open_shed(&f, vt_policy_find("veltair-full"), CORES, false);
	expect_at(x, &f, now, 0, 0);
	fx_policy_close(&f);
	free(x);
	free_models();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_begins),
		cmocka_unit_test(on_how_many),
		cmocka_unit_test(asks_again_when_hope_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
