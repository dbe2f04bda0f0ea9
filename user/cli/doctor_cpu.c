// SPDX-License-Identifier: Apache-2.0
/* doctor_cpu.c - what runs the models: instruction set, cores, caches, memory. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cache.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/cpuset.h"
#include "base/trip.h"
#include "cli/doctor.h"
#include "events/events.h"
#include "exec/avail.h"
#include "kernels/gemm.h"
#include "kernels/isa.h"
#include "kernels/xnn_mem.h"
#include "pressure/level.h"

#define CPUS "sys/devices/system/cpu"

static void look_cpu(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char sys[256], proc[256], model[128] = "unnamed CPU";
	struct vt_event_env env = {.sysfs = sys, .procfs = proc};
	enum vt_cpu_family family = VT_CPU_UNKNOWN;

	snprintf(sys, sizeof(sys), "%s/sys", d->root);
	snprintf(proc, sizeof(proc), "%s/proc", d->root);
	vt_doctor_field(d, "proc/cpuinfo", "model name", model, sizeof(model));
	if (vt_cpu_family_detect(&env, &family, NULL) || family == VT_CPU_UNKNOWN)
		vt_found(f, VT_HEALTH_LIMITED,
			 "only generic events will be tried; name better ones with `veltair "
			 "monitor --event`",
			 "%s: no table of its cache events", model);
	else
		vt_found(f, VT_HEALTH_OK, "", "%s, events of %s", model,
			 vt_cpu_family_name(family));
}

static bool read_cores(const struct vt_doctor *d, struct vt_cpuset *online,
		       struct vt_cpuset *allowed)
{
	char text[VT_CPU_LIST];

	if (vt_doctor_read(d, CPUS "/online", text, sizeof(text)) < 0 ||
	    vt_cpuset_parse(text, online))
		return false;
	if (!vt_doctor_field(d, "proc/self/status", "Cpus_allowed_list", text, sizeof(text)) ||
	    vt_cpuset_parse(text, allowed))
		*allowed = *online;
	/* Cpus_allowed may name cores that do not exist. */
	for (size_t i = 0; i < sizeof(online->bits) / sizeof(online->bits[0]); i++)
		allowed->bits[i] &= online->bits[i];
	return true;
}

static void look_cores(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	struct vt_cpuset online = {0}, allowed = {0};
	char cores[256];
	unsigned int n, a;

	if (!read_cores(d, &online, &allowed)) {
		vt_found(f, VT_HEALTH_MISSING, "mount sysfs at /sys", "no list of online cores");
		return;
	}
	n = vt_cpuset_count(&online);
	a = vt_cpuset_count(&allowed);
	vt_cpuset_format(&allowed, cores, sizeof(cores));
	if (a < n)
		vt_found(f, VT_HEALTH_LIMITED,
			 "an affinity mask or a cpuset cgroup keeps the others away (taskset -p, "
			 "AllowedCPUs=)",
			 "%u of %u online cores allowed: %s", a, n, cores);
	else
		vt_found(f, VT_HEALTH_OK, "", "%u online, all allowed: %s", n, cores);
}

static void look_quota(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	const uint64_t ppm = vt_cgroup_cpu_ppm(d->root);
	const double quota = (double)ppm / VT_PPM;
	struct vt_cpuset online = {0}, allowed = {0};

	if (ppm == UINT64_MAX)
		vt_found(f, VT_HEALTH_OK, "", "none");
	else if (read_cores(d, &online, &allowed) && quota < vt_cpuset_count(&allowed))
		vt_found(f, VT_HEALTH_LIMITED,
			 "only as many compute unless named; give them as a cpuset (AllowedCPUs=, "
			 "static CPU manager), or raise CPUQuota= or limits.cpu",
			 "the time of %.2f cores, %u allowed", quota, vt_cpuset_count(&allowed));
	else
		vt_found(f, VT_HEALTH_OK, "", "the time of %.2f cores, no less than those allowed",
			 quota);
}

static void look_smt(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char on[16];

	if (vt_doctor_read(d, CPUS "/smt/active", on, sizeof(on)) < 0)
		vt_found(f, VT_HEALTH_OK, "", "the kernel knows of no sibling threads");
	else if (!strcmp(on, "1"))
		vt_found(f, VT_HEALTH_LIMITED,
			 "give veltair one thread of each core (--cores), or echo off "
			 ">/sys/devices/system/cpu/smt/control",
			 "on: two threads share the vector units of one core");
	else
		vt_found(f, VT_HEALTH_OK, "", "off: each CPU is a core of its own");
}

static void look_governor(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char g[64];

	if (vt_doctor_read(d, CPUS "/cpu0/cpufreq/scaling_governor", g, sizeof(g)) < 0)
		vt_found(f, VT_HEALTH_LIMITED,
			 "the host or the firmware chooses the clock: compare timings interleaved, "
			 "never one after the other",
			 "no frequency control here");
	else if (strcmp(g, "performance") != 0)
		vt_found(f, VT_HEALTH_LIMITED, "cpupower frequency-set -g performance",
			 "%s: cores start slow and latency varies", g);
	else
		vt_found(f, VT_HEALTH_OK, "", "performance");
}

/* ---- instruction set ---------------------------------------------------------------------- */

/* Of a copied tree: flags of /proc/cpuinfo that each tier of kernels/isa.h needs, best first. */
static const struct {
	enum vt_tier tier;
	const char *name, *flags[12];
} tier_flags[] = {
	{VT_TIER_V4,
	 "avx512",
	 {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx2", "fma", "f16c"}},
	{VT_TIER_V3, "avx2", {"avx2", "fma", "f16c", "bmi1", "bmi2", "abm", "movbe"}},
};

static bool has_flag(const char *flags, const char *name)
{
	const size_t n = strlen(name);

	for (const char *p = flags; (p = strstr(p, name)); p += n)
		if ((p == flags || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
			return true;
	return false;
}

static enum vt_tier tier_of(const struct vt_doctor *d, const char **name)
{
	char flags[4096] = "";
	size_t i, k;

	if (vt_doctor_live(d)) {
		*name = vt_vec()->name;
		return vt_tier_best();
	}
	vt_doctor_field(d, "proc/cpuinfo", "flags", flags, sizeof(flags));
	for (i = 0; i < sizeof(tier_flags) / sizeof(tier_flags[0]); i++) {
		for (k = 0; tier_flags[i].flags[k]; k++)
			if (!has_flag(flags, tier_flags[i].flags[k]))
				break;
		if (!tier_flags[i].flags[k]) {
			*name = tier_flags[i].name;
			return tier_flags[i].tier;
		}
	}
	*name = "baseline";
	return VT_TIER_V1;
}

static void look_isa(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	const char *name;
	enum vt_tier tier = tier_of(d, &name);

	if (tier == VT_TIER_V4)
		vt_found(f, VT_HEALTH_OK, "", "%s: vectors of 16 floats", name);
	else
		vt_found(f, VT_HEALTH_LIMITED,
			 tier == VT_TIER_V3 ? "works; a CPU with AVX-512 takes 16 at a time"
					    : "on a VM, let the guest see the host's CPU (cpu "
					      "host-passthrough)",
			 "%s: vectors of %d floats", name, tier == VT_TIER_V3 ? 8 : 4);
}

static void look_matrix(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	const char *name;
	const struct vt_gemm_isa *own = vt_gemm_of(tier_of(d, &name));

	if (own)
		vt_found(f, VT_HEALTH_OK, "", "veltair's %s kernel, tiles of %zu x %d", own->name,
			 own->mr, VT_GEMM_NR);
	else
		vt_found(f, VT_HEALTH_LIMITED,
			 "veltair's own kernels need AVX2 and FMA, or AVX-512",
			 "XNNPACK's kernels for this CPU");
}

static void look_xnnpack(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	if (vt_xnn_usable())
		vt_found(f, VT_HEALTH_OK, "", "present; it has kernels for this CPU");
	else
		vt_found(f, VT_HEALTH_MISSING,
			 "XNNPACK needs SSE2 on x86 and NEON on Arm; matrix layers cannot run",
			 "the library finds no kernels for this CPU");
}

/* ---- caches and nodes --------------------------------------------------------------------- */

/* The data or unified cache of @cpu at @level; false if sysfs shows none. */
static bool find_cache(const struct vt_doctor *d, unsigned int cpu, int level, char size[32],
		       char shared[256])
{
	for (int i = 0; i < 8; i++) {
		char path[128], text[32];

		snprintf(path, sizeof(path), CPUS "/cpu%u/cache/index%d/level", cpu, i);
		if (vt_doctor_read(d, path, text, sizeof(text)) < 0)
			return false;
		if (atoi(text) != level)
			continue;
		snprintf(path, sizeof(path), CPUS "/cpu%u/cache/index%d/type", cpu, i);
		if (vt_doctor_read(d, path, text, sizeof(text)) < 0 || !strcmp(text, "Instruction"))
			continue;
		snprintf(path, sizeof(path), CPUS "/cpu%u/cache/index%d/size", cpu, i);
		vt_doctor_read(d, path, size, 32);
		snprintf(path, sizeof(path), CPUS "/cpu%u/cache/index%d/shared_cpu_list", cpu, i);
		vt_doctor_read(d, path, shared, 256);
		return true;
	}
	return false;
}

/* What sysfs does not show the CPU itself may still say; kernels are tuned to this too. */
static void look_caches_cpuid(struct vt_finding *f)
{
	const struct vt_caches c = vt_caches();
	char l1[32] = "", l3[32] = ", L3 unknown";

	if (c.l1d_bytes)
		snprintf(l1, sizeof(l1), "L1 %zuK, ", c.l1d_bytes >> 10);
	if (c.l3_bytes)
		snprintf(l3, sizeof(l3), ", L3 %zuK", c.l3_bytes >> 10);
	vt_found(f, VT_HEALTH_OK, "", "%sL2 %zuK%s (from %s; sysfs shows none)", l1,
		 c.l2_bytes >> 10, l3, c.source);
}

static void look_caches(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char size[32], shared[256], text[160];
	size_t at = 0;

	text[0] = '\0';
	for (int level = 1; level <= 4; level++)
		if (find_cache(d, 0, level, size, shared))
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%sL%d %s",
					       at ? ", " : "", level, size);
	if (at)
		vt_found(f, VT_HEALTH_OK, "", "%s (as CPU 0 sees them)", text);
	else if (vt_doctor_live(d) && vt_caches().l2_bytes)
		look_caches_cpuid(f);
	else
		vt_found(f, VT_HEALTH_LIMITED,
			 "on a VM, pass the host's cache topology to the guest", "sizes unknown");
}

/* The level of the last cache of @cpu, and what there is of it; 1: none is shown, or no other. */
static int last_level(const struct vt_doctor *d, unsigned int cpu, char size[32], char shared[256])
{
	int level = 4;

	while (level > 1 && !find_cache(d, cpu, level, size, shared))
		level--;
	return level;
}

static void look_llc(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char text[VT_CPU_LIST], size[32], shared[256];
	struct vt_cpuset online = {0}, seen = {0}, domain;
	unsigned int domains = 0;
	size_t at = 0;
	int level;

	if (vt_doctor_read(d, CPUS "/online", text, sizeof(text)) >= 0)
		vt_cpuset_parse(text, &online);
	text[0] = '\0';
	level = last_level(d, 0, size, shared);
	for (int c = -1; (c = vt_cpuset_next(&online, (unsigned int)c + 1)) >= 0;) {
		if (vt_cpuset_has(&seen, (unsigned int)c) ||
		    !find_cache(d, (unsigned int)c, level, size, shared) ||
		    vt_cpuset_parse(shared, &domain))
			continue;
		for (size_t i = 0; i < sizeof(seen.bits) / sizeof(seen.bits[0]); i++)
			seen.bits[i] |= domain.bits[i];
		domains++;
		if (at < 240) /* a line stays a line on machines of many domains */
			at += (size_t)snprintf(text + at, sizeof(text) - at, "; %.120s", shared);
	}
	if (domains && level > 1)
		vt_found(f, VT_HEALTH_OK, "", "%u domain%s of L%d (%s)%s%s", domains,
			 domains > 1 ? "s" : "", level, size, text, at < 240 ? "" : "; ...");
	else
		vt_found(f, VT_HEALTH_LIMITED,
			 "tenants will be taken to share one cache; on a VM, pass the host's "
			 "cache topology",
			 "which cores share a last-level cache is unknown");
}

/* ---- how far cores are ---------------------------------------------------------------------- */

#define TRIP_MOST    8 /* cores that the first is asked about */
#define TRIP_MOST_NS (20 * VT_NS_PER_MS)

/* The cores of @d that are said to share the last-level cache of @cpu; false: nothing is said. */
static bool find_domain(const struct vt_doctor *d, unsigned int cpu, struct vt_cpuset *ret)
{
	char size[32], shared[256];

	return last_level(d, cpu, size, shared) > 2 && !vt_cpuset_parse(shared, ret);
}

/* The core that is farthest from @cpu, of a few of its domain; -1: none that is free. */
static int find_farthest(unsigned int cpu, const struct vt_cpuset *allowed,
			 const struct vt_cpuset *domain, uint64_t *ret_ns)
{
	int far = -1;

	*ret_ns = 0;
	for (int n = 0, c = (int)cpu; n < TRIP_MOST; n++) {
		uint64_t ns;

		do
			c = vt_cpuset_next(allowed, (unsigned int)c + 1);
		while (c >= 0 && !vt_cpuset_has(domain, (unsigned int)c));
		if (c < 0)
			break;
		ns = vt_trip_ns(cpu, (unsigned int)c, TRIP_MOST_NS);
		if (ns > *ret_ns) {
			*ret_ns = ns;
			far = c;
		}
	}
	return far;
}

static void look_trip(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	struct vt_cpuset allowed = {0}, domain = {0};
	int cpu = vt_doctor_live(d) && !vt_cpuset_allowed(&allowed) ? vt_cpuset_next(&allowed, 0)
								    : -1;
	const bool said = cpu >= 0 && find_domain(d, (unsigned int)cpu, &domain);
	uint64_t ns = 0;
	int far = cpu < 0 ? -1
			  : find_farthest((unsigned int)cpu, &allowed, said ? &domain : &allowed,
					  &ns);

	if (far < 0)
		vt_found(f, VT_HEALTH_OK, "", "not measured: %s",
			 !vt_doctor_live(d) ? "this is a copy of a machine's files"
					    : "no second core of one cache, or it is not free");
	else if (ns < VT_TRIP_FAR_NS)
		vt_found(f, VT_HEALTH_OK, "",
			 "a word from CPU %d to %d and back takes %llu ns: they share a cache", cpu,
			 far, (unsigned long long)ns);
	else
		vt_found(f, VT_HEALTH_LIMITED,
			 said ? "layers on several cores take up to 1.4 times as long while it "
				"is so: have the host pin this machine's CPUs to cores of one cache"
			      : "layers on several cores gain less: give this machine CPUs of one "
				"cache",
			 "a word from CPU %d to %d and back takes %llu ns: they share no cache%s",
			 cpu, far, (unsigned long long)ns,
			 said ? " at present, though the kernel was told that they do" : "");
}

static void look_numa(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	char text[256], path[96], out[256] = "";
	struct vt_cpuset nodes;
	size_t at = 0;

	/* Nodes are numbered like cores, in the same list format. */
	if (vt_doctor_read(d, "sys/devices/system/node/online", text, sizeof(text)) < 0 ||
	    vt_cpuset_parse(text, &nodes)) {
		vt_found(f, VT_HEALTH_LIMITED, "memory counts as one node",
			 "the kernel shows no nodes");
		return;
	}
	for (int n = -1; (n = vt_cpuset_next(&nodes, (unsigned int)n + 1)) >= 0;) {
		snprintf(path, sizeof(path), "sys/devices/system/node/node%d/cpulist", n);
		if (vt_doctor_read(d, path, text, sizeof(text)) >= 0 && at < 160)
			at += (size_t)snprintf(out + at, sizeof(out) - at, "; node %d: %.60s", n,
					       *text ? text : "memory only");
	}
	vt_found(f, VT_HEALTH_OK, "", "%u node%s%s", vt_cpuset_count(&nodes),
		 vt_cpuset_count(&nodes) > 1 ? "s" : "", out);
}

/* ---- memory ------------------------------------------------------------------------------- */

static void look_memory(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	const uint64_t left = vt_cgroup_memory_left_bytes(d->root);
	char total[32], avail[32];
	bool group;
	double gib;

	if (!vt_doctor_field(d, "proc/meminfo", "MemTotal", total, sizeof(total)) ||
	    !vt_doctor_field(d, "proc/meminfo", "MemAvailable", avail, sizeof(avail))) {
		vt_found(f, VT_HEALTH_MISSING, "mount procfs at /proc", "size unknown");
		return;
	}
	gib = strtod(avail, NULL) / 1048576;
	group = (double)left / (1 << 30) < gib;
	if (group)
		gib = (double)left / (1 << 30);
	/* BERT-large, the largest of the zoo: 1.3 GB, loaded with a peak of at most 2.3 times it. */
	vt_found(
		f, gib < 3 ? VT_HEALTH_LIMITED : VT_HEALTH_OK,
		gib >= 3 ? ""
		: group ? "enough for CNNs; BERT-large takes 3 GiB to load: raise the limit of the "
			  "cgroup (container, service)"
			: "enough for CNNs; BERT-large takes 3 GiB to load",
		"%.1f GiB, %.1f GiB available%s", strtod(total, NULL) / 1048576, gib,
		group ? " within the limit of the cgroup" : "");
}

static void look_hugepages(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	static const char path[] = "sys/kernel/mm/transparent_hugepage/enabled";
	char text[64], *mode, *end;

	if (vt_doctor_read(d, path, text, sizeof(text)) < 0) {
		vt_found(f, VT_HEALTH_LIMITED,
			 "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE=y: large weights miss the "
			 "TLB without it",
			 "the kernel has no transparent huge pages");
		return;
	}
	mode = strchr(text, '[');
	end = mode ? strchr(mode, ']') : NULL;
	if (end) {
		*end = '\0';
		mode++;
	}
	if (end && (!strcmp(mode, "always") || !strcmp(mode, "madvise")))
		vt_found(f, VT_HEALTH_OK, "", "transparent, %s: weights and activations use them",
			 mode);
	else
		vt_found(f, VT_HEALTH_LIMITED,
			 "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",
			 "transparent, %s", end ? mode : text);
}

/* ---- cores that others use ---------------------------------------------------------------- */

static void look_taken(const struct vt_doctor *d, int arg, struct vt_finding *f)
{
	struct vt_avail_sums s;
	char text[96];

	if (vt_doctor_read(d, "proc/self/schedstat", text, sizeof(text)) < 0 ||
	    vt_avail_parse(text, &s) || !s.slices)
		vt_found(f, VT_HEALTH_LIMITED,
			 "use a kernel with CONFIG_SCHED_INFO=y (CONFIG_SCHEDSTATS or "
			 "CONFIG_TASK_DELAY_ACCT)",
			 "blocks cannot stay away from cores that other programs use");
	else
		vt_found(f, VT_HEALTH_OK, "", "noticed from schedstat of each worker");
}

const struct vt_probe vt_doctor_cpu[] = {
	{"cpu", look_cpu, 0},
	{"isa", look_isa, 0},
	{"matrix-kernel", look_matrix, 0},
	{"xnnpack", look_xnnpack, 0},
	{"cores", look_cores, 0},
	{"cpu-quota", look_quota, 0},
	{"smt", look_smt, 0},
	{"taken-cores", look_taken, 0},
	{"governor", look_governor, 0},
	{"caches", look_caches, 0},
	{"llc-domains", look_llc, 0},
	{"core-to-core", look_trip, 0},
	{"numa", look_numa, 0},
	{"memory", look_memory, 0},
	{"huge-pages", look_hugepages, 0},
	{0},
};
