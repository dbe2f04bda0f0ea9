// SPDX-License-Identifier: Apache-2.0
/* oip_region.c - the system shared memory extension: regions come and go, and requests use them. */
#include <string.h>

#include "server/oip.h"

/* ---- may it be used? ---------------------------------------------------------------------------- */

bool oip_region_allowed(const struct vt_oip *o, const struct vt_http_req *r)
{
	return o->regions && (!o->regions_local || vt_http_local(r));
}

/* False after an error. */
static bool allowed(const struct vt_oip *o, struct vt_http_req *r)
{
	if (oip_region_allowed(o, r))
		return true;
	vt_http_fail(r, 403,
		     o->regions
			     ? "shared memory can be used over a Unix socket only: ask there, or "
			       "set `shared_memory: on` in the server's configuration"
			     : "shared memory is off: set `shared_memory: unix` or `on` in the "
			       "server's configuration, or send tensors in the body");
	return false;
}

/* ---- registering -------------------------------------------------------------------------------- */

static int whole(struct vt_json *j, const char *what, uint64_t *ret)
{
	struct vt_number n;

	if (vt_json_number(j, &n))
		return j->err;
	return vt_number_u64(&n, ret) ? 0 : vt_json_fail(j, what);
}

static int read_key(struct vt_json *j, struct vt_region_at *ret)
{
	struct vt_json_str key;

	if (vt_json_string(j, &key))
		return j->err;
	/* Too long, or with a NUL: it would be another's. */
	if (!vt_json_is(&key, vt_json_text(&key, ret->key, sizeof(ret->key))))
		return vt_json_fail(j, "key is no name of shared memory");
	return 0;
}

static int read_member(struct vt_json *j, const struct vt_json_str *name, struct vt_region_at *ret)
{
	if (vt_json_is(name, "key"))
		return read_key(j, ret);
	if (vt_json_is(name, "offset"))
		return whole(j, "offset is a whole number of bytes", &ret->offset);
	if (vt_json_is(name, "byte_size"))
		return whole(j, "byte_size is a whole number of bytes", &ret->bytes);
	return vt_json_skip(j);
}

int oip_region_parse(struct vt_region_at *ret, const void *json, size_t len, struct vt_err *e)
{
	struct vt_json_str name;
	struct vt_json j;
	int more;

	*ret = (struct vt_region_at){0};
	vt_json_init(&j, json, len, e);
	if (vt_json_object(&j))
		return j.err;
	while ((more = vt_json_key(&j, &name)) > 0)
		if (read_member(&j, &name, ret))
			return j.err;
	if (more || vt_json_end(&j))
		return j.err;
	if (!ret->key[0])
		return vt_fail(e, -EINVAL, "the region's key is missing, such as \"/input\"");
	if (!ret->bytes)
		return vt_fail(e, -EINVAL, "the region's byte_size is missing, or 0");
	return 0;
}

static unsigned int status_of(int err)
{
	return err == -ENOSPC || err == -ENOMEM ? 507 : 400;
}

void oip_region_register(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	struct vt_region_at at;
	struct vt_err e = {0};
	int err;

	if (!allowed(o, r))
		return;
	err = oip_region_parse(&at, r->body, r->body_len, &e);
	if (!err) {
		_Static_assert(VT_ROUTE_SEG <= sizeof(at.name), "a part of a path");
		strcpy(at.name, r->match.arg[0]);
		err = vt_regions_add(o->regions, &at, &e);
	}
	if (err)
		vt_http_fail(r, status_of(err), "%s", e.msg);
	else
		vt_http_json(r, 200, json_object());
}

void oip_region_unregister(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;

	if (!allowed(o, r))
		return;
	vt_regions_del(o->regions, r->match.arg[0][0] ? r->match.arg[0] : NULL);
	vt_http_json(r, 200, json_object());
}

/* ---- status ------------------------------------------------------------------------------------- */

struct status {
	json_t *list;
	const char *name; /* "": all */
};

static bool add_region(void *arg, const struct vt_region_at *at)
{
	struct status *s = arg;

	if (*s->name && strcmp(s->name, at->name) != 0)
		return true;
	json_array_append_new(s->list, json_pack("{s:s s:s s:I s:I}", "name", at->name, "key",
						 at->key, "offset", (json_int_t)at->offset,
						 "byte_size", (json_int_t)at->bytes));
	return true;
}

void oip_region_status(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	struct status s = {NULL, r->match.arg[0]};

	if (!allowed(o, r))
		return;
	s.list = json_array();
	vt_regions_each(o->regions, add_region, &s);
	if (!*s.name || json_array_size(s.list)) {
		vt_http_json(r, 200, s.list);
		return;
	}
	json_decref(s.list);
	vt_http_fail(r, 404, "no region '%s' is registered", s.name);
}

/* ---- of a request ------------------------------------------------------------------------------- */

static int use(struct vt_oip *o, struct vt_shm *s, const struct vt_io_tensor *t, bool write,
	       struct vt_err *e)
{
	int err = s->region.at ? vt_regions_use(o->regions, &s->region, s->offset, t->bytes, write,
						&s->held, e)
			       : 0;

	return err ? vt_fail_at(e, "%s '%.96s'", write ? "output" : "input", t->name) : 0;
}

bool oip_region_use(struct vt_oip *o, struct vt_http_req *r, const struct vt_io *io,
		    struct vt_ask *a)
{
	struct vt_err e = {0};
	int err = 0;

	if (!a->shm)
		return true;
	if (!allowed(o, r))
		return false;
	for (size_t i = 0; i < a->n_in && !err; i++)
		err = use(o, &a->shm[i], &io->in[i], false, &e);
	for (size_t k = 0; k < a->n_want && !err; k++)
		err = use(o, &a->shm[a->n_in + k], &io->out[a->want[k].out], true, &e);
	if (err)
		vt_http_fail(r, 400, "%s", e.msg);
	return !err;
}

void oip_region_let_go(struct vt_ask *a)
{
	for (size_t i = 0; a->shm && i < a->n_in + a->n_want; i++)
		vt_region_put(a->shm[i].held);
}
