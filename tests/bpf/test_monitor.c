// SPDX-License-Identifier: Apache-2.0
/*
 * test_monitor.c - an instance's life: pins, owners, readers, workers, rows, and what must be
 * refused.
 *
 * Every test that pins uses a directory of its own, so a live instance on this machine is left
 * alone.
 */
#include "tests/unit/harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "loop/explain.h"
#include "monitor/monitor.h"
#include "monitor/names.h"
#include "tests/bpf/workload.h"

static char pin_dir[64];
static long page;

static struct vt_monitor *open_or_skip(struct vt_monitor_opts o)
{
	static struct vt_event_overrides ev;
	struct vt_monitor *m = NULL;
	struct vt_err e = {0};

	ev = (struct vt_event_overrides){0};
	vt_event_override(&ev, "llc_misses=page-faults", &e);
	o.ev = &ev;
	o.roles = o.roles ? o.roles : 1u << VT_ROLE_LLC_MISSES;
	if (vt_monitor_open(&o, &m, &e))
		vt_skip("%s", e.msg);
	return m;
}

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
	struct toucher t = {0};
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
	assert_int_equal(stat(dir, &st), 0);
	assert_true(toucher_start(&t, 500, procs));
	assert_true(toucher_order(&t, 500) && toucher_wait(&t, &faults));
	assert_int_equal(faults, 500);
	usleep(1000);
	assert_int_equal(vt_monitor_find(m, VT_KEY(VT_KIND_CGROUP, st.st_ino), &row), 0);
	assert_memory_equal(row.name, strrchr(dir, '/') + 1, strlen(strrchr(dir, '/')));
	/* After the move it faulted in a stack and a few more pages of its own, never fork's
	 * hundreds. */
	assert_in_range(count_of(m, row.row), 500, 560);
	toucher_stop(&t);
	assert_int_equal(rmdir(dir), 0);
	vt_monitor_close(m);
}

/* ---- pins -------------------------------------------------------------------------------- */

static void test_one_owner_many_readers(void **state)
{
	struct vt_monitor_opts o = {.pin_dir = pin_dir, .group = VT_BY_PROCESS};
	struct vt_monitor *owner = open_or_skip(o), *reader = NULL, *second = NULL;
	struct vt_snapshot s = {0};
	struct vt_err e = {0};

	assert_int_equal(vt_monitor_open(&o, &second, &e), -EBUSY);
	assert_non_null(strstr(e.msg, "living process"));
	e = (struct vt_err){0};
	assert_int_equal(vt_monitor_attach(pin_dir, &reader, &e), 0);
	assert_int_equal(vt_monitor_meta(reader)->owner_pid, getpid());
	assert_string_equal(vt_monitor_slot(reader, 0)->event, "page-faults");
	usleep(20000);
	assert_int_equal(vt_monitor_read(reader, 0, &s), 0);
	assert_true(s.loss.flushes > 0);
	assert_true(s.total[VT_ROW_IDLE].run_ns > 0 || s.rows > VT_ROW_FIRST);
	vt_monitor_close(reader);
	assert_int_equal(access(pin_dir, F_OK), 0);
	assert_int_equal(vt_monitor_attach(pin_dir, &reader, &e), 0);
	vt_monitor_close(owner);
	assert_int_equal(access(pin_dir, F_OK), -1);
	assert_int_equal(vt_monitor_attach(pin_dir, &second, &e), -ENOENT);
	/* One that had attached stops: what it would read from now on is nothing that happened. */
	assert_int_equal(vt_monitor_read(reader, 0, &s), -ESRCH);
	owner = open_or_skip(o);
	assert_int_equal(vt_monitor_read(reader, 0, &s), -ESRCH);
	vt_monitor_close(owner);
	vt_monitor_close(reader);
	vt_snapshot_fini(&s);
}

static void start_and_die(int ready)
{
	struct vt_monitor_opts o = {.pin_dir = pin_dir, .no_events = true};
	struct vt_monitor *m;
	char ok = !vt_monitor_open(&o, &m, NULL);

	if (write(ready, &ok, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/* VT_KILL_RUNS starts and kill -9s; then one start and stop leaves nothing behind. */
static void test_killed_owner_is_cleaned_up(void **state)
{
	const char *env = getenv("VT_KILL_RUNS");
	struct vt_monitor *m =
		open_or_skip((struct vt_monitor_opts){.pin_dir = pin_dir, .no_events = true});
	int runs = env ? atoi(env) : 10, fds[2], before;
	char ok;

	vt_monitor_close(m);
	assert_int_equal(pipe(fds), 0);
	before = dup(0);
	close(before);
	for (int i = 0; i < runs; i++) {
		pid_t pid = fork();

		if (!pid)
			start_and_die(fds[1]);
		assert_int_equal(read(fds[0], &ok, 1), 1);
		assert_int_equal(ok, 1);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_int_equal(access(pin_dir, F_OK),
				 0); /* the maps of the dead are still there */
	}
	m = open_or_skip((struct vt_monitor_opts){.pin_dir = pin_dir, .no_events = true});
	vt_monitor_close(m);
	assert_int_equal(access(pin_dir, F_OK), -1);
	assert_int_equal(dup(0), before); /* no descriptor leaked here either */
	close(before);
	close(fds[0]);
	close(fds[1]);
	fprintf(stderr, "# %d starts and kill -9s, no pin and no descriptor left\n", runs);
}

/* Of @cpu, as bpftool would see them. */
static uint64_t read_errors(uint32_t cpu)
{
	struct vt_cpu c = {0};
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/" VT_ABI_DIR "/cpus", pin_dir);
	fd = bpf_obj_get(path);
	assert_int_equal(bpf_map_lookup_elem(fd, &cpu, &c), 0);
	close(fd);
	return c.read_errors;
}

/* The pinned programs outlive their owner, its events must not: they would keep counters of every CPU. */
static void test_killed_owner_keeps_no_event(void **state)
{
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.pin_dir = pin_dir,
								     .group = VT_BY_PROCESS}),
			  *next;
	struct vt_snapshot s = {0};
	struct vt_err e = {0};
	int go[2], cpu;
	uint64_t before;
	pid_t pid;
	char ok, want[16];

	vt_monitor_close(m);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		m = open_or_skip(
			(struct vt_monitor_opts){.pin_dir = pin_dir, .group = VT_BY_PROCESS});
		if (write(go[1], "!", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(go[0], &ok, 1), 1);
	assert_int_equal(vt_monitor_attach(pin_dir, &m, &e), 0);
	cpu = sched_getcpu();
	assert_int_equal(vt_monitor_cut_cpu(m, (unsigned int)cpu), 0);
	assert_int_equal(vt_monitor_read(m, UINT64_MAX, &s), 0);
	before = read_errors((uint32_t)cpu);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(vt_monitor_cut_cpu(m, (unsigned int)cpu), 0);
	assert_true(read_errors((uint32_t)cpu) > before);
	/* The reader is told, and not fooled by who owns the same directory next. */
	assert_int_equal(vt_monitor_read(m, 0, &s), -ESRCH);
	next = open_or_skip((struct vt_monitor_opts){.pin_dir = pin_dir, .no_events = true});
	assert_int_equal(vt_monitor_read(m, 0, &s), -ESRCH);
	assert_int_equal(vt_monitor_alive(m, &e), -ESRCH);
	snprintf(want, sizeof(want), "%d", (int)pid);
	assert_non_null(strstr(e.msg, want));
	assert_int_equal(vt_monitor_alive(next, NULL), 0);
	vt_monitor_close(next);
	vt_monitor_close(m);
	vt_snapshot_fini(&s);
	close(go[0]);
	close(go[1]);
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

static void test_samples_close_slices(void **state)
{
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.sample_hz = 500});
	uint64_t end = vt_now_mono_ns() + 300 * VT_NS_PER_MS;
	struct vt_snapshot s = {0};

	while (vt_now_mono_ns() < end)
		;
	assert_int_equal(vt_monitor_read(m, UINT64_MAX, &s), 0);
	assert_true(s.loss.samples > 50);
	vt_snapshot_fini(&s);
	vt_monitor_close(m);
}

/* ---- what must be refused ---------------------------------------------------------------- */

static void test_bad_options(void **state)
{
	static const struct {
		struct vt_monitor_opts o;
		const char *event;
		int err;
		const char *text;
	} t[] = {
		{{.max_rows = 3}, NULL, -EINVAL, "16 to 65536"},
		{{.max_rows = 100000}, NULL, -EINVAL, "16 to 65536"},
		{{.cpus = 5000}, NULL, -EINVAL, "5000 CPUs"},
		{{.group = (enum vt_group)7}, NULL, -EINVAL, "no such grouping"},
		{{.pin_dir = "relative/dir"}, NULL, -EINVAL, "absolute path"},
		{{.pin_dir = "/proc/veltair"}, NULL, -ENOTSUP, "no BPF file system"},
		{{0}, "llc_misses=no-such-event", -ENOENT, "no-such-event"},
		{{0}, "llc_misses=nopmu/x/", -ENOENT, "nopmu"},
	};

	if (geteuid() != 0)
		vt_skip("not root");
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_event_overrides ev = {0};
		struct vt_monitor_opts o = t[i].o;
		struct vt_monitor *m = NULL;
		struct vt_err e = {0};

		if (t[i].event)
			assert_int_equal(vt_event_override(&ev, t[i].event, &e), 0);
		o.ev = &ev;
		assert_int_equal(vt_monitor_open(&o, &m, &e), t[i].err);
		assert_non_null(strstr(e.msg, t[i].text));
		assert_null(m);
	}
}

static int setup(void **state)
{
	snprintf(pin_dir, sizeof(pin_dir), "/sys/fs/bpf/vt-test-%d", (int)getpid());
	page = sysconf(_SC_PAGESIZE);
	return 0;
}

/* ---- names ------------------------------------------------------------------------------- */

/* A program met between fork and exec is named for what it became; a cut in between makes sure. */
static void test_exec_renames(void **state)
{
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.group = VT_BY_PROCESS});
	static const char *const want[] = {"test_monitor", "sleep"};
	struct vt_tenant t = {0};
	int go[2];
	pid_t pid;

	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		char c;

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

/* ---- decisions --------------------------------------------------------------------------- */

static struct vt_reason reason_of(uint64_t n)
{
	return (struct vt_reason){.now_ns = 1000 * n,
				  .id = n,
				  .slack_ns = -(int64_t)n,
				  .model = (uint32_t)n,
				  .granted = (uint16_t)n,
				  .kind = VT_START,
				  .sources = 3};
}

static void *decide_on(void *arg)
{
	for (uint64_t n = VT_DECISIONS + 1; n <= 200000; n++) {
		struct vt_reason r = reason_of(n);

		vt_monitor_decided(arg, n, &r, "busy");
	}
	return NULL;
}

static void check_order(const struct vt_decided *d, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		assert_true(!i || d[i].seq > d[i - 1].seq);
		assert_int_equal(d[i].request, d[i].seq);
		assert_int_equal(d[i].mono_ns, 1000 * d[i].seq);
		assert_int_equal(d[i].slack_ns, -(int64_t)d[i].seq);
		assert_int_equal(d[i].model_id, (uint32_t)d[i].seq);
		assert_int_equal(d[i].granted, (uint16_t)d[i].seq);
		assert_string_equal(d[i].action, "start");
		assert_string_equal(d[i].source, "counters+slowdown");
	}
}

/* Another process's view of the ring: bounded, in order, never half of one and half of another. */
static void test_decisions_are_pinned(void **state)
{
	static struct vt_decided got[VT_DECISIONS + 1];
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.pin_dir = pin_dir}), *reader;
	struct vt_reason r = reason_of(1);
	struct vt_err e = {0};
	pthread_t writer;

	assert_int_equal(vt_monitor_attach(pin_dir, &reader, &e), 0);
	assert_int_equal(vt_monitor_decisions(reader, got, VT_DECISIONS), 0);
	vt_monitor_decided(m, 1, &r, "evil \033[31m\n<b>\"\xc2\x9b\xff");
	assert_int_equal(vt_monitor_decisions(reader, got, VT_DECISIONS), 1);
	assert_string_equal(got[0].model, "evil ?[31m?<b>\"??");
	check_order(got, 1);
	for (uint64_t n = 2; n <= VT_DECISIONS; n++) {
		r = reason_of(n);
		vt_monitor_decided(m, n, &r, "x");
	}
	assert_int_equal(vt_monitor_decisions(reader, got, 3), 3);
	assert_int_equal(got[0].seq, VT_DECISIONS - 2);
	assert_int_equal(pthread_create(&writer, NULL, decide_on, m), 0);
	do {
		size_t n = vt_monitor_decisions(reader, got, VT_DECISIONS + 1);

		assert_in_range(n, 0, VT_DECISIONS);
		check_order(got, n);
		/* The writer may lap every read; it ends, and then all is there. */
	} while (pthread_tryjoin_np(writer, NULL));
	assert_int_equal(vt_monitor_decisions(reader, got, VT_DECISIONS + 1), VT_DECISIONS);
	assert_int_equal(got[VT_DECISIONS - 1].seq, 200000);
	check_order(got, VT_DECISIONS);
	vt_monitor_close(reader);
	vt_monitor_close(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts_are_exact_inside_one_thread),
		cmocka_unit_test(test_publish_without_a_call),
		cmocka_unit_test(test_cgroup_move_cuts),
		cmocka_unit_test(test_one_owner_many_readers),
		cmocka_unit_test(test_killed_owner_is_cleaned_up),
		cmocka_unit_test(test_killed_owner_keeps_no_event),
		cmocka_unit_test(test_more_tenants_than_rows),
		cmocka_unit_test(test_samples_close_slices),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_exec_renames),
		cmocka_unit_test(test_decisions_are_pinned),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
