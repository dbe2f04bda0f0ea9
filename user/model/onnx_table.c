// SPDX-License-Identifier: Apache-2.0
/* Which ONNX operators we know, at which opsets, and what we say about the others. */
#include "model/import.h"

#include <stdio.h>
#include <string.h>

#define NONE	0 /* the lowering names its operators itself */
#define NO_HALF "not float16, not bfloat16"
#define NO_F64	"not float64"
#define ANY	VT_IMP_MAX_OPERANDS
#define LAST	VT_IMP_MAX_OPSET
#define ROW(name, min, max, since, until, how, op, note)                                           \
	{                                                                                          \
		name, min, max, since, until, vt_lower_##how, op, note                             \
	}
#define UNARY(name, since, op)	ROW(name, 1, 1, since, LAST, unary, VT_OP_##op, NULL)
#define BINARY(name, since, op) ROW(name, 2, 2, since, LAST, binary, VT_OP_##op, NULL)
#define CHAIN(name, op)		ROW(name, 1, ANY, 1, LAST, chain, VT_OP_##op, NULL)
#define REDUCE(name, op)	ROW(name, 1, 2, 1, LAST, reduce, VT_OP_##op, NULL)
#define NOT_YET(name, why)                                                                         \
	{                                                                                          \
		name, 0, ANY, 1, LAST, NULL, NONE, why                                             \
	}

/* Sorted by name, then by opset: the order of docs/operators.md. */
const struct vt_imp_op vt_imp_ops[] = {
	UNARY("Abs", 1, ABS),
	UNARY("Acos", 7, ACOS),
	UNARY("Acosh", 9, ACOSH),
	BINARY("Add", 1, ADD),
	BINARY("And", 1, AND),
	ROW("ArgMax", 1, 1, 1, LAST, arg, VT_OP_ARGMAX, NO_HALF),
	ROW("ArgMin", 1, 1, 1, LAST, arg, VT_OP_ARGMIN, NO_HALF),
	UNARY("Asin", 7, ASIN),
	UNARY("Asinh", 9, ASINH),
	UNARY("Atan", 7, ATAN),
	UNARY("Atanh", 9, ATANH),
	ROW("Attention", 3, 6, 23, LAST, attention, NONE, "operands of one float type"),
	ROW("AveragePool", 1, 1, 1, LAST, pool, VT_OP_AVGPOOL2D,
	    "float32; 1 to 3 spatial axes; of a window with a NaN: -inf"),
	ROW("BatchNormalization", 5, 5, 1, LAST, batch_norm, VT_OP_BATCH_NORM,
	    "not float64; inference only"),
	ROW("BitShift", 2, 2, 11, LAST, shift, VT_OP_BIT_SHIFT, NULL),
	ROW("Cast", 1, 1, 6, LAST, cast, NONE, "not to or from strings, float8 or 4 bits"),
	ROW("CastLike", 2, 2, 15, LAST, cast_like, NONE,
	    "not to or from strings, float8 or 4 bits"),
	UNARY("Ceil", 1, CEIL),
	UNARY("Celu", 12, CELU),
	ROW("Clip", 1, 3, 1, LAST, clip, NONE, NULL),
	ROW("Concat", 1, ANY, 1, LAST, concat, NONE, NULL),
	NOT_YET("ConcatFromSequence", "sequences"),
	ROW("Constant", 0, 0, 1, LAST, constant, NONE,
	    "not strings, not sparse, not float8, not 4 bits"),
	ROW("ConstantOfShape", 1, 1, 9, LAST, constant_of_shape, NONE, NULL),
	ROW("Conv", 2, 3, 1, LAST, conv, NONE,
	    "float32; 1 to 3 spatial axes; 3x3 of stride 1: an infinity or NaN may make blocks "
	    "of 4x4 outputs NaN"),
	ROW("ConvTranspose", 2, 3, 1, LAST, conv_transpose, NONE, "float32; 1 or 2 spatial axes"),
	UNARY("Cos", 7, COS),
	UNARY("Cosh", 9, COSH),
	ROW("CumSum", 2, 2, 11, LAST, cumsum, NONE, NO_HALF),
	ROW("DepthToSpace", 1, 1, 1, LAST, depth_space, VT_OP_DEPTH_TO_SPACE, NULL),
	ROW("DequantizeLinear", 2, 3, 10, LAST, dequantize, NONE, "not from float8 or 4 bits"),
	BINARY("Div", 1, DIV),
	ROW("Dropout", 1, 3, 1, LAST, dropout, NONE, "inference only"),
	UNARY("Elu", 1, ELU),
	BINARY("Equal", 1, EQUAL),
	UNARY("Erf", 9, ERF),
	UNARY("Exp", 1, EXP),
	ROW("Expand", 2, 2, 8, LAST, expand, NONE, NULL),
	ROW("EyeLike", 1, 1, 9, LAST, eye_like, NONE, NULL),
	ROW("Flatten", 1, 1, 1, LAST, flatten, NONE, NULL),
	UNARY("Floor", 1, FLOOR),
	ROW("Gather", 2, 2, 1, LAST, gather, NONE, NULL),
	ROW("GatherElements", 2, 2, 11, LAST, gather_elements, NONE, NULL),
	ROW("GatherND", 2, 2, 11, LAST, gather_nd, NONE, NULL),
	ROW("Gelu", 1, 1, 20, LAST, gelu, NONE, NULL),
	ROW("Gemm", 2, 3, 1, LAST, gemm, NONE, NULL),
	ROW("GlobalAveragePool", 1, 1, 1, LAST, global_pool, VT_OP_GLOBALAVGPOOL, NULL),
	ROW("GlobalMaxPool", 1, 1, 1, LAST, global_pool, VT_OP_GLOBALMAXPOOL, NULL),
	BINARY("Greater", 1, GREATER),
	BINARY("GreaterOrEqual", 12, GREATER_EQUAL),
	ROW("GroupNormalization", 3, 3, 18, 20, group_norm, VT_OP_INSTANCE_NORM, NO_F64),
	ROW("GroupNormalization", 3, 3, 21, LAST, group_norm, VT_OP_INSTANCE_NORM, NO_F64),
	UNARY("HardSigmoid", 1, HARD_SIGMOID),
	UNARY("HardSwish", 14, HARD_SWISH),
	ROW("Hardmax", 1, 1, 1, 12, softmax_flat, VT_OP_ARGMAX, NO_HALF),
	ROW("Hardmax", 1, 1, 13, LAST, softmax, VT_OP_ARGMAX, NO_HALF),
	ROW("Identity", 1, 1, 1, LAST, identity, NONE, "tensors only"),
	NOT_YET("If", "subgraphs"),
	ROW("InstanceNormalization", 3, 3, 1, LAST, instance_norm, VT_OP_INSTANCE_NORM, "float32"),
	UNARY("IsInf", 10, IS_INF),
	UNARY("IsNaN", 9, IS_NAN),
	ROW("LRN", 1, 1, 1, LAST, lrn, NONE, "float32"),
	ROW("LayerNormalization", 2, 3, 17, LAST, layer_norm, NONE, "float32"),
	UNARY("LeakyRelu", 1, LEAKY_RELU),
	BINARY("Less", 1, LESS),
	BINARY("LessOrEqual", 12, LESS_EQUAL),
	UNARY("Log", 1, LOG),
	ROW("LogSoftmax", 1, 1, 1, 12, softmax_flat, VT_OP_LOGSOFTMAX, NO_HALF),
	ROW("LogSoftmax", 1, 1, 13, LAST, softmax, VT_OP_LOGSOFTMAX, NO_HALF),
	NOT_YET("Loop", "subgraphs"),
	ROW("LpNormalization", 1, 1, 1, LAST, lp_norm, NONE, NULL),
	ROW("MatMul", 2, 2, 1, LAST, matmul, NONE,
	    "of two computed operands fast only as float32 with AVX2 or AVX-512"),
	CHAIN("Max", MAX),
	ROW("MaxPool", 1, 1, 1, LAST, pool, VT_OP_MAXPOOL2D,
	    NO_HALF
	    "; 1 to 3 spatial axes; without Indices; of a window with a NaN: any of its values"),
	CHAIN("Mean", REDUCE_MEAN),
	ROW("MeanVarianceNormalization", 1, 1, 9, LAST, mvn, NONE, NULL),
	CHAIN("Min", MIN),
	ROW("Mish", 1, 1, 18, LAST, mish, NONE, NULL),
	ROW("Mod", 2, 2, 10, LAST, mod, VT_OP_MOD, NULL),
	BINARY("Mul", 1, MUL),
	UNARY("Neg", 1, NEG),
	UNARY("Not", 1, NOT),
	ROW("OneHot", 3, 3, 9, LAST, one_hot, NONE, NULL),
	NOT_YET("Optional", "optional values"),
	NOT_YET("OptionalGetElement", "optional values"),
	NOT_YET("OptionalHasElement", "optional values"),
	BINARY("Or", 1, OR),
	ROW("PRelu", 2, 2, 1, LAST, prelu, NONE, NULL),
	ROW("Pad", 1, 4, 1, LAST, pad, NONE, NULL),
	ROW("Pow", 2, 2, 1, LAST, pow, NONE, NULL),
	ROW("QuantizeLinear", 2, 3, 10, LAST, quantize, NONE, "not to float8 or 4 bits"),
	ROW("RMSNormalization", 2, 2, 23, LAST, rms_norm, VT_OP_LAYER_NORM, NO_F64),
	ROW("Range", 3, 3, 11, LAST, range, NONE, NULL),
	UNARY("Reciprocal", 1, RECIPROCAL),
	REDUCE("ReduceL1", REDUCE_L1),
	REDUCE("ReduceL2", REDUCE_L2),
	REDUCE("ReduceLogSum", REDUCE_LOG_SUM),
	REDUCE("ReduceLogSumExp", REDUCE_LOG_SUM_EXP),
	REDUCE("ReduceMax", REDUCE_MAX),
	REDUCE("ReduceMean", REDUCE_MEAN),
	REDUCE("ReduceMin", REDUCE_MIN),
	REDUCE("ReduceProd", REDUCE_PROD),
	REDUCE("ReduceSum", REDUCE_SUM),
	REDUCE("ReduceSumSquare", REDUCE_SUM_SQUARE),
	UNARY("Relu", 1, RELU),
	ROW("Reshape", 1, 2, 1, LAST, reshape, NONE, NULL),
	ROW("Resize", 1, 4, 10, LAST, resize, NONE, "linear and cubic: float32; no antialias"),
	ROW("RotaryEmbedding", 3, 4, 23, LAST, rotary, NONE, NULL),
	UNARY("Round", 11, ROUND),
	NOT_YET("Scan", "subgraphs"),
	ROW("Scatter", 3, 3, 9, 10, scatter_elements, NONE, NULL),
	ROW("ScatterElements", 3, 3, 11, LAST, scatter_elements, NONE, "reduction none"),
	ROW("ScatterND", 3, 3, 11, LAST, scatter_nd, NONE, "reduction none, add, mul"),
	UNARY("Selu", 1, SELU),
	NOT_YET("SequenceAt", "sequences"),
	NOT_YET("SequenceConstruct", "sequences"),
	NOT_YET("SequenceEmpty", "sequences"),
	NOT_YET("SequenceErase", "sequences"),
	NOT_YET("SequenceInsert", "sequences"),
	NOT_YET("SequenceLength", "sequences"),
	NOT_YET("SequenceMap", "sequences"),
	ROW("Shape", 1, 1, 1, LAST, shape, NONE, NULL),
	UNARY("Shrink", 9, SHRINK),
	UNARY("Sigmoid", 1, SIGMOID),
	UNARY("Sign", 9, SIGN),
	UNARY("Sin", 7, SIN),
	UNARY("Sinh", 9, SINH),
	ROW("Size", 1, 1, 1, LAST, size, NONE, NULL),
	ROW("Slice", 1, 5, 1, LAST, slice, NONE, NULL),
	ROW("Softmax", 1, 1, 1, 12, softmax_flat, VT_OP_SOFTMAX, NO_HALF),
	ROW("Softmax", 1, 1, 13, LAST, softmax, VT_OP_SOFTMAX, NO_HALF),
	UNARY("Softplus", 1, SOFTPLUS),
	UNARY("Softsign", 1, SOFTSIGN),
	ROW("SpaceToDepth", 1, 1, 1, LAST, depth_space, VT_OP_SPACE_TO_DEPTH, NULL),
	ROW("Split", 1, 2, 2, LAST, split, NONE, NULL),
	NOT_YET("SplitToSequence", "sequences"),
	UNARY("Sqrt", 1, SQRT),
	ROW("Squeeze", 1, 2, 1, LAST, squeeze, NONE, NULL),
	NOT_YET("StringNormalizer", "strings"),
	BINARY("Sub", 1, SUB),
	CHAIN("Sum", ADD),
	UNARY("Tan", 7, TAN),
	UNARY("Tanh", 1, TANH),
	NOT_YET("TfIdfVectorizer", "strings"),
	UNARY("ThresholdedRelu", 1, THRESHOLDED_RELU),
	ROW("Tile", 3, 3, 1, 5, tile_axis, NONE, NULL),
	ROW("Tile", 2, 2, 6, LAST, tile, NONE, NULL),
	ROW("TopK", 1, 2, 1, LAST, topk, NONE, NO_HALF "; a NaN is greater than every number"),
	ROW("Transpose", 1, 1, 1, LAST, transpose, NONE, NULL),
	ROW("Trilu", 1, 2, 14, LAST, trilu, NONE, NULL),
	ROW("Unsqueeze", 1, 2, 1, LAST, unsqueeze, NONE, NULL),
	ROW("Upsample", 1, 2, 7, 9, upsample, NONE, "linear: float32"),
	ROW("Where", 3, 3, 9, LAST, where, NONE, NULL),
	BINARY("Xor", 1, XOR),
	{0},
};

int vt_imp_find(const char *domain, const char *name, int opset, const struct vt_imp_op **ret,
		struct vt_err *e)
{
	const struct vt_imp_op *first = NULL, *last = NULL;

	if (domain && *domain && strcmp(domain, "ai.onnx"))
		return vt_fail(e, -ENOEXEC, "operator %.60s of domain %.60s is not supported", name,
			       domain);
	if (!opset)
		return vt_fail(e, -EBADMSG, "the model declares no opset of ai.onnx");
	for (const struct vt_imp_op *op = vt_imp_ops; op->name; op++) {
		if (strcmp(op->name, name))
			continue;
		first = first ? first : op;
		last = op;
		if (opset < op->since || opset > op->until)
			continue;
		if (!op->lower)
			return vt_fail(e, -ENOEXEC, "operator %s is not supported: it needs %s",
				       name, op->note);
		*ret = op;
		return 0;
	}
	if (first)
		return vt_fail(e, -ENOEXEC,
			       "operator %s of opset %d is not supported, only of %d to %d", name,
			       opset, first->since, last->until);
	return vt_fail(e, -ENOEXEC, "operator %.60s of opset %d is not supported", name, opset);
}

static bool first_row(const struct vt_imp_op *op)
{
	return op == vt_imp_ops || strcmp(op[-1].name, op->name);
}

void vt_operators_markdown(FILE *out)
{
	fprintf(out,
		"<!-- SPDX-License-Identifier: Apache-2.0 -->\n"
		"<!-- Written by `make docs/operators.md` from user/model/onnx_table.c. -->\n\n"
		"# ONNX operators\n\n"
		"What a model may use. Shapes are fixed when a model is loaded, so operands that "
		"decide\n"
		"a shape (of Reshape, Slice, TopK, ...) must be constant, follow from shapes, or "
		"be given\n"
		"with `--input NAME=FILE`; symbolic dimensions are bound with `--dim NAME=N` or\n"
		"`--dim INPUT:AXIS=N`, and a leading one that is nameless or named like a batch is "
		"1\n"
		"unless told otherwise. Tensors have at most %d dimensions.\n\n"
		"| Operator | Opsets | Limits |\n|---|---|---|\n",
		VT_MAX_RANK);
	for (const struct vt_imp_op *op = vt_imp_ops; op->name; op++) {
		int until = op->until;

		if (!op->lower || !first_row(op))
			continue;
		for (const struct vt_imp_op *o = op; o->name && !strcmp(o->name, op->name); o++)
			until = o->until;
		fprintf(out, "| %s | %d to %d | %s |\n", op->name, op->since, until,
			op->note ? op->note : "");
	}
	fprintf(out, "\nNot supported, and why a model that has them is refused:\n\n"
		     "| Operator | Needs |\n|---|---|\n");
	for (const struct vt_imp_op *op = vt_imp_ops; op->name; op++)
		if (!op->lower)
			fprintf(out, "| %s | %s |\n", op->name, op->note);
}
