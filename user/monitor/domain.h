/* SPDX-License-Identifier: Apache-2.0 */
/*
 * domain.h - what the cores of each LLC domain counted between two looks, whoever ran there.
 *
 * A look reads one number per CPU and slot, not one per tenant: 64 CPUs take about as long as one
 * tenant's row. vt_monitor_look() does I/O (the cuts) and belongs to one thread; the rest is pure.
 *
 *	vt_monitor_look(m, window_ns / 8, &now);
 *	vt_domain_counts(&before, &now, &slots, domain_of_cpu, VT_MAX_CORES, n_domains, counts);
 *	swap(before, now);
 */
#ifndef VT_MONITOR_DOMAIN_H
#define VT_MONITOR_DOMAIN_H

#include "loop/plant.h"
#include "monitor/monitor.h"
#include "monitor/window.h"

/** One CPU at its last flush, since its events were opened. */
struct vt_cpu_count {
	uint64_t mono_ns; /* of that flush; 0: this CPU has not been seen yet */
	uint64_t count[VT_SLOTS];
	uint64_t lost_ns[VT_SLOTS]; /* not on a counter (multiplexed) */
	uint64_t breaks;	    /* deltas that were dropped so far: reads failed, events anew */
};

/** Zero-initialise; grows as needed, so reuse it; the caller's. */
struct vt_look {
	uint64_t mono_ns;
	uint32_t cpus; /* indexed by the kernel's number */
	struct vt_cpu_count *cpu;
};

/**
 * vt_monitor_look - counts of every CPU
 * @max_age_ns: as in vt_monitor_read(). A CPU's counts are as old as its open slice, so an eighth of
 * the window keeps them within an eighth of it; what is missing comes with the next look. Returns
 * 0, -ENOMEM.
 */
int vt_monitor_look(struct vt_monitor *m, uint64_t max_age_ns, struct vt_look *s);

void vt_look_fini(struct vt_look *s);

/**
 * vt_domain_counts - the window from @a to @b, per domain
 * @domain_of: by the kernel's CPU number, [n_cpus]; VT_NO_DOMAIN and CPUs from @n_cpus on are left out
 * @ret:       [n_domains]. window_ns is 0, and all else too, where a number would be a guess: LLC
 *             references or misses are not counted by hardware, or a CPU of the domain dropped a delta in this
 *             window. Multiplexed counts are scaled to the whole window. instructions is 0 where
 *             hardware does not count them.
 * The first call may pass a zeroed @a: every window is then 0.
 */
void vt_domain_counts(const struct vt_look *a, const struct vt_look *b,
		      const struct vt_slot_map *slots, const uint8_t *domain_of, uint32_t n_cpus,
		      uint32_t n_domains, struct vt_domain_counts *ret);

#endif
