// SPDX-License-Identifier: Apache-2.0
/* Reductions, Softmax and the normalisations: tables, and random shapes against sums in double. */
#include "ops.h"

#define F VT_F32
#define D VT_F64
#define L VT_I64

static const struct t_case cases[] = {
	{"sum rows",
	 VT_OP_REDUCE_SUM,
	 {{F, "2x3", {1, 2, 3, 4, 5, 6}}},
	 {{F, "2", {6, 15}}},
	 {.reduce = {2, false}}},
	{"sum columns",
	 VT_OP_REDUCE_SUM,
	 {{F, "2x3", {1, 2, 3, 4, 5, 6}}},
	 {{F, "1x3", {5, 7, 9}}},
	 {.reduce = {1, true}}},
	{"sum of all",
	 VT_OP_REDUCE_SUM,
	 {{F, "2x2", {1, 2, 3, 4}}},
	 {{F, "", {10}}},
	 {.reduce = {3}}},
	{"sum over no axis",
	 VT_OP_REDUCE_SUM,
	 {{F, "2x2", {1, 2, 3, 4}}},
	 {{F, "2x2", {1, 2, 3, 4}}}},
	{"logarithm of 0 as a whole number: the least there is",
	 VT_OP_REDUCE_LOG_SUM,
	 {{L, "2", {3, -3}}},
	 {{L, "", {-0x1p63}}},
	 {.reduce = {1}}},
	{"logarithm of less: no number, 0",
	 VT_OP_REDUCE_LOG_SUM,
	 {{L, "2", {3, -5}}},
	 {{L, "", {0}}},
	 {.reduce = {1}}},
	{"logarithm of 0 without a sign",
	 VT_OP_REDUCE_LOG_SUM,
	 {{VT_U64, "2", {0, 0}}},
	 {{VT_U64, "", {0}}},
	 {.reduce = {1}}},
	{"sum of nothing",
	 VT_OP_REDUCE_SUM,
	 {{F, "2x0", {0}}},
	 {{F, "2", {0, 0}}},
	 {.reduce = {2}}},
	{"mean i64", VT_OP_REDUCE_MEAN, {{L, "3", {1, 2, 5}}}, {{L, "", {2}}}, {.reduce = {1}}},
	{"max with NaN",
	 VT_OP_REDUCE_MAX,
	 {{F, "2x2", {1, NAN, 3, 2}}},
	 {{F, "2", {NAN, 3}}},
	 {.reduce = {2}}},
	{"max of nothing",
	 VT_OP_REDUCE_MAX,
	 {{F, "0x2", {0}}},
	 {{F, "2", {-INFINITY, -INFINITY}}},
	 {.reduce = {1}}},
	{"max of nothing, rows",
	 VT_OP_REDUCE_MAX,
	 {{F, "2x0", {0}}},
	 {{F, "2", {-INFINITY, -INFINITY}}},
	 {.reduce = {2}}},
	{"min of nothing",
	 VT_OP_REDUCE_MIN,
	 {{VT_F16, "0", {0}}},
	 {{VT_F16, "", {INFINITY}}},
	 {.reduce = {1}}},
	{"max of no i8",
	 VT_OP_REDUCE_MAX,
	 {{VT_I8, "0", {0}}},
	 {{VT_I8, "", {-128}}},
	 {.reduce = {1}}},
	{"min of no u8",
	 VT_OP_REDUCE_MIN,
	 {{VT_U8, "0", {0}}},
	 {{VT_U8, "", {255}}},
	 {.reduce = {1}}},
	{"max of no u32",
	 VT_OP_REDUCE_MAX,
	 {{VT_U32, "0", {0}}},
	 {{VT_U32, "", {0}}},
	 {.reduce = {1}}},
	{"max of no i64", VT_OP_REDUCE_MAX, {{L, "0", {0}}}, {{L, "", {-0x1p63}}}, {.reduce = {1}}},
	{"min of no u64",
	 VT_OP_REDUCE_MIN,
	 {{VT_U64, "0", {0}}},
	 {{VT_U64, "", {0x1p64}}},
	 {.reduce = {1}}},
	{"max of negatives",
	 VT_OP_REDUCE_MAX,
	 {{F, "3x2", {-4, -5, -3, -7, -9, -6}}},
	 {{F, "2", {-3, -5}}},
	 {.reduce = {1}}},
	{"max i8",
	 VT_OP_REDUCE_MAX,
	 {{VT_I8, "2", {-4, -3}}},
	 {{VT_I8, "", {-3}}},
	 {.reduce = {1}}},
	{"min u8", VT_OP_REDUCE_MIN, {{VT_U8, "2", {4, 3}}}, {{VT_U8, "", {3}}}, {.reduce = {1}}},
	{"prod i64", VT_OP_REDUCE_PROD, {{L, "3", {2, 3, -4}}}, {{L, "", {-24}}}, {.reduce = {1}}},
	{"prod f32", VT_OP_REDUCE_PROD, {{F, "3", {2, 3, 0.5}}}, {{F, "", {3}}}, {.reduce = {1}}},
	{"prod of nothing", VT_OP_REDUCE_PROD, {{L, "0", {0}}}, {{L, "", {1}}}, {.reduce = {1}}},
	{"l1", VT_OP_REDUCE_L1, {{F, "2", {-3, 4}}}, {{F, "", {7}}}, {.reduce = {1}}},
	{"l1 i32", VT_OP_REDUCE_L1, {{VT_I32, "2", {-3, 4}}}, {{VT_I32, "", {7}}}, {.reduce = {1}}},
	{"l2", VT_OP_REDUCE_L2, {{F, "2", {-3, 4}}}, {{F, "", {5}}}, {.reduce = {1}}},
	{"l2 f64", VT_OP_REDUCE_L2, {{D, "2", {-3, 4}}}, {{D, "", {5}}}, {.reduce = {1}}},
	{"sum of squares",
	 VT_OP_REDUCE_SUM_SQUARE,
	 {{F, "2", {-3, 4}}},
	 {{F, "", {25}}},
	 {.reduce = {1}}},
	{"log sum",
	 VT_OP_REDUCE_LOG_SUM,
	 {{F, "2", {3, 4}}},
	 {{F, "", {1.9459101490553132}}},
	 {.reduce = {1}},
	 1e-6},
	{"log sum exp of large values",
	 VT_OP_REDUCE_LOG_SUM_EXP,
	 {{F, "2", {1000, 1000}}},
	 {{F, "", {1000.6931471805599}}},
	 {.reduce = {1}},
	 1e-6},
	{"mean f16",
	 VT_OP_REDUCE_MEAN,
	 {{VT_F16, "4", {1, 2, 3, 4}}},
	 {{VT_F16, "", {2.5}}},
	 {.reduce = {1}}},
	{"global average",
	 VT_OP_GLOBALAVGPOOL,
	 {{F, "1x2x2x2", {1, 10, 2, 20, 3, 30, 4, 40}}},
	 {{F, "1x1x1x2", {2.5, 25}}}},
	{"global max, 1-D",
	 VT_OP_GLOBALMAXPOOL,
	 {{F, "2x2x2", {1, 10, 2, -20, 3, -30, 4, -40}}},
	 {{F, "2x1x2", {2, 10, 4, -30}}}},
	{"softmax",
	 VT_OP_SOFTMAX,
	 {{F, "2x2", {0, 0, 1000, 0}}},
	 {{F, "2x2", {0.5, 0.5, 1, 0}}},
	 {.axis = 1},
	 1e-6},
	{"softmax, outer axis",
	 VT_OP_SOFTMAX,
	 {{F, "2x2", {0, 1000, 0, 0}}},
	 {{F, "2x2", {0.5, 1, 0.5, 0}}},
	 {.axis = 0},
	 1e-6},
	{"softmax masked with -inf",
	 VT_OP_SOFTMAX,
	 {{F, "3", {1, -INFINITY, 1}}},
	 {{F, "3", {0.5, 0, 0.5}}},
	 {.axis = 0},
	 1e-6},
	{"log softmax",
	 VT_OP_LOGSOFTMAX,
	 {{F, "2", {1e4, 1e4 + 1}}},
	 {{F, "2", {-1.3132616875182228, -0.31326168751822286}}},
	 {.axis = 0},
	 1e-6},
	{"softmax f64", VT_OP_SOFTMAX, {{D, "2", {0, 0}}}, {{D, "2", {0.5, 0.5}}}, {.axis = 0}},
	{"layer norm without bias",
	 VT_OP_LAYER_NORM,
	 {{F, "1x4", {1, 2, 3, 4}}, {F, "4", {1, 1, 2, 1}}},
	 {{F, "1x4", {-1.3416407865, -0.4472135955, 0.894427191, 1.3416407865}},
	  {F, "1x1", {2.5}},
	  {F, "1x1", {0.894427191}}},
	 {.norm = {1, 0}},
	 1e-6},
	/* one large mean and tiny differences: what a one-pass variance gets wrong */
	{"layer norm, large mean",
	 VT_OP_LAYER_NORM,
	 {{F, "2", {100000, 100002}}, {F, "2", {1, 1}}, {F, "2", {0, 10}}},
	 {{F, "2", {-1, 11}}},
	 {.norm = {0, 0}},
	 1e-6},
	{"rms norm",
	 VT_OP_LAYER_NORM,
	 {{F, "2x2", {3, 4, 0, 0}}, {F, "2", {1, 2}}, {F, "2", {0, 1}}},
	 {{F, "2x2", {0.8485281374, 3.2627416998, 0, 1}}},
	 {.norm = {1, 1e-9f, true}},
	 1e-6},
	{"instance norm",
	 VT_OP_INSTANCE_NORM,
	 {{F, "1x2x1x2", {1, 10, 3, 30}}, {F, "2", {1, 2}}, {F, "2", {0, 1}}},
	 {{F, "1x2x1x2", {-1, -1, 1, 3}}},
	 {.norm = {0, 0}},
	 1e-5},
	{"batch norm",
	 VT_OP_BATCH_NORM,
	 {{F, "2x2", {1, 2, 3, 4}},
	  {F, "2", {1, 2}},
	  {F, "2", {0, 1}},
	  {F, "2", {2, 3}},
	  {F, "2", {4, 1}}},
	 {{F, "2x2", {-0.5, -1, 0.5, 3}}},
	 {.norm = {1, 0}},
	 1e-6},
	{"lrn",
	 VT_OP_LRN,
	 {{F, "1x1x1x4", {1, 2, 3, 4}}},
	 {{F, "1x1x1x4", {1.0 / 6, 2.0 / 15, 0.1, 4.0 / 26}}},
	 {.lrn = {3, 1, 1, 3}},
	 1e-5},
};

static void tables(void **state)
{
	for (size_t i = 0; i < VT_COUNT(cases); i++)
		t_run_case(&cases[i]);
}

static const struct {
	enum vt_op op;
	double init;
} folds[] = {
	{VT_OP_REDUCE_SUM, 0},	       {VT_OP_REDUCE_MEAN, 0}, {VT_OP_REDUCE_MAX, -INFINITY},
	{VT_OP_REDUCE_MIN, INFINITY},  {VT_OP_REDUCE_L1, 0},   {VT_OP_REDUCE_L2, 0},
	{VT_OP_REDUCE_SUM_SQUARE, 0},  {VT_OP_REDUCE_PROD, 1}, {VT_OP_REDUCE_LOG_SUM, 0},
	{VT_OP_REDUCE_LOG_SUM_EXP, 0},
};

static double step(enum vt_op op, double acc, double x)
{
	switch (op) {
	case VT_OP_REDUCE_MAX:
		return fmax(acc, x);
	case VT_OP_REDUCE_MIN:
		return fmin(acc, x);
	case VT_OP_REDUCE_L1:
		return acc + fabs(x);
	case VT_OP_REDUCE_L2:
	case VT_OP_REDUCE_SUM_SQUARE:
		return acc + x * x;
	case VT_OP_REDUCE_PROD:
		return acc * x;
	case VT_OP_REDUCE_LOG_SUM_EXP:
		return acc + exp(x);
	default:
		return acc + x;
	}
}

static double last(enum vt_op op, double acc, double n)
{
	switch (op) {
	case VT_OP_REDUCE_MEAN:
		return acc / n;
	case VT_OP_REDUCE_L2:
		return sqrt(acc);
	case VT_OP_REDUCE_LOG_SUM:
	case VT_OP_REDUCE_LOG_SUM_EXP:
		return log(acc);
	default:
		return acc;
	}
}

/* Any axes of any shape, f32 and f64, against one loop over the input. */
static void random_axes(void **state)
{
	struct vt_rng r = {31};

	for (int round = 0; round < 400; round++) {
		enum vt_op op = folds[round % 10].op;
		enum vt_dtype dt = round % 3 ? F : D;
		struct vt_shape x = {.rank = (int)(1 + vt_rng_below(&r, 5))}, y = {0};
		struct t_node t = {.n = {.op = op}};
		uint32_t axes = (uint32_t)vt_rng_below(&r, 1u << x.rank);
		double *want;
		size_t n, outs;

		for (int d = 0; d < x.rank; d++)
			x.dim[d] = (int64_t)(1 + vt_rng_below(&r, round % 9 ? 7 : 30));
		for (int d = 0; d < x.rank; d++)
			if (!(axes >> d & 1))
				y.dim[y.rank++] = x.dim[d];
		t.n.p.reduce.axes = axes;
		t_add(&t, false, dt, x);
		t_random(&t, 0, r.s, op == VT_OP_REDUCE_PROD ? 0.99 : 0.1, 1.01);
		t_add(&t, true, dt, y);
		assert_int_equal(t_run(&t), 0);
		n = t_count(&t, 0);
		outs = t_count(&t, 1);
		want = malloc(outs * sizeof(*want));
		assert_non_null(want);
		for (size_t i = 0; i < outs; i++)
			want[i] = folds[round % 10].init;
		for (size_t i = 0; i < n; i++) {
			size_t rest = i, at = 0, scale = 1;

			for (int d = x.rank - 1; d >= 0; d--) {
				size_t idx = rest % (size_t)x.dim[d];

				rest /= (size_t)x.dim[d];
				at += axes >> d & 1 ? 0 : idx * scale;
				scale *= axes >> d & 1 ? 1 : (size_t)x.dim[d];
			}
			want[at] = step(op, want[at], t_get(t.data[0], dt, i));
		}
		for (size_t i = 0; i < outs; i++)
			want[i] = last(op, want[i], (double)(n / outs));
		t_expect(&t, 0, want, dt == F ? 2e-6 : 1e-12, 1e-6, vt_op_name(op));
		free(want);
		t_free(&t);
	}
}

/* Images are reduced in parts of their pixels: all of them, once, and the same bits on any cores (t_run). */
static void images(void **state)
{
	static const struct vt_shape shapes[] = {
		{4, {1, 56, 57, 33}}, {4, {3, 7, 7, 1152}}, {4, {2, 14, 13, 300}},
		{4, {1, 1, 4096, 1}}, {4, {1, 5, 3, 600}},  {3, {2, 100, 48}},
	};

	for (size_t i = 0; i < VT_COUNT(shapes) * 10; i++) {
		const struct vt_shape *x = &shapes[i / 10];
		const size_t c = (size_t)x->dim[x->rank - 1];
		const enum vt_op op = folds[i % 10].op;
		struct t_node t = {.n = {.op = op}};
		struct vt_shape y = {2, {x->dim[0], x->dim[x->rank - 1]}};
		double *want = calloc((size_t)x->dim[0] * c, sizeof(*want));
		size_t pixels;

		assert_non_null(want);
		t.n.p.reduce.axes = (1u << (x->rank - 1)) - 2;
		t_add(&t, false, F, *x);
		t_random(&t, 0, i + 1, op == VT_OP_REDUCE_PROD ? 0.999 : 0.1, 1.0001);
		t_add(&t, true, F, y);
		assert_int_equal(t_run(&t), 0);
		pixels = t_count(&t, 0) / (size_t)x->dim[0] / c;
		for (size_t k = 0; k < (size_t)x->dim[0] * c; k++)
			want[k] = folds[i % 10].init;
		for (size_t k = 0; k < t_count(&t, 0); k++) {
			double *w = &want[k / c / pixels * c + k % c];

			*w = step(op, *w, t_get(t.data[0], F, k));
		}
		for (size_t k = 0; k < (size_t)x->dim[0] * c; k++)
			want[k] = last(op, want[k], (double)pixels);
		t_expect(&t, 0, want, 2e-6, 1e-6, vt_op_name(op));
		free(want);
		t_free(&t);
	}
}

/* [outer][n][inner] as Softmax sees it; LayerNormalization where inner is 1. */
static void random_rows(void **state)
{
	struct vt_rng r = {41};

	for (int round = 0; round < 100; round++) {
		int64_t outer = 1 + (int64_t)vt_rng_below(&r, 9),
			n = 1 + (int64_t)vt_rng_below(&r, 700),
			inner = round % 2 ? 1 : 1 + (int64_t)vt_rng_below(&r, 150);
		struct vt_shape s = {3, {outer, n, inner}}, w = {1, {n}};
		const bool norm = round % 4 == 1, logs = round % 3 == 0;
		struct t_node t = {.n = {.op = norm   ? VT_OP_LAYER_NORM
					       : logs ? VT_OP_LOGSOFTMAX
						      : VT_OP_SOFTMAX}};
		const float *x = t_add(&t, false, F, s), *y;

		t_random(&t, 0, r.s, -6, 6);
		if (norm) {
			t.n.p.norm.axis = 1;
			t.n.p.norm.eps = 1e-5f;
			t_add(&t, false, F, w);
			t_random(&t, 1, r.s + 1, 0.5, 2);
			t_add(&t, false, F, w);
			t_random(&t, 2, r.s + 2, -1, 1);
		} else {
			t.n.p.axis = 1;
		}
		y = t_add(&t, true, F, s);
		assert_int_equal(t_run(&t), 0);
		for (int64_t c = 0; c < outer * inner; c++) {
			const int64_t at = c / inner * n * inner + c % inner;
			double sum = 0, exps = 0, dev = 0;

			for (int64_t k = 0; k < n; k++) {
				sum += x[at + k * inner];
				exps += exp(x[at + k * inner]);
			}
			for (int64_t k = 0; k < n; k++)
				dev += pow(x[at + k * inner] - sum / (double)n, 2);
			for (int64_t k = 0; k < n; k++) {
				double v = x[at + k * inner], want = exp(v) / exps;

				if (logs)
					want = v - log(exps);
				if (norm)
					want = (v - sum / (double)n) /
						       sqrt(dev / (double)n + 1e-5) *
						       ((float *)t.data[1])[k] +
					       ((float *)t.data[2])[k];
				if (!t_close(y[at + k * inner], want, 2e-6,
					     norm || logs ? 4e-6 : 1e-30))
					fail_msg("round %d [%ld]: got %.9g, want %.9g", round,
						 (long)(at + k * inner), (double)y[at + k * inner],
						 want);
			}
		}
		t_free(&t);
	}
}

static void random_instance_norm(void **state)
{
	struct vt_rng r = {51};

	for (int round = 0; round < 40; round++) {
		int64_t b = 1 + (int64_t)vt_rng_below(&r, 3),
			n = 1 + (int64_t)vt_rng_below(&r, 200),
			c = 1 + (int64_t)vt_rng_below(&r, 200);
		struct t_node t = {.n = {.op = VT_OP_INSTANCE_NORM, .p.norm = {0, 1e-5f}}};
		const float *x = t_add(&t, false, F, (struct vt_shape){4, {b, n, 1, c}}), *y;

		t_random(&t, 0, r.s, 90, 110);
		t_add(&t, false, F, (struct vt_shape){1, {c}});
		t_random(&t, 1, r.s + 1, 0.5, 2);
		t_add(&t, false, F, (struct vt_shape){1, {c}});
		t_random(&t, 2, r.s + 2, -1, 1);
		y = t_add(&t, true, F, t.tensors[0].shape);
		assert_int_equal(t_run(&t), 0);
		for (int64_t i = 0; i < b * c; i++) {
			const int64_t at = i / c * n * c + i % c;
			double sum = 0, dev = 0;

			for (int64_t k = 0; k < n; k++)
				sum += x[at + k * c];
			for (int64_t k = 0; k < n; k++)
				dev += pow(x[at + k * c] - sum / (double)n, 2);
			for (int64_t k = 0; k < n; k++) {
				double want = (x[at + k * c] - sum / (double)n) /
						      sqrt(dev / (double)n + 1e-5) *
						      ((float *)t.data[1])[i % c] +
					      ((float *)t.data[2])[i % c];

				/* y = x s + b: rounding of x s, with x near 100 */
				if (!t_close(y[at + k * c], want, 1e-5, n > 1 ? 2e-4 : 0.1))
					fail_msg("got %.9g, want %.9g", (double)y[at + k * c],
						 want);
			}
		}
		t_free(&t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(random_axes),
		cmocka_unit_test(images),
		cmocka_unit_test(random_rows),
		cmocka_unit_test(random_instance_norm),
	};

	return cmocka_run_group_tests_name("reduce", tests, NULL, NULL);
}
