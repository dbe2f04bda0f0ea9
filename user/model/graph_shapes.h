/* SPDX-License-Identifier: Apache-2.0 */
/* graph_shapes.h - whether a node's parameters, shapes and types fit together. Internal to user/model. */
#ifndef VT_MODEL_GRAPH_SHAPES_H
#define VT_MODEL_GRAPH_SHAPES_H

#include "model/graph.h"

/** vt_node_misfit - what is wrong, or NULL; inputs and outputs exist and their number is right */
const char *vt_node_misfit(const struct vt_graph *g, const struct vt_node *n);

/** vt_node_mistyped - the same of their types (graph_types.c) */
const char *vt_node_mistyped(const struct vt_graph *g, const struct vt_node *n);

#endif
