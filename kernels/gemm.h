/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.h - our own f32 matrix kernels for cores whose FMA units XNNPACK's cannot fill.
 *
 * XNNPACK's widest f32 microkernel keeps 7 accumulators of AVX-512. A core with two 512-bit FMA ports and 4
 * cycles of latency needs at least 8 in flight, so it stops at 7/8 of the peak; ours keeps 28 (14
 * rows x 2 vectors). With AVX2 XNNPACK's 5x16, as Debian's gcc compiles it, keeps one of its ten in memory, and
 * each product waits for that store: a third of the peak. Ours keeps 12 (6 rows x 2 vectors) of a tile's 48 at a time.
 * Sums run over k in the same order, bias first, one fused multiply-add per product: the output bits are XNNPACK's (tests/unit/test_gemm.c holds this).
 *
 * Weights are packed once into panels of VT_GEMM_NR columns, products in blocks of vt_gemm_kc(k), zero-padded at the
 * right. What a microkernel takes at a time lies in one piece: panel[j / NR][part of nr columns][k][nr], because lines
 * of which every second one is used fill only half of the sets of a first-level cache. The left operand is gathered per tile of MR rows and one
 * block of products into the core's scratch, which makes its rows a fixed distance apart (one address
 * register, no cache-set conflicts) and serves 1x1, kxk, strided, dilated and padded convolutions alike.
 */
#ifndef VT_KERNELS_GEMM_H
#define VT_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"

/* the most rows of a tile: 28 accumulators + 2 weights + 1 broadcast of 32 registers */
#define VT_GEMM_MR 14
#define VT_GEMM_NR 32

/**
 * vt_gemm_kc - products per block of a sum over @k; depends on @k and this machine's kernel only
 * This and what follows: where vt_gemm_best() is a kernel.
 */
size_t vt_gemm_kc(size_t k);
/** vt_gemm_lda - row distance in scratch for that block: an odd number of cache lines */
static inline size_t vt_gemm_lda(size_t k)
{
	return ((vt_gemm_kc(k) / 16 + 1) | 1) * 16;
}
/**
 * vt_gemm_depth - vt_layer.depth of a layer of @k products: for how many its columns should stay in cache
 * Few where rows stay instead and columns only pass.
 */
size_t vt_gemm_depth(size_t k);
/** vt_gemm_scratch_bytes - what a core needs for one layer of @k products and @rows rows */
size_t vt_gemm_scratch_bytes(size_t k, size_t rows);

/** vt_gemm_far_apart - do rows at this distance fight for the same cache sets? They are gathered. */
static inline bool vt_gemm_far_apart(size_t ldx)
{
	return ldx % 512 == 0;
}

/** What the microkernel does with its tile before it stores it for the last time. */
struct vt_gemm_out {
	float *c;
	size_t ldc;	       /* elements */
	const float *bias;     /* of this panel, NR values */
	const float *residual; /* same layout as c, or NULL; added once, at the end */
	bool clamp;	       /* to [lo, hi], at the end */
	float lo, hi;
	/* Where partial sums are read: elements from c to the tile that comes next, whose lines are fetched; 0: none. */
	ptrdiff_t after;
	size_t after_rows; /* of that tile; 0: as many as this one has */
	/*
	 * Meanwhile bring into L2, one per product, next, next + next_step, ... and after next_run
	 * of them (0: never) go next_jump further; NULL: nothing.
	 */
	const float *next;
	size_t next_step, next_run;
	ptrdiff_t next_jump;
};

/**
 * vt_gemm_tile_fn - rows x cols (cols <= NR) of c += a * panel over @kc products
 * @a: rows @lda apart; @b: panel at this k; @first: start from the bias instead of c; @last: finish
 */
typedef void (*vt_gemm_tile_fn)(size_t rows, size_t cols, size_t kc, const float *a, size_t lda,
				const float *b, const struct vt_gemm_out *o, bool first, bool last);

/* ---- convolution and fully connected as one task ------------------------------------------- */

/** Geometry of the left operand. A fully connected layer is a 1x1 convolution of one row of pixels. */
struct vt_gemm_src {
	const float *x;		/* NHWC */
	size_t ih, iw, ic, ldx; /* ldx: elements between pixels */
	size_t oh, ow;
	int kh, kw, sh, sw, dh, dw, pt, pl;
	size_t c0;	 /* first input channel of this group */
	size_t k;	 /* kh * kw * channels of the group */
	size_t gc;	 /* channels of the group */
	bool transposed; /* kh = kw = 1: element (row, k) lies at x[k * ldx + row] */
};

/** vt_gemm_gather_fn - elements [k0, k1) of operand rows [row, row + rows), @lda apart, to @a */
typedef void vt_gemm_gather_fn(float *a, size_t lda, const struct vt_gemm_src *s, size_t row,
			       size_t rows, size_t k0, size_t k1);
vt_gemm_gather_fn vt_gemm_gather_v3, vt_gemm_gather_v4;

/** The part that is written for one instruction set. */
struct vt_gemm_isa {
	const char *name;
	size_t mr; /* rows of a tile, at most VT_GEMM_MR */
	size_t nr; /* columns it takes at a time: a panel lies as VT_GEMM_NR / nr parts of so many */
	size_t kc; /* products of a block where L2 is small, see gemm.c */
	vt_gemm_tile_fn tile;
	vt_gemm_gather_fn *gather;
};

extern const struct vt_gemm_isa vt_gemm_avx2, vt_gemm_avx512;

/** vt_gemm_of - for CPUs of a tier, or NULL: leave it to XNNPACK */
const struct vt_gemm_isa *vt_gemm_of(enum vt_tier tier);
/** vt_gemm_best - for this CPU */
static inline const struct vt_gemm_isa *vt_gemm_best(void)
{
	return vt_gemm_of(vt_tier_best());
}
/** vt_gemm_mr - its rows of a tile */
static inline size_t vt_gemm_mr(void)
{
	return vt_gemm_best()->mr;
}

struct vt_gemm_op {
	const struct vt_gemm_isa *isa;
	struct vt_gemm_src src;
	const float *panels, *bias; /* bias padded to whole panels */
	size_t rows, cols;	    /* rows = batch * oh * ow */
	float *c;
	size_t ldc;
	const float *residual;
	float lo, hi;
	int act; /* vt_op of a further activation that clamping cannot express, or VT_NONE */
	float act_a, act_b;
};

/** vt_gemm_packed_floats - size of the panels of a k x n operand */
size_t vt_gemm_packed_floats(size_t k, size_t n);
/** vt_gemm_panel - where the panel of column @j (a multiple of NR) starts at @k0 (a multiple of vt_gemm_kc(k)) */
static inline size_t vt_gemm_panel(size_t k, size_t n, size_t k0, size_t j)
{
	const size_t block = vt_gemm_kc(k), kc = k - k0 < block ? k - k0 : block;

	return k0 * ((n + VT_GEMM_NR - 1) / VT_GEMM_NR * VT_GEMM_NR) + j * kc;
}

/** A right operand of @k = taps * channels rows and @n columns, and its distances in floats. */
struct vt_gemm_weights {
	const float *w;
	size_t taps, channels, n;
	size_t tap_stride, channel_stride, n_stride;
};

/** vt_gemm_pack_panel - the panel of columns [j, j + NR), all of k */
void vt_gemm_pack_panel(float *panels, const struct vt_gemm_weights *w, size_t j);
/** vt_gemm_pack - all panels */
void vt_gemm_pack(float *panels, const struct vt_gemm_weights *w);

struct vt_epilogue;
struct vt_conv_params;
struct vt_tensor;
/** vt_gemm_set_epilogue - the activation of @epi, as a clamp where that says it; -ENOTSUP if neither can */
int vt_gemm_set_epilogue(struct vt_gemm_op *op, const struct vt_epilogue *epi);
/** vt_gemm_conv_source - the geometry of a convolution of @x; oh, ow and k are the caller's */
void vt_gemm_conv_source(struct vt_gemm_src *s, const struct vt_conv_params *p,
			 const struct vt_tensor *x);

/** vt_gemm_run - the whole product, on a gang */
struct pthreadpool;
void vt_gemm_run(struct vt_gemm_op *op, struct pthreadpool *gang);

#endif
