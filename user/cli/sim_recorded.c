// SPDX-License-Identifier: Apache-2.0
#include "cli/sim_recorded.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/replay.h"
#include "cli/sim_cli.h"
#include "cli/sim_profiles.h"

/* ---- reading ------------------------------------------------------------------------------ */

/** Ids met so far. A request waits in many steps, live not quite in the order of ids. */
struct ids {
	uint64_t *at; /* [cap], a power of two; id + 1, 0: free */
	size_t n, cap;
};

struct gather {
	struct sim_recorded *to;
	struct ids seen;
	size_t cap;
	uint64_t now_ns;
	uint32_t *model_of; /* by index in the trace under way */
	uint32_t n_models;
	struct vt_err err;
};

static size_t slot_of(const struct ids *s, uint64_t id)
{
	size_t i = (size_t)((id * 0x9e3779b97f4a7c15ull) >> 32) & (s->cap - 1);

	while (s->at[i] && s->at[i] != id + 1)
		i = (i + 1) & (s->cap - 1);
	return i;
}

static int more_ids(struct ids *s)
{
	struct ids x = {.n = s->n, .cap = s->cap ? 2 * s->cap : 4096};

	x.at = calloc(x.cap, sizeof(*x.at));
	if (!x.at)
		return -ENOMEM;
	for (size_t i = 0; i < s->cap; i++)
		if (s->at[i])
			x.at[slot_of(&x, s->at[i] - 1)] = s->at[i];
	free(s->at);
	*s = x;
	return 0;
}

/* 1: it is new, 0: it was there, or -ENOMEM */
static int first_met(struct ids *s, uint64_t id)
{
	size_t i;

	if (2 * s->n >= s->cap && more_ids(s))
		return -ENOMEM;
	i = slot_of(s, id);
	if (s->at[i])
		return 0;
	s->at[i] = id + 1;
	s->n++;
	return 1;
}

static int note_model(struct sim_recorded *r, const struct vt_model *m)
{
	struct sim_recorded_model *at;
	uint32_t i = 0;

	while (i < r->n_models && strcmp(r->models[i].name, m->name) != 0)
		i++;
	if (i == r->n_models) {
		at = realloc(r->models, (r->n_models + 1) * sizeof(*at));
		if (!at)
			return -ENOMEM;
		r->models = at;
		r->models[r->n_models++] = (struct sim_recorded_model){.requests = 0};
		memcpy(at[i].name, m->name, sizeof(at[i].name));
	}
	r->models[i].qos_ns = m->qos_ns;
	return (int)i;
}

/* Another trace of the file: what its models are called. */
static int note_models(struct gather *g, const struct vt_model *models, uint32_t n)
{
	free(g->model_of);
	g->model_of = calloc(n ? n : 1, sizeof(*g->model_of));
	g->n_models = g->model_of ? n : 0;
	for (uint32_t i = 0; i < g->n_models; i++) {
		int at = note_model(g->to, &models[i]);

		if (at < 0)
			return at;
		g->model_of[i] = (uint32_t)at;
	}
	return g->model_of ? 0 : -ENOMEM;
}

static int note_request(struct gather *g, const struct vt_request *q)
{
	struct sim_recorded *r = g->to;
	int is_new = first_met(&g->seen, q->id);

	if (is_new <= 0)
		return is_new;
	if (r->n == g->cap) {
		size_t more = g->cap ? 2 * g->cap : 1024;
		struct sim_recorded_request *at = realloc(r->at, more * sizeof(*at));

		if (!at)
			return -ENOMEM;
		r->at = at;
		g->cap = more;
	}
	r->at[r->n++] = (struct sim_recorded_request){
		.id = q->id,
		.at_ns = q->arrival_ns,
		.qos_ns = q->deadline_ns > q->arrival_ns ? q->deadline_ns - q->arrival_ns : 1,
		.model = g->model_of[q->model],
		.priority = q->priority ? q->priority : 1,
	};
	r->models[g->model_of[q->model]].requests++;
	return 0;
}

static void on_begin(void *arg, const struct vt_model *models, uint32_t n)
{
	struct gather *g = arg;

	if (!g->err.code && note_models(g, models, n))
		vt_fail(&g->err, -ENOMEM, "out of memory");
}

static void on_step(void *arg, const struct vt_sample *s, const struct vt_decision *d,
		    const struct vt_model *models, bool learned)
{
	struct gather *g = arg;
	const struct vt_view *v = &s->view;
	const char *path = g->to->path;

	if (g->err.code)
		return;
	if (v->now_ns < g->now_ns)
		vt_fail(&g->err, -EBADMSG,
			"%s: its time goes back, so it holds recordings of two runs: give one of "
			"them",
			path);
	g->now_ns = v->now_ns;
	for (uint32_t i = 0; i < v->n_requests && !g->err.code; i++) {
		if (v->requests[i].model >= g->n_models)
			vt_fail(&g->err, -EBADMSG, "%s: a request names a model that is not there",
				path);
		else if (note_request(g, &v->requests[i]))
			vt_fail(&g->err, -ENOMEM, "out of memory");
	}
}

static int by_time(const void *a, const void *b)
{
	const struct sim_recorded_request *x = a, *y = b;

	if (x->at_ns != y->at_ns)
		return x->at_ns < y->at_ns ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

/*
 * The clock of a live run began when its machine did. Whole seconds are taken off: a simulated run of the same
 * requests then is what it was to the bit, as the first came within one.
 */
static int order(struct sim_recorded *r, struct vt_err *e)
{
	const uint64_t most_ns = (uint64_t)VT_ARRIVALS_MAX_S * VT_NS_PER_S;
	uint64_t from_ns;

	if (!r->n)
		return vt_fail(e, -EBADMSG, "%s: no requests in it", r->path);
	qsort(r->at, r->n, sizeof(*r->at), by_time);
	from_ns = r->at[0].at_ns / VT_NS_PER_S * VT_NS_PER_S;
	for (size_t i = 0; i < r->n; i++) {
		struct sim_recorded_request *q = &r->at[i];

		q->at_ns -= from_ns;
		if (q->at_ns > most_ns)
			return vt_fail(e, -EBADMSG, "%s: its requests span more than 1e9 seconds",
				       r->path);
		q->qos_ns = q->qos_ns < most_ns ? q->qos_ns : most_ns;
	}
	return 0;
}

bool sim_is_recording(const char *path)
{
	char mark[7] = "";
	struct stat st;
	bool is;
	int fd;

	/* What is read from a pipe here is lost to who reads it as text. */
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	is = fd >= 0 && read(fd, mark, sizeof(mark)) == sizeof(mark) &&
	     !memcmp(mark, "VTTRACE", sizeof(mark));
	if (fd >= 0)
		close(fd);
	return is;
}

int sim_recorded_read(const char *path, struct sim_recorded *ret, struct vt_err *e)
{
	struct gather g = {.to = ret};
	const struct vt_replay_user u = {
		.begin = on_begin, .step = on_step, .arg = &g, .only_read = true};
	struct vt_replay_sum sum;
	int rc;

	*ret = (struct sim_recorded){.path = path};
	rc = vt_replay_file(path, &u, &sum, &ret->cut);
	free(g.seen.at);
	free(g.model_of);
	memcpy(ret->policy, sum.policy, sizeof(ret->policy));
	if (g.err.code)
		return vt_fail(e, g.err.code, "%s", g.err.msg);
	if (rc && !ret->n)
		return vt_fail(e, rc, "%s", ret->cut.msg);
	return order(ret, e);
}

void sim_recorded_fini(struct sim_recorded *r)
{
	free(r->models);
	free(r->at);
}

/* ---- as a mix and its arrivals ------------------------------------------------------------ */

int sim_recorded_mix(const struct sim_recorded *r, struct vt_mix *ret, struct vt_err *e)
{
	const char *base = strrchr(r->path, '/');
	struct vt_mix m = {.at = calloc(r->n_models, sizeof(*m.at))};

	if (!m.at)
		return vt_fail(e, -ENOMEM, "out of memory");
	snprintf(m.name, sizeof(m.name), "%s", base ? base + 1 : r->path);
	for (uint32_t i = 0; i < r->n_models; i++) {
		struct vt_mix_entry *x = &m.at[m.n];

		if (!r->models[i].requests)
			continue;
		*x = (struct vt_mix_entry){.weight = (double)r->models[i].requests, .priority = 1};
		memcpy(x->model, r->models[i].name, sizeof(x->model));
		memcpy(x->name, r->models[i].name, sizeof(x->name));
		m.n++;
	}
	*ret = m;
	return 0;
}

/* The line of @mix for the model called @name: as it is written, else one that is alike; mix->n: none. */
static uint32_t line_of(const struct vt_mix *mix, const char *name)
{
	uint32_t i = 0;

	while (i < mix->n && strcmp(mix->at[i].name, name) != 0)
		i++;
	if (i < mix->n)
		return i;
	for (i = 0; i < mix->n && !sim_names_alike(mix->at[i].name, name);)
		i++;
	return i;
}

static int lacks(const struct sim_recorded *r, const struct vt_mix *mix, const uint32_t *line,
		 struct vt_err *e)
{
	struct sim_list l = {.first = NULL};

	for (uint32_t i = 0; i < r->n_models; i++)
		if (r->models[i].requests && line[i] == mix->n)
			sim_list_add(&l, r->models[i].name);
	if (!l.first)
		return 0;
	return vt_fail(e, -EINVAL,
		       "%.120s: mix %s lacks models that it has requests of: %.120s; a line "
		       "'%s,-,1' of a mix file adds one, or 'MODEL=%s,-,1' with the times of a "
		       "MODEL",
		       r->path, mix->name, l.text, l.first, l.first);
}

/* Whose request is whose of two lines is not in a recording. */
static int check_lines(const struct sim_recorded *r, const struct vt_mix *mix, const uint32_t *line,
		       struct vt_err *e)
{
	for (uint32_t i = 0; i < r->n_models; i++)
		for (uint32_t k = 0; r->models[i].requests && k < mix->n; k++)
			if (k != line[i] && !strcmp(mix->at[k].name, mix->at[line[i]].name))
				return vt_fail(e, -EINVAL,
					       "mix %s: '%s' is in several lines; the requests of "
					       "a recording need one",
					       mix->name, mix->at[k].name);
	return 0;
}

static bool has_target(const struct vt_mix_entry *x)
{
	return x->qos_ns || x->qos_times > 0;
}

static int fill_in(const struct sim_recorded *r, const struct vt_mix *mix, const uint32_t *line,
		   struct vt_arrivals *ret, struct vt_err *e)
{
	struct vt_arrival *at = calloc(r->n, sizeof(*at));

	if (!at)
		return vt_fail(e, -ENOMEM, "out of memory");
	for (size_t i = 0; i < r->n; i++) {
		const struct sim_recorded_request *q = &r->at[i];
		const struct vt_mix_entry *x = &mix->at[line[q->model]];

		at[i] = (struct vt_arrival){
			.at_ns = q->at_ns,
			.tenant = line[q->model],
			.qos_ns = has_target(x) ? 0 : q->qos_ns,
			.priority = x->ranked ? 0 : q->priority,
		};
	}
	*ret = (struct vt_arrivals){.at = at, .n = r->n};
	return 0;
}

/* A model is planned for one target, also where each of its lines had its own: each request keeps its deadline. */
static void take_targets(const struct sim_recorded *r, struct vt_mix *mix, const uint32_t *line)
{
	for (uint32_t i = 0; i < r->n_models; i++) {
		struct vt_mix_entry *x = &mix->at[line[i]];
		uint64_t qos_ns = r->models[i].qos_ns;

		if (line[i] == mix->n || has_target(x))
			continue;
		for (uint32_t k = 0; k < mix->n; k++)
			if (&mix->at[k] != x && !strcmp(mix->at[k].model, x->model) &&
			    has_target(&mix->at[k]))
				qos_ns = mix->at[k].qos_ns;
		x->qos_ns = qos_ns;
	}
}

int sim_recorded_arrivals(const struct sim_recorded *r, struct vt_mix *mix, struct vt_arrivals *ret,
			  struct vt_err *e)
{
	uint32_t *line = calloc(r->n_models, sizeof(*line));
	int rc;

	if (!line)
		return vt_fail(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; i < r->n_models; i++)
		line[i] = line_of(mix, r->models[i].name);
	rc = lacks(r, mix, line, e);
	if (!rc)
		rc = check_lines(r, mix, line, e);
	if (!rc)
		rc = fill_in(r, mix, line, ret, e);
	if (!rc)
		take_targets(r, mix, line);
	free(line);
	return rc;
}
