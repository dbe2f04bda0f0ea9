// SPDX-License-Identifier: Apache-2.0
/* serve_agent.c - the agent's address changes with the configuration. */
#include <string.h>

#include "cli/serve.h"

static bool same(const struct vt_config_listen *a, const struct vt_config_listen *b)
{
	if (!a->host || !b->host)
		return a->host == b->host;
	return a->port == b->port && !strcmp(a->host, b->host);
}

static int open_agent(struct vt_agent **ret, struct vt_listener *at,
		      const struct vt_config_listen *l, struct vt_err *e)
{
	int err = vt_listener_open(at, l, 0, e);

	if (!err)
		err = vt_agent_start(ret, at, e);
	if (err)
		vt_listener_close(at);
	return err;
}

void vt_serve_move_agent(struct vt_agent **agent, struct vt_listener *at,
			 struct vt_config_listen *now, struct vt_config_listen *wanted,
			 const struct vt_log *log)
{
	struct vt_config_listen old = *now;
	struct vt_listener next = {.fd = -1};
	struct vt_agent *a = NULL;
	struct vt_err e = {0};

	if (same(now, wanted))
		return;
	if (wanted->host && open_agent(&a, &next, wanted, &e)) {
		vt_log(log, VT_LOG_ERROR, "reload: agent: %s; %s%s", e.msg,
		       *agent ? "it stays on " : "there is none", *agent ? at->text : "");
		return;
	}
	vt_agent_stop(*agent);
	vt_listener_close(at);
	*agent = a;
	*at = next;
	*now = *wanted;
	*wanted = old; /* for its owner to free */
	if (a)
		vt_log(log, VT_LOG_INFO, "the agent is on %s now", next.text);
	else
		vt_log(log, VT_LOG_INFO, "there is no agent any more");
}
