// SPDX-License-Identifier: Apache-2.0
/*
 * zoo_classic.c - GoogLeNet (Szegedy et al., CVPR 2015; the Caffe model: biases, LRN, ceil pooling)
 * and Tiny-YOLOv2 (Redmon and Farhadi, CVPR 2017; the VOC model, with the image scaling in front).
 */
#include "model/zoo_build.h"

#include "onnx/onnx.pb-c.h"

static vt_zv image_input(struct vt_zb *b, const char *name, int size)
{
	struct vt_zb_dim dim[4] = {{1, "batch"}, {3, NULL}, {size, NULL}, {size, NULL}};

	return vt_zb_add_input(b, name, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4, dim, VT_ZI_IMAGE,
			       0);
}

/* ---- GoogLeNet ------------------------------------------------------------------------------ */

/* Channels of an inception module: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection. */
struct inception {
	const char *name;
	int ch[6];
	bool pool_after;
};

static const struct inception modules[] = {
	{"inception_3a", {64, 96, 128, 16, 32, 32}, false},
	{"inception_3b", {128, 128, 192, 32, 96, 64}, true},
	{"inception_4a", {192, 96, 208, 16, 48, 64}, false},
	{"inception_4b", {160, 112, 224, 24, 64, 64}, false},
	{"inception_4c", {128, 128, 256, 24, 64, 64}, false},
	{"inception_4d", {112, 144, 288, 32, 64, 64}, false},
	{"inception_4e", {256, 160, 320, 32, 128, 128}, true},
	{"inception_5a", {256, 160, 320, 32, 128, 128}, false},
	{"inception_5b", {384, 192, 384, 48, 128, 128}, false},
};

static vt_zv conv_relu(struct vt_zb *b, const char *name, vt_zv x, int out, int k, int stride)
{
	struct vt_zb_conv c = {.out = out,
			       .k = k,
			       .stride = stride,
			       .pad = k / 2,
			       .bias = true,
			       .act = VT_ZACT_RELU};

	return vt_zb_conv(b, name, x, &c);
}

static vt_zv inception(struct vt_zb *b, const struct inception *m, vt_zv x, int div)
{
	static const struct vt_zb_pool pool = {.op = "MaxPool", .k = 3, .stride = 1, .pad = 1};
	size_t mark = vt_zb_push(b, "%s", m->name);
	vt_zv y[4];

	y[0] = conv_relu(b, "1x1", x, m->ch[0] / div, 1, 1);
	y[1] = conv_relu(b, "3x3_reduce", x, m->ch[1] / div, 1, 1);
	y[1] = conv_relu(b, "3x3", y[1], m->ch[2] / div, 3, 1);
	y[2] = conv_relu(b, "5x5_reduce", x, m->ch[3] / div, 1, 1);
	y[2] = conv_relu(b, "5x5", y[2], m->ch[4] / div, 5, 1);
	y[3] = vt_zb_pool(b, "pool", x, &pool);
	y[3] = conv_relu(b, "pool_proj", y[3], m->ch[5] / div, 1, 1);
	x = vt_zb_concat(b, "output", y, 4, 1);
	vt_zb_pop(b, mark);
	return x;
}

static vt_zv lrn(struct vt_zb *b, const char *name, vt_zv x)
{
	struct vt_zb_attr a[4] = {VT_ZA_F("alpha", 1e-4f), VT_ZA_F("beta", 0.75f),
				  VT_ZA_F("bias", 1), VT_ZA_I("size", 5)};

	return vt_zb_node(b, "LRN", name, &x, 1, 1, a, 4);
}

void vt_zoo_build_googlenet(struct vt_zb *b, const void *spec)
{
	static const struct vt_zb_pool half = {.op = "MaxPool", .k = 3, .stride = 2, .ceil = true};
	const struct vt_zoo_googlenet *s = spec;
	struct vt_zb_pool whole = {.op = "AveragePool", .stride = 1};
	struct vt_zb_attr axis = VT_ZA_I("axis", 1);
	int d = s->width_div;
	vt_zv x = image_input(b, "data", s->size);

	x = conv_relu(b, "conv1.7x7_s2", x, 64 / d, 7, 2);
	x = vt_zb_pool(b, "pool1.3x3_s2", x, &half);
	x = lrn(b, "pool1.norm1", x);
	x = conv_relu(b, "conv2.3x3_reduce", x, 64 / d, 1, 1);
	x = conv_relu(b, "conv2.3x3", x, 192 / d, 3, 1);
	x = lrn(b, "conv2.norm2", x);
	x = vt_zb_pool(b, "pool2.3x3_s2", x, &half);
	for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++) {
		x = inception(b, &modules[i], x, d);
		if (!modules[i].pool_after)
			continue;
		x = vt_zb_pool(b, i < 5 ? "pool3.3x3_s2" : "pool4.3x3_s2", x, &half);
	}
	whole.k = (int)vt_zb_dim(b, x, 2);
	x = vt_zb_pool(b, "pool5", x, &whole);
	x = vt_zb_op1(b, "Dropout", "pool5.drop", x);
	x = vt_zb_flatten(b, "flatten", x);
	x = vt_zb_gemm(b, "loss3.classifier", x, s->classes, 2);
	x = vt_zb_node(b, "Softmax", "softmax", &x, 1, 1, &axis, 1);
	vt_zb_add_output(b, x, "prob");
}

/* ---- Tiny-YOLOv2 ---------------------------------------------------------------------------- */

/* Images come as 0..1 about their mean; the model's own scaling follows the reference file. */
static vt_zv scale_image(struct vt_zb *b, vt_zv x)
{
	static const int64_t per_channel[3] = {3, 1, 1}, one = 1;
	vt_zv scale, bias;

	scale = vt_zb_weight(b, "scalerPreprocessor_scale", 1, &one, 1, 0.02, 0);
	bias = vt_zb_weight(b, "scalerPreprocessor_bias", 3, per_channel, 0, 0.02, 0);
	b->params -= 4; /* preprocessing, not learned */
	x = vt_zb_op2(b, "Mul", "scaled", x, scale);
	return vt_zb_op2(b, "Add", "centred", x, bias);
}

void vt_zoo_build_yolo(struct vt_zb *b, const void *spec)
{
	const struct vt_zoo_yolo *s = spec;
	struct vt_zb_conv last = {
		.out = (int64_t)s->boxes * (5 + s->classes), .k = 1, .stride = 1, .bias = true};
	vt_zv x = scale_image(b, image_input(b, "image", s->size));

	for (int i = 0; i < s->n; i++) {
		struct vt_zb_conv conv = {.out = s->widths[i],
					  .k = 3,
					  .stride = 1,
					  .pad = -1,
					  .gain = 1,
					  .act = VT_ZACT_LEAKY};
		/* The last pool smooths and keeps the size; the last two convolutions have none. */
		struct vt_zb_pool pool = {
			.op = "MaxPool", .k = 2, .stride = i < s->n - 3 ? 2 : 1, .pad = -1};
		size_t mark = vt_zb_push(b, "layer%d", i + 1);

		x = vt_zb_conv(b, "convolution", x, &conv);
		if (i < s->n - 2)
			x = vt_zb_pool(b, "maxpool", x, &pool);
		vt_zb_pop(b, mark);
	}
	x = vt_zb_conv(b, "convolution8", x, &last);
	vt_zb_add_output(b, x, "grid");
}
