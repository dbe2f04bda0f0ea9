// SPDX-License-Identifier: Apache-2.0
/* Models that are refused, and with which words. */
#include "onnx_rows.h"

#include "onnx/onnx.pb-c.h"

static void test_bad_models(void **state)
{
	static const struct row rows[] = {
		{"unknown operator", 13, "in x f32 3; y = NoSuchThing(x); out y",
		 "8 node \"y\" (NoSuchThing): operator NoSuchThing of opset 13 is not supported"},
		{"operator too new", 8, "in x f32 3; y = Erf(x); out y",
		 "8 node \"y\" (Erf): operator Erf of opset 8 is not supported, only of 9 to 23"},
		{"subgraph", 13, "in x b 1; y = If(x); out y",
		 "8 node \"y\" (If): operator If is not supported: it needs subgraphs"},
		{"unknown opset", 99, "in x f32 3; y = Neg(x); out y",
		 "8 uses opset 99; this build knows 1 to 23 (export with opset 23)"},
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
		 "8 node \"y\" (ScatterND of opset 18): reduction \"max\" is not supported"},
		{"antialias", 18,
		 "in x f32 1,3,2,2; const s f32 4 = 1,1,2,2; y = Resize(x,-,s) antialias=1; out y",
		 "8 node \"y\" (Resize of opset 18): antialias is not supported"},
		{"aspect ratio", 18,
		 "in x f32 1,3,2,2; const z i64 4 = 1,3,4,5; y = Resize(x,-,-,z) "
		 "keep_aspect_ratio_policy=whatever; out y",
		 "8 node \"y\" (Resize of opset 18): keep_aspect_ratio_policy \"whatever\" is not "
		 "supported"},
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
		 "8 node \"y\" (MaxPool of opset 13): auto_pad \"SOME\" is not supported"},
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

/* What opsets 19 to 23 brought and we lack, or may be written wrongly. */
static void test_new_opsets(void **state)
{
	static const struct row rows[] = {
		{"an operator of opset 20", 18, "in x f32 3; y = Gelu(x); out y",
		 "8 node \"y\" (Gelu): operator Gelu of opset 18 is not supported, only of 20 to "
		 "23"},
		{"an operator with two meanings", 13,
		 "in x f32 1,2,2; const s f32 2; y = GroupNormalization(x,s,s) num_groups=2; out y",
		 "8 node \"y\" (GroupNormalization): operator GroupNormalization of opset 13 is "
		 "not "
		 "supported, only of 18 to 23"},
		{"a transform", 20, "in x f32 1,8,1; y = DFT(x); out y",
		 "8 node \"y\" (DFT): operator DFT of opset 20 is not supported"},
		{"another approximation", 20, "in x f32 3; y = Gelu(x) approximate=sigmoid; out y",
		 "8 node \"y\" (Gelu of opset 20): approximate \"sigmoid\" is not supported"},
		{"a cast to float8", 19, "in x f32 3; y = Cast(x) to=17; out y",
		 "8 node \"y\" (Cast of opset 19): to float8e4m3fn is not supported"},
		{"a cast to int4", 21, "in x f32 3; y = Cast(x) to=22; out y",
		 "8 node \"y\" (Cast of opset 21): to int4 is not supported"},
		{"a cast to what nobody knows", 21, "in x f32 3; y = Cast(x) to=99; out y",
		 "8 node \"y\" (Cast of opset 21): to number 99 is not supported"},
		{"a cast to nothing", 21, "in x f32 3; y = Cast(x); out y",
		 "22 node \"y\" (Cast): names no type"},
		{"an initialiser of float8", 19, "const w f8 3; y = Identity(w); out y",
		 "8 initialiser \"w\": has type float8e4m3fn, which is not supported"},
		{"an initialiser of int4", 21, "const w i4 4; y = Identity(w); out y",
		 "8 initialiser \"w\": has type int4, which is not supported"},
		{"an input of int4", 21, "in x i4 4; y = Identity(x); out y",
		 "8 input \"x\" has type int4, which is not supported"},
		{"an output that should be int4", 21, "in x u8 4; y = Identity(x); out y i4 4",
		 "22 graph output \"y\" is declared as int4 and computed as uint8"},
		{"quantised to int4", 21,
		 "in x f32 4; const s f32 = 1; y = QuantizeLinear(x,s) output_dtype=22; out y",
		 "8 node \"y\" (QuantizeLinear of opset 21): output_dtype int4 is not supported"},
		{"quantised to two types", 21,
		 "in x f32 4; const s f32 = 1; const z u8 = 0; y = QuantizeLinear(x,s,z) "
		 "output_dtype=3; out y",
		 "22 node \"y\" (QuantizeLinear): output_dtype is int8, its zero point has uint8"},
		{"quantised in double", 23,
		 "in x f32 4; const s f32 = 1; y = QuantizeLinear(x,s) precision=11; out y",
		 "8 node \"y\" (QuantizeLinear of opset 23): precision float64 is not supported"},
		{"blocks that do not fit", 21,
		 "in x u8 1,4; const s f32 1,2 = 1,1; y = DequantizeLinear(x,s) block_size=4; out "
		 "y",
		 "22 node \"y\" (DequantizeLinear): blocks of 4 do not fit its operands"},
		{"groups that do not divide", 21,
		 "in x f32 1,4,2; const s f32 4; y = GroupNormalization(x,s,s) num_groups=3; out y",
		 "22 node \"y\" (GroupNormalization): 3 groups do not fit its input"},
		{"a scale of groups where channels have one", 21,
		 "in x f32 1,4,2; const s f32 2; y = GroupNormalization(x,s,s) num_groups=2; out y",
		 "22 node \"y\" (GroupNormalization): operand 1 does not have 4 values"},
		{"batch norm with a variance of bytes", 15,
		 "in x f32 2,4; const s f32 4; const v u8 4; y = BatchNormalization(x,s,s,s,v); "
		 "out y",
		 "22 node \"y\" (BatchNormalization): operand 4 has type uint8, operand 0 has "
		 "float32"},
		{"rms norm of integers", 23,
		 "in x i64 2,4; const s i64 4; y = RMSNormalization(x,s); out y",
		 "22 node \"y\" (RMSNormalization): its operands are no floats"},
		{"rms norm by the scale of another axis", 23,
		 "in x f32 2,4; const s f32 2,1; y = RMSNormalization(x,s); out y",
		 "22 node \"y\" (RMSNormalization): operand 1 does not fit its axes"},
		{"attention of heads that nobody counted", 23,
		 "in x f32 1,4,8; y = Attention(x,x,x); out y",
		 "22 node \"y\" (Attention): 0 heads of queries and 0 of keys do not fit"},
		{"attention of three heads over two", 23,
		 "in x f32 1,3,4,8; in k f32 1,2,4,8; y = Attention(x,k,k); out y",
		 "22 node \"y\" (Attention): 3 heads of queries and 2 of keys do not fit"},
		{"attention of other keys", 23,
		 "in x f32 1,2,4,8; in k f32 1,2,4,4; y = Attention(x,k,k); out y",
		 "22 node \"y\" (Attention): its query, key and value do not fit"},
		{"attention with half a past", 23,
		 "in x f32 1,2,4,8; y = Attention(x,x,x,-,x); out y",
		 "22 node \"y\" (Attention): has one of past_key and past_value"},
		{"attention with a mask of integers", 23,
		 "in x f32 1,2,4,8; in a i64 4,4; y = Attention(x,x,x,a); out y",
		 "8 node \"y\" (Attention of opset 23): attn_mask of int64 is not supported"},
		{"attention with a mask of another size", 23,
		 "in x f32 1,2,4,8; in a f32 4,3; y = Attention(x,x,x,a); out y",
		 "22 node \"y\" (Attention): attn_mask does not broadcast to its scores"},
		{"attention of two types", 23,
		 "in x f32 1,2,4,8; in v f64 1,2,4,8; y = Attention(x,x,v); out y",
		 "8 node \"y\" (Attention of opset 23): operands of types float32 and float64 are "
		 "not "
		 "supported"},
		{"rotation of odd heads", 23,
		 "in x f32 1,2,4,3; in c f32 1,4,1; y = RotaryEmbedding(x,c,c); out y",
		 "22 node \"y\" (RotaryEmbedding): 3 of 3 elements cannot be rotated"},
		{"rotation by caches of another width", 23,
		 "in x f32 1,2,4,8; in c f32 1,4,3; y = RotaryEmbedding(x,c,c); out y",
		 "22 node \"y\" (RotaryEmbedding): operand 1 does not have 4 values for a "
		 "position"},
		{"rotation by caches of more positions", 23,
		 "in x f32 1,2,1,8; in c f32 1,4,4; y = RotaryEmbedding(x,c,c); out y",
		 "22 node \"y\" (RotaryEmbedding): its caches have other positions than its "
		 "operand"},
	};

	run_rows(rows, VT_COUNT(rows), &plain);
}

/* ---- what the text cannot say ------------------------------------------------------------- */

static char neg[] = "Neg", alpha[] = "alpha", local[] = "pkg.local";

static void from_the_future(Onnx__ModelProto *m)
{
	m->ir_version = 15;
}

static void from_today(Onnx__ModelProto *m)
{
	m->ir_version = 11;
}

static void with_function(Onnx__ModelProto *m, char *domain)
{
	static Onnx__FunctionProto f, *all[] = {&f};

	onnx__function_proto__init(&f);
	f.name = neg;
	f.domain = domain;
	m->functions = all;
	m->n_functions = 1;
}

static void function(Onnx__ModelProto *m)
{
	with_function(m, local);
	m->graph->node[0]->domain = local;
}

/* It replaces the operator of that name. */
static void function_in_place(Onnx__ModelProto *m)
{
	with_function(m, NULL);
}

static void function_nobody_calls(Onnx__ModelProto *m)
{
	with_function(m, local);
}

static void attribute_of_function(Onnx__ModelProto *m)
{
	static Onnx__AttributeProto a, *all[] = {&a};

	onnx__attribute_proto__init(&a);
	a.name = a.ref_attr_name = alpha;
	m->graph->node[0]->attribute = all;
	m->graph->node[0]->n_attribute = 1;
}

static void mistyped(Onnx__ModelProto *m)
{
	static Onnx__AttributeProto a, *all[] = {&a};
	static char leaky[] = "LeakyRelu";

	onnx__attribute_proto__init(&a);
	a.name = alpha;
	a.has_type = a.has_i = 1;
	a.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
	m->graph->node[0]->op_type = leaky;
	m->graph->node[0]->attribute = all;
	m->graph->node[0]->n_attribute = 1;
}

/* A field of newer schemas: metadata_props of the graph. */
static void with_notes(Onnx__ModelProto *m)
{
	static uint8_t entry[] = {0x0a, 1, 'k', 0x12, 1, 'v'};
	static ProtobufCMessageUnknownField note = {16, PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
						    sizeof(entry) + 1, NULL};
	static uint8_t data[sizeof(entry) + 1] = {sizeof(entry)};

	memcpy(data + 1, entry, sizeof(entry));
	note.data = data;
	m->graph->base.unknown_fields = &note;
	m->graph->base.n_unknown_fields = 1;
}

static void test_forms(void **state)
{
	static const struct {
		const char *what;
		void (*change)(Onnx__ModelProto *m);
		const char *want;
	} t[] = {
		{"a newer IR", from_the_future, "8 has IR version 15; this build knows 1 to 14"},
		{"the IR of opset 23", from_today, "Neg -> float32 3"},
		{"a function", function,
		 "8 node \"y\" (Neg of opset 21): is a function of the model, which is not "
		 "supported; "
		 "inline it (onnx.inliner.inline_local_functions)"},
		{"a function in place of an operator", function_in_place,
		 "8 node \"y\" (Neg of opset 21): is a function of the model, which is not "
		 "supported; "
		 "inline it (onnx.inliner.inline_local_functions)"},
		{"a function that nobody calls", function_nobody_calls, "Neg -> float32 3"},
		{"an attribute of a function", attribute_of_function,
		 "22 node \"y\" (Neg): alpha is an attribute of a function"},
		{"an integer where a float should be", mistyped,
		 "22 node \"y\" (LeakyRelu): alpha has another type than it should"},
		{"notes", with_notes, "Neg -> float32 3"},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		size_t len = 0;
		uint8_t *text = vt_onnx_text("in x f32 3; y = Neg(x); out y", 21, &len), *buf;
		Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, len, text);
		struct Onnx__ModelProto changed = *m;
		struct Onnx__GraphProto graph = *m->graph;
		struct Onnx__NodeProto node = *graph.node[0], *nodes[] = {&node};
		char got[512];

		graph.node = nodes;
		changed.graph = &graph;
		t[i].change(&changed);
		buf = malloc(onnx__model_proto__get_packed_size(&changed));
		assert_non_null(buf);
		len = onnx__model_proto__pack(&changed, buf);
		import_bytes(t[i].what, buf, len, &plain, got, sizeof(got));
		if (strcmp(got, t[i].want))
			fail_msg("%s:\n  got  %s\n  want %s", t[i].what, got, t[i].want);
		onnx__model_proto__free_unpacked(m, NULL);
		free(text);
		free(buf);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_models),
		cmocka_unit_test(test_new_opsets),
		cmocka_unit_test(test_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
