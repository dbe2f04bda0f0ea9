// SPDX-License-Identifier: Apache-2.0
/*
 * runtime_record.c - a trace of every step, as loop/trace.h lays it out, to a file descriptor.
 *
 * Whenever models or the policy change, the loop begins anew and so does the trace: a file may hold
 * several, one after the other. It gathers in memory and is written, without holding anybody up, by
 * who calls vt_runtime_write_recording() now and then, else in large pieces by whoever steps; an error
 * ends the recording and is kept for vt_runtime_recording().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/runtime_int.h"
#include "loop/trace.h"

#define PIECE ((size_t)1 << 20)
#define MOST  ((size_t)64 << 20) /* in memory while the file takes nothing */

static void put_out(struct vt_runtime *rt, const char *from, size_t len)
{
	size_t at = 0;

	while (at < len && !RT_GET(rt->record_err)) {
		ssize_t n = write(rt->o.record_fd, from + at, len - at);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno != EINTR)
			RT_SET(rt->record_err, -errno);
	}
}

void rt_record_flush(struct vt_runtime *rt)
{
	put_out(rt, rt->record, rt->record_used);
	rt->record_used = 0;
}

/* Whoever steps goes on in the spare buffer meanwhile: a slow disk must not hold up a decision. */
void vt_runtime_write_recording(struct vt_runtime *rt)
{
	struct rt_record_spare piece;
	size_t len;

	if (rt->o.record_fd < 0)
		return;
	rt_lock(rt);
	piece = (struct rt_record_spare){rt->record, rt->record_cap};
	len = rt->record_used;
	rt->record = rt->record_spare.buf;
	rt->record_cap = rt->record_spare.cap;
	rt->record_used = 0;
	rt->record_out = true;
	rt_unlock(rt);
	rt_kick(rt);
	put_out(rt, piece.buf, len);
	rt_lock(rt);
	rt->record_out = false;
	rt->record_spare = piece;
	rt_unlock(rt);
	rt_kick(rt);
}

/* Room for @len more bytes; false: no memory, the recording has ended. */
static bool room(struct vt_runtime *rt, size_t len)
{
	const size_t need = rt->record_used + len;
	size_t cap = 2 * (need > PIECE ? need : PIECE);
	char *more;

	if (need <= rt->record_cap)
		return true;
	more = need < MOST ? aligned_alloc(64, (cap + 63) & ~(size_t)63) : NULL;
	if (!more) {
		RT_SET(rt->record_err, need < MOST ? -ENOMEM : -ENOBUFS);
		return false;
	}
	if (rt->record_out && rt->record_used) /* what came before is not in the file yet */
		memcpy(more, rt->record, rt->record_used);
	else
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
	if (rt->record_used > PIECE && !rt->record_out)
		rt_record_flush(rt);
}

int vt_runtime_recording(const struct vt_runtime *rt)
{
	return RT_GET(rt->record_err);
}
