// SPDX-License-Identifier: Apache-2.0
#include "kernels/tuner.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/order.h"

#define PPM	    1000000u
#define TIE_PPM	    30000u     /* what the default is given for being it */
#define UNKNOWN_PPM (8u * PPM) /* no time where others have one */

/* ---- candidates --------------------------------------------------------------------------- */

/* How a variant cuts a layer on one core count; order matters only between two or more blocks. */
struct cut {
	size_t mc, nc;
	bool cols_outer;
};

static struct cut cut_of(const struct vt_variant *v, const struct vt_layer *l, uint16_t cores)
{
	struct cut c = {0};

	vt_tile_cut(v, l->rows, l->cols, 1, cores, &c.mc, &c.nc);
	c.cols_outer = vt_variant_cols_outer(v, cores) && c.mc < l->rows && c.nc < l->cols;
	return c;
}

static bool cut_alike(const struct vt_variant *a, const struct vt_variant *b,
		      const struct vt_layer *l, const uint16_t *cores, size_t n_cores)
{
	if (!l->depth)
		return a == b;
	for (size_t i = 0; i < n_cores; i++) {
		const struct cut x = cut_of(a, l, cores[i]), y = cut_of(b, l, cores[i]);

		if (x.mc != y.mc || x.nc != y.nc || x.cols_outer != y.cols_outer)
			return false;
	}
	return true;
}

static void add_candidate(struct vt_tune *t, const struct vt_variant *v, const struct vt_layer *l,
			  const uint16_t *cores, size_t n_cores)
{
	for (size_t i = 0; i < t->n_cands; i++)
		if (cut_alike(t->cand[i], v, l, cores, n_cores))
			return;
	if (t->n_cands < VT_TUNE_CANDS)
		t->cand[t->n_cands++] = v;
}

int vt_tune_init(struct vt_tune *t, const struct vt_layer *l, const struct vt_variant *dflt,
		 const uint16_t *cores, size_t n_cores, size_t n_cells)
{
	*t = (struct vt_tune){.n_cells = n_cells};
	if (!n_cells || n_cells > VT_TUNE_CELLS)
		return -EINVAL;
	t->cand[t->n_cands++] = dflt ? dflt : vt_variant_plain();
	for (const struct vt_variant *v = vt_variants; v->name; v++)
		if (vt_variant_applies(v, l->cols, l->depth))
			add_candidate(t, v, l, cores, n_cores);
	t->samples = calloc(t->n_cands * n_cells, sizeof(*t->samples));
	return t->samples ? 0 : -ENOMEM;
}

void vt_tune_fini(struct vt_tune *t)
{
	free(t->samples);
	*t = (struct vt_tune){0};
}

int vt_tune_find(const struct vt_tune *t, const char *name)
{
	for (size_t i = 0; i < t->n_cands; i++)
		if (!strcmp(t->cand[i]->name, name))
			return (int)i;
	return -1;
}

/* ---- times -------------------------------------------------------------------------------- */

static struct vt_tune_samples *at(const struct vt_tune *t, size_t cand, size_t cell)
{
	return &t->samples[cand * t->n_cells + cell];
}

void vt_tune_add(struct vt_tune *t, size_t cand, size_t cell, uint64_t ns)
{
	struct vt_tune_samples *s = at(t, cand, cell);

	s->ns[s->n++ % VT_TUNE_SAMPLES] = ns ? ns : 1;
}

/* In even steps between the quartiles; how far beyond them some lay is not known. */
void vt_tune_prior(struct vt_tune *t, size_t cand, size_t cell, uint64_t median_ns,
		   uint64_t spread_ns, uint32_t n)
{
	const uint32_t most = n < VT_TUNE_SAMPLES ? n : VT_TUNE_SAMPLES;
	const uint32_t first = most ? (most - 1) / 4 : 0; /* as vt_tune_stat() counts */
	const uint32_t steps = most > 1 ? most - 1 - 2 * first : 1;
	const uint64_t spread = spread_ns < 2 * median_ns ? spread_ns : 2 * median_ns - 1;

	for (uint32_t i = 0; i < most; i++) {
		const uint32_t up = i < first ? 0 : i - first < steps ? i - first : steps;

		vt_tune_add(t, cand, cell,
			    most > 1 ? median_ns - spread / 2 + spread * up / steps : median_ns);
	}
}

struct vt_tune_stat vt_tune_stat(const struct vt_tune *t, size_t cand, size_t cell)
{
	const struct vt_tune_samples *s = at(t, cand, cell);
	const size_t n = s->n < VT_TUNE_SAMPLES ? s->n : VT_TUNE_SAMPLES;
	uint64_t v[VT_TUNE_SAMPLES];

	if (!n)
		return (struct vt_tune_stat){0};
	memcpy(v, s->ns, n * sizeof(*v));
	qsort(v, n, sizeof(*v), vt_order_u64);
	return (struct vt_tune_stat){.median_ns = (v[(n - 1) / 2] + v[n / 2]) / 2,
				     .spread_ns = v[n - 1 - (n - 1) / 4] - v[(n - 1) / 4],
				     .best_ns = v[0],
				     .low_ns = v[(n - 1) / 4],
				     .samples = (uint32_t)n};
}

uint32_t vt_tune_count(const struct vt_tune *t, size_t cand, size_t cell)
{
	return at(t, cand, cell)->n;
}

uint32_t vt_tune_least(const struct vt_tune *t, size_t cell)
{
	uint32_t least = UINT32_MAX;

	for (size_t i = 0; i < t->n_cands; i++)
		if (!t->dropped[i] && at(t, i, cell)->n < least)
			least = at(t, i, cell)->n;
	return least;
}

/*
 * The best of a cell by its lower quartile, of those still in the race: the times of who dropped out are from when
 * it did, and the machine drifts. No samples if nothing is known of the cell.
 */
static struct vt_tune_stat best_of(const struct vt_tune *t, size_t cell)
{
	struct vt_tune_stat best = {0};

	for (size_t i = 0; i < t->n_cands; i++) {
		const struct vt_tune_stat s = vt_tune_stat(t, i, cell);

		if (!t->dropped[i] && s.samples && (!best.samples || s.low_ns < best.low_ns))
			best = s;
	}
	return best;
}

static bool hopeless(const struct vt_tune *t, size_t cand, const struct vt_tune_stat *best,
		     uint32_t margin_ppm)
{
	for (size_t c = 0; c < t->n_cells; c++) {
		const struct vt_tune_stat s = vt_tune_stat(t, cand, c);

		if (!s.samples || !best[c].samples ||
		    (double)s.best_ns <= (double)best[c].low_ns * (1 + (double)margin_ppm / PPM))
			return false;
	}
	return true;
}

size_t vt_tune_drop(struct vt_tune *t, uint32_t margin_ppm)
{
	struct vt_tune_stat best[VT_TUNE_CELLS];
	size_t left = 0;

	for (size_t c = 0; c < t->n_cells; c++)
		best[c] = best_of(t, c);
	for (size_t i = 0; i < t->n_cands; i++) {
		if (i && !t->dropped[i])
			t->dropped[i] = hopeless(t, i, best, margin_ppm);
		left += !t->dropped[i];
	}
	return left;
}

/* ---- choosing ----------------------------------------------------------------------------- */

/* How far each candidate is above the best of each cell, in ppm: the table that is covered. */
struct table {
	size_t n, n_cells;
	size_t cand[VT_TUNE_CANDS]; /* row -> candidate */
	uint32_t above[VT_TUNE_CANDS][VT_TUNE_CELLS];
	uint32_t within[VT_TUNE_CELLS]; /* a row that is no further above covers the cell */
};

static uint32_t ppm_above(uint64_t ns, uint64_t best)
{
	const double r = (double)ns / (double)best - 1;

	return r <= 0 ? 0 : r * PPM > UNKNOWN_PPM ? UNKNOWN_PPM : (uint32_t)(r * PPM);
}

static void fill_table(struct table *tab, const struct vt_tune *t)
{
	struct vt_tune_stat best[VT_TUNE_CELLS];

	*tab = (struct table){.n_cells = t->n_cells};
	for (size_t c = 0; c < t->n_cells; c++) {
		best[c] = best_of(t, c);
		tab->within[c] = VT_TUNE_WITHIN;
		if (best[c].samples &&
		    ppm_above(best[c].median_ns, best[c].low_ns) > VT_TUNE_WITHIN)
			tab->within[c] = ppm_above(best[c].median_ns, best[c].low_ns);
	}
	for (size_t i = 0; i < t->n_cands; i++) {
		if (t->dropped[i])
			continue;
		tab->cand[tab->n] = i;
		for (size_t c = 0; c < t->n_cells; c++) {
			const struct vt_tune_stat s = vt_tune_stat(t, i, c);

			if (best[c].samples)
				tab->above[tab->n][c] =
					s.samples ? ppm_above(s.low_ns, best[c].low_ns)
						  : UNKNOWN_PPM;
		}
		tab->n++;
	}
}

/** How good a set is: cells that it covers count first, then how near it comes over all. */
struct score {
	uint32_t uncovered;
	uint64_t sum;
};

static struct score score_of(const struct table *tab, const size_t *set, size_t n)
{
	struct score s = {0};

	for (size_t c = 0; c < tab->n_cells; c++) {
		uint32_t least = UINT32_MAX, biased = UINT32_MAX;

		for (size_t k = 0; k < n; k++) {
			const uint32_t above = tab->above[set[k]][c];
			const uint32_t b = above + (tab->cand[set[k]] ? TIE_PPM : 0);

			least = above < least ? above : least;
			biased = b < biased ? b : biased;
		}
		s.uncovered += least > tab->within[c];
		s.sum += biased;
	}
	return s;
}

static bool better(struct score a, struct score b)
{
	return a.uncovered != b.uncovered ? a.uncovered < b.uncovered : a.sum < b.sum;
}

/* All sets of @n rows in turn, as an odometer of ascending numbers; false after the last. */
static bool next_set(size_t *set, size_t n, size_t of)
{
	size_t i = n;

	while (i && set[i - 1] == of - n + i - 1)
		i--;
	if (!i)
		return false;
	set[i - 1]++;
	for (; i < n; i++)
		set[i] = set[i - 1] + 1;
	return true;
}

static struct score best_set(const struct table *tab, size_t n, size_t *ret)
{
	struct score best = {UINT32_MAX, UINT64_MAX};
	size_t set[VT_TUNE_KEEP];

	for (size_t i = 0; i < n; i++)
		set[i] = i;
	do {
		const struct score s = score_of(tab, set, n);

		if (better(s, best)) {
			best = s;
			memcpy(ret, set, n * sizeof(*set));
		}
	} while (next_set(set, n, tab->n));
	return best;
}

size_t vt_tune_choose(const struct vt_tune *t, size_t alone, size_t ret[VT_TUNE_KEEP])
{
	size_t set[VT_TUNE_KEEP] = {0}, n, first = 0;
	uint64_t least = UINT64_MAX;
	struct table tab;

	fill_table(&tab, t);
	for (n = 1; n <= VT_TUNE_KEEP && n <= tab.n; n++)
		if (!best_set(&tab, n, set).uncovered)
			break;
	/* A sixth would help no more than any of the five can. */
	if (n > VT_TUNE_KEEP || n > tab.n)
		n = n > VT_TUNE_KEEP ? VT_TUNE_KEEP : tab.n;
	for (size_t k = 0; k < n; k++) {
		uint64_t sum = 0;

		for (size_t c = 0; c < alone && c < tab.n_cells; c++)
			sum += tab.above[set[k]][c];
		if (sum < least) {
			least = sum;
			first = k;
		}
	}
	ret[0] = tab.cand[set[first]];
	for (size_t k = 0, to = 1; k < n; k++)
		if (k != first)
			ret[to++] = tab.cand[set[k]];
	return n;
}
