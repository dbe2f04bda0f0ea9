// SPDX-License-Identifier: Apache-2.0
#include "exec/costs.h"

#include <stdlib.h>
#include <string.h>

#include "base/cpuset.h"

_Static_assert(VT_PROFILE_LEVELS == VT_LEVELS, "a profile has a time for each level");
_Static_assert(VT_PROFILE_KEPT == VT_MAX_VERSIONS, "what is kept can be scheduled");

#define QOS_FACTOR 3

/* Tables of a model in one piece of memory. */
struct tables {
	uint16_t points[VT_MAX_POINTS];
	const struct vt_variant **variant;
	uint64_t ns[];
};

static uint64_t *entry(const struct vt_costs *c, size_t layer, size_t version, size_t level,
		       size_t point)
{
	const struct vt_model *m = &c->model;
	struct tables *t = c->mem;

	return &t->ns[((layer * m->n_versions + version) * VT_LEVELS + level) * m->n_points +
		      point];
}

static int alloc_tables(struct vt_costs *c, const char *name, int n_layers, size_t n_versions,
			const uint16_t *points, size_t n_points, struct vt_err *e)
{
	size_t rows = (size_t)n_layers * n_versions, cells = rows * VT_LEVELS * n_points;
	struct tables *t;

	if (n_layers < 1 || n_layers > (int)VT_MAX_LAYERS || !n_points || n_points > VT_MAX_POINTS)
		return vt_fail(e, -EINVAL, "%s: %d layers and %zu core counts cannot be scheduled",
			       name, n_layers, n_points);
	t = calloc(1, sizeof(*t) + cells * sizeof(t->ns[0]));
	if (t)
		t->variant = calloc(rows, sizeof(*t->variant));
	if (!t || !t->variant) {
		free(t);
		return vt_fail(e, -ENOMEM, "%s: no memory for its times", name);
	}
	memcpy(t->points, points, n_points * sizeof(*points));
	c->mem = t;
	c->variant = t->variant;
	c->model.n_layers = (uint16_t)n_layers;
	c->model.n_points = (uint16_t)n_points;
	c->model.n_versions = (uint8_t)n_versions;
	c->model.points = t->points;
	c->model.ns = t->ns;
	strncpy(c->model.name, name, sizeof(c->model.name) - 1);
	return 0;
}

void vt_costs_fini(struct vt_costs *c)
{
	free(c->variant);
	free(c->mem);
	*c = (struct vt_costs){0};
}

static int finish(struct vt_costs *c, uint64_t qos_ns, struct vt_err *e)
{
	struct vt_model *m = &c->model;
	struct vt_model_fault f;
	uint64_t alone = vt_model_block_ns(m, 0, m->n_layers, NULL, m->points[m->n_points - 1], 0);

	m->qos_ns = qos_ns ? qos_ns : QOS_FACTOR * alone;
	if (vt_model_check(m, &f))
		return vt_fail(e, -EINVAL,
			       "%s: its times cannot be scheduled: %s (layer %u, version %u, level "
			       "%u, core count %u)",
			       m->name, f.what, f.layer, f.version, f.level, f.point);
	return 0;
}

/* ---- from a few runs ------------------------------------------------------------------------ */

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The first @n cores of the pool; -EINVAL if it has fewer. */
static int first_cores(const struct vt_pool *pool, unsigned int n, struct vt_cpuset *ret)
{
	int core = -1;

	*ret = (struct vt_cpuset){0};
	for (; n; n--) {
		core = vt_cpuset_next(vt_pool_cores(pool), (unsigned int)(core + 1));
		if (core < 0)
			return -EINVAL;
		vt_cpuset_add(ret, (unsigned int)core);
	}
	return 0;
}

/* @ns: [runs][n_steps]; the first run warms caches and is not kept. */
static int run_on(struct vt_engine *eng, struct vt_pool *pool, unsigned int cores,
		  unsigned int runs, uint64_t *ns, struct vt_err *e)
{
	struct vt_cpuset grant;
	struct vt_run r;
	int err = first_cores(pool, cores, &grant);

	if (err)
		return vt_fail(e, err, "cannot measure on %u cores: there are %u workers", cores,
			       vt_cpuset_count(vt_pool_cores(pool)));
	for (unsigned int i = 0; i <= runs && !err; i++) {
		vt_run_init(&r, eng, 0);
		r.step_ns = ns + (i ? i - 1 : 0) * (size_t)eng->n_steps;
		err = vt_pool_run(pool, &r.work, &grant);
	}
	return err ? vt_fail(e, err, "cannot run on %u cores: %s", cores, strerror(-err)) : 0;
}

int vt_costs_measured(struct vt_costs *ret, struct vt_engine *eng, struct vt_pool *pool,
		      const char *name, uint64_t qos_ns, const uint16_t *points, size_t n_points,
		      unsigned int runs, struct vt_err *e)
{
	struct vt_costs c = {.source = VT_COSTS_RUNS};
	size_t n = (size_t)eng->n_steps;
	uint64_t *ns, *sorted;
	int err;

	runs = runs ? runs : 1;
	ns = calloc(n * runs + 1, sizeof(*ns));
	sorted = calloc(runs, sizeof(*sorted));
	err = ns && sorted ? 0 : vt_fail(e, -ENOMEM, "%s: no memory for its times", name);
	if (!err && vt_pool_reserve(pool, eng->scratch_bytes))
		err = vt_fail(e, -ENOMEM, "%s: no memory for the scratch of the workers", name);
	if (!err)
		err = alloc_tables(&c, name, eng->n_steps, 1, points, n_points, e);
	for (size_t p = 0; p < n_points && !err; p++) {
		err = run_on(eng, pool, points[p], runs, ns, e);
		for (size_t l = 0; l < n && !err; l++) {
			for (unsigned int i = 0; i < runs; i++)
				sorted[i] = ns[i * n + l];
			qsort(sorted, runs, sizeof(*sorted), by_value);
			for (unsigned int v = 0; v < VT_LEVELS; v++)
				*entry(&c, l, 0, v, p) = sorted[runs / 2] + !sorted[runs / 2];
		}
	}
	if (!err)
		err = finish(&c, qos_ns, e);
	free(ns);
	free(sorted);
	if (err) {
		vt_costs_fini(&c);
		return err;
	}
	*ret = c;
	return 0;
}

/* ---- from the store ------------------------------------------------------------------------- */

/* One version of one layer, as the store has it. 0: not measured. */
struct version {
	char name[VT_PROFILE_NAME];
	bool kept;
	uint64_t ns[VT_LEVELS][VT_MAX_POINTS];
};

/* The versions of one layer, in the order of keeping. */
struct layer {
	const uint16_t *points;
	size_t n_points;
	struct version *v; /* VT_MAX_VERSIONS and one more, for what was not kept */
	size_t n;
	size_t wide; /* versions of the layer that has most */
};

static int point_of(const struct layer *l, uint16_t cores)
{
	for (size_t p = 0; p < l->n_points; p++)
		if (l->points[p] == cores)
			return (int)p;
	return -1;
}

/* Of versions that were not kept, only the one that is fastest alone on the most cores stays. */
static void keep_faster(struct layer *l)
{
	struct version *a = &l->v[l->n - 2], *b = &l->v[l->n - 1];
	bool better = false;

	for (size_t p = l->n_points; p-- > 0;) {
		uint64_t x = a->ns[0][p], y = b->ns[0][p];

		if (!x && !y)
			continue;
		better = y && (!x || y < x);
		break;
	}
	if (better)
		*a = *b;
	l->n--;
}

static int take_time(void *arg, const struct vt_profile_time *t)
{
	struct layer *l = arg;
	struct version *v = l->n ? &l->v[l->n - 1] : NULL;
	int p = point_of(l, t->cores);

	if (!v || strcmp(v->name, t->variant) != 0) {
		if (!t->kept && l->n && l->v[0].kept)
			return 0;
		if (!t->kept && l->n == 2)
			keep_faster(l);
		if (l->n >= VT_MAX_VERSIONS)
			return 0;
		v = &l->v[l->n++];
		memset(v, 0, sizeof(*v));
		strncpy(v->name, t->variant, sizeof(v->name) - 1);
		v->kept = t->kept;
	}
	if (p >= 0)
		v->ns[t->level][p] = t->median_ns;
	return 0;
}

/* Levels that were not measured are those below; a count without level 0 is not there. */
static void fill_levels(struct version *v, size_t n_points)
{
	for (size_t p = 0; p < n_points; p++)
		for (size_t s = 1; s < VT_LEVELS; s++)
			if (!v->ns[0][p])
				v->ns[s][p] = 0;
			else if (!v->ns[s][p])
				v->ns[s][p] = v->ns[s - 1][p];
}

static int read_layer(struct layer *l, const struct vt_engine *eng, int step, struct vt_profile *db,
		      struct vt_err *e)
{
	char sig[VT_PROFILE_TEXT];
	int err;

	l->n = 0;
	vt_layer_signature(eng, step, sig, sizeof(sig));
	err = vt_profile_each(db, sig, take_time, l, e);
	if (err)
		return err;
	if (l->n == 2 && !l->v[0].kept)
		keep_faster(l);
	for (size_t i = 0; i < l->n; i++)
		fill_levels(&l->v[i], l->n_points);
	return 0;
}

/* Which of the wanted core counts has every layer? Leaves them in @l, and the widest layer. */
static int common_points(struct layer *l, uint16_t *points, const struct vt_engine *eng,
			 struct vt_profile *db, const char *name, struct vt_err *e)
{
	bool there[VT_MAX_POINTS];
	size_t n = 0;

	memset(there, true, sizeof(there));
	for (int i = 0; i < eng->n_steps; i++) {
		size_t have = 0;
		int err = read_layer(l, eng, i, db, e);

		if (err)
			return err;
		for (size_t p = 0; p < l->n_points; p++) {
			there[p] &= l->n && l->v[0].ns[0][p];
			have += there[p];
		}
		if (!have)
			return vt_fail(
				e, -ENODATA,
				"%s: the store has no time of layer %d that fits the others; "
				"profile the model first",
				name, i);
		l->wide = l->n > l->wide ? l->n : l->wide;
	}
	for (size_t p = 0; p < l->n_points; p++)
		if (there[p])
			points[n++] = points[p];
	l->n_points = n;
	return 0;
}

static bool complete(const struct version *v, size_t n_points)
{
	for (size_t p = 0; p < n_points; p++)
		if (!v->ns[0][p])
			return false;
	return true;
}

static int find_variant(const struct version *v, const char *name, const struct vt_variant **ret,
			struct vt_err *e)
{
	*ret = NULL;
	if (!strcmp(v->name, VT_PROFILE_NOTHING))
		return 0;
	*ret = vt_variant_find(v->name);
	if (*ret)
		return 0;
	return vt_fail(
		e, -EINVAL,
		"%s: the store has times of variant '%s', which this build does not know for "
		"such a layer; profile anew",
		name, v->name);
}

static int fill_layer(struct vt_costs *c, const struct layer *l, int step, const char *name,
		      struct vt_err *e)
{
	size_t at = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct vt_variant **slot =
			&c->variant[(size_t)step * c->model.n_versions + at];
		int err;

		if (!complete(&l->v[i], l->n_points))
			continue;
		err = find_variant(&l->v[i], name, slot, e);
		if (err)
			return err;
		for (size_t s = 0; s < VT_LEVELS; s++)
			for (size_t p = 0; p < l->n_points; p++)
				*entry(c, (size_t)step, at, s, p) = l->v[i].ns[s][p];
		at++;
	}
	return 0;
}

static int profiled(struct vt_costs *c, struct layer *l, uint16_t *points,
		    const struct vt_engine *eng, struct vt_profile *db, const char *name,
		    uint64_t qos_ns, struct vt_err *e)
{
	int err = common_points(l, points, eng, db, name, e);

	if (!err)
		err = alloc_tables(c, name, eng->n_steps, l->wide, points, l->n_points, e);
	for (int i = 0; i < eng->n_steps && !err; i++) {
		err = read_layer(l, eng, i, db, e);
		if (!err)
			err = fill_layer(c, l, i, name, e);
	}
	return err ? err : finish(c, qos_ns, e);
}

int vt_costs_profiled(struct vt_costs *ret, const struct vt_engine *eng, struct vt_profile *db,
		      const char *name, uint64_t qos_ns, const uint16_t *points, size_t n_points,
		      struct vt_err *e)
{
	struct vt_costs c = {.source = VT_COSTS_PROFILE};
	uint16_t own[VT_MAX_POINTS];
	struct layer l = {.points = own, .n_points = n_points};
	int err;

	if (!n_points || n_points > VT_MAX_POINTS)
		return vt_fail(e, -EINVAL, "%s: give 1 to %u core counts", name, VT_MAX_POINTS);
	memcpy(own, points, n_points * sizeof(*points));
	l.v = calloc(VT_MAX_VERSIONS + 1, sizeof(*l.v));
	err = l.v ? profiled(&c, &l, own, eng, db, name, qos_ns, e)
		  : vt_fail(e, -ENOMEM, "%s: no memory for its times", name);
	free(l.v);
	if (err) {
		vt_costs_fini(&c);
		return err;
	}
	*ret = c;
	return 0;
}

struct seen {
	uint16_t cores;
	bool any;
};

static int see(void *arg, const struct vt_profile_time *t)
{
	struct seen *s = arg;

	s->any |= !s->cores || s->cores == t->cores;
	return 0;
}

int vt_costs_missing(const struct vt_engine *eng, struct vt_profile *db, uint16_t cores,
		     char *first, struct vt_err *e)
{
	char sig[VT_PROFILE_TEXT];
	int n = 0;

	for (int i = 0; i < eng->n_steps; i++) {
		struct seen s = {.cores = cores};
		int err;

		vt_layer_signature(eng, i, sig, sizeof(sig));
		err = vt_profile_each(db, sig, see, &s, e);
		if (err)
			return err < 0 ? err : -EIO;
		if (!s.any && !n++ && first)
			strcpy(first, sig);
	}
	return n;
}
