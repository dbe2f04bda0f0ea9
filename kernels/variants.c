// SPDX-License-Identifier: Apache-2.0
#include "kernels/variant.h"

#include <string.h>

#define MANY_ROWS     112
#define FEW_ROWS      16
#define MANY_WEIGHTS  ((size_t)128 << 10) /* bytes a row */
#define WORTH_SHARING ((size_t)256 << 10) /* 10 us to read; to share a job costs about one */

/* Of variants that cut a layer alike the tuner measures the first. */
const struct vt_variant vt_variants[] = {
	{.name = "f32_gemm_mouter"},
	{.name = "f32_gemm_nouter", .cols_outer = true},
	{.name = "f32_gemm_nouter_nc2048", .cols_outer = true, .nc = 2048},
	{.name = "f32_gemm_nouter_nc1024", .cols_outer = true, .nc = 1024},
	{.name = "f32_gemm_nouter_nc512", .cols_outer = true, .nc = 512},
	{.name = "f32_gemm_nouter_nc256", .cols_outer = true, .nc = 256},
	{.name = "f32_gemm_nouter_nc128", .cols_outer = true, .nc = 128},
	{.name = "f32_gemm_nouter_nc64", .cols_outer = true, .nc = 64},
	{.name = "f32_gemm_nouter_nc32", .cols_outer = true, .nc = 32},
	{.name = "f32_gemm_mouter_fit", .fit = true},
	{.name = "f32_gemm_nouter_fit", .cols_outer = true, .fit = true},
	{.name = "f32_gemm_nouter_nc2048_fit", .cols_outer = true, .nc = 2048, .fit = true},
	{.name = "f32_gemm_nouter_nc1024_fit", .cols_outer = true, .nc = 1024, .fit = true},
	{.name = "f32_gemm_nouter_nc512_fit", .cols_outer = true, .nc = 512, .fit = true},
	{.name = "f32_gemm_nouter_nc256_fit", .cols_outer = true, .nc = 256, .fit = true},
	{.name = "f32_gemm_nouter_nc128_fit", .cols_outer = true, .nc = 128, .fit = true},
	{.name = "f32_gemm_nouter_nc64_fit", .cols_outer = true, .nc = 64, .fit = true},
	{.name = "f32_gemm_mouter_fit_c2", .fit = true, .chunks = 2},
	{.name = "f32_gemm_nouter_fit_c2", .cols_outer = true, .fit = true, .chunks = 2},
	{.name = "f32_gemm_nouter_nc1024_fit_c2",
	 .cols_outer = true,
	 .nc = 1024,
	 .fit = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_nc512_fit_c2",
	 .cols_outer = true,
	 .nc = 512,
	 .fit = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_nc256_fit_c2",
	 .cols_outer = true,
	 .nc = 256,
	 .fit = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_nc128_fit_c2",
	 .cols_outer = true,
	 .nc = 128,
	 .fit = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_split_c2",
	 .cols_outer = true,
	 .fit = true,
	 .split = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_nc2048_split_c2",
	 .cols_outer = true,
	 .nc = 2048,
	 .fit = true,
	 .split = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_nc1024_split_c2",
	 .cols_outer = true,
	 .nc = 1024,
	 .fit = true,
	 .split = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_nc512_split_c2",
	 .cols_outer = true,
	 .nc = 512,
	 .fit = true,
	 .split = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_nc256_split_c2",
	 .cols_outer = true,
	 .nc = 256,
	 .fit = true,
	 .split = true,
	 .chunks = 2},
	{.name = "f32_gemm_nouter_nc128_split_c2",
	 .cols_outer = true,
	 .nc = 128,
	 .fit = true,
	 .split = true,
	 .chunks = 2},
	{.name = "any_c2", .chunks = 2, .kind = VT_VARIANT_ANY},
	{.name = "any_c8", .chunks = 8, .kind = VT_VARIANT_ANY},
	{.name = "any_c32", .chunks = 32, .kind = VT_VARIANT_ANY},
	{.name = NULL},
};

const struct vt_variant *vt_variant_find(const char *name)
{
	for (const struct vt_variant *v = vt_variants; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

const struct vt_variant *vt_variant_plain(void)
{
	return vt_variant_find("any_c8");
}

bool vt_variant_applies(const struct vt_variant *v, size_t cols, size_t depth)
{
	if (!depth)
		return v->kind == VT_VARIANT_ANY;
	return v->kind == VT_VARIANT_MATRIX && v->nc < cols;
}

const struct vt_variant *vt_variant_default(size_t rows, size_t cols, size_t k, size_t weight_bytes,
					    size_t l2_bytes)
{
	const struct vt_variant *best = NULL;
	bool split, coarse;

	/* Few rows: every weight is used about once, there is nothing to keep; what takes long to
	 * read is read by all cores, a part of the columns each. */
	if (rows <= FEW_ROWS)
		return vt_variant_find(weight_bytes < WORTH_SHARING ? "f32_gemm_mouter"
								    : "f32_gemm_mouter_fit");
	/* All weights stay in cache: cut rows, so that a core reads what it wrote in the layer before. */
	if (weight_bytes <= l2_bytes / 2 && rows >= MANY_ROWS)
		return vt_variant_find("f32_gemm_mouter_fit");
	/*
	 * Beyond that either cut makes cores share something. By rows each reads all weights; by columns each
	 * reads what the others wrote, and what it writes next lies where the others have read. The first
	 * is cheaper unless weights are read for few rows. Measured where cores share no cache.
	 */
	split = rows >= 6 * FEW_ROWS && weight_bytes / rows <= MANY_WEIGHTS;
	/* Every chunk of columns gathers all rows, which takes as long as some 20 columns of it. */
	coarse = split || weight_bytes / rows > MANY_WEIGHTS / 2;
	for (const struct vt_variant *v = vt_variants; v->name; v++) {
		size_t nc = v->nc ? v->nc : cols;

		if (!v->fit || !v->cols_outer || v->split != split || (v->chunks != 0) != coarse)
			continue;
		best = v;
		if (nc * k * sizeof(float) <= l2_bytes / 4)
			break;
	}
	return best;
}
