/* SPDX-License-Identifier: Apache-2.0 */
/* bigmem.h - memory for weights and arenas: huge pages where they help, zeroed. Thread-safe. */
#ifndef VT_KERNELS_BIGMEM_H
#define VT_KERNELS_BIGMEM_H

#include <stddef.h>

/* from here on a mapping of its own: memory that is not written takes none */
#define VT_BIG_FROM ((size_t)2 << 20)

/**
 * vt_big_alloc - zeroed, 64-byte aligned (2 MiB aligned from 2 MiB on), or NULL
 * Huge pages are asked for; smaller blocks share them, in the order in which they are allocated.
 */
void *vt_big_alloc(size_t bytes);
/** vt_big_free - @bytes as given to vt_big_alloc; accepts NULL */
void vt_big_free(void *p, size_t bytes);

#endif
