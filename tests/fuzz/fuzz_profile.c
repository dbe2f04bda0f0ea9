// SPDX-License-Identifier: Apache-2.0
/* fuzz_profile.c - hostile profile stores. What is handed out makes sense, whatever the bytes. */
#include <stdlib.h>
#include <string.h>

#include "profile/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The machine of the seeds. */
static const struct vt_profile_key here = {"GenuineTest family 1, 2 cores", "xnnpack a, kernels b"};

static int check_time(void *arg, const struct vt_profile_time *t)
{
	if (!t->layer[0] || strlen(t->layer) >= VT_PROFILE_TEXT || !t->variant[0] ||
	    strlen(t->variant) >= VT_PROFILE_NAME || !t->cores || t->cores > VT_PROFILE_CORES ||
	    t->level >= VT_PROFILE_LEVELS || !t->median_ns || t->median_ns > VT_PROFILE_MAX_NS ||
	    t->spread_ns > VT_PROFILE_MAX_NS || !t->samples || t->rank >= VT_PROFILE_KEPT)
		abort();
	return 0;
}

static int check_key(void *arg, const struct vt_profile_key *key, uint64_t times)
{
	if (!key->machine[0] || !key->library[0])
		abort();
	return 0;
}

static const char *layer_at(void *arg, size_t i)
{
	return ((const char *const *)arg)[i];
}

static int check_model(void *arg, const char *path, const char *digest, const char *const *layers,
		       size_t n)
{
	static const uint16_t points[] = {1, 2};
	struct vt_profile_table t;

	if (!path[0] || !digest[0] || !n)
		abort();
	if (n > 64 || vt_profile_table(arg, layer_at, (void *)layers, n, points, 2, &t, NULL, NULL))
		return 0;
	for (size_t l = 0; l < n; l++)
		for (size_t v = 0; v < t.layers[l].n; v++)
			for (size_t s = 0; s < VT_PROFILE_LEVELS; s++)
				for (size_t p = 0; p < t.n_points; p++)
					if (!t.layers[l].v[v].ns[s][p])
						abort(); /* a table has no holes */
	vt_profile_table_fini(&t);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vt_profile *p = NULL;
	struct vt_err e = {0};
	uint64_t n = 0;

	if (vt_profile_open_bytes(&p, data, size, "fuzz", &here, &e)) {
		if (p || !e.code || !e.msg[0] || strchr(e.msg, '\n'))
			abort();
		return 0;
	}
	vt_profile_each(p, NULL, check_time, NULL, NULL);
	vt_profile_each(p, "Conv b", check_time, NULL, NULL);
	vt_profile_keys(p, check_key, NULL, NULL);
	vt_profile_models(p, check_model, p, NULL);
	vt_profile_foreign(p, &n, NULL);
	vt_profile_model_same(p, "/no/m.onnx", "0123456789abcdef", NULL);
	vt_profile_close(p);
	return 0;
}
