/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.h - between `veltair monitor` and what it prints: one window, ready to show. */
#ifndef VT_CLI_MONITOR_H
#define VT_CLI_MONITOR_H

#include "monitor/blame.h"
#include "monitor/monitor.h"
#include "monitor/window.h"

/** One line of the table. Unknown numbers are NAN. */
struct vt_mon_line {
	char name[96];
	const char *kind;
	uint64_t id;
	struct vt_rates r;
	double coverage;  /* 1: nothing was estimated */
	char suffers[96]; /* the tenant it suffers from, or "" */
	double slowdown;  /* then: how much */
};

struct vt_mon_view {
	const struct vt_monitor *m;
	const struct vt_window *w;
	const struct vt_slot_map *map;
	const char *bandwidth_source; /* "llc_misses x 64 bytes", "resctrl", or "n/a: reason" */
	const struct vt_mon_line *line;
	unsigned int lines, left_out;
};

/** How to show it. head() once, window() for each. */
struct vt_mon_format {
	void (*head)(const struct vt_mon_view *v);
	void (*window)(const struct vt_mon_view *v);
};

extern const struct vt_mon_format vt_mon_table, vt_mon_json, vt_mon_csv;

const char *vt_group_name(uint32_t group);

#endif
