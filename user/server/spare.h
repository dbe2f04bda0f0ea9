/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spare.h - how much more a node could take within QoS, as a weight in percent. Pure: time is an
 * argument. docs/scale.md says why this formula.
 *
 *	weight = free x pace x slack x calm x kept	each 0 .. 1
 *
 *	free	1 - busy - taken	core time nobody used, of the last second, nor others on cores they take much of
 *	pace	plan / time taken	of the last blocks, 20 ms of them or half a second: a core that somebody
 *					else uses half of does half as much in the time that is free
 *	slack	min(1, 2 (1 - u))	u = (wait + service) / target: how much of its target a
 *					request that came now would need; all is well up to a half
 *	calm	1 - pressure / 2	what contention will take: under the heaviest a core counts half
 *	kept	1 - missed		requests of the last second that were in time
 */
#ifndef VT_SERVER_SPARE_H
#define VT_SERVER_SPARE_H

#include <stdbool.h>

#include "exec/runtime.h"

#define VT_SPARE_FLOOR	   5u /* percent: a node that gets nothing never shows that it is well again */
#define VT_SPARE_STEP	   5u	/* percent: a weight that moved less stays as it was told */
#define VT_SPARE_RISE	   10u	/* percent a second at most */
#define VT_SPARE_FALL_MS   150u /* time constant of falling */
#define VT_SPARE_SAMPLES   11u	/* of a window: ten intervals */
#define VT_SPARE_TICK_MS   100u
#define VT_SPARE_BRIEF	   5u	 /* intervals that the pace is taken over, at most */
#define VT_SPARE_ENOUGH_MS 20u	 /* of blocks: the pace needs no more intervals than these took */
#define VT_SPARE_HALF_MS   1000u /* half-life of a slow pace while no block ends */

/** What a weight is made of. */
struct vt_spare {
	uint32_t cores;
	uint32_t busy_ppm;     /* of the time of all cores */
	uint32_t pressure_ppm; /* mean of the LLC domains, by their cores */
	uint32_t pace_ppm;     /* what the plan says, of what blocks take; 0: no block yet */
	uint32_t taken_ppm;    /* of all core time, what others have on cores that count as taken */
	uint32_t missed_ppm;   /* late, shed or no room, of all that ended */
	uint64_t backlog_ns;   /* core time of what waits */
	uint64_t
		service_ns; /* mean time of a request from its first block to its end; 0: unknown */
	uint64_t target_ns; /* mean QoS of the same requests; 0: no requests, so slack is 1 */
};

/** vt_spare_percent - VT_SPARE_FLOOR .. 100 */
uint32_t vt_spare_percent(const struct vt_spare *s);

/** Sums since the start, of all models. */
struct vt_spare_sums {
	uint64_t ns, busy_ns, done, missed, refused, service_ns, took_ns, planned_ns;
	uint64_t target_ns,
		targets; /* what requests were to take by their QoS then, and how many */
};

/** The last second. Zeroed by the caller before its first use. */
struct vt_spare_window {
	struct vt_spare_sums ring[VT_SPARE_SAMPLES];
	uint32_t n, next;
	uint64_t target_ns, targets; /* as of the last look */
	struct {
		uint32_t id;
		uint64_t done;
	} model[VT_RUNTIME_MODELS]; /* at the last look, by slot */
	double pace;		    /* as of the last look with a block, 0: none yet */
	uint64_t pace_ns;	    /* that look */
};

/** vt_spare_take - add a look at the runtime; @ret is what the window says now */
void vt_spare_take(struct vt_spare_window *w, const struct vt_runtime_stats *s,
		   struct vt_spare *ret);

/** What is told. Zeroed by the caller before its first use. */
struct vt_weight {
	bool begun;
	uint64_t ns;
	double level;	/* percent, follows the weight wanted */
	uint32_t shown; /* percent, as told */
};

/** vt_weight_step - follow @percent: down within tenths of a second, up slowly; returns ->shown */
uint32_t vt_weight_step(struct vt_weight *w, uint32_t percent, uint64_t now_ns);

#endif
