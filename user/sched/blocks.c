// SPDX-License-Identifier: Apache-2.0
/*
 * VELTAIR's layer blocks, as this project schedules them.
 *
 *   1. Order. Running blocks and waiting requests stand in one line, the earliest deadline first.
 *      Requests that can no longer meet theirs yield: they are refused, or run on cores that nobody
 *      else wants.
 *   2. Demand. A request needs the cheapest plan whose remaining time fits its slack (plan.h). It
 *      demands more where that is nearly free: the most urgent plan within a few percent of the
 *      least core-time. Few fast servers beat many slow ones: the same work is done, and who
 *      waits, waits less.
 *   3. Share. The line takes from all cores of the machine, whoever holds them now: first what each
 *      needs; then what speeds it up at a price that falls with the length of the line, who has least
 *      to do first; then what it demands. Where more is asked than the machine can do in time, the
 *      largest that have not begun come last. The first that cannot have its need may begin with half
 *      of it (an eighth, if nobody else waits), if waiting would make it late and the ends of the others
 *      come soon enough; else nobody takes the cores that it waits for. The largest that could begin waits instead, if smaller ones
 *      lack cores and it has time until they have ended.
 *   4. Spare cores. What nobody demands is lent at one price: the highest price of latency at which
 *      everybody's plan still fits the machine. A loan costs core-time that would have been idle.
 *   Cores that others have taken are none of this. Nothing is led from them and nothing counts on them; they
 *   help whoever is first in the line. Who is due no core at all, and has so much time that a part of a core will
 *   do, begins on one of them.
 *   5. Taking back. If who waits is due cores that others hold beyond their share, these shrink; a
 *      block whose share is nothing stops at its next layer. Layers of a block that have not begun
 *      get the code for its new count.
 *
 * Plans are looked up in order and only until the cores are spoken for: with a thousand waiting that
 * is some ten requests, not a thousand.
 */
#include "sched/blocks.h"

/* A block this near its end is left alone: cores that join or leave would hardly matter. */
#define WORTH_NS 100000u
/* Requests looked at beyond one for each free core: those that running blocks shrink for. */
#define BEYOND_FREE 16u

/* ---- 1. order --------------------------------------------------------------------------- */

static bool settled(const struct vt_blocks *c, const struct vt_block *b, const struct vt_model *m)
{
	return !m || b->layer_now >= b->layer_end || b->layer_end > m->n_layers ||
	       b->flags & VT_BLOCK_STOPPING || b->end_ns < c->t.view->now_ns + WORTH_NS ||
	       vt_coreset_has(&c->t.out, vt_turn_leads(b));
}

/* Running blocks, those left out that are nearly through or on a taken core: they keep what they have, or stop. */
static void rank_blocks(struct vt_blocks *c)
{
	vt_rank_init(&c->s->busy, VT_RANK_MAX);
	c->next_end = UINT64_MAX;
	for (uint32_t i = 0; i < c->t.n_blocks; i++) {
		const struct vt_block *b = &c->t.view->blocks[i];

		if (b->end_ns < c->next_end)
			c->next_end = b->end_ns;
		if (!settled(c, b, vt_turn_model(&c->t, b->model)))
			vt_rank_put(&c->s->busy, b->deadline_ns, i);
	}
	vt_rank_sort(&c->s->busy);
}

static void rank(struct vt_blocks *c)
{
	struct vt_rank *on_time = &c->s->rank, *late = &c->s->late;
	uint64_t now = c->t.view->now_ns;

	vt_rank_init(on_time, c->t.n_free + BEYOND_FREE);
	vt_rank_init(late, VT_RANK_MAX);
	for (uint32_t i = 0; i < c->t.view->n_requests; i++) {
		const struct vt_request *r = &c->t.view->requests[i];
		const struct vt_model *m = NULL;

		/* Not its turn: whether it is too late already, another decision will tell. */
		if (vt_rank_full_above(on_time, r->deadline_ns) || r->instances_busy)
			continue;
		if (r->deadline_ns >= now) {
			m = vt_turn_known(&c->t, r);
			if (!m)
				continue;
		}
		/* How long the rest of a begun request takes, the plan will say. */
		if (m && r->deadline_ns >= now + (r->next_layer ? 0 : m->fastest_ns))
			vt_rank_put(on_time, r->deadline_ns, i);
		else if (late->n < late->cap) /* by id: the first are the oldest */
			late->at[late->n++].index = i;
	}
	vt_rank_sort(on_time);
}

/* ---- 2. demand -------------------------------------------------------------------------- */

/* Time the rest takes at urgency @u, less what is done of the layer under way, microseconds. */
static uint32_t rest_us(const struct vt_blocks *c, const struct vt_claim *x,
			const struct vt_plan_row *row, unsigned int u)
{
	uint64_t done;

	if (!x->done_ppm)
		return row->rest_us[u];
	done = vt_plan_ns(x->plan, c->tr->code, c->level, row->point[u], x->layer, x->layer + 1u);
	done = done / 1000 * x->done_ppm / VT_PPM;
	return row->rest_us[u] > done ? row->rest_us[u] - (uint32_t)done : 0;
}

/* The least that the rest takes, on an idle machine. */
static uint32_t idle_us(const struct vt_blocks *c, const struct vt_claim *x)
{
	return rest_us(c, x, x->row - (size_t)c->level * x->plan->n_layers, VT_URGENCIES - 1);
}

/* The cheapest plan that ends in time, without the margin if need be; VT_URGENCIES if none does. */
static unsigned int needed(const struct vt_blocks *c, const struct vt_claim *x, uint64_t slack)
{
	uint64_t within = vt_turn_margin(&c->t, c->s->cfg.margin_ppm, slack) / 1000;
	unsigned int lo = 0, hi = VT_URGENCIES;

	while (lo < hi) {
		unsigned int mid = (lo + hi) / 2;

		if (rest_us(c, x, x->row, mid) <= within)
			hi = mid;
		else
			lo = mid + 1;
	}
	if (lo < VT_URGENCIES)
		return lo;
	/* Pressure may pass: who could still be in time on an idle machine is not given up. */
	return idle_us(c, x) <= slack / 1000 ? VT_URGENCIES - 1 : VT_URGENCIES;
}

static void add(struct vt_blocks *c, const struct vt_claim *x)
{
	struct vt_line *p = x->on_time ? &c->line : &c->late;

	p->at[p->n++] = *x;
	p->sum += x->need;
}

static bool claim_of(const struct vt_blocks *c, uint32_t index, struct vt_claim *ret)
{
	const struct vt_request *r = &c->t.view->requests[index];
	const struct vt_model *m = vt_turn_ready(&c->t, r);

	if (!m)
		return false;
	*ret = (struct vt_claim){.index = index, .plan = m->plan, .layer = r->next_layer};
	ret->row = vt_plan_row(m->plan, c->tr->code, c->grain, c->level, r->next_layer);
	return true;
}

/* The most cores that a block of the plan from here on asks for. */
static unsigned int most_of(const struct vt_blocks *c, const struct vt_claim *x, unsigned int u)
{
	unsigned int most = 0;

	for (unsigned int l = x->layer; l < x->plan->n_layers;) {
		const struct vt_plan_cell *cell =
			&vt_plan_cells(x->plan, c->tr->code, c->grain, c->level, l)[u];
		unsigned int n = x->plan->points[cell->point];

		most = n > most ? n : most;
		l = cell->end > l ? cell->end : l + 1u;
	}
	return most;
}

/* Some cores are taken: plans were made for all of them. False if nothing that is left will do. */
static bool fits(const struct vt_blocks *c, struct vt_claim *x, unsigned int u)
{
	uint64_t usable, all;

	if (most_of(c, x, u) <= c->t.n_usable)
		return true;
	x->need = (uint16_t)c->t.n_usable;
	usable = vt_blocks_rest_on(c, x, c->t.n_usable);
	all = vt_blocks_rest_on(c, x, c->t.n_cores);
	/* Helpers there bring a part of what such cores would. */
	if (all < usable)
		usable -= (usable - all) / VT_PPM * VT_POLITE_PPM +
			  (usable - all) % VT_PPM * VT_POLITE_PPM / VT_PPM;
	return usable <= x->slack;
}

/* Fills in need and demand; returns the urgency that it needs. */
static unsigned int demand(struct vt_blocks *c, struct vt_claim *x, uint64_t deadline)
{
	unsigned int u;

	x->slack = vt_turn_slack(&c->t, deadline);
	u = needed(c, x, x->slack);
	x->on_time = u < VT_URGENCIES;
	u = x->on_time ? u : 0;
	x->asked = u > x->row->nearly_free ? (uint8_t)u : x->row->nearly_free;
	x->need = x->plan->points[x->row->point[u]];
	x->want = x->plan->points[x->row->point[x->asked]];
	if (c->t.n_usable < c->t.n_cores) {
		x->on_time = x->on_time && fits(c, x, u);
		x->need = x->need < c->t.n_usable ? x->need : (uint16_t)c->t.n_usable;
		x->want = x->want < c->t.n_usable ? x->want : (uint16_t)c->t.n_usable;
	}
	x->want = x->want > x->need ? x->want : x->need;
	return u;
}

/* Part of the layer under way that is done, as the block's expected end tells. */
static uint32_t done_ppm(const struct vt_blocks *c, const struct vt_claim *x,
			 const struct vt_block *b)
{
	unsigned int point = vt_plan_point(x->plan, x->held);
	uint64_t all = vt_plan_ns(x->plan, c->tr->code, c->level, point, x->layer, b->layer_end);
	uint64_t layer = vt_plan_ns(x->plan, c->tr->code, c->level, point, x->layer, x->layer + 1u);
	uint64_t left = b->end_ns - c->t.view->now_ns;

	if (left >= all)
		return 0;
	return all - left < layer ? (uint32_t)((all - left) * VT_PPM / layer) : VT_PPM;
}

/* Time that layers [layer, end) of a running block take on a point, less what is done. */
static uint64_t block_ns(const struct vt_blocks *c, const struct vt_claim *x, unsigned int point,
			 unsigned int end)
{
	uint64_t layer = vt_plan_ns(x->plan, c->tr->code, c->level, point, x->layer, x->layer + 1u);

	return vt_plan_ns(x->plan, c->tr->code, c->level, point, x->layer, end) -
	       layer * x->done_ppm / VT_PPM;
}

/*
 * The plan may go on with another count before this block ends. If no block ends before that, nobody
 * decides there again: the block needs as many cores as will do until its end.
 */
static void need_to_end(const struct vt_blocks *c, struct vt_claim *x, unsigned int u,
			const struct vt_block *b)
{
	const struct vt_plan *p = x->plan;
	unsigned int point = x->row->point[u];
	unsigned int cut = vt_plan_cells(p, c->tr->code, c->grain, c->level, x->layer)[u].end;
	uint64_t within = vt_turn_margin(&c->t, c->s->cfg.margin_ppm, x->slack), after = 0;

	if (cut >= b->layer_end || c->t.view->now_ns + block_ns(c, x, point, cut) >= c->next_end)
		return;
	if (b->layer_end < p->n_layers)
		after = 1000ull *
			vt_plan_row(p, c->tr->code, c->grain, c->level, b->layer_end)->rest_us[u];
	while (point < p->fastest[x->layer] && p->points[point + 1] <= c->t.n_usable &&
	       block_ns(c, x, point, b->layer_end) + after > within)
		point++;
	x->need = p->points[point];
	x->want = x->want > x->need ? x->want : x->need;
}

static void add_block(struct vt_blocks *c, uint32_t index)
{
	const struct vt_block *b = &c->t.view->blocks[index];
	const struct vt_model *m = &c->t.view->models[b->model];
	const struct vt_coreset has = vt_turn_keeps(&c->t, b);
	struct vt_claim x = {.index = index | VT_IS_BLOCK, .plan = m->plan};
	unsigned int u;

	x.row = vt_plan_row(m->plan, c->tr->code, c->grain, c->level, b->layer_now);
	x.held = (uint16_t)vt_coreset_count(&b->cores);
	x.layer = b->layer_now;
	/* What is done, by all it has; what is to come, by those it can count on. */
	x.done_ppm = done_ppm(c, &x, b);
	x.held = (uint16_t)vt_coreset_count(&has);
	c->cores += x.held;
	u = demand(c, &x, b->deadline_ns);
	if (x.on_time)
		need_to_end(c, &x, u, b);
	add(c, &x);
}

static void add_request(struct vt_blocks *c, uint32_t index)
{
	struct vt_claim x;

	if (!claim_of(c, index, &x))
		return;
	demand(c, &x, c->t.view->requests[index].deadline_ns);
	add(c, &x);
}

/* Both ranks, merged: of requests as many as there are cores for, and as many again that may go first. */
static void line_up(struct vt_blocks *c)
{
	const struct vt_rank *waiting = &c->s->rank, *busy = &c->s->busy;
	const unsigned int cores = c->t.n_usable + vt_coreset_count(&c->t.slow);
	uint32_t w = 0, b = 0;

	while (w < waiting->n || b < busy->n) {
		if (b < busy->n && (w >= waiting->n || busy->at[b].key <= waiting->at[w].key))
			add_block(c, busy->at[b++].index);
		else if (c->line.sum <= 2 * cores)
			add_request(c, waiting->at[w++].index);
		else
			w++;
	}
}

/* Those too late, as far as there are cores that nobody else wanted: they start on such only. */
static void line_up_late(struct vt_blocks *c)
{
	const struct vt_rank *late = &c->s->late;
	unsigned int left = c->t.n_free + vt_coreset_count(&c->t.slow), asked = 0;

	for (uint32_t k = 0; k < late->n && c->late.sum < c->cores && asked < left; k++) {
		struct vt_claim x;

		if (c->late.n == 2 * VT_RANK_MAX) /* as many may be there that were in the line */
			return;
		if (!claim_of(c, late->at[k].index, &x))
			continue;
		x.urgency = x.row->nearly_free;
		x.want = x.need = x.plan->points[x.row->point[x.urgency]];
		asked += x.need;
		add(c, &x);
	}
}

/* ---- 5. starts, growth, taking back ------------------------------------------------------- */

/* Taken cores that may help a claim which has @cores: as many again, and no more than pay on an idle machine. */
static uint16_t helpers(const struct vt_blocks *c, const struct vt_claim *x, unsigned int cores,
			unsigned int has)
{
	unsigned int most;

	if (vt_coreset_empty(&c->t.slow))
		return 0;
	most = x->plan->points[x->plan->fastest[x->layer]];
	most = most < 2 * cores ? most : 2 * cores;
	return (uint16_t)vt_above(most, has);
}

static bool begin(struct vt_blocks *c, const struct vt_claim *x, unsigned int cores, bool slow)
{
	const struct vt_plan_cell *cells =
		vt_plan_cells(x->plan, c->tr->code, c->grain, c->level, x->layer);

	return vt_turn_start(&c->t, &(struct vt_start){
					    .request = x->index,
					    .end = cells[x->urgency].end,
					    .wanted = slow ? 1 : vt_blocks_asks(x),
					    .cores = (uint16_t)cores,
					    .code = c->tr->code,
					    .use_level = c->tr->use_level,
					    .slow = slow,
					    .helpers = helpers(c, x, cores, cores),
				    });
}

static void start(struct vt_blocks *c, struct vt_claim *x, unsigned int cores)
{
	x->begun = begin(c, x, cores, false);
}

/* Would @cores more end the block so much sooner that waking them pays? */
static bool worth(const struct vt_blocks *c, const struct vt_claim *x, unsigned int cores)
{
	const struct vt_block *b = &c->t.view->blocks[x->index & ~VT_IS_BLOCK];
	unsigned int now = vt_plan_point(x->plan, x->held);
	unsigned int then = vt_plan_point(x->plan, x->held + cores);

	return vt_plan_ns(x->plan, c->tr->code, c->level, then, b->layer_now, b->layer_end) +
		       WORTH_NS <=
	       vt_plan_ns(x->plan, c->tr->code, c->level, now, b->layer_now, b->layer_end);
}

/* May it begin? On its demand, if it is due that, and on half of what a higher price brings it beyond. */
static bool enough(const struct vt_claim *x, unsigned int cores)
{
	return cores * 2 >= x->due && cores >= (x->want < x->due ? x->want : x->due);
}

/* Gives each claim its share from the free cores; returns how many are lacking for demands. */
static unsigned int grant(struct vt_blocks *c)
{
	unsigned int lack = 0;

	for (uint32_t k = 0; k < c->line.n; k++) {
		struct vt_claim *x = &c->line.at[k];
		unsigned int more = vt_above(x->share, x->held), due = x->due;
		unsigned int got = more < c->t.n_free ? more : c->t.n_free;

		if (!more)
			continue;
		if (x->index & VT_IS_BLOCK) {
			if (!worth(c, x, more))
				continue;
			if (got)
				vt_turn_grow(&c->t, &(struct vt_regrant){
							    .block = x->index & ~VT_IS_BLOCK,
							    .cores = (uint16_t)got,
							    .wanted = x->share,
							    .code = c->tr->code,
							    .level = (uint8_t)c->level,
						    });
		} else if (enough(x, got)) {
			start(c, x, got);
		} else {
			got = 0;
		}
		/* The last cores due are not worth taking from others, nor is a small loan. */
		if ((got + x->held) * 2 < due)
			lack += due - got - x->held;
		else if ((got + x->held) * 2 < x->share)
			lack += x->share - got - x->held;
	}
	return vt_above(lack, c->t.n_free);
}

/* From the end of the line: what is held beyond the share, and at last the block itself. */
static void take_back(struct vt_blocks *c, const struct vt_line *p, unsigned int *lack)
{
	for (uint32_t k = p->n; k-- > 0 && *lack;) {
		const struct vt_claim *x = &p->at[k];
		unsigned int over = vt_above(x->held, x->share), n;

		if (!(x->index & VT_IS_BLOCK) || !over)
			continue;
		n = over < *lack ? over : *lack;
		if (n == x->held) {
			vt_turn_preempt(&c->t, x->index & ~VT_IS_BLOCK);
			n--;
		}
		if (n)
			vt_turn_shrink(&c->t, &(struct vt_regrant){
						      .block = x->index & ~VT_IS_BLOCK,
						      .cores = (uint16_t)n,
						      .code = c->tr->code,
						      .level = (uint8_t)c->level,
					      });
		*lack -= n;
	}
}

static void shed_late(struct vt_blocks *c)
{
	const struct vt_rank *late = &c->s->late;

	for (uint32_t k = 0; k < c->late.n; k++)
		if (!(c->late.at[k].index & VT_IS_BLOCK) &&
		    !vt_turn_shed(&c->t, c->late.at[k].index, c->level))
			return;
	for (uint32_t k = 0; k < late->n; k++)
		if (vt_turn_ready(&c->t, &c->t.view->requests[late->at[k].index]) &&
		    !vt_turn_shed(&c->t, late->at[k].index, c->level))
			return;
}

static void start_late(struct vt_blocks *c)
{
	for (uint32_t k = 0; k < c->late.n && c->t.n_free; k++) {
		struct vt_claim *x = &c->late.at[k];

		if (!(x->index & VT_IS_BLOCK))
			start(c, x, x->want < c->t.n_free ? x->want : c->t.n_free);
	}
}

/* May @x run on a taken core, where all that is its due is a part of one? */
static bool has_time(const struct vt_blocks *c, const struct vt_claim *x)
{
	if (x->index & VT_IS_BLOCK || x->begun || x->share)
		return false;
	return !x->on_time ||
	       vt_turn_slow_ns(&c->t, x->plan, c->tr->code, (uint8_t)c->level, x->layer) <=
		       vt_turn_margin(&c->t, c->s->cfg.margin_ppm, x->slack);
}

/* Taken cores that nobody needs help whoever is first in the line and has a core that is ours. */
static void call_helpers(struct vt_blocks *c)
{
	for (uint32_t k = 0; k < c->line.n && !vt_coreset_empty(&c->t.slow); k++) {
		const struct vt_claim *x = &c->line.at[k];
		const struct vt_block *b;
		uint16_t n;

		if (!(x->index & VT_IS_BLOCK) || !x->held || x->share < x->held)
			continue;
		b = &c->t.view->blocks[x->index & ~VT_IS_BLOCK];
		n = helpers(c, x, x->held, vt_coreset_count(&b->cores));
		if (n && worth(c, x, n))
			vt_turn_grow(&c->t, &(struct vt_regrant){
						    .block = x->index & ~VT_IS_BLOCK,
						    .cores = n,
						    .wanted = x->want,
						    .slow = true,
					    });
	}
}

/* What gets no core of ours and has time begins on a taken one; who has most time first. */
static void start_slow(struct vt_blocks *c, struct vt_line *p)
{
	for (uint32_t k = p->n; k-- > 0 && !vt_coreset_empty(&c->t.slow);) {
		struct vt_claim *x = &p->at[k];

		if (has_time(c, x))
			x->begun = begin(c, x, 1, true);
	}
}

/*
 * When the first of those that wait in the line loses hope, if nothing else happens. Of who stands beyond
 * the line, one of the many ends before that will tell.
 */
static uint64_t next_hopeless(const struct vt_blocks *c)
{
	uint64_t at = UINT64_MAX;

	for (uint32_t k = 0; k < c->line.n; k++) {
		const struct vt_claim *x = &c->line.at[k];
		uint64_t ns;

		if (x->index & VT_IS_BLOCK || x->begun)
			continue;
		ns = 1000ull * idle_us(c, x);
		if (x->slack >= ns && x->slack - ns < at)
			at = x->slack - ns;
	}
	return at == UINT64_MAX ? 0 : c->t.view->now_ns + at + 1;
}

void vt_blocks_decide(void *state, const struct vt_view *view, struct vt_decision *ret)
{
	struct vt_policy_state *s = state;
	struct vt_blocks c;
	unsigned int lack;

	c.s = s;
	c.tr = s->traits;
	vt_turn_begin(&c.t, view, ret, s->traits->needs);
	if (vt_turn_leave_out(&c.t))
		vt_turn_leave_taken(&c.t);
	if (!c.t.n_free && !view->n_requests)
		return;
	c.level = s->traits->use_level ? vt_turn_level(&c.t) : 0;
	c.grain = c.t.n_free * 4 >= c.t.n_usable ? s->traits->grain : s->traits->coarse_grain;
	c.cores = c.t.n_free;
	c.line.n = c.line.sum = c.late.n = c.late.sum = 0;
	rank_blocks(&c);
	rank(&c);
	line_up(&c);
	vt_blocks_share(&c);
	vt_blocks_lend(&c);
	lack = grant(&c);
	take_back(&c, &c.late, &lack);
	take_back(&c, &c.line, &lack);
	start_slow(&c, &c.line);
	call_helpers(&c);
	if (s->cfg.shed) {
		shed_late(&c);
		ret->wake_ns = next_hopeless(&c);
	} else {
		line_up_late(&c);
		start_late(&c);
		start_slow(&c, &c.late);
	}
}
