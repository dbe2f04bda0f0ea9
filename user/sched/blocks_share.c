// SPDX-License-Identifier: Apache-2.0
/* blocks_share.c - steps 3 and 4 of a decision: who is due how many cores; what is lent. */
#include "sched/blocks.h"

/* Ends of others that a request begun short of its need may count on. */
#define ENDS_AHEAD 8u

uint64_t vt_blocks_rest_on(const struct vt_blocks *c, const struct vt_claim *x, unsigned int cores)
{
	unsigned int most = x->plan->points[x->plan->fastest[x->layer]];
	unsigned int point = vt_plan_point(x->plan, cores < most ? cores : most);
	const uint64_t *rest = vt_plan_rest(x->plan, c->tr->code, c->level, x->layer);
	uint64_t layer = rest[point] - rest[x->plan->n_points + point];

	return rest[point] - layer * x->done_ppm / VT_PPM;
}

/* The first end after @from of those ahead of claim @k, and the cores that it leaves. */
static uint64_t next_end(const struct vt_blocks *c, uint32_t k, uint64_t from, unsigned int *cores)
{
	uint64_t first = UINT64_MAX;

	*cores = 0;
	for (uint32_t i = 0; i < k; i++) {
		const struct vt_claim *x = &c->line.at[i];

		if (!x->share || x->end <= from || x->end > first)
			continue;
		*cores = x->end == first ? *cores + x->share : x->share;
		first = x->end;
	}
	return first;
}

/*
 * Claim @k cannot have its need, only @cores. Is it late if it waits until enough of those ahead
 * have ended, and in time if it begins now and takes what they leave? What is done by their ends is
 * a part of the whole, whatever the count.
 */
static bool catches_up(struct vt_blocks *c, uint32_t k, unsigned int cores)
{
	const struct vt_claim *x = &c->line.at[k];
	uint64_t within = vt_turn_margin(&c->t, c->s->cfg.margin_ppm, x->slack), now = 0,
		 left_ppm = VT_PPM;
	bool waits = true;

	for (uint32_t i = 0; i < k; i++)
		if (c->line.at[i].share)
			c->line.at[i].end =
				vt_blocks_rest_on(c, &c->line.at[i], c->line.at[i].share);

	for (unsigned int i = 0; i < ENDS_AHEAD; i++) {
		unsigned int more;
		uint64_t rest = vt_blocks_rest_on(c, x, cores), end = next_end(c, k, now, &more);

		if (now + rest * left_ppm / VT_PPM <= (end < within ? end : within))
			return true;
		if (end >= within)
			return false;
		left_ppm -= (end - now) * VT_PPM / rest;
		cores += more;
		now = end;
		if (waits && cores >= x->need) {
			if (now + vt_blocks_rest_on(c, x, cores) <= within)
				return false;
			waits = false;
		}
	}
	return false;
}

/*
 * First what each needs to be in time, then what it demands; in order of the line. A request that
 * cannot have its need waits, and who needs less goes first: begun in vain is the dearest work. But
 * the first that cannot may begin with half of it, if that will do and waiting will not.
 */
void vt_blocks_share(struct vt_blocks *c)
{
	unsigned int left = c->cores;
	bool first_short = true;

	for (uint32_t k = 0; k < c->line.n; k++) {
		struct vt_claim *x = &c->line.at[k];

		x->share = x->need < left ? x->need : (uint16_t)left;
		if (!x->held && x->share < x->need) {
			if (!first_short || x->share * 2u < x->need || !catches_up(c, k, left))
				x->share = 0;
			first_short = false;
		}
		left -= x->share;
	}
	for (uint32_t k = 0; k < c->line.n && left; k++) {
		struct vt_claim *x = &c->line.at[k];
		unsigned int more = vt_above(x->want, x->share);

		if (!x->held && !x->share)
			continue;
		more = more < left ? more : left;
		x->share = (uint16_t)(x->share + more);
		left -= more;
	}
	c->spare = left;
}

static unsigned int cores_at(const struct vt_claim *x, unsigned int u)
{
	unsigned int n = x->plan->points[x->row->point[u > x->urgency ? u : x->urgency]];

	return n > x->want ? n : x->want;
}

static unsigned int sum_at(const struct vt_blocks *c, unsigned int u)
{
	unsigned int sum = 0;

	for (uint32_t k = 0; k < c->line.n; k++)
		if (c->line.at[k].share)
			sum += cores_at(&c->line.at[k], u);
	return sum;
}

/* The highest price at which all plans fit, then one step more for as many as can have it. */
void vt_blocks_lend(struct vt_blocks *c)
{
	unsigned int lo = 0, hi = VT_URGENCIES - 1;

	if (!c->spare || !c->line.n)
		return;
	while (lo < hi) {
		unsigned int mid = (lo + hi + 1) / 2;

		if (sum_at(c, mid) <= c->cores)
			lo = mid;
		else
			hi = mid - 1;
	}
	for (unsigned int u = lo; u < VT_URGENCIES && u < lo + 2; u++)
		for (uint32_t k = 0; k < c->line.n; k++) {
			struct vt_claim *x = &c->line.at[k];
			unsigned int n = cores_at(x, u);

			if (!x->share || n <= x->share || n - x->share > c->spare)
				continue;
			c->spare -= n - x->share;
			x->share = (uint16_t)n;
			x->urgency = (uint8_t)(u > x->urgency ? u : x->urgency);
		}
}
