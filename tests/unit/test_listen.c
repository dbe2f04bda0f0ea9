// SPDX-License-Identifier: Apache-2.0
/* test_listen.c - addresses: those in use, those left behind, those that are somebody's file. */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/config.h"
#include "server/listen.h"

static void test_listeners(void **state)
{
	struct vt_config c;
	struct vt_listener a, b;
	struct vt_err e = {0};
	char path[64], text[80];

	assert_int_equal(vt_config_init(&c), 0);
	assert_int_equal(vt_config_add_listen(&c, "127.0.0.1:0", 0, NULL), 0);
	assert_int_equal(vt_listener_open(&a, &c.listen[0], 0, &e), 0);
	assert_int_not_equal(a.port, 0);
	assert_int_equal(vt_listener_start(&a, &e), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", a.port);
	assert_int_equal(vt_config_add_listen(&c, text, 0, NULL), 0);
	assert_int_equal(vt_listener_open(&b, &c.listen[1], 0, &e), -EADDRINUSE);
	assert_non_null(strstr(e.msg, text));
	assert_non_null(strstr(e.msg, "another process has it"));
	vt_listener_close(&a);

	snprintf(path, sizeof(path), "/tmp/vt-test-listen-%d", getpid());
	snprintf(text, sizeof(text), "unix:%s", path);
	assert_int_equal(vt_config_add_listen(&c, text, 0, NULL), 0);
	assert_int_equal(vt_listener_open(&a, &c.listen[2], 0600, NULL), 0);
	assert_int_equal(vt_listener_start(&a, NULL), 0);
	assert_int_equal(vt_listener_open(&b, &c.listen[2], 0600, NULL), -EADDRINUSE);
	close(a.fd); /* as after kill -9: the path stays, nobody listens */
	a.fd = -1;
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(vt_listener_open(&b, &c.listen[2], 0600, NULL), 0);
	vt_listener_close(&b);
	assert_int_not_equal(access(path, F_OK), 0);

	/* One's path is removed before its socket is closed, so what is there later is another's. */
	assert_int_equal(vt_listener_open(&a, &c.listen[2], 0600, NULL), 0);
	assert_int_equal(vt_listener_start(&a, NULL), 0);
	vt_listener_unlink(&a);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(vt_listener_open(&b, &c.listen[2], 0600, NULL), 0);
	vt_listener_unlink(&a);
	vt_listener_close(&a);
	assert_int_equal(access(path, F_OK), 0);
	vt_listener_close(&b);
	assert_int_not_equal(access(path, F_OK), 0);

	/* It has the path before it listens: it may be loading its models. */
	assert_int_equal(vt_listener_open(&a, &c.listen[2], 0600, NULL), 0);
	assert_int_equal(vt_listener_open(&b, &c.listen[2], 0600, &e), -EADDRINUSE);
	assert_non_null(strstr(e.msg, "another process has it"));
	assert_false(vt_listener_left(&c.listen[2]));
	close(a.fd);
	a.fd = -1;
	assert_true(vt_listener_left(&c.listen[2]));
	assert_int_equal(vt_listener_open(&b, &c.listen[2], 0600, NULL), 0);
	vt_listener_close(&b);
	assert_int_not_equal(access(path, F_OK), 0);
	fclose(fopen(path, "w")); /* a file is nobody's socket: never removed */
	assert_int_equal(vt_listener_open(&b, &c.listen[2], 0600, NULL), -EADDRINUSE);
	assert_int_equal(unlink(path), 0);
	vt_config_fini(&c);
}

/* A port is one's before one listens, also where ended connections still have it. */
static void test_ports(void **state)
{
	struct vt_config c;
	struct vt_listener a, b;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int client, server;
	char text[32];

	assert_int_equal(vt_config_init(&c), 0);
	assert_int_equal(vt_config_add_listen(&c, "127.0.0.1:0", 0, NULL), 0);
	assert_int_equal(vt_listener_open(&a, &c.listen[0], 0, NULL), 0);
	snprintf(text, sizeof(text), "127.0.0.1:%u", a.port);
	to.sin_port = htons(a.port);
	assert_int_equal(vt_config_add_listen(&c, text, 0, NULL), 0);
	assert_int_equal(vt_listener_open(&b, &c.listen[1], 0, NULL), -EADDRINUSE);

	assert_int_equal(vt_listener_start(&a, NULL), 0);
	client = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof(to)), 0);
	while ((server = accept(a.fd, NULL, NULL)) < 0 && errno == EAGAIN)
		;
	vt_listener_close(&a); /* it drains: its connection is still there */
	assert_int_equal(vt_listener_open(&b, &c.listen[1], 0, NULL), 0);
	assert_int_equal(vt_listener_open(&a, &c.listen[1], 0, NULL), -EADDRINUSE);
	vt_listener_close(&b);
	close(server); /* the first to close keeps the port for a while */
	close(client);
	assert_int_equal(vt_listener_open(&b, &c.listen[1], 0, NULL), 0);
	assert_int_equal(vt_listener_open(&a, &c.listen[1], 0, NULL), -EADDRINUSE);
	assert_int_equal(vt_listener_start(&b, NULL), 0);
	vt_listener_close(&b);
	vt_config_fini(&c);
}

#define RACERS 8

/* All at one time find a path that was left: one of them has it in the end. */
static void test_race_for_what_was_left(void **state)
{
	struct vt_config c;
	char path[64], text[80];

	snprintf(path, sizeof(path), "/tmp/vt-test-race-%d", getpid());
	snprintf(text, sizeof(text), "unix:%s", path);
	assert_int_equal(vt_config_init(&c), 0);
	assert_int_equal(vt_config_add_listen(&c, text, 0, NULL), 0);
	for (int round = 0; round < 50; round++) {
		int go[2], won = 0;
		pid_t pid[RACERS];
		struct vt_listener l;
		struct stat st;

		assert_int_equal(vt_listener_open(&l, &c.listen[0], 0600, NULL), 0);
		close(l.fd);
		assert_int_equal(pipe(go), 0);
		for (int i = 0; i < RACERS; i++) {
			pid[i] = fork();
			if (pid[i])
				continue;
			close(go[1]);
			(void)!read(go[0], &(char){0}, 1);
			if (vt_listener_open(&l, &c.listen[0], 0600, NULL))
				_exit(1);
			usleep(20000);
			_exit(lstat(path, &st) || st.st_ino != l.ino ? 2 : 0);
		}
		close(go[0]);
		close(go[1]);
		for (int i = 0; i < RACERS; i++) {
			int status;

			assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 2);
			won += !WEXITSTATUS(status);
		}
		assert_int_equal(won, 1);
	}
	unlink(path);
	vt_config_fini(&c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_race_for_what_was_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
