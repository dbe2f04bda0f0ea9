// SPDX-License-Identifier: Apache-2.0
/* family.c - which row of codes.c this machine is, from /proc/cpuinfo; and the names of the enums. */
#include "events/events.h"
#include "events/sysfs_pmu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const role_names[VT_ROLE_COUNT] = {
	[VT_ROLE_CYCLES] = "cycles",	   [VT_ROLE_INSTRUCTIONS] = "instructions",
	[VT_ROLE_LLC_REFS] = "llc_refs",   [VT_ROLE_LLC_MISSES] = "llc_misses",
	[VT_ROLE_L2_MISSES] = "l2_misses", [VT_ROLE_DRAM_FILLS] = "dram_fills",
};

static const char *const family_names[VT_CPU_COUNT] = {
	[VT_CPU_UNKNOWN] = "unknown",
	[VT_CPU_SKX] = "skx",
	[VT_CPU_CLX] = "clx",
	[VT_CPU_ICX] = "icx",
	[VT_CPU_SPR] = "spr",
	[VT_CPU_ZEN1] = "zen1",
	[VT_CPU_ZEN2] = "zen2",
	[VT_CPU_ZEN3] = "zen3",
	[VT_CPU_ZEN4] = "zen4",
	[VT_CPU_ZEN5] = "zen5",
	[VT_CPU_NEOVERSE_N1] = "neoverse-n1",
	[VT_CPU_NEOVERSE_V1] = "neoverse-v1",
};

static const char *const class_names[] = {"n/a", "hw", "sw"};
static const char *const quality_names[] = {"none", "proxy", "approx", "exact", "user"};
static const char *const source_names[] = {"none", "libpfm4", "raw",	 "sysfs",
					   "perf", "tsc",     "software"};

#define NAME_OF(table, i) ((size_t)(i) < sizeof(table) / sizeof((table)[0]) ? (table)[i] : "?")

const char *vt_role_name(enum vt_role role)
{
	return NAME_OF(role_names, role);
}

const char *vt_cpu_family_name(enum vt_cpu_family family)
{
	return NAME_OF(family_names, family);
}

const char *vt_event_class_name(enum vt_event_class cls)
{
	return NAME_OF(class_names, cls);
}

const char *vt_event_quality_name(enum vt_event_quality q)
{
	return NAME_OF(quality_names, q);
}

const char *vt_event_source_name(enum vt_event_source s)
{
	return NAME_OF(source_names, s);
}

int vt_role_parse(const char *name, enum vt_role *ret, struct vt_err *e)
{
	for (int r = 0; r < VT_ROLE_COUNT; r++) {
		const char *a = role_names[r], *b = name;

		while (*a && (*a == *b || (*a == '_' && *b == '-')))
			a++, b++;
		if (!*a && !*b) {
			*ret = r;
			return 0;
		}
	}
	return vt_fail(e, -EINVAL,
		       "'%.40s' is no role; known: cycles, instructions, llc_refs, llc_misses, "
		       "l2_misses, dram_fills",
		       name);
}

/* The first processor's entry of cpuinfo. Unset fields stay -1. */
struct cpu_id {
	char vendor[24]; /* x86 "GenuineIntel"; Arm: empty */
	long family, model, stepping;
	long implementer, part;
};

/* Ranges as the kernel draws them (arch/x86/kernel/cpu/amd.c, arch/x86/include/asm/intel-family.h). */
static const struct x86_range {
	const char *vendor;
	long family, model_lo, model_hi, step_lo, step_hi;
	enum vt_cpu_family is;
} x86_ranges[] = {
	{"GenuineIntel", 6, 85, 85, 0, 4, VT_CPU_SKX},
	{"GenuineIntel", 6, 85, 85, 5, 15, VT_CPU_CLX}, /* 5-7 Cascade Lake, 10-11 Cooper Lake */
	{"GenuineIntel", 6, 106, 106, 0, 15, VT_CPU_ICX},
	{"GenuineIntel", 6, 108, 108, 0, 15, VT_CPU_ICX}, /* Ice Lake-D: the same core */
	{"GenuineIntel", 6, 143, 143, 0, 15, VT_CPU_SPR},
	{"GenuineIntel", 6, 207, 207, 0, 15, VT_CPU_SPR}, /* Emerald Rapids: the same events */
	{"AuthenticAMD", 0x17, 0x00, 0x2f, 0, 15, VT_CPU_ZEN1},
	{"AuthenticAMD", 0x17, 0x50, 0x5f, 0, 15, VT_CPU_ZEN1},
	{"HygonGenuine", 0x18, 0x00, 0x03, 0, 15, VT_CPU_ZEN1},
	{"AuthenticAMD", 0x17, 0x30, 0x4f, 0, 15, VT_CPU_ZEN2},
	{"AuthenticAMD", 0x17, 0x60, 0x7f, 0, 15, VT_CPU_ZEN2},
	{"AuthenticAMD", 0x17, 0x90, 0x91, 0, 15, VT_CPU_ZEN2},
	{"AuthenticAMD", 0x17, 0xa0, 0xaf, 0, 15, VT_CPU_ZEN2},
	{"AuthenticAMD", 0x19, 0x00, 0x0f, 0, 15, VT_CPU_ZEN3},
	{"AuthenticAMD", 0x19, 0x20, 0x5f, 0, 15, VT_CPU_ZEN3},
	{"AuthenticAMD", 0x19, 0x10, 0x1f, 0, 15, VT_CPU_ZEN4},
	{"AuthenticAMD", 0x19, 0x60, 0xaf, 0, 15, VT_CPU_ZEN4},
	{"AuthenticAMD", 0x1a, 0x00, 0x2f, 0, 15, VT_CPU_ZEN5},
	{"AuthenticAMD", 0x1a, 0x40, 0x4f, 0, 15, VT_CPU_ZEN5},
	{"AuthenticAMD", 0x1a, 0x60, 0x7f, 0, 15, VT_CPU_ZEN5},
};

static const struct arm_part {
	long implementer, part;
	enum vt_cpu_family is;
} arm_parts[] = {
	{0x41, 0xd0c, VT_CPU_NEOVERSE_N1},
	{0x41, 0xd40, VT_CPU_NEOVERSE_V1},
};

static enum vt_cpu_family lookup(const struct cpu_id *id)
{
	for (size_t i = 0; i < sizeof(x86_ranges) / sizeof(x86_ranges[0]); i++) {
		const struct x86_range *r = &x86_ranges[i];

		if (!strcmp(id->vendor, r->vendor) && id->family == r->family &&
		    id->model >= r->model_lo && id->model <= r->model_hi &&
		    id->stepping >= r->step_lo && id->stepping <= r->step_hi)
			return r->is;
	}
	for (size_t i = 0; i < sizeof(arm_parts) / sizeof(arm_parts[0]); i++)
		if (id->implementer == arm_parts[i].implementer && id->part == arm_parts[i].part)
			return arm_parts[i].is;
	return VT_CPU_UNKNOWN;
}

static void cpuinfo_line(struct cpu_id *id, const char *key, const char *value)
{
	const struct {
		const char *key;
		long *to;
	} numbers[] = {
		{"cpu family", &id->family},	       {"model", &id->model},
		{"stepping", &id->stepping},	       {"CPU part", &id->part},
		{"CPU implementer", &id->implementer},
	};

	if (!strcmp(key, "vendor_id"))
		snprintf(id->vendor, sizeof(id->vendor), "%s", value);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!strcmp(key, numbers[i].key))
			*numbers[i].to = strtol(value, NULL, 0);
}

int vt_cpu_family_detect(const struct vt_event_env *env, enum vt_cpu_family *ret, struct vt_err *e)
{
	struct cpu_id id = {.family = -1, .model = -1, .implementer = -1, .part = -1};
	char path[VT_SYSFS_PATH], line[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/cpuinfo", env->procfs ? env->procfs : "/proc");
	f = fopen(path, "re");
	if (!f)
		return vt_fail(e, -errno, "cannot read %s: %s", path, strerror(errno));
	/* An empty line ends the first processor; the machines we know have one kind of core. */
	while (fgets(line, sizeof(line), f) && line[0] != '\n') {
		char *colon = strchr(line, ':'), *end = colon;

		if (!colon)
			continue;
		while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
			end--;
		*end = '\0';
		colon += 1 + strspn(colon + 1, " \t");
		colon[strcspn(colon, "\n")] = '\0';
		cpuinfo_line(&id, line, colon);
	}
	fclose(f);
	*ret = lookup(&id);
	return 0;
}
