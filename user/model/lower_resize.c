// SPDX-License-Identifier: Apache-2.0
/* Lowerings: sizes of images. */
#include "model/import.h"

#include <math.h>

int vt_lower_depth_space(struct vt_imp *m, const struct vt_imp_node *n)
{
	static const char *const words[] = {"DCR", "CRD", NULL};
	bool deep = n->op->op == VT_OP_SPACE_TO_DEPTH;
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	int64_t b = vt_imp_int(n, "blocksize", 0);
	int mode = vt_imp_word(m, n, "mode", words, 0), x;
	union vt_params p = {.block = {(int)b, mode == 1}};

	if (mode < 0)
		return mode;
	if (s.rank != 4 || b < 1 || b > 1 << 14 ||
	    (deep ? s.dim[2] % b || s.dim[3] % b : s.dim[1] % (b * b)))
		return vt_imp_bad(m, -EINVAL, "blocks of %lld do not fit its input", (long long)b);
	x = vt_imp_to_last(m, n->in[0]);
	s = *vt_imp_shape(m, x);
	for (int d = 1; d < 3; d++)
		s.dim[d] = deep ? s.dim[d] / b : s.dim[d] * b;
	s.dim[3] = deep ? s.dim[3] * b * b : s.dim[3] / (b * b);
	x = vt_imp_emit(m, (enum vt_op)n->op->op, &x, 1, vt_imp_dtype(m, x), &s, &p);
	return vt_imp_set(m, n, 0, vt_imp_to_first(m, x));
}

/* Channels go last where only the image changes size: the kernels like them so. */
static int emit_resize(struct vt_imp *m, const struct vt_imp_node *n, const struct vt_shape *out,
		       union vt_params *p)
{
	const struct vt_shape *in = vt_imp_shape(m, n->in[0]);
	bool image = (in->rank == 3 || in->rank == 4) && in->dim[0] == out->dim[0] &&
		     in->dim[1] == out->dim[1] && p->resize.scale[0] == 1 &&
		     p->resize.scale[1] == 1;
	union vt_params q = *p;
	struct vt_shape s = *out;
	int x = n->in[0];

	if (!image)
		return vt_imp_emit(m, VT_OP_RESIZE, &x, 1, vt_imp_dtype(m, x), out, p);
	for (int d = 1; d < s.rank; d++) {
		int from = d == s.rank - 1 ? 1 : d + 1;

		s.dim[d] = out->dim[from];
		q.resize.scale[d] = p->resize.scale[from];
		q.resize.roi_start[d] = p->resize.roi_start[from];
		q.resize.roi_end[d] = p->resize.roi_end[from];
	}
	x = vt_imp_to_last(m, x);
	return vt_imp_to_first(m, vt_imp_emit(m, VT_OP_RESIZE, &x, 1, vt_imp_dtype(m, x), &s, &q));
}

/** The axes that scales, sizes and roi are of; all, if the node names none. */
struct axes {
	int n, at[VT_MAX_RANK];
};

/* Output size and scales from a list of scales; in float, as ONNX Runtime rounds: 0.9 of 10 is 9. */
static int from_scales(struct vt_imp *m, const struct vt_imp_node *n, const struct axes *a,
		       const double *given, int count, union vt_params *p, struct vt_shape *out)
{
	const struct vt_shape *in = vt_imp_shape(m, n->in[0]);
	double scale[VT_MAX_RANK];
	bool crop = p->resize.coord == VT_COORD_TF_CROP_AND_RESIZE;

	if (count != a->n)
		return vt_imp_bad(m, -EINVAL, "has %d scales for %d dimensions", count, a->n);
	for (int d = 0; d < in->rank; d++)
		scale[d] = 1;
	for (int i = 0; i < count; i++)
		scale[a->at[i]] = given[i];
	for (int d = 0; d < in->rank; d++) {
		float s = (float)scale[d];
		float part = crop ? p->resize.roi_end[d] - p->resize.roi_start[d] : 1;
		float size = floorf((float)in->dim[d] * part * s);

		if (!(s > 0) || !(size >= 0 && size < 0x1p40f))
			return vt_imp_bad(m, -EINVAL, "scale %g of %lld makes no sense", scale[d],
					  (long long)in->dim[d]);
		p->resize.scale[d] = s;
		out->dim[d] = (int64_t)size;
	}
	out->rank = in->rank;
	return 0;
}

enum { STRETCH, NOT_LARGER, NOT_SMALLER };

/* One scale for all of the axes: the sizes given bound what comes out of it. */
static int keep_ratio(struct vt_imp *m, const struct vt_imp_node *n, const struct axes *a,
		      bool larger, union vt_params *p, struct vt_shape *out)
{
	const struct vt_shape *in = vt_imp_shape(m, n->in[0]);
	double scale = 0;

	for (int i = 0; i < a->n; i++) {
		double own = (double)out->dim[a->at[i]] / (double)in->dim[a->at[i]];

		scale = !i || (larger ? own > scale : own < scale) ? own : scale;
	}
	for (int i = 0; i < a->n; i++) {
		double size = floor(scale * (double)in->dim[a->at[i]] + 0.5);

		if (!(size >= 1 && size < 0x1p40))
			return vt_imp_bad(m, -EINVAL, "scale %g of %lld makes no sense", scale,
					  (long long)in->dim[a->at[i]]);
		out->dim[a->at[i]] = (int64_t)size;
		p->resize.scale[a->at[i]] = (float)scale;
	}
	return 0;
}

static int from_sizes(struct vt_imp *m, const struct vt_imp_node *n, const struct axes *a,
		      int operand, union vt_params *p, struct vt_shape *out)
{
	static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
	const struct vt_shape *in;
	int64_t given[VT_MAX_RANK];
	bool crop = p->resize.coord == VT_COORD_TF_CROP_AND_RESIZE;
	int count = vt_imp_values(m, n, operand, given, VT_MAX_RANK);
	int policy = vt_imp_word(m, n, "keep_aspect_ratio_policy", policies, STRETCH);

	if (count < 0 || policy < 0)
		return count < 0 ? count : policy;
	in = vt_imp_shape(m, n->in[0]);
	if (count != a->n)
		return vt_imp_bad(m, -EINVAL, "has %d sizes for %d dimensions", count, a->n);
	*out = *in;
	for (int i = 0; i < count; i++)
		out->dim[a->at[i]] = given[i];
	for (int d = 0; d < in->rank; d++) {
		double part = crop ? (double)p->resize.roi_end[d] - p->resize.roi_start[d] : 1;

		if (out->dim[d] < 1 || in->dim[d] < 1)
			return vt_imp_bad(m, -EINVAL, "size %lld makes no sense",
					  (long long)out->dim[d]);
		p->resize.scale[d] = (float)((double)out->dim[d] / ((double)in->dim[d] * part));
	}
	return policy == STRETCH ? 0 : keep_ratio(m, n, a, policy == NOT_SMALLER, p, out);
}

static int resize_modes(struct vt_imp *m, const struct vt_imp_node *n, union vt_params *p)
{
	static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
	static const char *const coords[] = {
		"half_pixel",		"pytorch_half_pixel", "align_corners",	      "asymmetric",
		"tf_half_pixel_for_nn", "tf_crop_and_resize", "half_pixel_symmetric", NULL};
	static const char *const nears[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
					    "ceil", NULL};
	bool old = m->opset < 11; /* one way only */
	int mode = vt_imp_word(m, n, "mode", modes, VT_RESIZE_NEAREST);
	int coord = vt_imp_word(m, n, "coordinate_transformation_mode", coords,
				old ? VT_COORD_ASYMMETRIC : VT_COORD_HALF_PIXEL);
	int near = vt_imp_word(m, n, "nearest_mode", nears,
			       old ? VT_NEAR_FLOOR : VT_NEAR_ROUND_PREFER_FLOOR);

	if (mode < 0 || coord < 0 || near < 0)
		return mode < 0 ? mode : coord < 0 ? coord : near;
	if (vt_imp_int(n, "antialias", 0))
		return vt_imp_bad(m, -ENOEXEC, "antialias is not supported");
	p->resize.mode = (enum vt_resize_mode)mode;
	p->resize.coord = (enum vt_resize_coord)coord;
	p->resize.near = (enum vt_resize_near)near;
	p->resize.cubic_a = vt_imp_float(n, "cubic_coeff_a", -0.75f);
	p->resize.exclude_outside = vt_imp_int(n, "exclude_outside", 0) != 0;
	p->resize.extrapolation = vt_imp_float(n, "extrapolation_value", 0);
	return 0;
}

/* Of tf_crop_and_resize: all starts, then all ends. */
static int read_roi(struct vt_imp *m, const struct vt_imp_node *n, const struct axes *a,
		    union vt_params *p)
{
	double roi[2 * VT_MAX_RANK];
	int rank = vt_imp_shape(m, n->in[0])->rank, count;

	for (int d = 0; d < rank; d++)
		p->resize.roi_end[d] = 1;
	if (p->resize.coord != VT_COORD_TF_CROP_AND_RESIZE)
		return 0;
	count = vt_imp_numbers(m, n, 1, roi, 2 * VT_MAX_RANK);
	if (count >= 0 && count != 2 * a->n)
		return vt_imp_bad(m, -EINVAL, "has %d values of roi for %d dimensions", count,
				  a->n);
	for (int i = 0; i < a->n && count > 0; i++) {
		p->resize.roi_start[a->at[i]] = (float)roi[i];
		p->resize.roi_end[a->at[i]] = (float)roi[i + a->n];
	}
	return count < 0 ? count : 0;
}

int vt_lower_resize(struct vt_imp *m, const struct vt_imp_node *n)
{
	union vt_params p = {0};
	struct vt_shape out = {0};
	double scale[VT_MAX_RANK];
	int64_t named[VT_MAX_RANK];
	int at = m->opset < 11 ? 1 : 2, count = 0, err = resize_modes(m, n, &p);
	struct axes a;

	a.n = vt_imp_axes(m, named, vt_imp_ints(m, n, "axes", named, VT_MAX_RANK),
			  vt_imp_shape(m, n->in[0])->rank, a.at);
	if (!err && a.n < 0)
		err = a.n;
	if (!err)
		err = m->opset < 11 ? 0 : read_roi(m, n, &a, &p);
	if (!err && vt_imp_is(n, at))
		err = count = vt_imp_numbers(m, n, at, scale, VT_MAX_RANK);
	if (err < 0)
		return err;
	err = count > 0 ? from_scales(m, n, &a, scale, count, &p, &out)
			: from_sizes(m, n, &a, 3, &p, &out);
	return err ? err : vt_imp_set(m, n, 0, emit_resize(m, n, &out, &p));
}

int vt_lower_upsample(struct vt_imp *m, const struct vt_imp_node *n)
{
	static const char *const modes[] = {"nearest", "linear", NULL};
	const Onnx__AttributeProto *scales = vt_imp_attr(n, "scales");
	union vt_params p = {0};
	struct vt_shape out = {0};
	double scale[VT_MAX_RANK];
	int mode = vt_imp_word(m, n, "mode", modes, 0), count, err;
	struct axes a;

	if (mode < 0)
		return mode;
	if (m->opset < 9 && (!scales || scales->n_floats > VT_MAX_RANK))
		return vt_imp_bad(m, -EINVAL, "has no scales");
	count = m->opset < 9 ? (int)scales->n_floats : vt_imp_numbers(m, n, 1, scale, VT_MAX_RANK);
	for (int d = 0; m->opset < 9 && d < count; d++)
		scale[d] = scales->floats[d];
	p.resize.mode = (enum vt_resize_mode)mode;
	p.resize.coord = VT_COORD_ASYMMETRIC;
	p.resize.near = VT_NEAR_FLOOR;
	a.n = vt_imp_axes(m, NULL, -ENODATA, vt_imp_shape(m, n->in[0])->rank, a.at);
	err = count < 0 ? count : from_scales(m, n, &a, scale, count, &p, &out);
	return err ? err : vt_imp_set(m, n, 0, emit_resize(m, n, &out, &p));
}
