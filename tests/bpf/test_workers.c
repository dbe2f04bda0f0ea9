// SPDX-License-Identifier: Apache-2.0
/*
 * test_workers.c - a runtime's use of the monitor: pinned worker threads cut at every block, one
 * thread closes windows of 10 ms meanwhile, and in the end every page is charged to its tenant.
 */
#include "tests/bpf/open.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "base/rng.h"
#include "monitor/domain.h"
#include "tests/bpf/workload.h"

#define WORKERS	  4
#define TENANTS	  3
#define BLOCKS	  400
#define MAX_PAGES 64
#define WINDOW_NS (10 * VT_NS_PER_MS)

static long page;

struct worker {
	pthread_t thread;
	struct vt_monitor *m;
	const uint32_t *row;
	unsigned int cpu, number;
	pid_t tid; /* set by the thread, waited for by the starter */
	struct vt_worker *slot;
	uint64_t touched[TENANTS];
	bool joined;
	int err;
};

/* Blocks of random length for random tenants; memory is mapped before the cut and unmapped after. */
static void *work(void *arg)
{
	struct worker *w = arg;
	struct vt_rng rng = {w->number};

	vt_cpuset_pin_self(w->cpu);
	__atomic_store_n(&w->tid, vt_monitor_tid(w->m), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&w->slot, __ATOMIC_ACQUIRE))
		usleep(100);
	w->err = vt_monitor_cut(w->m, w->slot, VT_ROW_OTHER);
	for (int i = 0; i < BLOCKS && !w->err; i++) {
		uint64_t t = vt_rng_below(&rng, TENANTS), n = 1 + vt_rng_below(&rng, MAX_PAGES);
		size_t bytes = n * (size_t)page;
		char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);

		if (p == MAP_FAILED)
			w->err = -ENOMEM;
		madvise(p, bytes, MADV_NOHUGEPAGE);
		w->err = w->err ?: vt_monitor_cut(w->m, w->slot, w->row[t]);
		if (!w->err)
			touch(p, n, page);
		w->err = w->err ?: vt_monitor_cut(w->m, w->slot, VT_ROW_OTHER);
		w->touched[t] += n;
		munmap(p, bytes);
		if (i % 16 == 0)
			usleep(500);
	}
	return NULL;
}

static uint64_t all_rows(const struct vt_snapshot *s)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->rows; i++)
		sum += s->total[i].count[0];
	return sum;
}

static uint64_t all_cpus(struct vt_monitor *m, struct vt_look *l)
{
	uint64_t sum = 0;

	assert_int_equal(vt_monitor_look(m, UINT64_MAX, l), 0);
	for (uint32_t i = 0; i < l->cpus; i++)
		sum += l->cpu[i].mono_ns ? l->cpu[i].count[0] : 0;
	return sum;
}

/* What the rows hold lies between what the CPUs had counted before and after: two ways to one sum. */
struct both {
	uint64_t cpus_before, rows, cpus_after;
};

static struct both look_both(struct vt_monitor *m, struct vt_snapshot *s, struct vt_look *l)
{
	struct both b = {.cpus_before = all_cpus(m, l)};

	assert_int_equal(vt_monitor_read(m, UINT64_MAX, s), 0);
	b.rows = all_rows(s);
	b.cpus_after = all_cpus(m, l);
	return b;
}

static void start(struct worker *w, struct vt_monitor *m, const uint32_t *row,
		  const struct vt_cpuset *cpus)
{
	struct vt_err e = {0};
	int cpu = -1;

	for (unsigned int i = 0; i < WORKERS; i++) {
		cpu = vt_cpuset_next(cpus, (unsigned int)cpu + 1);
		if (cpu < 0)
			cpu = vt_cpuset_next(cpus, 0);
		w[i] = (struct worker){.m = m, .row = row, .cpu = (unsigned int)cpu, .number = i};
		assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
	}
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct vt_worker *slot;

		while (!__atomic_load_n(&w[i].tid, __ATOMIC_ACQUIRE))
			usleep(100);
		assert_int_equal(vt_monitor_worker_add(m, w[i].tid, &slot, &e), 0);
		__atomic_store_n(&w[i].slot, slot, __ATOMIC_RELEASE);
	}
}

static bool all_done(struct worker *w)
{
	bool done = true;

	for (unsigned int i = 0; i < WORKERS; i++) {
		w[i].joined = w[i].joined || !pthread_tryjoin_np(w[i].thread, NULL);
		done = done && w[i].joined;
	}
	return done;
}

/* Start the workers and close windows until they are done. Returns how many; adds what they held to @sum. */
static int windows(struct vt_monitor *m, struct worker *w, const uint32_t *row,
		   const struct vt_cpuset *cpus, uint64_t *sum)
{
	static const uint8_t domain_of[VT_MAX_CORES];
	struct vt_snapshot s[2] = {0};
	struct vt_look l[2] = {0};
	struct vt_window win = {0};
	struct vt_slot_map map;
	struct vt_domain_counts d;
	uint64_t next = vt_now_mono_ns();
	bool last = false;
	int n = 0;

	vt_slot_map_init(&map, m);
	assert_int_equal(vt_monitor_read(m, 0, &s[0]), 0);
	assert_int_equal(vt_monitor_look(m, 0, &l[0]), 0);
	start(w, m, row, cpus);
	while (!last) {
		vt_sleep_until_mono_ns(next += WINDOW_NS);
		last = all_done(w);
		assert_int_equal(vt_monitor_read(m, last ? 0 : WINDOW_NS, &s[++n & 1]), 0);
		assert_int_equal(vt_window_close(&s[(n - 1) & 1], &s[n & 1], 1, &win), 0);
		for (uint32_t i = 0; i < win.n; i++)
			for (int t = 0; t < TENANTS; t++)
				sum[t] += win.row[i].row == row[t] ? (uint64_t)win.row[i].count[0]
								   : 0;
		assert_int_equal(vt_monitor_look(m, WINDOW_NS / 8, &l[n & 1]), 0);
		vt_domain_counts(&l[(n - 1) & 1], &l[n & 1], &map, domain_of, VT_MAX_CORES, 1, &d);
		assert_int_equal(d.window_ns, 0); /* page faults are no LLC misses */
	}
	for (int i = 0; i < 2; i++) {
		vt_snapshot_fini(&s[i]);
		vt_look_fini(&l[i]);
	}
	vt_window_fini(&win);
	return n;
}

static void test_a_runtimes_windows(void **state)
{
	struct vt_monitor *m = open_or_skip((struct vt_monitor_opts){.group = VT_BY_TENANT});
	uint64_t touched[TENANTS] = {0}, sum[TENANTS] = {0};
	struct worker w[WORKERS];
	struct vt_snapshot s = {0};
	struct vt_cpuset cpus;
	struct vt_look l = {0};
	struct vt_err e = {0};
	struct both a, b;
	uint32_t row[TENANTS];
	char name[16];
	int n;

	assert_int_equal(vt_cpuset_allowed(&cpus), 0);
	for (uint32_t t = 0; t < TENANTS; t++) {
		snprintf(name, sizeof(name), "model-%u", t);
		assert_int_equal(vt_monitor_tenant_add(m, t, name, &row[t], &e), 0);
	}
	a = look_both(m, &s, &l);
	n = windows(m, w, row, &cpus, sum);
	b = look_both(m, &s, &l);
	assert_in_range(b.rows - a.rows, b.cpus_before - a.cpus_after,
			b.cpus_after - a.cpus_before);
	for (unsigned int i = 0; i < WORKERS; i++) {
		assert_int_equal(w[i].err, 0);
		for (int t = 0; t < TENANTS; t++)
			touched[t] += w[i].touched[t];
		vt_monitor_worker_del(m, w[i].slot);
	}
	fprintf(stderr, "# %d windows, %d blocks on %d workers, %lu slices, %lu chain misses\n", n,
		WORKERS * BLOCKS, WORKERS, (unsigned long)s.loss.flushes,
		(unsigned long)s.loss.chain_miss);
	for (int t = 0; t < TENANTS; t++) {
		if (sum[t] != touched[t])
			fprintf(stderr, "# %s: %lu pages of tenant %d touched, %lu counted\n",
				s.loss.chain_miss ? "chain misses" : "WRONG",
				(unsigned long)touched[t], t, (unsigned long)sum[t]);
		assert_int_equal(sum[t], s.total[row[t]].count[0]);
		if (!s.loss.chain_miss)
			assert_int_equal(sum[t], touched[t]);
		assert_true(s.total[row[t]].run_ns > 0);
	}
	vt_snapshot_fini(&s);
	vt_look_fini(&l);
	vt_monitor_close(m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_runtimes_windows),
	};

	page = sysconf(_SC_PAGESIZE);
	return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
