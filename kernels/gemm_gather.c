// SPDX-License-Identifier: Apache-2.0
/* gemm_gather.c - rows of a convolution's left operand, side by side. Once per tier of vec.h. */
#include "kernels/gemm.h"
#include "kernels/vec.h"

/*
 * The end of a run. @roomy: a row has a vector's room behind its last element, and what comes behind a run is written
 * after it: then a whole vector may be stored, which AVX2 does much faster than a part of one.
 */
static inline void v_store_tail(float *to, vt_vf v, vt_lanes l, bool roomy)
{
	if (VT_TIER == 3 && roomy)
		v_store(to, v);
	else
		v_store_lanes(to, v, l);
}

static bool is_roomy(size_t lda, size_t k0, size_t k1)
{
	return lda >= k1 - k0 + VT_LANES;
}

/* Runs are short (three taps of three channels, say): a call to memcpy would cost more than the copy. */
static inline void copy(float *to, const float *from, size_t n, bool roomy)
{
	for (; n > VT_LANES; n -= VT_LANES, to += VT_LANES, from += VT_LANES)
		v_store(to, v_load(from));
	v_store_tail(to, v_load_lanes(from, v_lanes(n)), v_lanes(n), roomy);
}

static inline void zero(float *to, size_t n, bool roomy)
{
	for (; n > VT_LANES; n -= VT_LANES, to += VT_LANES)
		v_store(to, v_set(0));
	v_store_tail(to, v_set(0), v_lanes(n), roomy);
}

static inline size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Elements [k0, k1) of the kernel row at @line (input line of one ky): taps kx, channels of the group. */
static void gather_taps(float *to, const struct vt_gemm_src *s, const float *line, long ix0,
			size_t k0, size_t k1, bool roomy)
{
	while (k0 < k1) {
		size_t kx = k0 / s->gc, c = k0 % s->gc, n = min_size(s->gc - c, k1 - k0);
		long ix = ix0 + (long)kx * s->dw;

		if (ix < 0 || ix >= (long)s->iw)
			zero(to, n, roomy);
		else
			copy(to, line + (size_t)ix * s->ldx + c, n, roomy);
		to += n;
		k0 += n;
	}
}

/* Taps of a kernel row that lie side by side in memory: one copy. */
static bool taps_adjoin(const struct vt_gemm_src *s, long ix0)
{
	return s->dw == 1 && s->gc == s->ldx && ix0 >= 0 && ix0 + s->kw <= (long)s->iw;
}

/* Elements [k0, k1) of the row of output pixel (n, oy, ox). */
static void gather_row(float *to, const struct vt_gemm_src *s, size_t n, size_t oy, size_t ox,
		       size_t k0, size_t k1, bool roomy)
{
	const size_t row = (size_t)s->kw * s->gc;
	const long ix0 = (long)ox * s->sw - s->pl;

	for (size_t ky = k0 / row; k0 < k1; ky++) {
		const size_t from = k0 - ky * row, end = min_size(row, k1 - ky * row);
		const long iy = (long)oy * s->sh - s->pt + (long)ky * s->dh;
		const float *line = s->x + ((n * s->ih + (size_t)iy) * s->iw) * s->ldx + s->c0;

		if (iy < 0 || iy >= (long)s->ih)
			zero(to, end - from, roomy);
		else if (taps_adjoin(s, ix0))
			copy(to, line + (size_t)ix0 * s->ldx + from, end - from, roomy);
		else
			gather_taps(to, s, line, ix0, from, end, roomy);
		to += end - from;
		k0 += end - from;
	}
}

/*
 * @n neighbouring pixels of one output row whose taps all lie inside, side by side; @x: the first tap of the first.
 * An image's first layer has rows of 9 or 21 floats: what decides about each costs more than moving it.
 */
static void gather_inside(float *to, size_t lda, const struct vt_gemm_src *s, const float *x,
			  size_t n, bool roomy)
{
	const size_t row = (size_t)s->kw * s->gc, step = (size_t)s->sw * s->ldx;
	const size_t line = (size_t)s->dh * s->iw * s->ldx;

	for (int ky = 0; ky < s->kh; ky++, x += line, to += row) {
		const vt_lanes tail = v_lanes((row - 1) % VT_LANES + 1);
		const float *from = x;
		float *at = to;

		for (size_t r = 0; r < n; r++, from += step, at += lda) {
			size_t i = 0;

			for (; i + VT_LANES < row; i += VT_LANES)
				v_store(at + i, v_load(from + i));
			v_store_tail(at + i, v_load_lanes(from + i, tail), tail, roomy);
		}
	}
}

/* Of output row @oy, the pixels [ret[0], ret[1]) that gather_inside() may take; none: 0, 0. */
static void inside(const struct vt_gemm_src *s, size_t oy, size_t *ret)
{
	const long iy0 = (long)oy * s->sh - s->pt, iy1 = iy0 + (long)(s->kh - 1) * s->dh;
	const size_t left = ((size_t)s->pl + (size_t)s->sw - 1) / (size_t)s->sw;
	const size_t room = s->iw + (size_t)s->pl;

	ret[0] = ret[1] = 0;
	if (iy0 < 0 || iy1 >= (long)s->ih || s->dw != 1 || s->gc != s->ldx || room < (size_t)s->kw)
		return;
	ret[1] = min_size((room - (size_t)s->kw) / (size_t)s->sw + 1, s->ow);
	ret[0] = min_size(left, ret[1]);
}

void VT_SUFFIX(vt_gemm_gather)(float *to, size_t lda, const struct vt_gemm_src *s, size_t row,
			       size_t rows, size_t k0, size_t k1)
{
	const bool roomy = is_roomy(lda, k0, k1);
	size_t ox = row % s->ow, oy = row / s->ow % s->oh, n = row / s->ow / s->oh;

	/* a pixel each: of the same size, because padding may also come after the last one */
	if (s->kh * s->kw == 1 && s->sh * s->sw == 1 && !s->pt && !s->pl && s->ih == s->oh &&
	    s->iw == s->ow) {
		for (size_t r = 0; r < rows; r++)
			copy(to + r * lda, s->x + (row + r) * s->ldx + s->c0 + k0, k1 - k0, roomy);
		return;
	}
	for (size_t r = 0, some; r < rows; r += some) {
		size_t within[2];

		inside(s, oy, within);
		some = 1;
		if (k0 == 0 && k1 == s->k && ox >= within[0] && ox < within[1]) {
			const size_t iy = oy * (size_t)s->sh - (size_t)s->pt,
				     ix = ox * (size_t)s->sw - (size_t)s->pl;

			some = min_size(within[1] - ox, rows - r);
			gather_inside(to + r * lda, lda, s,
				      s->x + ((n * s->ih + iy) * s->iw + ix) * s->ldx + s->c0, some,
				      roomy);
		} else {
			gather_row(to + r * lda, s, n, oy, ox, k0, k1, roomy);
		}
		ox += some;
		if (ox < s->ow)
			continue;
		ox = 0;
		if (++oy < s->oh)
			continue;
		oy = 0;
		n++;
	}
}
