// SPDX-License-Identifier: Apache-2.0
#include "profile_fixture.h"

#include <sqlite3.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/rng.h"

/* What kill -9 leaves behind is whole, and goes on. */

/* ---- kill -9 -------------------------------------------------------------------------------- */

#define KILLS  50
#define LAYERS 40

/* Puts round @round of each layer in one go: 3 times that agree, or none. */
static _Noreturn void write_forever(int round)
{
	struct vt_profile *p = NULL;
	static const char *const keep[] = {"a"};

	prctl(PR_SET_PDEATHSIG, SIGKILL); /* or until a test has failed */
	for (int i = 0;; i++) {
		char layer[32];
		struct vt_profile_time t[3];

		if (!p && vt_profile_open(&p, path, VT_PROFILE_WRITE, &here, NULL))
			_exit(1);
		snprintf(layer, sizeof(layer), "layer %d", i % LAYERS);
		for (int k = 0; k < 3; k++)
			t[k] = (struct vt_profile_time){layer,
							"a",
							(uint16_t)(k + 1),
							0,
							(uint64_t)(1 + i + 100000 * round),
							1,
							1,
							false,
							0,
							0};
		if (vt_profile_put(p, t, 3, NULL) || vt_profile_keep(p, layer, keep, 1, NULL))
			_exit(2);
		if (i % 7 == 0) {
			vt_profile_close(p);
			p = NULL;
		}
	}
}

static void kill_writer(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status)); /* and did not fail by itself */
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

struct whole {
	char layer[32];
	uint64_t ns;
	unsigned int n, torn, times;
};

static int check_whole(void *arg, const struct vt_profile_time *t)
{
	struct whole *w = arg;

	w->times++;
	if (strcmp(w->layer, t->layer) != 0) {
		w->torn += w->n % 3 != 0;
		w->n = 0;
		snprintf(w->layer, sizeof(w->layer), "%s", t->layer);
	} else {
		w->torn += t->median_ns != w->ns;
	}
	w->ns = t->median_ns;
	w->n++;
	return 0;
}

static void test_kill(void **state)
{
	struct vt_rng rng = {7};
	unsigned int most = 0;

	for (int i = 0; i < KILLS; i++) {
		enum vt_profile_mode mode = i % 2 ? VT_PROFILE_READ : VT_PROFILE_WRITE;
		struct whole w = {0};
		struct vt_profile *p = NULL;
		struct vt_err e = {0};
		pid_t pid = fork();
		int err;

		assert_true(pid >= 0);
		if (!pid)
			write_forever(i);
		usleep((useconds_t)vt_rng_below(&rng, i < 10 ? 20000 : 150000));
		kill_writer(pid);
		err = vt_profile_open(&p, path, mode, &here, &e);
		/* Killed before there was a store at all: a reader may find none. */
		if (err && mode == VT_PROFILE_READ && !most) {
			assert_true(err == -ENOENT || err == -EINVAL);
			continue;
		}
		if (err || vt_profile_each(p, NULL, check_whole, &w, &e))
			fail_msg("after kill %d: %s", i, e.msg);
		vt_profile_close(p);
		assert_int_equal(w.torn + w.n % 3, 0);
		assert_true(w.times >= most); /* nothing that was durable is gone */
		most = w.times;
	}
	assert_true(most > 0);
}

/* Two writers and a reader at once: nobody fails, nobody sees half a put. */
static void test_at_once(void **state)
{
	pid_t pid[2];

	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (!pid[i])
			write_forever(i);
	}
	for (int looks = 0, tries = 0; looks < 40; tries++) {
		struct whole w = {0};
		struct vt_profile *p = NULL;
		struct vt_err e = {0};
		int err = vt_profile_open(&p, path, VT_PROFILE_READ, &here, &e);

		if (!err && vt_profile_each(p, NULL, check_whole, &w, &e))
			fail_msg("%s", e.msg);
		/* At first there is no file, or an empty one. Once there was a store, there is one. */
		if (err && (looks || tries > 4000))
			fail_msg("after %d looks: %s", looks, e.msg);
		looks += !err;
		vt_profile_close(p);
		assert_int_equal(w.torn + w.n % 3, 0);
		usleep(5000);
	}
	for (int i = 0; i < 2; i++)
		kill_writer(pid[i]);
}

/* Killed between making the file and making its tables: a writer goes on, a reader finds no store. */
static void test_no_tables_yet(void **state)
{
	struct vt_profile *p = NULL;
	struct vt_err e = {0};
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = WAL", NULL, NULL, NULL),
			 SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(vt_profile_open(&p, path, VT_PROFILE_READ, &here, &e), -EINVAL);
	e = (struct vt_err){0};
	assert_int_equal(vt_profile_open(&p, path, VT_PROFILE_WRITE, &here, &e), 0);
	vt_profile_close(p);
	assert_int_equal(vt_profile_open(&p, path, VT_PROFILE_READ, &here, &e), 0);
	vt_profile_close(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_kill, new_path),
		cmocka_unit_test_setup(test_no_tables_yet, new_path),
		cmocka_unit_test_setup(test_at_once, new_path),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
