// SPDX-License-Identifier: Apache-2.0
/*
 * store_write.c - a profile store with made-up times, for tests that look at one.
 *
 *	store_write STORE MODEL [MACHINE [VARIANT [FACTOR]]]
 *
 * All layers of MODEL on 1 and 2 cores at levels 0 to 4. Matrix layers have two versions: columns
 * outer is faster alone, rows outer (or VARIANT) from level 3 on. MACHINE: as if measured there; "": here. FACTOR: of all times.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "exec/engine.h"
#include "exec/costs.h"

#define ALONE "f32_gemm_nouter_nc64"

static int put_version(struct vt_profile *db, const char *layer, const char *variant,
		       const unsigned int percent[VT_PROFILE_LEVELS], uint64_t ns, struct vt_err *e)
{
	struct vt_profile_time t[2 * VT_PROFILE_LEVELS];

	for (unsigned int i = 0; i < 2 * VT_PROFILE_LEVELS; i++)
		t[i] = (struct vt_profile_time){
			.layer = layer,
			.variant = variant,
			.cores = (uint16_t)(1 + i / VT_PROFILE_LEVELS),
			.level = (uint8_t)(i % VT_PROFILE_LEVELS),
			.median_ns = ns * percent[i % VT_PROFILE_LEVELS] /
					     (100 * (1 + i / VT_PROFILE_LEVELS)) +
				     1,
			.spread_ns = ns / 50,
			.samples = 9,
			.taken_s = 1700000000,
		};
	return vt_profile_put(db, t, 2 * VT_PROFILE_LEVELS, e);
}

static int put_layer(struct vt_profile *db, const struct vt_step *s, const char *layer,
		     const char *other, double factor, struct vt_err *e)
{
	static const unsigned int steep[] = {100, 120, 150, 300, 500},
				  flat[] = {110, 125, 155, 180, 200};
	const char *keep[] = {s->layer.depth ? ALONE : "any_c8", other};
	uint64_t ns = (uint64_t)((double)(2000 + s->flops / 50) * factor);
	int err = put_version(db, layer, keep[0], steep, ns, e);

	if (!err && s->layer.depth)
		err = put_version(db, layer, keep[1], flat, ns, e);
	return err ? err : vt_profile_keep(db, layer, keep, s->layer.depth ? 2 : 1, e);
}

static int write_all(struct vt_profile *db, const struct vt_engine *m, const char *path,
		     const char *other, double factor, struct vt_err *e)
{
	const char **layers = calloc((size_t)m->n_steps, sizeof(*layers));
	char digest[VT_DIGEST_TEXT];
	int err = layers ? vt_file_digest(path, digest, e) : -ENOMEM, n = 0;

	for (; n < m->n_steps && !err; n++) {
		char *text = malloc(VT_PROFILE_TEXT);

		if (!text)
			return -ENOMEM;
		vt_layer_signature(m, n, text, VT_PROFILE_TEXT);
		layers[n] = text;
		err = put_layer(db, &m->steps[n], text, other, factor, e);
	}
	if (!err)
		err = vt_profile_model(db, path, digest, layers, (size_t)n, e);
	while (n--)
		free((char *)layers[n]);
	free(layers);
	return err;
}

int main(int argc, char **argv)
{
	struct vt_engine_opts o = {.instances = 1};
	struct vt_profile_key key;
	struct vt_profile *db = NULL;
	struct vt_engine *m = NULL;
	struct vt_err e = {0};
	int err;

	if (argc < 3)
		return 2;
	vt_profile_here(&key);
	if (argc > 3 && argv[3][0])
		snprintf(key.machine, sizeof(key.machine), "%s", argv[3]);
	err = vt_engine_load(&m, argv[2], &o, &e);
	if (!err)
		err = vt_profile_open(&db, argv[1], VT_PROFILE_WRITE, &key, &e);
	if (!err)
		err = write_all(db, m, argv[2],
				argc > 4 && argv[4][0] ? argv[4] : "f32_gemm_mouter",
				argc > 5 ? atof(argv[5]) : 1, &e);
	if (err)
		fprintf(stderr, "store_write: %s\n", e.msg);
	vt_profile_close(db);
	vt_engine_free(m);
	return err ? 1 : 0;
}
