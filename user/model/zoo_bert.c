// SPDX-License-Identifier: Apache-2.0
/*
 * zoo_bert.c - BERT with the question-answering head (Devlin et al., NAACL 2019), in the nodes that
 * PyTorch's exporter writes for it: shapes read back from tensors, GELU by Erf, LayerNormalization
 * as ReduceMean, Sub, Pow, Sqrt, Div.
 */
#include "model/zoo_build.h"

#include <math.h>
#include <stdio.h>

#include "onnx/onnx.pb-c.h"

#define F32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define I64 ONNX__TENSOR_PROTO__DATA_TYPE__INT64

#define EPS 1e-12f

/*
 * Deviations of what the two halves of a layer add to a stream of deviation 1. Attention averages
 * over the words: random weights with more of it make all words the same long before layer 24.
 */
#define ATTENTION_SD 0.25
#define DENSE_SD     0.5

/* ---- pieces --------------------------------------------------------------------------------- */

static vt_zv reduce_mean(struct vt_zb *b, const char *name, vt_zv x)
{
	struct vt_zb_attr a[2] = {VT_ZA_1("axes", -1), VT_ZA_I("keepdims", 1)};
	vt_zv y = vt_zb_node(b, "ReduceMean", name, &x, 1, 1, a, 2);

	vt_zb_at(b, y)->dim[vt_zb_at(b, y)->rank - 1].n = 1;
	return y;
}

static vt_zv norm_as_nodes(struct vt_zb *b, vt_zv x, vt_zv scale, vt_zv bias)
{
	vt_zv diff, var, y;

	diff = vt_zb_op2(b, "Sub", "Sub", x, reduce_mean(b, "ReduceMean", x));
	var = vt_zb_op2(b, "Pow", "Pow", diff, vt_zb_float(b, "two", 2));
	var = reduce_mean(b, "ReduceMean_1", var);
	var = vt_zb_op2(b, "Add", "Add", var, vt_zb_float(b, "epsilon", EPS));
	y = vt_zb_op2(b, "Div", "Div", diff, vt_zb_op1(b, "Sqrt", "Sqrt", var));
	y = vt_zb_op2(b, "Mul", "Mul", y, scale);
	return vt_zb_op2(b, "Add", "Add_1", y, bias);
}

static vt_zv layer_norm(struct vt_zb *b, const char *name, vt_zv x, bool as_op)
{
	const struct vt_zb_value v = *vt_zb_at(b, x);
	int64_t width = v.dim[v.rank - 1].n;
	struct vt_zb_attr a[2] = {VT_ZA_I("axis", -1), VT_ZA_F("epsilon", EPS)};
	size_t mark = vt_zb_push(b, "%s", name);
	vt_zv in[3], y;

	in[0] = x;
	in[1] = vt_zb_weight(b, "weight", 1, &width, 1, 0.1, 0);
	in[2] = vt_zb_weight(b, "bias", 1, &width, 0, 0.1, 0);
	y = as_op ? vt_zb_node(b, "LayerNormalization", "LayerNormalization", in, 3, 1, a, 2)
		  : norm_as_nodes(b, x, in[1], in[2]);
	vt_zb_pop(b, mark);
	vt_zb_at(b, y)->mean = 0;
	vt_zb_at(b, y)->m2 = 1;
	return y;
}

static double f_gelu(double x)
{
	return x / 2 * (1 + erf(x / sqrt(2)));
}

/* Second moment of GELU of a standard normal; its mean is small against it. */
static double gelu_m2(void)
{
	double w = 0, m2 = 0;

	for (int i = -80; i <= 80; i++) {
		double z = i / 20.0, p = exp(-z * z / 2);

		w += p;
		m2 += p * f_gelu(z) * f_gelu(z);
	}
	return m2 / w;
}

static vt_zv gelu_erf(struct vt_zb *b, vt_zv x)
{
	vt_zv y;

	y = vt_zb_op2(b, "Div", "Div", x, vt_zb_float(b, "sqrt2", (float)sqrt(2)));
	y = vt_zb_op1(b, "Erf", "Erf", y);
	y = vt_zb_op2(b, "Add", "Add", y, vt_zb_float(b, "one", 1));
	y = vt_zb_op2(b, "Mul", "Mul", x, y);
	return vt_zb_op2(b, "Mul", "Mul_1", y, vt_zb_float(b, "half", 0.5f));
}

/* 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) */
static vt_zv gelu_tanh(struct vt_zb *b, vt_zv x)
{
	vt_zv half, y;

	half = vt_zb_op2(b, "Mul", "Mul", x, vt_zb_float(b, "half", 0.5f));
	y = vt_zb_op2(b, "Pow", "Pow", x, vt_zb_float(b, "three", 3));
	y = vt_zb_op2(b, "Mul", "Mul_1", y, vt_zb_float(b, "cubic", 0.044715f));
	y = vt_zb_op2(b, "Add", "Add", x, y);
	y = vt_zb_op2(b, "Mul", "Mul_2", y, vt_zb_float(b, "slope", (float)sqrt(2 / M_PI)));
	y = vt_zb_op1(b, "Tanh", "Tanh", y);
	y = vt_zb_op2(b, "Add", "Add_1", y, vt_zb_float(b, "one", 1));
	return vt_zb_op2(b, "Mul", "Mul_3", half, y);
}

/* x.view(x.size(0), x.size(1), rest...) */
static vt_zv view(struct vt_zb *b, const char *name, vt_zv x, const int64_t *rest, int n)
{
	vt_zv part[4], y;
	struct vt_zb_value *v;
	size_t mark = vt_zb_push(b, "%s", name);

	part[0] = vt_zb_dim_of(b, "size0", x, 0);
	part[1] = vt_zb_dim_of(b, "size1", x, 1);
	for (int i = 0; i < n; i++)
		part[2 + i] = vt_zb_ints(b, i ? "rest1" : "rest0", &rest[i], 1);
	y = vt_zb_op2(b, "Reshape", "Reshape", x, vt_zb_concat(b, "Concat", part, 2 + n, 0));
	vt_zb_pop(b, mark);
	v = vt_zb_at(b, y);
	v->rank = 2 + n;
	for (int i = 0; i < n; i++)
		v->dim[2 + i] = (struct vt_zb_dim){.n = rest[i]};
	return y;
}

static vt_zv matmul(struct vt_zb *b, const char *name, vt_zv x, vt_zv y)
{
	const struct vt_zb_value p = *vt_zb_at(b, x), q = *vt_zb_at(b, y);
	vt_zv r = vt_zb_op2(b, "MatMul", name, x, y);

	vt_zb_at(b, r)->dim[3] = q.dim[3];
	b->macs += (uint64_t)(p.dim[1].n * p.dim[2].n * p.dim[3].n * q.dim[3].n);
	return r;
}

/* ---- the encoder ---------------------------------------------------------------------------- */

static vt_zv attention(struct vt_zb *b, const struct vt_zoo_bert *s, vt_zv x, vt_zv mask)
{
	const int64_t split[2] = {s->heads, s->hidden / s->heads}, hidden = s->hidden;
	struct vt_zb_attr axis = VT_ZA_I("axis", -1);
	size_t mark = vt_zb_push(b, "self");
	vt_zv q, k, v, y;

	/* Scores then have a deviation of 2: some words matter, none takes it all. */
	q = vt_zb_linear(b, "query", x, s->hidden, sqrt(2));
	k = vt_zb_linear(b, "key", x, s->hidden, sqrt(2));
	v = vt_zb_linear(b, "value", x, s->hidden, 1);
	q = vt_zb_transpose(b, "Transpose_q", view(b, "view_q", q, split, 2), 0, 2, 1, 3);
	k = vt_zb_transpose(b, "Transpose_k", view(b, "view_k", k, split, 2), 0, 2, 3, 1);
	v = vt_zb_transpose(b, "Transpose_v", view(b, "view_v", v, split, 2), 0, 2, 1, 3);
	y = matmul(b, "MatMul", q, k);
	y = vt_zb_op2(b, "Div", "Div", y, vt_zb_float(b, "scale", sqrtf((float)split[1])));
	y = vt_zb_op2(b, "Add", "Add", y, mask);
	y = vt_zb_node(b, "Softmax", "Softmax", &y, 1, 1, &axis, 1);
	y = matmul(b, "MatMul_1", y, v);
	y = vt_zb_transpose(b, "Transpose", y, 0, 2, 1, 3);
	y = view(b, "view", y, &hidden, 1);
	vt_zb_pop(b, mark);
	/* A weighted mean of words, which grow alike with depth. */
	vt_zb_at(b, y)->mean = 0;
	vt_zb_at(b, y)->m2 = 0.5;
	return y;
}

static vt_zv encoder_layer(struct vt_zb *b, const struct vt_zoo_bert *s, vt_zv x, vt_zv mask,
			   bool new_ops)
{
	static const char *const norm[2] = {"attention.output.LayerNorm", "output.LayerNorm"};
	size_t mark = vt_zb_push(b, "attention");
	vt_zv y = attention(b, s, x, mask);

	y = vt_zb_linear(b, "output.dense", y, s->hidden, ATTENTION_SD);
	vt_zb_pop(b, mark);
	x = layer_norm(b, norm[0], vt_zb_add(b, "attention.output.Add", y, x), new_ops);
	y = vt_zb_linear(b, "intermediate.dense", x, s->ff, 1);
	mark = vt_zb_push(b, "intermediate.gelu");
	y = new_ops ? gelu_tanh(b, y) : gelu_erf(b, y);
	vt_zb_pop(b, mark);
	vt_zb_at(b, y)->m2 = gelu_m2();
	y = vt_zb_linear(b, "output.dense", y, s->hidden, DENSE_SD);
	return layer_norm(b, norm[1], vt_zb_add(b, "output.Add", y, x), new_ops);
}

/* ---- embeddings and mask -------------------------------------------------------------------- */

static vt_zv lookup(struct vt_zb *b, const char *name, int64_t rows, int64_t width, vt_zv index)
{
	const int64_t dim[2] = {rows, width};
	struct vt_zb_attr axis = VT_ZA_I("axis", 0);
	const struct vt_zb_value i = *vt_zb_at(b, index);
	size_t mark = vt_zb_push(b, "%s", name);
	struct vt_zb_value *v;
	vt_zv in[2], y;

	in[0] = vt_zb_weight(b, "weight", 2, dim, 0, 0.05, 0);
	in[1] = index;
	y = vt_zb_node(b, "Gather", "Gather", in, 2, 1, &axis, 1);
	vt_zb_pop(b, mark);
	v = vt_zb_at(b, y);
	v->rank = i.rank + 1;
	for (int d = 0; d < i.rank; d++)
		v->dim[d] = i.dim[d];
	v->dim[i.rank] = (struct vt_zb_dim){.n = width};
	return y;
}

/* The first S of the stored positions; S is read from the input's shape. */
static vt_zv position_ids(struct vt_zb *b, const struct vt_zoo_bert *s, vt_zv ids)
{
	const int64_t zero = 0, one = 1;
	int64_t *ramp = vt_zb_alloc(b, (size_t)s->positions * sizeof(*ramp));
	vt_zv in[4], y;

	if (!ramp)
		return VT_ZV_NONE;
	for (int i = 0; i < s->positions; i++)
		ramp[i] = i;
	in[0] = vt_zb_unsqueeze(b, "position_ids.row",
				vt_zb_ints(b, "position_ids", ramp, s->positions), 0);
	in[1] = vt_zb_ints(b, "position_ids.start", &zero, 1);
	in[2] = vt_zb_dim_of(b, "position_ids.size", ids, 1);
	in[3] = vt_zb_ints(b, "position_ids.axis", &one, 1);
	y = vt_zb_node(b, "Slice", "position_ids.slice", in, 4, 1, NULL, 0);
	vt_zb_at(b, y)->dim[1].n = vt_zb_dim(b, ids, 1);
	return y;
}

static vt_zv embeddings(struct vt_zb *b, const struct vt_zoo_bert *s, vt_zv ids, vt_zv types)
{
	size_t mark = vt_zb_push(b, "bert.embeddings");
	vt_zv x, y;

	x = lookup(b, "word_embeddings", s->vocab, s->hidden, ids);
	y = lookup(b, "token_type_embeddings", 2, s->hidden, types);
	x = vt_zb_op2(b, "Add", "Add", x, y);
	y = lookup(b, "position_embeddings", s->positions, s->hidden, position_ids(b, s, ids));
	x = vt_zb_op2(b, "Add", "Add_1", x, y);
	x = layer_norm(b, "LayerNorm", x, false);
	vt_zb_pop(b, mark);
	return x;
}

/* 0 where a word is, -10000 where none is, to be added to the scores. */
static vt_zv additive_mask(struct vt_zb *b, vt_zv attention_mask)
{
	struct vt_zb_attr to = VT_ZA_I("to", F32);
	size_t mark = vt_zb_push(b, "bert.mask");
	vt_zv x;

	x = vt_zb_unsqueeze(b, "Unsqueeze", attention_mask, 1);
	x = vt_zb_unsqueeze(b, "Unsqueeze_1", x, 2);
	x = vt_zb_node(b, "Cast", "Cast", &x, 1, 1, &to, 1);
	vt_zb_at(b, x)->dtype = F32;
	x = vt_zb_op2(b, "Sub", "Sub", vt_zb_float(b, "one", 1), x);
	x = vt_zb_op2(b, "Mul", "Mul", x, vt_zb_float(b, "minus", -10000));
	vt_zb_pop(b, mark);
	return x;
}

static vt_zv token_input(struct vt_zb *b, const char *name, int seq, enum vt_zb_input_kind kind,
			 int64_t limit)
{
	struct vt_zb_dim dim[2] = {{1, "batch"}, {seq, "sequence"}};

	return vt_zb_add_input(b, name, I64, 2, dim, kind, limit);
}

/* Two logits per word: does the answer start here, does it end here. */
static void answer_head(struct vt_zb *b, vt_zv x)
{
	static const char *const name[2] = {"start_logits", "end_logits"};
	static const int64_t sizes[2] = {1, 1}, last = -1;
	struct vt_zb_attr axis = VT_ZA_I("axis", -1);
	vt_zv in[2], part;

	in[0] = vt_zb_linear(b, "qa_outputs", x, 2, 2);
	in[1] = vt_zb_ints(b, "qa_outputs.sizes", sizes, 2);
	part = vt_zb_node(b, "Split", "qa_outputs.Split", in, 2, 2, &axis, 1);
	in[1] = vt_zb_ints(b, "qa_outputs.axis", &last, 1);
	for (int i = 0; i < 2 && part >= 0; i++) {
		vt_zv y = vt_zb_op2(b, "Squeeze", i ? "Squeeze_1" : "Squeeze", part + i, in[1]);

		vt_zb_at(b, y)->rank = 2;
		vt_zb_add_output(b, y, name[i]);
	}
}

void vt_zoo_build_bert(struct vt_zb *b, const void *spec)
{
	const struct vt_zoo_bert *s = spec;
	vt_zv ids, types, mask, x;

	ids = token_input(b, "input_ids", s->seq, VT_ZI_TOKENS, s->vocab);
	mask = token_input(b, "attention_mask", s->seq, VT_ZI_MASK, 2);
	types = token_input(b, "token_type_ids", s->seq, VT_ZI_SEGMENT, 2);
	mask = additive_mask(b, mask);
	x = embeddings(b, s, ids, types);
	for (int i = 0; i < s->layers; i++) {
		size_t mark = vt_zb_push(b, "bert.encoder.layer.%d", i);

		x = encoder_layer(b, s, x, mask, s->new_ops && i % 2);
		vt_zb_pop(b, mark);
	}
	answer_head(b, x);
}
