/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_listen.h - `veltair monitor --listen`: metrics and page of a machine without the runtime. */
#ifndef VT_CLI_MONITOR_LISTEN_H
#define VT_CLI_MONITOR_LISTEN_H

#include <signal.h>

#include "monitor/monitor.h"

/**
 * vt_monitor_listen - answer on @where ("127.0.0.1:9464" or unix:/PATH) until *@stopped
 * @owner: @m is this process's own and must be tended; else somebody else's, only read
 * Privileges are dropped once the socket is bound.
 */
int vt_monitor_listen(struct vt_monitor *m, bool owner, const char *where,
		      const volatile sig_atomic_t *stopped, struct vt_err *e);

#endif
