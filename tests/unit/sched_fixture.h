/* SPDX-License-Identifier: Apache-2.0 */
/* sched_fixture.h - made-up models and views for the tests of sched/ and loop/. */
#ifndef VT_TESTS_SCHED_FIXTURE_H
#define VT_TESTS_SCHED_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sched/plan.h"
#include "sched/policy.h"

#define FX_CORES    VT_SCHED_MAX_CORES
#define FX_REQUESTS 1024

/** Models with plans; fx_models_free() when done. */
struct fx_models {
	uint32_t n;
	struct vt_model *m;
};

static inline void *fx_alloc(size_t n)
{
	void *p = aligned_alloc(64, (n + 63) & ~(size_t)63);

	if (!p)
		abort();
	memset(p, 0, (n + 63) & ~(size_t)63);
	return p;
}

static inline uint64_t fx_between(struct vt_rng *r, uint64_t lo, uint64_t hi)
{
	return lo + vt_rng_below(r, hi - lo + 1);
}

/* Amdahl with a random serial part; versions trade time alone for reaction to pressure. */
static inline void fx_fill_times(struct vt_model *m, struct vt_rng *r, uint64_t *ns)
{
	for (unsigned int l = 0; l < m->n_layers; l++) {
		double work = (double)fx_between(r, 20000, 2000000), serial = vt_rng_unit(r) * 0.2;

		for (unsigned int v = 0; v < m->n_versions; v++) {
			bool absent = v && vt_rng_below(r, 4) == 0;
			double alone = 1 + 0.1 * v, react = 1.0 / (1 + v) * vt_rng_unit(r);

			for (unsigned int s = 0; s < VT_LEVELS; s++)
				for (unsigned int p = 0; p < m->n_points; p++) {
					double t = serial + (1 - serial) / m->points[p] +
						   0.0005 * m->points[p];

					*ns++ = absent ? 0
						       : (uint64_t)(work * t * alone *
								    (1 + react * s)) +
								 1;
				}
		}
	}
}

static inline void fx_model(struct vt_model *m, struct vt_rng *r, unsigned int n_cores,
			    uint32_t needs)
{
	static const uint16_t counts[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256};
	uint16_t *points;
	uint64_t *ns;
	size_t len;

	memset(m, 0, sizeof(*m));
	m->n_layers = (uint16_t)fx_between(r, 1, 40);
	m->n_versions = (uint8_t)fx_between(r, 1, VT_MAX_VERSIONS);
	points = fx_alloc(sizeof(counts));
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (!m->n_points || vt_rng_below(r, 4))
			points[m->n_points++] = counts[i];
	m->points = points;
	ns = fx_alloc((size_t)m->n_layers * m->n_versions * VT_LEVELS * m->n_points * sizeof(*ns));
	fx_fill_times(m, r, ns);
	m->ns = ns;
	m->qos_ns = vt_model_block_ns(m, 0, m->n_layers, NULL, 4, 0) * 2;
	len = vt_plan_size(m, needs);
	if (vt_plan_init(m, n_cores, needs, fx_alloc(len), len))
		abort();
}

static inline struct fx_models fx_models_new(struct vt_rng *r, uint32_t n, unsigned int n_cores,
					     uint32_t needs)
{
	struct fx_models f = {.n = n, .m = fx_alloc(n * sizeof(struct vt_model))};

	for (uint32_t i = 0; i < n; i++) {
		fx_model(&f.m[i], r, n_cores, needs);
		snprintf(f.m[i].name, sizeof(f.m[i].name), "model-%u", i);
	}
	return f;
}

static inline void fx_models_free(struct fx_models *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		free((void *)f->m[i].points);
		free((void *)f->m[i].ns);
		free((void *)f->m[i].plan);
	}
	free(f->m);
}

/** A view with its arrays. */
struct fx_view {
	struct vt_view v;
	struct vt_request requests[FX_REQUESTS];
	struct vt_block blocks[FX_CORES];
	struct vt_domain domains[VT_MAX_DOMAINS];
};

static inline void fx_domains(struct fx_view *x, uint32_t n_cores, uint32_t n_domains)
{
	uint32_t at = 0;

	x->v.n_cores = n_cores;
	x->v.n_domains = n_domains;
	x->v.domains = x->domains;
	for (uint32_t d = 0; d < n_domains; d++) {
		uint32_t end = (d + 1) * n_cores / n_domains;

		x->domains[d] = (struct vt_domain){
			.first = (uint16_t)at,
			.n_cores = (uint16_t)(end - at),
		};
		at = end;
	}
}

static inline struct vt_request fx_request(struct vt_rng *r, const struct fx_models *f, uint64_t id,
					   uint64_t now)
{
	uint32_t model = (uint32_t)vt_rng_below(r, f->n);
	const struct vt_model *m = &f->m[model];
	uint64_t age = fx_between(r, 0, m->qos_ns * 3 / 2);

	return (struct vt_request){
		.id = id,
		.arrival_ns = now - age,
		.deadline_ns = now - age + m->qos_ns,
		.ready_ns = now - age / 2,
		.served_ns = age / 4,
		.model = model,
		.tenant = model,
		.next_layer = (uint16_t)(vt_rng_below(r, 2) ? 0 : vt_rng_below(r, m->n_layers)),
		.priority = (uint16_t)fx_between(r, 1, 11),
		.home_domain = (uint8_t)(vt_rng_below(r, 2) ? VT_NO_DOMAIN : vt_rng_below(r, 8)),
		.instances_busy = vt_rng_below(r, 16) == 0,
	};
}

static inline void fx_block(struct vt_block *b, struct vt_rng *r, const struct fx_models *f,
			    uint64_t id, uint64_t now)
{
	struct vt_request q = fx_request(r, f, id, now);
	const struct vt_model *m = &f->m[q.model];

	*b = (struct vt_block){
		.id = id,
		.arrival_ns = q.arrival_ns,
		.deadline_ns = q.deadline_ns,
		.start_ns = now - fx_between(r, 0, 1000000),
		.end_ns = now + fx_between(r, 0, 2000000),
		.model = q.model,
		.tenant = q.tenant,
		.layer_begin = q.next_layer,
		.layer_now = q.next_layer,
		.layer_end = (uint16_t)fx_between(r, q.next_layer + 1u, m->n_layers),
		.wanted = (uint16_t)fx_between(r, 1, 32),
		.priority = q.priority,
		.flags = (uint8_t)vt_rng_below(r, 4),
	};
}

/** Others take some cores: often none, sometimes all. */
static inline void fx_take(struct vt_view *v, struct vt_rng *r)
{
	uint32_t of = (uint32_t)vt_rng_below(r, 4);

	memset(&v->taken, 0, sizeof(v->taken));
	for (uint32_t c = 0; c < v->n_cores && of; c++)
		if (of == 3 ? vt_rng_below(r, 8) : !vt_rng_below(r, 8))
			vt_coreset_add(&v->taken, c);
	v->taken_ppm = vt_coreset_empty(&v->taken) ? 0 : (uint32_t)vt_rng_below(r, VT_PPM);
}

/** A random but valid view: @max_requests <= FX_REQUESTS */
static inline void fx_view_random(struct fx_view *x, struct vt_rng *r, const struct fx_models *f,
				  uint32_t n_cores, uint32_t max_requests)
{
	uint64_t now = 1000000000000ull + vt_rng_below(r, 1u << 30), id = 1;
	uint32_t core = 0, load = (uint32_t)vt_rng_below(r, 5);

	memset(&x->v, 0, sizeof(x->v));
	fx_domains(x, n_cores, (uint32_t)fx_between(r, 1, n_cores < 64 ? n_cores : 64));
	for (uint32_t d = 0; d < x->v.n_domains; d++)
		x->domains[d].pressure_ppm = (uint32_t)vt_rng_below(r, VT_PPM + 1);
	x->v.now_ns = now;
	x->v.margin_ppm = vt_rng_below(r, 4) ? (uint32_t)vt_rng_below(r, VT_PPM + 1) : 0;
	x->v.n_models = f->n;
	x->v.models = f->m;
	x->v.requests = x->requests;
	x->v.blocks = x->blocks;
	while (core < n_cores) {
		uint32_t k = (uint32_t)fx_between(r, 1, 16),
			 end = core + k < n_cores ? core + k : n_cores;
		struct vt_coreset set = vt_coreset_range(core, end - core);

		if (vt_rng_below(r, 4) < load) {
			struct vt_block *b = &x->blocks[x->v.n_blocks++];

			fx_block(b, r, f, id++, now);
			b->cores = set;
			b->leader = (uint16_t)fx_between(r, core, end - 1);
		} else {
			vt_coreset_or(&x->v.free, &set);
		}
		core = end;
	}
	fx_take(&x->v, r);
	x->v.n_requests = (uint32_t)fx_between(r, 0, max_requests);
	for (uint32_t i = 0; i < x->v.n_requests; i++)
		x->requests[i] = fx_request(r, f, id++, now);
}

/** A policy with its state and room for its decision. */
struct fx_policy {
	const struct vt_policy *p;
	struct vt_policy_cfg cfg;
	void *state;
	struct vt_decision d;
};

/** @shed: the hopeless may be refused */
static inline void fx_policy_open_shed(struct fx_policy *x, const struct vt_policy *p,
				       uint32_t n_cores, bool shed)
{
	*x = (struct fx_policy){
		.p = p,
		.cfg = {.n_cores = n_cores,
			.max_requests = FX_REQUESTS,
			.max_tenants = 1024,
			.shed = shed},
		.d = {.cap_actions = 2 * n_cores + 64, .cap_versions = n_cores * 40},
	};
	x->state = fx_alloc(p->state_size(&x->cfg));
	x->d.actions = fx_alloc(x->d.cap_actions * sizeof(struct vt_action));
	x->d.versions = fx_alloc(x->d.cap_versions);
	if (p->init(p, x->state, &x->cfg))
		abort();
}

static inline void fx_policy_open(struct fx_policy *x, const struct vt_policy *p, uint32_t n_cores)
{
	fx_policy_open_shed(x, p, n_cores, false);
}

static inline void fx_policy_close(struct fx_policy *x)
{
	free(x->state);
	free(x->d.actions);
	free(x->d.versions);
}

/* ---- what policy.h promises of every decision ------------------------------------------- */

static inline const char *fx_check_start(const struct vt_view *v, const struct vt_decision *d,
					 const struct vt_action *a, struct vt_coreset *free_,
					 uint8_t *started)
{
	const struct vt_request *r;
	const struct vt_model *m;

	if (a->index >= v->n_requests || v->requests[a->index].id != a->id)
		return "START of a request that does not wait";
	if (started[a->index]++)
		return "request started twice";
	r = &v->requests[a->index];
	m = &v->models[r->model];
	if (r->instances_busy)
		return "START without an operator instance";
	if (a->layer_begin != r->next_layer || a->layer_end <= a->layer_begin ||
	    a->layer_end > m->n_layers)
		return "START of layers that are not next";
	if (vt_coreset_empty(&a->cores) || !vt_coreset_within(&a->cores, free_))
		return "START on cores that are not free";
	if (!a->wanted || !a->expect_ns || a->level >= VT_LEVELS)
		return "START without demand, time or level";
	if (a->version_at + (uint32_t)(a->layer_end - a->layer_begin) > d->n_versions)
		return "START with too few versions";
	for (unsigned int l = a->layer_begin; l < a->layer_end; l++) {
		uint8_t ver = d->versions[a->version_at + l - a->layer_begin];

		if (ver >= m->n_versions || !vt_model_ns(m, l, ver, 0, 0))
			return "START with a version that the layer does not have";
	}
	vt_coreset_sub(free_, &a->cores);
	return NULL;
}

/* Versions of layers that have not begun, each one that the layer has; or none at all. */
static inline const char *fx_check_recode(const struct vt_view *v, const struct vt_decision *d,
					  const struct vt_action *a, const struct vt_block *b)
{
	const struct vt_model *m = &v->models[b->model];

	if (a->layer_begin == a->layer_end)
		return NULL;
	if (a->layer_begin <= b->layer_now || a->layer_begin > a->layer_end ||
	    a->layer_end > b->layer_end || a->level >= VT_LEVELS)
		return "versions for layers that have begun, or of another block";
	if (a->version_at + (uint32_t)(a->layer_end - a->layer_begin) > d->n_versions)
		return "too few versions for a running block";
	for (unsigned int l = a->layer_begin; l < a->layer_end; l++) {
		uint8_t ver = d->versions[a->version_at + l - a->layer_begin];

		if (ver >= m->n_versions || !vt_model_ns(m, l, ver, 0, 0))
			return "a version for a running block that the layer does not have";
	}
	return NULL;
}

static inline const char *fx_check_running(const struct vt_view *v, const struct vt_decision *d,
					   const struct vt_action *a, struct vt_coreset *free_)
{
	const struct vt_block *b;

	if (a->index >= v->n_blocks || v->blocks[a->index].id != a->id)
		return "action on a block that does not run";
	b = &v->blocks[a->index];
	switch (a->kind) {
	case VT_GROW:
		if (vt_coreset_empty(&a->cores) || !vt_coreset_within(&a->cores, free_))
			return "GROW by cores that are not free";
		vt_coreset_sub(free_, &a->cores);
		return fx_check_recode(v, d, a, b);
	case VT_SHRINK:
		if (vt_coreset_empty(&a->cores) || !vt_coreset_within(&a->cores, &b->cores) ||
		    vt_coreset_count(&a->cores) >= vt_coreset_count(&b->cores))
			return "SHRINK by cores that the block does not have or cannot spare";
		return fx_check_recode(v, d, a, b);
	case VT_PREEMPT:
		return b->flags & VT_BLOCK_STOPPING ? "PREEMPT of a block that stops" : NULL;
	default:
		return "unknown action";
	}
}

/* What a policy that heeds taken cores promises, where not all are taken. */
static inline const char *fx_check_taken(const struct vt_view *v, const struct vt_decision *d)
{
	const struct vt_coreset all = vt_coreset_range(0, v->n_cores);

	if (vt_coreset_within(&all, &v->taken))
		return NULL;
	for (uint32_t i = 0; i < d->n_actions; i++) {
		const struct vt_action *a = &d->actions[i];
		struct vt_coreset ours = a->cores;
		unsigned int mine, theirs;

		vt_coreset_sub(&ours, &v->taken);
		mine = vt_coreset_count(&ours);
		theirs = vt_coreset_count(&a->cores) - mine;
		if (a->kind == VT_START && theirs && !mine && theirs > 1)
			return "a gang of taken cores";
		if (a->kind == VT_START && mine && theirs > mine)
			return "more helpers on taken cores than cores of ours";
		if (a->kind == VT_GROW && mine && theirs)
			return "GROW counts on a taken core";
		if (a->kind == VT_GROW && vt_coreset_has(&v->taken, v->blocks[a->index].leader) &&
		    vt_coreset_count(&v->blocks[a->index].cores) > 1)
			return "GROW of a gang that is led from a taken core";
	}
	return NULL;
}

/** fx_may_shed - may this policy refuse, and was it told that it may? */
static inline bool fx_may_shed(const struct fx_policy *x)
{
	return x->p->sheds && x->cfg.shed;
}

/** fx_check - NULL, or which promise of policy.h the decision breaks */
static inline const char *fx_check(const struct vt_view *v, const struct vt_decision *d,
				   bool may_shed)
{
	static _Thread_local uint8_t started[FX_REQUESTS];
	struct vt_coreset free_ = v->free;
	bool may_start = false, idle = vt_coreset_count(&v->free) == v->n_cores;
	const char *err = NULL;

	if (d->n_actions > d->cap_actions || d->n_versions > d->cap_versions)
		return "more than fits";
	memset(started, 0, v->n_requests);
	for (uint32_t i = 0; !err && i < d->n_actions; i++) {
		const struct vt_action *a = &d->actions[i];

		if (a->kind == VT_START)
			err = fx_check_start(v, d, a, &free_, started);
		else if (a->kind != VT_SHED)
			err = fx_check_running(v, d, a, &free_);
		else if (!may_shed)
			err = "SHED by a policy that may not";
		else if (a->index >= v->n_requests || v->requests[a->index].id != a->id ||
			 started[a->index]++)
			err = "SHED of a request that does not wait";
	}
	for (uint32_t i = 0; i < v->n_requests; i++)
		may_start |= !v->requests[i].instances_busy;
	if (!err && idle && may_start && !d->n_actions)
		return "all cores are free, a request waits, nothing is started or shed";
	return err;
}

#endif
