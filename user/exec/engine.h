/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.h - a model made ready to run: packed layers, and instances with memory of their own.
 *
 * Loading imports, optimises, plans, packs and binds; afterwards the graph's large constants are
 * gone and nothing is allocated any more. An instance can run one request at a time; instances
 * share all weights. Loading and freeing: one thread. Running: vt_run_init(), then
 * vt_pool_start() or vt_pool_run().
 */
#ifndef VT_EXEC_ENGINE_H
#define VT_EXEC_ENGINE_H

#include "exec/pool.h"
#include "kernels/layer.h"
#include "kernels/variant.h"
#include "model/graph.h"

/** One step of a run: a node that computes (views are gone). */
struct vt_step {
	int node; /* of the graph */
	struct vt_layer layer;
	const struct vt_variant *variant; /* the default; NULL: no matrix layer */
	uint64_t flops;
};

struct vt_instance {
	void *arena; /* graph.arena_bytes */
};

struct vt_engine {
	struct vt_graph graph;
	struct vt_step *steps;
	int n_steps;
	struct vt_instance *inst;
	int n_inst;
	uint64_t flops;
	size_t weights_bytes; /* packed, and constants that stayed */
	size_t arena_bytes;   /* of one instance */
	size_t work_bytes;    /* what layers hold besides, of all instances */
	size_t scratch_bytes; /* per core: give it to vt_pool_reserve() */
	bool short_of_memory; /* for fast algorithms: some layers have direct kernels instead */
};

struct vt_engine_opts {
	struct vt_import_opts import; /* eval is set by vt_engine_load */
	int instances;		      /* 0: 1 */
	size_t l2_bytes;	      /* of one core; 0: ask the machine */
	size_t max_bytes; /* of weights, and of activations and work of all instances; 0: any */
	bool direct;	  /* kernels of vt_kernel_direct() only */
	bool no_optimize; /* run the graph as imported; for tests */
	/* Which kernels may be used; NULL: all. For comparisons (tests/bench/bench_variants.c). */
	bool (*may)(const struct vt_kernel *k);
};

/**
 * vt_engine_load - errors as vt_import_onnx(), -ENOTSUP for a node that no kernel takes, -ENOMEM
 * also for what is more than @o->max_bytes. Layers whose fast algorithms do not fit are direct ones.
 */
int vt_engine_load(struct vt_engine **ret, const char *path, const struct vt_engine_opts *o,
		   struct vt_err *e);
void vt_engine_free(struct vt_engine *m); /* accepts NULL */

/** vt_engine_unwritten_bytes - of all arenas: what no run has written yet, so it takes no memory so far */
size_t vt_engine_unwritten_bytes(const struct vt_engine *m);

/** vt_engine_tensor - memory of a tensor in an instance; inputs are written and outputs read here */
void *vt_engine_tensor(const struct vt_engine *m, int inst, int tensor);

/** How to run a range of steps. */
struct vt_run {
	struct vt_work work; /* give &run.work to vt_pool_start() or vt_pool_run() */
	struct vt_engine *model;
	int inst, first, last; /* steps [first, last) */
	const struct vt_variant *const
		*variants; /* per step of the model; NULL, or NULL entries: the default */
	uint64_t *step_ns; /* per step of the model, written if not NULL */
};

/** vt_run_init - all steps of @inst with defaults */
void vt_run_init(struct vt_run *r, struct vt_engine *m, int inst);

/** vt_engine_run_inline - all steps on the calling thread, which has reserved scratch_bytes */
void vt_engine_run_inline(struct vt_engine *m, int inst);

#endif
