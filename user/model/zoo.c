// SPDX-License-Identifier: Apache-2.0
#include "model/zoo.h"

#include <string.h>

#include "model/zoo_build.h"

/* ---- the paper's models --------------------------------------------------------------------- */

static const int mobilenet_blocks[][4] = {
	{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2},  {6, 64, 4, 2},
	{6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
};
static const struct vt_zoo_mobilenet mobilenet = {
	.size = 224, .stem = 32, .last = 1280, .classes = 1000, .n = 7, .blocks = mobilenet_blocks};

static const int efficientnet_blocks[][5] = {
	{1, 3, 16, 1, 1},  {6, 3, 24, 2, 2},  {6, 5, 40, 2, 2},	 {6, 3, 80, 3, 2},
	{6, 5, 112, 3, 1}, {6, 5, 192, 4, 2}, {6, 3, 320, 1, 1},
};
static const struct vt_zoo_efficientnet efficientnet = {.size = 224,
							.stem = 32,
							.last = 1280,
							.classes = 1000,
							.n = 7,
							.blocks = efficientnet_blocks};

static const int yolo_widths[] = {16, 32, 64, 128, 256, 512, 1024, 1024};
static const struct vt_zoo_yolo yolo = {
	.size = 416, .n = 8, .boxes = 5, .classes = 20, .widths = yolo_widths};

static const struct vt_zoo_resnet resnet = {
	.size = 224, .stem = 64, .classes = 1000, .blocks = {3, 4, 6, 3}};
static const struct vt_zoo_googlenet googlenet = {.size = 224, .width_div = 1, .classes = 1000};
static const struct vt_zoo_ssd ssd = {
	.size = 1200, .stem = 64, .classes = 81, .head_stride = 3, .blocks = {3, 4, 6}};
static const struct vt_zoo_bert bert = {.layers = 24,
					.hidden = 1024,
					.heads = 16,
					.ff = 4096,
					.vocab = 30522,
					.positions = 512,
					.seq = 384};

/* ---- and small ones of the same patterns ---------------------------------------------------- */

static const int tiny_mobilenet_blocks[][4] = {{1, 8, 1, 1}, {6, 12, 2, 2}, {4, 16, 2, 2}};
static const struct vt_zoo_mobilenet tiny_mobilenet = {
	.size = 48, .stem = 8, .last = 40, .classes = 10, .n = 3, .blocks = tiny_mobilenet_blocks};

static const int tiny_efficientnet_blocks[][5] = {
	{1, 3, 8, 1, 1}, {6, 5, 12, 2, 2}, {4, 3, 20, 2, 1}};
static const struct vt_zoo_efficientnet tiny_efficientnet = {.size = 48,
							     .stem = 8,
							     .last = 40,
							     .classes = 10,
							     .n = 3,
							     .blocks = tiny_efficientnet_blocks};

static const int tiny_yolo_widths[] = {4, 8, 12, 16, 16};
static const struct vt_zoo_yolo tiny_yolo = {
	.size = 52, .n = 5, .boxes = 2, .classes = 3, .widths = tiny_yolo_widths};

static const struct vt_zoo_resnet tiny_resnet = {
	.size = 64, .stem = 8, .classes = 10, .blocks = {2, 1, 1, 1}};
static const struct vt_zoo_googlenet tiny_googlenet = {.size = 64, .width_div = 8, .classes = 10};
static const struct vt_zoo_ssd tiny_ssd = {
	.size = 400, .stem = 4, .classes = 5, .head_stride = 3, .blocks = {1, 1, 2}};
static const struct vt_zoo_bert tiny_bert = {.layers = 2,
					     .hidden = 32,
					     .heads = 4,
					     .ff = 64,
					     .vocab = 100,
					     .positions = 40,
					     .seq = 24,
					     .new_ops = true};

/*
 * The opsets are those of the model's own time, so that one zoo covers 8 to 17: Clip with
 * attributes and with inputs, axes as attributes and as inputs, initialisers that must be graph
 * inputs too.
 */
#define FULL(n, text, ops, fn, s)                                                                  \
	{                                                                                          \
		.name = n, .summary = text, .opset = ops, .build = vt_zoo_build_##fn, .spec = &s   \
	}
#define TINY(n, ops, fn)                                                                           \
	{                                                                                          \
		.name = n "-tiny", .summary = "the patterns of " n ", small", .tiny = true,        \
		.opset = ops, .build = vt_zoo_build_##fn, .spec = &tiny_##fn                       \
	}

static const struct vt_zoo_model models[] = {
	FULL("mobilenet-v2", "image classification, 224x224", 12, mobilenet, mobilenet),
	FULL("efficientnet-b0", "image classification, 224x224", 13, efficientnet, efficientnet),
	FULL("tiny-yolov2", "object detection, 416x416", 8, yolo, yolo),
	FULL("resnet-50", "image classification, 224x224", 11, resnet, resnet),
	FULL("googlenet", "image classification, 224x224", 10, googlenet, googlenet),
	FULL("ssd-resnet34", "object detection, 1200x1200", 11, ssd, ssd),
	FULL("bert-large", "question answering, 384 tokens", 13, bert, bert),
	TINY("mobilenet-v2", 9, mobilenet),
	TINY("efficientnet-b0", 13, efficientnet),
	TINY("tiny-yolov2", 8, yolo),
	TINY("resnet-50", 11, resnet),
	TINY("googlenet", 10, googlenet),
	TINY("ssd-resnet34", 11, ssd),
	TINY("bert-large", 17, bert),
};

const struct vt_zoo_model *vt_zoo_models(size_t *n)
{
	*n = sizeof(models) / sizeof(models[0]);
	return models;
}

const struct vt_zoo_model *vt_zoo_find(const char *name)
{
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (!strcmp(models[i].name, name))
			return &models[i];
	return NULL;
}
