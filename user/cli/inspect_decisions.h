/* SPDX-License-Identifier: Apache-2.0 */
/* inspect_decisions.h - `veltair inspect --decisions`: what the scheduler decided, and why. */
#ifndef VT_CLI_INSPECT_DECISIONS_H
#define VT_CLI_INSPECT_DECISIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "monitor/monitor.h"

/** What to show of which decisions. */
struct vt_decisions_view {
	const char *path;    /* a recording; NULL: of the live server that pinned its maps... */
	const char *pin_dir; /* ... here; NULL: VT_MONITOR_PIN_DIR */
	uint64_t last;	     /* at most so many, 1 .. VT_DECISIONS */
	bool json;
};

/** vt_inspect_decisions - print them, oldest first; 0 or an error with its text */
int vt_inspect_decisions(const struct vt_decisions_view *v, struct vt_err *e);

#endif
