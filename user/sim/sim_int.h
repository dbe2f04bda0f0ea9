/* SPDX-License-Identifier: Apache-2.0 */
/* sim_int.h - the inside of a simulation, shared by its files:
 *   sim.c         time: events, arrivals, ends
 *   sim_blocks.c  how fast each block runs beside the others
 *   sim_plant.c   the plant: sample and apply
 */
#ifndef VT_SIM_SIM_INT_H
#define VT_SIM_SIM_INT_H

#include "sim/heap.h"
#include "sim/sim.h"

#define VT_MAX_NODES 16u

/** A running block beside its vt_block: an evaluation of what is left, and how far it got. */
struct run {
	double ns[VT_STRETCHES];	 /* time of the evaluation, by stretch */
	double asked_gbps[VT_STRETCHES]; /* dram_bytes over that */
	double now_ns;			 /* ns at the present stretch */
	double done;			 /* fraction of the evaluation done at `seen_ns` */
	double seen_ns;
	double dram_bytes, llc_bytes, flops; /* of the whole evaluation */
	double first;			     /* part of the layer eval_from that was left */
	double layer_end;	   /* fraction of the evaluation at which layer_now ends */
	double overhead;	   /* part of `ns` spent before layers run */
	double slower;		   /* than on point `point` of the model, by too few cores */
	uint32_t slot;		   /* of heap and version memory; blocks move, slots do not */
	uint16_t n_cores, granted; /* now; at the start */
	uint16_t stop;		   /* layer at which it ends: layer_end, or sooner if preempted */
	uint16_t dom_first, dom_last;	    /* domains of the grant, inclusive */
	uint8_t share;			    /* of the LLC, index into the cells */
	uint8_t point;			    /* of the model, for n_cores */
	bool dirty;			    /* its end time must be worked out anew */
	uint16_t in_domain[VT_MAX_DOMAINS]; /* cores in each domain */
};

/** What a waiting request leaves out of the view. */
struct warm {
	struct vt_coreset cores; /* of its last block */
	uint64_t until_ns;	 /* end of that block */
};

struct vt_sim {
	const struct vt_sim_cfg *cfg;
	const struct vt_bank *bank;
	struct vt_sim_result *res;
	struct vt_err *err;
	uint64_t now_ns, wake_ns;
	bool again;	 /* cores came free during apply(): decide again at this very time */
	uint32_t agains; /* in a row, so that a policy cannot give and take for ever */
	struct vt_sim_arrival next;
	bool has_next;
	uint64_t next_id;
	/* Waiting requests by id, and what the view does not show of them. */
	struct vt_request *waiting;
	struct warm *warm;
	uint32_t n_waiting, max_waiting;
	/* Running blocks, dense; block_at[slot] finds them from the heap. */
	struct vt_block *blocks;
	struct run *runs;
	uint32_t n_blocks, max_blocks, max_layers;
	uint32_t *block_at, *free_slots, n_free_slots;
	uint8_t *versions; /* [slot][max_layers] */
	struct vt_heap heap;
	/* The machine. */
	struct vt_coreset free;
	uint32_t n_domains, domain_cores, n_nodes, node_domains;
	struct vt_domain domains[VT_MAX_DOMAINS];
	struct vt_coreset mask[VT_MAX_DOMAINS]; /* cores of each domain */
	uint16_t busy[VT_MAX_DOMAINS];		/* cores in use */
	uint32_t n_busy, n_busy_settled;	/* of all domains; when ends were worked out last */
	double count_from_ns;
	double llc_refs[VT_MAX_DOMAINS], llc_misses[VT_MAX_DOMAINS], instr[VT_MAX_DOMAINS];
	struct vt_domain_counts counts[VT_MAX_DOMAINS];
	double demand[VT_MAX_NODES][VT_STRETCHES]; /* bytes per ns, by stretch */
	uint8_t step[VT_MAX_NODES];		   /* present stretch: grid point ... */
	double part[VT_MAX_NODES];		   /* ... and part of the way to the next */
	bool full;				   /* some node delivers all that it can */
	double stretched_since_ns;
	/* Ended since the last sample. */
	struct vt_done *done;
	uint8_t *done_versions;
	uint32_t n_done, n_done_versions, cap_done;
	struct vt_loop *loop;
	void *loop_mem;
	uint64_t sampled_host_ns; /* when sample() returned, if this step is timed */
};

extern const struct vt_plant vt_sim_plant;

/* Not fmin() and fmax(): those are calls, for the sake of NaN, and there is none here. */
static inline double vt_sim_less(double a, double b)
{
	return a < b ? a : b;
}

static inline double vt_sim_more(double a, double b)
{
	return a > b ? a : b;
}

/** vt_sim_begin - evaluate and start the block at blocks[n_blocks], whose vt_block is filled */
void vt_sim_begin(struct vt_sim *s, const uint8_t *versions, double overhead_ns);

/** vt_sim_catch_up - account for block @b up to now */
void vt_sim_catch_up(struct vt_sim *s, uint32_t b);

/** vt_sim_regrant - give block @b the cores @to, and its layers to come the code @a says of @d */
void vt_sim_regrant(struct vt_sim *s, uint32_t b, const struct vt_coreset *to, double overhead_ns,
		    const struct vt_action *a, const struct vt_decision *d);

/** vt_sim_stop - end block @b at the end of the layer it is in */
void vt_sim_stop(struct vt_sim *s, uint32_t b);

/** vt_sim_leave - block @b is over: its cores and bandwidth are free, blocks[] closes the gap */
void vt_sim_leave(struct vt_sim *s, uint32_t b);

/** vt_sim_settle - solve the stretch of memory anew, after any of the above */
void vt_sim_settle(struct vt_sim *s);

/** vt_sim_counted - a request with id @id is part of the result */
static inline bool vt_sim_counted(const struct vt_sim *s, uint64_t id)
{
	return id >= s->cfg->warmup;
}

#endif
