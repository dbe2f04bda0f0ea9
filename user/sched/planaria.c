// SPDX-License-Identifier: Apache-2.0
/*
 * Planaria (Ghodrati et al., MICRO 2020): spatial sharing, reallocated at every layer boundary. A
 * request demands the fewest cores that still meet its deadline. If all demands fit, the spare
 * cores go by score = priority / (slack * cores); if not, the highest scores run first.
 *
 * VELTAIR-AC is this scheduler with versions and times of the present pressure. A unit here is one
 * layer, so it neither grows nor is preempted: the next boundary is near.
 */
#include "sched/state.h"

struct ask {
	uint64_t score;
	uint32_t request;
	uint16_t cores;
};

struct asks {
	uint64_t score_sum;
	uint32_t n, cores_sum;
	struct ask at[VT_RANK_MAX];
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

/* Cores the running blocks will still need after this layer, as if they all ask again. */
static unsigned int running_cores(const struct vt_turn *t, const struct vt_policy_state *s,
				  unsigned int level)
{
	unsigned int sum = 0;

	for (uint32_t b = 0; b < t->n_blocks; b++) {
		const struct vt_block *k = &t->view->blocks[b];
		const struct vt_model *m = vt_turn_model(t, k->model);
		unsigned int i;

		if (!m || k->layer_now >= m->n_layers)
			continue;
		i = fewest(t, s, m->plan, level, k->layer_now, vt_turn_slack(t, k->deadline_ns));
		sum += m->plan->points[i < m->plan->n_points ? i : 0];
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

static void collect(struct vt_policy_state *s, const struct vt_turn *t, unsigned int level,
		    struct asks *a)
{
	a->n = 0;
	a->score_sum = 0;
	a->cores_sum = 0;
	for (uint32_t k = 0; k < s->rank.n; k++) {
		const struct vt_request *r = &t->view->requests[s->rank.at[k].index];
		const struct vt_plan *p = t->view->models[r->model].plan;
		uint64_t slack = vt_turn_slack(t, r->deadline_ns);
		unsigned int i = fewest(t, s, p, level, r->next_layer, slack);
		struct ask *x = &a->at[a->n++];

		x->request = s->rank.at[k].index;
		/* Nothing meets it any more: the cheapest way to be rid of it. */
		x->cores = p->points[i < p->n_points ? i : 0];
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

static void share_spare(struct asks *a, unsigned int spare)
{
	for (uint32_t i = 0; i < a->n; i++) {
		/* scores are below 2^56 and spare below 2^9: shift before the product */
		uint64_t part = (a->at[i].score >> 8) * spare / ((a->score_sum >> 8) + 1);

		a->at[i].cores = (uint16_t)(a->at[i].cores + part);
	}
}

static bool start_layer(struct vt_turn *t, const struct vt_traits *tr, const struct ask *x,
			unsigned int want, unsigned int got, bool slow)
{
	const struct vt_request *r = &t->view->requests[x->request];

	return vt_turn_start(t, &(struct vt_start){
					.request = x->request,
					.end = (uint16_t)(r->next_layer + 1),
					.wanted = (uint16_t)want,
					.cores = (uint16_t)got,
					.code = tr->code,
					.use_level = tr->use_level,
					.slow = slow,
					.helpers = (uint16_t)(want - got < got ? want - got : got),
				});
}

/* Returns the first that gets no core. */
static uint32_t start_layers(struct vt_turn *t, const struct vt_traits *tr, const struct asks *a)
{
	uint32_t i;

	for (i = 0; i < a->n && t->n_free; i++) {
		const struct vt_request *r = &t->view->requests[a->at[i].request];
		const struct vt_plan *p = t->view->models[r->model].plan;
		/* Counts between two measured points run as the lower one: do not hold the rest. */
		unsigned int want = p->points[vt_plan_point(p, a->at[i].cores)];

		start_layer(t, tr, &a->at[i], want, want < t->n_free ? want : t->n_free, false);
	}
	return i;
}

/* Whoever is left and has time, on cores that others have taken; the least urgent first. */
static void start_slow(struct vt_turn *t, const struct vt_traits *tr, const struct asks *a,
		       uint32_t from, unsigned int level)
{
	for (uint32_t i = a->n; i-- > from && !vt_coreset_empty(&t->slow);) {
		const struct vt_request *r = &t->view->requests[a->at[i].request];
		const struct vt_plan *p = t->view->models[r->model].plan;

		if (vt_turn_slow_ns(t, p, tr->code, (uint8_t)level, r->next_layer) <=
		    vt_turn_slack(t, r->deadline_ns))
			start_layer(t, tr, &a->at[i], 1, 1, true);
	}
}

void vt_planaria_decide(void *state, const struct vt_view *view, struct vt_decision *ret)
{
	struct vt_policy_state *s = state;
	unsigned int level, busy;
	struct vt_turn t;
	struct asks a;

	vt_turn_begin(&t, view, ret, s->traits->needs);
	if (s->traits->use_level)
		vt_turn_leave_out(&t);
	if ((!t.n_free && vt_coreset_empty(&t.slow)) || !view->n_requests)
		return;
	level = s->traits->use_level ? vt_turn_level(&t) : 0;
	rank_by_deadline(s, &t);
	collect(s, &t, level, &a);
	busy = running_cores(&t, s, level);
	if (a.cores_sum + busy <= t.n_usable)
		share_spare(&a, t.n_usable - a.cores_sum - busy);
	sort_by_score(&a);
	start_slow(&t, s->traits, &a, start_layers(&t, s->traits, &a), level);
}
