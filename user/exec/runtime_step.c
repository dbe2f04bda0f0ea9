// SPDX-License-Identifier: Apache-2.0
/*
 * runtime_step.c - who steps the loop, what the loop sees, and what its decisions do.
 *
 * Flat combining: an event is pushed, then the lock is tried. Who gets it steps until no event is
 * left. Who does not goes on: the holder looks for events once more after letting go, so either it
 * finds this one or the next try succeeds. Pushes, tries and that look are sequentially consistent.
 */
#include <sched.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "exec/runtime_int.h"
#include "sched/plan.h"

#define FETCH_FIRST 4u	  /* of what there may be hundreds of */
#define FETCH_LOOP  5632u /* its head, and that of the policy's state */
#define FETCH_PLAN  128u

/* ---- the lock ----------------------------------------------------------------------------- */

static bool pending(struct vt_runtime *rt)
{
	return !atomic_load(&rt->lent) &&
	       (atomic_load(&rt->arrived) || atomic_load(&rt->ended) || atomic_load(&rt->rang));
}

static bool try_lock(struct vt_runtime *rt)
{
	if (atomic_load(&rt->lock) || atomic_exchange(&rt->lock, 1))
		return false;
	RT_ADD(rt->seq, 1);
	return true;
}

void rt_lock(struct vt_runtime *rt)
{
	for (unsigned int turn = 0; !try_lock(rt); turn++) {
		if (turn < 1000)
			sched_yield();
		else
			vt_sleep_until_mono_ns(vt_now_mono_ns() + 50000);
	}
}

void rt_refuse(struct vt_runtime *rt, struct vt_infer *q, enum vt_outcome how)
{
	q->next = rt->refused[how];
	rt->refused[how] = q;
}

static void answer_all(struct vt_runtime *rt, struct vt_infer *q, enum vt_outcome how)
{
	while (q) {
		struct vt_infer *next = q->next;

		rt_answer(rt, rt_model_of(rt, q->model), q, how);
		q = next;
	}
}

void rt_unlock(struct vt_runtime *rt)
{
	struct vt_infer *refused[VT_OUTCOMES];
	struct vt_cpuset wake = rt->wake;

	memcpy(refused, rt->refused, sizeof(refused));
	memset(rt->refused, 0, sizeof(rt->refused));
	rt->wake = (struct vt_cpuset){{0}};
	RT_ADD(rt->seq, 1);
	atomic_store(&rt->lock, 0);
	vt_pool_wake(rt->pool, &wake);
	for (unsigned int how = 0; how < VT_OUTCOMES; how++)
		answer_all(rt, refused[how], (enum vt_outcome)how);
}

/* ---- what the loop sees ------------------------------------------------------------------- */

/* Layers [begin, end) of @v's model, each with the fastest code at @level. */
static uint64_t layers_ns(const struct vt_runtime *rt, const struct vt_block *v, unsigned int cores,
			  unsigned int level, unsigned int begin, unsigned int end)
{
	const struct vt_plan *p = rt->models[v->model].plan;
	enum vt_plan_code code = p->rest[VT_PLAN_ADAPTIVE] ? VT_PLAN_ADAPTIVE : VT_PLAN_SOLO;

	return vt_plan_ns(p, code, level, vt_plan_point(p, cores), begin, end);
}

/*
 * A block ends no sooner than the layers that it has not begun take. Else one that is slower than expected,
 * beside others or on a core they share, would be thought nearly through with half of it to come: it would get
 * no more cores, nor give any back. The simulator knows its ends.
 */
static void correct_end(const struct vt_runtime *rt, struct vt_block *v)
{
	uint64_t left;

	if (v->layer_now + 1u >= v->layer_end)
		return;
	left = layers_ns(rt, v, vt_coreset_count(&v->cores), v->level, v->layer_now + 1u,
			 v->layer_end);
	if (v->end_ns < rt->now_ns + left)
		v->end_ns = rt->now_ns + left;
}

static int sample(void *self, struct vt_sample *ret)
{
	struct vt_runtime *rt = self;

	for (uint32_t i = 0; i < rt->n_blocks; i++) {
		rt->blocks[i].layer_now = (uint16_t)RT_GET(rt->block_of[i]->layer_now);
		if (!rt->block_of[i]->outdated)
			correct_end(rt, &rt->blocks[i]);
		/* Its layers are through, its leader has not told yet: nothing can be done to it. */
		if (RT_GET(rt->block_of[i]->over))
			rt->blocks[i].flags |= VT_BLOCK_STOPPING;
	}
	rt_mark_startable(rt);
	*ret = (struct vt_sample){
		.view = {.now_ns = rt->now_ns,
			 .n_models = rt->n_models,
			 .n_requests = rt->n_waiting,
			 .n_blocks = rt->n_blocks,
			 .n_domains = rt->topo.n_domains,
			 .n_cores = rt->topo.n_cores,
			 .free = rt->free,
			 .taken = rt->taken,
			 .taken_ppm = rt->taken_ppm,
			 .models = rt->models,
			 .requests = rt->waiting,
			 .blocks = rt->blocks,
			 .domains = rt->topo.domain},
		.counts = rt_count(rt),
		.done = rt->done,
		.done_versions = rt->done_versions,
		.n_done = rt->n_done,
		.n_done_versions = rt->n_done_versions,
	};
	return 0;
}

/* ---- what its decisions do ---------------------------------------------------------------- */

static struct vt_cpuset cpus_of(const struct vt_runtime *rt, const struct vt_coreset *cores)
{
	struct vt_cpuset s = {{0}};

	for (int c = vt_coreset_next(cores, 0); c >= 0;
	     c = vt_coreset_next(cores, (unsigned int)c + 1))
		vt_cpuset_add(&s, rt->topo.cpu[c]);
	return s;
}

static void show_cores(struct vt_runtime *rt, const struct vt_coreset *cores,
		       const struct rt_block *b)
{
	for (int c = vt_coreset_next(cores, 0); c >= 0;
	     c = vt_coreset_next(cores, (unsigned int)c + 1)) {
		RT_SET(rt->core[c].id, b ? b->id : 0);
		RT_SET(rt->core[c].model, b ? b->model : 0);
		RT_SET(rt->core[c].since_ns, rt->now_ns);
		if (rt->worker && b)
			vt_monitor_publish(rt->worker[c],
					   b->m->row != UINT32_MAX ? b->m->row : VT_ROW_OTHER);
	}
}

static void fill_block(const struct vt_runtime *rt, struct rt_block *b, const struct rt_wait *w,
		       const struct vt_action *a, const uint8_t *versions, int inst)
{
	const unsigned int n = vt_coreset_count(&a->cores);

	b->q = w->q;
	b->id = w->q->id;
	b->model = w->q->model;
	b->m = w->m;
	b->costs = w->m->costs;
	b->inst = inst;
	b->cores = a->cores;
	b->begin = a->layer_begin;
	b->end = a->layer_end;
	b->wanted = a->wanted;
	b->level = a->level;
	b->conflict = n < a->wanted;
	b->running = true;
	b->shared = vt_coreset_meets(&a->cores, &rt->taken);
	b->gone = b->outdated = false;
	RT_SET(b->stop, 0);
	RT_SET(b->over, 0);
	RT_SET(b->layer_now, a->layer_begin);
	RT_SET(b->n_cores, n);
	RT_SET(b->core_ns_more, 0);
	RT_SET(b->begun_ns, 0);
	RT_SET(b->granted, 0);
	RT_SET(b->resized, 0);
	memcpy(b->to_run, versions, (size_t)(a->layer_end - a->layer_begin));
	RT_ADD(w->m->blocks, 1);
	RT_ADD(w->m->conflicts, b->conflict);
	RT_ADD(w->m->wanted_cores, a->wanted);
	RT_ADD(w->m->granted_cores, n);
	RT_ADD(w->m->running, 1);
}

static void show_block(struct vt_runtime *rt, struct rt_block *b, const struct vt_request *r,
		       const struct vt_action *a)
{
	b->at = rt->n_blocks++;
	b->planned_end_ns = rt->now_ns + a->expect_ns;
	rt->block_of[b->at] = b;
	rt->blocks[b->at] = (struct vt_block){
		.id = r->id,
		.arrival_ns = r->arrival_ns,
		.deadline_ns = r->deadline_ns,
		.start_ns = rt->now_ns,
		.end_ns = b->planned_end_ns,
		.served_ns = r->served_ns,
		.cores = a->cores,
		.model = r->model,
		.tenant = r->tenant,
		.layer_begin = a->layer_begin,
		.layer_end = a->layer_end,
		.layer_now = a->layer_begin,
		.wanted = a->wanted,
		.leader = (uint16_t)b->core,
		.priority = r->priority,
		.level = a->level,
	};
}

/* The lowest, and not one that others have taken if there is a better one: the leader is waited for. */
static uint32_t leader_of(const struct vt_runtime *rt, const struct vt_coreset *cores)
{
	struct vt_coreset ours = *cores;

	vt_coreset_sub(&ours, &rt->taken);
	return (uint32_t)vt_coreset_next(vt_coreset_empty(&ours) ? cores : &ours, 0);
}

static bool start(struct vt_runtime *rt, const struct vt_action *a, const struct vt_decision *d)
{
	struct rt_wait *w = &rt->wait[a->index];
	const uint32_t core = leader_of(rt, &a->cores);
	struct rt_block *b = &rt->block[core];
	struct vt_cpuset cpus = cpus_of(rt, &a->cores);
	int inst = w->inst;

	if (!vt_coreset_within(&a->cores, &rt->free))
		return false;
	if (inst == RT_NO_INST) {
		if (!w->m->n_inst)
			return false;
		inst = (int)w->m->inst[--w->m->n_inst];
		atomic_fetch_sub(&w->m->queued, 1);
	}
	b->core = core;
	fill_block(rt, b, w, a, d->versions + a->version_at, inst);
	show_block(rt, b, &rt->waiting[a->index], a);
	rt_headway(&rt->models[rt->waiting[a->index].model], w->q, a->layer_begin, a->layer_end,
		   rt->now_ns, b->planned_end_ns);
	show_cores(rt, &a->cores, b);
	vt_coreset_sub(&rt->free, &a->cores);
	RT_ADD(w->m->waiting, -1u);
	w->q = NULL;
	vt_pool_start_later(rt->pool, &b->work, rt->topo.cpu[core], &cpus, &rt->wake);
	return true;
}

static bool shed(struct vt_runtime *rt, const struct vt_action *a, const struct vt_decision *d)
{
	struct vt_infer *q = rt->wait[a->index].q;

	rt_forget(rt, a->index);
	rt_refuse(rt, q, VT_REFUSED);
	rt->again = true;
	return true;
}

/*
 * Other code for the layers that have not begun. The leader reads a layer's version as it begins it,
 * so a layer that begins at this very moment runs either: both compute the same bits.
 */
static void recode(struct rt_block *b, const struct vt_action *a, const struct vt_decision *d)
{
	for (uint32_t l = a->layer_begin; l < a->layer_end; l++)
		if (l > RT_GET(b->layer_now))
			__atomic_store_n(&b->to_run[l - b->begin],
					 d->versions[a->version_at + l - a->layer_begin],
					 __ATOMIC_RELAXED);
}

/* On @is instead of @was cores, and at @level: what is left of the layer under way, and those after it. */
static void expect_anew(const struct vt_runtime *rt, struct vt_block *v, unsigned int was,
			unsigned int is, unsigned int level)
{
	const unsigned int l = v->layer_now, end = v->layer_end;
	const uint64_t all = layers_ns(rt, v, was, v->level, l, end);
	const uint64_t layer = layers_ns(rt, v, was, v->level, l, l + 1);
	const uint64_t left = v->end_ns > rt->now_ns ? v->end_ns - rt->now_ns : 0;
	uint64_t done = all > left ? all - left : 0;

	done = done < layer ? done : layer;
	done = layer ? (uint64_t)((double)layers_ns(rt, v, is, level, l, l + 1) * (double)done /
				  (double)layer)
		     : 0;
	v->level = (uint8_t)level;
	v->end_ns = rt->now_ns + layers_ns(rt, v, is, level, l, end) - done;
}

/*
 * Cores join or leave: the core time so far, and the time of what is left. False if the leader has added
 * up already: nothing has changed then. Pairs with close_grant() in runtime_work.c.
 */
static bool resize(struct vt_runtime *rt, struct rt_block *b, struct vt_block *v,
		   const struct vt_coreset *to, const struct vt_action *a,
		   const struct vt_decision *d)
{
	const unsigned int was = vt_coreset_count(&v->cores), is = vt_coreset_count(to);
	const uint64_t begun_ns = RT_GET(b->begun_ns);
	uint32_t even = atomic_load(&b->granted);

	if (even & RT_CLOSED || !atomic_compare_exchange_strong(&b->granted, &even, even + 1))
		return false;
	if (begun_ns && begun_ns < rt->now_ns) /* else the change holds from its beginning on */
		RT_ADD(b->core_ns_more,
		       (uint64_t)((int64_t)was - (int64_t)is) * (rt->now_ns - begun_ns));
	RT_SET(b->n_cores, is);
	atomic_fetch_add(&b->granted, 1);
	RT_SET(b->resized, 1);
	v->cores = *to;
	v->flags |= VT_BLOCK_RESIZED;
	if (b->outdated) /* versions are numbers of the new costs, the block runs by the old ones */
		return true;
	recode(b, a, d);
	if (v->layer_now < v->layer_end)
		expect_anew(rt, v, was, is, a->layer_end > a->layer_begin ? a->level : v->level);
	return true;
}

static bool grow(struct vt_runtime *rt, const struct vt_action *a, const struct vt_decision *d)
{
	struct rt_block *b = rt->block_of[a->index];
	struct vt_block *v = &rt->blocks[a->index];
	struct vt_coreset to = v->cores;

	if (atomic_load(&b->over) || !vt_coreset_within(&a->cores, &rt->free))
		return false;
	vt_coreset_or(&to, &a->cores);
	if (!resize(rt, b, v, &to, a, d))
		return false;
	vt_coreset_sub(&rt->free, &a->cores);
	v->wanted = a->wanted;
	show_cores(rt, &a->cores, b);
	for (int c = vt_coreset_next(&a->cores, 0); c >= 0;
	     c = vt_coreset_next(&a->cores, (unsigned int)c + 1))
		vt_pool_join_later(rt->pool, rt->topo.cpu[b->core], rt->topo.cpu[c], &rt->wake);
	return true;
}

static bool shrink(struct vt_runtime *rt, const struct vt_action *a, const struct vt_decision *d)
{
	struct rt_block *b = rt->block_of[a->index];
	struct vt_block *v = &rt->blocks[a->index];
	struct vt_coreset to = v->cores;
	const unsigned int was = vt_coreset_count(&v->cores);

	vt_coreset_sub(&to, &a->cores);
	if (atomic_load(&b->over) || !vt_coreset_has(&to, b->core) ||
	    !vt_coreset_within(&a->cores, &v->cores))
		return false;
	if (!resize(rt, b, v, &to, a, d))
		return false;
	for (int c = vt_coreset_next(&a->cores, 0); c >= 0 && rt->o.core;
	     c = vt_coreset_next(&a->cores, (unsigned int)c + 1))
		rt_tell_core(rt, b, (uint32_t)c, was, rt->now_ns);
	show_cores(rt, &a->cores, NULL);
	for (int c = vt_coreset_next(&a->cores, 0); c >= 0;
	     c = vt_coreset_next(&a->cores, (unsigned int)c + 1))
		vt_pool_leave_later(rt->pool, rt->topo.cpu[c], &rt->wake);
	vt_coreset_or(&rt->free, &a->cores);
	rt->again = true;
	return true;
}

static bool preempt(struct vt_runtime *rt, const struct vt_action *a, const struct vt_decision *d)
{
	struct rt_block *b = rt->block_of[a->index];

	if (atomic_load(&b->over))
		return false;
	RT_SET(b->stop, 1);
	rt->blocks[a->index].flags |= VT_BLOCK_STOPPING;
	return true;
}

static const struct act {
	bool on_waiting; /* names a waiting request, else a running block */
	bool (*fn)(struct vt_runtime *rt, const struct vt_action *a, const struct vt_decision *d);
} acts[] = {
	[VT_START] = {true, start},	 [VT_GROW] = {false, grow}, [VT_SHRINK] = {false, shrink},
	[VT_PREEMPT] = {false, preempt}, [VT_SHED] = {true, shed},
};

/* Nothing moves between sample and apply, so the hint is exact, or the action is one too many. */
static bool is_there(const struct vt_runtime *rt, const struct vt_action *a, bool on_waiting)
{
	if (on_waiting)
		return a->index < rt->n_waiting && rt->waiting[a->index].id == a->id &&
		       rt->wait[a->index].q;
	return a->index < rt->n_blocks && rt->blocks[a->index].id == a->id;
}

static int apply(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	struct vt_runtime *rt = self;
	uint64_t was = RT_GET(rt->wake_ns);

	rt->decided_ns = vt_now_mono_ns();
	rt_publish(rt, s);
	if (rt->recorder)
		rt_record_step(rt, s, d);
	for (uint32_t i = 0; i < d->n_actions; i++) {
		const struct vt_action *a = &d->actions[i];

		if (a->kind >= sizeof(acts) / sizeof(acts[0]) || !acts[a->kind].fn ||
		    !is_there(rt, a, acts[a->kind].on_waiting) || !acts[a->kind].fn(rt, a, d))
			RT_ADD(rt->n.late_actions, 1);
	}
	if (d->n_actions)
		rt_close_up(rt);
	rt->n_done = rt->n_done_versions = 0;
	atomic_store(&rt->wake_ns, d->wake_ns);
	if (d->wake_ns && (!was || d->wake_ns < was))
		vt_pool_timer_changed(rt->pool, &rt->wake);
	return 0;
}

static const struct vt_plant plant = {.sample = sample, .apply = apply};

/* ---- stepping ----------------------------------------------------------------------------- */

static void count_turn(struct vt_runtime *rt, uint64_t since_ns)
{
	const uint64_t turn_ns = vt_now_mono_ns() - since_ns, ns = rt->decided_ns - since_ns;

	RT_ADD(rt->n.decide[vt_turn_bucket(ns)], 1);
	RT_ADD(rt->n.decide_ns, ns);
	if (ns > RT_GET(rt->n.decide_max_ns))
		RT_SET(rt->n.decide_max_ns, ns);
	RT_ADD(rt->n.turn[vt_turn_bucket(turn_ns)], 1);
	RT_ADD(rt->n.turn_ns, turn_ns);
}

/* Nearly always none is taken: that costs sixteen words. */
static void look_at_cores(struct vt_runtime *rt)
{
	struct vt_cpuset taken;
	uint64_t lost = 0;

	rt->taken = (struct vt_coreset){{0}};
	rt->taken_ppm = 0;
	if (!vt_pool_taken(rt->pool, &taken) || !rt->topo.n_cores) {
		RT_SET(rt->ours_ppm, VT_PPM);
		return;
	}
	for (uint32_t c = 0; c < rt->topo.n_cores; c++) {
		uint32_t ppm;

		if (!vt_cpuset_has(&taken, rt->topo.cpu[c]))
			continue;
		ppm = vt_pool_available_ppm(rt->pool, rt->topo.cpu[c]);
		if (vt_coreset_empty(&rt->taken) || ppm < rt->taken_ppm)
			rt->taken_ppm = ppm;
		vt_coreset_add(&rt->taken, c);
		lost += VT_PPM - ppm;
	}
	RT_SET(rt->ours_ppm, VT_PPM - (uint32_t)(lost / rt->topo.n_cores));
}

/* @since_ns: when its turn began, if that was before this */
static void step(struct vt_runtime *rt, uint64_t since_ns)
{
	rt->again = false;
	rt->now_ns = vt_now_mono_ns();
	look_at_cores(rt);
	rt_take_events(rt);
	if (!rt->loop)
		return;
	if (!vt_loop_step(rt->loop, &plant, rt))
		count_turn(rt, since_ns ? since_ns : rt->now_ns);
	RT_SET(rt->n_running, rt->n_blocks);
	RT_SET(rt->n_queued, rt->n_waiting);
}

static void fetch(const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 64)
		__builtin_prefetch((const char *)from + i);
}

/*
 * Layers have streamed megabytes through the caches since the last decision, and the next one walks
 * through some hundred lines: ask for them all at once, rather than wait for one after the other.
 */
static void fetch_ahead(const struct vt_runtime *rt)
{
	const uint32_t models = rt->n_models < FETCH_FIRST ? rt->n_models : FETCH_FIRST;
	const uint32_t blocks = rt->n_blocks < FETCH_FIRST ? rt->n_blocks : FETCH_FIRST;

	fetch(&rt->arrived,
	      offsetof(struct vt_runtime, counts) - offsetof(struct vt_runtime, arrived));
	fetch(&rt->n, sizeof(rt->n) + FETCH_FIRST * sizeof(rt->core[0]));
	fetch(rt->loop, rt->loop ? FETCH_LOOP : 0);
	fetch(rt->models, models * sizeof(*rt->models));
	fetch(rt->waiting, FETCH_FIRST * sizeof(*rt->waiting));
	fetch(rt->wait, FETCH_FIRST * sizeof(*rt->wait));
	fetch(rt->blocks, blocks * sizeof(*rt->blocks));
	for (uint32_t i = 0; i < blocks; i++)
		fetch(rt->block_of[i], offsetof(struct rt_block, to_run));
	for (uint32_t i = 0; i < models; i++) {
		fetch(&rt->model_of[i]->costs,
		      sizeof(struct rt_model) - offsetof(struct rt_model, costs));
		fetch(rt->model_of[i]->planned.plan, FETCH_PLAN);
	}
}

void rt_kick(struct vt_runtime *rt)
{
	do {
		uint64_t since_ns;

		if (!try_lock(rt))
			return;
		since_ns = vt_now_mono_ns();
		fetch_ahead(rt);
		for (; pending(rt) || (rt->again && !atomic_load(&rt->lent)); since_ns = 0)
			step(rt, since_ns);
		rt_unlock(rt);
	} while (pending(rt));
}
