/* SPDX-License-Identifier: Apache-2.0 */
/*
 * profile.h - the profile store: how long each layer took, by variant, cores and pressure level.
 *
 * One SQLite file (WAL). A time belongs to (machine, library, layer signature, variant, cores,
 * level); layers of equal signature are measured once, whichever model they are part of. A time of
 * another machine or of another build of the kernels is never handed out, only counted (vt_profile_foreign).
 *
 * Each put is durable when the call returns, or lost as a whole: a process may be killed at any
 * moment. One handle belongs to one thread; many processes may share a file.
 *
 * A file that is no store of ours, is damaged, or is of a newer schema is refused before a byte of
 * it is written. Whatever its bytes, opening it ends and reads no memory that is not its own.
 */
#ifndef VT_PROFILE_PROFILE_H
#define VT_PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define VT_PROFILE_SCHEMA  2 /* larger numbers are refused, smaller ones migrated */
#define VT_PROFILE_LEVELS  5u
#define VT_PROFILE_KEPT	   5u		  /* versions of a layer at most */
#define VT_PROFILE_CORES   1024u	  /* a time is of 1 to so many */
#define VT_PROFILE_TEXT	   1024u	  /* bytes of a signature, with its NUL */
#define VT_PROFILE_NAME	   64u		  /* of a variant's name, or a digest, with the NUL */
#define VT_PROFILE_MAX_NS  3600000000000u /* no layer takes an hour */
#define VT_PROFILE_NOTHING "-"		  /* the variant of a layer that has no choice */

struct vt_profile;

/** Times of this machine, on this build, only. All text is UTF-8 and NUL-terminated. */
struct vt_profile_key {
	char machine[160]; /* CPU vendor, family, model, stepping, ISA tier, cores, L2, LLC */
	char library[64];  /* which XNNPACK, which kernels of ours */
};

/** One measured time. */
struct vt_profile_time {
	const char *layer;   /* signature: vt_layer_signature() */
	const char *variant; /* descriptor name; VT_PROFILE_NOTHING where a layer has no choice */
	uint16_t cores;
	uint8_t level;		       /* 0 .. VT_LEVELS - 1 of pressure/level.h */
	uint64_t median_ns, spread_ns; /* spread: quarter to three quarter */
	uint32_t samples;
	/*
	 * One of the at most VT_PROFILE_KEPT versions the tuner chose for the layer; handed out
	 * only, vt_profile_put() ignores both: vt_profile_keep() sets them.
	 */
	bool kept;
	uint8_t rank;	  /* 0: fastest alone */
	uint64_t taken_s; /* since 1970; handed out 0: unknown (schema 1); put 0: now */
};

/** How to open. */
enum vt_profile_mode {
	/*
	 * Must exist; never written, not even by a migration: the handle is a copy in memory of
	 * what the store held at that moment.
	 */
	VT_PROFILE_READ,
	VT_PROFILE_WRITE,      /* created if missing, migrated if old */
	VT_PROFILE_WRITE_SOON, /* the same; waits 0.1 s for other writers, not 10 */
};

/**
 * vt_profile_open - -ENOENT; -EINVAL: not a profile store, corrupt, or of a newer schema;
 * -EROFS, -EACCES, -ENOSPC as the file system says; -EBUSY: another process is writing for seconds
 * @key: of this machine and build; copied
 */
int vt_profile_open(struct vt_profile **ret, const char *path, enum vt_profile_mode mode,
		    const struct vt_profile_key *key, struct vt_err *e);
/** vt_profile_open_bytes - VT_PROFILE_READ of a file that is in memory; @path is for messages */
int vt_profile_open_bytes(struct vt_profile **ret, const void *bytes, size_t len, const char *path,
			  const struct vt_profile_key *key, struct vt_err *e);
void vt_profile_close(struct vt_profile *db); /* accepts NULL */

/** vt_profile_is_store - do the first bytes of the file at @path say that it is a SQLite file? */
bool vt_profile_is_store(const char *path);

/** vt_profile_put - add or replace times, all or none; -EINVAL for one that makes no sense */
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

/** vt_profile_foreign - times in the file that are of another machine or build */
int vt_profile_foreign(struct vt_profile *db, uint64_t *ret, struct vt_err *e);

typedef int (*vt_profile_key_fn)(void *arg, const struct vt_profile_key *key, uint64_t times);
/** vt_profile_keys - the machines and builds the file has times of, by name; stops as above */
int vt_profile_keys(struct vt_profile *db, vt_profile_key_fn fn, void *arg, struct vt_err *e);

/* ---- models (models.c) --------------------------------------------------------------------- */

#define VT_PROFILE_DIMS	  "+dims"
#define VT_PROFILE_DIRECT "+direct"

/**
 * vt_profile_model - remember that the file at @path (its content's @digest, hex) is made of these
 * layers, in order; replaces what was known of @path
 * VT_PROFILE_DIMS behind the digest: with dimensions that were given, so without them it is another.
 * VT_PROFILE_DIRECT: with direct kernels only, which makes other layers too.
 */
int vt_profile_model(struct vt_profile *db, const char *path, const char *digest,
		     const char *const *layers, size_t n, struct vt_err *e);

/**
 * vt_profile_model_same - has the file at @path still the digest it had when it was profiled, with
 * whatever dimensions and kernels?
 * 0 if so; -ENOENT (@e untouched) if the store does not know it; -EINVAL with a text if it changed
 */
int vt_profile_model_same(struct vt_profile *db, const char *path, const char *digest,
			  struct vt_err *e);

typedef int (*vt_profile_model_fn)(void *arg, const char *path, const char *digest,
				   const char *const *layers, size_t n);
/** vt_profile_models - models profiled on this machine and build, by path; stops as above */
int vt_profile_models(struct vt_profile *db, vt_profile_model_fn fn, void *arg, struct vt_err *e);

#endif
