/* SPDX-License-Identifier: Apache-2.0 */
/* heap.h - event heap: the earliest of a changing set of times. Pure, caller's memory.
 *
 * A binary heap of slot numbers with the slot's place kept beside it, so that a time can change
 * while it waits: a running block ends later when a neighbour starts.
 */
#ifndef VT_SIM_HEAP_H
#define VT_SIM_HEAP_H

#include <stdint.h>

struct vt_heap {
	uint32_t n;
	uint64_t *key;	/* [cap] by slot */
	uint32_t *slot; /* [cap] by place */
	uint32_t *at;	/* [cap] place by slot */
};

static inline void vt_heap_put(struct vt_heap *h, uint32_t place, uint32_t slot)
{
	h->slot[place] = slot;
	h->at[slot] = place;
}

static inline void vt_heap_up(struct vt_heap *h, uint32_t place, uint32_t slot)
{
	while (place) {
		uint32_t up = (place - 1) / 2;

		if (h->key[h->slot[up]] <= h->key[slot])
			break;
		vt_heap_put(h, place, h->slot[up]);
		place = up;
	}
	vt_heap_put(h, place, slot);
}

static inline void vt_heap_down(struct vt_heap *h, uint32_t place, uint32_t slot)
{
	for (;;) {
		uint32_t kid = 2 * place + 1;

		if (kid >= h->n)
			break;
		if (kid + 1 < h->n && h->key[h->slot[kid + 1]] < h->key[h->slot[kid]])
			kid++;
		if (h->key[slot] <= h->key[h->slot[kid]])
			break;
		vt_heap_put(h, place, h->slot[kid]);
		place = kid;
	}
	vt_heap_put(h, place, slot);
}

/** vt_heap_add - @slot is not in the heap */
static inline void vt_heap_add(struct vt_heap *h, uint32_t slot, uint64_t key)
{
	h->key[slot] = key;
	vt_heap_up(h, h->n++, slot);
}

/** vt_heap_move - change the key of @slot, which is in the heap */
static inline void vt_heap_move(struct vt_heap *h, uint32_t slot, uint64_t key)
{
	uint64_t old = h->key[slot];

	h->key[slot] = key;
	if (key < old)
		vt_heap_up(h, h->at[slot], slot);
	else
		vt_heap_down(h, h->at[slot], slot);
}

/** vt_heap_del - take @slot out */
static inline void vt_heap_del(struct vt_heap *h, uint32_t slot)
{
	uint32_t place = h->at[slot], last = h->slot[--h->n];

	if (last == slot)
		return;
	if (h->key[last] < h->key[slot])
		vt_heap_up(h, place, last);
	else
		vt_heap_down(h, place, last);
}

/** vt_heap_min_key - the earliest key, UINT64_MAX if empty */
static inline uint64_t vt_heap_min_key(const struct vt_heap *h)
{
	return h->n ? h->key[h->slot[0]] : UINT64_MAX;
}

#endif
