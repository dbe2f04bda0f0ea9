// SPDX-License-Identifier: Apache-2.0
/*
 * bigmem.c - mappings of their own for what is large, and chunks that the rest shares.
 *
 * A model has dozens of weights of some 100 KiB, each read once a run: on pages of 4 KiB every one of these costs
 * a walk of the page tables, in a virtual machine of two. So they lie one behind the other on huge pages. What is
 * given back goes to the kernel by the huge page, once nobody has anything on it, and is not used again
 * before its whole chunk is: models come and go as wholes.
 */
#include "kernels/bigmem.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE	    VT_BIG_FROM
#define CHUNK_PAGES 8
#define CHUNK	    (CHUNK_PAGES * HUGE)

/*
 * At the start of a chunk, which lies at a multiple of its size.
 * @on: blocks that have a part of a page; of the first page, this struct too
 */
struct chunk {
	size_t used; /* bytes from its start */
	unsigned int on[CHUNK_PAGES];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all chunks */
static struct chunk *filling;				 /* or NULL */

static size_t round_up(size_t v, size_t to)
{
	return (v + to - 1) / to * to;
}

/* @len bytes at a multiple of @align, both multiples of a huge page. */
static void *map_huge(size_t len, size_t align)
{
	char *map =
		mmap(NULL, len + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *at;
	size_t head;

	if (map == MAP_FAILED)
		return NULL;
	at = (char *)round_up((uintptr_t)map, align);
	head = (size_t)(at - map);
	if (head)
		munmap(map, head);
	if (head < align)
		munmap(at + len, align - head);
	/* Advice only: a kernel without huge pages still gives us the memory. */
	madvise(at, len, MADV_HUGEPAGE);
	return at;
}

/* ---- chunks --------------------------------------------------------------------------------- */

/* A block that begins @off bytes into its chunk comes (1) or goes (-1). */
static void count(struct chunk *c, size_t off, size_t bytes, int by)
{
	for (size_t p = off / HUGE; p <= (off + bytes - 1) / HUGE; p++)
		c->on[p] += (unsigned int)by;
}

static bool is_empty(const struct chunk *c)
{
	for (int p = 0; p < CHUNK_PAGES; p++)
		if (c->on[p] > (p == 0))
			return false;
	return true;
}

static struct chunk *chunk_new(void)
{
	struct chunk *c = map_huge(CHUNK, CHUNK);

	if (c) {
		c->used = round_up(sizeof(*c), 64);
		c->on[0] = 1;
	}
	return c;
}

static void *chunk_alloc(size_t bytes)
{
	void *at = NULL;

	pthread_mutex_lock(&lock);
	if (!filling || filling->used + bytes > CHUNK)
		filling = chunk_new(); /* the one before goes with its last block */
	if (filling) {
		at = (char *)filling + filling->used;
		count(filling, filling->used, bytes, 1);
		filling->used += bytes;
	}
	pthread_mutex_unlock(&lock);
	return at;
}

static void chunk_free(void *at, size_t bytes)
{
	struct chunk *c = (struct chunk *)((uintptr_t)at / CHUNK * CHUNK);
	const size_t off = (size_t)((char *)at - (char *)c);

	pthread_mutex_lock(&lock);
	count(c, off, bytes, -1);
	for (size_t p = off / HUGE; p <= (off + bytes - 1) / HUGE; p++)
		if (!c->on[p])
			madvise((char *)c + p * HUGE, HUGE, MADV_DONTNEED);
	if (is_empty(c)) {
		filling = filling == c ? NULL : filling;
		munmap(c, CHUNK);
	}
	pthread_mutex_unlock(&lock);
}

/* ---- either --------------------------------------------------------------------------------- */

/* With AddressSanitizer each has a block of malloc's: it knows where that ends. */
#if defined(__SANITIZE_ADDRESS__)
#define SHARE false
#elif defined(__has_feature)
#define SHARE !__has_feature(address_sanitizer)
#else
#define SHARE true
#endif

static size_t block_bytes(size_t bytes)
{
	return round_up(bytes ? bytes : 1, 64);
}

void *vt_big_alloc(size_t bytes)
{
	void *at;

	if (bytes > SIZE_MAX - 2 * CHUNK)
		return NULL;
	if (bytes >= VT_BIG_FROM)
		return map_huge(round_up(bytes, HUGE), HUGE);
	at = SHARE ? chunk_alloc(block_bytes(bytes)) : aligned_alloc(64, block_bytes(bytes));
	return at ? memset(at, 0, bytes) : NULL;
}

void vt_big_free(void *p, size_t bytes)
{
	if (!p)
		return;
	if (bytes >= VT_BIG_FROM)
		munmap(p, round_up(bytes, HUGE));
	else if (SHARE)
		chunk_free(p, block_bytes(bytes));
	else
		free(p);
}
