/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http.h - HTTP/1.1 on libmicrohttpd: connections in, requests to a table of routes, answers out.
 *
 *	I/O threads	 read, route, answer; a request that runs is held: its connection costs no
 *			 thread and no polling meanwhile
 *	any thread	 vt_http_reply() and vt_http_release() on a request that is held
 *	the owner	 vt_http_tend(): clients that left while held, clients that are too slow
 *
 * Bodies are bounded one by one and in sum, by what has come of them: a promise holds no room. Of known
 * length, they are received into memory reserved once. Every error is {"error": "..."} with its status.
 */
#ifndef VT_SERVER_HTTP_H
#define VT_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/log.h"
#include "metrics/metrics.h"
#include "server/config.h"
#include "server/json.h"
#include "server/listen.h"
#include "server/route.h"

struct vt_http;

/*
 * I/O threads take a sixth of a core when a machine is offered five times what it can do, and behind workers that use
 * all of theirs they wait for every turn: they come first by this much, where that is allowed (RLIMIT_NICE, CAP_SYS_NICE).
 */
#define VT_HTTP_NICE (-10)

/** One request, while it is answered. The I/O thread's, or the holder's between hold and release. */
struct vt_http_req {
	const char *method;
	struct vt_route_match match; /* match.arg: what the {} took */
	const char *body;	     /* of body_len bytes; NULL if there is none */
	size_t body_len;
	struct vt_http *http;
	uint64_t arrival_ns; /* of its header fields, CLOCK_MONOTONIC */
};

struct vt_http_opts {
	const struct vt_config *config; /* limits and io_threads; copied */
	struct vt_listener *listener;	/* [n], started; their sockets are taken over */
	size_t n_listeners;
	const struct vt_route *routes; /* kept */
	struct vt_metrics_http *count; /* kept, written by atomic stores */
	const struct vt_log *log;      /* kept */
};

/** vt_http_start - answer from now on; -ENOMEM, or what libmicrohttpd could not do */
int vt_http_start(struct vt_http **ret, const struct vt_http_opts *o, struct vt_err *e);
/** vt_http_quiesce - take no new connections, close each after its present answer; not on an I/O thread */
void vt_http_quiesce(struct vt_http *h);
/** vt_http_busy - requests that are being received, held or answered */
uint32_t vt_http_busy(const struct vt_http *h);
/** vt_http_stop - end all connections; no request may be held any more. Accepts NULL */
void vt_http_stop(struct vt_http *h);

/** vt_http_tend_fd - readable when vt_http_tend() has something to do before its time */
int vt_http_tend_fd(const struct vt_http *h);
/** vt_http_tend - call when that is readable, and every second or so; one thread */
void vt_http_tend(struct vt_http *h, uint64_t now_ns);

/* ---- the memory of requests -------------------------------------------------------------------- */

/** vt_http_take - count @bytes as held; false if the limit on all requests would be passed */
bool vt_http_take(struct vt_http *h, uint64_t bytes);
void vt_http_give(struct vt_http *h, uint64_t bytes);
/** vt_http_room - what may still be taken */
uint64_t vt_http_room(const struct vt_http *h);

/* ---- handlers ---------------------------------------------------------------------------------- */

/** vt_http_header - value of a header field, NULL if it is not there */
const char *vt_http_header(struct vt_http_req *r, const char *name);

/** vt_http_local - does the client ask over a Unix socket? */
bool vt_http_local(const struct vt_http_req *r);

/** vt_http_limit - from a head handler: a body of more than @bytes is refused, as one above max_body is */
void vt_http_limit(struct vt_http_req *r, uint64_t bytes);

/** vt_http_on_short - from a head handler: call @fn(r, arg) if there is no memory for the body, which is a refusal */
void vt_http_on_short(struct vt_http_req *r, void (*fn)(struct vt_http_req *r, void *arg),
		      void *arg);

/**
 * vt_http_reply - answer with @len bytes at @data, which @done (may be NULL) gives back with @arg
 * once they are sent or the client is gone. One answer per request.
 */
void vt_http_reply(struct vt_http_req *r, unsigned int status, const char *type, const void *data,
		   size_t len, void (*done)(void *arg), void *arg);
/** vt_http_add_header - a further field of the answer; after vt_http_reply(), _json(), _fail() */
void vt_http_add_header(struct vt_http_req *r, const char *name, const char *value);
/** vt_http_json - answer with @j, which is taken over; NULL answers 500 */
void vt_http_json(struct vt_http_req *r, unsigned int status, json_t *j);
/** vt_http_fail - answer {"error": text} */
void vt_http_fail(struct vt_http_req *r, unsigned int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** vt_http_retry - 503 with Retry-After: @seconds */
void vt_http_retry(struct vt_http_req *r, unsigned int seconds, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** vt_http_hold - the answer comes later; nothing of the connection happens until release */
void vt_http_hold(struct vt_http_req *r);
/**
 * vt_http_watch - if the client of a held request leaves, call @gone(arg, id), on the thread that
 * tends; only from the handler, after hold; harmless if it was released meanwhile
 */
void vt_http_watch(struct vt_http_req *r, void (*gone)(void *arg, uint64_t id), void *arg,
		   uint64_t id);
/** vt_http_release - the answer is given; @r is not the caller's any more */
void vt_http_release(struct vt_http_req *r);

/** vt_http_attach - memory of the handler, given to @fini when the request ends */
void vt_http_attach(struct vt_http_req *r, void *own, void (*fini)(void *own));
/** vt_http_attached - that memory, or NULL */
void *vt_http_attached(const struct vt_http_req *r);

#endif
