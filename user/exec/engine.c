// SPDX-License-Identifier: Apache-2.0
#include "exec/engine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cache.h"
#include "base/clock.h"
#include "kernels/bigmem.h"

/* ---- memory ------------------------------------------------------------------------------- */

void *vt_engine_tensor(const struct vt_engine *m, int inst, int tensor)
{
	const struct vt_tensor *t = &m->graph.tensors[tensor];
	size_t off = 0;

	while (t->view_of != VT_NONE) {
		off += t->view_off_bytes;
		t = &m->graph.tensors[t->view_of];
	}
	if (t->kind == VT_T_CONST)
		return t->data ? (char *)t->data + off : NULL;
	return (char *)m->inst[inst].arena + t->arena_off + off;
}

static int bind_step(struct vt_engine *m, struct vt_step *s, int inst, struct vt_err *e)
{
	const struct vt_node *n = &m->graph.nodes[s->node];
	const void **in = calloc((size_t)n->n_in + 1, sizeof(*in));
	void **out = calloc((size_t)n->n_out + 1, sizeof(*out));
	struct vt_binding b = {.in = in, .out = out};
	int err = -ENOMEM;

	if (!in || !out)
		goto out;
	for (int i = 0; i < n->n_in; i++)
		in[i] = n->in[i] == VT_NONE ? NULL : vt_engine_tensor(m, inst, n->in[i]);
	for (int i = 0; i < n->n_out; i++)
		out[i] = n->out[i] == VT_NONE ? NULL : vt_engine_tensor(m, inst, n->out[i]);
	if (n->epi.residual != VT_NONE)
		b.residual = vt_engine_tensor(m, inst, n->epi.residual);
	err = s->layer.kernel->bind(&s->layer, inst, &b);
out:
	free(in);
	free(out);
	return err ? vt_fail(e, err, "node '%s' (%s): cannot bind its memory", n->name,
			     vt_op_name(n->op))
		   : 0;
}

static int make_instances(struct vt_engine *m, struct vt_err *e)
{
	m->inst = calloc((size_t)m->n_inst, sizeof(*m->inst));
	if (!m->inst)
		return vt_fail(e, -ENOMEM, "no memory for %d instances", m->n_inst);
	for (int i = 0; i < m->n_inst; i++) {
		m->inst[i].arena = vt_big_alloc(m->arena_bytes);
		if (!m->inst[i].arena)
			return vt_fail(e, -ENOMEM,
				       "no memory for the %zu bytes of activations of instance %d",
				       m->arena_bytes, i);
		for (int s = 0; s < m->n_steps; s++) {
			int err = bind_step(m, &m->steps[s], i, e);

			if (err)
				return err;
		}
	}
	return 0;
}

/* ---- layers ------------------------------------------------------------------------------- */

/* How many nodes still need the data of each constant. */
static int *count_uses(const struct vt_graph *g)
{
	int *uses = calloc((size_t)g->n_tensors + 1, sizeof(*uses));

	if (!uses)
		return NULL;
	for (int i = 0; i < g->n_nodes; i++)
		for (int k = 0; k < g->nodes[i].n_in; k++)
			if (g->nodes[i].in[k] != VT_NONE)
				uses[g->nodes[i].in[k]]++;
	for (int i = 0; i < g->n_tensors; i++) {
		if (g->tensors[i].is_output)
			uses[i]++;
		if (g->tensors[i].view_of != VT_NONE)
			uses[g->tensors[i].view_of]++;
	}
	return uses;
}

/* Free what this step has packed and nobody else needs: a large model never lies in memory twice. */
static void drop_packed(struct vt_graph *g, const struct vt_step *s, int *uses)
{
	const struct vt_node *n = &g->nodes[s->node];

	for (int k = 0; k < n->n_in && k < 64; k++) {
		int t = n->in[k];

		if (t == VT_NONE || g->tensors[t].kind != VT_T_CONST ||
		    !(s->layer.packed_in >> k & 1))
			continue;
		if (--uses[t] == 0)
			vt_graph_drop_data(g, t);
	}
}

/* Pages of an arena come when it is first written: what is too much must be told before. */
static int check_bytes(const struct vt_engine *m, size_t weights, size_t max_bytes,
		       struct vt_err *e)
{
	const size_t each = m->arena_bytes + m->work_bytes / (size_t)m->n_inst;
	size_t all;

	if (!max_bytes || (!__builtin_mul_overflow(each, (size_t)m->n_inst, &all) &&
			   !__builtin_add_overflow(all, weights, &all) && all <= max_bytes))
		return 0;
	return vt_fail(
		e, -ENOMEM,
		"does not fit in memory: it needs %zu MiB of weights and %d times %zu MiB of "
		"activations, %zu MiB are available",
		weights >> 20, m->n_inst, each >> 20, max_bytes >> 20);
}

static size_t const_bytes(const struct vt_graph *g)
{
	size_t n = 0;

	for (int i = 0; i < g->n_tensors; i++)
		if (g->tensors[i].kind == VT_T_CONST && g->tensors[i].data)
			n += g->tensors[i].bytes;
	return n;
}

/*
 * Fast algorithms take up to four times the weights that a layer has: they are left out where there would be no memory for
 * what is still to be packed.
 */
static int make_layer(struct vt_engine *m, struct vt_layer *l, const struct vt_node *n,
		      const struct vt_engine_opts *o, struct vt_err *e)
{
	const struct vt_graph *g = &m->graph;
	bool (*may)(const struct vt_kernel *) = o->direct ? vt_kernel_direct : o->may;
	int err = vt_layer_create_from(l, g, n, m->n_inst, may, e);
	size_t rest;

	if (err || vt_kernel_direct(l->kernel))
		return err;
	rest = const_bytes(g) - vt_in(g, n, 1)->bytes;
	if (!check_bytes(m, m->weights_bytes + l->weight_bytes + rest, o->max_bytes, NULL))
		return 0;
	m->short_of_memory = true;
	vt_layer_destroy(l);
	return vt_layer_create_from(l, g, n, m->n_inst, vt_kernel_direct, e);
}

static int make_layers(struct vt_engine *m, const struct vt_engine_opts *o, struct vt_err *e)
{
	const size_t l2_bytes = o->l2_bytes ? o->l2_bytes : vt_l2_bytes();
	struct vt_graph *g = &m->graph;
	int *uses = count_uses(g), err = 0;

	m->steps = calloc((size_t)g->n_nodes + 1, sizeof(*m->steps));
	if (!uses || !m->steps)
		err = vt_fail(e, -ENOMEM, "no memory for %d layers", g->n_nodes);
	for (int i = 0; i < g->n_nodes && !err; i++) {
		struct vt_step *s = &m->steps[m->n_steps];

		if (vt_op_class(g->nodes[i].op) == VT_C_VIEW &&
		    vt_out(g, &g->nodes[i], 0)->view_of != VT_NONE)
			continue;
		s->node = i;
		err = make_layer(m, &s->layer, &g->nodes[i], o, e);
		if (err) {
			vt_fail_at(e, "node '%s' (%s)", g->nodes[i].name,
				   vt_op_name(g->nodes[i].op));
			break;
		}
		m->n_steps++;
		s->flops = vt_node_flops(g, &g->nodes[i]);
		m->flops += s->flops;
		m->weights_bytes += s->layer.weight_bytes;
		m->work_bytes += s->layer.work_bytes;
		if (s->layer.scratch_bytes > m->scratch_bytes)
			m->scratch_bytes = s->layer.scratch_bytes;
		if (s->layer.depth)
			s->variant = vt_variant_default(
				s->layer.rows, s->layer.cols, s->layer.depth,
				s->layer.read_bytes ? s->layer.read_bytes : s->layer.weight_bytes,
				l2_bytes);
		drop_packed(g, s, uses);
		err = check_bytes(m, m->weights_bytes, o->max_bytes, e);
	}
	for (int i = 0; i < g->n_tensors && !err; i++)
		if (g->tensors[i].kind == VT_T_CONST && g->tensors[i].data && uses[i] > 0)
			m->weights_bytes += g->tensors[i].bytes;
	free(uses);
	return err;
}

/* ---- loading ------------------------------------------------------------------------------ */

static int load(struct vt_engine *m, const char *path, const struct vt_engine_opts *o,
		struct vt_err *e)
{
	struct vt_import_opts io = o->import;
	struct vt_eval eval = vt_kernel_eval;
	int err;

	if (o->may) { /* a joined pair and an average besides have one kernel, which may not be allowed */
		eval.joins = NULL;
		eval.averages = NULL;
	}
	io.eval = &eval;
	err = vt_import_onnx(&m->graph, path, &io, e);
	if (!err && !o->no_optimize)
		err = vt_optimize(&m->graph, &eval, e);
	if (!err)
		err = vt_plan_memory(&m->graph, e);
	if (!err) {
		m->arena_bytes = m->graph.arena_bytes;
		err = check_bytes(m, const_bytes(&m->graph), o->max_bytes, e);
	}
	if (!err)
		err = make_layers(m, o, e);
	return err ? err : make_instances(m, e);
}

int vt_engine_load(struct vt_engine **ret, const char *path, const struct vt_engine_opts *o,
		   struct vt_err *e)
{
	struct vt_engine *m = calloc(1, sizeof(*m));
	int err;

	if (!m)
		return vt_fail(e, -ENOMEM, "no memory for a model");
	m->n_inst = o->instances > 0 ? o->instances : 1;
	err = load(m, path, o, e);
	if (err) {
		vt_engine_free(m);
		return err;
	}
	*ret = m;
	return 0;
}

void vt_engine_free(struct vt_engine *m)
{
	if (!m)
		return;
	for (int i = 0; i < m->n_steps; i++)
		vt_layer_destroy(&m->steps[i].layer);
	for (int i = 0; m->inst && i < m->n_inst; i++)
		vt_big_free(m->inst[i].arena, m->arena_bytes);
	free(m->steps);
	free(m->inst);
	vt_graph_fini(&m->graph);
	free(m);
}

/* Small arenas were written when they were made. */
static size_t unwritten(char *at, size_t bytes)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char there[4096];
	size_t n = 0;

	for (size_t off = 0; off < bytes; off += page * sizeof(there)) {
		const size_t len =
			bytes - off < page * sizeof(there) ? bytes - off : page * sizeof(there);

		if (mincore(at + off, len, there))
			return n;
		for (size_t i = 0; i < (len + page - 1) / page; i++)
			n += there[i] & 1 ? 0 : page;
	}
	return n;
}

size_t vt_engine_unwritten_bytes(const struct vt_engine *m)
{
	size_t n = 0;

	for (int i = 0; i < m->n_inst && m->arena_bytes >= VT_BIG_FROM; i++)
		n += unwritten(m->inst[i].arena, m->arena_bytes);
	return n;
}

/* ---- running ------------------------------------------------------------------------------ */

static void run_steps(struct vt_run *r, struct pthreadpool *gang)
{
	struct vt_engine *m = r->model;
	uint64_t t0 = r->step_ns ? vt_now_mono_ns() : 0, t1;

	for (int i = r->first; i < r->last; i++) {
		struct vt_step *s = &m->steps[i];

		gang->variant = r->variants && r->variants[i] ? r->variants[i] : s->variant;
		s->layer.kernel->run(&s->layer, r->inst, gang);
		if (!r->step_ns)
			continue;
		t1 = vt_now_mono_ns();
		r->step_ns[i] = t1 - t0;
		t0 = t1;
	}
}

static void run_work(struct vt_work *b, struct pthreadpool *gang)
{
	run_steps((struct vt_run *)b, gang);
}

void vt_run_init(struct vt_run *r, struct vt_engine *m, int inst)
{
	*r = (struct vt_run){
		.work = {.run = run_work}, .model = m, .inst = inst, .last = m->n_steps};
}

void vt_engine_run_inline(struct vt_engine *m, int inst)
{
	struct pthreadpool alone = {.cores = 1, .report_threads = 1};
	struct vt_run r;

	vt_run_init(&r, m, inst);
	run_steps(&r, &alone);
}
