// SPDX-License-Identifier: Apache-2.0
#include "server/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int vt_files_add(struct vt_files *f, const char *path, const struct stat *st)
{
	struct vt_file *more;
	char *copy;

	/* Tensors of one file mostly follow one another. */
	for (size_t i = f->n; i-- > 0;)
		if (!strcmp(f->file[i].path, path))
			return 0;
	more = realloc(f->file, (f->n + 1) * sizeof(*more));
	if (!more)
		return -ENOMEM;
	f->file = more;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	f->file[f->n++] = (struct vt_file){copy, *st};
	return 0;
}

static bool changed(const struct vt_file *f)
{
	struct stat st;

	if (stat(f->path, &st))
		return false;
	return st.st_ino != f->st.st_ino || st.st_dev != f->st.st_dev ||
	       st.st_size != f->st.st_size || st.st_mtim.tv_sec != f->st.st_mtim.tv_sec ||
	       st.st_mtim.tv_nsec != f->st.st_mtim.tv_nsec;
}

bool vt_files_changed(const struct vt_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (changed(&f->file[i]))
			return true;
	return false;
}

void vt_files_fini(struct vt_files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->file[i].path);
	free(f->file);
	*f = (struct vt_files){0};
}
