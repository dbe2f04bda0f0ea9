/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.h - what there is to know about this process and its tenants, as Prometheus text and as
 * one JSON object. No I/O: the server fetches, gathers and sends.
 *
 * Both are made from the same gathered values. A value that nothing knows is left out of the text
 * and null in the JSON; it is never 0. See docs/metrics.md, printed from the tables.
 */
#ifndef VT_METRICS_METRICS_H
#define VT_METRICS_METRICS_H

#include <stdio.h>

#include "exec/runtime.h"
#include "metrics/expo.h"
#include "metrics/tenants.h"

/** What the HTTP server counts of itself; it owns and writes it. */
struct vt_metrics_http {
	uint64_t requests[6]; /* by class of the status: [2]: 200 to 299 */
	uint64_t bytes_in, bytes_out;
	uint32_t connections, in_flight;
	uint64_t body_bytes; /* of bodies that are held now */
};

/** Why something was decided; numbers grow, and some may be missing. */
struct vt_metrics_reason {
	uint64_t n;
	struct vt_reason why;
};

/** What is configured, be it loaded or not. */
struct vt_metrics_model {
	char name[64], version[16];
	bool ready, unloaded; /* unloaded on purpose: nobody misses it */
};

/** Everything gathered for one answer. NULL and 0 parts are left out. */
struct vt_metrics {
	const struct vt_runtime_stats *runtime;
	const struct vt_metrics_http *http;
	const struct vt_metrics_model *models; /* [n_models] */
	size_t n_models;
	/* the monitor */
	struct vt_monitor *monitor; /* NULL: monitor_absent says why */
	const char *monitor_absent;
	const struct vt_tenant_table *tenants;
	const struct vt_losses *losses;
	unsigned int line_bytes; /* of a cache line: misses to bytes */
	/* reasons of the last decisions, oldest first: JSON only */
	const struct vt_metrics_reason *reasons;
	size_t n_reasons;
	/* what this process uses */
	uint64_t rss_bytes, cpu_ns;
	uint64_t started_mono_ns; /* another value: other sums, JSON only */
	uint64_t now_mono_ns;	  /* of this look, JSON only */
};

extern const struct vt_family vt_runtime_families[], vt_monitor_families[];

/** vt_metrics_text - the whole exposition; check x->failed before sending */
void vt_metrics_text(struct vt_expo *x, const struct vt_metrics *m);

/** vt_metrics_json - the same for page, top and scripts; @x as above, openmetrics is ignored */
void vt_metrics_json(struct vt_expo *x, const struct vt_metrics *m);

/** vt_metrics_page - docs/metrics.md */
void vt_metrics_page(FILE *out);

#endif
