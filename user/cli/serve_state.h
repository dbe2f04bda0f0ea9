/* SPDX-License-Identifier: Apache-2.0 */
/* serve_state.h - one `veltair serve`, for serve.c, which makes and ends it, and serve_run.c, which waits meanwhile. */
#ifndef VT_CLI_SERVE_STATE_H
#define VT_CLI_SERVE_STATE_H

#include <stdatomic.h>

#include "cli/serve.h"
#include "cli/serve_file.h"
#include "cli/serve_trace.h"
#include "server/http.h"
#include "server/loader.h"
#include "server/oip.h"

#define VT_MAX_ROUTES 64u

struct serving {
	struct vt_serve_args args;
	struct vt_config c;
	struct vt_log log;
	struct vt_cpuset cores; /* to compute on */
	int signals;		/* signalfd */
	bool starting, ended,
		again; /* told to end, or to read the file again, before it was ready */
	struct vt_serve_file record; /* of what the runtime writes */
	int record_err;		     /* which was said */
	uint64_t recorded_ns;	     /* when the recording was written last */
	struct vt_listener listener[VT_CONFIG_LISTEN];
	size_t n_listeners;
	struct vt_listener agent_at; /* fd -1: nobody asked for it */
	uint64_t connections;	     /* per address */
	struct vt_agent *agent;
	struct vt_monitor *monitor, *watched; /* the second handle is for those who look */
	char absent[256];		      /* why there is none */
	struct vt_gather *gather;
	struct vt_serve_trace *trace;
	struct vt_runtime *runtime;
	const struct vt_policy *policy; /* NULL: could not be changed to what the file says */
	struct vt_models *models;
	struct vt_loader *loader;
	struct reload *_Atomic reload; /* the next one; a newer takes its place */
	struct vt_oip oip;
	struct vt_regions regions;
	struct vt_route routes[VT_MAX_ROUTES];
	struct vt_metrics_http count;
	struct vt_http *http;
	uint64_t watchdog_us, told_ns; /* when systemd was told last that this goes on */
	/* The loader's. */
	uint64_t tended_ns; /* the monitor was */
	double busy_share;  /* of the loader's looks of late that met requests */
	struct vt_snapshot look;
	char said[sizeof(((struct vt_err *)0)->msg)]; /* of the monitor's troubles, the last */
};

/** vt_serving_signal - one that waits, 0 if there is none. The thread's that started the server */
int vt_serving_signal(struct serving *s);
/** vt_serving_run - from ready to the last answer: until SIGTERM or SIGINT; a second one exits */
void vt_serving_run(struct serving *s);

#endif
