// SPDX-License-Identifier: Apache-2.0
/* ops_dw.c - depthwise Conv on our own rows (dw.h), where the CPU has them. */
#include <math.h>
#include <stdlib.h>

#include "kernels/bigmem.h"
#include "kernels/dw.h"
#include "kernels/isa.h"
#include "kernels/kernels.h"

/* Input rows of one window, this many bytes, stay in the first-level cache while the window moves down. */
#define WINDOW_BYTES (24 << 10)
/* Larger inputs stream from beyond L2, whole pixels at a time. */
#define SLICED_BYTES ((size_t)1 << 20)

/* With fewer pixels the convolution before was shared out by channels (vt_variant_default()), and so is this one. */
#define BY_ROWS_FROM 96

vt_dw_row_fn *vt_dw_row(int kernel, int stride)
{
	if ((kernel != 3 && kernel != 5) || (stride != 1 && stride != 2))
		return NULL;
#if defined(__x86_64__)
	if (vt_tier_best() == VT_TIER_V4)
		return vt_dw_rows_v4[kernel == 5][stride == 2];
	if (vt_tier_best() == VT_TIER_V3)
		return vt_dw_rows_v3[kernel == 5][stride == 2];
#endif
	return NULL;
}

struct dw_state {
	vt_dw_row_fn *row;
	size_t batch, weight_floats;
	float *weights;
	struct vt_dw_sums sums; /* where the average is wanted */
	struct vt_dw proto;
	struct dw_inst {
		struct vt_dw d;
		float *sums, *average;
	} inst[];
};

static void dw_destroy(struct vt_layer *l)
{
	struct dw_state *s = l->state;

	if (!s)
		return;
	vt_big_free(s->weights, s->weight_floats * sizeof(float));
	vt_dw_sums_fini(&s->sums);
	free(s);
	l->state = NULL;
}

int vt_dw_set_epilogue(struct vt_dw *d, const struct vt_epilogue *epi)
{
	d->act = VT_NONE;
	if (epi->residual != VT_NONE)
		return -ENOTSUP;
	if (epi->act == VT_NONE || epi->act == VT_OP_SILU) {
		d->act = epi->act;
		return 0;
	}
	if (epi->act != VT_OP_RELU && epi->act != VT_OP_CLIP)
		return -ENOTSUP;
	d->act = VT_OP_CLIP;
	d->lo = epi->act == VT_OP_RELU ? 0 : epi->a;
	d->hi = epi->act == VT_OP_RELU ? INFINITY : epi->b;
	return 0;
}

size_t vt_dw_packed_floats(size_t channels, size_t taps)
{
	return (channels + VT_DW_BLOCK - 1) / VT_DW_BLOCK * (1 + taps) * VT_DW_BLOCK;
}

void vt_dw_pack(float *to, const float *w, const float *bias, size_t channels, size_t taps)
{
	for (size_t c = 0; c < channels; c++) {
		float *at = to + c / VT_DW_BLOCK * (1 + taps) * VT_DW_BLOCK + c % VT_DW_BLOCK;

		at[0] = bias ? bias[c] : 0;
		for (size_t t = 0; t < taps; t++)
			at[(1 + t) * VT_DW_BLOCK] = w[c * taps + t];
	}
}

/* Is the Conv one for these rows? Fills the part of @d that says how. */
static bool takes(const struct vt_graph *g, const struct vt_node *n, struct vt_dw *d)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *b = vt_in(g, n, 2);
	const int64_t channels = w->shape.dim[0];

	if (x->shape.rank != 4 || !vt_all_f32(g, n) || !w->data || (b && !b->data) ||
	    w->shape.dim[1] != 1 || n->p.conv.groups != channels || x->shape.dim[3] != channels ||
	    n->p.conv.kh != n->p.conv.kw || n->p.conv.sh != n->p.conv.sw || n->p.conv.dh != 1 ||
	    n->p.conv.dw != 1 || vt_dw_set_epilogue(d, &n->epi) ||
	    !vt_dw_row(n->p.conv.kh, n->p.conv.sh))
		return false;
	/* On streams XNNPACK's is as good, unless a second pass for the activation can be saved. */
	return d->act == VT_OP_SILU ||
	       (size_t)vt_shape_elems(&x->shape) * sizeof(float) <= SLICED_BYTES;
}

bool vt_dw_averages(const struct vt_graph *g, const struct vt_node *n)
{
	struct vt_dw d = {0};

	if (vt_shape_elems(&vt_out(g, n, 0)->shape) <= 0)
		return false;
	return n->op == VT_OP_CONV2D_DW ? vt_conv_dw_takes(g, n) : takes(g, n, &d);
}

static int dw_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		     struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *b = vt_in(g, n, 2),
			       *y = vt_out(g, n, 0);
	const size_t channels = (size_t)w->shape.dim[0],
		     taps = (size_t)n->p.conv.kh * (size_t)n->p.conv.kw;
	struct vt_dw d = {.channels = channels};
	struct dw_state *s;

	if (!takes(g, n, &d))
		return -ENOTSUP;
	s = calloc(1, sizeof(*s) + (size_t)l->n_inst * sizeof(s->inst[0]));
	l->state = s;
	if (!s)
		return vt_fail(e, -ENOMEM, "no memory for a convolution");
	s->weight_floats = vt_dw_packed_floats(channels, taps);
	s->weights = vt_big_alloc(s->weight_floats * sizeof(float));
	if (!s->weights)
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	vt_dw_pack(s->weights, w->data, b ? b->data : NULL, channels, taps);
	s->row = vt_dw_row(n->p.conv.kh, n->p.conv.sh);
	s->batch = (size_t)x->shape.dim[0];
	d.weights = s->weights;
	d.ih = (size_t)x->shape.dim[1];
	d.iw = (size_t)x->shape.dim[2];
	d.oh = (size_t)y->shape.dim[1];
	d.ow = (size_t)y->shape.dim[2];
	d.ldx = vt_row_distance(x);
	d.ldy = vt_row_distance(y);
	d.kernel = n->p.conv.kh;
	d.stride = n->p.conv.sh;
	d.pt = n->p.conv.pt;
	d.pl = n->p.conv.pl;
	if (vt_averages(n)) {
		if (vt_dw_sums_init(&s->sums, &d, s->batch, l->n_inst))
			return vt_fail(e, -ENOMEM, "no memory for the sums of rows");
		l->work_bytes = vt_dw_sums_bytes(&s->sums);
		l->scratch_bytes = d.oh * vt_dw_sum_ld(channels) * sizeof(float);
	}
	s->proto = d;
	l->weight_bytes = s->weight_floats * sizeof(float);
	l->packed_in = 1u << 1 | 1u << 2;
	return 0;
}

static int dw_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct dw_state *s = l->state;
	struct dw_inst *i = &s->inst[inst];

	i->d = s->proto;
	i->d.x = b->in[0];
	i->d.y = b->out[0];
	i->sums = vt_dw_sums_of(&s->sums, inst);
	i->average = i->sums ? b->out[1] : NULL;
	return 0;
}

struct dw_ctx {
	const struct dw_state *s;
	const struct dw_inst *inst;
	const struct vt_dw *d;
	size_t channels; /* of a slice */
	size_t rows;	 /* of a part */
};

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void dw_task(struct dw_ctx *c, size_t part, size_t slice, size_t r)
{
	const size_t c0 = slice * c->channels, row = part * c->rows + r;

	if (row < c->s->batch * c->d->oh)
		c->s->row(c->d, row / c->d->oh, row % c->d->oh, c0,
			  min_size(c0 + c->channels, c->d->channels));
}

/* All rows of a part and their sums, image by image. */
static void sum_task(struct dw_ctx *c, size_t part, size_t slice)
{
	const struct vt_dw_sums *s = &c->s->sums;
	const size_t c0 = slice * c->channels, c1 = min_size(c0 + c->channels, c->d->channels);
	const size_t end = min_size((part + 1) * c->rows, s->batch * s->oh);
	struct vt_dw d = *c->d;

	for (size_t row = part * c->rows; row < end;) {
		const size_t image = row / s->oh, below = min_size((image + 1) * s->oh, end);
		const struct vt_dw_part p = {.image = image,
					     .from = row % s->oh,
					     .end = below - image * s->oh,
					     .c0 = c0,
					     .channels = c1 - c0,
					     .rows = vt_scratch()};

		d.sums = p.rows;
		for (; row < below; row++, d.sums += vt_dw_sum_ld(p.channels))
			c->s->row(&d, image, row % s->oh, c0, c1);
		vt_dw_add_part(s, &p, c->inst->sums, c->inst->average);
	}
}

static void run_sums(struct dw_ctx *c, size_t rows, pthreadpool_t gang)
{
	const size_t parts = (rows + c->rows - 1) / c->rows, cores = vt_gang_cores(gang);
	const size_t share = (c->d->channels + 2 * cores - 1) / (2 * cores);

	if (parts < cores) /* what is claimed is a slice, not a row of one: two for each core */
		c->channels = min_size(c->channels, vt_dw_sum_ld(share));
	pthreadpool_parallelize_2d(gang, (pthreadpool_task_2d_t)sum_task, c, parts,
				   (c->d->channels + c->channels - 1) / c->channels, 0);
	vt_dw_average(&c->s->sums, c->inst->sums, c->s->sums.oh, c->rows, c->inst->average);
}

/*
 * One part of the rows per core, as the layer before cut them; in a part slices of channels, and in
 * a slice rows: the next row finds all but its last input row in cache.
 */
static void dw_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	struct dw_state *s = l->state;
	struct dw_ctx c = {s, &s->inst[inst], &s->inst[inst].d, 0, 0};
	const size_t pixels = (size_t)c.d->kernel * c.d->iw, rows = s->batch * c.d->oh;

	c.channels = WINDOW_BYTES / sizeof(float) / pixels / VT_DW_BLOCK * VT_DW_BLOCK;
	if (!c.channels)
		c.channels = VT_DW_BLOCK;
	if (c.d->ih * c.d->iw * c.d->channels * sizeof(float) > SLICED_BYTES)
		c.channels = c.d->channels;
	c.rows = c.d->ih * c.d->iw < BY_ROWS_FROM
			 ? rows
			 : (rows + vt_gang_cores(gang) - 1) / vt_gang_cores(gang);
	if (c.inst->sums)
		run_sums(&c, rows, gang);
	else
		pthreadpool_parallelize_3d(
			gang, (pthreadpool_task_3d_t)dw_task, &c, (rows + c.rows - 1) / c.rows,
			(c.d->channels + c.channels - 1) / c.channels, c.rows, 0);
}

const struct vt_kernel vt_conv2d_dw_f32 = {"vt_conv2d_dw_f32", dw_create, dw_bind, dw_run,
					   dw_destroy};
