// SPDX-License-Identifier: Apache-2.0
/* Lowerings: pools. Three spatial axes are two pools, since maximum and average are separable. */
#include "model/lower_window.h"

/* Axes @y (or none, -1) and @x of the window as p.pool. */
static union vt_params pool_params(const struct vt_window *w, int y, int x, bool include_pad)
{
	union vt_params p = {.pool = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, include_pad}};

	if (x >= 0) {
		p.pool.kw = (int)w->kernel[x];
		p.pool.sw = (int)w->stride[x];
		p.pool.dw = (int)w->dilation[x];
		p.pool.pl = (int)w->begin[x];
		p.pool.pr = (int)w->end[x];
		p.pool.xr = (int)w->extra[x];
	}
	if (y >= 0) {
		p.pool.kh = (int)w->kernel[y];
		p.pool.sh = (int)w->stride[y];
		p.pool.dh = (int)w->dilation[y];
		p.pool.pt = (int)w->begin[y];
		p.pool.pb = (int)w->end[y];
		p.pool.xb = (int)w->extra[y];
	}
	return p;
}

/* Over height and width with the depths as batch, then over depth with each plane as one row. */
static int pool3d(struct vt_imp *m, enum vt_op op, const struct vt_window *w, int x, bool include)
{
	struct vt_shape s = *vt_imp_shape(m, x);
	int64_t rows = w->out[1] * w->out[2], c = s.dim[4];
	struct vt_shape planes = {4, {s.dim[0] * s.dim[1], s.dim[2], s.dim[3], c}};
	struct vt_shape pooled = {4, {planes.dim[0], w->out[1], w->out[2], c}};
	struct vt_shape stack = {4, {s.dim[0], s.dim[1], rows, c}};
	struct vt_shape out = {4, {s.dim[0], w->out[0], rows, c}};
	struct vt_shape whole = {5, {s.dim[0], w->out[0], w->out[1], w->out[2], c}};
	union vt_params flat = pool_params(w, 1, 2, include), deep = pool_params(w, 0, -1, include);
	enum vt_dtype dt = vt_imp_dtype(m, x);

	x = vt_imp_reshape(m, x, &planes);
	x = vt_imp_emit(m, op, &x, 1, dt, &pooled, &flat);
	x = vt_imp_reshape(m, x, &stack);
	x = vt_imp_emit(m, op, &x, 1, dt, &out, &deep);
	return vt_imp_reshape(m, x, &whole);
}

int vt_lower_pool(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *in = vt_imp_shape(m, n->in[0]);
	enum vt_op op = (enum vt_op)n->op->op;
	bool include = vt_imp_int(n, "count_include_pad", 0) != 0;
	struct vt_window w = {.n = in->rank - 2};
	struct vt_shape out;
	union vt_params p;
	int err, x;

	if (w.n < 1 || w.n > VT_MAX_SPATIAL)
		return vt_imp_bad(m, w.n < 1 ? -EINVAL : -ENOEXEC,
				  "its input has %d dimensions, 3 to 5 are supported", in->rank);
	if (vt_imp_wanted(m, n, 1))
		return vt_imp_bad(m, -ENOEXEC, "the output Indices is not supported");
	if (!vt_imp_attr(n, "kernel_shape"))
		return vt_imp_bad(m, -EINVAL, "has no kernel_shape");
	for (int i = 0; i < w.n; i++)
		w.in[i] = in->dim[2 + i];
	err = vt_window_read(m, n, &w);
	if (!err)
		err = vt_window_slide(m, n, &w);
	if (err)
		return err;
	x = vt_imp_to_last(m, n->in[0]);
	if (x < 0)
		return x;
	if (w.n == 3)
		return vt_imp_set(m, n, 0, vt_imp_to_first(m, pool3d(m, op, &w, x, include)));
	p = pool_params(&w, w.n - 2, w.n - 1, include);
	in = vt_imp_shape(m, x);
	out = (struct vt_shape){w.n + 2, {in->dim[0], w.out[0], w.out[1]}};
	out.dim[w.n + 1] = in->dim[w.n + 1];
	x = vt_imp_emit(m, op, &x, 1, vt_imp_dtype(m, x), &out, &p);
	return vt_imp_set(m, n, 0, vt_imp_to_first(m, x));
}

int vt_lower_global_pool(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]), out;
	int x;

	if (s.rank < 3)
		return vt_imp_bad(m, -EINVAL, "its input has %d dimensions, needs 3 or more",
				  s.rank);
	x = vt_imp_flat_last(m, n->in[0]);
	if (x < 0)
		return x;
	out = *vt_imp_shape(m, x);
	for (int d = 1; d < out.rank - 1; d++)
		out.dim[d] = 1;
	x = vt_imp_to_first(
		m, vt_imp_emit(m, (enum vt_op)n->op->op, &x, 1, vt_imp_dtype(m, x), &out, NULL));
	for (int d = 2; d < s.rank; d++)
		s.dim[d] = 1;
	if (vt_imp_shape(m, x)->rank != s.rank)
		x = vt_imp_reshape(m, x, &s);
	return vt_imp_set(m, n, 0, x);
}
