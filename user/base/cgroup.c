// SPDX-License-Identifier: Apache-2.0
#include "base/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PPM 1000000u

/** Where a controller has its files for this process. */
struct place {
	char dir[PATH_MAX]; /* of the process's group */
	size_t top; /* length of the part that is the mount: nothing above it is looked at */
	bool v1;
};

/* Is @name among the names of @list, "cpu,cpuacct"? */
static bool names(const char *list, const char *name)
{
	const size_t n = strlen(name);

	for (;; list++) {
		const size_t len = strcspn(list, ",");

		if (len == n && !strncmp(list, name, n))
			return true;
		list += len;
		if (!*list)
			return false;
	}
}

/* A line is "ID:CONTROLLERS:PATH". Where both versions are mounted, a controller is in one of them; v2's line names none. */
static bool find(const char *root, const char *controller, struct place *ret)
{
	char path[PATH_MAX], *line = NULL;
	size_t room = 0;
	bool found = false;
	FILE *f;

	ret->v1 = false;
	snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
	f = fopen(path, "re");
	while (f && !ret->v1 && getline(&line, &room, f) >= 0) {
		char *list = strchr(line, ':'), *at = list ? strchr(list + 1, ':') : NULL;

		if (!at)
			continue;
		*list++ = *at++ = '\0';
		at[strcspn(at, "\n")] = '\0';
		ret->v1 = names(list, controller);
		if (*list && !ret->v1)
			continue;
		found = true;
		ret->top = (size_t)snprintf(ret->dir, sizeof(ret->dir), "%s/sys/fs/cgroup%s%s",
					    root, ret->v1 ? "/" : "", ret->v1 ? controller : "");
		if (ret->top >= sizeof(ret->dir))
			ret->top = sizeof(ret->dir) - 1;
		if (strcmp(at, "/") != 0)
			snprintf(ret->dir + ret->top, sizeof(ret->dir) - ret->top, "%s", at);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

static bool slurp(const char *dir, const char *file, char *buf, size_t len)
{
	char full[PATH_MAX + 64];
	size_t n;
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, file);
	f = fopen(full, "re");
	if (!f)
		return false;
	n = fread(buf, 1, len - 1, f);
	buf[n] = '\0';
	fclose(f);
	return n > 0;
}

/* "max" and version 1's -1 are no limit. */
static uint64_t number(const char *text)
{
	return *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
}

static uint64_t number_in(const char *dir, const char *file)
{
	char text[64];

	return slurp(dir, file, text, sizeof(text)) ? number(text) : UINT64_MAX;
}

/* The value of a line "KEY N" of memory.stat; 0 if there is none. */
static uint64_t stat_of(const char *stat, const char *key)
{
	const size_t n = strlen(key);

	for (const char *p = stat; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, key, n) && p[n] == ' ')
			return strtoull(p + n, NULL, 10);
	}
	return 0;
}

static uint64_t memory_left(const char *dir, bool v1)
{
	const uint64_t max = number_in(dir, v1 ? "memory.limit_in_bytes" : "memory.max");
	uint64_t now = number_in(dir, v1 ? "memory.usage_in_bytes" : "memory.current"), files;
	char stat[8192];

	if (max == UINT64_MAX || now == UINT64_MAX)
		return UINT64_MAX;
	if (!slurp(dir, "memory.stat", stat, sizeof(stat)))
		stat[0] = '\0';
	/* A model's file, once read, stays in the group's page cache until something else wants the room. */
	files = stat_of(stat, v1 ? "total_inactive_file" : "inactive_file") +
		stat_of(stat, v1 ? "total_active_file" : "active_file");
	now -= files < now ? files : now;
	return max > now ? max - now : 0;
}

static uint64_t cpu_ppm(const char *dir, bool v1)
{
	uint64_t quota, period;
	char text[64], *space;

	if (v1) {
		quota = number_in(dir, "cpu.cfs_quota_us");
		period = number_in(dir, "cpu.cfs_period_us");
	} else {
		if (!slurp(dir, "cpu.max", text, sizeof(text)))
			return UINT64_MAX;
		space = strchr(text, ' ');
		quota = number(text);
		period = space ? number(space + 1) : UINT64_MAX;
	}
	if (!period || quota > UINT64_MAX / PPM || period == UINT64_MAX)
		return UINT64_MAX;
	return quota * PPM / period;
}

static uint64_t least(const char *root, const char *controller,
		      uint64_t (*left)(const char *dir, bool v1))
{
	uint64_t ret = UINT64_MAX;
	struct place p;

	if (!find(root ? root : "", controller, &p))
		return ret;
	for (;;) {
		const uint64_t n = left(p.dir, p.v1);
		char *up = strrchr(p.dir + p.top, '/');

		ret = n < ret ? n : ret;
		if (!up)
			return ret;
		*up = '\0';
	}
}

uint64_t vt_cgroup_memory_left_bytes(const char *root)
{
	return least(root, "memory", memory_left);
}

uint64_t vt_cgroup_cpu_ppm(const char *root)
{
	return least(root, "cpu", cpu_ppm);
}
