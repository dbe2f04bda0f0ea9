// SPDX-License-Identifier: Apache-2.0
/* tune_sample.c - one turn of the tuner: samples of one layer on one grant. */
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "exec/tune_int.h"
#include "kernels/isa.h"

#define COPY_TILE   ((size_t)16 << 10)
#define READ_FLOATS 16384
#define TRIES	    3 /* of a sample whose leader lost its core meanwhile */

/* ---- inputs -------------------------------------------------------------------------------- */

/* From the first byte of a tensor to its last; rows may lie apart. */
static size_t span_bytes(const struct vt_tensor *t)
{
	const size_t elems = (size_t)vt_shape_elems(&t->shape), size = vt_dtype_bytes(t->dtype);
	const size_t cols = t->shape.rank ? (size_t)t->shape.dim[t->shape.rank - 1] : 1;

	if (!t->row_stride || !elems)
		return elems * size;
	return ((elems / cols - 1) * (size_t)t->row_stride + cols) * size;
}

/* The computed tensors that @step reads, each once; returns how many. */
static size_t inputs_of(const struct vt_engine *eng, int step, int ret[VT_TUNE_INPUTS])
{
	const struct vt_node *n = &eng->graph.nodes[eng->steps[step].node];
	size_t count = 0;

	for (int i = 0; i <= n->n_in && count < VT_TUNE_INPUTS; i++) {
		const int t = i < n->n_in ? n->in[i] : n->epi.residual;
		int base = t;

		if (t == VT_NONE)
			continue;
		while (eng->graph.tensors[base].view_of != VT_NONE)
			base = eng->graph.tensors[base].view_of;
		if (eng->graph.tensors[base].kind != VT_T_CONST)
			ret[count++] = t;
	}
	return count;
}

void vt_tune_inputs(struct vt_tune_layer *l, const void *arena)
{
	const char *own = l->eng->inst[0].arena;
	int tensor[VT_TUNE_INPUTS];

	l->n_in = inputs_of(l->eng, l->steps[0], tensor);
	for (size_t i = 0; i < l->n_in; i++) {
		const char *at = vt_engine_tensor(l->eng, 0, tensor[i]);

		l->in[i] = (struct vt_tune_input){
			.saved = (const char *)arena + (at - own),
			.bytes = span_bytes(&l->eng->graph.tensors[tensor[i]]),
		};
	}
}

/* ---- before a sample ----------------------------------------------------------------------- */

struct copy {
	char *to;
	const char *from;
};

static void copy_task(void *arg, size_t at, size_t n)
{
	const struct copy *c = arg;

	memcpy(c->to + at, c->from + at, n);
}

static void sweep_task(void *arg, size_t i)
{
	const float *x = arg;
	volatile float sum;

	for (size_t k = 0; k < VT_TUNE_SWEEP / sizeof(*x); k += READ_FLOATS)
		sum = vt_vec()->reduce[VT_FOLD_SUM](x + k, READ_FLOATS);
	(void)sum;
	(void)i;
}

/* Weights out of L2; inputs written by the cores that will read them. */
static void prepare(const struct vt_tune_turn *t, int step, struct pthreadpool *gang)
{
	const struct vt_tune_layer *l = t->layer;
	int tensor[VT_TUNE_INPUTS];
	const size_t n = inputs_of(l->eng, step, tensor);

	gang->variant = NULL;
	pthreadpool_parallelize_1d(gang, sweep_task, (void *)t->sweep, gang->cores, 0);
	for (size_t i = 0; i < n && i < l->n_in; i++) {
		struct copy c = {vt_engine_tensor(l->eng, 0, tensor[i]), l->in[i].saved};

		pthreadpool_parallelize_1d_tile_1d(gang, copy_task, &c, l->in[i].bytes, COPY_TILE,
						   0);
	}
}

/* ---- samples ------------------------------------------------------------------------------- */

static long evictions(void)
{
	struct rusage r;

	getrusage(RUSAGE_THREAD, &r);
	return r.ru_nivcsw;
}

static bool stopped(const struct vt_tune_turn *t)
{
	return t->stop && t->stop(t->arg);
}

/* False: stopped, there is no sample. */
static bool sample(struct vt_tune_turn *t, const struct vt_variant *v, struct pthreadpool *gang,
		   uint64_t *ret)
{
	struct vt_tune_layer *l = t->layer;

	for (int i = 0; i < TRIES; i++) {
		const int step = l->steps[l->turn++ % l->n_steps];
		struct vt_layer *layer = &l->eng->steps[step].layer;
		const long before = evictions();
		uint64_t t0;

		if (stopped(t))
			return false;
		prepare(t, step, gang);
		if (stopped(t))
			return false;
		gang->variant = v;
		t0 = vt_now_mono_ns();
		layer->kernel->run(layer, 0, gang);
		*ret = vt_now_mono_ns() - t0;
		if (evictions() == before)
			break;
	}
	return true;
}

static void run_turn(struct vt_work *w, struct pthreadpool *gang)
{
	struct vt_tune_turn *t = (struct vt_tune_turn *)w;

	while (t->done < t->n && sample(t, t->variant[t->done], gang, &t->ns[t->done]))
		t->done++;
}

int vt_tune_turn(struct vt_tune_turn *t, struct vt_pool *pool, const struct vt_cpuset *grant)
{
	t->work = (struct vt_work){.run = run_turn};
	t->done = 0;
	return vt_pool_run(pool, &t->work, grant);
}
