// SPDX-License-Identifier: Apache-2.0
#include "profile/table.h"

#include <stdlib.h>
#include <string.h>

#include "profile/int.h"

/* ---- one layer ------------------------------------------------------------------------------ */

struct reading {
	const uint16_t *points;
	size_t n_points;
	struct vt_profile_layer *ret;
	struct vt_profile_version next; /* being read, if @open */
	bool open;
};

static int point_of(const struct reading *r, uint16_t cores)
{
	for (size_t p = 0; p < r->n_points; p++)
		if (r->points[p] == cores)
			return (int)p;
	return -1;
}

static bool pressed(const struct vt_profile_version *v, size_t p)
{
	for (size_t s = 1; s < VT_PROFILE_LEVELS; s++)
		if (v->ns[s][p])
			return true;
	return false;
}

/*
 * Levels that were not measured are as those below. A count of which no level was, because nobody
 * was left who could press (exec/tune.h), is slowed as much as the next smaller count. A count
 * without level 0 is not there.
 */
static bool fill_levels(struct vt_profile_version *v, size_t n_points)
{
	bool any = false;
	size_t below = n_points; /* the last count that is there */

	for (size_t p = 0; p < n_points; p++) {
		const bool own = pressed(v, p) || below == n_points;

		for (size_t s = 1; s < VT_PROFILE_LEVELS; s++)
			if (!v->ns[0][p])
				v->ns[s][p] = 0;
			else if (!own)
				v->ns[s][p] =
					(uint64_t)((double)v->ns[0][p] * ((double)v->ns[s][below] /
									  (double)v->ns[0][below]));
			else if (!v->ns[s][p])
				v->ns[s][p] = v->ns[s - 1][p];
		below = v->ns[0][p] ? p : below;
		any |= v->ns[0][p] != 0;
	}
	return any;
}

/* Is @a faster than @b alone, on the most cores that either has? */
static bool faster(const struct vt_profile_version *a, const struct vt_profile_version *b,
		   size_t n_points)
{
	for (size_t p = n_points; p-- > 0;)
		if (a->ns[0][p] || b->ns[0][p])
			return a->ns[0][p] && (!b->ns[0][p] || a->ns[0][p] < b->ns[0][p]);
	return false;
}

static void close_version(struct reading *r)
{
	struct vt_profile_layer *l = r->ret;

	if (!r->open)
		return;
	r->open = false;
	if (!fill_levels(&r->next, r->n_points))
		return;
	if (r->next.kept && l->n < VT_PROFILE_KEPT)
		l->v[l->n++] = r->next;
	else if (!r->next.kept && !l->n)
		l->v[l->n++] = r->next;
	else if (!r->next.kept && !l->v[0].kept && faster(&r->next, &l->v[0], r->n_points))
		l->v[0] = r->next;
}

static int take_time(void *arg, const struct vt_profile_time *t)
{
	struct reading *r = arg;
	int p = point_of(r, t->cores);

	if (!r->open || strcmp(r->next.name, t->variant) != 0) {
		close_version(r);
		memset(&r->next, 0, sizeof(r->next));
		strncpy(r->next.name, t->variant, sizeof(r->next.name) - 1);
		r->next.kept = t->kept;
		r->open = true;
	}
	if (p >= 0)
		r->next.ns[t->level][p] = t->median_ns;
	return 0;
}

int vt_profile_layer(struct vt_profile *db, const char *signature, const uint16_t *points,
		     size_t n_points, struct vt_profile_layer *ret, struct vt_err *e)
{
	struct reading r = {.points = points, .n_points = n_points, .ret = ret};
	int err;

	ret->n = 0;
	if (n_points > VT_PROFILE_POINTS)
		return vt_fail(e, -EINVAL, "%s: at most %u core counts at once", db->path,
			       VT_PROFILE_POINTS);
	err = vt_profile_each(db, signature, take_time, &r, e);
	if (!err)
		close_version(&r);
	return err;
}

int vt_profile_points(struct vt_profile *db, uint16_t points[static VT_PROFILE_POINTS], size_t *n,
		      struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	int rc = SQLITE_DONE,
	    err = vt_store_prepare(
		    db, "SELECT DISTINCT cores FROM time WHERE key = ? ORDER BY cores", &st, e);

	*n = 0;
	if (err)
		return err;
	sqlite3_bind_int64(st, 1, db->key_id);
	while (!err && *n < VT_PROFILE_POINTS && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t cores = sqlite3_column_int64(st, 0);

		if (cores < 1 || cores > VT_PROFILE_CORES)
			err = vt_store_bad_row(db, "a time that makes no sense", e);
		else
			points[(*n)++] = (uint16_t)cores;
	}
	if (!err && rc != SQLITE_ROW && rc != SQLITE_DONE)
		err = vt_store_fail(db->db, db->path, rc, "read it", e);
	sqlite3_finalize(st);
	return err;
}

/* ---- all layers of a model ------------------------------------------------------------------ */

/* Which counts has the first version of every layer? -ENODATA at the layer that leaves none. */
static int common_points(const struct vt_profile_table *t, bool there[static VT_PROFILE_POINTS],
			 size_t *hole)
{
	memset(there, true, VT_PROFILE_POINTS);
	for (size_t i = 0; i < t->n_layers; i++) {
		const struct vt_profile_layer *l = &t->layers[i];
		bool any = false;

		for (size_t p = 0; p < t->n_points; p++) {
			there[p] &= l->n && l->v[0].ns[0][p];
			any |= there[p];
		}
		if (any)
			continue;
		if (hole)
			*hole = i;
		return -ENODATA;
	}
	return 0;
}

/* Keep the counts that are common, then the versions that have all of them. */
static void cut(struct vt_profile_table *t, const bool there[static VT_PROFILE_POINTS])
{
	size_t at = 0;

	for (size_t p = 0; p < t->n_points; p++) {
		if (!there[p])
			continue;
		for (size_t i = 0; i < t->n_layers; i++)
			for (size_t v = 0; v < t->layers[i].n; v++)
				for (size_t s = 0; s < VT_PROFILE_LEVELS; s++)
					t->layers[i].v[v].ns[s][at] = t->layers[i].v[v].ns[s][p];
		t->points[at++] = t->points[p];
	}
	t->n_points = at;
	for (size_t i = 0; i < t->n_layers; i++) {
		struct vt_profile_layer *l = &t->layers[i];
		size_t n = 0;

		for (size_t v = 0; v < l->n; v++) {
			bool whole = true;

			for (size_t p = 0; p < at; p++)
				whole &= l->v[v].ns[0][p] != 0;
			if (whole && n != v)
				l->v[n] = l->v[v];
			n += whole;
		}
		l->n = n;
		t->n_versions = n > t->n_versions ? n : t->n_versions;
	}
}

int vt_profile_table(struct vt_profile *db, vt_profile_signature_fn signature, void *arg, size_t n,
		     const uint16_t *points, size_t n_points, struct vt_profile_table *ret,
		     size_t *hole, struct vt_err *e)
{
	struct vt_profile_table t = {.n_layers = n, .n_points = n_points};
	bool there[VT_PROFILE_POINTS];
	int err = 0;

	if (!n || !n_points || n_points > VT_PROFILE_POINTS)
		return vt_fail(e, -EINVAL, "%s: no layers, or not 1 to %u core counts", db->path,
			       VT_PROFILE_POINTS);
	memcpy(t.points, points, n_points * sizeof(*points));
	t.layers = calloc(n, sizeof(*t.layers));
	if (!t.layers)
		return vt_fail(e, -ENOMEM, "%s: no memory for %zu layers", db->path, n);
	for (size_t i = 0; i < n && !err; i++)
		err = vt_profile_layer(db, signature(arg, i), points, n_points, &t.layers[i], e);
	if (!err) {
		err = common_points(&t, there, hole);
		if (err)
			vt_fail(e, err,
				"%s: layers that no core count has in common; profile the model "
				"first",
				db->path);
	}
	if (err) {
		free(t.layers);
		return err;
	}
	cut(&t, there);
	*ret = t;
	return 0;
}

void vt_profile_table_fini(struct vt_profile_table *t)
{
	free(t->layers);
	*t = (struct vt_profile_table){0};
}
