/* SPDX-License-Identifier: Apache-2.0 */
/* bound_set.h - which requests no schedule can all serve in time. Pure but for malloc.
 *
 * A request is no fluid: beyond some count cores bring its layers little, and one layer follows the other.
 * So of two large requests that come close together one is late on any machine, however idle it is on
 * average. That is proved by prices. Time is cut where a request of the set comes or is due. A core
 * costs lambda[k] for each nanosecond in piece k, and request j pays tau[j][k] for each nanosecond that it
 * runs there. Whatever a schedule does, request j pays at least what its cheapest way costs: each
 * layer in one of the pieces, in order, on the count that costs least there,
 *
 *     min over ways  sum over layers  min over c  (c lambda[k] + tau[j][k]) t_layer(c)
 *
 * and all of them have no more to pay with than the cores and the time that there are,
 *
 *     sum over k  cores lambda[k] length[k]  +  sum over j, k  tau[j][k] length[k]
 *
 * If the first sum is the greater at any prices, no schedule serves all (weak duality of a linear
 * program: layers may be divided among pieces, counts mixed, nothing costs to begin or to move, and all
 * arrivals are known). Prices are sought by subgradient steps (Polyak 1969). If none are found, nothing is
 * said: a bound that uses this is still one.
 */
#ifndef VT_SIM_BOUND_SET_H
#define VT_SIM_BOUND_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/bank.h"

/** What a layer takes on so many cores. */
struct vt_bound_way {
	double cores, ns;
};

/** How a model may run: of each layer the counts of which none is slower and takes more core-time. */
struct vt_bound_ways {
	uint32_t n_layers, n_kinds;
	uint32_t *kind;		 /* [n_layers]: layers that are alike share one */
	uint32_t *first;	 /* [n_kinds + 1]: of each kind, in at */
	struct vt_bound_way *at; /* of a kind by cores, ascending */
	double fastest_ns;	 /* all layers */
};

/** vt_bound_ways_init - of a model of the bank, by its times alone on the machine; 0 or -ENOMEM */
int vt_bound_ways_init(struct vt_bound_ways *w, const struct vt_bank *b, uint32_t model);
void vt_bound_ways_fini(struct vt_bound_ways *w);

struct vt_bound_request {
	double at_ns, deadline_ns;
	const struct vt_bound_ways *ways;
	double work_ns; /* whole-machine time that it takes at least if it is in time (bound.h); or 0 */
};

/* A set has this many requests at most: of more nothing is said. */
#define VT_BOUND_SET_MAX 32u

/**
 * vt_bound_set_refuted - true: it is proved that @cores cores do not serve all @n of @set in time
 * By prices, or as one server that scales ideally does not; @set by at_ns, ascending.
 */
bool vt_bound_set_refuted(const struct vt_bound_request *set, uint32_t n, double cores);

/**
 * vt_bound_thin - drop as many as any schedule must
 * @r: [n], by at_ns, ascending
 * @dropped: [n], by vt_bound_served()
 * Requests whose times overlap are looked at together: of refuted sets that are as small as can be, which
 * fewest requests hit all? Where targets are equal, what is dropped already is right, and others are where that is
 * too few; where they differ, it is a guess, and only what is proved is dropped. A group of more than
 * VT_BOUND_SET_MAX is left as it is.
 */
void vt_bound_thin(const struct vt_bound_request *r, size_t n, double cores, bool *dropped);

#endif
