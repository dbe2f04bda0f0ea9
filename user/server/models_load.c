// SPDX-License-Identifier: Apache-2.0
/* models_load.c - from a model's file to a model that the runtime serves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/text.h"
#include "profile/profile.h"
#include "server/infer.h"
#include "server/models_int.h"

#define RUNS	       5 /* of a model without a profile, for a first idea of its times */
#define PATIENCE_NS    (10 * VT_NS_PER_S) /* for idle moments, all of them, while a model loads */
#define BORROW_POLL_US 500u
/* What auto promises at least: below it, waking up threads takes longer than a model. */
#define AUTO_QOS_NS   (5 * VT_NS_PER_MS)
#define MAX_INSTANCES 4u
#define SPARE_BYTES   (64ull << 20) /* of memory, not to be taken by a model's file */

/* ---- does it fit? ------------------------------------------------------------------------------- */

/** What a model may take, has taken, and from where. */
struct room {
	uint64_t have_bytes, taken_bytes;
	struct vt_files files;
};

static int too_large(uint64_t need, uint64_t have, struct vt_err *e)
{
	return vt_fail(e, -ENOMEM,
		       "does not fit in memory: it needs about %llu MiB, %llu MiB are available",
		       (unsigned long long)(need >> 20), (unsigned long long)(have >> 20));
}

/* Instances that have not run yet will take their memory when they do. */
static uint64_t promised(const struct vt_models *m)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct vt_engine *eng =
			m->entry[i].now ? vt_runtime_engine(m->o.runtime, m->entry[i].now->id)
					: NULL;

		n += eng ? vt_engine_unwritten_bytes(eng) : 0;
	}
	return n;
}

/*
 * A file of n bytes needs about n bytes packed, and something beside it. Data in other files is
 * met in the import, and what the arenas need is known after it: vt_engine_load() counts all.
 */
static int check_memory(uint64_t owed, const struct vt_config_model *c, struct room *ret,
			struct vt_err *e)
{
	const uint64_t all = vt_memory_available(NULL);
	const uint64_t have = all > owed ? all - owed : 0;
	struct stat st;
	uint64_t need;

	if (stat(c->path, &st))
		return vt_fail(e, -errno, "cannot open: %s", strerror(errno));
	if (vt_files_add(&ret->files, c->path, &st))
		return vt_fail(e, -ENOMEM, "no memory");
	need = (uint64_t)st.st_size + (uint64_t)st.st_size / 4;
	ret->have_bytes = have > SPARE_BYTES ? have - SPARE_BYTES : 1;
	if (S_ISREG(st.st_mode) && need > ret->have_bytes)
		return too_large(need, ret->have_bytes, e);
	return 0;
}

/* One file may be read for many tensors: what counts is what is read. */
static int take_room(void *arg, const char *path, const struct stat *st, size_t bytes,
		     struct vt_err *e)
{
	struct room *r = arg;

	if (vt_files_add(&r->files, path, st))
		return vt_fail(e, -ENOMEM, "no memory");
	r->taken_bytes += bytes;
	return r->taken_bytes > r->have_bytes ? too_large(r->taken_bytes, r->have_bytes, e) : 0;
}

/* Does the protocol have names for it all? */
static int check_io(const struct vt_config_model *c, const struct vt_engine *eng, struct vt_err *e)
{
	for (int i = 0; i < eng->graph.n_inputs; i++)
		if (!vt_datatype_name(eng->graph.tensors[eng->graph.inputs[i]].dtype))
			return vt_fail(e, -ENOTSUP,
				       "%s: input '%.96s' has a type the protocol lacks", c->path,
				       eng->graph.tensors[eng->graph.inputs[i]].name);
	if (eng->graph.n_inputs > (int)VT_INFER_TENSORS ||
	    eng->graph.n_outputs > (int)VT_INFER_TENSORS)
		return vt_fail(e, -ENOTSUP, "%s: more than %u inputs or outputs", c->path,
			       VT_INFER_TENSORS);
	return 0;
}

/* ---- what it costs ------------------------------------------------------------------------------ */

/* 1, 2, 4 ... and all cores. */
size_t core_counts(unsigned int cores, uint16_t *ret)
{
	size_t n = 0;

	for (unsigned int c = 1; c < cores && n < 15; c *= 2)
		ret[n++] = (uint16_t)c;
	ret[n++] = (uint16_t)cores;
	return n;
}

struct measuring {
	struct vt_models *m;
	struct vt_pool *own;  /* once there was no more waiting; NULL before */
	uint64_t patience_ns; /* what is left of it */
	struct vt_costs *ret;
	struct vt_engine *eng;
	const struct vt_config_model *c;
	const uint16_t *points;
	size_t n_points;
	bool partial; /* the store has some of the times */
	struct vt_err *e;
};

/*
 * Requests come first: each piece waits until the runtime has nothing to do. If that takes too long in all, the rest is
 * measured beside it, which is slower, holds up others, and is corrected later.
 */
static int lend(void *arg, int (*fn)(void *what, struct vt_pool *pool), void *what)
{
	struct measuring *x = arg;
	int err = -EBUSY;

	if (must_end(x->m))
		return -ECANCELED;
	while (!x->own && (err = vt_runtime_borrow(x->m->o.runtime, fn, what)) == -EBUSY) {
		usleep(BORROW_POLL_US);
		if (x->patience_ns > BORROW_POLL_US * 1000)
			x->patience_ns -= BORROW_POLL_US * 1000;
		else if (vt_pool_open(&x->own, &x->m->o.cores, NULL) ||
			 vt_pool_reserve(x->own, x->eng->scratch_bytes))
			return -ENOMEM;
	}
	return x->own ? fn(what, x->own) : err;
}

static int costs_from_runs(struct measuring *x)
{
	const struct vt_costs_lender by = {lend, x};
	int err = vt_costs_measured_by(x->ret, x->eng, &by, x->c->name, x->c->qos_ns, x->points,
				       x->n_points, RUNS, x->e);

	vt_pool_close(x->own);
	x->own = NULL;
	return err;
}

/* -ENODATA: the store lacks this model, or knows it by versions that we do not, or is not there yet. */
static int costs_from_store(struct vt_models *m, struct measuring *x)
{
	struct vt_profile_key key;
	struct vt_profile *db;
	struct vt_err why = {0};
	int err;

	if (!m->o.profiles || access(m->o.profiles, F_OK))
		return -ENODATA;
	vt_profile_here(&key);
	err = vt_profile_open(&db, m->o.profiles, VT_PROFILE_READ, &key, x->e);
	if (err)
		return err;
	err = vt_costs_profiled(x->ret, x->eng, db, x->c->name, x->c->qos_ns, x->points,
				x->n_points, &why);
	x->partial = !err && lacks_times(m, x->eng, db) > 0;
	vt_profile_close(db);
	if (!err || err == -ENODATA)
		return err;
	return vt_fail(x->e, err, "%s: cannot take its times from %s: %s", x->c->path,
		       m->o.profiles, why.msg);
}

void at_least_auto(const struct vt_config_model *c, struct vt_costs *costs)
{
	if (!c->qos_ns && costs->model.qos_ns < AUTO_QOS_NS)
		costs->model.qos_ns = AUTO_QOS_NS;
}

static int find_costs(struct vt_models *m, const struct vt_config_model *c, struct vt_engine *eng,
		      struct vt_costs *ret, bool *partial, struct vt_err *e)
{
	uint16_t points[16];
	size_t n = core_counts(vt_cpuset_count(&m->o.cores), points);
	struct measuring x = {.m = m,
			      .patience_ns = PATIENCE_NS,
			      .ret = ret,
			      .eng = eng,
			      .c = c,
			      .points = points,
			      .n_points = n,
			      .e = e};
	int err = costs_from_store(m, &x);

	if (err == -ENODATA)
		err = costs_from_runs(&x);
	if (!err)
		at_least_auto(c, ret);
	*partial = x.partial;
	return err;
}

/* ---- the way there ------------------------------------------------------------------------------ */

/* What a request takes, before any has run: on its cheapest cores, and on its fastest. */
void first_idea(struct vt_loaded *l, const struct vt_model *m)
{
	uint64_t least = UINT64_MAX, own = UINT64_MAX;

	for (uint16_t p = 0; p < m->n_points; p++) {
		uint64_t ns = vt_model_block_ns(m, 0, m->n_layers, NULL, m->points[p], 0);

		own = ns < own ? ns : own;
		least = ns * m->points[p] < least ? ns * m->points[p] : least;
	}
	l->work_ns = least / l->cores;
	l->own_ns = l->first_own_ns = own;
	l->qos_ns = m->qos_ns;
}

static struct vt_loaded *new_loaded(const struct vt_models *all, const struct vt_config_model *c,
				    const struct vt_engine *eng, const struct vt_costs *costs)
{
	struct vt_loaded *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	if (vt_io_of(&l->io, &eng->graph)) {
		free(l);
		return NULL;
	}
	memcpy(l->name, c->name, sizeof(l->name));
	memcpy(l->version, c->version, sizeof(l->version));
	l->cores = vt_cpuset_count(&all->o.cores);
	first_idea(l, &costs->model);
	l->weights_bytes = eng->weights_bytes;
	l->arena_bytes = eng->arena_bytes * (size_t)eng->n_inst + eng->work_bytes;
	l->costs_source = (uint8_t)costs->source;
	return l;
}

void loaded_free(struct vt_loaded *l)
{
	if (!l)
		return;
	vt_io_fini(&l->io);
	vt_files_fini(&l->files);
	free(l);
}

static int serve_it(struct vt_models *m, const struct vt_config_model *c, bool replaces,
		    struct vt_engine *eng, struct vt_costs *costs, struct vt_loaded *l,
		    struct vt_err *e)
{
	struct vt_served s = {
		.engine = eng,
		.costs = *costs,
		.priority = c->priority,
		.max_queue = c->max_queue,
		.replaces = replaces,
	};
	int err;

	memcpy(s.name, c->name, sizeof(s.name));
	memcpy(s.version, c->version, sizeof(s.version));
	err = vt_runtime_add(m->o.runtime, &s, &l->id, e);
	if (!err && s.no_row)
		vt_log(m->o.log, VT_LOG_WARN,
		       "%s version %s: the monitor has no room for another tenant; what it does "
		       "counts for (other) until it is loaded anew",
		       c->name, c->version);
	return err;
}

/* @owed_bytes: of what is available, promised to others. @room: zeroed; its files are the caller's then, also after an error. */
static int load_engine(const struct vt_config_model *c, unsigned int cores, uint64_t owed_bytes,
		       struct room *room, struct vt_engine **ret, struct vt_err *e)
{
	struct vt_engine_opts o = {
		.import = {.dims = c->dims,
			   .n_dims = (int)c->n_dims,
			   .beside = take_room,
			   .arg = room},
		.instances = (int)(c->instances		   ? c->instances
				   : cores < MAX_INSTANCES ? cores
							   : MAX_INSTANCES),
	};
	int err = check_memory(owed_bytes, c, room, e);

	o.max_bytes = room->have_bytes;
	o.direct = c->kernels == VT_KERNELS_DIRECT;
	if (!err)
		err = vt_engine_load(ret, c->path, &o, e);
	if (err && e && !strstr(e->msg, c->path))
		vt_fail_at(e, "%s", c->path);
	return err ? err : check_io(c, *ret, e);
}

int vt_models_try(const struct vt_config_model *c, const struct vt_cpuset *cores,
		  uint64_t *owed_bytes, struct vt_err *e)
{
	struct vt_engine *eng = NULL;
	struct room room = {0};
	int err = load_engine(c, vt_cpuset_count(cores), *owed_bytes, &room, &eng, e);

	if (!err)
		*owed_bytes += eng->weights_bytes + eng->arena_bytes * (size_t)eng->n_inst +
			       eng->work_bytes;
	vt_files_fini(&room.files);
	vt_engine_free(eng);
	return err;
}

/* A mistake that else shows only as refusals of everything. */
void check_target(const struct vt_models *m, const struct vt_config_model *c, struct vt_loaded *l)
{
	const uint64_t alone = l->first_own_ns;
	const bool was = l->target_too_short;
	char qos[16], needed[16];

	l->target_too_short = c->qos_ns && c->qos_ns < alone;
	if (l->target_too_short == was)
		return;
	vt_text_ms(c->qos_ns, qos, sizeof(qos));
	vt_text_ms(alone, needed, sizeof(needed));
	if (was)
		vt_log(m->o.log, VT_LOG_INFO,
		       "QoS %s ms can be met after all: %s takes %s ms alone", qos, l->name,
		       needed);
	else
		vt_log(m->o.log, VT_LOG_WARN,
		       "QoS %s ms is less than the %s ms that %s takes alone: no request can be in "
		       "time; raise qos_ms, or admission: late",
		       qos, needed, l->name);
}

int load_file(struct vt_models *m, const struct vt_config_model *c, bool replaces,
	      struct vt_loaded **ret, struct vt_err *e)
{
	uint64_t t0 = vt_now_mono_ns();
	struct vt_engine *eng = NULL;
	struct vt_costs costs = {0};
	struct vt_loaded *l = NULL;
	struct room room = {0};
	bool partial = false;
	int err;

	close_tuner(m); /* what it has is the new model's to take */
	err = load_engine(c, vt_cpuset_count(&m->o.cores), promised(m), &room, &eng, e);
	if (!err)
		err = find_costs(m, c, eng, &costs, &partial, e);
	if (!err) {
		l = new_loaded(m, c, eng, &costs);
		err = l ? 0 : vt_fail(e, -ENOMEM, "%s: no memory", c->path);
	}
	if (err) {
		vt_files_fini(&room.files);
		vt_costs_fini(&costs);
		vt_engine_free(eng);
		return err;
	}
	l->files = room.files;
	l->partial = partial;
	err = serve_it(m, c, replaces, eng, &costs, l, e);
	if (err) { /* engine and costs are gone with it */
		loaded_free(l);
		return err;
	}
	vt_log(m->o.log, VT_LOG_INFO,
	       "serving %s version %s: %.1f MiB of weights, %.1f of activations, %.2f ms alone "
	       "(%s), "
	       "QoS %.1f ms, loaded in %.2f s%s",
	       l->name, l->version, (double)l->weights_bytes / 1048576,
	       (double)l->arena_bytes / 1048576, (double)l->own_ns / 1e6,
	       costs.source == VT_COSTS_PROFILE ? "profiled" : "a few runs",
	       (double)l->qos_ns / 1e6, (double)(vt_now_mono_ns() - t0) / 1e9,
	       eng->short_of_memory ? ", with some direct kernels: no memory for the fast ones"
				    : "");
	if (partial)
		vt_log(m->o.log, VT_LOG_INFO,
		       "%s version %s: %s lacks its times on some of these cores or at some "
		       "levels; "
		       "they are measured while idle",
		       l->name, l->version, m->o.profiles);
	check_target(m, c, l);
	*ret = l;
	return 0;
}
