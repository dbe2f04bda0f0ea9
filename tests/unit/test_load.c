// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <math.h>
#include <stdlib.h>

#include "load/arrivals.h"
#include "load/search.h"

static void poisson_has_its_rate_and_shares(void **state)
{
	static const double upto[] = {1, 1.5, 4};
	struct vt_poisson p;
	struct vt_arrival a = {.at_ns = 0};
	double count[3] = {0}, n = 0, gap2 = 0;
	uint64_t last = 0;

	vt_poisson_init(&p, 1000, 200000, 7, upto, 3);
	while (vt_poisson_next(&p, &a)) {
		assert_true(a.at_ns >= last);
		gap2 += (double)(a.at_ns - last) * (double)(a.at_ns - last);
		last = a.at_ns;
		assert_in_range(a.tenant, 0, 2);
		count[a.tenant]++;
		n++;
	}
	assert_float_equal(n, 200000, 0.5);
	/* Five standard deviations; exponential gaps have E[g^2] = 2 / rate^2. */
	assert_float_equal(n / ((double)last * 1e-9), 1000, 5 * 1000 / sqrt(n));
	assert_float_equal(gap2 / n, 2e12, 5 * sqrt(20 / n) * 1e12);
	assert_float_equal(count[0] / n, 0.25, 5 * sqrt(0.25 * 0.75 / n));
	assert_float_equal(count[1] / n, 0.125, 5 * sqrt(0.125 * 0.875 / n));
}

static void poisson_rate_only_scales_time(void **state)
{
	static const double upto[] = {1, 2};
	struct vt_poisson p, q;
	struct vt_arrival a, b;

	vt_poisson_init(&p, 10, 1000, 3, upto, 2);
	vt_poisson_init(&q, 40, 1000, 3, upto, 2);
	while (vt_poisson_next(&p, &a)) {
		assert_int_equal(vt_poisson_next(&q, &b), 1);
		assert_int_equal(a.tenant, b.tenant);
		assert_float_equal((double)a.at_ns, 4 * (double)b.at_ns, 4.1);
	}
	assert_int_equal(vt_poisson_next(&q, &b), 0);
}

static void traces_are_read_or_refused_with_the_line(void **state)
{
	static const char *const names[] = {"a", "bert", "two", "two"};
	static const struct {
		const char *text, *error; /* NULL: fine */
	} cases[] = {
		{"0,a\n0.5,bert # late\n\n0.5,a\n", NULL},
		{"", "t: no arrivals"},
		{"0,a\n0,c\n", "t:2: no model of the mix is called 'c'"},
		{"1,a\n0.5,a\n", "t:2: earlier than the line before"},
		{"-1,a\n", "t:1: '-1' is no time in 0..1e9 seconds"},
		{"nan,a\n", "t:1: 'nan' is no time in 0..1e9 seconds"},
		{"1\n", "t:1: expected 'seconds,name'"},
		{"1,a,b\n", "t:1: expected 'seconds,name'"},
		{"0,a\n1,two\n",
		 "t:2: 'two' is in several lines of the mix: which one is asked for? give each a "
		 "name, 'model=name'"},
	};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_arrivals a = {NULL, 0};
		struct vt_err e = {0};
		int rc = vt_arrivals_parse(cases[i].text, "t", names, VT_COUNT(names), &a, &e);

		assert_int_equal(rc, cases[i].error ? -EINVAL : 0);
		if (cases[i].error) {
			assert_string_equal(e.msg, cases[i].error);
			continue;
		}
		assert_int_equal(a.n, 3);
		assert_int_equal(a.at[1].at_ns, 500000000);
		assert_int_equal(a.at[1].tenant, 1);
		free(a.at);
	}
}

static double step_at(void *self, double rate)
{
	return rate <= *(double *)self ? 0.99 : 0.5;
}

static double gives_up(void *self, double rate)
{
	return -1;
}

static void search_finds_the_step(void **state)
{
	static const double steps[] = {1.2, 17, 300, 999};
	struct vt_search_cfg cfg = {
		.low = 1, .high = 1000, .most = 2000, .target = 0.95, .precision = 0.005};
	double never = 0.5;
	bool open;

	for (size_t i = 0; i < VT_COUNT(steps); i++) {
		double at = steps[i], got = vt_search_rate(&cfg, step_at, &at, &open);

		assert_true(got <= at && got >= at * 0.994 && !open);
	}
	assert_true(vt_search_rate(&cfg, step_at, &never, &open) == 0 && !open);
	assert_true(vt_search_rate(&cfg, gives_up, NULL, NULL) == -1);
}

static void search_goes_on_while_nothing_missed(void **state)
{
	static const struct {
		double at, most;
		bool open;
	} cases[] = {
		{999, 0, true}, /* met at all that was tried; how far beyond is not known */
		{1001, 1e6, false}, {1500, 1e6, false}, {123456, 1e6, false},
		{2e6, 1e6, true},   {1500, 0, true},
	};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_search_cfg cfg = {.low = 1,
					    .high = 1000,
					    .most = cases[i].most,
					    .target = 0.95,
					    .precision = 0.005};
		double at = cases[i].at, top = fmin(at, fmax(1000, cases[i].most));
		bool open;
		double got = vt_search_rate(&cfg, step_at, &at, &open);

		assert_true(got <= top && got >= top * 0.994);
		assert_int_equal(open, cases[i].open);
	}
}

static void interval_is_students(void **state)
{
	static const double v[] = {1, 2, 3, 4, 5};
	struct vt_mean m = vt_mean_of(v, 5);

	assert_float_equal(m.mean, 3, 1e-9);
	assert_float_equal(m.half, 2.776 * sqrt(2.5 / 5), 1e-6);
	assert_true(isinf(vt_mean_of(v, 1).half));
}

static void t_falls_to_the_normal(void **state)
{
	static const struct {
		uint32_t freedom;
		double t;
	} rows[] = {{1, 12.706},  {9, 2.262},	 {29, 2.045},	  {30, 2.042},
		    {31, 2.040},  {32, 2.037},	 {40, 2.021},	  {60, 2.000},
		    {120, 1.980}, {1000, 1.962}, {1000000, 1.960}};

	for (size_t i = 0; i < VT_COUNT(rows); i++)
		assert_float_equal(vt_t95(rows[i].freedom), rows[i].t, 6e-4);
	for (uint32_t n = 2; n < 1000; n++)
		assert_true(vt_t95(n) < vt_t95(n - 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(poisson_has_its_rate_and_shares),
		cmocka_unit_test(poisson_rate_only_scales_time),
		cmocka_unit_test(traces_are_read_or_refused_with_the_line),
		cmocka_unit_test(search_finds_the_step),
		cmocka_unit_test(search_goes_on_while_nothing_missed),
		cmocka_unit_test(interval_is_students),
		cmocka_unit_test(t_falls_to_the_normal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
