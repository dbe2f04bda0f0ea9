/* SPDX-License-Identifier: Apache-2.0 */
/* loop.h - the story: counters -> pressure -> decide -> apply, and slowdown back. Pure.
 *
 * The live runtime and the simulator call the same vt_loop_step() with different plants. One loop
 * belongs to one thread.
 */
#ifndef VT_LOOP_LOOP_H
#define VT_LOOP_LOOP_H

#include <stddef.h>
#include <stdint.h>

#include "loop/plant.h"
#include "sched/policy.h"

struct vt_loop; /* opaque: lives in memory of vt_loop_size() bytes */

struct vt_loop_cfg {
	const struct vt_policy *policy;
	struct vt_policy_cfg policy_cfg;
	uint32_t n_domains;
	uint32_t max_layers; /* of the largest model; bounds the versions of one decision */
	uint64_t fresh_ns;   /* age at which an unrefreshed pressure is half trusted; 0 = 10 ms */
};

/** What the loop did, for metrics and for tests. */
struct vt_loop_stats {
	uint64_t steps, starts, conflicts, grows, shrinks, preempts, sheds;
	uint64_t learned; /* finished blocks that corrected the pressure */
};

/** vt_loop_size - bytes for @cfg, state of the policy included; 0 if @cfg is out of range */
size_t vt_loop_size(const struct vt_loop_cfg *cfg);

/**
 * vt_loop_init - make a loop in @mem, aligned to 64; returns it, or NULL if @cfg is out of range
 * or @len is too small. No fini: it owns nothing.
 */
struct vt_loop *vt_loop_init(void *mem, size_t len, const struct vt_loop_cfg *cfg);

/**
 * vt_loop_step - one turn of the story
 * Call it after every arrival and every end of a block (or batch of them), and at wake_ns.
 * Returns 0, or what the plant's sample or apply returned.
 */
int vt_loop_step(struct vt_loop *l, const struct vt_plant *plant, void *self);

/** vt_loop_decision - the last decision (for recorders; valid until the next step) */
const struct vt_decision *vt_loop_decision(const struct vt_loop *l);

const struct vt_loop_stats *vt_loop_stats(const struct vt_loop *l);

#endif
