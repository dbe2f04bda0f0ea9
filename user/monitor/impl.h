/* SPDX-License-Identifier: Apache-2.0 */
/* impl.h - what the files of user/monitor share; of others only tests/bpf/test_broken. */
#ifndef VT_MONITOR_IMPL_H
#define VT_MONITOR_IMPL_H

#include "base/cpuset.h"
#include "monitor/monitor.h"

struct vt_bpf;
struct ring_buffer;
struct bpf_link;

/* ---- pins.c: one owner per directory ----------------------------------------------------- */

struct vt_pins {
	char dir[512]; /* PIN_DIR/v3; "" when nothing is pinned */
	char top[480]; /* PIN_DIR */
	int lock;      /* the owner's descriptor of PIN_DIR, locked as long as we live; -1 */
	int watch;     /* a reader's, to ask whether the owner lives; -1 */
	int at;	       /* descriptor of dir: its path is closed to who has given up root; -1 */
};

#define VT_PINS_NONE ((struct vt_pins){.lock = -1, .watch = -1, .at = -1})

/** vt_pins_own - lock @top, remove what a dead owner left there; -EBUSY names the living one; callers add what they can do */
int vt_pins_own(struct vt_pins *p, const char *top, struct vt_err *e);

/** vt_pins_find - where a living owner's pins are; keeps no lock; -ENOENT */
int vt_pins_find(struct vt_pins *p, const char *top, struct vt_err *e);

/**
 * vt_pins_alive - whether the owner of what vt_pins_find() found lives; needs no rights
 * Whoever owns the directory next has put others in place of its pins. Any thread.
 */
bool vt_pins_alive(const struct vt_pins *p);

int vt_pins_add(struct vt_pins *p, int fd, const char *name, struct vt_err *e);

/** vt_pins_give - let @uid remove what is in the directory; the directory itself stays root's */
int vt_pins_give(const struct vt_pins *p, uid_t uid, gid_t gid, struct vt_err *e);

/** vt_pins_get - descriptor of a pinned object, or -errno */
int vt_pins_get(const struct vt_pins *p, const char *name, struct vt_err *e);

/**
 * vt_pins_drop - remove them all and let go of the lock; fine on a zeroed or failed one
 * After vt_pins_give() and without root's rights the empty directory stays.
 */
void vt_pins_drop(struct vt_pins *p);

/* ---- slots.c: roles to open events ------------------------------------------------------- */

struct vt_slot_set {
	const struct vt_event_env *env;
	unsigned int n, cpus;
	uint32_t shared; /* bit per slot that is multiplexed */
	struct vt_event event[VT_SLOTS];
	enum vt_role role[VT_SLOTS];
	char absent[VT_ROLE_COUNT][512];
	bool core_pmu; /* there is one: said where nothing counts a role */
	bool *open;    /* [cpu * VT_SLOTS + slot]: in the programs' array */
};

/** vt_slots_choose - an event for every role of the mask that something here can count */
int vt_slots_choose(struct vt_slot_set *s, const struct vt_monitor_opts *o, unsigned int cpus,
		    struct vt_err *e);

/**
 * vt_slots_open - open every slot on @cpu and put it into the array @map
 * Hardware events are opened pinned, so that they count always or fail loudly. When they do not all
 * fit, every hardware slot becomes shared (-EAGAIN: the caller opens all CPUs again).
 */
int vt_slots_open(struct vt_slot_set *s, unsigned int cpu, int map, struct vt_err *e);
void vt_slots_close(struct vt_slot_set *s, unsigned int cpu, int map);

/** vt_slots_faults - the slot that counts page faults, VT_SLOTS if none does */
uint32_t vt_slots_faults(const struct vt_slot_set *s);

/** vt_slots_describe - the public record of slot @i */
void vt_slots_describe(const struct vt_slot_set *s, unsigned int i, struct vt_slot *ret);

/* ---- the instance ------------------------------------------------------------------------ */

struct vt_monitor {
	struct vt_bpf *skel; /* NULL: attached to somebody else's */
	struct vt_pins pins;
	struct vt_meta meta;
	struct vt_slot slot[VT_SLOTS];
	struct vt_slot_set set;
	struct vt_cpuset online;
	char sysfs[256];
	/* mapped */
	struct vt_row *rows;
	struct vt_cpu *cpus;
	struct vt_worker *workers;
	struct vt_decided *decisions;
	size_t rows_bytes, cpus_bytes, workers_bytes, decisions_bytes;
	/* descriptors: the skeleton's, or ours when attached */
	int fd_tenants, fd_cut, fd_switch;
	int fd_who; /* the owner's */
	struct ring_buffer *ring;
	struct bpf_link *link[8];
	unsigned int links;
	struct bpf_link **sample; /* per CPU */
	vt_monitor_event_fn event_fn;
	void *event_arg;
	struct vt_row_state *state; /* per row: rows.c */
	uint64_t recursion, recursion_ns;
	struct vt_cpuset unread; /* CPUs where a read failed since the last vt_monitor_tend */
	uint64_t opened_ns;	 /* events, last: an earlier failure says nothing of them */
};

/* ---- rows.c: who has a row, and until when ----------------------------------------------- */

struct vt_row_state {
	uint64_t key;
	uint64_t run_ns;	/* at the last look */
	uint64_t idle_since_ns; /* last look that found it had run */
	uint64_t deleted_ns;	/* its name is gone, the row follows; 0: alive */
	bool gone;		/* the kernel said so */
};

int vt_rows_init(struct vt_monitor *m, struct vt_err *e);
int vt_rows_tend(struct vt_monitor *m, const struct vt_snapshot *s, struct vt_err *e);

/* ring_buffer_sample_fn of the rare events; @ctx is the monitor */
int vt_rows_record(void *ctx, void *data, size_t len);

/* ---- read.c ------------------------------------------------------------------------------ */

/** vt_monitor_tgid - as vt_monitor_tid(), of the calling process */
pid_t vt_monitor_tgid(const struct vt_monitor *m);

/** vt_monitor_cut_old - close slices older than @max_age_ns (UINT64_MAX: none) on busy CPUs */
void vt_monitor_cut_old(struct vt_monitor *m, uint64_t max_age_ns);

/* ---- bpf.c ------------------------------------------------------------------------------- */

/** vt_monitor_hotplug - open what came online, close what went offline; the first error, all the others being done */
int vt_monitor_hotplug(struct vt_monitor *m, struct vt_err *e);

/**
 * vt_monitor_reopen - open the events of CPUs whose reads failed (m->unread) anew
 * A pinned event is lost for good when somebody takes its counter, or when its CPU goes and returns
 * between two looks. Only where the counter is still taken are all shared from now on.
 * Errors as vt_monitor_hotplug().
 */
int vt_monitor_reopen(struct vt_monitor *m, struct vt_err *e);

#endif
