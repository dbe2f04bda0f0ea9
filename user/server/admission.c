// SPDX-License-Identifier: Apache-2.0
#include "server/admission.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

/*
 * The stretch is found by stochastic approximation (Robbins and Monro 1951): a step up for one that was late, a smaller one
 * down for one in time, in the ratio that makes both even when VT_ADMISSION_KEPT of them are in time.
 */
#define STEP	      0.1 /* both together */
#define STRETCH_FIRST 1.2
#define STRETCH_MIN   1.0
#define STRETCH_MAX   3.0

#define NOWHERE UINT32_MAX /* as vt_admitted.at: its place was given up */

int vt_admission_init(struct vt_admission *a, uint32_t room)
{
	*a = (struct vt_admission){.room = room, .stretch = STRETCH_FIRST};
	a->under_way = calloc(room, sizeof(struct vt_admitted *));
	if (!a->under_way)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	return 0;
}

void vt_admission_fini(struct vt_admission *a)
{
	if (!a->under_way)
		return;
	pthread_mutex_destroy(&a->lock);
	free(a->under_way);
	a->under_way = NULL;
}

static void put_in(struct vt_admission *a, struct vt_admitted *q, uint64_t now_ns)
{
	if (!a->n)
		a->since_ns = now_ns;
	q->at = a->n;
	a->under_way[a->n++] = q;
	a->sum_ns += q->work_ns;
}

static void take_out(struct vt_admission *a, struct vt_admitted *q)
{
	a->under_way[q->at] = a->under_way[--a->n];
	a->under_way[q->at]->at = q->at;
	a->sum_ns -= q->work_ns;
	q->at = NOWHERE;
}

/* Those that have not come by their deadline stand in nobody's way. */
static void give_up_places(struct vt_admission *a, uint64_t now_ns)
{
	for (uint32_t i = 0; i < a->n;) {
		struct vt_admitted *q = a->under_way[i];

		if (!q->here && q->deadline_ns <= now_ns)
			take_out(a, q); /* the last is here now */
		else
			i++;
	}
}

/* What is left of the work that is due before @deadline_ns, or together with it. */
static uint64_t before(const struct vt_admission *a, uint64_t deadline_ns, uint64_t now_ns)
{
	const struct vt_admitted *first = NULL;
	uint64_t sum = 0, at_work = now_ns > a->since_ns ? now_ns - a->since_ns : 0;

	for (uint32_t i = 0; i < a->n; i++) {
		const struct vt_admitted *q = a->under_way[i];

		if (q->deadline_ns > deadline_ns)
			continue;
		sum += q->work_ns;
		if (q->here && (!first || q->deadline_ns < first->deadline_ns))
			first = q;
	}
	if (first)
		sum -= at_work < first->work_ns ? at_work : first->work_ns;
	return sum;
}

/* Does it end in time, if @all_ns are left of it and what comes before, each taken @stretch times as long? */
static bool in_time(const struct vt_admitted *q, uint64_t now_ns, uint64_t all_ns, uint64_t own_ns,
		    double stretch)
{
	const uint64_t longest = all_ns > own_ns ? all_ns : own_ns;

	return (double)now_ns + (double)longest * stretch <= (double)q->deadline_ns;
}

/* On a free machine nothing is known better than by trying; the policy may still shed. */
static bool may_try(const struct vt_admission *a, bool any)
{
	return a->n < a->room && (any || !a->n);
}

bool vt_admission_enter(struct vt_admission *a, struct vt_admitted *q, uint64_t now_ns,
			uint64_t own_ns, bool any)
{
	bool ok;

	pthread_mutex_lock(&a->lock);
	give_up_places(a, now_ns);
	q->fits = in_time(q, now_ns, before(a, q->deadline_ns, now_ns) + q->work_ns, own_ns,
			  a->stretch);
	ok = may_try(a, any) || (a->n < a->room && q->fits);
	if (ok)
		put_in(a, q, now_ns);
	pthread_mutex_unlock(&a->lock);
	return ok;
}

/* No stretch here: its place was kept, and its body has cost what it costs. */
bool vt_admission_arrive(struct vt_admission *a, struct vt_admitted *q, uint64_t now_ns,
			 uint64_t own_ns, bool any)
{
	bool ok;

	pthread_mutex_lock(&a->lock);
	give_up_places(a, now_ns);
	q->here = true;
	ok = q->at != NOWHERE && in_time(q, now_ns, before(a, q->deadline_ns, now_ns), own_ns, 1);
	if (q->at != NOWHERE)
		take_out(a, q);
	ok = ok || may_try(a, any);
	if (ok)
		put_in(a, q, now_ns);
	pthread_mutex_unlock(&a->lock);
	return ok;
}

/* A late one that was only tried says nothing: whoever asks for the impossible must not shut others out. */
static void learn(struct vt_admission *a, const struct vt_admitted *q, bool in_time)
{
	if (in_time)
		a->stretch *= 1 - STEP * (1 - VT_ADMISSION_KEPT);
	else if (q->fits)
		a->stretch *= 1 + STEP * VT_ADMISSION_KEPT;
	if (a->stretch < STRETCH_MIN)
		a->stretch = STRETCH_MIN;
	if (a->stretch > STRETCH_MAX)
		a->stretch = STRETCH_MAX;
}

void vt_admission_leave(struct vt_admission *a, struct vt_admitted *q, uint64_t now_ns,
			enum vt_admission_end how)
{
	pthread_mutex_lock(&a->lock);
	if (how != VT_ADMISSION_OTHER)
		learn(a, q, how == VT_ADMISSION_ANSWERED && now_ns <= q->deadline_ns);
	if (q->here)
		a->since_ns = now_ns;
	if (q->at != NOWHERE)
		take_out(a, q);
	pthread_mutex_unlock(&a->lock);
}

unsigned int vt_admission_retry_s(struct vt_admission *a)
{
	uint64_t s;

	pthread_mutex_lock(&a->lock);
	s = (a->sum_ns + VT_NS_PER_S - 1) / VT_NS_PER_S;
	pthread_mutex_unlock(&a->lock);
	return s < 1 ? 1 : s > 3600 ? 3600 : (unsigned int)s;
}
