// SPDX-License-Identifier: Apache-2.0
#include "vm_tenants.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const enum vt_role vm_roles[ROLES] = {VT_ROLE_CYCLES, VT_ROLE_LLC_REFS, VT_ROLE_LLC_MISSES};

/* What tenant @t writes at its step @i: different for all three, and never twice the same. */
static uint64_t amount(unsigned int t, size_t role, unsigned int i)
{
	static const uint64_t base[TENANTS] = {7, 1009, 100003};

	return base[t] * (role + 1) + i % 5;
}

void vm_write_amounts(int ctl, unsigned int t, unsigned int i, uint64_t *sum)
{
	char line[160];
	int n = 3;

	memcpy(line, "add", 3);
	for (size_t r = 0; r < ROLES; r++) {
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s %llu",
			      vt_role_name(vm_roles[r]), (unsigned long long)amount(t, r, i));
		sum[r] += amount(t, r, i);
	}
	CHECK(write(ctl, line, (size_t)n) == n, "'%s': %s", line, strerror(errno));
}

/* ---- the monitor under test -------------------------------------------------------------- */

/* Only the three vm_roles that are scripted: two slots then mean multiplexing, three do not. */
struct vt_monitor *vm_start(struct vt_monitor_opts o)
{
	struct vt_event_overrides ev = {0};
	struct vt_monitor *m;
	struct vt_err e = {0};

	for (size_t r = 0; r < ROLES; r++) {
		o.roles |= 1u << vm_roles[r];
		if (!vm_as_cpu) /* nothing but its name leads to the other face */
			snprintf(ev.text[vm_roles[r]], sizeof(ev.text[0]), "veltair/%s/",
				 vt_role_name(vm_roles[r]));
	}
	o.ev = &ev;
	CHECK(!vt_monitor_open(&o, &m, &e), "%s", e.msg);
	for (size_t r = 0; r < ROLES; r++) {
		int slot = vt_monitor_slot_of(m, vm_roles[r]);

		CHECK(slot >= 0, "%s", vt_monitor_absent(m, vm_roles[r]));
		CHECK(!strcmp(vt_monitor_slot(m, (unsigned int)slot)->cls, "hw"),
		      "%s is counted by %s", vt_role_name(vm_roles[r]),
		      vt_monitor_slot(m, (unsigned int)slot)->event);
	}
	return m;
}

void vm_look(struct vt_monitor *m, struct vt_snapshot *s)
{
	CHECK(!vt_monitor_read(m, 0, s), "read");
}

uint64_t vm_count_of(const struct vt_monitor *m, const struct vt_total *t, size_t role)
{
	return t->count[vt_monitor_slot_of(m, vm_roles[role])];
}

uint64_t vm_sum_of(const struct vt_monitor *m, const struct vt_snapshot *s, size_t role)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < s->rows; i++)
		sum += vm_count_of(m, &s->total[i], role);
	return sum;
}

/* The row of a process or cgroup; NULL as long as it never ran. */
const struct vt_total *vm_row_of(const struct vt_snapshot *s, enum vt_tenant_kind kind, uint64_t id)
{
	for (uint32_t i = 0; i < s->rows; i++)
		if (vt_key_kind(s->total[i].tenant) == kind && vt_key_id(s->total[i].tenant) == id)
			return &s->total[i];
	return NULL;
}

void vm_check_no_loss(const struct vt_snapshot *s)
{
	CHECK_EQ(s->loss.read_errors, 0, "read errors");
	CHECK_EQ(s->loss.backwards, 0, "counters that ran backwards");
	CHECK_EQ(s->loss.rows_full, 0, "tenants without a row");
	CHECK_EQ(s->loss.recursion, 0, "runs refused by the kernel");
}

/* ---- tenants that are processes ---------------------------------------------------------- */

static void cgroup_path(char *buf, size_t len, const struct tenant *t)
{
	snprintf(buf, len, "/sys/fs/cgroup/tenant%u", t->index);
}

static void enter_cgroup(struct tenant *t)
{
	char path[64], procs[80];
	struct stat st;
	int fd;

	cgroup_path(path, sizeof(path), t);
	CHECK(!mkdir(path, 0755) || errno == EEXIST, "mkdir %s: %s", path, strerror(errno));
	CHECK(!stat(path, &st), "stat %s", path);
	t->cgroup = st.st_ino;
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
	fd = open(procs, O_WRONLY);
	CHECK(fd >= 0 && write(fd, "0", 1) == 1, "%s: %s", procs, strerror(errno));
	close(fd);
}

/* The three ways off a CPU, in turn: yield, sleep, and staying until preempted or migrated. */
static void give_way(const struct stage *st, const struct tenant *t, unsigned int i)
{
	if (st->migrate)
		vm_pin((int)(i + t->index) % 2);
	switch (i % 3) {
	case 0:
		sched_yield();
		break;
	case 1:
		usleep(200);
		break;
	}
}

struct stage *vm_stage;

/*
 * Busy, in uneven pieces. In even ones, three tenants and three events would take turns in lock
 * step, and a tenant would meet the same event always off its counter.
 */
static void busy(unsigned int ms, unsigned int seed)
{
	for (unsigned int spent = 0, r = seed + 1; spent < ms;) {
		r = r * 1664525u + 1013904223u;
		unsigned int piece = 1 + (r >> 16) % 5;

		vm_spin_ms(piece);
		spent += piece;
		usleep((r >> 20) % 1500);
	}
}

static void tenant_main(void *arg)
{
	struct tenant *t = arg;
	int ctl = vm_ctl_open();

	if (vm_stage->cgroups)
		enter_cgroup(t);
	vm_pin(1);
	__atomic_store_n(&t->ready, true, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&vm_stage->go, __ATOMIC_ACQUIRE))
		usleep(2000);
	for (unsigned int i = 0; i < vm_stage->steps; i++) {
		vm_write_amounts(ctl, t->index, i, t->truth);
		give_way(vm_stage, t, i);
	}
	busy(vm_stage->steps ? 0 : vm_stage->spin_ms, t->index);
	__atomic_store_n(&t->done, true, __ATOMIC_RELEASE);
	for (;;) /* the row of a process that exits is given away */
		pause();
}

static void wait_all(const bool *first)
{
	for (int i = 0; i < TENANTS; i++) {
		const bool *flag =
			(const bool *)((const char *)first + (size_t)i * sizeof(struct tenant));

		while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE))
			usleep(2000);
	}
}

/* Tenants start, are named, and wait; then the baseline; then the load. */
void vm_start_tenants(struct stage how)
{
	vm_pin(0);
	vm_stage = vm_shared(sizeof(*vm_stage));
	*vm_stage = how;
	for (unsigned int i = 0; i < TENANTS; i++) {
		vm_stage->t[i].index = i;
		vm_stage->t[i].pid = vm_fork(tenant_main, &vm_stage->t[i]);
	}
	wait_all(&vm_stage->t[0].ready);
	usleep(20000);
}

void vm_run_tenants(void)
{
	__atomic_store_n(&vm_stage->go, true, __ATOMIC_RELEASE);
	wait_all(&vm_stage->t[0].done);
	usleep(20000);
}

void vm_stop_tenants(void)
{
	char path[64];

	for (int i = 0; i < TENANTS; i++) {
		kill(vm_stage->t[i].pid, SIGKILL);
		while (kill(vm_stage->t[i].pid, 0) == 0 && usleep(1000) == 0)
			if (waitpid(vm_stage->t[i].pid, NULL, 0) > 0)
				break;
		cgroup_path(path, sizeof(path), &vm_stage->t[i]);
		if (vm_stage->cgroups)
			rmdir(path);
	}
}

const struct vt_total *vm_row_of_tenant(const struct vt_snapshot *s, int i)
{
	return vm_stage->cgroups ? vm_row_of(s, VT_KIND_CGROUP, vm_stage->t[i].cgroup)
				 : vm_row_of(s, VT_KIND_PROCESS, (uint64_t)vm_stage->t[i].pid);
}

/* Every tenant exactly what it wrote, and nobody else anything. */
void vm_check_exact(struct vt_monitor *m, const struct vt_snapshot *before,
		    const struct vt_snapshot *after)
{
	for (size_t r = 0; r < ROLES; r++) {
		uint64_t truth = 0;

		for (int i = 0; i < TENANTS; i++) {
			const struct vt_total *a = vm_row_of_tenant(after, i);
			const struct vt_total *b = vm_row_of_tenant(before, i);
			char what[64];

			snprintf(what, sizeof(what), "tenant %d, %s", i, vt_role_name(vm_roles[r]));
			CHECK(a, "tenant %d has no row", i);
			CHECK_EQ(vm_count_of(m, a, r) - (b ? vm_count_of(m, b, r) : 0),
				 vm_stage->t[i].truth[r], what);
			truth += vm_stage->t[i].truth[r];
		}
		CHECK_EQ(vm_sum_of(m, after, r) - vm_sum_of(m, before, r), truth,
			 "sum over all tenants");
	}
	vm_check_no_loss(after);
}
