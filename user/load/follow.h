/* SPDX-License-Identifier: Apache-2.0 */
/* follow.h - how soon a value follows something that is switched on and off. Pure but for malloc. */
#ifndef VT_LOAD_FOLLOW_H
#define VT_LOAD_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_FOLLOW_GAP_S	   0.5 /* points further apart belong to different courses */
#define VT_FOLLOW_SWITCHES 256u

struct vt_follow_point {
	double at_s;
	float value;
	bool on;
};

/** A switch that was never followed counts as its whole phase in median_s and worst_s. */
struct vt_follow {
	double off, on; /* median of the later halves of phases */
	uint32_t switches, never;
	double median_s,
		worst_s; /* from the first point after the switch to halfway between off and on */
};

/**
 * vt_follow - of @n points in order of time, one course after another; the first VT_FOLLOW_SWITCHES switches
 * Returns 0; -ENODATA without a switch or without a phase of each kind; -ENOMEM
 */
int vt_follow(const struct vt_follow_point *p, size_t n, struct vt_follow *ret);

#endif
