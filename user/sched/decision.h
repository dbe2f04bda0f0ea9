/* SPDX-License-Identifier: Apache-2.0 */
/* decision.h - what a policy answers: a list of actions. Pure.
 *
 * The plant applies the actions in order. Memory is the caller's; a policy never writes past the
 * capacities, and what does not fit is decided again at the next step. Padding is zeroed, so two
 * decisions are equal if their actions and versions compare equal by memcmp.
 */
#ifndef VT_SCHED_DECISION_H
#define VT_SCHED_DECISION_H

#include <stdint.h>

#include "sched/coreset.h"

enum vt_action_kind {
	/*
	 * Run layers [layer_begin, layer_end) of waiting request `id` on `cores`, all of them free.
	 * versions[version_at + i] is the code of layer layer_begin + i.
	 * The block is a conflict if count(cores) < wanted.
	 */
	VT_START = 1,
	/*
	 * Running block of `id`: `cores` (free) join, or (part of it, not all) leave at the next chunk
	 * boundary; those that leave are free in the view after that. versions[version_at + i] is the
	 * code of layer layer_begin + i from now on; a layer that has begun by then keeps its own.
	 * layer_begin == layer_end: all keep theirs.
	 */
	VT_GROW,
	VT_SHRINK,
	VT_PREEMPT, /* running block of `id` stops at its next layer boundary, its request waits
		       again with the progress made */
	VT_SHED,    /* waiting request `id` is refused: answer it with an error, forget it */
};

struct vt_action {
	uint64_t id;	    /* of the request */
	uint64_t expect_ns; /* START: how long the policy expects the block to run; else 0 */
	struct vt_coreset cores;
	uint32_t index; /* hint: position in view.requests (START, SHED) or view.blocks (others) */
	uint32_t version_at;
	uint16_t layer_begin, layer_end;
	uint16_t wanted; /* START: cores the block demands; GROW: its new total demand */
	uint8_t kind;	 /* enum vt_action_kind */
	uint8_t level;	 /* the level that versions and demand were chosen for, or a refusal */
	uint64_t pad;
};
_Static_assert(sizeof(struct vt_action) == 72, "no hidden padding: compared by memcmp");

struct vt_decision {
	uint32_t n_actions, cap_actions;
	uint32_t n_versions, cap_versions;
	struct vt_action *actions;
	uint8_t *versions;
	uint64_t wake_ns; /* call again then at the latest, even without an event; 0: no need */
};

#endif
