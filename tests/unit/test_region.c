// SPDX-License-Identifier: Apache-2.0
/* Registered shared memory: what is refused, and objects that change under it. */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/region.h"

static char key[64]; /* an object of 4096 bytes, each its place modulo 251 */

static int make_object(void **state)
{
	char bytes[4096];
	int fd;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i % 251);
	snprintf(key, sizeof(key), "/vt-test-region-%d", getpid());
	fd = shm_open(key, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return -1;
	return write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) ? close(fd) : -1;
}

static int remove_object(void **state)
{
	return shm_unlink(key);
}

static void cut_to(off_t bytes)
{
	int fd = shm_open(key, O_RDWR, 0);

	assert_int_equal(ftruncate(fd, bytes), 0);
	close(fd);
}

static off_t length(void)
{
	int fd = shm_open(key, O_RDONLY, 0);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	return st.st_size;
}

static int open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int add(struct vt_regions *t, const char *name, const char *k, uint64_t offset,
	       uint64_t bytes, struct vt_err *e)
{
	struct vt_region_at at = {.offset = offset, .bytes = bytes};

	snprintf(at.name, sizeof(at.name), "%s", name);
	snprintf(at.key, sizeof(at.key), "%s", k);
	return vt_regions_add(t, &at, e);
}

static int use(struct vt_regions *t, const char *name, uint64_t offset, uint64_t bytes, bool write,
	       struct vt_region **ret, struct vt_err *e)
{
	const struct vt_json_str s = {name, strlen(name), strchr(name, '\\') != NULL};

	return vt_regions_use(t, &s, offset, bytes, write, ret, e);
}

static void test_refuses(void **state)
{
	const struct {
		const char *name, *key;
		uint64_t offset, bytes;
		int err;
		const char *says;
	} cases[] = {
		{"r", key, 0, 4096, 0, ""},
		{"r", key, 0, 4096, -EEXIST, "registered already"},
		{"part", key, 4000, 96, 0, ""},
		{"past", key, 4000, 97, -EINVAL, "has 4096 bytes"},
		{"past", key, 4097, 0, -EINVAL, "past its end"},
		{"past", key, UINT64_MAX, 2, -EINVAL, "past its end"},
		{"past", key, 2, UINT64_MAX, -EINVAL, "past its end"},
		{"k", "", 0, 1, -EINVAL, "no name of shared memory"},
		{"k", "/", 0, 1, -EINVAL, "no name of shared memory"},
		{"k", "//x", 0, 1, -EINVAL, "no name of shared memory"},
		{"k", "/..", 0, 1, -EINVAL, "no name of shared memory"},
		{"k", "/.", 0, 1, -EINVAL, "no name of shared memory"},
		{"k", "/../etc/passwd", 0, 1, -EINVAL, "no name of shared memory"},
		{"k", "/x/y", 0, 1, -EINVAL, "no name of shared memory"},
		{"k", key + 1, 0, 1, -EINVAL, "no name of shared memory"},
		{"k", "/vt-test-none", 0, 1, -ENOENT, "cannot open"},
		{"", key, 0, 1, -EINVAL, "a region's name"},
		{"a b", key, 0, 1, -EINVAL, "a region's name"},
		{"a\"", key, 0, 1, -EINVAL, "a region's name"},
		{"\xc3\xa9", key, 0, 1, -EINVAL, "a region's name"},
	};
	const int files = open_files();
	struct vt_regions t;

	vt_regions_init(&t, VT_REGION_DIR);
	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_err e = {0};
		int err = add(&t, cases[i].name, cases[i].key, cases[i].offset, cases[i].bytes, &e);

		if (err != cases[i].err || !strstr(e.msg, cases[i].says))
			fail_msg("%zu: %d %s", i, err, e.msg);
	}
	vt_regions_fini(&t);
	assert_int_equal(open_files(), files);
}

/* A link, a FIFO, a folder, and a file of no tmpfs. */
static void test_what_is_no_object(void **state)
{
	static const char *const kinds[] = {"link", "fifo", "folder"};
	char path[3][96], name[3][64];
	struct vt_regions t;

	vt_regions_init(&t, VT_REGION_DIR);
	for (int i = 0; i < 3; i++) {
		struct vt_err e = {0};
		int rc;

		snprintf(name[i], sizeof(name[i]), "/vt-test-%s-%d", kinds[i], getpid());
		snprintf(path[i], sizeof(path[i]), VT_REGION_DIR "%s", name[i]);
		rc = i == 0   ? symlink(key + 1, path[i])
		     : i == 1 ? mkfifo(path[i], 0600)
			      : mkdir(path[i], 0700);
		assert_int_equal(rc, 0);
		rc = add(&t, "x", name[i], 0, 1, &e);
		remove(path[i]);
		if (!rc || !e.msg[0])
			fail_msg("%s: %d", kinds[i], rc);
	}
	vt_regions_fini(&t);

	vt_regions_init(&t, "/proc/self");
	assert_int_equal(add(&t, "x", "/status", 0, 0, NULL), -EINVAL);
	vt_regions_fini(&t);
}

static void test_reads_and_writes(void **state)
{
	struct vt_region *r = NULL;
	struct vt_regions t;
	struct vt_err e = {0};
	char buf[96];

	vt_regions_init(&t, VT_REGION_DIR);
	assert_int_equal(add(&t, "r.1", key, 1000, 96, &e), 0);
	assert_int_equal(use(&t, "r", 0, 1, false, &r, &e), -ENOENT);
	assert_int_equal(use(&t, "r.1", 0, 97, false, &r, NULL), -EINVAL);
	assert_int_equal(use(&t, "r.1", 97, 0, false, &r, NULL), -EINVAL);
	assert_int_equal(use(&t, "r.1", UINT64_MAX, 1, false, &r, NULL), -EINVAL);
	assert_int_equal(use(&t, "r.1", 1, UINT64_MAX, false, &r, NULL), -EINVAL);
	assert_int_equal(use(&t, "r\\u002e1", 90, 6, true, &r, NULL), 0);
	assert_int_equal(vt_region_read(r, 90, buf, 6), 0);
	for (int i = 0; i < 6; i++)
		assert_int_equal((unsigned char)buf[i], 1090 % 251 + i);
	assert_int_equal(vt_region_write(r, 90, "abcdef", 6), 0);
	assert_int_equal(vt_region_read(r, 0, buf, 96), 0);
	assert_memory_equal(buf + 90, "abcdef", 6);
	assert_int_equal((unsigned char)buf[89], 1089 % 251);
	assert_int_equal(vt_region_read(r, 96, buf, 0), 0);
	vt_region_put(r);
	vt_regions_fini(&t);
}

static void test_object_cut_under_it(void **state)
{
	struct vt_region *r = NULL;
	struct vt_regions t;
	char buf[4096];

	vt_regions_init(&t, VT_REGION_DIR);
	assert_int_equal(add(&t, "r", key, 0, 4096, NULL), 0);
	assert_int_equal(use(&t, "r", 0, 4096, true, &r, NULL), 0);
	cut_to(4095);
	assert_int_equal(vt_region_read(r, 0, buf, 4096), -ENODATA);
	assert_int_equal(vt_region_write(r, 0, buf, 4096), -ENODATA);
	assert_int_equal(length(), 4095); /* and it is not made longer */
	assert_int_equal(vt_region_read(r, 0, buf, 4095), 0);
	cut_to(0);
	assert_int_equal(vt_region_read(r, 0, buf, 1), -ENODATA);
	cut_to(4096);
	assert_int_equal(vt_region_read(r, 0, buf, 4096), 0);
	vt_region_put(r);
	vt_regions_fini(&t);
}

/* As another user: root may write what nobody may. */
static void test_read_only(void **state)
{
	struct vt_region *r = NULL;
	struct vt_regions t;
	struct vt_err e = {0};
	char path[96], buf[8];

	snprintf(path, sizeof(path), VT_REGION_DIR "%s", key);
	vt_regions_init(&t, VT_REGION_DIR);
	assert_int_equal(chmod(path, 0444), 0);
	if (!getuid())
		assert_int_equal(seteuid(65534), 0);
	assert_int_equal(add(&t, "r", key, 0, 8, &e), 0);
	if (!getuid())
		assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(use(&t, "r", 0, 8, true, &r, &e), -EACCES);
	assert_non_null(strstr(e.msg, "can only be read"));
	assert_int_equal(use(&t, "r", 0, 8, false, &r, NULL), 0);
	assert_int_equal(vt_region_read(r, 0, buf, 8), 0);
	vt_region_put(r);
	if (!getuid()) {
		e.code = 0;
		e.msg[0] = '\0';
		assert_int_equal(seteuid(65534), 0);
		assert_int_equal(add(&t, "mine", key, 0, 8, &e), -EACCES);
		assert_int_equal(seteuid(0), 0);
		assert_non_null(strstr(e.msg, "let the server's user read it"));
	}
	vt_regions_fini(&t);
}

static bool count(void *arg, const struct vt_region_at *at)
{
	(*(unsigned int *)arg)++;
	return strcmp(at->name, "n200") != 0;
}

static void test_bounded(void **state)
{
	const int files = open_files();
	struct vt_region *r = NULL;
	struct vt_regions t;
	struct vt_err e = {0};
	unsigned int n = 0;
	char name[16];

	vt_regions_init(&t, VT_REGION_DIR);
	for (unsigned int i = 0; i < VT_REGIONS; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_int_equal(add(&t, name, key, i, 1, NULL), 0);
	}
	assert_int_equal(add(&t, "more", key, 0, 1, &e), -ENOSPC);
	assert_non_null(strstr(e.msg, "unregister one"));
	vt_regions_each(&t, count, &n);
	assert_int_equal(n, 201);
	/* One that is in use counts until it is not. */
	assert_int_equal(use(&t, "n7", 0, 1, false, &r, NULL), 0);
	vt_regions_del(&t, "n7");
	vt_regions_del(&t, "n7");
	assert_int_equal(use(&t, "n7", 0, 1, false, &r, NULL), -ENOENT);
	assert_int_equal(add(&t, "more", key, 0, 1, NULL), -ENOSPC);
	vt_region_put(r);
	assert_int_equal(add(&t, "more", key, 0, 1, NULL), 0);
	assert_int_equal(open_files(), files + (int)VT_REGIONS);
	vt_regions_del(&t, NULL);
	assert_int_equal(open_files(), files);
	vt_regions_fini(&t);
}

static void test_unregistered_while_held(void **state)
{
	struct vt_region *r = NULL, *again = NULL;
	struct vt_regions t;
	char buf[8];

	vt_regions_init(&t, VT_REGION_DIR);
	assert_int_equal(add(&t, "r", key, 0, 8, NULL), 0);
	assert_int_equal(use(&t, "r", 0, 8, true, &r, NULL), 0);
	vt_regions_del(&t, NULL);
	assert_int_equal(vt_region_read(r, 0, buf, 8), 0);
	assert_int_equal(add(&t, "r", key, 8, 8, NULL), 0); /* the name is free */
	assert_int_equal(use(&t, "r", 0, 8, true, &again, NULL), 0);
	assert_int_equal(vt_region_write(again, 0, "ABCDEFGH", 8), 0);
	assert_int_equal(vt_region_read(r, 0, buf, 8), 0);
	assert_int_equal(buf[1], 1);
	vt_region_put(again);
	vt_region_put(r);
	vt_region_put(NULL);
	vt_regions_fini(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refuses, make_object, remove_object),
		cmocka_unit_test_setup_teardown(test_what_is_no_object, make_object, remove_object),
		cmocka_unit_test_setup_teardown(test_reads_and_writes, make_object, remove_object),
		cmocka_unit_test_setup_teardown(test_object_cut_under_it, make_object,
						remove_object),
		cmocka_unit_test_setup_teardown(test_read_only, make_object, remove_object),
		cmocka_unit_test_setup_teardown(test_bounded, make_object, remove_object),
		cmocka_unit_test_setup_teardown(test_unregistered_while_held, make_object,
						remove_object),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
