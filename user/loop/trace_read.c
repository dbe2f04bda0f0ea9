// SPDX-License-Identifier: Apache-2.0
/* Reading. A trace is foreign input: every count is checked against the bytes that are there. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "loop/trace_int.h"
#include "sched/plan.h"

static int bad(struct vt_trace *t, int err, const char *what)
{
	t->what = what;
	return err;
}

/* Take @count items of @size from *@at; NULL if they are not all there. */
static const void *take(const char **at, const char *end, uint64_t count, size_t size)
{
	const char *p = *at;
	size_t left = (size_t)(end - p);

	if (count > left / size || vt_trace_pad(count * size) > left)
		return NULL;
	*at = p + vt_trace_pad(count * size);
	return p;
}

static int check_models(struct vt_trace *t, const char *end)
{
	const char *at = t->models_at;

	for (uint32_t i = 0; i < t->head.n_models; i++) {
		const struct vt_trace_model *m = take(&at, end, 1, sizeof(*m));

		/* First: its times, which are in the file, then bound what its plan takes. */
		if (m && (!m->n_layers || m->n_layers > VT_MAX_LAYERS || !m->n_points ||
			  !m->n_versions || m->n_versions > VT_MAX_VERSIONS))
			return bad(t, -EINVAL,
				   "a model's layers, points or versions are out of range");
		if (!m || !take(&at, end, m->n_points, sizeof(uint16_t)) ||
		    !take(&at, end, vt_trace_model_times(m), sizeof(uint64_t)))
			return bad(t, -EINVAL, "a model is cut short");
		if (m->name[VT_MODEL_NAME_MAX - 1])
			return bad(t, -EINVAL, "a model's name does not end");
	}
	return at == end ? 0 : bad(t, -EINVAL, "models and length of the head disagree");
}

int vt_trace_open(struct vt_trace *t, const void *buf, size_t len)
{
	struct vt_trace_head *h = &t->head;

	memset(t, 0, sizeof(*t));
	if (len < sizeof(*h))
		return bad(t, -EINVAL, "shorter than a head");
	memcpy(h, buf, sizeof(*h));
	if (memcmp(h->magic, vt_trace_magic, sizeof(h->magic)) != 0)
		return bad(t, -EINVAL, "it does not begin like one");
	if (h->version != VT_TRACE_VERSION)
		return bad(t, -EPROTO, "recorded by another version");
	if (h->len < sizeof(*h) || h->len > len || h->len % 8)
		return bad(t, -EINVAL, "head is cut short");
	if (h->policy[sizeof(h->policy) - 1])
		return bad(t, -EINVAL, "name of the policy does not end");
	t->models_at = (const char *)buf + sizeof(*h);
	t->at = (const char *)buf + h->len;
	t->end = (const char *)buf + len;
	return check_models(t, t->at);
}

/* The n-th model in place; walks, for traces hold few models and this runs once each. */
static void read_model(const char **at, const char *end, struct vt_model *ret)
{
	const struct vt_trace_model *m = take(at, end, 1, sizeof(*m));

	*ret = (struct vt_model){
		.qos_ns = m->qos_ns,
		.n_layers = m->n_layers,
		.n_points = m->n_points,
		.n_versions = m->n_versions,
		.open_ns = m->open_ns,
		.open_core_ns = m->open_core_ns,
	};
	memcpy(ret->name, m->name, sizeof(ret->name));
	ret->points = take(at, end, m->n_points, sizeof(uint16_t));
	ret->ns = take(at, end, vt_trace_model_times(m), sizeof(uint64_t));
}

static size_t round64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

size_t vt_trace_models_size(const struct vt_trace *t, uint32_t needs)
{
	size_t sum = round64(t->head.n_models * sizeof(struct vt_model));
	const char *at = t->models_at;

	for (uint32_t i = 0; i < t->head.n_models; i++) {
		struct vt_model m;

		read_model(&at, t->end, &m);
		sum += vt_plan_size(&m, needs);
	}
	return sum;
}

int vt_trace_models(struct vt_trace *t, uint32_t needs, void *mem, size_t len)
{
	struct vt_model *models = mem;
	const char *at = t->models_at;
	char *plan = (char *)mem + round64(t->head.n_models * sizeof(*models));
	char *end = (char *)mem + len;

	if (len < vt_trace_models_size(t, needs))
		return bad(t, -ENOSPC, "too little memory for the plans");
	for (uint32_t i = 0; i < t->head.n_models; i++) {
		read_model(&at, t->end, &models[i]);
		if (vt_plan_init(&models[i], t->head.policy_cfg.n_cores, needs, plan,
				 (size_t)(end - plan)))
			return bad(t, -EINVAL, "a model's profile is not complete and sane");
		plan += vt_plan_size(&models[i], needs);
	}
	t->models = models;
	return 0;
}

/* Whose they are is looked up by whoever explains a step, too. What else a policy reads of them, it checks itself. */
static bool models_are_there(const struct vt_view *v)
{
	for (uint32_t i = 0; i < v->n_requests; i++)
		if (v->requests[i].model >= v->n_models)
			return false;
	for (uint32_t i = 0; i < v->n_blocks; i++)
		if (v->blocks[i].model >= v->n_models)
			return false;
	return true;
}

/* What the loop indexes with must be in range. */
static bool done_is_sane(const struct vt_trace *t, const struct vt_sample *s)
{
	for (uint32_t i = 0; i < s->n_done; i++) {
		const struct vt_done *k = &s->done[i];
		const struct vt_model *m;

		if (k->model >= t->head.n_models)
			return false;
		m = &t->models[k->model];
		if (k->layer_begin > k->layer_end || k->layer_end > m->n_layers ||
		    k->version_at > s->n_done_versions ||
		    (uint32_t)(k->layer_end - k->layer_begin) > s->n_done_versions - k->version_at)
			return false;
		for (uint32_t l = 0; l < (uint32_t)(k->layer_end - k->layer_begin); l++)
			if (s->done_versions[k->version_at + l] >= m->n_versions)
				return false;
	}
	return true;
}

static bool domains_are_sane(const struct vt_view *v)
{
	if (v->n_domains > VT_MAX_DOMAINS || !v->n_cores || v->n_cores > VT_SCHED_MAX_CORES)
		return false;
	for (uint32_t d = 0; d < v->n_domains; d++)
		if (v->domains[d].first + v->domains[d].n_cores > VT_SCHED_MAX_CORES)
			return false;
	return true;
}

static bool read_step(struct vt_trace *t, const struct vt_trace_step_head *h, const char *at,
		      const char *end, struct vt_trace_step *ret)
{
	struct vt_sample *s = &ret->sample;
	struct vt_decision *d = &ret->decision;
	const struct vt_domain *domains;

	*ret = (struct vt_trace_step){
		.sample.view = {.now_ns = h->now_ns,
				.n_models = t->head.n_models,
				.n_requests = h->n_requests,
				.n_blocks = h->n_blocks,
				.n_domains = h->n_domains,
				.n_cores = h->n_cores,
				.free = h->free,
				.taken = h->taken,
				.taken_ppm = h->taken_ppm,
				.models = t->models,
				.domains = t->domains},
		.sample.n_done = h->n_done,
		.sample.n_done_versions = h->n_done_versions,
		.decision = {.n_actions = h->n_actions,
			     .n_versions = h->n_versions,
			     .wake_ns = h->wake_ns},
	};
	if (h->n_domains > VT_MAX_DOMAINS || (h->n_counts && h->n_counts != h->n_domains))
		return false;
	s->view.requests = take(&at, end, h->n_requests, sizeof(*s->view.requests));
	s->view.blocks = take(&at, end, h->n_blocks, sizeof(*s->view.blocks));
	domains = take(&at, end, h->n_domains, sizeof(*domains));
	s->counts = take(&at, end, h->n_counts, sizeof(*s->counts));
	s->done = take(&at, end, h->n_done, sizeof(*s->done));
	s->done_versions = take(&at, end, h->n_done_versions, 1);
	d->actions = (struct vt_action *)take(&at, end, h->n_actions, sizeof(*d->actions));
	d->versions = (uint8_t *)take(&at, end, h->n_versions, 1);
	if (!s->view.requests || !s->view.blocks || !domains || !s->counts || !s->done ||
	    !s->done_versions || !d->actions || !d->versions || at != end)
		return false;
	if (!h->n_counts)
		s->counts = NULL;
	memcpy(t->domains, domains, h->n_domains * sizeof(*domains));
	return domains_are_sane(&s->view) && models_are_there(&s->view) && done_is_sane(t, s);
}

static bool is_next(const struct vt_trace *t, const char mark[8])
{
	return t->end - t->at >= 8 && !memcmp(t->at, mark, 8);
}

int vt_trace_next(struct vt_trace *t, struct vt_trace_step *ret)
{
	struct vt_trace_step_head h;
	size_t left = (size_t)(t->end - t->at);
	uint64_t sum;

	if (t->ended || !left || is_next(t, vt_trace_magic))
		return 0;
	if (is_next(t, vt_trace_end)) {
		t->at += sizeof(vt_trace_end);
		t->ended = true;
		return 0;
	}
	if (left < sizeof(h))
		return bad(t, -EINVAL, "last step is cut short");
	memcpy(&h, t->at, sizeof(h));
	if (h.len < sizeof(h) + sizeof(sum) || h.len > left || h.len % 8)
		return bad(t, -EINVAL, "last step is cut short");
	memcpy(&sum, t->at + h.len - sizeof(sum), sizeof(sum));
	if (sum != vt_trace_sum(t->at, h.len - sizeof(sum)))
		return bad(t, -EINVAL, "a step does not match its checksum");
	if (!read_step(t, &h, t->at + sizeof(h), t->at + h.len - sizeof(sum), ret))
		return bad(t, -EINVAL, "a step names what is not there");
	t->at += h.len;
	t->steps++;
	return 1;
}

int vt_decision_same(const struct vt_decision *a, const struct vt_decision *b)
{
	return a->n_actions == b->n_actions && a->n_versions == b->n_versions &&
	       a->wake_ns == b->wake_ns &&
	       (!a->n_actions ||
		!memcmp(a->actions, b->actions, a->n_actions * sizeof(*a->actions))) &&
	       (!a->n_versions || !memcmp(a->versions, b->versions, a->n_versions));
}

static int replay_sample(void *self, struct vt_sample *ret)
{
	struct vt_trace_replay *r = self;
	int got = vt_trace_next(r->trace, &r->step);

	if (got <= 0)
		return got ? got : -ENODATA;
	*ret = r->step.sample;
	return 0;
}

static int replay_apply(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	struct vt_trace_replay *r = self;

	if (!vt_decision_same(d, &r->step.decision) && !r->differ++)
		r->first_differ = r->steps;
	r->steps++;
	return 0;
}

const struct vt_plant vt_trace_plant = {
	.sample = replay_sample,
	.apply = replay_apply,
};
