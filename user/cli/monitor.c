// SPDX-License-Identifier: Apache-2.0
/*
 * monitor.c - `veltair monitor`: who uses the machine's caches and memory, and who suffers.
 *
 * Attaches to the runtime's instance when asked for runtime tenants and one is alive; else starts
 * its own.
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/cmds.h"
#include "cli/monitor.h"
#include "cli/monitor_bw.h"
#include "cli/monitor_listen.h"
#include "monitor/names.h"
#include "monitor/priv.h"

#define TEND_EVERY_NS VT_NS_PER_S
#define BLAME_TENANTS 64

struct options {
	uint64_t interval_ms, duration_s, top, depth, sample_hz, max_tenants;
	enum vt_group group;
	bool group_given, no_pin;
	const char *pin_dir, *resctrl, *listen;
	const struct vt_mon_format *format;
	struct vt_event_overrides events;
};

struct named {
	uint64_t key;
	char name[96];
};

struct session {
	struct options o;
	struct vt_monitor *m;
	bool owner;
	struct vt_names *names;
	struct named *cache; /* by row */
	struct vt_snapshot a, b;
	struct vt_window w;
	struct vt_slot_map map;
	struct vt_blame *blame;
	unsigned int line_bytes;
	char bandwidth[480];
	struct vt_bw *bw;
	struct vt_mon_line *line;
	struct vt_snapshot look; /* to tend by */
	uint64_t tended_ns;
	char said[sizeof(((struct vt_err *)0)->msg)]; /* the last trouble */
};

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = 1;
}

/* ---- options ----------------------------------------------------------------------------- */

enum {
	OPT_TOP = 256,
	OPT_JSON,
	OPT_CSV,
	OPT_BY,
	OPT_DEPTH,
	OPT_EVENT,
	OPT_PIN,
	OPT_NO_PIN,
	OPT_SAMPLE,
	OPT_MAX,
	OPT_RESCTRL,
	OPT_LISTEN
};

static const struct argp_option argp_options[] = {
	{"interval", 'i', "MS", 0, "length of a window [1000]", 0},
	{"duration", 'd', "S", 0, "stop after so many seconds [until interrupted]", 0},
	{"by", OPT_BY, "WHAT", 0,
	 "tenant, cgroup or process [tenant if the runtime is alive, else cgroup]", 0},
	{"depth", OPT_DEPTH, "N", 0,
	 "cgroups: those N levels below the root, children included [the leaf]", 0},
	{"top", OPT_TOP, "N", 0, "show the N that ran longest [20]", 0},
	{"event", OPT_EVENT, "ROLE=EVENT", 0,
	 "count EVENT for a role, e.g. llc_misses=r412e; may be repeated", 0},
	{"sample", OPT_SAMPLE, "HZ", 0, "also close long slices HZ times a second", 0},
	{"max-tenants", OPT_MAX, "N", 0, "room for so many tenants at one time [1024]", 0},
	{"pin-dir", OPT_PIN, "DIR", 0, "pin the maps under DIR [" VT_MONITOR_PIN_DIR "]", 0},
	{"no-pin", OPT_NO_PIN, NULL, 0, "pin nothing: bpftool finds the maps by id only", 0},
	{"resctrl", OPT_RESCTRL, "DIR", 0, "where resctrl is mounted [/sys/fs/resctrl]", 0},
	{"listen", OPT_LISTEN, "ADDR:PORT", 0,
	 "print nothing, answer /metrics and /dashboard there; also :PORT and unix:/PATH", 0},
	{"json", OPT_JSON, NULL, 0, "one JSON object a line", 0},
	{"csv", OPT_CSV, NULL, 0, "comma-separated values with a header", 0},
	{0},
};

static void number_arg(struct argp_state *state, const char *name, const char *arg, uint64_t min,
		       uint64_t max, uint64_t *ret)
{
	if (vt_parse_u64(arg, min, max, ret))
		argp_error(state, "--%s: '%.40s' is not a whole number from %lu to %lu", name, arg,
			   (unsigned long)min, (unsigned long)max);
}

static void group_arg(struct argp_state *state, const char *arg, struct options *o)
{
	for (uint32_t g = VT_BY_TENANT; g <= VT_BY_PROCESS; g++)
		if (!strcmp(arg, vt_group_name(g))) {
			o->group = (enum vt_group)g;
			o->group_given = true;
			return;
		}
	argp_error(state, "--by: '%.40s' is not tenant, cgroup or process", arg);
}

static void format_arg(struct argp_state *state, const struct vt_mon_format *f, struct options *o)
{
	if (o->format != &vt_mon_table && o->format != f)
		argp_error(state, "--json and --csv exclude each other");
	o->format = f;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	struct vt_err e = {0};

	switch (key) {
	case 'i':
		number_arg(state, "interval", arg, 1, 3600000, &o->interval_ms);
		break;
	case 'd':
		number_arg(state, "duration", arg, 1, 31536000, &o->duration_s);
		break;
	case OPT_TOP:
		number_arg(state, "top", arg, 1, 65536, &o->top);
		break;
	case OPT_DEPTH:
		number_arg(state, "depth", arg, 1, 32, &o->depth);
		break;
	case OPT_SAMPLE:
		number_arg(state, "sample", arg, 1, 10000, &o->sample_hz);
		break;
	case OPT_MAX:
		number_arg(state, "max-tenants", arg, 16, 65536, &o->max_tenants);
		break;
	case OPT_BY:
		group_arg(state, arg, o);
		break;
	case OPT_PIN:
		o->pin_dir = arg;
		break;
	case OPT_LISTEN:
		o->listen = arg;
		break;
	case OPT_RESCTRL:
		o->resctrl = arg;
		break;
	case OPT_NO_PIN:
		o->no_pin = true;
		break;
	case OPT_JSON:
	case OPT_CSV:
		format_arg(state, key == OPT_JSON ? &vt_mon_json : &vt_mon_csv, o);
		break;
	case OPT_EVENT:
		if (vt_event_override(&o->events, arg, &e))
			argp_error(state, "%s", e.msg);
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%.60s'", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* ---- names ------------------------------------------------------------------------------- */

static const char *name_of(struct session *s, uint64_t key, uint32_t row)
{
	struct named *n = &s->cache[row];

	if (n->key != key || vt_name_may_change(s->m, key)) {
		vt_tenant_name(s->m, s->names, key, n->name, sizeof(n->name));
		n->key = key;
	}
	return n->name;
}

/* ---- one window -------------------------------------------------------------------------- */

/* What the hardware measured for the tenant beats lines times their size. */
static void use_measured(struct session *s, const struct vt_window_row *r, struct vt_mon_line *l)
{
	const char *path = NULL;
	double rate;

	if (s->o.depth)
		return; /* a tenant of many cgroups: their threads cannot all be followed in time */
	if (vt_key_kind(r->tenant) == VT_KIND_CGROUP)
		path = vt_names_cgroup(s->names, vt_key_id(r->tenant));
	rate = vt_bw_tenant(s->bw, r->tenant, path);
	if (isnan(rate))
		return;
	l->r.dram_bytes_per_s = rate;
	l->r.share_of_bandwidth = rate / vt_bw_machine(s->bw);
}

static void fill_line(struct session *s, const struct vt_window_row *r, struct vt_mon_line *l)
{
	struct vt_verdict v;
	struct vt_tenant t;

	*l = (struct vt_mon_line){
		.kind = vt_tenant_kind_name(r->tenant),
		.id = vt_key_id(r->tenant),
		.r = vt_window_rates(&s->w, r, &s->map, s->line_bytes),
		.coverage = r->coverage,
	};
	snprintf(l->name, sizeof(l->name), "%s", name_of(s, r->tenant, r->row));
	use_measured(s, r, l);
	if (vt_blame_of(s->blame, r->tenant, &v))
		return;
	l->slowdown = v.slowdown;
	if (vt_monitor_find(s->m, v.aggressor, &t) || t.row >= vt_monitor_meta(s->m)->max_rows)
		return;
	snprintf(l->suffers, sizeof(l->suffers), "%s", name_of(s, v.aggressor, t.row));
}

static struct vt_mon_view view_of(struct session *s)
{
	unsigned int n = s->w.n < s->o.top ? s->w.n : (unsigned int)s->o.top;

	for (unsigned int i = 0; i < n; i++)
		fill_line(s, &s->w.row[i], &s->line[i]);
	return (struct vt_mon_view){
		.m = s->m,
		.w = &s->w,
		.map = &s->map,
		.bandwidth_source = s->bandwidth,
		.line = s->line,
		.lines = n,
		.left_out = s->w.n - n,
	};
}

static int unreadable(const struct session *s, int err, struct vt_err *e)
{
	if (vt_monitor_alive(s->m, e))
		return e->code;
	return vt_fail(e, err, "cannot read the counters: %s", strerror(-err));
}

static int one_window(struct session *s, struct vt_err *e)
{
	struct vt_snapshot swap;
	struct vt_mon_view v;
	/* An eighth: a task that nothing switches out would else be closed in every second window. */
	int err = vt_monitor_read(s->m, s->o.interval_ms * VT_NS_PER_MS / 8, &s->b);

	if (!err)
		err = vt_window_close(&s->a, &s->b, s->map.slots, &s->w);
	if (err)
		return unreadable(s, err, e);
	vt_window_sort(&s->w);
	vt_blame_feed(s->blame, &s->w, &s->map);
	vt_bw_tick(s->bw, s->b.mono_ns);
	v = view_of(s);
	s->o.format->window(&v);
	swap = s->a;
	s->a = s->b;
	s->b = swap;
	return 0;
}

/* ---- the session ------------------------------------------------------------------------- */

static int start(struct session *s, struct vt_err *e)
{
	const char *dir = s->o.no_pin ? NULL : s->o.pin_dir;
	struct vt_monitor_opts mo = {
		.pin_dir = dir,
		.group = s->o.group,
		.depth = (uint32_t)s->o.depth,
		.max_rows = (uint32_t)s->o.max_tenants,
		.sample_hz = (uint32_t)s->o.sample_hz,
		.ev = &s->o.events,
	};
	struct vt_err nameless = {0};
	int err = -ENOENT;

	if (dir && s->o.group == VT_BY_TENANT)
		err = vt_monitor_attach(dir, &s->m, NULL);
	s->owner = err;
	if (s->owner) {
		if (!s->o.group_given)
			mo.group = VT_BY_CGROUP;
		err = vt_monitor_open(&mo, &s->m, e);
	}
	if (err == -EBUSY)
		vt_fail_more(e, ", read its counters without --by, or give this one --pin-dir");
	if (!err && vt_cgroup_nameless(s->m, &nameless))
		fprintf(stderr, "veltair monitor: cgroups cannot be told apart: %s\n",
			nameless.msg);
	return err;
}

static void describe_bandwidth(struct session *s)
{
	static const enum vt_role source[] = {VT_ROLE_DRAM_FILLS, VT_ROLE_LLC_MISSES};

	for (int i = 0; i < 2; i++)
		if (s->map.hw[source[i]]) {
			snprintf(s->bandwidth, sizeof(s->bandwidth), "%s, else %s x %u bytes",
				 vt_bw_source(s->bw), vt_role_name(source[i]), s->line_bytes);
			return;
		}
	snprintf(s->bandwidth, sizeof(s->bandwidth), "%s", vt_bw_source(s->bw));
}

static int prepare(struct session *s, struct vt_err *e)
{
	char root[256];
	long line = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
	struct vt_mon_view v;
	int err = start(s, e);

	if (err)
		return err;
	s->line_bytes = line > 0 ? (unsigned int)line : 64;
	if (vt_cgroup_mount(NULL, root, sizeof(root), NULL))
		root[0] = '\0';
	s->names = vt_names_new(root[0] ? root : NULL);
	s->bw = vt_bw_new(s->o.resctrl, root[0] ? root : NULL, NULL);
	s->cache = calloc(vt_monitor_meta(s->m)->max_rows, sizeof(*s->cache));
	s->line = calloc(s->o.top, sizeof(*s->line));
	s->blame = vt_blame_new(BLAME_TENANTS);
	if (!s->names || !s->cache || !s->line || !s->blame || !s->bw)
		return vt_fail(e, -ENOMEM, "out of memory");
	vt_slot_map_init(&s->map, s->m);
	describe_bandwidth(s);
	v = view_of(s);
	s->o.format->head(&v);
	fflush(stdout);
	return vt_priv_drop(e);
}

static void sleep_until(uint64_t t_mono_ns)
{
	struct timespec ts = {.tv_sec = (time_t)(t_mono_ns / VT_NS_PER_S),
			      .tv_nsec = (long)(t_mono_ns % VT_NS_PER_S)};

	while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

/* A window may last an hour, the rows of the dead may not: once a second they are given away, or is the owner asked for. */
static int tend(struct session *s, struct vt_err *e)
{
	struct vt_err trouble = {0};
	int err;

	s->tended_ns = vt_now_mono_ns();
	if (!s->owner)
		return vt_monitor_alive(s->m, e);
	vt_monitor_events(s->m, NULL, NULL);
	err = vt_monitor_read(s->m, UINT64_MAX, &s->look);
	if (err)
		return unreadable(s, err, e);
	if (vt_monitor_tend(s->m, &s->look, &trouble) && strcmp(s->said, trouble.msg) != 0) {
		memcpy(s->said, trouble.msg, sizeof(s->said));
		fprintf(stderr, "veltair monitor: %s\n", s->said);
	}
	return 0;
}

static int tend_until(struct session *s, uint64_t t_mono_ns, struct vt_err *e)
{
	int err = 0;

	while (!stopped && !err && vt_now_mono_ns() < t_mono_ns) {
		uint64_t due = s->tended_ns + TEND_EVERY_NS;

		sleep_until(due < t_mono_ns ? due : t_mono_ns);
		if (!stopped && vt_now_mono_ns() >= due)
			err = tend(s, e);
	}
	return err;
}

static int run(struct session *s, struct vt_err *e)
{
	uint64_t step = s->o.interval_ms * VT_NS_PER_MS, next, end = UINT64_MAX;
	int err = vt_monitor_read(s->m, 0, &s->a);

	if (err)
		return unreadable(s, err, e);
	next = s->tended_ns = s->a.mono_ns;
	if (s->o.duration_s)
		end = next + s->o.duration_s * VT_NS_PER_S;
	while (!stopped && !err && next < end && !ferror(stdout)) {
		next = next + step < end ? next + step : end;
		err = tend_until(s, next, e);
		if (stopped || err)
			break;
		err = one_window(s, e);
		/* A window that took too long is not made up for by short ones. */
		if (vt_now_mono_ns() > next + step)
			next = vt_now_mono_ns();
	}
	return err;
}

int vt_cmd_monitor(int argc, char **argv)
{
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.doc = "Count cache misses, instructions and memory bandwidth per tenant, and tell "
		       "who suffers "
		       "from whom.\vNeeds root, or CAP_BPF and CAP_PERFMON and a writable pin "
		       "directory. Where a runtime counts already its counters are read, as long "
		       "as "
		       "it runs. "
		       "While it runs, the maps under " VT_MONITOR_PIN_DIR "/" VT_ABI_DIR
		       " can be read with bpftool.",
	};
	struct sigaction sa = {.sa_handler = on_signal}, hup = {.sa_handler = SIG_DFL};
	struct session s = {.o = {.interval_ms = 1000,
				  .top = 20,
				  .pin_dir = VT_MONITOR_PIN_DIR,
				  .format = &vt_mon_table}};
	struct vt_err e = {0};
	int err;

	vt_cmd_parse(&argp, argc, argv, &s.o);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, NULL, &hup);
	if (hup.sa_handler != SIG_IGN) /* nohup */
		sigaction(SIGHUP, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	err = s.o.listen ? start(&s, &e) : prepare(&s, &e);
	if (!err && s.o.listen)
		err = vt_monitor_listen(s.m, s.owner, s.o.listen, &stopped, &e);
	else if (!err)
		err = run(&s, &e);
	vt_monitor_close(s.m);
	vt_bw_free(s.bw);
	vt_names_free(s.names);
	vt_blame_free(s.blame);
	vt_window_fini(&s.w);
	vt_snapshot_fini(&s.a);
	vt_snapshot_fini(&s.b);
	vt_snapshot_fini(&s.look);
	free(s.cache);
	free(s.line);
	return err ? vt_cmd_fail("monitor", &e) : VT_EXIT_OK;
}
