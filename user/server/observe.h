/* SPDX-License-Identifier: Apache-2.0 */
/* observe.h - the routes that people and scrapers look through: /metrics, the dashboard. */
#ifndef VT_SERVER_OBSERVE_H
#define VT_SERVER_OBSERVE_H

#include "metrics/gather.h"
#include "server/route.h"

#define VT_OBSERVE_ROUTES 5u

/**
 * vt_observe_routes - write VT_OBSERVE_ROUTES rows to @ret; the end mark is the caller's
 *
 *	/metrics		Prometheus text, OpenMetrics if Accept asks for it
 *	/dashboard		the page, and its files below
 *	/dashboard/state	what it polls, and `veltair top` too
 *	/			sends browsers to the page
 *
 * @g is used on I/O threads and must outlive the server.
 */
void vt_observe_routes(struct vt_gather *g, struct vt_route ret[VT_OBSERVE_ROUTES]);

#endif
