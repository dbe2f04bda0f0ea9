/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - the versions of layers as complete tables, for who schedules, simulates or chooses.
 *
 * Of a layer count the versions that were kept, in their order; where none were, as after a killed
 * tuner, the one that is fastest alone stands for it. A level that was not measured takes the time
 * of the level below. A time of 0 is one that is not there.
 */
#ifndef VT_PROFILE_TABLE_H
#define VT_PROFILE_TABLE_H

#include "profile/profile.h"

#define VT_PROFILE_POINTS 64u /* core counts at most */

/** One version of a layer. */
struct vt_profile_version {
	char name[VT_PROFILE_NAME];
	bool kept;
	uint64_t ns[VT_PROFILE_LEVELS][VT_PROFILE_POINTS]; /* by index of core count */
};

/** The versions of one layer at certain core counts. */
struct vt_profile_layer {
	size_t n; /* versions; 0: the store has no time of the layer at these counts */
	struct vt_profile_version v[VT_PROFILE_KEPT];
};

/** vt_profile_layer - read one; @points: core counts, ascending, at most VT_PROFILE_POINTS */
int vt_profile_layer(struct vt_profile *db, const char *signature, const uint16_t *points,
		     size_t n_points, struct vt_profile_layer *ret, struct vt_err *e);

/** vt_profile_points - core counts of which the store has any time, ascending; 0 or negative */
int vt_profile_points(struct vt_profile *db, uint16_t points[static VT_PROFILE_POINTS], size_t *n,
		      struct vt_err *e);

/** The layers of a model, each with all its versions at the same core counts. */
struct vt_profile_table {
	struct vt_profile_layer *layers; /* [n_layers]; versions lack no count */
	size_t n_layers;
	size_t n_versions; /* of the layer that has most */
	uint16_t points[VT_PROFILE_POINTS];
	size_t n_points;
};

/** How a table finds its layers: the signature of layer @i, valid until the next call. */
typedef const char *(*vt_profile_signature_fn)(void *arg, size_t i);

/**
 * vt_profile_table - of @n layers; @points: wanted, ascending: those that some layer lacks are left
 * out. -ENODATA if none is left, with *@hole, if not NULL, the first layer that fits no count.
 */
int vt_profile_table(struct vt_profile *db, vt_profile_signature_fn signature, void *arg, size_t n,
		     const uint16_t *points, size_t n_points, struct vt_profile_table *ret,
		     size_t *hole, struct vt_err *e);
void vt_profile_table_fini(struct vt_profile_table *t); /* accepts a zeroed one */

#endif
