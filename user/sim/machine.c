// SPDX-License-Identifier: Apache-2.0
#include "sim/machine.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sched/coreset.h"
#include "sched/view.h"
#include "base/text.h"

enum kind { WHOLE, REAL };

/** One key of the file: where its value goes and what is absurd. */
static const struct key {
	const char *name;
	enum kind kind;
	size_t at;
	double min, max;
} keys[] = {
#define K(field, kind, min, max)                                                                   \
	{                                                                                          \
#field, kind, offsetof(struct vt_machine, field), min, max                         \
	}
	K(cores, WHOLE, 1, VT_SCHED_MAX_CORES),
	K(llc_domains, WHOLE, 1, VT_MAX_DOMAINS),
	K(memory_nodes, WHOLE, 1, 16),
	K(gflops, REAL, 0.01, 1e5),
	K(depthwise_share, REAL, 0.001, 1),
	K(tile_rows, WHOLE, 1, 64),
	K(tile_cols, WHOLE, 1, 256),
	K(l2_bytes, REAL, 1024, 1e10),
	K(llc_bytes, REAL, 1024, 1e12),
	K(llc_gbps, REAL, 0.01, 1e5),
	K(core_dram_gbps, REAL, 0.01, 1e5),
	K(domain_dram_gbps, REAL, 0.01, 1e5),
	K(node_dram_gbps, REAL, 0.01, 1e5),
	K(queue_slope, REAL, 0, 100),
	K(queue_knee, REAL, 0, 0.99),
	K(overlap, REAL, 1, 100),
	K(fork_ns, REAL, 0, 1e9),
	K(fork_core_ns, REAL, 0, 1e9),
	K(wake_ns, REAL, 0, 1e9),
	K(wake_core_ns, REAL, 0, 1e9),
	K(all_cores_ppm, REAL, 0, 1e8),
	K(beside_ppm, REAL, 0, 1e8),
#undef K
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static const struct key *find_key(const char *name)
{
	for (size_t i = 0; i < N_KEYS; i++)
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	return NULL;
}

static int set_value(struct vt_machine *m, const struct key *k, const char *text,
		     const struct vt_text *t, struct vt_err *e)
{
	void *at = (char *)m + k->at;
	double v;

	if (vt_text_f64(text, &v) || (k->kind == WHOLE && v != floor(v)))
		return vt_fail(e, -EINVAL, "%s:%u: %s must be a %s, not '%.40s'", t->where, t->line,
			       k->name, k->kind == WHOLE ? "whole number" : "number", text);
	if (v < k->min || v > k->max)
		return vt_fail(e, -EINVAL, "%s:%u: %s = %.40s is out of range %g..%g", t->where,
			       t->line, k->name, text, k->min, k->max);
	if (k->kind == WHOLE)
		*(uint32_t *)at = (uint32_t)v;
	else
		*(double *)at = v;
	return 0;
}

static int set_line(struct vt_machine *m, char *line, bool *seen, const struct vt_text *t,
		    struct vt_err *e)
{
	char *value = strchr(line, '=');
	const struct key *k;

	if (!value)
		return vt_fail(e, -EINVAL, "%s:%u: expected 'key = value', not '%.40s'", t->where,
			       t->line, line);
	*value++ = '\0';
	line = vt_text_trim(line);
	value = vt_text_trim(value);
	if (!strcmp(line, "name")) {
		if (!*value || strlen(value) >= sizeof(m->name))
			return vt_fail(e, -EINVAL, "%s:%u: name must have 1 to %zu characters",
				       t->where, t->line, sizeof(m->name) - 1);
		if (m->name[0])
			return vt_fail(e, -EINVAL, "%s:%u: name is given twice", t->where, t->line);
		memcpy(m->name, value, strlen(value) + 1);
		return 0;
	}
	k = find_key(line);
	if (!k)
		return vt_fail(e, -EINVAL, "%s:%u: unknown key '%.40s'", t->where, t->line, line);
	if (seen[k - keys])
		return vt_fail(e, -EINVAL, "%s:%u: %s is given twice", t->where, t->line, k->name);
	seen[k - keys] = true;
	return set_value(m, k, value, t, e);
}

static int check(const struct vt_machine *m, const char *where, struct vt_err *e)
{
	if (m->cores % m->llc_domains)
		return vt_fail(e, -EINVAL, "%s: %u cores do not divide into %u llc_domains", where,
			       m->cores, m->llc_domains);
	if (m->llc_domains % m->memory_nodes)
		return vt_fail(e, -EINVAL, "%s: %u llc_domains do not divide into %u memory_nodes",
			       where, m->llc_domains, m->memory_nodes);
	return 0;
}

int vt_machine_parse(const char *text, const char *where, struct vt_machine *ret, struct vt_err *e)
{
	struct vt_machine m = {.name = ""};
	bool seen[N_KEYS] = {false};
	struct vt_text t;
	char line[512];
	int rc;

	vt_text_init(&t, text, where);
	while ((rc = vt_text_line(&t, line, sizeof(line), e)) > 0) {
		rc = set_line(&m, line, seen, &t, e);
		if (rc)
			return rc;
	}
	if (rc)
		return rc;
	if (!m.name[0])
		return vt_fail(e, -EINVAL, "%s: no name", where);
	for (size_t i = 0; i < N_KEYS; i++)
		if (!seen[i])
			return vt_fail(e, -EINVAL, "%s: %s is missing", where, keys[i].name);
	rc = check(&m, where, e);
	if (!rc)
		*ret = m;
	return rc;
}

int vt_machine_load(const char *path, struct vt_machine *ret, struct vt_err *e)
{
	char *text;
	int rc;

	rc = vt_text_read(path, 64 << 10, &text, NULL, e);
	if (rc)
		return rc;
	rc = vt_machine_parse(text, path, ret, e);
	free(text);
	return rc;
}

double vt_machine_full_stretch(const struct vt_machine *m)
{
	return 1 + m->queue_slope / (1 - m->queue_knee);
}

double vt_machine_supply_gbps(const struct vt_machine *m, double stretch)
{
	double more = stretch - 1;

	if (stretch >= vt_machine_full_stretch(m))
		return m->node_dram_gbps;
	return m->node_dram_gbps * more / (m->queue_slope + m->queue_knee * more);
}

double vt_machine_bubble_gbps(const struct vt_machine *m, double intensity, double stretch)
{
	uint32_t domains = m->llc_domains / m->memory_nodes;
	double cores = vt_machine_domain_cores(m) * m->core_dram_gbps / stretch;

	return intensity * domains * fmin(m->domain_dram_gbps, cores);
}

double vt_machine_stretch(const struct vt_machine *m, double intensity)
{
	/* At this stretch the cores of the whole bubble draw less than a full node delivers. */
	double cores = (double)m->cores / m->memory_nodes * m->core_dram_gbps;
	double low = 1, high = vt_machine_full_stretch(m) + cores / m->node_dram_gbps;

	for (int i = 0; i < 60; i++) {
		double mid = (low + high) / 2;

		if (vt_machine_bubble_gbps(m, intensity, mid) > vt_machine_supply_gbps(m, mid))
			low = mid;
		else
			high = mid;
	}
	return intensity > 0 ? high : 1;
}
