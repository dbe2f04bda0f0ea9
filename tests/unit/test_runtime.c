// SPDX-License-Identifier: Apache-2.0
#include "runtime_fixture.h"

/* ---- three models at once, every policy ----------------------------------------------------- */

struct three {
	struct vt_runtime *rt;
	struct fx_model f[3];
};

static void open_three(struct three *t, const struct vt_runtime_opts *o, uint64_t layer_ns,
		       uint64_t qos_ns, int instances)
{
	struct vt_err e = {0};

	memset(t, 0, sizeof(*t));
	t->rt = fx_open(o);
	for (size_t i = 0; i < 3; i++) {
		struct vt_served s = {.engine = fx_load(fx_names[i], instances)};

		fx_answers(&t->f[i], s.engine);
		s.costs = fx_costs(s.engine, fx_names[i], layer_ns, qos_ns);
		snprintf(s.name, sizeof(s.name), "%s", fx_names[i]);
		if (vt_runtime_add(t->rt, &s, &t->f[i].id, &e))
			fail_msg("%s", e.msg);
	}
}

static void close_three(struct three *t)
{
	vt_runtime_close(t->rt);
	for (size_t i = 0; i < 3; i++)
		fx_model_fini(&t->f[i]);
}

/* Everything adds up once all has been answered. */
static void check_stats(struct vt_runtime *rt, const struct fx_load *l, uint64_t submitted)
{
	struct vt_runtime_stats *s = calloc(1, sizeof(*s));
	uint64_t requests = 0, ended[VT_OUTCOMES] = {0};

	assert_non_null(s);
	vt_runtime_stats(rt, s);
	for (uint32_t i = 0; i < s->n_models; i++) {
		const struct vt_runtime_model *m = &s->model[i];
		uint64_t sum = 0, in_buckets = 0, layers = 0;

		for (unsigned int k = 0; k < VT_OUTCOMES; k++) {
			ended[k] += m->ended[k];
			sum += m->ended[k];
		}
		for (unsigned int k = 0; k < VT_RUNTIME_BUCKETS; k++)
			in_buckets += m->latency[k];
		for (unsigned int k = 0; k < VT_MAX_VERSIONS; k++)
			layers += m->layer_runs[k];
		assert_int_equal(sum, m->requests);
		assert_int_equal(in_buckets, m->ended[VT_DONE]);
		assert_int_equal(m->in_time + m->late, m->ended[VT_DONE]);
		assert_true(m->blocks >= m->ended[VT_DONE] && layers >= m->blocks);
		assert_int_equal(m->waiting + m->running, 0);
		requests += m->requests;
	}
	assert_int_equal(requests, submitted);
	for (unsigned int k = 0; k < VT_OUTCOMES; k++)
		assert_int_equal(ended[k], atomic_load(&l->how[k]));
	assert_int_equal(s->waiting + s->running, 0);
	assert_int_equal(s->late_actions, 0);
	free(s);
}

#define WINDOW 8u /* requests under way */

/* Closed loop: as soon as one is answered, another comes. */
static void drive(struct three *t, struct fx_load *l, uint32_t n)
{
	struct fx_request *r = calloc(WINDOW, sizeof(*r));
	struct vt_rng rng = {7};

	assert_non_null(r);
	for (uint32_t i = 0; i < n; i++) {
		struct fx_request *mine = &r[i % WINDOW];

		while (i >= WINDOW && !atomic_load(&mine->answers))
			sched_yield();
		fx_submit(t->rt, mine, &t->f[vt_rng_below(&rng, 3)], l, vt_rng_u64(&rng));
	}
	fx_wait(l, n);
	free(r);
}

static void settle(struct vt_runtime *rt)
{
	while (!vt_runtime_idle(rt))
		sched_yield();
	/* Takes the lock: what the last leader left has been taken in. */
	vt_runtime_cancel(rt, 0);
}

static void test_every_policy_computes_the_same_bits(void **state)
{
	static const struct {
		uint64_t layer_ns, qos_ns;
		bool no_shed;
		int instances;
	} rows[] = {
		{50000, 10000000000ull, false, 1}, /* far from any deadline */
		{50000, 10000000000ull, false, 3},
		{200000, 20000000, true, 2}, /* late as a rule */
		{50000, 5000000, false, 2},  /* some are refused */
	};

	for (unsigned int p = 0; vt_policy_at(p); p++)
		for (size_t i = 0; i < VT_COUNT(rows); i++) {
			struct vt_runtime_opts o = {.policy = vt_policy_at(p),
						    .no_shed = rows[i].no_shed,
						    .record_fd = -1};
			struct fx_load l = {0};
			struct three t;

			open_three(&t, &o, rows[i].layer_ns, rows[i].qos_ns, rows[i].instances);
			drive(&t, &l, 60);
			settle(t.rt);
			assert_int_equal(atomic_load(&l.wrong), 0);
			if (i < 3)
				assert_int_equal(atomic_load(&l.how[VT_DONE]), 60);
			check_stats(t.rt, &l, 60);
			close_three(&t);
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_policy_computes_the_same_bits),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
