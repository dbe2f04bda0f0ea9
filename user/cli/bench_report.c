// SPDX-License-Identifier: Apache-2.0
/* bench_report.c - a table for people, JSON and CSV for programs. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/trip.h"
#include "cli/bench_cli.h"
#include "cli/cli.h"

static double conflict_share(const struct bench_counts *c)
{
	return c->blocks ? (double)c->conflicts / (double)c->blocks : 0;
}

static double efficiency(const struct bench_counts *c)
{
	return c->core_ns ? (double)c->least_core_ns / (double)c->core_ns : 0;
}

static double other_versions(const struct bench_counts *c)
{
	uint64_t all = 0;

	for (unsigned int v = 0; v < VT_MAX_VERSIONS; v++)
		all += c->layer_runs[v];
	return all ? 1 - (double)c->layer_runs[0] / (double)all : 0;
}

static double pressure(const struct bench_counts *c)
{
	return c->seconds > 0 ? c->pressure_ppm_s / c->seconds / 1e6 : 0;
}

/* ---- table -------------------------------------------------------------------------------- */

static void print_engines(const struct bench *b)
{
	const struct bench_opts *o = b->o;

	printf("%-14s %9s", "model", "target ms");
	for (uint32_t g = 0; g < b->n_engines; g++)
		printf("  %12.12s ms", b->engine[g].name);
	printf("  (alone: median)\n");
	for (uint32_t m = 0; m < o->n_models; m++) {
		printf("%-14.14s %9.2f", o->model[m].name, (double)b->qos_ns[m] / 1e6);
		for (uint32_t g = 0; g < b->n_engines; g++)
			printf("  %15.2f", b->engine[g].alone_ms[m]);
		putchar('\n');
	}
	for (uint32_t g = 0; g < b->n_engines; g++)
		printf("limit of %s, %s: %.1f requests/s (%.1f if what has begun runs to its end; "
		       "%.1f with no deadline)\n",
		       b->engine[g].name, b->engine[g].what, b->engine[g].limit_hz,
		       b->engine[g].limit_plain_hz, b->engine[g].capacity_hz);
	for (uint32_t g = 0; g < b->n_engines; g++)
		if (b->engine[g].ideal_limit_hz > 0)
			printf("  %.1f were a request as cheap on all cores together as on the "
			       "cheapest number of them\n",
			       b->engine[g].ideal_limit_hz);
}

static void print_rate(const struct bench *b, const struct bench_row *r)
{
	if (*bench_bound(r))
		printf(" %s%6.1f             ", bench_bound(r), r->at.rate_hz);
	else if (b->o->rate_hz > 0 || isinf(r->at.high))
		printf(" %7.1f             ", r->at.rate_hz);
	else
		printf(" %7.1f %5.1f..%-5.1f", r->at.rate_hz, r->at.low, r->at.high);
}

static void print_row(const struct bench *b, struct bench_row *r)
{
	struct vt_tally *t = &r->all;

	printf("%-16.16s", r->name);
	if (!r->n_slices) {
		puts("  no slice");
		return;
	}
	print_rate(b, r);
	printf(" %6.0f %6.1f %6.1f %7.2f %7.2f %7.2f %7.2f",
	       r->engine->limit_hz > 0 ? 100 * r->at.rate_hz / r->engine->limit_hz : 0,
	       100 * vt_tally_share(t), 100 * r->worst_share, vt_tally_mean_ms(t),
	       vt_tally_ms(t, 0.5), vt_tally_ms(t, 0.95), vt_tally_ms(t, 0.99));
	if (r->engine->counts)
		printf(" %6.1f %6.1f %6.1f %6.1f %7.1f", 100 * conflict_share(&r->counts),
		       100 * efficiency(&r->counts), 100 * other_versions(&r->counts),
		       100 * pressure(&r->counts),
		       (double)vt_turn_percentile_ns(r->counts.decide, 0.99) / 1e3);
	putchar('\n');
}

/** Whose rates differ by how much, and what they do not rest on. */
static void print_comparison(const struct bench *b)
{
	const struct bench_row *best = bench_best(b);
	char text[160];

	for (uint32_t i = 0; i < b->n_rows && b->o->rate_hz <= 0; i++)
		if (&b->row[i] != best && bench_times(best, &b->row[i], text, sizeof(text)))
			printf("%s serves %s\n", best->name, text);
	for (uint32_t i = 0; i < b->n_rows; i++)
		if (bench_aside(&b->row[i], text, sizeof(text)))
			printf("%s: %s\n", b->row[i].name, text);
}

/** Where something came and went: what pressure made of it. */
static void print_follows(const struct bench *b)
{
	struct vt_follow f;

	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct bench_row *r = &b->row[i];

		if (bench_follow(b, r, &f))
			continue;
		printf("%s: pressure %.1f %% without, %.1f %% with what came and went beside it; "
		       "halfway in %.0f ms "
		       "in the median of %u switches, %.0f at most",
		       r->name, 100 * f.off, 100 * f.on, 1e3 * f.median_s, f.switches,
		       1e3 * f.worst_s);
		if (f.never)
			printf(", never after %u of them", f.never);
		putchar('\n');
	}
}

/** A virtual machine's CPUs may be moved between caches, and two cores are then two speeds. */
static void print_trips(const struct bench *b)
{
	uint64_t least = UINT64_MAX, most = 0;
	uint32_t far = 0, all = 0;

	for (uint32_t i = 0; i < b->n_rows; i++)
		for (uint32_t k = 0; k < b->row[i].n_slices; k++) {
			const uint64_t ns = b->row[i].slices[k].trip_ns;

			if (!ns)
				continue;
			all++;
			far += ns >= VT_TRIP_FAR_NS;
			least = ns < least ? ns : least;
			most = ns > most ? ns : most;
		}
	if (far == all && far)
		printf("cores %d and %d share no cache: a word there and back takes %llu ns\n",
		       b->cpu[0], b->cpu[1], (unsigned long long)least);
	else if (far)
		printf("cores %d and %d shared no cache before %u of %u slices (a word there and "
		       "back took %llu to %llu ns): the host moves them, so these are figures of "
		       "two machines\n",
		       b->cpu[0], b->cpu[1], far, all, (unsigned long long)least,
		       (unsigned long long)most);
}

/** Say what makes the numbers worth less. */
static void print_warnings(const struct bench *b)
{
	uint64_t late = 0, offered = 0, worst = 0, failed = 0;

	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct bench_row *r = &b->row[i];

		late += r->all.late_sends;
		failed += r->all.failed;
		worst = r->all.max_late_send_ns > worst ? r->all.max_late_send_ns : worst;
		for (uint32_t k = 0; k < r->n_slices; k++)
			offered += r->slices[k].all.offered;
		if (*bench_trouble(r))
			printf("%s: %s\n", r->name, bench_trouble(r));
	}
	if (failed)
		printf("%llu requests failed\n", (unsigned long long)failed);
	if (late)
		printf("the generator itself was late by more than 1 ms for %llu of %llu requests, "
		       "%.1f ms at most: the machine is not quiet\n",
		       (unsigned long long)late, (unsigned long long)offered, (double)worst / 1e6);
	print_trips(b);
	if (!b->realtime)
		puts("the generator has no real-time priority (root, or RLIMIT_RTPRIO): it may be "
		     "late when all cores are busy");
}

void bench_report_table(struct bench *b)
{
	const struct bench_opts *o = b->o;

	print_engines(b);
	printf("\n%s, slices of %.1f s, %u round%s, interleaved, seed %llu\n",
	       o->rate_hz > 0 ? "fixed rate" : "highest rate with the share in time", b->secs,
	       b->row[0].n_slices, b->row[0].n_slices == 1 ? "" : "s", (unsigned long long)o->seed);
	printf("%-16s %7s %12s %6s %6s %6s %7s %7s %7s %7s %6s %6s %6s %6s %7s\n", "", "req/s",
	       "95 % range ", "lim %", "QoS %", "worst", "mean ms", "p50", "p95", "p99", "confl%",
	       "eff %", "vers%", "pres%", "dec us");
	for (uint32_t i = 0; i < b->n_rows; i++)
		print_row(b, &b->row[i]);
	print_comparison(b);
	print_follows(b);
	print_warnings(b);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static json_t *model_json(const struct bench *b, uint32_t m)
{
	const struct bench_model *x = &b->o->model[m];

	return json_pack("{s:s s:s s:f s:f}", "name", x->name, "path", x->path, "qos_ms",
			 (double)b->qos_ns[m] / 1e6, "weight", x->weight);
}

static json_t *engine_json(const struct bench *b, const struct bench_engine *g)
{
	json_t *alone = json_array(), *best = json_array();

	for (uint32_t m = 0; m < b->o->n_models; m++) {
		json_array_append_new(alone, json_real(g->alone_ms[m]));
		json_array_append_new(best, json_real(g->best_ms[m]));
	}
	return json_pack("{s:s s:s s:o s:o s:f s:f s:f s:f}", "name", g->name, "what", g->what,
			 "alone_ms", alone, "alone_best_ms", best, "limit_hz", g->limit_hz,
			 "limit_run_to_end_hz", g->limit_plain_hz, "capacity_hz", g->capacity_hz,
			 "limit_ideal_scaling_hz", g->ideal_limit_hz);
}

static json_t *slices_json(const struct bench *b, struct bench_row *r)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->n_slices; i++) {
		struct bench_slice *s = &r->slices[i];
		json_t *models = json_array();

		for (uint32_t m = 0; m < b->o->n_models; m++)
			json_array_append_new(models,
					      json_pack("{s:i s:i}", "offered", (int)s->offered[m],
							"in_time", (int)s->in_time[m]));
		json_array_append_new(list, json_pack("{s:i s:f s:I s:I s:I s:I s:I s:I s:f s:o}",
						      "round", (int)s->round, "rate_hz", s->rate_hz,
						      "core_trip_ns", (json_int_t)s->trip_ns,
						      "offered", (json_int_t)s->all.offered,
						      "in_time", (json_int_t)s->all.in_time, "late",
						      (json_int_t)s->all.late, "refused",
						      (json_int_t)s->all.refused, "failed",
						      (json_int_t)s->all.failed, "mean_ms",
						      vt_tally_mean_ms(&s->all), "models", models));
	}
	return list;
}

static void add_follow(const struct bench *b, const struct bench_row *r, json_t *j)
{
	struct vt_follow f;

	if (!bench_follow(b, r, &f))
		json_object_set_new(j, "pressure_follows",
				    json_pack("{s:f s:f s:f s:f s:i s:i}", "off", f.off, "on", f.on,
					      "median_ms", 1e3 * f.median_s, "worst_ms",
					      1e3 * f.worst_s, "switches", (int)f.switches, "never",
					      (int)f.never));
}

/** Every row over every other, where both have an interval. */
static json_t *ratios_json(const struct bench *b)
{
	json_t *list = json_array();
	struct vt_ratio x;

	for (uint32_t i = 0; i < BENCH_ROWS * BENCH_ROWS; i++) {
		const struct bench_row *r = &b->row[i / BENCH_ROWS],
				       *over = &b->row[i % BENCH_ROWS];

		/* Those that are not there have no interval. */
		if (r != over && !vt_crossing_ratio(&r->at, &over->at, &x))
			json_array_append_new(list,
					      json_pack("{s:s s:s s:f s:f s:f}", "row", r->name,
							"over", over->name, "ratio", x.ratio,
							"low_95", x.low, "high_95", x.high));
	}
	return list;
}

static json_t *row_json(const struct bench *b, struct bench_row *r)
{
	struct vt_tally *t = &r->all;
	json_t *j = json_pack(
		"{s:s s:s s:f s:b s:b s:f s:f s:f s:f s:f s:f s:I s:I s:f s:o}", "name", r->name,
		"engine", r->engine->name, "rate_hz", r->at.rate_hz, "open", (int)r->at.open,
		"at_most", (int)r->at.at_most, "share", vt_tally_share(t), "worst_share",
		r->worst_share, "mean_ms", vt_tally_mean_ms(t), "p50_ms", vt_tally_ms(t, 0.5),
		"p95_ms", vt_tally_ms(t, 0.95), "p99_ms", vt_tally_ms(t, 0.99), "failed",
		(json_int_t)t->failed, "late_sends", (json_int_t)t->late_sends, "max_late_send_ms",
		(double)t->max_late_send_ns / 1e6, "slices", slices_json(b, r));

	if (b->o->rate_hz <= 0 && !isinf(r->at.high) && r->n_slices) {
		json_object_set_new(j, "low_95_hz", json_real(r->at.low));
		json_object_set_new(j, "high_95_hz", json_real(r->at.high));
	}
	if (r->at.aside) {
		const struct bench_slice *s = &r->slices[r->at.aside - 1];

		json_object_set_new(j, "set_aside",
				    json_pack("{s:i s:f s:f}", "round", (int)s->round, "rate_hz",
					      s->rate_hz, "share", vt_tally_share(&s->all)));
	}
	if (*bench_trouble(r))
		json_object_set_new(j, "trouble", json_string(bench_trouble(r)));
	if (t->refused)
		json_object_set_new(j, "refused",
				    json_pack("{s:I s:f s:f s:f}", "requests",
					      (json_int_t)t->refused, "p50_ms",
					      vt_tally_refused_ms(t, 0.5), "p99_ms",
					      vt_tally_refused_ms(t, 0.99), "most_ms",
					      vt_tally_refused_ms(t, 1)));
	if (r->engine->counts) {
		json_t *versions = json_array();

		for (unsigned int v = 0; v < VT_MAX_VERSIONS; v++)
			json_array_append_new(versions,
					      json_integer((json_int_t)r->counts.layer_runs[v]));
		json_object_set_new(j, "conflicts", json_real(conflict_share(&r->counts)));
		json_object_set_new(j, "cpu_efficiency", json_real(efficiency(&r->counts)));
		json_object_set_new(j, "pressure", json_real(pressure(&r->counts)));
		json_object_set_new(j, "layer_runs_by_version", versions);
		json_object_set_new(
			j, "decide_p99_us",
			json_real((double)vt_turn_percentile_ns(r->counts.decide, 0.99) / 1e3));
		json_object_set_new(
			j, "turn_p99_us",
			json_real((double)vt_turn_percentile_ns(r->counts.turn, 0.99) / 1e3));
		add_follow(b, r, j);
	}
	return j;
}

int bench_report_json(struct bench *b, struct vt_err *e)
{
	json_t *models = json_array(), *engines = json_array(), *rows = json_array();

	for (uint32_t m = 0; m < b->o->n_models; m++)
		json_array_append_new(models, model_json(b, m));
	for (uint32_t g = 0; g < b->n_engines; g++)
		json_array_append_new(engines, engine_json(b, &b->engine[g]));
	for (uint32_t i = 0; i < b->n_rows; i++)
		json_array_append_new(rows, row_json(b, &b->row[i]));
	return vt_say_json(json_pack("{s:b s:f s:f s:I s:I s:I s:b s:o s:o s:o s:o}", "search",
				     b->o->rate_hz <= 0, "qos_share", b->o->share, "secs", b->secs,
				     "rounds", (json_int_t)b->o->rounds, "rounds_done",
				     (json_int_t)b->n_rounds, "seed", (json_int_t)b->o->seed,
				     "realtime", (int)b->realtime, "models", models, "engines",
				     engines, "rows", rows, "ratios", ratios_json(b)),
			   e);
}

/* ---- CSV ---------------------------------------------------------------------------------- */

void bench_report_csv(struct bench *b)
{
	puts("row,engine,round,rate_hz,offered,in_time,late,refused,failed,mean_ms,p50_ms,p95_ms,"
	     "p99_ms,blocks,conflicts,core_ms,late_sends,core_trip_ns");
	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct bench_row *r = &b->row[i];

		for (uint32_t k = 0; k < r->n_slices; k++) {
			struct bench_slice *s = &r->slices[k];
			struct vt_tally *t = &s->all;

			printf("%s,%s,%u,%.4f,%llu,%llu,%llu,%llu,%llu,%.4f,%.4f,%.4f,%.4f,%llu,"
			       "%llu,%.3f,%llu,%llu\n",
			       r->name, r->engine->name, s->round, s->rate_hz,
			       (unsigned long long)t->offered, (unsigned long long)t->in_time,
			       (unsigned long long)t->late, (unsigned long long)t->refused,
			       (unsigned long long)t->failed, vt_tally_mean_ms(t),
			       vt_tally_ms(t, 0.5), vt_tally_ms(t, 0.95), vt_tally_ms(t, 0.99),
			       (unsigned long long)s->counts.blocks,
			       (unsigned long long)s->counts.conflicts,
			       (double)s->counts.core_ns / 1e6, (unsigned long long)t->late_sends,
			       (unsigned long long)s->trip_ns);
		}
	}
}
