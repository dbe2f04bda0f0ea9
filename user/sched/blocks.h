/* SPDX-License-Identifier: Apache-2.0 */
/* blocks.h - one decision of the block policies in the making. Internal to blocks*.c. Pure. */
#ifndef VT_SCHED_BLOCKS_H
#define VT_SCHED_BLOCKS_H

#include "sched/state.h"

/* Ranked with the waiting requests: a running block. */
#define VT_IS_BLOCK (1u << 31)

/** One request that waits, or one block that runs (then index has VT_IS_BLOCK). */
struct vt_claim {
	const struct vt_plan_row *row; /* ways to go on from its next layer */
	const struct vt_plan *plan;
	uint32_t index;	   /* in view.requests, or in view.blocks | VT_IS_BLOCK */
	uint16_t need;	   /* cores without which it is late */
	uint16_t want;	   /* cores demanded */
	uint16_t held;	   /* cores it has */
	uint16_t due;	   /* cores dealt to it: what it may begin with */
	uint16_t share;	   /* those, and cores lent */
	uint16_t layer;	   /* under way, or next */
	uint32_t done_ppm; /* of it */
	uint64_t slack;	   /* until its deadline, ns */
	uint64_t work_us;  /* core-time of the rest, at its fastest */
	uint64_t end;	   /* from now, if it keeps its share, ns; worked out when asked for */
	uint8_t asked;	   /* urgency of the demand */
	uint8_t urgency;   /* of what it is due, or lent */
	bool on_time;
	bool given_up; /* too much is asked of the machine: it gets its need last, if it waits */
	bool begun;    /* in this decision */
};

struct vt_line {
	uint32_t n, sum; /* sum: of the demands */
	struct vt_claim at[2 * VT_RANK_MAX];
};

struct vt_blocks {
	struct vt_turn t;
	struct vt_policy_state *s;
	const struct vt_traits *tr;
	unsigned int level;
	enum vt_grain grain;
	unsigned int cores; /* free, or held by blocks in the line */
	unsigned int spare;
	uint64_t next_end;   /* of the block that ends first */
	struct vt_rank soon; /* of the line: who has least to do */
	struct vt_line line, late;
};

static inline unsigned int vt_above(unsigned int a, unsigned int b)
{
	return a > b ? a - b : 0;
}

/** vt_blocks_asks - cores without which it is short: its demand, or what it is due beyond */
static inline uint16_t vt_blocks_asks(const struct vt_claim *x)
{
	return x->due > x->want ? x->due : x->want;
}

/** vt_blocks_rest_on - time the rest takes on up to @cores throughout, less what is done of the layer under way */
uint64_t vt_blocks_rest_on(const struct vt_blocks *c, const struct vt_claim *x, unsigned int cores);

/** vt_blocks_share - deal out c->cores: needs, then a speed-up for who ends soonest, then demands */
void vt_blocks_share(struct vt_blocks *c);

/** vt_blocks_lend - and what is spare then, at one price */
void vt_blocks_lend(struct vt_blocks *c);

#endif
