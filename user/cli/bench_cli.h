/* SPDX-License-Identifier: Apache-2.0 */
/* bench_cli.h - between the files of `veltair bench`:
 *   bench.c         options
 *   bench_check.c   which of them exclude each other
 *   bench_setup.c   models, what is compared, times alone, targets, limits
 *   bench_live.c    the runtime in this process as a target
 *   bench_url.c     a server as a target: Open Inference Protocol, binary tensors
 *   bench_region.c  inputs in shared memory instead
 *   bench_noise.c   the bubble, or a command, that makes trouble beside it
 *   bench_rounds.c  slices in turns, round by round
 *   bench_compare.c who serves most, how many times as much
 *   bench_report.c  table, JSON, CSV
 *   bench_plot.c    pictures by gnuplot
 *   bench_html.c    one page with its pictures in it
 *
 * What is compared are rows; rows that run on one engine (all policies of this process, a peer with
 * and without deadlines) share its models' times alone and its queueing limit.
 */
#ifndef VT_CLI_BENCH_CLI_H
#define VT_CLI_BENCH_CLI_H

#include <jansson.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/cpuset.h"
#include "exec/runtime.h"
#include "load/crossing.h"
#include "load/drive.h"
#include "load/http.h"
#include "load/follow.h"
#include "load/tally.h"
#include "sched/model.h"
#include "sched/policy.h"

#define BENCH_MODELS  32u
#define BENCH_ROWS    32u
#define BENCH_ENGINES 8u
#define BENCH_DECIDE  VT_TURN_BUCKETS /* of decision times */
#define BENCH_SAMPLES 20000u /* of pressure over time; every second one is dropped when full */

/** `--model PATH[=NAME][:QOS_MS][:WEIGHT]` */
struct bench_model {
	char *path, *name;
	double qos_ms; /* 0: auto */
	double weight;
};

/** `--peer NAME=COMMAND` */
struct bench_peer {
	char *name, *command;
};

struct bench_opts {
	struct bench_model model[BENCH_MODELS];
	struct bench_peer peer[BENCH_ENGINES];
	uint32_t n_models, n_peers;
	const char *policies, *url, *profiles, *aggressor, *plot_dir, *html, *alone, *bubble_cores;
	struct vt_cpuset cores;
	double rate_hz; /* 0: search */
	double share, secs, qos_ms, qos_factor, aggressor_period_s;
	uint64_t rounds, seed, instances, bubble;
	bool shared_memory, peer_deadlines, no_shed, monitor, limit, fixed, json, csv, has_bubble;
};

/** What the runtime counts; a slice has the difference of two. */
struct bench_counts {
	uint64_t blocks, conflicts, core_ns, least_core_ns;
	uint64_t layer_runs[VT_MAX_VERSIONS];
	uint64_t decide[BENCH_DECIDE], turn[BENCH_DECIDE]; /* turn: with what was decided done */
	double pressure_ppm_s, seconds; /* integral of the highest domain's, and over what */
};

/** A moment of a run, for pressure over time. */
struct bench_sample {
	double at_s; /* since the first slice */
	uint32_t row, pressure_ppm;
	float other_versions; /* share of the layers run since the last sample */
	bool noise;	      /* bubble or aggressor on */
};

struct bench_slice {
	double rate_hz;
	uint32_t round;
	uint64_t trip_ns; /* between the first two cores, before it (trip.h); 0: not known */
	struct vt_tally all;
	uint32_t offered[BENCH_MODELS], in_time[BENCH_MODELS];
	struct bench_counts counts;
};

struct bench;

/** Something that runs models: this process, a server, processes of a peer. */
struct bench_engine {
	const char *name, *what; /* "in process", "over HTTP", "a process per model" */
	struct vt_target target;
	/* These may be NULL. counts: since the start; look: a moment, cheap. */
	void (*counts)(void *self, struct bench_counts *ret);
	void (*look)(void *self, uint32_t *pressure_ppm, uint64_t layer_runs[VT_MAX_VERSIONS]);
	const char *(*trouble)(void *self);
	/* check - after a slice: -EIO once it is gone, and what it answered means nothing. May be NULL. */
	int (*check)(void *self, struct vt_err *e);
	/* ready - targets of the models are known now; called once, after all times alone */
	int (*ready)(struct bench *b, struct bench_engine *g, struct vt_err *e);
	void (*close)(void *self);
	void *self;
	const uint64_t *qos_ns; /* of the models, once they are known */
	double alone_ms[BENCH_MODELS], best_ms[BENCH_MODELS]; /* median and best */
	double limit_hz, limit_plain_hz, capacity_hz; /* limit: with preemption, and without */
	/* Least core time over all cores, were scaling free; 0: not known. And the limit at that. */
	double ideal_ms[BENCH_MODELS], ideal_limit_hz;
};

/** One line of the table. */
struct bench_row {
	char name[64];
	struct bench_engine *engine;
	/* Before each of its slices: policy, deadlines. May be NULL. */
	int (*prepare)(struct bench_row *r, struct vt_err *e);
	const struct vt_policy *policy;
	int fixed_level; /* versions of this level whatever the pressure; -1: free */
	bool deadlines;
	struct bench_slice *slices; /* [rounds] */
	struct vt_slice *points;    /* [rounds], the same as the search sees them */
	uint32_t n_slices;

	/* Results, from slices at rates within a tenth of the answer (or all at a fixed rate). */
	struct vt_crossing at;
	struct vt_tally all;
	double worst_share;
	struct bench_counts counts;
};

struct bench {
	const struct bench_opts *o;
	struct bench_engine engine[BENCH_ENGINES];
	struct bench_row row[BENCH_ROWS];
	uint32_t n_engines, n_rows;
	double upto[BENCH_MODELS];
	uint64_t qos_ns[BENCH_MODELS];
	double secs; /* of a slice */
	bool realtime;
	int cpu[2]; /* the first two cores of the runtime, or that may be used; -1: there is no second */
	struct bench_sample *sample;
	uint32_t n_samples, n_looks, sample_every; /* every how many looks one is kept: 2^k */
	uint32_t n_rounds; /* that ended; reported even if a later one failed */
	struct bench_noise *noise;
	volatile pid_t beside; /* leads the noise's group, for the handler of signals; 0: none */
	uint64_t start_mono_ns;
	volatile int measuring; /* the slices have begun */
	sem_t *volatile leave; /* posted by the handler of signals during set-up; NULL: it ends at once */
	volatile int stop; /* a signal, which came first: report what there is */
};

/* bench_check.c */
/** bench_check - -EINVAL: options that exclude each other, or would do nothing; names no report can hold */
int bench_check(const struct bench_opts *o, struct vt_err *e);

/* bench_setup.c */
int bench_setup(struct bench *b, const struct bench_opts *o, struct vt_err *e);
void bench_fini(struct bench *b);
/** bench_limits - capacity and limits of @g for the targets of @b; -ENOMEM */
int bench_limits(const struct bench *b, struct bench_engine *g, struct vt_err *e);
/** bench_limit_only - `--limit`: from --alone and --model NAME:QOS:WEIGHT, nothing is run */
int bench_limit_only(const struct bench_opts *o, struct vt_err *e);

/** bench_weights - cumulated weights of the models */
void bench_weights(const struct bench_opts *o, double *upto);

/* bench_live.c: sets alone_ms itself; its target works after ready() */
int bench_live_open(struct bench *b, struct bench_engine *g, struct vt_err *e);
int bench_live_prepare(struct bench_row *r, struct vt_err *e);

/* bench_url.c: @row: what to call its row */
int bench_url_open(struct bench *b, struct bench_engine *g, char *row, size_t len,
		   struct vt_err *e);

/**
 * bench_url_call - GET @path below /v2, or POST @body to it: the status, and *@ret its JSON or NULL
 * -errno: no answer. @path and @body: some hundred bytes
 */
int bench_url_call(const struct vt_http_url *u, const char *path, const char *body, json_t **ret,
		   struct vt_err *e);

/* bench_region.c */
struct bench_region {
	char name[64]; /* at the server; "": none */
};
/**
 * bench_region_add - an object of shared memory with @bytes, registered at @u; its name is gone at once
 * @k: tells the regions of this process apart
 * -ENOTSUP: the server does not take it, with its reason
 */
int bench_region_add(struct bench_region *ret, const struct vt_http_url *u, uint32_t k,
		     const char *bytes, size_t len, struct vt_err *e);
void bench_region_remove(struct bench_region *r, const struct vt_http_url *u);
/**
 * bench_region_watch - from now on who posts b->leave has the regions @all[BENCH_MODELS] at @u unregistered
 * On a thread of its own, whatever this one waits for; then it raises the signal b->stop again. Until
 * bench_region_unwatch(), before any of them goes.
 */
int bench_region_watch(struct bench *b, const struct vt_http_url *u, struct bench_region *all,
		       struct vt_err *e);
void bench_region_unwatch(void);
/** bench_region_sweep - unregister at @u what benches that have been killed left */
void bench_region_sweep(const struct vt_http_url *u);

/* bench_noise.c */
/** bench_noise_open - begin it and stop it until the first tick; sets b->noise and b->beside, also on failure */
int bench_noise_open(struct bench *b, struct vt_err *e);
/** bench_noise_restart - before a slice: what comes and goes comes with its first tick; accepts NULL */
void bench_noise_restart(struct bench_noise *n);
/** bench_noise_tick - start or stop it if its time has come; returns whether it is on */
bool bench_noise_tick(struct bench_noise *n, uint64_t now_mono_ns);
/** bench_noise_check - -EIO if it has ended by itself; accepts NULL */
int bench_noise_check(struct bench_noise *n, struct vt_err *e);
void bench_noise_close(struct bench_noise *n); /* accepts NULL */

/* bench_rounds.c */
/** bench_rounds - measure; on failure b->n_rounds says how many rounds can be reported all the same */
int bench_rounds(struct bench *b, struct vt_err *e);
/** bench_follow - how soon the pressure of @r follows what comes and goes beside it; see vt_follow() */
int bench_follow(const struct bench *b, const struct bench_row *r, struct vt_follow *ret);

/* bench_compare.c */
/** bench_best - the row that serves most; the first of equals */
const struct bench_row *bench_best(const struct bench *b);
/** bench_times - @text: how many times what @b serves @a does; false where that cannot be said */
bool bench_times(const struct bench_row *a, const struct bench_row *b, char *text, size_t len);
/** bench_aside - @text: which slice of @r was set aside; false if none was */
bool bench_aside(const struct bench_row *r, char *text, size_t len);
/** bench_bound - ">", "<" or "": how the rate of @r is to be read */
const char *bench_bound(const struct bench_row *r);
/** bench_in_time_hz - requests a second in time: the rate of @r, or what of a fixed one was */
double bench_in_time_hz(const struct bench *b, const struct bench_row *r);
/** bench_trouble - why the last request of @r that failed did; "": none did, or it is not known */
const char *bench_trouble(const struct bench_row *r);

/* bench_report.c: on standard output; they do not say whether it took all of it */
void bench_report_table(struct bench *b);
void bench_report_csv(struct bench *b);
/* This one does. */
int bench_report_json(struct bench *b, struct vt_err *e);

/* bench_plot.c, bench_html.c */
int bench_plot(struct bench *b, struct vt_err *e);
int bench_html(struct bench *b, struct vt_err *e);

#endif
