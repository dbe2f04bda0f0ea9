// SPDX-License-Identifier: Apache-2.0
#include "harness.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "model/npy.h"
#include "model/zoo.h"
#include "model/zoo_build.h"
#include "onnx/onnx.pb-c.h"

/*
 * The published sizes: learned parameters (torchvision's for MobileNet, EfficientNet, ResNet;
 * Caffe's for GoogLeNet; Darknet's for Tiny-YOLOv2; Hugging Face's for BERT-large with the answer
 * head), and multiply-adds to three digits where papers and tables give them.
 */
static void test_published_sizes(void **state)
{
	static const struct {
		const char *name;
		uint64_t params;
		double gmacs;
	} t[] = {
		{"mobilenet-v2", 3504872, 0.301}, {"efficientnet-b0", 5288548, 0.386},
		{"tiny-yolov2", 15861773, 3.49},  {"resnet-50", 25557032, 4.09},
		{"googlenet", 6998552, 1.58},	  {"ssd-resnet34", 0, 216},
		{"bert-large", 334094338, 123},
	};
	struct vt_zoo_opts o = {.seed = 1};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		const struct vt_zoo_model *m = vt_zoo_find(t[i].name);
		struct vt_zoo_info info;
		struct vt_err e = {0};

		assert_non_null(m);
		assert_int_equal(vt_zoo_describe(m, &o, &info, &e), 0);
		if (t[i].params)
			assert_int_equal(info.params, t[i].params);
		if (fabs((double)info.macs / 1e9 / t[i].gmacs - 1) > 0.005)
			fail_msg("%s: %g GMAC, %g published", m->name, (double)info.macs / 1e9,
				 t[i].gmacs);
	}
}

static char dir[] = "/tmp/veltair-zoo-XXXXXX";

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	struct dirent *d;
	DIR *p = opendir(dir);

	while (p && (d = readdir(p)))
		if (d->d_name[0] != '.')
			unlinkat(dirfd(p), d->d_name, 0);
	if (p)
		closedir(p);
	return rmdir(dir);
}

static int files_in_dir(void)
{
	struct dirent *d;
	DIR *p = opendir(dir);
	int n = 0;

	while (p && (d = readdir(p)))
		n += d->d_name[0] != '.';
	if (p)
		closedir(p);
	return n;
}

static void *read_written(const char *model, const char *suffix, size_t *len)
{
	struct vt_err e = {0};
	char path[256];
	void *buf;

	snprintf(path, sizeof(path), "%s/%s%s", dir, model, suffix);
	if (vt_file_read(path, 1u << 30, &buf, len, &e))
		fail_msg("%s", e.msg);
	unlink(path);
	return buf;
}

static Onnx__ModelProto *unpack(const void *buf, size_t len)
{
	Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, len, buf);

	assert_non_null(m);
	assert_non_null(m->graph);
	return m;
}

/* Is @name an input, an initialiser, or what one of the first @nodes nodes gives out? */
static bool is_defined(const Onnx__GraphProto *g, size_t nodes, const char *name)
{
	for (size_t i = 0; i < g->n_input; i++)
		if (!strcmp(g->input[i]->name, name))
			return true;
	for (size_t i = 0; i < g->n_initializer; i++)
		if (!strcmp(g->initializer[i]->name, name))
			return true;
	for (size_t i = 0; i < nodes; i++)
		for (size_t k = 0; k < g->node[i]->n_output; k++)
			if (!strcmp(g->node[i]->output[k], name))
				return true;
	return false;
}

static int times_defined(const Onnx__GraphProto *g, const char *name)
{
	int n = 0;

	for (size_t i = 0; i < g->n_node; i++)
		for (size_t k = 0; k < g->node[i]->n_output; k++)
			n += !strcmp(g->node[i]->output[k], name);
	for (size_t i = 0; i < g->n_initializer; i++)
		n += !strcmp(g->initializer[i]->name, name);
	return n;
}

static void check_graph(const struct vt_zoo_model *m, const Onnx__ModelProto *p)
{
	const Onnx__GraphProto *g = p->graph;

	assert_int_equal(p->n_opset_import, 1);
	assert_int_equal(p->opset_import[0]->version, m->opset);
	assert_true(g->n_output >= 1);
	for (size_t i = 0; i < g->n_node; i++) {
		for (size_t k = 0; k < g->node[i]->n_input; k++)
			if (g->node[i]->input[k][0] && !is_defined(g, i, g->node[i]->input[k]))
				fail_msg("%s: %s reads %s, which is not there yet", m->name,
					 g->node[i]->name, g->node[i]->input[k]);
		for (size_t k = 0; k < g->node[i]->n_output; k++)
			assert_int_equal(times_defined(g, g->node[i]->output[k]), 1);
	}
	for (size_t i = 0; i < g->n_output; i++)
		assert_true(is_defined(g, g->n_node, g->output[i]->name));
	for (size_t i = 0; i < g->n_initializer; i++) {
		const Onnx__TensorProto *t = g->initializer[i];
		uint64_t bytes = t->data_type == 7 ? 8 : 4;

		for (size_t d = 0; d < t->n_dims; d++)
			bytes *= (uint64_t)t->dims[d];
		if (t->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL)
			assert_int_equal(t->raw_data.len, bytes);
	}
}

static void test_files_are_sound_onnx(void **state)
{
	struct vt_zoo_opts o = {.seed = 1};
	size_t n;
	const struct vt_zoo_model *m = vt_zoo_models(&n);

	for (size_t i = 0; i < n; i++) {
		struct vt_zoo_info info;
		struct vt_err e = {0};
		Onnx__ModelProto *p;
		size_t len;
		void *buf;

		if (!m[i].tiny && strcmp(m[i].name, "mobilenet-v2") != 0)
			continue;
		assert_int_equal(vt_zoo_write(&m[i], dir, &o, &info, &e), 0);
		buf = read_written(m[i].name, ".onnx", &len);
		assert_int_equal(len, info.bytes);
		p = unpack(buf, len);
		assert_int_equal(p->graph->n_node, info.nodes);
		check_graph(&m[i], p);
		/* IR 3 wants initialisers among the inputs, later ones do not */
		assert_int_equal(p->graph->n_input > 3, p->ir_version < 4);
		onnx__model_proto__free_unpacked(p, NULL);
		free(buf);
	}
	assert_int_equal(files_in_dir(), 0);
}

static void test_seed_decides_every_byte(void **state)
{
	const struct vt_zoo_model *m = vt_zoo_find("resnet-50-tiny");
	static const uint64_t seeds[3] = {1, 1, 2};
	size_t len[3];
	void *buf[3];

	for (int i = 0; i < 3; i++) {
		struct vt_zoo_opts o = {.seed = seeds[i]};

		assert_int_equal(vt_zoo_write(m, dir, &o, NULL, NULL), 0);
		buf[i] = read_written(m->name, ".onnx", &len[i]);
	}
	assert_int_equal(len[0], len[1]);
	assert_int_equal(len[0], len[2]);
	assert_memory_equal(buf[0], buf[1], len[0]);
	assert_true(memcmp(buf[0], buf[2], len[0]) != 0);
	for (int i = 0; i < 3; i++)
		free(buf[i]);
}

/* Bytes on disk are the contract: a change of generator changes every measured number. */
static void test_weights_are_pinned(void **state)
{
	static const float want[4] = {-0x1.a7753p-7f, -0x1.29d6a4p-2f, -0x1.73f77p+0f,
				      0x1.723f88p+0f};
	uint64_t s = vt_zoo_seed(1, "m", "w");
	float v[4];

	assert_true(s == 0x79490fb83c25c3e1ull);
	vt_zoo_fill_normal(&s, v, 4, 0, 1, 0);
	assert_memory_equal(v, want, sizeof(want));
}

static void test_moments_of_weights(void **state)
{
	enum { N = 1 << 20, ROW = 64 };
	float *v = malloc(N * sizeof(*v));
	uint64_t s = vt_zoo_seed(7, "model", "weight");
	double sum = 0, sq = 0, worst = 0;

	assert_non_null(v);
	vt_zoo_fill_normal(&s, v, N, 0.5, 2, 0);
	for (int i = 0; i < N; i++) {
		sum += (double)v[i];
		sq += ((double)v[i] - 0.5) * ((double)v[i] - 0.5);
		worst = fmax(worst, fabs((double)v[i] - 0.5));
	}
	/* standard errors: 0.002 of the mean, 0.0014 of the deviation */
	assert_true(fabs(sum / N - 0.5) < 0.01);
	assert_true(fabs(sqrt(sq / N) - 2) < 0.01);
	assert_true(worst <= 2 * 3.47);

	vt_zoo_fill_normal(&s, v, N, 0, 1, ROW);
	for (int i = 0; i < N; i += ROW) {
		sum = 0;
		for (int k = 0; k < ROW; k++)
			sum += (double)v[i + k];
		assert_true(fabs(sum) < 1e-5);
	}
	free(v);
}

static void test_external_data_holds_the_same_numbers(void **state)
{
	const struct vt_zoo_model *m = vt_zoo_find("googlenet-tiny");
	struct vt_zoo_opts in = {.seed = 3}, out = {.seed = 3, .external = true};
	size_t len[3];
	void *buf[3];
	Onnx__ModelProto *p[2];
	int external = 0;

	assert_int_equal(vt_zoo_write(m, dir, &in, NULL, NULL), 0);
	buf[0] = read_written(m->name, ".onnx", &len[0]);
	assert_int_equal(vt_zoo_write(m, dir, &out, NULL, NULL), 0);
	buf[1] = read_written(m->name, ".onnx", &len[1]);
	buf[2] = read_written(m->name, ".onnx.data", &len[2]);
	p[0] = unpack(buf[0], len[0]);
	p[1] = unpack(buf[1], len[1]);
	assert_int_equal(p[0]->graph->n_initializer, p[1]->graph->n_initializer);
	for (size_t i = 0; i < p[0]->graph->n_initializer; i++) {
		const Onnx__TensorProto *a = p[0]->graph->initializer[i];
		const Onnx__TensorProto *b = p[1]->graph->initializer[i];
		uint64_t off;

		if (b->data_location != ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
			assert_memory_equal(a->raw_data.data, b->raw_data.data, a->raw_data.len);
			continue;
		}
		external++;
		assert_string_equal(b->external_data[0]->value, "googlenet-tiny.onnx.data");
		off = strtoull(b->external_data[1]->value, NULL, 10);
		assert_int_equal(off % 64, 0);
		assert_int_equal(strtoull(b->external_data[2]->value, NULL, 10), a->raw_data.len);
		assert_true(off + a->raw_data.len <= len[2]);
		assert_memory_equal((char *)buf[2] + off, a->raw_data.data, a->raw_data.len);
	}
	assert_true(external > 10);
	for (int i = 0; i < 2; i++)
		onnx__model_proto__free_unpacked(p[i], NULL);
	for (int i = 0; i < 3; i++)
		free(buf[i]);
}

static void test_dynamic_names_the_dimensions(void **state)
{
	const struct vt_zoo_model *m = vt_zoo_find("bert-large-tiny");
	struct vt_zoo_opts o = {.seed = 1, .dynamic = true};
	Onnx__TensorShapeProto__Dimension **dim;
	Onnx__ModelProto *p;
	size_t len;
	void *buf;

	assert_int_equal(vt_zoo_write(m, dir, &o, NULL, NULL), 0);
	buf = read_written(m->name, ".onnx", &len);
	p = unpack(buf, len);
	dim = p->graph->input[0]->type->tensor_type->shape->dim;
	assert_string_equal(dim[0]->dim_param, "batch");
	assert_string_equal(dim[1]->dim_param, "sequence");
	onnx__model_proto__free_unpacked(p, NULL);
	free(buf);
}

static void test_inputs_are_what_the_model_takes(void **state)
{
	static const struct {
		const char *name;
		int64_t max; /* of any element */
	} t[] = {{".input_ids.npy", 99}, {".attention_mask.npy", 1}, {".token_type_ids.npy", 1}};
	struct vt_zoo_opts o = {.seed = 1, .inputs = true};
	size_t len;

	assert_int_equal(vt_zoo_write(vt_zoo_find("bert-large-tiny"), dir, &o, NULL, NULL), 0);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		void *buf = read_written("bert-large-tiny", t[i].name, &len);
		int64_t seen = 0, *ids;
		struct vt_value v;

		assert_int_equal(vt_npy_parse(buf, len, &v, NULL), 0);
		assert_int_equal(v.dtype, VT_I64);
		assert_int_equal(v.shape.dim[1], 24);
		ids = v.data;
		for (int k = 0; k < 24; k++) {
			assert_in_range(ids[k], 0, t[i].max);
			seen += ids[k];
		}
		assert_true(seen > 0);
		vt_value_fini(&v);
		free(buf);
	}
	free(read_written("bert-large-tiny", ".onnx", &len));
}

/* After the first failure a builder does nothing more, whatever a model asks of it. */
static void test_errors_stick(void **state)
{
	size_t n;
	const struct vt_zoo_model *m = vt_zoo_models(&n);

	for (size_t i = 0; i < n; i++) {
		struct vt_zb b;

		vt_zb_init(&b, m[i].name, m[i].opset, false);
		vt_fail(&b.err, -ENOMEM, "as if");
		m[i].build(&b, m[i].spec);
		assert_int_equal(b.err.code, -ENOMEM);
		assert_int_equal(b.n_nodes, 0);
		assert_int_equal(b.n_values, 0);
		vt_zb_fini(&b);
	}
}

static int stop_at_once(void *arg, uint64_t done, uint64_t total)
{
	return 1;
}

static void test_failure_leaves_no_file(void **state)
{
	const struct vt_zoo_model *m = vt_zoo_find("resnet-50-tiny");
	struct vt_zoo_opts o = {.seed = 1, .external = true, .progress = stop_at_once};
	struct vt_err e = {0};

	assert_int_equal(vt_zoo_write(m, dir, &o, NULL, &e), -ECANCELED);
	assert_int_equal(files_in_dir(), 0);
	e.code = 0;
	assert_int_equal(vt_zoo_write(m, "/nonexistent", &o, NULL, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "/nonexistent/resnet-50-tiny.onnx"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_sizes),
		cmocka_unit_test(test_files_are_sound_onnx),
		cmocka_unit_test(test_seed_decides_every_byte),
		cmocka_unit_test(test_weights_are_pinned),
		cmocka_unit_test(test_moments_of_weights),
		cmocka_unit_test(test_external_data_holds_the_same_numbers),
		cmocka_unit_test(test_dynamic_names_the_dimensions),
		cmocka_unit_test(test_inputs_are_what_the_model_takes),
		cmocka_unit_test(test_errors_stick),
		cmocka_unit_test(test_failure_leaves_no_file),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
