/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - what the control groups of this process leave it: memory, and time on CPUs. Version 2, and version 1's
 * controllers at their usual mounts. Reads small files; thread-safe.
 *
 * A limit counts wherever on the way up it stands. In a container the root of /sys/fs/cgroup is the container's own
 * group, whatever path the process is told.
 */
#ifndef VT_BASE_CGROUP_H
#define VT_BASE_CGROUP_H

#include <stdint.h>

/**
 * vt_cgroup_memory_left_bytes - what may still be taken before a limit is met; pages of files count as free
 * @root: NULL, or another tree than / (tests, another machine's files)
 * UINT64_MAX: there is no limit, or none that can be read.
 */
uint64_t vt_cgroup_memory_left_bytes(const char *root);

/**
 * vt_cgroup_cpu_ppm - CPU time that may be taken in a time, in millionths: 2500000 is that of two and a half cores
 * UINT64_MAX: there is no quota, or none that can be read. All threads together, on whichever cores they run.
 */
uint64_t vt_cgroup_cpu_ppm(const char *root);

#endif
