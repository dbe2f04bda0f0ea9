/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime.h - the live plant: requests in, blocks on pinned workers, answers out.
 *
 * One request's way:
 *
 *	vt_runtime_submit()   any thread: queued, or refused at once
 *	  vt_loop_step()      on the thread that brought the event (an arrival, the end of a block):
 *	                      there is no scheduler thread. One thread at a time steps the loop; who
 *	                      finds it taken leaves its event behind and goes on
 *	  load()              on the leader of its first block: inputs to the instance's arena
 *	  blocks              layers on the cores granted, variants of the present pressure level
 *	  store()             on the leader of its last block: outputs from the arena
 *	  done()              there too; the request is the caller's again
 *
 * A request that is refused is answered by whoever stepped the loop: done() may then be called on
 * any thread that submits, on a worker, or on the thread that cancels. done() may submit another
 * request, but not from VT_QUEUE_FULL or VT_REFUSED at once: that would never end.
 *
 * Nothing is allocated between submit and done. Counts, pressure and decisions can be read at any
 * moment from any thread without holding up the loop.
 */
#ifndef VT_EXEC_RUNTIME_H
#define VT_EXEC_RUNTIME_H

#include <stdatomic.h>

#include "exec/costs.h"
#include "exec/engine.h"
#include "loop/explain.h"
#include "loop/loop.h"
#include "monitor/monitor.h"

#define VT_RUNTIME_MODELS  257u	 /* one more than a server serves: beside what is replaced */
#define VT_RUNTIME_REASONS 1024u /* kept for explaining */
#define VT_RUNTIME_BUCKETS 24u
/* Of the time of turns: below 250 ns, four to each doubling from there to a second, above. */
#define VT_TURN_OCTAVES 22u
#define VT_TURN_BUCKETS (2 + 4 * VT_TURN_OCTAVES)

struct vt_runtime;

/** How a request ended. */
enum vt_outcome {
	VT_DONE,       /* computed, in time or not: compare end_ns with deadline_ns */
	VT_REFUSED,    /* cannot meet its deadline: the policy shed it */
	VT_QUEUE_FULL, /* of its model or of the runtime */
	VT_NO_MODEL,   /* unknown, or being unloaded */
	VT_STOPPING,   /* the runtime drains */
	VT_CANCELLED,  /* vt_runtime_cancel() */
	VT_NO_MEMORY,  /* of the server, for its body or answer; told by vt_runtime_refused() */
	VT_OUTCOMES,
};

/**
 * How far a request is, for estimates of what is left: by relaxed atomics, so that its parts may be those of two moments.
 * since_ns, until_ns: of its present block, as expected when it began; both 0 between two.
 */
struct vt_headway {
	_Atomic uint64_t since_ns, until_ns;
	_Atomic uint32_t from_ppm, to_ppm; /* of its work, before and after that block */
};

/** One request. Caller's memory, untouched by the caller from submit until done(). */
struct vt_infer {
	uint32_t model;	      /* from vt_runtime_add() */
	uint32_t tenant;      /* 0: the model's own */
	uint16_t priority;    /* 0: the model's */
	uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0: arrival + the model's QoS */
	/* Zeros in these three are replaced by what they stand for: clear them before submitting again. */

	/* All on a worker, all short. load and store may be NULL. */
	void (*load)(struct vt_infer *q, const struct vt_engine *eng, int inst);
	void (*store)(struct vt_infer *q, const struct vt_engine *eng, int inst);
	/* Also on the submitting thread, before submit returns, if it is refused at once. */
	void (*done)(struct vt_infer *q, enum vt_outcome how);
	void *user;

	/* Set by the runtime, valid in done() */
	uint64_t id;
	uint64_t arrival_ns, start_ns, end_ns; /* start: of the first block; 0 if it never ran */
	uint64_t served_ns;		       /* wall time of its blocks */
	uint64_t core_ns;		       /* granted core time */
	uint32_t blocks, conflicts;
	struct vt_headway headway; /* readable from submit on */
	struct vt_infer *next;	   /* of the runtime */
};

/** A model to serve. The runtime takes engine and costs over, also if adding fails. */
struct vt_served {
	char name[64], version[16];
	struct vt_engine *engine;
	struct vt_costs costs; /* costs.model.qos_ns is the target */
	uint16_t priority;     /* 0: 1 */
	uint32_t max_queue;    /* waiting requests; 0: 64 */
	/* Take the place of the one of this name and version: that goes on with what it has until
	 * vt_runtime_del(), but is not found any more and its counts are not shown. */
	bool replaces;
	/* Set by vt_runtime_add(): every row of the monitor is taken, so it is served as one of its (other). */
	bool no_row;
};

/** Told about every block, on its leader, right after it ended: traces, tests. */
struct vt_block_event {
	uint64_t id, start_ns, end_ns;
	uint32_t model, tenant;
	uint16_t layer_begin, layer_end;
	uint16_t wanted;
	uint8_t level, flags;
	struct vt_coreset cores; /* at its start; scheduled core numbers: vt_runtime_cpu() */
	const uint8_t *versions; /* of its layers */
};

/** A core's part of a block, when it is over: for traces. */
struct vt_core_span {
	uint64_t id, start_ns, end_ns;
	uint32_t model;
	uint16_t cpu; /* the kernel's number */
	uint16_t layer_begin, layer_end, wanted, granted;
	uint16_t other_versions; /* layers not run by the version fastest alone */
	uint8_t level;
	bool leads;
};

/** One layer as its leader ran it: for traces. */
struct vt_layer_span {
	uint64_t start_ns, end_ns;
	uint32_t model;
	uint16_t cpu, layer;
	uint8_t version;
};

struct vt_runtime_opts {
	struct vt_cpuset cores;		/* empty: all this process may use that can be scheduled */
	const struct vt_policy *policy; /* NULL: veltair-full */
	bool no_shed;			/* serve late rather than refuse */
	uint32_t max_requests;		/* waiting and running, all models; 0: 1024 */
	struct vt_monitor *monitor;	/* open, stays the caller's; NULL: no counters */
	uint64_t window_ns;		/* counters are closed this often at most; 0: 10 ms */
	int record_fd; /* a trace of every step is written here, and it is closed; -1: none */
	void (*block)(void *arg, const struct vt_block_event *b);
	/* Both short, from any worker; core holds up the loop. NULL costs nothing. */
	void (*core)(void *arg, const struct vt_core_span *s);
	void (*layer)(void *arg, const struct vt_layer_span *s);
	/* A model that is served from now on; one at a time, on the thread that adds it; asks nothing of the runtime. */
	void (*added)(void *arg, uint32_t id, const char *name);
	void *arg;
};

/**
 * vt_runtime_open - start the workers; errors as vt_pool_open(). @o->record_fd is the runtime's then, also after an error
 * -EINVAL also for more than VT_SCHED_MAX_CORES named, -ENOSPC if the monitor has no slots left for the workers.
 */
int vt_runtime_open(struct vt_runtime **ret, const struct vt_runtime_opts *o, struct vt_err *e);
/** vt_runtime_cpu - the kernel's number of a scheduled core */
unsigned int vt_runtime_cpu(const struct vt_runtime *rt, unsigned int core);
/** vt_runtime_ours_ppm - of the time of all cores, what others leave us of those that count as taken; any thread */
uint32_t vt_runtime_ours_ppm(const struct vt_runtime *rt);
/** vt_runtime_avail_err - 0, or the errno for which nobody knows what others take of a core */
int vt_runtime_avail_err(const struct vt_runtime *rt);
/** vt_runtime_recording - 0, or the error that ended the recording to record_fd */
int vt_runtime_recording(const struct vt_runtime *rt);
/**
 * vt_runtime_write_recording - have what has been recorded so far written to record_fd, and wait @wait_ns for it at
 * most; not needed, but if nobody asks, a megabyte at a time is. 0, -ETIMEDOUT, or as vt_runtime_recording()
 */
int vt_runtime_write_recording(struct vt_runtime *rt, uint64_t wait_ns);
/**
 * vt_runtime_close - drain (as vt_runtime_drain()), stop the workers, free all models; NULL is fine
 * Every call of vt_runtime_submit(), and of whatever else takes @rt, has returned before: a request may be answered
 * while the thread that submitted it still is in there.
 * Returns what vt_runtime_recording() would, the last of the recording included, which then has its end mark;
 * -ETIMEDOUT if the file takes nothing for ten seconds: it is written to, or not, for as long as the process is there.
 */
int vt_runtime_close(struct vt_runtime *rt);
/** vt_runtime_turn_away - answer with VT_STOPPING all that come from now on, and that have come and not begun */
void vt_runtime_turn_away(struct vt_runtime *rt);
/** vt_runtime_drain - refuse new requests; wait until the last has been answered */
void vt_runtime_drain(struct vt_runtime *rt);

/**
 * vt_runtime_add - serve a model from now on; its plan is made here, off the hot path
 * -EEXIST: name and version are taken; -ENOSPC; -EINVAL from the costs. @ret_id stays valid until
 * vt_runtime_del() returns, and is not reused.
 */
int vt_runtime_add(struct vt_runtime *rt, struct vt_served *m, uint32_t *ret_id, struct vt_err *e);
/** vt_runtime_del - refuse new requests for it, wait for those it has, free it; -ENOENT */
int vt_runtime_del(struct vt_runtime *rt, uint32_t id);
/** vt_runtime_recost - replace the costs of a served model (it has been profiled); takes them over */
int vt_runtime_recost(struct vt_runtime *rt, uint32_t id, struct vt_costs *c, struct vt_err *e);
/** vt_runtime_policy - go on with another policy; queued requests stay */
int vt_runtime_policy(struct vt_runtime *rt, const struct vt_policy *policy, bool no_shed);

/** vt_runtime_submit - see above; done() is called exactly once for every call of this */
void vt_runtime_submit(struct vt_runtime *rt, struct vt_infer *q);
/** vt_runtime_refused - count a request of model @id that its server did not submit; @how: VT_REFUSED, VT_QUEUE_FULL, VT_NO_MEMORY */
void vt_runtime_refused(struct vt_runtime *rt, uint32_t id, enum vt_outcome how);
/** vt_headway_ppm - of the work of a request under way, what is done at @now_ns */
uint32_t vt_headway_ppm(const struct vt_headway *p, uint64_t now_ns);
/**
 * vt_runtime_cancel - forget @id, whose answer nobody wants any more: it is answered with VT_CANCELLED
 * 0: it waited, and is; -EINPROGRESS: it runs, and will be at the end of its present layer unless that is
 * its last; -ENOENT.
 */
int vt_runtime_cancel(struct vt_runtime *rt, uint64_t id);

/** vt_runtime_idle - nothing waits or runs; for profiling in the background */
bool vt_runtime_idle(const struct vt_runtime *rt);
/**
 * vt_runtime_borrow - hand the idle workers to @fn, on the calling thread; requests that arrive
 * meanwhile wait, so @fn ends soon: it asks vt_runtime_wanted() between short pieces of work
 * -EBUSY if something runs.
 */
int vt_runtime_borrow(struct vt_runtime *rt, int (*fn)(void *arg, struct vt_pool *pool), void *arg);
bool vt_runtime_wanted(const struct vt_runtime *rt);

/* ---- looking at it: any thread ------------------------------------------------------------ */

/** vt_runtime_bucket_ns - upper bound of latency bucket @i: 0.5 ms x 1.5^i; the last has none */
uint64_t vt_runtime_bucket_ns(unsigned int i);

/** vt_turn_bucket_ns - upper bound of bucket @i of the time of turns; the last has none */
uint64_t vt_turn_bucket_ns(unsigned int i);
/** vt_turn_bucket - the bucket that @ns is in */
unsigned int vt_turn_bucket(uint64_t ns);
/** vt_turn_percentile_ns - upper bound of percentile @p, in (0, 1], of counts by bucket; 0 if there are none */
uint64_t vt_turn_percentile_ns(const uint64_t count[VT_TURN_BUCKETS], double p);

struct vt_runtime_model {
	uint32_t id;
	char name[64], version[16];
	uint64_t qos_ns;
	uint32_t waiting, running;
	uint32_t max_queue;	/* that may wait */
	uint64_t requests;	/* submitted */
	uint64_t in_time, late; /* of those computed */
	uint64_t ended[VT_OUTCOMES];
	uint64_t latency[VT_RUNTIME_BUCKETS]; /* arrival to end of those computed, not cumulative */
	uint64_t latency_sum_ns, queue_sum_ns, core_sum_ns;
	uint64_t blocks, conflicts, wanted_cores, granted_cores; /* cores: summed over blocks */
	uint64_t layer_runs[VT_MAX_VERSIONS];			 /* by version */
	uint32_t row;	      /* of the monitor; UINT32_MAX: none */
	uint8_t costs_source; /* enum vt_costs_source */
};

struct vt_runtime_domain {
	uint32_t pressure_ppm, confidence_ppm, sources; /* enum vt_pressure_source */
	uint16_t first, n_cores;
};

/** What runs on a core. id 0: nothing. */
struct vt_runtime_core {
	unsigned int cpu; /* kernel's number */
	uint64_t id, since_ns;
	uint32_t model;
	uint64_t busy_ns; /* since the start */
	uint32_t
		available_ppm; /* of the time that its worker wanted it, of late; VT_PPM if unknown */
	uint32_t taken;	       /* != 0: much of it is somebody else's */
};

struct vt_runtime_stats {
	uint64_t now_ns, start_ns;
	struct vt_loop_stats loop;
	uint64_t late_actions;
	/* From an event to what is decided, and until that is done too, but for the system calls that then wake workers
	 * that sleep: they come after the lock. Bucket i: below vt_turn_bucket_ns(i). */
	uint64_t decide_ns, decide_max_ns, decide[VT_TURN_BUCKETS];
	uint64_t turn_ns, turn[VT_TURN_BUCKETS];
	/* Of blocks that ran to their end on the cores they began with: what they took, and what the
	 * plan had said at the pressure known. The quotient is the pace of this machine now. */
	uint64_t blocks_took_ns, blocks_planned_ns;
	const char *policy;
	uint32_t waiting, running, max_requests;
	uint32_t n_models, n_domains, n_cores;
	int avail_err; /* != 0: the errno for which available_ppm is not known */
	struct vt_runtime_domain domain[VT_MAX_DOMAINS];
	struct vt_runtime_core core[VT_SCHED_MAX_CORES];
	struct vt_runtime_model model[VT_RUNTIME_MODELS];
};

/** vt_runtime_stats - a consistent look; a few microseconds. @ret is large: not on a stack */
void vt_runtime_stats(struct vt_runtime *rt, struct vt_runtime_stats *ret);

/** vt_runtime_reasons - the last decisions explained, oldest first, those after number @after;
 * returns how many were written, *@last the number of the last */
size_t vt_runtime_reasons(struct vt_runtime *rt, uint64_t after, struct vt_reason *ret, size_t len,
			  uint64_t *last);

/**
 * vt_runtime_monitor - call @fn, on the calling thread, while the runtime leaves the monitor alone
 * The way for anybody else to read or tend the monitor that was given to vt_runtime_open().
 */
void vt_runtime_monitor(struct vt_runtime *rt, void (*fn)(void *arg, struct vt_monitor *m),
			void *arg);

/** vt_runtime_engine - for metadata (inputs, outputs); NULL if unloaded. Valid until vt_runtime_del */
const struct vt_engine *vt_runtime_engine(const struct vt_runtime *rt, uint32_t id);
/** vt_runtime_find - by name, and version unless it is NULL or "" (then the latest added); -ENOENT */
int vt_runtime_find(const struct vt_runtime *rt, const char *name, const char *version,
		    uint32_t *ret);

#endif
