// SPDX-License-Identifier: Apache-2.0
#include "load/crossing.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/order.h"
#include "base/rng.h"
#include "load/search.h"

#define STEP	  1.33
#define STRIDE	  1.7  /* while the share is nowhere near the target: */
#define FAR_BELOW 0.63 /* so much of it is in time, or less */
#define FAR_ABOVE 0.3  /* so much of what may miss it does, or less */
/* The fit leans this little on a slope of 6, for where all slices lie at one rate. */
#define SLOPE	    6.0
#define SLOPE_PRIOR 0.5
/* Of one slice by itself: the slope it is moved to the target along, and how far at most. */
#define ALONE_SLOPE 5.0
#define ALONE_FAR   0.35
/* Late requests come in clusters: their number varies as if it were of a third as many coins. */
#define CLUSTERED 3.0
#define ASIDE_MIN 4   /* slices; of fewer, none can be said to stand alone */
#define ASIDE	  3.0 /* deviations from the line through the others */
#define MISPLACED 3.5 /* from the curve of the median */

/* The bootstrap knows only the slices there are, at rates which they chose themselves: see the test. */
#define WIDER 1.4

/** Slices by reference: a resample has some of them twice. */
struct set {
	const struct vt_slice **s;
	double *room; /* [n] */
	size_t n;
	double target;
	double cliff; /* share missed: beyond it a slice says no more than that it is beyond */
	/* Set by median_line(): the lowest rate that missed, the highest that is not beyond. */
	double lowest_missed, edge;
};

/** The line log odds of missing = a + b * (log rate - mid). */
struct line {
	double a, b, mid;
};

static void set_fini(struct set *t)
{
	free(t->s);
	free(t->room);
}

static int set_init(struct set *t, const struct vt_slice *slices, size_t n, double target)
{
	/* Far beyond the target a queue without drops falls off a cliff, which is no line. */
	*t = (struct set){malloc((n + 1) * sizeof(*t->s)),
			  malloc((n + 1) * sizeof(*t->room)),
			  n,
			  target,
			  1 - target / 2,
			  0,
			  0};
	if (!t->s || !t->room) {
		set_fini(t);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n; i++)
		t->s[i] = &slices[i];
	return 0;
}

static double goal_of(double target)
{
	return log((1 - target) / target);
}

/* ---- the line ----------------------------------------------------------------------------- */

static bool beyond(const struct set *t, const struct vt_slice *s)
{
	return s->n - s->in_time >= t->cliff * s->n;
}

static bool met(const struct set *t, const struct vt_slice *s)
{
	return s->n && s->in_time >= t->target * s->n;
}

static double missed_of(const struct set *t, const struct vt_slice *s)
{
	return beyond(t, s) ? t->cliff * s->n : s->n - s->in_time;
}

static double share_of(const struct line *l, const struct vt_slice *s)
{
	return 1 / (1 + exp(-l->a - l->b * (log(s->rate_hz) - l->mid)));
}

/** One step of Newton's method on the likelihood; returns how far it went. */
static double improve(struct line *l, const struct set *t, const struct vt_slice *skip)
{
	double g0 = 0, g1 = -SLOPE_PRIOR * (l->b - SLOPE), h00 = 1e-6, h01 = 0, h11 = SLOPE_PRIOR;
	double det, da, db;

	for (size_t i = 0; i < t->n; i++) {
		const struct vt_slice *s = t->s[i];
		double x = log(s->rate_hz) - l->mid, p = share_of(l, s);
		double n = beyond(t, s) ? s->n / CLUSTERED : s->n, w = n * p * (1 - p) + 1e-9;
		/* Both beyond the cliff: they agree. Its curvature stays, or the steps would swing. */
		double g = p > t->cliff && beyond(t, s) ? 0 : (missed_of(t, s) / s->n - p) * n;

		if (s == skip || !s->n)
			continue;
		g0 += g;
		g1 += g * x;
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

/** The likeliest line through all but @skip; false if there is nothing else. */
static bool fit(struct line *l, const struct set *t, const struct vt_slice *skip)
{
	double weight = 0;

	*l = (struct line){goal_of(t->target), SLOPE, 0};
	for (size_t i = 0; i < t->n; i++) {
		if (t->s[i] == skip)
			continue;
		l->mid += t->s[i]->n * log(t->s[i]->rate_hz);
		weight += t->s[i]->n;
	}
	if (weight <= 0)
		return false;
	l->mid /= weight;
	for (int i = 0; i < 200 && improve(l, t, skip) > 1e-9; i++)
		;
	return true;
}

static double cross(const struct set *t, const struct vt_slice *skip)
{
	struct line l;

	return fit(&l, t, skip) ? exp(l.mid + (goal_of(t->target) - l.a) / l.b) : 0;
}

/* ---- slices that the others contradict ---------------------------------------------------- */

/**
 * The line through the median of what each slice says alone. One bad slice hardly moves it, however
 * bad and however many requests it had; those far from the target only say on which side they are.
 */
static struct line median_line(struct set *t)
{
	double goal = goal_of(t->target);

	t->edge = 0;
	t->lowest_missed = INFINITY;
	for (size_t i = 0; i < t->n; i++) {
		const struct vt_slice *s = t->s[i];
		double odds = (s->n - s->in_time + 0.5) / (s->in_time + 0.5);

		t->room[i] = log(s->rate_hz) +
			     fmax(-ALONE_FAR, fmin(ALONE_FAR, (goal - log(odds)) / ALONE_SLOPE));
		if (!beyond(t, s))
			t->edge = fmax(t->edge, s->rate_hz);
		if (!met(t, s))
			t->lowest_missed = fmin(t->lowest_missed, s->rate_hz);
	}
	qsort(t->room, t->n, sizeof(*t->room), vt_order_double);
	return (struct line){goal, ALONE_SLOPE, (t->room[(t->n - 1) / 2] + t->room[t->n / 2]) / 2};
}

/** How far @s is from @l, in deviations. What is in order contradicts none: a cliff may be steep. */
static double deviations(const struct set *t, const struct line *l, const struct vt_slice *s)
{
	double p = fmin(t->cliff, share_of(l, s));

	if (met(t, s) ? s->rate_hz < t->lowest_missed : beyond(t, s) && s->rate_hz > t->edge)
		return 0;
	return fabs(missed_of(t, s) - s->n * p) / sqrt(CLUSTERED * s->n * p * (1 - p) + 1);
}

/** The rates around the answer that were tried. */
struct bracket {
	double met, missed; /* highest that met, lowest that missed; 0, INFINITY: none */
	/* Where the answer can be: not more than a step outside of all that were tried, not beyond
	 * the cliff; and where the cliff follows what met, so that no slice says how steep the line
	 * is, between those two. */
	double floor, ceil;
};

/** Missed below @median, or met above it, against all that it says. */
static bool misplaced(const struct set *t, const struct line *median, const struct vt_slice *s)
{
	return met(t, s) == (log(s->rate_hz) > median->mid) && deviations(t, median, s) > MISPLACED;
}

static void tighten(struct bracket *b, const struct set *t, const struct vt_slice *skip,
		    const struct line *median)
{
	double below = b->floor, above = b->ceil, cliff = b->ceil;

	for (size_t i = 0; i < t->n; i++) {
		const struct vt_slice *s = t->s[i];
		double rate = s->rate_hz;

		if (s == skip || (median && misplaced(t, median, s)))
			continue;
		if (met(t, s) && rate < b->missed)
			below = fmax(below, rate);
		if (met(t, s) || rate <= b->met)
			continue;
		above = fmin(above, rate);
		if (beyond(t, s))
			cliff = fmin(cliff, rate);
	}
	b->ceil = cliff;
	if (cliff <= above)
		b->floor = below;
}

/** @median: leave out what is misplaced; may be NULL */
static struct bracket bracket_of(const struct set *t, const struct vt_slice *skip,
				 const struct line *median)
{
	struct bracket b = {0, INFINITY, INFINITY, 0};

	for (size_t i = 0; i < t->n; i++) {
		const struct vt_slice *s = t->s[i];

		b.floor = fmin(b.floor, s->rate_hz / STEP);
		b.ceil = fmax(b.ceil, s->rate_hz * STEP);
		if (s == skip || (median && misplaced(t, median, s)))
			continue;
		if (met(t, s))
			b.met = fmax(b.met, s->rate_hz);
		else
			b.missed = fmin(b.missed, s->rate_hz);
	}
	tighten(&b, t, skip, median);
	return b;
}

static bool closed(const struct bracket *b)
{
	return b->met > 0 && !isinf(b->missed);
}

/**
 * The slice that the median contradicts most, if the line through the others does too; else NULL.
 * The others must tell where the target is without it: a lone slice far above them is news.
 */
static const struct vt_slice *aside(struct set *t)
{
	const struct vt_slice *who = NULL;
	struct bracket others;
	struct line l;
	double most = 0;

	if (t->n < ASIDE_MIN)
		return NULL;
	l = median_line(t);
	for (size_t i = 0; i < t->n; i++) {
		double far = deviations(t, &l, t->s[i]);

		if (far > most) {
			most = far;
			who = t->s[i];
		}
	}
	others = bracket_of(t, who, NULL);
	if (!who || !closed(&others) || !fit(&l, t, who) || deviations(t, &l, who) <= ASIDE)
		return NULL;
	return who;
}

/* ---- the answer --------------------------------------------------------------------------- */

static double within(double rate, const struct bracket *b)
{
	return fmax(b->floor, fmin(b->ceil, rate));
}

/** What a resample says may be a step further off: it lacks slices that bound it. */
static double resampled(struct set *t, bool leave_out, const struct bracket *b)
{
	double rate = cross(t, leave_out ? aside(t) : NULL);

	return log(fmax(b->floor / STEP, fmin(b->ceil * STEP, rate)));
}

/** Half the width of the interval of values that resamples of @n slices gave. */
static double half_of(const double *v, uint32_t n)
{
	double mean = vt_mean_of(v, VT_CROSSING_RESAMPLES).mean, var = 0;

	for (int r = 0; r < VT_CROSSING_RESAMPLES; r++)
		var += (v[r] - mean) * (v[r] - mean) / VT_CROSSING_RESAMPLES;
	return WIDER * vt_t95(n - 1) * sqrt(var * n / (n - 1));
}

/** @leave_out: set one aside, if the others contradict it */
static int crossing(const struct vt_slice *slices, size_t n, double target, uint64_t seed,
		    bool leave_out, struct vt_crossing *ret)
{
	struct vt_rng rng = {seed};
	const struct vt_slice *skip;
	struct bracket b;
	struct set t;
	double half;

	if (set_init(&t, slices, n, target))
		return -ENOMEM;
	skip = leave_out ? aside(&t) : NULL;
	b = bracket_of(&t, skip, NULL);
	*ret = (struct vt_crossing){.rate_hz = b.met > 0 ? b.met : b.missed,
				    .high = INFINITY,
				    .open = b.met > 0 && isinf(b.missed),
				    .at_most = b.met <= 0,
				    .aside = skip ? (uint32_t)(skip - slices) + 1 : 0,
				    .n = (uint32_t)n,
				    .slices = slices,
				    .target = target,
				    .seed = seed};
	if (closed(&b))
		ret->rate_hz = within(cross(&t, skip), &b);
	for (int r = 0; closed(&b) && n > 2 && r < VT_CROSSING_RESAMPLES; r++) {
		for (size_t i = 0; i < n; i++)
			t.s[i] = &slices[vt_rng_below(&rng, n)];
		ret->log_hz[r] = resampled(&t, leave_out, &b);
	}
	set_fini(&t);
	if (!closed(&b) || n < 3)
		return 0;
	half = half_of(ret->log_hz, ret->n);
	ret->low = ret->rate_hz * exp(-half);
	ret->high = ret->rate_hz * exp(half);
	return 0;
}

int vt_crossing_of(const struct vt_slice *slices, size_t n, double target, uint64_t seed,
		   struct vt_crossing *ret)
{
	return crossing(slices, n, target, seed, true, ret);
}

/** @c again without what it set aside, and without slice @other either. */
static int without(const struct vt_crossing *c, uint32_t other, struct vt_crossing *ret)
{
	struct vt_slice *rest = malloc((c->n + 1) * sizeof(*rest));
	size_t n = 0;
	int rc;

	if (!rest)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->n; i++)
		if (i + 1 != c->aside && i + 1 != other)
			rest[n++] = c->slices[i];
	rc = crossing(rest, n, c->target, c->seed, false, ret);
	ret->slices = NULL;
	free(rest);
	return rc;
}

static bool comparable(const struct vt_crossing *a, const struct vt_crossing *b)
{
	return !isinf(a->high) && !isinf(b->high) && a->n == b->n && a->n >= 3;
}

int vt_crossing_ratio(const struct vt_crossing *a, const struct vt_crossing *b,
		      struct vt_ratio *ret)
{
	double v[VT_CROSSING_RESAMPLES], half, ratio;
	struct vt_crossing rest[2];
	int rc = comparable(a, b) ? 0 : -ENODATA;

	if (!rc && a->aside != b->aside) {
		rc = without(a, b->aside, &rest[0]);
		rc = rc ? rc : without(b, a->aside, &rest[1]);
		a = &rest[0];
		b = &rest[1];
	}
	if (rc || !comparable(a, b))
		return rc ? rc : -ENODATA;
	for (int r = 0; r < VT_CROSSING_RESAMPLES; r++)
		v[r] = a->log_hz[r] - b->log_hz[r];
	half = half_of(v, a->n);
	ratio = a->rate_hz / b->rate_hz;
	*ret = (struct vt_ratio){ratio, ratio * exp(-half), ratio * exp(half)};
	return 0;
}

/* ---- the next rate ------------------------------------------------------------------------ */

static double worst_share(const struct set *t)
{
	double worst = 1;

	for (size_t i = 0; i < t->n; i++)
		worst = fmin(worst, t->s[i]->n ? (double)t->s[i]->in_time / (double)t->s[i]->n : 0);
	return worst;
}

/** As bracket_of(), once it was met and missed, without what the median contradicts. */
static struct bracket robust_bracket(struct set *t)
{
	struct bracket all = bracket_of(t, NULL, NULL), b;
	struct line median;

	if (t->n < 3 || !closed(&all))
		return all;
	median = median_line(t);
	b = bracket_of(t, NULL, &median);
	return b.met > 0 || !isinf(b.missed) ? b : all;
}

static double next_of(struct set *t)
{
	static const double around[] = {1, 1.06, 0.95};
	struct bracket b = robust_bracket(t);

	if (b.met <= 0)
		return b.missed / (worst_share(t) < FAR_BELOW * t->target ? STRIDE : STEP);
	if (isinf(b.missed))
		return b.met * (1 - worst_share(t) < FAR_ABOVE * (1 - t->target) ? STRIDE : STEP);
	if (b.missed > b.met * 1.15)
		return sqrt(b.met * b.missed);
	return within(cross(t, aside(t)), &b) * around[t->n % 3];
}

double vt_crossing_next(const struct vt_slice *slices, size_t n, double target, double first_hz)
{
	struct set t;
	double rate;

	if (!n)
		return first_hz;
	if (set_init(&t, slices, n, target))
		return -ENOMEM;
	rate = next_of(&t);
	set_fini(&t);
	return rate;
}
