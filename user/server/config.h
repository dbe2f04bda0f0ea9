/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - what to serve and how: one YAML file, or the flags of `veltair serve`.
 *
 * A fault in the file is one line that starts with FILE:LINE. All text belongs to the config.
 * No threads.
 */
#ifndef VT_SERVER_CONFIG_H
#define VT_SERVER_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cpuset.h"
#include "base/error.h"
#include "model/graph.h"

#define VT_CONFIG_MODELS 256u
#define VT_CONFIG_LISTEN 8u
#define VT_CONFIG_DIMS	 16u

/** A model to serve. */
struct vt_config_model {
	char *path;	   /* absolute, or relative to where the server was started */
	char name[64];	   /* letters, digits, and ._- ; as in a URL */
	char version[16];  /* likewise; "1" if not given */
	uint64_t qos_ns;   /* 0: auto, three times the model's own time */
	uint16_t priority; /* 0: 1 */
	uint32_t
		instances; /* requests of it that can run at one time; 0: as many as cores, at most 4 */
	uint32_t max_queue; /* waiting requests; 0: 64 */
	enum vt_config_kernels { VT_KERNELS_FAST, VT_KERNELS_DIRECT } kernels;
	struct vt_dim_binding dims[VT_CONFIG_DIMS];
	uint32_t n_dims;
	unsigned int line; /* in the file; 0: from flags */
};

/** Where to listen. */
struct vt_config_listen {
	char *host; /* NULL: a Unix socket */
	char *path; /* of the Unix socket */
	uint16_t port;
	unsigned int line;
};

/** Settings whose faults show only when there is all of the configuration, or on this machine. */
enum vt_config_key {
	VT_KEY_POLICY,
	VT_KEY_CORES,
	VT_KEY_USER,
	VT_KEY_PROFILES,
	VT_KEY_RECORD,
	VT_KEY_TRACE,
	VT_KEY_MAX_BODY,
	VT_KEY_MAX_MEMORY,
	VT_KEYS
};
#define VT_BY_FLAG UINT_MAX /* in place of a line */

/* Who may have the server read and write POSIX shared memory. */
enum vt_config_shm { VT_SHM_OFF, VT_SHM_UNIX, VT_SHM_ON };
enum vt_config_monitor { VT_MONITOR_AUTO, VT_MONITOR_ON, VT_MONITOR_OFF };

struct vt_config {
	struct vt_config_listen listen[VT_CONFIG_LISTEN];
	uint32_t n_listen;
	struct vt_config_listen agent; /* HAProxy's agent-check; host NULL: none */
	uint32_t socket_mode;	       /* permissions of Unix sockets */
	struct vt_config_model *model; /* [n_models], room for VT_CONFIG_MODELS */
	uint32_t n_models;
	struct vt_cpuset cores; /* empty: all */
	char *policy;		/* NULL: veltair-full */
	bool late;		/* admission: serve late rather than refuse */
	char *profiles;		/* the store; NULL: none */
	char *record;		/* a trace of every step goes here; NULL: no */
	char *trace;		/* blocks on cores as JSON for Perfetto; NULL: no */
	uint64_t trace_events;	/* in it at most */
	char *user;		/* to become after the start; NULL: stay */
	enum vt_config_monitor monitor;
	enum vt_config_shm shm;
	char *pin_dir; /* of the monitor; NULL: its default */

	uint64_t max_body_bytes;   /* of one request */
	uint64_t max_memory_bytes; /* of all requests and answers under way */
	uint64_t max_connections;
	uint64_t max_requests; /* waiting and running, all models */
	uint64_t io_threads;
	uint64_t idle_ms;     /* a connection with nothing to do is closed after */
	uint64_t transfer_ms; /* a request must have arrived, and its answer left, within */
	uint64_t drain_ms;    /* after a SIGTERM, what was taken may begin and leave for so long */

	unsigned int line[VT_KEYS]; /* where each was set; 0: nowhere, it is the default */
};

/** vt_config_init - the defaults; vt_config_fini() takes back what was added to them */
int vt_config_init(struct vt_config *c);
void vt_config_fini(struct vt_config *c); /* accepts a zeroed one */

/** vt_config_read - the file at @path over @c; -EINVAL with FILE:LINE, -ENOENT, -ENOMEM */
int vt_config_read(struct vt_config *c, const char *path, struct vt_err *e);
/** vt_config_parse - the same from memory; @where stands in front of errors */
int vt_config_parse(struct vt_config *c, const void *text, size_t len, const char *where,
		    struct vt_err *e);

/* What the flags need; errors name @text only. */
int vt_config_add_listen(struct vt_config *c, const char *text, unsigned int line,
			 struct vt_err *e);
/** vt_config_set_agent - HOST:PORT of the agent, in place of the one before */
int vt_config_set_agent(struct vt_config *c, const char *text, unsigned int line, struct vt_err *e);
/** vt_config_new_model - a fresh one at the end, NULL if there are too many */
struct vt_config_model *vt_config_new_model(struct vt_config *c);
/** vt_config_spec - FILE[=NAME[:VERSION]] into @m */
int vt_config_spec(struct vt_config_model *m, const char *text, struct vt_err *e);
int vt_config_set_name(struct vt_config_model *m, const char *text, struct vt_err *e);
int vt_config_set_version(struct vt_config_model *m, const char *text, struct vt_err *e);
/** vt_config_add_dim - bind the symbolic dimension @name; -EINVAL if it is bound already */
int vt_config_add_dim(struct vt_config_model *m, const char *name, uint64_t value,
		      struct vt_err *e);
/** vt_config_ms - "auto" (0) or milliseconds, into nanoseconds */
int vt_config_ms(const char *text, uint64_t *ret_ns, struct vt_err *e);

/** vt_config_size - bytes, or a number of KiB, MiB, GiB: "65536", "64MiB", "1 GiB"; -EINVAL if not from @min to @max */
int vt_config_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/** vt_config_line - remember that @key was set in @line; keys that are none of VT_KEYS are nobody's concern */
void vt_config_line(struct vt_config *c, const char *key, unsigned int line);
/** vt_config_at - put where @k was set before the text of @e, FILE:LINE or the flag; returns its code */
int vt_config_at(const struct vt_config *c, enum vt_config_key k, const char *where,
		 struct vt_err *e);

/** vt_config_check - what can only be told of the whole; gives each model its name and version */
int vt_config_check(struct vt_config *c, const char *where, struct vt_err *e);

/** vt_config_same - would loading @a give what @b is? (all but where in the file they stand) */
bool vt_config_same(const struct vt_config_model *a, const struct vt_config_model *b);

/** vt_config_copy_model - an independent copy; -ENOMEM */
int vt_config_copy_model(struct vt_config_model *ret, const struct vt_config_model *m);
void vt_config_model_fini(struct vt_config_model *m);

#endif
