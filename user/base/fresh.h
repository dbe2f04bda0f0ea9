/* SPDX-License-Identifier: Apache-2.0 */
/* fresh.h - memory that has just come from malloc() and is about to be filled. */
#ifndef VT_BASE_FRESH_H
#define VT_BASE_FRESH_H

#include <stddef.h>

/**
 * vt_fresh_populate - let the kernel back @len bytes at @p with pages now, if it has not yet
 * One system call instead of a page fault every 4 KiB: of 600 KiB 0.15 ms instead of 2.9 where a guest's page
 * tables are shadowed by its host (make machine-probe). Memory that malloc() had kept costs one look, and what
 * is shorter than 64 KiB none. Only advice: nothing is said if the kernel (5.14) cannot.
 */
void vt_fresh_populate(void *p, size_t len);

#endif
