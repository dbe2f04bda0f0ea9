// SPDX-License-Identifier: Apache-2.0
/* Whole graphs by the reference: b_run(), b_same_function(), b_eval. */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "reference.h"

static void give_memory(struct run *r, char *arena, bool planned)
{
	for (int t = 0; t < r->g->n_tensors; t++) {
		const struct vt_tensor *x = &r->g->tensors[t];
		int root = x->view_of >= 0 ? x->view_of : t;

		if (r->g->tensors[root].kind == VT_T_CONST)
			r->base[t] = r->g->tensors[root].data;
		else if (planned)
			r->base[t] = (float *)(void *)(arena + r->g->tensors[root].arena_off +
						       x->view_off_bytes);
		else
			r->base[t] = calloc((size_t)vt_shape_elems(&x->shape) + 1, sizeof(float));
	}
}

float *b_run(const struct vt_graph *g, unsigned int seed, bool planned, size_t *n)
{
	struct run r = {.g = g, .base = calloc((size_t)g->n_tensors + 1, sizeof(float *))};
	char *arena = planned ? malloc(g->arena_bytes) : NULL;
	float *result;

	if (planned)
		memset(arena, 0xff, g->arena_bytes); /* NaN: what is read unwritten shows */
	give_memory(&r, arena, planned);
	for (int k = 0; k < g->n_inputs; k++)
		for (int64_t i = 0; i < vt_shape_elems(&g->tensors[g->inputs[k]].shape); i++) {
			seed = seed * 1664525u + 1013904223u;
			*at(&r, g->inputs[k], i) = (float)(seed >> 8) / (float)(1 << 22) - 2;
		}
	for (int i = 0; i < g->n_nodes; i++)
		if (!planned || !vt_node_is_view(g, &g->nodes[i]))
			reference_node(&r, &g->nodes[i]);
	*n = 0;
	for (int k = 0; k < g->n_outputs; k++)
		*n += (size_t)vt_shape_elems(&g->tensors[g->outputs[k]].shape);
	result = calloc(*n + 1, sizeof(float));
	*n = 0;
	for (int k = 0; k < g->n_outputs; k++)
		for (int64_t i = 0; i < vt_shape_elems(&g->tensors[g->outputs[k]].shape); i++)
			result[(*n)++] = *at(&r, g->outputs[k], i);
	for (int t = 0; !planned && t < g->n_tensors; t++)
		if (g->tensors[t].kind != VT_T_CONST)
			free(r.base[t]);
	free(arena);
	free(r.base);
	return result;
}

int b_same_function(struct vt_graph *g, int (*pass)(struct vt_graph *g, const struct vt_eval *eval,
						    int *changed, struct vt_err *e))
{
	struct vt_err e = {0};
	size_t n_want, n_have;
	int changed = 0;
	float *want, *have;
	double top = 0;

	assert_int_equal(vt_graph_check(g, &e), 0);
	want = b_run(g, 7, false, &n_want);
	if (pass(g, &b_eval, &changed, &e) || vt_graph_check(g, &e))
		fail_msg("%s", e.msg);
	have = b_run(g, 7, false, &n_have);
	assert_int_equal(n_have, n_want);
	for (size_t i = 0; i < n_want; i++)
		top = fmax(top, fabs((double)want[i]));
	for (size_t i = 0; i < n_want; i++)
		if (!(fabs((double)want[i] - (double)have[i]) <= 2e-5 * (1 + top)))
			fail_msg("output %zu: %g instead of %g", i, (double)have[i],
				 (double)want[i]);
	free(want);
	free(have);
	return changed;
}

/* Folding: the node alone, its inputs where the caller has them. */
static int eval_node(const struct vt_graph *g, const struct vt_node *n, void *const *in,
		     void *const *out, struct vt_err *e)
{
	struct run r = {.g = g};

	for (int k = 0; k < n->n_in; k++)
		if (n->in[k] >= 0 && vt_in(g, n, k)->dtype != VT_F32 && n->op != VT_OP_GATHER)
			return -ENOTSUP;
	if (vt_out(g, n, 0)->dtype != VT_F32)
		return -ENOTSUP;
	r.base = calloc((size_t)g->n_tensors + 1, sizeof(float *));
	for (int k = 0; k < n->n_in; k++)
		if (n->in[k] >= 0)
			r.base[n->in[k]] = in[k];
	for (int k = 0; k < n->n_out; k++)
		r.base[n->out[k]] = out[k];
	reference_node(&r, n);
	free(r.base);
	return 0;
}

static bool always(const struct vt_graph *g, const struct vt_node *first, const struct vt_node *dw)
{
	return true;
}

static bool averages(const struct vt_graph *g, const struct vt_node *n)
{
	return true;
}

static bool yes(void)
{
	return true;
}

const struct vt_eval b_eval = {
	.eval = eval_node, .joins = always, .averages = averages, .attends = yes};
