// SPDX-License-Identifier: Apache-2.0
/* gemm.c - packing, gathering and the task around the microkernel. */
#include "kernels/gemm.h"

#include <cpuinfo.h>
#include <string.h>

#include "kernels/act.h"
#include "kernels/tile.h"
#include "model/graph.h"

const struct vt_gemm_isa *vt_gemm_best(void)
{
#if defined(__x86_64__)
	if (cpuinfo_initialize() && cpuinfo_has_x86_avx512f())
		return &vt_gemm_avx512;
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

/* ---- the task ----------------------------------------------------------------------------- */

/* Rows [i, i + rows) x columns [j, j + nj), products [k0, k0 + kc) of the gathered rows @a. */
static void gemm_row_of_tiles(const struct vt_gemm_op *op, const float *a, size_t i, size_t rows,
			      size_t j, size_t nj, size_t k0, size_t kc)
{
	const size_t k = op->src.k;
	const bool last = k0 + kc == k;

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

		op->isa->tile(rows, min_size(VT_GEMM_NR, j + nj - jj), kc, a,
			      op->panels + jj * k + k0 * VT_GEMM_NR, &o, k0 == 0, last);
	}
	if (last && op->act != VT_NONE)
		for (size_t r = i; r < i + rows; r++)
			vt_act_row_f32(op->act, op->act_a, op->act_b, op->c + r * op->ldc + j, nj);
}

/*
 * One cell. The K loop is outside: its block of nc columns x KC of the weights stays in L2 while
 * all rows of the cell pass, whatever K is, and a gathered tile of rows serves all nc columns.
 */
static void gemm_task(struct vt_gemm_op *op, size_t i, size_t j, size_t mi, size_t nj)
{
	const size_t k = op->src.k;
	float *a = vt_scratch();

	for (size_t k0 = 0; k0 < k; k0 += VT_GEMM_KC) {
		const size_t kc = min_size(VT_GEMM_KC, k - k0);

		for (size_t ii = i; ii < i + mi; ii += VT_GEMM_MR) {
			const size_t rows = min_size(VT_GEMM_MR, i + mi - ii);

			op->isa->gather(a, &op->src, ii, rows, k0, k0 + kc);
			gemm_row_of_tiles(op, a, ii, rows, j, nj, k0, kc);
		}
	}
}

void vt_gemm_run(struct vt_gemm_op *op, struct pthreadpool *gang)
{
	vt_tile_matrix(gang, (pthreadpool_task_2d_tile_2d_t)gemm_task, op, op->rows, op->cols,
		       VT_GEMM_MR);
}
