// SPDX-License-Identifier: Apache-2.0
/*
 * serve.c - `veltair serve`: the life of the server.
 *
 *	addresses bound -> monitor -> rights given up -> workers -> models -> HTTP -> ready
 *
 * What can fail is first, what needs root is before there are threads. What this thread does then is in serve_run.c.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/cli.h"
#include "cli/cmds.h"
#include "cli/serve_state.h"
#include "sched/policy.h"
#include "server/agent.h"
#include "server/http.h"
#include "server/loader.h"
#include "server/observe.h"
#include "server/oip.h"

#define LOOK_NS (100 * VT_NS_PER_MS)
/* Weight of a look: after a time of nothing but requests, half of that is forgotten in three seconds. */
#define LOOKS 44

/* ---- start -------------------------------------------------------------------------------------- */

static int take_signals(struct serving *s, struct vt_err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ,
	       SIG_IGN); /* a client's shared memory may be larger than this process may write */
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return vt_fail(e, -errno, "cannot block signals: %s", strerror(errno));
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? vt_fail(e, -errno, "cannot wait for signals: %s", strerror(errno))
			      : 0;
}

/* Asked by who loads. The signals are this thread's business until there are others. */
static bool must_stop(void *arg)
{
	struct serving *s = arg;
	int sig = s->starting ? vt_serving_signal(s) : 0;

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
	struct vt_err mine = {0}, nameless = {0};
	int err;

	snprintf(s->absent, sizeof(s->absent), "switched off");
	if (s->c.monitor == VT_MONITOR_OFF)
		return 0;
	err = vt_monitor_open(&o, &s->monitor, &mine);
	if (err == -EBUSY)
		vt_fail_more(&mine, ", or give this one --pin-dir (pin_dir:)");
	if (!err)
		err = vt_monitor_attach(o.pin_dir, &s->watched, &mine);
	if (!err && vt_cgroup_nameless(s->monitor, &nameless))
		vt_log(&s->log, VT_LOG_WARN,
		       "monitor: what runs beside the models cannot be told apart by cgroup: %s",
		       nameless.msg);
	if (!err) {
		vt_monitor_tell_absent(s->watched, s->monitor);
		return 0;
	}
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
		.cores = s->cores,
		.policy = vt_policy_find(s->c.policy ? s->c.policy : VT_POLICY_DEFAULT),
		.no_shed = s->c.late,
		.max_requests = (uint32_t)s->c.max_requests,
		.monitor = s->monitor,
		.record_fd = -1,
	};
	int err;

	s->policy = o.policy;
	if (s->c.trace) {
		err = vt_serve_trace_open(&s->trace, s->c.trace, s->c.trace_events, e);
		if (err)
			return err;
	}
	if (s->c.record) {
		o.record_fd = vt_serve_file_open(&s->record, s->c.record, e);
		if (o.record_fd < 0)
			return o.record_fd;
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
				   .cores = s->cores,
				   .profiles = s->c.profiles,
				   .log = &s->log,
				   .stop = must_stop,
				   .arg = s};
	int err = vt_models_new(&s->models, &o, e);

	for (uint32_t i = 0; i < s->c.n_models && !err; i++) {
		if (must_stop(s))
			return -ECANCELED;
		sd_notifyf(0, "STATUS=loading %s\nEXTEND_TIMEOUT_USEC=600000000",
			   s->c.model[i].name);
		err = vt_models_add(s->models, &s->c.model[i], e);
		if (err && s->c.model[i].line)
			vt_fail_at(e, "%s:%u", s->args.file, s->c.model[i].line);
		else if (err)
			vt_serve_not_bench(&s->c.model[i], e);
	}
	return err;
}

struct model_list {
	struct vt_metrics_model *ret;
	size_t n, max;
};

static bool list_model(void *arg, const struct vt_model_entry *e)
{
	struct model_list *l = arg;
	struct vt_metrics_model *m = &l->ret[l->n];

	memcpy(m->name, e->config.name, sizeof(m->name));
	memcpy(m->version, e->config.version, sizeof(m->version));
	m->ready = e->now && e->state != VT_MODEL_UNLOADING;
	m->unloaded = e->state == VT_MODEL_UNLOADED;
	return ++l->n < l->max;
}

static size_t list_models(void *arg, struct vt_metrics_model *ret, size_t max)
{
	struct model_list l = {ret, 0, max};

	vt_models_each(arg, list_model, &l);
	return l.n;
}

/* All there is to be asked for, in one table. Whoever adds pages appends rows here. */
static int fill_routes(struct serving *s, struct vt_err *e)
{
	struct vt_gather_opts o = {.runtime = s->runtime,
				   .monitor = s->watched,
				   .monitor_absent = s->watched ? NULL : s->absent,
				   .http = &s->count,
				   .models = list_models,
				   .arg = s->models};
	size_t n = vt_oip_routes(&s->oip, s->routes);
	int err = vt_gather_new(&s->gather, &o, e);

	_Static_assert(VT_OIP_ROUTES + VT_OBSERVE_ROUTES < VT_MAX_ROUTES, "and the end mark");
	vt_observe_routes(s->gather, s->routes + n);
	s->routes[n + VT_OBSERVE_ROUTES] = (struct vt_route){0};
	return err;
}

static void give_away_rows(void *arg, struct vt_monitor *m)
{
	struct serving *s = arg;
	struct vt_err trouble = {0};

	vt_monitor_events(m, NULL, NULL);
	if (vt_monitor_read(m, UINT64_MAX, &s->look) || !vt_monitor_tend(m, &s->look, &trouble) ||
	    !strcmp(s->said, trouble.msg))
		return;
	memcpy(s->said, trouble.msg, sizeof(s->said));
	vt_log(&s->log, VT_LOG_WARN, "monitor: %s", s->said);
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
 * A request here and there leaves time for a profile, whose maker gives way at once; where requests
 * take most of the time there is none.
 */
static bool time_to_improve(struct serving *s)
{
	const bool busy = !vt_runtime_idle(s->runtime);

	s->busy_share += ((busy ? 1 : 0) - s->busy_share) / LOOKS;
	return !busy && s->busy_share < 0.5;
}

/* On the loader's thread while it has no job. */
static uint64_t between_jobs(void *arg)
{
	struct serving *s = arg;
	struct vt_err e = {0};
	int rc = 0;

	tend_monitor(s);
	if (time_to_improve(s))
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
	s->busy_share = 1;
	s->oip = (struct vt_oip){
		.models = s->models, .runtime = s->runtime, .log = &s->log, .late = s->c.late};
	if (s->c.shm != VT_SHM_OFF)
		s->oip.regions = &s->regions;
	s->oip.regions_local = s->c.shm == VT_SHM_UNIX;
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
		err = vt_agent_start(&s->agent, &s->agent_at, NULL, e);
	if (!err)
		err = vt_serve_cores(&s->c, &s->log, &s->cores, e);
	if (!err)
		err = open_runtime(s, e);
	if (!err)
		err = load_models(s, e);
	if (!err)
		err = vt_serve_file_begin(&s->record, e);
	if (!err)
		err = vt_serve_trace_begin(s->trace, e);
	s->starting = false;
	if (!err)
		err = open_http(s, e);
	return err;
}

/* ---- end ---------------------------------------------------------------------------------------- */

static int stop(struct serving *s, struct vt_err *e)
{
	int err, recorded;

	for (size_t i = 0; i < s->n_listeners; i++)
		vt_listener_unlink(&s->listener[i]); /* before vt_http_stop() closes them */
	vt_agent_stop(s->agent);
	vt_listener_close(&s->agent_at);
	vt_loader_stop(s->loader); /* a job answers; libmicrohttpd stops only if nobody is held */
	vt_http_stop(s->http);
	vt_loader_free(s->loader);
	vt_gather_free(s->gather);
	vt_admission_fini(&s->oip.admission);
	vt_regions_fini(&s->regions);
	vt_models_free(s->models);
	vt_serve_trace_tick(s->runtime ? s->trace : NULL, s->runtime);
	recorded = vt_runtime_close(s->runtime);
	vt_serve_file_end(&s->record);
	err = vt_serve_trace_close(s->trace, e);
	if (recorded && !err)
		err = vt_fail(e, recorded, "%s: the recording is not whole: %s", s->c.record,
			      recorded == -ETIMEDOUT ? "the file takes nothing"
						     : strerror(-recorded));
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

int vt_cmd_serve(int argc, char **argv)
{
	struct serving *s = calloc(1, sizeof(*s));
	struct vt_err e = {0};
	int err;

	if (!s)
		return VT_EXIT_FAILED;
	vt_serve_parse(&s->args, argc, argv);
	vt_regions_init(&s->regions, VT_REGION_DIR);
	s->signals = s->agent_at.fd = -1;
	s->log = (struct vt_log){"veltair serve", s->args.verbose ? VT_LOG_DEBUG : VT_LOG_INFO, 2};
	err = vt_serve_config(&s->args, &s->c, &e);
	if (!err)
		err = vt_serve_fits(&s->c, s->args.file, &e);
	if (!err)
		err = s->args.check ? vt_serve_check(&s->c, s->args.file, &s->log, &e)
				    : start(s, &e);
	if (!err && !s->args.check)
		vt_serving_run(s);
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
