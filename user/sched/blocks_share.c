// SPDX-License-Identifier: Apache-2.0
/* blocks_share.c - steps 3 and 4 of a decision: who is due how many cores, who waits; what is lent. */
#include "sched/blocks.h"

/* Ends of others that a request may count on which cannot have its need yet. */
#define ENDS_AHEAD 8u
/* Who cannot have its need may begin with half of it; who waits alone, with this part of it. */
#define ALONE_PARTS 8u
/* Of its time until the deadline, who waits may count on this much: others will come, and blocks stray. */
#define WAIT_PERCENT 70u

uint64_t vt_blocks_rest_on(const struct vt_blocks *c, const struct vt_claim *x, unsigned int cores)
{
	unsigned int most = x->plan->points[x->plan->fastest[x->layer]];
	unsigned int point = vt_plan_point(x->plan, cores < most ? cores : most);
	const uint64_t *rest = vt_plan_rest(x->plan, c->tr->code, c->level, x->layer);
	uint64_t layer = rest[point] - rest[x->plan->n_points + point];

	return rest[point] - layer * x->done_ppm / VT_PPM;
}

/* When those end that have a share already. */
static void note_ends(struct vt_blocks *c)
{
	for (uint32_t i = 0; i < c->line.n; i++) {
		struct vt_claim *x = &c->line.at[i];

		if (x->share)
			x->end = vt_blocks_rest_on(c, x, x->share);
	}
}

/* The first of these ends after @from, and the cores that it leaves. */
static uint64_t next_end(const struct vt_blocks *c, uint64_t from, unsigned int *cores)
{
	uint64_t first = UINT64_MAX;

	*cores = 0;
	for (uint32_t i = 0; i < c->line.n; i++) {
		const struct vt_claim *x = &c->line.at[i];

		if (!x->share || x->end <= from || x->end > first)
			continue;
		*cores = x->end == first ? *cores + x->share : x->share;
		first = x->end;
	}
	return first;
}

/*
 * Claim @k cannot have its need, only @cores. Is it late if it waits until enough of the others
 * have ended, and in time if it begins now and takes what they leave? What is done by their ends is
 * a part of the whole, whatever the count. If nobody else waits for these cores it is not asked
 * whether it could wait too.
 */
static bool catches_up(struct vt_blocks *c, uint32_t k, unsigned int cores, bool alone)
{
	const struct vt_claim *x = &c->line.at[k];
	uint64_t within = vt_turn_margin(&c->t, c->s->cfg.margin_ppm, x->slack), now = 0,
		 left_ppm = VT_PPM;
	bool waits = !alone;

	for (unsigned int i = 0; i < ENDS_AHEAD; i++) {
		unsigned int more;
		uint64_t rest = vt_blocks_rest_on(c, x, cores), end = next_end(c, now, &more);

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

/* Core-time of the rest on the count that ends it soonest. */
static uint64_t work_us(const struct vt_blocks *c, const struct vt_claim *x)
{
	unsigned int n = x->plan->points[x->plan->fastest[x->layer]];

	n = n < c->t.n_usable ? n : c->t.n_usable;
	return vt_blocks_rest_on(c, x, n) / 1000 * n;
}

/* Of the claims up to @k not given up, the one with most to do; of equals the first due, which needs most cores. */
static struct vt_claim *largest(struct vt_blocks *c, uint32_t k)
{
	struct vt_claim *ret = NULL;

	for (uint32_t i = 0; i <= k; i++) {
		struct vt_claim *x = &c->line.at[i];

		if (!x->given_up && (!ret || x->work_us > ret->work_us))
			ret = x;
	}
	return ret;
}

/*
 * If those due by a deadline have more to do than the machine can until then, the largest of them is
 * given up: of jobs with deadlines on one server this makes the fewest late (Moore and Hodgson 1968).
 * Who waits needs more cores the longer it does, and more core-time on them: so each counts with what
 * it takes at its fastest.
 */
static void give_up(struct vt_blocks *c)
{
	uint64_t sum = 0;

	for (uint32_t k = 0; k < c->line.n; k++) {
		struct vt_claim *x = &c->line.at[k];
		uint64_t room = x->slack / 1000 * c->cores;

		x->work_us = work_us(c, x);
		sum += x->work_us;
		while (sum > room) {
			struct vt_claim *y = largest(c, k);

			y->given_up = true;
			sum -= y->work_us;
		}
	}
}

/** What the first that waits for its need will find: enough cores, and some beyond. */
struct promise {
	bool alone;  /* nobody else waits */
	bool asked;  /* for: by the first, so nobody else is promised any */
	uint64_t at; /* from now; UINT64_MAX: nothing is promised */
	unsigned int beyond;
};

static void promise(struct vt_blocks *c, uint32_t k, unsigned int cores, struct promise *p)
{
	const struct vt_claim *x = &c->line.at[k];
	uint64_t now = 0;

	for (unsigned int i = 0; i < ENDS_AHEAD && cores < x->need && now <= x->slack; i++) {
		unsigned int more;

		now = next_end(c, now, &more);
		cores += more;
	}
	if (cores < x->need || now > x->slack || now + vt_blocks_rest_on(c, x, x->need) > x->slack)
		return;
	p->at = now;
	p->beyond = cores - x->need;
}

/* May claim @x begin on its need, and whoever was promised cores finds them still? */
static bool leaves(const struct vt_blocks *c, const struct vt_claim *x, struct promise *p)
{
	if (x->held || p->at == UINT64_MAX || vt_blocks_rest_on(c, x, x->need) <= p->at)
		return true;
	if (x->need > p->beyond)
		return false;
	p->beyond -= x->need;
	return true;
}

/* Cores that claim @k is due, of @left. */
static unsigned int due(struct vt_blocks *c, uint32_t k, unsigned int left, struct promise *p)
{
	const struct vt_claim *x = &c->line.at[k];

	if (x->need <= left)
		return leaves(c, x, p) ? x->need : 0;
	if (x->held)
		return left;
	if (p->asked)
		return 0;
	p->asked = true;
	note_ends(c);
	if (left * (p->alone ? ALONE_PARTS : 2u) >= x->need && catches_up(c, k, left, p->alone))
		return left;
	promise(c, k, left, p);
	return 0;
}

/*
 * What each needs to be in time, last of all who waits and is given up; @waits gets nothing. A request
 * that cannot have its need waits, and who needs less goes first: begun in vain is the dearest work. But
 * the first that cannot may begin with half of it, if that will do and waiting will not, or with an eighth, if
 * that will do and nobody else waits; else who goes first leaves it what it waits for ("EASY" backfilling,
 * Lifka 1995). Returns what is left.
 */
static unsigned int deal_needs(struct vt_blocks *c, const struct vt_claim *waits)
{
	struct promise p = {.at = UINT64_MAX};
	unsigned int left = c->cores, waiting = 0;

	/* Nobody counts on what another deal gave. */
	for (uint32_t k = 0; k < c->line.n; k++) {
		c->line.at[k].share = 0;
		waiting += !c->line.at[k].held && c->line.at[k].on_time;
	}
	p.alone = waiting == 1;
	for (unsigned int last = 0; last < 2; last++)
		for (uint32_t k = 0; k < c->line.n; k++) {
			struct vt_claim *x = &c->line.at[k];

			if ((x->given_up && !x->held) != last)
				continue;
			x->urgency = x->asked;
			x->share = x == waits ? 0 : (uint16_t)due(c, k, left, &p);
			left -= x->share;
		}
	return left;
}

static bool runs(const struct vt_claim *x)
{
	return x->held || x->share;
}

static unsigned int raise_to(struct vt_claim *x, unsigned int cores, unsigned int left)
{
	unsigned int more = vt_above(cores, x->share);

	more = more < left ? more : left;
	x->share = (uint16_t)(x->share + more);
	return left - more;
}

/*
 * Who has least to do goes faster first ("shortest remaining processing time", Schrage 1968): it leaves
 * soonest, and the others get its cores. Not at any price: a core for a nanosecond holds each of the n in
 * the line up for 1/cores of one, if all cores are busy, so a nanosecond of latency is worth cores/n. Half of
 * that, as not all of them wait for it.
 */
static unsigned int speed_up(struct vt_blocks *c, unsigned int left)
{
	unsigned int u;

	if (!c->line.n)
		return left;
	u = vt_plan_urgency(16ull * c->t.n_usable / (2ull * c->line.n));
	vt_rank_init(&c->soon, VT_RANK_MAX);
	for (uint32_t k = 0; k < c->line.n; k++)
		if (runs(&c->line.at[k]))
			vt_rank_put(&c->soon, c->line.at[k].row->rest_us[0], k);
	vt_rank_sort(&c->soon);
	for (uint32_t i = 0; i < c->soon.n && left; i++) {
		struct vt_claim *x = &c->line.at[c->soon.at[i].index];
		unsigned int v = u > x->asked ? u : x->asked,
			     cores = x->plan->points[x->row->point[v]];

		if (cores <= x->share + left)
			x->urgency = (uint8_t)v;
		else /* no cores beyond a measured count: nobody knows what they bring */
			cores = x->plan->points[vt_plan_point(x->plan, x->share + left)];
		left = raise_to(x, cores, left);
	}
	return left;
}

static void deal(struct vt_blocks *c, const struct vt_claim *waits)
{
	unsigned int left = deal_needs(c, waits);

	if (left)
		left = speed_up(c, left);
	for (uint32_t k = 0; k < c->line.n && left; k++)
		if (runs(&c->line.at[k]))
			left = raise_to(&c->line.at[k], c->line.at[k].want, left);
	c->spare = left;
}

/* Of those that are to begin in time the one with most to do, if somebody with less to do lacks cores. */
static struct vt_claim *may_wait(struct vt_blocks *c)
{
	struct vt_claim *ret = NULL;
	uint32_t least = UINT32_MAX;

	for (uint32_t k = 0; k < c->line.n; k++) {
		struct vt_claim *x = &c->line.at[k];
		uint32_t us = x->row->rest_us[0];

		if (!x->share)
			continue;
		if (!x->held && x->on_time && !x->given_up && (!ret || us > ret->row->rest_us[0]))
			ret = x;
		if (x->share < x->want && us < least)
			least = us;
	}
	return ret && least < ret->row->rest_us[0] ? ret : NULL;
}

/* @x has no share. Will enough of the others have ended soon enough for it to run as it demands? */
static bool can_wait(struct vt_blocks *c, const struct vt_claim *x)
{
	uint64_t within = vt_turn_margin(&c->t, c->s->cfg.margin_ppm, x->slack);
	uint64_t rest = 1000ull * x->row->rest_us[x->asked], now = 0;
	unsigned int cores = c->spare;

	within = within / 100 * WAIT_PERCENT;
	note_ends(c);
	for (unsigned int i = 0; i < ENDS_AHEAD && cores < x->want && now < within; i++) {
		unsigned int more;

		now = next_end(c, now, &more);
		cores += more;
	}
	return cores >= x->want && now < within && now + rest <= within;
}

/** What a deal has written. */
struct dealt {
	unsigned int spare;
	uint16_t share[2 * VT_RANK_MAX];
	uint8_t urgency[2 * VT_RANK_MAX];
};

static void keep(const struct vt_blocks *c, struct dealt *ret)
{
	ret->spare = c->spare;
	for (uint32_t k = 0; k < c->line.n; k++) {
		ret->share[k] = c->line.at[k].share;
		ret->urgency[k] = c->line.at[k].urgency;
	}
}

static void put_back(struct vt_blocks *c, const struct dealt *d)
{
	c->spare = d->spare;
	for (uint32_t k = 0; k < c->line.n; k++) {
		c->line.at[k].share = d->share[k];
		c->line.at[k].urgency = d->urgency[k];
	}
}

/*
 * Needs first, then speed, then demands in order of the line. Of two that share the machine both end late;
 * one after the other, the first ends early and the second no later. So whoever is large and has time lets
 * the smaller ones have the cores, and begins when they have ended.
 */
void vt_blocks_share(struct vt_blocks *c)
{
	struct vt_claim *x;
	struct dealt d;

	give_up(c);
	deal(c, NULL);
	x = may_wait(c);
	if (x) {
		keep(c, &d);
		deal(c, x);
		if (!can_wait(c, x))
			put_back(c, &d);
	}
	for (uint32_t k = 0; k < c->line.n; k++)
		c->line.at[k].due = c->line.at[k].share;
}

static unsigned int cores_at(const struct vt_claim *x, unsigned int u)
{
	unsigned int n = x->plan->points[x->row->point[u > x->urgency ? u : x->urgency]];

	return n > vt_blocks_asks(x) ? n : vt_blocks_asks(x);
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

			if (!x->share || (n > x->share && n - x->share > c->spare))
				continue;
			/* Also if it costs nothing: the next block may end sooner, and what follows be lent more. */
			x->urgency = (uint8_t)(u > x->urgency ? u : x->urgency);
			if (n <= x->share)
				continue;
			c->spare -= n - x->share;
			x->share = (uint16_t)n;
		}
}
