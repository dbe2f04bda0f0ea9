// SPDX-License-Identifier: Apache-2.0
/* Events: CPU families, aliases in a fake sysfs, names, overrides, and the order of candidates. */
#include "harness.h"
#include "faketree.h"

#include <linux/perf_event.h>
#include <sys/mman.h>

#include "events/events.h"
#include "events/sysfs_pmu.h"

#define PMU "sys/bus/event_source/devices/"

static const struct fake_file machine[] = {
	{PMU "cpu/type", "4\n"},
	{PMU "cpu/format/event", "config:0-7\n"},
	{PMU "cpu/format/umask", "config:8-15\n"},
	{PMU "cpu/format/inv", "config:23\n"},
	{PMU "cpu/format/offcore_rsp", "config1:0-63\n"},
	{PMU "cpu/format/broken", "config9:0-7\n"},
	{PMU "cpu/format/reversed", "config:9-3\n"},
	{PMU "cpu/events/cache-misses", "event=0x2e,umask=0x41\n"},
	{PMU "cpu/events/mem-loads", "event=0xcd,umask=0x1,ldlat=?\n"},
	{PMU "cpu/events/loop", "loop\n"},
	{PMU "amd_df/type", "12\n"},
	{PMU "amd_df/cpumask", "0,32\n"},
	{PMU "amd_df/format/event", "config:0-7,32-35,59-60\n"},
	{PMU "amd_df/format/umask", "config:8-15\n"},
	{PMU "uncore_imc_0/type", "77\n"},
	{PMU "uncore_imc_0/format/event", "config:0-7\n"},
	{PMU "uncore_imc_0/format/umask", "config:8-15\n"},
	{PMU "uncore_imc_0/events/cas_count_read", "event=0x04,umask=0x03\n"},
	{PMU "uncore_imc_0/events/cas_count_read.scale", "6.103515625e-5\n"},
	{PMU "uncore_imc_0/events/cas_count_read.unit", "MiB\n"},
	{PMU "uncore_imc_2/type", "79\n"},
	{PMU "uncore_imc_10/type", "80\n"},
	{PMU "uncore_imc_free_running_0/type", "81\n"},
	{PMU "sick/type", "many\n"},
	{PMU "msr/type", "10\n"},
	{PMU "msr/format/event", "config:0-63\n"},
	{PMU "msr/events/tsc", "event=0x00\n"},
	{"proc/sys/kernel/perf_event_paranoid", "3\n"},
};

static struct fake_tree tree;
static char sysfs[96], procfs[96];

static int setup(void **state)
{
	fake_open(&tree, machine, VT_COUNT(machine));
	snprintf(sysfs, sizeof(sysfs), "%s/sys", tree.root);
	snprintf(procfs, sizeof(procfs), "%s/proc", tree.root);
	return 0;
}

static int teardown(void **state)
{
	fake_close(&tree);
	return 0;
}

/* ---- CPU families ------------------------------------------------------------------------ */

#define X86(vendor, family, model, step)                                                           \
	"processor\t: 0\nvendor_id\t: " vendor "\ncpu family\t: " family "\nmodel\t\t: " model     \
	"\nmodel name\t: any 85 name\nstepping\t: " step "\n\nprocessor\t: 1\nmodel\t\t: 1\n"
#define ARM(part) "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: " part "\n\n"

static void families(void **state)
{
	static const struct {
		const char *cpuinfo;
		enum vt_cpu_family is;
	} rows[] = {
		{X86("GenuineIntel", "6", "85", "4"), VT_CPU_SKX},
		{X86("GenuineIntel", "6", "85", "7"), VT_CPU_CLX},
		{X86("GenuineIntel", "6", "85", "11"), VT_CPU_CLX},
		{X86("GenuineIntel", "6", "106", "6"), VT_CPU_ICX},
		{X86("GenuineIntel", "6", "143", "8"), VT_CPU_SPR},
		{X86("GenuineIntel", "6", "207", "2"), VT_CPU_SPR},
		{X86("GenuineIntel", "6", "26", "3"), VT_CPU_UNKNOWN},
		{X86("GenuineIntel", "15", "85", "4"), VT_CPU_UNKNOWN},
		{X86("AuthenticAMD", "23", "1", "2"), VT_CPU_ZEN1},
		{X86("AuthenticAMD", "23", "49", "0"), VT_CPU_ZEN2},
		{X86("AuthenticAMD", "25", "1", "1"), VT_CPU_ZEN3},
		{X86("AuthenticAMD", "25", "17", "1"), VT_CPU_ZEN4},
		{X86("AuthenticAMD", "25", "97", "2"), VT_CPU_ZEN4},
		{X86("AuthenticAMD", "26", "2", "1"), VT_CPU_ZEN5},
		{X86("AuthenticAMD", "26", "68", "0"), VT_CPU_ZEN5},
		{X86("AuthenticAMD", "26", "80", "0"), VT_CPU_UNKNOWN}, /* the core after it */
		{ARM("0xd0c"), VT_CPU_NEOVERSE_N1},
		{ARM("0xd40"), VT_CPU_NEOVERSE_V1},
		{ARM("0xd4f"), VT_CPU_UNKNOWN},
		{"", VT_CPU_UNKNOWN},
	};
	struct vt_event_env env = {.procfs = procfs};
	enum vt_cpu_family got;
	struct vt_err e = {0};

	assert_int_equal(vt_cpu_family_detect(&env, &got, &e), -ENOENT);
	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		fake_write(&tree, "proc/cpuinfo", rows[i].cpuinfo);
		assert_int_equal(vt_cpu_family_detect(&env, &got, NULL), 0);
		if (got != rows[i].is)
			fail_msg("row %zu: %s, not %s", i, vt_cpu_family_name(got),
				 vt_cpu_family_name(rows[i].is));
	}
}

/* ---- names ------------------------------------------------------------------------------- */

static void names(void **state)
{
	static const struct {
		const char *text;
		int err;
		uint32_t type;
		uint64_t config, config1;
		enum vt_event_class cls;
		const char *says; /* part of the error */
	} rows[] = {
		{"cpu/cache-misses/", 0, 4, 0x412e, 0, VT_CLASS_HW, NULL},
		{"cpu/cache-misses,umask=0x4f/", 0, 4, 0x4f2e, 0, VT_CLASS_HW, NULL},
		{"cpu/event=0xb7,umask=1,offcore_rsp=0x73c000477/", 0, 4, 0x1b7, 0x73c000477,
		 VT_CLASS_HW, NULL},
		{"cpu/event=0x2e,inv/", 0, 4, 0x80002e, 0, VT_CLASS_HW, NULL},
		{"cpu/config=0xffffffffffffffff,umask=0/", 0, 4, 0xffffffffffff00ff, 0, VT_CLASS_HW,
		 NULL},
		{"amd_df/event=0x1c7,umask=0x38/", 0, 12, 0x1000038c7, 0, VT_CLASS_HW, NULL},
		{"amd_df/event=0x3fff/", 0, 12, 0x1800000f000000ff, 0, VT_CLASS_HW, NULL},
		{"msr/tsc/", 0, 10, 0, 0, VT_CLASS_SW, NULL},
		{"r1ff1", 0, PERF_TYPE_RAW, 0x1ff1, 0, VT_CLASS_HW, NULL},
		{"rFFFFFFFFFFFFFFFF", 0, PERF_TYPE_RAW, ~0ull, 0, VT_CLASS_HW, NULL},
		{"cache-misses", 0, PERF_TYPE_HARDWARE, 3, 0, VT_CLASS_HW, NULL},
		{"LLC-loads", 0, PERF_TYPE_HW_CACHE, 0x2, 0, VT_CLASS_HW, NULL},
		{"LLC-load-misses", 0, PERF_TYPE_HW_CACHE, 0x10002, 0, VT_CLASS_HW, NULL},
		{"page-faults", 0, PERF_TYPE_SOFTWARE, 2, 0, VT_CLASS_SW, NULL},
		{"page-faults:u", 0, PERF_TYPE_SOFTWARE, 2, 0, VT_CLASS_SW, NULL},
		{"", -EINVAL, 0, 0, 0, 0, "empty"},
		{"r", -ENOENT, 0, 0, 0, 0, "libpfm4"},
		{"no_such_event_at_all", -ENOENT, 0, 0, 0, 0, "no_such_event_at_all"},
		{"gpu/cache-misses/", -ENOENT, 0, 0, 0, 0, "no PMU 'gpu'"},
		{"cpu/cache-missus/", -ENOENT, 0, 0, 0, 0, "no event or term 'cache-missus'"},
		{"cpu/evnt=0x2e/", -ENOENT, 0, 0, 0, 0, "no term 'evnt'"},
		{"cpu/event=0x12e/", -ERANGE, 0, 0, 0, 0, "too narrow"},
		{"amd_df/event=0x4000/", -ERANGE, 0, 0, 0, 0, "too narrow"},
		{"cpu/event=banana/", -EINVAL, 0, 0, 0, 0, "no number"},
		{"cpu/event=-1/", -EINVAL, 0, 0, 0, 0, "no number"},
		{"cpu/mem-loads/", -EINVAL, 0, 0, 0, 0, "needs a value"},
		{"cpu/loop/", -EINVAL, 0, 0, 0, 0, "nest"},
		{"cpu/broken=1/", -EINVAL, 0, 0, 0, 0, "not understood"},
		{"cpu/reversed=1/", -EINVAL, 0, 0, 0, 0, "not understood"},
		{"cpu/", -EINVAL, 0, 0, 0, 0, "PMU/EVENT/"},
		{"cpu//", -EINVAL, 0, 0, 0, 0, "PMU/EVENT/"},
		{"cpu/cache-misses", -EINVAL, 0, 0, 0, 0, "PMU/EVENT/"},
		{"cpu/cache-misses/x", -EINVAL, 0, 0, 0, 0, "modifier"},
		{"../cpu/cache-misses/", -EINVAL, 0, 0, 0, 0, "no PMU name"},
		{"cpu/../", -EINVAL, 0, 0, 0, 0, "no event term"},
		{"sick/x/", -EINVAL, 0, 0, 0, 0, "type 'many'"},
	};
	struct vt_event_env env = {.sysfs = sysfs, .procfs = procfs};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_event ev = {.type = 99};
		struct vt_err e = {0};
		int err = vt_event_parse(&env, rows[i].text, &ev, &e);

		if (err != rows[i].err)
			fail_msg("'%s': %d (%s), not %d", rows[i].text, err, e.msg, rows[i].err);
		if (err) {
			if (!strstr(e.msg, rows[i].says))
				fail_msg("'%s': '%s' does not say '%s'", rows[i].text, e.msg,
					 rows[i].says);
			assert_int_equal(ev.type, 99); /* untouched on failure */
			continue;
		}
		if (ev.type != rows[i].type || ev.config != rows[i].config ||
		    ev.config1 != rows[i].config1 || ev.cls != rows[i].cls)
			fail_msg("'%s': %u %#llx %#llx %s", rows[i].text, ev.type,
				 (unsigned long long)ev.config, (unsigned long long)ev.config1,
				 vt_event_class_name(ev.cls));
		assert_int_equal(ev.quality, VT_QUALITY_USER);
		assert_string_equal(ev.name, rows[i].text);
	}
}

static void units_and_modifiers(void **state)
{
	struct vt_event_env env = {.sysfs = sysfs};
	struct vt_event ev;

	assert_int_equal(vt_event_parse(&env, "uncore_imc_0/cas_count_read/", &ev, NULL), 0);
	assert_int_equal(ev.config, 0x304);
	assert_string_equal(ev.unit, "MiB");
	assert_true(ev.scale * 16384 == 1.0); /* one CAS is 64 bytes */
	assert_int_equal(vt_event_parse(&env, "cpu/cache-misses/u", &ev, NULL), 0);
	assert_true(ev.exclude_kernel && !ev.exclude_user && ev.scale == 1 && !ev.unit[0]);
	assert_int_equal(vt_event_parse(&env, "cycles:k", &ev, NULL), 0);
	assert_true(ev.exclude_user && !ev.exclude_kernel);
	assert_int_equal(vt_event_parse(&env, "cycles:uk", &ev, NULL), 0);
	assert_true(!ev.exclude_user && !ev.exclude_kernel);
}

static int append_name(void *ctx, const char *pmu)
{
	strcat(strcat(ctx, pmu), " ");
	return 0;
}

static void pmu_list(void **state)
{
	char seen[256] = "";
	struct vt_cpuset mask;

	memset(&mask, 0, sizeof(mask));
	assert_int_equal(vt_sysfs_pmu_list(sysfs, "uncore_imc", append_name, seen), 3);
	assert_string_equal(seen, "uncore_imc_0 uncore_imc_2 uncore_imc_10 ");
	assert_int_equal(vt_sysfs_pmu_list(sysfs, "nothing", append_name, seen), 0);
	assert_int_equal(vt_sysfs_pmu_list("/nowhere", "x", append_name, seen), -ENOENT);
	assert_int_equal(vt_sysfs_pmu_cpumask(sysfs, "amd_df", &mask), 0);
	assert_true(vt_cpuset_has(&mask, 0) && vt_cpuset_has(&mask, 32));
	assert_int_equal(vt_cpuset_count(&mask), 2);
	assert_int_equal(vt_sysfs_pmu_cpumask(sysfs, "cpu", &mask), -ENOENT);
}

static void overrides(void **state)
{
	static const struct {
		const char *arg;
		int err;
	} rows[] = {
		{"llc_misses=r412e", 0},       {"llc-refs=cpu/event=0x2e,umask=0x4f/", 0},
		{"cycles=", -EINVAL},	       {"=r412e", -EINVAL},
		{"cycles", -EINVAL},	       {"llc_mises=r412e", -EINVAL},
		{"llc_misses=r412f", -EINVAL}, /* given twice */
	};
	struct vt_event_overrides set = {0};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_err e = {0};

		if (vt_event_override(&set, rows[i].arg, &e) != rows[i].err)
			fail_msg("'%s': %s", rows[i].arg, e.msg);
	}
	assert_string_equal(set.text[VT_ROLE_LLC_MISSES], "r412e");
	assert_string_equal(set.text[VT_ROLE_LLC_REFS], "cpu/event=0x2e,umask=0x4f/");
	assert_string_equal(set.text[VT_ROLE_CYCLES], "");
}

/* ---- the search, against a scripted perf_event_open --------------------------------------- */

/* The first rule that matches (type, and config unless ~0) decides; no rule: -ENOENT. */
struct rule {
	uint32_t type;
	uint64_t config;
	int result; /* 0 opens and runs, 1 opens and never runs, else -errno */
};

struct fake_kernel {
	const struct rule *rules;
	size_t n;
	int last, opened;
};

static int fake_perf_open(void *ctx, struct perf_event_attr *attr, int pid, int cpu,
			  unsigned long flags)
{
	struct fake_kernel *k = ctx;

	assert_int_equal(pid, -1);
	assert_int_equal(cpu, 1);
	assert_true(flags & PERF_FLAG_FD_CLOEXEC);
	for (size_t i = 0; i < k->n; i++) {
		const struct rule *r = &k->rules[i];

		if (r->type != attr->type || (r->config != ~0ull && r->config != attr->config))
			continue;
		if (r->result < 0)
			return r->result;
		k->last = r->result;
		k->opened++;
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	return -ENOENT;
}

static int fake_ran(void *ctx, int fd)
{
	return ((struct fake_kernel *)ctx)->last == 0;
}

#define RULES(...) {__VA_ARGS__}, sizeof((struct rule[]){__VA_ARGS__}) / sizeof(struct rule)
#define ANY	   ~0ull

static void search_order(void **state)
{
	static const struct {
		enum vt_cpu_family family;
		enum vt_role role;
		struct rule rules[2];
		size_t n;
		int err;
		const char *name; /* of the winner, or part of the error */
		enum vt_event_source source;
		enum vt_event_quality quality;
	} rows[] = {
		/* the documented code, where libpfm4 has no name for it */
		{VT_CPU_ICX, VT_ROLE_LLC_REFS, RULES({4, 0x4f2e, 0}), 0, "r4f2e", VT_EVSRC_RAW,
		 VT_QUALITY_EXACT},
		{VT_CPU_ZEN1, VT_ROLE_DRAM_FILLS, RULES({4, 0x4843, 0}), 0, "r4843", VT_EVSRC_RAW,
		 VT_QUALITY_APPROX},
		/* an alias of the running kernel */
		{VT_CPU_UNKNOWN, VT_ROLE_LLC_MISSES, RULES({4, 0x412e, 0}), 0, "cpu/cache-misses/",
		 VT_EVSRC_SYSFS, VT_QUALITY_PROXY},
		/* which cache that is nobody knows: not before what is of the last one */
		{VT_CPU_UNKNOWN, VT_ROLE_LLC_MISSES, RULES({4, 0x412e, 0}, {3, 0x10002, 0}), 0,
		 "LLC-load-misses", VT_EVSRC_GENERIC, VT_QUALITY_APPROX},
		{VT_CPU_UNKNOWN, VT_ROLE_LLC_REFS, RULES({0, 2, 0}, {3, 0x2, 0}), 0, "LLC-loads",
		 VT_EVSRC_GENERIC, VT_QUALITY_APPROX},
		/* generic only */
		{VT_CPU_SPR, VT_ROLE_LLC_MISSES, RULES({0, 3, 0}), 0, "cache-misses",
		 VT_EVSRC_GENERIC, VT_QUALITY_EXACT},
		/* on Zen, cache-misses is the L2: never taken for the LLC while anything else runs
		 */
		{VT_CPU_ZEN3, VT_ROLE_LLC_MISSES, RULES({0, 3, 0}, {3, 0x10002, 0}), 0,
		 "LLC-load-misses", VT_EVSRC_GENERIC, VT_QUALITY_APPROX},
		{VT_CPU_ZEN3, VT_ROLE_LLC_MISSES, RULES({0, 3, 0}), 0, "cache-misses",
		 VT_EVSRC_GENERIC, VT_QUALITY_PROXY},
		{VT_CPU_ZEN3, VT_ROLE_L2_MISSES, RULES({0, 3, 0}), 0, "cache-misses",
		 VT_EVSRC_GENERIC, VT_QUALITY_APPROX},
		{VT_CPU_ZEN3, VT_ROLE_LLC_REFS, RULES({0, 2, 0}), -ENOTSUP, "LLC-loads", 0, 0},
		/* no PMU: the clock, then the kernel's clock; a page fault for a miss; never an
		 * instruction out of nothing */
		{VT_CPU_SPR, VT_ROLE_CYCLES, RULES({10, 0, 0}, {1, ANY, 0}), 0, "msr/tsc/",
		 VT_EVSRC_TSC, VT_QUALITY_PROXY},
		{VT_CPU_SPR, VT_ROLE_CYCLES, RULES({1, ANY, 0}), 0, "cpu-clock", VT_EVSRC_SOFTWARE,
		 VT_QUALITY_PROXY},
		{VT_CPU_SPR, VT_ROLE_LLC_MISSES, RULES({1, ANY, 0}), 0, "page-faults",
		 VT_EVSRC_SOFTWARE, VT_QUALITY_PROXY},
		{VT_CPU_SPR, VT_ROLE_INSTRUCTIONS, RULES({1, ANY, 0}), -ENOTSUP, "instructions", 0,
		 0},
		/* an event that opens but never runs is absent */
		{VT_CPU_SPR, VT_ROLE_CYCLES, RULES({4, 0x3c, 1}, {0, 0, 0}), 0, "cycles",
		 VT_EVSRC_GENERIC, VT_QUALITY_EXACT},
		{VT_CPU_SPR, VT_ROLE_DRAM_FILLS, RULES({4, ANY, 1}), -ENOTSUP,
		 "never gets a counter", 0, 0},
		/* forbidden is not the same as absent */
		{VT_CPU_SPR, VT_ROLE_CYCLES, RULES({4, ANY, -EACCES}, {1, ANY, -EACCES}), -EACCES,
		 "perf_event_paranoid is 3", 0, 0},
	};

	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct fake_kernel k = {.rules = rows[i].rules, .n = rows[i].n};
		struct vt_event_env env = {.sysfs = sysfs,
					   .procfs = procfs,
					   .open = fake_perf_open,
					   .ran = fake_ran,
					   .ctx = &k};
		struct vt_event ev = {0};
		struct vt_err e = {0};
		int err = vt_event_resolve(&env, rows[i].family, rows[i].role, NULL, 1, &ev, &e);

		if (err != rows[i].err)
			fail_msg("row %zu: %d (%s), not %d", i, err, e.msg, rows[i].err);
		if (err && !strstr(e.msg, rows[i].name))
			fail_msg("row %zu: '%s' does not say '%s'", i, e.msg, rows[i].name);
		if (err)
			continue;
		assert_string_equal(ev.name, rows[i].name);
		assert_int_equal(ev.source, rows[i].source);
		assert_int_equal(ev.quality, rows[i].quality);
		assert_int_equal(ev.cls, ev.type == 1 || ev.type == 10 ? VT_CLASS_SW : VT_CLASS_HW);
		assert_true(ev.doc[0]);
	}
}

/* What the user named is opened or fails; nothing silently takes its place. */
static void override_never_falls_back(void **state)
{
	static const struct rule rules[] = {{4, 0x1234, 0}, {4, 0x5678, 1}, {1, ANY, 0}};
	struct fake_kernel k = {.rules = rules, .n = VT_COUNT(rules)};
	struct vt_event_env env = {.sysfs = sysfs,
				   .procfs = procfs,
				   .open = fake_perf_open,
				   .ran = fake_ran,
				   .ctx = &k};
	struct vt_event ev;
	struct vt_err e = {0};

	assert_int_equal(vt_event_resolve(&env, VT_CPU_SPR, VT_ROLE_CYCLES, "r1234", 1, &ev, NULL),
			 0);
	assert_int_equal(ev.config, 0x1234);
	assert_int_equal(ev.quality, VT_QUALITY_USER);
	assert_int_equal(vt_event_resolve(&env, VT_CPU_SPR, VT_ROLE_CYCLES, "r9999", 1, &ev, &e),
			 -ENOENT);
	assert_non_null(strstr(e.msg, "--event cycles=r9999"));
	assert_int_equal(vt_event_resolve(&env, VT_CPU_SPR, VT_ROLE_CYCLES, "r5678", 1, &ev, NULL),
			 -ENODATA);
	assert_int_equal(ev.config, 0x1234); /* untouched by failures */
}

/* The real kernel: page faults count on every machine that lets us. */
static void real_software_event(void **state)
{
	struct vt_event_env env = {0};
	struct vt_event ev;
	struct vt_err e = {0};
	uint64_t r[3];
	int fd;

	assert_int_equal(vt_event_parse(&env, "page-faults", &ev, NULL), 0);
	fd = vt_event_open(&env, &ev, 0, -1, &e);
	if (fd == -EACCES || fd == -EPERM)
		vt_skip("%s", e.msg);
	assert_true(fd >= 0);
	enum { PAGES = 100 };
	char *map = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	madvise(map, PAGES * 4096, MADV_NOHUGEPAGE);
	assert_int_equal(read(fd, r, sizeof(r)), sizeof(r));
	uint64_t before = r[0];
	for (int i = 0; i < PAGES; i++)
		((volatile char *)map)[i * 4096] = 1;
	assert_int_equal(read(fd, r, sizeof(r)), sizeof(r));
	/* a little more under a sanitizer, whose shadow of these pages is fresh too */
	assert_in_range(r[0] - before, PAGES, PAGES + PAGES / 4);
	munmap(map, PAGES * 4096);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families),
		cmocka_unit_test(names),
		cmocka_unit_test(units_and_modifiers),
		cmocka_unit_test(pmu_list),
		cmocka_unit_test(overrides),
		cmocka_unit_test(search_order),
		cmocka_unit_test(override_never_falls_back),
		cmocka_unit_test(real_software_event),
	};

	return cmocka_run_group_tests_name("events", tests, setup, teardown);
}
