// SPDX-License-Identifier: Apache-2.0
/* The reference behind b_run(): every operator by its definition, element by element, in double. */
#include "harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"
#include "reference.h"

static double get(const struct run *r, int t, int64_t i)
{
	return (double)*at(r, t, i);
}

static void unravel(int64_t i, const struct vt_shape *s, int64_t *ix)
{
	for (int d = s->rank - 1; d >= 0; d--) {
		ix[d] = i % s->dim[d];
		i /= s->dim[d];
	}
}

static int64_t ravel(const int64_t *ix, const struct vt_shape *s)
{
	int64_t i = 0;

	for (int d = 0; d < s->rank; d++)
		i = i * s->dim[d] + ix[d];
	return i;
}

/* The element of a broadcast operand that belongs to @ix of the output shape @y. */
static double get_wide(const struct run *r, int t, const int64_t *ix, const struct vt_shape *y)
{
	const struct vt_shape *s = &r->g->tensors[t].shape;
	int64_t own[VT_MAX_RANK] = {0};

	for (int d = 0; d < s->rank; d++)
		own[d] = s->dim[d] == 1 ? 0 : ix[d + y->rank - s->rank];
	return get(r, t, ravel(own, s));
}

/* ---- elementwise -------------------------------------------------------------------------- */

static double clamp(double x, double lo, double hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

static double unary(enum vt_op op, double a, double b, double x)
{
	switch (op) {
	case VT_OP_RELU:
		return x > 0 ? x : 0;
	case VT_OP_CLIP:
		return clamp(x, a, b);
	case VT_OP_SIGMOID:
		return 1 / (1 + exp(-x));
	case VT_OP_HARD_SIGMOID:
		return clamp(a * x + b, 0, 1);
	case VT_OP_HARD_SWISH:
		return x * clamp(x / 6 + 0.5, 0, 1);
	case VT_OP_SILU:
		return x / (1 + exp(-x));
	case VT_OP_GELU:
		return 0.5 * x * (1 + erf(x / sqrt(2)));
	case VT_OP_GELU_TANH:
		return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
	case VT_OP_LEAKY_RELU:
		return x < 0 ? a * x : x;
	case VT_OP_ELU:
		return x < 0 ? a * expm1(x) : x;
	case VT_OP_TANH:
		return tanh(x);
	case VT_OP_ERF:
		return erf(x);
	case VT_OP_SIN:
		return sin(x);
	case VT_OP_EXP:
		return exp(x);
	case VT_OP_LOG:
		return log(x);
	case VT_OP_SOFTPLUS:
		return log1p(exp(x));
	case VT_OP_SQRT:
		return sqrt(x);
	case VT_OP_RECIPROCAL:
		return 1 / x;
	case VT_OP_ABS:
		return fabs(x);
	case VT_OP_NEG:
		return -x;
	default:
		fail_msg("reference: no %s", vt_op_name(op));
		return 0;
	}
}

static double binary(enum vt_op op, double x, double y)
{
	switch (op) {
	case VT_OP_ADD:
		return x + y;
	case VT_OP_SUB:
		return x - y;
	case VT_OP_MUL:
		return x * y;
	case VT_OP_DIV:
		return x / y;
	case VT_OP_POW:
		return pow(x, y);
	case VT_OP_MAX:
		return fmax(x, y);
	case VT_OP_MIN:
		return fmin(x, y);
	case VT_OP_PRELU:
		return x < 0 ? x * y : x;
	default:
		fail_msg("reference: no %s", vt_op_name(op));
		return 0;
	}
}

/* ---- by element of the output -------------------------------------------------------------- */

typedef double (*element)(const struct run *r, const struct vt_node *n, const int64_t *ix,
			  int64_t i);

static double e_unary(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	return unary(n->op, (double)n->p.scalar.a, (double)n->p.scalar.b, get(r, n->in[0], i));
}

static double e_binary(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *y = &vt_out(r->g, n, 0)->shape;

	return binary(n->op, get_wide(r, n->in[0], ix, y), get_wide(r, n->in[1], ix, y));
}

static double e_same(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	return get(r, n->in[0], i);
}

static double e_transpose(const struct run *r, const struct vt_node *n, const int64_t *ix,
			  int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	int64_t from[VT_MAX_RANK];

	for (int d = 0; d < x->rank; d++)
		from[n->p.perm.perm[d]] = ix[d];
	return get(r, n->in[0], ravel(from, x));
}

static double e_concat(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	int64_t from[VT_MAX_RANK];
	int k = 0;

	memcpy(from, ix, sizeof(from));
	while (from[n->p.axis] >= vt_in(r->g, n, k)->shape.dim[n->p.axis])
		from[n->p.axis] -= vt_in(r->g, n, k++)->shape.dim[n->p.axis];
	return get(r, n->in[k], ravel(from, &vt_in(r->g, n, k)->shape));
}

static double e_slice(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	int64_t from[VT_MAX_RANK];

	for (int d = 0; d < x->rank; d++)
		from[d] = n->p.slice.start[d] + n->p.slice.step[d] * ix[d];
	return get(r, n->in[0], ravel(from, x));
}

static double e_pad(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	int64_t from[VT_MAX_RANK];

	for (int d = 0; d < x->rank; d++) {
		from[d] = ix[d] - n->p.pad.before[d];
		if (from[d] < 0 || from[d] >= x->dim[d])
			return n->p.pad.value;
	}
	return get(r, n->in[0], ravel(from, x));
}

static double e_gather(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	int64_t from[VT_MAX_RANK];

	for (int d = 0; d < x->rank; d++)
		from[d] = d < n->p.axis ? ix[d] : d == n->p.axis ? 0 : ix[d - 1];
	from[n->p.axis] = *(const int64_t *)vt_in(r->g, n, 1)->data;
	return get(r, n->in[0], ravel(from, x));
}

static double e_norm(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	int64_t c = ix[x->rank - 1];
	double std = sqrt(get(r, n->in[4], c) + (double)n->p.norm.eps);

	return (get(r, n->in[0], i) - get(r, n->in[3], c)) / std * get(r, n->in[1], c) +
	       get(r, n->in[2], c);
}

static double e_reduce(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	double acc = n->op == VT_OP_REDUCE_MAX ? -INFINITY : 0;
	int64_t count = 0, total = vt_shape_elems(x), from[VT_MAX_RANK];
	uint32_t axes =
		n->op == VT_OP_GLOBALAVGPOOL ? ((1u << (x->rank - 1)) - 2) : n->p.reduce.axes;
	bool keep = n->op == VT_OP_GLOBALAVGPOOL || n->p.reduce.keepdims;

	for (int64_t k = 0; k < total; k++) {
		bool mine = true;
		double v;

		unravel(k, x, from);
		for (int d = 0, o = 0; d < x->rank; d++) {
			if (!(axes >> d & 1))
				mine = mine && from[d] == ix[o++];
			else if (keep)
				o++;
		}
		if (!mine)
			continue;
		count++;
		v = get(r, n->in[0], k);
		acc = n->op == VT_OP_REDUCE_MAX ? fmax(acc, v) : acc + v;
	}
	return n->op == VT_OP_REDUCE_MEAN || n->op == VT_OP_GLOBALAVGPOOL ? acc / (double)count
									  : acc;
}

static double epilogue(const struct run *r, const struct vt_node *n, int64_t i, double v)
{
	if (n->epi.residual >= 0)
		v += get(r, n->epi.residual, i);
	return n->epi.act < 0
		       ? v
		       : unary((enum vt_op)n->epi.act, (double)n->epi.a, (double)n->epi.b, v);
}

/* Tensors of a convolution; bias may be VT_NONE. */
struct conv_of {
	int x, w, bias;
	const struct vt_conv_params *p;
};

/* Is place [., h, w, .] of tensor @t none? */
static bool outside(const struct run *r, int t, int64_t h, int64_t w)
{
	const struct vt_shape *x = &r->g->tensors[t].shape;

	return h < 0 || w < 0 || h >= x->dim[1] || w >= x->dim[2];
}

static double conv_at(const struct run *r, const struct conv_of *c, const int64_t *ix)
{
	const struct vt_shape *x = &r->g->tensors[c->x].shape, *ws = &r->g->tensors[c->w].shape;
	const struct vt_conv_params *p = c->p;
	int64_t cg = ws->dim[1], group = ix[3] / (ws->dim[0] / p->groups);
	double acc = c->bias >= 0 ? get(r, c->bias, ix[3]) : 0;

	for (int64_t k = 0; k < cg; k++)
		for (int kh = 0; kh < p->kh; kh++)
			for (int kw = 0; kw < p->kw; kw++) {
				int64_t h = ix[1] * p->sh - p->pt + kh * p->dh;
				int64_t w = ix[2] * p->sw - p->pl + kw * p->dw;

				if (outside(r, c->x, h, w))
					continue;
				acc += get(r, c->x,
					   ravel((int64_t[]){ix[0], h, w, group * cg + k}, x)) *
				       get(r, c->w, ravel((int64_t[]){ix[3], k, kh, kw}, ws));
			}
	return acc;
}

static int operand(const struct vt_node *n, int i)
{
	return i < n->n_in ? n->in[i] : VT_NONE;
}

static double e_conv(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct conv_of c = {n->in[0], n->in[1], operand(n, 2), &n->p.conv};

	return epilogue(r, n, i, conv_at(r, &c, ix));
}

static int64_t places(int64_t size, int before, int after, int kernel, int stride)
{
	return (size + before + after - kernel) / stride + 1;
}

/* The depthwise one by its definition, over what the first would have written. */
static double e_pair(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_conv_params *a = &n->p.pair.first, *p = &n->p.pair.dw;
	const struct conv_of first = {n->in[0], n->in[1], operand(n, 3), a};
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape, *ws = &vt_in(r->g, n, 2)->shape;
	const int64_t height = places(x->dim[1], a->pt, a->pb, a->kh, a->sh),
		      width = places(x->dim[2], a->pl, a->pr, a->kw, a->sw);
	double acc = operand(n, 4) >= 0 ? get(r, n->in[4], ix[3]) : 0;

	for (int kh = 0; kh < p->kh; kh++)
		for (int kw = 0; kw < p->kw; kw++) {
			int64_t h = ix[1] * p->sh - p->pt + kh, w = ix[2] * p->sw - p->pl + kw;
			double v;

			if (h < 0 || w < 0 || h >= height || w >= width)
				continue;
			v = conv_at(r, &first, (int64_t[]){ix[0], h, w, ix[3]});
			if (n->p.pair.act >= 0)
				v = unary((enum vt_op)n->p.pair.act, (double)n->p.pair.a,
					  (double)n->p.pair.b, v);
			acc += v * get(r, n->in[2], ravel((int64_t[]){ix[3], 0, kh, kw}, ws));
		}
	return epilogue(r, n, i, acc);
}

static double e_pool(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	bool max = n->op == VT_OP_MAXPOOL2D;
	double acc = max ? -INFINITY : 0;
	int count = 0;

	for (int kh = 0; kh < n->p.pool.kh; kh++)
		for (int kw = 0; kw < n->p.pool.kw; kw++) {
			int64_t h = ix[1] * n->p.pool.sh - n->p.pool.pt + kh;
			int64_t w = ix[2] * n->p.pool.sw - n->p.pool.pl + kw;
			double v;

			if (h < 0 || w < 0 || h >= x->dim[1] || w >= x->dim[2])
				continue;
			v = get(r, n->in[0], ravel((int64_t[]){ix[0], h, w, ix[3]}, x));
			acc = max ? fmax(acc, v) : acc + v;
			count++;
		}
	if (n->p.pool.count_include_pad)
		count = n->p.pool.kh * n->p.pool.kw;
	return max ? acc : acc / count;
}

static double e_fc(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape, *y = &vt_out(r->g, n, 0)->shape;
	int64_t k_dim = x->dim[x->rank - 1], n_dim = y->dim[y->rank - 1], m = i / n_dim,
		j = i % n_dim;
	double acc = n->n_in > 2 && n->in[2] >= 0 ? get(r, n->in[2], j) : 0;

	for (int64_t k = 0; k < k_dim; k++)
		acc += get(r, n->in[0], m * k_dim + k) *
		       get(r, n->in[1], n->p.fc.w_kn ? k * n_dim + j : j * k_dim + k);
	return epilogue(r, n, i, acc);
}

static double e_matmul(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *a = &vt_in(r->g, n, 0)->shape, *b = &vt_in(r->g, n, 1)->shape;
	int ra = a->rank, rb = b->rank, ry = vt_out(r->g, n, 0)->shape.rank;
	int64_t k_dim = a->dim[n->p.matmul.trans_a ? ra - 2 : ra - 1], ia[VT_MAX_RANK],
		ib[VT_MAX_RANK];
	double acc = 0;

	for (int d = 0; d < ra - 2; d++)
		ia[d] = a->dim[d] == 1 ? 0 : ix[d + ry - ra];
	for (int d = 0; d < rb - 2; d++)
		ib[d] = b->dim[d] == 1 ? 0 : ix[d + ry - rb];
	for (int64_t k = 0; k < k_dim; k++) {
		ia[ra - 2] = n->p.matmul.trans_a ? k : ix[ry - 2];
		ia[ra - 1] = n->p.matmul.trans_a ? ix[ry - 2] : k;
		ib[rb - 2] = n->p.matmul.trans_b ? ix[ry - 1] : k;
		ib[rb - 1] = n->p.matmul.trans_b ? k : ix[ry - 1];
		acc += get(r, n->in[0], ravel(ia, a)) * get(r, n->in[1], ravel(ib, b));
	}
	return (double)n->p.matmul.alpha * acc;
}

static double e_attention(const struct run *r, const struct vt_node *n, const int64_t *ix,
			  int64_t i)
{
	const struct vt_shape *q = &vt_in(r->g, n, 0)->shape, *k = &vt_in(r->g, n, 1)->shape;
	int64_t d_dim = q->dim[2] / n->p.attention.heads, head = ix[2] / d_dim;
	struct vt_shape s = SHAPE(q->dim[0], n->p.attention.heads, q->dim[1], k->dim[1]);
	double max = -INFINITY, sum = 0, acc = 0, score[64];

	assert_true(k->dim[1] <= 64);
	for (int64_t t = 0; t < k->dim[1]; t++) {
		score[t] = 0;
		for (int64_t d = head * d_dim; d < (head + 1) * d_dim; d++)
			score[t] += get(r, n->in[0], ravel((int64_t[]){ix[0], ix[1], d}, q)) *
				    get(r, n->in[1], ravel((int64_t[]){ix[0], t, d}, k));
		score[t] *= (double)n->p.attention.scale;
		if (n->n_in > 3)
			score[t] += get_wide(r, n->in[3], (int64_t[]){ix[0], head, ix[1], t}, &s);
		max = fmax(max, score[t]);
	}
	for (int64_t t = 0; t < k->dim[1]; t++) {
		double p = exp(score[t] - max);

		sum += p;
		acc += p * get(r, n->in[2], ravel((int64_t[]){ix[0], t, ix[2]}, k));
	}
	return acc / sum;
}

static double e_softmax(const struct run *r, const struct vt_node *n, const int64_t *ix, int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	int64_t from[VT_MAX_RANK];
	double sum = 0;

	memcpy(from, ix, sizeof(from));
	for (int64_t k = 0; k < x->dim[n->p.axis]; k++) {
		from[n->p.axis] = k;
		sum += exp(get(r, n->in[0], ravel(from, x)) - get(r, n->in[0], i));
	}
	return 1 / sum;
}

static double e_layer_norm(const struct run *r, const struct vt_node *n, const int64_t *ix,
			   int64_t i)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	int64_t row = 1, first, at_row;
	double mean = 0, var = 0, y;

	for (int d = n->p.norm.axis; d < x->rank; d++)
		row *= x->dim[d];
	first = i / row * row;
	at_row = i % row;
	for (int64_t k = 0; k < row && !n->p.norm.rms; k++)
		mean += get(r, n->in[0], first + k) / (double)row;
	for (int64_t k = 0; k < row; k++)
		var += pow(get(r, n->in[0], first + k) - mean, 2) / (double)row;
	y = (get(r, n->in[0], i) - mean) / sqrt(var + (double)n->p.norm.eps);
	return y * get(r, n->in[1], at_row) + (n->n_in > 2 ? get(r, n->in[2], at_row) : 0);
}

static const element elements[VT_OP_COUNT] = {
	[VT_OP_RESHAPE] = e_same,
	[VT_OP_TRANSPOSE] = e_transpose,
	[VT_OP_CONCAT] = e_concat,
	[VT_OP_SLICE] = e_slice,
	[VT_OP_PAD] = e_pad,
	[VT_OP_GATHER] = e_gather,
	[VT_OP_BATCH_NORM] = e_norm,
	[VT_OP_REDUCE_MEAN] = e_reduce,
	[VT_OP_REDUCE_SUM] = e_reduce,
	[VT_OP_REDUCE_MAX] = e_reduce,
	[VT_OP_GLOBALAVGPOOL] = e_reduce,
	[VT_OP_CONV2D] = e_conv,
	[VT_OP_CONV2D_DW] = e_pair,
	[VT_OP_MAXPOOL2D] = e_pool,
	[VT_OP_AVGPOOL2D] = e_pool,
	[VT_OP_FC] = e_fc,
	[VT_OP_MATMUL] = e_matmul,
	[VT_OP_ATTENTION] = e_attention,
	[VT_OP_SOFTMAX] = e_softmax,
	[VT_OP_LAYER_NORM] = e_layer_norm,
};

static element element_of(enum vt_op op)
{
	enum vt_op_class c = vt_op_class(op);

	if (elements[op])
		return elements[op];
	if (c == VT_C_UNARY)
		return e_unary;
	if (c == VT_C_BINARY)
		return e_binary;
	fail_msg("reference: no %s", vt_op_name(op));
	return NULL;
}

static void run_split(const struct run *r, const struct vt_node *n)
{
	const struct vt_shape *x = &vt_in(r->g, n, 0)->shape;
	int64_t before = 0, ix[VT_MAX_RANK];

	for (int o = 0; o < n->n_out; o++) {
		const struct vt_shape *y = &vt_out(r->g, n, o)->shape;

		for (int64_t i = 0; i < vt_shape_elems(y); i++) {
			unravel(i, y, ix);
			ix[n->p.axis] += before;
			*at(r, n->out[o], i) = *at(r, n->in[0], ravel(ix, x));
		}
		before += y->dim[n->p.axis];
	}
}

/* What a depthwise convolution gives besides, from what it has given. */
static void run_average(const struct run *r, const struct vt_node *n)
{
	const struct vt_shape *y = &vt_out(r->g, n, 0)->shape;
	const int64_t pixels = y->dim[1] * y->dim[2], channels = y->dim[3];

	for (int64_t i = 0; i < y->dim[0] * channels; i++) {
		double sum = 0;

		for (int64_t p = 0; p < pixels; p++)
			sum += get(r, n->out[0],
				   (i / channels * pixels + p) * channels + i % channels);
		*at(r, n->out[1], i) = (float)(sum / (double)pixels);
	}
}

void reference_node(const struct run *r, const struct vt_node *n)
{
	const struct vt_shape *y = &vt_out(r->g, n, 0)->shape;
	int64_t ix[VT_MAX_RANK] = {0};
	element e;

	if (n->op == VT_OP_SPLIT) {
		run_split(r, n);
		return;
	}
	e = element_of(n->op);
	for (int64_t i = 0; i < vt_shape_elems(y); i++) {
		unravel(i, y, ix);
		*at(r, n->out[0], i) = (float)e(r, n, ix, i);
	}
	if (vt_averages(n))
		run_average(r, n);
}
