// SPDX-License-Identifier: Apache-2.0
/* bench.c - `veltair bench`: how many requests a second end in time, live, beside what others do. */
#include "cli/cli.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_cli.h"
#include "cli/cmds.h"

/* Names that go into CSV and tables as they are. */
#define PLAIN	  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define PEER_NAME 40u

enum {
	OPT_MODEL = 0x100,
	OPT_POLICY,
	OPT_URL,
	OPT_SHM,
	OPT_PEER,
	OPT_PEER_DEADLINES,
	OPT_RATE,
	OPT_SHARE,
	OPT_QOS,
	OPT_SECS,
	OPT_ROUNDS,
	OPT_SEED,
	OPT_CORES,
	OPT_INSTANCES,
	OPT_NO_SHED,
	OPT_MONITOR,
	OPT_PROFILES,
	OPT_FIXED,
	OPT_BUBBLE,
	OPT_AGGRESSOR,
	OPT_PERIOD,
	OPT_LIMIT,
	OPT_ALONE,
	OPT_JSON,
	OPT_CSV,
	OPT_PLOT,
	OPT_HTML,
};

static const struct argp_option options[] = {
	{NULL, 0, NULL, 0, "What is compared:", 1},
	{"model", OPT_MODEL, "PATH[=NAME][:MS][:W]", 0,
	 "A model, its target in ms (or auto) and its weight in the mix; give one for each tenant",
	 1},
	{"policy", OPT_POLICY, "LIST", 0,
	 "Policies by comma, or all, in this process (veltair-full, unless --url or --peer is "
	 "given)",
	 1},
	{"url", OPT_URL, "URL", 0,
	 "A server: http://HOST:PORT or unix:PATH; a model's NAME is its name there", 1},
	{"shared-memory", OPT_SHM, NULL, 0,
	 "Inputs for --url lie in shared memory (Triton's system shared memory extension)", 1},
	{"peer", OPT_PEER, "NAME=COMMAND", 0,
	 "Another engine, a process per model: COMMAND PATH, which reads 'ID DEADLINE' and answers "
	 "'ID' a line",
	 1},
	{"peer-deadlines", OPT_PEER_DEADLINES, NULL, 0,
	 "Peers a second time, told their deadlines: they may drop", 1},
	{NULL, 0, NULL, 0, "How it is driven:", 2},
	{"rate", OPT_RATE, "HZ", 0, "This many requests a second (else: search the highest)", 2},
	{"qos-share", OPT_SHARE, "X", 0, "Share of requests that must end in time (0.95)", 2},
	{"qos", OPT_QOS, "auto|Nx|MS", 0,
	 "Target of models without their own: N times the time alone, of the slowest engine "
	 "compared (auto: 3x)",
	 2},
	{"secs", OPT_SECS, "S", 0, "Length of a slice (as long as 150 requests alone, 3 at least)",
	 2},
	{"rounds", OPT_ROUNDS, "N", 0,
	 "Rounds, one slice of each row, interleaved (8); of four or more one may be set aside", 2},
	{"seed", OPT_SEED, "N", 0, "Seed of the arrivals (1)", 2},
	{NULL, 0, NULL, 0, "The runtime in this process:", 3},
	{"cores", OPT_CORES, "LIST", 0,
	 "Cores of its workers (all allowed); peers are not bound to them", 3},
	{"instances", OPT_INSTANCES, "N", 0, "Requests of one model that may run at once (2)", 3},
	{"no-shed", OPT_NO_SHED, NULL, 0, "Serve hopeless requests late instead of refusing them",
	 3},
	{"monitor", OPT_MONITOR, NULL, 0, "With the counters on (root)", 3},
	{"profiles", OPT_PROFILES, "DB", 0, "Times of a profile store (else: a few runs)", 3},
	{"fixed", OPT_FIXED, NULL, 0,
	 "Also versions fixed to each pressure level: the choices that hindsight has", 3},
	{NULL, 0, NULL, 0, "Interference:", 4},
	{"bubble", OPT_BUBBLE, "LEVEL[@CORES]", 0,
	 "The bubble (see `veltair bubble`) at this level, 0 to 4, on these cores", 4},
	{"aggressor", OPT_AGGRESSOR, "COMMAND", 0, "A command that runs beside", 4},
	{"aggressor-period", OPT_PERIOD, "S", 0,
	 "Stop and continue either every S seconds, anew with each slice", 4},
	{NULL, 0, NULL, 0, "What is printed:", 5},
	{"limit", OPT_LIMIT, NULL, 0,
	 "Only the queueing limit of --model NAME:MS:W at times --alone MS,MS...", 5},
	{"alone", OPT_ALONE, "MS,...", 0, "For --limit: each model's time alone", 5},
	{"json", OPT_JSON, NULL, 0, "Results as JSON", 5},
	{"csv", OPT_CSV, NULL, 0, "Every slice as a line of CSV", 5},
	{"plot", OPT_PLOT, "DIR", 0, "Pictures, with their data, into DIR (gnuplot)", 5},
	{"html", OPT_HTML, "FILE", 0, "A page of its own with all of it", 5},
	{0},
};

/** Numbers among the options: where they go and what is absurd. */
static const struct number {
	int key;
	bool whole;
	size_t at;
	double min, max;
} numbers[] = {
	{OPT_RATE, false, offsetof(struct bench_opts, rate_hz), 1e-3, 1e6},
	{OPT_SHARE, false, offsetof(struct bench_opts, share), 0.01, 0.9999},
	{OPT_SECS, false, offsetof(struct bench_opts, secs), 0.05, 86400},
	{OPT_PERIOD, false, offsetof(struct bench_opts, aggressor_period_s), 0.05, 3600},
	{OPT_ROUNDS, true, offsetof(struct bench_opts, rounds), 1, 10000},
	{OPT_SEED, true, offsetof(struct bench_opts, seed), 0, 1e15},
	{OPT_INSTANCES, true, offsetof(struct bench_opts, instances), 1, 64},
};

static const struct {
	int key;
	size_t at;
} texts[] = {
	{OPT_POLICY, offsetof(struct bench_opts, policies)},
	{OPT_URL, offsetof(struct bench_opts, url)},
	{OPT_PROFILES, offsetof(struct bench_opts, profiles)},
	{OPT_AGGRESSOR, offsetof(struct bench_opts, aggressor)},
	{OPT_PLOT, offsetof(struct bench_opts, plot_dir)},
	{OPT_HTML, offsetof(struct bench_opts, html)},
	{OPT_ALONE, offsetof(struct bench_opts, alone)},
};

static const struct {
	int key;
	size_t at;
} flags[] = {
	{OPT_SHM, offsetof(struct bench_opts, shared_memory)},
	{OPT_PEER_DEADLINES, offsetof(struct bench_opts, peer_deadlines)},
	{OPT_NO_SHED, offsetof(struct bench_opts, no_shed)},
	{OPT_MONITOR, offsetof(struct bench_opts, monitor)},
	{OPT_FIXED, offsetof(struct bench_opts, fixed)},
	{OPT_LIMIT, offsetof(struct bench_opts, limit)},
	{OPT_JSON, offsetof(struct bench_opts, json)},
	{OPT_CSV, offsetof(struct bench_opts, csv)},
};

static const char *option_name(int key)
{
	for (const struct argp_option *o = options; o->name || o->doc; o++)
		if (o->key == key)
			return o->name;
	return "?";
}

static void parse_number(const struct number *n, char *arg, struct bench_opts *o,
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

/** Cut a trailing ":..." off @s and return it, or NULL. */
static char *cut_tail(char *s)
{
	char *colon = strrchr(s, ':');

	if (!colon || strchr(colon, '/') || strchr(colon, '='))
		return NULL;
	*colon = '\0';
	return colon + 1;
}

static char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	size_t n = strlen(base);

	if (n > 5 && !strcmp(base + n - 5, ".onnx"))
		n -= 5;
	return strndup(base, n);
}

static void add_model(const char *arg, struct bench_opts *o, struct argp_state *state)
{
	struct bench_model m = {.weight = 1, .path = strdup(arg)};
	char *last = cut_tail(m.path), *first = last ? cut_tail(m.path) : NULL, *eq;
	const char *qos = first ? first : last, *weight = first ? last : NULL;

	if (o->n_models == BENCH_MODELS)
		argp_error(state, "--model: at most %u of them", BENCH_MODELS);
	if (qos && strcmp(qos, "auto") != 0 && vt_parse_f64(qos, 0.001, 3.6e6, &m.qos_ms))
		argp_error(state,
			   "--model '%.80s': the target must be auto or 0.001..3.6e6 ms, not "
			   "'%.20s'",
			   arg, qos);
	if (weight && vt_parse_f64(weight, 1e-6, 1e6, &m.weight))
		argp_error(state, "--model '%.80s': the weight must be in 1e-6..1e6, not '%.20s'",
			   arg, weight);
	eq = strrchr(m.path, '=');
	m.name = eq ? strdup(eq + 1) : base_name(m.path);
	if (eq)
		*eq = '\0';
	if (!*m.path || !*m.name || strlen(m.name) >= VT_MODEL_NAME_MAX)
		argp_error(state,
			   "--model '%.80s': say PATH[=NAME][:MS][:WEIGHT], a name of 1 to %u "
			   "bytes",
			   arg, VT_MODEL_NAME_MAX - 1);
	for (uint32_t i = 0; i < o->n_models; i++)
		if (!strcmp(o->model[i].name, m.name))
			argp_error(state, "--model: '%s' is given twice; name one with =NAME",
				   m.name);
	o->model[o->n_models++] = m;
}

static bool is_taken(const struct bench_opts *o, const char *peer)
{
	static const char *const engines[] = {"veltair", "http", "shm"};

	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++)
		if (!strcmp(engines[i], peer))
			return true;
	for (uint32_t i = 0; i < o->n_peers; i++)
		if (!strcmp(o->peer[i].name, peer))
			return true;
	return vt_policy_find(peer);
}

static void add_peer(const char *arg, struct bench_opts *o, struct argp_state *state)
{
	const char *eq = strchr(arg, '=');
	char *name;

	if (!eq || eq == arg || !eq[1])
		argp_error(state, "--peer '%.80s': say NAME=COMMAND", arg);
	if (o->n_peers == BENCH_ENGINES - 2)
		argp_error(state, "--peer: at most %u of them", BENCH_ENGINES - 2);
	name = strndup(arg, (size_t)(eq - arg));
	if (name[strspn(name, PLAIN)] || strlen(name) > PEER_NAME)
		argp_error(state,
			   "--peer '%.80s': a name has 1 to %u letters, digits, '-', '_' and '.'",
			   arg, PEER_NAME);
	if (is_taken(o, name))
		argp_error(state, "--peer: another row is called '%s'", name);
	o->peer[o->n_peers++] = (struct bench_peer){name, strdup(eq + 1)};
}

static void parse_bubble(char *arg, struct bench_opts *o, struct argp_state *state)
{
	char *cores = strchr(arg, '@');
	struct vt_cpuset set;

	if (cores)
		*cores++ = '\0';
	if (vt_parse_u64(arg, 0, VT_LEVELS - 1, &o->bubble))
		argp_error(state, "--bubble must be a whole number in 0..%u, not '%.40s'",
			   VT_LEVELS - 1, arg);
	if (cores && vt_cpuset_parse(cores, &set))
		argp_error(state, "--bubble: '%.40s' is no list of cores such as 0-3,8", cores);
	o->bubble_cores = cores;
	o->has_bubble = true;
}

static void parse_qos(char *arg, struct bench_opts *o, struct argp_state *state)
{
	size_t n = strlen(arg);

	o->qos_ms = 0;
	o->qos_factor = 3;
	if (!strcmp(arg, "auto"))
		return;
	if (n && arg[n - 1] == 'x') {
		arg[n - 1] = '\0';
		if (vt_parse_f64(arg, 1, 1000, &o->qos_factor))
			argp_error(state, "--qos: a factor must be in 1x..1000x, not '%.40sx'",
				   arg);
	} else if (vt_parse_f64(arg, 0.001, 3.6e6, &o->qos_ms)) {
		argp_error(state,
			   "--qos must be auto, a factor as 3x, or 0.001..3.6e6 ms, not "
			   "'%.40s'",
			   arg);
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct bench_opts *o = state->input;

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
	switch (key) {
	case OPT_MODEL:
		add_model(arg, o, state);
		return 0;
	case OPT_PEER:
		add_peer(arg, o, state);
		return 0;
	case OPT_BUBBLE:
		parse_bubble(arg, o, state);
		return 0;
	case OPT_QOS:
		parse_qos(arg, o, state);
		return 0;
	case OPT_CORES:
		if (vt_cpuset_parse(arg, &o->cores))
			argp_error(state, "--cores '%.40s': give a list such as 0-3,8", arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument '%.40s'; models are given with --model",
			   arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/** The list of policies and examples, after the options. */
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
	      "  veltair bench --model a.onnx --model b.onnx --policy all --html a.html\n"
	      "  veltair bench --model a.onnx:50 --model b.onnx:20:3 --rate 40 --secs 10\n"
	      "  veltair bench --url unix:/run/veltair/veltair.sock --model a --model b\n"
	      "  veltair bench --limit --model a:134 --model b:53 --alone 40,18\n",
	      f);
	fclose(f);
	return list;
}

static struct bench *interrupted; /* by SIGINT */

/* During set-up nothing has been measured that could be shown; the first signal only takes what a server has of ours. */
static void on_interrupt(int sig)
{
	struct bench *b = interrupted;
	const bool first = !b->stop;

	b->stop = sig;
	if (first && b->measuring)
		return;
	if (first && b->leave) {
		sem_post(b->leave);
		return;
	}
	if (b->beside > 0)
		kill(-b->beside, SIGKILL);
	_Exit(128 + sig);
}

static int report(struct bench *b, struct vt_err *e)
{
	const struct bench_opts *o = b->o;
	int said = 0, drawn, page;

	if (o->json)
		said = bench_report_json(b, e);
	else if (o->csv)
		bench_report_csv(b);
	else
		bench_report_table(b);
	/* A full disk behind one of them is no reason to be without the others. */
	said = said ? said : vt_said_all(e);
	drawn = o->plot_dir ? bench_plot(b, e) : 0;
	page = o->html ? bench_html(b, e) : 0;
	return said ? said : drawn ? drawn : page;
}

static int bench(const struct bench_opts *o, struct vt_err *e)
{
	struct bench *b = calloc(1, sizeof(*b));
	int rc = b ? 0 : vt_fail(e, -ENOMEM, "no memory");

	if (!rc) {
		interrupted = b;
		signal(SIGINT, on_interrupt);
		signal(SIGTERM, on_interrupt);
		rc = vt_can_write_all((const char *const[]){o->html}, 1, o->plot_dir, e);
		rc = rc ? rc : bench_setup(b, o, e);
	}
	if (!rc)
		rc = bench_rounds(b, e);
	if (!rc || (b && b->n_rounds)) {
		int shown = report(b, e);

		rc = rc ? rc : shown;
	}
	if (b)
		bench_fini(b);
	free(b);
	return rc;
}

static void free_opts(struct bench_opts *o)
{
	for (uint32_t i = 0; i < o->n_models; i++) {
		free(o->model[i].path);
		free(o->model[i].name);
	}
	for (uint32_t i = 0; i < o->n_peers; i++) {
		free(o->peer[i].name);
		free(o->peer[i].command);
	}
}

int vt_cmd_bench(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "How many requests a second end in time: policies, servers and other "
		       "engines under the same arrivals, interleaved (A B A B).\v",
		.help_filter = help,
	};
	struct bench_opts o = {.share = 0.95, .qos_factor = 3, .seed = 1};
	struct vt_err e = {0};
	int rc = vt_cmd_parse(&argp, argc, argv, &o);

	if (!rc)
		rc = bench_check(&o, &e);
	o.rounds = o.rounds ? o.rounds : 8;
	o.instances = o.instances ? o.instances : 2;
	if (!rc)
		rc = o.limit ? bench_limit_only(&o, &e) : bench(&o, &e);
	if (!rc)
		rc = vt_said_all(&e);
	free_opts(&o);
	return e.code ? vt_cmd_fail("bench", &e) : rc ? VT_EXIT_FAILED : VT_EXIT_OK;
}
