// SPDX-License-Identifier: Apache-2.0
/* Who comes in and who does not: queues, deadlines, models that go, bad ones. */
#include "runtime_fixture.h"

#include <fcntl.h>
#include <pthread.h>

#include "sched/turn.h"

/* ---- bounds ---------------------------------------------------------------------------------- */

#define CROWD 80u /* more than a decision on two cores can turn away */

/* Inside a borrow nothing runs: what is submitted stays where it is. */
struct borrowed {
	struct three *t;
	struct fx_request r[CROWD];
	struct fx_load l;
	uint32_t n;
	int then;
};

static int submit_all(void *arg, struct vt_pool *pool)
{
	struct borrowed *b = arg;

	for (uint32_t i = 0; i < b->n; i++)
		fx_submit(b->t->rt, &b->r[i], &b->t->f[i % 3], &b->l, i);
	assert_true(vt_runtime_wanted(b->t->rt));
	if (b->then) {
		assert_int_equal(vt_runtime_cancel(b->t->rt, b->r[1].q.id), 0);
		assert_int_equal(vt_runtime_cancel(b->t->rt, b->r[1].q.id), -ENOENT);
		/* Which has taken in those that still wait. */
		assert_true(vt_runtime_wanted(b->t->rt));
	}
	return 5;
}

static void test_queues_are_bounded(void **state)
{
	static const struct {
		uint32_t total, each, n, full; /* n: a third of them for each model */
	} rows[] = {
		{1024, 0, 12, 0}, {6, 0, 12, 6}, {1, 0, 4, 3}, {1024, 2, 15, 9}, {4, 2, 15, 11},
	};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_runtime_opts o = {.record_fd = -1, .max_requests = rows[i].total};
		struct three t;
		struct borrowed b = {.t = &t, .n = rows[i].n};

		open_three_queued(&t, &o, 50000, 10000000000ull, 1, rows[i].each);
		for (uint32_t turn = 1; turn <= 2; turn++) { /* who has been served frees a place */
			assert_int_equal(vt_runtime_borrow(t.rt, submit_all, &b), 5);
			fx_wait(&b.l, turn * b.n);
			settle(t.rt);
			assert_int_equal(atomic_load(&b.l.how[VT_QUEUE_FULL]), turn * rows[i].full);
			assert_int_equal(atomic_load(&b.l.how[VT_DONE]),
					 turn * (b.n - rows[i].full));
			assert_int_equal(atomic_load(&b.l.wrong), 0);
			check_stats(t.rt, &b.l, turn * b.n);
		}
		close_three(&t);
	}
}

static void test_a_waiting_request_can_be_cancelled(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct three t;
	struct borrowed b = {.t = &t, .n = 3, .then = 1};

	open_three(&t, &o, 50000, 10000000000ull, 1);
	assert_int_equal(vt_runtime_borrow(t.rt, submit_all, &b), 5);
	fx_wait(&b.l, 3);
	settle(t.rt);
	assert_int_equal(b.r[1].how, VT_CANCELLED);
	assert_int_equal(atomic_load(&b.l.how[VT_DONE]), 2);
	check_stats(t.rt, &b.l, 3);
	close_three(&t);
}

/* A request that stays on its leader, before its first layer, until it is let go. */
static _Atomic bool began, let_go;

static void fx_in_and_stay(struct vt_infer *q, const struct vt_engine *eng, int inst)
{
	fx_in(q, eng, inst);
	began = true;
	while (!let_go)
		sched_yield();
}

static void submit_one_that_stays(struct three *t, struct fx_request *r, struct fx_load *l)
{
	began = let_go = false;
	fx_prepare(r, &t->f[0], l, 0);
	r->q.load = fx_in_and_stay;
	vt_runtime_submit(t->rt, &r->q);
	while (!began)
		sched_yield();
}

static void test_a_running_request_can_be_cancelled(void **state)
{
	static const char *const policies[] = {"fcfs", "prema", "planaria", "veltair-full"};

	for (size_t i = 0; i < VT_COUNT(policies); i++) {
		struct vt_runtime_opts o = {.policy = vt_policy_find(policies[i]), .record_fd = -1};
		struct fx_load l = {0};
		struct fx_request r[2];
		struct three t;

		open_three(&t, &o, 50000, 10000000000ull, 1);
		submit_one_that_stays(&t, &r[0], &l);
		fx_submit(t.rt, &r[1], &t.f[0], &l, 1); /* waits for the only instance */
		assert_int_equal(vt_runtime_cancel(t.rt, r[0].q.id), -EINPROGRESS);
		assert_int_equal(vt_runtime_cancel(t.rt, r[0].q.id), -EINPROGRESS);
		let_go = true;
		fx_wait(&l, 2);
		assert_int_equal(r[0].how, VT_CANCELLED);
		assert_int_equal(r[0].q.blocks, 1);
		assert_true(r[0].q.core_ns > 0);
		assert_int_equal(r[1].how, VT_DONE);
		assert_int_equal(vt_runtime_cancel(t.rt, r[0].q.id), -ENOENT);
		assert_int_equal(atomic_load(&l.wrong), 0);
		settle(t.rt);
		check_stats(t.rt, &l, 2);
		close_three(&t);
	}
}

/* In the midst of everything, by another thread: whatever it meets, each request has one answer. */
static void test_cancelled_under_load(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct fx_request *r = calloc(WINDOW, sizeof(*r));
	struct vt_rng rng = {11};
	struct fx_load l = {0};
	const uint32_t n = 600;
	uint32_t met[3] = {0};
	struct three t;

	assert_non_null(r);
	open_three(&t, &o, 50000, 10000000000ull, 2);
	for (uint32_t i = 0; i < n; i++) {
		struct fx_request *mine = &r[i % WINDOW];
		int rc;

		while (i >= WINDOW && !atomic_load(&mine->answers))
			sched_yield();
		fx_submit(t.rt, mine, &t.f[vt_rng_below(&rng, 3)], &l, vt_rng_u64(&rng));
		/* Ids are numbers in order from 1 on: one of the last three. */
		rc = vt_runtime_cancel(t.rt, 1 + i - (i < 3 ? 0 : vt_rng_below(&rng, 3)));
		met[!rc ? 0 : rc == -EINPROGRESS ? 1 : 2]++;
	}
	fx_wait(&l, n);
	settle(t.rt);
	printf("# cancelled: %u waited, %u ran, %u were over\n", met[0], met[1], met[2]);
	assert_true(met[0] + met[1] >= atomic_load(&l.how[VT_CANCELLED]));
	assert_true(atomic_load(&l.how[VT_CANCELLED]) >= met[0]);
	assert_int_equal(atomic_load(&l.how[VT_DONE]) + atomic_load(&l.how[VT_CANCELLED]), n);
	assert_int_equal(atomic_load(&l.wrong), 0);
	check_stats(t.rt, &l, n);
	close_three(&t);
	free(r);
}

static void test_what_has_not_begun_is_turned_away(void **state)
{
	struct vt_runtime_opts o = {.policy = vt_policy_find("fcfs"), .record_fd = -1};
	struct fx_load l = {0};
	struct fx_request r[4];
	struct three t;

	open_three(&t, &o, 50000, 10000000000ull, 1);
	submit_one_that_stays(&t, &r[0], &l);
	for (uint32_t i = 1; i < 3; i++) /* of its model, which has one instance */
		fx_submit(t.rt, &r[i], &t.f[0], &l, i);
	vt_runtime_turn_away(t.rt);
	assert_int_equal(atomic_load(&l.how[VT_STOPPING]), 2);
	assert_int_equal(r[1].how, VT_STOPPING);
	assert_int_equal(r[2].how, VT_STOPPING);
	fx_submit(t.rt, &r[3], &t.f[1], &l, 0);
	assert_int_equal(r[3].how, VT_STOPPING);
	let_go = true;
	vt_runtime_drain(t.rt);
	assert_int_equal(r[0].how, VT_DONE);
	assert_int_equal(atomic_load(&l.wrong), 0);
	settle(t.rt);
	check_stats(t.rt, &l, 4);
	close_three(&t);
}

static void test_who_is_refused(void **state)
{
	static const struct {
		const char *policy;
		uint64_t layer_ns, qos_ns;
		bool no_shed;
		enum vt_outcome how;
	} rows[] = {
		{"veltair-full", 1000000000, 1000000, false, VT_REFUSED},
		{"veltair-full", 1000000000, 1000000, true, VT_DONE},
		{"veltair-full", 1000, 10000000000ull, false, VT_DONE},
		{"fcfs", 1000000000, 1000000, false, VT_DONE},
	};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_runtime_opts o = {.policy = vt_policy_find(rows[i].policy),
					    .no_shed = rows[i].no_shed,
					    .record_fd = -1};
		struct fx_load l = {0};
		struct fx_request r;
		struct three t;

		open_three(&t, &o, rows[i].layer_ns, rows[i].qos_ns, 1);
		for (uint32_t k = 0; k < 5; k++) {
			fx_submit(t.rt, &r, &t.f[k % 3], &l, k);
			fx_wait(&l, k + 1);
			assert_int_equal(r.how, rows[i].how);
		}
		settle(t.rt);
		check_stats(t.rt, &l, 5);
		close_three(&t);
	}
}

static void test_unknown_gone_and_draining(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct fx_model stranger = {.id = 12345};
	struct fx_load l = {0};
	struct vt_runtime_stats *s = calloc(1, sizeof(*s));
	struct fx_request r;
	struct three t;
	bool seen = false;
	uint32_t id;

	assert_non_null(s);
	open_three(&t, &o, 50000, 10000000000ull, 1);
	fx_submit(t.rt, &r, &stranger, &l, 0);
	assert_int_equal(r.how, VT_NO_MODEL);
	assert_int_equal(vt_runtime_find(t.rt, fx_names[1], NULL, &id), 0);
	assert_int_equal(id, t.f[1].id);
	assert_non_null(vt_runtime_engine(t.rt, id));
	assert_int_equal(vt_runtime_del(t.rt, id), 0);
	assert_int_equal(vt_runtime_del(t.rt, id), -ENOENT);
	assert_null(vt_runtime_engine(t.rt, id));
	assert_int_equal(vt_runtime_find(t.rt, fx_names[1], "", &id), -ENOENT);
	fx_submit(t.rt, &r, &t.f[1], &l, 0);
	assert_int_equal(r.how, VT_NO_MODEL);
	fx_submit(t.rt, &r, &t.f[0], &l, 0);
	fx_wait(&l, 3);
	assert_int_equal(r.how, VT_DONE);
	vt_runtime_drain(t.rt);
	fx_submit(t.rt, &r, &t.f[0], &l, 0);
	assert_int_equal(r.how, VT_STOPPING);
	/* It was submitted to a model that is there: no more ends than has begun. */
	vt_runtime_stats(t.rt, s);
	for (uint32_t i = 0; i < s->n_models; i++)
		if (s->model[i].id == t.f[0].id) {
			assert_int_equal(s->model[i].requests, 2);
			assert_int_equal(s->model[i].ended[VT_STOPPING], 1);
			seen = true;
		}
	assert_true(seen);
	free(s);
	close_three(&t);
}

static void test_a_server_may_refuse_by_itself(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct vt_runtime_stats *s = calloc(1, sizeof(*s));
	struct three t;

	assert_non_null(s);
	open_three(&t, &o, 50000, 10000000000ull, 1);
	vt_runtime_refused(t.rt, t.f[2].id, VT_REFUSED);
	vt_runtime_refused(t.rt, t.f[2].id, VT_QUEUE_FULL);
	vt_runtime_refused(t.rt, t.f[2].id, VT_REFUSED);
	vt_runtime_refused(t.rt, t.f[2].id, VT_NO_MEMORY);
	vt_runtime_refused(t.rt, 12345, VT_REFUSED); /* nobody's */
	assert_int_equal(vt_runtime_del(t.rt, t.f[0].id), 0);
	vt_runtime_refused(t.rt, t.f[0].id, VT_REFUSED); /* gone */
	vt_runtime_stats(t.rt, s);
	assert_int_equal(s->n_models, 2);
	for (uint32_t i = 0; i < s->n_models; i++) {
		uint64_t n = s->model[i].id == t.f[2].id;

		assert_int_equal(s->model[i].requests, 4 * n);
		assert_int_equal(s->model[i].ended[VT_REFUSED], 2 * n);
		assert_int_equal(s->model[i].ended[VT_QUEUE_FULL], n);
		assert_int_equal(s->model[i].ended[VT_NO_MEMORY], n);
	}
	free(s);
	close_three(&t);
}

static void test_a_recording_that_cannot_be_written(void **state)
{
	struct vt_runtime_opts o = {.record_fd = open("/dev/full", O_WRONLY | O_CLOEXEC)};
	struct fx_load l = {0};
	struct fx_request r;
	struct three t;

	assert_true(o.record_fd >= 0);
	open_three(&t, &o, 50000, 10000000000ull, 1);
	fx_submit(t.rt, &r, &t.f[0], &l, 0);
	fx_wait(&l, 1);
	assert_int_equal(vt_runtime_close(t.rt), -ENOSPC); /* its last piece */
	for (size_t i = 0; i < 3; i++)
		fx_model_fini(&t.f[i]);
}

static void test_bad_models(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct vt_served s = {.engine = fx_engine(fx_dir, fx_names[0], 1)};
	struct vt_err e = {0};
	struct three t;
	uint32_t id;

	open_three(&t, &o, 50000, 10000000000ull, 1);
	s.costs = fx_costs(s.engine, fx_names[0], 1000, 1000);
	snprintf(s.name, sizeof(s.name), "%s", fx_names[0]);
	assert_int_equal(vt_runtime_add(t.rt, &s, &id, &e), -EEXIST);
	assert_non_null(strstr(e.msg, "served already"));
	e = (struct vt_err){0};
	s.engine = fx_engine(fx_dir, fx_names[0], 1);
	s.costs = fx_costs(s.engine, fx_names[0], 1000, 1000);
	s.costs.model.n_layers--;
	snprintf(s.version, sizeof(s.version), "2");
	assert_int_equal(vt_runtime_add(t.rt, &s, &id, &e), -EINVAL);
	e = (struct vt_err){0};
	s.engine = fx_engine(fx_dir, fx_names[0], 1);
	s.costs = fx_costs(s.engine, fx_names[0], 1000, 0);
	assert_int_equal(vt_runtime_add(t.rt, &s, &id, &e), -EINVAL);
	close_three(&t);
}

/* ---- what is replaced ------------------------------------------------------------------------- */

/* The one row of the first model: as many requests as that, all done, whoever computed them. */
static void check_row(struct vt_runtime *rt, uint32_t id, uint64_t requests)
{
	struct vt_runtime_stats *s = calloc(1, sizeof(*s));
	uint64_t in_buckets = 0, rows = 0;

	assert_non_null(s);
	settle(rt);
	vt_runtime_stats(rt, s);
	for (uint32_t i = 0; i < s->n_models; i++) {
		const struct vt_runtime_model *m = &s->model[i];

		if (strcmp(m->name, fx_names[0]) != 0)
			continue;
		rows++;
		for (unsigned int b = 0; b < VT_RUNTIME_BUCKETS; b++)
			in_buckets += m->latency[b];
		assert_int_equal(m->id, id);
		assert_int_equal(m->requests, requests);
		assert_int_equal(m->ended[VT_DONE], requests);
		assert_int_equal(m->in_time + m->late, requests);
		assert_int_equal(in_buckets, requests);
		assert_true(m->blocks >= requests && m->latency_sum_ns >= m->queue_sum_ns);
		assert_int_equal(m->waiting + m->running, 0);
	}
	assert_int_equal(rows, requests > 0);
	free(s);
}

static void submit_some(struct vt_runtime *rt, const struct fx_model *f, uint32_t id, uint32_t n)
{
	struct fx_request r[8] = {0};
	struct fx_model to = *f;
	struct fx_load l = {0};

	to.id = id;
	for (uint32_t i = 0; i < n; i++)
		fx_submit(rt, &r[i], &to, &l, i);
	fx_wait(&l, n);
	assert_int_equal(atomic_load(&l.how[VT_DONE]), n);
}

static void test_counts_outlive_a_replacement(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct three t;
	uint32_t id[4];
	uint64_t n = 6;

	open_three(&t, &o, 50000, 10000000000ull, 2);
	id[0] = t.f[0].id;
	submit_some(t.rt, &t.f[0], id[0], 6);
	check_row(t.rt, id[0], n);
	for (int i = 1; i < 4; i++) {
		struct vt_served s = {.engine = fx_engine(fx_dir, fx_names[0], 2),
				      .replaces = true};
		struct vt_err e = {0};

		s.costs = fx_costs(s.engine, fx_names[0], 50000, 10000000000ull);
		snprintf(s.name, sizeof(s.name), "%s", fx_names[0]);
		if (vt_runtime_add(t.rt, &s, &id[i], &e))
			fail_msg("%s", e.msg);
		check_row(t.rt, id[i], n);
		submit_some(t.rt, &t.f[0], id[i - 1], 3); /* who has found it before */
		submit_some(t.rt, &t.f[0], id[i], 2);
		n += 5;
		check_row(t.rt, id[i], n);
		if (i == 1) /* two of them at a time */
			continue;
		assert_int_equal(vt_runtime_del(t.rt, id[i - 2]), 0);
		check_row(t.rt, id[i], n);
	}
	assert_int_equal(vt_runtime_del(t.rt, id[2]), 0);
	check_row(t.rt, id[3], n);
	assert_int_equal(vt_runtime_del(t.rt, id[3]), 0);
	check_row(t.rt, id[3], 0);
	close_three(&t);
}

/* Turns everybody away, as many at once as fit in a decision. */
static void closed_decide(void *state, const struct vt_view *v, struct vt_decision *ret)
{
	struct vt_turn t;

	vt_turn_begin(&t, v, ret, 0);
	for (uint32_t i = 0; i < v->n_requests && vt_turn_shed(&t, i, 0); i++)
		;
}

static size_t no_state_size(const struct vt_policy_cfg *cfg)
{
	return 64;
}

static int no_state(const struct vt_policy *p, void *state, const struct vt_policy_cfg *cfg)
{
	return 0;
}

static void test_each_of_many_refusals_keeps_its_reasons(void **state)
{
	static const struct vt_policy closed = {.name = "closed",
						.state_size = no_state_size,
						.init = no_state,
						.decide = closed_decide};
	struct vt_runtime_opts o = {.policy = &closed, .record_fd = -1};
	static struct vt_reason why[2 * CROWD];
	static struct borrowed b;
	uint64_t last, at_once = 0;
	struct three t;
	size_t n;

	open_three(&t, &o, 50000, 10000000000ull, 1);
	b = (struct borrowed){.t = &t, .n = CROWD};
	assert_int_equal(vt_runtime_borrow(t.rt, submit_all, &b), 5);
	fx_wait(&b.l, CROWD);
	settle(t.rt);
	assert_int_equal(atomic_load(&b.l.how[VT_REFUSED]), CROWD);
	n = vt_runtime_reasons(t.rt, 0, why, VT_COUNT(why), &last);
	assert_int_equal(n, CROWD);
	assert_int_equal(last, CROWD);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(why[i].kind, VT_SHED);
		assert_int_equal(why[i].id, i + 1);
		assert_int_equal(why[i].model, t.f[i % 3].id);
		at_once += why[i].now_ns == why[0].now_ns;
	}
	assert_true(at_once > 64); /* else it is no test */
	close_three(&t);
}

/* ---- priorities ------------------------------------------------------------------------------- */

enum { AS_IT_COMES, AS_IT_RUNS, AS_IT_COMES_BACK, MOMENTS };

/* By id, as the policy below sees them. */
static uint16_t noted[3][MOMENTS];
static _Atomic bool preempted;

/* Starts whatever it can; the first stops for the second's sake, once. */
static void noting_decide(void *state, const struct vt_view *v, struct vt_decision *ret)
{
	struct vt_turn t;

	vt_turn_begin(&t, v, ret, 0);
	for (uint32_t b = 0; b < t.n_blocks; b++) {
		noted[v->blocks[b].id][AS_IT_RUNS] = v->blocks[b].priority;
		if (v->blocks[b].id == 1 && v->n_requests && !preempted)
			preempted = vt_turn_preempt(&t, b);
	}
	for (uint32_t i = 0; i < v->n_requests; i++) {
		const struct vt_request *r = &v->requests[i];

		noted[r->id][r->next_layer ? AS_IT_COMES_BACK : AS_IT_COMES] = r->priority;
		if (t.n_free && vt_turn_ready(&t, r))
			vt_turn_start(&t, &(struct vt_start){.request = i,
							     .end = v->models[r->model].n_layers,
							     .wanted = 1,
							     .cores = 1});
	}
}

static void test_priorities_reach_the_policy(void **state)
{
	static const struct vt_policy noting = {.name = "noting",
						.state_size = no_state_size,
						.init = no_state,
						.decide = noting_decide};
	const struct vt_runtime_opts o = {.policy = &noting, .record_fd = -1};
	struct vt_served s = {.engine = fx_engine(fx_dir, fx_names[0], 2), .priority = 3};
	struct fx_request r[2];
	struct fx_load l = {0};
	struct three t = {0};

	t.rt = fx_open(&o);
	fx_answers(&t.f[0], s.engine);
	s.costs = fx_costs(s.engine, fx_names[0], 50000, 10000000000ull);
	snprintf(s.name, sizeof(s.name), "%s", fx_names[0]);
	assert_int_equal(vt_runtime_add(t.rt, &s, &t.f[0].id, NULL), 0);
	began = let_go = false;
	fx_prepare(&r[0], &t.f[0], &l, 0);
	r[0].q.load = fx_in_and_stay;
	r[0].q.priority = 7;
	vt_runtime_submit(t.rt, &r[0].q);
	while (!began)
		sched_yield();
	fx_submit(t.rt, &r[1], &t.f[0], &l, 1); /* names none: its model's */
	while (!preempted)
		sched_yield();
	vt_runtime_cancel(t.rt, 0); /* takes the lock: what was decided is done */
	let_go = true;
	fx_wait(&l, 2);
	settle(t.rt);
	assert_int_equal(atomic_load(&l.how[VT_DONE]), 2);
	assert_int_equal(atomic_load(&l.wrong), 0);
	assert_int_equal(r[0].q.blocks, 2);
	for (int when = 0; when < MOMENTS; when++)
		assert_int_equal(noted[1][when], 7);
	assert_int_equal(noted[2][AS_IT_COMES], 3);
	close_three(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queues_are_bounded),
		cmocka_unit_test(test_a_waiting_request_can_be_cancelled),
		cmocka_unit_test(test_a_running_request_can_be_cancelled),
		cmocka_unit_test(test_cancelled_under_load),
		cmocka_unit_test(test_what_has_not_begun_is_turned_away),
		cmocka_unit_test(test_who_is_refused),
		cmocka_unit_test(test_unknown_gone_and_draining),
		cmocka_unit_test(test_a_server_may_refuse_by_itself),
		cmocka_unit_test(test_a_recording_that_cannot_be_written),
		cmocka_unit_test(test_bad_models),
		cmocka_unit_test(test_counts_outlive_a_replacement),
		cmocka_unit_test(test_each_of_many_refusals_keeps_its_reasons),
		cmocka_unit_test(test_priorities_reach_the_policy),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
