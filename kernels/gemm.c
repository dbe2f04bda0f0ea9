// SPDX-License-Identifier: Apache-2.0
/* gemm.c - packing, gathering and the task around the microkernel. */
#include "kernels/gemm.h"

#include <cpuinfo.h>
#include <string.h>

#include "kernels/act.h"
#include "kernels/tile.h"
#include "model/graph.h"

vt_gemm_tile_fn vt_gemm_tile_best(void)
{
#if defined(__x86_64__)
	if (cpuinfo_initialize() && cpuinfo_has_x86_avx512f())
		return vt_gemm_tile_avx512;
#endif
	return NULL;
}

/* ---- packing ------------------------------------------------------------------------------ */

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t vt_gemm_packed_floats(size_t k, size_t n)
{
	return (n + VT_GEMM_NR - 1) / VT_GEMM_NR * VT_GEMM_NR * k;
}

void vt_gemm_pack(float *panels, const float *w, size_t taps, size_t channels, size_t n, size_t ts,
		  size_t cs, size_t ns)
{
	for (size_t j = 0; j < n; j += VT_GEMM_NR) {
		size_t nr = min_size(VT_GEMM_NR, n - j);

		for (size_t i = 0; i < taps * channels; i++, panels += VT_GEMM_NR) {
			const float *from = w + j * ns + i / channels * ts + i % channels * cs;

			for (size_t c = 0; c < nr; c++)
				panels[c] = from[c * ns];
			memset(panels + nr, 0, (VT_GEMM_NR - nr) * sizeof(float));
		}
	}
}

/* ---- gathering ---------------------------------------------------------------------------- */

static void copy(float *to, const float *from, size_t n)
{
	memcpy(to, from, n * sizeof(*to));
}

static void zero(float *to, size_t n)
{
	memset(to, 0, n * sizeof(*to));
}

/* Elements [k0, k1) of the kernel row at @line (input line of one ky): taps kx, channels of the
 * group. */
static void gather_taps(float *to, const struct vt_gemm_src *s, const float *line, long ix0,
			size_t k0, size_t k1)
{
	while (k0 < k1) {
		size_t kx = k0 / s->gc, c = k0 % s->gc, n = min_size(s->gc - c, k1 - k0);
		long ix = ix0 + (long)kx * s->dw;

		if (ix < 0 || ix >= (long)s->iw)
			zero(to, n);
		else
			copy(to, line + (size_t)ix * s->ldx + c, n);
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
		       size_t k0, size_t k1)
{
	const size_t row = (size_t)s->kw * s->gc;
	const long ix0 = (long)ox * s->sw - s->pl;

	for (size_t ky = k0 / row; k0 < k1; ky++) {
		const size_t from = k0 - ky * row, end = min_size(row, k1 - ky * row);
		const long iy = (long)oy * s->sh - s->pt + (long)ky * s->dh;
		const float *line = s->x + ((n * s->ih + (size_t)iy) * s->iw) * s->ldx + s->c0;

		if (iy < 0 || iy >= (long)s->ih)
			zero(to, end - from);
		else if (taps_adjoin(s, ix0))
			copy(to, line + (size_t)ix0 * s->ldx + from, end - from);
		else
			gather_taps(to, s, line, ix0, from, end);
		to += end - from;
		k0 += end - from;
	}
}

static void gather(float *to, const struct vt_gemm_src *s, size_t row, size_t rows, size_t k0,
		   size_t k1)
{
	size_t ox = row % s->ow, oy = row / s->ow % s->oh, n = row / s->ow / s->oh;

	if (s->kh * s->kw == 1 && s->sh * s->sw == 1 && !s->pt && !s->pl) {
		for (size_t r = 0; r < rows; r++)
			copy(to + r * VT_GEMM_LDA, s->x + (row + r) * s->ldx + s->c0 + k0, k1 - k0);
		return;
	}
	for (size_t r = 0; r < rows; r++) {
		gather_row(to + r * VT_GEMM_LDA, s, n, oy, ox, k0, k1);
		if (++ox < s->ow)
			continue;
		ox = 0;
		if (++oy < s->oh)
			continue;
		oy = 0;
		n++;
	}
}

/* ---- the task ----------------------------------------------------------------------------- */

static void gemm_task(struct vt_gemm_op *op, size_t i, size_t j, size_t mi, size_t nj)
{
	const size_t k = op->src.k;
	float *a = vt_scratch();

	for (size_t k0 = 0; k0 < k; k0 += VT_GEMM_KC) {
		const size_t kc = min_size(VT_GEMM_KC, k - k0);

		gather(a, &op->src, i, mi, k0, k0 + kc);
		for (size_t jj = j; jj < j + nj; jj += VT_GEMM_NR) {
			const size_t at = i * op->ldc + jj;
			const struct vt_gemm_out o = {
				.c = op->c + at,
				.ldc = op->ldc,
				.bias = op->bias + jj,
				.residual = op->residual ? op->residual + at : NULL,
				.lo = op->lo,
				.hi = op->hi,
			};

			op->tile(mi, min_size(VT_GEMM_NR, j + nj - jj), kc, a,
				 op->panels + jj * k + k0 * VT_GEMM_NR, &o, k0 == 0, k0 + kc == k);
		}
	}
	if (op->act != VT_NONE)
		for (size_t r = i; r < i + mi; r++)
			vt_act_row_f32(op->act, op->act_a, op->act_b, op->c + r * op->ldc + j, nj);
}

void vt_gemm_run(struct vt_gemm_op *op, struct pthreadpool *gang)
{
	pthreadpool_parallelize_2d_tile_2d(gang, (pthreadpool_task_2d_tile_2d_t)gemm_task, op,
					   op->rows, op->cols, VT_GEMM_MR, op->cols, 0);
}
