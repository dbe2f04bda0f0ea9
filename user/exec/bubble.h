/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bubble.h - an aggressor of tunable intensity on chosen cores, and what its five levels mean here.
 *
 * Each of its cores walks through its part of a footprint and touches one word of every line, reading
 * and writing; between bursts it pauses. Footprint says how much cache it wants, the share of time
 * in bursts how much bandwidth.
 *
 * A level is defined by what the bubble does to a reference probe on another core (streams through
 * memory that lies beyond L2, and beyond the last cache), so that it means the same on another
 * machine: level 4 is the heaviest bubble there is room for, and level L slows the probe by L/4 of
 * what level 4 slows it by. Where even level 4 does next to nothing to the probe, because the cores
 * share neither cache nor a tight memory path, levels are steps of bandwidth instead, and by_bandwidth
 * says so.
 */
#ifndef VT_EXEC_BUBBLE_H
#define VT_EXEC_BUBBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpuset.h"
#include "base/error.h"
#include "pressure/level.h"

#define VT_BUBBLE_SETTLE_NS 2000000u /* from setting to steady: one pass through a large cache */

struct vt_bubble;

struct vt_bubble_setting {
	size_t footprint_bytes; /* of all cores together; 0: silence */
	uint32_t duty_ppm;	/* share of the time in bursts */
};

/** What the levels are on this machine, for one set of cores. Level 0 is silence. */
struct vt_bubble_scale {
	struct vt_bubble_setting level[VT_LEVELS];
	uint32_t slowdown_ppm[VT_LEVELS]; /* of the probe: VT_PPM is its time alone */
	uint64_t bytes_per_s[VT_LEVELS];  /* that the bubble touched */
	bool by_bandwidth, probed;	  /* probed: there was a core for the probe */
};

/**
 * vt_bubble_fits - do a bubble and the probe of its levels fit into the memory that is left, and as
 * much again? Writes what they need, and what there is
 * @root: NULL, or another tree than / (tests)
 */
bool vt_bubble_fits(const char *root, uint64_t *need_bytes, uint64_t *have_bytes);

/**
 * vt_bubble_open - one pinned thread per core, asleep
 * -EINVAL: no core, or one that this process may not use; -ENOMEM, -EAGAIN
 */
int vt_bubble_open(struct vt_bubble **ret, const struct vt_cpuset *cores, struct vt_err *e);
void vt_bubble_close(struct vt_bubble *b); /* accepts NULL */

/** vt_bubble_set - from now on so hard; silence when footprint_bytes is 0. Settle afterwards. */
void vt_bubble_set(struct vt_bubble *b, struct vt_bubble_setting s);
/** vt_bubble_bytes - touched since it was opened, whole lines */
uint64_t vt_bubble_bytes(const struct vt_bubble *b);

/** vt_bubble_room - the largest footprint it can have, bytes */
size_t vt_bubble_room(const struct vt_bubble *b);

/**
 * vt_bubble_calibrate - find the levels; about a second, during which the machine should be quiet
 * @probe_core: where the probe runs, none of the bubble's; negative: there is none, and levels are
 * steps of bandwidth
 */
int vt_bubble_calibrate(struct vt_bubble *b, int probe_core, struct vt_bubble_scale *ret,
			struct vt_err *e);

/**
 * The same in pieces, on a machine that is quiet now and then. A level is found by many turns of
 * silence beside pressure; one that was interrupted is thrown away, those before it stay.
 */
struct vt_bubble_search;

/** vt_bubble_search_new - takes the memory of the probe, and touches it. @b: kept */
int vt_bubble_search_new(struct vt_bubble_search **ret, struct vt_bubble *b, int probe_core,
			 struct vt_err *e);
/**
 * vt_bubble_search_go - go on until all levels are found
 * @stop: asked several times a turn; true: be silent, and return -ECANCELED (@e untouched). May be
 * NULL.
 */
int vt_bubble_search_go(struct vt_bubble_search *s, bool (*stop)(void *arg), void *arg,
			struct vt_bubble_scale *ret, struct vt_err *e);
void vt_bubble_search_free(struct vt_bubble_search *s); /* accepts NULL */

/** vt_bubble_pause - for @ns, or until @stop (NULL: never) says so; returns whether it did */
bool vt_bubble_pause(uint64_t ns, bool (*stop)(void *arg), void *arg);

#endif
