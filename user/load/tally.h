/* SPDX-License-Identifier: Apache-2.0 */
/* tally.h - what became of requests: in time, late, refused; percentiles. Pure but for malloc. */
#ifndef VT_LOAD_TALLY_H
#define VT_LOAD_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "load/drive.h"

#define VT_TALLY_REFUSED 64u	  /* buckets: below 0.01 x 2^(i / 4) ms */
#define VT_LATE_SEND_NS	 1000000u /* a generator later than this disturbed its own measurement */

/** Sums over any number of slices. Zero it first; vt_tally_fini() frees it. */
struct vt_tally {
	uint64_t offered, in_time, refused, failed;
	uint64_t late; /* computed after its time, or dropped when that had become certain */
	uint64_t late_sends, max_late_send_ns; /* of the generator itself */
	double sum_ms;			       /* of those computed */
	float *ms;			       /* latency of each computed, [n] */
	size_t n, cap;
	int sorted;
	uint64_t refused_in
		[VT_TALLY_REFUSED]; /* those refused, by what it took: see vt_tally_refused_ms() */
};

/**
 * vt_tally_add - add the shots of @tenant, or of all if it is UINT32_MAX
 * @qos_ns: target by tenant; latency is counted from the scheduled time
 * Returns 0 or -ENOMEM.
 */
int vt_tally_add(struct vt_tally *t, const struct vt_drive *d, const uint64_t *qos_ns,
		 uint32_t tenant);
/** vt_tally_one - add a single one that was computed; -ENOMEM */
int vt_tally_one(struct vt_tally *t, uint64_t latency_ns, uint64_t qos_ns);
void vt_tally_fini(struct vt_tally *t);

/** vt_tally_share - of all offered, the share that ended in time; 0 if none was offered */
double vt_tally_share(const struct vt_tally *t);
double vt_tally_mean_ms(const struct vt_tally *t);
/** vt_tally_ms - percentile @p in [0, 1] of the latency of those computed; sorts; 0 if none */
double vt_tally_ms(struct vt_tally *t, double p);
/** vt_tally_refused_ms - of those refused, an upper bound within 19 %, from when they were sent; 0 if none */
double vt_tally_refused_ms(const struct vt_tally *t, double p);

#endif
