// SPDX-License-Identifier: Apache-2.0
#include "cli/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "sched/policy.h"

#define MAX_TRACE (16ull << 30)

/** What replaying needs; all from the trace. */
struct player {
	struct vt_trace trace;
	struct vt_trace_replay replay;
	const struct vt_replay_user *user;
	void *models, *loop_mem;
	struct vt_loop *loop;
};

static bool only_reads(const struct player *p)
{
	return p->user && p->user->only_read;
}

static int open_trace(struct player *p, const void *data, size_t len, const char *path,
		      struct vt_err *e)
{
	int rc = vt_trace_open(&p->trace, data, len);

	if (rc == -EPROTO)
		return vt_fail(e, -EBADMSG, "%s: a trace of version %u; this program reads %u",
			       path, p->trace.head.version, VT_TRACE_VERSION);
	if (rc)
		return vt_fail(e, -EBADMSG, "%s: not a trace: %s", path,
			       p->trace.what ? p->trace.what : "damaged head");
	return 0;
}

static int make_models(struct player *p, uint32_t needs, const char *path, struct vt_err *e)
{
	size_t need = (vt_trace_models_size(&p->trace, needs) + 63) & ~(size_t)63;

	p->models = aligned_alloc(64, need ? need : 64);
	if (!p->models)
		return vt_fail(e, -ENOMEM, "out of memory");
	if (vt_trace_models(&p->trace, needs, p->models, need))
		return vt_fail(e, -EBADMSG, "%s: a damaged model: %s", path,
			       p->trace.what ? p->trace.what : "no plan");
	return 0;
}

static int make_loop(struct player *p, const struct vt_policy *policy, const char *path,
		     struct vt_err *e)
{
	struct vt_loop_cfg cfg;
	size_t need;

	cfg = (struct vt_loop_cfg){.policy = policy,
				   .policy_cfg = p->trace.head.policy_cfg,
				   .n_domains = p->trace.head.n_domains,
				   .max_layers = p->trace.head.max_layers,
				   .fresh_ns = p->trace.head.fresh_ns};
	need = (vt_loop_size(&cfg) + 63) & ~(size_t)63;
	p->loop_mem = aligned_alloc(64, need ? need : 64);
	if (!p->loop_mem)
		return vt_fail(e, -ENOMEM, "out of memory");
	memset(p->loop_mem, 0, need);
	p->loop = vt_loop_init(p->loop_mem, need, &cfg);
	return p->loop ? 0 : vt_fail(e, -EBADMSG, "%s: damaged head", path);
}

static int set_up(struct player *p, const void *data, size_t len, const char *path,
		  struct vt_err *e)
{
	const struct vt_policy *policy;
	int rc = open_trace(p, data, len, path, e);

	if (rc)
		return rc;
	if (only_reads(p))
		return make_models(p, 0, path, e);
	policy = vt_policy_find(p->trace.head.policy);
	if (!policy)
		return vt_fail(e, -EBADMSG, "%s: recorded with unknown policy '%.31s'", path,
			       p->trace.head.policy);
	rc = make_models(p, policy->plan_needs, path, e);
	return rc ? rc : make_loop(p, policy, path, e);
}

static int sample(void *self, struct vt_sample *ret)
{
	struct player *p = self;

	return vt_trace_plant.sample(&p->replay, ret);
}

static int apply(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	struct player *p = self;

	if (p->user)
		p->user->step(p->user->arg, s, &p->replay.step.decision, p->trace.models,
			      vt_loop_stats(p->loop)->learned > 0);
	return vt_trace_plant.apply(&p->replay, s, d);
}

static int read_step(struct player *p)
{
	struct vt_trace_step *x = &p->replay.step;
	int got = vt_trace_next(&p->trace, x);

	if (got <= 0)
		return got ? got : -ENODATA;
	p->user->step(p->user->arg, &x->sample, &x->decision, p->trace.models, false);
	p->replay.steps++;
	return 0;
}

static int play_steps(struct player *p, const char *path, struct vt_replay_sum *sum,
		      struct vt_err *e)
{
	static const struct vt_plant plant = {.sample = sample, .apply = apply};
	int rc;

	p->replay.trace = &p->trace;
	do
		rc = only_reads(p) ? read_step(p) : vt_loop_step(p->loop, &plant, p);
	while (!rc);
	if (rc != -ENODATA)
		vt_fail(e, -EBADMSG, "%s: step %llu: %s", path,
			(unsigned long long)(sum->steps + p->trace.steps),
			p->trace.what ? p->trace.what : "damaged");
	sum->steps += p->replay.steps;
	sum->differ += p->replay.differ;
	sum->complete = !e->code && p->trace.ended;
	memcpy(sum->policy, p->trace.head.policy, sizeof(sum->policy));
	return e->code;
}

/* One trace of the file; *@len_used: where it ends. */
static int play(const char *path, const char *data, size_t len, size_t *len_used,
		const struct vt_replay_user *u, struct vt_replay_sum *sum, struct vt_err *e)
{
	struct player *p = calloc(1, sizeof(*p));
	int rc = p ? 0 : vt_fail(e, -ENOMEM, "out of memory");

	if (!rc) {
		p->user = u;
		rc = set_up(p, data, len, path, e);
		if (!rc && u && u->begin)
			u->begin(u->arg, p->trace.models, p->trace.head.n_models);
	}
	if (!rc)
		rc = play_steps(p, path, sum, e);
	if (!rc)
		*len_used = (size_t)(p->trace.at - data);
	if (p) {
		free(p->models);
		free(p->loop_mem);
	}
	free(p);
	return rc;
}

int vt_replay_file(const char *path, const struct vt_replay_user *u, struct vt_replay_sum *ret,
		   struct vt_err *e)
{
	void *data = NULL;
	size_t len = 0, at = 0, used = 0;
	int rc = vt_file_read(path, MAX_TRACE, &data, &len, e);

	*ret = (struct vt_replay_sum){0};
	while (!rc) {
		rc = play(path, (char *)data + at, len - at, &used, u, ret, e);
		at += used;
		if (at >= len)
			break;
	}
	if (!rc && !ret->complete)
		rc = vt_fail(
			e, -EBADMSG,
			"%s: it ends after step %llu without its end mark: it was cut, or what "
			"wrote it was killed",
			path, (unsigned long long)ret->steps);
	free(data);
	return rc;
}
