// SPDX-License-Identifier: Apache-2.0
/* bench_rounds.c - slices in turns: every row once a round, so that a machine that drifts drifts for all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/trip.h"
#include "cli/bench_cli.h"
#include "cli/cli.h"

#define SAMPLE_NS    (50 * VT_NS_PER_MS)
#define FINE_NS	     (10 * VT_NS_PER_MS) /* something comes and goes: how soon is it noticed? */
#define FIRST_RATE   0.7		 /* of the queueing limit */
#define FEW	     20.0		 /* requests a slice: of fewer a share says nothing */
#define LEAST	     0.1 /* of the queueing limit: so low a search goes all the same */
#define TRIP_MOST_NS (20 * VT_NS_PER_MS)
#define NEAR	     1.1 /* slices at rates within this factor of the answer describe it */

/** What a tick of the generator needs. */
struct watch {
	struct bench *b;
	struct bench_row *row;
	struct bench_counts *counts; /* pressure_ppm_s and seconds are summed here */
	uint64_t last_mono_ns, layer_runs[VT_MAX_VERSIONS];
};

/* ---- pressure over time ------------------------------------------------------------------- */

static void keep_sample(struct bench *b, const struct bench_sample *s)
{
	if (b->n_looks++ & (b->sample_every - 1))
		return;
	if (b->n_samples == BENCH_SAMPLES) {
		/* A long run: half as many, twice as far apart, those to come too. */
		b->sample_every *= 2;
		for (uint32_t i = 0; i < BENCH_SAMPLES / 2; i++)
			b->sample[i] = b->sample[2 * i];
		b->n_samples = BENCH_SAMPLES / 2;
	}
	b->sample[b->n_samples++] = *s;
}

/** Share of layers run since the last look whose version is not the one fastest alone. */
static float other_versions(struct watch *w, const uint64_t *runs)
{
	uint64_t all = 0, other = 0;

	for (unsigned int v = 0; v < VT_MAX_VERSIONS; v++) {
		all += runs[v] - w->layer_runs[v];
		other += v ? runs[v] - w->layer_runs[v] : 0;
		w->layer_runs[v] = runs[v];
	}
	return all ? (float)other / (float)all : 0;
}

static void tick(void *arg, uint64_t now)
{
	struct watch *w = arg;
	struct bench_sample s = {.row = (uint32_t)(w->row - w->b->row)};
	uint64_t runs[VT_MAX_VERSIONS];
	double since_s = w->last_mono_ns ? (double)(now - w->last_mono_ns) / 1e9 : 0;

	s.noise = bench_noise_tick(w->b->noise, now);
	if (!w->row->engine->look)
		return;
	w->row->engine->look(w->row->engine->self, &s.pressure_ppm, runs);
	s.at_s = (double)(now - w->b->start_mono_ns) / 1e9;
	s.other_versions = other_versions(w, runs);
	w->counts->pressure_ppm_s += since_s * s.pressure_ppm;
	w->counts->seconds += since_s;
	if (w->last_mono_ns)
		keep_sample(w->b, &s);
	w->last_mono_ns = now;
}

/* ---- one slice ---------------------------------------------------------------------------- */

static void subtract(struct bench_counts *a, const struct bench_counts *b)
{
	a->blocks -= b->blocks;
	a->conflicts -= b->conflicts;
	a->core_ns -= b->core_ns;
	a->least_core_ns -= b->least_core_ns;
	for (unsigned int i = 0; i < VT_MAX_VERSIONS; i++)
		a->layer_runs[i] -= b->layer_runs[i];
	for (unsigned int i = 0; i < BENCH_DECIDE; i++) {
		a->decide[i] -= b->decide[i];
		a->turn[i] -= b->turn[i];
	}
}

static void add(struct bench_counts *a, const struct bench_counts *b)
{
	a->blocks += b->blocks;
	a->conflicts += b->conflicts;
	a->core_ns += b->core_ns;
	a->least_core_ns += b->least_core_ns;
	a->pressure_ppm_s += b->pressure_ppm_s;
	a->seconds += b->seconds;
	for (unsigned int i = 0; i < VT_MAX_VERSIONS; i++)
		a->layer_runs[i] += b->layer_runs[i];
	for (unsigned int i = 0; i < BENCH_DECIDE; i++) {
		a->decide[i] += b->decide[i];
		a->turn[i] += b->turn[i];
	}
}

static void count_models(struct bench_slice *s, const struct vt_drive *d, const uint64_t *qos_ns)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct vt_shot *x = &d->shots[i];

		s->offered[x->tenant]++;
		s->in_time[x->tenant] += x->how == VT_SHOT_DONE &&
					 x->end_mono_ns <= x->at_mono_ns + qos_ns[x->tenant];
	}
}

/** Another course of arrivals in each round, and none of another seed's. */
static uint64_t course(uint64_t seed, uint32_t round)
{
	struct vt_rng rng = {seed};

	rng.s = vt_rng_u64(&rng) + round;
	return vt_rng_u64(&rng);
}

static int run_slice(struct bench *b, struct bench_row *r, uint32_t round, double rate,
		     struct vt_err *e)
{
	struct bench_slice *s = &r->slices[r->n_slices];
	struct bench_engine *g = r->engine;
	struct bench_counts before;
	struct watch w = {.b = b, .row = r, .counts = &s->counts};
	struct vt_drive_cfg cfg = {.rate_hz = rate,
				   .secs = b->secs,
				   .seed = course(b->o->seed, round),
				   .upto = b->upto,
				   .n_tenants = b->o->n_models,
				   .tick = tick,
				   .arg = &w,
				   .tick_ns = b->o->aggressor_period_s > 0 ? FINE_NS : SAMPLE_NS,
				   .stop = &b->stop};
	struct vt_drive d = {0};
	int rc = r->prepare ? r->prepare(r, e) : 0;

	if (rc)
		return rc;
	if (g->counts)
		g->counts(g->self, &before);
	s->trip_ns = b->cpu[1] < 0 ? 0
				   : vt_trip_ns((unsigned int)b->cpu[0], (unsigned int)b->cpu[1],
						TRIP_MOST_NS);
	bench_noise_restart(b->noise);
	rc = vt_drive_run(&g->target, &cfg, &d, e);
	if (!rc && g->check)
		rc = g->check(g->self, e);
	if (!rc)
		rc = bench_noise_check(b->noise, e);
	if (rc && rc != -EINTR)
		vt_fail_at(e, "round %u, %s at %.2f requests/s", round + 1, r->name, rate);
	if (rc == -ETIMEDOUT)
		return rc; /* d.shots stays: the target may write to it */
	if (!rc && g->counts) {
		struct bench_counts after;

		g->counts(g->self, &after);
		after.pressure_ppm_s = s->counts.pressure_ppm_s;
		after.seconds = s->counts.seconds;
		subtract(&after, &before);
		s->counts = after;
	}
	if (!rc && vt_tally_add(&s->all, &d, b->qos_ns, UINT32_MAX))
		rc = vt_fail(e, -ENOMEM, "no memory for latencies");
	if (!rc) {
		s->rate_hz = rate;
		s->round = round;
		count_models(s, &d, b->qos_ns);
		r->n_slices++;
	}
	free(d.shots);
	return rc;
}

/* ---- rates -------------------------------------------------------------------------------- */

static uint32_t points_of(struct bench_row *r)
{
	for (uint32_t i = 0; i < r->n_slices; i++)
		r->points[i] =
			(struct vt_slice){r->slices[i].rate_hz, (uint32_t)r->slices[i].all.offered,
					  (uint32_t)r->slices[i].all.in_time};
	return r->n_slices;
}

/** Not so low that nothing can be learnt and a slice has no end: there a row is below what was tried. */
static double next_rate(const struct bench *b, struct bench_row *r)
{
	double first = r->engine->limit_hz > 0 ? r->engine->limit_hz : r->engine->capacity_hz;
	double rate;

	if (b->o->rate_hz > 0)
		return b->o->rate_hz;
	rate = vt_crossing_next(r->points, points_of(r), b->o->share, FIRST_RATE * first);
	return rate > 0 ? fmax(rate, fmin(FEW / b->secs, LEAST * first)) : rate;
}

/* ---- results ------------------------------------------------------------------------------ */

/** Does slice @i count, at a rate near @answer? */
static bool near(const struct bench_row *r, uint32_t i, double answer)
{
	double rate = r->slices[i].rate_hz;

	return i + 1 != r->at.aside && rate <= answer * NEAR && rate >= answer / NEAR;
}

static int merge(struct bench_row *r, const struct bench_slice *s, uint32_t n_models,
		 uint32_t *offered, uint32_t *in_time)
{
	struct vt_tally *t = &r->all;
	size_t n = t->n + s->all.n;
	float *ms = realloc(t->ms, (n + 1) * sizeof(*ms));

	if (!ms)
		return -ENOMEM;
	t->ms = ms;
	memcpy(t->ms + t->n, s->all.ms, s->all.n * sizeof(*ms));
	t->n = t->cap = n;
	t->sorted = 0;
	t->offered += s->all.offered;
	t->in_time += s->all.in_time;
	t->late += s->all.late;
	t->refused += s->all.refused;
	for (unsigned int i = 0; i < VT_TALLY_REFUSED; i++)
		t->refused_in[i] += s->all.refused_in[i];
	t->sum_ms += s->all.sum_ms;
	for (uint32_t m = 0; m < n_models; m++) {
		offered[m] += s->offered[m];
		in_time[m] += s->in_time[m];
	}
	add(&r->counts, &s->counts);
	return 0;
}

/** The slice closest to the answer, for rows that have none near it. */
static uint32_t closest(const struct bench_row *r, double answer)
{
	uint32_t best = r->at.aside == 1;

	for (uint32_t i = best + 1; i < r->n_slices; i++)
		if (i + 1 != r->at.aside && fabs(log(r->slices[i].rate_hz / answer)) <
						    fabs(log(r->slices[best].rate_hz / answer)))
			best = i;
	return best;
}

static int conclude(struct bench *b, struct bench_row *r, struct vt_err *e)
{
	uint32_t offered[BENCH_MODELS] = {0}, in_time[BENCH_MODELS] = {0}, used = 0, only;

	if (!r->n_slices)
		return 0;
	if (vt_crossing_of(r->points, points_of(r), b->o->share, b->o->seed, &r->at))
		return vt_fail(e, -ENOMEM, "no memory");
	if (b->o->rate_hz > 0)
		r->at = (struct vt_crossing){
			.rate_hz = b->o->rate_hz, .low = b->o->rate_hz, .high = b->o->rate_hz};
	only = closest(r, r->at.rate_hz);
	for (uint32_t i = 0; i < r->n_slices; i++)
		used += near(r, i, r->at.rate_hz);
	for (uint32_t i = 0; i < r->n_slices; i++)
		if ((used ? near(r, i, r->at.rate_hz) : i == only) &&
		    merge(r, &r->slices[i], b->o->n_models, offered, in_time))
			return vt_fail(e, -ENOMEM, "no memory for latencies");
	r->worst_share = 1;
	for (uint32_t m = 0; m < b->o->n_models; m++)
		if (offered[m])
			r->worst_share =
				fmin(r->worst_share, (double)in_time[m] / (double)offered[m]);
	/* Lateness of the generator is the machine's, failures are the engine's, neither the rate's: of all slices. */
	r->all.failed = 0;
	for (uint32_t i = 0; i < r->n_slices; i++) {
		const struct vt_tally *t = &r->slices[i].all;

		r->all.failed += t->failed;
		r->all.late_sends += t->late_sends;
		if (t->max_late_send_ns > r->all.max_late_send_ns)
			r->all.max_late_send_ns = t->max_late_send_ns;
	}
	return 0;
}

int bench_follow(const struct bench *b, const struct bench_row *r, struct vt_follow *ret)
{
	struct vt_follow_point *p = calloc(b->n_samples + 1u, sizeof(*p));
	const uint32_t row = (uint32_t)(r - b->row);
	size_t n = 0;
	int rc;

	if (!p)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n_samples; i++)
		if (b->sample[i].row == row)
			p[n++] = (struct vt_follow_point){b->sample[i].at_s,
							  (float)b->sample[i].pressure_ppm / VT_PPM,
							  b->sample[i].noise};
	rc = n ? vt_follow(p, n, ret) : -ENODATA;
	free(p);
	return rc;
}

/* ---- rounds ------------------------------------------------------------------------------- */

static int run_round(struct bench *b, uint32_t round, struct vt_progress *progress,
		     struct vt_err *e)
{
	for (uint32_t i = 0; i < b->n_rows; i++) {
		/* Forwards, then backwards: none always runs after the same other. */
		struct bench_row *r = &b->row[round % 2 ? b->n_rows - 1 - i : i];
		double rate = next_rate(b, r);
		const struct bench_slice *s = &r->slices[r->n_slices];
		char detail[128];
		int rc = rate > 0 ? run_slice(b, r, round, rate, e)
				  : vt_fail(e, -ENOMEM, "no memory for rates");

		if (rc)
			return rc;
		snprintf(detail, sizeof(detail), "round %u of %u, %s at %.1f/s: %.1f %% in time",
			 round + 1, (unsigned int)b->o->rounds, r->name, rate,
			 100 * vt_tally_share(&s->all));
		vt_progress_update(progress, round * b->n_rows + i + 1, detail);
	}
	return 0;
}

/** All rows have the same rounds: a slice of one that was cut short would favour or harm it. */
static void cut(struct bench *b)
{
	for (uint32_t i = 0; i < b->n_rows; i++)
		while (b->row[i].n_slices > b->n_rounds)
			vt_tally_fini(&b->row[i].slices[--b->row[i].n_slices].all);
}

int bench_rounds(struct bench *b, struct vt_err *e)
{
	struct vt_progress progress;
	int rc = 0, bad = 0;

	vt_progress_init(&progress, "bench", b->o->rounds * b->n_rows);
	b->start_mono_ns = vt_now_mono_ns();
	b->measuring = 1;
	for (uint32_t round = 0; round < b->o->rounds && !rc; round++) {
		rc = run_round(b, round, &progress, e);
		b->n_rounds += !rc;
	}
	vt_progress_fini(&progress);
	/* Told to stop, or something broke: what has been measured is still worth showing. */
	if (rc == -EINTR)
		rc = b->row[0].n_slices ? 0 : vt_fail(e, -EINTR, "stopped before the first slice");
	if (b->n_rounds)
		cut(b);
	for (uint32_t i = 0; i < b->n_rows && (!rc || b->n_rounds) && !bad; i++)
		bad = conclude(b, &b->row[i], e);
	if (bad)
		b->n_rounds = 0;
	return rc ? rc : bad;
}
