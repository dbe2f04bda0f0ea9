// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cgroup.h"

/* Small files of /proc tell no size, so this is not vt_file_read(). */
static uint64_t of_machine(const char *root)
{
	static const char key[] = "MemAvailable:";
	char text[4096], *at;
	size_t n;
	FILE *f;

	snprintf(text, sizeof(text), "%s/proc/meminfo", root ? root : "");
	f = fopen(text, "re");
	if (!f)
		return UINT64_MAX;
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	at = strstr(text, key);
	return at ? strtoull(at + sizeof(key) - 1, NULL, 10) * 1024 : UINT64_MAX;
}

uint64_t vt_memory_available(const char *root)
{
	uint64_t a = of_machine(root), b = vt_cgroup_memory_left_bytes(root);

	return a < b ? a : b;
}
