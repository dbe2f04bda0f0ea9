// SPDX-License-Identifier: Apache-2.0
/*
 * Conv and ConvTranspose on NHWC and NLC by their definition: groups, dilation, any padding,
 * epilogue, pixels further apart than their channels. What XNNPACK refuses, and what the tests
 * compare it with.
 */
#include "kernels/act.h"
#include "kernels/ops.h"

struct conv {
	struct vt_plan plan;
	int h, w, oh, ow, kh, kw, sh, sw, dh, dw, pt, pl;
	size_t c, m, cg, mg;	  /* channels in, out; of a group */
	size_t in_step, out_step; /* elements from pixel to pixel */
	struct vt_epilogue epi;
	bool bias, transposed;
};

/*
 * Along one dim, the input index that tap k brings to output index o, or -1. Conv: o s - p + k d.
 * ConvTranspose the other way round: o = i s - p + k d for a whole i.
 */
static int input_index(const struct conv *p, int o, int k, int stride, int pad, int dilation,
		       int size)
{
	int i = p->transposed ? o + pad - k * dilation : o * stride - pad + k * dilation;

	if (p->transposed) {
		if (i < 0 || i % stride)
			return -1;
		i /= stride;
	}
	return i < size ? i : -1;
}

/* Channel m of an output pixel. Weights: [M, C/g, kh, kw], transposed [C, M/g, kh, kw]. */
static float pixel(const struct conv *p, const float *image, const float *weight, int oy, int ox,
		   size_t m, double sum)
{
	const size_t group = m / p->mg, taps = (size_t)p->kh * (size_t)p->kw;
	/* from one input channel to the next, and the first one's weights */
	const size_t step = p->transposed ? p->mg * taps : taps;
	const float *w = weight + (p->transposed ? (group * p->cg * p->mg + m % p->mg) * taps
						 : m * p->cg * taps);

	for (int k = 0; k < p->kh; k++) {
		int y = input_index(p, oy, k, p->sh, p->pt, p->dh, p->h);

		for (int l = 0; l < p->kw && y >= 0; l++) {
			int x = input_index(p, ox, l, p->sw, p->pl, p->dw, p->w);
			const float *in, *tap = w + k * p->kw + l;

			if (x < 0)
				continue;
			in = image + ((size_t)y * (size_t)p->w + (size_t)x) * p->in_step +
			     group * p->cg;
			for (size_t c = 0; c < p->cg; c++)
				sum += (double)in[c] * (double)tap[c * step];
		}
	}
	return (float)sum;
}

/* Output pixels i, channels j. */
static void task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct conv *p = (const void *)c->plan;
	const size_t pixels = (size_t)p->oh * (size_t)p->ow;
	const float *bias = p->bias ? c->in[2] : NULL;

	for (size_t r = i; r < i + ni; r++) {
		const float *image = (const float *)c->in[0] +
				     r / pixels * (size_t)p->h * (size_t)p->w * p->in_step;
		float *y = (float *)c->out[0] + r * p->out_step;
		int oy = (int)(r % pixels) / p->ow, ox = (int)(r % pixels) % p->ow;

		for (size_t m = j; m < j + nj; m++)
			y[m] = pixel(p, image, c->in[1], oy, ox, m, bias ? (double)bias[m] : 0);
		vt_act_add_row_f32(p->epi.act, p->epi.a, p->epi.b, y + j,
				   c->residual ? (const float *)c->residual + r * p->m + j : NULL,
				   nj);
	}
}

static void geometry(struct conv *p, const struct vt_tensor *x, const struct vt_tensor *y,
		     const struct vt_node *n)
{
	const int last = x->shape.rank - 1;

	p->h = last == 3 ? (int)x->shape.dim[1] : 1;
	p->w = (int)x->shape.dim[last - 1];
	p->oh = last == 3 ? (int)y->shape.dim[1] : 1;
	p->ow = (int)y->shape.dim[last - 1];
	p->kh = n->p.conv.kh;
	p->kw = n->p.conv.kw;
	p->sh = n->p.conv.sh;
	p->sw = n->p.conv.sw;
	p->dh = n->p.conv.dh > 0 ? n->p.conv.dh : 1;
	p->dw = n->p.conv.dw > 0 ? n->p.conv.dw : 1;
	p->pt = n->p.conv.pt;
	p->pl = n->p.conv.pl;
	p->c = (size_t)x->shape.dim[last];
	p->m = (size_t)y->shape.dim[last];
	p->cg = p->c / (size_t)n->p.conv.groups;
	p->mg = p->m / (size_t)n->p.conv.groups;
	p->in_step = x->row_stride ? (size_t)x->row_stride : p->c;
	p->out_step = y->row_stride ? (size_t)y->row_stride : p->m;
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *y = vt_out(g, n, 0);
	struct conv *p;

	if (!vt_all_f32(g, n) || (x->shape.rank != 3 && x->shape.rank != 4) ||
	    !vt_act_ok(n->epi.act))
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	geometry(p, x, y, n);
	p->transposed = n->op == VT_OP_DECONV2D;
	p->epi = n->epi;
	p->bias = vt_in(g, n, 2) != NULL;
	p->plan.task = task;
	vt_plan_rows(&p->plan, (size_t)y->shape.dim[0] * (size_t)p->oh * (size_t)p->ow, p->m,
		     VT_TILE_ELEMS * 4 / (p->cg * (size_t)p->kh * (size_t)p->kw + 1) + 1);
	return 0;
}

VT_OWN_KERNEL(conv, create);
