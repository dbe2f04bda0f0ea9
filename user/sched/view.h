/* SPDX-License-Identifier: Apache-2.0 */
/* view.h - everything a policy may look at, as one value. Pure.
 *
 * The plant (live workers or simulator) fills it, the loop adds pressure, the policy reads it. All
 * arrays belong to the plant and stay unchanged during decide(). Times are nanoseconds on the
 * plant's own monotonic clock (CLOCK_MONOTONIC live, simulated time in the simulator).
 *
 * A request is in exactly one place: in `requests` while it has no cores (just arrived, or between
 * two blocks), or as the owner of one entry of `blocks` while it runs.
 */
#ifndef VT_SCHED_VIEW_H
#define VT_SCHED_VIEW_H

#include <stdint.h>

#include "pressure/level.h"
#include "sched/coreset.h"
#include "sched/model.h"

#define VT_MAX_DOMAINS 64u
#define VT_NO_DOMAIN   0xffu

/** A request that waits for cores. 64 bytes: one cache line each in the scan of 1000. */
struct vt_request {
	uint64_t id; /* unique, never reused, in order of arrival */
	uint64_t arrival_ns;
	uint64_t deadline_ns; /* arrival + QoS; a request is on time if it ends at or before */
	uint64_t ready_ns;    /* since when it waits: arrival, or end of its last block */
	uint64_t served_ns;   /* wall time it has run so far, over all its blocks */
	uint32_t model;	      /* index into vt_view.models */
	uint32_t tenant;
	uint16_t next_layer; /* progress: first layer not yet run, < n_layers */
	uint16_t priority;   /* 1 = normal; larger is more urgent (PREMA, Planaria use it) */
	uint8_t home_domain; /* where its activations are warm, or VT_NO_DOMAIN */
	uint8_t pad[3];
	uint32_t instances_busy; /* != 0: no operator instance is free, do not start it yet */
	uint32_t pad2;
};
_Static_assert(sizeof(struct vt_request) == 64, "one cache line");

enum vt_block_flag {
	VT_BLOCK_STOPPING = 1, /* will stop at its next layer boundary: PREEMPT was applied */
	VT_BLOCK_RESIZED = 2,  /* its grant changed after the start */
	VT_BLOCK_TAKEN =
		4, /* one that ended: others took one of its cores, so it tells nothing of pressure */
};

/** A block that runs: consecutive layers of one request on a set of cores. */
struct vt_block {
	uint64_t id; /* of the request */
	uint64_t arrival_ns, deadline_ns;
	uint64_t start_ns;
	uint64_t end_ns;    /* expected, at the present grant */
	uint64_t served_ns; /* wall time the request had run before this block */
	struct vt_coreset cores;
	uint32_t model, tenant;
	uint16_t layer_begin, layer_end; /* [begin, end) */
	uint16_t layer_now;		 /* the layer under way, begin <= now < end */
	uint16_t wanted;		 /* cores the policy asked for when it started the block */
	uint16_t priority;
	uint8_t level;	 /* pressure level the versions were chosen for */
	uint8_t flags;	 /* enum vt_block_flag */
	uint16_t leader; /* the one of its cores that stays to its end */
	uint16_t pad;
};
_Static_assert(sizeof(struct vt_block) == 104, "no hidden padding: traces hold it as it is");

/** One LLC domain: cores [first, first + n_cores). Every core is in exactly one. */
struct vt_domain {
	uint16_t first, n_cores;
	uint32_t pressure_ppm;	 /* what a newcomer would feel; the loop writes it */
	uint32_t confidence_ppm; /* 0: a guess, VT_PPM: measured this very window */
};

struct vt_view {
	uint64_t now_ns;
	uint32_t n_models, n_requests, n_blocks, n_domains, n_cores;
	/*
	 * Part of a slack to keep for surprises, by how far blocks of late ended from their plan; the
	 * loop writes it. 0: not known yet.
	 */
	uint32_t margin_ppm;
	uint32_t
		taken_ppm; /* of a taken core, what is left of it: the least of them; 0 if none is */
	uint32_t pad;
	struct vt_coreset free; /* cores that run nothing and may be granted */
	/*
	 * Cores largely used by others than us, whether free or not. What runs there takes longer than any
	 * profile says. A helper there takes what time it gets, and none is waited for (exec/pool_int.h).
	 */
	struct vt_coreset taken;
	const struct vt_model *models;
	const struct vt_request *requests; /* by id, ascending: first come first */
	const struct vt_block *blocks;
	struct vt_domain *domains;
};

#endif
