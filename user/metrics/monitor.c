// SPDX-License-Identifier: Apache-2.0
/* monitor.c - the families that say what was counted, for whom, and how well. */
#include <math.h>
#include <stddef.h>

#include "metrics/metrics.h"
#include "monitor/window.h"

#define TENANT_LABELS(t)                                                                           \
	{                                                                                          \
		{"tenant", (t)->name},                                                             \
		{                                                                                  \
			"kind", (t)->kind                                                          \
		}                                                                                  \
	}

/* NULL after the last one. The first is the sum of those without a label, 0 if there are none. */
static const struct vt_tenant_series *series_at(const struct vt_metrics *m, uint32_t i)
{
	if (!m->monitor || !m->tenants || i >= m->tenants->n)
		return NULL;
	return &m->tenants->series[i];
}

static void tenant_cpu(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	const struct vt_tenant_series *t;

	for (uint32_t i = 0; (t = series_at(m, i)); i++) {
		const struct vt_label l[] = TENANT_LABELS(t);

		vt_expo_sample(x, f, "", l, 2, (double)t->total.run_ns * 1e-9);
	}
}

/* Scaled where events took turns: of how much of the time, monitor_uncounted_seconds says. */
static void tenant_role(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	const struct vt_tenant_series *t;
	int slot = m->monitor ? vt_monitor_slot_of(m->monitor, (enum vt_role)f->off) : -1;

	if (slot < 0 || !vt_monitor_slot_is_hw(m->monitor, (unsigned int)slot))
		return;
	for (uint32_t i = 0; (t = series_at(m, i)); i++) {
		const struct vt_label l[] = TENANT_LABELS(t);
		double v = vt_tenant_count(t, (unsigned int)slot);

		vt_expo_sample(x, f, "", l, 2, f->scale != 0 ? v * (double)m->line_bytes : v);
	}
}

static void stand_ins(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	const struct vt_tenant_series *t;

	for (unsigned int s = 0; m->monitor && s < vt_monitor_meta(m->monitor)->slots; s++) {
		const struct vt_slot *slot = vt_monitor_slot(m->monitor, s);

		if (vt_monitor_slot_is_hw(m->monitor, s))
			continue;
		for (uint32_t i = 0; (t = series_at(m, i)); i++) {
			const struct vt_label l[] = {{"tenant", t->name},
						     {"kind", t->kind},
						     {"event", slot->event},
						     {"instead_of", slot->role}};

			vt_expo_sample(x, f, "", l, 4, vt_tenant_count(t, s));
		}
	}
}

static void counter_info(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	for (unsigned int s = 0; m->monitor && s < vt_monitor_meta(m->monitor)->slots; s++) {
		const struct vt_slot *slot = vt_monitor_slot(m->monitor, s);
		const struct vt_label l[] = {{"role", slot->role},
					     {"event", slot->event},
					     {"class", slot->cls},
					     {"quality", slot->quality}};

		vt_expo_sample(x, f, "", l, 4, 1);
	}
}

static void counter_absent(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	for (int r = 0; r < VT_ROLE_COUNT; r++) {
		const struct vt_label l[] = {
			{"role", vt_role_name((enum vt_role)r)},
			{"reason", m->monitor ? vt_monitor_absent_brief(m->monitor, (enum vt_role)r)
					      : m->monitor_absent},
		};

		if (l[1].value && *l[1].value)
			vt_expo_sample(x, f, "", l, 2, 1);
	}
}

static void losses(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	static const struct {
		const char *name;
		size_t off;
	} kinds[] = {{"chain_miss", offsetof(struct vt_losses, chain_miss)},
		     {"read_errors", offsetof(struct vt_losses, read_errors)},
		     {"first_dropped", offsetof(struct vt_losses, first_dropped)},
		     {"backwards", offsetof(struct vt_losses, backwards)},
		     {"rows_full", offsetof(struct vt_losses, rows_full)},
		     {"ring_full", offsetof(struct vt_losses, ring_full)},
		     {"refused_runs", offsetof(struct vt_losses, recursion)}};

	for (unsigned int k = 0; m->losses && k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		const struct vt_label l[] = {{"kind", kinds[k].name}};
		const char *at = (const char *)m->losses + kinds[k].off;

		vt_expo_sample(x, f, "", l, 1, (double)*(const uint64_t *)at);
	}
}

static void switches(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	if (m->losses)
		vt_expo_sample(x, f, "", NULL, 0, (double)m->losses->switches);
}

static void lost_time(struct vt_expo *x, const struct vt_metrics *m, const struct vt_family *f)
{
	const struct vt_tenant_series *t;

	for (unsigned int s = 0; m->monitor && s < vt_monitor_meta(m->monitor)->slots; s++) {
		const struct vt_label l[] = {{"role", vt_monitor_slot(m->monitor, s)->role}};
		double sum = 0;

		for (uint32_t i = 0; (t = series_at(m, i)); i++)
			sum += (double)t->total.lost_ns[s] * 1e-9;
		vt_expo_sample(x, f, "", l, 1, sum);
	}
}

const struct vt_family vt_monitor_families[] = {
	{"tenant_cpu_seconds", VT_COUNTER, "seconds", "tenant, kind",
	 "CPU time. kind: tenant (a model), cgroup, process, idle, gone, other.", tenant_cpu, 0, 0},
	{"tenant_cycles", VT_COUNTER, "", "tenant, kind",
	 "Core cycles; only if hardware counts them.", tenant_role, VT_ROLE_CYCLES, 0},
	{"tenant_instructions", VT_COUNTER, "", "tenant, kind",
	 "Instructions retired; only if hardware counts them.", tenant_role, VT_ROLE_INSTRUCTIONS,
	 0},
	{"tenant_llc_references", VT_COUNTER, "", "tenant, kind",
	 "Last-level cache look-ups; only if hardware counts them.", tenant_role, VT_ROLE_LLC_REFS,
	 0},
	{"tenant_llc_misses", VT_COUNTER, "", "tenant, kind",
	 "Last-level cache misses; only if hardware counts them.", tenant_role, VT_ROLE_LLC_MISSES,
	 0},
	{"tenant_dram_bytes", VT_COUNTER, "bytes", "tenant, kind",
	 "Lines filled from memory times their size; only if hardware counts them.", tenant_role,
	 VT_ROLE_DRAM_FILLS, 1},
	{"tenant_stand_ins", VT_COUNTER, "", "tenant, kind, event, instead_of",
	 "What stands in where hardware does not count the quantity: software, or an event that is "
	 "another one (proxy). Not misses, not cycles: compare it with itself only.",
	 stand_ins, 0, 0},
	{"event", VT_INFO, "", "role, event, class, quality",
	 "Which event stands behind a role on this machine: hw or sw, exact, approx, proxy or "
	 "user.",
	 counter_info, 0, 0},
	{"event_absent", VT_INFO, "", "role, reason", "Roles that nothing counts here, and why.",
	 counter_absent, 0, 0},
	{"monitor_switches", VT_COUNTER, "", "", "Context switches that the BPF program saw.",
	 switches, 0, 0},
	{"monitor_losses", VT_COUNTER, "", "kind",
	 "What the monitor could not charge or report. chain_miss: switches not reported; "
	 "read_errors: of events; first_dropped: counts without a baseline; backwards: counts that "
	 "fell; rows_full: tenants without a row, summed as (other); ring_full: rare events "
	 "without "
	 "room; refused_runs: by the kernel, of programs that were at work already.",
	 losses, 0, 0},
	{"monitor_uncounted_seconds", VT_COUNTER, "seconds", "role",
	 "Running time during which a role's event was off its counter (multiplexed).", lost_time,
	 0, 0},
	{0},
};

static const struct vt_family *const all[] = {vt_runtime_families, vt_monitor_families, NULL};

void vt_metrics_text(struct vt_expo *x, const struct vt_metrics *m)
{
	vt_expo_run(x, all, m);
}

void vt_metrics_page(FILE *out)
{
	fputs("<!-- SPDX-License-Identifier: Apache-2.0. Printed by `make docs/metrics.md`. -->\n"
	      "# Which metrics are there?\n\n"
	      "`GET /metrics` of `veltair serve` and of `veltair monitor --listen` answers in "
	      "Prometheus text, or in OpenMetrics if the scraper\nasks for it. Units are base "
	      "units. A value that nothing on the machine knows is absent, never 0; "
	      "`veltair_event_absent_info` says why.\nAt most 200 tenants have a label of their "
	      "own, all others are summed as `(other)`; label values are cut at 128 bytes.\n\n"
	      "## Serving\n\n",
	      out);
	vt_expo_markdown(out, vt_runtime_families);
	fputs("\n## Counters per tenant\n\n", out);
	vt_expo_markdown(out, vt_monitor_families);
}
