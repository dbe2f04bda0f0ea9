// SPDX-License-Identifier: Apache-2.0
/* runtime.c - opening and closing, and requests from outside. */
#include "exec/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "exec/runtime_int.h"

#define MAX_REQUESTS 1024u
#define WINDOW_NS    10000000u
#define POLL_NS	     200000u /* for those who wait for the last answer */

/* ---- requests ----------------------------------------------------------------------------- */

/* May @q come in? VT_OUTCOMES: yes, and its place in the queue is taken. */
static enum vt_outcome entry(struct vt_runtime *rt, struct rt_model *m, const struct vt_infer *q)
{
	if (atomic_load(&rt->draining))
		return VT_STOPPING;
	if (atomic_load(&m->state) != RT_SERVING || atomic_load(&m->id) != q->model)
		return VT_NO_MODEL;
	if (atomic_load(&rt->unanswered) > rt->o.max_requests)
		return VT_QUEUE_FULL;
	if (atomic_fetch_add(&m->queued, 1) >= m->max_queue) {
		atomic_fetch_sub(&m->queued, 1);
		return VT_QUEUE_FULL;
	}
	return VT_OUTCOMES;
}

static void fill_in(struct vt_runtime *rt, const struct rt_model *m, struct vt_infer *q)
{
	q->id = atomic_fetch_add_explicit(&rt->next_id, 1, memory_order_relaxed);
	if (!q->deadline_ns)
		q->deadline_ns = q->arrival_ns + RT_GET(m->qos_ns);
	if (!q->priority)
		q->priority = m->priority;
	if (!q->tenant)
		q->tenant = RT_SLOT(q->model);
}

static void refuse_now(struct vt_runtime *rt, struct rt_model *m, struct vt_infer *q,
		       enum vt_outcome how)
{
	/* A model that is not there counts nothing; its slot may be another's. */
	if (atomic_load(&m->id) == q->model && atomic_load(&m->state) != RT_FREE) {
		RT_ADD_SHARED(m->requests, 1);
		rt_answer(rt, m, q, how);
		return;
	}
	q->end_ns = q->arrival_ns;
	q->done(q, how);
	atomic_fetch_sub(&m->unanswered, 1);
	atomic_fetch_sub(&rt->unanswered, 1);
}

/* Who submits may have others that read it already. */
static void not_begun(struct vt_headway *h)
{
	atomic_store_explicit(&h->from_ppm, 0, memory_order_relaxed);
	atomic_store_explicit(&h->to_ppm, 0, memory_order_relaxed);
	atomic_store_explicit(&h->since_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&h->until_ns, 0, memory_order_relaxed);
}

void vt_runtime_submit(struct vt_runtime *rt, struct vt_infer *q)
{
	struct rt_model *m = rt_model_of(rt, q->model);
	enum vt_outcome how;

	q->arrival_ns = vt_now_mono_ns();
	q->start_ns = q->end_ns = q->served_ns = q->core_ns = 0;
	q->blocks = q->conflicts = 0;
	not_begun(&q->headway);
	/* Before the state is read: vt_runtime_del() changes it, then waits for these. */
	atomic_fetch_add(&m->unanswered, 1);
	atomic_fetch_add(&rt->unanswered, 1);
	how = entry(rt, m, q);
	if (how == VT_NO_MODEL || how == VT_STOPPING) {
		q->id = 0;
		refuse_now(rt, m, q, how);
		return;
	}
	fill_in(rt, m, q);
	if (how != VT_OUTCOMES) {
		refuse_now(rt, m, q, how);
		return;
	}
	RT_ADD_SHARED(m->requests, 1);
	q->next = atomic_load_explicit(&rt->arrived, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&rt->arrived, &q->next, q))
		;
	rt_kick(rt);
}

void vt_runtime_refused(struct vt_runtime *rt, uint32_t id, enum vt_outcome how)
{
	struct rt_model *m = rt_model_of(rt, id);

	atomic_fetch_add(&m->unanswered, 1); /* as in vt_runtime_submit() */
	if (atomic_load(&m->id) == id && atomic_load(&m->state) == RT_SERVING) {
		RT_ADD_SHARED(m->requests, 1);
		RT_ADD_SHARED(m->ended[how], 1);
	}
	atomic_fetch_sub(&m->unanswered, 1);
}

static uint32_t find_waiting(const struct vt_runtime *rt, uint64_t id)
{
	for (uint32_t i = 0; i < rt->n_waiting; i++)
		if (rt->waiting[i].id == id)
			return i;
	return UINT32_MAX;
}

/* A running one stops as if it had been preempted, and does not wait again. */
static int cancel_running(struct vt_runtime *rt, uint64_t id)
{
	uint32_t i = 0;

	while (i < rt->n_blocks && rt->blocks[i].id != id)
		i++;
	if (i == rt->n_blocks)
		return -ENOENT;
	rt->block_of[i]->gone = true;
	RT_SET(rt->block_of[i]->stop, 1);
	rt->blocks[i].flags |= VT_BLOCK_STOPPING;
	return -EINPROGRESS;
}

int vt_runtime_cancel(struct vt_runtime *rt, uint64_t id)
{
	uint32_t at;
	int err = 0;

	rt_lock(rt);
	rt_take_events(rt);
	at = find_waiting(rt, id);
	if (at != UINT32_MAX) {
		struct vt_infer *q = rt->wait[at].q;

		rt_forget(rt, at);
		rt_close_up(rt);
		rt_refuse(rt, q, VT_CANCELLED);
	} else {
		err = cancel_running(rt, id);
	}
	rt->again = true;
	rt_unlock(rt);
	rt_kick(rt);
	return err;
}

void vt_runtime_turn_away(struct vt_runtime *rt)
{
	atomic_store(&rt->draining, 1);
	rt_lock(rt);
	rt_take_events(rt);
	for (uint32_t i = 0; i < rt->n_waiting; i++) {
		struct vt_infer *q = rt->wait[i].q;

		if (rt->wait[i].inst != RT_NO_INST)
			continue;
		rt_forget(rt, i);
		rt_refuse(rt, q, VT_STOPPING);
	}
	rt_close_up(rt);
	rt->again = true;
	rt_unlock(rt);
	rt_kick(rt);
}

/* ---- the workers, lent -------------------------------------------------------------------- */

bool vt_runtime_idle(const struct vt_runtime *rt)
{
	return !RT_GET(rt->unanswered);
}

bool vt_runtime_wanted(const struct vt_runtime *rt)
{
	return RT_GET(rt->unanswered) || RT_GET(rt->draining);
}

static bool lend(struct vt_runtime *rt)
{
	bool ok;

	rt_lock(rt);
	ok = !rt->n_blocks && !rt->n_waiting && !RT_GET(rt->ended) && !RT_GET(rt->arrived);
	if (ok)
		atomic_store(&rt->lent, 1);
	rt_unlock(rt);
	rt_kick(rt);
	return ok;
}

int vt_runtime_borrow(struct vt_runtime *rt, int (*fn)(void *arg, struct vt_pool *pool), void *arg)
{
	int err;

	if (pthread_mutex_trylock(&rt->ctl))
		return -EBUSY;
	if (!lend(rt)) {
		pthread_mutex_unlock(&rt->ctl);
		return -EBUSY;
	}
	err = fn(arg, rt->pool);
	atomic_store(&rt->lent, 0);
	rt_kick(rt);
	pthread_mutex_unlock(&rt->ctl);
	return err;
}

/* ---- life --------------------------------------------------------------------------------- */

static uint64_t due(void *arg)
{
	return atomic_load(&((struct vt_runtime *)arg)->wake_ns);
}

static void ring(void *arg)
{
	struct vt_runtime *rt = arg;

	atomic_store(&rt->wake_ns, 0);
	atomic_store(&rt->rang, 1);
	rt_kick(rt);
}

/* Cores have been taken, or given back: what runs on them may have to go elsewhere. */
static void taken(void *arg)
{
	struct vt_runtime *rt = arg;

	atomic_store(&rt->rang, 1);
	rt_kick(rt);
}

struct tids {
	struct vt_runtime *rt;
	_Atomic pid_t of_cpu[VT_MAX_CORES];
};

static int note_tid(void *arg, unsigned int core)
{
	struct tids *t = arg;

	/* Not gettid(): in a container that is another number than the kernel's. */
	atomic_store(&t->of_cpu[core], vt_monitor_tid(t->rt->o.monitor));
	return 0;
}

_Static_assert(VT_WORKERS >= VT_SCHED_MAX_CORES, "a slot for each worker of a runtime");

/* Workers that publish which tenant they work for. One that has no slot, as others of the monitor's have them all, is an error. */
static int meet_monitor(struct vt_runtime *rt, struct vt_err *e)
{
	struct tids *t = calloc(1, sizeof(*t));
	int err = 0;

	rt->worker = calloc(rt->topo.n_cores, sizeof(*rt->worker));
	if (!t || !rt->worker || rt_count_open(rt))
		err = vt_fail(e, -ENOMEM, "no memory for the workers");
	if (!err) {
		t->rt = rt;
		err = vt_pool_each(rt->pool, note_tid, t);
	}
	for (uint32_t c = 0; c < rt->topo.n_cores && !err; c++)
		err = vt_monitor_worker_add(rt->o.monitor, atomic_load(&t->of_cpu[rt->topo.cpu[c]]),
					    &rt->worker[c], e);
	free(t);
	return err;
}

static void *zeroed(size_t n, size_t size)
{
	size_t len = (n * size + 63) & ~(size_t)63;
	void *p = aligned_alloc(64, len ? len : 64);

	if (p)
		memset(p, 0, len);
	return p;
}

static int make_room(struct vt_runtime *rt)
{
	const uint32_t n = rt->topo.n_cores;

	/* One more: an insertion moves what follows. */
	rt->waiting = zeroed(rt->o.max_requests + 1, sizeof(*rt->waiting));
	rt->wait = zeroed(rt->o.max_requests + 1, sizeof(*rt->wait));
	rt->blocks = zeroed(n, sizeof(*rt->blocks));
	rt->block_of = zeroed(n, sizeof(struct rt_block *));
	rt->block = zeroed(n, sizeof(*rt->block));
	rt->done = zeroed(n, sizeof(*rt->done));
	if (!rt->waiting || !rt->wait || !rt->blocks || !rt->block_of || !rt->block || !rt->done)
		return -ENOMEM;
	for (uint32_t c = 0; c < n; c++)
		rt_block_init(&rt->block[c], rt);
	rt->free = vt_coreset_range(0, n);
	return 0;
}

static void defaults(struct vt_runtime *rt, const struct vt_runtime_opts *o)
{
	rt->o = *o;
	if (!rt->o.policy)
		rt->o.policy = vt_policy_find(VT_POLICY_DEFAULT);
	if (!rt->o.max_requests)
		rt->o.max_requests = MAX_REQUESTS;
	if (!rt->o.window_ns)
		rt->o.window_ns = WINDOW_NS;
	rt->policy_now = rt->o.policy;
	rt->next_id = 1;
	rt->start_ns = vt_now_mono_ns();
	pthread_mutex_init(&rt->ctl, NULL);
	pthread_mutex_init(&rt->names, NULL);
	pthread_mutex_init(&rt->monitoring, NULL);
	rt->ours_ppm = VT_PPM;
	for (uint32_t i = 0; i < VT_RUNTIME_MODELS; i++)
		rt->model[i].id = i;
}

static int all_cores(struct vt_cpuset *ret)
{
	int err = vt_cpuset_allowed(ret);

	if (!err)
		vt_topology_afford(ret, "/sys", UINT64_MAX);
	return err;
}

/* A core that others use may take its time: plans take no more than this for waking. */
#define OPEN_MOST_NS 200000u

static uint32_t at_most(uint64_t ns, uint32_t most)
{
	return ns < most ? (uint32_t)ns : most;
}

/* What plans weigh finer blocks against: a few us on bare metal, tens in a virtual machine. */
static void measure_open(struct vt_runtime *rt)
{
	uint64_t wake_ns, call_ns;

	if (vt_pool_wake_cost(rt->pool, &wake_ns, &call_ns))
		return; /* as if on bare metal */
	rt->open_ns = at_most(wake_ns, OPEN_MOST_NS);
	rt->open_core_ns = at_most(call_ns, OPEN_MOST_NS);
}

static int open_all(struct vt_runtime *rt, struct vt_err *e)
{
	int err = vt_cpuset_count(&rt->o.cores) ? 0 : all_cores(&rt->o.cores);

	if (err)
		return vt_fail(e, err, "cannot read the cores this process may use: %s",
			       strerror(-err));
	err = vt_topology_read(&rt->topo, "/sys", &rt->o.cores);
	if (err)
		return vt_fail(e, err, "%u cores; a runtime has 1 to %u: name fewer",
			       vt_cpuset_count(&rt->o.cores), VT_SCHED_MAX_CORES);
	if (make_room(rt))
		return vt_fail(e, -ENOMEM, "no memory for %u requests", rt->o.max_requests);
	err = vt_pool_open(&rt->pool, &rt->o.cores, e);
	if (err)
		return err;
	measure_open(rt);
	vt_pool_keep_timer(rt->pool,
			   &(struct vt_pool_timer){
				   .due_mono_ns = due, .ring = ring, .taken = taken, .arg = rt});
	err = rt_record_open(rt, e);
	return !err && rt->o.monitor ? meet_monitor(rt, e) : err;
}

int vt_runtime_open(struct vt_runtime **ret, const struct vt_runtime_opts *o, struct vt_err *e)
{
	struct vt_runtime *rt = zeroed(1, sizeof(*rt));
	int err;

	if (!rt) {
		if (o->record_fd >= 0)
			close(o->record_fd);
		return vt_fail(e, -ENOMEM, "no memory for the runtime");
	}
	defaults(rt, o);
	err = open_all(rt, e);
	if (err) {
		vt_runtime_close(rt);
		return err;
	}
	*ret = rt;
	return 0;
}

void vt_runtime_drain(struct vt_runtime *rt)
{
	atomic_store(&rt->draining, 1);
	while (atomic_load(&rt->unanswered))
		vt_sleep_until_mono_ns(vt_now_mono_ns() + POLL_NS);
}

int vt_runtime_close(struct vt_runtime *rt)
{
	int err;

	if (!rt)
		return 0;
	vt_runtime_drain(rt);
	vt_pool_close(rt->pool);
	rt_models_fini(rt);
	err = rt_record_close(rt);
	for (uint32_t c = 0; rt->worker && c < rt->topo.n_cores; c++)
		if (rt->worker[c])
			vt_monitor_worker_del(rt->o.monitor, rt->worker[c]);
	rt_count_close(rt);
	free(rt->worker);
	free(rt->waiting);
	free(rt->wait);
	free(rt->blocks);
	free(rt->block_of);
	free(rt->block);
	free(rt->done);
	free(rt->done_versions);
	free(rt->record);
	pthread_mutex_destroy(&rt->ctl);
	pthread_mutex_destroy(&rt->names);
	pthread_mutex_destroy(&rt->monitoring);
	free(rt);
	return err;
}
