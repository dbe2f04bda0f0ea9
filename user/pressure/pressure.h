/* SPDX-License-Identifier: Apache-2.0 */
/* pressure.h - counters and slowdown to contention, one estimate per LLC domain. Pure.
 *
 * The proxy is linear, as in the paper:
 *
 *     pressure = w . (1, LLC accesses, LLC misses, misses of the whole machine, busy cores)
 *
 * Rates are per nanosecond, scaled by the highest seen, so the weights are unit-free. Without
 * hardware counters only the busy cores remain. What finished blocks really felt,
 * their time inverted through their profile, corrects the weights by recursive least squares with
 * forgetting. One writer, one thread; floating point without libm, so every compiler gives the same.
 *
 * What cannot be counted cannot be predicted either: somebody outside the runtime starts and stops.
 * So a domain without counters also has a *drift*, what blocks have felt of late beyond the proxy. It
 * follows within a tenth of a second where blocks tell, and is forgotten within seconds where none does: as
 * nothing runs, or as what runs reacts by less than its times are apart anyway.
 */
#ifndef VT_PRESSURE_PRESSURE_H
#define VT_PRESSURE_PRESSURE_H

#include <stdint.h>

#include "pressure/level.h"

#define VT_PRESSURE_DOMAINS  64u
#define VT_PRESSURE_FEATURES 5u
#define VT_PRESSURE_LANES    6u /* features in whole pairs; the last is always 0 */

/** Where an estimate comes from: bits. */
enum vt_pressure_source {
	VT_PRESSURE_COUNTERS = 1, /* LLC counts of the last windows */
	VT_PRESSURE_SLOWDOWN = 2, /* finished blocks have corrected the weights */
};

struct vt_pressure_estimate {
	uint32_t ppm;
	uint32_t
		confidence_ppm; /* 0: prior only, VT_PPM: predicts what blocks feel, just checked */
	uint32_t sources;	/* enum vt_pressure_source */
};

/** Counts of one LLC domain over the window since the last sample, summed over all tenants. */
struct vt_domain_counts {
	uint64_t window_ns; /* 0: nothing was counted here; the rest is ignored */
	uint64_t llc_refs;  /* accesses to the last-level cache */
	uint64_t llc_misses;
	uint64_t instructions; /* 0: not counted here */
};

/** What can be seen in one window. */
struct vt_pressure_obs {
	const uint32_t *busy_ppm; /* [n_domains]: cores of each that run something now */
	uint32_t busy_all_ppm;	  /* of the whole machine */
	uint32_t n_counts;
	const struct vt_domain_counts *counts; /* [n_counts]; none of the domains beyond */
};

/** What one block felt, by its time. */
struct vt_felt {
	/*
	 * Piecewise linear between levels; before and behind them as steep as over all of them, so that
	 * noise has no sign. VT_FELT_LEAST .. VT_FELT_MOST.
	 */
	int32_t ppm;
	/* The block's whole reaction, time at the top level over time alone - 1, at most VT_PPM. */
	uint32_t weight_ppm;
	uint32_t noise_ppm; /* of its time; over the weight it is the noise of what was felt */
};

#define VT_FELT_LEAST (-1000000)
#define VT_FELT_MOST  2000000

/** Caller's memory; treat as opaque. */
struct vt_pressure {
	uint32_t n_domains;
	uint32_t learned; /* corrections so far, saturating */
	uint64_t fresh_ns;
	double w[VT_PRESSURE_LANES];
	double p[VT_PRESSURE_FEATURES][VT_PRESSURE_LANES]; /* inverse correlation, symmetric */
	double ref_max, miss_max, miss_all_max;		   /* highest rates seen */
	double ref_scale, miss_scale, miss_all_scale;	   /* 1 over them, 0: none seen */
	double miss_all;				   /* of this window, per ns */
	double error;					   /* mean absolute, as a share of VT_PPM */
	uint64_t checked_ns;				   /* last correction */
	uint32_t n_counted; /* domains that counters were ever read of */
	/* By domain, a row for each quantity: a step works on two domains at a time. */
	double ref[VT_PRESSURE_DOMAINS], miss[VT_PRESSURE_DOMAINS]; /* smoothed rates, per ns */
	double busy[VT_PRESSURE_DOMAINS];			    /* now... */
	double busy_mean[VT_PRESSURE_DOMAINS];	/* ...and over the windows that the rates are of */
	double still[VT_PRESSURE_DOMAINS];	/* part of that which is there now, 0 .. 1 */
	double counted[VT_PRESSURE_DOMAINS];	/* 0 or 1 */
	double drift[VT_PRESSURE_DOMAINS];	/* felt beyond the proxy; as of drift_ns */
	double drift_var[VT_PRESSURE_DOMAINS];	/* its variance, then */
	uint64_t drift_ns[VT_PRESSURE_DOMAINS]; /* 0: nothing felt yet */
};

/**
 * vt_pressure_init - start from the prior weights
 * @fresh_ns: age at which an unchecked estimate is trusted half; 0 = 10 ms
 */
void vt_pressure_init(struct vt_pressure *p, uint32_t n_domains, uint64_t fresh_ns);

/** vt_pressure_observe - take in one window of all domains */
void vt_pressure_observe(struct vt_pressure *p, const struct vt_pressure_obs *o);

/** vt_pressure_learn - a block in @domain has ended, and felt this; a weight of 0 changes nothing */
void vt_pressure_learn(struct vt_pressure *p, uint32_t domain, const struct vt_felt *felt,
		       uint64_t now_ns);

/** vt_pressure_all - what a newcomer to each domain would feel, ppm; @ret: [n_domains] */
void vt_pressure_all(const struct vt_pressure *p, uint64_t now_ns, uint32_t *ret);

/** vt_pressure_confidence - of every estimate at @now_ns */
uint32_t vt_pressure_confidence(const struct vt_pressure *p, uint64_t now_ns);

/** vt_pressure_get - both, and where they come from: what a newcomer to @domain would feel */
struct vt_pressure_estimate vt_pressure_get(const struct vt_pressure *p, uint32_t domain,
					    uint64_t now_ns);

/**
 * vt_pressure_invert - which pressure explains this time?
 * @at_level_ns: profiled time at each level; dips are read as flat
 * @ret: all but noise_ppm, which is the caller's to set: how far blocks are from each other, as a share of
 * their time (pace.h)
 * Returns 0, or -ENODATA if the block does not react at all or a time is 0.
 */
int vt_pressure_invert(const uint64_t at_level_ns[VT_LEVELS], uint64_t measured_ns,
		       struct vt_felt *ret);

#endif
