// SPDX-License-Identifier: Apache-2.0
/*
 * test_monitor.c - an instance's life: pins, owners, readers, decisions, and what must be refused.
 *
 * Every test that pins uses a directory of its own, so a live instance on this machine is left
 * alone.
 */
#include "tests/bpf/open.h"

#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <bpf/bpf.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "loop/explain.h"
#include "monitor/impl.h"

static char pin_dir[64];

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

/* Of another's counters it is only known that they are not there; the reason is the owner's to tell, and names no process. */
static void test_reasons_of_what_is_absent(void **state)
{
	struct vt_monitor_opts o = {.pin_dir = pin_dir, .no_events = true};
	struct vt_monitor *owner = open_or_skip(o), *reader = NULL;
	struct vt_err e = {0};

	assert_int_equal(vt_monitor_attach(pin_dir, &reader, &e), 0);
	for (int r = 0; r < VT_ROLE_COUNT; r++) {
		assert_string_equal(vt_monitor_absent(owner, (enum vt_role)r), "not asked for");
		assert_string_equal(vt_monitor_absent(reader, (enum vt_role)r),
				    "the monitor's owner does not count it");
	}
	vt_monitor_tell_absent(reader, owner);
	for (int r = 0; r < VT_ROLE_COUNT; r++)
		assert_string_equal(vt_monitor_absent(reader, (enum vt_role)r), "not asked for");
	vt_monitor_close(reader);
	vt_monitor_close(owner);
}

/* Another process that owns an instance until it is killed: no longer than this one lives. */
static pid_t start_owner(struct vt_monitor_opts o)
{
	int ready[2];
	char ok = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct vt_monitor *m;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ok = !open_counting(o, &m, NULL);
		if (!ok || write(ready[1], &ok, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	close(ready[1]); /* so that its death is the end of what is read */
	assert_int_equal(read(ready[0], &ok, 1), 1);
	close(ready[0]);
	return pid;
}

static void kill_owner(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* VT_MONITOR_KILLS starts and kill -9s; then one start and stop leaves nothing behind. */
static void test_killed_owner_is_cleaned_up(void **state)
{
	const struct vt_monitor_opts o = {.pin_dir = pin_dir, .no_events = true};
	const char *env = getenv("VT_MONITOR_KILLS");
	int runs = env ? atoi(env) : 10, before;

	vt_monitor_close(open_or_skip(o));
	before = dup(0);
	close(before);
	for (int i = 0; i < runs; i++) {
		kill_owner(start_owner(o));
		assert_int_equal(access(pin_dir, F_OK),
				 0); /* the maps of the dead are still there */
	}
	vt_monitor_close(open_or_skip(o));
	assert_int_equal(access(pin_dir, F_OK), -1);
	assert_int_equal(dup(0), before); /* no descriptor leaked here either */
	close(before);
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
	const struct vt_monitor_opts o = {.pin_dir = pin_dir, .group = VT_BY_PROCESS};
	struct vt_monitor *m = open_or_skip(o), *next;
	struct vt_snapshot s = {0};
	struct vt_err e = {0};
	uint64_t before;
	char want[16];
	pid_t pid;
	int cpu;

	vt_monitor_close(m);
	pid = start_owner(o);
	assert_int_equal(vt_monitor_attach(pin_dir, &m, &e), 0);
	cpu = sched_getcpu();
	assert_int_equal(vt_monitor_cut_cpu(m, (unsigned int)cpu), 0);
	assert_int_equal(vt_monitor_read(m, UINT64_MAX, &s), 0);
	before = read_errors((uint32_t)cpu);
	kill_owner(pid);
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
}

/* Change the ABI that an instance's pins say they have. */
static void say_abi(uint32_t abi)
{
	uint32_t zero = 0;
	struct vt_meta meta;
	char path[96];
	int fd;

	snprintf(path, sizeof(path), "%s/" VT_ABI_DIR "/meta", pin_dir);
	fd = bpf_obj_get(path);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &meta), 0);
	meta.abi = abi;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &meta, BPF_ANY), 0);
	close(fd);
}

/* Nobody reads counters whose layout it does not know; who owns the directory next removes what others left there. */
static void test_pins_of_another_abi(void **state)
{
	static const char *const other[] = {"v1", "v9", "v10"};
	const struct vt_monitor_opts o = {.pin_dir = pin_dir, .no_events = true};
	struct vt_monitor *m = open_or_skip(o), *reader = NULL;
	struct vt_err e = {0};
	char path[96], want[64];

	say_abi(VT_ABI_VERSION + 1);
	assert_int_equal(vt_monitor_attach(pin_dir, &reader, &e), -ENOTSUP);
	snprintf(want, sizeof(want), "ABI %d, this program knows %d", VT_ABI_VERSION + 1,
		 VT_ABI_VERSION);
	assert_non_null(strstr(e.msg, want));
	assert_null(reader);
	say_abi(VT_ABI_VERSION);
	assert_int_equal(vt_monitor_attach(pin_dir, &reader, &e), 0);
	for (size_t i = 0; i < VT_COUNT(other); i++) {
		snprintf(path, sizeof(path), "%s/%s", pin_dir, other[i]);
		assert_int_equal(mkdir(path, 0700), 0);
		snprintf(path, sizeof(path), "%s/%s/meta", pin_dir, other[i]);
		assert_int_equal(bpf_obj_pin(reader->fd_tenants, path), 0);
	}
	vt_monitor_close(reader);
	vt_monitor_close(m); /* its own, no other's */
	assert_int_equal(access(path, F_OK), 0);
	m = open_or_skip(o);
	for (size_t i = 0; i < VT_COUNT(other); i++) {
		snprintf(path, sizeof(path), "%s/%s", pin_dir, other[i]);
		assert_int_equal(access(path, F_OK), -1);
	}
	vt_monitor_close(m);
	assert_int_equal(access(pin_dir, F_OK), -1);
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
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	return remove(path);
}

/* What a test that failed has left pinned. */
static int teardown(void **state)
{
	return access(pin_dir, F_OK) ? 0 : nftw(pin_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
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
		cmocka_unit_test(test_one_owner_many_readers),
		cmocka_unit_test(test_reasons_of_what_is_absent),
		cmocka_unit_test(test_killed_owner_is_cleaned_up),
		cmocka_unit_test(test_killed_owner_keeps_no_event),
		cmocka_unit_test(test_pins_of_another_abi),
		cmocka_unit_test(test_samples_close_slices),
		cmocka_unit_test(test_bad_options),
		cmocka_unit_test(test_decisions_are_pinned),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
