// SPDX-License-Identifier: Apache-2.0
#include "sim/bound_set.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/order.h"
#include "sim/bound.h"

#define SET    VT_BOUND_SET_MAX
#define PIECES (2u * SET - 1u)

/*
 * A step aims this far above the best so far, as a part of what all have to pay with; after PATIENCE steps
 * that did not come half that far, the next aim this much less high. No more than STEPS.
 */
#define AIM	 0.8
#define AIM_LESS 0.8
#define PATIENCE 64u
#define STEPS	 2000u
/* A proof must hold by more than rounding. */
#define SURE 1e-9

/* ---- ways ------------------------------------------------------------------------------- */

/** Is @y above the line from @x to @z, core-time over time? Then it costs more than one of them at any prices. */
static bool above(const struct vt_bound_way *x, const struct vt_bound_way *y,
		  const struct vt_bound_way *z)
{
	double xy = y->cores * y->ns - x->cores * x->ns, xz = z->cores * z->ns - x->cores * x->ns;

	return xy * (x->ns - z->ns) >= xz * (x->ns - y->ns);
}

/** The counts of a layer that are the cheapest at some prices; returns how many. */
static uint32_t ways_of(const struct vt_bank *b, uint32_t model, uint32_t layer,
			struct vt_bound_way *ret)
{
	const struct vt_model *m = &b->sched[model];
	const uint32_t n_points = vt_bank_points(b, model);
	double least = INFINITY;
	uint32_t n = 0;

	for (uint32_t p = 0; p < n_points; p++) {
		struct vt_bound_way x = {m->points[p], INFINITY};

		for (uint32_t v = 0; v < m->n_versions; v++) {
			double t =
				(double)vt_bank_cell(b, model, layer, v, p, VT_SHARES - 1)->ns[0];

			x.ns = t > 0 && t < x.ns ? t : x.ns;
		}
		if (x.ns >= least)
			continue;
		least = x.ns;
		while (n && ret[n - 1].cores * ret[n - 1].ns >= x.cores * x.ns)
			n--;
		while (n > 1 && above(&ret[n - 2], &ret[n - 1], &x))
			n--;
		ret[n++] = x;
	}
	return n;
}

int vt_bound_ways_init(struct vt_bound_ways *w, const struct vt_bank *b, uint32_t model)
{
	const struct vt_bank_model *bm = &b->models[model];
	const uint32_t n_points = vt_bank_points(b, model);

	*w = (struct vt_bound_ways){.n_layers = b->sched[model].n_layers, .n_kinds = bm->n_rows};
	w->kind = calloc(w->n_layers, sizeof(*w->kind));
	w->first = calloc(w->n_kinds + 1u, sizeof(*w->first));
	w->at = calloc((size_t)w->n_kinds * n_points, sizeof(*w->at));
	if (!w->kind || !w->first || !w->at) {
		vt_bound_ways_fini(w);
		return -ENOMEM;
	}
	for (uint32_t l = 0; l < w->n_layers; l++)
		w->kind[l] = bm->row_of[l];
	for (uint32_t k = 0, l; k < w->n_kinds; k++) {
		for (l = 0; l < w->n_layers && w->kind[l] != k; l++)
			;
		w->first[k + 1] = w->first[k];
		if (l < w->n_layers)
			w->first[k + 1] += ways_of(b, model, l, &w->at[w->first[k]]);
	}
	for (uint32_t l = 0; l < w->n_layers; l++)
		w->fastest_ns += w->at[w->first[w->kind[l] + 1] - 1].ns;
	return 0;
}

void vt_bound_ways_fini(struct vt_bound_ways *w)
{
	free(w->kind);
	free(w->first);
	free(w->at);
	*w = (struct vt_bound_ways){0};
}

/* ---- prices ----------------------------------------------------------------------------- */

struct member {
	const struct vt_bound_ways *ways;
	uint32_t from, to;   /* its pieces */
	double tau[PIECES];  /* by piece, less from */
	double used[PIECES]; /* time that it runs there */
};

struct prices {
	uint32_t n, pieces;
	double cores;
	double cut[PIECES + 1];
	double lambda[PIECES], used[PIECES]; /* core-time used */
	struct member at[SET];
	/* Of one member: what the layers so far cost, if the last of them is in this piece. */
	double cost[PIECES];
	uint8_t *came;		   /* [layers][PIECES]: in which piece the layer before was */
	struct vt_bound_way *pick; /* [kinds][PIECES]: the count that costs least */
	double *least;		   /* [kinds][PIECES]: and what it costs */
};

static double length(const struct prices *p, uint32_t k)
{
	return p->cut[k + 1] - p->cut[k];
}

static void cut_time(struct prices *p, const struct vt_bound_request *set, uint32_t n)
{
	uint32_t cuts = 0;

	p->n = n;
	memset(p->lambda, 0, sizeof(p->lambda));
	for (uint32_t i = 0; i < n; i++) {
		p->cut[cuts++] = set[i].at_ns;
		p->cut[cuts++] = set[i].deadline_ns;
	}
	qsort(p->cut, cuts, sizeof(*p->cut), vt_order_double);
	p->pieces = cuts - 1;
	for (uint32_t i = 0; i < n; i++) {
		struct member *m = &p->at[i];

		*m = (struct member){.ways = set[i].ways};
		while (p->cut[m->from] < set[i].at_ns)
			m->from++;
		for (m->to = m->from; p->cut[m->to] < set[i].deadline_ns;)
			m->to++;
	}
}

/** What a layer of each kind costs @m in each of its pieces. */
static void price_kinds(struct prices *p, const struct member *m)
{
	const struct vt_bound_ways *w = m->ways;

	for (uint32_t kind = 0; kind < w->n_kinds; kind++) {
		for (uint32_t k = m->from; k < m->to; k++) {
			const double lambda = p->lambda[k], tau = m->tau[k - m->from];
			double least = INFINITY;
			uint32_t best = w->first[kind];

			for (uint32_t i = w->first[kind]; i < w->first[kind + 1]; i++) {
				double cost = (w->at[i].cores * lambda + tau) * w->at[i].ns;

				if (cost < least) {
					least = cost;
					best = i;
				}
			}
			p->least[kind * PIECES + k] = least;
			p->pick[kind * PIECES + k] = w->at[best];
		}
	}
}

/** The cheapest way of @m, which is added to what is used; returns its cost. */
static double cheapest(struct prices *p, struct member *m)
{
	const struct vt_bound_ways *w = m->ways;
	double least = INFINITY;
	uint32_t piece = m->from;

	price_kinds(p, m);
	for (uint32_t k = m->from; k < m->to; k++) {
		p->cost[k] = 0;
		m->used[k - m->from] = 0;
	}
	for (uint32_t l = 0; l < w->n_layers; l++) {
		const double *cost = &p->least[(size_t)w->kind[l] * PIECES];
		uint8_t *came = &p->came[(size_t)l * PIECES];
		double before = INFINITY;
		uint32_t where = m->from;

		for (uint32_t k = m->from; k < m->to; k++) {
			if (p->cost[k] < before) {
				before = p->cost[k];
				where = k;
			}
			came[k] = (uint8_t)where;
			p->cost[k] = before + cost[k];
		}
	}
	for (uint32_t k = m->from; k < m->to; k++) {
		if (p->cost[k] < least) {
			least = p->cost[k];
			piece = k;
		}
	}
	for (uint32_t l = w->n_layers; l-- > 0;) {
		const struct vt_bound_way *x = &p->pick[(size_t)w->kind[l] * PIECES + piece];

		p->used[piece] += x->cores * x->ns;
		m->used[piece - m->from] += x->ns;
		piece = p->came[(size_t)l * PIECES + piece];
	}
	return least;
}

/** What the cheapest ways cost more than there is to pay with; > 0: a proof. */
static double excess(struct prices *p)
{
	double sum = 0;

	memset(p->used, 0, sizeof(p->used));
	for (uint32_t i = 0; i < p->n; i++) {
		struct member *m = &p->at[i];

		sum += cheapest(p, m);
		for (uint32_t k = m->from; k < m->to; k++)
			sum -= m->tau[k - m->from] * length(p, k);
	}
	for (uint32_t k = 0; k < p->pieces; k++)
		sum -= p->cores * p->lambda[k] * length(p, k);
	return sum;
}

/* All prices times the same are the same proof: the mean core costs 1. */
static void normalise(struct prices *p)
{
	double sum = 0, span = p->cut[p->pieces] - p->cut[0];

	for (uint32_t k = 0; k < p->pieces; k++)
		sum += p->lambda[k] * length(p, k);
	if (sum <= 0)
		return;
	for (uint32_t k = 0; k < p->pieces; k++)
		p->lambda[k] *= span / sum;
	for (uint32_t i = 0; i < p->n; i++)
		for (uint32_t k = 0; k < p->at[i].to - p->at[i].from; k++)
			p->at[i].tau[k] *= span / sum;
}

/* How much more of piece @k is used than there is: of its cores, and of @m's time. */
static double cores_over(const struct prices *p, uint32_t k)
{
	return p->used[k] - p->cores * length(p, k);
}

static double time_over(const struct prices *p, const struct member *m, uint32_t k)
{
	return m->used[k - m->from] - length(p, k);
}

/* Of a step's length, squared: a price that is 0 does not fall. */
static double moved(double price, double over)
{
	return over > 0 || price > 0 ? over * over : 0;
}

/* A step of Polyak's: as long as would gain @rise, were the excess linear. */
static bool step(struct prices *p, double rise)
{
	/* There is less time than core-time, so its prices take longer steps. */
	const double longer = p->cores * p->cores / 2;
	double norm = 0, by;

	for (uint32_t k = 0; k < p->pieces; k++)
		norm += moved(p->lambda[k], cores_over(p, k));
	for (uint32_t i = 0; i < p->n; i++) {
		const struct member *m = &p->at[i];

		for (uint32_t k = m->from; k < m->to; k++)
			norm += moved(m->tau[k - m->from], time_over(p, m, k)) * longer;
	}
	if (norm <= 0)
		return false;
	by = rise / norm;
	for (uint32_t k = 0; k < p->pieces; k++)
		p->lambda[k] = fmax(0, p->lambda[k] + by * cores_over(p, k));
	for (uint32_t i = 0; i < p->n; i++) {
		struct member *m = &p->at[i];

		for (uint32_t k = m->from; k < m->to; k++) {
			double *tau = &m->tau[k - m->from];

			*tau = fmax(0, *tau + by * longer * time_over(p, m, k));
		}
	}
	normalise(p);
	return true;
}

static int room(struct prices *p, const struct vt_bound_request *r, size_t n)
{
	size_t layers = 1, kinds = 1;

	for (size_t i = 0; i < n; i++) {
		layers = r[i].ways->n_layers > layers ? r[i].ways->n_layers : layers;
		kinds = r[i].ways->n_kinds > kinds ? r[i].ways->n_kinds : kinds;
	}
	p->came = calloc(layers * PIECES, sizeof(*p->came));
	p->pick = calloc(kinds * PIECES, sizeof(*p->pick));
	p->least = calloc(kinds * PIECES, sizeof(*p->least));
	return p->came && p->pick && p->least ? 0 : -ENOMEM;
}

static void no_room(struct prices *p)
{
	free(p->came);
	free(p->pick);
	free(p->least);
}

/** Are all in time if they run one after the other as they come, as fast as each goes? Then nothing is to prove. */
static bool in_turn(const struct vt_bound_request *set, uint32_t n)
{
	double now = 0;

	for (uint32_t i = 0; i < n; i++) {
		now = fmax(now, set[i].at_ns) + set[i].ways->fastest_ns;
		if (now > set[i].deadline_ns)
			return false;
	}
	return true;
}

static bool refuted(struct prices *p, const struct vt_bound_request *set, uint32_t n)
{
	double all, aim, best = -INFINITY;

	if (in_turn(set, n))
		return false;
	cut_time(p, set, n);
	all = p->cores * (p->cut[p->pieces] - p->cut[0]);
	/* Where nobody else is there, cores are for free. */
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t k = p->at[i].from; k < p->at[i].to; k++)
			p->lambda[k] += 1;
	for (uint32_t k = 0; k < p->pieces; k++)
		p->lambda[k] = fmax(0, p->lambda[k] - 1);
	normalise(p);
	aim = AIM * all;
	for (uint32_t i = 0, since = 0; i < STEPS; i++) {
		double over = excess(p);

		if (over > SURE * all)
			return true;
		/* Who comes nowhere aims too high; who needs not aim above 0 any more comes nowhere. */
		if (over > best + aim / 2) {
			best = over;
			since = 0;
		} else if (++since >= PATIENCE) {
			aim *= AIM_LESS;
			if (best + aim < 0)
				return false;
			since = 0;
		}
		if (!step(p, fmax(best, over) + aim - over))
			return false;
	}
	return false;
}

/** Is somebody late even on one server that scales ideally, the earliest deadline first? */
static bool overfull(const struct vt_bound_request *set, uint32_t n)
{
	struct vt_bound_job jobs[SET];
	long served;

	for (uint32_t i = 0; i < n; i++)
		jobs[i] = (struct vt_bound_job){set[i].at_ns, set[i].deadline_ns,
						set[i].work_ns * (1 - SURE)};
	served = vt_bound_served(jobs, n, NULL);
	return served >= 0 && served < n;
}

bool vt_bound_set_refuted(const struct vt_bound_request *set, uint32_t n, double cores)
{
	struct prices *p;
	bool ret = false;

	if (!n || n > SET)
		return false;
	if (overfull(set, n))
		return true;
	p = calloc(1, sizeof(*p));
	if (!p)
		return false;
	p->cores = cores;
	if (!room(p, set, n))
		ret = refuted(p, set, n);
	no_room(p);
	free(p);
	return ret;
}
