// SPDX-License-Identifier: Apache-2.0
/*
 * store_plot.c - a profile store as a picture: a panel per layer, slowdown against level, a line per
 * version, and a ring around the version that is chosen at each level. Drawn by gnuplot.
 */
#include "cli/store_view.h"

#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/plot.h"
#include "pressure/level.h"

#define MAX_PANELS 12u
#define MAX_LINES  24u
#define PANEL_W	   420u
#define PANEL_H	   330u
#define HEAD_H	   60u

extern char **environ;

struct line {
	const char *name;
	bool kept;
	uint8_t rank;
	double ns[VT_LEVELS]; /* NAN: not measured */
};

struct panel {
	const char *layer;
	struct line line[MAX_LINES];
	size_t n;
	uint16_t cores;
	double alone_ns;       /* the fastest version at level 0 */
	int chosen[VT_LEVELS]; /* line; -1: none */
	double gain_ns;	       /* most that choosing by level saves over the fastest alone */
};

/* Okabe and Ito's colours, told apart by all eyes. */
static const char *const colour[VT_PROFILE_KEPT] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
						    "#e69f00"};

/* ---- from rows to panels -------------------------------------------------------------------- */

/* Times of one layer on @cores. Returns the rows of the layer. */
static size_t read_panel(const struct store_row *row, size_t left, uint64_t cores, struct panel *p)
{
	size_t n = 0;

	*p = (struct panel){.layer = row->t.layer, .alone_ns = NAN};
	while (n < left && row[n].t.layer == row->t.layer)
		n++;
	p->cores = (uint16_t)cores;
	for (size_t i = 0; i < n; i++) {
		struct line *l = p->n ? &p->line[p->n - 1] : NULL;

		if (row[i].t.cores != p->cores)
			continue;
		if (!l || strcmp(l->name, row[i].variant) != 0) {
			if (p->n == MAX_LINES)
				continue;
			l = &p->line[p->n++];
			*l = (struct line){row[i].variant,
					   row[i].t.kept,
					   row[i].t.rank,
					   {NAN, NAN, NAN, NAN, NAN}};
		}
		l->ns[row[i].t.level] = (double)row[i].t.median_ns;
	}
	return n;
}

static void judge(struct panel *p)
{
	int alone = -1;

	for (size_t s = 0; s < VT_LEVELS; s++) {
		int best = -1;

		for (size_t i = 0; i < p->n; i++) {
			const struct line *l = &p->line[i];

			if (!s && !(l->ns[0] >= p->alone_ns))
				p->alone_ns = l->ns[0];
			if (l->kept && l->rank == 0)
				alone = (int)i;
			if (l->kept && !isnan(l->ns[s]) &&
			    (best < 0 || l->ns[s] < p->line[best].ns[s]))
				best = (int)i;
		}
		p->chosen[s] = best;
		if (best >= 0 && alone >= 0 && !isnan(p->line[alone].ns[s]))
			p->gain_ns = fmax(p->gain_ns, p->line[alone].ns[s] - p->line[best].ns[s]);
	}
}

/* What choosing by level saves; where it saves nothing, the layers that take longest. */
static int by_weight(const void *a, const void *b)
{
	const struct panel *x = a, *y = b;

	if (x->gain_ns != y->gain_ns)
		return x->gain_ns < y->gain_ns ? 1 : -1;
	if (x->alone_ns != y->alone_ns)
		return x->alone_ns < y->alone_ns ? 1 : -1;
	return strcmp(x->layer, y->layer);
}

/* The core count that was measured at most levels; of several the largest. */
static uint64_t telling_cores(const struct store_rows *r)
{
	uint8_t levels[VT_PROFILE_CORES + 1] = {0};
	uint64_t best = 0;

	for (size_t i = 0; i < r->n; i++)
		levels[r->row[i].t.cores] |= (uint8_t)(1u << r->row[i].t.level);
	for (uint64_t c = 1; c <= VT_PROFILE_CORES; c++)
		if (__builtin_popcount(levels[c]) >= __builtin_popcount(levels[best]))
			best = levels[c] ? c : best;
	return best;
}

/* All layers with a time on the core count; the best of them first. */
static int make_panels(const struct store_rows *r, uint64_t cores, struct panel **ret, size_t *n,
		       struct vt_err *e)
{
	struct panel *all = NULL;
	size_t count = 0;

	cores = cores ? cores : telling_cores(r);
	for (size_t i = 0; i < r->n;) {
		struct panel p, *more;

		i += read_panel(&r->row[i], r->n - i, cores, &p);
		judge(&p);
		if (!p.n || isnan(p.alone_ns))
			continue;
		more = realloc(all, (count + 1) * sizeof(*all));
		if (!more) {
			free(all);
			return vt_fail(e, -ENOMEM, "no memory for the panels of the plot");
		}
		all = more;
		all[count++] = p;
	}
	if (!count)
		return vt_fail(e, -EINVAL, "--cores %llu: the store has no time on so many",
			       (unsigned long long)cores);
	qsort(all, count, sizeof(*all), by_weight);
	*ret = all;
	*n = count;
	return 0;
}

/* ---- the script ----------------------------------------------------------------------------- */

/*
 * "FullyConnected vt_fc_gemm_f32 384x1024,c:4096x1024 -> 384x4096 Gelu" becomes its operator, weights
 * (or first input) and result; and how long it takes.
 */
static void put_title(FILE *f, const struct panel *p)
{
	char op[64] = "", in[512] = "", out[160] = "", text[160];
	const char *from = in, *arrow = strstr(p->layer, " -> ");

	sscanf(p->layer, "%63s %*s %511s", op, in);
	if (arrow)
		sscanf(arrow + 4, "%159[^, ]", out);
	if (strstr(in, "c:"))
		from = strstr(in, "c:") + 2;
	snprintf(text, sizeof(text), "%.16s %.*s > %.20s, %.3g ms", op,
		 (int)strcspn(from, ",~=") < 20 ? (int)strcspn(from, ",~=") : 20, from, out,
		 p->alone_ns / 1e6);
	fputs("set title ", f);
	vt_plot_quote(f, text, sizeof(text));
	fputs(" noenhanced font ',10'\n", f);
}

static const char *short_name(const char *variant)
{
	return strncmp(variant, "f32_gemm_", 9) ? variant : variant + 9;
}

static void put_data(FILE *f, size_t at, const struct panel *p)
{
	fprintf(f, "$L%zu << END\n", at);
	for (size_t s = 0; s < VT_LEVELS; s++) {
		fprintf(f, "%zu", s);
		for (size_t i = 0; i < p->n; i++)
			fprintf(f, " %.6g", p->line[i].ns[s] / p->alone_ns);
		fprintf(f, " %.6g\n",
			p->chosen[s] < 0 ? NAN : p->line[p->chosen[s]].ns[s] / p->alone_ns);
	}
	fputs("END\n", f);
}

/* Lines that were not kept may be far off: they do not set the scale. */
static void put_range(FILE *f, const struct panel *p)
{
	double top = 1.3, bottom = 1;

	for (size_t i = 0; i < p->n; i++)
		for (size_t s = 0; s < VT_LEVELS && p->line[i].kept; s++)
			if (!isnan(p->line[i].ns[s])) {
				top = fmax(top, p->line[i].ns[s] / p->alone_ns);
				bottom = fmin(bottom, p->line[i].ns[s] / p->alone_ns);
			}
	/* Room for the key above, for the rings below. */
	fprintf(f, "set yrange [%g:%g]\n", bottom - (top - bottom) * 0.06,
		top + (top - bottom) * 0.42);
}

static void put_panel(FILE *f, size_t at, const struct panel *p)
{
	put_title(f, p);
	put_range(f, p);
	fputs("plot ", f);
	for (size_t i = 0; i < p->n; i++)
		if (!p->line[i].kept)
			fprintf(f, "$L%zu using 1:%zu with lines lw 1 lc rgb '#c8c8c8' notitle, ",
				at, i + 2);
	for (size_t i = 0; i < p->n; i++) {
		if (!p->line[i].kept)
			continue;
		fprintf(f, "$L%zu using 1:%zu with linespoints lw 2 pt 7 ps 0.5 lc rgb '%s' title ",
			at, i + 2, colour[p->line[i].rank % VT_PROFILE_KEPT]);
		vt_plot_quote(f, short_name(p->line[i].name), 32);
		fputs(" noenhanced, ", f);
	}
	fprintf(f, "$L%zu using 1:%zu with points pt 6 ps 1.6 lw 1.5 lc rgb 'black' notitle\n", at,
		p->n + 2);
}

static void put_script(FILE *f, const struct vt_store_view *v, const struct panel *p, size_t n,
		       size_t all)
{
	size_t cols = n < 2 ? 1 : n <= 4 ? 2 : n <= 9 ? 3 : 4, rows = (n + cols - 1) / cols;
	bool png = strlen(v->plot) > 4 && !strcmp(v->plot + strlen(v->plot) - 4, ".png");
	char head[400], of[96] = "";

	if (n < all)
		snprintf(of, sizeof(of),
			 "%zu of %zu layers: first where choosing saves most time, then the "
			 "longest; ",
			 n, all);
	for (size_t i = 0; i < n; i++)
		put_data(f, i, &p[i]);
	fprintf(f, "set terminal %s size %zu,%zu font 'sans,9'\n", png ? "pngcairo" : "svg",
		(cols < 2 ? 2 : cols) * PANEL_W, rows * PANEL_H + HEAD_H);
	fprintf(f, "set output '%s'\n", v->plot);
	fputs("set xrange [-0.2:4.2]\nset xtics 0,1,4\nset grid y lc rgb '#e4e4e4'\n"
	      "set border 3\nset tics nomirror\nset key top left reverse Left samplen 1.5 spacing "
	      "1.05 font ',8'\nset xlabel 'pressure level'\nset ylabel 'time / fastest alone'\n",
	      f);
	snprintf(head, sizeof(head), "%s%u core%s; ring: chosen at that level; grey: not kept", of,
		 p->cores, p->cores == 1 ? "" : "s");
	fprintf(f, "set multiplot layout %zu,%zu title ", rows, cols);
	vt_plot_quote(f, head, sizeof(head));
	fputs(" noenhanced font ',12'\n", f);
	for (size_t i = 0; i < n; i++)
		put_panel(f, i, &p[i]);
	fputs("unset multiplot\n", f);
}

/* ---- drawing -------------------------------------------------------------------------------- */

static int draw(FILE *script, const char *path, struct vt_err *e)
{
	char *const argv[] = {"gnuplot", NULL};
	posix_spawn_file_actions_t fa;
	int status = 0, rc;
	pid_t pid;

	if (fflush(script) || fseek(script, 0, SEEK_SET))
		return vt_fail(e, -EIO, "cannot write the plot's script: %s", strerror(errno));
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, fileno(script), STDIN_FILENO);
	rc = posix_spawnp(&pid, "gnuplot", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	if (rc == ENOENT)
		return vt_fail(e, -ENOTSUP,
			       "--plot needs gnuplot, which is not installed; --csv has the same "
			       "figures");
	if (rc)
		return vt_fail(e, -EIO, "cannot start gnuplot: %s", strerror(rc));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return vt_fail(e, -EIO, "%s: gnuplot could not draw it", path);
	return 0;
}

static bool has_end(const char *s, const char *end)
{
	return strlen(s) > strlen(end) && !strcmp(s + strlen(s) - strlen(end), end);
}

int store_plot(const struct vt_store_view *v, const struct store_rows *r, struct vt_err *e)
{
	struct panel *p = NULL;
	size_t all = 0, n;
	FILE *script;
	int err;

	if (!has_end(v->plot, ".svg") && !has_end(v->plot, ".png"))
		return vt_fail(e, -EINVAL, "--plot '%s': end its name in .svg or .png", v->plot);
	if (strpbrk(v->plot, "'\\\n"))
		return vt_fail(e, -EINVAL, "--plot '%s': a name without quotes and backslashes",
			       v->plot);
	err = make_panels(r, v->cores, &p, &all, e);
	if (err)
		return err;
	n = all < MAX_PANELS ? all : MAX_PANELS;
	script = tmpfile();
	if (script) {
		put_script(script, v, p, n, all);
		err = draw(script, v->plot, e);
		fclose(script);
	} else {
		err = vt_fail(e, -EIO, "cannot write the plot's script: %s", strerror(errno));
	}
	free(p);
	return err;
}
