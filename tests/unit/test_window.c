// SPDX-License-Identifier: Apache-2.0
/* test_window.c - snapshots to rates, and who is blamed. No kernel needed. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "monitor/blame.h"
#include "monitor/impl.h" /* a monitor without a kernel: slots only */
#include "monitor/names.h"
#include "monitor/window.h"

#define MS 1000000ull

static const struct vt_slot_map hw_map = {
	.slot = {0, 1, 2, 3, -1, -1}, .hw = {1, 1, 1, 1, 0, 0}, .slots = 4};
static const struct vt_slot_map sw_map = {.slot = {0, -1, -1, 1, -1, -1}, .slots = 2};

static uint64_t tenant(uint64_t id)
{
	return VT_KEY(VT_KIND_CGROUP, id);
}

/* ---- deltas ------------------------------------------------------------------------------ */

static void test_deltas(void **state)
{
	static const struct {
		const char *what;
		struct vt_total a, b;
		uint64_t run_ns;
		double count0; /* < 0: not known */
		double coverage;
	} t[] = {
		{"plain", {1, 10, 1, {100}, {0}}, {1, 30, 2, {350}, {0}}, 20, 250, 1},
		{"new tenant", {0}, {1, 30, 2, {350}, {0}}, 30, 350, 1},
		{"row of another tenant",
		 {2, 10, 1, {100}, {0}},
		 {1, 30, 2, {350}, {0}},
		 30,
		 350,
		 1},
		{"same tenant, new row",
		 {1, 50, 9, {900}, {0}},
		 {1, 30, 2, {350}, {0}},
		 30,
		 350,
		 1},
		{"half of it counted", {1, 0, 1, {0}, {0}}, {1, 40, 2, {100}, {20}}, 40, 200, 0.5},
		{"never counted", {1, 0, 1, {0}, {0}}, {1, 40, 2, {0}, {40}}, 40, -1, 0},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_total ta = t[i].a, tb = t[i].b;
		struct vt_snapshot a = {.mono_ns = 1, .rows = 1, .total = &ta};
		struct vt_snapshot b = {.mono_ns = 101, .rows = 1, .total = &tb};
		struct vt_window w = {0};

		ta.tenant = ta.tenant ? tenant(ta.tenant) : 0;
		tb.tenant = tenant(tb.tenant);
		assert_int_equal(vt_window_close(&a, &b, 1, &w), 0);
		assert_int_equal(w.n, 1);
		assert_int_equal(w.len_ns, 100);
		assert_int_equal(w.row[0].run_ns, t[i].run_ns);
		if (t[i].count0 < 0)
			assert_true(isnan(w.row[0].count[0]));
		else
			assert_true(fabs(w.row[0].count[0] - t[i].count0) < 1e-9);
		assert_true(fabs(w.row[0].coverage - t[i].coverage) < 1e-9);
		assert_int_equal(vt_window_close(&b, &a, 1, &w), -EINVAL);
		vt_window_fini(&w);
	}
}

static void test_idle_and_silent_tenants_are_left_out(void **state)
{
	struct vt_total a[4] = {{VT_KEY(VT_KIND_OTHER, 0), 1, 1, {0}, {0}},
				{VT_KEY(VT_KIND_IDLE, 0), 1, 1, {0}, {0}},
				{VT_KEY(VT_KIND_GONE, 0), 1, 1, {0}, {0}},
				{0}};
	struct vt_total b[4];
	struct vt_snapshot sa = {.mono_ns = 1, .rows = 4, .total = a},
			   sb = {.mono_ns = 2, .rows = 4, .total = b};
	struct vt_window w = {0};

	memcpy(b, a, sizeof(b));
	b[1].slices = b[2].slices = 7;
	b[3] = (struct vt_total){tenant(9), 5, 1, {0}, {0}};
	assert_int_equal(vt_window_close(&sa, &sb, 0, &w), 0);
	assert_int_equal(w.n, 1);
	assert_int_equal(w.row[0].tenant, tenant(9));
	vt_window_fini(&w);
}

/* ---- rates ------------------------------------------------------------------------------- */

static void test_rates(void **state)
{
	struct vt_window_row rows[2] = {
		{.tenant = tenant(1), .run_ns = 500 * MS, .count = {1000, 2000, 400, 100}},
		{.tenant = tenant(2), .run_ns = 250 * MS, .count = {1000, 500, 600, 300}},
	};
	struct vt_window w = {.len_ns = 1000 * MS, .n = 2, .row = rows};
	struct vt_rates r = vt_window_rates(&w, &rows[0], &hw_map, 64);

	assert_true(r.cpus == 0.5 && r.ipc == 2 && r.llc_miss_ratio == 0.25);
	assert_true(r.llc_misses_per_s == 100 && r.dram_bytes_per_s == 6400);
	assert_true(r.share_of_bandwidth == 0.25);
	/* Stand-ins: the rate is told, but there is no IPC, no ratio and there are no bytes. */
	r = vt_window_rates(&w, &rows[0], &sw_map, 64);
	assert_true(r.cpus == 0.5 && r.llc_misses_per_s == 2000);
	assert_true(isnan(r.ipc) && isnan(r.llc_miss_ratio) && isnan(r.dram_bytes_per_s));
	assert_true(isnan(r.share_of_bandwidth));
}

/* Another quantity that hardware counts is no more the one that is meant than what software counts. */
static void test_which_slots_are_hardware(void **state)
{
	static const struct {
		const char *cls, *quality;
		bool hw;
	} t[] = {{"hw", "exact", true},	 {"hw", "approx", true}, {"hw", "user", true},
		 {"hw", "proxy", false}, {"sw", "proxy", false}, {"sw", "user", false}};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_monitor *m = calloc(1, sizeof(*m));
		struct vt_window_row row = {
			.tenant = tenant(1), .run_ns = 500 * MS, .count = {400, 100}};
		struct vt_window w = {.len_ns = 1000 * MS, .n = 1, .row = &row};
		struct vt_slot_map map;
		struct vt_rates r;

		assert_non_null(m);
		m->meta.slots = 2;
		for (int k = 0; k < 2; k++) {
			m->slot[k].role_id = k ? VT_ROLE_LLC_MISSES : VT_ROLE_LLC_REFS;
			snprintf(m->slot[k].cls, sizeof(m->slot[k].cls), "%s", t[i].cls);
			snprintf(m->slot[k].quality, sizeof(m->slot[k].quality), "%s",
				 t[i].quality);
		}
		vt_slot_map_init(&map, m);
		r = vt_window_rates(&w, &row, &map, 64);
		assert_true(r.llc_misses_per_s == 100);
		assert_int_equal(map.hw[VT_ROLE_LLC_MISSES], t[i].hw);
		assert_int_equal(isnan(r.llc_miss_ratio), !t[i].hw);
		assert_int_equal(isnan(r.dram_bytes_per_s), !t[i].hw);
		assert_int_equal(isnan(r.share_of_bandwidth), !t[i].hw);
		free(m);
	}
}

/* ---- blame ------------------------------------------------------------------------------- */

/* A victim, an aggressor that comes and goes, and a bystander whose misses follow another rhythm.
 */
static void feed(struct vt_blame *b, int i, bool hurts, const struct vt_slot_map *map)
{
	bool on = i / 4 % 2, other = i % 3 == 0;
	struct vt_window_row rows[3] = {
		{.tenant = tenant(1), .count = {on && hurts ? 1500 : 1000, 1000, 0, 10}},
		{.tenant = tenant(2), .count = {1000, 1000, 0, on ? 90000 : 100}},
		{.tenant = tenant(3), .count = {1000, 1000, 0, other ? 50000 : 100}},
	};
	struct vt_window w = {.len_ns = 10 * MS, .n = 3, .row = rows};

	vt_blame_feed(b, &w, map);
}

static void test_blame(void **state)
{
	static const struct {
		const char *what;
		bool hurts;
		const struct vt_slot_map *map;
		int windows, err;
	} t[] = {
		{"the one that moves with it", true, &hw_map, 40, 0},
		{"nobody hurts", false, &hw_map, 40, -ENODATA},
		{"too early", true, &hw_map, 5, -ENODATA},
		{"no hardware counters", true, &sw_map, 40, -ENODATA},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_blame *b = vt_blame_new(8);
		struct vt_verdict v = {0};

		assert_non_null(b);
		for (int k = 0; k < t[i].windows; k++)
			feed(b, k, t[i].hurts, t[i].map);
		assert_int_equal(vt_blame_of(b, tenant(1), &v), t[i].err);
		if (!t[i].err) {
			assert_int_equal(v.aggressor, tenant(2));
			assert_true(v.slowdown > 1.4 && v.slowdown < 1.6 && v.correlation > 0.9);
		}
		assert_int_equal(vt_blame_of(b, tenant(99), &v), -ENODATA);
		vt_blame_free(b);
	}
}

/* One window of up to four tenants, in the order of their rows. */
struct runs {
	uint64_t id, ms;
	double cpi, misses;
};

static void feed_runs(struct vt_blame *b, const struct runs *r, uint32_t n)
{
	struct vt_window_row rows[4] = {0};
	struct vt_window w = {.len_ns = 1000 * MS, .n = n, .row = rows};

	for (uint32_t i = 0; i < n; i++)
		rows[i] = (struct vt_window_row){
			.tenant = tenant(r[i].id),
			.run_ns = r[i].ms * MS,
			.count = {r[i].cpi * 1000, 1000, 0, r[i].misses},
		};
	vt_window_sort(&w);
	vt_blame_feed(b, &w, &hw_map);
}

/* Tenant 1 suffers from 2, whether it is on or not. 3 is beside them, if it runs. */
static void feed_pair(struct vt_blame *b, bool on, uint64_t ms_of_2, uint64_t ms_of_3)
{
	const struct runs r[] = {{1, 500, on ? 1.5 : 1, 10},
				 {3, ms_of_3, 1, 100},
				 {2, ms_of_2, 1, on ? 90000 : 100}};
	const struct runs pair[] = {r[0], r[2]};

	if (ms_of_3)
		feed_runs(b, r, 3);
	else
		feed_runs(b, pair, 2);
}

static void blames(const struct vt_blame *b, uint64_t victim, uint64_t aggressor)
{
	struct vt_verdict v = {0};

	assert_int_equal(vt_blame_of(b, tenant(victim), &v), 0);
	assert_int_equal(v.aggressor, tenant(aggressor));
}

static void test_the_largest_have_room(void **state)
{
	static const struct {
		const char *what;
		uint64_t ms_of_2, ms_of_3;
		int comes; /* the window in which 2 begins to run */
	} t[] = {
		{"the largest, in the last row", 900, 100, 0},
		{"much larger than one that was there before", 900, 100, 20},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		const struct runs before[] = {{1, 500, 1, 10}, {3, t[i].ms_of_3, 1, 100}};
		struct vt_blame *b = vt_blame_new(2);

		assert_non_null(b);
		for (int k = 0; k < 40 + t[i].comes; k++)
			if (k < t[i].comes)
				feed_runs(b, before, 2);
			else
				feed_pair(b, k / 4 % 2, t[i].ms_of_2, t[i].ms_of_3);
		feed_pair(b, true, t[i].ms_of_2, t[i].ms_of_3);
		blames(b, 1, 2);
		vt_blame_free(b);
	}
}

/* A newcomer pushes out neither one whose row comes after its own, nor long histories before short ones. */
static void test_history_is_kept(void **state)
{
	static const struct runs newcomer = {4, 700, 1, 100}, brief = {3, 100, 1, 100};
	struct vt_blame *b = vt_blame_new(2);

	assert_non_null(b);
	for (int k = 0; k < 40; k++)
		feed_pair(b, k / 4 % 2, 300, k == 20 ? 600 : 0);
	blames(b, 1, 2);
	vt_blame_free(b);

	b = vt_blame_new(3);
	assert_non_null(b);
	for (int k = 0; k < 40; k++)
		feed_pair(b, k / 4 % 2, 300, 0);
	feed_runs(b, &brief, 1);
	feed_runs(b, &newcomer, 1); /* nobody else runs: any of the three would be free */
	feed_pair(b, true, 300, 0);
	blames(b, 1, 2);
	vt_blame_free(b);
}

/* ---- names and keys ---------------------------------------------------------------------- */

static void test_keys(void **state)
{
	uint64_t a = VT_KEY_PROCESS(4194303, 5ull << 40), b = VT_KEY_PROCESS(4194303, 6ull << 40);

	assert_true(a != b); /* a pid used again */
	assert_int_equal(vt_key_kind(a), VT_KIND_PROCESS);
	assert_int_equal(vt_key_id(a), 4194303);
	assert_int_equal(vt_key_id(VT_KEY(VT_KIND_CGROUP, 77)), 77);
}

static void test_cgroup_names(void **state)
{
	char root[] = "/tmp/vt-names-XXXXXX", dir[128];
	struct vt_names *n;
	struct stat st;

	assert_non_null(mkdtemp(root));
	snprintf(dir, sizeof(dir), "%s/a.slice", root);
	assert_int_equal(mkdir(dir, 0755), 0);
	assert_int_equal(stat(dir, &st), 0);
	n = vt_names_new(root);
	assert_string_equal(vt_names_cgroup(n, st.st_ino), "/a.slice");
	assert_null(vt_names_cgroup(n, 1));
	assert_int_equal(stat(root, &st), 0);
	assert_string_equal(vt_names_cgroup(n, st.st_ino), "/");
	vt_names_free(n);
	rmdir(dir);
	rmdir(root);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deltas),
		cmocka_unit_test(test_idle_and_silent_tenants_are_left_out),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_which_slots_are_hardware),
		cmocka_unit_test(test_blame),
		cmocka_unit_test(test_the_largest_have_room),
		cmocka_unit_test(test_history_is_kept),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_cgroup_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
