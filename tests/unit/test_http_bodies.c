// SPDX-License-Identifier: Apache-2.0
/* Bodies over real sockets: how large they may be, and what is held of those that have not all come. */
#include "harness.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/http.h"

#define PATIENCE_MS 20000 /* how long a busy machine may take to answer */

static struct vt_metrics_http count;
static const struct vt_log quiet = {"test", VT_LOG_ERROR, 2};

static void echo(struct vt_http_req *r, void *arg)
{
	vt_http_reply(r, 200, "text/plain", r->body, r->body_len, NULL, NULL);
}

static void ten_at_most(struct vt_http_req *r, void *arg)
{
	vt_http_limit(r, 10);
}

static _Atomic unsigned int shorts;

static void count_short(struct vt_http_req *r, void *arg)
{
	shorts++;
}

static void tell_of_short(struct vt_http_req *r, void *arg)
{
	vt_http_on_short(r, count_short, NULL);
}

static const struct vt_route routes[] = {
	{"POST", "/echo", echo, tell_of_short, NULL, NULL, VT_ROUTE_BODY | VT_ROUTE_NEED_BODY},
	{"POST", "/small", echo, NULL, NULL, NULL, VT_ROUTE_BODY | VT_ROUTE_SMALL},
	{"POST", "/ten", echo, ten_at_most, NULL, NULL, VT_ROUTE_BODY},
	{0},
};

#include "http_fixture.h"

/* Until @taken bytes are counted as held. */
static void until_held(const struct server *s, uint64_t taken)
{
	for (int i = 0; i < PATIENCE_MS && vt_http_room(s->h) != s->c.max_memory_bytes - taken; i++)
		usleep(1000);
	assert_int_equal(s->c.max_memory_bytes - vt_http_room(s->h), taken);
}

static void until_busy(const struct server *s, uint32_t n)
{
	for (int i = 0; i < PATIENCE_MS && vt_http_busy(s->h) != n; i++)
		usleep(1000);
	assert_int_equal(vt_http_busy(s->h), n);
}

static void test_memory_of_bodies_is_bounded(void **state)
{
	static const char big[] = "POST /echo " H "Content-Length: 600\r\n\r\n";
	static const char last[] = "POST /echo " H C "Content-Length: 600\r\n\r\n";
	static const char chunk[] = "POST /echo " H C "Transfer-Encoding: chunked\r\n\r\n258\r\n";
	struct server s = {0};
	char buf[4096], body[600];
	int a, b;

	assert_int_equal(vt_config_init(&s.c), 0);
	s.c.max_memory_bytes = 1000;
	shorts = 0;
	start(&s);
	memset(body, 'x', sizeof(body));
	a = client(&s);
	say(a, big, strlen(big));
	until_busy(&s, 1);
	until_held(&s, 0); /* a promise holds nothing */
	say(a, body, 1);
	until_held(&s, 600);
	b = client(&s); /* a second does not fit */
	say(b, chunk, strlen(chunk));
	say(b, body, sizeof(body));
	say(b, "\r\n0\r\n\r\n", 7);
	hear(b, buf, sizeof(buf), NULL);
	assert_non_null(strstr(buf, " 503 "));
	assert_non_null(strstr(buf, "Retry-After: 1"));
	close(b);
	b = client(&s); /* nor one that says how long it is */
	say(b, last, strlen(last));
	say(b, body, sizeof(body));
	hear(b, buf, sizeof(buf), NULL);
	assert_non_null(strstr(buf, " 503 "));
	assert_int_equal(shorts, 2); /* its handler was told of each, once */
	close(b);
	say(a, body, sizeof(body) - 1); /* the first is served all the same */
	hear(a, buf, sizeof(buf), "xxx");
	assert_non_null(strstr(buf, " 200 "));
	close(a);
	stop(&s);
}

#define FULL   (1u << 20)
#define STEP   (1u << 18)
#define HALVES 4

/* Clients that announce much and send little hold what they have sent, rounded up; who finds no room on the way is told so. */
static void test_half_bodies_hold_what_has_come(void **state)
{
	static const char head[] = "POST /echo " H C "Content-Length: 1048576\r\n\r\n";
	struct server s = {0};
	char *body = malloc(FULL), *buf = malloc(FULL + 4096);
	int fd[HALVES], more;

	memset(body, 'x', FULL);
	assert_int_equal(vt_config_init(&s.c), 0);
	s.c.max_memory_bytes = 2 * FULL;
	start(&s);
	for (uint64_t i = 0; i < HALVES; i++) {
		fd[i] = client(&s);
		say(fd[i], head, strlen(head));
		until_busy(&s, (uint32_t)i + 1);
		until_held(&s, i * STEP);
		say(fd[i], body, 1);
		until_held(&s, (i + 1) * STEP);
	}
	say(fd[0], body, STEP);
	until_held(&s, 5 * STEP);
	say(fd[1], body, FULL - 1); /* that fills all there is */
	hear(fd[1], buf, FULL + 4096, NULL);
	assert_non_null(strstr(buf, " 200 "));
	until_held(&s, 4 * STEP);
	say(fd[0], body, STEP);
	until_held(&s, 6 * STEP);
	more = client(&s); /* announces more than there is room for: not kept, not for a moment */
	say(more, head, strlen(head));
	say(more, body, FULL);
	hear(more, buf, FULL + 4096, NULL);
	assert_non_null(strstr(buf, " 503 "));
	close(more);
	say(fd[2], body, 2 * STEP - 1);
	until_held(&s, 7 * STEP);
	say(fd[2], body, 1); /* no room to grow: gives back what it had */
	until_held(&s, 5 * STEP);
	say(fd[2], body, FULL - 2 * STEP - 1);
	hear(fd[2], buf, FULL + 4096, NULL);
	assert_non_null(strstr(buf, " 503 "));
	for (int i = 0; i < HALVES; i++)
		close(fd[i]);
	stop(&s);
	free(body);
	free(buf);
}

#define LARGE (8u << 20) /* far more than a socket holds */

static void until_connections(uint64_t n)
{
	for (int i = 0; i < PATIENCE_MS && count.connections != n; i++)
		usleep(1000);
	assert_int_equal(count.connections, n);
}

/* All that is still there, until the other side has closed. */
static size_t drain(int fd, char *buf, size_t len)
{
	struct pollfd p = {fd, POLLIN, 0};
	size_t sum = 0;
	ssize_t n;

	do {
		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		n = recv(fd, buf, len, 0);
		sum += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	return sum;
}

/* Who does not read its answer holds up nobody else, and is cut when its time is over. */
static void test_an_answer_left_unread(void **state)
{
	static const char head[] = "POST /echo " H "Content-Length: 8388608\r\n\r\n";
	static const char small[] = "POST /echo " H C "Content-Length: 3\r\n\r\nabc";
	char *body = malloc(LARGE), buf[4096];
	struct pollfd p = {.events = POLLIN};
	struct server s = {0};

	assert_non_null(body);
	memset(body, 'x', LARGE);
	assert_int_equal(vt_config_init(&s.c), 0);
	s.c.max_body_bytes = LARGE;
	start(&s);
	p.fd = client(&s);
	say(p.fd, head, strlen(head));
	say(p.fd, body, LARGE);
	assert_int_equal(poll(&p, 1, PATIENCE_MS), 1); /* the answer has begun */
	until_held(&s, LARGE);
	for (int i = 0; i < 16; i++) {
		int other = client(&s);

		say(other, small, strlen(small));
		hear(other, buf, sizeof(buf), NULL);
		assert_non_null(strstr(buf, " 200 "));
		assert_non_null(strstr(buf, "\r\n\r\nabc"));
		close(other);
	}
	until_connections(1);
	vt_http_tend(s.h, vt_now_mono_ns());
	until_held(&s, LARGE); /* it has time yet */
	assert_int_equal(vt_http_busy(s.h), 1);
	vt_http_tend(s.h, vt_now_mono_ns() + (s.c.transfer_ms + 5000) * VT_NS_PER_MS);
	until_connections(0);
	until_held(&s, 0);
	assert_in_range(drain(p.fd, body, LARGE), 1, LARGE / 2); /* what the socket held */
	close(p.fd);
	stop(&s);
	free(body);
}

/* What a body may be, and what is taken for it: never more than that, also where its length is not told. */
static void test_limits_of_bodies(void **state)
{
	static const struct {
		const char *path;
		bool chunked;
		size_t len;
		const char *status;
	} t[] = {
		{"/small", false, VT_ROUTE_SMALL_BYTES, " 200 "},
		{"/small", false, VT_ROUTE_SMALL_BYTES + 1, " 413 "},
		{"/small", true, VT_ROUTE_SMALL_BYTES, " 200 "},
		{"/small", true, VT_ROUTE_SMALL_BYTES + 1, " 413 "},
		{"/echo", true, 80000, " 200 "}, /* twice the first room would be past max_memory */
		{"/echo", true, 80001, " 413 "},
		{"/ten", false, 10, " 200 "},
		{"/ten", false, 11, " 413 "},
		{"/ten", true, 10, " 200 "},
		{"/ten", true, 11, " 413 "},
	};
	struct server s = {0};
	char *body = malloc(80001), *buf = malloc(100000), head[128];

	memset(body, 'x', 80001);
	assert_int_equal(vt_config_init(&s.c), 0);
	s.c.max_body_bytes = s.c.max_memory_bytes = 80000;
	start(&s);
	for (size_t i = 0; i < VT_COUNT(t); i++) {
		int fd = client(&s);

		snprintf(head, sizeof(head),
			 t[i].chunked ? "POST %s " H C "Transfer-Encoding: chunked\r\n\r\n%zx\r\n"
				      : "POST %s " H C "Content-Length: %zu\r\n\r\n",
			 t[i].path, t[i].len);
		say(fd, head, strlen(head));
		say(fd, body, t[i].len);
		if (t[i].chunked)
			say(fd, "\r\n0\r\n\r\n", 7);
		hear(fd, buf, 100000, NULL);
		if (!strstr(buf, t[i].status))
			fail_msg("%s, %zu bytes: %.200s", t[i].path, t[i].len, buf);
		close(fd);
	}
	stop(&s);
	free(body);
	free(buf);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory_of_bodies_is_bounded),
		cmocka_unit_test(test_half_bodies_hold_what_has_come),
		cmocka_unit_test(test_an_answer_left_unread),
		cmocka_unit_test(test_limits_of_bodies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
