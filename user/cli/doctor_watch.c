// SPDX-License-Identifier: Apache-2.0
/* doctor_watch.c - what sees interference: counters, BPF, resctrl, and the right to use them. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

#include "base/cpuset.h"
#include "cli/doctor.h"
#include "events/sysfs_pmu.h"

/* ---- rights ------------------------------------------------------------------------------- */

static bool has_cap(const struct vt_doctor *d, cap_value_t cap)
{
	char text[32];

	return vt_doctor_field(d, "proc/self/status", "CapEff", text, sizeof(text)) &&
	       (strtoull(text, NULL, 16) >> cap & 1);
}

static void look_caps(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	/* The kernel takes SYS_ADMIN for the first two. SYS_RESOURCE and SYS_NICE are not needed. */
	static const cap_value_t wanted[] = {CAP_BPF, CAP_PERFMON};
	bool admin = has_cap(d, CAP_SYS_ADMIN);
	char have[128] = "", lack[128] = "";

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		char *to = has_cap(d, wanted[i]) || admin ? have : lack, *name;
		size_t at = strlen(to);

		name = cap_to_name(wanted[i]);
		snprintf(to + at, sizeof(have) - at, "%s%s", at ? ", " : "", name ? name : "?");
		cap_free(name);
	}
	if (admin)
		snprintf(have + strlen(have), sizeof(have) - strlen(have), ", cap_sys_admin");
	if (*lack)
		vt_found(f, VT_HEALTH_MISSING,
			 "run as root, or setcap cap_bpf,cap_perfmon+ep on the program: the "
			 "monitor needs both",
			 "no %s", lack);
	else if (!admin)
		vt_found(f, VT_HEALTH_LIMITED,
			 "run as root for resctrl and for pins in a directory of root's", "%s",
			 have);
	else
		vt_found(f, VT_HEALTH_OK, "", "%s", have);
}

static void look_paranoid(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char text[32];

	if (vt_doctor_read(d, "proc/sys/kernel/perf_event_paranoid", text, sizeof(text)) < 0)
		vt_found(f, VT_HEALTH_MISSING, "use a kernel with CONFIG_PERF_EVENTS=y",
			 "the kernel has no perf events");
	else if (has_cap(d, CAP_PERFMON) || has_cap(d, CAP_SYS_ADMIN))
		vt_found(f, VT_HEALTH_OK, "", "%s, which does not bind this process", text);
	else if (atoi(text) > 0)
		vt_found(
			f, VT_HEALTH_LIMITED,
			"run as root, or sysctl kernel.perf_event_paranoid=0: counting a whole CPU "
			"needs either",
			"%s", text);
	else
		vt_found(f, VT_HEALTH_OK, "", "%s", text);
}

/* ---- counters ----------------------------------------------------------------------------- */

static void look_pmu(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char sys[VT_SYSFS_PATH];
	const char *pmu;

	snprintf(sys, sizeof(sys), "%.500s/sys", d->root);
	pmu = vt_sysfs_core_pmu(sys);
	if (pmu) {
		vt_found(f, VT_HEALTH_OK, "", "the kernel shows PMU '%s'", pmu);
		return;
	}
	vt_found(f, VT_HEALTH_MISSING,
		 "on a VM, have the host expose a virtual PMU or use a bare-metal instance; until "
		 "then pressure is learnt from measured slowdown",
		 "no hardware counters: the kernel shows no core PMU");
}

static int first_online(const struct vt_doctor *d)
{
	struct vt_cpuset online;
	char text[VT_CPU_LIST];

	if (vt_doctor_read(d, "sys/devices/system/cpu/online", text, sizeof(text)) < 0 ||
	    vt_cpuset_parse(text, &online))
		return 0;
	return vt_cpuset_next(&online, 0);
}

/* Presence in a table proves nothing: the role is what `veltair monitor` could open now. */
static void look_role(const struct vt_doctor *d, int role, struct vt_finding *f)
{
	static const char no_counter[] = "see pmu; or name an event: veltair monitor --event";
	const struct vt_event_env env = {0};
	enum vt_cpu_family family = VT_CPU_UNKNOWN;
	struct vt_err e = {0};
	struct vt_event ev;
	int err;

	if (!vt_doctor_live(d)) {
		vt_found(f, VT_HEALTH_LIMITED, "run veltair doctor on that machine",
			 "only opening a counter tells what it counts");
		return;
	}
	vt_cpu_family_detect(&env, &family, NULL);
	err = vt_event_resolve(&env, family, (enum vt_role)role, NULL, first_online(d), &ev, &e);
	if (err == -EACCES || err == -EPERM)
		vt_found(f, VT_HEALTH_MISSING, "run as root, or with CAP_PERFMON",
			 "the kernel forbids counting");
	else if (err)
		vt_found(f, VT_HEALTH_MISSING, no_counter, "no event counts this here");
	else if (ev.cls == VT_CLASS_HW && ev.quality >= VT_QUALITY_APPROX)
		vt_found(f, VT_HEALTH_OK, "", "%s: %s (%s, %s)", vt_event_class_name(ev.cls),
			 ev.name, vt_event_source_name(ev.source),
			 vt_event_quality_name(ev.quality));
	else
		vt_found(f, VT_HEALTH_LIMITED,
			 ev.cls == VT_CLASS_HW ? "moves with what is meant, but is another quantity"
					       : no_counter,
			 "%s: %s (%s, %s)", vt_event_class_name(ev.cls), ev.name,
			 vt_event_source_name(ev.source), vt_event_quality_name(ev.quality));
}

/* ---- BPF ---------------------------------------------------------------------------------- */

static void look_kernel(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	unsigned int major, minor;
	char text[128];

	if (vt_doctor_read(d, "proc/sys/kernel/osrelease", text, sizeof(text)) < 0 ||
	    sscanf(text, "%u.%u", &major, &minor) != 2)
		vt_found(f, VT_HEALTH_LIMITED, "mount procfs at /proc", "release unknown");
	else if (major < 6 || (major == 6 && minor < 1))
		vt_found(f, VT_HEALTH_LIMITED,
			 "use 6.1 or newer, the oldest the BPF programs are tested on", "%s", text);
	else
		vt_found(f, VT_HEALTH_OK, "", "%s", text);
}

static void look_btf(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	if (vt_doctor_has(d, "sys/kernel/btf/vmlinux"))
		vt_found(f, VT_HEALTH_OK, "", "/sys/kernel/btf/vmlinux");
	else
		vt_found(f, VT_HEALTH_MISSING,
			 "use a kernel built with CONFIG_DEBUG_INFO_BTF=y; the monitor cannot load "
			 "without it",
			 "no /sys/kernel/btf/vmlinux");
}

static void look_bpffs(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char at[256];

	if (vt_doctor_mount(d, "bpf", at, sizeof(at)))
		vt_found(f, VT_HEALTH_OK, "", "mounted at %s", at);
	else
		vt_found(f, VT_HEALTH_MISSING, "mount -t bpf bpf /sys/fs/bpf",
			 "not mounted: maps cannot be pinned for bpftool to read");
}

static void look_cgroup2(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char at[256];

	if (vt_doctor_mount(d, "cgroup2", at, sizeof(at)))
		vt_found(f, VT_HEALTH_OK, "", "mounted at %s", at);
	else
		vt_found(f, VT_HEALTH_MISSING,
			 "boot with systemd.unified_cgroup_hierarchy=1, or mount -t cgroup2 none "
			 "DIR and use that tree; until then: veltair monitor --by process",
			 "not mounted: by cgroup, all is one tenant without a name");
}

static void look_unprivileged(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char text[32];

	if (vt_doctor_read(d, "proc/sys/kernel/unprivileged_bpf_disabled", text, sizeof(text)) < 0)
		vt_found(f, VT_HEALTH_MISSING, "use a kernel with CONFIG_BPF_SYSCALL=y",
			 "the kernel has no BPF system call");
	else if (!strcmp(text, "0"))
		vt_found(f, VT_HEALTH_LIMITED, "sysctl kernel.unprivileged_bpf_disabled=2",
			 "0: any user may load BPF programs, which veltair does not need");
	else
		vt_found(f, VT_HEALTH_OK, "", "%s: only with CAP_BPF", text);
}

static void look_lockdown(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char text[128];

	if (vt_doctor_read(d, "sys/kernel/security/lockdown", text, sizeof(text)) < 0)
		vt_found(f, VT_HEALTH_OK, "", "none that shows");
	else if (strstr(text, "[confidentiality]"))
		vt_found(f, VT_HEALTH_MISSING, "boot with lockdown=integrity",
			 "confidentiality: BPF may not read kernel memory");
	else
		vt_found(f, VT_HEALTH_OK, "", "%s",
			 strstr(text, "[integrity]") ? "integrity, which lets tracing BPF be"
						     : "none");
}

/* ---- resctrl ------------------------------------------------------------------------------ */

static bool knows_filesystem(const struct vt_doctor *d, const char *type)
{
	char text[4096];
	int n = vt_doctor_read(d, "proc/filesystems", text, sizeof(text));
	char *save = NULL;

	if (n < 0)
		return false;
	for (char *w = strtok_r(text, " \t\n", &save); w; w = strtok_r(NULL, " \t\n", &save))
		if (!strcmp(w, type))
			return true;
	return false;
}

static void look_resctrl(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char at[256], path[320], features[512];

	if (!knows_filesystem(d, "resctrl")) {
		vt_found(f, VT_HEALTH_MISSING,
			 "needs Intel RDT or AMD PQoS and CONFIG_X86_CPU_RESCTRL=y, rarely passed "
			 "to "
			 "a VM; bandwidth then comes from cache-miss counters, if any",
			 "the kernel offers none");
		return;
	}
	if (!vt_doctor_mount(d, "resctrl", at, sizeof(at))) {
		vt_found(f, VT_HEALTH_MISSING, "mount -t resctrl resctrl /sys/fs/resctrl",
			 "offered, not mounted");
		return;
	}
	snprintf(path, sizeof(path), "%s/info/L3_MON/mon_features", at + (*at == '/'));
	vt_doctor_read(d, path, features, sizeof(features));
	if (strstr(features, "mbm_total_bytes"))
		vt_found(f, VT_HEALTH_OK, "", "at %s, measures memory bandwidth%s", at,
			 strstr(features, "llc_occupancy") ? " and cache occupancy" : "");
	else
		vt_found(f, VT_HEALTH_LIMITED, "this CPU cannot measure bandwidth per tenant (MBM)",
			 "at %s, %s", at, *features ? "cache occupancy only" : "no L3 monitoring");
}

const struct vt_probe vt_doctor_watch[] = {
	{"kernel", look_kernel, 0},
	{"capabilities", look_caps, 0},
	{"perf-paranoid", look_paranoid, 0},
	{"pmu", look_pmu, 0},
	{"cycles", look_role, VT_ROLE_CYCLES},
	{"instructions", look_role, VT_ROLE_INSTRUCTIONS},
	{"llc-refs", look_role, VT_ROLE_LLC_REFS},
	{"llc-misses", look_role, VT_ROLE_LLC_MISSES},
	{"l2-misses", look_role, VT_ROLE_L2_MISSES},
	{"dram-fills", look_role, VT_ROLE_DRAM_FILLS},
	{"btf", look_btf, 0},
	{"bpffs", look_bpffs, 0},
	{"cgroup2", look_cgroup2, 0},
	{"unprivileged-bpf", look_unprivileged, 0},
	{"lockdown", look_lockdown, 0},
	{"resctrl", look_resctrl, 0},
	{0},
};
