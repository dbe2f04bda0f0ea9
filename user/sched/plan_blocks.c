// SPDX-License-Identifier: Apache-2.0
/*
 * Where a model is cut into blocks, and how many cores each block gets.
 *
 * FINE and COARSE walk the layers from the last to the first and keep, for every core count p, the
 * least cost of running layer l .. end if layer l runs on p:
 *
 *     f[l][p] = (cores[p] + lambda) * ns[l][p] + min( f[l+1][p],                 the block goes on
 *                                                     min over q of open[l+1][q] )   or is cut
 *     open[l][q] = f[l][q] + kappa * cores[q] + (cores[q] + lambda) * wake[q]
 *
 * This is the best segmentation and the best counts together, in layers x counts steps. kappa is
 * what handing one core to a new block costs. It is the paper's dynamic threshold put as a price:
 * where cores are scarce, a demand that is not met is dear, so fewer and longer blocks win.
 */
#include "sched/plan_blocks.h"

/* Cost of a core that changes hands, ns: a futex wake is a few microseconds; a conflict far more. */
#define KAPPA_FINE_NS	25000u
#define KAPPA_COARSE_NS 30000u

static uint64_t open_ns(const struct vt_cut *c, unsigned int point)
{
	return c->plan->open_ns + (uint64_t)c->plan->open_core_ns * c->plan->points[point];
}

static uint64_t layer_ns(const struct vt_cut *c, unsigned int point, unsigned int begin,
			 unsigned int end)
{
	const uint64_t *r = &c->rest[point];
	size_t n = c->plan->n_points;

	return r[begin * n] - r[end * n];
}

/* Sixteenths of core-ns that layers [begin, end) cost on a point. */
static uint64_t priced(const struct vt_cut *c, unsigned int point, unsigned int begin,
		       unsigned int end)
{
	return (16u * c->plan->points[point] + c->lambda_16) * layer_ns(c, point, begin, end);
}

static unsigned int cheapest(const struct vt_cut *c, unsigned int begin, unsigned int end)
{
	unsigned int best = 0;
	uint64_t least = UINT64_MAX;

	for (unsigned int p = 0; p < c->plan->n_points; p++) {
		uint64_t x = priced(c, p, begin, end);

		if (x < least) {
			least = x;
			best = p;
		}
	}
	return best;
}

static struct vt_plan_cell *cell_at(const struct vt_cut *c, unsigned int layer)
{
	return &c->cells[(size_t)layer * VT_URGENCIES + c->urgency];
}

/* Write the cell of a block [layer, end); the cell at `end` must be there already. */
static void put(const struct vt_cut *c, unsigned int layer, unsigned int end, unsigned int point)
{
	struct vt_plan_cell *cell = cell_at(c, layer);
	uint64_t ns = layer_ns(c, point, layer, end) + open_ns(c, point);
	uint64_t core_us = (ns * c->plan->points[point] + 999) / 1000;

	*cell = (struct vt_plan_cell){
		.rest_ns = ns, .end = (uint16_t)end, .point = (uint16_t)point};
	if (end < c->plan->n_layers) {
		cell->rest_ns += cell_at(c, end)->rest_ns;
		core_us += cell_at(c, end)->rest_core_us;
	}
	cell->rest_core_us = core_us < UINT32_MAX ? (uint32_t)core_us : UINT32_MAX;
}

static void cut_path(const struct vt_cut *c, uint64_t kappa_ns)
{
	unsigned int n = c->plan->n_points, layers = c->plan->n_layers;
	uint64_t cut = 0; /* least cost of a new block that opens at the layer after this one */

	for (unsigned int p = 0; p < n; p++) {
		c->cost[p] = 0;
		c->until[p] = (uint16_t)layers;
	}
	for (unsigned int l = layers; l-- > 0;) {
		uint64_t open = UINT64_MAX;
		unsigned int best = 0;

		for (unsigned int p = 0; p < n; p++) {
			uint64_t opened;

			if (cut < c->cost[p]) {
				c->cost[p] = cut;
				c->until[p] = (uint16_t)(l + 1);
			}
			c->cost[p] += priced(c, p, l, l + 1);
			opened = c->cost[p] + 16u * kappa_ns * c->plan->points[p] +
				 (16u * c->plan->points[p] + c->lambda_16) * open_ns(c, p);
			if (opened < open) {
				open = opened;
				best = p;
			}
		}
		cut = open;
		put(c, l, c->until[best], best);
	}
}

static void cut_layers(const struct vt_cut *c)
{
	for (unsigned int l = c->plan->n_layers; l-- > 0;)
		put(c, l, l + 1, cheapest(c, l, l + 1));
}

static void cut_model(const struct vt_cut *c)
{
	for (unsigned int l = c->plan->n_layers; l-- > 0;)
		put(c, l, c->plan->n_layers, cheapest(c, l, c->plan->n_layers));
}

/*
 * The paper's rule: a layer whose demand exceeds the model's mean by a threshold opens a block.
 * Mean over the whole model, weighted by time, so that many tiny layers do not outvote the long ones.
 */
static void cut_pivots(const struct vt_cut *c, unsigned int threshold_percent)
{
	unsigned int layers = c->plan->n_layers, end = layers;
	uint64_t time = 0, core_time = 0;

	for (unsigned int l = 0; l < layers; l++) {
		unsigned int p = cheapest(c, l, l + 1);
		uint64_t ns = layer_ns(c, p, l, l + 1);

		time += ns;
		core_time += ns * c->plan->points[p];
	}
	for (unsigned int l = layers; l-- > 0;) {
		unsigned int p = cheapest(c, l, l + 1);
		uint64_t demand = c->plan->points[p] * 100ull;

		put(c, l, end, cheapest(c, l, end));
		if (demand * time > core_time * threshold_percent)
			end = l; /* a pivot opens a block: what comes before ends here */
	}
}

void vt_cut_blocks(const struct vt_cut *c)
{
	switch (c->grain) {
	case VT_GRAIN_LAYER:
		cut_layers(c);
		break;
	case VT_GRAIN_FINE:
		cut_path(c, KAPPA_FINE_NS);
		break;
	case VT_GRAIN_COARSE:
		cut_path(c, KAPPA_COARSE_NS);
		break;
	case VT_GRAIN_MODEL:
		cut_model(c);
		break;
	case VT_GRAIN_PIVOT_FINE:
		cut_pivots(c, 125);
		break;
	default:
		cut_pivots(c, 200);
	}
}
