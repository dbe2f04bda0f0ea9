// SPDX-License-Identifier: Apache-2.0
/*
 * pass_activation.c - find activations that exporters spell out in elementwise arithmetic.
 *
 * GELU alone comes in a dozen spellings. Instead of one pattern for each: any closed region of
 * elementwise nodes with scalar constants between one tensor x and one tensor y is a function of
 * one variable. It is computed in double at points that tell activations apart, and where it agrees
 * with a known activation at all of them, that one replaces the region.
 */
#include "model/pass.h"

#include <float.h>
#include <math.h>

#define MAX_REGION 12
#define N_NEAR	   41		     /* points where activations bend */
#define FAR	   ((double)FLT_MAX) /* where every bound shows */
#define TOLERANCE  1e-5		     /* constants are written with six digits or more */
#define ROUNDING   1e-14

/* ---- scalar meaning of the elementwise operators ------------------------------------------- */

static double sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static double clamp(double x, double lo, double hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

static double gelu(double x)
{
	return 0.5 * x * (1 + erf(x * M_SQRT1_2));
}

static double gelu_tanh(double x)
{
	return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

/* An operator of one input at @x; NAN where we do not know it, or its operand. */
static double unary(enum vt_op op, double a, double b, double x)
{
	if (isnan(x)) /* which x > 0 and fmax() would lose */
		return NAN;
	switch (op) {
	case VT_OP_RELU:
		return x > 0 ? x : 0;
	case VT_OP_CLIP:
		return clamp(x, a, b);
	case VT_OP_SIGMOID:
		return sigmoid(x);
	case VT_OP_HARD_SIGMOID:
		return clamp(a * x + b, 0, 1);
	case VT_OP_HARD_SWISH:
		return x * clamp(x / 6 + 0.5, 0, 1);
	case VT_OP_SILU:
		return x * sigmoid(x);
	case VT_OP_GELU:
		return gelu(x);
	case VT_OP_GELU_TANH:
		return gelu_tanh(x);
	case VT_OP_LEAKY_RELU:
		return x < 0 ? a * x : x;
	case VT_OP_TANH:
		return tanh(x);
	case VT_OP_ERF:
		return erf(x);
	case VT_OP_SOFTPLUS:
		return x > 30 ? x : log1p(exp(x));
	case VT_OP_ABS:
		return fabs(x);
	case VT_OP_NEG:
		return -x;
	case VT_OP_EXP:
		return exp(x);
	case VT_OP_LOG:
		return log(x);
	case VT_OP_SQRT:
		return sqrt(x);
	case VT_OP_RECIPROCAL:
		return 1 / x;
	default:
		return NAN;
	}
}

static double binary(enum vt_op op, double x, double y)
{
	if (isnan(x) || isnan(y))
		return NAN;
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
	default:
		return NAN;
	}
}

/* ---- the region --------------------------------------------------------------------------- */

/* Operands that no node of the region writes. */
enum { OUTSIDE = -1, CONSTANT = -2 };

struct operand {
	int from; /* the node of the region that writes it, or one of the above */
	double value;
};

struct region {
	const struct vt_rw *w;
	int node[MAX_REGION], n; /* each after those that read it: the result's first */
	struct operand in[MAX_REGION][2];
	int source; /* the one tensor that it reads, VT_NONE while there are several */
};

/* An operator whose scalar meaning is known: all of them are numbers at 0.5. */
static bool elementwise(const struct vt_graph *g, const struct vt_node *n)
{
	enum vt_op_class c = vt_op_class(n->op);
	double v = NAN;

	if (c == VT_C_UNARY)
		v = unary(n->op, (double)n->p.scalar.a, (double)n->p.scalar.b, 0.5);
	else if (c == VT_C_BINARY)
		v = binary(n->op, 0.5, 0.5);
	return !isnan(v) && vt_out(g, n, 0)->dtype == VT_F32;
}

/* Is each reader of @tensor inside, and the user not interested? */
static bool closed(const struct region *r, int tensor)
{
	const struct vt_graph *g = r->w->g;
	int inside = 0;

	for (int k = 0; k < r->n; k++) {
		const struct vt_node *n = &g->nodes[r->node[k]];
		bool reads = false;

		for (int j = 0; j < n->n_in; j++)
			reads = reads || n->in[j] == tensor;
		inside += reads;
	}
	return inside == r->w->readers[tensor] && !g->tensors[tensor].is_output;
}

/*
 * Look at what the region reads from outside: sets source if that is one tensor of the result's
 * shape; returns the node that writes the last of several, or of the one; VT_NONE if none does.
 */
static int frontier(struct region *r, const struct vt_shape *shape)
{
	const struct vt_graph *g = r->w->g;
	int last = VT_NONE, first = VT_NONE, count = 0;

	r->source = VT_NONE;
	for (int k = 0; k < r->n; k++) {
		const struct vt_node *n = &g->nodes[r->node[k]];

		for (int j = 0; j < n->n_in; j++) {
			int t = n->in[j], p = r->w->producer[t];

			if (r->in[k][j].from != OUTSIDE)
				continue;
			count += t != first;
			first = t;
			last = p > last ? p : last;
		}
	}
	if (count == 1 && vt_shape_equal(&g->tensors[first].shape, shape))
		r->source = first;
	return last;
}

/* Node @p joins. Its constants are read here and never again: they may have millions of elements. */
static void join(struct region *r, int p)
{
	const struct vt_graph *g = r->w->g;
	const struct vt_node *n = &g->nodes[p];

	for (int k = 0; k < r->n; k++)
		for (int j = 0; j < g->nodes[r->node[k]].n_in; j++)
			if (g->nodes[r->node[k]].in[j] == n->out[0])
				r->in[k][j].from = r->n;
	for (int j = 0; j < n->n_in; j++) {
		struct operand *o = &r->in[r->n][j];

		o->from = vt_const_scalar(g, n->in[j], &o->value) ? CONSTANT : OUTSIDE;
	}
	r->node[r->n++] = p;
}

static bool grow(struct region *r, int p)
{
	const struct vt_graph *g = r->w->g;

	if (p < 0 || r->n == MAX_REGION || !elementwise(g, &g->nodes[p]) ||
	    !closed(r, g->nodes[p].out[0]))
		return false;
	join(r, p);
	return true;
}

/* The result where the source is @x. */
static double value_at(const struct region *r, double x)
{
	double v[MAX_REGION] = {0}, in[2] = {0};

	for (int k = r->n - 1; k >= 0; k--) {
		const struct vt_node *n = &r->w->g->nodes[r->node[k]];

		for (int j = 0; j < n->n_in; j++) {
			const struct operand *o = &r->in[k][j];

			in[j] = o->from == CONSTANT ? o->value : o->from >= 0 ? v[o->from] : x;
		}
		v[k] = n->n_in == 1
			       ? unary(n->op, (double)n->p.scalar.a, (double)n->p.scalar.b, in[0])
			       : binary(n->op, in[0], in[1]);
	}
	return v[0];
}

/* ---- the known activations ---------------------------------------------------------------- */

/* Bounds such as Min(x, 20) show far out only. */
static const double far_points[] = {-FAR, -1e30, -1e20, -1e12, -1e9, -1e6, -1e4, -1e3,
				    -130, -65,	 -33,	-21,   21,   33,   65,	 130,
				    1e3,  1e4,	 1e6,	1e9,   1e12, 1e20, 1e30, FAR};

/* The epsilons that keep a logarithm or a division alive show next to 0 only. */
static const double tiny_points[] = {0, 1e-12, -1e-12, 1e-9, -1e-9, 1e-6, -1e-6, 1e-4, -1e-4};

#define N_FAR	 ((int)(sizeof(far_points) / sizeof(far_points[0])))
#define N_TINY	 ((int)(sizeof(tiny_points) / sizeof(tiny_points[0])))
#define N_POINTS (N_NEAR + N_FAR + N_TINY)

/* -16 .. 16, denser at 0, and the others. */
static double point(int i)
{
	double u = (double)(i - N_NEAR / 2) / (N_NEAR / 2);

	if (i < N_NEAR)
		return 16 * u * (0.1 + 0.9 * u * u) + 0.0137;
	return i < N_NEAR + N_FAR ? far_points[i - N_NEAR] : tiny_points[i - N_NEAR - N_FAR];
}

struct known {
	enum vt_op op;
	/* parameters that would make it agree with the region, if it has any */
	void (*fit)(const struct region *r, double *a, double *b);
};

static void fit_leaky(const struct region *r, double *a, double *b)
{
	*a = -value_at(r, -1);
}

static void fit_clip(const struct region *r, double *a, double *b)
{
	*a = value_at(r, -FAR);
	*b = value_at(r, FAR);
	if (*a <= -FAR)
		*a = -INFINITY;
	if (*b >= FAR)
		*b = INFINITY;
}

static void fit_hard_sigmoid(const struct region *r, double *a, double *b)
{
	*b = value_at(r, 0);
	*a = value_at(r, 1) - *b;
}

static const struct known known[] = {
	{VT_OP_RELU, NULL},
	{VT_OP_SIGMOID, NULL},
	{VT_OP_SILU, NULL},
	{VT_OP_HARD_SWISH, NULL},
	{VT_OP_GELU, NULL},
	{VT_OP_GELU_TANH, NULL},
	{VT_OP_SOFTPLUS, NULL},
	{VT_OP_TANH, NULL},
	{VT_OP_CLIP, fit_clip},
	{VT_OP_LEAKY_RELU, fit_leaky},
	{VT_OP_HARD_SIGMOID, fit_hard_sigmoid},
};

/*
 * Relative, but for the tails of GELU and its like, which are differences of what six digits make
 * inexact: there, what is small against the largest value near by is enough.
 */
static bool agrees(const struct known *k, const double *have, double a, double b)
{
	double want[N_POINTS], largest = 0;

	for (int i = 0; i < N_POINTS; i++) {
		want[i] = unary(k->op, a, b, point(i));
		if (i < N_NEAR)
			largest = fmax(largest, fabs(want[i]));
	}
	for (int i = 0; i < N_POINTS; i++) {
		double small = i < N_NEAR ? TOLERANCE * fmin(1, largest) : ROUNDING;

		/* infinity would be near everything */
		if (!isfinite(want[i]) ||
		    !(fabs(want[i] - have[i]) <= TOLERANCE * fabs(want[i]) + small))
			return false;
	}
	return true;
}

static const struct known *recognise(const struct region *r, double *a, double *b)
{
	double have[N_POINTS];

	for (int i = 0; i < N_POINTS; i++)
		have[i] = value_at(r, point(i));
	for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
		*a = *b = 0;
		if (known[k].fit)
			known[k].fit(r, a, b);
		if (agrees(&known[k], have, *a, *b))
			return &known[k];
	}
	return NULL;
}

static int spelled_out(struct vt_rw *w, int i)
{
	struct vt_graph *g = w->g;
	struct vt_node *n = &g->nodes[i];
	struct region r = {.w = w};

	if (!elementwise(g, n))
		return 0;
	join(&r, i);
	while (grow(&r, frontier(&r, &vt_out(g, n, 0)->shape))) {
		const struct known *k;
		double a, b;

		frontier(&r, &vt_out(g, n, 0)->shape);
		k = r.source >= 0 ? recognise(&r, &a, &b) : NULL;
		if (!k)
			continue;
		n->op = k->op;
		n->in[0] = r.source;
		n->n_in = 1;
		n->p = (union vt_params){.scalar = {(float)a, (float)b}};
		return 1;
	}
	return 0;
}

int vt_pass_activation(struct vt_graph *g, const struct vt_eval *eval, int *changed,
		       struct vt_err *e)
{
	static const vt_rule rules[] = {spelled_out, NULL};

	return vt_rewrite(g, eval, rules, changed, e);
}
