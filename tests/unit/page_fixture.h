/* SPDX-License-Identifier: Apache-2.0 */
/* page_fixture.h - a page of docs/ that is printed from tables is what they say now. */
#ifndef VT_TESTS_PAGE_FIXTURE_H
#define VT_TESTS_PAGE_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static void page_is_current(const char *path, void (*print)(FILE *out))
{
	FILE *f = fopen(path, "r"), *out;
	char *want = NULL, *got;
	size_t want_len, got_len;

	if (!f)
		vt_skip("not run from the top of the tree");
	out = open_memstream(&want, &want_len);
	assert_non_null(out);
	print(out);
	fclose(out);
	got = calloc(1, want_len + 2);
	assert_non_null(got);
	got_len = fread(got, 1, want_len + 1, f);
	fclose(f);
	if (got_len != want_len || memcmp(got, want, want_len))
		fail_msg("%s is not what the tables say: run `make %s`", path, path);
	free(want);
	free(got);
}

#endif
