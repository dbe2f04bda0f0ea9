// SPDX-License-Identifier: Apache-2.0
#include "cli/monitor_listen.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "monitor/priv.h"
#include "server/http.h"
#include "server/observe.h"

struct listening {
	struct vt_config config;
	struct vt_listener listener;
	struct vt_gather *gather;
	struct vt_route routes[VT_OBSERVE_ROUTES + 1];
	struct vt_metrics_http count;
	struct vt_http *http;
};

/* As in `veltair serve`: whatever the reason, it is the flag that must change. */
static int no_address(struct vt_err *e)
{
	e->code = -EINVAL;
	return e->code;
}

static int start(struct listening *l, struct vt_monitor *m, const char *where,
		 const struct vt_log *log, struct vt_err *e)
{
	struct vt_gather_opts go = {.monitor = m, .http = &l->count};
	struct vt_http_opts ho = {.config = &l->config,
				  .listener = &l->listener,
				  .n_listeners = 1,
				  .routes = l->routes,
				  .count = &l->count,
				  .log = log};
	int err = vt_config_init(&l->config);

	if (!err && vt_config_add_listen(&l->config, where, 0, e))
		err = vt_fail_at(e, "--listen");
	if (!err &&
	    vt_listener_open(&l->listener, &l->config.listen[l->config.n_listen - 1], 0660, e))
		return no_address(e);
	if (!err)
		err = vt_priv_drop(e);
	if (!err)
		err = vt_gather_new(&l->gather, &go, e);
	if (err)
		return err;
	vt_observe_routes(l->gather, l->routes);
	return vt_listener_start(&l->listener, e) ? no_address(e) : vt_http_start(&l->http, &ho, e);
}

static int serve(struct listening *l, struct vt_monitor *m, bool owner, const struct vt_log *log,
		 const volatile sig_atomic_t *stopped, struct vt_err *e)
{
	char said[sizeof(e->msg)] = "";
	int err = 0;

	while (!*stopped && !err) {
		struct vt_err trouble = {0};
		struct pollfd p = {.fd = vt_http_tend_fd(l->http), .events = POLLIN};

		poll(&p, 1, 1000);
		vt_http_tend(l->http, vt_now_mono_ns());
		if (!owner)
			err = vt_monitor_alive(m, e);
		else if (vt_gather_tend(l->gather, &trouble) && strcmp(said, trouble.msg) != 0) {
			memcpy(said, trouble.msg, sizeof(said));
			vt_log(log, VT_LOG_WARN, "%s", said);
		}
	}
	return err;
}

int vt_monitor_listen(struct vt_monitor *m, bool owner, const char *where,
		      const volatile sig_atomic_t *stopped, struct vt_err *e)
{
	const struct vt_log log = {.who = "veltair monitor", .level = VT_LOG_INFO, .fd = 2};
	struct listening l = {.listener = {.fd = -1}};
	int err = start(&l, m, where, &log, e);

	if (!err) {
		vt_log(&log, VT_LOG_INFO, "metrics at http://%s/metrics, the page at /dashboard",
		       l.listener.text);
		err = serve(&l, m, owner, &log, stopped, e);
	}
	vt_listener_unlink(&l.listener);
	vt_http_stop(l.http);
	vt_gather_free(l.gather);
	vt_listener_close(&l.listener);
	vt_config_fini(&l.config);
	return err;
}
