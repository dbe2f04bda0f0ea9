/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xnn_mem.h - where XNNPACK's packed weights live: huge pages, and one copy for identical blocks.
 * One thread at a time makes operators and shares; others may delete theirs meanwhile, and run them:
 * one lock, taken when operators are made and deleted, never while they run.
 *
 * XNNPACK packs the weights of every operator anew, and two instances of a layer need two
 * operators. Their packed blocks are equal byte for byte and are only read afterwards, so
 * vt_xnn_mem_share() maps the second onto the pages of the first.
 */
#ifndef VT_KERNELS_XNN_MEM_H
#define VT_KERNELS_XNN_MEM_H

#include <stdbool.h>
#include <stddef.h>

struct xnn_allocator;

/* Smaller blocks (small weights, indirection buffers, zero rows, operator structs) come from malloc. */
#define VT_XNN_LARGE_BYTES ((size_t)64 << 10)

/** vt_xnn_allocator - for xnn_initialize() */
const struct xnn_allocator *vt_xnn_allocator(void);

/** vt_xnn_mem_share - let large blocks allocated since the last call share pages with equal older
 * ones. All of them must have been written: no other thread may be making an operator */
void vt_xnn_mem_share(void);

/** vt_xnn_mem_bytes - memory behind all large blocks; shared pages count once */
size_t vt_xnn_mem_bytes(void);

/** vt_xnn_usable - whether XNNPACK has kernels for this CPU (xnn_ops.c) */
bool vt_xnn_usable(void);

#endif
