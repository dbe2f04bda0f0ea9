// SPDX-License-Identifier: Apache-2.0
#include "kernels/xnn_mem.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xnnpack.h>

#define PAGE_BYTES ((size_t)4096)

/** A large block, mapped shared so that a second mapping of its pages can be made. */
struct block {
	struct block *next;
	char *at;
	size_t bytes; /* whole pages */
	uint64_t hash;
	struct block *pages_of; /* the block whose pages these are; itself if nobody else's */
	int users;		/* blocks whose pages_of is this one; kept until the last goes */
	bool fresh;		/* not yet looked at by vt_xnn_mem_share() */
	bool freed; /* XNNPACK gave it back, others still map its pages: the mapping is gone, the record stays */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *blocks;
static size_t held_bytes;

static uint64_t hash_of(const char *p, size_t bytes)
{
	uint64_t h = 0x9e3779b97f4a7c15ull, w;

	for (size_t i = 0; i + 8 <= bytes; i += 8) {
		memcpy(&w, p + i, 8);
		h = (h ^ w) * 0xff51afd7ed558ccdull;
		h ^= h >> 32;
	}
	return h;
}

static struct block **find(const void *at)
{
	struct block **b = &blocks;

	while (*b && ((*b)->at != at || (*b)->freed))
		b = &(*b)->next;
	return b;
}

static void unlink_block(struct block *b)
{
	struct block **at = &blocks;

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	free(b);
}

static void *large_alloc(size_t size)
{
	size_t bytes = (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	struct block *b = calloc(1, sizeof(*b));
	void *at = b ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
		     : MAP_FAILED;

	if (at == MAP_FAILED) {
		free(b);
		return NULL;
	}
	madvise(at, bytes, MADV_HUGEPAGE); /* advice only */
	*b = (struct block){.at = at, .bytes = bytes, .pages_of = b, .users = 1, .fresh = true};
	pthread_mutex_lock(&lock);
	b->next = blocks;
	blocks = b;
	held_bytes += bytes;
	pthread_mutex_unlock(&lock);
	return at;
}

/* Returns false if @p is not a large block. */
static bool large_free(void *p)
{
	struct block *b, *owner;

	pthread_mutex_lock(&lock);
	b = *find(p);
	if (b) {
		munmap(b->at, b->bytes);
		b->freed = true;
		owner = b->pages_of;
		if (owner != b)
			unlink_block(b);
		if (--owner->users == 0) {
			held_bytes -= owner->bytes;
			unlink_block(owner);
		}
	}
	pthread_mutex_unlock(&lock);
	return b != NULL;
}

/* Put the pages of @o in the place of those of @b. A mapping of length 0 is how mremap copies one. */
static bool map_onto(struct block *b, struct block *o)
{
	if (mremap(o->at, 0, b->bytes, MREMAP_MAYMOVE | MREMAP_FIXED, b->at) == MAP_FAILED)
		return false;
	b->pages_of = o->pages_of;
	b->pages_of->users++;
	b->users = 0;
	held_bytes -= b->bytes;
	return true;
}

void vt_xnn_mem_share(void)
{
	pthread_mutex_lock(&lock);
	for (struct block *b = blocks; b; b = b->next) {
		if (!b->fresh)
			continue;
		b->fresh = false;
		b->hash = hash_of(b->at, b->bytes);
		for (struct block *o = b->next; o; o = o->next)
			if (!o->fresh && !o->freed && o->bytes == b->bytes && o->hash == b->hash &&
			    !memcmp(o->at, b->at, b->bytes) && map_onto(b, o))
				break;
	}
	pthread_mutex_unlock(&lock);
}

size_t vt_xnn_mem_bytes(void)
{
	size_t n;

	pthread_mutex_lock(&lock);
	n = held_bytes;
	pthread_mutex_unlock(&lock);
	return n;
}

/* ---- what XNNPACK calls ------------------------------------------------------------------- */

static void *xm_allocate(void *ctx, size_t size)
{
	return malloc(size);
}

static void *xm_reallocate(void *ctx, void *p, size_t size)
{
	return realloc(p, size);
}

static void xm_deallocate(void *ctx, void *p)
{
	free(p);
}

static void *xm_aligned_allocate(void *ctx, size_t alignment, size_t size)
{
	void *p;

	if (size >= VT_XNN_LARGE_BYTES && alignment <= PAGE_BYTES)
		return large_alloc(size);
	return posix_memalign(&p, alignment < sizeof(void *) ? sizeof(void *) : alignment, size)
		       ? NULL
		       : p;
}

static void xm_aligned_deallocate(void *ctx, void *p)
{
	if (p && ((uintptr_t)p % PAGE_BYTES || !large_free(p)))
		free(p);
}

const struct xnn_allocator *vt_xnn_allocator(void)
{
	static const struct xnn_allocator a = {
		.allocate = xm_allocate,
		.reallocate = xm_reallocate,
		.deallocate = xm_deallocate,
		.aligned_allocate = xm_aligned_allocate,
		.aligned_deallocate = xm_aligned_deallocate,
	};

	return &a;
}
