// SPDX-License-Identifier: Apache-2.0
/* Lowerings: views and other ways to move data whose amount follows from parameters. */
#include "model/import.h"

#include <string.h>

static int same_shape(struct vt_imp *m, const struct vt_imp_node *n, int rank, const int64_t *dim)
{
	struct vt_shape s = vt_shape_of(rank, dim);

	return vt_imp_set(m, n, 0, vt_imp_reshape(m, n->in[0], &s));
}

int vt_lower_identity(struct vt_imp *m, const struct vt_imp_node *n)
{
	return vt_imp_set(m, n, 0, n->in[0]);
}

/* Inference: the input itself, and a mask of ones for those who ask. */
int vt_lower_dropout(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t training = 0;
	double ratio = 0.5;
	enum vt_dtype mask = m->opset < 10 ? vt_imp_dtype(m, n->in[0]) : VT_BOOL;
	int err = 0;

	if (m->opset >= 12 && vt_imp_is(n, 2))
		err = vt_imp_values(m, n, 2, &training, 1);
	if (err >= 0 && training && vt_imp_is(n, 1))
		err = vt_imp_numbers(m, n, 1, &ratio, 1);
	if (err < 0)
		return err;
	if (training && ratio > 0)
		return vt_imp_bad(m, -ENOEXEC, "training_mode is not supported");
	err = vt_imp_set(m, n, 0, n->in[0]);
	if (err || !vt_imp_wanted(m, n, 1))
		return err;
	return vt_imp_set(m, n, 1,
			  vt_imp_expand(m, vt_imp_scalar(m, mask, 1), vt_imp_shape(m, n->in[0])));
}

int vt_lower_reshape(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *in;
	int64_t dim[VT_MAX_RANK], known = 1, elems;
	bool allowzero = vt_imp_int(n, "allowzero", 0) != 0;
	int rank = vt_imp_either(m, n, 1, "shape", dim, VT_MAX_RANK), open = VT_NONE;

	if (rank < 0)
		return rank == -ENODATA ? vt_imp_bad(m, -EINVAL, "has no shape") : rank;
	in = vt_imp_shape(m, n->in[0]); /* knowing the operand may have moved it */
	elems = vt_shape_elems(in);
	for (int d = 0; d < rank; d++) {
		if (!dim[d] && !allowzero) {
			if (d >= in->rank)
				return vt_imp_bad(m, -EINVAL, "dimension %d has nothing to copy",
						  d);
			dim[d] = in->dim[d];
		}
		if (dim[d] == -1 && open == VT_NONE)
			open = d;
		else if (dim[d] < 0 || __builtin_mul_overflow(known, dim[d], &known))
			return vt_imp_bad(m, -EINVAL, "its shape has dimension %lld",
					  (long long)dim[d]);
	}
	if (open >= 0) {
		if (known ? elems % known : elems)
			return vt_imp_bad(m, -EINVAL, "%lld elements do not divide by %lld",
					  (long long)elems, (long long)known);
		dim[open] = known ? elems / known : 0;
	}
	return same_shape(m, n, rank, dim);
}

int vt_lower_flatten(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *in = vt_imp_shape(m, n->in[0]);
	int64_t axis = vt_imp_int(n, "axis", 1), dim[2] = {1, 1};

	if (axis < 0)
		axis += in->rank;
	if (axis < 0 || axis > in->rank)
		return vt_imp_bad(m, -EINVAL, "axis does not fit %d dimensions", in->rank);
	for (int d = 0; d < in->rank; d++)
		dim[d >= axis] *= in->dim[d];
	return same_shape(m, n, 2, dim);
}

/* A list of axes as bits; 0 bits if there is none. */
static int axis_bits(struct vt_imp *m, const struct vt_imp_node *n, int extra, uint32_t *ret)
{
	int64_t v[VT_MAX_RANK];
	int count = vt_imp_either(m, n, 1, "axes", v, VT_MAX_RANK), rank;

	*ret = 0;
	if (count < 0)
		return count == -ENODATA ? 0 : count;
	rank = vt_imp_shape(m, n->in[0])->rank + (extra ? count : 0);
	if (rank > VT_MAX_RANK)
		return vt_imp_bad(m, -ENOEXEC, "makes %d dimensions, at most %d are supported",
				  rank, VT_MAX_RANK);
	for (int i = 0; i < count; i++) {
		int axis = vt_imp_axis(m, v[i], rank);

		if (axis < 0)
			return axis;
		if (*ret >> axis & 1)
			return vt_imp_bad(m, -EINVAL, "axis %d is named twice", axis);
		*ret |= 1u << axis;
	}
	return 0;
}

int vt_lower_squeeze(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *in;
	struct vt_shape s = {0};
	uint32_t axes;
	int err = axis_bits(m, n, 0, &axes);

	if (err)
		return err;
	in = vt_imp_shape(m, n->in[0]);
	for (int d = 0; d < in->rank; d++) {
		bool gone = axes ? axes >> d & 1 : in->dim[d] == 1;

		if (!gone)
			s.dim[s.rank++] = in->dim[d];
		else if (in->dim[d] != 1)
			return vt_imp_bad(m, -EINVAL, "dimension %d is %lld, not 1", d,
					  (long long)in->dim[d]);
	}
	return vt_imp_set(m, n, 0, vt_imp_reshape(m, n->in[0], &s));
}

int vt_lower_unsqueeze(struct vt_imp *m, const struct vt_imp_node *n)
{
	const struct vt_shape *in;
	struct vt_shape s = {0};
	uint32_t axes;
	int err = axis_bits(m, n, 1, &axes), from = 0;

	if (err)
		return err;
	in = vt_imp_shape(m, n->in[0]);
	s.rank = in->rank + __builtin_popcount(axes);
	for (int d = 0; d < s.rank; d++)
		s.dim[d] = axes >> d & 1 ? 1 : in->dim[from++];
	return vt_imp_set(m, n, 0, vt_imp_reshape(m, n->in[0], &s));
}

int vt_lower_transpose(struct vt_imp *m, const struct vt_imp_node *n)
{
	int rank = vt_imp_shape(m, n->in[0])->rank, perm[VT_MAX_RANK];
	int64_t v[VT_MAX_RANK];
	int count = vt_imp_ints(m, n, "perm", v, VT_MAX_RANK);
	uint32_t seen = 0;

	if (count < 0 && count != -ENODATA)
		return count;
	if (count >= 0 && count != rank)
		return vt_imp_bad(m, -EINVAL, "perm has %d axes for %d dimensions", count, rank);
	for (int d = 0; d < rank; d++) {
		perm[d] = count < 0 ? rank - 1 - d : vt_imp_axis(m, v[d], rank);
		if (perm[d] < 0)
			return perm[d];
		seen |= 1u << perm[d];
	}
	if (seen != (1u << rank) - 1)
		return vt_imp_bad(m, -EINVAL, "perm is not a permutation");
	return vt_imp_set(m, n, 0, vt_imp_transpose(m, n->in[0], perm));
}

int vt_lower_concat(struct vt_imp *m, const struct vt_imp_node *n)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	union vt_params p = {0};
	char a[160], b[160];

	if (m->opset >= 4 && !vt_imp_attr(n, "axis"))
		return vt_imp_bad(m, -EINVAL, "has no axis");
	p.axis = vt_imp_axis(m, vt_imp_int(n, "axis", 1), s.rank);
	if (p.axis < 0)
		return p.axis;
	for (int i = 1; i < n->n_in; i++) {
		const struct vt_shape *o = vt_imp_shape(m, n->in[i]);

		if (n->in[i] < 0 || vt_imp_dtype(m, n->in[i]) != vt_imp_dtype(m, n->in[0]))
			return vt_imp_bad(m, -EINVAL, "operand %d is missing or of another type",
					  i);
		for (int d = 0; d < s.rank || o->rank != s.rank; d++)
			if (o->rank != s.rank || (d != p.axis && o->dim[d] != s.dim[d]))
				return vt_imp_bad(m, -EINVAL,
						  "shapes %s and %s do not join at axis %d",
						  vt_shape_text(&s, a, sizeof(a)),
						  vt_shape_text(o, b, sizeof(b)), p.axis);
		if (__builtin_add_overflow(s.dim[p.axis], o->dim[p.axis], &s.dim[p.axis]))
			return vt_imp_bad(m, -EOVERFLOW, "its axis overflows");
	}
	if (n->n_in == 1)
		return vt_imp_set(m, n, 0, n->in[0]);
	return vt_imp_set(
		m, n, 0,
		vt_imp_emit(m, VT_OP_CONCAT, n->in, n->n_in, vt_imp_dtype(m, n->in[0]), &s, &p));
}

int vt_lower_split(struct vt_imp *m, const struct vt_imp_node *n)
{
	enum { MAX = 1024 };
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	struct vt_imp_out outs[MAX];
	int64_t size[MAX], sum = 0, part;
	union vt_params p = {0};
	int t[MAX], count, err;

	p.axis = vt_imp_axis(m, vt_imp_int(n, "axis", 0), s.rank);
	if (p.axis < 0)
		return p.axis;
	if (n->n_out > MAX)
		return vt_imp_bad(m, -ENOEXEC, "has %d results, at most %d are supported", n->n_out,
				  MAX);
	if (vt_imp_int(n, "num_outputs", n->n_out) != n->n_out)
		return vt_imp_bad(m, -EINVAL, "has %d results and num_outputs %lld", n->n_out,
				  (long long)vt_imp_int(n, "num_outputs", 0));
	count = vt_imp_either(m, n, 1, "split", size, MAX);
	if (count < 0 && count != -ENODATA)
		return count;
	part = (s.dim[p.axis] + n->n_out - 1) / n->n_out;
	if (count >= 0 ? count != n->n_out : m->opset < 18 && s.dim[p.axis] % n->n_out)
		return vt_imp_bad(m, -EINVAL, "cannot split %lld in %d", (long long)s.dim[p.axis],
				  n->n_out);
	for (int i = 0; i < n->n_out; i++) {
		if (count < 0) /* the last may be smaller, since opset 18 */
			size[i] = i < n->n_out - 1 ? part : s.dim[p.axis] - sum;
		if (size[i] < 0 || __builtin_add_overflow(sum, size[i], &sum))
			return vt_imp_bad(m, -EINVAL, "part %d has size %lld", i,
					  (long long)size[i]);
		outs[i] = (struct vt_imp_out){vt_imp_dtype(m, n->in[0]), s};
		outs[i].shape.dim[p.axis] = size[i];
	}
	if (sum != s.dim[p.axis])
		return vt_imp_bad(m, -EINVAL, "its parts sum to %lld, the axis has %lld",
				  (long long)sum, (long long)s.dim[p.axis]);
	if (n->n_out == 1)
		return vt_imp_set(m, n, 0, n->in[0]);
	err = vt_imp_emit_n(m, VT_OP_SPLIT, n->in, 1, outs, n->n_out, &p, t);
	for (int i = 0; !err && i < n->n_out; i++)
		err = vt_imp_set(m, n, i, t[i]);
	return err;
}

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* One axis of Slice with numpy's rules; fills start and count. */
static void slice_axis(int64_t dim, int64_t begin, int64_t end, int64_t step, int64_t *start,
		       int64_t *count)
{
	uint64_t stride = step > 0 ? (uint64_t)step : -(uint64_t)step;
	int64_t span;

	begin = begin < 0 ? begin + dim : begin;
	end = end < 0 ? end + dim : end;
	begin = clamp(begin, 0, step > 0 ? dim : dim - 1);
	end = clamp(end, step > 0 ? 0 : -1, dim);
	span = step > 0 ? end - begin : begin - end;
	*count = span <= 0 || !dim ? 0 : (int64_t)(((uint64_t)span - 1) / stride) + 1;
	*start = *count ? begin : 0;
}

int vt_lower_slice(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t v[4][VT_MAX_RANK];
	static const char *const names[] = {"starts", "ends", "axes", "steps"};
	int count[4];
	struct vt_shape s;
	union vt_params p = {0};
	uint32_t seen = 0;

	for (int i = 0; i < 4; i++) {
		count[i] = m->opset < 10	 ? vt_imp_ints(m, n, names[i], v[i], VT_MAX_RANK)
			   : vt_imp_is(n, i + 1) ? vt_imp_values(m, n, i + 1, v[i], VT_MAX_RANK)
						 : -ENODATA;
		if (count[i] < 0 && (count[i] != -ENODATA || i < 2))
			return count[i] == -ENODATA ? vt_imp_bad(m, -EINVAL, "has no %s", names[i])
						    : count[i];
		if (count[i] >= 0 && count[i] != count[0])
			return vt_imp_bad(m, -EINVAL, "has %d starts and %d %s", count[0], count[i],
					  names[i]);
	}
	s = *vt_imp_shape(m, n->in[0]);
	for (int d = 0; d < s.rank; d++)
		p.slice.step[d] = 1;
	for (int i = 0; i < count[0]; i++) {
		int axis = vt_imp_axis(m, count[2] < 0 ? i : v[2][i], s.rank);
		int64_t step = count[3] < 0 ? 1 : v[3][i];

		if (axis < 0)
			return axis;
		if (!step || seen >> axis & 1)
			return vt_imp_bad(m, -EINVAL, "axis %d has step 0 or comes twice", axis);
		seen |= 1u << axis;
		slice_axis(s.dim[axis], v[0][i], v[1][i], step, &p.slice.start[axis], &s.dim[axis]);
		p.slice.step[axis] = s.dim[axis] > 1 ? step : 1;
	}
	return vt_imp_set(m, n, 0,
			  vt_imp_emit(m, VT_OP_SLICE, n->in, 1, vt_imp_dtype(m, n->in[0]), &s, &p));
}

/* Amounts before and after each dim, from wherever this opset keeps them. */
static int pad_amounts(struct vt_imp *m, const struct vt_imp_node *n, int rank, int64_t *v)
{
	int64_t named[VT_MAX_RANK], given[2 * VT_MAX_RANK];
	int count = m->opset >= 11 ? vt_imp_values(m, n, 1, given, 2 * VT_MAX_RANK)
				   : vt_imp_ints(m, n, m->opset < 2 ? "paddings" : "pads", given,
						 2 * VT_MAX_RANK);
	int axis[VT_MAX_RANK],
		axes = vt_imp_is(n, 3) ? vt_imp_values(m, n, 3, named, VT_MAX_RANK) : -ENODATA;

	axes = vt_imp_axes(m, named, axes, rank, axis);
	if (axes < 0)
		return axes;
	if (count == -ENODATA || (count >= 0 && count != 2 * axes))
		return vt_imp_bad(m, -EINVAL, "has %d pads for %d dimensions",
				  count < 0 ? 0 : count, axes);
	memset(v, 0, 2 * (size_t)rank * sizeof(*v));
	for (int i = 0; i < axes && count > 0; i++) {
		v[axis[i]] = given[i];
		v[axis[i] + rank] = given[i + axes];
	}
	return count < 0 ? count : 0;
}

/* What is lost of @v in the double nearest to it. */
static int64_t beyond(int64_t v, double rounded)
{
	return rounded < 0x1p63 ? v - (int64_t)rounded : v - INT64_MAX;
}

int vt_lower_pad(struct vt_imp *m, const struct vt_imp_node *n)
{
	static const char *const words[] = {"constant", "reflect", "edge", "wrap", NULL};
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);
	int64_t v[2 * VT_MAX_RANK];
	union vt_params p = {0};
	int mode = vt_imp_word(m, n, "mode", words, 0);
	int err = mode < 0 ? mode : pad_amounts(m, n, s.rank, v);

	if (err)
		return err;
	p.pad.mode = (enum vt_pad_mode)mode;
	p.pad.value = vt_imp_float(n, "value", 0);
	if (m->opset >= 11 && vt_imp_is(n, 2)) {
		err = vt_imp_numbers(m, n, 2, &p.pad.value, 1);
		if (err < 0)
			return err;
		if (err && vt_imp_dtype(m, n->in[2]) == VT_I64)
			p.pad.rest =
				beyond(vt_imp_get_int(&m->g->tensors[n->in[2]], 0), p.pad.value);
	}
	for (int d = 0; d < s.rank; d++) {
		int64_t before = p.pad.before[d] = v[d], after = p.pad.after[d] = v[d + s.rank];
		int64_t most = mode == VT_PAD_REFLECT && s.dim[d] ? s.dim[d] - 1 : INT64_MAX;

		if (before > most || after > most ||
		    (mode && !s.dim[d] && (before > 0 || after > 0)))
			return vt_imp_bad(m, -EINVAL,
					  "pads more of dimension %d than there is to copy", d);
		if (__builtin_add_overflow(before, after, &before) ||
		    __builtin_add_overflow(s.dim[d], before, &s.dim[d]) || s.dim[d] < 0)
			return vt_imp_bad(m, -EINVAL, "pads of dimension %d make no sense", d);
	}
	return vt_imp_set(m, n, 0,
			  vt_imp_emit(m, VT_OP_PAD, n->in, 1, vt_imp_dtype(m, n->in[0]), &s, &p));
}

int vt_lower_expand(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t dim[VT_MAX_RANK];
	int rank = vt_imp_values(m, n, 1, dim, VT_MAX_RANK);
	struct vt_shape want, s;

	if (rank < 0)
		return rank;
	want = vt_shape_of(rank, dim);
	if (vt_shape_broadcast(vt_imp_shape(m, n->in[0]), &want, &s))
		return vt_imp_bad(m, -EINVAL, "its operand does not broadcast to the given shape");
	return vt_imp_set(m, n, 0, vt_imp_expand(m, n->in[0], &s));
}

static int emit_tile(struct vt_imp *m, const struct vt_imp_node *n, const int64_t *times, int rank)
{
	struct vt_shape s = *vt_imp_shape(m, n->in[0]);

	if (rank != s.rank)
		return vt_imp_bad(m, -EINVAL, "has %d repeats for %d dimensions", rank, s.rank);
	for (int d = 0; d < rank; d++)
		if (times[d] < 0 || __builtin_mul_overflow(s.dim[d], times[d], &s.dim[d]))
			return vt_imp_bad(m, -EOVERFLOW, "repeats dimension %d %lld times", d,
					  (long long)times[d]);
	return vt_imp_set(
		m, n, 0, vt_imp_emit(m, VT_OP_TILE, n->in, 1, vt_imp_dtype(m, n->in[0]), &s, NULL));
}

int vt_lower_tile(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t v[VT_MAX_RANK];
	int rank = vt_imp_values(m, n, 1, v, VT_MAX_RANK);

	return rank < 0 ? rank : emit_tile(m, n, v, rank);
}

/* Opset 1 named one axis and how often. */
int vt_lower_tile_axis(struct vt_imp *m, const struct vt_imp_node *n)
{
	int64_t times[VT_MAX_RANK], count, at;
	int rank = vt_imp_shape(m, n->in[0])->rank, axis, err = vt_imp_values(m, n, 1, &count, 1);

	if (err == 1)
		err = vt_imp_values(m, n, 2, &at, 1);
	if (err != 1)
		return err < 0 ? err : vt_imp_bad(m, -EINVAL, "its operands are empty");
	axis = vt_imp_axis(m, at, rank);
	for (int d = 0; d < rank; d++)
		times[d] = d == axis ? count : 1;
	return axis < 0 ? axis : emit_tile(m, n, times, rank);
}

int vt_lower_trilu(struct vt_imp *m, const struct vt_imp_node *n)
{
	union vt_params p = {.trilu = {vt_imp_int(n, "upper", 1) != 0, 0}};
	int err = vt_imp_is(n, 1) ? vt_imp_values(m, n, 1, &p.trilu.k, 1) : 0;

	if (err < 0)
		return err;
	if (vt_imp_shape(m, n->in[0])->rank < 2)
		return vt_imp_bad(m, -EINVAL, "needs a matrix");
	return vt_imp_set(m, n, 0,
			  vt_imp_emit(m, VT_OP_TRILU, n->in, 1, vt_imp_dtype(m, n->in[0]),
				      vt_imp_shape(m, n->in[0]), &p));
}
