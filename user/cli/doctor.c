// SPDX-License-Identifier: Apache-2.0
/* doctor.c - what this machine has and lacks, one line each, with what to do. */
#include "cli/doctor.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/cmds.h"
#include "events/sysfs_pmu.h"

#define MAX_PROBES   64
#define MAX_REQUIRED 16

static const char *const health_names[VT_HEALTH_COUNT] = {"ok", "limited", "missing"};

/* ---- what probes share -------------------------------------------------------------------- */

void vt_found(struct vt_finding *f, enum vt_health h, const char *hint, const char *fmt, ...)
{
	va_list ap;

	f->health = h;
	va_start(ap, fmt);
	vsnprintf(f->what, sizeof(f->what), fmt, ap);
	va_end(ap);
	snprintf(f->hint, sizeof(f->hint), "%s", hint);
	/* Names in /sys may come from a copied tree: they must not steer the terminal. */
	vt_utf8_put(f->what, sizeof(f->what), f->what);
}

int vt_doctor_read(const struct vt_doctor *d, const char *path, char *buf, size_t len)
{
	int n = vt_sysfs_read(buf, len, "%s/%s", d->root, path);

	if (n < 0)
		*buf = '\0';
	return n;
}

static FILE *open_below(const struct vt_doctor *d, const char *path)
{
	char full[VT_SYSFS_PATH];

	if ((size_t)snprintf(full, sizeof(full), "%s/%s", d->root, path) >= sizeof(full))
		return NULL;
	return fopen(full, "re");
}

bool vt_doctor_field(const struct vt_doctor *d, const char *path, const char *key, char *buf,
		     size_t len)
{
	FILE *f = open_below(d, path);
	size_t room = 0, n = strlen(key);
	char *line = NULL, *v;
	bool found = false;

	while (f && !found && getline(&line, &room, f) >= 0) {
		if (strncmp(line, key, n) != 0)
			continue;
		v = line + n + strspn(line + n, " \t");
		if (*v != ':')
			continue;
		v += 1 + strspn(v + 1, " \t");
		v[strcspn(v, "\n")] = '\0';
		snprintf(buf, len, "%s", v);
		found = true;
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

bool vt_doctor_has(const struct vt_doctor *d, const char *path)
{
	char full[VT_SYSFS_PATH];

	return (size_t)snprintf(full, sizeof(full), "%s/%s", d->root, path) < sizeof(full) &&
	       !access(full, F_OK);
}

bool vt_doctor_mount(const struct vt_doctor *d, const char *type, char *buf, size_t len)
{
	FILE *f = open_below(d, "proc/self/mounts");
	char *line = NULL, at[256], fs[64];
	size_t room = 0;
	bool found = false;

	while (f && !found && getline(&line, &room, f) >= 0) {
		found = sscanf(line, "%*s %255s %63s", at, fs) == 2 && !strcmp(fs, type);
		if (found)
			snprintf(buf, len, "%s", at);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* ---- the command -------------------------------------------------------------------------- */

struct finding {
	const struct vt_probe *probe;
	struct vt_finding f;
};

struct options {
	struct vt_doctor d;
	bool json;
	const char *required[MAX_REQUIRED];
	int n_required;
};

enum { OPT_JSON = 256, OPT_REQUIRE, OPT_ROOT };

static const struct argp_option argp_options[] = {
	{"json", OPT_JSON, NULL, 0, "machine-readable, on standard output", 0},
	{"require", OPT_REQUIRE, "FEATURE", 0,
	 "exit 3 if this is missing; a name of the second column; may be repeated", 0},
	{"root", OPT_ROOT, "DIR", 0,
	 "look at a copy of another machine's files, DIR/proc and DIR/sys", 0},
	{0},
};

static const struct vt_probe *const tables[] = {vt_doctor_cpu, vt_doctor_watch};

static size_t look_at_all(const struct vt_doctor *d, struct finding *ret)
{
	size_t n = 0;

	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct vt_probe *p = tables[t]; p->name && n < MAX_PROBES; p++, n++) {
			ret[n] = (struct finding){.probe = p};
			p->look(d, p->arg, &ret[n].f);
		}
	return n;
}

static bool is_probe(const char *name)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct vt_probe *p = tables[t]; p->name; p++)
			if (!strcmp(p->name, name))
				return true;
	return false;
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct options *o = st->input;

	switch (key) {
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_REQUIRE:
		if (!is_probe(arg))
			argp_error(st,
				   "--require: no feature '%.40s'; the second column of `veltair "
				   "doctor` names them",
				   arg);
		if (o->n_required == MAX_REQUIRED)
			argp_error(st, "--require: at most %d of them", MAX_REQUIRED);
		o->required[o->n_required++] = arg;
		return 0;
	case OPT_ROOT:
		o->d.root = arg;
		if (!vt_doctor_has(&o->d, "proc") || !vt_doctor_has(&o->d, "sys"))
			argp_error(st, "--root '%.200s': no proc/ and sys/ in it", arg);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(st, "unexpected argument '%.60s'", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void print_text(const struct finding *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("%-8s %-17s %s%s%s\n", health_names[v[i].f.health], v[i].probe->name,
		       v[i].f.what, *v[i].f.hint ? " -> " : "", v[i].f.hint);
}

static void print_json(const struct options *o, const struct finding *v, size_t n)
{
	json_t *all = json_array(), *j;
	char root[VT_SYSFS_PATH] = "/"; /* a path may be no text */
	int count[VT_HEALTH_COUNT] = {0};

	for (size_t i = 0; i < n; i++) {
		count[v[i].f.health]++;
		json_array_append_new(all, json_pack("{s:s s:s s:s s:s}", "name", v[i].probe->name,
						     "status", health_names[v[i].f.health], "what",
						     v[i].f.what, "hint", v[i].f.hint));
	}
	if (*o->d.root)
		vt_utf8_put(root, sizeof(root), o->d.root);
	j = json_pack("{s:s s:s s:o}", "version", VT_VERSION, "root", root, "findings", all);
	for (int h = 0; h < VT_HEALTH_COUNT; h++)
		json_object_set_new(j, health_names[h], json_integer(count[h]));
	json_dumpf(j, stdout, JSON_INDENT(1) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(j);
}

static int check_required(const struct options *o, const struct finding *v, size_t n)
{
	struct vt_err e = {0};

	for (int r = 0; r < o->n_required; r++)
		for (size_t i = 0; i < n; i++)
			if (!strcmp(v[i].probe->name, o->required[r]) &&
			    v[i].f.health == VT_HEALTH_MISSING)
				vt_fail(&e, -ENOTSUP, "%s is missing: %s; %s", o->required[r],
					v[i].f.what, v[i].f.hint);
	return e.code ? vt_cmd_fail("doctor", &e) : VT_EXIT_OK;
}

int vt_cmd_doctor(int argc, char **argv)
{
	static const struct argp argp = {
		.options = argp_options,
		.parser = parse,
		.doc = "Say what this machine has and lacks, and what to do about it.\v"
		       "Each line: ok, limited or missing; the feature; what there is; after '->' "
		       "what to do. "
		       "The exit status is 0 whatever is found, unless --require asks for it.",
	};
	struct options o = {.d = {.root = ""}};
	struct finding v[MAX_PROBES];
	size_t n;

	vt_cmd_parse(&argp, argc, argv, &o);
	n = look_at_all(&o.d, v);
	if (o.json)
		print_json(&o, v, n);
	else
		print_text(v, n);
	fflush(stdout);
	return check_required(&o, v, n);
}
