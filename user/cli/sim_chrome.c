// SPDX-License-Identifier: Apache-2.0
/*
 * sim_chrome.c - a simulated run as a trace for Perfetto.
 *
 * The simulator knows nothing of traces: who had which core when follows from what was decided and
 * what ended. So the spans and the simulator's own account of core time are two ways to one sum.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/sim_cli.h"
#include "metrics/chrome.h"

#define MAX_EVENTS 500000u

/** A running block. */
struct held {
	uint64_t id, layer_since_ns;
	struct vt_coreset cores;
	uint32_t model;
	uint16_t layer_begin, layer_end, wanted, other_versions;
	uint16_t layer; /* under way */
	uint16_t leads; /* the core that shows its layers */
	uint8_t level;
	bool used;
	uint8_t version[VT_MAX_LAYERS]; /* of layer_begin, ... */
};

struct writer {
	struct vt_chrome *chrome;
	const struct vt_model *models;
	uint32_t n_models;
	struct held held[VT_SCHED_MAX_CORES];
	uint64_t since_ns[VT_SCHED_MAX_CORES]; /* by core: it has belonged to its block */
	int shown[VT_MAX_DOMAINS];	       /* percent of pressure, last counted */
	uint32_t waiting;
};

static struct held *find(struct writer *w, uint64_t id)
{
	for (uint32_t i = 0; i < VT_SCHED_MAX_CORES; i++)
		if (w->held[i].used && w->held[i].id == id)
			return &w->held[i];
	return NULL;
}

/** @core leaves block @h; what came and went at one time, as a policy thought again, is no span. */
static void leave(struct writer *w, const struct held *h, unsigned int core, uint64_t now_ns)
{
	if (w->since_ns[core] == now_ns)
		return;
	vt_chrome_block(w->chrome, &(struct vt_chrome_block){
					   .start_ns = w->since_ns[core],
					   .end_ns = now_ns,
					   .id = h->id,
					   .model = h->model,
					   .core = (uint16_t)core,
					   .layer_begin = h->layer_begin,
					   .layer_end = h->layer_end,
					   .wanted = h->wanted,
					   .granted = (uint16_t)vt_coreset_count(&h->cores),
					   .other_versions = h->other_versions,
					   .level = h->level,
					   .leads = core == h->leads,
				   });
}

static void end_layer(struct writer *w, struct held *h, uint64_t end_ns)
{
	if (h->layer_since_ns < end_ns)
		vt_chrome_layer(w->chrome, h->leads, h->model, h->layer,
				h->version[h->layer - h->layer_begin], h->layer_since_ns, end_ns);
	h->layer_since_ns = end_ns;
}

static void on_layer(void *self, uint64_t id, uint16_t layer, uint64_t end_ns)
{
	struct writer *w = self;
	struct held *h = find(w, id);

	if (!h)
		return;
	h->layer = layer;
	end_layer(w, h, end_ns);
	h->layer = (uint16_t)(layer + 1);
}

static void on_done(struct writer *w, const struct vt_done *d)
{
	struct held *h = find(w, d->id);

	if (!h)
		return;
	h->layer_end = d->layer_end;
	h->layer = (uint16_t)(d->layer_end - 1);
	for (int c = vt_coreset_next(&h->cores, 0); c >= 0;
	     c = vt_coreset_next(&h->cores, (unsigned int)c + 1))
		leave(w, h, (unsigned int)c, d->end_ns);
	end_layer(w, h, d->end_ns);
	h->used = false;
}

static void join(struct writer *w, struct held *h, const struct vt_coreset *cores, uint64_t now_ns)
{
	for (int c = vt_coreset_next(cores, 0); c >= 0;
	     c = vt_coreset_next(cores, (unsigned int)c + 1))
		w->since_ns[c] = now_ns;
	vt_coreset_or(&h->cores, cores);
}

static void on_start(struct writer *w, const struct vt_sample *s, const struct vt_decision *d,
		     const struct vt_action *a)
{
	struct held *h = NULL;

	for (uint32_t i = 0; i < VT_SCHED_MAX_CORES && !h; i++)
		h = w->held[i].used ? NULL : &w->held[i];
	for (uint32_t i = 0; i < s->view.n_requests && h; i++) {
		if (s->view.requests[i].id != a->id)
			continue;
		*h = (struct held){.used = true,
				   .id = a->id,
				   .layer_since_ns = s->view.now_ns,
				   .model = s->view.requests[i].model,
				   .layer_begin = a->layer_begin,
				   .layer_end = a->layer_end,
				   .layer = a->layer_begin,
				   .wanted = a->wanted,
				   .level = a->level,
				   .leads = (uint16_t)vt_coreset_next(&a->cores, 0)};
		memcpy(h->version, d->versions + a->version_at,
		       (size_t)(a->layer_end - a->layer_begin));
		for (uint32_t l = a->layer_begin; l < a->layer_end; l++)
			h->other_versions = (uint16_t)(h->other_versions +
						       (h->version[l - a->layer_begin] != 0));
		join(w, h, &a->cores, s->view.now_ns);
		return;
	}
}

static void on_shrink(struct writer *w, struct held *h, const struct vt_coreset *cores,
		      uint64_t now_ns)
{
	bool leader = vt_coreset_has(cores, h->leads);

	for (int c = vt_coreset_next(cores, 0); c >= 0;
	     c = vt_coreset_next(cores, (unsigned int)c + 1))
		leave(w, h, (unsigned int)c, now_ns);
	vt_coreset_sub(&h->cores, cores);
	/* The layer under way goes on elsewhere: its first part is shown where it was. */
	if (leader) {
		end_layer(w, h, now_ns);
		h->leads = (uint16_t)vt_coreset_next(&h->cores, 0);
	}
}

/** Another grant may bring other code for the layers that have not begun. */
static void recode(struct held *h, const struct vt_decision *d, const struct vt_action *a)
{
	h->other_versions = 0;
	for (uint32_t l = a->layer_begin; l < a->layer_end; l++)
		h->version[l - h->layer_begin] = d->versions[a->version_at + l - a->layer_begin];
	for (uint32_t l = h->layer_begin; l < h->layer_end; l++)
		h->other_versions =
			(uint16_t)(h->other_versions + (h->version[l - h->layer_begin] != 0));
}

static void on_action(struct writer *w, const struct vt_sample *s, const struct vt_decision *d,
		      const struct vt_action *a)
{
	struct held *h;

	if (a->kind == VT_START) {
		on_start(w, s, d, a);
		return;
	}
	h = a->kind == VT_GROW || a->kind == VT_SHRINK ? find(w, a->id) : NULL;
	if (h)
		recode(h, d, a);
	if (h && a->kind == VT_GROW)
		join(w, h, &a->cores, s->view.now_ns);
	else if (h)
		on_shrink(w, h, &a->cores, s->view.now_ns);
}

/** Counters take an event only when they show something new. */
static void count(struct writer *w, const struct vt_sample *s)
{
	const struct vt_view *v = &s->view;

	for (uint32_t d = 0; d < v->n_domains; d++) {
		int percent = (int)(v->domains[d].pressure_ppm / 10000);

		if (percent == w->shown[d])
			continue;
		w->shown[d] = percent;
		vt_chrome_count(w->chrome, "pressure", d, v->now_ns,
				v->domains[d].pressure_ppm * 1e-6);
	}
	if (v->n_requests != w->waiting)
		vt_chrome_count(w->chrome, "waiting requests", 0, v->now_ns, v->n_requests);
	w->waiting = v->n_requests;
}

static int started(void *self, const struct vt_loop_cfg *cfg, const struct vt_model *models,
		   uint32_t n_models)
{
	struct writer *w = self;

	w->models = models;
	w->n_models = n_models;
	return 0;
}

static int stepped(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	struct writer *w = self;

	for (uint32_t i = 0; i < s->n_done; i++)
		on_done(w, &s->done[i]);
	count(w, s);
	for (uint32_t i = 0; i < d->n_actions; i++)
		on_action(w, s, d, &d->actions[i]);
	return 0;
}

static const char *model_name(void *arg, uint32_t model)
{
	const struct writer *w = arg;

	return model < w->n_models ? w->models[model].name : NULL;
}

static int write_it(struct writer *w, FILE *out, const char *path, double granted_ns,
		    struct vt_err *e)
{
	struct vt_chrome_names names = {.model = model_name, .arg = w, .process = "veltair sim"};
	int rc = vt_chrome_write(w->chrome, out, &names);

	if (rc)
		return vt_fail(e, rc, "%s: cannot write the trace: %s", path, strerror(-rc));
	fprintf(stderr, "veltair sim: %s: %.6f s of core time granted, %llu events left out\n",
		path, granted_ns * 1e-9, (unsigned long long)vt_chrome_dropped(w->chrome));
	return 0;
}

static int run(const struct sim_setup *s, FILE *out, const char *path, struct vt_err *e)
{
	struct sim_run run = {.rate_hz = s->opts->rate_hz};
	struct writer *w = calloc(1, sizeof(*w));
	struct sim_recording rec = {started, stepped, on_layer, w};
	int rc =
		w ? vt_chrome_new(&w->chrome, MAX_EVENTS, e) : vt_fail(e, -ENOMEM, "out of memory");

	if (!rc)
		rc = sim_run_recorded(s, &run, &rec, e);
	if (!rc)
		rc = write_it(w, out, path, run.busy_core_ns, e);
	if (w)
		vt_chrome_free(w->chrome);
	free(w);
	return rc;
}

int sim_chrome(const struct sim_setup *s, const char *path, struct vt_err *e)
{
	FILE *out;
	int rc;

	if (!sim_is_one_run(s))
		return vt_fail(e, -EINVAL, "--trace needs exactly one mix and one policy");
	/* Before the run: a path that cannot be written is told at once. */
	out = fopen(path, "we");
	if (!out)
		return vt_fail(e, -errno, "%s: cannot write the trace: %s", path, strerror(errno));
	rc = run(s, out, path, e);
	if (fclose(out) && !rc)
		rc = vt_fail(e, -errno, "%s: cannot write the trace: %s", path, strerror(errno));
	if (rc)
		unlink(path);
	return rc;
}
