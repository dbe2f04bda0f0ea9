// SPDX-License-Identifier: Apache-2.0
/* Which ONNX operators we know, at which opsets, and what we say about the others. */
#include "model/import.h"

#include <stdio.h>
#include <string.h>

#define NONE	0 /* the lowering names its operators itself */
#define NO_HALF "not float16, not bfloat16"
#define ANY	VT_IMP_MAX_OPERANDS
#define ROW(name, min, max, since, until, how, op, note)                                           \
	{                                                                                          \
		name, min, max, since, until, vt_lower_##how, op, note                             \
	}
#define UNARY(name, since, op)	ROW(name, 1, 1, since, 18, unary, VT_OP_##op, NULL)
#define BINARY(name, since, op) ROW(name, 2, 2, since, 18, binary, VT_OP_##op, NULL)
#define CHAIN(name, op)		ROW(name, 1, ANY, 1, 18, chain, VT_OP_##op, NULL)
#define REDUCE(name, op)	ROW(name, 1, 2, 1, 18, reduce, VT_OP_##op, NULL)
#define NOT_YET(name, why)                                                                         \
	{                                                                                          \
		name, 0, ANY, 1, 18, NULL, NONE, why                                               \
	}

/* Sorted by name, then by opset: the order of docs/operators.md. */
const struct vt_imp_op vt_imp_ops[] = {
	UNARY("Abs", 1, ABS),
	UNARY("Acos", 7, ACOS),
	UNARY("Acosh", 9, ACOSH),
	BINARY("Add", 1, ADD),
	BINARY("And", 1, AND),
	ROW("ArgMax", 1, 1, 1, 18, arg, VT_OP_ARGMAX, NO_HALF),
	ROW("ArgMin", 1, 1, 1, 18, arg, VT_OP_ARGMIN, NO_HALF),
	UNARY("Asin", 7, ASIN),
	UNARY("Asinh", 9, ASINH),
	UNARY("Atan", 7, ATAN),
	UNARY("Atanh", 9, ATANH),
	ROW("AveragePool", 1, 1, 1, 18, pool, VT_OP_AVGPOOL2D,
	    "float32; 1 to 3 spatial axes; of a window with a NaN: -inf"),
	ROW("BatchNormalization", 5, 5, 1, 18, batch_norm, VT_OP_BATCH_NORM,
	    "float32; inference only"),
	ROW("BitShift", 2, 2, 11, 18, shift, VT_OP_BIT_SHIFT, NULL),
	ROW("Cast", 1, 1, 6, 18, cast, NONE, "not to or from strings"),
	ROW("CastLike", 2, 2, 15, 18, cast_like, NONE, "not to or from strings"),
	UNARY("Ceil", 1, CEIL),
	UNARY("Celu", 12, CELU),
	ROW("Clip", 1, 3, 1, 18, clip, NONE, NULL),
	ROW("Concat", 1, ANY, 1, 18, concat, NONE, NULL),
	NOT_YET("ConcatFromSequence", "sequences"),
	ROW("Constant", 0, 0, 1, 18, constant, NONE, "not strings, not sparse"),
	ROW("ConstantOfShape", 1, 1, 9, 18, constant_of_shape, NONE, NULL),
	ROW("Conv", 2, 3, 1, 18, conv, NONE,
	    "float32; 1 to 3 spatial axes; 3x3 of stride 1: an infinity or NaN may make blocks "
	    "of 4x4 outputs NaN"),
	ROW("ConvTranspose", 2, 3, 1, 18, conv_transpose, NONE, "float32; 1 or 2 spatial axes"),
	UNARY("Cos", 7, COS),
	UNARY("Cosh", 9, COSH),
	ROW("CumSum", 2, 2, 11, 18, cumsum, NONE, NO_HALF),
	ROW("DepthToSpace", 1, 1, 1, 18, depth_space, VT_OP_DEPTH_TO_SPACE, NULL),
	ROW("DequantizeLinear", 2, 3, 10, 18, dequantize, NONE, NULL),
	BINARY("Div", 1, DIV),
	ROW("Dropout", 1, 3, 1, 18, dropout, NONE, "inference only"),
	UNARY("Elu", 1, ELU),
	BINARY("Equal", 1, EQUAL),
	UNARY("Erf", 9, ERF),
	UNARY("Exp", 1, EXP),
	ROW("Expand", 2, 2, 8, 18, expand, NONE, NULL),
	ROW("EyeLike", 1, 1, 9, 18, eye_like, NONE, NULL),
	ROW("Flatten", 1, 1, 1, 18, flatten, NONE, NULL),
	UNARY("Floor", 1, FLOOR),
	ROW("Gather", 2, 2, 1, 18, gather, NONE, NULL),
	ROW("GatherElements", 2, 2, 11, 18, gather_elements, NONE, NULL),
	ROW("GatherND", 2, 2, 11, 18, gather_nd, NONE, NULL),
	ROW("Gemm", 2, 3, 1, 18, gemm, NONE, NULL),
	ROW("GlobalAveragePool", 1, 1, 1, 18, global_pool, VT_OP_GLOBALAVGPOOL, NULL),
	ROW("GlobalMaxPool", 1, 1, 1, 18, global_pool, VT_OP_GLOBALMAXPOOL, NULL),
	BINARY("Greater", 1, GREATER),
	BINARY("GreaterOrEqual", 12, GREATER_EQUAL),
	UNARY("HardSigmoid", 1, HARD_SIGMOID),
	UNARY("HardSwish", 14, HARD_SWISH),
	ROW("Hardmax", 1, 1, 1, 12, softmax_flat, VT_OP_ARGMAX, NO_HALF),
	ROW("Hardmax", 1, 1, 13, 18, softmax, VT_OP_ARGMAX, NO_HALF),
	ROW("Identity", 1, 1, 1, 18, identity, NONE, "tensors only"),
	NOT_YET("If", "subgraphs"),
	ROW("InstanceNormalization", 3, 3, 1, 18, instance_norm, VT_OP_INSTANCE_NORM, "float32"),
	UNARY("IsInf", 10, IS_INF),
	UNARY("IsNaN", 9, IS_NAN),
	ROW("LRN", 1, 1, 1, 18, lrn, NONE, "float32"),
	ROW("LayerNormalization", 2, 3, 17, 18, layer_norm, NONE, "float32"),
	UNARY("LeakyRelu", 1, LEAKY_RELU),
	BINARY("Less", 1, LESS),
	BINARY("LessOrEqual", 12, LESS_EQUAL),
	UNARY("Log", 1, LOG),
	ROW("LogSoftmax", 1, 1, 1, 12, softmax_flat, VT_OP_LOGSOFTMAX, NO_HALF),
	ROW("LogSoftmax", 1, 1, 13, 18, softmax, VT_OP_LOGSOFTMAX, NO_HALF),
	NOT_YET("Loop", "subgraphs"),
	ROW("LpNormalization", 1, 1, 1, 18, lp_norm, NONE, NULL),
	ROW("MatMul", 2, 2, 1, 18, matmul, NONE, NULL),
	CHAIN("Max", MAX),
	ROW("MaxPool", 1, 1, 1, 18, pool, VT_OP_MAXPOOL2D,
	    NO_HALF
	    "; 1 to 3 spatial axes; without Indices; of a window with a NaN: any of its values"),
	CHAIN("Mean", REDUCE_MEAN),
	ROW("MeanVarianceNormalization", 1, 1, 9, 18, mvn, NONE, NULL),
	CHAIN("Min", MIN),
	ROW("Mish", 1, 1, 18, 18, mish, NONE, NULL),
	ROW("Mod", 2, 2, 10, 18, mod, VT_OP_MOD, NULL),
	BINARY("Mul", 1, MUL),
	UNARY("Neg", 1, NEG),
	UNARY("Not", 1, NOT),
	ROW("OneHot", 3, 3, 9, 18, one_hot, NONE, NULL),
	NOT_YET("Optional", "optional values"),
	NOT_YET("OptionalGetElement", "optional values"),
	NOT_YET("OptionalHasElement", "optional values"),
	BINARY("Or", 1, OR),
	ROW("PRelu", 2, 2, 1, 18, prelu, NONE, NULL),
	ROW("Pad", 1, 4, 1, 18, pad, NONE, NULL),
	ROW("Pow", 2, 2, 1, 18, pow, NONE, NULL),
	ROW("QuantizeLinear", 2, 3, 10, 18, quantize, NONE, NULL),
	ROW("Range", 3, 3, 11, 18, range, NONE, NULL),
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
	ROW("Reshape", 1, 2, 1, 18, reshape, NONE, NULL),
	ROW("Resize", 1, 4, 10, 18, resize, NONE,
	    "linear and cubic: float32; no antialias; of keep_aspect_ratio_policy stretch"),
	UNARY("Round", 11, ROUND),
	NOT_YET("Scan", "subgraphs"),
	ROW("Scatter", 3, 3, 9, 10, scatter_elements, NONE, NULL),
	ROW("ScatterElements", 3, 3, 11, 18, scatter_elements, NONE, "reduction none"),
	ROW("ScatterND", 3, 3, 11, 18, scatter_nd, NONE, "reduction none, add, mul"),
	UNARY("Selu", 1, SELU),
	NOT_YET("SequenceAt", "sequences"),
	NOT_YET("SequenceConstruct", "sequences"),
	NOT_YET("SequenceEmpty", "sequences"),
	NOT_YET("SequenceErase", "sequences"),
	NOT_YET("SequenceInsert", "sequences"),
	NOT_YET("SequenceLength", "sequences"),
	NOT_YET("SequenceMap", "sequences"),
	ROW("Shape", 1, 1, 1, 18, shape, NONE, NULL),
	UNARY("Shrink", 9, SHRINK),
	UNARY("Sigmoid", 1, SIGMOID),
	UNARY("Sign", 9, SIGN),
	UNARY("Sin", 7, SIN),
	UNARY("Sinh", 9, SINH),
	ROW("Size", 1, 1, 1, 18, size, NONE, NULL),
	ROW("Slice", 1, 5, 1, 18, slice, NONE, NULL),
	ROW("Softmax", 1, 1, 1, 12, softmax_flat, VT_OP_SOFTMAX, NO_HALF),
	ROW("Softmax", 1, 1, 13, 18, softmax, VT_OP_SOFTMAX, NO_HALF),
	UNARY("Softplus", 1, SOFTPLUS),
	UNARY("Softsign", 1, SOFTSIGN),
	ROW("SpaceToDepth", 1, 1, 1, 18, depth_space, VT_OP_SPACE_TO_DEPTH, NULL),
	ROW("Split", 1, 2, 2, 18, split, NONE, NULL),
	NOT_YET("SplitToSequence", "sequences"),
	UNARY("Sqrt", 1, SQRT),
	ROW("Squeeze", 1, 2, 1, 18, squeeze, NONE, NULL),
	NOT_YET("StringNormalizer", "strings"),
	BINARY("Sub", 1, SUB),
	CHAIN("Sum", ADD),
	UNARY("Tan", 7, TAN),
	UNARY("Tanh", 1, TANH),
	NOT_YET("TfIdfVectorizer", "strings"),
	UNARY("ThresholdedRelu", 1, THRESHOLDED_RELU),
	ROW("Tile", 3, 3, 1, 5, tile_axis, NONE, NULL),
	ROW("Tile", 2, 2, 6, 18, tile, NONE, NULL),
	ROW("TopK", 1, 2, 1, 18, topk, NONE, NO_HALF),
	ROW("Transpose", 1, 1, 1, 18, transpose, NONE, NULL),
	ROW("Trilu", 1, 2, 14, 18, trilu, NONE, NULL),
	ROW("Unsqueeze", 1, 2, 1, 18, unsqueeze, NONE, NULL),
	ROW("Upsample", 1, 2, 7, 9, upsample, NONE, "linear: float32"),
	ROW("Where", 3, 3, 9, 18, where, NONE, NULL),
	BINARY("Xor", 1, XOR),
	{0},
};

int vt_imp_find(const char *domain, const char *name, int opset, const struct vt_imp_op **ret,
		struct vt_err *e)
{
	const struct vt_imp_op *near = NULL;

	if (domain && *domain && strcmp(domain, "ai.onnx"))
		return vt_fail(e, -ENOEXEC, "operator %.60s of domain %.60s is not supported", name,
			       domain);
	if (!opset)
		return vt_fail(e, -EBADMSG, "the model declares no opset of ai.onnx");
	for (const struct vt_imp_op *op = vt_imp_ops; op->name; op++) {
		if (strcmp(op->name, name))
			continue;
		near = op;
		if (opset < op->since || opset > op->until)
			continue;
		if (!op->lower)
			return vt_fail(e, -ENOEXEC, "operator %s is not supported: it needs %s",
				       name, op->note);
		*ret = op;
		return 0;
	}
	if (near)
		return vt_fail(e, -ENOEXEC,
			       "operator %s of opset %d is not supported, only of %d to %d", name,
			       opset, near->since, near->until);
	return vt_fail(e, -ENOEXEC, "operator %.60s is not supported", name);
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
