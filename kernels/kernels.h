/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h - every kernel descriptor that table.c may name. */
#ifndef VT_KERNELS_KERNELS_H
#define VT_KERNELS_KERNELS_H

#include "kernels/layer.h"

/* X(identifier): our own, in ops_*.c */
#define VT_OWN_KERNELS(X)                                                                          \
	X(unary)                                                                                   \
	X(binary)                                                                                  \
	X(cast)                                                                                    \
	X(expand)                                                                                  \
	X(transpose)                                                                               \
	X(concat)                                                                                  \
	X(split)                                                                                   \
	X(slice)                                                                                   \
	X(tile)                                                                                    \
	X(blocks)                                                                                  \
	X(pad)                                                                                     \
	X(gather)                                                                                  \
	X(gather_elements)                                                                         \
	X(gather_nd)                                                                               \
	X(one_hot)                                                                                 \
	X(scatter_nd)                                                                              \
	X(scatter_elements)                                                                        \
	X(where)                                                                                   \
	X(trilu)                                                                                   \
	X(range)                                                                                   \
	X(reduce)                                                                                  \
	X(softmax)                                                                                 \
	X(layer_norm)                                                                              \
	X(instance_norm)                                                                           \
	X(batch_norm)                                                                              \
	X(lrn)                                                                                     \
	X(pool)                                                                                    \
	X(resize)                                                                                  \
	X(arg)                                                                                     \
	X(topk)                                                                                    \
	X(cumsum)                                                                                  \
	X(matmul)                                                                                  \
	X(fc)                                                                                      \
	X(conv)

#define X(id) extern const struct vt_kernel vt_kernel_##id;
VT_OWN_KERNELS(X)
#undef X

/* Our own matrix kernels, where they beat XNNPACK's: gemm.h. */
extern const struct vt_kernel vt_conv2d_gemm_f32, vt_conv2d_dw_f32, vt_conv2d_wino_f32,
	vt_conv2d_dw_pair_f32, vt_fc_strassen_f32, vt_fc_gemm_f32, vt_matmul_gemm_f32,
	vt_attention_gemm_f32;

/* XNNPACK: xnn_ops.c. */
extern const struct vt_kernel vt_xnn_conv2d_f32, vt_xnn_deconv2d_f32, vt_xnn_fc_f32,
	vt_xnn_maxpool2d_f32, vt_xnn_avgpool2d_f32;

/** vt_attends - vt_eval.attends: is vt_attention_gemm_f32 for this CPU? */
bool vt_attends(void);
/** vt_conv_dw_joins - vt_eval.joins: where vt_conv2d_dw_pair_f32 takes both and saves time */
bool vt_conv_dw_joins(const struct vt_graph *g, const struct vt_node *first,
		      const struct vt_node *dw);
/** vt_conv_dw_takes - is there a kernel of ours for the VT_OP_CONV2D_DW? */
bool vt_conv_dw_takes(const struct vt_graph *g, const struct vt_node *n);
/** vt_dw_averages - vt_eval.averages: where the kernel of a depthwise convolution is one of ours */
bool vt_dw_averages(const struct vt_graph *g, const struct vt_node *n);

#endif
