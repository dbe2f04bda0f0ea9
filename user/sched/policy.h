/* SPDX-License-Identifier: Apache-2.0 */
/* policy.h - a scheduling policy: values in, values out. Pure.
 *
 * decide() reads one view and writes one decision. Same state, same view: same decision, on any
 * compiler (integers only). No I/O, clock, malloc, globals or threads; one state per loop.
 *
 * What every policy guarantees, whatever the view holds (tests/unit/test_policy_props.c):
 *   - it grants only free cores, each at most once, and never more than exist;
 *   - it starts a request at most once, from its next layer, and never an empty block;
 *   - GROW, SHRINK and PREEMPT name running blocks; SHRINK leaves at least one core;
 *   - if all cores are free and a request waits that may start, something is started or shed.
 */
#ifndef VT_SCHED_POLICY_H
#define VT_SCHED_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "sched/decision.h"
#include "sched/view.h"

/** Sizes and choices a policy's state is made for; fixed for the life of the state. */
struct vt_policy_cfg {
	uint32_t n_cores; /* 1 .. VT_SCHED_MAX_CORES */
	/* How many wait and how many tenants there are at most: no policy asks today, recordings hold it. */
	uint32_t max_requests, max_tenants;
	uint32_t margin_ppm; /* part of the slack kept for surprises; 0 = the policy's default */
	uint32_t unused;     /* 0; keeps the layout of recordings */
	uint8_t shed;	     /* != 0: hopeless requests may be refused, else they run last */
	uint8_t pad[3];
};

struct vt_policy {
	const char *name;    /* "veltair-full" */
	const char *summary; /* one line */
	uint32_t plan_needs; /* what vt_plan_init() must hold for it */
	uint32_t
		heeds_taken; /* != 0: stays off cores that others have taken, but for polite helpers */
	uint32_t sheds;	     /* != 0: with cfg.shed, what cannot be in time is never started */
	/** bytes of state for @cfg; 0 if @cfg is out of range. Align it to 64. */
	size_t (*state_size)(const struct vt_policy_cfg *cfg);
	/** init - make a fresh state in @state; 0 or -EINVAL */
	int (*init)(const struct vt_policy *p, void *state, const struct vt_policy_cfg *cfg);
	/** decide - read @view, overwrite n_actions, n_versions and wake_ns of @ret */
	void (*decide)(void *state, const struct vt_view *view, struct vt_decision *ret);
	const void *traits; /* private to the policy's implementation */
};

#define VT_POLICY_DEFAULT "veltair-full"

/** vt_policy_find - by name; NULL if there is none */
const struct vt_policy *vt_policy_find(const char *name);

/** vt_policy_at - the i-th of all policies, baselines first; NULL past the last */
const struct vt_policy *vt_policy_at(unsigned int i);

#endif
