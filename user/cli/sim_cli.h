/* SPDX-License-Identifier: Apache-2.0 */
/* sim_cli.h - between the files of `veltair sim`:
 *   sim.c         options
 *   sim_setup.c   names and files to machine, mixes, models
 *   sim_work.c    runs and searches over mixes, policies and seeds, on several threads
 *   sim_means.c   what the seeds have in common
 *   sim_report.c  tables and JSON
 *   sim_plot.c    pictures
 *   sim_trace.c   record and replay
 *   sim_recorded.c  a recording as arrivals
 *   sim_chrome.c  what ran on which core when, for Perfetto
 *   sim_fleet.c   many nodes behind a router
 */
#ifndef VT_CLI_SIM_CLI_H
#define VT_CLI_SIM_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/sim_recorded.h"
#include "load/arrivals.h"
#include "load/search.h"
#include "sim/bank.h"
#include "sim/csv.h"
#include "sim/mix.h"
#include "sim/sim.h"

#define VT_SIM_LIST_MAX 32u

/** What the user asked for. */
struct sim_opts {
	const char *machine, *mixes, *policies, *profiles, *tables, *arrivals;
	const char *plot_dir, *record, *replay, *trace;
	const char *nodes, *routers; /* of a fleet; lists */
	double rate_hz;		     /* 0: not given */
	bool search, bound, json, no_shed, blind, apart;
	double share;		    /* until the options are checked 0: not given */
	uint64_t seed, seeds, jobs; /* jobs: so, too */
	uint64_t requests;	    /* of a run; --arrivals has as many as it has */
	const char *beside_replay;  /* an option that means nothing to --replay; NULL: none given */
};

/** One mix, ready to run. */
struct sim_mix {
	struct vt_mix mix;
	struct vt_bank bank;
	struct vt_sim_tenant *tenants; /* [mix.n] */
	double *upto;		       /* cumulated weights */
	double *ideal_ns, *real_ns;    /* whole-machine time of a request, by tenant: the bounds */
	struct vt_bound_ways *ways;    /* by tenant, with --bound: how its model may run */
	double capacity_hz;	       /* of the ideal machine, no deadline */
	double most_hz;		  /* the same, of the cheapest requests that make up --qos-share */
	struct vt_arrivals trace; /* --arrivals; n = 0: Poisson */
};

struct sim_setup {
	const struct sim_opts *opts;
	struct vt_machine machine;
	struct vt_profile profile;
	struct sim_recorded recorded; /* --arrivals, if that is a recording */
	uint32_t n_mixes, n_policies;
	struct sim_mix mixes[VT_SIM_LIST_MAX];
	const struct vt_policy *policies[VT_SIM_LIST_MAX];
};

/** sim_requests - that arrive in a run of @m */
static inline uint64_t sim_requests(const struct sim_opts *o, const struct sim_mix *m)
{
	return m->trace.n ? m->trace.n : o->requests;
}

int sim_setup_init(struct sim_setup *s, const struct sim_opts *o, struct vt_err *e);
void sim_setup_fini(struct sim_setup *s);

/** One run of one policy on one mix with one seed. NAN: there is no such figure, as the mean of no requests. */
struct sim_run {
	double rate_hz; /* it ran at; of a search: the highest that met the share, 0: none */
	bool open;	/* of a search: no rate that was tried missed the share */
	bool ran; /* false: of a search that no rate satisfied, the other figures mean nothing */
	double share; /* of the offered requests that ended in time */
	double mean_ms, p50_ms, p95_ms, p99_ms;
	double worst_share; /* of the model that fared worst */
	double conflict_rate, conflict_loss;
	double efficiency;  /* least core-time of the served / granted core-time */
	double utilisation; /* granted core-time / cores x time */
	double stretched;   /* part of the time with saturated memory */
	double core_ms;	    /* granted core-time per request served */
	double blocks;	    /* per request served */
	double decide_us, decide_max_us;
	double late_actions; /* grants or stops that came after the block's end */
	double busy_core_ns; /* granted, of the whole run */
	double blocks_per_s; /* simulated block completions per second of host time */
};

/** All seeds of one policy on one mix. */
struct sim_cell {
	bool equal;	      /* at a baseline's rate; seeds for which that is 0 were not run */
	struct sim_run *runs; /* [seeds] */
};

struct sim_results {
	uint32_t n_seeds;
	struct sim_cell cell[VT_SIM_LIST_MAX][VT_SIM_LIST_MAX]; /* [mix][policy] */
	/* With --search: again, at the highest rate of the best baseline (by mean). */
	struct sim_cell equal[VT_SIM_LIST_MAX][VT_SIM_LIST_MAX];
	int best_baseline[VT_SIM_LIST_MAX]; /* by mix; index of a policy, -1: none */
	bool has_equal;
};

int sim_work(const struct sim_setup *s, struct sim_results *ret, struct vt_err *e);
void sim_results_fini(struct sim_results *r);

/** The clairvoyant bounds, listed like policies: with ideal and with the profile's scaling. */
extern const struct vt_policy sim_bound_ideal, sim_bound_real;

static inline bool sim_is_bound(const struct vt_policy *p)
{
	return p == &sim_bound_ideal || p == &sim_bound_real;
}

/** sim_is_baseline - neither one of ours nor a bound */
bool sim_is_baseline(const struct vt_policy *p);

/** sim_is_one_run - one mix and one policy, bounds aside: what a recording or a trace is of */
static inline bool sim_is_one_run(const struct sim_setup *s)
{
	return s->n_mixes == 1 && s->n_policies && !sim_is_bound(s->policies[0]) &&
	       (s->n_policies == 1 || sim_is_bound(s->policies[1]));
}

/** sim_mean - mean and interval, over the seeds that have it, of the double at @offset in struct sim_run */
struct vt_mean sim_mean(const struct sim_results *r, const struct sim_cell *c, size_t offset);
/**
 * sim_gain - rate of @c over that of @over, minus 1, seed by seed, so that what tells the arrivals of
 * seeds apart, which both had, is not in the interval
 */
struct vt_mean sim_gain(const struct sim_results *r, const struct sim_cell *c,
			const struct sim_cell *over);

/** sim_best - the policy, or baseline, of the highest mean rate, bounds aside; -1: none has one */
int sim_best(const struct sim_setup *s, const struct sim_results *r, uint32_t mix, bool baseline);

/** Callbacks of a recorded run. */
struct sim_recording {
	int (*started)(void *self, const struct vt_loop_cfg *cfg, const struct vt_model *models,
		       uint32_t n_models);
	int (*stepped)(void *self, const struct vt_sample *s, const struct vt_decision *d);
	/* as in vt_sim_cfg; may be NULL */
	void (*layer)(void *self, uint64_t id, uint16_t layer, uint64_t end_ns);
	void *self;
};

/** sim_run_recorded - one run of the first policy on the first mix; ret->rate_hz is its rate */
int sim_run_recorded(const struct sim_setup *s, struct sim_run *ret,
		     const struct sim_recording *rec, struct vt_err *e);

/** sim_print_given - a line of the options that change the figures below it; none if there are none */
void sim_print_given(const struct sim_opts *o);
/** sim_given_json - the same as members of @root, all of them */
void sim_given_json(const struct sim_opts *o, json_t *root);
/** sim_number - as JSON; null for NAN, which JSON does not know */
json_t *sim_number(double x);

void sim_report_table(const struct sim_setup *s, const struct sim_results *r);
int sim_report_json(const struct sim_setup *s, const struct sim_results *r, struct vt_err *e);
int sim_plot(const struct sim_setup *s, const struct sim_results *r, struct vt_err *e);
/** sim_fleet - all of `veltair sim --nodes` */
int sim_fleet(const struct sim_opts *o, struct vt_err *e);
int sim_record(const struct sim_setup *s, const char *path, struct vt_err *e);
/** sim_chrome - run the first policy on the first mix again, write its trace to @path */
int sim_chrome(const struct sim_setup *s, const char *path, struct vt_err *e);
int sim_replay(const char *path, bool json, struct vt_err *e);

/** Names for an error, ", " between them; what does not fit is left out. */
struct sim_list {
	char text[512];
	const char *first; /* NULL: none */
};

/** sim_list_add - @name outlives the list */
void sim_list_add(struct sim_list *l, const char *name);

#endif
