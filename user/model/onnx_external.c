// SPDX-License-Identifier: Apache-2.0
/* Data in a file beside the model. The name comes from the model: it must not lead outside. */
#include "model/onnx_file.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "model/onnx_block.h"

#define SLACK 64 /* XNNPACK reads whole vectors */

/* Before Linux 5.6: resolve the whole path, then compare. A race needs write access to @dir. */
static int open_resolved(const char *dir, const char *file)
{
	char path[PATH_MAX], root[PATH_MAX], full[PATH_MAX];
	size_t n;
	int fd;

	if (file[0] == '/')
		return -EXDEV;
	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (!realpath(dir, root) || !realpath(path, full))
		return -errno;
	n = strlen(root);
	if (strncmp(root, full, n) || (n > 1 && full[n] != '/'))
		return -EXDEV;
	fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

static int open_beneath(const char *dir, const char *file)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd;

	if (root < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, root, file, &how, sizeof(how));
	if (fd < 0)
		fd = -errno;
	close(root);
	return fd == -ENOSYS || fd == -EPERM ? open_resolved(dir, file) : fd;
}

/* Copied, never mapped: whoever empties the file later must not take the process with him. */
static int read_range(int fd, uint64_t off, size_t len, struct vt_value *v, struct vt_err *e)
{
	size_t done = 0;
	char *p = len >= VT_BLOCK_BIG ? vt_block_alloc(len) : NULL;

	v->release = vt_block_release;
	if (!p) {
		p = vt_block_alloc(len + SLACK);
		if (!p)
			return vt_fail(e, -ENOMEM, "external data: no memory for %zu bytes", len);
		memset(p + len, 0, SLACK);
	}
	while (done < len) {
		ssize_t n = pread(fd, p + done, len - done, (off_t)(off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			vt_block_free(p);
			v->release = NULL;
			return vt_fail(e, n ? -errno : -EIO, "external data: cannot read: %s",
				       n ? strerror(errno) : "the file shrank");
		}
		done += (size_t)n;
	}
	v->data = p;
	return 0;
}

static int tell(const struct vt_onnx_beside *beside, const char *file, const struct stat *st,
		size_t len, struct vt_err *e)
{
	char path[PATH_MAX];

	if (!beside->told || !beside->told->beside)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", beside->dir, file) >= (int)sizeof(path))
		return vt_fail(e, -ENAMETOOLONG, "external data: its path is too long");
	return beside->told->beside(beside->told->arg, path, st, len, e);
}

static int take_range(int fd, const struct vt_onnx_beside *beside, const char *file, uint64_t off,
		      size_t len, struct vt_value *v, struct vt_err *e)
{
	struct stat st;
	int err;

	if (fstat(fd, &st) < 0)
		return vt_fail(e, -errno, "external data \"%s\": %s", file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return vt_fail(e, -EINVAL, "external data \"%s\" is not a regular file", file);
	if (off > (uint64_t)st.st_size || len > (uint64_t)st.st_size - off)
		return vt_fail(e, -EINVAL,
			       "external data \"%s\": bytes %llu + %zu lie outside its %llu bytes",
			       file, (unsigned long long)off, len, (unsigned long long)st.st_size);
	err = tell(beside, file, &st, len, e);
	return err ? err : read_range(fd, off, len, v, e);
}

int vt_onnx_external(const struct vt_onnx_beside *beside, const char *file, uint64_t off,
		     size_t len, struct vt_value *ret, struct vt_err *e)
{
	int fd = open_beneath(beside->dir, file), err;

	if (fd == -EXDEV || fd == -ELOOP)
		return vt_fail(e, -EINVAL, "external data \"%s\" lies outside the model's folder",
			       file);
	if (fd < 0)
		return vt_fail(e, fd, "external data \"%s\": %s", file, strerror(-fd));
	err = take_range(fd, beside, file, off, len, ret, e);
	close(fd);
	return err;
}
