// SPDX-License-Identifier: Apache-2.0
/*
 * Pools, Resize, LRN, and the plain Conv, ConvTranspose, MatMul and FullyConnected: tables, and
 * random geometry against the definition, one output element at a time.
 */
#include "kernels/gemm.h"
#include "kernels/kernels.h"
#include "ops.h"

#define F VT_F32
#define L VT_I64

static const struct t_case cases[] = {
	{"max pool, dilated",
	 VT_OP_MAXPOOL2D,
	 {{F, "1x1x5x1", {1, 5, 2, 4, 3}}},
	 {{F, "1x1x3x1", {2, 5, 3}}},
	 {.pool = {1, 2, 1, 1, 1, 2}}},
	{"max pool, 1-D, padded, u8",
	 VT_OP_MAXPOOL2D,
	 {{VT_U8, "1x3x2", {1, 6, 2, 5, 3, 4}}},
	 {{VT_U8, "1x3x2", {2, 6, 3, 6, 3, 5}}},
	 {.pool = {1, 3, 1, 1, 1, 1, 0, 1, 0, 1}}},
	{"average pool, padding not counted",
	 VT_OP_AVGPOOL2D,
	 {{F, "1x1x3x1", {3, 6, 9}}},
	 {{F, "1x1x3x1", {4.5, 6, 7.5}}},
	 {.pool = {1, 3, 1, 1, 1, 1, 0, 1, 0, 1}},
	 1e-6},
	{"average pool, padding counted",
	 VT_OP_AVGPOOL2D,
	 {{F, "1x1x3x1", {3, 6, 9}}},
	 {{F, "1x1x3x1", {3, 6, 5}}},
	 {.pool = {1, 3, 1, 1, 1, 1, 0, 1, 0, 1, .count_include_pad = true}},
	 1e-6},
	/* the second window hangs over by one, which is never counted */
	{"average pool, ceil mode",
	 VT_OP_AVGPOOL2D,
	 {{F, "1x1x3x1", {3, 6, 9}}},
	 {{F, "1x1x2x1", {4.5, 9}}},
	 {.pool = {1, 2, 1, 2, 1, 1, .xr = 1, .count_include_pad = true}},
	 1e-6},
	{"resize nearest, half pixel",
	 VT_OP_RESIZE,
	 {{F, "1x1x2x2", {1, 10, 2, 20}}},
	 {{F, "1x1x4x2", {1, 10, 1, 10, 2, 20, 2, 20}}},
	 {.resize = {.scale = {1, 1, 2, 1}}}},
	{"resize nearest, i64",
	 VT_OP_RESIZE,
	 {{L, "4", {1, 2, 3, 4}}},
	 {{L, "2", {1, 3}}},
	 {.resize = {.scale = {0.5}, .coord = VT_COORD_ASYMMETRIC, .near = VT_NEAR_FLOOR}}},
	/* an integer is moved, not computed with as if its bits were a float */
	{"resize nearest, i32, along the last dim",
	 VT_OP_RESIZE,
	 {{VT_I32, "2", {-2147483648.0, -5000000}}},
	 {{VT_I32, "4", {-2147483648.0, -2147483648.0, -5000000, -5000000}}},
	 {.resize = {.scale = {2}, .coord = VT_COORD_ASYMMETRIC, .near = VT_NEAR_FLOOR}}},
	{"resize nearest, crop and resize, outside",
	 VT_OP_RESIZE,
	 {{F, "3", {1, 2, 3}}},
	 {{F, "3", {2, 3, 9}}},
	 {.resize = {.coord = VT_COORD_TF_CROP_AND_RESIZE,
		     .scale = {1},
		     .roi_start = {0.5},
		     .roi_end = {1.5},
		     .extrapolation = 9}}},
	{"resize linear, half pixel",
	 VT_OP_RESIZE,
	 {{F, "1x1x2x1", {0, 4}}},
	 {{F, "1x1x4x1", {0, 1, 3, 4}}},
	 {.resize = {VT_RESIZE_LINEAR, .scale = {1, 1, 2, 1}}},
	 1e-6},
	{"resize linear, align corners, both axes",
	 VT_OP_RESIZE,
	 {{F, "1x2x2x1", {0, 2, 4, 6}}},
	 {{F, "1x3x3x1", {0, 1, 2, 2, 3, 4, 4, 5, 6}}},
	 {.resize = {VT_RESIZE_LINEAR, VT_COORD_ALIGN_CORNERS, .scale = {1, 1.5, 1.5, 1}}},
	 1e-6},
	{"resize cubic keeps a line",
	 VT_OP_RESIZE,
	 {{F, "1x6x1", {0, 1, 2, 3, 4, 5}}},
	 {{F, "1x6x1", {0, 1, 2, 3, 4, 5}}},
	 {.resize = {VT_RESIZE_CUBIC, .scale = {1, 1, 1}, .cubic_a = -0.75f}},
	 1e-6},
	/* floor(4 * 1.2) is 4 again, and yet pixels move */
	{"resize nearest by a scale that leaves the size",
	 VT_OP_RESIZE,
	 {{F, "1x1x2x4", {0, 1, 2, 3, 4, 5, 6, 7}}},
	 {{F, "1x1x2x4", {0, 0, 1, 2, 4, 4, 5, 6}}},
	 {.resize = {.scale = {1, 1, 1, 1.2f},
		     .coord = VT_COORD_ASYMMETRIC,
		     .near = VT_NEAR_FLOOR}}},
	{"resize linear by a scale that leaves the size, before the last dim",
	 VT_OP_RESIZE,
	 {{F, "1x4x1", {0, 10, 20, 30}}},
	 {{F, "1x4x1", {0, 10 / 1.2, 20 / 1.2, 30 / 1.2}}},
	 {.resize = {VT_RESIZE_LINEAR, VT_COORD_ASYMMETRIC, .scale = {1, 1.2f, 1}}},
	 1e-6},
	/* floor(4 * 0.6) is 2: the fifth of a pixel that is lost is missing at both ends */
	{"resize linear, symmetric",
	 VT_OP_RESIZE,
	 {{F, "4", {0, 10, 20, 30}}},
	 {{F, "2", {20.0 / 3, 70.0 / 3}}},
	 {.resize = {VT_RESIZE_LINEAR, VT_COORD_HALF_PIXEL_SYMMETRIC, .scale = {0.6f}}},
	 1e-6},
	{"crop and resize, outside",
	 VT_OP_RESIZE,
	 {{F, "3", {1, 2, 3}}},
	 {{F, "3", {2, 3, 9}}},
	 {.resize = {VT_RESIZE_LINEAR, VT_COORD_TF_CROP_AND_RESIZE, .scale = {1},
		     .roi_start = {0.5}, .roi_end = {1.5}, .extrapolation = 9}},
	 1e-6},
	{"lrn of even size",
	 VT_OP_LRN,
	 {{F, "1x1x3", {1, 2, 3}}},
	 {{F, "1x1x3", {1.0 / 6, 2.0 / 14, 0.3}}},
	 {.lrn = {2, 1, 1, 2}},
	 1e-6},
	{"matmul of vectors",
	 VT_OP_MATMUL,
	 {{L, "3", {1, 2, 3}}, {L, "3", {4, 5, 6}}},
	 {{L, "", {32}}}},
	{"matmul, batch broadcast, scaled",
	 VT_OP_MATMUL,
	 {{F, "2x1x2", {1, 2, 3, 4}}, {F, "2x2", {1, 2, 3, 4}}},
	 {{F, "2x1x2", {2.5, 5.5, 5.5, 12.5}}},
	 {.matmul = {false, true, 0.5}},
	 1e-6},
	{"matmul i32, transposed",
	 VT_OP_MATMUL,
	 {{VT_I32, "2x1", {1, 2}}, {VT_I32, "2x2", {1, 2, 3, 4}}},
	 {{VT_I32, "1x2", {7, 10}}},
	 {.matmul = {true, false, 1}}},
};

static void tables(void **state)
{
	for (size_t i = 0; i < VT_COUNT(cases); i++)
		t_run_case(&cases[i]);
}

/* ---- attention: one mask value for all keys of a row -------------------------------------------
 */

#define QKV                                                                                        \
	{F, "1x2x2", {1, 0, 1, 0}}, {F, "1x3x2", {0, 0, 1, 0, 2, 0}},                              \
	{                                                                                          \
		F, "1x3x2",                                                                        \
		{                                                                                  \
			1, 2, 3, 4, 5, 6                                                           \
		}                                                                                  \
	}

static const struct t_case attended[] = {
	/* the scores are lost in the first sum: all keys count alike */
	{"a mask that swallows a row's scores",
	 VT_OP_ATTENTION,
	 {QKV, {F, "2x1", {-3.4e38, 0}}},
	 {{F, "1x2x2", {3, 4, 4.1504208, 5.1504208}}},
	 {.attention = {1, 1}},
	 1e-6},
	{"a mask that moves a row's scores",
	 VT_OP_ATTENTION,
	 {QKV, {F, "2x1", {-7, 5}}},
	 {{F, "1x2x2", {4.1504208, 5.1504208, 4.1504208, 5.1504208}}},
	 {.attention = {1, 1}},
	 1e-6},
	{"a mask of a whole row that is infinite",
	 VT_OP_ATTENTION,
	 {QKV, {F, "2x1", {-INFINITY, 0}}},
	 {{F, "1x2x2", {NAN, NAN, 4.1504208, 5.1504208}}},
	 {.attention = {1, 1}},
	 1e-6},
};

static void masks(void **state)
{
	if (!vt_attends())
		vt_skip("no attention kernel for this CPU");
	for (size_t i = 0; i < VT_COUNT(attended); i++)
		t_run_case(&attended[i]);
}

/* ---- windows, by definition --------------------------------------------------------------------
 */

static int below(struct vt_rng *r, int n)
{
	return (int)vt_rng_below(r, (uint64_t)n);
}

/* Output pixel (oy, ox), channel c of a pool. */
static double pool_at(const struct t_node *t, int n, int oy, int ox, int c)
{
	const struct vt_shape *s = &t->tensors[0].shape;
	const int h = (int)s->dim[1], w = (int)s->dim[2];
	const bool average = t->n.op == VT_OP_AVGPOOL2D;
	double acc = average ? 0 : -INFINITY;
	int seen = 0, padded = 0;

	for (int k = 0; k < t->n.p.pool.kh; k++)
		for (int l = 0; l < t->n.p.pool.kw; l++) {
			int y = oy * t->n.p.pool.sh - t->n.p.pool.pt + k * t->n.p.pool.dh;
			int x = ox * t->n.p.pool.sw - t->n.p.pool.pl + l * t->n.p.pool.dw;
			double v;

			padded += y < h + t->n.p.pool.pb && x < w + t->n.p.pool.pr;
			if (y < 0 || y >= h || x < 0 || x >= w)
				continue;
			v = ((const float *)t->data[0])[((n * h + y) * w + x) * s->dim[3] + c];
			acc = average ? acc + v : fmax(acc, v);
			seen++;
		}
	if (!seen)
		return 0;
	return average ? acc / (t->n.p.pool.count_include_pad ? padded : seen) : acc;
}

static int out_size(int in, int pad, int k, int d, int s, bool ceil_mode)
{
	int room = in + pad - ((k - 1) * d + 1);

	return room < 0 ? 0 : (room + (ceil_mode ? s - 1 : 0)) / s + 1;
}

/* What ceil_mode adds behind the padding. */
static int overhang(int padded, int k, int d, int s, int out)
{
	int end = (out - 1) * s + (k - 1) * d + 1;

	return end > padded ? end - padded : 0;
}

static void check_pool(const struct t_node *t, int round)
{
	const struct vt_shape *y = &t->tensors[1].shape;

	for (size_t i = 0; i < t_count(t, 1); i++) {
		int at = (int)i, c = at % (int)y->dim[3], pixel = at / (int)y->dim[3];
		int ox = pixel % (int)y->dim[2], oy = pixel / (int)y->dim[2] % (int)y->dim[1];
		double want = pool_at(t, pixel / (int)(y->dim[1] * y->dim[2]), oy, ox, c);

		if (!t_close(((float *)t->data[1])[i], want, 1e-6, 1e-6))
			fail_msg("round %d [%zu]: got %g, want %g", round, i,
				 (double)((float *)t->data[1])[i], want);
	}
}

static void random_pool(void **state)
{
	struct vt_rng r = {61};

	for (int round = 0; round < 300; round++) {
		struct t_node t = {.n = {.op = round % 2 ? VT_OP_MAXPOOL2D : VT_OP_AVGPOOL2D}};
		const int k = 1 + below(&r, 3), l = 1 + below(&r, 3), c = 1 + below(&r, 40);
		const int h = 3 + below(&r, 8), w = 3 + below(&r, 8), extra = below(&r, 2);
		const struct vt_kernel *own = &vt_kernel_pool;
		struct vt_shape y = {4, {2, 0, 0, c}};
		union vt_params p = {.pool = {k, l, 1 + below(&r, 2), 1 + below(&r, 3),
					      1 + below(&r, 2), 1 + below(&r, 2), below(&r, k),
					      below(&r, l), below(&r, k), below(&r, l),
					      .count_include_pad = round % 3 == 0}};

		t.n.p = p;
		y.dim[1] = out_size(h, p.pool.pt + p.pool.pb, k, p.pool.dh, p.pool.sh, extra);
		y.dim[2] = out_size(w, p.pool.pl + p.pool.pr, l, p.pool.dw, p.pool.sw, extra);
		if (y.dim[1] < 1 || y.dim[2] < 1)
			continue;
		/* ceil_mode adds no window that would start behind the input */
		y.dim[1] -= (y.dim[1] - 1) * p.pool.sh >= h + p.pool.pt;
		y.dim[2] -= (y.dim[2] - 1) * p.pool.sw >= w + p.pool.pl;
		t.n.p.pool.xb =
			overhang(h + p.pool.pt + p.pool.pb, k, p.pool.dh, p.pool.sh, (int)y.dim[1]);
		t.n.p.pool.xr =
			overhang(w + p.pool.pl + p.pool.pr, l, p.pool.dw, p.pool.sw, (int)y.dim[2]);
		t_add(&t, false, F, (struct vt_shape){4, {2, h, w, c}});
		t_random(&t, 0, r.s, -1, 1);
		t_add(&t, true, F, y);
		assert_int_equal(t_run_with(&t, own), 0);
		check_pool(&t, round);
		assert_int_equal(t_run(&t), 0); /* what a model gets: XNNPACK's where it can */
		check_pool(&t, round);
		t_free(&t);
	}
}

/* Conv and ConvTranspose: every product put where the definition says, in double. */
static double *conv_by_definition(const struct t_node *t)
{
	const struct vt_shape *xs = &t->tensors[0].shape, *ws = &t->tensors[1].shape,
			      *ys = &t->tensors[t->n.n_in].shape;
	const bool up = t->n.op == VT_OP_DECONV2D;
	const float *x = t->data[0], *w = t->data[1], *bias = t->data[2];
	const int c = (int)xs->dim[3], m = (int)ys->dim[3], g = t->n.p.conv.groups;
	double *y = calloc(t_count(t, t->n.n_in) + 1, sizeof(*y));

	assert_non_null(y);
	for (size_t i = 0; i < t_count(t, t->n.n_in); i++)
		y[i] = bias[i % (size_t)m];
	/* a: the pixel of the smaller side of the stride, b: what it meets through tap (k, l) */
	for (int n = 0; n < xs->dim[0]; n++)
		for (int ay = 0; ay < (up ? xs : ys)->dim[1]; ay++)
			for (int ax = 0; ax < (up ? xs : ys)->dim[2]; ax++)
				for (int k = 0; k < ws->dim[2]; k++)
					for (int l = 0; l < ws->dim[3]; l++) {
						int by = ay * t->n.p.conv.sh - t->n.p.conv.pt +
							 k * t->n.p.conv.dh;
						int bx = ax * t->n.p.conv.sw - t->n.p.conv.pl +
							 l * t->n.p.conv.dw;
						int iy = up ? ay : by, ix = up ? ax : bx;
						int oy = up ? by : ay, ox = up ? bx : ax;

						if (by < 0 || bx < 0 ||
						    by >= (up ? ys : xs)->dim[1] ||
						    bx >= (up ? ys : xs)->dim[2])
							continue;
						for (int i = 0; i < c; i++)
							for (int o = 0; o < m / g; o++) {
								int to = i / (c / g) * (m / g) + o;
								int row = up ? i : to,
								    col = up ? o : i % (c / g);

								y[((n * ys->dim[1] + oy) *
									   ys->dim[2] +
								   ox) * m +
								  to] +=
									(double)x
										[((n * xs->dim[1] +
										   iy) * xs->dim[2] +
										  ix) * c +
										 i] *
									w[((row * ws->dim[1] +
									    col) * ws->dim[2] +
									   k) * ws->dim[3] +
									  l];
							}
					}
	return y;
}

static void check_conv(const struct t_node *t)
{
	double *want = conv_by_definition(t);

	for (size_t i = 0; i < t_count(t, 4); i++) {
		want[i] += ((float *)t->data[3])[i];
		want[i] *= want[i] < 0 ? 0.5 : 1;
	}
	t_expect(t, 0, want, 1e-5, 1e-5, vt_op_name(t->n.op));
	free(want);
}

static void random_conv(void **state)
{
	struct vt_rng r = {71};

	for (int round = 0; round < 1000; round++) {
		const bool up = round % 2;
		struct t_node t = {.n = {.op = up ? VT_OP_DECONV2D : VT_OP_CONV2D}};
		const int g = 1 + below(&r, 3), c = g * (1 + below(&r, 5)),
			  m = g * (1 + below(&r, 5));
		const int k = 1 + below(&r, 5), l = 1 + below(&r, 5), h = 1 + below(&r, 5),
			  w = 1 + below(&r, 5);
		union vt_params p = {.conv = {k, l, 1 + below(&r, 4), 1 + below(&r, 3),
					      1 + below(&r, 2), 1 + below(&r, 2), below(&r, k),
					      below(&r, l), below(&r, k), below(&r, l), g,
					      up ? below(&r, 4) : 0, up ? below(&r, 4) : 0}};
		struct vt_shape y = {4, {2, 0, 0, m}};

		y.dim[1] =
			up ? (h - 1) * p.conv.sh + (k - 1) * p.conv.dh + 1 - p.conv.pt - p.conv.pb
			   : out_size(h, p.conv.pt + p.conv.pb, k, p.conv.dh, p.conv.sh, false);
		y.dim[2] =
			up ? (w - 1) * p.conv.sw + (l - 1) * p.conv.dw + 1 - p.conv.pl - p.conv.pr
			   : out_size(w, p.conv.pl + p.conv.pr, l, p.conv.dw, p.conv.sw, false);
		y.dim[1] += p.conv.adj_h;
		y.dim[2] += p.conv.adj_w;
		if (y.dim[1] < 1 || y.dim[2] < 1)
			continue;
		t.n.p = p;
		t_add(&t, false, F, (struct vt_shape){4, {2, h, w, c}});
		t_add(&t, false, F, (struct vt_shape){4, {up ? c : m, (up ? m : c) / g, k, l}});
		t_add(&t, false, F, (struct vt_shape){1, {m}});
		t_add(&t, false, F, y); /* the residual, an input of the test only */
		for (int i = 0; i < 4; i++)
			t_random(&t, i, r.s + (uint64_t)i, -1, 1);
		t_add(&t, true, F, y);
		t.n.epi = (struct vt_epilogue){3, VT_OP_LEAKY_RELU, 0.5f, 0};
		assert_int_equal(t_run_with(&t, &vt_kernel_conv), 0);
		check_conv(&t);
		/* what a model gets: XNNPACK's where it can, which want constants */
		for (int i = 1; i < 3; i++) {
			t.tensors[i].kind = VT_T_CONST;
			t.tensors[i].data = t.data[i];
		}
		assert_int_equal(t_run(&t), 0);
		check_conv(&t);
		t_free(&t);
	}
}

/* Weight of input index @i for output index @o along a dim, half-pixel coordinates. */
static double resize_weight(enum vt_resize_mode mode, int o, int i, int in, int out)
{
	const double x = (o + 0.5) * in / out - 0.5;
	double w = 0;

	if (in == out)
		return i == o;
	if (mode == VT_RESIZE_NEAREST) {
		int at = (int)ceil(x - 0.5);

		return i == (at < 0 ? 0 : at >= in ? in - 1 : at);
	}
	/* every tap whose index, drawn into the input, is i */
	for (int k = (int)floor(x) - 1; k <= (int)floor(x) + 2; k++) {
		const double d = fabs(x - k), a = -0.75;
		const int at = k < 0 ? 0 : k >= in ? in - 1 : k;

		if (at != i)
			continue;
		if (mode == VT_RESIZE_LINEAR)
			w += fmax(0, 1 - d);
		else if (d <= 1)
			w += (a + 2) * d * d * d - (a + 3) * d * d + 1;
		else if (d < 2)
			w += a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a;
	}
	return w;
}

static double resize_at(const struct t_node *t, size_t i)
{
	const struct vt_shape *xs = &t->tensors[0].shape, *ys = &t->tensors[1].shape;
	double sum = 0;

	for (size_t k = 0; k < t_count(t, 0); k++) {
		size_t from = k, to = i;
		double w = 1;

		for (int d = xs->rank - 1; d >= 0 && w != 0; d--) {
			w *= resize_weight(t->n.p.resize.mode, (int)(to % (size_t)ys->dim[d]),
					   (int)(from % (size_t)xs->dim[d]), (int)xs->dim[d],
					   (int)ys->dim[d]);
			from /= (size_t)xs->dim[d];
			to /= (size_t)ys->dim[d];
		}
		sum += w == 0 ? 0 : w * t_get(t->data[0], t->tensors[0].dtype, k);
	}
	return sum;
}

/* Any of three dims resized or not, so rows and lines, to sizes that do not divide each other. */
static void random_resize(void **state)
{
	struct vt_rng r = {91};

	for (int round = 0; round < 150; round++) {
		struct t_node t = {.n = {.op = VT_OP_RESIZE}};
		struct vt_shape x = {3, {0}}, y = {3, {0}};
		enum vt_dtype dt = F;

		t.n.p.resize.mode = (enum vt_resize_mode)(round % 3);
		t.n.p.resize.cubic_a = -0.75f;
		if (t.n.p.resize.mode == VT_RESIZE_NEAREST && round % 2)
			dt = VT_U8;
		for (int d = 0; d < 3; d++) {
			x.dim[d] = 1 + below(&r, 6);
			y.dim[d] = below(&r, 2) ? x.dim[d] : 1 + below(&r, 9);
			t.n.p.resize.scale[d] = (float)y.dim[d] / (float)x.dim[d];
		}
		t_add(&t, false, dt, x);
		t_random(&t, 0, r.s, 0, 100);
		t_add(&t, true, dt, y);
		assert_int_equal(t_run(&t), 0);
		for (size_t i = 0; i < t_count(&t, 1); i++)
			if (!t_close(t_get(t.data[1], dt, i), resize_at(&t, i), 1e-5, 1e-4))
				fail_msg("round %d [%zu]: got %g, want %g", round, i,
					 t_get(t.data[1], dt, i), resize_at(&t, i));
		t_free(&t);
	}
}

/* A slice of a wider tensor on both sides: pixels lie further apart than their channels. */
static void row_strides(void **state)
{
	static const struct vt_kernel *const kernels[] = {&vt_kernel_pool, &vt_kernel_conv};
	const struct vt_shape slice = {4, {1, 4, 4, 3}};

	for (size_t i = 0; i < VT_COUNT(kernels); i++) {
		struct t_node dense = {.n = {.op = i ? VT_OP_CONV2D : VT_OP_AVGPOOL2D}}, wide;
		const float *y, *z;

		if (i)
			dense.n.p.conv.groups = 1;
		dense.n.p.pool.kh = dense.n.p.pool.kw = dense.n.p.pool.sh = dense.n.p.pool.sw = 1;
		dense.n.p.pool.dh = dense.n.p.pool.dw = 1;
		wide = dense;
		for (int k = 0; k < 2; k++) {
			struct t_node *t = k ? &wide : &dense;
			/* strided tensors occupy the memory of 4 x 4 pixels of 5 channels */
			const struct vt_shape mem = {4, {1, 4, 4, k ? 5 : 3}};

			t_add(t, false, F, mem);
			if (i) {
				t_add(t, false, F, (struct vt_shape){4, {3, 3, 1, 1}});
				t_random(t, 1, 5, -1, 1);
			}
			for (size_t e = 0; e < 48; e++)
				((float *)t->data[0])[e / 3 * (size_t)mem.dim[3] + e % 3] =
					(float)e;
			t_add(t, true, F, mem);
			t->tensors[0].shape = t->tensors[t->n.n_in].shape = slice;
			t->tensors[0].row_stride = t->tensors[t->n.n_in].row_stride = k ? 5 : 0;
			assert_int_equal(t_run_on_with(t, 2, kernels[i]), 0);
		}
		y = dense.data[dense.n.n_in];
		z = wide.data[wide.n.n_in];
		for (size_t e = 0; e < 48; e++)
			assert_true(y[e] == z[e / 3 * 5 + e % 3]);
		for (size_t e = 0; e < 16; e++) /* the neighbours' channels are untouched */
			assert_true(z[e * 5 + 3] == 0 && z[e * 5 + 4] == 0);
		t_free(&dense);
		t_free(&wide);
	}
}

static void random_fc(void **state)
{
	struct vt_rng r = {81};

	for (int round = 0; round < 60; round++) {
		const int m = 1 + below(&r, 9), n = 1 + below(&r, 70), k = 1 + below(&r, 90);
		const bool kn = round % 2;
		struct t_node t = {.n = {.op = VT_OP_FC, .p.fc.w_kn = kn}};
		double *want = calloc((size_t)(m * n), sizeof(*want));

		assert_non_null(want);
		t_add(&t, false, F, (struct vt_shape){2, {m, k}});
		t_add(&t, false, F, (struct vt_shape){2, {kn ? k : n, kn ? n : k}});
		t_add(&t, false, F, (struct vt_shape){1, {n}});
		for (int i = 0; i < 3; i++)
			t_random(&t, i, r.s + (uint64_t)i, -1, 1);
		t_add(&t, true, F, (struct vt_shape){2, {m, n}});
		t.n.epi.act = VT_OP_RELU;
		assert_int_equal(t_run_with(&t, &vt_kernel_fc), 0);
		for (int i = 0; i < m * n; i++) {
			const float *x = (float *)t.data[0] + i / n * k, *w = t.data[1];

			want[i] = ((float *)t.data[2])[i % n];
			for (int e = 0; e < k; e++)
				want[i] += (double)x[e] * w[kn ? e * n + i % n : i % n * k + e];
			want[i] = fmax(want[i], 0);
		}
		t_expect(&t, 0, want, 1e-6, 1e-6, "fc");
		free(want);
		t_free(&t);
	}
}

static double product_at(const struct t_node *t, size_t batch, size_t i, size_t j)
{
	const struct vt_shape *as = &t->tensors[0].shape, *bs = &t->tensors[1].shape;
	const bool ta = t->n.p.matmul.trans_a, tb = t->n.p.matmul.trans_b;
	const enum vt_dtype dt = t->tensors[0].dtype;
	const size_t aw = (size_t)as->dim[2], bw = (size_t)bs->dim[bs->rank - 1];
	const size_t k = (size_t)as->dim[ta ? 1 : 2];
	const size_t a = batch * (size_t)(as->dim[1] * as->dim[2]);
	const size_t b = bs->rank == 2 ? 0 : batch * (size_t)(bs->dim[1] * bs->dim[2]);
	double sum = 0;

	for (size_t e = 0; e < k; e++)
		sum += t_get(t->data[0], dt, a + (ta ? e * aw + i : i * aw + e)) *
		       t_get(t->data[1], dt, b + (tb ? j * bw + e : e * bw + j));
	return sum * (double)t->n.p.matmul.alpha;
}

static void check_matmul(const struct t_node *t, int round)
{
	const struct vt_shape *y = &t->tensors[2].shape;
	const size_t m = (size_t)y->dim[1], n = (size_t)y->dim[2];
	const enum vt_dtype dt = t->tensors[2].dtype;

	for (size_t i = 0; i < t_count(t, 2); i++) {
		const double want = product_at(t, i / (m * n), i / n % m, i % n);

		if (!t_close(t_get(t->data[2], dt, i), want, 1e-5, dt == F ? 1e-3 : 1e-9))
			fail_msg("round %d [%zu]: got %.9g, want %.9g", round, i,
				 t_get(t->data[2], dt, i), want);
	}
}

/* Any operand transposed, the right one for all batch elements or each its own; products in several blocks. */
static void random_matmul(void **state)
{
	static const enum vt_dtype types[] = {F, VT_F64, F, VT_I32};
	struct vt_rng r = {91};

	for (int round = 0; round < 160; round++) {
		const enum vt_dtype dt = types[round % 4];
		const int m = 1 + below(&r, 40), n = 1 + below(&r, 150);
		const int k = 1 + below(&r, round % 10 ? 90 : 1500), batch = 1 + below(&r, 3);
		const bool ta = below(&r, 2), tb = below(&r, 2), one = below(&r, 2);
		struct t_node t = {
			.n = {.op = VT_OP_MATMUL, .p.matmul = {ta, tb, dt == F ? 0.5f : 1}}};
		const struct vt_shape a = {3, {batch, ta ? k : m, ta ? m : k}},
				      b = {3, {batch, tb ? n : k, tb ? k : n}},
				      flat = {2, {b.dim[1], b.dim[2]}};

		t_add(&t, false, dt, a);
		t_add(&t, false, dt, one ? flat : b);
		t_random(&t, 0, r.s, -3, 3);
		t_random(&t, 1, r.s + 1, -3, 3);
		t_add(&t, true, dt, (struct vt_shape){3, {batch, m, n}});
		assert_int_equal(t_run_with(&t, &vt_kernel_matmul), 0);
		check_matmul(&t, round);
		assert_int_equal(t_run(&t),
				 0); /* what a model gets: our matrix kernel where it can */
		check_matmul(&t, round);
		t_free(&t);
	}
}

/* Which operand is transposed does not decide between a matrix kernel and the definition. */
static void matmul_kernel(void **state)
{
	if (!vt_gemm_best())
		vt_skip("our own matrix kernels need AVX2 or AVX-512");
	for (int how = 0; how < 4; how++) {
		struct t_node t = {.n = {.op = VT_OP_MATMUL, .p.matmul = {how & 1, how & 2, 1}}};
		struct vt_err e = {0};
		struct vt_layer l;

		t_in(&t, F, "20x20");
		t_in(&t, F, "20x20");
		t_out(&t, F, "20x20");
		assert_int_equal(vt_layer_create(&l, &t.g, &t.n, 1, &e), 0);
		assert_ptr_equal(l.kernel, &vt_matmul_gemm_f32);
		vt_layer_destroy(&l);
		t_free(&t);
	}
}

/* A bias of bytes is a quarter as long as the kernels would read. */
static void mixed_types(void **state)
{
	static const struct {
		enum vt_op op;
		const struct vt_kernel *own;
		const char *x, *w, *y;
	} t[] = {
		{VT_OP_CONV2D, &vt_kernel_conv, "1x3x3x4", "300x4x1x1", "1x3x3x300"},
		{VT_OP_DECONV2D, &vt_kernel_conv, "1x3x3x4", "4x300x1x1", "1x3x3x300"},
		{VT_OP_FC, &vt_kernel_fc, "2x4", "300x4", "2x300"},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++)
		for (int wrong = 0; wrong < 3; wrong++) {
			struct t_node n = {.n = {.op = t[i].op}};
			const char *dims[] = {t[i].x, t[i].w, "300"};

			if (t[i].op != VT_OP_FC)
				n.n.p = (union vt_params){
					.conv = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 0}};
			for (int k = 0; k < 3; k++)
				t_in(&n, k == wrong ? VT_U8 : VT_F32, dims[k]);
			t_out(&n, VT_F32, t[i].y);
			assert_int_equal(t_run_with(&n, t[i].own), -ENOTSUP);
			assert_int_equal(t_run(&n), -ENOTSUP);
			t_free(&n);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),	 cmocka_unit_test(masks),
		cmocka_unit_test(random_pool),	 cmocka_unit_test(random_conv),
		cmocka_unit_test(row_strides),	 cmocka_unit_test(random_fc),
		cmocka_unit_test(mixed_types),	 cmocka_unit_test(random_resize),
		cmocka_unit_test(random_matmul), cmocka_unit_test(matmul_kernel),
	};

	return cmocka_run_group_tests_name("spatial", tests, NULL, NULL);
}
