// SPDX-License-Identifier: Apache-2.0
/* tune_layer.c - one layer of the tuner: what the store knows of it, rounds, what is kept. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec/tune_int.h"

#define PUT_EVERY_NS VT_NS_PER_S

/* How long and how often, quick or not. */
static const struct effort {
	uint32_t samples, least; /* wanted; enough for a layer that has used up its time */
	uint64_t budget_ns;
} efforts[2] = {
	{VT_TUNE_SAMPLES, 7, 6 * VT_NS_PER_S},
	{VT_TUNE_SAMPLES, 3, 900 * VT_NS_PER_MS},
};

/* A visit to a cell goes on so long, so that settling the bubble is the smaller part. */
#define VISIT_NS    (4 * VT_NS_PER_MS)
#define VISIT_TURNS 4

/* After so many samples a candidate must be within so much of the best somewhere. */
#define DROP_FIRST_PPM 250000u
#define DROP_LATER_PPM 150000u

/* Times of a layer alone are far apart if the middle half of them spans so much of the median... */
#define UNSTEADY_PPM 200000u
/* ...and is more than clock and fork make of it. */
#define UNSTEADY_LEAST_NS 1000u

/* ---- the store ----------------------------------------------------------------------------- */

/* What the store has of a layer: cells in which every kept version has enough samples. */
struct known {
	const struct vt_tune_cell *cell;
	size_t n_cells;
	uint32_t least;
	size_t kept, full[VT_TUNE_CELLS]; /* kept versions; of those with a time, by cell */
	bool lost;			  /* one of them is not of this build any more */
	char last[VT_PROFILE_NAME];
};

static int note_known(void *arg, const struct vt_profile_time *p)
{
	struct known *k = arg;
	const int c = vt_tune_find_cell(k->cell, k->n_cells, p->cores, p->level);

	if (!p->kept)
		return 0;
	if (strcmp(k->last, p->variant) != 0) {
		strncpy(k->last, p->variant, sizeof(k->last) - 1);
		k->kept++;
		k->lost |=
			strcmp(p->variant, VT_PROFILE_NOTHING) != 0 && !vt_variant_find(p->variant);
	}
	if (c >= 0 && p->samples >= k->least)
		k->full[c]++;
	return 0;
}

int vt_tune_known(const struct vt_tune_opts *o, struct vt_profile *db, const char *signature,
		  struct vt_err *e)
{
	struct vt_tune_cell cell[VT_TUNE_CELLS];
	struct known k = {.cell = cell, .least = efforts[o->quick].least};
	int err;

	k.n_cells = vt_tune_cells(o, cell);
	err = vt_profile_each(db, signature, note_known, &k, e);
	if (err)
		return err;
	for (size_t i = 0; i < k.n_cells; i++)
		if (!k.kept || k.full[i] < k.kept)
			return 0;
	return !k.lost;
}

static uint32_t *put_of(struct vt_tune_job *j, size_t cand, size_t cell)
{
	return &j->put[cand * j->tune.n_cells + cell];
}

static int take_prior(void *arg, const struct vt_profile_time *p)
{
	struct vt_tune_job *j = arg;
	const int cand = vt_tune_find(&j->tune, p->variant);
	const int c = vt_tune_find_cell(j->t->cell, j->t->n_cells, p->cores, p->level);

	if (cand < 0 || c < 0)
		return 0;
	if (j->again) {
		j->tune.dropped[cand] &= !p->kept;
		j->before_ns[(size_t)cand * j->tune.n_cells + (size_t)c] = p->median_ns;
		return 0;
	}
	vt_tune_prior(&j->tune, (size_t)cand, (size_t)c, p->median_ns, p->spread_ns, p->samples);
	*put_of(j, (size_t)cand, (size_t)c) = vt_tune_count(&j->tune, (size_t)cand, (size_t)c);
	return 0;
}

/* Is what the store has of this version on the cores of cell @c better than what was measured again? */
static bool was_faster(const struct vt_tune_job *j, size_t cand, size_t c)
{
	const int alone = vt_tune_find_cell(j->t->cell, j->t->n_cells, j->t->cell[c].cores, 0);
	const uint64_t before = j->before_ns[cand * j->tune.n_cells + (size_t)alone];

	return j->again && before &&
	       vt_tune_stat(&j->tune, cand, (size_t)alone).median_ns >= before;
}

/* A time that has no new sample stays as it is, and is as old as it is. */
int vt_tune_put(struct vt_tune_job *j, struct vt_err *e)
{
	struct vt_profile_time *row;
	const size_t most = j->tune.n_cands * j->tune.n_cells;
	size_t n = 0;
	int err;

	row = calloc(most, sizeof(*row));
	if (!row)
		return vt_fail(e, -ENOMEM, "no memory for the times of a layer");
	for (size_t i = 0; i < most; i++) {
		const size_t cand = i / j->tune.n_cells, c = i % j->tune.n_cells;
		const struct vt_tune_stat s = vt_tune_stat(&j->tune, cand, c);

		if (vt_tune_count(&j->tune, cand, c) > *put_of(j, cand, c) &&
		    !was_faster(j, cand, c))
			row[n++] = (struct vt_profile_time){.layer = j->layer.signature,
							    .variant = j->tune.cand[cand]->name,
							    .cores = j->t->cell[c].cores,
							    .level = j->t->cell[c].level,
							    .median_ns = s.median_ns,
							    .spread_ns = s.spread_ns,
							    .samples = s.samples};
	}
	err = n ? vt_profile_put(j->t->db, row, n, e) : 0;
	free(row);
	if (err || !n)
		return err;
	for (size_t i = 0; i < most; i++)
		j->put[i] = vt_tune_count(&j->tune, i / j->tune.n_cells, i % j->tune.n_cells);
	j->put_mono_ns = vt_now_mono_ns();
	return 0;
}

bool vt_tune_put_due(const struct vt_tune_job *j)
{
	return !j->again && vt_now_mono_ns() - j->put_mono_ns > PUT_EVERY_NS;
}

static bool unsteady(const struct vt_tune_job *j, size_t cand)
{
	for (size_t c = 0; c < j->t->n_alone; c++) {
		const struct vt_tune_stat s = vt_tune_stat(&j->tune, cand, c);

		if (s.spread_ns > UNSTEADY_LEAST_NS &&
		    (double)s.spread_ns > (double)s.median_ns * UNSTEADY_PPM / 1e6)
			return true;
	}
	return false;
}

int vt_tune_keep(struct vt_tune_job *j, struct vt_err *e)
{
	size_t set[VT_TUNE_KEEP], n = vt_tune_choose(&j->tune, j->t->n_alone, set);
	const char *name[VT_TUNE_KEEP];

	for (size_t i = 0; i < n; i++) {
		name[i] = j->tune.cand[set[i]]->name;
		j->unsteady |= unsteady(j, set[i]);
	}
	return vt_profile_keep(j->t->db, j->layer.signature, name, n, e);
}

/* ---- measuring ----------------------------------------------------------------------------- */

bool vt_tune_stopped(const struct vt_tuner *t)
{
	return t->o.stop && t->o.stop(t->o.arg);
}

void vt_tune_press(struct vt_tuner *t, uint8_t level)
{
	if (!t->bubble || level == t->level)
		return;
	vt_bubble_set(t->bubble, t->scale.level[level]);
	t->level = level;
	vt_bubble_pause(VT_BUBBLE_SETTLE_NS, t->o.stop, t->o.arg);
}

void vt_tune_hush(struct vt_tuner *t)
{
	if (t->bubble && t->level)
		vt_bubble_set(t->bubble, t->scale.level[0]);
	t->level = 0;
}

/* A turn that was cut short goes on with those it left out. */
static void fewest_first(const struct vt_tune *t, size_t c, size_t *cand, size_t n)
{
	for (size_t i = 1; i < n; i++)
		for (size_t k = i;
		     k && vt_tune_count(t, cand[k], c) < vt_tune_count(t, cand[k - 1], c); k--) {
			const size_t was = cand[k];

			cand[k] = cand[k - 1];
			cand[k - 1] = was;
		}
}

/* The candidates still in the race, in an order that is new every time. */
static size_t shuffled(struct vt_tune_job *j, size_t cand[VT_TUNE_CANDS])
{
	size_t n = 0;

	for (size_t i = 0; i < j->tune.n_cands; i++)
		if (!j->tune.dropped[i])
			cand[n++] = i;
	for (size_t i = n; i > 1; i--) {
		const size_t k = vt_rng_below(&j->t->rng, i), was = cand[k];

		cand[k] = cand[i - 1];
		cand[i - 1] = was;
	}
	return n;
}

static int take_turn(struct vt_tune_job *j, size_t c, struct vt_err *e)
{
	struct vt_tuner *t = j->t;
	const struct vt_cpuset grant = vt_tune_cores(&t->o.cores, t->cell[c].cores, false);
	struct vt_tune_turn turn = {
		.layer = &j->layer, .sweep = t->sweep, .stop = t->o.stop, .arg = t->o.arg};
	size_t cand[VT_TUNE_CANDS];
	int err;

	turn.n = shuffled(j, cand);
	fewest_first(&j->tune, c, cand, turn.n);
	for (size_t i = 0; i < turn.n; i++)
		turn.variant[i] = j->tune.cand[cand[i]];
	err = vt_tune_turn(&turn, t->pool, &grant);
	if (err)
		return vt_fail(e, err, "cannot run on %u cores: %s", t->cell[c].cores,
			       strerror(-err));
	for (size_t i = 0; i < turn.done; i++)
		vt_tune_add(&j->tune, cand[i], c, turn.ns[i]);
	j->samples += turn.done;
	return turn.done == turn.n ? 0 : -ECANCELED;
}

static int measure_cell(struct vt_tune_job *j, size_t c, struct vt_err *e)
{
	uint64_t t0;
	int err = 0;

	vt_tune_press(j->t, j->t->cell[c].level);
	t0 = vt_now_mono_ns();
	for (int i = 0; i < VISIT_TURNS && !err && (!i || vt_now_mono_ns() - t0 < VISIT_NS); i++)
		err = take_turn(j, c, e);
	return err;
}

/* Each cell once; every other round from the other end, so that neighbours share a level. */
static int measure_round(struct vt_tune_job *j, uint32_t round, struct vt_err *e)
{
	const size_t n = j->t->n_cells;

	for (size_t i = 0; i < n; i++) {
		const size_t c = j->rounds % 2 ? n - 1 - i : i;
		int err;

		if (vt_tune_least(&j->tune, c) > round) /* of an earlier call that wanted less */
			continue;
		err = measure_cell(j, c, e);
		if (err)
			return err;
		if (vt_tune_put_due(j))
			return 1;
	}
	j->rounds++;
	return 0;
}

static uint32_t least_samples(const struct vt_tune *t)
{
	uint32_t least = UINT32_MAX;

	for (size_t c = 0; c < t->n_cells; c++) {
		const uint32_t n = vt_tune_least(t, c);

		least = n < least ? n : least;
	}
	return least;
}

int vt_tune_begin(struct vt_tune_job *j, struct vt_err *e)
{
	int err;

	for (size_t i = 0; i < j->tune.n_cands; i++)
		j->tune.dropped[i] = j->again;
	err = vt_profile_each(j->t->db, j->layer.signature, take_prior, j, e);
	if (!err && !j->again && least_samples(&j->tune)) /* an earlier call knew this much */
		vt_tune_drop(&j->tune, DROP_LATER_PPM);
	j->put_mono_ns = vt_now_mono_ns();
	return err;
}

int vt_tune_measure(struct vt_tune_job *j, struct vt_err *e)
{
	const struct effort *f = &efforts[j->t->o.quick];
	const uint64_t t0 = vt_now_mono_ns();
	int err = 0;

	while (!err) {
		const uint32_t round = least_samples(&j->tune);

		if (round >= f->samples ||
		    (round >= f->least && j->used_ns + vt_now_mono_ns() - t0 > f->budget_ns))
			break;
		err = measure_round(j, round, e);
		if (!err)
			vt_tune_drop(&j->tune, round ? DROP_LATER_PPM : DROP_FIRST_PPM);
	}
	j->used_ns += vt_now_mono_ns() - t0;
	return err;
}
