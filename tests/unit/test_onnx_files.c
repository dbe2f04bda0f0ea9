// SPDX-License-Identifier: Apache-2.0
/* Models as bytes and files: what is cut or foreign, what the path may be, data beside the model, memory while loading. */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/graph.h"
#include "onnx/onnx.pb-c.h"
#include "onnx_text.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANITIZED 0
#endif

static const struct vt_import_opts plain;
static char top[64]; /* holds model/ and secret.bin */

static void put(const char *name, const void *data, size_t len)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", top, name);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void ln(const char *to, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", top, name);
	assert_int_equal(symlink(to, path), 0);
}

static int setup(void **state)
{
	float w[64];
	char path[256];

	strcpy(top, "/tmp/vt-onnx-XXXXXX");
	if (!mkdtemp(top))
		return -1;
	for (int i = 0; i < 64; i++)
		w[i] = (float)i;
	snprintf(path, sizeof(path), "%s/model", top);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/model/sub", top);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/model/fifo", top);
	assert_int_equal(mkfifo(path, 0600), 0);
	put("secret.bin", w, sizeof(w));
	put("model/w.bin", w, sizeof(w));
	put("model/sub/w.bin", w, sizeof(w));
	ln("../secret.bin", "model/out");
	ln("sub/w.bin", "model/in");
	ln("..", "model/up");
	return 0;
}

static int teardown(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", top);
	return system(cmd);
}

/* The sum of the constant that a model with one external tensor holds, or its error. */
static int load(const char *text, double *sum, struct vt_err *e)
{
	char path[256];
	struct vt_graph g;
	size_t len = 0;
	uint8_t *buf = vt_onnx_text(text, 13, &len);
	int err;

	assert_non_null(buf);
	put("model/m.onnx", buf, len);
	free(buf);
	snprintf(path, sizeof(path), "%s/model/m.onnx", top);
	err = vt_import_onnx(&g, path, &plain, e);
	*sum = 0;
	for (int t = 0; !err && t < g.n_tensors; t++)
		if (g.tensors[t].kind == VT_T_CONST)
			for (size_t i = 0; i < g.tensors[t].bytes / 4; i++)
				*sum += ((float *)g.tensors[t].data)[i];
	if (!err)
		vt_graph_fini(&g);
	return err;
}

static void test_external_data_stays_in_its_folder(void **state)
{
	static const struct {
		const char *tensor;
		int err;
		double sum;
		const char *why; /* NULL: loads */
	} t[] = {
		{"f32 64 = w.bin,0,256", 0, 2016, NULL},
		{"f32 64 = w.bin", 0, 2016, NULL},
		{"f32 2 = w.bin,8", 0, 5, NULL},
		{"f32 2 = ./sub/../w.bin,248,8", 0, 125, NULL},
		{"f32 64 = sub/w.bin", 0, 2016, NULL},
		{"f32 64 = in", 0, 2016, NULL},
		{"f32 64 = ../secret.bin", -EINVAL, 0,
		 "\"../secret.bin\" lies outside the model's folder"},
		{"f32 64 = sub/../../secret.bin", -EINVAL, 0, "lies outside the model's folder"},
		{"f32 64 = up/secret.bin", -EINVAL, 0, "lies outside the model's folder"},
		{"f32 64 = out", -EINVAL, 0, "lies outside the model's folder"},
		{"f32 64 = /etc/passwd", -EINVAL, 0, "lies outside the model's folder"},
		{"f32 64 = none.bin", -ENOENT, 0, "No such file"},
		{"f32 64 = sub", -EINVAL, 0, "is not a regular file"},
		{"f32 64 = fifo", -EINVAL, 0, "is not a regular file"},
		{"f32 65 = w.bin", -EINVAL, 0, "bytes 0 + 260 lie outside its 256 bytes"},
		{"f32 64 = w.bin,4", -EINVAL, 0, "bytes 4 + 256 lie outside its 256 bytes"},
		{"f32 1 = w.bin,18446744073709551612", -EINVAL, 0, "lie outside its 256 bytes"},
		{"f32 64 = w.bin,0,255", -EINVAL, 0, "length 255, its type and shape need 256"},
		{"f32 64 = w.bin,-4", -EINVAL, 0, "offset \"-4\" is not a number"},
		{"f32 64 = w.bin,4x", -EINVAL, 0, "offset \"4x\" is not a number"},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++) {
		char text[256];
		struct vt_err e = {0};
		double sum;
		int err;

		snprintf(text, sizeof(text), "extern w %s; in x f32 1; y = Add(x,w); out y",
			 t[i].tensor);
		err = load(text, &sum, &e);
		if (err != t[i].err || sum != t[i].sum || (t[i].why && !strstr(e.msg, t[i].why)))
			fail_msg("%s: %d, sum %g, \"%s\"", t[i].tensor, err, sum, e.msg);
	}
}

/* A large one; at an offset that is no multiple of a page, or of an element. */
static void test_external_data_at_any_offset(void **state)
{
	enum { N = 100000 };
	static const size_t offs[] = {0, 4096, 20, 7};
	char *file = calloc(1, 4 * N + 8192), text[256];
	const float one = 1;

	assert_non_null(file);
	for (size_t i = 0; i < VT_COUNT(offs); i++)
		for (int tail = 0; tail <= 1; tail++) { /* to the file's very end, or not */
			struct vt_err e = {0};
			double sum;

			for (size_t k = 0; k < N; k++)
				memcpy(file + offs[i] + 4 * k, &one, 4);
			put("model/big.bin", file, offs[i] + 4 * N + (size_t)tail * 100);
			snprintf(text, sizeof(text),
				 "extern w f32 %d = big.bin,%zu; in x f32 1; y = Add(x,w); out y",
				 N, offs[i]);
			assert_int_equal(load(text, &sum, &e), 0);
			assert_true(sum == N);
		}
	free(file);
}

static void test_paths(void **state)
{
	static const struct {
		const char *name;
		int err;
		const char *why;
	} t[] = {
		{"model/none.onnx", -ENOENT, "cannot open: No such file or directory"},
		{"model", -EISDIR, "is a directory"},
		{"model/fifo", -EINVAL, "is not a regular file"},
		{"empty", -EBADMSG, "is empty"},
		{"secret.bin", -EBADMSG, "not ONNX"},
	};
	struct vt_graph g;

	put("empty", "", 0);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_err e = {0};
		char path[256];

		snprintf(path, sizeof(path), "%s/%s", top, t[i].name);
		assert_int_equal(vt_import_onnx(&g, path, &plain, &e), t[i].err);
		assert_non_null(strstr(e.msg, t[i].why));
		assert_int_equal(strncmp(e.msg, path, strlen(path)), 0);
	}
}

/*
 * A model of @count weights of @mib MiB each, all bytes 1: initialisers, and every third a Constant's.
 * Written without holding it in memory twice.
 */
static void write_large(const char *name, int count, int mib)
{
	Onnx__ModelProto m = ONNX__MODEL_PROTO__INIT;
	Onnx__GraphProto g = ONNX__GRAPH_PROTO__INIT;
	Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets[] = {&set};
	Onnx__TensorProto *w = calloc((size_t)count, sizeof(*w)),
			  **ws = calloc((size_t)count, sizeof(*ws));
	Onnx__ValueInfoProto *y = calloc((size_t)count, sizeof(*y)),
			     **ys = calloc((size_t)count, sizeof(*ys));
	Onnx__NodeProto c[64], *cs[64];
	Onnx__AttributeProto a[64], *as[64];
	char names[64][8], *out[64];
	int64_t dim = (int64_t)mib << 18;
	uint8_t *data = calloc((size_t)mib, 1 << 20), *buf;
	size_t len;

	assert_non_null(data);
	memset(data, 1, (size_t)mib << 20);
	for (int i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "w%d", i);
		onnx__tensor_proto__init(&w[i]);
		onnx__value_info_proto__init(&y[i]);
		w[i].name = y[i].name = names[i];
		w[i].has_data_type = w[i].has_raw_data = 1;
		w[i].data_type = 1;
		w[i].n_dims = 1;
		w[i].dims = &dim;
		w[i].raw_data = (ProtobufCBinaryData){(size_t)mib << 20, data};
		ys[i] = &y[i];
		if (i % 3) {
			ws[g.n_initializer++] = &w[i];
			continue;
		}
		out[i] = names[i];
		as[i] = &a[i];
		onnx__attribute_proto__init(&a[i]);
		a[i].name = "value";
		a[i].has_type = 1;
		a[i].type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
		a[i].t = &w[i];
		onnx__node_proto__init(&c[i]);
		c[i].op_type = "Constant";
		c[i].n_output = c[i].n_attribute = 1;
		c[i].output = &out[i];
		c[i].attribute = &as[i];
		cs[g.n_node++] = &c[i];
	}
	g.n_output = (size_t)count;
	g.initializer = ws;
	g.node = cs;
	g.output = ys;
	m.graph = &g;
	m.has_ir_version = set.has_version = 1;
	m.ir_version = 8;
	set.version = 13;
	m.opset_import = sets;
	m.n_opset_import = 1;
	len = onnx__model_proto__get_packed_size(&m);
	buf = malloc(len);
	assert_non_null(buf);
	onnx__model_proto__pack(&m, buf);
	put(name, buf, len);
	free(buf);
	free(data);
	free(w);
	free(ws);
	free(y);
	free(ys);
}

static long peak_kb_of_import(const char *path)
{
	struct rusage u;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct vt_graph g;

		_exit(path && vt_import_onnx(&g, path, &plain, NULL) ? 1 : 0);
	}
	assert_int_equal(wait4(pid, &status, 0, &u), pid);
	assert_int_equal(status, 0);
	return u.ru_maxrss;
}

static void test_the_file_is_not_held_twice(void **state)
{
	enum { COUNT = 48, MIB = 2 };
	char path[256];
	long idle, peak;

	if (SANITIZED)
		vt_skip("a sanitizer's shadow memory counts too");
	write_large("large.onnx", COUNT, MIB);
	snprintf(path, sizeof(path), "%s/large.onnx", top);
	/* the writer's heap is inherited and would hide the cost: measure above it */
	idle = peak_kb_of_import(NULL);
	peak = peak_kb_of_import(path);
	if (peak - idle > COUNT * MIB * 1024 * 115 / 100)
		fail_msg("importing %d MiB took %ld KiB", COUNT * MIB, peak - idle);
}

static size_t ones(const struct vt_graph *g)
{
	size_t n = 0;

	for (int t = 0; t < g->n_tensors; t++)
		for (size_t i = 0; g->tensors[t].kind == VT_T_CONST && i < g->tensors[t].bytes; i++)
			n += ((const char *)g->tensors[t].data)[i] == 1;
	return n;
}

/* What was imported is ours: the files may be emptied in place. */
static void test_files_are_not_needed_any_more(void **state)
{
	enum { COUNT = 7, N = 1 << 20 };
	static const char *const files[] = {"model/large.onnx", "model/ext.onnx"};
	char *data = malloc(N), path[256], text[256];
	size_t len;
	uint8_t *buf;

	assert_non_null(data);
	memset(data, 1, N);
	write_large(files[0], COUNT, 1);
	snprintf(text, sizeof(text), "extern w i8 %d = ext.bin; in x i8 1; y = Add(x,w); out y", N);
	buf = vt_onnx_text(text, 14, &len);
	assert_non_null(buf);
	put(files[1], buf, len);
	for (size_t i = 0; i < VT_COUNT(files); i++) {
		struct vt_err e = {0};
		struct vt_graph g;

		put("model/ext.bin", data, N);
		snprintf(path, sizeof(path), "%s/%s", top, files[i]);
		if (vt_import_onnx(&g, path, &plain, &e))
			fail_msg("%s", e.msg);
		put(files[i], "", 0);
		put("model/ext.bin", "", 0);
		assert_int_equal(ones(&g), i ? N : COUNT * N);
		vt_graph_fini(&g);
	}
	free(buf);
	free(data);
}

/* Emptied and written again while it is read: an error or a model, but never an end of the process. */
static void test_a_file_that_changes_while_it_is_read(void **state)
{
	enum { TIMES = 100 };
	char path[256], other[256], cmd[1024];
	int status;
	pid_t pid;

	write_large("model/large.onnx", 4, 1);
	snprintf(path, sizeof(path), "%s/model/large.onnx", top);
	snprintf(other, sizeof(other), "%s/copy", top);
	snprintf(cmd, sizeof(cmd), "cp %s %s", path, other);
	assert_int_equal(system(cmd), 0);
	snprintf(cmd, sizeof(cmd), "while [ -d %s ]; do : >%s; cat %s >%s; done 2>/dev/null", top,
		 path, other, path);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* should the test end by a signal */
		execl("/bin/sh", "sh", "-c", cmd, NULL);
		_exit(1);
	}
	for (int i = 0; i < TIMES; i++) {
		struct vt_err e = {0};
		struct vt_graph g;

		if (!vt_import_onnx(&g, path, &plain, &e))
			vt_graph_fini(&g);
		else
			assert_true(e.msg[0]);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void test_truncated_and_foreign_bytes(void **state)
{
	struct vt_graph g;
	size_t len = 0;
	uint8_t *buf = vt_onnx_text("in x f32 3; const w f32 3; y = Add(x,w); out y", 13, &len);
	static const char *const foreign[] = {"", "\177ELF\2\1\1", "hello, world\n", "{\"a\": 1}",
					      "\n"};

	assert_non_null(buf);
	for (size_t n = 0; n < len; n++) {
		struct vt_err e = {0};

		/* Cut between two fields it may still parse; then something is missing. */
		if (vt_import_onnx_buf(&g, buf, n, NULL, &plain, &e) == 0)
			fail_msg("%zu of %zu bytes were accepted", n, len);
		assert_int_not_equal(e.msg[0], 0);
	}
	for (size_t i = 0; i < VT_COUNT(foreign); i++) {
		struct vt_err e = {0};

		assert_int_equal(
			vt_import_onnx_buf(&g, foreign[i], strlen(foreign[i]), NULL, &plain, &e),
			-EBADMSG);
	}
	free(buf);
}

/* TypeProto in TypeProto in ... : each level is a sequence of the next. */
static void test_nesting_is_bounded(void **state)
{
	enum { DEEP = 100000 };
	size_t cap = 10 * DEEP + 64, at = cap;
	uint8_t *buf = malloc(cap);
	struct vt_err e = {0};
	struct vt_graph g;
	static const uint8_t tags[] = {0x3a /* graph */, 0x5a /* input */, 0x12 /* type */};

	assert_non_null(buf);
	for (int i = 0; i < 2 * DEEP + 3; i++) {
		size_t len = cap - at;
		uint8_t head[8], n = 0;

		/* outermost last: the message is written from its end */
		head[n++] = i >= 2 * DEEP ? tags[2 - (i - 2 * DEEP)] : i & 1 ? 0x22 : 0x0a;
		for (; len > 127; len >>= 7)
			head[n++] = (uint8_t)(len | 128);
		head[n++] = (uint8_t)len;
		at -= n;
		memcpy(buf + at, head, n);
	}
	assert_int_equal(vt_import_onnx_buf(&g, buf + at, cap - at, NULL, &plain, &e), -EBADMSG);
	assert_string_equal(e.msg, "nests messages deeper than 32");
	free(buf);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truncated_and_foreign_bytes),
		cmocka_unit_test(test_nesting_is_bounded),
		cmocka_unit_test(test_the_file_is_not_held_twice),
		cmocka_unit_test(test_external_data_stays_in_its_folder),
		cmocka_unit_test(test_external_data_at_any_offset),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_files_are_not_needed_any_more),
		cmocka_unit_test(test_a_file_that_changes_while_it_is_read),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
