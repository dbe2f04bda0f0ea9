/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h - one thread for what takes seconds: loading, unloading, profiling. Jobs in order. */
#ifndef VT_SERVER_LOADER_H
#define VT_SERVER_LOADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct vt_loader;

/**
 * vt_loader_start - @idle is called while there is no job, and again after the nanoseconds it returns;
 * UINT64_MAX: not before the next job has ended. A job does not wait for that. May be NULL.
 */
int vt_loader_start(struct vt_loader **ret, uint64_t (*idle)(void *arg), void *arg,
		    struct vt_err *e);
/** vt_loader_post - run @fn(@arg) after what was posted before; false: no memory, or it stops */
bool vt_loader_post(struct vt_loader *l, void (*fn)(void *arg), void *arg);
/** vt_loader_busy - is there a job, running or waiting? */
bool vt_loader_busy(struct vt_loader *l);
/** vt_loader_stop - after the jobs already posted; whoever posts from now on is told so. Accepts NULL */
void vt_loader_stop(struct vt_loader *l);
/** vt_loader_free - stop it, too; nobody may post any more. Accepts NULL */
void vt_loader_free(struct vt_loader *l);

#endif
