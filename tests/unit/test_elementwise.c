// SPDX-License-Identifier: Apache-2.0
/* Unary, binary, comparison, logic, Cast: what ONNX says, type by type, and broadcasting. */
#include "ops.h"

#define F VT_F32
#define D VT_F64
#define B VT_BOOL
#define L VT_I64
#define I VT_I32
#define S VT_I8
#define U VT_U8

static const struct t_case cases[] = {
	/* unary */
	{"relu", VT_OP_RELU, {{F, "4", {-1, 0, 2, NAN}}}, {{F, "4", {0, 0, 2, NAN}}}},
	{"relu i32", VT_OP_RELU, {{I, "3", {-1, 0, 2}}}, {{I, "3", {0, 0, 2}}}},
	{"relu f64", VT_OP_RELU, {{D, "3", {-1, 0, 2}}}, {{D, "3", {0, 0, 2}}}},
	{"relu f16", VT_OP_RELU, {{VT_F16, "3", {-1, 0.5, 2}}}, {{VT_F16, "3", {0, 0.5, 2}}}},
	{"abs i8", VT_OP_ABS, {{S, "3", {-128, -1, 5}}}, {{S, "3", {-128, 1, 5}}}},
	{"abs u8", VT_OP_ABS, {{U, "3", {0, 1, 255}}}, {{U, "3", {0, 1, 255}}}},
	{"neg i64", VT_OP_NEG, {{L, "3", {-3, 0, 7}}}, {{L, "3", {3, 0, -7}}}},
	{"hard sigmoid f64",
	 VT_OP_HARD_SIGMOID,
	 {{D, "4", {-9, 0, 9, NAN}}},
	 {{D, "4", {0, 0.5, 1, NAN}}},
	 {.scalar = {0.25, 0.5}}},
	{"sign i8", VT_OP_SIGN, {{S, "3", {-128, 0, 5}}}, {{S, "3", {-1, 0, 1}}}},
	{"sign u64", VT_OP_SIGN, {{VT_U64, "2", {0, 5}}}, {{VT_U64, "2", {0, 1}}}},
	{"clip",
	 VT_OP_CLIP,
	 {{F, "4", {-9, 0.5, 9, NAN}}},
	 {{F, "4", {-1, 0.5, 1, NAN}}},
	 {.scalar = {-1, 1}}},
	{"clip min above max",
	 VT_OP_CLIP,
	 {{F, "3", {-9, 0, 9}}},
	 {{F, "3", {1, 1, 1}}},
	 {.scalar = {2, 1}}},
	{"clip i8 unbounded",
	 VT_OP_CLIP,
	 {{S, "3", {-128, 0, 127}}},
	 {{S, "3", {-128, 0, 3}}},
	 {.scalar = {-INFINITY, 3}}},
	{"round half to even",
	 VT_OP_ROUND,
	 {{F, "8", {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.9, 1e10}}},
	 {{F, "8", {-2, -2, 0, 0, 2, 2, 1, 1e10}}}},
	{"round f64", VT_OP_ROUND, {{D, "3", {-2.5, 1.5, 0.4}}}, {{D, "3", {-2, 2, 0}}}},
	{"not", VT_OP_NOT, {{B, "2", {0, 1}}}, {{B, "2", {1, 0}}}},
	{"isnan", VT_OP_IS_NAN, {{F, "3", {NAN, 1, INFINITY}}}, {{B, "3", {1, 0, 0}}}},
	{"isinf",
	 VT_OP_IS_INF,
	 {{F, "4", {NAN, 1, INFINITY, -INFINITY}}},
	 {{B, "4", {0, 0, 1, 1}}},
	 {.scalar = {1, 1}}},
	{"isinf positive only",
	 VT_OP_IS_INF,
	 {{D, "2", {INFINITY, -INFINITY}}},
	 {{B, "2", {1, 0}}},
	 {.scalar = {0, 1}}},
	{"sin", VT_OP_SIN, {{F, "2", {0, 1}}}, {{F, "2", {0, 0.8414709848}}}, {{0}}, 1e-6},
	{"acosh f64", VT_OP_ACOSH, {{D, "1", {2}}}, {{D, "1", {1.3169578969248166}}}, {{0}}, 1e-15},
	{"scalar", VT_OP_EXP, {{F, "", {0}}}, {{F, "", {1}}}},
	{"nothing", VT_OP_EXP, {{F, "2x0", {0}}}, {{F, "2x0", {0}}}},

	/* broadcasting */
	{"add", VT_OP_ADD, {{F, "3", {1, 2, 3}}, {F, "3", {10, 20, 30}}}, {{F, "3", {11, 22, 33}}}},
	{"row + scalar", VT_OP_ADD, {{F, "2", {1, 2}}, {F, "", {5}}}, {{F, "2", {6, 7}}}},
	{"scalar - row", VT_OP_SUB, {{F, "", {5}}, {F, "2", {1, 2}}}, {{F, "2", {4, 3}}}},
	{"outer",
	 VT_OP_MUL,
	 {{F, "2x1", {1, 2}}, {F, "3", {1, 10, 100}}},
	 {{F, "2x3", {1, 10, 100, 2, 20, 200}}}},
	{"per channel",
	 VT_OP_MUL,
	 {{F, "2x2x2", {1, 2, 3, 4, 5, 6, 7, 8}}, {F, "2x1x2", {1, 10, 100, 1000}}},
	 {{F, "2x2x2", {1, 20, 3, 40, 500, 6000, 700, 8000}}}},
	{"rank 0 and 3", VT_OP_SUB, {{F, "1x1x1", {3}}, {F, "", {1}}}, {{F, "1x1x1", {2}}}},
	{"middle",
	 VT_OP_ADD,
	 {{L, "1x2x1", {10, 20}}, {L, "2x1x2", {1, 2, 3, 4}}},
	 {{L, "2x2x2", {11, 12, 21, 22, 13, 14, 23, 24}}}},
	{"empty", VT_OP_ADD, {{F, "0x3", {0}}, {F, "3", {1, 2, 3}}}, {{F, "0x3", {0}}}},

	/* types */
	{"div i32 truncates, 0 for /0",
	 VT_OP_DIV,
	 {{I, "5", {7, -7, 7, -7, 1}}, {I, "5", {2, 2, -2, -2, 0}}},
	 {{I, "5", {3, -3, -3, 3, 0}}}},
	{"div i32 min by -1",
	 VT_OP_DIV,
	 {{I, "1", {-2147483648.0}}, {I, "1", {-1}}},
	 {{I, "1", {-2147483648.0}}}},
	{"add i8 wraps", VT_OP_ADD, {{S, "1", {127}}, {S, "1", {1}}}, {{S, "1", {-128}}}},
	{"sub u8 wraps", VT_OP_SUB, {{U, "1", {0}}, {U, "1", {1}}}, {{U, "1", {255}}}},
	{"mod i32 sign of divisor",
	 VT_OP_MOD,
	 {{I, "6", {-4, 7, 5, 4, -7, 8}}, {I, "6", {2, -3, 8, -2, 3, 5}}},
	 {{I, "6", {0, -2, 5, 0, 2, 3}}}},
	{"div i32 by the largest",
	 VT_OP_DIV,
	 {{I, "2", {2147483647, -5}}, {I, "2", {2147483647, 2147483647}}},
	 {{I, "2", {1, 0}}}},
	{"mod i32 by the largest",
	 VT_OP_MOD,
	 {{I, "2", {2147483647, 5}}, {I, "2", {2147483647, 2147483647}}},
	 {{I, "2", {0, 5}}}},
	{"mod u8", VT_OP_MOD, {{U, "2", {7, 9}}, {U, "2", {4, 0}}}, {{U, "2", {3, 0}}}},
	{"fmod f32",
	 VT_OP_MOD,
	 {{F, "3", {-4.5, 7, 5}}, {F, "3", {2, -3, 8}}},
	 {{F, "3", {-0.5, 1, 5}}},
	 {.axis = 1}},
	{"fmod i64",
	 VT_OP_MOD,
	 {{L, "2", {-7, 7}}, {L, "2", {3, -3}}},
	 {{L, "2", {-1, 1}}},
	 {.axis = 1}},
	{"fmod f16",
	 VT_OP_MOD,
	 {{VT_F16, "2", {-4.5, 7}}, {VT_F16, "2", {2, -3}}},
	 {{VT_F16, "2", {-0.5, 1}}},
	 {.axis = 1}},
	{"max keeps NaN",
	 VT_OP_MAX,
	 {{F, "4", {NAN, 1, 2, -1}}, {F, "4", {1, NAN, 1, 3}}},
	 {{F, "4", {NAN, NAN, 2, 3}}}},
	{"min keeps NaN f64",
	 VT_OP_MIN,
	 {{D, "3", {NAN, 1, 2}}, {D, "3", {1, NAN, 1}}},
	 {{D, "3", {NAN, NAN, 1}}}},
	{"max u64",
	 VT_OP_MAX,
	 {{VT_U64, "2", {1, 0x1p63}}, {VT_U64, "2", {2, 3}}},
	 {{VT_U64, "2", {2, 0x1p63}}}},
	{"pow", VT_OP_POW, {{F, "3", {1, 2, 3}}, {F, "3", {4, 5, 6}}}, {{F, "3", {1, 32, 729}}}},
	{"pow 2", VT_OP_POW, {{F, "2", {-3, 4}}, {F, "", {2}}}, {{F, "2", {9, 16}}}},
	{"pow 1/2",
	 VT_OP_POW,
	 {{F, "3", {4, 9, -INFINITY}}, {F, "", {0.5}}},
	 {{F, "3", {2, 3, INFINITY}}}},
	{"pow -1", VT_OP_POW, {{F, "2", {4, -0.5}}, {F, "", {-1}}}, {{F, "2", {0.25, -2}}}},
	{"pow f32 i64", VT_OP_POW, {{F, "2", {2, 3}}, {L, "2", {3, 2}}}, {{F, "2", {8, 9}}}},
	{"pow i64 f32", VT_OP_POW, {{L, "2", {2, 9}}, {F, "2", {3, 0.5}}}, {{L, "2", {8, 3}}}},
	{"pow i32",
	 VT_OP_POW,
	 {{I, "3", {-2, 3, 2}}, {I, "3", {3, 4, -1}}},
	 {{I, "3", {-8, 81, 0}}}},
	{"prelu",
	 VT_OP_PRELU,
	 {{F, "2x2", {-1, 2, -3, -4}}, {F, "2", {0.5, 0.25}}},
	 {{F, "2x2", {-0.5, 2, -1.5, -1}}}},
	{"shift left",
	 VT_OP_BIT_SHIFT,
	 {{U, "3", {1, 128, 3}}, {U, "3", {1, 1, 9}}},
	 {{U, "3", {2, 0, 0}}},
	 {.axis = 1}},
	{"shift right",
	 VT_OP_BIT_SHIFT,
	 {{VT_U32, "2", {16, 5}}, {VT_U32, "2", {2, 40}}},
	 {{VT_U32, "2", {4, 0}}}},
	{"equal", VT_OP_EQUAL, {{L, "3", {1, 2, 3}}, {L, "", {2}}}, {{B, "3", {0, 1, 0}}}},
	{"equal bool", VT_OP_EQUAL, {{B, "2", {1, 0}}, {B, "2", {1, 1}}}, {{B, "2", {1, 0}}}},
	{"less", VT_OP_LESS, {{F, "3", {1, NAN, 3}}, {F, "3", {2, 2, 2}}}, {{B, "3", {1, 0, 0}}}},
	{"greater", VT_OP_GREATER, {{F, "3", {1, NAN, 3}}, {F, "", {2}}}, {{B, "3", {0, 0, 1}}}},
	{"greater or equal",
	 VT_OP_GREATER_EQUAL,
	 {{D, "3", {1, 2, 3}}, {D, "1", {2}}},
	 {{B, "3", {0, 1, 1}}}},
	{"less f16", VT_OP_LESS, {{VT_F16, "2", {1, 3}}, {VT_F16, "", {2}}}, {{B, "2", {1, 0}}}},
	{"and", VT_OP_AND, {{B, "2x1", {1, 0}}, {B, "2", {1, 0}}}, {{B, "2x2", {1, 0, 0, 0}}}},
	{"xor", VT_OP_XOR, {{B, "2", {1, 1}}, {B, "2", {1, 0}}}, {{B, "2", {0, 1}}}},

	/* casts */
	{"f32 to i32", VT_OP_CAST, {{F, "4", {1.9, -1.9, 0.5, -0.5}}}, {{I, "4", {1, -1, 0, 0}}}},
	{"f32 to i8 saturates",
	 VT_OP_CAST,
	 {{F, "5", {127.9, 128, -128.9, -129, NAN}}},
	 {{S, "5", {127, 127, -128, -128, 0}}}},
	{"f64 to u64",
	 VT_OP_CAST,
	 {{D, "4", {-0.5, -1, 0x1p63, 0x1p64}}},
	 {{VT_U64, "4", {0, 0, 0x1p63, 0x1p64}}}},
	{"f32 to i64", VT_OP_CAST, {{F, "2", {0x1p63, -0x1p63}}}, {{L, "2", {0x1p63, -0x1p63}}}},
	{"f32 to bool", VT_OP_CAST, {{F, "3", {0.25, 0, NAN}}}, {{B, "3", {1, 0, 1}}}},
	{"bool to f32", VT_OP_CAST, {{B, "2", {1, 0}}}, {{F, "2", {1, 0}}}},
	{"bool to f16", VT_OP_CAST, {{B, "2", {1, 0}}}, {{VT_F16, "2", {1, 0}}}},
	{"i64 to i32 wraps", VT_OP_CAST, {{L, "1", {0x1p32 + 5}}}, {{I, "1", {5}}}},
	{"f16 to f64", VT_OP_CAST, {{VT_F16, "2", {0.5, -2}}}, {{D, "2", {0.5, -2}}}},
	{"f16 to i8", VT_OP_CAST, {{VT_F16, "2", {1.5, -2}}}, {{S, "2", {1, -2}}}},
	{"bf16 to f16", VT_OP_CAST, {{VT_BF16, "1", {1.5}}}, {{VT_F16, "1", {1.5}}}},
	/* 1 + 2^-11 + 2^-40 lies above the middle; as a float it would be the middle, and go to 1
	 */
	{"f64 to f16 rounds once",
	 VT_OP_CAST,
	 {{D, "2", {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11}}},
	 {{VT_F16, "2", {1 + 0x1p-10, 1}}}},
	{"same type", VT_OP_CAST, {{L, "2", {1, 2}}}, {{L, "2", {1, 2}}}},
};

static void tables(void **state)
{
	for (size_t i = 0; i < VT_COUNT(cases); i++)
		t_run_case(&cases[i]);
}

/* Random shapes: each dim of each input is the output's or 1. Reference: index by index. */
static void random_broadcast(void **state)
{
	struct vt_rng r = {11};

	for (int round = 0; round < 300; round++) {
		struct vt_shape out = {.rank = (int)(1 + vt_rng_below(&r, 5))}, in[2];
		struct t_node t = {.n = {.op = round % 2 ? VT_OP_SUB : VT_OP_DIV}};
		const float *x[2], *y;
		size_t n;

		for (int d = 0; d < out.rank; d++)
			out.dim[d] = (int64_t)(1 + vt_rng_below(&r, round % 7 ? 6 : 40));
		for (int k = 0; k < 2; k++) {
			in[k] = out;
			for (int d = 0; d < out.rank; d++)
				in[k].dim[d] = vt_rng_below(&r, 3) ? out.dim[d] : 1;
			t_add(&t, false, VT_F32, in[k]);
			t_random(&t, k, r.s, 1, 2);
			x[k] = t.data[k];
		}
		vt_shape_broadcast(&in[0], &in[1], &out);
		y = t_add(&t, true, VT_F32, out);
		assert_int_equal(t_run(&t), 0);
		n = t_count(&t, 2);
		for (size_t i = 0; i < n; i++) {
			size_t rest = i, at[2] = {0}, step[2] = {1, 1};

			for (int d = out.rank - 1; d >= 0; d--) {
				size_t idx = rest % (size_t)out.dim[d];

				rest /= (size_t)out.dim[d];
				for (int k = 0; k < 2; k++) {
					at[k] += in[k].dim[d] == 1 ? 0 : idx * step[k];
					step[k] *= (size_t)in[k].dim[d];
				}
			}
			assert_true(y[i] == (round % 2 ? x[0][at[0]] - x[1][at[1]]
						       : x[0][at[0]] / x[1][at[1]]));
		}
		t_free(&t);
	}
}

/* What no kernel takes is refused by operator and type, the caller adds which node, and leaves nothing behind. */
static void refused(void **state)
{
	struct t_node t = {.n = {.op = VT_OP_SIN}};
	struct vt_err e = {0};
	struct vt_layer l;

	t_in(&t, VT_I32, "2");
	t_out(&t, VT_I32, "2");
	assert_int_equal(vt_layer_create(&l, &t.g, &t.n, 1, &e), -ENOTSUP);
	assert_non_null(strstr(e.msg, "Sin of int32"));
	assert_null(l.kernel);
	vt_layer_destroy(&l);
	t_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(random_broadcast),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests_name("elementwise", tests, NULL, NULL);
}
