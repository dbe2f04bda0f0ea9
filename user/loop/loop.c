// SPDX-License-Identifier: Apache-2.0
#include "loop/loop.h"

#include <stdbool.h>
#include <string.h>

#include "pressure/pace.h"
#include "pressure/pressure.h"
#include "sched/plan.h"

/* What blocks took, and how far that was from their plan; the last SURPRISE_BLOCKS count most. */
struct surprise {
	double planned_ns, off_ns;
	uint32_t blocks;
};

/* Blocks that margin_ppm remembers, and the least that it is worked out from. */
#define SURPRISE_BLOCKS 64
#define SURPRISE_FIRST	32u
/* A margin covers so many times the mean distance from the plan, and at least this. */
#define SURPRISE_TIMES 3
#define MARGIN_LEAST   2500u

struct vt_loop {
	struct vt_loop_cfg cfg;
	struct vt_pressure pressure;
	struct surprise surprise;
	struct vt_sample sample;
	struct vt_decision decision;
	struct vt_loop_stats stats;
	void *policy_state;
	struct vt_pace
		*pace; /* behind all else: it is large, and a step looks at a line or two of it */
};

/* Actions of one step: every core may start, grow or shrink something, and some are shed. */
static uint32_t max_actions(const struct vt_loop_cfg *cfg)
{
	return 2 * cfg->policy_cfg.n_cores + 64;
}

static uint32_t max_versions(const struct vt_loop_cfg *cfg)
{
	return cfg->policy_cfg.n_cores * cfg->max_layers;
}

static size_t part(size_t *used, size_t len)
{
	size_t at = (*used + 63) & ~(size_t)63;

	*used = at + len;
	return at;
}

struct parts {
	size_t loop, state, actions, versions, pace, total;
};

static int lay_out(const struct vt_loop_cfg *cfg, struct parts *o)
{
	size_t state, used = 0;

	if (!cfg->policy || !cfg->n_domains || cfg->n_domains > VT_MAX_DOMAINS ||
	    !cfg->max_layers || cfg->max_layers > VT_MAX_LAYERS)
		return -1;
	state = cfg->policy->state_size(&cfg->policy_cfg);
	if (!state)
		return -1;
	o->loop = part(&used, sizeof(struct vt_loop));
	o->state = part(&used, state);
	o->actions = part(&used, max_actions(cfg) * sizeof(struct vt_action));
	o->versions = part(&used, max_versions(cfg));
	o->pace = part(&used, sizeof(struct vt_pace));
	o->total = (used + 63) & ~(size_t)63;
	return 0;
}

size_t vt_loop_size(const struct vt_loop_cfg *cfg)
{
	struct parts o;

	return lay_out(cfg, &o) ? 0 : o.total;
}

struct vt_loop *vt_loop_init(void *mem, size_t len, const struct vt_loop_cfg *cfg)
{
	struct vt_loop *l = mem;
	char *base = mem;
	struct parts o;

	if (!mem || lay_out(cfg, &o) || len < o.total)
		return NULL;
	memset(l, 0, sizeof(*l));
	l->cfg = *cfg;
	l->policy_state = base + o.state;
	l->pace = memset(base + o.pace, 0, sizeof(*l->pace));
	l->decision = (struct vt_decision){
		.cap_actions = max_actions(cfg),
		.cap_versions = max_versions(cfg),
		.actions = (struct vt_action *)(base + o.actions),
		.versions = (uint8_t *)(base + o.versions),
	};
	vt_pressure_init(&l->pressure, cfg->n_domains, cfg->fresh_ns);
	if (cfg->policy->init(cfg->policy, l->policy_state, &cfg->policy_cfg))
		return NULL;
	return l;
}

static uint32_t ppm_of(uint32_t part, uint32_t all)
{
	if (part >= all)
		return all ? VT_PPM : 0;
	return part ? (uint32_t)((uint64_t)part * VT_PPM / all) : 0;
}

static void observe(struct vt_loop *l)
{
	const struct vt_sample *s = &l->sample;
	const struct vt_view *v = &s->view;
	uint32_t n = l->pressure.n_domains, all = 0, busy_ppm[VT_MAX_DOMAINS];
	struct vt_coreset_parts free;

	vt_coreset_parts(&v->free, &free);
	for (uint32_t d = 0; d < n; d++) {
		uint32_t cores = d < v->n_domains ? v->domains[d].n_cores : 0, busy = cores;

		if (cores)
			busy -= vt_coreset_count_part(&v->free, &free, v->domains[d].first, cores);
		/* What a block of this domain shares it with: cores that run something. */
		busy_ppm[d] = ppm_of(busy, cores);
		all += busy;
	}
	vt_pressure_observe(&l->pressure, &(struct vt_pressure_obs){
						  .busy_ppm = busy_ppm,
						  .busy_all_ppm = ppm_of(all, v->n_cores),
						  .n_counts = s->counts ? v->n_domains : 0,
						  .counts = s->counts,
					  });
}

/* Times of the very code that a block ran, at each level; false if they say nothing about it. */
static bool profiled(const struct vt_sample *s, const struct vt_done *k, uint64_t ns[VT_LEVELS])
{
	const struct vt_view *v = &s->view;

	if (k->flags & (VT_BLOCK_RESIZED | VT_BLOCK_TAKEN) || k->model >= v->n_models ||
	    k->end_ns <= k->start_ns || k->layer_begin >= k->layer_end ||
	    k->layer_end > v->models[k->model].n_layers)
		return false;
	vt_plan_block_levels(&v->models[k->model], k->layer_begin, k->layer_end,
			     s->done_versions ? s->done_versions + k->version_at : NULL,
			     vt_coreset_count(&k->cores), ns);
	return true;
}

static void be_surprised(struct surprise *x, double took_ns, double planned_ns)
{
	double off = took_ns - planned_ns;

	x->planned_ns += planned_ns - x->planned_ns / SURPRISE_BLOCKS;
	x->off_ns += (off < 0 ? -off : off) - x->off_ns / SURPRISE_BLOCKS;
	x->blocks += x->blocks < SURPRISE_FIRST;
}

static uint32_t margin_ppm(const struct surprise *x)
{
	double ppm;

	if (x->blocks < SURPRISE_FIRST || x->planned_ns <= 0)
		return 0;
	ppm = x->off_ns / x->planned_ns * (double)SURPRISE_TIMES * VT_PPM;
	return ppm < MARGIN_LEAST ? MARGIN_LEAST : ppm < VT_PPM ? (uint32_t)ppm : VT_PPM;
}

/* To every domain of @cores. Domains ascend, so one walk over both finds them. */
static void learn_of(struct vt_loop *l, const struct vt_coreset *cores, const struct vt_felt *felt)
{
	const struct vt_view *v = &l->sample.view;
	int core = vt_coreset_next(cores, 0);

	for (uint32_t d = 0; d < v->n_domains && core >= 0; d++) {
		uint32_t first = v->domains[d].first, end = first + v->domains[d].n_cores;

		if ((uint32_t)core < first)
			core = vt_coreset_next(cores, first);
		if (core < 0 || (uint32_t)core >= end)
			continue;
		vt_pressure_learn(&l->pressure, d, felt, v->now_ns);
		core = vt_coreset_next(cores, end);
	}
}

static uint64_t pace_key(const struct vt_view *v, const struct vt_done *k)
{
	return vt_pace_key(k->model, k->layer_begin, k->layer_end, vt_coreset_count(&k->cores),
			   v->models[k->model].fastest_ns);
}

/* What the block felt, its usual pace aside; false if it says nothing. */
static bool felt_by(struct vt_loop *l, const struct vt_done *k, const uint64_t ns[VT_LEVELS],
		    struct vt_felt *ret)
{
	const struct vt_view *v = &l->sample.view;
	uint64_t took = k->end_ns - k->start_ns;

	if (vt_pressure_invert(ns, took, ret))
		return false;
	took = vt_pace_take(l->pace, pace_key(v, k), ns[0], ret->weight_ppm, took, v->now_ns);
	if (vt_pressure_invert(ns, took, ret))
		return false;
	ret->noise_ppm = vt_pace_noise_ppm(l->pace, ns[0]);
	return true;
}

/* Lines that learn() will want, while observe() has other things to do. */
static void fetch_paces(const struct vt_loop *l)
{
	const struct vt_sample *s = &l->sample;

	for (uint32_t i = 0; i < s->n_done; i++)
		if (s->done[i].model < s->view.n_models)
			vt_pace_fetch(l->pace, pace_key(&s->view, &s->done[i]));
}

static void learn(struct vt_loop *l)
{
	const struct vt_sample *s = &l->sample;

	for (uint32_t i = 0; i < s->n_done; i++) {
		const struct vt_done *k = &s->done[i];
		uint64_t ns[VT_LEVELS];
		struct vt_felt felt;

		if (!profiled(s, k, ns))
			continue;
		be_surprised(&l->surprise, (double)(k->end_ns - k->start_ns),
			     (double)ns[k->level % VT_LEVELS]);
		if (!felt_by(l, k, ns, &felt))
			continue;
		l->stats.learned++;
		learn_of(l, &k->cores, &felt);
	}
}

static void write_pressure(struct vt_loop *l)
{
	struct vt_view *v = &l->sample.view;
	uint32_t sure = vt_pressure_confidence(&l->pressure, v->now_ns);
	uint32_t ppm[VT_PRESSURE_DOMAINS];

	v->margin_ppm = margin_ppm(&l->surprise);
	vt_pressure_all(&l->pressure, v->now_ns, ppm);
	for (uint32_t d = 0; d < v->n_domains; d++) {
		v->domains[d].pressure_ppm = d < l->pressure.n_domains ? ppm[d] : 0;
		v->domains[d].confidence_ppm = sure;
	}
}

static void count(struct vt_loop *l)
{
	struct vt_loop_stats *st = &l->stats;

	st->steps++;
	for (uint32_t i = 0; i < l->decision.n_actions; i++) {
		const struct vt_action *a = &l->decision.actions[i];

		st->starts += a->kind == VT_START;
		st->conflicts += a->kind == VT_START && vt_coreset_count(&a->cores) < a->wanted;
		st->grows += a->kind == VT_GROW;
		st->shrinks += a->kind == VT_SHRINK;
		st->preempts += a->kind == VT_PREEMPT;
		st->sheds += a->kind == VT_SHED;
	}
}

int vt_loop_step(struct vt_loop *l, const struct vt_plant *plant, void *self)
{
	int err = plant->sample(self, &l->sample);

	if (err)
		return err;
	fetch_paces(l);
	observe(l);
	learn(l);
	write_pressure(l);
	l->cfg.policy->decide(l->policy_state, &l->sample.view, &l->decision);
	count(l);
	return plant->apply(self, &l->sample, &l->decision);
}

const struct vt_decision *vt_loop_decision(const struct vt_loop *l)
{
	return &l->decision;
}

const struct vt_loop_stats *vt_loop_stats(const struct vt_loop *l)
{
	return &l->stats;
}
