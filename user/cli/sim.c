// SPDX-License-Identifier: Apache-2.0
/* sim.c - `veltair sim`: compare policies on machines far larger than this one. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmds.h"
#include "cli/sim_cli.h"

enum {
	OPT_MACHINE = 0x100,
	OPT_MIX,
	OPT_POLICY,
	OPT_RATE,
	OPT_SEARCH,
	OPT_SHARE,
	OPT_SEED,
	OPT_SEEDS,
	OPT_REQUESTS,
	OPT_JOBS,
	OPT_PROFILES,
	OPT_TABLES,
	OPT_ARRIVALS,
	OPT_BOUND,
	OPT_NO_SHED,
	OPT_BLIND,
	OPT_APART,
	OPT_JSON,
	OPT_PLOT,
	OPT_RECORD,
	OPT_REPLAY,
	OPT_TRACE,
	OPT_NODES,
	OPT_ROUTER,
};

static const struct argp_option options[] = {
	{"machine", OPT_MACHINE, "FILE", 0, "Machine: a file, or a name of share/machines (3990x)",
	 1},
	{"mix", OPT_MIX, "LIST", 0,
	 "light, medium, heavy, all, names of share/mixes, or files; several by comma (light, or "
	 "the models of a recording)",
	 1},
	{"policy", OPT_POLICY, "LIST", 0, "Policies by comma, or all (all)", 1},
	{"rate", OPT_RATE, "HZ", 0, "Run at this many requests a second", 1},
	{"search", OPT_SEARCH, NULL, 0, "Find the highest rate that meets --qos-share", 1},
	{"qos-share", OPT_SHARE, "X", 0,
	 "Share of requests that must end in time, of --search (0.95)", 1},
	{"bound", OPT_BOUND, NULL, 0, "Add the clairvoyant upper bound to the policies", 1},
	{"seed", OPT_SEED, "N", 0, "First seed (1)", 2},
	{"seeds", OPT_SEEDS, "N", 0,
	 "Runs with consecutive seeds, for intervals (1; 10 with --search)", 2},
	{"requests", OPT_REQUESTS, "N", 0,
	 "Requests in a run; the first tenth warm up and are in no share or latency (4000)", 2},
	{"jobs", OPT_JOBS, "N", 0, "Threads (all cores; a fleet has one)", 2},
	{"profiles", OPT_PROFILES, "CSV|DB", 0,
	 "Measured times, also a store of `veltair profile`; models not in it come from shapes", 3},
	{"asplos22", OPT_TABLES, "DIR", 0,
	 "The authors' tables for ResNet-50 and GoogLeNet (VELTAIR_ASPLOS22_DATA)", 3},
	{"arrivals", OPT_ARRIVALS, "FILE", 0,
	 "Arrivals from lines 'seconds,model' instead of Poisson, or those of a recording (serve "
	 "--record), whose models are the mix unless one is said",
	 3},
	{"no-shed", OPT_NO_SHED, NULL, 0, "Serve hopeless requests last instead of refusing them",
	 3},
	{"no-contention", OPT_APART, NULL, 0,
	 "Blocks do not slow each other: what memory and caches cost otherwise", 0},
	{"no-counters", OPT_BLIND, NULL, 0, "The machine has no PMU: pressure from slowdown alone",
	 3},
	{"json", OPT_JSON, NULL, 0, "Results as JSON", 4},
	{"plot", OPT_PLOT, "DIR", 0, "Write plots (PNG, with their data) to DIR", 4},
	{"record", OPT_RECORD, "FILE", 0, "Record the decisions of one run (one mix, one policy)",
	 4},
	{"trace", OPT_TRACE, "FILE", 0,
	 "Write which block and layer of one run ran on which core when, for Perfetto (one mix, "
	 "one "
	 "policy)",
	 4},
	{"replay", OPT_REPLAY, "FILE", 0,
	 "Decide a recorded run again, by its policy, and compare, byte for byte (alone, or with "
	 "--json)",
	 4},
	{"nodes", OPT_NODES, "LIST", 0,
	 "A fleet of so many nodes; machines of a list in turn; --rate and --requests are of one "
	 "node",
	 5},
	{"router", OPT_ROUTER, "LIST", 0,
	 "In front of the fleet: round-robin, least-conn, weighted (all three)", 5},
	{0},
};

/** Numbers among the options: where they go and what is absurd. */
static const struct number {
	int key;
	bool whole;
	size_t at;
	double min, max;
} numbers[] = {
	{OPT_RATE, false, offsetof(struct sim_opts, rate_hz), 1e-6, 1e9},
	{OPT_SHARE, false, offsetof(struct sim_opts, share), 1e-6, 1},
	{OPT_SEED, true, offsetof(struct sim_opts, seed), 0, 1e15},
	{OPT_SEEDS, true, offsetof(struct sim_opts, seeds), 1, 1000},
	{OPT_REQUESTS, true, offsetof(struct sim_opts, requests), 10, 1e8},
	{OPT_JOBS, true, offsetof(struct sim_opts, jobs), 1, 256},
};

static const struct {
	int key;
	size_t at;
} texts[] = {
	{OPT_MACHINE, offsetof(struct sim_opts, machine)},
	{OPT_MIX, offsetof(struct sim_opts, mixes)},
	{OPT_POLICY, offsetof(struct sim_opts, policies)},
	{OPT_PROFILES, offsetof(struct sim_opts, profiles)},
	{OPT_TABLES, offsetof(struct sim_opts, tables)},
	{OPT_ARRIVALS, offsetof(struct sim_opts, arrivals)},
	{OPT_PLOT, offsetof(struct sim_opts, plot_dir)},
	{OPT_RECORD, offsetof(struct sim_opts, record)},
	{OPT_REPLAY, offsetof(struct sim_opts, replay)},
	{OPT_TRACE, offsetof(struct sim_opts, trace)},
	{OPT_NODES, offsetof(struct sim_opts, nodes)},
	{OPT_ROUTER, offsetof(struct sim_opts, routers)},
};

static const struct {
	int key;
	size_t at;
} flags[] = {
	{OPT_SEARCH, offsetof(struct sim_opts, search)},
	{OPT_BOUND, offsetof(struct sim_opts, bound)},
	{OPT_NO_SHED, offsetof(struct sim_opts, no_shed)},
	{OPT_BLIND, offsetof(struct sim_opts, blind)},
	{OPT_APART, offsetof(struct sim_opts, apart)},
	{OPT_JSON, offsetof(struct sim_opts, json)},
};

static const char *option_name(int key)
{
	for (const struct argp_option *o = options; o->name; o++)
		if (o->key == key)
			return o->name;
	return "?";
}

static void parse_number(const struct number *n, char *arg, struct sim_opts *o,
			 struct argp_state *state)
{
	char *at = (char *)o + n->at;
	uint64_t u;
	double f;
	int rc = n->whole ? vt_parse_u64(arg, (uint64_t)n->min, (uint64_t)n->max, &u)
			  : vt_parse_f64(arg, n->min, n->max, &f);

	if (rc)
		argp_error(state, "--%s must be a %snumber in %g..%g, not '%.40s'",
			   option_name(n->key), n->whole ? "whole " : "", n->min, n->max, arg);
	else if (n->whole)
		memcpy(at, &u, sizeof(u));
	else
		memcpy(at, &f, sizeof(f));
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct sim_opts *o = state->input;

	if (key >= OPT_MACHINE && key <= OPT_ROUTER && key != OPT_REPLAY && key != OPT_JSON &&
	    !o->beside_replay)
		o->beside_replay = option_name(key);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (numbers[i].key == key) {
			parse_number(&numbers[i], arg, o, state);
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (texts[i].key == key) {
			memcpy((char *)o + texts[i].at, &arg, sizeof(arg));
			return 0;
		}
	}
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i].key == key) {
			*((bool *)o + flags[i].at) = true;
			return 0;
		}
	}
	if (key == ARGP_KEY_ARG)
		argp_error(state, "unexpected argument '%.40s'", arg);
	return ARGP_ERR_UNKNOWN;
}

/** The list of policies, after the options. */
static char *help(int key, const char *text, void *input)
{
	char *list = NULL;
	size_t len;
	FILE *f;

	if (key != ARGP_KEY_HELP_POST_DOC)
		return (char *)text;
	f = open_memstream(&list, &len);
	if (!f)
		return (char *)text;
	vt_help_policies(f);
	fputs("\nExamples:\n"
	      "  veltair sim --mix light --policy planaria,veltair-full --rate 1000\n"
	      "  veltair sim --mix light,medium,heavy --search --bound --plot plots\n"
	      "  veltair sim --machine vm-2 --policy fcfs,veltair-full --arrivals night.rec\n"
	      "  veltair sim --mix light --policy veltair-full --nodes 1,10,100 --rate 500\n",
	      f);
	fclose(f);
	return list;
}

/* What is decided again is in the file: its policy, machine, models and arrivals. */
static int check_replay(const struct sim_opts *o, struct vt_err *e)
{
	if (!o->replay || !o->beside_replay)
		return 0;
	return vt_fail(e, -EINVAL,
		       "--%s: not with --replay, which decides again what is in the file, by the "
		       "policy in it; only --json goes with it",
		       o->beside_replay);
}

static uint64_t requests_of(const struct sim_opts *o)
{
	return o->requests ? o->requests : 4000;
}

static const char *check_opts(const struct sim_opts *o)
{
	if (o->search && o->rate_hz > 0)
		return "--search and --rate exclude each other";
	if (o->search && (o->arrivals || o->record || o->trace))
		return "--search makes its own arrivals, and many runs: not with --arrivals, "
		       "--record or --trace";
	if (o->routers && !o->nodes)
		return "--router is of a fleet: say --nodes";
	if (o->share > 0 && !o->search)
		return "--qos-share is what --search looks for: say --search";
	if (o->trace && o->nodes)
		return "--trace is of a run: not with --nodes";
	if (o->jobs && o->nodes)
		return "--nodes: one run after the other, so not with --jobs";
	if ((o->record || o->trace) && o->seeds > 1)
		return "--record and --trace are of one run: not with --seeds";
	if (o->arrivals && o->rate_hz > 0)
		return "--arrivals and --rate exclude each other";
	if (o->rate_hz > 0 && (double)requests_of(o) / o->rate_hz > VT_ARRIVALS_MAX_S)
		return "--requests at --rate take more than 1e9 seconds: fewer, or a higher rate";
	if (o->arrivals && o->requests)
		return "--arrivals are as many as they are: not with --requests";
	if (o->arrivals && o->seeds > 1)
		return "--arrivals are the same for every seed: not with --seeds";
	if (!o->search && o->rate_hz <= 0 && !o->arrivals && !o->replay && !o->nodes)
		return "say --rate HZ, --search, --arrivals FILE or --replay FILE";
	return NULL;
}

static int simulate(const struct sim_opts *o, struct vt_err *e)
{
	struct sim_setup *s = calloc(1, sizeof(*s));
	struct sim_results *r = calloc(1, sizeof(*r));
	int rc = s && r ? 0 : vt_fail(e, -ENOMEM, "out of memory");

	if (!rc)
		rc = vt_can_write_all((const char *const[]){o->record, o->trace}, 2, o->plot_dir,
				      e);
	if (!rc)
		rc = sim_setup_init(s, o, e);

	if (!rc && o->record)
		rc = sim_record(s, o->record, e);
	if (!rc && o->trace)
		rc = sim_chrome(s, o->trace, e);
	if (!rc)
		rc = sim_work(s, r, e);
	if (!rc && o->plot_dir)
		rc = sim_plot(s, r, e);
	if (!rc && o->json)
		rc = sim_report_json(s, r, e);
	else if (!rc)
		sim_report_table(s, r);
	/* Of a server that was killed the end is missing, but what is there can be of use. */
	if (!rc && s->recorded.cut.code)
		rc = vt_fail(e, s->recorded.cut.code, "%s", s->recorded.cut.msg);
	if (s)
		sim_setup_fini(s);
	if (r)
		sim_results_fini(r);
	free(s);
	free(r);
	return rc;
}

int vt_cmd_sim(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "Compare scheduling policies on a simulated machine.\v",
		.help_filter = help,
	};
	struct sim_opts o = {
		.machine = "3990x",
		.policies = "all",
		.tables = getenv("VELTAIR_ASPLOS22_DATA"),
		.seed = 1,
	};
	struct vt_err e = {0};
	const char *wrong;
	int rc;

	rc = vt_cmd_parse(&argp, argc, argv, &o);
	if (!rc)
		rc = check_replay(&o, &e);
	wrong = rc ? NULL : check_opts(&o);
	if (wrong)
		rc = vt_fail(&e, -EINVAL, "%s", wrong);
	o.requests = requests_of(&o);
	o.routers = o.routers ? o.routers : "round-robin,least-conn,weighted";
	o.seeds = o.seeds ? o.seeds : o.search ? 10 : 1;
	o.share = o.share > 0 ? o.share : 0.95;
	o.jobs = o.jobs ? o.jobs : (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
	if (!rc)
		rc = o.replay  ? sim_replay(o.replay, o.json, &e)
		     : o.nodes ? sim_fleet(&o, &e)
			       : simulate(&o, &e);
	if (!rc)
		rc = vt_said_all(&e);
	return e.code ? vt_cmd_fail("sim", &e) : rc;
}
