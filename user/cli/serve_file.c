// SPDX-License-Identifier: Apache-2.0
#include "cli/serve_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define NAME_LEN (PATH_MAX + 8)

static void beside(char *ret, const char *path, const char *end)
{
	snprintf(ret, NAME_LEN, "%s%s", path, end);
}

static int cannot(const char *path, int err, struct vt_err *e)
{
	return vt_fail(e, err, "%s: cannot write: %s", path, strerror(-err));
}

/* /dev/stdout is a link: what is moved is the file that it leads to. One that leads nowhere yet is made there. */
static void follow(const char *path, char ret[PATH_MAX])
{
	if (!realpath(path, ret))
		snprintf(ret, PATH_MAX, "%s", path);
}

static bool is_file(const char *path, struct stat *st)
{
	return !stat(path, st) && S_ISREG(st->st_mode);
}

int vt_serve_file_open(struct vt_serve_file *f, const char *path, struct vt_err *e)
{
	char name[NAME_LEN];
	struct stat st;
	int fd;

	follow(path, f->path);
	f->beside = is_file(f->path, &st) && st.st_size;
	beside(name, f->path, f->beside ? ".new" : "");
	/* Not to wait for a pipe's reader; what is written there waits for it. */
	fd = open(name,
		  O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK |
			  (f->beside ? O_TRUNC | O_NOFOLLOW : 0),
		  0666);
	if (fd >= 0) {
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
		return fd;
	}
	f->path[0] = '\0';
	if (errno == ENXIO)
		return vt_fail(e, -ENXIO, "%s: cannot write: a pipe that nobody reads yet", name);
	return cannot(name, -errno, e);
}

int vt_serve_file_begin(struct vt_serve_file *f, struct vt_err *e)
{
	char last[NAME_LEN], new[NAME_LEN];

	beside(last, f->path, ".1");
	beside(new, f->path, ".new");
	/* Whoever has removed it meanwhile did not want it kept. */
	if (f->beside && rename(f->path, last) && errno != ENOENT)
		return vt_fail(e, -errno, "%s: what it holds cannot be kept as %s: %s", f->path,
			       last, strerror(errno));
	if (f->beside && rename(new, f->path))
		return cannot(f->path, -errno, e);
	f->begun = true;
	return 0;
}

void vt_serve_file_end(struct vt_serve_file *f)
{
	char new[NAME_LEN];
	struct stat st;

	if (!f->path[0] || f->begun)
		return;
	beside(new, f->path, ".new");
	if (f->beside)
		unlink(new);
	else if (is_file(f->path, &st) && truncate(f->path, 0))
		return; /* it was empty, and is a start of a recording now: the next one keeps that */
}

int vt_serve_file_try(const char *path, struct vt_err *e)
{
	char real[PATH_MAX], dir[PATH_MAX];
	struct stat st;
	int err = 0;

	follow(path, real);
	vt_folder_of(real, dir, sizeof(dir));
	if (stat(real, &st))
		err = errno != ENOENT || access(dir, W_OK | X_OK) ? -errno : 0;
	else if (S_ISDIR(st.st_mode))
		err = -EISDIR;
	else if (S_ISREG(st.st_mode) && st.st_size)
		err = access(dir, W_OK | X_OK) ? -errno : 0;
	else if (access(real, W_OK))
		err = -errno;
	return err ? cannot(path, err, e) : 0;
}
