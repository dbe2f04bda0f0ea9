/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.h - counters per tenant, from the kernel to a snapshot.
 *
 * One process owns an instance: it loads the programs, opens the events, pins the maps and gives
 * rows to tenants. Any other may attach to the pinned maps and read. A snapshot is taken by mmap;
 * the only system calls are the cuts that make it exact.
 *
 * Threads: publish and cut are for the worker itself and lock-free; everything else is for one thread.
 */
#ifndef VT_MONITOR_MONITOR_H
#define VT_MONITOR_MONITOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/veltair_abi.h"

#include "base/error.h"
#include "events/events.h"

#define VT_MONITOR_PIN_DIR "/sys/fs/bpf/veltair"

struct vt_monitor;

/** How to start. Zero-initialise; 0 and NULL mean the default in brackets. */
struct vt_monitor_opts {
	const char *pin_dir;		     /* [NULL: nothing is pinned, no lock is taken] */
	enum vt_group group;		     /* [runtime tenants, everything else by cgroup] */
	uint32_t depth;			     /* cgroup level that names a tenant [0: the leaf] */
	uint32_t max_rows;		     /* tenants at one time, 16 .. 65536 [1024] */
	uint32_t cpus;			     /* rows for this many CPUs [as many as are possible] */
	uint32_t sample_hz;		     /* close long slices by perf samples [0: no] */
	uint32_t roles;			     /* bit mask of 1 << enum vt_role [all] */
	bool no_events;			     /* time only */
	const struct vt_event_env *env;	     /* [this machine] */
	const struct vt_event_overrides *ev; /* [none] */
};

/**
 * vt_monitor_open - load, fill the slots, attach, pin
 * A role that nothing can count here leaves its slot out (vt_monitor_absent tells why); it is no
 * error. What a dead owner left under @o->pin_dir is removed first. Returns 0; -EBUSY while another
 * process owns the instance; -EPERM, -ENOTSUP, -ENOENT (no BTF, no bpffs, kernel too old...) with
 * what to do.
 */
int vt_monitor_open(const struct vt_monitor_opts *o, struct vt_monitor **ret, struct vt_err *e);

/** vt_monitor_attach - read an instance, which mostly another process owns; -ENOENT if there is none */
int vt_monitor_attach(const char *pin_dir, struct vt_monitor **ret, struct vt_err *e);

/**
 * vt_monitor_give - @uid, whom this process is about to become, may remove the pins
 * Only the empty directory is then left at the end. Returns 0 or -errno.
 */
int vt_monitor_give(struct vt_monitor *m, uid_t uid, gid_t gid, struct vt_err *e);

/** vt_monitor_close - detach and unpin (the owner), unmap, free; NULL is fine */
void vt_monitor_close(struct vt_monitor *m);

const struct vt_meta *vt_monitor_meta(const struct vt_monitor *m);

/** vt_monitor_slot - what slot @i counts; NULL from meta->slots on */
const struct vt_slot *vt_monitor_slot(const struct vt_monitor *m, unsigned int i);

/** vt_monitor_slot_of - the slot that counts @role, or -1 */
int vt_monitor_slot_of(const struct vt_monitor *m, enum vt_role role);

/**
 * vt_monitor_slot_is_hw - whether hardware counts what the role of slot @i means
 * Not if software stands in, nor if another quantity does (a proxy) that nobody named: of neither come bytes or ratios.
 */
bool vt_monitor_slot_is_hw(const struct vt_monitor *m, unsigned int i);

/** vt_monitor_absent - why @role has no slot; "" when it has one */
const char *vt_monitor_absent(const struct vt_monitor *m, enum vt_role role);

/** vt_monitor_absent_brief - the cause alone, for a table or a label: without all that was tried */
const char *vt_monitor_absent_brief(const struct vt_monitor *m, enum vt_role role);

/**
 * vt_monitor_tell_absent - @reader is attached to @owner's instance, in one process, and gives its reasons from now on
 * They are in no map: whoever reads another process's instance learns only that it does not count a role.
 */
void vt_monitor_tell_absent(struct vt_monitor *reader, const struct vt_monitor *owner);

/* ---- tenants and workers of the runtime (owner only) ------------------------------------- */

/**
 * vt_monitor_tenant_add - give a runtime tenant a row
 * @id: any number below 2^60, unique among the runtime's tenants
 * Returns 0 and the row; -EEXIST; -ENOSPC when no row is free.
 */
int vt_monitor_tenant_add(struct vt_monitor *m, uint64_t id, const char *name, uint32_t *ret_row,
			  struct vt_err *e);

/** vt_monitor_tenant_del - its row is given away after a second; no worker may publish it any more */
int vt_monitor_tenant_del(struct vt_monitor *m, uint32_t row, struct vt_err *e);

/**
 * vt_monitor_tid - the kernel's number of the calling thread, whatever its PID namespace; or -errno
 * Any thread.
 */
pid_t vt_monitor_tid(const struct vt_monitor *m);

/**
 * vt_monitor_worker_add - thread @tid (vt_monitor_tid()) of this process publishes what it works for in the returned slot
 * Until it publishes, it counts for VT_ROW_OTHER. Returns 0; -ENOSPC after VT_WORKERS.
 */
int vt_monitor_worker_add(struct vt_monitor *m, pid_t tid, struct vt_worker **ret,
			  struct vt_err *e);

void vt_monitor_worker_del(struct vt_monitor *m, struct vt_worker *w);

/** vt_monitor_publish - from now on; the running slice moves with it (exact to one slice, no call) */
static inline void vt_monitor_publish(struct vt_worker *w, uint32_t row)
{
	/* Pairs with the volatile load in row_of_worker(), on the same CPU: order needs no fence. */
	__atomic_store_n(&w->row, row, __ATOMIC_RELAXED);
}

/**
 * vt_monitor_cut - close the slice, charge it to what was published, publish @row
 * To be called by the worker itself. One system call. Returns 0 or -errno.
 */
int vt_monitor_cut(struct vt_monitor *m, struct vt_worker *w, uint32_t row);

/** vt_monitor_cut_cpu - close the slice that runs on @cpu, by interrupt if it is another CPU */
int vt_monitor_cut_cpu(struct vt_monitor *m, unsigned int cpu);

struct vt_reason;

/** vt_decided_of - decision @n of @model; of what steers terminals in the name '?' is left. Pure */
void vt_decided_of(struct vt_decided *ret, uint64_t n, const struct vt_reason *r,
		   const char *model);

/**
 * vt_monitor_decided - show a decision of the runtime in the pinned map `decisions`
 * @n: its number, from 1, one more than the last
 * Plain stores, no system call. By one thread at a time, which need not be the monitor's.
 */
void vt_monitor_decided(struct vt_monitor *m, uint64_t n, const struct vt_reason *r,
			const char *model);

/**
 * vt_monitor_decisions - the last decisions, oldest first, at most @len and VT_DECISIONS
 * One that is overwritten meanwhile is left out. Returns how many were written to @ret.
 */
size_t vt_monitor_decisions(const struct vt_monitor *m, struct vt_decided *ret, size_t len);

/* ---- reading ----------------------------------------------------------------------------- */

/** Sums since the tenant appeared, over all CPUs. */
struct vt_total {
	uint64_t tenant; /* key */
	uint64_t run_ns;
	uint64_t slices;
	uint64_t count[VT_SLOTS];
	uint64_t lost_ns[VT_SLOTS]; /* of run_ns, not counted (multiplexed) */
};

/** What got lost or was not needed, over all CPUs; see struct vt_cpu. */
struct vt_losses {
	uint64_t switches, merged, cuts, samples, flushes;
	uint64_t chain_miss, read_errors, first_dropped, backwards, nested, rows_full, ring_full;
	uint64_t recursion; /* runs that the kernel refused because one was active on that CPU */
};

/** One look at everything. Owned by the caller; grows as needed, so reuse it. */
struct vt_snapshot {
	uint64_t mono_ns;
	uint32_t rows;	      /* total[0 .. rows - 1], indexed by row; tenant 0: free */
	uint32_t cpus_online; /* CPUs that ever ran a slice */
	struct vt_total *total;
	uint32_t room; /* of total[]; private */
	struct vt_losses loss;
};

/**
 * vt_monitor_read - sums of every tenant
 * @max_age_ns: cut CPUs whose open slice is older; 0 cuts every busy CPU, UINT64_MAX none. Idle
 * CPUs are left asleep: their open slice belongs to nobody. Returns 0, -ENOMEM; -ESRCH when
 * attached and the owner has ended: then nothing is counted any more.
 */
int vt_monitor_read(struct vt_monitor *m, uint64_t max_age_ns, struct vt_snapshot *s);

/** vt_monitor_alive - 0, or -ESRCH as vt_monitor_read(), and whose end it was. Any thread */
int vt_monitor_alive(const struct vt_monitor *m, struct vt_err *e);

void vt_snapshot_fini(struct vt_snapshot *s);

/** vt_monitor_find - name and row of the tenant with @key; -ENOENT */
int vt_monitor_find(struct vt_monitor *m, uint64_t key, struct vt_tenant *ret);

/* ---- housekeeping (owner only) ----------------------------------------------------------- */

typedef void (*vt_monitor_event_fn)(void *arg, const struct vt_event_record *r);

/** vt_monitor_events - hand out the rare events that came in; returns their number or -errno */
int vt_monitor_events(struct vt_monitor *m, vt_monitor_event_fn fn, void *arg);

/**
 * vt_monitor_tend - once a second or so, after vt_monitor_read(@s): rows of the dead are given
 * away, the oldest idle ones too when rows get short; events come back on CPUs that came back
 * Returns 0 or the first error, the rest being done all the same. It is to be told, not to end for: where
 * events could not be opened the next call tries again.
 */
int vt_monitor_tend(struct vt_monitor *m, const struct vt_snapshot *s, struct vt_err *e);

#endif
