// SPDX-License-Identifier: Apache-2.0
/* bubble_scale.c - the reference probe, and what bubble makes which level. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/order.h"
#include "exec/bubble_int.h"
#include "kernels/bigmem.h"
#include "kernels/isa.h"

/*
 * The probe reads two memories in turn: one that lies in the last-level cache when nobody presses
 * (beyond any L2, below any L3), and one that lies in DRAM always. Its slowdown is the mean of the
 * two: what a layer feels that lives half from cache, half from memory.
 */
#define NEAR_PASSES 8
#define FAR_PIECE   ((size_t)8 << 20)
#define READ_FLOATS 16384

#define TURNS	     7
#define BISECT_TURNS 5
#define BISECT_STEPS 6
#define FOOTPRINTS   4 /* the room, and quarters of it */
/* Less than this at level 4 is noise: then a level is a bandwidth. */
#define LEAST_SLOWDOWN_PPM (VT_PPM + VT_PPM / 12)

/* The heaviest, its afresh, three levels between, and what all four are in the end. */
#define TURNS_ALL                                                                                  \
	(FOOTPRINTS * BISECT_TURNS + TURNS + (VT_LEVELS - 2) * BISECT_STEPS * BISECT_TURNS +       \
	 (VT_LEVELS - 1) * TURNS)
#define ASK_NS 250000u

struct probe {
	float *near, *far;
	size_t far_at;
};

struct probed {
	uint64_t near_ns, far_ns;
};

struct turn {
	double ratio, speed;
};

/*
 * What comes next depends on turns alone, so a search that goes on goes through those it has again,
 * and measures from there.
 */
struct vt_bubble_search {
	struct vt_bubble *b;
	int probe_core;
	struct probe p;
	bool (*stop)(void *arg);
	void *arg;
	bool stopped;	    /* this go: nothing is measured any more */
	unsigned int at, n; /* turns that this go has used; that there are */
	struct turn turn[TURNS_ALL];
};

/* Time on the CPU, so that a process that takes the core away does not count as pressure. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * VT_NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool stopped(struct vt_bubble_search *s)
{
	s->stopped = s->stopped || (s->stop && s->stop(s->arg));
	return s->stopped;
}

static void read_all(const float *x, size_t bytes)
{
	volatile float sum;

	for (size_t i = 0; i < bytes / sizeof(*x); i += READ_FLOATS)
		sum = vt_vec()->reduce[VT_FOLD_SUM](x + i, READ_FLOATS);
	(void)sum;
}

/* False: stopped, and @r is worth nothing. */
static bool probe(struct vt_bubble_search *s, struct probed *r)
{
	struct probe *p = &s->p;
	uint64_t t0, t1;

	read_all(p->near, VT_BUBBLE_NEAR);
	t0 = cpu_ns();
	for (int i = 0; i < NEAR_PASSES && !stopped(s); i++)
		read_all(p->near, VT_BUBBLE_NEAR);
	t1 = cpu_ns();
	if (stopped(s))
		return false;
	read_all(p->far + p->far_at / sizeof(float), FAR_PIECE);
	p->far_at = (p->far_at + FAR_PIECE) % VT_BUBBLE_FAR;
	r->near_ns = t1 - t0 + 1;
	r->far_ns = cpu_ns() - t1 + 1;
	return !stopped(s);
}

bool vt_bubble_pause(uint64_t ns, bool (*stop)(void *arg), void *arg)
{
	const uint64_t end = vt_now_mono_ns() + ns;

	for (;;) {
		const uint64_t now = vt_now_mono_ns();

		if (stop && stop(arg))
			return true;
		if (now >= end)
			return false;
		vt_sleep_until_mono_ns(end - now > ASK_NS ? now + ASK_NS : end);
	}
}

static bool settle(struct vt_bubble_search *s, uint64_t ns)
{
	s->stopped = s->stopped || vt_bubble_pause(ns, s->stop, s->arg);
	return !s->stopped;
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), vt_order_double);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Silence, then @x. False: stopped. */
static bool take_turn(struct vt_bubble_search *s, struct vt_bubble_setting x)
{
	struct probed off, on;
	uint64_t t0, bytes;

	vt_bubble_set(s->b, (struct vt_bubble_setting){0});
	if (!settle(s, VT_BUBBLE_SETTLE_NS / 8) || !probe(s, &off))
		return false;
	vt_bubble_set(s->b, x);
	if (!settle(s, VT_BUBBLE_SETTLE_NS))
		return false;
	bytes = vt_bubble_bytes(s->b);
	t0 = vt_now_mono_ns();
	if (!probe(s, &on))
		return false;
	s->turn[s->n++] = (struct turn){.ratio = ((double)on.near_ns / (double)off.near_ns +
						  (double)on.far_ns / (double)off.far_ns) /
						 2,
					.speed = (double)(vt_bubble_bytes(s->b) - bytes) * 1e9 /
						 (double)(vt_now_mono_ns() - t0 + 1)};
	return true;
}

/* Slowdown of the probe beside @x, as a factor; silence and @x in turns. Any figure if stopped. */
static double slowdown(struct vt_bubble_search *s, struct vt_bubble_setting x, int turns,
		       double *bytes_per_s)
{
	double ratio[TURNS] = {0}, speed[TURNS] = {0};

	for (int i = 0; i < turns; i++) {
		if (s->at == s->n && (s->stopped || !take_turn(s, x)))
			return 1;
		ratio[i] = s->turn[s->at].ratio;
		speed[i] = s->turn[s->at++].speed;
	}
	if (bytes_per_s)
		*bytes_per_s = median(speed, turns);
	return median(ratio, turns);
}

static struct vt_bubble_setting heaviest(struct vt_bubble_search *s, double *ret)
{
	struct vt_bubble_setting best = {vt_bubble_room(s->b), VT_PPM};

	*ret = 0;
	for (int i = 0; i < FOOTPRINTS; i++) {
		const struct vt_bubble_setting b = {vt_bubble_room(s->b) >> (2 * i), VT_PPM};
		const double x = slowdown(s, b, BISECT_TURNS, NULL);

		if (x > *ret) {
			*ret = x;
			best = b;
		}
	}
	/* The largest of several noisy figures is too large: measure the winner afresh. */
	*ret = slowdown(s, best, TURNS, NULL);
	return best;
}

/* The share of time in bursts that slows the probe by @want. */
static uint32_t find_duty(struct vt_bubble_search *s, size_t footprint, double want,
			  uint32_t from_ppm)
{
	uint32_t lo = from_ppm, hi = VT_PPM;

	for (int i = 0; i < BISECT_STEPS; i++) {
		const uint32_t mid = lo + (hi - lo) / 2;
		const struct vt_bubble_setting x = {footprint, mid};

		*(slowdown(s, x, BISECT_TURNS, NULL) < want ? &lo : &hi) = mid;
	}
	return lo + (hi - lo) / 2;
}

static void set_levels(struct vt_bubble_search *s, struct vt_bubble_scale *r)
{
	double most = 0;
	struct vt_bubble_setting top = {vt_bubble_room(s->b), VT_PPM};

	if (r->probed)
		top = heaviest(s, &most);
	r->by_bandwidth = most * VT_PPM < LEAST_SLOWDOWN_PPM;
	if (r->by_bandwidth)
		top.footprint_bytes = vt_bubble_room(s->b);
	r->level[VT_LEVELS - 1] = top;
	for (uint32_t l = 1; l < VT_LEVELS - 1; l++) {
		const double want = 1 + (most - 1) * l / (VT_LEVELS - 1);

		r->level[l] = top;
		r->level[l].duty_ppm = r->by_bandwidth ? vt_level_ppm((uint8_t)l)
						       : find_duty(s, top.footprint_bytes, want,
								   r->level[l - 1].duty_ppm);
	}
}

static double speed_of(struct vt_bubble_search *s, struct vt_bubble_setting x)
{
	uint64_t bytes, t0;

	vt_bubble_set(s->b, x);
	settle(s, VT_BUBBLE_SETTLE_NS);
	bytes = vt_bubble_bytes(s->b);
	t0 = vt_now_mono_ns();
	settle(s, 5 * VT_BUBBLE_SETTLE_NS);
	return (double)(vt_bubble_bytes(s->b) - bytes) * 1e9 / (double)(vt_now_mono_ns() - t0 + 1);
}

static void measure_levels(struct vt_bubble_search *s, struct vt_bubble_scale *r)
{
	for (uint32_t l = 1; l < VT_LEVELS && !s->stopped; l++) {
		double speed = 0;

		if (r->probed)
			r->slowdown_ppm[l] =
				(uint32_t)(slowdown(s, r->level[l], TURNS, &speed) * VT_PPM);
		else
			speed = speed_of(s, r->level[l]);
		r->bytes_per_s[l] = (uint64_t)speed;
	}
	r->slowdown_ppm[0] = r->probed ? VT_PPM : 0;
}

/* On the core of the probe, if there is one. */
static int search(struct vt_bubble_search *s, struct vt_bubble_scale *ret)
{
	struct vt_bubble_scale r = {.probed = s->probe_core >= 0};

	set_levels(s, &r);
	measure_levels(s, &r);
	vt_bubble_set(s->b, (struct vt_bubble_setting){0});
	if (s->stopped)
		return -ECANCELED;
	*ret = r;
	return 0;
}

int vt_bubble_search_go(struct vt_bubble_search *s, bool (*stop)(void *arg), void *arg,
			struct vt_bubble_scale *ret, struct vt_err *e)
{
	cpu_set_t before;
	int err;

	s->stop = stop;
	s->arg = arg;
	s->stopped = false;
	s->at = 0;
	if (s->probe_core < 0)
		return search(s, ret);
	if (sched_getaffinity(0, sizeof(before), &before))
		return vt_fail(e, -errno, "cannot read this thread's cores: %s", strerror(errno));
	if (vt_cpuset_pin_self((unsigned int)s->probe_core))
		return vt_fail(e, -EINVAL, "the probe cannot run on core %d", s->probe_core);
	err = search(s, ret);
	sched_setaffinity(0, sizeof(before), &before);
	return err;
}

void vt_bubble_search_free(struct vt_bubble_search *s)
{
	if (!s)
		return;
	vt_big_free(s->p.near, VT_BUBBLE_NEAR);
	vt_big_free(s->p.far, VT_BUBBLE_FAR);
	free(s);
}

int vt_bubble_search_new(struct vt_bubble_search **ret, struct vt_bubble *b, int probe_core,
			 struct vt_err *e)
{
	struct vt_bubble_search *s = calloc(1, sizeof(*s));

	if (s && probe_core >= 0) {
		s->p.near = vt_big_alloc(VT_BUBBLE_NEAR);
		s->p.far = vt_big_alloc(VT_BUBBLE_FAR);
	}
	if (!s || (probe_core >= 0 && (!s->p.near || !s->p.far))) {
		vt_bubble_search_free(s);
		return vt_fail(e, -ENOMEM, "no memory for the probe of the bubble");
	}
	if (probe_core >= 0) {
		memset(s->p.near, 0, VT_BUBBLE_NEAR); /* real pages, not the zero page */
		memset(s->p.far, 0, VT_BUBBLE_FAR);
	}
	s->b = b;
	s->probe_core = probe_core;
	*ret = s;
	return 0;
}

int vt_bubble_calibrate(struct vt_bubble *b, int probe_core, struct vt_bubble_scale *ret,
			struct vt_err *e)
{
	struct vt_bubble_search *s = NULL;
	int err = vt_bubble_search_new(&s, b, probe_core, e);

	if (!err)
		err = vt_bubble_search_go(s, NULL, NULL, ret, e);
	vt_bubble_search_free(s);
	return err;
}
