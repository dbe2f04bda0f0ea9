/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zoo.h - the paper's seven models, and a tiny version of each, as real ONNX files.
 *
 * The architectures are the published ones, node for node as exporters write them; the weights are
 * drawn from a seed and scaled so that every activation keeps its order of magnitude. Speed and
 * memory are those of the trained models; the answers mean nothing. Thread-safe: no globals.
 */
#ifndef VT_MODEL_ZOO_H
#define VT_MODEL_ZOO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct vt_zb;

struct vt_zoo_model {
	const char *name; /* also the file's name, without .onnx */
	const char *summary;
	bool tiny; /* same patterns, few channels and blocks: for tests */
	int opset;
	void (*build)(struct vt_zb *b, const void *spec);
	const void *spec;
};

struct vt_zoo_opts {
	uint64_t seed;
	bool dynamic;  /* name the batch (and BERT's sequence) instead of fixing it */
	bool external; /* weights of 1 KiB and more go to NAME.onnx.data beside the model */
	bool inputs;   /* also write NAME.INPUT.npy: one sensible value of every input */
	/*
	 * Called at least once a MiB; anything but 0 stops the work with -ECANCELED and leaves no file.
	 */
	int (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
	void *arg;
};

/** What was written, for people and for tests. */
struct vt_zoo_info {
	uint64_t bytes; /* of the model, external data included */
	uint64_t
		params; /* learned numbers; the running statistics of BatchNormalization excluded */
	uint64_t macs;	/* multiply-adds of one run, matrix and convolution operators only */
	unsigned int nodes;
};

/** vt_zoo_models - the table; full models first, then the tiny ones in the same order */
const struct vt_zoo_model *vt_zoo_models(size_t *n);

/** vt_zoo_find - by name, or NULL */
const struct vt_zoo_model *vt_zoo_find(const char *name);

/** vt_zoo_describe - @ret as vt_zoo_write() would give it, without writing anything */
int vt_zoo_describe(const struct vt_zoo_model *m, const struct vt_zoo_opts *o,
		    struct vt_zoo_info *ret, struct vt_err *e);

/**
 * vt_zoo_write - write @m as DIR/NAME.onnx
 * @dir: must exist
 * The same model, seed and options give the same bytes on every machine. Files appear complete or
 * not at all (temporary name, then rename). Needs a few MiB of memory whatever the model's size.
 * Returns 0, -ENOSPC, -ECANCELED, or another -errno with its text in @e; @ret may be NULL.
 */
int vt_zoo_write(const struct vt_zoo_model *m, const char *dir, const struct vt_zoo_opts *o,
		 struct vt_zoo_info *ret, struct vt_err *e);

#endif
