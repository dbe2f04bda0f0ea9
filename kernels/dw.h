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
	float *sums; /* what the outputs of the row add up to, by channel, to whole blocks; NULL: nobody wants to know */
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

/* ---- the average over an image (dw_average.c) ------------------------------------------------ */

/*
 * Rows are added up as a tree: the upper half of an image and the lower one, each likewise. Of the rows that a
 * core makes one after the other it adds up what lies in it whole, while that is in its scratch; mostly one sum
 * is left. So the bits are the same however rows are shared out, and who divides in the end reads little of what
 * other cores have written.
 */
struct vt_dw_branch {
	size_t lo, mid, hi; /* rows [lo, hi) are [lo, mid) and [mid, hi) */
};

struct vt_dw_sums {
	size_t batch, oh, pixels, channels;
	size_t ld;     /* floats of a row: whole blocks, so that two cores share no line */
	size_t floats; /* of one instance */
	int n_inst;
	float *mem; /* [instance][image][row where a sum begins, 0 unused][ld]; NULL: no average */
	struct vt_dw_branch *branch; /* oh - 1, halves before what they are halves of */
};

/** vt_dw_sums_init - 0 or -ENOMEM; vt_dw_sums_fini accepts a zeroed one */
int vt_dw_sums_init(struct vt_dw_sums *s, const struct vt_dw *d, size_t batch, int n_inst);
void vt_dw_sums_fini(struct vt_dw_sums *s);
/** vt_dw_sums_bytes - of all instances */
size_t vt_dw_sums_bytes(const struct vt_dw_sums *s);
/** vt_dw_sums_of - of one; NULL: no average */
static inline float *vt_dw_sums_of(const struct vt_dw_sums *s, int inst)
{
	return s->mem ? s->mem + (size_t)inst * s->floats : NULL;
}

/** vt_dw_sum_ld - distance in floats of vt_dw.sums of rows of @channels */
static inline size_t vt_dw_sum_ld(size_t channels)
{
	return (channels + VT_DW_BLOCK - 1) / VT_DW_BLOCK * VT_DW_BLOCK;
}

/** Rows [from, end) of an image, some channels of them, as one core has made them. */
struct vt_dw_part {
	size_t image, from, end, c0, channels;
	float *rows; /* their sums, vt_dw_sum_ld(channels) apart; lost */
};

/** vt_dw_add_part - what @part adds up to, into @sums of an instance and, with row 0, @y, the average of all images */
void vt_dw_add_part(const struct vt_dw_sums *s, const struct vt_dw_part *part, float *sums,
		    float *y);
/**
 * vt_dw_average - @y [batch][channels], when all parts are there, on the calling thread
 * Row i of image k was in part number (k * @image + i) / @part.
 */
void vt_dw_average(const struct vt_dw_sums *s, float *sums, size_t image, size_t part, float *y);

#endif
