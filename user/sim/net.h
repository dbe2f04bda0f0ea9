/* SPDX-License-Identifier: Apache-2.0 */
/* net.h - layer shapes of the paper's models, made from their architectures. Pure but for malloc.
 *
 * What is fused in an inference engine is one layer here: activation, batch normalisation, bias and
 * residual addition ride on the layer before them.
 */
#ifndef VT_SIM_NET_H
#define VT_SIM_NET_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum vt_shape_kind {
	VT_SHAPE_GEMM,	    /* convolution as GEMM, or a matrix product */
	VT_SHAPE_DEPTHWISE, /* every channel by itself */
	VT_SHAPE_STREAM,    /* pooling, softmax, normalisation: touches each byte once */
};

/** One layer as rows x depth times depth x cols (per group), f32, batch 1. */
struct vt_layer_shape {
	char name[24];
	uint8_t kind;
	uint32_t rows;	 /* output pixels or tokens (times heads) */
	uint32_t cols;	 /* output channels */
	uint32_t depth;	 /* multiply-adds per output element */
	uint32_t halo;	 /* input rows that neighbouring row blocks share: kernel height - stride */
	uint32_t groups; /* products side by side, each of its rows and part of the weights; 0: 1 */
	double in_bytes, out_bytes, weight_bytes;
	double in_row_bytes; /* one input row; halo is counted in these */
};

struct vt_net {
	const char *name;
	uint64_t qos_ns; /* the paper's target */
	struct vt_layer_shape *layers;
	uint32_t n_layers;
};

/** vt_net_make - build the net called @name; 0, -ENOENT for an unknown name, -ENOMEM */
int vt_net_make(const char *name, struct vt_net *ret, struct vt_err *e);

/** vt_net_fini - free what vt_net_make() took; accepts a zeroed net */
void vt_net_fini(struct vt_net *n);

/** vt_net_name - name of the i-th known net, or NULL past the last */
const char *vt_net_name(unsigned int i);

/** vt_shape_flops - floating-point operations, a multiply-add counting two */
static inline double vt_shape_flops(const struct vt_layer_shape *s)
{
	return 2.0 * s->rows * s->cols * s->depth;
}

#endif
