// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rng.h"
#include "exec/engine.h"
#include "kernels/variant.h"
#include "model/zoo.h"
#include "onnx_text.h"

/*
 * Every variant of every layer of the tiny zoo gives the same bits, on one core and on two, with
 * our kernels and with XNNPACK's. Each step runs on the same memory again and again; afterwards all
 * of the instance's memory must be what the default made of it.
 */

static char dir[] = "/tmp/veltair-test-variants-XXXXXX";

static struct vt_engine *load(const char *path, bool (*may)(const struct vt_kernel *k))
{
	struct vt_engine_opts o = {.may = may};
	struct vt_engine *m = NULL;
	struct vt_err e = {0};

	if (vt_engine_load(&m, path, &o, &e))
		fail_msg("%s", e.msg);
	return m;
}

static void fill(struct vt_engine *m)
{
	struct vt_rng r = {7};

	for (int i = 0; i < m->graph.n_inputs; i++) {
		const struct vt_tensor *t = &m->graph.tensors[m->graph.inputs[i]];
		const size_t n = (size_t)vt_shape_elems(&t->shape);
		void *to = vt_engine_tensor(m, 0, m->graph.inputs[i]);

		memset(to, 0, n * vt_dtype_bytes(t->dtype));
		for (size_t k = 0; k < n && t->dtype == VT_F32; k++)
			((float *)to)[k] = (float)(vt_rng_unit(&r) * 2 - 1);
	}
}

struct cores {
	struct vt_pool *pool;
	struct vt_cpuset grant[2]; /* one core; all, at most two */
	int n;
};

static void run_step(struct vt_engine *m, struct cores *c, int step, const struct vt_variant *v,
		     int grant, const struct vt_variant **variants)
{
	struct vt_run r;

	vt_run_init(&r, m, 0);
	r.first = step;
	r.last = step + 1;
	variants[step] = v;
	r.variants = variants;
	assert_int_equal(vt_pool_run(c->pool, &r.work, &c->grant[grant]), 0);
}

/* Returns how many runs were compared. */
static int try_step(struct vt_engine *m, struct cores *c, int step, const char *name, char *before,
		    char *after, const struct vt_variant **variants)
{
	const struct vt_layer *l = &m->steps[step].layer;
	const size_t bytes = m->arena_bytes;
	int runs = 0;

	memcpy(before, m->inst[0].arena, bytes);
	run_step(m, c, step, NULL, 0, variants);
	memcpy(after, m->inst[0].arena, bytes);
	for (const struct vt_variant *v = vt_variants; v->name; v++)
		for (int g = 0; g < c->n && vt_variant_applies(v, l->cols, l->depth); g++) {
			memcpy(m->inst[0].arena, before, bytes);
			run_step(m, c, step, v, g, variants);
			if (memcmp(m->inst[0].arena, after, bytes) != 0)
				fail_msg("%s, '%s' (%s): %s on %d cores gives other bits", name,
					 m->graph.nodes[m->steps[step].node].name, l->kernel->name,
					 v->name, g + 1);
			runs++;
		}
	return runs;
}

static int try_model(struct vt_engine *m, struct cores *c, const char *name)
{
	const struct vt_variant **variants = calloc((size_t)m->n_steps + 1, sizeof(*variants));
	char *before = malloc(m->arena_bytes), *after = malloc(m->arena_bytes);
	int runs = 0;

	assert_true(variants && before && after);
	assert_int_equal(vt_pool_reserve(c->pool, m->scratch_bytes), 0);
	memset(m->inst[0].arena, 0, m->arena_bytes);
	fill(m);
	for (int i = 0; i < m->n_steps; i++) {
		const int n = try_step(m, c, i, name, before, after, variants);

		if (!n)
			fail_msg("%s: step %d has no variant at all", name, i);
		runs += n;
		variants[i] = NULL;
	}
	free(variants);
	free(before);
	free(after);
	return runs;
}

static struct cores open_cores(void)
{
	struct cores c = {0};
	struct vt_cpuset allowed;
	struct vt_err e = {0};
	int core = -1;

	vt_cpuset_allowed(&allowed);
	for (c.n = 0; c.n < 2; c.n++) {
		core = vt_cpuset_next(&allowed, (unsigned int)(core + 1));
		if (core < 0)
			break;
		for (int g = c.n; g < 2; g++)
			vt_cpuset_add(&c.grant[g], (unsigned int)core);
	}
	if (vt_pool_open(&c.pool, &c.grant[1], &e))
		fail_msg("%s", e.msg);
	return c;
}

static void test_same_bits(void **state)
{
	static bool (*const may[])(const struct vt_kernel *k) = {NULL, vt_kernel_no_own_matrix};
	struct cores c = open_cores();
	const struct vt_zoo_model *z;
	size_t n_models;
	int models = 0;

	for (z = vt_zoo_models(&n_models); n_models; n_models--, z++) {
		struct vt_zoo_opts zo = {.seed = 1};
		struct vt_err e = {0};
		char path[160];

		if (!z->tiny)
			continue;
		snprintf(path, sizeof(path), "%s/%s.onnx", dir, z->name);
		assert_int_equal(vt_zoo_write(z, dir, &zo, NULL, &e), 0);
		for (size_t k = 0; k < VT_COUNT(may); k++) {
			struct vt_engine *m = load(path, may[k]);

			assert_true(try_model(m, &c, z->name) > 3 * m->n_steps);
			vt_engine_free(m);
		}
		unlink(path);
		models++;
	}
	assert_true(models >= 7);
	vt_pool_close(c.pool);
}

static void test_defaults(void **state)
{
	static const struct {
		const char *what;
		size_t rows, cols, k, weight_bytes, l2_kib;
		const char *want;
	} row[] = {
		{"a classifier: columns are shared out", 1, 1000, 1280, 1000 * 1280 * 4, 1024,
		 "f32_gemm_mouter_fit"},
		{"squeeze and excite: too little to share", 1, 96, 24, 96 * 24 * 4, 1024,
		 "f32_gemm_mouter"},
		{"weights that stay", 3136, 64, 64, 64 * 64 * 4, 1024, "f32_gemm_mouter_fit"},
		{"weights that do not: rows are shared out", 384, 4096, 64, 4096 * 1024 * 4, 1024,
		 "f32_gemm_nouter_nc1024_split_c2"},
		{"the same in a larger L2: more columns at once", 384, 4096, 64, 4096 * 1024 * 4,
		 2048, "f32_gemm_nouter_nc2048_split_c2"},
		{"deeper columns: fewer at once", 384, 4096, 256, 4096 * 1024 * 4, 2048,
		 "f32_gemm_nouter_nc512_split_c2"},
		{"all columns in a block", 196, 256, 64, 256 * 1024 * 4, 1024,
		 "f32_gemm_nouter_split_c2"},
		{"too many weights for the rows", 196, 2048, 64, 2048 * 4608 * 4, 1024,
		 "f32_gemm_nouter_nc1024_fit_c2"},
		{"few rows of many products: gathered for two chunks, not eight", 49, 512, 64,
		 512 * 2048 * 4, 1024, "f32_gemm_nouter_fit_c2"},
		{"too few rows", 49, 512, 64, 512 * 1024 * 4, 1024, "f32_gemm_nouter_fit"},
	};

	for (size_t i = 0; i < VT_COUNT(row); i++) {
		const struct vt_variant *v =
			vt_variant_default(row[i].rows, row[i].cols, row[i].k, row[i].weight_bytes,
					   row[i].l2_kib << 10);

		if (strcmp(v->name, row[i].want) != 0)
			fail_msg("%s: %s", row[i].what, v->name);
	}
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* XNNPACK's packed weights are one block where they are equal, and each layer reads them all the same. */
static void test_shared_weights_are_read_too(void **state)
{
	static const char model[] = "in x f32 1,512; extern w f32 512,512 = zeros,0,1048576;"
				    "in p f32 1,256,2,2; extern k f32 256,256,1,1 = zeros,0,262144;"
				    "a = Gemm(x, w); b = Relu(a); c = Gemm(b, w); out c;"
				    "d = Conv(p, k); e = Relu(d); f = Conv(e, k); out f";
	static const char weights[1048576];
	char path[160], zeros[160];
	size_t len;
	uint8_t *bytes = vt_onnx_text(model, 13, &len);
	struct vt_engine *m;
	int matrices = 0;

	assert_non_null(bytes);
	snprintf(path, sizeof(path), "%s/equal.onnx", dir);
	write_file(path, bytes, len);
	free(bytes);
	snprintf(zeros, sizeof(zeros), "%s/zeros", dir);
	write_file(zeros, weights, sizeof(weights));
	m = load(path, vt_kernel_no_own_matrix);
	unlink(path);
	unlink(zeros);
	for (int i = 0; i < m->n_steps; i++) {
		if (!m->steps[i].layer.depth)
			continue;
		matrices++;
		assert_string_equal(m->steps[i].variant->name, "f32_gemm_mouter_fit");
	}
	assert_int_equal(matrices, 4);
	/* and they lie there once */
	assert_true(m->weights_bytes < (1 << 20) + (256 << 10) + (64 << 10));
	vt_engine_free(m);
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	return rmdir(dir);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_shared_weights_are_read_too),
		cmocka_unit_test(test_same_bits),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
