// SPDX-License-Identifier: Apache-2.0
/* vm_monitor.c - tenants that are processes or cgroups: switches, samples, and readers of the pins. */
#include "vm_tenants.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void attribution(enum vt_group group, bool migrate)
{
	struct vt_snapshot before = {0}, after = {0};
	struct vt_monitor *m;

	vm_start_tenants(
		(struct stage){.migrate = migrate, .cgroups = group == VT_BY_CGROUP, .steps = 600});
	m = vm_start((struct vt_monitor_opts){.group = group});
	usleep(50000); /* every tenant has woken once: its row exists, both CPUs have a baseline */
	vm_look(m, &before);
	vm_run_tenants();
	vm_look(m, &after);
	vm_check_exact(m, &before, &after);
	vm_note("%llu switches, %llu merged",
		(unsigned long long)(after.loss.switches - before.loss.switches),
		(unsigned long long)(after.loss.merged - before.loss.merged));
	vt_monitor_close(m);
	vm_stop_tenants();
}

static void processes_on_one_cpu(void)
{
	attribution(VT_BY_PROCESS, false);
}

static void processes_that_migrate(void)
{
	attribution(VT_BY_PROCESS, true);
}

static void cgroups_on_one_cpu(void)
{
	attribution(VT_BY_CGROUP, false);
}

static void cgroups_that_migrate(void)
{
	attribution(VT_BY_CGROUP, true);
}

/* ---- sampling ---------------------------------------------------------------------------- */

/*
 * One process keeps a CPU for itself: no switch closes its slice, nobody cuts it. What a reader
 * sees of it comes from the samples, and is no older than one sample period.
 */
static void busy_main(void *arg)
{
	struct tenant *t = arg;
	int ctl = vm_ctl_open();

	vm_pin(1);
	__atomic_store_n(&t->ready, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&vm_stage->go, __ATOMIC_ACQUIRE))
		usleep(1000);
	for (unsigned int i = 0; !__atomic_load_n(&t->done, __ATOMIC_ACQUIRE); i++) {
		vm_write_amounts(ctl, t->index, i, t->truth);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
	}
	for (;;)
		pause();
}

static void sampling(void)
{
	struct vt_snapshot before = {0}, during = {0}, after = {0};
	const struct vt_total *row;
	struct vt_monitor *m;
	struct tenant *t;
	uint64_t seen, truth;

	vm_pin(0);
	vm_stage = vm_shared(sizeof(*vm_stage));
	t = &vm_stage->t[0];
	t->pid = vm_fork(busy_main, t);
	while (!__atomic_load_n(&t->ready, __ATOMIC_ACQUIRE))
		usleep(1000);
	m = vm_start((struct vt_monitor_opts){.group = VT_BY_PROCESS, .sample_hz = 1000});
	usleep(20000);
	vm_look(m, &before);
	__atomic_store_n(&vm_stage->go, true, __ATOMIC_RELEASE);
	usleep(300000);
	CHECK(!vt_monitor_read(m, UINT64_MAX, &during), "read"); /* no cut */
	truth = __atomic_load_n(&t->truth[0], __ATOMIC_RELAXED);
	row = vm_row_of(&during, VT_KIND_PROCESS, (uint64_t)t->pid);
	CHECK(row && truth, "the tenant did not run");
	seen = vm_count_of(m, row, 0);
	CHECK(seen <= truth && seen >= truth / 10 * 9, "read %llu without a cut, of %llu written",
	      (unsigned long long)seen, (unsigned long long)truth);
	CHECK(during.loss.samples - before.loss.samples >= 100, "only %llu samples",
	      (unsigned long long)(during.loss.samples - before.loss.samples));
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	usleep(20000);
	vm_look(m, &after);
	row = vm_row_of(&after, VT_KIND_PROCESS, (uint64_t)t->pid);
	for (size_t r = 0; r < ROLES; r++) {
		CHECK_EQ(vm_count_of(m, row, r), t->truth[r], "counts closed by samples");
		CHECK_EQ(vm_sum_of(m, &after, r) - vm_sum_of(m, &before, r), t->truth[r],
			 "sum over all");
	}
	vm_check_no_loss(&after);
	vm_note("%llu samples", (unsigned long long)(after.loss.samples - before.loss.samples));
	vt_monitor_close(m);
	kill(t->pid, SIGKILL);
}

/* ---- pins -------------------------------------------------------------------------------- */

/* A second process reads the pinned maps and sees the same numbers; a second owner is refused. */
static void pinned_for_others(void)
{
	struct vt_monitor_opts o = {.group = VT_BY_PROCESS, .pin_dir = VT_MONITOR_PIN_DIR};
	struct vt_snapshot mine = {0}, theirs = {0};
	struct vt_monitor *m, *other, *second = NULL;
	struct vt_err e = {0};
	int ctl = vm_ctl_open(), err;
	uint64_t truth[ROLES] = {0};

	vm_pin(0);
	m = vm_start(o);
	usleep(10000);
	vm_look(m, &mine);
	for (unsigned int i = 0; i < 50; i++)
		vm_write_amounts(ctl, 2, i, truth);
	vm_look(m, &mine);
	CHECK(!vt_monitor_attach(VT_MONITOR_PIN_DIR, &other, &e), "%s", e.msg);
	CHECK(!vt_monitor_read(other, UINT64_MAX, &theirs), "read");
	for (size_t r = 0; r < ROLES; r++) {
		const struct vt_total *t = vm_row_of(&theirs, VT_KIND_PROCESS, (uint64_t)getpid());

		CHECK(t, "this process has no row");
		CHECK_EQ(vm_count_of(other, t, r), truth[r], "as read by another process");
		CHECK_EQ(vm_sum_of(other, &theirs, r), vm_sum_of(m, &mine, r), "sum");
	}
	err = vt_monitor_open(&o, &second, &e);
	CHECK(err == -EBUSY, "a second owner: %d", err);
	vt_monitor_close(other);
	vt_monitor_close(m);
	CHECK(access(VT_MONITOR_PIN_DIR "/" VT_ABI_DIR, F_OK), "pins are left behind");
}

const struct vm_test vm_monitor_tests[] = {
	{"switch_processes_on_one_cpu", processes_on_one_cpu, true},
	{"switch_processes_that_migrate", processes_that_migrate, false},
	{"switch_cgroups_on_one_cpu", cgroups_on_one_cpu, true},
	{"switch_cgroups_that_migrate", cgroups_that_migrate, true},
	{"sample_closes_long_slices", sampling, true},
	{"pinned_for_others", pinned_for_others, true},
	{0},
};
