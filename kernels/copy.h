/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.h - a strided copy: the one engine behind every operator that only moves elements.
 * A copy is planned once and run on any gang; read-only while it runs.
 */
#ifndef VT_KERNELS_COPY_H
#define VT_KERNELS_COPY_H

#include "kernels/ops.h"

enum vt_copy_how {
	VT_COPY_ROWS,	   /* both inner strides are 1: memcpy */
	VT_COPY_FILL,	   /* the source stands still along the inner dim */
	VT_COPY_STRIDED,   /* one element at a time */
	VT_COPY_TRANSPOSE, /* the source is dense along another dim: square blocks */
};

/** dst[dst_off + i . stride[0]] = src[src_off + i . stride[1]] for all i in nd */
struct vt_copy {
	struct vt_nd nd; /* operands: destination, source; strides may be negative */
	int64_t dst_off, src_off;
	size_t esize; /* bytes of an element: 1, 2, 4, 8 */
	enum vt_copy_how how;
	int dense;	    /* VT_COPY_TRANSPOSE: the dim along which the source is dense */
	struct vt_nd outer; /* VT_COPY_TRANSPOSE: the others but the inner one */
};

/** vt_copy_plan - collapse @c->nd and choose how; nd, offsets and esize are set by the caller */
void vt_copy_plan(struct vt_copy *c);
void vt_copy_run(const struct vt_copy *c, void *dst, const void *src, pthreadpool_t gang);

/** vt_transpose_f32 - dst[k * ds + i] = src[i * ss + k] for i < ni, k < nk */
void vt_transpose_f32(float *dst, int64_t ds, const float *src, int64_t ss, size_t ni, size_t nk);

#endif
