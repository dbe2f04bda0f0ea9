// SPDX-License-Identifier: Apache-2.0
/* test_listen.c - addresses: those in use, those left behind, those that are somebody's file. */
#include "harness.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
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

	/* Replaced before it listened: the path is the second's. */
	assert_int_equal(vt_listener_open(&a, &c.listen[2], 0600, NULL), 0);
	assert_int_equal(vt_listener_open(&b, &c.listen[2], 0600, NULL), 0);
	vt_listener_close(&a);
	assert_int_equal(access(path, F_OK), 0);
	vt_listener_close(&b);
	assert_int_not_equal(access(path, F_OK), 0);
	fclose(fopen(path, "w")); /* a file is nobody's socket: never removed */
	assert_int_equal(vt_listener_open(&b, &c.listen[2], 0600, NULL), -EADDRINUSE);
	assert_int_equal(unlink(path), 0);
	vt_config_fini(&c);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
