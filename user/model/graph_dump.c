// SPDX-License-Identifier: Apache-2.0
/* The graph for people: one line per node, and what a node costs. */
#include "model/graph.h"

#include <stdio.h>

/* ---- parameters --------------------------------------------------------------------------- */

static void put_one_conv(const struct vt_conv_params *p, FILE *f)
{
	fprintf(f, " %dx%d/%dx%d pad %d,%d,%d,%d", p->kh, p->kw, p->sh, p->sw, p->pt, p->pl, p->pb,
		p->pr);
	if (p->dh != 1 || p->dw != 1)
		fprintf(f, " dil %dx%d", p->dh, p->dw);
	if (p->groups != 1)
		fprintf(f, " groups %d", p->groups);
	if (p->adj_h || p->adj_w)
		fprintf(f, " adj %dx%d", p->adj_h, p->adj_w);
}

static void put_conv(const struct vt_node *n, FILE *f)
{
	put_one_conv(&n->p.conv, f);
}

static void put_pair(const struct vt_node *n, FILE *f)
{
	put_one_conv(&n->p.pair.first, f);
	if (n->p.pair.act >= 0)
		fprintf(f, " -> %s(%g,%g)", vt_op_name((enum vt_op)n->p.pair.act),
			(double)n->p.pair.a, (double)n->p.pair.b);
	fputs(" ->", f);
	put_one_conv(&n->p.pair.dw, f);
}

static void put_pool(const struct vt_node *n, FILE *f)
{
	fprintf(f, " %dx%d/%dx%d pad %d,%d,%d,%d", n->p.pool.kh, n->p.pool.kw, n->p.pool.sh,
		n->p.pool.sw, n->p.pool.pt, n->p.pool.pl, n->p.pool.pb, n->p.pool.pr);
	if (n->p.pool.xb || n->p.pool.xr)
		fprintf(f, " ceil %d,%d", n->p.pool.xb, n->p.pool.xr);
	if (n->p.pool.count_include_pad)
		fputs(" count-pad", f);
}

static void put_fc(const struct vt_node *n, FILE *f)
{
	fputs(n->p.fc.w_kn ? " w[K,N]" : " w[N,K]", f);
}

static void put_matmul(const struct vt_node *n, FILE *f)
{
	if (n->p.matmul.trans_a)
		fputs(" a'", f);
	if (n->p.matmul.trans_b)
		fputs(" b'", f);
	if (n->p.matmul.alpha != 1)
		fprintf(f, " *%g", (double)n->p.matmul.alpha);
}

static void put_attention(const struct vt_node *n, FILE *f)
{
	fprintf(f, " heads %d scale %g", n->p.attention.heads, (double)n->p.attention.scale);
}

static void put_axis(const struct vt_node *n, FILE *f)
{
	fprintf(f, " axis %d", n->p.axis);
}

static void put_perm(const struct vt_node *n, int rank, FILE *f)
{
	fputs(" perm ", f);
	for (int d = 0; d < rank; d++)
		fprintf(f, "%d", n->p.perm.perm[d]);
}

static void put_norm(const struct vt_node *n, FILE *f)
{
	fprintf(f, " axis %d eps %g%s", n->p.norm.axis, (double)n->p.norm.eps,
		n->p.norm.rms ? " rms" : "");
}

static void put_scalar(const struct vt_node *n, FILE *f)
{
	fprintf(f, " %g,%g", (double)n->p.scalar.a, (double)n->p.scalar.b);
}

static void put_reduce(const struct vt_node *n, FILE *f)
{
	fputs(" axes", f);
	for (int d = 0; d < VT_MAX_RANK; d++)
		if (n->p.reduce.axes >> d & 1)
			fprintf(f, " %d", d);
	if (!n->p.reduce.keepdims)
		fputs(" squeeze", f);
}

static void put_resize(const struct vt_node *n, FILE *f)
{
	static const char *const mode[] = {"nearest", "linear", "cubic"};

	fprintf(f, " %s coord %d", mode[n->p.resize.mode], (int)n->p.resize.coord);
}

static void (*const put_op[VT_OP_COUNT])(const struct vt_node *n, FILE *f) = {
	[VT_OP_CONV2D] = put_conv,	   [VT_OP_CONV2D_DW] = put_pair,
	[VT_OP_DECONV2D] = put_conv,	   [VT_OP_MAXPOOL2D] = put_pool,
	[VT_OP_AVGPOOL2D] = put_pool,	   [VT_OP_FC] = put_fc,
	[VT_OP_MATMUL] = put_matmul,	   [VT_OP_ATTENTION] = put_attention,
	[VT_OP_SOFTMAX] = put_axis,	   [VT_OP_LOGSOFTMAX] = put_axis,
	[VT_OP_CONCAT] = put_axis,	   [VT_OP_SPLIT] = put_axis,
	[VT_OP_GATHER] = put_axis,	   [VT_OP_LAYER_NORM] = put_norm,
	[VT_OP_BATCH_NORM] = put_norm,	   [VT_OP_INSTANCE_NORM] = put_norm,
	[VT_OP_CLIP] = put_scalar,	   [VT_OP_LEAKY_RELU] = put_scalar,
	[VT_OP_HARD_SIGMOID] = put_scalar, [VT_OP_ELU] = put_scalar,
	[VT_OP_RESIZE] = put_resize,
};

/* ---- lines -------------------------------------------------------------------------------- */

/* c: constant, @: input of the graph, %: computed */
static void put_ref(const struct vt_graph *g, int t, FILE *f)
{
	static const char mark[] = {[VT_T_CONST] = 'c', [VT_T_INPUT] = '@', [VT_T_COMPUTED] = '%'};
	char buf[160];

	if (t < 0) {
		fputs("-", f);
		return;
	}
	fprintf(f, "%c%d", mark[g->tensors[t].kind], t);
	if (g->tensors[t].kind != VT_T_COMPUTED)
		fprintf(f, "[%s]", vt_shape_text(&g->tensors[t].shape, buf, sizeof(buf)));
}

static void put_place(const struct vt_graph *g, const struct vt_tensor *t, FILE *f)
{
	if (t->view_of >= 0)
		fprintf(f, " view %d+%zu", t->view_of, t->view_off_bytes);
	else if (g->arena_bytes)
		fprintf(f, " at %zu", t->arena_off);
	if (t->row_stride)
		fprintf(f, " stride %lld", (long long)t->row_stride);
}

static void put_node(const struct vt_graph *g, const struct vt_node *n, FILE *f)
{
	char buf[160];

	for (int o = 0; o < n->n_out; o++) {
		fputs(o ? ", " : "", f);
		put_ref(g, n->out[o], f);
		if (n->out[o] < 0)
			continue;
		fprintf(f, " %s", vt_shape_text(&vt_out(g, n, o)->shape, buf, sizeof(buf)));
		if (vt_out(g, n, o)->dtype != VT_F32)
			fprintf(f, " %s", vt_dtype_name(vt_out(g, n, o)->dtype));
		put_place(g, vt_out(g, n, o), f);
	}
	fprintf(f, " = %s(", vt_op_name(n->op));
	for (int i = 0; i < n->n_in; i++) {
		fputs(i ? ", " : "", f);
		put_ref(g, n->in[i], f);
	}
	fputs(")", f);
	if (put_op[n->op])
		put_op[n->op](n, f);
	else if (vt_op_class(n->op) == VT_C_REDUCE)
		put_reduce(n, f);
	else if (n->op == VT_OP_TRANSPOSE)
		put_perm(n, vt_in(g, n, 0)->shape.rank, f);
	if (n->epi.residual >= 0)
		fprintf(f, " + %%%d", n->epi.residual);
	if (n->epi.act >= 0)
		fprintf(f, " -> %s", vt_op_name((enum vt_op)n->epi.act));
	if (n->epi.act >= 0 && put_op[n->epi.act])
		fprintf(f, "(%g,%g)", (double)n->epi.a, (double)n->epi.b);
	fprintf(f, "  \"%s\"%s\n", n->name, n->dead ? " DEAD" : "");
}

static void put_list(const struct vt_graph *g, const char *what, const int *list, int n, FILE *f)
{
	char buf[160];

	for (int i = 0; i < n; i++) {
		const struct vt_tensor *t = &g->tensors[list[i]];

		fprintf(f, "%s ", what);
		put_ref(g, list[i], f);
		fprintf(f, " %s %s \"%s\"\n", vt_shape_text(&t->shape, buf, sizeof(buf)),
			vt_dtype_name(t->dtype), t->name);
	}
}

void vt_graph_dump(const struct vt_graph *g, FILE *out)
{
	fprintf(out, "graph \"%s\" %d nodes, weights %zu bytes, arena %zu bytes\n", g->name,
		g->n_nodes, g->weights_bytes, g->arena_bytes);
	put_list(g, "input", g->inputs, g->n_inputs, out);
	for (int i = 0; i < g->n_nodes; i++)
		put_node(g, &g->nodes[i], out);
	put_list(g, "output", g->outputs, g->n_outputs, out);
}

/* ---- cost --------------------------------------------------------------------------------- */

static uint64_t elems(const struct vt_tensor *t)
{
	int64_t n = t ? vt_shape_elems(&t->shape) : 0;

	return n > 0 ? (uint64_t)n : 0;
}

static uint64_t last_dim(const struct vt_tensor *t)
{
	return t && t->shape.rank ? (uint64_t)t->shape.dim[t->shape.rank - 1] : 1;
}

/* Each output element of a convolution is a dot product over one filter of [M, C/g, kh, kw]. */
static uint64_t flops_filter(const struct vt_tensor *places, const struct vt_tensor *weight)
{
	uint64_t filters = weight ? (uint64_t)weight->shape.dim[0] : 0;

	return filters ? 2 * elems(places) * (elems(weight) / filters) : 0;
}

static uint64_t flops_matrix(const struct vt_graph *g, const struct vt_node *n)
{
	const struct vt_tensor *a = vt_in(g, n, 0), *b = vt_in(g, n, 1), *out = vt_out(g, n, 0);
	uint64_t width = last_dim(a), rows;

	switch (n->op) {
	case VT_OP_FC:
		return 2 * elems(a) * last_dim(out);
	case VT_OP_MATMUL:
		if (n->p.matmul.trans_a && a->shape.rank > 1)
			width = (uint64_t)a->shape.dim[a->shape.rank - 2];
		return 2 * elems(out) * width;
	default: /* ATTENTION: q k' and the product with v */
		rows = b->shape.rank > 1 ? (uint64_t)b->shape.dim[b->shape.rank - 2] : 1;
		return 4 * elems(a) * rows;
	}
}

/* The first makes every pixel that the second may read. */
static uint64_t flops_pair(const struct vt_graph *g, const struct vt_node *n)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1);
	int64_t h, l;

	vt_conv_places(&n->p.pair.first, x->shape.dim[1], x->shape.dim[2], &h, &l);
	return 2 * (uint64_t)(x->shape.dim[0] * h * l) * elems(w) +
	       flops_filter(vt_out(g, n, 0), vt_in(g, n, 2));
}

/* As the GlobalAveragePool that it replaces. */
static uint64_t flops_average(const struct vt_graph *g, const struct vt_node *n)
{
	return vt_averages(n) ? elems(vt_out(g, n, 0)) * 2 : 0;
}

static uint64_t flops_spatial(const struct vt_graph *g, const struct vt_node *n)
{
	switch (n->op) {
	case VT_OP_CONV2D:
		return flops_filter(vt_out(g, n, 0), vt_in(g, n, 1)) + flops_average(g, n);
	case VT_OP_CONV2D_DW:
		return flops_pair(g, n) + flops_average(g, n);
	case VT_OP_DECONV2D:
		return flops_filter(vt_in(g, n, 0), vt_in(g, n, 1));
	case VT_OP_MAXPOOL2D:
	case VT_OP_AVGPOOL2D:
		return elems(vt_out(g, n, 0)) * (uint64_t)n->p.pool.kh * (uint64_t)n->p.pool.kw;
	case VT_OP_LRN:
		return elems(vt_in(g, n, 0)) * 2 * (uint64_t)n->p.lrn.size;
	case VT_OP_DEPTH_TO_SPACE:
	case VT_OP_SPACE_TO_DEPTH:
		return 0;
	default:
		return elems(vt_in(g, n, 0)) * 2;
	}
}

uint64_t vt_node_flops(const struct vt_graph *g, const struct vt_node *n)
{
	switch (vt_op_class(n->op)) {
	case VT_C_MATRIX:
		return flops_matrix(g, n);
	case VT_C_SPATIAL:
		return flops_spatial(g, n);
	case VT_C_MOVE:
	case VT_C_VIEW:
		return 0;
	case VT_C_REDUCE:
		return elems(vt_in(g, n, 0));
	case VT_C_OTHER: /* rows: a maximum or mean, a power, a sum, a scale */
		return elems(vt_in(g, n, 0)) * 4;
	default:
		return elems(vt_out(g, n, 0));
	}
}
