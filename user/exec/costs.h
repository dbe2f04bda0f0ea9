/* SPDX-License-Identifier: Apache-2.0 */
/*
 * costs.h - an engine as the scheduler sees it: times by layer, version, level and cores, and the
 * kernel variant behind each version.
 *
 * A scheduled layer is one step of the engine, in order. Version 0 is the fastest alone. Built when
 * a model loads, from the profile store or from a few runs; read-only afterwards.
 */
#ifndef VT_EXEC_COSTS_H
#define VT_EXEC_COSTS_H

#include "exec/engine.h"
#include "exec/here.h"
#include "profile/profile.h"
#include "sched/model.h"

/** Where the times are from. */
enum vt_costs_source {
	VT_COSTS_RUNS,	  /* whole runs with default variants, level 0 only: flat over the levels */
	VT_COSTS_PROFILE, /* the profile store */
};

struct vt_costs {
	struct vt_model model; /* tables belong to this struct; plan is not made */
	/* [n_layers][n_versions]; NULL: the engine's default, or no choice */
	const struct vt_variant **variant;
	enum vt_costs_source source;
	void *mem; /* points and times; it and variant are freed by vt_costs_fini() */
};

/**
 * vt_costs_profiled - from the store; -ENODATA if a layer has no time at any of the core counts, or a
 * version that this build does not know
 * @points: core counts wanted, ascending; those the store lacks for any layer are left out
 * @qos_ns: 0: three times the model's time on the largest count
 * Of each layer the versions that were kept; if none were (the tuner was killed), the one that is
 * fastest alone. Levels that were not measured take the times of the level below; a count of which no level
 * was (nobody was left to press) the slowdown of the next smaller count.
 */
int vt_costs_profiled(struct vt_costs *ret, const struct vt_engine *eng, struct vt_profile *db,
		      const char *name, uint64_t qos_ns, const uint16_t *points, size_t n_points,
		      struct vt_err *e);

/**
 * vt_costs_measured - run instance 0 @runs times on each core count of @points, default variants
 * The pool's workers must be idle. qos_ns of 0: three times the model's time on all points' largest
 * count. Inputs of the instance keep whatever they hold.
 */
int vt_costs_measured(struct vt_costs *ret, struct vt_engine *eng, struct vt_pool *pool,
		      const char *name, uint64_t qos_ns, const uint16_t *points, size_t n_points,
		      unsigned int runs, struct vt_err *e);

/** Whose workers are measured on. */
struct vt_costs_lender {
	/** lend - call @fn with a pool that is idle, now or when it is; return what that does, or an error */
	int (*lend)(void *arg, int (*fn)(void *what, struct vt_pool *pool), void *what);
	void *arg;
};

/**
 * vt_costs_measured_by - the same in pieces of at most two milliseconds, or one step if that takes longer, so that others
 * can use the workers between them
 * An error of @by ends it and is returned.
 */
int vt_costs_measured_by(struct vt_costs *ret, struct vt_engine *eng,
			 const struct vt_costs_lender *by, const char *name, uint64_t qos_ns,
			 const uint16_t *points, size_t n_points, unsigned int runs,
			 struct vt_err *e);

/**
 * vt_costs_copy - a copy of its own, without plan and traffic; with @level >= 0 of one version per layer: the one
 * that is fastest at that pressure on the most cores, whatever the pressure then is. -ENOMEM
 */
int vt_costs_copy(struct vt_costs *ret, const struct vt_costs *from, int level, struct vt_err *e);

void vt_costs_fini(struct vt_costs *c); /* accepts a zeroed one */

/**
 * vt_costs_choose - for one run: the version of each layer that is fastest at @level on @cores
 * @ret: [n_steps]; NULL: the engine's default, also where the layer has no time
 * Where the store lacks @cores: the next smaller count, else the next larger. Returns how many
 * layers have no time at all, or negative.
 */
int vt_costs_choose(const struct vt_engine *eng, struct vt_profile *db, unsigned int cores,
		    uint8_t level, const struct vt_variant **ret, struct vt_err *e);

/**
 * vt_layer_signature - what a layer is, for the profile store: operator, kernel, shapes, types,
 * attributes, epilogue; equal signatures run the same code on data of the same shapes
 * Returns its length, as snprintf(), always below VT_PROFILE_TEXT; -EINVAL if the step does not exist.
 */
int vt_layer_signature(const struct vt_engine *eng, int step, char *buf, size_t len);

#endif
