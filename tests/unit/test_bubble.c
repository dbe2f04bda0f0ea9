// SPDX-License-Identifier: Apache-2.0
/* The bubble blows when told, and is silent when told; so is the search for its levels. No time is asserted. */
#include "harness.h"

#include "base/clock.h"
#include "exec/bubble.h"

/* Stops at the last of so many questions. */
struct asked {
	unsigned int n, most;
};

static bool enough(void *arg)
{
	struct asked *a = arg;

	return ++a->n >= a->most;
}

static void test_blows_when_told(void **state)
{
	const struct vt_bubble_setting loud = {4 << 20, VT_PPM}, silence = {0};
	struct vt_cpuset cores, none = {0}, absent = {0};
	struct vt_bubble *b = NULL;
	struct vt_bubble_scale s;
	struct vt_err e = {0};
	uint64_t bytes;

	assert_int_equal(vt_bubble_open(&b, &none, &e), -EINVAL);
	vt_cpuset_add(&absent, VT_MAX_CORES - 1);
	e = (struct vt_err){0};
	assert_int_equal(vt_bubble_open(&b, &absent, &e), -EINVAL);
	vt_cpuset_allowed(&cores);
	e = (struct vt_err){0};
	if (vt_bubble_open(&b, &cores, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(vt_bubble_bytes(b), 0);
	vt_bubble_set(b, loud);
	while (vt_bubble_bytes(b) < 64 << 20)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + VT_NS_PER_MS);
	vt_bubble_set(b, silence);
	bytes = vt_bubble_bytes(b);
	vt_sleep_until_mono_ns(vt_now_mono_ns() + 5 * VT_NS_PER_MS);
	assert_int_equal(vt_bubble_bytes(b), bytes);
	assert_int_equal(vt_bubble_calibrate(b, -1, &s, &e), 0);
	assert_true(s.by_bandwidth && !s.probed && !s.level[0].footprint_bytes);
	for (int l = 1; l < (int)VT_LEVELS; l++)
		assert_true(s.level[l].duty_ppm > s.level[l - 1].duty_ppm);
	vt_bubble_close(b);
	vt_bubble_close(NULL);
}

/* Stopped anywhere in the search it is silent, and gives no scale. */
static void test_search_stopped(void **state)
{
	struct vt_bubble_search *s = NULL;
	struct vt_bubble_scale scale = {.probed = false};
	struct vt_cpuset all, last = {0};
	struct vt_bubble *b = NULL;
	struct vt_err e = {0};
	int core = -1;

	vt_cpuset_allowed(&all);
	if (vt_cpuset_count(&all) < 2)
		vt_skip("needs two cores");
	for (int c = vt_cpuset_next(&all, 0); c >= 0; c = vt_cpuset_next(&all, (unsigned int)c + 1))
		core = c;
	vt_cpuset_add(&last, (unsigned int)core);
	assert_int_equal(vt_bubble_open(&b, &last, &e), 0);
	assert_int_equal(vt_bubble_search_new(&s, b, vt_cpuset_next(&all, 0), &e), 0);
	for (unsigned int n = 1; n < 150; n += 13) {
		struct asked a = {.most = n};
		uint64_t bytes;

		assert_int_equal(vt_bubble_search_go(s, enough, &a, &scale, &e), -ECANCELED);
		assert_int_equal(a.n, n);
		bytes = vt_bubble_bytes(b);
		vt_sleep_until_mono_ns(vt_now_mono_ns() + VT_NS_PER_MS);
		assert_int_equal(vt_bubble_bytes(b), bytes);
	}
	assert_false(scale.probed);
	assert_int_equal(vt_bubble_search_go(s, NULL, NULL, &scale, &e), 0);
	assert_true(scale.probed && scale.level[VT_LEVELS - 1].footprint_bytes);
	vt_bubble_search_free(s);
	vt_bubble_close(b);
}

/* Threads may still be starting when the first setting comes, or the end. */
static void test_set_and_closed_at_once(void **state)
{
	static const struct {
		struct vt_bubble_setting first, second; /* of duty 0: none */
	} t[] = {{{0}, {0}},
		 {{4 << 20, VT_PPM / 2}, {0}},
		 {{0, VT_PPM}, {4 << 20, VT_PPM / 9}},
		 {{4 << 20, VT_PPM}, {0, VT_PPM}}};
	struct vt_cpuset cores;

	assert_int_equal(vt_cpuset_allowed(&cores), 0);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_bubble *b = NULL;
		struct vt_err e = {0};

		if (vt_bubble_open(&b, &cores, &e))
			fail_msg("%s", e.msg);
		if (t[i].first.duty_ppm)
			vt_bubble_set(b, t[i].first);
		if (t[i].second.duty_ppm)
			vt_bubble_set(b, t[i].second);
		vt_bubble_close(b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blows_when_told),
		cmocka_unit_test(test_search_stopped),
		cmocka_unit_test(test_set_and_closed_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
