/* SPDX-License-Identifier: Apache-2.0 */
/* toy_plant.h - the smallest plant that keeps the loop honest: time, arrivals, blocks that end.
 *
 * Every block feels the same level, the share of busy cores. For timing studies there is sim/; this
 * one is small enough to be seen to be right.
 */
#ifndef VT_TESTS_TOY_PLANT_H
#define VT_TESTS_TOY_PLANT_H

#include "loop/loop.h"
#include "sched_fixture.h"

struct toy_block {
	uint8_t versions[64];
	uint64_t left_ns, seen_ns; /* at the present grant and level, as of seen_ns */
	uint64_t stop_ns;	   /* PREEMPT: the layer boundary; 0 = none */
	uint16_t stop_layer;
};

struct toy {
	struct fx_view view; /* arrays by id resp. dense */
	struct toy_block run[FX_CORES];
	const struct fx_models *models;
	struct vt_rng rng;
	uint64_t now, next_arrival, mean_gap_ns, next_id, wake;
	uint32_t arrivals_left, n_done, n_done_versions;
	bool takes;    /* others take cores, and give them back */
	bool may_shed; /* the policy under test may refuse */
	uint32_t samples;
	struct vt_rng takes_rng;
	struct vt_done done[FX_CORES];
	uint8_t done_versions[FX_CORES * 64];
	/* Results. */
	uint64_t on_time, late, shed, dropped, latency_ns, errors, lost;
	uint64_t longest_ns; /* latency */
};

static inline unsigned int toy_level(const struct toy *t)
{
	uint32_t busy = t->view.v.n_cores - vt_coreset_count(&t->view.v.free);

	return busy * (VT_LEVELS - 1) / t->view.v.n_cores;
}

static inline void toy_open(struct toy *t, const struct fx_models *f, uint32_t cores,
			    uint32_t domains, uint64_t seed, uint32_t arrivals, uint64_t gap_ns)
{
	memset(t, 0, sizeof(*t));
	t->models = f;
	t->rng.s = seed;
	fx_domains(&t->view, cores, domains);
	t->view.v.free = vt_coreset_range(0, cores);
	t->view.v.models = f->m;
	t->view.v.n_models = f->n;
	t->view.v.requests = t->view.requests;
	t->view.v.blocks = t->view.blocks;
	t->arrivals_left = arrivals;
	t->mean_gap_ns = gap_ns;
	t->next_arrival = 1;
	t->now = 1;
}

static inline uint64_t toy_block_ns(const struct toy *t, uint32_t b, uint32_t from, uint32_t end)
{
	const struct vt_block *k = &t->view.blocks[b];

	return vt_model_block_ns(&t->models->m[k->model], from, end,
				 t->run[b].versions + (from - k->layer_begin),
				 vt_coreset_count(&k->cores), toy_level(t));
}

static inline void toy_arrive(struct toy *t)
{
	uint32_t model = (uint32_t)vt_rng_below(&t->rng, t->models->n);
	const struct vt_model *m = &t->models->m[model];

	t->arrivals_left--;
	t->next_arrival += 1 + vt_rng_below(&t->rng, 2 * t->mean_gap_ns);
	/* Every running request may come back to wait. */
	if (t->view.v.n_requests >= FX_REQUESTS - FX_CORES) {
		t->lost++;
		return;
	}
	t->view.requests[t->view.v.n_requests++] = (struct vt_request){
		.id = ++t->next_id,
		.arrival_ns = t->now,
		.deadline_ns = t->now + m->qos_ns,
		.ready_ns = t->now,
		.model = model,
		.tenant = model,
		.priority = (uint16_t)fx_between(&t->rng, 1, 9),
		.home_domain = VT_NO_DOMAIN,
	};
}

static inline void toy_wait_again(struct toy *t, const struct vt_block *k, uint16_t layer)
{
	uint32_t i = t->view.v.n_requests++;

	for (; i && t->view.requests[i - 1].id > k->id; i--)
		t->view.requests[i] = t->view.requests[i - 1];
	t->view.requests[i] = (struct vt_request){
		.id = k->id,
		.arrival_ns = k->arrival_ns,
		.deadline_ns = k->deadline_ns,
		.ready_ns = t->now,
		.served_ns = k->served_ns + t->now - k->start_ns,
		.model = k->model,
		.tenant = k->tenant,
		.priority = k->priority,
		.next_layer = layer,
		.home_domain = VT_NO_DOMAIN,
	};
}

/* Block @b ended, or stopped, before @layer. */
static inline void toy_end(struct toy *t, uint32_t b, uint16_t layer)
{
	struct vt_block k = t->view.blocks[b];
	struct vt_done *d = &t->done[t->n_done++];
	uint64_t latency = t->now - k.arrival_ns;

	*d = (struct vt_done){
		.id = k.id,
		.start_ns = k.start_ns,
		.end_ns = t->now,
		.cores = k.cores,
		.model = k.model,
		.layer_begin = k.layer_begin,
		.layer_end = layer,
		.version_at = t->n_done_versions,
		.level = k.level,
		.flags = k.flags,
	};
	memcpy(t->done_versions + t->n_done_versions, t->run[b].versions, layer - k.layer_begin);
	t->n_done_versions += layer - k.layer_begin;
	vt_coreset_or(&t->view.v.free, &k.cores);
	t->view.blocks[b] = t->view.blocks[--t->view.v.n_blocks];
	t->run[b] = t->run[t->view.v.n_blocks];
	if (layer < t->models->m[k.model].n_layers) {
		toy_wait_again(t, &k, layer);
		return;
	}
	t->on_time += t->now <= k.deadline_ns;
	t->late += t->now > k.deadline_ns;
	t->latency_ns += latency;
	t->longest_ns = latency > t->longest_ns ? latency : t->longest_ns;
}

static inline uint64_t toy_next(const struct toy *t)
{
	uint64_t next = t->arrivals_left ? t->next_arrival : UINT64_MAX;

	for (uint32_t b = 0; b < t->view.v.n_blocks; b++) {
		uint64_t end = t->run[b].seen_ns + t->run[b].left_ns;

		if (t->run[b].stop_ns && t->run[b].stop_ns < end)
			end = t->run[b].stop_ns;
		next = end < next ? end : next;
	}
	return t->wake && t->wake > t->now && t->wake < next ? t->wake : next;
}

/** toy_advance - to the next event; false when nothing will ever happen again */
static inline bool toy_advance(struct toy *t)
{
	uint64_t next = toy_next(t);

	if (next == UINT64_MAX)
		return false;
	t->now = next > t->now ? next : t->now;
	t->n_done = t->n_done_versions = 0;
	while (t->arrivals_left && t->next_arrival <= t->now)
		toy_arrive(t);
	for (uint32_t b = t->view.v.n_blocks; b-- > 0;) {
		struct toy_block *r = &t->run[b];

		if (r->seen_ns + r->left_ns <= t->now)
			toy_end(t, b, t->view.blocks[b].layer_end);
		else if (r->stop_ns && r->stop_ns <= t->now)
			toy_end(t, b, r->stop_layer);
	}
	return true;
}

static inline int toy_sample(void *self, struct vt_sample *ret)
{
	struct toy *t = self;

	t->view.v.now_ns = t->now;
	if (t->takes && t->samples++ % 16 == 0)
		fx_take(&t->view.v, &t->takes_rng);
	*ret = (struct vt_sample){
		.view = t->view.v,
		.done = t->done,
		.done_versions = t->done_versions,
		.n_done = t->n_done,
		.n_done_versions = t->n_done_versions,
	};
	return 0;
}

static inline uint16_t toy_leader(const struct toy *t, const struct vt_coreset *cores)
{
	struct vt_coreset ours = *cores;

	vt_coreset_sub(&ours, &t->view.v.taken);
	return (uint16_t)vt_coreset_next(vt_coreset_empty(&ours) ? cores : &ours, 0);
}

static inline void toy_start(struct toy *t, const struct vt_action *a, const uint8_t *versions)
{
	const struct vt_request *q = &t->view.requests[a->index];
	uint32_t b = t->view.v.n_blocks++;

	t->view.blocks[b] = (struct vt_block){
		.id = q->id,
		.arrival_ns = q->arrival_ns,
		.deadline_ns = q->deadline_ns,
		.start_ns = t->now,
		.served_ns = q->served_ns,
		.cores = a->cores,
		.model = q->model,
		.tenant = q->tenant,
		.layer_begin = a->layer_begin,
		.layer_end = a->layer_end,
		.layer_now = a->layer_begin,
		.wanted = a->wanted,
		.leader = toy_leader(t, &a->cores),
		.priority = q->priority,
		.level = a->level,
	};
	t->run[b] = (struct toy_block){.seen_ns = t->now};
	memcpy(t->run[b].versions, versions + a->version_at, a->layer_end - a->layer_begin);
	vt_coreset_sub(&t->view.v.free, &a->cores);
	t->run[b].left_ns = toy_block_ns(t, b, a->layer_begin, a->layer_end);
	t->view.blocks[b].end_ns = t->now + t->run[b].left_ns;
}

static inline void toy_resize(struct toy *t, const struct vt_action *a, const uint8_t *versions)
{
	struct vt_block *k = &t->view.blocks[a->index];
	struct toy_block *r = &t->run[a->index];
	uint64_t was = toy_block_ns(t, a->index, k->layer_begin, k->layer_end), is;
	uint64_t left = r->seen_ns + r->left_ns - t->now;

	if (a->kind == VT_GROW) {
		vt_coreset_or(&k->cores, &a->cores);
		vt_coreset_sub(&t->view.v.free, &a->cores);
	} else {
		t->errors += vt_coreset_has(&a->cores, k->leader) && t->takes;
		vt_coreset_sub(&k->cores, &a->cores);
		vt_coreset_or(&t->view.v.free, &a->cores);
	}
	k->flags |= VT_BLOCK_RESIZED;
	for (uint32_t l = a->layer_begin; l < a->layer_end; l++)
		r->versions[l - k->layer_begin] = versions[a->version_at + l - a->layer_begin];
	is = toy_block_ns(t, a->index, k->layer_begin, k->layer_end);
	r->left_ns = (uint64_t)((double)left * (double)is / (double)was) + 1;
	r->seen_ns = t->now;
	k->end_ns = t->now + r->left_ns;
	r->stop_ns = 0;
}

/* Stops at the next boundary, judged by the plain profile: good enough for a toy. */
static inline void toy_preempt(struct toy *t, const struct vt_action *a)
{
	struct vt_block *k = &t->view.blocks[a->index];
	struct toy_block *r = &t->run[a->index];
	uint64_t all = toy_block_ns(t, a->index, k->layer_begin, k->layer_end);
	uint64_t left = r->seen_ns + r->left_ns - t->now, gone = all > left ? all - left : 0;

	for (uint16_t l = (uint16_t)(k->layer_begin + 1); l < k->layer_end; l++) {
		uint64_t at = toy_block_ns(t, a->index, k->layer_begin, l);

		if (at < gone)
			continue;
		r->stop_ns = t->now + (at - gone) + 1;
		r->stop_layer = l;
		k->flags |= VT_BLOCK_STOPPING;
		return;
	}
}

static inline int toy_apply(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	struct toy *t = self;
	uint32_t keep = 0;

	t->errors += fx_check(&s->view, d, t->may_shed) != NULL;
	t->wake = d->wake_ns;
	for (uint32_t i = 0; i < d->n_actions; i++) {
		const struct vt_action *a = &d->actions[i];

		if (a->kind == VT_START)
			toy_start(t, a, d->versions);
		else if (a->kind == VT_GROW || a->kind == VT_SHRINK)
			toy_resize(t, a, d->versions);
		else if (a->kind == VT_PREEMPT)
			toy_preempt(t, a);
		if (a->kind == VT_SHED)
			t->shed++;
		if (a->kind == VT_START || a->kind == VT_SHED)
			t->view.requests[a->index].id = 0; /* leaves below */
	}
	for (uint32_t i = 0; i < t->view.v.n_requests; i++)
		if (t->view.requests[i].id)
			t->view.requests[keep++] = t->view.requests[i];
	t->view.v.n_requests = keep;
	return 0;
}

static const struct vt_plant toy_plant = {.sample = toy_sample, .apply = toy_apply};

/** @shed: the hopeless may be refused; then toy.may_shed is p->sheds */
static inline struct vt_loop *toy_loop_shed(const struct vt_policy *p, uint32_t cores,
					    uint32_t domains, bool shed, struct vt_loop_cfg *cfg)
{
	size_t len;

	*cfg = (struct vt_loop_cfg){
		.policy = p,
		.policy_cfg = {.n_cores = cores,
			       .max_requests = FX_REQUESTS,
			       .max_tenants = 64,
			       .shed = shed},
		.n_domains = domains,
		.max_layers = 64,
	};
	len = vt_loop_size(cfg);
	return vt_loop_init(fx_alloc(len), len, cfg);
}

static inline struct vt_loop *toy_loop(const struct vt_policy *p, uint32_t cores, uint32_t domains,
				       struct vt_loop_cfg *cfg)
{
	return toy_loop_shed(p, cores, domains, false, cfg);
}

#endif
