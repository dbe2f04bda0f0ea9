// SPDX-License-Identifier: Apache-2.0
/* How soon a value follows a switch: made-up courses whose answer is known. */
#include "harness.h"

#include <errno.h>

#include "load/follow.h"

#define PERIOD_S 2.0
#define STEP_S	 0.01

static struct vt_follow_point points[4000];

/* Off first; from @delay_s after each switch on, the value is that of the phase. */
static size_t course(size_t n, double from_s, double secs, double delay_s, float off, float on)
{
	for (double t = 0; t < secs; t += STEP_S) {
		double in_phase = t - PERIOD_S * (double)(int)(t / PERIOD_S);
		bool is_on = (int)(t / PERIOD_S) % 2;
		bool shown = in_phase < delay_s && t >= PERIOD_S ? !is_on : is_on;

		points[n++] = (struct vt_follow_point){from_s + t, shown ? on : off, is_on};
	}
	return n;
}

static void follows_late(void **state)
{
	static const struct {
		const char *what;
		double delay_s;
		float off, on;
		uint32_t never;
	} table[] = {
		{"at once", 0, 0.1f, 0.9f, 0},
		{"after 150 ms", 0.15, 0.1f, 0.9f, 0},
		{"downwards", 0.15, 0.9f, 0.1f, 0},
		{"in a little more than half of a phase", 0.9, 0, 1, 0},
	};
	struct vt_follow f;

	for (size_t i = 0; i < VT_COUNT(table); i++) {
		size_t n = course(0, 5, 12, table[i].delay_s, table[i].off, table[i].on);

		assert_int_equal(vt_follow(points, n, &f), 0);
		if (f.switches != 5 || f.never || f.off != (double)table[i].off ||
		    f.on != (double)table[i].on || f.median_s < table[i].delay_s - 0.011 ||
		    f.worst_s > table[i].delay_s + 0.011)
			fail_msg("%s: %u switches, %g .. %g s, %g and %g", table[i].what,
				 f.switches, f.median_s, f.worst_s, f.off, f.on);
	}
}

/* Slices of other rows lie between: the first phase of each course is no switch. */
static void courses(void **state)
{
	size_t n = course(0, 0, 4, 0.1, 0, 1);
	struct vt_follow f;

	n = course(n, 100, 4, 0.1, 0, 1);
	assert_int_equal(vt_follow(points, n, &f), 0);
	assert_int_equal(f.switches, 2);
	assert_int_equal(f.never, 0);
}

/* On in all but the later half of the last phase, which is all that never follows. */
static void never(void **state)
{
	size_t n = course(0, 0, 12, 0, 0, 1);
	struct vt_follow f;

	for (size_t i = n - 200; i < n; i++)
		points[i].value = 0; /* the last phase is on */
	assert_int_equal(vt_follow(points, n, &f), 0);
	assert_int_equal(f.never, 1);
	assert_true(f.worst_s > 1.9);
}

static void nothing_to_tell(void **state)
{
	struct vt_follow f;

	assert_int_equal(vt_follow(points, course(0, 0, 1, 0, 0, 1), &f), -ENODATA);
	assert_int_equal(vt_follow(points, 0, &f), -ENODATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(follows_late),
		cmocka_unit_test(courses),
		cmocka_unit_test(never),
		cmocka_unit_test(nothing_to_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
