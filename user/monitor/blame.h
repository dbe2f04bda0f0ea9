/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blame.h - who suffers from whom. Pure apart from its own table: no I/O, no clock.
 *
 * A tenant suffers when it needs more cycles per instruction than in its quietest windows. The one
 * it suffers from is the tenant whose LLC misses moved with that slowdown: the largest correlation
 * over the last windows (older ones fade). Needs hardware cycles, instructions and LLC misses; with
 * stand-ins there is no verdict, which is not the same as no interference.
 */
#ifndef VT_MONITOR_BLAME_H
#define VT_MONITOR_BLAME_H

#include "monitor/window.h"

struct vt_blame;

/**
 * vt_blame_new - room for @tenants tenants; NULL when out of memory
 * Of more than that the largest of the first window are in. Later ones take the place of who is absent, the one with
 * the least history first, or of who runs less than a quarter as long.
 */
struct vt_blame *vt_blame_new(unsigned int tenants);
void vt_blame_free(struct vt_blame *b);

/** vt_blame_feed - one closed window, its rows by vt_window_sort() */
void vt_blame_feed(struct vt_blame *b, const struct vt_window *w, const struct vt_slot_map *map);

struct vt_verdict {
	uint64_t aggressor; /* tenant key */
	double slowdown;    /* cycles per instruction against the quietest windows, > 1 */
	double correlation; /* 0.5 .. 1 */
};

/** vt_blame_of - 0; -ENODATA: no hardware counts, too few windows, no slowdown, or nobody fits */
int vt_blame_of(const struct vt_blame *b, uint64_t victim, struct vt_verdict *ret);

#endif
