// SPDX-License-Identifier: Apache-2.0
#include "metrics/expo.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define FIRST_ROOM 16384

static const struct type {
	const char *name, *suffix;
} types[] = {
	[VT_COUNTER] = {"counter", "_total"},
	[VT_GAUGE] = {"gauge", ""},
	[VT_HISTOGRAM] = {"histogram", ""},
	[VT_INFO] = {"info", "_info"},
};

/* ---- text --------------------------------------------------------------------------------- */

static bool make_room(struct vt_expo *x, size_t more)
{
	size_t room = x->room ? x->room : FIRST_ROOM;
	char *grown;

	if (x->failed || x->len + more > VT_EXPO_MAX) {
		x->failed = true;
		return false;
	}
	while (room < x->len + more)
		room *= 2;
	if (room == x->room)
		return true;
	grown = realloc(x->buf, room);
	if (!grown) {
		x->failed = true;
		return false;
	}
	x->buf = grown;
	x->room = room;
	return true;
}

void vt_expo_put(struct vt_expo *x, const char *fmt, ...)
{
	size_t left = x->room - x->len;
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(x->buf ? x->buf + x->len : NULL, left, fmt, ap);
	va_end(ap);
	if (n >= 0 && make_room(x, (size_t)n + 1)) {
		if ((size_t)n >= left)
			vsnprintf(x->buf + x->len, (size_t)n + 1, fmt, again);
		x->len += (size_t)n;
	}
	va_end(again);
}

/* A scrape is mostly these: thousands of lines, ten pieces each, and printf() is ten times as slow. */
static void put_bytes(struct vt_expo *x, const char *s, size_t len)
{
	if (!make_room(x, len + 1))
		return;
	memcpy(x->buf + x->len, s, len);
	x->len += len;
	x->buf[x->len] = '\0';
}

static void put_text(struct vt_expo *x, const char *s)
{
	put_bytes(x, s, strlen(s));
}

/* Means itself in either format. */
static bool plain(char c)
{
	return c >= ' ' && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* @len bytes of @value at most; what would not be text is replaced. */
static void put_escaped(struct vt_expo *x, const char *value, size_t len,
			void (*special)(struct vt_expo *x, char c))
{
	const char *s = value;

	while (len && *s) {
		size_t run = 0, n;

		while (run < len && plain(s[run]))
			run++;
		put_bytes(x, s, run);
		s += run;
		len -= run;
		n = vt_utf8_len(s);
		n = n ? n : 1;
		if (!*s || n > len)
			break;
		if (n > 1)
			put_bytes(x, s, n);
		else if ((unsigned char)*s >= 0x7f)
			put_bytes(x, "?", 1);
		else
			special(x, *s);
		s += n;
		len -= n;
	}
}

static void prometheus_char(struct vt_expo *x, char c)
{
	if (c == '\\' || c == '"')
		vt_expo_put(x, "\\%c", c);
	else if (c == '\n')
		vt_expo_put(x, "\\n");
	else
		vt_expo_put(x, "%c", (unsigned char)c < 0x20 ? '?' : c);
}

/* Markup too: who puts a name into a page by mistake gets text. */
static void json_char(struct vt_expo *x, char c)
{
	if (c == '\\' || c == '"')
		vt_expo_put(x, "\\%c", c);
	else if ((unsigned char)c < 0x20 || c == '<' || c == '>' || c == '&')
		vt_expo_put(x, "\\u%04x", (unsigned int)c);
	else
		vt_expo_put(x, "%c", c);
}

void vt_expo_json(struct vt_expo *x, const char *value)
{
	vt_expo_put(x, "\"");
	put_escaped(x, value, SIZE_MAX, json_char);
	vt_expo_put(x, "\"");
}

/* ---- samples ------------------------------------------------------------------------------ */

static void put_name(struct vt_expo *x, const struct vt_family *f)
{
	put_text(x, "veltair_");
	put_text(x, f->name);
}

/* Families without a sample are not mentioned, so the head waits for the first one. */
static void head(struct vt_expo *x, const struct vt_family *f)
{
	const char *suffix = x->openmetrics ? "" : types[f->type].suffix;

	if (x->headed)
		return;
	x->headed = true;
	vt_expo_put(x, "# HELP veltair_%s%s %s\n", f->name, suffix, f->help);
	/* The older format has no type for infos. */
	vt_expo_put(x, "# TYPE veltair_%s%s %s\n", f->name, suffix,
		    f->type == VT_INFO && !x->openmetrics ? "gauge" : types[f->type].name);
	if (x->openmetrics && *f->unit)
		vt_expo_put(x, "# UNIT veltair_%s %s\n", f->name, f->unit);
}

static void put_labels(struct vt_expo *x, const struct vt_label *l, size_t n, const char *le)
{
	if (!n && !le)
		return;
	put_text(x, "{");
	for (size_t i = 0; i < n; i++) {
		put_text(x, i ? "," : "");
		put_text(x, l[i].name);
		put_text(x, "=\"");
		put_escaped(x, l[i].value, VT_LABEL_MAX, prometheus_char);
		put_text(x, "\"");
	}
	if (le) {
		put_text(x, n ? ",le=\"" : "le=\"");
		put_text(x, le);
		put_text(x, "\"");
	}
	put_text(x, "}");
}

static void put_whole(struct vt_expo *x, uint64_t v)
{
	char buf[24], *at = buf + sizeof(buf);

	*--at = '\n';
	do
		*--at = (char)('0' + v % 10);
	while (v /= 10);
	*--at = ' ';
	put_bytes(x, at, (size_t)(buf + sizeof(buf) - at));
}

static void put_number(struct vt_expo *x, double v)
{
	if (v >= 0 && v < 9e15 && v == floor(v))
		put_whole(x, (uint64_t)v);
	else
		vt_expo_put(x, " %.12g\n", v);
}

void vt_expo_sample(struct vt_expo *x, const struct vt_family *f, const char *suffix,
		    const struct vt_label *l, size_t n_labels, double value)
{
	if (isnan(value))
		return;
	head(x, f);
	put_name(x, f);
	put_text(x, types[f->type].suffix);
	put_text(x, suffix);
	put_labels(x, l, n_labels, NULL);
	put_number(x, value);
}

/* Models share their bounds: each is printed once. */
static const char *bound_text(struct vt_expo *x, size_t i, double bound)
{
	struct vt_expo_bound *b = &x->bound[i % VT_EXPO_BOUNDS];

	if (!b->text[0] || b->of != bound) {
		b->of = bound;
		snprintf(b->text, sizeof(b->text), "%.6g", bound);
	}
	return b->text;
}

void vt_expo_histogram(struct vt_expo *x, const struct vt_family *f, const struct vt_label *l,
		       size_t n_labels, const uint64_t *bucket, const double *bound, size_t n,
		       double sum)
{
	uint64_t count = 0;

	head(x, f);
	for (size_t i = 0; i < n; i++) {
		count += bucket[i];
		put_name(x, f);
		put_text(x, "_bucket");
		put_labels(x, l, n_labels, i + 1 < n ? bound_text(x, i, bound[i]) : "+Inf");
		put_number(x, (double)count);
	}
	vt_expo_sample(x, f, "_sum", l, n_labels, sum);
	vt_expo_sample(x, f, "_count", l, n_labels, (double)count);
}

void vt_expo_run(struct vt_expo *x, const struct vt_family *const *families,
		 const struct vt_metrics *m)
{
	for (; *families; families++)
		for (const struct vt_family *f = *families; f->name; f++) {
			x->headed = false;
			f->emit(x, m, f);
		}
	if (x->openmetrics)
		vt_expo_put(x, "# EOF\n");
}

void vt_expo_markdown(FILE *out, const struct vt_family *families)
{
	fputs("| metric | type | labels | meaning |\n|---|---|---|---|\n", out);
	for (const struct vt_family *f = families; f->name; f++)
		fprintf(out, "| `veltair_%s%s` | %s | %s | %s |\n", f->name, types[f->type].suffix,
			types[f->type].name, f->labels, f->help);
}
