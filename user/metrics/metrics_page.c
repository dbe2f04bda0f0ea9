// SPDX-License-Identifier: Apache-2.0
/* Prints docs/metrics.md; run by the Makefile, no part of the library. */
#include <stdio.h>

#include "metrics/metrics.h"

int main(void)
{
	vt_metrics_page(stdout);
	return ferror(stdout) || fclose(stdout) ? 1 : 0;
}
