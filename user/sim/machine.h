/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h - a machine as a simulator needs it: counts, sizes, rates and costs.
 *
 * Read from a text file of `key = value` lines (share/machines/, docs/simulator.md); every key is
 * required, so that no constant hides in the code. Pure but for vt_machine_load(), which reads.
 */
#ifndef VT_SIM_MACHINE_H
#define VT_SIM_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define VT_MACHINE_NAME_MAX 64

struct vt_machine {
	char name[VT_MACHINE_NAME_MAX];
	/* Topology. Domains are equal and nodes hold equally many of them. */
	uint32_t cores, llc_domains, memory_nodes;
	/* Computing, per core. */
	double gflops;		       /* what a good f32 GEMM kernel reaches out of the L2 */
	double depthwise_share;	       /* part of it that a depthwise kernel reaches */
	uint32_t tile_rows, tile_cols; /* of the microkernel's output tile */
	/* Caches and memory. */
	double l2_bytes, llc_bytes; /* per core; per domain */
	double llc_gbps;	    /* one core filling its L2 from its LLC */
	double core_dram_gbps;	    /* one core streaming alone */
	double domain_dram_gbps;    /* one LLC domain streaming alone */
	double node_dram_gbps;	    /* one memory node, every core streaming */
	/*
	 * Latency of memory at a part u of that: 1 + queue_slope u / (1 - queue_knee u) times the
	 * idle one. A core has so many lines under way, so its own bandwidth falls as latency grows.
	 */
	double queue_slope, queue_knee;
	double overlap; /* exponent p: time = (compute^p + llc^p + dram^p)^(1/p); 1 = no overlap */
	/* Running in parallel. */
	double fork_ns, fork_core_ns; /* start and join of one layer: fork + cores * fork_core */
	double wake_ns, wake_core_ns; /* start of a block: wake + new cores * wake_core */
	double all_cores_ppm;	      /* slowdown of a grant that leaves the OS no core */
	double beside_ppm; /* of a block while all other cores are busy: shared cores, clocks */
};

/**
 * vt_machine_parse - read @text (NUL-terminated) into @ret, written only on success
 * @where: name for the error message
 * Returns 0 or -EINVAL: unknown, double or missing key, no number, or a value out of its range.
 */
int vt_machine_parse(const char *text, const char *where, struct vt_machine *ret, struct vt_err *e);

/** vt_machine_load - vt_machine_parse() of a file of at most 64 KiB; 0 or -errno */
int vt_machine_load(const char *path, struct vt_machine *ret, struct vt_err *e);

/** vt_machine_domain_cores - cores of one LLC domain */
static inline uint32_t vt_machine_domain_cores(const struct vt_machine *m)
{
	return m->cores / m->llc_domains;
}

/**
 * vt_machine_stretch - factor by which memory latency grows beside a bubble of @intensity (0..1)
 * Intensity 1 is every core of the machine streaming: the heaviest bubble there is room for.
 */
double vt_machine_stretch(const struct vt_machine *m, double intensity);

/** vt_machine_bubble_gbps - what such a bubble draws from each memory node at latency @stretch */
double vt_machine_bubble_gbps(const struct vt_machine *m, double intensity, double stretch);

/**
 * vt_machine_supply_gbps - what a memory node delivers when latency has grown by @stretch >= 1
 * Ascends from 0 to node_dram_gbps, where more requests under way only wait longer.
 */
double vt_machine_supply_gbps(const struct vt_machine *m, double stretch);

/** vt_machine_full_stretch - the stretch from which on a node delivers all it can */
double vt_machine_full_stretch(const struct vt_machine *m);

#endif
