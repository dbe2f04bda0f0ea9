/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pass.h - what the graph passes share: an index of who writes and reads what, a driver that
 * applies local rules until nothing changes, and the few edits that every rule is made of. Internal
 * to user/model.
 */
#ifndef VT_MODEL_PASS_H
#define VT_MODEL_PASS_H

#include "model/graph.h"

/** One pass at work. Rules read it; the driver keeps the index true after each rewrite. */
struct vt_rw {
	struct vt_graph *g;
	const struct vt_eval *eval; /* may be NULL: then nothing is folded */
	struct vt_err *e;
	int *producer; /* per tensor: the node that writes it, or VT_NONE */
	int *readers;  /* per tensor: nodes that read it, plus 1 if it is a graph output */
	int *reader;   /* per tensor: that node, if it is one */
	struct vt_index *index;
};

/**
 * vt_rule - look at node @i, rewrite around it or leave it
 * Returns 1 if it changed the graph, 0 if not, -errno. After 1 the rule must not have left a
 * half-made edit; nodes it replaced are marked dead. What it may edit, besides adding nodes:
 * node @i and those that wrote what @i read before; readers of a tensor through vt_alias(), before
 * any other edit. The index is not renewed for others.
 */
typedef int (*vt_rule)(struct vt_rw *w, int i);

/** vt_rewrite - apply @rules (ends with NULL) to all nodes in order until no rule applies; the
 * graph is sorted and compact afterwards. @changed grows by the number of rewrites. */
int vt_rewrite(struct vt_graph *g, const struct vt_eval *eval, const vt_rule *rules, int *changed,
	       struct vt_err *e);

/* ---- the index, for the driver (pass_index.c): 0 or -errno ---- */

int vt_index_build(struct vt_rw *w);
/** vt_index_rewritten - a rule changed the graph around node @i */
int vt_index_rewritten(struct vt_rw *w, int i);
void vt_index_free(struct vt_rw *w);

/* ---- questions ---- */

/** vt_made_by - the node that writes @tensor if it is an @op, else VT_NONE */
int vt_made_by(const struct vt_rw *w, int tensor, enum vt_op op);
/** vt_sole - is @tensor read by exactly one node and not by the user? Then its producer may change what it writes. */
bool vt_sole(const struct vt_rw *w, int tensor);
bool vt_is_const(const struct vt_graph *g, int tensor); /* with its data there */
/** vt_const_scalar - value of a floating-point constant whose elements are all that one value */
bool vt_const_scalar(const struct vt_graph *g, int tensor, double *value);
/** vt_const_channels - an F32 constant that broadcasts along the last dim only: [1,..,1,n] or one
 * element; the data, with *@step 0 for the latter; NULL if it is something else */
const float *vt_const_channels(const struct vt_graph *g, int tensor, int64_t n, int *step);
/** vt_other - of the two inputs of a binary node, the one that is not @tensor */
int vt_other(const struct vt_node *n, int tensor);

/* ---- edits: index or -errno ---- */

/** vt_new_tensor - computed, typed like @like, named "LIKE/what" */
int vt_new_tensor(struct vt_graph *g, int like, const char *what, const struct vt_shape *shape);
/** vt_new_const - zeroed F32 constant named "LIKE/what" */
int vt_new_const(struct vt_graph *g, int like, const char *what, const struct vt_shape *shape);
/** vt_reshaped - @tensor under another shape: itself if equal, else the output of a new Reshape */
int vt_reshaped(struct vt_graph *g, int tensor, const struct vt_shape *shape);
/** vt_transposed - the output of a new Transpose of @tensor, which is looked at under the shape @as
 * (same elements); constants are transposed at once */
int vt_transposed(struct vt_graph *g, int tensor, const struct vt_shape *as, const int *perm);
/** vt_alias - let all readers of @from read @to; a graph output keeps its name. False (and nothing
 * done) where the user would get an input, a constant or another output instead. */
bool vt_alias(struct vt_rw *w, int from, int to);
/** vt_set_inputs - replace the input list of a node */
int vt_set_inputs(struct vt_node *n, const int *in, int n_in);
/** vt_kill - mark dead */
static inline void vt_kill(struct vt_graph *g, int node)
{
	g->nodes[node].dead = true;
}

/* ---- permutations ---- */

bool vt_perm_is_identity(const int *perm, int rank);
void vt_perm_invert(const int *perm, int rank, int *ret);
/** vt_perm_moves_nothing - does the Transpose keep the bytes in place (only dims of 1 move)? */
bool vt_perm_moves_nothing(const int *perm, const struct vt_shape *in);
void vt_shape_permute(const struct vt_shape *in, const int *perm, struct vt_shape *ret);
/** vt_permute_data - copy @src of shape @in into @dst, transposed */
void vt_permute_data(const void *src, void *dst, const struct vt_shape *in, const int *perm,
		     size_t elem_bytes);

/* ---- rules of the layout pass that live in pass_layout_reshape.c ---- */

int vt_rule_sink_reshape(struct vt_rw *w, int i);
int vt_rule_flat_weights(struct vt_rw *w, int i);

/* ---- the passes, in pass_*.c ---- */

#define VT_PASSES(X)                                                                               \
	X(simplify)                                                                                \
	X(flatten)                                                                                 \
	X(cse)                                                                                     \
	X(layout)                                                                                  \
	X(activation)                                                                              \
	X(layernorm)                                                                               \
	X(attention)                                                                               \
	X(affine)                                                                                  \
	X(pad)                                                                                     \
	X(matmul)                                                                                  \
	X(epilogue)                                                                                \
	X(depthwise)                                                                               \
	X(squeeze)
#define X(name)                                                                                    \
	int vt_pass_##name(struct vt_graph *g, const struct vt_eval *eval, int *changed,           \
			   struct vt_err *e);
VT_PASSES(X)
#undef X

#endif
