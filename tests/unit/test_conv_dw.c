// SPDX-License-Identifier: Apache-2.0
/* A Conv and the depthwise Conv behind it as one layer: the bits of the two apart, on any cores. */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "gang.h"
#include "kernels/dw.h"
#include "kernels/gemm.h"
#include "kernels/kernels.h"
#include "model/pass.h"

struct pair_case {
	const char *name;
	int n, h, w, c, m; /* input, channels between and after */
	int k, s, pad;	   /* of the first */
	int k2, s2;	   /* of the depthwise one */
	int before, after; /* padding of the depthwise one */
	enum vt_op act;	   /* between and behind */
};

static const struct pair_case cases[] = {
	{"expansion", 1, 28, 28, 16, 96, 1, 1, 0, 3, 1, 1, 1, VT_OP_CLIP},
	{"stride 2", 1, 29, 30, 24, 144, 1, 1, 0, 3, 2, 1, 1, VT_OP_SILU},
	{"5x5", 2, 14, 15, 20, 40, 1, 1, 0, 5, 1, 2, 2, VT_OP_SILU},
	{"5x5 stride 2, odd pads", 1, 17, 23, 8, 33, 1, 1, 0, 5, 2, 1, 3, VT_OP_RELU},
	{"first layer", 1, 31, 30, 3, 32, 3, 2, 1, 3, 1, 1, 1, VT_OP_CLIP},
	{"3x3, three panels", 1, 9, 10, 17, 70, 3, 1, 1, 3, 2, 0, 1, VT_OP_CLIP},
	{"few channels", 3, 8, 8, 5, 7, 1, 1, 0, 3, 1, 1, 1, VT_OP_RELU},
	{"no padding", 1, 12, 12, 16, 48, 1, 1, 0, 3, 1, 0, 0, VT_OP_CLIP},
	{"one pixel", 1, 1, 1, 16, 48, 1, 1, 0, 3, 1, 1, 1, VT_OP_CLIP},
	{"rows of padding alone", 1, 2, 3, 16, 32, 1, 1, 0, 3, 1, 4, 5, VT_OP_RELU},
	{"more rows than are held", 1, 40, 700, 4, 32, 1, 1, 0, 3, 1, 1, 1, VT_OP_SILU},
	{"more of them, 5x5 stride 2", 2, 21, 500, 4, 40, 1, 1, 0, 5, 2, 2, 1, VT_OP_SILU},
	{"rows far apart", 1, 6, 7, 512, 33, 1, 1, 0, 3, 1, 1, 1, VT_OP_CLIP},
	{"strided first", 1, 20, 21, 16, 64, 1, 2, 0, 3, 1, 1, 1, VT_OP_RELU},
};

/* The last node, set to other padding than b_conv() can express. */
static void pad_last(struct vt_graph *g, const struct pair_case *c, int y)
{
	struct vt_node *n = &g->nodes[g->n_nodes - 1];
	const struct vt_shape *x = &vt_in(g, n, 0)->shape;

	n->p.conv.pt = n->p.conv.pl = c->before;
	n->p.conv.pb = n->p.conv.pr = c->after;
	for (int d = 1; d < 3; d++)
		g->tensors[y].shape.dim[d] = (x->dim[d] + c->before + c->after - c->k2) / c->s2 + 1;
}

/* Both nodes with their activations in them. */
static void make(struct vt_graph *g, const struct pair_case *c)
{
	int x, y;

	b_start(g);
	x = b_input(g, "x", SHAPE(c->n, c->h, c->w, c->c));
	y = b_conv(g, x, c->m, c->k, c->s, c->pad, 1, 1);
	y = b_conv(g, y, c->m, c->k2, c->s2, c->k2 / 2, c->m, 3);
	pad_last(g, c, y);
	b_output(g, y);
	for (int i = 0; i < 2; i++)
		g->nodes[i].epi = (struct vt_epilogue){VT_NONE, (int)c->act, -0.25f, 0.75f};
}

/* Node @i by @k, from @x to @y, on @cores; false where @k does not take it. */
static bool compute(const struct vt_graph *g, int i, const struct vt_kernel *k, const float *x,
		    float *y, unsigned int cores)
{
	struct pthreadpool gang = {.run = gang_backwards, .cores = cores, .report_threads = 1};
	const void *in[5] = {x};
	void *out[] = {y};
	const struct vt_binding b = {.in = in, .out = out};

	return gang_layer(g, i, k, &b, (int)(cores % 2), cores > 1 ? &gang : NULL);
}

static float *floats(const struct vt_tensor *t)
{
	float *p = calloc((size_t)vt_shape_elems(&t->shape) + 1, sizeof(float));

	assert_non_null(p);
	return p;
}

static void fill(float *p, size_t n)
{
	unsigned int seed = 7; /* as b_run() does */

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525u + 1013904223u;
		p[i] = (float)(seed >> 8) / (float)(1 << 22) - 2;
	}
}

static void check_case(const struct pair_case *c)
{
	struct vt_graph g;
	struct vt_err e = {0};
	float *x, *between, *y, *want;
	size_t bytes;
	int changed = 0;

	make(&g, c);
	x = floats(vt_in(&g, &g.nodes[0], 0));
	fill(x, (size_t)vt_shape_elems(&vt_in(&g, &g.nodes[0], 0)->shape));
	between = floats(vt_out(&g, &g.nodes[0], 0));
	want = floats(vt_out(&g, &g.nodes[1], 0));
	y = floats(vt_out(&g, &g.nodes[1], 0));
	bytes = (size_t)vt_shape_elems(&vt_out(&g, &g.nodes[1], 0)->shape) * sizeof(float);
	assert_true(compute(&g, 0, &vt_conv2d_gemm_f32, x, between, 1));
	if (!compute(&g, 1, &vt_conv2d_dw_f32, between, want, 1))
		fail_msg("%s: the depthwise kernel does not take it", c->name);
	assert_int_equal(vt_pass_depthwise(&g, &b_eval, &changed, &e), 0);
	assert_int_equal(changed, 1);
	for (unsigned int cores = 1; cores <= 7; cores++) {
		memset(y, 0xff, bytes);
		if (!compute(&g, 0, &vt_conv2d_dw_pair_f32, x, y, cores))
			fail_msg("%s: not taken", c->name);
		if (memcmp(y, want, bytes) != 0)
			fail_msg("%s on %u cores: other bits than the two apart", c->name, cores);
	}
	free(x);
	free(between);
	free(y);
	free(want);
	vt_graph_fini(&g);
}

static void test_same_bits_as_apart(void **state)
{
	if (!vt_gemm_best() || !vt_dw_row(3, 1))
		vt_skip("no matrix kernel or no depthwise row for this CPU");
	for (size_t i = 0; i < VT_COUNT(cases); i++)
		check_case(&cases[i]);
}

/* The reference knows nothing of bands. */
static void test_equals_definition(void **state)
{
	if (!vt_gemm_best() || !vt_dw_row(3, 1))
		vt_skip("no matrix kernel or no depthwise row for this CPU");
	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_graph g;
		float *want, *x, *y;
		size_t n;

		if (cases[i].w > 100)
			continue; /* the reference is slow */
		make(&g, &cases[i]);
		want = b_run(&g, 7, false, &n);
		vt_graph_fini(&g);
		make(&g, &cases[i]);
		assert_int_equal(b_same_function(&g, vt_pass_depthwise), 1);
		x = floats(vt_in(&g, &g.nodes[0], 0));
		fill(x, (size_t)vt_shape_elems(&vt_in(&g, &g.nodes[0], 0)->shape));
		y = floats(vt_out(&g, &g.nodes[0], 0));
		assert_true(compute(&g, 0, &vt_conv2d_dw_pair_f32, x, y, 2));
		for (size_t k = 0; k < n; k++)
			if (!(fabsf(want[k] - y[k]) < 1e-5f))
				fail_msg("%s: %g at %zu, not %g", cases[i].name, (double)y[k], k,
					 (double)want[k]);
		free(want);
		free(x);
		free(y);
		vt_graph_fini(&g);
	}
}

/* Small tensors between two convolutions stay in cache anyway: two layers. */
static void test_joins_large_tensors_only(void **state)
{
	static const struct {
		struct pair_case c;
		bool joins;
	} t[] = {
		{{"large", 1, 56, 56, 24, 144, 1, 1, 0, 3, 1, 1, 1, VT_OP_CLIP}, true},
		{{"small", 1, 14, 14, 64, 384, 1, 1, 0, 3, 1, 1, 1, VT_OP_CLIP}, false},
		{{"gathered for many panels", 1, 56, 56, 24, 144, 3, 1, 1, 3, 1, 1, 1, VT_OP_CLIP},
		 false},
		{{"another activation", 1, 56, 56, 24, 144, 1, 1, 0, 3, 1, 1, 1, VT_OP_ELU}, false},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_graph g;
		bool joins;

		make(&g, &t[i].c);
		joins = vt_conv_dw_joins(&g, &g.nodes[0], &g.nodes[1]);
		if (joins != (t[i].joins && vt_gemm_best() && vt_dw_row(3, 1)))
			fail_msg("%s: %d", t[i].c.name, joins);
		vt_graph_fini(&g);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bits_as_apart),
		cmocka_unit_test(test_equals_definition),
		cmocka_unit_test(test_joins_large_tensors_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
