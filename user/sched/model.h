/* SPDX-License-Identifier: Apache-2.0 */
/* model.h - what the scheduler knows of a model: how long each layer takes. Pure.
 *
 * The tables belong to the caller (simulator, profile store) and stay valid and unchanged while
 * any view names the model. Times are wall nanoseconds of one layer on a whole grant.
 */
#ifndef VT_SCHED_MODEL_H
#define VT_SCHED_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "pressure/level.h"

#define VT_MODEL_NAME_MAX 32u
#define VT_MAX_LAYERS	  4096u
#define VT_MAX_VERSIONS	  5u  /* the paper's bound per layer */
#define VT_MAX_POINTS	  64u /* core counts with a measurement */

/* A futex wake of a core that sleeps, on bare metal; the cores after the first in its shadow. */
#define VT_OPEN_NS	5000u
#define VT_OPEN_CORE_NS 500u

struct vt_plan; /* plan.h */

/** One model's profile. Version 0 of a layer is the code that is fastest alone. */
struct vt_model {
	char name[VT_MODEL_NAME_MAX]; /* NUL-terminated */
	uint64_t qos_ns;	      /* latency target, arrival to end */
	uint16_t n_layers;
	uint16_t n_points;	/* measured core counts */
	uint8_t n_versions;	/* row width of the tables below, 1 .. VT_MAX_VERSIONS */
	const uint16_t *points; /* [n_points], strictly ascending, first >= 1 */
	/*
	 * [n_layers][n_versions][VT_LEVELS][n_points]. 0 marks a version that this layer does not
	 * have; then all its entries are 0. Version 0 always exists.
	 */
	const uint64_t *ns;
	/* [n_layers][n_versions]: bytes moved to and from DRAM when alone; NULL if unknown. */
	const uint64_t *dram_bytes;
	/*
	 * What a block costs before its first layer: waking its cores, open_ns + cores * open_core_ns.
	 * Both 0: VT_OPEN_NS and VT_OPEN_CORE_NS. Plans weigh it against finer blocks.
	 */
	uint32_t open_ns, open_core_ns;
	const struct vt_plan *plan; /* from vt_plan_init(); needed by every policy */
	/* Two bounds for a whole request on an idle machine, from the plan. */
	uint64_t fastest_ns;	/* every layer on its fastest cores and code */
	uint64_t least_core_ns; /* every layer on its cheapest */
};

/** vt_model_ns - entry of the time table; no bounds check */
static inline uint64_t vt_model_ns(const struct vt_model *m, unsigned int layer,
				   unsigned int version, unsigned int level, unsigned int point)
{
	size_t row = ((size_t)layer * m->n_versions + version) * VT_LEVELS + level;

	return m->ns[row * m->n_points + point];
}

/** What vt_model_check() found wrong, and where. */
struct vt_model_fault {
	const char *what; /* static text, for one line of an error message */
	unsigned int layer, version, level, point;
};

/**
 * vt_model_check - is this profile complete and sane?
 * @fault: may be NULL; written only on failure
 * Returns 0; -EINVAL for no layers, no points, points out of order or past VT_SCHED_MAX_CORES,
 * qos_ns of 0, missing version 0, a version with only some entries, or a whole model above an hour.
 */
int vt_model_check(const struct vt_model *m, struct vt_model_fault *fault);

/**
 * vt_model_point - index of the largest measured core count <= @cores, or -1 below the first
 * A grant between two points runs as the lower one, which is safe: never promise unmeasured speed.
 */
int vt_model_point(const struct vt_model *m, unsigned int cores);

/**
 * vt_model_block_ns - time of layers [begin, end) on @cores at @level
 * @versions: one per layer of the range, or NULL for version 0 of each
 * Below the first measured count, time grows as first / cores. Saturates at UINT64_MAX / 2.
 */
uint64_t vt_model_block_ns(const struct vt_model *m, unsigned int begin, unsigned int end,
			   const uint8_t *versions, unsigned int cores, unsigned int level);

/** vt_model_block_levels - vt_model_block_ns() of every level, in one pass */
void vt_model_block_levels(const struct vt_model *m, unsigned int begin, unsigned int end,
			   const uint8_t *versions, unsigned int cores, uint64_t ret[VT_LEVELS]);

#endif
