/* SPDX-License-Identifier: Apache-2.0 */
/* cli.h - subcommands as data. Only cli/ and server/ print, log and exit. */
#ifndef VT_CLI_CLI_H
#define VT_CLI_CLI_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct json_t;

/** One subcommand; argv[0] is "veltair NAME". Returns an enum vt_exit. */
struct vt_cmd {
	const char *name;
	const char *summary; /* one line for `veltair --help` */
	int (*run)(int argc, char **argv);
};

/** vt_cmd_fail - print "veltair NAME: text" on stderr, return the exit code of @e */
int vt_cmd_fail(const char *cmd, const struct vt_err *e);

/**
 * vt_cmd_parse - argp_parse with this project's manners: bad usage is one line, which ends with
 * where to read on, and exit 2; -h is --help
 * Exits on --help, --version and bad usage; otherwise returns 0 or -errno from the parser.
 */
int vt_cmd_parse(const struct argp *argp, int argc, char **argv, void *input);

/** vt_parse_u64 - a whole number in [min, max]; -EINVAL or -ERANGE, @ret untouched */
int vt_parse_u64(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/** vt_parse_f64 - a finite number in [min, max]; -EINVAL or -ERANGE, @ret untouched */
int vt_parse_f64(const char *text, double min, double max, double *ret);

/** vt_help_policies - the policies, a line or two each and narrow enough that argp wraps none */
void vt_help_policies(FILE *f);

/**
 * vt_can_write_all - can these be written? To be asked before long work, not found out after it
 * @files: @n of them; those that are NULL were not asked for
 * @dir: made if it is missing; may be NULL
 * Leaves nothing behind but @dir. Returns 0 or -errno.
 */
int vt_can_write_all(const char *const *files, size_t n, const char *dir, struct vt_err *e);

/** vt_said_all - did standard output take what was printed? -EIO: a full disk, say */
int vt_said_all(struct vt_err *e);

/** vt_say_json - @j on standard output, its reference taken; NULL: it could not be made */
int vt_say_json(struct json_t *j, struct vt_err *e);

/* Progress of long work: a bar on a terminal, otherwise a plain line every few seconds. */
struct vt_progress {
	const char *what; /* kept by the caller */
	uint64_t total;
	bool tty;
	uint64_t start_mono_ns, shown_mono_ns;
};

void vt_progress_init(struct vt_progress *p, const char *what, uint64_t total);
void vt_progress_update(struct vt_progress *p, uint64_t done, const char *detail);
void vt_progress_fini(struct vt_progress *p);

#endif
