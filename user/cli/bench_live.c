// SPDX-License-Identifier: Apache-2.0
/* bench_live.c - the runtime in this process as a target. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/bench_costs.h"
#include "cli/run_input.h"
#include "exec/runtime.h"
#include "exec/topology.h"

#define ALONE_NS   (1500 * VT_NS_PER_MS)
#define ALONE_MIN  5u
#define ALONE_MAX  40u
#define DRAIN_WAIT VT_NS_PER_MS

/** One request under way: the runtime's view of it, and ours. */
struct request {
	struct vt_infer infer;
	struct vt_shot *shot;
	struct vt_given_inputs *given;
};

struct live {
	const struct bench *b;
	struct vt_cpuset cores;
	struct vt_runtime *rt;
	struct vt_monitor *monitor;
	struct vt_profile *profiles;
	struct vt_costs costs[BENCH_MODELS];	/* ours; the runtime gets copies */
	struct vt_engine *engine[BENCH_MODELS]; /* until the runtime takes it */
	struct vt_given_inputs given[BENCH_MODELS];
	uint32_t id[BENCH_MODELS]; /* of the runtime */
	uint64_t least_core_ns[BENCH_MODELS];
	int fixed_level; /* what the served costs are reduced to; -1: not at all */
	struct request *requests;
	size_t n_requests;
	struct vt_runtime_stats stats;
};

/* ---- loading, times alone ----------------------------------------------------------------- */

static int load(struct live *l, uint32_t m, struct vt_err *e)
{
	const struct bench_opts *o = l->b->o;
	struct vt_engine_opts eo = {.instances = (int)o->instances};
	int rc = vt_engine_load(&l->engine[m], o->model[m].path, &eo, e);

	return rc ? rc : vt_make_inputs(l->engine[m], &l->given[m], o->seed, e);
}

/** As `veltair run` would: all cores, one request after another, no scheduler. */
static int alone(struct live *l, struct bench_engine *g, struct vt_pool *pool, uint32_t m,
		 struct vt_err *e)
{
	uint64_t ns[ALONE_MAX], best = UINT64_MAX, spent = 0;
	unsigned int n = 0;

	for (unsigned int i = 0; i < 3 + ALONE_MAX && (n < ALONE_MIN || spent < ALONE_NS); i++) {
		struct vt_run r;
		uint64_t t0 = vt_now_mono_ns(), t;
		int rc;

		vt_fill_inputs(l->engine[m], 0, &l->given[m]);
		vt_run_init(&r, l->engine[m], 0);
		rc = vt_pool_run(pool, &r.work, &l->cores);
		if (rc)
			return vt_fail(e, rc, "cannot run on the cores given");
		t = vt_now_mono_ns() - t0;
		if (i < 3) /* caches, page faults */
			continue;
		spent += t;
		best = t < best ? t : best;
		/* Sorted as they come: the median is wanted. */
		for (unsigned int k = n++;; k--) {
			if (!k || ns[k - 1] <= t) {
				ns[k] = t;
				break;
			}
			ns[k] = ns[k - 1];
		}
		if (n == ALONE_MAX)
			break;
	}
	g->alone_ms[m] = (double)ns[n / 2] / 1e6;
	g->best_ms[m] = (double)best / 1e6;
	return 0;
}

static int load_all(struct live *l, struct bench_engine *g, struct vt_err *e)
{
	struct vt_pool *pool;
	size_t scratch = 0;
	int rc = vt_pool_open(&pool, &l->cores, e);

	if (rc)
		return rc;
	for (uint32_t m = 0; m < l->b->o->n_models && !rc; m++) {
		rc = load(l, m, e);
		if (!rc && l->engine[m]->scratch_bytes > scratch)
			scratch = l->engine[m]->scratch_bytes;
	}
	if (!rc && vt_pool_reserve(pool, scratch))
		rc = vt_fail(e, -ENOMEM, "no memory for the scratch of the workers");
	for (uint32_t m = 0; m < l->b->o->n_models && !rc; m++)
		rc = alone(l, g, pool, m, e);
	vt_pool_close(pool);
	return rc;
}

/* ---- target ------------------------------------------------------------------------------- */

static void to_arena(struct vt_infer *q, const struct vt_engine *eng, int inst)
{
	struct request *r = q->user;

	vt_fill_inputs((struct vt_engine *)eng, inst, r->given);
}

static void done(struct vt_infer *q, enum vt_outcome how)
{
	struct request *r = q->user;

	vt_shot_end(r->shot,
		    how == VT_DONE				? VT_SHOT_DONE
		    : how == VT_REFUSED || how == VT_QUEUE_FULL ? VT_SHOT_REFUSED
								: VT_SHOT_FAILED,
		    how == VT_DONE ? q->end_ns : vt_now_mono_ns());
}

static int begin(void *self, struct vt_shot *shots, size_t n, struct vt_err *e)
{
	struct live *l = self;

	if (n > l->n_requests) {
		struct request *more = realloc(l->requests, n * sizeof(*more));

		if (!more)
			return vt_fail(e, -ENOMEM, "no memory for %zu requests", n);
		l->requests = more;
		l->n_requests = n;
	}
	for (size_t i = 0; i < n; i++) {
		uint32_t m = shots[i].tenant;

		l->requests[i] = (struct request){
			.infer = {.model = l->id[m],
				  .load = to_arena,
				  .done = done,
				  .user = &l->requests[i]},
			.shot = &shots[i],
			.given = &l->given[m],
		};
	}
	l->requests[0].shot = &shots[0];
	return 0;
}

static void send_shot(void *self, struct vt_shot *s)
{
	struct live *l = self;
	struct request *r = &l->requests[s - l->requests[0].shot];

	r->infer.deadline_ns = s->at_mono_ns + l->b->qos_ns[s->tenant];
	vt_runtime_submit(l->rt, &r->infer);
}

static void end(void *self)
{
	struct live *l = self;

	/* The last answer is given before its worker has finished with the runtime's books. */
	while (!vt_runtime_idle(l->rt))
		vt_sleep_until_mono_ns(vt_now_mono_ns() + DRAIN_WAIT);
}

/* ---- looking at it ------------------------------------------------------------------------ */

static void counts(void *self, struct bench_counts *ret)
{
	struct live *l = self;
	const struct vt_runtime_stats *s = &l->stats;

	vt_runtime_stats(l->rt, &l->stats);
	*ret = (struct bench_counts){0};
	for (uint32_t i = 0; i < s->n_models; i++) {
		const struct vt_runtime_model *m = &s->model[i];

		ret->blocks += m->blocks;
		ret->conflicts += m->conflicts;
		ret->core_ns += m->core_sum_ns;
		for (uint32_t k = 0; k < l->b->o->n_models; k++)
			if (l->id[k] == m->id)
				ret->least_core_ns += (m->in_time + m->late) * l->least_core_ns[k];
		for (unsigned int v = 0; v < VT_MAX_VERSIONS; v++)
			ret->layer_runs[v] += m->layer_runs[v];
	}
	for (unsigned int i = 0; i < BENCH_DECIDE; i++) {
		ret->decide[i] = s->decide[i];
		ret->turn[i] = s->turn[i];
	}
}

static void look(void *self, uint32_t *pressure_ppm, uint64_t layer_runs[VT_MAX_VERSIONS])
{
	struct live *l = self;
	const struct vt_runtime_stats *s = &l->stats;

	vt_runtime_stats(l->rt, &l->stats);
	*pressure_ppm = 0;
	memset(layer_runs, 0, VT_MAX_VERSIONS * sizeof(*layer_runs));
	for (uint32_t i = 0; i < s->n_domains; i++)
		if (s->domain[i].pressure_ppm > *pressure_ppm)
			*pressure_ppm = s->domain[i].pressure_ppm;
	for (uint32_t i = 0; i < s->n_models; i++)
		for (unsigned int v = 0; v < VT_MAX_VERSIONS; v++)
			layer_runs[v] += s->model[i].layer_runs[v];
}

/* ---- open and close ----------------------------------------------------------------------- */

/** Hand all models to the runtime, with costs for the targets that are known now. */
static int serve(struct live *l, struct vt_err *e)
{
	struct vt_pool *pool;
	size_t scratch = 0;
	int rc = vt_pool_open(&pool, &l->cores, e);

	if (rc)
		return rc;
	for (uint32_t m = 0; m < l->b->o->n_models; m++)
		scratch = l->engine[m]->scratch_bytes > scratch ? l->engine[m]->scratch_bytes
								: scratch;
	if (vt_pool_reserve(pool, scratch))
		rc = vt_fail(e, -ENOMEM, "no memory for the scratch of the workers");
	for (uint32_t m = 0; m < l->b->o->n_models && !rc; m++)
		rc = bench_costs(&l->costs[m], l->b, m, l->engine[m], pool, l->profiles, e);
	vt_pool_close(pool);
	if (!rc)
		rc = vt_runtime_open(&l->rt,
				     &(struct vt_runtime_opts){.cores = l->cores,
							       .no_shed = l->b->o->no_shed,
							       .max_requests = 4096,
							       .monitor = l->monitor,
							       .record_fd = -1},
				     e);
	for (uint32_t m = 0; m < l->b->o->n_models && !rc; m++) {
		struct vt_served s = {.engine = l->engine[m], .max_queue = 1024};

		rc = vt_costs_copy(&s.costs, &l->costs[m], -1, e);
		if (rc)
			break;
		snprintf(s.name, sizeof(s.name), "%s", l->b->o->model[m].name);
		l->least_core_ns[m] = bench_costs_least(&l->costs[m].model);
		l->engine[m] = NULL;
		rc = vt_runtime_add(l->rt, &s, &l->id[m], e);
	}
	return rc;
}

static int ready(struct bench *b, struct bench_engine *g, struct vt_err *e)
{
	struct live *l = g->self;
	int rc = serve(l, e);

	for (uint32_t m = 0; m < b->o->n_models && !rc; m++)
		g->ideal_ms[m] = (double)l->least_core_ns[m] / vt_cpuset_count(&l->cores) / 1e6;
	return rc;
}

static void close_live(void *self)
{
	struct live *l = self;

	vt_runtime_close(l->rt);
	vt_monitor_close(l->monitor);
	vt_profile_close(l->profiles);
	for (uint32_t m = 0; m < BENCH_MODELS; m++) {
		vt_engine_free(l->engine[m]);
		vt_given_fini(&l->given[m]);
		vt_costs_fini(&l->costs[m]);
	}
	free(l->requests);
	free(l);
}

static int choose_cores(struct live *l, struct vt_err *e)
{
	int rc;

	l->cores = l->b->o->cores;
	if (vt_cpuset_count(&l->cores))
		return 0;
	rc = vt_topology_default(&l->cores);
	return rc ? vt_fail(e, rc, "cannot read the cores this process may use") : 0;
}

int bench_live_open(struct bench *b, struct bench_engine *g, struct vt_err *e)
{
	struct live *l = calloc(1, sizeof(*l));
	struct vt_profile_key key;
	int rc;

	if (!l)
		return vt_fail(e, -ENOMEM, "no memory");
	l->b = b;
	l->fixed_level = -1;
	rc = choose_cores(l, e);
	if (!rc && b->o->profiles) {
		vt_profile_here(&key);
		rc = vt_profile_open(&l->profiles, b->o->profiles, VT_PROFILE_READ, &key, e);
	}
	if (!rc && b->o->monitor)
		rc = vt_monitor_open(&(struct vt_monitor_opts){0}, &l->monitor, e);
	if (!rc)
		rc = load_all(l, g, e);
	if (rc) {
		close_live(l);
		return rc;
	}
	g->name = "veltair";
	g->what = "in process";
	g->target = (struct vt_target){begin, send_shot, NULL, NULL, end, l};
	g->counts = counts;
	g->look = look;
	g->ready = ready;
	g->close = close_live;
	g->self = l;
	return 0;
}

/** Serve versions fixed to @level, or all of them. */
static int fix(struct live *l, int level, struct vt_err *e)
{
	for (uint32_t m = 0; m < l->b->o->n_models; m++) {
		struct vt_costs c;
		int rc = vt_costs_copy(&c, &l->costs[m], level, e);

		if (!rc)
			rc = vt_runtime_recost(l->rt, l->id[m], &c, e);
		if (rc)
			return rc;
	}
	l->fixed_level = level;
	return 0;
}

int bench_live_prepare(struct bench_row *r, struct vt_err *e)
{
	struct live *l = r->engine->self;
	int rc = l->fixed_level == r->fixed_level ? 0 : fix(l, r->fixed_level, e);

	if (rc)
		return rc;
	rc = vt_runtime_policy(l->rt, r->policy, l->b->o->no_shed);
	return rc ? vt_fail(e, rc, "policy %s cannot be switched to", r->name) : 0;
}
