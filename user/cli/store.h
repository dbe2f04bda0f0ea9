/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - a profile store that the user named: what `run`, `inspect`, `profile`, `sim` share. */
#ifndef VT_CLI_STORE_H
#define VT_CLI_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "exec/here.h"

struct vt_engine;
struct vt_variant;

/** vt_store_input - whatever is wrong with the store is bad input, exit 2: code of @e to -EINVAL */
int vt_store_input(struct vt_err *e);

/** vt_store_rights - no room and no right to write are bad input too: exit 2 */
void vt_store_rights(struct vt_err *e);

/** What vt_store_choose() found. */
struct vt_store_choice {
	int level;
	int layers, without; /* of the model; without a time */
	int changed;	     /* other than the default */
	uint64_t foreign;    /* times of other machines and builds, not used */
};

/**
 * vt_store_choose - the versions of a run at @level on @cores from the store at @path
 * @variants: [n_steps]; all NULL where the default stays
 * -EINVAL, with a text: the store cannot be used, has nothing of this machine or of this model, or
 * the model at @model changed since it was profiled
 */
int vt_store_choose(const char *path, const struct vt_engine *eng, const char *model,
		    unsigned int cores, uint8_t level, const struct vt_variant **variants,
		    struct vt_store_choice *ret, struct vt_err *e);

/** vt_store_choice_print - one line for people; vt_store_choice_json - the same, to be owned */
void vt_store_choice_print(const char *path, const struct vt_store_choice *c);
struct json_t *vt_store_choice_json(const char *path, const struct vt_store_choice *c);

/** What to show of a store. */
struct vt_store_view {
	const char *path, *layer, *plot; /* layer: a glob, or a part of the signature; NULL: all */
	uint64_t machine;		 /* as `inspect` numbers them; 0: this one */
	uint64_t cores;			 /* of the plot; 0: the count with most levels */
	bool csv, json;
};

/** vt_store_inspect - print or draw it; an enum vt_exit, errors told on stderr */
int vt_store_inspect(const struct vt_store_view *v);

#endif
