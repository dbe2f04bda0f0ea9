// SPDX-License-Identifier: Apache-2.0
#include "pressure/pressure.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define N     VT_PRESSURE_FEATURES
#define LANES VT_PRESSURE_LANES

/* Windows are smoothed over about this long: shorter than a block, longer than a counter's noise. */
#define SMOOTH_NS 200000.0
/* Forgetting per correction: about the last 1000 blocks count. */
#define FORGET 0.999
/* Before anything was learned: half of it busy cores, half of it misses. */
static const double prior[N] = {0.0, 0.0, 0.1, 0.1, 0.1};
#define PRIOR_VARIANCE 0.1
/* Of one measured slowdown at full weight, variance, at least. */
#define NOISE 0.02
/* Before anything was felt drift is this uncertain, variance: contention of 0.3 is nothing special... */
#define DRIFT_VARIANCE 0.09
/* ...and half of what is known of it is forgotten when nothing has been felt for so long. */
#define DRIFT_KEPT_NS 1000000000.0
/* Blocks are slow for reasons that last about so long: those that end within it say together what one would. */
#define ALIKE_NS 100000000.0

void vt_pressure_init(struct vt_pressure *p, uint32_t n_domains, uint64_t fresh_ns)
{
	memset(p, 0, sizeof(*p));
	p->n_domains = n_domains < VT_PRESSURE_DOMAINS ? n_domains : VT_PRESSURE_DOMAINS;
	p->fresh_ns = fresh_ns ? fresh_ns : 10000000;
	p->error = 1.0;
	for (unsigned int i = 0; i < N; i++) {
		p->w[i] = prior[i];
		p->p[i][i] = PRIOR_VARIANCE;
	}
}

static double clamp01(double x)
{
	/* written so that a NaN becomes 0 */
	return x > 0 ? (x < 1 ? x : 1) : 0;
}

static void raise_to(double *max, double *scale, double x)
{
	if (x <= *max)
		return;
	*max = x;
	*scale = 1 / x;
}

/*
 * Two doubles at once: every machine that we run on has registers for that, and what each lane
 * holds is rounded as a double alone would be. Written out because -O2 leaves such loops scalar.
 */
typedef double pair __attribute__((vector_size(16), aligned(8), may_alias));
typedef int64_t pair_mask __attribute__((vector_size(16)));

static inline pair *pair_at(double *a, uint32_t i)
{
	return (pair *)(a + i);
}

static inline pair pair_of(const double *a, uint32_t i)
{
	return *(const pair *)(a + i);
}

static inline pair both(double x)
{
	return (pair){x, x};
}

/* x where @yes, else 0 */
static inline pair where(pair_mask yes, pair x)
{
	return (pair)(yes & (pair_mask)x);
}

static inline pair pair_max(pair a, pair b)
{
	pair_mask m = a > b;

	return (pair)((m & (pair_mask)a) | (~m & (pair_mask)b));
}

static inline pair pair_min(pair a, pair b)
{
	pair_mask m = a < b;

	return (pair)((m & (pair_mask)a) | (~m & (pair_mask)b));
}

/* What the counters say of one window, by domain; the lane after the last domain is empty. */
struct window {
	double ref[VT_PRESSURE_DOMAINS], miss[VT_PRESSURE_DOMAINS]; /* per ns */
	double weight[VT_PRESSURE_DOMAINS]; /* length over itself plus SMOOTH_NS; 0: not counted */
};

static void read_window(struct vt_pressure *p, const struct vt_pressure_obs *o, struct window *w)
{
	uint32_t n = o->n_counts < p->n_domains ? o->n_counts : p->n_domains, d;
	double per_ns = 0, weight = 0;
	uint64_t window_ns = 0;

	for (d = 0; d < n; d++) {
		const struct vt_domain_counts *c = &o->counts[d];

		if (c->window_ns != window_ns) {
			window_ns = c->window_ns;
			per_ns = window_ns ? 1 / (double)window_ns : 0;
			weight = (double)window_ns / ((double)window_ns + SMOOTH_NS);
		}
		/* No count comes near 2^63, and signed numbers convert in one instruction. */
		w->ref[d] = (double)(int64_t)c->llc_refs * per_ns;
		w->miss[d] = (double)(int64_t)c->llc_misses * per_ns;
		w->weight[d] = weight;
		if (window_ns && p->counted[d] == 0) {
			p->counted[d] = 1;
			p->n_counted++;
		}
	}
	for (; d < (p->n_domains + 1) / 2 * 2; d++)
		w->ref[d] = w->miss[d] = w->weight[d] = 0;
}

/*
 * Rates lag: they hold what has just ended, the newcomer's own last block included. Scaling them by
 * the cores busy now over those busy then takes out what is gone; an idle machine has no pressure.
 */
static inline pair still_there(pair busy, pair mean)
{
	pair_mask any = mean > 0.0;
	pair some = where(any, mean) + where(~any, both(1));

	return pair_max(pair_min(busy, mean), both(0)) / some;
}

static inline void approach(double *to, uint32_t d, pair x, pair weight)
{
	*pair_at(to, d) += (x - pair_of(to, d)) * weight;
}

void vt_pressure_observe(struct vt_pressure *p, const struct vt_pressure_obs *o)
{
	pair ref = both(0), miss = both(0);
	struct window w;

	read_window(p, o, &w);
	/* Memory is shared by the machine, so cores busy elsewhere count for half. */
	for (uint32_t d = 0; d < p->n_domains; d++)
		p->busy[d] = ((double)o->busy_ppm[d] + (double)o->busy_all_ppm) * (0.5 / VT_PPM);
	for (uint32_t d = 0; d < p->n_domains; d += 2) {
		pair weight = pair_of(w.weight, d), busy = pair_of(p->busy, d);

		approach(p->busy_mean, d, busy, weight);
		approach(p->ref, d, pair_of(w.ref, d), weight);
		approach(p->miss, d, pair_of(w.miss, d), weight);
		ref = pair_max(ref, pair_of(p->ref, d));
		miss = pair_max(miss, pair_of(p->miss, d));
		*pair_at(p->still, d) = still_there(busy, pair_of(p->busy_mean, d));
	}
	p->miss_all = 0;
	for (uint32_t d = 0; d < p->n_domains; d++)
		p->miss_all += p->miss[d];
	raise_to(&p->ref_max, &p->ref_scale, ref[0] > ref[1] ? ref[0] : ref[1]);
	raise_to(&p->miss_max, &p->miss_scale, miss[0] > miss[1] ? miss[0] : miss[1]);
	raise_to(&p->miss_all_max, &p->miss_all_scale, p->miss_all);
}

static inline void features(const struct vt_pressure *p, uint32_t d, double x[LANES])
{
	double still = p->still[d];

	x[0] = p->counted[d]; /* elsewhere drift is what is always there */
	x[1] = p->ref[d] * p->ref_scale * still;
	x[2] = p->miss[d] * p->miss_scale * still;
	x[3] = p->miss_all * p->miss_all_scale * still;
	x[4] = p->busy[d];
	x[5] = 0;
}

static inline double dot(const double a[LANES], const double b[LANES])
{
	return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3] + a[4] * b[4];
}

/* A feature that never moves would let forgetting blow its variance up. */
static void bound_variance(struct vt_pressure *p)
{
	for (unsigned int i = 0; i < N; i++) {
		if (p->p[i][i] <= PRIOR_VARIANCE)
			continue;
		for (unsigned int j = 0; j < N; j++) {
			double shrink = i == j ? PRIOR_VARIANCE / p->p[i][i] : 0.5;

			p->p[i][j] *= shrink;
			if (i != j)
				p->p[j][i] = p->p[i][j];
		}
	}
}

/* A row of the matrix, or a vector of as many: three pairs. */
struct lanes {
	pair a, b, c;
};

static inline struct lanes lanes_of(const double *x)
{
	return (struct lanes){pair_of(x, 0), pair_of(x, 2), pair_of(x, 4)};
}

static inline void put_lanes(double *to, const struct lanes *x)
{
	*pair_at(to, 0) = x->a;
	*pair_at(to, 2) = x->b;
	*pair_at(to, 4) = x->c;
}

/* One step of recursive least squares. */
static void correct(struct vt_pressure *p, const double x[LANES], double err, double variance)
{
	double inverse = variance, k[LANES];
	struct lanes sum = lanes_of(p->p[0]), row;

	/* P is symmetric: rows by x is the sum of its rows, each times its x. */
	sum.a *= both(x[0]);
	sum.b *= both(x[0]);
	sum.c *= both(x[0]);
	for (unsigned int j = 1; j < N; j++) {
		row = lanes_of(p->p[j]);
		sum.a += row.a * both(x[j]);
		sum.b += row.b * both(x[j]);
		sum.c += row.c * both(x[j]);
	}
	put_lanes(k, &sum);
	inverse = 1 / (inverse + dot(k, x));
	row = lanes_of(p->w);
	row.a += sum.a * both(inverse) * both(err);
	row.b += sum.b * both(inverse) * both(err);
	row.c += sum.c * both(inverse) * both(err);
	put_lanes(p->w, &row);
	for (unsigned int i = 0; i < N; i++) {
		row = lanes_of(p->p[i]);
		row.a = (row.a - both(k[i]) * sum.a * both(inverse)) * both(1 / FORGET);
		row.b = (row.b - both(k[i]) * sum.b * both(inverse)) * both(1 / FORGET);
		row.c = (row.c - both(k[i]) * sum.c * both(inverse)) * both(1 / FORGET);
		put_lanes(p->p[i], &row);
	}
	bound_variance(p);
}

static double age_of(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? (double)(now_ns - then_ns) : 0;
}

static double kept(const struct vt_pressure *p, uint32_t domain, uint64_t now_ns)
{
	return DRIFT_KEPT_NS / (DRIFT_KEPT_NS + age_of(p->drift_ns[domain], now_ns));
}

static double drift(const struct vt_pressure *p, uint32_t domain, uint64_t now_ns)
{
	if (p->counted[domain] || !p->drift_ns[domain])
		return 0;
	return p->drift[domain] * kept(p, domain, now_ns);
}

/*
 * Kalman's filter of one number that is drawn back to 0 and disturbed as much: its variance grows
 * to DRIFT_VARIANCE while nothing is felt. A block that says little moves it little, and many of them
 * do not hold it away from 0.
 */
static void follow(struct vt_pressure *p, uint32_t domain, double err, double variance,
		   uint64_t now_ns)
{
	double left = p->drift_ns[domain] ? kept(p, domain, now_ns) : 0, var, gain;
	double age = age_of(p->drift_ns[domain], now_ns);

	/* Blocks that end in one step say together what one does. */
	if (p->counted[domain] || age <= 0)
		return;
	var = DRIFT_VARIANCE + (p->drift_var[domain] - DRIFT_VARIANCE) * left * left;
	gain = var / (var + variance * (1 + ALIKE_NS / age));
	p->drift[domain] = drift(p, domain, now_ns) + err * gain;
	p->drift_var[domain] = var * (1 - gain);
	p->drift_ns[domain] = now_ns;
}

void vt_pressure_learn(struct vt_pressure *p, uint32_t domain, const struct vt_felt *felt,
		       uint64_t now_ns)
{
	double weight = clamp01((double)felt->weight_ppm / VT_PPM), x[LANES], err, noise;

	if (domain >= p->n_domains || !felt->weight_ppm)
		return;
	/* Of what is felt, one standard deviation. */
	noise = clamp01((double)felt->noise_ppm / VT_PPM) / weight;
	features(p, domain, x);
	/* No block is further off than the whole scale: a core that others took for a while is no pressure. */
	err = (double)felt->ppm / VT_PPM - dot(p->w, x) - drift(p, domain, now_ns);
	err = err < -1 ? -1 : err < 1 ? err : 1;
	/* Who reacts by less than blocks are apart is right about the mean of many, if at all: no weights hang on it. */
	if (noise < 1)
		correct(p, x, err, noise * noise > NOISE / weight ? noise * noise : NOISE / weight);
	follow(p, domain, err, noise * noise, now_ns);
	p->error += ((err < 0 ? -err : err) - p->error) * (0.1 * weight);
	p->checked_ns = now_ns;
	if (p->learned < UINT32_MAX)
		p->learned++;
}

static uint32_t ppm_of(const struct vt_pressure *p, uint32_t domain, uint64_t now_ns)
{
	double x[LANES];

	features(p, domain, x);
	return (uint32_t)(clamp01(dot(p->w, x) + drift(p, domain, now_ns)) * VT_PPM);
}

void vt_pressure_all(const struct vt_pressure *p, uint64_t now_ns, uint32_t *ret)
{
	pair all = both(p->miss_all * p->miss_all_scale);

	for (uint32_t d = 0; d < p->n_domains; d += 2) {
		pair still = pair_of(p->still, d), x;

		x = both(p->w[0]) * pair_of(p->counted, d);
		x += both(p->w[1]) * (pair_of(p->ref, d) * both(p->ref_scale) * still);
		x += both(p->w[2]) * (pair_of(p->miss, d) * both(p->miss_scale) * still);
		x += both(p->w[3]) * (all * still);
		x += both(p->w[4]) * pair_of(p->busy, d);
		if (p->n_counted < p->n_domains)
			x += (pair){drift(p, d, now_ns), drift(p, d + 1, now_ns)};
		x = pair_min(pair_max(x, both(0)), both(1)) * both(VT_PPM);
		ret[d] = (uint32_t)(int32_t)x[0];
		if (d + 1 < p->n_domains)
			ret[d + 1] = (uint32_t)(int32_t)x[1];
	}
}

uint32_t vt_pressure_confidence(const struct vt_pressure *p, uint64_t now_ns)
{
	double age, trust;

	if (!p->learned)
		return 0;
	age = age_of(p->checked_ns, now_ns);
	trust = (double)p->fresh_ns / ((double)p->fresh_ns + age);
	return (uint32_t)(clamp01(1 - p->error) * trust * VT_PPM);
}

struct vt_pressure_estimate vt_pressure_get(const struct vt_pressure *p, uint32_t domain,
					    uint64_t now_ns)
{
	struct vt_pressure_estimate e = {0};

	if (domain >= p->n_domains)
		return e;
	e.ppm = ppm_of(p, domain, now_ns);
	e.confidence_ppm = vt_pressure_confidence(p, now_ns);
	if (p->counted[domain])
		e.sources |= VT_PRESSURE_COUNTERS;
	if (p->learned)
		e.sources |= VT_PRESSURE_SLOWDOWN;
	return e;
}

static int32_t felt_of(double levels)
{
	double ppm = levels / (VT_LEVELS - 1) * VT_PPM;

	return (int32_t)(ppm < VT_FELT_LEAST  ? VT_FELT_LEAST
			 : ppm < VT_FELT_MOST ? ppm
					      : VT_FELT_MOST);
}

int vt_pressure_invert(const uint64_t at_level_ns[VT_LEVELS], uint64_t measured_ns,
		       struct vt_felt *ret)
{
	const double alone = (double)at_level_ns[0], t = (double)measured_ns;
	double lo, hi = alone, levels = 0;

	if (!at_level_ns[0] || !measured_ns)
		return -ENODATA;
	for (unsigned int s = 1; s < VT_LEVELS; s++) {
		lo = hi;
		hi = (double)at_level_ns[s] > lo ? (double)at_level_ns[s] : lo;
		if (t >= hi && hi > lo)
			levels = s;
		else if (t > lo && t < hi)
			levels = s - 1 + (t - lo) / (hi - lo);
	}
	if (hi <= alone)
		return -ENODATA;
	/* Beyond both ends as steep as on the way between them. */
	if (t < alone || t > hi)
		levels += (t - (t < alone ? alone : hi)) / (hi - alone) * (VT_LEVELS - 1);
	ret->ppm = felt_of(levels);
	ret->weight_ppm = (uint32_t)(clamp01(hi / alone - 1) * VT_PPM);
	return ret->weight_ppm ? 0 : -ENODATA;
}
