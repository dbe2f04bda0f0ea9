// SPDX-License-Identifier: Apache-2.0
/*
 * serve.c - `veltair serve`: the life of the server.
 *
 *	addresses bound -> monitor -> rights given up -> workers -> models -> HTTP -> ready
 *
 * What can fail is first, what needs root is before there are threads. Then this thread only
 * waits: for signals, for clients that leave, for the next second.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/cmds.h"
#include "cli/serve.h"
#include "cli/serve_trace.h"
#include "sched/policy.h"
#include "server/agent.h"
#include "server/http.h"
#include "server/loader.h"
#include "server/observe.h"
#include "server/oip.h"

#define TICK_MS	   500
#define AGENT_MS   100		     /* if a balancer is told how this node feels */
#define IDLE_NS	   (3 * VT_NS_PER_S) /* without a request, before models are profiled */
#define LOOK_NS	   (100 * VT_NS_PER_MS)
#define LAST_NS	   VT_NS_PER_S /* for the last answers to leave */
#define MORE_TIME  "EXTEND_TIMEOUT_USEC=10000000"
#define MAX_ROUTES 64u

struct serving {
	struct vt_serve_args args;
	struct vt_config c;
	struct vt_log log;
	int signals; /* signalfd */
	bool starting, ended,
		again;		   /* told to end, or to read the file again, before it was ready */
	int record_fd, record_err; /* which was said */
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
	struct vt_models *models;
	struct vt_loader *loader;
	struct reload *_Atomic reload; /* the next one; a newer takes its place */
	struct vt_oip oip;
	struct vt_route routes[MAX_ROUTES];
	struct vt_metrics_http count;
	struct vt_http *http;
	uint64_t watchdog_us, told_ns; /* when systemd was told last that this goes on */
	/* The loader's. */
	uint64_t busy_ns, tended_ns; /* when a request was last seen; the monitor tended */
	struct vt_snapshot look;
};

/* ---- start -------------------------------------------------------------------------------------- */

static int take_signals(struct serving *s, struct vt_err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return vt_fail(e, -errno, "cannot block signals: %s", strerror(errno));
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? vt_fail(e, -errno, "cannot wait for signals: %s", strerror(errno))
			      : 0;
}

/* A signal that waits, 0 if there is none. */
static int next_signal(struct serving *s)
{
	struct signalfd_siginfo i;

	return read(s->signals, &i, sizeof(i)) == sizeof(i) ? (int)i.ssi_signo : 0;
}

/* Asked by who loads. The signals are this thread's business until there are others. */
static bool must_stop(void *arg)
{
	struct serving *s = arg;
	int sig = s->starting ? next_signal(s) : 0;

	s->ended |= sig == SIGTERM || sig == SIGINT;
	s->again |= sig == SIGHUP;
	return s->ended || s->oip.stopping;
}

static int bind_all(struct serving *s, struct vt_err *e)
{
	for (uint32_t i = 0; i < s->c.n_listen; i++) {
		if (vt_listener_open(&s->listener[i], &s->c.listen[i], s->c.socket_mode, e))
			return vt_serve_no_address(&s->c.listen[i], s->args.file, e);
		s->n_listeners++;
	}
	if (s->c.agent.host && vt_listener_open(&s->agent_at, &s->c.agent, 0, e))
		return vt_serve_no_address(&s->c.agent, s->args.file, e);
	return 0;
}

/* Auto: without it where it cannot be had, and said so. */
static int open_monitor(struct serving *s, struct vt_err *e)
{
	struct vt_monitor_opts o = {
		.pin_dir = s->c.pin_dir ? s->c.pin_dir : VT_MONITOR_PIN_DIR,
		.group = VT_BY_TENANT,
	};
	struct vt_err mine = {0};
	int err;

	snprintf(s->absent, sizeof(s->absent), "switched off");
	if (s->c.monitor == VT_MONITOR_OFF)
		return 0;
	err = vt_monitor_open(&o, &s->monitor, &mine);
	if (!err)
		err = vt_monitor_attach(o.pin_dir, &s->watched, &mine);
	if (!err)
		return 0;
	vt_monitor_close(s->monitor);
	s->monitor = NULL;
	snprintf(s->absent, sizeof(s->absent), "%.250s", mine.msg);
	if (s->c.monitor == VT_MONITOR_ON)
		return vt_fail(e, err, "monitor: %s", mine.msg);
	vt_log(&s->log, VT_LOG_WARN, "no monitor, pressure is learnt from measured slowdown: %s",
	       mine.msg);
	return 0;
}

static int open_runtime(struct serving *s, struct vt_err *e)
{
	struct vt_runtime_opts o = {
		.cores = s->c.cores,
		.policy = s->c.policy ? vt_policy_find(s->c.policy) : NULL,
		.no_shed = s->c.late,
		.max_requests = (uint32_t)s->c.max_requests,
		.monitor = s->monitor,
		.record_fd = -1,
	};
	int err;

	if (s->c.record) {
		s->record_fd = open(s->c.record, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (s->record_fd < 0)
			return vt_fail(e, -errno, "%s: cannot write: %s", s->c.record,
				       strerror(errno));
		o.record_fd = s->record_fd;
	}
	if (s->c.trace) {
		err = vt_serve_trace_open(&s->trace, s->c.trace, s->c.trace_events, e);
		if (err)
			return err;
	}
	vt_serve_trace_runtime(s->trace, &o);
	err = vt_runtime_open(&s->runtime, &o, e);
	if (!err && vt_runtime_avail_err(s->runtime))
		vt_log(&s->log, VT_LOG_WARN,
		       "cores that other programs use will not be noticed: "
		       "/proc/thread-self/schedstat: %s",
		       strerror(-vt_runtime_avail_err(s->runtime)));
	return err;
}

static int load_models(struct serving *s, struct vt_err *e)
{
	struct vt_models_opts o = {.runtime = s->runtime,
				   .cores = s->c.cores,
				   .profiles = s->c.profiles,
				   .log = &s->log,
				   .stop = must_stop,
				   .arg = s};
	int err = 0;

	if (!vt_cpuset_count(&o.cores))
		err = vt_cpuset_allowed(&o.cores);
	if (err)
		return vt_fail(e, err, "cannot read the cores this process may use");
	err = vt_models_new(&s->models, &o, e);
	for (uint32_t i = 0; i < s->c.n_models && !err; i++) {
		if (must_stop(s))
			return -ECANCELED;
		sd_notifyf(0, "STATUS=loading %s\nEXTEND_TIMEOUT_USEC=600000000",
			   s->c.model[i].name);
		err = vt_models_add(s->models, &s->c.model[i], e);
		if (err && s->c.model[i].line)
			vt_fail_at(e, "%s:%u", s->args.file, s->c.model[i].line);
	}
	return err;
}

/* All there is to be asked for, in one table. Whoever adds pages appends rows here. */
static int fill_routes(struct serving *s, struct vt_err *e)
{
	struct vt_gather_opts o = {.runtime = s->runtime,
				   .monitor = s->watched,
				   .monitor_absent = s->watched ? NULL : s->absent,
				   .http = &s->count};
	size_t n = vt_oip_routes(&s->oip, s->routes);
	int err = vt_gather_new(&s->gather, &o, e);

	_Static_assert(VT_OIP_ROUTES + VT_OBSERVE_ROUTES < MAX_ROUTES, "and the end mark");
	vt_observe_routes(s->gather, s->routes + n);
	s->routes[n + VT_OBSERVE_ROUTES] = (struct vt_route){0};
	return err;
}

static void give_away_rows(void *arg, struct vt_monitor *m)
{
	struct serving *s = arg;

	vt_monitor_events(m, NULL, NULL);
	if (!vt_monitor_read(m, UINT64_MAX, &s->look))
		vt_monitor_tend(m, &s->look, NULL);
}

/* The monitor's owner gives away the rows of the dead. Models are added by this thread too. */
static void tend_monitor(struct serving *s)
{
	uint64_t now = vt_now_mono_ns();

	if (!s->monitor || now - s->tended_ns < VT_NS_PER_S)
		return;
	s->tended_ns = now;
	vt_runtime_monitor(s->runtime, give_away_rows, s);
}

/* A job, or the end, is more important than better times. Asked often by who makes them. */
static bool something_to_do(void *arg)
{
	struct serving *s = arg;

	tend_monitor(s);
	return s->oip.stopping || vt_loader_busy(s->loader);
}

/*
 * On the loader's thread while it has no job. Traffic is often a request here and there: only when
 * there was none for a while is there time for a profile.
 */
static uint64_t between_jobs(void *arg)
{
	struct serving *s = arg;
	uint64_t now = vt_now_mono_ns();
	struct vt_err e = {0};
	int rc = 0;

	tend_monitor(s);
	if (!vt_runtime_idle(s->runtime))
		s->busy_ns = now;
	if (now - s->busy_ns >= IDLE_NS)
		rc = vt_models_improve(s->models, something_to_do, s, &e);
	if (rc < 0 && rc != -EBUSY)
		vt_log(&s->log, VT_LOG_WARN, "%s", e.msg);
	return s->oip.stopping ? UINT64_MAX : rc > 0 ? 0 : LOOK_NS;
}

static int open_http(struct serving *s, struct vt_err *e)
{
	struct vt_config c = s->c;
	struct vt_http_opts o = {.config = &c,
				 .listener = s->listener,
				 .n_listeners = s->n_listeners,
				 .routes = s->routes,
				 .count = &s->count,
				 .log = &s->log};
	int err;

	c.max_connections = s->connections;
	for (size_t i = 0; i < s->n_listeners; i++)
		if (vt_listener_start(&s->listener[i], e))
			return vt_serve_no_address(&s->c.listen[i], s->args.file, e);
	s->busy_ns = vt_now_mono_ns();
	s->oip = (struct vt_oip){
		.models = s->models, .runtime = s->runtime, .log = &s->log, .late = s->c.late};
	if (vt_admission_init(&s->oip.admission, (uint32_t)s->c.max_requests))
		return vt_fail(e, -ENOMEM, "no memory for admission");
	err = fill_routes(s, e);
	if (!err)
		err = vt_loader_start(&s->loader, between_jobs, s, e);
	s->oip.loader = s->loader;
	return err ? err : vt_http_start(&s->http, &o, e);
}

/* From root to the user, who gets what the server needs later: sockets, and the store. */
static int give_up_rights(struct serving *s, struct vt_err *e)
{
	int err = 0;

	if (!s->c.user)
		return vt_serve_store(&s->c, s->args.file, &s->log, e);
	for (size_t i = 0; i < s->n_listeners && !err; i++)
		if (s->listener[i].unlink)
			err = vt_serve_give(s->c.user, s->listener[i].unlink, e);
	if (!err && s->c.profiles)
		vt_serve_give_store(s->c.user, s->c.profiles);
	if (!err)
		err = vt_serve_become(s->c.user, s->monitor, e);
	return err ? err : vt_serve_store(&s->c, s->args.file, &s->log, e);
}

static int start(struct serving *s, struct vt_err *e)
{
	int err = take_signals(s, e);

	s->starting = true;
	if (!err)
		err = bind_all(s, e);
	if (!err)
		s->connections = vt_serve_connections(&s->c, &s->log);
	if (!err)
		err = open_monitor(s, e);
	vt_serve_may_come_first();
	if (!err)
		err = give_up_rights(s, e);
	if (!err && s->agent_at.fd >= 0)
		err = vt_agent_start(&s->agent, &s->agent_at, e);
	if (!err)
		err = open_runtime(s, e);
	if (!err)
		err = load_models(s, e);
	s->starting = false;
	if (!err)
		err = open_http(s, e);
	return err;
}

/* ---- end ---------------------------------------------------------------------------------------- */

static int stop(struct serving *s, struct vt_err *e)
{
	int err, recorded;

	vt_agent_stop(s->agent);
	vt_listener_close(&s->agent_at);
	vt_loader_stop(s->loader); /* a job answers; libmicrohttpd stops only if nobody is held */
	vt_http_stop(s->http);
	vt_loader_free(s->loader);
	vt_gather_free(s->gather);
	vt_admission_fini(&s->oip.admission);
	vt_models_free(s->models);
	vt_serve_trace_tick(s->runtime ? s->trace : NULL, s->runtime);
	recorded = vt_runtime_close(s->runtime);
	if (s->record_fd >= 0 && close(s->record_fd) && !recorded)
		recorded = -errno;
	err = vt_serve_trace_close(s->trace, e);
	if (recorded && !err)
		err = vt_fail(e, recorded, "%s: the recording is not whole: %s", s->c.record,
			      strerror(-recorded));
	vt_snapshot_fini(&s->look);
	vt_monitor_close(s->watched);
	vt_monitor_close(s->monitor);
	for (size_t i = 0; i < s->n_listeners; i++)
		vt_listener_close(&s->listener[i]);
	if (s->signals >= 0)
		close(s->signals);
	vt_config_fini(&s->c);
	return err;
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

static void watch_recording(struct serving *s)
{
	const int err = vt_runtime_recording(s->runtime);

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
		vt_agent_tick(s->agent, s->runtime, vt_models_all_ready(s->models),
			      vt_now_mono_ns());
	vt_serve_trace_tick(s->trace, s->runtime);
	watch_recording(s);
}

/* At once, but without leaving a socket's path behind; the monitor's pins go at the next start. */
static void end_at_once(struct serving *s)
{
	vt_log(&s->log, VT_LOG_WARN, "a second signal: ending at once");
	for (size_t i = 0; i < s->n_listeners; i++)
		if (s->listener[i].unlink)
			unlink(s->listener[i].unlink);
	_exit(VT_EXIT_FAILED);
}

static void wait_while(struct serving *s, bool (*busy)(const struct serving *s), uint64_t until)
{
	while (busy(s) && vt_now_mono_ns() < until) {
		int sig = next_signal(s);

		if (sig == SIGTERM || sig == SIGINT)
			end_at_once(s);
		wait_a_little(s, 20);
	}
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
	uint64_t until = vt_now_mono_ns() + s->c.drain_ms * VT_NS_PER_MS;

	vt_log(&s->log, VT_LOG_INFO, "stopping: %u requests to answer", vt_http_busy(s->http));
	sd_notify(0, "STOPPING=1\nSTATUS=answering what has been taken");
	s->oip.stopping = true;
	vt_agent_say(s->agent, VT_AGENT_DRAIN, 0);
	vt_http_quiesce(s->http);
	wait_while(s, clients, until);
	vt_runtime_turn_away(s->runtime);
	/* What runs is waited for, be it late; then whoever is left is slow to send or to take. */
	wait_while(s, computing, UINT64_MAX);
	vt_runtime_drain(s->runtime); /* at most for what came this very moment */
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
	struct vt_err e = {0};
	const struct vt_policy *p = r->c.policy ? vt_policy_find(r->c.policy) : NULL;
	const int err = vt_models_reload(s->models, &r->c, &e);

	if (err && err != -ECANCELED)
		vt_log(&s->log, VT_LOG_ERROR, "reload: %s; what it replaces goes on", e.msg);
	if (vt_runtime_policy(s->runtime, p ? p : vt_policy_find("veltair-full"), r->c.late))
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
	if (vt_serve_config(&s->args, &r->c, &e)) {
		vt_log(&s->log, VT_LOG_ERROR, "reload: %s; nothing was changed", e.msg);
		reload_free(r);
		return;
	}
	if (*vt_serve_stays(&s->c, &r->c, stays, sizeof(stays)))
		vt_log(&s->log, VT_LOG_WARN, "these change with a restart only: %s", stays);
	vt_serve_move_agent(&s->agent, &s->agent_at, &s->c.agent, &r->c.agent, &s->log);
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

	for (size_t i = 0; i < s->n_listeners; i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "",
			 s->listener[i].text);
	vt_log(&s->log, VT_LOG_INFO, "ready: %u %s on %s", s->c.n_models,
	       s->c.n_models == 1 ? "model" : "models", all);
	vt_serve_no_models(&s->c, s->args.file, &s->log);
	sd_notifyf(0, "READY=1\nSTATUS=serving, models: %u, on %s", s->c.n_models, all);
}

static void serve(struct serving *s)
{
	sd_watchdog_enabled(0, &s->watchdog_us);
	say_ready(s);
	if (s->again)
		reload(s);
	for (;;) {
		int sig = next_signal(s);

		if (sig == SIGTERM || sig == SIGINT)
			break;
		if (sig == SIGHUP)
			reload(s);
		wait_a_little(s, s->agent ? AGENT_MS : TICK_MS);
	}
	drain(s);
}

int vt_cmd_serve(int argc, char **argv)
{
	struct serving *s = calloc(1, sizeof(*s));
	struct vt_err e = {0};
	int err;

	if (!s)
		return VT_EXIT_FAILED;
	vt_serve_parse(&s->args, argc, argv);
	s->signals = s->record_fd = s->agent_at.fd = -1;
	s->log = (struct vt_log){"veltair serve", s->args.verbose ? VT_LOG_DEBUG : VT_LOG_INFO, 2};
	err = vt_serve_config(&s->args, &s->c, &e);
	if (!err)
		err = vt_serve_fits(&s->c, s->args.file, &e);
	if (!err)
		err = s->args.check ? vt_serve_check(&s->c, s->args.file, &s->log, &e)
				    : start(s, &e);
	if (!err && !s->args.check)
		serve(s);
	else if (!err) {
		vt_serve_no_models(&s->c, s->args.file, &s->log);
		printf("%s: sound; models: %u\n", s->args.file ? s->args.file : "flags",
		       s->c.n_models);
	}
	if (s->ended) {
		vt_log(&s->log, VT_LOG_INFO, "stopped before it was ready");
		err = 0;
	}
	if (err)
		stop(s, NULL);
	else
		err = stop(s, &e);
	free(s);
	return err ? vt_cmd_fail("serve", &e) : VT_EXIT_OK;
}
