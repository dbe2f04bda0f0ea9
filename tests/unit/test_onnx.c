// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/layer.h"
#include "model/graph.h"
#include "onnx_text.h"

/* What a model becomes: its operators in order, and the shape of its first output; or its error. */
struct row {
	const char *what;
	int opset;
	const char *text;
	const char *want;
};

static void describe(const struct vt_graph *g, char *buf, size_t len)
{
	const struct vt_tensor *out = &g->tensors[g->outputs[0]];
	char shape[128];
	size_t n = 0;

	buf[0] = '\0';
	for (int i = 0; i < g->n_nodes; i++)
		n += (size_t)snprintf(buf + n, len - n, "%s ", vt_op_name(g->nodes[i].op));
	snprintf(buf + n, len - n, "-> %s%s %s", out->kind == VT_T_CONST ? "constant " : "",
		 vt_dtype_name(out->dtype), vt_shape_text(&out->shape, shape, sizeof(shape)));
}

static void import_row(const struct row *r, const struct vt_import_opts *o, char *got, size_t len)
{
	struct vt_graph g;
	struct vt_err e = {0};
	size_t bytes = 0;
	uint8_t *buf = vt_onnx_text(r->text, r->opset, &bytes);
	int err;

	assert_non_null(buf);
	err = vt_import_onnx_buf(&g, buf, bytes, NULL, o, &e);
	free(buf);
	if (err) {
		assert_int_equal(err, e.code);
		snprintf(got, len, "%d %s", -err, e.msg);
		assert_null(g.nodes);
		return;
	}
	assert_int_equal(e.code, 0);
	if (vt_graph_check(&g, &e))
		fail_msg("%s: %s", r->what, e.msg);
	describe(&g, got, len);
	vt_graph_fini(&g);
}

static void run_rows(const struct row *rows, size_t n, const struct vt_import_opts *o)
{
	char got[1024];

	for (size_t i = 0; i < n; i++) {
		import_row(&rows[i], o, got, sizeof(got));
		if (strcmp(got, rows[i].want))
			fail_msg("%s, opset %d:\n  got  %s\n  want %s", rows[i].what, rows[i].opset,
				 got, rows[i].want);
	}
}

static const struct vt_import_opts plain;

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

static void test_bad_models(void **state)
{
	static const struct row rows[] = {
		{"unknown operator", 13, "in x f32 3; y = NoSuchThing(x); out y",
		 "8 node \"y\" (NoSuchThing): operator NoSuchThing is not supported"},
		{"operator too new", 8, "in x f32 3; y = Erf(x); out y",
		 "8 node \"y\" (Erf): operator Erf of opset 8 is not supported, only of 9 to 18"},
		{"subgraph", 13, "in x b 1; y = If(x); out y",
		 "8 node \"y\" (If): operator If is not supported: it needs subgraphs"},
		{"unknown opset", 99, "in x f32 3; y = Neg(x); out y",
		 "8 uses opset 99; this build knows 1 to 18 (export with opset 18)"},
		{"cycle", 13, "in x f32 3; a = Add(x,c); b = Neg(a); c = Neg(b); out c",
		 "40 node \"a\" (Add) depends on its own output: the graph has a cycle"},
		{"lost operand", 13, "in x f32 3; y = Add(x,w); out y",
		 "22 node \"y\" (Add): \"w\" is not an input, initialiser or output of any node"},
		{"lost output", 13, "in x f32 3; y = Neg(x); out z",
		 "22 nothing computes the graph output \"z\""},
		{"no output", 13, "in x f32 3; y = Neg(x)", "22 has no outputs"},
		{"an output of another type", 13, "in x f32 3; y = Neg(x); out y i64 3",
		 "22 graph output \"y\" is declared as int64 and computed as float32"},
		{"two definitions", 13, "in x f32 3; y = Neg(x); y = Abs(x); out y",
		 "22 \"y\" is defined twice"},
		{"missing operand", 13, "in x f32 3; y = Add(x); out y",
		 "22 node \"y\" (Add): has 1 operands, needs 2"},
		{"more operands than there are", 13, "in x f32 3; y = Relu(x,x); out y",
		 "22 node \"y\" (Relu): has 2 operands, takes 1 at most"},
		{"layer norm of forty operands", 17,
		 "in x f32 2,4; const s f32 4; y = "
		 "LayerNormalization(x,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,"
		 "s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s,s); out y",
		 "22 node \"y\" (LayerNormalization): has 40 operands, takes 3 at most"},
		{"slice of six operands", 13,
		 "in x f32 4; const s i64 1; y = Slice(x,s,s,s,s,s); out y",
		 "22 node \"y\" (Slice): has 6 operands, takes 5 at most"},
		{"conv with a bias of bytes", 13,
		 "in x f32 1,4,1,1; const w f32 30,4,1,1; in b u8 30; y = Conv(x,w,b); out y",
		 "22 node \"y\" (Conv): operand 2 has type uint8, operand 0 has float32"},
		{"conv with a weight of bytes", 13,
		 "in x f32 1,4,1,1; in w u8 30,4,1,1; y = Conv(x,w); out y",
		 "22 node \"y\" (Conv): operand 1 has type uint8, operand 0 has float32"},
		{"deconv with a bias of bytes", 13,
		 "in x f32 1,4,1,1; const w f32 4,8,1,1; in b i8 8; y = ConvTranspose(x,w,b); out "
		 "y",
		 "22 node \"y\" (ConvTranspose): operand 2 has type int8, operand 0 has float32"},
		{"gemm with a bias of bytes", 13,
		 "in x f32 1,4; const w f32 4,8; const c u8 8; y = Gemm(x,w,c); out y",
		 "22 node \"y\" (Gemm): operand 2 has type uint8, operand 0 has float32"},
		{"gemm by another type", 13, "in x f32 1,4; const w f64 4,8; y = Gemm(x,w); out y",
		 "22 node \"y\" (Gemm): operand 1 has type float64, operand 0 has float32"},
		{"layer norm with a scale of bytes", 17,
		 "in x f32 2,4; const s u8 4; y = LayerNormalization(x,s); out y",
		 "22 node \"y\" (LayerNormalization): operand 1 has type uint8, operand 0 has "
		 "float32"},
		{"layer norm with a bias of bytes", 17,
		 "in x f32 2,4; const s f32 4; const b u8 4; y = LayerNormalization(x,s,b); out y",
		 "22 node \"y\" (LayerNormalization): operand 2 has type uint8, operand 0 has "
		 "float32"},
		{"batch norm with a variance of bytes", 13,
		 "in x f32 2,4; const s f32 4; const v u8 4; y = BatchNormalization(x,s,s,s,v); "
		 "out "
		 "y",
		 "22 node \"y\" (BatchNormalization): operand 4 has type uint8, operand 0 has "
		 "float32"},
		{"instance norm with a bias of bytes", 13,
		 "in x f32 2,4,3; const s f32 4; const b u8 4; y = InstanceNormalization(x,s,b); "
		 "out "
		 "y",
		 "22 node \"y\" (InstanceNormalization): operand 2 has type uint8, operand 0 has "
		 "float32"},
		{"absent operand", 13, "in x f32 3; y = Add(-,x); out y",
		 "22 node \"y\" (Add): operand 0 is missing"},
		{"initialiser too large", 13, "const w f32 2,2 = 1,2,3,4,5; y = Neg(w); out y",
		 "22 initialiser \"w\": has 20 bytes of data, its type and shape need 16"},
		{"initialiser too small", 13, "const w f32 2,3000; y = Neg(w); out y",
		 "22 initialiser \"w\": has 0 bytes of data, its type and shape need 24000"},
		{"initialiser overflows", 13,
		 "const w f32 4611686018427387904,4611686018427387904; y = Neg(w); out y",
		 "75 initialiser \"w\": has a shape whose product overflows"},
		{"initialiser of a negative dimension", 13, "const w f32 -1; y = Neg(w); out y",
		 "22 initialiser \"w\": has dimension -1"},
		{"input overflows", 13,
		 "in x f32 4611686018427387904,4611686018427387904; y = Neg(x); out y",
		 "75 input \"x\": the shape 4611686018427387904x4611686018427387904 overflows"},
		{"input of a negative dimension", 13, "in x f32 2,-7; y = Neg(x); out y",
		 "22 input \"x\": dimension 1 is -7"},
		{"strings", 13, "in x str 2; y = Identity(x); out y",
		 "8 input \"x\" holds strings, which are not supported"},
		{"nine dimensions", 13, "in x f32 1,1,1,1,1,1,1,1,1; y = Neg(x); out y",
		 "8 input \"x\" has 9 dimensions, at most 8 are supported"},
		{"axis of a pad twice", 18,
		 "in x f32 2,3; const p i64 4 = 1,1,1,1; const v f32 = 0; const a i64 2 = 0,-2; y "
		 "= Pad(x,p,v,a); out y",
		 "22 node \"y\" (Pad): names axis 0 twice"},
		{"reflection of nothing", 13,
		 "in x f32 0,3; const p i64 4 = 1,0,0,0; y = Pad(x,p) mode=reflect; out y",
		 "22 node \"y\" (Pad): pads more of dimension 0 than there is to copy"},
		{"scales of other axes", 18,
		 "in x f32 1,3,2,2; const s f32 4 = 1,1,2,2; y = Resize(x,-,s) axes=[2,3]; out y",
		 "22 node \"y\" (Resize): has 4 scales for 2 dimensions"},
		{"roi of other axes", 18,
		 "in x f32 1,3,4,4; const r f32 8 = 0,0,0,0,1,1,1,1; const s f32 2 = 1,2; y = "
		 "Resize(x,r,s) "
		 "axes=[2,3] coordinate_transformation_mode=tf_crop_and_resize mode=linear; out y",
		 "22 node \"y\" (Resize): has 8 values of roi for 2 dimensions"},
		{"scatter by the larger", 18,
		 "in x f32 4; const i i64 1,1 = 1; in u f32 1; y = ScatterND(x,i,u) reduction=max; "
		 "out y",
		 "8 node \"y\" (ScatterND): reduction \"max\" is not supported"},
		{"antialias", 18,
		 "in x f32 1,3,2,2; const s f32 4 = 1,1,2,2; y = Resize(x,-,s) antialias=1; out y",
		 "8 node \"y\" (Resize): antialias is not supported"},
		{"aspect ratio", 18,
		 "in x f32 1,3,2,2; const z i64 4 = 1,3,4,5; y = Resize(x,-,-,z) "
		 "keep_aspect_ratio_policy=not_larger; out y",
		 "8 node \"y\" (Resize): keep_aspect_ratio_policy \"not_larger\" is not supported"},
		{"split in other parts", 18, "in x f32 5,2; y,z = Split(x) num_outputs=3; out z",
		 "22 node \"y\" (Split): has 2 results and num_outputs 3"},
		{"split in too many", 18, "in x f32 2,2; y,z,w,v = Split(x) num_outputs=4; out z",
		 "22 node \"y\" (Split): part 3 has size -1"},
		{"no broadcast", 13, "in x f32 2; in z f32 3; y = Add(x,z); out y",
		 "22 node \"y\" (Add): shapes 2 and 3 do not broadcast"},
		{"mixed types", 13, "in x f32 2; in z i64 2; y = Add(x,z); out y",
		 "22 node \"y\" (Add): its operands have types float32 and int64"},
		{"reshape", 13, "in x f32 6; const s i64 2 = 4,-1; y = Reshape(x,s); out y",
		 "22 node \"y\" (Reshape): 6 elements do not divide by 4"},
		{"reshape with two unknowns", 13,
		 "in x f32 6; const s i64 2 = -1,-1; y = Reshape(x,s); out y",
		 "22 node \"y\" (Reshape): its shape has dimension -1"},
		{"window", 13, "in x f32 1,1,2,2; const w f32 1,1,3,3; y = Conv(x,w); out y",
		 "22 node \"y\" (Conv): a window of 3 does not fit 2 + 0 + 0"},
		{"channels", 13, "in x f32 1,4,8,8; const w f32 1,3,3,3; y = Conv(x,w); out y",
		 "22 node \"y\" (Conv): 4 channels in 1 groups do not fit its weight of 1 x 3"},
		{"stride", 13,
		 "in x f32 1,1,8,8; y = MaxPool(x) kernel_shape=[2,2] strides=[0,1]; out y",
		 "22 node \"y\" (MaxPool): strides has value 0"},
		{"axis", 13, "in x f32 2,2; y = Softmax(x) axis=2; out y",
		 "22 node \"y\" (Softmax): axis 2 of 2 dimensions"},
		{"matrices", 13, "in x f32 2,3; in w f32 2,3; y = MatMul(x,w); out y",
		 "22 node \"y\" (MatMul): cannot multiply 2x3 by 2x3"},
		{"index", 13, "in x f32 3; const i i64 1 = 3; y = Gather(x,i); out y",
		 "22 node \"y\" (Gather): index 3 of 3"},
		{"auto_pad", 13,
		 "in x f32 1,1,8,8; y = MaxPool(x) kernel_shape=[2,2] auto_pad=SOME; out y",
		 "8 node \"y\" (MaxPool): auto_pad \"SOME\" is not supported"},
		{"huge fill", 13,
		 "const s i64 3 = 1000000,1000000,1000000; y = ConstantOfShape(s); out y",
		 "75 node \"y\" (ConstantOfShape): its output 1000000x1000000x1000000 is too "
		 "large"},
		{"huge tile", 13,
		 "in x f32 2; const t i64 1 = 4611686018427387904; y = Tile(x,t); out y",
		 "75 node \"y\" (Tile): repeats dimension 0 4611686018427387904 times"},
		{"endless range", 13,
		 "const a f32 = 0; const b f32 = 1; const c f32 = 0; y = Range(a,b,c); out y",
		 "22 node \"y\" (Range): from 0 to 1 in steps of 0 has no sensible end"},
		{"endless range of integers", 13,
		 "const a i64 = 0; const b i64 = 9223372036854775807; const c i64 = 1; y = "
		 "Range(a,b,c); out y",
		 "22 node \"y\" (Range): from 0 to 9.22337e+18 in steps of 1 has no sensible end"},
		{"shape from data", 13, "in x f32 6; in s i64 1; y = Reshape(x,s); out y",
		 "22 node \"y\" (Reshape): its operand \"s\" must be known when the model is "
		 "loaded; give --input s=FILE"},
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
		cmocka_unit_test(test_bad_models),
		cmocka_unit_test(test_symbolic_dimensions),
		cmocka_unit_test(test_values_of_inputs),
		cmocka_unit_test(test_folding),
		cmocka_unit_test(test_bools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
