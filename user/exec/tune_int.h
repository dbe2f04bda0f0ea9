/* SPDX-License-Identifier: Apache-2.0 */
/* tune_int.h - tune.c (which layers), tune_layer.c (rounds, store), tune_sample.c (one turn). */
#ifndef VT_EXEC_TUNE_INT_H
#define VT_EXEC_TUNE_INT_H

#include "base/rng.h"
#include "exec/tune.h"
#include "kernels/tuner.h"

#define VT_TUNE_INPUTS 16 /* computed inputs of a layer that are written anew */

/** Piece of an instance's arena, and what a layer expects there. */
struct vt_tune_input {
	const void *saved;
	size_t bytes;
};

/** A distinct layer: one signature and all steps that have it. */
struct vt_tune_layer {
	struct vt_engine *eng;
	char signature[VT_PROFILE_TEXT];
	const int *steps;     /* ascending; the first is where its inputs were saved */
	size_t n_steps, turn; /* turn: which step the next sample takes */
	struct vt_tune_input in[VT_TUNE_INPUTS];
	size_t n_in;
};

/** vt_tune_inputs - what the first step reads; it lies in @arena, a copy of that of instance 0 */
void vt_tune_inputs(struct vt_tune_layer *l, const void *arena);

/** A turn: some variants of one layer, one after the other, on one grant. */
struct vt_tune_turn {
	struct vt_work work;
	struct vt_tune_layer *layer;
	const void *sweep; /* VT_TUNE_SWEEP bytes to read before each sample */
	const struct vt_variant *variant[VT_TUNE_CANDS];
	uint64_t ns[VT_TUNE_CANDS]; /* written */
	size_t n, done;		    /* to be taken; that were */
	bool (*stop)(void *arg);    /* asked on the leader; NULL: never */
	void *arg;
};

#define VT_TUNE_SWEEP ((size_t)4 << 20) /* twice the largest L2 of today's servers */

/** vt_tune_turn - run it, or what can be until it is stopped; errors as vt_pool_run() */
int vt_tune_turn(struct vt_tune_turn *t, struct vt_pool *pool, const struct vt_cpuset *grant);

struct vt_tune_cell {
	uint16_t cores;
	uint8_t level;
};

struct vt_tuner {
	struct vt_tune_opts o;
	struct vt_profile *db;
	struct vt_pool *pool;
	struct vt_bubble *bubble; /* NULL: no core for it, or no memory */
	struct vt_bubble_search *search;
	struct vt_bubble_scale scale;
	bool calibrated;
	char lacks[160]; /* "": nothing */
	uint8_t level;	 /* that it blows at now */
	float *sweep;
	struct vt_rng rng;
	struct vt_tune_cell cell[VT_TUNE_CELLS]; /* level 0 first */
	size_t n_cells, n_alone;
};

/* A layer, and what is known of its candidates. */
struct vt_tune_job {
	struct vt_tuner *t;
	struct vt_tune_layer layer;
	struct vt_tune tune;
	uint64_t samples;			     /* taken */
	uint32_t put[VT_TUNE_CANDS * VT_TUNE_CELLS]; /* of a candidate in a cell, in the store */
	uint64_t put_mono_ns, used_ns;
	uint32_t rounds;
	/*
	 * Measured a second time, by itself: kept versions only. A version's times on some cores
	 * replace those of the first if it is faster there alone, else those stay, at all levels.
	 */
	bool again;
	uint64_t before_ns[VT_TUNE_CANDS * VT_TUNE_CELLS]; /* then: as it is in the store */
	bool unsteady; /* after vt_tune_keep(): times alone are far apart, as if somebody came and went */
};

/** vt_tune_cells - what is to be measured, level 0 first; returns how many */
size_t vt_tune_cells(const struct vt_tune_opts *o, struct vt_tune_cell ret[VT_TUNE_CELLS]);
/** vt_tune_find_cell - its index, or -1 */
int vt_tune_find_cell(const struct vt_tune_cell *cell, size_t n, uint16_t cores, uint8_t level);
/** vt_tune_cores - @n cores of the set: the first, or with @last the last */
struct vt_cpuset vt_tune_cores(const struct vt_cpuset *all, unsigned int n, bool last);

bool vt_tune_stopped(const struct vt_tuner *t);
/** vt_tune_press - let the bubble blow at @level and settle */
void vt_tune_press(struct vt_tuner *t, uint8_t level);
/** vt_tune_hush - let the bubble be silent, at once */
void vt_tune_hush(struct vt_tuner *t);

/** vt_tune_begin - take what the store has of a layer whose candidates are there; see @again */
int vt_tune_begin(struct vt_tune_job *j, struct vt_err *e);
/** vt_tune_measure - 0: there are samples enough; 1: some should be put; -ECANCELED when stopped */
int vt_tune_measure(struct vt_tune_job *j, struct vt_err *e);
/** vt_tune_put_due - has it been long since the last put? Never of a layer that is measured again: it is put whole */
bool vt_tune_put_due(const struct vt_tune_job *j);
/** vt_tune_put - the times into the store; vt_tune_keep - and the versions worth keeping */
int vt_tune_put(struct vt_tune_job *j, struct vt_err *e);
int vt_tune_keep(struct vt_tune_job *j, struct vt_err *e);

#endif
