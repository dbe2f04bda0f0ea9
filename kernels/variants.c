// SPDX-License-Identifier: Apache-2.0
#include "kernels/variant.h"

#include <string.h>

#define MANY_ROWS 112

const struct vt_variant vt_variants[] = {
	{"f32_gemm_mouter", false, 0, 0, false},
	{"f32_gemm_nouter", true, 0, 0, false},
	{"f32_gemm_nouter_nc2048", true, 2048, 0, false},
	{"f32_gemm_nouter_nc1024", true, 1024, 0, false},
	{"f32_gemm_nouter_nc512", true, 512, 0, false},
	{"f32_gemm_nouter_nc256", true, 256, 0, false},
	{"f32_gemm_nouter_nc128", true, 128, 0, false},
	{"f32_gemm_nouter_nc64", true, 64, 0, false},
	{"f32_gemm_nouter_nc32", true, 32, 0, false},
	{"f32_gemm_mouter_fit", false, 0, 0, true},
	{"f32_gemm_nouter_fit", true, 0, 0, true},
	{"f32_gemm_nouter_nc2048_fit", true, 2048, 0, true},
	{"f32_gemm_nouter_nc1024_fit", true, 1024, 0, true},
	{"f32_gemm_nouter_nc512_fit", true, 512, 0, true},
	{"f32_gemm_nouter_nc256_fit", true, 256, 0, true},
	{"f32_gemm_nouter_nc128_fit", true, 128, 0, true},
	{"f32_gemm_nouter_nc64_fit", true, 64, 0, true},
	{NULL, false, 0, 0, false},
};

const struct vt_variant *vt_variant_find(const char *name)
{
	for (const struct vt_variant *v = vt_variants; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

const struct vt_variant *vt_variant_default(size_t rows, size_t cols, size_t k, size_t weight_bytes,
					    size_t l2_bytes)
{
	const struct vt_variant *best = NULL;

	/* Few rows: every weight is used about once, there is nothing to keep. */
	if (rows <= 16)
		return vt_variant_find("f32_gemm_mouter");
	/* All weights stay in cache: cut rows, so that a core reads what it wrote in the layer
	 * before. */
	if (weight_bytes <= l2_bytes / 2 && rows >= MANY_ROWS)
		return vt_variant_find("f32_gemm_mouter_fit");
	for (const struct vt_variant *v = vt_variants; v->name; v++) {
		size_t nc = v->nc ? v->nc : cols;

		if (!v->fit || !v->cols_outer)
			continue;
		best = v;
		if (nc * k * sizeof(float) <= l2_bytes / 4)
			break;
	}
	return best;
}
