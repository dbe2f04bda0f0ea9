// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_costs.h"

#include <stdlib.h>
#include <string.h>

#define COST_RUNS 5u

/** Core counts to plan for: powers of two, and all. */
static size_t core_points(unsigned int cores, uint16_t *ret)
{
	size_t n = 0;

	for (unsigned int c = 1; c < cores; c *= 2)
		ret[n++] = (uint16_t)c;
	ret[n++] = (uint16_t)cores;
	return n;
}

int bench_costs(struct vt_costs *ret, const struct bench *b, uint32_t m, struct vt_engine *eng,
		struct vt_pool *pool, struct vt_profile *db, struct vt_err *e)
{
	const struct bench_model *model = &b->o->model[m];
	uint16_t points[VT_MAX_POINTS];
	size_t n = core_points(vt_cpuset_count(vt_pool_cores(pool)), points);
	int rc;

	if (!db)
		return vt_costs_measured(ret, eng, pool, model->name, b->qos_ns[m], points, n,
					 COST_RUNS, e);
	rc = vt_costs_profiled(ret, eng, db, model->name, b->qos_ns[m], points, n, e);
	if (rc == -ENODATA)
		*e = (struct vt_err){0};
	return rc == -ENODATA ? vt_fail(e, -EINVAL,
					"--profiles %s: no times of '%s' on this machine; run "
					"`veltair profile` on %s first",
					b->o->profiles, model->name, model->path)
			      : rc;
}

/** Version of @layer that is fastest at @level on the most cores; 0 is always there. */
static unsigned int best_version(const struct vt_model *m, unsigned int layer, int level)
{
	unsigned int point = m->n_points - 1u, best = 0;

	for (unsigned int v = 1; v < m->n_versions; v++) {
		uint64_t ns = vt_model_ns(m, layer, v, (unsigned int)level, point);

		if (ns && ns < vt_model_ns(m, layer, best, (unsigned int)level, point))
			best = v;
	}
	return best;
}

/** Copy the times of the versions that stay. */
static void copy_layers(struct vt_costs *c, uint64_t *ns, const struct vt_costs *from, int level)
{
	const struct vt_model *m = &from->model;
	size_t row = (size_t)VT_LEVELS * m->n_points, nv = c->model.n_versions;

	for (unsigned int layer = 0; layer < m->n_layers; layer++) {
		unsigned int first = level < 0 ? 0 : best_version(m, layer, level);
		size_t src = (size_t)layer * m->n_versions + first, dst = layer * nv;

		memcpy(ns + dst * row, m->ns + src * row, nv * row * sizeof(*ns));
		if (from->variant)
			memcpy(c->variant + dst, from->variant + src, nv * sizeof(*c->variant));
	}
}

int bench_costs_copy(struct vt_costs *ret, const struct vt_costs *from, int level, struct vt_err *e)
{
	const struct vt_model *m = &from->model;
	size_t nv = level < 0 ? m->n_versions : 1, layers = m->n_layers;
	size_t times = layers * nv * VT_LEVELS * m->n_points * sizeof(uint64_t);
	struct vt_costs c = {.model = *m, .source = from->source};
	uint64_t *ns;

	c.mem = malloc(times + m->n_points * sizeof(*m->points));
	c.variant = from->variant ? malloc((layers * nv + 1) * sizeof(*c.variant)) : NULL;
	if (!c.mem || (from->variant && !c.variant)) {
		vt_costs_fini(&c);
		return vt_fail(e, -ENOMEM, "%s: no memory for its times", m->name);
	}
	ns = c.mem;
	c.model.n_versions = (uint8_t)nv;
	c.model.ns = ns;
	c.model.points = memcpy((char *)c.mem + times, m->points, m->n_points * sizeof(*m->points));
	c.model.dram_bytes = NULL;
	c.model.plan = NULL;
	copy_layers(&c, ns, from, level);
	*ret = c;
	return 0;
}

uint64_t bench_costs_least(const struct vt_model *m)
{
	uint64_t sum = 0;

	for (unsigned int layer = 0; layer < m->n_layers; layer++) {
		uint64_t least = UINT64_MAX;

		for (unsigned int v = 0; v < m->n_versions; v++)
			for (unsigned int p = 0; p < m->n_points; p++) {
				uint64_t ns = vt_model_ns(m, layer, v, 0, p) * m->points[p];

				least = ns && ns < least ? ns : least;
			}
		sum += least;
	}
	return sum;
}
