// SPDX-License-Identifier: Apache-2.0
#include "monitor/blame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEEP	     0.95 /* weight of the past, per window: about 20 windows are remembered */
#define MIN_WINDOWS  8
#define MIN_SLOWDOWN 1.05
#define MIN_CORR     0.5
#define QUIET_DRIFT  1.001 /* the quietest CPI is forgotten slowly: programs change */
#define MUCH_LARGER  4	   /* what a tenant that runs all the time gives its place to */

/* Exponentially weighted mean and variance of one series. */
struct series {
	double now, mean, var, dev; /* dev: now - the mean before it */
};

struct slot {
	uint64_t tenant; /* 0: free */
	unsigned int windows;
	bool seen; /* in the latest window */
	double quiet_cpi;
	struct series run, cpi, miss; /* run: ns in a window */
};

struct vt_blame {
	unsigned int n;
	struct slot *slot;
	double *cov; /* [victim * n + aggressor] of cpi and misses */
};

struct vt_blame *vt_blame_new(unsigned int tenants)
{
	struct vt_blame *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->n = tenants;
	b->slot = calloc(tenants, sizeof(*b->slot));
	b->cov = calloc((size_t)tenants * tenants, sizeof(*b->cov));
	if (b->slot && b->cov)
		return b;
	vt_blame_free(b);
	return NULL;
}

void vt_blame_free(struct vt_blame *b)
{
	if (!b)
		return;
	free(b->slot);
	free(b->cov);
	free(b);
}

static int find(const struct vt_blame *b, uint64_t tenant)
{
	for (unsigned int i = 0; i < b->n; i++)
		if (b->slot[i].tenant == tenant)
			return (int)i;
	return -1;
}

static int absent_with_least_history(const struct vt_blame *b)
{
	int best = -1;

	for (unsigned int i = 0; i < b->n; i++)
		if (!b->slot[i].seen && (best < 0 || b->slot[i].windows < b->slot[best].windows))
			best = (int)i;
	return best;
}

/* Its history is worth more than a better rank: tenants of about one size would push each other out all the time. */
static int much_smaller(const struct vt_blame *b, uint64_t run_ns)
{
	int best = -1;

	for (unsigned int i = 0; i < b->n; i++)
		if (b->slot[i].run.mean * MUCH_LARGER < (double)run_ns &&
		    (best < 0 || b->slot[i].run.mean < b->slot[best].run.mean))
			best = (int)i;
	return best;
}

/* A newcomer takes a free slot, or that of one that is absent now, or of one that is much smaller. */
static int take(struct vt_blame *b, uint64_t tenant, uint64_t run_ns)
{
	int best = find(b, 0);

	if (best < 0)
		best = absent_with_least_history(b);
	if (best < 0)
		best = much_smaller(b, run_ns);
	if (best < 0)
		return -1;
	b->slot[best] = (struct slot){.tenant = tenant};
	for (unsigned int k = 0; k < b->n; k++)
		b->cov[(size_t)best * b->n + k] = b->cov[(size_t)k * b->n + (size_t)best] = 0;
	return best;
}

static void push(struct series *s, double x, bool first)
{
	s->now = x;
	s->dev = first ? 0 : x - s->mean;
	s->mean = first ? x : s->mean + (1 - KEEP) * s->dev;
	s->var = KEEP * (s->var + (1 - KEEP) * s->dev * s->dev);
}

static bool counted(const struct vt_window_row *r, const struct vt_slot_map *map)
{
	return r->count[map->slot[VT_ROLE_INSTRUCTIONS]] > 0 &&
	       r->count[map->slot[VT_ROLE_CYCLES]] > 0 &&
	       r->count[map->slot[VT_ROLE_LLC_MISSES]] >= 0;
}

static void feed_one(struct vt_blame *b, const struct vt_window *w, const struct vt_window_row *r,
		     const struct vt_slot_map *map)
{
	struct slot *s;
	int i = find(b, r->tenant);

	if (i < 0)
		i = take(b, r->tenant, r->run_ns);
	if (i < 0)
		return;
	s = &b->slot[i];
	s->seen = true;
	push(&s->run, (double)r->run_ns, !s->windows);
	push(&s->cpi,
	     r->count[map->slot[VT_ROLE_CYCLES]] / r->count[map->slot[VT_ROLE_INSTRUCTIONS]],
	     !s->windows);
	push(&s->miss, r->count[map->slot[VT_ROLE_LLC_MISSES]] / (double)w->len_ns, !s->windows);
	s->quiet_cpi = s->windows && s->quiet_cpi * QUIET_DRIFT < s->cpi.now
			       ? s->quiet_cpi * QUIET_DRIFT
			       : s->cpi.now;
	s->windows++;
}

/* Before any newcomer is looked at: whose row comes later is not absent. */
static void mark_seen(struct vt_blame *b, const struct vt_window *w, const struct vt_slot_map *map)
{
	int k;

	for (unsigned int i = 0; i < b->n; i++)
		b->slot[i].seen = false;
	for (uint32_t i = 0; i < w->n; i++)
		if (counted(&w->row[i], map) && (k = find(b, w->row[i].tenant)) >= 0)
			b->slot[k].seen = true;
}

void vt_blame_feed(struct vt_blame *b, const struct vt_window *w, const struct vt_slot_map *map)
{
	if (!map->hw[VT_ROLE_CYCLES] || !map->hw[VT_ROLE_INSTRUCTIONS] ||
	    !map->hw[VT_ROLE_LLC_MISSES])
		return;
	mark_seen(b, w, map);
	for (uint32_t i = 0; i < w->n; i++)
		if (counted(&w->row[i], map))
			feed_one(b, w, &w->row[i], map);
	/* Who did not run missed nothing: that is a sample too. */
	for (unsigned int i = 0; i < b->n; i++)
		if (b->slot[i].tenant && !b->slot[i].seen) {
			push(&b->slot[i].run, 0, false);
			push(&b->slot[i].miss, 0, false);
		}
	for (unsigned int v = 0; v < b->n; v++)
		for (unsigned int a = 0; b->slot[v].seen && a < b->n; a++) {
			double *c = &b->cov[(size_t)v * b->n + a];

			*c = KEEP * (*c + (1 - KEEP) * b->slot[v].cpi.dev * b->slot[a].miss.dev);
		}
}

int vt_blame_of(const struct vt_blame *b, uint64_t victim, struct vt_verdict *ret)
{
	int v = find(b, victim);
	struct vt_verdict best = {.correlation = MIN_CORR};
	const struct slot *s;

	if (v < 0 || !victim)
		return -ENODATA;
	s = &b->slot[v];
	best.slowdown = s->cpi.now / s->quiet_cpi;
	if (!s->seen || s->windows < MIN_WINDOWS || best.slowdown < MIN_SLOWDOWN)
		return -ENODATA;
	for (unsigned int a = 0; a < b->n; a++) {
		double spread = sqrt(s->cpi.var * b->slot[a].miss.var), corr;

		if ((int)a == v || !b->slot[a].tenant || !(spread > 0))
			continue;
		corr = b->cov[(size_t)v * b->n + a] / spread;
		if (corr > best.correlation) {
			best.correlation = corr < 1 ? corr : 1;
			best.aggressor = b->slot[a].tenant;
		}
	}
	if (!best.aggressor)
		return -ENODATA;
	*ret = best;
	return 0;
}
