/* SPDX-License-Identifier: Apache-2.0 */
/* loader.h - one thread for what takes seconds: loading, unloading, profiling. Jobs in order. */
#ifndef VT_SERVER_LOADER_H
#define VT_SERVER_LOADER_H

#include <stdbool.h>

#include "base/error.h"

struct vt_loader;

/**
 * vt_loader_start - @idle is called again and again while there is no job, until it returns false;
 * then not before the next job has ended. May be NULL.
 */
int vt_loader_start(struct vt_loader **ret, bool (*idle)(void *arg), void *arg, struct vt_err *e);
/** vt_loader_post - run @fn(@arg) after what was posted before; false: no memory, or it stops */
bool vt_loader_post(struct vt_loader *l, void (*fn)(void *arg), void *arg);
/** vt_loader_busy - is there a job, running or waiting? */
bool vt_loader_busy(struct vt_loader *l);
/** vt_loader_stop - after the jobs already posted. Accepts NULL */
void vt_loader_stop(struct vt_loader *l);

#endif
