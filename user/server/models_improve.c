// SPDX-License-Identifier: Apache-2.0
/*
 * models_improve.c - models that run on a first idea of their times, or on some of them, are profiled when nothing runs.
 *
 * In small steps: the workers are lent by the runtime, the tuner asks before every sample, and before
 * the layer in it is run, whether a request has come, and gives them back. What it has measured it
 * keeps, and goes on another time. Files are read and written only while nothing is lent, so a
 * request that comes waits for one run of one layer, never for a disk or another process.
 */
#include <string.h>

#include "base/clock.h"
#include "exec/tune.h"
#include "profile/profile.h"
#include "server/models_int.h"

/* Before what failed for lack of memory, or for a lock, is tried again. */
#define LATER_NS (5 * VT_NS_PER_S)

/** One go at one model. */
struct going {
	struct vt_models *m;
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

/* ---- the tuner --------------------------------------------------------------------------------- */

static struct vt_tune_opts what_to_measure(const struct vt_models *m)
{
	struct vt_tune_opts o = {
		.cores = m->o.cores, .levels = (1u << VT_LEVELS) - 1, .quick = true};

	o.n_points = core_counts(vt_cpuset_count(&m->o.cores), o.points);
	return o;
}

int lacks_times(const struct vt_models *m, const struct vt_engine *eng, struct vt_profile *db)
{
	const struct vt_tune_opts o = what_to_measure(m);
	char signature[VT_PROFILE_TEXT];
	int known = 1;

	for (int i = 0; i < eng->n_steps && known == 1; i++) {
		vt_layer_signature(eng, i, signature, sizeof(signature));
		known = vt_tune_known(&o, db, signature, NULL);
	}
	return known < 0 ? known : !known;
}

static int open_tuner(struct vt_models *m, struct vt_err *e)
{
	struct vt_tune_opts o = what_to_measure(m);
	int err;

	o.stop = stop_tuner;
	o.arg = m;
	o.scale = &m->scale;
	err = vt_tuner_open(&m->tuner, &o, m->db, e);
	if (!err && vt_tuner_lacks(m->tuner))
		vt_log(m->o.log, VT_LOG_WARN, "profiling while idle: %s", vt_tuner_lacks(m->tuner));
	return err;
}

static int open_walk(struct vt_models *m, struct vt_loaded *l, struct vt_err *e)
{
	const struct vt_engine *eng = vt_runtime_engine(m->o.runtime, l->id);
	struct vt_profile_key key;
	int err = eng ? 0 : -ENOENT;

	vt_profile_here(&key);
	if (!err && !m->db)
		err = vt_profile_open(&m->db, m->o.profiles, VT_PROFILE_WRITE_SOON, &key, e);
	if (!err && !m->tuner)
		err = open_tuner(m, e);
	if (m->walk && m->walks != l)
		leave_off(m, m->walks);
	/* Instance 0 is free whenever the workers are lent: nothing runs then, and nothing starts. */
	if (!err && !m->walk)
		err = vt_tune_walk_new(&m->walk, m->tuner, (struct vt_engine *)eng, e);
	if (!err)
		m->walks = l;
	return err;
}

static void close_walk(struct vt_models *m)
{
	vt_tune_walk_free(m->walk);
	m->walk = NULL;
	m->walks = NULL;
}

void leave_off(struct vt_models *m, const struct vt_loaded *l)
{
	if (!m->walk || m->walks != l)
		return;
	vt_tune_walk_put(m->walk, true, NULL);
	close_walk(m);
}

void close_tuner(struct vt_models *m)
{
	leave_off(m, m->walks);
	vt_tuner_close(m->tuner);
	vt_profile_close(m->db);
	m->tuner = NULL;
	m->db = NULL;
}

/* ---- a model ----------------------------------------------------------------------------------- */

/* With the workers lent. */
static int tune(void *arg, struct vt_pool *pool)
{
	struct going *g = arg;

	return vt_tune_walk_go(g->m->walk, g->e);
}

/* Until a request comes, or every layer is known: 0 then. */
static int go_on(struct going *g)
{
	struct vt_models *m = g->m;
	int err, put;

	do {
		m->going = g;
		err = vt_runtime_borrow(m->o.runtime, tune, g);
		m->going = NULL;
		put = err >= 0 || err == -ECANCELED || err == -EBUSY
			      ? vt_tune_walk_put(m->walk, false, g->e)
			      : 0;
	} while (err == 1 && !put);
	if (vt_tuner_scale(m->tuner) && vt_tuner_scale(m->tuner)->probed)
		m->scale = *vt_tuner_scale(m->tuner);
	return put ? put : err;
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
	x->now->partial = false;
	vt_log(m->o.log, VT_LOG_INFO, "profiled %s version %s while idle: %.2f ms alone",
	       x->now->name, x->now->version, (double)x->now->own_ns / 1e6);
	check_target(m, &x->config, x->now);
	return 0;
}

static struct vt_model_entry *worst_known(struct vt_models *m)
{
	struct vt_model_entry *partial = NULL;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct vt_loaded *l = m->entry[i].now;

		if (l && l->costs_source == VT_COSTS_RUNS && !l->hopeless)
			return &m->entry[i];
		if (l && l->partial && !l->hopeless && !partial)
			partial = &m->entry[i];
	}
	return partial;
}

/* It may be otherwise in a while. */
static int try_later(struct vt_models *m, const struct vt_err *e)
{
	m->later_mono_ns = vt_now_mono_ns() + LATER_NS;
	if (!m->said_later)
		vt_log(m->o.log, VT_LOG_WARN, "profiling while idle waits: %s", e->msg);
	m->said_later = true;
	return -EBUSY;
}

static bool passes(int err)
{
	return err == -EBUSY || err == -ENOMEM || err == -EAGAIN;
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
	if (vt_now_mono_ns() < m->later_mono_ns)
		return -EBUSY;
	err = open_walk(m, x->now, e);
	if (!err)
		err = go_on(&g);
	/* Without a text: it is the workers that are wanted. */
	if (err == -ECANCELED || (err == -EBUSY && !e->code))
		return -EBUSY;
	if (!err)
		err = use_times(m, x, e);
	if (passes(err))
		return try_later(m, e);
	m->said_later = false;
	close_walk(m);
	if (!err)
		return 1;
	x->now->hopeless = true;
	return vt_fail_at(e, "model '%s' stays on %s", x->now->name,
			  x->now->partial ? "the times there are" : "its first times");
}
