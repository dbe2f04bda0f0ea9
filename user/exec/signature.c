// SPDX-License-Identifier: Apache-2.0
/*
 * signature.c - what a layer is, in one line of text for the profile store:
 *
 *	Conv vt_conv2d_gemm_f32 1x56x56x64,c:64x64x1x1,c:64 -> 1x56x56x64 k=1x1 s=1x1 +sum Relu
 *	operator, kernel, inputs, outputs, parameters, epilogue
 *
 * c: marks a constant, i64: a type other than float32, ~8 rows that lie 8 elements apart, = an
 * operand that shares memory with the result. Weights' values are no part of it: they take no time.
 */
#include <stdio.h>
#include <string.h>

#include "exec/costs.h"

struct line {
	char *buf;
	size_t len, n;
	uint64_t hash; /* FNV-1a of all that was put, also past the end */
};

static void put(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line *l, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (const char *c = text; *c; c++) {
		l->hash = (l->hash ^ (unsigned char)*c) * 0x100000001b3ull;
		if (l->n + 1 < l->len)
			l->buf[l->n] = *c;
		l->n++;
	}
}

/* ---- parameters ----------------------------------------------------------------------------- */

enum kind { INT, I64S, INTS, FLOAT, FLOATS, DOUBLE, BOOL, BITS };

/* A member of vt_params; printed unless it (or its first two, of pairs) is @usual. */
struct param {
	const char *name;
	size_t at;
	enum kind kind;
	int usual;
};

#define P(name, member, kind, usual)                                                               \
	{                                                                                          \
		name, offsetof(union vt_params, member), kind, usual                               \
	}
#define END                                                                                        \
	{                                                                                          \
		0                                                                                  \
	}

#define CONV(at, prefix)                                                                           \
	P(prefix "kh", at.kh, INT, 0), P(prefix "kw", at.kw, INT, 0),                              \
		P(prefix "sh", at.sh, INT, 1), P(prefix "sw", at.sw, INT, 1),                      \
		P(prefix "dh", at.dh, INT, 1), P(prefix "dw", at.dw, INT, 1),                      \
		P(prefix "pt", at.pt, INT, 0), P(prefix "pl", at.pl, INT, 0),                      \
		P(prefix "pb", at.pb, INT, 0), P(prefix "pr", at.pr, INT, 0),                      \
		P(prefix "g", at.groups, INT, 1), P(prefix "ah", at.adj_h, INT, 0),                \
		P(prefix "aw", at.adj_w, INT, 0)

static const struct param conv[] = {CONV(conv, ""), END};
static const struct param pair[] = {CONV(pair.first, ""),     P("act", pair.act, INT, VT_NONE),
				    P("a", pair.a, FLOAT, 0), P("b", pair.b, FLOAT, 0),
				    CONV(pair.dw, "2"),	      END};
static const struct param pool[] = {P("kh", pool.kh, INT, 0),
				    P("kw", pool.kw, INT, 0),
				    P("sh", pool.sh, INT, 1),
				    P("sw", pool.sw, INT, 1),
				    P("dh", pool.dh, INT, 1),
				    P("dw", pool.dw, INT, 1),
				    P("pt", pool.pt, INT, 0),
				    P("pl", pool.pl, INT, 0),
				    P("pb", pool.pb, INT, 0),
				    P("pr", pool.pr, INT, 0),
				    P("xb", pool.xb, INT, 0),
				    P("xr", pool.xr, INT, 0),
				    P("countpad", pool.count_include_pad, BOOL, 0),
				    END};
static const struct param fc[] = {P("kn", fc.w_kn, BOOL, 0), END};
static const struct param matmul[] = {P("ta", matmul.trans_a, BOOL, 0),
				      P("tb", matmul.trans_b, BOOL, 0),
				      P("alpha", matmul.alpha, FLOAT, 1), END};
static const struct param attention[] = {P("heads", attention.heads, INT, 0),
					 P("scale", attention.scale, FLOAT, 0), END};
static const struct param axis[] = {P("axis", axis, INT, -1), END};
static const struct param cumsum[] = {P("axis", cumsum.axis, INT, -1),
				      P("exclusive", cumsum.exclusive, BOOL, 0),
				      P("reverse", cumsum.reverse, BOOL, 0), END};
static const struct param topk[] = {P("axis", topk.axis, INT, -1),
				    P("largest", topk.largest, BOOL, 0),
				    P("sorted", topk.sorted, BOOL, 0), END};
static const struct param arg[] = {P("axis", arg.axis, INT, -1), P("keep", arg.keepdims, BOOL, 0),
				   P("last", arg.select_last, BOOL, 0), END};
static const struct param reduce[] = {P("axes", reduce.axes, BITS, 0),
				      P("keep", reduce.keepdims, BOOL, 0), END};
static const struct param perm[] = {P("perm", perm.perm, INTS, 0), END};
static const struct param slice[] = {P("start", slice.start, I64S, 0),
				     P("step", slice.step, I64S, 0), END};
static const struct param pad[] = {P("before", pad.before, I64S, 0), P("after", pad.after, I64S, 0),
				   P("mode", pad.mode, INT, 0), P("value", pad.value, DOUBLE, 0),
				   END};
static const struct param norm[] = {P("axis", norm.axis, INT, -1), P("eps", norm.eps, FLOAT, 0),
				    P("rms", norm.rms, BOOL, 0), END};
static const struct param lrn[] = {P("alpha", lrn.alpha, FLOAT, 0), P("beta", lrn.beta, FLOAT, 0),
				   P("bias", lrn.bias, FLOAT, 0), P("size", lrn.size, INT, 0), END};
static const struct param block[] = {P("size", block.size, INT, 0), P("crd", block.crd, BOOL, 0),
				     END};
static const struct param trilu[] = {P("upper", trilu.upper, BOOL, 0), END};
static const struct param scalar[] = {P("a", scalar.a, FLOAT, 0), P("b", scalar.b, FLOAT, 0), END};
static const struct param resize[] = {P("mode", resize.mode, INT, 0),
				      P("coord", resize.coord, INT, 0),
				      P("near", resize.near, INT, 0),
				      P("scale", resize.scale, FLOATS, 0),
				      P("cubic", resize.cubic_a, FLOAT, 0),
				      P("outside", resize.exclude_outside, BOOL, 0),
				      END};

static const struct param *const by_op[VT_OP_COUNT] = {
	[VT_OP_CONV2D] = conv,
	[VT_OP_CONV2D_DW] = pair,
	[VT_OP_DECONV2D] = conv,
	[VT_OP_MAXPOOL2D] = pool,
	[VT_OP_AVGPOOL2D] = pool,
	[VT_OP_RESIZE] = resize,
	[VT_OP_DEPTH_TO_SPACE] = block,
	[VT_OP_SPACE_TO_DEPTH] = block,
	[VT_OP_INSTANCE_NORM] = norm,
	[VT_OP_BATCH_NORM] = norm,
	[VT_OP_LAYER_NORM] = norm,
	[VT_OP_LRN] = lrn,
	[VT_OP_FC] = fc,
	[VT_OP_MATMUL] = matmul,
	[VT_OP_ATTENTION] = attention,
	[VT_OP_SOFTMAX] = axis,
	[VT_OP_LOGSOFTMAX] = axis,
	[VT_OP_CUMSUM] = cumsum,
	[VT_OP_TOPK] = topk,
	[VT_OP_ARGMAX] = arg,
	[VT_OP_ARGMIN] = arg,
	[VT_OP_CONCAT] = axis,
	[VT_OP_SPLIT] = axis,
	[VT_OP_SLICE] = slice,
	[VT_OP_PAD] = pad,
	[VT_OP_TRANSPOSE] = perm,
	[VT_OP_GATHER] = axis,
	[VT_OP_GATHER_ELEMENTS] = axis,
	[VT_OP_GATHER_ND] = axis,
	[VT_OP_SCATTER_ND] = axis,
	[VT_OP_SCATTER_ELEMENTS] = axis,
	[VT_OP_ONE_HOT] = axis,
	[VT_OP_MOD] = axis,
	[VT_OP_BIT_SHIFT] = axis,
	[VT_OP_TRILU] = trilu,
};

static const struct param *const by_class[] = {
	[VT_C_UNARY] = scalar,
	[VT_C_REDUCE] = reduce,
	[VT_C_OTHER] = NULL,
};

static void put_list(struct line *l, const struct param *p, const char *at, int rank)
{
	put(l, " %s=", p->name);
	for (int d = 0; d < rank; d++) {
		const char *comma = d ? "," : "";

		if (p->kind == INTS)
			put(l, "%s%d", comma, ((const int *)(const void *)at)[d]);
		else if (p->kind == I64S)
			put(l, "%s%lld", comma, (long long)((const int64_t *)(const void *)at)[d]);
		else
			put(l, "%s%.9g", comma, (double)((const float *)(const void *)at)[d]);
	}
}

static void put_param(struct line *l, const struct param *p, const union vt_params *of, int rank)
{
	const char *at = (const char *)of + p->at;
	const void *v = at;
	double x;

	switch (p->kind) {
	case INT:
		x = *(const int *)v;
		break;
	case BITS:
		x = *(const uint32_t *)v;
		break;
	case BOOL:
		x = *(const bool *)v;
		break;
	case FLOAT:
		x = (double)*(const float *)v;
		break;
	case DOUBLE:
		x = *(const double *)v;
		break;
	default:
		put_list(l, p, at, rank);
		return;
	}
	if (x != p->usual)
		put(l, " %s=%.9g", p->name, x);
}

static void put_params(struct line *l, const struct vt_graph *g, const struct vt_node *n)
{
	const struct param *p = by_op[n->op];
	const struct vt_tensor *x = vt_in(g, n, 0);
	enum vt_op_class class = vt_op_class(n->op);

	if (!p && (size_t) class < sizeof(by_class) / sizeof(by_class[0]))
		p = by_class[class];
	for (; p && p->name; p++)
		put_param(l, p, &n->p, x ? x->shape.rank : 0);
}

/* ---- operands ------------------------------------------------------------------------------- */

static void put_tensor(struct line *l, const struct vt_graph *g, int t, const char *before)
{
	const struct vt_tensor *x = t == VT_NONE ? NULL : &g->tensors[t];
	char shape[160];

	if (!x) {
		put(l, "%s-", before);
		return;
	}
	put(l, "%s%s", before, x->kind == VT_T_CONST ? "c:" : "");
	if (x->dtype != VT_F32)
		put(l, "%s:", vt_dtype_name(x->dtype));
	put(l, "%s", x->shape.rank ? vt_shape_text(&x->shape, shape, sizeof(shape)) : "scalar");
	if (x->row_stride)
		put(l, "~%lld", (long long)x->row_stride);
}

static void put_operands(struct line *l, const struct vt_graph *g, const struct vt_node *n)
{
	for (int i = 0; i < n->n_in; i++) {
		bool shared = false;

		for (int o = 0; o < n->n_out && n->in[i] != VT_NONE; o++)
			shared |= n->out[o] != VT_NONE && vt_shares_memory(g, n->in[i], n->out[o]);
		put_tensor(l, g, n->in[i], i ? "," : " ");
		put(l, "%s", shared ? "=" : "");
	}
	put(l, " ->");
	for (int o = 0; o < n->n_out; o++)
		put_tensor(l, g, n->out[o], o ? "," : " ");
}

static void put_epilogue(struct line *l, const struct vt_epilogue *epi)
{
	if (epi->residual != VT_NONE)
		put(l, " +sum");
	if (epi->act == VT_NONE)
		return;
	put(l, " %s", vt_op_name((enum vt_op)epi->act));
	if (epi->a != 0 || epi->b != 0)
		put(l, "(%.9g,%.9g)", (double)epi->a, (double)epi->b);
}

int vt_layer_signature(const struct vt_engine *eng, int step, char *buf, size_t len)
{
	char text[VT_PROFILE_TEXT] = "", tail[24];
	struct line l = {.buf = text, .len = sizeof(text), .hash = 0xcbf29ce484222325ull};
	const struct vt_graph *g = &eng->graph;
	const struct vt_node *n;

	if (step < 0 || step >= eng->n_steps)
		return -EINVAL;
	n = &g->nodes[eng->steps[step].node];
	put(&l, "%s %s", vt_op_name(n->op), eng->steps[step].layer.kernel->name);
	put_operands(&l, g, n);
	put_params(&l, g, n);
	put_epilogue(&l, &n->epi);
	if (l.n < sizeof(text)) {
		text[l.n] = '\0';
	} else {
		/* A Concat of hundreds: its beginning, and a hash of all. */
		snprintf(tail, sizeof(tail), "...#%016llx", (unsigned long long)l.hash);
		memcpy(text + sizeof(text) - strlen(tail) - 1, tail, strlen(tail) + 1);
	}
	return snprintf(buf, len, "%s", text);
}
