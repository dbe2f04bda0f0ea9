// SPDX-License-Identifier: Apache-2.0
/*
 * Planaria (Ghodrati et al., MICRO 2020): spatial sharing, reallocated at every layer boundary. A
 * request demands the fewest cores that still meet its deadline. If all demands fit, the spare
 * cores go by score = priority / (slack * cores); if not, the highest scores run first. A layer that
 * began on less than its demand expands as soon as it can; what it got to spare it keeps to its end.
 *
 * VELTAIR-AC is this scheduler with versions and times of the present pressure.
 */
#include "sched/state.h"

/** A request that waits, or a running block that has less than it demands. */
struct ask {
	uint64_t score;
	uint32_t index; /* in view.requests, or view.blocks */
	uint16_t cores; /* demanded: in all, or, of a block, to what it has */
	uint16_t spare; /* on top of it */
	bool runs;
};

struct asks {
	uint64_t score_sum; /* of those that wait */
	uint32_t n, cores_sum;
	struct ask at[VT_RANK_MAX + VT_SCHED_MAX_CORES];
};

/*
 * Index of the fewest cores that end in time, less the margin and the start of each layer to come,
 * or without either if need be; n_points if none does.
 */
static unsigned int fewest(const struct vt_turn *t, const struct vt_policy_state *s,
			   const struct vt_plan *p, unsigned int level, unsigned int layer,
			   uint64_t slack_ns)
{
	const uint64_t *rest = vt_plan_rest(p, s->traits->code, level, layer);
	uint64_t within = vt_turn_margin(t, s->cfg.margin_ppm, slack_ns),
		 left = p->n_layers - layer;
	unsigned int i = 0;

	while (i < p->n_points &&
	       rest[i] + left * (p->open_ns + (uint64_t)p->open_core_ns * p->points[i]) > within)
		i++;
	if (i < p->n_points)
		return i;
	return rest[p->fastest[layer]] <= slack_ns ? p->fastest[layer] : p->n_points;
}

static uint64_t score_of(unsigned int priority, uint64_t slack_ns, unsigned int cores)
{
	uint64_t slack_us = slack_ns / 1000 + 1;

	return ((uint64_t)priority << 40) / (slack_us * cores);
}

/* Is there enough of its layer left for cores to join it? Not a gang that is led from a taken core: it would wait for that. */
static bool worth_growing(const struct vt_turn *t, const struct vt_block *b,
			  const struct vt_plan *p, unsigned int cores)
{
	uint64_t left_ns = b->end_ns > t->view->now_ns ? b->end_ns - t->view->now_ns : 0;

	return !(b->flags & VT_BLOCK_STOPPING) && !vt_coreset_has(&t->out, vt_turn_leads(b)) &&
	       left_ns > p->open_ns + (uint64_t)p->open_core_ns * cores;
}

/*
 * What the running blocks demand counts as if they all asked again; those that have less ask now. Returns the cores
 * that they demand and do not ask for.
 */
static unsigned int collect_running(const struct vt_turn *t, const struct vt_policy_state *s,
				    unsigned int level, struct asks *a)
{
	unsigned int sum = 0;

	for (uint32_t b = 0; b < t->n_blocks; b++) {
		const struct vt_block *k = &t->view->blocks[b];
		const struct vt_model *m = vt_turn_model(t, k->model);
		const struct vt_coreset has = vt_turn_keeps(t, k);
		unsigned int held = vt_coreset_count(&has), cores, i;
		uint64_t slack;

		if (!m || k->layer_now >= m->n_layers)
			continue;
		slack = vt_turn_slack(t, k->deadline_ns);
		i = fewest(t, s, m->plan, level, k->layer_now, slack);
		cores = m->plan->points[i < m->plan->n_points ? i : 0];
		if (cores > held && held && worth_growing(t, k, m->plan, cores - held)) {
			a->at[a->n++] = (struct ask){
				.score = score_of(k->priority, slack, cores),
				.index = b,
				.cores = (uint16_t)(cores - held),
				.runs = true,
			};
			a->cores_sum += cores - held;
			sum += held;
		} else {
			sum += cores > held ? cores : held;
		}
	}
	return sum;
}

static void rank_by_deadline(struct vt_policy_state *s, const struct vt_turn *t)
{
	vt_rank_init(&s->rank, VT_RANK_MAX);
	for (uint32_t i = 0; i < t->view->n_requests; i++) {
		const struct vt_request *r = &t->view->requests[i];

		if (!vt_rank_full_above(&s->rank, r->deadline_ns) && vt_turn_ready(t, r))
			vt_rank_put(&s->rank, r->deadline_ns, i);
	}
	vt_rank_sort(&s->rank);
}

static void collect_waiting(const struct vt_policy_state *s, const struct vt_turn *t,
			    unsigned int level, struct asks *a)
{
	for (uint32_t k = 0; k < s->rank.n; k++) {
		const struct vt_request *r = &t->view->requests[s->rank.at[k].index];
		const struct vt_plan *p = t->view->models[r->model].plan;
		uint64_t slack = vt_turn_slack(t, r->deadline_ns);
		unsigned int i = fewest(t, s, p, level, r->next_layer, slack);
		struct ask *x = &a->at[a->n++];

		/* Nothing meets it any more: the cheapest way to be rid of it. */
		*x = (struct ask){.index = s->rank.at[k].index,
				  .cores = p->points[i < p->n_points ? i : 0]};
		x->score = score_of(r->priority, slack, x->cores);
		a->score_sum += x->score;
		a->cores_sum += x->cores;
	}
}

/* Insertion sort: highest score first, order of deadline between equals. */
static void sort_by_score(struct asks *a)
{
	for (uint32_t i = 1; i < a->n; i++) {
		struct ask x = a->at[i];
		uint32_t k = i;

		for (; k && a->at[k - 1].score < x.score; k--)
			a->at[k] = a->at[k - 1];
		a->at[k] = x;
	}
}

static void share_spare(const struct vt_turn *t, struct asks *a, unsigned int spare)
{
	for (uint32_t i = 0; i < a->n; i++) {
		struct ask *x = &a->at[i];
		const struct vt_plan *p;
		unsigned int sum;

		if (x->runs)
			continue;
		p = t->view->models[t->view->requests[x->index].model].plan;
		/* scores are below 2^56 and spare below 2^9: shift before the product */
		sum = x->cores +
		      (unsigned int)((x->score >> 8) * spare / ((a->score_sum >> 8) + 1));
		/* Counts between two measured points run as the lower one: do not hold the rest. */
		x->spare = (uint16_t)(p->points[vt_plan_point(p, sum)] - x->cores);
	}
}

static bool start_layer(struct vt_turn *t, const struct vt_traits *tr, const struct ask *x,
			unsigned int got, bool slow)
{
	const struct vt_request *r = &t->view->requests[x->index];
	const unsigned int want = slow ? 1u : (unsigned int)x->cores + x->spare;

	return vt_turn_start(t, &(struct vt_start){
					.request = x->index,
					.end = (uint16_t)(r->next_layer + 1),
					.wanted = slow ? (uint16_t)1 : x->cores,
					.cores = (uint16_t)got,
					.code = tr->code,
					.use_level = tr->use_level,
					.slow = slow,
					.helpers = (uint16_t)(want - got < got ? want - got : got),
				});
}

static void expand(struct vt_turn *t, const struct vt_traits *tr, const struct ask *x,
		   unsigned int level)
{
	const struct vt_coreset has = vt_turn_keeps(t, &t->view->blocks[x->index]);

	vt_turn_grow(t, &(struct vt_regrant){
				.block = x->index,
				.cores = (uint16_t)(x->cores < t->n_free ? x->cores : t->n_free),
				.wanted = (uint16_t)(x->cores + vt_coreset_count(&has)),
				.code = tr->code,
				.level = (uint8_t)level,
			});
}

/* Returns the first that gets no core. */
static uint32_t deal(struct vt_turn *t, const struct vt_traits *tr, const struct asks *a,
		     unsigned int level)
{
	uint32_t i;

	for (i = 0; i < a->n && t->n_free; i++) {
		const struct ask *x = &a->at[i];
		const unsigned int want = (unsigned int)x->cores + x->spare;

		if (x->runs)
			expand(t, tr, x, level);
		else
			start_layer(t, tr, x, want < t->n_free ? want : t->n_free, false);
	}
	return i;
}

/* Whoever is left and has time, on cores that others have taken; the least urgent first. */
static void start_slow(struct vt_turn *t, const struct vt_traits *tr, const struct asks *a,
		       uint32_t from, unsigned int level)
{
	for (uint32_t i = a->n; i-- > from && !vt_coreset_empty(&t->slow);) {
		const struct vt_request *r;
		const struct vt_plan *p;

		if (a->at[i].runs)
			continue;
		r = &t->view->requests[a->at[i].index];
		p = t->view->models[r->model].plan;
		if (vt_turn_slow_ns(t, p, tr->code, (uint8_t)level, r->next_layer) <=
		    vt_turn_slack(t, r->deadline_ns))
			start_layer(t, tr, &a->at[i], 1, true);
	}
}

void vt_planaria_decide(void *state, const struct vt_view *view, struct vt_decision *ret)
{
	struct vt_policy_state *s = state;
	unsigned int level, all;
	struct vt_turn t;
	struct asks a;

	vt_turn_begin(&t, view, ret, s->traits->needs);
	if (s->traits->use_level)
		vt_turn_leave_out(&t);
	if (!t.n_free && vt_coreset_empty(&t.slow))
		return;
	level = s->traits->use_level ? vt_turn_level(&t) : 0;
	a.n = a.cores_sum = 0;
	a.score_sum = 0;
	rank_by_deadline(s, &t);
	collect_waiting(s, &t, level, &a);
	all = collect_running(&t, s, level, &a) + a.cores_sum;
	if (all <= t.n_usable)
		share_spare(&t, &a, t.n_usable - all);
	sort_by_score(&a);
	start_slow(&t, s->traits, &a, deal(&t, s->traits, &a, level), level);
}
