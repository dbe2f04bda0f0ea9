// SPDX-License-Identifier: Apache-2.0
/* Memory for weights: zeroed, aligned, nobody else's, and given back. */
#include "harness.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "kernels/bigmem.h"

struct block {
	unsigned char *at, mark;
	size_t bytes;
};

static bool all(const unsigned char *p, size_t n, unsigned char v)
{
	return !n || (p[0] == v && !memcmp(p, p + 1, n - 1));
}

static void get(struct block *b, size_t bytes, unsigned char mark)
{
	*b = (struct block){.at = vt_big_alloc(bytes), .mark = mark, .bytes = bytes};
	assert_non_null(b->at);
	assert_int_equal((uintptr_t)b->at % 64, 0);
	if (bytes >= VT_BIG_FROM)
		assert_int_equal((uintptr_t)b->at % VT_BIG_FROM, 0);
	assert_true(all(b->at, bytes, 0));
	memset(b->at, mark, bytes);
}

static void give_back(struct block *b)
{
	assert_true(all(b->at, b->bytes, b->mark));
	vt_big_free(b->at, b->bytes);
	b->at = NULL;
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {0,
				       1,
				       63,
				       64,
				       65,
				       4096,
				       100000,
				       VT_BIG_FROM - 65,
				       VT_BIG_FROM - 64,
				       VT_BIG_FROM - 1,
				       VT_BIG_FROM,
				       VT_BIG_FROM + 1,
				       3 * VT_BIG_FROM - 5};
	struct block b[VT_COUNT(sizes)];

	for (size_t i = 0; i < VT_COUNT(sizes); i++)
		get(&b[i], sizes[i], (unsigned char)(i + 1));
	for (size_t i = 0; i < VT_COUNT(sizes); i++)
		give_back(&b[i]);
	vt_big_free(NULL, 5);
}

static void test_too_large(void **state)
{
	assert_null(vt_big_alloc(SIZE_MAX));
	assert_null(vt_big_alloc(SIZE_MAX - VT_BIG_FROM));
	assert_null(vt_big_alloc(SIZE_MAX / 2));
}

/* Blocks come and go in any order; what is taken again is zero again. */
static void churn(uint64_t seed, int rounds)
{
	struct block b[64] = {{0}};
	struct vt_rng r = {seed};

	for (int i = 0; i < rounds; i++) {
		struct block *at = &b[vt_rng_below(&r, VT_COUNT(b))];

		if (at->at)
			give_back(at);
		else
			get(at, vt_rng_below(&r, i % 16 ? 60000 : VT_BIG_FROM + 4096),
			    (unsigned char)(1 + i % 255));
	}
	for (size_t i = 0; i < VT_COUNT(b); i++)
		if (b[i].at)
			give_back(&b[i]);
}

static void test_any_order(void **state)
{
	churn(3, 3000);
}

static void *churner(void *seed)
{
	churn((uint64_t)(uintptr_t)seed, 1000);
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t t[4];

	for (uintptr_t i = 0; i < VT_COUNT(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, churner, (void *)(i + 1)), 0);
	for (size_t i = 0; i < VT_COUNT(t); i++)
		pthread_join(t[i], NULL);
}

static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t total = 0, pages = 0;

	if (!f || fscanf(f, "%zu %zu", &total, &pages) != 2)
		vt_skip("no /proc/self/statm");
	fclose(f);
	return pages * 4096;
}

/* One block that stays keeps at most its own huge page of what was taken beside it. */
static void test_gives_back_around_what_stays(void **state)
{
	struct block b[512], stays;
	size_t before, after;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	vt_skip("a sanitizer keeps what is freed, or a shadow of it");
#endif
	before = resident();
	for (size_t i = 0; i < VT_COUNT(b); i++)
		get(&b[i], 100000, 1);
	get(&stays, 64, 2);
	assert_true(resident() >= before + (VT_COUNT(b) - 40) * 100000);
	for (size_t i = 0; i < VT_COUNT(b); i++)
		give_back(&b[i]);
	after = resident();
	assert_true(after <= before + 3 * VT_BIG_FROM);
	give_back(&stays);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_gives_back_around_what_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
