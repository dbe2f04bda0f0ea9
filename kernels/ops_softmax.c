// SPDX-License-Identifier: Apache-2.0
/*
 * Softmax and LogSoftmax over one axis, [outer][n][inner]. Two passes over a row that stays in
 * cache: the maximum, then the exponentials and their sum. Where the axis is not the last, a block
 * of columns takes the place of the row. Input and output may be the same memory.
 */
#include "kernels/isa.h"
#include "kernels/ops.h"

#include <math.h>
#include <string.h>

#define COLS 64 /* columns worked on together where the axis is not the last */

struct softmax {
	struct vt_plan plan;
	size_t n, inner;
	bool log;
};

/* Sum of e^(x - max), a piece at a time: LogSoftmax has no use for the terms themselves. */
static float sum_exp(const float *x, size_t n, float max)
{
	float piece[256];
	double sum = 0;

	for (size_t i = 0; i < n; i += VT_COUNT_OF(piece)) {
		size_t m = n - i < VT_COUNT_OF(piece) ? n - i : VT_COUNT_OF(piece);

		sum += vt_vec()->exp_sum(piece, x + i, NULL, m, max);
	}
	return (float)sum;
}

static void row(const struct softmax *p, float *y, const float *x)
{
	const struct vt_vec *v = vt_vec();
	float max = v->max_plus(x, NULL, p->n), sum;

	if (max == -INFINITY) /* all masked: 0 / 0 in any order of operations */
		max = 0;
	if (!p->log) {
		sum = v->exp_sum(y, x, NULL, p->n, max);
		v->affine(y, y, p->n, 1 / sum, 0);
		return;
	}
	sum = logf(sum_exp(x, p->n, max));
	v->affine(y, x, p->n, 1, -max); /* first: max may be much larger than what is left */
	v->affine(y, y, p->n, 1, -sum);
}

static void rows_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct softmax *p = (const void *)c->plan;

	for (size_t r = j; r < j + nj; r++)
		row(p, (float *)c->out[0] + r * p->n, (const float *)c->in[0] + r * p->n);
}

static void block(const struct softmax *p, float *y, const float *x, size_t cols)
{
	const struct vt_vec *v = vt_vec();
	float max[COLS], sum[COLS], e[COLS];
	struct vt_rows one = {1, cols, 0, 0, 0};

	memcpy(max, x, cols * sizeof(float));
	for (size_t k = 1; k < p->n; k++)
		v->accum[VT_FOLD_MAX](max, x + k * p->inner, cols);
	memset(sum, 0, sizeof(sum));
	for (size_t k = 0; k < p->n; k++) {
		v->binary[VT_OP_SUB][VT_VV](y + k * p->inner, x + k * p->inner, max, &one);
		v->unary[VT_OP_EXP](e, y + k * p->inner, cols, 0, 0);
		v->accum[VT_FOLD_SUM](sum, e, cols);
		if (!p->log)
			memcpy(y + k * p->inner, e, cols * sizeof(float));
	}
	v->unary[p->log ? VT_OP_LOG : VT_OP_RECIPROCAL](sum, sum, cols, 0, 0);
	for (size_t k = 0; k < p->n; k++)
		v->binary[p->log ? VT_OP_SUB : VT_OP_MUL][VT_VV](y + k * p->inner, y + k * p->inner,
								 sum, &one);
}

static void columns_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct softmax *p = (const void *)c->plan;

	for (size_t o = i; o < i + ni; o++)
		block(p, (float *)c->out[0] + o * p->n * p->inner + j,
		      (const float *)c->in[0] + o * p->n * p->inner + j, nj);
}

static void f64_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct softmax *p = (const void *)c->plan;

	for (size_t o = i; o < i + ni; o++)
		for (size_t k = j; k < j + nj; k++) {
			const double *x = (const double *)c->in[0] + o * p->n * p->inner + k;
			double *y = (double *)c->out[0] + o * p->n * p->inner + k;
			double max = -INFINITY, sum = 0;

			for (size_t r = 0; r < p->n; r++)
				max = fmax(max, x[r * p->inner]);
			for (size_t r = 0; r < p->n; r++)
				sum += exp(x[r * p->inner] - max);
			for (size_t r = 0; r < p->n; r++)
				y[r * p->inner] = p->log ? x[r * p->inner] - max - log(sum)
							 : exp(x[r * p->inner] - max) / sum;
		}
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0);
	const int axis = n->p.axis;
	struct softmax *p;
	size_t outer;

	if (x->dtype != VT_F32 && x->dtype != VT_F64)
		return -ENOTSUP;
	p = vt_own_alloc(l, n, sizeof(*p), 0, e);
	if (!p)
		return -ENOMEM;
	p->log = n->op == VT_OP_LOGSOFTMAX;
	p->n = x->shape.rank ? (size_t)x->shape.dim[axis] : 1;
	p->inner = vt_dims_count(&x->shape, axis + 1, x->shape.rank);
	outer = vt_dims_count(&x->shape, 0, axis);
	if (!p->n)
		return 0;
	if (p->inner == 1 && x->dtype == VT_F32) {
		p->plan.task = rows_task;
		vt_plan_rows(&p->plan, 1, outer, p->n < VT_TILE_ELEMS ? VT_TILE_ELEMS / p->n : 1);
		return 0;
	}
	p->plan.task = x->dtype == VT_F32 ? columns_task : f64_task;
	p->plan.range[0] = outer;
	p->plan.range[1] = p->inner;
	p->plan.tile[0] = 1;
	p->plan.tile[1] = COLS;
	return 0;
}

VT_OWN_KERNEL(softmax, create);
