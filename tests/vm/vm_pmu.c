// SPDX-License-Identifier: Apache-2.0
/* vm_pmu.c - the scripted PMU does what the other tests rely on, and the event code finds it. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const events[] = {"cycles",	   "instructions", "llc_refs",
				     "llc_misses", "l2_misses",	   "dram_fills"};
#define EVENTS (sizeof(events) / sizeof(events[0]))

/* Every event, on the CPU where it happened and nowhere else. */
static void counts_are_exact(void)
{
	int ctl = vm_ctl_open(), fd[2][EVENTS];
	uint64_t before[2][EVENTS];

	for (int cpu = 0; cpu < 2; cpu++) {
		for (size_t i = 0; i < EVENTS; i++) {
			struct vt_event ev = vm_event(events[i]);

			fd[cpu][i] = vm_open(&ev, -1, cpu);
			before[cpu][i] = vm_value(fd[cpu][i]);
		}
	}
	vm_pin(0);
	for (size_t i = 0; i < EVENTS; i++)
		vm_add(ctl, events[i], 1000 + i);
	vm_pin(1);
	for (size_t i = 0; i < EVENTS; i++)
		vm_add(ctl, events[i], 70000 * (i + 1));
	for (size_t i = 0; i < EVENTS; i++) {
		CHECK_EQ(vm_value(fd[0][i]) - before[0][i], 1000 + i, events[i]);
		CHECK_EQ(vm_value(fd[1][i]) - before[1][i], 70000 * (i + 1), events[i]);
	}
}

/* The generic names and raw codes of a core PMU, and the aliases of either face. */
static void names_reach_their_event(void)
{
	static const struct {
		const char *text, *event;
		bool as_cpu;
	} rows[] = {
		{"cycles", "cycles", true},
		{"instructions", "instructions", true},
		{"cache-references", "llc_refs", true},
		{"cache-misses", "llc_misses", true},
		{"LLC-loads", "llc_refs", true},
		{"LLC-load-misses", "llc_misses", true},
		{"node-loads", "dram_fills", true},
		{"r412e", "llc_misses", true},
		{"r1ff1", "l2_misses", true},
		{"cpu/cache-misses/", "llc_misses", true},
		{"cpu/event=0x2e,umask=0x4f/", "llc_refs", true},
		{"veltair/llc_misses/", "llc_misses", false},
		{"veltair/event=5/", "dram_fills", false},
	};
	int ctl = vm_ctl_open();

	vm_pin(0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct vt_event_env env = {0};
		struct vt_event ev;
		struct vt_err e = {0};
		uint64_t before;
		int fd;

		if (rows[i].as_cpu != vm_as_cpu)
			continue;
		CHECK(!vt_event_parse(&env, rows[i].text, &ev, &e), "%s", e.msg);
		fd = vm_open(&ev, -1, 0);
		before = vm_value(fd);
		vm_add(ctl, rows[i].event, 1000 + i);
		CHECK_EQ(vm_value(fd) - before, 1000 + i, rows[i].text);
		close(fd);
	}
}

/* Production code finds a hardware event for every role, on a known CPU and on an unknown one. */
static void roles_resolve_to_hardware(void)
{
	struct vt_event_env env = {0};

	for (enum vt_role role = 0; role < VT_ROLE_COUNT; role++) {
		struct vt_event ev;
		struct vt_err e = {0};
		char text[64];
		int err;

		snprintf(text, sizeof(text), "veltair/%s/", vt_role_name(role));
		err = vt_event_resolve(&env, vm_as_cpu ? VT_CPU_SKX : VT_CPU_UNKNOWN, role,
				       vm_as_cpu ? NULL : text, 0, &ev, &e);
		CHECK(!err, "%s", e.msg);
		CHECK(ev.cls == VT_CLASS_HW, "%s is %s by %s", vt_role_name(role),
		      vt_event_class_name(ev.cls), ev.name);
		if (!vm_as_cpu || role == VT_ROLE_L2_MISSES) /* the one without a generic name */
			continue;
		err = vt_event_resolve(&env, VT_CPU_UNKNOWN, role, NULL, 0, &ev, &e);
		CHECK(!err, "unknown CPU: %s", e.msg);
		CHECK(ev.cls == VT_CLASS_HW, "unknown CPU: %s is %s", vt_role_name(role), ev.name);
	}
}

/* One window: each event runs two thirds of it, and scaling finds the whole. Largest error, ppm. */
static uint64_t multiplexed_window(const int fd[3], const uint64_t per_ms[3])
{
	struct vm_count before[3], after[3];
	uint64_t worst = 0;

	for (int i = 0; i < 3; i++)
		vm_read(fd[i], &before[i]);
	vm_spin_ms(600);
	for (int i = 0; i < 3; i++) {
		vm_read(fd[i], &after[i]);
		double enabled = (double)(after[i].enabled - before[i].enabled);
		double running = (double)(after[i].running - before[i].running);
		double n = (double)(after[i].value - before[i].value);
		uint64_t error = vm_error_ppm((uint64_t)(n * enabled / running),
					      (uint64_t)(enabled / 1e6 * (double)per_ms[i]));

		CHECK(running / enabled > 0.2 && running / enabled < 0.95,
		      "event %d ran %.2f of the time", i, running / enabled);
		worst = error > worst ? error : worst;
	}
	return worst;
}

/* Three events on two slots. A busy host can spoil a window where the clock is the host's. */
static void multiplexing_scales(void)
{
	static const char *const three[] = {"llc_refs", "llc_misses", "cycles"};
	static const uint64_t per_ms[] = {100000, 200000, 300000};
	uint64_t best = UINT64_MAX;
	int fd[3];

	vm_ctl("slots 2");
	for (int i = 0; i < 3; i++) {
		struct vt_event ev = vm_event(three[i]);

		vm_ctl("cpurate 1 %s %llu", three[i], (unsigned long long)per_ms[i]);
		fd[i] = vm_open(&ev, -1, 1);
	}
	vm_pin(0);
	for (int i = 0; i < 8 && best > 10000; i++) {
		uint64_t error = multiplexed_window(fd, per_ms);

		best = error < best ? error : best;
	}
	CHECK(best <= 10000, "off by %llu ppm", (unsigned long long)best);
	vm_note("largest error %llu ppm", (unsigned long long)best);
}

/* No slot at all: opens, never runs. Event code must take the next candidate, or say so. */
static void event_that_never_runs(void)
{
	struct vt_event_env env = {0};
	struct vt_event ev = vm_event("llc_misses"), found;
	struct vt_err e = {0};
	struct vm_count c;
	int fd, err;

	vm_ctl("slots 0");
	fd = vm_open(&ev, -1, 0);
	vm_spin_ms(20);
	CHECK(vm_read(fd, &c) && c.enabled > 0, "the event is not enabled");
	CHECK_EQ(c.running, 0, "time running without a slot");
	close(fd);
	err = vt_event_resolve(&env, VT_CPU_SKX, VT_ROLE_LLC_MISSES, ev.name, 0, &found, &e);
	CHECK(err == -ENODATA, "override: %d %s", err, e.msg);
	if (!vm_as_cpu) /* nothing else leads to a PMU of this name */
		return;
	e = (struct vt_err){0};
	err = vt_event_resolve(&env, VT_CPU_SKX, VT_ROLE_LLC_MISSES, NULL, 0, &found, &e);
	CHECK(!err && found.cls == VT_CLASS_SW, "%s", err ? e.msg : found.name);
	err = vt_event_resolve(&env, VT_CPU_SKX, VT_ROLE_INSTRUCTIONS, NULL, 0, &found, &e);
	CHECK(err == -ENOTSUP && strstr(e.msg, "never gets a counter"), "%d: %s", err, e.msg);
}

/* A pinned event that finds no slot reads end of file, which must not be taken for a count. */
static void pinned_without_slot(void)
{
	struct vt_event ev = vm_event("llc_misses");
	struct perf_event_attr attr;
	struct vm_count c;
	int fd;

	vm_ctl("slots 0");
	vt_event_attr(&ev, &attr);
	attr.pinned = 1;
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	CHECK(fd >= 0, "open: %s", strerror(errno));
	CHECK(!vm_read(fd, &c), "reads %llu", (unsigned long long)c.value);
}

/* Period 1000: 700 are none, 9800 more make ten samples; the write returns after the last one. */
static void overflow_samples(void)
{
	struct vt_event ev = vm_event("llc_misses");
	struct perf_event_mmap_page *page;
	struct perf_event_attr attr;
	int ctl = vm_ctl_open(), fd;
	const uint64_t record = sizeof(struct perf_event_header) + sizeof(uint64_t);

	vt_event_attr(&ev, &attr);
	attr.sample_period = 1000;
	attr.sample_type = PERF_SAMPLE_PERIOD;
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	CHECK(fd >= 0, "open: %s", strerror(errno));
	page = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(page != MAP_FAILED, "mmap: %s", strerror(errno));
	vm_pin(0);
	vm_add(ctl, "llc_misses", 700);
	CHECK_EQ(__atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), 0, "bytes of samples");
	vm_add(ctl, "llc_misses", 9800);
	CHECK_EQ(__atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), 10 * record,
		 "bytes of samples");
	CHECK_EQ(vm_value(fd), 10500, "count beside the samples");
}

/* A process's rate holds while it runs, on whichever CPU, and for nobody else. */
static void rate_of_a_process(void)
{
	struct vt_event miss = vm_event("llc_misses"), clock;
	struct vt_event_env env = {0};
	struct vm_count a[2], b[2];
	uint64_t best = UINT64_MAX;
	int fd, time_fd;

	vm_ctl("rate %d llc_misses 50000", getpid());
	CHECK(!vt_event_parse(&env, "task-clock", &clock, NULL), "task-clock");
	fd = vm_open(&miss, 0, -1);
	time_fd = vm_open(&clock, 0, -1);
	for (int tries = 0; tries < 5 && best > 50000; tries++) {
		uint64_t error;

		vm_read(fd, &a[0]);
		vm_read(time_fd, &b[0]);
		for (int i = 0; i < 10; i++) {
			vm_pin(i % 2);
			vm_spin_ms(20);
			usleep(5000); /* off the CPU, nothing happens */
		}
		vm_read(fd, &a[1]);
		vm_read(time_fd, &b[1]);
		error = vm_error_ppm(a[1].value - a[0].value, (b[1].value - b[0].value) / 20);
		best = error < best ? error : best;
	}
	/* the clock and the counter are started one after the other, slowly in an emulator */
	CHECK(best <= 50000, "off by %llu ppm", (unsigned long long)best);
}

static void bad_commands(void)
{
	static const char *const lines[] = {
		"",
		"add",
		"add llc_misses",
		"add llc_mises 1",
		"add llc_misses x",
		"slots 9",
		"slots",
		"rate 0 cycles 1",
		"rate 1 cycles",
		"cpurate 9999 cycles 1",
		"fly 1",
		"add cycles 1 x",
	};
	int ctl = vm_ctl_open();

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		CHECK(write(ctl, lines[i], strlen(lines[i]) + (i == 0)) < 0 &&
			      (errno == EINVAL || errno == ENOENT),
		      "'%s' is accepted", lines[i]);
}

/* Pulling the module from under an open event must fail, not crash. */
static void module_is_held(void)
{
	struct vt_event ev = vm_event("cycles");
	int fd = vm_open(&ev, -1, 0);
	long err = syscall(SYS_delete_module, "veltair_pmu", O_NONBLOCK);

	CHECK(err < 0 && (errno == EAGAIN || errno == EBUSY), "unloaded under an open event");
	close(fd);
}

const struct vm_test vm_pmu_tests[] = {
	{"pmu_counts_are_exact", counts_are_exact, false},
	{"pmu_names_reach_their_event", names_reach_their_event, false},
	{"pmu_roles_resolve_to_hardware", roles_resolve_to_hardware, false},
	{"pmu_multiplexing_scales", multiplexing_scales, false},
	{"pmu_event_that_never_runs", event_that_never_runs, false},
	{"pmu_pinned_without_slot", pinned_without_slot, false},
	{"pmu_overflow_samples", overflow_samples, false},
	{"pmu_rate_of_a_process", rate_of_a_process, true},
	{"pmu_bad_commands", bad_commands, true},
	{"pmu_module_is_held", module_is_held, true},
	{0},
};
