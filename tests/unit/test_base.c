// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <string.h>

#include "base/cpuset.h"
#include "base/error.h"

static void test_cpuset_parse(void **state)
{
	static const struct {
		const char *in;
		int err;
		const char *out; /* as formatted again */
		unsigned int count;
	} t[] = {
		{"0", 0, "0", 1},	    {"0-3,8,10-11", 0, "0-3,8,10-11", 7},
		{"3,1,2", 0, "1-3", 3},	    {"0-1\n", 0, "0-1", 2},
		{"1023", 0, "1023", 1},	    {"", -EINVAL, NULL, 0},
		{"a", -EINVAL, NULL, 0},    {"3-1", -EINVAL, NULL, 0},
		{"1,", -EINVAL, NULL, 0},   {"1-", -EINVAL, NULL, 0},
		{"-1", -EINVAL, NULL, 0},   {"1 2", -EINVAL, NULL, 0},
		{"1024", -ERANGE, NULL, 0}, {"99999999999999999999", -ERANGE, NULL, 0},
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

static void test_error_first_wins_and_stays_one_line(void **state)
{
	struct vt_err e = {0};

	assert_int_equal(vt_fail(&e, -EINVAL, "bad\nname %d", 7), -EINVAL);
	assert_int_equal(vt_fail(&e, -ENOMEM, "later"), -EINVAL);
	assert_string_equal(e.msg, "bad?name 7");
	assert_int_equal(vt_fail_at(&e, "m.onnx"), -EINVAL);
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

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cpuset_parse),
		cmocka_unit_test(test_error_first_wins_and_stays_one_line),
		cmocka_unit_test(test_exit_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
