// SPDX-License-Identifier: Apache-2.0
/* pool.c - workers: what they are given, and their life. */
#include "exec/pool.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/pool_int.h"

/*
 * Tell a worker that work, helps, call or stop has changed. Pairs with wait_for_work(). A system
 * call if it sleeps: left to vt_pool_wake() where the caller gave a set.
 */
static void rouse(struct worker *w, struct vt_cpuset *later)
{
	atomic_fetch_add(&w->wake, 1);
	if (!atomic_load(&w->asleep))
		return;
	if (later)
		vt_cpuset_add(later, w->core);
	else
		pool_futex_wake(&w->wake, 1);
}

void vt_pool_wake(struct vt_pool *p, const struct vt_cpuset *later)
{
	for (int c = vt_cpuset_next(later, 0); c >= 0;
	     c = vt_cpuset_next(later, (unsigned int)c + 1)) {
		struct worker *w = p->worker[c];
		int at = atomic_load(&w->sleeps_at);

		if (at != NOBODY)
			pool_futex_wake(&p->worker[at]->opened, INT32_MAX);
		if (atomic_load(&w->asleep))
			pool_futex_wake(&w->wake, 1);
	}
}

/* ---- work --------------------------------------------------------------------------------- */

/* It may be asleep, waiting for its old leader's next job. Pairs with pool_be_helper(). */
static void set_helps(struct worker *w, int core, struct vt_cpuset *later)
{
	int was = atomic_exchange(&w->helps, core);
	struct worker *leader;

	rouse(w, later);
	if (was == NOBODY || was == core)
		return;
	leader = w->pool->worker[was];
	atomic_fetch_add(&leader->opened, 1);
	if (atomic_load(&w->sleeps_at) != NOBODY)
		vt_cpuset_add(later, w->core);
}

/* The end of a leader's work: whoever still helps it is free, unless told otherwise meanwhile. */
static void let_go(struct worker *leader)
{
	const struct vt_cpuset *all = &leader->pool->cores;
	bool any = false;

	for (int c = vt_cpuset_next(all, 0); c >= 0; c = vt_cpuset_next(all, (unsigned int)c + 1)) {
		struct worker *w = leader->pool->worker[c];
		int mine = (int)leader->core;

		if (atomic_load_explicit(&w->helps, memory_order_relaxed) == mine &&
		    atomic_compare_exchange_strong(&w->helps, &mine, NOBODY))
			any = true;
	}
	if (!any)
		return;
	atomic_fetch_add(&leader->opened, 1);
	if (atomic_load(&leader->sleepers))
		pool_futex_wake(&leader->opened, INT32_MAX);
}

static void lead(struct worker *w, struct vt_work *b)
{
	if (w->avail.taken)
		pool_skip(w);
	b->start_mono_ns = vt_now_mono_ns();
	b->run(b, &w->gang);
	b->end_mono_ns = vt_now_mono_ns();
	atomic_fetch_add_explicit(&w->busy_ns, b->end_mono_ns - b->start_mono_ns,
				  memory_order_relaxed);
	let_go(w);
	w->gang.cores = 1;
	pool_avail_note(w, b->end_mono_ns, false);
	b->done(b);
}

static void answer_call(struct worker *w)
{
	struct vt_pool *p = w->pool;
	int err = p->each_fn(p->each_arg, w->core), none = 0;

	if (err)
		atomic_compare_exchange_strong(&p->each_err, &none, err);
	if (atomic_fetch_sub(&p->each_left, 1) == 1)
		pool_futex_wake(&p->each_left, 1);
}

/* How long the keeper of the timer may sleep; 0: for ever, or until the timer is set. */
static uint64_t sleep_ns(struct worker *w)
{
	const struct vt_pool_timer *t = atomic_load(&w->pool->timer);
	uint64_t due, now;

	if (!t || (int)w->core != vt_cpuset_next(&w->pool->cores, 0))
		return 0;
	due = t->due_mono_ns(t->arg);
	now = vt_now_mono_ns();
	return !due ? 0 : due > now ? due - now : 1;
}

static void ring(struct worker *w)
{
	const struct vt_pool_timer *t = atomic_load(&w->pool->timer);
	uint64_t due = t && (int)w->core == vt_cpuset_next(&w->pool->cores, 0)
			       ? t->due_mono_ns(t->arg)
			       : 0;

	if (due && vt_now_mono_ns() >= due)
		t->ring(t->arg);
}

static bool has_something(struct worker *w)
{
	return atomic_load_explicit(&w->work, memory_order_acquire) ||
	       atomic_load(&w->helps) != NOBODY || atomic_load(&w->call) || atomic_load(&w->stop);
}

/* Until the timer rings, or the core is to be tried; 0: for ever. */
static uint64_t idle_ns(struct worker *w)
{
	uint64_t timer = sleep_ns(w), in = vt_avail_try_in(&w->avail, vt_now_mono_ns());

	if (in == UINT64_MAX || (timer && timer < in))
		return timer;
	return in ? in : 1;
}

/* Nobody tells an idle worker whether its core is its own again: it wants it for a while, and sees what it gets. */
static void try_core(struct worker *w)
{
	uint64_t now = vt_now_mono_ns(), until = now + VT_AVAIL_TRY_NS;

	if (vt_avail_try_in(&w->avail, now))
		return;
	pool_try_begin(w, now);
	while (now < until) {
		for (unsigned int i = 0; i < 64; i++)
			vt_relax();
		if (has_something(w))
			return;
		now = vt_now_mono_ns();
	}
	pool_avail_note(w, now, true);
	w->try_end_mono_ns = 0;
}

static void wait_for_work(struct worker *w)
{
	uint32_t seen = atomic_load(&w->wake);
	uint64_t until = 0, timeout;
	unsigned int turns = 0;

	while (!has_something(w)) {
		if (!pool_spin_over(&turns, &until))
			continue;
		/* Sleep, unless something has changed since seen; pairs with rouse(). */
		atomic_store(&w->asleep, 1);
		timeout = idle_ns(w);
		pool_off(w);
		if (atomic_load(&w->wake) == seen)
			pool_futex_wait(&w->wake, seen, timeout);
		pool_on(w);
		atomic_store(&w->asleep, 0);
		if (timeout) {
			ring(w);
			try_core(w);
		}
		seen = atomic_load(&w->wake);
		turns = 0;
		until = 0;
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct vt_work *b;
	int core;

	pool_avail_begin(w);
	while (!atomic_load(&w->stop)) {
		wait_for_work(w);
		if (atomic_exchange(&w->call, 0))
			answer_call(w);
		b = atomic_exchange(&w->work, NULL);
		if (b)
			lead(w, b);
		core = atomic_load(&w->helps);
		if (core != NOBODY)
			pool_be_helper(w, core);
	}
	vt_scratch_release();
	pool_avail_end(w);
	return NULL;
}

int vt_pool_start_later(struct vt_pool *p, struct vt_work *b, unsigned int leader,
			const struct vt_cpuset *grant, struct vt_cpuset *later)
{
	uint32_t rank = 1;
	struct worker *l;

	for (int c = vt_cpuset_next(grant, 0); c >= 0;
	     c = vt_cpuset_next(grant, (unsigned int)c + 1))
		if (!p->worker[c])
			return -EINVAL;
	if (!vt_cpuset_has(grant, leader))
		return -EINVAL;
	l = p->worker[leader];
	b->pool = p;
	b->leader = leader;
	l->gang.cores = vt_cpuset_count(grant);
	for (int c = vt_cpuset_next(grant, 0); c >= 0;
	     c = vt_cpuset_next(grant, (unsigned int)c + 1)) {
		if ((unsigned int)c == leader)
			continue;
		atomic_store_explicit(&p->worker[c]->rank, rank++, memory_order_relaxed);
		set_helps(p->worker[c], (int)leader, later);
	}
	atomic_store_explicit(&l->work, b, memory_order_release);
	rouse(l, later);
	return 0;
}

/* The same at once. */
int vt_pool_start(struct vt_pool *p, struct vt_work *b, const struct vt_cpuset *grant)
{
	int first = vt_cpuset_next(grant, 0), err;
	struct vt_cpuset asleep = {{0}};

	if (first < 0)
		return -EINVAL;
	err = vt_pool_start_later(p, b, (unsigned int)first, grant, &asleep);
	vt_pool_wake(p, &asleep);
	return err;
}

/* The lowest that no other helper of @leader has: who left may have had one below those that stay. */
static uint32_t free_rank(const struct vt_pool *p, unsigned int leader, unsigned int core)
{
	struct vt_cpuset used = {{1}}; /* the leader's own */
	uint32_t rank = 0;

	for (int c = vt_cpuset_next(&p->cores, 0); c >= 0;
	     c = vt_cpuset_next(&p->cores, (unsigned int)c + 1)) {
		struct worker *w = p->worker[c];

		if (c != (int)core &&
		    atomic_load_explicit(&w->helps, memory_order_relaxed) == (int)leader)
			vt_cpuset_add(&used, atomic_load_explicit(&w->rank, memory_order_relaxed));
	}
	while (vt_cpuset_has(&used, rank))
		rank++;
	return rank;
}

int vt_pool_join_later(struct vt_pool *p, unsigned int leader, unsigned int core,
		       struct vt_cpuset *later)
{
	if (leader >= VT_MAX_CORES || core >= VT_MAX_CORES || leader == core ||
	    !p->worker[leader] || !p->worker[core])
		return -EINVAL;
	atomic_store_explicit(&p->worker[core]->rank, free_rank(p, leader, core),
			      memory_order_relaxed);
	set_helps(p->worker[core], (int)leader, later);
	return 0;
}

int vt_pool_join(struct vt_pool *p, unsigned int leader, unsigned int core)
{
	struct vt_cpuset asleep = {{0}};
	int err = vt_pool_join_later(p, leader, core, &asleep);

	vt_pool_wake(p, &asleep);
	return err;
}

int vt_pool_leave_later(struct vt_pool *p, unsigned int core, struct vt_cpuset *later)
{
	if (core >= VT_MAX_CORES || !p->worker[core])
		return -EINVAL;
	set_helps(p->worker[core], NOBODY, later);
	return 0;
}

int vt_pool_leave(struct vt_pool *p, unsigned int core)
{
	struct vt_cpuset asleep = {{0}};
	int err = vt_pool_leave_later(p, core, &asleep);

	vt_pool_wake(p, &asleep);
	return err;
}

void vt_pool_keep_timer(struct vt_pool *p, const struct vt_pool_timer *t)
{
	p->kept = *t;
	atomic_store(&p->timer, &p->kept);
}

void vt_pool_timer_changed(struct vt_pool *p, struct vt_cpuset *later)
{
	rouse(p->worker[vt_cpuset_next(&p->cores, 0)], later);
}

/* ---- from outside ------------------------------------------------------------------------- */

/* Work that wraps the user's and lives on the waiting thread's stack. */
struct waited_work {
	struct vt_work work; /* first */
	struct vt_work *user;
	_Atomic uint32_t over;
};

static void waited_run(struct vt_work *b, struct pthreadpool *gang)
{
	struct vt_work *user = ((struct waited_work *)b)->user;

	user->run(user, gang);
}

static void waited_done(struct vt_work *b)
{
	struct waited_work *w = (struct waited_work *)b;

	w->user->start_mono_ns = b->start_mono_ns;
	w->user->end_mono_ns = b->end_mono_ns;
	/* The waiter's stack may go as soon as over is set: wake through the address only. */
	atomic_store(&w->over, 1);
	pool_futex_wake(&w->over, 1);
}

int vt_pool_run(struct vt_pool *p, struct vt_work *b, const struct vt_cpuset *grant)
{
	struct waited_work w = {.work = {.run = waited_run, .done = waited_done}, .user = b};
	int err = vt_pool_start(p, &w.work, grant);

	if (err)
		return err;
	while (!atomic_load(&w.over))
		pool_futex_wait(&w.over, 0, 0);
	b->pool = p;
	b->leader = w.work.leader;
	return 0;
}

/* It may be asleep, waiting for its leader's next job. Pairs with pool_be_helper(). */
static void call(struct worker *w)
{
	struct worker *leader;
	int at;

	atomic_store(&w->call, 1);
	rouse(w, NULL);
	at = atomic_load(&w->sleeps_at);
	if (at == NOBODY)
		return;
	leader = w->pool->worker[at];
	atomic_fetch_add(&leader->opened, 1);
	pool_futex_wake(&leader->opened, INT32_MAX);
}

int vt_pool_each(struct vt_pool *p, int (*fn)(void *arg, unsigned int core), void *arg)
{
	uint32_t left;

	p->each_fn = fn;
	p->each_arg = arg;
	atomic_store(&p->each_err, 0);
	atomic_store(&p->each_left, vt_cpuset_count(&p->cores));
	for (int c = vt_cpuset_next(&p->cores, 0); c >= 0;
	     c = vt_cpuset_next(&p->cores, (unsigned int)c + 1))
		call(p->worker[c]);
	while ((left = atomic_load(&p->each_left)))
		pool_futex_wait(&p->each_left, left, 0);
	return atomic_load(&p->each_err);
}

static int reserve_scratch(void *arg, unsigned int core)
{
	return vt_scratch_reserve(*(size_t *)arg);
}

int vt_pool_reserve(struct vt_pool *p, size_t bytes)
{
	return vt_pool_each(p, reserve_scratch, &bytes);
}

const struct vt_cpuset *vt_pool_cores(const struct vt_pool *p)
{
	return &p->cores;
}

uint64_t vt_pool_busy_ns(const struct vt_pool *p, unsigned int core)
{
	return core < VT_MAX_CORES && p->worker[core] ? atomic_load(&p->worker[core]->busy_ns) : 0;
}

/* ---- life --------------------------------------------------------------------------------- */

void vt_pool_close(struct vt_pool *p)
{
	if (!p)
		return;
	for (unsigned int c = 0; c < VT_MAX_CORES; c++) {
		struct worker *w = p->worker[c];

		if (!w)
			continue;
		atomic_store(&w->stop, 1);
		rouse(w, NULL);
		if (w->started)
			pthread_join(w->thread, NULL);
	}
	for (unsigned int c = 0; c < VT_MAX_CORES; c++)
		free(p->worker[c]);
	free(p);
}

static int start_worker(struct worker *w)
{
	pthread_attr_t attr;
	cpu_set_t set;
	char name[16];
	int err;

	CPU_ZERO(&set);
	CPU_SET(w->core, &set);
	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	err = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (!err)
		err = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	if (err)
		return -err;
	w->started = true;
	snprintf(name, sizeof(name), "vt-worker-%u", w->core);
	pthread_setname_np(w->thread, name);
	return 0;
}

int vt_pool_open(struct vt_pool **ret, const struct vt_cpuset *cores, struct vt_err *e)
{
	struct vt_pool *p = calloc(1, sizeof(*p));
	struct vt_cpuset allowed;
	int err;

	if (!p)
		return vt_fail(e, -ENOMEM, "no memory for the workers");
	p->cores = *cores;
	pool_avail_find(p);
	err = vt_cpuset_allowed(&allowed);
	if (err)
		vt_fail(e, err, "cannot read the cores this process may use: %s", strerror(-err));
	else if (!vt_cpuset_count(cores))
		err = vt_fail(e, -EINVAL, "no cores given");
	for (int c = vt_cpuset_next(cores, 0); c >= 0 && !err;
	     c = vt_cpuset_next(cores, (unsigned int)c + 1)) {
		struct worker *w;

		if (!vt_cpuset_has(&allowed, (unsigned int)c)) {
			err = vt_fail(e, -EINVAL,
				      "core %d does not exist or may not be used by this process",
				      c);
			break;
		}
		w = aligned_alloc(CACHE_LINE, sizeof(*w));
		if (!w) {
			err = vt_fail(e, -ENOMEM, "no memory for the workers");
			break;
		}
		memset(w, 0, sizeof(*w));
		w->gang =
			(struct pthreadpool){.run = pool_lead_job, .cores = 1, .report_threads = 1};
		w->pool = p;
		w->core = (unsigned int)c;
		atomic_store(&w->helps, NOBODY);
		atomic_store(&w->sleeps_at, NOBODY);
		p->worker[c] = w;
		err = start_worker(w);
		if (err)
			vt_fail(e, err, "cannot start the worker of core %d: %s", c,
				strerror(-err));
	}
	if (err) {
		vt_pool_close(p);
		return err;
	}
	*ret = p;
	return 0;
}
