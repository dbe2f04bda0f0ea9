// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_svg.h"

#include <math.h>
#include <string.h>

#define WIDTH  500
#define LEFT   112
#define RIGHT  16
#define BAR    26
#define PLOT_H 260
#define TOP    14
#define BOTTOM 34

void bench_escape(FILE *f, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '&':
			fputs("&amp;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		default:
			fputc(*text, f);
		}
	}
}

/** One axis: values to pixels. */
struct axis {
	double low, high;
	double from, to; /* pixels */
	bool log;
};

static double at(const struct axis *a, double v)
{
	double t = a->log ? log(v / a->low) / log(a->high / a->low)
			  : (v - a->low) / (a->high - a->low);

	return a->from + fmax(0, fmin(1, t)) * (a->to - a->from);
}

/** A round step that gives about @n of them in @range. */
static double step_of(double range, int n)
{
	double raw = range / n, mag = pow(10, floor(log10(raw))), r = raw / mag;

	return mag * (r < 1.5 ? 1 : r < 3.5 ? 2 : r < 7.5 ? 5 : 10);
}

static void open_svg(FILE *f, int height, const char *label)
{
	fprintf(f, "<svg viewBox='0 0 %d %d' role='img' aria-label='%s'>\n", WIDTH, height, label);
}

static void x_axis(FILE *f, const struct axis *x, int top, int bottom, const char *unit)
{
	static const double marks[] = {1, 2, 5};
	double step = x->log ? 0 : step_of(x->high - x->low, 5);
	double decade = x->log ? pow(10, floor(log10(x->low))) : 0;
	double v = x->log ? decade : ceil(x->low / step) * step;

	for (int n = 0; v <= x->high * 1.0001 && n < 40; n++) {
		if (v >= x->low * 0.9999)
			fprintf(f,
				"<line class='grid' x1='%.1f' x2='%.1f' y1='%d' y2='%d'/>"
				"<text x='%.1f' y='%d' text-anchor='middle'>%g</text>\n",
				at(x, v), at(x, v), top, bottom, at(x, v), bottom + 15, v);
		v = x->log ? decade * pow(10, (n + 1) / 3) * marks[(n + 1) % 3] : v + step;
	}
	fprintf(f, "<text x='%d' y='%d' text-anchor='end' class='unit'>%s</text>\n", WIDTH - RIGHT,
		bottom + 30, unit);
}

static void y_axis(FILE *f, const struct axis *y, const char *suffix)
{
	double step = step_of(y->high - y->low, 5), first = ceil(y->low / step);
	int lines = (int)floor(y->high * 1.0001 / step - first) + 1;

	for (int i = 0; i < lines; i++) {
		double v = (first + i) * step;

		fprintf(f,
			"<line class='grid' x1='%d' x2='%d' y1='%.1f' y2='%.1f'/>"
			"<text x='%d' y='%.1f' text-anchor='end'>%g%s</text>\n",
			LEFT, WIDTH - RIGHT, at(y, v), at(y, v), LEFT - 6, at(y, v) + 4, v, suffix);
	}
}

/* ---- bars --------------------------------------------------------------------------------- */

static double highest_rate(const struct bench *b)
{
	double high = 0;

	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct bench_row *r = &b->row[i];

		high = fmax(high, bench_in_time_hz(b, r));
		high = fmax(high, b->o->rate_hz > 0 || isinf(r->at.high) ? 0 : r->at.high);
		high = fmax(high, r->engine->limit_hz);
	}
	return high > 0 ? high * 1.08 : 1;
}

static void bar(FILE *f, const struct bench *b, const struct bench_row *r, const struct axis *x,
		int y, unsigned int colour)
{
	const double hz = bench_in_time_hz(b, r);
	double end = at(x, hz), limit = at(x, r->engine->limit_hz);

	fprintf(f, "<text x='%d' y='%d' text-anchor='end'>", LEFT - 8, y + BAR / 2 + 1);
	bench_escape(f, r->name);
	fprintf(f,
		"</text><rect class='c%u' x='%d' y='%d' width='%.1f' height='%d' rx='2'>"
		"<title>",
		colour, LEFT, y, fmax(1, end - LEFT), BAR - 10);
	bench_escape(f, bench_bound(r));
	fprintf(f, "%.2f requests/s</title></rect>\n", hz);
	if (!isinf(r->at.high) && r->at.high > r->at.low)
		fprintf(f, "<path class='ink' d='M%.1f %d H%.1f m0 -4 v8 M%.1f %d v8'/>\n",
			at(x, r->at.low), y + (BAR - 10) / 2, at(x, r->at.high), at(x, r->at.low),
			y + (BAR - 10) / 2 - 4);
	if (r->engine->limit_hz > 0)
		fprintf(f,
			"<path class='limit' d='M%.1f %d v%d'><title>limit %.2f</title></path>\n",
			limit, y - 4, BAR - 2, r->engine->limit_hz);
	fprintf(f, "<text class='on' x='%d' y='%d'>", LEFT + 5, y + BAR / 2 + 1);
	bench_escape(f, bench_bound(r));
	fprintf(f, "%.1f</text>\n", hz);
}

void bench_svg_rates(FILE *f, const struct bench *b)
{
	int bottom = TOP + (int)b->n_rows * BAR;
	struct axis x = {0, highest_rate(b), LEFT, WIDTH - RIGHT, false};

	open_svg(f, bottom + BOTTOM,
		 b->o->rate_hz > 0 ? "requests per second in time, by row"
				   : "requests per second at the QoS share, by row");
	x_axis(f, &x, TOP - 6, bottom, "requests/s");
	for (uint32_t i = 0; i < b->n_rows; i++)
		bar(f, b, &b->row[i], &x, TOP + (int)i * BAR, i % 12);
	fputs("</svg>\n", f);
}

/* ---- slices ------------------------------------------------------------------------------- */

void bench_svg_slices(FILE *f, const struct bench *b)
{
	struct axis x = {INFINITY, 0, LEFT, WIDTH - RIGHT, false};
	struct axis y = {100, 100, TOP + PLOT_H, TOP, false};

	for (uint32_t i = 0; i < b->n_rows; i++) {
		for (uint32_t k = 0; k < b->row[i].n_slices; k++) {
			const struct bench_slice *s = &b->row[i].slices[k];

			x.low = fmin(x.low, s->rate_hz * 0.95);
			x.high = fmax(x.high, s->rate_hz * 1.05);
			y.low = fmin(y.low, 100 * vt_tally_share(&s->all));
		}
	}
	y.low = fmax(0, fmin(y.low - 1, 90));
	open_svg(f, TOP + PLOT_H + BOTTOM, "share in time over rate, one dot a slice");
	x_axis(f, &x, TOP, TOP + PLOT_H, "requests/s offered");
	y_axis(f, &y, "&#8201;%");
	fprintf(f, "<path class='limit' d='M%d %.1f H%d'/>\n", LEFT, at(&y, 100 * b->o->share),
		WIDTH - RIGHT);
	for (uint32_t i = 0; i < b->n_rows; i++)
		for (uint32_t k = 0; k < b->row[i].n_slices; k++) {
			const struct bench_slice *s = &b->row[i].slices[k];

			const bool aside = b->row[i].at.aside == k + 1;

			fprintf(f, "<circle class='c%u' cx='%.1f' cy='%.1f' r='4.5'%s><title>",
				i % 12, at(&x, s->rate_hz), at(&y, 100 * vt_tally_share(&s->all)),
				aside ? " fill-opacity='0.3'" : "");
			bench_escape(f, b->row[i].name);
			fprintf(f, ", %.1f/s: %.1f %%%s</title></circle>\n", s->rate_hz,
				100 * vt_tally_share(&s->all), aside ? ", set aside" : "");
		}
	fputs("</svg>\n", f);
}

/* ---- latency ------------------------------------------------------------------------------ */

static void curve(FILE *f, struct bench_row *r, const struct axis *x, const struct axis *y,
		  unsigned int colour)
{
	/* Of all offered: a curve that ends below 100 % was cut by refusals. */
	double top = r->all.offered ? (double)r->all.n / (double)r->all.offered : 0;

	fprintf(f, "<path class='line s%u' d='", colour);
	for (int i = 0; i <= 200; i++)
		fprintf(f, "%c%.1f %.1f", i ? 'L' : 'M',
			at(x, fmax(x->low, vt_tally_ms(&r->all, i / 200.0))),
			at(y, 100 * top * i / 200.0));
	fputs("'><title>", f);
	bench_escape(f, r->name);
	fputs("</title></path>\n", f);
}

void bench_svg_latency(FILE *f, struct bench *b)
{
	struct axis x = {INFINITY, 0, LEFT, WIDTH - RIGHT, true};
	struct axis y = {0, 100, TOP + PLOT_H, TOP, false};

	for (uint32_t i = 0; i < b->n_rows; i++) {
		if (!b->row[i].all.n)
			continue;
		x.low = fmin(x.low, vt_tally_ms(&b->row[i].all, 0));
		x.high = fmax(x.high, vt_tally_ms(&b->row[i].all, 0.995));
	}
	for (uint32_t m = 0; m < b->o->n_models; m++)
		x.high = fmax(x.high, (double)b->qos_ns[m] / 1e6 * 1.2);
	x.low = isinf(x.low) ? x.high / 100 : fmax(x.low, 1e-3);
	open_svg(f, TOP + PLOT_H + BOTTOM, "latency: share of the requests offered, cumulated");
	x_axis(f, &x, TOP, TOP + PLOT_H, "ms, from the scheduled arrival");
	y_axis(f, &y, "&#8201;%");
	for (uint32_t m = 0; m < b->o->n_models; m++) {
		double q = at(&x, (double)b->qos_ns[m] / 1e6);

		fprintf(f, "<path class='limit' d='M%.1f %d V%d'><title>target of ", q, TOP,
			TOP + PLOT_H);
		bench_escape(f, b->o->model[m].name);
		fputs("</title></path>\n", f);
	}
	for (uint32_t i = 0; i < b->n_rows; i++)
		if (b->row[i].all.n)
			curve(f, &b->row[i], &x, &y, i % 12);
	fputs("</svg>\n", f);
}

/* ---- pressure ----------------------------------------------------------------------------- */

/** Grey where the trouble beside it was on. */
static void shade_noise(FILE *f, const struct bench *b, const struct axis *x)
{
	for (uint32_t i = 0; i < b->n_samples;) {
		uint32_t k = i;

		while (k + 1 < b->n_samples && b->sample[k + 1].noise == b->sample[i].noise)
			k++;
		if (b->sample[i].noise)
			fprintf(f,
				"<rect class='shade' x='%.1f' y='%d' width='%.1f' height='%d'/>\n",
				at(x, b->sample[i].at_s), TOP,
				fmax(0.5, at(x, b->sample[k].at_s) - at(x, b->sample[i].at_s)),
				PLOT_H);
		i = k + 1;
	}
}

/** A line that breaks where another row took its turn. */
static void series(FILE *f, const struct bench *b, const struct axis *x, const struct axis *y,
		   bool versions)
{
	/* No finer than the picture. */
	uint32_t step = b->n_samples / (2 * WIDTH) + 1;

	fprintf(f, "<path class='line %s' d='", versions ? "s1" : "s0");
	for (uint32_t i = 0; i < b->n_samples; i += step) {
		const struct bench_sample *s = &b->sample[i];
		bool cut = i < step || b->sample[i - step].row != s->row;
		double v = versions ? 100 * s->other_versions : s->pressure_ppm / 1e4;

		fprintf(f, "%c%.1f %.1f", cut ? 'M' : 'L', at(x, s->at_s), at(y, v));
	}
	fputs("'/>\n", f);
}

void bench_svg_pressure(FILE *f, const struct bench *b)
{
	struct axis x = {0, 1, LEFT, WIDTH - RIGHT, false};
	struct axis y = {0, 100, TOP + PLOT_H, TOP, false};

	if (!b->n_samples)
		return;
	x.low = b->sample[0].at_s;
	x.high = fmax(x.low + 1e-3, b->sample[b->n_samples - 1].at_s);
	open_svg(f, TOP + PLOT_H + BOTTOM, "pressure and versions over time");
	shade_noise(f, b, &x);
	x_axis(f, &x, TOP, TOP + PLOT_H, "seconds");
	y_axis(f, &y, "&#8201;%");
	series(f, b, &x, &y, false);
	series(f, b, &x, &y, true);
	for (uint32_t i = 0; i < b->n_samples; i++) {
		uint32_t k = i;

		while (k + 1 < b->n_samples && b->sample[k + 1].row == b->sample[i].row)
			k++;
		fprintf(f, "<rect class='c%u' x='%.1f' y='%d' width='%.1f' height='5'><title>",
			b->sample[i].row % 12, at(&x, b->sample[i].at_s), TOP + PLOT_H + 1,
			fmax(0.5, at(&x, b->sample[k].at_s) - at(&x, b->sample[i].at_s)));
		bench_escape(f, b->row[b->sample[i].row].name);
		fputs("</title></rect>\n", f);
		i = k;
	}
	fputs("</svg>\n", f);
}
