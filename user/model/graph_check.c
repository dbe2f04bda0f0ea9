// SPDX-License-Identifier: Apache-2.0
/* What every valid graph obeys. Run after each pass in debug builds, and by the tests always. */
#include "model/graph.h"
#include "model/graph_shapes.h"

#include <stdlib.h>

#define MANY 1000000

/* How many inputs and outputs an operator has; by class where all of a class agree. */
struct arity {
	int in_min, in_max, out_min, out_max;
};

static const struct arity class_arity[] = {
	[VT_C_UNARY] = {1, 1, 1, 1}, [VT_C_BINARY] = {2, 2, 1, 1},  [VT_C_COMPARE] = {2, 2, 1, 1},
	[VT_C_LOGIC] = {2, 2, 1, 1}, [VT_C_REDUCE] = {1, 1, 1, 1},  [VT_C_MOVE] = {1, 1, 1, 1},
	[VT_C_VIEW] = {1, 1, 1, 1},  [VT_C_SPATIAL] = {1, 1, 1, 1}, [VT_C_MATRIX] = {2, 3, 1, 1},
	[VT_C_OTHER] = {1, 1, 1, 1},
};

static const struct arity op_arity[VT_OP_COUNT] = {
	[VT_OP_CONV2D] = {2, 3, 1, 2},
	[VT_OP_CONV2D_DW] = {3, 5, 1, 2},
	[VT_OP_DECONV2D] = {2, 3, 1, 1},
	[VT_OP_INSTANCE_NORM] = {3, 3, 1, 1},
	[VT_OP_BATCH_NORM] = {5, 5, 1, 1},
	[VT_OP_MATMUL] = {2, 2, 1, 1},
	[VT_OP_ATTENTION] = {3, 4, 1, 1},
	[VT_OP_LAYER_NORM] = {2, 3, 1, 1},
	[VT_OP_TOPK] = {1, 1, 1, 2},
	[VT_OP_CONCAT] = {1, MANY, 1, 1},
	[VT_OP_SPLIT] = {1, 1, 1, MANY},
	[VT_OP_GATHER] = {2, 2, 1, 1},
	[VT_OP_GATHER_ELEMENTS] = {2, 2, 1, 1},
	[VT_OP_GATHER_ND] = {2, 2, 1, 1},
	[VT_OP_SCATTER_ND] = {3, 3, 1, 1},
	[VT_OP_SCATTER_ELEMENTS] = {3, 3, 1, 1},
	[VT_OP_ONE_HOT] = {2, 2, 1, 1},
	[VT_OP_WHERE] = {3, 3, 1, 1},
	[VT_OP_RANGE] = {3, 3, 1, 1},
};

static int bad(struct vt_err *e, const struct vt_node *n, const char *what)
{
	return vt_fail(e, -EINVAL, "node \"%s\" (%s): %s", n->name, vt_op_name(n->op), what);
}

static int check_tensor(const struct vt_graph *g, int i, struct vt_err *e)
{
	const struct vt_tensor *t = &g->tensors[i];
	const char *name = t->name ? t->name : "?";
	int64_t elems;

	if (!t->name)
		return vt_fail(e, -EINVAL, "tensor %d has no name", i);
	if (t->dtype <= VT_DT_NONE || t->dtype >= VT_DT_COUNT)
		return vt_fail(e, -EINVAL, "tensor \"%s\": no type", name);
	if (t->shape.rank < 0 || t->shape.rank > VT_MAX_RANK)
		return vt_fail(e, -EINVAL, "tensor \"%s\": rank %d", name, t->shape.rank);
	elems = vt_shape_elems(&t->shape);
	if (elems < 0)
		return vt_fail(e, -EINVAL, "tensor \"%s\": impossible shape", name);
	if (t->kind == VT_T_CONST && t->data &&
	    t->bytes != (size_t)elems * vt_dtype_bytes(t->dtype))
		return vt_fail(e, -EINVAL, "tensor \"%s\": %zu bytes of data for %lld elements",
			       name, t->bytes, (long long)elems);
	return 0;
}

static int check_arity(const struct vt_node *n, struct vt_err *e)
{
	struct arity a;

	if ((unsigned int)n->op >= VT_OP_COUNT)
		return vt_fail(e, -EINVAL, "node \"%s\": operator %d", n->name, (int)n->op);
	a = op_arity[n->op].in_max ? op_arity[n->op] : class_arity[vt_op_class(n->op)];
	if (n->n_in < a.in_min || n->n_in > a.in_max)
		return bad(e, n, "wrong number of inputs");
	if (n->n_out < a.out_min || n->n_out > a.out_max)
		return bad(e, n, "wrong number of outputs");
	for (int i = 0; i < a.in_min; i++)
		if (n->in[i] < 0)
			return bad(e, n, "a required input is absent");
	return 0;
}

static bool takes_epilogue(enum vt_op op)
{
	return op == VT_OP_CONV2D || op == VT_OP_CONV2D_DW || op == VT_OP_DECONV2D ||
	       op == VT_OP_FC;
}

static int check_epilogue(const struct vt_graph *g, const struct vt_node *n, struct vt_err *e)
{
	const struct vt_epilogue *epi = &n->epi;

	if (!takes_epilogue(n->op))
		return epi->residual >= 0 || epi->act >= 0 ? bad(e, n, "may not have an epilogue")
							   : 0;
	if (epi->act >= 0 && vt_op_class((enum vt_op)epi->act) != VT_C_UNARY)
		return bad(e, n, "epilogue is not an activation");
	if (epi->residual >= 0 &&
	    !vt_shape_equal(&g->tensors[epi->residual].shape, &vt_out(g, n, 0)->shape))
		return bad(e, n, "residual has another shape than the output");
	return 0;
}

/* @ready: tensors that hold a value before this node runs. */
static int check_node(const struct vt_graph *g, const struct vt_node *n, bool *ready,
		      struct vt_err *e)
{
	int rc = check_arity(n, e);

	for (int i = 0; !rc && i <= n->n_in; i++) {
		int t = i < n->n_in ? n->in[i] : n->epi.residual;

		if (t == VT_NONE)
			continue;
		if (t < 0 || t >= g->n_tensors)
			rc = bad(e, n, "reads a tensor that does not exist");
		else if (!ready[t])
			rc = bad(e, n, "reads a tensor before it is written");
		else if (g->tensors[t].kind == VT_T_CONST && !g->tensors[t].data)
			rc = bad(e, n, "reads a constant whose data was dropped");
	}
	for (int o = 0; !rc && o < n->n_out; o++) {
		int t = n->out[o];

		if (t == VT_NONE && o > 0)
			continue;
		if (t < 0 || t >= g->n_tensors)
			rc = bad(e, n, "writes a tensor that does not exist");
		else if (g->tensors[t].kind != VT_T_COMPUTED)
			rc = bad(e, n, "writes an input or a constant");
		else if (ready[t])
			rc = bad(e, n, "writes a tensor that another node writes too");
		else
			ready[t] = true;
	}
	if (!rc)
		rc = check_epilogue(g, n, e);
	if (!rc && vt_node_misfit(g, n))
		rc = bad(e, n, vt_node_misfit(g, n));
	if (!rc && vt_node_mistyped(g, n))
		rc = bad(e, n, vt_node_mistyped(g, n));
	return rc;
}

int vt_graph_check(const struct vt_graph *g, struct vt_err *e)
{
	bool *ready = calloc((size_t)g->n_tensors + 1, sizeof(*ready));
	int rc = ready ? 0 : vt_fail(e, -ENOMEM, "no memory to check the graph");

	for (int t = 0; !rc && t < g->n_tensors; t++) {
		rc = check_tensor(g, t, e);
		ready[t] = g->tensors[t].kind != VT_T_COMPUTED;
	}
	for (int i = 0; !rc && i < g->n_inputs; i++)
		if (g->inputs[i] < 0 || g->inputs[i] >= g->n_tensors ||
		    g->tensors[g->inputs[i]].kind != VT_T_INPUT)
			rc = vt_fail(e, -EINVAL, "input %d of the graph is not an input", i);
	for (int i = 0; !rc && i < g->n_nodes; i++)
		if (!g->nodes[i].dead)
			rc = check_node(g, &g->nodes[i], ready, e);
	for (int i = 0; !rc && i < g->n_outputs; i++) {
		int t = g->outputs[i];

		if (t < 0 || t >= g->n_tensors || !g->tensors[t].is_output)
			rc = vt_fail(e, -EINVAL, "output %d of the graph is not marked as one", i);
		else if (!ready[t])
			rc = vt_fail(e, -EINVAL, "output \"%s\" is never written",
				     g->tensors[t].name);
	}
	free(ready);
	return rc;
}
