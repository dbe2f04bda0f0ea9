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
