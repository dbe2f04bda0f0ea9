/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - what is worked out once, when a model loads, so that a decision only looks up. Pure. */
#ifndef VT_SCHED_PLAN_H
#define VT_SCHED_PLAN_H

#include <stddef.h>

#include "sched/model.h"

/** vt_plan_size - bytes that vt_plan_init() needs for @m (a checked model); align to 64 */
size_t vt_plan_size(const struct vt_model *m);

/**
 * vt_plan_init - work out the plan of @m in @mem
 * @n_cores: of the machine; larger core counts of the profile are not used
 * Sets m->plan on success. @mem must outlive the model. Takes milliseconds: never in a decision.
 * Returns 0; -EINVAL if vt_model_check() fails or no point is <= @n_cores; -ENOSPC if @len is
 * small.
 */
int vt_plan_init(struct vt_model *m, unsigned int n_cores, void *mem, size_t len);

#endif
