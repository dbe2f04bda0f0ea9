/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.h - the profile store: how long each layer took, by variant, cores and pressure level.
 *
 * One SQLite file (WAL). A time belongs to (machine, library, layer signature, variant, cores,
 * level); layers of equal signature are measured once, whichever model they are part of. A time of
 * another machine or of another build of the kernels is never handed out, only counted
 * (vt_profile_foreign).
 *
 * Each put is durable when the call returns, or lost as a whole: a process may be killed at any
 * moment. One handle belongs to one thread; many processes may share a file.
 */
#ifndef VT_PROFILE_PROFILE_H
#define VT_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define VT_PROFILE_SCHEMA 1 /* larger numbers are refused, smaller ones migrated */

struct vt_profile;

/** Times of this machine, on this build, only. All text is UTF-8 and NUL-terminated. */
struct vt_profile_key {
	char machine
		[160]; /* CPU vendor, family, model, stepping, ISA tier, cores, L2 and LLC size */
	char library[64]; /* XNNPACK package version, version of our kernels */
};

/** One measured time. */
struct vt_profile_time {
	const char *layer;   /* signature: vt_layer_signature() */
	const char *variant; /* descriptor name; "-" where a layer has no choice */
	uint16_t cores;
	uint8_t level;		       /* 0 .. VT_LEVELS - 1 of pressure/level.h */
	uint64_t median_ns, spread_ns; /* spread: quarter to three quarter */
	uint32_t samples;
	bool kept; /* one of the at most five versions the tuner chose for the layer */
};

/** How to open. */
enum vt_profile_mode {
	VT_PROFILE_READ,  /* must exist; never written, not even by a migration */
	VT_PROFILE_WRITE, /* created if missing, migrated if old */
};

/**
 * vt_profile_open - -ENOENT; -EINVAL: not a profile store, corrupt, or of a newer schema;
 * -EROFS, -EACCES, -ENOSPC as the file system says
 * @key: of this machine and build; copied
 */
int vt_profile_open(struct vt_profile **ret, const char *path, enum vt_profile_mode mode,
		    const struct vt_profile_key *key, struct vt_err *e);
void vt_profile_close(struct vt_profile *db); /* accepts NULL */

/** vt_profile_put - add or replace times, all or none */
int vt_profile_put(struct vt_profile *db, const struct vt_profile_time *t, size_t n,
		   struct vt_err *e);

/**
 * vt_profile_keep - mark @variants as the versions of @layer, the first as fastest alone; all
 * others of the layer are unmarked
 */
int vt_profile_keep(struct vt_profile *db, const char *layer, const char *const *variants, size_t n,
		    struct vt_err *e);

typedef int (*vt_profile_fn)(void *arg, const struct vt_profile_time *t);
/**
 * vt_profile_each - times of @layer (NULL: of all layers) by layer, order of keeping, variant,
 * cores, level
 * Stops at, and returns, the first non-zero of @fn.
 */
int vt_profile_each(struct vt_profile *db, const char *layer, vt_profile_fn fn, void *arg,
		    struct vt_err *e);

/**
 * vt_profile_model - remember that the file at @path (its content's @digest, hex) is made of these
 * layers, in order; used by `veltair inspect` and to notice that a model changed under its name
 */
int vt_profile_model(struct vt_profile *db, const char *path, const char *digest,
		     const char *const *layers, size_t n, struct vt_err *e);

/** vt_profile_foreign - times in the file that are of another machine or build */
int vt_profile_foreign(struct vt_profile *db, uint64_t *ret, struct vt_err *e);

#endif
