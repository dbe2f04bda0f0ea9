// SPDX-License-Identifier: Apache-2.0
/* run.c - load a model, run it, say how long it takes and where the time goes. */
#include "cli/cli.h"
#include "cli/cmds.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/order.h"
#include "cli/run_input.h"
#include "cli/store.h"
#include "exec/engine.h"
#include "exec/topology.h"
#include "pressure/level.h"

#define MAX_DIMS 16

struct run_args {
	const char *model, *output_dir, *variant, *order, *profiles;
	const char *input[64];
	int n_inputs;
	struct vt_dim_binding dim[MAX_DIMS];
	int n_dims;
	struct vt_cpuset cores;
	uint64_t threads, iters, warmup, seed, level;
	bool profile, json, interactive, has_level, direct;
	struct vt_err err; /* of parsing */
};

enum {
	OPT_WARMUP = 256,
	OPT_DIM,
	OPT_INPUT,
	OPT_SEED,
	OPT_OUTPUT_DIR,
	OPT_PROFILE,
	OPT_JSON,
	OPT_INTERACTIVE,
	OPT_VARIANT,
	OPT_ORDER,
	OPT_PROFILES,
	OPT_LEVEL,
	OPT_DIRECT
};

static const struct argp_option options[] = {
	{"threads", 't', "N", 0,
	 "Run on the first N allowed cores (default: all of them, or what a CPU quota affords)", 0},
	{"cores", 'c', "LIST", 0, "Run on these cores, for example 0-3,8", 0},
	{"iters", 'n', "N", 0, "Timed iterations (default 10)", 0},
	{"warmup", OPT_WARMUP, "N", 0, "Iterations before those (default 2)", 0},
	{"dim", OPT_DIM, "NAME=N", 0, "Bind a symbolic dimension; also INPUT:AXIS=N", 0},
	{"input", OPT_INPUT, "NAME=FILE", 0,
	 "Value of an input, .npy or ONNX .pb (others are made from the seed)", 0},
	{"seed", OPT_SEED, "S", 0, "Seed of made inputs (default 1)", 0},
	{"output-dir", OPT_OUTPUT_DIR, "DIR", 0, "Write each output to DIR/NAME.npy", 0},
	{"profile", OPT_PROFILE, NULL, 0,
	 "Table of layers: operator, shape, variant, time, GFLOP/s, share", 0},
	{"variant", OPT_VARIANT, "NAME", 0,
	 "Force one kernel variant on all layers it can be had on; 'list' names them", 0},
	{"order", OPT_ORDER, "xnnpack", 0, "Walk matrix layers as XNNPACK would by itself", 0},
	{"direct", OPT_DIRECT, NULL, 0,
	 "Sums as they are defined, weights in memory once: no algorithm of Winograd or Strassen",
	 0},
	{"profiles", OPT_PROFILES, "DB", 0,
	 "Of each layer, run the version that was fastest at --level; DB is made by `veltair "
	 "profile`",
	 0},
	{"level", OPT_LEVEL, "L", 0, "Pressure that --profiles chooses for, 0 to 4 (default 0)", 0},
	{"json", OPT_JSON, NULL, 0, "Machine-readable result on standard output", 0},
	{"interactive", OPT_INTERACTIVE, NULL, 0,
	 "Read commands from standard input, one a line: 'run N' answers {\"ms\":[...]}, 'threads "
	 "N', 'quit'",
	 0},
	{0},
};

static error_t number(struct argp_state *st, const char *flag, const char *arg, uint64_t min,
		      uint64_t max, uint64_t *ret)
{
	if (vt_parse_u64(arg, min, max, ret))
		argp_error(st, "--%s '%s': give a whole number from %llu to %llu", flag, arg,
			   (unsigned long long)min, (unsigned long long)max);
	return 0;
}

static void add_dim(struct argp_state *st, struct run_args *a, char *arg)
{
	char *eq = strrchr(arg, '=');
	uint64_t v = 0;

	if (!eq || eq == arg || vt_parse_u64(eq + 1, 1, INT32_MAX, &v)) {
		argp_error(st, "--dim '%s': say NAME=N, N from 1 to %d", arg, INT32_MAX);
		return;
	}
	if (a->n_dims == MAX_DIMS)
		argp_error(st, "--dim: at most %d of them", MAX_DIMS);
	*eq = '\0';
	for (int i = 0; i < a->n_dims; i++)
		if (!strcmp(a->dim[i].name, arg))
			argp_error(st, "--dim: '%s' is given twice", arg);
	a->dim[a->n_dims++] = (struct vt_dim_binding){arg, (int64_t)v};
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct run_args *a = st->input;

	switch (key) {
	case 't':
		return number(st, "threads", arg, 1, VT_MAX_CORES, &a->threads);
	case 'c':
		if (vt_cpuset_parse(arg, &a->cores))
			argp_error(st, "--cores '%s': give a list such as 0-3,8", arg);
		return 0;
	case 'n':
		return number(st, "iters", arg, 1, 1000000, &a->iters);
	case OPT_WARMUP:
		return number(st, "warmup", arg, 0, 1000000, &a->warmup);
	case OPT_SEED:
		return number(st, "seed", arg, 0, UINT64_MAX, &a->seed);
	case OPT_DIM:
		add_dim(st, a, arg);
		return 0;
	case OPT_INPUT:
		if (a->n_inputs == 64)
			argp_error(st, "--input: at most 64 of them");
		a->input[a->n_inputs++] = arg;
		return 0;
	case OPT_OUTPUT_DIR:
		a->output_dir = arg;
		return 0;
	case OPT_PROFILE:
		a->profile = true;
		return 0;
	case OPT_VARIANT:
		a->variant = arg;
		return 0;
	case OPT_ORDER:
		if (strcmp(arg, "xnnpack") != 0)
			argp_error(st, "--order '%s': only 'xnnpack' is known", arg);
		a->order = arg;
		return 0;
	case OPT_PROFILES:
		a->profiles = arg;
		return 0;
	case OPT_LEVEL:
		a->has_level = true;
		return number(st, "level", arg, 0, VT_LEVELS - 1, &a->level);
	case OPT_DIRECT:
		a->direct = true;
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	case OPT_INTERACTIVE:
		a->interactive = true;
		return 0;
	case ARGP_KEY_ARG:
		if (a->model)
			argp_error(st, "one model at a time: '%s' is a second", arg);
		a->model = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->model && !(a->variant && !strcmp(a->variant, "list")))
			argp_error(st, "which model? give the path of an ONNX file");
		if (a->profiles && (a->variant || a->order))
			argp_error(st,
				   "--profiles chooses variants: not with --variant or --order");
		if (a->has_level && !a->profiles)
			argp_error(st, "--level is for --profiles DB");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- one session -------------------------------------------------------------------------- */

struct session {
	struct run_args *a;
	struct vt_given_inputs given;
	struct vt_engine *model;
	struct vt_pool *pool;
	struct vt_cpuset grant;
	const struct vt_variant **variants; /* per step, if forced or from --profiles */
	struct vt_store_choice choice;
	uint64_t *step_ns, *step_sum_ns; /* --profile */
	double *ms;			 /* timed iterations */
	size_t n_ms;
};

static void session_close(struct session *s)
{
	vt_pool_close(s->pool);
	vt_engine_free(s->model);
	vt_given_fini(&s->given);
	free(s->variants);
	free(s->step_ns);
	free(s->step_sum_ns);
	free(s->ms);
}

/* The first @n cores of @all; false if there are fewer. */
static bool first_cores(const struct vt_cpuset *all, uint64_t n, struct vt_cpuset *ret)
{
	int c = -1;

	*ret = (struct vt_cpuset){0};
	for (; n; n--) {
		c = vt_cpuset_next(all, (unsigned int)(c + 1));
		if (c < 0)
			return false;
		vt_cpuset_add(ret, (unsigned int)c);
	}
	return true;
}

static int choose_cores(struct session *s, struct vt_err *e)
{
	struct vt_cpuset allowed;
	int err = vt_cpuset_allowed(&allowed);

	if (err)
		return vt_fail(e, err, "cannot read the cores this process may use: %s",
			       strerror(-err));
	if (vt_cpuset_count(&s->a->cores))
		s->grant = s->a->cores;
	else if (!s->a->threads)
		vt_topology_default(&s->grant);
	else if (!first_cores(&allowed, s->a->threads, &s->grant))
		return vt_fail(e, -EINVAL, "--threads %llu: this process may use %u cores",
			       (unsigned long long)s->a->threads, vt_cpuset_count(&allowed));
	return vt_pool_open(&s->pool, vt_cpuset_count(&s->a->cores) ? &s->grant : &allowed, e);
}

/* Again whenever the cores change: the store knows what is best on how many. */
static int choose_variants(struct session *s, struct vt_err *e)
{
	if (!s->variants)
		s->variants = calloc((size_t)s->model->n_steps + 1, sizeof(*s->variants));
	if (!s->variants)
		return vt_fail(e, -ENOMEM, "no memory");
	return vt_store_choose(s->a->profiles, s->model, s->a->model, vt_cpuset_count(&s->grant),
			       (uint8_t)s->a->level, s->variants, &s->choice, e);
}

static int force_variant(struct session *s, struct vt_err *e)
{
	const char *name = s->a->order ? "f32_gemm_mouter" : s->a->variant;
	const struct vt_variant *v = name ? vt_variant_find(name) : NULL;

	if (!name)
		return 0;
	if (!v)
		return vt_fail(e, -EINVAL,
			       "--variant '%s' is unknown; `veltair run --variant list` names them",
			       name);
	s->variants = calloc((size_t)s->model->n_steps + 1, sizeof(*s->variants));
	if (!s->variants)
		return vt_fail(e, -ENOMEM, "no memory");
	for (int i = 0; i < s->model->n_steps; i++)
		if (vt_variant_applies(v, s->model->steps[i].layer.cols,
				       s->model->steps[i].layer.depth))
			s->variants[i] = v;
	return 0;
}

static int session_open(struct session *s, struct vt_err *e)
{
	struct vt_engine_opts o = {.import = {.dims = s->a->dim,
					      .n_dims = s->a->n_dims,
					      .input_value = vt_given_value,
					      .arg = &s->given},
				   .direct = s->a->direct};
	int err = 0;

	for (int i = 0; i < s->a->n_inputs && !err; i++)
		err = vt_given_read(&s->given, s->a->input[i], e);
	if (!err)
		err = vt_engine_load(&s->model, s->a->model, &o, e);
	if (!err)
		err = choose_cores(s, e);
	if (!err && vt_pool_reserve(s->pool, s->model->scratch_bytes))
		err = vt_fail(e, -ENOMEM, "no memory for the scratch of the workers");
	if (!err)
		err = vt_make_inputs(s->model, &s->given, s->a->seed, e);
	if (!err)
		err = s->a->profiles ? choose_variants(s, e) : force_variant(s, e);
	if (!err && s->a->profile) {
		s->step_ns = calloc((size_t)s->model->n_steps + 1, sizeof(*s->step_ns));
		s->step_sum_ns = calloc((size_t)s->model->n_steps + 1, sizeof(*s->step_sum_ns));
		if (!s->step_ns || !s->step_sum_ns)
			err = vt_fail(e, -ENOMEM, "no memory");
	}
	return err;
}

/* Run @n timed iterations and append their times. */
static int iterate(struct session *s, size_t n, struct vt_err *e)
{
	double *more = realloc(s->ms, (s->n_ms + n + 1) * sizeof(*more));
	struct vt_run r;

	if (!more)
		return vt_fail(e, -ENOMEM, "no memory for %zu times", s->n_ms + n);
	s->ms = more;
	for (size_t i = 0; i < n; i++) {
		uint64_t t0;
		int err;

		vt_fill_inputs(s->model, 0, &s->given);
		vt_run_init(&r, s->model, 0);
		r.variants = s->variants;
		r.step_ns = s->step_ns;
		t0 = vt_now_mono_ns();
		err = vt_pool_run(s->pool, &r.work, &s->grant);
		if (err)
			return vt_fail(e, err, "cannot run on the cores given");
		s->ms[s->n_ms++] = (double)(vt_now_mono_ns() - t0) / 1e6;
		for (int k = 0; s->step_ns && k < s->model->n_steps; k++)
			s->step_sum_ns[k] += s->step_ns[k];
	}
	return 0;
}

/* ---- reports ------------------------------------------------------------------------------ */

struct summary {
	double median_ms, min_ms, p95_ms, gflops;
	size_t peak_rss_bytes;
};

static struct summary summarise(const struct session *s)
{
	struct summary r = {0};
	struct rusage ru;
	double *v = malloc((s->n_ms + 1) * sizeof(*v));

	getrusage(RUSAGE_SELF, &ru);
	r.peak_rss_bytes = (size_t)ru.ru_maxrss * 1024;
	if (v && s->n_ms) {
		memcpy(v, s->ms, s->n_ms * sizeof(*v));
		qsort(v, s->n_ms, sizeof(*v), vt_order_double);
		r.min_ms = v[0];
		r.median_ms =
			s->n_ms % 2 ? v[s->n_ms / 2] : (v[s->n_ms / 2 - 1] + v[s->n_ms / 2]) / 2;
		r.p95_ms = v[(s->n_ms * 95 + 99) / 100 - 1];
		r.gflops = (double)s->model->flops / (r.median_ms * 1e6);
	}
	free(v);
	return r;
}

static const char *step_variant(const struct session *s, int i)
{
	const struct vt_variant *v =
		s->variants && s->variants[i] ? s->variants[i] : s->model->steps[i].variant;

	return v ? v->name : "-";
}

static json_t *profile_json(const struct session *s)
{
	json_t *all = json_array();

	for (int i = 0; i < s->model->n_steps; i++) {
		const struct vt_step *st = &s->model->steps[i];
		const struct vt_node *n = &s->model->graph.nodes[st->node];
		double ms = (double)s->step_sum_ns[i] / 1e6 / (double)s->n_ms;
		char shape[96];

		json_array_append_new(
			all, json_pack("{s:s s:s s:s s:s s:s s:f s:f}", "name", n->name, "op",
				       vt_op_name(n->op), "kernel", st->layer.kernel->name, "shape",
				       vt_shape_text(&vt_out(&s->model->graph, n, 0)->shape, shape,
						     sizeof(shape)),
				       "variant", step_variant(s, i), "ms", ms, "gflops",
				       ms > 0 ? (double)st->flops / (ms * 1e6) : 0.0));
	}
	return all;
}

static void print_json(const struct session *s)
{
	struct summary r = summarise(s);
	json_t *j = json_pack("{s:s s:i s:i s:f s:f s:f s:f s:I s:I s:I}", "model", s->a->model,
			      "threads", (int)vt_cpuset_count(&s->grant), "iters", (int)s->n_ms,
			      "median_ms", r.median_ms, "min_ms", r.min_ms, "p95_ms", r.p95_ms,
			      "gflops", r.gflops, "peak_rss_bytes", (json_int_t)r.peak_rss_bytes,
			      "arena_bytes", (json_int_t)s->model->arena_bytes, "weights_bytes",
			      (json_int_t)s->model->weights_bytes);

	if (s->step_ns)
		json_object_set_new(j, "layers", profile_json(s));
	if (s->a->profiles)
		json_object_set_new(j, "profiles",
				    vt_store_choice_json(s->a->profiles, &s->choice));
	json_dumpf(j, stdout, JSON_REAL_PRECISION(6));
	putchar('\n');
	fflush(stdout);
	json_decref(j);
}

static void print_profile(const struct session *s)
{
	uint64_t sum = 0;

	for (int i = 0; i < s->model->n_steps; i++)
		sum += s->step_sum_ns[i];
	printf("\n%-24s %-20s %-16s %-24s %9s %8s %6s\n", "kernel", "node", "output", "variant",
	       "ms", "GFLOP/s", "share");
	for (int i = 0; i < s->model->n_steps; i++) {
		const struct vt_step *st = &s->model->steps[i];
		const struct vt_node *n = &s->model->graph.nodes[st->node];
		double ms = (double)s->step_sum_ns[i] / 1e6 / (double)s->n_ms;
		char shape[96];

		printf("%-24s %-20.20s %-16s %-24s %9.3f %8.1f %5.1f%%\n", st->layer.kernel->name,
		       n->name,
		       vt_shape_text(&vt_out(&s->model->graph, n, 0)->shape, shape, sizeof(shape)),
		       step_variant(s, i), ms, ms > 0 ? (double)st->flops / (ms * 1e6) : 0.0,
		       sum ? 100.0 * (double)s->step_sum_ns[i] / (double)sum : 0.0);
	}
}

static void print_text(const struct session *s)
{
	struct summary r = summarise(s);
	char cores[256];

	vt_cpuset_format(&s->grant, cores, sizeof(cores));
	printf("%s: %.3f ms median, %.3f min, %.3f p95 over %zu run%s on core%s %s; "
	       "%.1f GFLOP/s\n",
	       s->a->model, r.median_ms, r.min_ms, r.p95_ms, s->n_ms, s->n_ms == 1 ? "" : "s",
	       vt_cpuset_count(&s->grant) == 1 ? "" : "s", cores, r.gflops);
	printf("memory: %.1f MiB weights, %.1f MiB activations, %.1f MiB peak\n",
	       (double)s->model->weights_bytes / 1048576,
	       (double)(s->model->arena_bytes + s->model->work_bytes) / 1048576,
	       (double)r.peak_rss_bytes / 1048576);
	if (s->a->profiles)
		vt_store_choice_print(s->a->profiles, &s->choice);
	if (s->step_ns && s->n_ms)
		print_profile(s);
}

/* ---- commands on standard input ------------------------------------------------------------ */

static int answer_run(struct session *s, uint64_t n, struct vt_err *e)
{
	size_t from = s->n_ms;
	int err = iterate(s, n, e);

	if (err)
		return err;
	fputs("{\"ms\":[", stdout);
	for (size_t i = from; i < s->n_ms; i++)
		printf("%s%.6f", i > from ? "," : "", s->ms[i]);
	puts("]}");
	return 0;
}

static int answer_threads(struct session *s, uint64_t n, struct vt_err *e)
{
	struct vt_cpuset grant;

	if (!first_cores(vt_pool_cores(s->pool), n, &grant))
		return vt_fail(e, -EINVAL, "threads %llu: there are %u cores",
			       (unsigned long long)n, vt_cpuset_count(vt_pool_cores(s->pool)));
	s->grant = grant;
	if (s->a->profiles && choose_variants(s, e))
		return e->code;
	printf("{\"threads\":%llu}\n", (unsigned long long)n);
	return 0;
}

static int interact(struct session *s, struct vt_err *e)
{
	char line[64];
	uint64_t n;
	int err = 0;

	puts("{\"ready\":true}");
	fflush(stdout);
	while (!err && fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strcmp(line, "quit"))
			break;
		if (!strncmp(line, "run ", 4) && !vt_parse_u64(line + 4, 1, 1000000, &n))
			err = answer_run(s, n, e);
		else if (!strncmp(line, "threads ", 8) &&
			 !vt_parse_u64(line + 8, 1, VT_MAX_CORES, &n))
			err = answer_threads(s, n, e);
		else
			err = vt_fail(e, -EINVAL,
				      "unknown command '%s'; there are: run N, threads N, quit",
				      line);
		fflush(stdout);
	}
	return err;
}

static int run_all(struct session *s, struct vt_err *e)
{
	int err = session_open(s, e);

	if (!err)
		err = iterate(s, s->a->warmup, e);
	s->n_ms = 0;
	if (s->step_sum_ns)
		memset(s->step_sum_ns, 0, (size_t)s->model->n_steps * sizeof(*s->step_sum_ns));
	if (!err)
		err = s->a->interactive ? interact(s, e) : iterate(s, s->a->iters, e);
	if (!err && s->a->output_dir)
		err = vt_write_outputs(s->model, 0, s->a->output_dir, e);
	if (err)
		return err;
	if (s->a->json)
		print_json(s);
	else if (!s->a->interactive)
		print_text(s);
	return 0;
}

int vt_cmd_run(int argc, char **argv)
{
	static const struct argp argp = {options,
					 parse,
					 "MODEL",
					 "Run an ONNX model and say how long it takes.\v"
					 "Without --input the inputs are made from the seed: "
					 "floats uniform in [-1, 1), integers 0.",
					 NULL,
					 NULL,
					 NULL};
	struct run_args a = {.iters = 10, .warmup = 2, .seed = 1};
	struct session s = {.a = &a};
	struct vt_err e = {0};
	int err;

	vt_cmd_parse(&argp, argc, argv, &a);
	if (a.variant && !strcmp(a.variant, "list")) {
		for (const struct vt_variant *v = vt_variants; v->name; v++)
			puts(v->name);
		return VT_EXIT_OK;
	}
	err = run_all(&s, &e);
	session_close(&s);
	return err ? vt_cmd_fail("run", &e) : VT_EXIT_OK;
}
