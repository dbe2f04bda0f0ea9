// SPDX-License-Identifier: Apache-2.0
/*
 * Do the types of a node's operands and results fit together? For vt_graph_check: kernels look at
 * one operand and take the others for the same.
 */
#include "model/graph_shapes.h"

/*
 * One letter for each operand or result, the last for all further ones. T: the type that all of
 * these share; I: an index, int64 or int32; L: int64; B: bool; ?: any.
 */
struct signature {
	const char *in, *out;
};

static const struct signature alike = {"T", "T"}, tells = {"T", "B"};

static const struct signature signatures[VT_OP_COUNT] = {
	[VT_OP_NOT] = {"T", "B"},
	[VT_OP_IS_NAN] = {"T", "B"},
	[VT_OP_IS_INF] = {"T", "B"},
	[VT_OP_TOPK] = {"T", "TL"},
	[VT_OP_ARGMAX] = {"T", "L"},
	[VT_OP_ARGMIN] = {"T", "L"},
	[VT_OP_GATHER] = {"TI", "T"},
	[VT_OP_GATHER_ELEMENTS] = {"TI", "T"},
	[VT_OP_GATHER_ND] = {"TI", "T"},
	[VT_OP_SCATTER_ND] = {"TIT", "T"},
	[VT_OP_SCATTER_ELEMENTS] = {"TIT", "T"},
	[VT_OP_ONE_HOT] = {"?T", "T"},
	[VT_OP_CAST] = {"?", "?"},
	[VT_OP_WHERE] = {"BT", "T"},
};

static const struct signature *signature(enum vt_op op)
{
	enum vt_op_class c = vt_op_class(op);

	return signatures[op].in		      ? &signatures[op]
	       : c == VT_C_COMPARE || c == VT_C_LOGIC ? &tells
						      : &alike;
}

static bool fits(char letter, enum vt_dtype t, enum vt_dtype *shared)
{
	switch (letter) {
	case 'I':
		return t == VT_I64 || t == VT_I32;
	case 'L':
		return t == VT_I64;
	case 'B':
		return t == VT_BOOL;
	case 'T':
		if (*shared == VT_DT_NONE)
			*shared = t;
		return t == *shared;
	default:
		return true;
	}
}

static bool all_fit(const struct vt_graph *g, const char *letter, const int *t, int n,
		    enum vt_dtype *shared)
{
	for (int i = 0; i < n; i++) {
		if (t[i] >= 0 && !fits(*letter, g->tensors[t[i]].dtype, shared))
			return false;
		letter += letter[1] != '\0';
	}
	return true;
}

const char *vt_node_mistyped(const struct vt_graph *g, const struct vt_node *n)
{
	const struct signature *s = signature(n->op);
	enum vt_dtype shared = VT_DT_NONE;

	if (!all_fit(g, s->in, n->in, n->n_in, &shared))
		return "operands have types that do not fit";
	if (!all_fit(g, s->out, n->out, n->n_out, &shared))
		return "result has another type than it should";
	if (n->epi.residual >= 0 && g->tensors[n->epi.residual].dtype != vt_out(g, n, 0)->dtype)
		return "residual has another type than the output";
	return NULL;
}
