/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layer.h - a graph node made runnable.
 *
 * create packs weights once and makes n_inst instances that share them; bind gives one instance its
 * memory; run computes it on a gang. Two instances may run at the same time on different gangs; one
 * instance not. run takes no lock, makes no allocation and cannot fail: everything that can fail
 * happens before. Kernels of ours parallelise by calling pthreadpool_parallelize_*() like XNNPACK
 * does, so that the same tiler cuts them (tile.h).
 */
#ifndef VT_KERNELS_LAYER_H
#define VT_KERNELS_LAYER_H

#include "kernels/tile.h"
#include "model/graph.h"

struct vt_layer;

/** Memory of one instance of a layer. Pointers stay valid until the next bind or destroy. */
struct vt_binding {
	/* as node.in; NULL for absent inputs and for constants whose data was dropped */
	const void *const *in;
	void *const *out;     /* as node.out */
	const void *residual; /* of the epilogue, or NULL */
};

/** How one kind of node is computed. Descriptors are static and const. */
struct vt_kernel {
	const char *name; /* "xnn_conv2d_nhwc_f32", "vt_softmax" */
	/**
	 * create - pack constants, allocate state; l->n_inst is set
	 * -ENOTSUP: not for this node (types, shapes), the next candidate is asked; other errors
	 * are final. Sets l->state, l->packed_in, and what of l's numbers are not 0.
	 */
	int (*create)(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		      struct vt_err *e);
	int (*bind)(struct vt_layer *l, int inst, const struct vt_binding *b);
	void (*run)(struct vt_layer *l, int inst, pthreadpool_t gang);
	void (*destroy)(struct vt_layer *l); /* accepts a state of NULL */
};

struct vt_layer {
	const struct vt_kernel *kernel;
	int n_inst;
	void *state;	     /* of the kernel */
	size_t weight_bytes; /* packed, all instances together, without what an earlier layer holds */
	size_t read_bytes; /* of weights, or of a right operand, by one product; 0: weight_bytes */
	size_t work_bytes; /* held for what runs compute on the way, all instances together */
	size_t scratch_bytes; /* needed by each core that runs it */
	uint64_t packed_in;   /* bit i: the constant in[i] was copied, its data may be dropped */

	/*
	 * A matrix layer: a nest of rows x cols, of which @depth products at a time stay in cache
	 * (all of K for XNNPACK, a K block for our own kernels). Traversals matter. 0: other layers.
	 */
	size_t rows, cols, depth;
};

/** vt_kernels_for - candidates for an operator, best first, NULL at the end (kernels/table.c) */
const struct vt_kernel *const *vt_kernels_for(enum vt_op op);

/**
 * vt_layer_create - ask the candidates of the node's operator in turn; -ENOTSUP if none takes it
 *
 * A node that writes no element gets a layer that does nothing, one that reads an empty tensor the
 * last candidate: no other kernel sees a dimension of 0.
 */
int vt_layer_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		    int n_inst, struct vt_err *e);
/** vt_layer_create_from - the same, but only of candidates that @may allows; NULL: of all */
int vt_layer_create_from(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			 int n_inst, bool (*may)(const struct vt_kernel *k), struct vt_err *e);
/** vt_kernel_no_own_matrix - for vt_layer_create_from(): XNNPACK instead of matrix kernels of ours */
bool vt_kernel_no_own_matrix(const struct vt_kernel *k);
/** vt_kernel_direct - likewise: sums as they are defined, weights once; neither Winograd's nor Strassen's algorithm */
bool vt_kernel_direct(const struct vt_kernel *k);
void vt_layer_destroy(struct vt_layer *l);

/** vt_kernel_eval - for constant folding: create, bind, run on the calling thread, destroy */
extern const struct vt_eval vt_kernel_eval;

/* ---- for kernels ------------------------------------------------------------------------- */

/** vt_row_distance - elements from one row of the last dim to the next, of a view too */
static inline size_t vt_row_distance(const struct vt_tensor *t)
{
	return (size_t)(t->row_stride ? t->row_stride : t->shape.dim[t->shape.rank - 1]);
}

/** vt_all_f32 - are all inputs that are there of type float32? */
static inline bool vt_all_f32(const struct vt_graph *g, const struct vt_node *n)
{
	for (int i = 0; i < n->n_in; i++)
		if (vt_in(g, n, i) && vt_in(g, n, i)->dtype != VT_F32)
			return false;
	return true;
}

#endif
