// SPDX-License-Identifier: Apache-2.0
/* bubble_scale.c - the reference probe, and what bubble makes which level. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "exec/bubble_int.h"
#include "kernels/bigmem.h"
#include "kernels/isa.h"

/*
 * The probe reads two memories in turn: one that lies in the last-level cache when nobody presses
 * (beyond any L2, below any L3), and one that lies in DRAM always. Its slowdown is the mean of the
 * two: what a layer feels that lives half from cache, half from memory.
 */
#define NEAR_BYTES  ((size_t)4 << 20)
#define NEAR_PASSES 8
#define FAR_BYTES   ((size_t)128 << 20)
#define FAR_PIECE   ((size_t)8 << 20)
#define READ_FLOATS 16384

#define TURNS	     7
#define BISECT_TURNS 5
#define BISECT_STEPS 6
#define FOOTPRINTS   4 /* the room, and quarters of it */
/* Less than this at level 4 is noise: then a level is a bandwidth. */
#define LEAST_SLOWDOWN_PPM (VT_PPM + VT_PPM / 12)

struct probe {
	float *near, *far;
	size_t far_at;
};

struct probed {
	uint64_t near_ns, far_ns;
};

/* Time on the CPU, so that a process that takes the core away does not count as pressure. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * VT_NS_PER_S + (uint64_t)t.tv_nsec;
}

static void read_all(const float *x, size_t bytes)
{
	volatile float sum;

	for (size_t i = 0; i < bytes / sizeof(*x); i += READ_FLOATS)
		sum = vt_vec()->reduce[VT_FOLD_SUM](x + i, READ_FLOATS);
	(void)sum;
}

static struct probed probe(struct probe *p)
{
	struct probed r;
	uint64_t t0, t1;

	read_all(p->near, NEAR_BYTES);
	t0 = cpu_ns();
	for (int i = 0; i < NEAR_PASSES; i++)
		read_all(p->near, NEAR_BYTES);
	t1 = cpu_ns();
	read_all(p->far + p->far_at / sizeof(float), FAR_PIECE);
	p->far_at = (p->far_at + FAR_PIECE) % FAR_BYTES;
	r.near_ns = t1 - t0 + 1;
	r.far_ns = cpu_ns() - t1 + 1;
	return r;
}

static void settle(uint64_t ns)
{
	vt_sleep_until_mono_ns(vt_now_mono_ns() + ns);
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* Slowdown of the probe beside @s, as a factor; silence and @s in turns. */
static double slowdown(struct vt_bubble *b, struct probe *p, struct vt_bubble_setting s, int turns,
		       double *bytes_per_s)
{
	double ratio[TURNS] = {0}, speed[TURNS] = {0};

	for (int i = 0; i < turns; i++) {
		struct probed off, on;
		uint64_t t0, bytes;

		vt_bubble_set(b, (struct vt_bubble_setting){0});
		settle(VT_BUBBLE_SETTLE_NS / 8);
		off = probe(p);
		vt_bubble_set(b, s);
		settle(VT_BUBBLE_SETTLE_NS);
		bytes = vt_bubble_bytes(b);
		t0 = vt_now_mono_ns();
		on = probe(p);
		speed[i] = (double)(vt_bubble_bytes(b) - bytes) * 1e9 /
			   (double)(vt_now_mono_ns() - t0 + 1);
		ratio[i] = ((double)on.near_ns / (double)off.near_ns +
			    (double)on.far_ns / (double)off.far_ns) /
			   2;
	}
	if (bytes_per_s)
		*bytes_per_s = median(speed, turns);
	return median(ratio, turns);
}

static struct vt_bubble_setting heaviest(struct vt_bubble *b, struct probe *p, double *ret)
{
	struct vt_bubble_setting best = {vt_bubble_room(b), VT_PPM};

	*ret = 0;
	for (int i = 0; i < FOOTPRINTS; i++) {
		const struct vt_bubble_setting s = {vt_bubble_room(b) >> (2 * i), VT_PPM};
		const double x = slowdown(b, p, s, BISECT_TURNS, NULL);

		if (x > *ret) {
			*ret = x;
			best = s;
		}
	}
	/* The largest of several noisy figures is too large: measure the winner afresh. */
	*ret = slowdown(b, p, best, TURNS, NULL);
	return best;
}

/* The share of time in bursts that slows the probe by @want. */
static uint32_t find_duty(struct vt_bubble *b, struct probe *p, size_t footprint, double want,
			  uint32_t from_ppm)
{
	uint32_t lo = from_ppm, hi = VT_PPM;

	for (int i = 0; i < BISECT_STEPS; i++) {
		const uint32_t mid = lo + (hi - lo) / 2;
		const struct vt_bubble_setting s = {footprint, mid};

		*(slowdown(b, p, s, BISECT_TURNS, NULL) < want ? &lo : &hi) = mid;
	}
	return lo + (hi - lo) / 2;
}

static void set_levels(struct vt_bubble *b, struct probe *p, struct vt_bubble_scale *r)
{
	double most = 0;
	struct vt_bubble_setting top = {vt_bubble_room(b), VT_PPM};

	if (p)
		top = heaviest(b, p, &most);
	r->by_bandwidth = most * VT_PPM < LEAST_SLOWDOWN_PPM;
	if (r->by_bandwidth)
		top.footprint_bytes = vt_bubble_room(b);
	r->level[VT_LEVELS - 1] = top;
	for (uint32_t l = 1; l < VT_LEVELS - 1; l++) {
		const double want = 1 + (most - 1) * l / (VT_LEVELS - 1);

		r->level[l] = top;
		r->level[l].duty_ppm = r->by_bandwidth ? vt_level_ppm((uint8_t)l)
						       : find_duty(b, p, top.footprint_bytes, want,
								   r->level[l - 1].duty_ppm);
	}
}

static void measure_levels(struct vt_bubble *b, struct probe *p, struct vt_bubble_scale *r)
{
	for (uint32_t l = 1; l < VT_LEVELS; l++) {
		double speed = 0;
		uint64_t bytes, t0;

		if (p) {
			r->slowdown_ppm[l] =
				(uint32_t)(slowdown(b, p, r->level[l], TURNS, &speed) * VT_PPM);
		} else {
			vt_bubble_set(b, r->level[l]);
			settle(VT_BUBBLE_SETTLE_NS);
			bytes = vt_bubble_bytes(b);
			t0 = vt_now_mono_ns();
			settle(5 * VT_BUBBLE_SETTLE_NS);
			speed = (double)(vt_bubble_bytes(b) - bytes) * 1e9 /
				(double)(vt_now_mono_ns() - t0 + 1);
		}
		r->bytes_per_s[l] = (uint64_t)speed;
	}
	r->slowdown_ppm[0] = p ? VT_PPM : 0;
	vt_bubble_set(b, (struct vt_bubble_setting){0});
}

int vt_bubble_calibrate(struct vt_bubble *b, int probe_core, struct vt_bubble_scale *ret,
			struct vt_err *e)
{
	struct probe p = {0};
	struct vt_bubble_scale r = {.probed = probe_core >= 0};
	cpu_set_t before;
	int err;

	if (probe_core < 0) {
		set_levels(b, NULL, &r);
		measure_levels(b, NULL, &r);
		*ret = r;
		return 0;
	}
	p.near = vt_big_alloc(NEAR_BYTES);
	p.far = vt_big_alloc(FAR_BYTES);
	err = p.near && p.far ? 0 : vt_fail(e, -ENOMEM, "no memory for the probe of the bubble");
	if (!err && sched_getaffinity(0, sizeof(before), &before))
		err = vt_fail(e, -errno, "cannot read this thread's cores: %s", strerror(errno));
	if (!err && vt_cpuset_pin_self((unsigned int)probe_core))
		err = vt_fail(e, -EINVAL, "the probe cannot run on core %d", probe_core);
	if (!err) {
		memset(p.near, 0, NEAR_BYTES); /* real pages, not the zero page */
		memset(p.far, 0, FAR_BYTES);
		set_levels(b, &p, &r);
		measure_levels(b, &p, &r);
		sched_setaffinity(0, sizeof(before), &before);
		*ret = r;
	}
	vt_big_free(p.near, NEAR_BYTES);
	vt_big_free(p.far, FAR_BYTES);
	return err;
}
