// SPDX-License-Identifier: Apache-2.0
/*
 * PREMA (Choi and Rhu, HPCA 2020): one model at a time on the whole machine, preempted at layer
 * boundaries. A request holds tokens = priority * (1 + waited / time alone). The bar is the largest
 * holding rounded down to a priority class; of those at or above it the shortest job runs.
 *
 * The original looks again each quantum. Between events nothing changes but who crosses a class, so
 * it wakes just then.
 */
#include "sched/state.h"

/* Priority classes of the paper: low, medium, high. In 1/256 tokens. */
static const uint64_t classes_256[] = {9 * 256, 3 * 256, 1 * 256};

static uint64_t tokens_256(const struct vt_model *m, uint64_t waited_ns, unsigned int priority)
{
	uint64_t most = UINT64_MAX / 256 - 1;
	uint64_t slow_256 = (waited_ns < most ? waited_ns : most) * 256 / m->fastest_ns;

	/* Slowdown saturates at a million: the product stays within 64 bits. */
	if (slow_256 > 256000000)
		slow_256 = 256000000;
	return priority * (256 + slow_256);
}

static uint64_t tokens_of(const struct vt_turn *t, const struct vt_request *r,
			  const struct vt_model *m)
{
	uint64_t age = t->view->now_ns > r->arrival_ns ? t->view->now_ns - r->arrival_ns : 0;

	return tokens_256(m, age > r->served_ns ? age - r->served_ns : 0, r->priority);
}

static uint64_t left_ns(const struct vt_model *m, unsigned int layer)
{
	const struct vt_plan *p = m->plan;

	return vt_plan_rest(p, VT_PLAN_SOLO, 0, layer)[p->fastest[layer]];
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
		const struct vt_model *m = vt_turn_known(t, r);
		uint64_t x = m ? tokens_of(t, r, m) : 0;

		if (x > most_256)
			most_256 = x;
	}
	return most_256;
}

/* The shortest request at or above the bar; false if none is shorter than @than_ns. */
static bool shortest(const struct vt_turn *t, uint64_t bar_256, uint64_t than_ns, uint32_t *ret)
{
	bool found = false;

	for (uint32_t i = 0; i < t->view->n_requests; i++) {
		const struct vt_request *r = &t->view->requests[i];
		const struct vt_model *m = vt_turn_known(t, r);

		if (!m || tokens_of(t, r, m) < bar_256 || !vt_turn_ready(t, r) ||
		    left_ns(m, r->next_layer) >= than_ns)
			continue;
		than_ns = left_ns(m, r->next_layer);
		*ret = i;
		found = true;
	}
	return found;
}

/* When the first of those that wait crosses a class; 0: none does any more. */
static uint64_t next_crossing_ns(const struct vt_turn *t)
{
	uint64_t first_ns = 0;

	for (uint32_t i = 0; i < t->view->n_requests; i++) {
		const struct vt_request *r = &t->view->requests[i];
		const struct vt_model *m = vt_turn_known(t, r);
		uint64_t have_256 = m ? tokens_of(t, r, m) : 0, at_256 = 0, at_ns;

		if (!m || !r->priority)
			continue;
		for (unsigned int k = 0; k < sizeof(classes_256) / sizeof(classes_256[0]); k++)
			if (classes_256[k] > have_256)
				at_256 = classes_256[k]; /* they descend: the least above it */
		if (!at_256)
			continue;
		/* priority * (256 + waited * 256 / fastest) >= at, both divisions rounded down */
		at_256 = (at_256 + r->priority - 1) / r->priority - 256;
		at_ns = (at_256 * m->fastest_ns + 255) / 256 + r->arrival_ns + r->served_ns;
		if (!first_ns || at_ns < first_ns)
			first_ns = at_ns;
	}
	return first_ns;
}

static void start_whole(struct vt_turn *t, uint32_t index)
{
	const struct vt_request *r = &t->view->requests[index];
	const struct vt_plan *p = t->view->models[r->model].plan;
	unsigned int cores = p->points[p->fastest[r->next_layer]];

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
	uint64_t running_256 = 0, than_ns = UINT64_MAX, bar;
	struct vt_turn t;
	uint32_t pick;

	vt_turn_begin(&t, view, ret, 0);
	if (!view->n_requests)
		return;
	if (t.n_blocks) {
		const struct vt_block *b = view->blocks;
		const struct vt_model *m = vt_turn_model(&t, b->model);
		uint64_t age = b->start_ns > b->arrival_ns ? b->start_ns - b->arrival_ns : 0;

		if (!m || b->layer_now >= m->n_layers || b->flags & VT_BLOCK_STOPPING)
			return;
		/* What runs counts too: above the bar it yields only to something shorter. */
		running_256 =
			tokens_256(m, age > b->served_ns ? age - b->served_ns : 0, b->priority);
		than_ns = left_ns(m, b->layer_now);
	}
	bar = bar_of(most_tokens(&t, running_256));
	if (!shortest(&t, bar, running_256 < bar ? UINT64_MAX : than_ns, &pick)) {
		ret->wake_ns = next_crossing_ns(&t);
		return;
	}
	if (t.n_blocks)
		vt_turn_preempt(&t, 0);
	else
		start_whole(&t, pick);
}
