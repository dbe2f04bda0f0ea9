/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uncore.h - memory bandwidth per socket, counted where the memory controllers are.
 *
 * The PMUs of the memory controllers (uncore_imc_*, amd_umc_*) or of the fabric before them
 * (amd_df) belong to a socket, not to a core or task: they are found in sysfs, opened once per
 * socket, and read from user space, never at a context switch. One thread at a time.
 */
#ifndef VT_MONITOR_UNCORE_H
#define VT_MONITOR_UNCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "events/events.h"

#define VT_UNCORE_SOCKETS 16

struct vt_uncore;

/**
 * vt_uncore_open - find and open the counters of every memory controller
 * @env:    kept; must outlive the result
 * @family: says which fabric events an AMD part has; VT_CPU_UNKNOWN skips those
 * Returns 0; -ENOTSUP when no PMU here counts memory traffic (virtual machines have none), -EACCES
 * or -EPERM when system-wide events are forbidden.
 */
int vt_uncore_open(const struct vt_event_env *env, enum vt_cpu_family family,
		   struct vt_uncore **ret, struct vt_err *e);

void vt_uncore_close(struct vt_uncore *u);

/** vt_uncore_source - the PMUs in use, "uncore_imc" */
const char *vt_uncore_source(const struct vt_uncore *u);

/** Bytes since vt_uncore_open. */
struct vt_uncore_socket {
	uint64_t read_bytes, write_bytes;
	uint64_t both_bytes; /* counted by a PMU that does not tell reads from writes */
	uint32_t counters;   /* open ones */
	uint32_t lost;	     /* of them: gave no count this time, so the sums are too low */
	uint32_t late;	     /* of the lost: the next read makes it good, for both intervals */
	bool split;	     /* read and write are known; else only both_bytes is */
};

struct vt_uncore_sample {
	uint64_t mono_ns;
	uint32_t sockets; /* highest socket with a counter, plus 1 */
	struct vt_uncore_socket socket[VT_UNCORE_SOCKETS];
};

/**
 * vt_uncore_read - advance the sums
 * Multiplexed counters are scaled by time enabled / running of the interval since the last read.
 * Returns 0; -ENODATA when no counter answers any more.
 */
int vt_uncore_read(struct vt_uncore *u, struct vt_uncore_sample *ret, struct vt_err *e);

/** vt_uncore_bytes - all traffic of one socket */
static inline uint64_t vt_uncore_bytes(const struct vt_uncore_socket *s)
{
	return s->read_bytes + s->write_bytes + s->both_bytes;
}

/**
 * vt_bandwidth_share_ppm - what part of @peak_bytes_per_s @bytes in @dt_ns are; 1 000 000 = all
 * Returns 0 for an unknown peak or an empty interval; the caller prints "n/a" then. More than the
 * peak is not cut off: it means that the peak is wrong.
 */
uint64_t vt_bandwidth_share_ppm(uint64_t bytes, uint64_t dt_ns, uint64_t peak_bytes_per_s);

#endif
