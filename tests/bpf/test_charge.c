// SPDX-License-Identifier: Apache-2.0
/* test_charge.c - to whom what is counted goes: cuts inside a thread, moves between cgroups, rows and their names. */
#include "tests/bpf/open.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "monitor/names.h"
#include "tests/bpf/workload.h"

static long page;
static char moved_to[256]; /* a cgroup of ours, while there is one */
static struct toucher mover;

static uint64_t count_of(struct vt_monitor *m, uint32_t row)
{
	struct vt_snapshot s = {0};
	uint64_t n;

	assert_int_equal(vt_monitor_read(m, 0, &s), 0);
	n = row < s.rows ? s.total[row].count[0] : 0;
	vt_snapshot_fini(&s);
	return n;
}

static char *fresh_pages(uint64_t n)
{
	char *p = mmap(NULL, n * (size_t)page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	assert_true(p != MAP_FAILED);
	madvise(p, n * (size_t)page, MADV_NOHUGEPAGE);
	return p;
}

/* What the kernel counts itself: a page of code or stack that was taken away faults again. */
static uint64_t own_faults(void)
{
	struct rusage u;

	assert_int_equal(getrusage(RUSAGE_THREAD, &u), 0);
	return (uint64_t)u.ru_minflt + (uint64_t)u.ru_majflt;
}

/* ---- cuts: one thread, three tenants ----------------------------------------------------- */

/* All cuts happen inside one time slice or several: every page must be charged to the right tenant.
 */
static void test_cuts_are_exact_inside_one_thread(void **state)
{
	static const uint64_t plan[][3] = {{1, 10, 100}, {1000, 1, 7}, {0, 5, 3000}};
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.group = VT_BY_TENANT});
	struct vt_worker *w;
	struct vt_err e = {0};
	uint32_t row[3], before[3];
	uint64_t uninvited;
	char name[16];

	for (int t = 0; t < 3; t++) {
		snprintf(name, sizeof(name), "model-%d", t);
		assert_int_equal(vt_monitor_tenant_add(m, (uint64_t)t, name, &row[t], &e), 0);
	}
	assert_int_equal(vt_monitor_worker_add(m, vt_monitor_tid(m), &w, &e), 0);
	assert_int_equal(vt_monitor_cut(m, w, VT_ROW_OTHER), 0);
	for (size_t p = 0; p < VT_COUNT(plan); p++) {
		char *mem = fresh_pages(plan[p][0] + plan[p][1] + plan[p][2]), *at = mem;

		for (int t = 0; t < 3; t++)
			before[t] = (uint32_t)count_of(m, row[t]);
		uninvited = own_faults() + plan[p][0] + plan[p][1] + plan[p][2];
		assert_int_equal(vt_monitor_cut(m, w, row[0]), 0);
		for (int t = 0; t < 3; t++) {
			touch(at, plan[p][t], page);
			at += plan[p][t] * (uint64_t)page;
			vt_monitor_cut(m, w, t < 2 ? row[t + 1] : VT_ROW_OTHER);
		}
		uninvited = own_faults() - uninvited; /* 0, as a rule */
		for (int t = 0; t < 3; t++)
			assert_in_range(count_of(m, row[t]) - before[t], plan[p][t],
					plan[p][t] + uninvited);
		munmap(mem, (plan[p][0] + plan[p][1] + plan[p][2]) * (size_t)page);
	}
	vt_monitor_worker_del(m, w);
	vt_monitor_close(m);
}

/* A plain store moves the whole open slice; after the thread slept, the next slice is exact. */
static void test_publish_without_a_call(void **state)
{
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.group = VT_BY_TENANT});
	struct vt_worker *w;
	struct vt_err e = {0};
	uint32_t a, b;
	char *mem = fresh_pages(300);

	assert_int_equal(vt_monitor_tenant_add(m, 1, "a", &a, &e), 0);
	assert_int_equal(vt_monitor_tenant_add(m, 2, "b", &b, &e), 0);
	assert_int_equal(vt_monitor_tenant_add(m, 2, "again", &b, &e), -EEXIST);
	assert_int_equal(vt_monitor_worker_add(m, vt_monitor_tid(m), &w, &e), 0);
	assert_int_equal(vt_monitor_cut(m, w, a), 0);
	touch(mem, 100, page);
	usleep(2000);
	vt_monitor_publish(w, b);
	touch(mem + 100 * page, 200, page);
	usleep(2000);
	vt_monitor_publish(w, VT_ROW_OTHER);
	assert_true(count_of(m, a) >= 100);
	assert_in_range(count_of(m, b), 200, 210); /* and what usleep itself may have touched */
	vt_monitor_worker_del(m, w);
	munmap(mem, 300 * (size_t)page);
	vt_monitor_close(m);
}

/* ---- cgroups ----------------------------------------------------------------------------- */

/* A process that moves itself: what it touched before belongs to the old cgroup. */
static void test_cgroup_move_cuts(void **state)
{
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.group = VT_BY_CGROUP});
	char root[200], dir[256], procs[288];
	struct vt_err e = {0};
	struct vt_tenant row;
	struct stat st;
	uint64_t faults = 0;

	if (vt_cgroup_mount(NULL, root, sizeof(root), &e)) {
		vt_monitor_close(m);
		vt_skip("%s", e.msg);
	}
	snprintf(dir, sizeof(dir), "%s/vt-move-%d", root, (int)getpid());
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(moved_to, sizeof(moved_to), "%s", dir);
	assert_int_equal(stat(dir, &st), 0);
	assert_true(toucher_start(&mover, 500, procs));
	assert_true(toucher_order(&mover, 500) && toucher_wait(&mover, &faults));
	assert_int_equal(faults, 500);
	usleep(1000);
	assert_int_equal(vt_monitor_find(m, VT_KEY(VT_KIND_CGROUP, st.st_ino), &row), 0);
	assert_memory_equal(row.name, strrchr(dir, '/') + 1, strlen(strrchr(dir, '/')));
	/* After the move it faulted in a stack and a few more pages of its own, never fork's
	 * hundreds. */
	assert_in_range(count_of(m, row.row), 500, 560);
	toucher_stop(&mover);
	assert_int_equal(rmdir(dir), 0);
	moved_to[0] = '\0';
	vt_monitor_close(m);
}

/* A hierarchy of v1 that only this process sees. */
static bool mount_again(const char *dir)
{
	char name[32];

	snprintf(name, sizeof(name), "none,name=vt-%d", (int)getpid());
	return !mount("none", dir, "cgroup", 0, name);
}

/* Returns -1 where the kernel has none. */
static int mount_v1(char *dir)
{
	if (!mkdtemp(dir))
		return -1;
	if (!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	    mount_again(dir))
		return 0;
	rmdir(dir);
	return -1;
}

static bool there_is_v1(void)
{
	char text[4096] = "", name[32];
	FILE *f = fopen("/proc/self/cgroup", "re");

	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	snprintf(name, sizeof(name), "name=vt-%d:", (int)getpid());
	return strstr(text, name);
}

/* The kernel keeps a hierarchy for ever that still had cgroups when it was let go, and those removed go a little later. */
static void unmount_v1(const char *dir)
{
	assert_int_equal(umount(dir), 0);
	for (int i = 1; i <= 500 && there_is_v1(); i++) {
		usleep(10000); /* it goes a little later itself */
		if (i % 100 == 0 && there_is_v1() && mount_again(dir))
			assert_int_equal(umount(dir), 0);
	}
	assert_false(there_is_v1());
	assert_int_equal(rmdir(dir), 0);
}

/* Make and remove cgroups of @v1 until one has had @id: the numbers grow by a few each. */
static bool remove_one_called(const char *v1, uint64_t id)
{
	char dir[64];
	struct stat st = {0};

	snprintf(dir, sizeof(dir), "%s/x", v1);
	while (st.st_ino < id) {
		assert_int_equal(mkdir(dir, 0755), 0);
		assert_int_equal(stat(dir, &st), 0);
		assert_int_equal(rmdir(dir), 0);
	}
	return st.st_ino == id;
}

/** What became of one tenant. */
struct life {
	uint64_t key;	    /* or, of a process that has none yet, its pid */
	unsigned int taken; /* rows */
	unsigned int gone;
};

static void count_life(void *arg, const struct vt_event_record *r)
{
	struct life *l = arg;

	if (r->tenant != l->key &&
	    (vt_key_kind(r->tenant) != VT_KIND_PROCESS || vt_key_id(r->tenant) != l->key))
		return;
	l->taken += r->kind == VT_EVENT_APPEARED;
	l->gone += r->kind == VT_EVENT_GONE;
}

/* In a cgroup that is one of v2, whose number one of v1 has had meanwhile. */
static void run_and_remove(struct vt_monitor *m, const char *dir, const char *v1, bool *done)
{
	char procs[288];
	struct life l = {0};
	uint64_t faults;
	struct stat st;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(moved_to, sizeof(moved_to), "%s", dir);
	assert_int_equal(stat(dir, &st), 0);
	l.key = VT_KEY(VT_KIND_CGROUP, st.st_ino);
	assert_true(toucher_start(&mover, 1, procs));
	assert_true(toucher_order(&mover, 1) && toucher_wait(&mover, &faults));
	*done = remove_one_called(v1, st.st_ino);
	vt_monitor_events(m, count_life, &l);
	assert_int_equal(l.gone, 0);
	toucher_stop(&mover);
	assert_int_equal(rmdir(dir), 0);
	moved_to[0] = '\0';
	vt_monitor_events(m, count_life, &l);
	assert_int_equal(l.gone, 1);
}

static void test_a_cgroup_of_v1_is_another(void **state)
{
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.group = VT_BY_CGROUP});
	char root[200], dir[256], v1[] = "/tmp/vt-v1-XXXXXX";
	struct vt_err e = {0};
	bool done = false;

	if (vt_cgroup_mount(NULL, root, sizeof(root), &e) || mount_v1(v1)) {
		vt_monitor_close(m);
		vt_skip("%s", e.code ? e.msg : "no cgroup v1 here");
	}
	for (int i = 0; i < 64 && !done; i++) {
		snprintf(dir, sizeof(dir), "%s/vt-v1-%d-%d", root, (int)getpid(), i);
		run_and_remove(m, dir, v1, &done);
	}
	unmount_v1(v1);
	assert_true(done);
	vt_monitor_close(m);
}

/* ---- rows -------------------------------------------------------------------------------- */

static uint64_t sum_counts(const struct vt_snapshot *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->rows; i++)
		sum += s->total[i].count[0];
	return sum;
}

static void run_children(int n)
{
	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

/* More tenants than rows: counted, none lost from the sum, and rows come back when the dead are
 * tended. */
static void test_more_tenants_than_rows(void **state)
{
	struct vt_monitor *m =
		open_or_skip((struct vt_monitor_opts){.group = VT_BY_PROCESS, .max_rows = 32});
	struct vt_snapshot s = {0};
	struct vt_err e = {0};
	uint64_t sum;
	uint32_t row;

	run_children(100);
	assert_int_equal(vt_monitor_read(m, 0, &s), 0);
	assert_true(s.loss.rows_full > 0);
	assert_int_equal(vt_monitor_tenant_add(m, 1, "late", &row, &e), -ENOSPC);
	e = (struct vt_err){0};
	assert_int_equal(vt_key_kind(s.total[VT_ROW_OTHER].tenant), VT_KIND_OTHER);
	assert_true(s.total[VT_ROW_OTHER].count[0] > 0);
	sum = sum_counts(&s);
	/* A row is given away a second after its tenant died; on a busy machine others are quick to
	 * take it. */
	for (int i = 0; i < 100; i++) {
		vt_monitor_events(m, NULL, NULL);
		assert_int_equal(vt_monitor_tend(m, &s, &e), 0);
		if (!vt_monitor_tenant_add(m, 1, "late", &row, NULL))
			break;
		usleep(100000);
		assert_int_equal(vt_monitor_read(m, 0, &s), 0);
		assert_true(sum_counts(&s) >= sum); /* sums never go back */
		sum = sum_counts(&s);
	}
	assert_int_equal(vt_monitor_read(m, 0, &s), 0);
	assert_true(s.total[VT_ROW_GONE].count[0] > 0);
	assert_int_equal(vt_monitor_tenant_add(m, 1, "late", &row, &e), -EEXIST);
	vt_snapshot_fini(&s);
	vt_monitor_close(m);
}

static void touch_and_exit(size_t bytes)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(1);
	madvise(p, bytes, MADV_NOHUGEPAGE);
	touch(p, bytes / (size_t)page, page);
	_exit(0);
}

/*
 * A process frees its memory when it has ended already: it must not take a row again, for nobody would take it away.
 * Rows for all that others start meanwhile: of a full table the one that was idle longest is given away, and no end is told.
 */
static void test_a_large_process_has_one_row(void **state)
{
	struct vt_monitor *m =
		open_or_skip((struct vt_monitor_opts){.group = VT_BY_PROCESS, .max_rows = 65536});
	struct vt_snapshot s = {0};
	struct vt_err e = {0};

	for (int n = 0; n < 4; n++) {
		struct life l = {0};
		int left = 100; /* looks after its end */
		pid_t pid = fork();

		if (!pid)
			touch_and_exit((size_t)256 << 20);
		l.key = (uint64_t)pid;
		for (int i = 0; i < 5000 && (left > 0 || !l.gone); i++) {
			assert_int_equal(vt_monitor_read(m, UINT64_MAX, &s), 0);
			vt_monitor_events(m, count_life, &l);
			assert_int_equal(vt_monitor_tend(m, &s, &e), 0);
			usleep(2000);
			left -= left < 100 || waitpid(pid, NULL, WNOHANG) == pid;
		}
		assert_int_equal(l.taken, 1);
		assert_int_equal(l.gone, 1);
	}
	vt_snapshot_fini(&s);
	vt_monitor_close(m);
}

/* ---- names ------------------------------------------------------------------------------- */

/* A program met between fork and exec is named for what it became; a cut in between makes sure. */
static void test_exec_renames(void **state)
{
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.group = VT_BY_PROCESS});
	static const char *const want[] = {"test_charge", "sleep"};
	struct vt_tenant t = {0};
	int go[2];
	pid_t pid;

	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		char c;

		prctl(PR_SET_PDEATHSIG, SIGKILL); /* which exec keeps */
		if (read(go[0], &c, 1) == 1)
			execlp("sleep", "sleep", "100", (char *)NULL);
		_exit(1);
	}
	for (int i = 0; i < 2; i++) {
		for (int try = 0; try < 100 && strcmp(t.name, want[i]); try++) {
			struct vt_snapshot s = {0};

			usleep(20000);
			assert_int_equal(vt_monitor_read(m, 0, &s), 0);
			for (uint32_t r = VT_ROW_FIRST; r < s.rows; r++)
				if (vt_key_kind(s.total[r].tenant) == VT_KIND_PROCESS &&
				    vt_key_id(s.total[r].tenant) == (uint64_t)pid)
					vt_monitor_find(m, s.total[r].tenant, &t);
			vt_snapshot_fini(&s);
		}
		assert_string_equal(t.name, want[i]);
		assert_int_equal(write(go[1], "!", 1), 1);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(go[0]);
	close(go[1]);
	vt_monitor_close(m);
}

static int setup(void **state)
{
	page = sysconf(_SC_PAGESIZE);
	return 0;
}

/* Also after a test that failed. */
static int teardown(void **state)
{
	if (mover.pid > 0)
		toucher_stop(&mover);
	return moved_to[0] ? rmdir(moved_to) : 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts_are_exact_inside_one_thread),
		cmocka_unit_test(test_publish_without_a_call),
		cmocka_unit_test(test_cgroup_move_cuts),
		cmocka_unit_test(test_a_cgroup_of_v1_is_another),
		cmocka_unit_test(test_more_tenants_than_rows),
		cmocka_unit_test(test_a_large_process_has_one_row),
		cmocka_unit_test(test_exec_renames),
	};

	return cmocka_run_group_tests_name("charge", tests, setup, teardown);
}
