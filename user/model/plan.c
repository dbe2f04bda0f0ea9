// SPDX-License-Identifier: Apache-2.0
/*
 * plan.c - where each tensor lives in the arena. The largest tensor first, each at the lowest
 * offset at which no tensor that lives at the same time lies: for the graphs of neural networks
 * this comes close to the lower bound, the largest sum of what is alive at one node.
 */
#include "model/plan.h"

#include <stdlib.h>

void vt_plan_lives(const struct vt_graph *g, struct vt_life *lives)
{
	for (int t = 0; t < g->n_tensors; t++)
		lives[t] = (struct vt_life){g->n_nodes, VT_BEFORE_ALL - 1};
	for (int i = 0; i < g->n_inputs; i++)
		lives[g->inputs[i]] = (struct vt_life){VT_BEFORE_ALL, VT_BEFORE_ALL};
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->nodes[i];

		for (int k = 0; k < n->n_out; k++)
			if (n->out[k] >= 0)
				lives[n->out[k]] = (struct vt_life){i, i};
		for (int k = 0; k < n->n_in; k++)
			if (n->in[k] >= 0)
				lives[n->in[k]].last = i;
		if (n->epi.residual >= 0)
			lives[n->epi.residual].last = i;
	}
	for (int i = 0; i < g->n_outputs; i++)
		lives[g->outputs[i]].last = g->n_nodes;
	for (int t = 0; t < g->n_tensors; t++) {
		int root = g->tensors[t].view_of;

		if (root < 0)
			continue;
		lives[root].first =
			lives[t].first < lives[root].first ? lives[t].first : lives[root].first;
		lives[root].last =
			lives[t].last > lives[root].last ? lives[t].last : lives[root].last;
	}
}

/* ---- offsets ------------------------------------------------------------------------------ */

struct block {
	int tensor;
	size_t bytes, off;
	struct vt_life life;
};

static int larger_first(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes > y->bytes ? -1 : 1;
	if (x->life.first != y->life.first)
		return x->life.first < y->life.first ? -1 : 1;
	return x->tensor < y->tensor ? -1 : 1;
}

static bool together(const struct vt_life *a, const struct vt_life *b)
{
	return a->first <= b->last && b->first <= a->last;
}

/* @placed is sorted by offset. The smallest gap that holds @b, or the end of what is in its way. */
static size_t lowest_fit(const struct block *placed, int n, const struct block *b)
{
	size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX;

	for (int i = 0; i < n; i++) {
		if (!together(&placed[i].life, &b->life))
			continue;
		if (placed[i].off >= end + b->bytes && placed[i].off - end < best_gap) {
			best_gap = placed[i].off - end;
			best = end;
		}
		if (placed[i].off + placed[i].bytes > end)
			end = placed[i].off + placed[i].bytes;
	}
	return best != SIZE_MAX ? best : end;
}

static void insert_sorted(struct block *placed, int n, struct block b)
{
	for (; n > 0 && placed[n - 1].off > b.off; n--)
		placed[n] = placed[n - 1];
	placed[n] = b;
}

static bool owns_memory(const struct vt_graph *g, int t, const struct vt_life *life)
{
	return g->tensors[t].kind != VT_T_CONST && g->tensors[t].view_of < 0 &&
	       life->last >= life->first;
}

static int place_all(struct vt_graph *g, const struct vt_life *lives, struct block *blocks,
		     struct block *placed, struct vt_err *e)
{
	int n = 0;

	for (int t = 0; t < g->n_tensors; t++) {
		size_t bytes = vt_tensor_bytes(&g->tensors[t]) + VT_SLACK + VT_ALIGN - 1;

		if (owns_memory(g, t, &lives[t]))
			blocks[n++] = (struct block){t, bytes / VT_ALIGN * VT_ALIGN, 0, lives[t]};
	}
	qsort(blocks, (size_t)n, sizeof(*blocks), larger_first);
	g->arena_bytes = 0;
	for (int i = 0; i < n; i++) {
		size_t end;

		blocks[i].off = lowest_fit(placed, i, &blocks[i]);
		if (__builtin_add_overflow(blocks[i].off, blocks[i].bytes, &end) ||
		    end > SIZE_MAX / 2)
			return vt_fail(e, -EOVERFLOW, "activations do not fit the address space");
		insert_sorted(placed, i, blocks[i]);
		g->tensors[blocks[i].tensor].arena_off = blocks[i].off;
		g->arena_bytes = end > g->arena_bytes ? end : g->arena_bytes;
	}
	return 0;
}

int vt_plan_memory(struct vt_graph *g, struct vt_err *e)
{
	size_t n = (size_t)g->n_tensors + 1;
	struct vt_life *lives;
	struct block *blocks, *placed;
	int rc = vt_plan_views(g, e);

	if (rc)
		return rc;
	lives = malloc(n * sizeof(*lives));
	blocks = malloc(n * sizeof(*blocks));
	placed = malloc(n * sizeof(*placed));
	if (lives && blocks && placed) {
		vt_plan_lives(g, lives);
		rc = place_all(g, lives, blocks, placed, e);
	} else {
		rc = vt_fail(e, -ENOMEM, "no memory to plan %d tensors", g->n_tensors);
	}
	free(lives);
	free(blocks);
	free(placed);
	return rc ? rc : vt_plan_check(g, e);
}
