// SPDX-License-Identifier: Apache-2.0
/* bench_html.c - one page with its pictures in it: no request goes out when it is opened. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/file.h"
#include "cli/bench_svg.h"

static const char head[] =
	"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
	"<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
	"<title>veltair bench</title>\n<style>\n"
	":root{--bg:#fff;--fg:#1c2126;--dim:#5d6873;--rule:#dfe3e8;--shade:#eceff3;--lim:#b3261e;"
	"--c0:#2563a8;--c1:#c2571a;--c2:#2c7f5e;--c3:#8e4a9e;--c4:#9a7b12;--c5:#4a6b8a;"
	"--c6:#b34a6f;--c7:#5f7d2e;--c8:#6a5acd;--c9:#a0522d;--c10:#2f8f9d;--c11:#777}\n"
	"@media (prefers-color-scheme:dark){:root{--bg:#14181c;--fg:#e4e8ec;--dim:#98a4b0;"
	"--rule:#2c343c;--shade:#232a31;--lim:#ff8a80;--c0:#6ba6e8;--c1:#ee9159;--c2:#5fc29a;"
	"--c3:#c78bd6;--c4:#d4b445;--c5:#8fb0cf;--c6:#e889ad;--c7:#a2c266;--c8:#a79df2;"
	"--c9:#d9966f;--c10:#6cc9d6;--c11:#aaa}}\n"
	"body{background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,sans-serif;"
	"margin:0 auto;padding:1rem;max-width:80rem}\n"
	"h1{font-size:1.5rem;margin:.2em 0}h2{font-size:1.1rem;margin:1.8em 0 .3em}"
	"p{margin:.4em 0;max-width:46rem}.dim{color:var(--dim);font-size:.9rem}\n"
	".wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;"
	"font-variant-numeric:tabular-nums}th,td{padding:.25rem .6rem;text-align:right;"
	"border-bottom:1px solid var(--rule);white-space:nowrap}th:first-child,td:first-child"
	"{text-align:left;position:sticky;left:0;background:var(--bg)}th{font-weight:600}\n"
	"svg{width:100%;max-width:42rem;height:auto;display:block}svg text{font:12px "
	"system-ui,sans-serif;"
	"fill:var(--fg)}svg .unit{fill:var(--dim)}svg .on{fill:var(--bg);font-weight:600}"
	".grid{stroke:var(--rule)}.ink{stroke:var(--fg);fill:none;stroke-width:1.5}"
	".limit{stroke:var(--lim);fill:none;stroke-width:2;stroke-dasharray:4 3}"
	".line{fill:none;stroke-width:2}.shade{fill:var(--shade)}\n";

static void colours(FILE *f)
{
	for (int i = 0; i < 12; i++)
		fprintf(f, ".c%d{fill:var(--c%d)}.s%d{stroke:var(--c%d)}.k%d{color:var(--c%d)}", i,
			i, i, i, i, i);
	fputs("\n</style></head><body>\n", f);
}

static void machine(FILE *f, const struct bench *b)
{
	char line[256] = "", when[64], cpu[160] = "unknown CPU";
	FILE *info = fopen("/proc/cpuinfo", "re");
	time_t now = time(NULL);
	struct utsname u;
	struct tm tm;

	while (info && fgets(line, sizeof(line), info)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) != 0 || !colon)
			continue;
		snprintf(cpu, sizeof(cpu), "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
		break;
	}
	if (info)
		fclose(info);
	uname(&u);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", gmtime_r(&now, &tm));
	fputs("<p class='dim'>", f);
	bench_escape(f, cpu);
	fprintf(f, ", Linux ");
	bench_escape(f, u.release);
	fprintf(f,
		". %s, veltair " VT_VERSION
		". Slices of %.1f s, %u rounds, interleaved, seed %llu.</p>\n",
		when, b->secs, b->row[0].n_slices, (unsigned long long)b->o->seed);
}

static void headline(FILE *f, const struct bench *b)
{
	const struct bench_row *best = bench_best(b);
	char text[160];

	fputs("<h1>Requests per second in time</h1>\n", f);
	machine(f, b);
	if (b->o->rate_hz > 0) {
		fprintf(f, "<p>Of %.5g requests per second, a fixed rate.</p>\n", b->o->rate_hz);
		return;
	}
	if (best->at.at_most) {
		fprintf(f, "<p>None had %.0f %% in time at any rate tried, down to %.1f/s.</p>\n",
			100 * b->o->share, best->at.rate_hz);
		return;
	}
	fputs("<p><b>", f);
	bench_escape(f, best->name);
	fprintf(f,
		"</b> served the most: %s%.1f requests per second with %.0f %% in time, %.0f %% of "
		"what a queue allows at its own speed.</p>\n",
		best->at.open ? "more than " : "", best->at.rate_hz, 100 * b->o->share,
		best->engine->limit_hz > 0 ? 100 * best->at.rate_hz / best->engine->limit_hz : 0);
	for (uint32_t i = 0; i < b->n_rows; i++) {
		if (&b->row[i] == best || !bench_times(best, &b->row[i], text, sizeof(text)))
			continue;
		fputs("<p>That is ", f);
		bench_escape(f, text);
		fputs(".</p>\n", f);
	}
}

static void models(FILE *f, const struct bench *b)
{
	fputs("<h2>Models</h2><div class='wide'><table><tr><th>model<th>target ms<th>weight", f);
	for (uint32_t g = 0; g < b->n_engines; g++) {
		fputs("<th>alone, ", f);
		bench_escape(f, b->engine[g].name);
		fputs(" ms", f);
	}
	fputs("</tr>\n", f);
	for (uint32_t m = 0; m < b->o->n_models; m++) {
		fputs("<tr><td>", f);
		bench_escape(f, b->o->model[m].name);
		fprintf(f, "<td>%.1f<td>%g", (double)b->qos_ns[m] / 1e6, b->o->model[m].weight);
		for (uint32_t g = 0; g < b->n_engines; g++)
			fprintf(f, "<td>%.2f", b->engine[g].alone_ms[m]);
		fputs("</tr>\n", f);
	}
	fputs("</table></div>\n", f);
}

/* Does any engine tell of its blocks and decisions? Others leave three columns empty. */
static bool any_counts(const struct bench *b)
{
	for (uint32_t i = 0; i < b->n_rows; i++)
		if (b->row[i].engine->counts)
			return true;
	return false;
}

static void row(FILE *f, const struct bench *b, struct bench_row *r, unsigned int colour,
		bool counts)
{
	const double hz = bench_in_time_hz(b, r);
	struct vt_tally *t = &r->all;

	fprintf(f, "<tr><td><span class='k%u'>&#9632;</span> ", colour);
	bench_escape(f, r->name);
	fputs("<td>", f);
	bench_escape(f, bench_bound(r));
	fprintf(f, "%.1f", hz);
	if (!isinf(r->at.high) && r->at.high > r->at.low)
		fprintf(f, "<td>%.1f &ndash; %.1f", r->at.low, r->at.high);
	else
		fputs("<td>", f);
	fprintf(f, "<td>%.1f<td>%.1f<td>%.1f<td>%.1f<td>%.1f<td>%.1f<td>%.1f<td>%.1f",
		r->engine->limit_hz, r->engine->limit_hz > 0 ? 100 * hz / r->engine->limit_hz : 0.0,
		100 * vt_tally_share(t), 100 * r->worst_share, vt_tally_mean_ms(t),
		vt_tally_ms(t, 0.5), vt_tally_ms(t, 0.95), vt_tally_ms(t, 0.99));
	if (r->engine->counts)
		fprintf(f, "<td>%.1f<td>%.1f<td>%.1f",
			r->counts.blocks
				? 100.0 * (double)r->counts.conflicts / (double)r->counts.blocks
				: 0,
			r->counts.core_ns ? 100.0 * (double)r->counts.least_core_ns /
						    (double)r->counts.core_ns
					  : 0,
			(double)vt_turn_percentile_ns(r->counts.decide, 0.99) / 1e3);
	else if (counts)
		fputs("<td><td><td>", f);
	fputs("</tr>\n", f);
}

static void rows(FILE *f, struct bench *b)
{
	const bool counts = any_counts(b);

	fputs("<div class='wide'><table><tr><th><th>requests/s<th>95 % range<th>limit<th>% of "
	      "it<th>in time %<th>worst model %<th>mean ms<th>p50<th>p95<th>p99",
	      f);
	if (counts)
		fputs("<th>conflicts %<th>CPU efficiency %<th>decision p99 &micro;s", f);
	fputs("</tr>\n", f);
	for (uint32_t i = 0; i < b->n_rows; i++)
		row(f, b, &b->row[i], i % 12, counts);
	fputs("</table></div>\n", f);
}

static void legend(FILE *f, const struct bench *b)
{
	fputs("<p class='dim'>", f);
	for (uint32_t i = 0; i < b->n_rows; i++) {
		fprintf(f, "<span class='k%u'>&#9632;</span>&nbsp;", i % 12);
		bench_escape(f, b->row[i].name);
		fputs(" &ensp;", f);
	}
	fputs("</p>\n", f);
}

static void asides(FILE *f, const struct bench *b)
{
	char text[160];

	for (uint32_t i = 0; i < b->n_rows; i++) {
		if (!bench_aside(&b->row[i], text, sizeof(text)))
			continue;
		fputs("<p class='dim'>", f);
		bench_escape(f, b->row[i].name);
		fputs(": ", f);
		bench_escape(f, text);
		fputs(".</p>\n", f);
	}
}

/** As the table warns: what makes the numbers worth less. */
static void warnings(FILE *f, const struct bench *b)
{
	uint64_t late = 0, worst = 0, failed = 0;

	for (uint32_t i = 0; i < b->n_rows; i++) {
		const struct bench_row *r = &b->row[i];

		failed += r->all.failed;
		late += r->all.late_sends;
		worst = r->all.max_late_send_ns > worst ? r->all.max_late_send_ns : worst;
		if (!*bench_trouble(r))
			continue;
		fputs("<p>", f);
		bench_escape(f, r->name);
		fputs(": ", f);
		bench_escape(f, bench_trouble(r));
		fputs(".</p>\n", f);
	}
	if (failed)
		fprintf(f, "<p>%llu requests failed.</p>\n", (unsigned long long)failed);
	fprintf(f,
		"<p class='dim'>The generator itself was late by more than 1 ms for %llu requests, "
		"by %.2f ms at most%s.</p>\n",
		(unsigned long long)late, (double)worst / 1e6,
		b->realtime ? ""
			    : "; it had no real-time priority (root, or RLIMIT_RTPRIO), so it may "
			      "be late when all cores are busy");
}

static void page(FILE *f, struct bench *b)
{
	fputs(head, f);
	colours(f);
	headline(f, b);
	bench_svg_rates(f, b);
	fputs("<p class='dim'>Dashed: what a queue allows each engine at its own times alone: one "
	      "server, earliest deadline first, hopeless requests dropped. Whiskers: 95 % "
	      "intervals.</p>\n",
	      f);
	rows(f, b);
	asides(f, b);
	warnings(f, b);
	models(f, b);
	fputs("<h2>Every slice: share in time over rate</h2>\n", f);
	legend(f, b);
	bench_svg_slices(f, b);
	fputs("<h2>Latency at those rates</h2><p class='dim'>Share of the requests offered; a "
	      "curve that ends below 100 % refused the rest. Dashed: the targets.</p>\n",
	      f);
	legend(f, b);
	bench_svg_latency(f, b);
	if (b->n_samples) {
		fputs("<h2>Pressure over time</h2><p class='dim'><span class='k0'>&#9632;</span> "
		      "pressure &ensp; <span class='k1'>&#9632;</span> layers run in another than "
		      "their fastest version &ensp; grey: trouble beside it. The strip below says "
		      "which row had its turn.</p>\n",
		      f);
		bench_svg_pressure(f, b);
	}
	fputs("</body></html>\n", f);
}

int bench_html(struct bench *b, struct vt_err *e)
{
	struct vt_outfile out;
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (!f)
		return vt_fail(e, -ENOMEM, "no memory");
	page(f, b);
	fclose(f);
	rc = vt_outfile_open(&out, b->o->html, len, e);
	if (!rc) {
		rc = vt_outfile_put(&out, text, len, e);
		if (!rc)
			rc = vt_outfile_commit(&out, e);
		else
			vt_outfile_abort(&out);
	}
	free(text);
	return rc;
}
