/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onnx_file.h - ONNX protobufs as files: bounded parsing, tensors taken out without a copy.
 *
 * protobuf-c trusts its input: it recurses as deep as messages nest and makes a struct for each of
 * them. So the bytes are walked first. Large fields become memory mappings of their own, which
 * vt_onnx_take_tensor() hands on instead of copying.
 *
 * No file is mapped, as one that is emptied or rewritten in place would end the process (SIGBUS),
 * or change between the walk and the parser. It is read once, in the walk; the large data of
 * tensors is left out there and read when its block has been made, so it is never held twice.
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
	bool of_file; /* data is memory of ours, filled while it is walked */
	int fd;	      /* then: where from */
};

/** vt_onnx_open - the bytes of a file; nothing is read before vt_onnx_unpack() */
int vt_onnx_open(const char *path, struct vt_onnx_bytes *ret, struct vt_err *e);
void vt_onnx_close(struct vt_onnx_bytes *b); /* accepts zeroes */

/** vt_onnx_unpack - parse a message; NULL with the reason in @e. Free with vt_onnx_free(). */
ProtobufCMessage *vt_onnx_unpack(const ProtobufCMessageDescriptor *type,
				 const struct vt_onnx_bytes *b, struct vt_err *e);
void vt_onnx_free(ProtobufCMessage *msg);

/** External data: the folder that confines it, NULL forbids it; who is told of it, or NULL. */
struct vt_onnx_beside {
	const char *dir;
	const struct vt_import_opts *told;
};

/**
 * vt_onnx_take_tensor - the value of a TensorProto; its data moves to @ret where it fits
 * Returns 0; -ENOEXEC for a type we lack, -EINVAL for sizes that do not fit, -errno.
 */
int vt_onnx_take_tensor(Onnx__TensorProto *t, const struct vt_onnx_beside *beside,
			struct vt_value *ret, struct vt_err *e);

/** vt_onnx_type_text - the name of a TensorProto.DataType, also of those we lack; returns @buf */
const char *vt_onnx_type_text(int type, char *buf, size_t len);

/** vt_value_read_pb - read a TensorProto from a file (input_0.pb of ONNX's test data) */
int vt_value_read_pb(struct vt_value *v, const char *path, struct vt_err *e);

/** vt_onnx_external - read @len bytes at @off of a file that lies under @beside->dir */
int vt_onnx_external(const struct vt_onnx_beside *beside, const char *file, uint64_t off,
		     size_t len, struct vt_value *ret, struct vt_err *e);

#endif
