// SPDX-License-Identifier: Apache-2.0
/* The shortest path through the engine: every layer on the calling thread, in the graph's order. */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/layer.h"

static char *arena;

static void *address(const struct vt_graph *g, int tensor)
{
	const struct vt_tensor *t = &g->tensors[tensor];

	if (t->kind == VT_T_CONST)
		return t->data;
	if (t->view_of != VT_NONE)
		return (char *)address(g, t->view_of) + t->view_off_bytes;
	return arena + t->arena_off;
}

const void *read_output(const struct vt_graph *g, int tensor)
{
	return address(g, tensor);
}

static const struct vt_value *value_named(const struct values *in, const char *name)
{
	for (int i = 0; i < in->n; i++)
		if (in->v[i].dtype && !strcmp(in->name[i], name))
			return &in->v[i];
	return NULL;
}

static int fill_inputs(const struct vt_graph *g, const struct values *in, struct vt_err *e)
{
	for (int i = 0; i < g->n_inputs; i++) {
		const struct vt_tensor *t = &g->tensors[g->inputs[i]];
		const struct vt_value *v = value_named(in, t->name);

		/* CastLike reads a type only; for some of those the data has another shape. */
		if (!vt_graph_consumers(g, g->inputs[i], NULL) && !t->is_output)
			continue;
		if (!v || v->dtype != t->dtype || !vt_shape_equal(&v->shape, &t->shape))
			return vt_fail(e, -EINVAL, "no fitting value for input %s", t->name);
		if (v->bytes)
			memcpy(address(g, g->inputs[i]), v->data, v->bytes);
	}
	return 0;
}

static int run_layer(const struct vt_graph *g, const struct vt_node *n, struct vt_layer *l,
		     struct vt_err *e)
{
	const void *in[256];
	void *out[256];
	struct vt_binding b = {in, out, NULL};
	int err;

	if (n->n_in > 256 || n->n_out > 256)
		return vt_fail(e, -E2BIG, "too many operands");
	for (int i = 0; i < n->n_in; i++)
		in[i] = n->in[i] < 0 ? NULL : address(g, n->in[i]);
	for (int i = 0; i < n->n_out; i++)
		out[i] = n->out[i] < 0 ? NULL : address(g, n->out[i]);
	if (n->epi.residual >= 0)
		b.residual = address(g, n->epi.residual);
	err = vt_scratch_reserve(l->scratch_bytes);
	if (!err)
		err = l->kernel->bind(l, 0, &b);
	if (err)
		return vt_fail(e, err, "%s: bind: %s", l->kernel->name, strerror(-err));
	l->kernel->run(l, 0, NULL);
	return 0;
}

/* All layers exist before the first runs, as in the engine. */
static int run_layers(const struct vt_graph *g, const struct values *values, struct vt_err *e)
{
	struct vt_layer *l = calloc((size_t)g->n_nodes + 1, sizeof(*l));
	int err = 0;

	if (!l)
		return vt_fail(e, -ENOMEM, "no memory");
	for (int i = 0; !err && i < g->n_nodes; i++)
		if (!vt_node_is_view(g, &g->nodes[i]))
			err = vt_layer_create(&l[i], g, &g->nodes[i], 1, e);
	if (!err)
		err = fill_inputs(g, values, e);
	for (int i = 0; !err && i < g->n_nodes; i++)
		if (l[i].kernel)
			err = run_layer(g, &g->nodes[i], &l[i], e);
	for (int i = 0; i < g->n_nodes; i++)
		vt_layer_destroy(&l[i]);
	free(l);
	return err;
}

enum verdict run_graph(struct vt_graph *g, const struct values *in, char *why, size_t len)
{
	struct vt_err e = {0};
	int err = vt_optimize(g, &vt_kernel_eval, &e);

	if (!err)
		err = vt_graph_check(g, &e);
	if (!err)
		err = vt_plan_memory(g, &e);
	if (!err) {
		free(arena);
		arena = aligned_alloc(64, (g->arena_bytes + 4096) & ~(size_t)63);
		if (!arena)
			err = vt_fail(&e, -ENOMEM, "no memory for an arena of %zu bytes",
				      g->arena_bytes);
		else /* nothing may depend on what was there before */
			memset(arena, 0xa5, g->arena_bytes);
	}
	if (!err)
		err = run_layers(g, in, &e);
	snprintf(why, len, "%s", e.msg);
	return !err ? PASS : err == -ENOTSUP ? SKIP : FAIL;
}
