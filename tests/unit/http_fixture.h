/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_fixture.h - a server on a Unix socket, and a client that says and hears text. To be included once, by a test that
 * includes server/http.h and has `routes`, `count`, `quiet` and PATIENCE_MS before it.
 */
#ifndef VT_TESTS_HTTP_FIXTURE_H
#define VT_TESTS_HTTP_FIXTURE_H

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct server {
	struct vt_config c;
	struct vt_listener l;
	struct vt_http *h;
	char path[64];
};

static void start(struct server *s)
{
	struct vt_http_opts o = {.config = &s->c,
				 .listener = &s->l,
				 .n_listeners = 1,
				 .routes = routes,
				 .count = &count,
				 .log = &quiet};
	struct vt_err e = {0};
	char text[80];

	memset(&count, 0, sizeof(count));
	if (!s->c.model)
		assert_int_equal(vt_config_init(&s->c), 0);
	snprintf(s->path, sizeof(s->path), "/tmp/vt-test-http-%d.sock", getpid());
	snprintf(text, sizeof(text), "unix:%s", s->path);
	assert_int_equal(vt_config_add_listen(&s->c, text, 0, &e), 0);
	if (vt_listener_open(&s->l, &s->c.listen[0], 0600, &e) || vt_listener_start(&s->l, &e) ||
	    vt_http_start(&s->h, &o, &e))
		fail_msg("%s", e.msg);
}

static void stop(struct server *s)
{
	vt_http_quiesce(s->h);
	vt_http_stop(s->h);
	vt_listener_close(&s->l);
	assert_int_not_equal(access(s->path, F_OK), 0);
	vt_config_fini(&s->c);
	assert_int_equal(count.connections, 0);
	assert_int_equal(count.in_flight, 0);
	assert_int_equal(count.body_bytes, 0);
}

static int client(const struct server *s)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(a.sun_path, s->path, strlen(s->path) + 1);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void say(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return; /* closed on us: what was answered can still be read */
		text += n;
		len -= (size_t)n;
	}
}

/* All that comes until the server closes, or @until stands in it. */
static void hear(int fd, char *buf, size_t len, const char *until)
{
	size_t used = 0;

	buf[0] = '\0';
	while (used + 1 < len && !(until && strstr(buf, until))) {
		struct pollfd p = {fd, POLLIN, 0};
		ssize_t n;

		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return;
		n = recv(fd, buf + used, len - 1 - used, 0);
		if (n <= 0)
			return;
		used += (size_t)n;
		buf[used] = '\0';
	}
}

#define H "HTTP/1.1\r\nHost: x\r\n"
#define C "Connection: close\r\n"

#endif
