// SPDX-License-Identifier: Apache-2.0
/* pool_avail.c - each worker looks at what became of its own core; others read the result. */
#include <string.h>

#include "exec/pool_int.h"
#include "pressure/level.h"

void pool_avail_find(struct vt_pool *p)
{
	int fd = vt_avail_open();

	p->avail_err = fd < 0 ? fd : 0;
	if (fd >= 0)
		close(fd);
	for (unsigned int c = 0; c < VT_MAX_CORES; c++)
		atomic_store_explicit(&p->available_ppm[c], VT_PPM, memory_order_relaxed);
}

void pool_avail_begin(struct worker *w)
{
	struct vt_avail_sums s;

	w->avail_fd = w->pool->avail_err ? -1 : vt_avail_open();
	if (w->avail_fd >= 0 && vt_avail_read(w->avail_fd, &s))
		pool_avail_end(w);
	if (w->avail_fd >= 0)
		vt_avail_init(&w->avail, &s);
	else
		w->note_mono_ns = UINT64_MAX;
}

void pool_avail_end(struct worker *w)
{
	if (w->avail_fd >= 0)
		close(w->avail_fd);
	w->avail_fd = -1;
}

static uint32_t best_of(const struct vt_pool *p)
{
	uint32_t best = 0;

	for (int c = vt_cpuset_next(&p->cores, 0); c >= 0;
	     c = vt_cpuset_next(&p->cores, (unsigned int)c + 1)) {
		uint32_t ppm = atomic_load_explicit(&p->available_ppm[c], memory_order_relaxed);

		best = ppm > best ? ppm : best;
	}
	return best;
}

static void tell(struct worker *w)
{
	struct vt_pool *p = w->pool;
	const struct vt_pool_timer *t = atomic_load(&p->timer);
	const uint64_t bit = 1ull << (w->core % 64);

	if (w->avail.taken)
		atomic_fetch_or(&p->taken[w->core / 64], bit);
	else
		atomic_fetch_and(&p->taken[w->core / 64], ~bit);
	if (t && t->taken)
		t->taken(t->arg);
}

void pool_avail_note(struct worker *w, uint64_t mono_ns, bool tried)
{
	struct vt_avail_sums s;
	bool changed;

	if (w->avail_fd < 0 || (!tried && !pool_avail_due(w, mono_ns)))
		return;
	w->note_mono_ns = mono_ns + VT_AVAIL_EVERY_NS;
	if (vt_avail_read(w->avail_fd, &s))
		return;
	changed = vt_avail_note(&w->avail, &s, best_of(w->pool), mono_ns, tried);
	atomic_store_explicit(&w->pool->available_ppm[w->core], w->avail.ppm, memory_order_relaxed);
	if (changed)
		tell(w);
}

/* ---- polite helpers ----------------------------------------------------------------------- */

/* Time on the core is spent, time off it earned at a lower rate; no more is saved than one stretch. */
static void settle(struct worker *w, bool was_on, uint64_t now)
{
	int64_t ns = (int64_t)(now - w->credit_mono_ns);

	if (was_on)
		w->credit_ns -= ns;
	else if (ns > VT_AVAIL_OFF_NS)
		w->credit_ns = VT_AVAIL_ON_NS;
	else
		w->credit_ns += ns * VT_AVAIL_ON_NS / VT_AVAIL_OFF_NS;
	if (w->credit_ns > VT_AVAIL_ON_NS)
		w->credit_ns = VT_AVAIL_ON_NS;
	if (w->credit_ns < -VT_AVAIL_ON_NS)
		w->credit_ns = -VT_AVAIL_ON_NS;
	w->credit_mono_ns = now;
}

void pool_on(struct worker *w)
{
	if (w->avail.taken)
		settle(w, false, vt_now_mono_ns());
}

void pool_off(struct worker *w)
{
	if (w->avail.taken)
		settle(w, true, vt_now_mono_ns());
}

bool pool_tired(struct worker *w)
{
	return (int64_t)(vt_now_mono_ns() - w->credit_mono_ns) >= w->credit_ns;
}

void pool_rest(struct worker *w, int core)
{
	uint32_t seen = atomic_load(&w->wake);

	pool_off(w);
	while (w->credit_ns < VT_AVAIL_ON_NS && atomic_load(&w->helps) == core &&
	       !atomic_load(&w->work) && !atomic_load(&w->call) && !atomic_load(&w->stop)) {
		atomic_store(&w->asleep, 1);
		if (atomic_load(&w->wake) == seen)
			pool_futex_wait(&w->wake, seen,
					(uint64_t)(VT_AVAIL_ON_NS - w->credit_ns) *
							VT_AVAIL_OFF_NS / VT_AVAIL_ON_NS +
						1000);
		atomic_store(&w->asleep, 0);
		seen = atomic_load(&w->wake);
		pool_on(w);
	}
}

void pool_skip(struct worker *w)
{
	struct vt_avail_sums s;

	if (w->avail_fd >= 0 && !vt_avail_read(w->avail_fd, &s))
		vt_avail_skip(&w->avail, &s);
}

void pool_try_begin(struct worker *w, uint64_t mono_ns)
{
	if (w->try_end_mono_ns || vt_avail_try_in(&w->avail, mono_ns))
		return;
	pool_skip(w);
	w->try_end_mono_ns = mono_ns + VT_AVAIL_TRY_NS;
}

void pool_try_end(struct worker *w, uint64_t mono_ns)
{
	if (!w->try_end_mono_ns || mono_ns < w->try_end_mono_ns)
		return;
	w->try_end_mono_ns = 0;
	pool_avail_note(w, mono_ns, true);
}

void vt_pool_be_polite(struct vt_pool *p, bool polite)
{
	atomic_store(&p->polite, polite);
}

void vt_pool_tend(struct pthreadpool *gang, uint64_t mono_ns)
{
	struct worker *w = (struct worker *)gang;

	if (pool_avail_due(w, mono_ns))
		pool_avail_note(w, mono_ns, false);
}

int vt_pool_avail_err(const struct vt_pool *p)
{
	return p->avail_err;
}

uint32_t vt_pool_available_ppm(const struct vt_pool *p, unsigned int core)
{
	return core < VT_MAX_CORES
		       ? atomic_load_explicit(&p->available_ppm[core], memory_order_relaxed)
		       : VT_PPM;
}

bool vt_pool_taken(const struct vt_pool *p, struct vt_cpuset *ret)
{
	uint64_t any = 0;

	for (unsigned int i = 0; i < VT_MAX_CORES / 64; i++)
		any |= atomic_load_explicit(&p->taken[i], memory_order_relaxed);
	for (unsigned int i = 0; any && i < VT_MAX_CORES / 64; i++)
		ret->bits[i] = atomic_load_explicit(&p->taken[i], memory_order_relaxed);
	return any != 0;
}
