// SPDX-License-Identifier: Apache-2.0
/* Lowerings: convolutions, in one to three spatial axes. */
#include "model/lower_window.h"

#define MAX_DEPTH 64 /* kernel depth of a 3-D convolution, each a 2-D convolution of its own */

/* XNNPACK packs weights; a graph input's value is better taken now, if the user gave it. */
static void prefer_const(struct vt_imp *m, const struct vt_imp_node *n, int from)
{
	for (int i = from; i < n->n_in; i++)
		vt_imp_try_const(m, n->in[i]);
}

static int read_operands(struct vt_imp *m, const struct vt_imp_node *n, struct vt_window *w)
{
	const struct vt_shape *x = vt_imp_shape(m, n->in[0]), *k = vt_imp_shape(m, n->in[1]);

	if (vt_imp_one_type(m, n, 3))
		return -EINVAL;
	prefer_const(m, n, 1);
	if (x->rank < 3 || x->rank > 2 + VT_MAX_SPATIAL)
		return vt_imp_bad(m, x->rank < 3 ? -EINVAL : -ENOEXEC,
				  "its input has %d dimensions, 3 to 5 are supported", x->rank);
	if (k->rank != x->rank)
		return vt_imp_bad(m, -EINVAL, "its weight has %d dimensions, its input %d", k->rank,
				  x->rank);
	w->n = x->rank - 2;
	for (int i = 0; i < w->n; i++) {
		w->in[i] = x->dim[2 + i];
		w->kernel[i] = k->dim[2 + i];
	}
	if (vt_window_read(m, n, w))
		return -EINVAL;
	for (int i = 0; i < w->n; i++)
		if (w->kernel[i] != k->dim[2 + i])
			return vt_imp_bad(m, -EINVAL, "kernel_shape differs from its weight's");
	return 0;
}

/* Channels, groups and bias of Conv (@in_dim 1) or ConvTranspose (@in_dim 0). */
static int check_channels(struct vt_imp *m, const struct vt_imp_node *n, int64_t groups,
			  bool transposed, int64_t *out)
{
	const struct vt_shape *x = vt_imp_shape(m, n->in[0]), *k = vt_imp_shape(m, n->in[1]);
	int64_t c = x->dim[1];

	if (groups < 1 || groups > INT32_MAX || c < 1 || c % groups || k->dim[0] < 1 ||
	    k->dim[1] < 1 || (!transposed && k->dim[0] % groups) ||
	    (transposed ? k->dim[0] != c : k->dim[1] != c / groups))
		return vt_imp_bad(
			m, -EINVAL,
			"%lld channels in %lld groups do not fit its weight of %lld x %lld",
			(long long)c, (long long)groups, (long long)k->dim[0],
			(long long)k->dim[1]);
	*out = transposed ? k->dim[1] * groups : k->dim[0];
	if (vt_imp_is(n, 2) &&
	    (vt_imp_shape(m, n->in[2])->rank != 1 || vt_imp_shape(m, n->in[2])->dim[0] != *out))
		return vt_imp_bad(m, -EINVAL, "its bias does not have %lld values",
				  (long long)*out);
	return 0;
}

/* Axes @i0 and @i0 + 1 of the window as p.conv; one spatial axis is a width. */
static union vt_params conv_params(const struct vt_window *w, int64_t groups)
{
	union vt_params p = {.conv = {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, (int)groups, 0, 0}};
	int x = w->n - 1, y = w->n - 2;

	p.conv.kw = (int)w->kernel[x];
	p.conv.sw = (int)w->stride[x];
	p.conv.dw = (int)w->dilation[x];
	p.conv.pl = (int)w->begin[x];
	p.conv.pr = (int)w->end[x];
	if (y >= 0) {
		p.conv.kh = (int)w->kernel[y];
		p.conv.sh = (int)w->stride[y];
		p.conv.dh = (int)w->dilation[y];
		p.conv.pt = (int)w->begin[y];
		p.conv.pb = (int)w->end[y];
	}
	return p;
}

/* [M,C,k] to [M,C,1,k]; larger ones stay. */
static int flat_weight(struct vt_imp *m, int weight)
{
	struct vt_shape s = *vt_imp_shape(m, weight);

	if (s.rank != 3)
		return weight;
	s = (struct vt_shape){4, {s.dim[0], s.dim[1], 1, s.dim[2]}};
	return vt_imp_reshape(m, weight, &s);
}

static int emit_conv(struct vt_imp *m, enum vt_op op, int x, int weight, int bias,
		     const struct vt_shape *out, const union vt_params *p)
{
	int in[3] = {x, weight, bias};

	return vt_imp_emit(m, op, in, bias == VT_NONE ? 2 : 3, vt_imp_dtype(m, x), out, p);
}

/* Kernel plane @z of a weight [M,C,kd,kh,kw]. */
static int plane(struct vt_imp *m, int weight, int64_t z)
{
	struct vt_shape s = *vt_imp_shape(m, weight);
	struct vt_shape flat = {4, {s.dim[0], s.dim[1], s.dim[3], s.dim[4]}};

	return vt_imp_reshape(m, vt_imp_slice(m, weight, 2, z, 1, 1), &flat);
}

/*
 * out[d] = sum over z of conv2d(in[d * stride + z * dilation - begin], weight[z]): each plane of
 * the kernel is a 2-D convolution over all depths at once, which stand in for the batch.
 */
static int conv3d(struct vt_imp *m, const struct vt_imp_node *n, struct vt_window *w, int x,
		  int64_t groups, int64_t channels)
{
	struct vt_shape s = *vt_imp_shape(m, x);
	struct vt_shape planes = {4, {s.dim[0] * w->out[0], s.dim[2], s.dim[3], s.dim[4]}};
	struct vt_shape out = {4, {planes.dim[0], w->out[1], w->out[2], channels}};
	struct vt_shape whole = {5, {s.dim[0], w->out[0], w->out[1], w->out[2], channels}};
	union vt_params p = {0}, conv = conv_params(w, groups);
	int sum = VT_NONE;

	if (w->kernel[0] > MAX_DEPTH)
		return vt_imp_bad(m, -ENOEXEC, "a kernel %lld deep is not supported",
				  (long long)w->kernel[0]);
	p.pad.before[1] = w->begin[0];
	p.pad.after[1] = w->end[0];
	s.dim[1] += w->begin[0] + w->end[0];
	if (w->begin[0] || w->end[0])
		x = vt_imp_emit(m, VT_OP_PAD, &x, 1, vt_imp_dtype(m, x), &s, &p);
	for (int64_t z = 0; z < w->kernel[0]; z++) {
		int part = vt_imp_slice(m, x, 1, z * w->dilation[0], w->out[0], w->stride[0]);

		part = vt_imp_reshape(m, part, &planes);
		part = emit_conv(m, VT_OP_CONV2D, part, plane(m, n->in[1], z),
				 z || !vt_imp_is(n, 2) ? VT_NONE : n->in[2], &out, &conv);
		sum = z ? vt_imp_binary(m, VT_OP_ADD, sum, part) : part;
		if (sum < 0)
			return sum;
	}
	return vt_imp_reshape(m, sum, &whole);
}

int vt_lower_conv(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_window w = {0};
	int64_t groups = vt_imp_int(n, "group", 1), channels;
	union vt_params p;
	struct vt_shape out;
	int err = read_operands(m, n, &w), x;

	if (!err)
		err = check_channels(m, n, groups, false, &channels);
	if (!err)
		err = vt_window_slide(m, n, &w);
	if (err)
		return err;
	x = vt_imp_to_last(m, n->in[0]);
	if (x < 0)
		return x;
	if (w.n == 3)
		return vt_imp_set(m, n, 0,
				  vt_imp_to_first(m, conv3d(m, n, &w, x, groups, channels)));
	p = conv_params(&w, groups);
	out = (struct vt_shape){w.n + 2, {vt_imp_shape(m, x)->dim[0], w.out[0], w.out[1]}};
	out.dim[w.n + 1] = channels;
	x = emit_conv(m, VT_OP_CONV2D, x, flat_weight(m, n->in[1]),
		      vt_imp_is(n, 2) ? n->in[2] : VT_NONE, &out, &p);
	return vt_imp_set(m, n, 0, vt_imp_to_first(m, x));
}

int vt_lower_conv_transpose(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_window w = {0};
	int64_t groups = vt_imp_int(n, "group", 1), channels, adj[VT_MAX_SPATIAL] = {0};
	union vt_params p;
	struct vt_shape out;
	int err = read_operands(m, n, &w), x;

	if (!err && w.n > 2)
		err = vt_imp_bad(m, -ENOEXEC, "in three spatial axes is not supported");
	if (!err)
		err = check_channels(m, n, groups, true, &channels);
	if (!err)
		err = vt_window_spread(m, n, &w, adj);
	if (err)
		return err;
	p = conv_params(&w, groups);
	p.conv.adj_w = (int)adj[w.n - 1];
	p.conv.adj_h = w.n > 1 ? (int)adj[w.n - 2] : 0;
	x = vt_imp_to_last(m, n->in[0]);
	out = (struct vt_shape){w.n + 2, {vt_imp_shape(m, x)->dim[0], w.out[0], w.out[1]}};
	out.dim[w.n + 1] = channels;
	x = emit_conv(m, VT_OP_DECONV2D, x, flat_weight(m, n->in[1]),
		      vt_imp_is(n, 2) ? n->in[2] : VT_NONE, &out, &p);
	return vt_imp_set(m, n, 0, vt_imp_to_first(m, x));
}
