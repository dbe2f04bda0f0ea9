/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission.h - can a request meet its deadline? Any thread; no clock, no I/O.
 *
 * Those due before it come first, whatever the policy; what they take of the machine is known from
 * those that ended. If that and its own time end after its deadline, it is hopeless and is told so at
 * once, instead of after it has waited. The policy still sheds what turns out hopeless later.
 */
#ifndef VT_SERVER_ADMISSION_H
#define VT_SERVER_ADMISSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/** A request under way. Caller's memory until vt_admission_leave(). */
struct vt_admitted {
	uint64_t deadline_ns;
	uint64_t work_ns; /* of the whole machine: core time over cores */
	uint32_t at;	  /* private */
};

/** Caller's memory: vt_admission_init(), vt_admission_fini(). */
struct vt_admission {
	pthread_mutex_t lock;
	struct vt_admitted **under_way; /* [n], in no order */
	uint32_t n, room;
	uint64_t sum_ns; /* of their work */
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
void vt_admission_leave(struct vt_admission *a, struct vt_admitted *q);

/** vt_admission_retry_s - when what is under way will be over: seconds, 1 to 3600 */
unsigned int vt_admission_retry_s(struct vt_admission *a);

#endif
