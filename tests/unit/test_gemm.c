// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "exec/pool.h"
#include "gang.h"
#include "kernels/dw.h"
#include "kernels/gemm.h"
#include "kernels/kernels.h"
#include "kernels/variant.h"

/*
 * Each case is one Conv or FullyConnected node, computed by XNNPACK in its own order on one core
 * and then by every kernel that takes it, in every traversal, on every grant: the same bits each
 * time.
 */

struct layer_case {
	const char *name;
	int n, h, w, c, m; /* input NHWC, output channels */
	int kh, kw, s, d, pt, pl, pb, pr, groups;
	bool relu6, residual;
	bool fc; /* h, w, kernel ignored: [n, c] x [c, m] */
};

static const struct layer_case cases[] = {
	{"1x1", 1, 7, 9, 33, 40, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, false, false},
	{"1x1 wide", 1, 14, 14, 300, 96, 1, 1, 1, 1, 0, 0, 0, 0, 1, true, false, false},
	{"1x1 stride 2", 1, 14, 15, 64, 100, 1, 1, 2, 1, 0, 0, 0, 0, 1, false, false, false},
	{"1x1 padded at the end", 2, 7, 9, 33, 40, 1, 1, 1, 1, 0, 0, 1, 2, 1, false, false, false},
	{"1x1 padded all around", 1, 5, 6, 33, 40, 1, 1, 1, 1, 2, 1, 0, 3, 1, false, false, false},
	{"3x3", 1, 13, 11, 48, 70, 3, 3, 1, 1, 1, 1, 1, 1, 1, true, true, false},
	{"3x3 stride 2 batch 3", 3, 12, 12, 20, 33, 3, 3, 2, 1, 1, 1, 0, 0, 1, false, true, false},
	{"3x3 dilated", 1, 15, 15, 17, 31, 3, 3, 1, 2, 2, 2, 2, 2, 1, false, false, false},
	{"7x7 of an image", 1, 30, 31, 3, 64, 7, 7, 2, 1, 3, 3, 3, 3, 1, true, false, false},
	{"5x5 odd pads", 1, 9, 8, 16, 24, 5, 5, 1, 1, 2, 1, 0, 3, 1, false, false, false},
	{"1x7", 1, 9, 17, 32, 32, 1, 7, 1, 1, 0, 3, 0, 3, 1, false, false, false},
	{"groups", 1, 10, 10, 64, 128, 3, 3, 1, 1, 1, 1, 1, 1, 4, true, false, false},
	{"3x3 large", 1, 29, 31, 16, 70, 3, 3, 1, 1, 1, 1, 1, 1, 1, true, true, false},
	{"3x3 large batch 2 valid", 2, 30, 28, 37, 64, 3, 3, 1, 1, 0, 0, 0, 0, 1, false, false,
	 false},
	{"3x3 large, many columns", 1, 28, 28, 96, 160, 3, 3, 1, 1, 1, 1, 1, 1, 1, true, false,
	 false},
	{"depthwise 3x3", 2, 15, 16, 40, 40, 3, 3, 1, 1, 1, 1, 1, 1, 40, true, false, false},
	{"depthwise 3x3 stride 2", 1, 14, 15, 33, 33, 3, 3, 2, 1, 0, 0, 1, 1, 33, false, false,
	 false},
	{"depthwise 5x5", 1, 7, 7, 48, 48, 5, 5, 1, 1, 2, 2, 2, 2, 48, true, false, false},
	{"depthwise 5x5 stride 2", 1, 28, 27, 20, 20, 5, 5, 2, 1, 2, 2, 1, 1, 20, false, false,
	 false},
	{"depthwise 3x3 of one pixel", 1, 1, 1, 17, 17, 3, 3, 1, 1, 1, 1, 1, 1, 17, false, false,
	 false},
	{"fc", 37, 1, 1, 300, 130, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, false, true},
	{"fc one row", 1, 1, 1, 513, 1000, 1, 1, 1, 1, 0, 0, 0, 0, 1, true, false, true},
	{"fc 7 rows", 7, 1, 1, 300, 24, 1, 1, 1, 1, 0, 0, 0, 0, 1, true, true, true},
	{"fc 8 rows, few products", 8, 1, 1, 40, 24, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, true, true},
	{"fc 9 rows, fewer", 9, 1, 1, 3, 40, 1, 1, 1, 1, 0, 0, 0, 0, 1, true, false, true},
	{"fc of several blocks", 40, 1, 1, 2100, 70, 1, 1, 1, 1, 0, 0, 0, 0, 1, true, true, true},
	{"fc 21 columns, several blocks", 40, 1, 1, 2100, 21, 1, 1, 1, 1, 0, 0, 0, 0, 1, true, true,
	 true},
	{"fc one column", 50, 1, 1, 64, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, true, true},
};

struct made {
	struct vt_graph g;
	float *x, *residual, *y;
	size_t y_elems;
};

static void fill(float *p, size_t n, uint64_t seed)
{
	struct vt_rng r = {seed};

	for (size_t i = 0; i < n; i++)
		p[i] = (float)(vt_rng_unit(&r) * 2 - 1);
}

static int out_extent(int in, int k, int s, int d, int p0, int p1)
{
	return (in + p0 + p1 - d * (k - 1) - 1) / s + 1;
}

/* 64 bytes of slack: XNNPACK reads a little past its input. */
static float *floats(size_t n, uint64_t seed)
{
	float *p = aligned_alloc(64, (n * sizeof(float) / 64 + 2) * 64);

	assert_non_null(p);
	fill(p, n, seed);
	return p;
}

static void make(struct made *m, const struct layer_case *c)
{
	const int oh = out_extent(c->h, c->kh, c->s, c->d, c->pt, c->pb);
	const int ow = out_extent(c->w, c->kw, c->s, c->d, c->pl, c->pr);
	const struct vt_shape x = c->fc ? (struct vt_shape){2, {c->n, c->c}}
					: (struct vt_shape){4, {c->n, c->h, c->w, c->c}};
	const struct vt_shape y = c->fc ? (struct vt_shape){2, {c->n, c->m}}
					: (struct vt_shape){4, {c->n, oh, ow, c->m}};
	const struct vt_shape w =
		c->fc ? (struct vt_shape){2, {c->m, c->c}}
		      : (struct vt_shape){4, {c->m, c->c / c->groups, c->kh, c->kw}};
	int in[3], out, node;
	struct vt_node *n;

	vt_graph_init(&m->g, c->name);
	in[0] = vt_graph_add_tensor(&m->g, "x", VT_T_INPUT, VT_F32, &x);
	in[1] = vt_graph_add_const(&m->g, "w", VT_F32, &w);
	in[2] = vt_graph_add_const(&m->g, "b", VT_F32, &(struct vt_shape){1, {c->m}});
	out = vt_graph_add_tensor(&m->g, "y", VT_T_COMPUTED, VT_F32, &y);
	fill(m->g.tensors[in[1]].data, (size_t)vt_shape_elems(&w), 2);
	fill(m->g.tensors[in[2]].data, (size_t)c->m, 3);
	node = vt_graph_add_node(&m->g, c->fc ? VT_OP_FC : VT_OP_CONV2D, c->name, in, 3, &out, 1);
	n = &m->g.nodes[node];
	if (!c->fc) {
		n->p.conv.kh = c->kh;
		n->p.conv.kw = c->kw;
		n->p.conv.sh = n->p.conv.sw = c->s;
		n->p.conv.dh = n->p.conv.dw = c->d;
		n->p.conv.pt = c->pt;
		n->p.conv.pl = c->pl;
		n->p.conv.pb = c->pb;
		n->p.conv.pr = c->pr;
		n->p.conv.groups = c->groups;
	}
	if (c->relu6) {
		n->epi.act = VT_OP_CLIP;
		n->epi.a = -0.5f;
		n->epi.b = 6;
	}
	m->y_elems = (size_t)vt_shape_elems(&y);
	m->x = floats((size_t)vt_shape_elems(&x), 1);
	m->y = floats(m->y_elems, 5);
	m->residual = floats(m->y_elems, 4);
	if (c->residual)
		n->epi.residual = vt_graph_add_tensor(&m->g, "r", VT_T_INPUT, VT_F32, &y);
}

static void unmake(struct made *m)
{
	vt_graph_fini(&m->g);
	free(m->x);
	free(m->y);
	free(m->residual);
}

/* Runs @k on the case; false if the kernel does not take it. */
static bool compute(struct made *m, const struct layer_case *c, const struct vt_kernel *k,
		    const struct vt_variant *v, unsigned int cores)
{
	struct pthreadpool gang = {
		.run = gang_backwards, .variant = v, .cores = cores, .report_threads = 1};
	const void *in[] = {m->x, m->g.tensors[1].data, m->g.tensors[2].data};
	void *out[] = {m->y};
	struct vt_binding b = {.in = in, .out = out, .residual = c->residual ? m->residual : NULL};

	memset(m->y, 0xff, m->y_elems * sizeof(float));
	return gang_layer(&m->g, 0, k, &b, (int)(cores % 2), v || cores > 1 ? &gang : NULL);
}

static bool depthwise(const struct layer_case *c)
{
	return c->groups > 1 && c->groups == c->c;
}

static void test_same_bits_from_every_traversal(void **state)
{
	static const unsigned int cores[] = {1, 2, 7};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		const struct layer_case *c = &cases[i];
		const struct vt_kernel *kernels[] = {c->fc ? &vt_xnn_fc_f32 : &vt_xnn_conv2d_f32,
						     c->fc ? &vt_fc_gemm_f32 : &vt_conv2d_gemm_f32};
		struct made m;
		float *want;

		if (depthwise(c))
			continue;
		make(&m, c);
		assert_true(compute(&m, c, kernels[0], NULL, 1));
		want = floats(m.y_elems, 0);
		memcpy(want, m.y, m.y_elems * sizeof(float));
		for (size_t k = 0; k < VT_COUNT(kernels); k++)
			for (const struct vt_variant *v = vt_variants; v->name; v++)
				for (size_t n = 0; n < VT_COUNT(cores); n++) {
					if (!compute(&m, c, kernels[k], v, cores[n])) {
						assert_true(k == 1 && !vt_gemm_best());
						continue;
					}
					if (memcmp(want, m.y, m.y_elems * sizeof(float)) != 0)
						fail_msg("%s: %s as %s on %u cores differs from "
							 "XNNPACK",
							 c->name, kernels[k]->name, v->name,
							 cores[n]);
				}
		free(want);
		unmake(&m);
	}
}

static double defined(const struct made *m, const struct layer_case *c, size_t y)
{
	static const struct vt_shape one_pixel = {4, {0, 1, 1, 0}};
	const struct vt_shape *s = c->fc ? &one_pixel : &m->g.tensors[3].shape;
	const float *w = m->g.tensors[1].data, *bias = m->g.tensors[2].data;
	const size_t gin = (size_t)(c->c / c->groups);
	const size_t ch = y % (size_t)c->m, ox = y / (size_t)c->m % (size_t)s->dim[2];
	const size_t oy = y / (size_t)c->m / (size_t)s->dim[2] % (size_t)s->dim[1];
	const size_t b = y / (size_t)c->m / (size_t)s->dim[2] / (size_t)s->dim[1];
	const size_t c0 = ch / (size_t)(c->m / c->groups) * gin;
	double sum = (double)bias[ch];

	for (size_t ic = 0; ic < gin; ic++)
		for (int t = 0; t < c->kh * c->kw; t++) {
			int iy = (int)oy * c->s - c->pt + t / c->kw * c->d;
			int ix = (int)ox * c->s - c->pl + t % c->kw * c->d;
			int at = ((int)b * c->h + iy) * c->w + ix;

			if (iy < 0 || iy >= c->h || ix < 0 || ix >= c->w)
				continue;
			sum += (double)m->x[(size_t)at * (size_t)c->c + c0 + ic] *
			       (double)w[(ch * gin + ic) * (size_t)(c->kh * c->kw) + (size_t)t];
		}
	if (c->residual)
		sum += (double)m->residual[y];
	return c->relu6 ? fmin(fmax(sum, -0.5), 6) : sum;
}

/* Every kernel is right too: a plain sum in double precision. */
static void test_conv_equals_definition(void **state)
{
	static const struct vt_kernel *const kernels[] = {&vt_xnn_conv2d_f32, &vt_conv2d_gemm_f32,
							  &vt_conv2d_dw_f32};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		const struct layer_case *c = &cases[i];

		for (size_t k = 0; k < VT_COUNT(kernels) && !c->fc; k++) {
			struct made m;

			make(&m, c);
			if (compute(&m, c, kernels[k], NULL, 1 + (unsigned int)k))
				for (size_t y = 0; y < m.y_elems; y++)
					if (!(fabs(defined(&m, c, y) - (double)m.y[y]) < 1e-4))
						fail_msg("%s: %s is wrong at %zu", c->name,
							 kernels[k]->name, y);
			unmake(&m);
		}
	}
}

/* Kernels whose bits need not be XNNPACK's: their own on any number of cores, and close to the definition. */
static void same_bits_on_any_cores(const struct layer_case *c, const struct vt_kernel *k,
				   double within, unsigned int most, int *taken)
{
	struct made m;
	float *want;

	make(&m, c);
	want = floats(m.y_elems, 0);
	if (compute(&m, c, k, NULL, 1)) {
		++*taken;
		memcpy(want, m.y, m.y_elems * sizeof(float));
		for (size_t y = 0; y < m.y_elems; y++)
			if (!(fabs(defined(&m, c, y) - (double)m.y[y]) < within))
				fail_msg("%s: %s is wrong at %zu: %.7g, not %.7g", c->name, k->name,
					 y, (double)m.y[y], defined(&m, c, y));
		for (unsigned int cores = 2; cores <= most; cores++) {
			assert_true(compute(&m, c, k, NULL, cores));
			if (memcmp(want, m.y, m.y_elems * sizeof(float)) != 0)
				fail_msg("%s: %s on %u cores gives other bits", c->name, k->name,
					 cores);
		}
	}
	free(want);
	unmake(&m);
}

static void test_depthwise_same_bits_on_any_cores(void **state)
{
	int taken = 0;

	for (size_t i = 0; i < VT_COUNT(cases); i++)
		if (depthwise(&cases[i]))
			same_bits_on_any_cores(&cases[i], &vt_conv2d_dw_f32, 1e-4, 7, &taken);
	assert_true(taken > 0 || !vt_dw_row(3, 1));
}

/* Outputs reach 25 here; differences of large terms round to about 1e-5 of that. */
static void test_winograd_same_bits_on_any_cores(void **state)
{
	int taken = 0;

	for (size_t i = 0; i < VT_COUNT(cases); i++)
		if (!cases[i].fc)
			same_bits_on_any_cores(&cases[i], &vt_conv2d_wino_f32, 5e-4, 7, &taken);
	assert_true(taken >= 3 || !vt_gemm_best() || !vt_dw_row(3, 1));
}

#define NEED_OWN()                                                                                 \
	do {                                                                                       \
		if (!vt_gemm_best())                                                               \
			vt_skip("our own matrix kernels need AVX2 or AVX-512");                    \
	} while (0)

/* Rows, products in one block and in several, columns of a half: none a multiple of what kernels take at a time. */
static const struct layer_case large[] = {
	{"large fc", 97, 1, 1, 1026, 806, 1, 1, 1, 1, 0, 0, 0, 0, 1, true, true, true},
	{"large fc of several blocks", 96, 1, 1, 2100, 770, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, false,
	 true},
};

static void transpose_weights(struct made *m, const struct layer_case *c)
{
	struct vt_tensor *w = &m->g.tensors[1];
	const size_t rows = (size_t)c->m, cols = (size_t)c->c;
	float *from = floats(rows * cols, 0), *to = w->data;

	memcpy(from, to, rows * cols * sizeof(float));
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < cols; j++)
			to[j * rows + i] = from[i * cols + j];
	w->shape.dim[0] = c->c;
	w->shape.dim[1] = c->m;
	m->g.nodes[0].p.fc.w_kn = true;
	free(from);
}

static void test_strassen_same_bits_on_any_cores(void **state)
{
	int taken = 0;

	NEED_OWN();
	for (size_t i = 0; i < VT_COUNT(large); i++)
		same_bits_on_any_cores(&large[i], &vt_fc_strassen_f32, 5e-4, 3, &taken);
	assert_int_equal(taken, VT_COUNT(large));
}

static void test_strassen_same_bits_from_every_traversal(void **state)
{
	const struct layer_case *c = &large[0];
	struct made m;
	float *want;

	NEED_OWN();
	make(&m, c);
	assert_true(compute(&m, c, &vt_fc_strassen_f32, NULL, 1));
	want = floats(m.y_elems, 0);
	memcpy(want, m.y, m.y_elems * sizeof(float));
	for (const struct vt_variant *v = vt_variants; v->name; v++)
		for (unsigned int cores = 1; cores <= 7; cores += 3) {
			assert_true(compute(&m, c, &vt_fc_strassen_f32, v, cores));
			if (memcmp(want, m.y, m.y_elems * sizeof(float)) != 0)
				fail_msg("as %s on %u cores: other bits", v->name, cores);
		}
	transpose_weights(&m, c);
	assert_true(compute(&m, c, &vt_fc_strassen_f32, NULL, 1));
	assert_memory_equal(want, m.y, m.y_elems * sizeof(float));
	free(want);
	unmake(&m);
}

/* An activation that is no clamp, on the rows of all four quadrants. */
static void test_strassen_activates(void **state)
{
	const struct layer_case *c = &large[0];
	struct made m;
	float *want;

	NEED_OWN();
	make(&m, c);
	m.g.nodes[0].epi.act = VT_OP_SIGMOID;
	want = floats(m.y_elems, 0);
	assert_true(compute(&m, c, &vt_fc_gemm_f32, NULL, 1));
	memcpy(want, m.y, m.y_elems * sizeof(float));
	assert_true(compute(&m, c, &vt_fc_strassen_f32, NULL, 2));
	for (size_t y = 0; y < m.y_elems; y++)
		if (!(fabs((double)want[y] - (double)m.y[y]) < 5e-5))
			fail_msg("%zu: %.7g, not %.7g", y, (double)m.y[y], (double)want[y]);
	free(want);
	unmake(&m);
}

/* Halves that are none, and what is too small to gain by it, are left to others. */
static void test_strassen_leaves_the_rest(void **state)
{
	static const struct layer_case rest[] = {
		{"odd k", 97, 1, 1, 1027, 806, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, false, true},
		{"odd columns", 97, 1, 1, 1026, 807, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, false, true},
		{"few rows", 20, 1, 1, 1026, 806, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, false, true},
		{"few products", 97, 1, 1, 64, 806, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, false, true},
		{"few columns", 97, 1, 1, 1026, 64, 1, 1, 1, 1, 0, 0, 0, 0, 1, false, false, true},
	};

	for (size_t i = 0; i < VT_COUNT(rest); i++) {
		struct made m;

		make(&m, &rest[i]);
		assert_false(compute(&m, &rest[i], &vt_fc_strassen_f32, NULL, 1));
		unmake(&m);
	}
}

/* What is not a number stays that, also through a clamp, and in its own row only. */
static void test_nan_passes_a_clamp(void **state)
{
	static const struct layer_case c = {"NaN", 20, 1, 1, 70, 40, 1,	   1,	  1,
					    1,	   0,  0, 0, 0,	 1,  true, false, true};
	const size_t row = 7, cols = (size_t)c.m;
	struct made m;

	NEED_OWN();
	make(&m, &c);
	m.x[row * (size_t)c.c + 3] = NAN;
	assert_true(compute(&m, &c, &vt_fc_gemm_f32, NULL, 1));
	for (size_t y = 0; y < m.y_elems; y++)
		assert_true(isnan(m.y[y]) == (y / cols == row));
	unmake(&m);
}

/* Strassen's sums take it to the other row of the pair as well, and no further. */
static void test_nan_stays_in_its_pair(void **state)
{
	const struct layer_case *c = &large[0];
	const size_t row = 7, pair = row + ((size_t)c->n + 1) / 2, cols = (size_t)c->m;
	struct made m;

	NEED_OWN();
	make(&m, c);
	m.x[row * (size_t)c->c + 3] = NAN;
	assert_true(compute(&m, c, &vt_fc_strassen_f32, NULL, 1));
	for (size_t y = 0; y < m.y_elems; y++)
		if (y / cols == row)
			assert_true(isnan(m.y[y]));
		else
			assert_true(y / cols == pair || !isnan(m.y[y]));
	unmake(&m);
}

/* Sums of no product are the bias. No kernel that shares out products takes them; some kernel does. */
static void test_a_product_of_nothing(void **state)
{
	static const struct layer_case c = {
		"of nothing", 3, 1, 1, 0, 40, 1, 1, 1, 1, 0, 0, 0, 0, 1, true, false, true};
	static const struct vt_kernel *const none[] = {&vt_fc_strassen_f32, &vt_fc_gemm_f32,
						       &vt_xnn_fc_f32};
	struct vt_err e = {0};
	struct vt_layer l;
	struct made m;

	make(&m, &c);
	for (size_t k = 0; k < VT_COUNT(none); k++)
		assert_false(compute(&m, &c, none[k], NULL, 1));
	assert_int_equal(vt_layer_create(&l, &m.g, &m.g.nodes[0], 2, &e), 0);
	for (unsigned int cores = 1; cores <= 7; cores += 3) {
		assert_true(compute(&m, &c, l.kernel, NULL, cores));
		for (size_t y = 0; y < m.y_elems; y++)
			if (!(fabs(defined(&m, &c, y) - (double)m.y[y]) < 1e-6))
				fail_msg("%s is wrong at %zu on %u cores", l.kernel->name, y,
					 cores);
	}
	vt_layer_destroy(&l);
	unmake(&m);
}

static void test_tail_of_panels_is_zero(void **state)
{
	float w[3 * 5], *p;
	size_t nr;

	NEED_OWN();
	p = calloc(vt_gemm_packed_floats(5, 3), sizeof(float));
	assert_non_null(p);
	fill(w, 15, 9);
	vt_gemm_pack(p, &(struct vt_gemm_weights){.w = w,
						  .taps = 1,
						  .channels = 5,
						  .n = 3,
						  .channel_stride = 1,
						  .n_stride = 5});
	nr = vt_gemm_best()->nr;
	for (size_t k = 0; k < 5; k++)
		for (size_t j = 0; j < VT_GEMM_NR; j++)
			assert_true(p[j / nr * nr * 5 + k * nr + j % nr] ==
				    (j < 3 ? w[j * 5 + k] : 0));
	free(p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bits_from_every_traversal),
		cmocka_unit_test(test_conv_equals_definition),
		cmocka_unit_test(test_depthwise_same_bits_on_any_cores),
		cmocka_unit_test(test_winograd_same_bits_on_any_cores),
		cmocka_unit_test(test_strassen_same_bits_on_any_cores),
		cmocka_unit_test(test_strassen_same_bits_from_every_traversal),
		cmocka_unit_test(test_strassen_activates),
		cmocka_unit_test(test_strassen_leaves_the_rest),
		cmocka_unit_test(test_nan_passes_a_clamp),
		cmocka_unit_test(test_nan_stays_in_its_pair),
		cmocka_unit_test(test_a_product_of_nothing),
		cmocka_unit_test(test_tail_of_panels_is_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
