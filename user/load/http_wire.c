// SPDX-License-Identifier: Apache-2.0
/* http_wire.c - addresses, heads of responses, and the one blocking call. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "load/http_wire.h"

#define CALL_MAX_BYTES (16u << 20)
#define CALL_NS	       (10 * VT_NS_PER_S)

/* ---- heads -------------------------------------------------------------------------------- */

static int status_line(const char *line, size_t len, struct vt_http_head *h)
{
	if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
	    (len > 12 && line[12] != ' '))
		return -EBADMSG;
	for (int i = 9; i < 12; i++) {
		if (line[i] < '0' || line[i] > '9')
			return -EBADMSG;
		h->status = h->status * 10 + (unsigned int)(line[i] - '0');
	}
	h->close = line[7] == '0';
	return h->status >= 100 ? 0 : -EBADMSG;
}

/** The value if @line is the header @name, else NULL. */
static const char *value_of(const char *line, size_t len, const char *name, size_t *n)
{
	size_t k = strlen(name);

	if (len <= k || strncasecmp(line, name, k) != 0 || line[k] != ':')
		return NULL;
	for (k++; k < len && (line[k] == ' ' || line[k] == '\t'); k++)
		;
	*n = len - k;
	return line + k;
}

static int header(const char *line, size_t len, struct vt_http_head *h, bool *sized)
{
	char number[24] = "";
	const char *v;
	size_t n;

	v = value_of(line, len, "Content-Length", &n);
	if (v) {
		if (!n || n >= sizeof(number))
			return -EBADMSG;
		memcpy(number, v, n);
		if (vt_text_u64(number, &h->body_bytes) || h->body_bytes > 1ull << 40)
			return -EBADMSG;
		*sized = true;
	}
	v = value_of(line, len, "Transfer-Encoding", &n);
	if (v)
		return -ENOTSUP;
	v = value_of(line, len, "Connection", &n);
	if (v && n == 5 && !strncasecmp(v, "close", 5))
		h->close = true;
	return 0;
}

long vt_http_head_parse(const char *buf, size_t len, struct vt_http_head *ret)
{
	struct vt_http_head h = {0};
	size_t from = 0;
	bool sized = false;

	for (unsigned int lines = 0;; lines++) {
		const char *nl = memchr(buf + from, '\n', len - from);
		size_t n;
		int rc;

		if (!nl)
			return len - from > 7 && !lines && memcmp(buf, "HTTP/1.", 7) != 0 ? -EBADMSG
											  : 0;
		n = (size_t)(nl - buf) - from;
		if (n && buf[from + n - 1] == '\r')
			n--;
		if (!n && lines) {
			from = (size_t)(nl - buf) + 1;
			break;
		}
		rc = lines ? header(buf + from, n, &h, &sized) : status_line(buf, n, &h);
		if (rc)
			return rc;
		from = (size_t)(nl - buf) + 1;
	}
	if (!sized && h.status >= 200 && h.status != 204 && h.status != 304)
		return -ENOTSUP;
	*ret = h;
	return (long)from;
}

/* ---- addresses ---------------------------------------------------------------------------- */

int vt_http_url_parse(const char *text, struct vt_http_url *ret, struct vt_err *e)
{
	struct vt_http_url u = {.port = "80"};
	const char *at, *colon;
	uint64_t port;
	size_t n;

	if (!strncmp(text, "unix:", 5)) {
		u.local = true;
		n = strlen(text + 5);
		if (!n || n >= sizeof(((struct sockaddr_un *)0)->sun_path))
			return vt_fail(e, -EINVAL,
				       "'%.80s': the path of a socket has 1 to %zu bytes", text,
				       sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		memcpy(u.where, text + 5, n + 1);
		*ret = u;
		return 0;
	}
	if (strncmp(text, "http://", 7) != 0)
		return vt_fail(e, -EINVAL, "'%.80s': say http://HOST:PORT or unix:PATH", text);
	at = text + 7;
	n = strlen(at);
	if (n && at[n - 1] == '/')
		n--;
	if (!n || n >= sizeof(u.where) || memchr(at, '/', n) || memchr(at, '@', n))
		return vt_fail(e, -EINVAL, "'%.80s': say http://HOST:PORT, nothing after the port",
			       text);
	memcpy(u.where, at, n);
	colon = strrchr(u.where, ':');
	if (colon && !strchr(colon, ']')) {
		if (vt_text_u64(colon + 1, &port) || !port || port > 65535 || colon == u.where)
			return vt_fail(e, -EINVAL, "'%.80s': '%.20s' is no port", text, colon + 1);
		snprintf(u.port, sizeof(u.port), "%u", (unsigned int)port);
		u.where[colon - u.where] = '\0';
	}
	if (u.where[0] == '[' && u.where[strlen(u.where) - 1] == ']') {
		u.where[strlen(u.where) - 1] = '\0';
		memmove(u.where, u.where + 1, strlen(u.where));
		if (!u.where[0])
			return vt_fail(e, -EINVAL, "'%.80s': no host between the brackets", text);
	}
	*ret = u;
	return 0;
}

/** Let @fd wait until @until and no longer; false if that has passed. */
static bool patience(int fd, uint64_t until_mono_ns)
{
	uint64_t now = vt_now_mono_ns(),
		 us = until_mono_ns > now ? (until_mono_ns - now) / 1000 : 0;
	struct timeval t = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};

	if (!us) /* 0 would be for ever */
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
	return true;
}

bool vt_http_reach(const struct sockaddr *to, socklen_t len)
{
	int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good = fd >= 0 && patience(fd, vt_now_mono_ns() + CALL_NS) && !connect(fd, to, len);

	if (fd >= 0)
		close(fd);
	return good;
}

int vt_http_resolve(const struct vt_http_url *u, struct sockaddr_storage *ret, socklen_t *len,
		    struct vt_err *e)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found, *at;
	int rc;

	if (u->local) {
		struct sockaddr_un *a = (struct sockaddr_un *)ret;

		*a = (struct sockaddr_un){.sun_family = AF_UNIX};
		memcpy(a->sun_path, u->where, strnlen(u->where, sizeof(a->sun_path) - 1));
		*len = sizeof(*a);
		return 0;
	}
	rc = getaddrinfo(u->where, u->port, &hints, &found);
	if (rc)
		return vt_fail(e, -EHOSTUNREACH, "%s: %s", u->where, gai_strerror(rc));
	/* "localhost" may be ::1 and 127.0.0.1, and the server listens on one of them. */
	for (at = found; at && found->ai_next && !vt_http_reach(at->ai_addr, at->ai_addrlen);
	     at = at->ai_next)
		;
	at = at ? at : found;
	memcpy(ret, at->ai_addr, at->ai_addrlen);
	*len = at->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

/* ---- one call ----------------------------------------------------------------------------- */

static int receive(int fd, const char *where, uint64_t until_mono_ns, char **body, size_t *body_len,
		   struct vt_err *e)
{
	size_t len = 0, cap = 65536;
	char *buf = malloc(cap + 1);
	struct vt_http_head h;
	long head = 0;

	for (;;) {
		ssize_t n;

		if (!buf)
			return vt_fail(e, -ENOMEM, "no memory");
		errno = EAGAIN; /* too late is what a wait that was too long says */
		n = patience(fd, until_mono_ns) ? recv(fd, buf + len, cap - len, 0) : -1;
		if (n <= 0) {
			free(buf);
			return vt_fail(e, -EIO, "%s: no answer: %s", where,
				       !n		 ? "the connection was closed"
				       : errno == EAGAIN ? "not complete in 10 s"
							 : strerror(errno));
		}
		len += (size_t)n;
		head = vt_http_head_parse(buf, len, &h);
		if (head < 0 || (head && h.body_bytes > CALL_MAX_BYTES) || len > CALL_MAX_BYTES) {
			free(buf);
			return vt_fail(e, -EPROTO, "%s does not answer as an HTTP server would",
				       where);
		}
		if (head && len >= (size_t)head + h.body_bytes)
			break;
		if (len == cap) {
			char *more = realloc(buf, 2 * cap + 1);

			if (!more)
				free(buf);
			buf = more;
			cap *= 2;
		}
	}
	memmove(buf, buf + head, h.body_bytes);
	buf[h.body_bytes] = '\0';
	*body = buf;
	*body_len = h.body_bytes;
	return (int)h.status;
}

int vt_http_call(const struct vt_http_url *u, const char *request, size_t len, char **body,
		 size_t *body_len, struct vt_err *e)
{
	const uint64_t until_mono_ns = vt_now_mono_ns() + CALL_NS;
	struct sockaddr_storage to;
	socklen_t to_len;
	int fd, rc = vt_http_resolve(u, &to, &to_len, e);

	if (rc)
		return rc;
	fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return vt_fail(e, -errno, "socket: %s", strerror(errno));
	patience(fd, until_mono_ns);
	if (connect(fd, (struct sockaddr *)&to,
		    to_len)) /* ENOENT of a socket's path: nobody, too */
		rc = vt_fail(e, -EIO, "cannot connect to %s%s%s: %s; is the server running?",
			     u->where, u->local ? "" : ":", u->local ? "" : u->port,
			     strerror(errno));
	for (size_t sent = 0; !rc && sent < len;) {
		ssize_t n = send(fd, request + sent, len - sent, MSG_NOSIGNAL);

		if (n <= 0)
			rc = vt_fail(e, -errno, "%s: %s", u->where, strerror(errno));
		else
			sent += (size_t)n;
	}
	if (!rc)
		rc = receive(fd, u->where, until_mono_ns, body, body_len, e);
	close(fd);
	return rc;
}
