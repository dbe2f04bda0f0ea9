// SPDX-License-Identifier: Apache-2.0
/*
 * Resize, any rank and any axes. For each dim a list of taps (input index and weight) is made once:
 * one tap for nearest and untouched dims, two for linear, four for cubic. Trailing dims that do not
 * change form the inner row, so that an image in NHWC is a sum of few weighted rows of channels.
 */
#include "kernels/isa.h"
#include "kernels/ops.h"

#include <math.h>
#include <string.h>

struct tap {
	int64_t off; /* elements; -1: outside, extrapolated */
	float weight;
};

struct resize {
	struct vt_plan plan;
	int rank;      /* of the dims before the inner row */
	bool line;     /* the last dim is resized: the inner row is made in two steps */
	int64_t width; /* line: of the input */
	size_t inner, esize;
	float extrapolation;
	int64_t dim[VT_MAX_RANK]; /* of the output */
	int n_taps[VT_MAX_RANK];
	size_t first[VT_MAX_RANK]; /* where the taps of a dim begin */
	struct tap taps[];
};

/* ---- where output index x of a dim lies in the input -------------------------------------- */

static double source(const struct vt_node *n, int d, int64_t x, int64_t in, int64_t out)
{
	double ratio = (double)out / (double)in, scale = (double)n->p.resize.scale[d];
	double start = (double)n->p.resize.roi_start[d], end = (double)n->p.resize.roi_end[d];

	/* a scale that came from sizes was rounded to float on its way */
	if ((float)ratio == n->p.resize.scale[d])
		scale = ratio;
	switch (n->p.resize.coord) {
	case VT_COORD_HALF_PIXEL:
		return ((double)x + 0.5) / scale - 0.5;
	case VT_COORD_PYTORCH_HALF_PIXEL:
		return out > 1 ? ((double)x + 0.5) / scale - 0.5 : 0;
	case VT_COORD_ALIGN_CORNERS: /* the last pixel of in * scale, which need not be whole */
		return out > 1 ? (double)x * (double)(in - 1) / ((double)in * scale - 1) : 0;
	case VT_COORD_TF_HALF_PIXEL_FOR_NN:
		return ((double)x + 0.5) / scale;
	case VT_COORD_TF_CROP_AND_RESIZE:
		if (out == 1)
			return 0.5 * (start + end) * (double)(in - 1);
		return start * (double)(in - 1) +
		       (double)x * (end - start) * (double)(in - 1) / (double)(out - 1);
	case VT_COORD_HALF_PIXEL_SYMMETRIC: /* what rounding the size took off is missing at both ends */
		return (double)in / 2 * (1 - (double)out / ((double)in * scale)) +
		       ((double)x + 0.5) / scale - 0.5;
	default:
		return (double)x / scale;
	}
}

/* Is every index its own source? An odd scale may leave the size as it was, and yet move pixels. */
static bool copies(const struct vt_node *n, int d, int64_t in, int64_t out)
{
	if (n->p.resize.coord == VT_COORD_TF_CROP_AND_RESIZE)
		return in == out && n->p.resize.roi_start[d] == 0 && n->p.resize.roi_end[d] == 1;
	return in == out && n->p.resize.scale[d] == 1;
}

static int64_t clamp(int64_t i, int64_t in)
{
	return i < 0 ? 0 : i >= in ? in - 1 : i;
}

static int64_t nearest(enum vt_resize_near how, double x)
{
	switch (how) {
	case VT_NEAR_ROUND_PREFER_FLOOR:
		return (int64_t)ceil(x - 0.5);
	case VT_NEAR_ROUND_PREFER_CEIL:
		return (int64_t)floor(x + 0.5);
	case VT_NEAR_FLOOR:
		return (int64_t)floor(x);
	default:
		return (int64_t)ceil(x);
	}
}

static void linear_taps(struct tap *t, double x, int64_t in, int64_t step)
{
	double at = x < 0 ? 0 : x > (double)(in - 1) ? (double)(in - 1) : x;
	int64_t i = (int64_t)at;
	float f = (float)(at - (double)i);

	t[0] = (struct tap){i * step, 1 - f};
	t[1] = (struct tap){clamp(i + 1, in) * step, f};
}

/* Keys' kernel of parameter a at distances 1 + f, f, 1 - f, 2 - f. */
static void cubic_taps(struct tap *t, double x, int64_t in, int64_t step, double a, bool exclude)
{
	const int64_t i = (int64_t)floor(x);
	const double f = x - (double)i;
	double w[4], sum = 0;

	for (int k = 0; k < 4; k++) {
		double d = fabs(f + 1 - k);

		w[k] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1
			      : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
		if (exclude && (i + k - 1 < 0 || i + k - 1 >= in))
			w[k] = 0;
		sum += w[k];
	}
	for (int k = 0; k < 4; k++)
		t[k] = (struct tap){clamp(i + k - 1, in) * step,
				    (float)(exclude ? w[k] / sum : w[k])};
}

static void dim_taps(struct resize *p, const struct vt_node *n, int d, int64_t in, int64_t step)
{
	const bool crop = n->p.resize.coord == VT_COORD_TF_CROP_AND_RESIZE;

	for (int64_t i = 0; i < p->dim[d]; i++) {
		struct tap *t = &p->taps[p->first[d] + (size_t)(i * p->n_taps[d])];
		double x = source(n, d, i, in, p->dim[d]);

		if (copies(n, d, in, p->dim[d]))
			x = (double)i;
		if (crop && (x < 0 || x > (double)(in - 1)))
			for (int k = 0; k < p->n_taps[d]; k++)
				t[k] = (struct tap){-1, k ? 0 : 1};
		else if (p->n_taps[d] == 1)
			t[0] = (struct tap){clamp(nearest(n->p.resize.near, x), in) * step, 1};
		else if (p->n_taps[d] == 2)
			linear_taps(t, x, in, step);
		else
			cubic_taps(t, x, in, step, (double)n->p.resize.cubic_a,
				   n->p.resize.exclude_outside);
	}
}

/* ---- running ------------------------------------------------------------------------------ */

/* One row of @n elements from @j: all combinations of the taps of the dims before it. */
static void row(const struct resize *p, char *y, const char *x, size_t index, size_t j, size_t n)
{
	const struct tap *t[VT_MAX_RANK];
	int at[VT_MAX_RANK] = {0}, d;
	bool first = true;

	for (d = p->rank - 1; d >= 0; d--) {
		t[d] = &p->taps[p->first[d] + index % (size_t)p->dim[d] * (size_t)p->n_taps[d]];
		index /= (size_t)p->dim[d];
		if (t[d]->off < 0) {
			for (size_t k = 0; k < n; k++)
				((float *)y)[k] = p->extrapolation;
			return;
		}
	}
	do {
		int64_t off = (int64_t)j;
		float w = 1;

		for (d = 0; d < p->rank; d++) {
			off += t[d][at[d]].off;
			w *= t[d][at[d]].weight;
		}
		if (first && w == 1) { /* weights sum to 1: nothing else counts */
			memcpy(y, x + (size_t)off * p->esize, n * p->esize);
			return;
		}
		if (w != 0 && first)
			vt_vec()->affine((float *)y, (const float *)x + off, n, w, 0);
		else if (w != 0)
			vt_vec()->axpy((float *)y, (const float *)x + off, n, w);
		first &= w == 0;
		for (d = p->rank - 1; d >= 0 && ++at[d] == p->n_taps[d]; d--)
			at[d] = 0;
	} while (d >= 0);
	if (first)
		memset(y, 0, n * p->esize);
}

/* Output elements [j, j + n) of a line, from the summed input line. */
static void along(const struct resize *p, float *y, const float *line, size_t j, size_t n)
{
	const int taps = p->n_taps[p->rank];
	const struct tap *t = &p->taps[p->first[p->rank] + j * (size_t)taps];

	for (size_t k = 0; k < n; k++, t += taps) {
		float sum = 0;

		for (int w = 0; w < taps && t->off >= 0; w++)
			sum += line[t[w].off] * t[w].weight;
		y[k] = t->off < 0 ? p->extrapolation : sum;
	}
}

/* Nearest: elements of any size, moved as they are. */
static void pick_along(const struct resize *p, char *y, const char *line, size_t j, size_t n)
{
	const struct tap *t = &p->taps[p->first[p->rank] + j];

	for (size_t k = 0; k < n; k++)
		if (t[k].off < 0) /* of floats only */
			((float *)y)[k] = p->extrapolation;
		else if (p->esize == sizeof(uint32_t))
			memcpy(y + k * 4, line + t[k].off * 4, 4);
		else
			memcpy(y + k * p->esize, line + (size_t)t[k].off * p->esize, p->esize);
}

static void line_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct resize *p = (const void *)c->plan;
	const size_t out = (size_t)p->dim[p->rank];

	for (size_t r = i; r < i + ni; r++) {
		char *y = (char *)c->out[0] + (r * out + j) * p->esize;

		row(p, vt_scratch(), c->in[0], r, 0, (size_t)p->width);
		if (p->n_taps[p->rank] > 1)
			along(p, (float *)y, vt_scratch(), j, nj);
		else
			pick_along(p, y, vt_scratch(), j, nj);
	}
}

static void task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct resize *p = (const void *)c->plan;

	for (size_t r = i; r < i + ni; r++)
		row(p, (char *)c->out[0] + (r * p->inner + j) * p->esize, c->in[0], r, j, nj);
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	static const int taps_of[] = {
		[VT_RESIZE_NEAREST] = 1, [VT_RESIZE_LINEAR] = 2, [VT_RESIZE_CUBIC] = 4};
	const struct vt_tensor *x = vt_in(g, n, 0), *y = vt_out(g, n, 0);
	const bool crop = n->p.resize.coord == VT_COORD_TF_CROP_AND_RESIZE;
	const int most = taps_of[n->p.resize.mode];
	int64_t stride[VT_MAX_RANK];
	size_t entries = 0;
	struct resize *p;
	int rank = x->shape.rank;

	if ((most > 1 || crop) && x->dtype != VT_F32)
		return -ENOTSUP;
	while (rank && copies(n, rank - 1, x->shape.dim[rank - 1], y->shape.dim[rank - 1]))
		rank--;
	for (int d = 0; d < rank; d++)
		entries += (size_t)y->shape.dim[d] * (size_t)most;
	p = vt_own_alloc(l, n, sizeof(*p) + entries * sizeof(p->taps[0]), 0, e);
	if (!p)
		return -ENOMEM;
	p->line = rank == x->shape.rank && rank;
	p->rank = rank - p->line;
	p->width = p->line ? x->shape.dim[rank - 1] : 1;
	p->inner = vt_dims_count(&x->shape, rank, x->shape.rank);
	p->esize = vt_dtype_bytes(x->dtype);
	p->extrapolation = n->p.resize.extrapolation;
	vt_dense_strides(&x->shape, stride);
	entries = 0;
	for (int d = 0; d < rank; d++) {
		p->dim[d] = y->shape.dim[d];
		p->n_taps[d] = copies(n, d, x->shape.dim[d], p->dim[d]) ? 1 : most;
		p->first[d] = entries;
		entries += (size_t)p->dim[d] * (size_t)p->n_taps[d];
		dim_taps(p, n, d, x->shape.dim[d], stride[d]);
	}
	p->plan.task = p->line ? line_task : task;
	l->scratch_bytes = p->line ? (size_t)p->width * p->esize : 0;
	if (vt_dims_count(&x->shape, 0, x->shape.rank))
		vt_plan_rows(&p->plan, vt_dims_count(&y->shape, 0, p->rank),
			     p->line ? (size_t)p->dim[p->rank] : p->inner, VT_TILE_ELEMS);
	return 0;
}

VT_OWN_KERNEL(resize, create);
