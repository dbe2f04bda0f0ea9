/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resctrl.h - memory bandwidth and LLC occupancy per tenant, as the CPU itself measures them.
 *
 * Intel RDT and AMD PQoS tag each task with a resource monitoring id (RMID); the kernel shows one
 * counter per RMID and L3 domain under /sys/fs/resctrl/mon_groups. We make one mon_group per tenant
 * and remove it again. Its name carries our pid and start time, so that groups of a crashed owner
 * are known for what they are and removed by the next start, and those of a live one are not.
 *
 * A domain may refuse to answer ("Unavailable", "Error"), vanish (its last CPU went offline) and
 * come back from zero. None of that ever becomes a byte count: sums skip what was not measured and
 * say so. One thread at a time.
 */
#ifndef VT_MONITOR_RESCTRL_H
#define VT_MONITOR_RESCTRL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define VT_RESCTRL_ROOT "/sys/fs/resctrl"

enum vt_resctrl_what {
	VT_RESCTRL_OCCUPANCY, /* bytes of the L3 that hold the group's lines now */
	VT_RESCTRL_TOTAL,     /* bytes moved between L3 and memory, since the group was made */
	VT_RESCTRL_LOCAL,     /* of them, to and from the socket's own memory */
	VT_RESCTRL_WHATS,
};

struct vt_resctrl;
struct vt_resctrl_group;

/**
 * vt_resctrl_open - find out what this machine can monitor, and clear up after dead owners
 * @root:   NULL: VT_RESCTRL_ROOT
 * @procfs: NULL: "/proc"; tells which owners live
 * Returns 0; -ENOTSUP when the CPU or kernel has no L3 monitoring, -ENOENT when the file system is
 * not mounted, -EACCES; each says what to do.
 */
int vt_resctrl_open(const char *root, const char *procfs, struct vt_resctrl **ret,
		    struct vt_err *e);

/** vt_resctrl_close - remove every group that is left, free; NULL is fine */
void vt_resctrl_close(struct vt_resctrl *r);

/** vt_resctrl_can - whether this machine measures @what */
bool vt_resctrl_can(const struct vt_resctrl *r, enum vt_resctrl_what what);

/** vt_resctrl_rmids - how many groups the hardware tells apart, the default group included */
uint32_t vt_resctrl_rmids(const struct vt_resctrl *r);

/** vt_resctrl_reclaimed - groups of dead owners that vt_resctrl_open removed */
uint32_t vt_resctrl_reclaimed(const struct vt_resctrl *r);

/**
 * vt_resctrl_group_add - a mon_group for one tenant
 * @id: unique among this owner's groups
 * Returns 0; -ENOSPC when the hardware's RMIDs are used up (the tenant then has no bandwidth of its
 * own: "n/a"); -EEXIST; other -errno of mkdir(2).
 */
int vt_resctrl_group_add(struct vt_resctrl *r, uint64_t id, struct vt_resctrl_group **ret,
			 struct vt_err *e);

/** vt_resctrl_group_del - remove it; its tasks fall back to the default group. NULL is fine. */
void vt_resctrl_group_del(struct vt_resctrl_group *g);

/** vt_resctrl_group_task - put thread @tid into the group; -ESRCH if it is gone already */
int vt_resctrl_group_task(struct vt_resctrl_group *g, pid_t tid, struct vt_err *e);

/** One look at a group. */
struct vt_resctrl_sample {
	uint64_t bytes[VT_RESCTRL_WHATS]; /* see enum; sums over the domains that answered */
	bool valid[VT_RESCTRL_WHATS];	  /* false: nothing answered, print "n/a" */
	uint32_t domains;		  /* seen this time */
	uint32_t unavailable; /* counters that said so; made good by their next answer */
	uint32_t errors;      /* counters that failed: what they missed is lost */
	uint32_t resets;      /* counters that fell back: what they missed is lost */
};

/** vt_resctrl_group_read - returns 0; -ENODATA if no domain is left, -errno */
int vt_resctrl_group_read(struct vt_resctrl_group *g, struct vt_resctrl_sample *ret,
			  struct vt_err *e);

#endif
