// SPDX-License-Identifier: Apache-2.0
/* What policy.h promises, under random views. */
#include "harness.h"
#include "sched_fixture.h"

/* Per policy. `make check` asks for a million (VT_VIEWS); the inner loop of work gets fewer. */
#define VIEWS 40000u
/* The most views per set of models, which is one machine: making plans costs far more than a decision. */
#define PER_BANK 20000u

static const uint32_t core_counts[] = {1, 2, 3, 4, 8, 12, 16, 24, 64, 256};

struct failure {
	const char *what;
	uint32_t round, view;
};

/* A baseline does not know that cores are taken: the same decision as if none were. */
static const char *decide_blind(struct fx_policy *b, struct fx_view *x, const struct fx_policy *a)
{
	const struct vt_coreset taken = x->v.taken;

	memset(&x->v.taken, 0, sizeof(taken));
	b->p->decide(b->state, &x->v, &b->d);
	x->v.taken = taken;
	if (a->d.n_actions != b->d.n_actions ||
	    memcmp(a->d.actions, b->d.actions, a->d.n_actions * sizeof(struct vt_action)))
		return "a baseline looked at what is taken";
	return NULL;
}

/* The same view to two states with the same past: the answers must be the same bytes. */
static const char *decide_twice(struct fx_policy *a, struct fx_policy *b, const struct fx_view *x,
				bool compare)
{
	const char *err;

	a->p->decide(a->state, &x->v, &a->d);
	err = fx_check(&x->v, &a->d, fx_may_shed(a));
	if (!err && a->p->heeds_taken)
		err = fx_check_taken(&x->v, &a->d);
	b->p->decide(b->state, &x->v, &b->d);
	if (err || !compare)
		return err;
	if (a->d.n_actions != b->d.n_actions || a->d.n_versions != b->d.n_versions ||
	    a->d.wake_ns != b->d.wake_ns ||
	    memcmp(a->d.actions, b->d.actions, a->d.n_actions * sizeof(struct vt_action)) ||
	    memcmp(a->d.versions, b->d.versions, a->d.n_versions))
		return "same state and view, another decision";
	return NULL;
}

static struct failure run_round(const struct vt_policy *p, uint32_t round, uint32_t views)
{
	struct vt_rng rng = {.s = round * 7919u + 17};
	uint32_t n_cores = core_counts[round % VT_COUNT(core_counts)];
	struct fx_models f = fx_models_new(&rng, 6, n_cores, VT_PLAN_ALL);
	struct fx_view *x = fx_alloc(sizeof(*x));
	struct failure fail = {0};
	struct fx_policy a, b;

	fx_policy_open_shed(&a, p, n_cores, round / VT_COUNT(core_counts) % 2);
	fx_policy_open_shed(&b, p, n_cores, round / VT_COUNT(core_counts) % 2);
	for (uint32_t i = 0; i < views && !fail.what; i++) {
		/* Mostly few requests, sometimes a crowd. */
		fx_view_random(x, &rng, &f, n_cores, i % 64 ? 8 : FX_REQUESTS);
		fail = (struct failure){decide_twice(&a, &b, x, i % 8 == 0), round, i};
		if (!fail.what && !p->heeds_taken && i % 8 == 0)
			fail.what = decide_blind(&b, x, &a);
	}
	fx_policy_close(&a);
	fx_policy_close(&b);
	fx_models_free(&f);
	free(x);
	return fail;
}

static void test_promises(void **state)
{
	const struct vt_policy *p = *state;
	const char *asked = getenv("VT_VIEWS");
	uint32_t views = asked ? (uint32_t)strtoul(asked, NULL, 10) : VIEWS;
	/* At least two rounds of each machine: one that refuses, one that does not. */
	uint32_t each = views / (2 * VT_COUNT(core_counts));

	each = each < PER_BANK ? each : PER_BANK;
	assert_true(each);
	for (uint32_t done = 0, round = 0; done < views; done += each, round++) {
		struct failure fail = run_round(p, round, each);

		if (fail.what)
			fail_msg("%s: round %u view %u: %s", p->name, fail.round, fail.view,
				 fail.what);
	}
}

/** A policy, models, and a view that it is shown. */
struct shown {
	struct vt_rng rng;
	struct fx_models f;
	struct fx_view *x;
	struct fx_policy a;
};

static void open_shown(struct shown *s, const struct vt_policy *p, uint64_t seed, uint32_t n_cores,
		       bool shed)
{
	s->rng = (struct vt_rng){.s = seed};
	s->f = fx_models_new(&s->rng, 4, n_cores, VT_PLAN_ALL);
	s->x = fx_alloc(sizeof(*s->x));
	fx_policy_open_shed(&s->a, p, n_cores, shed);
}

static void close_shown(struct shown *s)
{
	fx_policy_close(&s->a);
	fx_models_free(&s->f);
	free(s->x);
}

/*
 * As many as a decision looks at, and all too late: blocks that run, requests that have begun, and those
 * whose deadline is over. Random views do not meet it.
 */
static void all_are_late(const struct vt_policy *p, bool shed)
{
	struct shown s;

	open_shown(&s, p, 9, 256, shed);
	for (uint32_t i = 0; i < 64; i++) {
		const char *err;

		fx_view_random(s.x, &s.rng, &s.f, 256, 0);
		s.x->v.n_blocks = 64;
		s.x->v.free = vt_coreset_range(64, 192);
		memset(&s.x->v.taken, 0, sizeof(s.x->v.taken));
		for (uint32_t k = 0; k < 64; k++) {
			struct vt_block *b = &s.x->blocks[k];

			fx_block(b, &s.rng, &s.f, k + 1, s.x->v.now_ns);
			b->cores = vt_coreset_range(k, 1);
			b->leader = (uint16_t)k;
			b->end_ns = s.x->v.now_ns + 1000000;
			b->deadline_ns = s.x->v.now_ns - 1;
			b->flags = 0;
		}
		s.x->v.n_requests = 192;
		for (uint32_t k = 0; k < 192; k++) {
			struct vt_request *r = &s.x->requests[k];

			*r = fx_request(&s.rng, &s.f, k + 65, s.x->v.now_ns);
			r->deadline_ns = s.x->v.now_ns + (k < 64) - (k >= 64);
			r->next_layer = k < 64 && s.f.m[r->model].n_layers > 1;
			r->instances_busy = 0;
		}
		p->decide(s.a.state, &s.x->v, &s.a.d);
		err = fx_check(&s.x->v, &s.a.d, fx_may_shed(&s.a));
		if (err)
			fail_msg("%s%s: view %u: %s", p->name, shed ? ", refusing" : "", i, err);
	}
	close_shown(&s);
}

/* A trace names blocks of any kind: what a policy reads, it checks. */
static void blocks_beyond_their_model(const struct vt_policy *p, bool shed)
{
	static const uint16_t ends[] = {0, 1, 60000, UINT16_MAX};
	struct shown s;

	open_shown(&s, p, 11, 64, shed);
	for (uint32_t i = 0; i < 2000; i++) {
		fx_view_random(s.x, &s.rng, &s.f, 64, 64);
		for (uint32_t k = 0; k < s.x->v.n_blocks; k++)
			if (vt_rng_below(&s.rng, 2))
				s.x->blocks[k].layer_end =
					ends[vt_rng_below(&s.rng, VT_COUNT(ends))];
		p->decide(s.a.state, &s.x->v, &s.a.d);
		assert_true(s.a.d.n_actions <= s.a.d.cap_actions);
	}
	close_shown(&s);
}

/* A policy must live with any capacity it is given. */
static void tiny_decisions(const struct vt_policy *p, bool shed)
{
	struct shown s;

	open_shown(&s, p, 5, 64, shed);
	for (uint32_t i = 0; i < 3000; i++) {
		const char *err;

		fx_view_random(s.x, &s.rng, &s.f, 64, 64);
		s.a.d.cap_actions = i % 4;
		s.a.d.cap_versions = i % 50;
		p->decide(s.a.state, &s.x->v, &s.a.d);
		err = fx_check(&s.x->v, &s.a.d, fx_may_shed(&s.a));
		if (err && !strstr(err, "nothing is started"))
			fail_msg("%s%s: view %u: %s", p->name, shed ? ", refusing" : "", i, err);
	}
	close_shown(&s);
}

/* Each where the hopeless may be refused, and where not. */
static void test_all_are_late(void **state)
{
	all_are_late(*state, false);
	all_are_late(*state, true);
}

static void test_blocks_beyond_their_model(void **state)
{
	blocks_beyond_their_model(*state, false);
	blocks_beyond_their_model(*state, true);
}

static void test_tiny_decisions(void **state)
{
	tiny_decisions(*state, false);
	tiny_decisions(*state, true);
}

int main(void)
{
	static const struct {
		const char *name;
		CMUnitTestFunction fn;
	} all[] = {
		{"promises", test_promises},
		{"tiny decisions", test_tiny_decisions},
		{"all are late", test_all_are_late},
		{"blocks beyond their model", test_blocks_beyond_their_model},
	};
	static struct CMUnitTest tests[64];
	static char names[64][64];
	size_t n = 0;

	for (unsigned int i = 0; vt_policy_at(i); i++)
		for (size_t k = 0; k < VT_COUNT(all) && n < VT_COUNT(tests); k++, n++) {
			snprintf(names[n], sizeof(names[n]), "%s of %s", all[k].name,
				 vt_policy_at(i)->name);
			tests[n] = (struct CMUnitTest){.name = names[n],
						       .test_func = all[k].fn,
						       .initial_state = (void *)vt_policy_at(i)};
		}
	return _cmocka_run_group_tests("policy promises", tests, n, NULL, NULL);
}
