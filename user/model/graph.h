/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.h - the intermediate representation between ONNX and the kernels.
 *
 * A graph is two arrays, tensors and nodes, that name each other by index. Nodes stand in an order
 * in which they can run. Every shape is static: symbolic dimensions are bound and shape arithmetic
 * is folded before a kernel sees the graph. Tensors are dense and row-major in the order of their
 * dims; there is no hidden layout. Spatial operators (VT_OP_CONV2D .. VT_OP_LRN) are defined on
 * NHWC (rank 4) or NLC (rank 3, H = 1); the importer writes explicit Transpose nodes around them
 * and the layout pass moves and cancels those.
 *
 * Ownership: the graph owns all names, constant data and arrays. Not thread-safe while it is being changed.
 */
#ifndef VT_MODEL_GRAPH_H
#define VT_MODEL_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define VT_MAX_RANK 8
#define VT_NONE	    (-1) /* no tensor, no node */

/* ---- types ------------------------------------------------------------------------------- */

/* X(enumerator, name, bytes, ONNX TensorProto.DataType) */
#define VT_DTYPES(X)                                                                               \
	X(F32, "float32", 4, 1)                                                                    \
	X(U8, "uint8", 1, 2)                                                                       \
	X(I8, "int8", 1, 3)                                                                        \
	X(U16, "uint16", 2, 4)                                                                     \
	X(I16, "int16", 2, 5)                                                                      \
	X(I32, "int32", 4, 6)                                                                      \
	X(I64, "int64", 8, 7)                                                                      \
	X(BOOL, "bool", 1, 9)                                                                      \
	X(F16, "float16", 2, 10)                                                                   \
	X(F64, "float64", 8, 11)                                                                   \
	X(U32, "uint32", 4, 12)                                                                    \
	X(U64, "uint64", 8, 13)                                                                    \
	X(BF16, "bfloat16", 2, 16)

enum vt_dtype {
	VT_DT_NONE,
#define X(e, name, bytes, onnx) VT_##e,
	VT_DTYPES(X)
#undef X
		VT_DT_COUNT
};

size_t vt_dtype_bytes(enum vt_dtype t);	    /* bytes of one element; 0 for VT_DT_NONE */
const char *vt_dtype_name(enum vt_dtype t); /* "float32" */
enum vt_dtype vt_dtype_from_onnx(int onnx); /* VT_DT_NONE if we have no such type */
/**
 * vt_bools_normalise - any byte but 0 becomes 1, if @t is bool
 * Kernels take a bool for a number: whatever comes from outside goes through here.
 */
void vt_bools_normalise(enum vt_dtype t, void *data, size_t n);

struct vt_shape {
	int rank; /* 0: a scalar */
	int64_t dim[VT_MAX_RANK];
};

/** vt_shape_elems - product of the dims (1 for a scalar), or -EOVERFLOW past INT64_MAX / 16 */
int64_t vt_shape_elems(const struct vt_shape *s);
bool vt_shape_equal(const struct vt_shape *a, const struct vt_shape *b);
/** vt_shape_broadcast - numpy broadcasting of two shapes; 0 or -EINVAL */
int vt_shape_broadcast(const struct vt_shape *a, const struct vt_shape *b, struct vt_shape *ret);
/** vt_shape_text - "1x224x224x3"; returns @buf */
const char *vt_shape_text(const struct vt_shape *s, char *buf, size_t len);

/* ---- tensors ----------------------------------------------------------------------------- */

enum vt_tensor_kind {
	VT_T_CONST,    /* data is there */
	VT_T_INPUT,    /* given by the user at each run */
	VT_T_COMPUTED, /* written by its producer */
};

struct vt_tensor {
	char *name; /* as the model says; passes derive "NAME/what" */
	enum vt_tensor_kind kind;
	enum vt_dtype dtype;
	struct vt_shape shape;
	bool is_output; /* the user reads it after a run */

	/* VT_T_CONST. Freed by @release (NULL: not ours to free); may be dropped once packed. */
	void *data;
	size_t bytes;
	void (*release)(void *data, size_t bytes);

	/* Memory plan (plan.h); offsets in bytes. A view shares the memory of another tensor. */
	int view_of;	       /* tensor, or VT_NONE: has memory of its own */
	size_t view_off_bytes; /* where it starts inside view_of */
	int64_t row_stride; /* elements between rows of the last dim; 0: dense. Only for views into
			       a Concat result or out of a Split, and only where
			       vt_op_writes_rows()/reads_rows() of its users allow */
	size_t arena_off;   /* of VT_T_COMPUTED and VT_T_INPUT without view_of */
};

/* ---- operators --------------------------------------------------------------------------- */

enum vt_op_class {
	VT_C_UNARY,
	VT_C_BINARY,
	VT_C_COMPARE,
	VT_C_LOGIC,
	VT_C_REDUCE,
	VT_C_MOVE,
	VT_C_VIEW,
	VT_C_SPATIAL,
	VT_C_MATRIX,
	VT_C_OTHER
};

/*
 * X(enumerator, name, class). What each computes is the ONNX operator of that name (opset 23
 * semantics) unless the comment of its parameters says otherwise. Operands that ONNX passes as
 * inputs but that must be known before running (shapes, axes, pads, starts ...) live in the
 * parameters or in the output's shape.
 */
#define VT_OPS(X)                                                                                  \
	/* NHWC */                                                                                 \
	X(CONV2D, "Conv", SPATIAL) /* in x, weight [M,C/g,kh,kw], bias?; p.conv; epi */            \
	X(CONV2D_DW, "ConvDepthwise", SPATIAL) /* p.pair */                                        \
	X(DECONV2D, "ConvTranspose", SPATIAL) /* in x, weight [C,M/g,kh,kw], bias?; p.conv; epi */ \
	X(MAXPOOL2D, "MaxPool", SPATIAL)      /* p.pool */                                         \
	X(AVGPOOL2D, "AveragePool", SPATIAL)  /* p.pool */                                         \
	X(GLOBALAVGPOOL, "GlobalAveragePool", SPATIAL) /* [N,...,C] -> [N,1..,C] */                \
	X(GLOBALMAXPOOL, "GlobalMaxPool", SPATIAL)                                                 \
	X(RESIZE, "Resize", SPATIAL)			   /* p.resize, any rank, all axes */      \
	X(DEPTH_TO_SPACE, "DepthToSpace", SPATIAL)	   /* p.block */                           \
	X(SPACE_TO_DEPTH, "SpaceToDepth", SPATIAL)	   /* p.block */                           \
	X(INSTANCE_NORM, "InstanceNormalization", SPATIAL) /* in x, scale, bias; p.norm */         \
	X(BATCH_NORM, "BatchNormalization",                                                        \
	  SPATIAL)	       /* channel last; in x, scale, bias, mean, var; p.norm */            \
	X(LRN, "LRN", SPATIAL) /* p.lrn, across the last dim */                                    \
	/* matrices */                                                                             \
	X(FC, "FullyConnected", MATRIX)	  /* in x [...,K], constant weight, bias?; p.fc; epi */    \
	X(MATMUL, "MatMul", MATRIX)	  /* both operands computed, batched; p.matmul */          \
	X(ATTENTION, "Attention", MATRIX) /* in q,k,v, mask?; p.attention */                       \
	/* rows */                                                                                 \
	X(SOFTMAX, "Softmax", OTHER) /* p.axis: one axis (opset 13 meaning) */                     \
	X(LOGSOFTMAX, "LogSoftmax", OTHER)                                                         \
	X(LAYER_NORM, "LayerNormalization",                                                        \
	  OTHER)		   /* in x, scale, bias?; p.norm, axes axis..last */               \
	X(CUMSUM, "CumSum", OTHER) /* p.cumsum */                                                  \
	X(TOPK, "TopK", OTHER)	   /* out values, indices; p.topk */                               \
	X(ARGMAX, "ArgMax", OTHER) /* p.arg */                                                     \
	X(ARGMIN, "ArgMin", OTHER)                                                                 \
	/* data movement */                                                                        \
	X(CONCAT, "Concat", MOVE)		   /* p.axis */                                    \
	X(SPLIT, "Split", MOVE)			   /* p.axis, sizes are the outputs' */            \
	X(SLICE, "Slice", MOVE)			   /* p.slice, full rank */                        \
	X(PAD, "Pad", MOVE)			   /* p.pad, full rank */                          \
	X(TRANSPOSE, "Transpose", MOVE)		   /* p.perm */                                    \
	X(EXPAND, "Expand", MOVE)		   /* broadcast to the output's shape */           \
	X(TILE, "Tile", MOVE)			   /* repeats follow from the shapes */            \
	X(GATHER, "Gather", MOVE)		   /* in x, indices; p.axis */                     \
	X(GATHER_ELEMENTS, "GatherElements", MOVE) /* p.axis */                                    \
	X(GATHER_ND, "GatherND", MOVE)		   /* p.axis = batch_dims */                       \
	X(SCATTER_ND, "ScatterND",                                                                 \
	  MOVE) /* in x, indices, updates; p.axis = reduction: 0 none, 1 add, 2 mul */             \
	X(SCATTER_ELEMENTS, "ScatterElements", MOVE) /* p.axis */                                  \
	X(TRILU, "Trilu", MOVE)			     /* p.trilu */                                 \
	X(ONE_HOT, "OneHot", MOVE) /* in indices, values [off,on]; depth from output; p.axis */    \
	X(CAST, "Cast", MOVE)	   /* to the output's type */                                      \
	X(WHERE, "Where", MOVE)                                                                    \
	X(RANGE, "Range", MOVE) /* in start, limit, delta */                                       \
	/* same bytes, other shape: never run, the plan makes views of them */                     \
	X(RESHAPE, "Reshape", VIEW) /* also Flatten, Squeeze, Unsqueeze, Identity, Dropout */      \
	/* one input, same shape; p.scalar where it has parameters */                              \
	X(RELU, "Relu", UNARY)                                                                     \
	X(CLIP, "Clip", UNARY) /* p.scalar.a = min, .b = max */                                    \
	X(SIGMOID, "Sigmoid", UNARY)                                                               \
	X(HARD_SIGMOID, "HardSigmoid", UNARY) /* a = alpha, b = beta */                            \
	X(HARD_SWISH, "HardSwish", UNARY)                                                          \
	X(SILU, "SiLU", UNARY)                                                                     \
	X(GELU, "Gelu", UNARY) /* erf */                                                           \
	X(GELU_TANH, "GeluTanh", UNARY)                                                            \
	X(LEAKY_RELU, "LeakyRelu", UNARY)	      /* a = alpha */                              \
	X(ELU, "Elu", UNARY)			      /* a = alpha */                              \
	X(CELU, "Celu", UNARY)			      /* a = alpha */                              \
	X(SELU, "Selu", UNARY)			      /* a = alpha, b = gamma */                   \
	X(THRESHOLDED_RELU, "ThresholdedRelu", UNARY) /* a = alpha */                              \
	X(SHRINK, "Shrink", UNARY)		      /* a = lambd, b = bias */                    \
	X(TANH, "Tanh", UNARY)                                                                     \
	X(ERF, "Erf", UNARY)                                                                       \
	X(SOFTPLUS, "Softplus", UNARY)                                                             \
	X(SOFTSIGN, "Softsign", UNARY)                                                             \
	X(ABS, "Abs", UNARY)                                                                       \
	X(NEG, "Neg", UNARY)                                                                       \
	X(EXP, "Exp", UNARY)                                                                       \
	X(LOG, "Log", UNARY)                                                                       \
	X(SQRT, "Sqrt", UNARY)                                                                     \
	X(RECIPROCAL, "Reciprocal", UNARY)                                                         \
	X(FLOOR, "Floor", UNARY)                                                                   \
	X(CEIL, "Ceil", UNARY)                                                                     \
	X(ROUND, "Round", UNARY) /* half to even */                                                \
	X(SIGN, "Sign", UNARY)                                                                     \
	X(SIN, "Sin", UNARY)                                                                       \
	X(COS, "Cos", UNARY)                                                                       \
	X(TAN, "Tan", UNARY)                                                                       \
	X(ASIN, "Asin", UNARY)                                                                     \
	X(ACOS, "Acos", UNARY)                                                                     \
	X(ATAN, "Atan", UNARY)                                                                     \
	X(SINH, "Sinh", UNARY)                                                                     \
	X(COSH, "Cosh", UNARY)                                                                     \
	X(ASINH, "Asinh", UNARY)                                                                   \
	X(ACOSH, "Acosh", UNARY)                                                                   \
	X(ATANH, "Atanh", UNARY)                                                                   \
	X(NOT, "Not", UNARY)                                                                       \
	X(IS_NAN, "IsNaN", UNARY) /* output bool */                                                \
	X(IS_INF, "IsInf", UNARY) /* a: detect negative, b: detect positive */                     \
	/* two inputs with broadcasting; n-ary Max, Min, Sum, Mean are lowered to chains */        \
	X(ADD, "Add", BINARY)                                                                      \
	X(SUB, "Sub", BINARY)                                                                      \
	X(MUL, "Mul", BINARY)                                                                      \
	X(DIV, "Div", BINARY)                                                                      \
	X(POW, "Pow", BINARY)                                                                      \
	X(MAX, "Max", BINARY)                                                                      \
	X(MIN, "Min", BINARY)                                                                      \
	X(MOD, "Mod", BINARY) /* p.axis = fmod */                                                  \
	X(PRELU, "PRelu", BINARY)                                                                  \
	X(BIT_SHIFT, "BitShift", BINARY) /* p.axis = 1 left, 0 right */                            \
	X(EQUAL, "Equal", COMPARE)                                                                 \
	X(LESS, "Less", COMPARE)                                                                   \
	X(LESS_EQUAL, "LessOrEqual", COMPARE)                                                      \
	X(GREATER, "Greater", COMPARE)                                                             \
	X(GREATER_EQUAL, "GreaterOrEqual", COMPARE)                                                \
	X(AND, "And", LOGIC)                                                                       \
	X(OR, "Or", LOGIC)                                                                         \
	X(XOR, "Xor", LOGIC)                                                                       \
	/* p.reduce */                                                                             \
	X(REDUCE_MEAN, "ReduceMean", REDUCE)                                                       \
	X(REDUCE_SUM, "ReduceSum", REDUCE)                                                         \
	X(REDUCE_MAX, "ReduceMax", REDUCE)                                                         \
	X(REDUCE_MIN, "ReduceMin", REDUCE)                                                         \
	X(REDUCE_PROD, "ReduceProd", REDUCE)                                                       \
	X(REDUCE_L1, "ReduceL1", REDUCE)                                                           \
	X(REDUCE_L2, "ReduceL2", REDUCE)                                                           \
	X(REDUCE_SUM_SQUARE, "ReduceSumSquare", REDUCE)                                            \
	X(REDUCE_LOG_SUM, "ReduceLogSum", REDUCE)                                                  \
	X(REDUCE_LOG_SUM_EXP, "ReduceLogSumExp", REDUCE)

enum vt_op {
#define X(e, name, class) VT_OP_##e,
	VT_OPS(X)
#undef X
		VT_OP_COUNT
};

const char *vt_op_name(enum vt_op op);
enum vt_op_class vt_op_class(enum vt_op op);
/** vt_op_writes_rows - may out[0] be a view with a row_stride (a slice of the last dim of a Concat result)? */
bool vt_op_writes_rows(enum vt_op op); /* CONV2D, CONV2D_DW, FC, MAXPOOL2D, AVGPOOL2D */
/** vt_op_reads_rows - may in[0] be such a view? */
bool vt_op_reads_rows(enum vt_op op); /* CONV2D, CONV2D_DW, MAXPOOL2D, AVGPOOL2D */

/** What a kernel of ours or XNNPACK's may be asked to do at its output: act(y + bias + residual). */
struct vt_epilogue {
	int residual; /* tensor of the output's shape (dense), or VT_NONE */
	int act;      /* an UNARY enum vt_op with its scalars below, or VT_NONE */
	float a, b;   /* as in p.scalar; for CLIP: min, max */
};

enum vt_pad_mode { VT_PAD_CONSTANT, VT_PAD_REFLECT, VT_PAD_EDGE, VT_PAD_WRAP };
enum vt_resize_mode { VT_RESIZE_NEAREST, VT_RESIZE_LINEAR, VT_RESIZE_CUBIC };
enum vt_resize_coord {
	VT_COORD_HALF_PIXEL,
	VT_COORD_PYTORCH_HALF_PIXEL,
	VT_COORD_ALIGN_CORNERS,
	VT_COORD_ASYMMETRIC,
	VT_COORD_TF_HALF_PIXEL_FOR_NN,
	VT_COORD_TF_CROP_AND_RESIZE,
	VT_COORD_HALF_PIXEL_SYMMETRIC,
};
enum vt_resize_near {
	VT_NEAR_ROUND_PREFER_FLOOR,
	VT_NEAR_ROUND_PREFER_CEIL,
	VT_NEAR_FLOOR,
	VT_NEAR_CEIL
};

struct vt_conv_params {
	int kh, kw, sh, sw, dh, dw; /* kernel, stride, dilation (1 = none) */
	int pt, pl, pb, pr;	    /* padding, resolved from auto_pad */
	int groups;		    /* == C for depthwise */
	int adj_h, adj_w;	    /* DECONV2D: output_padding */
};

union vt_params {
	struct vt_conv_params conv;
	/*
	 * CONV2D_DW, a Conv whose result only a depthwise Conv reads: in x, weight, its weight
	 * [M,1,kh,kw], bias?, its bias?; epi of the second; out as CONV2D's
	 */
	struct {
		struct vt_conv_params first, dw;
		int act; /* between them: an UNARY enum vt_op and its scalars, or VT_NONE */
		float a, b;
	} pair;
	struct {
		int kh, kw, sh, sw, dh, dw, pt, pl, pb, pr;
		int xb, xr; /* further end padding that ceil_mode causes: never counted */
		bool count_include_pad; /* AVGPOOL2D: divide by kh * kw also where the window leaves the input */
	} pool;
	struct {
		bool w_kn; /* weight is stored [K,N]; otherwise [N,K] */
	} fc;
	struct {
		bool trans_a, trans_b; /* of the last two dims */
		float alpha;	       /* scale of the product, 1 = none */
	} matmul;
	struct {
		int heads;   /* q: [B,S,heads*d], k,v: [B,T,heads*d], out [B,S,heads*d] */
		float scale; /* of q k' */
			     /* mask: added to scores, broadcastable to [B,heads,S,T] */
	} attention;
	int axis; /* always >= 0 */
	struct {
		int axis;
		bool exclusive, reverse;
	} cumsum;
	struct {
		int axis;
		bool largest, sorted;
	} topk;
	struct {
		int axis;
		bool keepdims, select_last;
	} arg;
	struct {
		uint32_t axes; /* bit d: dim d is reduced */
		bool keepdims;
	} reduce;
	struct {
		int perm[VT_MAX_RANK]; /* out.dim[i] = in.dim[perm[i]] */
	} perm;
	struct {
		int64_t start[VT_MAX_RANK], step[VT_MAX_RANK];
	} slice;
	struct {
		int64_t before[VT_MAX_RANK], after[VT_MAX_RANK]; /* may be negative: crop */
		enum vt_pad_mode mode;
		double value;
		int64_t rest; /* what an int64 has beyond @value, which it was rounded to */
	} pad;
	struct {
		int axis;
		float eps;
		bool rms; /* LAYER_NORM: about 0 instead of the mean */
	} norm;
	struct {
		float alpha, beta, bias;
		int size;
	} lrn;
	struct {
		int size;
		bool crd; /* DepthToSpace mode CRD */
	} block;
	struct {
		bool upper;
		int64_t k;
	} trilu;
	struct {
		float a, b;
	} scalar;
	struct {
		enum vt_resize_mode mode;
		enum vt_resize_coord coord;
		enum vt_resize_near near;
		float scale[VT_MAX_RANK]; /* out / in, per dim */
		float roi_start[VT_MAX_RANK], roi_end[VT_MAX_RANK],
			extrapolation; /* crop_and_resize */
		float cubic_a;
		bool exclude_outside;
	} resize;
};

struct vt_node {
	enum vt_op op;
	char *name; /* the ONNX node it came from; fused nodes keep the name of the heaviest */
	int n_in, n_out;
	int *in, *out; /* tensors; an absent optional input is VT_NONE */
	union vt_params p;
	struct vt_epilogue epi; /* Convs and FC only; others {VT_NONE, VT_NONE} */
	bool dead;		/* removed by a pass; vt_graph_compact() drops it */
};

struct vt_graph {
	char *name;
	struct vt_tensor *tensors;
	int n_tensors, cap_tensors;
	struct vt_node *nodes;
	int n_nodes, cap_nodes;
	int *inputs, *outputs; /* tensors, in the model's order */
	int n_inputs, n_outputs;
	size_t arena_bytes;   /* set by vt_plan_memory() */
	size_t weights_bytes; /* constants as stored in the model */
	/* what the passes spent on constants that they computed, in bytes made and in operations */
	uint64_t folded_bytes, folded_flops;
};

/* ---- building and changing (graph.c) ------------------------------------------------------ */

int vt_graph_init(struct vt_graph *g, const char *name); /* 0 or -ENOMEM */
void vt_graph_fini(struct vt_graph *g);			 /* accepts half-built graphs */

/** vt_graph_add_tensor - returns its index or -ENOMEM; @name is copied */
int vt_graph_add_tensor(struct vt_graph *g, const char *name, enum vt_tensor_kind kind,
			enum vt_dtype dtype, const struct vt_shape *shape);
/** vt_graph_add_const - a constant with zeroed data of its own; index or -ENOMEM, -EOVERFLOW */
int vt_graph_add_const(struct vt_graph *g, const char *name, enum vt_dtype dtype,
		       const struct vt_shape *shape);
/**
 * vt_graph_add_node - append; @in and @out are copied, p zeroed, epi empty; index or -ENOMEM
 * Pointers to nodes and tensors are invalid after any add.
 */
int vt_graph_add_node(struct vt_graph *g, enum vt_op op, const char *name, const int *in, int n_in,
		      const int *out, int n_out);
/** vt_graph_mark_input - append to g->inputs / g->outputs (and set is_output); 0 or -ENOMEM */
int vt_graph_mark_input(struct vt_graph *g, int tensor);
int vt_graph_mark_output(struct vt_graph *g, int tensor);
/** vt_graph_drop_data - free the data of a constant that nothing needs any more */
void vt_graph_drop_data(struct vt_graph *g, int tensor);

int vt_graph_producer(const struct vt_graph *g, int tensor); /* node or VT_NONE; O(nodes) */
/** vt_graph_consumers - number of nodes that read @tensor as input or residual; *@only = the node
 * if that is 1. Being a graph output does not count: look at is_output too. */
int vt_graph_consumers(const struct vt_graph *g, int tensor, int *only);
/** vt_graph_sort - topological order, stable; drops dead nodes; -ELOOP with a node on the cycle */
int vt_graph_sort(struct vt_graph *g, struct vt_err *e);
/** vt_graph_compact - drop dead nodes and those whose outputs nobody reads; free unused constants' data */
void vt_graph_compact(struct vt_graph *g);
/** vt_graph_check - every invariant written in this header; for tests and after each pass in debug builds */
int vt_graph_check(const struct vt_graph *g, struct vt_err *e);
/** vt_graph_dump - one line per node, for people; writes to a stdio stream given by the caller */
struct _IO_FILE;
void vt_graph_dump(const struct vt_graph *g, struct _IO_FILE *out);

/** vt_conv_places - height and width of what a convolution makes of @h x @w; 0 where its window never fits */
void vt_conv_places(const struct vt_conv_params *p, int64_t h, int64_t w, int64_t *oh, int64_t *ow);
/** vt_node_flops - floating-point operations of one run of the node (multiply-add = 2); 0 for movement */
uint64_t vt_node_flops(const struct vt_graph *g, const struct vt_node *n);

static inline const struct vt_tensor *vt_in(const struct vt_graph *g, const struct vt_node *n,
					    int i)
{
	return i < n->n_in && n->in[i] >= 0 ? &g->tensors[n->in[i]] : NULL;
}

/**
 * vt_averages - has a CONV2D that is depthwise, or a CONV2D_DW, the average of all pixels as well?
 * Its out[1], [N,1,1,C], is what a GlobalAveragePool makes of out[0], which nothing may then change.
 */
static inline bool vt_averages(const struct vt_node *n)
{
	return (n->op == VT_OP_CONV2D || n->op == VT_OP_CONV2D_DW) && n->n_out > 1;
}

static inline const struct vt_tensor *vt_out(const struct vt_graph *g, const struct vt_node *n,
					     int i)
{
	return &g->tensors[n->out[i]];
}

/* ---- from file to plan -------------------------------------------------------------------- */

/** A tensor value outside any graph: an input file, a result. Owns data if release is set. */
struct vt_value {
	enum vt_dtype dtype;
	struct vt_shape shape;
	void *data;
	size_t bytes;
	void (*release)(void *data, size_t bytes);
};
void vt_value_fini(struct vt_value *v);

struct vt_dim_binding {
	const char *name; /* symbolic dimension of the model, or "INPUT:AXIS" */
	int64_t value;
};

/**
 * struct vt_eval - how the model side computes a node whose inputs are all constant
 * Given by kernels/ (kernels/layer.h), so that folding and running use the same code.
 * @eval: writes every output of @n, whose memory the caller has allocated; 0, -ENOTSUP, -ENOMEM
 * @joins: is the Conv @first, whose result only the depthwise Conv @dw reads, better computed with it
 * (VT_OP_CONV2D_DW)? NULL: never
 * @averages: has the depthwise Conv or VT_OP_CONV2D_DW @n a kernel that writes the average as well
 * (vt_averages())? NULL: never
 * @attends: is there a kernel for VT_OP_ATTENTION? NULL or false: it stays in parts
 */
struct vt_eval {
	int (*eval)(const struct vt_graph *g, const struct vt_node *n, void *const *in,
		    void *const *out, struct vt_err *e);
	bool (*joins)(const struct vt_graph *g, const struct vt_node *first,
		      const struct vt_node *dw);
	bool (*averages)(const struct vt_graph *g, const struct vt_node *n);
	bool (*attends)(void);
};

struct stat;
struct vt_import_opts {
	const struct vt_dim_binding *dims; /* bindings of symbolic dimensions */
	int n_dims;
	/*
	 * Value of a graph input that the model needs before running (the shape operand of a
	 * Reshape, say), or NULL if the user gave none; the value stays the callee's. May be NULL.
	 */
	const struct vt_value *(*input_value)(void *arg, const char *name);
	/*
	 * Told of each piece of external data, @bytes of the file at @path, before it is read; an
	 * error ends the import. May be NULL.
	 */
	int (*beside)(void *arg, const char *path, const struct stat *st, size_t bytes,
		      struct vt_err *e);
	void *arg;
	const struct vt_eval *eval; /* required */
};

/**
 * vt_import_onnx - read a model file into @g: parse, infer shapes, fold constants, lower to the
 * operators above Fails with -ENOENT, -EBADMSG (not ONNX, truncated), -ENOEXEC (operator, type or
 * opset we lack; the text names node and operator), -EINVAL (shapes that do not fit, missing
 * initialisers, paths outside), -ELOOP (cycle), -EOVERFLOW, -ENOMEM. @g is only valid on success;
 * on failure nothing is left in it.
 */
int vt_import_onnx(struct vt_graph *g, const char *path, const struct vt_import_opts *o,
		   struct vt_err *e);
/** vt_import_onnx_buf - the same from memory; @dir confines external data, NULL forbids it */
int vt_import_onnx_buf(struct vt_graph *g, const void *buf, size_t len, const char *dir,
		       const struct vt_import_opts *o, struct vt_err *e);

/** vt_optimize - all graph passes in order: fusion, layout, epilogues, concat elision (passes.h) */
int vt_optimize(struct vt_graph *g, const struct vt_eval *eval, struct vt_err *e);

/** vt_plan_memory - views and arena offsets by liveness; sets arena_bytes. After it the graph is frozen. */
int vt_plan_memory(struct vt_graph *g, struct vt_err *e);
/** vt_plan_check - the proof that no node overwrites what is still needed; 0 or -EFAULT */
int vt_plan_check(const struct vt_graph *g, struct vt_err *e);
/**
 * vt_node_is_view - does the plan leave nothing to do for this node?
 * Reshape always; Concat when every input is written in its place inside the result; Split and
 * Slice when every output is read where it lies. Of a Concat or Split with only some parts in place
 * the kernel copies the others: a part is in place if its pointer is where it would be copied to.
 */
bool vt_node_is_view(const struct vt_graph *g, const struct vt_node *n);
bool vt_shares_memory(const struct vt_graph *g, int a, int b); /* two tensors, after the plan */

/** vt_operators_markdown - docs/operators.md from the import table */
void vt_operators_markdown(struct _IO_FILE *out);

#endif
