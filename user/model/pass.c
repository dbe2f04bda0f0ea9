// SPDX-License-Identifier: Apache-2.0
/* The driver of local rewrite rules and the edits they share. */
#include "model/pass.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the driver --------------------------------------------------------------------------- */

/* Apply every rule to node @i as long as one applies to it. */
static int rewrite_node(struct vt_rw *w, const vt_rule *rules, int i)
{
	int count = 0, rc = 0;

	for (int r = 0; rules[r] && !w->g->nodes[i].dead; r++) {
		rc = rules[r](w, i);
		if (rc < 0)
			return rc;
		if (!rc)
			continue;
		count++;
		rc = vt_index_rewritten(w, i);
		if (rc < 0)
			return rc;
	}
	return count;
}

/* Rules that undo each other would go on forever. Any graph between two rewrites is a good one, so
 * a user's model runs all the same; the tests see it as a time-out. */
#define MAX_SWEEPS 1000

int vt_rewrite(struct vt_graph *g, const struct vt_eval *eval, const vt_rule *rules, int *changed,
	       struct vt_err *e)
{
	struct vt_rw w = {.g = g, .eval = eval, .e = e};
	int rc, sweep_changed, sweeps = 0;

	do {
		sweep_changed = 0;
		rc = vt_index_build(&w);
		for (int i = 0; rc >= 0 && i < g->n_nodes; i++) {
			rc = g->nodes[i].dead ? 0 : rewrite_node(&w, rules, i);
			sweep_changed += rc > 0 ? rc : 0;
		}
		if (rc >= 0 && sweep_changed)
			rc = vt_graph_sort(g, e);
		if (rc >= 0)
			vt_graph_compact(g);
		*changed += sweep_changed;
	} while (rc >= 0 && sweep_changed && ++sweeps < MAX_SWEEPS);
	vt_index_free(&w);
	return rc < 0 ? vt_fail(e, rc, "graph pass: %s", strerror(-rc)) : 0;
}

/* ---- questions ---------------------------------------------------------------------------- */

int vt_made_by(const struct vt_rw *w, int tensor, enum vt_op op)
{
	int p = tensor < 0 ? VT_NONE : w->producer[tensor];

	return p >= 0 && w->g->nodes[p].op == op ? p : VT_NONE;
}

bool vt_sole(const struct vt_rw *w, int tensor)
{
	const int p = w->producer[tensor];

	return w->readers[tensor] == 1 && !w->g->tensors[tensor].is_output &&
	       !(p >= 0 && vt_averages(&w->g->nodes[p]) && w->g->nodes[p].out[0] == tensor);
}

bool vt_is_const(const struct vt_graph *g, int tensor)
{
	return tensor >= 0 && g->tensors[tensor].kind == VT_T_CONST && g->tensors[tensor].data;
}

bool vt_const_scalar(const struct vt_graph *g, int tensor, double *value)
{
	const struct vt_tensor *t;
	int64_t n;

	if (!vt_is_const(g, tensor))
		return false;
	t = &g->tensors[tensor];
	n = vt_shape_elems(&t->shape);
	if (n < 1 || (t->dtype != VT_F32 && t->dtype != VT_F64))
		return false;
	for (int64_t i = 0; i < n; i++) {
		double v = t->dtype == VT_F32 ? (double)((const float *)t->data)[i]
					      : ((const double *)t->data)[i];

		if (i && v != *value)
			return false;
		*value = v;
	}
	return true;
}

const float *vt_const_channels(const struct vt_graph *g, int tensor, int64_t n, int *step)
{
	const struct vt_tensor *t;
	int64_t elems;

	if (!vt_is_const(g, tensor) || g->tensors[tensor].dtype != VT_F32)
		return NULL;
	t = &g->tensors[tensor];
	elems = vt_shape_elems(&t->shape);
	if (elems != 1 && (elems != n || t->shape.dim[t->shape.rank - 1] != n))
		return NULL;
	*step = elems == 1 ? 0 : 1;
	return t->data;
}

int vt_other(const struct vt_node *n, int tensor)
{
	return n->in[0] == tensor ? n->in[1] : n->in[0];
}

/* ---- edits -------------------------------------------------------------------------------- */

static const char *derived(const struct vt_graph *g, int like, const char *what, char *buf,
			   size_t len)
{
	snprintf(buf, len, "%.200s/%s", g->tensors[like].name, what);
	return buf;
}

int vt_new_tensor(struct vt_graph *g, int like, const char *what, const struct vt_shape *shape)
{
	char name[256];

	return vt_graph_add_tensor(g, derived(g, like, what, name, sizeof(name)), VT_T_COMPUTED,
				   g->tensors[like].dtype, shape);
}

int vt_new_const(struct vt_graph *g, int like, const char *what, const struct vt_shape *shape)
{
	char name[256];

	return vt_graph_add_const(g, derived(g, like, what, name, sizeof(name)), VT_F32, shape);
}

int vt_reshaped(struct vt_graph *g, int tensor, const struct vt_shape *shape)
{
	int out, rc;

	if (vt_shape_equal(&g->tensors[tensor].shape, shape))
		return tensor;
	out = vt_new_tensor(g, tensor, "reshape", shape);
	if (out < 0)
		return out;
	rc = vt_graph_add_node(g, VT_OP_RESHAPE, g->tensors[out].name, &tensor, 1, &out, 1);
	return rc < 0 ? rc : out;
}

static int transposed_const(struct vt_graph *g, int tensor, const struct vt_shape *as,
			    const int *perm, const struct vt_shape *shape)
{
	char name[256];
	int out = vt_graph_add_const(g, derived(g, tensor, "transposed", name, sizeof(name)),
				     g->tensors[tensor].dtype, shape);

	if (out >= 0)
		vt_permute_data(g->tensors[tensor].data, g->tensors[out].data, as, perm,
				vt_dtype_bytes(g->tensors[tensor].dtype));
	return out;
}

int vt_transposed(struct vt_graph *g, int tensor, const struct vt_shape *as, const int *perm)
{
	struct vt_shape shape;
	int out, n;

	vt_shape_permute(as, perm, &shape);
	if (vt_is_const(g, tensor))
		return transposed_const(g, tensor, as, perm, &shape);
	tensor = vt_reshaped(g, tensor, as);
	if (tensor < 0)
		return tensor;
	out = vt_new_tensor(g, tensor, "transpose", &shape);
	if (out < 0)
		return out;
	n = vt_graph_add_node(g, VT_OP_TRANSPOSE, g->tensors[out].name, &tensor, 1, &out, 1);
	if (n < 0)
		return n;
	memcpy(g->nodes[n].p.perm.perm, perm, (size_t)shape.rank * sizeof(int));
	return out;
}

int vt_set_inputs(struct vt_node *n, const int *in, int n_in)
{
	int *list = malloc((size_t)n_in * sizeof(*list));

	if (!list)
		return -ENOMEM;
	memcpy(list, in, (size_t)n_in * sizeof(*list));
	free(n->in);
	n->in = list;
	n->n_in = n_in;
	return 0;
}

/* ---- permutations ------------------------------------------------------------------------- */

bool vt_perm_is_identity(const int *perm, int rank)
{
	for (int d = 0; d < rank; d++)
		if (perm[d] != d)
			return false;
	return true;
}

void vt_perm_invert(const int *perm, int rank, int *ret)
{
	for (int d = 0; d < rank; d++)
		ret[perm[d]] = d;
}

bool vt_perm_moves_nothing(const int *perm, const struct vt_shape *in)
{
	int last = -1;

	for (int d = 0; d < in->rank; d++) {
		if (in->dim[perm[d]] == 1)
			continue;
		if (perm[d] < last)
			return false;
		last = perm[d];
	}
	return true;
}

void vt_shape_permute(const struct vt_shape *in, const int *perm, struct vt_shape *ret)
{
	struct vt_shape s = {.rank = in->rank};

	for (int d = 0; d < in->rank; d++)
		s.dim[d] = in->dim[perm[d]];
	*ret = s;
}

void vt_permute_data(const void *src, void *dst, const struct vt_shape *in, const int *perm,
		     size_t elem_bytes)
{
	int64_t stride[VT_MAX_RANK + 1], step[VT_MAX_RANK], at[VT_MAX_RANK] = {0};
	int64_t n = vt_shape_elems(in), from = 0;
	const char *s = src;
	char *d = dst;

	stride[in->rank] = 1;
	for (int k = in->rank - 1; k >= 0; k--)
		stride[k] = stride[k + 1] * in->dim[k];
	for (int k = 0; k < in->rank; k++)
		step[k] = stride[perm[k] + 1];
	for (int64_t i = 0; i < n; i++) {
		memcpy(d + (size_t)i * elem_bytes, s + (size_t)from * elem_bytes, elem_bytes);
		/* an odometer over the output's dims, carried along in the source */
		for (int k = in->rank - 1; k >= 0; k--) {
			from += step[k];
			if (++at[k] < in->dim[perm[k]])
				break;
			from -= step[k] * at[k];
			at[k] = 0;
		}
	}
}
