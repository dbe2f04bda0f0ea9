// SPDX-License-Identifier: Apache-2.0
/* http_req.c - the life of one request: header fields, body, handler, answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fresh.h"
#include "server/http_int.h"

/* A refused body up to this is read and dropped, so that the connection can go on. */
#define DROP_BYTES (1u << 20)
/* Counted as taken with the first part of a body, then twice as much whenever that is full. */
#define FIRST_BYTES 262144u /* of known length: less, and its pages come in more system calls */
#define FIRST_CHUNK 65536u

static struct req *of(struct vt_http_req *r)
{
	return (struct req *)r;
}

/* ---- answers ----------------------------------------------------------------------------------- */

static void set_answer(struct req *r, unsigned int status, struct MHD_Response *m, const char *type)
{
	if (!m) {
		static char nothing[] = "{\"error\":\"no memory for the answer\"}";

		status = 500;
		type = "application/json";
		m = answer_of(nothing, sizeof(nothing) - 1);
	}
	if (m && type)
		MHD_add_response_header(m, "Content-Type", type);
	if (m && r->pub.http->closing)
		MHD_add_response_header(m, "Connection", "close");
	if (r->answer)
		MHD_destroy_response(r->answer);
	r->answer = m;
	r->status = status;
}

void vt_http_reply(struct vt_http_req *pub, unsigned int status, const char *type, const void *data,
		   size_t len, void (*done)(void *arg), void *arg)
{
	struct MHD_Response *m;

	m = done ? MHD_create_response_from_buffer_with_free_callback_cls(len, (void *)data, done,
									  arg)
		 : answer_of(data, len);
	if (!m && done)
		done(arg);
	of(pub)->answer_bytes = len;
	set_answer(of(pub), status, m, type);
}

void vt_http_add_header(struct vt_http_req *pub, const char *name, const char *value)
{
	if (of(pub)->answer)
		MHD_add_response_header(of(pub)->answer, name, value);
}

void vt_http_json(struct vt_http_req *pub, unsigned int status, json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;

	json_decref(j);
	if (text)
		vt_http_reply(pub, status, "application/json", text, strlen(text), free, text);
	else
		set_answer(of(pub), 500, NULL, NULL);
}

static void fail(struct vt_http_req *pub, unsigned int status, const char *fmt, va_list ap)
{
	char text[640], escaped[1400], *json = NULL;
	int n;

	vsnprintf(text, sizeof(text), fmt, ap);
	vt_json_escape(text, escaped, sizeof(escaped));
	n = asprintf(&json, "{\"error\":\"%s\"}", escaped);
	if (n < 0)
		set_answer(of(pub), 500, NULL, NULL);
	else
		vt_http_reply(pub, status, "application/json", json, (size_t)n, free, json);
	of(pub)->refused = true;
}

void vt_http_fail(struct vt_http_req *pub, unsigned int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail(pub, status, fmt, ap);
	va_end(ap);
}

void vt_http_retry(struct vt_http_req *pub, unsigned int seconds, const char *fmt, ...)
{
	char text[16];
	va_list ap;

	va_start(ap, fmt);
	fail(pub, 503, fmt, ap);
	va_end(ap);
	snprintf(text, sizeof(text), "%u", seconds);
	vt_http_add_header(pub, "Retry-After", text);
}

/* ---- what handlers ask ------------------------------------------------------------------------- */

const char *vt_http_header(struct vt_http_req *pub, const char *name)
{
	return MHD_lookup_connection_value(of(pub)->mhd, MHD_HEADER_KIND, name);
}

void vt_http_limit(struct vt_http_req *pub, uint64_t bytes)
{
	of(pub)->limit = bytes;
}

void vt_http_on_short(struct vt_http_req *pub, void (*fn)(struct vt_http_req *r, void *arg),
		      void *arg)
{
	of(pub)->on_short = fn;
	of(pub)->short_arg = arg;
}

void vt_http_attach(struct vt_http_req *pub, void *own, void (*fini)(void *own))
{
	of(pub)->own = own;
	of(pub)->fini = fini;
}

void *vt_http_attached(const struct vt_http_req *pub)
{
	return ((const struct req *)pub)->own;
}

/* ---- held requests ----------------------------------------------------------------------------- */

void vt_http_hold(struct vt_http_req *pub)
{
	of(pub)->held = true;
	conn_state(of(pub)->conn, CONN_HELD);
	MHD_suspend_connection(of(pub)->mhd);
}

void vt_http_watch(struct vt_http_req *pub, void (*gone)(void *arg, uint64_t id), void *arg,
		   uint64_t id)
{
	struct vt_http *h = pub->http;
	struct conn *c = of(pub)->conn;
	struct epoll_event ev = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.u64 = c->serial};

	pthread_mutex_lock(&h->lock);
	if (c->state == CONN_HELD) {
		c->gone_arg = arg;
		c->gone_id = id;
		c->gone = epoll_ctl(h->watch_fd, EPOLL_CTL_ADD, c->fd, &ev) ? NULL : gone;
	}
	pthread_mutex_unlock(&h->lock);
}

void vt_http_release(struct vt_http_req *pub)
{
	struct vt_http *h = pub->http;
	struct conn *c = of(pub)->conn;
	struct io *io = c->io;

	pthread_mutex_lock(&h->lock);
	if (c->gone)
		epoll_ctl(h->watch_fd, EPOLL_CTL_DEL, c->fd, NULL);
	c->gone = NULL;
	c->state = CONN_SENDING;
	c->since_ns = vt_now_mono_ns();
	pthread_mutex_unlock(&h->lock);
	MHD_resume_connection(of(pub)->mhd); /* from here on the I/O thread may end both */
	io_wake(io);
}

/* ---- header fields ----------------------------------------------------------------------------- */

static void refuse_route(struct req *r, const char *url)
{
	if (!r->pub.match.allow) {
		vt_http_fail(&r->pub, 404, "there is nothing at %.200s", url);
		return;
	}
	vt_http_fail(&r->pub, 405, "%.200s takes %s", url, r->pub.match.allow);
	vt_http_add_header(&r->pub, "Allow",
			   !strcmp(r->pub.match.allow, "GET") ? "GET, HEAD" : r->pub.match.allow);
}

static bool refuse_encoding(struct req *r)
{
	const char *v = vt_http_header(&r->pub, "Content-Encoding");

	if (!v || !*v || !strcasecmp(v, "identity"))
		return false;
	vt_http_fail(
		&r->pub, 415,
		"Content-Encoding: %.60s is not taken; send the body as it is, best with binary "
		"tensors",
		v);
	vt_http_add_header(&r->pub, "Accept-Encoding", "identity");
	return true;
}

static enum MHD_Result find_coding(void *arg, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	const char **other = arg;

	if (!strcasecmp(name, "Transfer-Encoding") && value && strcasecmp(value, "chunked") != 0)
		*other = value;
	return *other ? MHD_NO : MHD_YES;
}

/* Any other than chunked: where such a body ends is not known, and libmicrohttpd would take it to go on for ever. */
static bool refuse_coding(struct req *r)
{
	const char *other = NULL;

	MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, find_coding, &other);
	if (!other)
		return false;
	r->endless = true;
	vt_http_fail(&r->pub, 501,
		     "Transfer-Encoding: %.60s is not taken; send the body with its Content-Length "
		     "or chunked",
		     other);
	return true;
}

static void refuse_empty(struct req *r)
{
	vt_http_fail(&r->pub, 411, "a body is needed here, with its Content-Length or chunked");
}

static uint64_t body_limit(const struct req *r)
{
	uint64_t max = r->pub.http->max_body_bytes;

	if (r->pub.match.route->flags & VT_ROUTE_SMALL && max > VT_ROUTE_SMALL_BYTES)
		max = VT_ROUTE_SMALL_BYTES;
	return max < r->limit ? max : r->limit;
}

/* No memory for its body: of requests under way, or, if it needs @bytes, of the machine. */
static void refuse_short(struct req *r, size_t bytes)
{
	if (bytes)
		vt_http_retry(&r->pub, 1, "no memory for a body of %zu bytes", bytes);
	else
		vt_http_retry(&r->pub, 1, "too many bytes of requests are under way");
	if (r->on_short)
		r->on_short(&r->pub, r->short_arg);
}

/* May the whole body come, if its length is known? What is not here yet holds no room. */
static void expect_body(struct req *r)
{
	if (r->length > body_limit(r)) {
		vt_http_fail(&r->pub, 413, "a body of %llu bytes; this path takes up to %llu",
			     (unsigned long long)r->length, (unsigned long long)body_limit(r));
		return;
	}
	if (r->length > vt_http_room(r->pub.http))
		refuse_short(r, 0);
}

static void look_at_head(struct req *r, const char *url)
{
	const char *v = vt_http_header(&r->pub, "Content-Length");
	const struct vt_route *route;
	struct vt_route_match *m = &r->pub.match;

	r->length = v ? strtoull(v, NULL, 10) : 0;
	v = vt_http_header(&r->pub, "Transfer-Encoding");
	r->chunked = v && !strcasecmp(v, "chunked");
	if (v) /* RFC 9112: it overrides a length */
		r->length = 0;
	r->expects = vt_http_header(&r->pub, "Expect") != NULL;
	if (v && refuse_coding(r))
		return;
	if (!vt_route_find(r->pub.http->routes, r->pub.method, url, m)) {
		refuse_route(r, url);
		return;
	}
	route = m->route;
	if (!(route->flags & VT_ROUTE_BODY))
		return;
	if (route->head)
		route->head(&r->pub, route->arg);
	if (r->refused || refuse_encoding(r))
		return;
	if ((route->flags & VT_ROUTE_NEED_BODY) && !r->length && !r->chunked)
		refuse_empty(r);
	else
		expect_body(r);
}

/* Should a refusal leave now? The connection ends with it, as the body is still on its way. */
static bool refuse_now(const struct req *r)
{
	return r->refused && (r->expects || r->endless || r->length > DROP_BYTES);
}

/* ---- body -------------------------------------------------------------------------------------- */

/* Memory for the whole body, or for @bytes of one of unknown length. What nobody has written to is none yet. */
static bool make_room(struct req *r, size_t bytes)
{
	const size_t room = r->length ? r->length : bytes;
	char *more;

	if (bytes <= r->room)
		return true;
	more = realloc(r->body, room);
	if (!more) {
		refuse_short(r, room);
		return false;
	}
	r->body = more;
	r->room = room;
	return true;
}

/* Count as taken, and have, what @need bytes of the body take. */
static bool grow(struct req *r, size_t need)
{
	struct vt_http *h = r->pub.http;
	const uint64_t limit = body_limit(r), most = r->length ? r->length : limit;
	size_t bytes = r->counted ? r->counted : r->length ? FIRST_BYTES : FIRST_CHUNK;

	if (need > most) {
		vt_http_fail(&r->pub, 413, "a body above %llu bytes; this path takes no more",
			     (unsigned long long)limit);
		return false;
	}
	while (bytes < need)
		bytes *= 2;
	if (bytes > most)
		bytes = most;
	if (!vt_http_take(h, bytes - r->counted)) {
		refuse_short(r, 0);
		return false;
	}
	if (!make_room(r, bytes)) {
		vt_http_give(h, bytes - r->counted);
		return false;
	}
	if (r->length)
		vt_fresh_populate(r->body + r->counted, bytes - r->counted);
	r->counted = bytes;
	return true;
}

static void drop_body(struct req *r)
{
	free(r->body);
	if (r->counted)
		vt_http_give(r->pub.http, r->counted);
	r->body = NULL;
	r->room = r->counted = 0;
	r->pub.body_len = 0;
}

/* The first part of a body. Its handler may see at once that the rest is not worth keeping. */
static void begin_body(struct req *r, const char *data, size_t len)
{
	const struct vt_route *route = r->pub.match.route;

	r->begun = true;
	if (!route->begin)
		return;
	r->pub.body = data;
	r->pub.body_len = len;
	route->begin(&r->pub, route->arg);
	r->pub.body = NULL;
	r->pub.body_len = 0;
}

static bool keep(struct req *r, size_t len)
{
	return !r->refused &&
	       (len <= r->counted - r->pub.body_len || grow(r, r->pub.body_len + len));
}

/* False: enough of it; end the connection. */
static bool receive(struct req *r, const char *data, size_t len)
{
	__atomic_fetch_add(&r->pub.http->count->bytes_in, len, __ATOMIC_RELAXED);
	if (!r->refused && r->pub.match.route->flags & VT_ROUTE_BODY) {
		if (!r->begun)
			begin_body(r, data, len);
		if (keep(r, len)) {
			memcpy(r->body + r->pub.body_len, data, len);
			r->pub.body_len += len;
			return true;
		}
		drop_body(r);
	}
	r->dropped += len;
	return r->dropped <= r->pub.http->max_body_bytes + DROP_BYTES;
}

/* ---- libmicrohttpd's callbacks ------------------------------------------------------------------ */

static struct req *begin(struct vt_http *h, struct MHD_Connection *mhd, const char *method)
{
	const union MHD_ConnectionInfo *i =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct req *r = i && i->socket_context ? calloc(1, sizeof(*r)) : NULL;

	if (!r)
		return NULL;
	r->mhd = mhd;
	r->conn = i->socket_context;
	r->pub.http = h;
	r->pub.method = method;
	r->pub.arrival_ns = vt_now_mono_ns();
	r->limit = UINT64_MAX;
	conn_state(r->conn, CONN_RECEIVING);
	atomic_fetch_add(&h->busy, 1);
	__atomic_fetch_add(&h->count->in_flight, 1, __ATOMIC_RELAXED);
	return r;
}

void http_count_answer(struct vt_http *h, unsigned int status, size_t bytes)
{
	__atomic_fetch_add(&h->count->bytes_out, bytes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&h->count->requests[status / 100 % 6], 1, __ATOMIC_RELAXED);
}

static enum MHD_Result send_answer(struct req *r)
{
	const bool head = !strcmp(r->pub.method, "HEAD");
	enum MHD_Result ok;

	if (!r->answer)
		return MHD_NO; /* not even memory to say so */
	conn_state(r->conn, CONN_SENDING);
	http_count_answer(r->pub.http, r->status, head ? 0 : r->answer_bytes);
	ok = MHD_queue_response(r->mhd, r->status, r->answer);
	MHD_destroy_response(r->answer);
	r->answer = NULL;
	return ok;
}

enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *url,
			   const char *method, const char *version, const char *data, size_t *len,
			   void **ret)
{
	struct req *r = *ret;

	if (!r) {
		*ret = r = begin(arg, mhd, method);
		if (!r)
			return MHD_NO;
		look_at_head(r, url);
		return refuse_now(r) ? send_answer(r) : MHD_YES;
	}
	if (*len) {
		size_t n = *len;

		*len = 0;
		return receive(r, data, n) ? MHD_YES : MHD_NO;
	}
	if (!r->handled && !r->refused) {
		r->handled = true;
		r->pub.body = r->body;
		if (r->pub.match.route->flags & VT_ROUTE_NEED_BODY && !r->pub.body_len)
			refuse_empty(r); /* chunked: it was not known before */
		else
			r->pub.match.route->fn(&r->pub, r->pub.match.route->arg);
		if (r->held) /* another thread may have it already */
			return MHD_YES;
	}
	return send_answer(r);
}

void on_completed(void *arg, struct MHD_Connection *mhd, void **own,
		  enum MHD_RequestTerminationCode how)
{
	struct vt_http *h = arg;
	struct req *r = *own;

	if (!r)
		return;
	*own = NULL;
	if (r->answer)
		MHD_destroy_response(r->answer);
	if (r->fini)
		r->fini(r->own);
	drop_body(r);
	conn_state(r->conn, CONN_IDLE);
	free(r);
	__atomic_fetch_sub(&h->count->in_flight, 1, __ATOMIC_RELAXED);
	atomic_fetch_sub(&h->busy, 1);
}
