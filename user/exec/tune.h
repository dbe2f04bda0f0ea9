/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tune.h - measure the layers of an engine, keep their best versions in the profile store.
 *
 * A layer is measured as it runs inside its model: before every sample each core reads through more
 * memory than its L2 holds, so that weights come from further away, and then the layer's inputs are
 * written anew, as the layer before it would have left them. Where the model has the same layer many
 * times, samples go through all of them in turn, so that weights are as cold as in a whole run.
 *
 * Levels, core counts and candidates take turns, round after round, so that the drift of a shared
 * machine meets all alike. After every round hopeless candidates drop out. What is known is put into
 * the store after each layer, and every second within a long one: whoever is killed loses a second.
 *
 * Somebody may come and go for longer than a layer is measured, or the host may move a virtual machine's
 * cores apart for a minute. Layers whose times alone are far apart are measured once more when all others are done, and
 * the faster of both is kept.
 *
 * A machine may have other things to do: a walk through an engine measures until it is told to stop,
 * keeps what it has in memory, and goes on another time. It asks before every sample, and within one
 * before its layer is run, so between question and end lies one run of one layer at most. While it
 * measures it reads and writes no file.
 *
 * Pressure needs cores for the bubble: the upper half of all. Above level 0 only counts that leave
 * those free are measured. On more cores there is nobody left who could press; costs.c continues
 * there with the slowdown of the largest count that was measured.
 */
#ifndef VT_EXEC_TUNE_H
#define VT_EXEC_TUNE_H

#include "exec/bubble.h"
#include "exec/engine.h"
#include "profile/profile.h"
#include "sched/model.h"

struct vt_tune_progress {
	const char *layer;		  /* the node's name */
	unsigned int layers, layers_done; /* distinct ones to be measured, of this engine */
	double share;			  /* of the work of this engine, 0 .. 1 */
};

struct vt_tune_opts {
	struct vt_cpuset cores;		/* those that may be used, the bubble's among them */
	uint16_t points[VT_MAX_POINTS]; /* core counts to measure, ascending */
	size_t n_points;
	uint32_t levels; /* bit L: measure level L; level 0 always is */
	bool quick;	 /* about a second a layer instead of six */
	/*
	 * Asked before every sample and more often, by the caller and by workers, one at a time;
	 * true: return -ECANCELED. May be NULL.
	 */
	bool (*stop)(void *arg);
	void (*progress)(void *arg, const struct vt_tune_progress *p); /* may be NULL */
	void *arg;
	const struct vt_bubble_scale *scale; /* NULL, or as an earlier tuner found it; copied */
	const char *root; /* where the memory there is can be read; NULL: / (tests) */
};

struct vt_tuner;

/** What a call did. */
struct vt_tune_report {
	unsigned int layers;   /* distinct signatures of the engine */
	unsigned int known;    /* of those, already in the store as wanted */
	unsigned int measured; /* of those, measured and kept now */
	unsigned int again; /* of those, measured a second time: their times alone were far apart */
	uint64_t samples;
};

/**
 * vt_tuner_open - workers and bubble
 * @db: open for writing; stays the caller's
 * -EINVAL: no core, a core that may not be used, more points than cores
 */
int vt_tuner_open(struct vt_tuner **ret, const struct vt_tune_opts *o, struct vt_profile *db,
		  struct vt_err *e);
void vt_tuner_close(struct vt_tuner *t); /* accepts NULL */

/** vt_tuner_lacks - why levels above 0 are left out although they were asked for, or NULL */
const char *vt_tuner_lacks(const struct vt_tuner *t);

/**
 * vt_tuner_calibrate - find the levels, about a second; nothing to do if they are known
 * Without it they are found when a layer is to be measured. -ECANCELED when stopped: call again.
 */
int vt_tuner_calibrate(struct vt_tuner *t, struct vt_err *e);
/** vt_tuner_scale - the levels as found; NULL: not yet; all 0 without a core for the bubble */
const struct vt_bubble_scale *vt_tuner_scale(const struct vt_tuner *t);

/**
 * vt_tune_known - does the store hold what @o asks of this layer? 1, 0 or negative
 * That is: versions were chosen, each has a time for every core count and level wanted, and this build
 * knows them all.
 */
int vt_tune_known(const struct vt_tune_opts *o, struct vt_profile *db, const char *signature,
		  struct vt_err *e);

/** An engine on its way through the tuner: what the store knew, what was measured since. */
struct vt_tune_walk;

/**
 * vt_tune_walk_new - which layers are to be measured; reads the store. Both must outlive it
 * -ENOMEM: also if it would take more than half of the memory there is
 */
int vt_tune_walk_new(struct vt_tune_walk **ret, struct vt_tuner *t, struct vt_engine *eng,
		     struct vt_err *e);
void vt_tune_walk_free(struct vt_tune_walk *w); /* accepts NULL */

/**
 * vt_tune_walk_go - measure; touches no file
 * Uses instance 0, whose memory is undefined afterwards. Returns 1 when there is something to put;
 * 0 when every layer is known; -ECANCELED when stopped (@e untouched): what was measured is kept
 */
int vt_tune_walk_go(struct vt_tune_walk *w, struct vt_err *e);

/**
 * vt_tune_walk_put - what was measured into the store, if a layer is done or a second has gone by
 * @all: in any case
 * After an error nothing is lost: call again.
 */
int vt_tune_walk_put(struct vt_tune_walk *w, bool all, struct vt_err *e);

const struct vt_tune_report *vt_tune_walk_report(const struct vt_tune_walk *w);

/** vt_tune_engine - a whole walk. -ECANCELED when stopped, and what is known is in the store */
int vt_tune_engine(struct vt_tuner *t, struct vt_engine *eng, struct vt_tune_report *ret,
		   struct vt_err *e);

#endif
