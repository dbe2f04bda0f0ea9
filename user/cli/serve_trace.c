// SPDX-License-Identifier: Apache-2.0
#include "cli/serve_trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/serve_file.h"
#include "metrics/chrome_live.h"

struct name {
	uint32_t id; /* first: by_id() compares it with a number */
	char text[sizeof(((struct vt_runtime_model *)0)->name)];
};

struct vt_serve_trace {
	const char *path;
	struct vt_serve_file at;
	FILE *file; /* opened at the start: a path that cannot be written is told at once */
	bool begun;
	struct vt_chrome *chrome;
	struct vt_runtime_stats *stats;
	/* Of each model whose events may be in it, as they came: a slot of the runtime has another id whenever it is used. */
	struct name *name;
	size_t n_names, room;
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

static int by_id(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static const char *model_name(void *arg, uint32_t model)
{
	const struct vt_serve_trace *w = arg;
	const struct name *n =
		w->n_names ? bsearch(&model, w->name, w->n_names, sizeof(*n), by_id) : NULL;

	return n ? n->text : NULL;
}

/* Without memory it stays a number. Who comes when the trace is full is not in it. */
static void on_added(void *arg, uint32_t id, const char *name)
{
	struct vt_serve_trace *w = arg;
	struct name *more;

	if (vt_chrome_dropped(w->chrome))
		return;
	if (w->n_names == w->room) {
		more = realloc(w->name, sizeof(*more) * (w->room + VT_RUNTIME_MODELS));
		if (!more)
			return;
		w->name = more;
		w->room += VT_RUNTIME_MODELS;
	}
	w->name[w->n_names].id = id;
	snprintf(w->name[w->n_names++].text, sizeof(more->text), "%s", name);
}

void vt_serve_trace_tick(struct vt_serve_trace *w, struct vt_runtime *rt)
{
	if (!w)
		return;
	vt_runtime_stats(rt, w->stats);
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
	o->added = on_added;
	o->arg = w;
}

/* ---- life ---------------------------------------------------------------------------------- */

int vt_serve_trace_open(struct vt_serve_trace **ret, const char *path, size_t max_events,
			struct vt_err *e)
{
	struct vt_serve_trace *w = calloc(1, sizeof(*w));
	int err = 0, fd;

	if (!w)
		return vt_fail(e, -ENOMEM, "no memory for the trace");
	*ret = w;
	w->path = path;
	w->stats = calloc(1, sizeof(*w->stats));
	if (!w->stats)
		err = vt_fail(e, -ENOMEM, "no memory for the trace");
	if (!err)
		err = vt_chrome_new(&w->chrome, max_events, e);
	if (err)
		return err;
	fd = vt_serve_file_open(&w->at, path, e);
	if (fd < 0)
		return fd;
	w->file = fdopen(fd, "w");
	if (w->file)
		return 0;
	close(fd);
	return vt_fail(e, -ENOMEM, "no memory for the trace");
}

int vt_serve_trace_begin(struct vt_serve_trace *w, struct vt_err *e)
{
	int err = w ? vt_serve_file_begin(&w->at, e) : 0;

	if (w)
		w->begun = !err;
	return err;
}

static int write_it(struct vt_serve_trace *w, struct vt_err *e)
{
	struct vt_chrome_names names = {.model = model_name, .arg = w, .process = "veltair serve"};
	int err;

	if (w->n_names)
		qsort(w->name, w->n_names, sizeof(*w->name), by_id);
	err = vt_chrome_write(w->chrome, w->file, &names);
	if (fclose(w->file) && !err)
		err = -errno;
	return err ? vt_fail(e, err, "%s: cannot write the trace: %s", w->path, strerror(-err)) : 0;
}

int vt_serve_trace_close(struct vt_serve_trace *w, struct vt_err *e)
{
	int err = 0;

	if (!w)
		return 0;
	if (w->begun)
		err = write_it(w, e);
	else if (w->file)
		fclose(w->file);
	vt_serve_file_end(&w->at);
	vt_chrome_free(w->chrome);
	free(w->name);
	free(w->stats);
	free(w);
	return err;
}
