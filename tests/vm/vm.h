/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vm.h - tests that run as root inside a throw-away guest with module veltair_pmu loaded.
 *
 * Each test is a function run in a process of its own, under a time limit; what it leaves behind
 * (children, descriptors, programs) ends with it. Its first failed CHECK is its result.
 */
#ifndef VT_TESTS_VM_H
#define VT_TESTS_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "base/error.h"
#include "events/events.h"

struct vm_test {
	const char *name;
	void (*run)(void);
	bool cpu_face_only; /* what the PMU is called makes no difference to it */
};

/* Tables of the test files; a test that has no run ends the table. */
extern const struct vm_test vm_pmu_tests[], vm_monitor_tests[], vm_runtime_tests[],
	vm_multiplex_tests[];

/* Those that run last, in lockdown and without the module. */
extern const struct vm_test vm_world_tests[];

/* Whether the module is the machine's own PMU (as_cpu=1), or one named veltair. */
extern bool vm_as_cpu;

/** vm_fail, vm_skip - end the running test with a reason */
void vm_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void vm_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/** vm_note - a figure worth printing beside the result; the last one stays */
void vm_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(cond, ...)                                                                           \
	do {                                                                                       \
		if (!(cond))                                                                       \
			vm_fail(__FILE__, __LINE__, __VA_ARGS__);                                  \
	} while (0)

/* a == b, for counts */
#define CHECK_EQ(a, b, what)                                                                       \
	do {                                                                                       \
		uint64_t _a = (a), _b = (b);                                                       \
		CHECK(_a == _b, "%s: %llu, expected %llu", what, (unsigned long long)_a,           \
		      (unsigned long long)_b);                                                     \
	} while (0)

/** vm_error_ppm - |a - b| in millionths of b */
uint64_t vm_error_ppm(uint64_t a, uint64_t b);

#define CHECK_NEAR(a, b, max_ppm, what)                                                            \
	do {                                                                                       \
		uint64_t _a = (a), _b = (b);                                                       \
		CHECK(vm_error_ppm(_a, _b) <= (max_ppm),                                           \
		      "%s: %llu, expected %llu, off by %llu ppm", what, (unsigned long long)_a,    \
		      (unsigned long long)_b, (unsigned long long)vm_error_ppm(_a, _b));           \
	} while (0)

/* ---- the scripted PMU (tests/pmu/veltair_pmu.c) ------------------------------------------ */

/** vm_ctl - one command to the module, "slots 2" */
void vm_ctl(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** vm_ctl_open - a descriptor for vm_add: tenants write through one of their own */
int vm_ctl_open(void);

/** vm_add - the calling thread has just caused @n events, on the CPU it is on */
void vm_add(int ctl, const char *event, uint64_t n);

/** vm_event - an event of the module by its name there, in either face */
struct vt_event vm_event(const char *name);

/** vm_open - open for counting, or fail the test */
int vm_open(const struct vt_event *ev, int pid, int cpu);

struct vm_count {
	uint64_t value, enabled, running;
};

/** vm_read - returns false when a pinned event reads end of file */
bool vm_read(int fd, struct vm_count *ret);

/** vm_value - the count alone */
uint64_t vm_value(int fd);

/* ---- processes --------------------------------------------------------------------------- */

void vm_pin(int cpu);
void vm_spin_ms(unsigned int ms);

/** vm_relax - the CPU's hint that this is a waiting loop */
static inline void vm_relax(void)
{
	__builtin_ia32_pause();
}

/** vm_set_online - take a CPU away or bring it back; the caller ends up pinned to CPU 0 */
void vm_set_online(int cpu, bool on);

/** vm_fork - a child that dies with the test; returns its pid (never in the child) */
pid_t vm_fork(void (*fn)(void *arg), void *arg);

/** vm_wait - wait for a child; fails the test unless it exited with 0 */
void vm_wait(pid_t pid);

/** vm_shared - zeroed memory that children share */
void *vm_shared(size_t len);

#endif
