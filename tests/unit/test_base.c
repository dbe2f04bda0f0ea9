// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cache.h"
#include "base/clock.h"
#include "base/cpuset.h"
#include "base/trip.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/text.h"

static void test_cpuset_parse(void **state)
{
	static const struct {
		const char *in;
		int err;
		unsigned int count;
		const char *out; /* as formatted again */
	} t[] = {
		{"0", 0, 1, "0"},	    {"0-3,8,10-11", 0, 7, "0-3,8,10-11"},
		{"3,1,2", 0, 3, "1-3"},	    {"0-1\n", 0, 2, "0-1"},
		{"1023", 0, 1, "1023"},	    {"", -EINVAL, 0, NULL},
		{"a", -EINVAL, 0, NULL},    {"3-1", -EINVAL, 0, NULL},
		{"1,", -EINVAL, 0, NULL},   {"1-", -EINVAL, 0, NULL},
		{"-1", -EINVAL, 0, NULL},   {"1 2", -EINVAL, 0, NULL},
		{"1024", -ERANGE, 0, NULL}, {"99999999999999999999", -ERANGE, 0, NULL},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_cpuset s = {0};
		char buf[64];

		assert_int_equal(vt_cpuset_parse(t[i].in, &s), t[i].err);
		assert_int_equal(vt_cpuset_count(&s), t[i].count);
		if (t[i].err)
			continue;
		vt_cpuset_format(&s, buf, sizeof(buf));
		assert_string_equal(buf, t[i].out);
	}
}

/* A kernel for @kernel_cpus CPUs of which this thread may use all; it refuses a smaller set, as sched_setaffinity(2) says. */
static unsigned int kernel_cpus;
static int affinity_errno;

int sched_getaffinity(pid_t pid, size_t len, cpu_set_t *set)
{
	if (affinity_errno || len * 8 < kernel_cpus) {
		errno = affinity_errno ? affinity_errno : EINVAL;
		return -1;
	}
	memset(set, 0, len);
	for (unsigned int c = 0; c < kernel_cpus; c++)
		CPU_SET_S(c, len, set);
	return 0;
}

static void test_cores_of_any_kernel(void **state)
{
	static const struct {
		unsigned int cpus;
		int error, want;
		unsigned int count;
	} t[] = {
		{1, 0, 0, 1},	    {64, 0, 0, 64},	{1024, 0, 0, 1024},
		{1025, 0, 0, 1024}, {8192, 0, 0, 1024}, {8192, EPERM, -EPERM, 0},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_cpuset s = {0};

		kernel_cpus = t[i].cpus;
		affinity_errno = t[i].error;
		assert_int_equal(vt_cpuset_allowed(&s), t[i].want);
		assert_int_equal(vt_cpuset_count(&s), t[i].count);
	}
}

static void test_milliseconds(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} t[] = {{0, "0"},
		 {999, "0"},
		 {1000, "0.001"},
		 {500001, "0.5"},
		 {4123456, "4.12"},
		 {35249999, "35.2"},
		 {999400000, "999"},
		 {999600000, "1000"},
		 {1234567890, "1235"},
		 {3600000000000, "3600000"}};
	char buf[16];

	for (size_t i = 0; i < VT_COUNT(t); i++)
		assert_string_equal(vt_text_ms(t[i].ns, buf, sizeof(buf)), t[i].text);
}

static void test_error_first_wins_and_stays_one_line(void **state)
{
	struct vt_err e = {0}, more = {0}, long_one = {0};

	assert_int_equal(vt_fail(&e, -EINVAL, "bad\nname %d", 7), -EINVAL);
	assert_int_equal(vt_fail(&e, -ENOMEM, "later"), -EINVAL);
	assert_string_equal(e.msg, "bad?name 7");
	assert_int_equal(vt_fail_at(&e, "m.onnx"), -EINVAL);
	assert_int_equal(vt_fail_more(&more, "; no"), 0);
	assert_int_equal(vt_fail(&long_one, -EIO, "%0500d", 1), -EIO);
	assert_int_equal(vt_fail_more(&long_one, "; %s", "longer than there is room for"), -EIO);
	assert_int_equal(strlen(long_one.msg), sizeof(long_one.msg) - 1);
	more = (struct vt_err){0};
	vt_fail(&more, -ENOENT, "gone");
	assert_int_equal(vt_fail_more(&more, "; say\n%s", "--config"), -ENOENT);
	assert_string_equal(more.msg, "gone; say?--config");
	assert_string_equal(e.msg, "m.onnx: bad?name 7");
}

static void test_exit_codes(void **state)
{
	static const struct {
		int code;
		enum vt_exit exit;
	} t[] = {
		{0, VT_EXIT_OK},	{-EINVAL, VT_EXIT_USAGE},  {-ENOENT, VT_EXIT_USAGE},
		{-EIO, VT_EXIT_FAILED}, {-ENOMEM, VT_EXIT_FAILED}, {-ENOTSUP, VT_EXIT_UNSUPPORTED},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++)
		assert_int_equal(vt_exit_code(t[i].code), t[i].exit);
}

/* Published values of XXH64, seed 0. */
static void test_digest(void **state)
{
	static const struct {
		const char *in;
		uint64_t want;
	} t[] = {
		{"", 0xef46db3751d8e999ull},
		{"a", 0xd24ec4f1a98c6e5bull},
		{"abc", 0x44bc2cf5ad770999ull},
		{"Nobody inspects the spammish repetition", 0xfbcea83c8a378bf1ull},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++)
		assert_true(vt_digest(t[i].in, strlen(t[i].in)) == t[i].want);
}

/* A file is read in pieces; its digest is that of the whole. */
static void test_file_digest(void **state)
{
	static const size_t sizes[] = {0, 1, 31, 32, 33, 1 << 20, (1 << 20) + 7, 3 << 20};
	char path[] = "/tmp/veltair-test-base-XXXXXX", text[VT_DIGEST_TEXT], want[VT_DIGEST_TEXT];
	unsigned char *buf = malloc(3 << 20);
	struct vt_err e = {0};
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_non_null(buf);
	for (size_t i = 0; i < 3 << 20; i++)
		buf[i] = (unsigned char)(i * 2654435761u >> 13);
	for (size_t i = 0; i < VT_COUNT(sizes); i++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, buf, sizes[i], 0), sizes[i]);
		assert_int_equal(vt_file_digest(path, text, &e), 0);
		snprintf(want, sizeof(want), "%016llx",
			 (unsigned long long)vt_digest(buf, sizes[i]));
		assert_string_equal(text, want);
	}
	close(fd);
	unlink(path);
	free(buf);
	assert_int_equal(vt_file_digest(path, text, &e), -ENOENT);
	assert_int_equal(vt_file_digest("/tmp", text, NULL), -EISDIR);
}

/* ---- caches -------------------------------------------------------------------------------- */

struct leaf {
	uint32_t leaf, subleaf;
	struct vt_cpuid_regs r;
};

#define END                                                                                        \
	{                                                                                          \
		UINT32_MAX, 0,                                                                     \
		{                                                                                  \
			0, 0, 0, 0                                                                 \
		}                                                                                  \
	}

static struct vt_cpuid_regs recorded(const void *cpu, uint32_t leaf, uint32_t subleaf)
{
	for (const struct leaf *l = cpu; l->leaf != UINT32_MAX; l++)
		if (l->leaf == leaf && l->subleaf == subleaf)
			return l->r;
	return (struct vt_cpuid_regs){0};
}

static void test_cache_sizes_from_cpuid(void **state)
{
	static const struct {
		const char *name;
		struct leaf leaves[8];
		size_t l1d_kib, l2_kib, l3_kib;
	} t[] = {
		{"Sapphire Rapids, leaf 4: instructions are not data",
		 {{0, 0, {0x20, 0, 0, 0}},
		  {4, 0, {0x121, 0x2c0003f, 63, 0}},
		  {4, 1, {0x122, 0x1c0003f, 63, 0}},
		  {4, 2, {0x143, 0x3c0003f, 2047, 0}},
		  {4, 3, {0x163, 0x380003f, 114687, 4}},
		  END},
		 48,
		 2048,
		 107520},
		{"Zen 5, the list of 0x8000001d",
		 {{0, 0, {0x10, 0, 0, 0}},
		  {0x80000000, 0, {0x80000028, 0, 0, 0}},
		  {0x8000001d, 0, {0x4121, 0x2c0003f, 63, 0}},
		  {0x8000001d, 1, {0x4122, 0x1c0003f, 63, 0}},
		  {0x8000001d, 2, {0x4143, 0x3c0003f, 1023, 2}},
		  {0x8000001d, 3, {0x3c163, 0x3c0003f, 32767, 1}},
		  END},
		 48,
		 1024,
		 32768},
		{"Zen 5 in a VM that hides the lists: the old leaves, whose L3 is a whole "
		 "package's",
		 {{0, 0, {0x10, 0, 0, 0}},
		  {0x80000000, 0, {0x80000028, 0, 0, 0}},
		  {0x80000005, 0, {0, 0, 0x300c0140, 0}},
		  {0x80000006, 0, {0, 0, 0x4006140, 0xfe09140}},
		  END},
		 48,
		 1024,
		 0},
		{"too old for any of them", {{0, 0, {2, 0, 0, 0}}, END}, 0, 0, 0},
		{"nothing", {END}, 0, 0, 0},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		const struct vt_caches c = vt_caches_decode(recorded, t[i].leaves);

		print_message("%s\n", t[i].name);
		assert_int_equal(c.l1d_bytes, t[i].l1d_kib << 10);
		assert_int_equal(c.l2_bytes, t[i].l2_kib << 10);
		assert_int_equal(c.l3_bytes, t[i].l3_kib << 10);
		assert_string_equal(c.source, t[i].l2_kib ? "cpuid" : "");
	}
	assert_true(vt_l2_bytes() >= 128 << 10);
}

/* A word really goes and comes; how fast is nobody's promise. Who is nowhere is not waited for. */
static void test_trip(void **state)
{
	struct vt_cpuset allowed = {0};
	int a, b;

	assert_int_equal(vt_trip_ns(0, 0, VT_NS_PER_S), 0);
	assert_int_equal(vt_trip_ns(VT_MAX_CORES - 1, VT_MAX_CORES - 2, VT_NS_PER_MS), 0);
	assert_int_equal(vt_cpuset_allowed(&allowed), 0);
	a = vt_cpuset_next(&allowed, 0);
	assert_int_equal(vt_trip_ns((unsigned int)a, VT_MAX_CORES - 1, VT_NS_PER_MS), 0);
	b = vt_cpuset_next(&allowed, (unsigned int)a + 1);
	if (b < 0)
		return;
	assert_in_range(vt_trip_ns((unsigned int)a, (unsigned int)b, 10 * VT_NS_PER_S), 1,
			VT_NS_PER_MS);
	assert_in_range(vt_trip_ns((unsigned int)b, (unsigned int)a, 10 * VT_NS_PER_S), 1,
			VT_NS_PER_MS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpuset_parse),
		cmocka_unit_test(test_trip),
		cmocka_unit_test(test_cores_of_any_kernel),
		cmocka_unit_test(test_milliseconds),
		cmocka_unit_test(test_error_first_wins_and_stays_one_line),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_file_digest),
		cmocka_unit_test(test_cache_sizes_from_cpuid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
