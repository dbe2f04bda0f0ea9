// SPDX-License-Identifier: Apache-2.0
/* infer_write.c - outputs into the body of an answer. */
#include <string.h>

#include "server/infer.h"

static char *put(char *at, const char *text, size_t len)
{
	memcpy(at, text, len);
	return at + len;
}

static char *puts_at(char *at, const char *text)
{
	return put(at, text, strlen(text));
}

static char *put_place(char *at, const struct vt_shm *shm, size_t bytes)
{
	at = puts_at(at, "],\"parameters\":{\"shared_memory_region\":\"");
	at = put(at, shm->region.at, shm->region.len);
	at = puts_at(at, "\",\"shared_memory_byte_size\":");
	at += vt_number_put_u64(at, bytes);
	at = puts_at(at, ",\"shared_memory_offset\":");
	at += vt_number_put_u64(at, shm->offset);
	return puts_at(at, "}}");
}

static char *put_output(char *at, const struct vt_io_tensor *t, bool binary,
			const struct vt_shm *shm, const void *data)
{
	at = puts_at(at, "{\"name\":\"");
	at = puts_at(at, t->escaped);
	at = puts_at(at, "\",\"datatype\":\"");
	at = puts_at(at, vt_datatype_name(t->dtype));
	at = puts_at(at, "\",\"shape\":[");
	for (int d = 0; d < t->shape.rank; d++) {
		if (d)
			*at++ = ',';
		at += vt_number_put_i64(at, t->shape.dim[d]);
	}
	if (shm)
		return put_place(at, shm, t->bytes);
	if (binary) {
		at = puts_at(at, "],\"parameters\":{\"binary_data_size\":");
		at += vt_number_put_u64(at, t->bytes);
		return puts_at(at, "}}");
	}
	at = puts_at(at, "],\"data\":");
	at += vt_tensor_write(at, t->dtype, data, t->elems);
	*at++ = '}';
	return at;
}

size_t vt_answer_write(char *buf, const struct vt_io *io, const struct vt_ask *a, const char *model,
		       const char *version, const void *const *data, size_t *head)
{
	char *at = puts_at(buf, "{\"model_name\":\"");

	at = puts_at(at, model);
	at = puts_at(at, "\",\"model_version\":\"");
	at = puts_at(at, version);
	if (a->id) {
		at = puts_at(at, "\",\"id\":\"");
		at = put(at, a->id, a->id_len);
	}
	at = puts_at(at, "\",\"outputs\":[");
	for (size_t i = 0; i < a->n_want; i++) {
		const struct vt_want *w = &a->want[i];

		if (i)
			*at++ = ',';
		at = put_output(at, &io->out[w->out], w->binary, vt_ask_out_shm(a, i),
				data[w->out]);
	}
	at = puts_at(at, "]}");
	*head = a->any_binary ? (size_t)(at - buf) : VT_INFER_JSON_ONLY;
	for (size_t i = 0; i < a->n_want; i++) {
		const struct vt_want *w = &a->want[i];

		if (w->binary)
			at = put(at, data[w->out], io->out[w->out].bytes);
	}
	return (size_t)(at - buf);
}
