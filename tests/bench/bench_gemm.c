// SPDX-License-Identifier: Apache-2.0
/*
 * bench_gemm.c - one fully connected layer on one core: every kernel and traversal beside the peak
 *of the core.
 *
 *	make bench-gemm [GEMM="384 1024 4096 20"]
 *
 * The peak is what independent fused multiply-adds on registers reach in the same run. All
 *candidates and the peak are measured in turn, round after round, because the clock of a shared
 *machine drifts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpuset.h"
#include "base/rng.h"
#include "kernels/bigmem.h"
#include "kernels/gemm.h"
#include "kernels/kernels.h"
#include "kernels/tile.h"
#include "kernels/variant.h"
#include "tests/bench/peak.h"

#define MAX_ROUNDS  1000
#define MAX_RUNS    64
#define VT_COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct candidate {
	char name[64];
	const struct vt_kernel *kernel; /* NULL: the peak */
	const struct vt_variant *variant;
	struct vt_layer *layer; /* one per kernel, shared by its traversals */
	double gflops[MAX_ROUNDS];
};

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void fill(float *p, size_t n)
{
	struct vt_rng r = {1};

	for (size_t i = 0; i < n; i++)
		p[i] = (float)(vt_rng_unit(&r) * 2 - 1);
}

static double measure(struct candidate *c, double flops)
{
	struct pthreadpool alone = {.variant = c->variant, .cores = 1, .report_threads = 1};
	uint64_t t0;

	if (!c->kernel)
		return vt_peak_gflops();
	t0 = vt_now_mono_ns();
	c->kernel->run(c->layer, 0, &alone);
	return flops / (double)(vt_now_mono_ns() - t0);
}

static int make_layer(struct vt_layer *l, const struct vt_graph *g, const struct vt_kernel *k,
		      const struct vt_binding *b)
{
	struct vt_err e = {0};

	*l = (struct vt_layer){.kernel = k, .n_inst = 1};
	if (!k->create(l, g, &g->nodes[0], &e) && !vt_scratch_reserve(l->scratch_bytes) &&
	    !k->bind(l, 0, b))
		return 0;
	vt_layer_destroy(l);
	return -1;
}

int main(int argc, char **argv)
{
	const int m = argc > 1 ? atoi(argv[1]) : 384, k = argc > 2 ? atoi(argv[2]) : 1024,
		  n = argc > 3 ? atoi(argv[3]) : 4096;
	int rounds = argc > 4 ? atoi(argv[4]) : 20, runs = 1;
	const struct vt_kernel *kernels[] = {&vt_xnn_fc_f32, &vt_fc_gemm_f32, &vt_fc_strassen_f32};
	struct candidate *c = calloc(MAX_RUNS, sizeof(*c));
	struct vt_layer layers[VT_COUNT(kernels)] = {0};
	struct vt_graph g;
	struct vt_cpuset cores;
	int in[2], out;
	float *x, *y;

	if (m < 1 || k < 1 || n < 1 || rounds < 1 || rounds > MAX_ROUNDS || !c) {
		fprintf(stderr, "usage: bench_gemm [M K N [ROUNDS]]\n");
		free(c);
		return 2;
	}
	vt_cpuset_allowed(&cores);
	vt_cpuset_pin_self((unsigned int)vt_cpuset_next(&cores, 0));
	vt_graph_init(&g, "bench");
	in[0] = vt_graph_add_tensor(&g, "x", VT_T_INPUT, VT_F32, &(struct vt_shape){2, {m, k}});
	in[1] = vt_graph_add_const(&g, "w", VT_F32, &(struct vt_shape){2, {n, k}});
	out = vt_graph_add_tensor(&g, "y", VT_T_COMPUTED, VT_F32, &(struct vt_shape){2, {m, n}});
	vt_graph_add_node(&g, VT_OP_FC, "fc", in, 2, &out, 1);
	fill(g.tensors[in[1]].data, (size_t)n * (size_t)k);
	x = vt_big_alloc((size_t)m * (size_t)k * sizeof(float) + 64);
	y = vt_big_alloc((size_t)m * (size_t)n * sizeof(float) + 64);
	if (!x || !y) {
		free(c);
		return 1;
	}
	fill(x, (size_t)m * (size_t)k);
	snprintf(c[0].name, sizeof(c[0].name), "peak (fused multiply-adds on registers)");
	for (size_t i = 0; i < VT_COUNT(kernels); i++) {
		const struct vt_binding b = {.in = (const void *[]){x, NULL, NULL},
					     .out = (void *[]){y}};

		if (make_layer(&layers[i], &g, kernels[i], &b))
			continue;
		for (const struct vt_variant *v = vt_variants; v->name && runs < MAX_RUNS; v++) {
			/* What is no nest of rows and columns has one way through. */
			if (layers[i].depth ? v->kind != VT_VARIANT_MATRIX
					    : v != vt_variant_plain())
				continue;
			c[runs] = (struct candidate){
				.kernel = kernels[i], .variant = v, .layer = &layers[i]};
			snprintf(c[runs].name, sizeof(c[runs].name), "%s %s", kernels[i]->name,
				 layers[i].depth ? v->name + strlen("f32_gemm_") : v->name);
			runs++;
		}
	}
	for (int r = -1; r < rounds; r++) /* round -1 warms up */
		for (int i = 0; i < runs; i++)
			c[i].gflops[r < 0 ? 0 : r] = measure(&c[i], 2.0 * m * k * n);
	printf("FullyConnected %dx%d -> %d, f32, one core, %d rounds in turn (GFLOP/s)\n", m, k, n,
	       rounds);
	printf("%-44s %8s %8s %8s %14s\n", "", "p10", "median", "best", "median / peak");
	for (int i = 0; i < runs; i++) {
		qsort(c[i].gflops, (size_t)rounds, sizeof(double), by_value);
		printf("%-44s %8.1f %8.1f %8.1f %13.0f%%\n", c[i].name, c[i].gflops[rounds / 10],
		       c[i].gflops[rounds / 2], c[i].gflops[rounds - 1],
		       100 * c[i].gflops[rounds / 2] / c[0].gflops[rounds / 2]);
	}
	for (size_t i = 0; i < VT_COUNT(kernels); i++)
		vt_layer_destroy(&layers[i]);
	vt_graph_fini(&g);
	vt_big_free(x, (size_t)m * (size_t)k * sizeof(float) + 64);
	vt_big_free(y, (size_t)m * (size_t)n * sizeof(float) + 64);
	free(c);
	return 0;
}
