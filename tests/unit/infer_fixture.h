/* SPDX-License-Identifier: Apache-2.0 */
/* infer_fixture.h - a model's inputs and outputs, and bodies for it. For the tests of infer_*.c. */
#ifndef VT_TESTS_INFER_FIXTURE_H
#define VT_TESTS_INFER_FIXTURE_H

#include "harness.h"

#include "server/infer.h"

/* What is left, in @arg. */
static bool take_left(void *arg, size_t bytes)
{
	size_t *left = arg;

	if (bytes > *left)
		return false;
	*left -= bytes;
	return true;
}

#define ROOM(bytes) (&(const struct vt_ask_room){take_left, &(size_t){bytes}})

/* a FP32 [2,3]; b INT64 [2]; outputs y FP32 [2], h FP16 [2] */
static void make_io(struct vt_io *io)
{
	static const struct vt_shape two_three = {2, {2, 3}}, two = {1, {2}};
	struct vt_graph g;

	assert_int_equal(vt_graph_init(&g, "t"), 0);
	vt_graph_mark_input(&g, vt_graph_add_tensor(&g, "a", VT_T_INPUT, VT_F32, &two_three));
	vt_graph_mark_input(&g, vt_graph_add_tensor(&g, "b", VT_T_INPUT, VT_I64, &two));
	vt_graph_mark_output(&g, vt_graph_add_tensor(&g, "y", VT_T_COMPUTED, VT_F32, &two));
	vt_graph_mark_output(&g, vt_graph_add_tensor(&g, "h\"", VT_T_COMPUTED, VT_F16, &two));
	assert_int_equal(vt_io_of(io, &g), 0);
	vt_graph_fini(&g);
}

#define A	"{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[2,3],\"data\":[1,2.5,-3,4e1,5,6]}"
#define B	"{\"name\":\"b\",\"datatype\":\"INT64\",\"shape\":[2],\"data\":[7,-8]}"
#define OUT_Y	"\"outputs\":[{\"name\":\"y\"}]"
#define ALL(a)	"{\"inputs\":[" a "," B "]," OUT_Y "}"
#define JUST(x) "{" x ",\"inputs\":[" A "," B "]," OUT_Y "}"

#endif
