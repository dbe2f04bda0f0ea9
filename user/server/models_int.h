/* SPDX-License-Identifier: Apache-2.0 */
/* models_int.h - shared by models.c and models_load.c. */
#ifndef VT_SERVER_MODELS_INT_H
#define VT_SERVER_MODELS_INT_H

#include "server/models.h"

struct vt_models {
	struct vt_models_opts o;
	pthread_mutex_t lock;
	struct vt_model_entry entry[VT_CONFIG_MODELS];
	uint32_t n;
};

struct vt_model_entry *find_entry(struct vt_models *m, const char *name, const char *version);
void retire(struct vt_models *m, struct vt_loaded *l);

/** load_file - from file to a model of the runtime; @replaces: one of that name and version runs */
int load_file(struct vt_models *m, const struct vt_config_model *c, bool replaces,
	      struct vt_loaded **ret, struct vt_err *e);

#endif
