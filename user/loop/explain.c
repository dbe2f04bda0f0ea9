// SPDX-License-Identifier: Apache-2.0
#include "loop/explain.h"

#include <stdbool.h>
#include <string.h>

#include "pressure/pressure.h"
#include "sched/plan.h"

/** Where in the view an action's target is: its hint, or a search; -1 if it is not there. */
static int find_request(const struct vt_view *v, const struct vt_action *a)
{
	if (a->index < v->n_requests && v->requests[a->index].id == a->id)
		return (int)a->index;
	for (uint32_t i = 0; i < v->n_requests; i++)
		if (v->requests[i].id == a->id)
			return (int)i;
	return -1;
}

static int find_block(const struct vt_view *v, const struct vt_action *a)
{
	if (a->index < v->n_blocks && v->blocks[a->index].id == a->id)
		return (int)a->index;
	for (uint32_t i = 0; i < v->n_blocks; i++)
		if (v->blocks[i].id == a->id)
			return (int)i;
	return -1;
}

/** The rest from @layer on, by the plan where there is one: it looks up, the model adds up. */
static uint64_t rest_ns(const struct vt_model *m, unsigned int layer, unsigned int cores,
			unsigned int level)
{
	const struct vt_plan *p = m->plan;
	enum vt_plan_code code = p && p->rest[VT_PLAN_ADAPTIVE] ? VT_PLAN_ADAPTIVE : VT_PLAN_SOLO;
	uint64_t ns;

	if (layer >= m->n_layers)
		return 0;
	if (!p)
		return vt_model_block_ns(m, layer, m->n_layers, NULL, cores, level);
	ns = vt_plan_rest(p, code, level, layer)[vt_plan_point(p, cores)];
	return cores < p->points[0] ? ns * p->points[0] / cores : ns;
}

/** The rest on the count of @usable cores that ends soonest: what a refused request would at least have needed. */
static uint64_t soonest_ns(const struct vt_model *m, unsigned int layer, unsigned int usable,
			   unsigned int level)
{
	const struct vt_plan *p = m->plan;
	unsigned int most;

	if (!p || layer >= m->n_layers || level >= VT_LEVELS)
		return m->fastest_ns;
	most = p->points[p->fastest[layer]];
	return rest_ns(m, layer, usable < most ? usable : most, level);
}

/** Cores of the machine that others largely use. */
static struct vt_coreset taken_of(const struct vt_view *v)
{
	struct vt_coreset s = vt_coreset_range(0, v->n_cores);

	for (unsigned int i = 0; i < VT_CORESET_WORDS; i++)
		s.w[i] &= v->taken.w[i];
	return s;
}

/** The rest on @cores: taken ones only help, so they do not count; of a taken one alone there is only so much. */
static uint64_t rest_on(const struct vt_view *v, const struct vt_model *m,
			const struct vt_coreset *cores, unsigned int layer, unsigned int level)
{
	const struct vt_coreset taken = taken_of(v);
	struct vt_coreset ours = *cores;
	uint64_t ns;

	vt_coreset_sub(&ours, &taken);
	if (!vt_coreset_empty(&ours))
		return rest_ns(m, layer, vt_coreset_count(&ours), level);
	ns = rest_ns(m, layer, vt_coreset_count(cores), level);
	return v->taken_ppm ? (uint64_t)((double)ns * VT_PPM / v->taken_ppm) : ns;
}

/** The domain of @cores under most pressure; of all domains if there are no cores. */
static void put_pressure(struct vt_reason *r, const struct vt_view *v,
			 const struct vt_coreset *cores)
{
	bool all = vt_coreset_empty(cores), found = false;

	for (uint32_t d = 0; d < v->n_domains; d++) {
		const struct vt_domain *dom = &v->domains[d];
		struct vt_coreset set = vt_coreset_range(dom->first, dom->n_cores);

		if (!all && !vt_coreset_meets(&set, cores))
			continue;
		if (found && dom->pressure_ppm <= r->pressure_ppm)
			continue;
		found = true;
		r->pressure_ppm = dom->pressure_ppm;
		r->confidence_ppm = dom->confidence_ppm;
	}
}

static unsigned int other_versions(const struct vt_decision *d, const struct vt_action *a)
{
	unsigned int n = 0, layers = (unsigned int)(a->layer_end - a->layer_begin);

	if (a->layer_end <= a->layer_begin || a->version_at > d->n_versions ||
	    layers > d->n_versions - a->version_at)
		return 0;
	for (unsigned int l = 0; l < layers; l++)
		n += d->versions[a->version_at + l] != 0;
	return n;
}

static void explain_request(struct vt_reason *r, const struct vt_sample *s,
			    const struct vt_decision *d, const struct vt_action *a)
{
	const struct vt_view *v = &s->view;
	const struct vt_model *m;
	const struct vt_request *q;
	int at = find_request(v, a);

	put_pressure(r, v, &a->cores);
	if (at < 0)
		return;
	q = &v->requests[at];
	r->slack_ns = (int64_t)(q->deadline_ns - v->now_ns);
	r->waited_ns = v->now_ns > q->ready_ns ? v->now_ns - q->ready_ns : 0;
	r->model = q->model;
	r->tenant = q->tenant;
	r->layer_begin = r->layer_end = q->next_layer;
	r->level = a->level;
	if (q->model >= v->n_models)
		return;
	m = &v->models[q->model];
	if (a->kind == VT_SHED) {
		r->layer_end = m->n_layers;
		r->rest_ns = soonest_ns(m, q->next_layer, r->usable, a->level);
		return;
	}
	r->layer_begin = a->layer_begin;
	r->layer_end = a->layer_end;
	r->wanted = a->wanted;
	r->granted = (uint16_t)vt_coreset_count(&a->cores);
	r->other_versions = (uint16_t)other_versions(d, a);
	if (r->granted && a->level < VT_LEVELS)
		r->rest_ns = a->expect_ns + rest_on(v, m, &a->cores, a->layer_end, a->level);
}

static void explain_block(struct vt_reason *r, const struct vt_sample *s,
			  const struct vt_decision *d, const struct vt_action *a)
{
	const struct vt_view *v = &s->view;
	const struct vt_block *b;
	struct vt_coreset cores;
	int at = find_block(v, a);

	if (at < 0)
		return;
	b = &v->blocks[at];
	cores = b->cores;
	if (a->kind == VT_GROW)
		vt_coreset_or(&cores, &a->cores);
	else if (a->kind == VT_SHRINK)
		vt_coreset_sub(&cores, &a->cores);
	put_pressure(r, v, &cores);
	r->slack_ns = (int64_t)(b->deadline_ns - v->now_ns);
	r->model = b->model;
	r->tenant = b->tenant;
	r->layer_begin = b->layer_now;
	r->layer_end = b->layer_end;
	r->level = a->layer_end > a->layer_begin ? a->level : b->level;
	r->other_versions = (uint16_t)other_versions(d, a);
	r->wanted = a->kind == VT_GROW ? a->wanted : b->wanted;
	r->granted = (uint16_t)vt_coreset_count(&cores);
	if (b->model < v->n_models && r->granted && r->level < VT_LEVELS)
		r->rest_ns = rest_on(v, &v->models[b->model], &cores, b->layer_now, r->level);
}

const char *vt_reason_action(uint8_t kind)
{
	static const char *const kinds[] = {[VT_START] = "start",
					    [VT_GROW] = "grow",
					    [VT_SHRINK] = "shrink",
					    [VT_PREEMPT] = "preempt",
					    [VT_SHED] = "shed"};

	return kind < sizeof(kinds) / sizeof(kinds[0]) && kinds[kind] ? kinds[kind] : "?";
}

const char *vt_reason_source(uint8_t sources)
{
	static const char *const names[] = {
		[0] = "first guess",
		[VT_PRESSURE_COUNTERS] = "counters",
		[VT_PRESSURE_SLOWDOWN] = "slowdown",
		[VT_PRESSURE_COUNTERS | VT_PRESSURE_SLOWDOWN] = "counters+slowdown",
	};

	return names[sources & (VT_PRESSURE_COUNTERS | VT_PRESSURE_SLOWDOWN)];
}

/* What is left of @cores after @a. */
static unsigned int left_by(const struct vt_action *a, unsigned int cores)
{
	const unsigned int gets =
		a->kind == VT_START || a->kind == VT_GROW ? vt_coreset_count(&a->cores) : 0;

	return gets < cores ? cores - gets : 0;
}

size_t vt_explain(const struct vt_sample *s, const struct vt_decision *d, size_t from,
		  struct vt_reason *ret, size_t len)
{
	const size_t more = from < d->n_actions ? d->n_actions - from : 0;
	const size_t n = more < len ? more : len;
	unsigned int free = vt_coreset_count(&s->view.free);
	const struct vt_coreset out = taken_of(&s->view);
	const unsigned int n_taken = vt_coreset_count(&out);

	for (size_t i = 0; i < from && n; i++)
		free = left_by(&d->actions[i], free);
	for (size_t i = 0; i < n; i++) {
		const struct vt_action *a = &d->actions[from + i];
		struct vt_reason *r = &ret[i];

		memset(r, 0, sizeof(*r));
		r->now_ns = s->view.now_ns;
		r->id = a->id;
		r->kind = a->kind;
		r->waiting = s->view.n_requests;
		r->free = (uint16_t)free;
		r->taken = (uint16_t)n_taken;
		r->usable = (uint16_t)(n_taken < s->view.n_cores ? s->view.n_cores - n_taken
								 : s->view.n_cores);
		if (a->kind == VT_START || a->kind == VT_SHED)
			explain_request(r, s, d, a);
		else
			explain_block(r, s, d, a);
		free = left_by(a, free);
	}
	return n;
}
