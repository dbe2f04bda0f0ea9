// SPDX-License-Identifier: Apache-2.0
/*
 * runtime_record.c - a trace of every step, as loop/trace.h lays it out, to a file descriptor.
 *
 * Whenever models or the policy change, the loop begins anew and so does the trace: a file may hold
 * several, one after the other. Written in large pieces by whoever steps; an error ends the
 * recording and is kept for vt_runtime_recording().
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "exec/runtime_int.h"
#include "loop/trace.h"

#define PIECE ((size_t)1 << 20)

void rt_record_flush(struct vt_runtime *rt)
{
	size_t at = 0;

	while (at < rt->record_used && !RT_GET(rt->record_err)) {
		ssize_t n = write(rt->o.record_fd, rt->record + at, rt->record_used - at);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno != EINTR)
			RT_SET(rt->record_err, -errno);
	}
	rt->record_used = 0;
}

/* Room for @len more bytes; false: no memory, the recording has ended. */
static bool room(struct vt_runtime *rt, size_t len)
{
	size_t cap = 2 * (rt->record_used + len > PIECE ? rt->record_used + len : PIECE);
	char *more;

	if (rt->record_used + len <= rt->record_cap)
		return true;
	more = aligned_alloc(64, (cap + 63) & ~(size_t)63);
	if (!more) {
		RT_SET(rt->record_err, -ENOMEM);
		return false;
	}
	rt_record_flush(rt);
	free(rt->record);
	rt->record = more;
	rt->record_cap = cap;
	return true;
}

static void put_head(struct vt_runtime *rt)
{
	size_t len = vt_trace_put_head(NULL, 0, &rt->loop_cfg, rt->models, rt->n_models);

	if (!room(rt, len))
		return;
	rt->record_used += vt_trace_put_head(rt->record + rt->record_used, len, &rt->loop_cfg,
					     rt->models, rt->n_models);
	rt->record_head = false;
}

void rt_record_step(struct vt_runtime *rt, const struct vt_sample *s, const struct vt_decision *d)
{
	size_t len;

	if (rt->record_head && !RT_GET(rt->record_err))
		put_head(rt);
	if (RT_GET(rt->record_err))
		return;
	len = vt_trace_put_step(NULL, 0, s, d);
	if (!room(rt, len))
		return;
	rt->record_used += vt_trace_put_step(rt->record + rt->record_used, len, s, d);
	if (rt->record_used > PIECE)
		rt_record_flush(rt);
}

int vt_runtime_recording(const struct vt_runtime *rt)
{
	return RT_GET(rt->record_err);
}
