/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crossing.h - the highest rate that meets a target, from short slices at many rates. Pure but for malloc.
 *
 * A live search cannot repeat one course of events, and each slice is a noisy coin, so no slice is
 * believed alone. Near the target the odds of missing it grow as a power of the rate (of one server
 * with deadlines of three service times: shares of 0.993, 0.977, 0.950 and 0.912 at 0.6, 0.8, 1.0
 * and 1.2 of the rate sought are a straight line of slope 4 within 0.1 in the logarithm). So a
 * line is fitted to log odds over log rate, by likelihood, and the answer is where it crosses the
 * target. Slices that a bisection would have thrown away count too. Beyond a cliff, where not half
 * of what the target asks for is in time, a slice only bounds the line from above.
 *
 * A machine that is slow for the time of one slice must not become the answer: near the target a slice of many
 * misses weighs most. So of four or more slices the one that all others contradict is set aside,
 * and said to be; and no rate to try is bounded by a slice that the median of all contradicts.
 */
#ifndef VT_LOAD_CROSSING_H
#define VT_LOAD_CROSSING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What one slice showed. */
struct vt_slice {
	double rate_hz;
	uint32_t n, in_time; /* requests offered; of them, in time */
};

#define VT_CROSSING_RESAMPLES 200

/** Where the curve crosses, and how sure that is. */
struct vt_crossing {
	double rate_hz;	  /* open: the highest that met the target; at_most: the lowest tried */
	double low, high; /* 95 % interval; infinite width (0, INFINITY) with fewer than three */
	bool open;	  /* no slice missed the target: the answer is above rate_hz */
	bool at_most;	  /* no slice met the target: the answer is below rate_hz */
	uint32_t aside;	  /* number of the slice that was set aside, from 1; 0: none */
	uint32_t n;	  /* slices */
	const struct vt_slice *slices; /* what it is of, for vt_crossing_ratio() */
	double target;
	uint64_t seed;
	double log_hz[VT_CROSSING_RESAMPLES]; /* answers of resamples; where there is an interval */
};

/**
 * vt_crossing_of - the crossing of @slices, [n] in any order, and its interval
 * The interval is Student's over a bootstrap of the slices from @seed; each resample sets aside
 * anew. The caller keeps @slices while ratios of @ret are asked for.
 * Returns 0 or -ENOMEM.
 */
int vt_crossing_of(const struct vt_slice *slices, size_t n, double target, uint64_t seed,
		   struct vt_crossing *ret);

/** How many times one serves what another does: 95 % interval. */
struct vt_ratio {
	double ratio, low, high;
};

/**
 * vt_crossing_ratio - @a over @b, both of vt_crossing_of() with the same seed
 * Slice i of both is of one round: each resample took the same rounds of both, so what slowed a
 * round for both is no doubt about the ratio. What either set aside counts for neither: @ratio is
 * then not that of their rates.
 * Returns 0; -ENODATA if either has no interval or they have not as many slices; -ENOMEM.
 */
int vt_crossing_ratio(const struct vt_crossing *a, const struct vt_crossing *b,
		      struct vt_ratio *ret);

/**
 * vt_crossing_next - the rate to try next
 * @first_hz: where to begin; > 0
 * Steps of a third, or of seven tenths while the share is far from the target, until it was both met
 * and missed; halving until those are close; then on, just above and just below the crossing in
 * turn. Once both are known, slices that the median contradicts count as neither.
 * Returns < 0: -ENOMEM.
 */
double vt_crossing_next(const struct vt_slice *slices, size_t n, double target, double first_hz);

#endif
