// SPDX-License-Identifier: Apache-2.0
/*
 * Pad. Each dim has a map from output to input index (-1: outside), made once; a row is a memcpy
 * where the map of the last dim is consecutive, and single elements at its two ends.
 */
#include "kernels/half.h"
#include "kernels/ops.h"

#include <string.h>

struct pad {
	struct vt_plan plan;
	int rank;
	size_t esize;
	int64_t dim[VT_MAX_RANK], stride[VT_MAX_RANK]; /* of output, of input in elements */
	int64_t from, to; /* columns of the output that lie inside the input */
	uint64_t value;	  /* bits of the constant */
	size_t map_at[VT_MAX_RANK];
	int32_t map[]; /* of all dims, one after the other */
};

/* Where output index i of a dim comes from; -1: the constant. */
static int64_t source(int64_t i, int64_t size, enum vt_pad_mode mode)
{
	if (i >= 0 && i < size)
		return i;
	if (mode == VT_PAD_CONSTANT || size == 0)
		return -1;
	if (mode == VT_PAD_EDGE || size == 1)
		return i < 0 ? 0 : size - 1;
	if (mode == VT_PAD_WRAP)
		return i % size + (i % size < 0 ? size : 0);
	i %= 2 * (size - 1); /* mirrored without repeating the edge */
	i += i < 0 ? 2 * (size - 1) : 0;
	return i < size ? i : 2 * (size - 1) - i;
}

static int64_t saturate(double v)
{
	return v >= 0x1p63 ? INT64_MAX : v > -0x1p63 ? (int64_t)v : INT64_MIN;
}

static uint64_t value_bits(double v, int64_t rest, enum vt_dtype t)
{
	union {
		uint64_t u;
		float f32;
		double f64;
		int64_t i;
	} bits = {0};

	switch (t) {
	case VT_F32:
		bits.f32 = (float)v;
		break;
	case VT_F64:
		bits.f64 = v;
		break;
	case VT_F16:
		bits.u = vt_f32_to_f16((float)v);
		break;
	case VT_BF16:
		bits.u = vt_f32_to_bf16((float)v);
		break;
	case VT_BOOL:
		bits.u = v != 0;
		break;
	default: /* little-endian: the low bytes are the narrower integer */
		bits.u = (uint64_t)saturate(v) + (uint64_t)rest;
	}
	return bits.u;
}

static void put(char *dst, const char *src, size_t esize)
{
	switch (esize) {
	case 1:
		*dst = *src;
		break;
	case 2:
		memcpy(dst, src, 2);
		break;
	case 4:
		memcpy(dst, src, 4);
		break;
	default:
		memcpy(dst, src, 8);
	}
}

/* Columns [j, end) of an output row; @src: the input row or NULL where the row lies outside. */
static void pad_row(const struct pad *p, char *dst, const char *src, int64_t j, int64_t end)
{
	const int32_t *map = p->map + p->map_at[p->rank - 1];
	const char *fill = (const char *)&p->value;

	while (j < end) {
		if (src && j >= p->from && j < p->to) {
			int64_t n = (end < p->to ? end : p->to) - j;

			memcpy(dst, src + map[j] * (int64_t)p->esize, (size_t)n * p->esize);
			dst += n * (int64_t)p->esize;
			j += n;
			continue;
		}
		put(dst, src && map[j] >= 0 ? src + map[j] * (int64_t)p->esize : fill, p->esize);
		dst += p->esize;
		j++;
	}
}

static void task(void *ctx, size_t i, size_t j, size_t ni, size_t nj)
{
	const struct vt_call *c = ctx;
	const struct pad *p = (const void *)c->plan;
	const int64_t cols = p->dim[p->rank - 1];

	for (size_t r = i; r < i + ni; r++) {
		char *dst = (char *)c->out[0] + (r * (size_t)cols + j) * p->esize;
		int64_t rest = (int64_t)r, off = 0;
		bool inside = true;

		for (int d = p->rank - 2; d >= 0; d--) {
			int64_t at = p->map[p->map_at[d] + (size_t)(rest % p->dim[d])];

			inside &= at >= 0;
			off += at * p->stride[d];
			rest /= p->dim[d];
		}
		pad_row(p, dst, inside ? (const char *)c->in[0] + off * (int64_t)p->esize : NULL,
			(int64_t)j, (int64_t)(j + nj));
	}
}

static void plan_dims(struct pad *p, const struct vt_shape *in, const struct vt_shape *out,
		      const struct vt_node *n)
{
	size_t at = 0;

	vt_dense_strides(in, p->stride);
	p->rank = out->rank;
	for (int d = 0; d < out->rank; d++) {
		const int64_t before = n->p.pad.before[d];

		p->dim[d] = out->dim[d];
		p->map_at[d] = at;
		for (int64_t i = 0; i < out->dim[d]; i++)
			p->map[at++] = (int32_t)source(i - before, in->dim[d], n->p.pad.mode);
		p->from = before > 0 ? before : 0;
		p->to = before + in->dim[d];
	}
	vt_plan_rows(&p->plan, vt_dims_count(out, 0, out->rank - 1),
		     (size_t)out->dim[out->rank - 1], 2 * VT_TILE_ELEMS);
}

static int create(struct vt_layer *l, const struct vt_graph *g, const struct vt_node *n,
		  struct vt_err *e)
{
	const struct vt_tensor *x = vt_in(g, n, 0), *y = vt_out(g, n, 0);
	size_t entries = 0;
	struct pad *p;

	if (!y->shape.rank)
		return -ENOTSUP;
	for (int d = 0; d < y->shape.rank; d++) {
		entries += (size_t)y->shape.dim[d];
		if (y->shape.dim[d] > INT32_MAX || x->shape.dim[d] > INT32_MAX)
			return -ENOTSUP;
	}
	p = vt_own_alloc(l, n, sizeof(*p) + entries * sizeof(p->map[0]), 0, e);
	if (!p)
		return -ENOMEM;
	p->esize = vt_dtype_bytes(y->dtype);
	p->value = value_bits(n->p.pad.value, n->p.pad.rest, y->dtype);
	plan_dims(p, &x->shape, &y->shape, n);
	p->plan.task = task;
	return 0;
}

VT_OWN_KERNEL(pad, create);
