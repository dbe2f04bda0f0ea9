// SPDX-License-Identifier: Apache-2.0
/* Memory bandwidth per socket from a fake sysfs and scripted counters. */
#include "harness.h"
#include "faketree.h"

#include <linux/perf_event.h>

#include "monitor/uncore.h"

#define PMU    "sys/bus/event_source/devices/"
#define CPU(n) "sys/devices/system/cpu/cpu" #n "/topology/physical_package_id"
#define IMC(n, t)                                                                                  \
	{PMU "uncore_imc_" #n "/type", t}, {PMU "uncore_imc_" #n "/cpumask", "0,28\n"},            \
		{PMU "uncore_imc_" #n "/format/event", "config:0-7\n"},                            \
		{PMU "uncore_imc_" #n "/format/umask", "config:8-15\n"},                           \
		{PMU "uncore_imc_" #n "/events/cas_count_read", "event=0x04,umask=0x03\n"},        \
		{PMU "uncore_imc_" #n "/events/cas_count_read.scale", "6.103515625e-5\n"},         \
		{PMU "uncore_imc_" #n "/events/cas_count_read.unit", "MiB\n"},                     \
		{PMU "uncore_imc_" #n "/events/cas_count_write", "event=0x04,umask=0x0c\n"},       \
		{PMU "uncore_imc_" #n "/events/cas_count_write.scale", "6.103515625e-5\n"},        \
	{                                                                                          \
		PMU "uncore_imc_" #n "/events/cas_count_write.unit", "MiB\n"                       \
	}

static const struct fake_file intel[] = {
	{CPU(0), "0\n"},
	{CPU(28), "1\n"},
	IMC(0, "70\n"),
	IMC(1, "71\n"),
	/* must not be added to the controllers' own counts */
	{PMU "uncore_imc_free_running_0/type", "90\n"},
};
static const struct fake_file amd[] = {
	{CPU(0), "0\n"},
	{PMU "amd_df/type", "12\n"},
	{PMU "amd_df/cpumask", "0\n"},
	{PMU "amd_df/format/event", "config:0-7,32-35,59-60\n"},
	{PMU "amd_df/format/umask", "config:8-15\n"},
};
static const struct fake_file amd_umc[] = {
	{CPU(0), "0\n"},
	{PMU "amd_df/type", "12\n"},
	{PMU "amd_df/format/event", "config:0-7,32-37\n"},
	{PMU "amd_df/format/umask", "config:8-15,24-27\n"},
	{PMU "amd_umc_0/type", "30\n"},
	{PMU "amd_umc_0/cpumask", "0\n"},
	{PMU "amd_umc_0/format/event", "config:0-7\n"},
	{PMU "amd_umc_0/format/rdwrmask", "config:8-9\n"},
};
static const struct fake_file none[] = {{PMU "cpu/type", "4\n"}};

/* One counter per open event, in the order of opening. */
#define MAX_COUNTERS 64
struct fake_counter {
	uint32_t type;
	uint64_t config;
	int cpu, fd;
	uint64_t v[3];
	int fail; /* what reading it returns, if not 0 */
};

static struct {
	struct fake_counter c[MAX_COUNTERS];
	int n, open_error;
} kernel;

static int fake_open_event(void *ctx, struct perf_event_attr *attr, int pid, int cpu,
			   unsigned long flags)
{
	struct fake_counter *c = &kernel.c[kernel.n];

	if (kernel.open_error)
		return kernel.open_error;
	assert_int_equal(pid, -1);
	assert_true(kernel.n < MAX_COUNTERS);
	*c = (struct fake_counter){.type = attr->type, .config = attr->config, .cpu = cpu};
	c->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	kernel.n++;
	return c->fd;
}

static int fake_read_event(void *ctx, int fd, uint64_t ret[3])
{
	for (int i = 0; i < kernel.n; i++) {
		if (kernel.c[i].fd != fd)
			continue;
		if (kernel.c[i].fail)
			return kernel.c[i].fail < 0 ? kernel.c[i].fail : 0;
		memcpy(ret, kernel.c[i].v, sizeof(kernel.c[i].v));
		return sizeof(kernel.c[i].v);
	}
	return -EBADF;
}

static struct fake_tree tree;
static char sysfs[96];
static struct vt_event_env env = {.open = fake_open_event, .read = fake_read_event};

static void machine(const struct fake_file *files, size_t n)
{
	memset(&kernel, 0, sizeof(kernel));
	fake_open(&tree, files, n);
	snprintf(sysfs, sizeof(sysfs), "%s/sys", tree.root);
	env.sysfs = sysfs;
}

/* Advance a counter by @n in @ms, of which it ran @part hundredths. */
static void tick(int i, uint64_t n, uint64_t ms, uint64_t part)
{
	kernel.c[i].v[0] += n;
	kernel.c[i].v[1] += ms * 1000000;
	kernel.c[i].v[2] += ms * 10000 * part;
}

static void intel_two_sockets(void **state)
{
	struct vt_uncore_sample s;
	struct vt_uncore *u = NULL;
	struct vt_err e = {0};

	machine(intel, VT_COUNT(intel));
	if (vt_uncore_open(&env, VT_CPU_ICX, &u, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(kernel.n, 8); /* 2 controllers x 2 sockets x read, write */
	assert_string_equal(vt_uncore_source(u), "uncore_imc");
	for (int i = 0; i < 8; i++) {
		assert_int_equal(kernel.c[i].type, i % 4 < 2 ? 70 : 71);
		assert_int_equal(kernel.c[i].config, i < 4 ? 0x304 : 0xc04);
		assert_int_equal(kernel.c[i].cpu, i % 2 ? 28 : 0);
		tick(i, (uint64_t)(1000 + i), 10, 100);
	}
	assert_int_equal(vt_uncore_read(u, &s, &e), 0);
	assert_int_equal(s.sockets, 2);
	assert_int_equal(s.socket[0].read_bytes, 64 * (1000 + 1002));
	assert_int_equal(s.socket[1].read_bytes, 64 * (1001 + 1003));
	assert_int_equal(s.socket[0].write_bytes, 64 * (1004 + 1006));
	assert_int_equal(s.socket[1].write_bytes, 64 * (1005 + 1007));
	assert_int_equal(vt_uncore_bytes(&s.socket[1]), 64 * (1001 + 1003 + 1005 + 1007));
	assert_true(s.socket[0].split && !s.socket[0].lost && s.socket[0].counters == 4);

	/* one controller is multiplexed and counted half of the time: twice as much happened */
	for (int i = 0; i < 8; i++)
		tick(i, 500, 10, i == 2 ? 50 : 100);
	assert_int_equal(vt_uncore_read(u, &s, &e), 0);
	assert_int_equal(s.socket[0].read_bytes, 64 * (1000 + 1002 + 500 + 2 * 500));

	/* not at all in this window: too low, and said so; made good by the next */
	for (int i = 0; i < 8; i++)
		tick(i, i == 2 ? 0 : 500, 10, i == 2 ? 0 : 100);
	assert_int_equal(vt_uncore_read(u, &s, &e), 0);
	assert_int_equal(s.socket[0].lost, 1);
	assert_int_equal(s.socket[0].late, 1);
	assert_int_equal(s.socket[1].lost, 0);
	for (int i = 0; i < 8; i++)
		tick(i, 500, 10, 100);
	assert_int_equal(vt_uncore_read(u, &s, &e), 0);
	assert_int_equal(s.socket[0].read_bytes,
			 64 * (1000 + 1002 + 500 + 2 * 500 + 500 + 500 + 2 * 500));
	vt_uncore_close(u);
	fake_close(&tree);
}

static void counters_that_vanish(void **state)
{
	struct vt_uncore_sample s;
	struct vt_uncore *u = NULL;

	machine(intel, VT_COUNT(intel));
	assert_int_equal(vt_uncore_open(&env, VT_CPU_ICX, &u, NULL), 0);
	for (int i = 0; i < 8; i++)
		tick(i, 100, 10, 100);
	assert_int_equal(vt_uncore_read(u, &s, NULL), 0);
	kernel.c[1].fail = -ENODEV; /* socket 1's CPU went offline */
	kernel.c[3].fail = 1;	    /* in error state: end of file */
	for (int i = 0; i < 8; i++)
		tick(i, 100, 10, 100);
	assert_int_equal(vt_uncore_read(u, &s, NULL), 0);
	assert_int_equal(s.socket[1].lost, 2);
	assert_int_equal(s.socket[1].late, 0);		    /* for good */
	assert_int_equal(s.socket[1].read_bytes, 64 * 200); /* what was known before stays */
	/* back, from zero: the first answer is a baseline, never a difference */
	kernel.c[1].fail = kernel.c[3].fail = 0;
	memset(kernel.c[1].v, 0, sizeof(kernel.c[1].v));
	assert_int_equal(vt_uncore_read(u, &s, NULL), 0);
	assert_int_equal(s.socket[1].read_bytes, 64 * 200);
	tick(1, 11, 10, 100);
	assert_int_equal(vt_uncore_read(u, &s, NULL), 0);
	assert_int_equal(s.socket[1].read_bytes, 64 * 211);
	/* a counter that steps back without having been away */
	kernel.c[0].v[0] = 3;
	assert_int_equal(vt_uncore_read(u, &s, NULL), 0);
	assert_int_equal(s.socket[0].lost, 1);
	for (int i = 0; i < 8; i++)
		kernel.c[i].fail = -ENODEV;
	assert_int_equal(vt_uncore_read(u, &s, NULL), -ENODATA);
	vt_uncore_close(u);
	fake_close(&tree);
}

static void amd_fabric(void **state)
{
	/* bits 8-11 of the event lie in 32-35 */
	static const uint64_t zen[8] = {0x3807,	     0x3847,	  0x3887,      0x38c7,
					0x100003807, 0x100003847, 0x100003887, 0x1000038c7};
	struct vt_uncore_sample s;
	struct vt_uncore *u = NULL;

	machine(amd, VT_COUNT(amd));
	assert_int_equal(vt_uncore_open(&env, VT_CPU_ZEN3, &u, NULL), 0);
	assert_int_equal(kernel.n, 8);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(kernel.c[i].config, zen[i]);
		tick(i, 1000, 10, 50); /* eight events on four counters */
	}
	assert_int_equal(vt_uncore_read(u, &s, NULL), 0);
	assert_int_equal(s.socket[0].both_bytes, 8 * 2 * 1000 * 64);
	assert_false(s.socket[0].split);
	vt_uncore_close(u);
	/* which events an unknown part's fabric has is not known */
	assert_int_equal(vt_uncore_open(&env, VT_CPU_UNKNOWN, &u, NULL), -ENOTSUP);
	fake_close(&tree);
}

static void amd_controllers_before_fabric(void **state)
{
	struct vt_uncore *u = NULL;

	machine(amd_umc, VT_COUNT(amd_umc));
	assert_int_equal(vt_uncore_open(&env, VT_CPU_ZEN4, &u, NULL), 0);
	assert_string_equal(vt_uncore_source(u), "amd_umc");
	assert_int_equal(kernel.n, 2);
	assert_int_equal(kernel.c[0].config, 0x10a);
	assert_int_equal(kernel.c[1].config, 0x20a);
	vt_uncore_close(u);
	fake_remove(&tree, PMU "amd_umc_0");
	kernel.n = 0;
	assert_int_equal(vt_uncore_open(&env, VT_CPU_ZEN4, &u, NULL), 0);
	assert_string_equal(vt_uncore_source(u), "amd_df");
	assert_int_equal(kernel.n, 48);
	assert_int_equal(kernel.c[0].config,
			 0x700fe1f); /* umask 0x7fe: its upper bits from 24 on */
	assert_int_equal(kernel.c[23].config, 0x20700ffdf); /* event 0x2df */
	assert_int_equal(kernel.c[24].config, 0xb00fe1f);   /* the other socket's */
	assert_int_equal(kernel.c[47].config, 0x20b00ffdf);
	vt_uncore_close(u);
	kernel.n = 0;
	assert_int_equal(vt_uncore_open(&env, VT_CPU_ZEN5, &u, NULL), 0);
	assert_int_equal(kernel.n, 24);
	assert_int_equal(kernel.c[0].config, 0xf00fe1f);
	assert_int_equal(kernel.c[23].config, 0x20f00ffdf);
	vt_uncore_close(u);
	fake_close(&tree);
}

static void nothing_to_count_with(void **state)
{
	struct vt_uncore *u = NULL;
	struct vt_err e = {0};

	machine(none, VT_COUNT(none));
	assert_int_equal(vt_uncore_open(&env, VT_CPU_SPR, &u, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "virtual machines have none"));
	fake_close(&tree);
	machine(intel, VT_COUNT(intel));
	kernel.open_error = -EACCES;
	e = (struct vt_err){0};
	assert_int_equal(vt_uncore_open(&env, VT_CPU_SPR, &u, &e), -EACCES);
	assert_non_null(strstr(e.msg, "CAP_PERFMON"));
	assert_null(u);
	fake_close(&tree);
}

static void share_of_peak(void **state)
{
	static const struct {
		uint64_t bytes, dt_ns, peak, ppm;
	} rows[] = {
		{1000000, 1000000, 10000000000, 100000}, /* 1 GB/s of 10 */
		{0, 1000000, 10000000000, 0},
		{12000000, 1000000, 10000000000, 1200000}, /* a wrong peak shows */
		{1000, 0, 10, 0},
		{1000, 10, 0, 0},
		{1ull << 60, 1000000000000000, 1ull << 50, 1024},
	};

	for (size_t i = 0; i < VT_COUNT(rows); i++)
		assert_int_equal(vt_bandwidth_share_ppm(rows[i].bytes, rows[i].dt_ns, rows[i].peak),
				 rows[i].ppm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intel_two_sockets),
		cmocka_unit_test(counters_that_vanish),
		cmocka_unit_test(amd_fabric),
		cmocka_unit_test(amd_controllers_before_fabric),
		cmocka_unit_test(nothing_to_count_with),
		cmocka_unit_test(share_of_peak),
	};

	return cmocka_run_group_tests_name("uncore", tests, NULL, NULL);
}
