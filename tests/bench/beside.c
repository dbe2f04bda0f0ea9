// SPDX-License-Identifier: Apache-2.0
#include "beside.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "sched/turn.h"

#define AT_ONCE 4u /* requests of each model in a turn */
#define SAMPLES (4u * AT_ONCE)

/* ---- a core each -------------------------------------------------------------------------------- */

static size_t state_size(const struct vt_policy_cfg *cfg)
{
	return 64; /* it has none, but 0 would be a refusal */
}

static int init(const struct vt_policy *p, void *state, const struct vt_policy_cfg *cfg)
{
	return 0;
}

/* Whole models, first come first served. */
static void decide(void *state, const struct vt_view *v, struct vt_decision *ret)
{
	struct vt_turn t;

	vt_turn_begin(&t, v, ret, 0);
	for (uint32_t i = 0; i < v->n_requests && t.n_free; i++)
		if (vt_turn_ready(&t, &v->requests[i]))
			vt_turn_start(&t, &(struct vt_start){
						  .request = i,
						  .end = v->models[v->requests[i].model].n_layers,
						  .wanted = 1,
						  .cores = 1});
}

static const struct vt_policy one_core = {.name = "one-core",
					  .summary = "",
					  .state_size = state_size,
					  .init = init,
					  .decide = decide};

/* ---- alone and beside --------------------------------------------------------------------------- */

static void answered(struct vt_infer *q, enum vt_outcome how)
{
	atomic_fetch_add((_Atomic unsigned int *)q->user, 1);
}

/* Times of each model on one core, @at .. of @ms: one at a time, or with @ahead more under way. */
static void serve(const struct asked *a, unsigned int ahead, unsigned int at, double (*ms)[SAMPLES])
{
	struct vt_infer q[ASKED_MAX * AT_ONCE];
	_Atomic unsigned int done = 0;
	const unsigned int n = a->n_models;

	for (unsigned int k = 0; k < n * AT_ONCE; k++) {
		q[k] = (struct vt_infer){.model = a->id[k % n],
					 .deadline_ns = UINT64_MAX / 2,
					 .done = answered,
					 .user = (void *)&done};
		vt_runtime_submit(a->rt, &q[k]);
		while (k >= atomic_load(&done) + ahead)
			vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	}
	while (!vt_runtime_idle(a->rt))
		vt_sleep_until_mono_ns(vt_now_mono_ns() + 100000);
	for (unsigned int k = 0; k < n * AT_ONCE; k++)
		ms[k % n][at + k / n] = (double)q[k].served_ns / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* What else the machine does comes in lumps. */
static double lower_quartile(double *ms)
{
	qsort(ms, SAMPLES, sizeof(*ms), by_value);
	return ms[SAMPLES / 4];
}

int beside_ppm(const struct asked *a, const struct vt_policy *policy, double *ret, struct vt_err *e)
{
	double alone[ASKED_MAX][SAMPLES], beside[ASKED_MAX][SAMPLES], sum = 0;
	struct vt_cpuset cores;
	unsigned int all;

	vt_cpuset_allowed(&cores);
	all = vt_cpuset_count(&cores); /* one more waits, so that no core runs dry */
	if (vt_runtime_policy(a->rt, &one_core, true))
		return vt_fail(e, -EINVAL, "cannot change the policy");
	serve(a, all, 0, beside); /* warms up */
	for (unsigned int at = 0; at < SAMPLES; at += AT_ONCE) {
		serve(a, 0, at, alone);
		serve(a, all, at, beside);
	}
	for (uint32_t i = 0; i < a->n_models; i++)
		sum += lower_quartile(beside[i]) / lower_quartile(alone[i]) - 1;
	*ret = fmax(0, sum / a->n_models) * 1e6;
	return vt_runtime_policy(a->rt, policy, false)
		       ? vt_fail(e, -EINVAL, "cannot change the policy")
		       : 0;
}
