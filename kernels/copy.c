// SPDX-License-Identifier: Apache-2.0
#include "kernels/copy.h"

#include <string.h>

#define BLOCK 32 /* a square of 4-byte elements touches 32 lines twice: half of an L1's ways */

struct job {
	const struct vt_copy *c;
	char *dst;
	const char *src;
};

void vt_copy_plan(struct vt_copy *c)
{
	struct vt_nd *nd = &c->nd;
	int last;

	vt_nd_collapse(nd);
	last = nd->rank - 1;
	c->how = VT_COPY_STRIDED;
	if (nd->stride[0][last] != 1)
		return;
	if (nd->stride[1][last] == 0)
		c->how = VT_COPY_FILL;
	if (nd->stride[1][last] == 1)
		c->how = VT_COPY_ROWS;
	if (c->how != VT_COPY_STRIDED || nd->dim[last] < 2)
		return;
	for (int d = 0; d < last; d++)
		if (nd->stride[1][d] == 1 && nd->dim[d] > 1) {
			c->how = VT_COPY_TRANSPOSE;
			c->dense = d;
		}
	if (c->how != VT_COPY_TRANSPOSE)
		return;
	c->outer.n_ops = nd->n_ops;
	for (int d = 0; d < last; d++) {
		if (d == c->dense)
			continue;
		c->outer.dim[c->outer.rank] = nd->dim[d];
		for (int k = 0; k < nd->n_ops; k++)
			c->outer.stride[k][c->outer.rank] = nd->stride[k][d];
		c->outer.rank++;
	}
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* n elements with a stride of ds in the destination and ss in the source */
static void strided_row(char *dst, int64_t ds, const char *src, int64_t ss, size_t n, size_t esize)
{
#define CASE(T)                                                                                    \
	case sizeof(T): {                                                                          \
		T *y = (T *)dst;                                                                   \
		const T *x = (const T *)src;                                                       \
		for (; n; n--, y += ds, x += ss)                                                   \
			*y = *x;                                                                   \
		break;                                                                             \
	}
	switch (esize) {
		CASE(uint8_t)
		CASE(uint16_t)
		CASE(uint32_t)
		CASE(uint64_t)
	}
#undef CASE
}

static void fill_row(char *dst, const char *src, size_t n, size_t esize)
{
#define CASE(T)                                                                                    \
	case sizeof(T): {                                                                          \
		const T v = *(const T *)src;                                                       \
		for (size_t i = 0; i < n; i++)                                                     \
			((T *)dst)[i] = v;                                                         \
		break;                                                                             \
	}
	switch (esize) {
		CASE(uint8_t)
		CASE(uint16_t)
		CASE(uint32_t)
		CASE(uint64_t)
	}
#undef CASE
}

static void rows_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct job *job = ctx;
	const struct vt_copy *c = job->c;
	const int rank = c->nd.rank - 1;
	const int64_t ds = c->nd.stride[0][rank], ss = c->nd.stride[1][rank];
	struct vt_nd_iter it;

	vt_nd_seek(&it, &c->nd, rank, i);
	for (; ni; ni--, vt_nd_step(&it, &c->nd, rank, 1)) {
		char *dst = job->dst + (it.off[0] + (int64_t)j * ds) * (int64_t)c->esize;
		const char *src = job->src + (it.off[1] + (int64_t)j * ss) * (int64_t)c->esize;

		if (c->how == VT_COPY_ROWS)
			memcpy(dst, src, nj * c->esize);
		else if (c->how == VT_COPY_FILL)
			fill_row(dst, src, nj, c->esize);
		else
			strided_row(dst, ds, src, ss, nj, c->esize);
	}
}

/* ---- blocks -------------------------------------------------------------------------------- */

typedef uint32_t v1 __attribute__((may_alias));
typedef uint32_t v4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t v4a __attribute__((vector_size(16)));

static inline v4a lo(v4a a, v4a b)
{
	return (v4a){a[0], b[0], a[1], b[1]};
}

static inline v4a hi(v4a a, v4a b)
{
	return (v4a){a[2], b[2], a[3], b[3]};
}

/* dst[k * ds + i] = src[i * ss + k] for i, k < 4 */
static inline void square4(v1 *dst, int64_t ds, const v1 *src, int64_t ss)
{
	v4a r0 = *(const v4 *)src, r1 = *(const v4 *)(src + ss), r2 = *(const v4 *)(src + 2 * ss),
	    r3 = *(const v4 *)(src + 3 * ss);
	v4a a = lo(r0, r2), b = lo(r1, r3), c = hi(r0, r2), d = hi(r1, r3);

	*(v4 *)dst = lo(a, b);
	*(v4 *)(dst + ds) = hi(a, b);
	*(v4 *)(dst + 2 * ds) = lo(c, d);
	*(v4 *)(dst + 3 * ds) = hi(c, d);
}

/* dst[k * ds + i] = src[i * ss + k] for i < ni, k < nk */
static void block4(v1 *dst, int64_t ds, const v1 *src, int64_t ss, size_t ni, size_t nk)
{
	size_t i = 0;

	for (; i + 4 <= ni; i += 4) {
		size_t k = 0;

		for (; k + 4 <= nk; k += 4)
			square4(dst + (int64_t)k * ds + i, ds, src + (int64_t)i * ss + k, ss);
		for (; k < nk; k++)
			for (size_t r = i; r < i + 4; r++)
				dst[(int64_t)k * ds + (int64_t)r] =
					src[(int64_t)r * ss + (int64_t)k];
	}
	for (size_t k = 0; k < nk; k++)
		for (size_t r = i; r < ni; r++)
			dst[(int64_t)k * ds + (int64_t)r] = src[(int64_t)r * ss + (int64_t)k];
}

void vt_transpose_f32(float *dst, int64_t ds, const float *src, int64_t ss, size_t ni, size_t nk)
{
	block4((v1 *)dst, ds, (const v1 *)src, ss, ni, nk);
}

/*
 * Three rows into pixels of three, as when an RGB image becomes NHWC: four pixels at a time, where
 * the fourth lane of each store is overwritten by the next one; so the last pixels go one by one.
 */
static void interleave3(uint32_t *dst, const uint32_t *src, int64_t ss, size_t nk)
{
	size_t k = 0;

	for (; k + 5 <= nk; k += 4) {
		v4a r0 = *(const v4 *)(src + k), r1 = *(const v4 *)(src + ss + k),
		    r2 = *(const v4 *)(src + 2 * ss + k);
		v4a a = lo(r0, r2), b = lo(r1, r2), c = hi(r0, r2), d = hi(r1, r2);

		*(v4 *)(dst + 3 * k) = lo(a, b);
		*(v4 *)(dst + 3 * k + 3) = hi(a, b);
		*(v4 *)(dst + 3 * k + 6) = lo(c, d);
		*(v4 *)(dst + 3 * k + 9) = hi(c, d);
	}
	for (; k < nk; k++)
		for (size_t i = 0; i < 3; i++)
			dst[3 * k + i] = src[(int64_t)i * ss + (int64_t)k];
}

#define BLOCK_FN(T)                                                                                \
	static void block_##T(T *dst, int64_t ds, const T *src, int64_t ss, size_t ni, size_t nk)  \
	{                                                                                          \
		for (size_t k = 0; k < nk; k++)                                                    \
			for (size_t i = 0; i < ni; i++)                                            \
				dst[(int64_t)k * ds + (int64_t)i] =                                \
					src[(int64_t)i * ss + (int64_t)k];                         \
	}
BLOCK_FN(uint8_t)
BLOCK_FN(uint16_t)
BLOCK_FN(uint64_t)

/* Of outer item o: [k, k + nk) of the source's dense dim, [i, i + ni) of the destination's. */
static void block_task(void *ctx, size_t o, size_t k, size_t i, size_t nk, size_t ni)
{
	const struct job *job = ctx;
	const struct vt_copy *c = job->c;
	const int last = c->nd.rank - 1;
	const int64_t ds = c->nd.stride[0][c->dense], ss = c->nd.stride[1][last];
	struct vt_nd_iter it;
	char *dst;
	const char *src;

	vt_nd_seek(&it, &c->outer, c->outer.rank, o);
	for (size_t kk = k; kk < k + nk; kk += BLOCK) {
		const size_t m = k + nk - kk < BLOCK ? k + nk - kk : BLOCK;

		dst = job->dst + (it.off[0] + (int64_t)kk * ds + (int64_t)i) * (int64_t)c->esize;
		src = job->src + (it.off[1] + (int64_t)i * ss + (int64_t)kk) * (int64_t)c->esize;
		switch (c->esize) {
		case 1:
			block_uint8_t((uint8_t *)dst, ds, (const uint8_t *)src, ss, ni, m);
			break;
		case 2:
			block_uint16_t((uint16_t *)dst, ds, (const uint16_t *)src, ss, ni, m);
			break;
		case 4:
			if (ds == 3 && ni == 3)
				interleave3((uint32_t *)dst, (const uint32_t *)src, ss, m);
			else
				block4((v1 *)dst, ds, (const v1 *)src, ss, ni, m);
			break;
		default:
			block_uint64_t((uint64_t *)dst, ds, (const uint64_t *)src, ss, ni, m);
		}
	}
}

void vt_copy_run(const struct vt_copy *c, void *dst, const void *src, pthreadpool_t gang)
{
	const int last = c->nd.rank - 1;
	const size_t rows = vt_nd_count(&c->nd, last), cols = (size_t)c->nd.dim[last];
	struct job job = {c, (char *)dst + c->dst_off * (int64_t)c->esize,
			  (const char *)src + c->src_off * (int64_t)c->esize};
	struct vt_plan plan;

	if (!rows || !cols)
		return;
	if (c->how == VT_COPY_TRANSPOSE) {
		pthreadpool_parallelize_3d_tile_2d(
			gang, block_task, &job, vt_nd_count(&c->outer, c->outer.rank),
			(size_t)c->nd.dim[c->dense], cols, 8 * BLOCK, BLOCK, 0);
		return;
	}
	vt_plan_rows(&plan, rows, cols, 4 * VT_TILE_ELEMS);
	pthreadpool_parallelize_2d_tile_2d(gang, rows_task, &job, rows, cols, plan.tile[0],
					   plan.tile[1], 0);
}
