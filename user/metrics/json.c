// SPDX-License-Identifier: Apache-2.0
/* json.c - the same as metrics text, for the page, `veltair top` and scripts. Sums, not rates. */
#include <math.h>
#include <string.h>

#include "metrics/metrics.h"
#include "pressure/pressure.h"

typedef void (*item_fn)(struct vt_expo *x, const struct vt_metrics *m, uint32_t i);

static void list(struct vt_expo *x, const struct vt_metrics *m, const char *name, uint32_t n,
		 item_fn fn)
{
	vt_expo_put(x, ",\n\"%s\":[", name);
	for (uint32_t i = 0; i < n; i++) {
		vt_expo_put(x, i ? ",\n" : "");
		fn(x, m, i);
	}
	vt_expo_put(x, "]");
}

static void text(struct vt_expo *x, const char *name, const char *value)
{
	vt_expo_put(x, "\"%s\":", name);
	if (value)
		vt_expo_json(x, value);
	else
		vt_expo_put(x, "null");
}

static void u64s(struct vt_expo *x, const char *name, const uint64_t *v, uint32_t n)
{
	vt_expo_put(x, ",\"%s\":[", name);
	for (uint32_t i = 0; i < n; i++)
		vt_expo_put(x, "%s%llu", i ? "," : "", (unsigned long long)v[i]);
	vt_expo_put(x, "]");
}

/* ---- serving ------------------------------------------------------------------------------ */

static void model(struct vt_expo *x, const struct vt_metrics *m, uint32_t i)
{
	const struct vt_runtime_model *mo = &m->runtime->model[i];

	vt_expo_put(x, "{\"id\":%u,", mo->id);
	text(x, "name", mo->name);
	vt_expo_put(x, ",");
	text(x, "version", mo->version);
	vt_expo_put(x, ",\"qos_ms\":%.6g,\"waiting\":%u,\"running\":%u,\"profiled\":%s",
		    (double)mo->qos_ns / 1e6, mo->waiting, mo->running,
		    mo->costs_source == VT_COSTS_PROFILE ? "true" : "false");
	vt_expo_put(x, ",\"requests\":%llu,\"in_time\":%llu,\"late\":%llu",
		    (unsigned long long)mo->requests, (unsigned long long)mo->in_time,
		    (unsigned long long)mo->late);
	vt_expo_put(x, ",\"shed\":%llu,\"queue_full\":%llu,\"cancelled\":%llu,\"no_memory\":%llu",
		    (unsigned long long)mo->ended[VT_REFUSED],
		    (unsigned long long)mo->ended[VT_QUEUE_FULL],
		    (unsigned long long)mo->ended[VT_CANCELLED],
		    (unsigned long long)mo->ended[VT_NO_MEMORY]);
	vt_expo_put(x, ",\"latency_sum_s\":%.9f,\"queue_sum_s\":%.9f,\"core_s\":%.9f",
		    (double)mo->latency_sum_ns * 1e-9, (double)mo->queue_sum_ns * 1e-9,
		    (double)mo->core_sum_ns * 1e-9);
	vt_expo_put(x, ",\"blocks\":%llu,\"conflicts\":%llu,\"wanted\":%llu,\"granted\":%llu",
		    (unsigned long long)mo->blocks, (unsigned long long)mo->conflicts,
		    (unsigned long long)mo->wanted_cores, (unsigned long long)mo->granted_cores);
	u64s(x, "latency", mo->latency, VT_RUNTIME_BUCKETS);
	u64s(x, "layer_runs", mo->layer_runs, VT_MAX_VERSIONS);
	vt_expo_put(x, "}");
}

static void domain(struct vt_expo *x, const struct vt_metrics *m, uint32_t i)
{
	const struct vt_runtime_domain *d = &m->runtime->domain[i];

	vt_expo_put(x,
		    "{\"pressure\":%.6f,\"confidence\":%.6f,\"counters\":%s,\"slowdown\":%s,"
		    "\"first\":%u,\"cores\":%u}",
		    d->pressure_ppm * 1e-6, d->confidence_ppm * 1e-6,
		    d->sources & VT_PRESSURE_COUNTERS ? "true" : "false",
		    d->sources & VT_PRESSURE_SLOWDOWN ? "true" : "false", d->first, d->n_cores);
}

static const struct vt_runtime_model *model_of(const struct vt_metrics *m, uint32_t id)
{
	for (uint32_t i = 0; m->runtime && i < m->runtime->n_models; i++)
		if (m->runtime->model[i].id == id)
			return &m->runtime->model[i];
	return NULL;
}

static void which(struct vt_expo *x, const struct vt_runtime_model *mo)
{
	text(x, "model", mo ? mo->name : NULL);
	vt_expo_put(x, ",");
	text(x, "version", mo ? mo->version : NULL);
}

static void core(struct vt_expo *x, const struct vt_metrics *m, uint32_t i)
{
	const struct vt_runtime_core *c = &m->runtime->core[i];

	vt_expo_put(x, "{\"cpu\":%u,\"busy_s\":%.9f,", c->cpu, (double)c->busy_ns * 1e-9);
	if (!m->runtime->avail_err)
		vt_expo_put(x, "\"available\":%.3f,\"taken\":%s,", c->available_ppm * 1e-6,
			    c->taken ? "true" : "false");
	which(x, c->id ? model_of(m, c->model) : NULL);
	if (c->id)
		vt_expo_put(x, ",\"id\":%llu,\"since_ms\":%.3f", (unsigned long long)c->id,
			    (double)(m->runtime->now_ns - c->since_ns) / 1e6);
	vt_expo_put(x, "}");
}

static void decision(struct vt_expo *x, const struct vt_metrics *m, uint32_t i)
{
	const struct vt_reason *r = &m->reasons[i].why;

	vt_expo_put(x, "{\"n\":%llu,\"t\":%.9f,\"kind\":\"%s\",\"id\":%llu,",
		    (unsigned long long)m->reasons[i].n, (double)r->now_ns * 1e-9,
		    vt_reason_action(r->kind), (unsigned long long)r->id);
	which(x, model_of(m, r->model));
	vt_expo_put(x, ",\"layers\":[%u,%u],\"wanted\":%u,\"granted\":%u,\"free\":%u",
		    r->layer_begin, r->layer_end, r->wanted, r->granted, r->free);
	vt_expo_put(x, ",\"slack_ms\":%.3f,\"rest_ms\":%.3f,\"waited_ms\":%.3f",
		    (double)r->slack_ns / 1e6, (double)r->rest_ns / 1e6,
		    (double)r->waited_ns / 1e6);
	vt_expo_put(x, ",\"taken\":%u,\"usable\":%u", r->taken, r->usable);
	vt_expo_put(x, ",\"level\":%u,\"pressure\":%.6f,\"confidence\":%.6f,\"waiting\":%u",
		    r->level, r->pressure_ppm * 1e-6, r->confidence_ppm * 1e-6, r->waiting);
	vt_expo_put(x, ",\"other_versions\":%u,\"source\":\"%s\"}", r->other_versions,
		    vt_reason_source(r->sources));
}

static void runtime(struct vt_expo *x, const struct vt_metrics *m)
{
	const struct vt_runtime_stats *s = m->runtime;

	vt_expo_put(x, ",\n\"policy\":\"%s\",\"uptime_s\":%.3f", s->policy,
		    (double)(s->now_ns - s->start_ns) * 1e-9);
	vt_expo_put(x, ",\"waiting\":%u,\"running\":%u,\"limit\":%u", s->waiting, s->running,
		    s->max_requests);
	vt_expo_put(x, ",\n\"loop\":{\"steps\":%llu,\"starts\":%llu,\"conflicts\":%llu",
		    (unsigned long long)s->loop.steps, (unsigned long long)s->loop.starts,
		    (unsigned long long)s->loop.conflicts);
	vt_expo_put(x, ",\"grows\":%llu,\"shrinks\":%llu,\"preempts\":%llu,\"sheds\":%llu",
		    (unsigned long long)s->loop.grows, (unsigned long long)s->loop.shrinks,
		    (unsigned long long)s->loop.preempts, (unsigned long long)s->loop.sheds);
	vt_expo_put(x, ",\"late_actions\":%llu,\"learned\":%llu,\"decide_s\":%.9f}",
		    (unsigned long long)s->late_actions, (unsigned long long)s->loop.learned,
		    (double)s->decide_ns * 1e-9);
	vt_expo_put(x, ",\n\"bucket_ms\":[");
	for (unsigned int i = 0; i + 1 < VT_RUNTIME_BUCKETS; i++)
		vt_expo_put(x, "%s%.6g", i ? "," : "", (double)vt_runtime_bucket_ns(i) / 1e6);
	vt_expo_put(x, "]");
	list(x, m, "models", s->n_models, model);
	list(x, m, "domains", s->n_domains, domain);
	list(x, m, "cores", s->n_cores, core);
	list(x, m, "decisions", (uint32_t)m->n_reasons, decision);
}

/* ---- counters ----------------------------------------------------------------------------- */

static void counter(struct vt_expo *x, const struct vt_metrics *m, uint32_t role)
{
	int slot = m->monitor ? vt_monitor_slot_of(m->monitor, (enum vt_role)role) : -1;
	const struct vt_slot *s =
		slot >= 0 ? vt_monitor_slot(m->monitor, (unsigned int)slot) : NULL;
	const char *why =
		m->monitor ? vt_monitor_absent(m->monitor, (enum vt_role)role) : m->monitor_absent;

	vt_expo_put(x, "{\"role\":\"%s\",", vt_role_name((enum vt_role)role));
	text(x, "event", s ? s->event : NULL);
	vt_expo_put(x, ",");
	text(x, "class", s ? s->cls : NULL);
	vt_expo_put(x, ",");
	text(x, "quality", s ? s->quality : NULL);
	vt_expo_put(x, ",");
	text(x, "absent", s ? NULL : why ? why : "not asked for");
	vt_expo_put(x, "}");
}

static void tenant(struct vt_expo *x, const struct vt_metrics *m, uint32_t i)
{
	const struct vt_tenant_series *t = &m->tenants->series[i];

	vt_expo_put(x, "{");
	text(x, "name", t->name);
	vt_expo_put(x, ",\"kind\":\"%s\",\"cpu_s\":%.9f", t->kind, (double)t->total.run_ns * 1e-9);
	for (int r = 0; r < VT_ROLE_COUNT; r++) {
		int slot = vt_monitor_slot_of(m->monitor, (enum vt_role)r);
		double v = slot < 0 ? NAN : vt_tenant_count(t, (unsigned int)slot);

		vt_expo_put(x, ",\"%s\":", vt_role_name((enum vt_role)r));
		if (isnan(v))
			vt_expo_put(x, "null");
		else
			vt_expo_put(x, "%.0f", v);
	}
	vt_expo_put(x, "}");
}

static void losses(struct vt_expo *x, const struct vt_losses *l)
{
	vt_expo_put(x, ",\n\"losses\":{\"switches\":%llu,\"chain_miss\":%llu,\"read_errors\":%llu",
		    (unsigned long long)l->switches, (unsigned long long)l->chain_miss,
		    (unsigned long long)l->read_errors);
	vt_expo_put(x, ",\"backwards\":%llu,\"rows_full\":%llu,\"ring_full\":%llu}",
		    (unsigned long long)l->backwards, (unsigned long long)l->rows_full,
		    (unsigned long long)l->ring_full);
}

void vt_metrics_json(struct vt_expo *x, const struct vt_metrics *m)
{
	vt_expo_put(x, "{\"veltair\":\"" VT_VERSION "\",\"started_s\":%.9f,\"now_s\":%.9f",
		    (double)m->started_mono_ns * 1e-9, (double)m->now_mono_ns * 1e-9);
	if (m->rss_bytes)
		vt_expo_put(x, ",\"rss_bytes\":%llu,\"cpu_s\":%.6f",
			    (unsigned long long)m->rss_bytes, (double)m->cpu_ns * 1e-9);
	if (m->runtime)
		runtime(x, m);
	vt_expo_put(x, ",\n");
	text(x, "monitor_absent", m->monitor ? NULL : m->monitor_absent);
	vt_expo_put(x, ",\"line_bytes\":%u", m->line_bytes);
	list(x, m, "counters", VT_ROLE_COUNT, counter);
	if (m->monitor && m->tenants)
		list(x, m, "tenants", m->tenants->n, tenant);
	if (m->losses)
		losses(x, m->losses);
	vt_expo_put(x, "}\n");
}
