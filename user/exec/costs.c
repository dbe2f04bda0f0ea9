// SPDX-License-Identifier: Apache-2.0
#include "exec/costs.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "base/order.h"
#include "profile/table.h"

_Static_assert(VT_PROFILE_LEVELS == VT_LEVELS, "a profile has a time for each level");
_Static_assert(VT_PROFILE_KEPT == VT_MAX_VERSIONS, "what is kept can be scheduled");
_Static_assert(VT_PROFILE_POINTS == VT_MAX_POINTS, "core counts of one are those of the other");

#define QOS_FACTOR 3
#define PIECE_NS   (2 * VT_NS_PER_MS) /* of a run to measure, at one time */

/* Tables of a model in one piece of memory. */
struct tables {
	uint16_t points[VT_MAX_POINTS];
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
		c->variant = calloc(rows, sizeof(*c->variant));
	if (!t || !c->variant) {
		free(t);
		return vt_fail(e, -ENOMEM, "%s: no memory for its times", name);
	}
	memcpy(t->points, points, n_points * sizeof(*points));
	c->mem = t;
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

/** Some steps of a run: what is asked of the lender at one time. */
struct piece {
	struct vt_run r;
	unsigned int cores, workers; /* wanted; there, 0: never lent */
};

static int run_piece(void *arg, struct vt_pool *pool)
{
	struct piece *p = arg;
	struct vt_cpuset grant;

	p->workers = vt_cpuset_count(vt_pool_cores(pool));
	if (first_cores(pool, p->cores, &grant))
		return -EINVAL;
	return vt_pool_run(pool, &p->r.work, &grant);
}

static int reserve(void *arg, struct vt_pool *pool)
{
	return vt_pool_reserve(pool, *(const size_t *)arg);
}

/* The step after those from @first on that take PIECE_NS together, as far as @ns of an earlier run tells; one at least. */
static int end_of_piece(const uint64_t *ns, int first, int n)
{
	uint64_t sum = ns[first];
	int last = first + 1;

	while (ns[first] && last < n && ns[last] && sum + ns[last] <= PIECE_NS)
		sum += ns[last++];
	return last;
}

/*
 * @ns: [runs][n_steps], zeroed; the first run warms caches and is not kept. It goes step by step: nobody knows yet
 * how long they take. The next one is in its place, and reads of it what it has not yet written.
 */
static int run_on(struct vt_engine *eng, const struct vt_costs_lender *by, unsigned int cores,
		  unsigned int runs, uint64_t *ns, struct vt_err *e)
{
	const size_t n = (size_t)eng->n_steps;
	struct piece p = {.cores = cores};
	int err = 0;

	for (unsigned int i = 0; i <= runs && !err; i++) {
		const uint64_t *before = ns + (i > 1 ? i - 2 : 0) * n;

		for (int at = 0; at < eng->n_steps && !err; at = p.r.last) {
			vt_run_init(&p.r, eng, 0);
			p.r.first = at;
			p.r.last = i ? end_of_piece(before, at, eng->n_steps) : at + 1;
			p.r.step_ns = ns + (i ? i - 1 : 0) * n;
			err = by->lend(by->arg, run_piece, &p);
		}
	}
	if (err && p.workers && p.workers < cores)
		return vt_fail(e, err, "cannot measure on %u cores: there are %u workers", cores,
			       p.workers);
	return err ? vt_fail(e, err, "cannot run on %u cores: %s", cores, strerror(-err)) : 0;
}

int vt_costs_measured_by(struct vt_costs *ret, struct vt_engine *eng,
			 const struct vt_costs_lender *by, const char *name, uint64_t qos_ns,
			 const uint16_t *points, size_t n_points, unsigned int runs,
			 struct vt_err *e)
{
	struct vt_costs c = {.source = VT_COSTS_RUNS};
	size_t n = (size_t)eng->n_steps;
	uint64_t *ns, *sorted;
	int err;

	runs = runs ? runs : 1;
	ns = calloc(n * runs + 1, sizeof(*ns));
	sorted = calloc(runs, sizeof(*sorted));
	err = ns && sorted ? 0 : vt_fail(e, -ENOMEM, "%s: no memory for its times", name);
	if (!err) {
		err = by->lend(by->arg, reserve, &eng->scratch_bytes);
		if (err)
			vt_fail(e, err, "%s: cannot prepare the workers: %s", name, strerror(-err));
	}
	if (!err)
		err = alloc_tables(&c, name, eng->n_steps, 1, points, n_points, e);
	for (size_t p = 0; p < n_points && !err; p++) {
		memset(ns, 0, n * runs * sizeof(*ns));
		err = run_on(eng, by, points[p], runs, ns, e);
		for (size_t l = 0; l < n && !err; l++) {
			for (unsigned int i = 0; i < runs; i++)
				sorted[i] = ns[i * n + l];
			qsort(sorted, runs, sizeof(*sorted), vt_order_u64);
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

static int lend_always(void *pool, int (*fn)(void *what, struct vt_pool *pool), void *what)
{
	return fn(what, pool);
}

int vt_costs_measured(struct vt_costs *ret, struct vt_engine *eng, struct vt_pool *pool,
		      const char *name, uint64_t qos_ns, const uint16_t *points, size_t n_points,
		      unsigned int runs, struct vt_err *e)
{
	const struct vt_costs_lender by = {lend_always, pool};

	return vt_costs_measured_by(ret, eng, &by, name, qos_ns, points, n_points, runs, e);
}

/* ---- a copy --------------------------------------------------------------------------------- */

/* Version of @layer that is fastest at @level on the most cores; 0 is always there. */
static unsigned int best_version(const struct vt_model *m, unsigned int layer, unsigned int level)
{
	unsigned int point = m->n_points - 1u, best = 0;

	for (unsigned int v = 1; v < m->n_versions; v++) {
		uint64_t ns = vt_model_ns(m, layer, v, level, point);

		if (ns && ns < vt_model_ns(m, layer, best, level, point))
			best = v;
	}
	return best;
}

int vt_costs_copy(struct vt_costs *ret, const struct vt_costs *from, int level, struct vt_err *e)
{
	const struct vt_model *m = &from->model;
	const size_t kept = level < 0 ? m->n_versions : 1;
	struct vt_costs c = {.source = from->source};
	struct vt_model copy = *m;
	int err = alloc_tables(&c, m->name, m->n_layers, kept, m->points, m->n_points, e);

	if (err)
		return err;
	copy.points = c.model.points;
	copy.ns = c.model.ns;
	copy.n_versions = (uint8_t)kept;
	copy.dram_bytes = NULL;
	copy.plan = NULL;
	c.model = copy;
	for (unsigned int l = 0; l < m->n_layers; l++) {
		unsigned int first = level < 0 ? 0 : best_version(m, l, (unsigned int)level);

		memcpy(entry(&c, l, 0, 0, 0), entry(from, l, first, 0, 0),
		       kept * VT_LEVELS * m->n_points * sizeof(uint64_t));
		if (from->variant)
			memcpy(c.variant + l * kept,
			       from->variant + (size_t)l * m->n_versions + first,
			       kept * sizeof(*c.variant));
	}
	if (!from->variant) {
		free(c.variant);
		c.variant = NULL;
	}
	*ret = c;
	return 0;
}

/* ---- from the store ------------------------------------------------------------------------- */

struct signatures {
	const struct vt_engine *eng;
	char text[VT_PROFILE_TEXT];
};

static const char *signature_of(void *arg, size_t step)
{
	struct signatures *s = arg;

	vt_layer_signature(s->eng, (int)step, s->text, sizeof(s->text));
	return s->text;
}

/* NULL: no choice. -ENODATA: this build has no such variant, or not for such a layer. */
static int find_variant(const struct vt_step *step, const char *version, const char *name,
			const struct vt_variant **ret, struct vt_err *e)
{
	*ret = NULL;
	if (!strcmp(version, VT_PROFILE_NOTHING))
		return 0;
	*ret = vt_variant_find(version);
	if (*ret && (*ret)->kind == (step->layer.depth ? VT_VARIANT_MATRIX : VT_VARIANT_ANY))
		return 0;
	return vt_fail(
		e, -ENODATA,
		"%s: the store has times of variant '%s', which this build does not know for "
		"such a layer; profile it anew",
		name, version);
}

static int fill(struct vt_costs *c, const struct vt_profile_table *t, const struct vt_engine *eng,
		const char *name, struct vt_err *e)
{
	for (size_t l = 0; l < t->n_layers; l++)
		for (size_t v = 0; v < t->layers[l].n; v++) {
			const struct vt_profile_version *from = &t->layers[l].v[v];
			int err = find_variant(&eng->steps[l], from->name, name,
					       &c->variant[l * c->model.n_versions + v], e);

			if (err)
				return err;
			for (size_t s = 0; s < VT_LEVELS; s++)
				for (size_t p = 0; p < t->n_points; p++)
					*entry(c, l, v, s, p) = from->ns[s][p];
		}
	return 0;
}

int vt_costs_profiled(struct vt_costs *ret, const struct vt_engine *eng, struct vt_profile *db,
		      const char *name, uint64_t qos_ns, const uint16_t *points, size_t n_points,
		      struct vt_err *e)
{
	struct vt_costs c = {.source = VT_COSTS_PROFILE};
	struct signatures s = {.eng = eng};
	struct vt_profile_table t = {0};
	int err = vt_profile_table(db, signature_of, &s, (size_t)eng->n_steps, points, n_points, &t,
				   NULL, e);

	if (err) {
		vt_fail_at(e, "%s", name);
		return err;
	}
	err = alloc_tables(&c, name, eng->n_steps, t.n_versions, t.points, t.n_points, e);
	if (!err)
		err = fill(&c, &t, eng, name, e);
	if (!err)
		err = finish(&c, qos_ns, e);
	vt_profile_table_fini(&t);
	if (err) {
		vt_costs_fini(&c);
		return err;
	}
	*ret = c;
	return 0;
}

/* ---- one run ------------------------------------------------------------------------------- */

/* The version that is fastest at @level, on the first count of @order that any version has. */
static const struct vt_profile_version *fastest(const struct vt_profile_layer *l, uint8_t level,
						const uint8_t *order, size_t n_points)
{
	for (size_t i = 0; i < n_points; i++) {
		const struct vt_profile_version *best = NULL;
		size_t p = order[i];

		for (size_t v = 0; v < l->n; v++)
			if (l->v[v].ns[level][p] &&
			    (!best || l->v[v].ns[level][p] < best->ns[level][p]))
				best = &l->v[v];
		if (best)
			return best;
	}
	return NULL;
}

/* Indices of @points: the largest up to @cores and downwards, then those above. */
static void by_preference(const uint16_t *points, size_t n, unsigned int cores, uint8_t *order)
{
	size_t at = 0;

	for (size_t i = n; i-- > 0;)
		if (points[i] <= cores)
			order[at++] = (uint8_t)i;
	for (size_t i = 0; i < n; i++)
		if (points[i] > cores)
			order[at++] = (uint8_t)i;
}

int vt_costs_choose(const struct vt_engine *eng, struct vt_profile *db, unsigned int cores,
		    uint8_t level, const struct vt_variant **ret, struct vt_err *e)
{
	struct vt_profile_layer *l = calloc(1, sizeof(*l));
	struct signatures s = {.eng = eng};
	uint16_t points[VT_PROFILE_POINTS];
	uint8_t order[VT_PROFILE_POINTS];
	size_t n_points = 0;
	int err, without = 0;

	if (!l)
		return vt_fail(e, -ENOMEM, "no memory for the versions of a layer");
	err = level < VT_LEVELS ? vt_profile_points(db, points, &n_points, e) : -EINVAL;
	by_preference(points, n_points, cores, order);
	for (int i = 0; i < eng->n_steps && !err; i++) {
		const struct vt_profile_version *v;

		err = vt_profile_layer(db, signature_of(&s, (size_t)i), points, n_points, l, e);
		v = err ? NULL : fastest(l, level, order, n_points);
		ret[i] = NULL;
		without += !v;
		if (v)
			err = find_variant(&eng->steps[i], v->name, s.text, &ret[i], e);
	}
	free(l);
	return err ? err : without;
}
