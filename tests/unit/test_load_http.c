// SPDX-License-Identifier: Apache-2.0
/* test_load_http.c - the load client: heads and addresses as tables, and against a server that does as told. */
#include "harness.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "load/http.h"
#include "load/tally.h"

static void heads(void **state)
{
	static const struct {
		const char *text;
		long ret; /* of parsing; 1: all of it */
		uint64_t status, bytes;
		bool close;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", 1, 200, 12, false},
		{"HTTP/1.1 200 OK\ncontent-length:12\n\n", 1, 200, 12, false},
		{"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length:\t0\r\n\r\n", 1, 503, 0,
		 false},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n", 1, 200, 1,
		 true},
		{"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", 1, 200, 1, true},
		{"HTTP/1.1 100 Continue\r\n\r\n", 1, 100, 0, false},
		{"HTTP/1.1 204 No Content\r\n\r\n", 1, 204, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n", 0, 0, 0, false},
		{"HTTP/1.1 2", 0, 0, 0, false},
		{"", 0, 0, 0, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", -ENOTSUP, 0, 0, false},
		{"HTTP/1.1 200 OK\r\n\r\n", -ENOTSUP, 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", -EBADMSG, 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", -EBADMSG, 0, 0, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", -EBADMSG, 0, 0,
		 false},
		{"HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\n", -EBADMSG, 0, 0, false},
		{"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", 1, 200, 1, false},
		{"HTTP/1.1 099 OK\r\nContent-Length: 1\r\n\r\n", -EBADMSG, 0, 0, false},
		{"HTTP/1.1 x00 OK\r\n\r\n", -EBADMSG, 0, 0, false},
		{"SSH-2.0-OpenSSH", -EBADMSG, 0, 0, false},
		{"\r\n\r\n", -EBADMSG, 0, 0, false},
	};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_http_head h = {0};
		size_t len = strlen(cases[i].text);
		long n = vt_http_head_parse(cases[i].text, len, &h);

		assert_int_equal(n, cases[i].ret == 1 ? (long)len : cases[i].ret);
		assert_int_equal(h.status, cases[i].status);
		assert_int_equal(h.body_bytes, cases[i].bytes);
		assert_int_equal(h.close, cases[i].close);
		/* A prefix is never more than incomplete, unless it is wrong already. */
		for (size_t k = 0; k < len && cases[i].ret == 1; k++)
			assert_int_equal(vt_http_head_parse(cases[i].text, k, &h), 0);
	}
}

static void addresses(void **state)
{
	static const struct {
		const char *text, *where, *port; /* where NULL: refused */
	} cases[] = {
		{"http://127.0.0.1:8080", "127.0.0.1", "8080"},
		{"http://host/", "host", "80"},
		{"http://[::1]:99", "::1", "99"},
		{"http://[::1]", "::1", "80"},
		{"unix:/run/x.sock", "/run/x.sock", ""},
		{"unix:", NULL, NULL},
		{"https://host", NULL, NULL},
		{"host:80", NULL, NULL},
		{"http://", NULL, NULL},
		{"http://host:0", NULL, NULL},
		{"http://host:65536", NULL, NULL},
		{"http://host:8x", NULL, NULL},
		{"http://:80", NULL, NULL},
		{"http://[]:80", NULL, NULL},
		{"http://host/v2", NULL, NULL},
		{"http://user@host", NULL, NULL},
	};
	char longer[300] = "unix:";

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct vt_http_url u;
		struct vt_err e = {0};
		int rc = vt_http_url_parse(cases[i].text, &u, &e);

		assert_int_equal(rc, cases[i].where ? 0 : -EINVAL);
		if (!cases[i].where)
			continue;
		assert_string_equal(u.where, cases[i].where);
		if (!u.local)
			assert_string_equal(u.port, cases[i].port);
	}
	memset(longer + 5, 'a', 200);
	assert_int_equal(vt_http_url_parse(longer, &(struct vt_http_url){0}, &(struct vt_err){0}),
			 -EINVAL);
}

/* ---- a server that does as told ------------------------------------------------------------- */

#define ANSWER(status, more, body) "HTTP/1.1 " status " X\r\n" more "Content-Length: " body

/** Answers each request of @request_bytes with the next of @answers; closes where one is NULL. */
struct server {
	struct sockaddr_un at;
	int listener;
	size_t request_bytes;
	const char *const *answers;
	size_t n_answers;
	_Atomic size_t served;
	pthread_t thread;
};

static bool read_all(int fd, size_t len)
{
	char sink[4096];

	while (len) {
		ssize_t n = recv(fd, sink, len < sizeof(sink) ? len : sizeof(sink), 0);

		if (n <= 0)
			return false;
		len -= (size_t)n;
	}
	return true;
}

static void *converse(void *arg)
{
	struct {
		struct server *s;
		int fd;
	} *c = arg;

	while (read_all(c->fd, c->s->request_bytes)) {
		const char *a = c->s->answers[c->s->served++ % c->s->n_answers];

		if (!a)
			break;
		/* In two pieces, as a network might. */
		send(c->fd, a, strlen(a) / 2, MSG_NOSIGNAL);
		send(c->fd, a + strlen(a) / 2, strlen(a) - strlen(a) / 2, MSG_NOSIGNAL);
		if (strstr(a, "Connection: close"))
			break;
	}
	close(c->fd);
	free(c);
	return NULL;
}

static void *serve(void *arg)
{
	struct server *s = arg;

	for (;;) {
		struct {
			struct server *s;
			int fd;
		} *c = malloc(sizeof(*c));
		pthread_t t;

		c->s = s;
		c->fd = accept(s->listener, NULL, NULL);
		if (c->fd < 0) {
			free(c);
			return NULL;
		}
		pthread_create(&t, NULL, converse, c);
		pthread_detach(t);
	}
}

static void start(struct server *s, struct vt_http_url *u)
{
	static int n;

	s->at.sun_family = AF_UNIX;
	snprintf(s->at.sun_path, sizeof(s->at.sun_path), "/tmp/vt_test_load_http.%d.%d", getpid(),
		 n++);
	s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&s->at, sizeof(s->at)), 0);
	assert_int_equal(listen(s->listener, 512), 0);
	pthread_create(&s->thread, NULL, serve, s);
	*u = (struct vt_http_url){.local = true};
	memcpy(u->where, s->at.sun_path, sizeof(s->at.sun_path));
}

static void stop(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	unlink(s->at.sun_path);
}

/* What became of the requests of @cfg, and the last trouble. */
static void drive(struct server *s, const struct vt_http_request *q, const struct vt_drive_cfg *cfg,
		  struct vt_tally *all, char trouble[200])
{
	static const uint64_t qos[] = {UINT64_MAX / 4, UINT64_MAX / 4};
	struct vt_target t;
	struct vt_http_url u;
	struct vt_http *h;
	struct vt_drive d;
	struct vt_err e = {0};

	start(s, &u);
	assert_int_equal(vt_http_open(&h, &u, q, 4, &e), 0);
	t = vt_http_target(h);
	assert_int_equal(vt_drive_run(&t, cfg, &d, &e), 0);
	vt_tally_add(all, &d, qos, UINT32_MAX);
	snprintf(trouble, 200, "%s", vt_http_trouble(h));
	free(d.shots);
	vt_http_close(h);
	stop(s);
}

static void answers_become_ends(void **state)
{
	static const char ok[] = ANSWER("200", "", "3\r\n\r\nabc");
	static const struct {
		const char *answers[4];
		size_t n;
		int done, refused, failed; /* of 40 shots, in order of answers */
		const char *trouble;
	} cases[] = {
		{{ok}, 1, 40, 0, 0, ""},
		{{ok, ANSWER("503", "", "0\r\n\r\n")}, 2, 20, 20, 0, ""},
		{{ok, ANSWER("504", "", "0\r\n\r\n")}, 2, 20, 0, 0, ""}, /* the others are late */
		{{ok, ANSWER("429", "", "0\r\n\r\n"), ANSWER("400", "", "2\r\n\r\n{}"), ok},
		 4,
		 20,
		 10,
		 10,
		 "the server answered with status 400"},
		{{ok, ANSWER("200", "Connection: close\r\n", "1\r\n\r\nx")}, 2, 40, 0, 0, ""},
		{{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"},
		 1,
		 40,
		 0,
		 0,
		 ""},
		{{ok, NULL}, 2, 20, 0, 20, "the server closed the connection"},
		{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
		 1,
		 0,
		 0,
		 40,
		 "an answer without Content-Length"},
		{{"hello there"}, 1, 0, 0, 40, "the answer is not HTTP/1.1"},
		{{ANSWER("200", "", "1\r\n\r\nxyz")},
		 1,
		 0,
		 0,
		 40,
		 "more bytes came than Content-Length says"},
	};
	static const double upto[] = {1, 2};
	static char big[300000];
	struct vt_http_request q[] = {{big, sizeof(big)}, {big, sizeof(big)}};

	for (size_t i = 0; i < VT_COUNT(cases); i++) {
		struct server s = {.request_bytes = sizeof(big),
				   .answers = cases[i].answers,
				   .n_answers = cases[i].n};
		struct vt_drive_cfg cfg = {
			.rate_hz = 400, .secs = 0.1, .upto = upto, .n_tenants = 2};
		struct vt_tally all = {0};
		char trouble[200];

		drive(&s, q, &cfg, &all, trouble);
		assert_int_equal(all.n, cases[i].done);
		assert_int_equal(all.refused, cases[i].refused);
		assert_int_equal(all.failed, cases[i].failed);
		assert_int_equal(all.in_time + all.late, 40 - cases[i].refused - cases[i].failed);
		if (strcmp(trouble, "Connection reset by peer") != 0)
			assert_string_equal(trouble, cases[i].trouble);
		vt_tally_fini(&all);
	}
}

/* Answered before its end by a server that then wants no more of it. */
static void an_answer_may_come_early(void **state)
{
	static const char *const answers[] = {ANSWER("503", "Connection: close\r\n", "0\r\n\r\n")};
	static char big[4 << 20];
	struct vt_http_request q = {big, sizeof(big)};
	struct server s = {.request_bytes = 1000, .answers = answers, .n_answers = 1};
	static const double upto[] = {1};
	struct vt_drive_cfg cfg = {.rate_hz = 100, .secs = 0.2, .upto = upto, .n_tenants = 1};
	struct vt_tally all = {0};
	char trouble[200];

	drive(&s, &q, &cfg, &all, trouble);
	assert_string_equal(trouble, "");
	assert_int_equal(all.refused, 20);
	vt_tally_fini(&all);
}

/* The server gives a connection up that was idle for long: its request goes to another, and does not fail. */
static void an_idle_connection_may_be_gone(void **state)
{
	static const char ok[] = ANSWER("200", "", "3\r\n\r\nabc");
	static const char *const answers[] = {ok, NULL, ok, NULL};
	struct vt_http_request q = {"GET\n", 4};
	struct server s = {.request_bytes = 4, .answers = answers, .n_answers = VT_COUNT(answers)};
	struct vt_target t;
	struct vt_http_url u;
	struct vt_http *h;
	struct vt_err e = {0};
	uint64_t ns;

	start(&s, &u);
	assert_int_equal(vt_http_open(&h, &u, &q, 1, &e), 0);
	t = vt_http_target(h);
	assert_int_equal(vt_drive_alone(&t, 0, 1, &ns, &e), 0);
	usleep(1100000);
	assert_int_equal(vt_drive_alone(&t, 0, 1, &ns, &e), 0);
	assert_int_equal(s.served, 3);
	assert_string_equal(vt_http_trouble(h), "");
	/* Not idle for long: this one was lost. */
	assert_int_not_equal(vt_drive_alone(&t, 0, 1, &ns, &e), 0);
	assert_int_equal(s.served, 4);
	assert_string_not_equal(vt_http_trouble(h), "");
	assert_int_equal(vt_http_check(h, &e), 0); /* it takes others */
	stop(&s);
	assert_int_equal(vt_http_check(h, &e), -EIO);
	vt_http_close(h);
}

static void no_descriptor_is_said(void **state)
{
	struct vt_http_request q = {"GET\n", 4};
	struct server s = {.request_bytes = 4};
	struct rlimit before, none;
	struct vt_target t;
	struct vt_http_url u;
	struct vt_http *h;
	struct vt_err e = {0};
	uint64_t ns;

	start(&s, &u);
	assert_int_equal(vt_http_open(&h, &u, &q, 1, &e), 0);
	t = vt_http_target(h);
	getrlimit(RLIMIT_NOFILE, &before);
	none = (struct rlimit){0, before.rlim_max};
	setrlimit(RLIMIT_NOFILE, &none);
	assert_int_equal(vt_drive_alone(&t, 0, 1, &ns, &e), -EIO);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_non_null(strstr(e.msg, strerror(EMFILE)));
	vt_http_close(h);
	stop(&s);
}

static void a_call_waits_for_its_answer(void **state)
{
	static const char *const answers[] = {ANSWER("404", "", "5\r\n\r\nhello")};
	struct server s = {.request_bytes = 4, .answers = answers, .n_answers = 1};
	struct vt_http_url u;
	struct vt_err e = {0};
	char *body;
	size_t len;

	start(&s, &u);
	assert_int_equal(vt_http_call(&u, "GET\n", 4, &body, &len, &e), 404);
	assert_int_equal(len, 5);
	assert_string_equal(body, "hello");
	free(body);
	stop(&s);
	assert_true(vt_http_call(&u, "GET\n", 4, &body, &len, &e) < 0);
	assert_non_null(strstr(e.msg, "is the server running?"));
}

/* ---- a name with two addresses ---------------------------------------------------------------- */

static struct sockaddr_in two[2];

/* In place of libc's: "two.test" is 127.0.0.1, then 127.0.0.2, at the port of the test. */
int getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		struct addrinfo **ret)
{
	static struct addrinfo a[2];

	assert_string_equal(host, "two.test");
	for (int i = 0; i < 2; i++)
		a[i] = (struct addrinfo){.ai_family = AF_INET,
					 .ai_socktype = SOCK_STREAM,
					 .ai_addrlen = sizeof(two[i]),
					 .ai_addr = (struct sockaddr *)&two[i],
					 .ai_next = i ? NULL : &a[1]};
	*ret = a;
	return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
}

static void each_address_of_a_name_is_tried(void **state)
{
	static const char *const answers[] = {ANSWER("200", "", "2\r\n\r\nhi")};

	for (int which = 0; which < 2; which++) {
		struct server s = {.request_bytes = 4, .answers = answers, .n_answers = 1};
		struct vt_http_url u = {.where = "two.test"};
		struct vt_http_request q = {"GET\n", 4};
		socklen_t len = sizeof(two[0]);
		struct vt_target t;
		struct vt_http *h;
		struct vt_err e = {0};
		uint64_t ns;
		char *body;
		size_t n;

		for (int i = 0; i < 2; i++)
			two[i] = (struct sockaddr_in){
				.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (unsigned int)i)};
		s.listener = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(bind(s.listener, (struct sockaddr *)&two[which], len), 0);
		assert_int_equal(listen(s.listener, 16), 0);
		getsockname(s.listener, (struct sockaddr *)&two[which], &len);
		two[!which].sin_port = two[which].sin_port;
		pthread_create(&s.thread, NULL, serve, &s);
		assert_int_equal(vt_http_call(&u, "GET\n", 4, &body, &n, &e), 200);
		free(body);
		assert_int_equal(vt_http_open(&h, &u, &q, 1, &e), 0);
		t = vt_http_target(h);
		assert_int_equal(vt_drive_alone(&t, 0, 1, &ns, &e), 0);
		vt_http_close(h);
		shutdown(s.listener, SHUT_RDWR);
		pthread_join(s.thread, NULL);
		close(s.listener);
		assert_true(vt_http_call(&u, "GET\n", 4, &body, &n, &e) < 0);
		assert_non_null(strstr(e.msg, "is the server running?"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads),
		cmocka_unit_test(addresses),
		cmocka_unit_test(answers_become_ends),
		cmocka_unit_test(an_answer_may_come_early),
		cmocka_unit_test(an_idle_connection_may_be_gone),
		cmocka_unit_test(no_descriptor_is_said),
		cmocka_unit_test(each_address_of_a_name_is_tried),
		cmocka_unit_test(a_call_waits_for_its_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
