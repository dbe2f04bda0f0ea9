// SPDX-License-Identifier: Apache-2.0
/* serve_check.c - what a configuration asks of this machine, and what of it a running server cannot change. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/serve.h"

/* ---- can it be had here? ------------------------------------------------------------------------ */

static int check_files(const struct vt_config *c, const char *file, struct vt_err *e)
{
	for (uint32_t i = 0; i < c->n_models; i++) {
		const struct vt_config_model *m = &c->model[i];

		if (!access(m->path, R_OK))
			continue;
		vt_fail(e, -EINVAL, "%s: cannot open: %s", m->path, strerror(errno));
		return m->line ? vt_fail_at(e, "%s:%u", file, m->line) : -EINVAL;
	}
	return 0;
}

static int check_cores(const struct vt_config *c, struct vt_err *e)
{
	struct vt_cpuset allowed;
	int err = vt_cpuset_allowed(&allowed);

	if (err)
		return vt_fail(e, err, "cannot read the cores this process may use");
	for (int core = vt_cpuset_next(&c->cores, 0); core >= 0;
	     core = vt_cpuset_next(&c->cores, (unsigned int)core + 1))
		if (!vt_cpuset_has(&allowed, (unsigned int)core))
			return vt_fail(e, -EINVAL, "cores: this process may not use core %d", core);
	return 0;
}

int vt_serve_check(const struct vt_config *c, const char *file, struct vt_err *e)
{
	int err = check_files(c, file, e);

	if (!err)
		err = check_cores(c, e);
	if (!err && c->user)
		err = vt_serve_user(c->user, e);
	if (!err && c->max_body_bytes > c->max_memory_bytes)
		err = vt_fail(e, -EINVAL,
			      "limits: no body of max_body, %llu bytes, can ever come in: "
			      "max_memory is %llu",
			      (unsigned long long)c->max_body_bytes,
			      (unsigned long long)c->max_memory_bytes);
	return err;
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
