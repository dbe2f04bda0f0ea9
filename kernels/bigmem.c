// SPDX-License-Identifier: Apache-2.0
#include "kernels/bigmem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 << 20)

static size_t round_up(size_t v, size_t to)
{
	return (v + to - 1) / to * to;
}

void *vt_big_alloc(size_t bytes)
{
	size_t len, head;
	char *map, *at;

	if (bytes < HUGE_BYTES) {
		at = aligned_alloc(64, round_up(bytes ? bytes : 1, 64));
		return at ? memset(at, 0, bytes) : NULL;
	}
	if (bytes > SIZE_MAX - 2 * HUGE_BYTES)
		return NULL;
	len = round_up(bytes, HUGE_BYTES);
	map = mmap(NULL, len + HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	if (map == MAP_FAILED)
		return NULL;
	at = (char *)round_up((uintptr_t)map, HUGE_BYTES);
	head = (size_t)(at - map);
	if (head)
		munmap(map, head);
	if (head < HUGE_BYTES)
		munmap(at + len, HUGE_BYTES - head);
	/* Advice only: a kernel without huge pages still gives us the memory. */
	madvise(at, len, MADV_HUGEPAGE);
	return at;
}

void vt_big_free(void *p, size_t bytes)
{
	if (!p)
		return;
	if (bytes < HUGE_BYTES)
		free(p);
	else
		munmap(p, round_up(bytes, HUGE_BYTES));
}
