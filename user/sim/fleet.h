/* SPDX-License-Identifier: Apache-2.0 */
/* fleet.h - many simulated nodes behind a router, each with its own loop and policy.
 *
 * The router is what an existing engine does in front of veltair (docs/scale.md), not ours: it knows
 * its own connections and, at most, the weight that each node's agent tells it now and then. One
 * thread; the cost of a request does not grow with the fleet but for two heaps.
 */
#ifndef VT_SIM_FLEET_H
#define VT_SIM_FLEET_H

#include "sim/sim.h"

#define VT_FLEET_NODES 4096u

enum vt_router {
	VT_ROUTE_ROUND_ROBIN, /* each model's nodes in turn */
	VT_ROUTE_LEAST_CONN,  /* the node with the fewest requests of this model under way */
	VT_ROUTE_WEIGHTED,    /* in turn, by weights of spare capacity that nodes tell */
	VT_ROUTERS,
};

/** vt_router_name, vt_router_find - as the command line says it; find: -ENOENT */
const char *vt_router_name(enum vt_router r);
int vt_router_find(const char *name);

/** Where a model is: ascending node numbers. */
struct vt_backend {
	uint32_t n, *nodes; /* free() nodes */
};

/**
 * vt_backend_parse - nodes from text like `0-9 12 20-29`, or `90%-100% 0%-20%` of them, whatever their
 * number; `*` or an empty text: all
 * @n_nodes: of the fleet
 * Returns 0; -EINVAL with what is wrong: no number, a node twice or past the last, none at all; -ENOMEM.
 */
int vt_backend_parse(const char *text, uint32_t n_nodes, const char *model, struct vt_backend *ret,
		     struct vt_err *e);

/**
 * vt_fleet_targets - one target for each model, whichever kind of node answers: the longest of all kinds
 * A target of so many times the fastest run differs from machine to machine; a client's does not.
 * @banks: [n_kinds], of the same models in the same order
 * @tenants: [n_tenants] of one kind; get the targets of their models
 * Returns true if a bank has another target than before: it is to be planned (again).
 */
bool vt_fleet_targets(struct vt_bank *const *banks, uint32_t n_kinds, struct vt_sim_tenant *tenants,
		      uint32_t n_tenants);

struct vt_fleet_cfg {
	uint32_t n_nodes, n_kinds;
	const struct vt_bank *const *banks; /* [n_kinds], planned; node i is of kind i % n_kinds */
	const double *capacity;		    /* [n_kinds] relative to the fastest: 0..1 */
	const struct vt_sim_tenant *tenants;
	uint32_t n_tenants;
	const struct vt_backend *backends; /* [n_tenants] */
	const struct vt_policy *policy;
	enum vt_router router;
	bool no_shed, blind, apart; /* as in vt_sim_cfg */
	uint64_t agent_ns;	    /* how often nodes tell their weight; 0: 250 ms */
	bool (*next)(void *self, struct vt_sim_arrival *ret);
	void *next_self;
	uint64_t warmup; /* requests that the result leaves out */
	/** after each arrival: how many so far; may be NULL */
	void (*progress)(void *self, uint64_t arrived);
};

struct vt_fleet_result {
	uint64_t offered, served, on_time, refused;
	double latency_ns;	      /* sum over served */
	double busy;		      /* part of all core time that was granted */
	double least_busy, most_busy; /* of a node */
	uint64_t blocks, turns;	      /* turns: steps of all loops */
	uint64_t span_ns;	      /* simulated */
	uint64_t worst_tenant;
	double worst_share; /* of its requests in time */
};

/** vt_fleet_run - until the arrivals end and all work is done; 0 or -errno */
int vt_fleet_run(const struct vt_fleet_cfg *cfg, struct vt_fleet_result *ret, struct vt_err *e);

#endif
