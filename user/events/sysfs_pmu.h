/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysfs_pmu.h - the kernel's own description of its PMUs (bus/event_source/devices/NAME): types,
 * bit fields, aliases, CPU masks. Reads files only; opens no event. Re-entrant.
 */
#ifndef VT_EVENTS_SYSFS_PMU_H
#define VT_EVENTS_SYSFS_PMU_H

#include "base/cpuset.h"
#include "events/events.h"

#define VT_SYSFS_PATH 512

/**
 * vt_sysfs_read - one small file as text, without its last newline
 * Returns the length (0 for an empty file), -EFBIG if it does not fit, or -errno.
 */
int vt_sysfs_read(char *buf, size_t len, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/** vt_sysfs_core_pmu - name of the PMU that counts for the cores, static text; NULL: the kernel shows none */
const char *vt_sysfs_core_pmu(const char *sysfs);

/**
 * vt_sysfs_pmu_encode - "pmu/alias/" or "pmu/term=value,.../" plus modifiers, as perf reads it
 * Terms apply left to right, so "alias,umask=0x1" changes the alias. Fills type, config*, name,
 * scale, unit and the exclude flags; leaves class, quality and source to the caller.
 * Returns 0; -ENOENT (PMU, alias or term unknown), -EINVAL (syntax), -ERANGE (value too wide).
 */
int vt_sysfs_pmu_encode(const char *sysfs, const char *text, struct vt_event *ret,
			struct vt_err *e);

/**
 * vt_sysfs_pmu_cpumask - the CPUs an uncore PMU wants to be opened on, one per socket or die
 * Returns 0; -ENOENT for PMUs without one (core PMUs).
 */
int vt_sysfs_pmu_cpumask(const char *sysfs, const char *pmu, struct vt_cpuset *ret);

/**
 * vt_sysfs_pmu_list - call @fn for each PMU whose name is @prefix, or @prefix and a number
 * ("uncore_imc" matches uncore_imc, uncore_imc_0, uncore_imc_11, not uncore_imc_free_running_0),
 * in numeric order. Stops when @fn returns non-zero. Returns that value, the number of PMUs
 * visited when all returned 0, or -errno.
 */
int vt_sysfs_pmu_list(const char *sysfs, const char *prefix, int (*fn)(void *ctx, const char *pmu),
		      void *ctx);

#endif
