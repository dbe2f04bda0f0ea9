// SPDX-License-Identifier: Apache-2.0
/* sim_plot.c - results as pictures, each beside the data and the script that made it. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/plot.h"
#include "cli/sim_cli.h"

/** One picture: bars of a figure by mix and policy. */
static const struct plot {
	const char *name, *title, *unit;
	size_t at;
	double factor;
	bool equal; /* from the runs at the best baseline's rate */
	bool search_only;
} plots[] = {
	{"rate", "Requests served at the QoS share", "requests/s",
	 offsetof(struct sim_run, rate_hz), 1, false, true},
	{"share", "Requests that ended in time", "%", offsetof(struct sim_run, share), 100, false,
	 false},
	{"mean_latency", "Mean latency", "ms", offsetof(struct sim_run, mean_ms), 1, false, false},
	{"mean_latency_equal", "Mean latency at the best baseline's highest rate", "ms",
	 offsetof(struct sim_run, mean_ms), 1, true, true},
	{"p99_latency", "99th percentile of latency", "ms", offsetof(struct sim_run, p99_ms), 1,
	 false, false},
	{"conflicts", "Blocks that got fewer cores than they demand", "%",
	 offsetof(struct sim_run, conflict_rate), 100, false, false},
	{"efficiency", "Least core-time of the work / core-time granted", "%",
	 offsetof(struct sim_run, efficiency), 100, false, false},
	{"decision_time", "Time of one decision", "us", offsetof(struct sim_run, decide_us), 1,
	 false, false},
};

static struct vt_mean value(const struct sim_results *r, const struct plot *p, uint32_t mix,
			    uint32_t policy)
{
	return sim_mean(r, p->equal ? &r->equal[mix][policy] : &r->cell[mix][policy], p->at);
}

static bool has_value(const struct sim_setup *s, const struct sim_results *r, const struct plot *p,
		      uint32_t mix)
{
	for (uint32_t k = 0; k < s->n_policies; k++)
		if (value(r, p, mix, k).n)
			return true;
	return false;
}

/** A line for each policy: its name, then mean and half-width for each mix. */
static int write_data(const struct sim_setup *s, const struct sim_results *r, const struct plot *p,
		      struct vt_err *e)
{
	FILE *f = vt_plot_create(s->opts->plot_dir, p->name, "dat", e);

	if (!f)
		return e->code;
	fprintf(f, "# %s (%s), ", p->title, p->unit);
	vt_plot_quote(f, s->machine.name, SIZE_MAX);
	fputs("\n# policy", f);
	for (uint32_t m = 0; m < s->n_mixes; m++) {
		fputc(' ', f);
		vt_plot_quote(f, s->mixes[m].mix.name, SIZE_MAX);
		fputs(" +-95%", f);
	}
	for (uint32_t k = 0; k < s->n_policies; k++) {
		fprintf(f, "\n%s", s->policies[k]->name);
		for (uint32_t m = 0; m < s->n_mixes; m++) {
			struct vt_mean v = value(r, p, m, k);

			if (v.n)
				fprintf(f, " %.6g %.6g", v.mean * p->factor,
					isfinite(v.half) ? v.half * p->factor : 0);
			else
				fputs(" ? ?", f); /* no seed has it, and 0 would be the best */
		}
	}
	fputc('\n', f);
	return vt_plot_finish(f, s->opts->plot_dir, p->name, e);
}

/** Mixes differ by orders of magnitude, so each has a panel with its own scale. */
static int write_script(const struct sim_setup *s, const struct sim_results *r,
			const struct plot *p, struct vt_err *e)
{
	char title[256];
	FILE *f = vt_plot_create(s->opts->plot_dir, p->name, "gp", e);

	if (!f)
		return e->code;
	fprintf(f,
		"set terminal pngcairo size %u,520 font 'sans,11'\n"
		"set output '%s.png'\n"
		"set style fill solid 0.8 border -1\nset boxwidth 0.7\nunset key\n"
		"set xtics rotate by -45\nset grid y\nset datafile missing '?'\n"
		"set xrange [-0.6:%u-0.4]\nset ylabel '%s'\n"
		"set multiplot layout 1,%u title ",
		160 + 420 * s->n_mixes, p->name, s->n_policies, p->unit, s->n_mixes);
	snprintf(title, sizeof(title), "%s, %s", p->title, s->machine.name);
	vt_plot_quote(f, title, SIZE_MAX);
	fputs(" noenhanced\n", f);
	for (uint32_t m = 0; m < s->n_mixes; m++) {
		fputs("set title ", f);
		vt_plot_quote(f, s->mixes[m].mix.name, SIZE_MAX);
		fprintf(f,
			" noenhanced\nset yrange [0:%s]\n"
			"plot '%s.dat' using 0:%u:%u:0:xtic(1) with boxerrorbars lc variable\n",
			has_value(s, r, p, m) ? "*" : "1", p->name, 2 + 2 * m, 3 + 2 * m);
	}
	fputs("unset multiplot\n", f);
	return vt_plot_finish(f, s->opts->plot_dir, p->name, e);
}

int sim_plot(const struct sim_setup *s, const struct sim_results *r, struct vt_err *e)
{
	const char *dir = s->opts->plot_dir;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return vt_fail(e, -errno, "%s: %s", dir, strerror(errno));
	for (size_t i = 0; i < sizeof(plots) / sizeof(plots[0]); i++) {
		const struct plot *p = &plots[i];
		int rc;

		if ((p->equal && !r->has_equal) || (p->search_only && !s->opts->search))
			continue;
		rc = write_data(s, r, p, e);
		if (!rc)
			rc = write_script(s, r, p, e);
		if (!rc)
			rc = vt_plot_draw(dir, p->name, e);
		if (rc)
			return rc;
	}
	return 0;
}
