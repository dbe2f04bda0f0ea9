// SPDX-License-Identifier: Apache-2.0
/* helpers.c - what several subcommands say and ask alike. */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cli/cli.h"
#include "sched/policy.h"

#define HELP_COLUMNS 78
#define HELP_INDENT  18

/* argp would continue at the left edge, which help2man takes for a new paragraph. */
static void put_wrapped(FILE *f, const char *text)
{
	int left = HELP_COLUMNS - HELP_INDENT;

	for (int at = 0; *text;) {
		int n = (int)strcspn(text, " ");

		if (at && at + 1 + n > left) {
			fprintf(f, "\n%*s", HELP_INDENT, "");
			at = 0;
		}
		at += fprintf(f, "%s%.*s", at ? " " : "", n, text);
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', f);
}

void vt_help_policies(FILE *f)
{
	fputs("Policies:\n", f);
	for (unsigned int i = 0; vt_policy_at(i); i++) {
		fprintf(f, "  %-15s ", vt_policy_at(i)->name);
		put_wrapped(f, vt_policy_at(i)->summary);
	}
}

static int can_write(const char *path, struct vt_err *e)
{
	struct vt_outfile out;
	struct stat st;
	int rc;

	if (!stat(path, &st) && S_ISDIR(st.st_mode))
		return vt_fail(e, -EISDIR, "%s: %s", path, strerror(EISDIR));
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return 0; /* a device or a pipe: opening it may wait */
	rc = vt_outfile_open(&out, path, 0, e);
	if (!rc)
		vt_outfile_abort(&out);
	return rc;
}

int vt_can_write_all(const char *const *files, size_t n, const char *dir, struct vt_err *e)
{
	char probe[PATH_MAX];
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++)
		rc = files[i] ? can_write(files[i], e) : 0;
	if (rc || !dir)
		return rc;
	if (mkdir(dir, 0777) && errno != EEXIST)
		return vt_fail(e, -errno, "%s: %s", dir, strerror(errno));
	snprintf(probe, sizeof(probe), "%s/probe", dir);
	return can_write(probe, e);
}

int vt_said_all(struct vt_err *e)
{
	errno = EIO; /* one that failed before says no more why */
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	return vt_fail(e, -EIO, "standard output: %s", strerror(errno));
}

int vt_say_json(json_t *j, struct vt_err *e)
{
	int rc = j ? json_dumpf(j, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(8)) : 0;

	if (!j)
		return vt_fail(e, -ENOMEM, "no memory for the JSON, or a text in it is not UTF-8");
	if (!rc)
		putchar('\n');
	json_decref(j);
	return rc ? vt_fail(e, -EIO, "standard output: %s", strerror(errno)) : vt_said_all(e);
}
