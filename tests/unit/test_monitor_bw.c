// SPDX-License-Identifier: Apache-2.0
/* What `veltair monitor` says of bandwidth, from a fake resctrl tree and scripted memory controllers. */
#include "harness.h"
#include "faketree.h"

#include <dirent.h>
#include <linux/perf_event.h>
#include <errno.h>
#include <math.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "cli/monitor_bw.h"

#define IMC	 "sys/bus/event_source/devices/uncore_imc_0/"
#define GONE_FOR 200000 /* us: far longer than two reads take */
#define SECOND	 VT_NS_PER_S

static const struct fake_file machine[] = {
	{"proc/cpuinfo", "\n"},
	{"sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"},
	{IMC "type", "70\n"},
	{IMC "cpumask", "0\n"},
	{IMC "format/event", "config:0-7\n"},
	{IMC "format/umask", "config:8-15\n"},
	{IMC "events/cas_count_read", "event=0x04,umask=0x03\n"},
	{IMC "events/cas_count_write", "event=0x04,umask=0x0c\n"},
	{"r/info/L3_MON/mon_features", "mbm_total_bytes\n"},
	{"r/info/L3_MON/num_rmids", "176\n"},
	{"r/mon_groups", NULL},
	{"cg/a", NULL},
};

/* Reads and writes. */
static struct {
	int fd, fail;
	uint64_t v[3];
} counter[2];
static int opened;

static int fake_event(void *ctx, struct perf_event_attr *attr, int pid, int cpu,
		      unsigned long flags)
{
	assert_true(opened < 2);
	counter[opened].fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return counter[opened++].fd;
}

static int fake_read(void *ctx, int fd, uint64_t ret[3])
{
	for (int i = 0; i < opened; i++) {
		if (counter[i].fd != fd)
			continue;
		memcpy(ret, counter[i].v, sizeof(counter[i].v));
		return counter[i].fail ? counter[i].fail : (int)sizeof(counter[i].v);
	}
	return -EBADF;
}

/* One counter goes on by @n lines in @ms, of which it was on the PMU or not at all. */
static void tick(int i, uint64_t n, uint64_t ms, bool on)
{
	counter[i].v[0] += n;
	counter[i].v[1] += ms * 1000000;
	counter[i].v[2] += on ? ms * 1000000 : 0;
}

static struct fake_tree tree;
static struct vt_bw *bw;

static int setup(void **state)
{
	char sys[96], proc[96], resctrl[96], cgroups[96];
	struct vt_event_env env = {
		.sysfs = sys, .procfs = proc, .open = fake_event, .read = fake_read};

	opened = 0;
	memset(counter, 0, sizeof(counter));
	fake_open(&tree, machine, VT_COUNT(machine));
	snprintf(sys, sizeof(sys), "%s/sys", tree.root);
	snprintf(proc, sizeof(proc), "%s/proc", tree.root);
	snprintf(resctrl, sizeof(resctrl), "%s/r", tree.root);
	snprintf(cgroups, sizeof(cgroups), "%s/cg", tree.root);
	bw = vt_bw_new(resctrl, cgroups, &env);
	assert_non_null(bw);
	assert_string_equal(vt_bw_source(bw), "resctrl MBM; machine: uncore_imc");
	return 0;
}

static int teardown(void **state)
{
	vt_bw_free(bw);
	fake_close(&tree);
	return 0;
}

/* ---- tenants ------------------------------------------------------------------------------ */

/* The one group there is; what the kernel puts in it: a counter, and the file that takes tasks. */
static void fill_group(const char *bytes, const char *tasks)
{
	char path[400], full[480];
	struct dirent *d;
	DIR *dir;

	snprintf(full, sizeof(full), "%s/r/mon_groups", tree.root);
	dir = opendir(full);
	assert_non_null(dir);
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "r/mon_groups/%s/mon_data/mon_L3_00/mbm_total_bytes",
			 d->d_name);
		fake_write(&tree, path, bytes);
		snprintf(full, sizeof(full), "%s/r/mon_groups/%s/tasks", tree.root, d->d_name);
		unlink(full);
		if (tasks)
			assert_int_equal(symlink(tasks, full), 0);
	}
	closedir(dir);
}

static double look(uint64_t key, uint64_t now_ns)
{
	vt_bw_tick(bw, now_ns);
	return vt_bw_tenant(bw, key, vt_key_kind(key) == VT_KIND_CGROUP ? "/a" : NULL);
}

static const uint64_t cgroup = VT_KEY(VT_KIND_CGROUP, 7);

static uint64_t myself(void)
{
	return VT_KEY(VT_KIND_PROCESS, getpid());
}

static void measured(void **state)
{
	const uint64_t keys[] = {cgroup, myself()};
	char tasks[96];

	snprintf(tasks, sizeof(tasks), "%s/tasks", tree.root);
	for (size_t k = 0; k < VT_COUNT(keys); k++) {
		fake_remove(&tree, "r/mon_groups");
		fake_write(&tree, "r/mon_groups", NULL);
		fake_write(&tree, "tasks", "");
		fake_write(&tree, "cg/a/cgroup.threads", "11\n12\n");
		assert_true(isnan(look(keys[k], SECOND))); /* the group's files come only now */
		fill_group("1000\n", tasks);
		assert_true(isnan(look(keys[k], 2 * SECOND)));
		fill_group("5000\n", tasks);
		assert_true(look(keys[k], 4 * SECOND) == 2000);
		/* What has ended in the meantime did move what it moved. */
		fake_write(&tree, "cg/a/cgroup.threads", "");
		fill_group("6000\n", tasks);
		assert_true(look(keys[k], 5 * SECOND) == 1000);
	}
}

/* A group without the tenant's tasks counts nothing: that is not to be told as nothing moved. */
static void refused(void **state)
{
	const uint64_t keys[] = {cgroup, myself()};

	fake_write(&tree, "cg/a/cgroup.threads", "11\n12\n");
	for (size_t k = 0; k < VT_COUNT(keys); k++) {
		fake_remove(&tree, "r/mon_groups");
		fake_write(&tree, "r/mon_groups", NULL);
		assert_true(isnan(look(keys[k], SECOND)));
		for (uint64_t s = 2; s < 6; s++) {
			fill_group("0\n", "/dev/full");
			assert_true(isnan(look(keys[k], s * SECOND)));
		}
	}
}

static int refused_tid, refused_with; /* by write(), which is ours below; 0: none */

/* As the kernel answers for a task that it keeps where it is (EPERM), or that has ended (ESRCH). */
ssize_t write(int fd, const void *buf, size_t len)
{
	char text[16] = "";

	memcpy(text, buf, len < sizeof(text) ? len : sizeof(text) - 1);
	if (refused_tid && atoi(text) == refused_tid) {
		errno = refused_with;
		return -1;
	}
	return syscall(SYS_write, fd, buf, len);
}

/* Some of its threads are in the group and one may not: what the group counts is a part, and is not told as all. */
static void refused_in_part(void **state)
{
	const struct {
		int tid, with; /* refused, and how */
		bool told;
	} t[] = {{11, EPERM, false},
		 {12, EPERM, false},
		 {13, EPERM, false},
		 {12, ESRCH, true},
		 {14, EPERM, true}};
	char tasks[96];

	snprintf(tasks, sizeof(tasks), "%s/tasks", tree.root);
	fake_write(&tree, "tasks", "");
	fake_write(&tree, "cg/a/cgroup.threads", "11\n12\n13\n");
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		const uint64_t from = 20 * i + 1;
		double last = NAN;

		refused_tid = t[i].tid;
		refused_with = t[i].with;
		assert_true(isnan(look(cgroup, from * SECOND)));
		for (uint64_t s = 1; s < 4; s++) {
			fill_group(s % 2 ? "1000\n" : "5000\n", tasks);
			if (s == 3)
				fill_group("9000\n", tasks);
			last = look(cgroup, (from + s) * SECOND);
			assert_true(t[i].told || isnan(last));
		}
		assert_true(isnan(last) == !t[i].told);
		vt_bw_tick(bw, (from + 10) * SECOND); /* forgotten */
		fake_remove(&tree, "r/mon_groups");
		fake_write(&tree, "r/mon_groups", NULL);
	}
	refused_tid = 0;
}

/* One that is refused later than the others: what has been measured by then is the last that is told. */
static void refused_later(void **state)
{
	char tasks[96];

	snprintf(tasks, sizeof(tasks), "%s/tasks", tree.root);
	fake_write(&tree, "tasks", "");
	fake_write(&tree, "cg/a/cgroup.threads", "11\n12\n");
	assert_true(isnan(look(cgroup, SECOND)));
	fill_group("1000\n", tasks);
	assert_true(isnan(look(cgroup, 2 * SECOND)));
	fill_group("3000\n", tasks);
	assert_true(look(cgroup, 3 * SECOND) == 2000);
	fake_write(&tree, "cg/a/cgroup.threads", "11\n12\n13\n");
	refused_tid = 13;
	refused_with = EPERM;
	for (uint64_t s = 4; s < 7; s++) {
		fill_group("9000\n", tasks);
		assert_true(isnan(look(cgroup, s * SECOND)));
	}
	refused_tid = 0;
}

/* Nor does one of a cgroup that nobody is in yet. */
static void nobody_there(void **state)
{
	char tasks[96];

	snprintf(tasks, sizeof(tasks), "%s/tasks", tree.root);
	fake_write(&tree, "tasks", "");
	fake_write(&tree, "cg/a/cgroup.threads", "");
	look(cgroup, SECOND);
	for (uint64_t s = 2; s < 5; s++) {
		fill_group("0\n", tasks);
		assert_true(isnan(look(cgroup, s * SECOND)));
	}
	fake_write(&tree, "cg/a/cgroup.threads", "11\n");
	assert_true(isnan(look(cgroup, 5 * SECOND)));
	fill_group("500\n", tasks);
	assert_true(look(cgroup, 6 * SECOND) == 500);
}

/* Windows may be longer than it takes to forget a tenant that is gone. */
static void long_windows(void **state)
{
	char tasks[96];

	snprintf(tasks, sizeof(tasks), "%s/tasks", tree.root);
	fake_write(&tree, "tasks", "");
	fake_write(&tree, "cg/a/cgroup.threads", "11\n");
	assert_true(isnan(look(cgroup, 10 * SECOND)));
	fill_group("1000\n", tasks);
	assert_true(isnan(look(cgroup, 20 * SECOND)));
	fill_group("21000\n", tasks);
	assert_true(look(cgroup, 30 * SECOND) == 2000);
	vt_bw_tick(bw, 40 * SECOND);
	vt_bw_tick(bw, 50 * SECOND); /* forgotten: it was in neither */
	fill_group("41000\n", tasks);
	assert_true(isnan(look(cgroup, 51 * SECOND)));
}

/* Who found no monitoring id gets one when there is one again. */
static void late_group(void **state)
{
	char tasks[96];

	snprintf(tasks, sizeof(tasks), "%s/tasks", tree.root);
	fake_write(&tree, "tasks", "");
	fake_write(&tree, "cg/a/cgroup.threads", "11\n");
	fake_remove(&tree, "r/mon_groups");
	assert_true(isnan(look(cgroup, SECOND)));
	fake_write(&tree, "r/mon_groups", NULL);
	for (uint64_t s = 2; s < 8; s++)
		assert_true(isnan(look(cgroup, s * SECOND)));
	fill_group("1000\n", tasks);
	assert_true(isnan(look(cgroup, 8 * SECOND)));
	fill_group("3000\n", tasks);
	assert_true(look(cgroup, 9 * SECOND) == 2000);
}

/* ---- the machine -------------------------------------------------------------------------- */

static double read_machine(void)
{
	vt_bw_tick(bw, vt_now_mono_ns());
	return vt_bw_machine(bw);
}

/* What comes late is of both windows, and told over both. */
static void late(void **state)
{
	double rate;

	tick(0, 1000, 10, true);
	tick(1, 1000, 10, true);
	assert_true(isnan(read_machine()));
	usleep(GONE_FOR);
	tick(0, 1000, 10, true);
	tick(1, 0, 10, false);
	assert_true(isnan(read_machine()));
	tick(0, 1000, 10, true);
	tick(1, 1000, 10, true); /* half of the time: 2000 */
	rate = read_machine();
	assert_true(rate > 0 && rate <= 4000 * 64 / (GONE_FOR / 1e6));
}

/* What is lost is not spread over the time in which nothing was known. */
static void lost(void **state)
{
	uint64_t begin;
	double rate;

	tick(0, 1000, 10, true);
	tick(1, 1000, 10, true);
	assert_true(isnan(read_machine()));
	counter[1].fail = -ENODEV;
	assert_true(isnan(read_machine()));
	usleep(GONE_FOR);
	counter[1].fail = 0;
	begin = vt_now_mono_ns();
	assert_true(isnan(read_machine())); /* where it stands now */
	tick(0, 1000, 10, true);
	tick(1, 1000, 10, true);
	rate = read_machine();
	assert_true(rate >= 2000 * 64 * 1e9 / (double)(vt_now_mono_ns() - begin));
}

/* One late, one lost: neither this window nor the next can be told. */
static void late_and_lost(void **state)
{
	tick(0, 1000, 10, true);
	tick(1, 1000, 10, true);
	assert_true(isnan(read_machine()));
	tick(0, 0, 10, false);
	counter[1].fail = -ENODEV;
	assert_true(isnan(read_machine()));
	counter[1].fail = 0;
	tick(0, 0, 10, false);
	assert_true(isnan(read_machine()));
	tick(0, 1000, 10, true);
	assert_true(isnan(read_machine()));
	tick(0, 1000, 10, true);
	tick(1, 1000, 10, true);
	assert_true(read_machine() > 0);
	counter[0].fail = counter[1].fail = -ENODEV;
	assert_true(isnan(read_machine()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(measured, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_in_part, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_later, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(long_windows, setup, teardown),
		cmocka_unit_test_setup_teardown(late_group, setup, teardown),
		cmocka_unit_test_setup_teardown(late, setup, teardown),
		cmocka_unit_test_setup_teardown(lost, setup, teardown),
		cmocka_unit_test_setup_teardown(late_and_lost, setup, teardown),
	};

	return cmocka_run_group_tests_name("monitor_bw", tests, NULL, NULL);
}
