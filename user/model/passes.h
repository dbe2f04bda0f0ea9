/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passes.h - the graph passes behind vt_optimize(), each usable and tested alone.
 * A pass leaves a valid graph (vt_graph_check) and computes the same function.
 */
#ifndef VT_MODEL_PASSES_H
#define VT_MODEL_PASSES_H

#include "model/graph.h"

/* Each returns 0 or -errno; @changed counts rewrites. */
struct vt_pass {
	const char *name;
	int (*run)(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e);
};

/** vt_passes - in the order vt_optimize() runs them; ends with name == NULL */
extern const struct vt_pass vt_passes[];

#endif
