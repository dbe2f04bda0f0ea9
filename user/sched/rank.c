// SPDX-License-Identifier: Apache-2.0
#include "sched/rank.h"

/* As one number, so that a comparison is two instructions and no jump that nobody foresees. */
static unsigned __int128 order(const struct vt_ranked *x)
{
	return (unsigned __int128)x->key << 64 | x->index;
}

static bool after(const struct vt_ranked *a, const struct vt_ranked *b)
{
	return order(a) > order(b);
}

static void sink(struct vt_ranked *at, uint32_t n, uint32_t i)
{
	struct vt_ranked x = at[i];

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c >= n)
			break;
		if (c + 1 < n)
			c += after(&at[c + 1], &at[c]);
		if (!after(&at[c], &x))
			break;
		at[i] = at[c];
		i = c;
	}
	at[i] = x;
}

void vt_rank_put(struct vt_rank *r, uint64_t key, uint32_t index)
{
	struct vt_ranked x = {.key = key, .index = index};
	uint32_t i;

	if (!r->cap)
		return;
	if (r->n == r->cap) {
		if (!after(&r->at[0], &x))
			return;
		r->at[0] = x;
		sink(r->at, r->n, 0);
		return;
	}
	for (i = r->n++; i && after(&x, &r->at[(i - 1) / 2]); i = (i - 1) / 2)
		r->at[i] = r->at[(i - 1) / 2];
	r->at[i] = x;
}

void vt_rank_sort(struct vt_rank *r)
{
	for (uint32_t n = r->n; n > 1; n--) {
		struct vt_ranked x = r->at[0];

		r->at[0] = r->at[n - 1];
		r->at[n - 1] = x;
		sink(r->at, n - 1, 0);
	}
}
