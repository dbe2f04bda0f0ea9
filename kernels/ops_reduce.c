// SPDX-License-Identifier: Apache-2.0
/*
 * Reductions. Dims are collapsed into runs that are kept or reduced. f32 sums, maxima and norms use
 * row kernels in one of two forms: where the innermost run is reduced, whole rows become numbers,
 * compensated within a row and added up in double; where it is kept, rows are accumulated into a
 * row, which is emptied into doubles regularly. So error does not grow with the number of elements.
 * Everything else walks element by element in double or 64-bit integers.
 *
 * An image's average per channel is taken in parts of its pixels, as many for any number of cores, which
 * are joined at the end: a core then reads what it has written, and may write it again at once. Cut by
 * channels each core read lines that the other had written, and the layer after, which scales the image
 * in place, had to take them back one by one.
 */
#include "kernels/fit.h"
#include "kernels/half.h"
#include "kernels/isa.h"
#include "kernels/ops.h"

#include <math.h>

#define COLS  256 /* of a block that is accumulated at a time */
#define FLUSH 32  /* rows added up in float before they go into the doubles */

/* Of an image: pixels of a part at least, parts at most, and what joining them may cost. */
#define PART_PIXELS 8
#define MOST_PARTS  32
#define PART_SUMS   8192

struct reduce;
typedef void generic_fn(const struct reduce *p, void *y, const void *x, size_t at, int64_t off);

struct reduce {
	struct vt_plan plan;
	enum vt_op op;
	struct vt_nd keep; /* kept dims; operands: out, in. The last one is 1 if reduced rows */
	struct vt_nd over; /* reduced dims; operand 1: in */
	size_t n;	   /* elements that become one */
	size_t parts;	   /* of n, joined by join_parts(); 0: one */
	enum vt_fold fold; /* row kernel */
	generic_fn *fn;	   /* or this */
};

/* ---- f32 ---------------------------------------------------------------------------------- */

static float finish(const struct reduce *p, double v)
{
	switch (p->op) {
	case VT_OP_REDUCE_MEAN:
	case VT_OP_GLOBALAVGPOOL:
		return (float)(v / (double)p->n);
	case VT_OP_REDUCE_L2:
		return (float)sqrt(v);
	case VT_OP_REDUCE_LOG_SUM:
		return (float)log(v);
	default:
		return (float)v;
	}
}

static double start(enum vt_fold f)
{
	return f == VT_FOLD_MAX ? -INFINITY : f == VT_FOLD_MIN ? INFINITY : 0;
}

static double join(enum vt_fold f, double a, double b)
{
	if (f == VT_FOLD_MAX)
		return a > b || a != a ? a : b;
	if (f == VT_FOLD_MIN)
		return a < b || a != a ? a : b;
	return a + b;
}

/* One output: its rows lie along the last reduced dim. */
static void rows_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct reduce *p = (const void *)c->plan;
	const int last = p->over.rank - 1;
	const size_t n = (size_t)p->over.dim[last], rows = vt_nd_count(&p->over, last);
	struct vt_nd_iter keep, over;

	vt_nd_seek(&keep, &p->keep, p->keep.rank, j);
	for (; nj; nj--, vt_nd_step(&keep, &p->keep, p->keep.rank, 1)) {
		const float *x = (const float *)c->in[0] + keep.off[1];
		double v = start(p->fold);

		vt_nd_seek(&over, &p->over, last, 0);
		for (size_t r = 0; r < rows; r++, vt_nd_step(&over, &p->over, last, 1))
			v = join(p->fold, v, vt_vec()->reduce[p->fold](x + over.off[1], n));
		((float *)c->out[0])[keep.off[0]] = finish(p, v);
	}
}

/* A block of columns: rows [from, end) over the reduced dims, added up; n at most COLS. */
static void add_columns(const struct reduce *p, double *total, const float *x, size_t from,
			size_t end, size_t n)
{
	const struct vt_vec *v = vt_vec();
	const float init = (float)start(p->fold);
	float acc[COLS];
	struct vt_nd_iter it;

	vt_nd_seek(&it, &p->over, p->over.rank, from);
	for (size_t k = 0; k < n; k++)
		total[k] = init;
	for (size_t r = from; r < end;) {
		for (size_t k = 0; k < n; k++)
			acc[k] = init;
		if (p->over.rank == 1) {
			const size_t run = end - r < FLUSH ? end - r : FLUSH;
			const size_t stride = (size_t)p->over.stride[1][0];

			v->accum_rows[p->fold](acc, x + r * stride, n, run, stride);
			r += run;
		} else {
			do {
				v->accum[p->fold](acc, x + it.off[1], n);
				vt_nd_step(&it, &p->over, p->over.rank, 1);
			} while (++r < end && r % FLUSH);
		}
		for (size_t k = 0; k < n; k++)
			total[k] = join(p->fold, total[k], acc[k]);
	}
}

static void columns(const struct reduce *p, float *y, const float *x, size_t n)
{
	double total[COLS];

	add_columns(p, total, x, 0, p->n, n);
	for (size_t k = 0; k < n; k++)
		y[k] = finish(p, total[k]);
}

static void columns_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct reduce *p = (const void *)c->plan;
	const int last = p->keep.rank - 1;
	struct vt_nd_iter it;

	vt_nd_seek(&it, &p->keep, last, i);
	for (; ni; ni--, vt_nd_step(&it, &p->keep, last, 1))
		columns(p, (float *)c->out[0] + it.off[0] + j,
			(const float *)c->in[0] + it.off[1] + j, nj);
}

/* Parts i of all images, each a row of sums in the call's work. */
static void parts_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct reduce *p = (const void *)c->plan;
	const int last = p->keep.rank - 1;
	const size_t channels = (size_t)p->keep.dim[last];
	struct vt_nd_iter it;

	for (; ni; ni--, i++) {
		const size_t part = i % p->parts;

		vt_nd_seek(&it, &p->keep, last, i / p->parts);
		add_columns(p, (double *)c->work + i * channels + j,
			    (const float *)c->in[0] + it.off[1] + j, part * p->n / p->parts,
			    (part + 1) * p->n / p->parts, nj);
	}
}

static void join_rows(enum vt_fold f, double *sum, const double *more, size_t n)
{
	if (f == VT_FOLD_MAX || f == VT_FOLD_MIN)
		for (size_t k = 0; k < n; k++)
			sum[k] = join(f, sum[k], more[k]);
	else
		for (size_t k = 0; k < n; k++)
			sum[k] += more[k];
}

static void join_parts(const struct vt_call *c)
{
	const struct reduce *p = (const void *)c->plan;
	const size_t channels = (size_t)p->keep.dim[p->keep.rank - 1];
	double *sum = c->work;
	float *y = c->out[0]; /* dense: images, channels */

	for (size_t image = p->plan.range[0] / p->parts; image; image--, y += channels) {
		for (size_t part = 1; part < p->parts; part++)
			join_rows(p->fold, sum, sum + part * channels, channels);
		for (size_t k = 0; k < channels; k++)
			y[k] = finish(p, sum[k]);
		sum += p->parts * channels;
	}
}

/* ---- every type, every operator ----------------------------------------------------------- */

#define AS_IS(v) (v)

#define OF_DOUBLE(A, v)                                                                            \
	_Generic((A)0, double : (v), int64_t : vt_fit_i64(v), uint64_t : vt_fit_u64(v))

/*
 * A: what values are added up in; LEAST, MOST: of T, what a maximum or minimum of nothing is. The
 * first pass finds the maximum where LogSumExp needs it.
 */
#define GENERIC(name, T, A, LOAD, STORE, LEAST, MOST)                                              \
	static A name##_pass(const struct reduce *p, const T *x, int pass, A top)                  \
	{                                                                                          \
		A acc = p->op == VT_OP_REDUCE_PROD     ? 1                                         \
			: p->op == VT_OP_REDUCE_MAX    ? (A)(LEAST)                                \
			: p->op == VT_OP_GLOBALMAXPOOL ? (A)(LEAST)                                \
			: p->op == VT_OP_REDUCE_MIN    ? (A)(MOST)                                 \
						       : 0;                                           \
		struct vt_nd_iter it;                                                              \
                                                                                                   \
		vt_nd_seek(&it, &p->over, p->over.rank, 0);                                        \
		for (size_t k = 0; k < p->n; k++, vt_nd_step(&it, &p->over, p->over.rank, 1)) {    \
			const A v = (A)LOAD(x[it.off[1]]);                                         \
                                                                                                   \
			switch (pass ? VT_OP_REDUCE_MAX : p->op) {                                 \
			case VT_OP_REDUCE_MAX:                                                     \
			case VT_OP_GLOBALMAXPOOL:                                                  \
				acc = !k || v > acc || v != v ? v : acc;                           \
				break;                                                             \
			case VT_OP_REDUCE_MIN:                                                     \
				acc = !k || v < acc || v != v ? v : acc;                           \
				break;                                                             \
			case VT_OP_REDUCE_PROD:                                                    \
				acc *= v;                                                          \
				break;                                                             \
			case VT_OP_REDUCE_L1:                                                      \
				acc += v > 0 ? v : 0 - v;                                          \
				break;                                                             \
			case VT_OP_REDUCE_L2:                                                      \
			case VT_OP_REDUCE_SUM_SQUARE:                                              \
				acc += v * v;                                                      \
				break;                                                             \
			case VT_OP_REDUCE_LOG_SUM_EXP:                                             \
				acc += OF_DOUBLE(A, exp((double)(v - top)));                       \
				break;                                                             \
			default:                                                                   \
				acc += v;                                                          \
			}                                                                          \
		}                                                                                  \
		return acc;                                                                        \
	}                                                                                          \
	static void name(const struct reduce *p, void *y, const void *px, size_t at, int64_t off)  \
	{                                                                                          \
		const T *x = (const T *)px + off;                                                  \
		A top = 0, v;                                                                      \
                                                                                                   \
		if (p->op == VT_OP_REDUCE_LOG_SUM_EXP) {                                           \
			top = name##_pass(p, x, 1, 0);                                             \
			top = top - top == 0 ? top : 0; /* infinite: nothing to shift by */        \
		}                                                                                  \
		v = name##_pass(p, x, 0, top);                                                     \
		switch (p->op) {                                                                   \
		case VT_OP_REDUCE_MEAN:                                                            \
		case VT_OP_GLOBALAVGPOOL:                                                          \
			v = p->n ? v / (A)p->n : (A)NAN_OR_0(A);                                   \
			break;                                                                     \
		case VT_OP_REDUCE_L2:                                                              \
			v = OF_DOUBLE(A, sqrt((double)v));                                         \
			break;                                                                     \
		case VT_OP_REDUCE_LOG_SUM:                                                         \
		case VT_OP_REDUCE_LOG_SUM_EXP:                                                     \
			v = OF_DOUBLE(A, log((double)v) + (double)top);                            \
			break;                                                                     \
		default:                                                                           \
			break;                                                                     \
		}                                                                                  \
		((T *)y)[at] = (T)STORE(v);                                                        \
	}
#define NAN_OR_0(A)   ((A)0.5 != 0 ? NAN : 0)
#define F16_STORE(v)  vt_f32_to_f16((float)(v))
#define BF16_STORE(v) vt_f32_to_bf16((float)(v))

GENERIC(f32, float, double, AS_IS, AS_IS, -INFINITY, INFINITY)
GENERIC(f64, double, double, AS_IS, AS_IS, -INFINITY, INFINITY)
GENERIC(f16, uint16_t, double, vt_f16_to_f32, F16_STORE, -INFINITY, INFINITY)
GENERIC(bf16, uint16_t, double, vt_bf16_to_f32, BF16_STORE, -INFINITY, INFINITY)
GENERIC(i8, int8_t, int64_t, AS_IS, AS_IS, INT8_MIN, INT8_MAX)
GENERIC(u8, uint8_t, int64_t, AS_IS, AS_IS, 0, UINT8_MAX)
GENERIC(i32, int32_t, int64_t, AS_IS, AS_IS, INT32_MIN, INT32_MAX)
GENERIC(u32, uint32_t, int64_t, AS_IS, AS_IS, 0, UINT32_MAX)
GENERIC(i64, int64_t, int64_t, AS_IS, AS_IS, INT64_MIN, INT64_MAX)
GENERIC(u64, uint64_t, uint64_t, AS_IS, AS_IS, 0, UINT64_MAX)

static generic_fn *const generics[VT_DT_COUNT] = {
	[VT_F32] = f32, [VT_F64] = f64, [VT_F16] = f16, [VT_BF16] = bf16, [VT_I8] = i8,
	[VT_U8] = u8,	[VT_I32] = i32, [VT_U32] = u32, [VT_I64] = i64,	  [VT_U64] = u64,
};

static void generic_task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct reduce *p = (const void *)c->plan;
	struct vt_nd_iter it;

	vt_nd_seek(&it, &p->keep, p->keep.rank, j);
	for (; nj; nj--, vt_nd_step(&it, &p->keep, p->keep.rank, 1))
		p->fn(p, c->out[0], c->in[0], (size_t)it.off[0], it.off[1]);
}

/* ---- planning ----------------------------------------------------------------------------- */

/* The dims of @x that are (not) in @axes, with their strides in x; operand 0 is dense. */
static void pick(struct vt_nd *nd, const struct vt_shape *x, uint32_t axes, bool reduced)
{
	int64_t stride[VT_MAX_RANK];
	struct vt_shape own = {0};

	vt_dense_strides(x, stride);
	for (int d = 0; d < x->rank; d++)
		if ((axes >> d & 1) == reduced)
			own.dim[own.rank++] = x->dim[d];
	vt_nd_init(nd, &own, 2);
	for (int d = 0, k = 0; d < x->rank; d++)
		if ((axes >> d & 1) == reduced)
			nd->stride[1][k++] = stride[d];
	vt_nd_collapse(nd);
}

static int fold_of(enum vt_op op)
{
	switch (op) {
	case VT_OP_REDUCE_MEAN:
	case VT_OP_REDUCE_SUM:
	case VT_OP_REDUCE_LOG_SUM:
	case VT_OP_GLOBALAVGPOOL:
		return VT_FOLD_SUM;
	case VT_OP_REDUCE_MAX:
	case VT_OP_GLOBALMAXPOOL:
		return VT_FOLD_MAX;
	case VT_OP_REDUCE_MIN:
		return VT_FOLD_MIN;
	case VT_OP_REDUCE_L1:
		return VT_FOLD_ABS;
	case VT_OP_REDUCE_L2:
	case VT_OP_REDUCE_SUM_SQUARE:
		return VT_FOLD_SUMSQ;
	default:
		return -1;
	}
}

/* Long columns are cut into a cache line's worth at least, so that cores can share them. */
static size_t column_tile(size_t cols, size_t rows)
{
	size_t tile = rows * cols < VT_TILE_ELEMS ? COLS : cols > 128 ? 64 : cols > 32 ? 32 : 16;

	return tile < cols ? tile : cols;
}

/* Parts of the pixels of an image, if it is one; an even number, as cores often are. */
static size_t parts_of(const struct reduce *p, bool f32_rows)
{
	const size_t channels = (size_t)p->keep.dim[p->keep.rank - 1];
	size_t parts = p->n / PART_PIXELS;

	if (!f32_rows || p->over.rank != 1 || p->over.stride[1][0] == 1 ||
	    p->keep.stride[1][p->keep.rank - 1] != 1 || p->n * channels < VT_TILE_ELEMS)
		return 0;
	if (parts > MOST_PARTS)
		parts = MOST_PARTS;
	if (parts * channels > PART_SUMS)
		parts = PART_SUMS / channels;
	return parts / 2 * 2;
}

static void choose(struct reduce *p, bool f32_rows)
{
	const int last = p->keep.rank - 1, inner = p->over.rank - 1;
	const size_t outs = vt_nd_count(&p->keep, p->keep.rank);

	if (p->parts) {
		p->plan.task = parts_task;
		p->plan.range[0] = outs / (size_t)p->keep.dim[last] * p->parts;
		p->plan.range[1] = (size_t)p->keep.dim[last];
		p->plan.tile[0] = 1;
		p->plan.tile[1] = COLS;
	} else if (f32_rows && p->n && p->over.stride[1][inner] == 1) {
		p->plan.task = rows_task;
		vt_plan_rows(&p->plan, 1, outs, p->n < VT_TILE_ELEMS ? VT_TILE_ELEMS / p->n : 1);
	} else if (f32_rows && p->n && p->keep.stride[1][last] == 1) {
		p->plan.task = columns_task;
		vt_plan_rows(&p->plan, outs / (size_t)p->keep.dim[last], (size_t)p->keep.dim[last],
			     COLS);
		p->plan.tile[0] = 1;
		p->plan.tile[1] = column_tile((size_t)p->keep.dim[last], p->n);
	} else {
		p->plan.task = generic_task;
		vt_plan_rows(&p->plan, 1, outs,
			     p->n < VT_TILE_ELEMS ? VT_TILE_ELEMS / (p->n + 1) + 1 : 1);
	}
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *y = vt_out(g, n, 0);
	const bool global = n->op == VT_OP_GLOBALAVGPOOL || n->op == VT_OP_GLOBALMAXPOOL;
	uint32_t axes = n->p.reduce.axes;
	const bool f32_rows = x->dtype == VT_F32 && fold_of(n->op) >= 0;
	struct reduce r = {.op = n->op}, *p;
	size_t sums;

	if (global) /* all but the batch and the channels, which come last */
		axes = (1u << (x->shape.rank - 1)) - 2;
	if (!generics[x->dtype])
		return -ENOTSUP;
	pick(&r.keep, &x->shape, axes, false);
	pick(&r.over, &x->shape, axes, true);
	r.n = vt_nd_count(&r.over, r.over.rank);
	r.fold = fold_of(n->op) < 0 ? VT_FOLD_SUM : (enum vt_fold)fold_of(n->op);
	r.fn = generics[x->dtype];
	r.parts = parts_of(&r, f32_rows);
	sums = r.parts * vt_nd_count(&r.keep, r.keep.rank);
	p = vt_own_alloc(l, n, sizeof(*p), sums * sizeof(double), e);
	if (!p)
		return -ENOMEM;
	*p = r;
	if (!vt_dims_count(&y->shape, 0, y->shape.rank))
		return 0; /* range is 0 */
	choose(p, f32_rows);
	return 0;
}

static void run(struct vt_layer *l, int inst, pthreadpool_t gang)
{
	const struct vt_call *c = vt_own_call(l, inst);

	vt_own_run(l, inst, gang);
	if (((const struct reduce *)(const void *)c->plan)->parts)
		join_parts(c);
}

const struct vt_kernel vt_kernel_reduce = {
	"vt_reduce", create, vt_own_bind, run, vt_own_destroy,
};
