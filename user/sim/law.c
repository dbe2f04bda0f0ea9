// SPDX-License-Identifier: Apache-2.0
#include "sim/law.h"

#include <math.h>

static double ceil_div(double a, double b)
{
	return ceil(a / b);
}

struct vt_place vt_place_compact(const struct vt_machine *m, uint32_t cores, double share)
{
	uint32_t per = vt_machine_domain_cores(m);

	return (struct vt_place){
		.cores = cores,
		.domains = (cores + per - 1) / per,
		.llc_bytes = share * m->llc_bytes,
	};
}

double vt_law_llc_share(const struct vt_machine *m, uint32_t cores, double intensity)
{
	uint32_t per = vt_machine_domain_cores(m);
	uint32_t domains = (cores + per - 1) / per;
	double own = (double)cores / (domains * per);

	/* The bubble holds the cores that the grant left in its domains, and streams from there. */
	return own + (1 - own) * (1 - intensity);
}

/** The two operands of a layer, seen from the traversal: one stays, the other passes by. */
struct operand {
	double bytes;	    /* of the whole layer */
	double piece_bytes; /* one chunk's part */
	double passes;	    /* how often a domain's part is walked through */
	double copies;	    /* domains that read the whole operand */
};

/** Part of the re-walks over @distance bytes that an LLC of @llc bytes cannot serve. */
static double missing(double distance, double llc)
{
	return distance > llc ? 1 - llc / distance : 0;
}

/** DRAM bytes of @o: once per copy, and again in each pass that the LLC has forgotten by then. */
static double dram_bytes(const struct operand *o, double distance, double llc)
{
	return o->bytes * o->copies * (1 + (o->passes - 1) * missing(distance, llc));
}

struct grid {
	double rows, cols, chunks; /* chunks along each axis, and in all */
	double row_bytes;	   /* input of one chunk, halo included */
	double col_bytes;	   /* weights of one chunk */
	double groups, spanned;	   /* products side by side; those that a chunk's rows belong to */
};

static struct grid make_grid(const struct vt_layer_shape *s, const struct vt_code *c)
{
	double part = fmin(1, (double)c->rows / s->rows);
	struct grid g = {.rows = ceil_div(s->rows, c->rows), .cols = ceil_div(s->cols, c->cols)};

	g.chunks = g.rows * g.cols;
	g.groups = fmax(1, s->groups);
	g.row_bytes = fmin(s->in_bytes, s->in_bytes * part + s->halo * s->in_row_bytes);
	/* Rows of one product meet its weights alone. */
	g.spanned = fmax(1, ceil(g.groups * part));
	g.col_bytes = s->weight_bytes * fmin(1, (double)c->cols / s->cols) * g.spanned / g.groups;
	if (s->kind != VT_SHAPE_GEMM) /* channels are independent: a column block reads its own */
		g.row_bytes *= fmin(1, (double)c->cols / s->cols);
	return g;
}

/** Bytes that enter L2s. Weights larger than the L2 come again for every microkernel row block. */
static double llc_traffic(const struct vt_machine *m, const struct vt_layer_shape *s,
			  const struct vt_code *c, const struct grid *g)
{
	double rows = fmin(c->rows, s->rows) / g->spanned;
	double again =
		g->col_bytes / g->spanned > m->l2_bytes / 2 ? ceil_div(rows, m->tile_rows) : 1;

	return g->chunks * (g->col_bytes * again + g->row_bytes) + s->out_bytes;
}

static double dram_traffic(const struct vt_layer_shape *s, const struct vt_code *c,
			   const struct grid *g, const struct vt_place *p)
{
	double core = (double)p->cores / p->domains, llc = p->llc_bytes, d = p->domains, both;
	struct operand w = {s->weight_bytes, g->col_bytes, 1, 1};
	struct operand in = {g->row_bytes * g->rows, g->row_bytes, 1, 1};

	/* What leaves stays in the cache for the next layer if it fits, as what enters did. */
	both = s->in_bytes + s->out_bytes;
	if (s->kind != VT_SHAPE_GEMM)
		return w.bytes + both * missing(both / d, llc);
	if (c->axis == VT_AXIS_ROWS) {
		d = fmin(d, g->rows);
		w.copies = fmax(1, d / g->groups);
		w.passes = ceil_div(g->rows, fmax(d, g->groups));
		in.passes = g->cols;
		return dram_bytes(&w, w.piece_bytes + core * in.piece_bytes, llc) +
		       dram_bytes(&in, in.bytes / d + w.piece_bytes, llc) * missing(both / d, llc) +
		       s->out_bytes * missing(both / d, llc);
	}
	d = fmin(d, g->cols);
	in.copies = d;
	in.passes = ceil_div(g->cols, d);
	w.passes = ceil_div(g->rows, g->groups);
	/* Every domain but the one that made a part of the input fetches that part from afar. */
	return dram_bytes(&w, w.bytes / d + in.piece_bytes, llc) +
	       dram_bytes(&in, in.piece_bytes + core * w.piece_bytes, llc) *
		       fmax(missing(both, llc), 1 - 1 / d) +
	       s->out_bytes * missing(both / d, llc);
}

static double compute_ns(const struct vt_machine *m, const struct vt_layer_shape *s,
			 const struct vt_code *c, const struct grid *g, uint32_t cores)
{
	double rows = fmin(c->rows, s->rows), cols = fmin(c->cols, s->cols);
	double rate = m->gflops * (s->kind == VT_SHAPE_GEMM ? 1 : m->depthwise_share);
	/* The last row and column of microkernel tiles do full work for part of the result. */
	double tile_rows = s->kind == VT_SHAPE_GEMM ? m->tile_rows : 1;
	double work = 2.0 * ceil_div(rows, tile_rows) * tile_rows * ceil_div(cols, m->tile_cols) *
		      m->tile_cols * s->depth;
	/* The machine cannot do better than its share of the work, nor than whole chunks. */
	return ceil_div(g->chunks, cores) * work / rate;
}

struct vt_need vt_law_need(const struct vt_machine *m, const struct vt_layer_shape *s,
			   const struct vt_code *code, const struct vt_place *place)
{
	struct grid g = make_grid(s, code);
	double busy = fmin(place->cores, g.chunks);
	double link =
		fmin(place->domains * m->domain_dram_gbps, m->memory_nodes * m->node_dram_gbps);
	struct vt_need n = {
		.compute_ns = compute_ns(m, s, code, &g, place->cores),
		.fork_ns = m->fork_ns + m->fork_core_ns * place->cores,
		.slow = 1,
	};

	n.llc_bytes = llc_traffic(m, s, code, &g);
	n.llc_ns = n.llc_bytes / busy / m->llc_gbps;
	n.dram_bytes = dram_traffic(s, code, &g, place);
	n.dram_ns = n.dram_bytes / (busy * m->core_dram_gbps);
	n.link_ns = n.dram_bytes / link;
	if (place->cores == m->cores && m->cores > 1)
		n.slow += m->all_cores_ppm * 1e-6;
	return n;
}

double vt_law_ns(const struct vt_machine *m, const struct vt_need *n, double stretch)
{
	double p = m->overlap, dram = fmax(n->dram_ns * stretch, n->link_ns);
	double sum = pow(n->compute_ns, p) + pow(n->llc_ns, p) + pow(dram, p);
	double top = 1;

	/* A large power of a long time is beyond a double: then in units of the longest part. */
	if (isinf(sum)) {
		top = fmax(fmax(n->compute_ns, n->llc_ns), dram);
		sum = pow(n->compute_ns / top, p) + pow(n->llc_ns / top, p) + pow(dram / top, p);
	}
	return (top * pow(sum, 1 / p) + n->fork_ns) * n->slow;
}

/**
 * The block sizes of one dimension: all of it, a half, a third, a quarter, a sixth, ... (parts of
 * 2^k and 3 2^k), rounded up to whole tiles.
 */
static uint32_t sizes(uint32_t extent, uint32_t tile, uint32_t *ret, uint32_t max)
{
	uint32_t n = 0;

	for (uint32_t parts = 1, next = 2; n < max; parts = next) {
		uint32_t v = (uint32_t)ceil_div(ceil_div(extent, parts), tile) * tile;

		v = v < extent ? v : extent;
		if (!n || v < ret[n - 1])
			ret[n++] = v;
		if (v <= tile)
			break;
		next = parts & (parts - 1) ? parts / 3 * 4 : parts > 1 ? parts / 2 * 3 : 2;
	}
	return n;
}

uint32_t vt_law_codes(const struct vt_machine *m, const struct vt_layer_shape *s,
		      struct vt_code *ret, uint32_t max)
{
	uint32_t rows[36], cols[20], n = 0;
	uint32_t nr = sizes(s->rows, s->kind == VT_SHAPE_GEMM ? m->tile_rows : 1, rows, 36);
	uint32_t nc = sizes(s->cols, m->tile_cols, cols, 20);
	uint32_t axes = s->kind == VT_SHAPE_GEMM ? 2 : 1;

	for (uint32_t i = 0; i < nr; i++)
		for (uint32_t j = 0; j < nc; j++)
			for (uint32_t a = 0; a < axes && n < max; a++)
				ret[n++] = (struct vt_code){rows[i], cols[j], (uint8_t)a};
	return n;
}
