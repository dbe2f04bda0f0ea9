/* SPDX-License-Identifier: Apache-2.0 */
/* profile_fixture.h - a folder of stores for the tests of user/profile: one path per test. */
#ifndef VT_TESTS_PROFILE_FIXTURE_H
#define VT_TESTS_PROFILE_FIXTURE_H

#include "harness.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "profile/profile.h"

static char dir[] = "/tmp/veltair-test-profile-XXXXXX";
static char path[128];

static const struct vt_profile_key here = {"GenuineTest family 1, 2 cores", "xnnpack a, kernels b"},
				   there = {"GenuineTest family 2, 4 cores",
					    "xnnpack a, kernels b"},
				   newer = {"GenuineTest family 1, 2 cores",
					    "xnnpack a, kernels c"};

static const struct vt_profile_time samples[] = {
	{"Conv b", "nouter", 1, 0, 900, 9, 11, false, 0, 0},
	{"Conv b", "nouter", 2, 0, 500, 5, 11, false, 0, 0},
	{"Conv b", "nouter", 1, 4, 1800, 90, 11, false, 0, 0},
	{"Conv b", "mouter", 1, 0, 1000, 9, 11, false, 0, 0},
	{"Conv b", "aouter", 1, 0, 1100, 9, 11, false, 0, 0},
	{"Add a", "-", 1, 0, 70, 1, 7, false, 0, 0},
};

static inline int new_path(void **state)
{
	static int n;

	snprintf(path, sizeof(path), "%s/%d.db", dir, n++);
	return 0;
}

static inline struct vt_profile *must_open(enum vt_profile_mode mode,
					   const struct vt_profile_key *key)
{
	struct vt_profile *p = NULL;
	struct vt_err e = {0};

	if (vt_profile_open(&p, path, mode, key, &e))
		fail_msg("%s", e.msg);
	return p;
}

static inline void fill(const struct vt_profile_key *key)
{
	struct vt_profile *p = must_open(VT_PROFILE_WRITE, key);
	struct vt_err e = {0};

	if (vt_profile_put(p, samples, VT_COUNT(samples), &e))
		fail_msg("%s", e.msg);
	vt_profile_close(p);
}

struct list {
	char text[4096];
	size_t n;
};

static inline int append(void *arg, const struct vt_profile_time *t)
{
	struct list *l = arg;
	size_t at = strlen(l->text);

	snprintf(l->text + at, sizeof(l->text) - at, "%s %s %u/%u %llu+%llu x%u%s%s\n", t->layer,
		 t->variant, t->cores, t->level, (unsigned long long)t->median_ns,
		 (unsigned long long)t->spread_ns, t->samples, t->kept ? " kept " : "",
		 t->kept ? (const char *[]){"0", "1", "2", "3", "4"}[t->rank] : "");
	l->n++;
	return 0;
}

static inline void expect(struct vt_profile *p, const char *layer, const char *text)
{
	struct list l = {0};
	struct vt_err e = {0};

	if (vt_profile_each(p, layer, append, &l, &e))
		fail_msg("%s", e.msg);
	assert_string_equal(l.text, text);
}

struct bytes {
	void *data;
	size_t len;
};

static inline struct bytes slurp(void)
{
	struct bytes b = {0};
	struct vt_err e = {0};

	if (vt_file_read(path, 1 << 30, &b.data, &b.len, &e))
		fail_msg("%s", e.msg);
	return b;
}

static inline void sql(const char *text)
{
	sqlite3 *db = NULL;
	char *msg = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &msg))
		fail_msg("%s", msg);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

#define ADD    "Add a - 1/0 70+1 x7\n"
#define AOUTER "Conv b aouter 1/0 1100+9 x11\n"

static inline int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static inline int teardown(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

#endif
