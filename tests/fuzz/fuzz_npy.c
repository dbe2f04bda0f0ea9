// SPDX-License-Identifier: Apache-2.0
/* fuzz_npy.c - hostile .npy files. Whatever is accepted must be self-consistent. */
#include <stdlib.h>
#include <string.h>

#include "model/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vt_value v = {0};
	struct vt_err e = {0};
	unsigned char sum = 0;

	if (vt_npy_parse(data, size, &v, &e)) {
		if (v.data || !e.code || !e.msg[0] || strchr(e.msg, '\n'))
			abort();
		return 0;
	}
	if (v.bytes > size || v.shape.rank > VT_MAX_RANK ||
	    v.bytes != (size_t)vt_shape_elems(&v.shape) * vt_dtype_bytes(v.dtype))
		abort();
	for (size_t i = 0; i < v.bytes; i++) /* every byte is really there */
		sum ^= ((unsigned char *)v.data)[i];
	vt_value_fini(&v);
	return sum == 1 && size == 0; /* keep the loop */
}
