// SPDX-License-Identifier: Apache-2.0
/* ops_winograd.c - 3x3 Conv of stride 1 as F(4x4, 3x3), where that pays. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache.h"
#include "kernels/bigmem.h"
#include "kernels/gemm.h"
#include "kernels/isa.h"
#include "kernels/kernels.h"
#include "kernels/winograd.h"

/*
 * A block of tiles is transformed once for all blocks of columns that a unit has. While the transformed
 * weights fit beside it in L2, few tiles a block give the cores more to share; beyond, more tiles use each
 * weight more often, as long as their transforms leave half of L2 to the rest.
 */
#define NEAR_WEIGHT_BYTES ((size_t)768 << 10)
#define NEAR_ROW_TILES	  1u /* of the matrix kernel, in a block */
#define FAR_ROW_TILES	  4u
#define FAR_LEAST	  2u
#define FAR_COLS	  64
#define MAX_CHANNELS	  256 /* the block of transformed inputs stays in L2 */
#define MIN_CHANNELS	  16
#define MIN_PIXELS	  190 /* 14x14: each of four times as many weights is used for 16 tiles */

struct wino_state {
	const struct vt_gemm_isa *isa;
	const struct vt_wino_isa *wino;
	size_t tiles, block_tiles, block_cols;
	size_t panel_floats;
	float *panels; /* [36] packed operands, channels x cols */
	float *bias;
	struct vt_wino proto;
	struct vt_wino inst[];
};

static const float zeros[VT_GEMM_NR];

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

void vt_wino_weights(const float *g, float *u)
{
	static const double G[6][3] = {{1.0 / 4, 0, 0},
				       {-1.0 / 6, -1.0 / 6, -1.0 / 6},
				       {-1.0 / 6, 1.0 / 6, -1.0 / 6},
				       {1.0 / 24, 1.0 / 12, 1.0 / 6},
				       {1.0 / 24, -1.0 / 12, 1.0 / 6},
				       {0, 0, 1}};
	double t[6][3];

	for (int i = 0; i < 6; i++)
		for (int j = 0; j < 3; j++)
			t[i][j] = G[i][0] * (double)g[j] + G[i][1] * (double)g[3 + j] +
				  G[i][2] * (double)g[6 + j];
	for (int i = 0; i < 6; i++)
		for (int j = 0; j < 6; j++)
			u[i * 6 + j] =
				(float)(t[i][0] * G[j][0] + t[i][1] * G[j][1] + t[i][2] * G[j][2]);
}

static void wino_destroy(struct vt_layer *l)
{
	struct wino_state *s = l->state;

	if (!s)
		return;
	vt_big_free(s->panels, VT_WINO_TERMS * s->panel_floats * sizeof(float));
	free(s->bias);
	free(s);
	l->state = NULL;
}

static int set_epilogue(struct vt_wino *d, const struct vt_epilogue *epi)
{
	d->act = VT_OP_CLIP;
	d->hi = INFINITY;
	switch (epi->act) {
	case VT_OP_RELU:
		d->lo = 0;
		return 0;
	case VT_OP_CLIP:
		d->lo = epi->a;
		d->hi = epi->b;
		return 0;
	case VT_OP_LEAKY_RELU:
		d->act = VT_OP_LEAKY_RELU;
		d->lo = epi->a;
		return 0;
	case VT_NONE:
		d->act = VT_NONE;
		return 0;
	default:
		return -ENOTSUP;
	}
}

/* Transform all kernels into [36][channels][cols], then pack each of the 36. */
static int pack_weights(struct wino_state *s, const float *w, size_t channels, size_t cols)
{
	float *u = malloc(VT_WINO_TERMS * channels * cols * sizeof(*u)), one[VT_WINO_TERMS];

	if (!u)
		return -ENOMEM;
	for (size_t o = 0; o < cols; o++)
		for (size_t c = 0; c < channels; c++) {
			vt_wino_weights(w + (o * channels + c) * 9, one);
			for (size_t k = 0; k < VT_WINO_TERMS; k++)
				u[(k * channels + c) * cols + o] = one[k];
		}
	for (size_t k = 0; k < VT_WINO_TERMS; k++)
		vt_gemm_pack(s->panels + k * s->panel_floats,
			     &(struct vt_gemm_weights){.w = u + k * channels * cols,
						       .taps = 1,
						       .channels = channels,
						       .n = cols,
						       .channel_stride = cols,
						       .n_stride = 1});
	free(u);
	return 0;
}

static bool pays(const struct vt_node *n, const struct vt_tensor *x, const struct vt_tensor *w,
		 const struct vt_tensor *y)
{
	return x->shape.rank == 4 && n->p.conv.kh == 3 && n->p.conv.kw == 3 && n->p.conv.sh == 1 &&
	       n->p.conv.sw == 1 && n->p.conv.dh == 1 && n->p.conv.dw == 1 &&
	       n->p.conv.groups == 1 && y->shape.dim[1] * y->shape.dim[2] >= MIN_PIXELS &&
	       y->shape.dim[1] >= 8 && y->shape.dim[2] >= 8 && w->shape.dim[1] >= MIN_CHANNELS &&
	       w->shape.dim[1] <= MAX_CHANNELS && w->shape.dim[0] >= VT_GEMM_NR;
}

static void choose_blocks(struct wino_state *s, size_t channels, size_t cols)
{
	const bool near = VT_WINO_TERMS * channels * cols * sizeof(float) <= NEAR_WEIGHT_BYTES;
	size_t fit = vt_l2_bytes() / 2 / (VT_WINO_TERMS * channels * sizeof(float)), blocks;

	s->block_cols = near ? cols : min_size(cols, FAR_COLS);
	s->block_tiles = NEAR_ROW_TILES * s->isa->mr;
	if (near)
		return;
	fit = fit < FAR_LEAST * s->isa->mr ? FAR_LEAST * s->isa->mr
					   : min_size(fit, FAR_ROW_TILES * s->isa->mr);
	blocks = (s->tiles + fit - 1) / fit; /* of about one size */
	s->block_tiles = (s->tiles + blocks - 1) / blocks;
}

static int wino_create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		       struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *w = vt_in(g, n, 1), *b = vt_in(g, n, 2),
			       *y = vt_out(g, n, 0);
	struct vt_wino d = {0};
	struct wino_state *s;
	size_t cols;

	if (!vt_gemm_best() || !vt_all_f32(g, n) || !w->data || (b && !b->data) ||
	    !pays(n, x, w, y) || set_epilogue(&d, &n->epi))
		return -ENOTSUP;
	s = calloc(1, sizeof(*s) + (size_t)l->n_inst * sizeof(s->inst[0]));
	l->state = s;
	if (!s)
		return vt_fail(e, -ENOMEM, "no memory for a convolution");
	d.channels = (size_t)w->shape.dim[1];
	d.cols = cols = (size_t)w->shape.dim[0];
	s->isa = vt_gemm_best();
	s->wino = vt_tier_best() == VT_TIER_V4 ? &vt_wino_v4 : &vt_wino_v3;
	s->panel_floats = vt_gemm_packed_floats(d.channels, cols);
	s->panels = vt_big_alloc(VT_WINO_TERMS * s->panel_floats * sizeof(float));
	s->bias = calloc(cols, sizeof(float));
	if (!s->panels || !s->bias || pack_weights(s, w->data, d.channels, cols))
		return vt_fail(e, -ENOMEM, "no memory for the packed weights");
	if (b)
		memcpy(s->bias, b->data, cols * sizeof(float));
	d.bias = s->bias;
	d.ih = (size_t)x->shape.dim[1];
	d.iw = (size_t)x->shape.dim[2];
	d.oh = (size_t)y->shape.dim[1];
	d.ow = (size_t)y->shape.dim[2];
	d.ldx = vt_row_distance(x);
	d.ldy = vt_row_distance(y);
	d.pt = n->p.conv.pt;
	d.pl = n->p.conv.pl;
	d.tiles_x = (d.ow + VT_WINO_OUT - 1) / VT_WINO_OUT;
	d.tiles_y = (d.oh + VT_WINO_OUT - 1) / VT_WINO_OUT;
	s->tiles = (size_t)x->shape.dim[0] * d.tiles_x * d.tiles_y;
	s->proto = d;
	choose_blocks(s, d.channels, cols);
	l->weight_bytes = (VT_WINO_TERMS * s->panel_floats + cols) * sizeof(float);
	l->scratch_bytes = VT_WINO_TERMS * sizeof(float) *
			   (vt_wino_term(s->block_tiles, d.channels) +
			    vt_wino_term(s->block_tiles, s->block_cols));
	l->packed_in = 1u << 1 | 1u << 2;
	return 0;
}

static int wino_bind(struct vt_layer *l, int inst, const struct vt_binding *b)
{
	struct wino_state *s = l->state;

	s->inst[inst] = s->proto;
	s->inst[inst].x = b->in[0];
	s->inst[inst].y = b->out[0];
	s->inst[inst].residual = b->residual;
	return 0;
}

struct wino_ctx {
	const struct wino_state *s;
	const struct vt_wino *d;
	size_t cols; /* of a unit: whole blocks */
};

/*
 * m[rows x cols] of one term: v * panels. A panel of columns passes once, for all rows, in equal
 * parts of them; meanwhile each part fetches its share of the panel that comes next, be it of the
 * next term: transformed weights are many, and nothing else in the loop waits for memory.
 */
static void term_product(const struct wino_state *s, const float *v, size_t term, float *m,
			 size_t rows, size_t j, size_t nj)
{
	const size_t k = s->proto.channels, n = s->proto.cols;
	const float *panels = s->panels + term * s->panel_floats, *next;
	const size_t parts = (rows + s->isa->mr - 1) / s->isa->mr,
		     part = (rows + parts - 1) / parts;
	const size_t step = (VT_GEMM_NR + parts - 1) / parts;

	for (size_t jj = 0; jj < nj; jj += VT_GEMM_NR) {
		next = jj + VT_GEMM_NR < nj ? panels + vt_gemm_panel(k, n, 0, j + jj + VT_GEMM_NR)
		       : term + 1 < VT_WINO_TERMS
			       ? panels + s->panel_floats + vt_gemm_panel(k, n, 0, j)
			       : NULL;
		for (size_t i = 0; i < rows; i += part) {
			const struct vt_gemm_out o = {.c = m + i * nj + jj,
						      .ldc = nj,
						      .bias = zeros,
						      .next = next ? next + i / part * step * k
								   : NULL,
						      .next_step = step};

			s->isa->tile(min_size(part, rows - i), min_size(VT_GEMM_NR, nj - jj), k,
				     v + i * k, k, panels + vt_gemm_panel(k, n, 0, j + jj), &o,
				     true, true);
		}
	}
}

static void wino_task(struct wino_ctx *c, size_t block, size_t part)
{
	const struct wino_state *s = c->s;
	const size_t t0 = block * s->block_tiles, n = min_size(s->block_tiles, s->tiles - t0);
	const size_t end = min_size((part + 1) * c->cols, s->proto.cols);
	const size_t v_term = vt_wino_term(n, s->proto.channels);
	float *v = vt_scratch(), *m = v + VT_WINO_TERMS * v_term;

	s->wino->input(c->d, t0, n, v);
	for (size_t j = part * c->cols; j < end; j += s->block_cols) {
		const size_t nj = min_size(s->block_cols, end - j);

		for (size_t k = 0; k < VT_WINO_TERMS; k++)
			term_product(s, v + k * v_term, k, m + k * vt_wino_term(n, nj), n, j, nj);
		s->wino->output(c->d, t0, n, j, nj, m);
	}
}

/* Blocks of tiles are shared out; columns only where there are too few of them for the cores. */
static void wino_run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	struct wino_state *s = l->state;
	struct wino_ctx c = {s, &s->inst[inst], 0};
	const size_t blocks = (s->tiles + s->block_tiles - 1) / s->block_tiles;
	const size_t col_blocks = (s->proto.cols + s->block_cols - 1) / s->block_cols;
	const size_t parts = min_size(col_blocks, (vt_gang_cores(gang) + blocks - 1) / blocks);

	c.cols = (col_blocks + parts - 1) / parts * s->block_cols;
	pthreadpool_parallelize_2d(gang, (pthreadpool_task_2d_t)wino_task, &c, blocks,
				   (s->proto.cols + c.cols - 1) / c.cols, 0);
}

const struct vt_kernel vt_conv2d_wino_f32 = {"vt_conv2d_wino_f32", wino_create, wino_bind, wino_run,
					     wino_destroy};
