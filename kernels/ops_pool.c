// SPDX-License-Identifier: Apache-2.0
/*
 * MaxPool and AveragePool on NHWC and NLC: dilation, any padding, the extra end padding of
 * ceil_mode, and inputs or outputs whose pixels lie further apart than their channels (slices of a
 * Concat). Each output pixel is the combination of whole rows of channels.
 */
#include "kernels/isa.h"
#include "kernels/ops.h"

#include <string.h>

typedef void max_fn(void *acc, const void *x, size_t n);

struct pool {
	struct vt_plan plan;
	int h, w, oh, ow, kh, kw, sh, sw, dh, dw, pt, pl, pb, pr;
	size_t c, esize, in_step, out_step; /* channels; bytes from pixel to pixel */
	bool average, count_pad;
	max_fn *max; /* of other types than f32 */
};

#define MAX_ROW(name, T)                                                                           \
	static void name(void *acc, const void *x, size_t n)                                       \
	{                                                                                          \
		T *y = acc;                                                                        \
		const T *v = x;                                                                    \
                                                                                                   \
		for (size_t i = 0; i < n; i++)                                                     \
			y[i] = v[i] > y[i] || v[i] != v[i] ? v[i] : y[i];                          \
	}
MAX_ROW(max_f64, double)
MAX_ROW(max_i8, int8_t)
MAX_ROW(max_u8, uint8_t)

static void max_f32(void *acc, const void *x, size_t n)
{
	vt_vec()->accum[VT_FOLD_MAX](acc, x, n);
}

static max_fn *const max_fns[VT_DT_COUNT] = {
	[VT_F32] = max_f32, [VT_F64] = max_f64, [VT_I8] = max_i8, [VT_U8] = max_u8};

/* Taps k of a window at @start that lie in [from, to): [*first, *end). */
static void taps(int start, int dilation, int kernel, int from, int to, int *first, int *end)
{
	*first = start >= from ? 0 : (from - start + dilation - 1) / dilation;
	*end = start >= to ? 0 : (to - start + dilation - 1) / dilation;
	*end = *end > kernel ? kernel : *end;
	*first = *first > *end ? *end : *first;
}

static int span(int start, int dilation, int kernel, int from, int to)
{
	int first, end;

	taps(start, dilation, kernel, from, to, &first, &end);
	return end - first;
}

static void pixel(const struct pool *p, char *y, const char *image, int y0, int x0)
{
	int k0, k1, l0, l1, count;
	bool any = false;

	taps(y0, p->dh, p->kh, 0, p->h, &k0, &k1);
	taps(x0, p->dw, p->kw, 0, p->w, &l0, &l1);
	for (int k = k0; k < k1; k++)
		for (int l = l0; l < l1; l++) {
			size_t at =
				(size_t)(y0 + k * p->dh) * (size_t)p->w + (size_t)(x0 + l * p->dw);
			const char *x = image + at * p->in_step;

			if (!any)
				memcpy(y, x, p->c * p->esize);
			else if (p->average)
				vt_vec()->accum[VT_FOLD_SUM]((float *)y, (const float *)x, p->c);
			else
				p->max(y, x, p->c);
			any = true;
		}
	if (!any) /* a window of padding only */
		memset(y, 0, p->c * p->esize);
	if (!p->average)
		return;
	count = (k1 - k0) * (l1 - l0);
	if (p->count_pad)
		count = span(y0, p->dh, p->kh, -p->pt, p->h + p->pb) *
			span(x0, p->dw, p->kw, -p->pl, p->w + p->pr);
	vt_vec()->affine((float *)y, (float *)y, p->c, count ? 1.0f / (float)count : 0, 0);
}

/* Rows of output pixels i, columns j. */
static void task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct pool *p = (const void *)c->plan;

	for (size_t r = i; r < i + ni; r++) {
		const size_t image = r / (size_t)p->oh * (size_t)p->h * (size_t)p->w * p->in_step;
		char *y = (char *)c->out[0] + (r * (size_t)p->ow + j) * p->out_step;

		for (size_t k = j; k < j + nj; k++, y += p->out_step)
			pixel(p, y, (const char *)c->in[0] + image,
			      (int)(r % (size_t)p->oh) * p->sh - p->pt, (int)k * p->sw - p->pl);
	}
}

static void geometry(struct pool *p, const struct vt_tensor *x, const struct vt_tensor *y,
		     const struct vt_node *n)
{
	const int last = x->shape.rank - 1;

	p->h = last == 3 ? (int)x->shape.dim[1] : 1;
	p->w = (int)x->shape.dim[last - 1];
	p->oh = last == 3 ? (int)y->shape.dim[1] : 1;
	p->ow = (int)y->shape.dim[last - 1];
	p->kh = n->p.pool.kh;
	p->kw = n->p.pool.kw;
	p->sh = n->p.pool.sh;
	p->sw = n->p.pool.sw;
	p->dh = n->p.pool.dh > 0 ? n->p.pool.dh : 1;
	p->dw = n->p.pool.dw > 0 ? n->p.pool.dw : 1;
	p->pt = n->p.pool.pt;
	p->pl = n->p.pool.pl;
	p->pb = n->p.pool.pb;
	p->pr = n->p.pool.pr;
	p->c = (size_t)x->shape.dim[last];
	p->esize = vt_dtype_bytes(x->dtype);
	p->in_step = (x->row_stride ? (size_t)x->row_stride : p->c) * p->esize;
	p->out_step = (y->row_stride ? (size_t)y->row_stride : p->c) * p->esize;
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *y = vt_out(g, n, 0);
	const bool average = n->op == VT_OP_AVGPOOL2D;
	struct pool *p;

	if ((x->shape.rank != 3 && x->shape.rank != 4) || n->n_out != 1 || !max_fns[x->dtype] ||
	    (average && x->dtype != VT_F32))
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->average = average;
	p->count_pad = n->p.pool.count_include_pad;
	p->max = max_fns[x->dtype];
	geometry(p, x, y, n);
	p->plan.task = task;
	vt_plan_rows(&p->plan, (size_t)y->shape.dim[0] * (size_t)p->oh, (size_t)p->ow,
		     VT_TILE_ELEMS / (p->c * (size_t)p->kh * (size_t)p->kw + 1) + 1);
	return 0;
}

VT_OWN_KERNEL(pool, create);
