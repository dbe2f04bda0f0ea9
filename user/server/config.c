// SPDX-License-Identifier: Apache-2.0
/* config.c - defaults, the parts that flags share with the file, and what must hold of the whole. */
#include "server/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/text.h"
#include "sched/policy.h"

#define QOS_MAX_MS 3600000.0
#define TCP_FORMS  "HOST:PORT, [IPv6]:PORT or :PORT"

int vt_config_init(struct vt_config *c)
{
	*c = (struct vt_config){
		.max_body_bytes = 64ull << 20,
		.max_memory_bytes = 512ull << 20,
		.max_connections = 1024,
		.max_requests = 1024,
		.socket_mode = 0660,
		.io_threads = 1,
		.idle_ms = 60000,
		.trace_events = 500000,
		.transfer_ms = 30000,
		.drain_ms = 30000,
	};
	c->model = calloc(VT_CONFIG_MODELS, sizeof(*c->model));
	return c->model ? 0 : -ENOMEM;
}

void vt_config_model_fini(struct vt_config_model *m)
{
	free(m->path);
	for (uint32_t i = 0; i < m->n_dims; i++)
		free((char *)m->dims[i].name);
	*m = (struct vt_config_model){0};
}

void vt_config_fini(struct vt_config *c)
{
	for (uint32_t i = 0; i < c->n_listen; i++) {
		free(c->listen[i].host);
		free(c->listen[i].path);
	}
	free(c->agent.host);
	for (uint32_t i = 0; i < c->n_models; i++)
		vt_config_model_fini(&c->model[i]);
	free(c->model);
	free(c->policy);
	free(c->profiles);
	free(c->record);
	free(c->trace);
	free(c->user);
	free(c->pin_dir);
	*c = (struct vt_config){0};
}

/* ---- listen ------------------------------------------------------------------------------------ */

static int add_unix(struct vt_config_listen *l, const char *path, struct vt_err *e)
{
	if (!*path || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return vt_fail(e, -EINVAL, "unix:%.40s...: a socket's path has 1 to %zu characters",
			       path, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	l->path = strdup(path);
	return l->path ? 0 : vt_fail(e, -ENOMEM, "no memory");
}

/* HOST:PORT, [IPv6]:PORT, :PORT for all addresses; @forms says so to whom it concerns */
static int add_tcp(struct vt_config_listen *l, const char *text, const char *forms,
		   struct vt_err *e)
{
	const char *colon = strrchr(text, ':'), *host = text;
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint64_t port;

	if (!colon || vt_text_u64(colon + 1, &port) || port > 65535)
		return vt_fail(e, -EINVAL, "'%.80s' is no address: %s was expected", text, forms);
	if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	} else if (memchr(host, ':', len)) {
		return vt_fail(e, -EINVAL, "'%.80s' is no address: write [IPv6]:PORT", text);
	}
	l->host = strndup(host, len);
	l->port = (uint16_t)port;
	return l->host ? 0 : vt_fail(e, -ENOMEM, "no memory");
}

int vt_config_add_listen(struct vt_config *c, const char *text, unsigned int line, struct vt_err *e)
{
	struct vt_config_listen l = {.line = line};
	int err;

	if (c->n_listen == VT_CONFIG_LISTEN)
		return vt_fail(e, -EINVAL, "more than %u addresses to listen on", VT_CONFIG_LISTEN);
	if (!strncmp(text, "unix:", 5))
		err = add_unix(&l, text + 5, e);
	else
		err = add_tcp(&l, text, "HOST:PORT, [IPv6]:PORT, :PORT or unix:PATH", e);
	if (!err)
		c->listen[c->n_listen++] = l;
	return err;
}

int vt_config_set_agent(struct vt_config *c, const char *text, unsigned int line, struct vt_err *e)
{
	struct vt_config_listen l = {.line = line};
	int err;

	if (!strncmp(text, "unix:", 5))
		return vt_fail(e, -EINVAL, "'%.80s': HAProxy asks over TCP, at " TCP_FORMS, text);
	err = add_tcp(&l, text, TCP_FORMS, e);
	if (err)
		return err;
	free(c->agent.host);
	c->agent = l;
	return 0;
}

/* ---- models ------------------------------------------------------------------------------------ */

struct vt_config_model *vt_config_new_model(struct vt_config *c)
{
	return c->n_models < VT_CONFIG_MODELS ? &c->model[c->n_models++] : NULL;
}

int vt_config_ms(const char *text, uint64_t *ret_ns, struct vt_err *e)
{
	double ms;

	if (!strcmp(text, "auto")) {
		*ret_ns = 0;
		return 0;
	}
	if (vt_text_f64(text, &ms) || ms <= 0 || ms > QOS_MAX_MS)
		return vt_fail(
			e, -EINVAL,
			"'%.40s' is neither auto nor milliseconds, more than 0, at most an hour",
			text);
	*ret_ns = (uint64_t)(ms * (double)VT_NS_PER_MS) + 1;
	return 0;
}

int vt_config_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	static const struct {
		const char *unit;
		unsigned int shift;
	} units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
	const size_t len = strspn(text, "0123456789");
	char digits[24] = "";
	uint64_t n = 0;

	if (len && len < sizeof(digits))
		memcpy(digits, text, len);
	text += len + strspn(text + len, " ");
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(text, units[i].unit) && !vt_text_u64(digits, &n) &&
		    n <= max >> units[i].shift && n << units[i].shift >= min) {
			*ret = n << units[i].shift;
			return 0;
		}
	return -EINVAL;
}

static bool in_url(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && !s[n];
}

static int set_text(char *ret, size_t len, const char *text, const char *what, struct vt_err *e)
{
	if (strlen(text) >= len || !in_url(text))
		return vt_fail(e, -EINVAL, "%s '%.70s': 1 to %zu letters, digits or ._-", what,
			       text, len - 1);
	memcpy(ret, text, strlen(text) + 1);
	return 0;
}

int vt_config_set_name(struct vt_config_model *m, const char *text, struct vt_err *e)
{
	return set_text(m->name, sizeof(m->name), text, "model name", e);
}

int vt_config_set_version(struct vt_config_model *m, const char *text, struct vt_err *e)
{
	return set_text(m->version, sizeof(m->version), text, "version", e);
}

int vt_config_add_dim(struct vt_config_model *m, const char *name, uint64_t value, struct vt_err *e)
{
	char *copy;

	if (!*name || !value || value > INT32_MAX)
		return vt_fail(e, -EINVAL, "dimension '%.40s': a size from 1 to %d was expected",
			       name, INT32_MAX);
	for (uint32_t i = 0; i < m->n_dims; i++)
		if (!strcmp(m->dims[i].name, name))
			return vt_fail(e, -EINVAL, "dimension '%.40s' is given twice", name);
	if (m->n_dims == VT_CONFIG_DIMS)
		return vt_fail(e, -EINVAL, "more than %u dimensions of one model", VT_CONFIG_DIMS);
	copy = strdup(name);
	if (!copy)
		return vt_fail(e, -ENOMEM, "no memory");
	m->dims[m->n_dims++] = (struct vt_dim_binding){copy, (int64_t)value};
	return 0;
}

int vt_config_spec(struct vt_config_model *m, const char *text, struct vt_err *e)
{
	const char *eq = strrchr(text, '=');
	size_t len = eq ? (size_t)(eq - text) : strlen(text);
	char name[80], *colon;
	int err;

	if (!len)
		return vt_fail(e, -EINVAL, "'%.80s': FILE[=NAME[:VERSION]] was expected", text);
	m->path = strndup(text, len);
	if (!m->path)
		return vt_fail(e, -ENOMEM, "no memory");
	if (!eq)
		return 0;
	if ((size_t)snprintf(name, sizeof(name), "%s", eq + 1) >= sizeof(name))
		return vt_fail(e, -EINVAL, "model name '%.40s...' is too long", eq + 1);
	colon = strchr(name, ':');
	if (colon)
		*colon = '\0';
	err = vt_config_set_name(m, name, e);
	return err || !colon ? err : vt_config_set_version(m, colon + 1, e);
}

/* A model without a name takes its file's: what a URL cannot hold becomes '-'. */
static void name_after_file(struct vt_config_model *m)
{
	const char *base = strrchr(m->path, '/'), *dot;
	size_t len;

	base = base ? base + 1 : m->path;
	dot = strrchr(base, '.');
	len = dot && dot > base ? (size_t)(dot - base) : strlen(base);
	if (len >= sizeof(m->name))
		len = sizeof(m->name) - 1;
	memcpy(m->name, base, len);
	m->name[len] = '\0';
	for (char *c = m->name; *c; c++)
		if (!in_url((char[]){*c, '\0'}))
			*c = '-';
	if (!m->name[0])
		strcpy(m->name, "model");
}

/* ---- where it was set -------------------------------------------------------------------------- */

static const struct {
	const char *key, *flag;
} keys[VT_KEYS] = {
	[VT_KEY_POLICY] = {"policy", "--policy"},
	[VT_KEY_CORES] = {"cores", "--cores"},
	[VT_KEY_USER] = {"user", "--user"},
	[VT_KEY_PROFILES] = {"profiles", "--profiles"},
	[VT_KEY_RECORD] = {"record", "--record"},
	[VT_KEY_TRACE] = {"trace", "--trace"},
	[VT_KEY_MAX_BODY] = {"max_body", "--max-body"},
	[VT_KEY_MAX_MEMORY] = {"max_memory", "max_memory"},
};

void vt_config_line(struct vt_config *c, const char *key, unsigned int line)
{
	for (unsigned int k = 0; k < VT_KEYS; k++)
		if (!strcmp(key, keys[k].key))
			c->line[k] = line;
}

int vt_config_at(const struct vt_config *c, enum vt_config_key k, const char *where,
		 struct vt_err *e)
{
	if (c->line[k] == VT_BY_FLAG)
		return vt_fail_at(e, "%s", keys[k].flag);
	return c->line[k] ? vt_fail_at(e, "%.150s:%u", where, c->line[k]) : e ? e->code : -EINVAL;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static int at_line(struct vt_err *e, const char *where, unsigned int line, const char *fmt,
		   const char *a, const char *b)
{
	char text[300], place[160] = "";

	snprintf(text, sizeof(text), fmt, a, b);
	if (line)
		snprintf(place, sizeof(place), "%.120s:%u: ", where, line);
	else if (where)
		snprintf(place, sizeof(place), "%.120s: ", where);
	return vt_fail(e, -EINVAL, "%s%s", place, text);
}

/* In a path of the protocol these are something else: the statistics of all models, or no part of it. */
static bool is_taken(const char *part, bool name)
{
	return (name && !strcmp(part, "stats")) || !strcmp(part, ".") || !strcmp(part, "..");
}

static int check_models(struct vt_config *c, const char *where, struct vt_err *e)
{
	for (uint32_t i = 0; i < c->n_models; i++) {
		struct vt_config_model *m = &c->model[i];

		if (!m->path)
			return at_line(e, where, m->line, "a model without a `path`%s%s", "", "");
		if (!m->name[0])
			name_after_file(m);
		if (!m->version[0])
			strcpy(m->version, "1");
		if (is_taken(m->name, true) || is_taken(m->version, false))
			return at_line(e, where, m->line,
				       "model '%s', version '%s': in a URL that means something "
				       "else: give it another name or version",
				       m->name, m->version);
		for (uint32_t k = 0; k < i; k++)
			if (!strcmp(c->model[k].name, m->name) &&
			    !strcmp(c->model[k].version, m->version))
				return at_line(e, where, m->line,
					       "model '%s', version '%s', is there twice: give one "
					       "another name or version",
					       m->name, m->version);
	}
	return 0;
}

int vt_config_check(struct vt_config *c, const char *where, struct vt_err *e)
{
	int err = 0;

	if (c->policy && !vt_policy_find(c->policy)) {
		vt_fail(e, -EINVAL, "there is no policy '%.60s'; `veltair sim --help` names them",
			c->policy);
		return vt_config_at(c, VT_KEY_POLICY, where, e);
	}
	if (!c->n_listen)
		err = vt_config_add_listen(c, "127.0.0.1:8000", 0, e);
	return err ? err : check_models(c, where, e);
}

bool vt_config_same(const struct vt_config_model *a, const struct vt_config_model *b)
{
	if (strcmp(a->path, b->path) || strcmp(a->name, b->name) || strcmp(a->version, b->version))
		return false;
	if (a->qos_ns != b->qos_ns || a->priority != b->priority || a->instances != b->instances ||
	    a->max_queue != b->max_queue || a->kernels != b->kernels || a->n_dims != b->n_dims)
		return false;
	for (uint32_t i = 0; i < a->n_dims; i++)
		if (strcmp(a->dims[i].name, b->dims[i].name) ||
		    a->dims[i].value != b->dims[i].value)
			return false;
	return true;
}

int vt_config_copy_model(struct vt_config_model *ret, const struct vt_config_model *m)
{
	struct vt_config_model c = *m;

	c.path = strdup(m->path);
	c.n_dims = 0;
	for (; c.path && c.n_dims < m->n_dims; c.n_dims++) {
		c.dims[c.n_dims].name = strdup(m->dims[c.n_dims].name);
		if (!c.dims[c.n_dims].name)
			break;
	}
	if (!c.path || c.n_dims < m->n_dims) {
		vt_config_model_fini(&c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}
