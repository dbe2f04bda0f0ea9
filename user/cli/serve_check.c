// SPDX-License-Identifier: Apache-2.0
/* serve_check.c - what a configuration asks of this machine, and what of it a running server cannot change. */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli.h"
#include "cli/serve.h"
#include "cli/serve_file.h"
#include "exec/here.h"
#include "profile/profile.h"
#include "server/models.h"

/* ---- at once ------------------------------------------------------------------------------------ */

static int check_cores(const struct vt_config *c, const char *file, struct vt_err *e)
{
	struct vt_cpuset allowed;
	char list[128];
	const unsigned int named = vt_cpuset_count(&c->cores);
	int err = vt_cpuset_allowed(&allowed);

	if (err)
		return vt_fail(e, err, "cannot read the cores this process may use");
	if (named > VT_SCHED_MAX_CORES) {
		vt_fail(e, -EINVAL, "%u cores are named; a server computes on %u at most", named,
			VT_SCHED_MAX_CORES);
		return vt_config_at(c, VT_KEY_CORES, file, e);
	}
	for (int core = vt_cpuset_next(&c->cores, 0); core >= 0;
	     core = vt_cpuset_next(&c->cores, (unsigned int)core + 1)) {
		if (vt_cpuset_has(&allowed, (unsigned int)core))
			continue;
		vt_cpuset_format(&allowed, list, sizeof(list));
		vt_fail(e, -EINVAL, "this process may not use core %d, only %s", core, list);
		return vt_config_at(c, VT_KEY_CORES, file, e);
	}
	return 0;
}

static const char *size_text(uint64_t bytes, char *buf, size_t len)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
	unsigned int u = 0;

	for (; u < 3 && !(bytes % 1024); u++)
		bytes /= 1024;
	snprintf(buf, len, "%llu %s", (unsigned long long)bytes, units[u]);
	return buf;
}

static int check_limits(const struct vt_config *c, const char *file, struct vt_err *e)
{
	char body[32], memory[32];

	if (c->max_body_bytes <= c->max_memory_bytes)
		return 0;
	vt_fail(e, -EINVAL,
		"limits.max_body (%s) exceeds limits.max_memory (%s): raise one or lower the other",
		size_text(c->max_body_bytes, body, sizeof(body)),
		size_text(c->max_memory_bytes, memory, sizeof(memory)));
	return vt_config_at(c, c->line[VT_KEY_MAX_BODY] ? VT_KEY_MAX_BODY : VT_KEY_MAX_MEMORY, file,
			    e);
}

int vt_serve_fits(const struct vt_config *c, const char *file, struct vt_err *e)
{
	int err = check_cores(c, file, e);

	if (!err && c->user && vt_serve_user(c->user, e))
		err = vt_config_at(c, VT_KEY_USER, file, e);
	return err ? err : check_limits(c, file, e);
}

int vt_serve_store(const struct vt_config *c, const char *file, const struct vt_log *log,
		   struct vt_err *e)
{
	struct vt_err mine = {0};
	int err = c->profiles ? vt_serve_try_store(c->user, c->profiles, &mine) : 0;

	if (!err)
		return 0;
	vt_config_at(c, VT_KEY_PROFILES, file, &mine);
	if (err == -EINVAL)
		return vt_fail(e, err, "%s", mine.msg);
	vt_log(log, VT_LOG_WARN, "models will not be profiled: %s", mine.msg);
	return 0;
}

void vt_serve_no_models(const struct vt_config *c, const char *file, const struct vt_log *log)
{
	if (!c->n_models)
		vt_log(log, VT_LOG_WARN,
		       "no models: nothing can be served until %s names some and is read again "
		       "(SIGHUP)",
		       file);
}

int vt_serve_no_address(const struct vt_config_listen *l, const char *file, struct vt_err *e)
{
	/* A network that comes up with the machine may bring it yet: that is tried again. */
	if (e->code != -EADDRNOTAVAIL && e->code != -EAGAIN)
		e->code = -EINVAL;
	return l->line ? vt_fail_at(e, "%.150s:%u", file, l->line) : e->code;
}

/* ---- by trying ---------------------------------------------------------------------------------- */

/* What a killed server left would be replaced; that is not for a look to do. */
static int try_address(struct vt_listener *ret, const struct vt_config_listen *l, uint32_t mode,
		       struct vt_err *e)
{
	char dir[PATH_MAX];

	if (!vt_listener_left(l))
		return vt_listener_open(ret, l, mode, e);
	vt_folder_of(l->path, dir, sizeof(dir));
	return access(dir, W_OK | X_OK)
		       ? vt_fail(e, -errno,
				 "cannot listen on unix:%s: cannot replace what is there", l->path)
		       : 0;
}

/* All at one time, and listening: two of them may be one and the same. */
static int check_addresses(const struct vt_config *c, const char *file, struct vt_err *e)
{
	const struct vt_config_listen *want[VT_CONFIG_LISTEN + 1];
	struct vt_listener at[VT_CONFIG_LISTEN + 1];
	uint32_t n = 0, opened = 0;
	int err = 0;

	while (n < c->n_listen) {
		want[n] = &c->listen[n];
		n++;
	}
	if (c->agent.host)
		want[n++] = &c->agent;
	for (; opened < n && !err; opened++) {
		at[opened] = (struct vt_listener){.fd = -1};
		if (try_address(&at[opened], want[opened], c->socket_mode, e))
			err = vt_serve_no_address(want[opened], file, e);
	}
	for (uint32_t i = 0; i < n && !err; i++)
		if (at[i].fd >= 0 && vt_listener_start(&at[i], e))
			err = vt_serve_no_address(want[i], file, e);
	while (opened)
		vt_listener_close(&at[--opened]);
	return err;
}

/* As whom the rest is looked at: of the server's user if this process can become it. */
static int become(const struct vt_config *c, const struct vt_log *log, bool *as_user,
		  struct vt_err *e)
{
	*as_user = !c->user || vt_serve_is(c->user);
	if (*as_user || getuid() != 0) {
		if (!*as_user)
			vt_log(log, VT_LOG_WARN,
			       "what user '%s' may read and write is known to root and '%s' only",
			       c->user, c->user);
		return 0;
	}
	*as_user = true;
	return vt_serve_become(c->user, NULL, e);
}

static int check_store(const struct vt_config *c, const char *file, struct vt_err *e)
{
	struct vt_profile_key key;
	struct vt_profile *db = NULL;
	int err;

	if (!c->profiles || access(c->profiles, R_OK))
		return 0; /* not yet, or not for us: vt_serve_store() looks at that */
	vt_profile_here(&key);
	err = vt_profile_open(&db, c->profiles, VT_PROFILE_READ, &key, e);
	vt_profile_close(db);
	return err ? vt_config_at(c, VT_KEY_PROFILES, file, e) : 0;
}

static int check_output(const struct vt_config *c, const char *path, enum vt_config_key k,
			const char *file, struct vt_err *e)
{
	return path && vt_serve_file_try(path, e) ? vt_config_at(c, k, file, e) : 0;
}

static int check_models(const struct vt_config *c, const char *file, const struct vt_log *log,
			struct vt_err *e)
{
	struct vt_cpuset cores;
	struct vt_progress p;
	uint64_t owed = 0;
	int err = vt_serve_cores(c, log, &cores, e);

	if (err)
		return err;
	vt_progress_init(&p, "checking", c->n_models);
	if (!p.tty)
		p.shown_mono_ns = p.start_mono_ns; /* nothing, unless it takes long */
	for (uint32_t i = 0; i < c->n_models && !err; i++) {
		vt_progress_update(&p, i, c->model[i].name);
		err = vt_models_try(&c->model[i], &cores, &owed, e);
		if (err && c->model[i].line)
			vt_fail_at(e, "%s:%u", file, c->model[i].line);
		else if (err)
			vt_serve_not_bench(&c->model[i], e);
	}
	vt_progress_fini(&p);
	return err;
}

/*
 * While there are rights. Beside those of a living server, whose directory is told last, as are its addresses: what
 * opens here must not be in the way of one that starts.
 */
static int check_monitor(const struct vt_config *c, struct vt_err *taken, struct vt_err *e)
{
	const char *dir = c->pin_dir ? c->pin_dir : VT_MONITOR_PIN_DIR;
	struct vt_monitor *m = NULL;
	struct vt_err mine = {0};
	char own[480];
	int err;

	if (c->monitor != VT_MONITOR_ON)
		return 0;
	if (!vt_monitor_attach(dir, &m, NULL))
		vt_fail(taken, -EBUSY, "monitor: %s belongs to a living process", dir);
	vt_monitor_close(m);
	m = NULL;
	if ((size_t)snprintf(own, sizeof(own), "%s-check-%d", dir, getpid()) >= sizeof(own))
		return vt_fail(e, -EINVAL, "monitor: %.60s...: too long for a pin directory", dir);
	err = vt_monitor_open(&(struct vt_monitor_opts){.pin_dir = own, .group = VT_BY_TENANT}, &m,
			      &mine);
	vt_monitor_close(m);
	return err ? vt_fail(e, err, "monitor: %s", mine.msg) : 0;
}

/* An address is tried while there are rights, and told last: where the server runs already its own are taken. */
int vt_serve_check(const struct vt_config *c, const char *file, const struct vt_log *log,
		   struct vt_err *e)
{
	struct vt_err taken = {0};
	bool as_user = false;
	int err;

	check_addresses(c, file, &taken);
	err = check_monitor(c, &taken, e);
	if (!err)
		err = become(c, log, &as_user, e);
	if (!err && as_user)
		err = vt_serve_store(c, file, log, e);
	if (!err)
		err = check_store(c, file, e);
	if (!err && as_user)
		err = check_output(c, c->record, VT_KEY_RECORD, file, e);
	if (!err && as_user)
		err = check_output(c, c->trace, VT_KEY_TRACE, file, e);
	if (!err)
		err = check_models(c, file, log, e);
	return err || !taken.code ? err : vt_fail(e, taken.code, "%s", taken.msg);
}

/* ---- what stays until a restart ------------------------------------------------------------------ */

#define PLAIN(name, field)                                                                         \
	{                                                                                          \
		name, offsetof(struct vt_config, field), sizeof(((struct vt_config *)0)->field)    \
	}

static const struct {
	const char *name;
	size_t at, len;
} plain[] = {
	PLAIN("cores", cores),
	PLAIN("monitor", monitor),
	PLAIN("shared_memory", shm),
	PLAIN("io_threads", io_threads),
	PLAIN("socket_mode", socket_mode),
	PLAIN("trace_events", trace_events),
	PLAIN("limits.max_body", max_body_bytes),
	PLAIN("limits.max_memory", max_memory_bytes),
	PLAIN("limits.max_connections", max_connections),
	PLAIN("limits.max_requests", max_requests),
	PLAIN("limits.idle_ms", idle_ms),
	PLAIN("limits.transfer_ms", transfer_ms),
	PLAIN("limits.drain_ms", drain_ms),
};

static const struct {
	const char *name;
	size_t at;
} texts[] = {
	{"profiles", offsetof(struct vt_config, profiles)},
	{"record", offsetof(struct vt_config, record)},
	{"trace", offsetof(struct vt_config, trace)},
	{"user", offsetof(struct vt_config, user)},
	{"pin_dir", offsetof(struct vt_config, pin_dir)},
};

static const char *text_at(const struct vt_config *c, size_t at)
{
	const char *text = *(char *const *)((const char *)c + at);

	return text ? text : "";
}

static bool same_addresses(const struct vt_config *a, const struct vt_config *b)
{
	bool same = a->n_listen == b->n_listen;

	for (uint32_t i = 0; same && i < a->n_listen; i++) {
		const struct vt_config_listen *x = &a->listen[i], *y = &b->listen[i];

		same = x->port == y->port && !x->host == !y->host &&
		       !strcmp(x->host ? x->host : x->path, y->host ? y->host : y->path);
	}
	return same;
}

static void name_it(char *buf, size_t len, const char *name)
{
	size_t used = strlen(buf);

	snprintf(buf + used, len - used, "%s%s", used ? ", " : "", name);
}

const char *vt_serve_stays(const struct vt_config *now, const struct vt_config *wanted, char *buf,
			   size_t len)
{
	buf[0] = '\0';
	if (!same_addresses(now, wanted))
		name_it(buf, len, "listen");
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (memcmp((const char *)now + plain[i].at, (const char *)wanted + plain[i].at,
			   plain[i].len) != 0)
			name_it(buf, len, plain[i].name);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (strcmp(text_at(now, texts[i].at), text_at(wanted, texts[i].at)) != 0)
			name_it(buf, len, texts[i].name);
	return buf;
}
