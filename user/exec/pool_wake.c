// SPDX-License-Identifier: Apache-2.0
/* pool_wake.c - what it costs to begin on workers that sleep. */
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/order.h"
#include "base/spin.h"
#include "exec/pool.h"

#define TURNS	  15u
#define ASLEEP_NS (4ull * VT_POOL_SPIN_NS)
/* A sleeper that has not come by then is not waited for by spinning: others use its core. */
#define PATIENCE_NS 5000000ull

/** One core wakes another, again and again. */
struct waking {
	struct vt_work waker, sleeper;
	struct vt_pool *pool;
	struct vt_cpuset other; /* the sleeper's core */
	_Atomic uint64_t ran_ns;
	_Atomic bool over;
	uint64_t wake_ns[TURNS], call_ns[TURNS];
	int err;
};

static void sleeper_run(struct vt_work *b, struct pthreadpool *gang)
{
	struct waking *w = (struct waking *)((char *)b - offsetof(struct waking, sleeper));

	atomic_store(&w->ran_ns, vt_now_mono_ns());
	(void)gang;
}

static void sleeper_done(struct vt_work *b)
{
	struct waking *w = (struct waking *)((char *)b - offsetof(struct waking, sleeper));

	atomic_store(&w->over, true);
}

static void wait_for_it(struct waking *w, uint64_t t0)
{
	while (!atomic_load(&w->over))
		if (vt_now_mono_ns() - t0 < PATIENCE_NS)
			vt_relax();
		else
			vt_sleep_until_mono_ns(vt_now_mono_ns() + ASLEEP_NS);
}

static void waker_run(struct vt_work *b, struct pthreadpool *gang)
{
	struct waking *w = (struct waking *)((char *)b - offsetof(struct waking, waker));

	for (unsigned int i = 0; i < TURNS && !w->err; i++) {
		uint64_t t0;

		vt_sleep_until_mono_ns(vt_now_mono_ns() + ASLEEP_NS);
		atomic_store(&w->over, false);
		t0 = vt_now_mono_ns();
		w->err = vt_pool_start(w->pool, &w->sleeper, &w->other);
		w->call_ns[i] = vt_now_mono_ns() - t0;
		if (w->err)
			return;
		wait_for_it(w, t0);
		w->wake_ns[i] = atomic_load(&w->ran_ns) - t0;
	}
	(void)gang;
}

static uint64_t median(uint64_t ns[TURNS])
{
	qsort(ns, TURNS, sizeof(*ns), vt_order_u64);
	return ns[TURNS / 2];
}

int vt_pool_wake_cost(struct vt_pool *p, uint64_t *wake_ns, uint64_t *call_ns)
{
	const int first = vt_cpuset_next(vt_pool_cores(p), 0);
	const int second =
		first < 0 ? -1 : vt_cpuset_next(vt_pool_cores(p), (unsigned int)first + 1);
	struct waking w = {.waker.run = waker_run,
			   .sleeper = {.run = sleeper_run, .done = sleeper_done},
			   .pool = p};
	struct vt_cpuset one = {0};
	int err;

	if (second < 0)
		return -ENODATA;
	vt_cpuset_add(&one, (unsigned int)first);
	vt_cpuset_add(&w.other, (unsigned int)second);
	err = vt_pool_run(p, &w.waker, &one);
	if (err || w.err)
		return err ? err : w.err;
	*wake_ns = median(w.wake_ns);
	*call_ns = median(w.call_ns);
	return 0;
}
