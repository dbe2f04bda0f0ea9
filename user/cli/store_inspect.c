// SPDX-License-Identifier: Apache-2.0
/* store_inspect.c - a profile store as tables, CSV and JSON. */
#include "cli/store_view.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/cli.h"
#include "pressure/level.h"

#define CMD "inspect"

/* ---- reading -------------------------------------------------------------------------------- */

/* What is in a file must not move the cursor of a terminal. Signatures and variants are ASCII. */
static void make_printable(char *s)
{
	for (; *s; s++)
		if (*s < 0x20 || *s == 0x7f) /* negative: not ASCII */
			*s = '?';
}

static bool wanted(const char *pattern, const char *layer)
{
	if (!pattern)
		return true;
	if (strpbrk(pattern, "*?["))
		return !fnmatch(pattern, layer, 0);
	return strstr(layer, pattern) != NULL;
}

static int take_time(void *arg, const struct vt_profile_time *t)
{
	struct store_rows *r = arg;
	struct store_row *row;

	if (!wanted(r->pattern, t->layer))
		return 0;
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 1024;
		struct store_row *more = realloc(r->row, cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		r->row = more;
		r->cap = cap;
	}
	row = &r->row[r->n];
	row->t = *t;
	/* Rows of one layer follow each other and share its text. */
	if (r->n && !strcmp(row[-1].t.layer, t->layer)) {
		row->t.layer = row[-1].t.layer;
	} else {
		char *layer = strdup(t->layer);

		if (!layer)
			return -ENOMEM;
		make_printable(layer);
		row->t.layer = layer;
	}
	snprintf(row->variant, sizeof(row->variant), "%s", t->variant);
	make_printable(row->variant);
	r->n++;
	return 0;
}

static void rows_fini(struct store_rows *r)
{
	const char *last = NULL;

	for (size_t i = 0; i < r->n; i++) {
		if (r->row[i].t.layer != last)
			free((char *)r->row[i].t.layer);
		last = r->row[i].t.layer;
	}
	free(r->row);
	free(r->key);
	*r = (struct store_rows){0};
}

static int take_key(void *arg, const struct vt_profile_key *key, uint64_t times)
{
	struct store_rows *r = arg;
	struct store_key *more = realloc(r->key, (r->n_keys + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	r->key = more;
	r->key[r->n_keys] = (struct store_key){*key, times};
	make_printable(r->key[r->n_keys].key.machine);
	make_printable(r->key[r->n_keys++].key.library);
	return 0;
}

/* Open it as this machine, or as the one that was asked for by number. */
static int open_view(const struct vt_store_view *v, struct store_rows *r, struct vt_profile **db,
		     struct vt_err *e)
{
	int err;

	vt_profile_here(&r->shown);
	err = vt_profile_open(db, v->path, VT_PROFILE_READ, &r->shown, e);
	if (!err)
		err = vt_profile_keys(*db, take_key, r, e);
	if (err || !v->machine)
		return err;
	if (v->machine > r->n_keys)
		return vt_fail(e, -EINVAL, "--machine %llu: %s has times of %zu",
			       (unsigned long long)v->machine, v->path, r->n_keys);
	vt_profile_close(*db);
	*db = NULL;
	r->shown = r->key[v->machine - 1].key;
	return vt_profile_open(db, v->path, VT_PROFILE_READ, &r->shown, e);
}

/* ---- text ----------------------------------------------------------------------------------- */

static bool same_key(const struct vt_profile_key *a, const struct vt_profile_key *b)
{
	return !strcmp(a->machine, b->machine) && !strcmp(a->library, b->library);
}

static int print_model(void *arg, const char *path, const char *digest, const char *const *layers,
		       size_t n)
{
	char name[256];
	size_t distinct = 0;

	for (size_t i = 0; i < n; i++) {
		bool seen = false;

		for (size_t j = 0; j < i && !seen; j++)
			seen = !strcmp(layers[i], layers[j]);
		distinct += !seen;
	}
	snprintf(name, sizeof(name), "%s", path);
	make_printable(name);
	printf("model    %s: %zu layers, %zu distinct; digest %.16s\n", name, n, distinct, digest);
	return 0;
}

static void print_keys(const struct store_rows *r)
{
	for (size_t i = 0; i < r->n_keys; i++)
		printf("%s %2zu: %llu times; %s; %s%s\n", i ? "        " : "machines", i + 1,
		       (unsigned long long)r->key[i].times, r->key[i].key.machine,
		       r->key[i].key.library,
		       same_key(&r->key[i].key, &r->shown) ? "  <- shown" : "");
}

/* One line: a version on a core count, its times at all levels. */
static size_t print_line(const struct store_row *row, size_t left)
{
	double ms[VT_LEVELS] = {0}, spread = 0;
	uint32_t least = UINT32_MAX;
	size_t n = 0;
	double highest = 0;
	uint8_t top = 0;

	for (; n < left && row[n].t.layer == row->t.layer && row[n].t.cores == row->t.cores &&
	       !strcmp(row[n].variant, row->variant);
	     n++) {
		const struct vt_profile_time *t = &row[n].t;
		double part = 100.0 * (double)t->spread_ns / (double)t->median_ns;

		ms[t->level] = (double)t->median_ns / 1e6;
		spread = part > spread ? part : spread;
		least = t->samples < least ? t->samples : least;
		highest = ms[t->level];
		top = t->level;
	}
	printf("  %-32s %5u", row->variant, row->t.cores);
	for (size_t s = 0; s < VT_LEVELS; s++)
		if (ms[s] > 0)
			printf(" %9.4f", ms[s]);
		else
			printf(" %9s", "-");
	if (ms[0] > 0 && top)
		printf(" %7.2f", highest / ms[0]);
	else
		printf(" %7s", "-");
	printf(" %6.1f%% %7u  %s", spread, least, row->t.kept ? "kept" : "");
	printf(row->t.kept && !row->t.rank ? ", fastest alone\n" : "\n");
	return n;
}

static void print_rows(const struct store_rows *r)
{
	const char *layer = NULL;

	for (size_t i = 0; i < r->n;) {
		if (r->row[i].t.layer != layer) {
			layer = r->row[i].t.layer;
			printf("\n%s\n  %-32s %5s %9s %9s %9s %9s %9s %7s %7s %7s\n", layer,
			       "variant", "cores", "ms, lvl 0", "1", "2", "3", "4", "slower",
			       "spread", "samples");
		}
		i += print_line(&r->row[i], r->n - i);
	}
}

static int print_text(const struct vt_store_view *v, const struct store_rows *r,
		      struct vt_profile *db, struct vt_err *e)
{
	size_t layers = 0;
	int err;

	for (size_t i = 0; i < r->n; i++)
		layers += !i || r->row[i].t.layer != r->row[i - 1].t.layer;
	printf("store    %s: %zu times of %zu layers%s%s\n", v->path, r->n, layers,
	       v->layer ? " like " : "", v->layer ? v->layer : "");
	print_keys(r);
	if (!r->n && r->n_keys && !v->layer)
		printf("None of them is of this machine and build (%s; %s): --machine N shows "
		       "another's.\n",
		       r->shown.machine, r->shown.library);
	err = vt_profile_models(db, print_model, NULL, e);
	if (!err)
		print_rows(r);
	return err;
}

/* ---- CSV and JSON --------------------------------------------------------------------------- */

static void put_csv_text(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"')
			putchar('"');
		putchar(*s);
	}
	putchar('"');
}

static void print_csv(const struct store_rows *r)
{
	puts("layer,variant,cores,level,median_ns,spread_ns,samples,kept,rank,taken_s");
	for (size_t i = 0; i < r->n; i++) {
		const struct vt_profile_time *t = &r->row[i].t;

		put_csv_text(t->layer);
		printf(",%s,%u,%u,%llu,%llu,%u,%d,", r->row[i].variant, t->cores, t->level,
		       (unsigned long long)t->median_ns, (unsigned long long)t->spread_ns,
		       t->samples, t->kept);
		if (t->kept)
			printf("%u", t->rank);
		printf(",%llu\n", (unsigned long long)t->taken_s);
	}
}

/* A path may be any bytes, JSON only takes UTF-8. */
static json_t *text_json(const char *s)
{
	json_t *j = json_string(s);
	char *copy = j ? NULL : strdup(s);

	if (copy) {
		make_printable(copy);
		j = json_string(copy);
	}
	free(copy);
	return j;
}

static int add_model(void *arg, const char *path, const char *digest, const char *const *layers,
		     size_t n)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(all, text_json(layers[i]));
	json_array_append_new(arg, json_pack("{s:o, s:o, s:o}", "path", text_json(path), "digest",
					     text_json(digest), "layers", all));
	return 0;
}

static json_t *times_json(const struct store_rows *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->n; i++) {
		const struct vt_profile_time *t = &r->row[i].t;
		json_t *j = json_pack("{s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:b, s:I}", "layer",
				      t->layer, "variant", r->row[i].variant, "cores", t->cores,
				      "level", t->level, "median_ns", (json_int_t)t->median_ns,
				      "spread_ns", (json_int_t)t->spread_ns, "samples",
				      (json_int_t)t->samples, "kept", t->kept, "taken_s",
				      (json_int_t)t->taken_s);

		if (t->kept)
			json_object_set_new(j, "rank", json_integer(t->rank));
		json_array_append_new(all, j);
	}
	return all;
}

static int print_json(const struct vt_store_view *v, const struct store_rows *r,
		      struct vt_profile *db, struct vt_err *e)
{
	json_t *keys = json_array(), *models = json_array(), *j;
	int err = vt_profile_models(db, add_model, models, e);

	for (size_t i = 0; i < r->n_keys; i++)
		json_array_append_new(keys,
				      json_pack("{s:s, s:s, s:I}", "machine", r->key[i].key.machine,
						"library", r->key[i].key.library, "times",
						(json_int_t)r->key[i].times));
	j = json_pack("{s:s, s:i, s:s, s:s, s:o, s:o, s:o}", "store", v->path, "schema",
		      VT_PROFILE_SCHEMA, "machine", r->shown.machine, "library", r->shown.library,
		      "machines", keys, "models", models, "times", times_json(r));
	if (!err && (!j || json_dumpf(j, stdout, JSON_INDENT(1))))
		err = vt_fail(e, -EIO, "cannot print the store as JSON");
	putchar('\n');
	json_decref(j);
	return err;
}

/* ---- all ------------------------------------------------------------------------------------ */

static int show(const struct vt_store_view *v, struct store_rows *r, struct vt_profile *db,
		struct vt_err *e)
{
	int err = vt_profile_each(db, NULL, take_time, r, e);

	if (err == -ENOMEM)
		return vt_fail(e, err, "%s: no memory for its times", v->path);
	if (err)
		return err;
	if (!r->n && v->layer)
		return vt_fail(e, -EINVAL, "%s: has no layer like '%s' of this machine and build",
			       v->path, v->layer);
	if (!r->n && (v->csv || v->json || v->plot))
		return vt_fail(e, -EINVAL,
			       "%s: has no times of this machine and build; `veltair inspect %s` "
			       "lists whose, --machine N chooses",
			       v->path, v->path);
	if (v->plot)
		return store_plot(v, r, e);
	if (v->json)
		return print_json(v, r, db, e);
	if (v->csv)
		print_csv(r);
	return v->csv ? 0 : print_text(v, r, db, e);
}

int vt_store_inspect(const struct vt_store_view *v)
{
	struct store_rows r = {.pattern = v->layer};
	struct vt_profile *db = NULL;
	struct vt_err e = {0};
	int err = open_view(v, &r, &db, &e);

	if (!err)
		err = show(v, &r, db, &e);
	vt_profile_close(db);
	rows_fini(&r);
	if (!err)
		return VT_EXIT_OK;
	if (e.code != -EIO && e.code != -ENOTSUP)
		vt_store_input(&e);
	return vt_cmd_fail(CMD, &e);
}
