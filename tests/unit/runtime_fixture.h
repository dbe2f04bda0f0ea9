/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runtime_fixture.h - a live runtime over tiny models: requests whose right answers are known.
 *
 * Each request draws one of SEEDS inputs; the answers to all of them are computed on the calling
 * thread before the model is handed over.
 */
#ifndef VT_TESTS_RUNTIME_FIXTURE_H
#define VT_TESTS_RUNTIME_FIXTURE_H

#include "harness.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "engine_fixture.h"
#include "exec/runtime.h"
#include "model/zoo.h"

#define SEEDS 4u

static const char *const fx_names[] = {"mobilenet-v2-tiny", "resnet-50-tiny", "googlenet-tiny"};
static char fx_dir[] = "/tmp/veltair-test-runtime-XXXXXX";

/** A model as the tests know it. */
struct fx_model {
	uint32_t id;
	size_t out_bytes;
	char *want[SEEDS];
	int n_steps;
};

static void fx_fill(const struct vt_engine *m, int inst, uint64_t seed)
{
	struct vt_rng r = {seed};

	for (int i = 0; i < m->graph.n_inputs; i++) {
		const struct vt_tensor *t = &m->graph.tensors[m->graph.inputs[i]];
		const size_t n = (size_t)vt_shape_elems(&t->shape);
		void *to = vt_engine_tensor(m, inst, m->graph.inputs[i]);

		memset(to, 0, n * vt_dtype_bytes(t->dtype));
		for (size_t k = 0; k < n && t->dtype == VT_F32; k++)
			((float *)to)[k] = (float)(vt_rng_unit(&r) * 2 - 1);
	}
}

static const void *fx_output(const struct vt_engine *m, int inst)
{
	return vt_engine_tensor(m, inst, m->graph.outputs[0]);
}

/* The right answers, and how many bytes each has. */
static void fx_answers(struct fx_model *f, struct vt_engine *m)
{
	const struct vt_tensor *t = &m->graph.tensors[m->graph.outputs[0]];

	f->n_steps = m->n_steps;
	f->out_bytes = (size_t)vt_shape_elems(&t->shape) * vt_dtype_bytes(t->dtype);
	assert_int_equal(vt_scratch_reserve(m->scratch_bytes), 0);
	for (uint64_t s = 0; s < SEEDS; s++) {
		f->want[s] = malloc(f->out_bytes);
		assert_non_null(f->want[s]);
		fx_fill(m, 0, s);
		vt_engine_run_inline(m, 0);
		memcpy(f->want[s], fx_output(m, 0), f->out_bytes);
	}
}

static void fx_model_fini(struct fx_model *f)
{
	for (unsigned int s = 0; s < SEEDS; s++)
		free(f->want[s]);
}

/** Up to two versions of each layer, invented times: what a policy decides does not matter here. */
static struct vt_costs fx_costs_of(const struct vt_engine *m, const char *name, uint64_t layer_ns,
				   uint64_t qos_ns, size_t versions)
{
	const size_t n = (size_t)m->n_steps, cells = n * versions * VT_LEVELS * 2, at_ns = 8;
	struct vt_costs c = {.source = VT_COSTS_PROFILE};
	uint16_t *points;
	uint64_t *ns;

	c.mem = calloc(1, at_ns + cells * sizeof(*ns));
	c.variant = calloc(n * versions, sizeof(*c.variant));
	assert_non_null(c.mem);
	assert_non_null(c.variant);
	points = c.mem;
	points[0] = 1;
	points[1] = 2;
	ns = (uint64_t *)((char *)c.mem + at_ns);
	for (size_t i = 0; i < cells; i++) {
		size_t point = i % 2, level = i / 2 % VT_LEVELS,
		       version = i / 2 / VT_LEVELS % versions;

		/* Version 0 suffers, version 1 is slower alone and does not. */
		ns[i] = (version ? layer_ns * 5 / 4 : layer_ns + layer_ns * level / 4) *
			(point ? 6 : 10) / 10;
	}
	for (size_t i = 0; i < n && versions > 1; i++)
		c.variant[2 * i + 1] = m->steps[i].layer.depth ? &vt_variants[i % 4] : NULL;
	c.model = (struct vt_model){.qos_ns = qos_ns,
				    .n_layers = (uint16_t)n,
				    .n_points = 2,
				    .n_versions = (uint8_t)versions,
				    .points = points,
				    .ns = ns};
	snprintf(c.model.name, sizeof(c.model.name), "%s", name);
	return c;
}

static struct vt_costs fx_costs(const struct vt_engine *m, const char *name, uint64_t layer_ns,
				uint64_t qos_ns)
{
	return fx_costs_of(m, name, layer_ns, qos_ns, 2);
}

static struct vt_runtime *fx_open(const struct vt_runtime_opts *o)
{
	struct vt_runtime_opts mine = *o;
	struct vt_runtime *rt = NULL;
	struct vt_cpuset allowed;
	struct vt_err e = {0};
	int c = -1;

	vt_cpuset_allowed(&allowed);
	while (vt_cpuset_count(&mine.cores) < 2 &&
	       (c = vt_cpuset_next(&allowed, (unsigned int)(c + 1))) >= 0)
		vt_cpuset_add(&mine.cores, (unsigned int)c);
	if (vt_runtime_open(&rt, &mine, &e))
		fail_msg("%s", e.msg);
	return rt;
}

/* ---- requests ----------------------------------------------------------------------------- */

struct fx_load; /* who asks */

struct fx_request {
	struct vt_infer q; /* first */
	const struct fx_model *f;
	struct fx_load *load;
	uint64_t seed;
	enum vt_outcome how;
	_Atomic uint32_t answers;
};

/** Counts over many requests. */
struct fx_load {
	_Atomic uint32_t answered, wrong, how[VT_OUTCOMES];
};

static void fx_in(struct vt_infer *q, const struct vt_engine *eng, int inst)
{
	fx_fill(eng, inst, ((struct fx_request *)q)->seed);
}

static void fx_out(struct vt_infer *q, const struct vt_engine *eng, int inst)
{
	struct fx_request *r = (struct fx_request *)q;

	if (memcmp(fx_output(eng, inst), r->f->want[r->seed], r->f->out_bytes) != 0)
		atomic_fetch_add(&r->load->wrong, 1);
}

static void fx_done(struct vt_infer *q, enum vt_outcome how)
{
	struct fx_request *r = (struct fx_request *)q;
	struct fx_load *load = r->load;

	r->how = how;
	atomic_fetch_add(&load->how[how], 1);
	atomic_fetch_add(&r->answers, 1); /* the request may be used again from here on */
	atomic_fetch_add(&load->answered, 1);
}

static void fx_prepare(struct fx_request *r, const struct fx_model *f, struct fx_load *load,
		       uint64_t seed)
{
	memset(&r->q, 0, sizeof(r->q));
	r->q.model = f->id;
	r->q.load = fx_in;
	r->q.store = fx_out;
	r->q.done = fx_done;
	r->f = f;
	r->load = load;
	r->seed = seed % SEEDS;
	atomic_store(&r->answers, 0);
}

static void fx_submit(struct vt_runtime *rt, struct fx_request *r, const struct fx_model *f,
		      struct fx_load *load, uint64_t seed)
{
	fx_prepare(r, f, load, seed);
	vt_runtime_submit(rt, &r->q);
}

static void fx_wait(struct fx_load *l, uint32_t n)
{
	while (atomic_load(&l->answered) < n)
		sched_yield();
}

/* ---- three models at once ------------------------------------------------------------------- */

struct three {
	struct vt_runtime *rt;
	struct fx_model f[3];
};

/** @max_queue: of each; 0: what the runtime takes for it */
static inline void open_three_queued(struct three *t, const struct vt_runtime_opts *o,
				     uint64_t layer_ns, uint64_t qos_ns, int instances,
				     uint32_t max_queue)
{
	struct vt_err e = {0};

	memset(t, 0, sizeof(*t));
	t->rt = fx_open(o);
	for (size_t i = 0; i < 3; i++) {
		struct vt_served s = {.engine = fx_engine(fx_dir, fx_names[i], instances),
				      .max_queue = max_queue};

		fx_answers(&t->f[i], s.engine);
		s.costs = fx_costs(s.engine, fx_names[i], layer_ns, qos_ns);
		snprintf(s.name, sizeof(s.name), "%s", fx_names[i]);
		if (vt_runtime_add(t->rt, &s, &t->f[i].id, &e))
			fail_msg("%s", e.msg);
	}
}

static inline void open_three(struct three *t, const struct vt_runtime_opts *o, uint64_t layer_ns,
			      uint64_t qos_ns, int instances)
{
	open_three_queued(t, o, layer_ns, qos_ns, instances, 0);
}

static inline void close_three(struct three *t)
{
	vt_runtime_close(t->rt);
	for (size_t i = 0; i < 3; i++)
		fx_model_fini(&t->f[i]);
}

/* Everything adds up once all has been answered. */
static inline void check_stats(struct vt_runtime *rt, const struct fx_load *l, uint64_t submitted)
{
	struct vt_runtime_stats *s = calloc(1, sizeof(*s));
	uint64_t requests = 0, ended[VT_OUTCOMES] = {0};

	assert_non_null(s);
	vt_runtime_stats(rt, s);
	for (uint32_t i = 0; i < s->n_models; i++) {
		const struct vt_runtime_model *m = &s->model[i];
		uint64_t sum = 0, in_buckets = 0, layers = 0;

		for (unsigned int k = 0; k < VT_OUTCOMES; k++) {
			ended[k] += m->ended[k];
			sum += m->ended[k];
		}
		for (unsigned int k = 0; k < VT_RUNTIME_BUCKETS; k++)
			in_buckets += m->latency[k];
		for (unsigned int k = 0; k < VT_MAX_VERSIONS; k++)
			layers += m->layer_runs[k];
		assert_int_equal(sum, m->requests);
		assert_int_equal(in_buckets, m->ended[VT_DONE]);
		assert_int_equal(m->in_time + m->late, m->ended[VT_DONE]);
		assert_true(m->blocks >= m->ended[VT_DONE] && layers >= m->blocks);
		assert_int_equal(m->waiting + m->running, 0);
		requests += m->requests;
	}
	assert_int_equal(requests, submitted);
	for (unsigned int k = 0; k < VT_OUTCOMES; k++)
		assert_int_equal(ended[k], atomic_load(&l->how[k]));
	assert_int_equal(s->waiting + s->running, 0);
	/* A block may end while it is being changed; starts and refusals are never too late. */
	assert_true(s->late_actions <= s->loop.grows + s->loop.shrinks + s->loop.preempts);
	free(s);
}

#define WINDOW 8u /* requests under way */

/* Closed loop: as soon as one is answered, another comes. */
static inline void drive(struct three *t, struct fx_load *l, uint32_t n)
{
	struct fx_request *r = calloc(WINDOW, sizeof(*r));
	struct vt_rng rng = {7};

	assert_non_null(r);
	for (uint32_t i = 0; i < n; i++) {
		struct fx_request *mine = &r[i % WINDOW];

		while (i >= WINDOW && !atomic_load(&mine->answers))
			sched_yield();
		fx_submit(t->rt, mine, &t->f[vt_rng_below(&rng, 3)], l, vt_rng_u64(&rng));
	}
	fx_wait(l, n);
	free(r);
}

static inline void settle(struct vt_runtime *rt)
{
	while (!vt_runtime_idle(rt))
		sched_yield();
	/* Takes the lock: what the last leader left has been taken in. */
	vt_runtime_cancel(rt, 0);
}

static int fx_setup(void **state)
{
	return mkdtemp(fx_dir) ? 0 : -1;
}

static int fx_teardown(void **state)
{
	return rmdir(fx_dir);
}

#endif
