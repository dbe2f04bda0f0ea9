/* SPDX-License-Identifier: Apache-2.0 */
/* bound.h - what a clairvoyant could serve: every arrival known, ideal scaling. Pure but for malloc.
 *
 * The whole machine is one server. A request takes max(least core-time / cores, least DRAM bytes /
 * bandwidth) of it: the cheapest version and core count of every layer, and no loss from dividing
 * it over all cores. Requests run earliest deadline first, preempted at no cost; when one would be
 * late, of those due by then the one whose absence helps most is dropped in hindsight. With equal
 * targets this is the most requests that any schedule can serve on time (Moore 1968; Kise, Ibaraki
 * and Mine 1978); with different ones it is close to that.
 */
#ifndef VT_SIM_BOUND_H
#define VT_SIM_BOUND_H

#include <stddef.h>
#include <stdint.h>

#include "sim/bank.h"

struct vt_bound_job {
	double at_ns, deadline_ns, work_ns;
};

/** vt_bound_work_ns - whole-machine time of one request of @model, scaling ideally */
double vt_bound_work_ns(const struct vt_bank *b, uint32_t model);

/**
 * vt_bound_real_work_ns - the same with the scaling that the profile shows
 * The least core-time of any choice of core counts whose layers end within @qos_ns, from below by
 * Lagrange's dual: max over lambda of sum min (cores + lambda) ns - lambda qos. Infinite if even
 * the fastest choice is too slow.
 */
double vt_bound_real_work_ns(const struct vt_bank *b, uint32_t model, uint64_t qos_ns);

/**
 * vt_bound_served - how many of @jobs can end in time; jobs by at_ns, ascending
 * @latency_ns: [n], of each job; NAN: dropped. May be NULL
 * Returns the count or -ENOMEM.
 */
long vt_bound_served(const struct vt_bound_job *jobs, size_t n, double *latency_ns);

#endif
