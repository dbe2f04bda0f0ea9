// SPDX-License-Identifier: Apache-2.0
/*
 * rows.c - who has a row, and until when.
 *
 * A row goes through: free -> taken (by a program that meets a new tenant, or by tenant_add) -> its
 * key is deleted -> at least GRACE later, when no CPU and no worker names it -> sums moved to
 * VT_ROW_GONE, cells zeroed, free. A program that looked the row up before the key was deleted is
 * long done by then, so nothing is ever added to the next holder's row.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "monitor/impl.h"
#include "monitor/load.h"

#define GRACE_NS   VT_NS_PER_S
#define NO_ROW	   0xffffffffu
#define FULL_SHARE 8 /* reclaim the oldest idle tenants when less than 1/8 of the rows are free */

static struct vt_row *cell(const struct vt_monitor *m, unsigned int cpu, uint32_t row)
{
	return &m->rows[(size_t)cpu * m->meta.max_rows + row];
}

static int name_fixed(struct vt_monitor *m, uint32_t row, enum vt_tenant_kind kind,
		      const char *name)
{
	struct vt_tenant t = {.row = row, .kind = kind};
	uint64_t key = VT_KEY(kind, 0);

	snprintf(t.name, sizeof(t.name), "%s", name);
	for (unsigned int c = 0; c < m->meta.cpus; c++)
		cell(m, c, row)->tenant = key;
	m->state[row].key = key;
	return bpf_map_update_elem(m->fd_tenants, &key, &t, BPF_ANY) ? -errno : 0;
}

int vt_rows_init(struct vt_monitor *m, struct vt_err *e)
{
	int queue = bpf_map__fd(m->skel->maps.vt_free_rows), err;

	m->state = calloc(m->meta.max_rows, sizeof(*m->state));
	if (!m->state)
		return vt_fail(e, -ENOMEM, "no memory for %u tenants", m->meta.max_rows);
	err = name_fixed(m, VT_ROW_OTHER, VT_KIND_OTHER, "(other)");
	if (!err)
		err = name_fixed(m, VT_ROW_IDLE, VT_KIND_IDLE, "(idle)");
	if (!err)
		err = name_fixed(m, VT_ROW_GONE, VT_KIND_GONE, "(gone)");
	for (uint32_t r = VT_ROW_FIRST; r < m->meta.max_rows && !err; r++)
		if (bpf_map_update_elem(queue, NULL, &r, BPF_ANY))
			err = -errno;
	return err ? vt_fail(e, err, "cannot fill the queue of free rows: %s", strerror(-err)) : 0;
}

/* ---- runtime tenants and workers --------------------------------------------------------- */

int vt_monitor_tenant_add(struct vt_monitor *m, uint64_t id, const char *name, uint32_t *ret_row,
			  struct vt_err *e)
{
	int queue = bpf_map__fd(m->skel->maps.vt_free_rows);
	struct vt_tenant t = {.kind = VT_KIND_TENANT, .id = id, .first_mono_ns = vt_now_mono_ns()};
	uint64_t key = VT_KEY(VT_KIND_TENANT, id);
	int err;

	if (bpf_map_lookup_and_delete_elem(queue, NULL, &t.row))
		return vt_fail(e, -ENOSPC, "no room for tenant '%.60s': all %u rows are taken",
			       name, m->meta.max_rows);
	snprintf(t.name, sizeof(t.name), "%s", name);
	if (bpf_map_update_elem(m->fd_tenants, &key, &t, BPF_NOEXIST)) {
		err = -errno;
		bpf_map_update_elem(queue, NULL, &t.row, BPF_ANY);
		return vt_fail(e, err, "cannot add tenant '%.60s': %s", name, strerror(-err));
	}
	/* The programs know workers by row only: label the cells for them. */
	for (unsigned int c = 0; c < m->meta.cpus; c++)
		cell(m, c, t.row)->tenant = key;
	if (t.row >= m->cpus[0].row_high_user)
		m->cpus[0].row_high_user = t.row + 1;
	m->state[t.row] = (struct vt_row_state){.key = key};
	*ret_row = t.row;
	return 0;
}

/* Take the row out of every CPU's short memory. Returns whether it was in any. */
static bool unremember(struct vt_monitor *m, uint32_t row)
{
	bool found = false;

	for (unsigned int c = 0; c < m->meta.cpus; c++)
		for (unsigned int i = 0; i < VT_RECENT; i++) {
			struct vt_recent *r = &m->cpus[c].recent[i];

			if (r->row != row || !r->key)
				continue;
			__atomic_store_n(&r->key, 0, __ATOMIC_RELAXED);
			found = true;
		}
	return found;
}

static void forget(struct vt_monitor *m, uint32_t row)
{
	struct vt_row_state *s = &m->state[row];

	bpf_map_delete_elem(m->fd_tenants, &s->key);
	unremember(m, row);
	s->deleted_ns = vt_now_mono_ns();
}

int vt_monitor_tenant_del(struct vt_monitor *m, uint32_t row, struct vt_err *e)
{
	if (row < VT_ROW_FIRST || row >= m->meta.max_rows ||
	    vt_key_kind(m->state[row].key) != VT_KIND_TENANT || m->state[row].deleted_ns)
		return vt_fail(e, -EINVAL, "row %u holds no tenant of the runtime", row);
	forget(m, row);
	return 0;
}

int vt_monitor_worker_add(struct vt_monitor *m, pid_t tid, struct vt_worker **ret, struct vt_err *e)
{
	uint32_t index = 0, key = (uint32_t)tid;
	pid_t tgid = vt_monitor_tgid(m);
	int err = tid < 0 ? tid : tgid < 0 ? tgid : 0;

	if (err)
		return vt_fail(e, err, "cannot learn the kernel's number of a worker: %s",
			       strerror(-err));
	while (index < VT_WORKERS && m->workers[index].tid)
		index++;
	if (index == VT_WORKERS)
		return vt_fail(e, -ENOSPC, "no room for another worker thread: %d are supported",
			       VT_WORKERS);
	m->workers[index].row = VT_ROW_OTHER;
	m->workers[index].tid = key;
	if (bpf_map_update_elem(bpf_map__fd(m->skel->maps.vt_worker_of), &key, &index, BPF_ANY)) {
		m->workers[index].tid = 0;
		return vt_fail(e, -errno, "cannot register thread %d: %s", tid, strerror(errno));
	}
	for (unsigned int c = 0; c < m->meta.cpus; c++)
		m->cpus[c].runtime_tgid = (uint32_t)tgid;
	*ret = &m->workers[index];
	return 0;
}

void vt_monitor_worker_del(struct vt_monitor *m, struct vt_worker *w)
{
	uint32_t key;

	if (!w)
		return;
	key = w->tid;
	bpf_map_delete_elem(bpf_map__fd(m->skel->maps.vt_worker_of), &key);
	w->row = VT_ROW_OTHER;
	w->tid = 0;
}

/* ---- giving rows away -------------------------------------------------------------------- */

static bool in_use(const struct vt_monitor *m, uint32_t row)
{
	for (unsigned int c = 0; c < m->meta.cpus; c++)
		if (!m->cpus[c].worker && __atomic_load_n(&m->cpus[c].row, __ATOMIC_RELAXED) == row)
			return true;
	for (unsigned int w = 0; w < VT_WORKERS; w++)
		if (m->workers[w].tid &&
		    __atomic_load_n(&m->workers[w].row, __ATOMIC_RELAXED) == row)
			return true;
	return false;
}

/* Only we write to VT_ROW_GONE, so CPU 0's part will do for all. */
static int give_away(struct vt_monitor *m, uint32_t row)
{
	struct vt_row *gone = cell(m, 0, VT_ROW_GONE);

	for (unsigned int c = 0; c < m->meta.cpus; c++) {
		struct vt_row *r = cell(m, c, row);

		gone->run_ns += r->run_ns;
		gone->slices += r->slices;
		for (unsigned int i = 0; i < VT_SLOTS; i++) {
			gone->count[i] += r->count[i];
			gone->lost_ns[i] += r->lost_ns[i];
		}
		memset(r, 0, sizeof(*r));
	}
	m->state[row] = (struct vt_row_state){0};
	return bpf_map_update_elem(bpf_map__fd(m->skel->maps.vt_free_rows), NULL, &row, BPF_ANY)
		       ? -errno
		       : 0;
}

/*
 * A program that was looking the key up while it was deleted may have remembered the row just after
 * we made every CPU forget it. Then the row waits for another round.
 */
static int give_away_if_forgotten(struct vt_monitor *m, uint32_t row)
{
	if (!unremember(m, row))
		return give_away(m, row);
	m->state[row].deleted_ns = vt_now_mono_ns();
	return 0;
}

/* Learn keys from the labels; notice who ran since the last look. Returns rows that somebody keeps. */
static uint32_t look(struct vt_monitor *m, const struct vt_snapshot *s)
{
	uint32_t used = 0;

	for (uint32_t r = VT_ROW_FIRST; r < s->rows; r++) {
		struct vt_row_state *st = &m->state[r];

		if (!s->total[r].tenant)
			continue;
		used += !st->deleted_ns; /* else it is on its way already */
		st->key = s->total[r].tenant;
		if (st->run_ns != s->total[r].run_ns || !st->idle_since_ns)
			st->idle_since_ns = s->mono_ns;
		st->run_ns = s->total[r].run_ns;
	}
	return used;
}

static uint32_t oldest_idle(const struct vt_monitor *m, const struct vt_snapshot *s)
{
	uint32_t best = NO_ROW;

	for (uint32_t r = VT_ROW_FIRST; r < s->rows; r++) {
		const struct vt_row_state *st = &m->state[r];

		if (!st->key || st->deleted_ns || vt_key_kind(st->key) == VT_KIND_TENANT ||
		    s->mono_ns - st->idle_since_ns < GRACE_NS)
			continue;
		if (best != NO_ROW && st->idle_since_ns >= m->state[best].idle_since_ns)
			continue;
		if (!in_use(m, r)) /* a look at every CPU and worker */
			best = r;
	}
	return best;
}

static void make_room(struct vt_monitor *m, const struct vt_snapshot *s, uint32_t used)
{
	uint32_t keep = m->meta.max_rows - m->meta.max_rows / FULL_SHARE;

	for (uint32_t r; used > keep && (r = oldest_idle(m, s)) != NO_ROW; used--)
		forget(m, r);
}

int vt_rows_tend(struct vt_monitor *m, const struct vt_snapshot *s, struct vt_err *e)
{
	uint32_t used = look(m, s);
	int err = 0;

	make_room(m, s, used);
	for (uint32_t r = VT_ROW_FIRST; r < s->rows && !err; r++) {
		struct vt_row_state *st = &m->state[r];

		if (st->gone && !st->deleted_ns && !in_use(m, r))
			forget(m, r);
		else if (st->deleted_ns && s->mono_ns > st->deleted_ns &&
			 s->mono_ns - st->deleted_ns >= GRACE_NS && !in_use(m, r))
			err = give_away_if_forgotten(m, r);
	}
	for (unsigned int c = 0; c < m->meta.cpus; c++)
		m->cpus[c].unlucky = 0;
	return err ? vt_fail(e, err, "cannot give a row back: %s", strerror(-err)) : 0;
}

static void mark_gone(struct vt_monitor *m, uint64_t key)
{
	struct vt_tenant t;

	if (bpf_map_lookup_elem(m->fd_tenants, &key, &t) || t.row >= m->meta.max_rows)
		return;
	m->state[t.row].key = key;
	m->state[t.row].gone = true;
}

int vt_rows_record(void *ctx, void *data, size_t len)
{
	const struct vt_event_record *r = data;
	struct vt_monitor *m = ctx;

	if (len < sizeof(*r))
		return 0;
	if (r->kind == VT_EVENT_GONE)
		mark_gone(m, r->tenant);
	if (r->kind == VT_EVENT_READ_ERROR && r->cpu < VT_MAX_CORES && r->mono_ns > m->opened_ns)
		vt_cpuset_add(&m->unread, r->cpu);
	if (m->event_fn)
		m->event_fn(m->event_arg, r);
	return 0;
}
