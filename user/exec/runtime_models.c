// SPDX-License-Identifier: Apache-2.0
/*
 * runtime_models.c - models, costs and policies come and go.
 *
 * All of it is prepared beside the running loop: plans, tables and a new loop. Then, for a few
 * microseconds under the lock, what waits and runs is moved over. Blocks under way end as they
 * began; the new loop does not learn from them, as it does not know their times.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/runtime_int.h"
#include "sched/plan.h"

#define MAX_QUEUE 64u
#define POLL_NS	  200000u
/* Live blocks take milliseconds: a pressure checked a fifth of a second ago is half trusted. */
#define FRESH_NS 200000000u

/** A model as the next loop will see it. */
struct plan {
	struct rt_model *m;
	struct vt_costs *costs;
	struct vt_model planned;
	void *mem;
};

/** All of the next loop. */
struct next {
	struct vt_loop_cfg cfg;
	struct vt_loop *loop;
	void *loop_mem;
	struct vt_model *models;
	struct rt_model **model_of;
	uint8_t *done_versions;
	uint32_t n, max_layers;
	struct plan plan[VT_RUNTIME_MODELS];
};

static void *aligned(size_t len)
{
	len = (len + 63) & ~(size_t)63;
	return aligned_alloc(64, len ? len : 64);
}

/* ---- making the next loop ----------------------------------------------------------------- */

static int make_plan(const struct vt_runtime *rt, const struct vt_policy *policy, struct plan *p,
		     struct vt_err *e)
{
	size_t len;
	int err;

	p->planned = p->costs->model;
	if (!p->planned.open_ns && !p->planned.open_core_ns) {
		p->planned.open_ns = rt->open_ns;
		p->planned.open_core_ns = rt->open_core_ns;
	}
	len = vt_plan_size(&p->planned, policy->plan_needs);
	p->mem = aligned(len);
	if (!p->mem)
		return vt_fail(e, -ENOMEM, "no memory for the plan of model '%s'", p->planned.name);
	err = vt_plan_init(&p->planned, rt->topo.n_cores, policy->plan_needs, p->mem, len);
	if (!err)
		return 0;
	free(p->mem);
	p->mem = NULL;
	return vt_fail(e, err,
		       "model '%s': its times are incomplete, or for more cores than the %u here",
		       p->planned.name, rt->topo.n_cores);
}

/* The models of the present loop, as they are. */
static struct next *as_it_is(struct vt_runtime *rt)
{
	struct next *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	for (uint32_t i = 0; i < VT_RUNTIME_MODELS; i++) {
		struct rt_model *m = &rt->model[i];

		if (atomic_load(&m->state) != RT_FREE)
			x->plan[x->n++] = (struct plan){m, m->costs, m->planned, m->plan_mem};
	}
	return x;
}

static void next_free(struct next *x)
{
	if (!x)
		return;
	free(x->loop_mem);
	free(x->models);
	free(x->model_of);
	free(x->done_versions);
	free(x);
}

static int make_loop(struct vt_runtime *rt, struct next *x, const struct vt_policy *policy,
		     bool no_shed, struct vt_err *e)
{
	size_t len;

	for (uint32_t i = 0; i < x->n; i++)
		if (x->plan[i].planned.n_layers > x->max_layers)
			x->max_layers = x->plan[i].planned.n_layers;
	x->cfg = (struct vt_loop_cfg){
		.policy = policy,
		.policy_cfg = {.n_cores = rt->topo.n_cores,
			       .max_requests = rt->o.max_requests,
			       .max_tenants = VT_RUNTIME_MODELS,
			       .shed = !no_shed},
		.n_domains = rt->topo.n_domains,
		.max_layers = x->max_layers,
		.fresh_ns = FRESH_NS,
	};
	if (!x->n)
		return 0;
	len = vt_loop_size(&x->cfg);
	x->loop_mem = aligned(len);
	x->models = calloc(x->n, sizeof(*x->models));
	x->model_of = calloc(x->n, sizeof(struct rt_model *));
	x->done_versions = calloc(rt->topo.n_cores, x->max_layers);
	if (!len || !x->loop_mem || !x->models || !x->model_of || !x->done_versions)
		return vt_fail(e, -ENOMEM, "no memory for a loop over %u models", x->n);
	memset(x->loop_mem, 0, len);
	x->loop = vt_loop_init(x->loop_mem, len, &x->cfg);
	for (uint32_t i = 0; i < x->n; i++) {
		x->models[i] = x->plan[i].planned;
		x->model_of[i] = x->plan[i].m;
	}
	return x->loop ? 0 : vt_fail(e, -EINVAL, "policy %s: cannot be set up", policy->name);
}

/* ---- changing over ------------------------------------------------------------------------ */

static void keep_counts(struct vt_runtime *rt)
{
	const struct vt_loop_stats *s;
	struct vt_loop_stats *sum = &rt->loop_before;

	if (!rt->loop)
		return;
	s = vt_loop_stats(rt->loop);
	sum->steps += s->steps;
	sum->starts += s->starts;
	sum->conflicts += s->conflicts;
	sum->grows += s->grows;
	sum->shrinks += s->shrinks;
	sum->preempts += s->preempts;
	sum->sheds += s->sheds;
	sum->learned += s->learned;
}

#define SWAP(a, b)                                                                                 \
	do {                                                                                       \
		__typeof__(a) was_ = (a);                                                          \
		(a) = (b);                                                                         \
		(b) = was_;                                                                        \
	} while (0)

/* Afterwards @x holds the old loop, and each plan what it replaced. */
static void change_over(struct vt_runtime *rt, struct next *x)
{
	rt_lock(rt);
	rt_take_events(rt);
	keep_counts(rt);
	SWAP(rt->loop, x->loop);
	SWAP(rt->loop_mem, x->loop_mem);
	SWAP(rt->models, x->models);
	SWAP(rt->model_of, x->model_of);
	SWAP(rt->done_versions, x->done_versions);
	rt->loop_cfg = x->cfg;
	rt->n_models = x->n;
	rt->n_done = rt->n_done_versions = 0;
	rt->cap_done_versions = rt->topo.n_cores * x->max_layers;
	rt->record_head = true;
	RT_SET(rt->policy_now, x->cfg.policy);
	vt_pool_be_polite(rt->pool, x->cfg.policy->heeds_taken);
	for (uint32_t i = 0; i < x->n; i++) {
		struct plan *p = &x->plan[i];

		p->m->index = i;
		SWAP(p->m->costs, p->costs);
		SWAP(p->m->planned, p->planned);
		SWAP(p->m->plan_mem, p->mem);
		RT_SET(p->m->qos_ns, p->m->planned.qos_ns);
		RT_SET(p->m->costs_source, (uint8_t)p->m->costs->source);
	}
	for (uint32_t i = 0; i < rt->n_waiting; i++)
		rt->waiting[i].model = rt->wait[i].m->index;
	for (uint32_t i = 0; i < rt->n_blocks; i++) {
		rt->blocks[i].model = rt->block_of[i]->m->index;
		rt->block_of[i]->outdated = true;
	}
	rt->again = true;
	rt_unlock(rt);
	rt_kick(rt);
}

/* ---- adding ------------------------------------------------------------------------------- */

bool rt_same_name(const struct rt_model *m, const char *name, const char *version)
{
	return !strcmp(m->name, name) && !strcmp(m->version, version);
}

static struct rt_model *free_slot(struct vt_runtime *rt, const struct vt_served *s, int *err,
				  struct vt_err *e)
{
	struct rt_model *slot = NULL;

	for (uint32_t i = 0; i < VT_RUNTIME_MODELS; i++) {
		struct rt_model *m = &rt->model[i];

		if (atomic_load(&m->state) == RT_FREE) {
			slot = slot ? slot : m;
		} else if (!s->replaces && rt_same_name(m, s->name, s->version)) {
			*err = vt_fail(e, -EEXIST, "model '%s' version '%s' is served already",
				       s->name, s->version);
			return NULL;
		}
	}
	if (!slot)
		*err = vt_fail(e, -ENOSPC, "%u models are served; unload one first",
			       VT_RUNTIME_MODELS);
	return slot;
}

static void reset_counts(struct rt_model *m)
{
	m->before = (struct vt_runtime_model){0};
	m->waiting = m->running = 0;
	m->requests = m->in_time = m->late = 0;
	m->latency_sum_ns = m->queue_sum_ns = m->core_sum_ns = 0;
	m->blocks = m->conflicts = m->wanted_cores = m->granted_cores = 0;
	for (unsigned int i = 0; i < VT_OUTCOMES; i++)
		m->ended[i] = 0;
	for (unsigned int i = 0; i < VT_RUNTIME_BUCKETS; i++)
		m->latency[i] = 0;
	for (unsigned int i = 0; i < VT_MAX_VERSIONS; i++)
		m->layer_runs[i] = 0;
}

/* What @m needs besides its plan; all of it is released by release(). */
static int fill_slot(struct vt_runtime *rt, struct rt_model *m, const struct vt_served *s,
		     struct vt_err *e)
{
	const uint32_t n = (uint32_t)s->engine->n_inst;

	m->engine = s->engine;
	m->costs = malloc(sizeof(*m->costs));
	if (m->costs)
		*m->costs = s->costs;
	m->inst = calloc(n, sizeof(*m->inst));
	m->first = calloc(n, sizeof(*m->first));
	if (!m->costs || !m->inst || !m->first)
		return vt_fail(e, -ENOMEM, "no memory for model '%s'", s->name);
	for (m->n_inst = 0; m->n_inst < n; m->n_inst++)
		m->inst[m->n_inst] = n - 1 - m->n_inst;
	m->priority = s->priority ? s->priority : 1;
	m->max_queue = s->max_queue ? s->max_queue : MAX_QUEUE;
	m->added = ++rt->adds;
	reset_counts(m);
	m->row = UINT32_MAX;
	return 0;
}

static void release(struct vt_runtime *rt, struct rt_model *m)
{
	struct vt_engine *engine;

	pthread_mutex_lock(&rt->names);
	rt_pass_on(rt, m);
	engine = m->engine;
	m->engine = NULL;
	m->name[0] = m->version[0] = '\0';
	pthread_mutex_unlock(&rt->names);
	vt_engine_free(engine);
	if (m->costs)
		vt_costs_fini(m->costs);
	free(m->costs);
	free(m->inst);
	free(m->first);
	free(m->plan_mem);
	if (m->row != UINT32_MAX)
		vt_monitor_tenant_del(rt->o.monitor, m->row, NULL);
	m->costs = NULL;
	m->inst = m->first = NULL;
	m->plan_mem = NULL;
	m->row = UINT32_MAX;
}

static int check_costs(const struct vt_served *s, struct vt_err *e)
{
	const struct vt_costs *c = &s->costs;

	if (c->model.n_layers != s->engine->n_steps)
		return vt_fail(e, -EINVAL, "model '%s' has %d layers, its times are for %u",
			       s->name, s->engine->n_steps, c->model.n_layers);
	return 0;
}

/* Without a row it is served all the same: watching comes second. */
static int take_row(struct vt_runtime *rt, struct vt_served *s, struct rt_model *m,
		    struct vt_err *e)
{
	struct vt_err why = {0};
	int err;

	s->no_row = false;
	if (!rt->o.monitor)
		return 0;
	err = vt_monitor_tenant_add(rt->o.monitor, m->id, s->name, &m->row, &why);
	s->no_row = err == -ENOSPC;
	return err && !s->no_row ? vt_fail(e, err, "%s", why.msg) : 0;
}

static int add(struct vt_runtime *rt, struct vt_served *s, struct rt_model *m, struct vt_err *e)
{
	struct next *x = as_it_is(rt);
	struct plan *p;
	int err = x ? 0 : vt_fail(e, -ENOMEM, "no memory for a loop");

	if (!err)
		err = take_row(rt, s, m, e);
	if (!err)
		err = vt_pool_reserve(rt->pool, s->engine->scratch_bytes);
	if (!err) {
		p = &x->plan[x->n++];
		*p = (struct plan){.m = m, .costs = m->costs};
		err = make_plan(rt, rt->o.policy, p, e);
		m->plan_mem = p->mem;
		m->planned = p->planned;
	}
	if (!err)
		err = make_loop(rt, x, rt->o.policy, rt->o.no_shed, e);
	if (!err)
		change_over(rt, x);
	next_free(x);
	return err ? vt_fail(e, err, "model '%s': cannot be served: %s", s->name, strerror(-err))
		   : 0;
}

int vt_runtime_add(struct vt_runtime *rt, struct vt_served *s, uint32_t *ret_id, struct vt_err *e)
{
	struct rt_model *m;
	int err = check_costs(s, e);

	pthread_mutex_lock(&rt->ctl);
	m = err ? NULL : free_slot(rt, s, &err, e);
	if (!m) {
		pthread_mutex_unlock(&rt->ctl);
		vt_costs_fini(&s->costs);
		vt_engine_free(s->engine);
		s->engine = NULL;
		return err;
	}
	err = fill_slot(rt, m, s, e);
	if (err && !m->costs)
		vt_costs_fini(&s->costs);
	if (!err)
		err = add(rt, s, m, e);
	if (err) {
		release(rt, m);
	} else {
		pthread_mutex_lock(&rt->names);
		for (uint32_t i = 0; i < VT_RUNTIME_MODELS; i++)
			rt->model[i].replaced |= rt_same_name(&rt->model[i], s->name, s->version);
		m->replaced = false;
		memcpy(m->name, s->name, sizeof(m->name));
		memcpy(m->version, s->version, sizeof(m->version));
		atomic_store(&m->state, RT_SERVING);
		pthread_mutex_unlock(&rt->names);
		*ret_id = m->id;
		if (rt->o.added)
			rt->o.added(rt->o.arg, m->id, m->name);
	}
	pthread_mutex_unlock(&rt->ctl);
	s->engine = NULL;
	memset(&s->costs, 0, sizeof(s->costs));
	return err;
}

/* ---- removing ----------------------------------------------------------------------------- */

static struct rt_model *served(struct vt_runtime *rt, uint32_t id)
{
	struct rt_model *m = rt_model_of(rt, id);

	return atomic_load(&m->state) == RT_SERVING && atomic_load(&m->id) == id ? m : NULL;
}

static void without(struct next *x, const struct rt_model *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < x->n; i++)
		if (x->plan[i].m != m)
			x->plan[n++] = x->plan[i];
	x->n = n;
}

int vt_runtime_del(struct vt_runtime *rt, uint32_t id)
{
	struct rt_model *m;
	struct next *x;
	int err = -ENOENT;

	pthread_mutex_lock(&rt->ctl);
	m = served(rt, id);
	x = m ? as_it_is(rt) : NULL;
	if (m)
		err = -ENOMEM;
	if (x) {
		without(x, m);
		err = make_loop(rt, x, rt->o.policy, rt->o.no_shed, NULL);
	}
	if (!err) {
		atomic_store(&m->state, RT_LEAVING);
		while (atomic_load(&m->unanswered))
			vt_sleep_until_mono_ns(vt_now_mono_ns() + POLL_NS);
		change_over(rt, x);
		release(rt, m);
		atomic_store(&m->id, id + VT_RUNTIME_MODELS);
		atomic_store(&m->state, RT_FREE);
	}
	next_free(x);
	pthread_mutex_unlock(&rt->ctl);
	return err;
}

void rt_models_fini(struct vt_runtime *rt)
{
	for (uint32_t i = 0; i < VT_RUNTIME_MODELS; i++)
		if (rt->model[i].state != RT_FREE)
			release(rt, &rt->model[i]);
	free(rt->loop_mem);
	free(rt->models);
	free(rt->model_of);
}

/* ---- other costs, another policy ---------------------------------------------------------- */

/* Blocks that began with @costs look at it until they end. */
static void wait_for_blocks_of(struct vt_runtime *rt, const struct vt_costs *costs)
{
	bool used = true;

	while (used) {
		used = false;
		rt_lock(rt);
		for (uint32_t c = 0; c < rt->topo.n_cores; c++)
			used |= rt->block[c].running && rt->block[c].costs == costs;
		rt_unlock(rt);
		rt_kick(rt);
		if (used)
			vt_sleep_until_mono_ns(vt_now_mono_ns() + POLL_NS);
	}
}

static struct plan *plan_of(struct next *x, const struct rt_model *m)
{
	for (uint32_t i = 0; i < x->n; i++)
		if (x->plan[i].m == m)
			return &x->plan[i];
	return NULL;
}

static int recost(struct vt_runtime *rt, struct rt_model *m, struct vt_costs *costs,
		  struct vt_err *e)
{
	struct next *x = as_it_is(rt);
	struct plan *p = x ? plan_of(x, m) : NULL;
	int err;

	if (!p) {
		next_free(x);
		return vt_fail(e, -ENOMEM, "no memory for a loop");
	}
	p->costs = costs;
	err = make_plan(rt, rt->o.policy, p, e);
	if (!err)
		err = make_loop(rt, x, rt->o.policy, rt->o.no_shed, e);
	if (!err) {
		change_over(rt, x);
		wait_for_blocks_of(rt, p->costs);
		vt_costs_fini(p->costs);
		free(p->costs);
	}
	free(p->mem == m->plan_mem ? NULL : p->mem);
	next_free(x);
	return err;
}

int vt_runtime_recost(struct vt_runtime *rt, uint32_t id, struct vt_costs *c, struct vt_err *e)
{
	struct vt_costs *costs = malloc(sizeof(*costs));
	struct rt_model *m;
	int err = 0;

	pthread_mutex_lock(&rt->ctl);
	m = served(rt, id);
	if (!m)
		err = vt_fail(e, -ENOENT, "no model has id %u", id);
	else if (!costs)
		err = vt_fail(e, -ENOMEM, "no memory for the times of '%s'", m->name);
	else if (c->model.n_layers != m->engine->n_steps)
		err = vt_fail(e, -EINVAL, "model '%s' has %d layers, its times are for %u", m->name,
			      m->engine->n_steps, c->model.n_layers);
	if (!err) {
		*costs = *c;
		err = recost(rt, m, costs, e);
	}
	pthread_mutex_unlock(&rt->ctl);
	if (err) {
		vt_costs_fini(c);
		free(costs);
	}
	memset(c, 0, sizeof(*c));
	return err;
}

int vt_runtime_policy(struct vt_runtime *rt, const struct vt_policy *policy, bool no_shed)
{
	struct next *x;
	uint32_t made = 0;
	int err;

	pthread_mutex_lock(&rt->ctl);
	x = as_it_is(rt);
	err = x ? 0 : -ENOMEM;
	for (; !err && made < x->n; made += !err)
		err = make_plan(rt, policy, &x->plan[made], NULL);
	if (!err)
		err = make_loop(rt, x, policy, no_shed, NULL);
	if (!err) {
		rt->o.policy = policy;
		rt->o.no_shed = no_shed;
		change_over(rt, x);
	}
	/* The new plans if it failed, the old ones otherwise. */
	for (uint32_t i = 0; i < made; i++)
		free(x->plan[i].mem);
	next_free(x);
	pthread_mutex_unlock(&rt->ctl);
	return err;
}
