// SPDX-License-Identifier: Apache-2.0
#include "load/tally.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static int grow(struct vt_tally *t, size_t more)
{
	size_t cap = t->cap ? t->cap : 1024;
	float *ms;

	while (cap < t->n + more)
		cap *= 2;
	if (cap == t->cap)
		return 0;
	ms = realloc(t->ms, cap * sizeof(*ms));
	if (!ms)
		return -ENOMEM;
	t->ms = ms;
	t->cap = cap;
	return 0;
}

static double refused_bound_ms(unsigned int i)
{
	return 0.01 * exp2(i / 4.0);
}

static void add_refused(struct vt_tally *t, uint64_t ns)
{
	unsigned int i = 0;

	while (i + 1 < VT_TALLY_REFUSED && (double)ns / 1e6 >= refused_bound_ms(i))
		i++;
	t->refused_in[i]++;
	t->refused++;
}

static void add_computed(struct vt_tally *t, uint64_t latency_ns, uint64_t qos_ns)
{
	t->in_time += latency_ns <= qos_ns;
	t->late += latency_ns > qos_ns;
	t->sum_ms += (double)latency_ns / 1e6;
	t->ms[t->n++] = (float)((double)latency_ns / 1e6);
}

static void add_shot(struct vt_tally *t, const struct vt_shot *s, uint64_t qos_ns)
{
	uint32_t how = atomic_load_explicit(&s->how, memory_order_acquire);
	uint64_t late_ns = s->sent_mono_ns > s->at_mono_ns ? s->sent_mono_ns - s->at_mono_ns : 0;
	uint64_t latency_ns = s->end_mono_ns > s->at_mono_ns ? s->end_mono_ns - s->at_mono_ns : 0;

	t->offered++;
	t->late_sends += late_ns > VT_LATE_SEND_NS;
	if (late_ns > t->max_late_send_ns)
		t->max_late_send_ns = late_ns;
	if (how == VT_SHOT_REFUSED)
		add_refused(t, s->end_mono_ns > s->sent_mono_ns ? s->end_mono_ns - s->sent_mono_ns
								: 0);
	t->late += how == VT_SHOT_DROPPED;
	t->failed += how == VT_SHOT_FAILED || how == VT_SHOT_OPEN;
	if (how == VT_SHOT_DONE)
		add_computed(t, latency_ns, qos_ns);
}

int vt_tally_add(struct vt_tally *t, const struct vt_drive *d, const uint64_t *qos_ns,
		 uint32_t tenant)
{
	int rc = grow(t, d->n);

	if (rc)
		return rc;
	t->sorted = 0;
	for (size_t i = 0; i < d->n; i++)
		if (tenant == UINT32_MAX || d->shots[i].tenant == tenant)
			add_shot(t, &d->shots[i], qos_ns[d->shots[i].tenant]);
	return 0;
}

int vt_tally_one(struct vt_tally *t, uint64_t latency_ns, uint64_t qos_ns)
{
	int rc = grow(t, 1);

	if (rc)
		return rc;
	t->sorted = 0;
	t->offered++;
	add_computed(t, latency_ns, qos_ns);
	return 0;
}

void vt_tally_fini(struct vt_tally *t)
{
	free(t->ms);
	*t = (struct vt_tally){0};
}

double vt_tally_share(const struct vt_tally *t)
{
	return t->offered ? (double)t->in_time / (double)t->offered : 0;
}

double vt_tally_mean_ms(const struct vt_tally *t)
{
	return t->n ? t->sum_ms / (double)t->n : 0;
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

double vt_tally_ms(struct vt_tally *t, double p)
{
	size_t at;

	if (!t->n)
		return 0;
	if (!t->sorted)
		qsort(t->ms, t->n, sizeof(*t->ms), by_value);
	t->sorted = 1;
	at = (size_t)fmax(0, ceil(p * (double)t->n) - 1);
	return t->ms[at < t->n ? at : t->n - 1];
}

double vt_tally_refused_ms(const struct vt_tally *t, double p)
{
	uint64_t seen = 0;

	for (unsigned int i = 0; i < VT_TALLY_REFUSED && t->refused; i++) {
		seen += t->refused_in[i];
		if ((double)seen >= p * (double)t->refused)
			return refused_bound_ms(i);
	}
	return 0;
}
