// SPDX-License-Identifier: Apache-2.0
/*
 * What being looked at costs: the same requests with nobody looking and with everything on, in turns.
 *
 *	bench_observed ZOO_DIR [-m MODELS] [-r PAIRS] [-s SECONDS] [-w PARTS] [-c CHAINS]
 *
 * PARTS: m the monitor, with decisions in its pinned map; t a trace of every block and layer; g
 * /metrics and the dashboard's state gathered once a second each, as a scraper and a page do. All
 * by default (without root: tg).
 *
 * A slice opens its own runtime (and monitor), loads the models, warms up, and counts what chains of
 * requests that go from model to model get done: closed loop, the machine is never idle. Of a pair
 * of slices now one goes first, now the other. Times of layers are measured once, so that all slices
 * plan alike. Beside requests a second: CPU time of this process for each, which other work on the
 * machine disturbs less. A pair in which others, or other guests of the host, had some of the cores is
 * printed, not counted; what this process itself leaves idle is part of what is looked for.
 */
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "exec/runtime.h"
#include "load/search.h"
#include "metrics/chrome_live.h"
#include "metrics/gather.h"

#include "asked.h"

#define MAX	   ASKED_MAX
#define MAX_PAIRS  256u
#define MAX_CHAINS 16u
#define EVENTS	   500000u /* as `veltair serve` has room for */
#define DISTURBED  0.05	   /* of the cores' time that others had */
#define RUNS	   15u
#define WARM_NS	   (300 * VT_NS_PER_MS)

struct opts {
	const char *zoo, *models[MAX], *parts;
	unsigned int n_models, pairs, chains;
	double secs;
};

struct chain {
	struct vt_infer q;
	struct slice *s;
	uint32_t next;
};

struct slice {
	const struct opts *o;
	bool on[128]; /* by letter of the parts */
	struct vt_runtime *rt;
	struct vt_monitor *monitor, *watched;
	struct vt_chrome *chrome;
	struct vt_gather *gather;
	pthread_t watcher;
	struct vt_snapshot look;
	uint32_t id[MAX];
	struct chain chain[MAX_CHAINS];
	_Atomic uint64_t done;
	_Atomic bool stop, quit;
	_Atomic uint32_t running;
	uint64_t looks, bytes;
};

/* Of the first slice; all others plan with the same. */
static struct vt_costs measured[MAX];

static void die(const struct vt_err *e)
{
	fprintf(stderr, "bench_observed: %s\n", e->msg);
	exit(1);
}

/* ---- who looks ------------------------------------------------------------------------------ */

static void on_core(void *arg, const struct vt_core_span *s)
{
	vt_chrome_core_span(arg, s);
}

static void on_layer(void *arg, const struct vt_layer_span *s)
{
	vt_chrome_layer_span(arg, s);
}

static void look(struct slice *s)
{
	char *text = NULL, *json = NULL;
	size_t len = 0;

	if (!vt_gather_text(s->gather, false, &text, &len))
		s->bytes += len;
	vt_sleep_until_mono_ns(vt_now_mono_ns() + 500 * VT_NS_PER_MS);
	if (!vt_gather_json(s->gather, &json, &len))
		s->bytes += len;
	free(text);
	free(json);
	s->looks++;
	if (!s->monitor) /* the server's chores */
		return;
	vt_monitor_events(s->monitor, NULL, NULL);
	if (!vt_monitor_read(s->monitor, UINT64_MAX, &s->look))
		vt_monitor_tend(s->monitor, &s->look, NULL);
}

static void *watch(void *arg)
{
	struct slice *s = arg;
	uint64_t next = vt_now_mono_ns();

	while (!atomic_load(&s->quit)) {
		look(s);
		next += VT_NS_PER_S;
		while (!atomic_load(&s->quit) && vt_now_mono_ns() < next)
			vt_sleep_until_mono_ns(vt_now_mono_ns() + 50 * VT_NS_PER_MS);
	}
	return NULL;
}

/* ---- models --------------------------------------------------------------------------------- */

static void add_model(struct slice *s, unsigned int i)
{
	const char *name = s->o->models[i];
	struct vt_served v = {.max_queue = 64};
	struct vt_err e = {0};

	if (asked_load(&v.engine, s->o->zoo, name, 2, &e) ||
	    (!measured[i].model.ns &&
	     asked_times_of(&measured[i], v.engine, s->rt, name, RUNS, &e)) ||
	    vt_costs_copy(&v.costs, &measured[i], -1, &e))
		die(&e);
	v.costs.model.qos_ns = VT_NS_PER_S;
	snprintf(v.name, sizeof(v.name), "%s", name);
	if (vt_runtime_add(s->rt, &v, &s->id[i], &e))
		die(&e);
}

/* ---- one slice ------------------------------------------------------------------------------ */

static void submit(struct chain *c)
{
	c->q.model = c->s->id[c->next++ % c->s->o->n_models];
	c->q.tenant = 0;
	c->q.priority = 0;
	c->q.deadline_ns = vt_now_mono_ns() + 10 * VT_NS_PER_S;
	vt_runtime_submit(c->s->rt, &c->q);
}

static void over(struct vt_infer *q, enum vt_outcome how)
{
	struct chain *c = q->user;

	if (how != VT_DONE) {
		fprintf(stderr, "bench_observed: a request ended with %d\n", (int)how);
		exit(1);
	}
	atomic_fetch_add(&c->s->done, 1);
	if (atomic_load(&c->s->stop))
		atomic_fetch_sub(&c->s->running, 1);
	else
		submit(c);
}

static void open_slice(struct slice *s)
{
	char pins[64];
	struct vt_runtime_opts ro = {.record_fd = -1, .no_shed = true};
	struct vt_monitor_opts mo = {.pin_dir = pins, .group = VT_BY_TENANT};
	struct vt_gather_opts go = {.monitor_absent = "not in this slice"};
	struct vt_err e = {0};

	snprintf(pins, sizeof(pins), "/sys/fs/bpf/vt-observed-%d", (int)getpid());
	if (s->on['m'] &&
	    (vt_monitor_open(&mo, &s->monitor, &e) || vt_monitor_attach(pins, &s->watched, &e)))
		die(&e);
	if (s->on['t']) {
		if (vt_chrome_new(&s->chrome, EVENTS, &e))
			die(&e);
		ro.core = on_core;
		ro.layer = on_layer;
		ro.arg = s->chrome;
	}
	ro.monitor = s->monitor;
	if (vt_runtime_open(&s->rt, &ro, &e))
		die(&e);
	for (unsigned int i = 0; i < s->o->n_models; i++)
		add_model(s, i);
	go.runtime = s->rt;
	go.monitor = s->watched;
	if (s->on['g'] &&
	    (vt_gather_new(&s->gather, &go, &e) || pthread_create(&s->watcher, NULL, watch, s)))
		die(&e);
}

static void close_slice(struct slice *s)
{
	atomic_store(&s->quit, true);
	if (s->gather)
		pthread_join(s->watcher, NULL);
	vt_gather_free(s->gather);
	vt_runtime_close(s->rt);
	vt_snapshot_fini(&s->look);
	vt_monitor_close(s->watched);
	vt_monitor_close(s->monitor);
	vt_chrome_free(s->chrome);
}

struct figure {
	double per_s, cpu_ms;
	double others; /* share of the cores' time that they had */
};

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/** Seconds that the cores this process may use were busy or with another guest. */
static double busy_s(void)
{
	struct vt_cpuset allowed;
	uint64_t ticks = 0;
	char line[512];
	FILE *f = fopen("/proc/stat", "re");

	if (!f || vt_cpuset_allowed(&allowed))
		die(&(struct vt_err){.msg = "/proc/stat: not readable"});
	while (fgets(line, sizeof(line), f)) {
		/* user nice system idle iowait irq softirq steal; guests are in user */
		unsigned long long t[8];
		unsigned int cpu;

		if (sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &t[0],
			   &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) == 9 &&
		    vt_cpuset_has(&allowed, cpu))
			ticks += t[0] + t[1] + t[2] + t[5] + t[6] + t[7];
	}
	fclose(f);
	return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double cores(void)
{
	struct vt_cpuset allowed;

	return vt_cpuset_allowed(&allowed) ? 1 : vt_cpuset_count(&allowed);
}

static struct figure run(const struct opts *o, const char *parts, uint64_t *bytes)
{
	struct slice *s = calloc(1, sizeof(*s));
	uint64_t t0, n0, t1, n1;
	double cpu0, cpu1, busy0, busy1;

	if (!s)
		exit(1);
	s->o = o;
	for (; *parts; parts++)
		s->on[*parts & 127] = true;
	open_slice(s);
	atomic_store(&s->running, o->chains);
	for (unsigned int i = 0; i < o->chains; i++) {
		s->chain[i] = (struct chain){.s = s, .next = i, .q = {.done = over}};
		s->chain[i].q.user = &s->chain[i];
		submit(&s->chain[i]);
	}
	vt_sleep_until_mono_ns(vt_now_mono_ns() + WARM_NS);
	t0 = vt_now_mono_ns();
	cpu0 = cpu_s();
	busy0 = busy_s();
	n0 = atomic_load(&s->done);
	vt_sleep_until_mono_ns(t0 + (uint64_t)(o->secs * 1e9));
	t1 = vt_now_mono_ns();
	cpu1 = cpu_s();
	busy1 = busy_s();
	n1 = atomic_load(&s->done);
	atomic_store(&s->stop, true);
	while (atomic_load(&s->running))
		vt_sleep_until_mono_ns(vt_now_mono_ns() + VT_NS_PER_MS);
	close_slice(s);
	*bytes += s->bytes;
	free(s);
	return (struct figure){(double)(n1 - n0) * 1e9 / (double)(t1 - t0),
			       (cpu1 - cpu0) * 1e3 / (double)(n1 - n0 ? n1 - n0 : 1),
			       fmax(0, busy1 - busy0 - (cpu1 - cpu0)) * 1e9 / (double)(t1 - t0) /
				       cores()};
}

/* ---- all ------------------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void parse(struct opts *o, int argc, char **argv)
{
	static char models[] = "mobilenet-v2,efficientnet-b0";
	char *list = models;
	int c;

	*o = (struct opts){.pairs = 20, .chains = 4, .secs = 2, .parts = geteuid() ? "tg" : "mtg"};
	while ((c = getopt(argc, argv, "m:r:s:w:c:")) != -1) {
		if (c == 'm')
			list = optarg;
		else if (c == 'r')
			o->pairs = (unsigned int)strtoul(optarg, NULL, 10);
		else if (c == 's')
			o->secs = strtod(optarg, NULL);
		else if (c == 'w')
			o->parts = optarg;
		else if (c == 'c')
			o->chains = (unsigned int)strtoul(optarg, NULL, 10);
		else
			exit(2);
	}
	o->n_models = asked_list(list, o->models);
	if (optind >= argc || !o->n_models || !o->pairs || o->pairs > MAX_PAIRS || !o->chains ||
	    o->chains > MAX_CHAINS || !(o->secs > 0)) {
		fprintf(stderr,
			"bench_observed: which directory holds the zoo? 1 to %u pairs, 1 to "
			"%u chains\n",
			MAX_PAIRS, MAX_CHAINS);
		exit(2);
	}
	o->zoo = argv[optind];
}

/* @x is sorted by it. */
static void print(const char *what, double *x, unsigned int n)
{
	const struct vt_mean m = vt_mean_of(x, n);

	qsort(x, n, sizeof(*x), by_value);
	printf("%s on / off: median %.4f, quartiles %.4f .. %.4f, mean %.4f +- %.4f\n", what,
	       x[n / 2], x[n / 4], x[3 * n / 4], m.mean, m.half);
}

int main(int argc, char **argv)
{
	double rate[MAX_PAIRS], cpu[MAX_PAIRS];
	unsigned int n = 0, disturbed = 0;
	uint64_t bytes = 0;
	struct opts o;

	parse(&o, argc, argv);
	run(&o, "", &bytes); /* times of layers; not counted */
	for (unsigned int i = 0; i < o.pairs; i++) {
		struct figure f[2]; /* off, on */

		for (unsigned int k = 0; k < 2; k++) {
			bool on = (i + k) % 2;

			f[on] = run(&o, on ? o.parts : "", &bytes);
		}
		printf("pair %u: off %.1f/s %.3f ms of CPU, on %.1f/s %.3f ms; others had %.3f "
		       "and %.3f of the cores\n",
		       i + 1, f[0].per_s, f[0].cpu_ms, f[1].per_s, f[1].cpu_ms, f[0].others,
		       f[1].others);
		fflush(stdout);
		if (fmax(f[0].others, f[1].others) > DISTURBED) {
			disturbed++;
			continue;
		}
		rate[n] = f[1].per_s / f[0].per_s;
		cpu[n++] = f[1].cpu_ms / f[0].cpu_ms;
	}
	printf("parts %s, %u pairs of %.1f s and %u in which others had more than %.0f %% of the "
	       "cores, %llu bytes looked at\n",
	       o.parts, n, o.secs, disturbed, 100 * DISTURBED, (unsigned long long)bytes);
	if (!n)
		return 1;
	print("requests a second", rate, n);
	print("CPU time for each", cpu, n);
	return 0;
}
