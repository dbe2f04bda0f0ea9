// SPDX-License-Identifier: Apache-2.0
/* Inference requests and answers: what is taken, what is refused and how it is said. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "infer_fixture.h"

static void test_reads_a(void **state)
{
	static const char *const same[] = {
		ALL(A),
		/* members in any order, nested data, blanks, parameters nobody knows */
		" { \"outputs\" : [ { \"name\" : \"y\" } ] , \"inputs\" : [ " B
		" , { \"data\" : [ [ 1 , 2.5 , -3 ] , [ 40 , 5 , 6.0 ] ] , \"shape\" : [ 2 , 3 ] ,"
		" \"parameters\" : { \"x\" : [ 1 , { } ] } , \"datatype\" : \"FP32\" , \"name\" : "
		"\"\\u0061\" } ] , \"unknown\" : null }",
		ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		    "\"data\":[[1,2.5,-3],[40,5,6]]}"),
	};
	static const float a[6] = {1, 2.5f, -3, 40, 5, 6};
	static const int64_t b[2] = {7, -8};
	struct vt_io io;

	make_io(&io);
	for (size_t i = 0; i < VT_COUNT(same); i++) {
		struct vt_ask ask;
		struct vt_err e = {0};

		if (vt_ask_read(&ask, &io, same[i], strlen(same[i]), VT_INFER_JSON_ONLY,
				ROOM(1 << 20), &e))
			fail_msg("%zu: %s", i, e.msg);
		assert_memory_equal(ask.in[0], a, sizeof(a));
		assert_memory_equal(ask.in[1], b, sizeof(b));
		assert_int_equal(ask.n_want, 1);
		assert_false(ask.any_binary || ask.id || ask.deadline_ns || ask.priority);
		assert_int_equal(ask.own_bytes, sizeof(a) + sizeof(b));
		vt_ask_fini(&ask);
	}
	vt_io_fini(&io);
}

static void test_parameters(void **state)
{
	static const char body[] =
		JUST("\"id\":\"x\\\"y\",\"parameters\":{\"deadline_ms\":2.5,\"priority\":9,"
		     "\"binary_data_output\":true}");
	static const char micro[] = JUST("\"parameters\":{\"timeout\":1500}");
	struct vt_io io;
	struct vt_ask ask;

	make_io(&io);
	assert_int_equal(
		vt_ask_read(&ask, &io, body, strlen(body), VT_INFER_JSON_ONLY, ROOM(1 << 20), NULL),
		0);
	assert_int_equal(ask.deadline_ns, 2500001);
	assert_int_equal(ask.priority, 9);
	assert_true(ask.any_binary && ask.want[0].binary);
	assert_int_equal(ask.id_len, 4);
	assert_memory_equal(ask.id, "x\\\"y", 4);
	vt_ask_fini(&ask);
	assert_int_equal(vt_ask_read(&ask, &io, micro, strlen(micro), VT_INFER_JSON_ONLY,
				     ROOM(1 << 20), NULL),
			 0);
	assert_int_equal(ask.deadline_ns, 1500001);
	vt_ask_fini(&ask);
	vt_io_fini(&io);
}

static void test_refuses(void **state)
{
	static const struct {
		const char *body;
		int err;
		const char *says;
	} t[] = {
		{"", -EBADMSG, "byte 0"},
		{"[]", -EBADMSG, "an object"},
		{"{}", -EINVAL, "input 'a' is missing"},
		{"{\"inputs\":[" B "]}", -EINVAL, "input 'a' is missing"},
		{"{\"inputs\":[" A ",", -EBADMSG, "value was expected"},
		{ALL(A) "x", -EBADMSG, "text follows"},
		{ALL(A "," A), -EINVAL, "given twice"},
		{ALL("{\"name\":\"c\",\"datatype\":\"FP32\",\"shape\":[2,3],\"data\":[]}"), -EINVAL,
		 "no input 'c'"},
		{ALL("{\"datatype\":\"FP32\",\"shape\":[2,3],\"data\":[]}"), -EINVAL,
		 "lacks its name"},
		{ALL("{\"name\":\"a\",\"shape\":[2,3],\"data\":[]}"), -EINVAL,
		 "lacks its datatype"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"data\":[]}"), -EINVAL,
		 "lacks its shape"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3]}"), -EINVAL,
		 "neither data nor"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP64\",\"shape\":[2,3],\"data\":[]}"), -EINVAL,
		 "FP64 here, the model takes FP32"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[3,2],\"data\":[]}"), -EINVAL,
		 "shape 3x2 here, the model takes 2x3"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[-2,3],\"data\":[]}"),
		 -EBADMSG, "a dimension"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],\"data\":[1,2,3,4,5]}"),
		 -EBADMSG, "does not hold the 6 elements"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],\"data\":[1,2,3,4,5,6,"
		     "7]}"),
		 -EBADMSG, "does not hold the 6 elements"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		     "\"data\":[[1,2],[3,4],[5,6]]}"),
		 -EBADMSG, "does not hold the 6 elements"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		     "\"data\":[[1,2,3],4,5,6]}"),
		 -EBADMSG, "does not hold the 6 elements"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		     "\"data\":[1,2,\"x\",4,5,6]}"),
		 -EBADMSG, "element 2 is no FP32"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		     "\"data\":[1,2,3,1e39,5,6]}"),
		 -EBADMSG, "element 3 is no FP32"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],\"data\":{}}"),
		 -EBADMSG, "an array"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		     "\"parameters\":{\"binary_data_size\":24}}"),
		 -EINVAL, "no Inference-Header-Content-Length"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		     "\"parameters\":{\"binary_data_size\":-1}}"),
		 -EBADMSG, "whole number of bytes"},
		{"{\"inputs\":[" A ",{\"name\":\"b\",\"datatype\":\"INT64\",\"shape\":[2],"
		 "\"data\":[1,2.5]}]}",
		 -EBADMSG, "element 1 is no INT64"},
		{"{\"inputs\":[" A "," B "]}", -EINVAL, "FP16: it can be had as binary only"},
		{"{\"inputs\":[" A "," B "],\"outputs\":[{\"name\":\"z\"}]}", -EINVAL,
		 "no output 'z'"},
		{"{\"inputs\":[" A "," B "],\"outputs\":[{}]}", -EINVAL, "lacks its name"},
		{"{\"inputs\":[" A "," B "],\"outputs\":[{\"name\":\"y\"},{\"name\":\"y\"}]}",
		 -EINVAL, "asked for twice"},
		{JUST("\"parameters\":{\"deadline_ms\":-1}"), -EBADMSG, "a deadline"},
		{JUST("\"parameters\":{\"priority\":65536}"), -EBADMSG, "priority"},
		{JUST("\"parameters\":{\"sequence_id\":1}"), -ENOTSUP, "sequence_id"},
		{JUST("\"id\":7"), -EBADMSG, "a string"},
	};
	struct vt_io io;

	make_io(&io);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		size_t len = strlen(t[i].body);
		char *copy = malloc(len ? len : 1);
		struct vt_ask ask;
		struct vt_err e = {0};
		int err;

		memcpy(copy, t[i].body, len);
		err = vt_ask_read(&ask, &io, copy, len, VT_INFER_JSON_ONLY, ROOM(1 << 20), &e);
		if (err != t[i].err || !strstr(e.msg, t[i].says))
			fail_msg("%s\n%d %s, wanted %d %s", t[i].body, err, e.msg, t[i].err,
				 t[i].says);
		vt_ask_fini(&ask);
		free(copy);
	}
	vt_io_fini(&io);
}

/* @n arrays in each other, in the data of a tensor and in a parameter that nobody knows. */
static void test_nesting_is_bounded(void **state)
{
	static const struct {
		const char *before, *after;
		int levels; /* that are in use where the arrays begin */
		int err;    /* of as many as there may be: they fit in no shape */
	} t[] = {
		{"{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],\"data\":",
		 "}," B "]," OUT_Y "}", 3, -EBADMSG},
		{"{\"parameters\":{\"x\":", "},\"inputs\":[" A "," B "]," OUT_Y "}", 2, 0},
		{"{\"unknown\":", ",\"inputs\":[" A "," B "]," OUT_Y "}", 1, 0},
	};
	struct vt_io io;

	make_io(&io);
	for (size_t i = 0; i < VT_COUNT(t); i++)
		for (int more = 0; more < 2; more++) {
			const int n = (int)VT_JSON_DEPTH - t[i].levels + more;
			char body[1024], arrays[2][VT_JSON_DEPTH + 1];
			struct vt_ask ask;
			struct vt_err e = {0};
			int err;

			memset(arrays[0], '[', VT_JSON_DEPTH);
			memset(arrays[1], ']', VT_JSON_DEPTH);
			snprintf(body, sizeof(body), "%s%.*s%.*s%s", t[i].before, n, arrays[0], n,
				 arrays[1], t[i].after);
			err = vt_ask_read(&ask, &io, body, strlen(body), VT_INFER_JSON_ONLY,
					  ROOM(1 << 20), &e);
			if (err != (more ? -EBADMSG : t[i].err) ||
			    more != !!strstr(e.msg, "nested too deeply"))
				fail_msg("%zu: %d arrays: %d, '%s'", i, n, err, e.msg);
			vt_ask_fini(&ask);
		}
	vt_io_fini(&io);
}

/* Asked for before a number is read: what is refused has taken nothing, what is broken is counted as long as it is held. */
static void test_memory_is_bounded(void **state)
{
	static const char broken[] =
		"{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		"\"data\":[1,2,oh";
	static const struct {
		const char *body;
		size_t room, left;
		int err;
	} t[] = {
		{ALL(A), 24 + 15, 15, -ENOSPC},
		{ALL(A), 23, 23, -ENOSPC},
		{broken, 23, 23, -ENOSPC},
		{broken, 25, 1, -EBADMSG},
	};
	struct vt_io io;

	make_io(&io);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		size_t left = t[i].room;
		const struct vt_ask_room room = {take_left, &left};
		struct vt_ask ask;

		assert_int_equal(vt_ask_read(&ask, &io, t[i].body, strlen(t[i].body),
					     VT_INFER_JSON_ONLY, &room, NULL),
				 t[i].err);
		assert_int_equal(left, t[i].left);
		assert_int_equal(ask.own_bytes, t[i].room - left);
		vt_ask_fini(&ask);
	}
	vt_io_fini(&io);
}

#define BIN(size)                                                                                  \
	"{\"inputs\":[{\"name\":\"b\",\"datatype\":\"INT64\",\"shape\":[2],\"parameters\":{"       \
	"\"binary_data_size\":16}},{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"         \
	"\"parameters\":{\"binary_data_size\":" size "}}]}"

static void test_binary(void **state)
{
	static const struct {
		const char *json;
		size_t blob;
		long head; /* relative to the JSON's length */
		int err;
		const char *says;
	} t[] = {
		{BIN("24"), 40, 0, 0, "FP16"},
		{BIN("20"), 36, 0, -EINVAL, "binary_data_size is 20, its type and shape need 24"},
		{BIN("18446744073709551615"), 40, 0, -EINVAL, "need 24"},
		{BIN("24"), 39, 0, -EINVAL, "the body has 23 bytes left"},
		{BIN("24"), 41, 0, -EINVAL, "1 bytes of the body belong to no input"},
		{BIN("24"), 40, 41, -EINVAL, "the body has"},
		{BIN("24"), 40, -1, -EBADMSG, "too early"},
		{"{\"inputs\":[" B ",{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],"
		 "\"data\":[1,2,3,4,5,6],\"parameters\":{\"binary_data_size\":24}}]}",
		 24, 0, -EINVAL, "both data and binary_data_size"},
	};
	struct vt_io io;

	make_io(&io);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		size_t json = strlen(t[i].json), len = json + t[i].blob;
		char *body = malloc(len);
		struct vt_ask ask;
		struct vt_err e = {0};
		int err;

		memcpy(body, t[i].json, json);
		for (size_t k = 0; k < t[i].blob; k++)
			body[json + k] = (char)k;
		if (i == 0) /* as JSON it would fail on the FP16 output: ask for binary */
			io.n_out = 1;
		err = vt_ask_read(&ask, &io, body, len, (size_t)((long)json + t[i].head),
				  ROOM(1 << 20), &e);
		io.n_out = 2;
		if (err != t[i].err || (err && !strstr(e.msg, t[i].says)))
			fail_msg("%zu: %d %s, wanted %d %s", i, err, e.msg, t[i].err, t[i].says);
		if (!err) {
			assert_ptr_equal(ask.in[1], body + json);
			assert_ptr_equal(ask.in[0], body + json + 16);
			assert_int_equal(ask.own_bytes, 0);
		}
		vt_ask_fini(&ask);
		free(body);
	}
	vt_io_fini(&io);
}

static void test_raw(void **state)
{
	struct vt_io io;
	struct vt_ask ask;
	struct vt_err e = {0};
	char body[24] = {0};

	make_io(&io);
	assert_int_equal(vt_ask_read(&ask, &io, body, 24, 0, ROOM(0), &e), -EINVAL);
	assert_non_null(strstr(e.msg, "models of one input"));
	io.n_in = 1;
	assert_int_equal(vt_ask_read(&ask, &io, body, 23, 0, ROOM(0), NULL), -EINVAL);
	assert_int_equal(vt_ask_read(&ask, &io, body, 24, 0, ROOM(0), NULL), 0);
	assert_ptr_equal(ask.in[0], body);
	assert_true(ask.any_binary && ask.n_want == 2);
	vt_io_fini(&io);
}

static void test_deadline_before_the_tensors(void **state)
{
	static const struct {
		const char *json;
		uint64_t ns;
	} t[] = {
		{"{\"inputs\":[{\"name\":\"x\"}],\"parameters\":{\"deadline_ms\":2.5}}", 2500001},
		{"{\"parameters\":{\"deadline_ms\":1},\"inputs\":[]}", 1000001},
		{"{\"parameters\":{\"deadline_ms\":1e30}}", 86400000000000},
		{"{\"parameters\":{\"priority\":3}}", 0},
		{"{\"inputs\":[{\"parameters\":{\"deadline_ms\":7}}]}", 0}, /* not its place */
		{"{}", 0},
		{"", 0},
		{"[]", 0},
		{"{\"parameters\":{\"deadline_ms\":-1}}", 0},
		{"{\"parameters\":{\"deadline_ms\":1}", 0},
		{"{\"inputs\":[,\"parameters\":{\"deadline_ms\":1}}", 0},
	};

	for (size_t i = 0; i < VT_COUNT(t); i++)
		if (vt_ask_deadline(t[i].json, strlen(t[i].json)) != t[i].ns)
			fail_msg("%s", t[i].json);
}

/* What is sound fits, however it is laid out; what a stranger may send of more is little. */
static void test_bound_of_a_body(void **state)
{
	static const struct {
		size_t head;
		uint64_t min, max;
	} t[] = {
		{VT_INFER_JSON_ONLY, 65536, 70000},
		{0, 40 + 65536, 40 + 65536},
		{300, 300 + 40 + 65536, 300 + 40 + 65536},
		{1ull << 40, 40 + 65536, 70000}, /* a lie */
	};
	static const struct vt_shape image = {4, {1, 3, 224, 224}}, column = {2, {100000, 1}};
	struct vt_io io;
	struct vt_graph g;

	make_io(&io);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		uint64_t n = vt_ask_bound(&io, t[i].head);

		if (n < t[i].min || n > t[i].max)
			fail_msg("%zu: %llu", t[i].head, (unsigned long long)n);
	}
	vt_io_fini(&io);
	assert_int_equal(vt_graph_init(&g, "t"), 0);
	vt_graph_mark_input(&g, vt_graph_add_tensor(&g, "x", VT_T_INPUT, VT_F32, &image));
	vt_graph_mark_input(&g, vt_graph_add_tensor(&g, "z", VT_T_INPUT, VT_F32, &column));
	assert_int_equal(vt_io_of(&io, &g), 0);
	vt_graph_fini(&g);
	/* Of z each element is a list, with a line for either bracket. */
	assert_true(vt_ask_bound(&io, VT_INFER_JSON_ONLY) > (150528 + 3 * 100000) * 48);
	assert_true(vt_ask_bound(&io, VT_INFER_JSON_ONLY) < 32 << 20);
	assert_int_equal(vt_ask_bound(&io, 200), 200 + (150528 + 100000) * 4 + 65536);
	vt_io_fini(&io);
}

static void test_answers(void **state)
{
	static const float y[2] = {0.1f, -3};
	static const uint16_t h[2] = {0x3c00, 0x4000};
	const void *data[2] = {y, h};
	struct vt_io io;
	struct vt_ask ask = {.n_want = 2, .want = {{1, true}, {0, false}}, .any_binary = true};
	char *buf;
	size_t head, len, bound;
	json_t *root, *j;

	make_io(&io);
	ask.id = "a\\\"b";
	ask.id_len = 4;
	bound = vt_answer_bound(&io, &ask, "m", "3");
	buf = malloc(bound);
	len = vt_answer_write(buf, &io, &ask, "m", "3", data, &head);
	assert_true(len <= bound && head + sizeof(h) == len);
	assert_memory_equal(buf + head, h, sizeof(h));
	root = j = json_loadb(buf, head, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "model_name")), "m");
	assert_string_equal(json_string_value(json_object_get(j, "model_version")), "3");
	assert_string_equal(json_string_value(json_object_get(j, "id")), "a\"b");
	j = json_object_get(j, "outputs");
	assert_string_equal(json_string_value(json_object_get(json_array_get(j, 0), "name")),
			    "h\"");
	assert_string_equal(json_string_value(json_object_get(json_array_get(j, 0), "datatype")),
			    "FP16");
	assert_int_equal(
		json_integer_value(json_object_get(
			json_object_get(json_array_get(j, 0), "parameters"), "binary_data_size")),
		4);
	assert_true((float)json_real_value(json_array_get(
			    json_object_get(json_array_get(j, 1), "data"), 0)) == 0.1f);
	json_decref(root);
	free(buf);
	vt_io_fini(&io);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_a),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_nesting_is_bounded),
		cmocka_unit_test(test_memory_is_bounded),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_raw),
		cmocka_unit_test(test_bound_of_a_body),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_deadline_before_the_tensors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
