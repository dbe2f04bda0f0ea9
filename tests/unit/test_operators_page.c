// SPDX-License-Identifier: Apache-2.0
/* docs/operators.md, which is printed from the import table. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/graph.h"

/* docs/operators.md is what the table says now. */
static void test_operators_page_is_current(void **state)
{
	FILE *f = fopen("docs/operators.md", "r"), *out;
	char *want = NULL, *got;
	size_t want_len, got_len;

	if (!f)
		vt_skip("not run from the top of the tree");
	out = open_memstream(&want, &want_len);
	assert_non_null(out);
	vt_operators_markdown(out);
	fclose(out);
	got = calloc(1, want_len + 2);
	assert_non_null(got);
	got_len = fread(got, 1, want_len + 1, f);
	fclose(f);
	if (got_len != want_len || memcmp(got, want, want_len))
		fail_msg("docs/operators.md is not what the table says: run `make "
			 "docs/operators.md`");
	free(want);
	free(got);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operators_page_is_current),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
