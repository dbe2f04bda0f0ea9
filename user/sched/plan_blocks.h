/* SPDX-License-Identifier: Apache-2.0 */
/* plan_blocks.h - internal to plan.c: where a model is cut into blocks. Pure. */
#ifndef VT_SCHED_PLAN_BLOCKS_H
#define VT_SCHED_PLAN_BLOCKS_H

#include "sched/plan.h"

/** The question: one (code, level) of a plan, one price of latency. */
struct vt_cut {
	const struct vt_plan *plan;
	const uint64_t *rest; /* [n_layers + 1][n_points] of the code and level */
	enum vt_grain grain;
	uint32_t lambda_16;	    /* price of latency, in sixteenths of a core */
	unsigned int urgency;	    /* column of the cells to fill */
	struct vt_plan_cell *cells; /* [n_layers][VT_URGENCIES] of the code, grain and level */
	uint64_t *cost;		    /* scratch [n_points] */
	uint16_t *until;	    /* scratch [n_points] */
};

/** vt_cut_blocks - fill column `urgency` of the cells */
void vt_cut_blocks(const struct vt_cut *c);

#endif
