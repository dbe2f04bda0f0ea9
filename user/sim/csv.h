/* SPDX-License-Identifier: Apache-2.0 */
/* csv.h - measured times from text: our own profile format, and the authors' tables.
 *
 * Profile (docs/simulator.md): a header naming the columns, in any order, then one time a line:
 *
 *     model,layer,version,level,cores,ns,dram_bytes
 *     resnet50,0,0,0,8,515000,9633792
 *
 * `version`, `level` and `dram_bytes` may be left out: 0, 0 and unknown.
 */
#ifndef VT_SIM_CSV_H
#define VT_SIM_CSV_H

#include "sim/bank.h"

/** A parsed profile: samples by model. Free with vt_profile_fini(). */
struct vt_profile {
	struct vt_profile_model {
		char name[VT_MODEL_NAME_MAX];
		struct vt_sampled *at;
		size_t n, cap;
	} * models;
	uint32_t n_models;
};

/** vt_profile_parse - read our format; 0, -EINVAL with the line that is wrong, -ENOMEM */
int vt_profile_parse(const char *text, const char *where, struct vt_profile *ret, struct vt_err *e);

/**
 * vt_profile_parse_table - read one of the authors' tables as the model @name, appended to @ret
 * One layer a line: whole microseconds at 8, 16, 24, ... cores. Returns 0, -EINVAL or -ENOMEM.
 */
int vt_profile_parse_table(const char *text, const char *where, const char *name,
			   struct vt_profile *ret, struct vt_err *e);

/** vt_profile_add - append one time of the model called @name, from any source; 0 or -ENOMEM */
int vt_profile_add(struct vt_profile *p, const char *name, const struct vt_sampled *s);

/** vt_profile_find - the model called @name, or NULL */
const struct vt_profile_model *vt_profile_find(const struct vt_profile *p, const char *name);

void vt_profile_fini(struct vt_profile *p);

#endif
