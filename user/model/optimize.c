// SPDX-License-Identifier: Apache-2.0
/* vt_optimize: the passes in order. docs/graph.md tells what each is for. */
#include "model/pass.h"
#include "model/passes.h"

/*
 * Transposes sink first, so that every later pattern sees producer and consumer next to each other;
 * simplify runs again wherever a pass leaves Reshapes or folded operands behind.
 */
const struct vt_pass vt_passes[] = {
	{"simplify", vt_pass_simplify},
	{"cse", vt_pass_cse},
	{"layout", vt_pass_layout},
	{"simplify", vt_pass_simplify},
	{"cse", vt_pass_cse},
	{"activation", vt_pass_activation},
	{"layernorm", vt_pass_layernorm},
	{"attention", vt_pass_attention},
	{"layout", vt_pass_layout},
	{"flatten", vt_pass_flatten},
	{"matmul", vt_pass_matmul},
	{"affine", vt_pass_affine},
	{"pad", vt_pass_pad},
	{"epilogue", vt_pass_epilogue},
	{"depthwise", vt_pass_depthwise},
	{"squeeze", vt_pass_squeeze},
	{"simplify", vt_pass_simplify},
	{"cse", vt_pass_cse},
	{NULL, NULL},
};

int vt_optimize(struct vt_graph *g, const struct vt_eval *eval, struct vt_err *e)
{
	int rc = vt_graph_sort(g, e);

	for (const struct vt_pass *p = vt_passes; !rc && p->name; p++) {
		int changed = 0;

		rc = p->run(g, eval, &changed, e);
		if (!rc)
			rc = vt_graph_check(g, e);
		if (rc)
			vt_fail_at(e, "pass %s", p->name);
	}
	return rc;
}
