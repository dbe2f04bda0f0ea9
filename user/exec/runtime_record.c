// SPDX-License-Identifier: Apache-2.0
/*
 * runtime_record.c - a trace of every step, as loop/trace.h lays it out, to a file descriptor.
 *
 * Whenever models or the policy change, the loop begins anew and so does the trace: a file may hold
 * several, one after the other. It gathers in memory; a thread of its own writes it, piece by piece,
 * since a file may take its time or nothing any more, and that is to hold up nobody: who steps goes on
 * in the buffer of the last piece, and who ends waits so long and no longer. An error ends the
 * recording and is kept for vt_runtime_recording().
 */
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "exec/runtime_int.h"
#include "loop/trace.h"

#define PIECE	((size_t)1 << 20)
#define MOST	((size_t)64 << 20)   /* in memory while the file takes nothing */
#define POLL_NS (200 * 1000ull)	     /* for who waits until it is written */
#define END_NS	(10 * VT_NS_PER_S)   /* for the last of it, then it is given up */
#define LOST_NS (100 * VT_NS_PER_MS) /* for the file to be closed after an error */

/* Of those two who are through with a recorder the later frees it. */
enum { IN_USE, ONE_IS_THROUGH };

struct rt_recorder {
	sem_t work; /* a piece, or the end */
	int fd;
	/* A piece: of who holds the lock while pieces == written, else of the thread. */
	char *buf;
	size_t used, cap;
	uint64_t pieces; /* handed over; lock */
	_Atomic uint64_t written;
	_Atomic uint32_t state;
	_Atomic int err;
};

/* ---- the thread --------------------------------------------------------------------------- */

static void fail(struct rt_recorder *r, int err)
{
	int none = 0;

	atomic_compare_exchange_strong(&r->err, &none, err);
}

static void put_out(struct rt_recorder *r, const char *from, size_t len)
{
	size_t at = 0;

	while (at < len && !RT_GET(r->err)) {
		ssize_t n = write(r->fd, from + at, len - at);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno != EINTR)
			fail(r, -errno);
	}
}

static void through(struct rt_recorder *r)
{
	if (atomic_exchange(&r->state, ONE_IS_THROUGH) == IN_USE)
		return;
	sem_destroy(&r->work);
	free(r->buf);
	free(r);
}

/* Who is woken and finds no piece is at the end. */
static void *record(void *arg)
{
	struct rt_recorder *r = arg;
	uint64_t n = 0;

	pthread_setname_np(pthread_self(), "vt-record");
	for (;;) {
		while (sem_wait(&r->work))
			;
		if (!r->used)
			break;
		put_out(r, r->buf, r->used);
		r->used = 0;
		RT_SET(r->written, ++n);
	}
	put_out(r, vt_trace_end, sizeof(vt_trace_end));
	if (close(r->fd))
		fail(r, -errno);
	through(r);
	return NULL;
}

/* Detached: it may never come back from its write(). */
static int start_thread(struct rt_recorder *r)
{
	pthread_attr_t attr;
	sigset_t all, was;
	pthread_t t;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &was);
	err = pthread_create(&t, &attr, record, r);
	pthread_sigmask(SIG_SETMASK, &was, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

int rt_record_open(struct vt_runtime *rt, struct vt_err *e)
{
	struct rt_recorder *r;
	int err;

	if (rt->o.record_fd < 0)
		return 0;
	r = calloc(1, sizeof(*r));
	if (!r)
		return vt_fail(e, -ENOMEM, "no memory for the recording");
	r->fd = rt->o.record_fd;
	sem_init(&r->work, 0, 0);
	err = start_thread(r);
	if (err) {
		sem_destroy(&r->work);
		free(r);
		return vt_fail(e, err, "cannot start a thread: %s", strerror(-err));
	}
	rt->recorder = r;
	return 0;
}

/* ---- what it is given --------------------------------------------------------------------- */

static bool is_written(struct rt_recorder *r, uint64_t pieces)
{
	return RT_GET(r->written) >= pieces;
}

/* Nothing while the last piece is being written. Lock. */
static void hand_over(struct vt_runtime *rt)
{
	struct rt_recorder *r = rt->recorder;
	char *buf = r->buf;
	size_t cap = r->cap;

	if (!rt->record_used || !is_written(r, r->pieces))
		return;
	r->buf = rt->record;
	r->cap = rt->record_cap;
	r->used = rt->record_used;
	r->pieces++;
	rt->record = buf;
	rt->record_cap = cap;
	rt->record_used = 0;
	sem_post(&r->work);
}

int vt_runtime_write_recording(struct vt_runtime *rt, uint64_t wait_ns)
{
	const uint64_t began = vt_now_mono_ns();
	struct rt_recorder *r = rt->recorder;
	uint64_t wanted = 0;

	if (!r)
		return 0;
	for (;;) {
		rt_lock(rt);
		hand_over(rt);
		if (!wanted)
			wanted = r->pieces + (rt->record_used > 0);
		rt_unlock(rt);
		rt_kick(rt);
		if (is_written(r, wanted))
			return RT_GET(r->err);
		if (vt_now_mono_ns() - began >= wait_ns)
			return -ETIMEDOUT;
		vt_sleep_until_mono_ns(vt_now_mono_ns() + POLL_NS);
	}
}

int rt_record_close(struct vt_runtime *rt)
{
	struct rt_recorder *r = rt->recorder;
	uint64_t until;
	int err;

	if (!r) {
		if (rt->o.record_fd >= 0)
			close(rt->o.record_fd);
		return 0;
	}
	until = vt_now_mono_ns() + (RT_GET(r->err) ? LOST_NS : END_NS);
	while (!is_written(r, r->pieces) && vt_now_mono_ns() < until)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + POLL_NS);
	if (!is_written(r, r->pieces))
		fail(r, -ETIMEDOUT); /* what was gathered since is missing, whatever comes now */
	hand_over(rt);
	sem_post(&r->work);
	while (RT_GET(r->state) == IN_USE && vt_now_mono_ns() < until)
		vt_sleep_until_mono_ns(vt_now_mono_ns() + POLL_NS);
	if (RT_GET(r->state) == IN_USE)
		fail(r, -ETIMEDOUT);
	err = RT_GET(r->err);
	rt->recorder = NULL;
	through(r);
	return err;
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
		fail(rt->recorder, need < MOST ? -ENOMEM : -ENOBUFS);
		return false;
	}
	if (rt->record_used)
		memcpy(more, rt->record, rt->record_used);
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

	if (rt->record_head && !RT_GET(rt->recorder->err))
		put_head(rt);
	if (RT_GET(rt->recorder->err))
		return;
	len = vt_trace_put_step(NULL, 0, s, d);
	if (!room(rt, len))
		return;
	rt->record_used += vt_trace_put_step(rt->record + rt->record_used, len, s, d);
	if (rt->record_used > PIECE)
		hand_over(rt);
}

int vt_runtime_recording(const struct vt_runtime *rt)
{
	return rt->recorder ? RT_GET(rt->recorder->err) : 0;
}
