// SPDX-License-Identifier: Apache-2.0
/*
 * zoo_layers.c - layers that know their shapes and the moments of what they give out.
 *
 * The moments are those of independent normal inputs. That is crude and enough: each layer scales
 * its own weights by the moments of what it reads, so errors do not multiply where a model normalises.
 */
#include "model/zoo_build.h"

#include <math.h>
#include <stdio.h>

#include "onnx/onnx.pb-c.h"

#define F32 ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
#define I64 ONNX__TENSOR_PROTO__DATA_TYPE__INT64

/* Spread of learned biases, shifts and scales around their mean: as small as trained models have. */
#define BIAS_SD 0.1

/* ---- moments -------------------------------------------------------------------------------- */

static double f_relu(double x)
{
	return x > 0 ? x : 0;
}

static double f_relu6(double x)
{
	return x > 6 ? 6 : f_relu(x);
}

static double f_leaky(double x)
{
	return x > 0 ? x : 0.1 * x;
}

static double f_sigmoid(double x)
{
	return 1 / (1 + exp(-x));
}

static double f_silu(double x)
{
	return x * f_sigmoid(x);
}

/* Moments of f(x) for a normal x with the moments in @v, which they replace. */
static void map_moments(struct vt_zb_value *v, double (*f)(double))
{
	double sd = sqrt(fmax(v->m2 - v->mean * v->mean, 0)), w = 0, m1 = 0, m2 = 0;

	for (int i = -80; i <= 80; i++) {
		double z = i / 20.0, p = exp(-z * z / 2), y = f(v->mean + sd * z);

		w += p;
		m1 += p * y;
		m2 += p * y * y;
	}
	v->mean = m1 / w;
	v->m2 = m2 / w;
}

static double variance(const struct vt_zb_value *v)
{
	return fmax(v->m2 - v->mean * v->mean, 0.05 * v->m2);
}

/* ---- convolution ---------------------------------------------------------------------------- */

static int64_t window_out(int64_t n, int k, int stride, int pad, bool ceil_mode)
{
	int64_t room;

	if (pad < 0) /* SAME_UPPER */
		return (n + stride - 1) / stride;
	room = n + 2 * pad - k;
	return room < 0 ? 0 : room / stride + 1 + (ceil_mode && room % stride);
}

static void set_window(struct vt_zb *b, vt_zv y, vt_zv x, int64_t channels, int k, int stride,
		       int pad, bool ceil_mode)
{
	struct vt_zb_value *v = vt_zb_at(b, y);

	v->dim[1].n = channels;
	for (int i = 2; i < 4; i++) {
		v->dim[i].n = window_out(vt_zb_dim(b, x, i), k, stride, pad, ceil_mode);
		if (v->dim[i].n < 1)
			vt_fail(&b->err, -EINVAL, "%s: %s: input too small for its window",
				b->model, v->name);
	}
}

static int window_attrs(struct vt_zb_attr *a, int k, int stride, int pad)
{
	a[0] = VT_ZA_2("kernel_shape", k, k);
	a[1] = VT_ZA_2("strides", stride, stride);
	a[2] = pad < 0 ? VT_ZA_S("auto_pad", "SAME_UPPER") : VT_ZA_4("pads", pad, pad, pad, pad);
	return 3;
}

static vt_zv batch_norm(struct vt_zb *b, const char *name, vt_zv x, double gain)
{
	double m2 = vt_zb_at(b, x)->m2;
	int64_t c = vt_zb_dim(b, x, 1);
	struct vt_zb_attr eps = VT_ZA_F("epsilon", 1e-5f);
	size_t mark = vt_zb_push(b, "%s", name);
	vt_zv in[5], y;

	in[0] = x;
	in[1] = vt_zb_weight(b, "weight", 1, &c, gain, BIAS_SD * gain, 0);
	in[2] = vt_zb_weight(b, "bias", 1, &c, 0, BIAS_SD * gain, 0);
	in[3] = vt_zb_weight(b, "running_mean", 1, &c, 0, BIAS_SD * sqrt(m2), 0);
	in[4] = vt_zb_weight(b, "running_var", 1, &c, m2, BIAS_SD * m2, 0);
	b->params -= 2 * (uint64_t)c; /* statistics are not learned */
	vt_zb_pop(b, mark);
	y = vt_zb_node(b, "BatchNormalization", name, in, 5, 1, &eps, 1);
	vt_zb_at(b, y)->mean = 0;
	vt_zb_at(b, y)->m2 = gain * gain;
	return y;
}

vt_zv vt_zb_conv(struct vt_zb *b, const char *name, vt_zv x, const struct vt_zb_conv *c)
{
	const struct vt_zb_value v = *vt_zb_at(b, x);
	int64_t groups = c->groups ? c->groups : 1;
	int64_t w[4] = {c->out, v.dim[1].n / groups, c->k, c->k};
	int64_t fan_in = w[1] * c->k * c->k;
	/*
	 * Filters that sum to zero do not pass on the positive mean that every ReLU leaves. Without
	 * it, deep random networks give nearly the same answer to every input. A depthwise filter
	 * must see the mean, or nothing of a smooth image is left.
	 */
	bool centred = groups == 1 && fan_in > 8;
	double out_sd = c->sd > 0 ? c->sd : 1;
	double sd = out_sd / sqrt((double)fan_in * (centred ? variance(&v) : v.m2));
	struct vt_zb_attr attr[5];
	char part[96];
	size_t mark = vt_zb_push(b, "%s", name);
	vt_zv in[3] = {x}, y;
	int n;

	in[1] = vt_zb_weight(b, "weight", 4, w, 0, sd, centred ? fan_in : 0);
	if (c->bias)
		in[2] = vt_zb_weight(b, "bias", 1, w, 0, BIAS_SD * out_sd, 0);
	vt_zb_pop(b, mark);
	n = window_attrs(attr, c->k, c->stride, c->pad);
	attr[n++] = VT_ZA_I("group", groups);
	attr[n++] = VT_ZA_2("dilations", 1, 1);
	y = vt_zb_node(b, "Conv", name, in, c->bias ? 3 : 2, 1, attr, n);
	set_window(b, y, x, c->out, c->k, c->stride, c->pad, false);
	vt_zb_at(b, y)->mean = 0;
	vt_zb_at(b, y)->m2 = out_sd * out_sd;
	b->macs += (uint64_t)(c->out * vt_zb_dim(b, y, 2) * vt_zb_dim(b, y, 3) * fan_in);
	if (c->gain > 0) {
		snprintf(part, sizeof(part), "%.80s.bn", name);
		y = batch_norm(b, part, y, c->gain);
	}
	return vt_zb_act(b, name, y, c->act);
}

/* ---- activations and arithmetic ------------------------------------------------------------- */

/* Clip took its bounds as attributes until opset 11. */
static vt_zv clip6(struct vt_zb *b, const char *name, vt_zv x)
{
	struct vt_zb_attr attr[2] = {VT_ZA_F("min", 0), VT_ZA_F("max", 6)};
	char part[96];
	vt_zv in[3] = {x};

	if (b->opset < 11)
		return vt_zb_node(b, "Clip", name, in, 1, 1, attr, 2);
	snprintf(part, sizeof(part), "%.80s.min", name);
	in[1] = vt_zb_float(b, part, 0);
	snprintf(part, sizeof(part), "%.80s.max", name);
	in[2] = vt_zb_float(b, part, 6);
	return vt_zb_node(b, "Clip", name, in, 3, 1, NULL, 0);
}

vt_zv vt_zb_act(struct vt_zb *b, const char *name, vt_zv x, enum vt_zb_act act)
{
	static double (*const f[])(double) = {
		[VT_ZACT_RELU] = f_relu, [VT_ZACT_RELU6] = f_relu6,	[VT_ZACT_LEAKY] = f_leaky,
		[VT_ZACT_SILU] = f_silu, [VT_ZACT_SIGMOID] = f_sigmoid,
	};
	struct vt_zb_attr alpha = VT_ZA_F("alpha", 0.1f);
	char part[96];
	vt_zv y = x;

	snprintf(part, sizeof(part), "%.80s.act", name);
	switch (act) {
	case VT_ZACT_NONE:
		return x;
	case VT_ZACT_RELU:
		y = vt_zb_op1(b, "Relu", part, x);
		break;
	case VT_ZACT_RELU6:
		y = clip6(b, part, x);
		break;
	case VT_ZACT_LEAKY:
		y = vt_zb_node(b, "LeakyRelu", part, &x, 1, 1, &alpha, 1);
		break;
	case VT_ZACT_SIGMOID:
		y = vt_zb_op1(b, "Sigmoid", part, x);
		break;
	case VT_ZACT_SILU:
		snprintf(part, sizeof(part), "%.80s.sigmoid", name);
		y = vt_zb_op1(b, "Sigmoid", part, x);
		snprintf(part, sizeof(part), "%.80s.act", name);
		y = vt_zb_op2(b, "Mul", part, x, y);
		break;
	}
	map_moments(vt_zb_at(b, y), f[act]);
	return y;
}

vt_zv vt_zb_add(struct vt_zb *b, const char *name, vt_zv x, vt_zv y)
{
	const struct vt_zb_value p = *vt_zb_at(b, x), q = *vt_zb_at(b, y);
	vt_zv r = vt_zb_op2(b, "Add", name, x, y);
	struct vt_zb_value *v = vt_zb_at(b, r);

	v->mean = p.mean + q.mean;
	v->m2 = p.m2 + q.m2 + 2 * p.mean * q.mean;
	return r;
}

vt_zv vt_zb_mul(struct vt_zb *b, const char *name, vt_zv x, vt_zv y)
{
	const struct vt_zb_value p = *vt_zb_at(b, x), q = *vt_zb_at(b, y);
	vt_zv r = vt_zb_op2(b, "Mul", name, x, y);
	struct vt_zb_value *v = vt_zb_at(b, r);

	v->mean = p.mean * q.mean;
	v->m2 = p.m2 * q.m2;
	return r;
}

vt_zv vt_zb_concat(struct vt_zb *b, const char *name, const vt_zv *x, int n, int axis)
{
	struct vt_zb_attr a = VT_ZA_I("axis", axis);
	vt_zv r = vt_zb_node(b, "Concat", name, x, n, 1, &a, 1);
	double size = 0, mean = 0, m2 = 0;
	struct vt_zb_value *v;

	for (int i = 0; i < n; i++) {
		double d = (double)vt_zb_dim(b, x[i], axis);

		size += d;
		mean += d * vt_zb_at(b, x[i])->mean;
		m2 += d * vt_zb_at(b, x[i])->m2;
	}
	v = vt_zb_at(b, r);
	v->dim[axis].n = (int64_t)size;
	v->mean = mean / size;
	v->m2 = m2 / size;
	return r;
}

/* ---- pooling -------------------------------------------------------------------------------- */

vt_zv vt_zb_pool(struct vt_zb *b, const char *name, vt_zv x, const struct vt_zb_pool *p)
{
	struct vt_zb_attr attr[4];
	int n = window_attrs(attr, p->k, p->stride, p->pad);
	double sd = sqrt(variance(vt_zb_at(b, x)));
	bool max = p->op[0] == 'M';
	struct vt_zb_value *v;
	vt_zv y;

	if (p->ceil)
		attr[n++] = VT_ZA_I("ceil_mode", 1);
	y = vt_zb_node(b, p->op, name, &x, 1, 1, attr, n);
	set_window(b, y, x, vt_zb_dim(b, x, 1), p->k, p->stride, p->pad, p->ceil);
	v = vt_zb_at(b, y);
	/* The greatest of k*k neighbours, which are not quite independent. */
	if (max)
		v->mean += sd * (p->k > 2 ? 1.5 : 1);
	v->m2 = v->mean * v->mean + sd * sd * (max ? 1 : 0.6);
	return y;
}

vt_zv vt_zb_global_pool(struct vt_zb *b, const char *name, vt_zv x)
{
	vt_zv y = vt_zb_op1(b, "GlobalAveragePool", name, x);
	struct vt_zb_value *v = vt_zb_at(b, y);

	/* What differs between channels stays; what differs between places goes. */
	v->m2 = v->mean * v->mean + 0.6 * variance(v);
	v->dim[2].n = v->dim[3].n = 1;
	return y;
}

/* ---- matrices ------------------------------------------------------------------------------- */

vt_zv vt_zb_flatten(struct vt_zb *b, const char *name, vt_zv x)
{
	struct vt_zb_attr axis = VT_ZA_I("axis", 1);
	vt_zv y = vt_zb_node(b, "Flatten", name, &x, 1, 1, &axis, 1);
	struct vt_zb_value *v = vt_zb_at(b, y);

	for (int i = 2; i < v->rank; i++)
		v->dim[1].n *= v->dim[i].n;
	v->rank = 2;
	return y;
}

vt_zv vt_zb_gemm(struct vt_zb *b, const char *name, vt_zv x, int64_t out, double sd)
{
	const struct vt_zb_value v = *vt_zb_at(b, x);
	int64_t w[2] = {out, v.dim[1].n};
	struct vt_zb_attr attr[3] = {VT_ZA_F("alpha", 1), VT_ZA_F("beta", 1), VT_ZA_I("transB", 1)};
	double wsd = sd / sqrt((double)w[1] * variance(&v));
	size_t mark = vt_zb_push(b, "%s", name);
	vt_zv in[3], y;

	in[0] = x;
	in[1] = vt_zb_weight(b, "weight", 2, w, 0, wsd, w[1]);
	in[2] = vt_zb_weight(b, "bias", 1, w, 0, BIAS_SD * sd, 0);
	vt_zb_pop(b, mark);
	y = vt_zb_node(b, "Gemm", name, in, 3, 1, attr, 3);
	vt_zb_at(b, y)->dim[1].n = out;
	vt_zb_at(b, y)->mean = 0;
	vt_zb_at(b, y)->m2 = sd * sd;
	b->macs += (uint64_t)(out * w[1]);
	return y;
}

vt_zv vt_zb_linear(struct vt_zb *b, const char *name, vt_zv x, int64_t out, double sd)
{
	const struct vt_zb_value v = *vt_zb_at(b, x);
	int64_t w[2] = {v.dim[v.rank - 1].n, out};
	size_t mark = vt_zb_push(b, "%s", name);
	vt_zv weight, bias, y;
	uint64_t rows = 1;

	weight = vt_zb_weight(b, "weight", 2, w, 0, sd / sqrt((double)w[0] * v.m2), 0);
	bias = vt_zb_weight(b, "bias", 1, w + 1, 0, BIAS_SD * sd, 0);
	y = vt_zb_op2(b, "MatMul", "MatMul", x, weight);
	for (int i = 0; i < v.rank - 1; i++)
		rows *= (uint64_t)v.dim[i].n;
	b->macs += rows * (uint64_t)(w[0] * w[1]);
	vt_zb_at(b, y)->dim[v.rank - 1] = (struct vt_zb_dim){.n = out};
	/* Exporters put the bias first. */
	y = vt_zb_op2(b, "Add", "Add", bias, y);
	vt_zb_pop(b, mark);
	*vt_zb_at(b, y) = (struct vt_zb_value){.name = vt_zb_at(b, y)->name,
					       .dtype = F32,
					       .rank = v.rank,
					       .mean = 0,
					       .m2 = sd * sd};
	for (int i = 0; i < v.rank; i++)
		vt_zb_at(b, y)->dim[i] = v.dim[i];
	vt_zb_at(b, y)->dim[v.rank - 1] = (struct vt_zb_dim){.n = out};
	return y;
}

/* ---- shapes --------------------------------------------------------------------------------- */

vt_zv vt_zb_transpose(struct vt_zb *b, const char *name, vt_zv x, int p0, int p1, int p2, int p3)
{
	struct vt_zb_attr perm = VT_ZA_4("perm", p0, p1, p2, p3);
	const struct vt_zb_value v = *vt_zb_at(b, x);
	vt_zv y = vt_zb_node(b, "Transpose", name, &x, 1, 1, &perm, 1);

	for (int i = 0; i < 4; i++)
		vt_zb_at(b, y)->dim[i] = v.dim[perm.ints[i]];
	return y;
}

/* Axes were an attribute until opset 13. */
vt_zv vt_zb_unsqueeze(struct vt_zb *b, const char *name, vt_zv x, int axis)
{
	struct vt_zb_attr attr = VT_ZA_1("axes", axis);
	char part[96];
	vt_zv in[2] = {x}, y;
	struct vt_zb_value *v;

	if (b->opset < 13) {
		y = vt_zb_node(b, "Unsqueeze", name, in, 1, 1, &attr, 1);
	} else {
		snprintf(part, sizeof(part), "%.80s.axes", name);
		in[1] = vt_zb_ints(b, part, attr.ints, 1);
		y = vt_zb_node(b, "Unsqueeze", name, in, 2, 1, NULL, 0);
	}
	v = vt_zb_at(b, y);
	for (int i = v->rank++; i > axis; i--)
		v->dim[i] = v->dim[i - 1];
	v->dim[axis] = (struct vt_zb_dim){.n = 1};
	return y;
}

vt_zv vt_zb_dim_of(struct vt_zb *b, const char *name, vt_zv x, int axis)
{
	struct vt_zb_attr attr = VT_ZA_I("axis", 0);
	size_t mark = vt_zb_push(b, "%s", name);
	int64_t index = axis;
	vt_zv in[2], y;

	in[0] = vt_zb_op1(b, "Shape", "Shape", x);
	vt_zb_at(b, in[0])->dtype = I64;
	vt_zb_at(b, in[0])->dim[0] = (struct vt_zb_dim){.n = vt_zb_at(b, x)->rank};
	vt_zb_at(b, in[0])->rank = 1;
	in[1] = vt_zb_ints(b, "index", &index, -1);
	y = vt_zb_node(b, "Gather", "Gather", in, 2, 1, &attr, 1);
	vt_zb_at(b, y)->rank = 0;
	y = vt_zb_unsqueeze(b, "Unsqueeze", y, 0);
	vt_zb_pop(b, mark);
	return y;
}
