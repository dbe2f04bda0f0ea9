// SPDX-License-Identifier: Apache-2.0
/* infer_bound.c - what a request and its answer take at most. */
#include <string.h>

#include "server/infer.h"

#define FIXED_BYTES 256u /* punctuation and member names, per answer and per output */

size_t vt_answer_bound(const struct vt_io *io, const struct vt_ask *a, const char *model,
		       const char *version)
{
	size_t n = FIXED_BYTES + strlen(model) + strlen(version) + a->id_len;

	for (size_t i = 0; i < a->n_want; i++) {
		const struct vt_io_tensor *t = &io->out[a->want[i].out];
		const struct vt_shm *shm = vt_ask_out_shm(a, i);

		n += FIXED_BYTES + strlen(t->escaped) + VT_MAX_RANK * (VT_NUMBER_INT_MAX + 1);
		n += shm		 ? shm->region.len
		     : a->want[i].binary ? t->bytes
					 : vt_tensor_text_bound(t->dtype, t->elems);
	}
	return n;
}

/*
 * Of a request, besides its tensors: an id, parameters, the outputs asked for. It is ample, so that a body that is nearly
 * right, such as a tensor with the header of its file, is told what is wrong with it.
 */
#define SPARE_BYTES 65536u
#define LINE_BYTES  64u /* an element, or a bracket, alone on its line and indented */

/* As JSON, nested as its shape says. */
static uint64_t text_bound(const struct vt_io_tensor *t)
{
	uint64_t lists = 1, n = 1;

	for (int d = 0; d + 1 < t->shape.rank; d++) {
		n *= (uint64_t)t->shape.dim[d];
		lists += n;
	}
	return (t->elems + 2 * lists) * LINE_BYTES;
}

uint64_t vt_ask_bound(const struct vt_io *io, size_t head)
{
	uint64_t json = 0;

	for (size_t i = 0; i < io->n_in; i++)
		json += text_bound(&io->in[i]);
	for (size_t i = 0; i < io->n_in + io->n_out; i++) {
		const struct vt_io_tensor *t = i < io->n_in ? &io->in[i] : &io->out[i - io->n_in];

		json += FIXED_BYTES + 6 * strlen(t->name); /* \u0061 for each a */
	}
	if (head == VT_INFER_JSON_ONLY)
		return json + SPARE_BYTES;
	return (head < json ? head : json) + io->in_bytes + SPARE_BYTES;
}
