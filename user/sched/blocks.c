// SPDX-License-Identifier: Apache-2.0
/*
 * VELTAIR's layer blocks, as this project schedules them.
 *
 *   1. Order. Requests that can still meet their deadline come first, the earliest deadline first.
 *      The others yield: they are refused, or run on cores that nobody else wants. A running block
 *      that got fewer cores than it demands stands in the same queue: without that, newcomers take
 *      what it waits for.
 *   2. Demand. A request needs the cheapest plan whose remaining time fits its slack (plan.h). It
 *      demands more where that is nearly free: the most urgent plan within a few percent of the
 *      least core-time. Few fast servers beat many slow ones: the same work is done, and who
 *      waits, waits less.
 *   3. Grant. Free cores in order of 1; the last one gets what there is and grows later.
 *   4. Lending. Cores still left make the blocks that start now faster than they demand.
 *
 * Plans are looked up in order and only until the cores are spoken for: with a thousand waiting and
 * one block's cores free that is one or two requests, not a thousand.
 */
#include "sched/state.h"

/* Part of the slack kept for what the profile does not know, ppm. */
#define MARGIN_PPM 50000u
/* A block this near its end is left alone: cores that join or leave would hardly matter. */
#define WORTH_NS 100000u
/* Core-time above the least that a demand may cost to be faster, and that a loan may cost. */
#define DEMAND_PERCENT 10u
#define LEND_PERCENT   20u

/* Ranked with the waiting requests: a running block that demands more cores. */
#define IS_BLOCK (1u << 31)

/** One request about to start, or one block about to grow (then index has IS_BLOCK). */
struct pick {
	const struct vt_plan_cell *cells;
	const struct vt_plan *plan;
	uint32_t index; /* in view.requests, or in view.blocks | IS_BLOCK */
	uint32_t urgency;
	uint16_t want; /* cores demanded */
};

struct picks {
	uint32_t n, want_sum;
	struct pick at[VT_RANK_MAX];
};

struct ctx {
	struct vt_turn t;
	struct vt_policy_state *s;
	const struct vt_traits *tr;
	unsigned int level;
	enum vt_grain grain;
	struct picks on_time, late;
};

/* ---- 1. order --------------------------------------------------------------------------- */

/* Cores a running block demands and does not have; 0 if it cannot use them any more. */
static unsigned int missing(const struct ctx *c, const struct vt_block *b)
{
	unsigned int n = vt_coreset_count(&b->cores);

	if (n >= b->wanted || b->flags & VT_BLOCK_STOPPING ||
	    b->end_ns < c->t.view->now_ns + WORTH_NS)
		return 0;
	return b->wanted - n;
}

static void rank_blocks(struct ctx *c)
{
	for (uint32_t i = 0; i < c->t.n_blocks; i++) {
		const struct vt_block *b = &c->t.view->blocks[i];
		const struct vt_model *m;

		if (!missing(c, b))
			continue;
		m = vt_turn_model(&c->t, b->model);
		if (m && b->layer_now < m->n_layers)
			vt_rank_put(&c->s->rank, b->deadline_ns, i | IS_BLOCK);
	}
}

static void rank(struct ctx *c)
{
	struct vt_rank *on_time = &c->s->rank, *late = &c->s->late;
	uint64_t now = c->t.view->now_ns;

	vt_rank_init(on_time, c->t.n_free + 1);
	vt_rank_init(late, VT_RANK_MAX);
	for (uint32_t i = 0; i < c->t.view->n_requests; i++) {
		const struct vt_request *r = &c->t.view->requests[i];
		const struct vt_model *m = vt_turn_known(&c->t, r);

		if (!m)
			continue;
		/* How long the rest of a begun request takes, choose() will see. */
		if (r->deadline_ns < now + (r->next_layer ? 0 : m->fastest_ns)) {
			/* Requests come by id: the first are the oldest. */
			if (late->n < late->cap)
				late->at[late->n++].index = i;
		} else if (!vt_rank_full_above(on_time, r->deadline_ns)) {
			vt_rank_put(on_time, r->deadline_ns, i);
		}
	}
	rank_blocks(c);
	vt_rank_sort(on_time);
}

/* ---- 2. demand -------------------------------------------------------------------------- */

static uint64_t margin(const struct ctx *c, uint64_t slack_ns)
{
	uint32_t ppm = c->s->cfg.margin_ppm ? c->s->cfg.margin_ppm : MARGIN_PPM;

	return slack_ns - slack_ns / VT_PPM * ppm - slack_ns % VT_PPM * ppm / VT_PPM;
}

/* The cheapest plan that ends in time, without the margin if need be; VT_URGENCIES if none does. */
static unsigned int needed(const struct ctx *c, const struct vt_plan_cell *cells, uint64_t deadline)
{
	uint64_t slack = vt_turn_slack(&c->t, deadline);
	unsigned int u = vt_plan_urgency(cells, margin(c, slack));

	if (u == VT_URGENCIES && cells[VT_URGENCIES - 1].rest_ns <= slack)
		u = VT_URGENCIES - 1;
	return u;
}

/* The most urgent plan from @u on that costs at most @percent above the cheapest of all. */
static unsigned int affordable(const struct vt_plan_cell *cells, unsigned int u,
			       unsigned int percent)
{
	uint64_t most = cells[0].rest_core_us;

	most += most * percent / 100;
	while (u + 1 < VT_URGENCIES && cells[u + 1].rest_core_us <= most)
		u++;
	return u;
}

static bool pick_of(const struct ctx *c, uint32_t index, struct pick *ret)
{
	const struct vt_request *r = &c->t.view->requests[index];
	const struct vt_model *m = vt_turn_ready(&c->t, r);

	if (!m)
		return false;
	ret->index = index;
	ret->plan = m->plan;
	ret->cells = vt_plan_cells(m->plan, c->tr->code, c->grain, c->level, r->next_layer);
	return true;
}

static void add(struct picks *p, const struct pick *x)
{
	p->at[p->n++] = *x;
	p->want_sum += x->want;
}

static void add_request(struct ctx *c, uint32_t index)
{
	struct pick x;
	unsigned int u;

	if (!pick_of(c, index, &x))
		return;
	u = needed(c, x.cells, c->t.view->requests[index].deadline_ns);
	x.urgency = u < VT_URGENCIES ? affordable(x.cells, u, DEMAND_PERCENT) : 0;
	x.want = x.plan->points[x.cells[x.urgency].point];
	add(u < VT_URGENCIES ? &c->on_time : &c->late, &x);
}

static void add_block(struct ctx *c, uint32_t index)
{
	struct pick x = {.index = index};

	x.want = (uint16_t)missing(c, &c->t.view->blocks[index & ~IS_BLOCK]);
	add(&c->on_time, &x);
}

static void choose(struct ctx *c)
{
	const struct vt_rank *on_time = &c->s->rank, *late = &c->s->late;

	c->on_time.n = c->on_time.want_sum = 0;
	c->late.n = c->late.want_sum = 0;
	for (uint32_t k = 0; k < on_time->n && c->on_time.want_sum <= c->t.n_free; k++) {
		uint32_t index = on_time->at[k].index;

		if (index & IS_BLOCK)
			add_block(c, index);
		else
			add_request(c, index);
	}
	for (uint32_t k = 0; k < late->n && c->late.n < VT_RANK_MAX; k++) {
		struct pick x = {0};

		if (!pick_of(c, late->at[k].index, &x))
			continue;
		x.want = x.plan->points[x.cells[0].point];
		add(&c->late, &x);
		if (!c->s->cfg.shed && c->late.want_sum >= c->t.n_free)
			break;
	}
}

/* ---- 3., 4. grant and lend -------------------------------------------------------------- */

/* The most urgent affordable plan of @x whose next block takes at most @cores. */
static void raise(struct pick *x, unsigned int cores)
{
	unsigned int top = affordable(x->cells, x->urgency, LEND_PERCENT);

	for (unsigned int u = x->urgency + 1; u <= top; u++)
		if (x->plan->points[x->cells[u].point] <= cores)
			x->urgency = u;
}

static void start(struct ctx *c, const struct pick *x, unsigned int cores)
{
	vt_turn_start(&c->t, &(struct vt_start){
				     .request = x->index,
				     .end = x->cells[x->urgency].end,
				     .wanted = x->want,
				     .cores = (uint16_t)cores,
				     .code = c->tr->code,
				     .use_level = c->tr->use_level,
			     });
}

static void grant(struct ctx *c, struct picks *p, bool lend)
{
	unsigned int spare = p->want_sum < c->t.n_free ? c->t.n_free - p->want_sum : 0;

	for (uint32_t k = 0; k < p->n && c->t.n_free; k++) {
		struct pick *x = &p->at[k];
		unsigned int cores = x->want < c->t.n_free ? x->want : c->t.n_free;

		if (x->index & IS_BLOCK) {
			uint32_t i = x->index & ~IS_BLOCK;

			vt_turn_grow(&c->t, i, cores, c->t.view->blocks[i].wanted);
			continue;
		}
		if (lend && spare) {
			raise(x, x->want + spare / (p->n - k));
			cores = x->plan->points[x->cells[x->urgency].point];
			cores = cores > x->want ? cores : x->want;
			spare -= cores - x->want;
		}
		start(c, x, cores);
	}
}

static void shed(struct ctx *c)
{
	for (uint32_t k = 0; k < c->late.n; k++)
		if (!vt_turn_shed(&c->t, c->late.at[k].index))
			return;
}

void vt_blocks_decide(void *state, const struct vt_view *view, struct vt_decision *ret)
{
	struct vt_policy_state *s = state;
	unsigned int free;
	struct ctx c;

	c.s = s;
	c.tr = s->traits;
	vt_turn_begin(&c.t, view, ret, s->traits->needs);
	free = c.t.n_free;
	if (!free && !view->n_requests)
		return;
	c.level = s->traits->use_level ? vt_turn_level(&c.t) : 0;
	c.grain = free * 4 >= c.t.n_cores ? s->traits->grain : s->traits->coarse_grain;
	rank(&c);
	choose(&c);
	grant(&c, &c.on_time, c.late.n == 0 || s->cfg.shed);
	if (s->cfg.shed)
		shed(&c);
	else
		grant(&c, &c.late, false);
}
