// SPDX-License-Identifier: Apache-2.0
/* Admission: what is due before a request decides, what is due after it does not; and what it learns. */
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
		{50, 10, 51, false, false},  /* alone too slow already */
		{100, 40, 50, false, true}, /* 40 before it, 40 of its own: both cores full for 80 */
		{119, 40, 50, false, false}, /* 80 before it: 120 */
		{120, 40, 50, false, true},  /* exactly in time */
		{60, 10, 20, false, true},   /* due before all of them: none of them counts */
		{61, 10, 61, false, true},   /* 20 in all, but it runs for 61 itself */
		{61, 10, 62, false, false},  {61, 42, 50, false, false}, /* 20 before it */
		{61, 42, 50, true, true}, /* served late, as configured */
	};
	struct vt_admission a;
	struct vt_admitted q[VT_COUNT(t)];

	assert_int_equal(vt_admission_init(&a, 16), 0);
	a.stretch = 1;
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		q[i] = (struct vt_admitted){
			t[i].deadline * MS, t[i].work * MS, true, NULL, 0, false, 0};
		if (vt_admission_enter(&a, &q[i], 0, t[i].own * MS, t[i].any) != t[i].in)
			fail_msg("request %zu", i);
	}
	assert_int_equal(q[0].needed_ns, 500 * MS); /* its own time */
	assert_int_equal(q[3].needed_ns, 120 * MS); /* what is before it, too */
	for (size_t i = 0; i < VT_COUNT(t); i++)    /* in any order */
		if (t[i * 3 % VT_COUNT(t)].in)
			vt_admission_leave(&a, &q[i * 3 % VT_COUNT(t)], MS, VT_ADMISSION_OTHER);
	assert_int_equal(a.n, 0);
	vt_admission_fini(&a);
}

/* Of those that have begun, what is left counts: in any number of blocks, of any of them. */
static void test_work_that_is_done(void **state)
{
	/* 40 ms of work, and 80; from layer to layer within [since, until) ms; now 10 are asked for: the end, in ms */
	static const struct {
		uint32_t from_ppm, to_ppm;
		uint64_t since, until, now, end;
	} t[] = {
		{0, 0, 0, 0, 1000, 1130},	     /* not begun */
		{0, 500000, 1000, 1020, 1000, 1130}, /* just begun */
		{0, 500000, 1000, 1020, 1010, 1130}, /* 10 of 40 are done, and it is 10 later */
		{0, 500000, 1000, 1020, 1020, 1130}, /* half of it is */
		{0, 500000, 1000, 1020, 1035, 1145}, /* it takes longer than was thought */
		{500000, 500000, 0, 0, 1035, 1145},  /* between two blocks */
		{500000, 1000000, 1040, 1050, 1045, 1145}, /* on both cores at a time */
		{500000, 1000000, 1040, 1050, 1070, 1160}, /* and nothing is left */
	};
	struct vt_headway h = {0};
	struct vt_admission a;
	struct vt_admitted first = {5000 * MS, 40 * MS, true, &h, 0, false, 0},
			   second = {6000 * MS, 80 * MS, true, NULL, 0, false, 0};

	assert_int_equal(vt_admission_init(&a, 16), 0);
	a.stretch = 1;
	assert_true(vt_admission_enter(&a, &second, 1000 * MS, 0, true));
	assert_true(vt_admission_enter(&a, &first, 1000 * MS, 0, true));
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_admitted q = {7000 * MS, 10 * MS, true, NULL, 0, false, 0};

		h = (struct vt_headway){t[i].since * MS, t[i].until * MS, t[i].from_ppm,
					t[i].to_ppm};
		first.deadline_ns = second.deadline_ns = t[i].end * MS - 1;
		q.deadline_ns = t[i].end * MS - 1;
		if (vt_admission_enter(&a, &q, t[i].now * MS, 0, false))
			fail_msg("%zu: too early", i);
		q.deadline_ns++;
		if (!vt_admission_enter(&a, &q, t[i].now * MS, 0, false))
			fail_msg("%zu: not admitted", i);
		vt_admission_leave(&a, &q, 0, VT_ADMISSION_OTHER);
	}
	vt_admission_leave(&a, &first, 1100 * MS, VT_ADMISSION_OTHER);
	vt_admission_leave(&a, &second, 1100 * MS, VT_ADMISSION_OTHER);
	vt_admission_fini(&a);
}

/* Entered with the first part of its body: it holds its place until its deadline, and can begin when it is there. */
static void test_places_are_held(void **state)
{
	struct vt_headway h = {20 * MS, 40 * MS, 0, 500000};
	struct vt_admission a;
	struct vt_admitted coming = {50 * MS, 40 * MS, false, &h, 0, false, 0};
	struct vt_admitted q = {60 * MS, 30 * MS, true, NULL, 0, false, 0};

	assert_int_equal(vt_admission_init(&a, 16), 0);
	a.stretch = 1;
	assert_true(vt_admission_enter(&a, &coming, 0, 0, false));
	assert_false(vt_admission_enter(&a, &q, 0, 0, false)); /* 40 before it: 70 */
	q.deadline_ns = 70 * MS;
	assert_false(vt_admission_enter(&a, &q, 30 * MS, 0, false)); /* it is not worked on yet */
	assert_true(vt_admission_arrive(&a, &coming, 20 * MS, 0, false));
	q.deadline_ns = 90 * MS - 1;
	assert_false(vt_admission_enter(&a, &q, 30 * MS, 0, false));
	q.deadline_ns++;
	assert_true(vt_admission_enter(&a, &q, 30 * MS, 0, false)); /* 10 of 40 are done */
	vt_admission_leave(&a, &coming, 50 * MS, VT_ADMISSION_ANSWERED);

	/* One whose body does not come holds nobody up for longer than it could be in time. */
	coming = (struct vt_admitted){100 * MS, 10 * MS, false, NULL, 0, false, 0};
	assert_true(vt_admission_enter(&a, &coming, 60 * MS, 0, false));
	vt_admission_leave(&a, &q, 70 * MS, VT_ADMISSION_ANSWERED);
	q = (struct vt_admitted){120 * MS, 15 * MS, true, NULL, 0, false, 0};
	assert_false(vt_admission_enter(&a, &q, 99 * MS, 21 * MS + 1, false));
	assert_true(
		vt_admission_enter(&a, &q, 100 * MS, 21 * MS, false)); /* as on a free machine */
	assert_int_equal(a.n, 1);

	/* Too late: it leaves, unless it is to be served late. */
	assert_true(vt_admission_arrive(&a, &coming, 101 * MS, 0, true));
	vt_admission_leave(&a, &coming, 101 * MS, VT_ADMISSION_OTHER);
	coming.here = false;
	assert_true(vt_admission_enter(&a, &coming, 101 * MS, 0, true));
	assert_int_equal(a.n, 2);
	assert_false(vt_admission_arrive(&a, &coming, 102 * MS, 0, false));
	assert_int_equal(a.n, 1);

	coming = (struct vt_admitted){200 * MS, 10 * MS, false, NULL, 0, false, 0};
	assert_true(vt_admission_enter(&a, &coming, 102 * MS, 40 * MS, false));
	assert_false(vt_admission_arrive(&a, &coming, 160 * MS + 1, 40 * MS, false));
	assert_int_equal(a.n, 1);

	vt_admission_leave(&a, &q, 110 * MS, VT_ADMISSION_ANSWERED);
	assert_int_equal(a.n, 0);
	vt_admission_fini(&a);
}

/* One request at a time, so many of a hundred late: where does the stretch settle? */
static double settled(struct vt_admission *a, uint64_t own_ns, int late_of_100,
		      enum vt_admission_end how)
{
	struct vt_admitted q = {10 * MS, MS, true, NULL, 0, false, 0};

	for (int i = 0; i < 10000; i++) {
		bool late = i % 100 < late_of_100;

		assert_true(vt_admission_enter(a, &q, 0, own_ns, true));
		vt_admission_leave(a, &q, late ? 11 * MS : 10 * MS, how);
	}
	return a->stretch;
}

static void test_what_is_learnt(void **state)
{
	struct vt_admission a;
	const double least = 0.6;
	double before;

	assert_int_equal(vt_admission_init(&a, 16), 0);
	before = a.stretch;
	/* cancelled: says nothing; neither does who asked for less than it takes, and was late */
	assert_true(settled(&a, 0, 100, VT_ADMISSION_OTHER) == before);
	assert_true(settled(&a, 11 * MS, 100, VT_ADMISSION_ANSWERED) == before);
	assert_true(settled(&a, 11 * MS, 0, VT_ADMISSION_GIVEN_UP) == before);
	/* more than 5 % late: rises; fewer: falls, but not without end */
	assert_true(settled(&a, 0, 6, VT_ADMISSION_ANSWERED) > 1.5);
	assert_true(settled(&a, 0, 4, VT_ADMISSION_ANSWERED) < 1.5);
	assert_true(settled(&a, 0, 0, VT_ADMISSION_ANSWERED) == least);
	assert_true(settled(&a, 0, 0, VT_ADMISSION_GIVEN_UP) > 2);
	/* so high that nothing fits: those that are tried bring it down again */
	assert_true(settled(&a, 9 * MS, 0, VT_ADMISSION_ANSWERED) == least);
	vt_admission_fini(&a);
}

static void test_room_and_retry(void **state)
{
	struct vt_headway h = {0};
	struct vt_admission a;
	struct vt_admitted q[3] = {{1, 900 * MS, true, &h, 0, false, 0},
				   {1, 200 * MS, true, NULL, 0, false, 0},
				   {1, 1, true, NULL, 0, false, 0}};

	assert_int_equal(vt_admission_init(&a, 2), 0);
	assert_int_equal(vt_admission_retry_s(&a, 0), 1);
	assert_true(vt_admission_enter(&a, &q[0], 0, 0, true));
	assert_int_equal(vt_admission_retry_s(&a, 0), 1);
	assert_true(vt_admission_enter(&a, &q[1], 0, 0, true));
	assert_int_equal(vt_admission_retry_s(&a, 0), 2);
	h = (struct vt_headway){10, 20, 0, 500000};
	assert_int_equal(vt_admission_retry_s(&a, 10), 2);
	assert_int_equal(vt_admission_retry_s(&a, 20), 1);	 /* 450 and 200 ms are left */
	assert_false(vt_admission_enter(&a, &q[2], 0, 0, true)); /* full */
	vt_admission_leave(&a, &q[0], 0, VT_ADMISSION_OTHER);
	assert_int_equal(vt_admission_retry_s(&a, 0), 1);
	vt_admission_leave(&a, &q[1], 0, VT_ADMISSION_OTHER);
	vt_admission_fini(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_comes_in),	  cmocka_unit_test(test_places_are_held),
		cmocka_unit_test(test_work_that_is_done), cmocka_unit_test(test_what_is_learnt),
		cmocka_unit_test(test_room_and_retry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
