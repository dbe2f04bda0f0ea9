// SPDX-License-Identifier: Apache-2.0
/* The row kernels of isa.h, compiled once per tier (VT_TIER) from the same text. */
#include "kernels/half.h"
#include "kernels/isa.h"
#include "kernels/vec_binary.h"
#include "kernels/vec_rows.h"
#include "kernels/vec_unary.h"

static void from_half(float *y, const uint16_t *x, size_t n)
{
	size_t i = 0;

#if VT_TIER >= 3
	for (; i + 8 <= n; i += 8)
		_mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(x + i))));
#endif
	for (; i < n; i++)
		y[i] = vt_f16_to_f32(x[i]);
}

static void to_half(uint16_t *y, const float *x, size_t n)
{
	size_t i = 0;

#if VT_TIER >= 3
	for (; i + 8 <= n; i += 8)
		_mm_storeu_si128((void *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
#endif
	for (; i < n; i++)
		y[i] = vt_f32_to_f16(x[i]);
}

extern const struct vt_vec VT_SUFFIX(vt_vec);
const struct vt_vec VT_SUFFIX(vt_vec) = {
	.name = VT_TIER == 4   ? "avx512"
		: VT_TIER == 3 ? "avx2"
			       : "baseline",
	.unary =
		{
#define X(op, f) [VT_OP_##op] = row_##op,
			VT_VEC_UNARY(X) VT_VEC_UNARY_PAIRS(X)
#undef X
		},
	.add_unary =
		{
#define X(op, f) [VT_OP_##op] = add_##op,
			VT_VEC_UNARY(X) VT_VEC_UNARY_PAIRS(X)
#undef X
		},
	.binary =
		{
#define X(op, f) [VT_OP_##op] = {vv_##op, vs_##op, sv_##op},
			VT_VEC_BINARY(X)
#undef X
		},
	.reduce = {reduce_sum, reduce_sumsq, reduce_abs, reduce_max, reduce_min},
	.accum = {accum_sum, accum_sumsq, accum_abs, accum_max, accum_min},
	.accum_rows = {rows_sum, rows_sumsq, rows_abs, rows_max, rows_min},
	.max_plus = max_plus,
	.exp_sum = exp_sum,
	.dev_sq = dev_sq,
	.scale_rows = scale_rows,
	.normalize = normalize,
	.affine = affine,
	.lerp = lerp,
	.axpy = axpy,
	.lrn = lrn,
	.from_half = from_half,
	.to_half = to_half,
};
