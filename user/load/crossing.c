// SPDX-License-Identifier: Apache-2.0
#include "load/crossing.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "load/search.h"

#define RESAMPLES 200
#define STEP	  1.33
#define STRIDE	  1.7 /* while the share is nowhere near the target */
/* The fit leans this little on a slope of 6, for where all slices lie at one rate. */
#define SLOPE	    6.0
#define SLOPE_PRIOR 0.5

/** The line log odds of missing = a + b * (log rate - mid). */
struct line {
	double a, b, mid;
};

static bool counts(const struct vt_slice *s)
{
	/* Far beyond the target a queue without drops falls off a cliff, which is no line. */
	return s->n && s->in_time * 2 > s->n;
}

/** One step of Newton's method on the likelihood; returns how far it went. */
static double improve(struct line *l, const struct vt_slice *s, size_t n)
{
	double g0 = 0, g1 = -SLOPE_PRIOR * (l->b - SLOPE), h00 = 1e-6, h01 = 0, h11 = SLOPE_PRIOR;
	double det, da, db;

	for (size_t i = 0; i < n; i++) {
		double x, p, w;

		if (!counts(&s[i]))
			continue;
		x = log(s[i].rate_hz) - l->mid;
		p = 1 / (1 + exp(-l->a - l->b * x));
		w = s[i].n * p * (1 - p) + 1e-9;
		g0 += s[i].n * (1 - p) - s[i].in_time;
		g1 += (s[i].n * (1 - p) - s[i].in_time) * x;
		h00 += w;
		h01 += w * x;
		h11 += w * x * x;
	}
	det = h00 * h11 - h01 * h01;
	da = fmax(-2, fmin(2, (h11 * g0 - h01 * g1) / det));
	db = fmax(-4, fmin(4, (h00 * g1 - h01 * g0) / det));
	l->a += da;
	l->b = fmax(1, l->b + db);
	return fabs(da) + fabs(db);
}

static double cross(const struct vt_slice *s, size_t n, double target)
{
	double goal = log((1 - target) / target), weight = 0;
	struct line l = {goal, SLOPE, 0};

	for (size_t i = 0; i < n; i++) {
		if (!counts(&s[i]))
			continue;
		l.mid += s[i].n * log(s[i].rate_hz);
		weight += s[i].n;
	}
	if (weight <= 0)
		return 0;
	l.mid /= weight;
	for (int i = 0; i < 60 && improve(&l, s, n) > 1e-9; i++)
		;
	return exp(l.mid + (goal - l.a) / l.b);
}

/** The rates around the answer that were tried. */
struct bracket {
	double met, missed;	      /* highest that met, lowest that missed; 0, INFINITY: none */
	double lowest_hz, highest_hz; /* of all */
};

static struct bracket bracket_of(const struct vt_slice *s, size_t n, double target)
{
	struct bracket b = {0, INFINITY, INFINITY, 0};

	for (size_t i = 0; i < n; i++) {
		if (s[i].n && s[i].in_time >= target * s[i].n)
			b.met = fmax(b.met, s[i].rate_hz);
		else
			b.missed = fmin(b.missed, s[i].rate_hz);
		b.lowest_hz = fmin(b.lowest_hz, s[i].rate_hz);
		b.highest_hz = fmax(b.highest_hz, s[i].rate_hz);
	}
	return b;
}

/** The answer lies where slices are: not more than a step outside them. */
static double within(double rate, const struct bracket *b)
{
	return fmax(b->lowest_hz / STEP, fmin(b->highest_hz * STEP, rate));
}

int vt_crossing_of(const struct vt_slice *slices, size_t n, double target, uint64_t seed,
		   struct vt_crossing *ret)
{
	struct bracket b = bracket_of(slices, n, target);
	struct vt_slice *s;
	double v[RESAMPLES], root_n = sqrt(n > 1 ? (double)n / (double)(n - 1) : 1), var = 0, half;
	struct vt_rng rng = {seed};
	struct vt_mean m;

	*ret = (struct vt_crossing){b.met, 0, INFINITY, b.met > 0 && isinf(b.missed)};
	if (b.met <= 0 || isinf(b.missed))
		return 0;
	ret->rate_hz = within(cross(slices, n, target), &b);
	if (n < 3)
		return 0;
	s = malloc(n * sizeof(*s));
	if (!s)
		return -ENOMEM;
	for (int r = 0; r < RESAMPLES; r++) {
		for (size_t i = 0; i < n; i++)
			s[i] = slices[vt_rng_below(&rng, n)];
		v[r] = log(within(cross(s, n, target), &b));
	}
	free(s);
	m = vt_mean_of(v, RESAMPLES);
	for (int r = 0; r < RESAMPLES; r++)
		var += (v[r] - m.mean) * (v[r] - m.mean) / RESAMPLES;
	half = vt_t95((uint32_t)n - 1) * sqrt(var) * root_n;
	ret->low = ret->rate_hz * exp(-half);
	ret->high = ret->rate_hz * exp(half);
	return 0;
}

static double worst_share(const struct vt_slice *s, size_t n)
{
	double worst = 1;

	for (size_t i = 0; i < n; i++)
		worst = fmin(worst, s[i].n ? (double)s[i].in_time / s[i].n : 0);
	return worst;
}

double vt_crossing_next(const struct vt_slice *slices, size_t n, double target, double first_hz)
{
	static const double around[] = {1, 1.06, 0.95};
	struct bracket b = bracket_of(slices, n, target);

	if (!n)
		return first_hz;
	if (b.met <= 0)
		return b.missed / (worst_share(slices, n) < 0.6 ? STRIDE : STEP);
	if (isinf(b.missed))
		return b.met *
		       (worst_share(slices, n) > target + 0.7 * (1 - target) ? STRIDE : STEP);
	if (b.missed > b.met * 1.15)
		return sqrt(b.met * b.missed);
	return within(cross(slices, n, target), &b) * around[n % 3];
}
