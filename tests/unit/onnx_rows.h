/* SPDX-License-Identifier: Apache-2.0 */
/* onnx_rows.h - tables of models written as text, and what the importer makes of each. */
#ifndef VT_TESTS_ONNX_ROWS_H
#define VT_TESTS_ONNX_ROWS_H

#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "model/graph.h"
#include "onnx_text.h"

/* What a model becomes: its operators in order, and the shape of its first output; or its error. */
struct row {
	const char *what;
	int opset;
	const char *text;
	const char *want;
};

static inline void describe(const struct vt_graph *g, char *buf, size_t len)
{
	const struct vt_tensor *out = &g->tensors[g->outputs[0]];
	char shape[128];
	size_t n = 0;

	buf[0] = '\0';
	for (int i = 0; i < g->n_nodes; i++)
		n += (size_t)snprintf(buf + n, len - n, "%s ", vt_op_name(g->nodes[i].op));
	snprintf(buf + n, len - n, "-> %s%s %s", out->kind == VT_T_CONST ? "constant " : "",
		 vt_dtype_name(out->dtype), vt_shape_text(&out->shape, shape, sizeof(shape)));
}

static inline void import_bytes(const char *what, const uint8_t *buf, size_t bytes,
				const struct vt_import_opts *o, char *got, size_t len)
{
	struct vt_graph g;
	struct vt_err e = {0};
	int err = vt_import_onnx_buf(&g, buf, bytes, NULL, o, &e);

	if (err) {
		assert_int_equal(err, e.code);
		snprintf(got, len, "%d %s", -err, e.msg);
		assert_null(g.nodes);
		return;
	}
	assert_int_equal(e.code, 0);
	if (vt_graph_check(&g, &e))
		fail_msg("%s: %s", what, e.msg);
	describe(&g, got, len);
	vt_graph_fini(&g);
}

static inline void import_row(const struct row *r, const struct vt_import_opts *o, char *got,
			      size_t len)
{
	size_t bytes = 0;
	uint8_t *buf = vt_onnx_text(r->text, r->opset, &bytes);

	assert_non_null(buf);
	import_bytes(r->what, buf, bytes, o, got, len);
	free(buf);
}

static inline void run_rows(const struct row *rows, size_t n, const struct vt_import_opts *o)
{
	char got[1024];

	for (size_t i = 0; i < n; i++) {
		import_row(&rows[i], o, got, sizeof(got));
		if (strcmp(got, rows[i].want))
			fail_msg("%s, opset %d:\n  got  %s\n  want %s", rows[i].what, rows[i].opset,
				 got, rows[i].want);
	}
}

static const struct vt_import_opts plain;

#endif
