// SPDX-License-Identifier: Apache-2.0
/* What the policies do with cores that others have taken: two cores, one model, one view a row. */
#include "harness.h"
#include "loop/explain.h"
#include "sched_fixture.h"

#define MS  1000000ull
#define NOW (1000 * MS)

/* Four layers, 10 ms on one core and 6 on two. */
static const uint16_t points[] = {1, 2};
static uint64_t times[4 * VT_LEVELS * 2];
static struct vt_model model;

static int make_model(void **state)
{
	size_t len;

	for (unsigned int l = 0; l < 4; l++)
		for (unsigned int s = 0; s < VT_LEVELS; s++) {
			times[(l * VT_LEVELS + s) * 2] = 2500000;
			times[(l * VT_LEVELS + s) * 2 + 1] = 1500000;
		}
	model = (struct vt_model){.name = "m",
				  .qos_ns = 50 * MS,
				  .n_layers = 4,
				  .n_points = 2,
				  .n_versions = 1,
				  .points = points,
				  .ns = times};
	len = vt_plan_size(&model, VT_PLAN_ALL);
	return vt_plan_init(&model, 2, VT_PLAN_ALL, fx_alloc(len), len);
}

static int free_model(void **state)
{
	free((void *)model.plan);
	return 0;
}

#define C0   1ull
#define C1   2ull
#define BOTH 3ull

struct row {
	const char *what;
	uint64_t taken, busy; /* cores; busy: by one block that runs for another 9 ms */
	uint16_t leader;      /* of the block */
	uint64_t slack_ms;    /* of the one request that waits; 0: none waits */
	bool shed;
	uint8_t kind;	    /* the only action; 0: none */
	uint64_t must, may; /* its cores: must be in it, may be in it */
};

static const struct row rows[] = {
	{"nothing taken, in a hurry", 0, 0, 0, 8, false, VT_START, BOTH, BOTH},
	{"one taken: not counted on", C1, 0, 0, 30, false, VT_START, C0, BOTH},
	{"the other taken", C0, 0, 0, 30, false, VT_START, C1, BOTH},
	{"all taken: as if none", BOTH, 0, 0, 8, false, VT_START, BOTH, BOTH},
	{"no free core of ours, no time: waits, and who runs is helped", C1, C0, 0, 14, false,
	 VT_GROW, C1, C1},
	{"no free core of ours, time enough: on the taken one", C1, C0, 0, 60, false, VT_START, C1,
	 C1},
	{"in time only with both whole: hopeless", C1, 0, 0, 7, true, VT_SHED, 0, 0},
	{"in time with a helper's help", C1, 0, 0, 9, true, VT_START, C0, BOTH},
	{"a gang that a taken core leads stops", C0, BOTH, 0, 0, false, VT_PREEMPT, 0, 0},
	{"a gang that a taken core helps goes on", C0, BOTH, 1, 0, false, 0, 0, 0},
	{"a block alone on a taken core goes on", C0, C0, 0, 0, false, 0, 0, 0},
};

static void fill(struct fx_view *x, const struct row *r, struct vt_model *m)
{
	memset(&x->v, 0, sizeof(x->v));
	fx_domains(x, 2, 1);
	x->v.now_ns = NOW;
	x->v.n_models = 1;
	x->v.models = m;
	x->v.requests = x->requests;
	x->v.blocks = x->blocks;
	x->v.free.w[0] = BOTH & ~r->busy;
	x->v.taken.w[0] = r->taken;
	x->v.taken_ppm = r->taken ? VT_PPM / 2 : 0;
	if (r->busy)
		x->blocks[x->v.n_blocks++] = (struct vt_block){.id = 1,
							       .arrival_ns = NOW - 10 * MS,
							       .deadline_ns = NOW + 10 * MS,
							       .start_ns = NOW,
							       .end_ns = NOW + 9 * MS,
							       .cores.w[0] = r->busy,
							       .layer_end = 4,
							       .wanted = 1,
							       .leader = r->leader};
	if (r->slack_ms)
		x->requests[x->v.n_requests++] =
			(struct vt_request){.id = 2,
					    .arrival_ns = NOW,
					    .deadline_ns = NOW + r->slack_ms * MS,
					    .ready_ns = NOW,
					    .home_domain = VT_NO_DOMAIN,
					    .priority = 1};
}

static const char *judge(const struct row *r, const struct vt_decision *d)
{
	const struct vt_action *a = d->actions;

	if (d->n_actions != (r->kind != 0))
		return r->kind ? "not one action" : "something is done";
	if (r->kind && a->kind != r->kind)
		return "another action";
	if (r->must & ~a->cores.w[0] && r->kind)
		return "without a core that it must have";
	if (r->kind && a->cores.w[0] & ~r->may)
		return "with a core that it must not have";
	return NULL;
}

static void test_two_cores(void **state)
{
	struct fx_view *x = fx_alloc(sizeof(*x));

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct fx_policy p;
		const char *err;

		fx_policy_open(&p, vt_policy_find("veltair-full"), 2);
		p.cfg.shed = rows[i].shed;
		assert_int_equal(p.p->init(p.p, p.state, &p.cfg), 0);
		fill(x, &rows[i], &model);
		p.p->decide(p.state, &x->v, &p.d);
		err = judge(&rows[i], &p.d);
		if (err)
			fail_msg("%s: %s (%u actions, kind %u, cores %llx)", rows[i].what, err,
				 p.d.n_actions, p.d.actions[0].kind,
				 (unsigned long long)p.d.actions[0].cores.w[0]);
		fx_policy_close(&p);
	}
	free(x);
}

/* Who is refused for a core that others have taken is told so: on what is left it needs more than it has. */
static void test_a_refusal_explains_itself(void **state)
{
	struct fx_view *x = fx_alloc(sizeof(*x));
	struct vt_reason why;
	struct fx_policy p;

	for (uint32_t level = 0; level < VT_LEVELS; level++) {
		fx_policy_open(&p, vt_policy_find("veltair-full"), 2);
		p.cfg.shed = true;
		assert_int_equal(p.p->init(p.p, p.state, &p.cfg), 0);
		fill(x, &(struct row){.taken = C1, .slack_ms = 7}, &model);
		x->domains[0].pressure_ppm = level * (VT_PPM / (VT_LEVELS - 1));
		p.p->decide(p.state, &x->v, &p.d);
		assert_int_equal(p.d.n_actions, 1);
		assert_int_equal(vt_explain(&(struct vt_sample){.view = x->v}, &p.d, 0, &why, 1),
				 1);
		assert_int_equal(why.kind, VT_SHED);
		assert_int_equal(why.level, level);
		assert_int_equal(why.taken, 1);
		assert_int_equal(why.usable, 1);
		assert_int_equal(why.slack_ns, 7 * MS);
		assert_int_equal(why.rest_ns, 10 * MS); /* on both it would be 6 */
		fx_policy_close(&p);
	}
	free(x);
}

/* How long it is expected to run on what is left of a core. */
static void test_expected_time(void **state)
{
	struct fx_view *x = fx_alloc(sizeof(*x));
	struct fx_policy p;

	for (uint32_t left = 0; left <= VT_PPM; left += VT_PPM / 4) {
		fx_policy_open(&p, vt_policy_find("veltair-model"), 2);
		fill(x, &(struct row){.taken = C1, .busy = C0, .slack_ms = 10000}, &model);
		x->v.taken_ppm = left;
		p.p->decide(p.state, &x->v, &p.d);
		assert_int_equal(p.d.n_actions, 1);
		assert_int_equal(p.d.actions[0].cores.w[0], C1);
		assert_int_equal(p.d.actions[0].expect_ns,
				 left ? 10 * MS * VT_PPM / left : 1000 * MS);
		fx_policy_close(&p);
	}
	free(x);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_cores),
		cmocka_unit_test(test_a_refusal_explains_itself),
		cmocka_unit_test(test_expected_time),
	};

	return cmocka_run_group_tests_name("taken cores", tests, make_model, free_model);
}
