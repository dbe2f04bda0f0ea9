// SPDX-License-Identifier: Apache-2.0
/* bank_net.c - a model's tables from its shapes: candidates, the versions kept, their times. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "sim/bank_int.h"
#include "sim/law.h"

#define PROBES	 12u  /* core counts at which candidates are compared */
#define CLOSE_TO 1.10 /* the paper's promise: within 10 % of the best at every level */

/** Times of one candidate at every (level, probed core count). */
struct trial {
	struct vt_code code;
	double ns[VT_LEVELS * PROBES];
	double log_alone; /* sum of the logs of the times at level 0, on grants in common use */
};

/** The distinct layers of a net and the versions kept of each. */
struct pick {
	uint32_t layer; /* first one of this shape */
	uint32_t n;
	struct vt_code code[VT_MAX_VERSIONS];
};

/**
 * Core counts that a profile holds: each one up to 16, every 4th to 128, every 16th beyond; on
 * machines of up to 64 cores each one.
 */
static uint32_t make_points(uint32_t cores, uint16_t *ret)
{
	uint32_t n = 0;

	for (uint32_t c = 1; c <= cores && n < VT_MAX_POINTS; c++) {
		uint32_t step = cores <= VT_MAX_POINTS || c < 16 ? 1 : c < 128 ? 4 : 16;

		if (c % step == 0 || c == cores)
			ret[n++] = (uint16_t)c;
	}
	return n;
}

/** Powers of two below an eighth of the machine, and from there on each eighth. */
static uint32_t make_probes(uint32_t cores, uint32_t *ret)
{
	uint32_t n = 0;

	for (uint32_t c = 1; c * 8 < cores && n < PROBES - 8; c *= 2)
		ret[n++] = c;
	for (uint32_t i = 1; i <= 8; i++) {
		uint32_t c = (cores * i + 7) / 8;

		if (!n || c > ret[n - 1])
			ret[n++] = c;
	}
	return n;
}

/** Beside a bubble, and as if its own traffic did not count: good enough to compare candidates. */
static double trial_ns(const struct vt_bank *b, const struct vt_layer_shape *s,
		       const struct vt_code *c, uint32_t cores, uint32_t level)
{
	double share = vt_law_llc_share(&b->machine, cores, (double)level / (VT_LEVELS - 1));
	struct vt_place p = vt_place_compact(&b->machine, cores, share);
	struct vt_need n = vt_law_need(&b->machine, s, c, &p);

	return vt_law_ns(&b->machine, &n, b->level_stretch[level]);
}

static void try_code(const struct vt_bank *b, const struct vt_layer_shape *s,
		     const uint32_t *probes, uint32_t n_probes, struct trial *t)
{
	t->log_alone = 0;
	for (uint32_t l = 0; l < VT_LEVELS; l++) {
		for (uint32_t p = 0; p < n_probes; p++) {
			double ns = trial_ns(b, s, &t->code, probes[p], l);

			t->ns[l * n_probes + p] = ns;
			if (!l && probes[p] * 8 >= b->machine.cores)
				t->log_alone += log(ns);
		}
	}
}

/** How far the times @have, improved by those of @t, stay beyond CLOSE_TO x the best. */
static double excess(const double *have, const struct trial *t, const double *best, uint32_t n)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		double ns = fmin(have[i], t->ns[i]);

		if (ns > best[i] * CLOSE_TO)
			sum += log(ns / (best[i] * CLOSE_TO));
	}
	return sum;
}

static uint32_t fastest_alone(const struct trial *t, uint32_t n_trials)
{
	uint32_t at = 0;

	for (uint32_t k = 1; k < n_trials; k++)
		if (t[k].log_alone < t[at].log_alone)
			at = k;
	return at;
}

static uint32_t most_helpful(const struct trial *t, uint32_t n_trials, const double *have,
			     const double *best, uint32_t n)
{
	double least = INFINITY;
	uint32_t at = 0;

	for (uint32_t k = 0; k < n_trials; k++) {
		double left = excess(have, &t[k], best, n);

		if (left < least) {
			least = left;
			at = k;
		}
	}
	return at;
}

/**
 * Keep the version that is fastest alone, then whichever brings the set nearest to the best of
 * every level and core count, until all of them are within CLOSE_TO.
 */
static void keep_versions(const struct trial *t, uint32_t n_trials, uint32_t n, struct pick *ret)
{
	double best[VT_LEVELS * PROBES], have[VT_LEVELS * PROBES];
	uint32_t next = fastest_alone(t, n_trials);

	for (uint32_t i = 0; i < n; i++) {
		best[i] = have[i] = INFINITY;
		for (uint32_t k = 0; k < n_trials; k++)
			best[i] = fmin(best[i], t[k].ns[i]);
	}
	ret->n = 0;
	for (;;) {
		ret->code[ret->n++] = t[next].code;
		for (uint32_t i = 0; i < n; i++)
			have[i] = fmin(have[i], t[next].ns[i]);
		if (ret->n == VT_MAX_VERSIONS || excess(have, &t[next], best, n) <= 0)
			break;
		next = most_helpful(t, n_trials, have, best, n);
	}
}

static bool same_shape(const struct vt_layer_shape *a, const struct vt_layer_shape *b)
{
	return a->kind == b->kind && a->groups == b->groups && a->rows == b->rows &&
	       a->cols == b->cols && a->depth == b->depth && a->halo == b->halo &&
	       a->in_bytes == b->in_bytes && a->out_bytes == b->out_bytes &&
	       a->weight_bytes == b->weight_bytes;
}

/** Versions of every distinct layer; row_of[layer] names its pick. Returns the picks' count. */
static uint32_t pick_all(const struct vt_bank *b, const struct vt_net *net, struct pick *picks,
			 uint32_t *row_of, struct trial *trials)
{
	struct vt_code codes[VT_CODES_MAX];
	uint32_t probes[PROBES], n_probes = make_probes(b->machine.cores, probes), n = 0;

	for (uint32_t l = 0; l < net->n_layers; l++) {
		const struct vt_layer_shape *s = &net->layers[l];
		uint32_t r = 0, n_codes;

		while (r < n && !same_shape(s, &net->layers[picks[r].layer]))
			r++;
		row_of[l] = r;
		if (r < n)
			continue;
		n_codes = vt_law_codes(&b->machine, s, codes, VT_CODES_MAX);
		for (uint32_t k = 0; k < n_codes; k++) {
			trials[k].code = codes[k];
			try_code(b, s, probes, n_probes, &trials[k]);
		}
		picks[n].layer = l;
		keep_versions(trials, n_codes, VT_LEVELS * n_probes, &picks[n++]);
	}
	return n;
}

static void fill_cell(const struct vt_bank *b, const struct vt_layer_shape *s,
		      const struct vt_code *c, uint32_t cores, double share, struct vt_cell *ret)
{
	struct vt_place p = vt_place_compact(&b->machine, cores, share);
	struct vt_need n = vt_law_need(&b->machine, s, c, &p);

	for (uint32_t i = 0; i < VT_STRETCHES; i++)
		ret->ns[i] = (float)vt_law_ns(&b->machine, &n, b->stretch[i]);
	ret->dram_bytes = (float)n.dram_bytes;
	ret->llc_bytes = (float)n.llc_bytes;
}

double vt_bank_level_ns(const struct vt_bank *b, const struct vt_layer_shape *s,
			const struct vt_code *c, uint32_t cores, uint32_t level)
{
	double bubble = (double)level / (VT_LEVELS - 1), ask[VT_STRETCHES], part;
	const struct vt_machine *m = &b->machine;
	uint32_t per_node = m->cores / m->memory_nodes, step;
	uint32_t nodes = (cores + per_node - 1) / per_node;
	struct vt_cell cell;

	fill_cell(b, s, c, cores, vt_law_llc_share(m, cores, bubble), &cell);
	for (uint32_t i = 0; i < VT_STRETCHES; i++)
		ask[i] = (double)cell.dram_bytes / (double)cell.ns[i] / nodes +
			 vt_machine_bubble_gbps(m, bubble, b->stretch[i]);
	vt_bank_balance(b, ask, &step, &part);
	return (double)cell.ns[step] + (double)(cell.ns[step + 1] - cell.ns[step]) * part;
}

static void fill_row(const struct vt_bank *b, const struct vt_model *m,
		     const struct vt_layer_shape *s, const struct pick *pick,
		     struct vt_bank_row *row)
{
	row->flops = (float)vt_shape_flops(s);
	row->in_bytes = (float)s->in_bytes;
	for (uint32_t v = 0; v < pick->n; v++)
		for (uint32_t p = 0; p < m->n_points; p++)
			for (uint32_t h = 0; h < VT_SHARES; h++)
				fill_cell(
					b, s, &pick->code[v], m->points[p],
					(double)(h + 1) / VT_SHARES,
					&row->cells[((size_t)v * m->n_points + p) * VT_SHARES + h]);
}

static void fill_times(const struct vt_bank *b, const struct vt_model *m, struct vt_bank_model *bm,
		       const struct vt_layer_shape *s, const struct pick *pick, uint32_t layer)
{
	uint32_t first = pick->layer, per_version = VT_LEVELS * m->n_points;
	size_t from = (size_t)first * m->n_versions, to = (size_t)layer * m->n_versions;

	if (first != layer) {
		memcpy(bm->ns + to * per_version, bm->ns + from * per_version,
		       (size_t)m->n_versions * per_version * sizeof(*bm->ns));
		memcpy(bm->dram_bytes + to, bm->dram_bytes + from,
		       m->n_versions * sizeof(*bm->dram_bytes));
		return;
	}
	for (uint32_t v = 0; v < pick->n; v++) {
		for (uint32_t i = 0; i < per_version; i++)
			bm->ns[(to + v) * per_version + i] = (uint64_t)ceil(vt_bank_level_ns(
				b, s, &pick->code[v], m->points[i % m->n_points], i / m->n_points));
		bm->dram_bytes[to + v] =
			(uint64_t)bm->rows[bm->row_of[layer]]
				.cells[((size_t)v * m->n_points + m->n_points - 1) * VT_SHARES +
				       VT_SHARES - 1]
				.dram_bytes;
	}
}

static int add_picked(struct vt_bank *b, const struct vt_net *net, uint64_t qos_ns,
		      const struct pick *picks, uint32_t n_picks, const uint32_t *row_of,
		      struct vt_err *e)
{
	uint16_t points[VT_MAX_POINTS];
	struct vt_bank_size z = {net->n_layers, n_picks, 1, 0};
	struct vt_bank_model *bm;
	struct vt_model *m;
	int at, rc;

	z.points = make_points(b->machine.cores, points);
	for (uint32_t r = 0; r < n_picks; r++)
		z.versions = picks[r].n > z.versions ? picks[r].n : z.versions;
	at = vt_bank_new_model(b, net->name, qos_ns, &z, e);
	if (at < 0)
		return at;
	bm = &b->models[at];
	m = &b->sched[at];
	memcpy(bm->points, points, z.points * sizeof(*points));
	memcpy(bm->row_of, row_of, net->n_layers * sizeof(*row_of));
	for (uint32_t r = 0; r < n_picks; r++)
		fill_row(b, m, &net->layers[picks[r].layer], &picks[r], &bm->rows[r]);
	for (uint32_t l = 0; l < net->n_layers; l++) {
		memcpy(bm->names[l], net->layers[l].name, sizeof(bm->names[l]));
		fill_times(b, m, bm, &net->layers[l], &picks[row_of[l]], l);
	}
	rc = vt_bank_finish(b, (uint32_t)at, e);
	if (rc) {
		vt_bank_drop_last(b);
		return rc;
	}
	return at;
}

int vt_bank_add_net(struct vt_bank *b, const struct vt_net *net, uint64_t qos_ns, struct vt_err *e)
{
	struct pick *picks = calloc(net->n_layers, sizeof(*picks));
	uint32_t *row_of = calloc(net->n_layers, sizeof(*row_of));
	struct trial *trials = calloc(VT_CODES_MAX, sizeof(*trials));
	int rc;

	if (picks && row_of && trials)
		rc = add_picked(b, net, qos_ns, picks, pick_all(b, net, picks, row_of, trials),
				row_of, e);
	else
		rc = vt_fail(e, -ENOMEM, "out of memory");
	free(picks);
	free(row_of);
	free(trials);
	return rc;
}
