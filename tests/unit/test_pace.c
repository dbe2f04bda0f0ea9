// SPDX-License-Identifier: Apache-2.0
/* What of a block's slowness is not contention: profiles that are off, and noise. */
#include "harness.h"

#include <stdbool.h>
#include <string.h>

#include "base/rng.h"
#include "pressure/pace.h"
#include "pressure/pressure.h"

#define MS 1000000ull

/* A kind of block: it takes @off more than profiled, and @reaction more beside the heaviest neighbour. */
struct kind {
	uint64_t alone_ns;
	double off, reaction;
};

/* The loop's part of the story, on one domain that nothing counts. */
struct world {
	struct vt_pressure pressure;
	struct vt_pace pace;
	struct vt_rng rng;
	uint64_t now_ns;
};

static void begin(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	vt_pressure_init(&w->pressure, 1, 200 * MS);
	w->rng.s = seed;
	w->now_ns = MS;
}

static uint32_t ppm(double x)
{
	return (uint32_t)(x * VT_PPM + 0.5);
}

static void run_block(struct world *w, uint32_t index, const struct kind *k, double truth,
		      double noise)
{
	struct vt_pressure_obs idle = {.busy_ppm = (uint32_t[]){0}};
	double t = (double)k->alone_ns * (1 + k->off) * (1 + k->reaction * truth);
	uint64_t ns[VT_LEVELS], took;
	struct vt_felt felt;

	took = (uint64_t)(t * (1 + noise * (2 * vt_rng_unit(&w->rng) - 1)));
	for (unsigned int l = 0; l < VT_LEVELS; l++)
		ns[l] = (uint64_t)((double)k->alone_ns * (1 + k->reaction * l / (VT_LEVELS - 1)));
	w->now_ns += took;
	vt_pressure_observe(&w->pressure, &idle);
	assert_int_equal(vt_pressure_invert(ns, took, &felt), 0);
	took = vt_pace_take(&w->pace, vt_pace_key(index, 0, 9, 2, k->alone_ns), ns[0],
			    felt.weight_ppm, took, w->now_ns);
	assert_int_equal(vt_pressure_invert(ns, took, &felt), 0);
	felt.noise_ppm = vt_pace_noise_ppm(&w->pace, ns[0]);
	vt_pressure_learn(&w->pressure, 0, &felt, w->now_ns);
}

static double estimate(const struct world *w)
{
	return (double)vt_pressure_get(&w->pressure, 0, w->now_ns).ppm / VT_PPM;
}

/* Two models by turns for @secs; the mean of the estimate over all but the first half a second. */
static double mean_estimate(const struct kind k[2], double truth, double noise, double secs)
{
	struct world w;
	double sum = 0, n = 0;

	begin(&w, 7);
	while ((double)w.now_ns < secs * 1e9) {
		run_block(&w, 0, &k[0], truth, noise);
		run_block(&w, 1, &k[1], truth, noise);
		if (w.now_ns > 500 * MS) {
			sum += estimate(&w);
			n++;
		}
	}
	return sum / n;
}

/* The heaviest slowdown of both is hardly above what their profiles are off: MobileNet-V2 and EfficientNet-B0 on a Zen 4. */
static void test_a_profile_that_is_off_is_no_pressure(void **state)
{
	static const struct kind light[2] = {{4 * MS, 0.03, 0.15}, {5 * MS, 0.15, 0.087}};

	assert_true(mean_estimate(light, 0, 0.01, 4) < 0.25);
	assert_true(mean_estimate(light, 0, 0.10, 4) < 0.25);
	assert_true(mean_estimate(light, 0, 0.30, 4) < 0.25);
}

/* Single layers: where they begin and end goes what no profile holds, though they react more than long blocks do. */
static void test_short_blocks_take_longer(void **state)
{
	static const struct kind tiny[2] = {{4000, 0.5, 0.45}, {34000, 0.2, 0.19}};
	static const struct kind mixed[2] = {{4000, 0.5, 0.45}, {2 * MS, 0.03, 1.0}};

	assert_true(mean_estimate(tiny, 0, 0.05, 1) < 0.25);
	assert_true(mean_estimate(tiny, 0, 0.30, 1) < 0.25);
	assert_true(mean_estimate(mixed, 0, 0.05, 4) < 0.15);
	assert_true(mean_estimate(mixed, 1, 0.05, 4) > 0.75);
}

/* Who reacts strongly tells of contention, whatever the profiles are off, and though it was there from the start. */
static void test_a_strong_reaction_is_pressure(void **state)
{
	static const struct kind strong[2] = {{4 * MS, 0.05, 1.2}, {5 * MS, 0.10, 0.9}};
	static const struct kind one[2] = {{4 * MS, 0.03, 0.15}, {40 * MS, 0.10, 1.4}};

	assert_true(mean_estimate(strong, 1.0, 0.05, 4) > 0.75);
	assert_true(mean_estimate(strong, 0.5, 0.05, 4) > 0.35);
	assert_true(mean_estimate(strong, 0.5, 0.05, 4) < 0.65);
	assert_true(mean_estimate(strong, 0.0, 0.05, 4) < 0.12);
	assert_true(mean_estimate(one, 1.0, 0.10, 4) > 0.7);
	assert_true(mean_estimate(one, 0.0, 0.10, 4) < 0.12);
}

/* What comes and goes is contention, and no pace: five seconds on, five off, after five in quiet. */
static void test_follows_what_comes_and_goes(void **state)
{
	static const struct kind k = {5 * MS, 0.08, 0.4};
	struct world w;
	uint64_t change;
	bool on = false;

	begin(&w, 3);
	for (change = w.now_ns; w.now_ns < 60000 * MS;) {
		run_block(&w, 0, &k, on, 0.02);
		if (w.now_ns - change > 200 * MS && w.now_ns > 500 * MS) {
			if (on)
				assert_true(estimate(&w) > 0.7);
			else
				assert_true(estimate(&w) < 0.3);
		}
		if (w.now_ns - change > 5000 * MS) {
			on = !on;
			change = w.now_ns;
		}
	}
}

static void test_noise_is_that_of_neighbours(void **state)
{
	static const struct kind k = {5 * MS, 0.2, 0.5};
	struct world w;

	begin(&w, 5);
	assert_int_equal(vt_pace_noise_ppm(&w.pace, k.alone_ns), VT_PPM);
	for (int i = 0; i < 1000; i++)
		run_block(&w, 0, &k, 0, 0.06);
	/* Two uniform numbers are two thirds of the half-width apart: 1.2 * 0.06 * 2 / 3 = 0.048. */
	assert_in_range(vt_pace_noise_ppm(&w.pace, k.alone_ns), ppm(0.036), ppm(0.060));
	/* Contention that stays is one distance, not noise. */
	for (int i = 0; i < 200; i++)
		run_block(&w, 0, &k, 1, 0.06);
	assert_in_range(vt_pace_noise_ppm(&w.pace, k.alone_ns), ppm(0.050), ppm(0.090));
}

/* Another model in the same place, and a slot that two kinds share, begin anew. */
static void test_a_slot_is_of_one_kind(void **state)
{
	struct vt_pace p = {0};
	const uint64_t a = vt_pace_key(0, 0, 9, 2, 1000), other = vt_pace_key(0, 0, 9, 2, 1001);
	uint64_t rival = 0;

	for (int i = 0; i < 100; i++)
		vt_pace_take(&p, a, MS, 1000, 6 * MS / 5, MS);
	/* Hardly any reaction: all of it is the profile's fault. */
	assert_in_range(vt_pace_take(&p, a, MS, 1000, 6 * MS / 5, MS), 998000, 1003000);
	assert_int_not_equal(a, other);
	assert_in_range(vt_pace_take(&p, other, MS, VT_PPM, 6 * MS / 5, MS), 1080000, 1200000);
	for (uint32_t i = 1; !rival; i++) {
		struct vt_pace q = p;

		vt_pace_take(&q, vt_pace_key(i, 0, 9, 2, 1000), MS, 1000, MS, MS);
		for (uint32_t s = 0; s < VT_PACE_SLOTS; s++)
			if (p.slot[s].key == a && q.slot[s].key != a)
				rival = vt_pace_key(i, 0, 9, 2, 1000);
	}
	vt_pace_take(&p, rival, MS, 1000, MS, MS);
	assert_in_range(vt_pace_take(&p, a, MS, 1000, 6 * MS / 5, MS), 1088000, 1110000);
}

/* Whatever times say: finite, and never beyond what is believed of a profile. */
static void test_any_times(void **state)
{
	struct vt_rng rng = {11};
	struct vt_pace p = {0};

	for (int i = 0; i < 100000; i++) {
		const uint64_t alone = 1 + vt_rng_below(&rng, 1000);
		const uint64_t took = 1 + vt_rng_below(&rng, 1u << vt_rng_below(&rng, 30));
		const uint64_t key = vt_pace_key((uint32_t)vt_rng_below(&rng, 600), 0, 1, 1, 1);
		const uint64_t left =
			vt_pace_take(&p, key, alone, (uint32_t)vt_rng_below(&rng, VT_PPM + 1), took,
				     vt_rng_below(&rng, 1u << 30));

		assert_true(left <= took * 2 && left >= (uint64_t)((double)took / 7.1));
		assert_true(vt_pace_noise_ppm(&p, 5 * MS) <= VT_PPM);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_profile_that_is_off_is_no_pressure),
		cmocka_unit_test(test_short_blocks_take_longer),
		cmocka_unit_test(test_a_strong_reaction_is_pressure),
		cmocka_unit_test(test_follows_what_comes_and_goes),
		cmocka_unit_test(test_noise_is_that_of_neighbours),
		cmocka_unit_test(test_a_slot_is_of_one_kind),
		cmocka_unit_test(test_any_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
