/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - what is worked out once, when a model loads, so that a decision only looks up. Pure.
 *
 * Every core count has a time; the question is which layers deserve how many cores. Price a
 * nanosecond of latency at lambda cores: the best count of a layer then minimises
 *
 *     (cores + lambda) * ns(cores)
 *
 * lambda = 0 spends the fewest core-seconds, a huge one is as fast as possible, and every lambda in
 * between is optimal for *some* deadline (Lagrange; Everett 1963). So a plan holds VT_URGENCIES
 * values of lambda, and meeting a deadline is: take the first whose remaining time fits the slack.
 *
 * Consecutive layers that share a count are one block. Starting a block costs kappa per core, so
 * the cut points and the counts come out of one shortest path over (layer, count): see plan_blocks.c.
 */
#ifndef VT_SCHED_PLAN_H
#define VT_SCHED_PLAN_H

#include <stddef.h>

#include "sched/model.h"

#define VT_URGENCIES 24u

/** Which code a plan may use. */
enum vt_plan_code {
	VT_PLAN_SOLO,	  /* version 0 of each layer, the fastest alone */
	VT_PLAN_ADAPTIVE, /* each layer's fastest version at the level */
	VT_PLAN_CODES,
};

/** How coarse the units of scheduling are. */
enum vt_grain {
	VT_GRAIN_LAYER,	       /* every layer is a block */
	VT_GRAIN_FINE,	       /* shortest path, small kappa: many cores are free */
	VT_GRAIN_COARSE,       /* shortest path, large kappa: few cores are free */
	VT_GRAIN_MODEL,	       /* the rest of the model is one block */
	VT_GRAIN_PIVOT_FINE,   /* the paper's rule: cut at layers that demand 1.25 x the mean */
	VT_GRAIN_PIVOT_COARSE, /* and at 2 x the mean */
	VT_PLAN_GRAINS,
};

/* What a plan is asked to hold: bits of (code, grain), or everything. */
#define VT_PLAN(code, grain) (1u << ((code)*VT_PLAN_GRAINS + (grain)))
#define VT_PLAN_ALL	     ((1u << (VT_PLAN_CODES * VT_PLAN_GRAINS)) - 1)

/** The best next block from one layer on, for one urgency. */
struct vt_plan_cell {
	uint64_t rest_ns;      /* until the model ends, if all later blocks are as urgent */
	uint32_t rest_core_us; /* core-time of that, microseconds, rounded up */
	uint16_t end;	       /* the block is [layer, end) */
	uint16_t point;	       /* index into vt_plan.points */
};

/* Core-time above the least that counts as nearly free. */
#define VT_NEARLY_FREE_PERCENT 10u

/**
 * What a decision looks up of one (level, layer), in two cache lines: of each urgency, the time to
 * the end of the model and the core count of the next block.
 */
struct vt_plan_row {
	uint32_t rest_us[VT_URGENCIES]; /* rounded up; never grows with the urgency */
	uint8_t point[VT_URGENCIES];
	uint8_t nearly_free; /* the highest urgency whose core-time is nearly the least */
	uint8_t pad[7];
};
_Static_assert(sizeof(struct vt_plan_row) == 128, "two cache lines");

/** Tables in the caller's memory; read-only after vt_plan_init(). */
struct vt_plan {
	uint32_t needs;
	uint16_t n_layers;
	uint16_t n_points;		/* measured counts that this machine has */
	uint32_t open_ns, open_core_ns; /* of the model */
	const uint16_t *points;
	const uint8_t *best;	 /* [VT_LEVELS][n_points][n_layers], VT_PLAN_ADAPTIVE */
	const uint16_t *fastest; /* [n_layers]: point that ends soonest, solo code, idle machine */
	/* [VT_LEVELS][n_layers + 1][n_points], ns to the end */
	const uint64_t *rest[VT_PLAN_CODES];
	/* [VT_LEVELS][n_layers][VT_URGENCIES], lambda ascending; NULL if not asked for */
	const struct vt_plan_cell *cells[VT_PLAN_CODES][VT_PLAN_GRAINS];
	const struct vt_plan_row *rows[VT_PLAN_CODES][VT_PLAN_GRAINS]; /* [VT_LEVELS][n_layers] */
};

/**
 * vt_plan_size - bytes that vt_plan_init() needs for @m (a checked model); align to 64
 * @needs: vt_policy.plan_needs of the policies that will run, or-ed, or VT_PLAN_ALL
 */
size_t vt_plan_size(const struct vt_model *m, uint32_t needs);

/**
 * vt_plan_init - work out the plan of @m in @mem
 * @n_cores: of the machine; larger core counts of the profile are not used
 * Sets m->plan on success. @mem must outlive the model. Takes milliseconds: never in a decision.
 * Returns 0; -EINVAL if vt_model_check() fails or no point is <= @n_cores; -ENOSPC if @len is small.
 */
int vt_plan_init(struct vt_model *m, unsigned int n_cores, uint32_t needs, void *mem, size_t len);

/** vt_plan_cells - the VT_URGENCIES ways to go on from @layer, cheapest first */
static inline const struct vt_plan_cell *vt_plan_cells(const struct vt_plan *p,
						       enum vt_plan_code code, enum vt_grain grain,
						       unsigned int level, unsigned int layer)
{
	return &p->cells[code][grain][((size_t)level * p->n_layers + layer) * VT_URGENCIES];
}

/** vt_plan_row - the same cells as a decision looks them up */
static inline const struct vt_plan_row *vt_plan_row(const struct vt_plan *p, enum vt_plan_code code,
						    enum vt_grain grain, unsigned int level,
						    unsigned int layer)
{
	return &p->rows[code][grain][(size_t)level * p->n_layers + layer];
}

/** vt_plan_rest - time from @layer to the end, for each of the n_points core counts */
static inline const uint64_t *vt_plan_rest(const struct vt_plan *p, enum vt_plan_code code,
					   unsigned int level, unsigned int layer)
{
	return &p->rest[code][((size_t)level * (p->n_layers + 1u) + layer) * p->n_points];
}

/** vt_plan_ns - time of layers [begin, end) on points[point] cores throughout */
static inline uint64_t vt_plan_ns(const struct vt_plan *p, enum vt_plan_code code,
				  unsigned int level, unsigned int point, unsigned int begin,
				  unsigned int end)
{
	const uint64_t *r = vt_plan_rest(p, code, level, 0) + point;

	return r[(size_t)begin * p->n_points] - r[(size_t)end * p->n_points];
}

/**
 * vt_plan_block_levels - vt_model_block_levels() by the sums of @m's plan, if it has one and they hold
 * Every layer's version is 0 nearly always: two numbers a level then, not all layers' times.
 */
void vt_plan_block_levels(const struct vt_model *m, unsigned int begin, unsigned int end,
			  const uint8_t *versions, unsigned int cores, uint64_t ret[VT_LEVELS]);

/** vt_plan_urgency - the highest urgency whose price is at most @price, in sixteenths of a core */
unsigned int vt_plan_urgency(uint64_t price);

/** vt_plan_versions - best version of each layer at @level on points[point] cores */
static inline const uint8_t *vt_plan_versions(const struct vt_plan *p, unsigned int level,
					      unsigned int point)
{
	return &p->best[((size_t)level * p->n_points + point) * p->n_layers];
}

/** vt_plan_point - index of the largest usable count <= @cores; the first if there is none */
unsigned int vt_plan_point(const struct vt_plan *p, unsigned int cores);

#endif
