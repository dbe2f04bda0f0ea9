// SPDX-License-Identifier: Apache-2.0
/* How many requests a clairvoyant serves: against exhaustive search, long busy periods, hundreds of thousands. */
#include "harness.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/rng.h"
#include "sim/bound.h"

/** Against every subset of up to 10 jobs with one common target: none beats the bound. */
static void bound_equals_exhaustive_search(void **state)
{
	struct vt_rng r = {9};

	for (int round = 0; round < 300; round++) {
		struct vt_bound_job jobs[10];
		uint32_t n = 2 + (uint32_t)vt_rng_below(&r, 9), most = 0;
		double at = 0, latency_ns[10];

		for (uint32_t i = 0; i < n; i++) {
			at += vt_rng_unit(&r) * 2;
			jobs[i] = (struct vt_bound_job){at, at + 3, 0.2 + vt_rng_unit(&r) * 3};
		}
		for (uint32_t set = 0; set < 1u << n; set++) {
			double now = 0;
			uint32_t k = 0;
			bool good = true;

			for (uint32_t i = 0; i < n; i++) {
				if (!(set >> i & 1))
					continue;
				now = fmax(now, jobs[i].at_ns) + jobs[i].work_ns;
				good = good && now <= jobs[i].deadline_ns;
				k++;
			}
			most = good && k > most ? k : most;
		}
		assert_int_equal(vt_bound_served(jobs, n, latency_ns), most);
		for (uint32_t i = 0; i < n; i++) {
			most -= !isnan(latency_ns[i]);
			/* Those served took their work at least, and no more than they had. */
			assert_true(isnan(latency_ns[i]) ||
				    (latency_ns[i] >= jobs[i].work_ns - 1e-9 &&
				     latency_ns[i] <= 3 + 1e-9));
		}
		assert_int_equal(most, 0);
	}
}

static double end_of(const struct vt_bound_job *jobs, const bool *in, uint32_t last,
		     uint32_t without)
{
	double now = 0;

	for (uint32_t i = 0; i <= last; i++)
		if (in[i] && i != without)
			now = fmax(now, jobs[i].at_ns) + jobs[i].work_ns;
	return now;
}

/** With one common target, in order of arrival: of those up to the first late one goes whose absence helps most. */
static long served_by_one_after_the_other(const struct vt_bound_job *jobs, uint32_t n, bool *in)
{
	long served = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t best = i;

		in[i] = true;
		if (end_of(jobs, in, i, n) <= jobs[i].deadline_ns)
			continue;
		for (uint32_t k = 0; k < i; k++)
			if (in[k] && end_of(jobs, in, i, k) < end_of(jobs, in, i, best))
				best = k;
		in[best] = false;
	}
	for (uint32_t i = 0; i < n; i++)
		served += in[i];
	return served;
}

/** Busy periods of hundreds of requests, which are run again from somewhere in them. */
static void bound_of_long_busy_periods(void **state)
{
	static const double works[] = {0.3, 1, 2.5};
	enum { N = 400 };
	struct vt_rng r = {11};

	for (int round = 0; round < 10; round++) {
		struct vt_bound_job jobs[N];
		bool in[N];
		double at = 0;

		for (uint32_t i = 0; i < N; i++) {
			at -= log(1 - vt_rng_unit(&r)) * (round % 2 ? 1 : 0.9);
			jobs[i] = (struct vt_bound_job){at, at + 12, works[vt_rng_below(&r, 3)]};
		}
		assert_int_equal(vt_bound_served(jobs, N, NULL),
				 served_by_one_after_the_other(jobs, N, in));
	}
}

/** Above what fits all is one busy period that loses many: a run of it from its start for each would take minutes. */
static void bound_of_many_requests(void **state)
{
	static const double works[] = {0.01, 0.5, 9}, targets[] = {1, 10, 300};
	enum { N = 300000 };
	struct vt_bound_job *jobs = calloc(N, sizeof(*jobs));
	double *latency_ns = calloc(N, sizeof(*latency_ns)), at = 0, work = 0;
	struct vt_rng r = {12};
	long served;

	assert_true(jobs && latency_ns);
	for (uint32_t i = 0; i < N; i++) {
		uint64_t k = vt_rng_below(&r, 3);

		at -= log(1 - vt_rng_unit(&r)) * 2.4;
		jobs[i] = (struct vt_bound_job){at, at + targets[k], works[k]};
	}
	served = vt_bound_served(jobs, N, latency_ns);
	for (uint32_t i = 0; i < N; i++) {
		served -= !isnan(latency_ns[i]);
		assert_true(isnan(latency_ns[i]) ||
			    latency_ns[i] <= jobs[i].deadline_ns - jobs[i].at_ns + 1e-6);
		work += isnan(latency_ns[i]) ? 0 : jobs[i].work_ns;
	}
	assert_int_equal(served, 0);
	assert_true(work > 0.99 * at &&
		    work < at + 300); /* never idle, and no more than there is time */
	free(jobs);
	free(latency_ns);
}

/** What no time suffices for is given up at once, and nothing for it. */
static void bound_gives_up_the_hopeless_first(void **state)
{
	const struct vt_bound_job jobs[] = {{0, 5, INFINITY}, {0, 4, 3},	 {1, 9, 20},
					    {3, 8, 4},	      {7, 60, INFINITY}, {8, 10, 2}};
	double ns[VT_COUNT(jobs)];

	assert_int_equal(vt_bound_served(jobs, VT_COUNT(jobs), ns), 3);
	for (size_t i = 0; i < VT_COUNT(jobs); i++)
		assert_true(isnan(ns[i]) == (i == 0 || i == 2 || i == 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bound_equals_exhaustive_search),
		cmocka_unit_test(bound_of_long_busy_periods),
		cmocka_unit_test(bound_of_many_requests),
		cmocka_unit_test(bound_gives_up_the_hopeless_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
