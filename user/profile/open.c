// SPDX-License-Identifier: Apache-2.0
/*
 * open.c - from a path to a handle.
 *
 * Every open begins with the whole store as bytes in memory, write-ahead log included, and looks at
 * those: header, schema, structure. Reading stays with that copy. Writing opens the file only after
 * the copy was found good, so that whatever is refused is refused before SQLite could touch it.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "profile/int.h"

#define MAGIC	       "SQLite format 3" /* with its NUL: the first 16 bytes */
#define HEADER_BYTES   100u
#define FORMAT_WRITE   18 /* header: 1 rollback journal, 2 write-ahead log; 19 likewise */
#define BUSY_MS	       10000
#define BUSY_SOON_MS   100 /* VT_PROFILE_WRITE_SOON */
#define OPS_PER_CALL   10000
#define CALLS_MAX      200000 /* 2e9 operations of SQLite's machine: minutes, never a hang */
#define SNAPSHOT_TRIES 5

/* ---- connections ---------------------------------------------------------------------------- */

static int too_long(void *arg)
{
	int *calls = arg;

	return ++*calls > CALLS_MAX;
}

/* Nothing in the file may run code, and no value in it may be large. */
static void harden(sqlite3 *db)
{
	static const struct {
		int limit, value;
	} limits[] = {
		{SQLITE_LIMIT_LENGTH, 1 << 20},
		{SQLITE_LIMIT_SQL_LENGTH, 1 << 16},
		{SQLITE_LIMIT_COLUMN, 64},
		{SQLITE_LIMIT_EXPR_DEPTH, 32},
		{SQLITE_LIMIT_COMPOUND_SELECT, 4},
		{SQLITE_LIMIT_VDBE_OP, 25000},
		{SQLITE_LIMIT_FUNCTION_ARG, 8},
		{SQLITE_LIMIT_ATTACHED, 0},
		{SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64},
		{SQLITE_LIMIT_VARIABLE_NUMBER, 32},
		{SQLITE_LIMIT_TRIGGER_DEPTH, 1},
		{SQLITE_LIMIT_WORKER_THREADS, 0},
	};

	sqlite3_extended_result_codes(db, 1);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		sqlite3_limit(db, limits[i].limit, limits[i].value);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
}

static int connect_to(sqlite3 **ret, const char *path, int flags, struct vt_err *e)
{
	int rc = sqlite3_open_v2(path, ret, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE,
				 NULL);

	if (rc != SQLITE_OK) {
		vt_store_fail(*ret, path, rc, "open it", e);
		sqlite3_close(*ret);
		*ret = NULL;
		return e ? e->code : -EINVAL;
	}
	harden(*ret);
	sqlite3_busy_timeout(*ret, BUSY_MS);
	sqlite3_exec(*ret, "PRAGMA cell_size_check = ON", NULL, NULL, NULL);
	return 0;
}

static int quick_check(sqlite3 *db, const char *path, struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	const char *said = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &st, NULL), err = 0;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		said = (const char *)sqlite3_column_text(st, 0);
	if (rc != SQLITE_ROW)
		err = vt_store_fail(db, path, rc, "check it", e);
	else if (!said || strcmp(said, "ok") != 0)
		err = vt_fail(e, -EINVAL, "%s: is damaged (%.120s); move it away, and profile anew",
			      path, said ? said : "no answer");
	sqlite3_finalize(st);
	return err;
}

/* ---- the store as bytes --------------------------------------------------------------------- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Where the file is that SQLite opens: it follows links, and has its log beside what they lead to. @at: PATH_MAX */
static const char *place_of(const char *path, char *at)
{
	return realpath(path, at) ? at : path;
}

/* Are there pages that have not found their way into the file? A writer, or one that was killed. */
static bool has_log(const char *path)
{
	char name[PATH_MAX], at[PATH_MAX];
	struct stat st;

	if ((size_t)snprintf(name, sizeof(name), "%s-wal", place_of(path, at)) >= sizeof(name))
		return false;
	return !stat(name, &st) && st.st_size > 0;
}

/* Through SQLite, which joins file and log; it writes beside the file at most, not into it. */
static int snapshot_with_log(const char *path, unsigned char **ret, size_t *len, struct vt_err *e)
{
	sqlite3_int64 n = 0;
	sqlite3 *db = NULL;
	int rc, err = connect_to(&db, path, SQLITE_OPEN_READONLY, e);

	if (err)
		return err;
	rc = sqlite3_exec(db, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		sqlite3_serialize(db, "main", &n, SQLITE_SERIALIZE_NOCOPY); /* its size */
	if (rc != SQLITE_OK)
		err = vt_store_fail(db, path, rc, "read it", e);
	else if (n > VT_PROFILE_MAX_BYTES)
		err = vt_fail(e, -EINVAL, "%s: more than %u MiB, no profile store is so large",
			      path, VT_PROFILE_MAX_BYTES >> 20);
	else if (!(*ret = sqlite3_serialize(db, "main", &n, 0)))
		err = vt_fail(e, -ENOMEM, "%s: no memory to read it", path);
	*len = (size_t)n;
	sqlite3_close(db);
	return err;
}

static int snapshot_file(const char *path, unsigned char **ret, size_t *len, struct vt_err *e)
{
	void *bytes;
	int err = vt_file_read(path, VT_PROFILE_MAX_BYTES, &bytes, len, e);

	if (err)
		return err == -EFBIG ? -EINVAL : err;
	*ret = sqlite3_malloc64(*len + 1);
	if (*ret)
		memcpy(*ret, bytes, *len);
	free(bytes);
	return *ret ? 0 : vt_fail(e, -ENOMEM, "%s: no memory to read it", path);
}

/* The bytes are of one moment: no log before and after, and the file did not change meanwhile. */
static int snapshot(const char *path, unsigned char **ret, size_t *len, struct vt_err *e)
{
	struct stat a, b;
	int err;

	for (int i = 0; i < SNAPSHOT_TRIES; i++) {
		if (stat(path, &a) < 0)
			return vt_fail(e, -errno, "%s: cannot open: %s", path, strerror(errno));
		if (S_ISREG(a.st_mode) && has_log(path))
			return snapshot_with_log(path, ret, len, e);
		err = snapshot_file(path, ret, len, e);
		if (err)
			return err;
		if (!has_log(path) && !stat(path, &b) && same_file(&a, &b))
			return 0;
		sqlite3_free(*ret);
		*ret = NULL;
	}
	return vt_fail(e, -EBUSY, "%s: changes all the time while it is read; try again", path);
}

/* ---- handles -------------------------------------------------------------------------------- */

static int new_handle(struct vt_profile **ret, const char *path, const struct vt_profile_key *key,
		      struct vt_err *e)
{
	struct vt_profile *p = calloc(1, sizeof(*p));

	if (p)
		p->path = strdup(path);
	if (!p || !p->path) {
		free(p);
		return vt_fail(e, -ENOMEM, "%s: no memory", path);
	}
	p->key = *key;
	p->key.machine[sizeof(p->key.machine) - 1] = '\0';
	p->key.library[sizeof(p->key.library) - 1] = '\0';
	*ret = p;
	return 0;
}

static int find_key(struct vt_profile *p, struct vt_err *e)
{
	sqlite3_stmt *st = NULL;
	int rc, err = vt_store_prepare(p, "SELECT id FROM key WHERE machine = ? AND library = ?",
				       &st, e);

	if (err)
		return err;
	sqlite3_bind_text(st, 1, p->key.machine, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, p->key.library, -1, SQLITE_STATIC);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		p->key_id = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE
		       ? 0
		       : vt_store_fail(p->db, p->path, rc, "read it", e);
}

/* @bytes: of sqlite3_malloc64(), taken over. */
static int open_memory(struct vt_profile *p, unsigned char *bytes, size_t len, struct vt_err *e)
{
	int version = 0, calls = 0, rc, err;

	if (len < HEADER_BYTES || memcmp(bytes, MAGIC, sizeof(MAGIC)) != 0) {
		sqlite3_free(bytes);
		return vt_fail(e, -EINVAL, "%s: not a profile store (%s)", p->path,
			       len ? "no SQLite file" : "empty");
	}
	/* A copy in memory has no log of its own; that of the file is in it already. */
	bytes[FORMAT_WRITE] = bytes[FORMAT_WRITE + 1] = 1;
	err = connect_to(&p->db, ":memory:", SQLITE_OPEN_READWRITE, e);
	if (err) {
		sqlite3_free(bytes);
		return err;
	}
	rc = sqlite3_deserialize(p->db, "main", bytes, (sqlite3_int64)len, (sqlite3_int64)len,
				 SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE);
	if (rc != SQLITE_OK)
		return vt_store_fail(p->db, p->path, rc, "read it", e);
	sqlite3_progress_handler(p->db, OPS_PER_CALL, too_long, &calls);
	err = vt_schema_check(p->db, p->path, &version, e);
	if (!err)
		err = quick_check(p->db, p->path, e);
	if (!err && !version && !p->may_be_new)
		err = vt_fail(e, -EINVAL, "%s: not a profile store (it has no tables)", p->path);
	if (!err && version < VT_PROFILE_SCHEMA)
		err = vt_schema_migrate(p->db, p->path, version, e);
	if (!err)
		err = find_key(p, e);
	sqlite3_progress_handler(p->db, 0, NULL, NULL);
	return err;
}

static int open_read(struct vt_profile **ret, const char *path, const struct vt_profile_key *key,
		     bool may_be_new, struct vt_err *e)
{
	unsigned char *bytes = NULL;
	struct vt_profile *p = NULL;
	size_t len = 0;
	int err = new_handle(&p, path, key, e);

	if (!err) {
		p->may_be_new = may_be_new;
		err = snapshot(path, &bytes, &len, e);
	}
	if (!err)
		err = open_memory(p, bytes, len, e);
	if (err) {
		vt_profile_close(p);
		return err;
	}
	*ret = p;
	return 0;
}

int vt_profile_open_bytes(struct vt_profile **ret, const void *bytes, size_t len, const char *path,
			  const struct vt_profile_key *key, struct vt_err *e)
{
	struct vt_profile *p = NULL;
	int err = new_handle(&p, path, key, e);
	unsigned char *copy = NULL;

	if (!err) {
		copy = sqlite3_malloc64(len + 1);
		err = copy ? 0 : vt_fail(e, -ENOMEM, "%s: no memory", path);
	}
	if (!err) {
		if (len)
			memcpy(copy, bytes, len);
		err = open_memory(p, copy, len, e);
	}
	if (err) {
		vt_profile_close(p);
		return err;
	}
	*ret = p;
	return 0;
}

/* ---- for writing ---------------------------------------------------------------------------- */

static int not_writable(const char *path, const char *what, int code, struct vt_err *e)
{
	return vt_fail(e, code, "%s: %s: %s; name another store", path, what,
		       code == -EROFS ? "its file system is read-only" : strerror(-code));
}

/* May file and folder be written? Root may write a file whose mode says no: he is held to it too. */
static int check_writable(const char *path, bool *there, struct vt_err *e)
{
	char dir[PATH_MAX], at[PATH_MAX];
	struct stat st;
	char *slash;

	if ((size_t)snprintf(dir, sizeof(dir), "%s", place_of(path, at)) >= sizeof(dir))
		return vt_fail(e, -EINVAL, "the path of the store is too long: %.60s...", path);
	slash = strrchr(dir, '/');
	if (slash)
		slash[slash == dir] = '\0';
	*there = !stat(path, &st);
	if (!*there && errno != ENOENT)
		return vt_fail(e, -errno, "%s: %s", path, strerror(errno));
	if (*there && access(path, W_OK))
		return not_writable(path, "cannot write", -errno, e);
	if (*there && !(st.st_mode & 0222))
		return not_writable(path, "cannot write: its mode says read-only", -EACCES, e);
	if (access(slash ? dir : ".", W_OK | X_OK))
		return not_writable(path, "cannot write to its folder", -errno, e);
	return 0;
}

static int use_log(struct vt_profile *p, struct vt_err *e)
{
	const int tries = p->soon ? BUSY_SOON_MS / 20 : 100;
	int rc = SQLITE_BUSY;

	/* SQLite does not wait by itself here while another process creates the same store. */
	for (int i = 0; i < tries && (rc & 0xff) == SQLITE_BUSY; i++) {
		rc = sqlite3_exec(p->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL",
				  NULL, NULL, NULL);
		if ((rc & 0xff) == SQLITE_BUSY)
			usleep(20000);
	}
	return rc == SQLITE_OK ? 0 : vt_store_fail(p->db, p->path, rc, "write it", e);
}

/* In a transaction: two processes may be making the same store. */
static int make_or_migrate(struct vt_profile *p, struct vt_err *e)
{
	int version = 0, err = vt_store_begin(p, e);

	if (err)
		return err;
	err = vt_schema_check(p->db, p->path, &version, e);
	if (!err && version < VT_PROFILE_SCHEMA)
		err = vt_schema_migrate(p->db, p->path, version, e);
	return vt_store_end(p, err, e);
}

/* What lies there must be a good store before SQLite may write to it. */
static int look_first(const char *path, const struct vt_profile_key *key, struct vt_err *e)
{
	struct vt_profile *p = NULL;
	struct stat st;
	int err;

	if (!stat(path, &st) && S_ISREG(st.st_mode) && !st.st_size)
		return 0; /* as mktemp(1) leaves it, or a writer that was killed at once */
	err = open_read(&p, path, key, true, e);
	vt_profile_close(p);
	return err;
}

/* A new store that could not be made leaves nothing behind. */
static void drop_empty(const char *path)
{
	struct stat st;

	if (!stat(path, &st) && S_ISREG(st.st_mode) && !st.st_size)
		unlink(path);
}

static int open_write(struct vt_profile **ret, const char *path, const struct vt_profile_key *key,
		      bool soon, struct vt_err *e)
{
	struct vt_profile *p = NULL;
	bool there = false;
	int err = check_writable(path, &there, e);

	if (!err && there)
		err = look_first(path, key, e);
	if (!err)
		err = new_handle(&p, path, key, e);
	if (!err)
		err = connect_to(&p->db, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e);
	if (!err) {
		p->writable = true;
		p->soon = soon;
		if (soon)
			sqlite3_busy_timeout(p->db, BUSY_SOON_MS);
		err = use_log(p, e);
	}
	if (!err)
		err = make_or_migrate(p, e);
	if (!err)
		err = find_key(p, e);
	if (err) {
		vt_profile_close(p);
		if (!there)
			drop_empty(path);
		return err;
	}
	*ret = p;
	return 0;
}

int vt_profile_open(struct vt_profile **ret, const char *path, enum vt_profile_mode mode,
		    const struct vt_profile_key *key, struct vt_err *e)
{
	struct vt_err own = {0};
	int err = mode == VT_PROFILE_READ
			  ? open_read(ret, path, key, false, &own)
			  : open_write(ret, path, key, mode == VT_PROFILE_WRITE_SOON, &own);

	return err ? vt_fail(e, err, "%s", own.msg) : 0;
}

void vt_profile_close(struct vt_profile *p)
{
	if (!p)
		return;
	sqlite3_close(p->db);
	free(p->path);
	free(p);
}

bool vt_profile_is_store(const char *path)
{
	char head[sizeof(MAGIC)];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, head, sizeof(head));
	close(fd);
	return n == (ssize_t)sizeof(head) && !memcmp(head, MAGIC, sizeof(head));
}
