/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission.h - can a request meet its deadline? Any thread; no clock, no I/O.
 *
 * Those due before it come first, whatever the policy. What is left of their work and its own fill the whole machine
 * for so long at least, and it runs for so long itself at least: the later of the two is when it would end on a
 * machine that does everything right. By how much more they must be taken to last, so that VT_ADMISSION_KEPT of those
 * admitted end in time, is learnt from those that end. Who would end after its deadline with that is
 * hopeless and is told so at once, instead of after it has waited. The policy still sheds what turns out hopeless later.
 *
 * A request may enter before all of it has come, so that nothing is kept of those for which there is no room. It holds its
 * place until its deadline, then counts no more unless it has arrived.
 */
#ifndef VT_SERVER_ADMISSION_H
#define VT_SERVER_ADMISSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "exec/runtime.h"

/** Of those admitted, how many are to be in time. */
#define VT_ADMISSION_KEPT 0.95

/** A request under way. Caller's memory until vt_admission_leave(). */
struct vt_admitted {
	uint64_t deadline_ns;
	uint64_t work_ns;		  /* of the whole machine: core time over cores */
	bool here;			  /* all of it has come, so it can be worked on */
	const struct vt_headway *headway; /* read while it is here; NULL: not begun */
	uint32_t at;			  /* private from here on */
	bool fits;	    /* as far as was foretold; else it was tried, or is to be served late */
	uint64_t needed_ns; /* that from then to its end, as far as was foretold */
};

enum vt_admission_end {
	VT_ADMISSION_ANSWERED,
	VT_ADMISSION_GIVEN_UP, /* turned out hopeless */
	VT_ADMISSION_OTHER,    /* cancelled, stopped: says nothing */
};

/** Caller's memory: vt_admission_init(), vt_admission_fini(). */
struct vt_admission {
	pthread_mutex_t lock;
	struct vt_admitted **under_way; /* [n], in no order */
	uint32_t n, room;
	double stretch; /* what is foretold, times this, is counted on */
};

int vt_admission_init(struct vt_admission *a, uint32_t room); /* 0 or -ENOMEM */
void vt_admission_fini(struct vt_admission *a);		      /* accepts a zeroed one */

/**
 * vt_admission_enter - count @q as under way, if it can be in time
 * @own_ns: how long it runs itself; @any: enter it even if it is hopeless
 * Returns true; false: hopeless, or there are too many.
 */
bool vt_admission_enter(struct vt_admission *a, struct vt_admitted *q, uint64_t now_ns,
			uint64_t own_ns, bool any);
/**
 * vt_admission_arrive - the rest of @q, which entered before, has come
 * Returns false if it took so long that @q cannot be in time any more, and it has left; with @any it stays.
 */
bool vt_admission_arrive(struct vt_admission *a, struct vt_admitted *q, uint64_t now_ns,
			 uint64_t own_ns, bool any);
/** vt_admission_leave - @q has ended @now_ns; learn from it */
void vt_admission_leave(struct vt_admission *a, struct vt_admitted *q, uint64_t now_ns,
			enum vt_admission_end how);

/** vt_admission_retry_s - when what is under way will be over: seconds, 1 to 3600 */
unsigned int vt_admission_retry_s(struct vt_admission *a, uint64_t now_ns);

#endif
