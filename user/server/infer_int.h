/* SPDX-License-Identifier: Apache-2.0 */
/* infer_int.h - one reading of a request's body, shared by infer_read.c and infer_input.c. */
#ifndef VT_SERVER_INFER_INT_H
#define VT_SERVER_INFER_INT_H

#include "server/infer.h"
#include "server/params.h"

struct reader {
	struct vt_json j;
	struct vt_ask *a;
	const struct vt_io *io;
	struct vt_err *e;
	const char *blob; /* bytes after the JSON */
	size_t blob_len, blob_at;
	const struct vt_ask_room *room;
	bool binary_output;		 /* the default of outputs that say nothing */
	bool wants;			 /* `outputs` was given */
	int8_t binary[VT_INFER_TENSORS]; /* of want[]: -1 not said */
};

/** infer_unsupported - 0, or -ENOTSUP for a parameter that would change the answer */
int infer_unsupported(struct reader *r, const struct vt_oip_params *p);
/** infer_own - @bytes of the request's own, as @t needs them, to @ret; -ENOSPC, -ENOMEM */
int infer_own(struct reader *r, size_t bytes, const struct vt_io_tensor *t, void **ret);
/** infer_region - that @t, an "input" or "output", is where @p says, as the ask's shm[@at] */
int infer_region(struct reader *r, const struct vt_oip_params *p, const char *what,
		 const struct vt_io_tensor *t, size_t at);
/** infer_inputs - the array `inputs` */
int infer_inputs(struct reader *r);

#endif
