// SPDX-License-Identifier: Apache-2.0
/*
 * tile.c - the pthreadpool symbols, and how a loop nest becomes chunks.
 *
 * A nest is a grid of cells, walked in the order of job->order; a chunk is a run of consecutive
 * cells. For a matrix layer a cell is mc x nc, walked inside in steps of mr rows; for everything
 * else it is what the caller gave as its tile.
 *
 * XNNPACK asks pthreadpool_get_threads_count() when an operator is set up: with 1 it hands over the
 * whole width N as the second tile of a matrix nest, which leaves nc to us; with more it cuts
 * element-wise work into tiles of its own choice, which is what we want there. So each layer sets report_threads.
 */
#include "kernels/tile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/bigmem.h"
#include "kernels/variant.h"

/* Enough chunks that the last core to finish is late by little; few enough that claiming costs nothing. */
#define CHUNKS_ALONE 4 /* so that a core can join */

/* A matrix chunk is no smaller than this: below it, what it loads is no longer paid for by what it computes. */
#define MIN_ROWS 28
#define MIN_COLS 32
/* A part of the rows that a core has for itself: two tiles of our own kernel, the second half full at least. */
#define MIN_PART 22

static size_t div_up(size_t a, size_t b)
{
	return a / b + (a % b != 0);
}

static size_t min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- running ------------------------------------------------------------------------------ */

/* One cell: the last two dims may be walked in steps, all others have extent 1 or one tile. */
static void run_cell(const struct vt_job *job, const size_t *at)
{
	size_t index[VT_TILE_MAX_DIMS], extent[VT_TILE_MAX_DIMS];
	int row = job->n_dims - 2, d;
	size_t end;

	for (d = 0; d < job->n_dims; d++) {
		index[d] = at[d] * job->cell[d];
		extent[d] = min_size(job->step[d], job->range[d] - index[d]);
	}
	if (row < 0 || job->step[row] == job->cell[row]) {
		job->call(job, index, extent);
		return;
	}
	end = min_size(index[row] + job->cell[row], job->range[row]);
	for (; index[row] < end; index[row] += job->step[row]) {
		extent[row] = min_size(job->step[row], end - index[row]);
		job->call(job, index, extent);
	}
}

void vt_job_run_chunk(const struct vt_job *job, size_t i)
{
	size_t at[VT_TILE_MAX_DIMS], cell = i * job->cells_per_chunk;
	size_t end = min_size(cell + job->cells_per_chunk, job->n_cells), rest = cell;

	for (int o = job->n_dims - 1; o >= 0; o--) {
		int d = job->order[o];

		at[d] = rest % job->cells[d];
		rest /= job->cells[d];
	}
	for (; cell < end; cell++) {
		run_cell(job, at);
		for (int o = job->n_dims - 1; o >= 0; o--) {
			int d = job->order[o];

			if (++at[d] < job->cells[d])
				break;
			at[d] = 0;
		}
	}
}

/* ---- cutting ------------------------------------------------------------------------------ */

/*
 * Rows (and with fit, columns) of a chunk. A chunk of mc x nc reads mc + nc vectors of length K for
 * mc * nc dot products: of all cuts into as many chunks, the squarest moves the least.
 */
static void cut_chunks(size_t rows, size_t cols, size_t others, size_t want,
		       const struct vt_variant *v, size_t *mc, size_t *nc)
{
	while (others * div_up(rows, *mc) * div_up(cols, *nc) < want) {
		const bool can_rows = *mc > MIN_ROWS, can_cols = v->fit && *nc >= 2 * MIN_COLS;
		const bool rows_first = !v->cols_outer && can_rows;

		if (can_cols && !rows_first && (*nc > *mc || !can_rows))
			*nc = div_up(*nc / 2, MIN_COLS) * MIN_COLS;
		else if (can_rows)
			*mc = div_up(*mc, 2);
		else
			break;
	}
}

/* A part of the rows for each core, as far as there are enough; columns for the rest of the chunks. */
static void cut_split(size_t rows, size_t cols, size_t others, unsigned int cores, size_t want,
		      size_t *mc, size_t *nc)
{
	size_t parts = div_up(cores, others);

	while (parts > 1 && rows / parts < MIN_PART)
		parts = div_up(parts, 2);
	*mc = div_up(rows, parts);
	while (others * parts * div_up(cols, *nc) < want && *nc >= 2 * MIN_COLS)
		*nc = div_up(*nc / 2, MIN_COLS) * MIN_COLS;
}

static size_t wanted_chunks(const struct vt_variant *v, unsigned int cores)
{
	const size_t per_core = v && v->chunks ? v->chunks : VT_CHUNKS_PER_CORE;

	return per_core * cores;
}

void vt_tile_cut(const struct vt_variant *v, size_t rows, size_t cols, size_t others,
		 unsigned int cores, size_t *mc, size_t *nc)
{
	const size_t want = cores > 1 ? wanted_chunks(v, cores) : CHUNKS_ALONE;

	*nc = v->nc ? min_size(v->nc, cols) : cols;
	*mc = v->mc ? v->mc : rows;
	if (v->split && cores > 1)
		cut_split(rows, cols, others, cores, want, mc, nc);
	else if (!v->mc)
		cut_chunks(rows, cols, others, want, v, mc, nc);
}

/* A matrix nest: the last two dims are rows and columns, and the layer's variant says how to walk them. */
static void apply_variant(struct vt_job *job, const struct vt_variant *v, unsigned int cores,
			  bool whole_cells)
{
	const int row = job->n_dims - 2, col = job->n_dims - 1;
	const size_t mr = job->step[row];
	size_t others = 1, mc, nc;

	if (vt_variant_cols_outer(v, cores)) {
		job->order[row] = col;
		job->order[col] = row;
	}
	for (int d = 0; d < row; d++)
		others *= job->range[d];
	vt_tile_cut(v, job->range[row], job->range[col], others, cores, &mc, &nc);
	/* XNNPACK may have cut columns itself: a block without a bound is what it gave. */
	if (!v->nc)
		nc = min_size(nc, job->step[col]);
	job->step[col] = job->cell[col] = nc;
	/* Who is given whole cells steps through them himself: halves of 49 rows need not be 28 and 21. */
	job->cell[row] = whole_cells && v->split ? mc : div_up(mc, mr) * mr;
}

static void run_nest(pthreadpool_t gang, struct vt_job *job, bool whole_cells)
{
	static const struct pthreadpool alone = {.cores = 1, .report_threads = 1};
	const struct pthreadpool *g = gang ? gang : &alone;
	const bool matrix = g->variant && g->variant->kind == VT_VARIANT_MATRIX &&
			    job->n_dims >= 2 && job->step[job->n_dims - 2] > 1;

	for (int d = 0; d < job->n_dims; d++) {
		if (!job->range[d])
			return;
		job->order[d] = d;
		job->cell[d] = job->step[d];
	}
	if (matrix)
		apply_variant(job, g->variant, g->cores, whole_cells);
	if (whole_cells)
		job->step[0] = job->cell[0];
	job->n_cells = 1;
	for (int d = 0; d < job->n_dims; d++) {
		job->cells[d] = div_up(job->range[d], job->cell[d]);
		job->n_cells *= job->cells[d];
	}
	job->cells_per_chunk = 1;
	if (!matrix)
		job->cells_per_chunk = div_up(job->n_cells, wanted_chunks(g->variant, g->cores));
	job->n_chunks = div_up(job->n_cells, job->cells_per_chunk);
	if (g->run && job->n_chunks > 1) {
		gang->run(gang, job);
		return;
	}
	for (size_t i = 0; i < job->n_chunks; i++)
		vt_job_run_chunk(job, i);
}

/* ---- the symbols -------------------------------------------------------------------------- */

/*
 * For each form: a trampoline that knows the task's type, and the symbol itself. In the argument
 * lists i, j, k ... are starts, and ti, tj the extents of the tiled dims.
 */
#define I(d) index[d]
#define E(d) extent[d]
#define NEST(name, type, dims, call_args, params, ranges, steps)                                   \
	static void call_##name(const struct vt_job *job, const size_t *index,                     \
				const size_t *extent)                                              \
	{                                                                                          \
		type fn = (type)job->fn;                                                           \
		(void)extent;                                                                      \
		fn call_args;                                                                      \
	}                                                                                          \
	void pthreadpool_parallelize_##name(pthreadpool_t gang, type fn, void *ctx, params,        \
					    uint32_t flags)                                        \
	{                                                                                          \
		const size_t range[] = ranges, step[] = steps;                                     \
		struct vt_job job = {.call = call_##name,                                          \
				     .fn = (void (*)(void))fn,                                     \
				     .ctx = ctx,                                                   \
				     .n_dims = dims};                                              \
		(void)flags; /* PTHREADPOOL_FLAG_DISABLE_DENORMALS: they stay, see decisions.md */ \
		memcpy(job.range, range, sizeof(range));                                           \
		memcpy(job.step, step, sizeof(step));                                              \
		run_nest(gang, &job, false);                                                       \
	}
#define P(...) __VA_ARGS__
#define L(...)                                                                                     \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

NEST(1d, pthreadpool_task_1d_t, 1, (job->ctx, I(0)), P(size_t i), L(i), L(1))
NEST(1d_tile_1d, pthreadpool_task_1d_tile_1d_t, 1, (job->ctx, I(0), E(0)), P(size_t i, size_t ti),
     L(i), L(ti))
NEST(2d, pthreadpool_task_2d_t, 2, (job->ctx, I(0), I(1)), P(size_t i, size_t j), L(i, j), L(1, 1))
NEST(2d_tile_1d, pthreadpool_task_2d_tile_1d_t, 2, (job->ctx, I(0), I(1), E(1)),
     P(size_t i, size_t j, size_t tj), L(i, j), L(1, tj))
NEST(2d_tile_2d, pthreadpool_task_2d_tile_2d_t, 2, (job->ctx, I(0), I(1), E(0), E(1)),
     P(size_t i, size_t j, size_t ti, size_t tj), L(i, j), L(ti, tj))
NEST(3d, pthreadpool_task_3d_t, 3, (job->ctx, I(0), I(1), I(2)), P(size_t i, size_t j, size_t k),
     L(i, j, k), L(1, 1, 1))
NEST(3d_tile_1d, pthreadpool_task_3d_tile_1d_t, 3, (job->ctx, I(0), I(1), I(2), E(2)),
     P(size_t i, size_t j, size_t k, size_t tk), L(i, j, k), L(1, 1, tk))
NEST(3d_tile_2d, pthreadpool_task_3d_tile_2d_t, 3, (job->ctx, I(0), I(1), I(2), E(1), E(2)),
     P(size_t i, size_t j, size_t k, size_t tj, size_t tk), L(i, j, k), L(1, tj, tk))
NEST(4d, pthreadpool_task_4d_t, 4, (job->ctx, I(0), I(1), I(2), I(3)),
     P(size_t i, size_t j, size_t k, size_t l), L(i, j, k, l), L(1, 1, 1, 1))
NEST(4d_tile_1d, pthreadpool_task_4d_tile_1d_t, 4, (job->ctx, I(0), I(1), I(2), I(3), E(3)),
     P(size_t i, size_t j, size_t k, size_t l, size_t tl), L(i, j, k, l), L(1, 1, 1, tl))
NEST(4d_tile_2d, pthreadpool_task_4d_tile_2d_t, 4, (job->ctx, I(0), I(1), I(2), I(3), E(2), E(3)),
     P(size_t i, size_t j, size_t k, size_t l, size_t tk, size_t tl), L(i, j, k, l),
     L(1, 1, tk, tl))
NEST(5d, pthreadpool_task_5d_t, 5, (job->ctx, I(0), I(1), I(2), I(3), I(4)),
     P(size_t i, size_t j, size_t k, size_t l, size_t m), L(i, j, k, l, m), L(1, 1, 1, 1, 1))
NEST(5d_tile_1d, pthreadpool_task_5d_tile_1d_t, 5, (job->ctx, I(0), I(1), I(2), I(3), I(4), E(4)),
     P(size_t i, size_t j, size_t k, size_t l, size_t m, size_t tm), L(i, j, k, l, m),
     L(1, 1, 1, 1, tm))
NEST(5d_tile_2d, pthreadpool_task_5d_tile_2d_t, 5,
     (job->ctx, I(0), I(1), I(2), I(3), I(4), E(3), E(4)),
     P(size_t i, size_t j, size_t k, size_t l, size_t m, size_t tl, size_t tm), L(i, j, k, l, m),
     L(1, 1, 1, tl, tm))
NEST(6d, pthreadpool_task_6d_t, 6, (job->ctx, I(0), I(1), I(2), I(3), I(4), I(5)),
     P(size_t i, size_t j, size_t k, size_t l, size_t m, size_t n), L(i, j, k, l, m, n),
     L(1, 1, 1, 1, 1, 1))
NEST(6d_tile_1d, pthreadpool_task_6d_tile_1d_t, 6,
     (job->ctx, I(0), I(1), I(2), I(3), I(4), I(5), E(5)),
     P(size_t i, size_t j, size_t k, size_t l, size_t m, size_t n, size_t tn), L(i, j, k, l, m, n),
     L(1, 1, 1, 1, 1, tn))
NEST(6d_tile_2d, pthreadpool_task_6d_tile_2d_t, 6,
     (job->ctx, I(0), I(1), I(2), I(3), I(4), I(5), E(4), E(5)),
     P(size_t i, size_t j, size_t k, size_t l, size_t m, size_t n, size_t tm, size_t tn),
     L(i, j, k, l, m, n), L(1, 1, 1, 1, tm, tn))

void vt_tile_matrix(pthreadpool_t gang, pthreadpool_task_2d_tile_2d_t fn, void *ctx, size_t m,
		    size_t n, size_t mr)
{
	struct vt_job job = {.call = call_2d_tile_2d,
			     .fn = (void (*)(void))fn,
			     .ctx = ctx,
			     .n_dims = 2,
			     .range = {m, n},
			     .step = {mr, n}};

	run_nest(gang, &job, true);
}

size_t pthreadpool_get_threads_count(pthreadpool_t gang)
{
	return gang ? gang->report_threads : 1;
}

/* XNNPACK never makes a pool of its own; whoever links us and does gets the calling thread. */
pthreadpool_t pthreadpool_create(size_t threads)
{
	struct pthreadpool *g = calloc(1, sizeof(*g));

	(void)threads;
	if (g) {
		g->cores = 1;
		g->report_threads = 1;
	}
	return g;
}

void pthreadpool_destroy(pthreadpool_t gang)
{
	free(gang);
}

#define S(form) "pthreadpool_parallelize_" #form
const char *const vt_tile_symbols[] = {
	S(1d),
	S(1d_tile_1d),
	S(2d),
	S(2d_tile_1d),
	S(2d_tile_2d),
	S(3d),
	S(3d_tile_1d),
	S(3d_tile_2d),
	S(4d),
	S(4d_tile_1d),
	S(4d_tile_2d),
	S(5d),
	S(5d_tile_1d),
	S(5d_tile_2d),
	S(6d),
	S(6d_tile_1d),
	S(6d_tile_2d),
	"pthreadpool_get_threads_count",
	"pthreadpool_create",
	"pthreadpool_destroy",
	NULL,
};

/* ---- scratch ------------------------------------------------------------------------------ */

static _Thread_local struct {
	void *mem;
	size_t bytes;
	uint64_t owner; /* of what lies there; 0: nobody */
} scratch;

void *vt_scratch(void)
{
	scratch.owner = 0;
	return scratch.mem;
}

void *vt_scratch_of(uint64_t owner, bool *still)
{
	*still = scratch.owner == owner;
	scratch.owner = owner;
	return scratch.mem;
}

/* What is large is walked through for each panel of weights: huge pages. */
static void *scratch_alloc(size_t bytes)
{
	return bytes < VT_BIG_FROM ? aligned_alloc(4096, bytes) : vt_big_alloc(bytes);
}

int vt_scratch_reserve(size_t bytes)
{
	void *mem;

	if (bytes <= scratch.bytes)
		return 0;
	bytes = div_up(bytes, 4096) * 4096;
	mem = scratch_alloc(bytes);
	if (!mem)
		return -ENOMEM;
	vt_scratch_release();
	scratch.mem = mem;
	scratch.bytes = bytes;
	return 0;
}

void vt_scratch_release(void)
{
	if (scratch.bytes < VT_BIG_FROM)
		free(scratch.mem);
	else
		vt_big_free(scratch.mem, scratch.bytes);
	scratch.mem = NULL;
	scratch.bytes = 0;
	scratch.owner = 0;
}
