// SPDX-License-Identifier: Apache-2.0
/* sim_trace.c - record one run with every decision; decide a recording again and compare. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/replay.h"
#include "cli/sim_cli.h"
#include "loop/trace.h"

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

	if (!sim_is_one_run(s))
		return vt_fail(e, -EINVAL, "--record needs exactly one mix and one policy");
	rc = vt_outfile_open(&r.file, path, 0, e);
	if (rc)
		return rc;
	rc = sim_run_recorded(
		s, &run,
		&(struct sim_recording){.started = started, .stepped = stepped, .self = &r}, e);
	if (!rc)
		rc = vt_outfile_put(&r.file, vt_trace_end, sizeof(vt_trace_end), e);
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

static int report(const char *path, const struct vt_replay_sum *r, bool json)
{
	if (!json) {
		printf("%s: policy %s, %llu steps, %llu decided otherwise\n", path, r->policy,
		       (unsigned long long)r->steps, (unsigned long long)r->differ);
	} else {
		json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:b}", "trace", path, "policy",
				      r->policy, "steps", (json_int_t)r->steps, "differ",
				      (json_int_t)r->differ, "complete", (int)r->complete);

		json_dumpf(o, stdout, JSON_INDENT(2));
		putchar('\n');
		json_decref(o);
	}
	return r->differ ? VT_EXIT_FAILED : VT_EXIT_OK;
}

int sim_replay(const char *path, bool json, struct vt_err *e)
{
	struct vt_replay_sum sum = {0};
	int rc = vt_replay_file(path, NULL, &sum, e), status = VT_EXIT_OK;

	/* Of a server that was killed the end is missing, but what is there can be of use. */
	if (!rc || sum.steps)
		status = report(path, &sum, json);
	return rc ? rc : status;
}
