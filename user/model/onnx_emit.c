// SPDX-License-Identifier: Apache-2.0
/* New nodes, or their value at once where it depends on constants only. */
#include "model/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TENSOR_BYTES (INT64_C(1) << 37) /* 128 GiB: no activation is this large */

const struct vt_shape *vt_imp_shape(const struct vt_imp *m, int tensor)
{
	static const struct vt_shape none;

	return tensor < 0 ? &none : &m->g->tensors[tensor].shape;
}

enum vt_dtype vt_imp_dtype(const struct vt_imp *m, int tensor)
{
	return tensor < 0 ? VT_DT_NONE : m->g->tensors[tensor].dtype;
}

bool vt_imp_is_const(const struct vt_imp *m, int tensor)
{
	return tensor >= 0 && m->g->tensors[tensor].kind == VT_T_CONST;
}

struct vt_shape vt_shape_of(int rank, const int64_t *dim)
{
	struct vt_shape s = {.rank = rank};

	memcpy(s.dim, dim, (size_t)rank * sizeof(*dim));
	return s;
}

/* ---- one node ----------------------------------------------------------------------------- */

/* Bytes of a tensor that a node would write, or an error: absurd shapes end here. */
static int64_t out_bytes(struct vt_imp *m, const struct vt_imp_out *o)
{
	int64_t n;
	char text[160];

	for (int d = 0; d < o->shape.rank; d++)
		if (o->shape.dim[d] < 0)
			return vt_imp_bad(m, -EINVAL, "its output would have dimension %lld",
					  (long long)o->shape.dim[d]);
	n = vt_shape_elems(&o->shape);
	if (n >= 0)
		n *= (int64_t)vt_dtype_bytes(o->dtype);
	if (n < 0 || n > MAX_TENSOR_BYTES)
		return vt_imp_bad(m, -EOVERFLOW, "its output %s is too large",
				  vt_shape_text(&o->shape, text, sizeof(text)));
	return n;
}

static int new_tensor(struct vt_imp *m, const struct vt_imp_out *o)
{
	const char *base = m->node && m->node->n_out ? m->node->p->output[0] : "";
	char name[256];
	int t;

	snprintf(name, sizeof(name), "%.220s/%d", base,
		 m->node ? m->g->n_tensors - m->node->first_tensor : 0);
	t = vt_graph_add_tensor(m->g, name, VT_T_COMPUTED, o->dtype, &o->shape);
	return t < 0 ? vt_imp_bad(m, t, "no memory") : t;
}

/* The operands of a node of the graph: their data must stay. */
static int pin(struct vt_imp *m, const int *in, int n_in)
{
	for (int i = 0; i < n_in; i++) {
		struct vt_imp_ref *r = in[i] < 0 ? NULL : vt_imp_ref(m, in[i]);

		if (in[i] >= 0 && !r)
			return vt_imp_bad(m, -ENOMEM, "no memory");
		if (r)
			r->pinned = true;
	}
	return 0;
}

static bool charge(struct vt_imp *m, size_t bytes, uint64_t flops)
{
	if (bytes > m->fold_bytes || flops > m->fold_flops)
		return false;
	m->fold_bytes -= bytes;
	m->fold_flops -= flops;
	return true;
}

/*
 * Computes @n, whose operands are constant, into tensors that exist as COMPUTED.
 * Returns 1 if it was done, 0 if the node had better run later, or an error.
 */
static int compute(struct vt_imp *m, const struct vt_node *n)
{
	enum { MAX = 64 };
	void *in[MAX], *out[MAX];
	struct vt_err why = {0};
	size_t bytes = 0;
	int err = -ENOTSUP, k;

	if (!m->o->eval || n->n_in > MAX || n->n_out > MAX)
		return 0;
	for (int i = 0; i < n->n_out; i++)
		bytes += (size_t)vt_shape_elems(&vt_out(m->g, n, i)->shape) *
			 vt_dtype_bytes(vt_out(m->g, n, i)->dtype);
	if (!charge(m, bytes, vt_node_flops(m->g, n)))
		return 0;
	for (int i = 0; i < n->n_in; i++)
		in[i] = n->in[i] < 0 ? NULL : m->g->tensors[n->in[i]].data;
	for (k = 0; k < n->n_out; k++) {
		const struct vt_tensor *t = vt_out(m->g, n, k);

		out[k] = calloc(1,
				(size_t)vt_shape_elems(&t->shape) * vt_dtype_bytes(t->dtype) + 64);
		if (!out[k])
			break;
	}
	if (k == n->n_out)
		err = bytes ? m->o->eval->eval(m->g, n, in, out, &why) : 0;
	for (int i = 0; i < k; i++) {
		struct vt_tensor *t = &m->g->tensors[n->out[i]];

		if (err) {
			free(out[i]);
			continue;
		}
		t->kind = VT_T_CONST;
		t->data = out[i];
		t->bytes = (size_t)vt_shape_elems(&t->shape) * vt_dtype_bytes(t->dtype);
		t->release = vt_imp_free;
	}
	if (k < n->n_out)
		return vt_imp_bad(m, -ENOMEM, "no memory to compute constants of %zu bytes", bytes);
	if (!err || err == -ENOTSUP)
		return !err;
	return vt_imp_bad(m, err, "%s", why.msg[0] ? why.msg : "cannot be computed");
}

void vt_imp_free(void *data, size_t bytes)
{
	free(data);
}

static bool all_const(const struct vt_imp *m, const int *in, int n_in)
{
	for (int i = 0; i < n_in; i++)
		if (in[i] >= 0 && !m->g->tensors[in[i]].data)
			return false;
	return true;
}

int vt_imp_fold(struct vt_imp *m, int node)
{
	struct vt_node *n = &m->g->nodes[node];
	int done = all_const(m, n->in, n->n_in) ? compute(m, n) : 0;

	if (done < 0)
		return done;
	if (!done)
		return -ENODATA;
	n->dead = true;
	return 0;
}

int vt_imp_emit_n(struct vt_imp *m, enum vt_op op, const int *in, int n_in,
		  const struct vt_imp_out *outs, int n_out, const union vt_params *p, int *ret)
{
	struct vt_node n = {.op = op, .n_in = n_in, .n_out = n_out, .in = (int *)in, .out = ret};
	int done = 0, node;

	for (int i = 0; i < n_in; i++)
		if (in[i] < VT_NONE)
			return in[i];
	for (int i = 0; i < n_out; i++) {
		int64_t bytes = out_bytes(m, &outs[i]);

		if (bytes < 0)
			return (int)bytes;
	}
	for (int i = 0; i < n_out; i++) {
		ret[i] = new_tensor(m, &outs[i]);
		if (ret[i] < 0)
			return ret[i];
	}
	n.name = (char *)m->node->name;
	n.epi = (struct vt_epilogue){.residual = VT_NONE, .act = VT_NONE};
	if (p)
		n.p = *p;
	if (all_const(m, in, n_in))
		done = compute(m, &n);
	if (done)
		return done < 0 ? done : 0;
	node = vt_graph_add_node(m->g, op, m->node->name, in, n_in, ret, n_out);
	if (node < 0)
		return vt_imp_bad(m, node, "no memory");
	m->g->nodes[node].p = n.p;
	return pin(m, in, n_in);
}

int vt_imp_emit(struct vt_imp *m, enum vt_op op, const int *in, int n_in, enum vt_dtype dtype,
		const struct vt_shape *shape, const union vt_params *p)
{
	struct vt_imp_out o = {dtype, *shape};
	int t, err = vt_imp_emit_n(m, op, in, n_in, &o, 1, p, &t);

	return err ? err : t;
}

/* ---- shorthands --------------------------------------------------------------------------- */

int vt_imp_unary(struct vt_imp *m, enum vt_op op, int x, float a, float b)
{
	union vt_params p = {.scalar = {a, b}};
	enum vt_dtype dt = op == VT_OP_IS_NAN || op == VT_OP_IS_INF || op == VT_OP_NOT
				   ? VT_BOOL
				   : vt_imp_dtype(m, x);

	return x < 0 ? x : vt_imp_emit(m, op, &x, 1, dt, vt_imp_shape(m, x), &p);
}

int vt_imp_binary(struct vt_imp *m, enum vt_op op, int a, int b)
{
	enum vt_op_class c = vt_op_class(op);
	enum vt_dtype dt = c == VT_C_COMPARE || c == VT_C_LOGIC ? VT_BOOL : vt_imp_dtype(m, a);
	struct vt_shape s;
	char ta[160], tb[160];

	if (a < 0 || b < 0)
		return a < 0 ? a : b;
	if (vt_imp_dtype(m, a) != vt_imp_dtype(m, b))
		return vt_imp_bad(m, -EINVAL, "its operands have types %s and %s",
				  vt_dtype_name(vt_imp_dtype(m, a)),
				  vt_dtype_name(vt_imp_dtype(m, b)));
	if (vt_shape_broadcast(vt_imp_shape(m, a), vt_imp_shape(m, b), &s))
		return vt_imp_bad(m, -EINVAL, "shapes %s and %s do not broadcast",
				  vt_shape_text(vt_imp_shape(m, a), ta, sizeof(ta)),
				  vt_shape_text(vt_imp_shape(m, b), tb, sizeof(tb)));
	return vt_imp_emit(m, op, (int[]){a, b}, 2, dt, &s, NULL);
}

int vt_imp_cast(struct vt_imp *m, int x, enum vt_dtype dtype)
{
	if (x < 0 || vt_imp_dtype(m, x) == dtype)
		return x;
	return vt_imp_emit(m, VT_OP_CAST, &x, 1, dtype, vt_imp_shape(m, x), NULL);
}

/* A constant's bytes move to the result if nothing else will read them; otherwise they are copied. */
static int reshape_const(struct vt_imp *m, int x, const struct vt_shape *shape)
{
	struct vt_imp_out o = {vt_imp_dtype(m, x), *shape};
	struct vt_tensor *from, *to;
	struct vt_imp_ref *r = vt_imp_ref(m, x);
	bool last;
	int t;

	if (!r)
		return vt_imp_bad(m, -ENOMEM, "no memory");
	last = !r->pinned && r->uses == (x < m->node->first_tensor);
	if (!last && !charge(m, m->g->tensors[x].bytes, 0))
		return vt_imp_emit(m, VT_OP_RESHAPE, &x, 1, o.dtype, shape, NULL);
	t = new_tensor(m, &o);
	if (t < 0)
		return t;
	from = &m->g->tensors[x];
	to = &m->g->tensors[t];
	to->kind = VT_T_CONST;
	to->bytes = from->bytes;
	if (last) {
		to->data = from->data;
		to->release = from->release;
		from->data = NULL;
		from->release = NULL;
		return t;
	}
	to->data = calloc(1, from->bytes + 64);
	to->release = vt_imp_free;
	if (!to->data)
		return vt_imp_bad(m, -ENOMEM, "no memory");
	if (from->bytes)
		memcpy(to->data, from->data, from->bytes);
	return t;
}

int vt_imp_reshape(struct vt_imp *m, int x, const struct vt_shape *shape)
{
	struct vt_imp_out o = {vt_imp_dtype(m, x), *shape};
	char a[160], b[160];
	int64_t bytes;

	if (x < 0)
		return x;
	bytes = out_bytes(m, &o);
	if (bytes < 0)
		return (int)bytes;
	if (vt_shape_elems(shape) != vt_shape_elems(vt_imp_shape(m, x)))
		return vt_imp_bad(m, -EINVAL, "shape %s cannot become %s",
				  vt_shape_text(vt_imp_shape(m, x), a, sizeof(a)),
				  vt_shape_text(shape, b, sizeof(b)));
	if (m->g->tensors[x].data)
		return reshape_const(m, x, shape);
	return vt_imp_emit(m, VT_OP_RESHAPE, &x, 1, o.dtype, shape, NULL);
}

int vt_imp_transpose(struct vt_imp *m, int x, const int *perm)
{
	const struct vt_shape *in = vt_imp_shape(m, x);
	struct vt_shape s = {.rank = in->rank};
	union vt_params p = {0};

	if (x < 0)
		return x;
	for (int d = 0; d < s.rank; d++) {
		p.perm.perm[d] = perm[d];
		s.dim[d] = in->dim[perm[d]];
	}
	return vt_imp_emit(m, VT_OP_TRANSPOSE, &x, 1, vt_imp_dtype(m, x), &s, &p);
}

int vt_imp_expand(struct vt_imp *m, int x, const struct vt_shape *shape)
{
	if (x < 0 || vt_shape_equal(vt_imp_shape(m, x), shape))
		return x;
	return vt_imp_emit(m, VT_OP_EXPAND, &x, 1, vt_imp_dtype(m, x), shape, NULL);
}

int vt_imp_slice(struct vt_imp *m, int x, int axis, int64_t start, int64_t count, int64_t step)
{
	struct vt_shape s = *vt_imp_shape(m, x);
	union vt_params p = {0};

	if (x < 0)
		return x;
	for (int d = 0; d < s.rank; d++)
		p.slice.step[d] = 1;
	p.slice.start[axis] = start;
	p.slice.step[axis] = step;
	s.dim[axis] = count;
	return vt_imp_emit(m, VT_OP_SLICE, &x, 1, vt_imp_dtype(m, x), &s, &p);
}

int vt_imp_reduce(struct vt_imp *m, enum vt_op op, int x, uint32_t axes, bool keepdims)
{
	const struct vt_shape *in = vt_imp_shape(m, x);
	struct vt_shape s = {0};
	union vt_params p = {.reduce = {axes, keepdims}};

	if (x < 0)
		return x;
	for (int d = 0; d < in->rank; d++) {
		bool gone = axes >> d & 1;

		if (!gone || keepdims)
			s.dim[s.rank++] = gone ? 1 : in->dim[d];
	}
	return vt_imp_emit(m, op, &x, 1, vt_imp_dtype(m, x), &s, &p);
}

int vt_imp_const(struct vt_imp *m, enum vt_dtype dtype, const struct vt_shape *shape)
{
	struct vt_imp_out o = {dtype, *shape};
	int64_t bytes = out_bytes(m, &o);
	int t;

	if (bytes < 0)
		return (int)bytes;
	if (!charge(m, (size_t)bytes, 0))
		return vt_imp_bad(m, -EOVERFLOW,
				  "a constant of %lld bytes is out of proportion to the file",
				  (long long)bytes);
	t = vt_graph_add_const(m->g, m->node->name, dtype, shape);
	return t < 0 ? vt_imp_bad(m, t, "no memory") : t;
}

int vt_imp_scalar(struct vt_imp *m, enum vt_dtype dtype, double value)
{
	struct vt_shape s = {0};
	int t = vt_imp_const(m, dtype, &s);

	if (t >= 0)
		vt_imp_put(&m->g->tensors[t], 0, value);
	return t;
}

int vt_imp_list(struct vt_imp *m, const int64_t *v, int n)
{
	struct vt_shape s = {1, {n}};
	int t = vt_imp_const(m, VT_I64, &s);

	if (t >= 0 && n)
		memcpy(m->g->tensors[t].data, v, (size_t)n * sizeof(*v));
	return t;
}

/* ---- channels ----------------------------------------------------------------------------- */

int vt_imp_to_last(struct vt_imp *m, int x)
{
	int rank = vt_imp_shape(m, x)->rank, perm[VT_MAX_RANK];

	if (rank < 3)
		return x;
	for (int d = 0; d < rank; d++)
		perm[d] = d == 0 ? 0 : d == rank - 1 ? 1 : d + 1;
	return vt_imp_transpose(m, x, perm);
}

int vt_imp_to_first(struct vt_imp *m, int x)
{
	int rank = vt_imp_shape(m, x)->rank, perm[VT_MAX_RANK];

	if (rank < 3)
		return x;
	for (int d = 0; d < rank; d++)
		perm[d] = d == 0 ? 0 : d == 1 ? rank - 1 : d - 1;
	return vt_imp_transpose(m, x, perm);
}
