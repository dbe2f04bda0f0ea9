/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expo.h - writes Prometheus text (0.0.4) and OpenMetrics (1.0.0) from a table of families. No I/O.
 *
 * A family is declared once, with its help, unit and labels; docs/metrics.md is printed from the
 * same table. Label values may hold anything: they are escaped, cut at VT_LABEL_MAX bytes, and made
 * valid UTF-8, because names of models and processes come from outside.
 */
#ifndef VT_METRICS_EXPO_H
#define VT_METRICS_EXPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define VT_LABEL_MAX 128u

enum vt_metric_type { VT_COUNTER, VT_GAUGE, VT_HISTOGRAM, VT_INFO };

struct vt_expo;
struct vt_metrics;

/** One family of samples. Name without "veltair_" and without the suffix that its type adds. */
struct vt_family {
	const char *name;
	enum vt_metric_type type;
	const char *unit;   /* "seconds", "bytes", "ratio" or "": the name ends in it */
	const char *labels; /* "model, version", for the page */
	const char *help;
	void (*emit)(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f);
	size_t off;   /* for emit: where the number is */
	double scale; /* for emit: multiplied by this; 0: 1 */
};

struct vt_label {
	const char *name, *value;
};

#define VT_EXPO_BOUNDS 32u

/** Of a histogram's bucket, as text. */
struct vt_expo_bound {
	double of;
	char text[24];
};

/** A growing text. Start from {0} and set openmetrics; free buf at the end. */
struct vt_expo {
	char *buf;
	size_t len, room;
	bool openmetrics;
	bool failed; /* out of memory or above VT_EXPO_MAX: buf is not to be sent */
	bool headed; /* HELP and TYPE of the present family are written */
	struct vt_expo_bound bound[VT_EXPO_BOUNDS]; /* private */
};

#define VT_EXPO_MAX ((size_t)4 << 20) /* never more; 256 models and 200 tenants take half of it */

/** vt_expo_put - add text as printf() would */
void vt_expo_put(struct vt_expo *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** vt_expo_json - add @value as a JSON string, quotes included; valid UTF-8 whatever it holds */
void vt_expo_json(struct vt_expo *x, const char *value);

/**
 * vt_expo_sample - one sample of @f; a NAN is left out: what is not known is absent, never 0
 * @suffix: "", "_bucket", "_sum", "_count"; counters and infos get theirs by themselves
 */
void vt_expo_sample(struct vt_expo *x, const struct vt_family *f, const char *suffix,
		    const struct vt_label *l, size_t n_labels, double value);

/**
 * vt_expo_histogram - buckets (not cumulative) with their upper bounds, sum and count
 * @bound: of all but the last bucket, whose bound is +Inf
 */
void vt_expo_histogram(struct vt_expo *x, const struct vt_family *f, const struct vt_label *l,
		       size_t n_labels, const uint64_t *bucket, const double *bound, size_t n,
		       double sum);

/** vt_expo_run - write all of @families (ends with name NULL), and the end mark of OpenMetrics */
void vt_expo_run(struct vt_expo *x, const struct vt_family *const *families,
		 const struct vt_metrics *m);

/** vt_expo_markdown - the table of the page */
void vt_expo_markdown(FILE *out, const struct vt_family *families);

#endif
