// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/top.h"
#include "metrics/gather.h"
#include "metrics/page.h"
#include "monitor/priv.h"

#define DEFAULT_URL "http://127.0.0.1:8000"
#define MAX_ANSWER  ((size_t)8 << 20)
#define PATIENCE_S  3

struct vt_feed {
	char name[300];
	char host[256], port[8];    /* of an HTTP feed; host starts with '/' for a Unix socket */
	struct vt_monitor *monitor; /* of a local one */
	struct vt_gather *gather;
	bool owner; /* of the monitor: nobody else gives away the rows of the dead */
	uint64_t tended_ns;
};

/* ---- HTTP --------------------------------------------------------------------------------- */

static int parse_url(struct vt_feed *f, const char *url, struct vt_err *e)
{
	const char *colon;
	bool brackets; /* around an IPv6 address */
	size_t len;

	if (!strncmp(url, "unix:", 5) && url[5] == '/' &&
	    strlen(url + 5) < sizeof(((struct sockaddr_un *)0)->sun_path)) {
		snprintf(f->host, sizeof(f->host), "%s", url + 5);
		return 0;
	}
	if (strncmp(url, "http://", 7) != 0)
		return vt_fail(e, -EINVAL,
			       "--url '%.100s': say http://HOST:PORT, unix:/PATH or local", url);
	url += 7;
	colon = strrchr(url, ':');
	len = colon ? (size_t)(colon - url) : 0;
	brackets = len > 2 && url[0] == '[' && url[len - 1] == ']';
	if (!len || len >= sizeof(f->host) ||
	    strspn(colon + 1, "0123456789") != strcspn(colon + 1, "/") || strlen(colon + 1) > 6)
		return vt_fail(e, -EINVAL, "--url 'http://%.100s': say http://HOST:PORT", url);
	snprintf(f->host, sizeof(f->host), "%.*s", (int)len - 2 * brackets, url + brackets);
	snprintf(f->port, sizeof(f->port), "%.*s", (int)strcspn(colon + 1, "/"), colon + 1);
	return 0;
}

/* The time for sending is that for connecting too: a machine that is gone does not even refuse. */
static int connect_to(int family, int protocol, const struct sockaddr *to, socklen_t len)
{
	const struct timeval limit = {.tv_sec = PATIENCE_S};
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol), err;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (!connect(fd, to, len))
		return fd;
	err = errno;
	close(fd);
	/* Time is up: as TCP says it, and as Unix sockets do. */
	return err == EINPROGRESS || err == EAGAIN ? -ETIMEDOUT : -err;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", path);
	return connect_to(AF_UNIX, 0, (struct sockaddr *)&a, sizeof(a));
}

static int connect_tcp(const char *host, const char *port)
{
	struct addrinfo hint = {.ai_socktype = SOCK_STREAM}, *all, *a;
	int fd = -ECONNREFUSED;

	if (getaddrinfo(host, port, &hint, &all))
		return -EHOSTUNREACH;
	for (a = all; a && fd < 0; a = a->ai_next)
		fd = connect_to(a->ai_family, a->ai_protocol, a->ai_addr, a->ai_addrlen);
	freeaddrinfo(all);
	return fd;
}

/* The whole answer, head included, NUL added. */
static int exchange(struct vt_feed *f, char **ret, size_t *len)
{
	static const char ask[] = "GET " VT_PAGE_STATE " HTTP/1.0\r\nHost: veltair\r\n\r\n";
	size_t room = 65536, n = 0;
	int fd = f->host[0] == '/' ? connect_unix(f->host) : connect_tcp(f->host, f->port), err = 0;
	char *buf = malloc(room);
	ssize_t got = -1;

	if (fd < 0 || !buf) {
		free(buf);
		if (fd >= 0)
			close(fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	if (send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) != sizeof(ask) - 1)
		err = -errno;
	while (!err && (got = recv(fd, buf + n, room - n - 1, 0)) > 0) {
		n += (size_t)got;
		if (n + 1 < room)
			continue;
		if (room >= MAX_ANSWER) {
			err = -EFBIG;
			break;
		}
		room *= 2;
		*ret = realloc(buf, room);
		if (*ret)
			buf = *ret;
		else
			err = -ENOMEM;
	}
	if (!err && got < 0)
		err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	close(fd);
	if (err) {
		free(buf);
		return err;
	}
	buf[n] = '\0';
	*ret = buf;
	*len = n;
	return 0;
}

static int get_http(struct vt_feed *f, json_t **ret, struct vt_err *e)
{
	json_error_t why;
	char *buf = NULL, *body;
	size_t len = 0;
	unsigned int status = 0;
	int err = exchange(f, &buf, &len);

	if (err)
		return vt_fail(e, err, "%s: %s; is `veltair serve` running there?", f->name,
			       strerror(-err));
	body = strstr(buf, "\r\n\r\n");
	if (sscanf(buf, "HTTP/1.%*1u %u", &status) != 1 || !body || status != 200) {
		free(buf);
		return vt_fail(e, -EPROTO,
			       "%s: answers with status %u, not with a state of veltair", f->name,
			       status);
	}
	body += 4;
	*ret = json_loadb(body, len - (size_t)(body - buf), 0, &why);
	free(buf);
	return *ret ? 0 : vt_fail(e, -EPROTO, "%s: the answer is no JSON: %s", f->name, why.text);
}

/* ---- local -------------------------------------------------------------------------------- */

static int open_local(struct vt_feed *f, struct vt_err *e)
{
	struct vt_gather_opts o = {0};
	int err = vt_monitor_attach(VT_MONITOR_PIN_DIR, &f->monitor, NULL);

	if (err) {
		struct vt_monitor_opts mo = {.group = VT_BY_PROCESS};

		f->owner = true;
		err = vt_monitor_open(&mo, &f->monitor, e);
	}
	if (err)
		return err;
	o.monitor = f->monitor;
	snprintf(f->name, sizeof(f->name), "this machine, no runtime");
	err = vt_gather_new(&f->gather, &o, e);
	return err ? err : vt_priv_drop(e);
}

static int get_local(struct vt_feed *f, json_t **ret, struct vt_err *e)
{
	char *buf;
	size_t len;
	int err;

	vt_feed_tend(f);
	err = vt_gather_json(f->gather, &buf, &len);
	if (err && vt_monitor_alive(f->monitor, e))
		return e->code;
	if (err)
		return vt_fail(e, err, "cannot read the counters: %s", strerror(-err));
	*ret = json_loadb(buf, len, 0, NULL);
	free(buf);
	return *ret ? 0 : vt_fail(e, -ENOMEM, "out of memory");
}

/* ---- either ------------------------------------------------------------------------------- */

int vt_feed_open(struct vt_feed **ret, const char *url, struct vt_err *e)
{
	struct vt_feed *f = calloc(1, sizeof(*f));
	json_t *state = NULL;
	int err = 0;

	if (!f)
		return vt_fail(e, -ENOMEM, "out of memory");
	snprintf(f->name, sizeof(f->name), "%.250s", url ? url : DEFAULT_URL);
	if (!url || strcmp(url, "local") != 0)
		err = parse_url(f, url ? url : DEFAULT_URL, e);
	if (!err && !url && get_http(f, &state, NULL))
		err = open_local(f, e);
	if (!err && url && !strcmp(url, "local"))
		err = open_local(f, e);
	json_decref(state);
	if (err) {
		vt_feed_close(f);
		return err;
	}
	*ret = f;
	return 0;
}

void vt_feed_close(struct vt_feed *f)
{
	if (!f)
		return;
	vt_gather_free(f->gather);
	vt_monitor_close(f->monitor);
	free(f);
}

/* A CPU whose events cannot be opened counts as time only and is tried again: no reason to show nothing. */
void vt_feed_tend(struct vt_feed *f)
{
	const uint64_t now = vt_now_mono_ns();

	if (!f->owner || now - f->tended_ns < VT_NS_PER_S)
		return;
	f->tended_ns = now;
	vt_gather_tend(f->gather, NULL);
}

int vt_feed_get(struct vt_feed *f, json_t **ret, struct vt_err *e)
{
	return f->gather ? get_local(f, ret, e) : get_http(f, ret, e);
}

const char *vt_feed_name(const struct vt_feed *f)
{
	return f->name;
}
