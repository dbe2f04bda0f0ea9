/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chrome.h - what ran on which core when, as a trace that Perfetto and chrome://tracing open.
 *
 * Events go into memory that was allocated before, by any thread, without a lock; when it is full
 * later ones are counted and dropped. The file is written once, at the end.
 *
 * A track per core with its spans: a core's part of a block, and inside it, on the core that leads,
 * its layers if the plant timed them. Counters (pressure, rates) are tracks of their own.
 */
#ifndef VT_METRICS_CHROME_H
#define VT_METRICS_CHROME_H

#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct vt_chrome;

/** One core's part of one block. Times on one clock, nanoseconds. */
struct vt_chrome_block {
	uint64_t start_ns, end_ns, id;
	uint32_t model; /* named when writing */
	uint16_t core;	/* the kernel's number */
	uint16_t layer_begin, layer_end;
	uint16_t wanted, granted;
	uint16_t other_versions; /* layers not run by the version that is fastest alone */
	uint8_t level, leads;
};

/** vt_chrome_new - room for @max_events, 64 bytes each; -ENOMEM */
int vt_chrome_new(struct vt_chrome **ret, size_t max_events, struct vt_err *e);
void vt_chrome_free(struct vt_chrome *c); /* accepts NULL */

void vt_chrome_block(struct vt_chrome *c, const struct vt_chrome_block *b);
/** vt_chrome_layer - one layer, inside the span of its block on the core that leads */
void vt_chrome_layer(struct vt_chrome *c, uint16_t core, uint32_t model, uint16_t layer,
		     uint8_t version, uint64_t start_ns, uint64_t end_ns);
/** vt_chrome_count - value of a counter from @now_ns on; @name: static text */
void vt_chrome_count(struct vt_chrome *c, const char *name, unsigned int index, uint64_t now_ns,
		     double value);

/** vt_chrome_dropped - events that found no room */
uint64_t vt_chrome_dropped(const struct vt_chrome *c);

/** Names for the file; any may be NULL or return NULL, then numbers stand there. */
struct vt_chrome_names {
	const char *(*model)(void *arg, uint32_t model);
	const char *(*layer)(void *arg, uint32_t model, uint16_t layer);
	void *arg;
	const char *process; /* "veltair serve" */
};

/**
 * vt_chrome_write - the whole trace as JSON, by start time; nobody adds events meanwhile
 * Returns 0 or -errno of writing.
 */
int vt_chrome_write(struct vt_chrome *c, FILE *out, const struct vt_chrome_names *names);

#endif
