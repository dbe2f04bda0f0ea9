/* SPDX-License-Identifier: Apache-2.0 */
/* trace.h - record what a loop saw and decided; read it back; replay it. Pure: buffers only.
 *
 * A trace is a head (policy, its choices, every model's profile) and then one step per
 * vt_loop_step(). All numbers are little-endian, all parts padded to 8 bytes, each step ends with a
 * checksum, so a file can be mapped and read in place. The version changes with any layout in it:
 *
 *     head   = struct vt_trace_head, then per model: struct vt_trace_model, points, ns
 *     step   = struct vt_trace_step_head, requests, blocks, domains, counts, done, done_versions,
 *              actions, versions, u64 checksum of all of it
 *
 * When models or policy change in a live run, its loop begins anew: another trace follows in the same
 * file. After the last one comes vt_trace_end, so that a file without it is known to be cut, also
 * between two steps.
 *
 * A recorded live run replays to the same bytes: pressure and policy are pure, so the samples
 * determine the decisions. vt_trace_plant hands the samples to a loop and compares its decisions.
 */
#ifndef VT_LOOP_TRACE_H
#define VT_LOOP_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "loop/loop.h"

#define VT_TRACE_VERSION 4u

/** What whoever closes the file writes last: "VTTREND\n" */
extern const char vt_trace_end[8];

struct vt_trace_head {
	char magic[8]; /* "VTTRACE\n" */
	uint32_t version;
	uint32_t n_models;
	char policy[32]; /* NUL-terminated */
	struct vt_policy_cfg policy_cfg;
	uint32_t n_domains, max_layers;
	uint64_t fresh_ns;
	uint64_t len; /* bytes of the head, models included */
};

struct vt_trace_model {
	char name[VT_MODEL_NAME_MAX];
	uint64_t qos_ns;
	uint16_t n_layers, n_points;
	uint8_t n_versions;
	uint8_t pad[3];
	uint32_t open_ns, open_core_ns;
};

struct vt_trace_step_head {
	uint64_t len; /* bytes of the step, this head and the checksum included */
	uint64_t now_ns, wake_ns;
	struct vt_coreset free, taken;
	uint32_t n_requests, n_blocks, n_domains, n_cores;
	uint32_t n_counts; /* 0 or n_domains */
	uint32_t n_done, n_done_versions;
	uint32_t n_actions, n_versions;
	uint32_t taken_ppm;
};

/* ---- recording -------------------------------------------------------------------------- */

/**
 * vt_trace_put_head - write the head for a loop made with @cfg over @models
 * Returns the bytes it takes; nothing is written if that is above @len.
 */
size_t vt_trace_put_head(void *buf, size_t len, const struct vt_loop_cfg *cfg,
			 const struct vt_model *models, uint32_t n_models);

/**
 * vt_trace_put_step - write one step: what was sampled, what was decided
 * Returns the bytes it takes; nothing is written if that is above @len.
 */
size_t vt_trace_put_step(void *buf, size_t len, const struct vt_sample *s,
			 const struct vt_decision *d);

/* ---- reading ---------------------------------------------------------------------------- */

/** A trace being read. The buffer stays the caller's and unchanged. */
struct vt_trace {
	const char *at, *end;
	struct vt_trace_head head;
	const char *models_at;
	const struct vt_model *models; /* after vt_trace_models() */
	struct vt_domain domains[VT_MAX_DOMAINS];
	uint64_t steps;	  /* read so far */
	bool ended;	  /* vt_trace_end was read */
	const char *what; /* after an error: what is wrong, static text */
};

struct vt_trace_step {
	struct vt_sample sample;
	struct vt_decision decision; /* read-only: points into the buffer */
};

/**
 * vt_trace_open - check the head of a trace in @buf, aligned to 8
 * Returns 0; -EINVAL if it is none or is cut short, -EPROTO if it is of another version.
 */
int vt_trace_open(struct vt_trace *t, const void *buf, size_t len);

/** vt_trace_models_size - bytes that vt_trace_models() needs for the plans of @needs; align to 64 */
size_t vt_trace_models_size(const struct vt_trace *t, uint32_t needs);

/** vt_trace_models - make the models and their plans in @mem; 0, -EINVAL, -ENOSPC */
int vt_trace_models(struct vt_trace *t, uint32_t needs, void *mem, size_t len);

/**
 * vt_trace_next - the next step, in place; valid until the next call
 * Returns 1; 0 at the end (t->ended: of a file that was closed), or where another trace begins
 * (t->at < t->end: open that one there); -EINVAL if the step is cut short or damaged.
 */
int vt_trace_next(struct vt_trace *t, struct vt_trace_step *ret);

/* ---- replay ----------------------------------------------------------------------------- */

/** Hands a trace to a loop; `self` of vt_trace_plant. Zero all but `trace`. */
struct vt_trace_replay {
	struct vt_trace *trace;
	struct vt_trace_step step;
	uint64_t steps, differ; /* steps replayed; of them, decided otherwise than recorded */
	uint64_t first_differ;	/* number of the first such step */
};

/** Its sample() returns -ENODATA at the end of the trace. */
extern const struct vt_plant vt_trace_plant;

/** vt_decision_same - do two decisions compare equal byte for byte? */
int vt_decision_same(const struct vt_decision *a, const struct vt_decision *b);

#endif
