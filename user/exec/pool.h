/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.h - one pinned worker per core; pieces of work run on sets of them.
 *
 * A piece of work has one leader: the worker on one core of its grant, the first unless its caller
 * chose another, walks it and opens one tile job after another. The other cores are helpers: they
 * claim chunks of whatever job the leader has open. A core may be told to help at any moment, also in the middle of a job,
 * and to stop; both take effect at the next chunk boundary.
 *
 *	leader                                  helper
 *	  job on its stack                        sees ticket.left > 0
 *	  ticket = {seq, n_chunks}   -------->    claims: compare-exchange {seq, left} -> {seq, left - 1}
 *	  claims chunks too                       runs chunk n_chunks - left
 *	  waits until done == n_chunks  <-----    done += 1 (the job may be gone from here on)
 *
 * A claimed chunk that is not done keeps the job alive, so a helper never needs to be waited for
 * otherwise. Claiming and running take no lock and make no allocation. Idle workers and helpers
 * spin for VT_POOL_SPIN_NS, then sleep on a futex.
 */
#ifndef VT_EXEC_POOL_H
#define VT_EXEC_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpuset.h"
#include "base/error.h"
#include "kernels/tile.h"

#define VT_POOL_SPIN_NS 50000

struct vt_pool;

/** A piece of work. Caller's memory, untouched by the caller from vt_pool_start() until @done is called. */
struct vt_work {
	/** run - on the leader; calls pthreadpool_* (kernels) with @gang */
	void (*run)(struct vt_work *b, struct pthreadpool *gang);
	/**
	 * done - on the leader, after its helpers were let go; may start another block, also this
	 * one The leader's core counts as free from here on.
	 */
	void (*done)(struct vt_work *b);
	uint64_t start_mono_ns, end_mono_ns; /* set around run */
	struct vt_pool *pool;		     /* set by vt_pool_start */
	unsigned int leader;		     /* core; set by vt_pool_start */
};

/**
 * vt_pool_open - start one pinned worker on each core of @cores
 * -EINVAL: empty set or a core this process may not use; -EAGAIN, -ENOMEM from thread creation
 */
int vt_pool_open(struct vt_pool **ret, const struct vt_cpuset *cores, struct vt_err *e);
/** vt_pool_close - stop and join the workers; no work may be under way. Accepts NULL. */
void vt_pool_close(struct vt_pool *p);

/** vt_pool_cores - the cores that have a worker */
const struct vt_cpuset *vt_pool_cores(const struct vt_pool *p);

/**
 * vt_pool_each - run @fn on every worker's own thread and wait; the first error is returned
 * One caller at a time. A leader comes when the work that it leads is over and before it leads other; a helper comes
 * between two jobs of its leader, which goes on without it meanwhile.
 */
int vt_pool_each(struct vt_pool *p, int (*fn)(void *arg, unsigned int core), void *arg);
/** vt_pool_reserve - give every worker at least @bytes of scratch (tile.h); 0 or -ENOMEM */
int vt_pool_reserve(struct vt_pool *p, size_t bytes);

/**
 * vt_pool_start - run @b on the cores of @grant, all of which must be idle; returns at once
 * The first core of the grant leads. -EINVAL: empty grant or a core without a worker.
 */
int vt_pool_start(struct vt_pool *p, struct vt_work *b, const struct vt_cpuset *grant);
/**
 * vt_pool_join - let idle @core help the work that @leader leads, from its next chunk on
 * The caller knows that it still runs: it decides in @done callbacks, or under a lock that
 * they take.
 */
int vt_pool_join(struct vt_pool *p, unsigned int leader, unsigned int core);
/** vt_pool_leave - let @core stop helping; it finishes the chunk it is in. A leader cannot leave. */
int vt_pool_leave(struct vt_pool *p, unsigned int core);

/*
 * The same, but a worker that must be woken from sleep is only added to @later: a caller that holds
 * a lock calls vt_pool_wake() after it has let go. The worker it wakes may preempt it on the spot.
 * @leader: any core of @grant
 */
int vt_pool_start_later(struct vt_pool *p, struct vt_work *b, unsigned int leader,
			const struct vt_cpuset *grant, struct vt_cpuset *later);
int vt_pool_join_later(struct vt_pool *p, unsigned int leader, unsigned int core,
		       struct vt_cpuset *later);
int vt_pool_leave_later(struct vt_pool *p, unsigned int core, struct vt_cpuset *later);
/** vt_pool_wake - wake the workers in @later; a worker that is awake by now does not mind */
void vt_pool_wake(struct vt_pool *p, const struct vt_cpuset *later);

/**
 * One alarm without a thread of its own: the worker of the first core keeps it while it sleeps. A
 * worker that runs or helps does not look; whoever runs work checks the time himself.
 */
struct vt_pool_timer {
	uint64_t (*due_mono_ns)(void *arg); /* 0: not set. Asked before each sleep */
	void (*ring)(void *arg); /* on that worker, at or after the time; may start work */
	void (*taken)(
		void *arg); /* on any worker: vt_pool_taken() has changed; may start work. Or NULL */
	void *arg;
};

/** vt_pool_keep_timer - before any work is started */
void vt_pool_keep_timer(struct vt_pool *p, const struct vt_pool_timer *t);
/** vt_pool_timer_changed - due_mono_ns() gives an earlier time than before */
void vt_pool_timer_changed(struct vt_pool *p, struct vt_cpuset *later);

/*
 * Cores that others use. Each worker knows what it got of its core while it ran or wanted to (avail.h).
 */

/** vt_pool_avail_err - 0, or the errno for which nothing can be told: then all cores are wholly available */
int vt_pool_avail_err(const struct vt_pool *p);
/** vt_pool_available_ppm - share of the time it wanted @core that its worker had it, of late */
uint32_t vt_pool_available_ppm(const struct vt_pool *p, unsigned int core);
/** vt_pool_taken - the cores of which much is taken; returns whether there are any, @ret written only then */
bool vt_pool_taken(const struct vt_pool *p, struct vt_cpuset *ret);
/** vt_pool_be_polite - helpers on taken cores sleep before their time slice ends, rather than in a chunk */
void vt_pool_be_polite(struct vt_pool *p, bool polite);
/** vt_pool_tend - to be called now and then by work that runs long, on its leader */
void vt_pool_tend(struct pthreadpool *gang, uint64_t mono_ns);

/** vt_pool_run - start @b, wait for it from a thread that is no worker; @b->done is set by this call */
int vt_pool_run(struct vt_pool *p, struct vt_work *b, const struct vt_cpuset *grant);

/**
 * vt_pool_wake_cost - what a worker that sleeps takes to begin when another wakes it, and what that takes the other
 * Medians of 15 times, 5 ms in all. No work may be under way. -ENODATA: there is one core only, which wakes nobody.
 */
int vt_pool_wake_cost(struct vt_pool *p, uint64_t *wake_ns, uint64_t *call_ns);

/** vt_pool_busy_ns - time that the worker of @core has spent in chunks and work since it started */
uint64_t vt_pool_busy_ns(const struct vt_pool *p, unsigned int core);

#endif
