// SPDX-License-Identifier: Apache-2.0
/* The HTTP layer over real sockets: routes, held requests, clients that leave. */
#include "harness.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/http.h"

#define PATIENCE_MS 20000 /* how long a busy machine may take to answer */

static struct vt_metrics_http count;
static const struct vt_log quiet = {"test", VT_LOG_ERROR, 2};
static _Atomic uint64_t left; /* id that gone() was called with */

/* ---- handlers ---------------------------------------------------------------------------------- */

static void echo(struct vt_http_req *r, void *arg)
{
	vt_http_reply(r, 200, "text/plain", r->body, r->body_len, NULL, NULL);
}

static void name(struct vt_http_req *r, void *arg)
{
	vt_http_json(r, 200,
		     json_pack("{s:s s:s}", "first", r->match.arg[0], "second", r->match.arg[1]));
}

static void refuse_head(struct vt_http_req *r, void *arg)
{
	vt_http_fail(r, 404, "never here");
}

static char first_part[16]; /* of the last body that came to refuse_no() */
static _Atomic bool begun;

static void refuse_no(struct vt_http_req *r, void *arg)
{
	snprintf(first_part, sizeof(first_part), "%.*s", (int)r->body_len, r->body);
	begun = true;
	if (r->body[0] == 'n')
		vt_http_retry(r, 3, "not now");
}

static void *answer_later(void *arg)
{
	struct vt_http_req *r = arg;

	usleep(20000);
	vt_http_reply(r, 200, "text/plain", "later", 5, NULL, NULL);
	vt_http_release(r);
	return NULL;
}

static void held(struct vt_http_req *r, void *arg)
{
	pthread_t t;

	vt_http_hold(r);
	pthread_create(&t, NULL, answer_later, r);
	pthread_detach(t);
}

static void at_once(struct vt_http_req *r, void *arg)
{
	vt_http_hold(r);
	vt_http_retry(r, 7, "held, then refused by the same thread");
	vt_http_release(r);
}

static struct vt_http_req *waiting; /* until its client leaves */

static void gone(void *arg, uint64_t id)
{
	left = id;
	vt_http_fail(waiting, 500, "nobody reads this");
	vt_http_release(waiting);
}

static void until_gone(struct vt_http_req *r, void *arg)
{
	waiting = r;
	vt_http_hold(r);
	vt_http_watch(r, gone, NULL, 42);
}

static _Atomic bool pausing, go_on;

static void pause_io(struct vt_http_req *r, void *arg)
{
	pausing = true;
	while (!go_on)
		usleep(100);
	vt_http_reply(r, 200, "text/plain", "on", 2, NULL, NULL);
}

static const struct vt_route routes[] = {
	{"POST", "/echo", echo, NULL, NULL, NULL, VT_ROUTE_BODY | VT_ROUTE_NEED_BODY},
	{"GET", "/name/{}/and/{}", name, NULL, NULL, NULL, 0},
	{"POST", "/refused", echo, refuse_head, NULL, NULL, VT_ROUTE_BODY},
	{"POST", "/begun", echo, NULL, refuse_no, NULL, VT_ROUTE_BODY},
	{"GET", "/held", held, NULL, NULL, NULL, 0},
	{"GET", "/at-once", at_once, NULL, NULL, NULL, 0},
	{"GET", "/until-gone", until_gone, NULL, NULL, NULL, 0},
	{"GET", "/pause", pause_io, NULL, NULL, NULL, 0},
	{0},
};

#include "http_fixture.h"

/* Is it one answer, with as long a body as it says, in JSON if it says so? That of a HEAD has none. */
static bool sound(const char *text, bool head)
{
	const char *blank, *len, *type;
	json_t *j;

	if (!strncmp(text, "HTTP/1.1 100 ", 13))
		text = strstr(text, "\r\n\r\n") + 4;
	blank = strstr(text, "\r\n\r\n");
	len = strstr(text, "\r\nContent-Length: ");
	type = strstr(text, "\r\nContent-Type: application/json\r\n");
	if (strncmp(text, "HTTP/1.1 ", 9) != 0 || !blank || !len || len > blank)
		return false;
	if (strtoul(len + 18, NULL, 10) != strlen(blank + 4))
		return head && !blank[4];
	if (!type || type > blank)
		return true;
	j = json_loads(blank + 4, 0, NULL);
	json_decref(j);
	return j;
}

/* Counted once, by the class of its status: that of the last answer in @text. */
static bool counted(const char *text, uint64_t *before)
{
	const char *at = text, *last = text;
	unsigned int class;

	while ((at = strstr(at, "HTTP/1.1 "))) {
		at += 9;
		last = at;
	}
	class = (unsigned int)(*last - '0');
	if (class > 5)
		return false;
	before[class]++;
	return !memcmp(before, count.requests, sizeof(count.requests));
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void test_answers(void **state)
{
	static const struct {
		const char *say;
		const char *status, *body, *field; /* parts of what comes back */
	} t[] = {
		{"GET /name/a%20b/and/c?q=%41 " H C "\r\n", " 200 ",
		 "{\"first\":\"a b\",\"second\":\"c\"}", "Content-Type: application/json"},
		{"GET /name/a/and/c/ " H C "\r\n", " 200 ", "\"a\"", ""},
		{"GET /name/a/and " H C "\r\n", " 404 ",
		 "{\"error\":\"there is nothing at /name/a/and\"}", ""},
		{"GET /name//and/c " H C "\r\n", " 404 ", "{\"error\"", ""},
		{"GET / " H C "\r\n", " 404 ", "{\"error\"", ""},
		{"DELETE /echo " H C "\r\n", " 405 ", "/echo takes POST", "Allow: POST"},
		{"POST /held " H C "\r\n", " 405 ", "takes GET", "Allow: GET, HEAD"},
		{"POST /echo " H C "\r\n", " 411 ", "a body is needed", ""},
		{"POST /echo " H C "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", " 411 ",
		 "a body is needed", ""},
		{"POST /echo " H C "Content-Length: 2\r\n\r\nhi", " 200 ", "\r\n\r\nhi", ""},
		{"POST /echo " H C
		 "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n",
		 " 200 ", "\r\n\r\nhi!", ""},
		{"POST /echo " H C "Content-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
		 " 100 Continue", "\r\n\r\nhi", ""},
		{"POST /echo " H C "Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\nhi", " 415 ",
		 "gzip is not taken", "Accept-Encoding: identity"},
		{"POST /echo " H C "Content-Length: 2000000\r\n\r\n", " 413 ", "takes up to 1024",
		 ""},
		{"POST /echo " H "Content-Length: 99999999999999\r\n\r\n", " 413 ",
		 "takes up to 1024", ""},
		{"POST /echo " H "Content-Length: 99999999999999999999999999\r\n\r\n", " 4",
		 "{\"error\":\"", ""},
		{"POST /echo " H "Content-Length: +5\r\n\r\nhello", " 400 ", "not sound HTTP/1.1",
		 ""},
		{"GET /held HTTP/1.1\r\n\r\n", " 400 ", "not sound HTTP/1.1", "Connection: close"},
		{"GET /held no HTTP\r\n\r\n", " 400 ", "not sound HTTP/1.1", "Date: "},
		{"POST /echo " H "Content-Length: -1\r\n\r\n", " 400 ", "{\"error\":\"", ""},
		{"POST /echo " H "Content-Length: two\r\n\r\n", " 400 ", "{\"error\":\"", ""},
		{"POST /echo " H "Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n", " 400 ",
		 "{\"error\":\"", ""},
		{"POST /echo " H "Transfer-Encoding: gzip\r\n\r\nhi", " 501 ",
		 "Transfer-Encoding: gzip is not taken", "Connection: close"},
		{"POST /echo " H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", " 501 ",
		 "gzip, chunked is not taken", "Connection: close"},
		{"POST /echo " H
		 "Transfer-Encoding: chunked\r\nTransfer-Encoding: br\r\n\r\n0\r\n\r\n",
		 " 501 ", "br is not taken", "Connection: close"},
		{"POST /nothing " H "Transfer-Encoding: \r\n\r\n", " 501 ", "is not taken",
		 "Connection: close"},
		{"GET /held " H "Transfer-Encoding: deflate\r\nContent-Length: 2\r\n\r\nhi",
		 " 501 ", "deflate is not taken", "Connection: close"},
		{"POST /refused " H "Content-Length: 5000000\r\n\r\n", " 404 ", "never here", ""},
		{"POST /refused " H C "Content-Length: 2\r\n\r\nhi", " 404 ", "never here", ""},
		{"POST /begun " H C "Content-Length: 3\r\n\r\nyes", " 200 ", "\r\n\r\nyes", ""},
		{"POST /begun " H C "Content-Length: 2\r\n\r\nno", " 503 ", "not now",
		 "Retry-After: 3"},
		{"POST /begun " H C
		 "Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n1\r\n!\r\n0\r\n\r\n",
		 " 503 ", "not now", "Retry-After: 3"},
		{"POST /begun " H C "\r\n", " 200 ", "\r\n\r\n", "Content-Length: 0"},
		{"GET /held " H C "\r\n", " 200 ", "\r\n\r\nlater", ""},
		{"HEAD /held " H C "\r\n", " 200 ", "\r\n\r\n", "Content-Length: 5"},
		{"GET /at-once " H C "\r\n", " 503 ", "by the same thread", "Retry-After: 7"},
	};
	struct server s = {0};
	uint64_t sum[VT_COUNT(count.requests)] = {0};
	char buf[4096];

	assert_int_equal(vt_config_init(&s.c), 0);
	s.c.max_body_bytes = 1024;
	start(&s);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		int fd = client(&s);

		say(fd, t[i].say, strlen(t[i].say));
		hear(fd, buf, sizeof(buf), NULL);
		if (!strstr(buf, t[i].status) || !strstr(buf, t[i].body) ||
		    !strstr(buf, t[i].field) || !sound(buf, !strncmp(t[i].say, "HEAD", 4)) ||
		    !counted(buf, sum))
			fail_msg("%s\nanswered\n%s", t[i].say, buf);
		close(fd);
	}
	stop(&s);
}

static void test_one_connection_many_requests(void **state)
{
	static const char pipelined[] =
		"GET /held " H "\r\n"
		"POST /echo " H "Content-Length: 3\r\n\r\none"
		"POST /echo " H "Content-Length: 2\r\nContent-Encoding: br\r\n\r\nxx"
		"GET /at-once " H "\r\n"
		"POST /echo " H C "Content-Length: 3\r\n\r\ntwo";
	static const char *const order[] = {"later", "one", " 415 ", " 503 ", "two"};
	struct server s = {0};
	char buf[4096];
	const char *at = buf;
	int fd;

	start(&s);
	fd = client(&s);
	say(fd, pipelined, strlen(pipelined));
	hear(fd, buf, sizeof(buf), NULL);
	for (size_t i = 0; i < VT_COUNT(order); i++) {
		at = strstr(at, order[i]);
		if (!at)
			fail_msg("no %s in order in\n%s", order[i], buf);
	}
	close(fd);
	stop(&s);
}

/* What is no HTTP behind what is: each has its answer, in order, and the connection ends. */
static void test_refused_behind_others(void **state)
{
	static const char text[] = "GET /held " H "\r\n"
				   "POST /echo " H "Content-Length: 3\r\n\r\none"
				   "GET /held HTTP/1.1\r\n\r\n"
				   "GET /held " H "\r\n";
	struct server s = {0};
	char buf[4096], *last;
	int fd;

	start(&s);
	fd = client(&s);
	say(fd, text, strlen(text));
	hear(fd, buf, sizeof(buf), NULL);
	last = strstr(buf, "\r\n\r\none");
	if (!strstr(buf, "later") || !last || !sound(last + 7, false) ||
	    !strstr(last, "HTTP/1.1 400 "))
		fail_msg("%s", buf);
	close(fd);
	stop(&s);
}

/* Refused with its first part: what was counted for it is free at once, the rest is dropped, the connection goes on. */
static void test_refused_as_it_begins(void **state)
{
	static const char head[] = "POST /begun " H "Content-Length: 600\r\n\r\nn",
			  next[] = "POST /begun " H C "Content-Length: 3\r\n\r\nyes";
	struct server s = {0};
	char buf[4096], rest[599];
	uint64_t all;
	int fd;

	start(&s);
	all = vt_http_room(s.h);
	fd = client(&s);
	memset(rest, 'o', sizeof(rest));
	begun = false;
	say(fd, head, strlen(head));
	for (int i = 0; i < PATIENCE_MS && (!begun || vt_http_room(s.h) != all); i++)
		usleep(1000);
	assert_string_equal(first_part, "n");
	assert_int_equal(vt_http_room(s.h), all);
	say(fd, rest, sizeof(rest));
	say(fd, next, strlen(next));
	hear(fd, buf, sizeof(buf), NULL);
	assert_non_null(strstr(buf, "not now"));
	assert_non_null(strstr(strstr(buf, "not now"), "\r\n\r\nyes"));
	close(fd);
	stop(&s);
}

/* As many at once as an event loop takes in one go, or twice as many, and nobody else: all are answered. */
static void test_many_at_once(void **state)
{
	static const char ask[] = "GET /name/a/and/b " H "\r\n", pause[] = "GET /pause " H "\r\n";
	static const int n[] = {127, 128, 129, 256};
	int fd[256];

	for (size_t k = 0; k < VT_COUNT(n); k++) {
		struct server s = {0};
		char buf[4096];
		int first;

		pausing = go_on = false;
		start(&s);
		first = client(&s);
		for (int i = 0; i < n[k]; i++) { /* known to the server, not only to the kernel */
			fd[i] = client(&s);
			say(fd[i], ask, strlen(ask));
			hear(fd[i], buf, sizeof(buf), "\"second\"");
		}
		say(first, pause, strlen(pause));
		while (!pausing)
			usleep(100);
		for (int i = 0; i < n[k]; i++)
			say(fd[i], ask, strlen(ask));
		go_on = true;
		for (int i = 0; i < n[k]; i++) {
			hear(fd[i], buf, sizeof(buf), "\"second\"");
			if (!strstr(buf, "\"second\""))
				fail_msg("of %d requests number %d has no answer", n[k], i);
			close(fd[i]);
		}
		close(first);
		stop(&s);
	}
}

/* Threads that share an address: each connection is one's. */
static void test_several_io_threads(void **state)
{
	static const char ask[] = "GET /held " H "\r\n";
	struct server s = {0};
	char buf[4096];
	int fd[64];

	assert_int_equal(vt_config_init(&s.c), 0);
	s.c.io_threads = 3;
	start(&s);
	for (size_t i = 0; i < VT_COUNT(fd); i++) {
		fd[i] = client(&s);
		say(fd[i], ask, strlen(ask));
	}
	for (size_t i = 0; i < VT_COUNT(fd); i++) {
		hear(fd[i], buf, sizeof(buf), "later");
		assert_non_null(strstr(buf, "later"));
	}
	assert_int_equal(count.connections, VT_COUNT(fd));
	for (size_t i = 0; i < VT_COUNT(fd); i++)
		close(fd[i]);
	stop(&s);
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Out of descriptors anywhere on the way: an error that says so, and what was open before is open still. */
static void test_a_start_that_fails(void **state)
{
	struct vt_err e = {0};
	struct rlimit was, few;
	struct vt_config c;
	int before, failed = 0, rc = -1;

	getrlimit(RLIMIT_NOFILE, &was);
	assert_int_equal(vt_config_init(&c), 0);
	c.io_threads = 2;
	assert_int_equal(vt_config_add_listen(&c, "127.0.0.1:0", 0, &e), 0);
	before = open_fds();
	for (int more = 1; rc && more < 40; more++) {
		struct vt_listener l;
		struct vt_http *h = NULL;
		struct vt_http_opts o = {&c, &l, 1, routes, &count, &quiet};

		assert_int_equal(vt_listener_open(&l, &c.listen[0], 0, &e), 0);
		assert_int_equal(vt_listener_start(&l, &e), 0);
		few = (struct rlimit){(rlim_t)(before + more), was.rlim_max};
		setrlimit(RLIMIT_NOFILE, &few);
		rc = vt_http_start(&h, &o, &e);
		setrlimit(RLIMIT_NOFILE, &was);
		failed += rc != 0;
		if (rc)
			assert_string_not_equal(e.msg, "");
		else
			vt_http_stop(h);
		vt_listener_close(&l);
		assert_int_equal(open_fds(), before);
	}
	assert_int_equal(rc, 0);
	assert_true(failed > 4);
	vt_config_fini(&c);
}

static void test_head_sends_no_body(void **state)
{
	static const char ask[] = "HEAD /held " H C "\r\n";
	struct server s = {0};
	char buf[512];
	int fd;

	start(&s);
	fd = client(&s);
	say(fd, ask, strlen(ask));
	hear(fd, buf, sizeof(buf), NULL);
	assert_non_null(strstr(buf, "Content-Length: 5"));
	assert_int_equal(count.bytes_out, 0);
	close(fd);
	stop(&s);
}

static void test_clients_that_leave(void **state)
{
	static const char get[] = "GET /until-gone " H "\r\n",
			  half[] = "POST /echo " H "Content-Le";
	struct server s = {0};
	int fd;

	start(&s);
	left = 0;
	waiting = NULL;
	fd = client(&s);
	say(fd, get, strlen(get));
	for (int i = 0; i < PATIENCE_MS && !__atomic_load_n(&waiting, __ATOMIC_SEQ_CST); i++)
		usleep(1000);
	close(fd);
	for (int i = 0; i < PATIENCE_MS && !left; i++) {
		struct pollfd p = {vt_http_tend_fd(s.h), POLLIN, 0};

		poll(&p, 1, 1);
		vt_http_tend(s.h, vt_now_mono_ns());
	}
	assert_int_equal(left, 42);
	fd = client(&s);
	say(fd, half, strlen(half));
	close(fd);
	stop(&s);
}

static void test_slow_clients_are_cut(void **state)
{
	static const char half[] = "POST /echo " H "Content-Length: 100\r\n\r\n12345";
	struct server s = {0};
	uint64_t ahead;
	char buf[512];
	int idle[70], fd; /* more than are found in one go */

	assert_int_equal(vt_config_init(&s.c), 0);
	start(&s);
	for (size_t i = 0; i < VT_COUNT(idle); i++)
		idle[i] = client(&s);
	fd = client(&s);
	say(fd, half, strlen(half));
	for (int i = 0; i < PATIENCE_MS && vt_http_busy(s.h) != 1; i++)
		usleep(1000);
	vt_http_tend(s.h, vt_now_mono_ns());
	for (int i = 0; i < PATIENCE_MS && count.connections != VT_COUNT(idle) + 1; i++)
		usleep(1000);
	assert_int_equal(count.connections, VT_COUNT(idle) + 1); /* none was cut */
	ahead = vt_now_mono_ns() + (s.c.transfer_ms + 5000) * VT_NS_PER_MS;
	vt_http_tend(s.h, ahead);
	hear(fd, buf, sizeof(buf), NULL); /* until it is closed */
	assert_int_equal(recv(fd, buf, 1, MSG_DONTWAIT), 0);
	vt_http_tend(s.h, vt_now_mono_ns() + (s.c.idle_ms + 5000) * VT_NS_PER_MS + VT_NS_PER_S);
	for (size_t i = 0; i < VT_COUNT(idle); i++) {
		hear(idle[i], buf, sizeof(buf), NULL);
		assert_int_equal(recv(idle[i], buf, 1, MSG_DONTWAIT), 0);
		close(idle[i]);
	}
	close(fd);
	stop(&s);
}

/* Connects, asks and leaves until nobody takes connections any more. */
static void *knock(void *arg)
{
	static const char ask[] = "GET /name/a/and/b HTTP/1.1\r\nHost: x\r\n\r\n";
	const struct server *s = arg;
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	char answer[512];

	memcpy(a.sun_path, s->path, strlen(s->path) + 1);
	for (bool there = true; there;) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);

		there = !connect(fd, (struct sockaddr *)&a, sizeof(a)) &&
			send(fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL) > 0 &&
			recv(fd, answer, sizeof(answer), 0) > 0;
		close(fd);
	}
	return NULL;
}

static void test_stops_while_clients_come(void **state)
{
	for (unsigned int i = 0; i < 100; i++) {
		struct server s = {0};
		pthread_t t;

		start(&s);
		assert_int_equal(pthread_create(&t, NULL, knock, &s), 0);
		usleep(200 + i * 37 % 1000);
		vt_http_quiesce(s.h);
		vt_http_quiesce(s.h); /* no harm */
		vt_http_stop(s.h);
		s.h = NULL;
		vt_listener_close(&s.l); /* its path is gone: nobody can knock again */
		pthread_join(t, NULL);
		vt_config_fini(&s.c);
		assert_int_equal(count.connections, 0);
		assert_int_equal(count.in_flight, 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_one_connection_many_requests),
		cmocka_unit_test(test_refused_behind_others),
		cmocka_unit_test(test_refused_as_it_begins),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_several_io_threads),
		cmocka_unit_test(test_a_start_that_fails),
		cmocka_unit_test(test_head_sends_no_body),
		cmocka_unit_test(test_clients_that_leave),
		cmocka_unit_test(test_slow_clients_are_cut),
		cmocka_unit_test(test_stops_while_clients_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
