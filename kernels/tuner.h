/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tuner.h - which variants of a layer are worth keeping. Values in, values out: whoever measures
 * (exec/tune.c) asks which candidates there are, hands in times, drops what is hopeless, and in the
 * end gets the few versions to keep. No I/O, no clock, no threads.
 *
 * A *cell* is what a time depends on besides the variant: core count and pressure level.
 */
#ifndef VT_KERNELS_TUNER_H
#define VT_KERNELS_TUNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/layer.h"
#include "kernels/variant.h"

#define VT_TUNE_CANDS	32 /* per layer */
#define VT_TUNE_CELLS	64
#define VT_TUNE_SAMPLES 31	/* kept per candidate and cell; later ones replace the oldest */
#define VT_TUNE_KEEP	5	/* versions of a layer at most: the paper's bound */
#define VT_TUNE_WITHIN	100000u /* kept versions stay this close to the best, in ppm */

/** What is known of one candidate in one cell. */
struct vt_tune_stat {
	uint64_t median_ns, spread_ns; /* spread: quarter to three quarter */
	uint64_t best_ns;
	uint64_t low_ns; /* lower quartile: what candidates are compared by, since all that a shared
			    machine adds is noise upwards */
	uint32_t samples; /* 0: nothing is known, all else 0 */
};

struct vt_tune_samples {
	uint32_t n; /* in all; at most VT_TUNE_SAMPLES are kept */
	uint64_t ns[VT_TUNE_SAMPLES];
};

/** One layer being tuned. Caller's memory: vt_tune_init(), then vt_tune_fini(). */
struct vt_tune {
	const struct vt_variant *cand[VT_TUNE_CANDS]; /* the first is the layer's default */
	bool dropped[VT_TUNE_CANDS];
	size_t n_cands, n_cells;
	struct vt_tune_samples *samples; /* [n_cands][n_cells] */
};

/**
 * vt_tune_init - the candidates of a layer
 * @dflt: what it runs as when nothing is known; NULL: vt_variant_plain()
 * @cores: core counts of interest. Of variants that cut the layer alike on all of them only one is
 * a candidate.
 * Returns 0, -ENOMEM, -EINVAL for more than VT_TUNE_CELLS cells
 */
int vt_tune_init(struct vt_tune *t, const struct vt_layer *l, const struct vt_variant *dflt,
		 const uint16_t *cores, size_t n_cores, size_t n_cells);
void vt_tune_fini(struct vt_tune *t); /* accepts a zeroed one */

/** vt_tune_find - index of the candidate of this name, or -1 */
int vt_tune_find(const struct vt_tune *t, const char *name);

void vt_tune_add(struct vt_tune *t, size_t cand, size_t cell, uint64_t ns);
/** vt_tune_prior - what an earlier pass knew: counts as that many samples of this median and spread */
void vt_tune_prior(struct vt_tune *t, size_t cand, size_t cell, uint64_t median_ns,
		   uint64_t spread_ns, uint32_t n);

struct vt_tune_stat vt_tune_stat(const struct vt_tune *t, size_t cand, size_t cell);
/** vt_tune_count - how many samples it has been given, old ones too */
uint32_t vt_tune_count(const struct vt_tune *t, size_t cand, size_t cell);
/** vt_tune_least - the smallest number of samples that a candidate still in the race has in a cell */
uint32_t vt_tune_least(const struct vt_tune *t, size_t cell);

/**
 * vt_tune_drop - take candidates out of the race that can cover no cell
 * @margin_ppm: out goes whose fastest sample is, in every cell, this much above the best there. The default stays. Returns how many are left.
 */
size_t vt_tune_drop(struct vt_tune *t, uint32_t margin_ppm);

/**
 * vt_tune_choose - the versions to keep: the smallest set that holds, in every cell, one within
 * VT_TUNE_WITHIN of the best, or not to be told from it (its lower quartile lies below the median
 * of the best); among sets of that size the one whose times are best over all cells
 * If no VT_TUNE_KEEP versions reach that, those that come nearest. Written to @ret as candidate
 * numbers, the one that is fastest in the first @alone cells (the unpressed ones) first. Returns
 * how many. The default wins ties of 3 %, so that noise does not choose.
 */
size_t vt_tune_choose(const struct vt_tune *t, size_t alone, size_t ret[VT_TUNE_KEEP]);

#endif
