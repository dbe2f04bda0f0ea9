/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limit.h - what a queue allows: the highest rate that one server could serve in time, if it were
 * never idle while something waits, always knew what is due first and wasted nothing on requests
 * that would be late. Pure but for malloc.
 *
 * The whole machine is the server, a request takes its model's time alone. Whoever waits is taken
 * earliest deadline first; a request that cannot end in time any more is dropped, which costs
 * nothing. What a real server reaches of this says how good its scheduling is, apart from how fast
 * its kernels are.
 */
#ifndef VT_LOAD_LIMIT_H
#define VT_LOAD_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vt_limit_job {
	uint64_t at_ns, deadline_ns, service_ns;
};

/**
 * vt_limit_served - run @jobs through the server
 * @jobs: [n], by at_ns, ascending
 * @preempt: an arrival that is due earlier interrupts what runs, at no cost
 * @in_time: [n], set for each job; may be NULL
 * Returns how many ended at or before their deadlines, or -ENOMEM.
 */
long vt_limit_served(const struct vt_limit_job *jobs, size_t n, bool preempt, bool *in_time);

/** One kind of request. */
struct vt_limit_class {
	double service_ns, qos_ns, weight; /* all > 0 */
};

struct vt_limit_cfg {
	const struct vt_limit_class *classes;
	uint32_t n_classes;
	bool preempt;
	uint64_t requests; /* arrivals simulated at each rate; 0: 200000 */
	uint64_t seed;
	double target; /* share that must end in time, e.g. 0.95 */
};

/** vt_limit_capacity - requests a second of the mix without any deadline: 1 / mean service */
double vt_limit_capacity(const struct vt_limit_cfg *cfg);

/**
 * vt_limit_most - the rate above which no queue has a share of the target for long
 * Those that are dropped are the longest requests: the work of the others alone fills the server.
 * NAN: -ENOMEM
 */
double vt_limit_most(const struct vt_limit_cfg *cfg);

/** vt_limit_share - share of Poisson arrivals at @rate_hz that end in time; < 0: -ENOMEM */
double vt_limit_share(const struct vt_limit_cfg *cfg, double rate_hz);

/**
 * vt_limit_rate - the highest rate with a share of at least the target, to 0.2 %
 * Where targets are as long as the whole run nothing is late at any rate: then it is vt_limit_most().
 * Returns 0 if no rate has it (a target time below the service time), < 0: -ENOMEM.
 */
double vt_limit_rate(const struct vt_limit_cfg *cfg);

#endif
