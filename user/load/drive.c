// SPDX-License-Identifier: Apache-2.0
#include "load/drive.h"

#include <math.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/order.h"
#include "load/arrivals.h"

#define SETTLE_NS (20 * VT_NS_PER_MS) /* from begin() to the first arrival */
#define DRAIN_NS  (60 * VT_NS_PER_S)
#define DRAIN_FOR 4 /* or so many times what was sent took: a queue without drops is behind */
#define TICK_NS	  (50 * VT_NS_PER_MS)

struct run {
	const struct vt_target *t;
	const struct vt_drive_cfg *cfg;
	struct vt_drive *d;
	size_t first_open;
	uint64_t next_tick_ns, tick_ns;
};

/** Sleep until @until or until the target's descriptor has something, whichever is first. */
static void wait_until(struct run *r, uint64_t until)
{
	uint64_t now = vt_now_mono_ns();
	struct timespec left;
	struct pollfd p;

	if (!r->t->poll) {
		if (until > now)
			vt_sleep_until_mono_ns(until);
		return;
	}
	p = (struct pollfd){r->t->fd(r->t->self), POLLIN, 0};
	left = until > now ? (struct timespec){(time_t)((until - now) / VT_NS_PER_S),
					       (long)((until - now) % VT_NS_PER_S)}
			   : (struct timespec){0, 0};
	if (ppoll(&p, 1, &left, NULL) > 0)
		r->t->poll(r->t->self);
}

/** Returns -EINTR when told to stop. */
static int wait_for(struct run *r, uint64_t until)
{
	/* Late for the next send: answers that have come must not look late because of that. */
	if (r->t->poll && vt_now_mono_ns() >= until)
		r->t->poll(r->t->self);
	for (;;) {
		uint64_t now = vt_now_mono_ns();

		if (r->cfg->stop && *r->cfg->stop)
			return -EINTR;
		if (now >= until)
			return 0;
		if (r->cfg->tick && now >= r->next_tick_ns) {
			r->next_tick_ns = now + r->tick_ns;
			r->cfg->tick(r->cfg->arg, now);
		}
		wait_until(r, r->next_tick_ns < until && r->cfg->tick ? r->next_tick_ns : until);
	}
}

static bool all_ended(struct run *r)
{
	struct vt_drive *d = r->d;

	while (r->first_open < d->n &&
	       atomic_load_explicit(&d->shots[r->first_open].how, memory_order_acquire))
		r->first_open++;
	return r->first_open == d->n;
}

static int send_all(struct run *r)
{
	for (size_t i = 0; i < r->d->n; i++) {
		struct vt_shot *s = &r->d->shots[i];
		int rc = wait_for(r, s->at_mono_ns);

		if (rc)
			return rc;
		s->sent_mono_ns = vt_now_mono_ns();
		r->t->send(r->t->self, s);
	}
	return wait_for(r, r->d->end_mono_ns);
}

static uint64_t patience_ns(const struct run *r, uint64_t now)
{
	uint64_t sent_for = now - r->d->start_mono_ns;

	if (r->cfg->drain_ns)
		return r->cfg->drain_ns;
	return DRAIN_FOR * sent_for > DRAIN_NS ? DRAIN_FOR * sent_for : DRAIN_NS;
}

/** Told to stop or not: open shots are still written to. */
static int drain(const struct run *asked, struct vt_err *e)
{
	struct vt_drive_cfg quiet = *asked->cfg;
	struct run r = *asked;
	uint64_t now = vt_now_mono_ns(), until = now + patience_ns(&r, now);
	size_t open = 0;

	quiet.stop = NULL;
	r.cfg = &quiet;
	while (!all_ended(&r) && now < until) {
		wait_for(&r, now + VT_NS_PER_MS);
		now = vt_now_mono_ns();
	}
	for (size_t i = r.first_open; i < r.d->n; i++)
		open += !atomic_load_explicit(&r.d->shots[i].how, memory_order_acquire);
	if (open)
		return vt_fail(e, -ETIMEDOUT, "%zu of %zu requests were not answered", open,
			       r.d->n);
	return 0;
}

static int schedule(struct vt_drive *d, const struct vt_drive_cfg *cfg)
{
	struct vt_poisson p;
	struct vt_arrival a;
	size_t k = 0;

	d->n = (size_t)llround(fmax(1, cfg->rate_hz * cfg->secs));
	d->shots = calloc(d->n, sizeof(*d->shots));
	if (!d->shots)
		return -ENOMEM;
	d->start_mono_ns = vt_now_mono_ns() + SETTLE_NS;
	vt_poisson_init(&p, cfg->rate_hz, d->n, cfg->seed, cfg->upto, cfg->n_tenants);
	while (vt_poisson_next(&p, &a)) {
		d->shots[k].at_mono_ns = d->start_mono_ns + a.at_ns;
		d->shots[k++].tenant = a.tenant;
	}
	d->end_mono_ns = d->shots[d->n - 1].at_mono_ns;
	return 0;
}

/** begin() may take a while: a new connection, a new policy. The clock starts after it. */
static void shift(struct vt_drive *d)
{
	uint64_t by = vt_now_mono_ns() + SETTLE_NS - d->start_mono_ns;

	d->start_mono_ns += by;
	d->end_mono_ns += by;
	for (size_t i = 0; i < d->n; i++)
		d->shots[i].at_mono_ns += by;
}

int vt_drive_run(const struct vt_target *t, const struct vt_drive_cfg *cfg, struct vt_drive *ret,
		 struct vt_err *e)
{
	struct run r = {.t = t, .cfg = cfg, .d = ret, .tick_ns = cfg->tick_ns ?: TICK_NS};
	int rc, drained;

	*ret = (struct vt_drive){0};
	rc = schedule(ret, cfg);
	if (rc)
		return vt_fail(e, rc, "no memory for %.0f requests", cfg->rate_hz * cfg->secs);
	rc = t->begin ? t->begin(t->self, ret->shots, ret->n, e) : 0;
	if (rc)
		return rc;
	shift(ret);
	rc = send_all(&r);
	/* What was never sent has no answer to wait for. */
	for (size_t i = 0; i < ret->n && rc; i++)
		if (!ret->shots[i].sent_mono_ns)
			vt_shot_end(&ret->shots[i], VT_SHOT_FAILED, vt_now_mono_ns());
	drained = drain(&r, e);
	if (!rc && cfg->stop && *cfg->stop)
		rc = -EINTR;
	if (t->end && !drained)
		t->end(t->self);
	return drained ? drained : rc;
}

/** One shot, now, and wait for its answer. Returns 0 or -ETIMEDOUT. */
static int shoot(const struct vt_target *t, struct vt_shot *s, struct vt_err *e)
{
	struct vt_drive d = {.shots = s, .n = 1};
	struct run r = {.t = t, .cfg = &(struct vt_drive_cfg){0}, .d = &d};

	s->at_mono_ns = s->sent_mono_ns = d.start_mono_ns = vt_now_mono_ns();
	t->send(t->self, s);
	/* A sleep of a millisecond would not change the time that the answer is stamped with. */
	return drain(&r, e);
}

int vt_drive_alone(const struct vt_target *t, uint32_t tenant, unsigned int runs, uint64_t *ns,
		   struct vt_err *e)
{
	int rc = 0;

	for (unsigned int i = 0; i < runs && !rc; i++) {
		struct vt_shot s = {.tenant = tenant};

		rc = t->begin ? t->begin(t->self, &s, 1, e) : 0;
		if (!rc)
			rc = shoot(t, &s, e);
		if (!rc && t->end)
			t->end(t->self);
		if (!rc && s.how != VT_SHOT_DONE)
			rc = vt_fail(e, -EIO, "a request with nobody else there was %s",
				     s.how == VT_SHOT_REFUSED ? "refused" : "not answered well");
		ns[i] = s.end_mono_ns - s.at_mono_ns;
	}
	if (!rc)
		qsort(ns, runs, sizeof(*ns), vt_order_u64);
	return rc;
}

bool vt_drive_prepare(void)
{
	struct sched_param p = {.sched_priority = 1};

	prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
	return sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &p) == 0;
}
