// SPDX-License-Identifier: Apache-2.0
/* The graph as a container: building, questions, replacing, order. */
#include "model/graph.h"

#include <stdlib.h>
#include <string.h>

/* Room for one more element of @size bytes; the array at *@base may move. */
static int grow(void *base, int n, int *cap, size_t size)
{
	void **array = base, *bigger;
	int want = *cap ? 2 * *cap : 16;

	if (n < *cap)
		return 0;
	if (want > INT32_MAX / 4)
		return -ENOMEM;
	bigger = realloc(*array, (size_t)want * size);
	if (!bigger)
		return -ENOMEM;
	*array = bigger;
	*cap = want;
	return 0;
}

static void free_heap(void *data, size_t bytes)
{
	free(data);
}

static void node_fini(struct vt_node *n)
{
	free(n->name);
	free(n->in);
	free(n->out);
}

int vt_graph_init(struct vt_graph *g, const char *name)
{
	*g = (struct vt_graph){.name = strdup(name)};
	return g->name ? 0 : -ENOMEM;
}

void vt_graph_fini(struct vt_graph *g)
{
	if (!g)
		return;
	for (int i = 0; i < g->n_nodes; i++)
		node_fini(&g->nodes[i]);
	for (int t = 0; t < g->n_tensors; t++) {
		vt_graph_drop_data(g, t);
		free(g->tensors[t].name);
	}
	free(g->nodes);
	free(g->tensors);
	free(g->inputs);
	free(g->outputs);
	free(g->name);
	*g = (struct vt_graph){0};
}

int vt_graph_add_tensor(struct vt_graph *g, const char *name, enum vt_tensor_kind kind,
			enum vt_dtype dtype, const struct vt_shape *shape)
{
	/* @name and @shape may point into the array that is about to move */
	struct vt_tensor t = {
		.kind = kind,
		.dtype = dtype,
		.shape = *shape,
		.view_of = VT_NONE,
		.name = strdup(name),
	};

	if (!t.name || grow(&g->tensors, g->n_tensors, &g->cap_tensors, sizeof(*g->tensors))) {
		free(t.name);
		return -ENOMEM;
	}
	g->tensors[g->n_tensors] = t;
	return g->n_tensors++;
}

int vt_graph_add_const(struct vt_graph *g, const char *name, enum vt_dtype dtype,
		       const struct vt_shape *shape)
{
	int64_t elems = vt_shape_elems(shape);
	size_t bytes;
	void *data;
	int t;

	if (elems < 0)
		return -EOVERFLOW;
	bytes = (size_t)elems * vt_dtype_bytes(dtype);
	if (bytes > SIZE_MAX - 64)
		return -EOVERFLOW;
	/* 64 bytes behind the end: XNNPACK reads whole vectors */
	data = calloc(1, bytes + 64);
	if (!data)
		return -ENOMEM;
	t = vt_graph_add_tensor(g, name, VT_T_CONST, dtype, shape);
	if (t < 0) {
		free(data);
		return t;
	}
	g->tensors[t].data = data;
	g->tensors[t].bytes = bytes;
	g->tensors[t].release = free_heap;
	return t;
}

static int *copy_ints(const int *v, int n)
{
	int *c = malloc((size_t)(n ? n : 1) * sizeof(*c));

	if (c && n)
		memcpy(c, v, (size_t)n * sizeof(*c));
	return c;
}

int vt_graph_add_node(struct vt_graph *g, enum vt_op op, const char *name, const int *in, int n_in,
		      const int *out, int n_out)
{
	struct vt_node n = {
		.op = op,
		.name = strdup(name),
		.n_in = n_in,
		.n_out = n_out,
		.in = copy_ints(in, n_in),
		.out = copy_ints(out, n_out),
		.epi = {.residual = VT_NONE, .act = VT_NONE},
	};

	if (!n.name || !n.in || !n.out ||
	    grow(&g->nodes, g->n_nodes, &g->cap_nodes, sizeof(*g->nodes))) {
		node_fini(&n);
		return -ENOMEM;
	}
	g->nodes[g->n_nodes] = n;
	return g->n_nodes++;
}

static int append(int **list, int *n, int tensor)
{
	int *bigger = realloc(*list, (size_t)(*n + 1) * sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	*list = bigger;
	bigger[(*n)++] = tensor;
	return 0;
}

int vt_graph_mark_input(struct vt_graph *g, int tensor)
{
	return append(&g->inputs, &g->n_inputs, tensor);
}

int vt_graph_mark_output(struct vt_graph *g, int tensor)
{
	g->tensors[tensor].is_output = true;
	return append(&g->outputs, &g->n_outputs, tensor);
}

void vt_graph_drop_data(struct vt_graph *g, int tensor)
{
	struct vt_tensor *t = &g->tensors[tensor];

	if (t->data && t->release)
		t->release(t->data, t->bytes);
	t->data = NULL;
	t->release = NULL;
}

int vt_graph_producer(const struct vt_graph *g, int tensor)
{
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->nodes[i];

		for (int o = 0; !n->dead && o < n->n_out; o++)
			if (n->out[o] == tensor)
				return i;
	}
	return VT_NONE;
}

static bool reads(const struct vt_node *n, int tensor)
{
	for (int i = 0; i < n->n_in; i++)
		if (n->in[i] == tensor)
			return true;
	return n->epi.residual == tensor;
}

int vt_graph_consumers(const struct vt_graph *g, int tensor, int *only)
{
	int count = 0, last = VT_NONE;

	for (int i = 0; i < g->n_nodes; i++) {
		if (g->nodes[i].dead || !reads(&g->nodes[i], tensor))
			continue;
		count++;
		last = i;
	}
	if (only && count == 1)
		*only = last;
	return count;
}

/* ---- order -------------------------------------------------------------------------------- */

static void drop_dead_nodes(struct vt_graph *g)
{
	int n = 0;

	for (int i = 0; i < g->n_nodes; i++) {
		if (g->nodes[i].dead)
			node_fini(&g->nodes[i]);
		else
			g->nodes[n++] = g->nodes[i];
	}
	g->n_nodes = n;
}

/* Node that writes each tensor, VT_NONE for the others; the caller frees it. */
static int *producers(const struct vt_graph *g)
{
	int *p = malloc((size_t)(g->n_tensors + 1) * sizeof(*p));

	for (int t = 0; p && t < g->n_tensors; t++)
		p[t] = VT_NONE;
	for (int i = 0; p && i < g->n_nodes; i++)
		for (int o = 0; o < g->nodes[i].n_out; o++)
			if (g->nodes[i].out[o] >= 0)
				p[g->nodes[i].out[o]] = i;
	return p;
}

/* The @k-th tensor that @n reads, its residual last; VT_NONE for absent ones. */
static int nth_read(const struct vt_node *n, int k)
{
	return k < n->n_in ? n->in[k] : n->epi.residual;
}

enum { UNSEEN, OPEN, DONE };

struct walk {
	int *order, n_order;
	int *stack, *next, depth; /* path of open nodes, and the next read of each to look at */
	unsigned char *seen;
};

/* Depth first without recursion: a model may be a chain of a million nodes. */
static int visit(const struct vt_graph *g, const int *producer, struct walk *w, int root)
{
	w->stack[0] = root;
	w->next[0] = 0;
	w->depth = 1;
	w->seen[root] = OPEN;
	while (w->depth) {
		int at = w->stack[w->depth - 1], k = w->next[w->depth - 1]++, t, p;

		if (k > g->nodes[at].n_in) {
			w->seen[at] = DONE;
			w->order[w->n_order++] = at;
			w->depth--;
			continue;
		}
		t = nth_read(&g->nodes[at], k);
		p = t < 0 ? VT_NONE : producer[t];
		if (p < 0 || w->seen[p] == DONE)
			continue;
		if (w->seen[p] == OPEN)
			return p;
		w->seen[p] = OPEN;
		w->stack[w->depth] = p;
		w->next[w->depth++] = 0;
	}
	return VT_NONE;
}

/*
 * Postorder from each node in its present order: a graph that is in order stays as it is, and a
 * node that a pass appended moves to just before the first node that needs it.
 */
int vt_graph_sort(struct vt_graph *g, struct vt_err *e)
{
	size_t n, bytes;
	int *producer, rc = 0;
	struct vt_node *sorted;
	struct walk w = {0};

	drop_dead_nodes(g);
	n = (size_t)g->n_nodes + 1;
	bytes = n * sizeof(int);
	producer = producers(g);
	w.order = malloc(bytes);
	w.stack = malloc(bytes);
	w.next = malloc(bytes);
	w.seen = calloc(n, 1);
	sorted = malloc(n * sizeof(*sorted));
	if (!producer || !w.order || !w.stack || !w.next || !w.seen || !sorted)
		rc = vt_fail(e, -ENOMEM, "no memory to sort %d nodes", g->n_nodes);
	for (int i = 0; !rc && i < g->n_nodes; i++) {
		int cycle = w.seen[i] == DONE ? VT_NONE : visit(g, producer, &w, i);

		if (cycle >= 0)
			rc = vt_fail(
				e, -ELOOP,
				"node \"%s\" (%s) depends on its own output: the graph has a cycle",
				g->nodes[cycle].name, vt_op_name(g->nodes[cycle].op));
	}
	if (!rc && g->n_nodes) {
		for (int i = 0; i < g->n_nodes; i++)
			sorted[i] = g->nodes[w.order[i]];
		memcpy(g->nodes, sorted, (size_t)g->n_nodes * sizeof(*sorted));
	}
	free(producer);
	free(w.order);
	free(w.stack);
	free(w.next);
	free(w.seen);
	free(sorted);
	return rc;
}

static void mark_needed(const struct vt_graph *g, const int *producer, bool *needed, int *stack)
{
	int depth = 0;

	for (int i = 0; i < g->n_outputs; i++) {
		int p = producer[g->outputs[i]];

		if (p >= 0 && !needed[p]) {
			needed[p] = true;
			stack[depth++] = p;
		}
	}
	while (depth) {
		const struct vt_node *n = &g->nodes[stack[--depth]];

		for (int k = 0; k <= n->n_in; k++) {
			int t = nth_read(n, k), p = t < 0 ? VT_NONE : producer[t];

			if (p >= 0 && !needed[p]) {
				needed[p] = true;
				stack[depth++] = p;
			}
		}
	}
}

static void drop_unread_consts(struct vt_graph *g, bool *read)
{
	for (int i = 0; i < g->n_nodes; i++)
		for (int k = 0; k <= g->nodes[i].n_in; k++)
			if (nth_read(&g->nodes[i], k) >= 0)
				read[nth_read(&g->nodes[i], k)] = true;
	for (int t = 0; t < g->n_tensors; t++)
		if (g->tensors[t].kind == VT_T_CONST && !read[t] && !g->tensors[t].is_output)
			vt_graph_drop_data(g, t);
}

void vt_graph_compact(struct vt_graph *g)
{
	int *producer, *stack;
	bool *needed, *read;

	drop_dead_nodes(g);
	producer = producers(g);
	stack = malloc(((size_t)g->n_nodes + 1) * sizeof(*stack));
	needed = calloc((size_t)g->n_nodes + 1, sizeof(*needed));
	read = calloc((size_t)g->n_tensors + 1, sizeof(*read));
	/* Without memory for the books the graph stays as it is: larger, not wrong. */
	if (producer && stack && needed && read) {
		mark_needed(g, producer, needed, stack);
		for (int i = 0; i < g->n_nodes; i++)
			g->nodes[i].dead = !needed[i];
		drop_dead_nodes(g);
		drop_unread_consts(g, read);
	}
	free(producer);
	free(stack);
	free(needed);
	free(read);
}
