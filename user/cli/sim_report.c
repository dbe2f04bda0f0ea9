// SPDX-License-Identifier: Apache-2.0
/* sim_report.c - results as a table for people and as JSON for programs. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/sim_cli.h"

/** What is reported of a run: JSON name, table head, factor and digits of the table. */
static const struct column {
	const char *name, *head;
	size_t at;
	double factor;
	int digits, width;
	bool interval;	/* show the half-width in the table */
	bool host_time; /* differs from run to run */
} columns[] = {
#define C(field, head, factor, digits, width, interval, host)                                      \
	{                                                                                          \
#field, head, offsetof(struct sim_run, field), factor, digits, width, interval,    \
			host                                                                       \
	}
	C(rate_hz, "req/s", 1, 1, 7, true, false),
	C(share, "in QoS %", 100, 1, 8, false, false),
	C(worst_share, "worst %", 100, 1, 7, false, false),
	C(mean_ms, "mean ms", 1, 2, 7, false, false),
	C(p50_ms, NULL, 1, 2, 7, false, false),
	C(p95_ms, NULL, 1, 2, 7, false, false),
	C(p99_ms, "p99 ms", 1, 2, 7, false, false),
	C(conflict_rate, "confl %", 100, 1, 7, false, false),
	C(conflict_loss, "loss %", 100, 1, 6, false, false),
	C(efficiency, "eff %", 100, 1, 5, false, false),
	C(utilisation, "busy %", 100, 1, 6, false, false),
	C(stretched, "memsat %", 100, 1, 8, false, false),
	C(core_ms, "core-ms", 1, 1, 7, false, false),
	C(blocks, "blocks", 1, 1, 6, false, false),
	C(decide_us, "decide us", 1, 2, 9, false, true),
	C(decide_max_us, NULL, 1, 1, 9, false, true),
	C(blocks_per_s, NULL, 1, 0, 9, false, true),
	C(late_actions, NULL, 1, 0, 9, false, false),
#undef C
};
#define N_COLUMNS (sizeof(columns) / sizeof(columns[0]))

/** How many of the arrivals of a file ask for each line of the mix; NULL: no memory. */
static uint64_t *count_arrivals(const struct sim_mix *m)
{
	uint64_t *n = calloc(m->mix.n, sizeof(*n));

	for (size_t k = 0; n && k < m->trace.n; k++)
		n[m->trace.at[k].tenant]++;
	return n;
}

static void print_arrivals(const struct sim_setup *s, const struct sim_mix *m)
{
	uint64_t *n = count_arrivals(m);

	printf("arrivals of %s", s->opts->arrivals);
	if (s->recorded.path)
		printf(", recorded under %s", s->recorded.policy);
	for (uint32_t i = 0; n && i < m->mix.n; i++)
		printf("%s %s %llu", i ? "," : ":", m->mix.at[i].name, (unsigned long long)n[i]);
	putchar('\n');
	free(n);
}

/* ---- what the figures are of ---------------------------------------------------------------- */

/** An option that changes what runs: its JSON name, and as it is given. */
struct given {
	const char *name, *option;
	size_t at;
};

static const struct given flags[] = {
	{"no_shed", "--no-shed", offsetof(struct sim_opts, no_shed)},
	{"no_contention", "--no-contention", offsetof(struct sim_opts, apart)},
	{"no_counters", "--no-counters", offsetof(struct sim_opts, blind)},
};
static const struct given texts[] = {
	{"profiles", "--profiles", offsetof(struct sim_opts, profiles)},
	{"asplos22", "--asplos22", offsetof(struct sim_opts, tables)}, /* also by environment */
};
#define N_FLAGS (sizeof(flags) / sizeof(flags[0]))
#define N_TEXTS (sizeof(texts) / sizeof(texts[0]))

static bool flag_of(const struct sim_opts *o, size_t i)
{
	return *(const bool *)((const char *)o + flags[i].at);
}

static const char *text_of(const struct sim_opts *o, size_t i)
{
	return *(const char *const *)((const char *)o + texts[i].at);
}

void sim_print_given(const struct sim_opts *o)
{
	const char *sep = "with";

	for (size_t i = 0; i < N_FLAGS; i++)
		if (flag_of(o, i)) {
			printf("%s %s", sep, flags[i].option);
			sep = ",";
		}
	for (size_t i = 0; i < N_TEXTS; i++)
		if (text_of(o, i)) {
			printf("%s %s %s", sep, texts[i].option, text_of(o, i));
			sep = ",";
		}
	if (o->seed != 1 && !o->arrivals) {
		printf("%s --seed %llu", sep, (unsigned long long)o->seed);
		sep = ",";
	}
	if (*sep == ',')
		putchar('\n');
}

json_t *sim_number(double x)
{
	return isnan(x) ? json_null() : json_real(x);
}

void sim_given_json(const struct sim_opts *o, json_t *root)
{
	for (size_t i = 0; i < N_FLAGS; i++)
		json_object_set_new(root, flags[i].name, json_boolean(flag_of(o, i)));
	for (size_t i = 0; i < N_TEXTS; i++) {
		const char *text = text_of(o, i);

		json_object_set_new(root, texts[i].name, text ? json_string(text) : json_null());
	}
	json_object_set_new(root, "seed", json_integer((json_int_t)o->seed));
}

/* ---- the table ------------------------------------------------------------------------------ */

static void print_head(const struct sim_setup *s, const struct sim_mix *m)
{
	const struct sim_opts *o = s->opts;

	printf("\nmix %s on %s (%u cores), %llu seed%s x %llu requests", m->mix.name,
	       s->machine.name, s->machine.cores, (unsigned long long)o->seeds,
	       o->seeds > 1 ? "s" : "", (unsigned long long)sim_requests(o, m));
	if (o->search)
		printf(", highest rate with %g %% in time", o->share * 100);
	putchar('\n');
	sim_print_given(o);
	if (m->trace.n)
		print_arrivals(s, m);
	printf("%-16s", "policy");
	for (size_t i = 0; i < N_COLUMNS; i++)
		if (columns[i].head)
			printf("  %*s%s", columns[i].width, columns[i].head,
			       columns[i].interval ? "  +-95%" : "");
	putchar('\n');
}

static void print_row(const struct sim_results *r, const struct sim_cell *c, const char *name)
{
	printf("%-16s", name);
	for (size_t i = 0; i < N_COLUMNS; i++) {
		const struct column *k = &columns[i];
		struct vt_mean v = sim_mean(r, c, k->at);

		if (!k->head)
			continue;
		if (v.n)
			printf("  %*.*f", k->width, k->digits, v.mean * k->factor);
		else
			printf("  %*s", k->width, "-");
		if (k->interval && isfinite(v.half))
			printf(" %6.1f", v.half * k->factor);
		else if (k->interval)
			printf("      -");
	}
	putchar('\n');
}

/** Seeds for which no rate was too high. */
static uint32_t count_open(const struct sim_results *r, const struct sim_cell *c)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_seeds; i++)
		n += c->runs[i].open;
	return n;
}

/** Seeds that met the share at no rate. */
static uint32_t count_missed(const struct sim_results *r, const struct sim_cell *c)
{
	return r->n_seeds - sim_mean(r, c, offsetof(struct sim_run, share)).n;
}

/** What the means of a search do not tell. */
static void print_notes(const struct sim_results *r, const struct sim_cell *c, const char *name)
{
	uint32_t n = count_open(r, c), missed = count_missed(r, c);

	if (missed)
		printf("  %s met the share at no rate with %u of %u seeds: they count as 0 "
		       "requests/s and in no other figure\n",
		       name, missed, r->n_seeds);
	if (n)
		printf("  %s met the share at every rate tried with %u of %u seeds: its rate is at "
		       "least that\n",
		       name, n, r->n_seeds);
}

static void print_gain(struct vt_mean v)
{
	char half[16] = "";

	if (!v.n) {
		printf("  %6s   %-8s", "-", "");
		return;
	}
	if (isfinite(v.half))
		snprintf(half, sizeof(half), "+- %.1f", v.half * 100);
	printf("  %+6.1f %% %-8s", v.mean * 100, half);
}

/** Gains over 0 requests/s are none: how many seeds are left, where some are not. */
static void print_used(const struct sim_results *r, const struct sim_cell *base,
		       const struct sim_cell *c)
{
	uint32_t n = sim_gain(r, base, base).n, k = sim_gain(r, c, c).n;

	if (n < r->n_seeds || k < r->n_seeds)
		printf("  (%u and %u of %u seeds)", n, k, r->n_seeds);
}

/** Relative, at the best baseline's highest rate; NAN: there is no latency to compare */
static double latency_change(const struct sim_results *r, uint32_t mix, uint32_t policy)
{
	const uint32_t base = (uint32_t)r->best_baseline[mix];
	const size_t at = offsetof(struct sim_run, mean_ms);
	struct vt_mean ms = sim_mean(r, &r->equal[mix][policy], at);
	struct vt_mean of = sim_mean(r, &r->equal[mix][base], at);

	return ms.n && of.n ? ms.mean / of.mean - 1 : NAN;
}

static void print_equal(const struct sim_setup *s, const struct sim_results *r, uint32_t mix)
{
	const struct sim_cell *cells = r->cell[mix];
	uint32_t base = (uint32_t)r->best_baseline[mix];
	uint32_t best = (uint32_t)sim_best(s, r, mix, false); /* there is a baseline at least */

	printf("against the best baseline, %s: requests/s, seed by seed, and mean latency at its "
	       "highest rate; last, %s against each\n",
	       s->policies[base]->name, s->policies[best]->name);
	for (uint32_t p = 0; p < s->n_policies; p++) {
		double change = latency_change(r, mix, p);

		printf("  %-16s", s->policies[p]->name);
		print_gain(sim_gain(r, &cells[p], &cells[base]));
		if (isnan(change))
			printf("  %8s        ", "-");
		else
			printf("  %8.2f ms (%+.0f %%)",
			       sim_mean(r, &r->equal[mix][p], offsetof(struct sim_run, mean_ms))
				       .mean,
			       change * 100);
		print_gain(sim_gain(r, &cells[best], &cells[p]));
		print_used(r, &cells[base], &cells[p]);
		putchar('\n');
	}
}

void sim_report_table(const struct sim_setup *s, const struct sim_results *r)
{
	for (uint32_t m = 0; m < s->n_mixes; m++) {
		print_head(s, &s->mixes[m]);
		for (uint32_t p = 0; p < s->n_policies; p++)
			print_row(r, &r->cell[m][p], s->policies[p]->name);
		for (uint32_t p = 0; p < s->n_policies; p++)
			print_notes(r, &r->cell[m][p], s->policies[p]->name);
		if (r->has_equal && r->best_baseline[m] >= 0)
			print_equal(s, r, m);
	}
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static json_t *mean_json(struct vt_mean v)
{
	/* Of no seed it is null, which no number is mistaken for. */
	json_t *x = v.n ? json_pack("{s:f}", "mean", v.mean) : json_pack("{s:n}", "mean");

	if (v.n && isfinite(v.half))
		json_object_set_new(x, "half_95", json_real(v.half));
	return x;
}

/** Seeds without a rate to divide by are not in it. */
static json_t *gain_json(struct vt_mean v)
{
	json_t *x = mean_json(v);

	json_object_set_new(x, "seeds", json_integer(v.n));
	return x;
}

static json_t *cell_json(const struct sim_results *r, const struct sim_cell *c)
{
	json_t *o = json_object();

	for (size_t i = 0; i < N_COLUMNS; i++)
		json_object_set_new(o, columns[i].name, mean_json(sim_mean(r, c, columns[i].at)));
	return o;
}

static json_t *arrivals_json(const struct sim_mix *m)
{
	uint64_t *n = count_arrivals(m);
	json_t *o = json_object();

	for (uint32_t i = 0; n && i < m->mix.n; i++) {
		json_t *had = json_object_get(o, m->mix.at[i].name); /* in several lines */

		json_object_set_new(o, m->mix.at[i].name,
				    json_integer(json_integer_value(had) + (json_int_t)n[i]));
	}
	free(n);
	return o;
}

static json_t *file_json(const struct sim_setup *s)
{
	json_t *o = json_pack("{s:s}", "file", s->opts->arrivals);

	if (s->recorded.path) {
		json_object_set_new(o, "recorded_policy", json_string(s->recorded.policy));
		json_object_set_new(o, "complete", json_boolean(!s->recorded.cut.code));
	}
	return o;
}

/** What a search compares, as print_equal(). */
static void add_gains(const struct sim_results *r, uint32_t mix, uint32_t policy, int best,
		      json_t *o)
{
	const struct sim_cell *cells = r->cell[mix];
	const int base = r->best_baseline[mix];
	json_t *equal;

	if (base < 0)
		return;
	equal = cell_json(r, &r->equal[mix][policy]);
	json_object_set_new(equal, "mean_ms_change", sim_number(latency_change(r, mix, policy)));
	json_object_set_new(o, "at_best_baseline_rate", equal);
	json_object_set_new(o, "over_best_baseline",
			    gain_json(sim_gain(r, &cells[policy], &cells[base])));
	json_object_set_new(o, "best_policy_over_it",
			    gain_json(sim_gain(r, &cells[best], &cells[policy])));
}

static json_t *policy_json(const struct sim_setup *s, const struct sim_results *r, uint32_t mix,
			   uint32_t policy, int best)
{
	const struct sim_cell *c = &r->cell[mix][policy];
	json_t *o = cell_json(r, c);

	json_object_set_new(o, "policy", json_string(s->policies[policy]->name));
	if (!s->opts->search)
		return o;
	json_object_set_new(o, "open_seeds", json_integer(count_open(r, c)));
	json_object_set_new(o, "missed_seeds", json_integer(count_missed(r, c)));
	add_gains(r, mix, policy, best, o);
	return o;
}

static json_t *mix_json(const struct sim_setup *s, const struct sim_results *r, uint32_t m)
{
	json_t *list = json_array(), *x;
	int base = r->best_baseline[m], best = s->opts->search ? sim_best(s, r, m, false) : -1;

	for (uint32_t p = 0; p < s->n_policies; p++)
		json_array_append_new(list, policy_json(s, r, m, p, best));
	x = json_pack("{s:s, s:f, s:s?, s:s?, s:o}", "mix", s->mixes[m].mix.name, "capacity_hz",
		      s->mixes[m].capacity_hz, "best_baseline",
		      base >= 0 ? s->policies[base]->name : NULL, "best_policy",
		      best >= 0 ? s->policies[best]->name : NULL, "policies", list);
	if (s->mixes[m].trace.n)
		json_object_set_new(x, "arrivals", arrivals_json(&s->mixes[m]));
	return x;
}

int sim_report_json(const struct sim_setup *s, const struct sim_results *r, struct vt_err *e)
{
	const struct sim_opts *o = s->opts;
	json_t *mixes = json_array(), *root;

	for (uint32_t m = 0; m < s->n_mixes; m++)
		json_array_append_new(mixes, mix_json(s, r, m));
	root = json_pack("{s:s, s:i, s:b, s:o, s:o, s:I, s:I, s:o}", "machine", s->machine.name,
			 "cores", (int)s->machine.cores, "search", (int)o->search, "qos_share",
			 sim_number(o->search ? o->share : NAN), "rate_hz",
			 sim_number(o->rate_hz > 0 ? o->rate_hz : NAN), "seeds",
			 (json_int_t)o->seeds, "requests",
			 (json_int_t)sim_requests(o, &s->mixes[0]), "mixes", mixes);
	sim_given_json(o, root);
	if (o->arrivals)
		json_object_set_new(root, "arrivals", file_json(s));
	return vt_say_json(root, e);
}
