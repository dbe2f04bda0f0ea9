// SPDX-License-Identifier: Apache-2.0
/* test_limit.c - the queueing limit against brute force, the crossing against the limit. */
#include "harness.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "load/crossing.h"
#include "load/limit.h"

#define MAX_JOBS 8

/* ---- references that share nothing with the code ------------------------------------------- */

/** The same discipline one nanosecond at a time, by scanning. */
static long by_ticks(const struct vt_limit_job *jobs, size_t n, bool preempt, bool *in_time)
{
	uint64_t left[MAX_JOBS];
	bool gone[MAX_JOBS] = {false};
	int running = -1;
	long served = 0;

	for (size_t i = 0; i < n; i++) {
		left[i] = jobs[i].service_ns;
		in_time[i] = false;
	}
	for (uint64_t now = 0; now < 4000; now++) {
		if (preempt)
			running = -1;
		while (running < 0) {
			for (size_t i = 0; i < n; i++)
				if (!gone[i] && jobs[i].at_ns <= now &&
				    (running < 0 ||
				     jobs[i].deadline_ns < jobs[running].deadline_ns))
					running = (int)i;
			if (running < 0)
				break;
			if (now + left[running] > jobs[running].deadline_ns) {
				gone[running] = true;
				running = -1;
			}
		}
		if (running >= 0 && !--left[running]) {
			gone[running] = in_time[running] = true;
			running = -1;
			served++;
		}
	}
	return served;
}

/** Can all jobs of @set be in time? Preemptive EDF finds a way if there is one. */
static bool feasible(const struct vt_limit_job *jobs, size_t n, unsigned int set)
{
	struct vt_limit_job some[MAX_JOBS];
	bool in_time[MAX_JOBS];
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (set >> i & 1)
			some[k++] = jobs[i];
	return by_ticks(some, k, true, in_time) == (long)k;
}

static long most_possible(const struct vt_limit_job *jobs, size_t n)
{
	long best = 0;

	for (unsigned int set = 0; set < 1u << n; set++)
		if (__builtin_popcount(set) > best && feasible(jobs, n, set))
			best = __builtin_popcount(set);
	return best;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void small_cases_equal_brute_force(void **state)
{
	struct vt_rng rng = {11};
	int fewer = 0;

	for (int round = 0; round < 120; round++) {
		struct vt_limit_job jobs[MAX_JOBS];
		bool got[MAX_JOBS], want[MAX_JOBS];
		size_t n = 1 + vt_rng_below(&rng, MAX_JOBS);
		uint64_t at = 0;

		for (size_t i = 0; i < n; i++) {
			uint64_t service = 1 + vt_rng_below(&rng, 40);

			at += vt_rng_below(&rng, 30);
			jobs[i] = (struct vt_limit_job){
				at, at + service / 2 + vt_rng_below(&rng, 120), service};
		}
		for (int preempt = 0; preempt < 2; preempt++) {
			long served = vt_limit_served(jobs, n, preempt, got);

			assert_int_equal(served, by_ticks(jobs, n, preempt, want));
			assert_memory_equal(got, want, n * sizeof(*got));
			assert_true(served <= most_possible(jobs, n));
			fewer += preempt && served < most_possible(jobs, n);
		}
	}
	/* Dropping only the hopeless is not clairvoyant, but close: that is what it claims. */
	assert_in_range(fewer, 0, 6);
}

static void known_queues(void **state)
{
	static const struct {
		struct vt_limit_job jobs[4];
		size_t n;
		long plain, preempt;
	} cases[] = {
		{{{0, 10, 10}}, 1, 1, 1},
		{{{0, 9, 10}}, 1, 0, 0},
		{{{0, 100, 10}, {0, 15, 10}}, 2, 2, 2},	 /* the later due waits */
		{{{0, 100, 50}, {10, 40, 20}}, 2, 1, 2}, /* only an interruption saves it */
		{{{0, 10, 10}, {0, 10, 10}, {0, 20, 10}}, 3, 2, 2},
		/* A clairvoyant would drop the first and serve two. */
		{{{0, 20, 20}, {0, 21, 10}, {0, 22, 10}}, 3, 1, 1},
		{{{0, 0, 1}}, 0, 0, 0},
	};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		assert_int_equal(vt_limit_served(cases[i].jobs, cases[i].n, false, NULL),
				 cases[i].plain);
		assert_int_equal(vt_limit_served(cases[i].jobs, cases[i].n, true, NULL),
				 cases[i].preempt);
	}
}

static void limit_is_where_the_share_is_met(void **state)
{
	static const struct vt_limit_class even[] = {{10e6, 30e6, 1}};
	static const struct vt_limit_class pair[] = {{40e6, 134e6, 1}, {18e6, 53e6, 1}};
	static const struct vt_limit_class hopeless[] = {{10e6, 9e6, 1}};
	struct vt_limit_cfg cfg = {.classes = even, .n_classes = 1, .seed = 3, .target = 0.95};
	double rate = vt_limit_rate(&cfg);

	assert_float_equal(vt_limit_capacity(&cfg), 100, 1e-9);
	assert_in_range((int)rate, 55, 80);
	assert_float_equal(vt_limit_share(&cfg, rate), 0.95, 0.003);
	cfg = (struct vt_limit_cfg){pair, 2, true, 0, 3, 0.95};
	rate = vt_limit_rate(&cfg);
	cfg.preempt = false;
	assert_true(rate > vt_limit_rate(&cfg)); /* long requests block short ones */
	cfg = (struct vt_limit_cfg){hopeless, 1, true, 1000, 3, 0.95};
	assert_true(vt_limit_rate(&cfg) == 0);
}

/* Where the rare long ones may be dropped, the limit lies far above the capacity. */
static void limit_may_drop_all_of_a_class(void **state)
{
	static const struct vt_limit_class rare[] = {{1000e6, 1001e6, 1}, {1e6, 20e6, 30}};
	static const struct vt_limit_class patient[] = {{1e6, 1e15, 1}};
	struct vt_limit_cfg cfg = {rare, 2, true, 20000, 3, 0.95};
	double rate = vt_limit_rate(&cfg);

	/* 95 % are 0.95 * 31 / 30 of the short ones, at 1000 of them a second. */
	assert_float_equal(vt_limit_most(&cfg), 1000 / 0.95, 1e-6);
	assert_in_range((int)rate, 900, 1052);
	assert_float_equal(vt_limit_share(&cfg, rate), 0.95, 0.003);
	assert_true(rate > 20 * vt_limit_capacity(&cfg));
	cfg = (struct vt_limit_cfg){patient, 1, true, 1000, 3, 0.8};
	assert_float_equal(vt_limit_rate(&cfg), 1250, 1e-6);
}

static const struct vt_limit_class server[] = {{40e6, 134e6, 1}, {18e6, 53e6, 1}};

/** One slice of a live search on a simulated server, at @speed of what it can. */
static struct vt_slice slice_of(double rate, double secs, uint64_t seed, double speed)
{
	struct vt_limit_class pair[] = {server[0], server[1]};
	struct vt_limit_cfg cfg = {pair, 2, true, (uint64_t)(rate * secs), seed, 0.95};
	uint32_t n = (uint32_t)cfg.requests;

	for (size_t i = 0; i < VT_COUNT(pair); i++)
		pair[i].service_ns /= speed;
	return (struct vt_slice){rate, n, (uint32_t)lround(vt_limit_share(&cfg, rate) * n)};
}

/** A search of @n slices; that of number @slow, if any, has 0.6 of the speed. */
static struct vt_crossing searched(int n, double secs, uint64_t seed, int slow)
{
	struct vt_limit_cfg cfg = {server, 2, true, 0, 1, 0.95};
	struct vt_slice s[64];
	struct vt_crossing c;

	for (int i = 0; i < n; i++) {
		double rate = vt_crossing_next(s, (size_t)i, 0.95, vt_limit_capacity(&cfg) / 2);

		s[i] = slice_of(rate, secs, seed + (uint64_t)i, i == slow ? 0.6 : 1);
	}
	assert_int_equal(vt_crossing_of(s, (size_t)n, 0.95, seed, &c), 0);
	return c;
}

static double true_rate(void)
{
	struct vt_limit_cfg cfg = {server, 2, true, 0, 1, 0.95};

	return vt_limit_rate(&cfg);
}

static void crossing_finds_the_limit(void **state)
{
	double mean = 0, truth = true_rate();
	int covered = 0, aside = 0;

	for (uint64_t i = 0; i < 40; i++) {
		struct vt_crossing c = searched(10, 20, 1000 * i, -1);

		assert_true(c.low <= c.rate_hz && c.rate_hz <= c.high && !c.open && !c.at_most);
		assert_float_equal(c.rate_hz / truth, 1, 0.15);
		mean += c.rate_hz / truth / 40;
		covered += c.low <= truth && truth <= c.high;
		aside += c.aside > 0;
	}
	assert_float_equal(mean, 1, 0.03);
	assert_in_range(covered, 36, 40);
	assert_in_range(aside, 0, 4);
}

/* With few rounds too an interval of 95 % is one, or nearly: that is what it was made wider for. */
static void crossing_intervals_cover(void **state)
{
	static const int slices[] = {4, 6, 8};
	enum { SEEDS = 150 };
	double truth = true_rate();

	for (size_t i = 0; i < VT_COUNT(slices); i++) {
		int covered = 0;

		for (uint64_t seed = 0; seed < SEEDS; seed++) {
			struct vt_crossing c = searched(slices[i], 20, 1000 * seed + 7, -1);

			covered += c.low <= truth && truth <= c.high;
		}
		assert_in_range(covered, SEEDS * 92 / 100, SEEDS);
	}
}

/* A machine that was slow for one slice, whichever it was, has the answer of one that never was. */
static void crossing_stands_one_slow_slice(void **state)
{
	enum { SLICES = 8, SEEDS = 25 };
	static double clean[SEEDS];
	double truth = true_rate(), off = 0;

	for (uint64_t i = 0; i < SEEDS; i++) {
		clean[i] = searched(SLICES, 20, 1000 * i, -1).rate_hz;
		off += pow(log(clean[i] / truth), 2) / SEEDS;
	}
	assert_true(sqrt(off) < 0.04);
	for (int slow = 0; slow < SLICES; slow++) {
		double square = 0, bias = 0;
		int found = 0, covered = 0;

		for (uint64_t i = 0; i < SEEDS; i++) {
			struct vt_crossing c = searched(SLICES, 20, 1000 * i, slow);
			double by = log(c.rate_hz / clean[i]);

			covered += c.low <= truth && truth <= c.high;
			square += by * by / SEEDS;
			bias += by / SEEDS;
			found += c.aside == (uint32_t)slow + 1;
		}
		assert_true(sqrt(square) < 0.1 && fabs(bias) < 0.06);
		assert_in_range(found, 18, SEEDS);
		assert_in_range(covered, 23, SEEDS);
	}
}

#define ODDS_95 (0.05 / 0.95)

/** A slice of 300 of a server whose odds of missing are @odds at @limit: a power of the rate, and coins. */
static struct vt_slice tossed(double rate, double limit, double odds, struct vt_rng *rng)
{
	struct vt_slice s = {rate, 300, 0};

	odds *= pow(rate / limit, 5);
	for (uint32_t i = 0; i < s.n; i++)
		s.in_time += vt_rng_unit(rng) >= odds / (1 + odds);
	return s;
}

/* One server serves twice what the other does, both now slower, now faster: no doubt about the ratio. */
static void ratios_pair_the_rounds(void **state)
{
	static const double speed[] = {1, 0.9, 1.15, 0.85, 1.05, 0.95, 1, 1.1};
	enum { ROUNDS = VT_COUNT(speed) };
	int covered = 0, narrower = 0;

	for (uint64_t seed = 0; seed < 40; seed++) {
		struct vt_rng rng = {seed};
		struct vt_slice s[2][ROUNDS];
		struct vt_crossing c[2], fewer;
		struct vt_ratio r;

		for (int k = 0; k < 2; k++) {
			for (int i = 0; i < ROUNDS; i++)
				s[k][i] = tossed((18 + i) / (1.0 + k), 20 * speed[i] / (1 + k),
						 ODDS_95, &rng);
			assert_int_equal(vt_crossing_of(s[k], ROUNDS, 0.95, seed, &c[k]), 0);
		}
		assert_int_equal(vt_crossing_ratio(&c[0], &c[1], &r), 0);
		if (c[0].aside == c[1].aside)
			assert_float_equal(r.ratio, c[0].rate_hz / c[1].rate_hz, 1e-9);
		covered += r.low <= 2 && 2 <= r.high;
		narrower += log(r.high / r.low) < log(c[0].high / c[0].low);
		assert_int_equal(vt_crossing_of(s[1], ROUNDS - 1, 0.95, seed, &fewer), 0);
		assert_int_equal(vt_crossing_ratio(&c[0], &fewer, &r), -ENODATA);
		fewer.high = INFINITY; /* as where none missed */
		assert_int_equal(vt_crossing_ratio(&fewer, &fewer, &r), -ENODATA);
	}
	assert_in_range(covered, 37, 40);
	assert_in_range(narrower, 26, 40);
}

/* A round is slow for both, but only one sets it aside: of the ratio it is no part. */
static void ratios_leave_out_what_either_set_aside(void **state)
{
	static const struct vt_slice fast[] = {{18, 300, 292}, {19, 300, 289}, {20, 300, 285},
					       {21, 300, 279}, {22, 300, 274}, {20, 300, 180}};
	static const struct vt_slice slow[] = {{9, 60, 58},    {9.5, 60, 58}, {10, 60, 57},
					       {10.5, 60, 56}, {11, 60, 55},  {9.6, 60, 50}};
	struct vt_crossing a, b;
	struct vt_ratio r;

	assert_int_equal(vt_crossing_of(fast, VT_COUNT(fast), 0.95, 1, &a), 0);
	assert_int_equal(vt_crossing_of(slow, VT_COUNT(slow), 0.95, 1, &b), 0);
	assert_int_equal(a.aside, 6);
	assert_int_equal(b.aside, 0);
	assert_int_equal(vt_crossing_ratio(&a, &b, &r), 0);
	assert_float_equal(r.ratio, 2, 0.06);
	assert_true(r.low < 2 && 2 < r.high);
	assert_int_equal(vt_crossing_ratio(&b, &a, &r), 0);
	assert_float_equal(r.ratio, 0.5, 0.015);
}

static void crossing_says_what_it_does_not_know(void **state)
{
	static const struct vt_slice all_met[] = {{10, 100, 100}, {13, 100, 97}};
	static const struct vt_slice all_missed[] = {{10, 100, 70}, {8, 100, 80}};
	static const struct vt_slice far[] = {{10, 100, 100}};
	static const struct vt_slice two[] = {{10, 100, 99}, {11, 100, 90}};
	/* Two slices at one rate, a third that fell off the cliff: no slope to fit. */
	static const struct vt_slice cliff[] = {{10, 100, 96}, {10, 100, 94}, {13, 100, 3}};
	static const struct vt_slice fallen[] = {{100, 500, 20}, {58, 500, 30}, {34, 500, 40}};
	/* The others know nothing of where the fourth was. */
	static const struct vt_slice lone[] = {
		{10, 100, 100}, {13, 100, 100}, {17, 100, 100}, {25, 100, 60}};
	static const struct vt_slice slow[] = {{10, 200, 199}, {12, 200, 197}, {13, 200, 140},
					       {14, 200, 195}, {15, 200, 190}, {16, 200, 184}};
	struct vt_crossing c;

	vt_crossing_of(all_met, 2, 0.95, 1, &c);
	assert_true(c.open && c.rate_hz == 13 && !c.at_most);
	assert_float_equal(vt_crossing_next(all_met, 2, 0.95, 1), 13 * 1.33, 1e-6);
	vt_crossing_of(all_missed, 2, 0.95, 1, &c);
	assert_true(c.rate_hz == 8 && c.at_most && !c.open);
	assert_float_equal(vt_crossing_next(all_missed, 2, 0.95, 1), 8 / 1.33, 1e-6);
	assert_float_equal(vt_crossing_next(far, 1, 0.95, 1), 17, 1e-6);
	vt_crossing_of(two, 2, 0.95, 1, &c);
	assert_true(c.rate_hz > 10 && c.rate_hz < 11 && c.low == 0 && isinf(c.high));
	vt_crossing_of(cliff, 3, 0.95, 1, &c);
	assert_float_equal(c.rate_hz, 10, 0.5);
	assert_float_equal(vt_crossing_next(fallen, 3, 0.95, 1), 20, 1e-6);
	vt_crossing_of(lone, 4, 0.95, 1, &c);
	assert_true(c.rate_hz > 17 && c.rate_hz < 25 && !c.aside);
	vt_crossing_of(slow, 6, 0.95, 1, &c);
	assert_int_equal(c.aside, 3);
	assert_float_equal(c.rate_hz, 15, 0.5);
	vt_crossing_of(slow, 3, 0.95, 1, &c);
	assert_int_equal(c.aside, 0); /* two against one */
	assert_float_equal(vt_crossing_next(NULL, 0, 0.95, 7), 7, 0);
}

/* Past a cliff nothing but the cliff says where the target is: no answer is beyond it, and no slice is set aside for it. */
static void crossing_stays_before_the_cliff(void **state)
{
	static const struct {
		struct vt_slice s[6];
		size_t n;
		double met, missed;
	} cases[] = {
		{{{10, 100, 100}, {20, 100, 3}}, 2, 10, 20},
		{{{0.4, 20, 20}, {0.53, 20, 20}, {0.6, 20, 9}, {0.7, 20, 8}}, 4, 0.53, 0.6},
		{{{10, 500, 500}, {14, 500, 499}, {15, 500, 12}, {80, 500, 2}}, 4, 14, 15},
	};
	struct vt_crossing c;

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_slice s[40];
		size_t n = cases[i].n;
		double high;

		memcpy(s, cases[i].s, sizeof(cases[i].s));
		assert_int_equal(vt_crossing_of(s, n, 0.95, 1, &c), 0);
		assert_true(cases[i].met <= c.rate_hz && c.rate_hz <= cases[i].missed);
		assert_int_equal(c.aside, 0);
		assert_true(vt_crossing_next(s, n, 0.95, 1) <= cases[i].missed);
		high = c.high;
		/* Nor do later rounds climb. */
		for (; n < 12; n++) {
			double rate = vt_crossing_next(s, n, 0.95, 1);

			s[n] = (struct vt_slice){rate, 100, rate < cases[i].missed ? 100 : 40};
		}
		assert_int_equal(vt_crossing_of(s, n, 0.95, 1, &c), 0);
		assert_true(cases[i].met <= c.rate_hz && c.rate_hz <= cases[i].missed);
		assert_true(c.low < c.rate_hz && c.high < high);
	}
}

/* The cliff is below what is asked for, whatever that is. */
static void crossing_of_small_shares(void **state)
{
	static const double targets[] = {0.5, 0.3, 0.1};

	for (size_t i = 0; i < VT_COUNT(targets); i++) {
		const double odds = (1 - targets[i]) / targets[i];
		struct vt_rng rng = {5 + i};
		struct vt_slice s[10];
		struct vt_crossing c;

		for (size_t k = 0; k < VT_COUNT(s); k++)
			s[k] = tossed(vt_crossing_next(s, k, targets[i], 30), 20, odds, &rng);
		assert_int_equal(vt_crossing_of(s, VT_COUNT(s), targets[i], 1, &c), 0);
		assert_float_equal(c.rate_hz / 20, 1, 0.06);
		assert_true(c.low < 20 && 20 < c.high);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_cases_equal_brute_force),
		cmocka_unit_test(known_queues),
		cmocka_unit_test(limit_is_where_the_share_is_met),
		cmocka_unit_test(limit_may_drop_all_of_a_class),
		cmocka_unit_test(crossing_finds_the_limit),
		cmocka_unit_test(crossing_intervals_cover),
		cmocka_unit_test(crossing_stands_one_slow_slice),
		cmocka_unit_test(ratios_pair_the_rounds),
		cmocka_unit_test(ratios_leave_out_what_either_set_aside),
		cmocka_unit_test(crossing_says_what_it_does_not_know),
		cmocka_unit_test(crossing_stays_before_the_cliff),
		cmocka_unit_test(crossing_of_small_shares),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
