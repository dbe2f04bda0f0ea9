// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "engine_fixture.h"
#include "exec/engine.h"
#include "kernels/bigmem.h"
#include "kernels/gemm.h"
#include "model/zoo.h"
#include "onnx_text.h"

/*
 * Whole models on the pool: two instances of one model at the same time, any set of cores, a core
 * that joins while the model runs. The outputs are the same bits as those of a run on one thread.
 */

static const char *const names[] = {"mobilenet-v2-tiny", "efficientnet-b0-tiny", "resnet-50-tiny",
				    "googlenet-tiny", "bert-large-tiny"};

static char dir[] = "/tmp/veltair-test-model-XXXXXX";

/* Inputs of an instance from a seed; integers stay 0, a valid index anywhere. */
static void fill(struct vt_engine *m, int inst, uint64_t seed)
{
	struct vt_rng r = {seed};

	for (int i = 0; i < m->graph.n_inputs; i++) {
		const struct vt_tensor *t = &m->graph.tensors[m->graph.inputs[i]];
		const size_t n = (size_t)vt_shape_elems(&t->shape);
		void *to = vt_engine_tensor(m, inst, m->graph.inputs[i]);

		memset(to, 0, n * vt_dtype_bytes(t->dtype));
		for (size_t k = 0; k < n && t->dtype == VT_F32; k++)
			((float *)to)[k] = (float)(vt_rng_unit(&r) * 2 - 1);
	}
}

static size_t output_bytes(const struct vt_engine *m)
{
	const struct vt_tensor *t = &m->graph.tensors[m->graph.outputs[0]];

	return (size_t)vt_shape_elems(&t->shape) * vt_dtype_bytes(t->dtype);
}

/* The first output of a run on the calling thread; to be freed. */
static void *expected(struct vt_engine *m, uint64_t seed)
{
	void *want = malloc(output_bytes(m));

	assert_non_null(want);
	assert_int_equal(vt_scratch_reserve(m->scratch_bytes), 0);
	fill(m, 0, seed);
	vt_engine_run_inline(m, 0);
	memcpy(want, vt_engine_tensor(m, 0, m->graph.outputs[0]), output_bytes(m));
	return want;
}

static void check_output(struct vt_engine *m, int inst, const void *want)
{
	assert_memory_equal(vt_engine_tensor(m, inst, m->graph.outputs[0]), want, output_bytes(m));
}

static struct vt_pool *two_cores(struct vt_cpuset one[2], struct vt_cpuset *both)
{
	struct vt_cpuset allowed;
	struct vt_pool *p = NULL;
	struct vt_err e = {0};
	int c = -1;

	vt_cpuset_allowed(&allowed);
	memset(one, 0, 2 * sizeof(*one));
	*both = (struct vt_cpuset){0};
	for (int i = 0; i < 2; i++) {
		c = vt_cpuset_next(&allowed, (unsigned int)(c + 1));
		if (c < 0)
			return NULL;
		vt_cpuset_add(&one[i], (unsigned int)c);
		vt_cpuset_add(both, (unsigned int)c);
	}
	assert_int_equal(vt_pool_open(&p, both, &e), 0);
	return p;
}

static _Atomic int over;

static void note_done(struct vt_work *b)
{
	atomic_fetch_add(&over, 1);
}

static void wait_for(int n)
{
	while (atomic_load(&over) < n)
		sched_yield();
}

static void test_two_instances_at_once(void **state)
{
	struct vt_cpuset one[2], both;
	struct vt_pool *p = two_cores(one, &both);

	if (!p)
		vt_skip("needs two cores");
	for (size_t i = 0; i < VT_COUNT(names); i++) {
		struct vt_engine *m = fx_engine(dir, names[i], 2);
		void *want[2] = {expected(m, 7), expected(m, 8)};

		assert_int_equal(vt_pool_reserve(p, m->scratch_bytes), 0);
		for (int round = 0; round < 20; round++) {
			struct vt_run r[2];

			atomic_store(&over, 0);
			for (int k = 0; k < 2; k++) {
				fill(m, k, 7 + (uint64_t)k);
				vt_run_init(&r[k], m, k);
				r[k].work.done = note_done;
				assert_int_equal(vt_pool_start(p, &r[k].work, &one[k]), 0);
			}
			wait_for(2);
			check_output(m, 0, want[0]);
			check_output(m, 1, want[1]);
		}
		free(want[0]);
		free(want[1]);
		vt_engine_free(m);
	}
	vt_pool_close(p);
}

static void test_any_cores_and_a_late_helper(void **state)
{
	struct vt_cpuset one[2], both;
	struct vt_pool *p = two_cores(one, &both);
	unsigned int second;

	if (!p)
		vt_skip("needs two cores");
	second = (unsigned int)vt_cpuset_next(&one[1], 0);
	for (size_t i = 0; i < VT_COUNT(names); i++) {
		struct vt_engine *m = fx_engine(dir, names[i], 1);
		void *want = expected(m, 7);

		assert_int_equal(vt_pool_reserve(p, m->scratch_bytes), 0);
		for (int round = 0; round < 30; round++) {
			struct vt_run r;

			fill(m, 0, 7);
			vt_run_init(&r, m, 0);
			atomic_store(&over, 0);
			r.work.done = note_done;
			assert_int_equal(vt_pool_start(p, &r.work, round % 2 ? &both : &one[0]), 0);
			/* Sometimes in time, sometimes too late: neither may matter. */
			if (round % 4 == 0)
				vt_pool_join(p, (unsigned int)vt_cpuset_next(&one[0], 0), second);
			wait_for(1);
			vt_pool_leave(p, second);
			check_output(m, 0, want);
		}
		free(want);
		vt_engine_free(m);
	}
	vt_pool_close(p);
}

/* Blocks: a run cut at every step, as the scheduler cuts it, is the same run. */
static void test_blocks_of_one_layer(void **state)
{
	struct vt_cpuset one[2], both;
	struct vt_pool *p = two_cores(one, &both);
	struct vt_engine *m;
	struct vt_run r;
	void *want;

	if (!p)
		vt_skip("needs two cores");
	m = fx_engine(dir, "googlenet-tiny", 1);
	want = expected(m, 3);
	assert_int_equal(vt_pool_reserve(p, m->scratch_bytes), 0);
	fill(m, 0, 3);
	for (int i = 0; i < m->n_steps; i++) {
		vt_run_init(&r, m, 0);
		r.first = i;
		r.last = i + 1;
		assert_int_equal(vt_pool_run(p, &r.work, i % 3 ? &both : &one[i % 2]), 0);
	}
	check_output(m, 0, want);
	free(want);
	vt_engine_free(m);
	vt_pool_close(p);
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

/* Pages of an arena are there once a run has written them. */
static void test_unwritten_bytes(void **state)
{
	struct vt_zoo_opts zo = {.seed = 1};
	struct vt_engine_opts o = {.instances = 3};
	struct vt_engine *m = NULL;
	size_t all, then;
	char path[128];

	snprintf(path, sizeof(path), "%s/mobilenet-v2.onnx", dir);
	assert_int_equal(vt_zoo_write(vt_zoo_find("mobilenet-v2"), dir, &zo, NULL, NULL), 0);
	assert_int_equal(vt_engine_load(&m, path, &o, NULL), 0);
	unlink(path);
	assert_true(m->arena_bytes >= VT_BIG_FROM);
	all = vt_engine_unwritten_bytes(m);
	assert_in_range(all, 3 * m->arena_bytes, 3 * (m->arena_bytes + 4096));
	assert_int_equal(vt_scratch_reserve(m->scratch_bytes), 0);
	fill(m, 1, 1);
	vt_engine_run_inline(m, 1);
	then = vt_engine_unwritten_bytes(m);
	assert_in_range(all - then, m->arena_bytes / 2, m->arena_bytes + ((size_t)2 << 20));
	vt_engine_free(m);
	/* What is small is written when it is made. */
	m = fx_engine(dir, "resnet-50-tiny", 3);
	assert_true(m->arena_bytes < VT_BIG_FROM);
	assert_int_equal(vt_engine_unwritten_bytes(m), 0);
	vt_engine_free(m);
}

/* More than it may take is told before the arenas are touched. */
static void test_bytes_at_most(void **state)
{
	struct vt_zoo_opts zo = {.seed = 1};
	struct vt_engine *m = fx_engine(dir, "resnet-50-tiny", 1);
	const size_t weights = m->weights_bytes, arena = m->arena_bytes;
	const struct {
		size_t max_bytes;
		int instances, err;
	} t[] = {
		{0, 1, 0},
		{0, 64, 0},
		{2 * weights + arena, 1, 0},
		{2 * weights + 3 * arena, 3, 0},
		{weights - 1, 1, -ENOMEM},
		{1, 1, -ENOMEM},
		{2 * weights + 3 * arena, 64, -ENOMEM},
	};
	char path[128];

	vt_engine_free(m);
	snprintf(path, sizeof(path), "%s/resnet-50-tiny.onnx", dir);
	assert_int_equal(vt_zoo_write(vt_zoo_find("resnet-50-tiny"), dir, &zo, NULL, NULL), 0);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_engine_opts o = {.instances = t[i].instances,
					   .max_bytes = t[i].max_bytes};
		struct vt_err e = {0};

		m = NULL;
		assert_int_equal(vt_engine_load(&m, path, &o, &e), t[i].err);
		assert_true(!t[i].err || strstr(e.msg, "does not fit in memory"));
		vt_engine_free(m);
	}
	unlink(path);
}

static int load_text(struct vt_engine **m, const char *text, const struct vt_engine_opts *o,
		     struct vt_err *e)
{
	char path[128];
	size_t len;
	uint8_t *model = vt_onnx_text(text, 13, &len);
	FILE *f;
	int err;

	assert_non_null(model);
	snprintf(path, sizeof(path), "%s/text.onnx", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(model, 1, len, f), len);
	fclose(f);
	free(model);
	*m = NULL;
	err = vt_engine_load(m, path, o, e);
	unlink(path);
	return err;
}

static int count_direct(const struct vt_engine *m)
{
	int n = 0;

	for (int i = 0; i < m->n_steps; i++)
		n += vt_kernel_direct(m->steps[i].layer.kernel);
	return n;
}

/* Fast algorithms are for models whose weights find room more than once. */
static void test_fast_kernels_where_there_is_memory(void **state)
{
	const struct {
		size_t max_bytes;
		int n_direct;
		bool direct, short_of_memory;
	} t[] = {
		{0, 0, false, false},
		{0, 2, true, false},
		{(size_t)16 << 20, 0, false, false}, /* 2 x 7 MiB, and activations */
		{(size_t)27 << 19, 1, false, true},  /* 7 and 4 */
		{(size_t)21 << 19, 2, false, true},  /* 2 x 4 */
	};
	static const char *const text =
		"in x f32 128,1024; const s i64 2 = 1024,1024; const t i64 2 = 1024,1026; "
		"w = ConstantOfShape(s); v = ConstantOfShape(t); a = MatMul(x, w); y "
		"= MatMul(a, v); out y";

	if (!vt_gemm_best())
		vt_skip("fast algorithms need AVX2 or AVX-512");
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_engine_opts o = {.direct = t[i].direct, .max_bytes = t[i].max_bytes};
		struct vt_engine *m = NULL;
		struct vt_err e = {0};

		if (load_text(&m, text, &o, &e))
			fail_msg("%zu: %s", i, e.msg);
		assert_int_equal(m->n_steps, 2);
		assert_int_equal(count_direct(m), t[i].n_direct);
		assert_true(m->short_of_memory == t[i].short_of_memory);
		assert_true(!t[i].max_bytes || m->weights_bytes + m->arena_bytes <= t[i].max_bytes);
		vt_engine_free(m);
	}
}

/* What a layer packs at every run, and XNNPACK's weights of every kind, are memory like any other. */
static void test_bytes_of_layers(void **state)
{
	static const struct {
		const char *text;
		size_t weights, work; /* at least */
	} t[] = {
		{"in x f32 1,64,8,8; const s i64 4 = 64,64,4,4; w = ConstantOfShape(s); "
		 "y = ConvTranspose(x, w) strides=[2,2] pads=[1,1,1,1]; out y",
		 256 << 10, 0},
		{"in x f32 8,512; in y f32 512,512; z = MatMul(x, y); out z", 0, 2 << 20},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_engine_opts o = {.instances = 2};
		struct vt_err e = {0};
		struct vt_engine *m;
		size_t all;

		if (t[i].work && !vt_gemm_best())
			continue;
		assert_int_equal(load_text(&m, t[i].text, &o, &e), 0);
		assert_true(m->weights_bytes >= t[i].weights && m->work_bytes >= t[i].work);
		all = m->weights_bytes + m->work_bytes + 2 * m->arena_bytes;
		vt_engine_free(m);
		o.max_bytes = all;
		assert_int_equal(load_text(&m, t[i].text, &o, &e), 0);
		vt_engine_free(m);
		o.max_bytes = all - 1;
		assert_int_equal(load_text(&m, t[i].text, &o, &e), -ENOMEM);
		assert_non_null(strstr(e.msg, "does not fit in memory"));
	}
}

/* A right operand that is computed is read like weights: many of them are shared out, or kept in blocks. */
static void test_products_are_cut(void **state)
{
	static const size_t l2[] = {1 << 20, 2 << 20};

	if (!vt_gemm_best())
		vt_skip("our own matrix kernels need AVX2 or AVX-512");
	for (size_t i = 0; i < VT_COUNT(l2); i++)
		for (int many = 0; many < 2; many++) {
			const struct vt_engine_opts o = {.l2_bytes = l2[i]};
			const size_t rows = many ? 512 : 8;
			const struct vt_variant *v;
			struct vt_err e = {0};
			struct vt_engine *m;
			size_t mc, nc;

			assert_int_equal(load_text(&m,
						   many ? "in x f32 512,4096; in y f32 4096,4096; "
							  "z = MatMul(x, y); out z"
							: "in x f32 8,4096; in y f32 4096,4096; "
							  "z = MatMul(x, y); out z",
						   &o, &e),
					 0);
			assert_int_equal(m->n_steps, 1);
			v = m->steps[0].variant;
			vt_tile_cut(v, rows, 4096, 1, 2, &mc, &nc);
			assert_true(v->fit && mc * nc <= rows * 4096 / 2);
			assert_true(v->cols_outer == (many != 0));
			vt_engine_free(m);
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unwritten_bytes),
		cmocka_unit_test(test_bytes_at_most),
		cmocka_unit_test(test_fast_kernels_where_there_is_memory),
		cmocka_unit_test(test_bytes_of_layers),
		cmocka_unit_test(test_products_are_cut),
		cmocka_unit_test(test_two_instances_at_once),
		cmocka_unit_test(test_any_cores_and_a_late_helper),
		cmocka_unit_test(test_blocks_of_one_layer),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
