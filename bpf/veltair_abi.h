/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * veltair_abi.h - what the kernel side and user space share, and what bpftool shows.
 *
 * Included by bpf/ (where <linux/types.h> gives the fixed-width types) and by user/. Every struct
 * is padded by hand and its size asserted; a change of any of them changes VT_ABI_VERSION, which is
 * part of the pinned path. docs/abi.md shows each map as bpftool prints it.
 */
#ifndef VT_BPF_VELTAIR_ABI_H
#define VT_BPF_VELTAIR_ABI_H

#include <linux/types.h>

#define VT_ABI_VERSION 3
#define VT_ABI_DIR     "v3" /* maps are pinned in PIN_DIR/v3/ */

#define VT_SLOTS   8	/* events counted per CPU; slots in use are 0 .. nslots - 1 */
#define VT_WORKERS 1024 /* runtime worker threads */

/* ---- tenants ----------------------------------------------------------------------------- */

/*
 * A tenant is named by one 64-bit key: the kind in the top 4 bits, and below them
 *   TENANT   a number the runtime chose
 *   CGROUP   the cgroup's id, which is the inode number of its directory
 *   PROCESS  start time of the thread group (2^20 ns units, 38 bits) and its pid (22 bits): a pid
 *            that is used again makes another tenant
 */
enum vt_tenant_kind {
	VT_KIND_NONE = 0,
	VT_KIND_OTHER = 1, /* found the table full; sums stay right, the name is lost */
	VT_KIND_IDLE = 2,  /* no task at all */
	VT_KIND_GONE = 3,  /* sum of the tenants whose rows were given to others */
	VT_KIND_TENANT = 4,
	VT_KIND_CGROUP = 5,
	VT_KIND_PROCESS = 6,
};

#define VT_KEY_KIND_SHIFT 60
#define VT_KEY_PID_BITS	  22
#define VT_KEY_ID_MASK	  ((1ull << VT_KEY_KIND_SHIFT) - 1)
#define VT_KEY(kind, id)  ((__u64)(kind) << VT_KEY_KIND_SHIFT | ((__u64)(id)&VT_KEY_ID_MASK))
#define VT_KEY_PROCESS(pid, start_ns)                                                              \
	VT_KEY(VT_KIND_PROCESS, (__u64)(start_ns) >> 20 << VT_KEY_PID_BITS |                       \
					((__u64)(pid) & ((1ull << VT_KEY_PID_BITS) - 1)))

static inline enum vt_tenant_kind vt_key_kind(__u64 key)
{
	return (enum vt_tenant_kind)(key >> VT_KEY_KIND_SHIFT);
}

/** vt_key_id - the tenant number, cgroup id or pid in a key */
static inline __u64 vt_key_id(__u64 key)
{
	if (vt_key_kind(key) == VT_KIND_PROCESS)
		return key & ((1ull << VT_KEY_PID_BITS) - 1);
	return key & VT_KEY_ID_MASK;
}

/* Rows that always exist. The others come from the queue of free rows. */
#define VT_ROW_OTHER 0u
#define VT_ROW_IDLE  1u
#define VT_ROW_GONE  2u
#define VT_ROW_FIRST 3u

/** Value of map vt_tenants, keyed by tenant key. */
struct vt_tenant {
	__u32 row; /* index into each CPU's part of vt_rows */
	__u32 kind;
	__u64 id;	     /* vt_key_id() of the key, for people */
	__u64 first_mono_ns; /* when it was first seen */
	char name[40];	     /* command, last part of the cgroup's path, or what the runtime said */
};

/* ---- counters ---------------------------------------------------------------------------- */

/**
 * One tenant on one CPU: element cpu * max_rows + row of map vt_rows. Written by that CPU only,
 * read by mmap without a system call. Four slots or fewer touch one cache line per flush.
 */
struct vt_row {
	__u64 tenant; /* its key; 0 as long as it never ran on this CPU */
	__u64 run_ns;
	__u64 slices; /* pieces of running time that were added up */
	__u64 pad0;
	__u64 count[VT_SLOTS];
	__u64 lost_ns[VT_SLOTS]; /* of run_ns: its event was not on a counter (multiplexed) */
	__u64 pad1[4];
};

/** A tenant that ran on this CPU not long ago. User space zeroes the key when it gives the row away. */
struct vt_recent {
	__u64 key;
	__u32 row;
	__u32 pad;
};

#define VT_RECENT 16

/** Which tenant a task belongs to that is no worker of the runtime. */
enum vt_key_by {
	VT_KEY_BY_PROCESS,
	VT_KEY_BY_LEAF,	 /* its cgroup */
	VT_KEY_BY_DEPTH, /* that cgroup's ancestor at the chosen depth */
};

/**
 * One CPU: element of map vt_cpus. That CPU writes all of it, unless said otherwise. On a machine
 * that idles every cache line is a miss, so what a switch touches comes first: without counters the
 * first line and one of recent[], with counters the second line too.
 */
struct vt_cpu {
	__u64 last_ns;	    /* CLOCK_MONOTONIC of the last flush; 0: none yet */
	__u64 key;	    /* tenant key that belongs to row */
	__u32 row;	    /* who runs now; ignored while worker is set */
	__u32 worker;	    /* index of the runtime worker that runs now, plus 1; else 0 */
	__u32 pid;	    /* who runs now, for people */
	__u32 runtime_tgid; /* user space writes: whose threads are workers; 0: none */
	__u32 row_base;	    /* user space writes: element of vt_rows that is row 0 here */
	__u8 busy;	    /* a flush is at work: one that interrupts it leaves it the rest */
	__u8 rebase;	    /* user space writes: 1 drop deltas, 2 take a new baseline, then 0 */
	__u8 shared; /* user space writes: bit per slot that is multiplexed (read with both times) */
	__u8 slots;  /* user space writes: slots in use */
	__u16 merge_pause; /* so many switches close every slice: the chain broke here */
	__u8 key_by;	   /* user space writes: enum vt_key_by */
	__u8 pad0;
	__u32 task; /* who must be switched out next: low half of its address, which exec keeps */
	__u64 switches;	      /* sched_switch seen */
	__u64 merged;	      /* of them: same tenant before and after, nothing to close */
	__u64 prev[VT_SLOTS]; /* last reading; ~0: none, the next delta is dropped */
	struct vt_recent recent[VT_RECENT];
	__u64 prev_lost[VT_SLOTS]; /* last enabled - running, of shared slots */
	__u64 lost_ns[VT_SLOTS];   /* its growth in the slice that is being closed */
	__u64 cuts;		   /* exact cuts, reads, and moves to another cgroup */
	__u64 samples;		   /* flushes by a perf sample */
	__u64 chain_miss;	   /* a task was switched out that was never switched in */
	__u64 read_errors;	   /* an event could not be read */
	__u64 first_dropped;	   /* deltas dropped for want of a baseline, or of an open event */
	__u64 backwards;	   /* an event ran backwards: delta dropped */
	__u64 nested;		   /* flushes left to the one they interrupted */
	__u64 rows_full;   /* a new tenant was charged to VT_ROW_OTHER, or a free row was lost */
	__u64 ring_full;   /* rare events that found no room */
	__u64 multiplexed; /* deltas of which a part was not counted */
	__u64 row_high; /* this CPU handed out rows below it; the largest of all bounds a reader */
	__u64 row_high_user; /* the same for user space, in element 0 */
	__u32 unlucky;	     /* bit per rare event already reported; user space clears it */
	__u32 pad1;
	__u64 pad2[3];
};

/* ---- workers of the runtime -------------------------------------------------------------- */

/** One worker thread: element of map vt_workers. One cache line each; @row is a plain store. */
struct vt_worker {
	__u32 row; /* the tenant it works for now */
	__u32 tid;
	__u64 pad[7];
};

/* ---- decisions of the runtime ------------------------------------------------------------ */

#define VT_DECISIONS 1024 /* kept; a power of two */

/**
 * One action the scheduler decided on and why: decision n is element n % VT_DECISIONS of map
 * vt_decisions. Written by the runtime alone, by plain stores through mmap. Times are
 * CLOCK_MONOTONIC. Fields that do not apply to an action are 0.
 */
struct vt_decided {
	__u64 seq; /* its number n, from 1; 0: none yet, or being written: read it before and after */
	__u64 mono_ns;
	__u64 request;	/* id */
	__s64 slack_ns; /* to its deadline; negative: late already */
	__u64 rest_ns; /* what is left of it would take on its cores that are not taken; of a refused one at least */
	__u64 waited_ns; /* start, shed: since it was ready */
	char action[8];	 /* "start", "grow", "shrink", "preempt", "shed" */
	char source[24]; /* what pressure_ppm rests on: "counters+slowdown", "first guess", ... */
	char model[64];
	__u32 model_id;
	__u32 tenant;
	__u32 pressure_ppm; /* highest of the domains granted; without a grant, of all */
	__u32 confidence_ppm;
	__u32 waiting; /* requests that waited when it was decided */
	__u16 layer_begin;
	__u16 layer_end;
	__u16 wanted;	      /* cores demanded */
	__u16 granted;	      /* cores it has from now on */
	__u16 free;	      /* cores free before this action, taken ones among them */
	__u16 other_versions; /* layers whose version is not the one fastest alone */
	__u16 taken;	      /* cores of the machine that other programs largely use */
	__u16 usable;	      /* cores a plan counts on: the others; all, if all are taken */
	__u8 level;	      /* of pressure that demand and versions were chosen for */
	__u8 pad[11];
};

/* ---- slots ------------------------------------------------------------------------------- */

/** What a slot counts: element of map vt_slots. Filled before the programs attach. */
struct vt_slot {
	char role[16];	 /* "llc_misses" */
	char event[96];	 /* as opened: "LONGEST_LAT_CACHE:MISS" */
	char cls[8];	 /* "hw" or "sw": whether hardware counts it */
	char quality[8]; /* "exact", "approx", "proxy", "user" */
	char source[16]; /* who knew the encoding */
	__u32 type;	 /* as in perf_event_attr */
	__u32 role_id;
	__u64 config;
	__u64 config1;
	__u64 config2;
	__u64 pad[2];
};

/** What this instance is: the one element of map vt_meta. */
struct vt_meta {
	__u32 abi;
	__u32 owner_pid;
	__u64 started_mono_ns;
	__u32 group; /* enum vt_group */
	__u32 depth; /* cgroup depth, VT_DEPTH_LEAF */
	__u32 cpus;  /* CPUs that vt_rows has room for */
	__u32 max_rows;
	__u32 slots;
	__u32 sample_hz;
	__u64 pad[3];
};

enum vt_group {
	VT_BY_TENANT = 0, /* runtime tenants; everything else by cgroup */
	VT_BY_CGROUP = 1,
	VT_BY_PROCESS = 2,
};

#define VT_DEPTH_LEAF 0xffffffffu

/* ---- rare events ------------------------------------------------------------------------- */

enum vt_event_kind {
	VT_EVENT_APPEARED = 1, /* a tenant got a row */
	VT_EVENT_GONE = 2,     /* its parent has taken note of its end, or its cgroup was removed */
	VT_EVENT_MULTIPLEXED = 3, /* @arg: the slot that lost its counter for a while */
	VT_EVENT_ROWS_FULL = 4,
	VT_EVENT_READ_ERROR = 5, /* @arg: the slot */
	VT_EVENT_CHAIN_MISS = 6, /* @arg: pid whose switch-out was not seen << 32 | pid that was */
};

/** A record of the ring buffer vt_events. */
struct vt_event_record {
	__u64 mono_ns;
	__u64 tenant;
	__u32 kind;
	__u32 cpu;
	__u64 arg;
};

/*
 * What the cut program is told (its context): args[0] is VT_CUT_ONLY, close the slice, or a worker's
 * index + 1, and args[1] its new row.
 */
#define VT_CUT_ONLY 0ull

#define VT_ASSERT_SIZE(t, n) _Static_assert(sizeof(t) == (n), #t " is part of the ABI")
VT_ASSERT_SIZE(struct vt_tenant, 64);
VT_ASSERT_SIZE(struct vt_row, 192);
VT_ASSERT_SIZE(struct vt_cpu, 640);
VT_ASSERT_SIZE(struct vt_worker, 64);
VT_ASSERT_SIZE(struct vt_decided, 192);
VT_ASSERT_SIZE(struct vt_slot, 192);
VT_ASSERT_SIZE(struct vt_meta, 64);
VT_ASSERT_SIZE(struct vt_event_record, 32);

#endif
