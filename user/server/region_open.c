// SPDX-License-Identifier: Apache-2.0
/* region_open.c - the object behind a region: is it one, and may the server have it? */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "server/region.h"

/* As it may stand in a URL, between quotes, and in a line of text. */
static bool is_name(const char *s)
{
	const char *begin = s;

	while (*s > ' ' && *s <= '~' && *s != '"' && *s != '\\' && *s != '/')
		s++;
	return !*s && s > begin && s - begin < VT_REGION_NAME;
}

/* As shm_open() has it: one slash, in front. */
static bool is_key(const char *s)
{
	return s[0] == '/' && s[1] && !strchr(s + 1, '/') && strcmp(s, "/.") != 0 &&
	       strcmp(s, "/..") != 0;
}

/* What is no file must not hold up who opens it: a FIFO, a lease that somebody has. */
static int open_object(const char *path, bool *read_only)
{
	const int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	int fd = open(path, O_RDWR | flags);

	*read_only = fd < 0 && (errno == EACCES || errno == EPERM || errno == EROFS);
	if (*read_only)
		fd = open(path, O_RDONLY | flags);
	return fd < 0 ? -errno : fd;
}

static int cannot_open(const struct vt_region_at *at, int err, struct vt_err *e)
{
	if (err == -EMFILE || err == -ENFILE)
		return vt_fail(e, -ENOSPC, "no open files are left for key '%.80s'", at->key);
	return vt_fail(e, err, "key '%.80s': cannot open shared memory: %s%s", at->key,
		       strerror(-err), err == -EACCES ? "; let the server's user read it" : "");
}

static int check_object(const struct vt_region_at *at, int fd, struct vt_err *e)
{
	struct statfs fs;
	struct stat st;

	if (fstat(fd, &st) || fstatfs(fd, &fs))
		return cannot_open(at, -errno, e);
	if (!S_ISREG(st.st_mode) || fs.f_type != TMPFS_MAGIC)
		return vt_fail(e, -EINVAL, "key '%.80s' is no shared memory", at->key);
	if (at->offset > (uint64_t)st.st_size || at->bytes > (uint64_t)st.st_size - at->offset)
		return vt_fail(e, -EINVAL,
			       "key '%.80s' has %llu bytes, offset %llu and byte_size %llu are "
			       "past its end",
			       at->key, (unsigned long long)st.st_size,
			       (unsigned long long)at->offset, (unsigned long long)at->bytes);
	return 0;
}

int region_open(const char *dir, const struct vt_region_at *at, bool *read_only, struct vt_err *e)
{
	char path[4096];
	int fd, err;

	if (!is_name(at->name))
		return vt_fail(e, -EINVAL,
			       "a region's name is 1 to %u letters, digits and signs, without "
			       "quote, slash, backslash and blank",
			       VT_REGION_NAME - 1);
	if (!is_key(at->key))
		return vt_fail(e, -EINVAL,
			       "key '%.80s' is no name of shared memory: one slash in front, "
			       "none after it, such as \"/input\"",
			       at->key);
	snprintf(path, sizeof(path), "%.3800s%s", dir, at->key);
	fd = open_object(path, read_only);
	if (fd < 0)
		return cannot_open(at, fd, e);
	err = check_object(at, fd, e);
	if (err)
		close(fd);
	return err ? err : fd;
}
