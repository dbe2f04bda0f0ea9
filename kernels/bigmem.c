// SPDX-License-Identifier: Apache-2.0
#include "kernels/bigmem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static size_t round_up(size_t v, size_t to)
{
	return (v + to - 1) / to * to;
}

void *vt_big_alloc(size_t bytes)
{
	size_t len, head;
	char *map, *at;

	if (bytes < VT_BIG_FROM) {
		at = aligned_alloc(64, round_up(bytes ? bytes : 1, 64));
		return at ? memset(at, 0, bytes) : NULL;
	}
	if (bytes > SIZE_MAX - 2 * VT_BIG_FROM)
		return NULL;
	len = round_up(bytes, VT_BIG_FROM);
	map = mmap(NULL, len + VT_BIG_FROM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	if (map == MAP_FAILED)
		return NULL;
	at = (char *)round_up((uintptr_t)map, VT_BIG_FROM);
	head = (size_t)(at - map);
	if (head)
		munmap(map, head);
	if (head < VT_BIG_FROM)
		munmap(at + len, VT_BIG_FROM - head);
	/* Advice only: a kernel without huge pages still gives us the memory. */
	madvise(at, len, MADV_HUGEPAGE);
	return at;
}

void vt_big_free(void *p, size_t bytes)
{
	if (!p)
		return;
	if (bytes < VT_BIG_FROM)
		free(p);
	else
		munmap(p, round_up(bytes, VT_BIG_FROM));
}
