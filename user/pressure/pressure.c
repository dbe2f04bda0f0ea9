// SPDX-License-Identifier: Apache-2.0
#include "pressure/pressure.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define N VT_PRESSURE_FEATURES

/* Windows are smoothed over about this long: shorter than a block, longer than a counter's noise.
 */
#define SMOOTH_NS 200000.0
/* Forgetting per correction: about the last 1000 blocks count. */
#define FORGET 0.999
/* Before anything was learned: half of it busy cores, half of it misses. */
static const double prior[N] = {0.0, 0.0, 0.1, 0.1, 0.1};
#define PRIOR_VARIANCE 0.1
/* Noise of one measured slowdown at full weight, variance. */
#define NOISE 0.02
/* Drift follows what is felt over about this long, whether blocks are short or long... */
#define DRIFT_NS 40000000.0
/* ...and is worth half when nothing has been felt for so long. */
#define DRIFT_KEPT_NS 1000000000.0
/* Timing noise of a block, as a share of its time: one that reacts less than this says little. */
#define TIMING 0.03

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

/* The window's rates into the smoothed ones; @weight: its length over itself plus SMOOTH_NS. */
static void take_in(struct vt_pressure *p, uint32_t d, const struct vt_pressure_obs *o,
		    double per_ns, double weight)
{
	double ref = (double)o->llc_refs * per_ns, miss = (double)o->llc_misses * per_ns;

	p->domain[d].counted = 1;
	p->domain[d].busy_mean += (p->domain[d].busy - p->domain[d].busy_mean) * weight;
	p->domain[d].ref += (ref - p->domain[d].ref) * weight;
	p->domain[d].miss += (miss - p->domain[d].miss) * weight;
	raise_to(&p->ref_max, &p->ref_scale, p->domain[d].ref);
	raise_to(&p->miss_max, &p->miss_scale, p->domain[d].miss);
}

/*
 * Rates lag: they hold what has just ended, the newcomer's own last block included. Scaling them by
 * the cores busy now over those busy then takes out what is gone; an idle machine has no pressure.
 */
static double still_there(double busy, double busy_mean)
{
	if (busy_mean <= 0 || busy <= 0)
		return 0;
	return busy >= busy_mean ? 1 : busy / busy_mean;
}

void vt_pressure_observe(struct vt_pressure *p, const struct vt_pressure_obs *obs)
{
	double per_ns = 0, weight = 0;
	uint64_t window_ns = 0;

	p->miss_all = 0;
	for (uint32_t d = 0; d < p->n_domains; d++) {
		const struct vt_pressure_obs *o = &obs[d];

		/* Memory is shared by the machine, so cores busy elsewhere count for half. */
		p->domain[d].busy =
			((double)o->busy_ppm + (double)o->busy_all_ppm) * (0.5 / VT_PPM);
		if (o->window_ns && o->window_ns != window_ns) {
			window_ns = o->window_ns;
			per_ns = 1 / (double)window_ns;
			weight = (double)window_ns / ((double)window_ns + SMOOTH_NS);
		}
		if (o->window_ns)
			take_in(p, d, o, per_ns, weight);
		p->domain[d].still = still_there(p->domain[d].busy, p->domain[d].busy_mean);
		p->miss_all += p->domain[d].miss;
	}
	raise_to(&p->miss_all_max, &p->miss_all_scale, p->miss_all);
}

static inline void features(const struct vt_pressure *p, uint32_t d, double x[N])
{
	double still = p->domain[d].still;

	x[0] = p->domain[d].counted; /* elsewhere drift is what is always there */
	x[1] = p->domain[d].ref * p->ref_scale * still;
	x[2] = p->domain[d].miss * p->miss_scale * still;
	x[3] = p->miss_all * p->miss_all_scale * still;
	x[4] = p->domain[d].busy;
}

static inline double dot(const double a[N], const double b[N])
{
	double s = 0;

	for (unsigned int i = 0; i < N; i++)
		s += a[i] * b[i];
	return s;
}

/* One step of recursive least squares; a weight below 1 means a noisier measurement. */
static void correct(struct vt_pressure *p, const double x[N], double err, double weight)
{
	double k[N], inverse = NOISE / weight;

	for (unsigned int i = 0; i < N; i++)
		k[i] = dot(p->p[i], x);
	inverse = 1 / (inverse + dot(k, x));
	for (unsigned int i = 0; i < N; i++)
		p->w[i] += k[i] * inverse * err;
	/* Symmetric: one half is worked out. */
	for (unsigned int i = 0; i < N; i++)
		for (unsigned int j = 0; j <= i; j++) {
			p->p[i][j] = (p->p[i][j] - k[i] * k[j] * inverse) * (1 / FORGET);
			p->p[j][i] = p->p[i][j];
		}
	/* A feature that never moves would let forgetting blow its variance up. */
	for (unsigned int i = 0; i < N; i++)
		if (p->p[i][i] > PRIOR_VARIANCE)
			for (unsigned int j = 0; j < N; j++) {
				double shrink = i == j ? PRIOR_VARIANCE / p->p[i][i] : 0.5;

				p->p[i][j] *= shrink;
				if (i != j)
					p->p[j][i] = p->p[i][j];
			}
}

static double age_of(uint64_t then_ns, uint64_t now_ns)
{
	return now_ns > then_ns ? (double)(now_ns - then_ns) : 0;
}

static double drift(const struct vt_pressure *p, uint32_t domain, uint64_t now_ns)
{
	double age = age_of(p->domain[domain].drift_ns, now_ns);

	if (p->domain[domain].counted || !p->domain[domain].drift_ns)
		return 0;
	return p->domain[domain].drift * (DRIFT_KEPT_NS / (DRIFT_KEPT_NS + age));
}

/*
 * Many short blocks weigh together what one long block weighs: by the time since the last one. The
 * first after a pause starts anew, but for its noise.
 */
static void follow(struct vt_pressure *p, uint32_t domain, double err, double weight,
		   uint64_t now_ns)
{
	double age = age_of(p->domain[domain].drift_ns, now_ns);
	double sure = weight * weight / (weight * weight + TIMING * TIMING);

	if (p->domain[domain].counted)
		return;
	p->domain[domain].drift = drift(p, domain, now_ns) + err * sure * (age / (age + DRIFT_NS));
	p->domain[domain].drift_ns = now_ns;
}

void vt_pressure_learn(struct vt_pressure *p, uint32_t domain, uint32_t felt_ppm,
		       uint32_t weight_ppm, uint64_t now_ns)
{
	double x[N], err, weight = clamp01((double)weight_ppm / VT_PPM);

	if (domain >= p->n_domains || !weight_ppm)
		return;
	features(p, domain, x);
	err = clamp01((double)felt_ppm / VT_PPM) - dot(p->w, x) - drift(p, domain, now_ns);
	correct(p, x, err, weight);
	follow(p, domain, err, weight, now_ns);
	p->error += ((err < 0 ? -err : err) - p->error) * (0.1 * weight);
	p->checked_ns = now_ns;
	if (p->learned < UINT32_MAX)
		p->learned++;
}

static uint32_t ppm_of(const struct vt_pressure *p, uint32_t domain, uint64_t now_ns)
{
	double x[N];

	features(p, domain, x);
	return (uint32_t)(clamp01(dot(p->w, x) + drift(p, domain, now_ns)) * VT_PPM);
}

void vt_pressure_all(const struct vt_pressure *p, uint64_t now_ns, uint32_t *ret)
{
	for (uint32_t d = 0; d < p->n_domains; d++)
		ret[d] = ppm_of(p, d, now_ns);
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
	if (p->domain[domain].counted)
		e.sources |= VT_PRESSURE_COUNTERS;
	if (p->learned)
		e.sources |= VT_PRESSURE_SLOWDOWN;
	return e;
}

int vt_pressure_invert(const uint64_t at_level_ns[VT_LEVELS], uint64_t measured_ns,
		       uint32_t *felt_ppm, uint32_t *weight_ppm)
{
	double lo, hi = (double)at_level_ns[0], t = (double)measured_ns, felt = 0;
	const double step = 1.0 / (VT_LEVELS - 1);

	if (!at_level_ns[0] || !measured_ns)
		return -ENODATA;
	for (unsigned int s = 1; s < VT_LEVELS; s++) {
		lo = hi;
		hi = (double)at_level_ns[s] > lo ? (double)at_level_ns[s] : lo;
		if (t >= hi && hi > lo)
			felt = s * step;
		else if (t > lo && t < hi)
			felt = (s - 1 + (t - lo) / (hi - lo)) * step;
	}
	if (hi <= (double)at_level_ns[0])
		return -ENODATA;
	*felt_ppm = (uint32_t)(clamp01(felt) * VT_PPM);
	*weight_ppm = (uint32_t)(clamp01(hi / (double)at_level_ns[0] - 1) * VT_PPM);
	return *weight_ppm ? 0 : -ENODATA;
}
