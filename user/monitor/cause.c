// SPDX-License-Identifier: Apache-2.0
#include "monitor/cause.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool lockdown_forbids(const char *sysfs)
{
	char path[320], text[96] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s/kernel/security/lockdown", sysfs);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(text, sizeof(text), f))
		text[0] = '\0';
	fclose(f);
	return strstr(text, "[confidentiality]");
}

static bool has_btf(const char *sysfs)
{
	char path[320];

	snprintf(path, sizeof(path), "%s/kernel/btf/vmlinux", sysfs);
	return !access(path, R_OK);
}

static bool too_old(const char *release)
{
	unsigned int major, minor;

	return sscanf(release, "%u.%u", &major, &minor) == 2 &&
	       (major < 6 || (major == 6 && minor < 1));
}

/* Most telling cause first: a kernel without BTF or in lockdown reports a plain EINVAL or EPERM. */
int vt_load_cause(const char *sysfs, const char *release, int err, const char *what,
		  const char *detail, struct vt_err *e)
{
	struct utsname u = {.release = ""};

	if (!release) {
		uname(&u);
		release = u.release;
	}
	if (lockdown_forbids(sysfs))
		return vt_fail(e, -ENOTSUP,
			       "kernel lockdown is 'confidentiality', which keeps BPF from reading "
			       "kernel memory; boot with lockdown=integrity");
	if (err == -EPERM || err == -EACCES)
		return vt_fail(e, err, "cannot %s: needs root, or CAP_BPF and CAP_PERFMON", what);
	if (!has_btf(sysfs))
		return vt_fail(
			e, -ENOTSUP,
			"the kernel offers no BTF at %s/kernel/btf/vmlinux; use a kernel built "
			"with CONFIG_DEBUG_INFO_BTF=y",
			sysfs);
	if (too_old(release))
		return vt_fail(e, -ENOTSUP,
			       "kernel %.60s is older than 6.1, the oldest the programs are tested "
			       "on; use "
			       "6.1 or newer (%.150s)",
			       release, detail);
	return vt_fail(e, err, "cannot %s: %s (%.200s)", what, strerror(-err), detail);
}
