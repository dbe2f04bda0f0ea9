// SPDX-License-Identifier: Apache-2.0
/* Names, order and the walk over the nodes. */
#include "model/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* External data counts as part of the file for what folding may allocate, up to here. */
#define MAX_EXTERNAL_CREDIT ((size_t)8 << 30)

int vt_imp_bad(struct vt_imp *m, int code, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!m->node)
		return vt_fail(m->e, code, "%s", text);
	if (code == -ENOEXEC)
		return vt_fail(m->e, code, "node \"%.100s\" (%.40s of opset %d): %s", m->node->name,
			       m->node->p->op_type, m->opset, text);
	return vt_fail(m->e, code, "node \"%.100s\" (%.40s): %s", m->node->name,
		       m->node->p->op_type, text);
}

struct vt_imp_ref *vt_imp_ref(struct vt_imp *m, int tensor)
{
	if (tensor >= m->cap_refs) {
		int cap = 2 * tensor + 64;
		struct vt_imp_ref *r = realloc(m->refs, (size_t)cap * sizeof(*r));

		if (!r)
			return NULL;
		memset(r + m->cap_refs, 0, (size_t)(cap - m->cap_refs) * sizeof(*r));
		m->refs = r;
		m->cap_refs = cap;
	}
	return &m->refs[tensor];
}

/* ---- names -------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct vt_sym *)a)->name, ((const struct vt_sym *)b)->name);
}

struct vt_sym *vt_imp_sym(const struct vt_imp *m, const char *name)
{
	struct vt_sym key = {.name = name};

	if (!name || !m->n_syms)
		return NULL;
	return bsearch(&key, m->syms, (size_t)m->n_syms, sizeof(key), by_name);
}

static void add_sym(struct vt_imp *m, const char *name, int node, int init, int input)
{
	if (name && *name)
		m->syms[m->n_syms++] = (struct vt_sym){name, VT_NONE, node, init, input, 0};
}

/* An initialiser may also be listed as an input (its default value, IR version < 4); anything else
 * may be defined only once. */
static int merge_syms(struct vt_imp *m)
{
	int n = 0;

	for (int i = 0; i < m->n_syms; i++) {
		struct vt_sym *s = &m->syms[i], *last = n ? &m->syms[n - 1] : NULL;

		if (!last || strcmp(last->name, s->name)) {
			m->syms[n++] = *s;
			continue;
		}
		if (last->node >= 0 || s->node >= 0 || (last->init >= 0) == (s->init >= 0))
			return vt_fail(m->e, -EINVAL, "\"%.200s\" is defined twice", s->name);
		last->init = s->init >= 0 ? s->init : last->init;
		last->input = s->input >= 0 ? s->input : last->input;
	}
	m->n_syms = n;
	return 0;
}

static int collect_syms(struct vt_imp *m)
{
	Onnx__GraphProto *g = m->pg;
	size_t n = g->n_initializer + g->n_input;

	for (size_t i = 0; i < g->n_node; i++)
		n += g->node[i]->n_output;
	if (n > INT32_MAX / 4 || g->n_node > INT32_MAX / 4)
		return vt_fail(m->e, -EOVERFLOW, "defines too many names");
	m->syms = calloc(n + 1, sizeof(*m->syms));
	if (!m->syms)
		return vt_fail(m->e, -ENOMEM, "no memory for %zu names", n);
	for (size_t i = 0; i < g->n_initializer; i++)
		add_sym(m, g->initializer[i]->name, VT_NONE, (int)i, VT_NONE);
	for (size_t i = 0; i < g->n_input; i++)
		add_sym(m, g->input[i]->name, VT_NONE, VT_NONE, (int)i);
	for (size_t i = 0; i < g->n_node; i++)
		for (size_t o = 0; o < g->node[i]->n_output; o++)
			add_sym(m, g->node[i]->output[o], (int)i, VT_NONE, VT_NONE);
	qsort(m->syms, (size_t)m->n_syms, sizeof(*m->syms), by_name);
	return merge_syms(m);
}

/* ---- order: depth first from the outputs, so nodes that nothing needs are never looked at ---- */

static const char *node_name(const Onnx__NodeProto *p)
{
	if (p->name && *p->name)
		return p->name;
	return p->n_output && p->output[0] ? p->output[0] : "?";
}

enum { UNSEEN, OPEN, DONE };

struct visit {
	unsigned char *seen;
	int *stack;
	size_t *next; /* operand of each open node to look at */
	int depth;
};

static int lost(struct vt_imp *m, const Onnx__NodeProto *p, const char *name)
{
	return vt_fail(
		m->e, -EINVAL,
		"node \"%.100s\" (%.40s): \"%.100s\" is not an input, initialiser or output of "
		"any node",
		node_name(p), p->op_type ? p->op_type : "?", name);
}

static void open_node(struct visit *v, int node)
{
	v->seen[node] = OPEN;
	v->stack[v->depth] = node;
	v->next[v->depth++] = 0;
}

static int visit(struct vt_imp *m, struct visit *v, int root)
{
	if (v->seen[root] == DONE)
		return 0;
	open_node(v, root);
	while (v->depth) {
		int at = v->stack[v->depth - 1];
		const Onnx__NodeProto *p = m->pg->node[at];
		size_t k = v->next[v->depth - 1]++;
		struct vt_sym *s;

		if (k == p->n_input) {
			v->seen[at] = DONE;
			m->order[m->n_order++] = at;
			v->depth--;
			continue;
		}
		if (!p->input[k] || !*p->input[k])
			continue;
		s = vt_imp_sym(m, p->input[k]);
		if (!s)
			return lost(m, p, p->input[k]);
		s->uses++;
		if (s->node < 0 || v->seen[s->node] == DONE)
			continue;
		if (v->seen[s->node] == OPEN)
			return vt_fail(m->e, -ELOOP,
				       "node \"%.100s\" (%.40s) depends on its own output: the "
				       "graph has a cycle",
				       node_name(p), p->op_type ? p->op_type : "?");
		open_node(v, s->node);
	}
	return 0;
}

static int sort_nodes(struct vt_imp *m)
{
	size_t n = m->pg->n_node + 1;
	struct visit v = {calloc(n, 1), malloc(n * sizeof(int)), malloc(n * sizeof(size_t)), 0};
	int err = 0;

	m->order = malloc(n * sizeof(*m->order));
	if (!m->order || !v.seen || !v.stack || !v.next)
		err = vt_fail(m->e, -ENOMEM, "no memory for %zu nodes", n);
	for (size_t i = 0; !err && i < m->pg->n_output; i++) {
		const char *name = m->pg->output[i]->name;
		struct vt_sym *s = vt_imp_sym(m, name);

		if (!s) {
			err = vt_fail(m->e, -EINVAL, "nothing computes the graph output \"%.200s\"",
				      name ? name : "");
			break;
		}
		s->uses++;
		if (s->node >= 0)
			err = visit(m, &v, s->node);
	}
	free(v.seen);
	free(v.stack);
	free(v.next);
	return err;
}

/* ---- values of names ---------------------------------------------------------------------- */

static int bind_tensor(struct vt_imp *m, struct vt_sym *s, int tensor)
{
	struct vt_imp_ref *r = vt_imp_ref(m, tensor);

	if (!r)
		return vt_imp_bad(m, -ENOMEM, "no memory");
	s->tensor = tensor;
	r->uses += s->uses;
	return 0;
}

static int init_tensor(struct vt_imp *m, struct vt_sym *s)
{
	Onnx__TensorProto *p = m->pg->initializer[s->init];
	struct vt_value v = {0};
	int t;

	if (vt_onnx_take_tensor(p, &m->beside, &v, m->e))
		return vt_fail_at(m->e, "initialiser \"%.100s\"", s->name);
	t = vt_graph_add_tensor(m->g, s->name, VT_T_CONST, v.dtype, &v.shape);
	if (t < 0) {
		vt_value_fini(&v);
		return vt_imp_bad(m, t, "no memory");
	}
	m->g->tensors[t].data = v.data;
	m->g->tensors[t].bytes = v.bytes;
	m->g->tensors[t].release = v.release;
	m->g->weights_bytes += v.bytes;
	if (p->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL &&
	    m->g->weights_bytes < MAX_EXTERNAL_CREDIT)
		m->fold_bytes += v.bytes;
	return t;
}

/* The tensor of a name that is not computed, made when it is first met. */
static int source_tensor(struct vt_imp *m, struct vt_sym *s)
{
	int t, err;

	if (s->tensor >= 0)
		return s->tensor;
	t = s->init >= 0 ? init_tensor(m, s) : vt_imp_input(m, s);
	err = t < 0 ? t : bind_tensor(m, s, t);
	return err ? err : t;
}

static int rename_tensor(struct vt_imp *m, int tensor, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return vt_imp_bad(m, -ENOMEM, "no memory");
	free(m->g->tensors[tensor].name);
	m->g->tensors[tensor].name = copy;
	return 0;
}

int vt_imp_set(struct vt_imp *m, const struct vt_imp_node *n, int i, int tensor)
{
	struct vt_sym *s;
	int err = 0;

	if (tensor < 0)
		return tensor;
	if (i >= n->n_out || !n->p->output[i] || !*n->p->output[i])
		return 0;
	s = vt_imp_sym(m, n->p->output[i]);
	if (tensor >= n->first_tensor)
		err = rename_tensor(m, tensor, n->p->output[i]);
	return err ? err : bind_tensor(m, s, tensor);
}

bool vt_imp_wanted(const struct vt_imp *m, const struct vt_imp_node *n, int i)
{
	struct vt_sym *s = i < n->n_out ? vt_imp_sym(m, n->p->output[i]) : NULL;

	return s && s->uses;
}

/* ---- the walk ----------------------------------------------------------------------------- */

static int operands(struct vt_imp *m, const Onnx__NodeProto *p, int *in)
{
	for (size_t i = 0; i < p->n_input; i++) {
		struct vt_sym *s = *p->input[i] ? vt_imp_sym(m, p->input[i]) : NULL;

		in[i] = !s ? VT_NONE : s->node >= 0 ? s->tensor : source_tensor(m, s);
		if (s && in[i] < 0)
			return in[i] == VT_NONE
				       ? vt_imp_bad(m, -ENOEXEC,
						    "\"%s\" is an output that is not supported",
						    p->input[i])
				       : in[i];
	}
	return 0;
}

/* The node is done with its operands: constants that nothing reads any more go at once. */
static void let_go(struct vt_imp *m, const int *in, int n_in)
{
	for (int i = 0; i < n_in; i++) {
		struct vt_imp_ref *r = in[i] < 0 ? NULL : &m->refs[in[i]];

		if (r && !--r->uses && !r->pinned && m->g->tensors[in[i]].kind == VT_T_CONST)
			vt_graph_drop_data(m->g, in[i]);
	}
}

/* Constants that a lowering made on its way to its result. */
static void drop_scratch(struct vt_imp *m, int first)
{
	for (int t = first; t < m->g->n_tensors; t++) {
		struct vt_imp_ref *r = vt_imp_ref(m, t);

		if (r && !r->uses && !r->pinned && m->g->tensors[t].kind == VT_T_CONST)
			vt_graph_drop_data(m->g, t);
	}
}

static int check_operands(struct vt_imp *m, const struct vt_imp_node *n)
{
	if (n->n_in < n->op->min_in)
		return vt_imp_bad(m, -EINVAL, "has %d operands, needs %d", n->n_in, n->op->min_in);
	if (n->n_in > n->op->max_in)
		return vt_imp_bad(m, -EINVAL, "has %d operands, takes %d at most", n->n_in,
				  n->op->max_in);
	for (int i = 0; i < n->op->min_in; i++)
		if (n->in[i] < 0)
			return vt_imp_bad(m, -EINVAL, "operand %d is missing", i);
	return 0;
}

static bool same_domain(const char *a, const char *b)
{
	a = a && strcmp(a, "ai.onnx") ? a : "";
	b = b && strcmp(b, "ai.onnx") ? b : "";
	return !strcmp(a, b);
}

/* What only has a meaning together with functions of the model, which may also replace operators. */
static int check_functions(struct vt_imp *m, const Onnx__NodeProto *p)
{
	for (size_t i = 0; i < m->model->n_functions; i++) {
		const Onnx__FunctionProto *f = m->model->functions[i];

		if (f->name && !strcmp(f->name, p->op_type) && same_domain(f->domain, p->domain))
			return vt_imp_bad(
				m, -ENOEXEC,
				"is a function of the model, which is not supported; inline "
				"it (onnx.inliner.inline_local_functions)");
	}
	for (size_t i = 0; i < p->n_attribute; i++)
		if (p->attribute[i]->ref_attr_name && *p->attribute[i]->ref_attr_name)
			return vt_imp_bad(m, -EINVAL, "%.100s is an attribute of a function",
					  p->attribute[i]->name ? p->attribute[i]->name : "?");
	return 0;
}

static int lower(struct vt_imp *m, struct vt_imp_node *n, int *in)
{
	Onnx__NodeProto *p = n->p;
	int err = check_functions(m, p);

	if (err)
		return err;
	if (vt_imp_find(p->domain, p->op_type, m->opset, &n->op, m->e))
		return vt_fail_at(m->e, "node \"%.100s\" (%.40s)", n->name, p->op_type);
	if (p->n_input > VT_IMP_MAX_OPERANDS || p->n_output > VT_IMP_MAX_OPERANDS || !p->n_output)
		return vt_imp_bad(m, -EINVAL, "has %zu operands and %zu results", p->n_input,
				  p->n_output);
	n->n_in = (int)p->n_input;
	n->n_out = (int)p->n_output;
	err = operands(m, p, in);
	if (err)
		return err;
	while (n->n_in && in[n->n_in - 1] == VT_NONE)
		n->n_in--;
	n->first_tensor = m->g->n_tensors;
	err = check_operands(m, n);
	if (!err)
		err = n->op->lower(m, n);
	if (*n->mistyped)
		return vt_imp_bad(m, -EINVAL, "%s has another type than it should", *n->mistyped);
	if (err)
		return err < 0 ? err : -EINVAL;
	drop_scratch(m, n->first_tensor);
	let_go(m, in, n->n_in);
	return 0;
}

static int lower_node(struct vt_imp *m, Onnx__NodeProto *p)
{
	int in[VT_IMP_MAX_OPERANDS], err;
	const char *mistyped = NULL;
	struct vt_imp_node n = {.p = p, .name = node_name(p), .in = in, .mistyped = &mistyped};

	if (!p->op_type)
		return vt_fail(m->e, -EBADMSG, "node \"%.100s\" has no operator", n.name);
	m->node = &n;
	err = lower(m, &n, in);
	m->node = NULL;
	return err;
}

/* ---- outputs ------------------------------------------------------------------------------ */

/*
 * The type that a client is told is the computed one; a model that declares another is not what it
 * seems. Of shapes exporters and editors of the batch often leave stale numbers, which say nothing.
 */
static int check_type(struct vt_imp *m, const Onnx__ValueInfoProto *p, int tensor)
{
	const enum vt_dtype is = m->g->tensors[tensor].dtype;
	int declared = 0; /* undefined */
	char text[32];

	if (p->type && p->type->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
		declared = p->type->tensor_type->elem_type;
	if (!declared || vt_dtype_from_onnx(declared) == is)
		return 0;
	return vt_fail(m->e, -EINVAL,
		       "graph output \"%.200s\" is declared as %s and computed as %s", p->name,
		       vt_onnx_type_text(declared, text, sizeof(text)), vt_dtype_name(is));
}

/* A graph output needs a tensor of its own with the model's name for it. */
static int output(struct vt_imp *m, const Onnx__ValueInfoProto *p)
{
	struct vt_sym *s = vt_imp_sym(m, p->name);
	int t = s->node >= 0 ? s->tensor : source_tensor(m, s), view, err;
	struct vt_shape shape;

	if (t < 0)
		return t == VT_NONE ? vt_fail(m->e, -ENOEXEC,
					      "graph output \"%.200s\" is an output that is not "
					      "supported",
					      p->name)
				    : t;
	err = check_type(m, p, t);
	if (err)
		return err;
	if (m->g->tensors[t].kind == VT_T_INPUT || m->g->tensors[t].is_output ||
	    strcmp(m->g->tensors[t].name, p->name)) {
		shape = m->g->tensors[t].shape;
		view = vt_graph_add_tensor(m->g, p->name, VT_T_COMPUTED, m->g->tensors[t].dtype,
					   &shape);
		if (view < 0 ||
		    vt_graph_add_node(m->g, VT_OP_RESHAPE, p->name, &t, 1, &view, 1) < 0)
			return vt_fail(m->e, -ENOMEM, "no memory");
		t = view;
	}
	err = vt_graph_mark_output(m->g, t);
	return err ? vt_fail(m->e, err, "no memory") : 0;
}

/* Every graph input that stayed one, in the model's order, read or not. */
static int inputs(struct vt_imp *m)
{
	for (size_t i = 0; i < m->pg->n_input; i++) {
		struct vt_sym *s = vt_imp_sym(m, m->pg->input[i]->name);
		int t = !s || s->init >= 0 ? VT_NONE : source_tensor(m, s);

		if (!s || s->init >= 0)
			continue;
		if (t < 0)
			return t;
		if (m->g->tensors[t].kind == VT_T_INPUT && vt_graph_mark_input(m->g, t))
			return vt_fail(m->e, -ENOMEM, "no memory");
	}
	return 0;
}

int vt_imp_run(struct vt_imp *m)
{
	int err = vt_imp_check_dims(m);

	if (!err)
		err = collect_syms(m);
	if (!err)
		err = sort_nodes(m);
	for (int i = 0; !err && i < m->n_order; i++)
		err = lower_node(m, m->pg->node[m->order[i]]);
	if (!err)
		err = inputs(m);
	for (size_t i = 0; !err && i < m->pg->n_output; i++)
		err = output(m, m->pg->output[i]);
	if (!err && !m->pg->n_output)
		err = vt_fail(m->e, -EINVAL, "has no outputs");
	return err;
}
