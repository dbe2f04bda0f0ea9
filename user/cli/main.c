// SPDX-License-Identifier: Apache-2.0
/* main.c - the table of subcommands. One file each; this is the only place that knows them all. */
#include "cli/cli.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmds.h"
#include "kernels/isa.h"

static const struct vt_cmd cmds[] = {
#define X(name, summary) {#name, summary, vt_cmd_##name},
	VT_CMDS(X)
#undef X
};

int vt_cmd_fail(const char *cmd, const struct vt_err *e)
{
	fprintf(stderr, "veltair %s: %s\n", cmd, e->msg);
	return (int)vt_exit_code(e->code);
}

/* ---- bad usage: one line ------------------------------------------------------------------------ */

static FILE *true_stderr;
static const char *parsed; /* "veltair run" */

/*
 * getopt and argp say what is wrong, then "Try `...' for more information", on two lines if the name is long. An
 * error is one line: of all they say the first, and where to read on.
 */
static ssize_t first_line(void *cookie, const char *buf, size_t len)
{
	static bool over;
	const char *end = memchr(buf, '\n', len);

	if (!over)
		fwrite(buf, 1, end ? (size_t)(end - buf) : len, true_stderr);
	if (!over && end)
		fprintf(true_stderr, "; see `%s --help`\n", parsed);
	over |= end != NULL;
	return (ssize_t)len;
}

static error_t short_help(int key, char *arg, struct argp_state *state)
{
	if (key != 'h')
		return ARGP_ERR_UNKNOWN;
	argp_state_help(state, state->out_stream, ARGP_HELP_STD_HELP);
	return 0;
}

int vt_cmd_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	static const struct argp_option h[] = {{NULL, 'h', NULL, OPTION_HIDDEN, NULL, 0}, {0}};
	static const struct argp help = {.options = h, .parser = short_help};
	static const struct argp_child also[] = {{.argp = &help}, {0}};
	static FILE *f; /* one for the process: a server parses again at every SIGHUP */
	struct argp copy = *argp;
	int err;

	copy.children = also;
	parsed = argv[0];
	true_stderr = stderr;
	if (!f) {
		f = fopencookie(NULL, "w", (cookie_io_functions_t){.write = first_line});
		if (f)
			setvbuf(f, NULL, _IOLBF, 1024); /* a line at a time */
	}
	if (f)
		stderr = f; /* getopt knows no other */
	argp_err_exit_status = VT_EXIT_USAGE;
	err = argp_parse(&copy, argc, argv, 0, NULL, input);
	stderr = true_stderr;
	return -(int)err;
}

/* ---- numbers ------------------------------------------------------------------------------------ */

int vt_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	char *end;
	unsigned long long v;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (*end)
		return -EINVAL;
	if (errno || v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int vt_parse_f64(const char *text, double min, double max, double *ret)
{
	char *end;
	double v;

	v = strtod(text, &end);
	if (end == text || *end || !isfinite(v))
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

/* ---- commands ----------------------------------------------------------------------------------- */

static void usage(FILE *out)
{
	fputs("Usage: veltair COMMAND [OPTION...]\n"
	      "Serves many deep-learning models on one CPU machine and keeps them from hurting "
	      "each other.\n\n"
	      "Commands:\n",
	      out);
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		fprintf(out, "  %-10s %s\n", cmds[i].name, cmds[i].summary);
	fputs("\n`veltair COMMAND --help`, `-h` and `veltair help COMMAND` tell the options of "
	      "each,\n"
	      "`veltair version` which version this is.\n"
	      "VELTAIR_ISA=baseline|avx2|avx512 in the environment: kernels for less than this CPU "
	      "has.\n"
	      "Exit status: 0 ok; 1 failed: no memory, a full disk, no server that answers;\n"
	      "2 bad usage or input, or an address to listen on that cannot be had; 3 not "
	      "supported "
	      "here.\n",
	      out);
}

static const struct vt_cmd *find(const char *name)
{
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		if (!strcmp(name, cmds[i].name))
			return &cmds[i];
	fprintf(stderr, "veltair: unknown command '%.64s'; `veltair --help` lists them\n", name);
	return NULL;
}

static int run(const struct vt_cmd *c, int argc, char **argv)
{
	char name[64];

	snprintf(name, sizeof(name), "veltair %s", c->name);
	argv[0] = name;
	return c->run(argc, argv);
}

static bool is(const char *arg, const char *a, const char *b, const char *c)
{
	return !strcmp(arg, a) || !strcmp(arg, b) || !strcmp(arg, c);
}

int main(int argc, char **argv)
{
	const bool help = argc >= 2 && !strcmp(argv[1], "help");
	const struct vt_cmd *c;

	if (argc >= 2 && (is(argv[1], "--help", "-h", "-?") || (help && argc == 2))) {
		usage(stdout);
		return VT_EXIT_OK;
	}
	if (argc >= 2 && is(argv[1], "--version", "-V", "version")) {
		puts("veltair " VT_VERSION);
		return VT_EXIT_OK;
	}
	if (argc < 2) {
		usage(stderr);
		return VT_EXIT_USAGE;
	}
	c = find(argv[help ? 2 : 1]);
	if (!c)
		return VT_EXIT_USAGE;
	if (help)
		return run(c, 2, (char *[]){"", "--help", NULL});
	if (vt_tier_check()) {
		fprintf(stderr, "veltair: VELTAIR_ISA=%.32s: %s\n", getenv("VELTAIR_ISA"),
			vt_tier_check() == -EINVAL ? "not one of baseline, avx2, avx512"
						   : "this CPU does not have it");
		return VT_EXIT_USAGE;
	}
	return run(c, argc - 1, argv + 1);
}
