// SPDX-License-Identifier: Apache-2.0
/*
 * zoo_resnet.c - residual networks: ResNet-50 v1.5 (He et al., CVPR 2016; the stride sits on the
 * 3x3 convolution, as MLPerf has it) and SSD-ResNet34 for 1200x1200 images (Liu et al., ECCV 2016,
 * in the shape of the MLPerf inference reference: 15130 boxes).
 */
#include "model/zoo_build.h"

#include "onnx/onnx.pb-c.h"

#define BRANCH_GAIN 0.5

static vt_zv stem(struct vt_zb *b, int size, int channels)
{
	struct vt_zb_dim dim[4] = {{1, "batch"}, {3, NULL}, {size, NULL}, {size, NULL}};
	struct vt_zb_conv conv = {
		.out = channels, .k = 7, .stride = 2, .pad = 3, .gain = 1, .act = VT_ZACT_RELU};
	struct vt_zb_pool pool = {.op = "MaxPool", .k = 3, .stride = 2, .pad = 1};
	vt_zv x;

	x = vt_zb_add_input(b, "input", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 4, dim, VT_ZI_IMAGE,
			    0);
	x = vt_zb_conv(b, "conv1", x, &conv);
	return vt_zb_pool(b, "maxpool", x, &pool);
}

/* The identity, or its projection where the shape changes. */
static vt_zv shortcut(struct vt_zb *b, vt_zv x, int64_t out, int stride)
{
	struct vt_zb_conv proj = {.out = out, .k = 1, .stride = stride, .gain = 1};

	if (stride == 1 && vt_zb_dim(b, x, 1) == out)
		return x;
	return vt_zb_conv(b, "downsample", x, &proj);
}

static vt_zv bottleneck(struct vt_zb *b, vt_zv x, int64_t width, int stride)
{
	struct vt_zb_conv c1 = {.out = width, .k = 1, .stride = 1, .gain = 1, .act = VT_ZACT_RELU};
	struct vt_zb_conv c2 = {
		.out = width, .k = 3, .stride = stride, .pad = 1, .gain = 1, .act = VT_ZACT_RELU};
	struct vt_zb_conv c3 = {.out = 4 * width, .k = 1, .stride = 1, .gain = BRANCH_GAIN};
	vt_zv y;

	y = vt_zb_conv(b, "conv1", x, &c1);
	y = vt_zb_conv(b, "conv2", y, &c2);
	y = vt_zb_conv(b, "conv3", y, &c3);
	y = vt_zb_add(b, "add", y, shortcut(b, x, 4 * width, stride));
	return vt_zb_act(b, "add", y, VT_ZACT_RELU);
}

static vt_zv basic_block(struct vt_zb *b, vt_zv x, int64_t width, int stride)
{
	struct vt_zb_conv c1 = {
		.out = width, .k = 3, .stride = stride, .pad = 1, .gain = 1, .act = VT_ZACT_RELU};
	struct vt_zb_conv c2 = {.out = width, .k = 3, .stride = 1, .pad = 1, .gain = BRANCH_GAIN};
	vt_zv y;

	y = vt_zb_conv(b, "conv1", x, &c1);
	y = vt_zb_conv(b, "conv2", y, &c2);
	y = vt_zb_add(b, "add", y, shortcut(b, x, width, stride));
	return vt_zb_act(b, "add", y, VT_ZACT_RELU);
}

typedef vt_zv block_fn(struct vt_zb *b, vt_zv x, int64_t width, int stride);

static vt_zv stage(struct vt_zb *b, vt_zv x, block_fn *block, int index, int n, int64_t width,
		   int stride)
{
	for (int i = 0; i < n; i++) {
		size_t mark = vt_zb_push(b, "layer%d.%d", index, i);

		x = block(b, x, width, i ? 1 : stride);
		vt_zb_pop(b, mark);
	}
	return x;
}

void vt_zoo_build_resnet(struct vt_zb *b, const void *spec)
{
	const struct vt_zoo_resnet *s = spec;
	vt_zv x = stem(b, s->size, s->stem);

	for (int i = 0; i < 4; i++)
		x = stage(b, x, bottleneck, i + 1, s->blocks[i], (int64_t)s->stem << i, i ? 2 : 1);
	x = vt_zb_global_pool(b, "avgpool", x);
	x = vt_zb_flatten(b, "flatten", x);
	x = vt_zb_gemm(b, "fc", x, s->classes, 2);
	vt_zb_add_output(b, x, "output");
}

/* ---- SSD ------------------------------------------------------------------------------------ */

#define MAPS 6

/* Boxes of one feature map: a convolution, then all places in one row per coordinate or class. */
static vt_zv head(struct vt_zb *b, const char *name, vt_zv x, int64_t boxes, int64_t per_box,
		  int stride)
{
	struct vt_zb_conv conv = {
		.out = boxes * per_box, .k = 3, .stride = stride, .pad = 1, .bias = true};
	const int64_t to[3] = {0, per_box, -1};
	struct vt_zb_value *v;
	vt_zv y = vt_zb_conv(b, name, x, &conv);
	size_t mark = vt_zb_push(b, "%s", name);

	y = vt_zb_op2(b, "Reshape", "view", y, vt_zb_ints(b, "shape", to, 3));
	vt_zb_pop(b, mark);
	v = vt_zb_at(b, y);
	v->dim[2].n *= v->dim[3].n * boxes;
	v->dim[1].n = per_box;
	v->rank = 3;
	return y;
}

/* The further feature maps, each half the size of the one before. */
static vt_zv extra_map(struct vt_zb *b, vt_zv x, int i, int64_t unit)
{
	static const struct {
		int squeeze, out, stride,
			pad; /* channels in units of a quarter of the backbone's */
	} t[MAPS - 1] = {{4, 8, 2, 1}, {4, 8, 2, 1}, {2, 4, 2, 1}, {2, 4, 2, 0}, {2, 4, 1, 0}};
	struct vt_zb_conv squeeze = {
		.out = t[i].squeeze * unit, .k = 1, .stride = 1, .bias = true, .act = VT_ZACT_RELU};
	struct vt_zb_conv widen = {.out = t[i].out * unit,
				   .k = 3,
				   .stride = t[i].stride,
				   .pad = t[i].pad,
				   .bias = true,
				   .act = VT_ZACT_RELU};
	size_t mark = vt_zb_push(b, "additional_blocks.%d", i);

	x = vt_zb_conv(b, "0", x, &squeeze);
	x = vt_zb_conv(b, "2", x, &widen);
	vt_zb_pop(b, mark);
	return x;
}

void vt_zoo_build_ssd(struct vt_zb *b, const void *spec)
{
	static const int boxes[MAPS] = {4, 6, 6, 6, 4, 4};
	const struct vt_zoo_ssd *s = spec;
	vt_zv x = stem(b, s->size, s->stem), loc[MAPS], conf[MAPS];

	/* The third stage keeps the resolution of the second. */
	for (int i = 0; i < 3; i++)
		x = stage(b, x, basic_block, i + 1, s->blocks[i], (int64_t)s->stem << i,
			  i == 1 ? 2 : 1);
	for (int i = 0; i < MAPS; i++) {
		size_t mark;

		if (i)
			x = extra_map(b, x, i - 1, s->stem);
		mark = vt_zb_push(b, "head%d", i);
		loc[i] = head(b, "loc", x, boxes[i], 4, s->head_stride);
		conf[i] = head(b, "conf", x, boxes[i], s->classes, s->head_stride);
		vt_zb_pop(b, mark);
	}
	vt_zb_add_output(b, vt_zb_concat(b, "locs", loc, MAPS, 2), "loc");
	vt_zb_add_output(b, vt_zb_concat(b, "confs", conf, MAPS, 2), "conf");
}
