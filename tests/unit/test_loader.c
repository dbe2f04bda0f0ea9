// SPDX-License-Identifier: Apache-2.0
/* The loader's thread: jobs in order and at once, idle looks between them, an end after which posts are refused. */
#include "harness.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/loader.h"

#define PATIENCE_MS 20000

static char order[8];
static _Atomic unsigned int jobs, looks;

static void job(void *arg)
{
	order[jobs] = *(const char *)arg;
	jobs++;
}

static uint64_t in_an_hour(void *arg)
{
	looks++;
	return 3600 * VT_NS_PER_S;
}

static uint64_t once(void *arg)
{
	looks++;
	return UINT64_MAX;
}

static uint64_t in_a_millisecond(void *arg)
{
	looks++;
	return VT_NS_PER_MS;
}

static void until(_Atomic unsigned int *what, unsigned int n)
{
	for (int i = 0; i < PATIENCE_MS && *what < n; i++)
		usleep(1000);
	assert_true(*what >= n);
}

/* Looks before any job, and after three of them; a job does not wait for the next look. */
static void test_jobs_and_looks(void **state)
{
	static const struct {
		uint64_t (*idle)(void *arg);
		unsigned int first, then, most;
	} t[] = {
		{NULL, 0, 0, 0},
		{in_an_hour, 1, 1, 1},
		{once, 1, 2, 4}, /* again after a job */
		{in_a_millisecond, 3, 5, 1000000},
	};
	struct vt_err e = {0};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_loader *l = NULL;

		jobs = looks = 0;
		memset(order, 0, sizeof(order));
		assert_int_equal(vt_loader_start(&l, t[i].idle, NULL, &e), 0);
		until(&looks, t[i].first);
		assert_true(vt_loader_post(l, job, "a"));
		assert_true(vt_loader_post(l, job, "b"));
		assert_true(vt_loader_post(l, job, "c"));
		until(&jobs, 3);
		until(&looks, t[i].then);
		assert_true(looks <= t[i].most);
		assert_string_equal(order, "abc");
		vt_loader_free(l);
	}
}

/* Stopped, it has run what was posted; it is still there for those who come late, and says no. */
static void test_stops(void **state)
{
	struct vt_loader *l = NULL;
	struct vt_err e = {0};

	vt_loader_stop(NULL);
	vt_loader_free(NULL);
	jobs = 0;
	assert_int_equal(vt_loader_start(&l, in_an_hour, NULL, &e), 0);
	assert_true(vt_loader_post(l, job, "a"));
	vt_loader_stop(l);
	assert_int_equal(jobs, 1);
	assert_false(vt_loader_post(l, job, "b"));
	assert_false(vt_loader_busy(l));
	vt_loader_stop(l); /* no harm */
	vt_loader_free(l);
	assert_int_equal(jobs, 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs_and_looks),
		cmocka_unit_test(test_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
