// SPDX-License-Identifier: Apache-2.0
/*
 * test_baselines.c - whom edf, prema and planaria let begin on eight cores, and on how many, as tables. Each row has its
 * reason from the paper, as docs/policies.md tells it.
 *
 * Models of two equal layers, named by their milliseconds on one core, all with a target of 20 ms. They scale perfectly,
 * but for the one of 12 ms: that takes 3 on four cores and on any more.
 */
#include "harness.h"

#include "sched_fixture.h"

#define MS    1000000ll
#define CORES 8u
#define MOST  6u /* requests of a row */

static const uint16_t points[] = {1, 2, 3, 4, 5, 6, 7, 8};
static const uint32_t works[] = {10, 12, 40, 100};
static const uint16_t scale_to[VT_COUNT(works)] = {8, 4, 8, 8};
static uint64_t times[VT_COUNT(works)][2 * VT_LEVELS * VT_COUNT(points)];
static struct vt_model models[VT_COUNT(works)];

static int make_models(void **state)
{
	for (size_t i = 0; i < VT_COUNT(works); i++) {
		struct vt_model *m = &models[i];
		size_t len;

		for (size_t k = 0; k < VT_COUNT(times[i]); k++) {
			uint16_t c = points[k % VT_COUNT(points)];

			c = c < scale_to[i] ? c : scale_to[i];
			times[i][k] = works[i] * (uint64_t)MS / 2 / c;
		}
		*m = (struct vt_model){.name = "m",
				       .qos_ns = 20 * MS,
				       .n_layers = 2,
				       .n_points = VT_COUNT(points),
				       .n_versions = 1,
				       .points = points,
				       .ns = times[i]};
		len = vt_plan_size(m, VT_PLAN_ALL);
		if (vt_plan_init(m, CORES, VT_PLAN_ALL, fx_alloc(len), len))
			return -1;
	}
	return 0;
}

static int free_models(void **state)
{
	for (size_t i = 0; i < VT_COUNT(works); i++)
		free((void *)models[i].plan);
	return 0;
}

static uint32_t model_of(uint32_t work)
{
	uint32_t i = 0;

	while (works[i] != work)
		i++;
	return i;
}

/** One that waits, or runs. */
struct ask {
	uint32_t work; /* 0: nobody */
	double due_ms; /* from now */
	uint16_t priority;
	double waited_ms;
	uint16_t done;	  /* layers, of one that waits; cores, of one that runs */
	double served_ms; /* of what it has waited, that it ran */
};

#define ONE(work, due, priority, waited, done)                                                     \
	{                                                                                          \
		work, due, priority, waited, done, 0                                               \
	}
#define ASK(work, due, priority) ONE(work, due, priority, 0, 0)

struct row {
	const char *why;
	struct ask line[MOST]; /* by arrival */
	unsigned int on[MOST]; /* cores that each begins on; 0: it waits */
	struct ask runs;
	bool stops;	    /* what runs */
	unsigned int grows; /* cores that join it */
	unsigned int
		want; /* that who begins first demanded, if not 0; more is spare and no conflict */
	double wakes_ms; /* from now; 0: not */
};

static void wait_for_cores(struct fx_view *x, const struct ask *q)
{
	uint32_t i = x->v.n_requests++;
	uint64_t waited = (uint64_t)(q->waited_ms * MS);

	x->requests[i] = (struct vt_request){
		.id = i + 1,
		.arrival_ns = x->v.now_ns - waited,
		.ready_ns = x->v.now_ns - waited,
		.deadline_ns = x->v.now_ns + (uint64_t)(int64_t)(q->due_ms * MS),
		.served_ns = (uint64_t)(q->served_ms * MS),
		.model = model_of(q->work),
		.next_layer = q->done,
		.priority = q->priority,
		.home_domain = VT_NO_DOMAIN,
	};
}

/* It has just begun. */
static void run(struct fx_view *x, const struct ask *q)
{
	x->v.n_blocks = 1;
	x->blocks[0] = (struct vt_block){
		.id = 100,
		.arrival_ns = x->v.now_ns - (uint64_t)(q->waited_ms * MS),
		.start_ns = x->v.now_ns,
		.deadline_ns = x->v.now_ns + (uint64_t)(int64_t)(q->due_ms * MS),
		.end_ns = x->v.now_ns + q->work * (uint64_t)MS / q->done,
		.model = model_of(q->work),
		.layer_end = 2,
		.wanted = q->done,
		.priority = q->priority,
		.cores = vt_coreset_range(0, q->done),
	};
	vt_coreset_sub(&x->v.free, &x->blocks[0].cores);
}

static void check_row(const struct vt_policy *p, const struct row *t, bool by_layer)
{
	struct fx_view *x = fx_alloc(sizeof(*x));
	unsigned int on[MOST] = {0}, grows = 0, want = 0;
	bool stops = false;
	struct fx_policy f;
	const char *err;

	fx_domains(x, CORES, 1);
	x->v.now_ns = 1000 * MS;
	x->v.models = models;
	x->v.n_models = VT_COUNT(models);
	x->v.requests = x->requests;
	x->v.blocks = x->blocks;
	x->v.free = vt_coreset_range(0, CORES);
	for (size_t i = 0; i < MOST && t->line[i].work; i++)
		wait_for_cores(x, &t->line[i]);
	if (t->runs.work)
		run(x, &t->runs);
	fx_policy_open(&f, p, CORES);
	p->decide(f.state, &x->v, &f.d);
	err = fx_check(&x->v, &f.d, fx_may_shed(&f));
	if (err)
		fail_msg("%s, %s: %s", p->name, t->why, err);
	for (uint32_t k = 0; k < f.d.n_actions; k++) {
		const struct vt_action *a = &f.d.actions[k];

		stops |= a->kind == VT_PREEMPT;
		if (a->kind == VT_GROW)
			grows += vt_coreset_count(&a->cores);
		if (a->kind != VT_START)
			continue;
		if (!want)
			want = a->wanted;
		on[a->index] = vt_coreset_count(&a->cores);
		if (a->layer_end != (by_layer ? a->layer_begin + 1 : 2))
			fail_msg("%s, %s: %u runs until layer %u", p->name, t->why, a->index,
				 a->layer_end);
	}
	for (size_t i = 0; i < MOST; i++)
		if (on[i] != t->on[i])
			fail_msg("%s, %s: %zu begins on %u cores, not %u", p->name, t->why, i,
				 on[i], t->on[i]);
	if (stops != t->stops)
		fail_msg("%s, %s: what runs %s", p->name, t->why, stops ? "stops" : "goes on");
	if (grows != t->grows)
		fail_msg("%s, %s: %u cores join what runs, not %u", p->name, t->why, grows,
			 t->grows);
	if (t->want && want != t->want)
		fail_msg("%s, %s: it demanded %u cores, not %u", p->name, t->why, want, t->want);
	if (f.d.wake_ns != (t->wakes_ms ? x->v.now_ns + (uint64_t)(t->wakes_ms * MS) : 0))
		fail_msg("%s, %s: wakes after %.3f ms", p->name, t->why,
			 f.d.wake_ns ? (double)(f.d.wake_ns - x->v.now_ns) / MS : 0.0);
	fx_policy_close(&f);
	free(x);
}

/* ---- edf: Liu and Layland 1973; cores: the fewest with t(c) <= 0.9 of the target, so 1, 3 and 6 --------------------- */

static void edf(void **state)
{
	static const struct row t[] = {
		{"the earliest deadline first, not who came first",
		 {ASK(100, 20, 1), ASK(40, 19, 1), ASK(40, 18, 1)},
		 .on = {0, 3, 3}},
		{"alike: who came first",
		 {ASK(40, 19, 1), ASK(40, 19, 1), ASK(40, 19, 1)},
		 .on = {3, 3, 0}},
		{"strict order: while the first waits for cores nobody overtakes it",
		 {ASK(10, 30, 1), ASK(100, 20, 1)},
		 .on = {0, 0},
		 .runs = ONE(40, 19, 1, 0, 3)},
		{"it has its cores: the next begins beside it",
		 {ASK(10, 30, 1), ASK(100, 20, 1)},
		 .on = {1, 6},
		 .runs = ONE(10, 19, 1, 0, 1)},
		{"cores by the target, not by the time that is left: a deadline is no reason for "
		 "more",
		 {ASK(40, 8, 1)},
		 .on = {3}},
		{"what is late is the earliest: nothing is given up",
		 {ASK(40, 19, 1), ASK(100, -5, 1)},
		 .on = {0, 6}},
		{"priority is for prema and planaria",
		 {ASK(40, 18, 1), ASK(100, 19, 9)},
		 .on = {3, 0}},
		{"whole models: what has run a layer goes on to its end",
		 {ONE(40, 19, 1, 0, 1)},
		 .on = {3}},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++)
		check_row(vt_policy_find("edf"), &t[i], false);
}

/*
 * ---- prema: Choi and Rhu, HPCA 2020. tokens = priority * (1 + waited / time alone); alone they take 1.25, 5 and 12.5 ms.
 * The threshold is the most that anyone holds, rounded down to 9, 3 or 1; the shortest of those at or above it runs. --
 */

static void prema(void **state)
{
	static const struct row t[] = {
		{"one at a time, on all cores: the shortest of equally rich",
		 {ASK(100, 20, 1), ASK(40, 20, 1), ASK(10, 20, 1)},
		 .on = {0, 0, 8}},
		{"a threshold of 9: only who holds as much",
		 {ASK(100, 20, 9), ASK(10, 20, 3)},
		 .on = {8, 0}},
		{"a threshold of 3: the shortest of those who hold it",
		 {ASK(100, 20, 8), ASK(40, 20, 3), ASK(10, 20, 1)},
		 .on = {0, 8, 0}},
		{"waiting is worth tokens: 1 + 25 / 12.5 are 3",
		 {ONE(100, 20, 1, 25, 0), ASK(10, 20, 1)},
		 .on = {8, 0}},
		{"just less than 3 are 1, and the shorter runs",
		 {ONE(100, 20, 1, 24.9, 0), ASK(10, 20, 1)},
		 .on = {0, 8}},
		{"waiting counts by the time alone: the short one is rich first",
		 {ONE(100, 20, 1, 11.25, 0), ONE(10, 20, 1, 11.25, 0)},
		 .on = {0, 8}},
		{"what is left counts: 6.25 of 12.5 ms, as it has run one of two layers",
		 {ASK(100, 20, 1), ONE(100, 20, 1, 0, 1)},
		 .on = {0, 8}},
		{"what it has run is not waiting: 1 + (25 - 1) / 12.5",
		 {{100, 20, 1, 25, 0, 1}, ASK(10, 20, 1)},
		 .on = {0, 8}},
		{"the deadline is not asked for", {ASK(40, 1, 1), ASK(10, 90, 1)}, .on = {0, 8}},
		{"what runs yields to a shorter one that is as rich, at its next layer",
		 {ASK(10, 20, 1)},
		 .on = {0},
		 .runs = ONE(100, 20, 1, 0, 8),
		 .stops = true},
		{"but to no longer one; it is asked again when that has 3 tokens, after 2 * 12.5 "
		 "ms",
		 {ASK(100, 20, 1)},
		 .on = {0},
		 .runs = ONE(10, 20, 1, 0, 8),
		 .wakes_ms = 25},
		{"its tokens make the threshold, too: nobody else reaches it, until 1.25 * 2 ms "
		 "have made 3 of 1",
		 {ASK(10, 20, 1)},
		 .on = {0},
		 .runs = ONE(100, 20, 3, 0, 8),
		 .wakes_ms = 2.5},
		{"the first who crosses a class wakes it: 9 tokens of priority 4 after 1.25 * 5 "
		 "ms, 3 of priority 1 after 10",
		 {ASK(40, 20, 4), ASK(40, 20, 1)},
		 .on = {0, 0},
		 .runs = ONE(10, 20, 4, 0, 8),
		 .wakes_ms = 6.25},
		{"below the threshold it yields to anyone above, shorter or not",
		 {ASK(100, 20, 3)},
		 .on = {0},
		 .runs = ONE(10, 20, 1, 0, 8),
		 .stops = true},
		{"what it has waited for before it began counts",
		 {ASK(10, 20, 1)},
		 .on = {0},
		 .runs = ONE(100, 20, 1, 25, 8),
		 .wakes_ms = 2.5},
		{"not beside it, even where cores are free",
		 {ASK(100, 20, 1)},
		 .on = {0},
		 .runs = ONE(10, 20, 1, 0, 4),
		 .wakes_ms = 25},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++)
		check_row(vt_policy_find("prema"), &t[i], false);
}

/*
 * ---- planaria: Ghodrati et al., MICRO 2020. Each asks for the fewest cores that meet its slack; score = priority /
 * (slack * cores). All fit: the spare cores go by score, rounded down. They do not: the highest scores first. --------
 */

static void planaria(void **state)
{
	static const struct row t[] = {
		{"alone: one core meets its slack, and nearly all that is spare is its own",
		 {ASK(10, 20, 1)},
		 .on = {7}},
		{"1 and 2 cores, 5 to spare: two thirds to the higher score, of 1/40 and 1/80",
		 {ASK(10, 40, 1), ASK(40, 40, 1)},
		 .on = {4, 3}},
		{"the same with a priority of 4: 1/40 and 4/80",
		 {ASK(10, 40, 1), ASK(40, 40, 4)},
		 .on = {2, 5}},
		{"6 and 3 cores do not fit: first the score of 1/60, then what is left for that of "
		 "1/120",
		 {ASK(100, 20, 1), ASK(40, 20, 1)},
		 .on = {5, 3}},
		{"priority makes the score: 3/120 before 1/60",
		 {ASK(100, 20, 3), ASK(40, 20, 1)},
		 .on = {6, 2}},
		{"a short slack does: 1/40 before 1/60",
		 {ASK(40, 20, 1), ASK(40, 10, 1), ASK(40, 20, 1)},
		 .on = {3, 5, 0}},
		{"alike: the earlier deadline, then who came first",
		 {ASK(40, 20, 1), ASK(40, 20, 1), ASK(40, 20, 1), ASK(40, 20, 1)},
		 .on = {3, 3, 2, 0}},
		{"a deadline that is lost asks for the cheapest count",
		 {ASK(100, 20, 1), ASK(40, 20, 1), ASK(100, -1, 1)},
		 .on = {4, 3, 1}},
		{"the margin is time it needs: 10 ms fit 10.2 but not 5 % less, so 2 and 6 cores, "
		 "none spare",
		 {ASK(10, 10.2, 1), ASK(100, 20, 1)},
		 .on = {2, 6}},
		{"unless it would be late then: 12.5 ms on all cores fit 12.6",
		 {ASK(100, 12.6, 1)},
		 .on = {8}},
		{"what is left of it is asked for: one of two layers in 20 ms",
		 {ONE(100, 20, 1, 0, 1), ASK(100, 20, 1)},
		 .on = {3, 5}},
		{"what runs will ask again: 3 of the 7 others are not spare",
		 {ASK(10, 20, 1)},
		 .on = {4},
		 .runs = ONE(40, 20, 1, 0, 3)},
		{"layer by layer: what runs on what it demands is left alone",
		 {ASK(40, 20, 9)},
		 .on = {2},
		 .runs = ONE(100, 20, 1, 0, 6)},
		{"what it holds beyond is not spare: both begin, each on what it demands",
		 {ASK(10, 40, 1), ASK(10, 40, 1)},
		 .on = {1, 1},
		 .runs = ONE(10, 20, 1, 0, 6)},
		{"who demands more than is free begins on that",
		 {ASK(100, 20, 1)},
		 .on = {1},
		 .runs = ONE(10, 20, 1, 0, 7),
		 .want = 6},
		{"and expands when there is more: to the 6 that it demands",
		 {{0}},
		 .runs = ONE(100, 20, 1, 0, 2),
		 .grows = 4},
		{"in the order of the scores, with those that wait: 1/60 before 1/120",
		 {ASK(40, 20, 1)},
		 .on = {3},
		 .runs = ONE(100, 20, 1, 0, 2),
		 .grows = 3},
		{"3/120 before 1/60",
		 {ASK(40, 20, 1)},
		 .on = {2},
		 .runs = ONE(100, 20, 3, 0, 2),
		 .grows = 4},
		{"spare cores go by score alone, also those that make it no faster; it demanded "
		 "one",
		 {ASK(12, 20, 1)},
		 .on = {7},
		 .want = 1},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++)
		check_row(vt_policy_find("planaria"), &t[i], true);
}

/*
 * ---- where: what is free at home first, then the domains from there on, so that a layer finds the cores of the one before.
 * Four domains of four cores; the request ran in the third, of which two cores are free. --------------------------------
 */

static void goes_on_where_it_was(void **state)
{
	static const unsigned int want[] = {0, 1, 8, 9, 12, 13, 14, 15};
	const struct ask q = ASK(100, 20, 1);
	struct fx_view *x = fx_alloc(sizeof(*x));
	struct vt_coreset set = {{0}};
	struct fx_policy f;

	fx_domains(x, 16, 4);
	x->v.now_ns = 1000 * MS;
	x->v.models = models;
	x->v.n_models = VT_COUNT(models);
	x->v.requests = x->requests;
	x->v.free = vt_coreset_range(0, 16);
	vt_coreset_del(&x->v.free, 10);
	vt_coreset_del(&x->v.free, 11);
	wait_for_cores(x, &q);
	x->requests[0].home_domain = 2;
	fx_policy_open(&f, vt_policy_find("planaria"), 16);
	f.p->decide(f.state, &x->v, &f.d);
	for (size_t i = 0; i < VT_COUNT(want); i++)
		vt_coreset_add(&set, want[i]);
	assert_int_equal(f.d.n_actions, 1);
	assert_memory_equal(&f.d.actions[0].cores, &set, sizeof(set));
	fx_policy_close(&f);
	free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(edf), cmocka_unit_test(prema),
					   cmocka_unit_test(planaria),
					   cmocka_unit_test(goes_on_where_it_was)};

	return cmocka_run_group_tests(tests, make_models, free_models);
}
