// SPDX-License-Identifier: Apache-2.0
/*
 * pass_cse.c - two nodes that compute the same from the same become one. Exporters write the same
 * Shape arithmetic, masks and Transposes again and again; equal small constants count as one.
 */
#include "model/pass.h"

#include <stdlib.h>
#include <string.h>

/* Constants beyond this are weights: equal only by design (tying), and slow to hash. */
#define SMALL_BYTES 4096

struct table {
	int *slot; /* index of a node or tensor, or VT_NONE */
	size_t mask;
};

static uint64_t mix(uint64_t h, const void *data, size_t bytes)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < bytes; i++)
		h = (h ^ p[i]) * 0x100000001b3ull;
	return h ^ h >> 29;
}

static int table_init(struct table *t, int n)
{
	size_t size = 16;

	while (size < 2 * (size_t)n)
		size *= 2;
	t->slot = malloc(size * sizeof(*t->slot));
	t->mask = size - 1;
	if (!t->slot)
		return -ENOMEM;
	memset(t->slot, 0xff, size * sizeof(*t->slot));
	return 0;
}

/* The element equal to @i that came before it, or @i itself, which is entered then. */
static int table_meet(struct table *t, const struct vt_graph *g, uint64_t hash, int i,
		      bool (*same)(const struct vt_graph *g, int a, int b))
{
	for (size_t at = hash & t->mask;; at = (at + 1) & t->mask) {
		if (t->slot[at] == VT_NONE) {
			t->slot[at] = i;
			return i;
		}
		if (same(g, t->slot[at], i))
			return t->slot[at];
	}
}

/* ---- constants ---------------------------------------------------------------------------- */

static bool same_const(const struct vt_graph *g, int a, int b)
{
	const struct vt_tensor *x = &g->tensors[a], *y = &g->tensors[b];

	return x->dtype == y->dtype && vt_shape_equal(&x->shape, &y->shape) &&
	       !memcmp(x->data, y->data, x->bytes);
}

/* What stands for tensor t is @to[t]. Readers learn it when they are looked at: one walk for all. */
static void redirect(struct vt_node *n, const int *to)
{
	for (int k = 0; k < n->n_in; k++)
		if (n->in[k] >= 0)
			n->in[k] = to[n->in[k]];
	if (n->epi.residual >= 0)
		n->epi.residual = to[n->epi.residual];
}

static int join_consts(struct vt_graph *g, int *to, int *changed)
{
	struct table t;
	int rc = table_init(&t, g->n_tensors);

	for (int i = 0; !rc && i < g->n_tensors; i++) {
		const struct vt_tensor *c = &g->tensors[i];
		int first;

		if (!vt_is_const(g, i) || c->is_output || c->bytes > SMALL_BYTES)
			continue;
		first = table_meet(&t, g, mix((uint64_t)c->dtype, c->data, c->bytes), i,
				   same_const);
		if (first == i)
			continue;
		to[i] = first;
		vt_graph_drop_data(g, i);
		++*changed;
	}
	free(t.slot);
	return rc;
}

/* ---- nodes -------------------------------------------------------------------------------- */

/* Padding counts: made of zeroed memory it is equal, and where it is not two nodes stay two. */
static bool same_bytes(const void *a, const void *b, size_t n)
{
	return !memcmp(a, b, n);
}

static bool same_node(const struct vt_graph *g, int a, int b)
{
	const struct vt_node *x = &g->nodes[a], *y = &g->nodes[b];

	if (x->op != y->op || x->n_in != y->n_in || x->n_out != y->n_out ||
	    memcmp(x->in, y->in, (size_t)x->n_in * sizeof(int)) ||
	    !same_bytes(&x->p, &y->p, sizeof(x->p)) ||
	    !same_bytes(&x->epi, &y->epi, sizeof(x->epi)))
		return false;
	for (int o = 0; o < x->n_out; o++) {
		if ((x->out[o] < 0) != (y->out[o] < 0))
			return false;
		if (x->out[o] >= 0 &&
		    (vt_out(g, x, o)->dtype != vt_out(g, y, o)->dtype ||
		     !vt_shape_equal(&vt_out(g, x, o)->shape, &vt_out(g, y, o)->shape)))
			return false;
	}
	return true;
}

static uint64_t node_hash(const struct vt_node *n)
{
	uint64_t h = mix((uint64_t)n->op, n->in, (size_t)n->n_in * sizeof(int));

	return mix(h, &n->p, sizeof(n->p));
}

/* Replace the outputs of @b by those of @a; false if the user must see both. */
static bool replace_node(struct vt_graph *g, int a, int b, int *to)
{
	for (int o = 0; o < g->nodes[b].n_out; o++)
		if (g->nodes[b].out[o] >= 0 && g->tensors[g->nodes[b].out[o]].is_output)
			return false;
	for (int o = 0; o < g->nodes[b].n_out; o++)
		if (g->nodes[b].out[o] >= 0)
			to[g->nodes[b].out[o]] = g->nodes[a].out[o];
	vt_kill(g, b);
	return true;
}

/* Nodes stand in order: when one is looked at, its inputs have already been joined. */
static int join_nodes(struct vt_graph *g, int *to, int *changed)
{
	struct table t;
	int rc = table_init(&t, g->n_nodes);

	for (int i = 0; !rc && i < g->n_nodes; i++) {
		int first;

		redirect(&g->nodes[i], to);
		first = table_meet(&t, g, node_hash(&g->nodes[i]), i, same_node);
		if (first != i && replace_node(g, first, i, to))
			++*changed;
	}
	free(t.slot);
	return rc;
}

int vt_pass_cse(struct vt_graph *g, const struct vt_eval *eval, int *changed, struct vt_err *e)
{
	int *to = malloc(((size_t)g->n_tensors + 1) * sizeof(*to)), rc = to ? 0 : -ENOMEM;

	for (int i = 0; to && i < g->n_tensors; i++)
		to[i] = i;
	if (!rc)
		rc = join_consts(g, to, changed);
	if (!rc)
		rc = join_nodes(g, to, changed);
	free(to);
	vt_graph_compact(g);
	return rc ? vt_fail(e, rc, "no memory to look for equal nodes") : 0;
}
