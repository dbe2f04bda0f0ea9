// SPDX-License-Identifier: Apache-2.0
#include "load/follow.h"

#include <errno.h>
#include <stdlib.h>

#include "base/order.h"

/* The end of the phase that begins at @i. */
static size_t phase_end(const struct vt_follow_point *p, size_t n, size_t i)
{
	size_t k = i + 1;

	while (k < n && p[k].on == p[i].on && p[k].at_s - p[k - 1].at_s < VT_FOLLOW_GAP_S)
		k++;
	return k;
}

static int by_float(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return (x > y) - (x < y);
}

/* Median of the later halves of phases that are @on. */
static int level(const struct vt_follow_point *p, size_t n, bool on, float *room, double *ret)
{
	size_t k = 0;

	for (size_t i = 0, end; i < n; i = end) {
		end = phase_end(p, n, i);
		for (size_t j = i + (end - i) / 2; j < end && p[i].on == on; j++)
			room[k++] = p[j].value;
	}
	if (!k)
		return -ENODATA;
	qsort(room, k, sizeof(*room), by_float);
	*ret = room[k / 2];
	return 0;
}

static void one_switch(const struct vt_follow_point *p, size_t begin, size_t end, double half,
		       bool up, struct vt_follow *f, double *delay)
{
	size_t i = begin;

	while (i < end && (p[begin].on == up ? p[i].value < half : p[i].value > half))
		i++;
	f->never += i == end;
	delay[f->switches++] = p[i == end ? end - 1 : i].at_s - p[begin].at_s;
}

int vt_follow(const struct vt_follow_point *p, size_t n, struct vt_follow *ret)
{
	double delay[VT_FOLLOW_SWITCHES];
	float *room = malloc((n + 1) * sizeof(*room));
	struct vt_follow f = {0};
	int err = room ? 0 : -ENOMEM;

	if (!err)
		err = level(p, n, false, room, &f.off);
	if (!err)
		err = level(p, n, true, room, &f.on);
	free(room);
	if (err)
		return err;
	for (size_t i = phase_end(p, n, 0), end; i < n && f.switches < VT_FOLLOW_SWITCHES;
	     i = end) {
		end = phase_end(p, n, i);
		if (p[i].at_s - p[i - 1].at_s < VT_FOLLOW_GAP_S) /* else a course begins */
			one_switch(p, i, end, (f.off + f.on) / 2, f.on > f.off, &f, delay);
	}
	if (!f.switches)
		return -ENODATA;
	qsort(delay, f.switches, sizeof(*delay), vt_order_double);
	f.median_s = delay[f.switches / 2];
	f.worst_s = delay[f.switches - 1];
	*ret = f;
	return 0;
}
