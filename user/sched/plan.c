// SPDX-License-Identifier: Apache-2.0
#include "sched/plan.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "sched/plan_blocks.h"

/*
 * lambda in sixteenths of a core: 0, then steps of about the square root of two from an eighth of a
 * core to 256 cores, then "as fast as possible".
 */
static const uint32_t lambda_16[VT_URGENCIES] = {
	0,   2,	  4,   6,   8,	 12,  16,   24,	  32,	48,   64,    96,
	128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 16384, 1u << 20,
};

/* Hands out parts of the caller's memory; with mem == NULL it only adds up. */
struct arena {
	char *mem;
	size_t used;
};

static void *take(struct arena *a, size_t count, size_t size)
{
	size_t at = (a->used + 63) & ~(size_t)63;

	a->used = at + count * size;
	return a->mem ? a->mem + at : NULL;
}

static bool needs_code(uint32_t needs, unsigned int code)
{
	return needs >> (code * VT_PLAN_GRAINS) & ((1u << VT_PLAN_GRAINS) - 1);
}

struct layout {
	struct vt_plan *plan;
	uint8_t *best;
	uint64_t *rest[VT_PLAN_CODES];
	uint16_t *fastest;
	struct vt_plan_cell *cells[VT_PLAN_CODES][VT_PLAN_GRAINS];
	struct vt_plan_row *rows[VT_PLAN_CODES][VT_PLAN_GRAINS];
	uint64_t *cost;
	uint16_t *until;
};

static void lay_out(struct arena *a, struct layout *o, const struct vt_model *m, size_t n_points,
		    uint32_t needs)
{
	size_t rows = VT_LEVELS * n_points;

	o->plan = take(a, 1, sizeof(*o->plan));
	o->best = take(a, rows * m->n_layers, 1);
	o->fastest = take(a, m->n_layers, sizeof(*o->fastest));
	o->cost = take(a, n_points, sizeof(*o->cost));
	o->until = take(a, n_points, sizeof(*o->until));
	for (unsigned int c = 0; c < VT_PLAN_CODES; c++) {
		/* The solo times are always there: every baseline plans with them. */
		o->rest[c] = NULL;
		if (c == VT_PLAN_SOLO || needs_code(needs, c))
			o->rest[c] = take(a, rows * (m->n_layers + 1u), sizeof(uint64_t));
		for (unsigned int g = 0; g < VT_PLAN_GRAINS; g++) {
			size_t n = (size_t)VT_LEVELS * m->n_layers;

			o->cells[c][g] = NULL;
			o->rows[c][g] = NULL;
			if (!(needs & VT_PLAN(c, g)))
				continue;
			o->cells[c][g] = take(a, n * VT_URGENCIES, sizeof(struct vt_plan_cell));
			o->rows[c][g] = take(a, n, sizeof(struct vt_plan_row));
		}
	}
}

size_t vt_plan_size(const struct vt_model *m, uint32_t needs)
{
	struct arena a = {0};
	struct layout o;

	lay_out(&a, &o, m, m->n_points, needs);
	return (a.used + 63) & ~(size_t)63;
}

/*
 * The fastest version on just this core count: another grant brings other versions. The one that is
 * fastest alone is kept unless another beats it by HARDLY_PERCENT.
 */
#define HARDLY_PERCENT 1u

static uint8_t best_version(const struct vt_model *m, unsigned int layer, unsigned int level,
			    unsigned int point)
{
	uint64_t least = vt_model_ns(m, layer, 0, level, point) * 100 / (100 + HARDLY_PERCENT);
	unsigned int best = 0;

	for (unsigned int v = 1; v < m->n_versions; v++) {
		uint64_t ns = vt_model_ns(m, layer, v, level, point);

		if (ns && ns < least) {
			least = ns;
			best = v;
		}
	}
	return (uint8_t)best;
}

static void fill_best(const struct vt_model *m, const struct layout *o)
{
	uint8_t *b = o->best;

	for (unsigned int s = 0; s < VT_LEVELS; s++)
		for (unsigned int p = 0; p < o->plan->n_points; p++)
			for (unsigned int l = 0; l < m->n_layers; l++)
				*b++ = best_version(m, l, s, p);
}

static void fill_rest(const struct vt_model *m, const struct layout *o, unsigned int code)
{
	size_t n = o->plan->n_points, layers = m->n_layers;

	for (unsigned int s = 0; s < VT_LEVELS; s++) {
		uint64_t *r = o->rest[code] + s * (layers + 1) * n;
		const uint8_t *b = &o->best[s * n * layers];

		memset(r + layers * n, 0, n * sizeof(*r));
		for (unsigned int l = m->n_layers; l-- > 0;)
			for (unsigned int p = 0; p < n; p++) {
				unsigned int v = code == VT_PLAN_ADAPTIVE ? b[p * layers + l] : 0;

				r[l * n + p] = r[(l + 1) * n + p] + vt_model_ns(m, l, v, s, p);
			}
	}
}

static void fill_fastest(const struct layout *o)
{
	for (unsigned int l = 0; l < o->plan->n_layers; l++) {
		const uint64_t *r = vt_plan_rest(o->plan, VT_PLAN_SOLO, 0, l);
		unsigned int best = 0;

		for (unsigned int p = 1; p < o->plan->n_points; p++)
			if (r[p] < r[best])
				best = p;
		o->fastest[l] = (uint16_t)best;
	}
}

/* Bisection by urgency needs "more urgent is never slower"; the pivot rule does not promise it. */
static void make_monotone(struct vt_plan_cell *cells, size_t n_layers)
{
	for (size_t l = 0; l < n_layers; l++, cells += VT_URGENCIES)
		for (unsigned int u = 1; u < VT_URGENCIES; u++)
			if (cells[u].rest_ns > cells[u - 1].rest_ns)
				cells[u] = cells[u - 1];
}

static void fill_row(struct vt_plan_row *row, const struct vt_plan_cell *cells)
{
	uint64_t most = cells[0].rest_core_us;

	most += most * VT_NEARLY_FREE_PERCENT / 100;
	*row = (struct vt_plan_row){.nearly_free = 0};
	for (unsigned int u = 0; u < VT_URGENCIES; u++) {
		uint64_t us = (cells[u].rest_ns + 999) / 1000;

		row->rest_us[u] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
		row->point[u] = (uint8_t)cells[u].point;
		if (u == row->nearly_free + 1u && cells[u].rest_core_us <= most)
			row->nearly_free = (uint8_t)u;
	}
}

static void fill_cells(const struct layout *o, unsigned int code, unsigned int grain)
{
	const struct vt_plan *plan = o->plan;
	size_t rest_rows = (size_t)plan->n_points * (plan->n_layers + 1u);
	size_t cells = (size_t)plan->n_layers * VT_URGENCIES;

	for (unsigned int s = 0; s < VT_LEVELS; s++)
		for (unsigned int u = 0; u < VT_URGENCIES; u++)
			vt_cut_blocks(&(struct vt_cut){
				.plan = plan,
				.rest = o->rest[code] + s * rest_rows,
				.grain = grain,
				.lambda_16 = lambda_16[u],
				.urgency = u,
				.cells = o->cells[code][grain] + s * cells,
				.cost = o->cost,
				.until = o->until,
			});
	make_monotone(o->cells[code][grain], (size_t)VT_LEVELS * plan->n_layers);
	for (size_t i = 0; i < (size_t)VT_LEVELS * plan->n_layers; i++)
		fill_row(&o->rows[code][grain][i], &o->cells[code][grain][i * VT_URGENCIES]);
}

static void set_bounds(struct vt_model *m, unsigned int n_points)
{
	m->fastest_ns = m->least_core_ns = 0;
	for (unsigned int l = 0; l < m->n_layers; l++) {
		uint64_t ns = UINT64_MAX, core_ns = UINT64_MAX;

		for (unsigned int v = 0; v < m->n_versions; v++)
			for (unsigned int p = 0; p < n_points; p++) {
				uint64_t t = vt_model_ns(m, l, v, 0, p);

				if (t && t < ns)
					ns = t;
				if (t && t * m->points[p] < core_ns)
					core_ns = t * m->points[p];
			}
		m->fastest_ns += ns;
		m->least_core_ns += core_ns;
	}
}

int vt_plan_init(struct vt_model *m, unsigned int n_cores, uint32_t needs, void *mem, size_t len)
{
	struct arena a = {.mem = mem};
	struct layout o;
	int last, err = vt_model_check(m, NULL);

	if (err)
		return err;
	last = vt_model_point(m, n_cores);
	if (last < 0)
		return -EINVAL;
	if (!mem || len < vt_plan_size(m, needs))
		return -ENOSPC;
	lay_out(&a, &o, m, (size_t)last + 1, needs);
	*o.plan = (struct vt_plan){
		.needs = needs,
		.n_layers = m->n_layers,
		.n_points = (uint16_t)(last + 1),
		.open_ns = m->open_ns || m->open_core_ns ? m->open_ns : VT_OPEN_NS,
		.open_core_ns = m->open_ns || m->open_core_ns ? m->open_core_ns : VT_OPEN_CORE_NS,
		.points = m->points,
		.best = o.best,
		.fastest = o.fastest,
	};
	fill_best(m, &o);
	for (unsigned int c = 0; c < VT_PLAN_CODES; c++) {
		if (o.rest[c])
			fill_rest(m, &o, c);
		o.plan->rest[c] = o.rest[c];
		for (unsigned int g = 0; g < VT_PLAN_GRAINS; g++) {
			if (o.cells[c][g])
				fill_cells(&o, c, g);
			o.plan->cells[c][g] = o.cells[c][g];
			o.plan->rows[c][g] = o.rows[c][g];
		}
	}
	fill_fastest(&o);
	set_bounds(m, o.plan->n_points);
	m->plan = o.plan;
	return 0;
}

unsigned int vt_plan_point(const struct vt_plan *p, unsigned int cores)
{
	/* The i-th of ascending counts is above i: no need to look beyond. */
	unsigned int i = cores < p->n_points ? cores : p->n_points;

	while (i > 1 && p->points[i - 1] > cores)
		i--;
	return i ? i - 1 : 0;
}

static bool all_solo(const uint8_t *versions, size_t n)
{
	uint8_t any = 0;

	for (size_t i = 0; versions && i < n; i++)
		any |= versions[i];
	return !any;
}

void vt_plan_block_levels(const struct vt_model *m, unsigned int begin, unsigned int end,
			  const uint8_t *versions, unsigned int cores, uint64_t ret[VT_LEVELS])
{
	const struct vt_plan *p = m->plan;
	unsigned int point;

	/* Of a count that the plan does not know, below the first or beyond this machine, the model does. */
	if (!p || !p->rest[VT_PLAN_SOLO] || cores < p->points[0] || end > p->n_layers ||
	    (p->n_points < m->n_points && cores >= p->points[p->n_points]) ||
	    !all_solo(versions, end - begin)) {
		vt_model_block_levels(m, begin, end, versions, cores, ret);
		return;
	}
	point = vt_plan_point(p, cores);
	for (unsigned int s = 0; s < VT_LEVELS; s++)
		ret[s] = vt_plan_ns(p, VT_PLAN_SOLO, s, point, begin, end);
}

unsigned int vt_plan_urgency(uint64_t price)
{
	unsigned int u = 0;

	while (u + 1 < VT_URGENCIES && lambda_16[u + 1] <= price)
		u++;
	return u;
}
