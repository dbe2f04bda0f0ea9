// SPDX-License-Identifier: Apache-2.0
#include "cli/plot.h"

#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

FILE *vt_plot_create(const char *dir, const char *name, const char *ext, struct vt_err *e)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.%s", dir, name, ext);
	f = fopen(path, "we");
	if (!f)
		vt_fail(e, -errno, "%s: %s", path, strerror(errno));
	return f;
}

int vt_plot_finish(FILE *f, const char *dir, const char *name, struct vt_err *e)
{
	int bad = ferror(f);

	if (fclose(f) || bad)
		return vt_fail(e, -EIO, "%s/%s: cannot write: %s", dir, name, strerror(errno));
	return 0;
}

void vt_plot_quote(FILE *f, const char *text, size_t max)
{
	fputc('\'', f);
	for (; *text && max; text++, max--) {
		unsigned char c = (unsigned char)*text;

		if (c == '\'')
			fputc(c, f);
		fputc(c < ' ' || c == 0x7f ? '?' : c, f);
	}
	fputc('\'', f);
}

int vt_plot_draw(const char *dir, const char *name, struct vt_err *e)
{
	char command[PATH_MAX + 256];
	char *const argv[] = {"gnuplot", "-e", command, NULL};
	int status, rc;
	pid_t pid;

	/* gnuplot resolves file names of a script against its own working directory. */
	if (strpbrk(dir, "'\\\n"))
		return vt_fail(e, -EINVAL, "--plot: quotes in '%.100s' cannot be passed to gnuplot",
			       dir);
	snprintf(command, sizeof(command), "cd '%s'; load '%s.gp'", dir, name);
	rc = posix_spawnp(&pid, "gnuplot", NULL, NULL, argv, environ);
	if (rc)
		return vt_fail(e, -ENOTSUP, "gnuplot: %s; the data is in %s", strerror(rc), dir);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return vt_fail(e, -errno, "gnuplot: %s", strerror(errno));
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return vt_fail(e, -EIO, "gnuplot failed on %s/%s.gp", dir, name);
	return 0;
}
