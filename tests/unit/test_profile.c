// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/file.h"
#include "profile/profile.h"

/*
 * The profile store as its users meet it: what goes in comes out, in order; who is refused leaves no
 * trace; what kill -9 leaves behind is whole.
 */

static char dir[] = "/tmp/veltair-test-profile-XXXXXX";
static char path[128];

static const struct vt_profile_key here = {"GenuineTest family 1, 2 cores", "xnnpack a, kernels b"},
				   there = {"GenuineTest family 2, 4 cores",
					    "xnnpack a, kernels b"},
				   newer = {"GenuineTest family 1, 2 cores",
					    "xnnpack a, kernels c"};

static const struct vt_profile_time samples[] = {
	{"Conv b", "nouter", 1, 0, 900, 9, 11, false, 0},
	{"Conv b", "nouter", 2, 0, 500, 5, 11, false, 0},
	{"Conv b", "nouter", 1, 4, 1800, 90, 11, false, 0},
	{"Conv b", "mouter", 1, 0, 1000, 9, 11, false, 0},
	{"Conv b", "aouter", 1, 0, 1100, 9, 11, false, 0},
	{"Add a", "-", 1, 0, 70, 1, 7, false, 0},
};

static int new_path(void **state)
{
	static int n;

	snprintf(path, sizeof(path), "%s/%d.db", dir, n++);
	return 0;
}

static struct vt_profile *must_open(enum vt_profile_mode mode, const struct vt_profile_key *key)
{
	struct vt_profile *p = NULL;
	struct vt_err e = {0};

	if (vt_profile_open(&p, path, mode, key, &e))
		fail_msg("%s", e.msg);
	return p;
}

static void fill(const struct vt_profile_key *key)
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

static int append(void *arg, const struct vt_profile_time *t)
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

static void expect(struct vt_profile *p, const char *layer, const char *text)
{
	struct list l = {0};
	struct vt_err e = {0};

	if (vt_profile_each(p, layer, append, &l, &e))
		fail_msg("%s", e.msg);
	assert_string_equal(l.text, text);
}

/* ---- in and out ----------------------------------------------------------------------------- */

#define ADD    "Add a - 1/0 70+1 x7\n"
#define AOUTER "Conv b aouter 1/0 1100+9 x11\n"

static void test_in_and_out(void **state)
{
	static const char *const kept[] = {"nouter", "mouter"};
	struct vt_profile_time again = samples[3];
	struct vt_profile *p;
	struct vt_err e = {0};

	fill(&here);
	p = must_open(VT_PROFILE_WRITE, &here);
	expect(p, NULL,
	       ADD AOUTER "Conv b mouter 1/0 1000+9 x11\n"
			  "Conv b nouter 1/0 900+9 x11\nConv b nouter 1/4 1800+90 x11\n"
			  "Conv b nouter 2/0 500+5 x11\n");
	expect(p, "Add a", ADD);
	expect(p, "Add", "");
	again.median_ns = 1001;
	assert_int_equal(vt_profile_put(p, &again, 1, &e), 0);
	assert_int_equal(vt_profile_keep(p, "Conv b", kept, 2, &e), 0);
	vt_profile_close(p);
	p = must_open(VT_PROFILE_READ, &here);
	expect(p, NULL,
	       ADD
	       "Conv b nouter 1/0 900+9 x11 kept 0\nConv b nouter 1/4 1800+90 x11 kept 0\n"
	       "Conv b nouter 2/0 500+5 x11 kept 0\nConv b mouter 1/0 1001+9 x11 kept 1\n" AOUTER);
	vt_profile_close(p);
	p = must_open(VT_PROFILE_WRITE, &here);
	assert_int_equal(vt_profile_keep(p, "Conv b", kept + 1, 1, &e), 0);
	expect(p, "Conv b",
	       "Conv b mouter 1/0 1001+9 x11 kept 0\n" AOUTER
	       "Conv b nouter 1/0 900+9 x11\nConv b nouter 1/4 1800+90 x11\n"
	       "Conv b nouter 2/0 500+5 x11\n");
	vt_profile_close(p);
}

static int stop_at_second(void *arg, const struct vt_profile_time *t)
{
	return ++*(int *)arg == 2 ? 42 : 0;
}

static void test_each_stops(void **state)
{
	struct vt_profile *p;
	struct vt_err e = {0};
	int n = 0;

	fill(&here);
	p = must_open(VT_PROFILE_READ, &here);
	assert_int_equal(vt_profile_each(p, NULL, stop_at_second, &n, &e), 42);
	assert_int_equal(n, 2);
	vt_profile_close(p);
}

static void test_refuses_times(void **state)
{
	static const struct {
		struct vt_profile_time t;
		const char *says;
	} bad[] = {
		{{"", "v", 1, 0, 1, 0, 1, false, 0}, "signature"},
		{{"l", "", 1, 0, 1, 0, 1, false, 0}, "variant without"},
		{{"l", "v", 0, 0, 1, 0, 1, false, 0}, "cores"},
		{{"l", "v", 1025, 0, 1, 0, 1, false, 0}, "cores"},
		{{"l", "v", 1, 5, 1, 0, 1, false, 0}, "level"},
		{{"l", "v", 1, 0, 0, 0, 1, false, 0}, "1 h"},
		{{"l", "v", 1, 0, VT_PROFILE_MAX_NS + 1, 0, 1, false, 0}, "1 h"},
		{{"l", "v", 1, 0, 1, UINT64_MAX, 1, false, 0}, "1 h"},
		{{"l", "v", 1, 0, 1, 0, 0, false, 0}, "samples"},
	};
	static const char *const many[] = {"a", "b", "c", "d", "e", "f"}, *const twice[] = {"a",
											    "a"};
	struct vt_profile *p = must_open(VT_PROFILE_WRITE, &here);

	for (size_t i = 0; i < VT_COUNT(bad); i++) {
		struct vt_profile_time two[2] = {samples[0], bad[i].t};
		struct vt_err e = {0};

		assert_int_equal(vt_profile_put(p, two, 2, &e), -EINVAL);
		assert_non_null(strstr(e.msg, bad[i].says));
		assert_non_null(strstr(e.msg, path));
	}
	assert_int_equal(vt_profile_keep(p, "l", many, 6, NULL), -EINVAL);
	assert_int_equal(vt_profile_keep(p, "l", twice, 2, NULL), -EINVAL);
	expect(p, NULL, ""); /* all or none */
	vt_profile_close(p);
}

/* ---- machines ------------------------------------------------------------------------------- */

static int append_key(void *arg, const struct vt_profile_key *key, uint64_t times)
{
	struct list *l = arg;
	size_t at = strlen(l->text);

	snprintf(l->text + at, sizeof(l->text) - at, "%s; %s: %llu\n", key->machine, key->library,
		 (unsigned long long)times);
	return 0;
}

static void test_other_machines(void **state)
{
	static const struct {
		const struct vt_profile_key *key;
		uint64_t foreign;
	} t[] = {{&here, 7}, {&there, 7}, {&newer, 12}};
	struct vt_profile_time one = {"Add a", "-", 1, 0, 99, 1, 7, false, 0};
	struct list l = {0};
	struct vt_profile *p;
	struct vt_err e = {0};

	fill(&here);
	fill(&there);
	p = must_open(VT_PROFILE_WRITE, &newer);
	expect(p, NULL, "");
	assert_int_equal(vt_profile_put(p, &one, 1, &e), 0);
	vt_profile_close(p);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		uint64_t n = 0;

		p = must_open(VT_PROFILE_READ, t[i].key);
		assert_int_equal(vt_profile_foreign(p, &n, &e), 0);
		assert_int_equal(n, t[i].foreign);
		expect(p, "Add a", t[i].key == &newer ? "Add a - 1/0 99+1 x7\n" : ADD);
		vt_profile_close(p);
	}
	p = must_open(VT_PROFILE_READ, &here);
	assert_int_equal(vt_profile_keys(p, append_key, &l, &e), 0);
	assert_string_equal(l.text, "GenuineTest family 1, 2 cores; xnnpack a, kernels b: 6\n"
				    "GenuineTest family 1, 2 cores; xnnpack a, kernels c: 1\n"
				    "GenuineTest family 2, 4 cores; xnnpack a, kernels b: 6\n");
	vt_profile_close(p);
}

/* ---- models --------------------------------------------------------------------------------- */

static int append_model(void *arg, const char *model, const char *digest, const char *const *layers,
			size_t n)
{
	struct list *l = arg;
	size_t at = strlen(l->text);

	at += (size_t)snprintf(l->text + at, sizeof(l->text) - at, "%s %s:", model, digest);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(l->text + at, sizeof(l->text) - at, " [%s]", layers[i]);
	snprintf(l->text + at, sizeof(l->text) - at, "\n");
	return 0;
}

static void test_models(void **state)
{
	static const char *const one[] = {"Conv b", "Add a", "Conv b"}, *const two[] = {"Add a"};
	struct list l = {0};
	struct vt_profile *p = must_open(VT_PROFILE_WRITE, &here), *other;
	struct vt_err e = {0};

	assert_int_equal(vt_profile_model_same(p, "/no/m.onnx", "1234", &e), -ENOENT);
	assert_int_equal(vt_profile_model(p, "/no/m.onnx", "1234", one, 3, &e), 0);
	assert_int_equal(vt_profile_model(p, "/no/a.onnx", "abcd", two, 1, &e), 0);
	assert_int_equal(vt_profile_model_same(p, "/no/m.onnx", "1234", &e), 0);
	assert_int_equal(vt_profile_model_same(p, "/no/m.onnx", "1235", &e), -EINVAL);
	assert_non_null(strstr(e.msg, "/no/m.onnx: not the file that was profiled"));
	assert_int_equal(vt_profile_models(p, append_model, &l, &e), 0);
	assert_string_equal(l.text, "/no/a.onnx abcd: [Add a]\n"
				    "/no/m.onnx 1234: [Conv b] [Add a] [Conv b]\n");
	l = (struct list){0};
	assert_int_equal(vt_profile_model(p, "/no/m.onnx", "1235", two, 1, NULL), 0);
	assert_int_equal(vt_profile_models(p, append_model, &l, NULL), 0);
	assert_string_equal(l.text, "/no/a.onnx abcd: [Add a]\n/no/m.onnx 1235: [Add a]\n");
	assert_int_equal(vt_profile_model(p, "/no/m.onnx", "1", two, 0, NULL), -EINVAL);
	vt_profile_close(p);
	other = must_open(VT_PROFILE_READ, &there);
	assert_int_equal(vt_profile_model_same(other, "/no/m.onnx", "1235", NULL), -ENOENT);
	vt_profile_close(other);
}

/* ---- group ---------------------------------------------------------------------------------- */

static int setup(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	return system(cmd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_in_and_out, new_path),
		cmocka_unit_test_setup(test_each_stops, new_path),
		cmocka_unit_test_setup(test_refuses_times, new_path),
		cmocka_unit_test_setup(test_other_machines, new_path),
		cmocka_unit_test_setup(test_models, new_path),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
