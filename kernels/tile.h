/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile.h - the tiler: our definition of the pthreadpool symbols that libXNNPACK imports.
 *
 * Every operator, XNNPACK's or ours, describes its work as a pthreadpool loop nest. For each call
 *
 *	pthreadpool_parallelize_2d_tile_2d(gang, fn, ctx, M, N, mr, N, 0)
 *
 * the tiler decides, from the variant that the running layer has been given, the order of the two
 *tiled loops, the channel block nc, the row group mc, and how the resulting chunks are shared out.
 *The serial meaning of a traversal with (nc, mc), columns outer, is
 *
 *	for (j = 0; j < N; j += nc)               one chunk = one (j, i) pair
 *		for (i = 0; i < M; i += mc)
 *			for (ii = i; ii < i + mc; ii += mr)
 *				fn(ctx, ii, j, min(mr, M - ii), min(nc, N - j));
 *
 * No traversal changes an output bit: every output element is computed inside one call of fn.
 * Chunks are claimed by an atomic counter, so cores may join a running job at any chunk boundary.
 */
#ifndef VT_KERNELS_TILE_H
#define VT_KERNELS_TILE_H

#include <pthreadpool.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_TILE_MAX_DIMS 6

struct vt_variant; /* variant.h */

/** One loop nest, cut into cells and chunks. Lives on the leader's stack while it runs. */
struct vt_job {
	void (*call)(const struct vt_job *job, const size_t *index, const size_t *extent);
	void (*fn)(void); /* the task; call knows its true type */
	void *ctx;
	int n_dims;
	int order[VT_TILE_MAX_DIMS];	/* dims from outermost to innermost */
	size_t range[VT_TILE_MAX_DIMS]; /* iterations of each dim */
	size_t cell[VT_TILE_MAX_DIMS];	/* extent of one cell of the grid: 1, the tile, mc, nc */
	size_t step[VT_TILE_MAX_DIMS];	/* extent given to one call of fn inside a cell */
	size_t cells[VT_TILE_MAX_DIMS]; /* cells along each dim */
	size_t n_cells, cells_per_chunk, n_chunks;
	uint32_t shares; /* of whoever runs the job: how many cores deal its chunks among them */
};

/** vt_job_run_chunk - run chunk @i of [0, n_chunks) on the calling thread */
void vt_job_run_chunk(const struct vt_job *job, size_t i);

/**
 * struct pthreadpool - what XNNPACK is handed as its thread pool: the cores that run the present
 * layer One per running request. @run is called by the leader and returns when all chunks are done.
 */
struct pthreadpool {
	void (*run)(struct pthreadpool *gang,
		    const struct vt_job *job); /* NULL: on the calling thread */
	const struct vt_variant *variant; /* of the running layer; NULL: the default of its kind */
	unsigned int cores;	     /* cores that are expected to help, >= 1: sizes chunks only */
	unsigned int report_threads; /* what pthreadpool_get_threads_count() answers, see tile.c */
};

/** vt_gang_cores - cores that are expected to help; 1 for NULL, which is the calling thread */
static inline unsigned int vt_gang_cores(const struct pthreadpool *gang)
{
	return gang ? gang->cores : 1;
}

/**
 * vt_tile_matrix - a matrix nest of our own kernels: M x N, rows in multiples of @mr
 * Like pthreadpool_parallelize_2d_tile_2d(gang, fn, ctx, M, N, mr, N, 0), but fn is given whole
 * cells of mc x nc, so that it can block the third loop inside.
 */
void vt_tile_matrix(pthreadpool_t gang, pthreadpool_task_2d_tile_2d_t fn, void *ctx, size_t m,
		    size_t n, size_t mr);

/**
 * vt_tile_cut - rows and columns of a chunk of a matrix nest, as @v cuts it for @cores
 * @others: how many such matrices the nest walks
 * Two variants of the same order and the same cut are one.
 */
void vt_tile_cut(const struct vt_variant *v, size_t rows, size_t cols, size_t others,
		 unsigned int cores, size_t *mc, size_t *nc);

/** vt_tile_symbols - names of the pthreadpool symbols that we define; ends with NULL */
extern const char *const vt_tile_symbols[];

/*
 * Scratch memory of the calling thread for the time of one task, at least as large as the largest
 * vt_layer.scratch_bytes that was reserved on it; 64-byte aligned; contents are undefined.
 */
void *vt_scratch(void);
/**
 * vt_scratch_of - the same, @still holding what a task of this @owner (not 0) has left, if the thread has run no other since
 * Owners are numbers that no other run will ever use.
 */
void *vt_scratch_of(uint64_t owner, bool *still);
/** vt_scratch_reserve - grow the calling thread's scratch; 0 or -ENOMEM. Never on a hot path. */
int vt_scratch_reserve(size_t bytes);
/** vt_scratch_release - free it before the thread ends */
void vt_scratch_release(void);

#endif
