/* SPDX-License-Identifier: Apache-2.0 */
/* priv.h - give up what is not needed any more. */
#ifndef VT_MONITOR_PRIV_H
#define VT_MONITOR_PRIV_H

#include "base/error.h"

/**
 * vt_priv_drop - keep CAP_BPF and CAP_PERFMON only, for good
 * What is open stays open; counting, reading, and coming back after CPU hotplug still work. Making
 * resctrl groups works as long as the user owns the tree (root does). Affects the calling thread
 * and those it starts later: call it before any other thread exists. Returns 0 or -errno.
 */
int vt_priv_drop(struct vt_err *e);

#endif
