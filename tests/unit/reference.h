/* SPDX-License-Identifier: Apache-2.0 */
/* reference.h - between the operators of the reference (reference.c) and graphs (reference_run.c). */
#ifndef VT_TESTS_REFERENCE_H
#define VT_TESTS_REFERENCE_H

#include "model/graph.h"

struct run {
	const struct vt_graph *g;
	float **base; /* per tensor: its first element */
};

/* Memory of element @i, rows with a stride included. */
static inline float *at(const struct run *r, int t, int64_t i)
{
	const struct vt_tensor *x = &r->g->tensors[t];
	int64_t row = x->shape.rank ? x->shape.dim[x->shape.rank - 1] : 1;

	return r->base[t] + (x->row_stride ? i / row * x->row_stride + i % row : i);
}

/** reference_node - compute all outputs of @n */
void reference_node(const struct run *r, const struct vt_node *n);

#endif
