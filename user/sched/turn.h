/* SPDX-License-Identifier: Apache-2.0 */
/* turn.h - one decision in the making: what is still free, and checked ways to write actions.
 *
 * Internal to sched/. Pure. Every policy writes its actions through here, so the guarantees of
 * policy.h (free cores only, each once; valid layers; capacities) hold by construction.
 */
#ifndef VT_SCHED_TURN_H
#define VT_SCHED_TURN_H

#include <stdbool.h>

#include "sched/plan.h"
#include "sched/policy.h"

/* Of a core, what a polite helper brings at most on one that somebody else wants all of (exec/avail.h). */
#define VT_POLITE_PPM 400000u

struct vt_turn {
	const struct vt_view *view;
	struct vt_decision *ret;
	uint32_t needs; /* plan_needs of the policy: requests whose model lacks them are skipped */
	uint32_t n_domains, n_cores, n_free;
	uint32_t n_usable;     /* cores that are not left out */
	uint32_t n_blocks;     /* of the view, at most VT_SCHED_MAX_CORES */
	uint64_t pressure_sum; /* over the cores that place() took last */
	struct vt_coreset free;
	struct vt_coreset out;	/* left out of free: taken cores, after vt_turn_leave_taken() */
	struct vt_coreset slow; /* of them, those that run nothing */
	uint16_t dom_free[VT_MAX_DOMAINS];
};

/** vt_turn_begin - empty the decision, find the free cores */
void vt_turn_begin(struct vt_turn *t, const struct vt_view *view, struct vt_decision *ret,
		   uint32_t needs);

/**
 * vt_turn_leave_out - from now on taken cores are not free: no block begins there, none grows there
 * If all cores are taken, none is left out. Returns whether any is.
 */
bool vt_turn_leave_out(struct vt_turn *t);

/** vt_turn_leave_taken - gangs that are led from a core that is left out stop at their next layer, and wait again */
void vt_turn_leave_taken(struct vt_turn *t);

/** vt_turn_leads - the core that leads a running block */
static inline unsigned int vt_turn_leads(const struct vt_block *b)
{
	return vt_coreset_has(&b->cores, b->leader) ? b->leader
						    : (unsigned int)vt_coreset_next(&b->cores, 0);
}

/** vt_turn_keeps - the cores of a running block that it can count on: without those left out */
static inline struct vt_coreset vt_turn_keeps(const struct vt_turn *t, const struct vt_block *b)
{
	struct vt_coreset s = b->cores;

	vt_coreset_sub(&s, &t->out);
	return s;
}

/** vt_turn_slow_ns - a model from @layer to its end on one taken core that nobody else of us has, with a reserve */
uint64_t vt_turn_slow_ns(const struct vt_turn *t, const struct vt_plan *p, uint8_t code,
			 uint8_t level, unsigned int layer);

/** vt_turn_model - the model of a request or block; NULL if the view does not hold a usable one */
static inline const struct vt_model *vt_turn_model(const struct vt_turn *t, uint32_t model)
{
	const struct vt_model *m;

	if (model >= t->view->n_models)
		return NULL;
	m = &t->view->models[model];
	return m->plan && (m->plan->needs & t->needs) == t->needs ? m : NULL;
}

/**
 * vt_turn_known - the model of a waiting request that has an operator instance, else NULL
 * Cheaper than vt_turn_ready(): it does not touch the plan, only knows that there is one.
 */
static inline const struct vt_model *vt_turn_known(const struct vt_turn *t,
						   const struct vt_request *r)
{
	const struct vt_model *m;

	if (r->model >= t->view->n_models || r->instances_busy)
		return NULL;
	m = &t->view->models[r->model];
	return m->fastest_ns ? m : NULL;
}

/** vt_turn_ready - the model of a waiting request that may start now, else NULL */
static inline const struct vt_model *vt_turn_ready(const struct vt_turn *t,
						   const struct vt_request *r)
{
	const struct vt_model *m = vt_turn_model(t, r->model);

	return m && !r->instances_busy && r->next_layer < m->n_layers ? m : NULL;
}

/** What vt_turn_start() shall start. */
struct vt_start {
	uint32_t request;  /* position in view.requests */
	uint16_t end;	   /* block is [next_layer, end) */
	uint16_t wanted;   /* demand */
	uint16_t cores;	   /* to grant, 1 .. n_free */
	uint8_t code;	   /* enum vt_plan_code: which versions */
	uint8_t use_level; /* 0: plan as if the machine were idle */
	uint8_t slow;	   /* != 0: on one of t->slow instead; cores is 1 */
	uint16_t helpers;  /* so many of t->slow help, if there are any in the same LLC domains */
};

/** vt_turn_start - place and write a START; false (nothing written) if it does not fit */
bool vt_turn_start(struct vt_turn *t, const struct vt_start *s);

/** Another grant for view.blocks[@block]; its layers that have not begun get the code for it. */
struct vt_regrant {
	uint32_t block;
	uint16_t cores;	 /* that join or leave */
	uint16_t wanted; /* grow: its new total demand */
	uint8_t code;	 /* enum vt_plan_code; VT_PLAN_SOLO: all layers keep theirs */
	uint8_t level;	 /* that the code is for */
	uint8_t slow;	 /* grow: by cores of t->slow; the block's code stays as it is */
};

/** vt_turn_grow - some of the free cores join the block */
bool vt_turn_grow(struct vt_turn *t, const struct vt_regrant *g);

/** vt_turn_shrink - some of its cores leave the block; at least one stays */
bool vt_turn_shrink(struct vt_turn *t, const struct vt_regrant *g);

bool vt_turn_preempt(struct vt_turn *t, uint32_t block);

/** vt_turn_shed - @level: that it was planned for and found hopeless */
bool vt_turn_shed(struct vt_turn *t, uint32_t request, unsigned int level);

/** vt_turn_level - pressure level of the free cores, weighted by domain: where a start would land */
uint8_t vt_turn_level(const struct vt_turn *t);

/** vt_turn_slack - nanoseconds until @deadline_ns, 0 if past */
static inline uint64_t vt_turn_slack(const struct vt_turn *t, uint64_t deadline_ns)
{
	return deadline_ns > t->view->now_ns ? deadline_ns - t->view->now_ns : 0;
}

/* Part of the slack kept for what the profile does not know, unless less has been seen, ppm. */
#define VT_TURN_MARGIN_PPM 50000u

/** vt_turn_margin - what is left of a slack without the part kept for surprises, ns; @ppm: or 0 */
static inline uint64_t vt_turn_margin(const struct vt_turn *t, uint32_t ppm, uint64_t slack_ns)
{
	uint32_t known = t->view->margin_ppm;

	if (!ppm)
		ppm = known && known < VT_TURN_MARGIN_PPM ? known : VT_TURN_MARGIN_PPM;
	return slack_ns - slack_ns / VT_PPM * ppm - slack_ns % VT_PPM * ppm / VT_PPM;
}

#endif
