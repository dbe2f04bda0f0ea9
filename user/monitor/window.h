/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window.h - two snapshots to rates. No I/O and no clock; memory only for the table, which the
 * caller reuses.
 *
 * A value that is not known is NAN, never 0: nothing counts it, or it was never on a counter in
 * this window.
 */
#ifndef VT_MONITOR_WINDOW_H
#define VT_MONITOR_WINDOW_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "monitor/monitor.h"

/** Which slot holds a role, and whether hardware counts it: vt_monitor_slot_is_hw(). */
struct vt_slot_map {
	int slot[VT_ROLE_COUNT]; /* -1: none */
	bool hw[VT_ROLE_COUNT];
	unsigned int slots;
};

void vt_slot_map_init(struct vt_slot_map *map, const struct vt_monitor *m);

/** One tenant in one window. */
struct vt_window_row {
	uint64_t tenant; /* key */
	uint32_t row;
	uint64_t run_ns, slices;
	double count[VT_SLOTS]; /* scaled to the whole of run_ns if multiplexed; NAN: not known */
	double coverage; /* smallest share of run_ns that a slot was on its counter: 1 unless multiplexed */
};

struct vt_window {
	uint64_t end_mono_ns, len_ns;
	uint32_t cpus, n;
	struct vt_window_row *row; /* tenants that ran, VT_KIND_IDLE and _GONE left out */
	uint32_t room;
	struct vt_losses loss; /* in this window */
};

/**
 * vt_window_close - what happened between @a and @b
 * A row that was given to another tenant in between starts from zero.
 * Returns 0; -EINVAL when @b is not later than @a; -ENOMEM.
 */
int vt_window_close(const struct vt_snapshot *a, const struct vt_snapshot *b, unsigned int slots,
		    struct vt_window *w);

/** vt_window_sort - who ran longest comes first */
void vt_window_sort(struct vt_window *w);

void vt_window_fini(struct vt_window *w);

/** What people and dashboards want to know of one tenant in one window. */
struct vt_rates {
	double cpus;		   /* CPU seconds per second */
	double ipc;		   /* hardware cycles and instructions only */
	double llc_miss_ratio;	   /* misses / references, hardware only */
	double llc_misses_per_s;   /* may be a stand-in: see vt_slot_map.hw */
	double dram_bytes_per_s;   /* from hardware fills or misses times the line size */
	double share_of_bandwidth; /* of what all tenants of the window used */
};

/** vt_window_rates - @line_bytes: size of a cache line */
struct vt_rates vt_window_rates(const struct vt_window *w, const struct vt_window_row *r,
				const struct vt_slot_map *map, unsigned int line_bytes);

#endif
