// SPDX-License-Identifier: Apache-2.0
/* profile.c - measure the layers of models on this machine, into a profile store. */
#include "cli/cli.h"
#include "cli/cmds.h"
#include "cli/store.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/digest.h"
#include "exec/costs.h"
#include "exec/topology.h"
#include "exec/tune.h"

#define NAME	   "profile"
#define DEFAULT_DB "veltair-profile.db"
#define MAX_MODELS 64
#define MAX_DIMS   16
#define SHARES	   1000 /* of a progress bar */

static volatile sig_atomic_t stopped;

struct args {
	const char *model[MAX_MODELS], *db;
	int n_models;
	struct vt_dim_binding dim[MAX_DIMS];
	int n_dims;
	struct vt_cpuset levels;
	struct vt_tune_opts o;
	bool json, direct;
};

enum { OPT_DB = 256, OPT_QUICK, OPT_LEVELS, OPT_DIM, OPT_JSON, OPT_DIRECT };

static const struct argp_option options[] = {
	{"db", OPT_DB, "FILE", 0, "The store (default " DEFAULT_DB "); made if it is not there", 0},
	{"quick", OPT_QUICK, NULL, 0, "Fewer turns: a second or so per layer", 0},
	{"levels", OPT_LEVELS, "LIST", 0,
	 "Pressure levels to measure, for example 0,4 (default 0-4; 0 always is)", 0},
	{"cores", 'c', "LIST", 0,
	 "Cores to use, for example 0-3,8 (default: all allowed, or what a CPU quota affords). "
	 "Measured are 1, 2, 4 ... and all "
	 "of "
	 "them; above level 0 the upper half belongs to the bubble",
	 0},
	{"dim", OPT_DIM, "NAME=N", 0, "Bind a symbolic dimension of every model; also INPUT:AXIS=N",
	 0},
	{"direct", OPT_DIRECT, NULL, 0, "For models served with `kernels: direct`", 0},
	{"json", OPT_JSON, NULL, 0, "Machine-readable result on standard output", 0},
	{0},
};

static void add_dim(struct argp_state *st, struct args *a, char *arg)
{
	char *eq = strrchr(arg, '=');
	uint64_t v = 0;

	if (!eq || eq == arg || vt_parse_u64(eq + 1, 1, INT32_MAX, &v)) {
		argp_error(st, "--dim '%s': say NAME=N, N from 1 to %d", arg, INT32_MAX);
		return;
	}
	if (a->n_dims == MAX_DIMS)
		argp_error(st, "--dim: at most %d of them", MAX_DIMS);
	*eq = '\0';
	a->dim[a->n_dims++] = (struct vt_dim_binding){arg, (int64_t)v};
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	struct args *a = st->input;

	switch (key) {
	case OPT_DB:
		a->db = arg;
		return 0;
	case OPT_QUICK:
		a->o.quick = true;
		return 0;
	case OPT_LEVELS:
		a->levels = (struct vt_cpuset){0};
		if (vt_cpuset_parse(arg, &a->levels) || vt_cpuset_next(&a->levels, VT_LEVELS) >= 0)
			argp_error(st, "--levels '%s': give a list of levels from 0 to %u", arg,
				   VT_LEVELS - 1);
		return 0;
	case 'c':
		if (vt_cpuset_parse(arg, &a->o.cores))
			argp_error(st, "--cores '%s': give a list such as 0-3,8", arg);
		return 0;
	case OPT_DIM:
		add_dim(st, a, arg);
		return 0;
	case OPT_DIRECT:
		a->direct = true;
		return 0;
	case OPT_JSON:
		a->json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (a->n_models == MAX_MODELS)
			argp_error(st, "at most %d models at a time", MAX_MODELS);
		a->model[a->n_models++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!a->n_models)
			argp_error(st, "which models? give the paths of ONNX files");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void on_signal(int sig)
{
	stopped = 1;
}

/* ---- a session ----------------------------------------------------------------------------- */

struct session {
	const struct args *a;
	struct vt_tune_opts o;
	struct vt_profile *db;
	struct vt_tuner *tuner; /* opened when there is something to measure */
	struct vt_progress bar;
	bool bar_open;
	json_t *models;
};

static bool asked_to_stop(void *arg)
{
	return stopped;
}

static void show(void *arg, const struct vt_tune_progress *p)
{
	struct session *s = arg;
	char detail[80];

	snprintf(detail, sizeof(detail), "layer %u of %u %.48s",
		 p->layers_done < p->layers ? p->layers_done + 1 : p->layers, p->layers, p->layer);
	vt_progress_update(&s->bar, (uint64_t)(p->share * SHARES), detail);
}

static int choose_cores(struct session *s, struct vt_err *e)
{
	struct vt_cpuset allowed;
	unsigned int n, k;
	int err = vt_cpuset_allowed(&allowed);

	if (err)
		return vt_fail(e, err, "cannot read the cores this process may use: %s",
			       strerror(-err));
	if (!vt_cpuset_count(&s->o.cores))
		vt_topology_default(&s->o.cores);
	for (int c = vt_cpuset_next(&s->o.cores, 0); c >= 0;
	     c = vt_cpuset_next(&s->o.cores, (unsigned int)c + 1))
		if (!vt_cpuset_has(&allowed, (unsigned int)c))
			return vt_fail(e, -EINVAL,
				       "--cores: core %d does not exist or may not be used by this "
				       "process",
				       c);
	n = vt_cpuset_count(&s->o.cores);
	for (k = 1; k < n; k *= 2)
		s->o.points[s->o.n_points++] = (uint16_t)k;
	s->o.points[s->o.n_points++] = (uint16_t)n;
	return 0;
}

static int open_store(struct session *s, struct vt_err *e)
{
	struct vt_profile_key key;

	vt_profile_here(&key);
	return vt_profile_open(&s->db, s->a->db, VT_PROFILE_WRITE, &key, e);
}

static int open_tuner(struct session *s, struct vt_err *e)
{
	const struct vt_bubble_scale *scale;
	int err = s->tuner ? 0 : vt_tuner_open(&s->tuner, &s->o, s->db, e);

	if (!err)
		err = vt_tuner_calibrate(s->tuner, e);
	if (err || s->bar_open)
		return err;
	if (vt_tuner_lacks(s->tuner))
		fprintf(stderr, "veltair profile: %s\n", vt_tuner_lacks(s->tuner));
	s->bar_open = true;
	scale = vt_tuner_scale(s->tuner);
	if (s->a->json || !scale->level[VT_LEVELS - 1].footprint_bytes)
		return 0;
	printf("level %u: %zu MiB at %.1f GB/s, slows the probe by a factor of %.2f%s\n",
	       VT_LEVELS - 1, scale->level[VT_LEVELS - 1].footprint_bytes >> 20,
	       (double)scale->bytes_per_s[VT_LEVELS - 1] / 1e9,
	       (double)scale->slowdown_ppm[VT_LEVELS - 1] / VT_PPM,
	       scale->by_bandwidth ? "; levels are steps of bandwidth" : "");
	fflush(stdout);
	return 0;
}

/* ---- models -------------------------------------------------------------------------------- */

/* Is this very file known, and all its layers? */
struct lookup {
	struct session *s;
	const char *path, *digest;
	bool known;
	size_t layers; /* distinct */
	struct vt_err *e;
};

static int look(void *arg, const char *path, const char *digest, const char *const *layers,
		size_t n)
{
	struct lookup *l = arg;

	if (strcmp(path, l->path) != 0 || strcmp(digest, l->digest) != 0)
		return 0;
	l->known = true;
	for (size_t i = 0; i < n && l->known; i++) {
		size_t first = 0;
		int known;

		while (strcmp(layers[first], layers[i]) != 0)
			first++;
		if (first < i)
			continue;
		known = vt_tune_known(&l->s->o, l->s->db, layers[i], l->e);
		if (known < 0)
			return known;
		l->known = known;
		l->layers++;
	}
	return 1;
}

static int remember(struct session *s, const struct vt_engine *eng, const char *path,
		    const char *digest, struct vt_err *e)
{
	const size_t n = (size_t)eng->n_steps;
	char(*text)[VT_PROFILE_TEXT] = calloc(n + 1, sizeof(*text));
	const char **name = calloc(n + 1, sizeof(*name));
	char known_as[VT_PROFILE_NAME];
	int err = text && name ? 0 : vt_fail(e, -ENOMEM, "no memory for %zu layers", n);

	for (size_t i = 0; i < n && !err; i++) {
		vt_layer_signature(eng, (int)i, text[i], VT_PROFILE_TEXT);
		name[i] = text[i];
	}
	snprintf(known_as, sizeof(known_as), "%s%s%s", digest, s->a->n_dims ? VT_PROFILE_DIMS : "",
		 s->a->direct ? VT_PROFILE_DIRECT : "");
	if (!err)
		err = vt_profile_model(s->db, path, known_as, name, n, e);
	free(text);
	free(name);
	return err;
}

static int measure(struct session *s, const char *path, const char *digest,
		   struct vt_tune_report *r, struct vt_err *e)
{
	struct vt_engine_opts o = {.import = {.dims = s->a->dim, .n_dims = s->a->n_dims},
				   .direct = s->a->direct};
	struct vt_engine *eng = NULL;
	int err = vt_engine_load(&eng, path, &o, e);

	if (!err)
		err = open_tuner(s, e);
	if (!err) {
		vt_progress_init(&s->bar, strrchr(path, '/') ? strrchr(path, '/') + 1 : path,
				 SHARES);
		err = vt_tune_engine(s->tuner, eng, r, e);
		vt_progress_fini(&s->bar);
	}
	if (!err)
		err = remember(s, eng, path, digest, e);
	vt_engine_free(eng);
	return err;
}

static void report(struct session *s, const char *given, const struct vt_tune_report *r,
		   double secs)
{
	json_array_append_new(s->models,
			      json_pack("{s:s s:i s:i s:i s:i s:I s:f}", "model", given, "layers",
					(int)r->layers, "known", (int)r->known, "measured",
					(int)r->measured, "again", (int)r->again, "samples",
					(json_int_t)r->samples, "seconds", secs));
	if (s->a->json)
		return;
	printf("%s: %u distinct layers, %u known, %u measured", given, r->layers, r->known,
	       r->measured);
	if (r->again)
		printf(", %u of them twice, as times were far apart,", r->again);
	printf(" in %.1f s\n", secs);
	fflush(stdout);
}

static int profile_model(struct session *s, const char *given, struct vt_err *e)
{
	const uint64_t t0 = vt_now_mono_ns();
	char digest[VT_DIGEST_TEXT], *path = realpath(given, NULL);
	struct vt_tune_report r = {0};
	struct lookup l = {.s = s, .path = path, .digest = digest, .e = e};
	int err;

	if (!path)
		return vt_fail(e, -errno, "%s: %s", given, strerror(errno));
	err = vt_file_digest(path, digest, e);
	/* Other dimensions and kernels make other layers, and the store knows the file only. */
	if (!err && !s->a->n_dims && !s->a->direct) {
		err = vt_profile_models(s->db, look, &l, e);
		err = err > 0 ? 0 : err;
	}
	if (!err && l.known)
		r.layers = r.known = (unsigned int)l.layers;
	else if (!err)
		err = measure(s, path, digest, &r, e);
	if (!err || err == -ECANCELED)
		report(s, given, &r, (double)(vt_now_mono_ns() - t0) / 1e9);
	free(path);
	return err;
}

static json_t *scale_json(const struct session *s)
{
	const struct vt_bubble_scale *scale = s->tuner ? vt_tuner_scale(s->tuner) : NULL;
	json_t *all = json_array();

	for (unsigned int i = 0; scale && i < VT_LEVELS; i++)
		json_array_append_new(all, json_pack("{s:i s:f s:f}", "level", (int)i, "gb_per_s",
						     (double)scale->bytes_per_s[i] / 1e9,
						     "probe_slowdown",
						     (double)scale->slowdown_ppm[i] / VT_PPM));
	return all;
}

static int profile_all(struct session *s, struct vt_err *e)
{
	int err = choose_cores(s, e);

	if (!err)
		err = open_store(s, e);
	for (int i = 0; i < s->a->n_models && !err; i++)
		err = profile_model(s, s->a->model[i], e);
	if (s->a->json && !err) {
		json_t *j = json_pack("{s:s s:O s:o}", "db", s->a->db, "models", s->models,
				      "levels", scale_json(s));

		json_dumpf(j, stdout, JSON_REAL_PRECISION(6));
		putchar('\n');
		json_decref(j);
	}
	if (err == -ECANCELED) {
		*e = (struct vt_err){0};
		vt_fail(e, err,
			"stopped; what was measured is in %s, the same call goes on from there",
			s->a->db);
	}
	return err;
}

int vt_cmd_profile(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "MODEL...",
		.doc = "Measure the layers of models on this machine: every traversal of every "
		       "distinct "
		       "layer, on several core counts and beside five levels of pressure. The few "
		       "versions worth keeping are marked in the store."
		       "\vA layer that the store knows is not measured again, whichever model it "
		       "was "
		       "part of. Interrupt at will: the same call goes on where it stopped. The "
		       "machine should do nothing else meanwhile.",
	};
	struct args a = {.db = DEFAULT_DB};
	struct sigaction act = {.sa_handler = on_signal};
	struct session s = {.a = &a, .models = json_array()};
	struct vt_err e = {0};
	int err;

	vt_cpuset_parse("0-4", &a.levels);
	vt_cmd_parse(&argp, argc, argv, &a);
	s.o = a.o;
	s.o.levels = (uint32_t)a.levels.bits[0] | 1u;
	s.o.stop = asked_to_stop;
	s.o.progress = show;
	s.o.arg = &s;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	err = profile_all(&s, &e);
	vt_tuner_close(s.tuner);
	vt_profile_close(s.db);
	json_decref(s.models);
	vt_store_rights(&e); /* when it is opened, and whenever it is written */
	return err ? vt_cmd_fail(NAME, &e) : VT_EXIT_OK;
}
