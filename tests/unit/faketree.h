/* SPDX-License-Identifier: Apache-2.0 */
/* faketree.h - a directory tree from a table, standing in for /sys, /proc or /sys/fs/resctrl. */
#ifndef VT_TESTS_FAKETREE_H
#define VT_TESTS_FAKETREE_H

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fake_file {
	const char *path, *text; /* text NULL: a directory */
};

struct fake_tree {
	char root[64];
};

/** fake_write - create or replace a file, and the directories above it */
static inline void fake_write(const struct fake_tree *t, const char *path, const char *text)
{
	char full[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", t->root, path);
	for (char *p = full + strlen(t->root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0755);
		*p = '/';
	}
	if (!text) {
		mkdir(full, 0755);
		return;
	}
	f = fopen(full, "w");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
}

static inline void fake_open(struct fake_tree *t, const struct fake_file *files, size_t n)
{
	snprintf(t->root, sizeof(t->root), "%s", "/tmp/vt-fake-XXXXXX");
	if (!mkdtemp(t->root))
		abort();
	for (size_t i = 0; i < n; i++)
		fake_write(t, files[i].path, files[i].text);
}

static inline bool fake_exists(const struct fake_tree *t, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", t->root, path);
	return access(full, F_OK) == 0;
}

static inline int fake_rm(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

/** fake_remove - take away one file or directory of the tree, with all that is in it */
static inline void fake_remove(const struct fake_tree *t, const char *path)
{
	char full[512];

	snprintf(full, sizeof(full), "%s/%s", t->root, path);
	nftw(full, fake_rm, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void fake_close(struct fake_tree *t)
{
	fake_remove(t, "");
}

#endif
