// SPDX-License-Identifier: Apache-2.0
#include "metrics/tenants.h"

#include <stdio.h>
#include <string.h>

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

static struct vt_tenant_series *add_series(struct vt_tenant_table *t, struct vt_monitor *m,
					   uint64_t key, struct vt_names *names)
{
	struct vt_tenant_series *s;

	if (t->n > VT_TENANT_LABELS)
		return NULL;
	s = &t->series[t->n++];
	*s = (struct vt_tenant_series){.key = key, .kind = vt_tenant_kind_name(key)};
	vt_tenant_name(m, names, key, s->name, sizeof(s->name));
	return s;
}

/* Those that have ended make room; what they had counted is remembered. */
static void retire(struct vt_tenant_table *t)
{
	uint32_t n = 1;

	for (uint32_t i = 1; i < t->n; i++) {
		if (!t->series[i].seen) {
			add(&t->retired, &t->series[i].total);
			continue;
		}
		if (n != i)
			t->series[n] = t->series[i];
		n++;
	}
	t->n = n;
}

void vt_tenant_table_update(struct vt_tenant_table *t, struct vt_monitor *m,
			    const struct vt_snapshot *s, struct vt_names *names)
{
	struct vt_tenant_series *other = &t->series[0];

	if (!t->n)
		t->n = 1;
	*other = (struct vt_tenant_series){.name = "(other)", .kind = "other"};
	for (uint32_t i = 1; i < t->n; i++)
		t->series[i].seen = false;
	for (uint32_t r = 0; r < s->rows; r++) {
		const struct vt_total *total = &s->total[r];
		struct vt_tenant_series *one = NULL;
		enum vt_tenant_kind kind = vt_key_kind(total->tenant);

		if (!total->tenant || kind == VT_KIND_IDLE)
			continue;
		if (kind >= VT_KIND_TENANT)
			one = series_of(t, total->tenant);
		if (!one && kind >= VT_KIND_TENANT)
			one = add_series(t, m, total->tenant, names);
		if (one) {
			one->total = *total;
			one->seen = true;
		} else {
			add(&other->total, total);
		}
	}
	retire(t);
	take_away(&other->total, &t->retired);
}
