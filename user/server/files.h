/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - the files that a model was read from, and whether one has changed since. No threads. */
#ifndef VT_SERVER_FILES_H
#define VT_SERVER_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/** A file as it was when it was read. */
struct vt_file {
	char *path;
	struct stat st;
};

/** Each file once; zeroed is empty. */
struct vt_files {
	struct vt_file *file;
	size_t n;
};

/** vt_files_add - remember @path, unless it is there; copied. 0 or -ENOMEM */
int vt_files_add(struct vt_files *f, const char *path, const struct stat *st);
/** vt_files_changed - is one another file now, or written since? What is gone has not changed. */
bool vt_files_changed(const struct vt_files *f);
void vt_files_fini(struct vt_files *f);

#endif
