// SPDX-License-Identifier: Apache-2.0
#include "base/fresh.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORTH_IT 65536u

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void vt_fresh_populate(void *p, size_t len)
{
	const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)p + page - 1) & ~(page - 1),
		  to = ((uintptr_t)p + len) & ~(page - 1);
	unsigned char there = 0;

	if (len < WORTH_IT || to <= from)
		return;
	/* Memory is taken from the bottom up: the last page is the one that may be new. */
	if (!mincore((void *)(to - page), page, &there) && there & 1)
		return;
	madvise((void *)from, to - from, MADV_POPULATE_WRITE);
}
