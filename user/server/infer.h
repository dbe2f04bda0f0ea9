/* SPDX-License-Identifier: Apache-2.0 */
/*
 * infer.h - inference requests and answers of the Open Inference Protocol, as JSON and with the
 * binary tensor and shared memory extensions. No I/O, no threads; the only memory is that of tensors given as JSON, and a
 * list of those in shared memory, which is named here and read elsewhere.
 *
 *	body = JSON                                        Inference-Header-Content-Length absent
 *	body = JSON, then the bytes of each binary tensor  ...: length of the JSON
 *	body = the bytes of the one input                  ...: 0
 */
#ifndef VT_SERVER_INFER_H
#define VT_SERVER_INFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/tensor.h"

#define VT_INFER_JSON_ONLY SIZE_MAX /* as header length: the header field is absent */
#define VT_INFER_TENSORS   256u	    /* inputs, and outputs, of a model that can be served */

struct vt_region; /* region.h */

/** Where in shared memory a tensor is. */
struct vt_shm {
	struct vt_json_str region; /* at NULL: it is not there */
	uint64_t offset;
	struct vt_region
		*held; /* of who reads and writes it, who also lets it go; NULL until then */
};

/** Who is asked before memory is taken: @take(@arg, @bytes) is true if there is room, and then they count. */
struct vt_ask_room {
	bool (*take)(void *arg, size_t bytes);
	void *arg;
};

/** One output asked for. */
struct vt_want {
	uint16_t out; /* index into vt_io.out */
	bool binary;
};

/** A request, checked against the model. Pointers lead into the body, or to memory of its own. */
struct vt_ask {
	size_t n_in, n_want;
	size_t own_bytes;
	bool any_binary;      /* of the outputs */
	const char *id;	      /* as it stands between its quotes; not NUL-terminated; NULL: none */
	size_t id_len;	      /* 0: none was given */
	uint64_t deadline_ns; /* from arrival; 0: not given */
	uint16_t priority;    /* 0: not given */
	struct vt_shm
		*shm; /* of the inputs in the model's order, then of want[]; NULL: none is there */
	/* Of these, only what n_in and n_want count is ever set: they are large, and most models have one or two. */
	const void *in
		[VT_INFER_TENSORS]; /* [n_in]: bytes of each input, in the model's order; NULL: in shared memory */
	void *own[VT_INFER_TENSORS]; /* [n_in]: of those, what vt_ask_fini() frees */
	struct vt_want want[VT_INFER_TENSORS];
};

/**
 * vt_ask_read - take a body apart
 * @head: value of Inference-Header-Content-Length, or VT_INFER_JSON_ONLY
 * @room: asked for a tensor's bytes before its numbers are read; -ENOSPC where it says no. What it gave is own_bytes,
 * also after an error, and the caller's to give back
 * -EBADMSG: not sound; -EINVAL: sound, but not what this model takes; -ENOTSUP: a part of the
 * protocol that is not served here; -ENOMEM. Call vt_ask_fini() in every case; it also takes a zeroed one.
 */
int vt_ask_read(struct vt_ask *ret, const struct vt_io *io, const void *body, size_t len,
		size_t head, const struct vt_ask_room *room, struct vt_err *e);
void vt_ask_fini(struct vt_ask *a);

/** vt_ask_in_shm - where input @i is, vt_ask_out_shm - where want[@k] is to go; NULL: not in shared memory */
const struct vt_shm *vt_ask_in_shm(const struct vt_ask *a, size_t i);
const struct vt_shm *vt_ask_out_shm(const struct vt_ask *a, size_t k);

/**
 * vt_ask_deadline - deadline_ns of the JSON of @len bytes at @json, before the tensors behind it are there
 * 0: not given, or the JSON is not sound, which vt_ask_read() will say.
 */
uint64_t vt_ask_deadline(const void *json, size_t len);

/**
 * vt_ask_bound - bytes that a body for a model of @io may need, however it is written
 * @head: as for vt_ask_read(), before it is known to be true
 */
uint64_t vt_ask_bound(const struct vt_io *io, size_t head);

/** vt_answer_bound - bytes that the answer to @a may need */
size_t vt_answer_bound(const struct vt_io *io, const struct vt_ask *a, const char *model,
		       const char *version);

/**
 * vt_answer_write - encode the outputs wanted; of those in shared memory, where they are
 * @data: of each output, in the model's order
 * @head: length of the JSON in front, or VT_INFER_JSON_ONLY if nothing is binary
 * @model, @version: need no escape
 * Returns the length.
 */
size_t vt_answer_write(char *buf, const struct vt_io *io, const struct vt_ask *a, const char *model,
		       const char *version, const void *const *data, size_t *head);

#endif
