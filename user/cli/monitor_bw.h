/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_bw.h - measured memory bandwidth for `veltair monitor`: resctrl per tenant, uncore per machine. */
#ifndef VT_CLI_MONITOR_BW_H
#define VT_CLI_MONITOR_BW_H

#include <stdint.h>

#include "events/events.h"
#include "monitor/names.h"

struct vt_bw;

/**
 * vt_bw_new - find out what can be measured; what cannot stays "n/a" with a reason
 * @resctrl: root of the tree, NULL for the machine's; @cgroups: cgroup v2 mount or NULL
 * @env: where the memory controllers are counted, NULL for this machine; copied
 */
struct vt_bw *vt_bw_new(const char *resctrl, const char *cgroups, const struct vt_event_env *env);
void vt_bw_free(struct vt_bw *b); /* removes our mon_groups */

/** vt_bw_source - one line for people, per tenant and for the machine */
const char *vt_bw_source(const struct vt_bw *b);

/** vt_bw_tick - once a window, before any vt_bw_tenant */
void vt_bw_tick(struct vt_bw *b, uint64_t now_mono_ns);

/**
 * vt_bw_tenant - bytes a second that @key moved since it was asked for last
 * @path: of its cgroup below the mount; NULL for a process
 * NAN: not measured (no resctrl, RMIDs used up, tasks that resctrl leaves in another group, a domain
 * that did not answer, first look).
 */
double vt_bw_tenant(struct vt_bw *b, uint64_t key, const char *path);

/**
 * vt_bw_machine - bytes a second of all memory controllers; NAN
 * Since the last tick, or since the last one that all of them answered.
 */
double vt_bw_machine(const struct vt_bw *b);

#endif
