// SPDX-License-Identifier: Apache-2.0
#include "onnx_rows.h"

#include "kernels/layer.h"

static void test_opsets_change_meaning(void **state)
{
	static const struct row rows[] = {
		{"flat softmax", 11, "in x f32 2,3,4; y = Softmax(x); out y",
		 "Reshape Softmax Reshape -> float32 2x3x4"},
		{"last axis needs no view", 11, "in x f32 2,3,4; y = Softmax(x) axis=2; out y",
		 "Softmax -> float32 2x3x4"},
		{"softmax by one axis", 13, "in x f32 2,3,4; y = Softmax(x) axis=1; out y",
		 "Softmax -> float32 2x3x4"},
		{"clip by attributes", 6, "in x f32 2; y = Clip(x) min=0.0 max=6.0; out y",
		 "Clip -> float32 2"},
		{"clip by operands", 11,
		 "in x f32 2; const a f32 = 0; const b f32 = 6; y = Clip(x,a,b); out y",
		 "Clip -> float32 2"},
		{"clip of integers", 13, "in x i64 2; const b i64 = 6; y = Clip(x,-,b); out y",
		 "Min -> int64 2"},
		{"clip by the run's data", 11, "in x f32 2; in a f32; y = Clip(x,a); out y",
		 "Max -> float32 2"},
		{"squeeze by attribute", 11, "in x f32 2,1,4; y = Squeeze(x) axes=[1]; out y",
		 "Reshape -> float32 2x4"},
		{"squeeze by operand", 13,
		 "in x f32 2,1,4; const a i64 1 = -2; y = Squeeze(x,a); out y",
		 "Reshape -> float32 2x4"},
		{"unsqueeze by attribute", 11, "in x f32 2,4; y = Unsqueeze(x) axes=[0,3]; out y",
		 "Reshape -> float32 1x2x4x1"},
		{"unsqueeze by operand", 13,
		 "in x f32 2,4; const a i64 2 = 0,-1; y = Unsqueeze(x,a); out y",
		 "Reshape -> float32 1x2x4x1"},
		{"split by attribute", 2, "in x f32 6,2; y,z = Split(x) split=[2,4]; out z",
		 "Split -> float32 4x2"},
		{"split by operand", 13,
		 "in x f32 6,2; const s i64 2 = 2,4; y,z = Split(x,s); out y",
		 "Split -> float32 2x2"},
		{"split, the last smaller", 18, "in x f32 5,2; y,z = Split(x) num_outputs=2; out z",
		 "Split -> float32 2x2"},
		{"reduce by operand", 18,
		 "in x f32 2,3; const a i64 1 = -1; y = ReduceMean(x,a) keepdims=0; out y",
		 "ReduceMean -> float32 2"},
		{"pad of some axes", 18,
		 "in x f32 2,3,4; const p i64 4 = 1,0,2,5; const v f32 = 0; const a i64 2 = -1,0; "
		 "y = Pad(x,p,v,a); out y",
		 "Pad -> float32 7x3x7"},
		{"resize of some axes by scales", 18,
		 "in x f32 1,3,2,2; const s f32 2 = 3,2; y = Resize(x,-,s) axes=[3,2]; out y",
		 "Transpose Resize Transpose -> float32 1x3x4x6"},
		{"resize of some axes by sizes", 18,
		 "in x f32 1,3,2,2; const z i64 1 = 7; y = Resize(x,-,-,z) axes=[-1] mode=linear; "
		 "out y",
		 "Transpose Resize Transpose -> float32 1x3x2x7"},
		{"crop of some axes", 18,
		 "in x f32 1,3,4,4; const r f32 4 = 0,0.5,1,1; const s f32 2 = 1,2; y = "
		 "Resize(x,r,s) "
		 "axes=[2,3] coordinate_transformation_mode=tf_crop_and_resize mode=linear; out y",
		 "Transpose Resize Transpose -> float32 1x3x4x4"},
		{"mish", 18, "in x f32 2,3; y = Mish(x); out y",
		 "Softplus Tanh Mul -> float32 2x3"},
		{"an integer that proto3 left out", 13,
		 "in x f32 2,3; y = ReduceSum(x) keepdims=~; out y", "ReduceSum -> float32 scalar"},
		{"a float that proto3 left out", 13,
		 "in x f32 2,3; y = LeakyRelu(x) alpha=~.; z = Flatten(y) axis=~; out z",
		 "LeakyRelu Reshape -> float32 1x6"},
		{"an output whose shape is stale", 13, "in x f32 8,3; y = Neg(x); out y f32 1,3",
		 "Neg -> float32 8x3"},
		{"split evenly", 13, "in x f32 6,2; y,z,w = Split(x); out w",
		 "Split -> float32 2x2"},
		{"reducesum by attribute", 11,
		 "in x f32 2,3; y = ReduceSum(x) axes=[1] keepdims=0; out y",
		 "ReduceSum -> float32 2"},
		{"reducesum by operand", 13,
		 "in x f32 2,3; const a i64 1 = 0; y = ReduceSum(x,a); out y",
		 "ReduceSum -> float32 1x3"},
		{"reducesum of nothing", 13,
		 "in x f32 2,3; const a i64 0; y = ReduceSum(x,a) noop_with_empty_axes=1; out y",
		 "ReduceSum -> float32 2x3"},
		{"reducesum of all", 13, "in x f32 2,3; y = ReduceSum(x) keepdims=0; out y",
		 "ReduceSum -> float32 scalar"},
		{"slice by attributes", 9,
		 "in x f32 5,6; y = Slice(x) starts=[1,-3] ends=[9,-1]; out y",
		 "Slice -> float32 4x2"},
		{"slice backwards", 13,
		 "in x f32 5,6; const s i64 1 = -1; const e i64 1 = -100; const a i64 1 = 1; const "
		 "t i64 1 = -2; y = Slice(x,s,e,a,t); out y",
		 "Slice -> float32 5x3"},
		{"slice of nothing", 13,
		 "in x f32 5,6; const s i64 1 = 3; const e i64 1 = 2; y = Slice(x,s,e); out y",
		 "Slice -> float32 0x6"},
		{"pad by attribute", 2, "in x f32 2,3; y = Pad(x) pads=[0,1,0,2]; out y",
		 "Pad -> float32 2x6"},
		{"pad by operand, cropping", 13,
		 "in x f32 2,3; const p i64 4 = 0,-1,0,2; y = Pad(x,p) mode=edge; out y",
		 "Pad -> float32 2x4"},
		{"topk by attribute", 9, "in x f32 2,5; y,i = TopK(x) k=3; out i",
		 "TopK -> int64 2x3"},
		{"topk by operand", 11,
		 "in x f32 2,5; const k i64 1 = 3; y,i = TopK(x,k) largest=0; out y",
		 "TopK -> float32 2x3"},
		{"upsample by attribute", 7,
		 "in x f32 1,3,2,2; y = Upsample(x) scales=[1.0,1.0,2.0,3.0]; out y",
		 "Transpose Resize Transpose -> float32 1x3x4x6"},
		{"upsample by operand", 9,
		 "in x f32 1,3,2,2; const s f32 4 = 1,1,2,3; y = Upsample(x,s); out y",
		 "Transpose Resize Transpose -> float32 1x3x4x6"},
		{"resize by scales", 10,
		 "in x f32 1,3,2,2; const s f32 4 = 1,1,2,3; y = Resize(x,s); out y",
		 "Transpose Resize Transpose -> float32 1x3x4x6"},
		{"resize by sizes", 11,
		 "in x f32 1,3,2,2; const r f32 0; const s f32 0; const z i64 4 = 1,3,5,7; y = "
		 "Resize(x,r,s,z) mode=linear; out y",
		 "Transpose Resize Transpose -> float32 1x3x5x7"},
		{"resize of channels", 13,
		 "in x f32 1,3,2,2; const s f32 4 = 1,2,1,1; y = Resize(x,-,s); out y",
		 "Resize -> float32 1x6x2x2"},
		{"dropout and mask", 7, "in x f32 2,3; y,m = Dropout(x); z = Add(y,m); out z",
		 "Expand Add -> float32 2x3"},
		{"old broadcast", 6,
		 "in x f32 2,3,4; in b f32 3; y = Add(x,b) broadcast=1 axis=1; out y",
		 "Reshape Add -> float32 2x3x4"},
		{"old prelu", 6, "in x f32 2,3,4; const b f32 3; y = PRelu(x,b); out y",
		 "PRelu -> float32 2x3x4"},
		{"shape in part", 15, "in x f32 2,3,4; y = Shape(x) start=-2; out y",
		 "-> constant int64 2"},
		{"reshape by attribute", 1, "in x f32 2,3,4; y = Reshape(x) shape=[0,-1]; out y",
		 "Reshape -> float32 2x12"},
		{"reshape by operand", 14,
		 "in x f32 2,3,4; const s i64 3 = 4,0,-1; y = Reshape(x,s); out y",
		 "Reshape -> float32 4x3x2"},
		{"reshape to nothing", 14,
		 "in x f32 0,3; const s i64 2 = 3,0; y = Reshape(x,s) allowzero=1; out y",
		 "Reshape -> float32 3x0"},
	};

	run_rows(rows, VT_COUNT(rows), &plain);
}

static void test_lowering(void **state)
{
	static const struct row rows[] = {
		{"conv", 11,
		 "in x f32 1,3,8,8; const w f32 4,3,3,3; y = Conv(x,w) strides=[2,2] "
		 "pads=[1,1,1,1]; out y",
		 "Transpose Conv Transpose -> float32 1x4x4x4"},
		{"conv, same", 11,
		 "in x f32 1,3,7,8; const w f32 4,3,3,3; const b f32 4; y = Conv(x,w,b) "
		 "strides=[2,2] auto_pad=SAME_LOWER; out y",
		 "Transpose Conv Transpose -> float32 1x4x4x4"},
		{"conv of a line", 11,
		 "in x f32 1,4,8; const w f32 4,1,3; y = Conv(x,w) group=4 dilations=[2]; out y",
		 "Transpose Conv Transpose -> float32 1x4x4"},
		{"conv of a volume", 11,
		 "in x f32 1,2,4,5,6; const w f32 3,2,2,1,1; y = Conv(x,w); out y",
		 "Transpose Slice Reshape Slice Reshape Conv Slice Reshape Slice Reshape Conv Add "
		 "Reshape Transpose -> float32 1x3x3x5x6"},
		{"deconv", 11,
		 "in x f32 1,3,4,4; const w f32 3,2,3,3; y = ConvTranspose(x,w) strides=[2,2] "
		 "pads=[1,1,1,1] output_padding=[1,1]; out y",
		 "Transpose ConvTranspose Transpose -> float32 1x2x8x8"},
		{"deconv to a size", 11,
		 "in x f32 1,3,3,3; const w f32 3,2,3,3; y = ConvTranspose(x,w) strides=[3,2] "
		 "output_shape=[10,8]; out y",
		 "Transpose ConvTranspose Transpose -> float32 1x2x10x8"},
		{"pool, floor", 11,
		 "in x f32 1,3,6,6; y = MaxPool(x) kernel_shape=[3,3] strides=[2,2]; out y",
		 "Transpose MaxPool Transpose -> float32 1x3x2x2"},
		{"pool, ceil", 11,
		 "in x f32 1,3,6,6; y = MaxPool(x) kernel_shape=[3,3] strides=[2,2] ceil_mode=1; "
		 "out y",
		 "Transpose MaxPool Transpose -> float32 1x3x3x3"},
		{"pool, ceil, last window outside", 11,
		 "in x f32 1,1,3,3; y = AveragePool(x) kernel_shape=[1,1] strides=[3,3] "
		 "pads=[0,0,1,1] ceil_mode=1; out y",
		 "Transpose AveragePool Transpose -> float32 1x1x2x2"},
		{"pool of a volume", 11,
		 "in x f32 1,3,4,6,6; y = AveragePool(x) kernel_shape=[2,3,3]; out y",
		 "Transpose Reshape AveragePool Reshape AveragePool Reshape Transpose -> float32 "
		 "1x3x3x4x4"},
		{"global pool", 11, "in x f32 2,3,4,5; y = GlobalAveragePool(x); out y",
		 "Transpose GlobalAveragePool Transpose -> float32 2x3x1x1"},
		{"batch norm of rows", 9,
		 "in x f32 2,3; const s f32 3; y = BatchNormalization(x,s,s,s,s); out y",
		 "BatchNormalization -> float32 2x3"},
		{"batch norm of one channel without a dim", 9,
		 "in x f32 3; const s f32 1; y = BatchNormalization(x,s,s,s,s); out y",
		 "Reshape BatchNormalization Reshape -> float32 3"},
		{"batch norm of a volume", 9,
		 "in x f32 2,3,2,2,2; const s f32 3; y = BatchNormalization(x,s,s,s,s); out y",
		 "Reshape Transpose BatchNormalization Transpose Reshape -> float32 2x3x2x2x2"},
		{"gemm by a constant", 11,
		 "in x f32 2,3; const w f32 4,3; const b f32 4; y = Gemm(x,w,b) transB=1; out y",
		 "FullyConnected -> float32 2x4"},
		{"gemm of two", 11,
		 "in x f32 3,2; in w f32 3,4; in c f32 2,1; y = Gemm(x,w,c) transA=1 beta=0.5; out "
		 "y",
		 "MatMul Mul Add -> float32 2x4"},
		{"matmul by a constant", 13,
		 "in x f32 2,5,3; const w f32 3,4; y = MatMul(x,w); out y",
		 "FullyConnected -> float32 2x5x4"},
		{"matmul of two", 13, "in x f32 2,1,5,3; in w f32 7,3,4; y = MatMul(x,w); out y",
		 "MatMul -> float32 2x7x5x4"},
		{"matmul of vectors", 13, "in x f32 3; in w f32 3; y = MatMul(x,w); out y",
		 "Reshape Reshape MatMul Reshape -> float32 scalar"},
		{"matmul of a row", 13, "in x f32 3; in w f32 2,3,4; y = MatMul(x,w); out y",
		 "Reshape MatMul Reshape -> float32 2x4"},
		{"matmul with a column", 13, "in x f32 2,4,3; in w f32 3; y = MatMul(x,w); out y",
		 "Reshape MatMul Reshape -> float32 2x4"},
		{"mean of three", 13, "in x f32 3; y = Mean(x,x,x); out y",
		 "Add Add Div -> float32 3"},
		{"gather", 13, "in x f32 5,6; in i i64 2,3; y = Gather(x,i) axis=1; out y",
		 "Gather -> float32 5x2x3"},
		{"one hot", 11,
		 "in i i64 2; const d i64 = 7; const v f32 2; y = OneHot(i,d,v) axis=0; out y",
		 "OneHot -> float32 7x2"},
		{"unused nodes are not looked at", 13,
		 "in x f32 3; z = NoSuchThing(x); y = Neg(x); out y", "Neg -> float32 3"},
		{"an output that is an input", 13, "in x f32 3; y = Identity(x); out y",
		 "Reshape -> float32 3"},
		{"absent operands at the end", 13, "in x f32 3; y = Relu(x,-,-); out y",
		 "Relu -> float32 3"},
		{"many operands", 13, "in x f32 3; y = Concat(x,x,x,x,x,x,x,x) axis=0; out y",
		 "Concat -> float32 24"},
		/* of floats: 10 * 0.9 is less than 9 in double */
		{"resize by a fraction", 13,
		 "in x f32 1,1,10,10; const s f32 4 = 1,1,0.9,0.7; y = Resize(x,-,s); out y",
		 "Transpose Resize Transpose -> float32 1x1x9x7"},
		{"crop by a fraction", 13,
		 "in x f32 1,1,10,10; const r f32 8 = 0,0,0,0,1,1,1,0.5; const s f32 4 = "
		 "1,1,0.9,1.4; y = Resize(x,r,s) "
		 "coordinate_transformation_mode=tf_crop_and_resize; "
		 "out y",
		 "Transpose Resize Transpose -> float32 1x1x9x7"},
		{"reflect beside an empty dimension", 13,
		 "in x f32 0,3; const p i64 4 = 0,1,0,1; y = Pad(x,p) mode=reflect; out y",
		 "Pad -> float32 0x5"},
	};

	run_rows(rows, VT_COUNT(rows), &plain);
}

static void test_symbolic_dimensions(void **state)
{
	static const struct vt_dim_binding dims[] = {{"seq", 12}, {"x:2", 5}};
	static const struct vt_dim_binding no_dims[] = {{"seq", 12}, {"x:0", 5}},
					   no_size[] = {{"seq", 0}};
	static const struct vt_import_opts bound = {.dims = dims, .n_dims = 2};
	static const struct vt_import_opts wrong = {.dims = no_dims, .n_dims = 2};
	static const struct vt_import_opts zero = {.dims = no_size, .n_dims = 1};
	static const struct row without[] = {
		{"batch is one", 13, "in x f32 batch_size,3; y = Neg(x); out y",
		 "Neg -> float32 1x3"},
		{"a nameless batch too", 13, "in x f32 ?,3; y = Neg(x); out y",
		 "Neg -> float32 1x3"},
		{"-1 is nameless", 13, "in x f32 -1,3; y = Neg(x); out y", "Neg -> float32 1x3"},
		{"others are asked for", 13, "in x f32 batch,seq; y = Neg(x); out y",
		 "22 input \"x\": dimension 1 (seq) has no size; give --dim seq=N"},
		{"also at the front", 13, "in x f32 seq,2; y = Neg(x); out y",
		 "22 input \"x\": dimension 0 (seq) has no size; give --dim seq=N"},
		{"nameless ones by axis", 13, "in x f32 1,?; y = Neg(x); out y",
		 "22 input \"x\": dimension 1 (nameless) has no size; give --dim x:1=N"},
	};
	static const struct row with[] = {
		{"by name and by axis", 13, "in x f32 batch,seq,?; y = Neg(x); out y",
		 "Neg -> float32 1x12x5"},
		{"the same name twice", 13, "in x f32 seq,seq,any; y = Neg(x); out y",
		 "Neg -> float32 12x12x5"},
	};
	static const struct row misspelt[] = {
		{"fixed", 13, "in x f32 1,seq; y = Neg(x); out y",
		 "22 --dim x:0: no input has a dimension of that name without a size"},
		{"unknown", 13, "in x f32 ?,q; y = Neg(x); out y",
		 "22 --dim seq: no input has a dimension of that name without a size"},
	};
	static const struct row empty[] = {
		{"zero", 13, "in x f32 1,seq; y = Neg(x); out y",
		 "22 --dim seq=0: a size is 1 or more"},
	};

	run_rows(without, VT_COUNT(without), &plain);
	run_rows(with, VT_COUNT(with), &bound);
	run_rows(misspelt, VT_COUNT(misspelt), &wrong);
	run_rows(empty, VT_COUNT(empty), &zero);
}

static const struct vt_value *six(void *arg, const char *name)
{
	static int64_t data[] = {2, 3};
	static const struct vt_value v = {VT_I64, {1, {2}}, data, sizeof(data), NULL};

	return strcmp(name, "s") ? NULL : &v;
}

/* What depends on constants and shapes alone is gone after the import; nothing grows without bound.
 */
static void test_folding(void **state)
{
	static const struct vt_import_opts o = {.input_value = six, .eval = &vt_kernel_eval};
	static const struct row rows[] = {
		{"an exporter's view", 13,
		 "in x f32 2,3,4; s = Shape(x); const i i64 = 0; g = Gather(s,i); const z i64 1 = "
		 "0; "
		 "u = Unsqueeze(g,z); const m i64 1 = -1; c = Concat(u,m) axis=0; y = "
		 "Reshape(x,c); out y",
		 "Reshape -> float32 2x12"},
		{"arithmetic on shapes", 13,
		 "in x f32 2,6; n = Size(x); const t i64 = 3; d = Div(n,t); const z i64 1 = 0; "
		 "u = Unsqueeze(d,z); const m i64 1 = -1; c = Concat(m,u) axis=0; y = "
		 "Reshape(x,c); out y",
		 "Reshape -> float32 3x4"},
		{"everything is constant", 13, "const a f32 2 = 1,2; y = Add(a,a); out y",
		 "-> constant float32 2"},
		{"a view of a constant", 13,
		 "const a f32 2,3; const s i64 1 = 6; y = Reshape(a,s); out y",
		 "-> constant float32 6"},
		{"a scaled weight", 13,
		 "in x f32 2,3; const w f32 3,4; y = Gemm(x,w) alpha=0.5; out y",
		 "FullyConnected -> float32 2x4"},
		{"through nodes before the need", 13,
		 "in x f32 6; in s i64 2; c = Cast(s) to=6; d = Cast(c) to=7; y = Reshape(x,d); z "
		 "= Neg(c); out y",
		 "Reshape -> float32 2x3"},
		{"a fill in proportion", 13,
		 "const s i64 2 = 100,100; y = ConstantOfShape(s); out y",
		 "-> constant float32 100x100"},
		{"a fill out of proportion", 13,
		 "const s i64 2 = 100000,10000; y = ConstantOfShape(s); out y",
		 "Expand -> float32 100000x10000"},
		{"a range that no double tells apart", 13,
		 "const a i64 = 1152921504606846977; const b i64 = 1152921504606846980; const c "
		 "i64 = 1; y = Range(a,b,c); out y",
		 "-> constant int64 3"},
		{"a range that falls in odd steps", 13,
		 "const a i32 = 10; const b i32 = -1; const c i32 = -3; y = Range(a,b,c); out y",
		 "-> constant int32 4"},
		{"a range the other way", 13,
		 "const a i64 = 1; const b i64 = 0; const c i64 = 5; y = Range(a,b,c); out y",
		 "-> constant int64 0"},
		{"a range over all of int64 in two steps", 13,
		 "const a i64 = -9223372036854775808; const b i64 = 9223372036854775807; const c "
		 "i64 = 9223372036854775807; y = Range(a,b,c); out y",
		 "-> constant int64 3"},
		/* 2^60 + 2 and 2^60 + 3 */
		{"a pad by what no double holds", 13,
		 "in x f32 6; const a i64 1 = 1152921504606846978; const p i64 2 = 0,1; "
		 "const v i64 = 1152921504606846979; const b i64 = 1152921504606846976; "
		 "c = Pad(a,p,v); d = Sub(c,b); y = Reshape(x,d); out y",
		 "Reshape -> float32 2x3"},
		{"a long range", 13,
		 "const a i64 = 0; const b i64 = 1000000000; const c i64 = 1; y = Range(a,b,c); "
		 "out y",
		 "Range -> int64 1000000000"},
		{"an expensive product", 13,
		 "const s i64 2 = 4000,4000; a = ConstantOfShape(s); y = MatMul(a,a); out y",
		 "FullyConnected -> float32 4000x4000"},
	};

	run_rows(rows, VT_COUNT(rows), &o);
}

/* Any byte or number but 0 is true; kernels count on 1. */
static void test_bools(void **state)
{
	static const char *const text[] = {"const b b 4 = 2,0,1,255; y = Identity(b); out y",
					   "list b b 4 = 256,0,1,-1; y = Identity(b); out y"};
	static const uint8_t want[] = {1, 0, 1, 1};

	for (size_t i = 0; i < VT_COUNT(text); i++) {
		size_t len;
		uint8_t *buf = vt_onnx_text(text[i], 13, &len);
		struct vt_err e = {0};
		struct vt_graph g;
		int t = 0;

		assert_non_null(buf);
		assert_int_equal(vt_import_onnx_buf(&g, buf, len, NULL, &plain, &e), 0);
		free(buf);
		while (t < g.n_tensors && !g.tensors[t].data)
			t++;
		assert_true(t < g.n_tensors && g.tensors[t].dtype == VT_BOOL);
		assert_memory_equal(g.tensors[t].data, want, sizeof(want));
		vt_graph_fini(&g);
	}
}

static void test_values_of_inputs(void **state)
{
	static const struct vt_import_opts o = {.input_value = six};
	static const struct row rows[] = {
		{"needed for a shape", 13, "in x f32 6; in s i64 2; y = Reshape(x,s); out y",
		 "Reshape -> float32 2x3"},
		{"not needed", 13, "in s i64 2; y = Neg(s); out y", "Neg -> int64 2"},
		{"gives a symbolic size", 13, "in s i64 n; y = Neg(s); out y", "Neg -> int64 2"},
		{"of another shape", 13, "in x f32 6; in s i64 3; y = Reshape(x,s); out y",
		 "22 node \"y\" (Reshape): the value given for \"s\" is int64 2, it takes int64 3"},
	};

	run_rows(rows, VT_COUNT(rows), &o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opsets_change_meaning),
		cmocka_unit_test(test_lowering),
		cmocka_unit_test(test_symbolic_dimensions),
		cmocka_unit_test(test_values_of_inputs),
		cmocka_unit_test(test_folding),
		cmocka_unit_test(test_bools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
