/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - from a role ("LLC misses") to an open perf event, whatever this machine can count.
 *
 * Nothing else in the tree knows event names or codes. A role is filled by *opening* candidates in
 * this order, because a name that encodes proves nothing (a VM may show a CPU model and no PMU):
 *
 *   libpfm4 name -> documented raw code -> sysfs PMU alias -> perf generic -> msr/tsc -> software
 *
 * An event that opens but never runs counts as absent. No output, no globals
 * but libpfm4's own (initialised once, thread-safe). Every path starts at a root in struct
 * vt_event_env, so a fake tree is just another machine.
 */
#ifndef VT_EVENTS_EVENTS_H
#define VT_EVENTS_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* Include <linux/perf_event.h> for its fields; libpfm4 brings a copy of its own, so we do not. */
struct perf_event_attr;

enum vt_role {
	VT_ROLE_CYCLES,
	VT_ROLE_INSTRUCTIONS,
	VT_ROLE_LLC_REFS,
	VT_ROLE_LLC_MISSES,
	VT_ROLE_L2_MISSES,
	VT_ROLE_DRAM_FILLS, /* cache lines that came from memory, prefetches included where the CPU can */
	VT_ROLE_COUNT,
};

enum vt_cpu_family {
	VT_CPU_UNKNOWN,
	VT_CPU_SKX, /* Intel Skylake-SP */
	VT_CPU_CLX, /* Intel Cascade Lake-SP, Cooper Lake */
	VT_CPU_ICX, /* Intel Ice Lake-SP */
	VT_CPU_SPR, /* Intel Sapphire and Emerald Rapids */
	VT_CPU_ZEN1,
	VT_CPU_ZEN2,
	VT_CPU_ZEN3,
	VT_CPU_ZEN4,
	VT_CPU_ZEN5,
	VT_CPU_NEOVERSE_N1,
	VT_CPU_NEOVERSE_V1,
	VT_CPU_COUNT,
};

enum vt_event_class {
	VT_CLASS_NONE, /* nothing counts this role here: print "n/a" and the reason, never 0 */
	VT_CLASS_HW,   /* a hardware counter */
	VT_CLASS_SW, /* the kernel or the clock stands in; must be labelled wherever it is shown */
};

/* How close the event is to what its role means. Ordered: larger is better. */
enum vt_event_quality {
	VT_QUALITY_NONE,
	VT_QUALITY_PROXY,  /* another quantity that moves with the role */
	VT_QUALITY_APPROX, /* the right quantity, with a part missing or added (see vt_event.doc) */
	VT_QUALITY_EXACT,  /* what the vendor documents as this quantity */
	VT_QUALITY_USER,   /* the user named the event; veltair does not judge it */
};

enum vt_event_source {
	VT_EVSRC_NONE,
	VT_EVSRC_PFM,	   /* libpfm4 knew the name */
	VT_EVSRC_RAW,	   /* the code from the vendor's manual */
	VT_EVSRC_SYSFS,	   /* pmu/alias/ or pmu/term=value/ */
	VT_EVSRC_GENERIC,  /* PERF_TYPE_HARDWARE, PERF_TYPE_HW_CACHE */
	VT_EVSRC_TSC,	   /* msr/tsc/ */
	VT_EVSRC_SOFTWARE, /* PERF_TYPE_SOFTWARE */
};

/** One encoded event. A value: copy freely. */
struct vt_event {
	char name[160];	 /* as `perf stat -e` or libpfm4 would take it */
	const char *doc; /* static text: where the code is documented, what it misses; may be "" */
	uint64_t config, config1, config2;
	double scale;  /* multiply counts by this to get @unit (sysfs NAME.scale); else 1 */
	char unit[16]; /* sysfs NAME.unit, e.g. "MiB"; "" when the event counts occurrences */
	uint32_t type; /* perf_event_attr.type */
	enum vt_event_class cls;
	enum vt_event_quality quality;
	enum vt_event_source source;
	bool exclude_user, exclude_kernel;
};

/**
 * Where to look and how to open. Zero-initialise for the machine itself.
 * @open replaces perf_event_open(2) in tests: returns a descriptor or -errno. @ran tells whether
 * an event opened this way ever counted time (NULL: read time_running from the descriptor).
 */
struct vt_event_env {
	const char *sysfs;  /* NULL: "/sys" */
	const char *procfs; /* NULL: "/proc" */
	int (*open)(void *ctx, struct perf_event_attr *attr, int pid, int cpu, unsigned long flags);
	int (*ran)(void *ctx, int fd); /* 1 ran, 0 never ran, -errno */
	void *ctx;
	/* Replaces read(2) of an event: value, time enabled, time running. Returns 24, 0 or -errno. */
	int (*read)(void *ctx, int fd, uint64_t ret[3]);
};

const char *vt_role_name(enum vt_role role); /* "llc_misses" */
const char *vt_event_class_name(enum vt_event_class cls);
const char *vt_event_quality_name(enum vt_event_quality q);
const char *vt_event_source_name(enum vt_event_source s);
const char *vt_cpu_family_name(enum vt_cpu_family family); /* "icx" */

/** vt_role_parse - "llc_misses" or "llc-misses" to the role; -EINVAL names the known ones */
int vt_role_parse(const char *name, enum vt_role *ret, struct vt_err *e);

/**
 * vt_cpu_family_detect - read @env's cpuinfo
 * An unknown CPU is no error: VT_CPU_UNKNOWN, and only generic candidates are tried.
 * Returns 0, or -errno when cpuinfo cannot be read.
 */
int vt_cpu_family_detect(const struct vt_event_env *env, enum vt_cpu_family *ret, struct vt_err *e);

/**
 * vt_event_parse - encode an event a user named; opens nothing
 * @text: "pmu/alias/", "pmu/term=value,.../", with modifiers after the last slash (u, k);
 *        "rHEX" raw; a perf name ("cache-misses", "page-faults"); or a libpfm4 name
 * Returns 0; -EINVAL (syntax), -ENOENT (no such PMU, alias, term or name).
 */
int vt_event_parse(const struct vt_event_env *env, const char *text, struct vt_event *ret,
		   struct vt_err *e);

/** What `--event ROLE=EVENT` asked for; "" keeps the role's own candidates. Start from {0}. */
struct vt_event_overrides {
	char text[VT_ROLE_COUNT][160];
};

/** vt_event_override - record one "ROLE=EVENT"; -EINVAL for bad syntax or a role named twice */
int vt_event_override(struct vt_event_overrides *set, const char *arg, struct vt_err *e);

/**
 * vt_event_resolve - the best event for @role that opens and runs on @cpu
 * @family:   VT_CPU_UNKNOWN limits the search to generic candidates
 * @override: an EVENT, or NULL or "". Never falls back: what the user named is opened or fails.
 * @ret:      written only on success
 * Returns 0; -ENOTSUP when no candidate counts (the text lists every one tried and why it failed);
 * -EACCES or -EPERM when the kernel forbids perf events; -EINVAL, -ENOENT from a bad override.
 */
int vt_event_resolve(const struct vt_event_env *env, enum vt_cpu_family family, enum vt_role role,
		     const char *override, int cpu, struct vt_event *ret, struct vt_err *e);

/** vt_event_attr - what perf_event_open(2) takes; counting, enabled, with both times in read() */
void vt_event_attr(const struct vt_event *ev, struct perf_event_attr *ret);

/**
 * vt_event_open - open for counting
 * @pid, @cpu: as perf_event_open(2) (-1, cpu: everything on that CPU)
 * Returns a descriptor that the caller closes (always close-on-exec), or -errno with what to do.
 */
int vt_event_open(const struct vt_event_env *env, const struct vt_event *ev, int pid, int cpu,
		  struct vt_err *e);

/**
 * vt_event_read - value, time enabled and time running of an open event
 * Returns 0; -ENODATA when the event is in error state (end of file), -errno.
 */
int vt_event_read(const struct vt_event_env *env, int fd, uint64_t ret[3]);

/* ---- the table (for the golden test, `veltair doctor` and the docs) ---------------------- */

/** One row: how a family counts a role. */
struct vt_event_code {
	enum vt_cpu_family family;
	enum vt_role role;
	const char *pfm;	  /* libpfm4 name, PMU included; NULL where libpfm4 4.13 lacks it */
	uint64_t config, config1; /* documented code, PERF_TYPE_RAW */
	enum vt_event_quality quality;
	const char *doc; /* source of the code, and what the count leaves out */
};

/** vt_event_code - the row, or NULL (unknown family only) */
const struct vt_event_code *vt_event_code(enum vt_cpu_family family, enum vt_role role);

#endif
