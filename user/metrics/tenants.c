// SPDX-License-Identifier: Apache-2.0
#include "metrics/tenants.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static void add(struct vt_total *to, const struct vt_total *from)
{
	to->run_ns += from->run_ns;
	to->slices += from->slices;
	for (unsigned int i = 0; i < VT_SLOTS; i++) {
		to->count[i] += from->count[i];
		to->lost_ns[i] += from->lost_ns[i];
	}
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static void take_away(struct vt_total *from, const struct vt_total *what)
{
	from->run_ns = less(from->run_ns, what->run_ns);
	from->slices = less(from->slices, what->slices);
	for (unsigned int i = 0; i < VT_SLOTS; i++) {
		from->count[i] = less(from->count[i], what->count[i]);
		from->lost_ns[i] = less(from->lost_ns[i], what->lost_ns[i]);
	}
}

static struct vt_tenant_series *series_of(struct vt_tenant_table *t, uint64_t key)
{
	for (uint32_t i = 1; i < t->n; i++)
		if (t->series[i].key == key)
			return &t->series[i];
	return NULL;
}

/* Text that any format can hold as it is, cut at the front: of a path, the end tells them apart. */
static void put_name(char *to, size_t len, const char *from)
{
	size_t all = strlen(from), n = 0;

	if (all >= len) {
		from += all - (len - 4);
		while (((unsigned char)*from & 0xc0) == 0x80) /* inside a character */
			from++;
		memcpy(to, "...", n = 3);
	}
	vt_utf8_put(to + n, len - n, from);
}

static bool name_taken(const struct vt_tenant_table *t, const struct vt_tenant_series *s)
{
	for (uint32_t i = 1; i < t->n; i++)
		if (&t->series[i] != s && t->series[i].kind == s->kind &&
		    !strcmp(t->series[i].name, s->name))
			return true;
	return false;
}

/* Two series of one name would be refused by Prometheus, both of them: the later gets its number. */
static void make_unique(const struct vt_tenant_table *t, struct vt_tenant_series *s)
{
	char number[24];
	size_t at = strlen(s->name), len;

	if (!name_taken(t, s))
		return;
	len = (size_t)snprintf(number, sizeof(number), "~%llx",
			       (unsigned long long)(s->key & VT_KEY_ID_MASK));
	if (at > sizeof(s->name) - 1 - len)
		at = sizeof(s->name) - 1 - len;
	while (at && ((unsigned char)s->name[at] & 0xc0) == 0x80)
		at--;
	memcpy(s->name + at, number, len + 1);
}

static void name_series(const struct vt_tenant_table *t, struct vt_tenant_series *s,
			struct vt_monitor *m, struct vt_names *names)
{
	char name[1024];

	vt_tenant_name(m, names, s->key, name, sizeof(name));
	put_name(s->name, sizeof(s->name), name);
	make_unique(t, s);
}

static struct vt_tenant_series *add_series(struct vt_tenant_table *t, struct vt_monitor *m,
					   uint64_t key, struct vt_names *names)
{
	struct vt_tenant_series *s;

	if (t->n > VT_TENANT_LABELS)
		return NULL;
	s = &t->series[t->n++];
	*s = (struct vt_tenant_series){.key = key, .kind = vt_tenant_kind_name(key), .seen = true};
	name_series(t, s, m, names);
	return s;
}

/* Those that have ended make room; what they had counted is remembered. */
static void retire(struct vt_tenant_table *t)
{
	uint32_t n = 1;

	for (uint32_t i = 1; i < t->n; i++) {
		if (!t->series[i].seen) {
			struct vt_total rows = t->series[i].total;

			take_away(&rows, &t->series[i].held);
			add(&t->retired, &rows);
			continue;
		}
		if (n != i)
			t->series[n] = t->series[i];
		n++;
	}
	t->n = n;
}

static bool may_have_label(const struct vt_total *total)
{
	return vt_key_kind(total->tenant) >= VT_KIND_TENANT;
}

static bool counts(const struct vt_total *total)
{
	return total->tenant && vt_key_kind(total->tenant) != VT_KIND_IDLE;
}

static void keep_up(uint64_t *now, uint64_t *last, uint64_t *held)
{
	*now += *held;
	if (*now < *last) {
		*held += *last - *now;
		*now = *last;
	}
	*last = *now;
}

/*
 * A counter that falls looks like a restart and makes rates of nonsense, so what was shown once is
 * kept. "(other)" falls when one gets a label late and takes along what it had counted before; one
 * with a label when the older of its two rows is given away: its key had left that row while it
 * slept, and it came back.
 */
static void never_back(struct vt_tenant_series *s)
{
	struct vt_total *now = &s->now;

	keep_up(&now->run_ns, &s->total.run_ns, &s->held.run_ns);
	keep_up(&now->slices, &s->total.slices, &s->held.slices);
	for (unsigned int i = 0; i < VT_SLOTS; i++) {
		keep_up(&now->count[i], &s->total.count[i], &s->held.count[i]);
		keep_up(&now->lost_ns[i], &s->total.lost_ns[i], &s->held.lost_ns[i]);
	}
}

/*
 * Only what one look adds is scaled, as a window is: the whole scaled by its own share would fall
 * whenever the share grows. What was never on a counter meanwhile waits for the next look.
 */
static void scale(struct vt_tenant_series *s)
{
	const struct vt_total *t = &s->total;

	for (unsigned int i = 0; i < VT_SLOTS; i++) {
		uint64_t run = t->run_ns - s->from[i].run_ns,
			 lost = t->lost_ns[i] - s->from[i].lost_ns;
		double count = (double)(t->count[i] - s->from[i].count);

		if (lost && lost >= run)
			continue;
		s->count[i] += lost ? count * (double)run / (double)(run - lost) : count;
		s->from[i].run_ns = t->run_ns;
		s->from[i].lost_ns = t->lost_ns[i];
		s->from[i].count = t->count[i];
	}
}

double vt_tenant_count(const struct vt_tenant_series *s, unsigned int slot)
{
	return s->total.run_ns && !s->from[slot].run_ns ? NAN : s->count[slot];
}

static void mark_seen(struct vt_tenant_table *t, struct vt_monitor *m, const struct vt_snapshot *s,
		      struct vt_names *names)
{
	for (uint32_t i = 0; i < t->n; i++) {
		t->series[i].seen = false;
		t->series[i].now = (struct vt_total){0};
	}
	for (uint32_t r = 0; r < s->rows; r++) {
		struct vt_tenant_series *one =
			may_have_label(&s->total[r]) ? series_of(t, s->total[r].tenant) : NULL;

		if (!one)
			continue;
		one->seen = true;
		if (vt_name_may_change(m, one->key))
			name_series(t, one, m, names);
	}
}

/* One that ended and came back has two rows until the older is given away. */
static void sum_rows(struct vt_tenant_table *t, struct vt_monitor *m, const struct vt_snapshot *s,
		     struct vt_names *names)
{
	for (uint32_t r = 0; r < s->rows; r++) {
		const struct vt_total *total = &s->total[r];
		struct vt_tenant_series *one = NULL;

		if (!counts(total))
			continue;
		if (may_have_label(total))
			one = series_of(t, total->tenant);
		if (may_have_label(total) && !one)
			one = add_series(t, m, total->tenant, names);
		add(one ? &one->now : &t->series[0].now, total);
	}
}

void vt_tenant_table_update(struct vt_tenant_table *t, struct vt_monitor *m,
			    const struct vt_snapshot *s, struct vt_names *names)
{
	struct vt_tenant_series *other = &t->series[0];

	if (!t->n) {
		t->n = 1;
		*other = (struct vt_tenant_series){.name = "(other)", .kind = "other"};
	}
	mark_seen(t, m, s, names);
	retire(t);
	sum_rows(t, m, s, names);
	for (uint32_t i = 1; i < t->n; i++) {
		struct vt_tenant_series *one = &t->series[i];
		struct vt_total lost = one->held;

		never_back(one);
		scale(one);
		/* What its rows lost is in "(gone)" now, as of one that ended. */
		add(&t->retired, &one->held);
		take_away(&t->retired, &lost);
	}
	take_away(&other->now, &t->retired);
	never_back(other);
	scale(other);
}
