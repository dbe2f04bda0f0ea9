// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/tuner.h"

/* The tuner's decisions from made-up times: what it measures, drops and keeps. */

#define CELLS 4
#define CANDS 6

static const uint16_t two[] = {1, 2};

static struct vt_tune *tune(size_t n_cells)
{
	const struct vt_layer l = {.rows = 784, .cols = 4096, .depth = 256};
	struct vt_tune *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	assert_int_equal(vt_tune_init(t, &l, NULL, two, 2, n_cells), 0);
	return t;
}

static void done(struct vt_tune *t)
{
	vt_tune_fini(t);
	free(t);
}

static void test_candidates(void **state)
{
	static const struct {
		const char *what;
		size_t rows, cols, depth;
		const char *dflt;
		size_t least, most;
		const char *has, *lacks;
	} row[] = {
		{"a wide layer", 384, 4096, 256, "f32_gemm_nouter_nc256_fit", 12, 22,
		 "f32_gemm_nouter_nc2048", "any_c8"},
		{"blocks as wide as the layer are none", 784, 64, 256, "f32_gemm_mouter_fit", 2, 8,
		 "f32_gemm_nouter_nc32", "f32_gemm_nouter_nc64"},
		{"one row: only columns are left to cut", 1, 1000, 256, "f32_gemm_mouter", 2, 12,
		 "f32_gemm_nouter_nc512", "f32_gemm_nouter"},
		{"no matrix", 0, 0, 0, NULL, 3, 3, "any_c32", "f32_gemm_mouter"},
	};

	for (size_t i = 0; i < VT_COUNT(row); i++) {
		const struct vt_layer l = {
			.rows = row[i].rows, .cols = row[i].cols, .depth = row[i].depth};
		const struct vt_variant *d = row[i].dflt ? vt_variant_find(row[i].dflt) : NULL;
		struct vt_tune t;

		assert_int_equal(vt_tune_init(&t, &l, d, two, 2, 1), 0);
		if (t.n_cands < row[i].least || t.n_cands > row[i].most)
			fail_msg("%s: %zu candidates", row[i].what, t.n_cands);
		assert_string_equal(t.cand[0]->name, row[i].dflt ? row[i].dflt : "any_c8");
		if (vt_tune_find(&t, row[i].has) < 0 || vt_tune_find(&t, row[i].lacks) >= 0)
			fail_msg("%s: wrong candidates", row[i].what);
		vt_tune_fini(&t);
	}
}

/* Times by candidate and cell; cells 0 and 1 are unpressed. 0: not measured. */
static const struct {
	const char *what;
	uint64_t ns[CANDS][CELLS];
	size_t n, keep[VT_TUNE_KEEP];
} choices[] = {
	{"one that is best everywhere",
	 {{200, 200, 200, 200}, {100, 100, 100, 100}, {150, 150, 150, 150}},
	 1,
	 {1}},
	{"one within a tenth everywhere beats two specialists",
	 {{109, 109, 109, 109}, {100, 100, 300, 300}, {300, 300, 100, 100}},
	 1,
	 {0}},
	{"fastest alone loses under pressure",
	 {{130, 130, 130, 130}, {100, 100, 200, 200}, {150, 150, 120, 110}},
	 2,
	 {1, 2}},
	{"the fastest alone comes first, whatever its number",
	 {{400, 400, 400, 400}, {150, 150, 120, 110}, {100, 100, 200, 200}},
	 2,
	 {2, 1}},
	{"a tie goes to the default", {{101, 101, 101, 101}, {100, 100, 100, 100}}, 1, {0}},
	{"more than a tie does not", {{104, 104, 104, 104}, {100, 100, 100, 100}}, 1, {1}},
	{"a specialist for each cell",
	 {{100, 900, 900, 900}, {900, 100, 900, 900}, {900, 900, 100, 900}, {900, 900, 900, 100}},
	 4,
	 {0, 1, 2, 3}},
	{"what was never measured is never kept",
	 {{100, 100, 100, 100}, {0, 0, 0, 0}, {0, 90, 0, 0}},
	 2,
	 {0, 2}},
	{"a cell that nobody measured decides nothing",
	 {{120, 120, 0, 0}, {100, 100, 0, 0}},
	 1,
	 {1}},
};

static void test_choices(void **state)
{
	for (size_t i = 0; i < VT_COUNT(choices); i++) {
		struct vt_tune *t = tune(CELLS);
		size_t keep[VT_TUNE_KEEP], n;

		for (size_t c = 0; c < CANDS; c++)
			for (size_t cell = 0; cell < CELLS; cell++)
				if (choices[i].ns[c][cell])
					vt_tune_add(t, c, cell, choices[i].ns[c][cell]);
		n = vt_tune_choose(t, 2, keep);
		if (n != choices[i].n || memcmp(keep, choices[i].keep, n * sizeof(*keep)) != 0)
			fail_msg("%s: kept %zu, first %zu", choices[i].what, n, keep[0]);
		done(t);
	}
}

/* Whatever the times: at most five, and if fewer, every cell is within a tenth of its best. */
static void test_cover_of_random_times(void **state)
{
	struct vt_rng r = {1};
	size_t sizes[VT_TUNE_KEEP + 1] = {0};

	for (int round = 0; round < 300; round++) {
		struct vt_tune *t = tune(6);
		size_t keep[VT_TUNE_KEEP], n;
		const uint64_t spread = 1 + vt_rng_below(&r, 60);

		for (size_t c = 0; c < t->n_cands; c++)
			for (size_t cell = 0; cell < 6; cell++)
				vt_tune_add(t, c, cell, 100 + vt_rng_below(&r, spread));
		n = vt_tune_choose(t, 1, keep);
		assert_in_range(n, 1, VT_TUNE_KEEP);
		sizes[n]++;
		for (size_t cell = 0; cell < 6 && n < VT_TUNE_KEEP; cell++) {
			uint64_t best = UINT64_MAX, kept = UINT64_MAX;

			for (size_t c = 0; c < t->n_cands; c++) {
				const uint64_t ns = vt_tune_stat(t, c, cell).median_ns;

				best = ns < best ? ns : best;
				for (size_t k = 0; k < n; k++)
					if (keep[k] == c && ns < kept)
						kept = ns;
			}
			assert_true(kept * 10 <= best * 11);
		}
		done(t);
	}
	assert_true(sizes[1] && sizes[2] && sizes[3]);
}

/* Five samples; or what a store keeps of them, for a pass that goes on. */
static void add_five(struct vt_tune *t, size_t cand, size_t cell, const uint64_t *ns, bool stored)
{
	struct vt_tune *past = tune(1);
	struct vt_tune_stat s;

	for (size_t k = 0; k < 5; k++)
		vt_tune_add(stored ? past : t, stored ? 0 : cand, stored ? 0 : cell, ns[k]);
	s = vt_tune_stat(past, 0, 0);
	if (stored)
		vt_tune_prior(t, cand, cell, s.median_ns, s.spread_ns, s.samples);
	done(past);
}

/* A difference that the samples do not show is none: the spread of the best decides. */
static void test_noise_chooses_nothing(void **state)
{
	static const uint64_t quiet[] = {100, 101, 102, 103, 104},
			      noisy[] = {100, 110, 130, 150, 170};
	static const uint64_t other[] = {120, 125, 130, 150, 170};
	static const uint64_t slow[] = {1100, 1101, 1130, 1150, 1170};
	const uint64_t *best[] = {quiet, noisy, quiet, noisy};

	for (size_t i = 0; i < VT_COUNT(best); i++) {
		const bool stored = i >= 2;
		struct vt_tune *t = tune(1);
		size_t keep[VT_TUNE_KEEP];

		add_five(t, 0, 0, other, stored);
		add_five(t, 1, 0, best[i], stored);
		add_five(t, 2, 0, slow, stored);
		/* Both ways the faster one is kept; what differs is whether the slower would do. */
		assert_int_equal(vt_tune_choose(t, 1, keep), 1);
		assert_int_equal(keep[0], 1);
		vt_tune_fini(t);
		free(t);
		t = tune(2); /* in the second cell the default is best by far */
		add_five(t, 0, 0, other, stored);
		add_five(t, 1, 0, best[i], stored);
		for (size_t k = 0; k < 5; k++) {
			vt_tune_add(t, 0, 1, 100);
			vt_tune_add(t, 1, 1, 300);
		}
		assert_int_equal(vt_tune_choose(t, 1, keep), best[i] == noisy ? 1 : 2);
		done(t);
	}
}

static void test_statistics(void **state)
{
	struct vt_tune *t = tune(1);
	struct vt_tune_stat s;

	assert_int_equal(vt_tune_stat(t, 0, 0).samples, 0);
	for (uint64_t i = 1; i <= 9; i++)
		vt_tune_add(t, 0, 0, i == 9 ? 100000 : i * 10); /* one outlier */
	s = vt_tune_stat(t, 0, 0);
	assert_int_equal(s.median_ns, 50);
	assert_int_equal(s.spread_ns, 40);
	assert_int_equal(s.best_ns, 10);
	assert_int_equal(s.low_ns, 30);
	assert_int_equal(s.samples, 9);
	assert_int_equal(vt_tune_least(t, 0), 0);
	for (size_t c = 1; c < t->n_cands; c++)
		vt_tune_prior(t, c, 0, 77, 0, 5);
	assert_int_equal(vt_tune_least(t, 0), 5);
	s = vt_tune_stat(t, 1, 0);
	assert_int_equal(s.median_ns, 77);
	assert_int_equal(s.samples, 5);
	for (int i = 0; i < 100; i++) /* old samples give way */
		vt_tune_add(t, 1, 0, 20);
	s = vt_tune_stat(t, 1, 0);
	assert_int_equal(s.median_ns, 20);
	assert_int_equal(s.samples, VT_TUNE_SAMPLES);
	done(t);
}

/* What was put into a store and taken out of it is what it was. */
static void test_prior(void **state)
{
	static const struct {
		uint64_t median, spread;
		uint32_t n;
		uint64_t wants_spread;
	} row[] = {
		{1000, 0, 1, 0},       {1000, 100, 2, 100},
		{1000, 101, 3, 101},   {1000, 77, 5, 77},
		{1000, 900, 31, 900},  {1000, 900, 400, 900}, /* later ones replaced the oldest */
		{1000, 5000, 9, 1999},			      /* no sample is below 1 ns */
		{1, 1, 3, 1},
	};

	for (size_t i = 0; i < VT_COUNT(row); i++) {
		struct vt_tune *t = tune(1);
		struct vt_tune_stat s;

		vt_tune_prior(t, 0, 0, row[i].median, row[i].spread, row[i].n);
		s = vt_tune_stat(t, 0, 0);
		assert_int_equal(s.median_ns, row[i].median);
		assert_int_equal(s.spread_ns, row[i].wants_spread);
		assert_int_equal(s.low_ns, row[i].median - row[i].wants_spread / 2);
		assert_int_equal(s.samples,
				 row[i].n < VT_TUNE_SAMPLES ? row[i].n : VT_TUNE_SAMPLES);
		done(t);
	}
}

static void test_drop(void **state)
{
	struct vt_tune *t = tune(2);
	const size_t all = t->n_cands;

	for (size_t c = 0; c < all; c++)
		for (size_t cell = 0; cell < 2; cell++)
			vt_tune_add(t, c, cell, 100);
	assert_int_equal(vt_tune_drop(t, 150000), all);
	for (int i = 0; i < 3; i++) {
		vt_tune_add(t, 0, 0, 300); /* slow everywhere, but the default */
		vt_tune_add(t, 0, 1, 300);
	}
	t->samples[2 * 2].ns[0] = 200; /* slow in both cells */
	t->samples[2 * 2 + 1].ns[0] = 116;
	t->samples[3 * 2].ns[0] = 200; /* slow in one */
	assert_int_equal(vt_tune_drop(t, 150000), all - 1);
	assert_true(t->dropped[2] && !t->dropped[3] && !t->dropped[0]);
	assert_int_equal(vt_tune_least(t, 0), 1);
	done(t);
}

/* The machine drifts: a time of who dropped out in a fast minute is no measure in a slow one. */
static void test_dropped_is_no_measure(void **state)
{
	struct vt_tune *t = tune(1);
	size_t keep[VT_TUNE_KEEP];

	for (size_t c = 0; c < t->n_cands; c++)
		vt_tune_add(t, c, 0, c < 2 ? 100 : 130);
	assert_int_equal(vt_tune_drop(t, 250000), 2);
	for (size_t c = 0; c < 2; c++)
		for (int i = 0; i < 8; i++)
			vt_tune_add(t, c, 0, 150);
	assert_int_equal(vt_tune_choose(t, 1, keep), 1);
	assert_int_equal(keep[0], 0);
	done(t);
}

static void test_limits(void **state)
{
	const struct vt_layer l = {.rows = 1, .cols = 1, .depth = 1};
	struct vt_tune t;

	assert_int_equal(vt_tune_init(&t, &l, NULL, two, 2, 0), -EINVAL);
	assert_int_equal(vt_tune_init(&t, &l, NULL, two, 2, VT_TUNE_CELLS + 1), -EINVAL);
	vt_tune_fini(&t);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_cover_of_random_times),
		cmocka_unit_test(test_noise_chooses_nothing),
		cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_prior),
		cmocka_unit_test(test_drop),
		cmocka_unit_test(test_dropped_is_no_measure),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
