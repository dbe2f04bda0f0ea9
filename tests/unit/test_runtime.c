// SPDX-License-Identifier: Apache-2.0
#include "runtime_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#include "loop/trace.h"
#include "sched/turn.h"

/* ---- every policy ------------------------------------------------------------------------------ */

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
	struct vt_served s = {.engine = fx_engine(fx_dir, fx_names[i], 2)};

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
		/* Plans know what waking costs here; one core wakes nobody. */
		for (uint32_t i = 0; i < t->head.n_models && cfg.policy_cfg.n_cores > 1; i++)
			assert_true(t->models[i].open_ns && t->models[i].open_core_ns);
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

/* The steps in it so far. */
static uint64_t steps_in(int fd, const struct vt_policy *policy)
{
	off_t len = lseek(fd, 0, SEEK_END);
	char *buf = aligned_alloc(64, ((size_t)len + 127) & ~(size_t)63);
	uint64_t steps = 0;

	assert_non_null(buf);
	assert_int_equal(pread(fd, buf, (size_t)len, 0), len);
	replay(buf, (size_t)len, policy, &steps);
	free(buf);
	return steps;
}

static void replay_fd(int fd, const struct vt_policy *policy, uint64_t steps_run)
{
	assert_int_equal(steps_in(fd, policy), steps_run);
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
		/* Another count of versions each time: a running block still goes by the old table. */
		struct vt_costs c =
			fx_costs_of(eng, fx_names[i % 3], 40000 + i, 10000000000ull, 1 + i / 3 % 2);
		/* Every other that of the server, which grows and shrinks blocks most. */
		const struct vt_policy *p =
			i % 2 ? vt_policy_find("veltair-full") : vt_policy_at(i / 2 % 11);
		size_t n;

		assert_int_equal(vt_runtime_policy(t.rt, p, i / 2 % 2), 0);
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
	replay_fd(fd, NULL, steps);
}

/* What is killed then has left all of it, and goes on: the same file is whole in the end. */
static void test_a_recording_is_written_when_asked(void **state)
{
	struct vt_runtime_opts o = {.record_fd = memfd_create("trace", 0)};
	struct fx_load l = {0};
	struct three t;
	int fd = dup(o.record_fd);
	uint64_t steps = 0;

	open_three(&t, &o, 50000, 10000000000ull, 2);
	assert_int_equal(vt_runtime_write_recording(t.rt, UINT64_MAX), 0);
	assert_true(lseek(fd, 0, SEEK_END) > 0); /* the head, before any request */
	for (uint32_t turn = 1; turn <= 3; turn++) {
		drive(&t, &l, 20 * turn);
		settle(t.rt);
		steps = steps_of(t.rt);
		assert_int_equal(vt_runtime_write_recording(t.rt, UINT64_MAX), 0);
		assert_true(steps_in(fd, NULL) >= steps);
		l = (struct fx_load){0};
	}
	steps = steps_of(t.rt);
	assert_int_equal(vt_runtime_recording(t.rt), 0);
	close_three(&t);
	assert_true(steps_in(fd, NULL) >= steps);
	close(fd);
}

struct slow_disk {
	int from, to;
};

static void *take_recording(void *arg)
{
	struct slow_disk *d = arg;
	char buf[4096];
	ssize_t n;

	while ((n = read(d->from, buf, sizeof(buf))) > 0)
		assert_int_equal(write(d->to, buf, (size_t)n), n);
	return NULL;
}

/*
 * A pipe that nobody reads: requests are answered all the same, who asks for it to be written waits no longer than it
 * says, and nothing is missing or out of order afterwards.
 */
static void test_a_slow_disk_holds_nobody_up(void **state)
{
	struct slow_disk d = {.to = memfd_create("trace", 0)};
	struct vt_runtime_opts o = {0};
	struct fx_load l = {0};
	pthread_t taker;
	uint64_t steps;
	struct three t;
	int p[2];

	assert_int_equal(pipe(p), 0);
	assert_true(fcntl(p[1], F_SETPIPE_SZ, 4096) > 0);
	d.from = p[0];
	o.record_fd = p[1];
	open_three(&t, &o, 50000, 10000000000ull, 2);
	drive(&t, &l, 20); /* more than a pipe holds */
	assert_int_equal(vt_runtime_write_recording(t.rt, 0), -ETIMEDOUT);
	assert_int_equal(vt_runtime_write_recording(t.rt, 20000000), -ETIMEDOUT);
	l = (struct fx_load){0};
	drive(&t, &l, 3000); /* and more than a piece */
	assert_int_equal(atomic_load(&l.wrong), 0);
	assert_int_equal(vt_runtime_recording(t.rt), 0);
	assert_int_equal(pthread_create(&taker, NULL, take_recording, &d), 0);
	settle(t.rt);
	steps = steps_of(t.rt);
	assert_int_equal(vt_runtime_write_recording(t.rt, UINT64_MAX), 0);
	close_three(&t);
	pthread_join(taker, NULL);
	close(p[0]);
	assert_true(steps_in(d.to, NULL) >= steps);
	close(d.to);
}

/* ---- a policy that does everything ------------------------------------------------------------ */

/* Blocks that are told to end before the layers that they have not begun could. Under the runtime's lock. */
static uint32_t too_soon;

static void check_ends(const struct vt_view *v)
{
	for (uint32_t i = 0; i < v->n_blocks; i++) {
		const struct vt_block *b = &v->blocks[i];
		const struct vt_plan *p = v->models[b->model].plan;

		if (b->layer_now + 1u < b->layer_end)
			too_soon +=
				b->end_ns <
				v->now_ns +
					vt_plan_ns(p, VT_PLAN_SOLO, b->level,
						   vt_plan_point(p, vt_coreset_count(&b->cores)),
						   b->layer_now + 1u, b->layer_end);
	}
}

/* No state but the view: it replays. Grows, shrinks and preempts at every turn it can. */
static void chaos_decide(void *state, const struct vt_view *v, struct vt_decision *ret)
{
	struct vt_turn t;

	check_ends(v);
	vt_turn_begin(&t, v, ret, 0);
	for (uint32_t b = 0; b < t.n_blocks; b++) {
		uint64_t dice = (v->now_ns / 1000 + v->blocks[b].id) % 7;
		/* Other code for the layers to come each time, whatever the level. */
		const struct vt_regrant g = {.block = b,
					     .cores = 1,
					     .wanted = 2,
					     .code = VT_PLAN_ADAPTIVE,
					     .level = (uint8_t)(v->now_ns / 7000 % VT_LEVELS)};

		if (dice < 2 && t.n_free)
			vt_turn_grow(&t, &g);
		else if (dice < 4)
			vt_turn_shrink(&t, &g);
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

		/* Layers take longer than they were thought to. */
		open_three(&t, &o, 1000, 10000000000ull, 2);
		drive(&t, &l, i ? 60 : 1000);
		settle(t.rt);
		assert_int_equal(too_soon, 0);
		assert_int_equal(atomic_load(&l.wrong), 0);
		assert_int_equal(atomic_load(&l.how[VT_DONE]), i ? 60 : 1000);
		vt_runtime_stats(t.rt, s);
		/* Too late now and then: blocks end while the policy thinks. */
		assert_true(s->late_actions * 2 <
			    s->loop.grows + s->loop.shrinks + s->loop.preempts + s->loop.starts);
		if (!i)
			assert_true(s->loop.grows && s->loop.shrinks && s->loop.preempts);
		close_three(&t);
		replay_fd(fd, &odd[i], s->loop.steps);
		free(s);
	}
}

/* ---- blocks as they are told ------------------------------------------------------------------- */

struct told {
	_Atomic uint64_t layers, blocks, bad;
	/* of the only request under way */
	const struct vt_headway *headway;
	uint32_t n_layers;
};

/* Of layers that take the same time each, up to rounding. */
static uint32_t layers_ppm(uint64_t layers, uint32_t of)
{
	return (uint32_t)(layers * VT_PPM / of);
}

static void note_block(void *arg, const struct vt_block_event *b)
{
	struct told *t = arg;
	uint32_t from, to, begin, end;

	atomic_fetch_add(&t->blocks, 1);
	atomic_fetch_add(&t->layers, (uint64_t)(b->layer_end - b->layer_begin));
	if (b->end_ns < b->start_ns || vt_coreset_empty(&b->cores) ||
	    b->layer_end <= b->layer_begin)
		atomic_fetch_add(&t->bad, 1);
	/* It knows where the block began, and where it should have ended: stopped, as its core was taken, it ends before. */
	from = vt_headway_ppm(t->headway, 0);
	to = vt_headway_ppm(t->headway, UINT64_MAX);
	begin = layers_ppm(b->layer_begin, t->n_layers);
	end = layers_ppm(b->layer_end, t->n_layers);
	if (from > begin + 1 || from + 1 < begin || to + 1 < end || to > VT_PPM)
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

		told.headway = &r.q.headway;
		told.n_layers = (uint32_t)t.f[i % 3].n_steps;
		fx_submit(t.rt, &r, &t.f[i % 3], &l, i);
		fx_wait(&l, i + 1);
		settle(t.rt); /* its last block is told after it was answered */
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
		cmocka_unit_test(test_models_come_and_go_under_load),
		cmocka_unit_test(test_policies_and_times_change_under_load_and_it_replays),
		cmocka_unit_test(test_a_recording_is_written_when_asked),
		cmocka_unit_test(test_a_slow_disk_holds_nobody_up),
		cmocka_unit_test(test_every_action_and_the_timer),
		cmocka_unit_test(test_blocks_are_told),
	};

	return cmocka_run_group_tests(tests, fx_setup, fx_teardown);
}
