// SPDX-License-Identifier: Apache-2.0
#include "sim/net.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** The tensor that flows while a net is written down. */
struct flow {
	struct vt_net *net;
	uint32_t cap;
	uint32_t h, w, c;
	int failed;
};

static struct vt_layer_shape *add(struct flow *f, const char *fmt, va_list ap)
{
	struct vt_net *n = f->net;

	if (n->n_layers == f->cap) {
		uint32_t cap = f->cap ? 2 * f->cap : 64;
		struct vt_layer_shape *more = realloc(n->layers, cap * sizeof(*more));

		if (!more) {
			f->failed = 1;
			return NULL;
		}
		n->layers = more;
		f->cap = cap;
	}
	n->layers[n->n_layers] = (struct vt_layer_shape){.kind = VT_SHAPE_GEMM, .groups = 1};
	vsnprintf(n->layers[n->n_layers].name, sizeof(n->layers->name), fmt, ap);
	return &n->layers[n->n_layers++];
}

/** A convolution of the paper's nets. Padding keeps ceil(size / stride), as they all do. */
struct conv {
	uint32_t out, k, stride;
	uint8_t depthwise;
};

__attribute__((format(printf, 3, 4))) static void conv(struct flow *f, struct conv c,
						       const char *fmt, ...)
{
	uint32_t oh = (f->h + c.stride - 1) / c.stride, ow = (f->w + c.stride - 1) / c.stride;
	struct vt_layer_shape *s;
	va_list ap;

	va_start(ap, fmt);
	s = add(f, fmt, ap);
	va_end(ap);
	if (!s)
		return;
	s->kind = c.depthwise ? VT_SHAPE_DEPTHWISE : VT_SHAPE_GEMM;
	s->rows = oh * ow;
	s->cols = c.out;
	s->depth = c.k * c.k * (c.depthwise ? 1 : f->c);
	s->halo = c.k > c.stride ? c.k - c.stride : 0;
	s->in_row_bytes = 4.0 * f->w * f->c;
	s->in_bytes = s->in_row_bytes * f->h;
	/* A strided 1x1 convolution reads only the pixels it keeps. */
	if (c.k == 1)
		s->in_bytes /= c.stride * c.stride;
	s->out_bytes = 4.0 * oh * ow * c.out;
	s->weight_bytes = 4.0 * s->depth * c.out;
	f->h = oh;
	f->w = ow;
	f->c = c.out;
}

/** A layer that passes each byte of its input once and leaves h x w x c. */
__attribute__((format(printf, 5, 6))) static void stream(struct flow *f, uint32_t h, uint32_t w,
							 uint32_t depth, const char *fmt, ...)
{
	struct vt_layer_shape *s;
	va_list ap;

	va_start(ap, fmt);
	s = add(f, fmt, ap);
	va_end(ap);
	if (!s)
		return;
	s->kind = VT_SHAPE_STREAM;
	s->rows = h * w;
	s->cols = f->c;
	s->depth = depth;
	s->in_row_bytes = 4.0 * f->w * f->c;
	s->in_bytes = s->in_row_bytes * f->h;
	s->out_bytes = 4.0 * h * w * f->c;
	f->h = h;
	f->w = w;
}

static void pool(struct flow *f, uint32_t k, uint32_t stride, const char *name)
{
	stream(f, (f->h + stride - 1) / stride, (f->w + stride - 1) / stride, k * k, "%s", name);
}

/** Global average pooling and the classifier. */
static void classifier(struct flow *f, uint32_t classes)
{
	stream(f, 1, 1, f->h * f->w, "gap");
	conv(f, (struct conv){classes, 1, 1, 0}, "fc");
}

static void start(struct flow *f, uint32_t h, uint32_t w, uint32_t c)
{
	f->h = h;
	f->w = w;
	f->c = c;
}

/* ---- inverted residuals: MobileNet-V2 and EfficientNet-B0 -------------------------------- */

struct stage {
	uint8_t expand, n, stride, k;
	uint16_t out;
};

/** Squeeze-and-excite: reads the tensor to pool it, two tiny products, scales the tensor. */
static void squeeze_excite(struct flow *f, uint32_t reduced, uint32_t i)
{
	uint32_t h = f->h, w = f->w, c = f->c;

	stream(f, 1, 1, h * w, "b%u.se_pool", i);
	conv(f, (struct conv){reduced, 1, 1, 0}, "b%u.se_reduce", i);
	conv(f, (struct conv){c, 1, 1, 0}, "b%u.se_expand", i);
	start(f, h, w, c);
	stream(f, h, w, 1, "b%u.se_scale", i);
}

static void inverted(struct flow *f, const struct stage *s, uint32_t stride, int se, uint32_t i)
{
	uint32_t in = f->c;

	if (s->expand > 1)
		conv(f, (struct conv){in * s->expand, 1, 1, 0}, "b%u.expand", i);
	conv(f, (struct conv){f->c, s->k, stride, 1}, "b%u.depthwise", i);
	if (se)
		squeeze_excite(f, in / 4, i);
	conv(f, (struct conv){s->out, 1, 1, 0}, "b%u.project", i);
}

static void inverted_stages(struct flow *f, const struct stage *s, size_t n, int se)
{
	uint32_t i = 0;

	for (size_t k = 0; k < n; k++)
		for (uint32_t r = 0; r < s[k].n; r++)
			inverted(f, &s[k], r ? 1 : s[k].stride, se, i++);
}

static void mobilenet_v2(struct flow *f)
{
	static const struct stage s[] = {{1, 1, 1, 3, 16}, {6, 2, 2, 3, 24}, {6, 3, 2, 3, 32},
					 {6, 4, 2, 3, 64}, {6, 3, 1, 3, 96}, {6, 3, 2, 3, 160},
					 {6, 1, 1, 3, 320}};

	start(f, 224, 224, 3);
	conv(f, (struct conv){32, 3, 2, 0}, "stem");
	inverted_stages(f, s, sizeof(s) / sizeof(s[0]), 0);
	conv(f, (struct conv){1280, 1, 1, 0}, "head");
	classifier(f, 1000);
}

static void efficientnet_b0(struct flow *f)
{
	static const struct stage s[] = {{1, 1, 1, 3, 16}, {6, 2, 2, 3, 24},  {6, 2, 2, 5, 40},
					 {6, 3, 2, 3, 80}, {6, 3, 1, 5, 112}, {6, 4, 2, 5, 192},
					 {6, 1, 1, 3, 320}};

	start(f, 224, 224, 3);
	conv(f, (struct conv){32, 3, 2, 0}, "stem");
	inverted_stages(f, s, sizeof(s) / sizeof(s[0]), 1);
	conv(f, (struct conv){1280, 1, 1, 0}, "head");
	classifier(f, 1000);
}

/* ---- residual nets ----------------------------------------------------------------------- */

static void bottleneck(struct flow *f, uint32_t mid, uint32_t stride, uint32_t i)
{
	uint32_t h = f->h, w = f->w, c = f->c;

	conv(f, (struct conv){mid, 1, 1, 0}, "b%u.reduce", i);
	conv(f, (struct conv){mid, 3, stride, 0}, "b%u.conv3x3", i);
	conv(f, (struct conv){4 * mid, 1, 1, 0}, "b%u.expand", i);
	if (c == 4 * mid && stride == 1)
		return;
	start(f, h, w, c);
	conv(f, (struct conv){4 * mid, 1, stride, 0}, "b%u.shortcut", i);
}

static void resnet50(struct flow *f)
{
	static const uint8_t n[] = {3, 4, 6, 3};
	uint32_t i = 0;

	start(f, 224, 224, 3);
	conv(f, (struct conv){64, 7, 2, 0}, "stem");
	pool(f, 3, 2, "maxpool");
	for (uint32_t s = 0; s < 4; s++)
		for (uint32_t r = 0; r < n[s]; r++)
			bottleneck(f, 64u << s, s && !r ? 2 : 1, i++);
	classifier(f, 1000);
}

static void basic_block(struct flow *f, uint32_t out, uint32_t stride, uint32_t i)
{
	uint32_t h = f->h, w = f->w, c = f->c;

	conv(f, (struct conv){out, 3, stride, 0}, "b%u.conv1", i);
	conv(f, (struct conv){out, 3, 1, 0}, "b%u.conv2", i);
	if (c == out && stride == 1)
		return;
	start(f, h, w, c);
	conv(f, (struct conv){out, 1, stride, 0}, "b%u.shortcut", i);
}

/** Detection head on the present map: boxes and 81 class scores of each anchor, one 3x3. */
static void ssd_head(struct flow *f, uint32_t anchors, uint32_t stride, uint32_t i)
{
	uint32_t h = f->h, w = f->w, c = f->c;

	conv(f, (struct conv){anchors * (4 + 81), 3, stride, 0}, "head%u", i);
	start(f, h, w, c);
}

/** SSD with a ResNet-34 trunk; @strides thin out the heads on large inputs. */
static void ssd(struct flow *f, uint32_t size, const uint8_t *strides)
{
	static const uint8_t n[] = {3, 4, 6}, anchors[] = {4, 6, 6, 6, 4, 4};
	static const uint16_t extra[][2] = {
		{256, 512}, {256, 512}, {128, 256}, {128, 256}, {128, 256}};
	uint32_t i = 0;

	start(f, size, size, 3);
	conv(f, (struct conv){64, 7, 2, 0}, "stem");
	pool(f, 3, 2, "maxpool");
	for (uint32_t s = 0; s < 3; s++)
		for (uint32_t r = 0; r < n[s]; r++)
			basic_block(f, 64u << s, !r && s == 1 ? 2 : 1, i++);
	ssd_head(f, anchors[0], strides[0], 0);
	for (uint32_t k = 0; k < 5; k++) {
		conv(f, (struct conv){extra[k][0], 1, 1, 0}, "extra%u.1x1", k);
		conv(f, (struct conv){extra[k][1], 3, 2, 0}, "extra%u.3x3", k);
		ssd_head(f, anchors[k + 1], strides[k + 1], k + 1);
	}
}

static void ssd_300(struct flow *f)
{
	ssd(f, 300, (const uint8_t[]){1, 1, 1, 1, 1, 1});
}

static void ssd_1200(struct flow *f)
{
	ssd(f, 1200, (const uint8_t[]){3, 3, 2, 2, 2, 2});
}

/* ---- the others -------------------------------------------------------------------------- */

static void inception(struct flow *f, const uint16_t *o, uint32_t i)
{
	uint32_t h = f->h, w = f->w, c = f->c;

	conv(f, (struct conv){o[0], 1, 1, 0}, "i%u.1x1", i);
	start(f, h, w, c);
	conv(f, (struct conv){o[1], 1, 1, 0}, "i%u.reduce3", i);
	conv(f, (struct conv){o[2], 3, 1, 0}, "i%u.3x3", i);
	start(f, h, w, c);
	conv(f, (struct conv){o[3], 1, 1, 0}, "i%u.reduce5", i);
	conv(f, (struct conv){o[4], 5, 1, 0}, "i%u.5x5", i);
	start(f, h, w, c);
	stream(f, h, w, 9, "i%u.pool", i);
	conv(f, (struct conv){o[5], 1, 1, 0}, "i%u.project", i);
	start(f, h, w, (uint32_t)o[0] + o[2] + o[4] + o[5]);
}

static void googlenet(struct flow *f)
{
	static const uint16_t o[][6] = {
		{64, 96, 128, 16, 32, 32},     {128, 128, 192, 32, 96, 64},
		{192, 96, 208, 16, 48, 64},    {160, 112, 224, 24, 64, 64},
		{128, 128, 256, 24, 64, 64},   {112, 144, 288, 32, 64, 64},
		{256, 160, 320, 32, 128, 128}, {256, 160, 320, 32, 128, 128},
		{384, 192, 384, 48, 128, 128}};

	start(f, 224, 224, 3);
	conv(f, (struct conv){64, 7, 2, 0}, "stem");
	pool(f, 3, 2, "maxpool1");
	conv(f, (struct conv){64, 1, 1, 0}, "conv2.reduce");
	conv(f, (struct conv){192, 3, 1, 0}, "conv2");
	pool(f, 3, 2, "maxpool2");
	for (uint32_t i = 0; i < 9; i++) {
		inception(f, o[i], i);
		if (i == 1 || i == 6)
			pool(f, 3, 2, i == 1 ? "maxpool3" : "maxpool4");
	}
	classifier(f, 1000);
}

static void tiny_yolo_v2(struct flow *f)
{
	start(f, 416, 416, 3);
	for (uint32_t i = 0; i < 6; i++) {
		conv(f, (struct conv){16u << i, 3, 1, 0}, "conv%u", i);
		pool(f, 2, i < 5 ? 2 : 1, "maxpool");
	}
	conv(f, (struct conv){1024, 3, 1, 0}, "conv6");
	conv(f, (struct conv){1024, 3, 1, 0}, "conv7");
	conv(f, (struct conv){125, 1, 1, 0}, "boxes");
}

/** heads products of tokens x inner by inner x cols; the second operand counts as weights. */
static void attention(struct flow *f, uint32_t heads, uint32_t tokens, uint32_t inner,
		      uint32_t cols, const char *name, uint32_t i)
{
	start(f, heads, tokens, inner);
	conv(f, (struct conv){cols, 1, 1, 0}, "l%u.%s", i, name);
	if (f->failed)
		return;
	f->net->layers[f->net->n_layers - 1].weight_bytes *= heads;
	f->net->layers[f->net->n_layers - 1].groups = heads;
}

static void bert_large(struct flow *f)
{
	const uint32_t tokens = 384, hidden = 1024, heads = 16, inner = hidden / heads;

	for (uint32_t i = 0; i < 24; i++) {
		for (uint32_t k = 0; k < 3; k++) {
			start(f, tokens, 1, hidden);
			conv(f, (struct conv){hidden, 1, 1, 0}, "l%u.%c", i, "qkv"[k]);
		}
		attention(f, heads, tokens, inner, tokens, "scores", i);
		stream(f, heads, tokens, 4, "l%u.softmax", i);
		attention(f, heads, tokens, tokens, inner, "context", i);
		start(f, tokens, 1, hidden);
		conv(f, (struct conv){hidden, 1, 1, 0}, "l%u.output", i);
		stream(f, tokens, 1, 8, "l%u.norm1", i);
		conv(f, (struct conv){4 * hidden, 1, 1, 0}, "l%u.ffn1", i);
		conv(f, (struct conv){hidden, 1, 1, 0}, "l%u.ffn2", i);
		stream(f, tokens, 1, 8, "l%u.norm2", i);
	}
	conv(f, (struct conv){2, 1, 1, 0}, "span");
}

/* ---- the table ----------------------------------------------------------------------------- */

static const struct maker {
	const char *name;
	uint32_t qos_ms;
	void (*make)(struct flow *f);
} makers[] = {
	{"efficientnet_b0", 10, efficientnet_b0},
	{"mobilenet_v2", 10, mobilenet_v2},
	{"tiny_yolo_v2", 10, tiny_yolo_v2},
	{"resnet50", 15, resnet50},
	{"googlenet", 15, googlenet},
	{"ssd_resnet34_300", 100, ssd_300},
	{"bert_large", 130, bert_large},
	{"ssd_resnet34", 100, ssd_1200},
};

int vt_net_make(const char *name, struct vt_net *ret, struct vt_err *e)
{
	for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++) {
		struct vt_net n = {.name = makers[i].name, .qos_ns = makers[i].qos_ms * 1000000ull};
		struct flow f = {.net = &n};

		if (strcmp(name, makers[i].name) != 0)
			continue;
		makers[i].make(&f);
		if (f.failed) {
			vt_net_fini(&n);
			return vt_fail(e, -ENOMEM, "out of memory");
		}
		*ret = n;
		return 0;
	}
	return vt_fail(e, -ENOENT, "no model is called '%.40s'", name);
}

void vt_net_fini(struct vt_net *n)
{
	free(n->layers);
	*n = (struct vt_net){0};
}

const char *vt_net_name(unsigned int i)
{
	return i < sizeof(makers) / sizeof(makers[0]) ? makers[i].name : NULL;
}
