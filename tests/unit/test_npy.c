// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "model/npy.h"

#define MAX_FILE 4096

/* A version 1 file: @dict as it stands, then @data. Returns its length. */
static size_t make_npy(unsigned char *ret, const char *dict, const void *data, size_t len)
{
	size_t n = strlen(dict);

	memcpy(ret, "\x93NUMPY\x01\x00", 8);
	ret[8] = (unsigned char)(n & 0xff);
	ret[9] = (unsigned char)(n >> 8);
	memcpy(ret + 10, dict, n);
	if (len)
		memcpy(ret + 10 + n, data, len);
	return 10 + n + len;
}

static void test_headers(void **state)
{
	static const struct {
		const char *dict;
		size_t data_bytes;
		int err;
		enum vt_dtype dtype;
		int rank;
		int64_t dim[3];
	} t[] = {
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n",
		 24,
		 0,
		 VT_F32,
		 2,
		 {2, 3}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
		 24,
		 0,
		 VT_F32,
		 2,
		 {2, 3}},
		{"{\"shape\":(2,),\"descr\":\"|u1\",\"fortran_order\":False}", 2, 0, VT_U8, 1, {2}},
		{"{'descr': '<i8', 'fortran_order': False, 'shape': (), }", 8, 0, VT_I64, 0, {0}},
		{"{'descr': '<i8', 'fortran_order': False, 'shape': (3L,), }",
		 24,
		 0,
		 VT_I64,
		 1,
		 {3}},
		{"{'descr': '<f2', 'fortran_order': False, 'shape': (0, 5), }",
		 0,
		 0,
		 VT_F16,
		 2,
		 {0, 5}},
		{"{'descr': '|b1', 'fortran_order': True, 'shape': (4,), }", 4, 0, VT_BOOL, 1, {4}},
		{"{'descr': '>u2', 'fortran_order': False, 'shape': (4,), }", 8, 0, VT_U16, 1, {4}},
		/* sound, but nothing that a model takes */
		{"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
		 8,
		 -EINVAL,
		 0,
		 0,
		 {0}},
		{"{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }",
		 12,
		 -EINVAL,
		 0,
		 0,
		 {0}},
		{"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
		 4,
		 -EINVAL,
		 0,
		 0,
		 {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }",
		 4,
		 -EINVAL,
		 0,
		 0,
		 {0}},
		/* not sound */
		{"", 0, -EBADMSG, 0, 0, {0}},
		{"{", 0, -EBADMSG, 0, 0, {0}},
		{"{}", 0, -EBADMSG, 0, 0, {0}},
		{"{'descr': '<f4', 'fortran_order': False}", 4, -EBADMSG, 0, 0, {0}},
		{"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}",
		 4,
		 -EBADMSG,
		 0,
		 0,
		 {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}",
		 4,
		 -EBADMSG,
		 0,
		 0,
		 {0}},
		{"{'descr': '<f4', 'fortran_order': 0, 'shape': ()}", 4, -EBADMSG, 0, 0, {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (3)}", 12, -EBADMSG, 0, 0, {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
		 4,
		 -EBADMSG,
		 0,
		 0,
		 {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1,}", 4, -EBADMSG, 0, 0, {0}},
		{"{'descr': 'f4', 'fortran_order': False, 'shape': ()}", 4, -EBADMSG, 0, 0, {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': ()} x", 4, -EBADMSG, 0, 0, {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
		 4,
		 -EBADMSG,
		 0,
		 0,
		 {0}},
		/* the header and the bytes disagree */
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
		 23,
		 -EBADMSG,
		 0,
		 0,
		 {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}",
		 25,
		 -EBADMSG,
		 0,
		 0,
		 {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}",
		 8,
		 -EBADMSG,
		 0,
		 0,
		 {0}},
		{"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
		 4,
		 -EOVERFLOW,
		 0,
		 0,
		 {0}},
	};
	static const unsigned char zeros[64];
	unsigned char buf[MAX_FILE];

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		size_t n = make_npy(buf, t[i].dict, zeros, t[i].data_bytes);
		struct vt_value v = {0};
		struct vt_err e = {0};

		if (vt_npy_parse(buf, n, &v, &e) != t[i].err)
			fail_msg("row %zu: %s (%s)", i, t[i].dict, e.msg);
		if (t[i].err) {
			assert_null(v.data);
			assert_true(e.msg[0]);
			continue;
		}
		assert_int_equal(v.dtype, t[i].dtype);
		assert_int_equal(v.shape.rank, t[i].rank);
		assert_int_equal(v.bytes, t[i].data_bytes);
		for (int d = 0; d < t[i].rank; d++)
			assert_int_equal(v.shape.dim[d], t[i].dim[d]);
		vt_value_fini(&v);
	}
}

/* Every prefix of a sound file is refused. */
static void test_truncation(void **state)
{
	const float data[2] = {1, 2};
	unsigned char buf[MAX_FILE];
	size_t n =
		make_npy(buf, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", data, 8);

	for (size_t i = 0; i < n; i++) {
		/* a copy of the exact size, so that a sanitizer sees a read past it */
		unsigned char *part = malloc(i + !i);
		struct vt_value v = {0};

		assert_non_null(part);
		memcpy(part, buf, i);
		assert_int_equal(vt_npy_parse(part, i, &v, NULL), -EBADMSG);
		free(part);
	}
}

static void test_versions(void **state)
{
	static const char dict[] = "{'descr': '<i4', 'fortran_order': False, 'shape': (1,)}";
	const struct {
		unsigned char version;
		int err;
	} t[] = {{0, -EBADMSG}, {2, 0}, {3, 0}, {4, -EBADMSG}};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		unsigned char buf[128] = "\x93NUMPY";
		struct vt_value v = {0};
		size_t n = sizeof(dict) - 1;

		buf[6] = t[i].version;
		buf[8] = (unsigned char)n;
		memcpy(buf + 12, dict, n);
		buf[12 + n] = 42;
		assert_int_equal(vt_npy_parse(buf, 12 + n + 4, &v, NULL), t[i].err);
		if (!t[i].err)
			assert_int_equal(*(int32_t *)v.data, 42);
		vt_value_fini(&v);
	}
}

static void test_foreign_orders(void **state)
{
	static const struct {
		const char *dict;
		unsigned char data[12];
		int16_t want[6];
	} t[] = {
		/* [[0 1 2] [3 4 5]] column after column */
		{"{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3)}",
		 {0, 0, 3, 0, 1, 0, 4, 0, 2, 0, 5, 0},
		 {0, 1, 2, 3, 4, 5}},
		{"{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3)}",
		 {0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0xff, 0xfe},
		 {0, 1, 2, 3, 4, -2}},
		{"{'descr': '>i2', 'fortran_order': True, 'shape': (3, 1, 2)}",
		 {0, 0, 0, 2, 0, 4, 0, 1, 0, 3, 0, 5},
		 {0, 1, 2, 3, 4, 5}},
	};
	unsigned char buf[MAX_FILE];

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		size_t n = make_npy(buf, t[i].dict, t[i].data, sizeof(t[i].data));
		struct vt_value v = {0};

		assert_int_equal(vt_npy_parse(buf, n, &v, NULL), 0);
		assert_memory_equal(v.data, t[i].want, sizeof(t[i].want));
		vt_value_fini(&v);
	}
}

static void test_bools_become_0_and_1(void **state)
{
	const unsigned char data[3] = {0, 1, 200}, want[3] = {0, 1, 1};
	unsigned char buf[MAX_FILE];
	size_t n =
		make_npy(buf, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", data, 3);
	struct vt_value v = {0};

	assert_int_equal(vt_npy_parse(buf, n, &v, NULL), 0);
	assert_memory_equal(v.data, want, 3);
	vt_value_fini(&v);
}

static void test_write_read(void **state)
{
	static const struct vt_shape shapes[] = {
		{0, {0}}, {1, {7}}, {2, {2, 3}}, {8, {1, 2, 1, 2, 1, 2, 1, 2}}, {2, {0, 4}}};
	char path[] = "/tmp/veltair-npy-XXXXXX";
	unsigned char data[16 * 8];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i & 1);
	for (int dt = VT_DT_NONE + 1; dt < VT_DT_COUNT; dt++) {
		for (size_t i = 0; i < VT_COUNT(shapes); i++) {
			struct vt_value v = {
				.dtype = (enum vt_dtype)dt, .shape = shapes[i], .data = data};
			struct vt_value got = {0};
			struct vt_err e = {0};

			v.bytes = (size_t)vt_shape_elems(&v.shape) * vt_dtype_bytes(v.dtype);
			if (dt == VT_BF16) {
				assert_int_equal(vt_npy_write(path, &v, &e), -EINVAL);
				continue;
			}
			assert_int_equal(vt_npy_write(path, &v, &e), 0);
			if (vt_npy_read(path, &got, &e))
				fail_msg("%s", e.msg);
			assert_int_equal(got.dtype, v.dtype);
			assert_true(vt_shape_equal(&got.shape, &v.shape));
			assert_int_equal(got.bytes, v.bytes);
			assert_memory_equal(got.data, v.data, v.bytes);
			vt_value_fini(&got);
		}
	}
	unlink(path);
}

/* The file names are what a user sees: a missing folder, a folder, a file too large for the disk.
 */
static void test_file_errors(void **state)
{
	struct vt_value v = {.dtype = VT_F32, .shape = {1, {1}}, .data = &v, .bytes = 4};
	struct vt_outfile f;
	struct vt_err e = {0};

	assert_int_equal(vt_npy_read("/nonexistent/x.npy", &v, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/nonexistent/x.npy"));
	e.code = 0;
	assert_int_equal(vt_npy_read("/tmp", &v, &e), -EISDIR);
	e.code = 0;
	assert_int_equal(vt_npy_read("/dev/zero", &v, &e), -EINVAL);
	e.code = 0;
	assert_int_equal(vt_npy_write("/nonexistent/x.npy", &v, &e), -ENOENT);
	e.code = 0;
	if (vt_outfile_open(&f, "/dev/shm/veltair-too-large", 1ull << 50, &e) == 0) {
		vt_outfile_abort(&f);
		vt_skip("/dev/shm has room for 1 PiB, or cannot reserve");
	}
	assert_true(e.code == -ENOSPC || e.code == -EFBIG);
	assert_int_equal(access("/dev/shm/veltair-too-large", F_OK), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_foreign_orders),
		cmocka_unit_test(test_bools_become_0_and_1),
		cmocka_unit_test(test_write_read),
		cmocka_unit_test(test_file_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
