/* SPDX-License-Identifier: Apache-2.0 */
/* tensor.h - what a model takes and gives, and tensors as the protocol writes them. No threads. */
#ifndef VT_SERVER_TENSOR_H
#define VT_SERVER_TENSOR_H

#include <stdbool.h>
#include <stddef.h>

#include "model/graph.h"
#include "server/json.h"

/** One input or output, its shape static. Row-major, little-endian, no padding. */
struct vt_io_tensor {
	const char *name;    /* the model's */
	const char *escaped; /* the same, ready to stand between JSON quotes */
	enum vt_dtype dtype;
	struct vt_shape shape;
	size_t elems, bytes;
	int tensor; /* of the graph */
};

struct vt_io {
	struct vt_io_tensor *in, *out;
	size_t n_in, n_out;
	size_t in_bytes, out_bytes; /* sums */
	void *mem;		    /* owns all of the above, names too */
};

/** vt_io_of - the inputs and outputs of @g, which may go afterwards; -ENOMEM */
int vt_io_of(struct vt_io *ret, const struct vt_graph *g);
void vt_io_fini(struct vt_io *io); /* accepts a zeroed one */

/** vt_datatype_name - "FP32"; the protocol has none for some: then NULL */
const char *vt_datatype_name(enum vt_dtype t);
/** vt_datatype_find - of the protocol's name; VT_DT_NONE if there is none */
enum vt_dtype vt_datatype_find(const struct vt_json_str *name);
/** vt_datatype_in_json - can its elements be written as JSON? (16-bit floats cannot) */
bool vt_datatype_in_json(enum vt_dtype t);

/**
 * vt_tensor_read - the `data` array at which @j stands, straight into @dst of @t->bytes
 * Flat, or nested as the shape says. Floats also as "NaN", "Infinity", "-Infinity". 0 or -EBADMSG,
 * the error of @j names the element.
 */
int vt_tensor_read(struct vt_json *j, const struct vt_io_tensor *t, void *dst);

/** vt_tensor_text_bound - characters that vt_tensor_write() may need for @elems */
size_t vt_tensor_text_bound(enum vt_dtype t, size_t elems);
/** vt_tensor_write - "[1,2.5,...]", flat; returns its length */
size_t vt_tensor_write(char *buf, enum vt_dtype t, const void *data, size_t elems);

#endif
