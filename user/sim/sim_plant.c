// SPDX-License-Identifier: Apache-2.0
/* sim_plant.c - the simulated machine as a plant: what the loop sees of it, what it does to it. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "sim/sim_int.h"

#define TIME_EVERY 8 /* one decision in so many is timed, the clock being dear */
#define GONE	   UINT32_MAX

static void close_window(struct vt_sim *s)
{
	double window = (double)s->now_ns - s->count_from_ns;

	for (uint32_t d = 0; d < s->n_domains; d++) {
		s->counts[d] = (struct vt_domain_counts){
			.window_ns = (uint64_t)window,
			.llc_refs = (uint64_t)(int64_t)s->llc_refs[d],
			.llc_misses = (uint64_t)(int64_t)s->llc_misses[d],
			.instructions = (uint64_t)(int64_t)s->instr[d],
		};
		s->llc_refs[d] = s->llc_misses[d] = s->instr[d] = 0;
	}
	s->count_from_ns = (double)s->now_ns;
}

static int sample(void *self, struct vt_sample *ret)
{
	struct vt_sim *s = self;

	for (uint32_t b = 0; b < s->n_blocks; b++)
		vt_sim_catch_up(s, b);
	if (!s->cfg->blind)
		close_window(s);
	*ret = (struct vt_sample){
		.view = {.now_ns = s->now_ns,
			 .n_models = s->bank->n_models,
			 .n_requests = s->n_waiting,
			 .n_blocks = s->n_blocks,
			 .n_domains = s->n_domains,
			 .n_cores = s->bank->machine.cores,
			 .free = s->free,
			 .models = s->bank->sched,
			 .requests = s->waiting,
			 .blocks = s->blocks,
			 .domains = s->domains},
		.counts = s->cfg->blind ? NULL : s->counts,
		.done = s->done,
		.done_versions = s->done_versions,
		.n_done = s->n_done,
		.n_done_versions = s->n_done_versions,
	};
	s->sampled_host_ns = 0;
	if (s->cfg->time_decisions && s->res->decisions % TIME_EVERY == 0)
		s->sampled_host_ns = vt_now_mono_ns();
	return 0;
}

static bool same_domains(const struct vt_sim *s, const struct vt_coreset *a,
			 const struct vt_coreset *b)
{
	for (uint32_t d = 0; d < s->n_domains; d++)
		if (vt_coreset_meets(b, &s->mask[d]) && !vt_coreset_meets(a, &s->mask[d]))
			return false;
	return true;
}

/** What a start costs: waking cores that the request did not just run on, moving its tensors. */
static double start_cost_ns(const struct vt_sim *s, uint32_t w, const struct vt_action *a)
{
	const struct vt_machine *m = &s->bank->machine;
	const struct vt_bank_model *bm = &s->bank->models[s->waiting[w].model];
	struct vt_coreset new_cores = a->cores;
	double cost;

	/* Helpers still spin on the cores of a block that ended this very moment. */
	if (s->warm[w].until_ns == s->now_ns && a->layer_begin)
		vt_coreset_sub(&new_cores, &s->warm[w].cores);
	if (vt_coreset_empty(&new_cores))
		return 0;
	cost = m->wake_ns + m->wake_core_ns * vt_coreset_count(&new_cores);
	if (a->layer_begin && !same_domains(s, &s->warm[w].cores, &a->cores))
		cost += (double)bm->rows[bm->row_of[a->layer_begin]].in_bytes / m->domain_dram_gbps;
	return cost;
}

static int bad(struct vt_sim *s, const struct vt_action *a, const char *what)
{
	return vt_fail(s->err, -EPROTO, "policy %s: request %llu: %s", s->cfg->policy->name,
		       (unsigned long long)a->id, what);
}

static bool versions_exist(const struct vt_model *m, const struct vt_action *a, const uint8_t *v)
{
	for (uint32_t l = a->layer_begin; l < a->layer_end; l++, v++)
		if (*v >= m->n_versions || !vt_model_ns(m, l, *v, 0, 0))
			return false;
	return true;
}

/** Versions for a running block: none, or of its layers to come, each one that the layer has. */
static bool versions_fit(const struct vt_sim *s, const struct vt_block *b,
			 const struct vt_action *a, const struct vt_decision *d)
{
	if (a->layer_begin == a->layer_end)
		return true;
	return a->layer_begin > b->layer_now && a->layer_begin < a->layer_end &&
	       a->layer_end <= b->layer_end &&
	       (uint64_t)a->version_at + a->layer_end - a->layer_begin <= d->n_versions &&
	       versions_exist(&s->bank->sched[b->model], a, d->versions + a->version_at);
}

static const char *start_fault(const struct vt_sim *s, uint32_t w, const struct vt_action *a,
			       const struct vt_decision *d)
{
	const struct vt_model *m = &s->bank->sched[s->waiting[w].model];

	if (a->layer_begin != s->waiting[w].next_layer || a->layer_end <= a->layer_begin ||
	    a->layer_end > m->n_layers)
		return "starts a block that is not next";
	if (vt_coreset_empty(&a->cores) || !vt_coreset_within(&a->cores, &s->free))
		return "is granted cores that are not free";
	if ((uint64_t)a->version_at + a->layer_end - a->layer_begin > d->n_versions ||
	    !versions_exist(m, a, d->versions + a->version_at))
		return "is given a version that its layer does not have";
	return NULL;
}

static int start(struct vt_sim *s, uint32_t w, const struct vt_action *a,
		 const struct vt_decision *d)
{
	const char *fault = start_fault(s, w, a, d);
	struct vt_request *q = &s->waiting[w];

	if (fault)
		return bad(s, a, fault);
	s->blocks[s->n_blocks] = (struct vt_block){
		.id = q->id,
		.arrival_ns = q->arrival_ns,
		.deadline_ns = q->deadline_ns,
		.start_ns = s->now_ns,
		.served_ns = q->served_ns,
		.cores = a->cores,
		.model = q->model,
		.tenant = q->tenant,
		.layer_begin = a->layer_begin,
		.layer_end = a->layer_end,
		.layer_now = a->layer_begin,
		.wanted = a->wanted,
		.leader = (uint16_t)vt_coreset_next(&a->cores, 0),
		.priority = q->priority,
		.level = a->level,
	};
	vt_sim_begin(s, d->versions + a->version_at, start_cost_ns(s, w, a));
	q->model = GONE;
	return 0;
}

static int shed(struct vt_sim *s, uint32_t w, const struct vt_action *a,
		const struct vt_decision *d)
{
	s->res->shed += vt_sim_counted(s, a->id);
	if (s->cfg->refused)
		s->cfg->refused(s->cfg->served_self, s->waiting[w].tenant,
				s->waiting[w].arrival_ns);
	s->waiting[w].model = GONE;
	return 0;
}

static int grow(struct vt_sim *s, uint32_t b, const struct vt_action *a,
		const struct vt_decision *d)
{
	const struct vt_machine *m = &s->bank->machine;
	struct vt_coreset to = s->blocks[b].cores;

	if (vt_coreset_empty(&a->cores) || !vt_coreset_within(&a->cores, &s->free))
		return bad(s, a, "grows by cores that are not free");
	if (!versions_fit(s, &s->blocks[b], a, d))
		return bad(s, a, "is given a version that its layer does not have");
	vt_coreset_or(&to, &a->cores);
	vt_sim_regrant(s, b, &to, m->wake_ns + m->wake_core_ns * vt_coreset_count(&a->cores), a, d);
	return 0;
}

static int shrink(struct vt_sim *s, uint32_t b, const struct vt_action *a,
		  const struct vt_decision *d)
{
	struct vt_coreset to = s->blocks[b].cores;

	if (!vt_coreset_within(&a->cores, &to))
		return bad(s, a, "gives back cores that it does not have");
	vt_coreset_sub(&to, &a->cores);
	if (vt_coreset_empty(&to))
		return bad(s, a, "gives back its last core");
	if (!versions_fit(s, &s->blocks[b], a, d))
		return bad(s, a, "is given a version that its layer does not have");
	vt_sim_regrant(s, b, &to, 0, a, d);
	s->again = true;
	return 0;
}

static int preempt(struct vt_sim *s, uint32_t b, const struct vt_action *a,
		   const struct vt_decision *d)
{
	vt_sim_stop(s, b);
	return 0;
}

static const struct act {
	bool on_waiting; /* names a waiting request, else a running block */
	int (*fn)(struct vt_sim *s, uint32_t at, const struct vt_action *a,
		  const struct vt_decision *d);
} acts[] = {
	[VT_START] = {true, start},	 [VT_GROW] = {false, grow}, [VT_SHRINK] = {false, shrink},
	[VT_PREEMPT] = {false, preempt}, [VT_SHED] = {true, shed},
};

/** Where the action's target is: the hint, or a search; -1 if it is gone. */
static int find_target(const struct vt_sim *s, const struct vt_action *a, bool on_waiting)
{
	uint32_t n = on_waiting ? s->n_waiting : s->n_blocks;

	for (uint32_t i = a->index < n ? a->index : 0, k = 0; k < n;
	     k++, i = i + 1 < n ? i + 1 : 0) {
		if (on_waiting && s->waiting[i].id == a->id && s->waiting[i].model != GONE)
			return (int)i;
		if (!on_waiting && s->blocks[i].id == a->id)
			return (int)i;
	}
	return -1;
}

static void forget_gone(struct vt_sim *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n_waiting; i++) {
		if (s->waiting[i].model == GONE)
			continue;
		if (n != i) {
			s->waiting[n] = s->waiting[i];
			s->warm[n] = s->warm[i];
		}
		n++;
	}
	s->n_waiting = n;
}

static void time_decision(struct vt_sim *s)
{
	double ns = (double)(vt_now_mono_ns() - s->sampled_host_ns);

	s->res->timed++;
	s->res->decide_ns += ns;
	s->res->decide_max_ns = fmax(s->res->decide_max_ns, ns);
}

static int apply(void *self, const struct vt_sample *sample_of, const struct vt_decision *d)
{
	struct vt_sim *s = self;
	int rc = 0;

	if (s->sampled_host_ns)
		time_decision(s);
	s->res->decisions++;
	if (s->cfg->stepped)
		rc = s->cfg->stepped(s->cfg->recorder, sample_of, d);
	s->n_done = s->n_done_versions = 0;
	for (uint32_t i = 0; i < d->n_actions && !rc; i++) {
		const struct vt_action *a = &d->actions[i];
		int at;

		if (a->kind >= sizeof(acts) / sizeof(acts[0]) || !acts[a->kind].fn)
			return bad(s, a, "unknown action");
		at = find_target(s, a, acts[a->kind].on_waiting);
		if (at >= 0)
			rc = acts[a->kind].fn(s, (uint32_t)at, a, d);
		else
			s->res->late_actions++;
	}
	if (d->n_actions)
		forget_gone(s);
	vt_sim_settle(s);
	s->wake_ns = d->wake_ns > s->now_ns ? d->wake_ns : UINT64_MAX;
	return rc;
}

const struct vt_plant vt_sim_plant = {.sample = sample, .apply = apply};
