// SPDX-License-Identifier: Apache-2.0
#include "cli/sim_profiles.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "cli/store.h"
#include "profile/table.h"
#include "sched/coreset.h"
#include "sim/net.h"

/** A model that was handed out. */
struct taken {
	char name[VT_MODEL_NAME_MAX];
	uint64_t layers; /* digest of their signatures */
};

struct reader {
	const char *path;
	struct vt_profile *db;
	uint16_t points[VT_PROFILE_POINTS];
	size_t n_points;
	sim_sample_fn take;
	void *arg;
	struct taken *taken;
	size_t n_taken;
	struct vt_err *e;
};

/* ---- whose times ---------------------------------------------------------------------------- */

struct keys {
	struct vt_profile_key with; /* of the last with times */
	unsigned int n;
};

static int count_key(void *arg, const struct vt_profile_key *key, uint64_t times)
{
	struct keys *k = arg;

	if (times) {
		k->with = *key;
		k->n++;
	}
	return 0;
}

static int any_time(void *arg, const struct vt_profile_time *t)
{
	return 1;
}

/* A simulation may be of another machine than the one it runs on, but never unasked. */
static int open_any(struct reader *r)
{
	struct keys k = {.n = 0};
	struct vt_profile_key here;
	int rc;

	vt_profile_here(&here);
	rc = vt_profile_open(&r->db, r->path, VT_PROFILE_READ, &here, r->e);
	if (!rc)
		rc = vt_profile_each(r->db, NULL, any_time, NULL, r->e);
	if (rc)
		return rc < 0 ? rc : 0;
	rc = vt_profile_keys(r->db, count_key, &k, r->e);
	if (rc || !k.n)
		return rc ? rc : vt_fail(r->e, -EINVAL, "%s: holds no times", r->path);
	if (k.n > 1)
		return vt_fail(r->e, -EINVAL,
			       "%s: holds no times of this machine and build, but of %u others; "
			       "take a store of one of them",
			       r->path, k.n);
	vt_profile_close(r->db);
	r->db = NULL;
	fprintf(stderr, "veltair sim: %s: times of %s (%s), which is not this machine and build\n",
		r->path, k.with.machine, k.with.library);
	return vt_profile_open(&r->db, r->path, VT_PROFILE_READ, &k.with, r->e);
}

/* ---- names ---------------------------------------------------------------------------------- */

bool sim_names_alike(const char *a, const char *b)
{
	for (;;) {
		while (*a && !isalnum((unsigned char)*a))
			a++;
		while (*b && !isalnum((unsigned char)*b))
			b++;
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
}

static void model_name(const char *path, char ret[static VT_MODEL_NAME_MAX])
{
	const char *base = strrchr(path, '/');
	size_t n;

	base = base ? base + 1 : path;
	n = strlen(base);
	if (n > 5 && !strcmp(base + n - 5, ".onnx"))
		n -= 5;
	snprintf(ret, VT_MODEL_NAME_MAX, "%.*s", (int)(n < VT_MODEL_NAME_MAX ? n : 31), base);
	for (unsigned int i = 0; vt_net_name(i); i++)
		if (sim_names_alike(vt_net_name(i), ret))
			snprintf(ret, VT_MODEL_NAME_MAX, "%s", vt_net_name(i));
}

static uint64_t digest_of(const char *const *layers, size_t n)
{
	uint64_t pair[2] = {0};

	for (size_t i = 0; i < n; i++) {
		pair[1] = vt_digest(layers[i], strlen(layers[i]));
		pair[0] = vt_digest(pair, sizeof(pair));
	}
	return pair[0];
}

static const struct taken *find_taken(const struct reader *r, const char *name)
{
	for (size_t i = 0; i < r->n_taken; i++)
		if (!strcmp(r->taken[i].name, name))
			return &r->taken[i];
	return NULL;
}

/* The name of the model at @path; false: the same layers were handed out by that name, and so its times. */
static bool new_name(const struct reader *r, const char *path, uint64_t layers,
		     char ret[static VT_MODEL_NAME_MAX])
{
	char base[VT_MODEL_NAME_MAX], end[12];
	const struct taken *t;

	model_name(path, base);
	strcpy(ret, base);
	for (unsigned int i = 2; (t = find_taken(r, ret)) && t->layers != layers; i++) {
		snprintf(end, sizeof(end), "~%u", i);
		snprintf(ret, VT_MODEL_NAME_MAX, "%.*s%s",
			 (int)(VT_MODEL_NAME_MAX - 1 - strlen(end)), base, end);
	}
	if (!t && strcmp(ret, base) != 0)
		fprintf(stderr, "veltair sim: %s: %s is %s here, another model is %s\n", r->path,
			path, ret, base);
	return !t;
}

static int note_taken(struct reader *r, const char *name, uint64_t layers)
{
	struct taken *more = realloc(r->taken, (r->n_taken + 1) * sizeof(*more));

	if (!more)
		return vt_fail(r->e, -ENOMEM, "no memory for %zu models", r->n_taken + 1);
	r->taken = more;
	more += r->n_taken++;
	strcpy(more->name, name);
	more->layers = layers;
	return 0;
}

/* ---- times ---------------------------------------------------------------------------------- */

static const char *layer_at(void *arg, size_t i)
{
	const char *const *layers = arg;

	return layers[i];
}

static int hand_out(struct reader *r, const char *name, const struct vt_profile_table *t)
{
	int rc = 0;

	for (size_t l = 0; l < t->n_layers; l++)
		for (size_t v = 0; v < t->layers[l].n; v++)
			for (size_t s = 0; s < VT_LEVELS; s++)
				for (size_t p = 0; p < t->n_points && !rc; p++) {
					struct vt_sampled x = {
						.layer = (uint16_t)l,
						.version = (uint16_t)v,
						.level = (uint16_t)s,
						.cores = t->points[p],
						.ns = t->layers[l].v[v].ns[s][p],
						.dram_bytes = -1,
					};

					rc = r->take(r->arg, name, &x);
				}
	return rc;
}

static int leave_out(const struct reader *r, const char *path, const char *why)
{
	fprintf(stderr, "veltair sim: %s: %s %s: left out\n", r->path, path, why);
	return 0;
}

static int take_model(void *arg, const char *path, const char *digest, const char *const *layers,
		      size_t n)
{
	struct reader *r = arg;
	struct vt_profile_table t = {0};
	const uint64_t all = digest_of(layers, n);
	struct vt_err e = {0};
	char name[VT_MODEL_NAME_MAX];
	int rc;

	if (n > VT_MAX_LAYERS)
		return leave_out(r, path, "has more layers than can be scheduled");
	if (!r->n_points)
		return leave_out(r, path, "is profiled on more cores than can be simulated");
	rc = vt_profile_table(r->db, layer_at, (void *)layers, n, r->points, r->n_points, &t, NULL,
			      &e);
	if (rc == -ENODATA)
		return leave_out(r, path, "is not profiled to its end");
	if (rc)
		return vt_fail(r->e, rc, "%s", e.msg);
	if (new_name(r, path, all, name)) {
		rc = hand_out(r, name, &t);
		rc = rc ? rc : note_taken(r, name, all);
	}
	vt_profile_table_fini(&t);
	return rc;
}

bool sim_profiles_is_store(const char *path)
{
	return vt_profile_is_store(path);
}

int sim_profiles_read(const char *path, sim_sample_fn take, void *arg, struct vt_err *e)
{
	struct reader r = {.path = path, .take = take, .arg = arg, .e = e};
	int rc = open_any(&r);

	if (!rc)
		rc = vt_profile_points(r.db, r.points, &r.n_points, e);
	while (r.n_points && r.points[r.n_points - 1] > VT_SCHED_MAX_CORES)
		r.n_points--;
	if (!rc)
		rc = vt_profile_models(r.db, take_model, &r, e);
	if (!rc && !r.n_taken)
		rc = vt_fail(e, -EINVAL, "%s: holds no model that was profiled to its end", path);
	vt_profile_close(r.db);
	free(r.taken);
	if (rc)
		vt_fail(e, rc, "%s: cannot use its times", path);
	return rc ? vt_store_input(e) : 0;
}
