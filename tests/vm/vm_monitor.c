// SPDX-License-Identifier: Apache-2.0
/* vm_monitor.c - attribution to tenants, with counts that are known beforehand. */
#include "vm.h"

const struct vm_test vm_monitor_tests[] = {
	{0},
};
