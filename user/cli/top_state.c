// SPDX-License-Identifier: Apache-2.0
/* top_state.c - two states to rates. A state comes from outside: anything may be missing in it. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/top.h"

#define BUCKETS 64

static double num(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_number(v) ? json_number_value(v) : NAN;
}

static long whole(const json_t *o, const char *key)
{
	double v = num(o, key);

	return v >= 0 && v < 1e12 ? (long)v : 0;
}

static void text(const json_t *o, const char *key, char *ret, size_t len)
{
	const char *s = json_string_value(json_object_get(o, key));

	snprintf(ret, len, "%s", s ? s : "");
}

/* As it is shown; @key has the name. A first version goes without saying. */
static void model_name(const json_t *o, const char *key, char ret[static VT_TOP_NAME])
{
	char version[16];

	text(o, key, ret, VT_TOP_NAME - 20);
	text(o, "version", version, sizeof(version));
	if (version[0] && strcmp(version, "1") != 0)
		snprintf(ret + strlen(ret), 20, ":%s", version);
}

/* Element of @list with the same two keys, strings or numbers, as @like. */
static const json_t *same(const json_t *list, const json_t *like, const char *key, const char *key2)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		if (json_equal(json_object_get(v, key), json_object_get(like, key)) &&
		    json_equal(json_object_get(v, key2), json_object_get(like, key2)))
			return v;
	}
	return NULL;
}

/* How much a sum has grown; all of it if it is new. */
static double grown(const json_t *old, const json_t *now, const char *key)
{
	double a = old ? num(old, key) : 0, b = num(now, key);

	return b >= a ? b - a : isnan(b) ? NAN : 0;
}

/* ---- models ------------------------------------------------------------------------------- */

struct latencies {
	double bound_ms[BUCKETS], count[BUCKETS], all;
	size_t n;
};

static void latencies(const json_t *bounds, const json_t *old, const json_t *now,
		      struct latencies *ret)
{
	const json_t *a = json_object_get(old, "latency"), *b = json_object_get(now, "latency");

	*ret = (struct latencies){.n = json_array_size(b)};
	if (ret->n > BUCKETS)
		ret->n = BUCKETS;
	for (size_t i = 0; i < ret->n; i++) {
		ret->bound_ms[i] = json_number_value(json_array_get(bounds, i));
		ret->count[i] = json_number_value(json_array_get(b, i)) -
				json_number_value(json_array_get(a, i));
		ret->all += ret->count[i];
	}
}

static double quantile(const struct latencies *l, double q)
{
	double left = q * l->all;

	for (size_t i = 0; i < l->n; i++) {
		double from = i ? l->bound_ms[i - 1] : 0;
		double to = i + 1 < l->n ? l->bound_ms[i] : from * 1.5;

		if (l->count[i] > 0 && left <= l->count[i])
			return from + (to - from) * left / l->count[i];
		left -= l->count[i];
	}
	return NAN;
}

static double other_versions(const json_t *old, const json_t *now)
{
	const json_t *a = json_object_get(old, "layer_runs"),
		     *b = json_object_get(now, "layer_runs");
	double first = 0, all = 0;

	for (size_t i = 0; i < json_array_size(b); i++) {
		double d = json_number_value(json_array_get(b, i)) -
			   json_number_value(json_array_get(a, i));

		all += d;
		if (!i)
			first = d;
	}
	return all > 0 ? 1 - first / all : NAN;
}

/* A server from before this was counted does not tell it. */
static double no_memory(const json_t *old, const json_t *now)
{
	return json_object_get(now, "no_memory") ? grown(old, now, "no_memory") : 0;
}

/*
 * Not by id: what replaces a model has its name and version, and goes on with its counts. What was unloaded and
 * loaded counts from zero.
 */
static const json_t *model_before(const json_t *old, const json_t *now)
{
	const json_t *o = same(json_object_get(old, "models"), now, "name", "version");

	return o && num(o, "requests") > num(now, "requests") ? NULL : o;
}

static void one_model(const json_t *bounds, const json_t *old, const json_t *now, struct vt_top *t,
		      double *ok, double *done)
{
	struct vt_top_model *m = &t->model[t->n_models++];
	double in_time = grown(old, now, "in_time"), late = grown(old, now, "late");
	double refused =
		grown(old, now, "shed") + grown(old, now, "queue_full") + no_memory(old, now);
	double blocks = grown(old, now, "blocks");
	struct latencies l;

	model_name(now, "name", m->name);
	latencies(bounds, old, now, &l);
	m->qos_ms = num(now, "qos_ms");
	m->waiting = whole(now, "waiting");
	m->rate = (in_time + late) / t->dt_s;
	m->refused = refused / t->dt_s;
	m->in_time = in_time + late + refused > 0 ? in_time / (in_time + late + refused) : NAN;
	m->p50_ms = quantile(&l, 0.5);
	m->p95_ms = quantile(&l, 0.95);
	m->p99_ms = quantile(&l, 0.99);
	m->conflicts = blocks > 0 ? grown(old, now, "conflicts") / blocks : NAN;
	m->granted = blocks > 0 ? grown(old, now, "granted") / blocks : NAN;
	m->wanted = blocks > 0 ? grown(old, now, "wanted") / blocks : NAN;
	m->other_versions = other_versions(old, now);
	*ok += in_time;
	*done += in_time + late + refused;
	t->rate += m->rate;
	t->refused += m->refused;
}

/* ---- the machine -------------------------------------------------------------------------- */

/* A proxy is another quantity, whatever counts it. */
static bool by_hardware(const json_t *counter)
{
	const char *cls = json_string_value(json_object_get(counter, "class"));
	const char *quality = json_string_value(json_object_get(counter, "quality"));

	return cls && !strcmp(cls, "hw") && (!quality || strcmp(quality, "proxy") != 0);
}

static void counters(const json_t *now, struct vt_top *t)
{
	const json_t *v;
	size_t i;

	text(now, "monitor_absent", t->monitor_absent, sizeof(t->monitor_absent));
	json_array_foreach(json_object_get(now, "counters"), i, v)
	{
		const char *role = json_string_value(json_object_get(v, "role"));

		if (!role || strcmp(role, "llc_misses") != 0)
			continue;
		t->llc_hw = by_hardware(v);
		text(v, "absent", t->llc_absent, sizeof(t->llc_absent));
		text(v, "event", t->llc_event, sizeof(t->llc_event));
	}
}

static bool counted(const json_t *now, const char *role)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(now, "counters"), i, v)
	{
		const char *r = json_string_value(json_object_get(v, "role"));

		if (r && !strcmp(r, role))
			return by_hardware(v);
	}
	return false;
}

static void tenants(const json_t *old, const json_t *now, struct vt_top *t)
{
	const json_t *v, *before = json_object_get(old, "tenants");
	bool ipc = counted(now, "cycles") && counted(now, "instructions");
	bool dram = counted(now, "dram_fills");
	size_t i;

	json_array_foreach(json_object_get(now, "tenants"), i, v)
	{
		const json_t *o = same(before, v, "name", "kind");
		struct vt_top_tenant *n = &t->tenant[t->n_tenants];
		double misses;

		/* What came between two looks has no rate yet. */
		if (t->n_tenants == VT_TOP_TENANTS || !o)
			continue;
		t->n_tenants++;
		text(v, "name", n->name, sizeof(n->name));
		text(v, "kind", n->kind, sizeof(n->kind));
		n->cpus = grown(o, v, "cpu_s") / t->dt_s;
		misses = grown(o, v, "llc_misses") / t->dt_s;
		n->ipc = ipc ? grown(o, v, "instructions") / grown(o, v, "cycles") : NAN;
		n->llc_misses = t->llc_hw ? misses : NAN;
		n->stand_in = t->llc_hw ? NAN : misses;
		n->dram_bytes =
			dram ? grown(o, v, "dram_fills") / t->dt_s * num(now, "line_bytes") : NAN;
	}
}

static void cores(const json_t *old, const json_t *now, struct vt_top *t)
{
	const json_t *v, *before = json_object_get(old, "cores");
	size_t i;

	json_array_foreach(json_object_get(now, "cores"), i, v)
	{
		struct vt_top_core *c = &t->core[t->n_cores];

		if (t->n_cores == VT_TOP_CORES)
			break;
		t->n_cores++;
		c->cpu = (int)whole(v, "cpu");
		model_name(v, "model", c->model);
		c->busy = grown(json_array_get(before, i), v, "busy_s") / t->dt_s;
		if (json_is_true(json_object_get(v, "taken")))
			c->taken = 1 - num(v, "available");
	}
}

static void domains(const json_t *now, struct vt_top *t)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(now, "domains"), i, v)
	{
		struct vt_top_domain *d = &t->domain[t->n_domains];

		if (t->n_domains == VT_TOP_DOMAINS)
			break;
		t->n_domains++;
		d->pressure = num(v, "pressure");
		d->confidence = num(v, "confidence");
		d->counters = json_is_true(json_object_get(v, "counters"));
		d->slowdown = json_is_true(json_object_get(v, "slowdown"));
	}
}

/* A server that was started anew counts from zero. */
static bool same_start(const json_t *old, const json_t *now)
{
	double a = num(old, "started_s"), b = num(now, "started_s");

	return isnan(a) ? isnan(b) : a - b == 0;
}

int vt_top_rates(const json_t *old, const json_t *now, double dt_s, struct vt_top *ret)
{
	const json_t *models = json_object_get(now, "models"), *v;
	double ok = 0, done = 0;
	size_t i;

	if (!json_object_get(now, "veltair") || !(dt_s > 0))
		return -EINVAL;
	if (!same_start(old, now))
		old = NULL;
	memset(ret, 0, sizeof(*ret));
	ret->dt_s = dt_s;
	ret->serving = json_is_array(models);
	text(now, "policy", ret->policy, sizeof(ret->policy));
	ret->uptime_s = num(now, "uptime_s");
	ret->waiting = whole(now, "waiting");
	ret->limit = whole(now, "limit");
	json_array_foreach(models, i, v)
	{
		if (ret->n_models < VT_TOP_MODELS)
			one_model(json_object_get(now, "bucket_ms"), model_before(old, v), v, ret,
				  &ok, &done);
	}
	ret->in_time = done > 0 ? ok / done : NAN;
	counters(now, ret);
	tenants(old, now, ret);
	cores(old, now, ret);
	domains(now, ret);
	return 0;
}
