// SPDX-License-Identifier: Apache-2.0
/* sim_blocks.c - how fast each block runs beside the others.
 *
 * A block is evaluated once: the time of all its layers at each point of a grid of memory
 * stretches. Its progress is a fraction of that evaluation, which costs nothing while the machine
 * around it stays the same. Only a change of the stretch, of its cache share or of its cores
 * touches it again.
 */
#include <math.h>
#include <string.h>

#include "sim/sim_int.h"

#define STRETCH_STEPS 16 /* between grid points: finer changes move no event */
#define LINE_BYTES    64.0
#define SIMD_FLOPS    16.0 /* of one instruction: the scale of `instructions` only */

static double at_stretch(const double *ns, uint32_t step, double part)
{
	return ns[step] + (ns[step + 1] - ns[step]) * part;
}

static uint32_t first_node(const struct vt_sim *s, const struct run *r)
{
	return r->dom_first / s->node_domains;
}

static uint32_t last_node(const struct vt_sim *s, const struct run *r)
{
	return r->dom_last / s->node_domains;
}

/** Add (@sign 1) or remove (-1) the bandwidth that a block asks of its nodes. */
static void add_demand(struct vt_sim *s, const struct run *r, double sign)
{
	uint32_t from = first_node(s, r), to = last_node(s, r);

	for (uint32_t n = from; n <= to; n++) {
		double *to_node = s->demand[n];
		uint32_t cores = 0;

		if (from == to) {
			for (uint32_t i = 0; i < VT_STRETCHES; i++)
				to_node[i] += sign * r->asked_gbps[i];
			return;
		}
		for (uint32_t d = n * s->node_domains; d < (n + 1) * s->node_domains; d++)
			cores += r->in_domain[d];
		for (uint32_t i = 0; i < VT_STRETCHES; i++)
			to_node[i] +=
				sign * r->dram_bytes * ((double)cores / r->n_cores) / r->ns[i];
	}
}

static void set_domains(struct vt_sim *s, const struct vt_coreset *cores, struct run *r)
{
	int core = vt_coreset_next(cores, 0);
	uint32_t d = (uint32_t)core / s->domain_cores, left;

	r->n_cores = (uint16_t)vt_coreset_count(cores);
	r->dom_first = (uint16_t)d;
	for (uint32_t i = first_node(s, r) * s->node_domains; i < d; i++)
		r->in_domain[i] = 0;
	for (left = r->n_cores; left; d++) {
		r->in_domain[d] = (uint16_t)vt_coreset_count_range(cores, d * s->domain_cores,
								   s->domain_cores);
		left -= r->in_domain[d];
	}
	r->dom_last = (uint16_t)(d - 1);
	for (; d % s->node_domains; d++)
		r->in_domain[d] = 0;
}

/** The part of its domains' caches that a block has: by cores, as its neighbours have theirs. */
static uint8_t cache_share(const struct vt_sim *s, const struct run *r)
{
	double share = 0;
	uint32_t at;

	if (s->cfg->apart)
		return VT_SHARES - 1;
	for (uint32_t d = r->dom_first; d <= r->dom_last; d++)
		if (r->in_domain[d])
			share += (double)r->in_domain[d] * r->in_domain[d] / s->busy[d];
	at = (uint32_t)(share / r->n_cores * VT_SHARES + 0.5);
	return (uint8_t)(at ? at - 1 : 0);
}

static const struct vt_cell *cell_of(const struct vt_sim *s, const struct vt_block *b,
				     const struct run *r, uint32_t layer)
{
	const uint8_t *versions = s->versions + (size_t)r->slot * s->max_layers;

	return vt_bank_cell(s->bank, b->model, layer, versions[layer - b->layer_begin], r->point,
			    r->share);
}

/** Grants between measured core counts run as the next lower one; below the first, slower. */
static void set_point(const struct vt_sim *s, const struct vt_block *b, struct run *r)
{
	const struct vt_model *m = &s->bank->sched[b->model];
	int p = vt_model_point(m, r->n_cores);

	r->slower = p < 0 ? (double)m->points[0] / r->n_cores : 1;
	r->point = p < 0 ? 0 : (uint8_t)p;
}

/** Fraction of the evaluation that the present layer takes, its part `first` of it. */
static double layer_part(const struct vt_sim *s, const struct vt_block *b, const struct run *r)
{
	return r->first * r->slower * cell_of(s, b, r, b->layer_now)->ns[0] / r->ns[0];
}

/** Work out the time of what is left: part `first` of layer_now, and the layers after it. */
static void evaluate(struct vt_sim *s, struct vt_block *b, struct run *r)
{
	double part = r->first, ns[VT_STRETCHES], dram = 0, llc = 0, flops = 0;
	const struct vt_bank_model *bm = &s->bank->models[b->model];

	for (uint32_t i = 0; i < VT_STRETCHES; i++)
		ns[i] = 0;
	for (uint32_t l = b->layer_now; l < r->stop; l++) {
		const struct vt_cell *c = cell_of(s, b, r, l);

		for (uint32_t i = 0; i < VT_STRETCHES; i++)
			ns[i] += part * (double)c->ns[i];
		dram += part * (double)c->dram_bytes;
		llc += part * (double)c->llc_bytes;
		flops += part * (double)bm->rows[bm->row_of[l]].flops;
		part = 1;
	}
	for (uint32_t i = 0; i < VT_STRETCHES; i++)
		ns[i] = ns[i] * r->slower + r->overhead;
	for (uint32_t i = 0; i < VT_STRETCHES; i++) {
		r->ns[i] = ns[i];
		r->asked_gbps[i] = dram / ns[i];
	}
	r->dram_bytes = dram;
	r->llc_bytes = llc;
	r->flops = flops;
	r->done = 0;
	r->seen_ns = (double)s->now_ns;
	r->layer_end = r->overhead / r->ns[0] + layer_part(s, b, r);
	r->dirty = true;
}

/** Fold the progress of a caught-up block into (layer_now, first, overhead) for a new evaluation. */
static void fold(const struct vt_sim *s, struct vt_block *b, struct run *r)
{
	double part = layer_part(s, b, r), left = (r->layer_end - r->done) / part;

	r->overhead = vt_sim_more(0, r->overhead - r->done * r->ns[0]);
	if (r->overhead > 0)
		return;
	/* At least a trace of the layer is left, so that the block always ends after now. */
	r->first *= vt_sim_less(1, vt_sim_more(1e-6, left));
}

static void count_traffic(struct vt_sim *s, const struct run *r, double part)
{
	for (uint32_t d = r->dom_first; d <= r->dom_last; d++) {
		double mine = part * r->in_domain[d] / r->n_cores;

		s->llc_misses[d] += mine * r->dram_bytes / LINE_BYTES;
		s->llc_refs[d] += mine * r->llc_bytes / LINE_BYTES;
		s->instr[d] += mine * r->flops / SIMD_FLOPS;
	}
}

/** The layer under way has ended: when, by even progress since @seen_ns, when it was at @done. */
static void tell_layer(const struct vt_sim *s, const struct vt_block *b, const struct run *r,
		       double seen_ns, double done)
{
	double end_ns = seen_ns + (r->layer_end - done) * r->now_ns;

	end_ns = vt_sim_more(seen_ns, vt_sim_less(end_ns, (double)s->now_ns));
	s->cfg->layer(s->cfg->recorder, b->id, b->layer_now, (uint64_t)end_ns);
}

void vt_sim_catch_up(struct vt_sim *s, uint32_t b)
{
	struct vt_block *blk = &s->blocks[b];
	struct run *r = &s->runs[b];
	const double seen_ns = r->seen_ns, done = r->done;
	double dt = (double)s->now_ns - seen_ns, part;

	if (dt <= 0)
		return;
	part = vt_sim_less(dt / r->now_ns, 1 - r->done);
	r->done += part;
	r->seen_ns = (double)s->now_ns;
	s->res->busy_core_ns += dt * r->n_cores;
	if (!s->cfg->blind)
		count_traffic(s, r, part);
	while (r->done >= r->layer_end && blk->layer_now + 1 < r->stop) {
		if (s->cfg->layer)
			tell_layer(s, blk, r, seen_ns, done);
		blk->layer_now++;
		r->first = 1;
		r->layer_end += layer_part(s, blk, r);
	}
}

/** The neighbours of block @b in shared domains see another part of the cache. */
static void reshare_neighbours(struct vt_sim *s, uint32_t b)
{
	const struct run *r = &s->runs[b];
	bool alone = true;

	for (uint32_t d = r->dom_first; d <= r->dom_last; d++)
		alone = alone && (!r->in_domain[d] || r->in_domain[d] == s->domain_cores);
	for (uint32_t o = 0; !alone && o < s->n_blocks; o++) {
		struct run *other = &s->runs[o];

		if (o == b || other->dom_last < r->dom_first || other->dom_first > r->dom_last)
			continue;
		if (cache_share(s, other) == other->share)
			continue;
		vt_sim_catch_up(s, o);
		add_demand(s, other, -1);
		fold(s, &s->blocks[o], other);
		other->share = cache_share(s, other);
		evaluate(s, &s->blocks[o], other);
		add_demand(s, other, 1);
	}
}

static void take_cores(struct vt_sim *s, uint32_t b)
{
	struct run *r = &s->runs[b];

	set_domains(s, &s->blocks[b].cores, r);
	set_point(s, &s->blocks[b], r);
	vt_coreset_sub(&s->free, &s->blocks[b].cores);
	for (uint32_t d = r->dom_first; d <= r->dom_last; d++)
		s->busy[d] = (uint16_t)(s->busy[d] + r->in_domain[d]);
	s->n_busy += r->n_cores;
}

static void give_cores(struct vt_sim *s, uint32_t b)
{
	const struct run *r = &s->runs[b];

	vt_coreset_or(&s->free, &s->blocks[b].cores);
	for (uint32_t d = r->dom_first; d <= r->dom_last; d++)
		s->busy[d] = (uint16_t)(s->busy[d] - r->in_domain[d]);
	s->n_busy -= r->n_cores;
}

void vt_sim_begin(struct vt_sim *s, const uint8_t *versions, double overhead_ns)
{
	uint32_t b = s->n_blocks++;
	struct vt_block *blk = &s->blocks[b];
	struct run *r = &s->runs[b];

	r->slot = s->free_slots[--s->n_free_slots];
	s->block_at[r->slot] = b;
	memcpy(s->versions + (size_t)r->slot * s->max_layers, versions,
	       (size_t)(blk->layer_end - blk->layer_begin));
	r->first = 1;
	r->overhead = overhead_ns;
	r->stop = blk->layer_end;
	take_cores(s, b);
	r->granted = r->n_cores;
	r->share = cache_share(s, r);
	evaluate(s, blk, r);
	add_demand(s, r, 1);
	vt_heap_add(&s->heap, r->slot, UINT64_MAX);
	reshare_neighbours(s, b);
}

/** Other code for the layers that have not begun; the one under way keeps its own. */
static void recode(struct vt_sim *s, const struct vt_block *b, const struct run *r,
		   const struct vt_action *a, const struct vt_decision *d)
{
	uint8_t *to = s->versions + (size_t)r->slot * s->max_layers;

	for (uint32_t l = b->layer_now + 1u; l < a->layer_end; l++)
		if (l >= a->layer_begin)
			to[l - b->layer_begin] = d->versions[a->version_at + l - a->layer_begin];
}

void vt_sim_regrant(struct vt_sim *s, uint32_t b, const struct vt_coreset *to, double overhead_ns,
		    const struct vt_action *a, const struct vt_decision *d)
{
	struct run *r = &s->runs[b];

	vt_sim_catch_up(s, b);
	add_demand(s, r, -1);
	fold(s, &s->blocks[b], r);
	give_cores(s, b);
	reshare_neighbours(s, b);
	s->blocks[b].cores = *to;
	s->blocks[b].flags |= VT_BLOCK_RESIZED;
	recode(s, &s->blocks[b], r, a, d);
	take_cores(s, b);
	r->share = cache_share(s, r);
	r->overhead += overhead_ns;
	evaluate(s, &s->blocks[b], r);
	add_demand(s, r, 1);
	reshare_neighbours(s, b);
}

void vt_sim_stop(struct vt_sim *s, uint32_t b)
{
	struct run *r = &s->runs[b];

	vt_sim_catch_up(s, b);
	s->blocks[b].flags |= VT_BLOCK_STOPPING;
	if (s->blocks[b].layer_now + 1 == r->stop)
		return;
	add_demand(s, r, -1);
	fold(s, &s->blocks[b], r);
	r->stop = (uint16_t)(s->blocks[b].layer_now + 1);
	evaluate(s, &s->blocks[b], r);
	add_demand(s, r, 1);
}

void vt_sim_leave(struct vt_sim *s, uint32_t b)
{
	uint32_t last = --s->n_blocks;
	struct run *r = &s->runs[b];

	vt_heap_del(&s->heap, r->slot);
	s->free_slots[s->n_free_slots++] = r->slot;
	add_demand(s, r, -1);
	give_cores(s, b);
	s->n_blocks++; /* neighbours are looked up among all, this one included */
	reshare_neighbours(s, b);
	s->n_blocks = last;
	if (b != last) {
		s->blocks[b] = s->blocks[last];
		s->runs[b] = s->runs[last];
		s->block_at[s->runs[b].slot] = b;
	}
	/* Sums of differences drift; an idle machine is the moment to forget it. */
	for (uint32_t n = 0; !last && n < s->n_nodes; n++)
		for (uint32_t i = 0; i < VT_STRETCHES; i++)
			s->demand[n][i] = 0;
}

/** The stretch at which node @n delivers just what its blocks ask for; true if it changed. */
static bool solve(struct vt_sim *s, uint32_t n)
{
	uint32_t step;
	double part;

	if (s->cfg->apart)
		return false;
	vt_bank_balance(s->bank, s->demand[n], &step, &part);
	part = rint(part * STRETCH_STEPS) / STRETCH_STEPS;
	if (step == s->step[n] && part == s->part[n])
		return false;
	s->step[n] = (uint8_t)step;
	s->part[n] = part;
	return true;
}

/** What busy cores elsewhere cost beyond memory and caches. */
static double beside(const struct vt_sim *s, const struct run *r)
{
	uint32_t room = s->bank->machine.cores - r->n_cores;

	if (!s->bank->machine.beside_ppm || s->cfg->apart)
		return 1;
	return room ? 1 + s->bank->machine.beside_ppm * 1e-6 * (s->n_busy - r->n_cores) / room : 1;
}

static void set_end(struct vt_sim *s, uint32_t b)
{
	struct run *r = &s->runs[b];
	uint32_t node = first_node(s, r);
	double left;
	int64_t ns;

	for (uint32_t n = node + 1; n <= last_node(s, r); n++)
		if (s->step[n] + s->part[n] > s->step[node] + s->part[node])
			node = n;
	r->now_ns = at_stretch(r->ns, s->step[node], s->part[node]) * beside(s, r);
	left = (1 - r->done) * r->now_ns;
	r->dirty = false;
	ns = (int64_t)left;
	ns += (double)ns < left;
	s->blocks[b].end_ns = s->now_ns + (ns > 1 ? (uint64_t)ns : 1);
	vt_heap_move(&s->heap, r->slot, s->blocks[b].end_ns);
}

static bool saturated(const struct vt_sim *s)
{
	for (uint32_t n = 0; n < s->n_nodes; n++)
		if (at_stretch(s->bank->stretch, s->step[n], s->part[n]) >= s->bank->full_stretch)
			return true;
	return false;
}

void vt_sim_settle(struct vt_sim *s)
{
	bool again = false,
	     changed = s->bank->machine.beside_ppm > 0 && s->n_busy != s->n_busy_settled;

	for (uint32_t n = 0; n < s->n_nodes; n++)
		again = solve(s, n) || again;
	changed = changed || again;
	for (uint32_t b = 0; b < s->n_blocks; b++) {
		if (!changed && !s->runs[b].dirty)
			continue;
		if (!s->runs[b].dirty)
			vt_sim_catch_up(s, b);
		set_end(s, b);
	}
	if (s->full)
		s->res->stretched_ns += (double)s->now_ns - s->stretched_since_ns;
	s->stretched_since_ns = (double)s->now_ns;
	s->full = again ? saturated(s) : s->full;
	s->n_busy_settled = s->n_busy;
}
