/* SPDX-License-Identifier: Apache-2.0 */
/* arrivals.h - when requests come: seeded Poisson streams, or a recorded trace. No globals. */
#ifndef VT_LOAD_ARRIVALS_H
#define VT_LOAD_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/rng.h"

struct vt_arrival {
	uint64_t at_ns; /* since the start; never before the one before it */
	uint32_t tenant;
	uint16_t priority; /* 0: its tenant's */
	uint64_t qos_ns;   /* its own target; 0: its tenant's */
};

#define VT_POISSON_TENANTS 1024u
#define VT_ARRIVALS_MAX_S  1e9 /* of a course, so that times are far from the end of 64 bits of ns */

/**
 * An open-loop Poisson stream over tenants. The gaps are those of rate 1 divided by the rate, and
 * the order of tenants does not depend on it, so that two rates of one seed are the same course
 * of events at different speed.
 */
struct vt_poisson {
	struct vt_rng gaps, picks;
	double ns_per_unit, at_ns;
	uint64_t left;
	const double *upto; /* [n_tenants] cumulated weights, the caller's */
	uint32_t n_tenants;
};

/**
 * vt_poisson_init - @n requests at @rate_hz > 0 over all tenants; @n / @rate_hz <= VT_ARRIVALS_MAX_S
 * @upto: cumulated positive weights, [n_tenants], n_tenants >= 1
 */
void vt_poisson_init(struct vt_poisson *p, double rate_hz, uint64_t n, uint64_t seed,
		     const double *upto, uint32_t n_tenants);

/** vt_poisson_next - 1 and the next arrival, or 0 after the last */
int vt_poisson_next(struct vt_poisson *p, struct vt_arrival *ret);

/** A trace in memory: `free(t->at)`. */
struct vt_arrivals {
	struct vt_arrival *at;
	size_t n;
};

/**
 * vt_arrivals_parse - lines `seconds,name`, seconds ascending; `#` starts a comment
 * @names: known tenants, [n_names]; a line whose name several have is refused
 * Returns 0; -EINVAL with the line that is wrong, -ENOMEM.
 */
int vt_arrivals_parse(const char *text, const char *where, const char *const *names,
		      uint32_t n_names, struct vt_arrivals *ret, struct vt_err *e);

#endif
