/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.h - small graphs by hand, and a reference that computes them. Builders return the output
 * tensor and infer its shape; like the importer they put spatial operators (b_*_nchw) between
 * Transposes. They abort the test when memory runs out. The reference is slow and plain on purpose
 * and shares nothing with the kernels.
 */
#ifndef VT_TESTS_BUILD_H
#define VT_TESTS_BUILD_H

#include "model/graph.h"

#define SHAPE(...)                                                                                 \
	((struct vt_shape){.rank = (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),      \
			   .dim = {__VA_ARGS__}})

void b_start(struct vt_graph *g);
int b_input(struct vt_graph *g, const char *name, struct vt_shape s);
int b_const(struct vt_graph *g, struct vt_shape s, unsigned int seed); /* in [-1, 1] */
int b_fill(struct vt_graph *g, struct vt_shape s, float value);
int b_scalar(struct vt_graph *g, float value);
int b_index(struct vt_graph *g, int64_t value); /* a scalar of int64 */
void b_output(struct vt_graph *g, int t);

int b_node(struct vt_graph *g, enum vt_op op, const int *in, int n_in, struct vt_shape out);
int b_unary(struct vt_graph *g, enum vt_op op, int x);
int b_clip(struct vt_graph *g, int x, float lo, float hi);
int b_binary(struct vt_graph *g, enum vt_op op, int a, int b);
int b_binary_scalar(struct vt_graph *g, enum vt_op op, int a, float b);
int b_transpose(struct vt_graph *g, int x, const int *perm);
int b_reshape(struct vt_graph *g, int x, struct vt_shape s);
int b_concat(struct vt_graph *g, int axis, const int *in, int n_in);
int b_slice(struct vt_graph *g, int x, int axis, int64_t start, int64_t len);
void b_split2(struct vt_graph *g, int x, int axis, int *a, int *b);
int b_pad(struct vt_graph *g, int x, int axis, int64_t before, int64_t after, double value);
int b_reduce(struct vt_graph *g, enum vt_op op, int x, uint32_t axes, bool keepdims);
int b_softmax(struct vt_graph *g, int x, int axis);
int b_gather(struct vt_graph *g, int x, int index, int axis); /* scalar index: drops the axis */
int b_matmul(struct vt_graph *g, int a, int b);
int b_fc(struct vt_graph *g, int x, int n, unsigned int seed, bool bias, bool w_kn);
int b_to_nhwc(struct vt_graph *g, int x);
int b_to_nchw(struct vt_graph *g, int x);
/* NHWC */
int b_conv(struct vt_graph *g, int x, int m, int k, int stride, int pad, int groups,
	   unsigned int seed);
int b_norm(struct vt_graph *g, int x, unsigned int seed);
int b_pool(struct vt_graph *g, enum vt_op op, int x, int k, int stride, int pad);
/* NCHW, between Transposes */
int b_conv_nchw(struct vt_graph *g, int x, int m, int k, int stride, int pad, unsigned int seed);
int b_norm_nchw(struct vt_graph *g, int x, unsigned int seed);
int b_pool_nchw(struct vt_graph *g, enum vt_op op, int x, int k, int stride, int pad);
int b_gap_nchw(struct vt_graph *g, int x);
int b_gap(struct vt_graph *g, int x); /* NHWC */
/* spelled-out LayerNormalization over the last dim and multi-head attention, as PyTorch exports */
int b_layernorm(struct vt_graph *g, int x, unsigned int seed);
int b_heads(struct vt_graph *g, int x, int heads, bool transposed);

int b_count(const struct vt_graph *g, enum vt_op op);
const struct vt_node *b_find(const struct vt_graph *g, enum vt_op op); /* the first, or NULL */

/**
 * b_run - compute all outputs, one after the other, into one new array of floats (caller frees)
 * Inputs get values that depend on @seed and their position only. @planned: through the arena and
 * the views of the memory plan instead of one buffer per tensor.
 */
float *b_run(const struct vt_graph *g, unsigned int seed, bool planned, size_t *n);

/** b_same_function - fail the test unless @pass keeps what @g computes; returns its rewrites */
int b_same_function(struct vt_graph *g, int (*pass)(struct vt_graph *g, const struct vt_eval *eval,
						    int *changed, struct vt_err *e));

/** b_eval - folding by the reference; every Conv that can be joined with a depthwise one is */
extern const struct vt_eval b_eval;

#endif
