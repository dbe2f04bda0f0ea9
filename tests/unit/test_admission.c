// SPDX-License-Identifier: Apache-2.0
/* Admission: what is due before a request decides, what is due after it does not. */
#include "harness.h"

#include "base/clock.h"
#include "server/admission.h"

#define MS VT_NS_PER_MS

static void test_who_comes_in(void **state)
{
	/* in order of arrival, all at time 0; times in ms */
	static const struct {
		uint64_t deadline, work, own;
		bool any, in;
	} t[] = {
		{100, 40, 500, false, true}, /* the machine is free: try */
		{40, 10, 50, false, false},  /* alone too slow already */
		{100, 40, 50, false, true},  /* 40 before it, 50 itself: 90 */
		{120, 40, 50, false, false}, /* 80 before it, 50 itself: 130 */
		{130, 40, 50, false, true},  /* exactly in time */
		{60, 10, 20, false, true},   /* due before all of them: none of them counts */
		{95, 10, 80, false, true},   /* 10 before it */
		{95, 10, 80, false, false},  /* 20 before it */
		{95, 10, 80, true, true},    /* served late, as configured */
	};
	struct vt_admission a;
	struct vt_admitted q[VT_COUNT(t)];
	uint64_t left = 0;

	assert_int_equal(vt_admission_init(&a, 16), 0);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		q[i] = (struct vt_admitted){t[i].deadline * MS, t[i].work * MS, 0};
		if (vt_admission_enter(&a, &q[i], 0, t[i].own * MS, t[i].any) != t[i].in)
			fail_msg("request %zu", i);
		left += t[i].in ? t[i].work * MS : 0;
	}
	assert_true(a.sum_ns == left);
	for (size_t i = 0; i < VT_COUNT(t); i++) /* in any order */
		if (t[i * 4 % VT_COUNT(t)].in)
			vt_admission_leave(&a, &q[i * 4 % VT_COUNT(t)]);
	assert_int_equal(a.n, 0);
	assert_true(a.sum_ns == 0);
	vt_admission_fini(&a);
}

static void test_room_and_retry(void **state)
{
	struct vt_admission a;
	struct vt_admitted q[3] = {{1, 900 * MS, 0}, {1, 200 * MS, 0}, {1, 1, 0}};

	assert_int_equal(vt_admission_init(&a, 2), 0);
	assert_int_equal(vt_admission_retry_s(&a), 1);
	assert_true(vt_admission_enter(&a, &q[0], 0, 0, true));
	assert_int_equal(vt_admission_retry_s(&a), 1);
	assert_true(vt_admission_enter(&a, &q[1], 0, 0, true));
	assert_int_equal(vt_admission_retry_s(&a), 2);
	assert_false(vt_admission_enter(&a, &q[2], 0, 0, true)); /* full */
	vt_admission_leave(&a, &q[0]);
	assert_int_equal(vt_admission_retry_s(&a), 1);
	vt_admission_leave(&a, &q[1]);
	vt_admission_fini(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_comes_in),
		cmocka_unit_test(test_room_and_retry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
