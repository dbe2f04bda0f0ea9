/* SPDX-License-Identifier: Apache-2.0 */
/* explain.h - why a decision was taken, in 80 bytes per action. Pure.
 *
 * Derived from the sample and the decision alone, so the simulator, a live run and a replay explain
 * alike, and a policy need not know that it is being watched.
 */
#ifndef VT_LOOP_EXPLAIN_H
#define VT_LOOP_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include "loop/plant.h"

/** One action and its reasons. For bpftool struct vt_decided shows the same (docs/abi.md). */
struct vt_reason {
	uint64_t now_ns;  /* plant's clock */
	uint64_t id;	  /* of the request */
	int64_t slack_ns; /* deadline - now; negative: late already */
	/*
	 * Time the rest of the model would need, at this level, on those of the cores granted that others have not
	 * taken; SHED: at least, on all usable ones
	 */
	uint64_t rest_ns;
	uint64_t waited_ns; /* START, SHED: since it was ready; 0 of what runs */
	uint32_t model, tenant;
	uint32_t pressure_ppm;	 /* highest of the domains granted; without a grant, of all */
	uint32_t confidence_ppm; /* of that estimate */
	uint32_t waiting;	 /* requests that waited when it was decided */
	uint16_t layer_begin, layer_end; /* START: of the block; else what is left of it */
	uint16_t wanted;		 /* cores demanded */
	uint16_t granted;		 /* cores it has from now on; SHED: 0 */
	uint16_t free;			 /* cores free before this action, taken ones among them */
	uint16_t other_versions; /* START: layers whose version is not the one fastest alone */
	uint16_t taken;		 /* cores of the machine that others largely use */
	uint16_t usable;	 /* cores a plan counts on: the others; all, if all are taken */
	uint8_t kind;		 /* enum vt_action_kind */
	uint8_t level;	 /* of pressure that it was planned for; 0 if the policy does not look */
	uint8_t sources; /* of the pressure, enum vt_pressure_source: who runs the loop writes it */
	uint8_t pad;
};
_Static_assert(sizeof(struct vt_reason) == 80, "copied as words of 64 bits");

/**
 * vt_explain - reasons of at most @len actions of @d, the first is that at @from; returns their number
 * @s: the sample that @d was made from, its pressure filled in
 * Fields of a target that @s does not hold are 0.
 */
size_t vt_explain(const struct vt_sample *s, const struct vt_decision *d, size_t from,
		  struct vt_reason *ret, size_t len);

/** vt_reason_action - "start"; static text, "?" for what is no kind of action */
const char *vt_reason_action(uint8_t kind);

/** vt_reason_source - what a pressure rests on: "counters+slowdown", "first guess"; static text */
const char *vt_reason_source(uint8_t sources);

#endif
