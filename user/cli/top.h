/* SPDX-License-Identifier: Apache-2.0 */
/*
 * top.h - `veltair top`: where states come from, what they say, how they look. One thread.
 *
 * A state is the JSON object of the dashboard; two of them give rates; rates give lines of text.
 * Only top.c knows the terminal, so what is shown can be tested without one.
 */
#ifndef VT_CLI_TOP_H
#define VT_CLI_TOP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* ---- top_feed.c: states ------------------------------------------------------------------- */

struct vt_feed;

/**
 * vt_feed_open - @url: "http://HOST:PORT", "unix:PATH", or "local": count here, without a runtime
 * NULL: the default address if somebody answers there, else local.
 */
int vt_feed_open(struct vt_feed **ret, const char *url, struct vt_err *e);
void vt_feed_close(struct vt_feed *f); /* accepts NULL */
/** vt_feed_get - the present state; json_decref() it. -ECONNREFUSED and the like if nobody answers */
int vt_feed_get(struct vt_feed *f, json_t **ret, struct vt_err *e);
/** vt_feed_tend - between two looks, at least once a second: a local feed looks after its counters */
void vt_feed_tend(struct vt_feed *f);
const char *vt_feed_name(const struct vt_feed *f);

/* ---- top_state.c: rates ------------------------------------------------------------------- */

#define VT_TOP_MODELS  256
#define VT_TOP_TENANTS 256
#define VT_TOP_CORES   256
#define VT_TOP_DOMAINS 64
#define VT_TOP_NAME    96

/* NAN where nothing is known. */
struct vt_top_model {
	char name[VT_TOP_NAME];
	double qos_ms, rate, in_time, p50_ms, p95_ms, p99_ms, conflicts, granted, wanted;
	double other_versions; /* share of layers not run by the code that is fastest alone */
	double refused;	       /* a second */
	long waiting;
};

struct vt_top_tenant {
	char name[VT_TOP_NAME], kind[12];
	double cpus, ipc, llc_misses, dram_bytes; /* a second */
	double stand_in; /* what software counted in place of LLC misses, a second */
};

struct vt_top_core {
	int cpu;
	char model[VT_TOP_NAME]; /* "": idle */
	double busy;
	double taken; /* share that is others'; 0 unless it is so much that blocks stay away */
};

struct vt_top_domain {
	double pressure, confidence;
	bool counters, slowdown;
};

struct vt_top {
	char policy[32], monitor_absent[160], llc_absent[160], llc_event[64];
	bool serving, llc_hw;
	double uptime_s, rate, in_time, refused, dt_s;
	long waiting, limit;
	int n_models, n_tenants, n_cores, n_domains;
	struct vt_top_model model[VT_TOP_MODELS];
	struct vt_top_tenant tenant[VT_TOP_TENANTS];
	struct vt_top_core core[VT_TOP_CORES];
	struct vt_top_domain domain[VT_TOP_DOMAINS];
};

/** vt_top_rates - what happened from @old to @now; 0, or -EINVAL if @now is no state */
int vt_top_rates(const json_t *old, const json_t *now, double dt_s, struct vt_top *ret);

/* ---- top_lines.c: text -------------------------------------------------------------------- */

#define VT_TOP_LINES 512
#define VT_TOP_BYTES 1024

enum vt_top_look { VT_LOOK_PLAIN, VT_LOOK_TITLE, VT_LOOK_HEAD, VT_LOOK_BAD, VT_LOOK_DIM };

/** How the user wants it. */
struct vt_top_ui {
	int width, height; /* cells; height 0: all lines */
	bool models;	   /* which table the keys sort */
	int sort[2];	   /* column of tenants, of models; see vt_top_columns() */
	bool up[2];
	int scroll; /* tenants left out above */
};

struct vt_top_text {
	int n;
	struct {
		enum vt_top_look look;
		char text[VT_TOP_BYTES];
	} line[VT_TOP_LINES];
};

/** vt_top_columns - how many columns the table of models or tenants has */
int vt_top_columns(bool models);
/** vt_top_lines - lines of exactly or less than ui->width cells; sorts the tables of @t */
void vt_top_lines(struct vt_top *t, const struct vt_top_ui *ui, const char *from,
		  struct vt_top_text *ret);

#endif
