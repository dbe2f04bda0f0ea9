/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops.h - one operator under test: values in a table, run on several gangs, compared with what must
 * come out.
 *
 * Values are written as doubles and stored as the tensor's type, so that one table covers all
 * types. Every case runs alone, and on gangs that claim chunks in other orders; all must give the
 * same bits.
 */
#ifndef VT_TESTS_OPS_H
#define VT_TESTS_OPS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "gang.h"
#include "harness.h"
#include "kernels/half.h"
#include "kernels/layer.h"

/* A row of a table names what it needs; the rest is zero by intention. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define T_MAX	64 /* values of a tensor in a table */
#define T_SLOTS 8  /* inputs and outputs of a case */

/** A tensor in a table: type, "2x3" ("" = scalar; NULL = absent), values row by row. */
struct t_tensor {
	enum vt_dtype t;
	const char *dims;
	double v[T_MAX];
};

struct t_case {
	const char *name;
	enum vt_op op;
	struct t_tensor in[6], out[4];
	union vt_params p;
	double rtol, atol; /* 0, 0: exact */
};

/** One node with its tensors, and memory for them. */
struct t_node {
	struct vt_graph g;
	struct vt_tensor tensors[T_SLOTS];
	struct vt_node n;
	int ids[T_SLOTS];
	void *data[T_SLOTS]; /* inputs first */
};

static inline struct vt_shape t_shape(const char *dims)
{
	struct vt_shape s = {0};
	char *end;

	for (; *dims; dims = *end ? end + 1 : end)
		s.dim[s.rank++] = strtoll(dims, &end, 10);
	return s;
}

static inline void t_put(void *p, enum vt_dtype t, size_t i, double v)
{
	switch (t) {
#define CASE(e, T)                                                                                 \
	case VT_##e:                                                                               \
		((T *)p)[i] = (T)v;                                                                \
		break;
		CASE(F32, float)
		CASE(F64, double)
		CASE(I8, int8_t)
		CASE(I16, int16_t)
		CASE(I32, int32_t)
		CASE(U8, uint8_t)
		CASE(BOOL, uint8_t)
		CASE(U16, uint16_t)
		CASE(U32, uint32_t)
#undef CASE
	case VT_I64: /* the ends of the range have no exact double above them */
		((int64_t *)p)[i] = v >= 0x1p63 ? INT64_MAX : (int64_t)v;
		break;
	case VT_U64:
		((uint64_t *)p)[i] = v >= 0x1p64 ? UINT64_MAX : (uint64_t)v;
		break;
	case VT_F16:
		((uint16_t *)p)[i] = vt_f32_to_f16((float)v);
		break;
	case VT_BF16:
		((uint16_t *)p)[i] = vt_f32_to_bf16((float)v);
		break;
	default:
		fail_msg("type %d", t);
	}
}

static inline double t_get(const void *p, enum vt_dtype t, size_t i)
{
	switch (t) {
#define CASE(e, T)                                                                                 \
	case VT_##e:                                                                               \
		return (double)((const T *)p)[i];
		CASE(F32, float)
		CASE(F64, double)
		CASE(I8, int8_t)
		CASE(I16, int16_t)
		CASE(I32, int32_t)
		CASE(U8, uint8_t)
		CASE(BOOL, uint8_t)
		CASE(U16, uint16_t)
		CASE(U32, uint32_t)
		CASE(I64, int64_t)
		CASE(U64, uint64_t)
#undef CASE
	case VT_F16:
		return vt_f16_to_f32(((const uint16_t *)p)[i]);
	case VT_BF16:
		return vt_bf16_to_f32(((const uint16_t *)p)[i]);
	default:
		fail_msg("type %d", t);
	}
	return 0;
}

static inline size_t t_count(const struct t_node *t, int slot)
{
	return (size_t)vt_shape_elems(&t->tensors[slot].shape);
}

static inline size_t t_bytes(const struct t_node *t, int slot)
{
	return t_count(t, slot) * vt_dtype_bytes(t->tensors[slot].dtype);
}

/** t_add - one more input (before the first output) or output; returns its memory, zeroed */
static inline void *t_add(struct t_node *t, bool output, enum vt_dtype dt, struct vt_shape shape)
{
	int slot = t->n.n_in + t->n.n_out;

	assert_true(slot < T_SLOTS && (output || !t->n.n_out));
	t->g.tensors = t->tensors;
	t->g.n_tensors = slot + 1;
	t->g.nodes = &t->n;
	t->g.n_nodes = 1;
	t->n.in = t->ids;
	t->n.out = t->ids + t->n.n_in + !output;
	t->n.epi = (struct vt_epilogue){.residual = VT_NONE, .act = VT_NONE};
	t->ids[slot] = slot;
	t->tensors[slot] = (struct vt_tensor){.kind = output ? VT_T_COMPUTED : VT_T_INPUT,
					      .dtype = dt,
					      .shape = shape,
					      .view_of = VT_NONE};
	/* exactly as large as it is, so that a sanitizer sees the first byte too many */
	t->data[slot] = calloc(1, t_bytes(t, slot) ? t_bytes(t, slot) : 1);
	assert_non_null(t->data[slot]);
	if (output)
		t->n.n_out++;
	else
		t->n.n_in++;
	return t->data[slot];
}

/** t_add_none - an optional input that is absent */
static inline void t_add_none(struct t_node *t)
{
	t_add(t, false, VT_F32, (struct vt_shape){.rank = 1, .dim = {0}});
	t->ids[t->n.n_in - 1] = VT_NONE;
}

static inline void *t_in(struct t_node *t, enum vt_dtype dt, const char *dims)
{
	return t_add(t, false, dt, t_shape(dims));
}

static inline void *t_out(struct t_node *t, enum vt_dtype dt, const char *dims)
{
	return t_add(t, true, dt, t_shape(dims));
}

static inline void t_free(struct t_node *t)
{
	for (int i = 0; i < t->n.n_in + t->n.n_out; i++)
		free(t->data[i]);
	*t = (struct t_node){0};
}

/*
 * t_run_on_with - create, bind and run as its second instance on a gang that expects @cores
 * @kernel: NULL: the first that takes the node
 */
static inline int t_run_on_with(struct t_node *t, unsigned int cores,
				const struct vt_kernel *kernel)
{
	struct pthreadpool gang = {
		.run = gang_backwards, .cores = cores ? cores : 1, .report_threads = 1};
	const void *in[T_SLOTS];
	void *out[T_SLOTS];
	struct vt_binding b = {.in = in, .out = out};
	struct vt_err e = {0};
	struct vt_layer l = {.kernel = kernel, .n_inst = 2};
	int rc = kernel ? kernel->create(&l, &t->g, &t->n, &e)
			: vt_layer_create(&l, &t->g, &t->n, 2, &e);

	if (rc)
		return rc;
	for (int i = 0; i < t->n.n_in; i++)
		in[i] = t->n.in[i] == VT_NONE ? NULL : t->data[i];
	for (int i = 0; i < t->n.n_out; i++)
		out[i] = t->data[t->n.n_in + i];
	if (t->n.epi.residual != VT_NONE)
		b.residual = t->data[t->n.epi.residual];
	assert_int_equal(vt_scratch_reserve(l.scratch_bytes), 0);
	assert_int_equal(l.kernel->bind(&l, 1, &b), 0);
	l.kernel->run(&l, 1, cores ? &gang : NULL);
	vt_layer_destroy(&l);
	return 0;
}

/** t_run_with - alone and on gangs of 1, 2, 5 and 64 cores; all the same bits */
static inline int t_run_with(struct t_node *t, const struct vt_kernel *kernel)
{
	static const unsigned int cores[] = {1, 2, 5, 64};
	void *first[T_SLOTS] = {0};
	int rc = t_run_on_with(t, 0, kernel), i, o;

	if (rc)
		return rc;
	for (o = 0; o < t->n.n_out; o++) {
		int slot = t->n.n_in + o;

		first[o] = malloc(t_bytes(t, slot) + 1);
		assert_non_null(first[o]);
		memcpy(first[o], t->data[slot], t_bytes(t, slot));
	}
	for (i = 0; i < (int)VT_COUNT(cores) && !rc; i++) {
		for (o = 0; o < t->n.n_out; o++)
			memset(t->data[t->n.n_in + o], 0xee, t_bytes(t, t->n.n_in + o));
		rc = t_run_on_with(t, cores[i], kernel);
		for (o = 0; o < t->n.n_out; o++)
			assert_memory_equal(first[o], t->data[t->n.n_in + o],
					    t_bytes(t, t->n.n_in + o));
	}
	for (o = 0; o < t->n.n_out; o++)
		free(first[o]);
	return rc;
}

static inline int t_run(struct t_node *t)
{
	return t_run_with(t, NULL);
}

static inline bool t_close(double got, double want, double rtol, double atol)
{
	if (got == want || (got != got && want != want))
		return true;
	return fabs(got - want) <= atol + rtol * fabs(want);
}

/** t_expect - output @o of @t against @want(i) values */
static inline void t_expect(const struct t_node *t, int o, const double *want, double rtol,
			    double atol, const char *name)
{
	int slot = t->n.n_in + o;

	for (size_t i = 0; i < t_count(t, slot); i++) {
		double got = t_get(t->data[slot], t->tensors[slot].dtype, i);

		if (!t_close(got, want[i], rtol, atol))
			fail_msg("%s: output %d [%zu]: got %.9g, want %.9g", name, o, i, got,
				 want[i]);
	}
}

/** t_run_case - one row of a table */
static inline void t_run_case(const struct t_case *c)
{
	struct t_node t = {.n = {.op = c->op, .p = c->p}};
	int rc;

	for (size_t k = 0; k < VT_COUNT(c->in) && c->in[k].t; k++) {
		void *p;

		if (!c->in[k].dims) {
			t_add_none(&t);
			continue;
		}
		p = t_in(&t, c->in[k].t, c->in[k].dims);
		for (size_t i = 0; i < t_count(&t, (int)k); i++)
			t_put(p, c->in[k].t, i, c->in[k].v[i]);
	}
	for (size_t k = 0; k < VT_COUNT(c->out) && c->out[k].t; k++)
		t_out(&t, c->out[k].t, c->out[k].dims);
	rc = t_run(&t);
	if (rc)
		fail_msg("%s: %d", c->name, rc);
	for (size_t k = 0; k < VT_COUNT(c->out) && c->out[k].t; k++)
		t_expect(&t, (int)k, c->out[k].v, c->rtol, c->atol, c->name);
	t_free(&t);
}

/** t_random - fill with seeded values of [lo, hi) */
static inline void t_random(struct t_node *t, int slot, uint64_t seed, double lo, double hi)
{
	struct vt_rng r = {seed};

	for (size_t i = 0; i < t_count(t, slot); i++) {
		t_put(t->data[slot], t->tensors[slot].dtype, i, lo + vt_rng_unit(&r) * (hi - lo));
	}
}

#endif
