// SPDX-License-Identifier: Apache-2.0
/*
 * vm_main.c - run every test of the tables, one process each; print one line per test.
 *
 *   veltair-vm MODE [NAME...]    MODE: cpu or named, as the module was loaded, or lockdown: without it
 *
 * Lines start with "VT " so that the host finds them among the kernel's: "VT ok NAME [# note]",
 * "VT not ok NAME # reason", "VT skip NAME # reason".
 */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIME_LIMIT_S 60

enum { PASS = 0, FAIL = 1, SKIP = 77 };

/* Written by the test's process, read by the runner after its end. */
struct verdict {
	char text[400];
};

bool vm_as_cpu;
static struct verdict *verdict;

static void say(const char *fmt, va_list ap)
{
	vsnprintf(verdict->text, sizeof(verdict->text), fmt, ap);
}

void vm_fail(const char *file, int line, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(verdict->text, sizeof(verdict->text), "%s (%s:%d)", text,
		 strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line);
	_exit(FAIL);
}

void vm_skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	_exit(SKIP);
}

void vm_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

/* The kernel lets go of the events of the test before a grace period after its end. */
static void wait_for_free_slots(void)
{
	char text[4096];

	for (int tries = 0; tries < 200; tries++) {
		int fd = vm_ctl_open();
		ssize_t n = read(fd, text, sizeof(text) - 1);
		unsigned int used = 0;

		close(fd);
		text[n > 0 ? n : 0] = '\0';
		for (const char *p = text; (p = strstr(p, " used ")); p += 6)
			used += (unsigned int)strtoul(p + 6, NULL, 10);
		if (!used)
			return;
		usleep(20000);
	}
}

/* Returns 1 for a failure. */
static int run_one(const struct vm_test *t, bool module)
{
	int status;
	pid_t pid;

	memset(verdict, 0, sizeof(*verdict));
	if (module) {
		vm_ctl("reset");
		vm_ctl("slots 8");
		wait_for_free_slots();
	}
	pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		alarm(TIME_LIMIT_S);
		t->run();
		_exit(PASS);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		printf("VT not ok %s # %s\n", t->name, strerror(errno));
		return 1;
	}
	kill(-pid, SIGKILL); /* what it started */
	if (WIFSIGNALED(status)) {
		printf("VT not ok %s # %s %s\n", t->name,
		       WTERMSIG(status) == SIGALRM ? "time limit" : strsignal(WTERMSIG(status)),
		       verdict->text);
		return 1;
	}
	status = WEXITSTATUS(status);
	printf("VT %s %s%s%s\n",
	       status == PASS	? "ok"
	       : status == SKIP ? "skip"
				: "not ok",
	       t->name, verdict->text[0] ? " # " : "", verdict->text);
	return status != PASS && status != SKIP;
}

static bool selected(const char *name, int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc <= 2;
}

int main(int argc, char **argv)
{
	static const struct vm_test *const tables[] = {vm_pmu_tests, vm_monitor_tests,
						       vm_runtime_tests, vm_multiplex_tests,
						       vm_world_tests};
	bool module;
	int failed = 0;

	verdict = vm_shared(sizeof(*verdict));
	if (argc < 2 ||
	    (strcmp(argv[1], "cpu") && strcmp(argv[1], "named") && strcmp(argv[1], "lockdown"))) {
		fprintf(stderr, "usage: veltair-vm cpu|named|lockdown [TEST]...\n");
		return 2;
	}
	vm_as_cpu = !strcmp(argv[1], "cpu");
	module = strcmp(argv[1], "lockdown") != 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		for (const struct vm_test *t = tables[i]; t->run; t++)
			if ((tables[i] != vm_world_tests) == module &&
			    selected(t->name, argc, argv) && (vm_as_cpu || !t->cpu_face_only))
				failed += run_one(t, module);
	return failed ? 1 : 0;
}

/* ---- helpers ----------------------------------------------------------------------------- */

uint64_t vm_error_ppm(uint64_t a, uint64_t b)
{
	double d = a > b ? (double)(a - b) : (double)(b - a);

	return b ? (uint64_t)(d * 1e6 / (double)b) : a ? UINT64_MAX : 0;
}

int vm_ctl_open(void)
{
	int fd = open("/sys/kernel/debug/veltair_pmu/ctl", O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0, "veltair_pmu/ctl: %s", strerror(errno));
	return fd;
}

void vm_ctl(const char *fmt, ...)
{
	int fd = vm_ctl_open(), n;
	char line[200];
	va_list ap;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	CHECK(write(fd, line, (size_t)n) == n, "'%s': %s", line, strerror(errno));
	close(fd);
}

void vm_add(int ctl, const char *event, uint64_t n)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "add %s %llu", event, (unsigned long long)n);

	CHECK(write(ctl, line, (size_t)len) == len, "'%s': %s", line, strerror(errno));
}

struct vt_event vm_event(const char *name)
{
	static const char *const raw[][2] = {
		{"cycles", "r3c"},	 {"instructions", "rc0"}, {"llc_refs", "r4f2e"},
		{"llc_misses", "r412e"}, {"l2_misses", "r3f24"},  {"dram_fills", "r1b7"},
	};
	struct vt_event_env env = {0};
	struct vt_err e = {0};
	struct vt_event ev;
	char text[64];

	snprintf(text, sizeof(text), "veltair/%s/", name);
	for (size_t i = 0; vm_as_cpu && i < sizeof(raw) / sizeof(raw[0]); i++)
		if (!strcmp(raw[i][0], name))
			snprintf(text, sizeof(text), "%s", raw[i][1]);
	CHECK(!vt_event_parse(&env, text, &ev, &e), "%s", e.msg);
	return ev;
}

int vm_open(const struct vt_event *ev, int pid, int cpu)
{
	struct vt_event_env env = {0};
	struct vt_err e = {0};
	int fd = vt_event_open(&env, ev, pid, cpu, &e);

	CHECK(fd >= 0, "%s", e.msg);
	return fd;
}

bool vm_read(int fd, struct vm_count *ret)
{
	ssize_t n = read(fd, ret, sizeof(*ret));

	CHECK(n == sizeof(*ret) || n == 0, "read of an event: %s", strerror(errno));
	return n != 0;
}

uint64_t vm_value(int fd)
{
	struct vm_count c;

	CHECK(vm_read(fd, &c), "an event reads end of file");
	return c.value;
}

void vm_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK(!sched_setaffinity(0, sizeof(set), &set), "pin to CPU %d: %s", cpu, strerror(errno));
}

void vm_spin_ms(unsigned int ms)
{
	struct timespec t;
	uint64_t start, now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	start = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	for (unsigned int i = 1;; i++) {
		/* An emulator that runs the CPUs in turn goes on to the next one here. */
		if (i % 64 == 0)
			vm_relax();
		clock_gettime(CLOCK_MONOTONIC, &t);
		now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
		if (now - start >= ms * 1000000ull)
			return;
	}
}

static void relax_main(void *arg)
{
	for (;;)
		vm_relax();
}

/*
 * The kernel (6.1) waits for a CPU that comes up in a loop without a pause. An emulator that gives
 * one CPU after the other all the time until the next timer (qemu 7.2 with icount) then never runs
 * the new one. A process beside that loop that does pause lets it in.
 */
void vm_set_online(int cpu, bool on)
{
	char path[80];
	pid_t helper;
	int fd;

	vm_pin(0);
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	helper = vm_fork(relax_main, NULL);
	CHECK(write(fd, on ? "1" : "0", 1) == 1, "%s: %s", path, strerror(errno));
	kill(helper, SIGKILL);
	waitpid(helper, NULL, 0);
	close(fd);
}

pid_t vm_fork(void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	CHECK(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fn(arg);
		_exit(PASS);
	}
	return pid;
}

void vm_wait(pid_t pid)
{
	int status;

	CHECK(waitpid(pid, &status, 0) == pid, "wait: %s", strerror(errno));
	/* A child that failed a CHECK has left its reason. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == FAIL && verdict->text[0])
		_exit(FAIL);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status), "a child ended with status %#x", status);
}

void *vm_shared(size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}
