// SPDX-License-Identifier: Apache-2.0
#include "runtime_fixture.h"

#include <pthread.h>
#include <sys/mman.h>

#include "loop/trace.h"
#include "sched/turn.h"

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
	/* A block may end while it is being changed; starts and refusals are never too late. */
	assert_true(s->late_actions <= s->loop.grows + s->loop.shrinks + s->loop.preempts);
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

/* ---- bounds ---------------------------------------------------------------------------------- */

/* Inside a borrow nothing runs: what is submitted stays where it is. */
struct borrowed {
	struct three *t;
	struct fx_request r[16];
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
	}
	return 5;
}

static void test_queues_are_bounded(void **state)
{
	static const struct {
		uint32_t total, n, full;
	} rows[] = {{1024, 12, 0}, {6, 12, 6}, {1, 4, 3}};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_runtime_opts o = {.record_fd = -1, .max_requests = rows[i].total};
		struct three t;
		struct borrowed b = {.t = &t, .n = rows[i].n};

		open_three(&t, &o, 50000, 10000000000ull, 1);
		assert_int_equal(vt_runtime_borrow(t.rt, submit_all, &b), 5);
		fx_wait(&b.l, b.n);
		settle(t.rt);
		assert_int_equal(atomic_load(&b.l.how[VT_QUEUE_FULL]), rows[i].full);
		assert_int_equal(atomic_load(&b.l.how[VT_DONE]), b.n - rows[i].full);
		assert_int_equal(atomic_load(&b.l.wrong), 0);
		check_stats(t.rt, &b.l, b.n);
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

static void test_who_is_refused(void **state)
{
	static const struct {
		const char *policy;
		uint64_t layer_ns, qos_ns;
		bool no_shed, admit;
		enum vt_outcome how;
	} rows[] = {
		{"veltair-full", 1000000000, 1000000, false, false, VT_REFUSED},
		{"veltair-full", 1000000000, 1000000, true, false, VT_DONE},
		{"veltair-full", 1000000000, 1000000, true, true, VT_DONE},
		{"fcfs", 1000000000, 1000000, false, false, VT_DONE},
		{"fcfs", 1000000000, 1000000, false, true, VT_REFUSED},
		{"fcfs", 1000, 10000000000ull, false, true, VT_DONE},
		{"prema", 1000000000, 1000000, false, true, VT_REFUSED},
	};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_runtime_opts o = {.policy = vt_policy_find(rows[i].policy),
					    .no_shed = rows[i].no_shed,
					    .admit = rows[i].admit,
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

/* A burst of ten seconds' work: as many are let in as fit, and one that is due first is not. */
static void test_admission_counts_what_is_before(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1, .admit = true};
	struct three t;
	struct borrowed b = {.t = &t, .n = 12};

	/* About 0.6 s each by its (invented) times, due in two: three or so of twelve. */
	open_three(&t, &o, 10000000, 2000000000ull, 1);
	assert_int_equal(vt_runtime_borrow(t.rt, submit_all, &b), 5);
	fx_wait(&b.l, 12);
	settle(t.rt);
	assert_in_range(atomic_load(&b.l.how[VT_REFUSED]), 1, 11);
	assert_int_equal(atomic_load(&b.l.how[VT_REFUSED]) + atomic_load(&b.l.how[VT_DONE]), 12);
	check_stats(t.rt, &b.l, 12);
	close_three(&t);
}

static void test_unknown_gone_and_draining(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct fx_model stranger = {.id = 12345};
	struct fx_load l = {0};
	struct fx_request r;
	struct three t;
	uint32_t id;

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
	close_three(&t);
}

static void test_bad_models(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct vt_served s = {.engine = fx_load(fx_names[0], 1)};
	struct vt_err e = {0};
	struct three t;
	uint32_t id;

	open_three(&t, &o, 50000, 10000000000ull, 1);
	s.costs = fx_costs(s.engine, fx_names[0], 1000, 1000);
	snprintf(s.name, sizeof(s.name), "%s", fx_names[0]);
	assert_int_equal(vt_runtime_add(t.rt, &s, &id, &e), -EEXIST);
	assert_non_null(strstr(e.msg, "served already"));
	e = (struct vt_err){0};
	s.engine = fx_load(fx_names[0], 1);
	s.costs = fx_costs(s.engine, fx_names[0], 1000, 1000);
	s.costs.model.n_layers--;
	snprintf(s.version, sizeof(s.version), "2");
	assert_int_equal(vt_runtime_add(t.rt, &s, &id, &e), -EINVAL);
	e = (struct vt_err){0};
	s.engine = fx_load(fx_names[0], 1);
	s.costs = fx_costs(s.engine, fx_names[0], 1000, 0);
	assert_int_equal(vt_runtime_add(t.rt, &s, &id, &e), -EINVAL);
	close_three(&t);
}

/* ---- changes under load ----------------------------------------------------------------------- */

struct driver {
	struct three *t;
	struct fx_load l;
	uint32_t n;
	_Atomic int over;
	pthread_t thread;
};

static void *drive_thread(void *arg)
{
	struct driver *d = arg;

	drive(d->t, &d->l, d->n);
	atomic_store(&d->over, 1);
	return NULL;
}

static void start_driver(struct driver *d)
{
	assert_int_equal(pthread_create(&d->thread, NULL, drive_thread, d), 0);
}

static struct vt_served again(const struct three *t, size_t i)
{
	struct vt_served s = {.engine = fx_load(fx_names[i], 2)};

	s.costs = fx_costs(s.engine, fx_names[i], 50000, 10000000000ull);
	snprintf(s.name, sizeof(s.name), "%s", fx_names[i]);
	return s;
}

static void test_models_come_and_go_under_load(void **state)
{
	struct vt_runtime_opts o = {.record_fd = -1};
	struct three t;
	struct driver d = {.t = &t, .n = 1500};
	uint32_t last = 0;

	open_three(&t, &o, 50000, 10000000000ull, 2);
	start_driver(&d);
	for (int turn = 0; !atomic_load(&d.over); turn++) {
		struct vt_served s;
		struct vt_err e = {0};
		uint32_t id;

		assert_int_equal(vt_runtime_find(t.rt, fx_names[2], NULL, &id), 0);
		assert_true(!turn || id != last);
		assert_int_equal(vt_runtime_del(t.rt, id), 0);
		last = id;
		s = again(&t, 2);
		if (vt_runtime_add(t.rt, &s, &id, &e))
			fail_msg("%s", e.msg);
	}
	pthread_join(d.thread, NULL);
	settle(t.rt);
	assert_int_equal(atomic_load(&d.l.wrong), 0);
	assert_true(atomic_load(&d.l.how[VT_NO_MODEL]) > 0);
	assert_int_equal(atomic_load(&d.l.how[VT_DONE]) + atomic_load(&d.l.how[VT_NO_MODEL]), d.n);
	close_three(&t);
}

/* ---- the trace of a live run ------------------------------------------------------------------ */

static void replay(const char *buf, size_t len, const struct vt_policy *policy, uint64_t *steps)
{
	size_t at = 0;

	while (at < len) {
		struct vt_trace_replay *r = calloc(1, sizeof(*r));
		struct vt_trace *t = calloc(1, sizeof(*t));
		struct vt_loop_cfg cfg;
		struct vt_loop *l;
		size_t size;
		void *models, *mem;

		assert_int_equal(vt_trace_open(t, buf + at, len - at), 0);
		cfg = (struct vt_loop_cfg){.policy =
						   policy ? policy : vt_policy_find(t->head.policy),
					   .policy_cfg = t->head.policy_cfg,
					   .n_domains = t->head.n_domains,
					   .max_layers = t->head.max_layers,
					   .fresh_ns = t->head.fresh_ns};
		size = (vt_trace_models_size(t, cfg.policy->plan_needs) + 63) & ~(size_t)63;
		models = aligned_alloc(64, size);
		assert_int_equal(vt_trace_models(t, cfg.policy->plan_needs, models, size), 0);
		size = (vt_loop_size(&cfg) + 63) & ~(size_t)63;
		mem = aligned_alloc(64, size);
		memset(mem, 0, size);
		l = vt_loop_init(mem, size, &cfg);
		r->trace = t;
		while (!vt_loop_step(l, &vt_trace_plant, r))
			;
		assert_null(t->what);
		assert_int_equal(r->differ, 0);
		*steps += r->steps;
		at = (size_t)(t->at - buf);
		free(models);
		free(mem);
		free(r);
		free(t);
	}
}

static void replay_fd(int fd, const struct vt_policy *policy, uint64_t steps_run)
{
	off_t len = lseek(fd, 0, SEEK_END);
	char *buf = aligned_alloc(64, ((size_t)len + 127) & ~(size_t)63);
	uint64_t steps = 0;

	assert_non_null(buf);
	assert_int_equal(pread(fd, buf, (size_t)len, 0), len);
	replay(buf, (size_t)len, policy, &steps);
	assert_int_equal(steps, steps_run);
	free(buf);
	close(fd);
}

static uint64_t steps_of(struct vt_runtime *rt)
{
	struct vt_runtime_stats *s = calloc(1, sizeof(*s));
	uint64_t n;

	vt_runtime_stats(rt, s);
	n = s->loop.steps;
	free(s);
	return n;
}

static void test_policies_and_times_change_under_load_and_it_replays(void **state)
{
	struct vt_runtime_opts o = {.record_fd = memfd_create("trace", 0)};
	struct three t;
	struct driver d = {.t = &t, .n = 1500};
	struct vt_reason reason[64];
	uint64_t last = 0, steps;
	int fd = dup(o.record_fd);

	open_three(&t, &o, 50000, 10000000000ull, 2);
	start_driver(&d);
	for (unsigned int i = 0; !atomic_load(&d.over); i++) {
		struct vt_engine *eng = (struct vt_engine *)vt_runtime_engine(t.rt, t.f[i % 3].id);
		struct vt_costs c = fx_costs(eng, fx_names[i % 3], 40000 + i, 10000000000ull);
		const struct vt_policy *p = vt_policy_at(i % 11);
		size_t n;

		assert_int_equal(vt_runtime_policy(t.rt, p, i % 2), 0);
		assert_int_equal(vt_runtime_recost(t.rt, t.f[i % 3].id, &c, NULL), 0);
		n = vt_runtime_reasons(t.rt, last, reason, VT_COUNT(reason), &last);
		for (size_t k = 0; k < n; k++) {
			assert_in_range(reason[k].kind, VT_START, VT_SHED);
			assert_in_range(reason[k].model, 0, 2);
		}
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 2000000);
	}
	pthread_join(d.thread, NULL);
	settle(t.rt);
	assert_int_equal(atomic_load(&d.l.wrong), 0);
	assert_int_equal(atomic_load(&d.l.how[VT_DONE]), d.n);
	check_stats(t.rt, &d.l, d.n);
	assert_int_equal(vt_runtime_recording(t.rt), 0);
	steps = steps_of(t.rt);
	close_three(&t);
	close(o.record_fd);
	replay_fd(fd, NULL, steps);
}

/* ---- a policy that does everything ------------------------------------------------------------ */

/* No state but the view: it replays. Grows, shrinks and preempts at every turn it can. */
static void chaos_decide(void *state, const struct vt_view *v, struct vt_decision *ret)
{
	struct vt_turn t;

	vt_turn_begin(&t, v, ret, 0);
	for (uint32_t b = 0; b < t.n_blocks; b++) {
		uint64_t dice = (v->now_ns / 1000 + v->blocks[b].id) % 7;

		if (dice < 2 && t.n_free)
			vt_turn_grow(&t, b, 1, 2);
		else if (dice < 4)
			vt_turn_shrink(&t, b, 1);
		else if (dice < 5)
			vt_turn_preempt(&t, b);
	}
	for (uint32_t i = 0; i < v->n_requests && t.n_free; i++)
		if (vt_turn_ready(&t, &v->requests[i]))
			vt_turn_start(
				&t, &(struct vt_start){
					    .request = i,
					    .end = v->models[v->requests[i].model].n_layers,
					    .wanted = 2,
					    .cores = (uint16_t)(1 + v->now_ns / 1000 % t.n_free)});
	ret->wake_ns = t.n_blocks ? v->now_ns + 100000 : 0;
}

/* Waits three milliseconds before it starts anything: nothing but its timer wakes it. */
static void lazy_decide(void *state, const struct vt_view *v, struct vt_decision *ret)
{
	struct vt_turn t;

	vt_turn_begin(&t, v, ret, 0);
	for (uint32_t i = 0; i < v->n_requests && t.n_free; i++) {
		const struct vt_request *r = &v->requests[i];

		if (!vt_turn_ready(&t, r))
			continue;
		if (v->now_ns >= r->arrival_ns + 3000000)
			vt_turn_start(&t, &(struct vt_start){.request = i,
							     .end = v->models[r->model].n_layers,
							     .wanted = 1,
							     .cores = 1});
		else if (!ret->wake_ns)
			ret->wake_ns = r->arrival_ns + 3000000;
	}
}

static size_t no_state_size(const struct vt_policy_cfg *cfg)
{
	return 64;
}

static int no_state(const struct vt_policy *p, void *state, const struct vt_policy_cfg *cfg)
{
	return 0;
}

static const struct vt_policy odd[] = {
	{.name = "chaos", .state_size = no_state_size, .init = no_state, .decide = chaos_decide},
	{.name = "lazy", .state_size = no_state_size, .init = no_state, .decide = lazy_decide},
};

static void test_every_action_and_the_timer(void **state)
{
	for (size_t i = 0; i < VT_COUNT(odd); i++) {
		struct vt_runtime_opts o = {.policy = &odd[i],
					    .record_fd = memfd_create("trace", 0)};
		struct vt_runtime_stats *s = calloc(1, sizeof(*s));
		struct fx_load l = {0};
		struct three t;
		int fd = dup(o.record_fd);

		open_three(&t, &o, 50000, 10000000000ull, 2);
		drive(&t, &l, i ? 60 : 1000);
		settle(t.rt);
		assert_int_equal(atomic_load(&l.wrong), 0);
		assert_int_equal(atomic_load(&l.how[VT_DONE]), i ? 60 : 1000);
		vt_runtime_stats(t.rt, s);
		/* Too late now and then: blocks end while the policy thinks. */
		assert_true(s->late_actions * 2 <
			    s->loop.grows + s->loop.shrinks + s->loop.preempts + s->loop.starts);
		if (!i)
			assert_true(s->loop.grows && s->loop.shrinks && s->loop.preempts);
		close_three(&t);
		close(o.record_fd);
		replay_fd(fd, &odd[i], s->loop.steps);
		free(s);
	}
}

/* ---- blocks as they are told ------------------------------------------------------------------- */

struct told {
	_Atomic uint64_t layers, blocks, bad;
};

static void note_block(void *arg, const struct vt_block_event *b)
{
	struct told *t = arg;

	atomic_fetch_add(&t->blocks, 1);
	atomic_fetch_add(&t->layers, (uint64_t)(b->layer_end - b->layer_begin));
	if (b->end_ns < b->start_ns || vt_coreset_empty(&b->cores) ||
	    b->layer_end <= b->layer_begin)
		atomic_fetch_add(&t->bad, 1);
}

static void test_blocks_are_told(void **state)
{
	struct told told = {0};
	struct vt_runtime_opts o = {.record_fd = -1, .block = note_block, .arg = &told};
	struct fx_load l = {0};
	struct three t;
	uint64_t layers = 0;

	open_three(&t, &o, 50000, 10000000000ull, 1);
	for (uint32_t i = 0; i < 9; i++) {
		struct fx_request r;

		fx_submit(t.rt, &r, &t.f[i % 3], &l, i);
		fx_wait(&l, i + 1);
		layers += (uint64_t)t.f[i % 3].n_steps;
		assert_true(r.q.start_ns >= r.q.arrival_ns && r.q.end_ns > r.q.start_ns);
		assert_true(r.q.served_ns <= r.q.end_ns - r.q.arrival_ns && r.q.blocks);
	}
	assert_int_equal(atomic_load(&told.layers), layers);
	assert_int_equal(atomic_load(&told.bad), 0);
	close_three(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_policy_computes_the_same_bits),
		cmocka_unit_test(test_queues_are_bounded),
		cmocka_unit_test(test_a_waiting_request_can_be_cancelled),
		cmocka_unit_test(test_who_is_refused),
		cmocka_unit_test(test_admission_counts_what_is_before),
		cmocka_unit_test(test_unknown_gone_and_draining),
		cmocka_unit_test(test_bad_models),
		cmocka_unit_test(test_models_come_and_go_under_load),
		cmocka_unit_test(test_policies_and_times_change_under_load_and_it_replays),
		cmocka_unit_test(test_every_action_and_the_timer),
		cmocka_unit_test(test_blocks_are_told),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
