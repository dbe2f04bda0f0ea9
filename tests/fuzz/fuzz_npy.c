// SPDX-License-Identifier: Apache-2.0
/*
 * fuzz_npy.c - hostile files of values, as `veltair run --input` takes them: what begins like a .npy is one, all else is
 * a tensor of ONNX (.pb). Whatever is accepted must be self-consistent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/npy.h"
#include "model/onnx_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_pb(const uint8_t *data, size_t size, struct vt_value *v, struct vt_err *e)
{
	static char path[64];
	static int fd;

	if (!fd) {
		fd = memfd_create("pb", MFD_CLOEXEC);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	return vt_value_read_pb(v, path, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const bool npy = size && data[0] == 0x93;
	struct vt_value v = {0};
	struct vt_err e = {0};
	unsigned char sum = 0;

	if (npy ? vt_npy_parse(data, size, &v, &e) : read_pb(data, size, &v, &e)) {
		if (v.data || !e.code || !e.msg[0] || strchr(e.msg, '\n'))
			abort();
		return 0;
	}
	/* A byte of a .pb may be a whole number. */
	if (v.bytes > size * (npy ? 1 : 8) || v.shape.rank > VT_MAX_RANK ||
	    v.bytes != (size_t)vt_shape_elems(&v.shape) * vt_dtype_bytes(v.dtype))
		abort();
	for (size_t i = 0; i < v.bytes; i++) /* every byte is really there */
		sum ^= ((unsigned char *)v.data)[i];
	vt_value_fini(&v);
	return sum == 1 && size == 0; /* keep the loop */
}
