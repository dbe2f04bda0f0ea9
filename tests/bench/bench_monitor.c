// SPDX-License-Identifier: Apache-2.0
/*
 * bench_monitor.c - what the monitor costs.
 *
 * A table of configurations, each run idle and under a storm of context switches; the cost per run
 * of the switch program is the kernel's own statistic (run_time_ns / run_cnt), the rest is wall
 * time. Prints one line per case and exits 1 when a target is missed.
 */
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "monitor/impl.h"

#define MAX_PAIRS 2

/* ---- load: pairs of processes that hand a byte to each other on one CPU ------------------ */

struct storm {
	pid_t pid[2 * MAX_PAIRS];
	int n;
};

static void bounce(int from, int to)
{
	char c = 0;

	while (read(from, &c, 1) == 1 && write(to, &c, 1) == 1)
		;
	_exit(0);
}

static void start_pair(struct storm *s, unsigned int cpu)
{
	int a[2], b[2];
	char c = 0;

	if (pipe(a) || pipe(b))
		exit(1);
	for (int side = 0; side < 2; side++) {
		pid_t pid = fork();

		if (!pid) {
			vt_cpuset_pin_self(cpu);
			bounce(side ? a[0] : b[0], side ? b[1] : a[1]);
		}
		s->pid[s->n++] = pid;
	}
	if (write(a[1], &c, 1) != 1)
		exit(1);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

static void stop(struct storm *s)
{
	for (int i = 0; i < s->n; i++) {
		kill(s->pid[i], SIGKILL);
		waitpid(s->pid[i], NULL, 0);
	}
	s->n = 0;
}

/* ---- cost of a switch -------------------------------------------------------------------- */

struct cost {
	uint64_t runs, ns;
};

static struct cost program_cost(const struct vt_monitor *m)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	bpf_obj_get_info_by_fd(m->fd_switch, &info, &len);
	return (struct cost){info.run_cnt, info.run_time_ns};
}

struct switch_case {
	const char *name;
	enum vt_group group;
	bool no_events;
	const char *event; /* into four roles */
	bool storm;
	double max_ns;
};

static const struct switch_case switch_cases[] = {
	{"no counters, processes, idle", VT_BY_PROCESS, true, NULL, false, 300},
	{"no counters, processes, storm", VT_BY_PROCESS, true, NULL, true, 300},
	{"no counters, cgroups, storm", VT_BY_CGROUP, true, NULL, true, 300},
	{"4 x page-faults, processes, idle", VT_BY_PROCESS, false, "page-faults", false, 700},
	{"4 x page-faults, processes, storm", VT_BY_PROCESS, false, "page-faults", true, 700},
	{"4 x page-faults, cgroups, storm", VT_BY_CGROUP, false, "page-faults", true, 700},
	{"4 x cpu-clock, processes, storm", VT_BY_PROCESS, false, "cpu-clock", true, 700},
	{"4 x msr/tsc/, processes, storm", VT_BY_PROCESS, false, "msr/tsc/", true, 700},
};

static int bench_switch(const struct switch_case *t, double seconds)
{
	struct vt_monitor_opts o = {.group = t->group, .no_events = t->no_events, .roles = 0xf};
	struct vt_event_overrides ev = {0};
	struct vt_err e = {0};
	struct storm s = {0};
	struct vt_snapshot before = {0}, after = {0};
	struct vt_monitor *m;
	struct cost a, b;
	double per_run, switches;

	for (int r = 0; r < 4 && t->event; r++)
		snprintf(ev.text[r], sizeof(ev.text[r]), "%s", t->event);
	o.ev = &ev;
	if (vt_monitor_open(&o, &m, &e)) {
		printf("%-36s skipped: %s\n", t->name, e.msg);
		return 0;
	}
	if (t->storm)
		start_pair(&s, 1);
	usleep(100000);
	vt_monitor_read(m, UINT64_MAX, &before);
	a = program_cost(m);
	usleep((useconds_t)(seconds * 1e6));
	b = program_cost(m);
	vt_monitor_read(m, UINT64_MAX, &after);
	stop(&s);
	switches = (double)(after.loss.switches - before.loss.switches);
	per_run = (double)(b.ns - a.ns) / (double)(b.runs - a.runs);
	printf("%-36s %6.0f ns/switch (at most %.0f) %9.0f switches/s, %2.0f %% merged %s\n",
	       t->name, per_run, t->max_ns, switches / seconds,
	       100 * (double)(after.loss.merged - before.loss.merged) / switches,
	       per_run <= t->max_ns ? "" : "MISSED");
	vt_snapshot_fini(&before);
	vt_snapshot_fini(&after);
	vt_monitor_close(m);
	return per_run > t->max_ns;
}

/* ---- control: a program that does nothing ------------------------------------------------ */

/* What the machine itself takes for a run of an empty program; on an idle one, mostly cache misses.
 */
static void bench_empty(bool storm, double seconds)
{
	const struct bpf_insn insn[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K},
					{.code = BPF_JMP | BPF_EXIT}};
	int fd = bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "empty", "GPL", insn, 2, NULL);
	int link = fd < 0 ? -1 : bpf_raw_tracepoint_open("sched_switch", fd);
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	struct storm s = {0};

	if (storm)
		start_pair(&s, 1);
	usleep((useconds_t)(seconds * 1e6));
	bpf_obj_get_info_by_fd(fd, &info, &len);
	stop(&s);
	close(link);
	close(fd);
	printf("%-36s %6.0f ns/switch\n",
	       storm ? "control: empty program, storm" : "control: empty program, idle",
	       (double)info.run_time_ns / (double)(info.run_cnt ? info.run_cnt : 1));
}

/* ---- reading ----------------------------------------------------------------------------- */

#define READ_TENANTS 1000
#define READ_CPUS    64
#define READ_MAX_MS  1.0
#define READ_ROUNDS  201

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Rows that 64 CPUs would have written: the same memory, the same walk. */
static void pretend(struct vt_monitor *m)
{
	for (unsigned int c = 0; c < READ_CPUS; c++) {
		for (uint32_t r = 0; r < READ_TENANTS + VT_ROW_FIRST; r++) {
			struct vt_row *row = &m->rows[(size_t)c * m->meta.max_rows + r];

			row->tenant = VT_KEY(VT_KIND_CGROUP, r + 1000);
			row->slices++;
			row->run_ns += r;
		}
		m->cpus[c].flushes++;
	}
	m->cpus[0].row_high_user = READ_TENANTS + VT_ROW_FIRST;
}

static int bench_read(void)
{
	struct vt_event_overrides ev = {
		.text = {"page-faults", "page-faults", "page-faults", "page-faults"}};
	struct vt_monitor_opts o = {.cpus = READ_CPUS, .roles = 0xf, .ev = &ev};
	struct vt_snapshot s = {0};
	double ms[READ_ROUNDS];
	struct vt_err e = {0};
	struct vt_monitor *m;

	if (vt_monitor_open(&o, &m, &e)) {
		printf("read-out skipped: %s\n", e.msg);
		return 0;
	}
	for (int i = 0; i < READ_ROUNDS; i++) {
		uint64_t t;

		pretend(m); /* every line is dirty again, as if the CPUs had just written it */
		t = vt_now_mono_ns();
		vt_monitor_read(m, UINT64_MAX, &s);
		ms[i] = (double)(vt_now_mono_ns() - t) / 1e6;
	}
	qsort(ms, READ_ROUNDS, sizeof(ms[0]), by_value);
	printf("read-out of %d tenants on %d CPUs, 4 slots: median %.2f ms, worst of %d %.2f ms "
	       "(at most %.0f) %s\n",
	       READ_TENANTS, READ_CPUS, ms[READ_ROUNDS / 2], READ_ROUNDS, ms[READ_ROUNDS - 1],
	       READ_MAX_MS, ms[READ_ROUNDS / 2] <= READ_MAX_MS ? "" : "MISSED");
	vt_snapshot_fini(&s);
	vt_monitor_close(m);
	return ms[READ_ROUNDS / 2] > READ_MAX_MS;
}

#define CUTS 100000

static int bench_cut(void)
{
	struct vt_event_overrides ev = {
		.text = {"page-faults", "page-faults", "page-faults", "page-faults"}};
	struct vt_monitor_opts o = {.roles = 0xf, .ev = &ev};
	struct vt_err e = {0};
	struct vt_worker *w;
	struct vt_monitor *m;
	uint32_t row[2];
	uint64_t t;

	if (vt_monitor_open(&o, &m, &e)) {
		printf("cut skipped: %s\n", e.msg);
		return 0;
	}
	if (vt_monitor_tenant_add(m, 1, "a", &row[0], &e) ||
	    vt_monitor_tenant_add(m, 2, "b", &row[1], &e) ||
	    vt_monitor_worker_add(m, (pid_t)syscall(SYS_gettid), &w, &e)) {
		fprintf(stderr, "bench_monitor: %s\n", e.msg);
		return 1;
	}
	t = vt_now_mono_ns();
	for (int i = 0; i < CUTS; i++)
		vt_monitor_cut(m, w, row[i & 1]);
	t = vt_now_mono_ns() - t;
	printf("exact cut, 4 slots, system call included: %.0f ns\n", (double)t / CUTS);
	vt_monitor_close(m);
	return 0;
}

/* ---- the command itself ------------------------------------------------------------------ */

#define OWN_MAX_PERCENT 0.5

static _Noreturn void bare_loop(int seconds)
{
	uint64_t t = vt_now_mono_ns();

	for (int i = 0; i < seconds * 100; i++)
		vt_sleep_until_mono_ns(t += 10 * VT_NS_PER_MS);
	_exit(0);
}

static double cpu_seconds_of(const char *veltair, int seconds)
{
	char text[16];
	struct rusage u;
	int status, null;
	pid_t pid = fork();

	if (!pid && !veltair)
		bare_loop(seconds);
	if (!pid) {
		snprintf(text, sizeof(text), "%d", seconds);
		null = open("/dev/null", O_WRONLY);
		dup2(null, 1);
		execl(veltair, "veltair", "monitor", "--no-pin", "-i", "10", "-d", text, "--csv",
		      (char *)NULL);
		_exit(127);
	}
	if (wait4(pid, &status, 0, &u) != pid || status)
		return NAN;
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* Loading costs the same in a short run and a long one: the difference is what a second costs. */
static double percent_of(const char *veltair)
{
	return (cpu_seconds_of(veltair, 8) - cpu_seconds_of(veltair, 2)) / 6 * 100;
}

/* In a VM, waking up 100 times a second is most of it; that is not the monitor's. */
static int bench_command(const char *veltair)
{
	double bare = percent_of(NULL), whole = percent_of(veltair), own = whole - bare;

	printf("veltair monitor, 10 ms windows, by cgroup: %.2f %% of one core, of which %.2f %% "
	       "an empty "
	       "10 ms timer loop: own %.2f %% (at most %.1f) %s\n",
	       whole, bare, own, OWN_MAX_PERCENT, own <= OWN_MAX_PERCENT ? "" : "MISSED");
	return !(own <= OWN_MAX_PERCENT);
}

int main(int argc, char **argv)
{
	const char *veltair = argc > 1 ? argv[1] : "build/release/veltair";
	double seconds = argc > 2 ? atof(argv[2]) : 2;
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME), missed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (stats < 0) {
		fprintf(stderr, "bench_monitor: cannot turn on BPF statistics: run as root\n");
		return 3;
	}
	for (int storm = 0; storm < 2; storm++)
		bench_empty(storm, seconds);
	for (size_t i = 0; i < sizeof(switch_cases) / sizeof(switch_cases[0]); i++)
		missed += bench_switch(&switch_cases[i], seconds);
	close(stats);
	missed += bench_read() + bench_cut() + bench_command(veltair);
	return missed > 0;
}
