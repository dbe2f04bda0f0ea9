// SPDX-License-Identifier: Apache-2.0
/* zoo.c - write the paper's models as ONNX files. */
#include "cli/cli.h"
#include "cli/cmds.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "model/zoo.h"

#define NAME "zoo"

struct args {
	const char *out;
	const char **names;
	int n_names;
	bool tiny, list, json;
	struct vt_zoo_opts o;
};

static const struct argp_option options[] = {
	{"out", 'o', "DIR", 0, "Write the files into DIR, which is made if it is missing", 0},
	{"tiny", 't', NULL, 0, "The tiny versions: same patterns, few channels and blocks", 0},
	{"seed", 's', "S", 0, "Seed of the weights and inputs (default 1)", 0},
	{"dynamic", 'd', NULL, 0, "Leave the batch, and BERT's sequence, as symbolic dimensions",
	 0},
	{"external", 'e', NULL, 0, "Weights beside the model, in NAME.onnx.data", 0},
	{"inputs", 'i', NULL, 0, "Also write NAME.INPUT.npy: an example of every input", 0},
	{"list", 'l', NULL, 0, "List the models and write nothing", 0},
	{"json", 'j', NULL, 0, "Print what was written as JSON", 0},
	{0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct args *a = state->input;

	switch (key) {
	case 'o':
		a->out = arg;
		return 0;
	case 't':
		a->tiny = true;
		return 0;
	case 's':
		if (vt_parse_u64(arg, 0, UINT64_MAX, &a->o.seed))
			argp_error(state, "--seed: '%s' is not a whole number", arg);
		return 0;
	case 'd':
		a->o.dynamic = true;
		return 0;
	case 'e':
		a->o.external = true;
		return 0;
	case 'i':
		a->o.inputs = true;
		return 0;
	case 'l':
		a->list = true;
		return 0;
	case 'j':
		a->json = true;
		return 0;
	case ARGP_KEY_ARG:
		a->names[a->n_names++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->out && !a->list)
			argp_error(state, "--out DIR says where to write; --list shows the models");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/* ---- which models --------------------------------------------------------------------------- */

static bool is_named(const struct args *a, const struct vt_zoo_model *m)
{
	for (int i = 0; i < a->n_names; i++) {
		size_t n = strlen(a->names[i]);

		if (!strcmp(a->names[i], m->name))
			return true;
		if (a->tiny && m->tiny && !strncmp(a->names[i], m->name, n) &&
		    !strcmp(m->name + n, "-tiny"))
			return true;
	}
	return false;
}

/* No names: all full models, or all tiny ones; the list shows both. */
static bool is_wanted(const struct args *a, const struct vt_zoo_model *m)
{
	if (a->n_names)
		return is_named(a, m) && (!a->tiny || m->tiny);
	return a->tiny ? m->tiny : a->list || !m->tiny;
}

static int check_names(const struct args *a, struct vt_err *e)
{
	for (int i = 0; i < a->n_names; i++)
		if (!vt_zoo_find(a->names[i]))
			return vt_fail(e, -EINVAL,
				       "no model '%s'; `veltair zoo --list` shows those there are",
				       a->names[i]);
	return 0;
}

/* ---- output --------------------------------------------------------------------------------- */

static json_t *as_json(const struct args *a, const struct vt_zoo_model *m,
		       const struct vt_zoo_info *info)
{
	json_t *j = json_pack("{s:s, s:s, s:b, s:i, s:I, s:I, s:I, s:i}", "name", m->name,
			      "summary", m->summary, "tiny", m->tiny, "opset", m->opset, "params",
			      (json_int_t)info->params, "macs", (json_int_t)info->macs, "bytes",
			      (json_int_t)info->bytes, "nodes", (int)info->nodes);

	if (j && !a->list)
		json_object_set_new(j, "path", json_sprintf("%s/%s.onnx", a->out, m->name));
	return j;
}

static void print_head(const struct args *a)
{
	if (!a->json)
		printf("%-22s %5s %6s %10s %10s %10s  %s\n", "MODEL", "OPSET", "NODES", "PARAMS",
		       "GMAC", "MB", "WHAT");
}

static void print_row(const struct vt_zoo_model *m, const struct vt_zoo_info *info)
{
	printf("%-22s %5d %6u %9.3fM %10.4f %10.3f  %s\n", m->name, m->opset, info->nodes,
	       (double)info->params / 1e6, (double)info->macs / 1e9, (double)info->bytes / 1e6,
	       m->summary);
	fflush(stdout);
}

/* ---- work ----------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = sig;
}

struct progress {
	struct vt_progress bar;
	const char *model;
	uint64_t before; /* bytes of the models that are written */
};

static int on_progress(void *arg, uint64_t done, uint64_t total)
{
	struct progress *p = arg;

	vt_progress_update(&p->bar, p->before + done, p->model);
	return stopped != 0;
}

/* mkdir -p */
static int make_dir(const char *path, struct vt_err *e)
{
	char *copy = strdup(path);
	int err = 0;

	if (!copy)
		return vt_fail(e, -ENOMEM, "out of memory");
	for (char *p = copy + 1;; p++) {
		char c = *p;

		if (c && c != '/')
			continue;
		*p = '\0';
		if (mkdir(copy, 0777) < 0 && errno != EEXIST) {
			err = vt_fail(e, -errno, "%s: cannot make the directory: %s", copy,
				      strerror(errno));
			break;
		}
		*p = c;
		if (!c)
			break;
	}
	free(copy);
	return err;
}

static int total_bytes(const struct args *a, uint64_t *ret, struct vt_err *e)
{
	size_t n;
	const struct vt_zoo_model *m = vt_zoo_models(&n);

	for (size_t i = 0; i < n; i++) {
		struct vt_zoo_info info;
		int err;

		if (!is_wanted(a, &m[i]))
			continue;
		err = vt_zoo_describe(&m[i], &a->o, &info, e);
		if (err)
			return err;
		*ret += info.bytes;
	}
	return 0;
}

static int work(struct args *a, json_t *all, struct vt_err *e)
{
	struct progress p = {0};
	uint64_t total = 0;
	size_t n;
	const struct vt_zoo_model *m = vt_zoo_models(&n);
	int err = total_bytes(a, &total, e);

	if (!err && !a->list)
		err = make_dir(a->out, e);
	if (err)
		return err;
	vt_progress_init(&p.bar, "writing", total);
	/* A line at once would be noise where a bar is not shown. */
	p.bar.shown_mono_ns = p.bar.start_mono_ns;
	a->o.progress = on_progress;
	a->o.arg = &p;
	print_head(a);
	for (size_t i = 0; i < n && !err; i++) {
		struct vt_zoo_info info;

		if (!is_wanted(a, &m[i]))
			continue;
		p.model = m[i].name;
		err = a->list ? vt_zoo_describe(&m[i], &a->o, &info, e)
			      : vt_zoo_write(&m[i], a->out, &a->o, &info, e);
		if (p.bar.tty && !a->list)
			vt_progress_fini(&p.bar);
		if (err)
			break;
		p.before += info.bytes;
		if (a->json)
			json_array_append_new(all, as_json(a, &m[i], &info));
		else
			print_row(&m[i], &info);
	}
	a->o.arg = NULL; /* p ends here */
	a->o.progress = NULL;
	return err;
}

int vt_cmd_zoo(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "[NAME...]",
		.doc = "Write the paper's models as real ONNX files with seeded weights.\v"
		       "Without a NAME all seven are written, about 1.7 GB; with --tiny their "
		       "tiny versions. The same seed gives the same bytes on every machine."};
	struct sigaction sa = {.sa_handler = on_signal};
	struct args a = {.o.seed = 1, .names = calloc((size_t)argc, sizeof(char *))};
	json_t *all = json_array();
	struct vt_err e = {0};
	int err;

	err = a.names && all ? 0 : vt_fail(&e, -ENOMEM, "out of memory");
	if (!err)
		err = vt_cmd_parse(&argp, argc, argv, &a);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	if (!err)
		err = check_names(&a, &e);
	if (!err)
		err = work(&a, all, &e);
	if (!err && a.json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(all);
	free(a.names);
	return err ? vt_cmd_fail(NAME, &e) : VT_EXIT_OK;
}
