/* SPDX-License-Identifier: Apache-2.0 */
/* rank.h - the k smallest of n keys, in order. Internal to sched/. Pure.
 *
 * With 1000 requests waiting and at most a few dozen starts per decision, ranking only the k most
 * urgent costs one compare per request instead of a sort.
 */
#ifndef VT_SCHED_RANK_H
#define VT_SCHED_RANK_H

#include <stdbool.h>
#include <stdint.h>

#define VT_RANK_MAX 64u

struct vt_ranked {
	uint64_t key;
	uint32_t index; /* breaks ties: the smaller index is more urgent */
	uint32_t pad;
};

/** A heap whose root is the largest kept key. Starts empty: n = 0. */
struct vt_rank {
	uint32_t n, cap; /* cap <= VT_RANK_MAX */
	struct vt_ranked at[VT_RANK_MAX];
};

/** vt_rank_init - empty, for the @cap smallest; at most VT_RANK_MAX */
static inline void vt_rank_init(struct vt_rank *r, uint32_t cap)
{
	r->n = 0;
	r->cap = cap < VT_RANK_MAX ? cap : VT_RANK_MAX;
}

/** vt_rank_full_above - can @key no longer enter? One compare: test it before doing more work */
static inline bool vt_rank_full_above(const struct vt_rank *r, uint64_t key)
{
	return r->n == r->cap && key >= r->at[0].key;
}

/** vt_rank_put - keep (@key, @index) if it is among the cap smallest; call in order of index */
void vt_rank_put(struct vt_rank *r, uint64_t key, uint32_t index);

/** vt_rank_sort - order at[0 .. n) ascending; no put after that */
void vt_rank_sort(struct vt_rank *r);

#endif
