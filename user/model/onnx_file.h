/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onnx_file.h - ONNX protobufs as files: bounded parsing, tensors taken out without a copy.
 *
 * protobuf-c trusts its input: it recurses as deep as messages nest and makes a struct for each of
 * them. So the bytes are walked first, without touching the data of tensors. Large fields become
 * memory mappings of their own, which vt_onnx_take_tensor() hands on instead of copying.
 */
#ifndef VT_MODEL_ONNX_FILE_H
#define VT_MODEL_ONNX_FILE_H

#include <protobuf-c/protobuf-c.h>

#include "model/graph.h"
#include "onnx/onnx.pb-c.h"

/** Bytes of a file or of the caller. */
struct vt_onnx_bytes {
	const void *data;
	size_t len;
	bool mapped; /* ours to unmap; pages may be given back while parsing */
};

int vt_onnx_map(const char *path, struct vt_onnx_bytes *ret, struct vt_err *e);
void vt_onnx_unmap(struct vt_onnx_bytes *b);

/** vt_onnx_unpack - parse a message; NULL with the reason in @e. Free with vt_onnx_free(). */
ProtobufCMessage *vt_onnx_unpack(const ProtobufCMessageDescriptor *type,
				 const struct vt_onnx_bytes *b, struct vt_err *e);
void vt_onnx_free(ProtobufCMessage *msg);

/**
 * vt_onnx_take_tensor - the value of a TensorProto; its data moves to @ret where it fits
 * @dir: confines external data; NULL forbids it
 * Returns 0; -ENOEXEC for a type we lack, -EINVAL for sizes that do not fit, -errno.
 */
int vt_onnx_take_tensor(Onnx__TensorProto *t, const char *dir, struct vt_value *ret,
			struct vt_err *e);

/** vt_value_read_pb - read a TensorProto from a file (input_0.pb of ONNX's test data) */
int vt_value_read_pb(struct vt_value *v, const char *path, struct vt_err *e);

/** vt_onnx_external - map or read @len bytes at @off of a file that lies under @dir */
int vt_onnx_external(const char *dir, const char *file, uint64_t off, size_t len, size_t align,
		     struct vt_value *ret, struct vt_err *e);

#endif
