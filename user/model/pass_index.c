// SPDX-License-Identifier: Apache-2.0
/*
 * pass_index.c - who writes and reads what, kept true while rules rewrite the graph.
 *
 * A model may have a hundred thousand nodes and as many rewrites, so that after one only the nodes
 * are looked at that it may have touched (vt_rule says which). Of each node the index knows what it
 * read and wrote when it was last looked at.
 */
#include "model/pass.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* One node that read a tensor at some time, and the one that was noted before it. */
struct use {
	int node, before;
};

/* A node as it was last seen: in[], residual and out[] lie one after the other. */
struct shot {
	size_t at;
	int n_in, n_out;
	bool live;
};

struct vt_index {
	int n_tensors, n_nodes;
	size_t cap_tensors, cap_nodes;
	int *last_use; /* per tensor: the newest of all nodes that may read it */
	int *stamp;    /* per tensor: when it was last counted */
	int now;
	struct shot *shot; /* per node */
	int *seen;	   /* what shots refer to; what is outdated stays until the next sweep */
	size_t n_seen, cap_seen;
	struct use *use;
	size_t n_uses, cap_uses;
	bool lost; /* a tensor's uses, for want of memory */
};

static int no_memory(struct vt_rw *w)
{
	return vt_fail(w->e, -ENOMEM, "no memory to index the graph");
}

/* @list with room for @n; NULL, and the list as it was, without memory. */
static void *room(void *list, size_t *cap, size_t n, size_t bytes)
{
	const size_t more = n + n / 2 + 64;
	void *bigger;

	if (list && n <= *cap)
		return list;
	bigger = n < INT_MAX / 2 ? realloc(list, more * bytes) : NULL;
	if (bigger)
		*cap = more;
	return bigger;
}

/* Tensors and nodes that were added are known, as ones that nobody touches yet. */
static int reserve(struct vt_rw *w)
{
	struct vt_index *x = w->index;
	int **lists[] = {&w->producer, &w->readers, &w->reader, &x->last_use, &x->stamp};
	size_t cap = x->cap_tensors;
	void *p;

	for (size_t i = 0; i < 5; i++) {
		cap = x->cap_tensors;
		p = room(*lists[i], &cap, (size_t)w->g->n_tensors, sizeof(int));
		if (!p)
			return no_memory(w);
		*lists[i] = p;
	}
	x->cap_tensors = cap;
	p = room(x->shot, &x->cap_nodes, (size_t)w->g->n_nodes, sizeof(*x->shot));
	if (!p)
		return no_memory(w);
	x->shot = p;
	for (; x->n_tensors < w->g->n_tensors; x->n_tensors++) {
		w->producer[x->n_tensors] = x->last_use[x->n_tensors] = VT_NONE;
		w->readers[x->n_tensors] = w->reader[x->n_tensors] = x->stamp[x->n_tensors] = 0;
	}
	for (; x->n_nodes < w->g->n_nodes; x->n_nodes++)
		x->shot[x->n_nodes] = (struct shot){0};
	return 0;
}

/* Node @k as it was seen reads, or no longer does (@by -1). A tensor it reads twice counts once. */
static void count_reads(struct vt_rw *w, int k, int by)
{
	struct vt_index *x = w->index;
	const struct shot *s = &x->shot[k];

	x->now++;
	for (int j = 0; j <= s->n_in; j++) {
		const int t = x->seen[s->at + (size_t)j];

		if (t < 0 || x->stamp[t] == x->now)
			continue;
		x->stamp[t] = x->now;
		w->readers[t] += by;
		w->reader[t] ^= k;
		if (by < 0)
			continue;
		x->use[x->n_uses] = (struct use){k, x->last_use[t]};
		x->last_use[t] = (int)x->n_uses++;
	}
}

static void forget(struct vt_rw *w, int k)
{
	const struct shot *s = &w->index->shot[k];
	const int *out = &w->index->seen[s->at + (size_t)s->n_in + 1];

	count_reads(w, k, -1);
	for (int o = 0; o < s->n_out; o++)
		if (out[o] >= 0 && w->producer[out[o]] == k)
			w->producer[out[o]] = VT_NONE;
	w->index->shot[k].live = false;
}

static int learn(struct vt_rw *w, int k)
{
	struct vt_index *x = w->index;
	const struct vt_node *n = &w->g->nodes[k];
	const size_t reads = (size_t)n->n_in + 1, all = reads + (size_t)n->n_out;
	int *seen = room(x->seen, &x->cap_seen, x->n_seen + all, sizeof(int)), *to;
	struct use *use;

	if (!seen)
		return no_memory(w);
	x->seen = seen;
	use = room(x->use, &x->cap_uses, x->n_uses + reads, sizeof(*use));
	if (!use)
		return no_memory(w);
	x->use = use;
	x->shot[k] = (struct shot){x->n_seen, n->n_in, n->n_out, true};
	to = &x->seen[x->n_seen];
	x->n_seen += all;
	for (int j = 0; j < n->n_in; j++)
		*to++ = n->in[j];
	*to++ = n->epi.residual;
	for (int o = 0; o < n->n_out; o++) {
		*to++ = n->out[o];
		if (n->out[o] >= 0)
			w->producer[n->out[o]] = k;
	}
	count_reads(w, k, 1);
	return 0;
}

static bool unchanged(const struct vt_index *x, const struct shot *s, const struct vt_node *n)
{
	const int *in = &x->seen[s->at], *out = in + s->n_in + 1;

	if (n->dead || s->n_in != n->n_in || s->n_out != n->n_out || in[s->n_in] != n->epi.residual)
		return false;
	for (int j = 0; j < n->n_in; j++)
		if (in[j] != n->in[j])
			return false;
	for (int o = 0; o < n->n_out; o++)
		if (out[o] != n->out[o])
			return false;
	return true;
}

static int look_at(struct vt_rw *w, int k)
{
	const struct vt_node *n = &w->g->nodes[k];
	const struct shot *s = &w->index->shot[k];

	if (s->live ? unchanged(w->index, s, n) : n->dead)
		return 0;
	if (s->live)
		forget(w, k);
	return n->dead ? 0 : learn(w, k);
}

int vt_index_build(struct vt_rw *w)
{
	struct vt_index *x = w->index ? w->index : calloc(1, sizeof(*x));
	int rc;

	if (!x)
		return no_memory(w);
	w->index = x;
	x->n_tensors = x->n_nodes = x->now = 0;
	x->n_seen = x->n_uses = 0;
	rc = reserve(w);
	for (int i = 0; !rc && i < w->g->n_nodes; i++)
		rc = look_at(w, i);
	for (int i = 0; !rc && i < w->g->n_outputs; i++)
		w->readers[w->g->outputs[i]]++;
	return rc;
}

void vt_index_free(struct vt_rw *w)
{
	if (w->index) {
		free(w->index->last_use);
		free(w->index->stamp);
		free(w->index->shot);
		free(w->index->seen);
		free(w->index->use);
	}
	free(w->index);
	free(w->producer);
	free(w->readers);
	free(w->reader);
}

#ifdef __SANITIZE_ADDRESS__
/* A rule that touched what it may not would be served lies from here on. */
static int check(struct vt_rw *w)
{
	struct vt_rw full = {.g = w->g, .e = w->e};
	int rc = vt_index_build(&full);

	for (int t = 0; !rc && t < w->g->n_tensors; t++)
		if (w->producer[t] != full.producer[t] || w->readers[t] != full.readers[t] ||
		    w->reader[t] != full.reader[t])
			rc = vt_fail(w->e, -EPROTO, "the index of \"%s\" is stale",
				     w->g->tensors[t].name);
	vt_index_free(&full);
	return rc;
}
#else
static int check(struct vt_rw *w)
{
	return 0;
}
#endif

int vt_index_rewritten(struct vt_rw *w, int i)
{
	struct vt_index *x = w->index;
	const struct shot was = x->shot[i];
	int known = x->n_nodes, rc = x->lost ? no_memory(w) : reserve(w);

	for (int j = 0; !rc && j <= was.n_in; j++) {
		const int t = x->seen[was.at + (size_t)j], p = t < 0 ? VT_NONE : w->producer[t];

		rc = p < 0 ? 0 : look_at(w, p);
	}
	for (; !rc && known < w->g->n_nodes; known++)
		rc = look_at(w, known);
	if (!rc)
		rc = look_at(w, i);
	return rc ? rc : check(w);
}

static void redirect(struct vt_node *n, int from, int to)
{
	for (int j = 0; j < n->n_in; j++)
		if (n->in[j] == from)
			n->in[j] = to;
	if (n->epi.residual == from)
		n->epi.residual = to;
}

static void redirect_output(struct vt_rw *w, int from, int to)
{
	struct vt_graph *g = w->g;
	char *name = g->tensors[from].name;

	g->tensors[from].name = g->tensors[to].name;
	g->tensors[to].name = name;
	g->tensors[from].is_output = false;
	g->tensors[to].is_output = true;
	for (int i = 0; i < g->n_outputs; i++)
		if (g->outputs[i] == from) {
			g->outputs[i] = to;
			w->readers[from]--;
			w->readers[to]++;
		}
}

bool vt_alias(struct vt_rw *w, int from, int to)
{
	struct vt_index *x = w->index;
	const struct vt_tensor *f = &w->g->tensors[from], *t = &w->g->tensors[to];

	if (f->is_output && (t->kind != VT_T_COMPUTED || t->is_output))
		return false;
	if (f->is_output)
		redirect_output(w, from, to);
	for (int u = x->last_use[from]; u >= 0; u = x->use[u].before) {
		const int k = x->use[u].node;

		redirect(&w->g->nodes[k], from, to);
		x->lost = look_at(w, k) < 0 || x->lost;
	}
	return true;
}
