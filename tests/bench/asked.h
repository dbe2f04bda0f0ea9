/* SPDX-License-Identifier: Apache-2.0 */
/* asked.h - models in a runtime of this process, and Poisson arrivals for them. Of the bench programs. */
#ifndef VT_TESTS_BENCH_ASKED_H
#define VT_TESTS_BENCH_ASKED_H

#include "exec/runtime.h"
#include "load/drive.h"

#define ASKED_MAX 8u

struct asked {
	struct vt_runtime *rt;
	uint32_t n_models;
	uint32_t id[ASKED_MAX]; /* of the runtime */
	uint64_t qos_ns[ASKED_MAX];
	/* Of the run under way. */
	struct vt_infer *infer;
	struct vt_shot *shots;
};

/** asked_run - equally many for each model, the same for the same seed; @ret->shots is the caller's to free */
int asked_run(struct asked *a, double rate_hz, double secs, uint64_t seed, struct vt_drive *ret,
	      struct vt_err *e);

/** asked_list - up to ASKED_MAX names, separated by commas; @list is cut up and kept */
unsigned int asked_list(char *list, const char **ret);

/** asked_load - DIR/NAME.onnx */
int asked_load(struct vt_engine **ret, const char *dir, const char *name, int instances,
	       struct vt_err *e);

/** asked_times - of its layers, by @runs whole runs on one core and on all of the pool, which must be idle */
int asked_times(struct vt_costs *ret, struct vt_engine *eng, struct vt_pool *pool, const char *name,
		unsigned int runs, struct vt_err *e);

/** asked_times_of - the same with the workers of @rt, once it is idle */
int asked_times_of(struct vt_costs *ret, struct vt_engine *eng, struct vt_runtime *rt,
		   const char *name, unsigned int runs, struct vt_err *e);

/**
 * asked_times_in_turn - of all models of @a by turns, as they come while they are served: each run finds the caches as
 * a run of another model left them
 * @name: of each model; @ret: one for each, the caller's to finish
 */
int asked_times_in_turn(struct vt_costs *ret, const struct asked *a, const char *const *name,
			unsigned int runs, struct vt_err *e);

#endif
