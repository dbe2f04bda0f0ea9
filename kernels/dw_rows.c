// SPDX-License-Identifier: Apache-2.0
/* dw_rows.c - the rows of dw.h, a vector of channels at a time. Once per tier of vec.h. */
#include "kernels/dw.h"

#include <stdbool.h>

#include "kernels/vec.h"
#include "model/graph.h"

/* Outputs [ox, ox + VT_DW_WIDTH) of a row, for all channels: what their steps have in common. */
struct span {
	ptrdiff_t x;	/* floats from the image to the window, which may begin outside */
	ptrdiff_t y;	/* to the first output */
	int ky0, ky1;	/* rows of the window that lie inside */
	long from, to;	/* columns that do; outside is zero and adds nothing */
	size_t outputs; /* that exist */
	bool begins;	/* the row: nothing to add to yet */
};

static inline __attribute__((always_inline)) void finish(const struct vt_dw *d, vt_vf *v)
{
	if (d->act == VT_OP_CLIP) { /* the bound first: a NaN passes as the second operand */
		VT_UNROLL(i, VT_DW_WIDTH)
		v[i] = v_min_fast(v_set(d->hi), v_max_fast(v_set(d->lo), v[i]));
	} else if (d->act == VT_OP_SILU) {
		v_silu(v, 2);
		v_silu(v + 2, 2);
		v_silu(v + 4, VT_DW_WIDTH - 4);
	}
}

/* Of fewer outputs, from where they were stored: rare, and in registers each would be a branch of every step. */
static __attribute__((noinline)) void add_few(float *sum, const float *y, size_t ldy,
					      size_t outputs, bool begins, size_t n_lanes)
{
	const vt_lanes lanes = v_lanes(n_lanes);
	vt_vf s = v_load_lanes(y, lanes);

	for (size_t p = 1; p < outputs; p++)
		s += v_load_lanes(y + p * ldy, lanes);
	v_store(sum, begins ? s : s + v_load(sum));
}

/* What the outputs are together, added to what those of the spans before are. */
static inline __attribute__((always_inline)) void add_up(float *sum, const vt_vf *v, bool begins)
{
	const vt_vf s = ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + v[6]);

	v_store(sum, begins ? s : s + v_load(sum));
}

/*
 * One step: a vector of channels, of which @lanes exist, of a span. @x, @y: the image and the output at these channels, @w: bias and weights,
 * @sum: what the row adds up to, or NULL.
 * @k, @s, @inside and @whole (the vector) are constants in every caller: the accumulators live in registers.
 */
static inline __attribute__((always_inline)) void step(const struct vt_dw *d, const struct span *t,
						       const float *x, float *y, const float *w,
						       float *sum, size_t n_lanes, int k, int s,
						       bool inside, bool whole)
{
	const vt_lanes lanes = v_lanes(whole ? VT_LANES : n_lanes);
	const int columns = (VT_DW_WIDTH - 1) * s + k;
	const ptrdiff_t ldx = (ptrdiff_t)d->ldx, line = ((ptrdiff_t)d->iw - columns) * ldx;
	vt_vf acc[VT_DW_WIDTH];

	VT_UNROLL(p, VT_DW_WIDTH) acc[p] = v_load(w);
	w += (1 + t->ky0 * k) * VT_DW_BLOCK;
	x += t->x;
	for (int ky = t->ky0; ky < t->ky1; ky++, x += line, w += k * VT_DW_BLOCK) {
		vt_vf tap[5];

		VT_UNROLL(kx, k) tap[kx] = v_load(w + kx * VT_DW_BLOCK);
#pragma GCC unroll 17
		for (int j = 0; j < columns; j++, x += ldx) {
			vt_vf v;

			if (!inside && (j < t->from || j >= t->to))
				continue;
			v = v_load_lanes(x, lanes);
			VT_UNROLL(p, VT_DW_WIDTH)
			if (j - p * s >= 0 && j - p * s < k)
				acc[p] = v_fma(v, tap[j - p * s], acc[p]);
		}
	}
	finish(d, acc);
	y += t->y;
	VT_UNROLL(p, VT_DW_WIDTH)
	if (inside || (size_t)p < t->outputs)
		v_store_lanes(y + (size_t)p * d->ldy, acc[p], lanes);
	if (sum && (inside || t->outputs >= VT_DW_WIDTH))
		add_up(sum, acc, t->begins);
	else if (sum)
		add_few(sum, y, d->ldy, t->outputs, t->begins, whole ? VT_LANES : n_lanes);
}

static inline __attribute__((always_inline)) void steps(const struct vt_dw *d, const struct span *t,
							size_t n, size_t c0, size_t c1, int k,
							int s, bool inside)
{
	const size_t block = (size_t)(1 + k * k) * VT_DW_BLOCK;
	const float *x = d->x + n * d->ih * d->iw * d->ldx;
	size_t c = c0;

	for (; VT_TIER == 3 && c + VT_LANES <= c1; c += VT_LANES)
		step(d, t, x + c, d->y + c, d->weights + c / VT_DW_BLOCK * block + c % VT_DW_BLOCK,
		     d->sums ? d->sums + (c - c0) : NULL, VT_LANES, k, s, inside, true);
	for (; c < c1; c += VT_LANES)
		step(d, t, x + c, d->y + c, d->weights + c / VT_DW_BLOCK * block + c % VT_DW_BLOCK,
		     d->sums ? d->sums + (c - c0) : NULL, c1 - c, k, s, inside, false);
}

static inline __attribute__((always_inline)) void row(const struct vt_dw *d, size_t n, size_t oy,
						      size_t c0, size_t c1, int k, int s)
{
	const long iy0 = (long)oy * s - d->pt, below = (long)d->ih - iy0;
	const int columns = (VT_DW_WIDTH - 1) * s + k;
	struct span t = {.ky0 = iy0 < 0 ? (int)-iy0 : 0, .ky1 = below < k ? (int)below : k};

	for (size_t ox = 0; ox < d->ow; ox += VT_DW_WIDTH) {
		const long ix0 = (long)ox * s - d->pl;

		t.x = ((iy0 + t.ky0) * (long)d->iw + ix0) * (long)d->ldx;
		t.y = (ptrdiff_t)(((n * d->oh + oy) * d->ow + ox) * d->ldy);
		t.from = ix0 < 0 ? -ix0 : 0;
		t.to = (long)d->iw - ix0;
		t.outputs = d->ow - ox;
		t.begins = ox == 0;
		if (!t.from && t.to >= columns && t.outputs >= VT_DW_WIDTH)
			steps(d, &t, n, c0, c1, k, s, true);
		else
			steps(d, &t, n, c0, c1, k, s, false);
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
