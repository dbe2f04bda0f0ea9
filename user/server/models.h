/* SPDX-License-Identifier: Apache-2.0 */
/*
 * models.h - models by name and version: what is configured, what is loaded, who uses it.
 *
 * Loading and unloading belong to one thread at a time (the start, then the loader of server.h);
 * looking up and using is for any. A model that is replaced goes on answering what it has taken:
 * new requests find its successor, and it is freed when the last has ended.
 */
#ifndef VT_SERVER_MODELS_H
#define VT_SERVER_MODELS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/log.h"
#include "exec/runtime.h"
#include "server/config.h"
#include "server/files.h"
#include "server/tensor.h"

enum vt_model_state {
	VT_MODEL_UNLOADED, /* on purpose */
	VT_MODEL_FAILED,   /* configured, and could not be loaded */
	VT_MODEL_LOADING,
	VT_MODEL_READY,
	VT_MODEL_UNLOADING,
};

/** A model in memory. Whoever got it from vt_models_get() gives it back. */
struct vt_loaded {
	char name[64], version[16];
	struct vt_io io;
	uint32_t id;	/* of the runtime */
	uint32_t cores; /* of the runtime */
	_Atomic uint64_t
		qos_ns; /* the target of requests that bring none; a profile may change it */
	/* Learnt from every request: what one takes of the whole machine, and how long it runs. */
	_Atomic uint64_t work_ns, own_ns;
	_Atomic uint64_t first_own_ns; /* own_ns before anything was learnt, or by the profile */
	size_t weights_bytes, arena_bytes;
	uint8_t costs_source;  /* enum vt_costs_source; the loader's */
	bool target_too_short; /* below first_own_ns, which has been said; the loader's */
	bool partial;	       /* the store lacks some of its times; the loader's */
	bool hopeless;	       /* profiling it failed; the loader's */
	_Atomic uint32_t users;
	_Atomic uint64_t last_ms; /* end of the last request, ms since 1970; 0: none */
	struct vt_files files;	  /* it was read from; the loader's */
};

/** What is known of one name and version. */
struct vt_model_entry {
	struct vt_config_model config;
	enum vt_model_state state;
	struct vt_loaded *now; /* NULL: not loaded */
	bool away;	       /* unloaded by a request; the loader's alone */
	char why[256];	       /* it is not: the last error, or ""; UTF-8 */
};

struct vt_models_opts {
	struct vt_runtime *runtime;
	struct vt_cpuset cores;	  /* that the runtime has */
	const char *profiles;	  /* NULL: none; copied */
	const struct vt_log *log; /* kept */
	/* Asked before each model, and often while one is measured; true: leave off, -ECANCELED. May be NULL. */
	bool (*stop)(void *arg);
	void *arg;
};

struct vt_models;

int vt_models_new(struct vt_models **ret, const struct vt_models_opts *o, struct vt_err *e);
/** vt_models_free - unload all; nothing may be used any more. Accepts NULL */
void vt_models_free(struct vt_models *m);

/* ---- any thread -------------------------------------------------------------------------------- */

/**
 * vt_models_get - a loaded model to use: of @version, or if that is NULL the highest
 * NULL if there is none: then @state is what the entry is in, or -1 if there is no such entry.
 */
struct vt_loaded *vt_models_get(struct vt_models *m, const char *name, const char *version,
				int *state);
void vt_models_put(struct vt_loaded *l);

/** vt_models_each - call @fn for each entry, under the lock: copy and return; until it returns false */
void vt_models_each(struct vt_models *m, bool (*fn)(void *arg, const struct vt_model_entry *e),
		    void *arg);

/* ---- the loader -------------------------------------------------------------------------------- */

/**
 * vt_models_try - could @c be loaded on this machine, its cores being @cores? Loads it and lets it go
 * @owed_bytes: of memory, what others tried before it need; what it needs is added
 * Needs no table of models. Errors as those of loading.
 */
int vt_models_try(const struct vt_config_model *c, const struct vt_cpuset *cores,
		  uint64_t *owed_bytes, struct vt_err *e);

/** vt_models_add - load @c, replacing the entry of its name and version if there is one */
int vt_models_add(struct vt_models *m, const struct vt_config_model *c, struct vt_err *e);
/**
 * vt_models_load - load what is configured under @name and not loaded, and again what is loaded but
 * whose file, or data beside it, has changed; -ENOENT: nothing is configured under it
 */
int vt_models_load(struct vt_models *m, const char *name, struct vt_err *e);
/** vt_models_unload - all versions of @name; waits for their requests. -ENOENT */
int vt_models_unload(struct vt_models *m, const char *name, struct vt_err *e);
/**
 * vt_models_reload - make it what @c says: load what is new or has changed (its file, too), unload
 * what is gone. Logs each error, with what it means for that model, goes on, and reports the first;
 * -ECANCELED if it was told to stop.
 */
int vt_models_reload(struct vt_models *m, const struct vt_config *c, struct vt_err *e);

/**
 * vt_models_improve - profile one model that runs on a first idea of its times, or on some of them, into the store
 * To be called when nothing runs. @stop: asked often, by other threads too, one at a time; true:
 * leave off for now.
 * Returns 1: one is done; 0: there is none left; -EBUSY: left off, go on later; or an error, after
 * which that model is left as it is.
 */
int vt_models_improve(struct vt_models *m, bool (*stop)(void *arg), void *arg, struct vt_err *e);

#endif
