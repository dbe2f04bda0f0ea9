// SPDX-License-Identifier: Apache-2.0
/* models.c - the table of models; loading itself is in models_load.c. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "server/models_int.h"

#define POLL_US	  1000u	  /* of those who wait for a model's last request */
#define MEMORY_US 100000u /* of those who wait for memory */

int vt_models_new(struct vt_models **ret, const struct vt_models_opts *o, struct vt_err *e)
{
	struct vt_models *m = calloc(1, sizeof(*m));

	if (!m)
		return vt_fail(e, -ENOMEM, "no memory for the table of models");
	m->o = *o;
	m->o.profiles = NULL;
	if (o->profiles) {
		m->o.profiles = strdup(o->profiles);
		if (!m->o.profiles) {
			free(m);
			return vt_fail(e, -ENOMEM, "no memory");
		}
	}
	pthread_mutex_init(&m->lock, NULL);
	*ret = m;
	return 0;
}

void vt_models_free(struct vt_models *m)
{
	if (!m)
		return;
	m->closing = true;
	close_tuner(m);
	for (uint32_t i = 0; i < m->n; i++) {
		retire(m, m->entry[i].now);
		vt_config_model_fini(&m->entry[i].config);
	}
	pthread_mutex_destroy(&m->lock);
	free((char *)m->o.profiles);
	free(m);
}

/* ---- any thread -------------------------------------------------------------------------------- */

/* Versions as people number them: 10 is above 9, and 1.10 above 1.9; what is no number is below, by letters. */
static bool higher(const char *a, const char *b)
{
	unsigned long x = strtoul(a, NULL, 10), y = strtoul(b, NULL, 10);

	return x != y ? x > y : strverscmp(a, b) > 0;
}

struct vt_loaded *vt_models_get(struct vt_models *m, const char *name, const char *version,
				int *state)
{
	struct vt_loaded *l = NULL;

	*state = -1;
	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->n; i++) {
		struct vt_model_entry *e = &m->entry[i];

		if (strcmp(e->config.name, name) || (version && strcmp(e->config.version, version)))
			continue;
		/* Of several versions the one that a client may wait for counts. */
		if (*state != VT_MODEL_LOADING)
			*state = (int)e->state;
		if (e->now && e->state != VT_MODEL_UNLOADING &&
		    (!l || higher(e->now->version, l->version)))
			l = e->now;
	}
	if (l)
		atomic_fetch_add(&l->users, 1);
	pthread_mutex_unlock(&m->lock);
	return l;
}

void vt_models_put(struct vt_loaded *l)
{
	atomic_fetch_sub(&l->users, 1);
}

void vt_models_each(struct vt_models *m, bool (*fn)(void *arg, const struct vt_model_entry *e),
		    void *arg)
{
	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->n && fn(arg, &m->entry[i]); i++)
		;
	pthread_mutex_unlock(&m->lock);
}

/* ---- the loader -------------------------------------------------------------------------------- */

bool must_end(const struct vt_models *m)
{
	return m->closing || (m->o.stop && m->o.stop(m->o.arg));
}

/*
 * New requests do not find @l any more. Those that did are waited for before the runtime is told,
 * so that none of them meets a model that is going. Without memory for the runtime's new plan it
 * would go on under its name, which could never be loaded again: there will be some in a while.
 */
void retire(struct vt_models *m, struct vt_loaded *l)
{
	if (!l)
		return;
	leave_off(m, l);
	while (atomic_load(&l->users))
		usleep(POLL_US);
	while (vt_runtime_del(m->o.runtime, l->id) == -ENOMEM && !must_end(m))
		usleep(MEMORY_US);
	loaded_free(l);
}

struct vt_model_entry *find_entry(struct vt_models *m, const char *name, const char *version)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (!strcmp(m->entry[i].config.name, name) &&
		    !strcmp(m->entry[i].config.version, version))
			return &m->entry[i];
	return NULL;
}

/* Errors hold names of files and nodes, and are cut anywhere: what JSON can hold, in whole characters. */
static void set_state(struct vt_models *m, struct vt_model_entry *x, enum vt_model_state s,
		      const char *why)
{
	pthread_mutex_lock(&m->lock);
	x->state = s;
	vt_utf8_put(x->why, sizeof(x->why), why);
	pthread_mutex_unlock(&m->lock);
}

/* The loader alone adds and forgets, which moves others: it keeps no pointer to an entry over that. */
static struct vt_model_entry *new_entry(struct vt_models *m, const struct vt_config_model *c,
					struct vt_err *e)
{
	struct vt_model_entry x = {.state = VT_MODEL_UNLOADED};

	if (m->n == VT_CONFIG_MODELS) {
		vt_fail(e, -ENOSPC, "more than %u models", VT_CONFIG_MODELS);
		return NULL;
	}
	if (vt_config_copy_model(&x.config, c)) {
		vt_fail(e, -ENOMEM, "no memory");
		return NULL;
	}
	pthread_mutex_lock(&m->lock);
	m->entry[m->n] = x;
	m->n++;
	pthread_mutex_unlock(&m->lock);
	return &m->entry[m->n - 1];
}

/* Load @x's file and put it in the place of what was there. */
static int load_entry(struct vt_models *m, struct vt_model_entry *x, struct vt_err *e)
{
	struct vt_err mine = {0};
	struct vt_loaded *fresh = NULL, *old;
	bool served = x->now != NULL;
	int err;

	if (must_end(m))
		return vt_fail(e, -ECANCELED, "the server is stopping");
	if (!served)
		set_state(m, x, VT_MODEL_LOADING, "");
	err = load_file(m, &x->config, served, &fresh, &mine);
	if (err) {
		set_state(m, x, served ? VT_MODEL_READY : VT_MODEL_FAILED, mine.msg);
		return vt_fail(e, err, "%s", mine.msg);
	}
	pthread_mutex_lock(&m->lock);
	old = x->now;
	if (old)
		atomic_store(&fresh->last_ms, atomic_load(&old->last_ms));
	x->now = fresh;
	x->state = VT_MODEL_READY;
	x->why[0] = '\0';
	pthread_mutex_unlock(&m->lock);
	retire(m, old);
	return 0;
}

int vt_models_add(struct vt_models *m, const struct vt_config_model *c, struct vt_err *e)
{
	struct vt_model_entry *x = find_entry(m, c->name, c->version);
	struct vt_config_model copy, old;
	int err;

	if (!x) {
		x = new_entry(m, c, e);
		return x ? load_entry(m, x, e) : e ? e->code : -ENOMEM;
	}
	if (vt_config_copy_model(&copy, c))
		return vt_fail(e, -ENOMEM, "no memory");
	x->away = false;
	pthread_mutex_lock(&m->lock);
	old = x->config;
	x->config = copy;
	pthread_mutex_unlock(&m->lock);
	err = load_entry(m, x, e);
	if (err && x->now) { /* the old one goes on, so the next reload must find a difference */
		pthread_mutex_lock(&m->lock);
		x->config = old;
		pthread_mutex_unlock(&m->lock);
		old = copy;
	}
	vt_config_model_fini(&old);
	return err;
}

int vt_models_load(struct vt_models *m, const char *name, struct vt_err *e)
{
	bool known = false;
	int err = 0;

	for (uint32_t i = 0; i < m->n && !err; i++) {
		struct vt_model_entry *x = &m->entry[i];

		if (strcmp(x->config.name, name))
			continue;
		known = true;
		x->away = false;
		if (!x->now || vt_files_changed(&x->now->files))
			err = load_entry(m, x, e);
	}
	return known ? err : vt_fail(e, -ENOENT, "no model '%s' is configured", name);
}

static void unload_entry(struct vt_models *m, struct vt_model_entry *x)
{
	struct vt_loaded *old;

	pthread_mutex_lock(&m->lock);
	old = x->now;
	x->state = VT_MODEL_UNLOADING;
	pthread_mutex_unlock(&m->lock);
	/* Its answers still name it; retire() waits for them. */
	while (old && atomic_load(&old->users))
		usleep(POLL_US);
	pthread_mutex_lock(&m->lock);
	x->now = NULL;
	x->state = VT_MODEL_UNLOADED;
	strcpy(x->why, "unloaded");
	pthread_mutex_unlock(&m->lock);
	retire(m, old);
}

int vt_models_unload(struct vt_models *m, const char *name, struct vt_err *e)
{
	bool known = false;

	for (uint32_t i = 0; i < m->n; i++)
		if (!strcmp(m->entry[i].config.name, name)) {
			known = true;
			unload_entry(m, &m->entry[i]);
			m->entry[i].away = true;
		}
	return known ? 0 : vt_fail(e, -ENOENT, "no model '%s' is configured", name);
}

/* ---- a new configuration ------------------------------------------------------------------------ */

static bool wanted(const struct vt_config *c, const struct vt_config_model *have)
{
	for (uint32_t i = 0; i < c->n_models; i++)
		if (!strcmp(c->model[i].name, have->name) &&
		    !strcmp(c->model[i].version, have->version))
			return true;
	return false;
}

/* Take the entry out of the table; the last takes its place. */
static void forget(struct vt_models *m, uint32_t i)
{
	struct vt_config_model old = m->entry[i].config;

	if (m->entry[i].now)
		unload_entry(m, &m->entry[i]);
	pthread_mutex_lock(&m->lock);
	m->entry[i] = m->entry[m->n - 1];
	m->n--;
	pthread_mutex_unlock(&m->lock);
	vt_config_model_fini(&old);
}

/* What is gone is served until what is new is there, unless it takes its place in the table. */
static void make_place(struct vt_models *m, const struct vt_config *c)
{
	for (uint32_t i = m->n; m->n == VT_CONFIG_MODELS && i-- > 0;)
		if (!wanted(c, &m->entry[i].config))
			forget(m, i);
}

/* What a failed model means to who reads the log. */
static void say_failed(struct vt_models *m, const struct vt_config_model *w, const struct vt_err *e)
{
	const struct vt_model_entry *x = find_entry(m, w->name, w->version);

	vt_log(m->o.log, VT_LOG_ERROR, "reload: %s; %s", e->msg,
	       x && x->now ? "what it replaces goes on" : "it is not served");
}

int vt_models_reload(struct vt_models *m, const struct vt_config *c, struct vt_err *e)
{
	int first = 0;

	for (uint32_t i = 0; i < c->n_models && !must_end(m); i++) {
		const struct vt_config_model *w = &c->model[i];
		struct vt_model_entry *x = find_entry(m, w->name, w->version);
		struct vt_err mine = {0};

		if (x && vt_config_same(&x->config, w) &&
		    (x->now ? !vt_files_changed(&x->now->files) : x->away))
			continue;
		make_place(m, c);
		if (vt_models_add(m, w, &mine) && !must_end(m))
			say_failed(m, w, &mine);
		if (mine.code && !first)
			first = vt_fail(e, mine.code, "%s", mine.msg);
	}
	for (uint32_t i = 0; i < m->n && !must_end(m);)
		if (wanted(c, &m->entry[i].config))
			i++;
		else
			forget(m, i);
	return must_end(m) ? vt_fail(e, -ECANCELED, "the server is stopping") : first;
}
