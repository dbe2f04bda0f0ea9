// SPDX-License-Identifier: Apache-2.0
#include "profile_fixture.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What is no store, or may not be written, is refused and stays as it was, to the byte. */

/* ---- what is refused, and stays untouched --------------------------------------------------- */

/* Both ways of opening refuse it, with @code and @says; no byte of it and no file beside changes. */
static void expect_refused(enum vt_profile_mode mode, int code, const char *says)
{
	char beside[160];
	struct bytes before = slurp(), after;
	struct vt_profile *p = NULL;
	struct vt_err e = {0};

	assert_int_equal(vt_profile_open(&p, path, mode, &here, &e), code);
	assert_null(p);
	if (!strstr(e.msg, says) || !strstr(e.msg, path))
		fail_msg("'%s' is not in: %s", says, e.msg);
	after = slurp();
	assert_int_equal(before.len, after.len);
	assert_memory_equal(before.data, after.data, before.len);
	snprintf(beside, sizeof(beside), "%s-wal", path);
	assert_int_equal(access(beside, F_OK), -1);
	snprintf(beside, sizeof(beside), "%s-shm", path);
	assert_int_equal(access(beside, F_OK), -1);
	free(before.data);
	free(after.data);
}

static void expect_both_refuse(int code, const char *says)
{
	expect_refused(VT_PROFILE_READ, code, says);
	expect_refused(VT_PROFILE_WRITE, code, says);
}

static void write_at(long off, const void *data, size_t len)
{
	int fd = open(path, O_RDWR | O_CREAT, 0644);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, data, len, off), len);
	close(fd);
}

/* What another program, or another veltair, may have left under the name. */
static void test_foreign_files(void **state)
{
	static const struct {
		const char *sql, *says;
	} t[] = {
		{"PRAGMA user_version = 3", "schema 3, this veltair reads up to 2"},
		{"PRAGMA user_version = 2147483647", "schema 2147483647"},
		{"PRAGMA user_version = -1", "not a profile store"},
		{"PRAGMA application_id = 7", "not a profile store"},
		{"CREATE TABLE more(a)", "other tables"},
		{"DROP TABLE keep", "other tables"},
		{"CREATE TRIGGER t AFTER INSERT ON layer BEGIN DELETE FROM time; END",
		 "other tables"},
		{"CREATE VIEW v AS SELECT 1", "other tables"},
		{"CREATE INDEX i ON time(median_ns)", "other tables"},
		{"ALTER TABLE layer ADD COLUMN more TEXT", "other tables"},
		{"DROP TABLE time; CREATE VIEW time AS SELECT 1 AS key", "other tables"},
		{"PRAGMA user_version = 1", "other tables"}, /* says 1, has the tables of 2 */
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		new_path(NULL);
		fill(&here);
		sql(t[i].sql);
		expect_both_refuse(-EINVAL, t[i].says);
	}
	new_path(NULL);
	sql("CREATE TABLE t(a); INSERT INTO t VALUES(1)");
	expect_both_refuse(-EINVAL, "not a profile store");
	new_path(NULL);
	write_at(0, "Dear diary, this is no database at all.", 39);
	expect_both_refuse(-EINVAL, "not a profile store");
	new_path(NULL);
	write_at(0, "", 0);
	expect_refused(VT_PROFILE_READ, -EINVAL, "empty");
	assert_int_equal(vt_profile_open(&(struct vt_profile *){NULL}, "/no/such", VT_PROFILE_READ,
					 &here, NULL),
			 -ENOENT);
	assert_int_equal(
		vt_profile_open(&(struct vt_profile *){NULL}, dir, VT_PROFILE_READ, &here, NULL),
		-EISDIR);
}

/* Damage at every 512th byte and at every length: refused, or what it says is sane. */
static void test_damage(void **state)
{
	struct bytes good;
	int refused = 0, passed = 0;

	fill(&here);
	good = slurp();
	for (size_t i = 0; i < 2 * good.len / 512; i++) {
		unsigned char *copy = malloc(good.len);
		size_t at = i / 2 * 512 + i % 5, len = i % 2 ? at : good.len;
		struct vt_profile *p = NULL;
		struct vt_err e = {0};
		struct list l = {0};

		assert_non_null(copy);
		memcpy(copy, good.data, good.len);
		memset(copy + at, (int)(0xa5 ^ i), good.len - at < 8 ? good.len - at : 8);
		if (vt_profile_open_bytes(&p, copy, len, "damaged", &here, &e) ||
		    vt_profile_each(p, NULL, append, &l, &e)) {
			assert_true(e.code < 0 && e.msg[0]);
			refused++;
		} else {
			passed++;
		}
		vt_profile_close(p);
		free(copy);
	}
	assert_true(refused > passed);
	write_at(4096, "\xff\xff\xff\xff", 4); /* the second page: a table's root */
	expect_both_refuse(-EINVAL, "is damaged");
	free(good.data);
}

static void test_value_of_no_sense(void **state)
{
	static const char *const bad[] = {
		"UPDATE time SET level = level + 5",
		"UPDATE time SET cores = cores - 9",
		"UPDATE time SET median_ns = -1",
		"UPDATE time SET samples = 0",
		"UPDATE time SET variant = '' WHERE layer = 2",
		"UPDATE time SET taken_s = -1",
		"UPDATE layer SET signature = 'a' || char(0) || 'b' WHERE id = 1",
		"UPDATE layer SET signature = hex(zeroblob(2000)) WHERE id = 1",
	};

	for (size_t i = 0; i < VT_COUNT(bad); i++) {
		struct vt_profile *p;
		struct vt_err e = {0};
		struct list l = {0};

		new_path(NULL);
		fill(&here);
		sql(bad[i]);
		p = must_open(VT_PROFILE_READ, &here);
		assert_int_equal(vt_profile_each(p, NULL, append, &l, &e), -EINVAL);
		assert_non_null(strstr(e.msg, "makes no sense"));
		vt_profile_close(p);
	}
}

/* ---- rights and room ------------------------------------------------------------------------ */

static void test_read_only(void **state)
{
	struct vt_profile *p;

	fill(&here);
	assert_int_equal(chmod(path, 0444), 0);
	expect_refused(VT_PROFILE_WRITE, -EACCES, "read-only");
	p = must_open(VT_PROFILE_READ, &here);
	expect(p, "Add a", ADD);
	assert_int_equal(vt_profile_put(p, samples, 1, NULL), -EACCES);
	vt_profile_close(p);
	expect_refused(VT_PROFILE_WRITE, -EACCES, "read-only");
}

/* A folder that may be read only: as user nobody, for whom modes count. */
static int in_folder_of_root(void)
{
	struct vt_profile *p = NULL;
	struct vt_err e = {0};

	if (setgid(65534) || setuid(65534))
		return 9;
	if (vt_profile_open(&p, path, VT_PROFILE_WRITE, &here, &e) != -EACCES)
		return 1;
	if (!strstr(e.msg, path) || vt_profile_open(&p, path, VT_PROFILE_READ, &here, NULL))
		return 2;
	vt_profile_close(p);
	return 0;
}

static void test_folder_of_another(void **state)
{
	int status;
	pid_t pid;

	if (geteuid())
		vt_skip("needs root, to stop being it");
	fill(&here);
	assert_int_equal(chmod(dir, 0755), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(in_folder_of_root());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* ---- a full disk ---------------------------------------------------------------------------- */

#define SMALL_KIB 300

/* Put rounds until one fails; the code of that failure. */
static int fill_disk(struct vt_profile *p, struct vt_err *e)
{
	int err = 0;

	for (int i = 0; i < 100000 && !err; i++) {
		char layer[512];
		struct vt_profile_time t = samples[0];

		memset(layer, 'x', sizeof(layer) - 1);
		snprintf(layer, 16, "layer %06d...", i);
		layer[strlen(layer)] = 'x';
		layer[sizeof(layer) - 1] = '\0';
		t.layer = layer;
		err = vt_profile_put(p, &t, 1, e);
	}
	return err;
}

static int count(void *arg, const struct vt_profile_time *t)
{
	++*(int *)arg;
	return 0;
}

/* In a mount namespace of its own: a tmpfs of 300 KiB, then the same read-only. */
static const char *on_small_disk(void)
{
	struct vt_profile *p = NULL;
	struct vt_err e = {0};
	char opts[32];
	int n = 0, again = 0;

	snprintf(opts, sizeof(opts), "size=%dk", SMALL_KIB);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("small", dir, "tmpfs", 0, opts))
		return "SKIP";
	if (vt_profile_open(&p, path, VT_PROFILE_WRITE, &here, &e))
		return "cannot make a store";
	if (fill_disk(p, &e) != -ENOSPC || !strstr(e.msg, "the disk is full"))
		return "not refused as full";
	if (vt_profile_each(p, NULL, count, &n, NULL) || n < 10)
		return "what was durable is gone";
	vt_profile_close(p);
	if (vt_profile_open(&p, path, VT_PROFILE_READ, &here, NULL) ||
	    vt_profile_each(p, NULL, count, &again, NULL) || again != n)
		return "not whole when opened again";
	vt_profile_close(p);
	if (mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL))
		return "SKIP";
	e = (struct vt_err){0};
	if (vt_profile_open(&p, path, VT_PROFILE_WRITE, &here, &e) != -EROFS ||
	    !strstr(e.msg, "read-only"))
		return "a read-only file system is not refused";
	again = 0;
	if (vt_profile_open(&p, path, VT_PROFILE_READ, &here, &e) ||
	    vt_profile_each(p, NULL, count, &again, NULL) || again != n)
		return "cannot be read on a read-only file system";
	vt_profile_close(p);
	return "";
}

static void test_full_disk(void **state)
{
	char said[128] = "SKIP";
	int fd[2];
	pid_t pid;
	ssize_t len;

	if (geteuid())
		vt_skip("needs root, to mount a small disk");
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		const char *what = on_small_disk();

		len = write(fd[1], what, strlen(what) + 1);
		_exit(len < 0);
	}
	len = read(fd[0], said, sizeof(said) - 1);
	close(fd[0]);
	close(fd[1]);
	waitpid(pid, NULL, 0);
	assert_true(len > 0);
	if (!strcmp(said, "SKIP"))
		vt_skip("cannot mount a tmpfs here");
	assert_string_equal(said, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_foreign_files, new_path),
		cmocka_unit_test_setup(test_damage, new_path),
		cmocka_unit_test_setup(test_value_of_no_sense, new_path),
		cmocka_unit_test_setup(test_read_only, new_path),
		cmocka_unit_test_setup(test_folder_of_another, new_path),
		cmocka_unit_test_setup(test_full_disk, new_path),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
