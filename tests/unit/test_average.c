// SPDX-License-Identifier: Apache-2.0
/* The average that a depthwise layer gives besides: what it is, and the same bits on any cores. */
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

#define MOST_CORES 9

struct average_case {
	const char *name;
	int n, h, w, c; /* c: channels of the depthwise one */
	int k, s;
	int first; /* channels of a 1x1 before it, joined with it; 0: none */
	enum vt_op act;
	int apart; /* further elements between the pixels of the result */
};

static const struct average_case cases[] = {
	{"3x3", 1, 14, 14, 48, 3, 1, 0, VT_OP_SILU, 0},
	{"odd channels", 1, 9, 11, 37, 3, 1, 0, VT_OP_CLIP, 0},
	{"5x5", 2, 13, 10, 20, 5, 1, 0, VT_OP_RELU, 0},
	{"3x3 stride 2, rows apart", 2, 15, 17, 33, 3, 2, 0, VT_OP_SILU, 7},
	{"5x5 stride 2", 3, 12, 19, 7, 5, 2, 0, VT_OP_CLIP, 0},
	{"by channels", 1, 7, 7, 200, 5, 1, 0, VT_OP_SILU, 0},
	{"by channels, images", 3, 7, 7, 130, 3, 1, 0, VT_OP_SILU, 5},
	{"one pixel", 2, 1, 1, 17, 3, 1, 0, VT_OP_RELU, 0},
	{"one row", 1, 1, 40, 17, 3, 1, 0, VT_OP_RELU, 0},
	{"many rows", 1, 112, 9, 18, 3, 1, 0, VT_OP_SILU, 0},
	{"large", 1, 112, 112, 32, 3, 1, 0, VT_OP_SILU, 0},
	{"joined", 1, 28, 28, 96, 3, 1, 16, VT_OP_CLIP, 0},
	{"joined, odd channels", 1, 14, 15, 41, 5, 1, 20, VT_OP_SILU, 3},
	{"joined, stride 2", 2, 29, 30, 70, 3, 2, 9, VT_OP_SILU, 0},
	{"joined, 5x5 stride 2", 3, 17, 23, 33, 5, 2, 8, VT_OP_RELU, 0},
	{"joined, bands", 1, 40, 700, 32, 3, 1, 4, VT_OP_SILU, 0},
};

/* One node that gives both. */
static void make(struct vt_graph *g, const struct average_case *c)
{
	struct vt_err e = {0};
	int y, changed = 0;

	b_start(g);
	y = b_input(g, "x", SHAPE(c->n, c->h, c->w, c->first ? c->first : c->c));
	if (c->first)
		y = b_conv(g, y, c->c, 1, 1, 0, 1, 1);
	y = b_conv(g, y, c->c, c->k, c->s, c->k / 2, c->c, 3);
	for (int i = 0; i < g->n_nodes; i++)
		g->nodes[i].epi = (struct vt_epilogue){VT_NONE, (int)c->act, -0.25f, 0.75f};
	b_output(g, y);
	b_output(g, b_gap(g, y));
	if (vt_pass_depthwise(g, &b_eval, &changed, &e) ||
	    vt_pass_squeeze(g, &b_eval, &changed, &e) || vt_graph_check(g, &e))
		fail_msg("%s: %s", c->name, e.msg);
	assert_int_equal(g->n_nodes, 1);
	assert_true(vt_averages(&g->nodes[0]));
	g->tensors[y].row_stride = c->apart ? c->c + c->apart : 0;
}

static size_t elems(const struct vt_tensor *t)
{
	return (size_t)vt_shape_elems(&t->shape);
}

static float *made(const struct vt_tensor *t)
{
	float *p = malloc(elems(t) * sizeof(*p) + 64);
	unsigned int seed = 7;

	assert_non_null(p);
	for (size_t i = 0; i < elems(t); i++) {
		seed = seed * 1664525u + 1013904223u;
		p[i] = (float)(seed >> 8) / (float)(1 << 22) - 2;
	}
	return p;
}

/* Both results on @cores, the second instance where that is odd. */
static void compute(const struct vt_graph *g, const struct average_case *c, const float *x,
		    float *y, float *average, unsigned int cores)
{
	struct pthreadpool gang = {.run = gang_backwards, .cores = cores, .report_threads = 1};
	const void *in[5] = {x};
	void *out[] = {y, average};
	const struct vt_binding b = {.in = in, .out = out};
	const struct vt_kernel *k = c->first ? &vt_conv2d_dw_pair_f32 : &vt_conv2d_dw_f32;

	if (!gang_layer(g, 0, k, &b, (int)(cores % 2), cores > 1 ? &gang : NULL))
		fail_msg("%s: not taken", c->name);
}

/* Against sums in double of what the layer gives itself, which other tests look at. */
static void check_average(const struct average_case *c, const struct vt_tensor *t, const float *y,
			  const float *average)
{
	const size_t ld = (size_t)(c->c + c->apart), pixels = elems(t) / (size_t)(c->n * c->c);

	for (size_t i = 0; i < (size_t)(c->n * c->c); i++) {
		const float *at = y + i / (size_t)c->c * pixels * ld + i % (size_t)c->c;
		double sum = 0, most = 0;

		for (size_t p = 0; p < pixels; p++, at += ld) {
			sum += (double)*at;
			most += fabs((double)*at);
		}
		/* a few roundings: that of a span's 7, some spans', the tree's, the quotient's */
		if (!(fabs(sum - (double)average[i] * (double)pixels) <= 2e-7 * most + 1e-30))
			fail_msg("%s: %.9g at %zu, not %.9g", c->name, (double)average[i], i,
				 sum / (double)pixels);
	}
}

static void check_case(const struct average_case *c)
{
	const size_t averages = (size_t)(c->n * c->c) * sizeof(float);
	struct vt_graph g;
	const struct vt_tensor *t;
	float *x, *y, *again, *average, *first;
	size_t bytes;

	make(&g, c);
	t = vt_out(&g, &g.nodes[0], 0);
	bytes = elems(t) / (size_t)c->c * (size_t)(c->c + c->apart) * sizeof(float);
	x = made(vt_in(&g, &g.nodes[0], 0));
	y = calloc(1, bytes);
	again = calloc(1, bytes);
	average = malloc(averages);
	first = malloc(averages);
	memset(first, 0xff, averages);
	compute(&g, c, x, y, first, 1);
	check_average(c, t, y, first);
	for (unsigned int cores = 2; cores <= MOST_CORES; cores++) {
		memset(average, 0xff, averages);
		compute(&g, c, x, again, average, cores);
		if (memcmp(y, again, bytes) || memcmp(average, first, averages))
			fail_msg("%s on %u cores: other bits", c->name, cores);
	}
	/* and the result is what it is without the average */
	memset(again, 0, bytes);
	g.nodes[0].n_out = 1;
	compute(&g, c, x, again, NULL, 2);
	assert_memory_equal(y, again, bytes);
	free(x);
	free(y);
	free(again);
	free(average);
	free(first);
	vt_graph_fini(&g);
}

static void test_average_of_rows(void **state)
{
	if (!vt_gemm_best() || !vt_dw_row(3, 1))
		vt_skip("no matrix kernel or no depthwise row for this CPU");
	for (size_t i = 0; i < VT_COUNT(cases); i++)
		check_case(&cases[i]);
}

/* No kernel that would give the result alone is taken, and none is promised where there is none. */
static void test_who_gives_it(void **state)
{
	static const struct {
		struct average_case c;
		bool ours;
	} t[] = {
		{{"small", 1, 14, 14, 32, 3, 1, 0, VT_OP_SILU, 0}, true},
		{{"joined", 1, 14, 14, 32, 3, 1, 8, VT_OP_SILU, 0}, true},
		{{"another activation", 1, 14, 14, 32, 3, 1, 0, VT_OP_ELU, 0}, false},
		{{"7x7", 1, 14, 14, 32, 7, 1, 0, VT_OP_SILU, 0}, false},
		{{"stride 3", 1, 14, 14, 32, 3, 3, 0, VT_OP_SILU, 0}, false},
		{{"large and clamped", 1, 112, 112, 32, 3, 1, 0, VT_OP_RELU, 0}, false},
		{{"no image", 0, 14, 14, 32, 3, 1, 0, VT_OP_SILU, 0}, false},
		{{"one channel", 1, 14, 14, 1, 3, 1, 0, VT_OP_SILU, 0}, true},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		const bool ours = t[i].ours && vt_gemm_best() && vt_dw_row(3, 1);
		struct vt_graph g;
		struct vt_layer l;
		struct vt_err e = {0};
		int rc;

		make(&g, &t[i].c);
		if (vt_dw_averages(&g, &g.nodes[0]) != ours)
			fail_msg("%s: promised %d", t[i].c.name, !ours);
		rc = vt_layer_create(&l, &g, &g.nodes[0], 1, &e);
		/* a layer that writes nothing is one too */
		if ((rc == 0) != (ours || !t[i].c.n))
			fail_msg("%s: %d", t[i].c.name, rc);
		if (ours)
			assert_true(l.work_bytes > 0);
		if (!rc)
			vt_layer_destroy(&l);
		vt_graph_fini(&g);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_average_of_rows),
		cmocka_unit_test(test_who_gives_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
