/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h - what our own operators share: a plan made once, a call per instance, and walking of
 * strided dimensions.
 *
 * An operator is a create function that fills a plan: constants of the node in the form its task
 * wants them, a 2-D range, and the tile of it that one call of the task computes. The rest (bind,
 * run, destroy) is the same for all and lives here. Plans are read-only after create, so instances
 * and cores share them without locks.
 */
#ifndef VT_KERNELS_OPS_H
#define VT_KERNELS_OPS_H

#include "kernels/kernels.h"

struct vt_plan;

/** One instance of a layer: what a task gets as its context. */
struct vt_call {
	const struct vt_plan *plan;
	const void **in;
	void **out;
	const void *residual;
	void *work; /* of this instance; for results between two phases */
};

/** First member of every operator's plan. */
struct vt_plan {
	/** task - compute [i, i + ni) x [j, j + nj) of the range; @call: struct vt_call */
	void (*task)(void *call, size_t i, size_t j, size_t ni, size_t nj);
	size_t range[2], tile[2];
};

/**
 * vt_own_alloc - the state of a layer: @plan_bytes zeroed for the plan, @work_bytes per instance
 * Returns the plan, or NULL after recording -ENOMEM in @e. Freed by vt_own_destroy.
 */
void *vt_own_alloc(struct vt_layer *l, const struct vt_node *n, size_t plan_bytes,
		   size_t work_bytes, struct vt_err *e);
struct vt_call *vt_own_call(const struct vt_layer *l, int inst);
int vt_own_bind(struct vt_layer *l, int inst, const struct vt_binding *b);
void vt_own_run(struct vt_layer *l, int inst, pthreadpool_t gang);
void vt_own_destroy(struct vt_layer *l);
/** vt_plan_run - the range of @plan over @gang */
void vt_plan_run(const struct vt_plan *plan, struct vt_call *call, pthreadpool_t gang);

/** vt_plan_rows - range rows x cols, tiles of about @work elements, rows kept whole if they fit */
void vt_plan_rows(struct vt_plan *plan, size_t rows, size_t cols, size_t work);
/* Elements per tile: one core stays busy for some microseconds, and a tile's rows stay in L1. */
#define VT_TILE_ELEMS 4096

#define VT_OWN_KERNEL(id, create_fn)                                                               \
	const struct vt_kernel vt_kernel_##id = {                                                  \
		.name = "vt_" #id,                                                                 \
		.create = create_fn,                                                               \
		.bind = vt_own_bind,                                                               \
		.run = vt_own_run,                                                                 \
		.destroy = vt_own_destroy,                                                         \
	}

#define VT_COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/** vt_load_f32, vt_store_f32 - @n elements of type F32, F16 or BF16 to and from floats */
void vt_load_f32(float *y, const void *x, enum vt_dtype t, size_t n);
void vt_store_f32(void *y, const float *x, enum vt_dtype t, size_t n);

/* ---- dimensions with strides --------------------------------------------------------------- */

#define VT_ND_RANK 16 /* Tile and DepthToSpace split dimensions in two */
#define VT_ND_OPS  4

/** Dims walked together by several operands; strides in elements, 0 where one is broadcast. */
struct vt_nd {
	int rank, n_ops;
	int64_t dim[VT_ND_RANK];
	int64_t stride[VT_ND_OPS][VT_ND_RANK];
};

/** vt_nd_collapse - drop dims of 1, merge neighbours that all operands walk as one; rank >= 1 */
void vt_nd_collapse(struct vt_nd *nd);
/** vt_nd_init - @n_ops operands of @out's dims; operand 0 is dense over them */
void vt_nd_init(struct vt_nd *nd, const struct vt_shape *out, int n_ops);
/** vt_nd_broadcast - strides of operand @op of shape @in, aligned to the last dims as numpy does */
void vt_nd_broadcast(struct vt_nd *nd, int op, const struct vt_shape *in);
/** vt_dense_strides - of a dense row-major tensor */
void vt_dense_strides(const struct vt_shape *s, int64_t *stride);
/** vt_nd_count - product of dims [0, rank) */
size_t vt_nd_count(const struct vt_nd *nd, int rank);

struct vt_nd_iter {
	int64_t index[VT_ND_RANK];
	int64_t off[VT_ND_OPS]; /* elements from each operand's start */
};
/** vt_nd_seek - to element @linear of the first @rank dims */
void vt_nd_seek(struct vt_nd_iter *it, const struct vt_nd *nd, int rank, size_t linear);
/** vt_nd_step - @n elements further along dim rank - 1, carrying into the dims before */
void vt_nd_step(struct vt_nd_iter *it, const struct vt_nd *nd, int rank, int64_t n);

/** vt_dims_count - product of dims [from, to) of a shape */
size_t vt_dims_count(const struct vt_shape *s, int from, int to);

/** vt_index - element @i of an int32 or int64 index tensor; negative counts from @size; clamped */
static inline int64_t vt_index(const void *p, enum vt_dtype t, size_t i, int64_t size)
{
	int64_t v = t == VT_I32 ? ((const int32_t *)p)[i] : ((const int64_t *)p)[i];

	v += v < 0 ? size : 0;
	return v < 0 ? 0 : v >= size ? size - 1 : v;
}

#endif
