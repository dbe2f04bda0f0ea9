// SPDX-License-Identifier: Apache-2.0
/* runtime_events.c - what has happened since the last step: arrivals, blocks that ended. */
#include <string.h>

#include "exec/runtime_int.h"
#include "sched/plan.h"

/* ---- who waits ---------------------------------------------------------------------------- */

/* Nearly always at the end; a request that comes back from a block, or two that raced, are not. */
static void insert(struct vt_runtime *rt, const struct vt_request *r, const struct rt_wait *w)
{
	uint32_t lo = 0, hi = rt->n_waiting;

	if (hi && rt->waiting[hi - 1].id < r->id)
		lo = hi;
	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (rt->waiting[mid].id < r->id)
			lo = mid + 1;
		else
			hi = mid;
	}
	memmove(&rt->waiting[lo + 1], &rt->waiting[lo], (rt->n_waiting - lo) * sizeof(*r));
	memmove(&rt->wait[lo + 1], &rt->wait[lo], (rt->n_waiting - lo) * sizeof(*w));
	rt->waiting[lo] = *r;
	rt->wait[lo] = *w;
	rt->n_waiting++;
	RT_ADD(w->m->waiting, 1);
}

static void give_back_instance(struct rt_model *m, int inst)
{
	if (inst != RT_NO_INST)
		m->inst[m->n_inst++] = (uint32_t)inst;
}

void rt_forget(struct vt_runtime *rt, uint32_t at)
{
	struct rt_wait *w = &rt->wait[at];

	if (w->inst == RT_NO_INST)
		atomic_fetch_sub(&w->m->queued, 1);
	give_back_instance(w->m, w->inst);
	RT_ADD(w->m->waiting, -1u);
	w->q = NULL;
}

void rt_close_up(struct vt_runtime *rt)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < rt->n_waiting; i++) {
		if (!rt->wait[i].q)
			continue;
		if (n != i) {
			rt->waiting[n] = rt->waiting[i];
			rt->wait[n] = rt->wait[i];
		}
		n++;
	}
	rt->n_waiting = n;
}

/* ---- arrivals ----------------------------------------------------------------------------- */

static void take_arrival(struct vt_runtime *rt, struct vt_infer *q)
{
	struct rt_model *m = rt_model_of(rt, q->model);
	struct vt_request r = {
		.id = q->id,
		.arrival_ns = q->arrival_ns,
		.deadline_ns = q->deadline_ns,
		.ready_ns = q->arrival_ns,
		.model = m->index,
		.tenant = q->tenant,
		.priority = q->priority,
		.home_domain = VT_NO_DOMAIN,
	};

	insert(rt, &r, &(struct rt_wait){.q = q, .m = m, .inst = RT_NO_INST});
}

static void take_arrivals(struct vt_runtime *rt)
{
	struct vt_infer *q = atomic_exchange(&rt->arrived, NULL), *first = NULL;

	while (q) { /* last come is on top */
		struct vt_infer *next = q->next;

		q->next = first;
		first = q;
		q = next;
	}
	while (first) {
		q = first;
		first = q->next;
		take_arrival(rt, q);
	}
}

/* ---- blocks that ended -------------------------------------------------------------------- */

/* Had others one of its cores, as far as is known? Then it took longer for their sake. */
static bool shared(const struct vt_runtime *rt, const struct rt_block *b, const struct vt_block *v)
{
	return b->shared || vt_coreset_meets(&v->cores, &rt->taken);
}

static void note_done(struct vt_runtime *rt, const struct rt_block *b, const struct vt_block *v)
{
	const uint32_t layers = (uint32_t)(b->ran_to - b->begin);

	if (b->outdated || rt->n_done == rt->topo.n_cores ||
	    layers > rt->cap_done_versions - rt->n_done_versions)
		return;
	rt->done[rt->n_done++] = (struct vt_done){
		.id = v->id,
		.start_ns = b->start_ns,
		.end_ns = b->end_ns,
		.cores = v->cores,
		.model = v->model,
		.layer_begin = b->begin,
		.layer_end = b->ran_to,
		.version_at = rt->n_done_versions,
		.level = b->level,
		.flags = (uint8_t)((v->flags & VT_BLOCK_RESIZED) |
				   (shared(rt, b, v) ? VT_BLOCK_TAKEN : 0)),
	};
	memcpy(&rt->done_versions[rt->n_done_versions], b->version, layers);
	rt->n_done_versions += layers;
}

/* A core told to join when the block was just over would go on helping its leader. */
static void free_cores(struct vt_runtime *rt, const struct rt_block *b, const struct vt_block *v)
{
	for (int c = vt_coreset_next(&v->cores, 0); c >= 0;
	     c = vt_coreset_next(&v->cores, (unsigned int)c + 1)) {
		if (RT_GET(b->resized) && (uint32_t)c != b->core)
			vt_pool_leave_later(rt->pool, rt->topo.cpu[c], &rt->wake);
		if (rt->o.core)
			rt_tell_core(rt, b, (uint32_t)c, vt_coreset_count(&v->cores), b->end_ns);
		RT_SET(rt->core[c].id, 0);
		RT_SET(rt->core[c].since_ns, b->end_ns);
	}
	vt_coreset_or(&rt->free, &v->cores);
}

/* Core time of layers [0, end), alone on a core, of that of all. */
static uint32_t work_ppm(const struct vt_plan *p, unsigned int end)
{
	const enum vt_plan_code code = p->rest[VT_PLAN_SOLO] ? VT_PLAN_SOLO : VT_PLAN_ADAPTIVE;
	const uint64_t all = *vt_plan_rest(p, code, 0, 0), left = *vt_plan_rest(p, code, 0, end);

	return all ? (uint32_t)((double)(all - left) / (double)all * VT_PPM) : 0;
}

void rt_headway(const struct vt_model *m, struct vt_infer *q, unsigned int from, unsigned int to,
		uint64_t since_ns, uint64_t until_ns)
{
	struct vt_headway *p = &q->headway;

	atomic_store_explicit(&p->from_ppm, work_ppm(m->plan, from), memory_order_relaxed);
	atomic_store_explicit(&p->to_ppm, work_ppm(m->plan, to), memory_order_relaxed);
	atomic_store_explicit(&p->since_ns, since_ns, memory_order_relaxed);
	atomic_store_explicit(&p->until_ns, until_ns, memory_order_relaxed);
}

uint32_t vt_headway_ppm(const struct vt_headway *p, uint64_t now_ns)
{
	const uint32_t from = atomic_load_explicit(&p->from_ppm, memory_order_relaxed),
		       to = atomic_load_explicit(&p->to_ppm, memory_order_relaxed);
	const uint64_t since = atomic_load_explicit(&p->since_ns, memory_order_relaxed),
		       until = atomic_load_explicit(&p->until_ns, memory_order_relaxed);

	if (now_ns <= since || to <= from)
		return from;
	if (now_ns >= until)
		return to;
	return from +
	       (uint32_t)((double)(to - from) * (double)(now_ns - since) / (double)(until - since));
}

static void wait_again(struct vt_runtime *rt, struct rt_block *b, const struct vt_block *v)
{
	struct vt_request r = {
		.id = v->id,
		.arrival_ns = v->arrival_ns,
		.deadline_ns = v->deadline_ns,
		.ready_ns = b->end_ns,
		.served_ns = b->q->served_ns,
		.model = v->model,
		.tenant = v->tenant,
		.next_layer = b->ran_to,
		.priority = v->priority,
		.home_domain = rt->topo.domain_of[rt->topo.cpu[b->core]],
	};

	rt_headway(&rt->models[v->model], b->q, b->ran_to, b->ran_to, 0, 0);
	insert(rt, &r, &(struct rt_wait){.q = b->q, .m = b->m, .inst = b->inst});
}

static void take_ended(struct vt_runtime *rt, struct rt_block *b)
{
	const uint32_t at = b->at, last = rt->n_blocks - 1;
	struct vt_block v = rt->blocks[at];
	struct rt_model *m = b->m;

	note_done(rt, b, &v);
	if (!RT_GET(b->resized) && !b->outdated && !shared(rt, b, &v) && b->ran_to == b->end) {
		RT_ADD(rt->n.took_ns, b->end_ns - v.start_ns);
		RT_ADD(rt->n.planned_ns, b->planned_end_ns - v.start_ns);
	}
	free_cores(rt, b, &v);
	for (uint32_t i = 0; i < (uint32_t)(b->ran_to - b->begin); i++)
		RT_ADD(m->layer_runs[b->version[i]], 1);
	RT_ADD(m->running, -1u);
	/* A finished request has been answered, or will be any moment: it is not ours any more. */
	if (b->finished || b->gone)
		give_back_instance(m, b->inst);
	else
		wait_again(rt, b, &v);
	if (b->gone && !b->finished)
		rt_refuse(rt, b->q, VT_CANCELLED);
	rt->blocks[at] = rt->blocks[last];
	rt->block_of[at] = rt->block_of[last];
	rt->block_of[at]->at = at;
	rt->n_blocks = last;
	b->running = false;
}

void rt_take_events(struct vt_runtime *rt)
{
	struct rt_block *b = atomic_exchange(&rt->ended, NULL);

	while (b) {
		struct rt_block *next = b->next;

		take_ended(rt, b);
		b = next;
	}
	take_arrivals(rt);
	atomic_store(&rt->rang, 0);
}

/* ---- instances ---------------------------------------------------------------------------- */

/*
 * Most urgent first; one that cannot be in time any more comes after all others. Its policy may
 * refuse it, or run it last, but it shall not stand in the way.
 */
static uint64_t urgency(const struct vt_runtime *rt, const struct rt_model *m, uint32_t at)
{
	uint64_t deadline = rt->waiting[at].deadline_ns;

	return deadline < rt->now_ns + m->planned.fastest_ns ? UINT64_MAX : deadline;
}

static void propose(struct vt_runtime *rt, struct rt_model *m, uint32_t at)
{
	uint64_t mine = urgency(rt, m, at);
	uint32_t k = m->n_first;

	if (k == m->n_inst) {
		if (mine >= urgency(rt, m, m->first[k - 1]))
			return;
		k--;
	} else {
		m->n_first++;
	}
	for (; k && urgency(rt, m, m->first[k - 1]) > mine; k--)
		m->first[k] = m->first[k - 1];
	m->first[k] = at;
}

/*
 * As many of a model's new requests may start as it has free instances, so that no decision
 * starts more. What is hopeless may always be seen by a policy that refuses such requests.
 */
void rt_mark_startable(struct vt_runtime *rt)
{
	const bool sheds = rt->loop_cfg.policy_cfg.shed && rt->loop_cfg.policy->sheds;

	for (uint32_t i = 0; i < rt->n_models; i++)
		rt->model_of[i]->n_first = 0;
	for (uint32_t i = 0; i < rt->n_waiting; i++) {
		struct rt_wait *w = &rt->wait[i];
		bool begun = w->inst != RT_NO_INST;

		rt->waiting[i].instances_busy = !begun;
		if (begun)
			continue;
		if (sheds && urgency(rt, w->m, i) == UINT64_MAX)
			rt->waiting[i].instances_busy = 0;
		else if (w->m->n_inst)
			propose(rt, w->m, i);
	}
	for (uint32_t i = 0; i < rt->n_models; i++)
		for (uint32_t k = 0; k < rt->model_of[i]->n_first; k++)
			rt->waiting[rt->model_of[i]->first[k]].instances_busy = 0;
}
