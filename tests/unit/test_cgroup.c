// SPDX-License-Identifier: Apache-2.0
/* What control groups leave this process, read from trees that stand for machines; and which cores a CPU quota affords. */
#include "harness.h"

#include <errno.h>
#include <string.h>

#include "base/cgroup.h"
#include "base/memory.h"
#include "exec/topology.h"
#include "faketree.h"

#define NONE UINT64_MAX
#define GIB  (1ull << 30)

/* Lines as a systemd machine with version 1 has them. */
#define V1_LINES                                                                                   \
	"12:cpuset:/\n9:memory:/docker/0123\n4:cpu,cpuacct:/docker/0123\n1:name=systemd:/x\n0::/"  \
	"\n"

static const struct {
	const char *name;
	struct fake_file files[8]; /* ends with an empty one */
	uint64_t cpu_ppm, memory_bytes;
} table[] = {
	{"nothing", {{"proc", NULL}}, NONE, NONE},
	{"no limit in any group",
	 {{"proc/self/cgroup", "0::/user.slice/run\n"},
	  {"sys/fs/cgroup/user.slice/cpu.max", "max 100000\n"},
	  {"sys/fs/cgroup/user.slice/memory.max", "max\n"},
	  {"sys/fs/cgroup/user.slice/memory.current", "123\n"}},
	 NONE,
	 NONE},
	{"the least on the way up",
	 {{"proc/self/cgroup", "0::/a/b/c\n"},
	  {"sys/fs/cgroup/a/cpu.max", "400000 100000\n"},
	  {"sys/fs/cgroup/a/b/cpu.max", "125000 50000\n"},
	  {"sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n"},
	  {"sys/fs/cgroup/a/memory.max", "4294967296\n"},
	  {"sys/fs/cgroup/a/memory.current", "1073741824\n"}},
	 2500000,
	 3 * GIB},
	{"a container of its own: the root is its group",
	 {{"proc/self/cgroup", "0::/\n"},
	  {"sys/fs/cgroup/cpu.max", "800000 100000\n"},
	  {"sys/fs/cgroup/memory.max", "8589934592\n"},
	  {"sys/fs/cgroup/memory.current", "1073741824\n"}},
	 8000000,
	 7 * GIB},
	{"a container that is told the host's path",
	 {{"proc/self/cgroup", "0::/kubepods.slice/pod/container\n"},
	  {"sys/fs/cgroup/cpu.max", "50000 100000\n"}},
	 500000,
	 NONE},
	{"pages of files can be had back",
	 {{"proc/self/cgroup", "0::/a\n"},
	  {"sys/fs/cgroup/a/memory.max", "4294967296\n"},
	  {"sys/fs/cgroup/a/memory.current", "4294967296\n"},
	  {"sys/fs/cgroup/a/memory.stat",
	   "anon 1073741824\nfile 3221225472\ninactive_file 2147483648\nactive_file 1073741824\n"}},
	 NONE,
	 3 * GIB},
	{"more than the limit",
	 {{"proc/self/cgroup", "0::/a\n"},
	  {"sys/fs/cgroup/a/memory.max", "1000\n"},
	  {"sys/fs/cgroup/a/memory.current", "2000\n"}},
	 NONE,
	 0},
	{"version 1",
	 {{"proc/self/cgroup", V1_LINES},
	  {"sys/fs/cgroup/cpu/docker/0123/cpu.cfs_quota_us", "150000\n"},
	  {"sys/fs/cgroup/cpu/docker/0123/cpu.cfs_period_us", "100000\n"},
	  {"sys/fs/cgroup/memory/docker/0123/memory.limit_in_bytes", "2147483648\n"},
	  {"sys/fs/cgroup/memory/docker/0123/memory.usage_in_bytes", "1073741824\n"},
	  {"sys/fs/cgroup/memory/docker/0123/memory.stat",
	   "inactive_file 5\ntotal_inactive_file 1048576\n"}},
	 1500000,
	 GIB + 1048576},
	{"version 1 without limits",
	 {{"proc/self/cgroup", V1_LINES},
	  {"sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"},
	  {"sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"},
	  {"sys/fs/cgroup/cpu.max", "100000 100000\n"}},
	 NONE,
	 NONE},
	{"cpuset and cpuacct are not cpu",
	 {{"proc/self/cgroup", "2:cpuset:/\n3:cpuacct:/\n0::/\n"},
	  {"sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "100000\n"},
	  {"sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000\n"},
	  {"sys/fs/cgroup/cpu.max", "300000 100000\n"}},
	 3000000,
	 NONE},
	{"nonsense",
	 {{"proc/self/cgroup", "what\n:\n0:\n0::/a\n"},
	  {"sys/fs/cgroup/a/cpu.max", "100000\n"},
	  {"sys/fs/cgroup/cpu.max", "100000 0\n"},
	  {"sys/fs/cgroup/memory.max", "many\n"},
	  {"sys/fs/cgroup/memory.current", "1\n"}},
	 NONE,
	 NONE},
};

static void test_limits(void **state)
{
	for (size_t i = 0; i < VT_COUNT(table); i++) {
		struct fake_tree t;
		uint64_t cpu, memory;
		size_t n = 0;

		while (n < VT_COUNT(table[i].files) && table[i].files[n].path)
			n++;
		fake_open(&t, table[i].files, n);
		cpu = vt_cgroup_cpu_ppm(t.root);
		memory = vt_cgroup_memory_left_bytes(t.root);
		fake_close(&t);
		if (cpu != table[i].cpu_ppm || memory != table[i].memory_bytes)
			fail_msg("%s: cpu %llu, memory %llu", table[i].name,
				 (unsigned long long)cpu, (unsigned long long)memory);
	}
}

/* What the machine has counts too. */
static void test_memory_available(void **state)
{
	static const struct fake_file files[] = {
		{"proc/meminfo", "MemTotal: 8 kB\nMemAvailable:    4096 kB\n"},
		{"proc/self/cgroup", "0::/\n"},
	};
	struct fake_tree t;

	fake_open(&t, files, VT_COUNT(files));
	assert_int_equal(vt_memory_available(t.root), 4096 * 1024);
	fake_write(&t, "sys/fs/cgroup/memory.max", "1000\n");
	fake_write(&t, "sys/fs/cgroup/memory.current", "100\n");
	assert_int_equal(vt_memory_available(t.root), 900);
	fake_close(&t);
}

/* ---- cores -------------------------------------------------------------------------------- */

/* Eight cores of two caches, even and odd ones, as some machines number their sockets. */
static void test_cores_that_a_quota_affords(void **state)
{
	static const struct {
		const char *cores;
		uint64_t ppm;
		const char *left; /* NULL: all stay */
	} t[] = {
		{"0-7", NONE, NULL},	     {"0-7", 8000000, NULL},	{"0-7", 64000000, NULL},
		{"0-7", 7000001, NULL},	     {"0-7", 7000000, "0-6"},	{"0-7", 4000000, "0,2,4,6"},
		{"0-7", 5000000, "0-2,4,6"}, {"0-7", 2500000, "0,2,4"}, {"0-7", 10000, "0"},
		{"1-4,6", 3000000, "1-3"},   {"4", 500000, NULL},	{"4-7", 1500000, "4,6"},
	};
	struct fake_tree tree;
	char path[96];

	fake_open(&tree, NULL, 0);
	for (int c = 0; c < 8; c++) {
		snprintf(path, sizeof(path), "devices/system/cpu/cpu%d/cache/index0/level", c);
		fake_write(&tree, path, "3\n");
		snprintf(path, sizeof(path),
			 "devices/system/cpu/cpu%d/cache/index0/shared_cpu_list", c);
		fake_write(&tree, path, c % 2 ? "1,3,5,7\n" : "0,2,4,6\n");
	}
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_cpuset cores;
		char text[64];
		bool fewer;

		assert_int_equal(vt_cpuset_parse(t[i].cores, &cores), 0);
		fewer = vt_topology_afford(&cores, tree.root, t[i].ppm);
		vt_cpuset_format(&cores, text, sizeof(text));
		if (fewer != !!t[i].left || strcmp(text, t[i].left ? t[i].left : t[i].cores) != 0)
			fail_msg("row %zu: %s", i, text);
	}
	fake_close(&tree);
}

/* Where nothing tells cores apart they are one domain. */
static void test_cores_without_caches(void **state)
{
	struct vt_cpuset cores;
	struct fake_tree tree;

	fake_open(&tree, NULL, 0);
	vt_cpuset_parse("2-9", &cores);
	assert_true(vt_topology_afford(&cores, tree.root, 3000000));
	assert_int_equal(vt_cpuset_count(&cores), 3);
	assert_true(vt_cpuset_has(&cores, 2) && vt_cpuset_has(&cores, 4));
	fake_close(&tree);
}

/*
 * More than can be scheduled: eight caches of 48 threads, numbered as where the second thread of each core comes
 * after the first of all. Five whole caches and a third of the sixth stay; who names them all is refused.
 */
static void test_more_cores_than_can_be_scheduled(void **state)
{
	struct vt_cpuset cores, all;
	static struct vt_topology topo;
	struct fake_tree tree;
	char path[96], text[64];

	fake_open(&tree, NULL, 0);
	for (int c = 0; c < 384; c++) {
		const int first = c % 192 / 24 * 24;

		snprintf(path, sizeof(path), "devices/system/cpu/cpu%d/cache/index0/level", c);
		fake_write(&tree, path, "3\n");
		snprintf(path, sizeof(path),
			 "devices/system/cpu/cpu%d/cache/index0/shared_cpu_list", c);
		snprintf(text, sizeof(text), "%d-%d,%d-%d\n", first, first + 23, first + 192,
			 first + 215);
		fake_write(&tree, path, text);
	}
	vt_cpuset_parse("0-383", &all);
	assert_int_equal(vt_topology_read(&topo, tree.root, &all), -EINVAL);
	cores = all;
	assert_true(vt_topology_afford(&cores, tree.root, NONE));
	vt_cpuset_format(&cores, text, sizeof(text));
	assert_string_equal(text, "0-135,192-311");
	assert_int_equal(vt_topology_read(&topo, tree.root, &cores), 0);
	assert_int_equal(topo.n_cores, VT_SCHED_MAX_CORES);
	assert_int_equal(topo.n_domains, 6);
	assert_int_equal(topo.domain[4].n_cores, 48);
	assert_int_equal(topo.domain[5].n_cores, 16);
	/* A quota below that is what counts. */
	cores = all;
	assert_true(vt_topology_afford(&cores, tree.root, 48000000));
	vt_cpuset_format(&cores, text, sizeof(text));
	assert_string_equal(text, "0-23,192-215");
	cores = all;
	assert_true(vt_topology_afford(&cores, tree.root, 300000000));
	assert_int_equal(vt_cpuset_count(&cores), VT_SCHED_MAX_CORES);
	fake_close(&tree);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_memory_available),
		cmocka_unit_test(test_cores_that_a_quota_affords),
		cmocka_unit_test(test_cores_without_caches),
		cmocka_unit_test(test_more_cores_than_can_be_scheduled),
	};

	return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
