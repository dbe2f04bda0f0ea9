/* SPDX-License-Identifier: Apache-2.0 */
/* cpuset.h - sets of cores, as values. No allocation, no threads. */
#ifndef VT_BASE_CPUSET_H
#define VT_BASE_CPUSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_MAX_CORES 1024
#define VT_CPU_LIST  4096 /* bytes of the longest list: every second CPU */

/** A set of logical CPUs, numbered as the kernel numbers them. */
struct vt_cpuset {
	uint64_t bits[VT_MAX_CORES / 64];
};

static inline void vt_cpuset_add(struct vt_cpuset *s, unsigned int cpu)
{
	s->bits[cpu / 64] |= 1ull << (cpu % 64);
}

static inline void vt_cpuset_del(struct vt_cpuset *s, unsigned int cpu)
{
	s->bits[cpu / 64] &= ~(1ull << (cpu % 64));
}

static inline bool vt_cpuset_has(const struct vt_cpuset *s, unsigned int cpu)
{
	return cpu < VT_MAX_CORES && (s->bits[cpu / 64] >> (cpu % 64) & 1);
}

/** vt_cpuset_count - cores in the set */
unsigned int vt_cpuset_count(const struct vt_cpuset *s);

/** vt_cpuset_next - the first core >= @from, or -1 */
int vt_cpuset_next(const struct vt_cpuset *s, unsigned int from);

/**
 * vt_cpuset_parse - read the kernel's list format, "0-3,8,10-11"
 * Returns 0; -EINVAL for anything else (empty list, reversed range, stray text), -ERANGE from core
 * 1024 on.
 */
int vt_cpuset_parse(const char *text, struct vt_cpuset *ret);

/** vt_cpuset_format - write the list format; returns the length as snprintf does */
int vt_cpuset_format(const struct vt_cpuset *s, char *buf, size_t len);

/** vt_cpuset_allowed - the cores below VT_MAX_CORES that this thread may run on; 0 or -errno */
int vt_cpuset_allowed(struct vt_cpuset *ret);

/** vt_cpuset_pin_self - pin the calling thread to one core; 0 or -errno */
int vt_cpuset_pin_self(unsigned int cpu);

#endif
