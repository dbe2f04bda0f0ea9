// SPDX-License-Identifier: Apache-2.0
#include "monitor/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"

#define MAX_DEPTH  32
#define WALK_EVERY VT_NS_PER_S

struct entry {
	uint64_t id;
	char *path;
};

struct vt_names {
	char *root; /* NULL: nothing to walk */
	struct entry *all;
	size_t count, room;
	uint64_t walked_mono_ns;
};

int vt_cgroup_mount(const char *procfs, char *ret, size_t len, struct vt_err *e)
{
	char path[320], line[1024], dir[512], type[32];
	FILE *f;

	snprintf(path, sizeof(path), "%s/mounts", procfs ? procfs : "/proc");
	f = fopen(path, "re");
	if (!f)
		return vt_fail(e, -errno, "cannot read %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %511s %31s", dir, type) != 2 || strcmp(type, "cgroup2") != 0)
			continue;
		fclose(f);
		if ((size_t)snprintf(ret, len, "%s", dir) < len)
			return 0;
		return vt_fail(e, -ENAMETOOLONG,
			       "%s: cgroup v2 is mounted on a path that is too long", path);
	}
	fclose(f);
	return vt_fail(e, -ENOENT,
		       "cgroup v2 is not mounted; run 'mount -t cgroup2 none /sys/fs/cgroup'");
}

int vt_cgroup_nameless(const struct vt_monitor *m, struct vt_err *e)
{
	char root[256];

	return vt_monitor_meta(m)->group == VT_BY_PROCESS
		       ? 0
		       : vt_cgroup_mount(NULL, root, sizeof(root), e);
}

struct vt_names *vt_names_new(const char *root)
{
	struct vt_names *n = calloc(1, sizeof(*n));

	if (n && root)
		n->root = strdup(root);
	return n;
}

static void clear(struct vt_names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->all[i].path);
	n->count = 0;
}

void vt_names_free(struct vt_names *n)
{
	if (!n)
		return;
	clear(n);
	free(n->all);
	free(n->root);
	free(n);
}

/* Out of memory means an unknown name, which every caller must be able to show anyway. */
static void add(struct vt_names *n, uint64_t id, const char *path)
{
	size_t room = n->room ? n->room * 2 : 64;
	struct entry *all;
	char *copy;

	if (n->count == n->room) {
		all = realloc(n->all, room * sizeof(*all));
		if (!all)
			return;
		n->all = all;
		n->room = room;
	}
	copy = strdup(path);
	if (copy)
		n->all[n->count++] = (struct entry){id, copy};
}

/* A cgroup's id is the inode number of its directory. */
static void walk(struct vt_names *n, const char *path, int depth)
{
	char full[1024], sub[900];
	struct dirent *d;
	struct stat st;
	DIR *dir;

	snprintf(full, sizeof(full), "%.120s%.900s", n->root, path);
	if (stat(full, &st))
		return;
	add(n, st.st_ino, path[0] ? path : "/");
	dir = depth < MAX_DEPTH ? opendir(full) : NULL;
	if (!dir)
		return;
	while ((d = readdir(dir))) {
		if (d->d_type != DT_DIR || d->d_name[0] == '.')
			continue;
		if ((size_t)snprintf(sub, sizeof(sub), "%s/%s", path, d->d_name) < sizeof(sub))
			walk(n, sub, depth + 1);
	}
	closedir(dir);
}

static int by_id(const void *a, const void *b)
{
	uint64_t x = ((const struct entry *)a)->id, y = ((const struct entry *)b)->id;

	return (x > y) - (x < y);
}

static const char *lookup(const struct vt_names *n, uint64_t id)
{
	struct entry key = {.id = id}, *found;

	found = n->count ? bsearch(&key, n->all, n->count, sizeof(key), by_id) : NULL;
	return found ? found->path : NULL;
}

const char *vt_names_cgroup(struct vt_names *n, uint64_t id)
{
	uint64_t now = vt_now_mono_ns();
	const char *path = lookup(n, id);

	if (path || !n->root || (n->walked_mono_ns && now - n->walked_mono_ns < WALK_EVERY))
		return path;
	clear(n);
	walk(n, "", 0);
	qsort(n->all, n->count, sizeof(*n->all), by_id);
	n->walked_mono_ns = now;
	return lookup(n, id);
}

/* The root has no name of its own. */
static void put_cgroup(char *ret, size_t len, uint64_t key, const char *name)
{
	if (name[0])
		snprintf(ret, len, "%s", name);
	else
		snprintf(ret, len, "cgroup %lu", (unsigned long)vt_key_id(key));
}

void vt_tenant_name(struct vt_monitor *m, struct vt_names *n, uint64_t key, char *ret, size_t len)
{
	struct vt_tenant t = {0};
	const char *path = NULL;
	char name[1024];

	if (vt_monitor_find(m, key, &t))
		snprintf(t.name, sizeof(t.name), "(ended)");
	switch (vt_key_kind(key)) {
	case VT_KIND_CGROUP:
		if (n)
			path = vt_names_cgroup(n, vt_key_id(key));
		if (path)
			snprintf(name, sizeof(name), "%s", path);
		else if (!n || !n->root) /* whether it is still there is not known */
			put_cgroup(name, sizeof(name), key, t.name);
		else
			snprintf(name, sizeof(name), "%s (removed)", t.name);
		break;
	case VT_KIND_PROCESS:
		snprintf(name, sizeof(name), "%s[%lu]", t.name, (unsigned long)vt_key_id(key));
		break;
	default:
		snprintf(name, sizeof(name), "%s", t.name);
	}
	vt_utf8_put(ret, len, name);
}

bool vt_name_may_change(struct vt_monitor *m, uint64_t key)
{
	struct vt_tenant t;

	return vt_key_kind(key) == VT_KIND_PROCESS && !vt_monitor_find(m, key, &t);
}

const char *vt_tenant_kind_name(uint64_t key)
{
	static const char *const names[] = {"none",   "other",	"idle",	  "gone",
					    "tenant", "cgroup", "process"};
	unsigned int k = vt_key_kind(key);

	return k < sizeof(names) / sizeof(names[0]) ? names[k] : "?";
}
