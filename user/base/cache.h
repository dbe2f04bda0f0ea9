/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - how large the caches of a core are. No allocation, no threads.
 *
 * The kernel's sysfs and sysconf() read the same CPUID leaf, and a hypervisor may leave that leaf empty. AMD's
 * older leaves often survive, so this looks at all of them.
 */
#ifndef VT_BASE_CACHE_H
#define VT_BASE_CACHE_H

#include <stddef.h>
#include <stdint.h>

/** Bytes; 0 where nothing says. */
struct vt_caches {
	size_t l1d_bytes, l2_bytes; /* of one core */
	size_t l3_bytes;    /* of one domain; 0 too where only the sum over a package is known */
	const char *source; /* "cpuid", "sysconf" or "" */
};

/** What one execution of CPUID returns: eax, ebx, ecx, edx. */
struct vt_cpuid_regs {
	uint32_t a, b, c, d;
};

/** vt_cpuid_fn - registers of @leaf and @subleaf; all 0 for a leaf that does not exist */
typedef struct vt_cpuid_regs (*vt_cpuid_fn)(const void *cpu, uint32_t leaf, uint32_t subleaf);

/**
 * vt_caches_decode - cache sizes of an x86 CPU from what its CPUID says; pure
 * Tries the list of leaf 4 (Intel), that of 0x8000001d (AMD), then 0x80000005 and 6 for what is
 * still missing. @cpu is handed on to @cpuid.
 */
struct vt_caches vt_caches_decode(vt_cpuid_fn cpuid, const void *cpu);

/** vt_caches - of the CPU that runs this, from CPUID, else from sysconf() */
struct vt_caches vt_caches(void);

/** vt_l2_bytes - L2 of one core; 512 KiB, the smallest of the last ten years' servers, if unknown */
size_t vt_l2_bytes(void);

#endif
