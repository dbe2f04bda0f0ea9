// SPDX-License-Identifier: Apache-2.0
/* test_xnn_mem.c - instances of a layer share the pages of their packed weights, and nothing else does. */
#include "harness.h"

#include <string.h>

#include <xnnpack.h>

#include "kernels/kernels.h"
#include "kernels/layer.h"
#include "kernels/tile.h"
#include "kernels/xnn_mem.h"

#define BYTES ((size_t)1 << 20)

static unsigned char *block(int fill)
{
	const struct xnn_allocator *a = vt_xnn_allocator();
	unsigned char *p = a->aligned_allocate(a->context, 64, BYTES);

	assert_non_null(p);
	memset(p, fill, BYTES);
	vt_xnn_mem_share();
	return p;
}

static void drop(void *p)
{
	const struct xnn_allocator *a = vt_xnn_allocator();

	a->aligned_deallocate(a->context, p);
}

static void test_equal_blocks_become_the_same_pages(void **state)
{
	/* fills of the blocks in the order they come; the order they go */
	static const struct {
		const char *name;
		int n, fill[4], go[4];
		size_t held; /* blocks' worth of memory when all are there */
	} t[] = {
		{"one", 1, {1}, {0}, 1},
		{"two equal, the first goes first", 2, {1, 1}, {0, 1}, 1},
		{"two equal, the first goes last", 2, {1, 1}, {1, 0}, 1},
		{"two different", 2, {1, 2}, {0, 1}, 2},
		{"three equal, the owner in the middle", 3, {3, 3, 3}, {1, 0, 2}, 1},
		{"pairs", 4, {1, 2, 1, 2}, {0, 1, 2, 3}, 2},
	};
	const size_t before = vt_xnn_mem_bytes();

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		unsigned char *p[4] = {NULL};

		print_message("%s\n", t[i].name);
		for (int k = 0; k < t[i].n; k++)
			p[k] = block(t[i].fill[k]);
		assert_int_equal(vt_xnn_mem_bytes() - before, t[i].held * BYTES);
		/* The same pages, not merely fewer counted: what one writes all equal ones read. */
		p[0][BYTES / 2] = 77;
		for (int k = 0; k < t[i].n; k++)
			assert_int_equal(p[k][BYTES / 2],
					 t[i].fill[k] == t[i].fill[0] ? 77 : t[i].fill[k]);
		for (int k = 0; k < t[i].n; k++) {
			drop(p[t[i].go[k]]);
			for (int m = k + 1; m < t[i].n; m++) /* whoever stays keeps its bytes */
				assert_int_equal(p[t[i].go[m]][BYTES - 1], t[i].fill[t[i].go[m]]);
		}
		assert_int_equal(vt_xnn_mem_bytes(), before);
	}
}

/* A fully connected layer of XNNPACK, k x n weights. */
static void fc_layer(struct vt_layer *l, struct vt_graph *g, int k, int n)
{
	struct vt_err e = {0};
	int in[2], out;
	float *w;

	vt_graph_init(g, "share");
	in[0] = vt_graph_add_tensor(g, "x", VT_T_INPUT, VT_F32, &(struct vt_shape){2, {4, k}});
	in[1] = vt_graph_add_const(g, "w", VT_F32, &(struct vt_shape){2, {n, k}});
	out = vt_graph_add_tensor(g, "y", VT_T_COMPUTED, VT_F32, &(struct vt_shape){2, {4, n}});
	vt_graph_add_node(g, VT_OP_FC, "fc", in, 2, &out, 1);
	w = g->tensors[in[1]].data;
	for (int i = 0; i < n * k; i++)
		w[i] = (float)(i % 1009);
	assert_int_equal(vt_xnn_fc_f32.create(l, g, &g->nodes[0], &e), 0);
}

/* Memory of one with @instances. */
static size_t layer_bytes(int instances, int k, int n)
{
	const size_t before = vt_xnn_mem_bytes();
	struct vt_layer l = {.kernel = &vt_xnn_fc_f32, .n_inst = instances};
	struct vt_graph g;
	size_t held;

	fc_layer(&l, &g, k, n);
	held = vt_xnn_mem_bytes() - before;
	vt_layer_destroy(&l);
	vt_graph_fini(&g);
	assert_int_equal(vt_xnn_mem_bytes(), before);
	return held;
}

static void test_instances_of_a_layer_hold_one_copy(void **state)
{
	size_t one;

	if (!vt_xnn_usable())
		vt_skip("XNNPACK does not start on this CPU");
	one = layer_bytes(1, 512, 1024);
	assert_true(one >= 512u * 1024 * sizeof(float));
	assert_int_equal(layer_bytes(2, 512, 1024), one);
	assert_int_equal(layer_bytes(4, 512, 1024), one);
}

/* Small blocks are shared by nobody. */
static void test_small_weights_count_too(void **state)
{
	if (!vt_xnn_usable())
		vt_skip("XNNPACK does not start on this CPU");
	for (int n = 1; n < 3; n++) {
		struct vt_layer l = {.kernel = &vt_xnn_fc_f32, .n_inst = n};
		struct vt_graph g;

		fc_layer(&l, &g, 16, 16);
		assert_int_equal(l.weight_bytes, (size_t)n * (16 * 16 + 16) * sizeof(float));
		vt_layer_destroy(&l);
		vt_graph_fini(&g);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_equal_blocks_become_the_same_pages),
		cmocka_unit_test(test_instances_of_a_layer_hold_one_copy),
		cmocka_unit_test(test_small_weights_count_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
