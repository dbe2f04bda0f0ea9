/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.h - blocks of memory that go from one request to the next.
 *
 * A body of 600 kB in new memory costs 0.4 to 1.6 ms where a host shadows its guest's page tables (make
 * machine-probe), several times what its bytes cost; malloc() alone gives the top of its heap back and takes it again
 * when bursts come and go. What nobody took for a while goes back to the system.
 */
#ifndef VT_SERVER_KEPT_H
#define VT_SERVER_KEPT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define VT_KEPT_BLOCKS 64
#define VT_KEPT_SMALL  65536u	      /* bytes; shorter ones are malloc()'s business */
#define VT_KEPT_NS     10000000000ull /* free for so long: goes back */

/** Any thread. */
struct vt_kept {
	pthread_mutex_t lock;
	struct vt_kept_block {
		void *p;
		size_t bytes;
		uint64_t since_ns;
	} block[VT_KEPT_BLOCKS]; /* free ones, latest last */
	size_t n, bytes, max_bytes;
};

/** vt_kept_init - nothing yet; @max_bytes: free blocks are kept up to this sum */
void vt_kept_init(struct vt_kept *k, size_t max_bytes);
/** vt_kept_fini - free those kept; what was taken is its taker's */
void vt_kept_fini(struct vt_kept *k);

/**
 * vt_kept_take - memory of at least @len bytes, backed by pages if it is large; the caller's until vt_kept_give()
 * or free()
 * @ret_bytes: its size. Returns NULL if there is no memory.
 */
void *vt_kept_take(struct vt_kept *k, size_t len, size_t *ret_bytes);
/** vt_kept_give - @p of malloc()'s family, @bytes long, is free from @now_ns on; NULL is accepted */
void vt_kept_give(struct vt_kept *k, void *p, size_t bytes, uint64_t now_ns);
/** vt_kept_trim - give back to the system what has been free for VT_KEPT_NS */
void vt_kept_trim(struct vt_kept *k, uint64_t now_ns);

#endif
