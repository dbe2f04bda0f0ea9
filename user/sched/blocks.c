// SPDX-License-Identifier: Apache-2.0
/*
 * VELTAIR's layer blocks, as this project schedules them.
 *
 *   1. Requests that can still meet their deadline come first, the earliest deadline first; the
 *      others yield: they get cores that nobody else wants.
 *   2. A request demands the cheapest plan whose remaining time fits its slack (plan.h).
 *   3. Cores left over are lent to the blocks just started, then to running blocks that got fewer
 *      than they demand.
 *   4. Lent cores are taken back as soon as somebody's demand needs them.
 *
 * Plans are looked up in order of deadline and only until the cores are spoken for: with a thousand
 * waiting and one block's cores free that is one or two requests, not a thousand.
 */
#include "sched/state.h"

/* Part of the slack kept for what the profile does not know, ppm. */
#define BLOCKS_MARGIN_PPM 50000u
/* A block this near its end is left alone: cores that join would hardly work. */
#define GROW_WORTH_NS 100000u
/* Core-time above the least that a plan may cost to be faster. */
#define EFFICIENT_PERCENT 10u
#define LEND_PERCENT 20u

/* Ranked with the waiting requests: a running block that wants more cores. */
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
	uint32_t lent; /* cores that running blocks hold beyond their demand */
	struct picks on_time, late;
};

static uint64_t margin(const struct ctx *c, uint64_t slack_ns)
{
	uint32_t ppm = c->s->cfg.margin_ppm ? c->s->cfg.margin_ppm : BLOCKS_MARGIN_PPM;

	return slack_ns - slack_ns / VT_PPM * ppm - slack_ns % VT_PPM * ppm / VT_PPM;
}

/*
 * A first, cheap guess whether a request can end in time, so that ranking touches two cache lines
 * each. choose() looks closer at those that rank high.
 */
static bool hopeless(const struct vt_turn *t, const struct vt_request *r, const struct vt_model *m)
{
	uint64_t slack = vt_turn_slack(t, r->deadline_ns);

	return r->next_layer ? !slack : slack < m->fastest_ns;
}

/* Cores a running block demands and does not have; 0 if it ends too soon to use them. */
static unsigned int missing(const struct ctx *c, const struct vt_block *b)
{
	unsigned int n = vt_coreset_count(&b->cores);

	if (n >= b->wanted || b->flags & VT_BLOCK_STOPPING ||
	    b->end_ns < c->t.view->now_ns + GROW_WORTH_NS)
		return 0;
	return b->wanted - n;
}

static void rank(struct ctx *c)
{
	struct vt_rank *on_time = &c->s->rank, *late = &c->s->late;

	vt_rank_init(on_time, c->t.n_free + c->lent);
	vt_rank_init(late, c->t.n_free);
	for (uint32_t i = 0; i < c->t.view->n_requests; i++) {
		const struct vt_request *r = &c->t.view->requests[i];
		const struct vt_model *m;

		if (vt_rank_full_above(on_time, r->deadline_ns) && late->n == late->cap)
			continue;
		m = vt_turn_known(&c->t, r);
		if (!m)
			continue;
		if (!hopeless(&c->t, r, m))
			vt_rank_put(on_time, r->deadline_ns, i);
		else if (late->n < late->cap) /* requests come by id: the first are the oldest */
			late->at[late->n++].index = i;
	}
	for (uint32_t i = 0; i < c->t.n_blocks; i++)
		if (missing(c, &c->t.view->blocks[i]))
			vt_rank_put(on_time, c->t.view->blocks[i].deadline_ns, i | IS_BLOCK);
	vt_rank_sort(on_time);
}

static void add_pick(struct picks *p, const struct pick *x)
{
	p->at[p->n] = *x;
	p->at[p->n].want = x->plan->points[x->cells[x->urgency].point];
	p->want_sum += p->at[p->n++].want;
}

static void add_grow(struct ctx *c, uint32_t index)
{
	struct pick *x = &c->on_time.at[c->on_time.n++];

	x->index = index;
	x->want = (uint16_t)missing(c, &c->t.view->blocks[index & ~IS_BLOCK]);
	c->on_time.want_sum += x->want;
}

static bool pick_of(const struct ctx *c, uint32_t index, struct pick *ret)
{
	const struct vt_request *r = &c->t.view->requests[index];
	const struct vt_model *m = vt_turn_ready(&c->t, r);

	if (!m)
		return false;
	ret->index = index;
	ret->urgency = 0;
	ret->plan = m->plan;
	ret->cells = vt_plan_cells(m->plan, c->tr->code, c->grain, c->level, r->next_layer);
	return true;
}

static unsigned int urgency_of(const struct ctx *c, const struct pick *x)
{
	uint64_t slack = vt_turn_slack(&c->t, c->t.view->requests[x->index].deadline_ns);
	unsigned int u = vt_plan_urgency(x->cells, margin(c, slack));

	if (u == VT_URGENCIES && x->cells[VT_URGENCIES - 1].rest_ns <= slack)
		u = VT_URGENCIES - 1;
	return u;
}

/*
 * The most urgent plan that costs little more core-time than the cheapest. Where scaling is nearly
 * linear, few fast servers beat many slow ones: the same work is done, and who waits waits less.
 */
static unsigned int efficient(const struct pick *x, unsigned int u)
{
	uint64_t most = x->cells[0].rest_core_us;

	most += most * EFFICIENT_PERCENT / 100;
	while (u + 1 < VT_URGENCIES && x->cells[u + 1].rest_core_us <= most)
		u++;
	return u;
}

static void choose(struct ctx *c)
{
	const struct vt_rank *on_time = &c->s->rank, *late = &c->s->late;
	struct pick x;

	c->on_time.n = c->on_time.want_sum = 0;
	c->late.n = c->late.want_sum = 0;
	for (uint32_t k = 0; k < on_time->n && c->on_time.want_sum < c->t.n_free + c->lent; k++) {
		if (on_time->at[k].index & IS_BLOCK) {
			add_grow(c, on_time->at[k].index);
			continue;
		}
		if (!pick_of(c, on_time->at[k].index, &x))
			continue;
		x.urgency = urgency_of(c, &x);
		if (x.urgency < VT_URGENCIES) {
			x.urgency = efficient(&x, x.urgency);
			add_pick(&c->on_time, &x);
		} else {
			x.urgency = 0;
			add_pick(&c->late, &x);
		}
	}
	for (uint32_t k = 0; k < late->n && c->late.n < VT_RANK_MAX &&
			     c->on_time.want_sum + c->late.want_sum < c->t.n_free;
	     k++)
		if (pick_of(c, late->at[k].index, &x))
			add_pick(&c->late, &x);
}

/* Most urgent plan of @x whose next block needs at most @cores and that wastes little of them. */
static void raise(struct pick *x, unsigned int cores)
{
	uint64_t most = x->cells[0].rest_core_us;

	most += most * LEND_PERCENT / 100;
	for (unsigned int u = x->urgency + 1; u < VT_URGENCIES; u++)
		if (x->plan->points[x->cells[u].point] <= cores && x->cells[u].rest_core_us <= most)
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

static void grow(struct ctx *c, const struct pick *x)
{
	uint32_t i = x->index & ~IS_BLOCK;

	vt_turn_grow(&c->t, i, x->want < c->t.n_free ? x->want : c->t.n_free,
		     c->t.view->blocks[i].wanted);
}

/* In order; the last one may get fewer cores than it demands and grows when there are more. */
static void start_all(struct ctx *c, struct picks *p, bool lend)
{
	unsigned int spare = p->want_sum < c->t.n_free ? c->t.n_free - p->want_sum : 0;

	for (uint32_t k = 0; k < p->n && c->t.n_free; k++) {
		struct pick *x = &p->at[k];
		unsigned int cores = x->want;

		if (x->index & IS_BLOCK) {
			grow(c, x);
			continue;
		}
		if (lend && spare) {
			raise(x, x->want + spare / (p->n - k));
			cores = x->plan->points[x->cells[x->urgency].point];
			cores = cores > x->want ? cores : x->want;
			spare -= cores - x->want;
		}
		start(c, x, cores < c->t.n_free ? cores : c->t.n_free);
	}
}

/* Cores a running block holds beyond its demand, unless it is about to give all of them back. */
static unsigned int lent_to(const struct ctx *c, const struct vt_block *b)
{
	unsigned int n = vt_coreset_count(&b->cores);

	if (!b->wanted || n <= b->wanted || b->end_ns < c->t.view->now_ns + GROW_WORTH_NS)
		return 0;
	return n - b->wanted;
}

static void take_back(struct ctx *c, unsigned int needed)
{
	for (uint32_t i = 0; i < c->t.n_blocks && needed; i++) {
		unsigned int n = lent_to(c, &c->t.view->blocks[i]);

		n = n < needed ? n : needed;
		if (n && vt_turn_shrink(&c->t, i, n))
			needed -= n;
	}
}

static void shed_all(struct ctx *c)
{
	for (uint32_t k = 0; k < c->late.n; k++)
		if (!vt_turn_shed(&c->t, c->late.at[k].index))
			return;
}

void vt_blocks_decide(void *state, const struct vt_view *view, struct vt_decision *ret)
{
	struct vt_policy_state *s = state;
	struct ctx c;

	c.s = s;
	c.tr = s->traits;
	vt_turn_begin(&c.t, view, ret, s->traits->needs);
	c.lent = 0;
	for (uint32_t i = 0; view->n_requests && i < c.t.n_blocks; i++)
		c.lent += lent_to(&c, &view->blocks[i]);
	if (!c.t.n_free && !c.lent)
		return;
	c.level = c.tr->use_level ? vt_turn_level(&c.t) : 0;
	c.grain = c.t.n_free * 4 >= c.t.n_cores ? s->traits->grain : s->traits->coarse_grain;
	rank(&c);
	choose(&c);
	if (c.on_time.want_sum > c.t.n_free)
		take_back(&c, c.on_time.want_sum - c.t.n_free);
	start_all(&c, &c.on_time, c.late.n == 0);
	if (s->cfg.shed)
		shed_all(&c);
	else
		start_all(&c, &c.late, false);
}
