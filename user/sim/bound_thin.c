// SPDX-License-Identifier: Apache-2.0
/* bound_thin.c - the fewest requests that any schedule must drop, by sets that are refuted */
#include <math.h>

#include "sim/bound_set.h"

#define GROUP_MAX VT_BOUND_SET_MAX /* a set is a bit for each of a group */

/* Nothing is said of larger sets: they are seldom refuted if no part of them is. */
#define SET_MAX 10u
/* Sets tried for a group, and steps of the search among those that are refuted, at most. */
#define TRIED_MAX 256u
#define STEPS_MAX 20000u

struct group {
	const struct vt_bound_request *r;
	double cores;
	uint32_t n_refuted, n_clear, steps;
	uint32_t refuted[TRIED_MAX]; /* none of which can be left out */
	uint32_t clear[TRIED_MAX];   /* tried, and not refuted */
	uint32_t best;		     /* the fewest found that hit all refuted sets */
};

static uint32_t size(uint32_t set)
{
	return (uint32_t)__builtin_popcount(set);
}

static bool holds(uint32_t set, uint32_t part)
{
	return (set & part) == part;
}

static bool tried_out(const struct group *g)
{
	return g->n_refuted == TRIED_MAX || g->n_clear == TRIED_MAX;
}

static bool refuted(struct group *g, uint32_t set)
{
	struct vt_bound_request r[GROUP_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->n_refuted; i++)
		if (holds(set, g->refuted[i]))
			return true;
	for (uint32_t i = 0; i < g->n_clear; i++)
		if (holds(g->clear[i], set))
			return false;
	if (size(set) < 2 || size(set) > SET_MAX || tried_out(g))
		return false;
	for (uint32_t left = set; left; left &= left - 1)
		r[n++] = g->r[__builtin_ctz(left)];
	if (vt_bound_set_refuted(r, n, g->cores))
		return true;
	g->clear[g->n_clear++] = set;
	return false;
}

/** A refuted set of some of @all, none of which can be left out; 0 if there is none to be found. */
static uint32_t smallest(struct group *g, uint32_t all)
{
	uint32_t left, set = 0;

	for (uint32_t i = 0; i < g->n_refuted; i++)
		if (holds(all, g->refuted[i]))
			return g->refuted[i];
	/* As they come, one after the other, until too many are there: who came last belongs to them. */
	for (left = all; left; left &= left - 1) {
		set |= left & -left;
		while (size(set) > SET_MAX)
			set &= set - 1;
		if (refuted(g, set))
			break;
	}
	if (!left || tried_out(g))
		return 0;
	for (left = set; left; left &= left - 1)
		if (refuted(g, set & ~(left & -left)))
			set &= ~(left & -left);
	g->refuted[g->n_refuted++] = set;
	return set;
}

/** How many sets there are in @all that have nobody in common: one of each must be dropped. */
static uint32_t apart(struct group *g, uint32_t all, uint32_t enough)
{
	uint32_t n = 0, set;

	while (n < enough && (set = smallest(g, all))) {
		all &= ~set;
		n++;
	}
	return n;
}

/** Tries each of a refuted set, as one of them must be dropped; keeps the fewest drops that leave none. */
static void search(struct group *g, uint32_t all, uint32_t out)
{
	uint32_t room = size(g->best) - size(out), set;

	if (g->steps++ >= STEPS_MAX || apart(g, all, room) >= room)
		return;
	set = smallest(g, all);
	if (!set) {
		g->best = out;
		return;
	}
	for (uint32_t left = set; left; left &= left - 1) {
		uint32_t one = left & -left;

		search(g, all & ~one, out | one);
	}
}

static bool same_targets(const struct group *g, uint32_t n)
{
	const double target = g->r[0].deadline_ns - g->r[0].at_ns;

	for (uint32_t i = 1; i < n; i++)
		if (fabs(g->r[i].deadline_ns - g->r[i].at_ns - target) > 1e-9 * target)
			return false;
	return true;
}

/** @dropped: [n], of the group */
static void thin(struct group *g, uint32_t n, bool *dropped)
{
	const bool guessed = !same_targets(g, n);
	uint32_t all = 0, had = 0, least;

	for (uint32_t i = 0; i < n; i++) {
		const struct vt_bound_request *r = &g->r[i];

		dropped[i] = dropped[i] && !guessed;
		/* Who is hopeless alone is in no set. */
		if (r->deadline_ns - r->at_ns < r->ways->fastest_ns) {
			dropped[i] = true;
			continue;
		}
		all |= 1u << i;
		had += dropped[i];
	}
	g->best = all;
	search(g, all, 0);
	/* Not searched to the end: what is found may be too many. */
	least = g->steps < STEPS_MAX ? size(g->best) : apart(g, all, n);
	for (uint32_t left = g->best; left && had < least; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctz(left);

		had += !dropped[i];
		dropped[i] = true;
	}
}

void vt_bound_thin(const struct vt_bound_request *r, size_t n, double cores, bool *dropped)
{
	for (size_t from = 0, to; from < n; from = to) {
		double until = r[from].deadline_ns;
		struct group g = {.r = &r[from], .cores = cores};

		for (to = from + 1; to < n && r[to].at_ns < until; to++)
			until = fmax(until, r[to].deadline_ns);
		if (to - from <= GROUP_MAX)
			thin(&g, (uint32_t)(to - from), &dropped[from]);
	}
}
