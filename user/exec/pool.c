// SPDX-License-Identifier: Apache-2.0
#include "exec/pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

#define CACHE_LINE 64
#define NOBODY	   (-1)
#define MAX_SHARES 64

/* The open job of a leader: sequence number above, chunks left to claim below. */
#define TICKET(seq, left) ((uint64_t)(seq) << 32 | (left))
#define LEFT(ticket)	  ((uint32_t)(ticket))

struct worker {
	struct pthreadpool gang; /* first: gang.run gets the worker back from it */

	/* Written by the leader, read by helpers. One ticket per share of the open job's chunks. */
	struct {
		_Alignas(CACHE_LINE) _Atomic uint64_t v;
	} ticket[MAX_SHARES];
	_Alignas(CACHE_LINE) _Atomic uint32_t shares; /* in use */
	const struct vt_job
		*_Atomic job; /* published before ticket, valid while a claimed chunk is not done */
	uint32_t seq;	      /* leader only */
	_Alignas(CACHE_LINE) _Atomic uint32_t done; /* chunks finished of the open job */
	_Atomic uint32_t sleepers;		    /* helpers asleep on opened */
	_Atomic uint32_t opened;		    /* futex: counts jobs opened */

	/* Written by whoever gives the worker something to do. */
	_Alignas(CACHE_LINE) _Atomic uint32_t wake; /* futex: counts changes of what follows */
	_Atomic uint32_t asleep;
	struct vt_work *_Atomic work; /* to lead */
	_Atomic int helps;	      /* core whose worker it helps, or NOBODY */
	_Atomic int call;	      /* vt_pool_each() wants this worker */
	_Atomic int stop;
	_Atomic uint32_t rank; /* which share of its leader's jobs it starts with */

	/* The worker's own. */
	_Alignas(CACHE_LINE) _Atomic uint64_t busy_ns;
	struct vt_pool *pool;
	unsigned int core;
	pthread_t thread;
	bool started;
};

struct vt_pool {
	struct vt_cpuset cores;
	struct worker *worker[VT_MAX_CORES];
	/* Kept by the first worker. Workers run when it is set: they see all of it or nothing. */
	struct vt_pool_timer kept;
	const struct vt_pool_timer *_Atomic timer;

	/* vt_pool_each() */
	int (*each_fn)(void *arg, unsigned int core);
	void *each_arg;
	_Atomic int each_err;
	_Atomic uint32_t each_left;
};

/* ---- waiting ------------------------------------------------------------------------------ */

/* @timeout_ns: 0: none */
static void futex_wait(_Atomic uint32_t *at, uint32_t expected, uint64_t timeout_ns)
{
	struct timespec t = {.tv_sec = (time_t)(timeout_ns / VT_NS_PER_S),
			     .tv_nsec = (long)(timeout_ns % VT_NS_PER_S)};

	syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, expected, timeout_ns ? &t : NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *at, int n)
{
	syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static inline void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Spins look at the clock only now and then. */
static bool spin_over(unsigned int *turns, uint64_t *until_mono_ns)
{
	relax();
	if (++*turns % 64)
		return false;
	if (!*until_mono_ns)
		*until_mono_ns = vt_now_mono_ns() + VT_POOL_SPIN_NS;
	return vt_now_mono_ns() >= *until_mono_ns;
}

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
		futex_wake(&w->wake, 1);
}

void vt_pool_wake(struct vt_pool *p, const struct vt_cpuset *later)
{
	for (int c = vt_cpuset_next(later, 0); c >= 0;
	     c = vt_cpuset_next(later, (unsigned int)c + 1))
		futex_wake(&p->worker[c]->wake, 1);
}

/* ---- jobs --------------------------------------------------------------------------------- */

/*
 * A job's chunks are dealt out in shares, one per core of the grant, each a run of neighbours: the
 * core that wrote the upper half of an image reads the upper half. Who is through with its own
 * share helps with others.
 */
static uint32_t share_start(uint32_t n, uint32_t shares, uint32_t i)
{
	return (uint32_t)((uint64_t)n * i / shares);
}

/* Claim one chunk of share @i of @l's open job, if there is one left. */
static bool claim_of(struct worker *l, uint32_t i, uint32_t *chunk, const struct vt_job **job)
{
	uint64_t t = atomic_load_explicit(&l->ticket[i].v, memory_order_acquire);

	while (LEFT(t)) {
		if (!atomic_compare_exchange_weak_explicit(
			    &l->ticket[i].v, &t, t - 1, memory_order_acq_rel, memory_order_acquire))
			continue;
		/* Our chunk is not done, so this is still the job that the ticket spoke of. */
		*job = atomic_load_explicit(&l->job, memory_order_relaxed);
		*chunk = share_start((uint32_t)(*job)->n_chunks, (*job)->shares, i + 1) - LEFT(t);
		return true;
	}
	return false;
}

/* From one's own share while it has any, else from the share that was helped last, or the next. */
static bool claim(struct worker *l, uint32_t own, uint32_t *helped, uint32_t *chunk,
		  const struct vt_job **job)
{
	const uint32_t shares = atomic_load_explicit(&l->shares, memory_order_relaxed);

	if (!shares)
		return false;
	if (claim_of(l, own % shares, chunk, job))
		return true;
	for (uint32_t tried = 0; tried < shares; tried++, ++*helped)
		if (claim_of(l, *helped % shares, chunk, job))
			return true;
	return false;
}

/* Every share, then opened: who looks at opened first sees its own share whole. */
static void open_job(struct worker *w, struct vt_job *job)
{
	const uint32_t n = (uint32_t)job->n_chunks;

	w->seq++;
	atomic_store_explicit(&w->done, 0, memory_order_relaxed);
	atomic_store_explicit(&w->job, job, memory_order_relaxed);
	atomic_store_explicit(&w->shares, job->shares, memory_order_relaxed);
	for (uint32_t i = 0; i < job->shares; i++) /* pairs with claim_of() */
		atomic_store_explicit(&w->ticket[i].v,
				      TICKET(w->seq, share_start(n, job->shares, i + 1) -
							     share_start(n, job->shares, i)),
				      memory_order_release);
	atomic_fetch_add(&w->opened, 1);
	if (atomic_load(&w->sleepers))
		futex_wake(&w->opened, INT32_MAX);
}

/* The leader's side of one pthreadpool_parallelize_*() call. */
static void lead_job(struct pthreadpool *gang, const struct vt_job *const_job)
{
	struct worker *w = (struct worker *)gang;
	struct vt_job job = *const_job;
	const struct vt_job *mine;
	uint32_t chunk, helped = 1, left = (uint32_t)job.n_chunks;
	unsigned int turns = 0;

	job.shares = gang->cores < MAX_SHARES ? gang->cores : MAX_SHARES;
	open_job(w, &job);
	for (; claim(w, 0, &helped, &chunk, &mine); left--)
		vt_job_run_chunk(mine, chunk);
	/* Pairs with the release in help(): what helpers wrote is seen after this. */
	while (atomic_load_explicit(&w->done, memory_order_acquire) != left) {
		relax();
		if (++turns % 4096 == 0)
			sched_yield(); /* a helper may have lost its CPU to somebody else */
	}
}

/* Told once, at the end: until then the job cannot be over, and the line stays with its leader. */
static void help(struct worker *w, struct worker *leader)
{
	const struct vt_job *job;
	uint32_t chunk, done = 0, own = atomic_load_explicit(&w->rank, memory_order_relaxed);
	uint32_t helped = own + 1;

	while (atomic_load_explicit(&w->helps, memory_order_acquire) == (int)leader->core &&
	       claim(leader, own, &helped, &chunk, &job)) {
		vt_job_run_chunk(job, chunk);
		done++;
	}
	if (done)
		atomic_fetch_add_explicit(&leader->done, done, memory_order_release);
}

/* Stay with a leader until told otherwise. */
static void be_helper(struct worker *w, int core)
{
	struct worker *leader = w->pool->worker[core];
	uint32_t opened, seen = atomic_load(&leader->opened) - 1; /* the job that is open now */
	uint64_t until = 0, t0;
	unsigned int turns = 0;

	while (atomic_load_explicit(&w->helps, memory_order_acquire) == core) {
		opened = atomic_load(&leader->opened);
		if (opened != seen) {
			seen = opened;
			t0 = vt_now_mono_ns();
			help(w, leader);
			atomic_fetch_add_explicit(&w->busy_ns, vt_now_mono_ns() - t0,
						  memory_order_relaxed);
			turns = 0;
			until = 0;
			continue;
		}
		if (!spin_over(&turns, &until))
			continue;
		/* Sleep. The leader looks at sleepers after it counted opened, the kernel at opened
		 * after that. */
		atomic_fetch_add(&leader->sleepers, 1);
		if (atomic_load(&w->helps) == core)
			futex_wait(&leader->opened, seen, 0);
		atomic_fetch_sub(&leader->sleepers, 1);
		turns = 0;
		until = 0;
	}
}

/* ---- work --------------------------------------------------------------------------------- */

/* It may be asleep, waiting for its old leader's next job. Pairs with be_helper(). */
static void call_back(struct worker *leader)
{
	atomic_fetch_add(&leader->opened, 1);
	if (atomic_load(&leader->sleepers))
		futex_wake(&leader->opened, INT32_MAX);
}

static void set_helps(struct worker *w, int core, struct vt_cpuset *later)
{
	int was = atomic_exchange(&w->helps, core);

	rouse(w, later);
	if (was != NOBODY && was != core)
		call_back(w->pool->worker[was]);
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
	if (any)
		call_back(leader);
}

static void lead(struct worker *w, struct vt_work *b)
{
	b->start_mono_ns = vt_now_mono_ns();
	b->run(b, &w->gang);
	b->end_mono_ns = vt_now_mono_ns();
	atomic_fetch_add_explicit(&w->busy_ns, b->end_mono_ns - b->start_mono_ns,
				  memory_order_relaxed);
	let_go(w);
	w->gang.cores = 1;
	b->done(b);
}

static void answer_call(struct worker *w)
{
	struct vt_pool *p = w->pool;
	int err = p->each_fn(p->each_arg, w->core), none = 0;

	if (err)
		atomic_compare_exchange_strong(&p->each_err, &none, err);
	if (atomic_fetch_sub(&p->each_left, 1) == 1)
		futex_wake(&p->each_left, 1);
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
	uint64_t due = t->due_mono_ns(t->arg);

	if (due && vt_now_mono_ns() >= due)
		t->ring(t->arg);
}

static void wait_for_work(struct worker *w)
{
	uint32_t seen = atomic_load(&w->wake);
	uint64_t until = 0, timeout;
	unsigned int turns = 0;

	for (;;) {
		if (atomic_load_explicit(&w->work, memory_order_acquire) ||
		    atomic_load(&w->helps) != NOBODY || atomic_load(&w->call) ||
		    atomic_load(&w->stop))
			return;
		if (!spin_over(&turns, &until))
			continue;
		/* Sleep, unless something has changed since seen; pairs with rouse(). */
		atomic_store(&w->asleep, 1);
		timeout = sleep_ns(w);
		if (atomic_load(&w->wake) == seen)
			futex_wait(&w->wake, seen, timeout);
		atomic_store(&w->asleep, 0);
		if (timeout)
			ring(w);
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

	while (!atomic_load(&w->stop)) {
		wait_for_work(w);
		if (atomic_exchange(&w->call, 0))
			answer_call(w);
		b = atomic_exchange(&w->work, NULL);
		if (b)
			lead(w, b);
		core = atomic_load(&w->helps);
		if (core != NOBODY)
			be_helper(w, core);
	}
	vt_scratch_release();
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

int vt_pool_start(struct vt_pool *p, struct vt_work *b, const struct vt_cpuset *grant)
{
	int first = vt_cpuset_next(grant, 0);

	return first < 0 ? -EINVAL : vt_pool_start_later(p, b, (unsigned int)first, grant, NULL);
}

int vt_pool_join_later(struct vt_pool *p, unsigned int leader, unsigned int core,
		       struct vt_cpuset *later)
{
	uint32_t rank = 1;

	if (leader >= VT_MAX_CORES || core >= VT_MAX_CORES || leader == core ||
	    !p->worker[leader] || !p->worker[core])
		return -EINVAL;
	for (int c = vt_cpuset_next(&p->cores, 0); c >= 0;
	     c = vt_cpuset_next(&p->cores, (unsigned int)c + 1))
		rank += atomic_load_explicit(&p->worker[c]->helps, memory_order_relaxed) ==
			(int)leader;
	atomic_store_explicit(&p->worker[core]->rank, rank, memory_order_relaxed);
	set_helps(p->worker[core], (int)leader, later);
	return 0;
}

int vt_pool_join(struct vt_pool *p, unsigned int leader, unsigned int core)
{
	return vt_pool_join_later(p, leader, core, NULL);
}

int vt_pool_leave(struct vt_pool *p, unsigned int core)
{
	if (core >= VT_MAX_CORES || !p->worker[core])
		return -EINVAL;
	set_helps(p->worker[core], NOBODY, NULL);
	return 0;
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
	futex_wake(&w->over, 1);
}

int vt_pool_run(struct vt_pool *p, struct vt_work *b, const struct vt_cpuset *grant)
{
	struct waited_work w = {.work = {.run = waited_run, .done = waited_done}, .user = b};
	int err = vt_pool_start(p, &w.work, grant);

	if (err)
		return err;
	while (!atomic_load(&w.over))
		futex_wait(&w.over, 0, 0);
	b->pool = p;
	b->leader = w.work.leader;
	return 0;
}

int vt_pool_each(struct vt_pool *p, int (*fn)(void *arg, unsigned int core), void *arg)
{
	uint32_t left;

	p->each_fn = fn;
	p->each_arg = arg;
	atomic_store(&p->each_err, 0);
	atomic_store(&p->each_left, vt_cpuset_count(&p->cores));
	for (int c = vt_cpuset_next(&p->cores, 0); c >= 0;
	     c = vt_cpuset_next(&p->cores, (unsigned int)c + 1)) {
		atomic_store(&p->worker[c]->call, 1);
		rouse(p->worker[c], NULL);
	}
	while ((left = atomic_load(&p->each_left)))
		futex_wait(&p->each_left, left, 0);
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
	int err = 0;

	if (!p)
		return vt_fail(e, -ENOMEM, "no memory for the workers");
	p->cores = *cores;
	vt_cpuset_allowed(&allowed);
	if (!vt_cpuset_count(cores))
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
		w->gang = (struct pthreadpool){.run = lead_job, .cores = 1, .report_threads = 1};
		w->pool = p;
		w->core = (unsigned int)c;
		atomic_store(&w->helps, NOBODY);
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
