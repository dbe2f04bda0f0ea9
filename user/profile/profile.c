// SPDX-License-Identifier: Apache-2.0
/* profile.c - times in and out; transactions and errors for the other files. */
#include "profile/profile.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "profile/int.h"

/* ---- errors --------------------------------------------------------------------------------- */

/* What the file system said last, where that is the cause. */
static int system_code(sqlite3 *db, int rc)
{
	int err = db ? sqlite3_system_errno(db) : 0;

	switch (rc & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR:
		return err == ENOSPC || err == EDQUOT ? -ENOSPC : err ? -err : -EIO;
	case SQLITE_READONLY:
		return err == EROFS ? -EROFS : -EACCES;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	default:
		return -EIO;
	}
}

int vt_store_fail(sqlite3 *db, const char *path, int rc, const char *doing, struct vt_err *e)
{
	int code;

	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_ERROR: /* all our SQL is right for a sound schema */
	case SQLITE_SCHEMA:
		return vt_fail(e, -EINVAL,
			       "%s: is damaged (cannot %s: %.120s); move it away, and profile anew",
			       path, doing, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return vt_fail(e, -EBUSY, "%s: cannot %s: another process is writing to it", path,
			       doing);
	case SQLITE_NOMEM:
		return vt_fail(e, -ENOMEM, "%s: cannot %s: no memory", path, doing);
	case SQLITE_TOOBIG:
	case SQLITE_INTERRUPT:
		return vt_fail(e, -EINVAL, "%s: cannot %s: too large for a profile store", path,
			       doing);
	}
	code = system_code(db, rc);
	if (code == -ENOSPC)
		return vt_fail(e, code, "%s: cannot %s: the disk is full; free some space", path,
			       doing);
	return vt_fail(e, code, "%s: cannot %s: %s", path, doing, strerror(-code));
}

int vt_store_bad_row(const struct vt_profile *p, const char *what, struct vt_err *e)
{
	return vt_fail(e, -EINVAL, "%s: is damaged (%s); move it away, and profile anew", p->path,
		       what);
}

/* ---- statements and transactions ------------------------------------------------------------ */

int vt_store_prepare(struct vt_profile *p, const char *sql, sqlite3_stmt **ret, struct vt_err *e)
{
	int rc = sqlite3_prepare_v2(p->db, sql, -1, ret, NULL);

	return rc == SQLITE_OK ? 0 : vt_store_fail(p->db, p->path, rc, "use it", e);
}

int vt_store_exec(struct vt_profile *p, const char *sql, const char *doing, struct vt_err *e)
{
	int rc = sqlite3_exec(p->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : vt_store_fail(p->db, p->path, rc, doing, e);
}

int vt_store_begin(struct vt_profile *p, struct vt_err *e)
{
	if (!p->writable)
		return vt_fail(e, -EACCES, "%s: was opened for reading only", p->path);
	p->key_before = p->key_id;
	return vt_store_exec(p, "BEGIN IMMEDIATE", "write it", e);
}

int vt_store_end(struct vt_profile *p, int err, struct vt_err *e)
{
	if (!err)
		err = vt_store_exec(p, "COMMIT", "write it", e);
	if (err && !sqlite3_get_autocommit(p->db))
		sqlite3_exec(p->db, "ROLLBACK", NULL, NULL, NULL);
	if (err) /* a key made in vain: its number may become another machine's */
		p->key_id = p->key_before;
	return err;
}

const char *vt_store_text(sqlite3_stmt *st, int i, size_t max)
{
	const char *s = sqlite3_column_type(st, i) == SQLITE_TEXT
				? (const char *)sqlite3_column_text(st, i)
				: NULL;
	size_t n = s ? (size_t)sqlite3_column_bytes(st, i) : 0;

	return n > 0 && n < max && strlen(s) == n ? s : NULL;
}

/* Run @sql, then ask @ask for an id; both with the same texts. */
static int make_id(struct vt_profile *p, const char *const sql[2], const char *a, const char *b,
		   int64_t *ret, struct vt_err *e)
{
	for (int i = 0; i < 2; i++) {
		sqlite3_stmt *st = NULL;
		int rc, err = vt_store_prepare(p, sql[i], &st, e);

		if (err)
			return err;
		sqlite3_bind_text(st, 1, a, -1, SQLITE_STATIC);
		if (b)
			sqlite3_bind_text(st, 2, b, -1, SQLITE_STATIC);
		rc = sqlite3_step(st);
		if (i && rc == SQLITE_ROW)
			*ret = sqlite3_column_int64(st, 0);
		sqlite3_finalize(st);
		if (rc != (i ? SQLITE_ROW : SQLITE_DONE))
			return vt_store_fail(p->db, p->path, rc, "write it", e);
	}
	return 0;
}

int vt_store_key(struct vt_profile *p, struct vt_err *e)
{
	static const char *const sql[2] = {
		"INSERT INTO key(machine, library) VALUES(?, ?) ON CONFLICT DO NOTHING",
		"SELECT id FROM key WHERE machine = ? AND library = ?"};

	return make_id(p, sql, p->key.machine, p->key.library, &p->key_id, e);
}

int vt_store_layer(struct vt_profile *p, const char *signature, int64_t *ret, struct vt_err *e)
{
	static const char *const sql[2] = {
		"INSERT INTO layer(signature) VALUES(?) ON CONFLICT DO NOTHING",
		"SELECT id FROM layer WHERE signature = ?"};

	return make_id(p, sql, signature, NULL, ret, e);
}

/* ---- in ------------------------------------------------------------------------------------- */

static bool good_name(const char *s, size_t max)
{
	return s && *s && strlen(s) < max;
}

static const char *time_fault(const struct vt_profile_time *t)
{
	if (!good_name(t->layer, VT_PROFILE_TEXT))
		return "a layer without a signature, or with one of over 1023 bytes";
	if (!good_name(t->variant, VT_PROFILE_NAME))
		return "a variant without a name, or with one of over 63 bytes";
	if (!t->cores || t->cores > VT_PROFILE_CORES)
		return "a number of cores that is not 1 .. 1024";
	if (t->level >= VT_PROFILE_LEVELS)
		return "a level that is not 0 .. 4";
	if (!t->median_ns || t->median_ns > VT_PROFILE_MAX_NS || t->spread_ns > VT_PROFILE_MAX_NS)
		return "a time that is not 1 ns .. 1 h";
	if (!t->samples || t->samples > INT32_MAX)
		return "a time of no samples";
	return NULL;
}

static int put_one(struct vt_profile *p, sqlite3_stmt *st, const struct vt_profile_time *t,
		   struct vt_err *e)
{
	int64_t layer;
	int rc, err = vt_store_layer(p, t->layer, &layer, e);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, p->key_id);
	sqlite3_bind_int64(st, 2, layer);
	sqlite3_bind_text(st, 3, t->variant, -1, SQLITE_STATIC);
	sqlite3_bind_int(st, 4, t->cores);
	sqlite3_bind_int(st, 5, t->level);
	sqlite3_bind_int64(st, 6, (sqlite3_int64)t->median_ns);
	sqlite3_bind_int64(st, 7, (sqlite3_int64)t->spread_ns);
	sqlite3_bind_int64(st, 8, t->samples);
	sqlite3_bind_int64(st, 9, (sqlite3_int64)(t->taken_s ? t->taken_s : (uint64_t)time(NULL)));
	rc = sqlite3_step(st);
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? 0 : vt_store_fail(p->db, p->path, rc, "write it", e);
}

int vt_profile_put(struct vt_profile *p, const struct vt_profile_time *t, size_t n,
		   struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	int err;

	for (size_t i = 0; i < n; i++)
		if (time_fault(&t[i]))
			return vt_fail(e, -EINVAL, "%s: %s", p->path, time_fault(&t[i]));
	err = vt_store_begin(p, e);
	if (err)
		return err;
	err = vt_store_key(p, e);
	if (!err)
		err = vt_store_prepare(p, "INSERT OR REPLACE INTO time VALUES(?,?,?,?,?,?,?,?,?)",
				       &st, e);
	for (size_t i = 0; i < n && !err; i++)
		err = put_one(p, st, &t[i], e);
	sqlite3_finalize(st);
	return vt_store_end(p, err, e);
}

static int keep_rows(struct vt_profile *p, const char *layer, const char *const *variants, size_t n,
		     struct vt_err *e)
{
	int64_t id = 0;
	sqlite3_stmt *del = NULL, *add = NULL;
	int rc, err = vt_store_key(p, e);

	if (!err)
		err = vt_store_layer(p, layer, &id, e);
	if (!err)
		err = vt_store_prepare(p, "DELETE FROM keep WHERE key = ? AND layer = ?", &del, e);
	if (!err)
		err = vt_store_prepare(p, "INSERT INTO keep VALUES(?,?,?,?)", &add, e);
	if (!err) {
		sqlite3_bind_int64(del, 1, p->key_id);
		sqlite3_bind_int64(del, 2, id);
		rc = sqlite3_step(del);
		err = rc == SQLITE_DONE ? 0 : vt_store_fail(p->db, p->path, rc, "write it", e);
	}
	for (size_t i = 0; i < n && !err; i++) {
		sqlite3_bind_int64(add, 1, p->key_id);
		sqlite3_bind_int64(add, 2, id);
		sqlite3_bind_text(add, 3, variants[i], -1, SQLITE_STATIC);
		sqlite3_bind_int64(add, 4, (sqlite3_int64)i);
		rc = sqlite3_step(add);
		sqlite3_reset(add);
		err = rc == SQLITE_DONE ? 0 : vt_store_fail(p->db, p->path, rc, "write it", e);
	}
	sqlite3_finalize(del);
	sqlite3_finalize(add);
	return err;
}

int vt_profile_keep(struct vt_profile *p, const char *layer, const char *const *variants, size_t n,
		    struct vt_err *e)
{
	int err;

	if (!good_name(layer, VT_PROFILE_TEXT) || n > VT_PROFILE_KEPT)
		return vt_fail(e, -EINVAL, "%s: no layer, or more than %u versions of one", p->path,
			       VT_PROFILE_KEPT);
	for (size_t i = 0; i < n; i++) {
		if (!good_name(variants[i], VT_PROFILE_NAME))
			return vt_fail(e, -EINVAL, "%s: a version without a name", p->path);
		for (size_t j = 0; j < i; j++)
			if (!strcmp(variants[i], variants[j]))
				return vt_fail(e, -EINVAL, "%s: version '%s' twice", p->path,
					       variants[i]);
	}
	err = vt_store_begin(p, e);
	return err ? err : vt_store_end(p, keep_rows(p, layer, variants, n, e), e);
}

/* ---- out ------------------------------------------------------------------------------------ */

/* Column @i as a number of [min, max]. */
static bool number(sqlite3_stmt *st, int i, int64_t min, int64_t max, int64_t *ret)
{
	*ret = sqlite3_column_int64(st, i);
	return sqlite3_column_type(st, i) == SQLITE_INTEGER && *ret >= min && *ret <= max;
}

static bool read_row(sqlite3_stmt *st, struct vt_profile_time *t)
{
	int64_t cores, level, median, spread, samples, taken, rank = 0;
	bool kept = sqlite3_column_type(st, 7) != SQLITE_NULL;

	*t = (struct vt_profile_time){.layer = vt_store_text(st, 0, VT_PROFILE_TEXT),
				      .variant = vt_store_text(st, 1, VT_PROFILE_NAME)};
	if (!t->layer || !t->variant || !number(st, 2, 1, VT_PROFILE_CORES, &cores) ||
	    !number(st, 3, 0, VT_PROFILE_LEVELS - 1, &level) ||
	    !number(st, 4, 1, (int64_t)VT_PROFILE_MAX_NS, &median) ||
	    !number(st, 5, 0, (int64_t)VT_PROFILE_MAX_NS, &spread) ||
	    !number(st, 6, 1, INT32_MAX, &samples) || !number(st, 8, 0, INT64_MAX, &taken) ||
	    (kept && !number(st, 7, 0, VT_PROFILE_KEPT - 1, &rank)))
		return false;
	t->cores = (uint16_t)cores;
	t->level = (uint8_t)level;
	t->median_ns = (uint64_t)median;
	t->spread_ns = (uint64_t)spread;
	t->samples = (uint32_t)samples;
	t->taken_s = (uint64_t)taken;
	t->kept = kept;
	t->rank = kept ? (uint8_t)rank : 0;
	return true;
}

#define TIMES                                                                                      \
	"SELECT layer.signature, time.variant, cores, level, median_ns, spread_ns, samples, rank," \
	" taken_s FROM time JOIN layer ON layer.id = time.layer"                                   \
	" LEFT JOIN keep ON keep.key = time.key AND keep.layer = time.layer"                       \
	" AND keep.variant = time.variant WHERE time.key = ?1"
#define IN_ORDER " ORDER BY layer.signature, rank IS NULL, rank, time.variant, cores, level"

int vt_profile_each(struct vt_profile *p, const char *layer, vt_profile_fn fn, void *arg,
		    struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	struct vt_profile_time t;
	int rc, ret = vt_store_prepare(
			p, layer ? TIMES " AND layer.signature = ?2" IN_ORDER : TIMES IN_ORDER, &st,
			e);

	if (ret)
		return ret;
	/* A writer that began without times of this machine has made its key since. */
	if (!p->key_id)
		goto out;
	sqlite3_bind_int64(st, 1, p->key_id);
	if (layer)
		sqlite3_bind_text(st, 2, layer, -1, SQLITE_STATIC);
	while (!ret && (rc = sqlite3_step(st)) != SQLITE_DONE) {
		if (rc != SQLITE_ROW)
			ret = vt_store_fail(p->db, p->path, rc, "read it", e);
		else if (!read_row(st, &t))
			ret = vt_store_bad_row(p, "a time that makes no sense", e);
		else
			ret = fn(arg, &t);
	}
out:
	sqlite3_finalize(st);
	return ret;
}

int vt_profile_foreign(struct vt_profile *p, uint64_t *ret, struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	int rc, err = vt_store_prepare(p, "SELECT count(*) FROM time WHERE key <> ?", &st, e);

	if (err)
		return err;
	sqlite3_bind_int64(st, 1, p->key_id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : vt_store_fail(p->db, p->path, rc, "read it", e);
}

int vt_profile_keys(struct vt_profile *p, vt_profile_key_fn fn, void *arg, struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	int rc, ret = vt_store_prepare(p,
				       "SELECT machine, library, (SELECT count(*) FROM time WHERE "
				       "time.key = key.id)"
				       " FROM key ORDER BY machine, library",
				       &st, e);

	if (ret)
		return ret;
	while (!ret && (rc = sqlite3_step(st)) != SQLITE_DONE) {
		struct vt_profile_key key = {0};
		const char *machine, *library;

		if (rc != SQLITE_ROW) {
			ret = vt_store_fail(p->db, p->path, rc, "read it", e);
			break;
		}
		machine = vt_store_text(st, 0, sizeof(key.machine));
		library = vt_store_text(st, 1, sizeof(key.library));
		if (!machine || !library) {
			ret = vt_store_bad_row(p, "a machine without a name", e);
			break;
		}
		strcpy(key.machine, machine);
		strcpy(key.library, library);
		ret = fn(arg, &key, (uint64_t)sqlite3_column_int64(st, 2));
	}
	sqlite3_finalize(st);
	return ret;
}
