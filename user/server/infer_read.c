// SPDX-License-Identifier: Apache-2.0
/* infer_read.c - a request's body into pointers to tensors. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "server/infer_int.h"

#define DEADLINE_MAX_NS 86400000000000ull /* a day */

int infer_unsupported(struct reader *r, const struct vt_oip_params *p)
{
	return p->unsupported
		       ? vt_fail(r->e, -ENOTSUP, "parameter '%s' is not supported", p->unsupported)
		       : 0;
}

int infer_own(struct reader *r, size_t bytes, const struct vt_io_tensor *t, void **ret)
{
	if (!r->room->take(r->room->arg, bytes))
		return vt_fail(r->e, -ENOSPC, "no room for '%.96s' now", t->name);
	r->a->own_bytes += bytes;
	*ret = malloc(bytes ? bytes : 1);
	if (!*ret)
		return vt_fail(r->e, -ENOMEM, "no memory for the %zu bytes of '%.96s'", bytes,
			       t->name);
	return 0;
}

/* ---- shared memory ----------------------------------------------------------------------------- */

const struct vt_shm *vt_ask_in_shm(const struct vt_ask *a, size_t i)
{
	return a->shm && a->shm[i].region.at ? &a->shm[i] : NULL;
}

const struct vt_shm *vt_ask_out_shm(const struct vt_ask *a, size_t k)
{
	return vt_ask_in_shm(a, a->n_in + k);
}

/* The list of all that can be there, with the first that is. */
static int make_list(struct reader *r, const struct vt_io_tensor *t)
{
	const size_t bytes = (r->io->n_in + r->io->n_out) * sizeof(*r->a->shm);
	void *list = NULL;
	int err = r->a->shm ? 0 : infer_own(r, bytes, t, &list);

	if (list)
		r->a->shm = memset(list, 0, bytes);
	return err;
}

int infer_region(struct reader *r, const struct vt_oip_params *p, const char *what,
		 const struct vt_io_tensor *t, size_t at)
{
	int err;

	if (!p->has_region_bytes)
		return vt_fail(r->e, -EINVAL,
			       "%s '%.96s' has a shared_memory_region, but no "
			       "shared_memory_byte_size",
			       what, t->name);
	if (p->region_bytes != t->bytes)
		return vt_fail(
			r->e, -EINVAL,
			"%s '%.96s': shared_memory_byte_size is %llu, its type and shape need %zu",
			what, t->name, (unsigned long long)p->region_bytes, t->bytes);
	err = make_list(r, t);
	if (!err)
		r->a->shm[at] = (struct vt_shm){p->region, p->region_offset, NULL};
	return err;
}

/* ---- outputs ----------------------------------------------------------------------------------- */

static int add_want(struct reader *r, const struct vt_json_str *name, const struct vt_oip_params *p)
{
	char text[96];
	size_t k = 0;
	int err = 0;

	while (k < r->io->n_out && !vt_json_is(name, r->io->out[k].name))
		k++;
	if (k == r->io->n_out)
		return vt_fail(r->e, -EINVAL, "the model has no output '%s'; its first is '%.96s'",
			       vt_json_text(name, text, sizeof(text)),
			       r->io->n_out ? r->io->out[0].name : "");
	for (size_t i = 0; i < r->a->n_want; i++)
		if (r->a->want[i].out == k)
			return vt_fail(r->e, -EINVAL, "output '%.96s' is asked for twice",
				       r->io->out[k].name);
	if (p->region.at && p->has_binary && p->binary)
		return vt_fail(r->e, -EINVAL,
			       "output '%.96s' has both binary_data and shared_memory_region",
			       r->io->out[k].name);
	if (p->region.at)
		err = infer_region(r, p, "output", &r->io->out[k], r->a->n_in + r->a->n_want);
	r->binary[r->a->n_want] = p->has_binary ? p->binary : -1;
	r->a->want[r->a->n_want++].out = (uint16_t)k;
	return err;
}

static int read_output(struct reader *r)
{
	struct vt_json_str key, name = {0};
	struct vt_oip_params p = {0};
	int more, err = 0;

	if (vt_json_object(&r->j))
		return r->j.err;
	while ((more = vt_json_key(&r->j, &key)) > 0) {
		if (vt_json_is(&key, "name"))
			err = vt_json_string(&r->j, &name);
		else if (vt_json_is(&key, "parameters"))
			err = vt_oip_params_read(&r->j, &p);
		else
			err = vt_json_skip(&r->j);
		if (err)
			return err;
	}
	if (more < 0)
		return more;
	err = infer_unsupported(r, &p);
	if (err)
		return err;
	if (!name.at)
		return vt_fail(r->e, -EINVAL, "an output lacks its name");
	return add_want(r, &name, &p);
}

static int read_outputs(struct reader *r)
{
	int more, err;

	if (r->wants)
		return vt_json_fail(&r->j, "`outputs` is there twice");
	r->wants = true;
	if (vt_json_array(&r->j))
		return r->j.err;
	while ((more = vt_json_item(&r->j)) > 0) {
		err = read_output(r);
		if (err)
			return err;
	}
	return more;
}

/* ---- the request ------------------------------------------------------------------------------- */

static uint64_t deadline_of(const struct vt_oip_params *p)
{
	return p->deadline_ms * 1e6 < (double)DEADLINE_MAX_NS ? (uint64_t)(p->deadline_ms * 1e6) + 1
							      : DEADLINE_MAX_NS;
}

static int read_member(struct reader *r, const struct vt_json_str *key)
{
	struct vt_json_str s;
	struct vt_oip_params p;
	int err;

	if (vt_json_is(key, "inputs"))
		return infer_inputs(r);
	if (vt_json_is(key, "outputs"))
		return read_outputs(r);
	if (vt_json_is(key, "id")) {
		err = vt_json_string(&r->j, &s);
		if (!err) {
			r->a->id = s.at;
			r->a->id_len = s.len;
		}
		return err;
	}
	if (!vt_json_is(key, "parameters"))
		return vt_json_skip(&r->j);
	err = vt_oip_params_read(&r->j, &p);
	if (err)
		return err;
	r->binary_output = p.binary_output;
	if (p.has_deadline)
		r->a->deadline_ns = deadline_of(&p);
	if (p.has_priority)
		r->a->priority = (uint16_t)p.priority;
	if (p.region.at)
		return vt_fail(r->e, -EINVAL,
			       "shared_memory_region is a parameter of an input or an output");
	return infer_unsupported(r, &p);
}

static int read_request(struct reader *r)
{
	struct vt_json_str key;
	int more, err;

	if (vt_json_object(&r->j))
		return r->j.err;
	while ((more = vt_json_key(&r->j, &key)) > 0) {
		err = read_member(r, &key);
		if (err)
			return err;
	}
	return more < 0 ? more : vt_json_end(&r->j);
}

/* The whole body is the one input. */
static int read_raw(struct reader *r)
{
	if (r->io->n_in != 1)
		return vt_fail(
			r->e, -EINVAL,
			"Inference-Header-Content-Length: 0 is for models of one input; this "
			"one has %zu",
			r->io->n_in);
	if (r->blob_len != r->io->in[0].bytes)
		return vt_fail(r->e, -EINVAL, "the body has %zu bytes, input '%.96s' needs %zu",
			       r->blob_len, r->io->in[0].name, r->io->in[0].bytes);
	r->a->in[0] = r->blob;
	r->blob_at = r->blob_len;
	r->binary_output = true;
	return 0;
}

static int settle(struct reader *r)
{
	struct vt_ask *a = r->a;

	for (size_t i = 0; i < r->io->n_in; i++)
		if (!a->in[i] && !vt_ask_in_shm(a, i))
			return vt_fail(r->e, -EINVAL, "input '%.96s' is missing",
				       r->io->in[i].name);
	if (r->blob_at != r->blob_len)
		return vt_fail(
			r->e, -EINVAL,
			"%zu bytes of the body belong to no input: it has %zu of tensors, the "
			"inputs take %zu",
			r->blob_len - r->blob_at, r->blob_len, r->blob_at);
	if (!a->n_want)
		for (; a->n_want < r->io->n_out; a->n_want++) {
			a->want[a->n_want].out = (uint16_t)a->n_want;
			r->binary[a->n_want] = -1;
		}
	for (size_t i = 0; i < a->n_want; i++) {
		const struct vt_io_tensor *t = &r->io->out[a->want[i].out];

		a->want[i].binary = false;
		if (vt_ask_out_shm(a, i))
			continue;
		a->want[i].binary = r->binary[i] < 0 ? r->binary_output : r->binary[i];
		a->any_binary |= a->want[i].binary;
		if (!a->want[i].binary && !vt_datatype_in_json(t->dtype))
			return vt_fail(r->e, -EINVAL,
				       "output '%.96s' is %s: it can be had as binary only",
				       t->name, vt_datatype_name(t->dtype));
	}
	return 0;
}

int vt_ask_read(struct vt_ask *ret, const struct vt_io *io, const void *body, size_t len,
		size_t head, const struct vt_ask_room *room, struct vt_err *e)
{
	struct reader r; /* binary[] is large, and set as outputs are met */
	size_t json = head == VT_INFER_JSON_ONLY ? len : head;
	int err;

	memset(&r, 0, offsetof(struct reader, binary));
	r.a = ret;
	r.io = io;
	r.e = e;
	r.room = room;
	memset(ret, 0, offsetof(struct vt_ask, in));
	if (io->n_in > VT_INFER_TENSORS || io->n_out > VT_INFER_TENSORS)
		return vt_fail(e, -ENOTSUP, "a model with more than %u inputs or outputs",
			       VT_INFER_TENSORS);
	ret->n_in = io->n_in;
	memset(ret->in, 0, io->n_in * sizeof(ret->in[0]));
	memset(ret->own, 0, io->n_in * sizeof(ret->own[0]));
	if (json > len)
		return vt_fail(e, -EINVAL,
			       "Inference-Header-Content-Length is %zu, the body has %zu bytes",
			       json, len);
	if (head != VT_INFER_JSON_ONLY) {
		r.blob = (const char *)body + json;
		r.blob_len = len - json;
	}
	if (head == 0) {
		err = read_raw(&r);
	} else {
		vt_json_init(&r.j, body, json, e);
		err = read_request(&r);
	}
	return err ? err : settle(&r);
}

uint64_t vt_ask_deadline(const void *json, size_t len)
{
	struct vt_oip_params p;
	struct vt_json_str key;
	struct vt_err e = {0};
	struct vt_json j;
	uint64_t own = 0;
	int more;

	vt_json_init(&j, json, len, &e);
	if (vt_json_object(&j))
		return 0;
	while ((more = vt_json_key(&j, &key)) > 0) {
		if (!vt_json_is(&key, "parameters")) {
			if (vt_json_skip(&j))
				return 0;
			continue;
		}
		if (vt_oip_params_read(&j, &p))
			return 0;
		if (p.has_deadline)
			own = deadline_of(&p);
	}
	return more < 0 ? 0 : own;
}

void vt_ask_fini(struct vt_ask *a)
{
	for (size_t i = 0; i < a->n_in; i++)
		free(a->own[i]);
	free(a->shm);
	a->shm = NULL;
	a->n_in = 0;
	a->own_bytes = 0;
}
