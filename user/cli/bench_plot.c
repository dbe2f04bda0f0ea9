// SPDX-License-Identifier: Apache-2.0
/* bench_plot.c - results as pictures, each beside the data and the script that made it. */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/bench_cli.h"
#include "cli/plot.h"

/* ---- data --------------------------------------------------------------------------------- */

/** A name as one field: gnuplot splits at spaces. */
static void put_name(FILE *f, const char *name)
{
	fputc('"', f);
	for (; *name; name++)
		fputc(*name == '"' ? '\'' : (unsigned char)*name < ' ' ? '?' : *name, f);
	fputc('"', f);
}

static void rate_data(FILE *f, struct bench *b)
{
	fputs("# row requests/s low high limit; in time, with a fixed rate\n", f);
	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct bench_row *r = &b->row[i];
		const double hz = bench_in_time_hz(b, r);
		bool known = !isinf(r->at.high) && r->at.high > r->at.low;

		put_name(f, r->name);
		fprintf(f, " %.5g %.5g %.5g %.5g\n", hz, known ? r->at.low : hz,
			known ? r->at.high : hz, r->engine->limit_hz);
	}
}

/** A block of lines for each row, two blank lines between: gnuplot's index. */
static void latency_data(FILE *f, struct bench *b)
{
	for (uint32_t i = 0; i < b->n_rows; i++) {
		struct vt_tally *t = &b->row[i].all;
		double top = t->offered ? (double)t->n / (double)t->offered : 0;

		fprintf(f, "# %s: ms, share of those offered\n", b->row[i].name);
		for (int k = 0; k <= 200; k++)
			fprintf(f, "%.5g %.5g\n", fmax(1e-3, vt_tally_ms(t, k / 200.0)),
				100 * top * k / 200.0);
		fputs("\n\n", f);
	}
}

static void pressure_data(FILE *f, struct bench *b)
{
	fputs("# seconds pressure-% other-versions-% trouble row\n", f);
	for (uint32_t i = 0; i < b->n_samples; i++) {
		const struct bench_sample *s = &b->sample[i];

		if (i && s->row != s[-1].row)
			fputc('\n', f);
		fprintf(f, "%.3f %.2f %.2f %d ", s->at_s, s->pressure_ppm / 1e4,
			100 * s->other_versions, s->noise);
		put_name(f, b->row[s->row].name);
		fputc('\n', f);
	}
}

/* ---- scripts ------------------------------------------------------------------------------ */

static void rate_script(FILE *f, struct bench *b)
{
	char title[80];

	if (b->o->rate_hz > 0)
		snprintf(title, sizeof(title), "In time, of %.5g offered", b->o->rate_hz);
	else
		snprintf(title, sizeof(title), "Highest rate with %.0f %% in time",
			 100 * b->o->share);
	fprintf(f,
		"set style fill solid 0.8 border -1\nset boxwidth 0.7\nset key outside bottom "
		"center horizontal\n"
		"set xtics rotate by -45 noenhanced\nset grid y\nset yrange [0:*]\n"
		"set xrange [-0.6:%u-0.4]\nset ylabel 'requests/s'\n"
		"set title '%s'\n"
		"plot 'rate.dat' using 0:2:3:4:(0.7):xtic(1) with boxerrorbars lc 'steelblue' "
		"notitle, "
		"'' using 0:5 with points pt 2 ps 1.5 lc 'red' title 'limit at its own times "
		"alone'\n",
		b->n_rows, title);
}

static void latency_script(FILE *f, struct bench *b)
{
	fputs("set logscale x\nset grid\nset xlabel 'ms from the scheduled arrival'\n"
	      "set ylabel '% of the requests offered'\nset yrange [0:100]\n"
	      "set key outside right noenhanced\nset title 'Latency'\n",
	      f);
	for (uint32_t m = 0; m < b->o->n_models; m++)
		fprintf(f, "set arrow from %.5g,0 to %.5g,100 nohead dt 2 lc 'red'\n",
			(double)b->qos_ns[m] / 1e6, (double)b->qos_ns[m] / 1e6);
	for (uint32_t i = 0; i < b->n_rows; i++) {
		fprintf(f, "%s 'latency.dat' index %u with lines lw 2 title ", i ? "," : "plot", i);
		vt_plot_quote(f, b->row[i].name, SIZE_MAX);
	}
	fputc('\n', f);
}

static void pressure_script(FILE *f, struct bench *b)
{
	fputs("set grid\nset xlabel 's'\nset ylabel '%'\nset yrange [0:100]\n"
	      "set key outside bottom center horizontal\nset title 'Pressure over time'\n"
	      "plot 'pressure.dat' using 1:($4*100) with filledcurves x1 lc rgb '#dddddd' title "
	      "'trouble on', '' using 1:2 with lines lw 2 title 'pressure', '' using 1:3 with "
	      "lines title 'layers in another version'\n",
	      f);
}

static const struct plot {
	const char *name;
	void (*data)(FILE *f, struct bench *b);
	void (*script)(FILE *f, struct bench *b);
} plots[] = {
	{"rate", rate_data, rate_script},
	{"latency", latency_data, latency_script},
	{"pressure", pressure_data, pressure_script},
};

static int write_script(struct bench *b, const struct plot *p, struct vt_err *e)
{
	FILE *f = vt_plot_create(b->o->plot_dir, p->name, "gp", e);

	if (!f)
		return e->code;
	fprintf(f,
		"set terminal svg size 860,520 font 'sans,13' background 'white'\n"
		"set output '%s.svg'\n",
		p->name);
	p->script(f, b);
	return vt_plot_finish(f, b->o->plot_dir, p->name, e);
}

static int write_data(struct bench *b, const struct plot *p, struct vt_err *e)
{
	FILE *f = vt_plot_create(b->o->plot_dir, p->name, "dat", e);

	if (!f)
		return e->code;
	p->data(f, b);
	return vt_plot_finish(f, b->o->plot_dir, p->name, e);
}

int bench_plot(struct bench *b, struct vt_err *e)
{
	const char *dir = b->o->plot_dir;
	int rc = 0;

	if (mkdir(dir, 0777) && errno != EEXIST)
		return vt_fail(e, -errno, "%s: %s", dir, strerror(errno));
	for (size_t i = 0; i < sizeof(plots) / sizeof(plots[0]) && !rc; i++) {
		if (plots[i].data == pressure_data && !b->n_samples)
			continue;
		rc = write_data(b, &plots[i], e);
		if (!rc)
			rc = write_script(b, &plots[i], e);
		if (!rc)
			rc = vt_plot_draw(dir, plots[i].name, e);
	}
	return rc;
}
