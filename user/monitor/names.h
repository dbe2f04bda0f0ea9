/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - what to call a tenant; cgroup ids to paths. One thread. Needs no privilege beyond reading
 * the cgroup tree.
 */
#ifndef VT_MONITOR_NAMES_H
#define VT_MONITOR_NAMES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "monitor/monitor.h"

/** vt_cgroup_mount - where cgroup v2 is mounted, from @procfs/mounts; -ENOENT if nowhere */
int vt_cgroup_mount(const char *procfs, char *ret, size_t len, struct vt_err *e);

/**
 * vt_cgroup_nameless - whether @m groups by cgroup where no tree of them can be looked at
 * Returns 0 if not, else as vt_cgroup_mount(): then there are no paths, and where cgroups are those of v1
 * everything is in one.
 */
int vt_cgroup_nameless(const struct vt_monitor *m, struct vt_err *e);

struct vt_names;

/** vt_names_new - @root: a cgroup v2 mount; NULL gives a directory in which nothing is found */
struct vt_names *vt_names_new(const char *root);
void vt_names_free(struct vt_names *n);

/**
 * vt_names_cgroup - path below the root, "/system.slice/a.service"; "/" for the root itself
 * The tree is walked again when an id is unknown, at most once a second.
 * Returns a string that lives until the next call, or NULL (removed, or in a sibling namespace).
 */
const char *vt_names_cgroup(struct vt_names *n, uint64_t id);

/**
 * vt_tenant_name - "/system.slice/a.service", "cc1[4711]", or what the runtime said
 * @n: may be NULL. Names come from outside: control characters are replaced by '?'.
 */
void vt_tenant_name(struct vt_monitor *m, struct vt_names *n, uint64_t key, char *ret, size_t len);

/** vt_name_may_change - whether to ask again: a living process has another name after an exec */
bool vt_name_may_change(struct vt_monitor *m, uint64_t key);

/** vt_tenant_kind_name - "cgroup"; static text */
const char *vt_tenant_kind_name(uint64_t key);

#endif
