/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zoo_build.h - build an ONNX graph straight down: one call, one node. Internal to model/zoo_*.c.
 *
 * Errors stick to the builder, so that a model reads as its architecture and nothing else: after a
 * failure every call returns VT_ZV_NONE and vt_zb_error() tells. Each value carries its shape and
 * the first two moments that its elements are expected to have; weights are scaled by them, which
 * keeps activations at the same order of magnitude through any depth.
 */
#ifndef VT_MODEL_ZOO_BUILD_H
#define VT_MODEL_ZOO_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define VT_ZB_RANK 6 /* no model needs more than 4; after an error a layer may count beyond it */
#define VT_ZV_NONE (-1)

typedef int vt_zv; /* a value of the graph under construction */

/** A symbolic dimension is written by name if the builder is dynamic, else as the number. */
struct vt_zb_dim {
	int64_t n;
	const char *sym; /* NULL: always the number */
};

struct vt_zb_value {
	const char *name;
	int dtype; /* ONNX TensorProto.DataType */
	int rank;
	struct vt_zb_dim dim[VT_ZB_RANK];
	double mean, m2; /* E[x], E[x^2] */
};

enum vt_zb_attr_type { VT_ZB_INT, VT_ZB_FLOAT, VT_ZB_STRING, VT_ZB_INTS };

struct vt_zb_attr {
	const char *name;
	enum vt_zb_attr_type type;
	int64_t i;
	float f;
	const char *s;
	int n;
	int64_t ints[8];
};

#define VT_ZA_I(k, v) ((struct vt_zb_attr){.name = (k), .type = VT_ZB_INT, .i = (v)})
#define VT_ZA_F(k, v) ((struct vt_zb_attr){.name = (k), .type = VT_ZB_FLOAT, .f = (v)})
#define VT_ZA_S(k, v) ((struct vt_zb_attr){.name = (k), .type = VT_ZB_STRING, .s = (v)})
#define VT_ZA_1(k, a) ((struct vt_zb_attr){.name = (k), .type = VT_ZB_INTS, .n = 1, .ints = {(a)}})
#define VT_ZA_2(k, a, b)                                                                           \
	((struct vt_zb_attr){.name = (k), .type = VT_ZB_INTS, .n = 2, .ints = {(a), (b)}})
#define VT_ZA_4(k, a, b, c, d)                                                                     \
	((struct vt_zb_attr){.name = (k), .type = VT_ZB_INTS, .n = 4, .ints = {(a), (b), (c), (d)}})

struct vt_zb_node {
	const char *op, *name;
	int n_in, n_out, n_attr;
	vt_zv *in;
	vt_zv out; /* the first; the others follow */
	struct vt_zb_attr *attr;
};

/** An initialiser: how to make its numbers, not the numbers (BERT-large has 1.3 GB of them). */
enum vt_zb_fill {
	VT_ZF_NORMAL, /* mean @a, deviation @b; bounded at 3.46 deviations, so N(1, 0.1) is positive */
	VT_ZF_FLOATS, /* given */
	VT_ZF_INTS,   /* given */
};

struct vt_zb_init {
	vt_zv value;
	enum vt_zb_fill fill;
	double a, b;
	int64_t zero_rows; /* VT_ZF_NORMAL: every run of so many elements sums to zero; 0: no */
	const void *given;
};

/** What one run of the model is expected to get. */
enum vt_zb_input_kind {
	VT_ZI_IMAGE,   /* smooth structure and noise, about N(0, 1) */
	VT_ZI_TOKENS,  /* integers in [0, limit) */
	VT_ZI_SEGMENT, /* 0 in the first half, 1 in the second */
	VT_ZI_MASK,    /* ones, zeros in the last eighth */
};

struct vt_zb_input {
	vt_zv value;
	enum vt_zb_input_kind kind;
	int64_t limit;
};

struct vt_zb_chunk;

struct vt_zb {
	const char *model;
	int opset;
	bool dynamic;
	struct vt_err err;
	struct vt_zb_chunk *chunks;

	struct vt_zb_value *values;
	struct vt_zb_node *nodes;
	struct vt_zb_init *inits;
	struct vt_zb_input inputs[4];
	vt_zv outputs[4];
	int n_values, n_nodes, n_inits, n_inputs, n_outputs;
	int cap_values, cap_nodes, cap_inits;

	char scope[160];
	struct vt_zb_value scratch; /* what vt_zb_at() gives after an error */
	uint64_t params, macs;
};

void vt_zb_init(struct vt_zb *b, const char *model, int opset, bool dynamic);
void vt_zb_fini(struct vt_zb *b);
/** vt_zb_alloc - zeroed memory that lives as long as the builder, or NULL (the error sticks) */
void *vt_zb_alloc(struct vt_zb *b, size_t bytes);

/** vt_zb_push - names from here on are "...SCOPE.name"; returns what vt_zb_pop() needs */
size_t vt_zb_push(struct vt_zb *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vt_zb_pop(struct vt_zb *b, size_t mark);

/* ---- the four ways to make a value ---------------------------------------------------------- */

vt_zv vt_zb_add_input(struct vt_zb *b, const char *name, int dtype, int rank,
		      const struct vt_zb_dim *dim, enum vt_zb_input_kind kind, int64_t limit);
void vt_zb_add_output(struct vt_zb *b, vt_zv v, const char *name);

/** vt_zb_weight - a learned initialiser of random numbers; @zero_rows as in struct vt_zb_init */
vt_zv vt_zb_weight(struct vt_zb *b, const char *name, int rank, const int64_t *dim, double mean,
		   double sd, int64_t zero_rows);
/** vt_zb_ints, vt_zb_float - a constant; rank 0 for @n < 0 */
vt_zv vt_zb_ints(struct vt_zb *b, const char *name, const int64_t *v, int n);
vt_zv vt_zb_float(struct vt_zb *b, const char *name, float v);

/**
 * vt_zb_node - append a node with @n_out outputs
 * @in: VT_ZV_NONE stands for an optional input that is left out
 * The outputs start as copies of the first input's shape, type and moments; set what differs.
 */
vt_zv vt_zb_node(struct vt_zb *b, const char *op, const char *name, const vt_zv *in, int n_in,
		 int n_out, const struct vt_zb_attr *attr, int n_attr);
vt_zv vt_zb_op1(struct vt_zb *b, const char *op, const char *name, vt_zv x);
vt_zv vt_zb_op2(struct vt_zb *b, const char *op, const char *name, vt_zv x, vt_zv y);

/** vt_zb_at - the value itself; a scratch value after an error, so that it may always be written */
struct vt_zb_value *vt_zb_at(struct vt_zb *b, vt_zv v);
static inline int64_t vt_zb_dim(struct vt_zb *b, vt_zv v, int axis)
{
	return vt_zb_at(b, v)->dim[axis].n;
}

/* ---- layers (zoo_layers.c) ------------------------------------------------------------------ */

enum vt_zb_act {
	VT_ZACT_NONE,
	VT_ZACT_RELU,
	VT_ZACT_RELU6, /* Clip(0, 6) */
	VT_ZACT_LEAKY, /* LeakyRelu(0.1) */
	VT_ZACT_SILU,  /* x * Sigmoid(x) */
	VT_ZACT_SIGMOID,
};

struct vt_zb_conv {
	int64_t out;
	int k, stride, pad; /* square; pad < 0: auto_pad SAME_UPPER */
	int64_t groups;	    /* 0 means 1 */
	bool bias;
	double sd;   /* deviation that the convolution is to give out; 0 means 1 */
	double gain; /* deviation of what BatchNormalization gives out; 0: no BatchNormalization */
	enum vt_zb_act act;
};

/** vt_zb_conv - Conv, then BatchNormalization and an activation as @c says */
vt_zv vt_zb_conv(struct vt_zb *b, const char *name, vt_zv x, const struct vt_zb_conv *c);
vt_zv vt_zb_act(struct vt_zb *b, const char *name, vt_zv x, enum vt_zb_act act);
vt_zv vt_zb_add(struct vt_zb *b, const char *name, vt_zv x, vt_zv y);
vt_zv vt_zb_mul(struct vt_zb *b, const char *name, vt_zv x, vt_zv y);
/** vt_zb_concat - of up to 8 values that differ only along @axis */
vt_zv vt_zb_concat(struct vt_zb *b, const char *name, const vt_zv *x, int n, int axis);

struct vt_zb_pool {
	const char *op;	    /* MaxPool, AveragePool */
	int k, stride, pad; /* pad < 0: auto_pad SAME_UPPER */
	bool ceil;
};
vt_zv vt_zb_pool(struct vt_zb *b, const char *name, vt_zv x, const struct vt_zb_pool *p);
vt_zv vt_zb_global_pool(struct vt_zb *b, const char *name, vt_zv x);
vt_zv vt_zb_flatten(struct vt_zb *b, const char *name, vt_zv x);
/** vt_zb_gemm - Gemm with transB: x [1,K] -> [1,out]; @sd is the deviation of the outputs */
vt_zv vt_zb_gemm(struct vt_zb *b, const char *name, vt_zv x, int64_t out, double sd);
/** vt_zb_linear - MatMul with a [K,out] weight and Add: x [..,K] -> [..,out] */
vt_zv vt_zb_linear(struct vt_zb *b, const char *name, vt_zv x, int64_t out, double sd);
vt_zv vt_zb_transpose(struct vt_zb *b, const char *name, vt_zv x, int p0, int p1, int p2, int p3);
vt_zv vt_zb_unsqueeze(struct vt_zb *b, const char *name, vt_zv x, int axis);
/** vt_zb_dim_of - Shape, Gather, Unsqueeze: the size of one axis as a vector of one, as exporters do */
vt_zv vt_zb_dim_of(struct vt_zb *b, const char *name, vt_zv x, int axis);

/* ---- models (zoo_*.c) ----------------------------------------------------------------------- */

struct vt_zoo_mobilenet {
	int size, stem, last, classes, n;
	const int (*blocks)[4]; /* expansion, channels, repeats, stride of the first */
};
struct vt_zoo_efficientnet {
	int size, stem, last, classes, n;
	const int (*blocks)[5]; /* expansion, kernel, channels, repeats, stride of the first */
};
struct vt_zoo_yolo {
	int size, n, boxes, classes;
	const int *widths; /* of the 3x3 convolutions in order */
};
struct vt_zoo_resnet {
	int size, stem, classes;
	int blocks[4];
};
struct vt_zoo_ssd {
	int size, stem, classes, head_stride;
	int blocks[3];
};
struct vt_zoo_googlenet {
	int size, width_div, classes;
};
struct vt_zoo_bert {
	int layers, hidden, heads, ff, vocab, positions, seq;
	bool new_ops; /* opset 17: every second layer has LayerNormalization and GELU by Tanh */
};

void vt_zoo_build_mobilenet(struct vt_zb *b, const void *spec);
void vt_zoo_build_efficientnet(struct vt_zb *b, const void *spec);
void vt_zoo_build_yolo(struct vt_zb *b, const void *spec);
void vt_zoo_build_resnet(struct vt_zb *b, const void *spec);
void vt_zoo_build_ssd(struct vt_zb *b, const void *spec);
void vt_zoo_build_googlenet(struct vt_zb *b, const void *spec);
void vt_zoo_build_bert(struct vt_zb *b, const void *spec);

/* ---- numbers (zoo_fill.c) ------------------------------------------------------------------- */

/** vt_zoo_seed - the seed of one tensor: independent of the order in which tensors are made */
uint64_t vt_zoo_seed(uint64_t seed, const char *model, const char *tensor);
/** vt_zoo_fill_normal - @n numbers from N(mean, sd); @zero_rows divides @n, or is 0 */
void vt_zoo_fill_normal(uint64_t *state, float *out, size_t n, double mean, double sd,
			size_t zero_rows);
/** vt_zoo_fill_input - the bytes of one example input; @ret has room for the whole tensor */
void vt_zoo_fill_input(const struct vt_zb *b, const struct vt_zb_input *in, uint64_t seed,
		       void *ret);

/* ---- messages (zoo_proto.c); all live in the builder's memory; NULL: see b->err -------------- */

struct Onnx__ModelProto *vt_zoo_model_proto(struct vt_zb *b); /* without its graph */
struct Onnx__GraphProto *vt_zoo_graph_proto(struct vt_zb *b); /* without initialisers */
/** vt_zoo_tensor_proto - without data; @location: NULL, or the file that has it at @offset */
struct Onnx__TensorProto *vt_zoo_tensor_proto(struct vt_zb *b, const struct vt_zb_init *init,
					      const char *location, uint64_t offset);
/** vt_zb_bytes - of a value, with the numbers in place of symbolic dimensions */
uint64_t vt_zb_bytes(const struct vt_zb_value *v);

#endif
