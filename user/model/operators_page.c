// SPDX-License-Identifier: Apache-2.0
/* Prints docs/operators.md; run by the Makefile, no part of the library. */
#include <stdio.h>

#include "model/graph.h"

int main(void)
{
	vt_operators_markdown(stdout);
	return ferror(stdout) || fclose(stdout) ? 1 : 0;
}
