/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - whole files: read one, or write one so that it appears complete or not at all.
 * Thread-safe: no globals.
 */
#ifndef VT_BASE_FILE_H
#define VT_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/**
 * vt_file_read - all of a regular file into fresh memory
 * @ret: free() it; one byte more than @len, which is 0
 * Returns 0, -EFBIG past @max_bytes, -EISDIR, -EINVAL for a pipe or device, or errno of open/read.
 */
int vt_file_read(const char *path, uint64_t max_bytes, void **ret, size_t *len, struct vt_err *e);

/** A file being written under a temporary name beside its own. Caller's memory. */
struct vt_outfile {
	const char *path; /* kept by the caller */
	char *tmp;
	int fd;
	unsigned char *buf;
	size_t used;
	uint64_t bytes; /* given so far */
};

/**
 * vt_outfile_open - start writing @path
 * @expect_bytes: the size, if known (0: not): room for it is reserved at once, so that a disk too
 * small says so before the work instead of after it
 */
int vt_outfile_open(struct vt_outfile *f, const char *path, uint64_t expect_bytes,
		    struct vt_err *e);
int vt_outfile_put(struct vt_outfile *f, const void *data, size_t len, struct vt_err *e);
/** vt_outfile_commit - flush and rename; on failure the temporary file is gone and so is nothing else */
int vt_outfile_commit(struct vt_outfile *f, struct vt_err *e);
/** vt_outfile_abort - drop what was written; harmless after a commit or a failed open */
void vt_outfile_abort(struct vt_outfile *f);

/** vt_folder_of - where @path lies: "/a" of "/a/b", "." of "b" */
void vt_folder_of(const char *path, char *ret, size_t len);

#endif
