/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_int.h - what the files of the live plant share.
 *
 *	runtime.c		opening, closing, requests from outside
 *	runtime_step.c		the lock, who steps, what the plant shows and does
 *	runtime_events.c	what has happened since the last step, taken in
 *	runtime_count.c		windows of the counters
 *	runtime_record.c	a trace of every step
 *	runtime_work.c		a block on its worker
 *	runtime_models.c	models, costs and policies come and go
 *	runtime_stats.c		looking at it
 *
 * Who may touch what:
 *
 *	"lock"	the thread that holds rt->lock: it is the loop's thread for that time
 *	"ctl"	the thread that holds rt->ctl: loads, unloads, borrows; never on a request's way
 *	_Atomic	anybody
 */
#ifndef VT_EXEC_RUNTIME_INT_H
#define VT_EXEC_RUNTIME_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "exec/runtime.h"
#include "exec/topology.h"
#include "monitor/domain.h"

#define RT_SLOT(id) ((id) % VT_RUNTIME_MODELS)
#define RT_NO_INST  (-1)

/*
 * Counters. Of one writer: a plain load and a plain store; of many: an atomic addition. Stores
 * release and loads acquire, so that a reader who finds rt->seq unchanged has read one moment; on
 * x86 both are free.
 */
#define RT_GET(x)    atomic_load_explicit(&(x), memory_order_acquire)
#define RT_SET(x, v) atomic_store_explicit(&(x), (v), memory_order_release)
#define RT_ADD(counter, n)                                                                         \
	RT_SET(counter, atomic_load_explicit(&(counter), memory_order_relaxed) + (n))
#define RT_ADD_SHARED(counter, n) atomic_fetch_add_explicit(&(counter), (n), memory_order_relaxed)

enum rt_state { RT_FREE, RT_SERVING, RT_LEAVING };

/** A model that is served, or was: slots are used again, ids are not. */
struct rt_model {
	_Atomic uint32_t state; /* enum rt_state */
	_Atomic uint32_t id;
	_Atomic uint32_t unanswered; /* submitted and not answered; taken before state is read */
	_Atomic uint32_t queued;     /* of them, never started */
	_Atomic uint64_t qos_ns;
	/* Written by ctl while nobody can see them: state is RT_FREE, or all has been answered. */
	char name[64], version[16];
	struct vt_engine *engine;
	uint64_t added;			/* a number; the latest of a name is found first */
	bool replaced;			/* names; by another of its name and version */
	struct vt_runtime_model before; /* names; counts of those that it replaced and are gone */
	uint16_t priority;
	uint32_t max_queue;
	uint32_t row; /* of the monitor; UINT32_MAX: none */
	/* ctl, and read under lock */
	struct vt_costs *costs;
	struct vt_model planned; /* costs->model with its plan */
	void *plan_mem;
	/* lock */
	uint32_t index;	 /* into the models of the loop */
	uint32_t *inst;	 /* free ones, a stack of engine->n_inst */
	uint32_t *first; /* positions in waiting[] that may have an instance, most urgent first */
	uint32_t n_inst, n_first;
	/* Counts. */
	_Atomic uint32_t waiting, running;
	_Atomic uint8_t costs_source;
	_Atomic uint64_t requests, in_time, late, ended[VT_OUTCOMES], latency[VT_RUNTIME_BUCKETS],
		latency_sum_ns, queue_sum_ns, core_sum_ns;
	_Atomic uint64_t blocks, conflicts, wanted_cores, granted_cores,
		layer_runs[VT_MAX_VERSIONS];
};

/** What a waiting request has besides what a policy sees of it; same position as in waiting[]. */
struct rt_wait {
	struct vt_infer *q; /* NULL: gone, its place is to be closed up */
	struct rt_model *m;
	int inst; /* it has one from its first block to its end */
};

/** A block and its work. One for each core: a block is that of its leader. */
struct rt_block {
	struct vt_work work; /* first */
	struct vt_runtime *rt;
	struct rt_block *next; /* in rt->ended */
	/* Written under lock before the start, then the leader's until it is in rt->ended. */
	struct vt_infer *q; /* the leader's alone: its caller may have it back once over is set */
	uint64_t id;	    /* of q, as is model: for who holds the lock */
	uint32_t model;
	struct rt_model *m;
	const struct vt_costs *costs;
	int inst;
	uint32_t core;		 /* scheduled number of the leader */
	struct vt_coreset cores; /* granted at the start */
	uint16_t begin, end, wanted;
	uint8_t level;
	bool conflict;
	uint64_t start_ns, end_ns;
	uint16_t ran_to; /* layers [begin, ran_to) were run */
	bool finished;	 /* the request: q is the caller's again */
	/* Between the leader and who holds the lock. */
	_Atomic uint32_t stop;	    /* at the next layer boundary */
	_Atomic uint32_t over;	    /* its layers are through */
	_Atomic uint32_t layer_now; /* under way */
	_Atomic uint32_t n_cores;   /* now */
	_Atomic uint64_t begun_ns;  /* start_ns once it runs: after its worker woke; 0: not yet */
	_Atomic uint64_t core_ns_more; /* core time of grants that have changed; wraps */
	_Atomic uint32_t
		granted; /* odd while n_cores and core_ns_more change together; RT_CLOSED */
	_Atomic uint32_t resized;
	/* lock */
	uint32_t at;		 /* in blocks[] */
	uint64_t planned_end_ns; /* at the start; what is expected now is in blocks[] */
	bool running;
	bool shared;   /* others had taken one of its cores when it began */
	bool gone;     /* cancelled while it ran: its request does not wait again */
	bool outdated; /* costs or models changed while it ran: the loop does not hear of its end */
	/*
	 * Of layers begin, begin + 1, ...: the versions to run, which another grant may change under the
	 * lock by atomic stores, and, the leader's until the end, those that ran.
	 */
	uint8_t to_run[VT_MAX_LAYERS];
	uint8_t version[VT_MAX_LAYERS];
};

/* in rt_block.granted: the leader has added up, its grant stays as it is */
#define RT_CLOSED 0x80000000u

/** What runs on a core, for stats. */
struct rt_core {
	_Atomic uint64_t id, since_ns;
	_Atomic uint32_t model;
};

struct rt_domain_stats {
	_Atomic uint32_t ppm, confidence_ppm, sources;
};

/** One slot of the ring of reasons: struct vt_reason as words. seq: its number, 0 while written */
struct rt_reason {
	_Atomic uint64_t seq;
	_Atomic uint64_t word[sizeof(struct vt_reason) / 8];
};

/** Of struct vt_loop_stats, and what decisions took. One writer: who holds the lock. */
struct rt_loop_counts {
	_Atomic uint64_t steps, starts, conflicts, grows, shrinks, preempts, sheds, learned;
	_Atomic uint64_t late_actions, decide_ns, decide_max_ns, decide[VT_TURN_BUCKETS];
	_Atomic uint64_t turn_ns, turn[VT_TURN_BUCKETS];
	_Atomic uint64_t took_ns, planned_ns;
};

struct vt_runtime {
	struct vt_runtime_opts o;
	struct vt_topology topo;
	struct vt_pool *pool;
	uint32_t open_ns, open_core_ns; /* what a block costs before its first layer (vt_model) */
	struct vt_worker **worker;	/* of the monitor, by scheduled core; NULL: no monitor */
	uint64_t start_ns;

	/* ---- what happened, left by whoever saw it ---- */
	_Alignas(64) struct vt_infer *_Atomic arrived; /* stack */
	struct rt_block *_Atomic ended;		       /* stack */
	_Atomic uint32_t rang;			       /* the timer */
	_Atomic uint64_t next_id;
	_Atomic uint32_t unanswered; /* all models */
	_Atomic uint32_t draining;
	_Atomic uint32_t lent; /* vt_runtime_borrow(): events wait */

	/* ---- the loop, and what it looks at: lock ---- */
	_Alignas(64) _Atomic uint32_t lock; /* 0 or 1; tried, and never waited for on a hot path */
	_Atomic uint32_t seq;		    /* odd while the counts change: see runtime_stats.c */
	struct vt_loop *loop;		    /* NULL: no model */
	struct vt_loop_cfg loop_cfg;
	struct vt_loop_stats loop_before; /* of loops before this one */
	struct vt_model *models;	  /* [n_models], the loop's */
	struct rt_model **model_of;	  /* [n_models] */
	uint32_t n_models, max_layers;
	uint64_t now_ns, decided_ns; /* of this turn */
	bool again;		     /* something came free in apply() */
	struct vt_coreset free;
	struct vt_coreset taken;    /* as of this step; others use them */
	uint32_t taken_ppm;	    /* what is left of the worst of them */
	_Atomic uint32_t ours_ppm;  /* of all core time, without what others have of them */
	struct vt_request *waiting; /* [max_requests], by id */
	struct rt_wait *wait;
	uint32_t n_waiting;
	struct vt_block *blocks;    /* [n_cores] */
	struct rt_block **block_of; /* [n_cores], same positions */
	struct rt_block *block;	    /* [n_cores], by leader */
	uint32_t n_blocks;
	struct vt_done *done; /* [n_cores] of this step */
	uint8_t *done_versions;
	uint32_t n_done, n_done_versions, cap_done_versions;
	struct vt_cpuset wake;		       /* workers to be woken once the lock is free */
	struct vt_infer *refused[VT_OUTCOMES]; /* to be answered then, by outcome */
	_Atomic uint64_t wake_ns;	       /* the policy wants to be asked again; 0: not */

	/* ---- counters: lock ---- */
	struct vt_look look[2];
	struct vt_slot_map slots;
	uint64_t looked_ns;
	struct vt_domain_counts *counts; /* [n_domains] */
	bool counting;			 /* hardware does */
	pthread_mutex_t monitoring;	 /* tried under lock; others: vt_runtime_monitor() */

	/* ---- the recording: lock ---- */
	char *record;
	size_t record_used, record_cap;
	struct rt_recorder *recorder; /* who writes it; NULL: nothing is recorded */
	bool record_head; /* models or policy changed: a head comes before the next step */

	/* ---- for looking ---- */
	struct rt_loop_counts n;
	struct rt_core core[VT_SCHED_MAX_CORES];
	struct rt_domain_stats domain[VT_MAX_DOMAINS];
	struct rt_reason reason[VT_RUNTIME_REASONS];
	_Atomic uint64_t reasons; /* written so far */
	_Atomic uint32_t n_running, n_queued;
	const struct vt_policy *_Atomic policy_now;

	/* ---- control ---- */
	pthread_mutex_t ctl;
	pthread_mutex_t names; /* name, version, engine of the slots; held for a search only */
	uint64_t adds;
	void *loop_mem;
	struct rt_model model[VT_RUNTIME_MODELS];
};

/* ---- runtime_step.c ---- */

/** rt_kick - something happened: step until nothing is left, or let the one who steps see it */
void rt_kick(struct vt_runtime *rt);
/** rt_lock - wait for the lock; for control only */
void rt_lock(struct vt_runtime *rt);
/** rt_unlock - let go, wake, answer; then call rt_kick() */
void rt_unlock(struct vt_runtime *rt);
/** rt_refuse - answer @q once the lock is free; lock */
void rt_refuse(struct vt_runtime *rt, struct vt_infer *q, enum vt_outcome how);
void rt_publish(struct vt_runtime *rt, const struct vt_sample *s);

/* ---- runtime_events.c ---- */

void rt_take_events(struct vt_runtime *rt);
/** rt_forget - waiting request @at is gone: give back what it has; closed up later */
void rt_forget(struct vt_runtime *rt, uint32_t at);
void rt_close_up(struct vt_runtime *rt);
/** rt_headway - @q, of @m, has done layers [0, @from), and from @since_ns to @until_ns does those up to @to. Lock */
void rt_headway(const struct vt_model *m, struct vt_infer *q, unsigned int from, unsigned int to,
		uint64_t since_ns, uint64_t until_ns);
/** rt_mark_startable - write instances_busy of all that wait */
void rt_mark_startable(struct vt_runtime *rt);

/* ---- runtime_count.c: lock ---- */

int rt_count_open(struct vt_runtime *rt);
void rt_count_close(struct vt_runtime *rt);
/** rt_count - this step's window, or windows of 0 if none was due; NULL if nothing is counted */
const struct vt_domain_counts *rt_count(struct vt_runtime *rt);

/* ---- runtime_work.c ---- */

void rt_block_init(struct rt_block *b, struct vt_runtime *rt);
/** rt_tell_core - @core leaves block @b, which has had @granted cores, at @end_ns: a span of the trace. Lock */
void rt_tell_core(struct vt_runtime *rt, const struct rt_block *b, uint32_t core,
		  unsigned int granted, uint64_t end_ns);
/** rt_answer - count it, and hand @q back; nothing of it may be touched afterwards */
void rt_answer(struct vt_runtime *rt, struct rt_model *m, struct vt_infer *q, enum vt_outcome how);
struct rt_model *rt_model_of(struct vt_runtime *rt, uint32_t id);

/* ---- runtime_stats.c ---- */

/** rt_pass_on - @m goes: what it has counted is its successor's, if it has one. names */
void rt_pass_on(struct vt_runtime *rt, const struct rt_model *m);

/* ---- runtime_models.c ---- */

bool rt_same_name(const struct rt_model *m, const char *name, const char *version);

void rt_models_fini(struct vt_runtime *rt);

/* ---- runtime_record.c ---- */

void rt_record_step(struct vt_runtime *rt, const struct vt_sample *s, const struct vt_decision *d);
/** rt_record_open - who writes to o.record_fd, if there is one */
int rt_record_open(struct vt_runtime *rt, struct vt_err *e);
/** rt_record_close - the rest, if it can be written soon; closes the file. 0, or what makes the recording not whole */
int rt_record_close(struct vt_runtime *rt);

#endif
