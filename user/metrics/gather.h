/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gather.h - takes the looks that metrics are made of, and makes both answers.
 *
 * Any thread; calls wait for each other. Looks are at most VT_GATHER_FRESH_NS old, so many scrapers
 * and open pages cost no more than one. Nothing here is ever waited for by a worker.
 */
#ifndef VT_METRICS_GATHER_H
#define VT_METRICS_GATHER_H

#include "metrics/metrics.h"

#define VT_GATHER_FRESH_NS 100000000ull

struct vt_gather;

struct vt_gather_opts {
	struct vt_runtime *runtime; /* NULL: none; stays the caller's */
	/*
	 * A monitor that only this gatherer reads (vt_monitor_attach() gives a second handle), or
	 * NULL and why. Stays the caller's.
	 */
	struct vt_monitor *monitor;
	const char *monitor_absent; /* copied */
	const struct vt_metrics_http
		*http; /* read without a lock: counters of the server; or NULL */
	/* The models that are configured, at most @max of them; how many. On the thread that asks; or NULL. */
	size_t (*models)(void *arg, struct vt_metrics_model *ret, size_t max);
	void *arg;
};

int vt_gather_new(struct vt_gather **ret, const struct vt_gather_opts *o, struct vt_err *e);
void vt_gather_free(struct vt_gather *g); /* accepts NULL */

/** vt_gather_text - Prometheus or OpenMetrics text; *@ret to be freed; 0, -ENOMEM, or -ESRCH of vt_monitor_read() */
int vt_gather_text(struct vt_gather *g, bool openmetrics, char **ret, size_t *len);
/** vt_gather_json - the state that page and top read */
int vt_gather_json(struct vt_gather *g, char **ret, size_t *len);

/**
 * vt_gather_tend - for the owner of a monitor that no other thread reads: read it, hand out its rows
 * anew where tenants have ended. Once a second or so.
 */
int vt_gather_tend(struct vt_gather *g, struct vt_err *e);

#endif
