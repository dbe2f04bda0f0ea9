// SPDX-License-Identifier: Apache-2.0
/* dw_rows.c - the rows of dw.h, a vector of channels at a time. Once per tier of vec.h. */
#include "kernels/dw.h"

#include <stdbool.h>

#include "kernels/vec.h"
#include "model/graph.h"

/* One step: outputs [ox, ox + VT_DW_WIDTH) of a vector of channels, of which @lanes or more exist. */
struct step {
	const float *x; /* of image n, channel c */
	float *y;	/* of output row oy, channel c */
	const float *w; /* bias and weights of the block */
	size_t oy, ox, lanes;
};

static inline __attribute__((always_inline)) vt_vf finish(const struct vt_dw *d, vt_vf v)
{
	if (d->act == VT_OP_CLIP) /* the bound first: a NaN passes as the second operand */
		return v_min_fast(v_set(d->hi), v_max_fast(v_set(d->lo), v));
	if (d->act == VT_OP_SILU)
		return v / (1.0f + v_exp(-v));
	return v;
}

/* @k, @s, @inside and @whole (the vector) are constants in every caller: the accumulators live in registers. */
static inline __attribute__((always_inline)) void step(const struct vt_dw *d, const struct step *t,
						       int k, int s, bool inside, bool whole)
{
	const vt_lanes lanes = v_lanes(whole ? VT_LANES : t->lanes);
	const int columns = (VT_DW_WIDTH - 1) * s + k;
	const long ix0 = (long)t->ox * s - d->pl, iy0 = (long)t->oy * s - d->pt;
	/* Columns of the window that lie inside; outside is zero and adds nothing. */
	const long from = ix0 < 0 ? -ix0 : 0, to = (long)d->iw - ix0;
	vt_vf acc[VT_DW_WIDTH];

#pragma GCC unroll 7
	for (int p = 0; p < VT_DW_WIDTH; p++)
		acc[p] = v_load(t->w);
	for (int ky = 0; ky < k; ky++) {
		const long iy = iy0 + ky;
		const float *x;
		vt_vf w[5];

		if (iy < 0 || iy >= (long)d->ih)
			continue;
		x = t->x + (iy * (long)d->iw + ix0) * (long)d->ldx;
#pragma GCC unroll 5
		for (int kx = 0; kx < k; kx++)
			w[kx] = v_load(t->w + (1 + ky * k + kx) * VT_DW_BLOCK);
#pragma GCC unroll 17
		for (int j = 0; j < columns; j++, x += d->ldx) {
			vt_vf v;

			if (!inside && (j < from || j >= to))
				continue;
			v = v_load_lanes(x, lanes);
#pragma GCC unroll 7
			for (int p = 0; p < VT_DW_WIDTH; p++)
				if (j - p * s >= 0 && j - p * s < k)
					acc[p] = v_fma(v, w[j - p * s], acc[p]);
		}
	}
#pragma GCC unroll 7
	for (int p = 0; p < VT_DW_WIDTH; p++)
		if (inside || t->ox + (size_t)p < d->ow)
			v_store_lanes(t->y + (t->ox + (size_t)p) * d->ldy, finish(d, acc[p]),
				      lanes);
}

static inline __attribute__((always_inline)) bool all_inside(const struct vt_dw *d, size_t ox,
							     int k, int s)
{
	const long ix0 = (long)ox * s - d->pl;

	return ix0 >= 0 && ix0 + (VT_DW_WIDTH - 1) * s + k <= (long)d->iw &&
	       ox + VT_DW_WIDTH <= d->ow;
}

static inline __attribute__((always_inline)) void row(const struct vt_dw *d, size_t n, size_t oy,
						      size_t c0, size_t c1, int k, int s)
{
	const size_t block = (size_t)(1 + k * k) * VT_DW_BLOCK;

	for (size_t ox = 0; ox < d->ow; ox += VT_DW_WIDTH) {
		const bool inside = all_inside(d, ox, k, s);

		for (size_t c = c0; c < c1; c += VT_LANES) {
			const struct step t = {.x = d->x + n * d->ih * d->iw * d->ldx + c,
					       .y = d->y + ((n * d->oh + oy) * d->ow) * d->ldy + c,
					       .w = d->weights + c / VT_DW_BLOCK * block +
						    c % VT_DW_BLOCK,
					       .oy = oy,
					       .ox = ox,
					       .lanes = c1 - c};

			if (VT_TIER == 3 && t.lanes >= VT_LANES) {
				if (inside)
					step(d, &t, k, s, true, true);
				else
					step(d, &t, k, s, false, true);
			} else if (inside) {
				step(d, &t, k, s, true, false);
			} else {
				step(d, &t, k, s, false, false);
			}
		}
	}
}

#define ROW(k, s)                                                                                  \
	static void row_k##k##_s##s(const struct vt_dw *d, size_t n, size_t oy, size_t c0,         \
				    size_t c1)                                                     \
	{                                                                                          \
		row(d, n, oy, c0, c1, k, s);                                                       \
	}
ROW(3, 1)
ROW(3, 2)
ROW(5, 1)
ROW(5, 2)

vt_dw_row_fn *const VT_SUFFIX(vt_dw_rows)[2][2] = {{row_k3_s1, row_k3_s2}, {row_k5_s1, row_k5_s2}};
