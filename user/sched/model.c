// SPDX-License-Identifier: Apache-2.0
#include "sched/model.h"

#include <errno.h>
#include <stdbool.h>

#include "sched/coreset.h"

/* So that core-time priced by plan.c stays far from overflow. */
#define MODEL_MAX_NS (3600ull * 1000000000ull)

static int fault_at(struct vt_model_fault *f, const char *what, unsigned int layer,
		    unsigned int version, unsigned int level, unsigned int point)
{
	if (f)
		*f = (struct vt_model_fault){what, layer, version, level, point};
	return -EINVAL;
}

static int check_shape(const struct vt_model *m, struct vt_model_fault *f)
{
	if (!m->n_layers || m->n_layers > VT_MAX_LAYERS)
		return fault_at(f, "number of layers is not 1 .. 4096", 0, 0, 0, 0);
	if (!m->n_points || m->n_points > VT_MAX_POINTS)
		return fault_at(f, "number of core counts is not 1 .. 64", 0, 0, 0, 0);
	if (!m->n_versions || m->n_versions > VT_MAX_VERSIONS)
		return fault_at(f, "number of versions is not 1 .. 5", 0, 0, 0, 0);
	if (!m->qos_ns || m->qos_ns > MODEL_MAX_NS)
		return fault_at(f, "latency target is not 1 ns .. 1 h", 0, 0, 0, 0);
	for (unsigned int p = 0; p < m->n_points; p++)
		if (!m->points[p] || m->points[p] > VT_SCHED_MAX_CORES ||
		    (p && m->points[p] <= m->points[p - 1]))
			return fault_at(f, "core counts do not ascend within 1 .. 256", 0, 0, 0, p);
	return 0;
}

/* A version is there with all its times or not at all. */
static int check_version(const struct vt_model *m, unsigned int l, unsigned int v,
			 struct vt_model_fault *f)
{
	bool there = vt_model_ns(m, l, v, 0, 0) != 0;

	if (!there && v == 0)
		return fault_at(f, "time is missing or zero", l, v, 0, 0);
	for (unsigned int s = 0; s < VT_LEVELS; s++)
		for (unsigned int p = 0; p < m->n_points; p++) {
			uint64_t t = vt_model_ns(m, l, v, s, p);

			if ((t != 0) != there)
				return fault_at(f, "time is missing or zero", l, v, s, p);
			if (t > MODEL_MAX_NS)
				return fault_at(f, "time is above one hour", l, v, s, p);
		}
	return 0;
}

static int check_total(const struct vt_model *m, struct vt_model_fault *f)
{
	for (unsigned int s = 0; s < VT_LEVELS; s++)
		for (unsigned int p = 0; p < m->n_points; p++) {
			uint64_t sum = 0;

			for (unsigned int l = 0; l < m->n_layers; l++)
				sum += vt_model_ns(m, l, 0, s, p);
			if (sum > MODEL_MAX_NS)
				return fault_at(f, "the layers add up to over one hour", 0, 0, s,
						p);
		}
	return 0;
}

int vt_model_check(const struct vt_model *m, struct vt_model_fault *fault)
{
	int err = check_shape(m, fault);

	for (unsigned int l = 0; !err && l < m->n_layers; l++)
		for (unsigned int v = 0; !err && v < m->n_versions; v++)
			err = check_version(m, l, v, fault);
	return err ? err : check_total(m, fault);
}

int vt_model_point(const struct vt_model *m, unsigned int cores)
{
	/* Counts ascend from 1 or more, so the i-th is above i: no need to look beyond. */
	int p = (int)(cores < m->n_points ? cores : m->n_points) - 1;

	while (p >= 0 && m->points[p] > cores)
		p--;
	return p;
}

/* Below the first measured count, time grows as the cores lack. */
static uint64_t scaled(const struct vt_model *m, uint64_t sum, unsigned int cores, bool below)
{
	if (!below)
		return sum;
	/* sum <= 5 h of ns and points[0] <= 256: no overflow */
	return cores ? sum * m->points[0] / cores : UINT64_MAX / 2;
}

uint64_t vt_model_block_ns(const struct vt_model *m, unsigned int begin, unsigned int end,
			   const uint8_t *versions, unsigned int cores, unsigned int level)
{
	int p = vt_model_point(m, cores);
	uint64_t sum = 0;

	for (unsigned int l = begin; l < end; l++)
		sum += vt_model_ns(m, l, versions ? versions[l - begin] : 0, level,
				   p < 0 ? 0 : (unsigned int)p);
	return scaled(m, sum, cores, p < 0);
}

void vt_model_block_levels(const struct vt_model *m, unsigned int begin, unsigned int end,
			   const uint8_t *versions, unsigned int cores, uint64_t ret[VT_LEVELS])
{
	int p = vt_model_point(m, cores);
	uint64_t sum[VT_LEVELS] = {0};

	for (unsigned int l = begin; l < end; l++) {
		const uint64_t *ns = m->ns + (p < 0 ? 0 : p);

		ns += ((size_t)l * m->n_versions + (versions ? versions[l - begin] : 0)) *
		      VT_LEVELS * m->n_points;
		for (unsigned int s = 0; s < VT_LEVELS; s++)
			sum[s] += ns[(size_t)s * m->n_points];
	}
	for (unsigned int s = 0; s < VT_LEVELS; s++)
		ret[s] = scaled(m, sum[s], cores, p < 0);
}
