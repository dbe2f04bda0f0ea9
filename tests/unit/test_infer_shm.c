// SPDX-License-Identifier: Apache-2.0
/* Tensors in shared memory as requests name them: what is taken, what is refused, and what the answer says. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "infer_fixture.h"

#define SHM_A(p) "{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],\"parameters\":{" p "}}"
#define PLACE(size)                                                                                \
	"\"shared_memory_region\":\"r\\u0031\",\"shared_memory_byte_size\":" size                  \
	",\"shared_memory_offset\":7"
#define TO(p) "{\"inputs\":[" A "," B "],\"outputs\":[{\"name\":\"y\",\"parameters\":{" p "}}]}"

static void test_shared_memory(void **state)
{
	static const struct {
		const char *body;
		int err;
		const char *says;
	} t[] = {
		{ALL(SHM_A(PLACE("24"))), 0, ""},
		{ALL(SHM_A(PLACE("20"))), -EINVAL,
		 "shared_memory_byte_size is 20, its type and shape need 24"},
		{ALL(SHM_A(PLACE("18446744073709551615"))), -EINVAL, "need 24"},
		{ALL(SHM_A(PLACE("-1"))), -EBADMSG, "shared_memory_byte_size is a whole number"},
		{ALL(SHM_A("\"shared_memory_region\":1")), -EBADMSG, "a string"},
		{ALL(SHM_A("\"shared_memory_region\":\"r\"")), -EINVAL,
		 "no shared_memory_byte_size"},
		{ALL(SHM_A("\"shared_memory_byte_size\":24")), -EINVAL, "nor shared_memory_region"},
		{ALL(SHM_A(PLACE("24") ",\"binary_data_size\":24")), -EINVAL,
		 "both binary_data_size and"},
		{ALL("{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],\"data\":[1,2,3,4,5,6],"
		     "\"parameters\":{" PLACE("24") "}}"),
		 -EINVAL, "both data and shared_memory_region"},
		{ALL("{\"parameters\":{" PLACE("24") "},\"data\":[1,2,3,4,5,6],\"name\":\"a\","
						     "\"datatype\":\"FP32\",\"shape\":[2,3]}"),
		 -EINVAL, "both data and shared_memory_region"},
		{ALL(SHM_A(PLACE("24")) "," A), -EINVAL, "given twice"},
		{ALL(A "," SHM_A(PLACE("24"))), -EINVAL, "given twice"},
		{ALL(SHM_A(PLACE("24")) "," SHM_A(PLACE("24"))), -EINVAL, "given twice"},
		{TO(PLACE("8")), 0, ""},
		{TO(PLACE("8") ",\"binary_data\":false"), 0, ""},
		{TO(PLACE("8") ",\"binary_data\":true"), -EINVAL, "both binary_data and"},
		{TO(PLACE("9")), -EINVAL, "output 'y': shared_memory_byte_size is 9"},
		{TO("\"shared_memory_region\":\"\""), -EINVAL, "no shared_memory_byte_size"},
		{JUST("\"parameters\":{" PLACE("8") "}"), -EINVAL, "of an input or an output"},
	};
	struct vt_io io;

	make_io(&io);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		struct vt_ask ask;
		struct vt_err e = {0};
		int err = vt_ask_read(&ask, &io, t[i].body, strlen(t[i].body), VT_INFER_JSON_ONLY,
				      ROOM(1 << 20), &e);

		if (err != t[i].err || !strstr(e.msg, t[i].says))
			fail_msg("%s\n%d %s", t[i].body, err, e.msg);
		vt_ask_fini(&ask);
	}
	vt_io_fini(&io);
}

/* One input each way, both outputs binary but for the one in shared memory. */
static void test_shared_memory_beside_others(void **state)
{
	static const char json[] =
		"{\"inputs\":[{\"name\":\"b\",\"datatype\":\"INT64\",\"shape\":[2],\"parameters\":{"
		"\"binary_data_size\":16}}," SHM_A(
			PLACE("24")) "],\"outputs\":[{\"name\":\"h\\\"\","
				     "\"parameters\":{" PLACE(
					     "4") "}},{\"name\":\"y\"}],"
						  "\"parameters\":{\"binary_data_output\":true}}";
	static const float y[2] = {1, 2};
	const void *data[2] = {y, NULL};
	const size_t len = sizeof(json) - 1;
	char body[sizeof(json) + 16] = {0}, *buf;
	struct vt_io io;
	struct vt_ask ask;
	size_t head, n, bound;

	make_io(&io);
	memcpy(body, json, len);
	assert_int_equal(vt_ask_read(&ask, &io, body, len + 16, len, ROOM(0), NULL), -ENOSPC);
	vt_ask_fini(&ask);
	assert_int_equal(vt_ask_read(&ask, &io, body, len + 16, len, ROOM(1 << 20), NULL), 0);
	assert_ptr_equal(ask.in[1], body + len);
	assert_null(ask.in[0]);
	assert_null(vt_ask_in_shm(&ask, 1));
	assert_null(vt_ask_out_shm(&ask, 1));
	assert_true(vt_json_is(&vt_ask_in_shm(&ask, 0)->region, "r1"));
	assert_int_equal(vt_ask_in_shm(&ask, 0)->offset, 7);
	assert_true(ask.any_binary && ask.want[1].binary && !ask.want[0].binary);
	bound = vt_answer_bound(&io, &ask, "m", "1");
	buf = malloc(bound);
	n = vt_answer_write(buf, &io, &ask, "m", "1", data, &head);
	assert_true(n <= bound && n == head + sizeof(y));
	assert_memory_equal(buf + head, y, sizeof(y));
	buf[head] = '\0';
	assert_non_null(strstr(
		buf, "{\"name\":\"h\\\"\",\"datatype\":\"FP16\",\"shape\":[2],\"parameters\":{"
		     "\"shared_memory_region\":\"r\\u0031\",\"shared_memory_byte_size\":4,"
		     "\"shared_memory_offset\":7}},"));
	free(buf);
	vt_ask_fini(&ask);
	vt_io_fini(&io);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shared_memory),
		cmocka_unit_test(test_shared_memory_beside_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
