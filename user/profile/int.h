/* SPDX-License-Identifier: Apache-2.0 */
/* int.h - between the files of the profile store. */
#ifndef VT_PROFILE_INT_H
#define VT_PROFILE_INT_H

#include <sqlite3.h>

#include "profile/profile.h"

/* A store of 200 layers, 18 variants, 8 core counts and 5 levels is about 12 MiB. */
#define VT_PROFILE_MAX_BYTES (256u << 20)

struct vt_profile {
	sqlite3 *db;
	char *path;
	bool writable, soon;
	bool may_be_new; /* a database without tables is one whose maker was killed at once */
	struct vt_profile_key key;
	int64_t key_id;	    /* row of the key; 0: the file has nothing of this machine */
	int64_t key_before; /* what it was when the transaction began */
};

/** vt_store_fail - the text and code of a failed SQLite call; "PATH: cannot DOING: ..." */
int vt_store_fail(sqlite3 *db, const char *path, int rc, const char *doing, struct vt_err *e);

/** vt_store_prepare - a statement; NULL after an error */
int vt_store_prepare(struct vt_profile *p, const char *sql, sqlite3_stmt **ret, struct vt_err *e);
/** vt_store_exec - statements without results */
int vt_store_exec(struct vt_profile *p, const char *sql, const char *doing, struct vt_err *e);

/**
 * vt_store_begin - a write transaction; -EACCES on a handle that only reads
 * vt_store_end - commit if @err is 0, else roll back; returns @err or what the commit returned
 */
int vt_store_begin(struct vt_profile *p, struct vt_err *e);
int vt_store_end(struct vt_profile *p, int err, struct vt_err *e);

/** vt_store_key - id of the handle's key, made if the file has none; in a write transaction */
int vt_store_key(struct vt_profile *p, struct vt_err *e);
/** vt_store_layer - id of a layer, made if the file has none; in a write transaction */
int vt_store_layer(struct vt_profile *p, const char *signature, int64_t *ret, struct vt_err *e);

/** vt_store_text - column @i if it is text of 1 to @max - 1 bytes without NULs, else NULL */
const char *vt_store_text(sqlite3_stmt *st, int i, size_t max);
/** vt_store_bad_row - what the store says makes no sense: -EINVAL */
int vt_store_bad_row(const struct vt_profile *p, const char *what, struct vt_err *e);

/** vt_schema_check - is this a store whose schema we know, unchanged? Sets *@version; 0: empty */
int vt_schema_check(sqlite3 *db, const char *path, int *version, struct vt_err *e);
/** vt_schema_migrate - from @version to VT_PROFILE_SCHEMA; 0 makes a new store. In a transaction */
int vt_schema_migrate(sqlite3 *db, const char *path, int version, struct vt_err *e);

#endif
