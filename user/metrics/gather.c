// SPDX-License-Identifier: Apache-2.0
#include "metrics/gather.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"

#define REASONS 64 /* shown */

struct vt_gather {
	pthread_mutex_t lock;
	struct vt_gather_opts o;
	char absent[256];
	struct vt_names *names;
	struct vt_snapshot snap;
	struct vt_tenant_table tenants;
	struct vt_runtime_stats stats;
	struct vt_metrics_model models[VT_RUNTIME_MODELS];
	struct vt_metrics_reason reasons[2 * REASONS]; /* the last ones, shown from m.reasons on */
	size_t n_reasons;
	struct vt_metrics m;
	uint64_t looked_mono_ns;
};

int vt_gather_new(struct vt_gather **ret, const struct vt_gather_opts *o, struct vt_err *e)
{
	struct vt_gather *g = calloc(1, sizeof(*g));
	long line = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
	char root[256];

	if (!g)
		return vt_fail(e, -ENOMEM, "no memory for metrics");
	pthread_mutex_init(&g->lock, NULL);
	g->o = *o;
	if (o->monitor_absent)
		snprintf(g->absent, sizeof(g->absent), "%s", o->monitor_absent);
	if (o->monitor && !vt_cgroup_mount(NULL, root, sizeof(root), NULL))
		g->names = vt_names_new(root);
	g->m = (struct vt_metrics){
		.runtime = o->runtime ? &g->stats : NULL,
		.http = o->http,
		.models = g->models,
		.monitor = o->monitor,
		.monitor_absent = o->monitor ? NULL : g->absent,
		.tenants = o->monitor ? &g->tenants : NULL,
		.losses = o->monitor ? &g->snap.loss : NULL,
		.started_mono_ns = vt_now_mono_ns(),
		.line_bytes = line > 0 ? (unsigned int)line : 64,
	};
	*ret = g;
	return 0;
}

void vt_gather_free(struct vt_gather *g)
{
	if (!g)
		return;
	vt_names_free(g->names);
	vt_snapshot_fini(&g->snap);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

static uint64_t rss_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t cpu_ns(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (uint64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * VT_NS_PER_S +
	       (uint64_t)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000;
}

/* One at a time, as only the last of several has its number told. Whoever looks seldom has missed some. */
static void read_reasons(struct vt_gather *g)
{
	uint64_t last = g->n_reasons ? g->reasons[g->n_reasons - 1].n : 0;
	struct vt_reason why;

	for (unsigned int i = 0;
	     i < VT_RUNTIME_REASONS && vt_runtime_reasons(g->o.runtime, last, &why, 1, &last);
	     i++) {
		if (g->n_reasons == 2 * REASONS) {
			memcpy(g->reasons, g->reasons + REASONS, REASONS * sizeof(g->reasons[0]));
			g->n_reasons = REASONS;
		}
		g->reasons[g->n_reasons++] = (struct vt_metrics_reason){last, why};
	}
	g->m.n_reasons = g->n_reasons < REASONS ? g->n_reasons : REASONS;
	g->m.reasons = g->reasons + (g->n_reasons - g->m.n_reasons);
}

/* A look at everything, unless the last one is fresh. Holding the lock. */
static int look(struct vt_gather *g)
{
	uint64_t now = vt_now_mono_ns();
	int err;

	if (g->looked_mono_ns && now - g->looked_mono_ns < VT_GATHER_FRESH_NS)
		return 0;
	if (g->o.runtime) {
		vt_runtime_stats(g->o.runtime, &g->stats);
		read_reasons(g);
	}
	if (g->o.monitor) {
		err = vt_monitor_read(g->o.monitor, VT_GATHER_FRESH_NS, &g->snap);
		if (err)
			return err;
		vt_tenant_table_update(&g->tenants, g->o.monitor, &g->snap, g->names);
	}
	if (g->o.models)
		g->m.n_models = g->o.models(g->o.arg, g->models, VT_RUNTIME_MODELS);
	g->m.rss_bytes = rss_bytes();
	g->m.cpu_ns = cpu_ns();
	g->looked_mono_ns = g->m.now_mono_ns = now;
	return 0;
}

static int answer(struct vt_gather *g, struct vt_expo *x,
		  void (*write)(struct vt_expo *x, const struct vt_metrics *m), char **ret,
		  size_t *len)
{
	int err;

	pthread_mutex_lock(&g->lock);
	err = look(g);
	if (!err)
		write(x, &g->m);
	pthread_mutex_unlock(&g->lock);
	if (!err && (x->failed || !x->buf))
		err = -ENOMEM;
	if (err) {
		free(x->buf);
		return err;
	}
	*ret = x->buf;
	*len = x->len;
	return 0;
}

int vt_gather_text(struct vt_gather *g, bool openmetrics, char **ret, size_t *len)
{
	struct vt_expo x = {.openmetrics = openmetrics};

	return answer(g, &x, vt_metrics_text, ret, len);
}

int vt_gather_json(struct vt_gather *g, char **ret, size_t *len)
{
	struct vt_expo x = {0};

	return answer(g, &x, vt_metrics_json, ret, len);
}

int vt_gather_tend(struct vt_gather *g, struct vt_err *e)
{
	int err;

	pthread_mutex_lock(&g->lock);
	err = look(g);
	if (err)
		vt_fail(e, err, "cannot read the counters: %s", strerror(-err));
	vt_monitor_events(g->o.monitor, NULL, NULL);
	if (!err)
		err = vt_monitor_tend(g->o.monitor, &g->snap, e);
	pthread_mutex_unlock(&g->lock);
	return err;
}
