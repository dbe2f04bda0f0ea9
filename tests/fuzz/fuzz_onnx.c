// SPDX-License-Identifier: Apache-2.0
/* fuzz_onnx.c - hostile models, as far as before their kernels. What is accepted is a valid graph, also after the
 * passes; what is not says why, in one line. Data beside the model is in the folder of another target's seeds. */
#include <stdlib.h>
#include <string.h>

#include "kernels/layer.h"
#include "model/graph.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A value for every input named like the seeds' shape operands, so that they are looked into. */
static const struct vt_value *some_value(void *arg, const char *name)
{
	static int64_t data[] = {2, 3};
	static const struct vt_value v = {VT_I64, {1, {2}}, data, sizeof(data), NULL};

	return strcmp(name, "s") ? NULL : &v;
}

static void told(const struct vt_err *e)
{
	if (!e->code || !e->msg[0] || strchr(e->msg, '\n'))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct vt_dim_binding seq = {"seq", 3};
	struct vt_import_opts opts = {
		.dims = &seq,
		.n_dims = memmem(data, size, "seq", 3) != NULL,
		.input_value = some_value,
		.eval = &vt_kernel_eval,
	};
	struct vt_err e = {0};
	struct vt_graph g;

	if (vt_import_onnx_buf(&g, data, size, "tests/fuzz/corpus/npy", &opts, &e)) {
		told(&e);
		if (g.nodes || g.tensors)
			abort();
		return 0;
	}
	if (e.code || vt_graph_check(&g, &e))
		abort();
	/* As vt_engine_load() goes on with it. */
	if (vt_optimize(&g, &vt_kernel_eval, &e))
		told(&e);
	else if (e.code || vt_graph_check(&g, &e))
		abort();
	else if (vt_plan_memory(&g, &e))
		told(&e);
	vt_graph_fini(&g);
	return 0;
}
