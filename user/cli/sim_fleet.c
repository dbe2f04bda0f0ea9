// SPDX-License-Identifier: Apache-2.0
/* sim_fleet.c - `veltair sim --nodes`: many nodes behind a router, one table. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/plot.h"
#include "cli/sim_cli.h"
#include "sim/fleet.h"

#define MAX_KINDS 8u
#define MAX_RUNS  32u

/** One line of the table. */
struct row {
	uint32_t nodes;
	enum vt_router router;
	struct vt_fleet_result r;
	double host_us; /* processor time of this machine, for each request */
	double open_us; /* and to make each node */
};

struct fleet_setup {
	const struct sim_opts *opts;
	struct sim_setup *kinds[MAX_KINDS]; /* by machine */
	const struct vt_bank *banks[MAX_KINDS];
	double capacity[MAX_KINDS];
	uint32_t n_kinds, n_nodes, n_routers, n_rows;
	uint32_t nodes[MAX_RUNS];
	enum vt_router routers[VT_ROUTERS];
	struct row rows[MAX_RUNS * VT_ROUTERS];
};

struct source {
	struct vt_poisson poisson;
	struct vt_progress progress;
	uint64_t
		begun_ns; /* of processor time: the nodes are there, the first request is asked for */
};

/* Of this process: what others take of a busy machine does not count. */
static uint64_t host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * VT_NS_PER_S + (uint64_t)t.tv_nsec;
}

static bool next_arrival(void *self, struct vt_sim_arrival *ret)
{
	struct source *s = self;
	struct vt_arrival a;

	if (!s->begun_ns)
		s->begun_ns = host_ns();
	if (!vt_poisson_next(&s->poisson, &a))
		return false;
	*ret = (struct vt_sim_arrival){.at_ns = a.at_ns, .tenant = a.tenant};
	return true;
}

static void show(void *self, uint64_t arrived)
{
	struct source *s = self;

	if (arrived % 1024 == 0)
		if (s->progress.tty)
			vt_progress_update(&s->progress, arrived, "");
}

/* ---- setup -------------------------------------------------------------------------------- */

static int add_kind(struct fleet_setup *f, const char *machine, struct vt_err *e)
{
	struct sim_setup *s = calloc(1, sizeof(*s));
	struct sim_opts *o = malloc(sizeof(*o));
	int rc;

	if (!s || !o || f->n_kinds == MAX_KINDS) {
		free(s);
		free(o);
		return vt_fail(e, s && o ? -EINVAL : -ENOMEM,
			       s && o ? "--machine: at most 8 kinds of nodes" : "out of memory");
	}
	*o = *f->opts;
	o->machine = machine;
	f->kinds[f->n_kinds++] = s;
	s->opts = o;
	rc = sim_setup_init(s, o, e);
	if (rc)
		return rc;
	if (s->n_mixes != 1 || s->n_policies != 1)
		return vt_fail(e, -EINVAL, "--nodes: say one mix and one policy");
	f->banks[f->n_kinds - 1] = &s->mixes[0].bank;
	f->capacity[f->n_kinds - 1] = s->mixes[0].capacity_hz;
	return 0;
}

static int add_nodes(struct fleet_setup *f, const char *text, struct vt_err *e)
{
	uint64_t n;

	if (f->n_nodes == MAX_RUNS || vt_parse_u64(text, 1, VT_FLEET_NODES, &n))
		return vt_fail(e, -EINVAL, "--nodes: '%.40s' is not a number in 1..%u", text,
			       VT_FLEET_NODES);
	f->nodes[f->n_nodes++] = (uint32_t)n;
	return 0;
}

static int add_router(struct fleet_setup *f, const char *text, struct vt_err *e)
{
	int r = vt_router_find(text);

	if (r < 0 || f->n_routers == VT_ROUTERS)
		return vt_fail(e, -EINVAL,
			       "--router: '%.40s' is none of round-robin, least-conn, weighted",
			       text);
	f->routers[f->n_routers++] = (enum vt_router)r;
	return 0;
}

static int each(struct fleet_setup *f, char *list,
		int (*fn)(struct fleet_setup *f, const char *text, struct vt_err *e),
		struct vt_err *e)
{
	int rc = 0;

	for (char *text; !rc && (text = strsep(&list, ","));)
		rc = fn(f, text, e);
	return rc;
}

/* Kinds were set up each by itself: `3x` was three times its own fastest run, and its plan for that. */
static int level_targets(struct fleet_setup *f, struct vt_err *e)
{
	struct sim_mix *m = &f->kinds[0]->mixes[0];
	struct vt_bank *banks[MAX_KINDS];
	int rc = 0;

	for (uint32_t k = 0; k < f->n_kinds; k++)
		banks[k] = &f->kinds[k]->mixes[0].bank;
	if (!vt_fleet_targets(banks, f->n_kinds, m->tenants, m->mix.n))
		return 0;
	for (uint32_t k = 0; k < f->n_kinds && !rc; k++)
		rc = vt_bank_plan(banks[k], f->kinds[k]->policies[0]->plan_needs, e);
	return rc;
}

static int setup(struct fleet_setup *f, char *lists[3], struct vt_err *e)
{
	const struct sim_opts *o = f->opts;
	double most = 0;
	int rc;

	if (o->search || o->arrivals || o->record || o->bound)
		return vt_fail(e, -EINVAL,
			       "--nodes: not with --search, --arrivals, --record or --bound");
	if (o->seeds > 1)
		return vt_fail(e, -EINVAL, "--nodes: one run of each size, so not with --seeds");
	if (o->rate_hz <= 0)
		return vt_fail(e, -EINVAL, "--nodes: say --rate HZ, of one node");
	rc = each(f, lists[0], add_nodes, e);
	if (!rc)
		rc = each(f, lists[1], add_router, e);
	if (!rc)
		rc = each(f, lists[2], add_kind, e);
	for (uint32_t k = 0; k < f->n_kinds; k++)
		most = fmax(most, f->capacity[k]);
	for (uint32_t k = 0; k < f->n_kinds; k++)
		f->capacity[k] /= most;
	return rc ? rc : level_targets(f, e);
}

/* ---- runs --------------------------------------------------------------------------------- */

static int run_row(const struct fleet_setup *f, const struct vt_backend *backends, struct row *row,
		   struct vt_err *e)
{
	const struct sim_mix *m = &f->kinds[0]->mixes[0];
	const struct sim_opts *o = f->opts;
	uint64_t requests = o->requests * row->nodes, host;
	struct source src = {.begun_ns = 0};
	struct vt_fleet_cfg cfg = {
		.n_nodes = row->nodes,
		.n_kinds = f->n_kinds,
		.banks = f->banks,
		.capacity = f->capacity,
		.tenants = m->tenants,
		.n_tenants = m->mix.n,
		.backends = backends,
		.policy = f->kinds[0]->policies[0],
		.router = row->router,
		.no_shed = o->no_shed,
		.blind = o->blind,
		.apart = o->apart,
		.next = next_arrival,
		.next_self = &src,
		.warmup = requests / 10,
		.progress = show,
	};
	char what[64];
	int rc;

	snprintf(what, sizeof(what), "sim: %u nodes, %s", row->nodes, vt_router_name(row->router));
	vt_poisson_init(&src.poisson, o->rate_hz * row->nodes, requests, o->seed, m->upto,
			m->mix.n);
	vt_progress_init(&src.progress, what, requests);
	host = host_ns();
	rc = vt_fleet_run(&cfg, &row->r, e);
	row->host_us = (double)(host_ns() - src.begun_ns) * 1e-3 / (double)requests;
	row->open_us = (double)(src.begun_ns - host) * 1e-3 / row->nodes;
	vt_progress_fini(&src.progress);
	return rc;
}

static int run_size(struct fleet_setup *f, uint32_t n_nodes, struct vt_err *e)
{
	const struct vt_mix *mix = &f->kinds[0]->mixes[0].mix;
	struct vt_backend *backends = calloc(mix->n, sizeof(*backends));
	int rc = backends ? 0 : vt_fail(e, -ENOMEM, "out of memory");

	for (uint32_t t = 0; t < mix->n && !rc; t++)
		rc = vt_backend_parse(mix->at[t].nodes, n_nodes, mix->at[t].model, &backends[t], e);
	for (uint32_t r = 0; r < f->n_routers && !rc; r++) {
		struct row *row = &f->rows[f->n_rows++];

		*row = (struct row){.nodes = n_nodes, .router = f->routers[r]};
		rc = run_row(f, backends, row, e);
	}
	for (uint32_t t = 0; backends && t < mix->n; t++)
		free(backends[t].nodes);
	free(backends);
	return rc;
}

/* ---- output ------------------------------------------------------------------------------- */

static double share(const struct vt_fleet_result *r)
{
	return r->offered ? (double)r->on_time / (double)r->offered : 0;
}

static double mean_ms(const struct vt_fleet_result *r)
{
	return r->served ? r->latency_ns * 1e-6 / (double)r->served : NAN;
}

static void print_table(const struct fleet_setup *f)
{
	const struct sim_setup *s = f->kinds[0];

	printf("\nmix %s, %u models, policy %s, %.6g requests/s and %llu requests for each node, "
	       "kinds of nodes:",
	       s->mixes[0].mix.name, s->mixes[0].mix.n, s->policies[0]->name, f->opts->rate_hz,
	       (unsigned long long)f->opts->requests);
	for (uint32_t k = 0; k < f->n_kinds; k++)
		printf(" %s", f->kinds[k]->machine.name);
	putchar('\n');
	sim_print_given(f->opts);
	printf("%6s %-12s %9s %8s %8s %6s %13s %10s %9s\n", "nodes", "router", "in QoS %",
	       "worst %", "mean ms", "busy %", "of a node", "us/request", "seconds");
	for (uint32_t i = 0; i < f->n_rows; i++) {
		const struct row *x = &f->rows[i];
		char ms[32] = "-";

		if (x->r.served)
			snprintf(ms, sizeof(ms), "%.2f", mean_ms(&x->r));
		printf("%6u %-12s %9.2f %8.1f %8s %6.1f %5.1f .. %5.1f %10.2f %9.2f\n", x->nodes,
		       vt_router_name(x->router), share(&x->r) * 100, x->r.worst_share * 100, ms,
		       x->r.busy * 100, x->r.least_busy * 100, x->r.most_busy * 100, x->host_us,
		       (double)x->r.span_ns * 1e-9);
	}
}

static json_t *row_json(const struct row *x)
{
	const struct vt_fleet_result *r = &x->r;

	return json_pack("{s:i,s:s,s:f,s:f,s:o,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:I,s:f,s:f}", "nodes",
			 (int)x->nodes, "router", vt_router_name(x->router), "in_qos", share(r),
			 "worst_model_in_qos", r->worst_share, "mean_ms", sim_number(mean_ms(r)),
			 "busy", r->busy, "least_busy_node", r->least_busy, "most_busy_node",
			 r->most_busy, "seconds", (double)r->span_ns * 1e-9, "offered",
			 (json_int_t)r->offered, "served", (json_int_t)r->served, "refused",
			 (json_int_t)r->refused, "blocks", (json_int_t)r->blocks,
			 "host_us_per_request", x->host_us, "host_us_to_open_a_node", x->open_us);
}

static int print_json(const struct fleet_setup *f, struct vt_err *e)
{
	json_t *list = json_array(), *machines = json_array(), *root;

	for (uint32_t i = 0; i < f->n_rows; i++)
		json_array_append_new(list, row_json(&f->rows[i]));
	for (uint32_t k = 0; k < f->n_kinds; k++)
		json_array_append_new(machines, json_string(f->kinds[k]->machine.name));
	root = json_pack("{s:s,s:s,s:i,s:o,s:f,s:I,s:o}", "mix", f->kinds[0]->mixes[0].mix.name,
			 "policy", f->kinds[0]->policies[0]->name, "models",
			 (int)f->kinds[0]->mixes[0].mix.n, "machines", machines, "rate_hz_per_node",
			 f->opts->rate_hz, "requests_per_node", (json_int_t)f->opts->requests,
			 "runs", list);
	sim_given_json(f->opts, root);
	return vt_say_json(root, e);
}

static bool any_served(const struct fleet_setup *f)
{
	for (uint32_t i = 0; i < f->n_rows; i++)
		if (f->rows[i].r.served)
			return true;
	return false;
}

static int write_plot(const struct fleet_setup *f, const char *path, bool script, struct vt_err *e)
{
	FILE *out = fopen(path, "we");
	int bad;

	if (!out)
		return vt_fail(e, -errno, "%s: %s", path, strerror(errno));
	if (script)
		fprintf(out,
			"set terminal pngcairo size 1100,430 font 'sans,11' background rgb "
			"'white'\n"
			"set datafile missing '?'\n"
			"set output 'fleet.png'\nset border 3\nset tics nomirror out\nset logscale "
			"x\n"
			"set xlabel 'nodes'\nset grid y lc rgb '#e0e0e0'\n"
			"set key above horizontal\nset linetype 1 lc rgb '#8a8a8a' lw 2 pt 7\n"
			"set linetype 2 lc rgb '#e69f00' lw 2 pt 7\n"
			"set linetype 3 lc rgb '#0072b2' lw 2 pt 7\n"
			"set multiplot layout 1,2\nset ylabel 'requests in time, %%'\n"
			"plot for [i=0:*] 'fleet.dat' index i using 1:2 with linespoints title "
			"columnheader(1)\nset ylabel 'mean latency, ms'\nset yrange [0:*]\n%s"
			"plot for [i=0:*] 'fleet.dat' index i using 1:3 with linespoints title "
			"columnheader(1)\nunset multiplot\n",
			any_served(f) ? "" : "set xrange [1:4096]\nset yrange [0:1]\n");
	for (uint32_t r = 0; !script && r < f->n_routers; r++) {
		fprintf(out, "%s\n", vt_router_name(f->routers[r]));
		for (uint32_t i = 0; i < f->n_rows; i++) {
			const struct row *x = &f->rows[i];

			if (x->router != f->routers[r])
				continue;
			fprintf(out, "%u %.4f ", x->nodes, share(&x->r) * 100);
			if (x->r.served)
				fprintf(out, "%.4f", mean_ms(&x->r));
			else
				fputc('?', out);
			fprintf(out, " %.4f\n", x->host_us);
		}
		fputs("\n\n", out);
	}
	bad = ferror(out);
	return fclose(out) || bad ? vt_fail(e, -EIO, "%s: cannot write", path) : 0;
}

static int plot(const struct fleet_setup *f, struct vt_err *e)
{
	const char *dir = f->opts->plot_dir;
	char path[4096];
	int rc;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return vt_fail(e, -errno, "%s: %s", dir, strerror(errno));
	snprintf(path, sizeof(path), "%s/fleet.dat", dir);
	rc = write_plot(f, path, false, e);
	snprintf(path, sizeof(path), "%s/fleet.gp", dir);
	if (!rc)
		rc = write_plot(f, path, true, e);
	return rc ? rc : vt_plot_draw(dir, "fleet", e);
}

static void setup_fini(struct fleet_setup *f)
{
	for (uint32_t k = 0; k < f->n_kinds; k++) {
		const struct sim_opts *o = f->kinds[k]->opts;

		sim_setup_fini(f->kinds[k]);
		free(f->kinds[k]);
		free((void *)o);
	}
}

int sim_fleet(const struct sim_opts *o, struct vt_err *e)
{
	struct fleet_setup *f = calloc(1, sizeof(*f));
	char *lists[3] = {strdup(o->nodes), strdup(o->routers), strdup(o->machine)};
	int rc = f && lists[0] && lists[1] && lists[2] ? 0 : vt_fail(e, -ENOMEM, "out of memory");

	if (!rc) {
		f->opts = o;
		rc = setup(f, lists, e);
	}
	for (uint32_t i = 0; !rc && i < f->n_nodes; i++)
		rc = run_size(f, f->nodes[i], e);
	if (!rc && o->plot_dir)
		rc = plot(f, e);
	if (!rc && o->json)
		rc = print_json(f, e);
	else if (!rc)
		print_table(f);
	if (f)
		setup_fini(f);
	free(f);
	for (size_t i = 0; i < 3; i++)
		free(lists[i]);
	return rc;
}
