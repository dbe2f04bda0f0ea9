/* SPDX-License-Identifier: Apache-2.0 */
/* bank_int.h - between the bank and its two sources, shapes and samples. */
#ifndef VT_SIM_BANK_INT_H
#define VT_SIM_BANK_INT_H

#include "sim/bank.h"
#include "sim/law.h"

struct vt_bank_size {
	uint32_t layers, rows, versions, points;
};

/** vt_bank_new_model - zeroed tables for a new last model; its index or -errno */
int vt_bank_new_model(struct vt_bank *b, const char *name, uint64_t qos_ns,
		      const struct vt_bank_size *z, struct vt_err *e);

/**
 * vt_bank_level_ns - what a profile would measure of @s as @c on @cores
 * Beside the bubble of @level, and slowed by its own traffic.
 */
double vt_bank_level_ns(const struct vt_bank *b, const struct vt_layer_shape *s,
			const struct vt_code *c, uint32_t cores, uint32_t level);

/** vt_bank_drop_last - undo vt_bank_new_model() */
void vt_bank_drop_last(struct vt_bank *b);

/** vt_bank_finish - check a filled model and work out its bounds; 0 or -EINVAL */
int vt_bank_finish(struct vt_bank *b, uint32_t model, struct vt_err *e);

#endif
