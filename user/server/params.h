/* SPDX-License-Identifier: Apache-2.0 */
/* params.h - the `parameters` objects of the protocol. Private to infer_read.c and infer_input.c. */
#ifndef VT_SERVER_PARAMS_H
#define VT_SERVER_PARAMS_H

#include "server/json.h"

/** What a `parameters` object said; which of it counts depends on where it stands. */
struct vt_oip_params {
	bool has_size, has_binary, has_deadline, has_priority, has_region_bytes, binary_output;
	bool binary;
	uint64_t size, priority;
	struct vt_json_str region; /* at NULL: none */
	uint64_t region_bytes, region_offset;
	double deadline_ms;
	const char *unsupported;
};

/** vt_oip_params_read - the object at which @j stands; unknown members are skipped. 0 or -EBADMSG */
int vt_oip_params_read(struct vt_json *j, struct vt_oip_params *ret);

#endif
