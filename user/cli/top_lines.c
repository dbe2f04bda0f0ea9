// SPDX-License-Identifier: Apache-2.0
/* top_lines.c - rates to lines of a given width. Narrow: columns go, the least useful first. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "cli/top.h"

/* ---- cells -------------------------------------------------------------------------------- */

/*
 * Add @text to a line, cut or filled to @width cells (negative: to the right; 0: as long as it is).
 * Names come from outside: what is no printable character becomes '?'.
 */
static void cell(char *line, const char *text, int width)
{
	char out[VT_TOP_BYTES] = "";
	size_t n = 0, used = strlen(line);
	int cells = 0, want = abs(width);
	mbstate_t state = {0};

	while (*text && n < sizeof(out) - 8) {
		wchar_t wc;
		size_t len = mbrtowc(&wc, text, 8, &state);
		int w = len && len < 8 ? wcwidth(wc) : -1;

		if (w < 0) {
			memset(&state, 0, sizeof(state));
			len = len && len < 8 ? len : 1;
			w = 1;
			if (want && cells + w > want)
				break;
			out[n++] = '?';
		} else {
			if (want && cells + w > want)
				break;
			memcpy(out + n, text, len);
			n += len;
		}
		cells += w;
		text += len;
	}
	out[n] = '\0';
	snprintf(line + used, VT_TOP_BYTES - used, "%*s%s%*s", width < 0 ? want - cells : 0, "",
		 out, width > 0 ? want - cells : 0, "");
}

static char *add(struct vt_top_text *t, enum vt_top_look look)
{
	static char nowhere[VT_TOP_BYTES];

	if (t->n == VT_TOP_LINES) {
		nowhere[0] = '\0';
		return nowhere;
	}
	t->line[t->n].look = look;
	t->line[t->n].text[0] = '\0';
	return t->line[t->n++].text;
}

static void say(struct vt_top_text *t, enum vt_top_look look, int width, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static void say(struct vt_top_text *t, enum vt_top_look look, int width, const char *fmt, ...)
{
	char buf[VT_TOP_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	cell(add(t, look), buf, width);
}

static void put_num(char *buf, size_t len, double v, int digits)
{
	if (isnan(v) || isinf(v))
		snprintf(buf, len, "n/a");
	else
		snprintf(buf, len, "%.*f", digits, v);
}

static void put_si(char *buf, size_t len, double v)
{
	static const char units[] = " kMGTP";
	int u = 0;

	if (isnan(v) || isinf(v)) {
		snprintf(buf, len, "n/a");
		return;
	}
	for (; fabs(v) >= 1000 && u < 5; u++)
		v /= 1000;
	snprintf(buf, len, u ? "%.1f%c" : "%.0f", v, units[u]);
}

/* ---- columns ------------------------------------------------------------------------------ */

struct column {
	const char *title;
	int width;
	int rank;			  /* columns of a high rank go first */
	double (*value)(const void *row); /* NULL: the name */
	void (*put)(char *buf, size_t len, double v);
};

static void put0(char *buf, size_t len, double v)
{
	put_num(buf, len, v, 0);
}
static void put1(char *buf, size_t len, double v)
{
	put_num(buf, len, v, 1);
}
static void put2(char *buf, size_t len, double v)
{
	put_num(buf, len, v, 2);
}
static void put_pct(char *buf, size_t len, double v)
{
	put_num(buf, len, 100 * v, 1);
}

#define FIELD(type, name)                                                                          \
	static double type##_##name(const void *row)                                               \
	{                                                                                          \
		return (double)((const struct vt_top_##type *)row)->name;                          \
	}
FIELD(model, qos_ms)
FIELD(model, rate)
FIELD(model, in_time)
FIELD(model, p50_ms)
FIELD(model, p95_ms)
FIELD(model, p99_ms)
FIELD(model, waiting)
FIELD(model, granted)
FIELD(model, wanted)
FIELD(model, conflicts)
FIELD(model, other_versions)
FIELD(model, refused)
FIELD(tenant, cpus)
FIELD(tenant, ipc)
FIELD(tenant, llc_misses)
FIELD(tenant, dram_bytes)
FIELD(tenant, stand_in)

static const struct column model_columns[] = {
	{"MODEL", 24, 0, NULL, NULL},
	{"QOS ms", 8, 3, model_qos_ms, put1},
	{"REQ/S", 8, 1, model_rate, put1},
	{"IN TIME%", 9, 2, model_in_time, put_pct},
	{"P50 ms", 9, 5, model_p50_ms, put2},
	{"P95 ms", 9, 1, model_p95_ms, put2},
	{"P99 ms", 9, 4, model_p99_ms, put2},
	{"WAIT", 6, 3, model_waiting, put0},
	{"REFUSED/S", 10, 4, model_refused, put1},
	{"GOT", 6, 6, model_granted, put2},
	{"WANTED", 7, 6, model_wanted, put2},
	{"CONFL%", 7, 7, model_conflicts, put_pct},
	{"ADAPTED%", 9, 7, model_other_versions, put_pct},
};

static const struct column tenant_columns[] = {
	{"TENANT", 24, 0, NULL, NULL},
	{"CPU%", 8, 0, tenant_cpus, put_pct},
	{"IPC", 7, 2, tenant_ipc, put2},
	{"LLC MISS/S", 11, 1, tenant_llc_misses, put_si},
	{"BYTES/S", 10, 1, tenant_dram_bytes, put_si},
	{"STAND-IN/S", 11, 3, tenant_stand_in, put_si},
};

#define N(a) ((int)(sizeof(a) / sizeof((a)[0])))

int vt_top_columns(bool models)
{
	return models ? N(model_columns) : N(tenant_columns);
}

struct table {
	const struct column *col;
	int n_cols;
	char *rows;
	size_t row_len; /* every row starts with its name */
	int n_rows, sort;
	bool up, focus;
};

/* qsort has no argument for these; one thread, see top.h. */
static const struct table *sorting;

static int compare(const void *a, const void *b)
{
	const struct column *c = &sorting->col[sorting->sort];
	int r;

	if (!c->value) {
		r = strcmp(a, b);
	} else {
		double x = c->value(a), y = c->value(b);

		/* What is not known comes last, whichever way. */
		if (isnan(x) || isnan(y))
			return isnan(x) - isnan(y);
		r = (x > y) - (x < y);
	}
	if (!r)
		return strcmp(a, b);
	return sorting->up ? r : -r;
}

/* The columns that fit; the name gets what is left. */
static int fit(const struct table *t, int width, bool *shown)
{
	int used = 0, highest = 0;

	for (int i = 1; i < t->n_cols; i++) {
		shown[i] = true;
		used += t->col[i].width;
		highest = t->col[i].rank > highest ? t->col[i].rank : highest;
	}
	for (int rank = highest; rank > 0 && used + 12 > width; rank--)
		for (int i = t->n_cols - 1; i > 0 && used + 12 > width; i--)
			if (t->col[i].rank == rank && i != t->sort) {
				shown[i] = false;
				used -= t->col[i].width;
			}
	/* Hardly any room at all: the name alone. */
	for (int i = t->n_cols - 1; i > 0 && used + 1 > width; i--)
		if (shown[i]) {
			shown[i] = false;
			used -= t->col[i].width;
		}
	return width - used > 1 ? width - used : 1;
}

static void table(struct table *t, int width, int room, int scroll, struct vt_top_text *out)
{
	bool shown[32] = {true};
	int name = fit(t, width, shown);
	char *line = add(out, VT_LOOK_HEAD), buf[64];

	for (int i = 0; i < t->n_cols; i++) {
		if (!shown[i])
			continue;
		snprintf(buf, sizeof(buf), "%s%s", t->col[i].title,
			 i != t->sort ? ""
			 : t->up      ? "^"
				      : "v");
		cell(line, buf, i ? -t->col[i].width : name);
	}
	sorting = t;
	qsort(t->rows, (size_t)t->n_rows, t->row_len, compare);
	for (int r = scroll; r < t->n_rows && r - scroll < room; r++) {
		const char *row = t->rows + (size_t)r * t->row_len;

		line = add(out, VT_LOOK_PLAIN);
		cell(line, row, name);
		for (int i = 1; i < t->n_cols; i++) {
			if (!shown[i])
				continue;
			t->col[i].put(buf, sizeof(buf), t->col[i].value(row));
			cell(line, buf, -t->col[i].width);
		}
	}
}

/* ---- the page ----------------------------------------------------------------------------- */

static void bar(char *buf, size_t len, double v, int cells)
{
	int full = isnan(v) ? 0 : (int)(v * cells + 0.5);
	size_t n = 0;

	buf[n++] = '[';
	for (int i = 0; i < cells && n + 2 < len; i++)
		buf[n++] = i < full ? '#' : '.';
	buf[n++] = ']';
	buf[n] = '\0';
}

static void summary(const struct vt_top *t, const struct vt_top_ui *ui, const char *from,
		    struct vt_top_text *out)
{
	char share[32], rate[32];

	if (!t->serving) {
		say(out, VT_LOOK_TITLE, ui->width, "veltair top  %s", from);
		return;
	}
	say(out, VT_LOOK_TITLE, ui->width, "veltair top  %s  %s  up %.0f s", from, t->policy,
	    isnan(t->uptime_s) ? 0 : t->uptime_s);
	put_num(share, sizeof(share), 100 * t->in_time, 1);
	put_num(rate, sizeof(rate), t->rate, 1);
	say(out, t->in_time < 0.95 ? VT_LOOK_BAD : VT_LOOK_PLAIN, ui->width,
	    "%s req/s  %s%% in time  %.1f refused/s  %ld waiting of at most %ld", rate, share,
	    t->refused, t->waiting, t->limit);
}

static void pressure(const struct vt_top *t, const struct vt_top_ui *ui, struct vt_top_text *out)
{
	char line[VT_TOP_BYTES] = "pressure", gauge[32], one[96];
	size_t n;

	for (int d = 0; d < t->n_domains; d++) {
		bar(gauge, sizeof(gauge), t->domain[d].pressure, t->n_domains > 2 ? 5 : 20);
		snprintf(one, sizeof(one), " %s %.2f trust %.0f%%", gauge, t->domain[d].pressure,
			 100 * t->domain[d].confidence);
		n = strlen(line);
		snprintf(line + n, sizeof(line) - n, "%s", one);
	}
	if (t->n_domains) {
		n = strlen(line);
		snprintf(line + n, sizeof(line) - n, "  from %s",
			 t->domain[0].counters	 ? "counters"
			 : t->domain[0].slowdown ? "measured slowdown"
						 : "a first guess");
		say(out, VT_LOOK_PLAIN, ui->width, "%s", line);
	}
}

/* Cores side by side, as many a line as fit; at most three lines. */
static void core_map(const struct vt_top *t, const struct vt_top_ui *ui, struct vt_top_text *out)
{
	int wide = t->n_cores > 16 ? 12 : 24, each = wide < ui->width ? wide : ui->width;
	int per = ui->width / each;
	char *line = NULL, one[128];
	int n;

	for (int c = 0; c < t->n_cores && c < 3 * per; c++) {
		const struct vt_top_core *k = &t->core[c];

		if (c % per == 0)
			line = add(out, VT_LOOK_PLAIN);
		n = snprintf(one, sizeof(one), "%d:%3.0f%% ", k->cpu,
			     100 * (isnan(k->busy) ? 0 : fmin(k->busy, 1)));
		if (k->taken > 0)
			n += snprintf(one + n, sizeof(one) - (size_t)n, "taken %.0f%% ",
				      100 * fmin(k->taken, 1));
		snprintf(one + n, sizeof(one) - (size_t)n, "%s",
			 k->model[0]	? k->model
			 : k->taken > 0 ? ""
					: "-");
		cell(line, one, each > 1 ? each - 1 : 1);
		if (each > 1)
			cell(line, " ", 1);
	}
	if (t->n_cores > 3 * per)
		say(out, VT_LOOK_DIM, ui->width, "(%d more cores)", t->n_cores - 3 * per);
}

static void notes(const struct vt_top *t, const struct vt_top_ui *ui, struct vt_top_text *out)
{
	if (t->monitor_absent[0])
		say(out, VT_LOOK_DIM, ui->width, "monitor off: %s", t->monitor_absent);
	else if (t->llc_absent[0])
		say(out, VT_LOOK_DIM, ui->width, "LLC misses n/a: %s", t->llc_absent);
	else if (!t->llc_hw)
		say(out, VT_LOOK_DIM, ui->width,
		    "LLC misses n/a: no hardware counter; STAND-IN counts %s", t->llc_event);
}

void vt_top_lines(struct vt_top *t, const struct vt_top_ui *ui, const char *from,
		  struct vt_top_text *ret)
{
	struct table models = {model_columns,	    N(model_columns), (char *)t->model,
			       sizeof(t->model[0]), t->n_models,      ui->sort[1],
			       ui->up[1],	    ui->models};
	struct table tenants = {
		tenant_columns, N(tenant_columns), (char *)t->tenant, sizeof(t->tenant[0]),
		t->n_tenants,	ui->sort[0],	   ui->up[0],	      !ui->models};
	int room = ui->height ? ui->height - 1 : VT_TOP_LINES, half;

	ret->n = 0;
	summary(t, ui, from, ret);
	if (t->serving) {
		pressure(t, ui, ret);
		core_map(t, ui, ret);
		half = (room - ret->n) / 2 - 1;
		table(&models, ui->width, half > 1 ? half : 1, 0, ret);
	}
	notes(t, ui, ret);
	if (room - ret->n > 1)
		table(&tenants, ui->width, room - ret->n - 1, ui->scroll, ret);
}
