/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - a server as a target: fixed requests over keep-alive connections, non-blocking, one
 * thread. HTTP/1.1 with Content-Length, over TCP or a Unix socket.
 *
 * A request waits for a connection only when all that are allowed are busy, and that wait is part
 * of its latency. 200 is done, 429 and 503 are refused, 504 is dropped, all else failed. A request ends when the
 * last byte of its answer has been read. One that met a connection which the server had just given up
 * as idle is sent again on another, and its latency goes on.
 */
#ifndef VT_LOAD_HTTP_H
#define VT_LOAD_HTTP_H

#include "load/drive.h"

/** Head of a response. */
struct vt_http_head {
	unsigned int status;
	uint64_t body_bytes;
	bool close; /* the server ends the connection after the body */
};

/**
 * vt_http_head_parse - of the bytes read so far
 * Returns the length of the head; 0: not complete yet; -EBADMSG: not HTTP/1.x; -ENOTSUP: a body
 * without Content-Length. Pure.
 */
long vt_http_head_parse(const char *buf, size_t len, struct vt_http_head *ret);

/** Where: "http://HOST[:PORT]" or "unix:PATH". */
struct vt_http_url {
	bool local;	 /* a Unix socket */
	char where[256]; /* host, or path of the socket */
	char port[8];
};

/** vt_http_url_parse - -EINVAL: neither form, a path after the port, or too long */
int vt_http_url_parse(const char *text, struct vt_http_url *ret, struct vt_err *e);

/**
 * vt_http_call - one request, waiting for its answer for at most 10 s from its address on; for set-up
 * @request: complete, "Connection: close" in it
 * @body: free() it; NUL added
 * Returns the status; -EHOSTUNREACH, -EIO, -EPROTO: nobody answers, or somebody else; -ENOMEM
 */
int vt_http_call(const struct vt_http_url *u, const char *request, size_t len, char **body,
		 size_t *body_len, struct vt_err *e);

/** A complete request, head and body; the caller keeps it while the target is open. */
struct vt_http_request {
	const char *bytes;
	size_t len;
};

struct vt_http;

/**
 * vt_http_open - connect; @requests: one kind for each tenant
 * @max: connections at most; 0: 256
 */
int vt_http_open(struct vt_http **ret, const struct vt_http_url *u,
		 const struct vt_http_request *requests, uint32_t max, struct vt_err *e);
void vt_http_close(struct vt_http *h); /* accepts NULL */

struct vt_target vt_http_target(struct vt_http *h);

/** vt_http_check - after a slice: -EIO if connections were lost and nobody takes a new one */
int vt_http_check(const struct vt_http *h, struct vt_err *e);

/** vt_http_trouble - the last failure seen, one line; "" if there was none */
const char *vt_http_trouble(const struct vt_http *h);

#endif
