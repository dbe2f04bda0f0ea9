// SPDX-License-Identifier: Apache-2.0
/*
 * What operators of opset 19 and later compute. The operands are constants, so that the import folds
 * the model to its result; values are worked out by hand.
 */
#include "onnx_rows.h"

#include <math.h>

#include "kernels/layer.h"
#include "model/import.h"

struct value {
	const char *what;
	int opset;
	const char *text;
	enum vt_dtype type;
	int n;
	double v[16];
};

static const struct vt_import_opts folding = {.eval = &vt_kernel_eval};

static void import_text(struct vt_graph *g, const char *what, const char *text, int opset)
{
	struct vt_err e = {0};
	size_t len = 0;
	uint8_t *buf = vt_onnx_text(text, opset, &len);

	assert_non_null(buf);
	if (vt_import_onnx_buf(g, buf, len, NULL, &folding, &e))
		fail_msg("%s: %s", what, e.msg);
	free(buf);
}

static void check_values(const struct value *r)
{
	struct vt_graph g;
	const struct vt_tensor *t;

	import_text(&g, r->what, r->text, r->opset);
	t = &g.tensors[g.outputs[0]];
	if (t->kind != VT_T_CONST) /* a view of it */
		t = vt_in(&g, &g.nodes[0], 0);
	if (t->kind != VT_T_CONST || t->dtype != r->type || vt_shape_elems(&t->shape) != r->n)
		fail_msg("%s: %s of %d values", r->what, vt_dtype_name(t->dtype),
			 (int)vt_shape_elems(&t->shape));
	for (int i = 0; i < r->n; i++) {
		const double got = vt_imp_get(t, i);

		if (!(fabs(got - r->v[i]) <= 1e-6 * (1 + fabs(r->v[i]))))
			fail_msg("%s: [%d] is %.9g, not %.9g", r->what, i, got, r->v[i]);
	}
	vt_graph_fini(&g);
}

static void run_values(const struct value *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check_values(&rows[i]);
}

static void test_elements(void **state)
{
	static const struct value t[] = {
		{"gelu",
		 20,
		 "const x f32 3 = -1,0,1; y = Gelu(x); out y",
		 VT_F32,
		 3,
		 {-0.1586552539, 0, 0.8413447461}},
		{"gelu by tanh",
		 20,
		 "const x f32 3 = -1,0,1; y = Gelu(x) approximate=tanh; out y",
		 VT_F32,
		 3,
		 {-0.1588080094, 0, 0.8411919906}},
		{"any",
		 20,
		 "const x b 2,2 = 1,0,0,0; const a i64 1 = 1; y = ReduceMax(x,a) keepdims=0; out y",
		 VT_BOOL,
		 2,
		 {1, 0}},
		{"all",
		 20,
		 "const x b 2,2 = 1,0,1,1; const a i64 1 = 1; y = ReduceMin(x,a) keepdims=0; out y",
		 VT_BOOL,
		 2,
		 {0, 1}},
		{"all of nothing",
		 20,
		 "const x b 0,2; const a i64 1 = 0; y = ReduceMin(x,a); out y",
		 VT_BOOL,
		 2,
		 {1, 1}},
		{"infinities of bfloat16",
		 20,
		 "const x f32 3 = 1,inf,-inf; h = Cast(x) to=16; y = IsInf(h) detect_negative=0; "
		 "out y",
		 VT_BOOL,
		 3,
		 {0, 1, 0}},
		{"cast with saturate",
		 19,
		 "const x f32 2 = 1,-2; y = Cast(x) to=7 saturate=0; out y",
		 VT_I64,
		 2,
		 {1, -2}},
	};

	run_values(t, VT_COUNT(t));
}

static void test_spatial(void **state)
{
	static const struct value t[] = {
		{"average of a dilated window",
		 19,
		 "const x f32 1,1,5 = 1,2,3,4,5; y = AveragePool(x) kernel_shape=[2] "
		 "dilations=[3]; "
		 "out y",
		 VT_F32,
		 2,
		 {2.5, 3.5}},
		{"pad around",
		 19,
		 "const x f32 3 = 1,2,3; const p i64 2 = 2,4; y = Pad(x,p) mode=wrap; out y",
		 VT_F32,
		 9,
		 {2, 3, 1, 2, 3, 1, 2, 3, 1}},
		{"pad around, cropping",
		 19,
		 "const x i64 3 = 1,2,3; const p i64 2 = -1,2; y = Pad(x,p) mode=wrap; out y",
		 VT_I64,
		 4,
		 {2, 3, 1, 2}},
		{"resize, symmetric",
		 19,
		 "const x f32 4 = 0,10,20,30; const s f32 1 = 0.6; y = Resize(x,-,s) mode=linear "
		 "coordinate_transformation_mode=half_pixel_symmetric; out y",
		 VT_F32,
		 2,
		 {20.0 / 3, 70.0 / 3}},
		{"resize, both at most",
		 18,
		 "const x f32 2,4 = 0,1,2,3,4,5,6,7; const z i64 2 = 4,5; y = Resize(x,-,-,z) "
		 "keep_aspect_ratio_policy=not_larger nearest_mode=floor "
		 "coordinate_transformation_mode=asymmetric; out y",
		 VT_F32,
		 15,
		 {0, 0, 1, 2, 3, 0, 0, 1, 2, 3, 4, 4, 5, 6, 7}},
		{"resize, both at least",
		 19,
		 "const x f32 2,2 = 0,1,2,3; const z i64 2 = 4,3; y = Resize(x,-,-,z) "
		 "keep_aspect_ratio_policy=not_smaller nearest_mode=floor "
		 "coordinate_transformation_mode=asymmetric; out y",
		 VT_F32,
		 16,
		 {0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3}},
	};

	run_values(t, VT_COUNT(t));
}

static void test_norms(void **state)
{
	static const struct value t[] = {
		{"rms",
		 23,
		 "const x f32 2,2 = 3,4,0,0; const s f32 2 = 1,2; y = RMSNormalization(x,s) "
		 "epsilon=0.0; z = Slice(y,b,e); const b i64 1 = 0; const e i64 1 = 1; out z",
		 VT_F32,
		 2,
		 {0.848528137, 2.262741700}},
		{"rms over two axes, one scale",
		 23,
		 "const x f32 1,2,2 = 1,1,1,5; const s f32 1 = 2; y = RMSNormalization(x,s) axis=1 "
		 "epsilon=2.0; out y",
		 VT_F32,
		 4,
		 {2 / 3.0, 2 / 3.0, 2 / 3.0, 10 / 3.0}},
		{"rms of halves, scaled by floats",
		 23,
		 "const x f32 2 = 3,4; h = Cast(x) to=10; const s f32 2 = 1,2; y = "
		 "RMSNormalization(h,s) epsilon=0.0; out y",
		 VT_F32,
		 2,
		 {0.848528137, 2.262741700}},
		{"groups, a scale for each",
		 18,
		 "const x f32 1,4,1 = 1,3,10,30; const s f32 2 = 1,2; const b f32 2 = 0,1; y = "
		 "GroupNormalization(x,s,b) num_groups=2 epsilon=0.0; out y",
		 VT_F32,
		 4,
		 {-1, 1, -1, 3}},
		{"groups, a scale for each channel",
		 21,
		 "const x f32 1,4,1 = 1,3,10,30; const s f32 4 = 1,2,3,4; const b f32 4 = 0,0,1,1; "
		 "y = "
		 "GroupNormalization(x,s,b) num_groups=2 epsilon=0.0; out y",
		 VT_F32,
		 4,
		 {-1, 2, -2, 5}},
		{"as many groups as channels",
		 21,
		 "const x f32 1,2,2 = 1,3,10,30; const s f32 2 = 1,2; const b f32 2 = 0,1; y = "
		 "GroupNormalization(x,s,b) num_groups=2 epsilon=0.0; out y",
		 VT_F32,
		 4,
		 {-1, 1, -1, 3}},
		{"halves by statistics of floats",
		 15,
		 "const x f32 1,2 = 3,4; h = Cast(x) to=10; const s f32 2 = 1,2; const b f32 2 = "
		 "0,1; "
		 "const m f32 2 = 1,2; const v f32 2 = 4,1; y = BatchNormalization(h,s,b,m,v) "
		 "epsilon=0.0; out y",
		 VT_F16,
		 2,
		 {1, 5}},
		{"floats by statistics of doubles",
		 14,
		 "const x f32 1,2 = 3,4; const s f32 2 = 1,2; const b f32 2 = 0,1; const m f64 2 = "
		 "1,2; const v f64 2 = 4,1; y = BatchNormalization(x,s,b,m,v) epsilon=0.0; out y",
		 VT_F32,
		 2,
		 {1, 5}},
		{"a norm of 0",
		 22,
		 "const x f32 2,2 = 0,0,3,4; y = LpNormalization(x) axis=1; out y",
		 VT_F32,
		 4,
		 {0, 0, 0.6, 0.8}},
	};

	run_values(t, VT_COUNT(t));
}

static void test_quantised(void **state)
{
	static const struct value t[] = {
		{"to uint16",
		 21,
		 "const x f32 5 = 0,128,3,1000,-5; const s f32 = 2; const o i64 = 32767; z = "
		 "Cast(o) "
		 "to=4; y = QuantizeLinear(x,s,z); out y",
		 VT_U16,
		 5,
		 {32767, 32831, 32769, 33267, 32765}},
		{"to int16, saturated",
		 21,
		 "const x f32 3 = 40000,-40000,7; const s f32 = 1; y = QuantizeLinear(x,s) "
		 "output_dtype=5; out y",
		 VT_I16,
		 3,
		 {32767, -32768, 7}},
		{"in blocks, the last shorter",
		 21,
		 "const x f32 1,3 = 1,2,30; const s f32 1,2 = 1,10; y = QuantizeLinear(x,s) "
		 "block_size=2 output_dtype=3; out y",
		 VT_I8,
		 3,
		 {1, 2, 3}},
		{"halves",
		 19,
		 "const x f32 2 = 3,-4; h = Cast(x) to=10; const s f32 = 2; g = Cast(s) to=10; "
		 "const z "
		 "i8 = 1; y = QuantizeLinear(h,g,z); out y",
		 VT_I8,
		 2,
		 {3, -1}},
		{"from blocks",
		 21,
		 "const x i8 3,1 = 1,2,3; const s f32 2,1 = 2,10; const z i8 2,1 = 1,0; y = "
		 "DequantizeLinear(x,s,z) axis=0 block_size=2; out y",
		 VT_F32,
		 3,
		 {0, 2, 30}},
		{"to the scale's halves",
		 19,
		 "const x i8 2 = 3,-4; const s f32 = 0.5; g = Cast(s) to=10; y = "
		 "DequantizeLinear(x,g); out y",
		 VT_F16,
		 2,
		 {1.5, -2}},
		{"to another type than the scale's",
		 23,
		 "const x i8 2 = 3,-4; const s f32 = 0.5; y = DequantizeLinear(x,s) "
		 "output_dtype=16; "
		 "out y",
		 VT_BF16,
		 2,
		 {1.5, -2}},
	};

	run_values(t, VT_COUNT(t));
}

/* Scores of 0 and ln 3 weigh 1/4 and 3/4; those of 0 and 2 ln 3, 1/10 and 9/10. */
#define KEYS "const k f32 1,1,2,1 = 0,1.09861229; const v f32 1,1,2,1 = 4,8; "

static void test_attention(void **state)
{
	static const struct value t[] = {
		{"attention",
		 23,
		 KEYS "const q f32 1,1,1,1 = 1; y = Attention(q,k,v); out y",
		 VT_F32,
		 1,
		 {7}},
		{"scaled",
		 23,
		 KEYS "const q f32 1,1,1,1 = 1; y = Attention(q,k,v) scale=2.0; out y",
		 VT_F32,
		 1,
		 {7.6}},
		{"causal",
		 23,
		 KEYS "const q f32 1,1,2,1 = 1,1; y = Attention(q,k,v) is_causal=1; out y",
		 VT_F32,
		 2,
		 {4, 7}},
		{"capped",
		 23,
		 KEYS "const q f32 1,1,1,1 = 1; y = Attention(q,k,v) softcap=1.0; out y",
		 VT_F32,
		 1,
		 {6.759897925}},
		{"masked",
		 23,
		 KEYS
		 "const q f32 1,1,2,1 = 1,1; const a b 2,2 = 0,1,1,1; y = Attention(q,k,v,a); out "
		 "y",
		 VT_F32,
		 2,
		 {8, 7}},
		{"a row that sees nothing",
		 23,
		 KEYS
		 "const q f32 1,1,2,1 = 1,1; const a b 2,2 = 0,0,1,1; y = Attention(q,k,v,a); out "
		 "y",
		 VT_F32,
		 2,
		 {0, 7}},
		{"masks that leave nothing together",
		 23,
		 KEYS "const q f32 1,1,2,1 = 1,1; const a b 2,2 = 0,1,1,1; y = Attention(q,k,v,a) "
		      "is_causal=1; out y",
		 VT_F32,
		 2,
		 {0, 7}},
		{"a bias",
		 23,
		 KEYS "const q f32 1,1,1,1 = 1; const a f32 1,2 = 0,1.09861229; y = "
		      "Attention(q,k,v,a); out y",
		 VT_F32,
		 1,
		 {7.6}},
		{"two heads on one, rows of both",
		 23,
		 "const k f32 1,2,1 = 0,1.09861229; const v f32 1,2,1 = 4,8; const q f32 1,1,2 = "
		 "1,2; "
		 "y = Attention(q,k,v) q_num_heads=2 kv_num_heads=1; out y",
		 VT_F32,
		 2,
		 {7, 7.6}},
		{"values of another width",
		 23,
		 "const k f32 1,1,2,1 = 0,1.09861229; const v f32 1,1,2,2 = 4,0,8,4; const q f32 "
		 "1,1,1,1 = 1; y = Attention(q,k,v); out y",
		 VT_F32,
		 2,
		 {7, 3}},
		{"a past",
		 23,
		 "const p f32 1,1,1,1 = 0; const o f32 1,1,1,1 = 4; const k f32 1,1,1,1 = "
		 "1.09861229; "
		 "const v f32 1,1,1,1 = 8; const q f32 1,1,1,1 = 1; y,n = Attention(q,k,v,-,p,o) "
		 "is_causal=1; z = Concat(y,n) axis=2; out z",
		 VT_F32,
		 3,
		 {7, 0, 1.09861229}},
		{"the scores",
		 23,
		 KEYS
		 "const q f32 1,1,1,1 = 1; y,a,b,s = Attention(q,k,v) qk_matmul_output_mode=3; out "
		 "s",
		 VT_F32,
		 2,
		 {0.25, 0.75}},
		{"halves",
		 23,
		 KEYS "const q f32 1,1,1,1 = 0; g = Cast(q) to=10; h = Cast(k) to=10; i = Cast(v) "
		      "to=10; "
		      "y = Attention(g,h,i); out y",
		 VT_F16,
		 1,
		 {6}},
	};

	run_values(t, VT_COUNT(t));
}

static void test_rotation(void **state)
{
	static const struct value t[] = {
		{"by position",
		 23,
		 "const x f32 1,1,1,2 = 1,2; const c f32 2,1 = 1,0; const s f32 2,1 = 0,1; const p "
		 "i64 "
		 "1,1 = 1; y = RotaryEmbedding(x,c,s,p); out y",
		 VT_F32,
		 2,
		 {-2, 1}},
		{"pairs",
		 23,
		 "const x f32 1,1,1,4 = 1,2,3,4; const c f32 1,1,2 = 0,1; const s f32 1,1,2 = 1,0; "
		 "y = "
		 "RotaryEmbedding(x,c,s) interleaved=1; out y",
		 VT_F32,
		 4,
		 {-2, 1, 3, 4}},
		{"halves",
		 23,
		 "const x f32 1,1,1,4 = 1,2,3,4; const c f32 1,1,2 = 0,1; const s f32 1,1,2 = 1,0; "
		 "y = "
		 "RotaryEmbedding(x,c,s); out y",
		 VT_F32,
		 4,
		 {-3, 2, 1, 4}},
		{"a part of each head",
		 23,
		 "const x f32 1,1,1,3 = 1,2,9; const c f32 1,1,1 = 0; const s f32 1,1,1 = 1; y = "
		 "RotaryEmbedding(x,c,s) rotary_embedding_dim=2; out y",
		 VT_F32,
		 3,
		 {-2, 1, 9}},
		{"rows of two heads",
		 23,
		 "const x f32 1,2,4 = 1,2,3,4,5,6,7,8; const c f32 1,2,1 = 0,1; const s f32 1,2,1 "
		 "= "
		 "1,0; y = RotaryEmbedding(x,c,s) num_heads=2; out y",
		 VT_F32,
		 8,
		 {-2, 1, -4, 3, 5, 6, 7, 8}},
	};

	run_values(t, VT_COUNT(t));
}

/* New operators end as the nodes that their older spellings end as. */
static void test_kernels(void **state)
{
	static const struct row rows[] = {
		{"gelu", 20, "in x f32 2,8; const w f32 8,8; a = MatMul(x,w); y = Gelu(a); out y",
		 "FullyConnected -> float32 2x8"},
		{"rms norm", 23, "in x f32 2,8; const s f32 8; y = RMSNormalization(x,s); out y",
		 "LayerNormalization -> float32 2x8"},
		{"attention", 23,
		 "in q f32 1,4,32; in k f32 1,6,32; y = Attention(q,k,k) q_num_heads=2 "
		 "kv_num_heads=2; out y",
		 "Attention -> float32 1x4x32"},
		{"causal attention", 23,
		 "in q f32 1,4,32; y = Attention(q,q,q) q_num_heads=2 kv_num_heads=2 is_causal=1; "
		 "out "
		 "y",
		 "Attention -> float32 1x4x32"},
	};
	struct vt_err e = {0};
	char got[512];

	if (!vt_kernel_eval.attends || !vt_kernel_eval.attends())
		vt_skip("no kernel for attention on this CPU");
	for (size_t i = 0; i < VT_COUNT(rows); i++) {
		struct vt_graph g;

		import_text(&g, rows[i].what, rows[i].text, rows[i].opset);
		if (vt_optimize(&g, &vt_kernel_eval, &e))
			fail_msg("%s: %s", rows[i].what, e.msg);
		describe(&g, got, sizeof(got));
		if (strcmp(got, rows[i].want))
			fail_msg("%s:\n  got  %s\n  want %s", rows[i].what, got, rows[i].want);
		vt_graph_fini(&g);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_elements),  cmocka_unit_test(test_spatial),
		cmocka_unit_test(test_norms),	  cmocka_unit_test(test_quantised),
		cmocka_unit_test(test_attention), cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_kernels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
