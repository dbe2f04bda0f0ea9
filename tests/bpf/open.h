/* SPDX-License-Identifier: Apache-2.0 */
/* open.h - a monitor that counts page faults as LLC misses, which need no PMU. Skipped only where this process may not. */
#ifndef VT_TESTS_BPF_OPEN_H
#define VT_TESTS_BPF_OPEN_H

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "monitor/monitor.h"
#include "tests/unit/harness.h"

/* Not allowed, or not on this kernel. EACCES of root is the verifier's: a program of ours that is wrong. */
static inline bool may_not(int err)
{
	return err == -ENOTSUP || err == -EPERM || (err == -EACCES && geteuid() != 0);
}

static inline int open_counting(struct vt_monitor_opts o, struct vt_monitor **ret, struct vt_err *e)
{
	static struct vt_event_overrides ev;
	int err;

	ev = (struct vt_event_overrides){0};
	err = vt_event_override(&ev, "llc_misses=page-faults", e);
	o.ev = &ev;
	o.roles = o.roles ? o.roles : 1u << VT_ROLE_LLC_MISSES;
	return err ? err : vt_monitor_open(&o, ret, e);
}

static inline struct vt_monitor *open_or_skip(struct vt_monitor_opts o)
{
	struct vt_monitor *m = NULL;
	struct vt_err e = {0};
	int err = open_counting(o, &m, &e);

	if (may_not(err))
		vt_skip("%s", e.msg);
	if (err)
		fail_msg("%s", e.msg);
	return m;
}

#endif
