// SPDX-License-Identifier: Apache-2.0
/* test_cause.c - what is said when the kernel refuses the programs, on trees of other machines. */
#include "harness.h"
#include "faketree.h"

#include <errno.h>

#include "monitor/cause.h"

#define BTF	 "kernel/btf/vmlinux"
#define LOCKDOWN "kernel/security/lockdown"

static const struct {
	const char *what;
	struct fake_file file[2];
	const char *release;
	int err, want;
	const char *says, *hint;
} rows[] = {
	{"no BTF", {{0}}, "6.12.0", -EINVAL, -ENOTSUP, "no BTF at", "CONFIG_DEBUG_INFO_BTF=y"},
	{"no BTF in an old kernel",
	 {{0}},
	 "4.18.0-553.el8",
	 -EINVAL,
	 -ENOTSUP,
	 "no BTF at",
	 "CONFIG_DEBUG_INFO_BTF=y"},
	{"too old, 5.15",
	 {{BTF, "x"}},
	 "5.15.0-91-generic",
	 -EINVAL,
	 -ENOTSUP,
	 "kernel 5.15.0-91-generic is older than 6.1",
	 "use 6.1 or newer"},
	{"too old, 6.0",
	 {{BTF, "x"}},
	 "6.0.19",
	 -EINVAL,
	 -ENOTSUP,
	 "older than 6.1",
	 "6.1 or newer"},
	{"just new enough",
	 {{BTF, "x"}},
	 "6.1.0-50-amd64",
	 -EINVAL,
	 -EINVAL,
	 "cannot load the BPF programs: Invalid argument",
	 "the verifier said no"},
	{"confidentiality",
	 {{BTF, "x"}, {LOCKDOWN, "none integrity [confidentiality]\n"}},
	 "6.12.0",
	 -EINVAL,
	 -ENOTSUP,
	 "lockdown is 'confidentiality'",
	 "lockdown=integrity"},
	{"confidentiality that shows as EPERM",
	 {{BTF, "x"}, {LOCKDOWN, "none integrity [confidentiality]\n"}},
	 "6.12.0",
	 -EPERM,
	 -ENOTSUP,
	 "lockdown is 'confidentiality'",
	 "lockdown=integrity"},
	{"integrity lets it be",
	 {{BTF, "x"}, {LOCKDOWN, "none [integrity] confidentiality\n"}},
	 "6.12.0",
	 -EINVAL,
	 -EINVAL,
	 "Invalid argument",
	 "the verifier said no"},
	{"no rights",
	 {{BTF, "x"}},
	 "6.12.0",
	 -EPERM,
	 -EPERM,
	 "needs root",
	 "CAP_BPF and CAP_PERFMON"},
	{"no rights and no BTF",
	 {{0}},
	 "6.12.0",
	 -EACCES,
	 -EACCES,
	 "needs root",
	 "CAP_BPF and CAP_PERFMON"},
	{"a release that is no number",
	 {{BTF, "x"}},
	 "next",
	 -ENOMEM,
	 -ENOMEM,
	 "Cannot allocate memory",
	 "the verifier said no"},
};

static void test_causes(void **state)
{
	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_err e = {0};
		struct fake_tree t;
		int err;

		fake_open(&t, rows[i].file,
			  rows[i].file[1].path	 ? 2
			  : rows[i].file[0].path ? 1
						 : 0);
		err = vt_load_cause(t.root, rows[i].release, rows[i].err, "load the BPF programs",
				    "the verifier said no", &e);
		fake_close(&t);
		if (err != rows[i].want || e.code != err || !strstr(e.msg, rows[i].says) ||
		    !strstr(e.msg, rows[i].hint))
			fail_msg("%s: %d, '%s'", rows[i].what, err, e.msg);
		assert_null(strchr(e.msg, '\n'));
	}
}

static void test_this_kernel(void **state)
{
	struct vt_err e = {0};

	/* It runs these tests, so it is not too old. */
	vt_load_cause("/nowhere", NULL, -EINVAL, "load the BPF programs", "", &e);
	assert_non_null(strstr(e.msg, "/nowhere/kernel/btf/vmlinux"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_causes),
		cmocka_unit_test(test_this_kernel),
	};

	return cmocka_run_group_tests_name("cause", tests, NULL, NULL);
}
