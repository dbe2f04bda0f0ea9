// SPDX-License-Identifier: Apache-2.0
/* vm_world.c - a kernel that refuses: the monitor must say why, in one line. The guest's init has put
 * it into lockdown=confidentiality before; there is no scripted PMU. */
#include "vm.h"

#include <errno.h>
#include <string.h>

#include "monitor/monitor.h"

static bool locked_down(void)
{
	char text[96] = "";
	FILE *f = fopen("/sys/kernel/security/lockdown", "re");

	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strstr(text, "[confidentiality]");
}

static void confidentiality_is_named(void)
{
	struct vt_monitor_opts o = {.group = VT_BY_PROCESS, .no_events = true};
	struct vt_monitor *m = NULL;
	struct vt_err e = {0};
	int err;

	if (!locked_down())
		vm_skip("this kernel has no lockdown to switch on");
	err = vt_monitor_open(&o, &m, &e);
	CHECK(err == -ENOTSUP, "%d, '%s'", err, e.msg);
	CHECK(strstr(e.msg, "confidentiality") && strstr(e.msg, "lockdown=integrity") &&
		      !strchr(e.msg, '\n'),
	      "'%s'", e.msg);
	CHECK(!m, "an instance in spite of the error");
}

const struct vm_test vm_world_tests[] = {
	{"lockdown_confidentiality_is_named", confidentiality_is_named, false},
	{0},
};
