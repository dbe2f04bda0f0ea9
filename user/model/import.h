/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.h - inside the ONNX importer: one forward walk that lowers, infers shapes and folds.
 *
 * Nodes are visited in topological order. A lowering (struct vt_imp_op) reads the node's attributes
 * and constant operands, and calls vt_imp_emit() and its helpers, which check shapes, compute at
 * once what depends on constants only, and append the rest to the graph. So every shape is known
 * when the next node is looked at, and a chain such as Shape, Gather, Concat, Reshape leaves
 * nothing behind but the last Reshape.
 *
 * Functions that return a tensor return a negative errno instead after recording the reason in
 * m->e, and accept such a value as an operand: nested calls need one check, at the outermost.
 * Not thread-safe; one import at a time per struct vt_imp.
 */
#ifndef VT_MODEL_IMPORT_H
#define VT_MODEL_IMPORT_H

#include "model/graph.h"
#include "model/onnx_file.h"

#define VT_IMP_MAX_OPERANDS 4096 /* of one node */
#define VT_IMP_MAX_OPSET    23

/** A name of the model: an initialiser, a graph input, or an output of a node. */
struct vt_sym {
	const char *name;
	int tensor; /* in the graph, or VT_NONE while not met */
	int node;   /* that computes it, or VT_NONE */
	int init;   /* initialiser, or VT_NONE */
	int input;  /* graph input, or VT_NONE */
	int uses;   /* operands of needed nodes, still to be lowered, that name it */
};

/** Who needs a tensor. */
struct vt_imp_ref {
	int uses;    /* operands of nodes still to be lowered, and graph outputs */
	bool pinned; /* an operand of a node of the graph */
};

struct vt_imp_node;
struct vt_imp;

/** One row of the table that drives import, errors and docs/operators.md. */
struct vt_imp_op {
	const char *name; /* in the domain ai.onnx */
	int min_in;	  /* operands that must be there */
	int max_in;	  /* operands that it may have, as lowerings may rely on */
	int since, until; /* opsets whose meaning this row implements */
	int (*lower)(struct vt_imp *m, const struct vt_imp_node *n); /* NULL: not supported */
	int op;		  /* enum vt_op given to a shared lowering */
	const char *note; /* limits; for a NULL lowering the reason */
};

/** An import under way. */
struct vt_imp {
	struct vt_graph *g;
	const struct vt_import_opts *o;
	struct vt_err *e;
	Onnx__ModelProto *model;
	Onnx__GraphProto *pg;
	struct vt_onnx_beside beside;
	int opset;
	struct vt_sym *syms; /* sorted by name */
	int n_syms;
	int *order; /* needed nodes, in topological order */
	int n_order;
	struct vt_imp_ref *refs; /* per tensor */
	int cap_refs;
	size_t fold_bytes;		/* that folding may still allocate */
	uint64_t fold_flops;		/* that folding may still spend */
	const struct vt_imp_node *node; /* being lowered */
};

/** The ONNX node being lowered. */
struct vt_imp_node {
	Onnx__NodeProto *p;
	const struct vt_imp_op *op;
	const char *name;
	int n_in, n_out;
	const int *in;	       /* tensors; VT_NONE where absent */
	int first_tensor;      /* tensors from here on were made by this lowering */
	const char **mistyped; /* an attribute that was asked for and has another type */
};

/* ---- onnx_graph.c: names ------------------------------------------------------------------ */

int vt_imp_run(struct vt_imp *m);
struct vt_sym *vt_imp_sym(const struct vt_imp *m, const char *name);
/** vt_imp_set - output @i of @n is @tensor; returns 0, or @tensor if that is an error */
int vt_imp_set(struct vt_imp *m, const struct vt_imp_node *n, int i, int tensor);
/** vt_imp_ref - who needs the tensor; NULL if there is no memory, else valid until the next call */
struct vt_imp_ref *vt_imp_ref(struct vt_imp *m, int tensor);
/** vt_imp_wanted - does anything read output @i? */
bool vt_imp_wanted(const struct vt_imp *m, const struct vt_imp_node *n, int i);
/** vt_imp_bad - record what is wrong with the node; -ENOEXEC also names its opset; returns @code */
int vt_imp_bad(struct vt_imp *m, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- onnx_table.c ------------------------------------------------------------------------- */

extern const struct vt_imp_op vt_imp_ops[];
/** vt_imp_find - the row for an operator at an opset; -ENOEXEC with the reason if there is none */
int vt_imp_find(const char *domain, const char *name, int opset, const struct vt_imp_op **ret,
		struct vt_err *e);

/* ---- onnx_input.c: graph inputs ----------------------------------------------------------- */

int vt_imp_input(struct vt_imp *m, struct vt_sym *s);
/** vt_imp_check_dims - does every binding name a symbolic dimension? */
int vt_imp_check_dims(struct vt_imp *m);
/** vt_imp_input_const - turn a graph input into a constant if the user gave its value; -ENODATA if
 * not (nothing is recorded then) */
int vt_imp_input_const(struct vt_imp *m, int tensor);

/* ---- onnx_args.c: attributes and constant operands ---------------------------------------- */

const Onnx__AttributeProto *vt_imp_attr(const struct vt_imp_node *n, const char *name);
int64_t vt_imp_int(const struct vt_imp_node *n, const char *name, int64_t otherwise);
float vt_imp_float(const struct vt_imp_node *n, const char *name, float otherwise);
/** vt_imp_word - index of a string attribute's value in @words (NULL at the end), -ENOEXEC if none */
int vt_imp_word(struct vt_imp *m, const struct vt_imp_node *n, const char *name,
		const char *const *words, int otherwise);
/** vt_imp_ints - values of a list attribute; their number, or -ENODATA (not recorded) if absent */
int vt_imp_ints(struct vt_imp *m, const struct vt_imp_node *n, const char *name, int64_t *v,
		int max);
/** vt_imp_is - is operand @i present? */
bool vt_imp_is(const struct vt_imp_node *n, int i);
/** vt_imp_one_type - have operands 1 .. @count - 1, where present, the first one's type? 0, -EINVAL */
int vt_imp_one_type(struct vt_imp *m, const struct vt_imp_node *n, int count);
bool vt_imp_is_float(enum vt_dtype t);
bool vt_imp_is_half(
	enum vt_dtype t); /* float16, bfloat16: computed as float32 where no kernel has them */
/** vt_imp_type - the type that an attribute names, VT_DT_NONE if absent or 0; -ENOEXEC for one we lack */
int vt_imp_type(struct vt_imp *m, const struct vt_imp_node *n, const char *name);
/**
 * vt_imp_axes - the axes of @rank that a list names, each once, into @ret[@rank]; all of them if there is none
 * @count: of @v, -ENODATA: none. Returns their number, or what @count says is wrong
 */
int vt_imp_axes(struct vt_imp *m, const int64_t *v, int count, int rank, int *ret);
/** vt_imp_need - make the value of a tensor known now, from the user's input if that decides it */
int vt_imp_need(struct vt_imp *m, int tensor);
/** vt_imp_try_const - the same where it would only be better: false if it stays unknown */
bool vt_imp_try_const(struct vt_imp *m, int tensor);
/** vt_imp_values - integers of operand @i; their number, or -errno */
int vt_imp_values(struct vt_imp *m, const struct vt_imp_node *n, int i, int64_t *v, int max);
/** vt_imp_numbers - the same as doubles */
int vt_imp_numbers(struct vt_imp *m, const struct vt_imp_node *n, int i, double *v, int max);
/** vt_imp_either - from operand @i if present, else from the attribute; -ENODATA if neither */
int vt_imp_either(struct vt_imp *m, const struct vt_imp_node *n, int i, const char *name,
		  int64_t *v, int max);
/** vt_imp_axis - an axis in [0, rank) from one in [-rank, rank); -EINVAL */
int vt_imp_axis(struct vt_imp *m, int64_t axis, int rank);
/** vt_imp_get - element @i of constant data as a double / an integer */
double vt_imp_get(const struct vt_tensor *t, int64_t i);
int64_t vt_imp_get_int(const struct vt_tensor *t, int64_t i);

/* ---- onnx_emit.c: new nodes and constants -------------------------------------------------- */

struct vt_imp_out {
	enum vt_dtype dtype;
	struct vt_shape shape;
};

const struct vt_shape *vt_imp_shape(const struct vt_imp *m, int tensor);
enum vt_dtype vt_imp_dtype(const struct vt_imp *m, int tensor);
bool vt_imp_is_const(const struct vt_imp *m, int tensor);

/** vt_imp_emit_n - append a node, or compute it if it can be; fills @ret; 0 or -errno */
int vt_imp_emit_n(struct vt_imp *m, enum vt_op op, const int *in, int n_in,
		  const struct vt_imp_out *outs, int n_out, const union vt_params *p, int *ret);
/** vt_imp_fold - compute a node that is already in the graph; -ENODATA (not recorded) if it cannot be
 */
int vt_imp_fold(struct vt_imp *m, int node);
int vt_imp_emit(struct vt_imp *m, enum vt_op op, const int *in, int n_in, enum vt_dtype dtype,
		const struct vt_shape *shape, const union vt_params *p);
int vt_imp_unary(struct vt_imp *m, enum vt_op op, int x, float a, float b);
int vt_imp_binary(struct vt_imp *m, enum vt_op op, int a, int b);
int vt_imp_cast(struct vt_imp *m, int x, enum vt_dtype dtype);
/** vt_imp_reshape - consumes @x if it is a constant that the lowering itself made */
int vt_imp_reshape(struct vt_imp *m, int x, const struct vt_shape *shape);
int vt_imp_transpose(struct vt_imp *m, int x, const int *perm);
int vt_imp_expand(struct vt_imp *m, int x, const struct vt_shape *shape);
/** vt_imp_slice - @count elements of one axis from @start in steps of @step */
int vt_imp_slice(struct vt_imp *m, int x, int axis, int64_t start, int64_t count, int64_t step);
int vt_imp_reduce(struct vt_imp *m, enum vt_op op, int x, uint32_t axes, bool keepdims);
/** vt_imp_const - a constant with zeroed data, charged to the fold budget */
int vt_imp_const(struct vt_imp *m, enum vt_dtype dtype, const struct vt_shape *shape);
/** vt_imp_scalar - a constant of rank 0 */
int vt_imp_scalar(struct vt_imp *m, enum vt_dtype dtype, double value);
/** vt_imp_list - a constant int64 vector */
int vt_imp_list(struct vt_imp *m, const int64_t *v, int n);
/** vt_imp_put - store a double into element @i of constant data */
void vt_imp_put(struct vt_tensor *t, int64_t i, double value);

void vt_imp_free(void *data, size_t bytes); /* free(), as a release function */
struct vt_shape vt_shape_of(int rank, const int64_t *dim);

/* [N,C,spatial...] <-> [N,spatial...,C]; identity for rank 2 */
int vt_imp_to_last(struct vt_imp *m, int x);
int vt_imp_to_first(struct vt_imp *m, int x);
/** vt_imp_flat_last - vt_imp_to_last() with more than two spatial axes made one */
int vt_imp_flat_last(struct vt_imp *m, int x);

/* ---- lowerings ----------------------------------------------------------------------------- */

#define VT_IMP_LOWERINGS(X)                                                                        \
	X(unary)                                                                                   \
	X(clip)                                                                                    \
	X(binary)                                                                                  \
	X(pow)                                                                                     \
	X(gelu)                                                                                    \
	X(mish)                                                                                    \
	X(mod)                                                                                     \
	X(shift)                                                                                   \
	X(prelu)                                                                                   \
	X(chain)                                                                                   \
	X(reduce)                                                                                  \
	X(arg)                                                                                     \
	X(softmax_flat)                                                                            \
	X(softmax)                                                                                 \
	X(cumsum)                                                                                  \
	X(topk)                                                                                    \
	X(where)                                                                                   \
	X(cast)                                                                                    \
	X(cast_like)                                                                               \
	X(identity)                                                                                \
	X(dropout)                                                                                 \
	X(reshape)                                                                                 \
	X(flatten)                                                                                 \
	X(squeeze)                                                                                 \
	X(unsqueeze)                                                                               \
	X(transpose)                                                                               \
	X(concat)                                                                                  \
	X(split)                                                                                   \
	X(slice)                                                                                   \
	X(pad)                                                                                     \
	X(expand)                                                                                  \
	X(tile)                                                                                    \
	X(tile_axis)                                                                               \
	X(shape)                                                                                   \
	X(size)                                                                                    \
	X(constant)                                                                                \
	X(constant_of_shape)                                                                       \
	X(eye_like)                                                                                \
	X(range)                                                                                   \
	X(gather)                                                                                  \
	X(gather_elements)                                                                         \
	X(gather_nd)                                                                               \
	X(scatter_elements)                                                                        \
	X(scatter_nd)                                                                              \
	X(one_hot)                                                                                 \
	X(trilu)                                                                                   \
	X(conv)                                                                                    \
	X(conv_transpose)                                                                          \
	X(pool)                                                                                    \
	X(global_pool)                                                                             \
	X(batch_norm)                                                                              \
	X(instance_norm)                                                                           \
	X(layer_norm)                                                                              \
	X(rms_norm)                                                                                \
	X(group_norm)                                                                              \
	X(lrn)                                                                                     \
	X(mvn)                                                                                     \
	X(lp_norm)                                                                                 \
	X(depth_space)                                                                             \
	X(resize)                                                                                  \
	X(upsample)                                                                                \
	X(gemm)                                                                                    \
	X(matmul)                                                                                  \
	X(attention)                                                                               \
	X(rotary)                                                                                  \
	X(quantize)                                                                                \
	X(dequantize)

#define X(name) int vt_lower_##name(struct vt_imp *m, const struct vt_imp_node *n);
VT_IMP_LOWERINGS(X)
#undef X

#endif
