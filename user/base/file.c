// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUF_BYTES (1u << 20)
#define MIB	  (1024.0 * 1024.0)

static int read_all(int fd, const char *path, unsigned char *buf, size_t *len, struct vt_err *e)
{
	size_t done = 0;

	while (done < *len) {
		ssize_t n = read(fd, buf + done, *len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vt_fail(e, -errno, "%s: cannot read: %s", path, strerror(errno));
		if (!n)
			break;
		done += (size_t)n;
	}
	*len = done;
	return 0;
}

int vt_file_read(const char *path, uint64_t max_bytes, void **ret, size_t *len, struct vt_err *e)
{
	unsigned char *buf = NULL;
	struct stat st;
	size_t n = 0;
	int fd, err = 0;

	/* O_NONBLOCK: opening a pipe that nobody writes must not hang. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return vt_fail(e, -errno, "%s: cannot open: %s", path, strerror(errno));
	if (fstat(fd, &st) < 0)
		err = vt_fail(e, -errno, "%s: %s", path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		err = vt_fail(e, -EISDIR, "%s: is a directory, a file is needed", path);
	else if (!S_ISREG(st.st_mode))
		err = vt_fail(e, -EINVAL, "%s: not a regular file", path);
	else if ((uint64_t)st.st_size > max_bytes)
		err = vt_fail(e, -EFBIG, "%s: %.1f MiB, at most %.1f can be read", path,
			      (double)st.st_size / MIB, (double)max_bytes / MIB);
	else {
		n = (size_t)st.st_size;
		buf = malloc(n + 1);
		err = buf ? read_all(fd, path, buf, &n, e)
			  : vt_fail(e, -ENOMEM, "%s: out of memory", path);
	}
	close(fd);
	if (err || !buf) {
		free(buf);
		return err;
	}
	buf[n] = 0;
	*ret = buf;
	*len = n;
	return 0;
}

static int fail_write(const struct vt_outfile *f, int code, struct vt_err *e)
{
	return vt_fail(e, code, "%s: cannot write: %s", f->path, strerror(-code));
}

int vt_outfile_open(struct vt_outfile *f, const char *path, uint64_t expect_bytes, struct vt_err *e)
{
	size_t len = strlen(path) + 32;
	int err;

	*f = (struct vt_outfile){.path = path, .fd = -1, .tmp = malloc(len)};
	f->buf = malloc(BUF_BYTES);
	if (!f->tmp || !f->buf) {
		vt_outfile_abort(f);
		return vt_fail(e, -ENOMEM, "%s: out of memory", path);
	}
	snprintf(f->tmp, len, "%s.tmp.%d", path, (int)getpid());
	f->fd = open(f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (f->fd < 0) {
		err = -errno;
		free(f->tmp);
		f->tmp = NULL;
		vt_outfile_abort(f);
		return vt_fail(e, err, "%s: cannot create: %s", path, strerror(-err));
	}
	if (expect_bytes && fallocate(f->fd, 0, 0, (off_t)expect_bytes) < 0 &&
	    (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)) {
		err = -errno;
		vt_outfile_abort(f);
		return vt_fail(e, err, "%s: cannot write: %s; %.1f MiB are needed", path,
			       strerror(-err), (double)expect_bytes / MIB);
	}
	return 0;
}

static int flush(struct vt_outfile *f, struct vt_err *e)
{
	size_t done = 0;

	while (done < f->used) {
		ssize_t n = write(f->fd, f->buf + done, f->used - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_write(f, -errno, e);
		done += (size_t)n;
	}
	f->used = 0;
	return 0;
}

int vt_outfile_put(struct vt_outfile *f, const void *data, size_t len, struct vt_err *e)
{
	const unsigned char *p = data;

	f->bytes += len;
	while (len) {
		size_t n = BUF_BYTES - f->used < len ? BUF_BYTES - f->used : len;
		int err;

		memcpy(f->buf + f->used, p, n);
		f->used += n;
		p += n;
		len -= n;
		err = f->used == BUF_BYTES ? flush(f, e) : 0;
		if (err)
			return err;
	}
	return 0;
}

int vt_outfile_commit(struct vt_outfile *f, struct vt_err *e)
{
	int err = flush(f, e), fd = f->fd;

	/* What was reserved and not used must not stay as zeros. */
	if (!err && ftruncate(fd, (off_t)f->bytes) < 0)
		err = fail_write(f, -errno, e);
	/* A network file system may tell of a full disk only now. */
	f->fd = -1;
	if (close(fd) < 0 && !err)
		err = fail_write(f, -errno, e);
	if (!err && rename(f->tmp, f->path) < 0)
		err = fail_write(f, -errno, e);
	if (!err) {
		free(f->tmp);
		f->tmp = NULL;
	}
	vt_outfile_abort(f);
	return err;
}

void vt_outfile_abort(struct vt_outfile *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->tmp)
		unlink(f->tmp);
	free(f->tmp);
	free(f->buf);
	*f = (struct vt_outfile){.fd = -1};
}

void vt_folder_of(const char *path, char *ret, size_t len)
{
	const char *slash = strrchr(path, '/');

	if (slash)
		snprintf(ret, len, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	else
		snprintf(ret, len, ".");
}
