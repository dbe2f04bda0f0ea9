// SPDX-License-Identifier: Apache-2.0
#include "model/onnx_block.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE  4096 /* the header's page of a mapping; pages may be larger, never smaller */
#define SLACK 64   /* behind large blocks: XNNPACK reads whole vectors */

/* Just before the data. */
struct head {
	size_t mapped; /* bytes of the whole mapping, 0: from malloc */
	size_t pad;
};

_Static_assert(sizeof(struct head) == 16, "keeps malloc's alignment");

void *vt_block_alloc(size_t bytes)
{
	struct head *h;
	char *p;

	if (bytes > SIZE_MAX / 2)
		return NULL;
	if (bytes < VT_BLOCK_BIG) {
		h = malloc(sizeof(*h) + bytes);
		if (!h)
			return NULL;
		h->mapped = 0;
		return h + 1;
	}
	p = mmap(NULL, bytes + PAGE + SLACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		 -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	h = (struct head *)(p + PAGE) - 1;
	h->mapped = bytes + PAGE + SLACK;
	return p + PAGE;
}

void vt_block_free(void *p)
{
	struct head *h = p ? (struct head *)p - 1 : NULL;

	if (h && h->mapped)
		munmap((char *)p - PAGE, h->mapped);
	else
		free(h);
}

void vt_block_release(void *p, size_t bytes)
{
	vt_block_free(p);
}
