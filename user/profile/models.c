// SPDX-License-Identifier: Apache-2.0
/* models.c - which layers a model file is made of, and whether it is still that file. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "profile/int.h"

#define MAX_LAYERS 65536

/* One file, one name, however it was written down. */
static const char *full_name(const char *path, char buf[static PATH_MAX])
{
	return realpath(path, buf) ? buf : path;
}

static int step_done(struct vt_profile *p, sqlite3_stmt *st, struct vt_err *e)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : vt_store_fail(p->db, p->path, rc, "write it", e);
}

static int run_for_model(struct vt_profile *p, const char *sql, const char *path,
			 const char *digest, struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	int err = vt_store_prepare(p, sql, &st, e);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, p->key_id);
	sqlite3_bind_text(st, 2, path, -1, SQLITE_STATIC);
	if (digest)
		sqlite3_bind_text(st, 3, digest, -1, SQLITE_STATIC);
	err = step_done(p, st, e);
	sqlite3_finalize(st);
	return err;
}

static int put_layers(struct vt_profile *p, int64_t model, const char *const *layers, size_t n,
		      struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	int err = vt_store_prepare(p, "INSERT INTO model_layer VALUES(?,?,?)", &st, e);

	for (size_t i = 0; i < n && !err; i++) {
		int64_t layer;

		err = vt_store_layer(p, layers[i], &layer, e);
		if (err)
			break;
		sqlite3_bind_int64(st, 1, model);
		sqlite3_bind_int64(st, 2, (sqlite3_int64)i);
		sqlite3_bind_int64(st, 3, layer);
		err = step_done(p, st, e);
	}
	sqlite3_finalize(st);
	return err;
}

static int replace_model(struct vt_profile *p, const char *path, const char *digest,
			 const char *const *layers, size_t n, struct vt_err *e)
{
	int err = vt_store_key(p, e);

	if (!err)
		err = run_for_model(p,
				    "DELETE FROM model_layer WHERE model IN"
				    " (SELECT id FROM model WHERE key = ? AND path = ?)",
				    path, NULL, e);
	if (!err)
		err = run_for_model(p, "DELETE FROM model WHERE key = ? AND path = ?", path, NULL,
				    e);
	if (!err)
		err = run_for_model(p, "INSERT INTO model(key, path, digest) VALUES(?,?,?)", path,
				    digest, e);
	return err ? err : put_layers(p, sqlite3_last_insert_rowid(p->db), layers, n, e);
}

int vt_profile_model(struct vt_profile *p, const char *path, const char *digest,
		     const char *const *layers, size_t n, struct vt_err *e)
{
	char buf[PATH_MAX];
	int err;

	path = full_name(path, buf);
	if (!*path || strlen(path) >= PATH_MAX || !*digest || strlen(digest) >= VT_PROFILE_NAME ||
	    !n || n > MAX_LAYERS)
		return vt_fail(e, -EINVAL, "%s: a model without name, digest or layers", p->path);
	for (size_t i = 0; i < n; i++)
		if (!layers[i][0] || strlen(layers[i]) >= VT_PROFILE_TEXT)
			return vt_fail(e, -EINVAL, "%s: layer %zu of %s has no signature", p->path,
				       i, path);
	err = vt_store_begin(p, e);
	return err ? err : vt_store_end(p, replace_model(p, path, digest, layers, n, e), e);
}

int vt_profile_model_same(struct vt_profile *p, const char *path, const char *digest,
			  struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	char buf[PATH_MAX];
	const char *known;
	int rc, err = vt_store_prepare(p, "SELECT digest FROM model WHERE key = ? AND path = ?",
				       &st, e);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, p->key_id);
	sqlite3_bind_text(st, 2, full_name(path, buf), -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_DONE) {
		err = -ENOENT;
	} else if (rc != SQLITE_ROW) {
		err = vt_store_fail(p->db, p->path, rc, "read it", e);
	} else {
		known = vt_store_text(st, 0, VT_PROFILE_NAME);
		if (!known)
			err = vt_store_bad_row(p, "a model without a digest", e);
		else if (strncmp(known, digest, strlen(digest)) != 0)
			err = vt_fail(e, -EINVAL,
				      "%s: not the file that was profiled under this name (%s "
				      "then, %s now)",
				      path, known, digest);
	}
	sqlite3_finalize(st);
	return err;
}

/* ---- all models ----------------------------------------------------------------------------- */

struct model {
	char *path, *digest, **layers;
	size_t n, cap;
};

static void model_fini(struct model *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->layers[i]);
	free(m->layers);
	free(m->path);
	free(m->digest);
	*m = (struct model){0};
}

static int add_layer(struct model *m, const char *layer)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 64;
		char **more = realloc(m->layers, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		m->layers = more;
		m->cap = cap;
	}
	m->layers[m->n] = strdup(layer);
	return m->layers[m->n] ? (m->n++, 0) : -ENOMEM;
}

static int hand_out(struct model *m, vt_profile_model_fn fn, void *arg)
{
	int ret = m->path ? fn(arg, m->path, m->digest, (const char *const *)m->layers, m->n) : 0;

	model_fini(m);
	return ret;
}

/* A row is one layer; the model changes when the path does. */
static int take_row(struct vt_profile *p, sqlite3_stmt *st, struct model *m, vt_profile_model_fn fn,
		    void *arg, struct vt_err *e)
{
	const char *path = vt_store_text(st, 0, PATH_MAX),
		   *digest = vt_store_text(st, 1, VT_PROFILE_NAME),
		   *layer = vt_store_text(st, 2, VT_PROFILE_TEXT);
	int ret = 0;

	if (!path || !digest || !layer)
		return vt_store_bad_row(p, "a model without name, digest or layers", e);
	if (!m->path || strcmp(m->path, path) != 0) {
		ret = hand_out(m, fn, arg);
		if (ret)
			return ret;
		m->path = strdup(path);
		m->digest = strdup(digest);
	}
	if (m->n >= MAX_LAYERS)
		return vt_store_bad_row(p, "a model of too many layers", e);
	if (!m->path || !m->digest || add_layer(m, layer))
		ret = vt_fail(e, -ENOMEM, "%s: no memory", p->path);
	return ret;
}

int vt_profile_models(struct vt_profile *p, vt_profile_model_fn fn, void *arg, struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	struct model m = {0};
	int rc, ret = vt_store_prepare(p,
				       "SELECT path, digest, signature FROM model"
				       " JOIN model_layer ON model_layer.model = model.id"
				       " JOIN layer ON layer.id = model_layer.layer"
				       " WHERE key = ? ORDER BY path, position",
				       &st, e);

	if (ret)
		return ret;
	sqlite3_bind_int64(st, 1, p->key_id);
	while (!ret && (rc = sqlite3_step(st)) != SQLITE_DONE)
		ret = rc == SQLITE_ROW ? take_row(p, st, &m, fn, arg, e)
				       : vt_store_fail(p->db, p->path, rc, "read it", e);
	if (!ret)
		ret = hand_out(&m, fn, arg);
	model_fini(&m);
	sqlite3_finalize(st);
	return ret;
}
