/* SPDX-License-Identifier: Apache-2.0 */
/* search.h - the highest rate that meets a target, and how sure that is over seeds. Pure. */
#ifndef VT_LOAD_SEARCH_H
#define VT_LOAD_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

/** What is asked at one rate. Returns the share that is on time, or < 0 to give up. */
typedef double (*vt_share_fn)(void *self, double rate);

struct vt_search_cfg {
	double low, high; /* rates to look between; low > 0 */
	double most;	  /* while nothing missed the target `high` is doubled, up to this */
	double target;	  /* share, e.g. 0.95 */
	double precision; /* relative, e.g. 0.005 */
};

/**
 * vt_search_rate - the highest rate in [low, max(high, most)] whose share is at least the target
 * The share is taken to fall with the rate. The last call that met the target was at the rate
 * returned, so whatever @fn kept of that call belongs to it.
 * @open: set if no rate that was tried missed the target, so that the answer may lie above; may be NULL
 * Returns 0 if even `low` misses the target, -1 if @fn gave up, else the rate.
 */
double vt_search_rate(const struct vt_search_cfg *cfg, vt_share_fn fn, void *self, bool *open);

/** A mean and the half-width of its 95 % confidence interval (Student's t). */
struct vt_mean {
	double mean, half;
	uint32_t n;
};

/** vt_t95 - two-sided 95 % point of Student's t for @freedom >= 1 degrees */
double vt_t95(uint32_t freedom);

/** vt_mean_of - of independent values; half is infinite for n < 2 */
struct vt_mean vt_mean_of(const double *values, uint32_t n);

#endif
