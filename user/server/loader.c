// SPDX-License-Identifier: Apache-2.0
#include "server/loader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

struct job {
	void (*fn)(void *arg);
	void *arg;
	struct job *next;
};

struct vt_loader {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t news;
	struct job *first, **last;
	bool running, stop, joined;
	uint64_t look_ns; /* when idle is called next */
	uint64_t (*idle)(void *arg);
	void *arg;
};

static void run_job(struct vt_loader *l)
{
	struct job *j = l->first;

	l->first = j->next;
	if (!l->first)
		l->last = &l->first;
	l->running = true;
	pthread_mutex_unlock(&l->lock);
	j->fn(j->arg);
	free(j);
	pthread_mutex_lock(&l->lock);
	l->running = false;
	if (l->look_ns == UINT64_MAX)
		l->look_ns = 0;
}

static void run_idle(struct vt_loader *l)
{
	uint64_t in_ns;

	pthread_mutex_unlock(&l->lock);
	in_ns = l->idle(l->arg);
	pthread_mutex_lock(&l->lock);
	l->look_ns = in_ns == UINT64_MAX ? in_ns : vt_now_mono_ns() + in_ns;
}

/* For a job or the end, until the next look is due. */
static void wait_for_news(struct vt_loader *l)
{
	struct timespec until = {.tv_sec = (time_t)(l->look_ns / VT_NS_PER_S),
				 .tv_nsec = (long)(l->look_ns % VT_NS_PER_S)};

	if (l->idle && l->look_ns != UINT64_MAX)
		pthread_cond_timedwait(&l->news, &l->lock, &until);
	else
		pthread_cond_wait(&l->news, &l->lock);
}

static void *work(void *arg)
{
	struct vt_loader *l = arg;

	pthread_setname_np(pthread_self(), "vt-loader");
	pthread_mutex_lock(&l->lock);
	for (;;) {
		if (l->first)
			run_job(l);
		else if (l->stop)
			break;
		else if (l->idle && vt_now_mono_ns() >= l->look_ns)
			run_idle(l);
		else
			wait_for_news(l);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

int vt_loader_start(struct vt_loader **ret, uint64_t (*idle)(void *arg), void *arg,
		    struct vt_err *e)
{
	struct vt_loader *l = calloc(1, sizeof(*l));
	pthread_condattr_t mono;
	int err;

	if (!l)
		return vt_fail(e, -ENOMEM, "no memory");
	l->last = &l->first;
	l->idle = idle;
	l->arg = arg;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&l->news, &mono);
	pthread_condattr_destroy(&mono);
	err = pthread_create(&l->thread, NULL, work, l);
	if (err) {
		free(l);
		return vt_fail(e, -err, "cannot start a thread: %s", strerror(err));
	}
	*ret = l;
	return 0;
}

bool vt_loader_post(struct vt_loader *l, void (*fn)(void *arg), void *arg)
{
	struct job *j = malloc(sizeof(*j));
	bool ok;

	if (!j)
		return false;
	*j = (struct job){fn, arg, NULL};
	pthread_mutex_lock(&l->lock);
	ok = !l->stop;
	if (ok) {
		*l->last = j;
		l->last = &j->next;
		pthread_cond_signal(&l->news);
	}
	pthread_mutex_unlock(&l->lock);
	if (!ok)
		free(j);
	return ok;
}

bool vt_loader_busy(struct vt_loader *l)
{
	bool busy;

	pthread_mutex_lock(&l->lock);
	busy = l->running || l->first;
	pthread_mutex_unlock(&l->lock);
	return busy;
}

void vt_loader_stop(struct vt_loader *l)
{
	if (!l || l->joined)
		return;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->news);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	l->joined = true;
}

void vt_loader_free(struct vt_loader *l)
{
	if (!l)
		return;
	vt_loader_stop(l);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->news);
	free(l);
}
