// SPDX-License-Identifier: Apache-2.0
#include "sim/bank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sched/plan.h"
#include "sim/bank_int.h"

int vt_bank_init(struct vt_bank *b, const struct vt_machine *m)
{
	double top = vt_machine_stretch(m, 1);

	*b = (struct vt_bank){.machine = *m};
	for (uint32_t i = 0; i < VT_LEVELS; i++)
		b->level_stretch[i] = vt_machine_stretch(m, (double)i / (VT_LEVELS - 1));
	/* Geometric, up to where even a block beside the heaviest bubble does not get. */
	top = fmax(top * 1.25, 1.1);
	for (uint32_t i = 0; i < VT_STRETCHES; i++) {
		b->stretch[i] = pow(top, (double)i / (VT_STRETCHES - 1));
		b->supply_gbps[i] = vt_machine_supply_gbps(m, b->stretch[i]);
	}
	b->full_stretch = vt_machine_full_stretch(m);
	return 0;
}

void vt_bank_balance(const struct vt_bank *b, const double *asked_gbps, uint32_t *step,
		     double *part)
{
	double over = asked_gbps[0] - b->supply_gbps[0], next = 0;
	uint32_t i = 0;

	*step = 0;
	*part = 0;
	if (over <= 0)
		return;
	for (; i + 1 < VT_STRETCHES; i++, over = next) {
		next = asked_gbps[i + 1] - b->supply_gbps[i + 1];
		if (next <= 0)
			break;
	}
	*step = i + 1 < VT_STRETCHES ? i : VT_STRETCHES - 2;
	*part = i + 1 < VT_STRETCHES ? over / (over - next) : 1;
}

static void model_fini(struct vt_bank_model *m)
{
	free(m->rows);
	free(m->row_of);
	free(m->names);
	free(m->points);
	free(m->ns);
	free(m->dram_bytes);
	free(m->plan);
	free(m->cells);
	*m = (struct vt_bank_model){0};
}

void vt_bank_fini(struct vt_bank *b)
{
	for (uint32_t i = 0; i < b->n_models; i++)
		model_fini(&b->models[i]);
	free(b->models);
	free(b->sched);
	*b = (struct vt_bank){0};
}

int vt_bank_find(const struct vt_bank *b, const char *name)
{
	for (uint32_t i = 0; i < b->n_models; i++)
		if (!strcmp(b->sched[i].name, name))
			return (int)i;
	return -1;
}

int vt_bank_new_model(struct vt_bank *b, const char *name, uint64_t qos_ns,
		      const struct vt_bank_size *z, struct vt_err *e)
{
	size_t cells = (size_t)z->rows * z->versions * z->points * VT_SHARES;
	size_t times = (size_t)z->layers * z->versions * VT_LEVELS * z->points;
	struct vt_bank_model *m, *models;
	struct vt_model *sched;

	if (strlen(name) >= sizeof(sched->name) || !*name)
		return vt_fail(e, -EINVAL, "model name '%.40s' must have 1 to %zu characters", name,
			       sizeof(sched->name) - 1);
	if (vt_bank_find(b, name) >= 0)
		return vt_fail(e, -EINVAL, "model '%s' is given twice", name);
	models = realloc(b->models, (b->n_models + 1) * sizeof(*models));
	if (models)
		b->models = models;
	sched = realloc(b->sched, (b->n_models + 1) * sizeof(*sched));
	if (sched)
		b->sched = sched;
	if (!models || !sched)
		return vt_fail(e, -ENOMEM, "out of memory");
	m = &models[b->n_models];
	*m = (struct vt_bank_model){
		.n_rows = z->rows,
		.rows = calloc(z->rows, sizeof(*m->rows)),
		.row_of = calloc(z->layers, sizeof(*m->row_of)),
		.names = calloc(z->layers, sizeof(*m->names)),
		.points = calloc(z->points, sizeof(*m->points)),
		.ns = calloc(times, sizeof(*m->ns)),
		.dram_bytes = calloc((size_t)z->layers * z->versions, sizeof(*m->dram_bytes)),
		.cells = calloc(cells, sizeof(*m->cells)),
	};
	if (!m->rows || !m->row_of || !m->names || !m->points || !m->ns || !m->dram_bytes ||
	    !m->cells) {
		model_fini(m);
		return vt_fail(e, -ENOMEM, "out of memory");
	}
	for (uint32_t r = 0; r < z->rows; r++)
		m->rows[r].cells = m->cells + (size_t)r * z->versions * z->points * VT_SHARES;
	sched[b->n_models] = (struct vt_model){
		.qos_ns = qos_ns,
		.n_layers = (uint16_t)z->layers,
		.n_points = (uint16_t)z->points,
		.n_versions = (uint8_t)z->versions,
		.points = m->points,
		.ns = m->ns,
		.open_ns = (uint32_t)b->machine.wake_ns,
		.open_core_ns = (uint32_t)b->machine.wake_core_ns,
		.dram_bytes = m->dram_bytes,
	};
	memcpy(sched[b->n_models].name, name, strlen(name) + 1);
	return (int)b->n_models++;
}

void vt_bank_drop_last(struct vt_bank *b)
{
	model_fini(&b->models[--b->n_models]);
}

uint32_t vt_bank_points(const struct vt_bank *b, uint32_t model)
{
	const struct vt_model *m = &b->sched[model];
	uint32_t n = 1;

	while (n < m->n_points && m->points[n] <= b->machine.cores)
		n++;
	return n;
}

/**
 * Least core-time of a layer: over versions and core counts, with memory at its idle latency. The
 * bound may pick another core count for every layer; no schedule can do better.
 */
static double least_core_ns(const struct vt_bank *b, uint32_t model, uint32_t layer)
{
	const struct vt_model *m = &b->sched[model];
	const uint32_t n_points = vt_bank_points(b, model);
	double least = INFINITY;

	for (uint32_t v = 0; v < m->n_versions; v++) {
		for (uint32_t p = 0; p < n_points; p++) {
			double ns =
				(double)vt_bank_cell(b, model, layer, v, p, VT_SHARES - 1)->ns[0] *
				m->points[p];

			if (ns > 0 && ns < least)
				least = ns;
		}
	}
	return least;
}

uint64_t vt_bank_fastest_ns(const struct vt_bank *b, uint32_t model)
{
	const struct vt_model *m = &b->sched[model];
	const uint32_t n_points = vt_bank_points(b, model);
	uint64_t sum = 0;

	for (uint32_t l = 0; l < m->n_layers; l++) {
		uint64_t least = UINT64_MAX;

		for (uint32_t i = 0; i < m->n_versions * n_points; i++) {
			uint64_t ns = vt_model_ns(m, l, i / n_points, 0, i % n_points);

			least = ns && ns < least ? ns : least;
		}
		sum += least;
	}
	return sum;
}

static double least_bytes(const struct vt_bank *b, uint32_t model, uint32_t layer)
{
	const struct vt_model *m = &b->sched[model];
	const uint32_t n_points = vt_bank_points(b, model);
	double least = INFINITY;

	for (uint32_t v = 0; v < m->n_versions; v++) {
		for (uint32_t p = 0; p < n_points; p++) {
			const struct vt_cell *c =
				vt_bank_cell(b, model, layer, v, p, VT_SHARES - 1);

			if (c->ns[0] > 0 && c->dram_bytes < least)
				least = c->dram_bytes;
		}
	}
	return least;
}

static int check_model(const struct vt_model *m, struct vt_err *e)
{
	struct vt_model_fault fault;
	int rc = vt_model_check(m, &fault);

	return rc ? vt_fail(e, rc, "model '%s': %s (layer %u, version %u, level %u, %u cores)",
			    m->name, fault.what, fault.layer, fault.version, fault.level,
			    fault.point < m->n_points ? m->points[fault.point] : 0)
		  : 0;
}

int vt_bank_finish(struct vt_bank *b, uint32_t model, struct vt_err *e)
{
	struct vt_bank_model *bm = &b->models[model];
	int rc = check_model(&b->sched[model], e);

	if (rc)
		return rc;
	bm->least_core_ns = bm->least_dram_bytes = 0;
	for (uint32_t l = 0; l < b->sched[model].n_layers; l++) {
		bm->least_core_ns += least_core_ns(b, model, l);
		bm->least_dram_bytes += least_bytes(b, model, l);
	}
	return 0;
}

int vt_bank_plan(struct vt_bank *b, uint32_t needs, struct vt_err *e)
{
	for (uint32_t i = 0; i < b->n_models; i++) {
		struct vt_model *m = &b->sched[i];
		size_t len = (vt_plan_size(m, needs) + 63) & ~(size_t)63;
		void *mem = aligned_alloc(64, len ? len : 64);
		int rc;

		if (!mem)
			return vt_fail(e, -ENOMEM, "out of memory");
		free(b->models[i].plan);
		b->models[i].plan = mem;
		rc = check_model(m,
				 e); /* a target in times of its fastest run came after the rest */
		if (rc)
			return rc;
		if (m->points[0] > b->machine.cores)
			return vt_fail(e, -EINVAL,
				       "model '%s': measured on %u cores at least, and %s has %u",
				       m->name, m->points[0], b->machine.name, b->machine.cores);
		rc = vt_plan_init(m, b->machine.cores, needs, mem, len);
		if (rc)
			return vt_fail(e, rc, "model '%s': no plan for %u cores", m->name,
				       b->machine.cores);
	}
	return 0;
}
