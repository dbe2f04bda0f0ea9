// SPDX-License-Identifier: Apache-2.0
/* sim_trace.c - record one run with every decision; decide a recording again and compare. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/sim_cli.h"
#include "loop/trace.h"

#define MAX_TRACE (16ull << 30)

/* ---- record ------------------------------------------------------------------------------- */

struct recorder {
	struct vt_outfile file;
	struct vt_err *err;
	char *buf; /* one head or step */
	size_t len;
	uint64_t steps;
};

/** Call @put with enough room: it says how much it wants. */
#define PUT(r, put_fn, ...)                                                                        \
	({                                                                                         \
		size_t n_ = put_fn((r)->buf, (r)->len, __VA_ARGS__);                               \
		int rc_ = 0;                                                                       \
		if (n_ > (r)->len) {                                                               \
			rc_ = more_room(r, n_);                                                    \
			if (!rc_)                                                                  \
				n_ = put_fn((r)->buf, (r)->len, __VA_ARGS__);                      \
		}                                                                                  \
		rc_ ? rc_ : vt_outfile_put(&(r)->file, (r)->buf, n_, (r)->err);                    \
	})

static int more_room(struct recorder *r, size_t len)
{
	free(r->buf);
	r->len = 2 * len;
	r->buf = aligned_alloc(64, (r->len + 63) & ~(size_t)63);
	if (r->buf)
		return 0;
	r->len = 0;
	return vt_fail(r->err, -ENOMEM, "out of memory");
}

static int started(void *self, const struct vt_loop_cfg *cfg, const struct vt_model *models,
		   uint32_t n_models)
{
	struct recorder *r = self;

	return PUT(r, vt_trace_put_head, cfg, models, n_models);
}

static int stepped(void *self, const struct vt_sample *s, const struct vt_decision *d)
{
	struct recorder *r = self;

	r->steps++;
	return PUT(r, vt_trace_put_step, s, d);
}

int sim_record(const struct sim_setup *s, const char *path, struct vt_err *e)
{
	struct recorder r = {.err = e};
	struct sim_run run = {.rate_hz = s->opts->rate_hz};
	int rc;

	if (s->n_mixes != 1 || s->n_policies != 1 || sim_is_bound(s->policies[0]))
		return vt_fail(e, -EINVAL, "--record needs exactly one mix and one policy");
	rc = vt_outfile_open(&r.file, path, 0, e);
	if (rc)
		return rc;
	rc = sim_run_recorded(s, &run, &(struct sim_recording){started, stepped, &r}, e);
	if (!rc)
		rc = vt_outfile_commit(&r.file, e);
	if (rc)
		vt_outfile_abort(&r.file);
	else
		fprintf(stderr, "veltair sim: %s: %llu steps recorded\n", path,
			(unsigned long long)r.steps);
	free(r.buf);
	return rc;
}

/* ---- replay ------------------------------------------------------------------------------- */

/** What replaying needs; all from the trace. */
struct player {
	struct vt_trace trace;
	void *models, *loop_mem;
	struct vt_loop *loop;
};

static int set_up(struct player *p, const void *data, size_t len, const char *path,
		  struct vt_err *e)
{
	const struct vt_policy *policy;
	struct vt_loop_cfg cfg;
	size_t need;
	int rc = vt_trace_open(&p->trace, data, len);

	if (rc == -EPROTO)
		return vt_fail(e, -EBADMSG, "%s: a trace of version %u; this program reads %u",
			       path, p->trace.head.version, VT_TRACE_VERSION);
	if (rc)
		return vt_fail(e, -EBADMSG, "%s: not a trace: %s", path,
			       p->trace.what ? p->trace.what : "damaged head");
	policy = vt_policy_find(p->trace.head.policy);
	if (!policy)
		return vt_fail(e, -EBADMSG, "%s: recorded with unknown policy '%.31s'", path,
			       p->trace.head.policy);
	need = (vt_trace_models_size(&p->trace, policy->plan_needs) + 63) & ~(size_t)63;
	p->models = aligned_alloc(64, need ? need : 64);
	if (!p->models)
		return vt_fail(e, -ENOMEM, "out of memory");
	if (vt_trace_models(&p->trace, policy->plan_needs, p->models, need))
		return vt_fail(e, -EBADMSG, "%s: a damaged model: %s", path,
			       p->trace.what ? p->trace.what : "no plan");
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

/* One trace of the file; *@len_used: where it ends. */
static int play(const char *path, const char *data, size_t len, size_t *len_used,
		struct vt_trace_replay *sum, char *policy, struct vt_err *e)
{
	struct player *p = calloc(1, sizeof(*p));
	struct vt_trace_replay *r = calloc(1, sizeof(*r));
	int rc = p && r ? 0 : vt_fail(e, -ENOMEM, "out of memory");

	if (!rc)
		rc = set_up(p, data, len, path, e);
	if (!rc) {
		r->trace = &p->trace;
		while (!(rc = vt_loop_step(p->loop, &vt_trace_plant, r)))
			;
		if (rc != -ENODATA)
			vt_fail(e, -EBADMSG, "%s: step %llu: %s", path,
				(unsigned long long)(sum->steps + p->trace.steps),
				p->trace.what ? p->trace.what : "damaged");
		sum->steps += r->steps;
		sum->differ += r->differ;
		memcpy(policy, p->trace.head.policy, sizeof(p->trace.head.policy));
		*len_used = (size_t)(p->trace.at - data);
	}
	if (p) {
		free(p->models);
		free(p->loop_mem);
	}
	free(p);
	free(r);
	return e->code;
}

static int report(const char *path, const char *policy, const struct vt_trace_replay *r, bool json)
{
	if (!json) {
		printf("%s: policy %s, %llu steps, %llu decided otherwise\n", path, policy,
		       (unsigned long long)r->steps, (unsigned long long)r->differ);
	} else {
		json_t *o =
			json_pack("{s:s, s:s, s:I, s:I}", "trace", path, "policy", policy, "steps",
				  (json_int_t)r->steps, "differ", (json_int_t)r->differ);

		json_dumpf(o, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(o);
	}
	return r->differ ? VT_EXIT_FAILED : VT_EXIT_OK;
}

int sim_replay(const char *path, bool json, struct vt_err *e)
{
	struct vt_trace_replay *sum = calloc(1, sizeof(*sum));
	char policy[sizeof(((struct vt_trace_head *)0)->policy)] = "";
	void *data = NULL;
	size_t len = 0, at = 0, used = 0;
	int rc = sum ? 0 : vt_fail(e, -ENOMEM, "out of memory");

	if (!rc)
		rc = vt_file_read(path, MAX_TRACE, &data, &len, e);
	do {
		if (!rc)
			rc = play(path, (char *)data + at, len - at, &used, sum, policy, e);
		at += used;
	} while (!rc && at < len);
	if (!rc)
		rc = report(path, policy, sum, json);
	free(sum);
	free(data);
	return rc;
}
