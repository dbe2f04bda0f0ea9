// SPDX-License-Identifier: Apache-2.0
#include "faketree.h"
#include "harness.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "engine_fixture.h"
#include "exec/costs.h"
#include "exec/tune.h"
#include "model/zoo.h"

/*
 * The tuner on a real engine and a real store: stopped at any layer it goes on where it was, what it
 * knows it does not measure again, and what it keeps is what it promised. When it is stopped it runs
 * no layer any more. No time is asserted.
 */

static char dir[] = "/tmp/veltair-test-tune-XXXXXX";

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
	struct vt_engine *m = fx_engine(dir, "mobilenet-v2-tiny", 0);
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

static void sql(const char *text, int (*row)(void *arg, int n, char **value, char **name),
		void *arg)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(db_path(), &db), SQLITE_OK);
	if (sqlite3_exec(db, text, row, arg, NULL))
		fail_msg("%s", sqlite3_errmsg(db));
	sqlite3_close(db);
}

static int first_number(void *arg, int n, char **value, char **name)
{
	*(long long *)arg = atoll(value[0]);
	return 0;
}

static long long number_of(const char *text)
{
	long long n = -1;

	sql(text, first_number, &n);
	return n;
}

struct asked {
	unsigned int n, most;
};

static bool too_often(void *arg)
{
	struct asked *a = arg;

	return ++a->n > a->most;
}

/*
 * A sample of another level is put, or a few, as how often the bubble asks while it settles is a matter of time: the times
 * that were there stay as they are, and as old.
 */
static void put_one_more(struct vt_engine *m, struct vt_profile *db, uint32_t levels)
{
	static const char spreads[] = "SELECT sum(spread_ns) FROM time WHERE level = 0";
	struct asked a = {.most = UINT32_MAX};
	struct vt_tune_opts o = options(NULL, levels);
	const long long before = number_of(spreads);
	uint64_t samples;
	struct vt_tune_walk *w = NULL;
	struct vt_tuner *t = NULL;
	struct vt_err e = {0};

	o.progress = NULL;
	o.stop = too_often;
	o.arg = &a;
	sql("UPDATE time SET taken_s = 1", NULL, NULL);
	assert_int_equal(vt_tuner_open(&t, &o, db, &e), 0);
	assert_int_equal(vt_tuner_calibrate(t, &e), 0);
	assert_int_equal(vt_tune_walk_new(&w, t, m, &e), 0);
	for (a.most = 1; !vt_tune_walk_report(w)->samples; a.most++) {
		a.n = 0;
		assert_int_equal(vt_tune_walk_go(w, &e), -ECANCELED);
	}
	samples = vt_tune_walk_report(w)->samples;
	assert_int_equal(vt_tune_walk_put(w, true, &e), 0);
	vt_tune_walk_free(w);
	vt_tuner_close(t);
	assert_in_range(number_of("SELECT count(*) FROM time WHERE taken_s <> 1"), 1, samples);
	assert_int_equal(number_of("SELECT min(level) FROM time WHERE taken_s <> 1"), 4);
	assert_int_equal(number_of(spreads), before);
}

static void test_more_levels_later(void **state)
{
	struct vt_engine *m = fx_engine(dir, "bert-large-tiny", 0);
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
	put_one_more(m, db, o.levels);
	assert_int_equal(tune(m, db, &p, o.levels, &r), 0);
	assert_int_equal(r.measured, r.layers);
	assert_int_equal(vt_tune_known(&o, db, sig, &e), 1);
	vt_profile_close(db);
	remove_store();
	vt_engine_free(m);
}

/* ---- stopped at any moment ------------------------------------------------------------------- */

/* Counts what is run, and what between two questions; says stop at a given one. */
static struct watch {
	const struct vt_kernel *real[512];
	struct vt_kernel counting[512];
	unsigned int runs, runs_asked, runs_stopped, most_between;
	unsigned int asks, stop_at, asks_after;
} watched;

static void counting_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	watched.runs++;
	watched.real[l->kernel - watched.counting]->run(l, inst, gang);
}

static void watch(struct vt_engine *m)
{
	assert_true((size_t)m->n_steps <= VT_COUNT(watched.real));
	for (int i = 0; i < m->n_steps; i++) {
		watched.real[i] = m->steps[i].layer.kernel;
		watched.counting[i] = *watched.real[i];
		watched.counting[i].run = counting_run;
		m->steps[i].layer.kernel = &watched.counting[i];
	}
}

static bool ask(void *arg)
{
	struct watch *w = arg;
	const unsigned int between = w->runs - w->runs_asked;

	w->most_between = between > w->most_between ? between : w->most_between;
	w->runs_asked = w->runs;
	if (++w->asks < w->stop_at)
		return false;
	if (w->asks == w->stop_at)
		w->runs_stopped = w->runs;
	else
		w->asks_after++;
	return true;
}

static struct vt_tune_opts watched_options(uint32_t levels)
{
	struct vt_tune_opts o = options(NULL, levels);

	o.progress = NULL;
	o.stop = ask;
	o.arg = &watched;
	return o;
}

/* One go that is told to stop at its @nth question. */
static int go_until(struct vt_tune_walk *w, unsigned int nth, struct vt_err *e)
{
	int err;

	watched.asks = watched.asks_after = watched.most_between = 0;
	watched.runs_asked = watched.runs;
	watched.stop_at = nth;
	err = vt_tune_walk_go(w, e);
	if (err == -ECANCELED && watched.runs != watched.runs_stopped)
		fail_msg("%u layers run after it was told to stop",
			 watched.runs - watched.runs_stopped);
	if (watched.most_between > 1)
		fail_msg("%u layers run between two questions", watched.most_between);
	assert_true(watched.asks_after <= 4);
	assert_int_equal(err == -ECANCELED, watched.asks >= nth);
	return err;
}

/*
 * So a request that comes waits for one layer at most. And however often it is stopped, it gets done,
 * the search for the levels too.
 */
static void test_stopped_it_runs_nothing(void **state)
{
	struct vt_engine *m = fx_engine(dir, "mobilenet-v2-tiny", 0);
	struct vt_profile *db = store();
	struct vt_tune_opts o = watched_options(1u | 1u << 4);
	struct vt_tune_walk *w = NULL;
	struct vt_tuner *t = NULL;
	unsigned int stopped = 0, stops_alone = 0;
	struct vt_rng r = {1};
	struct vt_err e = {0};
	int err = 1;

	watch(m);
	watched.stop_at = UINT32_MAX;
	assert_int_equal(vt_tuner_open(&t, &o, db, &e), 0);
	assert_int_equal(vt_tune_walk_new(&w, t, m, &e), 0);
	for (unsigned int n = 1; n <= 30; n++) /* too short for anything */
		stops_alone += go_until(w, n, &e) == -ECANCELED;
	assert_int_equal(stops_alone, 30);
	while (err) {
		err = go_until(w, 60 + (unsigned int)vt_rng_below(&r, 60), &e);
		assert_true(err == 0 || err == 1 || err == -ECANCELED);
		stopped += err == -ECANCELED;
		assert_int_equal(vt_tune_walk_put(w, false, &e), 0);
		assert_true(stopped < 20000);
	}
	assert_true(stopped > vt_tune_walk_report(w)->layers);
	assert_int_equal(vt_tune_walk_report(w)->measured, vt_tune_walk_report(w)->layers);
	assert_int_equal(e.code, 0);
	vt_tune_walk_free(w);
	vt_tuner_close(t);
	vt_profile_close(db);
	remove_store();
	vt_engine_free(m);
}

/* Another process has the store: measuring does not care, and what could not be put is kept. */
static void test_store_of_another(void **state)
{
	struct vt_engine *m = fx_engine(dir, "bert-large-tiny", 0);
	struct vt_profile *db = NULL;
	struct vt_tune_opts o = watched_options(1);
	struct vt_tune_walk *w = NULL;
	struct vt_tuner *t = NULL;
	struct vt_profile_key key;
	char sig[VT_PROFILE_TEXT];
	sqlite3 *other = NULL;
	struct vt_err e = {0};

	vt_profile_close(store());
	vt_profile_here(&key);
	assert_int_equal(vt_profile_open(&db, db_path(), VT_PROFILE_WRITE_SOON, &key, &e), 0);
	assert_int_equal(vt_tuner_open(&t, &o, db, &e), 0);
	assert_int_equal(vt_tune_walk_new(&w, t, m, &e), 0);
	assert_int_equal(sqlite3_open(db_path(), &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	for (int i = 0; i < 3; i++) {
		struct vt_err busy = {0};

		while (go_until(w, UINT32_MAX, &e) != 1)
			;
		while (!vt_tune_walk_put(w, true, &busy)) /* until there is something to put */
			assert_int_equal(go_until(w, UINT32_MAX, &e), 1);
		assert_int_equal(busy.code, -EBUSY);
	}
	assert_int_equal(vt_tune_walk_report(w)->measured, 0);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	while (go_until(w, UINT32_MAX, &e) == 1)
		assert_int_equal(vt_tune_walk_put(w, false, &e), 0);
	assert_int_equal(vt_tune_walk_report(w)->measured, vt_tune_walk_report(w)->layers);
	vt_layer_signature(m, 0, sig, sizeof(sig));
	assert_int_equal(vt_tune_known(&o, db, sig, &e), 1);
	vt_tune_walk_free(w);
	vt_tuner_close(t);
	vt_profile_close(db);
	remove_store();
	vt_engine_free(m);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static int note_level(void *arg, const struct vt_profile_time *t)
{
	*(unsigned int *)arg |= 1u << t->level;
	return 0;
}

/* A container's limit counts: the bubble and its probe are left out before they would meet it. */
static void test_short_of_memory(void **state)
{
	static const struct {
		const char *max; /* of the cgroup, bytes */
		unsigned int levels;
		int err;
	} row[] = {
		{"400000000\n", 1u | 1u << 4, 0}, /* 384 MiB: 180 of them, and as much again */
		{"212000000\n", 1u, 0},
		{"4096\n", 0, -ENOMEM},
	};
	struct vt_engine *m = fx_engine(dir, "bert-large-tiny", 0);

	for (size_t i = 0; i < VT_COUNT(row); i++) {
		static const struct fake_file files[] = {
			{"proc/meminfo", "MemAvailable: 8000000 kB\n"},
			{"proc/self/cgroup", "0::/\n"},
			{"sys/fs/cgroup/memory.current", "0\n"},
		};
		struct patience p = {.most = 1000};
		struct vt_tune_opts o = options(&p, 1u | 1u << 4);
		struct vt_profile *db = store();
		struct vt_tune_report r;
		struct vt_tuner *t = NULL;
		unsigned int levels = 0;
		struct vt_err e = {0};
		struct fake_tree tree;

		if (o.n_points < 2)
			vt_skip("needs two cores");
		fake_open(&tree, files, VT_COUNT(files));
		fake_write(&tree, "sys/fs/cgroup/memory.max", row[i].max);
		o.root = tree.root;
		assert_int_equal(vt_tuner_open(&t, &o, db, &e), 0);
		assert_int_equal(vt_tuner_lacks(t) == NULL, row[i].levels >> 4);
		assert_int_equal(vt_tune_engine(t, m, &r, &e), row[i].err);
		assert_int_equal(vt_profile_each(db, NULL, note_level, &levels, &e), 0);
		assert_int_equal(levels, row[i].levels);
		vt_tuner_close(t);
		vt_profile_close(db);
		remove_store();
		fake_close(&tree);
	}
	vt_engine_free(m);
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
		cmocka_unit_test(test_stopped_it_runs_nothing),
		cmocka_unit_test(test_store_of_another),
		cmocka_unit_test(test_short_of_memory),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
