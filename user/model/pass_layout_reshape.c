// SPDX-License-Identifier: Apache-2.0
/*
 * pass_layout_reshape.c - Transposes and Reshapes. A Reshape splits into groups of dims with equal
 * products: [N,C,H,W] -> [N,C,HW] is {N}{C}{H,W}. Where each group's dims also lie next to each
 * other before the Transpose, the groups move as wholes and the Transpose can sink below the Reshape.
 */
#include "model/pass.h"

#include <stdlib.h>
#include <string.h>

struct group {
	int in0, in1, out0, out1; /* dims [in0, in1) become [out0, out1) */
	int key;		  /* where it starts among the source's dims */
};

/* Returns the number of groups, 0 if the shapes do not split (empty tensors). */
static int split_groups(const struct vt_shape *x, const struct vt_shape *y, struct group *ret)
{
	int i = 0, j = 0, n = 0;

	while (i < x->rank || j < y->rank) {
		struct group gr = {.in0 = i, .out0 = j};
		int64_t pi = i < x->rank ? x->dim[i++] : 1, pj = j < y->rank ? y->dim[j++] : 1;

		while (pi != pj) {
			if (pi < 1 || pj < 1 || (pi < pj ? i == x->rank : j == y->rank))
				return 0;
			if (pi < pj)
				pi *= x->dim[i++];
			else
				pj *= y->dim[j++];
		}
		gr.in1 = i;
		gr.out1 = j;
		ret[n++] = gr;
	}
	return n;
}

/*
 * Give each group its place in the source (x.dim[d] is source dim perm[d]). Dims of 1 have no place
 * of their own. Returns whether each group's dims are neighbours in the source, in order.
 */
static bool place_groups(struct group *gr, int n, const struct vt_shape *x, const int *perm)
{
	int pos[VT_MAX_RANK] = {0}, places = 0;
	bool tidy = true;

	for (int s = 0; s < x->rank; s++)
		for (int d = 0; d < x->rank; d++)
			if (perm[d] == s)
				pos[d] = x->dim[d] == 1 ? -1 : places++;
	for (int k = 0; k < n; k++) {
		int last = -1, least = VT_MAX_RANK;

		for (int d = gr[k].in0; d < gr[k].in1; d++) {
			if (pos[d] < 0)
				continue;
			tidy = tidy && (last < 0 || pos[d] == last + 1);
			last = pos[d];
			least = pos[d] < least ? pos[d] : least;
		}
		/* a group of ones stays behind the group before it */
		gr[k].key = last >= 0 ? least : k ? gr[k - 1].key : -1;
	}
	return tidy;
}

/* Stable: groups of one key keep their order. */
static void sort_groups(struct group *gr, int n)
{
	for (int k = 1; k < n; k++) {
		struct group moving = gr[k];
		int at = k;

		for (; at > 0 && gr[at - 1].key > moving.key; at--)
			gr[at] = gr[at - 1];
		gr[at] = moving;
	}
}

/* Dims of y in the order of the sorted groups: the permutation that makes y from the sunk reshape. */
static void outer_perm(const struct group *gr, int n, int *perm)
{
	int at = 0;

	for (int k = 0; k < n; k++)
		for (int d = gr[k].out0; d < gr[k].out1; d++)
			perm[d] = at++;
}

/* Source dims in the order of the sorted groups: what makes untidy groups tidy. */
static void inner_perm(const struct group *gr, int n, const int *perm, int *ret)
{
	int at = 0;

	for (int k = 0; k < n; k++)
		for (int d = gr[k].in0; d < gr[k].in1; d++)
			ret[at++] = perm[d];
}

/* The conversion that spatial operators undo: worth one more Transpose inside (channel shuffle). */
static bool is_layout(const int *perm, int rank)
{
	static const int nhwc[] = {0, 3, 1, 2}, nlc[] = {0, 2, 1};

	return (rank == 4 && !memcmp(perm, nhwc, sizeof(nhwc))) ||
	       (rank == 3 && !memcmp(perm, nlc, sizeof(nlc)));
}

/* Make the Reshape @i read @source as the sorted groups say, and a Transpose its old output. */
static int sink_below(struct vt_rw *w, int i, int source, const int *outer)
{
	struct vt_graph *g = w->g;
	int y = g->nodes[i].out[0], rank = g->tensors[y].shape.rank, inv[VT_MAX_RANK], t, n;
	struct vt_shape shape;

	g->nodes[i].in[0] = source;
	if (vt_perm_is_identity(outer, rank))
		return 1;
	vt_perm_invert(outer, rank, inv);
	vt_shape_permute(&g->tensors[y].shape, inv, &shape);
	t = vt_new_tensor(g, y, "sunk", &shape);
	if (t < 0)
		return t;
	n = vt_graph_add_node(g, VT_OP_TRANSPOSE, g->tensors[t].name, &t, 1, &y, 1);
	if (n < 0)
		return n;
	memcpy(g->nodes[n].p.perm.perm, outer, (size_t)rank * sizeof(int));
	g->nodes[i].out[0] = t;
	return 1;
}

int vt_rule_sink_reshape(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];
	struct group gr[2 * VT_MAX_RANK];
	int perm[VT_MAX_RANK], outer[VT_MAX_RANK] = {0}, inner[VT_MAX_RANK], n_groups, p, source;
	bool tidy;

	if (n->op != VT_OP_RESHAPE)
		return 0;
	p = vt_made_by(w, n->in[0], VT_OP_TRANSPOSE);
	if (p < 0)
		return 0;
	memcpy(perm, g->nodes[p].p.perm.perm, sizeof(perm));
	source = g->nodes[p].in[0];
	n_groups = split_groups(&vt_in(g, n, 0)->shape, &vt_out(g, n, 0)->shape, gr);
	if (!n_groups)
		return 0;
	tidy = place_groups(gr, n_groups, &vt_in(g, n, 0)->shape, perm);
	sort_groups(gr, n_groups);
	outer_perm(gr, n_groups, outer);
	if (!tidy) {
		if (!is_layout(outer, vt_out(g, n, 0)->shape.rank))
			return 0;
		inner_perm(gr, n_groups, perm, inner);
		source = vt_transposed(g, source, &g->tensors[source].shape, inner);
		if (source < 0)
			return source;
	}
	return sink_below(w, i, source, outer);
}

/* ---- Transpose -> Flatten -> FC ------------------------------------------------------------ */

/* The number of leading dims of @x, which the Transpose leaves alone, that make the rows; or -1. */
static int rows_of(const struct vt_shape *x, const int *perm, int64_t k)
{
	int64_t tail = 1;
	int d = x->rank;

	while (d > 0 && tail < k)
		tail *= x->dim[--d];
	for (int r = 0; tail == k && r < d; r++)
		if (perm[r] != r)
			return -1;
	return tail == k ? d : -1;
}

/* Permutation of the weight, seen as [N, k...] or [k..., N], that follows the data's. */
static int permuted_weight(struct vt_graph *g, int i, const struct vt_shape *x, const int *perm,
			   int rows)
{
	const struct vt_tensor *weight = vt_in(g, &g->nodes[i], 1);
	bool kn = g->nodes[i].p.fc.w_kn;
	int k_dims = x->rank - rows, lead = kn ? 0 : 1, inv[VT_MAX_RANK], wperm[VT_MAX_RANK], t;
	struct vt_shape as = {.rank = k_dims + 1}, flat = weight->shape;

	if (as.rank > VT_MAX_RANK)
		return -EOVERFLOW;
	vt_perm_invert(perm, x->rank, inv);
	as.dim[kn ? k_dims : 0] = flat.dim[kn ? 1 : 0];
	wperm[kn ? k_dims : 0] = kn ? k_dims : 0;
	for (int d = 0; d < k_dims; d++) {
		as.dim[lead + d] = x->dim[rows + d];
		wperm[lead + d] = lead + inv[rows + d] - rows;
	}
	t = vt_transposed(g, g->nodes[i].in[1], &as, wperm);
	if (t >= 0)
		g->tensors[t].shape = flat;
	return t;
}

/* The order in which a Flatten lists the pixels can live in the FC's weight instead. */
int vt_rule_flat_weights(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	const struct vt_node *n = &g->nodes[i];
	struct vt_shape x, flat;
	int r, p, rows, weight, t, perm[VT_MAX_RANK], source;

	if (n->op != VT_OP_FC || !vt_is_const(g, n->in[1]) || vt_in(g, n, 1)->shape.rank != 2)
		return 0;
	r = vt_made_by(w, n->in[0], VT_OP_RESHAPE);
	p = r < 0 ? VT_NONE : vt_made_by(w, g->nodes[r].in[0], VT_OP_TRANSPOSE);
	if (p < 0)
		return 0;
	flat = vt_in(g, n, 0)->shape;
	x = vt_out(g, &g->nodes[p], 0)->shape;
	memcpy(perm, g->nodes[p].p.perm.perm, sizeof(perm));
	source = g->nodes[p].in[0];
	rows = flat.rank ? rows_of(&x, perm, flat.dim[flat.rank - 1]) : -1;
	if (rows < 0 || x.rank - rows + 1 > VT_MAX_RANK)
		return 0;
	weight = permuted_weight(g, i, &x, perm, rows);
	t = weight < 0 ? weight : vt_reshaped(g, source, &flat);
	if (t < 0)
		return t;
	g->nodes[i].in[0] = t;
	g->nodes[i].in[1] = weight;
	return 1;
}
