// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_costs.h"

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
