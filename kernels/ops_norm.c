// SPDX-License-Identifier: Apache-2.0
/*
 * LayerNormalization, InstanceNormalization, BatchNormalization and LRN, f32. Mean first, then the
 * squared distances from it: a one-pass variance loses its digits where the mean is large.
 */
#include "kernels/isa.h"
#include "kernels/ops.h"

#include <math.h>
#include <string.h>

#define COLS  64 /* channels worked on together where rows run along channels */
#define FLUSH 32 /* rows added up in float before they go into the doubles */

struct norm {
	struct vt_plan plan;
	size_t n, c; /* rows or elements that are normalised together; channels */
	float eps;
	bool rms;		 /* the mean counts as 0 */
	float alpha, beta, bias; /* LRN */
	size_t before, window;
};

static bool all_f32(const struct vt_graph *g, const struct vt_node *n)
{
	for (int i = 0; i < n->n_in; i++)
		if (n->in[i] >= 0 && g->tensors[n->in[i]].dtype != VT_F32)
			return false;
	return true;
}

static size_t elems(const struct vt_tensor *t)
{
	return vt_dims_count(&t->shape, 0, t->shape.rank);
}

/* ---- LayerNormalization ------------------------------------------------------------------- */

static void layer_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct norm *p = (const void *)c->plan;
	const struct vt_vec *v = vt_vec();

	for (size_t r = j; r < j + nj; r++) {
		const float *x = (const float *)c->in[0] + r * p->n;
		float mean = p->rms ? 0 : v->reduce[VT_FOLD_SUM](x, p->n) / (float)p->n;
		float inv = 1 / sqrtf(v->dev_sq(x, p->n, mean) / (float)p->n + p->eps);

		v->normalize((float *)c->out[0] + r * p->n, x, p->n, mean, inv, c->in[1],
			     p->c ? c->in[2] : NULL);
		if (p->before > 1 && c->out[1])
			((float *)c->out[1])[r] = mean;
		if (p->before > 2 && c->out[2])
			((float *)c->out[2])[r] = inv;
	}
}

static int layer_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *scale = vt_in(g, n, 1), *bias = vt_in(g, n, 2);
	const size_t len = vt_dims_count(&x->shape, n->p.norm.axis, x->shape.rank);
	struct norm *p;

	if (!all_f32(g, n) || elems(scale) != len || (bias && elems(bias) != len))
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->n = len;
	p->c = bias != NULL;
	p->before = (size_t)n->n_out; /* mean and deviation are given to who asks */
	p->eps = n->p.norm.eps;
	p->rms = n->p.norm.rms;
	p->plan.task = layer_task;
	if (len)
		vt_plan_rows(&p->plan, 1, vt_dims_count(&x->shape, 0, n->p.norm.axis),
			     len < VT_TILE_ELEMS ? VT_TILE_ELEMS / len : 1);
	return 0;
}

VT_OWN_KERNEL(layer_norm, layer_create);

/* ---- InstanceNormalization ---------------------------------------------------------------- */

/* total[k] = sum over rows of x (shift == NULL) or of (x - shift)^2 */
static void column_sums(double *total, const float *x, const float *shift, const struct norm *p,
			size_t cols)
{
	const struct vt_vec *v = vt_vec();
	const struct vt_rows one = {1, cols, 0, 0, 0};
	float acc[COLS], d[COLS];

	memset(total, 0, cols * sizeof(*total));
	for (size_t r = 0; r < p->n;) {
		memset(acc, 0, sizeof(acc));
		do {
			if (shift) {
				v->binary[VT_OP_SUB][VT_VV](d, x + r * p->c, shift, &one);
				v->accum[VT_FOLD_SUMSQ](acc, d, cols);
			} else {
				v->accum[VT_FOLD_SUM](acc, x + r * p->c, cols);
			}
		} while (++r < p->n && r % FLUSH);
		for (size_t k = 0; k < cols; k++)
			total[k] += acc[k];
	}
}

static void instance_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct norm *p = (const void *)c->plan;
	const float *scale = (const float *)c->in[1] + j, *bias = (const float *)c->in[2] + j;
	float mean[COLS], s[COLS], b[COLS];
	double total[COLS];

	for (size_t o = i; o < i + ni; o++) {
		const float *x = (const float *)c->in[0] + o * p->n * p->c + j;
		float *y = (float *)c->out[0] + o * p->n * p->c + j;

		column_sums(total, x, NULL, p, nj);
		for (size_t k = 0; k < nj; k++)
			mean[k] = (float)(total[k] / (double)p->n);
		column_sums(total, x, mean, p, nj);
		for (size_t k = 0; k < nj; k++) {
			s[k] = scale[k] / (float)sqrt(total[k] / (double)p->n + (double)p->eps);
			b[k] = bias[k] - mean[k] * s[k];
		}
		for (size_t r = 0; r < p->n; r++)
			vt_vec()->scale_rows(y + r * p->c, x + r * p->c, s, b, nj);
	}
}

static int instance_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			   struct vt_err *e)
{
	const struct vt_shape *x = &vt_in(g, n, 0)->shape;
	struct norm *p;

	if (!all_f32(g, n) || x->rank < 2)
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->n = vt_dims_count(x, 1, x->rank - 1);
	p->c = (size_t)x->dim[x->rank - 1];
	p->eps = n->p.norm.eps;
	p->plan = (struct vt_plan){instance_task, {(size_t)x->dim[0], p->c}, {1, COLS}};
	if (!p->n)
		p->plan.range[0] = 0;
	return 0;
}

VT_OWN_KERNEL(instance_norm, instance_create);

/* ---- BatchNormalization ------------------------------------------------------------------- */

static void batch_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct norm *p = (const void *)c->plan;
	const float *s = c->work, *b = s + p->c;

	for (size_t r = i; r < i + ni; r++)
		vt_vec()->scale_rows((float *)c->out[0] + r * p->c + j,
				     (const float *)c->in[0] + r * p->c + j, s + j, b + j, nj);
}

static void batch_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	struct vt_call *c = vt_own_call(l, inst);
	const struct norm *p = (const void *)c->plan;
	const float *scale = c->in[1], *bias = c->in[2], *mean = c->in[3], *var = c->in[4];
	float *s = c->work, *b = s + p->c;

	for (size_t k = 0; k < p->c; k++) {
		s[k] = scale[k] / sqrtf(var[k] + p->eps);
		b[k] = bias[k] - mean[k] * s[k];
	}
	vt_plan_run(&p->plan, c, gang);
}

static int batch_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			struct vt_err *e)
{
	const struct vt_shape *x = &vt_in(g, n, 0)->shape;
	const size_t c = x->rank ? (size_t)x->dim[x->rank - 1] : 1;
	struct norm *p;

	if (!all_f32(g, n))
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 2 * c * sizeof(float), e);
	if (!p)
		return -ENOMEM;
	p->c = c;
	p->eps = n->p.norm.eps;
	p->plan.task = batch_task;
	vt_plan_rows(&p->plan, vt_dims_count(x, 0, x->rank - 1), c, VT_TILE_ELEMS);
	return 0;
}

const struct vt_kernel vt_kernel_batch_norm = {
	.name = "vt_batch_norm",
	.create = batch_create,
	.bind = vt_own_bind,
	.run = batch_run,
	.destroy = vt_own_destroy,
};

/* ---- LRN ---------------------------------------------------------------------------------- */

/* Squares of a row between zeros; each sum over the window is `window` shifted additions in L1. */
static void lrn_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct norm *p = (const void *)c->plan;
	const struct vt_vec *v = vt_vec();
	const struct vt_rows one = {1, p->c, 0, 0, 0};
	float *sq = vt_scratch(), *sum = sq + p->c + p->window;

	memset(sq, 0, (p->c + p->window) * sizeof(float));
	for (size_t r = j; r < j + nj; r++) {
		const float *x = (const float *)c->in[0] + r * p->c;

		v->binary[VT_OP_MUL][VT_VV](sq + p->before, x, x, &one);
		memcpy(sum, sq, p->c * sizeof(float));
		for (size_t w = 1; w < p->window; w++)
			v->accum[VT_FOLD_SUM](sum, sq + w, p->c);
		v->lrn((float *)c->out[0] + r * p->c, x, sum, p->c, p->alpha, p->beta, p->bias);
	}
}

static int lrn_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		      struct vt_err *e)
{
	const struct vt_shape *x = &vt_in(g, n, 0)->shape;
	struct norm *p;

	if (!all_f32(g, n) || !x->rank || n->p.lrn.size < 1 || n->p.lrn.size > 1 << 16)
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->c = (size_t)x->dim[x->rank - 1];
	p->window = (size_t)n->p.lrn.size;
	p->before = (p->window - 1) / 2;
	p->alpha = n->p.lrn.alpha / (float)n->p.lrn.size;
	p->beta = n->p.lrn.beta;
	p->bias = n->p.lrn.bias;
	p->plan.task = lrn_task;
	l->scratch_bytes = (2 * p->c + p->window) * sizeof(float);
	if (p->c)
		vt_plan_rows(&p->plan, 1, vt_dims_count(x, 0, x->rank - 1),
			     p->c < VT_TILE_ELEMS ? VT_TILE_ELEMS / p->c : 1);
	return 0;
}

VT_OWN_KERNEL(lrn, lrn_create);
