/* SPDX-License-Identifier: Apache-2.0 */
/*
 * variant.h - what a kernel variant is: a way through the loop nest of a layer. Values, no state.
 *
 * A variant trades locality (the block of output channels that stays in cache while all rows pass)
 * against parallelism (how many chunks there are to share). Its name is its full specification:
 *
 *	f32_gemm_mouter                rows outer, all columns: XNNPACK's own order
 *	f32_gemm_nouter_nc128          columns outer, 128 output channels per block, only rows are cut
 *	                               for the cores
 *	f32_gemm_nouter_nc128_fit      the same, but columns are cut too where that leaves squarer chunks
 *	f32_gemm_nouter_nc128_fit_c2   the same with 2 chunks per core instead of 8: larger chunks,
 *	                               fewer reads of the same weights, less to share
 *	f32_gemm_nouter_nc128_split_c2 on one core as fit; on several each has a part of the rows
 *	any_c32                        no matrix: order and blocks mean nothing; 32 chunks per core
 *
 * All variants of a layer read one packed copy of its weights and give the same bits, so a step can
 * take another one at every run, for free, and what a neighbour does never changes an answer. That is
 * also why another *algorithm* (Winograd, int8) or instruction set is no variant but another kernel:
 * it packs weights of its own and rounds in its own way. Kernels are chosen once, when a model loads
 * (kernels/table.c), and a layer's signature names its kernel, so the store can hold the times of both.
 */
#ifndef VT_KERNELS_VARIANT_H
#define VT_KERNELS_VARIANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_CHUNKS_PER_CORE 8 /* unless a variant says otherwise */

enum vt_variant_kind {
	VT_VARIANT_MATRIX, /* nests of rows x columns */
	VT_VARIANT_ANY,	   /* all others: only the number of chunks */
};

struct vt_variant {
	const char *name;
	bool cols_outer; /* a block of columns stays while all rows pass; otherwise rows are
			    outermost. The outer loop is what the cores share first: chunks are
			    dealt in runs of neighbours */
	uint32_t nc;	 /* columns per block, a multiple of 32 (VT_GEMM_NR); 0: all */
	uint32_t mc;	 /* rows per chunk; 0: as few chunks as the cores need to balance */
	bool fit;	 /* nc is a bound: to get enough chunks, halve the longer side of a chunk */
	bool split; /* on several cores each first gets a part of the rows, walked in blocks of columns:
			    where cores share no cache, what a core reads it has written. Alone: fit */
	uint32_t chunks; /* per core; 0: VT_CHUNKS_PER_CORE */
	enum vt_variant_kind kind;
};

/** vt_variant_cols_outer - is the outer loop on @cores over columns? */
static inline bool vt_variant_cols_outer(const struct vt_variant *v, unsigned int cores)
{
	return v->cols_outer && !(v->split && cores > 1);
}

/** vt_variants - all there are, ends with name == NULL */
extern const struct vt_variant vt_variants[];

/** vt_variant_find - by name; NULL if there is none */
const struct vt_variant *vt_variant_find(const char *name);

/**
 * vt_variant_applies - does @v mean anything for a layer?
 * @cols, @depth: vt_layer.cols, vt_layer.depth (0: no matrix layer)
 * A block as wide as the layer is none: the name without nc stands for it.
 */
bool vt_variant_applies(const struct vt_variant *v, size_t cols, size_t depth);

/**
 * vt_variant_default - a good traversal where nothing has been measured
 * @rows, @cols: extents of the output; @k: products that stay in cache (vt_layer.depth)
 * @weight_bytes: of the whole layer; @l2_bytes: of one core
 * Up to 16 rows: rows outermost, columns shared out if there are many weights to read.
 * From 112 rows on with weights that fit in half of the L2: rows outermost. Otherwise the widest column block
 * whose weights fill at most a quarter of it: the rest is for the rows that pass and for the output; in a
 * small L2 the cores get parts of the rows first, unless weights are many and rows few: then there are fewer chunks,
 * as each gathers the rows anew.
 */
const struct vt_variant *vt_variant_default(size_t rows, size_t cols, size_t k, size_t weight_bytes,
					    size_t l2_bytes);
/** vt_variant_plain - what a layer without a default of its own runs as: any_c8 */
const struct vt_variant *vt_variant_plain(void);

#endif
