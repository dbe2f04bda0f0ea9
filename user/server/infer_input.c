// SPDX-License-Identifier: Apache-2.0
/* infer_input.c - the inputs of a request: JSON numbers into memory of their own, bytes where they lie. */
#include "server/infer_int.h"

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
		       vt_json_text(&g->name, name, sizeof(name)),
		       r->io->n_in ? r->io->in[0].name : "");
}

/* Everything but the data itself. */
static int check_input(struct reader *r, const struct given *g, size_t i)
{
	const struct vt_io_tensor *t = &r->io->in[i];
	char got[96], want[96];

	if (r->a->in[i] || vt_ask_in_shm(r->a, i))
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

static int take_region(struct reader *r, const struct given *g, size_t i)
{
	const struct vt_io_tensor *t = &r->io->in[i];

	if (g->has_data || g->p.has_size)
		return vt_fail(r->e, -EINVAL, "input '%.96s' has both %s and shared_memory_region",
			       t->name, g->has_data ? "data" : "binary_data_size");
	return infer_region(r, &g->p, "input", t, i);
}

static int take_data(struct reader *r, struct vt_json *j, size_t i)
{
	const struct vt_io_tensor *t = &r->io->in[i];
	int err;

	if (!vt_datatype_in_json(t->dtype))
		return vt_fail(r->e, -EINVAL, "input '%.96s' is %s: it can be sent as binary only",
			       t->name, vt_datatype_name(t->dtype));
	err = infer_own(r, t->bytes, t, &r->a->own[i]);
	if (err)
		return err;
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
	err = infer_unsupported(r, &g.p);
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
	err = g.read ? 0 : check_input(r, &g, i);
	if (err)
		return err;
	if (g.p.region.at)
		return take_region(r, &g, i);
	if (g.p.has_size)
		return take_blob(r, &g, i);
	if (g.read)
		return 0;
	if (!g.has_data)
		return vt_fail(r->e, -EINVAL,
			       "input '%.96s' has neither data nor binary_data_size nor "
			       "shared_memory_region",
			       r->io->in[i].name);
	return take_data(r, &g.data, i);
}

int infer_inputs(struct reader *r)
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
