// SPDX-License-Identifier: Apache-2.0
/* read.c - cuts and snapshots. The sums come from mapped memory; only a cut is a system call. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "monitor/impl.h"
#include "monitor/load.h"

static int cut(int prog, uint64_t *args, size_t bytes, uint32_t flags, uint32_t cpu)
{
	LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = args, .ctx_size_in = (uint32_t)bytes,
		    .flags = flags, .cpu = cpu);

	return bpf_prog_test_run_opts(prog, &o) ? -errno : 0;
}

int vt_monitor_cut(struct vt_monitor *m, struct vt_worker *w, uint32_t row)
{
	uint64_t args[2] = {(uint64_t)(w - m->workers) + 1, row};

	return cut(m->fd_cut, args, sizeof(args), 0, 0);
}

int vt_monitor_cut_cpu(struct vt_monitor *m, unsigned int cpu)
{
	uint64_t args[2] = {VT_CUT_ONLY, 0};

	return cut(m->fd_cut, args, sizeof(args), BPF_F_TEST_RUN_ON_CPU, cpu);
}

/* What the program answers, which is never 0, or -errno. */
static pid_t who(const struct vt_monitor *m, uint64_t what)
{
	LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = &what, .ctx_size_in = sizeof(what));

	return bpf_prog_test_run_opts(m->fd_who, &o) ? -errno : (pid_t)o.retval;
}

pid_t vt_monitor_tid(const struct vt_monitor *m)
{
	return who(m, 0);
}

pid_t vt_monitor_tgid(const struct vt_monitor *m)
{
	return who(m, 1);
}

/* ---- snapshot ---------------------------------------------------------------------------- */

static bool idle(const struct vt_cpu *c)
{
	return !c->worker && c->row == VT_ROW_IDLE;
}

/* A CPU that went offline meanwhile answers -ENXIO: nothing runs there. */
void vt_monitor_cut_old(struct vt_monitor *m, uint64_t max_age_ns)
{
	uint64_t now = vt_now_mono_ns();

	if (max_age_ns == UINT64_MAX)
		return;
	for (unsigned int i = 0; i < m->meta.cpus; i++) {
		const struct vt_cpu *c = &m->cpus[i];
		const uint64_t last = __atomic_load_n(&c->last_ns, __ATOMIC_RELAXED);

		if (!last || idle(c) || (max_age_ns && now < last + max_age_ns))
			continue;
		vt_monitor_cut_cpu(m, i);
	}
}

static uint32_t rows_high(const struct vt_monitor *m)
{
	uint64_t high = VT_ROW_FIRST;

	for (unsigned int c = 0; c < m->meta.cpus; c++) {
		if (m->cpus[c].row_high > high)
			high = m->cpus[c].row_high;
		if (m->cpus[c].row_high_user > high)
			high = m->cpus[c].row_high_user;
	}
	return high < m->meta.max_rows ? (uint32_t)high : m->meta.max_rows;
}

static void add_losses(struct vt_losses *l, const struct vt_cpu *c)
{
	l->switches += c->switches;
	l->merged += c->merged;
	l->cuts += c->cuts;
	l->samples += c->samples;
	/* Every switch that was not merged, every cut and every sample flushed or was nested. */
	l->flushes += c->switches - c->merged + c->cuts + c->samples - c->nested;
	l->chain_miss += c->chain_miss;
	l->read_errors += c->read_errors;
	l->first_dropped += c->first_dropped;
	l->backwards += c->backwards;
	l->nested += c->nested;
	l->rows_full += c->rows_full;
	l->ring_full += c->ring_full;
}

/* One CPU's part, row by row in memory order. Each word is written by that CPU alone, atomically. */
static void add_cpu(const struct vt_monitor *m, unsigned int cpu, struct vt_snapshot *s)
{
	const struct vt_row *r = m->rows + (size_t)cpu * m->meta.max_rows;
	unsigned int slots = m->meta.slots;

	for (uint32_t i = 0; i < s->rows; i++, r++) {
		struct vt_total *t = &s->total[i];

		if (!r->slices)
			continue;
		t->tenant = r->tenant;
		t->run_ns += __atomic_load_n(&r->run_ns, __ATOMIC_RELAXED);
		t->slices += __atomic_load_n(&r->slices, __ATOMIC_RELAXED);
		for (unsigned int k = 0; k < slots; k++)
			t->count[k] += __atomic_load_n(&r->count[k], __ATOMIC_RELAXED);
		if (!m->cpus[cpu].multiplexed)
			continue;
		for (unsigned int k = 0; k < slots; k++)
			t->lost_ns[k] += __atomic_load_n(&r->lost_ns[k], __ATOMIC_RELAXED);
	}
}

static int grow(struct vt_snapshot *s, uint32_t rows)
{
	struct vt_total *t;

	if (rows > s->room) {
		t = realloc(s->total, sizeof(*t) * rows);
		if (!t)
			return -ENOMEM;
		s->total = t;
		s->room = rows;
	}
	memset(s->total, 0, sizeof(*s->total) * rows);
	s->rows = rows;
	return 0;
}

/* The kernel looks through its BTF to answer this: 20 us, so ask once a second. */
static uint64_t recursion(struct vt_monitor *m, uint64_t now_ns)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	if (m->recursion_ns && now_ns - m->recursion_ns < VT_NS_PER_S)
		return m->recursion;
	if (!bpf_obj_get_info_by_fd(m->fd_switch, &info, &len))
		m->recursion = info.recursion_misses;
	m->recursion_ns = now_ns;
	return m->recursion;
}

/* A cut would charge all the time since to whoever ran last: nobody tells of switches any more. */
int vt_monitor_alive(const struct vt_monitor *m, struct vt_err *e)
{
	if (m->skel || vt_pins_alive(&m->pins))
		return 0;
	return vt_fail(e, -ESRCH, "the owner of the counters (pid %u) has ended",
		       m->meta.owner_pid);
}

int vt_monitor_read(struct vt_monitor *m, uint64_t max_age_ns, struct vt_snapshot *s)
{
	int err = vt_monitor_alive(m, NULL);

	if (err)
		return err;
	vt_monitor_cut_old(m, max_age_ns);
	err = grow(s, rows_high(m));
	if (err)
		return err;
	s->mono_ns = vt_now_mono_ns();
	s->cpus_online = 0;
	s->loss = (struct vt_losses){.recursion = recursion(m, s->mono_ns)};
	for (unsigned int c = 0; c < m->meta.cpus; c++) {
		if (!m->cpus[c].last_ns)
			continue;
		s->cpus_online++;
		add_losses(&s->loss, &m->cpus[c]);
		add_cpu(m, c, s);
	}
	return 0;
}

void vt_snapshot_fini(struct vt_snapshot *s)
{
	free(s->total);
	*s = (struct vt_snapshot){0};
}

int vt_monitor_find(struct vt_monitor *m, uint64_t key, struct vt_tenant *ret)
{
	return bpf_map_lookup_elem(m->fd_tenants, &key, ret) ? -errno : 0;
}

int vt_monitor_events(struct vt_monitor *m, vt_monitor_event_fn fn, void *arg)
{
	m->event_fn = fn;
	m->event_arg = arg;
	return ring_buffer__consume(m->ring);
}

int vt_monitor_tend(struct vt_monitor *m, const struct vt_snapshot *s, struct vt_err *e)
{
	struct vt_err plug = {0}, open = {0}, *cpus = &plug;
	int err;

	vt_monitor_hotplug(m, &plug);
	vt_monitor_reopen(m, &open);
	if (!plug.code || plug.code == -ENODEV)
		cpus = &open;
	err = vt_rows_tend(m, s, e);
	/* -ENODEV: a CPU left just now, the next call will find it offline. */
	return err || !cpus->code || cpus->code == -ENODEV
		       ? err
		       : vt_fail(e, cpus->code, "%s", cpus->msg);
}

/* ---- what it is -------------------------------------------------------------------------- */

const struct vt_meta *vt_monitor_meta(const struct vt_monitor *m)
{
	return &m->meta;
}

const struct vt_slot *vt_monitor_slot(const struct vt_monitor *m, unsigned int i)
{
	return i < m->meta.slots ? &m->slot[i] : NULL;
}

int vt_monitor_slot_of(const struct vt_monitor *m, enum vt_role role)
{
	for (unsigned int i = 0; i < m->meta.slots; i++)
		if (m->slot[i].role_id == (uint32_t)role)
			return (int)i;
	return -1;
}

bool vt_monitor_slot_is_hw(const struct vt_monitor *m, unsigned int i)
{
	const struct vt_slot *s = vt_monitor_slot(m, i);

	return s && !strcmp(s->cls, "hw") && strcmp(s->quality, "proxy") != 0;
}

const char *vt_monitor_absent(const struct vt_monitor *m, enum vt_role role)
{
	return vt_monitor_slot_of(m, role) >= 0 ? "" : m->set.absent[role];
}

const char *vt_monitor_absent_brief(const struct vt_monitor *m, enum vt_role role)
{
	const char *why = vt_monitor_absent(m, role);
	const size_t name = strlen(vt_role_name(role));

	if (!strncmp(why, vt_role_name(role), name) && !strncmp(why + name, ": ", 2))
		why += name + 2;
	if (strncmp(why, "nothing counts it here", 22) != 0)
		return why;
	return m->set.core_pmu ? "no event of this CPU counts it (veltair doctor says what to do)"
			       : "no PMU here (veltair doctor says what to do)";
}
