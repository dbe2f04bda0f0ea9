// SPDX-License-Identifier: Apache-2.0
#include "server/admission.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"

/*
 * The stretch is found by stochastic approximation (Robbins and Monro 1951): a step up for one that was late, a smaller one
 * down for one in time, in the ratio that makes both even when VT_ADMISSION_KEPT of them are in time. Those late
 * come in bursts: a long step would make the next hundred pay for one. Below 1: two that run side by side may take less
 * than one after the other.
 */
#define STEP	      0.03 /* both together */
#define STRETCH_FIRST 1.0
#define STRETCH_MIN   0.6
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

static void put_in(struct vt_admission *a, struct vt_admitted *q)
{
	q->at = a->n;
	a->under_way[a->n++] = q;
}

static void take_out(struct vt_admission *a, struct vt_admitted *q)
{
	a->under_way[q->at] = a->under_way[--a->n];
	a->under_way[q->at]->at = q->at;
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

/* Of one that is not here nothing is begun. */
static uint64_t left(const struct vt_admitted *q, uint64_t now_ns)
{
	const uint32_t done = q->here && q->headway ? vt_headway_ppm(q->headway, now_ns) : 0;

	return q->work_ns - (uint64_t)((double)q->work_ns * done / VT_PPM);
}

/* What is left of the work that is due before @deadline_ns, or together with it. */
static uint64_t before(const struct vt_admission *a, uint64_t deadline_ns, uint64_t now_ns)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < a->n; i++)
		if (a->under_way[i]->deadline_ns <= deadline_ns)
			sum += left(a->under_way[i], now_ns);
	return sum;
}

/* Does it end in time, if @all_ns are left of it and what comes before, each taken @stretch times as long? */
static bool in_time(struct vt_admitted *q, uint64_t now_ns, uint64_t all_ns, uint64_t own_ns,
		    double stretch)
{
	const uint64_t longest = all_ns > own_ns ? all_ns : own_ns;

	q->needed_ns = (uint64_t)((double)longest * stretch);
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
		put_in(a, q);
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
		put_in(a, q);
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
	if (q->at != NOWHERE)
		take_out(a, q);
	pthread_mutex_unlock(&a->lock);
}

unsigned int vt_admission_retry_s(struct vt_admission *a, uint64_t now_ns)
{
	uint64_t s;

	pthread_mutex_lock(&a->lock);
	s = (before(a, UINT64_MAX, now_ns) + VT_NS_PER_S - 1) / VT_NS_PER_S;
	pthread_mutex_unlock(&a->lock);
	return s < 1 ? 1 : s > 3600 ? 3600 : (unsigned int)s;
}
