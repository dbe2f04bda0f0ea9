// SPDX-License-Identifier: Apache-2.0
#include "server/memory.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small files of /proc and /sys tell no size, so this is not vt_file_read(). */
static bool slurp(const char *root, const char *path, char *buf, size_t len)
{
	char full[512];
	size_t n;
	FILE *f;

	snprintf(full, sizeof(full), "%s%s", root ? root : "", path);
	f = fopen(full, "re");
	if (!f)
		return false;
	n = fread(buf, 1, len - 1, f);
	buf[n] = '\0';
	fclose(f);
	return n > 0;
}

static uint64_t of_machine(const char *root)
{
	static const char key[] = "MemAvailable:";
	char text[4096];
	const char *at;

	if (!slurp(root, "/proc/meminfo", text, sizeof(text)))
		return UINT64_MAX;
	at = strstr(text, key);
	return at ? strtoull(at + sizeof(key) - 1, NULL, 10) * 1024 : UINT64_MAX;
}

static uint64_t number_in(const char *root, const char *cgroup, const char *file)
{
	char path[400], text[64];

	snprintf(path, sizeof(path), "/sys/fs/cgroup%.300s/%s", cgroup, file);
	if (!slurp(root, path, text, sizeof(text)) || !strncmp(text, "max", 3))
		return UINT64_MAX;
	return strtoull(text, NULL, 10);
}

/* What each cgroup on the way up leaves; file pages in memory.current can be had back. */
static uint64_t of_cgroup(const char *root)
{
	char text[512], *path;
	uint64_t least = UINT64_MAX;

	if (!slurp(root, "/proc/self/cgroup", text, sizeof(text)))
		return least;
	path = strstr(text, "0::/");
	if (!path)
		return least;
	path += 3;
	path[strcspn(path, "\n")] = '\0';
	while (path[0] && path[1]) {
		uint64_t max = number_in(root, path, "memory.max");
		uint64_t now = number_in(root, path, "memory.current");

		if (max != UINT64_MAX && now != UINT64_MAX) {
			uint64_t left = max > now ? max - now : 0;

			least = left < least ? left : least;
		}
		*strrchr(path, '/') = '\0';
	}
	return least;
}

uint64_t vt_memory_available(const char *root)
{
	uint64_t a = of_machine(root), b = of_cgroup(root);

	return a < b ? a : b;
}
