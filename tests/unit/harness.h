/* SPDX-License-Identifier: Apache-2.0 */
/* harness.h - cmocka plus a skip that says why. One binary per module, tests as tables. */
#ifndef VT_TESTS_HARNESS_H
#define VT_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define VT_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/** vt_skip - skip the running test and print the unmet need; scripts/tap.sh joins the two */
#define vt_skip(...)                                                                               \
	do {                                                                                       \
		printf("# SKIP %s: ", __func__);                                                   \
		printf(__VA_ARGS__);                                                               \
		putchar('\n');                                                                     \
		fflush(stdout);                                                                    \
		skip();                                                                            \
	} while (0)

#endif
