// SPDX-License-Identifier: Apache-2.0
/*
 * Model-wise baselines: a request gets its cores once and keeps them to its end. Strict order:
 * while the head waits for cores nobody overtakes it, which is what "first come first served" means
 * and why it wastes cores.
 */
#include "sched/state.h"

/* Part of the target that efficient core counts leave for queueing, ppm. */
#define FCFS_MARGIN_PPM 100000u

/* The fewest cores that meet the model's target from start to end, else the fastest count. */
static unsigned int efficient_cores(const struct vt_model *m, uint32_t margin_ppm)
{
	const struct vt_plan *p = m->plan;
	uint64_t budget = m->qos_ns - m->qos_ns / VT_PPM * margin_ppm;
	unsigned int fastest = 0;

	for (unsigned int i = 0; i < p->n_points; i++) {
		uint64_t t = vt_plan_ns(p, VT_PLAN_SOLO, 0, i, 0, p->n_layers);

		if (t <= budget)
			return p->points[i];
		if (t < vt_plan_ns(p, VT_PLAN_SOLO, 0, fastest, 0, p->n_layers))
			fastest = i;
	}
	return p->points[fastest];
}

static bool start_model(struct vt_turn *t, const struct vt_policy_state *s, uint32_t index)
{
	const struct vt_request *r = &t->view->requests[index];
	const struct vt_model *m = &t->view->models[r->model];
	unsigned int margin = s->cfg.margin_ppm ? s->cfg.margin_ppm : FCFS_MARGIN_PPM;
	unsigned int cores = s->traits->whole_machine ? t->n_cores : efficient_cores(m, margin);

	/* A profile may start above the cores of a small machine: then take them all. */
	if (cores > t->n_cores)
		cores = t->n_cores;
	return vt_turn_start(t, &(struct vt_start){
					.request = index,
					.end = m->n_layers,
					.wanted = (uint16_t)cores,
					.cores = (uint16_t)cores,
				});
}

void vt_fcfs_decide(void *state, const struct vt_view *view, struct vt_decision *ret)
{
	struct vt_policy_state *s = state;
	struct vt_turn t;

	vt_turn_begin(&t, view, ret, 0);
	if (!t.n_free)
		return;
	vt_rank_init(&s->rank, t.n_free);
	for (uint32_t i = 0; i < view->n_requests; i++) {
		const struct vt_request *r = &view->requests[i];
		uint64_t key = s->traits->by_deadline ? r->deadline_ns : r->id;

		if (vt_rank_full_above(&s->rank, key)) {
			if (!s->traits->by_deadline)
				break; /* requests come by id */
			continue;
		}
		if (vt_turn_ready(&t, r))
			vt_rank_put(&s->rank, key, i);
	}
	vt_rank_sort(&s->rank);
	for (uint32_t k = 0; k < s->rank.n; k++)
		if (!start_model(&t, s, s->rank.at[k].index))
			return;
}
