// SPDX-License-Identifier: Apache-2.0
#include "profile_fixture.h"

#include "profile/int.h"
#include "profile/table.h"

/* The profile store: what goes in comes out, in order, of this machine only; old schemas too. */

/* ---- in and out ----------------------------------------------------------------------------- */

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

/* What a writer has in its log beside the file is read through a link to the file too. */
static void test_through_a_link(void **state)
{
	struct vt_profile *writer, *p = NULL;
	struct vt_err e = {0};
	char link[128];

	fill(&here);
	writer = must_open(VT_PROFILE_WRITE, &here);
	assert_int_equal(
		vt_profile_put(writer,
			       &(struct vt_profile_time){"Mul c", "-", 1, 0, 50, 1, 5, false, 0, 0},
			       1, &e),
		0);
	snprintf(link, sizeof(link), "%s/link-%d", dir, (int)getpid());
	assert_int_equal(symlink(path, link), 0);
	if (vt_profile_open(&p, link, VT_PROFILE_READ, &here, &e))
		fail_msg("%s", e.msg);
	expect(p, "Mul c", "Mul c - 1/0 50+1 x5\n");
	vt_profile_close(p);
	vt_profile_close(writer);
}

/* A server has no ten seconds for a store that another process writes to. */
static void test_another_writer(void **state)
{
	struct vt_profile *p, *late = NULL;
	sqlite3 *other = NULL;
	struct vt_err e = {0};

	fill(&here);
	p = must_open(VT_PROFILE_WRITE_SOON, &here);
	assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(vt_profile_put(p, samples, 1, &e), -EBUSY);
	assert_int_equal(vt_profile_open(&late, path, VT_PROFILE_WRITE_SOON, &here, NULL), -EBUSY);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(vt_profile_put(p, samples, 1, NULL), 0);
	vt_profile_close(p);
}

/* What passes is told from a store that is damaged. */
static void test_no_memory(void **state)
{
	struct vt_profile *p;
	struct list l = {0};
	uint64_t n = 0;
	uint16_t points[VT_PROFILE_POINTS];
	size_t n_points = 0;

	fill(&here);
	p = must_open(VT_PROFILE_WRITE, &here);
	sqlite3_db_release_memory(p->db);
	sqlite3_hard_heap_limit64(1);
	assert_int_equal(vt_profile_each(p, NULL, append, &l, NULL), -ENOMEM);
	assert_int_equal(vt_profile_foreign(p, &n, NULL), -ENOMEM);
	assert_int_equal(vt_profile_models(p, NULL, NULL, NULL), -ENOMEM);
	assert_int_equal(vt_profile_keys(p, NULL, NULL, NULL), -ENOMEM);
	assert_int_equal(vt_profile_model_same(p, path, "0", NULL), -ENOMEM);
	assert_int_equal(vt_profile_points(p, points, &n_points, NULL), -ENOMEM);
	assert_int_equal(vt_profile_put(p, samples, 1, NULL), -ENOMEM);
	sqlite3_hard_heap_limit64(0);
	assert_int_equal(vt_profile_put(p, samples, 1, NULL), 0);
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
		{{"", "v", 1, 0, 1, 0, 1, false, 0, 0}, "signature"},
		{{"l", "", 1, 0, 1, 0, 1, false, 0, 0}, "variant without"},
		{{"l", "v", 0, 0, 1, 0, 1, false, 0, 0}, "cores"},
		{{"l", "v", 1025, 0, 1, 0, 1, false, 0, 0}, "cores"},
		{{"l", "v", 1, 5, 1, 0, 1, false, 0, 0}, "level"},
		{{"l", "v", 1, 0, 0, 0, 1, false, 0, 0}, "1 h"},
		{{"l", "v", 1, 0, VT_PROFILE_MAX_NS + 1, 0, 1, false, 0, 0}, "1 h"},
		{{"l", "v", 1, 0, 1, UINT64_MAX, 1, false, 0, 0}, "1 h"},
		{{"l", "v", 1, 0, 1, 0, 0, false, 0, 0}, "samples"},
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
	struct vt_profile_time one = {"Add a", "-", 1, 0, 99, 1, 7, false, 0, 0};
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
	assert_int_equal(vt_profile_model_same(p, "/no/m.onnx", "1235", &e), 0);
	assert_int_equal(vt_profile_model_same(p, "/no/m.onnx", "1236", NULL), -EINVAL);
	assert_int_equal(vt_profile_model(p, "/no/m.onnx", "1236" VT_PROFILE_DIMS, two, 1, &e), 0);
	assert_int_equal(vt_profile_model_same(p, "/no/m.onnx", "1236", &e), 0);
	assert_int_equal(vt_profile_model_same(p, "/no/m.onnx", "1235", NULL), -EINVAL);
	assert_int_equal(vt_profile_model_same(p, "/no/z.onnx", "1235", &e), -ENOENT);
	assert_int_equal(vt_profile_model(p, "/no/m.onnx", "1", two, 0, NULL), -EINVAL);
	vt_profile_close(p);
	other = must_open(VT_PROFILE_READ, &there);
	assert_int_equal(vt_profile_model_same(other, "/no/m.onnx", "1235", NULL), -ENOENT);
	vt_profile_close(other);
}

/* ---- schemas -------------------------------------------------------------------------------- */

#define KEPT_1                                                                                     \
	ADD "Conv b nouter 1/0 900+9 x11 kept 0\nConv b nouter 1/4 1800+90 x11 kept 0\n"           \
	    "Conv b nouter 2/0 500+5 x11 kept 0\nConv b mouter 1/0 1000+9 x11 kept 1\n" AOUTER

static int count_known(void *arg, const struct vt_profile_time *t)
{
	*(int *)arg += t->taken_s != 0;
	return 0;
}

/* A store as schema 1 wrote it: read without being changed, migrated by the first writer. */
static void test_migration(void **state)
{
	struct bytes text = {0}, before, after;
	struct vt_profile *p;
	struct vt_err e = {0};
	int known = 0;

	if (vt_file_read("tests/fixtures/profile-schema1.sql", 1 << 20, &text.data, &text.len, &e))
		vt_skip("tests/fixtures is not below this folder");
	sql(text.data);
	before = slurp();
	p = must_open(VT_PROFILE_READ, &here);
	expect(p, NULL, KEPT_1);
	vt_profile_close(p);
	after = slurp();
	assert_memory_equal(before.data, after.data, before.len);
	free(before.data);
	free(after.data);
	p = must_open(VT_PROFILE_WRITE, &here);
	expect(p, NULL, KEPT_1);
	assert_int_equal(vt_profile_model_same(p, "/no/m.onnx", "0123456789abcdef", &e), 0);
	assert_int_equal(vt_profile_put(p, samples, 1, &e), 0);
	assert_int_equal(vt_profile_each(p, NULL, count_known, &known, &e), 0);
	assert_int_equal(known, 1); /* times of schema 1 do not say when */
	vt_profile_close(p);
	after = slurp();
	assert_int_equal(((unsigned char *)after.data)[63], VT_PROFILE_SCHEMA); /* user_version */
	free(after.data);
	free(text.data);
	p = must_open(VT_PROFILE_READ, &there);
	expect(p, NULL, "Conv b nouter 1/0 900+9 x11\nConv b nouter 2/0 500+5 x11\n");
	vt_profile_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_in_and_out, new_path),
		cmocka_unit_test_setup(test_through_a_link, new_path),
		cmocka_unit_test_setup(test_another_writer, new_path),
		cmocka_unit_test_setup(test_no_memory, new_path),
		cmocka_unit_test_setup(test_each_stops, new_path),
		cmocka_unit_test_setup(test_refuses_times, new_path),
		cmocka_unit_test_setup(test_other_machines, new_path),
		cmocka_unit_test_setup(test_models, new_path),
		cmocka_unit_test_setup(test_migration, new_path),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
