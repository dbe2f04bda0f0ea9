// SPDX-License-Identifier: Apache-2.0
/* machine_probe - measure this machine's constants for a machine file of `veltair sim`.
 *
 * Prints `key = value` lines for what can be measured from user space in a few seconds; sizes and
 * counts come from sysfs and the data sheet. What each figure means: docs/simulator.md.
 * Usage: machine_probe [CORES]; `make machine-probe`.
 */
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/futex.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "base/fresh.h"
#include "base/trip.h"

#define REPEAT	   7
#define LLC_BYTES  (8u << 20) /* larger than L2s, smaller than an LLC */
#define DRAM_BYTES (512u << 20)
#define SPINNERS   64u
#define READ_BYTES (1u << 20) /* between two additions to what all have read */
#define READ_US	   100000

typedef __m256 v8;

#define UNROLL _Pragma("GCC unroll 10")

/** 10 independent chains of FMA hide its latency on every core since 2013. */
__attribute__((target("avx2,fma"), noinline)) static float fma_loop(uint64_t n)
{
	v8 a[10], x = {1, 1, 1, 1, 1, 1, 1, 1}, y = x * 1e-9f, sum = {0};

	UNROLL
	for (int k = 0; k < 10; k++)
		a[k] = x * (float)k;
	for (uint64_t i = 0; i < n; i++) {
		UNROLL
		for (int k = 0; k < 10; k++)
			a[k] = _mm256_fmadd_ps(a[k], x, y);
		__asm__ volatile("" : "+x"(a[0]), "+x"(a[5]));
	}
	UNROLL
	for (int k = 0; k < 10; k++)
		sum += a[k];
	return sum[0];
}

__attribute__((target("avx2,fma"), noinline)) static float read_loop(const v8 *p, size_t n)
{
	v8 s[4] = {{0}};

	for (size_t i = 0; i + 8 <= n; i += 8)
		UNROLL
	for (int k = 0; k < 8; k++)
		s[k % 4] += p[i + (size_t)k];
	return s[0][0] + s[1][0] + s[2][0] + s[3][0];
}

/** @work FMAs of the chains above for every 64 bytes read. */
__attribute__((target("avx2,fma"), noinline)) static float mixed_loop(const v8 *p, size_t n,
								      int work)
{
	v8 a[8] = {{0}}, x = {1, 1, 1, 1, 1, 1, 1, 1};

	for (size_t i = 0; i + 2 <= n; i += 2) {
		v8 y = p[i] + p[i + 1];

		for (int w = 0; w < work; w += 8)
			UNROLL
		for (int k = 0; k < 8; k++)
			a[k] = _mm256_fmadd_ps(a[k], x, y);
	}
	UNROLL
	for (int k = 1; k < 8; k++)
		a[0] += a[k];
	return a[0][0];
}

static volatile float sink;

static double best_ns(double (*once)(void *arg), void *arg)
{
	double best = INFINITY;

	for (int i = 0; i < REPEAT; i++)
		best = fmin(best, once(arg));
	return best;
}

static double fma_once(void *arg)
{
	uint64_t t = vt_now_mono_ns();

	sink = fma_loop(*(uint64_t *)arg);
	return (double)(vt_now_mono_ns() - t);
}

struct span {
	const v8 *at;
	size_t n; /* vectors */
	size_t repeat;
	int work;
};

static double read_once(void *arg)
{
	const struct span *s = arg;
	uint64_t t = vt_now_mono_ns();

	for (size_t i = 0; i < s->repeat; i++)
		sink = s->work ? mixed_loop(s->at, s->n, s->work) : read_loop(s->at, s->n);
	return (double)(vt_now_mono_ns() - t) / (double)s->repeat;
}

/* ---- several cores ------------------------------------------------------------------------ */

struct team {
	uint32_t n;
	_Atomic uint32_t epoch, arrived, stop;
	_Atomic uint64_t read_bytes;
	const v8 *buf;
};

static struct team team;

/** A spinning helper: joins each epoch, as the helpers of a grant join each layer. */
static void *helper(void *arg)
{
	uint32_t seen = 0;

	vt_cpuset_pin_self((uint32_t)(uintptr_t)arg);
	while (!atomic_load(&team.stop)) {
		if (atomic_load(&team.epoch) == seen)
			continue;
		seen++;
		atomic_fetch_add(&team.arrived, 1);
	}
	return NULL;
}

static double fork_once(void *arg)
{
	enum { ROUNDS = 2000 };
	uint64_t t = vt_now_mono_ns();

	for (int i = 0; i < ROUNDS; i++) {
		atomic_store(&team.arrived, 0);
		atomic_fetch_add(&team.epoch, 1);
		while (atomic_load(&team.arrived) < team.n)
			;
	}
	return (double)(vt_now_mono_ns() - t) / ROUNDS;
}

static void *sleeper(void *arg)
{
	uint32_t seen = 0;

	vt_cpuset_pin_self((uint32_t)(uintptr_t)arg);
	while (!atomic_load(&team.stop)) {
		syscall(SYS_futex, &team.epoch, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
		if (atomic_load(&team.epoch) != seen) {
			seen = atomic_load(&team.epoch);
			atomic_fetch_add(&team.arrived, 1);
		}
	}
	return NULL;
}

static double wake_once(void *arg)
{
	enum { ROUNDS = 200 };
	double sum = 0;

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t t;

		usleep(100); /* long enough for the helper to be asleep again */
		atomic_store(&team.arrived, 0);
		t = vt_now_mono_ns();
		atomic_fetch_add(&team.epoch, 1);
		syscall(SYS_futex, &team.epoch, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
		while (atomic_load(&team.arrived) < team.n)
			;
		sum += (double)(vt_now_mono_ns() - t);
	}
	return sum / ROUNDS;
}

static double with_team(void *(*body)(void *), double (*once)(void *), uint32_t n)
{
	pthread_t threads[SPINNERS];
	double ns;

	team.n = n;
	atomic_store(&team.stop, 0);
	atomic_store(&team.epoch, 0);
	for (uint32_t i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, body, (void *)(uintptr_t)(i + 1));
	usleep(10000);
	ns = best_ns(once, NULL);
	atomic_store(&team.stop, 1);
	atomic_fetch_add(&team.epoch, 1);
	syscall(SYS_futex, &team.epoch, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
	for (uint32_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return ns;
}

/** Streams its part of the buffer, and adds up with the others what it has read. */
static void *reader(void *arg)
{
	const uint32_t i = (uint32_t)(uintptr_t)arg;
	const size_t part = DRAM_BYTES / sizeof(v8) / team.n, piece = READ_BYTES / sizeof(v8);

	vt_cpuset_pin_self(i);
	for (size_t at = 0; !atomic_load(&team.stop); at = at + 2 * piece > part ? 0 : at + piece) {
		sink = read_loop(team.buf + i * part + at, piece);
		atomic_fetch_add_explicit(&team.read_bytes, READ_BYTES, memory_order_relaxed);
	}
	return NULL;
}

/* ---- figures ------------------------------------------------------------------------------ */

/** What all cores read in one time; the best of one core's times would count for all of them. */
static double all_dram_gbps(const v8 *buf, uint32_t cores)
{
	pthread_t threads[SPINNERS];
	double best = 0;

	team.n = cores;
	team.buf = buf;
	atomic_store(&team.stop, 0);
	for (uint32_t i = 0; i < cores; i++)
		pthread_create(&threads[i], NULL, reader, (void *)(uintptr_t)i);
	usleep(10000);
	for (int k = 0; k < REPEAT; k++) {
		const uint64_t before = atomic_load(&team.read_bytes), t = vt_now_mono_ns();

		usleep(READ_US);
		best = fmax(best, (double)(atomic_load(&team.read_bytes) - before) /
					  (double)(vt_now_mono_ns() - t));
	}
	atomic_store(&team.stop, 1);
	for (uint32_t i = 0; i < cores; i++)
		pthread_join(threads[i], NULL);
	return best;
}

/**
 * How far computing hides behind streaming. With work that alone takes as long as the stream
 * alone, perfect overlap takes 1 x and none takes 2 x: 2^(1/p) = both / one.
 */
static double overlap(const v8 *buf)
{
	size_t n = DRAM_BYTES / sizeof(v8), small = 16384 / sizeof(v8);
	struct span stream = {buf, n, 1, 0}, compute = {buf, small, n / small, 0};
	struct span both = {buf, n, 1, 0};
	double mem = best_ns(read_once, &stream), alone = 0;

	for (int work = 8; work <= 512 && alone < mem; work += 8) {
		compute.work = both.work = work;
		alone = best_ns(read_once, &compute) * (double)compute.repeat;
	}
	return log(2) / log(fmax(1.01, best_ns(read_once, &both) / ((alone + mem) / 2)));
}

/* ---- between two cores ---------------------------------------------------------------------- */

#define SHARED_BYTES (512u << 10) /* stays in an L2 */

static struct {
	v8 *buf;
	_Atomic uint32_t turn; /* 0: this core's, 1: read, 2: write, 3: the end */
} pair;

static void read_shared(void)
{
	sink = read_loop(pair.buf, SHARED_BYTES / sizeof(v8));
}

static void write_shared(void)
{
	for (size_t i = 0; i < SHARED_BYTES / sizeof(v8); i++)
		pair.buf[i] = (v8){1};
	__asm__ volatile("" ::: "memory");
}

static void *other_core(void *arg)
{
	uint32_t turn;

	vt_cpuset_pin_self(1);
	while ((turn = atomic_load(&pair.turn)) != 3) {
		if (turn == 1)
			read_shared();
		else if (turn == 2)
			write_shared();
		else if (!turn)
			continue;
		atomic_store(&pair.turn, 0);
	}
	return NULL;
}

static void let_other(uint32_t turn)
{
	atomic_store(&pair.turn, turn);
	while (atomic_load(&pair.turn))
		__builtin_ia32_pause();
}

/* Bytes a nanosecond of @mine after the other core did @others; 0: after this core wrote. */
static double after(uint32_t others, void (*mine)(void))
{
	double best = 1e300;

	for (int r = 0; r < 5 * REPEAT; r++) {
		double ns;

		write_shared();
		if (others)
			let_other(others);
		ns = (double)vt_now_mono_ns();
		mine();
		ns = (double)vt_now_mono_ns() - ns;
		best = ns < best ? ns : best;
	}
	return SHARED_BYTES / best;
}

static void between_cores(v8 *buf)
{
	pthread_t t;

	printf("# a word to another core and back: %llu ns\n",
	       (unsigned long long)vt_trip_ns(0, 1, VT_NS_PER_S));
	pair.buf = buf;
	if (pthread_create(&t, NULL, other_core, NULL))
		return;
	printf("# reading what this core wrote %.1f, what another wrote %.1f GB/s\n",
	       after(0, read_shared), after(2, read_shared));
	printf("# writing over what this core wrote %.1f, another wrote %.1f, another has read "
	       "%.1f "
	       "GB/s\n",
	       after(0, write_shared), after(2, write_shared), after(1, write_shared));
	atomic_store(&pair.turn, 3);
	pthread_join(t, NULL);
}

/* ---- time that is missing ----------------------------------------------------------------------- */

/*
 * How often this core is taken away from a program that only reads the clock: by interrupts, by other programs, and
 * in a virtual machine by its host. Nothing that takes t can have a tail below these gaps if more than its share of
 * runs, t x gaps per second, meets one.
 */
static void taken_away(void)
{
	const uint64_t end = vt_now_mono_ns() + 2 * VT_NS_PER_S;
	uint64_t last = vt_now_mono_ns(), n[2] = {0}, lost = 0, now;

	for (; last < end; last = now) {
		now = vt_now_mono_ns();
		if (now - last < 1000)
			continue;
		lost += now - last;
		n[0] += now - last >= 5000;
		n[1] += now - last >= 20000;
	}
	printf("# taken away for 5 us or more %.0f times a second, for 20 us or more %.0f, in all "
	       "%.1f %% of the "
	       "time\n",
	       (double)n[0] / 2, (double)n[1] / 2, (double)lost / (2e-2 * (double)VT_NS_PER_S));
}

/* ---- new memory --------------------------------------------------------------------------------- */

/* ns per page of 600 KiB, faulted in one by one or by one call. */
static double page_ns(bool at_once)
{
	enum { BYTES = 147 * 4096, TIMES = 20 };
	uint64_t ns = 0;

	for (int k = 0; k < TIMES; k++) {
		volatile char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		uint64_t t0 = vt_now_mono_ns();

		if (p == MAP_FAILED)
			return 0;
		if (at_once)
			vt_fresh_populate((void *)p, BYTES);
		for (int i = 0; i < BYTES; i += 4096)
			p[i] = 1;
		ns += vt_now_mono_ns() - t0;
		munmap((void *)p, BYTES);
	}
	return (double)ns / TIMES / (BYTES / 4096);
}

int main(int argc, char **argv)
{
	long cores = argc > 1 ? atol(argv[1]) : sysconf(_SC_NPROCESSORS_ONLN);
	v8 *buf = aligned_alloc(64, DRAM_BYTES);
	struct span llc = {buf, LLC_BYTES / sizeof(v8), 16, 0}, dram = {buf, 0, 1, 0};
	uint64_t n = 20000000;
	uint32_t helpers;

	if (!buf || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
	    cores < 1 || cores > (long)SPINNERS) {
		fprintf(stderr, "machine_probe: needs AVX2, FMA and 1 to %u cores\n", SPINNERS);
		free(buf);
		return 3;
	}
	memset(buf, 0, DRAM_BYTES);
	vt_cpuset_pin_self(0);
	helpers = (uint32_t)cores - 1;
	printf("# 256-bit FMA peak of one core: %.1f GFLOP/s\n",
	       (double)n * 10 * 16 / best_ns(fma_once, &n));
	read_once(&llc);
	printf("llc_gbps = %.1f\n", LLC_BYTES / best_ns(read_once, &llc));
	dram.n = DRAM_BYTES / sizeof(v8);
	printf("core_dram_gbps = %.1f\n", DRAM_BYTES / best_ns(read_once, &dram));
	printf("node_dram_gbps = %.1f\n", all_dram_gbps(buf, (uint32_t)cores));
	printf("overlap = %.2f\n", overlap(buf));
	if (helpers) {
		printf("# fork and join of spinning helpers on %u cores: %.0f ns\n", helpers + 1,
		       with_team(helper, fork_once, helpers));
		printf("# waking and joining sleeping helpers on %u cores: %.0f ns\n", helpers + 1,
		       with_team(sleeper, wake_once, helpers));
		between_cores(buf);
	}
	taken_away();
	printf("# a new page of memory: %.0f ns by a fault, %.0f of many at once\n", page_ns(false),
	       page_ns(true));
	free(buf);
	return 0;
}
