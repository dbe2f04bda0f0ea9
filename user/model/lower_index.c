// SPDX-License-Identifier: Apache-2.0
/* Lowerings: operators that pick or place elements by indices. */
#include "model/import.h"

static int index_type(struct vt_imp *m, const struct vt_imp_node *n, int i)
{
	enum vt_dtype t = vt_imp_dtype(m, n->in[i]);

	return t == VT_I64 || t == VT_I32
		       ? 0
		       : vt_imp_bad(m, -EINVAL, "its indices have type %s", vt_dtype_name(t));
}

static int axis_of(struct vt_imp *m, const struct vt_imp_node *n)
{
	int err = index_type(m, n, 1);

	return err ? err
		   : vt_imp_axis(m, vt_imp_int(n, "axis", 0), vt_imp_shape(m, n->in[0])->rank);
}

/* Constant indices are checked now, within what folding may cost; kernels check them all again. */
static int in_range(struct vt_imp *m, int indices, int64_t dim)
{
	const struct vt_tensor *t = &m->g->tensors[indices];
	int64_t elems = t->data ? vt_shape_elems(&t->shape) : 0;

	if ((uint64_t)elems > m->fold_flops)
		return 0;
	m->fold_flops -= (uint64_t)elems;
	for (int64_t i = 0; i < elems; i++) {
		int64_t v = vt_imp_get_int(t, i);

		if (v < -dim || v >= dim)
			return vt_imp_bad(m, -EINVAL, "index %lld of %lld", (long long)v,
					  (long long)dim);
	}
	return 0;
}

int vt_lower_gather(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *x = vt_imp_shape(m, n->in[0]), *i = vt_imp_shape(m, n->in[1]);
	union vt_params p = {.axis = axis_of(m, n)};
	struct vt_shape s = {0};

	if (p.axis < 0)
		return p.axis;
	if (x->rank + i->rank - 1 > VT_MAX_RANK)
		return vt_imp_bad(m, -ENOEXEC, "makes more than %d dimensions", VT_MAX_RANK);
	if (in_range(m, n->in[1], x->dim[p.axis]))
		return -EINVAL;
	for (int d = 0; d < p.axis; d++)
		s.dim[s.rank++] = x->dim[d];
	for (int d = 0; d < i->rank; d++)
		s.dim[s.rank++] = i->dim[d];
	for (int d = p.axis + 1; d < x->rank; d++)
		s.dim[s.rank++] = x->dim[d];
	return vt_imp_set(
		m, n, 0, vt_imp_emit(m, VT_OP_GATHER, n->in, 2, vt_imp_dtype(m, n->in[0]), &s, &p));
}

/* Indices of the data's rank, no longer than it but at the axis. */
static int fits_elements(struct vt_imp *m, const struct vt_imp_node *n, int axis)
{
	const struct vt_shape *x = vt_imp_shape(m, n->in[0]), *i = vt_imp_shape(m, n->in[1]);
	bool ok = x->rank == i->rank;

	for (int d = 0; ok && d < x->rank; d++)
		ok = d == axis || i->dim[d] <= x->dim[d];
	return ok ? in_range(m, n->in[1], x->dim[axis])
		  : vt_imp_bad(m, -EINVAL, "its indices' shape does not fit its data's");
}

int vt_lower_gather_elements(struct vt_imp *m, const struct vt_imp_node *n)
{
	union vt_params p = {.axis = axis_of(m, n)};

	if (p.axis < 0 || fits_elements(m, n, p.axis))
		return p.axis < 0 ? p.axis : -EINVAL;
	return vt_imp_set(m, n, 0,
			  vt_imp_emit(m, VT_OP_GATHER_ELEMENTS, n->in, 2, vt_imp_dtype(m, n->in[0]),
				      vt_imp_shape(m, n->in[1]), &p));
}

int vt_lower_scatter_elements(struct vt_imp *m, const struct vt_imp_node *n)
{
	static const char *const words[] = {"none", NULL};
	union vt_params p = {.axis = axis_of(m, n)};
	int err = vt_imp_word(m, n, "reduction", words, 0);

	if (err || p.axis < 0)
		return err ? err : p.axis;
	if (fits_elements(m, n, p.axis))
		return -EINVAL;
	if (!vt_shape_equal(vt_imp_shape(m, n->in[1]), vt_imp_shape(m, n->in[2])) ||
	    vt_imp_dtype(m, n->in[0]) != vt_imp_dtype(m, n->in[2]))
		return vt_imp_bad(m, -EINVAL, "its updates do not fit");
	return vt_imp_set(m, n, 0,
			  vt_imp_emit(m, VT_OP_SCATTER_ELEMENTS, n->in, 3,
				      vt_imp_dtype(m, n->in[0]), vt_imp_shape(m, n->in[0]), &p));
}

int vt_lower_gather_nd(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *x = vt_imp_shape(m, n->in[0]), *i = vt_imp_shape(m, n->in[1]);
	int64_t batch = vt_imp_int(n, "batch_dims", 0), depth = i->rank ? i->dim[i->rank - 1] : 0;
	struct vt_shape s = {0};
	union vt_params p = {0};

	if (index_type(m, n, 1))
		return -EINVAL;
	if (batch < 0 || batch >= i->rank || depth < 1 || depth > x->rank - batch ||
	    i->rank - 1 + x->rank - batch - depth > VT_MAX_RANK)
		return vt_imp_bad(m, -EINVAL, "its indices' shape does not fit its data's");
	for (int d = 0; d < i->rank - 1; d++) {
		if (d < batch && i->dim[d] != x->dim[d])
			return vt_imp_bad(m, -EINVAL, "batch dimension %d differs", d);
		s.dim[s.rank++] = i->dim[d];
	}
	for (int d = (int)(batch + depth); d < x->rank; d++)
		s.dim[s.rank++] = x->dim[d];
	p.axis = (int)batch;
	return vt_imp_set(
		m, n, 0,
		vt_imp_emit(m, VT_OP_GATHER_ND, n->in, 2, vt_imp_dtype(m, n->in[0]), &s, &p));
}

int vt_lower_scatter_nd(struct vt_imp *m, const struct vt_imp_node *n)
{
	static const char *const words[] = {"none", "add", "mul", NULL};
	const struct vt_shape *x = vt_imp_shape(m, n->in[0]), *i = vt_imp_shape(m, n->in[1]);
	const struct vt_shape *u = vt_imp_shape(m, n->in[2]);
	int64_t depth = i->rank ? i->dim[i->rank - 1] : 0;
	union vt_params p = {.axis = vt_imp_word(m, n, "reduction", words, 0)};
	bool ok;

	if (p.axis < 0 || index_type(m, n, 1))
		return p.axis < 0 ? p.axis : -EINVAL;
	ok = depth >= 1 && depth <= x->rank && u->rank == i->rank - 1 + x->rank - depth &&
	     vt_imp_dtype(m, n->in[0]) == vt_imp_dtype(m, n->in[2]);
	for (int d = 0; ok && d < u->rank; d++)
		ok = u->dim[d] == (d < i->rank - 1 ? i->dim[d] : x->dim[d - (i->rank - 1) + depth]);
	if (!ok)
		return vt_imp_bad(m, -EINVAL, "its indices and updates do not fit its data");
	return vt_imp_set(
		m, n, 0,
		vt_imp_emit(m, VT_OP_SCATTER_ND, n->in, 3, vt_imp_dtype(m, n->in[0]), x, &p));
}

int vt_lower_one_hot(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	const struct vt_shape *values = vt_imp_shape(m, n->in[2]);
	int64_t depth;
	union vt_params p = {0};
	int count = vt_imp_values(m, n, 1, &depth, 1), indices = n->in[0];

	if (count != 1 || depth < 1)
		return count < 0 ? count : vt_imp_bad(m, -EINVAL, "its depth must be positive");
	if (values->rank != 1 || values->dim[0] != 2 || s.rank >= VT_MAX_RANK)
		return vt_imp_bad(m, -EINVAL,
				  "its values must be [off, on], its indices of rank < %d",
				  VT_MAX_RANK);
	p.axis = vt_imp_axis(m, vt_imp_int(n, "axis", -1), s.rank + 1);
	if (p.axis < 0)
		return p.axis;
	for (int d = s.rank++; d > p.axis; d--)
		s.dim[d] = s.dim[d - 1];
	s.dim[p.axis] = depth;
	if (vt_imp_dtype(m, indices) != VT_I64 && vt_imp_dtype(m, indices) != VT_I32)
		indices = vt_imp_cast(m, indices, VT_I64);
	return vt_imp_set(m, n, 0,
			  vt_imp_emit(m, VT_OP_ONE_HOT, (int[]){indices, n->in[2]}, 2,
				      vt_imp_dtype(m, n->in[2]), &s, &p));
}
