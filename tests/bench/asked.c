// SPDX-License-Identifier: Apache-2.0
#include "asked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static int begin(void *self, struct vt_shot *shots, size_t n, struct vt_err *e)
{
	struct asked *a = self;

	a->infer = calloc(n, sizeof(*a->infer));
	a->shots = shots;
	return a->infer ? 0 : vt_fail(e, -ENOMEM, "no memory for %zu requests", n);
}

static void done(struct vt_infer *q, enum vt_outcome how)
{
	vt_shot_end(q->user, how == VT_DONE ? VT_SHOT_DONE : VT_SHOT_REFUSED, q->end_ns);
}

static void send_shot(void *self, struct vt_shot *s)
{
	struct asked *a = self;
	struct vt_infer *q = &a->infer[s - a->shots];

	q->model = a->id[s->tenant];
	q->tenant = s->tenant;
	q->deadline_ns = s->at_mono_ns + a->qos_ns[s->tenant];
	q->done = done;
	q->user = s;
	vt_runtime_submit(a->rt, q);
}

static void end(void *self)
{
	struct asked *a = self;

	while (!vt_runtime_idle(a->rt))
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	free(a->infer);
}

int asked_run(struct asked *a, double rate_hz, double secs, uint64_t seed, struct vt_drive *ret,
	      struct vt_err *e)
{
	struct vt_target t = {.begin = begin, .send = send_shot, .end = end, .self = a};
	double upto[ASKED_MAX];
	struct vt_drive_cfg cfg = {.rate_hz = rate_hz,
				   .secs = secs,
				   .seed = seed,
				   .upto = upto,
				   .n_tenants = a->n_models};

	for (uint32_t i = 0; i < a->n_models; i++)
		upto[i] = (double)(i + 1);
	return vt_drive_run(&t, &cfg, ret, e);
}

unsigned int asked_list(char *list, const char **ret)
{
	unsigned int n = 0;

	for (char *s = strtok(list, ","); s && n < ASKED_MAX; s = strtok(NULL, ","))
		ret[n++] = s;
	return n;
}

int asked_load(struct vt_engine **ret, const char *dir, const char *name, int instances,
	       struct vt_err *e)
{
	struct vt_engine_opts o = {.instances = instances};
	char path[512];

	snprintf(path, sizeof(path), "%s/%s.onnx", dir, name);
	return vt_engine_load(ret, path, &o, e);
}

int asked_times(struct vt_costs *ret, struct vt_engine *eng, struct vt_pool *pool, const char *name,
		unsigned int runs, struct vt_err *e)
{
	const unsigned int cores = vt_cpuset_count(vt_pool_cores(pool));
	const uint16_t points[] = {1, (uint16_t)cores};

	if (vt_pool_reserve(pool, eng->scratch_bytes))
		return vt_fail(e, -ENOMEM, "no memory for the scratch of the workers");
	return vt_costs_measured(ret, eng, pool, name, 0, points, cores > 1 ? 2 : 1, runs, e);
}

struct measuring {
	struct vt_costs *ret;
	struct vt_engine *eng;
	const char *name;
	unsigned int runs;
	struct vt_err *e;
};

static int measure(void *arg, struct vt_pool *pool)
{
	const struct measuring *m = arg;

	return asked_times(m->ret, m->eng, pool, m->name, m->runs, m->e);
}

int asked_times_of(struct vt_costs *ret, struct vt_engine *eng, struct vt_runtime *rt,
		   const char *name, unsigned int runs, struct vt_err *e)
{
	struct measuring m = {ret, eng, name, runs, e};
	int err;

	while ((err = vt_runtime_borrow(rt, measure, &m)) == -EBUSY)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	return err;
}

struct in_turn {
	struct vt_costs *ret;
	const struct asked *a;
	const char *const *name;
	unsigned int runs;
	struct vt_err *e;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The entry of layer @l on point @p: one version, the same time at every level. */
static void put(const struct vt_model *m, unsigned int l, unsigned int p, uint64_t ns)
{
	uint64_t *to = (uint64_t *)m->ns + (size_t)l * VT_LEVELS * m->n_points + p;

	for (unsigned int level = 0; level < VT_LEVELS; level++)
		to[(size_t)level * m->n_points] = ns;
}

/* Runs of all models on point @p, the first of them to warm up; medians go into @t->ret. */
static int turns_on(const struct in_turn *t, struct vt_pool *pool, unsigned int p)
{
	const uint32_t n = t->a->n_models;
	uint64_t *ns[ASKED_MAX] = {NULL};
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++) {
		ns[i] = calloc((size_t)t->ret[i].model.n_layers * t->runs, sizeof(*ns[i]));
		err = ns[i] ? 0 : vt_fail(t->e, -ENOMEM, "no memory for times");
	}
	for (unsigned int r = 0; r <= t->runs && !err; r++)
		for (uint32_t i = 0; i < n && !err; i++) {
			const struct vt_model *m = &t->ret[i].model;
			struct vt_engine *eng =
				(struct vt_engine *)vt_runtime_engine(t->a->rt, t->a->id[i]);
			struct vt_costs one;

			err = vt_costs_measured(&one, eng, pool, t->name[i], 0, &m->points[p], 1, 1,
						t->e);
			if (err)
				break;
			for (unsigned int l = 0; r && l < m->n_layers; l++)
				ns[i][(size_t)l * t->runs + r - 1] =
					vt_model_ns(&one.model, l, 0, 0, 0);
			vt_costs_fini(&one);
		}
	for (uint32_t i = 0; i < n && !err; i++)
		for (unsigned int l = 0; l < t->ret[i].model.n_layers; l++) {
			uint64_t *at = &ns[i][(size_t)l * t->runs];

			qsort(at, t->runs, sizeof(*at), by_value);
			put(&t->ret[i].model, l, p, at[t->runs / 2]);
		}
	for (uint32_t i = 0; i < n; i++)
		free(ns[i]);
	return err;
}

static int measure_in_turn(void *arg, struct vt_pool *pool)
{
	const struct in_turn *t = arg;
	int err = 0;

	for (uint32_t i = 0; i < t->a->n_models && !err; i++)
		err = asked_times(&t->ret[i],
				  (struct vt_engine *)vt_runtime_engine(t->a->rt, t->a->id[i]),
				  pool, t->name[i], 1, t->e);
	for (unsigned int p = 0; !err && p < t->ret[0].model.n_points; p++)
		err = turns_on(t, pool, p);
	return err;
}

int asked_times_in_turn(struct vt_costs *ret, const struct asked *a, const char *const *name,
			unsigned int runs, struct vt_err *e)
{
	struct in_turn t = {ret, a, name, runs, e};
	int err;

	while ((err = vt_runtime_borrow(a->rt, measure_in_turn, &t)) == -EBUSY)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	return err;
}
