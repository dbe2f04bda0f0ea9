/* SPDX-License-Identifier: Apache-2.0 */
/* plant.h - what the loop controls: live workers, the simulator, or a recorded trace.
 *
 * A plant is called from the loop's thread only. The arrays that sample() hands out belong to the
 * plant and stay unchanged until the next sample().
 */
#ifndef VT_LOOP_PLANT_H
#define VT_LOOP_PLANT_H

#include <stdint.h>

#include "pressure/pressure.h"
#include "sched/decision.h"
#include "sched/view.h"

/** A block that ended since the last sample: what the pressure model learns from. */
struct vt_done {
	uint64_t id;
	uint64_t start_ns, end_ns;
	struct vt_coreset
		cores; /* its grant; a block with VT_BLOCK_RESIZED or _TAKEN is not learned from */
	uint32_t model;
	uint16_t layer_begin, layer_end; /* layers really run: a preempted block ends early */
	uint32_t version_at;		 /* into vt_sample.done_versions, one per layer run */
	uint8_t level;			 /* it was started for */
	uint8_t flags;			 /* enum vt_block_flag */
	uint16_t pad;
};

struct vt_sample {
	struct vt_view view; /* domains[].pressure_ppm and confidence_ppm are the loop's to write */
	const struct vt_domain_counts
		*counts; /* [view.n_domains]; NULL if nothing can be counted */
	const struct vt_done *done;
	const uint8_t *done_versions;
	uint32_t n_done, n_done_versions;
};

struct vt_plant {
	/** sample - what is true now; 0, or -errno, which vt_loop_step() returns */
	int (*sample)(void *self, struct vt_sample *ret);
	/**
	 * apply - carry the decision out
	 * @s: the sample it was made from, its pressure filled in
	 * An action that came too late (its block has just ended) is dropped and counted by the
	 * plant, not an error. Returns 0 or -errno.
	 */
	int (*apply)(void *self, const struct vt_sample *s, const struct vt_decision *d);
};

#endif
