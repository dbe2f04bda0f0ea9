// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine_fixture.h"
#include "exec/costs.h"
#include "exec/tune.h"
#include "kernels/tile.h"
#include "kernels/tuner.h"
#include "model/zoo.h"

/*
 * Somebody disturbs a layer while it is measured and has left, or is still there, when all others are
 * done. The layer is measured again then, and the faster of both stays. Who disturbs is a kernel that sleeps
 * so much longer than the layer takes that no noise of a machine comes near it.
 */

#define SLEEP_NS (2 * VT_NS_PER_MS)

static char dir[] = "/tmp/veltair-test-again-XXXXXX";

static struct {
	const struct vt_kernel *real;
	bool (*slow)(unsigned int call); /* of one variant */
	const struct vt_variant *variant[VT_TUNE_CANDS];
	unsigned int calls[VT_TUNE_CANDS];
	unsigned int layers; /* to be measured the first time; 0: not told yet */
	bool again;	     /* they are */
	double share;
} disturber;

static bool two_of_three(unsigned int call)
{
	return !disturber.again && call % 3 != 0;
}

static bool two_of_five_then_all(unsigned int call)
{
	return disturber.again || call % 5 < 2;
}

static bool all(unsigned int call)
{
	(void)call;
	return true;
}

static void run_disturbed(struct vt_layer *l, int inst, struct pthreadpool *gang)
{
	size_t v = 0;

	while (v < VT_TUNE_CANDS - 1 && disturber.variant[v] &&
	       disturber.variant[v] != gang->variant)
		v++;
	disturber.variant[v] = gang->variant;
	disturber.real->run(l, inst, gang);
	if (disturber.slow(disturber.calls[v]++))
		vt_sleep_until_mono_ns(vt_now_mono_ns() + SLEEP_NS);
}

static void note(void *arg, const struct vt_tune_progress *p)
{
	(void)arg;
	if (!disturber.layers)
		disturber.layers = p->layers;
	disturber.again = p->layers_done >= disturber.layers;
	assert_true(p->layers_done <= p->layers && p->share >= disturber.share &&
		    p->share <= 1.0001);
	disturber.share = p->share;
}

/* One in the middle that is no product of matrices: those have too many candidates for a short test. */
static int any_layer(const struct vt_engine *m)
{
	int i = m->n_steps / 2;

	while (i < m->n_steps - 1 && m->steps[i].layer.depth)
		i++;
	return i;
}

struct slowest {
	uint64_t kept_ns;
	unsigned int kept;
};

static int note_time(void *arg, const struct vt_profile_time *t)
{
	struct slowest *s = arg;

	if (t->kept && t->median_ns > s->kept_ns)
		s->kept_ns = t->median_ns;
	s->kept += t->kept;
	return 0;
}

/* The slowest kept time of the disturbed layer, after all layers have been through the tuner. */
static uint64_t profile(bool (*slow)(unsigned int call), struct vt_tune_report *r)
{
	struct vt_engine *m = fx_engine(dir, "mobilenet-v2-tiny", 0);
	const int step = any_layer(m);
	struct vt_kernel disturbed = *m->steps[step].layer.kernel;
	struct vt_tune_opts o = {
		.levels = 1, .quick = true, .points = {1}, .n_points = 1, .progress = note};
	struct slowest slowest = {0};
	struct vt_profile_key key;
	struct vt_profile *db = NULL;
	struct vt_tuner *t = NULL;
	char path[160], sig[VT_PROFILE_TEXT];
	struct vt_err e = {0};

	memset(&disturber, 0, sizeof(disturber));
	disturber.real = m->steps[step].layer.kernel;
	disturber.slow = slow;
	disturbed.run = run_disturbed;
	vt_layer_signature(m, step, sig, sizeof(sig));
	for (int i = 0; i < m->n_steps; i++) {
		char other[VT_PROFILE_TEXT];

		vt_layer_signature(m, i, other, sizeof(other));
		if (!strcmp(other, sig))
			m->steps[i].layer.kernel = &disturbed;
	}
	snprintf(path, sizeof(path), "%s/t.db", dir);
	vt_profile_here(&key);
	vt_cpuset_allowed(&o.cores);
	if (vt_profile_open(&db, path, VT_PROFILE_WRITE, &key, &e) ||
	    vt_tuner_open(&t, &o, db, &e) || vt_tune_engine(t, m, r, &e) ||
	    vt_profile_each(db, sig, note_time, &slowest, &e))
		fail_msg("%s", e.msg);
	assert_true(slowest.kept >= 1);
	assert_int_equal(vt_tune_known(&o, db, sig, &e), 1);
	vt_tuner_close(t);
	vt_profile_close(db);
	unlink(path);
	vt_engine_free(m);
	return slowest.kept_ns;
}

static void test_who_was_disturbed_is_measured_again(void **state)
{
	struct vt_tune_report r;

	assert_true(profile(two_of_three, &r) < SLEEP_NS / 2);
	assert_true(r.measured == r.layers && r.again >= 1 && r.again <= r.layers);
}

static void test_the_faster_of_both_stays(void **state)
{
	struct vt_tune_report r;

	assert_true(profile(two_of_five_then_all, &r) < SLEEP_NS / 2);
	assert_true(r.measured == r.layers && r.again >= 1);
}

/* Always slow is a slow layer, however often it is measured. */
static void test_slow_is_no_disturbance(void **state)
{
	struct vt_tune_report r;

	assert_true(profile(all, &r) >= SLEEP_NS);
	assert_int_equal(r.measured, r.layers);
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_was_disturbed_is_measured_again),
		cmocka_unit_test(test_the_faster_of_both_stays),
		cmocka_unit_test(test_slow_is_no_disturbance),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
