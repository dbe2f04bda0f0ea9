// SPDX-License-Identifier: Apache-2.0
/*
 * serve_run.c - what the thread that started the server does while it serves: it waits, for signals, for clients that
 * leave, for the next half second. Nothing here computes.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/serve_state.h"
#include "sched/policy.h"
#include "server/agent.h"

#define TICK_MS	  500
#define AGENT_MS  100	      /* if a balancer is told how this node feels */
#define LAST_NS	  VT_NS_PER_S /* for the last answers to leave */
#define RECORD_NS (400 * VT_NS_PER_MS)
#define HEAD_NS	  VT_NS_PER_S /* for a recording's head to be in its file */
#define MOMENT_NS (100 * VT_NS_PER_MS)
#define MORE_TIME "EXTEND_TIMEOUT_USEC=10000000"

int vt_serving_signal(struct serving *s)
{
	struct signalfd_siginfo i;

	return read(s->signals, &i, sizeof(i)) == sizeof(i) ? (int)i.ssi_signo : 0;
}

/* That this thread is alive, and at the end that it needs more time. */
static void tell_systemd(struct serving *s)
{
	const uint64_t now = vt_now_mono_ns();
	const bool ends = s->oip.stopping;

	if (now - s->told_ns < (ends ? VT_NS_PER_S : s->watchdog_us * 1000 / 3) ||
	    (!ends && !s->watchdog_us))
		return;
	s->told_ns = now;
	sd_notify(0, ends ? "WATCHDOG=1\n" MORE_TIME : "WATCHDOG=1");
}

/* What is killed loses what was not written: this much, and a tick. A file that takes nothing is not waited for. */
static void watch_recording(struct serving *s, uint64_t wait_ns)
{
	const uint64_t now = vt_now_mono_ns();
	int err;

	if (now - s->recorded_ns >= RECORD_NS) {
		vt_runtime_write_recording(s->runtime, wait_ns);
		s->recorded_ns = now;
	}
	err = vt_runtime_recording(s->runtime);
	if (err && !s->record_err)
		vt_log(&s->log, VT_LOG_ERROR, "%s: cannot write, the recording has ended: %s",
		       s->c.record, strerror(-err));
	s->record_err = err;
}

static void wait_a_little(struct serving *s, int ms)
{
	struct pollfd p[2] = {{s->signals, POLLIN, 0}, {vt_http_tend_fd(s->http), POLLIN, 0}};

	tell_systemd(s);
	poll(p, 2, ms);
	vt_http_tend(s->http, vt_now_mono_ns());
	if (!s->oip.stopping)
		vt_agent_tick(s->agent, s->runtime, vt_now_mono_ns());
	vt_serve_trace_tick(s->trace, s->runtime);
	watch_recording(s, 0);
}

/* The paths of sockets are gone since drain() began; the monitor's pins go at the next start. */
static void end_at_once(struct serving *s)
{
	vt_log(&s->log, VT_LOG_WARN, "a second signal: ending at once");
	_exit(VT_EXIT_FAILED);
}

static void wait_while(struct serving *s, bool (*busy)(const struct serving *s), uint64_t until)
{
	while (busy(s) && vt_now_mono_ns() < until) {
		int sig = vt_serving_signal(s);

		if (sig == SIGTERM || sig == SIGINT)
			end_at_once(s);
		wait_a_little(s, 20);
	}
}

static bool always(const struct serving *s)
{
	return true;
}

static bool clients(const struct serving *s)
{
	return vt_http_busy(s->http);
}

static bool computing(const struct serving *s)
{
	return !vt_runtime_idle(s->runtime);
}

static bool loading(const struct serving *s)
{
	return vt_loader_busy(s->loader);
}

/* Answer what has been taken: what has not begun by drain_ms with a refusal, as a queue may last for minutes. */
static void drain(struct serving *s)
{
	const uint64_t began = vt_now_mono_ns(), until = began + s->c.drain_ms * VT_NS_PER_MS;

	vt_log(&s->log, VT_LOG_INFO, "stopping: %u requests to answer", vt_http_busy(s->http));
	sd_notify(0, "STOPPING=1\nSTATUS=answering what has been taken");
	s->oip.stopping = true;
	vt_agent_say(s->agent, VT_AGENT_DRAIN, 0);
	/* While they are open: later the paths may be the next server's. */
	for (size_t i = 0; i < s->n_listeners; i++)
		vt_listener_unlink(&s->listener[i]);
	vt_http_quiesce(s->http);
	wait_while(s, clients, until);
	vt_runtime_turn_away(s->runtime);
	/* What runs is waited for, be it late; then whoever is left is slow to send or to take. */
	wait_while(s, computing, UINT64_MAX);
	vt_runtime_drain(s->runtime); /* at most for what came this very moment */
	/* A request that is on its way over an open connection is counted nowhere yet. */
	wait_while(s, always, began + MOMENT_NS);
	wait_while(s, clients, vt_now_mono_ns() + LAST_NS);
	wait_while(s, loading, UINT64_MAX);
}

/* ---- a new configuration ------------------------------------------------------------------------- */

struct reload {
	struct vt_config c;
};

static void reload_free(struct reload *r)
{
	if (r)
		vt_config_fini(&r->c);
	free(r);
}

/* On the loader's thread. One job for all that came while it waited: the last of them. */
static void reload_models(void *arg)
{
	struct serving *s = arg;
	struct reload *r = atomic_exchange(&s->reload, NULL);
	const struct vt_policy *p = vt_policy_find(r->c.policy ? r->c.policy : VT_POLICY_DEFAULT);
	const int err = vt_models_reload(s->models, &r->c, NULL);

	/* What it has learnt is kept unless it changes: a policy begins anew. */
	if (p != s->policy || r->c.late != s->oip.late)
		s->policy = vt_runtime_policy(s->runtime, p, r->c.late) ? NULL : p;
	if (!s->policy)
		vt_log(&s->log, VT_LOG_ERROR, "reload: cannot change the policy");
	s->oip.late = r->c.late;
	if (!err)
		vt_log(&s->log, VT_LOG_INFO, "reloaded");
	sd_notify(0, "READY=1\nSTATUS=serving");
	reload_free(r);
}

static void reload(struct serving *s)
{
	struct reload *r = calloc(1, sizeof(*r)), *before;
	struct vt_err e = {0};
	char stays[512];

	if (!r)
		return;
	if (!s->args.file)
		vt_log(&s->log, VT_LOG_INFO,
		       "SIGHUP: no file to read again; models whose file has "
		       "changed are loaded again");
	if (vt_serve_config(&s->args, &r->c, &e) || vt_serve_fits(&r->c, s->args.file, &e)) {
		vt_log(&s->log, VT_LOG_ERROR, "reload: %s; nothing was changed", e.msg);
		reload_free(r);
		return;
	}
	if (*vt_serve_stays(&s->c, &r->c, stays, sizeof(stays)))
		vt_log(&s->log, VT_LOG_WARN, "these change with a restart only: %s", stays);
	vt_serve_move_agent(&s->agent, &s->agent_at, &s->c.agent, &r->c.agent, &s->log);
	vt_agent_tick(s->agent, s->runtime, vt_now_mono_ns());
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		   (unsigned long long)(vt_now_mono_ns() / 1000));
	before = atomic_exchange(&s->reload, r);
	reload_free(before);
	if (!before && !vt_loader_post(s->loader, reload_models, s))
		reload_free(atomic_exchange(&s->reload, NULL));
}

/* ---- the wait ------------------------------------------------------------------------------------ */

static void say_ready(struct serving *s)
{
	char all[512] = "";

	if (!s->c.user && geteuid() == 0)
		vt_log(&s->log, VT_LOG_WARN,
		       "serving as root: `user:` in the configuration (--user) gives that up after "
		       "the start");
	for (size_t i = 0; i < s->n_listeners; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 s->listener[i].text);
	vt_log(&s->log, VT_LOG_INFO, "ready: %u %s on %s", s->c.n_models,
	       s->c.n_models == 1 ? "model" : "models", all);
	vt_serve_no_models(&s->c, s->args.file, &s->log);
	sd_notifyf(0, "READY=1\nSTATUS=serving, models: %u, on %s", s->c.n_models, all);
}

void vt_serving_run(struct serving *s)
{
	sd_watchdog_enabled(0, &s->watchdog_us);
	watch_recording(s, HEAD_NS); /* from now on the file is one, whatever happens */
	say_ready(s);
	if (s->again)
		reload(s);
	for (;;) {
		int sig = vt_serving_signal(s);

		if (sig == SIGTERM || sig == SIGINT)
			break;
		if (sig == SIGHUP)
			reload(s);
		wait_a_little(s, s->agent ? AGENT_MS : TICK_MS);
	}
	drain(s);
}
