// SPDX-License-Identifier: Apache-2.0
/* The buckets that times of decisions are counted in, and what is read off them. */
#include "harness.h"

#include "exec/runtime.h"

static void test_turns_have_buckets_without_gaps(void **state)
{
	uint64_t below = 0;

	for (unsigned int i = 0; i < VT_TURN_BUCKETS; i++) {
		const uint64_t above = vt_turn_bucket_ns(i);

		assert_true(above > below);
		assert_int_equal(vt_turn_bucket(below), i);
		assert_int_equal(vt_turn_bucket(above - 1), i);
		/* Nothing is read off wrong by more than a quarter. */
		assert_true(i == 0 || i == VT_TURN_BUCKETS - 1 || above - below <= below / 4 + 1);
		below = above;
	}
	assert_true(below == UINT64_MAX);
	assert_int_equal(vt_turn_bucket(UINT64_MAX), VT_TURN_BUCKETS - 1);
	assert_int_equal(vt_turn_bucket_ns(0), 250);
	assert_int_equal(vt_turn_bucket_ns(VT_TURN_BUCKETS - 2), 250ull << VT_TURN_OCTAVES);
}

static void test_percentiles_of_turns(void **state)
{
	uint64_t count[VT_TURN_BUCKETS] = {0};

	assert_int_equal(vt_turn_percentile_ns(count, 0.99), 0);
	count[vt_turn_bucket(40000)] = 1; /* far above the 24th bucket's bound */
	assert_int_equal(vt_turn_percentile_ns(count, 0.99),
			 vt_turn_bucket_ns(vt_turn_bucket(40000)));
	assert_in_range(vt_turn_percentile_ns(count, 0.99), 40000, 50000);
	count[vt_turn_bucket(1000)] = 99;
	assert_in_range(vt_turn_percentile_ns(count, 0.99), 1000, 1250);
	assert_in_range(vt_turn_percentile_ns(count, 1), 40000, 50000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_turns_have_buckets_without_gaps),
		cmocka_unit_test(test_percentiles_of_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
