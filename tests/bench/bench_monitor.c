// SPDX-License-Identifier: Apache-2.0
/*
 * bench_monitor.c - what the monitor costs.
 *
 * A table of configurations, each run idle and under a storm of context switches; the cost per run
 * of the switch program is the kernel's own statistic (run_time_ns / run_cnt), the rest is wall
 * time. Prints one line per case and exits 1 when a target is missed.
 */
#include <fcntl.h>
#include <getopt.h>
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

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME), missed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (stats < 0) {
		fprintf(stderr, "bench_monitor: cannot turn on BPF statistics: run as root\n");
		return 3;
	}
	for (size_t i = 0; i < sizeof(switch_cases) / sizeof(switch_cases[0]); i++)
		missed += bench_switch(&switch_cases[i], seconds);
	close(stats);
	return missed > 0;
}
