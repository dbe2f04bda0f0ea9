// SPDX-License-Identifier: Apache-2.0
/* infer_read.c - a request's body into pointers to tensors. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "server/infer.h"
#include "server/params.h"

#define DEADLINE_MAX_NS 86400000000000ull /* a day */

struct reader {
	struct vt_json j;
	struct vt_ask *a;
	const struct vt_io *io;
	struct vt_err *e;
	const char *blob; /* bytes after the JSON */
	size_t blob_len, blob_at;
	size_t max_own;
	bool binary_output;		 /* the default of outputs that say nothing */
	bool wants;			 /* `outputs` was given */
	int8_t binary[VT_INFER_TENSORS]; /* of want[]: -1 not said */
};

/* Name and text for one line of an error. */
static const char *name_text(const struct vt_json_str *s, char *buf, size_t len)
{
	return vt_json_text(s, buf, len);
}

static int refuse_unsupported(struct reader *r, const struct vt_oip_params *p)
{
	return p->unsupported
		       ? vt_fail(r->e, -ENOTSUP, "parameter '%s' is not supported", p->unsupported)
		       : 0;
}

/* ---- inputs ------------------------------------------------------------------------------------ */

/** One element of `inputs`, members in any order. */
struct given {
	struct vt_json_str name, datatype;
	bool has_name, has_type, has_shape, has_data, read;
	struct vt_shape shape;
	struct vt_json data; /* a reader that stands before the value of `data` */
	struct vt_oip_params p;
};

static int read_shape(struct vt_json *j, struct vt_shape *ret)
{
	struct vt_number n;
	int more;

	ret->rank = 0;
	if (vt_json_array(j))
		return j->err;
	while ((more = vt_json_item(j)) > 0) {
		if (ret->rank == VT_MAX_RANK)
			return vt_json_fail(j, "more than 8 dimensions");
		if (vt_json_number(j, &n))
			return j->err;
		if (!vt_number_i64(&n, &ret->dim[ret->rank]) || ret->dim[ret->rank] < 0)
			return vt_json_fail(j, "a dimension is a whole number, 0 or more");
		ret->rank++;
	}
	return more;
}

static int find_input(struct reader *r, const struct given *g, size_t *ret)
{
	char name[96];

	for (size_t i = 0; i < r->io->n_in; i++)
		if (vt_json_is(&g->name, r->io->in[i].name)) {
			*ret = i;
			return 0;
		}
	return vt_fail(r->e, -EINVAL, "the model has no input '%s'; its first is '%.96s'",
		       name_text(&g->name, name, sizeof(name)),
		       r->io->n_in ? r->io->in[0].name : "");
}

/* Everything but the data itself. */
static int check_input(struct reader *r, const struct given *g, size_t i)
{
	const struct vt_io_tensor *t = &r->io->in[i];
	char got[96], want[96];

	if (r->a->in[i])
		return vt_fail(r->e, -EINVAL, "input '%.96s' is given twice", t->name);
	if (vt_datatype_find(&g->datatype) != t->dtype)
		return vt_fail(r->e, -EINVAL, "input '%.96s' is %s here, the model takes %s",
			       t->name, vt_json_text(&g->datatype, got, 24),
			       vt_datatype_name(t->dtype));
	if (!vt_shape_equal(&g->shape, &t->shape))
		return vt_fail(r->e, -EINVAL, "input '%.96s' has shape %s here, the model takes %s",
			       t->name, vt_shape_text(&g->shape, got, sizeof(got)),
			       vt_shape_text(&t->shape, want, sizeof(want)));
	return 0;
}

static int take_blob(struct reader *r, const struct given *g, size_t i)
{
	const struct vt_io_tensor *t = &r->io->in[i];

	if (g->has_data)
		return vt_fail(r->e, -EINVAL, "input '%.96s' has both data and binary_data_size",
			       t->name);
	if (g->p.size != t->bytes)
		return vt_fail(
			r->e, -EINVAL,
			"input '%.96s': binary_data_size is %llu, its type and shape need %zu",
			t->name, (unsigned long long)g->p.size, t->bytes);
	if (!r->blob)
		return vt_fail(r->e, -EINVAL,
			       "input '%.96s' is binary, but the request has no "
			       "Inference-Header-Content-Length",
			       t->name);
	if (t->bytes > r->blob_len - r->blob_at)
		return vt_fail(
			r->e, -EINVAL,
			"input '%.96s': binary_data_size is %zu, but the body has %zu bytes left",
			t->name, t->bytes, r->blob_len - r->blob_at);
	r->a->in[i] = r->blob + r->blob_at;
	r->blob_at += t->bytes;
	return 0;
}

static int take_data(struct reader *r, struct vt_json *j, size_t i)
{
	const struct vt_io_tensor *t = &r->io->in[i];

	if (!vt_datatype_in_json(t->dtype))
		return vt_fail(r->e, -EINVAL, "input '%.96s' is %s: it can be sent as binary only",
			       t->name, vt_datatype_name(t->dtype));
	if (t->bytes > r->max_own - r->a->own_bytes)
		return vt_fail(r->e, -ENOSPC, "no room for input '%.96s' now", t->name);
	r->a->own[i] = malloc(t->bytes ? t->bytes : 1);
	if (!r->a->own[i])
		return vt_fail(r->e, -ENOMEM, "no memory for the %zu bytes of input '%.96s'",
			       t->bytes, t->name);
	r->a->own_bytes += t->bytes;
	if (vt_tensor_read(j, t, r->a->own[i])) {
		vt_fail_at(r->e, "input '%.96s'", t->name);
		return j->err;
	}
	r->a->in[i] = r->a->own[i];
	return 0;
}

/* `data` read at once if name, type and shape came before it, as they do; else noted for later. */
static int meet_data(struct reader *r, struct given *g)
{
	size_t i;
	int err;

	if (g->has_data)
		return vt_json_fail(&r->j, "`data` is there twice");
	g->has_data = true;
	if (!g->has_name || !g->has_type || !g->has_shape) {
		g->data = r->j;
		return vt_json_skip(&r->j);
	}
	err = find_input(r, g, &i);
	if (!err)
		err = check_input(r, g, i);
	if (!err)
		err = take_data(r, &r->j, i);
	g->read = true;
	return err;
}

static int input_member(struct reader *r, struct given *g, const struct vt_json_str *key)
{
	if (vt_json_is(key, "name")) {
		g->has_name = true;
		return vt_json_string(&r->j, &g->name);
	}
	if (vt_json_is(key, "datatype")) {
		g->has_type = true;
		return vt_json_string(&r->j, &g->datatype);
	}
	if (vt_json_is(key, "shape")) {
		g->has_shape = true;
		return read_shape(&r->j, &g->shape);
	}
	if (vt_json_is(key, "data"))
		return meet_data(r, g);
	if (vt_json_is(key, "parameters"))
		return vt_oip_params_read(&r->j, &g->p);
	return vt_json_skip(&r->j);
}

static int read_input(struct reader *r)
{
	struct given g = {0};
	struct vt_json_str key;
	size_t i = 0;
	int more, err;

	if (vt_json_object(&r->j))
		return r->j.err;
	while ((more = vt_json_key(&r->j, &key)) > 0) {
		err = input_member(r, &g, &key);
		if (err)
			return err;
	}
	if (more < 0)
		return more;
	err = refuse_unsupported(r, &g.p);
	if (err)
		return err;
	if (!g.has_name || !g.has_type || !g.has_shape)
		return vt_fail(r->e, -EINVAL, "an input lacks its %s",
			       !g.has_name   ? "name"
			       : !g.has_type ? "datatype"
					     : "shape");
	err = find_input(r, &g, &i);
	if (err)
		return err;
	if (g.read)
		return g.p.has_size ? take_blob(r, &g, i) : 0; /* which says that it is both */
	err = check_input(r, &g, i);
	if (err)
		return err;
	if (g.p.has_size)
		return take_blob(r, &g, i);
	if (!g.has_data)
		return vt_fail(r->e, -EINVAL, "input '%.96s' has neither data nor binary_data_size",
			       r->io->in[i].name);
	return take_data(r, &g.data, i);
}

static int read_inputs(struct reader *r)
{
	int more, err;

	if (vt_json_array(&r->j))
		return r->j.err;
	while ((more = vt_json_item(&r->j)) > 0) {
		err = read_input(r);
		if (err)
			return err;
	}
	return more;
}

/* ---- outputs ----------------------------------------------------------------------------------- */

static int add_want(struct reader *r, const struct vt_json_str *name, const struct vt_oip_params *p)
{
	char text[96];
	size_t k = 0;

	while (k < r->io->n_out && !vt_json_is(name, r->io->out[k].name))
		k++;
	if (k == r->io->n_out)
		return vt_fail(r->e, -EINVAL, "the model has no output '%s'; its first is '%.96s'",
			       name_text(name, text, sizeof(text)),
			       r->io->n_out ? r->io->out[0].name : "");
	for (size_t i = 0; i < r->a->n_want; i++)
		if (r->a->want[i].out == k)
			return vt_fail(r->e, -EINVAL, "output '%.96s' is asked for twice",
				       r->io->out[k].name);
	r->binary[r->a->n_want] = p->has_binary ? p->binary : -1;
	r->a->want[r->a->n_want++].out = (uint16_t)k;
	return 0;
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
	err = refuse_unsupported(r, &p);
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
		return read_inputs(r);
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
	return refuse_unsupported(r, &p);
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
		if (!a->in[i])
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
		size_t head, size_t max_own, struct vt_err *e)
{
	struct reader r; /* binary[] is large, and set as outputs are met */
	size_t json = head == VT_INFER_JSON_ONLY ? len : head;
	int err;

	memset(&r, 0, offsetof(struct reader, binary));
	r.a = ret;
	r.io = io;
	r.e = e;
	r.max_own = max_own;
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
	a->n_in = 0;
	a->own_bytes = 0;
}
