/* SPDX-License-Identifier: Apache-2.0 */
/*
 * avail.h - the share of the time in which a worker wanted its core that it really had it. One owner per state: the
 * worker itself. Only vt_avail_open() and vt_avail_read() touch the system.
 *
 * The kernel adds up what each thread ran and how long it stood ready and waited for its core (/proc/PID/task/TID/
 * schedstat). Time asleep is in neither. What a hypervisor takes from the whole core while the thread runs counts as
 * run: it is not another thread of this machine, and leaving the core would not bring it back.
 *
 *	available = ran / (ran + waited)	smoothed over about VT_AVAIL_KEPT_NS of wanted time
 *	taken	  if available < 3/4 of that of the best core, until it is 9/10 again
 *
 * Waking up is no waiting, and neither is the I/O of others (a network stack, this server's own threads), which takes a
 * core for 0.1 ms a thousand times a second: a chunk or a block on such a core is late by that. Who computes keeps it for
 * a time slice, and everybody who waits for a chunk waits as long (docs/decisions.md).
 *
 * Relative to the best core, because a load that sits on all cores alike (the server's own I/O threads) makes none
 * of them worse than another.
 *
 * A core that is left alone tells nothing. While less than 9/10 of it are available, taken or not, its worker tries it
 * itself, VT_AVAIL_TRY_NS at a time, first after VT_AVAIL_PAUSE_NS, then at intervals that double up to
 * VT_AVAIL_PAUSE_MAX_NS while somebody else is there. Else a server that needs one core would never learn of the other
 * what it had begun to see.
 */
#ifndef VT_EXEC_AVAIL_H
#define VT_EXEC_AVAIL_H

#include <stdbool.h>
#include <stdint.h>

#define VT_AVAIL_EVERY_NS     4000000u	/* between two readings; one costs a system call, 2 us */
#define VT_AVAIL_KEPT_NS      25000000u /* half weight after so much wanted time */
#define VT_AVAIL_SHORT_NS     500000u /* waits below it, in the mean of a reading, count for nothing */
#define VT_AVAIL_TRY_NS	      6000000u /* longer than a time slice: who shares the core shows */
#define VT_AVAIL_ON_NS	      2000000 /* a polite helper's time on its core, half a tick of 250 Hz */
#define VT_AVAIL_OFF_NS	      1500000	  /* and the rest after it */
#define VT_AVAIL_AGAIN_NS     10000000u	  /* after a try that had the core for itself */
#define VT_AVAIL_PAUSE_NS     50000000u	  /* after one that had not */
#define VT_AVAIL_PAUSE_MAX_NS 1000000000u /* doubled up to this */

/** What the kernel has added up of a thread since it began. */
struct vt_avail_sums {
	uint64_t ran_ns;
	uint64_t waited_ns; /* ready, and not run */
	uint64_t slices;    /* times that it got the core */
};

/** Of one core. Zero, then vt_avail_init(). */
struct vt_avail {
	struct vt_avail_sums last;
	uint32_t ppm; /* available */
	bool taken;
	uint64_t pause_ns;     /* until the next try */
	uint64_t next_mono_ns; /* of the next try; 0: nothing to find out */
};

/**
 * vt_avail_open - the calling thread's own sums; the descriptor stays good when privileges are dropped
 * Returns it; -ENOENT or another errno, -ENOTSUP where the kernel adds nothing up (CONFIG_SCHED_INFO=n).
 */
int vt_avail_open(void);
/** vt_avail_read - on the thread that opened it; 0 or -errno, -EINVAL for text that is not three numbers */
int vt_avail_read(int fd, struct vt_avail_sums *ret);
/** vt_avail_parse - three numbers and nothing after them; 0 or -EINVAL */
int vt_avail_parse(const char *text, struct vt_avail_sums *ret);

void vt_avail_init(struct vt_avail *a, const struct vt_avail_sums *now);
/**
 * vt_avail_note - take a reading in
 * @best_ppm: the best available share of all cores now
 * @tried: after a try, not after work
 * Returns whether a->taken has changed.
 */
bool vt_avail_note(struct vt_avail *a, const struct vt_avail_sums *now, uint32_t best_ppm,
		   uint64_t mono_ns, bool tried);
/** vt_avail_skip - what the sums have grown by tells nothing */
void vt_avail_skip(struct vt_avail *a, const struct vt_avail_sums *now);
/** vt_avail_try_in - nanoseconds until the core should be tried; UINT64_MAX: never, 0: now */
uint64_t vt_avail_try_in(const struct vt_avail *a, uint64_t mono_ns);

#endif
