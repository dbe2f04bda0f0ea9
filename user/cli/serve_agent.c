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
		      const struct vt_config_listen *l, const struct vt_agent_said *as,
		      struct vt_err *e)
{
	int err = vt_listener_open(at, l, 0, e);

	if (!err)
		err = vt_agent_start(ret, at, as, e);
	if (err)
		vt_listener_close(at);
	return err;
}

static void close_agent(struct vt_agent **agent, struct vt_listener *at)
{
	vt_agent_stop(*agent);
	vt_listener_close(at);
	*agent = NULL;
}

/*
 * To an address that the present one is in the way of: ":80" and "127.0.0.1:80" cannot be had at a time. If it cannot
 * be had without the present one either, back to that.
 */
static int reopen_agent(struct vt_agent **agent, struct vt_listener *at,
			const struct vt_config_listen *now, const struct vt_config_listen *wanted,
			const struct vt_agent_said *as, struct vt_err *e)
{
	struct vt_err lost = {0};
	int err;

	close_agent(agent, at);
	err = open_agent(agent, at, wanted, as, e);
	if (err && open_agent(agent, at, now, as, &lost))
		vt_fail_at(e, "%s", lost.msg);
	return err;
}

/* Both at a time, if that can be: whoever asks meanwhile is answered by one of them. */
static int move_agent(struct vt_agent **agent, struct vt_listener *at,
		      const struct vt_config_listen *now, const struct vt_config_listen *wanted,
		      struct vt_err *e)
{
	/* Where there was none: all models of the start are loaded, and how the node feels is looked at soon. */
	struct vt_agent_said said = {.state = VT_AGENT_READY, .percent = VT_SPARE_FLOOR};
	struct vt_listener next = {.fd = -1};
	struct vt_agent *a = NULL;
	int err;

	if (*agent)
		vt_agent_said(*agent, &said);
	err = wanted->host ? open_agent(&a, &next, wanted, &said, e) : 0;
	if (err == -EADDRINUSE && *agent && now->port == wanted->port)
		return reopen_agent(agent, at, now, wanted, &said, e);
	if (err)
		return err;
	close_agent(agent, at);
	*agent = a;
	*at = next;
	return 0;
}

void vt_serve_move_agent(struct vt_agent **agent, struct vt_listener *at,
			 struct vt_config_listen *now, struct vt_config_listen *wanted,
			 const struct vt_log *log)
{
	struct vt_config_listen old = *now;
	struct vt_err e = {0};

	if (same(now, wanted) && (*agent || !wanted->host))
		return;
	if (move_agent(agent, at, now, wanted, &e)) {
		vt_log(log, VT_LOG_ERROR, "reload: agent: %s; %s%s", e.msg,
		       *agent ? "it stays on " : "there is none", *agent ? at->text : "");
		return;
	}
	*now = *wanted;
	*wanted = old; /* for its owner to free */
	if (*agent)
		vt_log(log, VT_LOG_INFO, "the agent is on %s now", at->text);
	else
		vt_log(log, VT_LOG_INFO, "there is no agent any more");
}
