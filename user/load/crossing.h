/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crossing.h - the highest rate that meets a target, from short slices at many rates. Pure but for
 * malloc.
 *
 * A live search cannot repeat one course of events, and each slice is a noisy coin, so no slice is
 * believed alone. Near the target the odds of missing it grow as a power of the rate (of one server
 * with deadlines of three service times: shares of 0.993, 0.977, 0.950 and 0.912 at 0.6, 0.8, 1.0
 * and 1.2 of the rate sought are a straight line of slope 4 within 0.1 in the logarithm). So a
 * line is fitted to log odds over log rate, by likelihood, and the answer is where it crosses the
 * target. Every slice counts, also those that a bisection would have thrown away.
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

/** Where the curve crosses, and how sure that is. */
struct vt_crossing {
	double rate_hz;	  /* 0: no slice met the target */
	double low, high; /* 95 % interval; infinite width (0, INFINITY) with fewer than three */
	bool open;	  /* no slice missed the target: rate_hz is the highest tried */
};

/**
 * vt_crossing_of - the crossing of @slices, [n] in any order, and its interval
 * The interval is Student's over a bootstrap of the slices from @seed.
 * Returns 0 or -ENOMEM.
 */
int vt_crossing_of(const struct vt_slice *slices, size_t n, double target, uint64_t seed,
		   struct vt_crossing *ret);

/**
 * vt_crossing_next - the rate to try next
 * @first_hz: where to begin; > 0
 * Steps of a third, or of seven tenths while the share is far from the target, until it was both met
 * and missed; halving until those are close; then on, just above and just below the crossing in
 * turn.
 */
double vt_crossing_next(const struct vt_slice *slices, size_t n, double target, double first_hz);

#endif
