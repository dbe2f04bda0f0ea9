// SPDX-License-Identifier: Apache-2.0
#include "exec/bubble.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/spin.h"
#include "exec/bubble_int.h"
#include "kernels/bigmem.h"

#define LINE	    64
#define BURST_LINES 512 /* about a microsecond: a pause between two is no burst to a layer */
#define CACHE_LINE  64

/** One core's share. */
struct blower {
	_Alignas(CACHE_LINE) _Atomic uint64_t lines; /* touched */
	struct vt_bubble *bubble;
	pthread_t thread;
	unsigned char *mem; /* part_bytes of the bubble */
	unsigned int core;
	_Atomic uint32_t seen; /* the setting it runs at */
	bool started;
};

struct setting {
	size_t part_used; /* footprint of one core; 0: silence */
	uint32_t duty_ppm;
	bool stop;
};

struct vt_bubble {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under the lock, so that blowers take both or neither; between bursts they look at seq alone. */
	struct setting now;
	_Atomic uint32_t seq; /* pairs with blower.seen */
	size_t part_bytes;    /* memory of one core */
	unsigned int n;
	struct blower blower[];
};

/* ---- the threads --------------------------------------------------------------------------- */

static size_t burst(unsigned char *mem, size_t at, size_t used)
{
	for (int i = 0; i < BURST_LINES; i++) {
		volatile uint64_t *word = (volatile uint64_t *)(mem + at);

		*word += 1;
		at = at + LINE < used ? at + LINE : 0;
	}
	return at;
}

/* A new setting ends it: whoever sets one waits for it. */
static void pause_after(uint64_t burst_ns, uint32_t duty_ppm, struct vt_bubble *b, uint32_t seq)
{
	uint64_t until;

	if (duty_ppm >= VT_PPM)
		return;
	until = vt_now_mono_ns() + burst_ns * (VT_PPM - duty_ppm) / duty_ppm;
	while (vt_now_mono_ns() < until &&
	       atomic_load_explicit(&b->seq, memory_order_relaxed) == seq)
		vt_relax();
}

/* Blow at a setting until it changes. */
static void blow(struct blower *w, const struct setting *s, uint32_t seq)
{
	struct vt_bubble *b = w->bubble;
	size_t at = 0;

	while (atomic_load_explicit(&b->seq, memory_order_relaxed) == seq) {
		const uint64_t t0 = vt_now_mono_ns();

		at = burst(w->mem, at, s->part_used);
		atomic_fetch_add_explicit(&w->lines, BURST_LINES, memory_order_relaxed);
		pause_after(vt_now_mono_ns() - t0, s->duty_ppm, b, seq);
	}
}

/* The present setting, once it is not silence; returns its number. */
static uint32_t wait_for_noise(struct blower *w, struct setting *ret)
{
	struct vt_bubble *b = w->bubble;
	uint32_t seq;

	pthread_mutex_lock(&b->lock);
	for (;;) {
		*ret = b->now;
		seq = atomic_load(&b->seq);
		atomic_store(&w->seen, seq);
		if (ret->part_used || ret->stop)
			break;
		pthread_cond_wait(&b->changed, &b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return seq;
}

static void *blower_main(void *arg)
{
	struct blower *w = arg;
	struct setting s;
	uint32_t seq;

	for (;;) {
		seq = wait_for_noise(w, &s);
		if (s.stop)
			return NULL;
		blow(w, &s, seq);
	}
}

static void change(struct vt_bubble *b, struct setting s)
{
	pthread_mutex_lock(&b->lock);
	b->now = s;
	atomic_fetch_add(&b->seq, 1);
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
}

void vt_bubble_set(struct vt_bubble *b, struct vt_bubble_setting s)
{
	size_t part = s.footprint_bytes / b->n / LINE * LINE;

	if (part > b->part_bytes)
		part = b->part_bytes;
	change(b, (struct setting){.part_used = s.duty_ppm ? part : 0, .duty_ppm = s.duty_ppm});
	for (unsigned int i = 0; i < b->n; i++)
		while (atomic_load(&b->blower[i].seen) != atomic_load(&b->seq))
			sched_yield();
}

uint64_t vt_bubble_bytes(const struct vt_bubble *b)
{
	uint64_t lines = 0;

	for (unsigned int i = 0; i < b->n; i++)
		lines += atomic_load_explicit(&b->blower[i].lines, memory_order_relaxed);
	return lines * LINE;
}

size_t vt_bubble_room(const struct vt_bubble *b)
{
	return b->part_bytes * b->n;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int start(struct blower *w)
{
	pthread_attr_t attr;
	cpu_set_t set;
	char name[16];
	int err;

	w->mem = vt_big_alloc(w->bubble->part_bytes);
	if (!w->mem)
		return -ENOMEM;
	memset(w->mem, 1, w->bubble->part_bytes); /* real pages, not the zero page */
	CPU_ZERO(&set);
	CPU_SET(w->core, &set);
	err = pthread_attr_init(&attr);
	if (err)
		return -err;
	err = pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	if (!err)
		err = pthread_create(&w->thread, &attr, blower_main, w);
	pthread_attr_destroy(&attr);
	if (err)
		return -err;
	w->started = true;
	snprintf(name, sizeof(name), "vt-bubble-%u", w->core);
	pthread_setname_np(w->thread, name);
	return 0;
}

void vt_bubble_close(struct vt_bubble *b)
{
	if (!b)
		return;
	change(b, (struct setting){.stop = true});
	for (unsigned int i = 0; i < b->n; i++) {
		if (b->blower[i].started)
			pthread_join(b->blower[i].thread, NULL);
		vt_big_free(b->blower[i].mem, b->part_bytes);
	}
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* Four times a large last-level cache, but never more than an eighth of the memory that is left. */
static size_t room_bytes(uint64_t have_bytes)
{
	return have_bytes / 8 < VT_BUBBLE_ROOM ? (size_t)(have_bytes / 8) : VT_BUBBLE_ROOM;
}

bool vt_bubble_fits(const char *root, uint64_t *need_bytes, uint64_t *have_bytes)
{
	*have_bytes = vt_memory_available(root);
	*need_bytes = room_bytes(*have_bytes) + VT_BUBBLE_PROBE;
	return *need_bytes <= *have_bytes / 2;
}

int vt_bubble_open(struct vt_bubble **ret, const struct vt_cpuset *cores, struct vt_err *e)
{
	const unsigned int n = vt_cpuset_count(cores);
	const size_t bytes = sizeof(struct vt_bubble) + n * sizeof(struct blower);
	struct vt_cpuset allowed;
	struct vt_bubble *b;
	int err = vt_cpuset_allowed(&allowed);

	if (err)
		return vt_fail(e, err, "cannot read the cores this process may use: %s",
			       strerror(-err));
	if (!n)
		return vt_fail(e, -EINVAL, "a bubble needs a core");
	for (int c = vt_cpuset_next(cores, 0); c >= 0;
	     c = vt_cpuset_next(cores, (unsigned int)c + 1))
		if (!vt_cpuset_has(&allowed, (unsigned int)c))
			return vt_fail(e, -EINVAL,
				       "core %d does not exist or may not be used by this process",
				       c);
	b = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	if (!b)
		return vt_fail(e, -ENOMEM, "no memory for a bubble");
	memset(b, 0, bytes);
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->changed, NULL);
	b->part_bytes = room_bytes(vt_memory_available(NULL)) / n / LINE * LINE;
	for (int c = vt_cpuset_next(cores, 0); c >= 0 && !err;
	     c = vt_cpuset_next(cores, (unsigned int)c + 1)) {
		struct blower *w = &b->blower[b->n];

		w->bubble = b;
		w->core = (unsigned int)c;
		b->n++;
		err = start(w);
		if (err)
			vt_fail(e, err, "cannot start the bubble on core %d: %s", c,
				strerror(-err));
	}
	if (err) {
		vt_bubble_close(b);
		return err;
	}
	*ret = b;
	return 0;
}
