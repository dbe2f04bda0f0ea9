// SPDX-License-Identifier: Apache-2.0
#include "load/http.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "load/http_wire.h"

#define MAX_CONNS   256u
#define WARM_CONNS  8u
#define HEAD_BYTES  8192u
#define SOCKET_ROOM (1 << 21)	/* a request of an image fits: one write, no second wake-up */
#define STALE_NS    VT_NS_PER_S /* no server gives an idle connection up before */

/** One connection. It is idle, or has one request under way. */
struct conn {
	int fd; /* -1: not open */
	struct vt_shot *shot;
	size_t sent;
	char head[HEAD_BYTES];
	size_t n_head;
	uint64_t body_left;
	uint64_t idle_since_ns;
	bool in_body, stale; /* stale: had nothing to do for long when its request came */
	struct vt_http_head got;
};

struct vt_http {
	int epoll;
	struct sockaddr_storage to;
	socklen_t to_len;
	const struct vt_http_request *requests;
	uint32_t max;
	struct conn *conns; /* [max] */
	uint32_t *idle;	    /* stack of connections that can take a request */
	uint32_t n_idle;
	uint32_t *closed; /* stack of slots without a connection */
	uint32_t n_closed;
	struct vt_shot **waiting; /* ring of those without a connection, [n_shots] */
	size_t first, n_waiting, n_shots;
	bool broken; /* a connection was lost, or could not be had, since begin() */
	char trouble[200];
};

const char *vt_http_trouble(const struct vt_http *h)
{
	return h->trouble;
}

/* ---- connections -------------------------------------------------------------------------- */

static void watch(struct vt_http *h, struct conn *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	epoll_ctl(h->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

/** A new connection in slot @i, perhaps still connecting; false if it cannot be. */
static bool open_conn(struct vt_http *h, uint32_t i)
{
	struct conn *c = &h->conns[i];
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	int one = 1, room = SOCKET_ROOM;

	c->fd = socket(h->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		snprintf(h->trouble, sizeof(h->trouble), "cannot connect: %s", strerror(errno));
		return false;
	}
	if (h->to.ss_family != AF_UNIX)
		setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if ((connect(c->fd, (struct sockaddr *)&h->to, h->to_len) && errno != EINPROGRESS) ||
	    epoll_ctl(h->epoll, EPOLL_CTL_ADD, c->fd, &ev)) {
		snprintf(h->trouble, sizeof(h->trouble), "cannot connect: %s", strerror(errno));
		close(c->fd);
		c->fd = -1;
		return false;
	}
	c->idle_since_ns = vt_now_mono_ns();
	return true;
}

static uint32_t index_of(const struct vt_http *h, const struct conn *c)
{
	return (uint32_t)(c - h->conns);
}

/**
 * The connection is gone; what it carried has failed. Unless the server gave it up for having been idle
 * while the request was on its way (RFC 9112, 9.3.1): that one goes to another connection, first.
 */
static void drop(struct vt_http *h, struct conn *c, const char *why)
{
	uint32_t i = index_of(h, c);

	close(c->fd);
	c->fd = -1;
	if (c->shot && c->stale && !c->n_head) {
		h->first = (h->first + h->n_shots - 1) % h->n_shots;
		h->waiting[h->first] = c->shot;
		h->n_waiting++;
		c->shot = NULL;
	} else if (c->shot) {
		snprintf(h->trouble, sizeof(h->trouble), "%s", why);
		h->broken = true;
		vt_shot_end(c->shot, VT_SHOT_FAILED, vt_now_mono_ns());
		c->shot = NULL;
	} else {
		for (uint32_t k = 0; k < h->n_idle; k++)
			if (h->idle[k] == i)
				h->idle[k] = h->idle[--h->n_idle];
	}
	h->closed[h->n_closed++] = i;
}

/* ---- sending ------------------------------------------------------------------------------ */

static void read_some(struct vt_http *h, struct conn *c);

static void write_some(struct vt_http *h, struct conn *c)
{
	const struct vt_http_request *q = &h->requests[c->shot->tenant];

	while (c->sent < q->len) {
		ssize_t n = send(c->fd, q->bytes + c->sent, q->len - c->sent, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) {
			watch(h, c, EPOLLIN | EPOLLOUT);
			return;
		}
		if (n < 0) {
			int why = errno;

			read_some(h, c); /* it may have been answered before its end */
			if (c->fd >= 0)
				drop(h, c, strerror(why));
			return;
		}
		c->sent += (size_t)n;
	}
	watch(h, c, EPOLLIN);
}

static void start(struct vt_http *h, uint32_t i, struct vt_shot *s)
{
	struct conn *c = &h->conns[i];

	c->shot = s;
	c->stale = vt_now_mono_ns() - c->idle_since_ns >= STALE_NS;
	c->sent = c->n_head = 0;
	c->in_body = false;
	write_some(h, c);
}

/** Give waiting requests to idle or new connections. */
static void dispatch(struct vt_http *h)
{
	while (h->n_waiting) {
		struct vt_shot *s = h->waiting[h->first];
		uint32_t i;

		if (h->n_idle) {
			i = h->idle[--h->n_idle];
		} else if (h->n_closed) {
			i = h->closed[--h->n_closed];
			if (!open_conn(h, i)) {
				h->closed[h->n_closed++] = i;
				h->broken = true;
				vt_shot_end(s, VT_SHOT_FAILED, vt_now_mono_ns());
				i = UINT32_MAX;
			}
		} else {
			return;
		}
		h->first = (h->first + 1) % h->n_shots;
		h->n_waiting--;
		if (i != UINT32_MAX)
			start(h, i, s);
	}
}

static void send_shot(void *self, struct vt_shot *s)
{
	struct vt_http *h = self;

	h->waiting[(h->first + h->n_waiting++) % h->n_shots] = s;
	dispatch(h);
}

/* ---- answers ------------------------------------------------------------------------------ */

static void answered(struct vt_http *h, struct conn *c)
{
	unsigned int status = c->got.status;
	struct vt_shot *s = c->shot;

	c->shot = NULL;
	c->idle_since_ns = vt_now_mono_ns();
	if (status != 200 && status != 429 && status != 503 && status != 504)
		snprintf(h->trouble, sizeof(h->trouble), "the server answered with status %u",
			 status);
	h->idle[h->n_idle++] = index_of(h, c);
	/* An answer before the end of the request leaves the connection in between: give it up. */
	if (c->got.close || c->sent < h->requests[s->tenant].len)
		drop(h, c, "");
	vt_shot_end(s,
		    status == 200		     ? VT_SHOT_DONE
		    : status == 429 || status == 503 ? VT_SHOT_REFUSED
		    : status == 504		     ? VT_SHOT_DROPPED
						     : VT_SHOT_FAILED,
		    c->idle_since_ns);
}

/** Bytes of the head have come; takes what follows it as body. */
static void take_head(struct vt_http *h, struct conn *c)
{
	long n = vt_http_head_parse(c->head, c->n_head, &c->got);
	size_t more;

	if (n < 0 || (!n && c->n_head == sizeof(c->head))) {
		drop(h, c,
		     n == -ENOTSUP ? "an answer without Content-Length"
				   : "the answer is not HTTP/1.1");
		return;
	}
	if (!n)
		return;
	more = c->n_head - (size_t)n;
	if (c->got.status < 200) { /* 100 Continue: the real head follows */
		memmove(c->head, c->head + n, more);
		c->n_head = more;
		if (more)
			take_head(h, c);
		return;
	}
	if (more > c->got.body_bytes) {
		drop(h, c, "more bytes came than Content-Length says");
		return;
	}
	c->in_body = true;
	c->body_left = c->got.body_bytes - more;
}

static void read_some(struct vt_http *h, struct conn *c)
{
	static char sink[1 << 18]; /* bodies are not looked at; one thread */

	for (;;) {
		size_t room = c->in_body
				      ? (c->body_left < sizeof(sink) ? c->body_left : sizeof(sink))
				      : sizeof(c->head) - c->n_head;
		ssize_t n = recv(c->fd, c->in_body ? sink : c->head + c->n_head, room, 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || !c->shot) {
			drop(h, c, n < 0 ? strerror(errno) : "the server closed the connection");
			return;
		}
		if (c->in_body) {
			c->body_left -= (uint64_t)n;
		} else {
			c->n_head += (size_t)n;
			take_head(h, c);
			if (c->fd < 0)
				return;
		}
		if (c->in_body && !c->body_left) {
			answered(h, c);
			return;
		}
	}
}

static void poll_http(void *self)
{
	struct vt_http *h = self;
	struct epoll_event ev[64];
	int n = epoll_wait(h->epoll, ev, 64, 0);

	for (int i = 0; i < n; i++) {
		struct conn *c = ev[i].data.ptr;

		if (c->fd >= 0 && ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			read_some(h, c);
		if (c->fd >= 0 && c->shot && ev[i].events & EPOLLOUT)
			write_some(h, c);
	}
	dispatch(h);
}

/* ---- target ------------------------------------------------------------------------------- */

static int begin(void *self, struct vt_shot *shots, size_t n, struct vt_err *e)
{
	struct vt_http *h = self;

	poll_http(h); /* what the server closed since the last slice */
	if (n > h->n_shots) {
		struct vt_shot **more = realloc(h->waiting, n * sizeof(*more));

		if (!more)
			return vt_fail(e, -ENOMEM, "no memory for %zu requests", n);
		h->waiting = more;
		h->n_shots = n;
	}
	h->first = h->n_waiting = 0;
	h->broken = false;
	while (h->n_idle < WARM_CONNS && h->n_closed) {
		uint32_t i = h->closed[h->n_closed - 1];

		if (!open_conn(h, i))
			return vt_fail(e, -EIO, "%s", h->trouble);
		h->n_closed--;
		h->idle[h->n_idle++] = i;
	}
	return 0;
}

int vt_http_check(const struct vt_http *h, struct vt_err *e)
{
	if (!h->broken || vt_http_reach((const struct sockaddr *)&h->to, h->to_len))
		return 0;
	return vt_fail(e, -EIO, "the server takes no connection any more: %s", h->trouble);
}

static int http_fd(void *self)
{
	return ((struct vt_http *)self)->epoll;
}

struct vt_target vt_http_target(struct vt_http *h)
{
	return (struct vt_target){begin, send_shot, poll_http, http_fd, NULL, h};
}

int vt_http_open(struct vt_http **ret, const struct vt_http_url *u,
		 const struct vt_http_request *requests, uint32_t max, struct vt_err *e)
{
	struct vt_http *h = calloc(1, sizeof(*h));
	int rc = h ? vt_http_resolve(u, &h->to, &h->to_len, e) : vt_fail(e, -ENOMEM, "no memory");

	if (rc) {
		free(h);
		return rc;
	}
	h->max = max ? max : MAX_CONNS;
	h->requests = requests;
	h->conns = calloc(h->max, sizeof(*h->conns));
	h->idle = calloc(h->max, sizeof(*h->idle));
	h->closed = calloc(h->max, sizeof(*h->closed));
	h->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!h->conns || !h->idle || !h->closed || h->epoll < 0) {
		vt_http_close(h);
		return vt_fail(e, -ENOMEM, "no memory for %u connections", max);
	}
	for (uint32_t i = h->max; i--;) {
		h->conns[i].fd = -1;
		h->closed[h->n_closed++] = i;
	}
	*ret = h;
	return 0;
}

void vt_http_close(struct vt_http *h)
{
	if (!h)
		return;
	for (uint32_t i = 0; h->conns && i < h->max; i++)
		if (h->conns[i].fd >= 0)
			close(h->conns[i].fd);
	if (h->epoll >= 0)
		close(h->epoll);
	free(h->conns);
	free(h->idle);
	free(h->closed);
	free(h->waiting);
	free(h);
}
