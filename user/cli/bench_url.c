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
	struct bench_region region[BENCH_MODELS]; /* of its inputs, with --shared-memory */
};

/* ---- what a model takes ------------------------------------------------------------------- */

int bench_url_call(const struct vt_http_url *u, const char *path, const char *body, json_t **ret,
		   struct vt_err *e)
{
	char request[1024], *answer = NULL;
	size_t len;
	int n = snprintf(request, sizeof(request),
			 "%s /v2%s HTTP/1.1\r\nHost: veltair\r\nConnection: close\r\n"
			 "Content-Length: %zu\r\n\r\n%s",
			 body ? "POST" : "GET", path, body ? strlen(body) : 0, body ? body : "");
	int status = vt_http_call(u, request, (size_t)n, &answer, &len, e);

	*ret = status >= 0 ? json_loadb(answer, len, 0, NULL) : NULL;
	if (status >= 0)
		free(answer);
	return status;
}

static int fetch(struct url *u, const char *name, json_t **ret, struct vt_err *e)
{
	char path[256];
	int status;

	snprintf(path, sizeof(path), "/models/%s", name);
	status = bench_url_call(&u->where, path, NULL, ret, e);
	if (status < 0)
		return status;
	if (status == 200 && json_is_array(json_object_get(*ret, "inputs")))
		return 0;
	return vt_fail(e, -EINVAL, "the server has no model '%s' (status %d of GET /v2%s)", name,
		       status, path);
}

/* What it calls itself, if that is a plain word: it goes into CSV and HTML. */
static void name_row(struct url *u, const char *how, char *row, size_t len)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	struct vt_err e = {0};
	json_t *server = NULL;
	const char *name = NULL;

	if (bench_url_call(&u->where, "", NULL, &server, &e) == 200)
		name = json_string_value(json_object_get(server, "name"));
	if (name && *name && strlen(name) < 32 && !name[strspn(name, plain)])
		snprintf(row, len, "%s (%s)", name, how);
	else
		snprintf(row, len, "%s", how);
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

/* @region: where the tensors lie, one after another; NULL: in the body. */
static json_t *place(const char *region, uint64_t offset, uint64_t bytes)
{
	if (!region)
		return json_pack("{s:I}", "binary_data_size", (json_int_t)bytes);
	return json_pack("{s:s s:I s:I}", "shared_memory_region", region, "shared_memory_offset",
			 (json_int_t)offset, "shared_memory_byte_size", (json_int_t)bytes);
}

static char *request_json(const json_t *inputs, const char *region, double deadline_ms)
{
	json_t *list = json_array(), *params = json_pack("{s:b}", "binary_data_output", 1), *root;
	const json_t *in;
	uint64_t offset = 0;
	size_t i;
	char *text;

	json_object_set_new(params, "deadline_ms", json_real(deadline_ms));
	json_array_foreach(inputs, i, in)
	{
		json_t *shape = json_array();
		uint64_t bytes = input_bytes(in, shape);

		json_array_append_new(list, json_pack("{s:O? s:o s:O? s:o}", "name",
						      json_object_get(in, "name"), "shape", shape,
						      "datatype", json_object_get(in, "datatype"),
						      "parameters", place(region, offset, bytes)));
		offset += bytes;
	}
	root = json_pack("{s:o s:o}", "inputs", list, "parameters", params);
	text = root ? json_dumps(root, JSON_COMPACT) : NULL;
	json_decref(root);
	return text;
}

/** Bytes of all inputs, put one after another to @to unless it is NULL; UINT64_MAX if one cannot be made. */
static uint64_t tensors_of(const json_t *inputs, char *to)
{
	const json_t *in;
	uint64_t total = 0;
	size_t i;

	json_array_foreach(inputs, i, in)
	{
		json_t *shape = json_array();
		uint64_t bytes = input_bytes(in, shape);

		json_decref(shape);
		if (!bytes || bytes > MAX_REQUEST_BYTES - total)
			return UINT64_MAX;
		if (to)
			fill(in, to + total, bytes);
		total += bytes;
	}
	return total;
}

/** The request to model @m; its inputs follow it unless they are in shared memory. */
static int make_request(struct url *u, uint32_t m, const char *name, double deadline_ms,
			struct vt_err *e)
{
	const json_t *inputs = json_object_get(u->metadata[m], "inputs");
	const char *region = u->region[m].name[0] ? u->region[m].name : NULL;
	size_t tensors = region ? 0 : tensors_of(inputs, NULL);
	char *json = request_json(inputs, region, deadline_ms), *buf;
	size_t json_len = json ? strlen(json) : 0, room = 512 + strlen(name) + json_len, at;

	buf = json ? malloc(room + tensors) : NULL;
	if (!buf) {
		free(json);
		return vt_fail(e, -ENOMEM, "no memory for a request to '%s'", name);
	}
	at = (size_t)snprintf(buf, room,
			      "POST /v2/models/%s/infer HTTP/1.1\r\nHost: veltair\r\n"
			      "Content-Type: application/octet-stream\r\n"
			      "Inference-Header-Content-Length: %zu\r\nContent-Length: %zu\r\n\r\n",
			      name, json_len, json_len + tensors);
	memcpy(buf + at, json, json_len);
	if (!region)
		tensors_of(inputs, buf + at + json_len);
	free(json);
	free((char *)u->request[m].bytes);
	u->request[m] = (struct vt_http_request){buf, at + json_len + tensors};
	return 0;
}

static int share(struct url *u, uint32_t m, const char *name, struct vt_err *e)
{
	const json_t *inputs = json_object_get(u->metadata[m], "inputs");
	size_t len = tensors_of(inputs, NULL);
	char *bytes = len ? malloc(len) : NULL;
	int rc;

	if (!bytes)
		return len ? vt_fail(e, -ENOMEM, "no memory for a request to '%s'", name) : 0;
	tensors_of(inputs, bytes);
	rc = bench_region_add(&u->region[m], &u->where, m, bytes, len, e);
	free(bytes);
	return rc;
}

/* ---- engine ------------------------------------------------------------------------------- */

static void close_url(void *self)
{
	struct url *u = self;

	vt_http_close(u->http);
	bench_region_unwatch();
	for (uint32_t m = 0; m < BENCH_MODELS; m++) {
		free((char *)u->request[m].bytes);
		json_decref(u->metadata[m]);
		bench_region_remove(&u->region[m], &u->where);
	}
	free(u);
}

static const char *trouble(void *self)
{
	return vt_http_trouble(((struct url *)self)->http);
}

static int check(void *self, struct vt_err *e)
{
	return vt_http_check(((struct url *)self)->http, e);
}

/** From now on each request says by when it is due, counted from its arrival at the server. */
static int ready(struct bench *b, struct bench_engine *g, struct vt_err *e)
{
	struct url *u = g->self;
	int rc = 0;

	for (uint32_t m = 0; m < b->o->n_models && !rc; m++)
		rc = make_request(u, m, b->o->model[m].name, (double)b->qos_ns[m] / 1e6, e);
	return rc;
}

/** What model @m takes, its inputs where they are to be, and a request without a deadline. */
static int add_model(struct bench *b, struct url *u, uint32_t m, struct vt_err *e)
{
	const char *name = b->o->model[m].name;
	int rc = fetch(u, name, &u->metadata[m], e);

	if (!rc && tensors_of(json_object_get(u->metadata[m], "inputs"), NULL) == UINT64_MAX)
		rc = vt_fail(e, -ENOTSUP, "model '%s' has an input that cannot be made here", name);
	if (!rc && b->o->shared_memory)
		rc = share(u, m, name, e);
	return rc ? rc : make_request(u, m, name, ALONE_MS, e);
}

int bench_url_open(struct bench *b, struct bench_engine *g, char *row, size_t len, struct vt_err *e)
{
	struct url *u = calloc(1, sizeof(*u));
	int rc = u ? vt_http_url_parse(b->o->url, &u->where, e) : vt_fail(e, -ENOMEM, "no memory");

	if (!rc && b->o->shared_memory) {
		bench_region_sweep(&u->where);
		rc = bench_region_watch(b, &u->where, u->region, e);
	}
	for (uint32_t m = 0; m < b->o->n_models && !rc; m++)
		rc = add_model(b, u, m, e);
	if (!rc)
		rc = vt_http_open(&u->http, &u->where, u->request, 0, e);
	if (rc) {
		vt_fail_at(e, "--url %.80s", b->o->url);
		if (u)
			close_url(u);
		return rc;
	}
	name_row(u, b->o->shared_memory ? "shm" : "http", row, len);
	*g = (struct bench_engine){.name = "http",
				   .what = b->o->url,
				   .target = vt_http_target(u->http),
				   .trouble = trouble,
				   .check = check,
				   .ready = ready,
				   .close = close_url,
				   .self = u};
	return 0;
}
