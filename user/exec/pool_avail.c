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
