// SPDX-License-Identifier: Apache-2.0
/* winograd_tiles.c - the transforms of winograd.h, a vector of channels at a time. Once per tier of vec.h. */
#include "kernels/winograd.h"

#include <stdbool.h>

#include "kernels/vec.h"
#include "model/graph.h"

/* B' d: six inputs to six terms. */
static inline __attribute__((always_inline)) void in6(const vt_vf d[6], vt_vf t[6])
{
	const vt_vf a = v_fma(v_set(-4), d[2], d[4]), b = v_fma(v_set(-4), d[1], d[3]);
	const vt_vf c = d[4] - d[2], e = 2.0f * (d[3] - d[1]);

	t[0] = v_fma(v_set(4), d[0], v_fma(v_set(-5), d[2], d[4]));
	t[1] = a + b;
	t[2] = a - b;
	t[3] = c + e;
	t[4] = c - e;
	t[5] = v_fma(v_set(4), d[1], v_fma(v_set(-5), d[3], d[5]));
}

/* A' m: six terms to four outputs. */
static inline __attribute__((always_inline)) void out4(const vt_vf m[6], vt_vf y[4])
{
	const vt_vf a = m[1] + m[2], b = m[1] - m[2], c = m[3] + m[4], e = m[3] - m[4];

	y[0] = m[0] + a + c;
	y[1] = v_fma(v_set(2), e, b);
	y[2] = v_fma(v_set(4), c, a);
	y[3] = v_fma(v_set(8), e, b) + m[5];
}

struct place {
	size_t image;
	long y, x; /* first output of the tile */
};

static struct place place_of(const struct vt_wino *d, size_t t)
{
	const size_t per_image = d->tiles_x * d->tiles_y, in = t % per_image;

	return (struct place){t / per_image, (long)(in / d->tiles_x) * VT_WINO_OUT,
			      (long)(in % d->tiles_x) * VT_WINO_OUT};
}

static void input(const struct vt_wino *d, size_t t0, size_t n, float *v)
{
	const size_t term = vt_wino_term(n, d->channels);

	for (size_t t = 0; t < n; t++) {
		const struct place p = place_of(d, t0 + t);
		const long iy0 = p.y - d->pt, ix0 = p.x - d->pl;

		for (size_t c = 0; c < d->channels; c += VT_LANES) {
			const vt_lanes m = v_lanes(d->channels - c);
			vt_vf w[6][6]; /* [column][row], columns transformed */

			for (int j = 0; j < 6; j++) {
				vt_vf col[6];

				for (int i = 0; i < 6; i++) {
					const long iy = iy0 + i, ix = ix0 + j;
					const bool in = iy >= 0 && iy < (long)d->ih && ix >= 0 &&
							ix < (long)d->iw;
					const float *x = d->x +
							 ((p.image * d->ih + (size_t)iy) * d->iw +
							  (size_t)ix) *
								 d->ldx +
							 c;

					col[i] = in ? v_load_lanes(x, m) : v_set(0);
				}
				in6(col, w[j]);
			}
			for (int i = 0; i < 6; i++) {
				const vt_vf row[6] = {w[0][i], w[1][i], w[2][i],
						      w[3][i], w[4][i], w[5][i]};
				vt_vf o[6];

				in6(row, o);
				for (int j = 0; j < 6; j++)
					v_store_lanes(v + (size_t)(i * 6 + j) * term +
							      t * d->channels + c,
						      o[j], m);
			}
		}
	}
}

static inline __attribute__((always_inline)) vt_vf finish(const struct vt_wino *d, vt_vf v)
{
	if (d->act == VT_OP_CLIP) /* the bound first: a NaN passes as the second operand */
		return v_min_fast(v_set(d->hi), v_max_fast(v_set(d->lo), v));
	if (d->act == VT_OP_LEAKY_RELU)
		return v_sel(v < 0.0f, v * d->lo, v);
	return v;
}

static void store_tile(const struct vt_wino *d, const struct place *p, size_t c, vt_lanes m,
		       vt_vf y[4][4])
{
	const vt_vf bias = v_load_lanes(d->bias + c, m);

	for (int i = 0; i < 4 && p->y + i < (long)d->oh; i++)
		for (int j = 0; j < 4 && p->x + j < (long)d->ow; j++) {
			const size_t at = ((p->image * d->oh + (size_t)(p->y + i)) * d->ow +
					   (size_t)(p->x + j)) *
						  d->ldy +
					  c;
			vt_vf v = y[i][j] + bias;

			if (d->residual)
				v += v_load_lanes(d->residual + at, m);
			v_store_lanes(d->y + at, finish(d, v), m);
		}
}

static void output(const struct vt_wino *d, size_t t0, size_t n, size_t j0, size_t nj,
		   const float *m)
{
	const size_t term = vt_wino_term(n, nj);

	for (size_t t = 0; t < n; t++) {
		const struct place p = place_of(d, t0 + t);

		for (size_t c = 0; c < nj; c += VT_LANES) {
			const vt_lanes mask = v_lanes(nj - c);
			const float *from = m + t * nj + c;
			vt_vf w[4][6], y[4][4];

			for (int j = 0; j < 6; j++) {
				vt_vf col[6], o[4];

				for (int i = 0; i < 6; i++)
					col[i] = v_load_lanes(from + (size_t)(i * 6 + j) * term,
							      mask);
				out4(col, o);
				for (int i = 0; i < 4; i++)
					w[i][j] = o[i];
			}
			for (int i = 0; i < 4; i++)
				out4(w[i], y[i]);
			store_tile(d, &p, j0 + c, mask, y);
		}
	}
}

const struct vt_wino_isa VT_SUFFIX(vt_wino) = {.input = input, .output = output};
