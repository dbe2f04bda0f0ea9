/* SPDX-License-Identifier: Apache-2.0 */
/* sim.h - a simulated machine under a policy: arrivals in, latencies out.
 *
 * The machine is a plant of loop/plant.h, so the policy that runs here is the object code that
 * runs live. Deterministic: same inputs, same result. One simulation belongs to one thread; many
 * may share one bank.
 */
#ifndef VT_SIM_SIM_H
#define VT_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"
#include "sim/bank.h"

struct vt_sim;

/** One stream of requests for one model. */
struct vt_sim_tenant {
	uint32_t model; /* index into the bank */
	uint64_t qos_ns;
	uint16_t priority;
};

struct vt_sim_arrival {
	uint64_t at_ns; /* not before the one before it */
	uint32_t tenant;
	uint16_t priority; /* 0: its tenant's */
	uint64_t qos_ns;   /* its own target; 0: its tenant's */
};

struct vt_sim_cfg {
	const struct vt_bank *bank; /* planned; outlives the simulation */
	const struct vt_sim_tenant *tenants;
	uint32_t n_tenants;
	uint32_t max_waiting; /* arrivals beyond it are refused; 0 = 4096 */
	uint64_t warmup;      /* first requests that the result leaves out */
	const struct vt_policy *policy;
	bool no_shed;	     /* hopeless requests run last instead of being refused */
	bool blind;	     /* the plant counts nothing: pressure from slowdown alone */
	bool apart;	     /* blocks do not slow each other: every one runs as if alone */
	bool time_decisions; /* measure them (host time; the simulated course is unchanged) */
	/** instead of vt_loop_step() with `policy`, for measuring the engine alone; mostly NULL */
	int (*step)(void *step_self, const struct vt_plant *plant, void *plant_self);
	void *step_self;
	/** next - the next arrival; false: there are no more. NULL: they come by vt_sim_push() */
	bool (*next)(void *self, struct vt_sim_arrival *ret);
	void *next_self;
	/* Recorders; both may be NULL. They return 0, or -errno to stop. */
	int (*started)(void *recorder, const struct vt_loop_cfg *cfg, const struct vt_model *models,
		       uint32_t n_models);
	int (*stepped)(void *recorder, const struct vt_sample *s, const struct vt_decision *d);
	/** layer - of request @id has ended at @end_ns, but the last of its block: that ends with
	 * it. Told late, before the next step is; may be NULL */
	void (*layer)(void *recorder, uint64_t id, uint16_t layer, uint64_t end_ns);
	void *recorder;
	/** latencies of served requests, in order of completion; may be NULL */
	void (*served)(void *self, uint32_t tenant, uint64_t latency_ns, bool on_time);
	/** a request that was shed or found the queue full; may be NULL */
	void (*refused)(void *self, uint32_t tenant, uint64_t arrival_ns);
	void *served_self;
};

/** Sums over the requests after the warm-up; blocks, core-time and served_all over the whole run. */
struct vt_sim_result {
	uint64_t offered, served, on_time, shed, refused;
	uint64_t served_all;
	double latency_ns; /* sum over served requests */
	uint64_t blocks, conflicts;
	double lost_ns;	 /* sum of t * (demand - granted) / demand over conflicts */
	double block_ns; /* sum of block times */
	double busy_core_ns, least_core_ns; /* granted; the least that the work run needed */
	double whole_ns;		    /* cores x simulated time */
	double stretched_ns;		    /* part of the simulated time with saturated memory */
	uint64_t late_actions;		    /* grants or stops that came after the block's end */
	uint64_t decisions, timed;
	double decide_ns, decide_max_ns; /* of the timed ones */
	struct vt_loop_stats loop;
};

/**
 * vt_sim_open - a simulation that its caller drives event by event: one node of a fleet
 * @cfg, @res and @err stay the caller's and are used until vt_sim_close(); @res is filled as it goes
 * Returns 0, -ENOMEM, or -EINVAL.
 */
int vt_sim_open(struct vt_sim **ret, const struct vt_sim_cfg *cfg, struct vt_sim_result *res,
		struct vt_err *err);
void vt_sim_close(struct vt_sim *s); /* accepts NULL */

/** vt_sim_next_ns - when something happens next, UINT64_MAX: nothing will */
uint64_t vt_sim_next_ns(struct vt_sim *s);

/** vt_sim_turn - make it @t_ns, the time of the next event; all of its events, one step. 0, -errno */
int vt_sim_turn(struct vt_sim *s, uint64_t t_ns);

/** vt_sim_busy_ns - core-time granted up to @t_ns, which is not after the next event */
double vt_sim_busy_ns(const struct vt_sim *s, uint64_t t_ns);

/** vt_sim_push - a request arrives at @a->at_ns, which is not before the last turn. 0 or -errno */
int vt_sim_push(struct vt_sim *s, const struct vt_sim_arrival *a);

/** vt_sim_ended - no event is left: 0, or -EPROTO if the policy leaves requests waiting for ever */
int vt_sim_ended(const struct vt_sim *s);

/** vt_sim_run - simulate until the arrivals end and all work is done; 0 or -errno */
int vt_sim_run(const struct vt_sim_cfg *cfg, struct vt_sim_result *ret, struct vt_err *e);

#endif
