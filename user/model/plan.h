/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - the two halves of vt_plan_memory() and its proof. Internal to user/model. */
#ifndef VT_MODEL_PLAN_H
#define VT_MODEL_PLAN_H

#include "model/graph.h"

#define VT_ALIGN      64 /* of each tensor with memory of its own */
#define VT_SLACK      64 /* readable bytes behind it: vector loads run past the end */
#define VT_BEFORE_ALL (-1)

/** Nodes between which a tensor's memory holds something: [first, last], both included. */
struct vt_life {
	int first, last;
};

/** vt_plan_lives - lifetimes of all tensors, each folded into the one whose memory it shares
 * @lives: n_tensors elements. Graph inputs begin before node 0, outputs end after the last node. */
void vt_plan_lives(const struct vt_graph *g, struct vt_life *lives);

/** vt_plan_views - decide which tensors share memory: Reshape, Concat, Split, Slice, in place */
int vt_plan_views(struct vt_graph *g, struct vt_err *e);

static inline size_t vt_tensor_bytes(const struct vt_tensor *t)
{
	int64_t n = vt_shape_elems(&t->shape);

	return n > 0 ? (size_t)n * vt_dtype_bytes(t->dtype) : 0;
}

#endif
