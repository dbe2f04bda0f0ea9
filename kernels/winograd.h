/* SPDX-License-Identifier: Apache-2.0 */
/*
 * winograd.h - 3x3 convolutions of stride 1 with a quarter of the multiplications: F(4x4, 3x3).
 *
 * Lavin, Gray: Fast Algorithms for Convolutional Neural Networks (2016), with the points 0, 1, -1,
 * 2, -2 and infinity. A tile of 4 x 4 outputs depends on 6 x 6 inputs; transformed, the convolution
 * is 36 independent matrix products over the channels. One unit of work takes a block of tiles
 * through all three steps in the core's scratch, so that the transformed data never leaves its
 * second-level cache.
 *
 * It is another algorithm: results differ from the direct sum by rounding, about 1e-6 of the
 * largest output, and an infinity, a NaN or what overflows in a transform may turn all outputs of
 * the tiles that read it into NaN, where the direct sum has it in the 3 x 3 outputs around it only.
 * But they are the same bits on any number of cores. It pays where rows are many and channels few
 * enough for the transformed weights, four times larger, to stay close: see ops_winograd.c.
 */
#ifndef VT_KERNELS_WINOGRAD_H
#define VT_KERNELS_WINOGRAD_H

#include <stddef.h>

#define VT_WINO_OUT   4	 /* outputs of a tile, each way */
#define VT_WINO_IN    6	 /* inputs of a tile, each way */
#define VT_WINO_TERMS 36 /* matrix products */

struct vt_wino {
	const float *x; /* NHWC */
	float *y;
	const float *bias, *residual; /* residual: layout of y, or NULL */
	size_t ih, iw, oh, ow, channels, cols;
	size_t ldx, ldy; /* elements between pixels */
	int pt, pl;
	size_t tiles_x, tiles_y; /* of one image */
	int act;		 /* VT_OP_CLIP, VT_OP_LEAKY_RELU (lo = alpha) or VT_NONE */
	float lo, hi;
};

/**
 * vt_wino_term - floats from one of the 36 terms of @n tiles, @width floats each, to the next
 * An odd number of cache lines: a tile's transform touches all 36, which at a power of two apart would fight
 * for the same few lines of L1.
 */
static inline size_t vt_wino_term(size_t n, size_t width)
{
	return ((n * width + 15) / 16 | 1) * 16;
}

/** The part that is written for one instruction set. */
struct vt_wino_isa {
	/** input - transform the inputs of tiles [t0, t0 + n) into @v: 36 terms of [n][channels] */
	void (*input)(const struct vt_wino *d, size_t t0, size_t n, float *v);
	/** output - transform @m, 36 terms of [n][nj], back and store the outputs of these tiles, columns [j, j + nj) */
	void (*output)(const struct vt_wino *d, size_t t0, size_t n, size_t j, size_t nj,
		       const float *m);
};
extern const struct vt_wino_isa vt_wino_v3, vt_wino_v4;

/** vt_wino_weights - transform one 3x3 kernel @g into @u[36] */
void vt_wino_weights(const float *g, float *u);

#endif
