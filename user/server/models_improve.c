// SPDX-License-Identifier: Apache-2.0
/*
 * models_improve.c - models that run on a first idea of their times are profiled when nothing runs.
 *
 * In small steps: the tuner asks before every sample whether a request has come, puts what it knows
 * into the store, and goes on another time. The workers are lent by the runtime meanwhile, so a
 * request that comes waits for one sample at most.
 */
#include <string.h>

#include "exec/tune.h"
#include "profile/profile.h"
#include "server/models_int.h"

/** One go at one model. */
struct going {
	struct vt_models *m;
	struct vt_loaded *l;
	bool (*stop)(void *arg);
	void *arg;
	struct vt_err *e;
};

static bool must_stop(void *arg)
{
	const struct going *g = arg;

	return vt_runtime_wanted(g->m->o.runtime) || (g->stop && g->stop(g->arg));
}

/* The tuner keeps its own pointer to this through its life, so it is the table's. */
static bool stop_tuner(void *arg)
{
	struct vt_models *m = arg;

	return m->going && must_stop(m->going);
}

static int open_tuner(struct vt_models *m, struct vt_err *e)
{
	struct vt_tune_opts o = {.cores = m->o.cores,
				 .levels = (1u << VT_LEVELS) - 1,
				 .quick = true,
				 .stop = stop_tuner,
				 .arg = m};
	struct vt_profile_key key;
	int err = 0;

	o.n_points = core_counts(vt_cpuset_count(&m->o.cores), o.points);
	vt_profile_here(&key);
	if (!m->db)
		err = vt_profile_open(&m->db, m->o.profiles, VT_PROFILE_WRITE, &key, e);
	if (!err && !m->tuner)
		err = vt_tuner_open(&m->tuner, &o, m->db, e);
	return err;
}

void close_tuner(struct vt_models *m)
{
	vt_tuner_close(m->tuner);
	vt_profile_close(m->db);
	m->tuner = NULL;
	m->db = NULL;
}

/* With the workers lent. */
static int tune(void *arg, struct vt_pool *pool)
{
	struct going *g = arg;
	struct vt_tune_report r;
	const struct vt_engine *eng = vt_runtime_engine(g->m->o.runtime, g->l->id);

	/* Nothing runs and nothing starts: instance 0 is free, and the engine is ours to run. */
	return eng ? vt_tune_engine(g->m->tuner, (struct vt_engine *)eng, &r, g->e) : -ENOENT;
}

static int use_times(struct vt_models *m, const struct vt_model_entry *x, struct vt_err *e)
{
	const struct vt_engine *eng = vt_runtime_engine(m->o.runtime, x->now->id);
	struct vt_costs costs = {0};
	uint16_t points[VT_MAX_POINTS];
	size_t n = core_counts(vt_cpuset_count(&m->o.cores), points);
	int err = vt_costs_profiled(&costs, eng, m->db, x->config.name, x->config.qos_ns, points, n,
				    e);

	if (err)
		return err;
	at_least_auto(&x->config, &costs);
	first_idea(x->now, &costs.model);
	err = vt_runtime_recost(m->o.runtime, x->now->id, &costs, e);
	if (err)
		return err;
	x->now->costs_source = VT_COSTS_PROFILE;
	vt_log(m->o.log, VT_LOG_INFO, "profiled %s version %s while idle: %.2f ms alone",
	       x->now->name, x->now->version, (double)x->now->own_ns / 1e6);
	check_target(m, &x->config, x->now);
	return 0;
}

static struct vt_model_entry *worst_known(struct vt_models *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct vt_loaded *l = m->entry[i].now;

		if (l && l->costs_source == VT_COSTS_RUNS && !l->hopeless)
			return &m->entry[i];
	}
	return NULL;
}

int vt_models_improve(struct vt_models *m, bool (*stop)(void *arg), void *arg, struct vt_err *e)
{
	struct vt_model_entry *x = m->o.profiles ? worst_known(m) : NULL;
	struct going g = {.m = m, .stop = stop, .arg = arg, .e = e};
	int err;

	if (!x) {
		close_tuner(m);
		return 0;
	}
	g.l = x->now;
	err = open_tuner(m, e);
	if (!err) {
		m->going = &g;
		err = vt_runtime_borrow(m->o.runtime, tune, &g);
		m->going = NULL;
	}
	if (err == -ECANCELED || err == -EBUSY)
		return -EBUSY;
	if (!err)
		err = use_times(m, x, e);
	if (!err)
		return 1;
	g.l->hopeless = true;
	return vt_fail_at(e, "model '%s' stays on its first times", g.l->name);
}
