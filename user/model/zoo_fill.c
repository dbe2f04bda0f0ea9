// SPDX-License-Identifier: Apache-2.0
/*
 * zoo_fill.c - numbers for weights and example inputs. The same on every machine: integers until
 * one last multiplication and addition, each rounded once.
 */
#include "model/zoo_build.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

#define FNV_PRIME 0x100000001b3ull
#define FNV_START 0xcbf29ce484222325ull

uint64_t vt_zoo_seed(uint64_t seed, const char *model, const char *tensor)
{
	struct vt_rng r = {.s = seed};
	uint64_t h = FNV_START ^ vt_rng_u64(&r);

	for (const char *s = model; *s; s++)
		h = (h ^ (unsigned char)*s) * FNV_PRIME;
	h = (h ^ '/') * FNV_PRIME;
	for (const char *s = tensor; *s; s++)
		h = (h ^ (unsigned char)*s) * FNV_PRIME;
	return h;
}

/*
 * The sum of four uniform 16-bit numbers is near enough to normal (and bounded, which keeps
 * variances positive), costs one step of the generator, and is exact.
 */
static int32_t four_uniforms(struct vt_rng *r)
{
	uint64_t u = vt_rng_u64(r);

	return (int32_t)((u & 0xffff) + (u >> 16 & 0xffff) + (u >> 32 & 0xffff) + (u >> 48)) -
	       2 * 0xffff;
}

/* Twelve bits of @x: what a libm rounds differently in the last place must not reach the file. */
static float coarse(double x)
{
	int exp2;
	double m = frexp(x, &exp2);

	return (float)ldexp(rint(m * 4096) / 4096, exp2);
}

void vt_zoo_fill_normal(uint64_t *state, float *out, size_t n, double mean, double sd,
			size_t zero_rows)
{
	/* Four times the variance of one, (2^32 - 1) / 12. */
	float scale = coarse(sd / sqrt(4294967295.0 / 3)), shift = coarse(mean);
	struct vt_rng r = {.s = *state};

	for (size_t i = 0; i < n; i++)
		out[i] = (float)four_uniforms(&r) * scale + shift;
	*state = r.s;
	for (size_t row = 0; zero_rows && row < n; row += zero_rows) {
		double sum = 0;
		float off;

		for (size_t i = 0; i < zero_rows; i++)
			sum += (double)out[row + i];
		off = (float)(sum / (double)zero_rows);
		for (size_t i = 0; i < zero_rows; i++)
			out[row + i] -= off;
	}
}

/* ---- example inputs ------------------------------------------------------------------------- */

#define WAVES 4

/* A sum of a few plane waves per channel, and noise: has edges, areas and texture as photos have. */
static void fill_image(const struct vt_zb_value *v, struct vt_rng *r, float *out)
{
	int64_t h = v->dim[2].n, w = v->dim[3].n;

	for (int64_t c = 0; c < v->dim[0].n * v->dim[1].n; c++) {
		double wave[WAVES][3], level = vt_rng_unit(r) - 0.5;

		for (int i = 0; i < WAVES; i++) {
			wave[i][0] = (vt_rng_unit(r) - 0.5) * 12 * M_PI / (double)w;
			wave[i][1] = (vt_rng_unit(r) - 0.5) * 12 * M_PI / (double)h;
			wave[i][2] = vt_rng_unit(r) * 2 * M_PI;
		}
		for (int64_t y = 0; y < h; y++) {
			for (int64_t x = 0; x < w; x++) {
				double s = level;

				for (int i = 0; i < WAVES; i++)
					s += 0.6 * sin((double)x * wave[i][0] +
						       (double)y * wave[i][1] + wave[i][2]);
				s += 0.5 * (double)four_uniforms(r) / 37837;
				*out++ = (float)s;
			}
		}
	}
}

void vt_zoo_fill_input(const struct vt_zb *b, const struct vt_zb_input *in, uint64_t seed,
		       void *ret)
{
	const struct vt_zb_value *v = &b->values[in->value];
	struct vt_rng r = {.s = vt_zoo_seed(seed, b->model, v->name)};
	int64_t *ids = ret, len;

	if (in->kind == VT_ZI_IMAGE) {
		fill_image(v, &r, ret);
		return;
	}
	len = v->dim[v->rank - 1].n;
	for (int64_t i = 0; i < v->dim[0].n * len; i++) {
		if (in->kind == VT_ZI_TOKENS)
			ids[i] = (int64_t)vt_rng_below(&r, (uint64_t)in->limit);
		else if (in->kind == VT_ZI_SEGMENT)
			ids[i] = i % len >= len / 2;
		else
			ids[i] = i % len < len - len / 8;
	}
}
