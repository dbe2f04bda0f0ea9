// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_infer.c - hostile bodies of inference requests: JSON, and JSON with binary tensors.
 *
 * The first byte chooses the model's inputs, the next two the length of the JSON in front of
 * binary tensors. What is accepted must be there to be read, and its answer must fit and be JSON.
 */
#include <stdlib.h>
#include <string.h>

#include "server/infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int ok)
{
	if (!ok)
		abort();
}

static void make_io(struct vt_io *io, unsigned int kind)
{
	static const enum vt_dtype types[] = {VT_F32, VT_I64,  VT_U8, VT_F16,
					      VT_F64, VT_BOOL, VT_U64};
	static const struct vt_shape shapes[] = {{2, {2, 3}}, {1, {4}}, {0, {0}}, {2, {0, 2}}};
	enum vt_dtype a = types[kind % 7], b = types[kind / 7 % 7];
	struct vt_graph g;

	check(vt_graph_init(&g, "t") == 0);
	vt_graph_mark_input(&g, vt_graph_add_tensor(&g, "a", VT_T_INPUT, a, &shapes[kind & 3]));
	if (kind & 0x80)
		vt_graph_mark_input(&g, vt_graph_add_tensor(&g, "b", VT_T_INPUT, b, &shapes[1]));
	vt_graph_mark_output(&g, vt_graph_add_tensor(&g, "y\xff\"", VT_T_COMPUTED, b, &shapes[0]));
	vt_graph_mark_output(&g, vt_graph_add_tensor(&g, "z", VT_T_COMPUTED, VT_F32, &shapes[1]));
	check(vt_io_of(io, &g) == 0);
	vt_graph_fini(&g);
}

/* The answer to @ask: within its bound, and JSON as far as the header says. */
static void answer(const struct vt_io *io, const struct vt_ask *ask)
{
	static const double bytes[6] = {1.5, -0.0, 1e300, 5e-324, 3e8, 0};
	const void *data[2] = {bytes, bytes};
	size_t bound = vt_answer_bound(io, ask, "m", "1"), head, len;
	char *buf = malloc(bound);
	struct vt_json j;

	check(buf != NULL);
	len = vt_answer_write(buf, io, ask, "m", "1", data, &head);
	check(len <= bound && (head == VT_INFER_JSON_ONLY) == !ask->any_binary);
	vt_json_init(&j, buf, head == VT_INFER_JSON_ONLY ? len : head, NULL);
	check(vt_json_skip(&j) == 0 && vt_json_end(&j) == 0);
	free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vt_io io;
	struct vt_ask ask;
	struct vt_err e = {0};
	size_t head = VT_INFER_JSON_ONLY;
	unsigned char sum = 0;
	int err;

	if (size < 3)
		return 0;
	make_io(&io, data[0]);
	if (data[1] != 0xff)
		head = data[1] | (size_t)data[2] << 8;
	err = vt_ask_read(&ask, &io, data + 3, size - 3, head, 4096, &e);
	if (err) {
		check(err < 0 && e.code == err && e.msg[0] && !strchr(e.msg, '\n'));
	} else {
		for (size_t i = 0; i < io.n_in; i++)
			for (size_t k = 0; k < io.in[i].bytes; k++)
				sum ^= ((const unsigned char *)ask.in[i])[k];
		answer(&io, &ask);
		check(!head ||
		      vt_ask_deadline(data + 3, head == VT_INFER_JSON_ONLY ? size - 3 : head) ==
			      ask.deadline_ns);
	}
	vt_ask_fini(&ask);
	vt_io_fini(&io);
	return sum == 1 && size == 0; /* keep the loop */
}
