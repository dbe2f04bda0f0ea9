/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - how much memory this process may still take. Reads small files. */
#ifndef VT_BASE_MEMORY_H
#define VT_BASE_MEMORY_H

#include <stdint.h>

/**
 * vt_memory_available - bytes: MemAvailable, or what the limits of the cgroups leave if that is less
 * @root: NULL, or another tree than / (tests)
 * UINT64_MAX if neither can be read.
 */
uint64_t vt_memory_available(const char *root);

#endif
