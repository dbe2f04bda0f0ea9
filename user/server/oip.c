// SPDX-License-Identifier: Apache-2.0
/* oip.c - routes, health and metadata. */
#include "server/oip.h"

#include <string.h>

#define FAILED_RETRY_S 60 /* somebody must see to it first */

/* ---- shared ------------------------------------------------------------------------------------- */

static const char *version_of(const struct vt_http_req *r)
{
	return r->match.arg[1][0] ? r->match.arg[1] : NULL;
}

static void no_model(struct vt_http_req *r, int state)
{
	const char *name = r->match.arg[0], *version = version_of(r);

	if (state == VT_MODEL_LOADING)
		vt_http_retry(r, 1, "model '%s' is being loaded", name);
	else if (state == VT_MODEL_FAILED) /* 503: another node may have it */
		vt_http_retry(r, FAILED_RETRY_S,
			      "model '%s' could not be loaded; /v2/repository/index says why",
			      name);
	else if (state < 0)
		vt_http_fail(r, 404, "no model '%s'%s%s%s", name, version ? ", version '" : "",
			     version ? version : "", version ? "'" : "");
	else
		vt_http_fail(r, 404, "model '%s' is not loaded", name);
}

struct vt_loaded *oip_model(struct vt_oip *o, struct vt_http_req *r)
{
	int state;
	struct vt_loaded *l = vt_models_get(o->models, r->match.arg[0], version_of(r), &state);

	if (!l)
		no_model(r, state);
	return l;
}

/* ---- health ------------------------------------------------------------------------------------- */

static void live(struct vt_http_req *r, void *arg)
{
	vt_http_json(r, 200, json_pack("{s:b}", "live", 1));
}

/*
 * Nobody is answered before all models of the start are loaded. One that comes later and is still loading, or
 * failed, is no reason to take the others out of a fleet; model_ready() tells of it.
 */
static void ready(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	bool yes = !o->stopping;

	vt_http_json(r, yes ? 200 : 503, json_pack("{s:b s:b}", "live", 1, "ready", yes));
}

static void model_ready(struct vt_http_req *r, void *arg)
{
	struct vt_loaded *l = oip_model(arg, r);

	if (!l)
		return;
	vt_http_json(
		r, 200,
		json_pack("{s:s s:s s:b}", "name", l->name, "version", l->version, "ready", 1));
	vt_models_put(l);
}

/* ---- metadata ----------------------------------------------------------------------------------- */

static void server_metadata(struct vt_http_req *r, void *arg)
{
	json_t *extensions = json_pack("[ssss]", "binary_tensor_data", "model_repository",
				       "statistics", "schedule_policy");

	if (oip_region_allowed(arg, r))
		json_array_append_new(extensions, json_string("system_shared_memory"));
	vt_http_json(r, 200,
		     json_pack("{s:s s:s s:o}", "name", "veltair", "version", VT_VERSION,
			       "extensions", extensions));
}

static json_t *tensors_json(const struct vt_io_tensor *t, size_t n)
{
	json_t *all = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *shape = json_array(), *name = json_string(t[i].name);

		for (int d = 0; d < t[i].shape.rank; d++)
			json_array_append_new(shape, json_integer(t[i].shape.dim[d]));
		if (!name) /* not UTF-8 */
			name = json_string(t[i].escaped);
		json_array_append_new(all, json_pack("{s:o s:s s:o}", "name", name, "datatype",
						     vt_datatype_name(t[i].dtype), "shape", shape));
	}
	return all;
}

struct versions {
	const char *name;
	json_t *list;
};

static bool add_version(void *arg, const struct vt_model_entry *e)
{
	struct versions *v = arg;

	if (e->now && !strcmp(e->config.name, v->name))
		json_array_append_new(v->list, json_string(e->config.version));
	return true;
}

static void model_metadata(struct vt_http_req *r, void *arg)
{
	struct vt_oip *o = arg;
	struct vt_loaded *l = oip_model(o, r);
	struct versions v;

	if (!l)
		return;
	v = (struct versions){l->name, json_array()};
	vt_models_each(o->models, add_version, &v);
	vt_http_json(r, 200,
		     json_pack("{s:s s:o s:s s:o s:o}", "name", l->name, "versions", v.list,
			       "platform", "onnx_onnxv1", "inputs",
			       tensors_json(l->io.in, l->io.n_in), "outputs",
			       tensors_json(l->io.out, l->io.n_out)));
	vt_models_put(l);
}

/* ---- the table ---------------------------------------------------------------------------------- */

size_t vt_oip_routes(struct vt_oip *o, struct vt_route *ret)
{
	const unsigned int body = VT_ROUTE_BODY | VT_ROUTE_NEED_BODY;
	const unsigned int small = VT_ROUTE_BODY | VT_ROUTE_SMALL;
	const struct vt_route rows[] = {
		{"GET", "/v2/health/live", live, NULL, NULL, o, 0},
		{"GET", "/v2/health/ready", ready, NULL, NULL, o, 0},
		{"GET", "/v2", server_metadata, NULL, NULL, o, 0},
		{"GET", "/v2/models/stats", oip_stats, NULL, NULL, o, 0},
		{"GET", "/v2/models/{}", model_metadata, NULL, NULL, o, 0},
		{"GET", "/v2/models/{}/versions/{}", model_metadata, NULL, NULL, o, 0},
		{"GET", "/v2/models/{}/ready", model_ready, NULL, NULL, o, 0},
		{"GET", "/v2/models/{}/versions/{}/ready", model_ready, NULL, NULL, o, 0},
		{"GET", "/v2/models/{}/stats", oip_stats, NULL, NULL, o, 0},
		{"GET", "/v2/models/{}/versions/{}/stats", oip_stats, NULL, NULL, o, 0},
		{"POST", "/v2/models/{}/infer", oip_infer, oip_infer_head, oip_infer_begin, o,
		 body},
		{"POST", "/v2/models/{}/versions/{}/infer", oip_infer, oip_infer_head,
		 oip_infer_begin, o, body},
		{"POST", "/v2/repository/index", oip_index, NULL, NULL, o, small},
		{"POST", "/v2/repository/models/{}/load", oip_load, NULL, NULL, o, small},
		{"POST", "/v2/repository/models/{}/unload", oip_unload, NULL, NULL, o, small},
		{"GET", "/v2/systemsharedmemory/status", oip_region_status, NULL, NULL, o, 0},
		{"GET", "/v2/systemsharedmemory/region/{}/status", oip_region_status, NULL, NULL, o,
		 0},
		{"POST", "/v2/systemsharedmemory/region/{}/register", oip_region_register, NULL,
		 NULL, o, small | VT_ROUTE_NEED_BODY},
		{"POST", "/v2/systemsharedmemory/region/{}/unregister", oip_region_unregister, NULL,
		 NULL, o, small},
		{"POST", "/v2/systemsharedmemory/unregister", oip_region_unregister, NULL, NULL, o,
		 small},
	};

	_Static_assert(sizeof(rows) / sizeof(rows[0]) <= VT_OIP_ROUTES, "room for all");
	memcpy(ret, rows, sizeof(rows));
	return sizeof(rows) / sizeof(rows[0]);
}
