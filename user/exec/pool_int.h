/* SPDX-License-Identifier: Apache-2.0 */
/* pool_int.h - what the parts of the pool share: workers, and how they wait. */
#ifndef VT_EXEC_POOL_INT_H
#define VT_EXEC_POOL_INT_H

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/spin.h"
#include "exec/avail.h"
#include "exec/pool.h"

#define CACHE_LINE 64
#define NOBODY	   (-1)
#define MAX_SHARES 64

/* The open job of a leader: sequence number above, chunks left to claim below. */
#define TICKET(seq, left) ((uint64_t)(seq) << 32 | (left))
#define LEFT(ticket)	  ((uint32_t)(ticket))
#define SEQ(ticket)	  ((uint32_t)((ticket) >> 32))

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
	_Atomic int sleeps_at;	      /* core on whose opened it sleeps as a helper, or NOBODY */
	_Atomic int call;	      /* vt_pool_each() wants this worker */
	_Atomic int stop;
	_Atomic uint32_t rank; /* which share of its leader's jobs it starts with */

	/* The worker's own. */
	_Alignas(CACHE_LINE) _Atomic uint64_t busy_ns;
	struct vt_pool *pool;
	unsigned int core;
	pthread_t thread;
	bool started;
	int avail_fd;	       /* its own sums; negative: nothing is told of this core */
	uint64_t note_mono_ns; /* when they are looked at next */
	struct vt_avail avail;
	/* While it helps politely: time on its core that it may still use, as of the moment below. */
	int64_t credit_ns;
	uint64_t credit_mono_ns;
	uint64_t try_end_mono_ns; /* it helps rudely until then, to see what it gets; 0: politely */
};

struct vt_pool {
	struct vt_cpuset cores;
	struct worker *worker[VT_MAX_CORES];
	/* Kept by the first worker. Workers run when it is set: they see all of it or nothing. */
	struct vt_pool_timer kept;
	const struct vt_pool_timer *_Atomic timer;

	/* What workers have found of their own cores, by core. */
	int avail_err; /* 0, or why nothing is found */
	_Atomic uint64_t taken[VT_MAX_CORES / 64];
	_Atomic int polite; /* helpers on taken cores rest of their own accord */
	_Atomic uint32_t available_ppm[VT_MAX_CORES];

	/* vt_pool_each() */
	int (*each_fn)(void *arg, unsigned int core);
	void *each_arg;
	_Atomic int each_err;
	_Atomic uint32_t each_left;
};

/* ---- waiting ------------------------------------------------------------------------------ */

/* @timeout_ns: 0: none */
static inline void pool_futex_wait(_Atomic uint32_t *at, uint32_t expected, uint64_t timeout_ns)
{
	struct timespec t = {.tv_sec = (time_t)(timeout_ns / VT_NS_PER_S),
			     .tv_nsec = (long)(timeout_ns % VT_NS_PER_S)};

	syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, expected, timeout_ns ? &t : NULL, NULL, 0);
}

static inline void pool_futex_wake(_Atomic uint32_t *at, int n)
{
	syscall(SYS_futex, at, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

/** pool_spin_over - one turn of a spin; true when it has lasted VT_POOL_SPIN_NS */
static inline bool pool_spin_over(unsigned int *turns, uint64_t *until_mono_ns)
{
	vt_relax();
	if (++*turns % 64)
		return false;
	if (!*until_mono_ns)
		*until_mono_ns = vt_now_mono_ns() + VT_POOL_SPIN_NS;
	return vt_now_mono_ns() >= *until_mono_ns;
}

/* ---- pool_avail.c: on the worker itself ---- */

/** pool_avail_find - before the workers start: can anything be told? */
void pool_avail_find(struct vt_pool *p);
void pool_avail_begin(struct worker *w);
void pool_avail_end(struct worker *w);
/** pool_skip - what has become of its core until now tells nothing */
void pool_skip(struct worker *w);
/** pool_avail_note - look at what became of its core, if the last look was VT_AVAIL_EVERY_NS ago or @tried */
void pool_avail_note(struct worker *w, uint64_t mono_ns, bool tried);

/** pool_avail_due - is it time to look again? Cheap */
static inline bool pool_avail_due(const struct worker *w, uint64_t mono_ns)
{
	return mono_ns >= w->note_mono_ns;
}

/*
 * A polite helper. On a core that somebody else wants too, the kernel takes a helper off after a time slice, in the
 * midst of a chunk, for as long as the other's slice lasts: milliseconds, while its leader and the whole gang
 * wait for that chunk. So it goes first: between two chunks, before its slice is over, it sleeps a while. It then
 * holds nothing that anybody waits for, and as one that has slept it mostly gets the core at once when it comes back.
 * It does not ask for its CPU time meanwhile: then the kernel looks whether the slice is over.
 */
/** pool_polite - does this worker have to mind its time? Cheap */
static inline bool pool_polite(const struct worker *w)
{
	return w->avail.taken && atomic_load_explicit(&w->pool->polite, memory_order_relaxed) &&
	       !w->try_end_mono_ns;
}
/** pool_tired - has a polite helper used up its time? Reads the clock */
bool pool_tired(struct worker *w);
/** pool_on, pool_off - around each sleep */
void pool_on(struct worker *w);
void pool_off(struct worker *w);
/** pool_rest - sleep until there is time again, or @w gets work to lead or a call, or other help is wanted than @core's */
void pool_rest(struct worker *w, int core);
/** pool_try_begin, pool_try_end - a helper of a taken core that should be tried is not polite for a while */
void pool_try_begin(struct worker *w, uint64_t mono_ns);
void pool_try_end(struct worker *w, uint64_t mono_ns);

/** pool_lead_job - gang.run of every worker: the leader's side of one pthreadpool_parallelize_*() */
void pool_lead_job(struct pthreadpool *gang, const struct vt_job *job);

/** pool_be_helper - stay with the leader on @core until w->helps says otherwise, or w->call is set */
void pool_be_helper(struct worker *w, int core);

#endif
