// SPDX-License-Identifier: Apache-2.0
/*
 * PREMA (Choi and Rhu, HPCA 2020): one model at a time on the whole machine, preempted at layer
 * boundaries. A request holds tokens = priority * (1 + waited / time alone). The bar is the largest
 * holding rounded down to a priority class; of those at or above it the shortest job runs.
 */
#include "sched/state.h"

/* Priority classes of the paper: low, medium, high. In 1/256 tokens. */
static const uint64_t classes_256[] = {9 * 256, 3 * 256, 1 * 256};

struct job {
	uint64_t tokens_256;
	uint64_t left_ns;
};

static unsigned int fastest_point(const struct vt_plan *p, unsigned int layer)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < p->n_points; i++)
		if (vt_plan_ns(p, VT_PLAN_SOLO, 0, i, layer, p->n_layers) <
		    vt_plan_ns(p, VT_PLAN_SOLO, 0, best, layer, p->n_layers))
			best = i;
	return best;
}

static struct job job_of(const struct vt_model *m, uint64_t waited_ns, unsigned int layer,
			 unsigned int priority)
{
	const struct vt_plan *p = m->plan;
	unsigned int point = fastest_point(p, layer);
	uint64_t alone = vt_plan_ns(p, VT_PLAN_SOLO, 0, point, 0, p->n_layers);
	uint64_t most = UINT64_MAX / 256 - 1;

	/* Slowdown saturates at a million: the product below stays within 64 bits. */
	uint64_t slow_256 = (waited_ns < most ? waited_ns : most) * 256 / (alone ? alone : 1);

	if (slow_256 > 256000000)
		slow_256 = 256000000;
	return (struct job){
		.tokens_256 = priority * (256 + slow_256),
		.left_ns = vt_plan_ns(p, VT_PLAN_SOLO, 0, point, layer, p->n_layers),
	};
}

static struct job job_of_request(const struct vt_turn *t, const struct vt_request *r,
				 const struct vt_model *m)
{
	uint64_t age = t->view->now_ns > r->arrival_ns ? t->view->now_ns - r->arrival_ns : 0;

	return job_of(m, age > r->served_ns ? age - r->served_ns : 0, r->next_layer, r->priority);
}

/* What runs now counts too: it yields only to a candidate that is shorter. */
static bool job_of_running(const struct vt_turn *t, struct job *ret)
{
	const struct vt_block *b = t->view->blocks;
	const struct vt_model *m = vt_turn_model(t, b->model);
	uint64_t queued;

	if (!m || b->layer_now >= m->n_layers || b->flags & VT_BLOCK_STOPPING)
		return false;
	queued = b->start_ns > b->arrival_ns ? b->start_ns - b->arrival_ns : 0;
	*ret = job_of(m, queued > b->served_ns ? queued - b->served_ns : 0, b->layer_now,
		      b->priority);
	return true;
}

static uint64_t bar_of(uint64_t most_256)
{
	for (unsigned int i = 0; i < sizeof(classes_256) / sizeof(classes_256[0]); i++)
		if (most_256 >= classes_256[i])
			return classes_256[i];
	return 0;
}

static uint64_t most_tokens(const struct vt_turn *t, uint64_t most_256)
{
	for (uint32_t i = 0; i < t->view->n_requests; i++) {
		const struct vt_request *r = &t->view->requests[i];
		const struct vt_model *m = vt_turn_ready(t, r);
		uint64_t x = m ? job_of_request(t, r, m).tokens_256 : 0;

		if (x > most_256)
			most_256 = x;
	}
	return most_256;
}

/* The shortest request at or above the bar; false if none is shorter than @left_ns. */
static bool shortest(const struct vt_turn *t, uint64_t bar_256, uint64_t left_ns, uint32_t *ret)
{
	bool found = false;

	for (uint32_t i = 0; i < t->view->n_requests; i++) {
		const struct vt_request *r = &t->view->requests[i];
		const struct vt_model *m = vt_turn_ready(t, r);
		struct job j;

		if (!m)
			continue;
		j = job_of_request(t, r, m);
		if (j.tokens_256 < bar_256 || j.left_ns >= left_ns)
			continue;
		left_ns = j.left_ns;
		*ret = i;
		found = true;
	}
	return found;
}

static void start_whole(struct vt_turn *t, uint32_t index)
{
	const struct vt_request *r = &t->view->requests[index];
	const struct vt_plan *p = t->view->models[r->model].plan;
	unsigned int cores = p->points[fastest_point(p, r->next_layer)];

	if (cores > t->n_free)
		cores = t->n_free;
	vt_turn_start(t, &(struct vt_start){
				 .request = index,
				 .end = p->n_layers,
				 .wanted = (uint16_t)cores,
				 .cores = (uint16_t)cores,
			 });
}

void vt_prema_decide(void *state, const struct vt_view *view, struct vt_decision *ret)
{
	struct job running = {.left_ns = UINT64_MAX};
	uint64_t most, bar;
	struct vt_turn t;
	uint32_t pick;

	vt_turn_begin(&t, view, ret, 0);
	if (!view->n_requests || (t.n_blocks && !job_of_running(&t, &running)))
		return;
	most = most_tokens(&t, running.tokens_256);
	bar = bar_of(most);
	if (t.n_blocks && running.tokens_256 < bar)
		running.left_ns = UINT64_MAX;
	if (!shortest(&t, bar, running.left_ns, &pick))
		return;
	if (t.n_blocks)
		vt_turn_preempt(&t, 0);
	else
		start_whole(&t, pick);
}
