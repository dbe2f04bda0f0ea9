// SPDX-License-Identifier: Apache-2.0
/*
 * schema.c - the tables, as a list of steps from one version to the next. A new store is an empty
 * one that has been migrated, so that the oldest and the newest store have the same text of tables,
 * and any other text is none of ours.
 */
#include <stdio.h>
#include <string.h>

#include "profile/int.h"

#define APPLICATION_ID 0x56745072 /* "VtPr" */

/* steps[v] leads from version v to v + 1. */
static const char *const steps[VT_PROFILE_SCHEMA] = {
	/* 1 */
	"CREATE TABLE key("
	"id INTEGER PRIMARY KEY, machine TEXT NOT NULL, library TEXT NOT NULL,"
	" UNIQUE(machine, library)) STRICT;"
	"CREATE TABLE layer("
	"id INTEGER PRIMARY KEY, signature TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE time("
	"key INTEGER NOT NULL, layer INTEGER NOT NULL, variant TEXT NOT NULL,"
	" cores INTEGER NOT NULL, level INTEGER NOT NULL, median_ns INTEGER NOT NULL,"
	" spread_ns INTEGER NOT NULL, samples INTEGER NOT NULL,"
	" PRIMARY KEY(key, layer, variant, cores, level)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE keep("
	"key INTEGER NOT NULL, layer INTEGER NOT NULL, variant TEXT NOT NULL,"
	" rank INTEGER NOT NULL, PRIMARY KEY(key, layer, variant)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE model("
	"id INTEGER PRIMARY KEY, key INTEGER NOT NULL, path TEXT NOT NULL, digest TEXT NOT NULL,"
	" UNIQUE(key, path)) STRICT;"
	"CREATE TABLE model_layer("
	"model INTEGER NOT NULL, position INTEGER NOT NULL, layer INTEGER NOT NULL,"
	" PRIMARY KEY(model, position)) STRICT, WITHOUT ROWID;",
	/* 2: when a time was taken; 0 where the store is older than that */
	"ALTER TABLE time ADD COLUMN taken_s INTEGER NOT NULL DEFAULT 0;",
};

static int pragma_int(sqlite3 *db, const char *sql, int *ret)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int(st, 0);
		rc = SQLITE_OK;
	} else if (rc == SQLITE_DONE) {
		rc = SQLITE_CORRUPT;
	}
	sqlite3_finalize(st);
	return rc;
}

/* From version @from to @to, without touching ids and version. */
static int take_steps(sqlite3 *db, int from, int to)
{
	int rc = SQLITE_OK;

	for (int v = from; rc == SQLITE_OK && v < to; v++)
		rc = sqlite3_exec(db, steps[v], NULL, NULL, NULL);
	return rc;
}

int vt_schema_migrate(sqlite3 *db, const char *path, int version, struct vt_err *e)
{
	char sql[128];
	int rc = take_steps(db, version, VT_PROFILE_SCHEMA);

	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
		 APPLICATION_ID, VT_PROFILE_SCHEMA);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : vt_store_fail(db, path, rc, "make its tables", e);
}

/* ---- is it ours? --------------------------------------------------------------------------- */

/* What lies in a file: tables and the like by name, but for SQLite's own statistics. */
#define OBJECTS                                                                                    \
	"SELECT type, name, sql FROM sqlite_schema"                                                \
	" WHERE name NOT GLOB 'sqlite_stat*' ORDER BY type, name"

static bool same_text(sqlite3_stmt *a, sqlite3_stmt *b, int i)
{
	const unsigned char *x = sqlite3_column_text(a, i), *y = sqlite3_column_text(b, i);

	return x == y || (x && y && !strcmp((const char *)x, (const char *)y));
}

/* 1: the same objects; 0: others; a negative SQLite code if that cannot be told. */
static int same_objects(sqlite3 *a, sqlite3 *b, sqlite3 **broken)
{
	sqlite3_stmt *sa = NULL, *sb = NULL;
	int ra, rb, same = 1;

	ra = sqlite3_prepare_v2(a, OBJECTS, -1, &sa, NULL);
	rb = sqlite3_prepare_v2(b, OBJECTS, -1, &sb, NULL);
	while (ra == SQLITE_OK && rb == SQLITE_OK && same) {
		int ta = sqlite3_step(sa), tb = sqlite3_step(sb);

		if (ta != SQLITE_ROW && ta != SQLITE_DONE)
			ra = ta;
		else if (tb != SQLITE_ROW && tb != SQLITE_DONE)
			rb = tb;
		else if (ta != tb)
			same = 0;
		else if (ta == SQLITE_DONE)
			break;
		else
			for (int i = 0; i < 3 && same; i++)
				same = same_text(sa, sb, i);
	}
	sqlite3_finalize(sa);
	sqlite3_finalize(sb);
	if (ra == SQLITE_OK && rb == SQLITE_OK)
		return same;
	*broken = ra == SQLITE_OK ? b : a;
	return -(ra == SQLITE_OK ? rb : ra);
}

/* Are the tables those of @version, to the letter? Triggers, views and other columns are not. */
static int check_objects(sqlite3 *db, const char *path, int version, struct vt_err *e)
{
	sqlite3 *ours = NULL, *broken = NULL;
	int rc = sqlite3_open_v2(":memory:", &ours, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
				 NULL),
	    err;

	if (rc == SQLITE_OK)
		rc = take_steps(ours, 0, version);
	if (rc != SQLITE_OK) {
		err = vt_store_fail(ours, path, rc, "make tables to compare with", e);
	} else {
		rc = same_objects(db, ours, &broken);
		err = rc == 1  ? 0
		      : rc < 0 ? vt_store_fail(broken, path, -rc, "read its tables", e)
			       : vt_fail(e, -EINVAL,
					 "%s: not a profile store as veltair makes it: other "
					 "tables; name another store",
					 path);
	}
	sqlite3_close(ours);
	return err;
}

int vt_schema_check(sqlite3 *db, const char *path, int *version, struct vt_err *e)
{
	int rc, id = 0, v = 0, objects = 0;

	rc = pragma_int(db, "PRAGMA application_id", &id);
	if (rc == SQLITE_OK)
		rc = pragma_int(db, "PRAGMA user_version", &v);
	if (rc == SQLITE_OK)
		rc = pragma_int(db, "SELECT count(*) FROM sqlite_schema", &objects);
	if (rc != SQLITE_OK)
		return vt_store_fail(db, path, rc, "read its header", e);
	*version = v;
	if (!id && !v && !objects)
		return 0;
	if (id != APPLICATION_ID || v < 1)
		return vt_fail(e, -EINVAL, "%s: a SQLite file, but not a profile store", path);
	if (v > VT_PROFILE_SCHEMA)
		return vt_fail(e, -EINVAL,
			       "%s: schema %d, this veltair reads up to %d; use a newer veltair or "
			       "another store",
			       path, v, VT_PROFILE_SCHEMA);
	return check_objects(db, path, v, e);
}
