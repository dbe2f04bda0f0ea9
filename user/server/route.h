/* SPDX-License-Identifier: Apache-2.0 */
/* route.h - which handler answers which method and path. Pure. */
#ifndef VT_SERVER_ROUTE_H
#define VT_SERVER_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vt_http_req; /* http.h */

#define VT_ROUTE_ARGS	     4u
#define VT_ROUTE_SMALL_BYTES 65536u
#define VT_ROUTE_SEG	     128u /* characters of a part of the path that a {name} takes */

enum vt_route_flag {
	VT_ROUTE_BODY = 1,	/* takes a body; others must have none, or a small one, ignored */
	VT_ROUTE_NEED_BODY = 2, /* a request without one is refused: 411 */
	VT_ROUTE_SMALL = 4,	/* more than VT_ROUTE_SMALL_BYTES of it are refused: 413 */
};

/**
 * One row of a table that ends with method NULL. Tables are concatenated by the wiring (cli), so
 * metrics and pages add theirs without touching the server.
 */
struct vt_route {
	const char *method; /* "GET" (answers HEAD too), "POST" */
	const char *path;   /* "/v2/models/{}/versions/{}/infer": each {} takes one part */
	/**
	 * fn - answer @r: call one of vt_http_reply(), _json(), _fail(); or vt_http_hold() and do so
	 * later from any thread, followed by vt_http_release(). Runs on an I/O thread: be short.
	 */
	void (*fn)(struct vt_http_req *r, void *arg);
	/** head - may be NULL; called before the body is read, may refuse with vt_http_fail() */
	void (*head)(struct vt_http_req *r, void *arg);
	/**
	 * begin - may be NULL; called with the first part of a body, before anything of it is kept: r->body, of
	 * body_len bytes, only until it returns. May refuse like head: the rest is then dropped as it arrives
	 */
	void (*begin)(struct vt_http_req *r, void *arg);
	void *arg;
	unsigned int flags;
};

/** What a {} took, in order of the path. */
struct vt_route_match {
	const struct vt_route *route;
	char arg[VT_ROUTE_ARGS][VT_ROUTE_SEG];
	const char *allow; /* if only the method does not fit: "GET" or so for the Allow header */
};

/**
 * vt_route_find - the first row of @table that fits; a trailing slash does not matter
 * Returns true; false with allow set (405) or NULL (404).
 */
bool vt_route_find(const struct vt_route *table, const char *method, const char *path,
		   struct vt_route_match *ret);

#endif
