// SPDX-License-Identifier: Apache-2.0
#include "cli/serve_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "metrics/chrome_live.h"

#define NAMES 1024u /* models of one life of the server that a trace can name */

struct vt_serve_trace {
	const char *path;
	FILE *file; /* opened at the start: a path that cannot be written is told at once */
	struct vt_chrome *chrome;
	struct vt_runtime_stats *stats;
	char (*name)[80]; /* [NAMES], by id of the model */
};

/* ---- what happens -------------------------------------------------------------------------- */

static void on_core(void *arg, const struct vt_core_span *s)
{
	struct vt_serve_trace *w = arg;

	vt_chrome_core_span(w->chrome, s);
}

static void on_layer(void *arg, const struct vt_layer_span *s)
{
	struct vt_serve_trace *w = arg;

	vt_chrome_layer_span(w->chrome, s);
}

static const char *model_name(void *arg, uint32_t model)
{
	const struct vt_serve_trace *w = arg;

	return model < NAMES && w->name[model][0] ? w->name[model] : NULL;
}

static void note_names(struct vt_serve_trace *w)
{
	for (uint32_t i = 0; i < w->stats->n_models; i++) {
		const struct vt_runtime_model *m = &w->stats->model[i];

		if (m->id < NAMES)
			snprintf(w->name[m->id], sizeof(w->name[0]), "%s", m->name);
	}
}

void vt_serve_trace_tick(struct vt_serve_trace *w, struct vt_runtime *rt)
{
	if (!w)
		return;
	vt_runtime_stats(rt, w->stats);
	note_names(w);
	for (uint32_t d = 0; d < w->stats->n_domains; d++) {
		const struct vt_runtime_domain *dom = &w->stats->domain[d];

		vt_chrome_count(w->chrome, "pressure", d, w->stats->now_ns,
				dom->pressure_ppm * 1e-6);
		vt_chrome_count(w->chrome, "trust in the pressure", d, w->stats->now_ns,
				dom->confidence_ppm * 1e-6);
	}
	vt_chrome_count(w->chrome, "waiting requests", 0, w->stats->now_ns, w->stats->waiting);
}

void vt_serve_trace_runtime(struct vt_serve_trace *w, struct vt_runtime_opts *o)
{
	if (!w)
		return;
	o->core = on_core;
	o->layer = on_layer;
	o->arg = w;
}

/* ---- life ---------------------------------------------------------------------------------- */

int vt_serve_trace_open(struct vt_serve_trace **ret, const char *path, size_t max_events,
			struct vt_err *e)
{
	struct vt_serve_trace *w = calloc(1, sizeof(*w));
	int err = 0;

	if (!w)
		return vt_fail(e, -ENOMEM, "no memory for the trace");
	*ret = w;
	w->path = path;
	w->stats = calloc(1, sizeof(*w->stats));
	w->name = calloc(NAMES, sizeof(*w->name));
	if (!w->stats || !w->name)
		err = vt_fail(e, -ENOMEM, "no memory for the trace");
	if (!err)
		err = vt_chrome_new(&w->chrome, max_events, e);
	if (err)
		return err;
	w->file = fopen(path, "we");
	return w->file ? 0
		       : vt_fail(e, -errno, "%s: cannot write the trace: %s", path,
				 strerror(errno));
}

static int write_it(struct vt_serve_trace *w, struct vt_err *e)
{
	struct vt_chrome_names names = {.model = model_name, .arg = w, .process = "veltair serve"};
	int err = vt_chrome_write(w->chrome, w->file, &names);

	if (fclose(w->file) && !err)
		err = -errno;
	return err ? vt_fail(e, err, "%s: cannot write the trace: %s", w->path, strerror(-err)) : 0;
}

int vt_serve_trace_close(struct vt_serve_trace *w, struct vt_err *e)
{
	int err = 0;

	if (!w)
		return 0;
	if (w->file)
		err = write_it(w, e);
	vt_chrome_free(w->chrome);
	free(w->name);
	free(w->stats);
	free(w);
	return err;
}
