// SPDX-License-Identifier: Apache-2.0
/* pool_job.c - one job: dealing its chunks out, claiming them, helping. */
#include <limits.h>
#include <sched.h>

#include "exec/pool_int.h"

/*
 * A job's chunks are dealt out in shares, one per core of the grant and at most MAX_SHARES, each a
 * run of neighbours: the core that wrote the upper half of an image reads the upper half. Who is
 * through with its own share helps with others.
 */
static uint32_t share_start(uint32_t n, uint32_t shares, uint32_t i)
{
	return (uint32_t)((uint64_t)n * i / shares);
}

/*
 * Claim one chunk of share @i of @l's open job, if there is one left; @of: only of that ticket's job, NULL: of any.
 * Returns the ticket that it was claimed from, or one with none left, or of another job.
 */
static uint64_t claim_of(struct worker *l, uint32_t i, const uint64_t *of, uint32_t *chunk,
			 const struct vt_job **job)
{
	uint64_t t = atomic_load_explicit(&l->ticket[i].v, memory_order_acquire);

	while (LEFT(t) && (!of || SEQ(t) == SEQ(*of))) {
		if (!atomic_compare_exchange_weak_explicit(
			    &l->ticket[i].v, &t, t - 1, memory_order_acq_rel, memory_order_acquire))
			continue;
		/* Our chunk is not done, so this is still the job that the ticket spoke of. */
		*job = atomic_load_explicit(&l->job, memory_order_relaxed);
		*chunk = share_start((uint32_t)(*job)->n_chunks, (*job)->shares, i + 1) - LEFT(t);
		return t;
	}
	return TICKET(SEQ(t), 0);
}

/*
 * From one's own share while it has any, else from the share that was helped last, or the next. Others' shares only
 * of the job that one's own was of: a job whose shares are being dealt out has one's own in store, and is opened after.
 */
static bool claim(struct worker *l, uint32_t own, uint32_t *helped, uint32_t *chunk,
		  const struct vt_job **job)
{
	const uint32_t shares = atomic_load_explicit(&l->shares, memory_order_relaxed);
	uint64_t mine, t;

	if (!shares)
		return false;
	t = mine = claim_of(l, own % shares, NULL, chunk, job);
	for (uint32_t tried = 0; !LEFT(t) && tried < shares; tried++) {
		t = claim_of(l, *helped % shares, &mine, chunk, job);
		*helped += !LEFT(t);
	}
	return LEFT(t);
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
		pool_futex_wake(&w->opened, INT32_MAX);
}

/* The leader's side of one pthreadpool_parallelize_*() call. */
void pool_lead_job(struct pthreadpool *gang, const struct vt_job *const_job)
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
		vt_relax();
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
	       !(pool_polite(w) && pool_tired(w)) && claim(leader, own, &helped, &chunk, &job)) {
		vt_job_run_chunk(job, chunk);
		done++;
	}
	if (done)
		atomic_fetch_add_explicit(&leader->done, done, memory_order_release);
}

/* On a core that others use: rest in time, and try now and then what is left of it. */
static void mind(struct worker *w, int core, uint64_t now)
{
	pool_try_begin(w, now);
	pool_try_end(w, now);
	if (pool_polite(w) && pool_tired(w))
		pool_rest(w, core);
	else if (!atomic_load_explicit(&w->pool->polite, memory_order_relaxed))
		pool_avail_note(w, now, false);
}

/*
 * Stay with a leader until told otherwise, or called. Between two jobs it holds no chunk and nothing in its scratch:
 * its main loop answers, and sends it back. The end of a block is no such moment, as the leader may begin the next one
 * on the same cores before a helper that sleeps has seen that it was let go.
 */
void pool_be_helper(struct worker *w, int core)
{
	struct worker *leader = w->pool->worker[core];
	uint32_t opened, seen = atomic_load(&leader->opened) - 1; /* the job that is open now */
	uint64_t until = 0, t0, t1;
	unsigned int turns = 0;

	while (atomic_load_explicit(&w->helps, memory_order_acquire) == core &&
	       !atomic_load_explicit(&w->call, memory_order_acquire)) {
		opened = atomic_load(&leader->opened);
		if (opened != seen) {
			seen = opened;
			t0 = vt_now_mono_ns();
			help(w, leader);
			t1 = vt_now_mono_ns();
			atomic_fetch_add_explicit(&w->busy_ns, t1 - t0, memory_order_relaxed);
			if (w->avail.taken)
				mind(w, core, t1);
			else if (pool_avail_due(w, t1))
				pool_avail_note(w, t1, false);
			turns = 0;
			until = 0;
			continue;
		}
		if (pool_polite(w) && pool_tired(w))
			pool_rest(w, core);
		if (!pool_spin_over(&turns, &until))
			continue;
		/* Sleep. The leader looks at sleepers after it counted opened, the kernel at opened after that. */
		atomic_fetch_add(&leader->sleepers, 1);
		atomic_store(&w->sleeps_at, core);
		pool_off(w);
		if (atomic_load(&w->helps) == core && !atomic_load(&w->call))
			pool_futex_wait(&leader->opened, seen, 0);
		pool_on(w);
		atomic_store(&w->sleeps_at, NOBODY);
		atomic_fetch_sub(&leader->sleepers, 1);
		turns = 0;
		until = 0;
	}
}
