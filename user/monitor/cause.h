/* SPDX-License-Identifier: Apache-2.0 */
/* cause.h - why the kernel would not take our programs, in one line that says what to do. Reads
 * files below the roots it is given; no kernel needed. */
#ifndef VT_MONITOR_CAUSE_H
#define VT_MONITOR_CAUSE_H

#include "base/error.h"

/**
 * vt_load_cause - explain a failed load
 * @sysfs:   where sysfs is mounted ("/sys")
 * @release: of the kernel, as uname -r prints it; NULL: of this one
 * @err:     -errno of the step that failed
 * @what:    the step: "load the BPF programs"
 * @detail:  libbpf's last complaint; may be ""
 * Returns the error to hand on: -ENOTSUP when this kernel cannot do it however it is called.
 */
int vt_load_cause(const char *sysfs, const char *release, int err, const char *what,
		  const char *detail, struct vt_err *e);

#endif
