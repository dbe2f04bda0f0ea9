// SPDX-License-Identifier: Apache-2.0
/* bench_url.c - a server as a target: what its models take, and requests of that shape. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "cli/bench_cli.h"
#include "load/http.h"

#define MAX_REQUEST_BYTES (1u << 30)

struct url {
	struct vt_http_url where;
	struct vt_http *http;
	struct vt_http_request request[BENCH_MODELS];
	json_t *metadata[BENCH_MODELS];
};

/* ---- what a model takes ------------------------------------------------------------------- */

/* GET @path: its status, and its JSON or NULL. */
static int get(struct url *u, const char *path, json_t **ret, struct vt_err *e)
{
	char request[512], *body = NULL;
	size_t len;
	int n = snprintf(request, sizeof(request),
			 "GET %s HTTP/1.1\r\nHost: veltair\r\nConnection: close\r\n\r\n", path);
	int status = vt_http_call(&u->where, request, (size_t)n, &body, &len, e);

	*ret = status == 200 ? json_loadb(body, len, 0, NULL) : NULL;
	if (status >= 0)
		free(body);
	return status;
}

static int fetch(struct url *u, const char *name, json_t **ret, struct vt_err *e)
{
	char path[256];
	int status;

	snprintf(path, sizeof(path), "/v2/models/%s", name);
	status = get(u, path, ret, e);
	if (status < 0)
		return status;
	if (*ret && json_is_array(json_object_get(*ret, "inputs")))
		return 0;
	return vt_fail(e, -EINVAL, "the server has no model '%s' (status %d of GET %s)", name,
		       status, path);
}

/* What it calls itself, if that is a plain word: it goes into CSV and HTML. */
static void name_row(struct url *u, char *row, size_t len)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	struct vt_err e = {0};
	json_t *server = NULL;
	const char *name;

	get(u, "/v2", &server, &e);
	name = json_string_value(json_object_get(server, "name"));
	if (name && *name && strlen(name) < 32 && !name[strspn(name, plain)])
		snprintf(row, len, "%s (http)", name);
	else
		snprintf(row, len, "http");
	json_decref(server);
}

static const struct {
	const char *name;
	unsigned int bytes;
} types[] = {
	{"FP32", 4},   {"INT64", 8},  {"INT32", 4},  {"UINT8", 1}, {"INT8", 1},
	{"BOOL", 1},   {"FP16", 2},   {"FP64", 8},   {"INT16", 2}, {"BF16", 2},
	{"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8},
};

/** Bytes of an input with free dimensions at 1; 0 if it cannot be made. */
static uint64_t input_bytes(const json_t *in, json_t *shape)
{
	const char *type = json_string_value(json_object_get(in, "datatype"));
	const json_t *dims = json_object_get(in, "shape");
	uint64_t bytes = 0;

	for (size_t i = 0; type && i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(type, types[i].name))
			bytes = types[i].bytes;
	for (size_t i = 0; i < json_array_size(dims); i++) {
		json_int_t d = json_integer_value(json_array_get(dims, i));

		d = d < 1 ? 1 : d;
		json_array_append_new(shape, json_integer(d));
		if (bytes > MAX_REQUEST_BYTES / (uint64_t)d)
			return 0;
		bytes *= (uint64_t)d;
	}
	return bytes;
}

/* ---- requests ----------------------------------------------------------------------------- */

/** Numbers in [-1, 1) for FP32; zero for all else: an index must stay in its table. */
static void fill(const json_t *in, char *at, uint64_t bytes)
{
	struct vt_rng rng = {1};

	memset(at, 0, bytes);
	if (strcmp(json_string_value(json_object_get(in, "datatype")), "FP32") != 0)
		return;
	for (uint64_t i = 0; i + 4 <= bytes; i += 4) {
		float v = (float)(2 * vt_rng_unit(&rng) - 1);

		memcpy(at + i, &v, 4);
	}
}

/* Alone a request is timed, not judged: the server's own target may be shorter than what a gap takes. */
#define ALONE_MS 60000.0

static char *request_json(const json_t *metadata, double deadline_ms, uint64_t *tensors)
{
	json_t *inputs = json_array(), *params = json_pack("{s:b}", "binary_data_output", 1), *in;
	json_t *root;
	size_t i;
	char *text;

	*tensors = 0;
	json_object_set_new(params, "deadline_ms", json_real(deadline_ms));
	json_array_foreach(json_object_get(metadata, "inputs"), i, in)
	{
		json_t *shape = json_array();
		uint64_t bytes = input_bytes(in, shape);

		json_array_append_new(inputs, json_pack("{s:O? s:o s:O? s:{s:I}}", "name",
							json_object_get(in, "name"), "shape", shape,
							"datatype", json_object_get(in, "datatype"),
							"parameters", "binary_data_size",
							(json_int_t)bytes));
		*tensors = bytes && *tensors <= MAX_REQUEST_BYTES ? *tensors + bytes : UINT64_MAX;
	}
	root = json_pack("{s:o s:o}", "inputs", inputs, "parameters", params);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}

static int make_request(struct vt_http_request *ret, const char *name, const json_t *metadata,
			double deadline_ms, struct vt_err *e)
{
	uint64_t tensors;
	char *json = request_json(metadata, deadline_ms, &tensors), *buf;
	size_t json_len = json ? strlen(json) : 0, room = 512 + strlen(name) + json_len, at, i;
	json_t *in;

	if (!json || tensors > MAX_REQUEST_BYTES) {
		free(json);
		return vt_fail(e, -ENOTSUP, "model '%s' has an input that cannot be made here",
			       name);
	}
	buf = malloc(room + tensors);
	if (!buf) {
		free(json);
		return vt_fail(e, -ENOMEM, "no memory for a request to '%s'", name);
	}
	at = (size_t)snprintf(buf, room,
			      "POST /v2/models/%s/infer HTTP/1.1\r\nHost: veltair\r\n"
			      "Content-Type: application/octet-stream\r\n"
			      "Inference-Header-Content-Length: %zu\r\nContent-Length: %zu\r\n\r\n",
			      name, json_len, json_len + (size_t)tensors);
	memcpy(buf + at, json, json_len);
	at += json_len;
	json_array_foreach(json_object_get(metadata, "inputs"), i, in)
	{
		json_t *shape = json_array();
		uint64_t bytes = input_bytes(in, shape);

		fill(in, buf + at, bytes);
		at += bytes;
		json_decref(shape);
	}
	free(json);
	free((char *)ret->bytes);
	*ret = (struct vt_http_request){buf, at};
	return 0;
}

/* ---- engine ------------------------------------------------------------------------------- */

static void close_url(void *self)
{
	struct url *u = self;

	vt_http_close(u->http);
	for (uint32_t m = 0; m < BENCH_MODELS; m++) {
		free((char *)u->request[m].bytes);
		json_decref(u->metadata[m]);
	}
	free(u);
}

static const char *trouble(void *self)
{
	return vt_http_trouble(((struct url *)self)->http);
}

/** From now on each request says by when it is due, counted from its arrival at the server. */
static int ready(struct bench *b, struct bench_engine *g, struct vt_err *e)
{
	struct url *u = g->self;
	int rc = 0;

	for (uint32_t m = 0; m < b->o->n_models && !rc; m++)
		rc = make_request(&u->request[m], b->o->model[m].name, u->metadata[m],
				  (double)b->qos_ns[m] / 1e6, e);
	return rc;
}

int bench_url_open(struct bench *b, struct bench_engine *g, char *row, size_t len, struct vt_err *e)
{
	struct url *u = calloc(1, sizeof(*u));
	int rc = u ? vt_http_url_parse(b->o->url, &u->where, e) : vt_fail(e, -ENOMEM, "no memory");

	for (uint32_t m = 0; m < b->o->n_models && !rc; m++) {
		rc = fetch(u, b->o->model[m].name, &u->metadata[m], e);
		if (!rc)
			rc = make_request(&u->request[m], b->o->model[m].name, u->metadata[m],
					  ALONE_MS, e);
	}
	if (!rc)
		rc = vt_http_open(&u->http, &u->where, u->request, 0, e);
	if (rc) {
		vt_fail_at(e, "--url %.80s", b->o->url);
		if (u)
			close_url(u);
		return rc;
	}
	name_row(u, row, len);
	*g = (struct bench_engine){.name = "http",
				   .what = b->o->url,
				   .target = vt_http_target(u->http),
				   .trouble = trouble,
				   .ready = ready,
				   .close = close_url,
				   .self = u};
	return 0;
}
