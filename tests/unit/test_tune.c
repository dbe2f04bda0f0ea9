// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "exec/costs.h"
#include "exec/tune.h"
#include "model/zoo.h"

/*
 * The tuner on a real engine and a real store: stopped at any layer it goes on where it was, what it
 * knows it does not measure again, and what it keeps is what it promised. And the bubble: it blows
 * when told, and is silent when told. No time is asserted.
 */

static char dir[] = "/tmp/veltair-test-tune-XXXXXX";

static struct vt_engine *load(const char *name)
{
	struct vt_zoo_opts zo = {.seed = 1};
	struct vt_engine_opts o = {0};
	struct vt_engine *m = NULL;
	struct vt_err e = {0};
	char path[160];

	assert_int_equal(vt_zoo_write(vt_zoo_find(name), dir, &zo, NULL, &e), 0);
	snprintf(path, sizeof(path), "%s/%s.onnx", dir, name);
	if (vt_engine_load(&m, path, &o, &e))
		fail_msg("%s", e.msg);
	unlink(path);
	return m;
}

static const char *db_path(void)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/t.db", dir);
	return path;
}

static struct vt_profile *store(void)
{
	struct vt_profile_key key;
	struct vt_profile *db = NULL;
	struct vt_err e = {0};

	vt_profile_here(&key);
	if (vt_profile_open(&db, db_path(), VT_PROFILE_WRITE, &key, &e))
		fail_msg("%s", e.msg);
	return db;
}

static void remove_store(void)
{
	char path[200];

	unlink(db_path());
	snprintf(path, sizeof(path), "%s-wal", db_path());
	unlink(path);
	snprintf(path, sizeof(path), "%s-shm", db_path());
	unlink(path);
}

/* Stops when so many layers have been begun. */
struct patience {
	unsigned int begun, most;
	double share;
};

static bool lost(void *arg)
{
	const struct patience *p = arg;

	return p->begun > p->most;
}

static void note(void *arg, const struct vt_tune_progress *p)
{
	struct patience *t = arg;

	assert_true(p->layers_done <= p->layers && p->share >= t->share && p->share <= 1.0001);
	assert_non_null(p->layer);
	t->share = p->share;
	t->begun++;
}

static struct vt_tune_opts options(struct patience *p, uint32_t levels)
{
	struct vt_tune_opts o = {
		.levels = levels, .quick = true, .stop = lost, .progress = note, .arg = p};

	vt_cpuset_allowed(&o.cores);
	o.points[o.n_points++] = 1;
	if (vt_cpuset_count(&o.cores) > 1)
		o.points[o.n_points++] = 2;
	return o;
}

static int tune(struct vt_engine *m, struct vt_profile *db, struct patience *p, uint32_t levels,
		struct vt_tune_report *r)
{
	const struct vt_tune_opts o = options(p, levels);
	struct vt_tuner *t = NULL;
	struct vt_err e = {0};
	int err = vt_tuner_open(&t, &o, db, &e);

	if (err)
		fail_msg("%s", e.msg);
	p->begun = 0;
	p->share = 0;
	err = vt_tune_engine(t, m, r, &e);
	assert_int_equal(err, e.code);
	vt_tuner_close(t);
	return err;
}

struct kept {
	char last[VT_PROFILE_NAME];
	unsigned int versions, cells, first;
};

static int count_kept(void *arg, const struct vt_profile_time *t)
{
	struct kept *k = arg;

	assert_true(t->median_ns && t->samples);
	if (!t->kept)
		return 0;
	if (strcmp(k->last, t->variant) != 0) {
		snprintf(k->last, sizeof(k->last), "%s", t->variant);
		k->versions++;
		k->first += t->rank == 0;
	}
	k->cells++;
	return 0;
}

static void test_stop_and_go_on(void **state)
{
	struct vt_engine *m = load("mobilenet-v2-tiny");
	struct vt_profile *db = store();
	struct patience p = {.most = 4};
	struct vt_tune_report r;
	struct vt_tune_opts o = options(&p, 1);
	unsigned int known = 0, rounds = 0;
	struct vt_err e = {0};

	while (tune(m, db, &p, 1, &r) == -ECANCELED) {
		assert_int_equal(r.known, known); /* of all calls before */
		assert_true(r.measured >= 1 && r.measured <= p.most);
		known += r.measured;
		assert_true(++rounds < 100);
	}
	assert_true(rounds > 1);
	assert_int_equal(known + r.measured, r.layers);
	for (int i = 0; i < m->n_steps; i++) {
		char sig[VT_PROFILE_TEXT];
		struct kept k = {0};

		vt_layer_signature(m, i, sig, sizeof(sig));
		assert_int_equal(vt_tune_known(&o, db, sig, &e), 1);
		assert_int_equal(vt_profile_each(db, sig, count_kept, &k, &e), 0);
		assert_true(k.versions >= 1 && k.versions <= VT_MAX_VERSIONS && k.first == 1);
		assert_int_equal(k.cells, k.versions * o.n_points);
	}
	assert_int_equal(tune(m, db, &p, 1, &r), 0);
	assert_true(r.measured == 0 && r.samples == 0 && r.known == r.layers && p.begun == 1);
	vt_profile_close(db);
	remove_store();
	vt_engine_free(m);
}

static void test_more_levels_later(void **state)
{
	struct vt_engine *m = load("bert-large-tiny");
	struct vt_profile *db = store();
	struct patience p = {.most = 1000};
	struct vt_tune_opts o = options(&p, 1u | 1u << 4);
	char sig[VT_PROFILE_TEXT];
	struct vt_tune_report r;
	struct vt_err e = {0};

	if (o.n_points < 2)
		vt_skip("needs two cores");
	assert_int_equal(tune(m, db, &p, 1, &r), 0);
	assert_int_equal(r.measured, r.layers);
	vt_layer_signature(m, 0, sig, sizeof(sig));
	assert_int_equal(vt_tune_known(&o, db, sig, &e), 0);
	assert_int_equal(tune(m, db, &p, o.levels, &r), 0);
	assert_int_equal(r.measured, r.layers);
	assert_int_equal(vt_tune_known(&o, db, sig, &e), 1);
	vt_profile_close(db);
	remove_store();
	vt_engine_free(m);
}

static void test_bubble(void **state)
{
	const struct vt_bubble_setting loud = {4 << 20, VT_PPM}, silence = {0};
	struct vt_cpuset cores, none = {0}, absent = {0};
	struct vt_bubble *b = NULL;
	struct vt_bubble_scale s;
	struct vt_err e = {0};
	uint64_t bytes;

	assert_int_equal(vt_bubble_open(&b, &none, &e), -EINVAL);
	vt_cpuset_add(&absent, VT_MAX_CORES - 1);
	e = (struct vt_err){0};
	assert_int_equal(vt_bubble_open(&b, &absent, &e), -EINVAL);
	vt_cpuset_allowed(&cores);
	e = (struct vt_err){0};
	if (vt_bubble_open(&b, &cores, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(vt_bubble_bytes(b), 0);
	vt_bubble_set(b, loud);
	while (vt_bubble_bytes(b) < 64 << 20)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + VT_NS_PER_MS);
	vt_bubble_set(b, silence);
	bytes = vt_bubble_bytes(b);
	vt_sleep_until_mono_ns(vt_now_mono_ns() + 5 * VT_NS_PER_MS);
	assert_int_equal(vt_bubble_bytes(b), bytes);
	assert_int_equal(vt_bubble_calibrate(b, -1, &s, &e), 0);
	assert_true(s.by_bandwidth && !s.probed && !s.level[0].footprint_bytes);
	for (int l = 1; l < (int)VT_LEVELS; l++)
		assert_true(s.level[l].duty_ppm > s.level[l - 1].duty_ppm);
	vt_bubble_close(b);
	vt_bubble_close(NULL);
}

/* Threads may still be starting when the first setting comes, or the end. */
static void test_bubble_set_and_closed_at_once(void **state)
{
	static const struct {
		struct vt_bubble_setting first, second; /* of duty 0: none */
	} t[] = {{{0}, {0}},
		 {{4 << 20, VT_PPM / 2}, {0}},
		 {{0, VT_PPM}, {4 << 20, VT_PPM / 9}},
		 {{4 << 20, VT_PPM}, {0, VT_PPM}}};
	struct vt_cpuset cores;

	assert_int_equal(vt_cpuset_allowed(&cores), 0);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_bubble *b = NULL;
		struct vt_err e = {0};

		if (vt_bubble_open(&b, &cores, &e))
			fail_msg("%s", e.msg);
		if (t[i].first.duty_ppm)
			vt_bubble_set(b, t[i].first);
		if (t[i].second.duty_ppm)
			vt_bubble_set(b, t[i].second);
		vt_bubble_close(b);
	}
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
		cmocka_unit_test(test_stop_and_go_on),
		cmocka_unit_test(test_more_levels_later),
		cmocka_unit_test(test_bubble),
		cmocka_unit_test(test_bubble_set_and_closed_at_once),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
