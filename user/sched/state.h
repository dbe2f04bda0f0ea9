/* SPDX-License-Identifier: Apache-2.0 */
/* state.h - the state all our policies share: their traits and the caller's choices. Internal. */
#ifndef VT_SCHED_STATE_H
#define VT_SCHED_STATE_H

#include "sched/plan.h"
#include "sched/policy.h"
#include "sched/rank.h"
#include "sched/turn.h"

/** What tells the policies of one family apart: data, not branches on names. */
struct vt_traits {
	uint32_t needs;		     /* plan_needs */
	uint8_t code;		     /* enum vt_plan_code */
	uint8_t use_level;	     /* plan with the present pressure, or as if idle */
	uint8_t grain, coarse_grain; /* enum vt_grain: with many, with few free cores */
	uint8_t whole_machine;	     /* fcfs: all cores rather than the fewest that do */
	uint8_t by_deadline;	     /* fcfs: earliest deadline rather than first come */
};

struct vt_policy_state {
	struct vt_policy_cfg cfg;
	const struct vt_traits *traits;
	struct vt_rank rank, late, busy;
};

size_t vt_policy_state_size(const struct vt_policy_cfg *cfg);
int vt_policy_state_init(const struct vt_policy *p, void *state, const struct vt_policy_cfg *cfg);

void vt_fcfs_decide(void *state, const struct vt_view *view, struct vt_decision *ret);
void vt_prema_decide(void *state, const struct vt_view *view, struct vt_decision *ret);
void vt_planaria_decide(void *state, const struct vt_view *view, struct vt_decision *ret);
void vt_blocks_decide(void *state, const struct vt_view *view, struct vt_decision *ret);

#endif
