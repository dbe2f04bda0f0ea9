// SPDX-License-Identifier: Apache-2.0
/*
 * plan_check.c - the proof of a memory plan, by running it without computing: whenever a node
 * writes a tensor, no byte of any other tensor that is still to be read may lie there, except where
 * sharing is the purpose (views, parts in their place, an operand replaced by its elementwise
 * result). Knows nothing of how the plan was made.
 */
#include "model/plan.h"

#include <stdlib.h>

/* The bytes of a tensor: rows of len bytes, stride bytes apart. */
struct place {
	size_t off, rows, len, stride;
};

static struct place place_of(const struct vt_graph *g, int t)
{
	const struct vt_tensor *x = &g->tensors[t];
	size_t bytes = vt_tensor_bytes(x), elem = vt_dtype_bytes(x->dtype);
	size_t off = x->view_of >= 0 ? g->tensors[x->view_of].arena_off + x->view_off_bytes
				     : x->arena_off;
	size_t row = x->shape.rank ? (size_t)x->shape.dim[x->shape.rank - 1] * elem : elem;

	if (!x->row_stride || !row)
		return (struct place){off, 1, bytes, bytes};
	return (struct place){off, bytes / row, row, (size_t)x->row_stride * elem};
}

static size_t end_of(const struct place *p)
{
	return p->off + (p->rows - 1) * p->stride + p->len;
}

static bool overlap(const struct place *a, const struct place *b)
{
	size_t phase;

	if (!a->len || !b->len || a->off >= end_of(b) || b->off >= end_of(a))
		return false;
	if (a->rows == 1 || b->rows == 1 || a->stride != b->stride)
		return true;
	if (a->off > b->off) {
		const struct place *swap = a;

		a = b;
		b = swap;
	}
	phase = (b->off - a->off) % a->stride;
	return phase < a->len || phase + b->len > a->stride;
}

/* May node @n write @x over @y while @y is alive? @dying: @n is the last to read @y. */
static bool on_purpose(const struct vt_graph *g, const struct vt_node *n, int x, int y, bool dying)
{
	enum vt_op_class c = vt_op_class(n->op);
	struct place px = place_of(g, x), py = place_of(g, y);

	if (n->op == VT_OP_RESHAPE || n->op == VT_OP_CONCAT || n->op == VT_OP_SPLIT ||
	    n->op == VT_OP_SLICE)
		return vt_shares_memory(g, x, y);
	return dying && (c == VT_C_UNARY || c == VT_C_BINARY) && px.off == py.off && px.rows == 1 &&
	       py.rows == 1 && px.len == py.len && g->tensors[x].dtype == g->tensors[y].dtype;
}

static bool in_arena(const struct vt_graph *g, int t)
{
	int root = g->tensors[t].view_of >= 0 ? g->tensors[t].view_of : t;

	return g->tensors[root].kind != VT_T_CONST;
}

/* Views lie inside what they view, and everything inside the arena with slack behind it. */
static int check_place(const struct vt_graph *g, int t, struct vt_err *e)
{
	const struct vt_tensor *x = &g->tensors[t];
	struct place p = place_of(g, t), whole;

	if (x->view_of < 0)
		return end_of(&p) + VT_SLACK > g->arena_bytes || p.off % VT_ALIGN
			       ? vt_fail(e, -EFAULT, "plan: \"%s\" leaves the arena", x->name)
			       : 0;
	if (g->tensors[x->view_of].view_of >= 0 || g->tensors[x->view_of].row_stride)
		return vt_fail(e, -EFAULT, "plan: \"%s\" is a view of a view", x->name);
	whole = place_of(g, x->view_of);
	return p.len && (p.off < whole.off || end_of(&p) > end_of(&whole))
		       ? vt_fail(e, -EFAULT, "plan: \"%s\" leaves what it is a view of", x->name)
		       : 0;
}

/* What lies in the arena and is still to be read, in no order. */
struct alive {
	int *tensor, n;
};

static void add_alive(const struct vt_graph *g, struct alive *a, int t)
{
	if (t >= 0 && in_arena(g, t))
		a->tensor[a->n++] = t;
}

static void drop_unread(struct alive *a, const struct vt_life *life, int i)
{
	int n = 0;

	for (int k = 0; k < a->n; k++)
		if (life[a->tensor[k]].last >= i)
			a->tensor[n++] = a->tensor[k];
	a->n = n;
}

/* Node @i writes @x: is every byte there free? */
static int check_write(const struct vt_graph *g, int i, int x, const struct alive *a,
		       const struct vt_life *life, struct vt_err *e)
{
	struct place px = place_of(g, x), py;
	int rc = check_place(g, x, e);

	for (int k = 0; !rc && k < a->n; k++) {
		int y = a->tensor[k];

		if (y == x)
			continue;
		py = place_of(g, y);
		if (overlap(&px, &py) &&
		    !on_purpose(g, &g->nodes[i], x, y, life[y].last == i && life[y].first < i))
			rc = vt_fail(e, -EFAULT,
				     "plan: node \"%s\" writes \"%s\" over \"%s\", which is alive",
				     g->nodes[i].name, g->tensors[x].name, g->tensors[y].name);
	}
	return rc;
}

/* The outputs of a node are alive from its start, all of them. */
static int check_node(const struct vt_graph *g, int i, struct alive *a, const struct vt_life *life,
		      struct vt_err *e)
{
	const struct vt_node *n = &g->nodes[i];
	int rc = 0;

	drop_unread(a, life, i);
	for (int o = 0; o < n->n_out; o++)
		add_alive(g, a, n->out[o]);
	for (int o = 0; !rc && o < n->n_out; o++)
		if (n->out[o] >= 0 && in_arena(g, n->out[o]))
			rc = check_write(g, i, n->out[o], a, life, e);
	return rc;
}

/* Lifetimes of the tensors themselves, whatever they share. */
static void own_lives(const struct vt_graph *g, struct vt_life *life)
{
	for (int t = 0; t < g->n_tensors; t++)
		life[t] = (struct vt_life){g->n_nodes + 1, VT_BEFORE_ALL - 1};
	for (int i = 0; i < g->n_inputs; i++)
		life[g->inputs[i]] = (struct vt_life){VT_BEFORE_ALL, VT_BEFORE_ALL};
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->nodes[i];

		for (int k = 0; k < n->n_out; k++)
			if (n->out[k] >= 0)
				life[n->out[k]] = (struct vt_life){i, i};
		for (int k = 0; k <= n->n_in; k++) {
			int t = k < n->n_in ? n->in[k] : n->epi.residual;

			if (t >= 0)
				life[t].last = i;
		}
	}
	for (int i = 0; i < g->n_outputs; i++)
		life[g->outputs[i]].last = g->n_nodes;
}

/* All graph inputs are written before the first node: no two may share. */
static int check_inputs(const struct vt_graph *g, struct vt_err *e)
{
	for (int i = 0; i < g->n_inputs; i++) {
		struct place a = place_of(g, g->inputs[i]), b;

		for (int j = 0; j < i; j++) {
			b = place_of(g, g->inputs[j]);
			if (overlap(&a, &b))
				return vt_fail(e, -EFAULT, "plan: inputs %d and %d overlap", j, i);
		}
	}
	return 0;
}

int vt_plan_check(const struct vt_graph *g, struct vt_err *e)
{
	struct vt_life *life = malloc(((size_t)g->n_tensors + 1) * sizeof(*life));
	struct alive a = {.tensor = malloc(((size_t)g->n_tensors + 1) * sizeof(*a.tensor))};
	int rc = life && a.tensor ? check_inputs(g, e)
				  : vt_fail(e, -ENOMEM, "no memory to check the plan");

	if (life && a.tensor) {
		own_lives(g, life);
		for (int i = 0; i < g->n_inputs; i++)
			add_alive(g, &a, g->inputs[i]);
	}
	for (int i = 0; !rc && i < g->n_nodes; i++)
		rc = check_node(g, i, &a, life, e);
	free(life);
	free(a.tensor);
	return rc;
}
