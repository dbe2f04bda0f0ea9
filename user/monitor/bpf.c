// SPDX-License-Identifier: Apache-2.0
/* bpf.c - an instance from open to close, and the way in for those who only read. */
#include <linux/perf_event.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "events/sysfs_pmu.h"
#include "monitor/impl.h"
#include "monitor/load.h"

#define DEFAULT_ROWS 1024

/* What is pinned, under which name. A map that is not here is private to the owner. */
static const struct pinned {
	const char *name;
	size_t map, prog; /* offset in struct vt_bpf; 0: none */
} pinned[] = {
	{"meta", offsetof(struct vt_bpf, maps.vt_meta), 0},
	{"rows", offsetof(struct vt_bpf, maps.vt_rows), 0},
	{"cpus", offsetof(struct vt_bpf, maps.vt_cpus), 0},
	{"tenants", offsetof(struct vt_bpf, maps.vt_tenants), 0},
	{"slots", offsetof(struct vt_bpf, maps.vt_slots), 0},
	{"workers", offsetof(struct vt_bpf, maps.vt_workers), 0},
	{"decisions", offsetof(struct vt_bpf, maps.vt_decisions), 0},
	{"prog_switch", 0, offsetof(struct vt_bpf, progs.vt_switch)},
	{"prog_cut", 0, offsetof(struct vt_bpf, progs.vt_cut)},
};

static int pin_all(struct vt_monitor *m, struct vt_err *e)
{
	const char *base = (const char *)m->skel;
	int err = 0;

	for (size_t i = 0; i < sizeof(pinned) / sizeof(pinned[0]) && !err; i++) {
		const struct pinned *p = &pinned[i];
		int fd = p->map ? bpf_map__fd(*(struct bpf_map *const *)(base + p->map))
				: bpf_program__fd(*(struct bpf_program *const *)(base + p->prog));

		err = vt_pins_add(&m->pins, fd, p->name, e);
	}
	return err;
}

/* ---- mapping ----------------------------------------------------------------------------- */

static int map_one(int fd, size_t bytes, bool write, void **ret, size_t *ret_bytes,
		   struct vt_err *e)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
	void *p = mmap(NULL, whole, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return vt_fail(e, -errno, "cannot map %zu bytes of counters: %s", whole,
			       strerror(errno));
	*ret = p;
	*ret_bytes = whole;
	return 0;
}

static int map_all(struct vt_monitor *m, int rows, int cpus, int workers, int decisions,
		   struct vt_err *e)
{
	bool own = m->skel;
	int err;

	err = map_one(rows, sizeof(struct vt_row) * m->meta.cpus * m->meta.max_rows, own,
		      (void **)&m->rows, &m->rows_bytes, e);
	if (!err)
		err = map_one(cpus, sizeof(struct vt_cpu) * m->meta.cpus, own, (void **)&m->cpus,
			      &m->cpus_bytes, e);
	if (!err)
		err = map_one(workers, sizeof(struct vt_worker) * VT_WORKERS, own,
			      (void **)&m->workers, &m->workers_bytes, e);
	if (!err)
		err = map_one(decisions, sizeof(struct vt_decided) * VT_DECISIONS, own,
			      (void **)&m->decisions, &m->decisions_bytes, e);
	return err;
}

static void unmap(void *p, size_t bytes)
{
	if (p)
		munmap(p, bytes);
}

/* ---- filling ----------------------------------------------------------------------------- */

static int fill_maps(struct vt_monitor *m, struct vt_err *e)
{
	uint32_t zero = 0;
	int err = 0;

	if (bpf_map_update_elem(bpf_map__fd(m->skel->maps.vt_meta), &zero, &m->meta, BPF_ANY))
		err = -errno;
	for (uint32_t i = 0; i < m->set.n && !err; i++) {
		vt_slots_describe(&m->set, i, &m->slot[i]);
		if (bpf_map_update_elem(bpf_map__fd(m->skel->maps.vt_slots), &i, &m->slot[i],
					BPF_ANY))
			err = -errno;
	}
	for (unsigned int c = 0; c < m->meta.cpus; c++) {
		m->cpus[c].row = VT_ROW_IDLE;
		m->cpus[c].row_base = c * m->meta.max_rows;
		m->cpus[c].slots = (uint8_t)m->meta.slots;
		m->cpus[c].key_by = m->meta.group == VT_BY_PROCESS   ? VT_KEY_BY_PROCESS
				    : m->meta.depth == VT_DEPTH_LEAF ? VT_KEY_BY_LEAF
								     : VT_KEY_BY_DEPTH;
		m->cpus[c].key = VT_KEY(VT_KIND_IDLE, 0);
		for (unsigned int i = 0; i < VT_SLOTS; i++)
			m->cpus[c].prev[i] = ~0ull;
	}
	if (err)
		return vt_fail(e, err, "cannot fill the maps: %s", strerror(-err));
	return vt_rows_init(m, e);
}

static int read_online(const struct vt_monitor *m, struct vt_cpuset *ret, struct vt_err *e)
{
	static const char file[] = "devices/system/cpu/online";
	char text[VT_CPU_LIST];
	int n = vt_sysfs_read(text, sizeof(text), "%s/%s", m->sysfs, file);

	if (n < 0)
		return vt_fail(e, n, "cannot read %s/%s: %s", m->sysfs, file, strerror(-n));
	memset(ret, 0, sizeof(*ret));
	if (vt_cpuset_parse(text, ret))
		return vt_fail(e, -EBADMSG, "%s/%s holds no list of CPUs", m->sysfs, file);
	return 0;
}

/* ---- events and samples of one CPU ------------------------------------------------------- */

static int open_sample(struct vt_monitor *m, unsigned int cpu, struct vt_err *e)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(attr),
		.freq = 1,
		.sample_freq = m->meta.sample_hz,
	};
	int fd;

	if (!m->meta.sample_hz || m->sample[cpu])
		return 0;
	fd = (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		return vt_fail(
			e, -errno,
			"cannot sample CPU %u at %u Hz: %s (kernel.perf_event_max_sample_rate?)",
			cpu, m->meta.sample_hz, strerror(errno));
	m->sample[cpu] = bpf_program__attach_perf_event(m->skel->progs.vt_sample, fd);
	if (m->sample[cpu])
		return 0;
	close(fd);
	return vt_fail(e, -errno, "cannot attach the sampling program: %s", strerror(errno));
}

/* All CPUs again, now that hardware counters turned out to be shared. */
static int reopen_shared(struct vt_monitor *m, struct vt_err *e)
{
	int perf = bpf_map__fd(m->skel->maps.vt_perf), err = 0;

	for (unsigned int c = 0; c < m->meta.cpus; c++) {
		__atomic_store_n(&m->cpus[c].rebase, 1, __ATOMIC_SEQ_CST);
		vt_slots_close(&m->set, c, perf);
		m->cpus[c].shared = (uint8_t)m->set.shared;
	}
	for (int c = vt_cpuset_next(&m->online, 0); c >= 0;
	     c = vt_cpuset_next(&m->online, (unsigned int)c + 1)) {
		int one = vt_slots_open(&m->set, (unsigned int)c, perf, err ? NULL : e);

		if (one) /* vt_monitor_hotplug() tries it again */
			vt_cpuset_del(&m->online, (unsigned int)c);
		err = err ? err : one;
	}
	for (unsigned int c = 0; c < m->meta.cpus; c++)
		__atomic_store_n(&m->cpus[c].rebase, 2, __ATOMIC_SEQ_CST);
	return err;
}

static void close_cpu(struct vt_monitor *m, unsigned int cpu)
{
	vt_cpuset_del(&m->online, cpu);
	__atomic_store_n(&m->cpus[cpu].rebase, 1, __ATOMIC_SEQ_CST);
	vt_slots_close(&m->set, cpu, bpf_map__fd(m->skel->maps.vt_perf));
	bpf_link__destroy(m->sample[cpu]);
	m->sample[cpu] = NULL;
}

/* On failure it counts as offline, and the next vt_monitor_hotplug() tries again. */
static int open_cpu(struct vt_monitor *m, unsigned int cpu, struct vt_err *e)
{
	int perf = bpf_map__fd(m->skel->maps.vt_perf), err;

	vt_cpuset_add(&m->online, cpu);
	__atomic_store_n(&m->cpus[cpu].rebase, 1, __ATOMIC_SEQ_CST);
	err = vt_slots_open(&m->set, cpu, perf, e);
	__atomic_store_n(&m->cpus[cpu].rebase, 2, __ATOMIC_SEQ_CST);
	if (err == -EAGAIN)
		err = reopen_shared(m, e);
	m->opened_ns = vt_now_mono_ns();
	if (!err)
		err = open_sample(m, cpu, e);
	if (err)
		close_cpu(m, cpu);
	return err;
}

/* Of the errors of several CPUs, the first; that one has just left is the least of them. */
static void keep_first(struct vt_err *kept, int code, const struct vt_err *e)
{
	if (!code || (kept->code && kept->code != -ENODEV))
		return;
	*kept = *e;
	kept->code = code;
}

/* One CPU that cannot be opened is no reason to leave the others as they are. */
static void open_another(struct vt_monitor *m, unsigned int cpu, struct vt_err *kept)
{
	struct vt_err e = {0};

	keep_first(kept, open_cpu(m, cpu, &e), &e);
}

int vt_monitor_reopen(struct vt_monitor *m, struct vt_err *e)
{
	struct vt_err kept = {0};

	for (unsigned int c = 0; c < m->meta.cpus && c < VT_MAX_CORES; c++) {
		if (!vt_cpuset_has(&m->unread, c))
			continue;
		vt_cpuset_del(&m->unread, c);
		if (!vt_cpuset_has(&m->online, c))
			continue; /* to be opened when it is back */
		close_cpu(m, c);
		open_another(m, c, &kept);
	}
	return kept.code ? vt_fail(e, kept.code, "%s", kept.msg) : 0;
}

int vt_monitor_hotplug(struct vt_monitor *m, struct vt_err *e)
{
	struct vt_err kept = {0};
	struct vt_cpuset now;
	int err = read_online(m, &now, e);

	for (unsigned int c = 0; c < m->meta.cpus && c < VT_MAX_CORES && !err; c++) {
		bool was = vt_cpuset_has(&m->online, c), is = vt_cpuset_has(&now, c);

		if (was == is)
			continue;
		vt_cpuset_del(&m->unread, c); /* its reads failed because it was away */
		if (was)
			close_cpu(m, c);
		else
			open_another(m, c, &kept);
	}
	return err ? err : kept.code ? vt_fail(e, kept.code, "%s", kept.msg) : 0;
}

/* ---- open -------------------------------------------------------------------------------- */

static int attach_all(struct vt_monitor *m, struct vt_err *e)
{
	struct bpf_program *all[] = {m->skel->progs.vt_switch, m->skel->progs.vt_attach,
				     m->skel->progs.vt_free, m->skel->progs.vt_exec,
				     m->skel->progs.vt_rmdir};
	int err = 0;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && !err; i++)
		if (bpf_program__autoload(all[i]))
			err = vt_load_attach(m->sysfs, all[i], &m->link[m->links++], e);
	return err;
}

/* A baseline on every CPU, idle ones too, and who runs there. */
static int first_cuts(struct vt_monitor *m, struct vt_err *e)
{
	for (int c = vt_cpuset_next(&m->online, 0); c >= 0;
	     c = vt_cpuset_next(&m->online, (unsigned int)c + 1)) {
		int err = vt_monitor_cut_cpu(m, (unsigned int)c);

		if (err && err != -ENXIO)
			return vt_fail(e, err, "cannot run a program on CPU %d: %s", c,
				       strerror(-err));
	}
	return 0;
}

static int check_opts(const struct vt_monitor_opts *o, int possible, struct vt_err *e)
{
	if (possible < 1 || possible > VT_MAX_CORES)
		return vt_fail(e, -ENOTSUP, "%d possible CPUs; at most %d are supported", possible,
			       VT_MAX_CORES);
	if (o->cpus && (o->cpus < (uint32_t)possible || o->cpus > VT_MAX_CORES))
		return vt_fail(e, -EINVAL, "room for %u CPUs asked, %d are possible", o->cpus,
			       possible);
	if (o->max_rows && (o->max_rows < 16 || o->max_rows > 65536))
		return vt_fail(e, -EINVAL, "%u tenants asked; 16 to 65536 are supported",
			       o->max_rows);
	if (o->group > VT_BY_PROCESS)
		return vt_fail(e, -EINVAL, "no such grouping: %d", (int)o->group);
	return 0;
}

static int start(struct vt_monitor *m, const struct vt_monitor_opts *o, struct vt_err *e)
{
	struct vt_load l;
	int err;

	if ((err = vt_slots_choose(&m->set, o, m->meta.cpus, e)))
		return err;
	m->meta.slots = m->set.n;
	l = (struct vt_load){m->meta.max_rows, m->meta.cpus,	 m->meta.group,
			     m->meta.depth,    o->sample_hz > 0, vt_slots_faults(&m->set),
			     m->sysfs};
	if ((err = vt_load(&l, &m->skel, e)))
		return err;
	m->fd_tenants = bpf_map__fd(m->skel->maps.vt_tenants);
	m->fd_cut = bpf_program__fd(m->skel->progs.vt_cut);
	m->fd_switch = bpf_program__fd(m->skel->progs.vt_switch);
	m->fd_who = bpf_program__fd(m->skel->progs.vt_who);
	if ((err = map_all(m, bpf_map__fd(m->skel->maps.vt_rows),
			   bpf_map__fd(m->skel->maps.vt_cpus),
			   bpf_map__fd(m->skel->maps.vt_workers),
			   bpf_map__fd(m->skel->maps.vt_decisions), e)) ||
	    (err = fill_maps(m, e)) || (err = vt_monitor_hotplug(m, e)) ||
	    (err = attach_all(m, e)) || (err = first_cuts(m, e)))
		return err;
	m->ring = ring_buffer__new(bpf_map__fd(m->skel->maps.vt_events), vt_rows_record, m, NULL);
	if (!m->ring)
		return vt_fail(e, -errno, "cannot map the ring buffer: %s", strerror(errno));
	return pin_all(m, e);
}

int vt_monitor_open(const struct vt_monitor_opts *o, struct vt_monitor **ret, struct vt_err *e)
{
	int possible = libbpf_num_possible_cpus();
	struct vt_monitor *m;
	int err = check_opts(o, possible, e);

	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m || !(m->sample = calloc(VT_MAX_CORES, sizeof(struct bpf_link *)))) {
		free(m);
		return vt_fail(e, -ENOMEM, "no memory for the monitor");
	}
	m->pins = VT_PINS_NONE;
	m->meta = (struct vt_meta){
		.abi = VT_ABI_VERSION,
		.owner_pid = (uint32_t)getpid(),
		.started_mono_ns = vt_now_mono_ns(),
		.group = o->group,
		.depth = o->depth ? o->depth : VT_DEPTH_LEAF,
		.cpus = o->cpus ? o->cpus : (uint32_t)possible,
		.max_rows = o->max_rows ? o->max_rows : DEFAULT_ROWS,
		.sample_hz = o->sample_hz,
	};
	snprintf(m->sysfs, sizeof(m->sysfs), "%s",
		 o->env && o->env->sysfs ? o->env->sysfs : "/sys");
	if (o->pin_dir)
		err = vt_pins_own(&m->pins, o->pin_dir, e);
	if (!err)
		err = start(m, o, e);
	if (err) {
		vt_monitor_close(m);
		return err;
	}
	*ret = m;
	return 0;
}

int vt_monitor_give(struct vt_monitor *m, uid_t uid, gid_t gid, struct vt_err *e)
{
	return vt_pins_give(&m->pins, uid, gid, e);
}

void vt_monitor_close(struct vt_monitor *m)
{
	if (!m)
		return;
	for (unsigned int i = 0; i < m->links; i++)
		bpf_link__destroy(m->link[i]);
	for (unsigned int c = 0; m->sample && c < VT_MAX_CORES; c++)
		bpf_link__destroy(m->sample[c]);
	ring_buffer__free(m->ring);
	free(m->set.open);
	unmap(m->rows, m->rows_bytes);
	unmap(m->cpus, m->cpus_bytes);
	unmap(m->workers, m->workers_bytes);
	unmap(m->decisions, m->decisions_bytes);
	if (!m->skel && m->fd_tenants > 0) {
		close(m->fd_tenants);
		close(m->fd_cut);
		close(m->fd_switch);
	}
	vt_bpf__destroy(m->skel);
	vt_pins_drop(&m->pins);
	free(m->sample);
	free(m->state);
	free(m);
}

/* ---- attach ------------------------------------------------------------------------------ */

static int attach_maps(struct vt_monitor *m, struct vt_err *e)
{
	int meta = vt_pins_get(&m->pins, "meta", e), slots = vt_pins_get(&m->pins, "slots", e);
	int rows = vt_pins_get(&m->pins, "rows", e), cpus = vt_pins_get(&m->pins, "cpus", e);
	int workers = vt_pins_get(&m->pins, "workers", e);
	int decisions = vt_pins_get(&m->pins, "decisions", e);
	uint32_t i = 0;
	int err;

	m->fd_tenants = vt_pins_get(&m->pins, "tenants", e);
	m->fd_cut = vt_pins_get(&m->pins, "prog_cut", e);
	m->fd_switch = vt_pins_get(&m->pins, "prog_switch", e);
	err = e->code;
	if (!err && bpf_map_lookup_elem(meta, &i, &m->meta))
		err = vt_fail(e, -errno, "cannot read %s/meta: %s", m->pins.dir, strerror(errno));
	for (; !err && i < m->meta.slots && i < VT_SLOTS; i++)
		if (bpf_map_lookup_elem(slots, &i, &m->slot[i]))
			err = vt_fail(e, -errno, "cannot read %s/slots: %s", m->pins.dir,
				      strerror(errno));
	if (!err)
		err = map_all(m, rows, cpus, workers, decisions, e);
	for (size_t k = 0; k < 6; k++) {
		int fd = (const int[]){meta, slots, rows, cpus, workers, decisions}[k];

		if (fd >= 0)
			close(fd);
	}
	return err;
}

int vt_monitor_attach(const char *pin_dir, struct vt_monitor **ret, struct vt_err *e)
{
	struct vt_monitor *m = calloc(1, sizeof(*m));
	struct vt_err own = {0};
	int err;

	if (!m)
		return vt_fail(e, -ENOMEM, "no memory for the monitor");
	err = vt_pins_find(&m->pins, pin_dir ? pin_dir : VT_MONITOR_PIN_DIR, &own);
	if (!err)
		err = attach_maps(m, &own);
	if (err) {
		vt_monitor_close(m);
		return vt_fail(e, err, "%s", own.msg);
	}
	for (int r = 0; r < VT_ROLE_COUNT; r++)
		snprintf(m->set.absent[r], sizeof(m->set.absent[r]),
			 "the monitor's owner does not count it");
	*ret = m;
	return 0;
}

void vt_monitor_tell_absent(struct vt_monitor *reader, const struct vt_monitor *owner)
{
	memcpy(reader->set.absent, owner->set.absent, sizeof(reader->set.absent));
	reader->set.core_pmu = owner->set.core_pmu;
}
