// SPDX-License-Identifier: Apache-2.0
/* runtime_work.c - a block on its worker, and the answer to a request. */
#include <sched.h>

#include "base/clock.h"
#include "base/spin.h"
#include "exec/runtime_int.h"

struct rt_model *rt_model_of(struct vt_runtime *rt, uint32_t id)
{
	return &rt->model[RT_SLOT(id)];
}

/* The timer of a policy, while workers are busy: they look between two layers. */
static void look_at_the_time(struct vt_runtime *rt, struct pthreadpool *gang)
{
	uint64_t due = RT_GET(rt->wake_ns), now = vt_now_mono_ns();

	vt_pool_tend(gang, now);
	if (!due || now < due)
		return;
	if (atomic_compare_exchange_strong(&rt->wake_ns, &due, 0)) {
		atomic_store(&rt->rang, 1);
		rt_kick(rt);
	}
}

static void tell_layer(const struct rt_block *b, unsigned int layer, uint64_t *since_ns)
{
	const struct vt_runtime *rt = b->rt;
	struct vt_layer_span s = {
		.start_ns = *since_ns,
		.end_ns = vt_now_mono_ns(),
		.model = b->model,
		.cpu = (uint16_t)rt->topo.cpu[b->core],
		.layer = (uint16_t)layer,
		.version = b->version[layer - b->begin],
	};

	rt->o.layer(rt->o.arg, &s);
	*since_ns = s.end_ns;
}

static void run_layers(struct rt_block *b, struct pthreadpool *gang)
{
	const struct vt_variant *const *variants = b->costs->variant;
	const unsigned int width = b->costs->model.n_versions;
	struct vt_engine *eng = b->m->engine;
	uint64_t since_ns = b->start_ns;
	unsigned int i = b->begin;

	do {
		struct vt_step *s = &eng->steps[i];
		const struct vt_variant *v = NULL;
		/* Pairs with recode() in runtime_step.c. */
		uint8_t version = __atomic_load_n(&b->to_run[i - b->begin], __ATOMIC_RELAXED);

		if (variants)
			v = variants[(size_t)i * width + version];
		b->version[i - b->begin] = version;
		atomic_store_explicit(&b->layer_now, i, memory_order_relaxed);
		gang->variant = v ? v : s->variant;
		gang->cores = RT_GET(b->n_cores);
		s->layer.kernel->run(&s->layer, b->inst, gang);
		if (b->rt->o.layer)
			tell_layer(b, i, &since_ns);
		look_at_the_time(b->rt, gang);
	} while (++i < b->end && !RT_GET(b->stop));
	b->ran_to = (uint16_t)i;
}

static void run(struct vt_work *work, struct pthreadpool *gang)
{
	struct rt_block *b = (struct rt_block *)work;
	struct vt_infer *q = b->q;

	if (b->begin == 0 && q->load)
		q->load(q, b->m->engine, b->inst);
	b->start_ns = vt_now_mono_ns();
	RT_SET(b->begun_ns, b->start_ns);
	run_layers(b, gang);
	b->end_ns = vt_now_mono_ns();
	/* From here on cores that join or leave come too late. Pairs with grow(), shrink() and preempt(). */
	atomic_store(&b->over, 1);
	b->finished = b->ran_to == b->costs->model.n_layers;
	if (b->finished && q->store)
		q->store(q, b->m->engine, b->inst);
}

/* Not while cores join or leave: who changes the grant may have lost its CPU to somebody else. */
static uint32_t even_grant(const struct rt_block *b)
{
	uint32_t granted;

	for (unsigned int turns = 1; (granted = atomic_load(&b->granted)) % 2; turns++) {
		vt_relax();
		if (turns % 4096 == 0)
			sched_yield();
	}
	return granted;
}

/* Cores may join or leave until this very moment: both numbers of the same grant, the last one. */
static uint64_t close_grant(struct rt_block *b, uint64_t ns)
{
	uint32_t before;
	uint64_t sum;

	do {
		before = even_grant(b);
		sum = ns * RT_GET(b->n_cores) + RT_GET(b->core_ns_more);
	} while (!atomic_compare_exchange_strong(&b->granted, &before, before | RT_CLOSED));
	return sum;
}

static void account(struct rt_block *b)
{
	const uint64_t ns = b->end_ns - b->start_ns;
	struct vt_infer *q = b->q;

	if (!q->blocks++)
		q->start_ns = b->start_ns;
	q->end_ns = b->end_ns;
	q->served_ns += ns;
	q->core_ns += close_grant(b, ns);
	q->conflicts += b->conflict;
}

static void tell(const struct rt_block *b)
{
	const struct vt_runtime_opts *o = &b->rt->o;
	struct vt_block_event ev = {
		.id = b->id,
		.start_ns = b->start_ns,
		.end_ns = b->end_ns,
		.model = b->model,
		.tenant = b->q->tenant,
		.layer_begin = b->begin,
		.layer_end = b->ran_to,
		.wanted = b->wanted,
		.level = b->level,
		.flags = RT_GET(b->resized) ? VT_BLOCK_RESIZED : 0,
		.cores = b->cores,
		.versions = b->version,
	};

	o->block(o->arg, &ev);
}

void rt_tell_core(struct vt_runtime *rt, const struct rt_block *b, uint32_t core,
		  unsigned int granted, uint64_t end_ns)
{
	const bool over = atomic_load(&b->over);
	const uint16_t end = over ? b->ran_to : b->end; /* ran_to: the leader's until then */
	const uint64_t since = RT_GET(rt->core[core].since_ns), begun = RT_GET(b->begun_ns);
	struct vt_core_span s = {
		.id = RT_GET(rt->core[core].id),
		.start_ns = !begun	    ? end_ns
			    : since < begun ? begun
					    : since,
		.end_ns = end_ns,
		.model = RT_GET(rt->core[core].model),
		.cpu = (uint16_t)rt->topo.cpu[core],
		.layer_begin = b->begin,
		.layer_end = end,
		.wanted = b->wanted,
		.granted = (uint16_t)granted,
		.level = b->level,
		.leads = core == b->core,
	};

	for (unsigned int i = 0; i < (unsigned int)(end - b->begin); i++)
		s.other_versions += b->to_run[i] != 0;
	if (s.start_ns < s.end_ns)
		rt->o.core(rt->o.arg, &s);
}

/* On the leader. Once the block is in rt->ended it may be used for the next one at any moment. */
static void done(struct vt_work *work)
{
	struct rt_block *b = (struct rt_block *)work;
	struct vt_runtime *rt = b->rt;
	struct rt_model *m = b->m;
	struct vt_infer *q = NULL;

	account(b);
	if (rt->o.block)
		tell(b);
	if (b->finished)
		q = b->q;
	b->next = atomic_load_explicit(&rt->ended, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&rt->ended, &b->next, b))
		;
	rt_kick(rt);
	if (q)
		rt_answer(rt, m, q, VT_DONE);
}

void rt_block_init(struct rt_block *b, struct vt_runtime *rt)
{
	b->work = (struct vt_work){.run = run, .done = done};
	b->rt = rt;
}

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int i = 0;

	while (i < VT_RUNTIME_BUCKETS - 1 && ns > vt_runtime_bucket_ns(i))
		i++;
	return i;
}

static void count_answer(struct rt_model *m, const struct vt_infer *q, enum vt_outcome how)
{
	RT_ADD_SHARED(m->ended[how], 1);
	RT_ADD_SHARED(m->core_sum_ns, q->core_ns);
	if (how != VT_DONE)
		return;
	if (q->end_ns <= q->deadline_ns)
		RT_ADD_SHARED(m->in_time, 1);
	else
		RT_ADD_SHARED(m->late, 1);
	RT_ADD_SHARED(m->latency[bucket_of(q->end_ns - q->arrival_ns)], 1);
	RT_ADD_SHARED(m->latency_sum_ns, q->end_ns - q->arrival_ns);
	RT_ADD_SHARED(m->queue_sum_ns, q->start_ns - q->arrival_ns);
}

void rt_answer(struct vt_runtime *rt, struct rt_model *m, struct vt_infer *q, enum vt_outcome how)
{
	if (how != VT_DONE)
		q->end_ns = vt_now_mono_ns();
	count_answer(m, q, how);
	q->done(q, how);
	/* Last: whoever waits for it may free the model, then the runtime. */
	atomic_fetch_sub(&m->unanswered, 1);
	atomic_fetch_sub(&rt->unanswered, 1);
}
