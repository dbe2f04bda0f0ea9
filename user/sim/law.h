/* SPDX-License-Identifier: Apache-2.0 */
/* law.h - how long one layer takes on a machine, as a function of its code, cores and neighbours.
 *
 * The laws and where each constant comes from: docs/simulator.md. Pure.
 */
#ifndef VT_SIM_LAW_H
#define VT_SIM_LAW_H

#include <stdint.h>

#include "sim/machine.h"
#include "sim/net.h"

/** Which dimension of the output is divided between LLC domains. */
enum vt_axis {
	VT_AXIS_ROWS, /* each domain has its rows and reads all weights */
	VT_AXIS_COLS, /* each domain has its columns (and weights) and reads the whole input */
};

/** A version of a layer's code: the chunk that one core takes at a time, and the traversal. */
struct vt_code {
	uint32_t rows, cols; /* of a chunk */
	uint8_t axis;	     /* enum vt_axis */
};

/** What a layer needs; its time follows by vt_law_ns(). */
struct vt_need {
	double compute_ns; /* makespan of the chunks, kernels never waiting for data */
	double llc_ns;	   /* filling the L2s */
	double dram_ns;	   /* as its cores draw from memory at idle latency */
	double link_ns;	   /* as its domains' and nodes' links deliver, whatever the latency */
	double fork_ns;	   /* start and join */
	double slow;	   /* factor on all of it (the grant that has every core) */
	double llc_bytes, dram_bytes;
};

/** Where a layer runs. */
struct vt_place {
	uint32_t cores, domains;
	double llc_bytes; /* of each domain's cache, left by the neighbours */
};

/** vt_place_compact - @cores on as few domains as hold them, with @share (0..1] of their caches */
struct vt_place vt_place_compact(const struct vt_machine *m, uint32_t cores, double share);

/** vt_law_need - what @s needs as @code on @place */
struct vt_need vt_law_need(const struct vt_machine *m, const struct vt_layer_shape *s,
			   const struct vt_code *code, const struct vt_place *place);

/** vt_law_ns - time when memory latency is @stretch >= 1 times that of an idle machine */
double vt_law_ns(const struct vt_machine *m, const struct vt_need *need, double stretch);

/**
 * vt_law_codes - the candidates of a layer, largest chunks first
 * @ret: room for @max; VT_CODES_MAX is always enough
 * Returns their count, at least 1.
 */
#define VT_CODES_MAX 1536u
uint32_t vt_law_codes(const struct vt_machine *m, const struct vt_layer_shape *s,
		      struct vt_code *ret, uint32_t max);

/** vt_law_llc_share - part of the LLC a grant keeps beside a bubble of @intensity (0..1) */
double vt_law_llc_share(const struct vt_machine *m, uint32_t cores, double intensity);

#endif
