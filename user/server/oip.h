/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oip.h - the Open Inference Protocol v2 as routes: health, metadata, inference, and the model
 * repository and statistics extensions. Handlers run on I/O threads.
 */
#ifndef VT_SERVER_OIP_H
#define VT_SERVER_OIP_H

#include "exec/runtime.h"
#include "server/admission.h"
#include "server/http.h"
#include "server/loader.h"
#include "server/models.h"

/** What the handlers work on. Caller's memory, stays until the HTTP server has stopped. */
struct vt_oip {
	struct vt_models *models;
	struct vt_runtime *runtime;
	struct vt_loader *loader;
	const struct vt_log *log;
	struct vt_admission admission; /* vt_admission_init() it */
	_Atomic bool late;	       /* serve also what cannot meet its deadline */
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

#endif
