/* SPDX-License-Identifier: Apache-2.0 */
/*
 * topology.h - which cores share a last-level cache, and the order in which the scheduler numbers
 * cores: those of one cache are neighbours (sched/coreset.h). Reads sysfs once; no threads.
 */
#ifndef VT_EXEC_TOPOLOGY_H
#define VT_EXEC_TOPOLOGY_H

#include "base/cpuset.h"
#include "sched/view.h"

/** Scheduled cores 0 .. n_cores-1 and their LLC domains. */
struct vt_topology {
	uint32_t n_cores, n_domains;
	uint16_t cpu[VT_SCHED_MAX_CORES]; /* the kernel's number of a scheduled core */
	struct vt_domain domain[VT_MAX_DOMAINS];
	uint8_t domain_of[VT_MAX_CORES]; /* by the kernel's number; VT_NO_DOMAIN: not scheduled */
};

/**
 * vt_topology_read - number @cores
 * @sysfs: root of sysfs, "/sys"
 * Where sysfs names no caches (many VMs), a package counts as one domain, and where it names no
 * packages, the whole machine. Returns 0; -EINVAL: no core, or more than can be scheduled.
 */
int vt_topology_read(struct vt_topology *ret, const char *sysfs, const struct vt_cpuset *cores);

/**
 * vt_topology_afford - leave of @cores what @cpu_ppm of CPU time can keep busy (vt_cgroup_cpu_ppm()), rounded up, and
 * no more than can be scheduled
 * The first in the order above stay. More workers than that use a period's time up early, and the kernel stops all of
 * them until the next. True: some are gone.
 */
bool vt_topology_afford(struct vt_cpuset *cores, const char *sysfs, uint64_t cpu_ppm);

/**
 * vt_topology_default - where nobody names cores: those allowed, as far as the CPU quota affords them and they can be
 * scheduled; 0 or -errno
 */
int vt_topology_default(struct vt_cpuset *ret);

#endif
