// SPDX-License-Identifier: Apache-2.0
/* Blocks kept between requests: who gets which, how many are kept, for how long. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "server/kept.h"

#define KIB 1024u

static void test_reuse(void **state)
{
	struct vt_kept k;
	size_t a_bytes, b_bytes, bytes;
	void *a, *b, *c;

	vt_kept_init(&k, 10240 * KIB);
	a = vt_kept_take(&k, 600 * KIB, &a_bytes);
	b = vt_kept_take(&k, 700 * KIB, &b_bytes);
	assert_true(a && b && a != b);
	assert_int_equal(a_bytes, 600 * KIB);
	memset(a, 1, a_bytes);
	memset(b, 1, b_bytes);
	vt_kept_give(&k, a, a_bytes, 1);
	vt_kept_give(&k, b, b_bytes, 2);
	assert_int_equal(k.n, 2);
	assert_int_equal(k.bytes, 1300 * KIB);

	/* 500 fits both: the latest. 650 fits b alone, which is out: new memory */
	c = vt_kept_take(&k, 500 * KIB, &bytes);
	assert_ptr_equal(c, b);
	assert_int_equal(bytes, 700 * KIB);
	c = vt_kept_take(&k, 650 * KIB, &bytes);
	assert_int_equal(bytes, 650 * KIB);
	assert_int_equal(k.n, 1);
	vt_kept_give(&k, c, bytes, 3);
	vt_kept_give(&k, b, b_bytes, 4);

	/* more than half of it would be wasted */
	c = vt_kept_take(&k, 299 * KIB, &bytes);
	assert_int_equal(bytes, 299 * KIB);
	assert_int_equal(k.n, 3);
	free(c);
	vt_kept_fini(&k);
}

static void test_bounds(void **state)
{
	struct vt_kept k;
	size_t bytes;
	void *p[VT_KEPT_BLOCKS + 1];

	vt_kept_init(&k, 1000 * KIB);
	p[0] = vt_kept_take(&k, 600 * KIB, &bytes);
	p[1] = vt_kept_take(&k, 600 * KIB, &bytes);
	vt_kept_give(&k, p[0], bytes, 1);
	vt_kept_give(&k, p[1], bytes, 1); /* no room for both */
	assert_int_equal(k.n, 1);
	p[0] = vt_kept_take(&k, VT_KEPT_SMALL - 1, &bytes);
	vt_kept_give(&k, p[0], bytes, 1); /* too small to be worth it */
	p[0] = vt_kept_take(&k, 0, &bytes);
	assert_non_null(p[0]);
	vt_kept_give(&k, p[0], bytes, 1);
	vt_kept_give(&k, NULL, 600 * KIB, 1);
	assert_int_equal(k.n, 1);
	vt_kept_fini(&k);

	vt_kept_init(&k, SIZE_MAX);
	for (size_t i = 0; i < VT_COUNT(p); i++)
		p[i] = vt_kept_take(&k, VT_KEPT_SMALL, &bytes);
	for (size_t i = 0; i < VT_COUNT(p); i++)
		vt_kept_give(&k, p[i], bytes, 1);
	assert_int_equal(k.n, VT_KEPT_BLOCKS);
	vt_kept_fini(&k);
}

static void test_trim(void **state)
{
	struct vt_kept k;
	size_t bytes;
	void *p[3];

	vt_kept_init(&k, SIZE_MAX);
	for (size_t i = 0; i < 3; i++)
		p[i] = vt_kept_take(&k, 100 * KIB, &bytes);
	for (size_t i = 0; i < 3; i++)
		vt_kept_give(&k, p[i], bytes, i * VT_KEPT_NS);
	vt_kept_trim(&k, VT_KEPT_NS - 1);
	assert_int_equal(k.n, 3);
	vt_kept_trim(&k, 2 * VT_KEPT_NS);
	assert_int_equal(k.n, 1);
	assert_ptr_equal(k.block[0].p, p[2]);
	vt_kept_trim(&k, VT_KEPT_NS); /* a clock read earlier than the block came */
	assert_int_equal(k.n, 1);
	vt_kept_fini(&k);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_trim),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
