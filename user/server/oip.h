/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oip.h - the Open Inference Protocol v2 as routes: health, metadata, inference, and the model
 * repository, statistics and system shared memory extensions. Handlers run on I/O threads.
 */
#ifndef VT_SERVER_OIP_H
#define VT_SERVER_OIP_H

#include "exec/runtime.h"
#include "server/admission.h"
#include "server/http.h"
#include "server/infer.h"
#include "server/loader.h"
#include "server/models.h"
#include "server/region.h"

/** What the handlers work on. Caller's memory, stays until the HTTP server has stopped. */
struct vt_oip {
	struct vt_models *models;
	struct vt_runtime *runtime;
	struct vt_loader *loader;
	const struct vt_log *log;
	struct vt_admission admission; /* vt_admission_init() it */
	_Atomic bool late;	       /* serve also what cannot meet its deadline */
	struct vt_regions *regions;    /* shared memory; NULL: none may be used */
	bool regions_local;	       /* only over a Unix socket */
	_Atomic bool stopping;	       /* not ready any more; set before draining */
};

#define VT_OIP_ROUTES 24u

/** vt_oip_routes - write the protocol's rows, without an end, to @ret of VT_OIP_ROUTES; how many */
size_t vt_oip_routes(struct vt_oip *o, struct vt_route *ret);

/* ---- private to the oip_*.c ---------------------------------------------------------------------- */

/** oip_model - the model a path names, to be put back; NULL: answered with an error */
struct vt_loaded *oip_model(struct vt_oip *o, struct vt_http_req *r);

void oip_infer(struct vt_http_req *r, void *arg);
void oip_infer_head(struct vt_http_req *r, void *arg);
void oip_infer_begin(struct vt_http_req *r, void *arg);
void oip_index(struct vt_http_req *r, void *arg);
void oip_load(struct vt_http_req *r, void *arg);
void oip_unload(struct vt_http_req *r, void *arg);
void oip_stats(struct vt_http_req *r, void *arg);

/* Bodies of the repository; an empty one asks for nothing. 0 or -EBADMSG. */
#define OIP_WISH 64u
/** oip_index_parse - {"ready": true}: only models that are ready */
int oip_index_parse(bool *ready_only, const void *json, size_t len, struct vt_err *e);
/** oip_change_parse - the first of "parameters" that is not @allowed, cut, to @wish; "": there is none */
int oip_change_parse(char wish[OIP_WISH], const char *allowed, const void *json, size_t len,
		     struct vt_err *e);

void oip_region_status(struct vt_http_req *r, void *arg);
void oip_region_register(struct vt_http_req *r, void *arg);
void oip_region_unregister(struct vt_http_req *r, void *arg);
/** oip_region_parse - {"key", "offset", "byte_size"} to @ret, whose name is left empty; -EBADMSG, -EINVAL */
int oip_region_parse(struct vt_region_at *ret, const void *json, size_t len, struct vt_err *e);
/** oip_region_allowed - may this client use shared memory? */
bool oip_region_allowed(const struct vt_oip *o, const struct vt_http_req *r);
/** oip_region_use - hold the regions that @a names until oip_region_let_go(); false: answered with an error */
bool oip_region_use(struct vt_oip *o, struct vt_http_req *r, const struct vt_io *io,
		    struct vt_ask *a);
void oip_region_let_go(struct vt_ask *a);

#endif
