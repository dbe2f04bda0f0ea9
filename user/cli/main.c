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

/*
 * argp ends an error with "Try `...' for more information", on two lines if the name is long. It
 * tells a script nothing, and an error is one line: drop all from there on.
 */
static ssize_t drop_try_lines(void *cookie, const char *buf, size_t len)
{
	static bool over;

	over |= len >= 5 && !memcmp(buf, "Try `", 5);
	if (!over)
		fwrite(buf, 1, len, stderr);
	return (ssize_t)len;
}

static const struct argp *given; /* to vt_cmd_parse() */

static error_t parse_with_short_errors(int key, char *arg, struct argp_state *state)
{
	static FILE *f; /* one for the process: a server parses again at every SIGHUP */

	if (key == ARGP_KEY_INIT) {
		if (!f) {
			f = fopencookie(NULL, "w",
					(cookie_io_functions_t){.write = drop_try_lines});
			if (f)
				setvbuf(f, NULL, _IOLBF, 1024); /* a line at a time */
		}
		if (f)
			state->err_stream = f;
	}
	return given->parser ? given->parser(key, arg, state) : ARGP_ERR_UNKNOWN;
}

int vt_cmd_parse(const struct argp *argp, int argc, char **argv, void *input)
{
	struct argp copy = *argp;

	given = argp;
	copy.parser = parse_with_short_errors;
	argp_err_exit_status = VT_EXIT_USAGE;
	return -(int)argp_parse(&copy, argc, argv, 0, NULL, input);
}

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

static void usage(FILE *out)
{
	fputs("Usage: veltair COMMAND [OPTION...]\n"
	      "Serves many deep-learning models on one CPU machine and keeps them from hurting "
	      "each other.\n\n"
	      "Commands:\n",
	      out);
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++)
		fprintf(out, "  %-10s %s\n", cmds[i].name, cmds[i].summary);
	fputs("\n`veltair COMMAND --help` tells the options of each.\n"
	      "VELTAIR_ISA=baseline|avx2|avx512 in the environment: kernels for less than this CPU "
	      "has.\n"
	      "Exit status: 0 ok, 1 failed, 2 bad usage or input, 3 not supported here.\n",
	      out);
}

int main(int argc, char **argv)
{
	char name[64];

	if (argc >= 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-?"))) {
		usage(stdout);
		return VT_EXIT_OK;
	}
	if (argc >= 2 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
		puts("veltair " VT_VERSION);
		return VT_EXIT_OK;
	}
	if (argc < 2) {
		usage(stderr);
		return VT_EXIT_USAGE;
	}
	if (vt_tier_check()) {
		fprintf(stderr, "veltair: VELTAIR_ISA=%.32s: %s\n", getenv("VELTAIR_ISA"),
			vt_tier_check() == -EINVAL ? "not one of baseline, avx2, avx512"
						   : "this CPU does not have it");
		return VT_EXIT_USAGE;
	}
	for (size_t i = 0; i < sizeof(cmds) / sizeof(cmds[0]); i++) {
		if (strcmp(argv[1], cmds[i].name) != 0)
			continue;
		snprintf(name, sizeof(name), "veltair %s", cmds[i].name);
		argv[1] = name;
		return cmds[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "veltair: unknown command '%.64s'; `veltair --help` lists them\n", argv[1]);
	return VT_EXIT_USAGE;
}
