/* SPDX-License-Identifier: Apache-2.0 */
/* bank.h - the models of a simulation: what the policy sees of them, and what they really do.
 *
 * The policy sees struct vt_model: times per version, level and core count, as a profile holds
 * them. The simulated machine knows more: the time under any stretch of memory and any share of
 * the LLC, and the traffic that the layer causes. Both come from the same law or measurement.
 */
#ifndef VT_SIM_BANK_H
#define VT_SIM_BANK_H

#include <stdint.h>

#include "sched/model.h"
#include "sim/machine.h"
#include "sim/net.h"

#define VT_STRETCHES 10u /* points of the stretch grid */
#define VT_SHARES    4u	 /* LLC shares 1/4, 2/4, 3/4, 4/4 */

/** Behaviour of one version of one layer on one core count and LLC share. */
struct vt_cell {
	float ns[VT_STRETCHES]; /* at vt_bank.stretch[i] */
	float dram_bytes, llc_bytes;
};

/** A distinct layer: layers of equal shape share one. */
struct vt_bank_row {
	struct vt_cell *cells; /* [n_versions][n_points][VT_SHARES] */
	float flops;
	float in_bytes; /* activations that move when the request changes its cores */
};

struct vt_bank_model {
	uint32_t n_rows;
	struct vt_bank_row *rows;
	uint32_t *row_of;  /* [n_layers] */
	char (*names)[24]; /* [n_layers] */
	/* Memory behind the struct vt_model. */
	uint16_t *points;
	uint64_t *ns, *dram_bytes;
	void *plan;
	struct vt_cell *cells;
	/* Least core-time and DRAM traffic of one request over all versions: the upper bound. */
	double least_core_ns, least_dram_bytes;
};

struct vt_bank {
	struct vt_machine machine;
	double stretch[VT_STRETCHES];	  /* ascending from 1 */
	double supply_gbps[VT_STRETCHES]; /* of a memory node at that */
	double full_stretch;		  /* from here on it delivers no more */
	double level_stretch[VT_LEVELS];
	uint32_t n_models;
	struct vt_model *sched; /* [n_models], contiguous: the view points at it */
	struct vt_bank_model *models;
};

/** vt_bank_init - an empty bank for @m; 0 or -ENOMEM */
int vt_bank_init(struct vt_bank *b, const struct vt_machine *m);
void vt_bank_fini(struct vt_bank *b);

/**
 * vt_bank_add_net - add a model from its shapes, by the laws of the machine
 * @qos_ns: its target, > 0
 * Returns its index; -EINVAL if the machine cannot hold it, -ENOMEM.
 */
int vt_bank_add_net(struct vt_bank *b, const struct vt_net *net, uint64_t qos_ns, struct vt_err *e);

/** One measured time of a profile. */
struct vt_sampled {
	uint16_t layer, version, level, cores;
	uint64_t ns;
	double dram_bytes; /* < 0: unknown */
};

/**
 * vt_bank_add_samples - add a model from measured times, in any order
 * Every (layer, version) must have a time at the same core counts. Levels that are missing as a
 * whole take the times of the level below: without a measurement there is no interference.
 * Returns its index; -EINVAL with the first hole or contradiction found.
 */
int vt_bank_add_samples(struct vt_bank *b, const char *name, uint64_t qos_ns,
			const struct vt_sampled *s, size_t n, struct vt_err *e);

/**
 * vt_bank_plan - work out the plan of every model
 * @needs: vt_policy.plan_needs of the policies that will run, or-ed
 * Returns 0, -EINVAL or -ENOMEM.
 */
int vt_bank_plan(struct vt_bank *b, uint32_t needs, struct vt_err *e);

/**
 * vt_bank_points - how many core counts of @model's times the machine has
 * One at least: a model of none is refused by vt_bank_plan().
 */
uint32_t vt_bank_points(const struct vt_bank *b, uint32_t model);

/** vt_bank_fastest_ns - @model alone on the idle machine, every layer as fast as it goes */
uint64_t vt_bank_fastest_ns(const struct vt_bank *b, uint32_t model);

/**
 * vt_bank_balance - the stretch at which a memory node delivers what is asked of it
 * @asked_gbps: [VT_STRETCHES], falling: what is asked at each stretch of the grid
 * @step, @part: the grid point below, and how far towards the next one; the top if all is too much
 */
void vt_bank_balance(const struct vt_bank *b, const double *asked_gbps, uint32_t *step,
		     double *part);

/** vt_bank_find - index of the model called @name, or -1 */
int vt_bank_find(const struct vt_bank *b, const char *name);

/** vt_bank_cell - behaviour of one layer; @point indexes model->points, @share 0..VT_SHARES-1 */
static inline const struct vt_cell *vt_bank_cell(const struct vt_bank *b, unsigned int model,
						 unsigned int layer, unsigned int version,
						 unsigned int point, unsigned int share)
{
	const struct vt_bank_model *m = &b->models[model];
	const struct vt_model *s = &b->sched[model];

	return &m->rows[m->row_of[layer]]
			.cells[((size_t)version * s->n_points + point) * VT_SHARES + share];
}

#endif
