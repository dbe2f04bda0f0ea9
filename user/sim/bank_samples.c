// SPDX-License-Identifier: Apache-2.0
/* bank_samples.c - a model's tables from measured times. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "sched/coreset.h"
#include "sim/bank_int.h"

/** What the samples span. */
struct span {
	struct vt_bank_size size;
	uint16_t points[VT_MAX_POINTS];
	bool has_level[VT_LEVELS];
};

static int find_point(const struct span *sp, uint16_t cores)
{
	for (uint32_t i = 0; i < sp->size.points; i++)
		if (sp->points[i] == cores)
			return (int)i;
	return -1;
}

static int add_point(struct span *sp, uint16_t cores, struct vt_err *e)
{
	uint32_t at = sp->size.points;

	if (find_point(sp, cores) >= 0)
		return 0;
	if (at == VT_MAX_POINTS)
		return vt_fail(e, -EINVAL, "more than %u core counts", VT_MAX_POINTS);
	while (at && sp->points[at - 1] > cores) {
		sp->points[at] = sp->points[at - 1];
		at--;
	}
	sp->points[at] = cores;
	sp->size.points++;
	return 0;
}

static int check_sample(const struct vt_sampled *s, struct vt_err *e)
{
	static const struct {
		const char *what;
		size_t max;
	} limits[] = {{"layer", VT_MAX_LAYERS - 1},
		      {"version", VT_MAX_VERSIONS - 1},
		      {"level", VT_LEVELS - 1},
		      {"cores", VT_SCHED_MAX_CORES}};
	const uint16_t got[] = {s->layer, s->version, s->level, s->cores};

	for (size_t i = 0; i < 4; i++)
		if (got[i] > limits[i].max)
			return vt_fail(e, -EINVAL, "%s %u is above %zu", limits[i].what, got[i],
				       limits[i].max);
	if (!s->cores)
		return vt_fail(e, -EINVAL, "a time on 0 cores (layer %u)", s->layer);
	if (!s->ns)
		return vt_fail(e, -EINVAL, "a time of 0 (layer %u, %u cores)", s->layer, s->cores);
	return 0;
}

static int find_span(const struct vt_sampled *s, size_t n, struct span *ret, struct vt_err *e)
{
	*ret = (struct span){.size = {0, 0, 0, 0}};
	if (!n)
		return vt_fail(e, -EINVAL, "no times");
	for (size_t i = 0; i < n; i++) {
		int rc = check_sample(&s[i], e);

		if (!rc)
			rc = add_point(ret, s[i].cores, e);
		if (rc)
			return rc;
		if (s[i].layer >= ret->size.layers)
			ret->size.layers = s[i].layer + 1u;
		if (s[i].version >= ret->size.versions)
			ret->size.versions = s[i].version + 1u;
		ret->has_level[s[i].level] = true;
	}
	ret->size.rows = ret->size.layers;
	if (!ret->has_level[0])
		return vt_fail(e, -EINVAL, "no times at level 0");
	return 0;
}

static uint64_t *time_at(struct vt_bank_model *bm, const struct vt_model *m, uint32_t layer,
			 uint32_t version, uint32_t level, uint32_t point)
{
	size_t row = ((size_t)layer * m->n_versions + version) * VT_LEVELS + level;

	return &bm->ns[row * m->n_points + point];
}

static int store(struct vt_bank_model *bm, const struct vt_model *m, const struct span *sp,
		 const struct vt_sampled *s, struct vt_err *e)
{
	uint64_t *at =
		time_at(bm, m, s->layer, s->version, s->level, (uint32_t)find_point(sp, s->cores));

	if (*at)
		return vt_fail(e, -EINVAL,
			       "layer %u, version %u, level %u, %u cores is given twice", s->layer,
			       s->version, s->level, s->cores);
	*at = s->ns;
	if (s->dram_bytes >= 0 && !s->level)
		bm->dram_bytes[(size_t)s->layer * m->n_versions + s->version] =
			(uint64_t)s->dram_bytes;
	return 0;
}

/** A level that nobody measured repeats the one below. */
static void fill_levels(struct vt_bank_model *bm, const struct vt_model *m, const struct span *sp)
{
	for (uint32_t row = 0; row < (uint32_t)m->n_layers * m->n_versions; row++) {
		uint64_t *at = &bm->ns[(size_t)row * VT_LEVELS * m->n_points];

		for (uint32_t l = 1; l < VT_LEVELS; l++)
			if (!sp->has_level[l])
				memcpy(at + (size_t)l * m->n_points,
				       at + (size_t)(l - 1) * m->n_points,
				       m->n_points * sizeof(*at));
	}
}

/** Times at the grid's stretches: between levels, linear in the stretch they stand for. */
static float between_levels(const struct vt_bank *b, const struct vt_model *m, uint32_t layer,
			    uint32_t version, uint32_t point, double stretch)
{
	uint32_t l = 0;
	double lo, hi, x;

	while (l + 2 < VT_LEVELS && b->level_stretch[l + 1] < stretch)
		l++;
	lo = (double)vt_model_ns(m, layer, version, l, point);
	hi = (double)vt_model_ns(m, layer, version, l + 1, point);
	if (b->level_stretch[l + 1] <= b->level_stretch[l])
		return (float)(stretch > b->level_stretch[l] ? hi : lo);
	x = (stretch - b->level_stretch[l]) / (b->level_stretch[l + 1] - b->level_stretch[l]);
	return (float)(lo + (hi - lo) * fmin(1, fmax(0, x)));
}

static void fill_cells(const struct vt_bank *b, struct vt_bank_model *bm, const struct vt_model *m,
		       uint32_t layer)
{
	struct vt_cell *c = bm->rows[layer].cells;

	bm->row_of[layer] = layer;
	for (uint32_t v = 0; v < m->n_versions; v++) {
		for (uint32_t p = 0; p < m->n_points; p++) {
			for (uint32_t h = 0; h < VT_SHARES; h++, c++) {
				for (uint32_t i = 0; i < VT_STRETCHES; i++)
					c->ns[i] = between_levels(b, m, layer, v, p, b->stretch[i]);
				c->dram_bytes =
					(float)bm->dram_bytes[(size_t)layer * m->n_versions + v];
				c->llc_bytes = c->dram_bytes;
			}
		}
	}
}

static int fill(struct vt_bank *b, uint32_t model, const struct span *sp,
		const struct vt_sampled *s, size_t n, struct vt_err *e)
{
	struct vt_bank_model *bm = &b->models[model];
	struct vt_model *m = &b->sched[model];

	memcpy(bm->points, sp->points, sp->size.points * sizeof(*sp->points));
	for (size_t i = 0; i < n; i++) {
		int rc = store(bm, m, sp, &s[i], e);

		if (rc)
			return rc;
	}
	fill_levels(bm, m, sp);
	for (uint32_t l = 0; l < m->n_layers; l++) {
		snprintf(bm->names[l], sizeof(bm->names[l]), "layer%u", l);
		fill_cells(b, bm, m, l);
	}
	return 0;
}

int vt_bank_add_samples(struct vt_bank *b, const char *name, uint64_t qos_ns,
			const struct vt_sampled *s, size_t n, struct vt_err *e)
{
	struct span sp;
	int at, rc;

	rc = find_span(s, n, &sp, e);
	if (rc)
		return vt_fail_at(e, "model '%s'", name);
	at = vt_bank_new_model(b, name, qos_ns, &sp.size, e);
	if (at < 0)
		return at;
	rc = fill(b, (uint32_t)at, &sp, s, n, e);
	if (rc)
		vt_fail_at(e, "model '%s'", name);
	else
		rc = vt_bank_finish(b, (uint32_t)at, e); /* names the model by itself */
	if (rc)
		vt_bank_drop_last(b);
	return rc ? rc : at;
}
