// SPDX-License-Identifier: Apache-2.0
/* Recording. The layout is the structs' own, so a change of any of them changes the version. */
#include "loop/trace.h"

#include <string.h>

#include "loop/trace_int.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "traces are little-endian");
_Static_assert(sizeof(struct vt_request) == 64 && sizeof(struct vt_block) == 104 &&
		       sizeof(struct vt_domain) == 12 && sizeof(struct vt_domain_counts) == 32 &&
		       sizeof(struct vt_done) == 72 && sizeof(struct vt_action) == 72,
	       "a layout in the trace changed: raise VT_TRACE_VERSION");
_Static_assert(sizeof(struct vt_trace_head) == 96 && sizeof(struct vt_trace_model) == 56 &&
		       sizeof(struct vt_trace_step_head) == 128,
	       "trace heads are packed");

const char vt_trace_magic[8] = {'V', 'T', 'T', 'R', 'A', 'C', 'E', '\n'};
const char vt_trace_end[8] = {'V', 'T', 'T', 'R', 'E', 'N', 'D', '\n'};

/* FNV-1a over words: every part is padded to 8 bytes. */
uint64_t vt_trace_sum(const void *buf, size_t len)
{
	const char *p = buf;
	uint64_t h = 0xcbf29ce484222325ull;

	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t w;

		memcpy(&w, p + i, 8);
		h = (h ^ w) * 0x100000001b3ull;
		h ^= h >> 29;
	}
	return h;
}

/* Writes only while it fits; counts always. */
struct out {
	char *buf;
	size_t used, cap;
};

static void put(struct out *o, const void *data, size_t len)
{
	size_t padded = vt_trace_pad(len);

	if (o->used + padded <= o->cap && len) {
		memcpy(o->buf + o->used, data, len);
		memset(o->buf + o->used + len, 0, padded - len);
	}
	o->used += padded;
}

size_t vt_trace_put_head(void *buf, size_t len, const struct vt_loop_cfg *cfg,
			 const struct vt_model *models, uint32_t n_models)
{
	struct out o = {.buf = buf, .used = sizeof(struct vt_trace_head), .cap = len};
	struct vt_trace_head h = {
		.version = VT_TRACE_VERSION,
		.n_models = n_models,
		.policy_cfg = cfg->policy_cfg,
		.n_domains = cfg->n_domains,
		.max_layers = cfg->max_layers,
		.fresh_ns = cfg->fresh_ns,
	};

	memcpy(h.magic, vt_trace_magic, sizeof(h.magic));
	memcpy(h.policy, cfg->policy->name, strlen(cfg->policy->name));
	for (uint32_t i = 0; i < n_models; i++) {
		const struct vt_model *m = &models[i];
		struct vt_trace_model tm = {
			.qos_ns = m->qos_ns,
			.n_layers = m->n_layers,
			.n_points = m->n_points,
			.n_versions = m->n_versions,
			.open_ns = m->open_ns,
			.open_core_ns = m->open_core_ns,
		};

		memcpy(tm.name, m->name, sizeof(tm.name));
		put(&o, &tm, sizeof(tm));
		put(&o, m->points, m->n_points * sizeof(*m->points));
		put(&o, m->ns, vt_trace_model_times(&tm) * sizeof(*m->ns));
	}
	h.len = o.used;
	if (o.used <= len)
		memcpy(buf, &h, sizeof(h));
	return o.used;
}

size_t vt_trace_put_step(void *buf, size_t len, const struct vt_sample *s,
			 const struct vt_decision *d)
{
	struct out o = {.buf = buf, .used = sizeof(struct vt_trace_step_head), .cap = len};
	const struct vt_view *v = &s->view;
	uint64_t sum;
	struct vt_trace_step_head h = {
		.now_ns = v->now_ns,
		.wake_ns = d->wake_ns,
		.free = v->free,
		.taken = v->taken,
		.taken_ppm = v->taken_ppm,
		.n_requests = v->n_requests,
		.n_blocks = v->n_blocks,
		.n_domains = v->n_domains,
		.n_cores = v->n_cores,
		.n_counts = s->counts ? v->n_domains : 0,
		.n_done = s->n_done,
		.n_done_versions = s->done_versions ? s->n_done_versions : 0,
		.n_actions = d->n_actions,
		.n_versions = d->n_versions,
	};

	put(&o, v->requests, v->n_requests * sizeof(*v->requests));
	put(&o, v->blocks, v->n_blocks * sizeof(*v->blocks));
	put(&o, v->domains, v->n_domains * sizeof(*v->domains));
	put(&o, s->counts, h.n_counts * sizeof(*s->counts));
	put(&o, s->done, s->n_done * sizeof(*s->done));
	put(&o, s->done_versions, h.n_done_versions);
	put(&o, d->actions, d->n_actions * sizeof(*d->actions));
	put(&o, d->versions, d->n_versions);
	h.len = o.used + sizeof(sum);
	if (h.len <= len) {
		memcpy(buf, &h, sizeof(h));
		sum = vt_trace_sum(buf, o.used);
		memcpy(o.buf + o.used, &sum, sizeof(sum));
	}
	return h.len;
}
