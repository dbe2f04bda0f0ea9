// SPDX-License-Identifier: Apache-2.0
/* inspect.c - what a model becomes: its nodes after the graph passes, and what they cost. */
#include "cli/cli.h"
#include "cli/cmds.h"
#include "cli/inspect_decisions.h"
#include "cli/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "kernels/layer.h"
#include "model/graph.h"

#define NAME	 "inspect"
#define MAX_DIMS 32

struct args {
	const char *path;
	struct vt_dim_binding dims[MAX_DIMS];
	int n_dims;
	bool raw, summary, json;
	struct vt_store_view store; /* if the path is a profile store */
	bool of_decisions;	    /* then the path is a recording */
	struct vt_decisions_view decisions;
};

enum {
	OPT_LAYER = 256,
	OPT_CSV,
	OPT_PLOT,
	OPT_CORES,
	OPT_MACHINE,
	OPT_DECISIONS,
	OPT_LAST,
	OPT_PIN
};

static const struct argp_option options[] = {
	{"dim", 'd', "NAME=N", 0, "Bind a symbolic dimension; also INPUT:AXIS=N", 0},
	{"raw", 'r', NULL, 0, "The graph as imported, before any pass", 0},
	{"summary", 's', NULL, 0, "Count operators instead of listing nodes", 0},
	{"json", 'j', NULL, 0, "Print the summary, the store or the decisions as JSON", 0},
	{NULL, 0, NULL, 0, "Of a profile store:", 1},
	{"layer", OPT_LAYER, "PATTERN", 0,
	 "Layers whose signature holds PATTERN, or matches it if it has *, ? or [", 1},
	{"csv", OPT_CSV, NULL, 0, "One time a line", 1},
	{"plot", OPT_PLOT, "FILE", 0,
	 "Draw slowdown against level, chosen versions marked, as .svg or .png", 1},
	{"cores", OPT_CORES, "N", 0, "Of the plot: times on N cores (the count with most levels)",
	 1},
	{"machine", OPT_MACHINE, "N", 0, "Times of another machine or build, by its number", 1},
	{NULL, 0, NULL, 0, "Of the scheduler:", 2},
	{"decisions", OPT_DECISIONS, NULL, 0,
	 "The last decisions and their reasons: of the live `veltair serve`, or, with a FILE that "
	 "its --record wrote, of that run",
	 2},
	{"last", OPT_LAST, "N", 0, "So many decisions, at most 1024 [20]", 2},
	{"pin-dir", OPT_PIN, "DIR", 0,
	 "Where the live server pinned its maps [" VT_MONITOR_PIN_DIR "]", 2},
	{0},
};

static void add_dim(struct argp_state *state, struct args *a, char *arg)
{
	char *eq = strchr(arg, '=');
	uint64_t v = 0;

	if (!eq || eq == arg || vt_parse_u64(eq + 1, 1, INT32_MAX, &v) || a->n_dims == MAX_DIMS) {
		argp_error(state, "--dim '%s': say NAME=N, at most %d times", arg, MAX_DIMS);
		return;
	}
	*eq = '\0';
	a->dims[a->n_dims++] = (struct vt_dim_binding){arg, (int64_t)v};
}

static void check_decisions(struct argp_state *state, const struct args *a)
{
	const struct vt_store_view *s = &a->store;

	if (!a->of_decisions && (a->decisions.last || a->decisions.pin_dir))
		argp_error(state, "--last and --pin-dir are for --decisions");
	if (!a->of_decisions)
		return;
	if (a->path && a->decisions.pin_dir)
		argp_error(state, "--decisions of '%s' or of a live server in --pin-dir, not both",
			   a->path);
	if (a->n_dims || a->raw || a->summary || s->layer || s->csv || s->plot || s->cores ||
	    s->machine)
		argp_error(state, "with --decisions only --json, --last and --pin-dir");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;

	switch (key) {
	case 'd':
		add_dim(state, a, arg);
		return 0;
	case 'r':
		a->raw = true;
		return 0;
	case 's':
		a->summary = true;
		return 0;
	case 'j':
		a->json = a->store.json = true;
		return 0;
	case OPT_LAYER:
		a->store.layer = arg;
		return 0;
	case OPT_CSV:
		a->store.csv = true;
		return 0;
	case OPT_PLOT:
		a->store.plot = arg;
		return 0;
	case OPT_CORES:
		if (vt_parse_u64(arg, 1, VT_PROFILE_CORES, &a->store.cores))
			argp_error(state, "--cores '%s': give a number from 1 to %u", arg,
				   VT_PROFILE_CORES);
		return 0;
	case OPT_MACHINE:
		if (vt_parse_u64(arg, 1, 1000000, &a->store.machine))
			argp_error(state, "--machine '%s': give a number, from 1", arg);
		return 0;
	case OPT_DECISIONS:
		a->of_decisions = true;
		return 0;
	case OPT_LAST:
		if (vt_parse_u64(arg, 1, VT_DECISIONS, &a->decisions.last))
			argp_error(state, "--last '%s': give a number from 1 to %u", arg,
				   VT_DECISIONS);
		return 0;
	case OPT_PIN:
		a->decisions.pin_dir = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (a->path)
			argp_error(state, "one file, not '%s' as well", arg);
		a->path = arg;
		return 0;
	case ARGP_KEY_END:
		check_decisions(state, a);
		if (!a->path && !a->of_decisions)
			argp_error(state, "which file? give the path of an ONNX model or a profile "
					  "store, or say --decisions");
		if (a->store.csv + a->store.json + (a->store.plot != NULL) > 1)
			argp_error(state, "one of --csv, --json and --plot");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* ---- the summary ---------------------------------------------------------------------------- */

struct tally {
	int imported, nodes, views, fused_acts, fused_sums, op[VT_OP_COUNT];
	uint64_t flops;
};

static void count(const struct vt_graph *g, struct tally *t)
{
	t->nodes = g->n_nodes;
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->nodes[i];

		t->op[n->op]++;
		t->views += vt_node_is_view(g, n);
		t->fused_acts += n->epi.act >= 0;
		t->fused_acts += n->op == VT_OP_CONV2D_DW && n->p.pair.act >= 0;
		t->fused_sums += n->epi.residual >= 0;
		t->flops += vt_node_flops(g, n);
	}
}

static const char *plural(int n)
{
	return n == 1 ? "" : "s";
}

static void print_summary(const struct vt_graph *g, const struct tally *t)
{
	printf("%s: %d node%s as imported, %d now, of which %d %s\n", g->name, t->imported,
	       plural(t->imported), t->nodes, t->views, t->views == 1 ? "is a view" : "are views");
	for (int op = 0; op < VT_OP_COUNT; op++)
		if (t->op[op])
			printf("  %5d %s\n", t->op[op], vt_op_name((enum vt_op)op));
	printf("  fused: %d activation%s, %d sum%s\n", t->fused_acts, plural(t->fused_acts),
	       t->fused_sums, plural(t->fused_sums));
	printf("  %.3f GFLOP, weights %.2f MB, arena %.2f MB\n", (double)t->flops / 1e9,
	       (double)g->weights_bytes / 1e6, (double)g->arena_bytes / 1e6);
}

static int print_json(const struct vt_graph *g, const struct tally *t)
{
	json_t *ops = json_object(), *j;
	int rc;

	for (int op = 0; op < VT_OP_COUNT; op++)
		if (t->op[op])
			json_object_set_new(ops, vt_op_name((enum vt_op)op),
					    json_integer(t->op[op]));
	j = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:o}", "model", g->name,
		      "nodes_imported", t->imported, "nodes", t->nodes, "views", t->views,
		      "fused_activations", t->fused_acts, "fused_sums", t->fused_sums, "flops",
		      (json_int_t)t->flops, "weights_bytes", (json_int_t)g->weights_bytes,
		      "arena_bytes", (json_int_t)g->arena_bytes, "ops", ops);
	rc = j ? json_dumpf(j, stdout, JSON_INDENT(1)) : -1;
	putchar('\n');
	json_decref(j);
	return rc ? VT_EXIT_FAILED : VT_EXIT_OK;
}

static int load(struct vt_graph *g, const struct args *a, struct tally *t, struct vt_err *e)
{
	struct vt_import_opts o = {.dims = a->dims, .n_dims = a->n_dims, .eval = &vt_kernel_eval};
	int rc = vt_import_onnx(g, a->path, &o, e);

	if (rc)
		return rc;
	t->imported = g->n_nodes;
	if (!a->raw)
		rc = vt_optimize(g, &vt_kernel_eval, e);
	if (!rc)
		rc = vt_plan_memory(g, e);
	if (rc)
		vt_graph_fini(g);
	return rc;
}

static int refuse_model_options(const struct args *a, struct vt_err *e)
{
	if (a->n_dims || a->raw || a->summary)
		return vt_fail(e, -EINVAL,
			       "%s is a profile store: --dim, --raw and --summary are for models",
			       a->path);
	return 0;
}

static int refuse_store_options(const struct args *a, struct vt_err *e)
{
	const struct vt_store_view *s = &a->store;

	if (s->layer || s->csv || s->plot || s->cores || s->machine)
		return vt_fail(e, -EINVAL,
			       "%s is no profile store: --layer, --csv, --plot, --cores and "
			       "--machine are for one",
			       a->path);
	return 0;
}

int vt_cmd_inspect(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "MODEL|STORE\n--decisions [FILE]",
		.doc = "Show what MODEL, an ONNX file, becomes: one line per node in the order in "
		       "which they run, with parameters, what was fused, and where each result "
		       "lies in memory. Of STORE, a profile store, show the times: by layer, "
		       "variant and cores at each pressure level. With --decisions, show what a "
		       "server's "
		       "scheduler decided last, and why."
		       "\vIn a line, c is a constant, @ an input of the model, % a computed "
		       "tensor; "
		       "\"+ %n -> Relu\" at its end are a sum and an activation that the node does "
		       "on its way; \"view n+k\" shares the memory of tensor n.",
	};
	struct args a = {0};
	struct vt_graph g = {0};
	struct tally t = {0};
	struct vt_err e = {0};
	int rc = VT_EXIT_OK;

	vt_cmd_parse(&argp, argc, argv, &a);
	if (a.of_decisions) {
		a.decisions.path = a.path;
		a.decisions.json = a.json;
		a.decisions.last = a.decisions.last ? a.decisions.last : 20;
		return vt_inspect_decisions(&a.decisions, &e) ? vt_cmd_fail(NAME, &e) : VT_EXIT_OK;
	}
	a.store.path = a.path;
	if (vt_profile_is_store(a.path))
		return refuse_model_options(&a, &e) ? vt_cmd_fail(NAME, &e)
						    : vt_store_inspect(&a.store);
	if (refuse_store_options(&a, &e))
		return vt_cmd_fail(NAME, &e);
	if (load(&g, &a, &t, &e))
		return vt_cmd_fail(NAME, &e);
	count(&g, &t);
	if (a.json)
		rc = print_json(&g, &t);
	else if (a.summary)
		print_summary(&g, &t);
	else
		vt_graph_dump(&g, stdout);
	vt_graph_fini(&g);
	return rc;
}
