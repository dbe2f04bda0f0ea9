// SPDX-License-Identifier: Apache-2.0
/* What policy.h promises, under random views. */
#include "harness.h"
#include "sched_fixture.h"

/* Per policy. `make check` asks for a million (VT_VIEWS); the inner loop of work gets fewer. */
#define VIEWS 40000u
/* Views per set of models: making plans costs far more than a decision. */
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
	err = fx_check(&x->v, &a->d);
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

	fx_policy_open(&a, p, n_cores);
	fx_policy_open(&b, p, n_cores);
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

	assert_true(views >= PER_BANK);
	for (uint32_t done = 0, round = 0; done < views; done += PER_BANK, round++) {
		struct failure fail = run_round(p, round, PER_BANK);

		if (fail.what)
			fail_msg("%s: round %u view %u: %s", p->name, fail.round, fail.view,
				 fail.what);
	}
}

/* A policy must live with any capacity it is given. */
static void test_tiny_decisions(void **state)
{
	const struct vt_policy *p = *state;
	struct vt_rng rng = {.s = 5};
	struct fx_models f = fx_models_new(&rng, 4, 64, VT_PLAN_ALL);
	struct fx_view *x = fx_alloc(sizeof(*x));
	struct fx_policy a;

	fx_policy_open(&a, p, 64);
	for (uint32_t i = 0; i < 3000; i++) {
		const char *err;

		fx_view_random(x, &rng, &f, 64, 64);
		a.d.cap_actions = i % 4;
		a.d.cap_versions = i % 50;
		p->decide(a.state, &x->v, &a.d);
		err = fx_check(&x->v, &a.d);
		if (err && !strstr(err, "nothing is started"))
			fail_msg("%s: view %u: %s", p->name, i, err);
	}
	fx_policy_close(&a);
	fx_models_free(&f);
	free(x);
}

int main(void)
{
	static struct CMUnitTest tests[64];
	static char names[64][64];
	size_t n = 0;

	for (unsigned int i = 0; vt_policy_at(i) && n + 2 <= VT_COUNT(tests); i++) {
		void *p = (void *)vt_policy_at(i);

		snprintf(names[n], sizeof(names[n]), "promises of %s", vt_policy_at(i)->name);
		tests[n] = (struct CMUnitTest){
			.name = names[n], .test_func = test_promises, .initial_state = p};
		n++;
		snprintf(names[n], sizeof(names[n]), "tiny decisions of %s", vt_policy_at(i)->name);
		tests[n] = (struct CMUnitTest){
			.name = names[n], .test_func = test_tiny_decisions, .initial_state = p};
		n++;
	}
	return _cmocka_run_group_tests("policy promises", tests, n, NULL, NULL);
}
