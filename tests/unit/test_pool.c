// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/pool_int.h"

/* ---- a block whose result is known: sum of i over [0, n), many jobs after each other ----------
 */

struct sum_block {
	struct vt_work block;
	int jobs;
	size_t n;
	_Atomic uint64_t sum;
	unsigned int watched;	       /* a core */
	_Atomic int begun, by_watched; /* chunks: of all cores; of this one */
	_Atomic int
		slow_us; /* per chunk, and each waits for the first of the core that is watched */
	uint64_t give_up_mono_ns; /* but not for ever */
	_Atomic int over;
};

#define GIVE_UP_NS (20 * VT_NS_PER_S)

static void sum_task(void *ctx, size_t i, size_t count)
{
	struct sum_block *s = ctx;
	uint64_t sum = 0;

	for (size_t k = i; k < i + count; k++)
		sum += k;
	atomic_fetch_add_explicit(&s->sum, sum, memory_order_relaxed);
	atomic_fetch_add(&s->by_watched, (unsigned int)sched_getcpu() == s->watched);
	atomic_fetch_add(&s->begun, 1);
	if (atomic_load(&s->slow_us))
		do
			vt_sleep_until_mono_ns(vt_now_mono_ns() +
					       (uint64_t)atomic_load(&s->slow_us) * 1000);
		while (!atomic_load(&s->by_watched) && vt_now_mono_ns() < s->give_up_mono_ns);
}

static void sum_run(struct vt_work *b, struct pthreadpool *gang)
{
	struct sum_block *s = (struct sum_block *)b;

	for (int j = 0; j < s->jobs; j++)
		pthreadpool_parallelize_1d_tile_1d(gang, sum_task, s, s->n, 3, 0);
}

static void sum_done(struct vt_work *b)
{
	atomic_store(&((struct sum_block *)b)->over, 1);
}

static uint64_t expected(const struct sum_block *s)
{
	return (uint64_t)s->jobs * (s->n * (s->n - 1) / 2);
}

/* Two cores that exist, or a skip. */
static struct vt_pool *open_pool(struct vt_cpuset *cores, unsigned int want)
{
	struct vt_cpuset allowed;
	struct vt_pool *p = NULL;
	struct vt_err e = {0};
	int c = -1;

	*cores = (struct vt_cpuset){0};
	vt_cpuset_allowed(&allowed);
	while (vt_cpuset_count(cores) < want &&
	       (c = vt_cpuset_next(&allowed, (unsigned int)(c + 1))) >= 0)
		vt_cpuset_add(cores, (unsigned int)c);
	if (vt_cpuset_count(cores) < want)
		return NULL;
	assert_int_equal(vt_pool_open(&p, cores, &e), 0);
	return p;
}

static void test_many_jobs_on_any_grant(void **state)
{
	struct vt_cpuset cores, one = {0};
	struct vt_pool *p = open_pool(&cores, 2);

	if (!p)
		vt_skip("needs two cores");
	vt_cpuset_add(&one, (unsigned int)vt_cpuset_next(&cores, 0));
	for (int round = 0; round < 200; round++) {
		struct sum_block s = {
			.block = {.run = sum_run}, .jobs = 20, .n = (size_t)(1 + round * 7)};

		assert_int_equal(vt_pool_run(p, &s.block, round % 2 ? &cores : &one), 0);
		assert_int_equal(atomic_load(&s.sum), expected(&s));
		assert_true(s.block.end_mono_ns >= s.block.start_mono_ns);
	}
	vt_pool_close(p);
}

static void test_two_blocks_at_once(void **state)
{
	struct vt_cpuset cores, a = {0}, b = {0};
	struct vt_pool *p = open_pool(&cores, 2);
	int first;

	if (!p)
		vt_skip("needs two cores");
	first = vt_cpuset_next(&cores, 0);
	vt_cpuset_add(&a, (unsigned int)first);
	vt_cpuset_add(&b, (unsigned int)vt_cpuset_next(&cores, (unsigned int)first + 1));
	for (int round = 0; round < 50; round++) {
		struct sum_block x = {
			.block = {.run = sum_run, .done = sum_done}, .jobs = 10, .n = 1000};
		struct sum_block y = {
			.block = {.run = sum_run, .done = sum_done}, .jobs = 10, .n = 2000};

		assert_int_equal(vt_pool_start(p, &x.block, &a), 0);
		assert_int_equal(vt_pool_start(p, &y.block, &b), 0);
		while (!atomic_load(&x.over) || !atomic_load(&y.over))
			sched_yield();
		assert_int_equal(atomic_load(&x.sum), expected(&x));
		assert_int_equal(atomic_load(&y.sum), expected(&y));
	}
	vt_pool_close(p);
}

/*
 * Each chunk sleeps, and the first until the core that joins has one: it surely finds the job open. Once it has left it may begin one more
 * chunk, as it may have looked just before; if it stayed, it would run about half of the rest.
 */
static void test_core_joins_and_leaves_a_running_job(void **state)
{
	struct vt_cpuset cores, one = {0};
	struct vt_pool *p = open_pool(&cores, 2);
	struct sum_block s = {.block = {.run = sum_run, .done = sum_done}, .jobs = 2, .n = 3 * 8};
	unsigned int first;
	int when_it_left;

	if (!p)
		vt_skip("needs two cores");
	first = (unsigned int)vt_cpuset_next(&cores, 0);
	s.watched = (unsigned int)vt_cpuset_next(&cores, first + 1);
	vt_cpuset_add(&one, first);
	atomic_store(&s.slow_us, 10000);
	s.give_up_mono_ns = vt_now_mono_ns() + GIVE_UP_NS;
	assert_int_equal(vt_pool_start(p, &s.block, &one), 0);
	while (!atomic_load(&s.begun))
		sched_yield();
	assert_int_equal(atomic_load(&s.by_watched), 0);
	assert_int_equal(vt_pool_join(p, first, s.watched), 0);
	while (!atomic_load(&s.by_watched) && !atomic_load(&s.over))
		sched_yield();
	assert_int_equal(vt_pool_leave(p, s.watched), 0);
	when_it_left = atomic_load(&s.by_watched);
	assert_true(when_it_left > 0);
	while (!atomic_load(&s.over))
		sched_yield();
	assert_int_equal(atomic_load(&s.begun), 2 * 8);
	assert_in_range(atomic_load(&s.by_watched), when_it_left, when_it_left + 1);
	assert_int_equal(atomic_load(&s.sum), expected(&s));
	vt_pool_close(p);
}

/* A block that starts itself again from its done callback, as the live plant does. */
struct again_block {
	struct sum_block s;
	struct vt_cpuset grant;
	int left;
	_Atomic int over;
};

static void again_done(struct vt_work *b)
{
	struct again_block *a = (struct again_block *)b;

	if (--a->left)
		assert_int_equal(vt_pool_start(b->pool, b, &a->grant), 0);
	else
		atomic_store(&a->over, 1);
}

static void test_done_may_start_the_next_block(void **state)
{
	struct again_block a = {
		.s = {.block = {.run = sum_run, .done = again_done}, .jobs = 3, .n = 100},
		.left = 500};
	struct vt_pool *p = open_pool(&a.grant, 2);

	if (!p)
		vt_skip("needs two cores");
	assert_int_equal(vt_pool_start(p, &a.s.block, &a.grant), 0);
	while (!atomic_load(&a.over))
		sched_yield();
	assert_int_equal(atomic_load(&a.s.sum), 500 * expected(&a.s));
	vt_pool_close(p);
}

static void test_sleeping_workers_wake(void **state)
{
	struct vt_cpuset cores;
	struct vt_pool *p = open_pool(&cores, 2);

	if (!p)
		vt_skip("needs two cores");
	for (int round = 0; round < 20; round++) {
		struct sum_block s = {.block = {.run = sum_run}, .jobs = 2, .n = 100};

		vt_sleep_until_mono_ns(vt_now_mono_ns() + 4 * VT_POOL_SPIN_NS);
		assert_int_equal(vt_pool_run(p, &s.block, &cores), 0);
		assert_int_equal(atomic_load(&s.sum), expected(&s));
	}
	vt_pool_close(p);
}

/* Both times are there, the pool goes on working; one core alone has nobody to wake. */
static void test_what_waking_costs(void **state)
{
	struct sum_block s = {.block = {.run = sum_run}, .jobs = 2, .n = 100};
	uint64_t wake_ns = 0, call_ns = 0;
	struct vt_cpuset cores;
	struct vt_pool *p = open_pool(&cores, 1);

	assert_non_null(p);
	assert_int_equal(vt_pool_wake_cost(p, &wake_ns, &call_ns), -ENODATA);
	assert_true(!wake_ns && !call_ns);
	vt_pool_close(p);
	p = open_pool(&cores, 2);
	if (!p)
		vt_skip("needs two cores");
	assert_int_equal(vt_pool_wake_cost(p, &wake_ns, &call_ns), 0);
	assert_true(wake_ns > 0 && call_ns > 0);
	assert_int_equal(vt_pool_run(p, &s.block, &cores), 0);
	assert_int_equal(atomic_load(&s.sum), expected(&s));
	vt_pool_close(p);
}

/* As many cores as there may be, a byte each. */
static int note_core(void *arg, unsigned int core)
{
	((unsigned char *)arg)[core] = 1;
	assert_int_equal(sched_getcpu(), core);
	return 0;
}

static int fail_on_call(void *arg, unsigned int core)
{
	return -ENOMEM;
}

static void test_each_worker_sits_on_its_core(void **state)
{
	struct vt_cpuset cores;
	struct vt_pool *p = open_pool(&cores, 1);
	unsigned char seen[VT_MAX_CORES] = {0};

	assert_non_null(p);
	assert_int_equal(vt_pool_each(p, note_core, seen), 0);
	for (unsigned int c = 0; c < VT_MAX_CORES; c++)
		assert_int_equal(seen[c], vt_cpuset_has(&cores, c));
	assert_int_equal(vt_pool_each(p, fail_on_call, NULL), -ENOMEM);
	assert_int_equal(vt_pool_reserve(p, 1 << 20), 0);
	vt_pool_close(p);
}

/* ---- whose share --------------------------------------------------------------------------- */

struct share_block {
	struct vt_work block;
	struct vt_pool *pool;
	unsigned int leader, other;
	int rejoins;		  /* of a leader that begins alone */
	_Atomic int helped_first; /* chunk, of the job that is open; -1: none yet */
	int wrong;
};

#define SHARE_CHUNKS 16
#define SHARE_JOBS   2000

static void share_task(void *ctx, size_t i)
{
	struct share_block *s = ctx;
	int none = -1;

	if ((unsigned int)sched_getcpu() != s->leader) {
		atomic_compare_exchange_strong(&s->helped_first, &none, (int)i);
		return;
	}
	/* The leader cannot run out of its own share before the helper has begun. */
	while (atomic_load(&s->helped_first) < 0)
		sched_yield();
}

static void share_run(struct vt_work *b, struct pthreadpool *gang)
{
	struct share_block *s = (struct share_block *)b;

	for (int j = 0; j < s->rejoins; j++) {
		assert_int_equal(vt_pool_join(s->pool, s->leader, s->other), 0);
		gang->cores = 2;
		if (j < s->rejoins - 1)
			assert_int_equal(vt_pool_leave(s->pool, s->other), 0);
	}
	for (int j = 0; j < SHARE_JOBS; j++) {
		atomic_store(&s->helped_first, -1);
		pthreadpool_parallelize_1d(gang, share_task, s, SHARE_CHUNKS, 0);
		s->wrong += atomic_load(&s->helped_first) < SHARE_CHUNKS / 2;
	}
}

static void share_done(struct vt_work *b)
{
}

static void test_a_helper_begins_with_its_own_share(void **state)
{
	struct share_block s = {.block = {.run = share_run, .done = share_done}};
	struct vt_cpuset cores, alone = {0};
	struct vt_pool *p = open_pool(&cores, 2);

	if (!p)
		vt_skip("needs two cores");
	s.leader = (unsigned int)vt_cpuset_next(&cores, 0);
	assert_int_equal(vt_pool_run(p, &s.block, &cores), 0);
	assert_int_equal(s.wrong, 0);
	/* Nor does it matter how often it came and went. */
	s.pool = p;
	s.other = (unsigned int)vt_cpuset_next(&cores, s.leader + 1);
	vt_cpuset_add(&alone, s.leader);
	for (s.rejoins = 1; s.rejoins <= 4; s.rejoins++)
		assert_int_equal(vt_pool_run(p, &s.block, &alone), 0);
	assert_int_equal(s.wrong, 0);
	vt_pool_close(p);
}

/* Of a gang of five, by hand: each helper has a share of its own again when some have left and others come. */
static void test_who_joins_takes_a_share_that_is_free(void **state)
{
	static const struct {
		bool join;
		unsigned int core;
		uint32_t rank;
	} steps[] = {
		{true, 1, 1},  {true, 2, 2},  {true, 3, 3}, {false, 1, 0}, {true, 4, 1},
		{false, 2, 0}, {false, 3, 0}, {true, 1, 2}, {true, 3, 3},  {true, 3, 3},
		{false, 4, 0}, {true, 2, 1},  {true, 4, 4},
	};
	struct vt_pool *p = calloc(1, sizeof(*p));
	struct vt_cpuset later = {{0}};

	assert_non_null(p);
	for (unsigned int c = 0; c < 5; c++) {
		struct worker *w = aligned_alloc(CACHE_LINE, sizeof(*w));

		assert_non_null(w);
		memset(w, 0, sizeof(*w));
		w->pool = p;
		w->core = c;
		atomic_store(&w->helps, NOBODY);
		atomic_store(&w->sleeps_at, NOBODY);
		p->worker[c] = w;
		vt_cpuset_add(&p->cores, c);
	}
	for (size_t i = 0; i < VT_COUNT(steps); i++) {
		if (!steps[i].join) {
			assert_int_equal(vt_pool_leave_later(p, steps[i].core, &later), 0);
			continue;
		}
		assert_int_equal(vt_pool_join_later(p, 0, steps[i].core, &later), 0);
		assert_int_equal(atomic_load(&p->worker[steps[i].core]->rank), steps[i].rank);
	}
	for (unsigned int c = 0; c < 5; c++)
		free(p->worker[c]);
	free(p);
}

/* ---- a call while others work -------------------------------------------------------------- */

/* Work that goes on until its helper has answered a call; in vain, for GIVE_UP_NS. */
struct call_block {
	struct vt_work block;
	unsigned int leader;
	bool busy; /* opens jobs meanwhile, else leaves its helper to sleep */
	_Atomic int helped, answered, over;	  /* by the helper; by it; and now it may end */
	int answered_before_the_end, helped_then; /* and went on helping */
};

static void call_task(void *ctx, size_t i)
{
	struct call_block *c = ctx;

	if ((unsigned int)sched_getcpu() != c->leader)
		atomic_store(&c->helped, 1);
}

/* True when a helper has come. */
static bool open_jobs_until_helped(struct call_block *c, struct pthreadpool *gang, uint64_t until)
{
	atomic_store(&c->helped, 0);
	while (!atomic_load(&c->helped) && vt_now_mono_ns() < until)
		pthreadpool_parallelize_1d(gang, call_task, c, 64, 0);
	return atomic_load(&c->helped);
}

static void call_run(struct vt_work *b, struct pthreadpool *gang)
{
	struct call_block *c = (struct call_block *)b;
	const uint64_t until = vt_now_mono_ns() + GIVE_UP_NS;

	open_jobs_until_helped(c, gang, until);
	while (!atomic_load(&c->answered) && vt_now_mono_ns() < until) {
		if (c->busy)
			pthreadpool_parallelize_1d(gang, call_task, c, 64, 0);
		else
			sched_yield();
	}
	c->answered_before_the_end = atomic_load(&c->answered);
	c->helped_then = open_jobs_until_helped(c, gang, vt_now_mono_ns() + GIVE_UP_NS);
}

static void call_done(struct vt_work *b)
{
	atomic_store(&((struct call_block *)b)->over, 1);
}

static int answer(void *arg, unsigned int core)
{
	struct call_block *c = arg;

	if (core != c->leader)
		atomic_store(&c->answered, 1);
	return 0;
}

/*
 * A leader that starts the next block from its done callback takes its helpers back before they have seen the end of
 * the last one: who answers calls only at the end of a block does not answer.
 */
static void test_a_helper_answers_amid_a_block(void **state)
{
	struct vt_cpuset cores;
	struct vt_pool *p = open_pool(&cores, 2);

	if (!p)
		vt_skip("needs two cores");
	for (int busy = 0; busy < 2; busy++) {
		struct call_block c = {.block = {.run = call_run, .done = call_done},
				       .leader = (unsigned int)vt_cpuset_next(&cores, 0),
				       .busy = busy};
		int other = vt_cpuset_next(&cores, c.leader + 1);

		assert_int_equal(vt_pool_start(p, &c.block, &cores), 0);
		while (!atomic_load(&c.helped))
			sched_yield();
		while (!busy && atomic_load(&p->worker[other]->sleeps_at) == NOBODY)
			sched_yield();
		assert_int_equal(vt_pool_each(p, answer, &c), 0);
		while (!atomic_load(&c.over))
			sched_yield();
		assert_true(c.answered_before_the_end);
		assert_true(c.helped_then);
	}
	vt_pool_close(p);
}

static void test_bad_grants(void **state)
{
	struct vt_cpuset cores, none = {0}, absent = {0};
	struct vt_pool *p = open_pool(&cores, 1), *q = NULL;
	struct sum_block s = {.block = {.run = sum_run}};
	struct vt_err e = {0};

	assert_non_null(p);
	vt_cpuset_add(&absent, 1023);
	assert_int_equal(vt_pool_run(p, &s.block, &none), -EINVAL);
	assert_int_equal(vt_pool_run(p, &s.block, &absent), -EINVAL);
	assert_int_equal(vt_pool_join(p, 0, 1023), -EINVAL);
	assert_int_equal(vt_pool_leave(p, 5000), -EINVAL);
	assert_int_equal(vt_pool_open(&q, &none, &e), -EINVAL);
	e = (struct vt_err){0};
	assert_int_equal(vt_pool_open(&q, &absent, &e), -EINVAL);
	assert_non_null(strstr(e.msg, "core 1023"));
	vt_pool_close(p);
	vt_pool_close(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_jobs_on_any_grant),
		cmocka_unit_test(test_two_blocks_at_once),
		cmocka_unit_test(test_core_joins_and_leaves_a_running_job),
		cmocka_unit_test(test_done_may_start_the_next_block),
		cmocka_unit_test(test_sleeping_workers_wake),
		cmocka_unit_test(test_what_waking_costs),
		cmocka_unit_test(test_each_worker_sits_on_its_core),
		cmocka_unit_test(test_a_helper_begins_with_its_own_share),
		cmocka_unit_test(test_who_joins_takes_a_share_that_is_free),
		cmocka_unit_test(test_a_helper_answers_amid_a_block),
		cmocka_unit_test(test_bad_grants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
