// SPDX-License-Identifier: Apache-2.0
#include "load/search.h"

#include <math.h>

double vt_search_rate(const struct vt_search_cfg *cfg, vt_share_fn fn, void *self, bool *open)
{
	double good = 0, low = cfg->low, high = cfg->high;
	bool missed = false;

	for (;;) {
		bool close = high <= low * (1 + cfg->precision);
		double rate, share;

		if (close && (missed || high >= cfg->most))
			break;
		if (close) /* nothing is known of what lies above */
			rate = high = fmin(2 * high, cfg->most);
		else /* geometric until something was met: the scale is unknown */
			rate = good > 0 ? (low + high) / 2 : sqrt(low * high);
		share = fn(self, rate);
		if (share < 0)
			return -1;
		if (share >= cfg->target) {
			good = low = rate;
		} else {
			high = rate;
			missed = true;
		}
	}
	if (open)
		*open = !missed;
	return good;
}

/** Two-sided 95 % points of Student's t for 1 .. 30 degrees of freedom. */
static const double t95[] = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
			     2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
			     2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};

double vt_t95(uint32_t freedom)
{
	const double n = freedom;

	if (freedom && freedom <= 30)
		return t95[freedom - 1];
	/* Fisher and Cornish's series: right to four digits from there on. */
	return 1.95996 + 2.372 / n + 2.82 / (n * n);
}

struct vt_mean vt_mean_of(const double *values, uint32_t n)
{
	struct vt_mean m = {.n = n, .half = INFINITY};
	double var = 0;

	for (uint32_t i = 0; i < n; i++)
		m.mean += values[i] / n;
	for (uint32_t i = 0; i < n; i++)
		var += (values[i] - m.mean) * (values[i] - m.mean);
	if (n > 1)
		m.half = vt_t95(n - 1) * sqrt(var / (n - 1) / n);
	return m;
}
