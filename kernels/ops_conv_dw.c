// SPDX-License-Identifier: Apache-2.0
/*
 * ops_conv_dw.c - a Conv and the depthwise Conv behind it as one layer, on the kernels of gemm.h and dw.h.
 *
 * What the first makes for the second is the largest tensor of a MobileNet, and it is read once. Here a
 * core makes a band of its rows, for one panel of channels, in its own scratch, and as soon as the rows
 * that an output row reads are there, computes that row: the tensor between never leaves L2, nor does it
 * have memory. When scratch is full, the rows that are still needed move to its beginning. Bands of two cores
 * overlap by what a window reads above its first row, which is computed twice.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache.h"
#include "kernels/act.h"
#include "kernels/bigmem.h"
#include "kernels/dw.h"
#include "kernels/gemm.h"
#include "kernels/kernels.h"

/* A smaller tensor between the two stays in L2 anyway, and computing nothing twice is faster. */
#define JOIN_BYTES ((size_t)1 << 19)
/* Rows of the first's operand that must be gathered would be gathered once for each panel: one is enough. */
#define GATHER_COLS VT_GEMM_NR

struct pair_inst {
	const float *x;
	float *y, *sums, *average;
};

struct pair_state {
	struct vt_gemm_op conv; /* c, src.x: of the task */
	struct vt_dw dw;	/* x, y: of the task; ih, iw: of the tensor between */
	vt_dw_row_fn *row;
	size_t batch, held_rows; /* of the tensor between: as many as scratch has room for */
	size_t lda;		 /* of gathered rows; 0: read in place */
	size_t panel_floats, bias_floats, dw_floats;
	float *panels, *bias, *dw_weights;
	struct vt_dw_sums sums; /* where the average is wanted */
	struct pair_inst inst[];
};

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- which pairs ---------------------------------------------------------------------------- */

struct pair {
	const struct vt_tensor *x, *w, *w2, *b, *b2, *y;
	struct vt_conv_params first, dw;
	struct vt_epilogue mid, end;
};

static bool constant(const struct vt_tensor *t)
{
	return t->dtype == VT_F32 && t->kind == VT_T_CONST && t->data;
}

/* Can the two be computed here? Fills the parts of @conv and @d that say how. */
static bool can(const struct pair *p, struct vt_gemm_op *conv, struct vt_dw *d)
{
	size_t k;

	if (!vt_gemm_best() || !p->x || p->x->shape.rank != 4 || p->x->dtype != VT_F32 || !p->w ||
	    !p->w2 || !constant(p->w) || !constant(p->w2) || (p->b && !constant(p->b)) ||
	    (p->b2 && !constant(p->b2)))
		return false;
	k = (size_t)(p->w->shape.dim[1] * p->w->shape.dim[2] * p->w->shape.dim[3]);
	if (p->first.groups != 1 || p->w2->shape.dim[1] != 1 ||
	    p->dw.groups != p->w->shape.dim[0] || p->dw.kh != p->dw.kw || p->dw.sh != p->dw.sw ||
	    p->dw.dh != 1 || p->dw.dw != 1 || !k || vt_gemm_kc(k) != k)
		return false;
	return !vt_gemm_set_epilogue(conv, &p->mid) && !vt_dw_set_epilogue(d, &p->end) &&
	       vt_dw_row(p->dw.kh, p->dw.sh);
}

static bool in_place(const struct vt_conv_params *p)
{
	return p->kh * p->kw * p->sh * p->sw == 1 && !(p->pt | p->pl | p->pb | p->pr);
}

bool vt_conv_dw_joins(const struct vt_graph *g, const struct vt_node *first,
		      const struct vt_node *dw)
{
	const struct vt_tensor *between = vt_out(g, first, 0);
	const struct pair p = {.x = vt_in(g, first, 0),
			       .w = vt_in(g, first, 1),
			       .b = vt_in(g, first, 2),
			       .w2 = vt_in(g, dw, 1),
			       .b2 = vt_in(g, dw, 2),
			       .y = vt_out(g, dw, 0),
			       .first = first->p.conv,
			       .dw = dw->p.conv,
			       .mid = first->epi,
			       .end = dw->epi};
	struct vt_gemm_op conv = {0};
	struct vt_dw d = {0};

	return can(&p, &conv, &d) &&
	       (size_t)vt_shape_elems(&between->shape) * sizeof(float) >= JOIN_BYTES &&
	       (in_place(&p.first) || between->shape.dim[3] <= GATHER_COLS);
}

/* ---- the layer ------------------------------------------------------------------------------ */

static void pair_destroy(struct vt_layer *l)
{
	struct pair_state *s = l->state;

	if (!s)
		return;
	vt_big_free(s->panels, s->panel_floats * sizeof(float));
	vt_big_free(s->dw_weights, s->dw_floats * sizeof(float));
	vt_dw_sums_fini(&s->sums);
	free(s->bias);
	free(s);
	l->state = NULL;
}

static bool pack(struct pair_state *s, const struct pair *p)
{
	const size_t taps = (size_t)(p->first.kh * p->first.kw), k = s->conv.src.k,
		     taps2 = (size_t)(p->dw.kh * p->dw.kw);

	s->panel_floats = vt_gemm_packed_floats(k, s->conv.cols);
	s->bias_floats = s->panel_floats / k;
	s->dw_floats = vt_dw_packed_floats(s->conv.cols, taps2);
	s->panels = vt_big_alloc(s->panel_floats * sizeof(float));
	s->dw_weights = vt_big_alloc(s->dw_floats * sizeof(float));
	s->bias = calloc(s->bias_floats, sizeof(float));
	if (!s->panels || !s->dw_weights || !s->bias)
		return false;
	vt_gemm_pack(s->panels, &(struct vt_gemm_weights){.w = p->w->data,
							  .taps = taps,
							  .channels = k / taps,
							  .n = s->conv.cols,
							  .tap_stride = 1,
							  .channel_stride = taps,
							  .n_stride = k});
	if (p->b)
		memcpy(s->bias, p->b->data, s->conv.cols * sizeof(float));
	vt_dw_pack(s->dw_weights, p->w2->data, p->b2 ? p->b2->data : NULL, s->conv.cols, taps2);
	s->conv.panels = s->panels;
	s->conv.bias = s->bias;
	s->dw.weights = s->dw_weights;
	return true;
}

/* What a core makes of the first on the way. */
static size_t band_floats(const struct pair_state *s)
{
	return s->held_rows * s->dw.iw * VT_GEMM_NR + s->conv.isa->mr * s->lda;
}

static void set_sizes(struct pair_state *s, const struct pair *p)
{
	struct vt_gemm_src *src = &s->conv.src;
	struct vt_dw *d = &s->dw;
	size_t row_bytes;
	int64_t h, w;

	vt_gemm_conv_source(src, &p->first, p->x);
	src->k = (size_t)(p->first.kh * p->first.kw) * src->gc;
	vt_conv_places(&p->first, p->x->shape.dim[1], p->x->shape.dim[2], &h, &w);
	src->oh = (size_t)h;
	src->ow = (size_t)w;
	s->conv.isa = vt_gemm_best();
	s->conv.cols = d->channels = (size_t)p->w->shape.dim[0];
	s->batch = (size_t)p->x->shape.dim[0];
	s->row = vt_dw_row(p->dw.kh, p->dw.sh);
	s->lda = in_place(&p->first) && !vt_gemm_far_apart(src->ldx) ? 0 : vt_gemm_lda(src->k);
	d->ih = src->oh;
	d->iw = src->ow;
	d->oh = (size_t)p->y->shape.dim[1];
	d->ow = (size_t)p->y->shape.dim[2];
	d->ldy = vt_row_distance(p->y);
	d->kernel = p->dw.kh;
	d->stride = p->dw.sh;
	d->pt = p->dw.pt;
	d->pl = p->dw.pl;
	row_bytes = d->iw * VT_GEMM_NR * sizeof(float);
	s->held_rows = vt_l2_bytes() / 8 / row_bytes;
	if (s->held_rows < (size_t)d->kernel)
		s->held_rows = (size_t)d->kernel;
	s->held_rows = min_size(s->held_rows, d->ih);
}

static struct pair pair_of(const struct vt_graph *g, const struct vt_node *n)
{
	return (struct pair){
		.x = vt_in(g, n, 0),
		.w = vt_in(g, n, 1),
		.w2 = vt_in(g, n, 2),
		.b = vt_in(g, n, 3),
		.b2 = vt_in(g, n, 4),
		.y = vt_out(g, n, 0),
		.first = n->p.pair.first,
		.dw = n->p.pair.dw,
		.mid = {.residual = VT_NONE,
			.act = n->p.pair.act,
			.a = n->p.pair.a,
			.b = n->p.pair.b},
		.end = n->epi,
	};
}

bool vt_conv_dw_takes(const struct vt_graph *g, const struct vt_node *n)
{
	const struct pair p = pair_of(g, n);
	struct vt_gemm_op conv = {0};
	struct vt_dw d = {0};

	return can(&p, &conv, &d);
}

static int pair_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		       struct vt_err *e)
{
	const struct pair p = pair_of(g, n);
	struct vt_gemm_op conv = {0};
	struct vt_dw d = {0};
	struct pair_state *s;

	if (!can(&p, &conv, &d))
		return -ENOTSUP;
	s = calloc(1, sizeof(*s) + (size_t)l->n_inst * sizeof(s->inst[0]));
	l->state = s;
	if (!s)
		return vt_fail(e, -ENOMEM, "no memory for two convolutions");
	s->conv = conv;
	s->dw = d;
	set_sizes(s, &p);
	if (!pack(s, &p))
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	if (vt_averages(n) && vt_dw_sums_init(&s->sums, &s->dw, s->batch, l->n_inst))
		return vt_fail(e, -ENOMEM, "no memory for the sums of rows");
	l->work_bytes = vt_dw_sums_bytes(&s->sums);
	l->weight_bytes = (s->panel_floats + s->bias_floats + s->dw_floats) * sizeof(float);
	l->scratch_bytes =
		(band_floats(s) + (s->sums.mem ? s->dw.oh * vt_dw_sum_ld(VT_GEMM_NR) : 0)) *
		sizeof(float);
	l->packed_in = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4;
	return 0;
}

static int pair_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct pair_state *s = l->state;

	s->inst[inst] = (struct pair_inst){.x = b->in[0], .y = b->out[0]};
	s->inst[inst].sums = vt_dw_sums_of(&s->sums, inst);
	s->inst[inst].average = s->sums.mem ? b->out[1] : NULL;
	return 0;
}

/* ---- one band of one panel ------------------------------------------------------------------- */

struct pair_ctx {
	const struct pair_state *s;
	const struct pair_inst *inst;
	size_t bands, rows; /* of an image; output rows of a band */
};

struct band {
	float *between, *gathered;
	size_t image, y0, rows; /* between holds rows [y0, y0 + rows) of the image */
	size_t c0, cols;
};

/* Rows of the band up to the one that is @rows of them. */
static void make_rows(const struct pair_state *s, const struct pair_inst *at, struct band *b,
		      size_t rows)
{
	const size_t first = (b->image * s->dw.ih + b->y0) * s->dw.iw;
	struct vt_gemm_src src = s->conv.src;
	struct vt_gemm_out o = {.ldc = b->cols,
				.bias = s->bias + b->c0,
				.clamp = s->conv.lo > -INFINITY || s->conv.hi < INFINITY,
				.lo = s->conv.lo,
				.hi = s->conv.hi};
	const float *panel = s->panels + vt_gemm_panel(src.k, s->conv.cols, 0, b->c0);

	src.x = at->x;
	for (size_t i = b->rows * s->dw.iw, to = rows * s->dw.iw; i < to; i += s->conv.isa->mr) {
		const size_t n = min_size(s->conv.isa->mr, to - i);
		const float *a = src.x + (first + i) * src.ldx;

		if (s->lda) {
			s->conv.isa->gather(b->gathered, s->lda, &src, first + i, n, 0, src.k);
			a = b->gathered;
		}
		o.c = b->between + i * b->cols;
		s->conv.isa->tile(n, b->cols, src.k, a, s->lda ? s->lda : src.ldx, panel, &o, true,
				  true);
		vt_act_row_f32(s->conv.act, s->conv.act_a, s->conv.act_b, o.c, n * b->cols);
	}
	b->rows = rows;
}

/* Let the rows above @y0 of the image go; no window leaves any out, so they are there. */
static void let_go(const struct pair_state *s, struct band *b, size_t y0)
{
	const size_t row = s->dw.iw * b->cols, gone = y0 - b->y0;

	b->rows -= gone;
	memmove(b->between, b->between + gone * row, b->rows * row * sizeof(float));
	b->y0 = y0;
}

/* The row that lies @y rows below the first, or the nearest there is; one behind the last is one, too. */
static size_t row_near(const struct pair_state *s, long y)
{
	return y < 0 ? 0 : min_size((size_t)y, s->dw.ih);
}

static void pair_task(struct pair_ctx *c, size_t part, size_t panel)
{
	const struct pair_state *s = c->s;
	const size_t image = part / c->bands, oy0 = part % c->bands * c->rows;
	const size_t end = min_size(oy0 + c->rows, s->dw.oh);
	struct vt_dw d = s->dw;
	struct band b = {.between = vt_scratch(), .image = image, .c0 = panel * VT_GEMM_NR};
	float *sums = c->inst->sums ? b.between + band_floats(s) : NULL;

	if (oy0 >= end)
		return;
	b.gathered = b.between + s->held_rows * s->dw.iw * VT_GEMM_NR;
	b.cols = min_size(VT_GEMM_NR, s->conv.cols - b.c0);
	d.x = b.between;
	d.ldx = d.channels = b.cols;
	d.y = c->inst->y + image * d.oh * d.ow * d.ldy + b.c0;
	d.weights += b.c0 / VT_DW_BLOCK * (size_t)(1 + d.kernel * d.kernel) * VT_DW_BLOCK;
	for (size_t oy = oy0; oy < end; oy++) {
		const long top = (long)oy * s->dw.stride - s->dw.pt;
		const size_t from = row_near(s, top), to = row_near(s, top + d.kernel);

		if (oy == oy0)
			b.y0 = from;
		else if (to > b.y0 + s->held_rows)
			let_go(s, &b, from);
		if (to > b.y0 + b.rows)
			make_rows(s, c->inst, &b, to - b.y0);
		d.pt = s->dw.pt + (int)b.y0;
		d.ih = b.rows; /* below them is padding: this row reads no other */
		if (sums)
			d.sums = sums + (oy - oy0) * vt_dw_sum_ld(b.cols);
		s->row(&d, 0, oy, 0, b.cols);
	}
	if (sums)
		vt_dw_add_part(&s->sums, &(struct vt_dw_part){image, oy0, end, b.c0, b.cols, sums},
			       c->inst->sums, c->inst->average);
}

/* Enough parts for all cores. */
static void pair_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	struct pair_state *s = l->state;
	struct pair_ctx c = {.s = s, .inst = &s->inst[inst]};
	const size_t panels = (s->conv.cols + VT_GEMM_NR - 1) / VT_GEMM_NR;
	const size_t cores = vt_gang_cores(gang);
	const size_t wanted = cores > 1 ? (2 * cores + panels - 1) / panels : 1;

	c.rows = min_size(s->dw.oh, (s->batch * s->dw.oh + wanted - 1) / wanted);
	c.bands = (s->dw.oh + c.rows - 1) / c.rows;
	if (c.bands > 1) /* as many for each core */
		c.bands = min_size((c.bands + cores - 1) / cores * cores, s->dw.oh);
	c.rows = (s->dw.oh + c.bands - 1) / c.bands;
	pthreadpool_parallelize_2d(gang, (pthreadpool_task_2d_t)pair_task, &c, s->batch * c.bands,
				   panels, 0);
	if (c.inst->sums)
		vt_dw_average(&s->sums, c.inst->sums, c.bands * c.rows, c.rows, c.inst->average);
}

const struct vt_kernel vt_conv2d_dw_pair_f32 = {"vt_conv2d_dw_pair_f32", pair_create, pair_bind,
						pair_run, pair_destroy};
