// SPDX-License-Identifier: Apache-2.0
/* docs/operators.md, which is printed from the import table. */
#include "harness.h"
#include "model/graph.h"
#include "page_fixture.h"

static void test_operators_page_is_current(void **state)
{
	page_is_current("docs/operators.md", vt_operators_markdown);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operators_page_is_current),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
