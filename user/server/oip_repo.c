// SPDX-License-Identifier: Apache-2.0
/* oip_repo.c - the model repository and statistics extensions. */
#include <stdlib.h>
#include <string.h>

#include "server/oip.h"

/* ---- index -------------------------------------------------------------------------------------- */

struct index {
	json_t *list;
	bool ready_only;
};

static bool add_entry(void *arg, const struct vt_model_entry *e)
{
	static const char *const states[] = {
		[VT_MODEL_UNLOADED] = "UNAVAILABLE", [VT_MODEL_FAILED] = "UNAVAILABLE",
		[VT_MODEL_LOADING] = "LOADING",	     [VT_MODEL_READY] = "READY",
		[VT_MODEL_UNLOADING] = "UNLOADING",
	};
	struct index *x = arg;

	if (!x->ready_only || e->now)
		json_array_append_new(x->list,
				      json_pack("{s:s s:s s:s s:s}", "name", e->config.name,
						"version", e->config.version, "state",
						states[e->state], "reason", e->why));
	return true;
}

static int read_ready(struct vt_json *j, bool *ready)
{
	struct vt_json_str key;
	int more;

	if (vt_json_object(j))
		return j->err;
	while ((more = vt_json_key(j, &key)) > 0)
		if (vt_json_is(&key, "ready") ? vt_json_bool(j, ready) : vt_json_skip(j))
			return j->err;
	return more ? more : vt_json_end(j);
}

int oip_index_parse(bool *ready_only, const void *json, size_t len, struct vt_err *e)
{
	struct vt_json j;

	*ready_only = false;
	vt_json_init(&j, json, len, e);
	return len ? read_ready(&j, ready_only) : 0;
}

/* False after an error. */
static bool read_index_body(struct vt_http_req *r, bool *ready_only)
{
	struct vt_err e = {0};

	if (!oip_index_parse(ready_only, r->body, r->body_len, &e))
		return true;
	vt_http_fail(r, 400, "a JSON object was expected: %s", e.msg);
	return false;
}

void oip_index(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	struct index x;

	if (!read_index_body(r, &x.ready_only))
		return;
	x.list = json_array();
	vt_models_each(o->models, add_entry, &x);
	vt_http_json(r, 200, x.list);
}

/* ---- load, unload ------------------------------------------------------------------------------- */

struct change {
	struct vt_http_req *r;
	struct vt_oip *o;
	int (*fn)(struct vt_models *m, const char *name, struct vt_err *e);
};

/* On the loader's thread. */
static void make_change(void *arg)
{
	struct change *c = arg;
	struct vt_http_req *r = c->r;
	struct vt_err e = {0};
	int err = c->fn(c->o->models, r->match.arg[0], &e);

	if (!err)
		vt_http_json(r, 200, json_object());
	else if (err == -ECANCELED)
		vt_http_retry(r, 1, "the server is stopping");
	else
		vt_http_fail(r,
			     err == -ENOENT && strstr(e.msg, "is configured") ? 404
			     : err == -ENOMEM || err == -ENOSPC		      ? 507
									      : 400,
			     "%s", e.msg);
	if (err)
		vt_log(c->o->log, VT_LOG_WARN, "%s", e.msg);
	vt_http_release(r);
	free(c);
}

/* What is asked for beside the plain thing: @ret is the first that there is not, or "". */
static int read_wishes(struct vt_json *j, const char *allowed, char *ret, size_t len)
{
	struct vt_json_str key;
	int more;

	if (vt_json_object(j))
		return j->err;
	while ((more = vt_json_key(j, &key)) > 0) {
		if (!*ret && !vt_json_is(&key, allowed))
			vt_json_text(&key, ret, len);
		if (vt_json_skip(j))
			return j->err;
	}
	return more;
}

static int read_change(struct vt_json *j, const char *allowed, char *ret, size_t len)
{
	struct vt_json_str key;
	int more;

	if (vt_json_object(j))
		return j->err;
	while ((more = vt_json_key(j, &key)) > 0)
		if (vt_json_is(&key, "parameters") ? read_wishes(j, allowed, ret, len)
						   : vt_json_skip(j))
			return j->err;
	return more ? more : vt_json_end(j);
}

int oip_change_parse(char wish[OIP_WISH], const char *allowed, const void *json, size_t len,
		     struct vt_err *e)
{
	struct vt_json j;

	*wish = '\0';
	vt_json_init(&j, json, len, e);
	return len ? read_change(&j, allowed, wish, OIP_WISH) : 0;
}

/* False after an error. */
static bool plain_change(struct vt_http_req *r, const char *allowed)
{
	char wish[OIP_WISH];
	struct vt_err e = {0};

	if (oip_change_parse(wish, allowed, r->body, r->body_len, &e))
		vt_http_fail(r, 400, "a JSON object was expected: %s", e.msg);
	else if (*wish)
		vt_http_fail(r, 501,
			     "parameter '%s' is not supported: models are what the configuration "
			     "says",
			     wish);
	else
		return true;
	return false;
}

static void post_change(struct vt_http_req *r, struct vt_oip *o, const char *allowed,
			int (*fn)(struct vt_models *m, const char *name, struct vt_err *e))
{
	struct change *c;

	if (!plain_change(r, allowed))
		return;
	if (o->stopping) {
		vt_http_retry(r, 1, "the server is stopping");
		return;
	}
	c = malloc(sizeof(*c));
	if (!c) {
		vt_http_retry(r, 1, "no memory");
		return;
	}
	*c = (struct change){r, o, fn};
	vt_http_hold(r);
	if (vt_loader_post(o->loader, make_change, c))
		return;
	free(c);
	vt_http_retry(r, 1, "the server is stopping");
	vt_http_release(r);
}

void oip_load(struct vt_http_req *r, void *arg)
{
	post_change(r, arg, "", vt_models_load);
}

void oip_unload(struct vt_http_req *r, void *arg)
{
	/* No model depends on another. */
	post_change(r, arg, "unload_dependents", vt_models_unload);
}

/* ---- statistics --------------------------------------------------------------------------------- */

/** What the runtime does not know of a model. */
struct seen {
	uint32_t id;
	uint64_t last_ms;
};

static bool look(void *arg, const struct vt_model_entry *e)
{
	struct seen *s = arg;

	if (!e->now || e->now->id != s->id)
		return true;
	s->last_ms = e->now->last_ms;
	return false;
}

static json_t *duration(uint64_t count, uint64_t ns)
{
	return json_pack("{s:I s:I}", "count", (json_int_t)count, "ns", (json_int_t)ns);
}

static json_t *model_stats(const struct vt_runtime_model *m, const struct seen *seen)
{
	uint64_t ok = m->ended[VT_DONE], fail = 0;
	uint64_t busy =
		m->latency_sum_ns > m->queue_sum_ns ? m->latency_sum_ns - m->queue_sum_ns : 0;

	for (int i = 0; i < VT_OUTCOMES; i++)
		fail += i == VT_DONE ? 0 : m->ended[i];
	return json_pack("{s:s s:s s:I s:I s:I s:{s:o s:o s:o s:o s:o s:o s:o} s:[]}", "name",
			 m->name, "version", m->version, "last_inference",
			 (json_int_t)seen->last_ms, "inference_count", (json_int_t)ok,
			 "execution_count", (json_int_t)ok, "inference_stats", "success",
			 duration(ok, m->latency_sum_ns), "fail", duration(fail, 0), "queue",
			 duration(ok, m->queue_sum_ns), "compute_input", duration(ok, 0),
			 "compute_infer", duration(ok, busy), "compute_output", duration(ok, 0),
			 "cache_hit", duration(0, 0), "batch_stats");
}

void oip_stats(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	const char *name = r->match.arg[0], *version = r->match.arg[1];
	struct vt_runtime_stats *s;
	json_t *list;

	if (*name) {
		struct vt_loaded *l = oip_model(o, r);

		if (!l)
			return;
		vt_models_put(l);
	}
	s = malloc(sizeof(*s));
	if (!s) {
		vt_http_retry(r, 1, "no memory");
		return;
	}
	vt_runtime_stats(o->runtime, s);
	list = json_array();
	for (uint32_t i = 0; i < s->n_models; i++) {
		const struct vt_runtime_model *m = &s->model[i];
		struct seen seen = {.id = m->id};

		if ((*name && strcmp(m->name, name)) || (*version && strcmp(m->version, version)))
			continue;
		vt_models_each(o->models, look, &seen);
		json_array_append_new(list, model_stats(m, &seen));
	}
	free(s);
	vt_http_json(r, 200, json_pack("{s:o}", "model_stats", list));
}
