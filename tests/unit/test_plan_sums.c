// SPDX-License-Identifier: Apache-2.0
/* test_plan_sums.c - what a plan has added up is what adding up the model's layers gives. */
#include "harness.h"

#include "sched_fixture.h"

#define MODELS 200
#define BLOCKS 50

/* Some blocks ran version 0 throughout, as nearly all do, others whatever there is. */
static const uint8_t *any_versions(struct vt_rng *r, const struct vt_model *m, unsigned int begin,
				   unsigned int end, uint8_t *to)
{
	const uint64_t kind = vt_rng_below(r, 3);

	for (unsigned int l = begin; l < end; l++) {
		uint8_t v = kind == 2 ? (uint8_t)vt_rng_below(r, m->n_versions) : 0;

		to[l - begin] = vt_model_ns(m, l, v, 0, 0) ? v : 0;
	}
	return kind ? to : NULL;
}

static void compare(struct vt_rng *r, const struct vt_model *m)
{
	uint8_t versions[VT_MAX_LAYERS];
	uint64_t want[VT_LEVELS], have[VT_LEVELS];
	const unsigned int begin = (unsigned int)vt_rng_below(r, m->n_layers),
			   end = (unsigned int)fx_between(r, begin + 1, m->n_layers),
			   cores = (unsigned int)fx_between(r, 0, FX_CORES);
	const uint8_t *v = any_versions(r, m, begin, end, versions);

	vt_model_block_levels(m, begin, end, v, cores, want);
	vt_plan_block_levels(m, begin, end, v, cores, have);
	for (unsigned int s = 0; s < VT_LEVELS; s++)
		if (have[s] != want[s])
			fail_msg("layers %u .. %u on %u cores, level %u: %llu instead of %llu",
				 begin, end, cores, s, (unsigned long long)have[s],
				 (unsigned long long)want[s]);
}

static void test_times_of_a_block_at_every_level(void **state)
{
	/* The machine has all the counts that were measured, or some of them. */
	static const unsigned int n_cores[] = {FX_CORES, 24, 4};
	struct vt_rng r = {7};

	for (unsigned int i = 0; i < MODELS; i++) {
		struct fx_models f =
			fx_models_new(&r, 1, n_cores[i % VT_COUNT(n_cores)], VT_PLAN_ALL);
		const struct vt_plan *plan = f.m[0].plan;

		for (unsigned int k = 0; k < BLOCKS; k++)
			compare(&r, &f.m[0]);
		f.m[0].plan = NULL; /* a model that has none yet */
		compare(&r, &f.m[0]);
		f.m[0].plan = plan;
		fx_models_free(&f);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times_of_a_block_at_every_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
