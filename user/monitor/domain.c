// SPDX-License-Identifier: Apache-2.0
#include "monitor/domain.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "monitor/impl.h"

#define NO_COUNT (~0ull) /* of vt_cpu.prev */

static uint64_t load(const __u64 *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

int vt_monitor_look(struct vt_monitor *m, uint64_t max_age_ns, struct vt_look *s)
{
	struct vt_cpu_count *cpu;

	if (s->cpus != m->meta.cpus) {
		cpu = realloc(s->cpu, sizeof(*cpu) * m->meta.cpus);
		if (!cpu)
			return -ENOMEM;
		memset(cpu, 0, sizeof(*cpu) * m->meta.cpus);
		s->cpu = cpu;
		s->cpus = m->meta.cpus;
	}
	vt_monitor_cut_old(m, max_age_ns);
	s->mono_ns = vt_now_mono_ns();
	for (unsigned int c = 0; c < m->meta.cpus; c++) {
		const struct vt_cpu *from = &m->cpus[c];
		struct vt_cpu_count *to = &s->cpu[c];

		to->mono_ns = load(&from->last_ns);
		to->breaks = load(&from->first_dropped) + load(&from->read_errors) +
			     load(&from->backwards);
		for (unsigned int i = 0; i < m->meta.slots; i++) {
			to->count[i] = load(&from->prev[i]);
			to->lost_ns[i] = load(&from->prev_lost[i]);
		}
	}
	return 0;
}

void vt_look_fini(struct vt_look *s)
{
	free(s->cpu);
	*s = (struct vt_look){0};
}

/* ---- counts ------------------------------------------------------------------------------ */

/* What slot @i of one CPU counted. False: not known. */
static bool delta(const struct vt_cpu_count *a, const struct vt_cpu_count *b, int i, uint64_t *sum)
{
	uint64_t n = b->count[i] - a->count[i], lost = b->lost_ns[i] - a->lost_ns[i];
	uint64_t ns = b->mono_ns - a->mono_ns;

	if (b->count[i] == NO_COUNT || b->count[i] < a->count[i] || b->lost_ns[i] < a->lost_ns[i])
		return false;
	if (lost && lost >= ns)
		return false;
	*sum += lost ? (uint64_t)((double)n * (double)ns / (double)(ns - lost)) : n;
	return true;
}

static bool add_cpu(const struct vt_cpu_count *a, const struct vt_cpu_count *b,
		    const struct vt_slot_map *slots, struct vt_domain_counts *d)
{
	int ins = slots->slot[VT_ROLE_INSTRUCTIONS];

	/* Offline, or in error and idle: nothing ran. */
	if (!b->mono_ns || (b->mono_ns == a->mono_ns && b->count[0] == NO_COUNT))
		return true;
	if (!a->mono_ns || b->breaks != a->breaks)
		return false;
	if (slots->hw[VT_ROLE_INSTRUCTIONS] && !delta(a, b, ins, &d->instructions))
		return false;
	return delta(a, b, slots->slot[VT_ROLE_LLC_REFS], &d->llc_refs) &&
	       delta(a, b, slots->slot[VT_ROLE_LLC_MISSES], &d->llc_misses);
}

void vt_domain_counts(const struct vt_look *a, const struct vt_look *b,
		      const struct vt_slot_map *slots, const uint8_t *domain_of, uint32_t n_cpus,
		      uint32_t n_domains, struct vt_domain_counts *ret)
{
	bool known[VT_MAX_DOMAINS] = {0};

	memset(ret, 0, sizeof(*ret) * n_domains);
	if (!slots->hw[VT_ROLE_LLC_REFS] || !slots->hw[VT_ROLE_LLC_MISSES] || !a->mono_ns ||
	    a->cpus != b->cpus || b->mono_ns <= a->mono_ns)
		return;
	memset(known, 1, sizeof(known));
	for (uint32_t c = 0; c < b->cpus && c < n_cpus; c++) {
		uint8_t d = domain_of[c];

		if (d < n_domains && !add_cpu(&a->cpu[c], &b->cpu[c], slots, &ret[d]))
			known[d] = false;
	}
	for (uint32_t d = 0; d < n_domains; d++) {
		if (known[d])
			ret[d].window_ns = b->mono_ns - a->mono_ns;
		else
			ret[d] = (struct vt_domain_counts){0};
	}
}
