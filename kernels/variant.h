/* SPDX-License-Identifier: Apache-2.0 */
/*
 * variant.h - what a kernel variant is: a way through the loop nest of a layer. Values, no state.
 *
 * A variant trades locality (the block of output channels that stays in cache while all rows pass)
 *against parallelism (how many chunks there are to share). Its name is its full specification:
 *
 *	f32_gemm_nouter_nc128      columns outer, 128 output channels per block, rows cut as cores
 *need f32_gemm_mouter            rows outer, all columns: XNNPACK's own order
 */
#ifndef VT_KERNELS_VARIANT_H
#define VT_KERNELS_VARIANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vt_variant {
	const char *name;
	bool cols_outer; /* a block of columns stays while all rows pass; otherwise rows are
			    outermost */
	uint32_t nc;	 /* columns per block, a multiple of 16; 0: all */
	uint32_t mc;	 /* rows per chunk; 0: as few chunks as the cores need to balance */
	bool fit;	 /* nc is a bound: to get enough chunks, halve the longer side of a chunk */
};

/** vt_variants - all traversals of matrix layers, ends with name == NULL */
extern const struct vt_variant vt_variants[];

/** vt_variant_find - by name; NULL if there is none */
const struct vt_variant *vt_variant_find(const char *name);

/**
 * vt_variant_default - a good traversal where nothing has been measured
 * @rows, @cols: extents of the output; @k: products that stay in cache (vt_layer.depth)
 * @weight_bytes: of the whole layer; @l2_bytes: of one core
 * Weights that fit in half of the L2: rows outermost. Otherwise the widest column block whose
 * weights fill at most a quarter of it: the rest is for the rows that pass and for the output.
 */
const struct vt_variant *vt_variant_default(size_t rows, size_t cols, size_t k, size_t weight_bytes,
					    size_t l2_bytes);

#endif
