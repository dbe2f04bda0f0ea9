// SPDX-License-Identifier: Apache-2.0
/*
 * xnn_ops.c - graph nodes as XNNPACK operators. The only file that calls xnn_*.
 *
 * An XNNPACK operator of 2022 holds its setup, so every instance has an operator of its own; the
 * packed weights behind them are one piece of memory (xnn_mem.h).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xnnpack.h>

#include "kernels/act.h"
#include "kernels/kernels.h"
#include "kernels/xnn_mem.h"

/* Two answers to "how many threads": see tile.c. */
static struct pthreadpool setup_whole = {.cores = 1, .report_threads = 1};
static struct pthreadpool setup_tiled = {.cores = 1, .report_threads = 16};

/** State of a layer: what all instances share, then their operators. */
struct xnn_state {
	size_t batch, ih, iw, ic, ldx; /* of the input */
	size_t rows, cols, ldy;	       /* of the output: rows x cols, ldy apart */
	uint32_t adj_h, adj_w;	       /* ConvTranspose: output_padding */
	float lo, hi;
	int act; /* after the operator, on rows; VT_NONE if clamping does */
	float act_a, act_b;
	bool post; /* residual or act to be applied after the operator */
	struct xnn_inst {
		xnn_operator_t op;
		float *y;
		const float *residual;
	} inst[];
};

static int xnn_error(struct vt_err *e, enum xnn_status st, const char *what)
{
	switch (st) {
	case xnn_status_success:
		return 0;
	case xnn_status_out_of_memory:
		return vt_fail(e, -ENOMEM, "no memory for the packed weights of %s", what);
	default: /* a shape or a parameter that XNNPACK has no kernel for */
		return -ENOTSUP;
	}
}

static bool xnn_ready(void)
{
	return xnn_initialize(vt_xnn_allocator()) == xnn_status_success;
}

bool vt_xnn_usable(void)
{
	return xnn_ready();
}

static void xnn_destroy(struct vt_layer *l)
{
	struct xnn_state *s = l->state;

	if (!s)
		return;
	for (int i = 0; i < l->n_inst; i++)
		if (s->inst[i].op)
			xnn_delete_operator(s->inst[i].op);
	free(s);
	l->state = NULL;
}

/* Geometry of NHWC or NLC input and output. */
static void set_shapes(struct xnn_state *s, const struct vt_tensor *x, const struct vt_tensor *y)
{
	const bool flat = x->shape.rank == 3;
	const int last = y->shape.rank - 1;

	s->batch = (size_t)x->shape.dim[0];
	s->ih = flat ? 1 : (size_t)x->shape.dim[1];
	s->iw = (size_t)x->shape.dim[flat ? 1 : 2];
	s->ic = (size_t)x->shape.dim[flat ? 2 : 3];
	s->ldx = vt_row_distance(x);
	s->cols = (size_t)y->shape.dim[last];
	s->rows = (size_t)vt_shape_elems(&y->shape) / s->cols;
	s->ldy = vt_row_distance(y);
}

static int set_epilogue(struct xnn_state *s, const struct vt_epilogue *epi)
{
	bool clamp = epi->act == VT_OP_RELU || epi->act == VT_OP_CLIP;

	s->lo = -INFINITY;
	s->hi = INFINITY;
	s->act = VT_NONE;
	s->post = epi->residual != VT_NONE;
	if (clamp && !s->post) {
		s->lo = epi->act == VT_OP_RELU ? 0 : epi->a;
		s->hi = epi->act == VT_OP_RELU ? INFINITY : epi->b;
		return s->lo < s->hi ? 0 : -ENOTSUP;
	}
	if (epi->act == VT_NONE)
		return 0;
	if (!vt_act_ok(epi->act))
		return -ENOTSUP;
	s->act = epi->act;
	s->act_a = epi->a;
	s->act_b = epi->b;
	s->post = true;
	return 0;
}

static struct xnn_state *xnn_state_new(struct vt_layer *l)
{
	l->state =
		calloc(1, sizeof(struct xnn_state) + (size_t)l->n_inst * sizeof(struct xnn_inst));
	return l->state;
}

/* What XNNPACK cannot do at its output: rows [row, row + n) of act(y + residual). */
struct post_ctx {
	const struct xnn_state *s;
	const struct xnn_inst *in;
};

static void post_task(struct post_ctx *c, size_t row, size_t n)
{
	const struct xnn_state *s = c->s;

	for (size_t r = row; r < row + n; r++)
		vt_act_add_row_f32(s->act, s->act_a, s->act_b, c->in->y + r * s->ldy,
				   c->in->residual ? c->in->residual + r * s->cols : NULL, s->cols);
}

static void xnn_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	struct xnn_state *s = l->state;
	struct post_ctx c = {s, &s->inst[inst]};

	xnn_run_operator(s->inst[inst].op, gang);
	if (s->post)
		pthreadpool_parallelize_1d_tile_1d(gang, (pthreadpool_task_1d_tile_1d_t)post_task,
						   &c, s->rows, 16, 0);
}

static void note_output(struct xnn_inst *in, const struct vt_binding *b)
{
	in->y = b->out[0];
	in->residual = b->residual;
}

/*
 * Weights and bias, inputs 1 and 2, of @floats were packed; @before: vt_xnn_mem_bytes() then. Where no block
 * is large enough to be counted and shared, each instance has its own.
 */
static void note_weights(struct vt_layer *l, size_t before, size_t floats)
{
	const size_t now = vt_xnn_mem_bytes();

	l->read_bytes = floats * sizeof(float);
	l->weight_bytes = now > before ? now - before : 0; /* another thread may delete its own */
	if (!l->weight_bytes && l->read_bytes < VT_XNN_LARGE_BYTES)
		l->weight_bytes = (size_t)l->n_inst * l->read_bytes;
	l->packed_in = 1u << 1 | 1u << 2;
}

/* ---- Conv --------------------------------------------------------------------------------- */

/*
 * ONNX keeps [out][in][taps]; XNNPACK wants [out][taps][in], or [taps][out] for depthwise (in ==
 * 1). Returns a copy to be freed, NULL without memory.
 */
static float *reorder_weights(const float *w, size_t out, size_t in, size_t taps, bool depthwise)
{
	float *r = malloc(out * in * taps * sizeof(*r));

	if (!r)
		return NULL;
	for (size_t o = 0; o < out; o++)
		for (size_t c = 0; c < in; c++)
			for (size_t t = 0; t < taps; t++)
				r[depthwise ? t * out + o : (o * taps + t) * in + c] =
					w[(o * in + c) * taps + t];
	return r;
}

static int conv_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		       struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *b = vt_in(g, n, 2),
			       *y = vt_out(g, n, 0);
	const size_t groups = (size_t)n->p.conv.groups,
		     taps = (size_t)n->p.conv.kh * (size_t)n->p.conv.kw;
	const size_t out = (size_t)w->shape.dim[0], gin = (size_t)w->shape.dim[1];
	const bool depthwise = gin == 1 && groups > 1;
	enum xnn_status st = xnn_status_success;
	struct xnn_state *s;
	size_t before;
	float *k;

	if (!vt_all_f32(g, n) || !w->data || (b && !b->data) || !xnn_ready())
		return -ENOTSUP;
	s = xnn_state_new(l);
	k = reorder_weights(w->data, out, gin, taps, depthwise);
	if (!s || !k) {
		free(k);
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	}
	set_shapes(s, x, y);
	if (set_epilogue(s, &n->epi)) {
		free(k);
		return -ENOTSUP;
	}
	before = vt_xnn_mem_bytes();
	for (int i = 0; i < l->n_inst && st == xnn_status_success; i++) {
		st = xnn_create_convolution2d_nhwc_f32(
			(uint32_t)n->p.conv.pt, (uint32_t)n->p.conv.pr, (uint32_t)n->p.conv.pb,
			(uint32_t)n->p.conv.pl, (uint32_t)n->p.conv.kh, (uint32_t)n->p.conv.kw,
			(uint32_t)n->p.conv.sh, (uint32_t)n->p.conv.sw, (uint32_t)n->p.conv.dh,
			(uint32_t)n->p.conv.dw, (uint32_t)groups, gin, out / groups, s->ldx, s->ldy,
			k, b ? b->data : NULL, s->lo, s->hi,
			depthwise ? XNN_FLAG_DEPTHWISE_CONVOLUTION : 0, &s->inst[i].op);
		vt_xnn_mem_share();
	}
	free(k);
	note_weights(l, before, out * gin * taps + out);
	if (!depthwise) {
		l->rows = s->rows;
		l->cols = out / groups;
		l->depth = gin * taps;
	}
	return xnn_error(e, st, n->name);
}

static int conv_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct xnn_state *s = l->state;

	note_output(&s->inst[inst], b);
	return xnn_error(NULL,
			 xnn_setup_convolution2d_nhwc_f32(s->inst[inst].op, s->batch, s->ih, s->iw,
							  b->in[0], b->out[0], &setup_whole),
			 "Conv");
}

const struct vt_kernel vt_xnn_conv2d_f32 = {"xnn_conv2d_nhwc_f32", conv_create, conv_bind, xnn_run,
					    xnn_destroy};

/* ---- ConvTranspose ------------------------------------------------------------------------ */

/*
 * XNNPACK has one smaller convolution for each phase of the stride, and none of them may be empty. What is
 * added at the end must be less than a stride; it says so when memory is bound, and then nobody else is asked.
 */
static bool strides_fit(const struct vt_node *n, const struct vt_tensor *y)
{
	const int64_t *pixels = &y->shape.dim[y->shape.rank - 3];

	return n->p.conv.adj_w < n->p.conv.sw && n->p.conv.adj_h < n->p.conv.sh &&
	       pixels[1] >= n->p.conv.sw && (y->shape.rank < 4 || pixels[0] >= n->p.conv.sh);
}

static int deconv_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			 struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *b = vt_in(g, n, 2),
			       *y = vt_out(g, n, 0);
	const size_t groups = (size_t)n->p.conv.groups,
		     taps = (size_t)n->p.conv.kh * (size_t)n->p.conv.kw;
	const size_t in = (size_t)w->shape.dim[0], gin = in / groups,
		     gout = (size_t)w->shape.dim[1];
	const float *from = w->data;
	enum xnn_status st = xnn_status_success;
	struct xnn_state *s;
	size_t before;
	float *k;

	if (!vt_all_f32(g, n) || !from || (b && !b->data) || !xnn_ready() || !strides_fit(n, y))
		return -ENOTSUP;
	s = xnn_state_new(l);
	k = malloc(in * gout * taps * sizeof(*k));
	if (!s || !k) {
		free(k);
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	}
	/* ONNX [groups * in][out][taps] -> XNNPACK [groups][out][taps][in] */
	for (size_t c = 0; c < in; c++)
		for (size_t o = 0; o < gout; o++)
			for (size_t t = 0; t < taps; t++)
				k[((c / gin * gout + o) * taps + t) * gin + c % gin] =
					from[(c * gout + o) * taps + t];
	set_shapes(s, x, y);
	s->adj_h = (uint32_t)n->p.conv.adj_h;
	s->adj_w = (uint32_t)n->p.conv.adj_w;
	if (set_epilogue(s, &n->epi)) {
		free(k);
		return -ENOTSUP;
	}
	before = vt_xnn_mem_bytes();
	for (int i = 0; i < l->n_inst && st == xnn_status_success; i++) {
		st = xnn_create_deconvolution2d_nhwc_f32(
			(uint32_t)n->p.conv.pt, (uint32_t)n->p.conv.pr, (uint32_t)n->p.conv.pb,
			(uint32_t)n->p.conv.pl, (uint32_t)n->p.conv.kh, (uint32_t)n->p.conv.kw,
			(uint32_t)n->p.conv.sh, (uint32_t)n->p.conv.sw, (uint32_t)n->p.conv.dh,
			(uint32_t)n->p.conv.dw, (uint32_t)groups, gin, gout, s->ldx, s->ldy, k,
			b ? b->data : NULL, s->lo, s->hi, 0, &s->inst[i].op);
		vt_xnn_mem_share();
	}
	free(k);
	note_weights(l, before, in * gout * taps + gout * groups);
	return xnn_error(e, st, n->name);
}

static int deconv_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct xnn_state *s = l->state;

	note_output(&s->inst[inst], b);
	return xnn_error(NULL,
			 xnn_setup_deconvolution2d_nhwc_f32(s->inst[inst].op, s->batch, s->ih,
							    s->iw, s->adj_h, s->adj_w, b->in[0],
							    b->out[0], &setup_whole),
			 "ConvTranspose");
}

const struct vt_kernel vt_xnn_deconv2d_f32 = {"xnn_deconv2d_nhwc_f32", deconv_create, deconv_bind,
					      xnn_run, xnn_destroy};

/* ---- FullyConnected ------------------------------------------------------------------------ */

static int fc_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		     struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *b = vt_in(g, n, 2),
			       *y = vt_out(g, n, 0);
	const bool kn = n->p.fc.w_kn;
	const size_t k = (size_t)w->shape.dim[kn ? 0 : 1], cols = (size_t)w->shape.dim[kn ? 1 : 0];
	enum xnn_status st = xnn_status_success;
	struct xnn_state *s;
	size_t before;

	if (!vt_all_f32(g, n) || !w->data || (b && !b->data) || !k || !cols || x->row_stride ||
	    !xnn_ready())
		return -ENOTSUP;
	s = xnn_state_new(l);
	if (!s)
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	s->cols = cols;
	s->rows = s->batch = (size_t)vt_shape_elems(&x->shape) / k;
	s->ldy = vt_row_distance(y);
	if (set_epilogue(s, &n->epi))
		return -ENOTSUP;
	before = vt_xnn_mem_bytes();
	for (int i = 0; i < l->n_inst && st == xnn_status_success; i++) {
		st = xnn_create_fully_connected_nc_f32(
			k, cols, k, s->ldy, w->data, b ? b->data : NULL, s->lo, s->hi,
			kn ? XNN_FLAG_TRANSPOSE_WEIGHTS : 0, &s->inst[i].op);
		vt_xnn_mem_share();
	}
	note_weights(l, before, k * cols + cols);
	l->rows = s->rows;
	l->cols = cols;
	l->depth = k;
	return xnn_error(e, st, n->name);
}

static int fc_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct xnn_state *s = l->state;

	note_output(&s->inst[inst], b);
	return xnn_error(NULL,
			 xnn_setup_fully_connected_nc_f32(s->inst[inst].op, s->batch, b->in[0],
							  b->out[0], &setup_whole),
			 "FullyConnected");
}

const struct vt_kernel vt_xnn_fc_f32 = {"xnn_fc_nc_f32", fc_create, fc_bind, xnn_run, xnn_destroy};

/* ---- pooling ------------------------------------------------------------------------------ */

static struct xnn_state *pool_state(struct vt_layer *l, const struct vt_graph *g,
				    const struct vt_node *n)
{
	struct xnn_state *s;

	if (!vt_all_f32(g, n) || !xnn_ready())
		return NULL;
	s = xnn_state_new(l);
	if (s)
		set_shapes(s, vt_in(g, n, 0), vt_out(g, n, 0));
	return s;
}

static bool pads_any(const struct vt_node *n)
{
	return n->p.pool.pt || n->p.pool.pl || n->p.pool.pb || n->p.pool.pr || n->p.pool.xb ||
	       n->p.pool.xr;
}

static int maxpool_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			  struct vt_err *e)
{
	struct xnn_state *s;
	enum xnn_status st = xnn_status_success;

	if (n->n_out > 1 && n->out[1] != VT_NONE)
		return -ENOTSUP; /* no kernel has Indices, and no model comes here with them */
	/* A tap outside it moves to the nearest pixel, which a window with gaps may not hold. */
	if ((n->p.pool.dh > 1 || n->p.pool.dw > 1) && pads_any(n))
		return -ENOTSUP;
	s = pool_state(l, g, n);
	if (!s)
		return -ENOTSUP;
	for (int i = 0; i < l->n_inst && st == xnn_status_success; i++)
		st = xnn_create_max_pooling2d_nhwc_f32(
			(uint32_t)n->p.pool.pt, (uint32_t)(n->p.pool.pr + n->p.pool.xr),
			(uint32_t)(n->p.pool.pb + n->p.pool.xb), (uint32_t)n->p.pool.pl,
			(uint32_t)n->p.pool.kh, (uint32_t)n->p.pool.kw, (uint32_t)n->p.pool.sh,
			(uint32_t)n->p.pool.sw, (uint32_t)n->p.pool.dh, (uint32_t)n->p.pool.dw,
			s->ic, s->ldx, s->ldy, -INFINITY, INFINITY, 0, &s->inst[i].op);
	return xnn_error(e, st, n->name);
}

static int maxpool_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct xnn_state *s = l->state;

	return xnn_error(NULL,
			 xnn_setup_max_pooling2d_nhwc_f32(s->inst[inst].op, s->batch, s->ih, s->iw,
							  b->in[0], b->out[0], &setup_tiled),
			 "MaxPool");
}

const struct vt_kernel vt_xnn_maxpool2d_f32 = {"xnn_maxpool2d_nhwc_f32", maxpool_create,
					       maxpool_bind, xnn_run, xnn_destroy};

static int avgpool_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
			  struct vt_err *e)
{
	const int pads = n->p.pool.pt + n->p.pool.pl + n->p.pool.pb + n->p.pool.pr;
	struct xnn_state *s;
	enum xnn_status st = xnn_status_success;

	/* XNNPACK divides by the elements that lie inside. */
	if ((n->p.pool.count_include_pad && pads) || n->p.pool.dh > 1 || n->p.pool.dw > 1)
		return -ENOTSUP;
	s = pool_state(l, g, n);
	if (!s)
		return -ENOTSUP;
	for (int i = 0; i < l->n_inst && st == xnn_status_success; i++)
		st = xnn_create_average_pooling2d_nhwc_f32(
			(uint32_t)n->p.pool.pt, (uint32_t)(n->p.pool.pr + n->p.pool.xr),
			(uint32_t)(n->p.pool.pb + n->p.pool.xb), (uint32_t)n->p.pool.pl,
			(uint32_t)n->p.pool.kh, (uint32_t)n->p.pool.kw, (uint32_t)n->p.pool.sh,
			(uint32_t)n->p.pool.sw, s->ic, s->ldx, s->ldy, -INFINITY, INFINITY, 0,
			&s->inst[i].op);
	return xnn_error(e, st, n->name);
}

static int avgpool_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct xnn_state *s = l->state;

	return xnn_error(NULL,
			 xnn_setup_average_pooling2d_nhwc_f32(s->inst[inst].op, s->batch, s->ih,
							      s->iw, b->in[0], b->out[0],
							      &setup_tiled),
			 "AveragePool");
}

const struct vt_kernel vt_xnn_avgpool2d_f32 = {"xnn_avgpool2d_nhwc_f32", avgpool_create,
					       avgpool_bind, xnn_run, xnn_destroy};
