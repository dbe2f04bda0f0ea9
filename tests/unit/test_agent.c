// SPDX-License-Identifier: Apache-2.0
/* The agent over real sockets: what it says, and to whom it does not listen. */
#include "harness.h"

#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/agent.h"

#define PATIENCE_MS 20000 /* how long a busy machine may take */

static struct vt_listener l;
static struct vt_agent *a;

static int call(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(l.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* All that comes until the end; closes. */
static void hear(int fd, char *ret, size_t size)
{
	size_t n = 0;

	for (;;) {
		struct pollfd p = {fd, POLLIN, 0};
		ssize_t got;

		assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
		got = recv(fd, ret + n, size - 1 - n, 0);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	ret[n] = '\0';
	close(fd);
}

static void says(const char *want)
{
	char text[128];

	hear(call(), text, sizeof(text));
	assert_string_equal(text, want);
}

static void states(void **state)
{
	static const struct {
		enum vt_agent_state state;
		uint32_t percent;
		const char *line;
	} table[] = {
		{VT_AGENT_LOADING, 0, "down #loading models\n"},
		{VT_AGENT_LOADING, 70, "down #loading models\n"},
		{VT_AGENT_READY, 100, "up ready 100%\n"},
		{VT_AGENT_READY, 5, "up ready 5%\n"},
		{VT_AGENT_DRAIN, 5, "drain\n"},
	};

	says("down #loading models\n"); /* before anything was said */
	for (size_t i = 0; i < VT_COUNT(table); i++) {
		vt_agent_say(a, table[i].state, table[i].percent);
		says(table[i].line);
	}
}

/* What is sent first, as with HAProxy's agent-send, changes nothing and loses nothing. */
static void garbage(void **state)
{
	static const char *const sent[] = {"\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
					   "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
					   "up 100%\ndrain\n"};
	static char much[1 << 16];
	char text[128];

	vt_agent_say(a, VT_AGENT_READY, 55);
	for (size_t i = 0; i < VT_COUNT(sent); i++) {
		int fd = call();

		assert_true(send(fd, sent[i], strlen(sent[i]), MSG_NOSIGNAL) > 0);
		hear(fd, text, sizeof(text));
		assert_string_equal(text, "up ready 55%\n");
	}
	for (int i = 0; i < 20; i++) { /* who sends on and on is cut off */
		int fd = call();

		while (send(fd, much, sizeof(much), MSG_NOSIGNAL) > 0)
			;
		close(fd);
	}
	says("up ready 55%\n");
}

/* Peers that never close: the oldest make room, and everybody gets the line. */
static void slow_peers(void **state)
{
	int fd[3 * VT_AGENT_CONNS];
	char text[128];

	vt_agent_say(a, VT_AGENT_READY, 40);
	for (size_t i = 0; i < VT_COUNT(fd); i++)
		fd[i] = call();
	says("up ready 40%\n");
	for (size_t i = 0; i < VT_COUNT(fd); i++) {
		hear(fd[i], text, sizeof(text));
		assert_string_equal(text, "up ready 40%\n");
	}
}

static void thousands(void **state)
{
	uint64_t before = vt_agent_taken(a);

	vt_agent_say(a, VT_AGENT_READY, 30);
	for (int i = 0; i < 3000; i++)
		close(call());
	says("up ready 30%\n");
	assert_true(vt_agent_taken(a) >= before + 3001);
}

/* One that takes its place begins with what it said last, not anew. */
static void goes_on(void **state)
{
	struct vt_config_listen where = {.host = (char *)"127.0.0.1"};
	struct vt_agent_said said;
	struct vt_listener next, old = l;
	struct vt_agent *b = NULL;
	struct vt_err e = {0};

	vt_agent_say(a, VT_AGENT_READY, 42);
	vt_agent_said(a, &said);
	assert_int_equal(vt_listener_open(&next, &where, 0, &e), 0);
	assert_int_equal(vt_agent_start(&b, &next, &said, &e), 0);
	l = next;
	says("up ready 42%\n");
	l = old;
	says("up ready 42%\n"); /* both, until the first is stopped */
	vt_agent_stop(b);
	vt_listener_close(&next);
}

static int setup(void **state)
{
	struct vt_config_listen where = {.host = (char *)"127.0.0.1"};
	struct vt_err e = {0};

	if (vt_listener_open(&l, &where, 0, &e))
		return -1;
	return vt_agent_start(&a, &l, NULL, &e);
}

static int teardown(void **state)
{
	vt_agent_stop(a);
	vt_listener_close(&l);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(states),     cmocka_unit_test(garbage),
		cmocka_unit_test(slow_peers), cmocka_unit_test(thousands),
		cmocka_unit_test(goes_on),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
