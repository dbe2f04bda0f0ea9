// SPDX-License-Identifier: Apache-2.0
/*
 * zoo_mobile.c - networks of inverted residuals: MobileNet-V2 (Sandler et al., CVPR 2018) and
 * EfficientNet-B0 (Tan and Le, ICML 2019), with the shapes of torchvision's definitions.
 */
#include "model/zoo_build.h"

#include "onnx/onnx.pb-c.h"

/* Deviation of what a residual branch adds to the identity beside it. */
#define BRANCH_GAIN 0.5

static vt_zv image_input(struct vt_zb *b, int size)
{
	struct vt_zb_dim dim[4] = {{1, "batch"}, {3, NULL}, {size, NULL}, {size, NULL}};

	return vt_zb_add_input(b, "input", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4, dim,
			       VT_ZI_IMAGE, 0);
}

/* ---- MobileNet-V2 --------------------------------------------------------------------------- */

static vt_zv inverted_residual(struct vt_zb *b, vt_zv x, int expand, int out, int stride)
{
	int64_t in = vt_zb_dim(b, x, 1), mid = in * expand;
	bool residual = stride == 1 && in == out;
	struct vt_zb_conv widen = {
		.out = mid, .k = 1, .stride = 1, .gain = 1, .act = VT_ZACT_RELU6};
	struct vt_zb_conv depth = {.out = mid,
				   .k = 3,
				   .stride = stride,
				   .pad = 1,
				   .groups = mid,
				   .gain = 1,
				   .act = VT_ZACT_RELU6};
	struct vt_zb_conv project = {
		.out = out, .k = 1, .stride = 1, .gain = residual ? BRANCH_GAIN : 1};
	vt_zv y = x;

	if (expand != 1)
		y = vt_zb_conv(b, "conv.expand", y, &widen);
	y = vt_zb_conv(b, "conv.depthwise", y, &depth);
	y = vt_zb_conv(b, "conv.project", y, &project);
	return residual ? vt_zb_add(b, "add", x, y) : y;
}

/* The batch is read from the shape, as exporters wrote x.view(x.size(0), -1). */
static vt_zv flatten_by_shape(struct vt_zb *b, vt_zv x)
{
	static const int64_t rest = -1;
	struct vt_zb_value *v;
	vt_zv part[2], in[2], y;

	part[0] = vt_zb_dim_of(b, "size", x, 0);
	part[1] = vt_zb_ints(b, "rest", &rest, 1);
	in[0] = x;
	in[1] = vt_zb_concat(b, "shape", part, 2, 0);
	y = vt_zb_op2(b, "Reshape", "view", in[0], in[1]);
	v = vt_zb_at(b, y);
	v->dim[1].n *= v->dim[2].n * v->dim[3].n;
	v->rank = 2;
	return y;
}

void vt_zoo_build_mobilenet(struct vt_zb *b, const void *spec)
{
	const struct vt_zoo_mobilenet *s = spec;
	struct vt_zb_conv stem = {
		.out = s->stem, .k = 3, .stride = 2, .pad = 1, .gain = 1, .act = VT_ZACT_RELU6};
	struct vt_zb_conv last = {
		.out = s->last, .k = 1, .stride = 1, .gain = 1, .act = VT_ZACT_RELU6};
	vt_zv x = image_input(b, s->size);
	int layer = 1;

	x = vt_zb_conv(b, "features.0", x, &stem);
	for (int i = 0; i < s->n; i++) {
		const int *t = s->blocks[i];

		for (int j = 0; j < t[2]; j++) {
			size_t mark = vt_zb_push(b, "features.%d", layer++);

			x = inverted_residual(b, x, t[0], t[1], j ? 1 : t[3]);
			vt_zb_pop(b, mark);
		}
	}
	x = vt_zb_conv(b, "features.last", x, &last);
	x = vt_zb_global_pool(b, "pool", x);
	x = flatten_by_shape(b, x);
	x = vt_zb_gemm(b, "classifier", x, s->classes, 2);
	vt_zb_add_output(b, x, "output");
}

/* ---- EfficientNet-B0 ------------------------------------------------------------------------ */

/*
 * Squeeze and excitation: a gate per channel, from the means of all channels. The gates must not
 * saturate: how far channel means lie apart is the crudest of the estimates in zoo_layers.c.
 */
static vt_zv squeeze_excite(struct vt_zb *b, vt_zv x, int64_t squeeze)
{
	struct vt_zb_conv down = {
		.out = squeeze, .k = 1, .stride = 1, .bias = true, .sd = 0.5, .act = VT_ZACT_SILU};
	struct vt_zb_conv up = {.out = vt_zb_dim(b, x, 1),
				.k = 1,
				.stride = 1,
				.bias = true,
				.sd = 0.5,
				.act = VT_ZACT_SIGMOID};
	size_t mark = vt_zb_push(b, "se");
	vt_zv gate;

	gate = vt_zb_global_pool(b, "avgpool", x);
	gate = vt_zb_conv(b, "fc1", gate, &down);
	gate = vt_zb_conv(b, "fc2", gate, &up);
	x = vt_zb_mul(b, "scale", x, gate);
	vt_zb_pop(b, mark);
	return x;
}

static vt_zv mbconv(struct vt_zb *b, vt_zv x, const int *t, int stride)
{
	int64_t in = vt_zb_dim(b, x, 1), mid = in * t[0], squeeze = in / 4 > 1 ? in / 4 : 1;
	bool residual = stride == 1 && in == t[2];
	struct vt_zb_conv widen = {.out = mid, .k = 1, .stride = 1, .gain = 1, .act = VT_ZACT_SILU};
	struct vt_zb_conv depth = {.out = mid,
				   .k = t[1],
				   .stride = stride,
				   .pad = t[1] / 2,
				   .groups = mid,
				   .gain = 1,
				   .act = VT_ZACT_SILU};
	struct vt_zb_conv project = {
		.out = t[2], .k = 1, .stride = 1, .gain = residual ? BRANCH_GAIN : 1};
	vt_zv y = x;

	if (t[0] != 1)
		y = vt_zb_conv(b, "expand", y, &widen);
	y = vt_zb_conv(b, "depthwise", y, &depth);
	y = squeeze_excite(b, y, squeeze);
	y = vt_zb_conv(b, "project", y, &project);
	return residual ? vt_zb_add(b, "add", x, y) : y;
}

void vt_zoo_build_efficientnet(struct vt_zb *b, const void *spec)
{
	const struct vt_zoo_efficientnet *s = spec;
	struct vt_zb_conv stem = {
		.out = s->stem, .k = 3, .stride = 2, .pad = 1, .gain = 1, .act = VT_ZACT_SILU};
	struct vt_zb_conv last = {
		.out = s->last, .k = 1, .stride = 1, .gain = 1, .act = VT_ZACT_SILU};
	vt_zv x = image_input(b, s->size);

	x = vt_zb_conv(b, "features.stem", x, &stem);
	for (int i = 0; i < s->n; i++) {
		const int *t = s->blocks[i];

		for (int j = 0; j < t[3]; j++) {
			size_t mark = vt_zb_push(b, "features.%d.%d", i + 1, j);

			x = mbconv(b, x, t, j ? 1 : t[4]);
			vt_zb_pop(b, mark);
		}
	}
	x = vt_zb_conv(b, "features.last", x, &last);
	x = vt_zb_global_pool(b, "avgpool", x);
	x = vt_zb_flatten(b, "flatten", x);
	x = vt_zb_gemm(b, "classifier", x, s->classes, 2);
	vt_zb_add_output(b, x, "output");
}
