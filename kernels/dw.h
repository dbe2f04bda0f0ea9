/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dw.h - depthwise convolution, channel last: one output row at a time.
 *
 * A step computes VT_DW_WIDTH neighbouring outputs of one vector of channels in registers. An input
 * value is loaded once per kernel row and serves all outputs whose window covers it, so the
 * multiply-adds, not the loads, set the pace. The activation is applied before the one store.
 */
#ifndef VT_KERNELS_DW_H
#define VT_KERNELS_DW_H

#include <stddef.h>

struct vt_epilogue;

#define VT_DW_WIDTH 7 /* divides 112, 56, 28, 14 and 7 */
/* channels of a block of packed weights: [C / 16][bias, then kh x kw][16] */
#define VT_DW_BLOCK 16

struct vt_dw {
	const float *x; /* NHWC */
	float *y;
	const float *weights; /* packed, channels padded with zeros to whole blocks */
	size_t ih, iw, oh, ow, channels;
	size_t ldx, ldy; /* elements between pixels */
	int kernel, stride, pt, pl;
	int act; /* VT_OP_CLIP, VT_OP_SILU or VT_NONE */
	float lo, hi;
};

/** vt_dw_row_fn - output row @oy of image @n, channels [c0, c1); c0 a multiple of VT_DW_BLOCK */
typedef void vt_dw_row_fn(const struct vt_dw *d, size_t n, size_t oy, size_t c0, size_t c1);

/** vt_dw_row - for a kernel of 3 or 5 and a stride of 1 or 2, on this CPU; NULL: none better than XNNPACK's */
vt_dw_row_fn *vt_dw_row(int kernel, int stride);

/** The rows of each instruction set: [kernel of 5][stride 2] */
extern vt_dw_row_fn *const vt_dw_rows_v3[2][2], *const vt_dw_rows_v4[2][2];

/** vt_dw_set_epilogue - the activation of @epi; -ENOTSUP where a row cannot compute it */
int vt_dw_set_epilogue(struct vt_dw *d, const struct vt_epilogue *epi);
/** vt_dw_packed_floats - of the weights of @channels filters of @taps */
size_t vt_dw_packed_floats(size_t channels, size_t taps);
/** vt_dw_pack - @w [channels][taps] and @bias (may be NULL) into zeroed memory at @to */
void vt_dw_pack(float *to, const float *w, const float *bias, size_t channels, size_t taps);

#endif
